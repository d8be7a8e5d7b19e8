"""Cross-entropies of classes, fused with a softmax or from plain probabilities.

C is the number of classes, n counts the rows; g_n = ∂loss/∂(value of row n).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from manual_backprop.losses import labels as checked
from manual_backprop.losses.base import EPSILON, CrossEntropy
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class SparseCategoricalCrossentropy(CrossEntropy):
    r"""−log p_{n,y_n}; y_n is the index of row n's class.

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −log p_y = log Σ_i e^{s_i} − s_y
    (2) ∂/∂z_i = e^{s_i} / Σ_j e^{s_j} − [i = y] = p_i − [i = y], then times g

    From probabilities, Keras clips and then treats log p as logits, so it renormalises:

    (3) q = clip(p, ε, 1 − ε), l = log q, the value is (1) at z = l
    (4) ∂/∂l_i = g (softmax(l)_i − [i = y]), by (2)
    (5) ∂/∂q_i = ∂/∂l_i / q_i
    (6) ∂/∂p_i = ∂/∂q_i where ε ≤ p_i ≤ 1 − ε, else 0; at equality the gradient passes
    (7) a row labelled ``ignore_class`` counts for nothing: value 0, mask 0, gradient 0. Keras
        takes such rows out with an operation between softmax and loss, which so never fuse.

    Args:
        ignore_class: the label of rows that do not count; it need not be a class.
        axis: the last one.
    """

    name: ClassVar[str] = "sparse_categorical_crossentropy"
    labels: ClassVar[str] = "classes"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"ignore_class": 0},
        {"ignore_class": 1, "from_logits": True},
        {"axis": 1},
    )

    ignore_class: int | None = field(default=None, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    @property
    def fuses_with(self) -> str | None:
        return "softmax" if self.ignore_class is None else None  # (7)

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, p = ε and p = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        if self.axis not in (-1, predictions.ndim - 1):
            raise ValueError(
                f"axis: got {self.axis}, expected -1 or {predictions.ndim - 1}: the classes of "
                f"this loss lie along the last axis; move them there with np.moveaxis."
            )
        return checked.class_indices(labels, predictions.shape, self.ignore_class)

    def own_mask(self, targets: Array) -> Array | None:
        return None if self.ignore_class is None else targets != self.ignore_class  # (7)

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        logits, targets = self._counted(logits, targets)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        return log_sum - shifted[class_entries(targets)]  # (1)

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        counted, targets = self._counted(predictions, targets)
        grad = counted.copy()
        grad[class_entries(targets)] -= 1  # (2)
        grad *= grad_values[..., None]  # (2); it is 0 where a row does not count, (7)
        return grad

    def values(self, predictions: Array, targets: Array) -> Array:
        predictions, _ = self._counted(predictions, targets)
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)
        return self.values_from_logits(np.log(clipped), targets)  # (3)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        predictions, _ = self._counted(predictions, targets)
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)  # (3)
        softmax = self.squash(np.log(clipped))
        grad_logits = self.pull_back_from_logits(grad_values, softmax, targets)  # (4)
        inside = (predictions >= EPSILON) & (predictions <= 1 - EPSILON)
        return grad_logits / clipped * inside  # (5), (6)

    def squash(self, logits: Array) -> Array:
        return softmax(logits, -1)

    def _counted(self, predictions: Array, targets: Array) -> tuple[Array, Array]:
        """Harmless numbers in place of rows that do not count."""
        mask = self.own_mask(targets)
        if mask is None:
            return predictions, targets
        return np.where(mask[..., None], predictions, 0), np.where(mask, targets, 0)


@dataclass(eq=False, repr=False)
class CategoricalCrossentropy(CrossEntropy):
    r"""−Σ_i t_ni log p_ni along an axis; each t_n is a distribution (one-hot).

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −Σ_i t_i log p_i = Σ_i t_i (log Σ_j e^{s_j} − s_i)
    (2) ∂/∂z_j = p_j Σ_i t_i − t_j = p_j − t_j, since Σt = 1; then times g

    From probabilities, with S = Σ_i p_i, Keras normalises first and clips second:

    (3) q = p / S, c = clip(q, ε, 1 − ε), the value is −Σ_i t_i log c_i
    (4) ∂/∂c_i = −g t_i / c_i
    (5) ∂/∂q_i = ∂/∂c_i where ε ≤ q_i ≤ 1 − ε, else 0; at equality the gradient passes
    (6) ∂q_i/∂p_j = [i = j]/S − p_i/S², so ∂/∂p_j = ∂/∂q_j / S − Σ_i ∂/∂q_i (p_i/S)/S

    (7) label smoothing a: t becomes (1 − a) t + a/C, whose sum is 1 as well

    Args:
        label_smoothing: a, from 0 to 1.
        axis: along which the classes lie.
    """

    name: ClassVar[str] = "categorical_crossentropy"
    labels: ClassVar[str] = "distributions"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.3, "from_logits": True},
        {"axis": 1},
    )

    label_smoothing: float = field(default=0.0, kw_only=True)
    axis: int = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checked.as_smoothing(self.label_smoothing)

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, q = ε and q = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return checked.distributions(labels, predictions, self.axis)

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        targets = smoothed_classes(targets, logits, self.label_smoothing, self.axis)  # (7)
        shifted = logits - logits.max(axis=self.axis, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=self.axis, keepdims=True))
        return (targets * (log_sum - shifted)).sum(axis=self.axis)  # (1)

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        targets = smoothed_classes(targets, predictions, self.label_smoothing, self.axis)  # (7)
        return (predictions - targets) * np.expand_dims(grad_values, self.axis)  # (2)

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = smoothed_classes(targets, predictions, self.label_smoothing, self.axis)  # (7)
        clipped = np.clip(normalised(predictions, self.axis), EPSILON, 1 - EPSILON)
        return -(targets * np.log(clipped)).sum(axis=self.axis)  # (3)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = smoothed_classes(targets, predictions, self.label_smoothing, self.axis)  # (7)
        clipped = np.clip(normalised(predictions, self.axis), EPSILON, 1 - EPSILON)
        grad_clipped = -targets / clipped * np.expand_dims(grad_values, self.axis)  # (4)
        return through_normalisation(grad_clipped, predictions, self.axis)  # (5), (6)

    def squash(self, logits: Array) -> Array:
        return softmax(logits, self.axis)


def smoothed_classes(targets: Array, like: Array, smoothing: float, axis: int) -> Array:
    """(1 − a) t + a/C, for C classes along an axis."""
    share = np.full_like(like, smoothing) / targets.shape[axis] if smoothing else 0.0
    return checked.smoothed(targets, like, smoothing, share)


def softmax(logits: Array, axis: int) -> Array:
    """As the activation; see there."""
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def normalised(predictions: Array, axis: int) -> Array:
    """p / S, step (3) of ``CategoricalCrossentropy``."""
    return predictions / predictions.sum(axis=axis, keepdims=True)


def through_normalisation(grad_clipped: Array, predictions: Array, axis: int) -> Array:
    """From ∂/∂c to ∂/∂p, steps (5) and (6) of ``CategoricalCrossentropy``."""
    total = predictions.sum(axis=axis, keepdims=True)
    q = predictions / total
    grad = grad_clipped * ((q >= EPSILON) & (q <= 1 - EPSILON))  # (5)
    return grad / total - (grad * (q / total)).sum(axis=axis, keepdims=True)  # (6)


def class_entries(targets: Array) -> tuple[Array, ...]:
    """The index of every row's class."""
    return (*np.indices(targets.shape, sparse=True), targets)
