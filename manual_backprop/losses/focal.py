"""Cross-entropies of classes with less weight for easy or for mislabelled samples.

C is the number of classes, n counts the rows; g_n = ∂loss/∂(value of row n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from manual_backprop.losses import labels as checked
from manual_backprop.losses.base import EPSILON, Loss
from manual_backprop.losses.binary import power, power_slope
from manual_backprop.losses.crossentropy import (
    class_entries,
    normalised,
    smoothed_classes,
    softmax,
    through_normalisation,
)
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class CategoricalFocalCrossentropy(Loss):
    r"""−Σ_i α_i (1 − c_i)^γ t_i log c_i along an axis; each t is a distribution (one-hot).

    (1) c = clip(p / Σp, ε, 1 − ε), as ``CategoricalCrossentropy`` has it
    (2) ∂/∂c_i = −g t_i α_i ((1 − c_i)^γ / c_i − γ (1 − c_i)^(γ−1) log c_i)
    (3) from ∂/∂c to ∂/∂p: steps (5) and (6) there
    (4) from logits p = softmax(z), and ∂/∂z_j = p_j (∂/∂p_j − Σ_i ∂/∂p_i p_i)

    There is no fused form: behind a softmax this loss sees the probabilities.

    Args:
        alpha: α, one number, or one for each class. gamma: γ ≥ 0, how much easy rows lose.
        from_logits: the predictions are logits.
        label_smoothing: a, from 0 to 1: t becomes (1 − a) t + a/C.
        axis: along which the classes lie.

    Reference: Lin et al., arXiv:1708.02002.
    """

    name: ClassVar[str] = "categorical_focal_crossentropy"
    labels: ClassVar[str] = "distributions"
    predictions: ClassVar[str] = "probabilities"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"alpha": 0.7, "gamma": 1.5},
        {"gamma": 3.0, "label_smoothing": 0.1},
        {"from_logits": True},
        {"gamma": 1.0, "from_logits": True, "label_smoothing": 0.3, "axis": 1},
    )

    alpha: float | Sequence[float] = field(default=0.25, kw_only=True)
    gamma: float = field(default=2.0, kw_only=True)
    from_logits: bool = field(default=False, kw_only=True)
    label_smoothing: float = field(default=0.0, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checked.as_smoothing(self.label_smoothing)
        if not isinstance(self.alpha, int | float):
            self.alpha = tuple(float(a) for a in self.alpha)

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, q = ε and q = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        classes = predictions.shape[self.axis]
        if isinstance(self.alpha, tuple) and len(self.alpha) != classes:
            raise ValueError(
                f"alpha: got {len(self.alpha)} numbers, expected {classes}, one for each class, "
                f"or one number for all."
            )
        return checked.distributions(labels, predictions, self.axis)

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = smoothed_classes(targets, predictions, self.label_smoothing, self.axis)
        clipped = self.clipped(self._probabilities(predictions))
        weighted = power(1 - clipped, self.gamma) * self._weight(predictions)
        return -(weighted * (targets * np.log(clipped))).sum(axis=self.axis)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = smoothed_classes(targets, predictions, self.label_smoothing, self.axis)
        probabilities = self._probabilities(predictions)
        grad_clipped = self.grad_clipped(self.clipped(probabilities), targets)
        grad_clipped = grad_clipped * np.expand_dims(grad_values, self.axis)
        grad = through_normalisation(grad_clipped, probabilities, self.axis)  # (3)
        if not self.from_logits:
            return grad
        inner = (grad * probabilities).sum(axis=self.axis, keepdims=True)
        return probabilities * (grad - inner)  # (4)

    def _probabilities(self, predictions: Array) -> Array:
        return softmax(predictions, self.axis) if self.from_logits else predictions

    def clipped(self, probabilities: Array) -> Array:
        """c, step (1)."""
        return np.clip(normalised(probabilities, self.axis), EPSILON, 1 - EPSILON)

    def grad_clipped(self, clipped: Array, targets: Array) -> Array:
        """∂/∂c for g = 1, step (2)."""
        wrong = 1 - clipped
        through_factor = power_slope(wrong, self.gamma) * np.log(clipped)
        per_class = through_factor - power(wrong, self.gamma) / clipped
        return per_class * targets * self._weight(clipped)

    def _weight(self, predictions: Array) -> Any:
        """α, along the axis of the classes."""
        if not isinstance(self.alpha, tuple):
            return self.alpha
        shape = [1] * predictions.ndim
        shape[self.axis] = len(self.alpha)
        return np.array(self.alpha, predictions.dtype).reshape(shape)


@dataclass(eq=False, repr=False)
class CategoricalGeneralizedCrossEntropy(Loss):
    r"""(1 − p_y^q) / q with 0 < q < 1; y_n is the index of row n's class.

    Between −log p (q → 0) and 1 − p (q → 1), so less is made of a sample whose label is wrong.

    (1) ∂/∂p_y = −g q p_y^(q−1) / q, and 0 for every other class
    (2) at p_y = 0 the slope is −∞; it still is 0 for every other class

    Args:
        q: how far from a cross-entropy.

    Reference: Zhang, Sabuncu, arXiv:1805.07836.
    """

    name: ClassVar[str] = "categorical_generalized_cross_entropy"
    labels: ClassVar[str] = "classes"
    predictions: ClassVar[str] = "probabilities"
    domain: ClassVar[str] = "numbers from 0"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"q": 0.7}, {"q": 0.1})

    q: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q < 1:
            raise ValueError(f"q: got {self.q!r}, expected a number between 0 and 1.")

    @property
    def kinks(self) -> str:
        return "none; a pole at p = 0"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return checked.class_indices(labels, predictions.shape)

    def values(self, predictions: Array, targets: Array) -> Array:
        return (1 - power(predictions[class_entries(targets)], self.q)) / self.q

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        with np.errstate(divide="ignore"):  # (2)
            slope = power_slope(predictions[class_entries(targets)], self.q)
        grad = np.zeros_like(predictions)
        grad[class_entries(targets)] = -(slope / self.q * grad_values)  # (1), (2)
        return grad
