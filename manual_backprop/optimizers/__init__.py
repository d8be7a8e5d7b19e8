"""Weight updates, in place: the arrays in ``weights`` are the model's own.

One file for each family. A new optimizer is one class in its family's file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manual_backprop.catalogue import family, resolve
from manual_backprop.optimizers.adam import *
from manual_backprop.optimizers.adaptive import *
from manual_backprop.optimizers.base import (
    Optimizer,
    Snapshot,
    State,
    Step,
    check_count,
    check_gradients,
)
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.factored import *
from manual_backprop.optimizers.ftrl import *
from manual_backprop.optimizers.gradient_descent import *
from manual_backprop.optimizers.gradient_descent import SGD
from manual_backprop.optimizers.layerwise import *
from manual_backprop.optimizers.loss_scale import *
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite, is_foreign

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
