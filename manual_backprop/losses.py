"""Losses: each a forward and its hand-derived backward, averaged as Keras averages.

``predictions`` are (samples, outputs); ``targets`` are labels that ``prepare`` has checked.
``forward`` returns the loss as a scalar array; ``backward`` returns ∂loss/∂predictions.
N is the number of samples, C the number of outputs.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from manual_backprop.catalogue import family, resolve, unknown_name
from manual_backprop.typing import Array
from manual_backprop.validation import as_class_indices, as_distributions, as_targets

# Keras' backend epsilon, the distance that probabilities keep from 0 and 1.
EPSILON = 1e-7

PATHS = ("auto", "fused", "probabilities")


class Loss:
    """A scalar function of predictions and targets.

    Subclasses set ``name`` (Keras' name, by which the twin is found).
    """

    name: ClassVar[str]
    # The activation that the loss can be fused with; None where there is no fused form.
    fuses_with: ClassVar[str | None] = None
    path = "probabilities"

    def prepare(self, labels: object, predictions: Array) -> Array:
        """Check labels against the predictions' shape and return them as targets.

        Raises:
            ValueError, TypeError: naming ``labels`` and what is wrong with them.
        """
        return as_targets(labels, predictions.shape, predictions.dtype)

    def is_fused_with(self, activation_name: str) -> bool:
        """Whether this loss is computed from the logits behind an output activation."""
        fusible = activation_name == self.fuses_with
        if self.path == "fused" and not fusible:
            raise ValueError(
                f"loss: path='fused' needs {self.fuses_with!r} as the last layer's activation, "
                f"which is {activation_name!r}; use path='auto' or path='probabilities'."
            )
        return fusible and self.path != "probabilities"

    def forward(self, predictions: Array, targets: Array) -> Array:
        """The loss, a scalar array, from predictions (N, C)."""
        raise NotImplementedError

    def backward(self, predictions: Array, targets: Array) -> Array:
        """∂loss/∂predictions, (N, C)."""
        raise NotImplementedError

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        """The loss, a scalar array, from the logits (N, C) behind the fused activation."""
        raise NotImplementedError

    def backward_from_logits(self, predictions: Array, targets: Array) -> Array:
        """∂loss/∂logits, (N, C), from the predictions of the fused activation."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.name


class CrossEntropy(Loss):
    """What both cross-entropies share: the choice between the fused form and probabilities.

    Args:
        path: "fused" computes from the logits behind a softmax, as Keras does when it
            recognises one; "probabilities" computes from plain probabilities; "auto" fuses
            whenever the last activation is softmax.
    """

    fuses_with = "softmax"

    def __init__(self, path: str = "auto") -> None:
        if path not in PATHS:
            raise unknown_name("path", path, PATHS)
        self.path = path

    def __repr__(self) -> str:
        return self.name if self.path == "auto" else f"{self.name}(path={self.path!r})"


class SparseCategoricalCrossentropy(CrossEntropy):
    r"""−log p_{n,y_n}, averaged over the samples; y_n is the index of sample n's class.

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −log p_y = log Σ_i e^{s_i} − s_y
    (2) ∂/∂z_i = e^{s_i} / Σ_j e^{s_j} − [i = y] = p_i − [i = y], then divided by N

    From probabilities, Keras clips and then treats log p as logits, so it renormalises:

    (3) q = clip(p, ε, 1 − ε), l = log q, loss = the mean of (1) at z = l
    (4) ∂/∂l_i = (softmax(l)_i − [i = y]) / N, by (2)
    (5) ∂/∂q_i = ∂/∂l_i / q_i
    (6) ∂/∂p_i = ∂/∂q_i where ε ≤ p_i ≤ 1 − ε, else 0; at equality the gradient passes
    """

    name = "sparse_categorical_crossentropy"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return as_class_indices(labels, *predictions.shape)

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        return (log_sum - shifted[np.arange(len(targets)), targets]).mean()  # (1)

    def backward_from_logits(self, predictions: Array, targets: Array) -> Array:
        grad = predictions.copy()
        grad[np.arange(len(targets)), targets] -= 1  # (2)
        grad /= len(targets)  # (2)
        return grad

    def forward(self, predictions: Array, targets: Array) -> Array:
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)
        return self.forward_from_logits(np.log(clipped), targets)  # (3)

    def backward(self, predictions: Array, targets: Array) -> Array:
        clipped = np.clip(predictions, EPSILON, 1 - EPSILON)  # (3)
        logits = np.log(clipped)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        softmax = exponentials / exponentials.sum(axis=-1, keepdims=True)
        grad_clipped = self.backward_from_logits(softmax, targets) / clipped  # (4), (5)
        inside = (predictions >= EPSILON) & (predictions <= 1 - EPSILON)
        return grad_clipped * inside  # (6)


class CategoricalCrossentropy(CrossEntropy):
    r"""−Σ_i t_ni log p_ni, averaged over the samples; each t_n is a distribution (one-hot).

    Fused with softmax, p = softmax(z) and s = z − max z:

    (1) −Σ_i t_i log p_i = Σ_i t_i (log Σ_j e^{s_j} − s_i)
    (2) ∂/∂z_j = p_j Σ_i t_i − t_j = p_j − t_j, since Σt = 1; then divided by N

    From probabilities, with S = Σ_i p_i, Keras normalises first and clips second:

    (3) q = p / S, c = clip(q, ε, 1 − ε), loss = −(1/N) Σ_n Σ_i t_i log c_i
    (4) ∂/∂c_i = −t_i / c_i / N
    (5) ∂/∂q_i = ∂/∂c_i where ε ≤ q_i ≤ 1 − ε, else 0; at equality the gradient passes
    (6) ∂q_i/∂p_j = [i = j]/S − p_i/S², so ∂/∂p_j = ∂/∂q_j / S − Σ_i ∂/∂q_i (p_i/S)/S
    """

    name = "categorical_crossentropy"

    def prepare(self, labels: object, predictions: Array) -> Array:
        samples, classes = predictions.shape
        return as_distributions(labels, samples, classes, predictions.dtype)

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return (targets * (log_sum - shifted)).sum(axis=-1).mean()  # (1)

    def backward_from_logits(self, predictions: Array, targets: Array) -> Array:
        return (predictions - targets) / len(targets)  # (2)

    def forward(self, predictions: Array, targets: Array) -> Array:
        normalised = predictions / predictions.sum(axis=-1, keepdims=True)
        clipped = np.clip(normalised, EPSILON, 1 - EPSILON)
        return -(targets * np.log(clipped)).sum(axis=-1).mean()  # (3)

    def backward(self, predictions: Array, targets: Array) -> Array:
        total = predictions.sum(axis=-1, keepdims=True)
        normalised = predictions / total  # (3)
        clipped = np.clip(normalised, EPSILON, 1 - EPSILON)
        grad_clipped = -targets / clipped / len(targets)  # (4)
        inside = (normalised >= EPSILON) & (normalised <= 1 - EPSILON)
        grad_normalised = grad_clipped * inside  # (5)
        through_sum = (grad_normalised * (normalised / total)).sum(axis=-1, keepdims=True)
        return grad_normalised / total - through_sum  # (6)


class MeanSquaredError(Loss):
    r"""(1/NC) Σ (p − t)², the mean over *all* elements.

    (1) ∂/∂p_ni = 2 (p_ni − t_ni) / (C N). No kinks.
    """

    name = "mean_squared_error"

    def forward(self, predictions: Array, targets: Array) -> Array:
        difference = predictions - targets
        return (difference * difference).mean(axis=-1).mean()

    def backward(self, predictions: Array, targets: Array) -> Array:
        samples, outputs = predictions.shape
        return 2 * (predictions - targets) / outputs / samples  # (1)


class MeanAbsoluteError(Loss):
    r"""(1/NC) Σ |p − t|, the mean over *all* elements.

    (1) ∂/∂p_ni = sign(p_ni − t_ni) / (C N)
    (2) at the kink p = t the derivative is chosen to be 0, as Keras does
    """

    name = "mean_absolute_error"

    def forward(self, predictions: Array, targets: Array) -> Array:
        return np.abs(predictions - targets).mean(axis=-1).mean()

    def backward(self, predictions: Array, targets: Array) -> Array:
        samples, outputs = predictions.shape
        return np.sign(predictions - targets) / outputs / samples  # (1), (2)


LOSSES = family(Loss, globals())


def get(loss: object) -> Loss:
    """A :class:`Loss` from its name, its class or an instance.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
        TypeError: for any other kind of object, such as the loss's *value*.
    """
    return resolve("loss", loss, Loss, LOSSES)
