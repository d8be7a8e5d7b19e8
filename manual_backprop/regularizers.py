"""Regularizers: a penalty on an array, weights or activities, and its hand-derived gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.catalogue import Catalogued, family, resolve, unknown_name
from manual_backprop.losses.base import EPSILON
from manual_backprop.typing import Array

MODES = ("rows", "columns")


class Regularizer(Catalogued):
    """A penalty that is added to the loss; see ``Catalogued``."""

    @property
    def kinks(self) -> str:
        """Where the derivative jumps, in words; each derivation says what it chooses there."""
        return "none"

    def value(self, x: Array) -> Array:
        """The penalty of an array of any shape, a scalar array."""
        raise NotImplementedError

    def gradient(self, x: Array) -> Array:
        """∂penalty/∂x, of the shape of x."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class L1(Regularizer):
    r"""λ₁ Σ |x|.

    (1) ∂/∂x_i = λ₁ sign(x_i); at the kink 0 the derivative is chosen to be 0, as Keras does
    """

    name: ClassVar[str] = "l1"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"l1": 0.3}, {"l1": 0.5})

    l1: float = 0.01

    def __post_init__(self) -> None:
        _check_factor("l1", self.l1)

    @property
    def kinks(self) -> str:
        return "at 0"

    def value(self, x: Array) -> Array:
        return self.l1 * np.abs(x).sum()

    def gradient(self, x: Array) -> Array:
        return self.l1 * np.sign(x)  # (1)


@dataclass(eq=False, repr=False)
class L2(Regularizer):
    r"""λ₂ Σ x².

    (1) ∂/∂x_i = 2 λ₂ x_i. No kinks.
    """

    name: ClassVar[str] = "l2"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"l2": 0.3}, {"l2": 0.25})

    l2: float = 0.01

    def __post_init__(self) -> None:
        _check_factor("l2", self.l2)

    def value(self, x: Array) -> Array:
        return self.l2 * np.square(x).sum()

    def gradient(self, x: Array) -> Array:
        return self.l2 * (2 * x)  # (1)


@dataclass(eq=False, repr=False)
class L1L2(Regularizer):
    r"""λ₁ Σ |x| + λ₂ Σ x².

    (1) ∂/∂x_i = λ₁ sign(x_i) + 2 λ₂ x_i; at the kink 0 the derivative is chosen to be 0
    """

    name: ClassVar[str] = "l1_l2"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"l1": 0.01, "l2": 0.01},
        {"l1": 0.5},
        {"l2": 0.25},
    )

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_factor("l1", self.l1)
        _check_factor("l2", self.l2)

    @property
    def kinks(self) -> str:
        return "at 0"

    def value(self, x: Array) -> Array:
        return self.l1 * np.abs(x).sum() + self.l2 * np.square(x).sum()

    def gradient(self, x: Array) -> Array:
        return self.l1 * np.sign(x) + self.l2 * (2 * x)  # (1)


@dataclass(eq=False, repr=False)
class OrthogonalRegularizer(Regularizer):
    r"""λ times the mean of |x̂_i · x̂_j| over the pairs i < j of normalised rows (or columns).

    With ℓ_i = max(‖x_i‖, ε), x̂_i = x_i / ℓ_i, G = x̂ x̂ᵀ, and P = n (n − 1) / 2 pairs:

    (1) the penalty is (λ / 2P) Σ_{i≠j} |G_ij|, and 0 for a single row, which has no pairs
    (2) ∂/∂x̂_i = (λ / P) Σ_{j≠i} sign(G_ij) x̂_j, each pair counting twice in (1)
    (3) ∂/∂x_i = (h − x̂_i (x̂_i · h)) / ℓ_i with h from (2); without the second term where
        ‖x_i‖ < ε, since ℓ_i is constant there
    At the kink G_ij = 0 the derivative is chosen to be 0, as Keras does.

    Args:
        factor: λ. mode: "rows" or "columns" of a matrix.
    """

    name: ClassVar[str] = "orthogonal_regularizer"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"factor": 0.5, "mode": "columns"},
    )
    domain: ClassVar[str] = "matrices"

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        _check_factor("factor", self.factor)
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, MODES)

    @property
    def kinks(self) -> str:
        return "where two rows are orthogonal, and at ‖row‖ = ε"

    def value(self, x: Array) -> Array:
        unit, _, _ = self._normalised(x)
        off_diagonal = (unit @ unit.T) * (1 - np.eye(len(unit), dtype=unit.dtype))
        return self.factor * 0.5 * np.abs(off_diagonal).sum() / _pairs(len(unit))  # (1)

    def gradient(self, x: Array) -> Array:
        unit, length, is_long = self._normalised(x)
        others = 1 - np.eye(len(unit), dtype=unit.dtype)
        toward = self.factor * ((np.sign(unit @ unit.T) * others) @ unit) / _pairs(len(unit))  # (2)
        along = unit * (unit * toward).sum(axis=1, keepdims=True)
        grad = (toward - along * is_long) / length  # (3)
        return grad if self.mode == "rows" else grad.T

    def _normalised(self, x: Array) -> tuple[Array, Array, Array]:
        """x̂, ℓ and whether ‖x_i‖ ≥ ε, for the vectors in rows."""
        if x.ndim != 2:
            raise ValueError(f"weights: have shape {x.shape}, expected a matrix to regularize.")
        rows = x if self.mode == "rows" else x.T
        norm = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
        length = np.maximum(norm, EPSILON)
        return rows / length, length, norm >= EPSILON


def _pairs(count: int) -> float:
    """How many pairs so many vectors make; 1 where the sum over them is empty."""
    return max(count * (count - 1) / 2, 1)


def _check_factor(argument: str, factor: object) -> None:
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise TypeError(f"{argument}: got {factor!r}, expected a number from 0.")
    if not 0 <= factor < float("inf"):
        raise ValueError(f"{argument}: got {factor}, expected a finite number from 0.")


@dataclass(frozen=True)
class Penalties:
    r"""What a layer adds to the loss: penalties on kernel, bias and activities (its output).

    (1) penalty = R_W(W) + R_b(b) + R_y(y) / N, with N samples in y
    (2) each adds its gradient to what the loss already gives for W, b and y, since sums
        differentiate term by term; y's is divided by N
    """

    kernel: Regularizer | None = None
    bias: Regularizer | None = None
    activity: Regularizer | None = None

    def __bool__(self) -> bool:
        return not (self.kernel is self.bias is self.activity is None)

    def value(self, W: Array, b: Array | None, output: Array) -> Array:
        """The layer's penalty, a scalar array, (1)."""
        terms = []
        if self.kernel is not None:
            terms.append(self.kernel.value(W))
        if self.bias is not None and b is not None:
            terms.append(self.bias.value(b))
        if self.activity is not None:
            terms.append(self.activity.value(output) / len(output))
        return sum(terms[1:], start=terms[0]) if terms else np.zeros((), W.dtype)

    def grad_output(self, grad_output: Array, output: Array) -> Array:
        """∂loss/∂output with the activity's part, (2)."""
        if self.activity is None:
            return grad_output
        return grad_output + self.activity.gradient(output) / len(output)

    def grad_weights(self, gradients: list[Array], W: Array, b: Array | None) -> list[Array]:
        """The gradients of the weights with the penalties' parts, (2)."""
        parts = [(self.kernel, W), (self.bias, b)]
        return [
            grad if regularizer is None or weight is None else grad + regularizer.gradient(weight)
            for grad, (regularizer, weight) in zip(gradients, parts, strict=False)
        ]


REGULARIZERS = family(Regularizer, globals())


def get(argument: str, regularizer: object) -> Regularizer | None:
    """A :class:`Regularizer` from its name, its class or an instance; None stays None.

    Raises:
        ValueError, TypeError: naming ``argument``.
    """
    return (
        None if regularizer is None else resolve(argument, regularizer, Regularizer, REGULARIZERS)
    )
