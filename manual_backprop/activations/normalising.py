"""Activations of a whole row: softmax and its relatives."""

from __future__ import annotations

import numpy as np

from manual_backprop.activations.base import OfRows
from manual_backprop.typing import Array


class Softmax(OfRows):
    r"""y_i = e^{x_i} / Σ_j e^{x_j}, rows independent; assumes nothing about the loss above.

    (1) subtracting max x from every x_i changes no y_i and keeps every exponent ≤ 0
    (2) ∂y_i/∂x_j = y_i (δ_ij − y_j)
    (3) grad_x_j = Σ_i grad_y_i ∂y_i/∂x_j = y_j (grad_y_j − Σ_i grad_y_i y_i)
    No kinks. A row runs along ``axis``.
    """

    name = "softmax"

    def forward(self, inputs: Array) -> Array:
        exponentials = np.exp(inputs - inputs.max(axis=self.axis, keepdims=True))  # (1)
        return exponentials / exponentials.sum(axis=self.axis, keepdims=True)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        inner = (grad_output * output).sum(axis=self.axis, keepdims=True)  # the sum in (3)
        return output * (grad_output - inner)  # (3)


def softmax_jacobian(output: Array) -> Array:
    """The full Jacobian of softmax, for one row (classes,) or a batch (batch, classes).

    Equation (2) of :class:`Softmax`; shape (classes, classes) or (batch, classes, classes).
    ``Softmax.backward`` never forms it: contracting it costs classes² instead of classes.
    """
    diagonal = output[..., :, None] * np.eye(output.shape[-1], dtype=output.dtype)
    return diagonal - output[..., :, None] * output[..., None, :]


class LogSoftmax(OfRows):
    r"""y_i = log(e^{x_i} / Σ_j e^{x_j}), rows independent.

    (1) with z_i = x_i − max x, as in :class:`Softmax`, y_i = z_i − log Σ_j e^{z_j}
    (2) ∂y_i/∂x_j = δ_ij − e^{x_j} / Σ_k e^{x_k} = δ_ij − e^{y_j}
    (3) grad_x_j = Σ_i grad_y_i ∂y_i/∂x_j = grad_y_j − e^{y_j} Σ_i grad_y_i
    No kinks: the z_i that is 0 changes from one i to another, but y_i does not notice. A row
    runs along ``axis``.
    """

    name = "log_softmax"

    def forward(self, inputs: Array) -> Array:
        shifted = inputs - inputs.max(axis=self.axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=self.axis, keepdims=True))  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        total = grad_output.sum(axis=self.axis, keepdims=True)  # the sum in (3)
        return grad_output - np.exp(output) * total  # (3)


class Sparsemax(OfRows):
    r"""The point y of the simplex (y_i ≥ 0, Σ y_i = 1) nearest to x, rows independent.

    (1) y_i = max(x_i − τ, 0), with τ such that Σ y_i = 1 (the conditions of Karush, Kuhn, Tucker)
    (2) if the k largest x_i are the positive y_i, τ = t_k with t_j = (x_(1) + … + x_(j) − 1) / j
    (3) t_{j+1} > t_j ⇔ x_(j+1) > t_j, true for j < k and false from then on: τ = max_j t_j
    (4) subtracting max x from every x_i changes no y_i; then −1 ≤ τ < 0, so that x_i < −2 count
        as −2, and no sum is large
    (5) where S, the i with y_i > 0, stays the same, ∂τ/∂x_j = 1/k for j in S, else 0, so
        grad_x_j = grad_y_j − (Σ_S grad_y_i) / k for j in S, else 0
    (6) kinks where x_i = τ: there y_i = 0 and i is chosen not to be in S

    A row runs along ``axis``. Reference: Martins, Astudillo, arXiv:1602.02068.
    """

    name = "sparsemax"

    def forward(self, inputs: Array) -> Array:
        shifted = np.maximum(inputs - inputs.max(axis=self.axis, keepdims=True), -2)  # (4)
        falling = np.flip(np.sort(shifted, axis=self.axis), axis=self.axis)
        counts = np.arange(1, inputs.shape[self.axis] + 1, dtype=inputs.dtype)  # the j of (2)
        counts = counts.reshape(
            [-1 if n == self.axis % inputs.ndim else 1 for n in range(inputs.ndim)]
        )
        candidates = (np.cumsum(falling, axis=self.axis) - 1) / counts  # (2)
        threshold = candidates.max(axis=self.axis, keepdims=True)  # (3)
        return np.maximum(shifted - threshold, 0)  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        inside = output > 0  # the strict > is (6)
        count = (np.ones_like(output) * inside).sum(axis=self.axis, keepdims=True)
        total = (grad_output * inside).sum(axis=self.axis, keepdims=True)
        return (grad_output - total / count) * inside  # (5)
