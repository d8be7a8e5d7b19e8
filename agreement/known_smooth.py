"""Where the installed Keras is wrong about smooth activations, and about those of a whole row."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.known_row import KnownDisagreement, everywhere
from manual_backprop.activations import Celu, Gelu, Glu, Mish, Selu, Sparsemax
from manual_backprop.typing import Array


def beside_0(subject: Any, inputs: Array, other: Array) -> Array:
    """At 0, and at subnormal numbers, which count as 0."""
    return np.abs(inputs) < np.finfo(inputs.dtype).smallest_normal


def just_below_0(subject: Any, inputs: Array, other: Array) -> Array:
    """Where eˣ rounds to 1 although x is negative."""
    return (inputs < 0) & (inputs > -np.finfo(inputs.dtype).eps / 2)


def square_overflows(subject: Any, inputs: Array, other: Array) -> Array:
    """Where x² overflows, in the approximation of gelu."""
    end = np.sqrt(np.finfo(inputs.dtype).max)
    return (np.abs(inputs) > end * 0.999) & subject.approximate


def product_overflows(subject: Any, inputs: Array, other: Array) -> Array:
    """Where the upstream gradient times the input overflows."""
    end = float(np.finfo(inputs.dtype).max)
    if other.shape != inputs.shape:  # glu: g times the first half, in the second half's gradient
        first = np.split(np.asarray(inputs, float), 2, subject.axis)[0]
        grows = np.abs(first) > end * 0.999 / np.abs(other)
        return np.concatenate([np.zeros_like(grows), grows], subject.axis)
    return np.abs(inputs) > end * 0.999 / np.abs(other)


def support_is_larger(subject: Any, inputs: Array, other: Array) -> Array:
    """In rows with more than one positive output, or nearly so, or numbers too large for a 1."""
    eps = np.finfo(inputs.dtype).eps
    falling = -np.sort(-np.asarray(inputs, float), axis=subject.axis)
    size = np.abs(falling).max(axis=subject.axis, keepdims=True)
    largest, rest = np.split(falling, [1], axis=subject.axis)
    near = largest - 1 - 8 * eps * (size + 1)
    several = (rest > near).any(axis=subject.axis, keepdims=True)
    return np.broadcast_to(several | (4 * eps * size > 1), inputs.shape)


NAN = "is NaN, as 0 times an overflowing product"
SMOOTH_ACTIVATIONS: tuple[KnownDisagreement, ...] = (
    KnownDisagreement(
        20,
        "celu",
        "the gradient at 0 is 2, once for each of the two pieces that meet there, not 1",
        beside_0,
        (Celu(), [[0.0, -0.0]], [[1.0, 0.5]]),
    ),
    KnownDisagreement(
        21,
        "selu",
        "below 0, where eˣ rounds to 1, the gradient is that of the piece above 0",
        just_below_0,
        (Selu(), [[-1e-17, -1e-30]], [[1.0, 0.5]]),
        modes=("keras", "keras-graph"),
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
    ),
    KnownDisagreement(
        24,
        "gelu",
        f"the gradient of the approximation {NAN}, x²",
        square_overflows,
        (Gelu(approximate=True), [[1e20, -1e30]], [[1.0, 0.5]]),
        dtypes=("float32",),
    ),
    *(
        KnownDisagreement(
            25,
            subject.name,
            f"the gradient {NAN}, the upstream gradient times the input",
            product_overflows,
            (subject, [inputs], [[4.0]]),
            dtypes=(dtype,),
        )
        for dtype, huge in (("float32", 3e38), ("float64", 1.7e308))
        for subject, inputs in ((Gelu(), [-huge]), (Glu(), [huge, -800.0]), (Mish(), [-huge]))
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
