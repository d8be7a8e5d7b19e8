"""Piecewise linear activations, with kinks where the pieces meet."""

from __future__ import annotations

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class Linear(Activation):
    r"""y = x. (1) ∂y/∂x = 1. No kinks."""

    name = "linear"

    def forward(self, inputs: Array) -> Array:
        return inputs

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output  # (1)


class Relu(Activation):
    r"""y = max(x, 0).

    (1) ∂y/∂x = 1 for x > 0, and 0 for x < 0
    (2) at the kink x = 0 the derivative is chosen to be 0, as Keras does
    """

    name = "relu"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, 0)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (inputs > 0)  # (1); the strict > is (2)
