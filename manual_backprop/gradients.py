"""From a model, a batch and a loss to a gradient for every weight."""

from __future__ import annotations

import numpy as np

from manual_backprop import losses
from manual_backprop.losses import Loss
from manual_backprop.models import NaiveSequential, as_model
from manual_backprop.trace import TensorName, Trace
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite, is_foreign


def get_gradients_of_loss_wrt_weights(
    model: NaiveSequential,
    images_batch: Array,
    labels_batch: Array,
    predictions: Array,
    loss: object,
) -> list[Array]:
    """Return ∂loss/∂weight for every weight, in the order of ``model.weights``.

    Works for every layer, activation and loss of this package. The loss's own gradient is
    taken at ``predictions``; everything below uses the model's forward pass on
    ``images_batch``, which is run again if the latest one was on another batch. The weights
    must not have changed since the predictions were made.

    Args:
        model: the model.
        images_batch: (batch, features).
        labels_batch: class indices (batch,), one-hot rows, or targets (batch, outputs).
        predictions: what ``model(images_batch)`` returned, (batch, outputs).
        loss: the name of a loss or a :class:`~manual_backprop.losses.Loss`; not its value.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    chosen = losses.get(loss)
    images = as_model(model).check_inputs(images_batch, "images_batch")
    if not _is_latest(model, images):
        model.forward(images.copy())
    expected = model.records[-1].output
    assert expected is not None
    if not is_foreign(predictions):
        predictions = as_finite("predictions", predictions, model.dtype)
    if predictions.shape != expected.shape:
        raise ValueError(
            f"predictions: has shape {np.shape(predictions)}, expected {expected.shape}; "
            f"pass what model(images_batch) returned."
        )
    targets = chosen.prepare(labels_batch, expected)
    backpropagate_to_weights(model, predictions, targets, chosen)
    return list(model.gradients)


def compute_loss(model: NaiveSequential, predictions: Array, targets: Array, loss: Loss) -> Array:
    """The loss of the model's latest forward pass, a scalar array; targets are prepared.

    The penalties of regularized layers are added to it.
    """
    if loss.is_fused_with(model.output_activation):
        logits = model.records[-1].pre_activation
        assert logits is not None
        value = loss.forward_from_logits(logits, targets)
    else:
        value = loss.forward(predictions, targets)
    return value + model.penalty() if model.is_penalised else value


def backpropagate(
    model: NaiveSequential, predictions: Array, targets: Array, loss: Loss, scale: float = 1.0
) -> Array:
    """Run the whole backward pass, setting all gradients; return ∂(scale · loss)/∂inputs.

    Trusted arguments: targets are prepared and the latest forward pass is the batch's.
    """
    grad, from_logits = _loss_gradient(model, predictions, targets, loss)
    return model.backward(scaled(grad, scale), from_logits=from_logits)


def backpropagate_to_weights(
    model: NaiveSequential, predictions: Array, targets: Array, loss: Loss, scale: float = 1.0
) -> None:
    """As ``backpropagate``, without ∂loss/∂inputs: all that training needs."""
    grad, from_logits = _loss_gradient(model, predictions, targets, loss)
    model.backward_weights(scaled(grad, scale), from_logits=from_logits)


def _loss_gradient(
    model: NaiveSequential, predictions: Array, targets: Array, loss: Loss
) -> tuple[Array, bool]:
    """∂loss/∂logits and True where the loss is fused, else ∂loss/∂predictions and False."""
    if loss.is_fused_with(model.output_activation):
        logits = model.records[-1].pre_activation
        return loss.backward_from_logits(predictions, targets, logits), True
    return loss.backward(predictions, targets), False


def scaled(gradient: Array, scale: float) -> Array:
    """The gradient of a scaled loss; 1 leaves it as it is."""
    return gradient if scale == 1.0 else gradient * scale


def compute_trace(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> Trace:
    """One forward and backward pass, with every tensor on the way. Trusted arguments."""
    model.snapshots = True
    try:
        predictions = model.forward(inputs)
        value = compute_loss(model, predictions, targets, loss)
        backpropagate(model, predictions, targets, loss)
    finally:
        model.snapshots = False
    trace = Trace(
        layers=model.records, loss=value, fused=loss.is_fused_with(model.output_activation)
    )
    gradients = model.gradients
    if len(gradients) == len(model.weights):
        trace.gradients, trace.gradient_names = gradients, model.gradient_names
        return trace
    for name, layer in model.distinct_layers.items():
        own = [n for n in model.gradient_names if n.layer == name]
        pairs = list(zip(own, layer.gradients, strict=False))
        trace.gradient_names += [n for n, _ in pairs]
        trace.gradients += [g for _, g in pairs]
        if len(layer.gradients) != len(own):
            trace.complaints[TensorName(name, "gradients")] = (
                f"backward set {len(layer.gradients)} gradients, expected {len(own)}, one for "
                f"each of weights"
            )
    return trace


def _is_latest(model: NaiveSequential, images: Array) -> bool:
    """Whether the model's latest forward pass was on these very numbers."""
    if not model.records:
        return False
    stored = model.records[0].inputs
    if is_foreign(stored) or is_foreign(images):
        return stored is images
    return stored is not None and np.array_equal(stored, images)
