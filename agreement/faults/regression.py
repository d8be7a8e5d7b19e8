"""Faults of losses of numbers and of margins: slopes, scales and masks."""

from __future__ import annotations

import numpy as np

from agreement.faults.loss import Honest
from agreement.faults.sites import faults_in, in_loss_gradient
from manual_backprop.losses.base import EPSILON, as_kind_of
from manual_backprop.losses.margin import as_signs
from manual_backprop.typing import Array

PERCENTAGE = "mean_absolute_percentage_error"
LOGARITHMIC = "mean_squared_logarithmic_error"

# -- numbers -----------------------------------------------------------------------------


@in_loss_gradient("factors", PERCENTAGE)
def percentage_hundred_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You forgot the 100 that makes a percentage of it."""
    return honest(predictions, targets) / 100


@in_loss_gradient("factors", PERCENTAGE)
def percentage_of_prediction(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by the prediction, but the percentage is one of the target."""
    size = np.maximum(np.abs(predictions), EPSILON)
    return 100 * np.sign(predictions - targets) / size / predictions.size


@in_loss_gradient("activation derivatives", LOGARITHMIC)
def logarithm_not_differentiated(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate the square and leave out the logarithm inside it."""
    difference = _difference_of_logarithms(predictions, targets)
    return 2 * difference / predictions.size * (predictions >= EPSILON)


@in_loss_gradient("activation derivatives", LOGARITHMIC)
def logarithm_clip_ignored(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You let the gradient pass for negative predictions, which the loss takes for epsilon."""
    difference = _difference_of_logarithms(predictions, targets)
    return 2 * difference / (1 + np.maximum(predictions, EPSILON)) / predictions.size


@in_loss_gradient("masks", "huber")
def huber_slope_not_limited(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You use the slope of the square beyond delta too, where the loss is a straight line."""
    return (predictions - targets) / predictions.size


@in_loss_gradient("factors", "huber")
def huber_half_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You bring down the 2 of the square, which the ½ before it cancels."""
    return 2 * honest(predictions, targets)


@in_loss_gradient("activation derivatives", "log_cosh")
def log_cosh_slope_is_sign(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You use the slope far from the target, ±1, everywhere."""
    return np.sign(predictions - targets) / predictions.size


@in_loss_gradient("activation derivatives", "log_cosh")
def log_cosh_differentiated_twice(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate tanh once more, which is the slope already."""
    tanh = np.tanh(predictions - targets)
    return (1 - tanh * tanh) / predictions.size


def _difference_of_logarithms(predictions: Array, targets: Array) -> Array:
    targets = as_kind_of(predictions, targets)
    return np.log(1 + np.maximum(predictions, EPSILON)) - np.log(1 + np.maximum(targets, EPSILON))


# -- margins -----------------------------------------------------------------------------


@in_loss_gradient("masks", "hinge")
def hinge_mask_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You push predictions that are beyond the margin already and cost nothing."""
    return -as_kind_of(predictions, as_signs(targets)) / predictions.size


@in_loss_gradient("masks", "hinge")
def hinge_mask_without_labels(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You compare the prediction itself with 1, not its product with the label."""
    signs = as_kind_of(predictions, as_signs(targets))
    return -signs / predictions.size * (1 - predictions >= 0)


@in_loss_gradient("signs", "hinge")
def hinge_labels_not_converted(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You leave labels 0 and 1 as they are, so that a 0 has no gradient."""
    targets = as_kind_of(predictions, targets)
    return -targets / predictions.size * (1 - targets * predictions >= 0)


@in_loss_gradient("factors", "squared_hinge")
def squared_hinge_two_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You forgot the 2 that comes down from the square."""
    return honest(predictions, targets) / 2


@in_loss_gradient("masks", "squared_hinge")
def squared_hinge_mask_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate (1 − t p)² and pull back predictions that are beyond the margin."""
    signs = as_signs(targets)
    return -2 * signs * (1 - signs * predictions) / predictions.size


@in_loss_gradient("masks", "categorical_hinge")
def hinge_of_right_class_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You raise the right class and forget to lower the largest wrong one."""
    return -as_kind_of(predictions, targets) * _costs(predictions, targets) / len(targets)


@in_loss_gradient("masks", "categorical_hinge")
def hinge_of_all_wrong_classes(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You lower every wrong class, where only the largest counts."""
    return (1 - 2 * as_kind_of(predictions, targets)) * _costs(predictions, targets) / len(targets)


def _costs(predictions: Array, targets: Array) -> Array:
    targets = as_kind_of(predictions, targets)
    right = (targets * predictions).sum(axis=-1, keepdims=True)
    wrong = ((1 - targets) * predictions).max(axis=-1, keepdims=True)
    return np.ones_like(wrong) * (wrong - right + 1 >= 0)


REGRESSION = faults_in(globals())
