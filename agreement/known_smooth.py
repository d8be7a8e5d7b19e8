"""Where the installed Keras is wrong about smooth activations, and about those of a whole row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray
from agreement.known_pieces import RANGES
from agreement.known_row import (
    EVERY_MODE,
    NOT_FINITE,
    Instead,
    KnownDisagreement,
    Where,
    everywhere,
    rounding,
    with_methods,
)
from agreement.precision import CENTRE_ROUNDOFF
from manual_backprop.activations import Celu, Elu, Gelu, Glu, Mish, Selu, Sparsemax
from manual_backprop.activations.exponential import SELU_SCALE, SELU_SCALE_ALPHA
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


def _as_0(x: BoundedArray) -> Array:
    """Where a number counts as 0; half types are computed in float32."""
    smallest = min(x.precision.smallest_normal, float(np.finfo(np.float32).smallest_normal))
    return np.abs(x.value) < smallest  # not of x: float16 would round this to 0


def _scaled_at_0(factor: float) -> Instead:
    """The gradient, times a factor where the input counts as 0."""

    def backward(own: Any, original: Any, g: Any, x: Any, output: Any) -> Any:
        grad = original(own, g, x, output)
        return np.where(_as_0(x), factor * grad, grad)

    return with_methods(backward=backward)


def just_below_0(ulp: float, least: float) -> Where:
    """Where eˣ rounds to 1 although x is negative, −``least`` or beyond."""
    return lambda subject, inputs, other: (inputs < 0) & (inputs <= -least) & (inputs > -ulp)


def _with_the_upper_slope(ulp: float, least: float) -> Instead:
    """Selu with λ for λα there."""

    def backward(own: Any, original: Any, g: Any, x: Any, output: Any) -> Any:
        grad = original(own, g, x, output)
        near = (x < 0) & (x <= -least) & (x > -ulp)
        return np.where(near, grad * (SELU_SCALE / SELU_SCALE_ALPHA), grad)

    return with_methods(backward=backward)


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


def support_has_equals(subject: Any, inputs: Array, other: Array) -> Array:
    """Of these, rows in which two inputs are equal once subnormal numbers are flushed to 0."""
    normal = np.abs(inputs) >= np.finfo(inputs.dtype).smallest_normal
    falling = np.sort(np.where(normal, inputs, 0), axis=subject.axis)
    equal = (np.diff(falling, axis=subject.axis) == 0).any(axis=subject.axis, keepdims=True)
    return support_is_larger(subject, inputs, other) & equal


def _summing_cumulative_sums(subject: Any) -> Any:
    """Sparsemax with Keras' threshold, which is that of the sum of its support's cumulative sums.

    Both methods are the subject's own, plus by how much Keras' formulas differ from the right ones,
    which are written out here: so an error of the subject's own stays one.
    """
    axis = subject.axis

    def sums(x: Any) -> tuple[Any, Any, Any, Any]:
        """Keras' threshold, its support in falling order, its size and each place's rank."""
        numbers = np.where(_as_0(x), 0, x.value)
        order = np.argsort(-numbers, axis=axis, kind="stable")
        falling = np.take_along_axis(x, order, axis)
        shape = [-1 if n == axis % x.ndim else 1 for n in range(x.ndim)]
        counts = np.arange(1.0, x.shape[axis] + 1).reshape(shape)
        cumulative = np.cumsum(falling, axis=axis)
        support = falling - (cumulative - 1) / counts > 0
        size = (np.ones_like(x) * support).sum(axis=axis, keepdims=True)
        total = (cumulative * support).sum(axis=axis, keepdims=True)
        return (total - 1) / size, support, size, np.argsort(order, axis=axis, kind="stable")

    def keras(x: Any) -> Any:
        return np.maximum(x - sums(x)[0], 0)

    def right(x: Any) -> Any:
        """As ``Sparsemax`` has it, in terms of the largest of all candidates."""
        shifted = np.maximum(x - x.max(axis=axis, keepdims=True), -2)
        falling = np.flip(np.sort(shifted, axis=axis), axis=axis)
        shape = [-1 if n == axis % x.ndim else 1 for n in range(x.ndim)]
        counts = np.arange(1.0, x.shape[axis] + 1).reshape(shape)
        candidates = (np.cumsum(falling, axis=axis) - 1) / counts
        return np.maximum(shifted - candidates.max(axis=axis, keepdims=True), 0)

    def forward(own: Any, original: Any, x: Any) -> Any:
        return original(own, x) + (keras(x) - right(x))

    def backward(own: Any, original: Any, g: Any, x: Any, output: Any) -> Any:
        y = right(x)
        inside = y > 0
        count = (np.ones_like(x) * inside).sum(axis=axis, keepdims=True)
        slope = (g - (g * inside).sum(axis=axis, keepdims=True) / count) * inside
        _, support, size, ranks = sums(x)
        taken = g * (keras(x) > 0)
        share = np.ones_like(x) * support * (taken.sum(axis=axis, keepdims=True) / size)
        # A place's number is in the cumulative sum of its own rank, and in all that follow.
        from_the_end = np.flip(np.cumsum(np.flip(share, axis=axis), axis=axis), axis=axis)
        wrong = taken - np.take_along_axis(from_the_end, ranks, axis)
        return original(own, g, x, y) + (wrong - slope)

    return with_methods(forward=forward, backward=backward)(subject)


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
        instead=_scaled_at_0(2.0),
    ),
    *(
        KnownDisagreement(
            21,
            "selu",
            "below 0, where eˣ rounds to 1, the gradient is that of the piece above 0",
            just_below_0(ulp, least),
            (Selu(), [[-ulp / 4, -ulp / 8]], [[1.0, 0.5]]),
            modes=("keras", "keras-graph"),
            dtypes=(dtype,),
            instead=_with_the_upper_slope(ulp, least),
        )
        for dtype, ulp in HALF_AN_ULP.items()
        # Half types have the row of float32 as well, so theirs ends where that one begins.
        for least in (HALF_AN_ULP["float32"] if ulp > HALF_AN_ULP["float32"] else 0.0,)
    ),
    KnownDisagreement(
        22,
        "selu",
        "XLA chooses the other piece's gradient at 0 than eager and graph mode",
        beside_0,
        (Selu(), [[0.0, -0.0]], [[1.0, 0.5]]),
        modes=("keras-xla",),
        instead=_scaled_at_0(SELU_SCALE_ALPHA / SELU_SCALE),
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
            gives=NOT_FINITE,
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
            gives=NOT_FINITE,
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
    *(
        KnownDisagreement(
            26,
            "sparsemax",
            "sums the cumulative sums of the support, which is right only where one output is "
            "positive",
            where,
            (Sparsemax(), [[1.0, 1.0], [0.5, 0.1]], [[1.0, -0.5], [0.3, 2.0]]),
            tensors=("output", "grad_inputs"),
            modes=modes,
            instead=instead,
        )
        # XLA's sort gives equal inputs any order, and with it the gradient that is a place's.
        for where, modes, instead in (
            (support_is_larger, EVERY_MODE, _summing_cumulative_sums),
            (support_has_equals, ("keras-xla",), None),
        )
    ),
)
