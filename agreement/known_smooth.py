"""Where the installed Keras is wrong about smooth activations, and about those of a whole row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray
from agreement.known_pieces import RANGES
from agreement.known_row import (
    EVERY_MODE,
    KnownDisagreement,
    Where,
    everywhere,
    rounding,
    with_methods,
)
from agreement.precision import CENTRE_ROUNDOFF
from manual_backprop.activations import Celu, Elu, Gelu, Glu, Mish, Selu, Sparsemax
from manual_backprop.typing import Array

# Half the distance of 1 from the next number: an exponential that is closer to 1 may be 1.
HALF_AN_ULP = {
    "bfloat16": 2.0**-8,
    "float16": 2.0**-11,
    "float32": 2.0**-24,
    "float64": 2.0**-53,
}


def beside_0(subject: Any, inputs: Array, other: Array) -> Array:
    """At 0, and at subnormal numbers, which count as 0."""
    return np.abs(inputs) < np.finfo(inputs.dtype).smallest_normal


def just_below_0(ulp: float) -> Where:
    """Where eˣ rounds to 1 although x is negative."""
    return lambda subject, inputs, other: (inputs < 0) & (inputs > -ulp)


def square_overflows(largest: float) -> Where:
    """Where x² overflows, in the approximation of gelu."""

    def where(subject: Any, inputs: Array, other: Array) -> Array:
        return (np.abs(inputs) > np.sqrt(largest)) & subject.approximate

    return where


def product_overflows(largest: float) -> Where:
    """Where the upstream gradient overflows when it is multiplied by α, by 2 or by the input."""

    def where(subject: Any, inputs: Array, other: Array) -> Array:
        room = largest / np.abs(np.asarray(other, float))
        if isinstance(subject, Elu | Celu):
            return abs(subject.alpha) > room
        if isinstance(subject, Glu):  # g times the first half, in the second half's gradient
            first = np.split(np.asarray(inputs, float), 2, subject.axis)[0]
            grows = np.abs(first) > room
            return np.concatenate([np.zeros_like(grows), grows], subject.axis)
        return np.maximum(np.abs(np.asarray(inputs, float)), 2) > room

    return where


def support_is_larger(subject: Any, inputs: Array, other: Array) -> Array:
    """In rows with more than one positive output, or nearly so, or numbers too large for a 1."""
    eps = np.finfo(inputs.dtype).eps
    falling = -np.sort(-np.asarray(inputs, float), axis=subject.axis)
    size = np.abs(falling).max(axis=subject.axis, keepdims=True)
    largest, rest = np.split(falling, [1], axis=subject.axis)
    near = largest - 1 - 8 * eps * (size + 1)
    several = (rest > near).any(axis=subject.axis, keepdims=True)
    return np.broadcast_to(several | (4 * eps * size > 1), inputs.shape)


# √½ as Keras takes it, by √½: Φ(x) is computed at x times that.
STRETCH = float(np.float32(math.sqrt(0.5))) / math.sqrt(0.5)


def _stretched(x: BoundedArray) -> BoundedArray:
    """x times ``STRETCH``, which is known to a few roundings of double precision."""
    factor = np.array(STRETCH), np.array(4 * CENTRE_ROUNDOFF)
    return x * BoundedArray(*factor, x.precision)


def _with_rounded_constants(subject: Any) -> Any:
    if subject.approximate:
        return rounding("cubic")(subject)
    # x Φ(s x) is f(s x) / s, and so its slope is f′(s x).
    return with_methods(
        forward=lambda own, f, x: f(own, _stretched(x)) / STRETCH,
        backward=lambda own, f, g, x, output: f(own, g, _stretched(x), output),
    )(subject)


NAN = "is NaN, as 0 times an overflowing product"
SMOOTH_ACTIVATIONS: tuple[KnownDisagreement, ...] = (
    KnownDisagreement(
        20,
        "celu",
        "the gradient at 0 is 2, once for each of the two pieces that meet there, not 1",
        beside_0,
        (Celu(), [[0.0, -0.0]], [[1.0, 0.5]]),
    ),
    *(
        KnownDisagreement(
            21,
            "selu",
            "below 0, where eˣ rounds to 1, the gradient is that of the piece above 0",
            just_below_0(ulp),
            (Selu(), [[-ulp / 4, -ulp / 8]], [[1.0, 0.5]]),
            modes=("keras", "keras-graph"),
            dtypes=(dtype,),
        )
        for dtype, ulp in HALF_AN_ULP.items()
    ),
    KnownDisagreement(
        22,
        "selu",
        "XLA chooses the other piece's gradient at 0 than eager and graph mode",
        beside_0,
        (Selu(), [[0.0, -0.0]], [[1.0, 0.5]]),
        modes=("keras-xla",),
    ),
    KnownDisagreement(
        23,
        "gelu",
        "constants are rounded to float32, also for float64 inputs",
        everywhere,
        (Gelu(), [[0.5, -1.0, 2.0]], [[1.0, 0.5, 2.0]]),
        tensors=("output", "grad_inputs"),
        dtypes=("float64",),
        instead=_with_rounded_constants,
    ),
    *(
        KnownDisagreement(
            24,
            "gelu",
            f"the gradient of the approximation {NAN}, x²",
            square_overflows(largest),
            (Gelu(approximate=True), [[large, -large]], [[1.0, 0.5]]),
            dtypes=(dtype,),
        )
        for dtype, largest, large in RANGES
    ),
    *(
        KnownDisagreement(
            25,
            subject.name,
            f"the gradient {NAN}, the upstream gradient times α, 2 or the input",
            product_overflows(largest),
            (subject, inputs, [[upstream]]),
            modes=modes,
            dtypes=(dtype,),
        )
        for dtype, largest, _ in RANGES
        for subject, inputs, upstream, modes in (
            (Gelu(), [[-largest]], 4.0, EVERY_MODE),
            (Mish(), [[-largest]], 4.0, EVERY_MODE),
            (Glu(), [[largest, -5.0]], 4.0, EVERY_MODE),
            (Elu(alpha=2.0), [[-1e3]], 0.9 * largest, EVERY_MODE),
            (Celu(alpha=2.0), [[-1e3]], 0.9 * largest, ("keras", "keras-xla")),
        )
    ),
    KnownDisagreement(
        26,
        "sparsemax",
        "sums the cumulative sums of the support, which is right only where one output is positive",
        support_is_larger,
        (Sparsemax(), [[1.0, 1.0], [0.5, 0.1]], [[1.0, -0.5], [0.3, 2.0]]),
        tensors=("output", "grad_inputs"),
    ),
)
