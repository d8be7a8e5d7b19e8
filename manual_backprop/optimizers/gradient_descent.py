"""Optimizers that follow the gradient, or its sign, with a momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.norms import number_like
from manual_backprop.typing import Array

__all__ = ["SGD", "Lion"]


@dataclass(eq=False, repr=False)
class SGD(Descent):
    r"""Gradient descent, with momentum if wanted (Polyak 1964; Nesterov 1983).

    (1) to first order loss(w + Δ) = loss(w) + Δ·∂loss/∂w, so Δ = −η ∂loss/∂w descends fastest
    (2) momentum μ ≠ 0, a heavy ball: v ← μ v − η g, then w ← w + v
    (3) nesterov: w ← w + μ v − η g with the new v, the step that looks ahead along it
        (Sutskever et al. 2013, equations 3 and 4, in terms of the point looked ahead to)

    Args:
        momentum: μ, from 0 to 1. nesterov: whether to look ahead.
    """

    name: ClassVar[str] = "sgd"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.1, "momentum": 0.9},
        {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    )

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum: got {self.momentum}, expected 0 to 1.")

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"momentum": zeros(weight)} if self.momentum else {}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        descent = step.learning_rate * gradient
        if not self.momentum:
            weight -= descent  # (1)
            return
        velocity = slots["momentum"]
        velocity[...] = self.momentum * velocity - descent  # (2)
        if self.nesterov:
            weight += self.momentum * velocity - descent  # (3)
        else:
            weight += velocity  # (2)


@dataclass(eq=False, repr=False)
class Lion(Descent):
    r"""The sign of a momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2).

    (1) w ← w − η sign(β₁ m + (1 − β₁) g); sign 0 = 0
    (2) then m ← β₂ m + (1 − β₂) g: the sign has mixed in more of g than m will

    Args:
        beta_1: how much of m the sign is taken of, more than 0. beta_2: rate of decay of m.
    """

    name: ClassVar[str] = "lion"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.01, "beta_1": 0.6, "beta_2": 0.8},
    )

    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_1 <= 1:
            raise ValueError(f"beta_1: got {self.beta_1}, expected 0 < beta_1 ≤ 1.")

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"momentum": zeros(weight)}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m = slots["momentum"]
        beta_1, beta_2 = number_like(self.beta_1, weight), number_like(self.beta_2, weight)
        weight -= step.learning_rate * np.sign(beta_1 * m + (1 - beta_1) * gradient)  # (1)
        m[...] = beta_2 * m + (1 - beta_2) * gradient  # (2)
