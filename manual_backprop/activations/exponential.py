"""Exponentials, and lines that an exponential continues below zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manual_backprop.activations.base import Activation
from manual_backprop.typing import Array


class Exponential(Activation):
    r"""y = eˣ. (1) ∂y/∂x = eˣ = y. No kinks."""

    name = "exponential"

    def forward(self, inputs: Array) -> Array:
        return np.exp(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * output  # (1)


@dataclass(eq=False, repr=False)
class Elu(Activation):
    r"""y = x for x > 0, and α (eˣ − 1) elsewhere.

    (1) ∂y/∂x = 1 for x > 0, and α eˣ for x < 0
    (2) at x = 0 the lower piece's derivative α is chosen, as Keras does; a kink unless α = 1
    (3) the exponential is that of min(x, 0), which cannot overflow where it is not used

    Reference: Clevert, Unterthiner, Hochreiter, arXiv:1511.07289.
    """

    name = "elu"
    variants = ({}, {"alpha": 0.3}, {"alpha": 2.0})

    alpha: float = 1.0

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self.alpha == 1 else (0.0,)

    def forward(self, inputs: Array) -> Array:
        lower = self.alpha * np.expm1(np.minimum(inputs, 0))  # (3)
        return np.where(inputs > 0, inputs, lower)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        slope = self.alpha * np.exp(np.minimum(inputs, 0))  # (1), (3)
        return np.where(inputs > 0, grad_output, grad_output * slope)  # the strict > is (2)


@dataclass(eq=False, repr=False)
class Celu(Activation):
    r"""y = x for x > 0, and α (e^{x/α} − 1) elsewhere, for α ≠ 0.

    (1) ∂y/∂x = 1 for x > 0, and α e^{x/α} / α = e^{x/α} for x < 0
    (2) both are 1 at x = 0, whatever α: no kinks
    (3) the exponential is that of min(x, 0)/α, which is 1 where x > 0: (1) needs no mask

    Reference: Barron, arXiv:1704.07483.
    """

    name = "celu"
    variants = ({}, {"alpha": 0.3}, {"alpha": 2.0})
    domain = "all real numbers; alpha is not 0"

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha == 0:
            raise ValueError("alpha: is 0, but celu divides by it; pass another number, or relu.")

    def forward(self, inputs: Array) -> Array:
        lower = self.alpha * np.expm1(np.minimum(inputs, 0) / self.alpha)  # (3)
        return np.where(inputs > 0, inputs, lower)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * np.exp(np.minimum(inputs, 0) / self.alpha)  # (1), (3)


# The fixed point of the map of mean and variance, the reference's equation 14, and the product
# of the two.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_SCALE_ALPHA = 1.7580993408473768599402175208123


class Selu(Activation):
    r"""y = λ x for x > 0, and λα (eˣ − 1) elsewhere, where λ = 1.0507… and λα = 1.7581….

    (1) ∂y/∂x = λ for x > 0, and λα eˣ for x < 0
    (2) at the kink x = 0 the upper piece's derivative λ is chosen, as Keras does but for XLA
    (3) the exponential is that of min(x, 0), which cannot overflow where it is not used

    Reference: Klambauer, Unterthiner, Mayr, Hochreiter, arXiv:1706.02515.
    """

    name = "selu"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def forward(self, inputs: Array) -> Array:
        lower = SELU_SCALE_ALPHA * np.expm1(np.minimum(inputs, 0))  # (3)
        return np.where(inputs > 0, SELU_SCALE * inputs, lower)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        lower = SELU_SCALE_ALPHA * np.exp(np.minimum(inputs, 0))  # (1), (3)
        slope = np.where(inputs < 0, lower, SELU_SCALE)  # the strict < is (2)
        return grad_output * slope
