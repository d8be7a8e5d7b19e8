r"""Adam and its relatives: a mean of gradients over the root of a mean of their squares.

Kingma and Ba 2015, arXiv:1412.6980. The moments start from 0, so after t steps they hold a share
1 − β^t of a mean only; dividing by that share is the bias correction. β^t is a number of the
weights' dtype, as are β and t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Optimizer, Slots, Step, zeros
from manual_backprop.optimizers.norms import number_like
from manual_backprop.typing import Array

__all__ = ["Adam", "AdamW"]


@dataclass(eq=False, repr=False)
class Moments(Optimizer):
    """What the relatives have in common: the rates of decay, and the moments themselves."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 ≤ {name} < 1.")

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"momentum": zeros(weight), "velocity": zeros(weight)}

    def update_moments(self, gradient: Array, slots: Slots) -> tuple[Array, Array]:
        """m ← m + (1 − β₁)(g − m) and v ← v + (1 − β₂)(g² − v): algorithm 1, rearranged."""
        m, v = slots["momentum"], slots["velocity"]
        m += (gradient - m) * (1 - self.beta_1)
        v += (np.square(gradient) - v) * (1 - self.beta_2)
        return m, v


def missing_share(beta: float, number: int, like: Array) -> Array:
    """1 − β^t, the share of a mean that the moment holds after t steps."""
    return 1 - np.power(number_like(beta, like), number)


@dataclass(eq=False, repr=False)
class Adam(Moments):
    r"""Adaptive moments, in the order of section 2 of the paper, just before section 2.1.

    (1) m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²
    (2) α = η √(1 − β₂^t) / (1 − β₁^t)
    (3) w ← w − α m / (√v + ε̂)
    (4) amsgrad: in (3) the largest v so far (Reddi et al. 2018, arXiv:1904.09237, algorithm 2)

    Args:
        beta_1, beta_2: rates of decay of the moments. epsilon: ε̂. amsgrad: as (4).
    """

    name: ClassVar[str] = "adam"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
        {"learning_rate": 0.05, "beta_2": 0.9, "amsgrad": True},
    )

    amsgrad: bool = False

    def slots(self, weight: Array, name: str = "") -> Slots:
        largest = {"velocity_hat": zeros(weight)} if self.amsgrad else {}
        return super().slots(weight) | largest

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, v = self.update_moments(gradient, slots)  # (1)
        root = np.sqrt(missing_share(self.beta_2, step.number, weight))
        alpha = step.learning_rate * root / missing_share(self.beta_1, step.number, weight)  # (2)
        if self.amsgrad:
            largest = slots["velocity_hat"]
            largest[...] = np.maximum(largest, v)  # (4)
            v = largest
        weight -= m * alpha / (np.sqrt(v) + self.epsilon)  # (3)


@dataclass(eq=False, repr=False)
class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    (1) w ← w − w λ η, then as Adam: the moments see nothing of the decay (algorithm 2, line 12)
    """

    name: ClassVar[str] = "adamw"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "weight_decay": 0.1, "beta_2": 0.9, "amsgrad": True},
    )

    weight_decay: Any = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay is None:
            raise ValueError("weight_decay: got None, expected a number; use Adam for none.")
