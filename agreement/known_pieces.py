"""Where the installed Keras is wrong about activations made of pieces, and algebraic ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.known_row import NOT_FINITE, KnownDisagreement, Where, is_rounded, rounding
from manual_backprop.activations import HardSilu, LeakyRelu, Relu, Softsign, Squareplus
from manual_backprop.typing import Array


def slope_is_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Up to 0, if float32 cannot hold the slope; relu with other arguments has another formula."""
    slope = subject.negative_slope
    elsewhere = isinstance(subject, Relu) and (subject.max_value is not None or subject.threshold)
    shows = is_rounded(slope) and not elsewhere
    return (inputs < np.finfo(inputs.dtype).smallest_normal) & shows


def _with_rounded_slope(subject: Any) -> Any:
    elsewhere = isinstance(subject, Relu) and (subject.max_value is not None or subject.threshold)
    return subject if elsewhere else rounding("negative_slope")(subject)


def argument_is_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Between relu's threshold or limit and the nearest float32 number; a limit is a value, too."""
    t, limit = subject.threshold, subject.max_value
    low, high = sorted((t, float(np.float32(t))))
    shows = (low < high) & (inputs >= low) & (inputs <= high)
    if limit is not None and is_rounded(limit):
        shows |= inputs >= min(limit, float(np.float32(limit)))
    return shows


def at_the_threshold(subject: Any, inputs: Array, other: Array) -> Array:
    """At relu's threshold, if it has a slope below it and another argument."""
    t = inputs.dtype.type(subject.threshold)
    shows = subject.negative_slope and (subject.max_value is not None or t != 0)
    return (np.abs(inputs - t) < np.finfo(inputs.dtype).smallest_normal) & bool(shows)


def above_a_negative_threshold(subject: Any, inputs: Array, other: Array) -> Array:
    """From relu's threshold to 0, if it is negative and there is a limit."""
    return (inputs >= subject.threshold) & (inputs < 0) & (subject.max_value is not None)


# By dtype, the largest number less some room for rounding, and one that is too large to square.
RANGES = (
    ("float16", 0.99 * float(np.finfo(np.float16).max), 1e3),
    ("float32", 0.999 * float(np.finfo(np.float32).max), 1e25),
    ("float64", 0.999 * float(np.finfo(np.float64).max), 1e200),
)


def root_overflows(largest: float) -> Where:
    """Where x² + b overflows, in squareplus."""
    return lambda subject, inputs, other: (
        np.hypot(np.asarray(inputs, float), np.sqrt(float(subject.b))) > np.sqrt(largest)
    )


def denominator_overflows(largest: float) -> Where:
    """Where (1 + |x|)² overflows, in softsign."""
    return lambda subject, inputs, other: 1 + np.abs(inputs) > np.sqrt(largest)


def masked_product_overflows(largest: float) -> Where:
    """Beyond the kinks of hard_silu, where the upstream gradient times the input overflows."""
    return lambda subject, inputs, other: (
        (np.abs(inputs) >= 3) & (np.abs(inputs) > largest / np.abs(np.asarray(other, float)))
    )


OVERFLOWING = "beyond ±3, where the slope of its sigmoid is 0, the gradient is NaN for large g·x"
PIECEWISE_ACTIVATIONS: tuple[KnownDisagreement, ...] = (
    *(
        KnownDisagreement(
            30,
            subject.name,
            "the slope is rounded to float32, also for float64 inputs",
            slope_is_rounded,
            (subject, [[-1.0, -3.0]], [[1.0, 0.5]]),
            tensors=("output", "grad_inputs"),
            dtypes=("float64",),
            instead=_with_rounded_slope,
        )
        for subject in (LeakyRelu(0.2), Relu(negative_slope=0.1))
    ),
    KnownDisagreement(
        31,
        "relu",
        "threshold and max_value are rounded to float32, also for float64 inputs",
        argument_is_rounded,
        (Relu(threshold=0.3), [[0.300000005]], [[1.0]]),
        tensors=("output", "grad_inputs"),
        dtypes=("float64",),
        instead=rounding("threshold", "max_value"),
    ),
    KnownDisagreement(
        32,
        "relu",
        "at the threshold the gradient is 0, which is the slope on neither side",
        at_the_threshold,
        (Relu(negative_slope=0.25, max_value=6.0), [[0.0, -0.0]], [[1.0, 0.5]]),
        gives=(0.0,),
    ),
    KnownDisagreement(
        33,
        "relu",
        "with a max_value, what lies above a negative threshold is clipped at 0 as well",
        above_a_negative_threshold,
        (Relu(max_value=3.0, threshold=-2.0), [[-1.0, -1.5]], [[1.0, 0.5]]),
        tensors=("output", "grad_inputs"),
        gives=(0.0,),
    ),
    *(
        KnownDisagreement(
            34,
            "squareplus",
            "x² overflows: the output is infinite, the gradient g/2 or NaN",
            root_overflows(largest),
            (Squareplus(), [[large, -large]], [[1.0, 0.5]]),
            tensors=("output", "grad_inputs"),
            dtypes=(dtype,),
        )
        for dtype, largest, large in RANGES
    ),
    *(
        KnownDisagreement(
            35,
            "hard_silu",
            OVERFLOWING,
            masked_product_overflows(largest),
            (HardSilu(), [[large, -large]], [[large, large]]),
            modes=("keras", "keras-graph"),
            dtypes=(dtype,),
            gives=NOT_FINITE,
        )
        for dtype, largest, large in RANGES
    ),
    KnownDisagreement(
        37,
        "softsign",
        "(1 + |x|)² overflows in float16: the gradient is 0 for large g",
        denominator_overflows(RANGES[0][1]),
        (Softsign(), [[300.0, -1e3]], [[1e3, 1e3]]),
        dtypes=("float16",),
        gives=(0.0,),
    ),
)
