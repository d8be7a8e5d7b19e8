"""Weight updates, in place: the arrays in ``weights`` are the model's own."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np

from manual_backprop.catalogue import Catalogued, family, resolve
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite, is_foreign


class Optimizer(Catalogued):
    """Changes weights in place, given the gradient of the loss for each of them."""

    def apply(self, gradients: Sequence[Array], weights: Sequence[Array]) -> None:
        """Update every weight in place.

        Raises:
            ValueError: if the gradients are not one for each weight, of the same shape.
        """
        check_gradients(gradients, weights)
        for gradient, weight in zip(gradients, weights, strict=True):
            self.update(gradient, weight)

    def update(self, gradient: Array, weight: Array) -> None:
        """Update one weight in place; shapes are equal."""
        raise NotImplementedError


class SGD(Optimizer):
    r"""Gradient descent without momentum.

    (1) to first order loss(w + Δ) = loss(w) + Δ·∂loss/∂w, so Δ = −η ∂loss/∂w descends fastest

    Args:
        learning_rate: η, a positive finite number.
    """

    name = "sgd"

    def __init__(self, learning_rate: float = 1e-3) -> None:
        if isinstance(learning_rate, bool) or not isinstance(learning_rate, numbers.Real):
            raise TypeError(f"learning_rate: got {learning_rate!r}, expected a positive number.")
        if not 0 < learning_rate < float("inf"):
            raise ValueError(f"learning_rate: got {learning_rate}, expected a positive number.")
        self.learning_rate: float = float(learning_rate)

    def update(self, gradient: Array, weight: Array) -> None:
        weight -= self.learning_rate * gradient  # (1)

    def __repr__(self) -> str:
        return f"SGD(learning_rate={self.learning_rate})"


OPTIMIZERS = family(Optimizer, globals())


def get(optimizer: object) -> Optimizer:
    """An :class:`Optimizer` from its name, its class or an instance."""
    return resolve("optimizer", optimizer, Optimizer, OPTIMIZERS)


def update_weights(
    gradients: Sequence[Array], weights: Sequence[Array], learning_rate: float = 1e-3
) -> None:
    """One step of plain gradient descent, w ← w − η·gradient, in place.

    Raises:
        ValueError, TypeError: if the gradients are not one for each weight, of the same shape
            and finite, or if a weight is no finite array that can be written to; nothing has
            been updated then.
    """
    optimizer = SGD(learning_rate)
    optimizer.apply(*_checked(gradients, weights))


def _checked(
    gradients: Sequence[Array], weights: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    """The gradients as arrays of their weights' dtypes, and the weights themselves."""
    for argument, arrays in (("gradients", gradients), ("weights", weights)):
        if not isinstance(arrays, Sequence):
            raise TypeError(f"{argument}: got {type(arrays).__name__}, expected a list of arrays.")
    for index, weight in enumerate(weights):
        if is_foreign(weight):
            continue
        if not isinstance(weight, np.ndarray) or weight.dtype.kind != "f":
            shown = getattr(weight, "dtype", type(weight).__name__)
            raise TypeError(
                f"weights[{index}]: is {shown}, expected a floating-point array, since it is "
                f"updated in place; pass model.weights."
            )
        if not weight.flags.writeable:
            raise ValueError(f"weights[{index}]: is read-only, expected an array to update.")
        as_finite(f"weights[{index}]", weight, weight.dtype)
    check_count(gradients, weights)
    pairs = enumerate(zip(gradients, weights, strict=True))
    converted = [
        g if is_foreign(g) or is_foreign(w) else as_finite(f"gradients[{i}]", g, w.dtype)
        for i, (g, w) in pairs
    ]
    return converted, list(weights)


def check_gradients(gradients: Sequence[Array], weights: Sequence[Array]) -> None:
    """Raise ``ValueError`` unless there is one gradient for each weight, of its shape."""
    check_count(gradients, weights)
    for index, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
        if np.shape(gradient) != np.shape(weight):
            raise ValueError(
                f"gradients[{index}]: has shape {np.shape(gradient)}, expected "
                f"{np.shape(weight)}, the shape of weights[{index}]."
            )


def check_count(gradients: Sequence[Array], weights: Sequence[Array]) -> None:
    """Raise ``ValueError`` unless there are as many gradients as weights."""
    if len(gradients) != len(weights):
        raise ValueError(
            f"gradients: got {len(gradients)}, expected {len(weights)}, one for each weight in "
            f"the order of model.weights."
        )
