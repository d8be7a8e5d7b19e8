"""Smooth activations imitated by pieces of lines and parabolas."""

from __future__ import annotations

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class HardTanh(Activation):
    r"""y = x, but −1 below −1 and 1 above 1.

    (1) ∂y/∂x = 1 for |x| < 1, and 0 for |x| > 1
    (2) at the kinks x = ±1 the derivative is chosen to be 1, as Keras does
    """

    name = "hard_tanh"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-1.0, 1.0)

    def forward(self, inputs: Array) -> Array:
        return np.clip(inputs, -1, 1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (np.abs(inputs) <= 1)  # (1); the ≤ is (2)


class HardSigmoid(Activation):
    r"""y = (x + 3) / 6, but 0 below −3 and 1 above 3.

    (1) ∂y/∂x = 1/6 for 0 < x + 3 < 6, and 0 outside
    (2) at the kinks x = ±3 the derivative is chosen to be 0, as Keras does; x + 3 may round to 6
        just before the kink
    """

    name = "hard_sigmoid"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-3.0, 3.0)

    def forward(self, inputs: Array) -> Array:
        return np.clip(inputs + 3, 0, 6) / 6

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        shifted = inputs + 3
        return grad_output * ((shifted > 0) & (shifted < 6)) / 6  # (1); the strict > and < are (2)


class HardSilu(Activation):
    r"""y = x h, with h = (x + 3) / 6, but 0 below −3 and 1 above 3 (as :class:`HardSigmoid`).

    (1) where h = 0 any number may stand for x: max(x, −3) keeps ∞ · 0 away
    (2) ∂y/∂x = h + x ∂h/∂x
    (3) ∂h/∂x = 1/6 for 0 < x + 3 < 6, and 0 outside
    (4) at the kinks x = ±3 that is chosen to be 0, as Keras does, so that ∂y/∂x = h
    """

    name = "hard_silu"
    aliases = ("hard_swish",)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-3.0, 3.0)

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, -3) * (np.clip(inputs + 3, 0, 6) / 6)  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        shifted = inputs + 3
        h = np.clip(shifted, 0, 6) / 6
        inside = (shifted > 0) & (shifted < 6)  # (3); the strict > and < are (4)
        return grad_output * (h + np.where(inside, inputs, 0) / 6)  # (2)


class SparseSigmoid(Activation):
    r"""y = (x + 1) / 2, but 0 below −1 and 1 above 1.

    (1) ∂y/∂x = 1/2 for |x| < 1, and 0 for |x| > 1
    (2) at the kinks x = ±1 the derivative is chosen to be 0, as Keras does
    """

    name = "sparse_sigmoid"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-1.0, 1.0)

    def forward(self, inputs: Array) -> Array:
        return (np.clip(inputs, -1, 1) + 1) / 2

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (np.abs(inputs) < 1) / 2  # (1); the strict < is (2)


class SparsePlus(Activation):
    r"""y = ((x + 1) / 2)² for |x| < 1, but 0 below −1 and x above 1.

    (1) With h = (x + 1) / 2, but 0 below −1 and 1 above 1: y = h² up to x = 1
    (2) ∂y/∂x = 2 h / 2 = h for |x| < 1, and 0 = h or 1 = h outside: the derivative is
        :class:`SparseSigmoid` everywhere, and does not jump. No kinks.
    """

    name = "sparse_plus"

    def forward(self, inputs: Array) -> Array:
        h = (np.clip(inputs, -1, 1) + 1) / 2
        return np.where(inputs < 1, h * h, inputs)  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * ((np.clip(inputs, -1, 1) + 1) / 2)  # (2)
