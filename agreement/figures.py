"""What verdicts are made of: how far numbers lie from what is expected, and what could be seen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from manual_backprop.typing import Array

BLUNT_FLOOR = 0.5
# So many elements at a time stay in the processor's cache through all passes over them.
BLOCK = 1 << 16
# A tensor of more elements has the median error of so many of them for its floor: good to a rank of
# two in a hundred.
SAMPLE = 1 << 12
TINIEST = np.nextafter(0.0, 1.0)


class Elements(NamedTuple):
    """Of every element: its distance from the centre in errors; whether it is larger than the
    error; whether anything is allowed."""

    ratio: Array
    outside: Array
    infinite: Array


class Figures(NamedTuple):
    """Of every tensor, along the last axis.

    Attributes:
        ratio: the largest of its elements. floor, largest_floor: the error's upper median (of
            a large tensor, of a sample of its elements) and maximum in units of the largest
            number. zero: whether all numbers are.
        blunt, wrong: how many elements are. overflow: whether an error is infinite.
    """

    ratio: Array
    floor: Array
    largest_floor: Array
    zero: Array
    blunt: Array
    wrong: Array
    overflow: Array


def compare_elements(
    value: Array, error: Array, actual: Array, silent: Array | None, part: Any = ...
) -> Elements:
    """Compare every element, or those of a ``part``, by (1) of ``verdicts``, but where a witness is
    ``silent``."""
    value, error, actual = value[part], error[part], actual[part]
    with np.errstate(all="ignore"):
        difference = differences(value, actual, None if silent is None else silent[part])
        infinite = np.isinf(error)
        outside = ~(difference <= error)  # (1)
        ratio = np.where(difference == 0, 0.0, difference / error)
        if infinite.any():
            outside &= ~infinite
            ratio[infinite] = 0.0
        if outside.any():
            ratio[outside & np.isnan(difference)] = np.inf
    return Elements(ratio, outside, infinite)


def differences(value: Array, actual: Array, silent: Array | None) -> Array:
    """The distance of every element from the centre; 0 where a witness is silent."""
    with np.errstate(all="ignore"):
        found = np.subtract(actual, value, dtype=np.float64)
        np.abs(found, out=found)
    if silent is not None:
        found[silent] = 0.0
    return found


def figures_of(
    value: Array, error: Array, actual: Array, silent: Array | None, sizes: Sequence[int]
) -> Figures:
    """Compare numbers laid end to end, tensors of given sizes; before them may be other axes.

    Where a witness is ``silent`` it counts as if anything were allowed.
    """
    with np.errstate(all="ignore"):
        if value.ndim == 1 and len(sizes) == 1 and value.size > SAMPLE:
            return _of_large(value, error, actual, silent)
        starts = np.cumsum(sizes, dtype=np.intp) - np.array(sizes, dtype=np.intp)
        scales = _scales(value, actual, starts)
        found, width = _figures(value, error, actual, silent, sizes, starts, scales)
        return found._replace(floor=_medians(width, starts, sizes) / _divisors(scales))


def _scales(value: Array, actual: Array, starts: Array) -> Array:
    """The largest finite number of each tensor, expected or computed."""
    reached = np.where(np.isfinite(actual), np.abs(actual), 0.0)
    return np.maximum.reduceat(np.fmax(np.abs(value), reached), starts, axis=-1)


def _divisors(scales: Array) -> Array:
    return np.where(scales == 0, 1.0, scales)


def _figures(
    value: Array,
    error: Array,
    actual: Array,
    silent: Array | None,
    sizes: Sequence[int],
    starts: Array,
    scales: Array,
) -> tuple[Figures, Array]:
    """All figures but ``floor``, and the errors, infinite where a witness is silent."""
    elements = compare_elements(value, error, actual, silent)
    width = error if silent is None else np.where(silent, np.inf, error)
    limits = np.where(scales == 0, np.inf, BLUNT_FLOOR * scales)
    wide = ~(width < np.repeat(limits, sizes, axis=-1))
    largest = np.maximum.reduceat(width, starts, axis=-1)
    figures = Figures(
        ratio=np.maximum.reduceat(elements.ratio, starts, axis=-1),
        floor=largest,  # until the median is known
        largest_floor=largest / _divisors(scales),
        zero=scales == 0,
        blunt=np.add.reduceat(wide, starts, axis=-1, dtype=int),
        wrong=np.add.reduceat(elements.outside, starts, axis=-1, dtype=int),
        overflow=np.logical_or.reduceat(elements.infinite, starts, axis=-1),
    )
    return figures, width


def _of_large(value: Array, error: Array, actual: Array, silent: Array | None) -> Figures:
    """The figures of one large tensor, of which a block at a time is looked at."""
    start = np.zeros(1, dtype=np.intp)
    blocks = [slice(at, min(at + BLOCK, value.size)) for at in range(0, value.size, BLOCK)]
    scales = np.maximum.reduce([_scales_of_block(value[b], actual[b], start) for b in blocks])
    found = []
    for b in blocks:
        figures = None
        if silent is None:
            figures = _of_agreeing(value[b], error[b], actual[b], scales)
        if figures is None:
            quiet = None if silent is None else silent[b]
            size = b.stop - b.start
            figures, _ = _figures(value[b], error[b], actual[b], quiet, [size], start, scales)
        found.append(figures)
    drawn = _sample(value.size, SAMPLE)
    width = error[drawn] if silent is None else np.where(silent[drawn], np.inf, error[drawn])
    return Figures(
        ratio=np.maximum.reduce([f.ratio for f in found]),
        floor=_medians(width, start, [drawn.size]) / _divisors(scales),
        largest_floor=np.maximum.reduce([f.largest_floor for f in found]),
        zero=scales == 0,
        blunt=np.add.reduce([f.blunt for f in found]),
        wrong=np.add.reduce([f.wrong for f in found]),
        overflow=np.logical_or.reduce([f.overflow for f in found]),
    )


@lru_cache(maxsize=256)
def _sample(size: int, count: int) -> Array:
    """Indices of elements of a large tensor, drawn so as not to be in step with its rows."""
    return np.random.default_rng(size).integers(size, size=count)


def _scales_of_block(value: Array, actual: Array, start: Array) -> Array:
    """``_scales``, in fewer passes where all is finite."""
    ends = value.max(), -value.min(), actual.max(), -actual.min()
    largest = np.max(ends, keepdims=True)  # NaN if any is
    return largest if np.isfinite(largest) else _scales(value, actual, start)


def _of_agreeing(value: Array, error: Array, actual: Array, scales: Array) -> Figures | None:
    """``_figures``, in fewer passes, of a block in which all is finite, sharp and within its error;
    None of any other."""
    largest = error.max(keepdims=True)
    if not largest < BLUNT_FLOOR * scales:
        return None
    ratio = differences(value, actual, None)
    ratio /= error if error.min() else np.maximum(error, TINIEST)  # no error, no difference
    worst = ratio.max(keepdims=True)
    if not worst <= 1:  # (1): no quotient above 1 is rounded to 1
        return None
    none = np.zeros(1, dtype=int)
    return Figures(
        ratio=worst,
        floor=largest,  # until the median is known
        largest_floor=largest / scales,
        zero=scales == 0,
        blunt=none,
        wrong=none,
        overflow=np.zeros(1, dtype=bool),
    )


def _medians(width: Array, starts: Array, sizes: Sequence[int]) -> Array:
    """The upper median of each tensor."""
    if width.ndim == 1 and len(sizes) > 1:
        ordered = width[np.lexsort((width, np.repeat(np.arange(len(sizes)), sizes)))]
        return ordered[starts + np.asarray(sizes) // 2]
    medians = np.empty((*width.shape[:-1], len(sizes)))
    for at, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        part = width[..., start : start + size]
        # Sorted: partition takes many times as long where half of all are equal.
        medians[..., at] = np.sort(part)[..., size // 2]
    return medians
