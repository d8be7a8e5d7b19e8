"""Faults of losses of overlap and of directions: quotients, lengths and pairs."""

from __future__ import annotations

import numpy as np

from agreement.faults.loss import Honest
from agreement.faults.sites import faults_in, in_loss_gradient
from manual_backprop.losses import Circle
from manual_backprop.losses.base import EPSILON, as_kind_of
from manual_backprop.typing import Array

# -- overlap -----------------------------------------------------------------------------


@in_loss_gradient("activation derivatives", "dice")
def dice_denominator_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate the numerator only, but the denominator has the predictions in it."""
    targets = as_kind_of(predictions, targets)
    return -2 * targets / (targets.sum() + predictions.sum() + EPSILON)


@in_loss_gradient("factors", "dice")
def dice_two_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You forgot the 2 before the overlap."""
    return honest(predictions, targets) / 2


@in_loss_gradient("activation derivatives", "tversky")
def tversky_denominator_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate the overlap only and take the denominator for a constant."""
    targets = as_kind_of(predictions, targets)
    return -targets / _tversky_size(predictions, targets)


@in_loss_gradient("signs", "tversky")
def tversky_quotient_rule_added(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You add the two parts of the quotient rule, which subtracts the second."""
    targets = as_kind_of(predictions, targets)
    size = _tversky_size(predictions, targets)
    ratio = (targets * predictions).sum() / size
    return -(targets / size + ratio / size * 0.5)


def _tversky_size(predictions: Array, targets: Array) -> Array:
    common = (targets * predictions).sum()
    only_predicted = ((1 - targets) * predictions).sum()
    only_there = (targets * (1 - predictions)).sum()
    return common + 0.5 * only_predicted + 0.5 * only_there + EPSILON


# -- directions --------------------------------------------------------------------------


@in_loss_gradient("activation derivatives", "cosine_similarity")
def cosine_length_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You take the prediction's length for a constant, so that its gradient can change it."""
    return -_unit(as_kind_of(predictions, targets)) / _length(predictions) / len(targets)


@in_loss_gradient("factors", "cosine_similarity")
def cosine_length_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate with respect to the unit vector and stop there."""
    unit, wanted = _unit(predictions), _unit(as_kind_of(predictions, targets))
    return (unit * (unit * wanted).sum(axis=-1, keepdims=True) - wanted) / len(targets)


def _length(x: Array) -> Array:
    return np.sqrt(np.square(x).sum(axis=-1, keepdims=True))


def _unit(x: Array) -> Array:
    return x / np.maximum(_length(x), EPSILON)


@in_loss_gradient("wiring", "circle")
def circle_first_factor_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate p pᵀ with respect to its first factor, but p is the second as well."""
    return _circle_products(predictions, targets) @ predictions


@in_loss_gradient("activation derivatives", "circle")
def circle_weights_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You take the pairs' weights for constants, as the paper's authors do and Keras does not."""
    grad = _circle_products(predictions, targets, constant=True)
    return (grad + grad.T) @ predictions


def _circle_products(predictions: Array, targets: Array, *, constant: bool = False) -> Array:
    loss = Circle()
    counted = loss.own_mask(targets)
    weights = np.ones_like(predictions[:, 0]) * (counted / max(int(counted.sum()), 1))
    return loss.grad_products(weights, predictions, targets, constant=constant)


SIMILARITY = faults_in(globals())
