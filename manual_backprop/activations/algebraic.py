"""Smooth activations of ratios and roots, elementwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class Softsign(Activation):
    r"""y = x / (1 + |x|).

    (1) With m = max(|x|, 1) and n = min(|x|, 1), |x| = m n: divided by m, y is ±n / (1/m + n),
        and ±n is x, kept within ±1. So there is no ∞/∞.
    (2) x > 0: ∂y/∂x = ((1 + x) − x) / (1 + x)² = 1 / (1 + |x|)²
    (3) x < 0: y is odd, so ∂y/∂x is even: (2) again. No kinks.
    The square is taken after the division, since (1 + |x|)² may overflow.
    """

    name = "softsign"

    def forward(self, inputs: Array) -> Array:
        magnitude = np.abs(inputs)
        m, n = np.maximum(magnitude, 1), np.minimum(magnitude, 1)
        return np.clip(inputs, -1, 1) / (1 / m + n)  # (1)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        root = 1 / (1 + np.abs(inputs))
        return grad_output * (root * root)  # (2), (3)


@dataclass(eq=False, repr=False)
class Squareplus(Activation):
    r"""y = (x + r) / 2, with r = √(x² + b): the branch above of the hyperbola y (y − x) = b/4.

    (1) x² may overflow. With m = max(|x|, 1) and n = min(|x|, 1): |x| = m n, and r = m ρ with
        ρ = √(n² + b/m²)
    (2) x > 0: y = m (n + ρ) / 2
    (3) x ≤ 0: x + r cancels; (r + x)(r − x) = b, so y = b / (2 (r − x)) = b / (2 m (n + ρ))
    (4) ∂y/∂x = (1 + x/r) / 2; for x > 0 that is (ρ + n) / (2 ρ)
    (5) x ≤ 0: (ρ − n) / (2 ρ), which cancels; (ρ + n)(ρ − n) = b/m², so it is
        b/m² / (ρ + n) / (2 ρ). No kinks.

    Args:
        b: how smooth; positive.
    """

    name: ClassVar[str] = "squareplus"
    variants = ({}, {"b": 0.3})

    b: float = 4

    def __post_init__(self) -> None:
        if not self.b > 0:
            raise ValueError(
                f"b: expected a positive number, got {self.b!r}; for b = 0 squareplus is relu."
            )

    def _scaled(self, inputs: Array) -> tuple[Array, Array, Array, Array]:
        """m, 1/m, ρ and n + ρ of (1)."""
        magnitude = np.abs(inputs)
        m, n = np.maximum(magnitude, 1), np.minimum(magnitude, 1)
        inverse = 1 / m
        rho = np.sqrt(n * n + self.b * (inverse * inverse))
        return m, inverse, rho, n + rho

    def forward(self, inputs: Array) -> Array:
        m, inverse, _, total = self._scaled(inputs)
        return np.where(inputs > 0, m * (total / 2), self.b * inverse / (total * 2))  # (2), (3)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        _, inverse, rho, total = self._scaled(inputs)
        other = self.b * (inverse * inverse) / total  # ρ − n
        return grad_output * (np.where(inputs > 0, total, other) / (2 * rho))  # (4), (5)
