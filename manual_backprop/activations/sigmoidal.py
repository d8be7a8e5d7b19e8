"""Smooth steps from one level to another, and their integrals: sigmoid, tanh and relatives."""

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


class LogSigmoid(Activation):
    r"""y = log σ(x), with σ(x) = 1 / (1 + e⁻ˣ).

    (1) y = −log(1 + e⁻ˣ) = −softplus(−x)
    (2) ∂y/∂x = softplus′(−x) = σ(−x), see :class:`Softplus`. No kinks.
    """

    name = "log_sigmoid"

    def forward(self, inputs: Array) -> Array:
        return -special.softplus(-inputs)  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * special.sigmoid(-inputs)  # (2)


class Softplus(Activation):
    r"""y = log(1 + eˣ).

    (1) ∂y/∂x = eˣ / (1 + eˣ)
    (2)       = 1 / (e⁻ˣ + 1) = σ(x). No kinks.
    """

    name = "softplus"

    def forward(self, inputs: Array) -> Array:
        return special.softplus(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * special.sigmoid(inputs)  # (2)


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


class TanhShrink(Activation):
    r"""y = x − tanh x.

    (1) ∂y/∂x = 1 − tanh′ x = 1 − (1 − tanh² x), see :class:`Tanh`
    (2)       = tanh² x. No kinks.
    """

    name = "tanh_shrink"

    def forward(self, inputs: Array) -> Array:
        return inputs - np.tanh(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * np.square(np.tanh(inputs))  # (2)
