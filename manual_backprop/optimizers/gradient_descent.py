"""Optimizers that follow the gradient, or its sign, with a momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from manual_backprop.optimizers.base import Optimizer, Slots, Step, zeros
from manual_backprop.typing import Array

__all__ = ["SGD"]


@dataclass(eq=False, repr=False)
class SGD(Optimizer):
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
