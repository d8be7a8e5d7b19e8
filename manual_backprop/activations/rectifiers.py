"""Piecewise linear activations that pass what lies above a threshold, and the identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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


@dataclass(eq=False, repr=False)
class Relu(Activation):
    r"""y = x above the threshold t, at most M; s (x − t) up to t. Usually max(x, 0).

    (1) x > t: y = min(x, M), ∂y/∂x = 1 up to M and 0 beyond
    (2) x ≤ t: y = s (x − t), ∂y/∂x = s
    (3) at the kink x = t the derivative is chosen to be s, that of (2); so it is 0 for max(x, 0)
    (4) at the kink x = M it is chosen to be 1, but 0 for M = 6 and t = 0, as Keras does: it
        computes that as relu6

    Args:
        negative_slope: s, the slope up to the threshold.
        max_value: M, the largest value; None for no limit.
        threshold: t.
    """

    name: ClassVar[str] = "relu"
    variants = (
        {},
        {"negative_slope": 0.1},
        {"max_value": 2.5},
        {"max_value": 6.0},
        {"threshold": 0.3},
        {"negative_slope": 0.25, "max_value": 6.0, "threshold": 1.5},
    )

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.max_value is not None and not self.max_value >= 0:
            raise ValueError(
                f"max_value: expected a number that is not negative, or None for no limit, "
                f"got {self.max_value!r}."
            )

    @property
    def kinks(self) -> tuple[float, ...]:
        limited = self.max_value is not None and self.max_value > self.threshold
        return (self.threshold, self.max_value) if limited else (self.threshold,)  # type: ignore[return-value]

    def forward(self, inputs: Array) -> Array:
        t, s = self.threshold, self.negative_slope
        # NumPy takes the maximum with a row of zeros in half the time of that with the number 0.
        zeros = np.zeros(inputs.shape[-1:], inputs.dtype)
        above = np.maximum(inputs, zeros) if t == 0 else np.where(inputs > t, inputs, 0)  # (1)
        if self.max_value is not None:
            above = np.minimum(above, self.max_value)  # (1)
        if s == 0:
            return above
        return np.where(inputs > t, above, s * np.minimum(inputs - t, 0))  # (2)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        t, s = self.threshold, self.negative_slope
        above = grad_output
        if self.max_value is not None:
            as_relu6 = self.max_value == 6 and t == 0
            below_limit = inputs < 6 if as_relu6 else inputs <= self.max_value  # (4)
            above = grad_output * below_limit  # (1)
        if s == 0:
            return above * (inputs > t)  # (1); the strict > is (3)
        return np.where(inputs > t, above, s * grad_output)  # (1), (2) and (3)


class Relu6(Activation):
    r"""y = min(max(x, 0), 6).

    (1) ∂y/∂x = 1 for 0 < x < 6, and 0 outside
    (2) at the kinks x = 0 and x = 6 the derivative is chosen to be 0, as Keras does
    """

    name = "relu6"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0, 6.0)

    def forward(self, inputs: Array) -> Array:
        return np.minimum(np.maximum(inputs, 0), 6)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * ((inputs > 0) & (inputs < 6))  # (1); the strict > and < are (2)


@dataclass(eq=False, repr=False)
class LeakyRelu(Activation):
    r"""y = x for x > 0, and s x otherwise.

    (1) ∂y/∂x = 1 for x > 0, and s for x < 0
    (2) at the kink x = 0 the derivative is chosen to be s, as Keras does

    Args:
        negative_slope: s.
    """

    name: ClassVar[str] = "leaky_relu"
    variants = ({}, {"negative_slope": 0.25}, {"negative_slope": 1.75})

    negative_slope: float = 0.2

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def forward(self, inputs: Array) -> Array:
        return np.where(inputs > 0, inputs, self.negative_slope * np.minimum(inputs, 0))

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return np.where(inputs > 0, grad_output, self.negative_slope * grad_output)  # (1), (2)


@dataclass(eq=False, repr=False)
class Threshold(Activation):
    r"""y = x for x > t, and d otherwise.

    (1) ∂y/∂x = 1 for x > t, and 0 for x < t
    (2) at x = t, where y jumps unless t = d, the derivative is chosen to be 0, as Keras does

    Args:
        threshold: t.
        default_value: d.
    """

    name: ClassVar[str] = "threshold"
    variants = (
        {"threshold": 0.5, "default_value": 0.1},
        {"threshold": -0.3, "default_value": -1.0},
    )

    threshold: float
    default_value: float

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold,)

    def forward(self, inputs: Array) -> Array:
        return np.where(inputs > self.threshold, inputs, self.default_value)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (inputs > self.threshold)  # (1); the strict > is (2)
