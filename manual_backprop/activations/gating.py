"""Activations that multiply their input by a smooth gate between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop import special
from manual_backprop.activations.base import Activation, OfRows
from manual_backprop.typing import Array

# Beyond it sigmoid is 0 or 1 to every digit of every format, and so is the tanh of softplus.
FAR = 12_000.0
# Beyond these the gates of gelu and its approximation are; no power overflows, in float16 either.
FAR_FOR_GELU, FAR_FOR_APPROXIMATE_GELU = 160.0, 60.0


def within(inputs: Array, far: float) -> Array:
    """The inputs, none of them farther from 0 than ``far``: a product with 0 is 0, also of ∞."""
    return np.minimum(np.maximum(inputs, -far), far)


class Silu(Activation):
    r"""y = x σ(x).

    (1) ∂y/∂x = σ(x) + x σ′(x), with σ′(x) = σ(x) (1 − σ(x)) = σ(x) σ(−x)
    (2)       = σ(x) (1 + x σ(−x)), which subtracts nothing from 1. No kinks.
    (3) far from 0 either factor of x is 0 to every digit, at ∞ too

    Reference: Ramachandran, Zoph, Le, arXiv:1710.05941.
    """

    name = "silu"
    aliases = ("swish",)

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, -FAR) * special.sigmoid(inputs)  # (3)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        near = within(inputs, FAR)  # (3)
        slope = special.sigmoid(inputs) * (1 + near * special.sigmoid(-inputs))  # (2)
        return grad_output * slope


class Mish(Activation):
    r"""y = x tanh(s), with s = softplus(x) = log(1 + eˣ).

    (1) ∂y/∂x = tanh s + x (1 − tanh² s) s′, with s′ = σ(x)
    (2) 1 − tanh s = 2 e⁻ˢ / (eˢ + e⁻ˢ) = 2 σ(−2s), and 1 + tanh s = 2 σ(2s) likewise, so
        1 − tanh² s = 4 σ(2s) σ(−2s), which subtracts nothing from 1. No kinks.
    (3) far from 0 either factor of x is 0 to every digit, at ∞ too

    Reference: Misra, arXiv:1908.08681.
    """

    name = "mish"

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, -FAR) * np.tanh(special.softplus(inputs))  # (3)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        near = within(inputs, FAR)  # (3)
        softplus = special.softplus(near)
        slope = 4 * special.sigmoid(2 * softplus) * special.sigmoid(-2 * softplus)  # (2)
        return grad_output * (np.tanh(softplus) + near * slope * special.sigmoid(near))  # (1)


@dataclass(eq=False, repr=False)
class Gelu(Activation):
    r"""y = x Φ(x), Φ being the normal distribution function, or an approximation of it.

    (1) Φ(x) = erfc(−x/√2) / 2, with every digit in its tail
    (2) ∂y/∂x = Φ(x) + x Φ′(x), where
    (3) Φ′(x) = e^{−x²/2} / √(2π)
    (4) approximately Φ(x) = (1 + tanh a) / 2 = σ(2a), with a = √(2/π) (x + 0.044715 x³), and
    (5) Φ′(x) = 2 a′ σ(2a) σ(−2a), with a′ = √(2/π) (1 + 3 · 0.044715 x²)
    (6) far from 0 either factor of x is 0 to every digit, at ∞ too, and Φ(x) is 0 or 1: x is
        taken within limits in which no power of it overflows. No kinks.

    Reference: Hendrycks, Gimpel, arXiv:1606.08415.
    """

    name = "gelu"
    variants = ({}, {"approximate": True})
    cubic: ClassVar[float] = 0.044715  # in (4) and (5)

    approximate: bool = False

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, -FAR_FOR_GELU) * self._gate(inputs)  # (6)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        gate, near = self._gate(inputs), self._near(inputs)
        if self.approximate:
            slope = math.sqrt(2 / math.pi) * (1 + 3 * self.cubic * np.square(near))
            density = 2 * slope * gate * special.sigmoid(-self._twice_a(near))  # (5)
        else:
            root = math.sqrt(0.5) * near
            density = np.exp(-np.square(root)) / math.sqrt(2 * math.pi)  # (3)
        return grad_output * (gate + near * density)  # (2)

    def _gate(self, inputs: Array) -> Array:
        """Φ(x)."""
        if self.approximate:
            return special.sigmoid(self._twice_a(self._near(inputs)))  # (4)
        return special.erfc(-math.sqrt(0.5) * inputs) / 2  # (1)

    def _near(self, inputs: Array) -> Array:
        """The x of (6)."""
        return within(inputs, FAR_FOR_APPROXIMATE_GELU if self.approximate else FAR_FOR_GELU)

    def _twice_a(self, near: Array) -> Array:
        """2a of (4)."""
        return 2 * math.sqrt(2 / math.pi) * (near + self.cubic * near * near * near)


class Glu(OfRows):
    r"""y = a σ(b), where a and b are the first and the second half of x along an axis.

    (1) ∂y/∂a = σ(b)
    (2) ∂y/∂b = a σ′(b) = a σ(b) (1 − σ(b)). No kinks.

    The result has half the size along the axis: half the units, for the last one.

    Reference: Dauphin, Fan, Auli, Grangier, arXiv:1612.08083.
    """

    name = "glu"
    domain = "an even size along the axis"

    def output_size(self, units: int) -> int:
        if self.mixes_samples:
            return units
        if units % 2:
            raise ValueError(
                f"units: glu halves them, but {units} is odd; pass an even number, "
                f"such as {units + 1}."
            )
        return units // 2

    def forward(self, inputs: Array) -> Array:
        a, b = self._halves(inputs)
        return a * special.sigmoid(b)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        a, b = self._halves(inputs)
        gate = special.sigmoid(b)
        grad_a = grad_output * gate  # (1)
        grad_b = grad_output * (a * (gate * (1 - gate)))  # (2)
        return np.concatenate([grad_a, grad_b], axis=self.axis)

    def _halves(self, inputs: Array) -> tuple[Array, Array]:
        """a and b."""
        size = inputs.shape[self.axis]
        if size % 2:
            raise ValueError(
                f"inputs: glu halves axis {self.axis}, but shape {inputs.shape} has an odd size "
                f"there; pass an even one."
            )
        before = (slice(None),) * (self.axis % inputs.ndim)
        return inputs[(*before, slice(size // 2))], inputs[(*before, slice(size // 2, None))]
