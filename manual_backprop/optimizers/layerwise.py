"""Optimizers that look at a weight as a whole: at its norm, or at its singular values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.adam import Moments, share_of_mean
from manual_backprop.optimizers.base import Slots, Step, zeros
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.norms import norm
from manual_backprop.special import root
from manual_backprop.typing import Array

__all__ = ["Lamb", "Muon"]


@dataclass(eq=False, repr=False)
class Lamb(Moments):
    r"""Adam's direction with the length of the weight (You et al. 2020, arXiv:1904.00962).

    (1) m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²
    (2) r = m / (1 − β₁^t) / (√(v / (1 − β₂^t)) + ε)
    (3) w ← w − η r ‖w‖ / ‖r‖ (algorithm 2, with φ the identity), or − η r where a norm is 0

    Args:
        beta_1, beta_2: rates of decay. epsilon: ε.
    """

    name: ClassVar[str] = "lamb"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    )

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, v = self.update_moments(gradient, slots)  # (1)
        m_hat = m / share_of_mean(self.beta_1, step.number, weight)
        v_hat = v / share_of_mean(self.beta_2, step.number, weight)
        direction = m_hat / (root(v_hat) + self.epsilon)  # (2)
        size, length = self.length(weight), self.length(direction)
        moving = length > 0
        ratio = size / np.where(moving, length, np.ones_like(length))
        ratio = np.where((size > 0) & moving, ratio, np.ones_like(ratio))
        weight -= ratio * step.learning_rate * direction  # (3)

    def length(self, x: Array) -> Array:
        """‖x‖."""
        return norm(x)


@dataclass(eq=False, repr=False)
class Muon(Descent):
    r"""Momentum with all singular values brought near 1 (Jordan et al. 2024, "Muon").

    A matrix whose name contains no word of ``exclude_layers`` (and not "embedding", with
    ``exclude_embeddings``) takes these steps, with its own ``weight_decay``:
    (1) m ← μ m + g, then x = g + μ m with ``nesterov``, else x = m
    (2) x is transposed if it has more rows than columns, and divided by ‖x‖ + 10⁻⁷
    (3) ``ns_steps`` times x ← a x + (b A + c A²) x with A = x xᵀ: a Newton-Schulz iteration, which
        takes each singular value s to a s + b s³ + c s⁵ and leaves the singular vectors
    (4) w ← w − η √max(rows, columns) κ x, transposed back; κ = ``rms_rate``, or without √ and κ
        (Liu et al. 2025, arXiv:2502.16982, equation 4)

    Every other weight takes Adam's, with ``adam_weight_decay``:
    (5) m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²
    (6) w ← w − η ``adam_lr_ratio`` √(1 − β₂^t) / (1 − β₁^t) m / (√v + ε)

    Args:
        adam_beta_1, adam_beta_2, epsilon: β₁, β₂, ε. muon_a, muon_b, muon_c: a, b, c.
        momentum: μ. The others are explained above.
    """

    name: ClassVar[str] = "muon"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"learning_rate": 0.05, "nesterov": False, "rms_rate": None, "ns_steps": 3},
        {
            "learning_rate": 0.05,
            "adam_beta_1": 0.8,
            "adam_beta_2": 0.9,
            "epsilon": 1e-3,
            "adam_weight_decay": 0.1,
            "weight_decay": None,
            "adam_lr_ratio": 0.5,
            "momentum": 0.7,
        },
        {"muon_a": 3.0, "muon_b": -3.2, "muon_c": 1.2, "rms_rate": 0.1, "exclude_layers": ["wide"]},
        {"exclude_embeddings": False, "adam_weight_decay": None},
    )

    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    weight_decay: Any = 0.004
    exclude_layers: Sequence[str] | None = None
    exclude_embeddings: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.7750
    muon_c: float = 2.0315
    adam_lr_ratio: float = 1
    momentum: float = 0.95
    ns_steps: int = 5
    nesterov: bool = True
    rms_rate: float | None = 0.2

    def is_orthogonalised(self, weight: Array, name: str) -> bool:
        """Whether a weight takes (1) to (4)."""
        if weight.ndim != 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return False
        return not any(re.search(word, name) for word in self.exclude_layers or ())

    def slots(self, weight: Array, name: str = "") -> Slots:
        if self.is_orthogonalised(weight, name):
            return {"momentum": zeros(weight)}
        return {"momentum": zeros(weight), "velocity": zeros(weight)}

    def decay(self, weight: Array, rate: Any, name: str = "") -> None:
        own = self.is_orthogonalised(weight, name)
        strength = self.weight_decay if own else self.adam_weight_decay
        if strength is not None:
            weight -= weight * strength * rate

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        if not self.is_orthogonalised(weight, step.name):
            self.update_as_adam(gradient, weight, slots, step)
            return
        m = slots["momentum"]
        m += gradient + (self.momentum - 1) * m  # (1)
        x = gradient + self.momentum * m if self.nesterov else m  # (1)
        direction = step.learning_rate * self.stages(x, step.name)[-1]
        if self.rms_rate is not None:
            direction = direction * float(np.sqrt(max(weight.shape))) * self.rms_rate  # (4)
        weight -= direction  # (4)

    def stages(self, x: Array, name: str = "") -> list[Array]:
        """x normalised, and after each iteration, in its own orientation."""
        tall = x.shape[0] > x.shape[1]
        found = [self.normalised(x.T if tall else x)]
        for _ in range(self.ns_steps):
            found.append(self.iterated(found[-1]))
        return [stage.T for stage in found] if tall else found

    def normalised(self, x: Array) -> Array:
        """x with singular values of at most 1, (2)."""
        return x / (self.length(x) + 1e-7)

    def length(self, x: Array) -> Array:
        """‖x‖."""
        return norm(x)

    def iterated(self, x: Array) -> Array:
        """One Newton-Schulz iteration, (3)."""
        A = x @ x.T
        return self.muon_a * x + (self.muon_b * A + (self.muon_c * A) @ A) @ x

    def update_as_adam(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        """(5) and (6)."""
        m, v = slots["momentum"], slots["velocity"]
        m += (gradient - m) * (1 - self.adam_beta_1)  # (5)
        v += (np.square(gradient) - v) * (1 - self.adam_beta_2)  # (5)
        rate = step.learning_rate * self.adam_lr_ratio
        mean = np.sqrt(share_of_mean(self.adam_beta_2, step.number, weight))
        alpha = rate * mean / share_of_mean(self.adam_beta_1, step.number, weight)
        weight -= m * alpha / (root(v) + self.epsilon)  # (6)
