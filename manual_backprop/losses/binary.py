"""Cross-entropies of independent bits, fused with a sigmoid or from plain probabilities.

t is a bit or the probability of one, C the number of outputs along the axis; every value is
the mean along it, and g = ∂loss/∂value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from manual_backprop import special
from manual_backprop.losses import labels as checked
from manual_backprop.losses.base import EPSILON, CrossEntropy, as_kind_of
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class BinaryCrossentropy(CrossEntropy):
    r"""(1/C) Σ −t log p − (1 − t) log(1 − p).

    Fused with sigmoid, p = σ(z):

    (1) −log σ(z) = softplus(−z) and −log(1 − σ(z)) = softplus(z) = z + softplus(−z), so the sum
        is softplus(z) − t z, where softplus(z) = max(z, 0) + log(1 + e^−|z|)
    (2) ∂/∂z = σ(z) − t = p − t, then times g/C

    From probabilities:

    (3) q = clip(p, ε, 1 − ε), the sum is −t log q − (1 − t) log(1 − q)
    (4) ∂/∂q = −t/q + (1 − t)/(1 − q), then times g/C
    (5) ∂/∂p = ∂/∂q where ε ≤ p ≤ 1 − ε, else 0; at equality the gradient passes

    (6) label smoothing a: t becomes (1 − a) t + a/2

    In float32 1 − ε rounds to 1 − 1.19e-7, so y = 0, p = 1 costs 15.94 and y = 1, p = 0 16.12.

    Args:
        label_smoothing: a, from 0 to 1.
        axis: along which the mean is taken.
    """

    name: ClassVar[str] = "binary_crossentropy"
    aliases: ClassVar[tuple[str, ...]] = ("bce", "BCE")
    labels: ClassVar[str] = "bits"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.3, "from_logits": True},
        {"axis": 0},
    )

    label_smoothing: float = field(default=0.0, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checked.as_smoothing(self.label_smoothing)

    @property
    def fuses_with(self) -> str | None:
        return "sigmoid"

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, p = ε and p = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return checked.numbers(labels, predictions, 0, 1, "bit: expected numbers from 0 to 1")

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        return entropy_of_logits(logits, self._smoothed(targets, logits)).mean(axis=self.axis)

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        difference = predictions - self._smoothed(targets, predictions)  # (2)
        return difference * self._each(grad_values, predictions)  # (2)

    def values(self, predictions: Array, targets: Array) -> Array:
        return entropy(predictions, self._smoothed(targets, predictions)).mean(axis=self.axis)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = self._smoothed(targets, predictions)
        grad = entropy_slope(predictions, targets)
        return grad * self._each(grad_values, predictions)

    def squash(self, logits: Array) -> Array:
        return special.sigmoid(logits)

    def _smoothed(self, targets: Array, like: Array) -> Array:
        share = 0.5 * self.label_smoothing
        return checked.smoothed(targets, like, self.label_smoothing, share)  # (6)

    def _each(self, grad_values: Array, predictions: Array) -> Array:
        """g/C."""
        return np.expand_dims(grad_values, self.axis) / predictions.shape[self.axis]


@dataclass(eq=False, repr=False)
class BinaryFocalCrossentropy(BinaryCrossentropy):
    r"""(1/C) Σ w f b, the terms b of ``BinaryCrossentropy`` with less weight for easy ones.

    (1) π = t p + (1 − t)(1 − p), the probability of what is right
    (2) f = (1 − π)^γ, ∂f/∂π = −γ (1 − π)^(γ−1); f = 1 and ∂f/∂π = 0 for γ = 0
    (3) w = α t + (1 − α)(1 − t) with ``apply_class_balancing``, else 1
    (4) ∂π/∂p = t − (1 − t) = 2t − 1

    From probabilities b and ∂b/∂p are (3) to (5) of ``BinaryCrossentropy``. The clip is b's
    alone: f has the p that came in.

    (5) ∂(w f b)/∂p = w (f ∂b/∂p + b ∂f/∂π ∂π/∂p), then times g/C

    Behind a sigmoid, Keras takes b from the logits, by (1) there, and f from p = σ(z). What
    it differentiates with respect to p alone is a part of the gradient; with respect to z,

    (6) ∂b/∂z = p − t and ∂p/∂z = p (1 − p), so
        ∂(w f b)/∂z = w (f (p − t) + b ∂f/∂π ∂π/∂p p (1 − p)), then times g/C

    (7) where π = 1, so that b = 0: for γ < 1, ∂f/∂π is infinite, but b ∂f/∂π has the limit 0,
        which is chosen

    ``from_logits`` does (6) with p = σ(logits), whatever made the logits.

    Args:
        apply_class_balancing: whether w is other than 1.
        alpha: α, the weight of t = 1. gamma: γ ≥ 0, how much easy samples lose.
        label_smoothing: a, from 0 to 1: t becomes (1 − a) t + a/2.
        axis: along which the mean is taken.

    Reference: Lin et al., arXiv:1708.02002.
    """

    name: ClassVar[str] = "binary_focal_crossentropy"
    aliases: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"apply_class_balancing": True},
        {"apply_class_balancing": True, "alpha": 0.7, "gamma": 1.5, "label_smoothing": 0.1},
        {"gamma": 3.0, "from_logits": True},
        {"gamma": 1.0, "axis": 0},
    )

    apply_class_balancing: bool = field(default=False, kw_only=True)
    alpha: float = field(default=0.25, kw_only=True)
    gamma: float = field(default=2.0, kw_only=True)

    @property
    def fuses_with(self) -> str | None:
        # Behind a sigmoid, "from_logits" squashes once more, what is a probability already.
        return None if self.from_logits else "sigmoid"

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, p = ε and p = 1 − ε; for γ < 1, at p = t"

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        targets = self._smoothed(targets, logits)
        easy, _ = self.focus(self.squash(logits), targets)
        return (easy * entropy_of_logits(logits, targets)).mean(axis=self.axis)

    def backward_from_logits(
        self, predictions: Array, targets: Array, logits: Array | None = None
    ) -> Array:
        given = np.log(predictions) - np.log(1 - predictions) if logits is None else logits

        def pull_back(grad_values: Array, p: Array, targets: Array) -> Array:
            t = self._smoothed(targets, p)
            easy, easy_slope = self.focus(p, t)
            through_focus = entropy_of_logits(given, t) * easy_slope * (p * (1 - p))
            grad = easy * (p - t) + through_focus  # (6)
            return grad * self._each(grad_values, p)

        return self._reduced_gradient(pull_back, predictions, targets)

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = self._smoothed(targets, predictions)
        easy, _ = self.focus(predictions, targets)
        return (easy * entropy(predictions, targets)).mean(axis=self.axis)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = self._smoothed(targets, predictions)
        easy, easy_slope = self.focus(predictions, targets)
        through_entropy = easy * entropy_slope(predictions, targets)
        grad = through_entropy + easy_slope * entropy(predictions, targets)  # (5)
        return grad * self._each(grad_values, predictions)

    def focus(self, p: Array, t: Array) -> tuple[Array, Array]:
        """w f and its derivative with respect to p."""
        t = as_kind_of(p, t)
        other = 1 - t
        right = t * p + other * (1 - p)  # (1)
        wrong = 1 - right
        if 0 < self.gamma < 1:
            never = wrong == 0
            slope = power_slope(np.where(never, 1, wrong), self.gamma)
            slope = np.where(never, 0, slope)  # (7)
        else:
            slope = power_slope(wrong, self.gamma)  # (2)
        factor = power(wrong, self.gamma)  # (2)
        # Term by term, as a library's tape: near t = ½ one difference would be the better one.
        slope = slope * other - slope * t  # (2), (4): the two minuses cancel
        if not self.apply_class_balancing:
            return factor, slope
        weight = t * self.alpha + other * (1 - self.alpha)  # (3)
        return weight * factor, weight * slope


def entropy_of_logits(logits: Array, t: Array) -> Array:
    """Step (1) of ``BinaryCrossentropy``."""
    return np.maximum(logits, 0) - logits * t + np.log1p(np.exp(-np.abs(logits)))


def entropy(predictions: Array, t: Array) -> Array:
    """Step (3) of ``BinaryCrossentropy``."""
    q = np.clip(predictions, EPSILON, 1 - EPSILON)
    return -(t * np.log(q) + (np.ones_like(q) - t) * np.log(1 - q))


def entropy_slope(predictions: Array, t: Array) -> Array:
    """Steps (4) and (5) of ``BinaryCrossentropy``."""
    q = np.clip(predictions, EPSILON, 1 - EPSILON)
    grad = (np.ones_like(q) - t) / (1 - q) - t / q  # (4)
    return grad * ((predictions >= EPSILON) & (predictions <= 1 - EPSILON))  # (5)


def power(base: Array, exponent: float) -> Array:
    """base^exponent, the exponent being rounded to the working precision."""
    return np.power(base, base.dtype.type(exponent))


def power_slope(base: Array, exponent: float) -> Array:
    """The derivative of ``power``; 0 for the exponent 0, also at 0."""
    if exponent == 0:
        return np.zeros_like(base)
    return exponent * np.power(base, base.dtype.type(exponent) - 1)
