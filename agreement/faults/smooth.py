"""Faults of smooth activations: factors of a product or chain rule forgotten, or another's used."""

from __future__ import annotations

import math

import numpy as np

from agreement.faults.rectifiers import with_argument
from agreement.faults.sites import faults_in, in_activation
from manual_backprop import special
from manual_backprop.activations import SELU_SCALE, SELU_SCALE_ALPHA, Gelu
from manual_backprop.typing import Array

# -- exponentials ------------------------------------------------------------------------


@in_activation("activation derivatives", "exponential")
def exponential_derivative_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You pass the gradient on as if eˣ were x."""
    return grad_output


@in_activation("activation derivatives", "exponential")
def exponential_power_rule(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate eˣ like a power, x e^{x−1}."""
    return grad_output * (inputs * np.exp(inputs - 1))


@in_activation("masks", "elu")
def elu_masked_like_relu(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You block the gradient of negative inputs, as in relu, though elu still falls there."""
    return grad_output * (inputs > 0)


@in_activation("activation derivatives", "elu")
def elu_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the output below 0, but its −α is not part of the derivative."""
    return np.where(inputs > 0, grad_output, grad_output * output)


@in_activation("activation derivatives", "elu", with_argument("alpha"))
def elu_alpha_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by eˣ below 0, where the derivative is α eˣ."""
    return grad_output * np.exp(np.minimum(inputs, 0))


@in_activation("masks", "celu")
def celu_exponential_everywhere(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by e^{x/α} above 0 as well, where celu is a line."""
    return grad_output * np.exp(inputs)


@in_activation("activation derivatives", "celu")
def celu_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the output below 0, where 1 + y/α belongs."""
    return np.where(inputs > 0, grad_output, grad_output * output)


@in_activation("activation derivatives", "celu", with_argument("alpha"))
def celu_alpha_ignored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by eˣ below 0, where the derivative is e^{x/α}."""
    return grad_output * np.exp(np.minimum(inputs, 0))


@in_activation("activation derivatives", "selu")
def selu_scale_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate elu and forget the scale λ in front of it."""
    alpha = SELU_SCALE_ALPHA / SELU_SCALE
    slope = np.where(inputs > 0, 1, alpha * np.exp(np.minimum(inputs, 0)))
    return grad_output * slope


@in_activation("activation derivatives", "selu")
def selu_alpha_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You scale the exponential by λ alone, but its piece has λα."""
    return grad_output * (SELU_SCALE * np.exp(np.minimum(inputs, 0)))


# -- steps and their integrals -----------------------------------------------------------


@in_activation("activation derivatives", "softplus")
def softplus_derivative_is_output(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by softplus itself where sigmoid, its derivative, belongs."""
    return grad_output * output


@in_activation("masks", "softplus")
def softplus_masked_like_relu(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate relu, which softplus only resembles."""
    return grad_output * (inputs > 0)


@in_activation("activation derivatives", "log_sigmoid")
def log_sigmoid_derivative_of_sigmoid(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by σ (1 − σ) and forget that the logarithm divides it by σ."""
    return grad_output * (special.sigmoid(inputs) * special.sigmoid(-inputs))


@in_activation("signs", "log_sigmoid")
def log_sigmoid_derivative_mirrored(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by σ(x), the derivative of softplus, where σ(−x) belongs."""
    return grad_output * special.sigmoid(inputs)


@in_activation("activation derivatives", "tanh_shrink")
def tanh_shrink_derivative_of_tanh(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate the tanh and forget the x from which it is subtracted."""
    return grad_output * (1 - np.square(np.tanh(inputs)))


@in_activation("activation derivatives", "tanh_shrink")
def tanh_shrink_square_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You wrote tanh x for tanh² x."""
    return grad_output * np.tanh(inputs)


# -- gates -------------------------------------------------------------------------------


@in_activation("activation derivatives", "silu")
def silu_product_rule_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the gate σ(x) alone, as if it did not depend on x itself."""
    return grad_output * special.sigmoid(inputs)


@in_activation("activation derivatives", "silu")
def silu_derivative_like_sigmoid(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You put the output of silu into y (1 − y), which holds for the output of sigmoid."""
    return grad_output * (output * (1 - output))


@in_activation("activation derivatives", "mish")
def mish_product_rule_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the gate tanh s alone, as if it did not depend on x itself."""
    return grad_output * np.tanh(special.softplus(inputs))


@in_activation("activation derivatives", "mish")
def mish_inner_derivative_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate tanh s as if s were x: the derivative of softplus, σ(x), is missing."""
    gate = np.tanh(special.softplus(inputs))
    return grad_output * (gate + inputs * (1 - gate * gate))


@in_activation("activation derivatives", "gelu")
def gelu_density_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply by the gate Φ(x) alone, as if it did not depend on x itself."""
    return grad_output * (special.erfc(-math.sqrt(0.5) * inputs) / 2)


@in_activation("activation derivatives", "gelu")
def gelu_derivative_of_approximation(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate the approximation by tanh, but the forward pass computes erf."""
    return Gelu(approximate=True).backward(grad_output, inputs, output)


@in_activation("wiring", "glu")
def glu_halves_swapped(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You join the gradients of the two halves in the wrong order."""
    half = output.shape[-1]
    a, gate = inputs[:, :half], special.sigmoid(inputs[:, half:])
    grads = [grad_output * a * (gate * (1 - gate)), grad_output * gate]
    return np.concatenate(grads, axis=-1)


@in_activation("activation derivatives", "glu")
def glu_gate_derivative_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply the gate's half by a alone: the derivative of the sigmoid is missing."""
    half = output.shape[-1]
    a, gate = inputs[:, :half], special.sigmoid(inputs[:, half:])
    return np.concatenate([grad_output * gate, grad_output * a], axis=-1)


# -- rows --------------------------------------------------------------------------------


@in_activation("softmax", "log_softmax")
def log_softmax_output_for_probabilities(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You multiply the sum by the output, but the output is the logarithm of what belongs there."""
    return grad_output - output * grad_output.sum(axis=-1, keepdims=True)


@in_activation("softmax", "log_softmax")
def log_softmax_diagonal_only(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You differentiate each output by its own input only, 1 − e^y, but it feels every input."""
    return grad_output * (1 - np.exp(output))


@in_activation("softmax", "sparsemax")
def sparsemax_derivative_of_softmax(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You use the Jacobian of softmax, y_i (δ_ij − y_j), on the output of sparsemax."""
    return output * (grad_output - (grad_output * output).sum(axis=-1, keepdims=True))


@in_activation("softmax", "sparsemax")
def sparsemax_mean_missing(grad_output: Array, inputs: Array, output: Array) -> Array:
    """You mask the gradient and forget that the threshold moves with the inputs."""
    return grad_output * (output > 0)


SMOOTH = faults_in(globals())
