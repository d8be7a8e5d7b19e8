"""Adafactor, which remembers a matrix of squares by its rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.norms import number_like, root_mean_square_from
from manual_backprop.optimizers.schedules import Schedule
from manual_backprop.typing import Array

__all__ = ["Adafactor"]


@dataclass(eq=False, repr=False)
class Adafactor(Descent):
    r"""Second moments of rank 1 (Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 and 5).

    With RMS(x) = √(Σ x² / n):
    (1) ρ = min(η, 1/√t) with ``relative_step`` and a constant η, else ρ = η
    (2) α = max(ε₂, RMS(w)) ρ: steps relative to the size of the weight
    (3) β = 1 − t^c with c = ``beta_2_decay`` < 0: no bias correction is needed
    (4) G = g² + ε₁
    (5) at least 2-d: r ← β r + (1 − β) mean of G over the last axis, c the same over the last
        but one; v = (r / mean r) c, the outer product, is G's mean where that has rank 1
    (6) else v ← β v + (1 − β) G
    (7) u = g / √v, then û = u / max(1, RMS(u) / d) with d = ``clip_threshold``
    (8) w ← w − α û

    Args:
        beta_2_decay: c. epsilon_1, epsilon_2: ε₁, ε₂. clip_threshold: d. relative_step: as (1).
    """

    name: ClassVar[str] = "adafactor"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.5, "beta_2_decay": -0.6, "epsilon_1": 1e-4, "clip_threshold": 0.7},
        {"learning_rate": 0.05, "epsilon_2": 0.5},
        {"learning_rate": 0.01, "relative_step": False},
    )

    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    def slots(self, weight: Array, name: str = "") -> Slots:
        if weight.ndim < 2:
            return {"velocity": zeros(weight)}
        return {
            "row": zeros(weight[..., 0]),
            "column": zeros(weight[..., 0, :]),
            "velocity": zeros(weight),
        }

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        t = number_like(step.number, weight)
        rho = number_like(1.0, weight) * step.learning_rate
        if self.relative_step and not isinstance(self.learning_rate, Schedule):
            rho = np.minimum(rho, 1 / np.sqrt(t))  # (1)
        alpha = root_mean_square_from(self.epsilon_2, weight) * rho  # (2)
        beta = 1 - np.power(t, number_like(self.beta_2_decay, weight))  # (3)
        squares = np.square(gradient) + self.epsilon_1  # (4)
        v = slots["velocity"]
        if weight.ndim < 2:
            v[...] = beta * v + (1 - beta) * squares  # (6)
        else:
            r, c = slots["row"], slots["column"]
            r[...] = beta * r + (1 - beta) * np.mean(squares, axis=-1)  # (5)
            c[...] = beta * c + (1 - beta) * np.mean(squares, axis=-2)  # (5)
            share = r / np.mean(r, axis=-1, keepdims=True)
            v[...] = share[..., None] * c[..., None, :]  # (5)
        u = gradient / np.sqrt(v)  # (7)
        shrink = root_mean_square_from(1.0, u / self.clip_threshold)
        weight -= alpha * (u / shrink)  # (7), (8)
