"""Piecewise linear activations that set small numbers to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class HardShrink(Activation):
    r"""y = x for |x| > t, and 0 otherwise.

    (1) ∂y/∂x = 1 for |x| > t, and 0 for |x| < t
    (2) at x = ±t, where y jumps, the derivative is chosen to be 0, as Keras does

    Args:
        threshold: t.
    """

    name: ClassVar[str] = "hard_shrink"
    variants = ({}, {"threshold": 1.1})

    threshold: float = 0.5

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.threshold, self.threshold)

    def forward(self, inputs: Array) -> Array:
        return np.where(np.abs(inputs) > self.threshold, inputs, 0)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (np.abs(inputs) > self.threshold)  # (1); the strict > is (2)


@dataclass(eq=False, repr=False)
class SoftShrink(Activation):
    r"""y = x − t for x > t, x + t for x < −t, and 0 otherwise.

    (1) ∂y/∂x = 1 for x > t and for x < −t, and 0 between
    (2) at the kinks x = ±t the derivative is chosen to be 0, as Keras does

    Args:
        threshold: t.
    """

    name: ClassVar[str] = "soft_shrink"
    variants = ({}, {"threshold": 1.1})

    threshold: float = 0.5

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.threshold, self.threshold)

    def forward(self, inputs: Array) -> Array:
        t = self.threshold
        return np.where(inputs > t, inputs - t, np.where(inputs < -t, inputs + t, 0))

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        t = self.threshold
        return grad_output * ((inputs > t) | (inputs < -t))  # (1); the strict > and < are (2)
