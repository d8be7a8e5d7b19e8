"""Where Keras' probabilistic losses are known to be wrong; see ``agreement.known``."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.known_row import (
    NOT_FINITE,
    KnownDisagreement,
    is_rounded,
    rounding,
    with_attributes,
    with_methods,
)
from manual_backprop import special
from manual_backprop.losses import (
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
)
from manual_backprop.losses.crossentropy import smoothed_classes
from manual_backprop.typing import Array

LOSS_TENSORS = ("loss", "grad_inputs")


def is_certain_and_right(subject: Any, inputs: Array, other: Array) -> Array:
    """Where γ < 1 and the probability of what is right rounds to 1; inputs may be logits."""
    shows = np.zeros(inputs.shape, bool)
    if subject.gamma < 1:
        one = inputs.dtype.type(1)
        for p in (inputs, special.sigmoid(inputs)):
            right = other * p + (one - other) * (one - p)
            shows |= np.abs(one - right) <= 4 * np.finfo(inputs.dtype).eps
    return shows


def class_is_impossible(subject: Any, inputs: Array, other: Array) -> Array:
    """In rows whose class has no probability, or a subnormal one, which counts as none, or NaN."""
    chosen = np.take_along_axis(inputs, other[..., None], axis=-1)
    return np.broadcast_to(~(chosen >= np.finfo(inputs.dtype).smallest_normal), inputs.shape)


def row_has_nan(subject: Any, inputs: Array, other: Array) -> Array:
    """In rows in which any class has the probability NaN."""
    return np.broadcast_to(np.isnan(inputs).any(axis=-1, keepdims=True), inputs.shape)


def single_class(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if there is one class."""
    return np.full(inputs.shape, inputs.shape[-1] == 1)


def smoothed_along_another_axis(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if labels are smoothed and the last axis is not that of the classes."""
    another = inputs.shape[subject.axis] != inputs.shape[-1]
    return np.full(inputs.shape, bool(subject.label_smoothing) and another)


def weights_are_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if float32 cannot hold one of the weights in a list."""
    listed = subject.alpha if isinstance(subject.alpha, tuple) else ()
    return np.full(inputs.shape, any(map(is_rounded, listed)))


def _smoothed_along_the_last_axis(own: Any, method: Any, *arrays: Any) -> Any:
    """A method of ``own`` with labels that are smoothed already, the last of its arrays."""
    *given, targets = arrays
    smoothed = smoothed_classes(targets, given[-1], own.label_smoothing, -1)
    return method(with_attributes(own, label_smoothing=0.0), *given, smoothed)


METHODS = ("values", "pull_back", "values_from_logits", "pull_back_from_logits")
COLUMNS = [[0.25, 0.5, 0.75], [0.75, 0.5, 0.25]]
ONE_HOT_COLUMNS = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
CROSS_ENTROPIES: tuple[KnownDisagreement, ...] = (
    *(
        KnownDisagreement(
            61,
            "binary_focal_crossentropy",
            "for γ < 1 the gradient is NaN where a prediction is certain and right",
            is_certain_and_right,
            (
                BinaryFocalCrossentropy(gamma=gamma, from_logits=logits),
                [numbers],
                [[0.0, 1.0, 1.0]],
            ),
            gives=NOT_FINITE,
        )
        for gamma, logits, numbers in (
            (0.0, False, [0.0, 1.0, 0.25]),
            (0.0, True, [-50.0, 50.0, 1.0]),
            (0.5, False, [0.0, 1.0, 0.25]),
        )
    ),
    KnownDisagreement(
        62,
        "categorical_generalized_cross_entropy",
        "the gradient of the other classes is NaN, not 0, where the class has probability 0",
        class_is_impossible,
        (CategoricalGeneralizedCrossEntropy(), [[0.25, 0.75, 0.0]], [2]),
        gives=NOT_FINITE,
    ),
    KnownDisagreement(
        62,
        "categorical_generalized_cross_entropy",
        "a probability of NaN counts, also if it is that of another class",
        row_has_nan,
        (CategoricalGeneralizedCrossEntropy(), [[0.25, 0.75, np.nan]], [0]),
        tensors=LOSS_TENSORS,
        gives=NOT_FINITE,
    ),
    KnownDisagreement(
        63,
        "categorical_generalized_cross_entropy",
        "with one class every label meets every prediction",
        single_class,
        (CategoricalGeneralizedCrossEntropy(reduction="sum"), [[0.5], [0.25]], [0, 0]),
        tensors=LOSS_TENSORS,
        modes=("keras", "keras-xla"),
    ),
    *(
        KnownDisagreement(
            64,
            kind.name,
            "labels are smoothed by the length of the last axis, whatever the axis of the classes",
            smoothed_along_another_axis,
            (kind(label_smoothing=0.25, axis=0), COLUMNS, ONE_HOT_COLUMNS),
            tensors=LOSS_TENSORS,
            instead=with_methods(
                **{name: _smoothed_along_the_last_axis for name in METHODS if hasattr(kind, name)}
            ),
        )
        for kind in (CategoricalCrossentropy, CategoricalFocalCrossentropy)
    ),
    KnownDisagreement(
        65,
        "categorical_focal_crossentropy",
        "weights in a list are rounded to float32, also in float64",
        weights_are_rounded,
        (
            CategoricalFocalCrossentropy(alpha=(0.1, 0.7, 0.2)),
            [[0.25, 0.5, 0.25]],
            [[0.0, 1.0, 0.0]],
        ),
        tensors=LOSS_TENSORS,
        dtypes=("float64",),
        instead=rounding("alpha"),
    ),
)
