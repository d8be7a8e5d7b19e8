"""Activations of a whole row: softmax and its relatives."""

from __future__ import annotations

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class Softmax(Activation):
    r"""y_i = e^{x_i} / Σ_j e^{x_j}, rows independent; assumes nothing about the loss above.

    (1) subtracting max x from every x_i changes no y_i and keeps every exponent ≤ 0
    (2) ∂y_i/∂x_j = y_i (δ_ij − y_j)
    (3) grad_x_j = Σ_i grad_y_i ∂y_i/∂x_j = y_j (grad_y_j − Σ_i grad_y_i y_i)
    No kinks.
    """

    name = "softmax"

    def forward(self, inputs: Array) -> Array:
        exponentials = np.exp(inputs - inputs.max(axis=-1, keepdims=True))  # (1)
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        inner = (grad_output * output).sum(axis=-1, keepdims=True)  # the sum in (3)
        return output * (grad_output - inner)  # (3)


def softmax_jacobian(output: Array) -> Array:
    """The full Jacobian of softmax, for one row (classes,) or a batch (batch, classes).

    Equation (2) of :class:`Softmax`; shape (classes, classes) or (batch, classes, classes).
    ``Softmax.backward`` never forms it: contracting it costs classes² instead of classes.
    """
    diagonal = output[..., :, None] * np.eye(output.shape[-1], dtype=output.dtype)
    return diagonal - output[..., :, None] * output[..., None, :]
