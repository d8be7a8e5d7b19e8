"""Likelihoods of distributions and of counts.

C is the number of outputs; g_n = ∂loss/∂(value of row n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.losses import labels as checked
from manual_backprop.losses.base import EPSILON, Loss
from manual_backprop.typing import Array


@dataclass(eq=False, repr=False)
class KLDivergence(Loss):
    r"""Σ_i t_i log(t_i / p_i), the information lost by p in the place of t, both clipped.

    (1) s = clip(t, ε, 1), c = clip(p, ε, 1), r_i = s_i / c_i, the value is Σ_i s_i log r_i
    (2) ∂/∂r_i = g s_i / r_i and ∂r_i/∂c_i = −r_i / c_i; their product is −g s_i / c_i
    (3) ∂/∂p_i = ∂/∂c_i where ε ≤ p_i ≤ 1, else 0; at equality the gradient passes
    """

    name: ClassVar[str] = "kl_divergence"
    aliases: ClassVar[tuple[str, ...]] = ("kld", "KLD")
    labels: ClassVar[str] = "distributions"
    predictions: ClassVar[str] = "probabilities"

    @property
    def kinks(self) -> str:
        return "at the ends of the clip, p = ε and p = 1"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return checked.distributions(labels, predictions, -1)

    def values(self, predictions: Array, targets: Array) -> Array:
        wanted = np.clip(targets, EPSILON, 1)
        ratio = wanted / np.clip(predictions, EPSILON, 1)
        return (wanted * np.log(ratio)).sum(axis=-1)  # (1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        wanted = np.clip(targets, EPSILON, 1)
        clipped = np.clip(predictions, EPSILON, 1)
        ratio = wanted / clipped  # (1)
        grad = -(wanted / ratio * (ratio / clipped)) * grad_values[..., None]  # (2)
        return grad * ((predictions >= EPSILON) & (predictions <= 1))  # (3)


@dataclass(eq=False, repr=False)
class Poisson(Loss):
    r"""(1/C) Σ_i p_i − t_i log(p_i + ε), for counts t: −log of the likelihood, less log t!.

    (1) ∂/∂p_i = g (1 − t_i / (p_i + ε)) / C. No kinks where p_i > −ε.
    """

    name: ClassVar[str] = "poisson"
    labels: ClassVar[str] = "counts"
    predictions: ClassVar[str] = "positive"
    domain: ClassVar[str] = "numbers above −ε"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return checked.numbers(labels, predictions, 0, np.inf, "count: expected numbers from 0 on")

    def values(self, predictions: Array, targets: Array) -> Array:
        return (predictions - targets * np.log(predictions + EPSILON)).mean(axis=-1)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        outputs = predictions.shape[-1]
        # As a product, because a library's log has 1/x for its derivative, which may underflow.
        grad = 1 - targets * (1 / (predictions + EPSILON))  # (1)
        return grad * (grad_values[..., None] / outputs)  # (1)
