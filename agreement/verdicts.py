r"""Comparing what was computed with what is expected and allowed, element by element.

(1) agree ⇔ |actual − value| ≤ error, for every element; NaN agrees with nothing
(2) floor = median(error) / max|value|: about the smallest relative error that is seen
(3) floor > ½ on a tensor that is not zero: nothing could have been seen, the check is blunt
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray
from manual_backprop.trace import TensorName, Trace
from manual_backprop.typing import Array

BLUNT_FLOOR = 0.5


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
        floor, largest_floor: median and largest error, relative to max|value|; absolute
            where the tensor is ``zero``.
        zero: the expected value is exactly zero throughout.
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
        """Whether an error could have been seen and none was."""
        return self.verdict in (Verdict.AGREE, Verdict.KINK)

    def to_dict(self) -> dict[str, Any]:
        """All attributes, ready for JSON."""
        return {**asdict(self), "worst": list(self.worst)}


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
    value, error = expected.value, expected.error
    size = value.size
    scale = float(np.abs(value).max(initial=0.0))
    zero = scale == 0.0
    divisor = 1.0 if zero else scale
    with np.errstate(all="ignore"):
        floor = float(_median(error)) / divisor
        largest_floor = float(error.max(initial=0.0)) / divisor
    result = TensorVerdict(
        name.layer,
        name.tensor,
        view,
        witness,
        Verdict.AGREE,
        ratio=0.0,
        floor=floor,
        largest_floor=largest_floor,
        zero=zero,
        size=size,
    )
    if actual.shape != value.shape or size == 0:
        result.verdict, result.ratio, result.outside = Verdict.DISAGREE, np.inf, size
        result.note = f"has shape {actual.shape}, expected {value.shape}"
        return result
    with np.errstate(all="ignore"):
        difference = np.abs(actual - value)
        outside = ~(difference <= error)  # (1)
        limited = expected.limited or not np.isinf(error).any()
        if not limited:
            outside &= ~np.isinf(error)
        if abstains:
            difference = np.where(np.isnan(actual), 0.0, difference)
            outside &= ~np.isnan(actual)
        if difference.any():
            ratio = np.where(difference == 0, 0.0, difference / error)
            ratio = np.where(np.isnan(ratio), np.where(outside, np.inf, 0.0), ratio)
            result.ratio = float(ratio.max())
    if outside.any():
        result.verdict = Verdict.DISAGREE
        result.outside = int(outside.sum())
        flat = int(np.argmax(np.where(outside, np.where(np.isnan(difference), np.inf, ratio), -1)))
        where = np.unravel_index(flat, value.shape)
        result.worst = tuple(int(i) for i in where)
        result.actual, result.expected = float(actual[where]), float(value[where])
        result.allowed = float(error[where])
    elif not limited:
        result.verdict = Verdict.OVERFLOW
    elif not zero and not floor <= BLUNT_FLOOR:
        result.verdict = Verdict.BLUNT  # (3)
    elif expected.smooth_error is not None and (difference > expected.smooth_error).any():
        result.verdict = Verdict.KINK
    return result


def _median(values: Array) -> float:
    """The upper median; cheaper than np.median, which matters at millions of small tensors."""
    flat = values.ravel()
    if flat.size == 0:
        return 0.0
    middle = flat.size // 2
    return float(np.partition(flat, middle)[middle])


def judge_trace(actual: Trace, expected: Trace, view: View, witness: str) -> list[TensorVerdict]:
    """Judge every tensor that both traces have, in the order of computation.

    End to end, all that follows the first disagreement is marked as its consequence.
    """
    arrays = dict(actual.tensors())
    verdicts = []
    seen: list[Any] = []
    disagreed = False
    for name, wanted in _expected_tensors(expected):
        if name not in arrays or any(wanted is other for other in seen):
            continue
        seen = [*seen[-1:], wanted]
        array = np.asarray(arrays[name])
        verdict = judge_tensor(name, array, wanted, view, witness, abstains=actual.abstains)
        if verdict.verdict is Verdict.DISAGREE:
            verdict.consequence = disagreed
            disagreed = disagreed or view is View.END_TO_END
        verdicts.append(verdict)
    return verdicts + _judge_projections(actual, expected, view, witness)


def _judge_projections(
    actual: Trace, expected: Trace, view: View, witness: str
) -> list[TensorVerdict]:
    """Judge gradients that the witness knows along random directions only."""
    wanted = dict(zip(expected.gradient_names, expected.gradients, strict=True))
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


def _expected_tensors(expected: Trace) -> Iterator[tuple[TensorName, BoundedArray]]:
    """What the manual code computed: not its given inputs, nor arrays without bounds."""
    for name, wanted in expected.tensors():
        if name.tensor != "inputs" and isinstance(wanted, BoundedArray):
            yield name, wanted
