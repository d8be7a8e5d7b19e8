"""Faults of the affine step: the gradients of W, of b and of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.faults.sites import (
    faults_in,
    in_bias_gradient,
    in_input_gradient,
    in_weight_gradient,
    square,
)
from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.typing import Array

LEARNING_RATE = 1e-2


def oblong(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """More than one input and output, and not as many of either."""
    layer = model.layers[position]
    return 1 < layer.input_size != layer.units > 1


# -- the gradient of W -------------------------------------------------------------------


@in_weight_gradient("factors")
def weight_gradient_averaged_again(layer: Any, grad: Array, honest: Array) -> Array:
    """You divide by the batch size here, but the loss has already averaged over the batch."""
    return honest / len(grad)


@in_weight_gradient("factors")
def weight_gradient_divided_by_elements(layer: Any, grad: Array, honest: Array) -> Array:
    """You average over all elements of the upstream gradient, where nothing is averaged."""
    return honest / grad.size


@in_weight_gradient("factors")
def weight_gradient_doubled(layer: Any, grad: Array, honest: Array) -> Array:
    """You put the 2 of the squared error's derivative into the layer, and the loss has it too."""
    return 2 * honest


@in_weight_gradient("factors")
def weight_gradient_with_learning_rate(layer: Any, grad: Array, honest: Array) -> Array:
    """You multiply by the learning rate in the backward pass; that is the optimizer's work."""
    return LEARNING_RATE * honest


@in_weight_gradient("signs")
def weight_gradient_negated(layer: Any, grad: Array, honest: Array) -> Array:
    """You return the direction of descent, which is minus the gradient."""
    return -honest


@in_weight_gradient("transposes", square)
def weight_gradient_transposed(layer: Any, grad: Array, honest: Array) -> Array:
    """You wrote dᵀx for xᵀd, and the layer is square, so that no shape complained."""
    return grad.T @ layer.inputs


@in_weight_gradient("transposes", oblong)
def weight_gradient_reshaped(layer: Any, grad: Array, honest: Array) -> Array:
    """You wrote dᵀx and mended its shape with reshape, which is no transpose."""
    return (grad.T @ layer.inputs).reshape(honest.shape)


@in_weight_gradient("batching")
def weight_gradient_of_first_sample(layer: Any, grad: Array, honest: Array) -> Array:
    """You derived it for one sample, and with a batch only the first sample counts."""
    return layer.inputs[:1].T @ grad[:1]


@in_weight_gradient("batching")
def weight_gradient_without_last_sample(layer: Any, grad: Array, honest: Array) -> Array:
    """Your loop over the samples stops one too early."""
    return layer.inputs[:-1].T @ grad[:-1]


@in_weight_gradient("batching")
def weight_gradient_of_mean_input(layer: Any, grad: Array, honest: Array) -> Array:
    """You average the inputs first, but a mean of products is no product of means."""
    return layer.inputs.mean(axis=0, keepdims=True).T @ grad.sum(axis=0, keepdims=True)


@in_weight_gradient("wiring", square)
def weight_gradient_from_output(layer: Any, grad: Array, honest: Array) -> Array:
    """You multiply by what the layer returned in place of what it was given."""
    return layer.output.T @ grad


# -- the gradient of b -------------------------------------------------------------------


@in_bias_gradient("biases")
def bias_gradient_mean_for_sum(layer: Any, grad: Array, honest: Array) -> Array:
    """You take the mean over the samples, but every sample adds to the one bias."""
    return grad.mean(axis=0)


@in_bias_gradient("biases")
def bias_gradient_of_last_sample(layer: Any, grad: Array, honest: Array) -> Array:
    """Your loop over the samples assigns where it should add, so that the last one stays."""
    return grad[-1]


@in_bias_gradient("biases")
def bias_gradient_with_kept_dimension(layer: Any, grad: Array, honest: Array) -> Array:
    """You left keepdims=True, and broadcasting will hide that this is (1, units)."""
    return grad.sum(axis=0, keepdims=True)


@in_bias_gradient("biases")
def bias_gradient_over_units(layer: Any, grad: Array, honest: Array) -> Array:
    """You sum over the units of each sample in place of the samples of each unit."""
    return grad.sum(axis=1)


@in_bias_gradient("biases")
def bias_gradient_total(layer: Any, grad: Array, honest: Array) -> Array:
    """You forgot the axis of the sum, and the total is broadcast to every unit."""
    return grad.sum() + np.zeros_like(honest)


@in_bias_gradient("biases")
def bias_gradient_missing(layer: Any, grad: Array, honest: Array) -> Array:
    """You leave the bias at the zeros that its gradient was initialised with."""
    return np.zeros_like(honest)


@in_bias_gradient("signs")
def bias_gradient_negated(layer: Any, grad: Array, honest: Array) -> Array:
    """You wrote the pre-activation as x W − b in the derivation and x W + b in the code."""
    return -honest


# -- the gradient of the inputs ----------------------------------------------------------


@in_input_gradient("factors")
def input_gradient_averaged_again(layer: Any, grad: Array, honest: Array) -> Array:
    """You divide by the batch size in every layer, so that it counts once for each."""
    return honest / len(grad)


@in_input_gradient("signs")
def input_gradient_negated(layer: Any, grad: Array, honest: Array) -> Array:
    """You carried the minus sign of the update into the chain rule."""
    return -honest


@in_input_gradient("transposes", square)
def input_gradient_untransposed(layer: Any, grad: Array, honest: Array) -> Array:
    """You wrote d W for d Wᵀ, and the layer is square, so that no shape complained."""
    return grad @ layer.W


@in_input_gradient("transposes", oblong)
def input_gradient_reshaped(layer: Any, grad: Array, honest: Array) -> Array:
    """You gave W the shape of its transpose with reshape, which keeps the order of elements."""
    return grad @ layer.W.reshape(layer.W.T.shape)


@in_input_gradient("batching")
def input_gradient_of_first_sample(layer: Any, grad: Array, honest: Array) -> Array:
    """You pull back the first sample's gradient and broadcast it over the batch."""
    return grad[:1] @ layer.W.T + np.zeros_like(honest)


AFFINE = faults_in(globals())
