"""Faults of wiring and state: the right formula on the wrong array, layer or moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.faults.loss import SPARSE, Honest
from agreement.faults.sites import (
    both,
    faults_in,
    in_layer,
    in_loss_gradient,
    in_model,
    square,
    with_activation,
    with_bias,
)
from manual_backprop import SGD, NaiveDense, NaiveSequential
from manual_backprop.gradients import compute_trace
from manual_backprop.losses import Loss
from manual_backprop.typing import Array

CURVED = with_activation("relu", "sigmoid", "tanh", "softmax")


def an_earlier_batch(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> None:
    """Run the model forward and backward on other inputs."""
    compute_trace(model, np.tanh(inputs[::-1]), targets, loss)


def a_training_step(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> None:
    """Train the model for one step."""
    compute_trace(model, inputs.copy(), targets, loss)
    SGD().apply(model.gradients, model.weights)


def alike(layer: NaiveDense, other: NaiveDense) -> bool:
    """Both layers have weights of the same shape."""
    return layer.W.shape == other.W.shape


def as_many_inputs(layer: NaiveDense, other: NaiveDense) -> bool:
    """Both layers have the same number of inputs."""
    return layer.input_size == other.input_size


def square_or_first(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """A layer that can be left out without a complaint about shapes."""
    return position == 0 or square(model, loss, position)


def last_of_several(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """The last of at least two layers."""
    return 0 < position == len(model.layers) - 1


def last_and_curved(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """The last layer, with an activation that must be differentiated."""
    return position == len(model.layers) - 1 and CURVED(model, loss, position)


# -- another layer, another array --------------------------------------------------------


@in_layer("wiring", "grad_inputs", partner=alike)
class WeightsOfAnotherLayer(NaiveDense):
    """Your loop is off by one: it pulls back through the weights of another layer."""

    partner: Any

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        super().backward_affine(grad_pre_activation)
        return grad_pre_activation @ self.partner.W.T


@in_layer("wiring", "grad_W", partner=as_many_inputs)
class InputsOfAnotherLayer(NaiveDense):
    """You multiply by the stored inputs of another layer, which happen to have the shape."""

    partner: Any

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients[0] = self.partner.inputs.T @ grad_pre_activation
        return grad_inputs


class _RemembersUpstream(NaiveDense):
    """A layer that still has the gradient before its activation at hand."""

    upstream: Array

    def backward_activation(self, grad_output: Array) -> Array:
        self.upstream = grad_output
        return super().backward_activation(grad_output)


@in_layer("wiring", "grad_b", both(CURVED, with_bias))
class BiasGradientBeforeActivation(_RemembersUpstream):
    """You sum the gradient of the output; the bias enters before the activation."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients[1] = self.upstream.sum(axis=0)
        return grad_inputs


@in_layer("wiring", "grad_inputs", CURVED)
class InputGradientBeforeActivation(_RemembersUpstream):
    """You pull the gradient of the output, not of the pre-activation, back through W."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        super().backward_affine(grad_pre_activation)
        return self.upstream @ self.W.T


@in_layer("wiring", "grad_W", with_bias)
class GradientsSwapped(NaiveDense):
    """You return [grad_b, grad_W] where the weights are [W, b]."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients.reverse()
        return grad_inputs


@in_layer("wiring", "grad_pre_activation", both(CURVED, square))
class UpstreamOverwrittenBeforeUse(NaiveDense):
    """You write d Wᵀ into the buffer of d, and only then take the weights' gradient from d."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        grad_pre_activation[...] = grad_pre_activation @ self.W.T
        super().backward_affine(grad_pre_activation)
        return grad_pre_activation


@in_loss_gradient("wiring", SPARSE, fused=True, tensor="output")
def predictions_overwritten(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You subtract the labels from the predictions themselves, without a copy."""
    predictions[np.arange(len(targets)), targets] -= 1
    return predictions / len(targets)


# -- the model's loop --------------------------------------------------------------------


@in_model("wiring", "grad_W", square_or_first)
class LayerSkipped(NaiveSequential):
    """Your loop leaves one layer out: its gradients stay zero, those below lack its factor."""

    position: int

    def backward(self, grad_output: Array, *, from_logits: bool = False) -> Array:
        grad = grad_output
        for place in reversed(range(len(self.layers))):
            record, layer = self.records[place], self.layers[place]
            if place == self.position:
                layer.gradients = [np.zeros_like(w) for w in layer.weights]
                continue
            if from_logits and record is self.records[-1]:
                grad = layer.backward_affine(grad)
            else:
                record.grad_output = grad
                grad = layer.backward(grad)
            record.grad_pre_activation = layer.grad_pre_activation
            record.grad_inputs = grad
        return grad


@in_model("wiring", "grad_W", last_of_several)
class GradientsListedInReverse(NaiveSequential):
    """You append gradients as the backward pass finds them, last layer first."""

    @property
    def gradients(self) -> list[Array]:
        layers = reversed(list(self.distinct_layers.values()))
        return [g for layer in layers for g in layer.gradients]


@in_model("wiring", "grad_pre_activation", last_and_curved)
class OutputActivationSkipped(NaiveSequential):
    """You give the last layer the gradient of its output as if it were of its logits."""

    def backward(self, grad_output: Array, *, from_logits: bool = False) -> Array:
        return super().backward(grad_output, from_logits=True)


# -- state -------------------------------------------------------------------------------


@in_layer("state", "grad_inputs", prepare=a_training_step)
class StaleWeights(NaiveDense):
    """You keep a transposed copy of W, and the update of W does not reach it."""

    transposed: Array

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        super().backward_affine(grad_pre_activation)
        if not hasattr(self, "transposed"):
            self.transposed = self.W.T.copy()
        return grad_pre_activation @ self.transposed


@in_layer("state", "grad_W", prepare=an_earlier_batch)
class GradientsAccumulated(NaiveDense):
    """You add to the gradients of the earlier call, which nobody has set back to zero."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        earlier = self.gradients
        grad_inputs = super().backward_affine(grad_pre_activation)
        if earlier:
            self.gradients = [a + b for a, b in zip(earlier, self.gradients, strict=True)]
        return grad_inputs


@in_layer("state", "grad_W", prepare=an_earlier_batch)
class GradientsKept(NaiveDense):
    """You compute the gradients only if there are none yet, so that the first ones stay."""

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        earlier = self.gradients
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients = earlier or self.gradients
        return grad_inputs


@in_layer("state", "grad_W", prepare=an_earlier_batch)
class InputsOfAnEarlierBatch(NaiveDense):
    """You store the inputs only on the first forward pass, and differentiate that one."""

    def affine(self, inputs: Array) -> Array:
        earlier = self.inputs
        z = super().affine(inputs)
        self.inputs = inputs if earlier is None else earlier
        return z


@in_layer("state", "grad_pre_activation", CURVED, prepare=an_earlier_batch)
class ActivationsOfAnEarlierBatch(NaiveDense):
    """You store pre-activation and output on the first forward pass, and differentiate there."""

    stored: tuple[Array, Array]

    def activate(self, pre_activation: Array) -> Array:
        output = super().activate(pre_activation)
        if not hasattr(self, "stored"):
            self.stored = (pre_activation, output)
        return output

    def backward_activation(self, grad_output: Array) -> Array:
        return self.activation.backward(grad_output, *self.stored)


WIRING = faults_in(globals())
