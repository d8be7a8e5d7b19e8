"""Losses of numbers: a mean over the outputs of each sample.

C is the number of outputs, x_ni = p_ni − t_ni the error; g_n = ∂loss/∂(value of sample n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop import special
from manual_backprop.losses.base import EPSILON, Loss, as_kind_of
from manual_backprop.typing import Array

LOG_2 = math.log(2)
# From here on e^−2x is 0 in every format.
FAR = 400.0


@dataclass(eq=False, repr=False)
class MeanSquaredError(Loss):
    r"""(1/C) Σ_i x_ni².

    (1) ∂/∂p_ni = g_n 2 x_ni / C. No kinks.
    """

    name: ClassVar[str] = "mean_squared_error"
    aliases: ClassVar[tuple[str, ...]] = ("mse", "MSE")

    def values(self, predictions: Array, targets: Array) -> Array:
        difference = predictions - targets
        return (difference * difference).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        return 2 * (predictions - targets) / outputs * grad_values[..., None]  # (1)


@dataclass(eq=False, repr=False)
class MeanAbsoluteError(Loss):
    r"""(1/C) Σ_i |x_ni|.

    (1) ∂/∂p_ni = g_n sign(x_ni) / C
    (2) at the kink x = 0 the derivative is chosen to be 0, as Keras does
    """

    name: ClassVar[str] = "mean_absolute_error"
    aliases: ClassVar[tuple[str, ...]] = ("mae", "MAE")

    @property
    def kinks(self) -> str:
        return "at p = t"

    def values(self, predictions: Array, targets: Array) -> Array:
        return np.abs(predictions - targets).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        return np.sign(predictions - targets) / outputs * grad_values[..., None]  # (1), (2)


@dataclass(eq=False, repr=False)
class MeanAbsolutePercentageError(Loss):
    r"""(100/C) Σ_i |x_ni| / s_ni, where s = max(|t|, ε) keeps away from 0.

    (1) ∂/∂p_ni = g_n (100/C) sign(x_ni) / s_ni
    (2) at the kink x = 0 the derivative is chosen to be 0, as Keras does
    """

    name: ClassVar[str] = "mean_absolute_percentage_error"
    aliases: ClassVar[tuple[str, ...]] = ("mape", "MAPE")

    @property
    def kinks(self) -> str:
        return "at p = t"

    def values(self, predictions: Array, targets: Array) -> Array:
        size = np.maximum(np.abs(targets), EPSILON)
        return 100 * np.abs((predictions - targets) / size).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        share = grad_values[..., None] * (100 / predictions.shape[-1])
        size = np.maximum(np.abs(targets), EPSILON)
        return np.sign(predictions - targets) * share / size  # (1), (2)


@dataclass(eq=False, repr=False)
class MeanSquaredLogarithmicError(Loss):
    r"""(1/C) Σ_i (log(1 + max(p_ni, ε)) − log(1 + max(t_ni, ε)))².

    With r for the difference of the logarithms:

    (1) ∂/∂(log …) = g_n 2 r_ni / C
    (2) ∂/∂p_ni = (1) · 1/(1 + p_ni) where p_ni ≥ ε, else 0; at equality the gradient passes
    """

    name: ClassVar[str] = "mean_squared_logarithmic_error"
    aliases: ClassVar[tuple[str, ...]] = ("msle", "MSLE")
    labels: ClassVar[str] = "counts"
    domain: ClassVar[str] = "positive numbers; all others count as ε"

    @property
    def kinks(self) -> str:
        return "at p = ε"

    def values(self, predictions: Array, targets: Array) -> Array:
        difference = _difference_of_logarithms(predictions, targets)
        return (difference * difference).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        difference = _difference_of_logarithms(predictions, targets)
        grad_log = 2 * difference / predictions.shape[-1] * grad_values[..., None]  # (1)
        inside = predictions >= EPSILON
        # As a product, because a library's log has 1/x for its derivative, which may underflow.
        return grad_log * (1 / (1 + np.maximum(predictions, EPSILON))) * inside  # (2)


def _difference_of_logarithms(predictions: Array, targets: Array) -> Array:
    targets = as_kind_of(predictions, targets)
    both = [np.log(1 + np.maximum(x, EPSILON)) for x in (predictions, targets)]
    return both[0] - both[1]


@dataclass(eq=False, repr=False)
class Huber(Loss):
    r"""(1/C) Σ_i of ½x_ni² where |x_ni| ≤ δ, and δ|x_ni| − ½δ² beyond.

    (1) |x| ≤ δ: ∂/∂p = g x / C
    (2) |x| > δ: ∂/∂p = g δ sign(x) / C. At |x| = δ both are the same: no kinks.

    Args:
        delta: where the square ends, positive and finite.
    """

    name: ClassVar[str] = "huber"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"delta": 0.1}, {"delta": 10.0})

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.delta < math.inf:
            raise ValueError(
                f"delta: got {self.delta}, expected a positive number, the size of error up to "
                f"which the loss is a square."
            )

    def values(self, predictions: Array, targets: Array) -> Array:
        size = np.abs(predictions - targets)
        beyond = self.delta * size - 0.5 * self.delta**2
        return np.where(size <= self.delta, 0.5 * (size * size), beyond).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        slope = np.clip(predictions - targets, -self.delta, self.delta)  # (1), (2)
        return slope / predictions.shape[-1] * grad_values[..., None]


@dataclass(eq=False, repr=False)
class LogCosh(Loss):
    r"""(1/C) Σ_i log cosh x_ni.

    (1) log cosh x = log(eˣ + e⁻ˣ) − log 2 = |x| + log(1 + e^−2|x|) − log 2, without overflow
    (2) d/dx log cosh x = sinh x / cosh x, so ∂/∂p_ni = g_n tanh(x_ni) / C. No kinks.
    """

    name: ClassVar[str] = "log_cosh"

    def values(self, predictions: Array, targets: Array) -> Array:
        size = np.abs(predictions - targets)
        rest = special.softplus(-2 * np.minimum(size, FAR))
        return (size + rest - LOG_2).mean(axis=-1)  # (1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        return np.tanh(predictions - targets) / outputs * grad_values[..., None]  # (2)
