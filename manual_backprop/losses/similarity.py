"""Losses of directions: of predictions against targets, or of embeddings against each other.

g_n = ∂loss/∂(value n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop import special
from manual_backprop.losses.base import EPSILON, Loss, as_kind_of
from manual_backprop.typing import Array
from manual_backprop.validation import as_identities


@dataclass(eq=False, repr=False)
class CosineSimilarity(Loss):
    r"""−Σ_i t̂_i p̂_i along ``axis``, where x̂ = x / max(‖x‖, ε).

    With c = Σ_i t̂_i p̂_i and ℓ = max(‖p‖, ε):

    (1) ℓ = s √Σ_i (p_i/s)², s = max_i |p_i|, so that no square overflows;
        where s ≤ ε, ℓ = ε √max(Σ_i (p_i/ε)², 1)
    (2) ‖p‖ ≥ ε: ∂p̂_i/∂p_j = ([i = j] − p̂_i p̂_j) / ℓ, else only [i = j] / ℓ; at equality the former
    (3) ∂/∂p_j = −g (t̂_j − p̂_j c) / ℓ, without p̂_j c where ‖p‖ < ε

    Args:
        axis: the features.
    """

    name: ClassVar[str] = "cosine_similarity"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"axis": 0})

    axis: int = -1

    @property
    def kinks(self) -> str:
        return "at ‖p‖ = ε"

    def values(self, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        unit, unit_target = predictions / self._length(predictions), targets / self._length(targets)
        return -(unit_target * unit).sum(axis=self.axis)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        targets = as_kind_of(predictions, targets)
        length = self._length(predictions)
        unit, unit_target = predictions / length, targets / self._length(targets)
        cosine = (unit_target * unit).sum(axis=self.axis, keepdims=True)
        along = unit * cosine * self._is_long(predictions)  # (2)
        return (along - unit_target) / length * np.expand_dims(grad_values, self.axis)  # (3)

    def _length(self, x: Array) -> Array:
        largest = np.abs(x).max(axis=self.axis, keepdims=True)
        scale = np.maximum(largest, EPSILON)
        total = np.square(x / scale).sum(axis=self.axis, keepdims=True)
        return scale * np.sqrt(np.where(largest > EPSILON, total, np.maximum(total, 1)))  # (1)

    def _is_long(self, x: Array) -> Array:
        """‖x‖ ≥ ε; elements beyond 2ε need not be told from 2ε."""
        near = np.minimum(np.abs(x), 2 * EPSILON) / EPSILON
        return np.square(near).sum(axis=self.axis, keepdims=True) >= 1


@dataclass(eq=False, repr=False)
class Circle(Loss):
    r"""log(1 + Σ_{j∈P_i} e^{a_ij} Σ_{j∈N_i} e^{b_ij}) for each sample i: its class in one place.

    P_i are the other samples of i's class, N_i those of other classes; Sun et al. 2020,
    arxiv.org/abs/2002.10857. With embeddings p_i of length 1, m the margin:

    (1) the distance d_ij = max(1 − p_i·p_j, 0)
    (2) a = γ max(m + d, 0) (d − m), b = γ max(1 + m − d, 0) (1 − m − d); neither below −γm²
    (3) the value is softplus(A_i + B_i), A_i = log Σ_P e^a, B_i = log Σ_N e^b; 0, and masked,
        where P_i or N_i is empty
    (4) ∂/∂a_ij = g_i σ(A_i + B_i) e^{a_ij − A_i} for j ∈ P_i, likewise b for j ∈ N_i
    (5) da/dd = γ ([m + d ≥ 0] (d − m) + max(m + d, 0))
    (6) db/dd = −γ ([1 + m − d ≥ 0] (1 − m − d) + max(1 + m − d, 0))
    (7) ∂d_ij/∂(p_i·p_j) = −1 where p_i·p_j ≤ 1, else 0
    (8) p_i·p_j = (p pᵀ)_ij, so with G its gradient ∂/∂p = (G + Gᵀ) p
    At kinks the gradient passes, as Keras lets it.

    Args:
        gamma: the scale γ. margin: the margin m.
        remove_diagonal: a sample is not in its own P_i.
    """

    name: ClassVar[str] = "circle"
    labels: ClassVar[str] = "classes"
    predictions: ClassVar[str] = "directions"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"gamma": 2.0},
        {"gamma": 8.0, "margin": 0.25},
        {"gamma": 2.0, "remove_diagonal": False},
    )
    domain: ClassVar[str] = "rows of length 1"

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True

    @property
    def kinks(self) -> str:
        return "where two embeddings of different classes are equal, or 1 + m apart"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return as_identities(labels, len(predictions))

    def own_mask(self, targets: Array) -> Array:
        positive, negative = self._pairs(targets)
        return positive.any(axis=1) & negative.any(axis=1)  # (3)

    def values(self, predictions: Array, targets: Array) -> Array:
        pairs = self._pairs(targets)
        logs = [
            log_sum(logits, kind, self._lowest)[0]
            for logits, kind in zip(self._logits(_distances(predictions)), pairs, strict=True)
        ]
        return np.where(self.own_mask(targets), special.softplus(logs[0] + logs[1]), 0)  # (3)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        grad_products = self.grad_products(grad_values, predictions, targets)
        return (grad_products + grad_products.T) @ predictions  # (8)

    def grad_products(
        self, grad_values: Array, predictions: Array, targets: Array, *, constant: bool = False
    ) -> Array:
        """∂loss/∂(p pᵀ); with ``constant`` the weights max(m + d, 0) and the like are constants."""
        distances = _distances(predictions)
        positive, negative = self._pairs(targets)
        pull, push = self._logits(distances)
        log_pull, share_pull = log_sum(pull, positive, self._lowest)
        log_push, share_push = log_sum(push, negative, self._lowest)
        slope_pull, slope_push = self._slopes(distances, constant)
        grad_sum = grad_values * special.sigmoid(log_pull + log_push) * self.own_mask(targets)
        grad_distances = grad_sum[:, None] * (share_pull * slope_pull + share_push * slope_push)
        return -grad_distances * (predictions @ predictions.T <= 1)  # (7)

    @property
    def _lowest(self) -> float:
        return -self.gamma * self.margin**2  # (2)

    def _pairs(self, targets: Array) -> tuple[Array, Array]:
        """Which samples are in P_i, and which in N_i."""
        same = targets[:, None] == targets[None, :]
        itself = np.eye(len(targets), dtype=bool)
        return (same & ~itself if self.remove_diagonal else same), ~same

    def _logits(self, d: Array) -> tuple[Array, Array]:
        m = self.margin
        pull = self.gamma * np.maximum(m + d, 0) * (d - m)  # (2)
        push = self.gamma * np.maximum(1 + m - d, 0) * (1 - m - d)
        return pull, push

    def _slopes(self, d: Array, constant: bool) -> tuple[Array, Array]:
        m = self.margin
        pull, push = np.maximum(m + d, 0), np.maximum(1 + m - d, 0)
        if not constant:
            pull = pull + (d - m) * (m + d >= 0)  # (5)
            push = push + (1 - m - d) * (1 + m - d >= 0)  # (6)
        return self.gamma * pull, -self.gamma * push


def _distances(predictions: Array) -> Array:
    return np.maximum(1 - predictions @ predictions.T, 0)  # (1)


def log_sum(logits: Array, kind: Array, lowest: float) -> tuple[Array, Array]:
    """log Σ_j e^{logits_ij} over one kind of pairs, and each pair's share of the sum.

    A row without such pairs gives numbers without a meaning.
    """
    largest = np.where(kind, logits, lowest).max(axis=1, keepdims=True)
    counted = kind | ~kind.any(axis=1, keepdims=True)  # so that no sum is 0
    terms = np.where(counted, np.exp(np.where(kind, logits - largest, 0)), 0)
    total = terms.sum(axis=1, keepdims=True)
    return (largest + np.log(total))[:, 0], terms / total  # (4)
