"""Losses of a margin: predictions on the right side of it cost nothing.

C is the number of outputs; g_n = ∂loss/∂(value of sample n). All of them have kinks, at which
the gradient is the one of the side that costs, as Keras has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.losses.base import Loss, as_kind_of
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class Hinge(Loss):
    r"""(1/C) Σ_i max(1 − t_ni p_ni, 0), for t = −1 or 1.

    (1) ∂/∂p_ni = −g_n t_ni / C where 1 − t_ni p_ni ≥ 0, else 0
    Labels that are all 0 or 1 become −1 and 1.
    """

    name: ClassVar[str] = "hinge"
    labels: ClassVar[str] = "signs"

    @property
    def kinks(self) -> str:
        return "at t p = 1"

    def values(self, predictions: Array, targets: Array) -> Array:
        return np.maximum(1 - as_signs(targets) * predictions, 0).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        signs = as_signs(targets)
        share = grad_values[..., None] / predictions.shape[-1]
        return -signs * share * (1 - signs * predictions >= 0)  # (1)


@dataclass(eq=False, repr=False)
class SquaredHinge(Loss):
    r"""(1/C) Σ_i max(1 − t_ni p_ni, 0)², for t = −1 or 1.

    (1) ∂/∂p_ni = −g_n 2 t_ni max(1 − t_ni p_ni, 0) / C: 0 from both sides of t p = 1, no kinks
    Labels that are all 0 or 1 become −1 and 1.
    """

    name: ClassVar[str] = "squared_hinge"
    labels: ClassVar[str] = "signs"

    def values(self, predictions: Array, targets: Array) -> Array:
        return np.square(np.maximum(1 - as_signs(targets) * predictions, 0)).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        signs = as_signs(targets)
        missing = np.maximum(1 - signs * predictions, 0)
        share = grad_values[..., None] / predictions.shape[-1]
        return -2 * (signs * missing) * share  # (1)


@dataclass(eq=False, repr=False)
class CategoricalHinge(Loss):
    r"""max(a_n − Σ_i t_ni p_ni + 1, 0), where a_n = max_i (1 − t_ni) p_ni; t_n is one-hot.

    (1) where a − Σtp + 1 ≥ 0: ∂/∂p_ni = g_n ((1 − t_ni) ∂a_n/∂(…)_i − t_ni), else 0
    (2) ∂a/∂(…)_i is 1 at the maximum, 0 elsewhere; equal maxima share it equally, as in Keras
    (3) at least one element is the largest, and no share exceeds 1: clips that change nothing, but
        let bounds know it where rounding decides who ties
    The right class takes part in the maximum with (1 − 1) p = 0.
    """

    name: ClassVar[str] = "categorical_hinge"
    labels: ClassVar[str] = "distributions"

    @property
    def kinks(self) -> str:
        return "where two wrong classes tie, and where the loss becomes 0"

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        right = (targets * predictions).sum(axis=-1)
        wrong = ((1 - targets) * predictions).max(axis=-1)
        return np.maximum(wrong - right + 1, 0)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        right = (targets * predictions).sum(axis=-1)
        others = (1 - targets) * predictions
        largest = _are_largest(others)
        count = np.clip(largest.sum(axis=-1, keepdims=True), 1, largest.shape[-1])  # (3)
        share = np.clip(largest / count, 0, 1)  # (2), (3)
        costs = others.max(axis=-1) - right + 1 >= 0
        return ((1 - targets) * share - targets) * (grad_values * costs)[..., None]  # (1)


def as_signs(targets: Array) -> Array:
    """−1 and 1 for labels that are all 0 or 1; any other labels as they are."""
    binary = np.all((targets == 0) | (targets == 1))
    return 2 * targets - 1 if binary else targets


def _are_largest(x: Array) -> Array:
    """1 where no other element of the row is larger, else 0.

    Elements are compared with those before and after them, never with themselves.
    """
    largest = np.ones_like(x)
    before = np.maximum.accumulate(x, axis=-1)
    after = np.maximum.accumulate(x[..., ::-1], axis=-1)[..., ::-1]
    largest[..., 1:] *= x[..., 1:] >= before[..., :-1]
    largest[..., :-1] *= x[..., :-1] >= after[..., 1:]
    return largest
