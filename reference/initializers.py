"""Initial weights as Keras draws them."""

from __future__ import annotations

import inspect
from typing import Any

from manual_backprop.initializers import WeightInitializer
from manual_backprop.typing import Array
from reference.frameworks import frameworks


def draw(initializer: WeightInitializer, shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Weights from Keras' initializer of the same name and arguments.

    Raises:
        TypeError: for an initializer without a Keras twin.
    """
    _, keras = frameworks()
    kind: Any = getattr(keras.initializers, type(initializer).__name__, None)
    if kind is None:
        raise TypeError(f"initializer: {initializer.name!r} has no Keras twin.")
    taken = inspect.signature(kind).parameters
    arguments = {k: v for k, v in initializer.arguments.items() if k in taken}
    if "seed" in taken:
        arguments["seed"] = seed
    return kind(**arguments)(shape, dtype=dtype).numpy()
