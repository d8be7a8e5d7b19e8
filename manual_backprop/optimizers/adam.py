r"""Adam and its relatives: a mean of gradients over the root of a mean of their squares.

Kingma and Ba 2015, arXiv:1412.6980. The moments start from 0, so after t steps they hold a share
1 − β^t of a mean only; dividing by that share is the bias correction. β^t is a number of the
weights' dtype, as are β and t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.norms import number_like
from manual_backprop.special import root
from manual_backprop.typing import Array

__all__ = ["Adam", "AdamW", "Adamax", "Nadam", "ScheduleFreeAdamW"]


@dataclass(eq=False, repr=False)
class Moments(Descent):
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


def share_of_mean(beta: float, number: int, like: Array) -> Array:
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
        mean = np.sqrt(share_of_mean(self.beta_2, step.number, weight))
        alpha = step.learning_rate * mean / share_of_mean(self.beta_1, step.number, weight)  # (2)
        if self.amsgrad:
            largest = slots["velocity_hat"]
            largest[...] = np.maximum(largest, v)  # (4)
            v = largest
        weight -= m * alpha / (root(v) + self.epsilon)  # (3)


@dataclass(eq=False, repr=False)
class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    (1) w ← w − w λ η, then as Adam: the moments see nothing of the decay (algorithm 2, line 12)
    """

    name: ClassVar[str] = "adamw"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {
            "learning_rate": 0.05,
            "weight_decay": 0.1,
            "beta_1": 0.8,
            "beta_2": 0.9,
            "epsilon": 1e-3,
            "amsgrad": True,
        },
    )

    weight_decay: Any = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay is None:
            raise ValueError("weight_decay: got None, expected a number; use Adam for none.")


@dataclass(eq=False, repr=False)
class Adamax(Moments):
    r"""Adam with the largest gradient, slowly forgotten, for the mean (algorithm 2).

    (1) m ← β₁ m + (1 − β₁) g
    (2) u ← max(β₂ u, |g|)
    (3) w ← w − η m / ((1 − β₁^t) (u + ε)); the paper has no ε

    Args:
        beta_1, beta_2: rates of decay. epsilon: ε.
    """

    name: ClassVar[str] = "adamax"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    )

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"momentum": zeros(weight), "norm": zeros(weight)}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, u = slots["momentum"], slots["norm"]
        m += (gradient - m) * (1 - self.beta_1)  # (1)
        u[...] = np.maximum(self.beta_2 * u, np.abs(gradient))  # (2)
        share = share_of_mean(self.beta_1, step.number, weight)
        weight -= step.learning_rate * m / (share * (u + self.epsilon))  # (3)


@dataclass(eq=False, repr=False)
class Nadam(Moments):
    r"""Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov Momentum into Adam").

    The momentum μ_t is a schedule there; this is Keras':
    (1) μ_t = β₁ (1 − ½ 0.96^t), and Π_t = μ_1 ⋯ μ_t
    (2) m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²
    (3) m̂ = μ_{t+1} m / (1 − Π_{t+1}) + (1 − μ_t) g / (1 − Π_t): the momentum of the next step
    (4) w ← w − η m̂ / (√(v / (1 − β₂^t)) + ε)

    Args:
        beta_1, beta_2: rates of decay. epsilon: ε.
    """

    name: ClassVar[str] = "nadam"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    )
    schedule_decay: ClassVar[float] = 0.96

    def shared(self, weights: Sequence[Array]) -> Slots:
        return {"momentum_product": number_like(1.0, weights[0])}

    def scheduled(self, number: int, like: Array) -> Array:
        """μ_t, (1)."""
        decayed = np.power(number_like(self.schedule_decay, like), number)
        return self.beta_1 * (1 - 0.5 * decayed)  # (1)

    def advance(self, step: Step) -> None:
        product = step.shared["momentum_product"]
        product *= self.scheduled(step.number, product)  # (1)

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        now, following = (self.scheduled(step.number + i, weight) for i in (0, 1))
        product = step.shared["momentum_product"]
        m, v = slots["momentum"], slots["velocity"]
        beta_1, beta_2 = number_like(self.beta_1, weight), number_like(self.beta_2, weight)
        m += (gradient - m) * (1 - beta_1)  # (2)
        v += (np.square(gradient) - v) * (1 - beta_2)  # (2)
        ahead = following * m / (1 - product * following)
        m_hat = ahead + (1 - now) * gradient / (1 - product)  # (3)
        v_hat = v / share_of_mean(self.beta_2, step.number, weight)
        weight -= m_hat * step.learning_rate / (root(v_hat) + self.epsilon)  # (4)


@dataclass(eq=False, repr=False)
class ScheduleFreeAdamW(Moments):
    r"""Averaging in the place of a schedule (Defazio et al. 2024, arXiv:2405.15682, algorithm 1).

    Three sequences: z takes the steps, x is their mean, and the weight is y in between, where
    the gradient is taken: y = (1 − β₁) z + β₁ x. The slot "momentum" holds z.
    (1) η ← η min(t/W, 1) over the W ``warmup_steps``
    (2) v ← β₂ v + (1 − β₂) g²
    (3) x = (y − (1 − β₁) z) / β₁, with z as it was
    (4) z ← z − η g / (√(v / (1 − β₂^t)) + ε)
    (5) x ← (1 − 1/t) x + z / t, the mean of all z so far
    (6) y ← (1 − β₁) z + β₁ x

    Args:
        beta_1: how near y is to x, not 0. beta_2: rate of decay. epsilon: ε. warmup_steps: W.
    """

    name: ClassVar[str] = "schedulefreeadamw"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "warmup_steps": 10},
    )

    learning_rate: Any = 0.0025
    epsilon: float = 1e-8
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_1 == 0:
            raise ValueError("beta_1: got 0, expected more: (3) divides by it.")

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"momentum": weight.copy(), "velocity": zeros(weight)}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        z, v = slots["momentum"], slots["velocity"]
        beta_1, beta_2 = number_like(self.beta_1, weight), number_like(self.beta_2, weight)
        rate = step.learning_rate
        if self.warmup_steps:
            warmed = min(step.number, self.warmup_steps)
            rate = rate * (number_like(warmed, weight) / self.warmup_steps)  # (1)
        v += (np.square(gradient) - v) * (1 - beta_2)  # (2)
        x = self.recovered(weight, z, beta_1)
        v_hat = v / share_of_mean(self.beta_2, step.number, weight)
        z -= rate * gradient / (root(v_hat) + self.epsilon)  # (4)
        part = 1 / number_like(step.number, weight)
        x = (1 - part) * x + part * z  # (5)
        weight[...] = (1 - beta_1) * z + beta_1 * x  # (6)

    def recovered(self, y: Array, z: Array, beta_1: Array) -> Array:
        """x from y and z, (3)."""
        return (y - (1 - beta_1) * z) / beta_1  # (3)
