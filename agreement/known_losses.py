"""Where Keras' losses of numbers, directions, overlap and sequences are known to be wrong.

See ``agreement.known``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agreement.known_row import (
    NOT_FINITE,
    KnownDisagreement,
    Where,
    everywhere,
    with_attributes,
    with_methods,
)
from manual_backprop.losses import (
    CTC,
    EPSILON,
    Circle,
    CosineSimilarity,
    Dice,
    Huber,
    LogCosh,
    MeanSquaredLogarithmicError,
    Tversky,
)
from manual_backprop.typing import Array


def doubling_overflows(subject: Any, inputs: Array, other: Array) -> Array:
    """Where −2 (p − t) overflows upwards."""
    end = float(np.finfo(inputs.dtype).max) * 0.499
    return np.asarray(inputs, float) - other < -end


def epsilon_is_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Where a prediction or its target is no larger than ε is in float32."""
    return (inputs <= np.float32(EPSILON)) | (other <= np.float32(EPSILON))


def squares_overflow(subject: Any, inputs: Array, other: Array) -> Array:
    """In vectors, of either side, the sum of whose squares overflows."""
    end = float(np.finfo(inputs.dtype).max) * 0.999
    far = [np.square(np.asarray(x, float)) for x in (inputs, other)]
    over = [x.sum(axis=subject.axis, keepdims=True) > end for x in far]
    return np.broadcast_to(over[0] | over[1], inputs.shape)


def cubes_overflow(subject: Any, inputs: Array, other: Array) -> Array:
    """In vectors such, or whose length's third power or its inverse leaves the range."""
    info = np.finfo(inputs.dtype)
    length = np.hypot.reduce(np.asarray(inputs, np.longdouble), axis=subject.axis, keepdims=True)
    out = (length**3 * info.smallest_normal > 0.99) | (length**3 * info.max < 1.01)
    return np.broadcast_to(out, inputs.shape) | squares_overflow(subject, inputs, other)


def part_along_is_flushed(subject: Any, inputs: Array, other: Array) -> Array:
    """In vectors with c/ℓ² below the smallest normal number, give or take a mean's 1/N."""
    lengths = [
        np.hypot.reduce(np.asarray(x, np.longdouble), axis=subject.axis, keepdims=True)
        for x in (inputs, other)
    ]
    inner = (inputs.astype(np.longdouble) * other).sum(axis=subject.axis, keepdims=True)
    cosine = np.abs(inner) / lengths[0] / np.maximum(lengths[1], EPSILON)
    flushed = cosine / lengths[0] ** 2 < 4 * inputs.size * np.finfo(inputs.dtype).smallest_normal
    return np.broadcast_to(flushed, inputs.shape)


def twice_the_error_overflows(subject: Any, inputs: Array, other: Array) -> Array:
    """Predictions whose distance to the target is above half the largest number."""
    error = np.abs(np.asarray(inputs, np.longdouble) - other)
    return error > 0.499 * float(np.finfo(inputs.dtype).max)


def weights_differ(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if α and β differ."""
    return np.full(inputs.shape, subject.alpha != subject.beta)


def one_weight_for_the_batch(*reductions: str) -> Where:
    """Everywhere, if the loss has one value and one weight, and is reduced in one of some ways."""

    def where(subject: Any, inputs: Array, other: Array) -> Array:
        weight = subject.sample_weight
        lone = np.shape(subject.ones(inputs)) == () and weight is not None and weight.size == 1
        return np.full(inputs.shape, lone and subject.reduction in reductions)

    return where


def _undivided(own: Any, weights_of: Any, ones: Any, targets: Any) -> Any:
    """One weight of one value: a scalar, by which a mean with sample weights is not divided."""
    weights, divisor = weights_of(own, ones, targets)
    if weights is None or np.shape(ones) or weights.size != 1:
        return weights, divisor
    return weights.sum(), None if own.reduction == "mean_with_sample_weight" else divisor


def is_improbable(subject: Any, inputs: Array, other: Array) -> Array:
    """In sequences that are less probable than e^−690."""
    cost = subject.values(np.asarray(inputs, float), other)
    return np.broadcast_to((cost > 690)[:, None, None], inputs.shape)


def lone_distances_overflow(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if a sample without pairs of both kinds has a distance of overflowing square."""
    rows = np.asarray(inputs, np.longdouble)
    farthest = np.abs(1 - rows @ rows.T).max(axis=1)
    over = subject.gamma * farthest**2 > float(np.finfo(inputs.dtype).max) * 0.99
    return np.full(inputs.shape, (over & ~subject.own_mask(other)).any())


def _has_pairs(loss: Any, labels: Array) -> Array:
    """Which samples have another of their class and one of another, whatever the loss says."""
    same = labels[:, None] == labels
    others = same & ~np.eye(len(labels), dtype=bool) if loss.remove_diagonal else same
    return np.asarray(others.any(axis=1) & ~same.all(axis=1))


def loss_underflows(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if a sample with pairs of both kinds has a loss below the smallest number."""
    values = subject.values(np.asarray(inputs, float), other)
    lost = (values < np.finfo(inputs.dtype).smallest_normal) & _has_pairs(subject, other)
    return np.full(inputs.shape, lost.any())


def _of_losses_above_0(own: Any, method: Any, predictions: Any, targets: Any) -> Any:
    """Samples whose loss underflows are left out, as if they had no pairs."""
    values = own.values(predictions, targets)
    kept = values.value >= np.finfo(values.dtype).smallest_normal
    kept |= ~_has_pairs(own, targets)  # the loss itself decides about these
    if own.mask is not None:
        kept = kept & np.reshape(own.mask, kept.shape)
    return method(own.weighted(mask=kept), predictions, targets)


def _less_rounded_log_2(own: Any, values: Any, predictions: Any, targets: Any) -> Any:
    return values(own, predictions, targets) + (math.log(2) - float(np.float32(math.log(2))))


ROUNDED_EPSILON = float(np.float32(EPSILON))  # a little more than ε


def _above_epsilon(own: Any, values: Any, predictions: Any, targets: Any) -> Any:
    floors = [np.maximum(x, ROUNDED_EPSILON) for x in (predictions, targets)]
    return values(own, *floors)


def _slope_above_epsilon(
    own: Any, pull_back: Any, grad_values: Any, predictions: Any, targets: Any
) -> Any:
    floors = [np.maximum(x, ROUNDED_EPSILON) for x in (predictions, targets)]
    return pull_back(own, grad_values, *floors) * (predictions >= ROUNDED_EPSILON)


LOSS_TENSORS = ("loss", "grad_inputs")
OVERFLOWING = "the sum of squares overflows, and so the vector counts as 0"
LOSSES: tuple[KnownDisagreement, ...] = (
    KnownDisagreement(
        40,
        "log_cosh",
        "log 2 is rounded to float32, also in float64",
        everywhere,
        (LogCosh(), [[0.5, -1.0]], [[0.0, 1.0]]),
        tensors=("loss",),
        dtypes=("float64",),
        instead=with_methods(values=_less_rounded_log_2),
    ),
    KnownDisagreement(
        50,
        "log_cosh",
        "x + softplus(−2x) is infinite for x below half the smallest number, |x| − log 2 is not",
        doubling_overflows,
        (LogCosh(), [[-2e38]], [[0.0]]),
        tensors=("loss",),
        dtypes=("float32",),
        gives=NOT_FINITE,
    ),
    KnownDisagreement(
        41,
        "mean_squared_logarithmic_error",
        "epsilon is rounded to float32, also in float64",
        epsilon_is_rounded,
        (MeanSquaredLogarithmicError(), [[1e-7, 1e-7]], [[1e-6, 2e-6]]),
        tensors=LOSS_TENSORS,
        dtypes=("float64",),
        instead=with_methods(values=_above_epsilon, pull_back=_slope_above_epsilon),
    ),
    *(
        KnownDisagreement(
            42,
            "cosine_similarity",
            OVERFLOWING,
            squares_overflow,
            (CosineSimilarity(), [[huge, huge]], [[1.0, 0.5]]),
            tensors=LOSS_TENSORS,
            modes=("keras", "keras-graph"),
            dtypes=(dtype,),
        )
        for dtype, huge in (("float32", 1e20), ("float64", 1e155))
    ),
    *(
        KnownDisagreement(
            42,
            "cosine_similarity",
            OVERFLOWING,
            squares_overflow,
            (CosineSimilarity(), [[huge, huge]], [[1.0, 0.5]]),
            tensors=("loss",),
            modes=("keras-xla",),
            dtypes=(dtype,),
        )
        for dtype, huge in (("float32", 1e20), ("float64", 1e155))
    ),
    *(
        KnownDisagreement(
            53,
            "cosine_similarity",
            "the gradient's part along the vector has a factor of c/ℓ², which is flushed to 0",
            part_along_is_flushed,
            (CosineSimilarity(), [[long]], [[-1e-30]]),
            dtypes=(dtype,),
        )
        for dtype, long in (("float32", -1e10), ("float64", -1e145))
    ),
    *(
        KnownDisagreement(
            54,
            "huber",
            "the gradient is NaN where the unused square's, twice the error, overflows",
            twice_the_error_overflows,
            (Huber(), [[-far]], [[0.0]]),
            modes=("keras", "keras-graph"),
            dtypes=(dtype,),
            gives=NOT_FINITE,
        )
        for dtype, far in (("float32", 2e38), ("float64", 1e308))
    ),
    KnownDisagreement(
        43,
        "cosine_similarity",
        "under XLA the gradient has 1/length³, which leaves the range, and is NaN for zeros",
        cubes_overflow,
        (CosineSimilarity(), [[0.0, 0.0]], [[1.0, 0.5]]),
        modes=("keras-xla",),
    ),
    KnownDisagreement(
        44,
        "tversky",
        "alpha weighs false negatives and beta false positives, against documentation and paper",
        weights_differ,
        (Tversky(alpha=0.25, beta=0.75), [[0.5, 0.25, 0.125]], [[1.0, 0.0, 0.0]]),
        tensors=LOSS_TENSORS,
        instead=lambda loss: with_attributes(loss, alpha=loss.beta, beta=loss.alpha),
    ),
    *(
        KnownDisagreement(
            47,
            kind.name,
            sentence,
            one_weight_for_the_batch(reduction),
            (kind(reduction=reduction).weighted([3.0]), [[0.5, 0.5]], [[1.0, 0.0]]),
            tensors=tensors,
            modes=("keras", "keras-xla"),
            instead=with_methods(_weights=_undivided),
        )
        for kind in (Dice, Tversky)
        for reduction, tensors, sentence in (
            ("mean_with_sample_weight", LOSS_TENSORS, "one weight is not divided by itself"),
            ("none", ("loss",), "one weight makes a scalar of the values"),
        )
    ),
    KnownDisagreement(
        45,
        "ctc",
        "computes in float32, also in float64",
        everywhere,
        (CTC(), [[[0.5, 1.0], [0.25, -0.5]]], [[1]]),
        tensors=LOSS_TENSORS,
        dtypes=("float64",),
        instead=lambda loss: loss,
        computes_in="float32",
    ),
    KnownDisagreement(
        46,
        "ctc",
        "takes log 0 for −707, so that no loss is much larger, and its gradient is that of no path",
        is_improbable,
        (CTC(), [[[1000.0, 0.0], [1000.0, 0.0]]], [[1]]),
        tensors=LOSS_TENSORS,
    ),
    *(
        KnownDisagreement(
            49,
            "circle",
            "the mean leaves out samples whose loss underflows to 0",
            loss_underflows,
            (Circle(gamma=gamma), [[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8]], [0, 0, 1, 1, 1]),
            tensors=LOSS_TENSORS,
            dtypes=(dtype,),
            instead=with_methods(forward=_of_losses_above_0, backward=_of_losses_above_0),
        )
        for dtype, gamma in (("float32", 400.0), ("float64", 4000.0))
    ),
    *(
        KnownDisagreement(
            51,
            "circle",
            "a sample without pairs is NaN, as ∞ − ∞, where the square of a distance overflows",
            lone_distances_overflow,
            (Circle(), [[far, 0.0], [-far, 0.0]], [0, 0]),
            tensors=("loss",),
            dtypes=(dtype,),
            gives=NOT_FINITE,
        )
        for dtype, far in (("float32", 1e15), ("float64", 1e100))
    ),
)
