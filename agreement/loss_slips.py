"""Explanations of wrong gradients of losses: what people write for the mean of ℓ′(p, t)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from manual_backprop.losses import EPSILON, Loss
from manual_backprop.losses.binary import entropy, entropy_slope
from manual_backprop.losses.crossentropy import through_normalisation
from manual_backprop.losses.margin import as_signs
from manual_backprop.typing import Array

# From the loss, predictions and target rows to a wrong gradient of the sum of the values.
WrongGradient = Callable[[Any, Array, Array], Array]

PARTIAL = "derivative-partial", "a part of the derivative is missing"
CLIP = "clip-ignored", "the clip is ignored: gradient flows where p was clipped"
SECOND = "second-derivative", "is the second derivative"
MASK = "mask-missing", "the mask is missing: predictions beyond the margin have a gradient"
OTHER_MASK = "mask-without-labels", "the mask compares the prediction, not its product with t"
LABELS = "labels-unconverted", "labels 0 and 1 were not turned into −1 and 1"
RIGHT_ONLY = "right-class-only", "only the right class has a gradient"
ALL_WRONG = "all-for-largest", "every wrong class has a gradient, not only the largest"
PERCENT = "percent-missing", "is not multiplied by 100, as a percentage is"
OF_PREDICTION = "prediction-for-target", "is divided by the prediction instead of the target"
CONSTANT = "denominator-constant", "the denominator is taken for a constant"
ADDED = "sum-for-difference", "the second part of the quotient rule is added"
LENGTH = "length-constant", "the prediction's length is taken for a constant"
NO_LENGTH = "length-missing", "is not divided by the prediction's length"
FACTOR = "one-factor", "only the first factor of p pᵀ is differentiated"
SQUASHED = "jacobian-twice", "the sigmoid's derivative is applied once more"
LOGITS = "fused-for-plain", "is p − t, which holds only behind a sigmoid"
FOCUS = "focus-constant", "the focusing factor is taken for a constant"
INNER_SIGN = "derivative-sign", "a sign inside the derivative is wrong"
NOT_NORMALISED = "renormalisation-missing", "the normalisation is not differentiated"
EXPONENT = "exponent-kept", "the exponent is not lowered by one"
SWAPPED = "arguments-swapped", "prediction and target are the other way round"
NO_TARGET = "target-missing", "the target in front is missing"
LOG_RATE = "log-rate", "is the gradient of the logarithm of a rate"
WEIGHTS = "weights-constant", "the pairs' weights are taken for constants"


def loss_slips(loss: Loss, p: Array, t: Array) -> Iterator[tuple[str, str, Array]]:
    """What people write for the gradient of a loss, from predictions and target rows."""
    for (name, sentence), wrong in SLIPS.get(loss.name, ()):
        count = max(loss.ones(p).size, 1)
        yield name, sentence, wrong(loss, p, t) / count


def _logarithms(p: Array, t: Array) -> Array:
    logarithms = [np.log(1 + np.maximum(x, EPSILON)) for x in (p, t)]
    return 2 * (logarithms[0] - logarithms[1]) / p.shape[-1]


def _second_of_log_cosh(loss: Any, p: Array, t: Array) -> Array:
    return (1 - np.square(np.tanh(p - t))) / p.shape[-1]


def _of_prediction(loss: Any, p: Array, t: Array) -> Array:
    return 100 * np.sign(p - t) / np.maximum(np.abs(p), EPSILON) / p.shape[-1]


def _fraction(loss: Any, p: Array, t: Array) -> Array:
    return np.sign(p - t) / np.maximum(np.abs(t), EPSILON) / p.shape[-1]


def _costs(p: Array, t: Array) -> Array:
    right = (t * p).sum(axis=-1, keepdims=True)
    return ((1 - t) * p).max(axis=-1, keepdims=True) - right + 1 >= 0


def _overlap_only(loss: Any, p: Array, t: Array) -> Array:
    if loss.name == "dice":
        return -2 * t / (t.sum() + p.sum() + EPSILON)
    return -t / loss.size(p, t)


def _quotient_added(loss: Any, p: Array, t: Array) -> Array:
    size = loss.size(p, t)
    slope = t + loss.alpha * (1 - t) - loss.beta * t
    return -(t / size + (t * p).sum() / size / size * slope)


def _lengths(p: Array) -> tuple[Array, Array]:
    length = np.maximum(np.sqrt(np.square(p).sum(axis=-1, keepdims=True)), EPSILON)
    return p / length, length


def _length_constant(loss: Any, p: Array, t: Array) -> Array:
    return -_lengths(t)[0] / _lengths(p)[1]


def _length_missing(loss: Any, p: Array, t: Array) -> Array:
    unit, wanted = _lengths(p)[0], _lengths(t)[0]
    return unit * (unit * wanted).sum(axis=-1, keepdims=True) - wanted


def _one_factor(loss: Any, p: Array, t: Array) -> Array:
    """Of the mean over the samples that count, which ``loss_slips`` divides by all of them."""
    return _circle(loss, t, lambda targets, weights: loss.grad_products(weights, p, targets) @ p)


def _weights_constant(loss: Any, p: Array, t: Array) -> Array:
    def gradient(targets: Array, weights: Array) -> Array:
        grad = loss.grad_products(weights, p, targets, constant=True)
        return (grad + grad.T) @ p

    return _circle(loss, t, gradient)


def _circle(loss: Any, t: Array, gradient: Callable[[Array, Array], Array]) -> Array:
    targets = t.argmax(axis=1)
    counted = loss.own_mask(targets).sum()
    return gradient(targets, np.full(len(t), len(t) / max(counted, 1)))


def _of_ones(loss: Any, p: Array, t: Array) -> Array:
    inside = (p >= EPSILON) & (p <= 1 - EPSILON)
    return -t / np.clip(p, EPSILON, 1 - EPSILON) * inside / p.shape[-1]


def _focus_constant(loss: Any, p: Array, t: Array) -> Array:
    return loss.focus(p, t)[0] * entropy_slope(p, t) / p.shape[-1]


def _focus_sign(loss: Any, p: Array, t: Array) -> Array:
    factor, slope = loss.focus(p, t)
    return (factor * entropy_slope(p, t) - slope * entropy(p, t)) / p.shape[-1]


def _focus_of_classes(loss: Any, p: Array, t: Array) -> Array:
    clipped = loss.clipped(p)
    grad = -t * loss.alpha * (1 - clipped) ** loss.gamma / clipped
    return through_normalisation(grad, p, -1)


def _exponent_kept(loss: Any, p: Array, t: Array) -> Array:
    return -t * np.maximum(p, 0) ** loss.q


def _divergence_of_prediction(loss: Any, p: Array, t: Array) -> Array:
    return np.log(np.clip(p, EPSILON, 1) / np.clip(t, EPSILON, 1)) + 1


# loss: what people write for its gradient.
SLIPS: dict[str, tuple[tuple[tuple[str, str], WrongGradient], ...]] = {
    "binary_crossentropy": (
        (PARTIAL, _of_ones),
        (LOGITS, lambda loss, p, t: (p - t) / p.shape[-1]),
        (SQUASHED, lambda loss, p, t: (p - t) * p * (1 - p) / p.shape[-1]),
    ),
    "binary_focal_crossentropy": (
        (FOCUS, _focus_constant),
        (FOCUS, lambda loss, p, t: loss.focus(p, t)[0] * (p - t) / p.shape[-1]),
        (INNER_SIGN, _focus_sign),
    ),
    "categorical_focal_crossentropy": (
        (FOCUS, _focus_of_classes),
        (NOT_NORMALISED, lambda loss, p, t: loss.grad_clipped(loss.clipped(p), t)),
    ),
    "categorical_generalized_cross_entropy": ((EXPONENT, _exponent_kept),),
    "kl_divergence": (
        (SWAPPED, _divergence_of_prediction),
        (NO_TARGET, lambda loss, p, t: -1 / np.clip(p, EPSILON, 1) * (p >= EPSILON)),
    ),
    "poisson": (
        (PARTIAL, lambda loss, p, t: -t / (p + EPSILON) / p.shape[-1]),
        (LOG_RATE, lambda loss, p, t: (np.exp(p) - t) / p.shape[-1]),
    ),
    "mean_absolute_percentage_error": ((OF_PREDICTION, _of_prediction), (PERCENT, _fraction)),
    "mean_squared_logarithmic_error": (
        (PARTIAL, lambda loss, p, t: _logarithms(p, t) * (p >= EPSILON)),
        (CLIP, lambda loss, p, t: _logarithms(p, t) / (1 + np.maximum(p, EPSILON))),
    ),
    "log_cosh": ((SECOND, _second_of_log_cosh),),
    "hinge": (
        (MASK, lambda loss, p, t: -as_signs(t) / p.shape[-1]),
        (OTHER_MASK, lambda loss, p, t: -as_signs(t) / p.shape[-1] * (1 - p >= 0)),
        (LABELS, lambda loss, p, t: -t / p.shape[-1] * (1 - t * p >= 0)),
    ),
    "squared_hinge": (
        (MASK, lambda loss, p, t: -2 * as_signs(t) * (1 - as_signs(t) * p) / p.shape[-1]),
    ),
    "categorical_hinge": (
        (RIGHT_ONLY, lambda loss, p, t: -t * _costs(p, t)),
        (ALL_WRONG, lambda loss, p, t: (1 - 2 * t) * _costs(p, t)),
    ),
    "dice": ((CONSTANT, _overlap_only),),
    "tversky": ((CONSTANT, _overlap_only), (ADDED, _quotient_added)),
    "cosine_similarity": ((LENGTH, _length_constant), (NO_LENGTH, _length_missing)),
    "circle": ((FACTOR, _one_factor), (WEIGHTS, _weights_constant)),
}
