"""Losses of numbers: a mean over the outputs of each sample.

C is the number of outputs; g_n = ∂loss/∂(value of sample n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.losses.base import Loss
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class MeanSquaredError(Loss):
    r"""(1/C) Σ_i (p_ni − t_ni)².

    (1) ∂/∂p_ni = g_n 2 (p_ni − t_ni) / C. No kinks.
    """

    name: ClassVar[str] = "mean_squared_error"

    def values(self, predictions: Array, targets: Array) -> Array:
        difference = predictions - targets
        return (difference * difference).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        return 2 * (predictions - targets) / outputs * grad_values[..., None]  # (1)


@dataclass(eq=False, repr=False)
class MeanAbsoluteError(Loss):
    r"""(1/C) Σ_i |p_ni − t_ni|.

    (1) ∂/∂p_ni = g_n sign(p_ni − t_ni) / C
    (2) at the kink p = t the derivative is chosen to be 0, as Keras does
    """

    name: ClassVar[str] = "mean_absolute_error"

    @property
    def kinks(self) -> str:
        return "at p = t"

    def values(self, predictions: Array, targets: Array) -> Array:
        return np.abs(predictions - targets).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        return np.sign(predictions - targets) / outputs * grad_values[..., None]  # (1), (2)
