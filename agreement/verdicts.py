r"""Comparing what was computed with what is expected and allowed, element by element.

(1) agree ⇔ |actual − value| ≤ error, for every element; NaN agrees with nothing
(2) floor = median(error) / max|value|: about the smallest relative error that is seen; of a large
    tensor the median is that of a sample
(3) floor > ½ on a tensor that is not zero: nothing could have been seen, the check is blunt

What was computed counts for the maximum in (2) as well: a zero that may be anything is blunt.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from agreement.alike import as_array
from agreement.bounded import BoundedArray, bounded
from agreement.figures import BLUNT_FLOOR, compare_elements, differences, figures_of
from agreement.precision import precision_of
from manual_backprop.trace import TensorName, Trace
from manual_backprop.typing import Array

# Tensors of up to so many elements are judged together, larger ones alone: each pass over small
# ones costs a call, and each over many large ones leaves the cache.
TOGETHER = 4096
# The witness that the manual code's own run is.
MANUAL = "manual"
# The witness that abstains where there is no derivative.
DUAL = "dual"


class Verdict(StrEnum):
    """The outcome for one tensor, the gravest that applies, in this order."""

    DISAGREE = "DISAGREE"  # an element lies outside its bound
    KNOWN = "KNOWN"  # lies outside where the installed Keras is known to be wrong
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


class Batch(NamedTuple):
    """Tensors of one witness in one view; a witness that ``abstains`` does so by NaN."""

    comparisons: Sequence[Comparison]
    view: View
    witness: str
    abstains: bool = False


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
    """Judge many tensors of one witness; see ``judge_batches``."""
    return judge_batches([Batch(comparisons, view, witness, abstains)])


def judge_batches(batches: Iterable[Batch]) -> list[TensorVerdict]:
    """Judge many tensors: small ones in one pass over all their elements, laid end to end."""
    tasks = [(c, batch) for batch in batches for c in batch.comparisons]
    fits = [c.expected.size > 0 and np.shape(c.actual) == c.expected.shape for c, _ in tasks]
    fitting = [task for task, fit in zip(tasks, fits, strict=True) if fit]
    judged = itertools.chain.from_iterable(map(_judge, _groups(fitting)))
    return [
        next(judged) if fit else _misshapen(*task) for task, fit in zip(tasks, fits, strict=True)
    ]


def _misshapen(c: Comparison, batch: Batch) -> TensorVerdict:
    """Empty never equals anything, and neither does another shape."""
    note = f"has shape {np.shape(c.actual)}, expected {c.expected.shape}"
    return TensorVerdict(
        *c.name, batch.view, batch.witness, Verdict.DISAGREE, np.inf, np.nan, np.nan, False,
        c.expected.size, outside=max(c.expected.size, 1), note=note,
    )  # fmt: skip


def _groups(
    tasks: Iterable[tuple[Comparison, Batch]],
) -> Iterator[list[tuple[Comparison, Batch]]]:
    """The tasks in order, as many as are judged together at a time."""
    group: list[tuple[Comparison, Batch]] = []
    elements = 0
    for task in tasks:
        size = task[0].expected.size
        if group and elements + size > TOGETHER:
            yield group
            group, elements = [], 0
        group.append(task)
        elements += size
    if group:
        yield group


def _judge(tasks: Sequence[tuple[Comparison, Batch]]) -> list[TensorVerdict]:
    sizes = [c.expected.size for c, _ in tasks]
    value = _end_to_end([c.expected.value for c, _ in tasks])
    error = _end_to_end([c.expected.error for c, _ in tasks])
    actual = _end_to_end([c.actual for c, _ in tasks])
    silent = None
    if any(batch.abstains for _, batch in tasks):
        silent = np.repeat([batch.abstains for _, batch in tasks], sizes) & np.isnan(actual)
    found = figures_of(value, error, actual, silent, sizes)
    verdicts = []
    start = 0
    rows = zip(
        tasks,
        sizes,
        found.ratio.tolist(),
        found.floor.tolist(),
        found.largest_floor.tolist(),
        found.zero.tolist(),
        found.blunt.tolist(),
        found.wrong.tolist(),
        found.overflow.tolist(),
        strict=True,
    )
    for (c, batch), size, largest, floor, largest_floor, zero, wide, wrong, over in rows:
        part = slice(start, start + size)
        verdict = Verdict.AGREE
        if wrong:
            verdict = Verdict.DISAGREE
        elif over:
            verdict = Verdict.OVERFLOW
        elif not (zero and isfinite(floor)) and not floor <= BLUNT_FLOOR:
            verdict = Verdict.BLUNT  # (3)
        elif c.expected.smooth_error is not None:
            quiet = None if silent is None else silent[part]
            difference = differences(value[part], actual[part], quiet)
            if np.any(difference > c.expected.smooth_error.ravel()):
                verdict = Verdict.KINK
        v = TensorVerdict(
            c.name.layer, c.name.tensor, batch.view, batch.witness, verdict,
            largest, floor, largest_floor, zero, size, wide,
        )  # fmt: skip
        if wrong:
            elements = compare_elements(value, error, actual, silent, part)
            inside = int(np.argmax(np.where(elements.outside, elements.ratio, -1.0)))
            where = np.unravel_index(inside, c.expected.shape)
            v.outside = wrong
            v.worst = tuple(int(k) for k in where)
            v.actual, v.expected, v.allowed = (
                float(x[start + inside]) for x in (actual, value, error)
            )
        verdicts.append(v)
        start += size
    return verdicts


def _end_to_end(arrays: Sequence[Array]) -> Array:
    """The elements of several arrays; those of a single one are not copied if need not be."""
    rows = [np.ravel(x) for x in arrays]
    if len(rows) == 1 and rows[0].dtype in (np.float32, np.float64):
        return rows[0]
    return np.concatenate(rows, dtype=np.float64)


def judge_trace(actual: Trace, expected: Trace, view: View, witness: str) -> list[TensorVerdict]:
    """Judge every tensor that both traces have, in the order of computation.

    End to end, all that follows the first disagreement is marked as its consequence.
    """
    return judge_pairs([(actual, expected, view, witness)])


def judge_pairs(pairs: Iterable[tuple[Trace, Trace, View, str]]) -> list[TensorVerdict]:
    """``judge_trace`` of each (actual, expected, view, witness), in one pass over all."""
    verdicts = judge_batches(batch for pair in pairs for batch in batches_of(*pair))
    blamed: set[str] = set()  # witnesses with a disagreement that explains later ones
    for v in verdicts:
        if v.verdict is Verdict.DISAGREE and v.view is View.END_TO_END:
            v.consequence = v.witness in blamed
            blamed.add(v.witness)
    return verdicts


def batches_of(actual: Trace, expected: Trace, view: View, witness: str) -> Iterator[Batch]:
    """What there is to judge of one trace: tensors, and gradients along random directions."""
    arrays = dict(actual.tensors())
    comparisons: list[Comparison] = []
    for name, wanted in expected.tensors():
        if name.tensor == "inputs" or name not in arrays:
            continue
        array = as_array(arrays[name])
        found = Comparison(name, array, _with_bounds(wanted, array))
        if not (comparisons and _same(found, comparisons[-1])):
            comparisons.append(found)
    yield Batch(comparisons, view, witness, actual.abstains)
    yield Batch(_projections(actual, expected), view, witness, abstains=True)


def _projections(actual: Trace, expected: Trace) -> list[Comparison]:
    """Gradients that the witness knows along random directions only."""
    wanted = dict(zip(expected.gradient_names, expected.gradients, strict=False))
    comparisons = []
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
        comparisons.append(Comparison(name, derivatives, along))
    return comparisons


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
