"""Ftrl, which solves for the weight anew in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.typing import Array

__all__ = ["Ftrl"]


@dataclass(eq=False, repr=False)
class Ftrl(Descent):
    r"""Follow the regularised leader (McMahan et al. 2013, "Ad Click Prediction", algorithm 1).

    w minimises z·w + ½ q w² + λ₁ |w|, where z sums up the gradients, q the proximal terms:
    (1) g' = g + 2 λ w with λ = ``l2_shrinkage_regularization_strength``
    (2) n' = n + g², and σ = (n'^p − n^p) / η with p = −``learning_rate_power``; n starts from
        ``initial_accumulator_value``
    (3) z ← z + g' − σ w, n ← n'
    (4) q = (n^p + β) / η + λ₂
    (5) w = (λ₁ sign z − z) / q = (clip(z, −λ₁, λ₁) − z) / q, which is 0 where |z| ≤ λ₁;
        where q is 0 nothing has been accumulated: z is 0, and so is w

    Args:
        learning_rate_power: −p, at most 0. initial_accumulator_value: n at first.
        l1_regularization_strength: λ₁. l2_regularization_strength: λ₂.
        l2_shrinkage_regularization_strength: λ. beta: β.
    """

    name: ClassVar[str] = "ftrl"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"learning_rate": 0.05},
        {},
        {"learning_rate": 0.1, "learning_rate_power": -0.7, "initial_accumulator_value": 0.5},
        {"learning_rate": 0.1, "l1_regularization_strength": 0.5, "beta": 0.3},
        {"learning_rate": 0.1, "l2_shrinkage_regularization_strength": 0.1},
        {"learning_rate": 0.1, "l2_regularization_strength": 2.0},
    )

    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning_rate_power > 0:
            raise ValueError(
                f"learning_rate_power: got {self.learning_rate_power}, expected 0 or less."
            )
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more.")

    def slots(self, weight: Array, name: str = "") -> Slots:
        start = np.full_like(weight, self.initial_accumulator_value)
        return {"linear": zeros(weight), "accumulator": start}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        z, n = slots["linear"], slots["accumulator"]
        eta, p = step.learning_rate, -self.learning_rate_power
        shrinkage = 2 * self.l2_shrinkage_regularization_strength
        shrunk = gradient + shrinkage * weight  # (1)
        total = n + np.square(gradient)  # (2)
        power = np.power(total, p)
        z += shrunk - (power - np.power(n, p)) / eta * weight  # (2), (3)
        n[...] = total  # (3)
        quadratic = power / eta + (self.beta / eta + self.l2_regularization_strength)  # (4)
        threshold = self.l1_regularization_strength
        weight[...] = (np.clip(z, -threshold, threshold) - z) / self.divisor(quadratic)  # (5)

    def divisor(self, quadratic: Array) -> Array:
        """q, or any number where it is 0."""
        return np.where(quadratic > 0, quadratic, np.ones_like(quadratic))
