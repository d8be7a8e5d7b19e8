"""What a check found: tables for people, dictionaries for machines, remarks on failures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from agreement.verdicts import DUAL, MANUAL, TensorVerdict, Verdict, View

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from agreement.diagnosis import Diagnosis

WIDTH = 120


@dataclass
class Report:
    """The verdicts of one or more checks of the same model.

    Attributes:
        verdicts: one for each tensor, view and witness (and check, once merged).
        required: (witness, tensor) pairs that must be judged for the report to agree: every
            witness on every weight's gradient.
        rerun: a command that repeats the check, or "".
        checks: how many checks were merged.
        facts: what else is known of the run. diagnoses: by tensor, why it disagrees.
    """

    verdicts: list[TensorVerdict] = field(default_factory=list)
    required: frozenset[tuple[str, str]] = frozenset()
    rerun: str = ""
    checks: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)

    @property
    def disagreements(self) -> list[TensorVerdict]:
        """Every disagreement that no earlier one explains, local ones first."""
        found = [v for v in self.verdicts if v.verdict is Verdict.DISAGREE and not v.consequence]
        local = [v for v in found if v.view is View.LOCAL]
        return local or found

    @property
    def known(self) -> list[str]:
        """The notes of expected disagreements, each once, where they leave something unjudged."""
        if not self.unjudged:
            return []
        notes = [f"{v.name}, {v.note}" for v in self.verdicts if v.verdict is Verdict.KNOWN]
        return list(dict.fromkeys(notes))

    @property
    def unjudged(self) -> list[str]:
        """Required tensors that some witness could not be judged on: overflow or blunt."""
        judged = {(v.witness, v.name) for v in self.verdicts if v.is_evidence}
        # Where a witness that may abstain does, another reference's judgement will do.
        by_others = {name for witness, name in judged if witness not in (MANUAL, DUAL)}
        return sorted(
            {
                name
                for witness, name in self.required - judged
                if not (witness == DUAL and name in by_others)
            }
        )

    @property
    def agrees(self) -> bool:
        """No disagreement, and for every weight's gradient a check that could have failed."""
        return not self.any_disagreement and bool(self.verdicts) and not self.unjudged

    @property
    def any_disagreement(self) -> bool:
        """Whether any tensor disagrees in any view."""
        return any(v.verdict is Verdict.DISAGREE for v in self.verdicts)

    @property
    def exit_status(self) -> int:
        """0 agrees, 1 disagrees, 2 could not judge."""
        if self.any_disagreement:
            return 1
        return 0 if self.agrees else 2

    @property
    def worst_ratio(self) -> float:
        """The largest error/bound of all verdicts: the headroom that is used up."""
        judged = (v.ratio for v in self.verdicts if v.verdict is not Verdict.KNOWN)
        return max(judged, default=0.0)

    def counts(self, view: View | None = None) -> dict[str, int]:
        """How many verdicts of each kind, in one view or in both."""
        counted = Counter(v.verdict for v in self.verdicts if view in (None, v.view))
        return {str(verdict): counted[verdict] for verdict in Verdict}

    def merge(self, others: Iterable[Report]) -> Report:
        """One report over several checks of the same model."""
        reports = [self, *others]
        return Report(
            [v for r in reports for v in r.verdicts],
            required=frozenset().union(*(r.required for r in reports)),
            rerun=self.rerun,
            checks=sum(r.checks for r in reports),
            facts=self.facts,
            diagnoses={k: d for r in reversed(reports) for k, d in r.diagnoses.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON: no NumPy types, infinities as the string "inf"."""
        content = {
            "agrees": self.agrees,
            "checks": self.checks,
            "counts": self.counts(),
            "unjudged": self.unjudged,
            "worst_ratio": self.worst_ratio,
            "remarks": [self.remark(v) for v in one_per_tensor(self.disagreements)],
            "rerun": self.rerun,
            **self.facts,
            "tensors": [summarise(row) for row in self.rows()],
        }
        return jsonable(content)

    def rows(self) -> list[list[TensorVerdict]]:
        """Verdicts grouped by tensor, in the order of computation."""
        grouped: dict[tuple[str, str], list[TensorVerdict]] = {}
        for verdict in self.verdicts:
            grouped.setdefault((verdict.layer, verdict.tensor), []).append(verdict)
        return list(grouped.values())

    def table(self) -> Table:
        """A rich table: a row for each layer and tensor."""
        # Imported here: a check in a loop need not load rich.
        from rich.table import Table

        witnesses = list(dict.fromkeys(v.witness for v in self.verdicts))
        table = Table(title=f"agreement over {self.checks} check{'s' * (self.checks > 1)}")
        table.caption = "columns of witnesses: the largest error/bound, 1 being the limit"
        table.add_column("tensor", no_wrap=True)
        table.add_column("verdict", min_width=9)
        for witness in witnesses:
            table.add_column(witness, justify="right", no_wrap=True)
        table.add_column("floor", justify="right", no_wrap=True)
        table.add_column("local floor", justify="right", no_wrap=True)
        for row in self.rows():
            cells = [_verdict_cell(row)]
            for witness in witnesses:
                ratios = [v.ratio for v in row if v.witness == witness]
                cells.append(f"{max(ratios):.2g}" if ratios else "")
            cells += [_floor_cell(row, View.END_TO_END), _floor_cell(row, View.LOCAL)]
            table.add_row(row[0].name, *cells)
        return table

    def __str__(self) -> str:
        stream = io.StringIO()
        wide_console(file=stream).print(self.table())
        return "\n".join([stream.getvalue().rstrip(), self.conclusion()])

    def remark(self, v: TensorVerdict) -> str:
        """A disagreement in words, with its diagnosis where there is one."""
        diagnosis = self.diagnoses.get(v.name)
        return remark(v) if diagnosis is None else f"{remark(v)}\n{diagnosis}"

    def conclusion(self) -> str:
        """The outcome in words, with a remark for each fault that was located."""
        if self.any_disagreement:
            lines = [self.remark(v) for v in one_per_tensor(self.disagreements)]
            if self.rerun:
                lines.append(f"rerun: {self.rerun}")
            return "\n".join(lines)
        if not self.verdicts:
            return "could not judge: nothing was compared"
        if self.known:
            lines = [f"Keras is wrong here, as it is known to be: {note}" for note in self.known]
            return "\n".join(["could not judge everything:", *lines])
        if self.unjudged:
            return (
                f"could not judge {', '.join(self.unjudged)}: every view is OVERFLOW or BLUNT, or "
                f"some elements are, so an error there could not have been seen; use smaller "
                f"weights or inputs, or float64, and look for NaN and for terms that cancel"
            )
        return f"agrees: every gradient within its bound, at most {self.worst_ratio:.2g} of it used"


def wide_console(file: IO[str] | None = None) -> Console:
    """A console on which a report's table fits, wherever it is written to."""
    from rich.console import Console

    console = Console(file=file)
    return console if console.is_terminal else Console(file=file, width=WIDTH)


def remark(v: TensorVerdict) -> str:
    """A disagreement as a colleague would say it."""
    if v.note:
        return f"{v.name} disagrees ({v.witness}): {v.note}"
    ours = "the manual formula gives" if v.witness == MANUAL else "manual"
    theirs = "the manual run gave" if v.witness == MANUAL else v.witness
    return (
        f"{v.name} disagrees ({v.view} view)\n"
        f"  worst at {list(v.worst)}: {ours} {v.expected:.9g}, {theirs} {v.actual:.9g}, "
        f"allowed ±{v.allowed:.2g}; {v.outside} of {v.size} elements"
    )


def summarise(row: list[TensorVerdict]) -> dict[str, Any]:
    """One tensor's verdicts as a dictionary."""
    return {
        "layer": row[0].layer,
        "tensor": row[0].tensor,
        "verdict": str(_gravest(row)),
        "ratio": max(v.ratio for v in row),
        "floors": {str(view): _median_floor(row, view) for view in View},
        "verdicts": [v.to_dict() for v in row] if len(row) <= 64 else len(row),
    }


def jsonable(content: Any) -> Any:
    """Replace what JSON lacks: infinities and NaN become strings, enums their values."""
    if isinstance(content, dict):
        return {str(key): jsonable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [jsonable(value) for value in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return str(content)
    return content


def _gravest(row: list[TensorVerdict]) -> Verdict:
    order = list(Verdict)
    return min((v.verdict for v in row), key=order.index)


def _verdict_cell(row: list[TensorVerdict]) -> str:
    counted = Counter(v.verdict for v in row)
    if len(counted) == 1:
        return str(row[0].verdict)
    return ", ".join(f"{verdict} {counted[verdict]}" for verdict in Verdict if counted[verdict])


def _median_floor(row: list[TensorVerdict], view: View) -> float | None:
    floors = sorted(v.floor for v in row if v.view is view and not v.zero)
    return floors[len(floors) // 2] if floors else None


def _floor_cell(row: list[TensorVerdict], view: View) -> str:
    if not any(v.view is view for v in row):
        return ""
    floor = _median_floor(row, view)
    return "zero" if floor is None else f"{floor:.1e}"


def one_per_tensor(verdicts: list[TensorVerdict]) -> list[TensorVerdict]:
    """The first verdict on each tensor."""
    return list({v.name: v for v in reversed(verdicts)}.values())[::-1]
