r"""What changed between two recordings, tensor by tensor.

Bitwise equal numbers are identical. Others differ by *rounding*

(1) where a derivation by hand bounds them: if both lie within the bound, or no farther apart;
(2) elsewhere, or where the bound is wider than 2⁻¹⁰ of the numbers: if the difference shrinks
    with the unit roundoff. With r the largest difference relative to the tensor's largest number:
    r in float64 ≤ max(2¹⁰ · 2⁻⁵³, 2⁻¹⁹ r in float32), and r in float32 ≤ 2⁻¹⁰.

(3) where the numbers themselves are what rounding left of a zero: if the difference is within 2⁶
    roundoffs of the largest number of the case, in both dtypes.

A difference that stays is a *change*. In (2), 2⁻¹⁹ is the ratio 2⁻²⁹ of the roundoffs with a factor
of 2¹⁰ for amplification that is not the same in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

from agreement.upgrade.items import covers
from agreement.upgrade.recording import Case, Recording, RecordingError
from manual_backprop.typing import Array
from reference.observation import ABSENT, PRESENT, RAISED
from reference.observe_layers import QUOTIENT, SLOPE

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
AMPLIFICATION = 2.0**10
LARGEST_ROUNDING = 2.0**-10
NEARBY = 2.0**6
# How many times nearer to the derivation one side must be to be in the right without agreeing.
FAR_CLOSER = 4
# How well a difference quotient of a layer's output is known.
SLOPE_ERROR = 1e-6
# The family of a user's own model.
MODEL = "model"


class Outcome(StrEnum):
    """What became of one tensor, or of a case as a whole; the gravest last."""

    IDENTICAL = "identical"
    ROUNDING = "rounding"
    NEW = "new"
    GONE = "gone"
    NO_LONGER_RAISING = "no longer raising"
    NO_LONGER_NAN = "no longer NaN"
    CHANGED = "changed"
    NEWLY_NAN = "newly NaN"
    NEWLY_RAISING = "newly raising"


QUIET = (Outcome.IDENTICAL, Outcome.ROUNDING, Outcome.NEW)


class Side(StrEnum):
    """Who agrees with the derivation by hand."""

    REGRESSION = "regression"  # the old release, the new one no more
    FIX = "fix"  # the new release, the old one did not
    CONVENTION = "convention"  # both or neither, or where no derivative exists
    UNKNOWN = "no derivation"


@dataclass(frozen=True)
class Expected:
    """What the derivation by hand gives for one tensor, and by how much it may differ.

    Attributes:
        value, error: of the tensor's shape, float64.
        kinked: the elements at which there is no derivative, so that any choice is a convention.
    """

    value: Array
    error: Array
    kinked: Array | None = None


# From an item's key, a case's name and its inputs to what is expected of each tensor.
Bounds: TypeAlias = Callable[[str, str, Mapping[str, Array]], Mapping[str, Expected]]


@dataclass
class Change:
    """One tensor that differs, or a case that came or went.

    Attributes:
        family, function, variant, dtype, mode, case, tensor: which.
        outcome: see ``Outcome``. side: who is right. note: in words.
        difference: the largest |after − before| / max(|before|, |after|) of what changed.
        elements: how many changed, of ``size``. where: the index of the simplest one.
        before, after, expected, allowed: the numbers there; None where there is none.
        shown_by: the inputs there, in words.
        cause: "keras", "tensorflow" or "both", where releases were crossed.
    """

    family: str
    function: str
    variant: str
    dtype: str
    mode: str
    case: str
    tensor: str
    outcome: Outcome
    side: Side = Side.UNKNOWN
    note: str = ""
    difference: float = 0.0
    elements: int = 0
    size: int = 0
    where: tuple[int, ...] = ()
    before: float | None = None
    after: float | None = None
    expected: float | None = None
    allowed: float | None = None
    shown_by: str = ""
    cause: str = ""

    @property
    def key(self) -> str:
        """The item's key in a recording."""
        return "/".join((self.family, self.function, self.variant, self.dtype, self.mode))

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return {**asdict(self), "where": list(self.where)}


@dataclass
class Comparison:
    """What changed from one recording to another.

    Attributes:
        before, after: titles and versions. counts: tensors by outcome.
        changes: everything but identical tensors and rounding.
        roundings: the largest relative difference of rounding by function.
        incomparable: cases whose inputs are not the same in both. notes: what else to know.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    counts: Counter[Outcome] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    roundings: dict[str, float] = field(default_factory=dict)
    incomparable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> list[Change]:
        """What counts as a change: what is new alone does not."""
        return [change for change in self.changes if change.outcome not in QUIET]

    @property
    def exit_status(self) -> int:
        """0 nothing changed, 1 changed, 2 could not judge."""
        if self.changed:
            return 1
        return 2 if self.incomparable or not self.counts else 0

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "counts": {str(k): v for k, v in sorted(self.counts.items())},
            "changes": [change.to_dict() for change in self.changes],
            "roundings": self.roundings,
            "incomparable": self.incomparable,
            "notes": self.notes,
            "exit_status": self.exit_status,
        }


def no_bounds(key: str, case: str, inputs: Mapping[str, Array]) -> Mapping[str, Expected]:
    """The bounds of what has no derivation by hand."""
    return {}


def compare(before: Recording, after: Recording, bounds: Bounds = no_bounds) -> Comparison:
    """Compare all that both recordings were asked for.

    Raises:
        RecordingError: if they have nothing in common.
    """
    asked = [[*found.families, *([MODEL] if found.model else [])] for found in (before, after)]
    every = dict.fromkeys([*before.cases, *after.cases])
    keys = [key for key in every if all(covers(names, key) for names in asked)]
    result = Comparison(_facts(before), _facts(after))
    if not keys:
        raise RecordingError(
            f"{before.title} and {after.title} have nothing in common: they hold "
            f"{', '.join(asked[0]) or 'nothing'} and {', '.join(asked[1]) or 'nothing'}."
        )
    if before.machine != after.machine:
        result.notes.append("recorded on different machines: other kernels may round otherwise")
    both = _Pair(before, after, bounds, result)
    for key in keys:
        both.compare_item(key)
    for change in result.changes:
        judge_by_slope(change, before, after)
    result.changes.sort(key=_gravity)
    return result


def _facts(recording: Recording) -> dict[str, Any]:
    return {"title": recording.title, **recording.versions, **recording.machine}


def _gravity(change: Change) -> tuple[Any, ...]:
    order = list(Outcome)
    return (change.family, change.function, -order.index(change.outcome), -change.difference)


class _Pair:
    """Two recordings that are being compared."""

    def __init__(
        self, before: Recording, after: Recording, bounds: Bounds, result: Comparison
    ) -> None:
        self.before, self.after, self.bounds, self.result = before, after, bounds, result

    def compare_item(self, key: str) -> None:
        old, new = self.before.cases.get(key, {}), self.after.cases.get(key, {})
        for name in [*old, *(name for name in new if name not in old)]:
            if name in old and name in new:
                self._compare_case(key, name, old[name], new[name])
            else:
                self.result.incomparable.append(f"{key}/{name}: only in one recording")

    def _compare_case(self, key: str, name: str, old: Case, new: Case) -> None:
        statuses = old.observation.status, new.observation.status
        if statuses == (ABSENT, ABSENT):
            return
        if not _same_inputs(old.inputs, new.inputs):
            self.result.incomparable.append(f"{key}/{name}: recorded with other inputs")
            return
        if statuses == (PRESENT, PRESENT):
            self._compare_tensors(key, name, old, new)
            return
        outcome, note = _of_statuses(old, new)
        self.result.counts[outcome] += 1
        if outcome is not Outcome.IDENTICAL:
            change = _change(key, name, "", outcome, note=note)
            if RAISED in statuses and ABSENT not in statuses:
                self._judge_error(change, old, new)
            self.result.changes.append(change)

    def _judge_error(self, change: Change, old: Case, new: Case) -> None:
        """Raising is wrong where the derivation gives numbers, and right nowhere else."""
        expected = self.bounds(change.key, change.case, old.inputs)
        if expected and any(np.isfinite(e.value).any() for e in expected.values()):
            newly = change.outcome is Outcome.NEWLY_RAISING
            change.side = Side.REGRESSION if newly else Side.FIX

    def _compare_tensors(self, key: str, name: str, old: Case, new: Case) -> None:
        expected: Mapping[str, Expected] | None = None
        tensors = old.observation.tensors, new.observation.tensors
        for tensor in [*tensors[0], *(t for t in tensors[1] if t not in tensors[0])]:
            if tensor in (SLOPE, QUOTIENT):
                continue  # what the gradients are judged by
            if any(tensor not in found for found in tensors):
                words = "no longer there" if tensor in tensors[0] else "was not there before"
                self._add(_change(key, name, tensor, Outcome.CHANGED, note=words))
                continue
            a, b = (found[tensor] for found in tensors)
            if a.dtype == b.dtype and a.shape == b.shape and _equal(a, b).all():
                self.result.counts[Outcome.IDENTICAL] += 1
                continue
            if expected is None:
                expected = self.bounds(key, name, old.inputs)
            self._differ(key, name, tensor, a, b, expected.get(tensor), old.inputs)

    def _differ(
        self, key: str, name: str, tensor: str, a: Array, b: Array,
        expected: Expected | None, inputs: Mapping[str, Array],
    ) -> None:  # fmt: skip
        if a.shape != b.shape:
            change = _change(key, name, tensor, Outcome.CHANGED)
            change.note = f"has shape {_shape(b)}, had {_shape(a)}"
            if expected is not None and expected.value.shape in (a.shape, b.shape):
                right = expected.value.shape == a.shape
                change.side = Side.REGRESSION if right else Side.FIX
            self._add(change)
            return
        shrinks = self._shrinks(key, name, tensor, a, b)
        fits = expected if expected is not None and expected.value.shape == a.shape else None
        outside = ~_equal(a, b) & ~_is_rounding(a, b, fits, shrinks)
        if a.dtype != b.dtype:
            change = _change(key, name, tensor, Outcome.CHANGED)
            change.note = f"has dtype {b.dtype}, had {a.dtype}"
            wanted = key.split("/")[-2]
            if wanted in (a.dtype.name, b.dtype.name):
                change.side = Side.REGRESSION if a.dtype.name == wanted else Side.FIX
            describe(change, a, b, fits, ~_equal(a, b), inputs)
            self._add(change)
            return
        if not outside.any():
            self.result.counts[Outcome.ROUNDING] += 1
            function = "/".join(key.split("/")[:2])
            largest = max(self.result.roundings.get(function, 0.0), float(relative(a, b).max()))
            self.result.roundings[function] = largest
            return
        change = _change(key, name, tensor, _outcome(a, b, outside))
        describe(change, a, b, fits, outside, inputs)
        self._add(change)

    def _shrinks(self, key: str, name: str, tensor: str, a: Array, b: Array) -> bool:
        if a.dtype.kind != "f" or b.dtype.kind != "f":
            return False
        twin = self._twin(key, name, tensor)
        around = max(_largest(found.cases[key][name]) for found in (self.before, self.after))
        other = None if twin is None else _Spread.of(*twin)
        return _shrinks(_Spread.of(a, b), other, key.split("/")[-2], around)

    def _twin(self, key: str, name: str, tensor: str) -> tuple[Array, Array] | None:
        """The same tensor of both releases in the other dtype."""
        parts = key.split("/")
        parts[-2] = "float64" if parts[-2] == "float32" else "float32"
        found = []
        for recording in (self.before, self.after):
            case = recording.cases.get("/".join(parts), {}).get(name)
            if case is None or tensor not in case.observation.tensors:
                return None
            found.append(case.observation.tensors[tensor])
        return (found[0], found[1]) if found[0].shape == found[1].shape else None

    def _add(self, change: Change) -> None:
        self.result.counts[change.outcome] += 1
        self.result.changes.append(change)


def _of_statuses(old: Case, new: Case) -> tuple[Outcome, str]:
    was, now = old.observation, new.observation
    if was.status == ABSENT:
        return Outcome.NEW, now.error
    if now.status == ABSENT:
        return Outcome.GONE, now.error
    if was.status == PRESENT:
        return Outcome.NEWLY_RAISING, now.error
    if now.status == PRESENT:
        return Outcome.NO_LONGER_RAISING, f"raised {was.error}"
    if was.error.partition(":")[0] == now.error.partition(":")[0]:
        return Outcome.IDENTICAL, ""  # words of an error may change
    return Outcome.CHANGED, f"raises {now.error}; raised {was.error}"


def _change(key: str, case: str, tensor: str, outcome: Outcome, *, note: str = "") -> Change:
    family, function, *middle, dtype, mode = key.split("/")
    return Change(family, function, "/".join(middle), dtype, mode, case, tensor, outcome, note=note)


def _same_inputs(old: Mapping[str, Array], new: Mapping[str, Array]) -> bool:
    return old.keys() == new.keys() and all(
        old[k].dtype == new[k].dtype and old[k].tobytes() == new[k].tobytes() for k in old
    )


def _shape(array: Array) -> str:
    return "×".join(map(str, array.shape)) or "of a scalar"


def _equal(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def relative(a: Array, b: Array) -> Array:
    """|b − a| / max(|a|, |b|) of each element; infinite where one alone is not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        ratio = np.abs(b / 2 - a / 2) / np.maximum(np.abs(a), np.abs(b)) * 2
    ratio = np.where(np.isfinite(a) & np.isfinite(b), ratio, np.inf)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, ratio)


def _is_rounding(a: Array, b: Array, expected: Expected | None, shrinks: bool) -> Array:
    """For each element, by (1) or (2)."""
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return np.zeros(a.shape, bool)
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    if expected is None:
        return finite & shrinks
    with np.errstate(all="ignore"):
        value, error = expected.value, expected.error
        both = (np.abs(x - value) <= error) & (np.abs(y - value) <= error)
        within = finite & (both | (np.abs(y - x) <= error))
        blunt = ~(error <= LARGEST_ROUNDING * np.maximum(np.abs(x), np.abs(y)))
    # An infinite bound allows anything, so that only (2) can tell.
    return np.where(blunt, finite & shrinks & (within | np.isinf(error)), within)


@dataclass(frozen=True)
class _Spread:
    """How far two tensors are apart: the largest difference, and their largest number."""

    difference: float
    scale: float

    @staticmethod
    def of(a: Array, b: Array) -> _Spread:
        """NaN and ∞ are left out."""
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.any():
            return _Spread(0.0, 0.0)
        a, b = a[finite], b[finite]
        with np.errstate(all="ignore"):
            difference = float(np.abs(b - a).max())
        return _Spread(difference, max(float(np.abs(a).max()), float(np.abs(b).max())))

    @property
    def relative(self) -> float:
        return self.difference / self.scale if self.scale else 0.0


def _shrinks(own: _Spread, other: _Spread | None, dtype: str, around: float) -> bool:
    """(2) and (3), of a tensor as a whole; ``around`` is the case's largest number."""
    cancelled = NEARBY * around
    if other is None:
        limit = max(AMPLIFICATION * own.scale, cancelled)
        return own.difference <= limit * ROUNDOFF.get(dtype, 0.0)
    single, double = (own, other) if dtype == "float32" else (other, own)
    if max(single.difference / ROUNDOFF["float32"], double.difference / ROUNDOFF["float64"]) <= (
        cancelled
    ):
        return True
    limit = max(AMPLIFICATION * ROUNDOFF["float64"], single.relative * 2.0**-19)
    return double.relative <= limit and (dtype == "float64" or single.relative <= LARGEST_ROUNDING)


def _largest(case: Case) -> float:
    """The largest finite number among the inputs and results of a case."""
    found = 0.0
    for array in (*case.inputs.values(), *case.observation.tensors.values()):
        if array.dtype.kind == "f" and array.size:
            finite = np.abs(array[np.isfinite(array)])
            found = max(found, float(finite.max(initial=0)))
    return found


def _outcome(a: Array, b: Array, outside: Array) -> Outcome:
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        if (np.isnan(b) & ~np.isnan(a) & outside).any():
            return Outcome.NEWLY_NAN
        if (np.isnan(a) & ~np.isnan(b) & outside).any():
            return Outcome.NO_LONGER_NAN
    return Outcome.CHANGED


def describe(
    change: Change,
    a: Array,
    b: Array,
    expected: Expected | None,
    outside: Array,
    inputs: Mapping[str, Array],
) -> None:
    """Fill in what, where, how much, and who is right."""
    difference = np.where(outside, relative(a, b), 0.0)
    change.difference = float(difference.max()) if difference.size else 0.0
    change.elements, change.size = int(outside.sum()), int(outside.size)
    if not change.elements:
        return
    change.where, change.shown_by = simplest(outside, inputs)
    change.before, change.after = float(a[change.where]), float(b[change.where])
    if expected is None:
        return
    change.expected = float(expected.value[change.where])
    change.allowed = float(expected.error[change.where])
    if change.side is Side.UNKNOWN:
        change.side, change.note = _side(a, b, expected, outside)


def _side(a: Array, b: Array, expected: Expected, outside: Array) -> tuple[Side, str]:
    """Who agrees with the derivation in the elements that changed, or is far closer to it."""
    with np.errstate(all="ignore"):
        old, new = (np.abs(np.asarray(x, np.float64) - expected.value)[outside] for x in (a, b))
    error = expected.error[outside]
    old_agrees, new_agrees = old <= error, new <= error
    if expected.kinked is not None and expected.kinked[outside].all():
        agreeing = [
            name
            for name, found in (("the old release", old_agrees), ("the new release", new_agrees))
            if found.all()
        ]
        return Side.CONVENTION, f"at a kink; {' and '.join(agreeing) or 'neither'} chooses as we do"
    only_old, only_new = (old_agrees & ~new_agrees).any(), (new_agrees & ~old_agrees).any()
    if only_old and only_new:
        return Side.CONVENTION, "each agrees with the derivation by hand in some elements"
    if only_old:
        return Side.REGRESSION, "the old release agrees with the derivation by hand"
    if only_new:
        return Side.FIX, "the new release agrees with the derivation by hand"
    if (old_agrees & new_agrees).any():
        return Side.CONVENTION, "both are within the bound"
    if FAR_CLOSER * old.sum() <= new.sum():
        return Side.REGRESSION, "neither agrees with the derivation by hand; the old is far closer"
    if FAR_CLOSER * new.sum() <= old.sum():
        return Side.FIX, "neither agrees with the derivation by hand; the new is far closer"
    return Side.CONVENTION, "neither agrees with the derivation by hand"


def simplest(outside: Array, inputs: Mapping[str, Array]) -> tuple[tuple[int, ...], str]:
    """The index of the changed element with the simplest inputs, and these in words."""
    places = [tuple(int(i) for i in place) for place in np.argwhere(outside)]
    main = inputs.get("inputs", inputs.get("predictions"))
    if main is None or not places:
        return (places[0] if places else ()), ""
    rows = {
        k: v for k, v in inputs.items()
        if k not in ("training",) and v.ndim and len(v) == len(main)
    }  # fmt: skip

    def spelled(place: tuple[int, ...]) -> str:
        if "cotangent" in rows and rows["cotangent"].shape == main.shape == outside.shape:
            found = {"x": main[place], "upstream": rows["cotangent"][place]}
            return ", ".join(f"{k} = {float(v)!r}" for k, v in found.items())
        if not place or place[0] >= len(main):
            return ""
        return ", ".join(f"{k} = {_listed(v[place[0]])}" for k, v in rows.items())

    best = min(places[:200], key=lambda place: (_letters(main, place, outside), place))
    return best, spelled(best)


def _letters(main: Array, place: tuple[int, ...], outside: Array) -> int:
    """How long the inputs at a place are when written down."""
    if main.shape == outside.shape and place:
        chosen = main[place] if main.ndim else main
    else:
        chosen = main[place[0]] if place and place[0] < len(main) else main
    return sum(len(repr(float(x))) for x in np.ravel(chosen)[:64])


def _listed(array: Array) -> str:
    flat = np.asarray(array)
    if flat.size > 12:
        return f"({_shape(flat)})"
    return str(flat.tolist())


def judge_by_slope(change: Change, before: Recording, after: Recording) -> None:
    """Who is right about a gradient without a derivation, while outputs are what they were.

    In float64 the slope along a random direction was recorded twice: by the gradients, and by a
    difference quotient of the outputs. The side on which the two agree is right.
    """
    if change.side is not Side.UNKNOWN or not change.tensor.startswith("grad"):
        return
    key = change.key.replace("/float32/", "/float64/").removesuffix("-graph")
    sound = []
    quotients = []
    for recording in (before, after):
        case = recording.cases.get(key, {}).get(change.case)
        found = {} if case is None else case.observation.tensors
        if SLOPE not in found or QUOTIENT not in found:
            return
        slope, quotient = float(found[SLOPE]), float(found[QUOTIENT])
        sound.append(abs(slope - quotient) <= SLOPE_ERROR * (1 + abs(quotient)))
        quotients.append(quotient)
    if abs(quotients[1] - quotients[0]) > SLOPE_ERROR * (1 + abs(quotients[0])):
        return  # another output has another gradient
    if sound == [True, False]:
        change.side = Side.REGRESSION
        change.note = "the old gradient is the output's, by difference quotients; the new is not"
    elif sound == [False, True]:
        change.side = Side.FIX
        change.note = "the new gradient is the output's, by difference quotients; the old is not"


def changes_by_function(changes: Iterable[Change]) -> Iterator[tuple[str, str, list[Change]]]:
    """Changes of each function together."""
    found: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        found.setdefault((change.family, change.function), []).append(change)
    for (family, function), mine in found.items():
        yield family, function, mine
