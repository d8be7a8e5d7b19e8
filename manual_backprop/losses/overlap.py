"""Losses of overlap: how far the predictions and the targets, as soft sets, are the same set.

Sums run over ``axis``, and there is one value for each place of the other axes; over all axes
there is one value for the whole batch. ε keeps quotients of empty sets defined; g is
∂loss/∂value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.losses.base import EPSILON, Loss, as_kind_of
from manual_backprop.typing import Array

VARIANTS_OF_AXIS: tuple[dict[str, Any], ...] = ({}, {"axis": -1}, {"axis": 0}, {"axis": (0, 1)})


@dataclass(eq=False, repr=False)
class Overlap(Loss):
    """What both losses share: the axes that are summed over.

    Args:
        axis: a number, a tuple of them, or None for all.
    """

    labels: ClassVar[str] = "bits"
    predictions: ClassVar[str] = "probabilities"

    axis: Any = None

    def ones(self, predictions: Array) -> Array:
        return np.ones_like(self.total(predictions))

    def total(self, x: Array) -> Array:
        """The sum over the axes."""
        return x.sum(axis=self.axis)

    def spread(self, x: Array) -> Array:
        """Values, with the axes that were summed over again, of length 1."""
        return x if self.axis is None else np.expand_dims(x, self.axis)


@dataclass(eq=False, repr=False)
class Dice(Overlap):
    r"""1 − 2 Σtp / (Σt + Σp + ε).

    With D for the denominator and q = 2 Σtp / D:

    (1) ∂q/∂p_i = 2 t_i / D − q / D
    (2) ∂/∂p_i = −g ∂q/∂p_i. No kinks.
    """

    name: ClassVar[str] = "dice"
    variants: ClassVar[tuple[dict[str, Any], ...]] = VARIANTS_OF_AXIS

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        common = self.total(targets * predictions)
        return 1 - 2 * common / (self.total(targets) + self.total(predictions) + EPSILON)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        common = self.total(targets * predictions)
        size = self.total(targets) + self.total(predictions) + EPSILON
        ratio = 2 * common / size
        grad_ratio = 2 * targets / self.spread(size) - self.spread(ratio / size)  # (1)
        return -self.spread(grad_values) * grad_ratio  # (2)


@dataclass(eq=False, repr=False)
class Tversky(Overlap):
    r"""1 − Σtp / D with D = Σtp + α Σ(1 − t)p + β Σt(1 − p) + ε.

    α weighs what is predicted and not there, false positives; β what is there and not
    predicted, false negatives (Salehi et al. 2017, arxiv.org/abs/1706.05721). With q = Σtp / D:

    (1) ∂D/∂p_i = t_i + α (1 − t_i) − β t_i
    (2) ∂q/∂p_i = t_i / D − (q / D) ∂D/∂p_i
    (3) ∂/∂p_i = −g ∂q/∂p_i. No kinks.

    Args:
        alpha, beta: the weights.
    """

    name: ClassVar[str] = "tversky"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        *VARIANTS_OF_AXIS,
        {"alpha": 0.25, "beta": 0.25, "axis": -1},
        {"alpha": 2.0, "beta": 2.0},
        {"alpha": 0.25, "beta": 0.75},
    )

    alpha: float = 0.5
    beta: float = 0.5

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        common = self.total(targets * predictions)
        return 1 - common / self.size(predictions, targets)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        size = self.size(predictions, targets)
        ratio = self.total(targets * predictions) / size
        grad_size = targets + self.alpha * (1 - targets) - self.beta * targets  # (1)
        grad_ratio = targets / self.spread(size) - self.spread(ratio / size) * grad_size  # (2)
        return -self.spread(grad_values) * grad_ratio  # (3)

    def size(self, predictions: Array, targets: Array) -> Array:
        """D."""
        common = self.total(targets * predictions)
        false_positives = self.total((1 - targets) * predictions)
        false_negatives = self.total(targets * (1 - predictions))
        return common + self.alpha * false_positives + self.beta * false_negatives + EPSILON
