r"""The contract of an initializer, for our draws and for a reference's.

Two generators of random numbers cannot be compared number by number; their contract can be:

(1) shape and dtype; every number finite and within ``limits``, give or take one rounding
(2) of n draws the mean lies within z σ/√n of the mean, and the variance within z σ² √(2/n) of
    the variance, for a kurtosis of at most 3; chance passes z = 7 once in 4·10¹¹ times
(3) the same seed gives the same numbers, and another seed others, unless σ = 0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from agreement.precision import precision_of
from manual_backprop.initializers import Identity, Orthogonal, WeightInitializer
from manual_backprop.typing import Array

# From (shape, dtype, seed) to weights.
Draw: TypeAlias = Callable[[tuple[int, ...], str, int], Array]
DEVIATIONS = 7.0
SHAPES = ((300, 200), (40, 500))


def own_draw(initializer: WeightInitializer) -> Draw:
    """Our initializer as a ``Draw``."""
    return lambda shape, dtype, seed: initializer(
        shape, np.random.default_rng(seed), np.dtype(dtype)
    )


def reference_draw(initializer: WeightInitializer) -> Draw:
    """Keras' initializer of the same name and arguments as a ``Draw``."""
    # Imported here: what needs no framework must not load one.
    import reference

    return lambda shape, dtype, seed: reference.initializers.draw(initializer, shape, dtype, seed)


def known_breach(initializer: WeightInitializer, dtype: str) -> int | None:
    """The finding (docs/findings.md) by which Keras is expected to breach the contract, if any."""
    value = getattr(initializer, "value", 0.0)
    return 8 if dtype == "float64" and float(np.float32(value)) != value else None


def breaches(initializer: WeightInitializer, draw: Draw, dtype: str) -> list[str]:
    """What a draw does that the initializer's contract forbids; empty if nothing."""
    found = []
    for shape in SHAPES:
        weights = np.asarray(draw(shape, dtype, 1))
        if weights.shape != shape or weights.dtype != dtype:
            return [f"returned {weights.dtype} {weights.shape}, expected {dtype} {shape}"]
        found += _outside(initializer, weights)
        found += _moments(initializer, weights)
        if isinstance(initializer, Orthogonal):
            found += _not_orthonormal(weights.astype(np.float64) / initializer.gain, dtype)
        deviation = initializer.moments(shape)[1]
        if not np.array_equal(draw(shape, dtype, 1), weights):
            found.append("gives other numbers for the same seed")
        is_random = deviation > 0 and not isinstance(initializer, Identity)
        if np.array_equal(draw(shape, dtype, 2), weights) == is_random:
            found.append("gives the same numbers for another seed")
    return found


def _outside(initializer: WeightInitializer, weights: Array) -> list[str]:
    low, high = initializer.limits(weights.shape)
    rounding = precision_of(weights.dtype).roundoff
    wide = weights.astype(np.float64)
    slack = 2 * rounding * max(abs(low), abs(high)) if math.isfinite(low) else 0.0  # (1)
    inside = np.isfinite(wide) & (wide >= low - slack) & (wide <= high + slack)
    if inside.all():
        return []
    return [f"{int((~inside).sum())} weights of {weights.size} outside [{low:g}, {high:g}]"]


def _moments(initializer: WeightInitializer, weights: Array) -> list[str]:
    mean, deviation = initializer.moments(weights.shape)
    wide = weights.astype(np.float64)
    rounding = precision_of(weights.dtype).roundoff * (abs(mean) + deviation)
    found = []
    if abs(wide.mean() - mean) > DEVIATIONS * deviation / math.sqrt(wide.size) + rounding:  # (2)
        found.append(f"mean {wide.mean():g}, expected {mean:g}")
    variance = np.square(wide - mean).mean()
    # Entries of a sparse matrix, the identity, have a larger kurtosis, but are not random.
    spread = DEVIATIONS * deviation**2 * math.sqrt(2 / wide.size)
    if abs(variance - deviation**2) > spread + 4 * rounding * (abs(mean) + deviation):
        found.append(f"variance {variance:g}, expected {deviation**2:g}")
    return found


def _not_orthonormal(q: Array, dtype: str) -> list[str]:
    """QᵀQ = I within the error of a QR factorisation, γ_{mn} for each entry (Higham, ch. 19)."""
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    bound = precision_of(dtype).gamma(q.size)
    error = float(np.abs(product - np.eye(len(product))).max())
    return [] if error <= bound else [f"QᵀQ is {error:.1e} off the identity, allowed {bound:.1e}"]
