"""What is known of one function: derivation, kinks, domain, conventions, allowances, floors.

Everything but the derivation is read off the code or measured when asked: the derivative that
each reference returns at a kink, the floor of the bound on smooth numbers, and, where that is
high, how far the function's own conditioning accounts for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from agreement.allowances import MEASURED
from agreement.cases import Kind
from agreement.formulas import FORMULAS
from agreement.function_cases import build_function_case
from agreement.function_check import expected
from agreement.known import KNOWN
from agreement.known_row import KnownDisagreement
from agreement.known_updates import KNOWN_UPDATES, KnownUpdate
from agreement.precision import precision_of
from agreement.references import resolve_references
from agreement.verdicts import MANUAL
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import Catalogued, unknown_name
from manual_backprop.initializers import INITIALIZERS
from manual_backprop.losses import LOSSES, Loss
from manual_backprop.optimizers import OPTIMIZERS
from manual_backprop.optimizers.schedules import SCHEDULES
from manual_backprop.regularizers import REGULARIZERS

# How many smooth cases the floor is the median of.
FLOOR_CASES = 50
# A floor in float32 above this one is explained by the function's conditioning.
USUAL_FLOOR = 1e-5


@dataclass
class FunctionFacts:
    """What ``agreement explain`` prints.

    Attributes:
        name, family: which function; the family is "exception" where Keras alone has it.
        derivation: the hand derivation, as it stands in the code.
        arguments: their defaults. domain, kinks: in words.
        conventions: the derivative at each kink as (kink, {who: value}).
        allowances: (primitive, float32, float64) for each that the function is made of, the
            figures in units of the unit roundoff.
        formula: why a reference may err more than our formula, or "".
        floors: by dtype, the median over smooth cases of the floor of value and gradient.
        conditioning: by how much of its largest element the gradient changes when every input
            moves by one rounding in float32, if the floor is unusual; else None.
        expected_disagreements: where the installed Keras is known to be wrong, in words.
        exception: why Keras has the member and the catalogue has not, or "".
    """

    name: str
    family: str
    derivation: str
    arguments: dict[str, str]
    domain: str
    kinks: str
    conventions: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    allowances: list[tuple[str, float, float]] = field(default_factory=list)
    formula: str = ""
    floors: dict[str, tuple[float, float]] = field(default_factory=dict)
    conditioning: float | None = None
    expected_disagreements: list[str] = field(default_factory=list)
    exception: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """For people."""
        if self.exception:
            return f"{self.name}: Keras has it, the catalogue has not; {self.exception}"
        given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        lines = [f"{self.name}({given}), {self.family}", "", self.derivation, ""]
        lines += [f"domain: {self.domain}", f"kinks: {self.kinks}"]
        for kink, slopes in self.conventions:
            shown = ", ".join(f"{who} {value:g}" for who, value in slopes.items())
            differ = len(set(slopes.values())) > 1
            lines.append(f"derivative at {kink:g}: {shown}{' (they differ)' if differ else ''}")
        for name, single, double in self.allowances:
            lines.append(f"allowance of {name}: {single:g} u in float32, {double:g} u in float64")
        if self.formula:
            lines.append(f"references may err more: {self.formula}")
        for dtype, (value, gradient) in self.floors.items():
            lines.append(f"floor in {dtype}: value {value:.1e}, gradient {gradient:.1e}")
        if self.conditioning is not None:
            lines.append(
                f"the floor in float32 is above {USUAL_FLOOR:.0e}; where each input moves by one "
                f"rounding, the gradient moves by {self.conditioning:.1e} (its conditioning)"
            )
        lines += [f"Keras differs: {text}" for text in self.expected_disagreements]
        return "\n".join(lines)


def explain(
    name: str, against: Sequence[str] = ("keras", "keras-graph", "keras-xla")
) -> FunctionFacts:
    """Everything known of a function by its name.

    Raises:
        ValueError: for an unknown name.
    """
    against = resolve_references(against, dual=False)
    families: dict[str, dict[str, Any]] = {
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "regularizer": REGULARIZERS,
        "initializer": INITIALIZERS,
    }
    for family, members in families.items():
        for kind in members.values():
            if name in (kind.name, *kind.aliases, kind.__name__):
                return _explain(family, kind, against)
    # Imported here: it verifies all of the catalogue, of which a function needs nothing else.
    from agreement.coverage import EXCEPTIONS

    for member, reason in EXCEPTIONS.items():
        if name.lower().replace("_", "") == member.lower():
            return FunctionFacts(member, "exception", "", {}, "", "", exception=reason)
    raise unknown_name("name", name, [n for members in families.values() for n in members])


def _explain(family: str, kind: type[Catalogued], against: Sequence[str]) -> FunctionFacts:
    subject: Any = kind(**kind.variants[0])
    found = FunctionFacts(
        name=kind.name,
        family=family,
        derivation=inspect.getdoc(kind) or "",
        arguments={name: repr(value) for name, value in subject.arguments.items()},
        domain=kind.domain,
        kinks=_kinks(subject),
        allowances=_allowances(kind),
        expected_disagreements=_expected_disagreements(subject),
    )
    if isinstance(subject, Activation):
        found.conventions = _conventions(subject, against)
    if isinstance(subject, Activation | Loss):
        row = FORMULAS.get(subject.name)
        found.formula = "" if row is None else " ".join(row.why.split())
        found.floors = {dtype: _floors(subject, dtype) for dtype in ("float32", "float64")}
        if max(found.floors["float32"]) > USUAL_FLOOR:
            found.conditioning = _conditioning(subject)
    return found


def _expected_disagreements(subject: Any) -> list[str]:
    """What Keras is known to get wrong, each finding once, with the dtypes where it shows."""
    rows: list[KnownDisagreement | KnownUpdate] = [
        *(row for row in KNOWN if row.function == subject.name),
        *(row for row in KNOWN_UPDATES if isinstance(subject, row.kind)),
    ]
    dtypes: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        dtypes.setdefault((row.finding, row.sentence), []).extend(row.dtypes)
    return [
        f"{sentence} (finding {finding}, {', '.join(dict.fromkeys(where))})"
        for (finding, sentence), where in dtypes.items()
    ]


def _conditioning(subject: Activation | Loss) -> float:
    """The median change of the gradient when its inputs move by the roundoff of float32."""
    generator = np.random.default_rng(0)
    roundoff = precision_of(np.dtype(np.float32)).roundoff
    changes = []
    for _ in range(FLOOR_CASES):
        case = build_function_case(subject, None, Kind.SMOOTH, generator, "float64")
        moved = case.inputs * (1 + roundoff * generator.choice([-1.0, 1.0], case.inputs.shape))
        here, there = (
            [*expected(case.subject, inputs, case.other, behind=case.behind).values()][1].value
            for inputs in (case.inputs, moved)
        )
        if (scale := float(np.abs(here).max())) > 0:
            changes.append(float(np.abs(there - here).max()) / scale)
    return float(np.median(changes))


def _kinks(subject: Any) -> str:
    kinks = getattr(subject, "kinks", ())
    if isinstance(kinks, str):
        return kinks
    return ", ".join(f"{kink:g}" for kink in kinks) or "none"


def _conventions(
    activation: Activation, against: Sequence[str]
) -> list[tuple[float, dict[str, float]]]:
    """The derivative that each side returns at each kink."""
    # Imported here: what needs no framework must not load one.
    import reference

    kinks = np.array([activation.kinks], np.float32)
    if not kinks.size:
        return []
    upstream = np.ones_like(kinks)
    output = activation.forward(kinks)
    slopes = {MANUAL: activation.backward(upstream, kinks, output)}
    for name in against:
        mode = reference.MODES[name]
        slopes[name] = reference.functions.activation(activation, kinks, upstream, mode)[1]
    return [
        (float(kink), {who: float(values[0, i]) for who, values in slopes.items()})
        for i, kink in enumerate(kinks[0])
    ]


def _allowances(kind: type[Catalogued]) -> list[tuple[str, float, float]]:
    """The table's rows for the functions that the code of the class calls."""
    try:
        source = inspect.getsource(kind)
    except OSError:  # a class made by a function
        return []
    called = set(re.findall(r"\b(?:np|special)\.(\w+)", source))
    return [
        (name, row[0].relative, row[1].relative)
        for name, row in sorted(MEASURED.items())
        if name in called
    ]


def _floors(subject: Activation | Loss, dtype: str) -> tuple[float, float]:
    """Median floors of the value and of the gradient, on smooth numbers."""
    generator = np.random.default_rng(0)
    floors: list[list[float]] = [[], []]
    for _ in range(FLOOR_CASES):
        case = build_function_case(subject, None, Kind.SMOOTH, generator, dtype)
        bounds = expected(case.subject, case.inputs, case.other, behind=case.behind).values()
        for found, bound in zip(floors, bounds, strict=True):
            scale = float(np.abs(bound.value).max())
            if scale:
                found.append(float(np.median(bound.error)) / scale)
    value, gradient = (float(np.median(found)) if found else 0.0 for found in floors)
    return value, gradient
