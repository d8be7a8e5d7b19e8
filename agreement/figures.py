"""What verdicts are made of: how far numbers lie from what is expected, and what could be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from manual_backprop.typing import Array

BLUNT_FLOOR = 0.5
# So many elements at a time stay in the processor's cache through all passes over them.
BLOCK = 1 << 14
# How many elements tell about where the median of a large tensor lies, and how many of them, to
# either side of their own median, it is surely within: about six standard deviations.
SAMPLE, MARGIN = 1 << 12, 200


class Elements(NamedTuple):
    """Of every element: its distance from the centre, also in errors; whether it is larger than
    the error; whether anything is allowed."""

    difference: Array
    ratio: Array
    outside: Array
    infinite: Array


class Figures(NamedTuple):
    """Of every tensor, along the last axis.

    Attributes:
        ratio: the largest of its elements. floor, largest_floor: the error's median and maximum
            in units of the largest number. zero: whether all numbers are.
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
        difference = np.abs(actual - value, dtype=np.float64)
        if silent is not None:
            difference[silent[part]] = 0.0
        infinite = np.isinf(error)
        outside = ~(difference <= error)  # (1)
        ratio = np.where(difference == 0, 0.0, difference / error)
        if infinite.any():
            outside &= ~infinite
            ratio[infinite] = 0.0
        if outside.any():
            ratio[outside & np.isnan(difference)] = np.inf
    return Elements(difference, ratio, outside, infinite)


def figures_of(
    value: Array, error: Array, actual: Array, silent: Array | None, sizes: Sequence[int]
) -> Figures:
    """Compare numbers laid end to end, tensors of given sizes; before them may be other axes.

    Where a witness is ``silent`` it counts as if anything were allowed.
    """
    with np.errstate(all="ignore"):
        if value.ndim == 1 and len(sizes) == 1 and value.size > BLOCK:
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
    scales = np.maximum.reduce([_scales(value[b], actual[b], start) for b in blocks])
    found = []
    for b in blocks:
        quiet = None if silent is None else silent[b]
        size = b.stop - b.start
        found.append(_figures(value[b], error[b], actual[b], quiet, [size], start, scales)[0])
    width = error if silent is None else np.where(silent, np.inf, error)
    return Figures(
        ratio=np.maximum.reduce([f.ratio for f in found]),
        floor=_upper_median(width) / _divisors(scales),
        largest_floor=np.maximum.reduce([f.largest_floor for f in found]),
        zero=scales == 0,
        blunt=np.add.reduce([f.blunt for f in found]),
        wrong=np.add.reduce([f.wrong for f in found]),
        overflow=np.logical_or.reduce([f.overflow for f in found]),
    )


def _medians(width: Array, starts: Array, sizes: Sequence[int]) -> Array:
    """The upper median of each tensor."""
    if width.ndim == 1 and len(sizes) > 1:
        ordered = width[np.lexsort((width, np.repeat(np.arange(len(sizes)), sizes)))]
        return ordered[starts + np.asarray(sizes) // 2]
    medians = np.empty((*width.shape[:-1], len(sizes)))
    for at, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        middle = size // 2
        part = width[..., start : start + size]
        medians[..., at] = np.partition(part, middle, axis=-1)[..., middle]
    return medians


def _upper_median(x: Array) -> Array:
    """The upper median of many numbers, of which a sample tells the few it can be (Floyd and
    Rivest, *Expected time bounds for selection*, 1975); if it does not, all are looked at."""
    middle = x.size // 2
    sample = np.sort(x[:: max(x.size // SAMPLE, 1)])
    low, high = (sample[sample.size // 2 + offset] for offset in (-MARGIN, MARGIN))
    near = x[(x >= low) & (x <= high)]
    rank = middle - np.count_nonzero(x < low)
    if not 0 <= rank < near.size:
        near, rank = x, middle
    return np.asarray(np.partition(near, rank)[rank])
