r"""Comparing what was computed with what is expected and allowed, element by element.

(1) agree ⇔ |actual − value| ≤ error, for every element; NaN agrees with nothing
(2) floor = median(error) / max|value|: about the smallest relative error that is seen
(3) floor > ½ on a tensor that is not zero: nothing could have been seen, the check is blunt

What was computed counts for the maximum in (2) as well: a zero that may be anything is blunt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from agreement.bounded import BoundedArray, bounded
from agreement.precision import precision_of
from manual_backprop.trace import TensorName, Trace
from manual_backprop.typing import Array

BLUNT_FLOOR = 0.5
# The witness that the manual code's own run is.
MANUAL = "manual"
# The witness that abstains where there is no derivative.
DUAL = "dual"


class Verdict(StrEnum):
    """The outcome for one tensor, the gravest that applies, in this order."""

    DISAGREE = "DISAGREE"  # an element lies outside its bound
    OVERFLOW = "OVERFLOW"  # an element may overflow the working precision: not compared
    BLUNT = "BLUNT"  # agrees, but no error could have been seen
    KINK = "KINK"  # agrees only because rounding may decide a mask either way
    AGREE = "AGREE"


class View(StrEnum):
    """How the expectation came about; see ``agreement.expectation``."""

    LOCAL = "local"
    END_TO_END = "end to end"


@dataclass
class TensorVerdict:
    """The verdict on one tensor of one witness in one view.

    Attributes:
        layer, tensor: which tensor. view: which expectation. witness: who computed it.
        ratio: the largest |actual − value| / error, at most 1 where it agrees.
        floor, largest_floor: median and largest error, relative to the largest number that is
            expected or was computed; absolute where the tensor is ``zero``.
        zero: every number, expected and computed, is exactly zero.
        blunt: how many elements have a bound so wide, or an abstention, that no error of
            half the tensor's scale could have been seen in them.
        worst: index of the element with the largest ratio; actual, expected, allowed:
            what was there, what was expected, and by how much it might differ.
        outside: how many of ``size`` elements disagree.
        consequence: an earlier disagreement already explains this one.
    """

    layer: str
    tensor: str
    view: View
    witness: str
    verdict: Verdict
    ratio: float
    floor: float
    largest_floor: float
    zero: bool
    size: int
    blunt: int = 0
    outside: int = 0
    worst: tuple[int, ...] = ()
    actual: float = 0.0
    expected: float = 0.0
    allowed: float = 0.0
    note: str = ""
    consequence: bool = field(default=False)

    @property
    def name(self) -> str:
        """layer.tensor"""
        return str(TensorName(self.layer, self.tensor))

    @property
    def is_evidence(self) -> bool:
        """Whether an error could have been seen, in every element, and none was."""
        return self.verdict in (Verdict.AGREE, Verdict.KINK) and not self.blunt

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return {**asdict(self), "worst": list(self.worst)}


class Comparison(NamedTuple):
    """One tensor to judge: what was computed, and what is expected and allowed."""

    name: TensorName
    actual: Array
    expected: BoundedArray


def judge_tensor(
    name: TensorName,
    actual: Array,
    expected: BoundedArray,
    view: View,
    witness: str,
    *,
    abstains: bool = False,
) -> TensorVerdict:
    """Judge one tensor by (1) to (3); a witness that ``abstains`` does so by NaN."""
    (verdict,) = judge_tensors([Comparison(name, actual, expected)], view, witness, abstains)
    return verdict


def judge_tensors(
    comparisons: Sequence[Comparison], view: View, witness: str, abstains: bool = False
) -> list[TensorVerdict]:
    """Judge many tensors at once: one pass over all their elements, laid end to end."""
    fitting = [c for c in comparisons if c.expected.size and np.shape(c.actual) == c.expected.shape]
    verdicts = dict(zip(map(id, fitting), _judge(fitting, view, witness, abstains), strict=True))
    return [verdicts.get(id(c)) or _misshapen(c, view, witness) for c in comparisons]


def _misshapen(c: Comparison, view: View, witness: str) -> TensorVerdict:
    """Empty never equals anything, and neither does another shape."""
    note = f"has shape {np.shape(c.actual)}, expected {c.expected.shape}"
    return TensorVerdict(
        *c.name, view, witness, Verdict.DISAGREE, np.inf, np.nan, np.nan, False,
        c.expected.size, outside=max(c.expected.size, 1), note=note,
    )  # fmt: skip


def _judge(
    comparisons: Sequence[Comparison], view: View, witness: str, abstains: bool
) -> list[TensorVerdict]:
    if not comparisons:
        return []
    sizes = [c.expected.size for c in comparisons]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    value = np.concatenate([c.expected.value.ravel() for c in comparisons])
    error = np.concatenate([c.expected.error.ravel() for c in comparisons])
    actual = np.concatenate([np.ravel(c.actual) for c in comparisons], dtype=np.float64)
    with np.errstate(all="ignore"):
        difference = np.abs(actual - value)
        width = error
        if abstains:
            silent = np.isnan(actual)
            difference = np.where(silent, 0.0, difference)
            width = np.where(silent, np.inf, error)
        infinite = np.isinf(error)
        outside = ~(difference <= error) & ~infinite  # (1)
        ratio = np.where(difference == 0, 0.0, difference / error)
        ratio = np.where(outside & np.isnan(difference), np.inf, ratio)
        ratio[infinite] = 0.0
        ratios = np.maximum.reduceat(ratio, starts)
        reached = np.where(np.isfinite(actual), np.abs(actual), 0.0)
        scales = np.maximum.reduceat(np.fmax(np.abs(value), reached), starts)
        zeros = scales == 0
        divisors = np.where(zeros, 1.0, scales)
        ordered = width[np.lexsort((width, np.repeat(np.arange(len(sizes)), sizes)))]
        limits = np.where(zeros, np.inf, BLUNT_FLOOR * scales)
        blunt = np.add.reduceat(~(width < np.repeat(limits, sizes)), starts)
        floors = ordered[starts + np.asarray(sizes) // 2] / divisors  # (2), the upper median
        largest_floors = ordered[ends - 1] / divisors
    disagrees = np.logical_or.reduceat(outside, starts)
    overflows = np.logical_or.reduceat(infinite, starts)
    verdicts = []
    for i, c in enumerate(comparisons):
        verdict = Verdict.AGREE
        part = slice(starts[i], ends[i])
        if disagrees[i]:
            verdict = Verdict.DISAGREE
        elif overflows[i]:
            verdict = Verdict.OVERFLOW
        elif not (zeros[i] and np.isfinite(floors[i])) and not floors[i] <= BLUNT_FLOOR:
            verdict = Verdict.BLUNT  # (3)
        elif c.expected.smooth_error is not None and np.any(
            difference[part] > c.expected.smooth_error.ravel()
        ):
            verdict = Verdict.KINK
        found = TensorVerdict(
            c.name.layer,
            c.name.tensor,
            view,
            witness,
            verdict,
            ratio=float(ratios[i]),
            floor=float(floors[i]),
            largest_floor=float(largest_floors[i]),
            zero=bool(zeros[i]),
            size=sizes[i],
            blunt=int(blunt[i]),
        )
        if disagrees[i]:
            flat = starts[i] + int(np.argmax(np.where(outside[part], ratio[part], -1.0)))
            where = np.unravel_index(flat - starts[i], c.expected.shape)
            found.outside = int(outside[part].sum())
            found.worst = tuple(int(k) for k in where)
            found.actual, found.expected = float(actual[flat]), float(value[flat])
            found.allowed = float(error[flat])
        verdicts.append(found)
    return verdicts


def judge_trace(actual: Trace, expected: Trace, view: View, witness: str) -> list[TensorVerdict]:
    """Judge every tensor that both traces have, in the order of computation.

    End to end, all that follows the first disagreement is marked as its consequence.
    """
    arrays = {name: np.asarray(array) for name, array in actual.tensors()}
    comparisons: list[Comparison] = []
    for name, wanted in expected.tensors():
        if name.tensor == "inputs" or name not in arrays:
            continue
        found = Comparison(name, arrays[name], _with_bounds(wanted, arrays[name]))
        if not (comparisons and _same(found, comparisons[-1])):
            comparisons.append(found)
    verdicts = judge_tensors(comparisons, view, witness, actual.abstains)
    verdicts += _judge_projections(actual, expected, view, witness)
    if view is View.END_TO_END:
        disagreeing = [v for v in verdicts if v.verdict is Verdict.DISAGREE]
        for verdict in disagreeing[1:]:
            verdict.consequence = True
    return verdicts


def _judge_projections(
    actual: Trace, expected: Trace, view: View, witness: str
) -> list[TensorVerdict]:
    """Judge gradients that the witness knows along random directions only."""
    wanted = dict(zip(expected.gradient_names, expected.gradients, strict=False))
    verdicts = []
    for name, (directions, derivatives) in actual.projections.items():
        if name not in wanted:
            continue
        gradient = wanted[name]
        axes = gradient.ndim
        along = BoundedArray(
            np.tensordot(directions, gradient.value, axes),
            np.tensordot(np.abs(directions), gradient.error, axes),
            gradient.precision,
            limited=gradient.limited,
        )
        verdicts.append(judge_tensor(name, derivatives, along, view, witness, abstains=True))
    return verdicts


def _with_bounds(wanted: Array, actual: Array) -> BoundedArray:
    """An expected array; a plain one was computed from no input or weight, and is exact."""
    if isinstance(wanted, BoundedArray):
        return wanted
    return bounded(wanted, precision_of(np.result_type(actual.dtype, np.float32)))


def _same(one: Comparison, other: Comparison) -> bool:
    """The same tensor under two names: a layer's grad_inputs is the one below's grad_output."""
    return one.expected is other.expected and np.array_equal(
        one.actual, other.actual, equal_nan=True
    )
