"""Faults of the loss of sequences, which no network of dense layers has: it is checked alone."""

from __future__ import annotations

import numpy as np

from agreement.faults.loss import Honest
from agreement.faults.sites import faults_in, in_loss_gradient, in_loss_value
from manual_backprop import activations
from manual_backprop.typing import Array


@in_loss_gradient("softmax", "ctc")
def ctc_softmax_missing(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You differentiate with respect to the log-probabilities and leave out the log-softmax."""
    softmax = activations.get("softmax").forward(predictions)
    return honest(predictions, targets) - softmax / len(targets)


@in_loss_gradient("cross-entropy", "ctc")
def ctc_blank_last(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You take the last class for the blank, as some libraries do, but here it is class 0."""
    return np.roll(honest(np.roll(predictions, 1, axis=-1), targets), -1, axis=-1)


@in_loss_gradient("wiring", "ctc")
def ctc_frames_reversed(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You fill a list from the last frame to the first and forget to turn it around."""
    return honest(predictions, targets)[:, ::-1]


@in_loss_value("factors", "ctc")
def ctc_divided_by_length(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You divide by the number of labels, as some libraries do, but Keras does not."""
    return honest(predictions, targets) / max(float(np.count_nonzero(targets)) / len(targets), 1)


SEQUENCE = faults_in(globals())
