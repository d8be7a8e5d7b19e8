"""The catalogue against the installed Keras: what is verified, and what is not and why.

Keras is asked for its public members when this runs, so that a release with a new one shows.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agreement.cases import Kind
from agreement.contracts import breaches, known_breach, own_draw, reference_draw
from agreement.function_cases import build_function_case, subjects
from agreement.function_check import check_function
from agreement.references import resolve_references
from agreement.trajectory import check_schedule, check_trajectory
from agreement.trajectory_cases import draw_trajectory
from agreement.verdicts import MANUAL, TensorVerdict, Verdict
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.catalogue import Catalogued
from manual_backprop.initializers import INITIALIZERS
from manual_backprop.losses import LOSSES
from manual_backprop.optimizers import OPTIMIZERS
from manual_backprop.optimizers.schedules import SCHEDULES
from manual_backprop.regularizers import REGULARIZERS
from reference.modes import MODES

if TYPE_CHECKING:
    from rich.table import Table

    from reference.members import Member

# Members of Keras without a counterpart, and why: the only ones that may lack one.
EXCEPTIONS: dict[str, str] = {
    "MultiOptimizer": "no update of its own: it hands each variable to one of several optimizers",
    "STFT": "a fixed Fourier kernel for audio layers; nothing here has such a layer",
}
# Arguments of Keras that are given elsewhere here: initializers are called with a Generator.
ELSEWHERE = {"seed"}
DTYPES = ("float32", "float64")


@dataclass
class Row:
    """One member of Keras and how it fares.

    Attributes:
        family, name: of the member. status: "verified", "exception", "missing", "disagrees" or
            "not verified". note: the reason, or the first thing that is wrong.
        checks: how many checks were made. worst: the largest error/bound. floor: the median
            floor in float32 on smooth numbers.
        findings: where the installed Keras is known to be wrong (docs/findings.md) and was.
        missing_arguments: what Keras' function takes and ours does not.
        seen, evident: every (tensor, manual or not) that was judged, and of those the ones of
            which a verdict is evidence: where Keras is known to be wrong there is none.
    """

    family: str
    name: str
    status: str = "not verified"
    note: str = ""
    checks: int = 0
    worst: float = 0.0
    floor: float = float("nan")
    findings: list[int] = field(default_factory=list)
    missing_arguments: list[str] = field(default_factory=list)
    seen: set[tuple[str, bool]] = field(default_factory=set, repr=False)
    evident: set[tuple[str, bool]] = field(default_factory=set, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All attributes but the evidence, ready for JSON."""
        found = asdict(self)
        return {name: x for name, x in found.items() if name not in ("seen", "evident")}

    @property
    def is_settled(self) -> bool:
        """Verified with every argument, or an exception with a reason."""
        return self.status in ("verified", "exception") and not self.missing_arguments

    def add(self, verdicts: Iterable[TensorVerdict], smooth: bool, floors: list[float]) -> None:
        """Count the verdicts of one check."""
        self.checks += 1
        for v in verdicts:
            self.seen.add((v.tensor, v.witness == MANUAL))
            if v.is_evidence:
                self.evident.add((v.tensor, v.witness == MANUAL))
            if v.verdict is Verdict.KNOWN:
                numbers = map(int, re.findall(r"finding (\d+)", v.note))
                self.findings = sorted({*self.findings, *numbers})
                continue
            self.worst = max(self.worst, v.ratio)
            if v.verdict is Verdict.DISAGREE and self.status != "disagrees":
                self.status, self.note = "disagrees", f"{v.witness}: {v.name} {v.note}".strip()
            if smooth and not v.zero and np.isfinite(v.floor):
                floors.append(v.floor)


Verify: TypeAlias = Callable[[type[Catalogued], Row, Sequence[str], int], None]


def verify_function(kind: type[Catalogued], row: Row, against: Sequence[str], cases: int) -> None:
    """Check an activation, loss or regularizer alone, every variant on numbers of every kind."""
    mine = [pair for pair in subjects() if type(pair[0]) is kind]
    floors: list[float] = []
    for number, (subject, behind) in enumerate(mine):
        for dtype in DTYPES:
            generator = np.random.default_rng([number, DTYPES.index(dtype)])
            for numbers in Kind:
                for _ in range(cases):
                    case = build_function_case(subject, behind, numbers, generator, dtype)
                    report = check_function(
                        case.subject, case.inputs, case.other, against=against, behind=behind
                    )
                    smooth = numbers is Kind.SMOOTH and dtype == "float32"
                    row.add(report.verdicts, smooth, floors)
    if floors:
        row.floor = float(np.median(floors))
    if row.checks and row.status == "not verified":
        # Both must have been seen to agree on every tensor: where all is KNOWN, none has.
        tensors = sorted({tensor for tensor, _ in row.seen})
        lacks = [name for name in tensors if not {(name, True), (name, False)} <= row.evident]
        row.status = "not verified" if lacks else "verified"
        row.note = f"no evidence for {', '.join(lacks)}" if lacks else ""


def verify_initializer(
    kind: type[Catalogued], row: Row, against: Sequence[str], cases: int
) -> None:
    """Check the contract of our draws and of the reference's, with every variant."""
    for arguments in kind.variants:
        initializer: Any = kind(**arguments)
        for dtype in DTYPES:
            row.checks += 1
            found = breaches(initializer, own_draw(initializer), dtype)
            if known_breach(initializer, dtype) is None:
                found += breaches(initializer, reference_draw(initializer), dtype)
            if found:
                row.status, row.note = "disagrees", f"{initializer!r}: {found[0]}"
    if row.status == "not verified":
        row.status = "verified"


def verify_optimizer(kind: type[Catalogued], row: Row, against: Sequence[str], cases: int) -> None:
    """Judge every step of short trajectories, every variant on smooth and mixed gradients.

    Tracing a step costs far more than running it, so one trajectory of each is in graph mode.
    """
    floors: list[float] = []
    for arguments in kind.variants:
        optimizer: Any = kind(**arguments)
        for dtype in DTYPES:
            for numbers in ("smooth", "mixed", "zeros"):
                smooth = numbers == "smooth" and dtype == "float32"
                modes = [
                    name
                    for name in against
                    if not MODES[name].compiled or (smooth and not MODES[name].xla)
                ]
                if not modes:
                    continue
                weights, gradients = draw_trajectory(numbers, dtype, steps=2 + cases)
                report = check_trajectory(
                    optimizer, weights, gradients, against=modes, end_to_end=False
                )
                row.add(report.verdicts, smooth, floors)
    if floors:
        row.floor = float(np.median(floors))
    if row.checks and row.status == "not verified":
        row.status = "verified"


def verify_schedule(kind: type[Catalogued], row: Row, against: Sequence[str], cases: int) -> None:
    """Judge the learning rates of the first iterations, every variant."""
    modes = [name for name in against if not MODES[name].xla]
    if not modes:
        return  # XLA serves whole functions only
    for arguments in kind.variants:
        schedule: Any = kind(**arguments)
        for dtype in DTYPES:
            row.add(check_schedule(schedule, range(40), dtype, modes).verdicts, False, [])
    if row.status == "not verified":
        row.status = "verified"


# Ours by family of Keras, and how each is verified.
FAMILIES: dict[str, tuple[dict[str, Any], Verify]] = {
    "activations": (ACTIVATIONS, verify_function),
    "losses": (LOSSES, verify_function),
    "initializers": (INITIALIZERS, verify_initializer),
    "optimizers": (OPTIMIZERS, verify_optimizer),
    "schedules": (SCHEDULES, verify_schedule),
    "regularizers": (REGULARIZERS, verify_function),
}


def coverage(
    against: Sequence[str] = ("keras", "keras-graph"),
    cases: int = 2,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Verify every member of the installed Keras; ``advance`` is told (done, total)."""
    # Imported here: what needs no framework must not load one.
    from reference.members import members

    against = resolve_references(against, dual=False)
    rows = []
    found = members()
    for number, member in enumerate(found):
        row = Row(member.family, member.names[0])
        rows.append(row)
        ours, verify = FAMILIES.get(member.family, ({}, None))
        kind = counterpart(member.names, ours)
        if member.names[0] in EXCEPTIONS:
            row.status, row.note = "exception", EXCEPTIONS[member.names[0]]
        elif kind is None:
            row.status, row.note = "missing", "Keras has it, manual_backprop has not"
        else:
            row.missing_arguments = missing_arguments(member, kind)
            assert verify is not None
            verify(kind, row, against, cases)
        advance(number + 1, len(found))
    return rows


def missing_arguments(member: Member, kind: type[Catalogued]) -> list[str]:
    """The arguments of a member of Keras that our class does not take."""
    taken = {*inspect.signature(kind).parameters} | ELSEWHERE
    return [name for name in member.arguments if name not in taken]


def coverage_table(rows: Sequence[Row]) -> Table:
    """A rich table: a row for each member of Keras."""
    # Imported here: a check in a loop need not load rich.
    from rich.table import Table

    table = Table(title="the catalogue against the installed Keras")
    for heading in ("family", "name", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("checks", "error/bound", "local floor"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("findings, reasons")
    for row in rows:
        notes = [f"finding {', '.join(map(str, row.findings))}"] if row.findings else []
        notes += [f"lacks {', '.join(row.missing_arguments)}"] if row.missing_arguments else []
        notes += [row.note] if row.note else []
        floor = "" if np.isnan(row.floor) else f"{row.floor:.1e}"
        figures = (str(row.checks), f"{row.worst:.2f}", floor) if row.checks else ("", "", "")
        table.add_row(row.family, row.name, row.status, *figures, "; ".join(notes))
    return table


def summary(rows: Sequence[Row]) -> str:
    """One line: how many members of each status."""
    counted = Counter(row.status for row in rows)
    lacking = sum(bool(row.missing_arguments) for row in rows)
    counts = ", ".join(f"{count} {status}" for status, count in counted.most_common())
    return f"{len(rows)} members of Keras: {counts}; {lacking} with arguments that are not covered"


def counterpart(names: Sequence[str], ours: dict[str, Any]) -> type[Catalogued] | None:
    """Our class for a member of Keras by any of its public names."""
    for kind in ours.values():
        if {kind.name, kind.__name__, *kind.aliases} & set(names):
            return kind
    return None
