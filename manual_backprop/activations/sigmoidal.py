"""Smooth activations made of exponentials, elementwise."""

from __future__ import annotations

import numpy as np

from manual_backprop import special
from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class Sigmoid(Activation):
    r"""y = 1 / (1 + e⁻ˣ).

    (1) ∂y/∂x = e⁻ˣ / (1 + e⁻ˣ)²
    (2)       = y (1 − y), since 1 − y = e⁻ˣ / (1 + e⁻ˣ). No kinks.
    """

    name = "sigmoid"

    def forward(self, inputs: Array) -> Array:
        return special.sigmoid(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (output * (1 - output))  # (2)


class Tanh(Activation):
    r"""y = tanh x = sinh x / cosh x.

    (1) ∂y/∂x = (cosh² x − sinh² x) / cosh² x
    (2)       = 1 − y². No kinks.
    """

    name = "tanh"

    def forward(self, inputs: Array) -> Array:
        return np.tanh(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (1 - output * output)  # (2)
