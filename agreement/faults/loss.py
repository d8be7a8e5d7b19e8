"""Faults of the losses: their values and the gradients that they hand to the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from agreement.faults.sites import faults_in, in_loss_gradient, in_loss_value
from manual_backprop.losses import EPSILON
from manual_backprop.typing import Array

SPARSE = "sparse_categorical_crossentropy"
CATEGORICAL = "categorical_crossentropy"
SQUARED = "mean_squared_error"
ABSOLUTE = "mean_absolute_error"

# What a training loop calls its batch size, when the batch at hand has fewer samples.
FULL_BATCH = 32

Honest: TypeAlias = Callable[[Array, Array], Array]


# -- every loss --------------------------------------------------------------------------


@in_loss_gradient("factors")
def batch_mean_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You average the loss over the batch, but not its gradient."""
    return honest(predictions, targets) * len(targets)


@in_loss_gradient("factors")
def batch_mean_twice(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide each sample's gradient by the batch size, and their mean once more."""
    return honest(predictions, targets) / len(targets)


@in_loss_gradient("batching")
def full_batch_size_for_short_batch(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by the configured batch size, but the last batch of an epoch is shorter."""
    return honest(predictions, targets) * len(targets) / FULL_BATCH


@in_loss_gradient("batching")
def loss_gradient_of_first_sample(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You compute the first sample's gradient and broadcast it over the batch."""
    grad = honest(predictions, targets)
    return grad[:1] + np.zeros_like(grad)


@in_loss_gradient("batching")
def labels_in_another_order(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You shuffled the images and not the labels, so that each sample has another's label."""
    return honest(predictions, targets[::-1])


@in_loss_gradient("signs")
def loss_gradient_negated(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You subtract the predictions from the targets, not the targets from the predictions."""
    return -honest(predictions, targets)


@in_loss_value("factors")
def loss_summed_over_batch(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You sum the samples' losses where Keras takes their mean."""
    return honest(predictions, targets) * len(targets)


# -- regression --------------------------------------------------------------------------


@in_loss_gradient("factors", SQUARED)
def squared_error_two_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You forgot the 2 that comes down from the exponent."""
    return (predictions - targets) / predictions.size


@in_loss_gradient("factors", SQUARED)
def squared_error_over_batch_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by the number of samples, but the mean is over all elements."""
    return 2 * (predictions - targets) / len(targets)


@in_loss_value("factors", SQUARED)
def squared_error_halved(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You put a ½ before the square to cancel the 2, which Keras does not."""
    return honest(predictions, targets) / 2


@in_loss_gradient("factors", ABSOLUTE)
def absolute_error_over_batch_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide the signs by the number of samples, but the mean is over all elements."""
    return np.sign(predictions - targets) / len(targets)


@in_loss_gradient("activation derivatives", ABSOLUTE)
def absolute_error_without_sign(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You use the difference, as for a squared error, where its sign belongs."""
    return (predictions - targets) / predictions.size


# -- cross-entropy -----------------------------------------------------------------------


@in_loss_gradient("factors", SPARSE, CATEGORICAL)
def crossentropy_over_elements(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by the number of elements, but the mean is over the samples only."""
    return honest(predictions, targets) / predictions.shape[1]


@in_loss_gradient("softmax", SPARSE, CATEGORICAL, fused=True)
def softmax_jacobian_twice(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You send p − y through the softmax's backward, although it is the gradient behind it."""
    grad = honest(predictions, targets)
    return predictions * (grad - (grad * predictions).sum(axis=-1, keepdims=True))


@in_loss_gradient("softmax", CATEGORICAL, fused=False)
def logit_gradient_for_probabilities(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You return p − y, the gradient of the logits, and the softmax is differentiated again."""
    return (predictions - targets) / len(targets)


@in_loss_gradient("cross-entropy", SPARSE)
def labels_counted_from_one(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You subtract 1 from labels that already start at 0, and index −1 is the last class."""
    return honest(predictions, targets - 1)


@in_loss_gradient("cross-entropy", SPARSE, fused=True)
def label_column_of_every_row(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You index [:, labels], which is every sample's row, for [arange(n), labels]."""
    grad = predictions.copy()
    grad[:, targets] -= 1
    return grad / len(targets)


@in_loss_gradient("wiring", SPARSE, fused=True)
def label_subtraction_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You change a copy that fancy indexing made, so that the 1 is never subtracted."""
    return predictions / len(targets)


@in_loss_gradient("cross-entropy", CATEGORICAL)
def classes_shifted(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You one-hot encoded labels that count from one as if they counted from zero."""
    return honest(predictions, np.roll(targets, 1, axis=1))


@in_loss_gradient("cross-entropy", CATEGORICAL, fused=True)
def one_hot_taken_as_index(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You index with one-hot rows as if they were labels, which hits the classes 0 and 1."""
    grad = predictions.copy()
    grad[np.arange(len(targets))[:, None], targets.astype(int)] -= 1
    return grad / len(targets)


@in_loss_gradient("cross-entropy", CATEGORICAL, fused=False)
def normalisation_ignored(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate −Σ t log p, but the loss divides p by its sum first."""
    return -targets / np.clip(predictions, EPSILON, 1 - EPSILON) / len(targets)


@in_loss_gradient("cross-entropy", SPARSE, CATEGORICAL, fused=False)
def epsilon_in_backward_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by p + ε in the backward pass, and the forward pass takes the log of p."""
    return honest(predictions + EPSILON, targets)


@in_loss_value("cross-entropy", SPARSE, CATEGORICAL, fused=False)
def epsilon_in_forward_only(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You take the log of p + ε in the forward pass, and the backward pass divides by p."""
    return honest(predictions + EPSILON, targets)


@in_loss_gradient("cross-entropy", SPARSE, fused=False)
def clip_ignored_in_backward(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You clip the probabilities and let the gradient pass where the clip has cut it off."""
    return honest(np.clip(predictions, EPSILON, 1 - EPSILON), targets)


@in_loss_gradient("cross-entropy", CATEGORICAL, fused=False)
def clip_ignored_after_normalising(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate the normalisation but not the clip that follows it."""
    total = predictions.sum(axis=-1, keepdims=True)
    normalised = predictions / total
    grad = -targets / np.clip(normalised, EPSILON, 1 - EPSILON) / len(targets)
    return grad / total - (grad * (normalised / total)).sum(axis=-1, keepdims=True)


LOSS = faults_in(globals())
