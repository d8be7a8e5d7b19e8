"""The networks that benchmarks train, and one training step of them in every framework.

A classifier of Dense layers with relu, softmax and sparse categorical cross-entropy, in float32,
and plain gradient descent. ``BUILDERS`` make, from sizes, a batch and a rate, a ``Program``. All
have the same initial weights, and compute the loss as well as the gradients of all weights. None
computes the gradient of the inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manual_backprop import NaiveDense, NaiveSequential, losses, one_training_step
from manual_backprop.gradients import (
    backpropagate_to_weights,
    compute_loss,
    get_gradients_of_loss_wrt_weights,
)
from manual_backprop.memory import keep_memory
from manual_backprop.optimizers import SGD
from manual_backprop.typing import Array

SPARSE = "sparse_categorical_crossentropy"
RATE = 0.01


@dataclass
class Program:
    """A contender on one network and batch.

    Attributes:
        gradient: computes loss and gradients and returns the loss; None if it cannot alone.
        step: the same and an update of the weights. Both wait until all is computed.
    """

    gradient: Callable[[], float] | None
    step: Callable[[], float] | None


def draw_weights(sizes: Sequence[int]) -> list[Array]:
    """W and b of each layer, in float32; the same for every contender."""
    rng = np.random.default_rng(0)
    weights = []
    for inputs, outputs in itertools.pairwise(sizes):
        scale = np.sqrt(2 / inputs)
        weights.append((scale * rng.standard_normal((inputs, outputs))).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    return weights


def draw_batch(sizes: Sequence[int], batch: int) -> tuple[Array, Array]:
    """Inputs from 0 to 1 and labels."""
    rng = np.random.default_rng(1)
    inputs = rng.random((batch, sizes[0]), dtype=np.float32)
    return inputs, rng.integers(0, sizes[-1], batch)


def manual_model(sizes: Sequence[int]) -> NaiveSequential:
    """The network in ``manual_backprop``."""
    weights = draw_weights(sizes)
    activations = ["relu"] * (len(sizes) - 2) + ["softmax"]
    pairs = zip(weights[::2], weights[1::2], activations, strict=True)
    return NaiveSequential([NaiveDense.from_weights(*parts) for parts in pairs])


def manual(sizes: Sequence[int], batch: int) -> Program:
    """What ``fit`` does with each batch."""
    model, (inputs, targets) = manual_model(sizes), draw_batch(sizes, batch)
    loss, optimizer = losses.get(SPARSE), SGD(RATE)
    keep_memory()

    def gradient() -> float:
        predictions = model.forward(inputs)
        value = compute_loss(model, predictions, targets, loss)
        backpropagate_to_weights(model, predictions, targets, loss)
        return float(value)

    def step() -> float:
        value = gradient()
        optimizer.apply(model.gradients, model.weights)
        return value

    return Program(gradient, step)


def manual_checked(sizes: Sequence[int], batch: int) -> Program:
    """The public functions, which check and copy what they are given."""
    model, (inputs, labels) = manual_model(sizes), draw_batch(sizes, batch)
    optimizer = SGD(RATE)

    def gradient() -> float:
        predictions = model(inputs)
        get_gradients_of_loss_wrt_weights(model, inputs, labels, predictions, SPARSE)
        return float("nan")

    def step() -> float:
        return one_training_step(model, inputs, labels, SPARSE, optimizer)

    return Program(gradient, step)


def tensorflow_loss(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
    """The loss in TensorFlow."""
    import tensorflow as tf

    x = tf.matmul(inputs, weights[0]) + weights[1]
    for W, b in zip(weights[2::2], weights[3::2], strict=True):
        x = tf.matmul(tf.nn.relu(x), W) + b
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x))


def tensorflow(sizes: Sequence[int], batch: int, compiled: bool, xla: bool) -> Program:
    """A tape, recorded each time, in a graph, or compiled by XLA."""
    import tensorflow as tf

    weights = [tf.Variable(weight) for weight in draw_weights(sizes)]
    arguments = [tf.constant(part) for part in draw_batch(sizes, batch)]

    def gradients(inputs: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tensorflow_loss(weights, inputs, labels)
        return value, tape.gradient(value, weights)

    def update(inputs: Any, labels: Any) -> Any:
        value, found = gradients(inputs, labels)
        for weight, grad in zip(weights, found, strict=True):
            weight.assign_sub(RATE * grad)
        return value

    functions = [gradients, update]
    if compiled:
        functions = [tf.function(f, jit_compile=xla) for f in functions]
    return Program(
        lambda: float(functions[0](*arguments)[0]), lambda: float(functions[1](*arguments))
    )


def keras(sizes: Sequence[int], batch: int) -> Program:
    """``train_on_batch``, on NumPy arrays as one has them."""
    model = keras_model(sizes)
    inputs, labels = draw_batch(sizes, batch)
    return Program(None, lambda: float(model.train_on_batch(inputs, labels)))


def keras_model(sizes: Sequence[int]) -> Any:
    """The network in Keras, compiled."""
    import keras as library

    activations = ["relu"] * (len(sizes) - 2) + ["softmax"]
    layers = [library.layers.Dense(n, a) for n, a in zip(sizes[1:], activations, strict=True)]
    model = library.Sequential([library.Input((sizes[0],)), *layers])
    model.set_weights(draw_weights(sizes))
    model.compile(library.optimizers.SGD(RATE), SPARSE)
    return model


def torch_loss(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
    """The loss in PyTorch."""
    import torch

    x = torch.addmm(weights[1], inputs, weights[0])
    for W, b in zip(weights[2::2], weights[3::2], strict=True):
        x = torch.addmm(b, torch.relu(x), W)
    return torch.nn.functional.cross_entropy(x, labels)


def torch_step(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
    """One step of PyTorch's eager mode."""
    import torch

    value = torch_loss(weights, inputs, labels)
    found = torch.autograd.grad(value, weights)
    with torch.no_grad():
        for weight, grad in zip(weights, found, strict=True):
            weight.sub_(grad, alpha=RATE)
    return value


def torch_weights(sizes: Sequence[int]) -> list[Any]:
    """The weights in PyTorch."""
    import torch

    return [torch.tensor(weight, requires_grad=True) for weight in draw_weights(sizes)]


def torch_eager(sizes: Sequence[int], batch: int) -> Program:
    """PyTorch as it comes."""
    import torch

    weights = torch_weights(sizes)
    inputs, labels = (torch.tensor(part) for part in draw_batch(sizes, batch))

    def gradient() -> float:
        value = torch_loss(weights, inputs, labels)
        torch.autograd.grad(value, weights)
        return float(value.detach())

    def step() -> float:
        return float(torch_step(weights, inputs, labels).detach())

    return Program(gradient, step)


def torch_compiled(sizes: Sequence[int], batch: int) -> Program:
    """``torch.compile`` of forward, backward and update in one."""
    import torch

    torch._dynamo.reset()
    weights = [weight.detach() for weight in torch_weights(sizes)]
    inputs, labels = (torch.tensor(part) for part in draw_batch(sizes, batch))
    gradients = torch.func.grad_and_value(torch_loss)

    def update(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
        found, value = gradients(weights, inputs, labels)
        for weight, grad in zip(weights, found, strict=True):
            weight.sub_(grad, alpha=RATE)
        return value

    compiled, step = (torch.compile(f, dynamic=False) for f in (gradients, update))
    return Program(
        lambda: float(compiled(weights, inputs, labels)[1]),
        lambda: float(step(weights, inputs, labels)),
    )


def jax_loss(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
    """The loss in JAX."""
    import jax

    x = inputs @ weights[0] + weights[1]
    for W, b in zip(weights[2::2], weights[3::2], strict=True):
        x = jax.nn.relu(x) @ W + b
    chosen = jax.numpy.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1)
    return -chosen.mean()


def jax_update(weights: Sequence[Any], inputs: Any, labels: Any) -> Any:
    """New weights and the loss, in JAX."""
    import jax

    value, found = jax.value_and_grad(jax_loss)(weights, inputs, labels)
    return [w - RATE * grad for w, grad in zip(weights, found, strict=True)], value


def jax(sizes: Sequence[int], batch: int) -> Program:
    """``jax.jit``, with the weights' memory used again."""
    import jax as library

    weights = [library.numpy.asarray(weight) for weight in draw_weights(sizes)]
    arguments = [library.numpy.asarray(part) for part in draw_batch(sizes, batch)]
    gradients = library.jit(library.value_and_grad(jax_loss))
    update = library.jit(jax_update, donate_argnums=0)
    held = [library.numpy.array(weight) for weight in weights]

    def gradient() -> float:
        return float(library.block_until_ready(gradients(weights, *arguments))[0])

    def step() -> float:
        held[:], value = library.block_until_ready(update(held, *arguments))
        return float(value)

    return Program(gradient, step)
