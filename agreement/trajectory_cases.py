"""Weights and gradients for optimizers: smooth ones, and those at which updates go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from manual_backprop.typing import Array

# Of every rank; some optimizers treat a matrix, tall or wide, or the last two axes differently.
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (),
    "vector": (5,),
    "tall": (4, 3),
    "wide": (3, 6),
    "row": (1, 4),
    "kernel": (2, 3, 2, 4),
}
# From normal numbers, the number of the step, and the dtype's extremes to a gradient.
Draw: TypeAlias = Callable[[Array, int, "np.finfo[np.floating]"], Array]


def _sometimes(normal: Array, step: int, info: np.finfo) -> Array:
    """Zero but for every third number, and in every fourth step altogether."""
    kept = np.arange(normal.size).reshape(normal.shape) % 3 == step % 3
    return normal * kept * (step % 4 != 3)


def _mixed(normal: Array, step: int, info: np.finfo) -> Array:
    """Magnitudes from 1e-20 to 1e15, in one array and from step to step."""
    exponents = (7 * np.arange(normal.size).reshape(normal.shape) + 11 * step) % 36 - 20
    return normal * 10.0**exponents


KINDS: dict[str, Draw] = {
    "smooth": lambda normal, step, info: normal,
    "zeros": lambda normal, step, info: np.zeros_like(normal),
    "sometimes": _sometimes,
    "constant": lambda normal, step, info: np.full_like(normal, 0.1),
    "alternating": lambda normal, step, info: np.full_like(normal, (-1.0) ** step),
    "shrinking": lambda normal, step, info: normal * 0.5**step,
    "mixed": _mixed,
    # Squares that nearly overflow or underflow, that do, and numbers that do themselves.
    "huge": lambda normal, step, info: normal * 0.01 * float(np.sqrt(info.max)),
    "overflowing": lambda normal, step, info: normal * 1e-6 * float(info.max),
    "tiny": lambda normal, step, info: normal * 10 * float(np.sqrt(info.smallest_normal)),
    "underflowing": lambda normal, step, info: normal * 1e6 * float(info.smallest_normal),
    "subnormal": lambda normal, step, info: normal * 1e-2 * float(info.smallest_normal),
}


def draw_trajectory(
    kind: str, dtype: str, steps: int, seed: int = 0
) -> tuple[dict[str, Array], list[list[Array]]]:
    """Weights by name, and for each step one gradient for each of them."""
    generator = np.random.default_rng(seed)
    info = np.finfo(dtype)

    def normal(shape: tuple[int, ...], scale: float = 1.0) -> Array:
        return np.asarray(generator.normal(0, scale, shape))

    weights = {name: normal(shape, 0.3).astype(dtype) for name, shape in SHAPES.items()}
    gradients = [
        [KINDS[kind](normal(shape), step, info).astype(dtype) for shape in SHAPES.values()]
        for step in range(steps)
    ]
    return weights, gradients
