"""Faults of piecewise and algebraic activations: pieces forgotten, moved or swapped."""

from __future__ import annotations

import numpy as np

from agreement.faults.sites import Where, faults_in, in_activation
from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.typing import Array


def with_argument(name: str) -> Where:
    """The layer's activation was given this argument."""

    def where(model: NaiveSequential, loss: Loss, position: int) -> bool:
        return name in model.layers[position].activation.unusual_arguments

    return where


# -- rectifiers --------------------------------------------------------------------------


@in_activation("masks", "relu", with_argument("max_value"))
def relu_limit_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You let the gradient pass above max_value, where relu is constant."""
    return grad_output * (inputs > 0)


@in_activation("masks", "relu", with_argument("negative_slope"))
def relu_slope_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You block the gradient below 0, where relu with a negative_slope lets a part of it pass."""
    return grad_output * (inputs > 0)


@in_activation("masks", "relu6")
def relu6_limit_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You use the mask of relu, which lets the gradient pass above 6."""
    return grad_output * (inputs > 0)


@in_activation("masks", "relu6")
def relu6_lower_mask_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You block the gradient above 6 but not below 0."""
    return grad_output * (inputs < 6)


@in_activation("masks", "leaky_relu")
def leaky_relu_slope_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You block the gradient of negative inputs, as in relu, though they leak."""
    return grad_output * (inputs > 0)


@in_activation("masks", "leaky_relu")
def leaky_relu_sides_swapped(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You scale the gradient of positive inputs by the slope, not that of negative ones."""
    return np.where(inputs > 0, 0.2 * grad_output, grad_output)


@in_activation("masks", "threshold")
def threshold_mask_at_zero(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You compare with 0, as in relu, where the threshold belongs."""
    return grad_output * (inputs > 0)


@in_activation("masks", "threshold")
def threshold_mask_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on through units that hold the default value."""
    return grad_output


# -- imitations of smooth functions ------------------------------------------------------


@in_activation("masks", "hard_tanh")
def hard_tanh_mask_one_sided(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You test for inputs ≤ 1 and forget those below −1."""
    return grad_output * (inputs <= 1)


@in_activation("activation derivatives", "hard_tanh")
def hard_tanh_derivative_of_tanh(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by 1 − y², the derivative of tanh, where a mask belongs."""
    return grad_output * (1 - output * output)


@in_activation("activation derivatives", "hard_sigmoid")
def hard_sigmoid_slope_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You mask the gradient, but do not divide it by 6."""
    return grad_output * ((inputs > -3) & (inputs < 3))


@in_activation("activation derivatives", "hard_sigmoid")
def hard_sigmoid_derivative_of_sigmoid(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by y (1 − y), the derivative of sigmoid, where 1/6 or 0 belongs."""
    return grad_output * (output * (1 - output))


@in_activation("activation derivatives", "hard_silu")
def hard_silu_product_rule_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the hard sigmoid alone, as if it did not depend on x itself."""
    return grad_output * (np.clip(inputs + 3, 0, 6) / 6)


@in_activation("masks", "hard_silu")
def hard_silu_mask_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You add x/6 to the derivative beyond ±3 too, where the hard sigmoid is constant."""
    return grad_output * (np.clip(inputs + 3, 0, 6) / 6 + inputs / 6)


@in_activation("activation derivatives", "sparse_sigmoid")
def sparse_sigmoid_half_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You mask the gradient, but do not halve it."""
    return grad_output * (np.abs(inputs) < 1)


@in_activation("activation derivatives", "sparse_sigmoid")
def sparse_sigmoid_derivative_of_sigmoid(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by y (1 − y), the derivative of sigmoid, where ½ or 0 belongs."""
    return grad_output * (output * (1 - output))


@in_activation("activation derivatives", "sparse_plus")
def sparse_plus_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by sparse_plus itself where sparse_sigmoid, its derivative, belongs."""
    return grad_output * output


@in_activation("masks", "sparse_plus")
def sparse_plus_masked_like_relu(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate relu, which sparse_plus is only beyond ±1."""
    return grad_output * (inputs > 0)


# -- shrinking ---------------------------------------------------------------------------


@in_activation("masks", "hard_shrink")
def hard_shrink_mask_one_sided(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You test x > 0.5 where |x| > 0.5 belongs, and block large negative inputs."""
    return grad_output * (inputs > 0.5)


@in_activation("masks", "hard_shrink")
def hard_shrink_mask_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on through inputs that were set to zero."""
    return grad_output


@in_activation("masks", "soft_shrink")
def soft_shrink_mask_one_sided(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote the branch of large inputs and forgot that of large negative ones."""
    return grad_output * (inputs > 0.5)


@in_activation("masks", "soft_shrink")
def soft_shrink_of_gradient(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You shrink the gradient itself, where a mask of the inputs belongs."""
    return grad_output - np.clip(grad_output, -0.5, 0.5)


# -- ratios and roots --------------------------------------------------------------------


@in_activation("activation derivatives", "softsign")
def softsign_square_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You divide by 1 + |x| once, but the quotient rule leaves its square."""
    return grad_output / (1 + np.abs(inputs))


@in_activation("signs", "softsign")
def softsign_absolute_value_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote (1 − y)² for (1 − |y|)², which holds for positive inputs alone."""
    return grad_output * (1 - output) * (1 - output)


@in_activation("activation derivatives", "squareplus")
def squareplus_half_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote 1 + x/√(x² + b) and forgot to halve it."""
    return grad_output * (1 + inputs / np.sqrt(inputs * inputs + 4))


@in_activation("activation derivatives", "squareplus")
def squareplus_without_b(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You left b out of the derivative, which makes it that of relu."""
    return grad_output * (inputs > 0)


RECTIFIERS = faults_in(globals())
