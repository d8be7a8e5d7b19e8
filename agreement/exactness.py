"""Results of exact operands that need no rounding: no correct evaluation errs there at all.

So 1 − t of a label t = 0 or 1, or p − t of neighbouring numbers, is exact, and ties stay ties.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agreement.precision import Precision
from manual_backprop.typing import Array

# Numbers that the splitting of a product takes: its parts neither overflow nor underflow.
LARGEST, SMALLEST = 2.0**480, 2.0**-480
SPLITTER = 2.0**27 + 1


def is_representable(ufunc: np.ufunc, a: Array, b: Array, result: Array, p: Precision) -> Array:
    """Where the float64 ``result`` of exact operands is the true one and a number of p's format."""
    with np.errstate(all="ignore"):
        held = result.astype(p.dtype).astype(np.float64) == result
        held &= (np.abs(result) >= p.smallest_normal) | (result == 0)
        held &= np.abs(result) <= p.largest
        return held & (RESIDUALS[ufunc](a, b, result) == 0)


def _of_sum(a: Array, b: Array, total: Array) -> Array:
    """a + b − fl(a + b), exactly (Knuth)."""
    of_b = total - a
    residual: Array = (a - (total - of_b)) + (b - of_b)
    return residual


def _of_difference(a: Array, b: Array, difference: Array) -> Array:
    return _of_sum(a, -b, difference)


def _of_product(a: Array, b: Array, product: Array) -> Array:
    """a b − fl(a b), exactly (Dekker, Veltkamp); not 0 where the parts leave the range."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    residual = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    safe = (_is_usual(a) & _is_usual(b)) | (a == 0) | (b == 0)
    return np.where(safe, residual, 1.0)


def _halves(x: Array) -> tuple[Array, Array]:
    scaled = SPLITTER * x
    high = scaled - (scaled - x)
    return high, x - high


def _is_usual(x: Array) -> Array:
    usual: Array = (np.abs(x) <= LARGEST) & (np.abs(x) >= SMALLEST)
    return usual


RESIDUALS: dict[np.ufunc, Callable[[Array, Array, Array], Array]] = {
    np.add: _of_sum,
    np.subtract: _of_difference,
    np.multiply: _of_product,
}
