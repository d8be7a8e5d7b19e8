"""Cross-entropies, fused with an activation or from plain probabilities.

N is the number of samples and C the number of classes; g_n = ∂loss/∂(value of sample n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.losses.base import EPSILON, CrossEntropy
from manual_backprop.typing import Array
from manual_backprop.validation import as_class_indices, as_distributions


@dataclass(eq=False, repr=False)
class SparseCategoricalCrossentropy(CrossEntropy):
    r"""−log p_{n,y_n}; y_n is the index of sample n's class.

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −log p_y = log Σ_i e^{s_i} − s_y
    (2) ∂/∂z_i = e^{s_i} / Σ_j e^{s_j} − [i = y] = p_i − [i = y], then times g

    From probabilities, Keras clips and then treats log p as logits, so it renormalises:

    (3) q = clip(p, ε, 1 − ε), l = log q, the value is (1) at z = l
    (4) ∂/∂l_i = g (softmax(l)_i − [i = y]), by (2)
    (5) ∂/∂q_i = ∂/∂l_i / q_i
    (6) ∂/∂p_i = ∂/∂q_i where ε ≤ p_i ≤ 1 − ε, else 0; at equality the gradient passes
    """

    name: ClassVar[str] = "sparse_categorical_crossentropy"
    labels: ClassVar[str] = "classes"

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, p = ε and p = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return as_class_indices(labels, *predictions.shape)

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        return log_sum - shifted[np.arange(len(targets)), targets]  # (1)

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        grad = predictions.copy()
        grad[np.arange(len(targets)), targets] -= 1  # (2)
        grad *= grad_values[:, None]  # (2)
        return grad

    def values(self, predictions: Array, targets: Array) -> Array:
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)
        return self.values_from_logits(np.log(clipped), targets)  # (3)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)  # (3)
        softmax = self.squash(np.log(clipped))
        grad_logits = self.pull_back_from_logits(grad_values, softmax, targets)  # (4)
        inside = (predictions >= EPSILON) & (predictions <= 1 - EPSILON)
        return grad_logits / clipped * inside  # (5), (6)


@dataclass(eq=False, repr=False)
class CategoricalCrossentropy(CrossEntropy):
    r"""−Σ_i t_ni log p_ni; each t_n is a distribution (one-hot).

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −Σ_i t_i log p_i = Σ_i t_i (log Σ_j e^{s_j} − s_i)
    (2) ∂/∂z_j = p_j Σ_i t_i − t_j = p_j − t_j, since Σt = 1; then times g

    From probabilities, with S = Σ_i p_i, Keras normalises first and clips second:

    (3) q = p / S, c = clip(q, ε, 1 − ε), the value is −Σ_i t_i log c_i
    (4) ∂/∂c_i = −g t_i / c_i
    (5) ∂/∂q_i = ∂/∂c_i where ε ≤ q_i ≤ 1 − ε, else 0; at equality the gradient passes
    (6) ∂q_i/∂p_j = [i = j]/S − p_i/S², so ∂/∂p_j = ∂/∂q_j / S − Σ_i ∂/∂q_i (p_i/S)/S
    """

    name: ClassVar[str] = "categorical_crossentropy"
    labels: ClassVar[str] = "distributions"

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, q = ε and q = 1 − ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        samples, classes = predictions.shape
        return as_distributions(labels, samples, classes, predictions.dtype)

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return (targets * (log_sum - shifted)).sum(axis=-1)  # (1)

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        return (predictions - targets) * grad_values[:, None]  # (2)

    def values(self, predictions: Array, targets: Array) -> Array:
        normalised = predictions / predictions.sum(axis=-1, keepdims=True)
        clipped = np.clip(normalised, EPSILON, 1 - EPSILON)
        return -(targets * np.log(clipped)).sum(axis=-1)  # (3)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        total = predictions.sum(axis=-1, keepdims=True)
        normalised = predictions / total  # (3)
        clipped = np.clip(normalised, EPSILON, 1 - EPSILON)
        grad_clipped = -targets / clipped * grad_values[:, None]  # (4)
        inside = (normalised >= EPSILON) & (normalised <= 1 - EPSILON)
        grad_normalised = grad_clipped * inside  # (5)
        through_sum = (grad_normalised * (normalised / total)).sum(axis=-1, keepdims=True)
        return grad_normalised / total - through_sum  # (6)
