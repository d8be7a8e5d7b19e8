"""Faults of the activation step: masks, derivatives and the softmax Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.faults.sites import both, faults_in, in_activation, in_layer, square, with_activation
from manual_backprop import NaiveDense, NaiveSequential, special
from manual_backprop.losses import CrossEntropy, Loss
from manual_backprop.typing import Array

RELU = with_activation("relu")


def as_many_units(layer: NaiveDense, other: NaiveDense) -> bool:
    """Both layers have the same number of units."""
    return layer.units == other.units


def away_from_crossentropy(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """Not under a cross-entropy, for whose gradient the inner sum of (3) is zero on the simplex."""
    return position < len(model.layers) - 1 or not isinstance(loss, CrossEntropy)


# -- masks -------------------------------------------------------------------------------


@in_activation("masks", "relu")
def relu_mask_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on through units that were switched off."""
    return grad_output


@in_activation("masks", "relu")
def relu_mask_from_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You test the output for ≥ 0, which it always is."""
    return grad_output * (output >= 0)


@in_activation("masks", "relu", at_kink=True)
def relu_mask_at_least_zero(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote ≥ for >, so that the gradient passes at exactly 0, where Keras blocks it."""
    return grad_output * (inputs >= 0)


@in_activation("masks", "relu")
def relu_mask_inverted(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You zero the elements that should pass, as in d[z > 0] = 0."""
    return grad_output * (inputs <= 0)


@in_activation("masks", "relu")
def relu_mask_of_gradient(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You apply relu to the gradient itself, so that only positive gradients pass."""
    return np.maximum(grad_output, 0)


@in_layer("masks", "grad_pre_activation", RELU, partner=as_many_units)
class ReluMaskOfAnotherLayer(NaiveDense):
    """You take the mask from another layer's pre-activation, which happens to have the shape."""

    partner: Any

    def backward_activation(self, grad_output: Array) -> Array:
        return grad_output * (self.partner.pre_activation > 0)


@in_layer("masks", "grad_pre_activation", both(RELU, square))
class ReluMaskOfInputs(NaiveDense):
    """You take the mask from the layer's inputs, before the weights, not from x W + b."""

    def backward_activation(self, grad_output: Array) -> Array:
        return grad_output * (self.inputs > 0)  # type: ignore[operator]


@in_activation("batching", "relu")
def relu_mask_of_first_sample(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You use the first sample's mask for the whole batch."""
    return grad_output * (inputs[:1] > 0)


# -- derivatives -------------------------------------------------------------------------


@in_activation("activation derivatives", "relu")
def relu_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by relu itself where its derivative, 0 or 1, belongs."""
    return grad_output * output


@in_activation("activation derivatives", "linear")
def linear_derivative_is_input(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by x, but the derivative of x is 1."""
    return grad_output * inputs


@in_activation("masks", "linear")
def linear_masked_like_relu(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You treat the linear layer like the hidden ones and mask its gradient."""
    return grad_output * (inputs > 0)


@in_activation("activation derivatives", "sigmoid")
def sigmoid_derivative_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on without the derivative y (1 − y)."""
    return grad_output


@in_activation("activation derivatives", "sigmoid")
def sigmoid_derivative_at_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You apply sigmoid once more to what is already its output, then differentiate there."""
    twice = special.sigmoid(output)
    return grad_output * (twice * (1 - twice))


@in_activation("activation derivatives", "sigmoid")
def sigmoid_derivative_of_inputs(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You put the pre-activation into y (1 − y), which holds for the output y."""
    return grad_output * (inputs * (1 - inputs))


@in_activation("activation derivatives", "sigmoid")
def sigmoid_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You dropped the factor 1 − y, as if sigmoid were an exponential."""
    return grad_output * output


@in_activation("signs", "sigmoid")
def sigmoid_derivative_negated(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote y (y − 1) for y (1 − y)."""
    return grad_output * (output * (output - 1))


@in_activation("activation derivatives", "tanh")
def tanh_derivative_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on without the derivative 1 − y²."""
    return grad_output


@in_activation("activation derivatives", "tanh")
def tanh_derivative_at_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You apply tanh once more to what is already its output, then differentiate there."""
    twice = np.tanh(output)
    return grad_output * (1 - twice * twice)


@in_activation("activation derivatives", "tanh")
def tanh_derivative_of_inputs(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You put the pre-activation into 1 − y², which holds for the output y."""
    return grad_output * (1 - inputs * inputs)


@in_activation("activation derivatives", "tanh")
def tanh_derivative_without_square(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote 1 − y for 1 − y²."""
    return grad_output * (1 - output)


@in_activation("signs", "tanh")
def tanh_derivative_plus_for_minus(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote 1 + y², the derivative of tan, for 1 − y²."""
    return grad_output * (1 + output * output)


# -- softmax -----------------------------------------------------------------------------


@in_activation("softmax", "softmax")
def softmax_jacobian_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on as if the loss had already been taken through the softmax."""
    return grad_output


@in_activation("softmax", "softmax")
def softmax_jacobian_diagonal_only(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate softmax like sigmoid, y (1 − y), but every output feels every input."""
    return grad_output * (output * (1 - output))


@in_activation("softmax", "softmax")
def softmax_jacobian_over_wrong_axis(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You sum over the samples of each class in place of the classes of each sample."""
    inner = (grad_output * output).sum(axis=0, keepdims=True)
    return output * (grad_output - inner)


@in_activation("softmax", "softmax", away_from_crossentropy)
def softmax_jacobian_over_whole_batch(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You forgot the axis of the inner sum, so that the samples of the batch mix."""
    return output * (grad_output - (grad_output * output).sum())


@in_activation("signs", "softmax", away_from_crossentropy)
def softmax_inner_sum_added(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You add the inner sum, whose sign comes from −y_i y_j."""
    return output * (grad_output + (grad_output * output).sum(axis=-1, keepdims=True))


@in_activation("batching", "softmax")
def softmax_jacobian_of_first_sample(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You build the Jacobian once, from the first sample, and use it for the whole batch."""
    first = output[:1]
    return first * (grad_output - (grad_output * first).sum(axis=-1, keepdims=True))


ACTIVATION = faults_in(globals())
