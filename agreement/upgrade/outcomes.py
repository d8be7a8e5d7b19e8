"""What a comparison of two recordings finds: outcomes, who is right, and each change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from manual_backprop.typing import Array


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


def changes_by_function(changes: Iterable[Change]) -> Iterator[tuple[str, str, list[Change]]]:
    """Changes of each function together."""
    found: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        found.setdefault((change.family, change.function), []).append(change)
    for (family, function), mine in found.items():
        yield family, function, mine
