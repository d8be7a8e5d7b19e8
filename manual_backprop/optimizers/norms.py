r"""Numbers and norms in the arithmetic of an array: of its dtype, or carrying what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from manual_backprop.typing import Array


def number_like(value: float, array: Array) -> Array:
    """A number of an array's kind, rounded to its dtype."""
    return np.full_like(array.ravel()[0], value)


def root_mean_square_from(lowest: float, x: Array) -> Array:
    r"""max(√(Σ x² / n), lowest) = √max(Σ x² / n, lowest²): no root of what underflows to 0."""
    return np.sqrt(np.maximum(np.mean(np.square(x)), lowest * lowest))


def norm(x: Array) -> Array:
    r"""‖x‖ = s √Σ (x/s)² with s = max |x|, so that no square overflows, nor all underflow."""
    largest = np.max(np.abs(x))
    scale = np.where(largest > 0, largest, np.ones_like(largest))
    return scale * np.sqrt(np.sum(np.square(x / scale)))


def shrinking(arrays: Sequence[Array], limit: float) -> Array:
    r"""limit / max(‖x‖, limit), with ‖x‖ over all arrays together.

    With s = max(|x|, limit), max(‖x‖, limit) = s √max(Σ (x/s)², (limit/s)²).
    """
    scale = np.maximum(reduce(np.maximum, [np.max(np.abs(x)) for x in arrays]), limit)
    total = reduce(np.add, [np.sum(np.square(x / scale)) for x in arrays])
    return limit / (scale * np.sqrt(np.maximum(total, np.square(limit / scale))))
