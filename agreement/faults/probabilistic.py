"""Faults of losses of bits, of focal losses, and of likelihoods."""

from __future__ import annotations

import numpy as np

from agreement.faults.loss import Honest
from agreement.faults.sites import faults_in, in_loss_gradient
from manual_backprop.losses import (
    EPSILON,
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
)
from manual_backprop.losses.base import as_kind_of
from manual_backprop.losses.binary import entropy, entropy_slope
from manual_backprop.losses.crossentropy import class_entries, through_normalisation
from manual_backprop.typing import Array

BINARY = "binary_crossentropy"
BINARY_FOCAL = "binary_focal_crossentropy"
FOCAL = "categorical_focal_crossentropy"
GENERALIZED = "categorical_generalized_cross_entropy"

# -- bits --------------------------------------------------------------------------------


@in_loss_gradient("cross-entropy", BINARY, fused=False)
def zeros_without_gradient(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate −t log p only, so that nothing lowers the prediction of a 0."""
    inside = (predictions >= EPSILON) & (predictions <= 1 - EPSILON)
    clipped = np.clip(predictions, EPSILON, 1 - EPSILON)
    return -as_kind_of(predictions, targets) / clipped * inside / predictions.size


@in_loss_gradient("cross-entropy", BINARY, fused=False)
def logit_gradient_for_bits(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You return p − t, the gradient of the logits, and the sigmoid is differentiated again."""
    return (predictions - targets) / predictions.size


@in_loss_gradient("activation derivatives", BINARY, fused=True)
def sigmoid_derivative_twice(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You send p − t through the sigmoid's derivative, although it is the gradient behind it."""
    return honest(predictions, targets) * (predictions * (1 - predictions))


# -- focal -------------------------------------------------------------------------------


@in_loss_gradient("cross-entropy", BINARY_FOCAL, fused=False)
def focus_of_bits_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You take the focusing factor for a constant, but it depends on the prediction."""
    factor, _ = BinaryFocalCrossentropy().focus(predictions, targets)
    return factor * entropy_slope(predictions, targets) / predictions.size


@in_loss_gradient("signs", BINARY_FOCAL, fused=False)
def focus_of_bits_sign(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate (1 − π)² as 2 (1 − π), without the minus before π."""
    factor, slope = BinaryFocalCrossentropy().focus(predictions, targets)
    through_entropy = factor * entropy_slope(predictions, targets)
    return (through_entropy - slope * entropy(predictions, targets)) / predictions.size


@in_loss_gradient("cross-entropy", BINARY_FOCAL, fused=True)
def focus_of_logits_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You weigh p − t by the focusing factor, and forget that the logits move the factor too."""
    factor, _ = BinaryFocalCrossentropy().focus(predictions, targets)
    return factor * (predictions - targets) / predictions.size


@in_loss_gradient("cross-entropy", FOCAL)
def focus_of_classes_constant(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You weigh the gradient of the cross-entropy, but the weight has a gradient of its own."""
    loss = CategoricalFocalCrossentropy()
    clipped = loss.clipped(predictions)
    wrong = 1 - clipped
    grad = -(wrong * wrong) / clipped * targets * loss.alpha
    return through_normalisation(grad, predictions, -1) / len(targets)


@in_loss_gradient("cross-entropy", FOCAL)
def focal_normalisation_ignored(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You stop at the gradient of the normalised predictions."""
    loss = CategoricalFocalCrossentropy()
    return loss.grad_clipped(loss.clipped(predictions), targets) / len(targets)


@in_loss_gradient("cross-entropy", GENERALIZED)
def exponent_not_lowered(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You keep the exponent q, which the power rule lowers by one."""
    at = class_entries(targets)
    grad = np.zeros_like(predictions)
    grad[at] = -np.power(predictions[at], CategoricalGeneralizedCrossEntropy().q) / len(targets)
    return grad


@in_loss_gradient("factors", GENERALIZED)
def exponent_not_brought_down(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by q in the loss, and forget the q that comes down from the exponent."""
    return honest(predictions, targets) / CategoricalGeneralizedCrossEntropy().q


# -- likelihoods -------------------------------------------------------------------------


@in_loss_gradient("cross-entropy", "kl_divergence")
def divergence_the_other_way(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate Σ p log(p/t), but it is t that weighs the logarithms."""
    wanted = np.clip(as_kind_of(predictions, targets), EPSILON, 1)
    return (np.log(np.clip(predictions, EPSILON, 1) / wanted) + 1) / len(targets)


@in_loss_gradient("factors", "kl_divergence")
def divergence_weight_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You forgot the t before the logarithm, so that all classes weigh the same."""
    clipped = np.clip(predictions, EPSILON, 1)
    return -1 / clipped * (predictions >= EPSILON) / len(targets)


@in_loss_gradient("cross-entropy", "poisson")
def rate_not_differentiated(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate −t log p, and not the p before it."""
    return -as_kind_of(predictions, targets) / (predictions + EPSILON) / predictions.size


@in_loss_gradient("cross-entropy", "poisson")
def rate_taken_for_its_logarithm(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You use eᵖ − t, which holds where the model predicts the logarithm of the rate."""
    return (np.exp(predictions) - targets) / predictions.size


PROBABILISTIC = faults_in(globals())
