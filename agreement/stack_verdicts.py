"""Verdicts on many draws of one architecture at once, as numbers: what statistics count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from agreement.alike import as_draws, raw
from agreement.figures import BLUNT_FLOOR, differences, figures_of
from agreement.stacked import DrawsDiffer
from agreement.verdicts import Verdict, View, batches_of
from manual_backprop.trace import Trace
from manual_backprop.typing import Array

CODES = {verdict: code for code, verdict in enumerate(Verdict)}


@dataclass
class StackVerdicts:
    """The verdicts on the tensors of every draw, (draws, tensors) each.

    Attributes:
        views: of each tensor. codes: each verdict's place in ``Verdict``.
        ratio, floor, zero: as in ``TensorVerdict``.
    """

    views: Sequence[View]
    codes: Array
    ratio: Array
    floor: Array
    zero: Array

    @property
    def disagreeing(self) -> Array:
        """The draws with a disagreement, (draws,)."""
        return (self.codes == CODES[Verdict.DISAGREE]).any(axis=1)

    def only(self, rows: Array, columns: Array) -> StackVerdicts:
        """The verdicts on some draws and tensors, each chosen by a mask."""
        views = [view for view, chosen in zip(self.views, columns, strict=True) if chosen]
        at = np.ix_(rows, columns)
        return StackVerdicts(views, self.codes[at], self.ratio[at], self.floor[at], self.zero[at])


def judge_stacks(pairs: Iterable[tuple[Trace, Trace, View, str]], draws: int) -> StackVerdicts:
    """As ``judge_pairs``, for traces of stacks.

    Raises:
        DrawsDiffer: where a tensor's shape is not the expected one.
    """
    tasks = [(c, b) for pair in pairs for b in batches_of(*pair) for c in b.comparisons]
    if any(c.expected.size == 0 or np.shape(c.actual) != c.expected.shape for c, _ in tasks):
        raise DrawsDiffer("an unexpected shape")
    like = next(c.actual for c, _ in tasks)

    def end_to_end(arrays: Iterable[Array]) -> Array:
        rows = [raw(as_draws(x, like)).reshape(draws, -1) for x in arrays]
        return np.concatenate(rows, axis=1, dtype=np.float64)

    sizes = [c.expected.size for c, _ in tasks]
    actual = end_to_end(c.actual for c, _ in tasks)
    error = end_to_end(c.expected.error for c, _ in tasks)
    silent = None
    if any(batch.abstains for _, batch in tasks):
        silent = np.isnan(actual) & np.repeat([batch.abstains for _, batch in tasks], sizes)
    value = end_to_end(c.expected.value for c, _ in tasks)
    found = figures_of(value, error, actual, silent, sizes)
    codes = np.full(found.ratio.shape, CODES[Verdict.AGREE])
    for at, start in enumerate(np.cumsum(sizes) - sizes):
        smooth = tasks[at][0].expected.smooth_error
        if smooth is not None:
            part = np.s_[:, start : start + sizes[at]]
            quiet = None if silent is None else silent[part]
            difference = differences(value[part], actual[part], quiet)
            kinked = (difference > end_to_end([smooth])).any(axis=1)
            codes[kinked, at] = CODES[Verdict.KINK]
    sharp = (found.zero & np.isfinite(found.floor)) | (found.floor <= BLUNT_FLOOR)
    codes[~sharp] = CODES[Verdict.BLUNT]
    codes[found.overflow] = CODES[Verdict.OVERFLOW]
    codes[found.wrong > 0] = CODES[Verdict.DISAGREE]
    views = [batch.view for _, batch in tasks]
    return StackVerdicts(views, codes, found.ratio, found.floor, found.zero)
