"""Optimizers that divide a gradient by the size that its own past has had, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.typing import Array

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


@dataclass(eq=False, repr=False)
class Adagrad(Descent):
    r"""The root of the sum of all squares (Duchi et al. 2011, JMLR 12, figure 1, diagonal case).

    (1) a ← a + g², from ``initial_accumulator_value``
    (2) w ← w − η g / √(a + ε)

    Args:
        initial_accumulator_value: where the sums start. epsilon: ε.
    """

    name: ClassVar[str] = "adagrad"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.5, "initial_accumulator_value": 0.0, "epsilon": 1e-3},
    )

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"accumulator": np.full_like(weight, self.initial_accumulator_value)}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        accumulator = slots["accumulator"]
        accumulator += np.square(gradient)  # (1)
        weight -= step.learning_rate * gradient / np.sqrt(accumulator + self.epsilon)  # (2)


@dataclass(eq=False, repr=False)
class Adadelta(Descent):
    r"""Steps in the units of the weight (Zeiler 2012, arXiv:1212.5701, algorithm 1).

    With RMS(x) = √(x + ε):
    (1) a ← ρ a + (1 − ρ) g²
    (2) Δ = −RMS(d) / RMS(a) · g, with the d of earlier steps
    (3) d ← ρ d + (1 − ρ) Δ²
    (4) w ← w + η Δ; the paper has no η, that is 1

    Args:
        rho: ρ. epsilon: ε.
    """

    name: ClassVar[str] = "adadelta"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-4},
    )

    rho: float = 0.95
    epsilon: float = 1e-7

    def slots(self, weight: Array, name: str = "") -> Slots:
        return {"accumulated_grad": zeros(weight), "accumulated_delta_var": zeros(weight)}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        squares, moves = slots["accumulated_grad"], slots["accumulated_delta_var"]
        squares[...] = self.rho * squares + (1 - self.rho) * np.square(gradient)  # (1)
        ours, theirs = np.sqrt(moves + self.epsilon), np.sqrt(squares + self.epsilon)
        delta = -(ours * gradient / theirs)  # (2)
        moves[...] = self.rho * moves + (1 - self.rho) * np.square(delta)  # (3)
        weight += step.learning_rate * delta  # (4)


@dataclass(eq=False, repr=False)
class RMSprop(Descent):
    r"""The root of a running mean of squares (Hinton 2012, lecture 6e; Graves 2013, section 2.2).

    (1) v ← ρ v + (1 − ρ) g²
    (2) centered: a ← ρ a + (1 − ρ) g, and the variance v − a² takes the place of v; it is no
        mean of squares about a, but not negative either: rounding must not make it so
    (3) Δ = η g / √(v + ε), with ε inside the root as in TensorFlow
    (4) momentum μ > 0: b ← μ b + Δ takes the place of Δ
    (5) w ← w − Δ

    Args:
        rho: ρ. momentum: μ. epsilon: ε. centered: as (2).
    """

    name: ClassVar[str] = "rmsprop"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "rho": 0.8, "momentum": 0.7, "epsilon": 1e-3},
        {"learning_rate": 0.05, "epsilon": 1e-3, "centered": True},
        {"learning_rate": 0.05, "momentum": 0.7, "epsilon": 1e-2, "centered": True},
    )

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def slots(self, weight: Array, name: str = "") -> Slots:
        names = ["velocity"]
        names += ["average_gradient"] * self.centered + ["momentum"] * (self.momentum > 0)
        return {name: zeros(weight) for name in names}

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        velocity = slots["velocity"]
        velocity[...] = self.rho * velocity + (1 - self.rho) * np.square(gradient)  # (1)
        size = velocity
        if self.centered:
            average = slots["average_gradient"]
            average[...] = self.rho * average + (1 - self.rho) * gradient  # (2)
            size = np.maximum(velocity - np.square(average), 0)  # (2)
        delta = step.learning_rate * gradient / np.sqrt(size + self.epsilon)  # (3)
        if self.momentum > 0:
            momentum = slots["momentum"]
            momentum[...] = self.momentum * momentum + delta  # (4)
            delta = momentum
        weight -= delta  # (5)
