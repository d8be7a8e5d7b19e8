"""Traces and training steps as Keras computes them."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.optimizers import Optimizer, Snapshot
from manual_backprop.trace import LayerTrace, Trace
from manual_backprop.typing import Array
from reference.architecture import Architecture
from reference.frameworks import floatx, frameworks
from reference.functions import LossKey
from reference.modes import Mode
from reference.optimizers import OptimizerTwin, optimizer_twin, read
from reference.twin import DenseTwin, OpenTwin, activation_twin, loss_twin


def trace(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    mode: Mode,
    *,
    any_shape: bool = False,
    policy: str | None = None,
) -> Trace:
    """Return the trace that Keras gives for the model's architecture and weights.

    Args:
        inputs: (batch, features) in the model's dtype, checked.
        targets: what ``loss.prepare`` returned.
        mode: eager, ``tf.function`` or XLA.
        any_shape: in graph mode, use the one function traced for every shape of the
            architecture (``keras.ops`` then stands in for ``Dense.call``).
        policy: a Keras dtype policy of half precision, such as "float16" or "mixed_bfloat16";
            the model's own dtype without.

    Raises:
        TypeError: for a layer without a Keras twin.
        ImportError: without TensorFlow and Keras.
    """
    tf, _ = frameworks()
    architecture = Architecture.of(model)
    if policy is not None:
        architecture = replace(architecture, dtype=policy)
        half = tf.as_dtype(policy.removeprefix("mixed_")).as_numpy_dtype
        inputs = inputs.astype(half)
        if targets.dtype.kind == "f" and "mixed" not in policy:
            targets = targets.astype(half)
    open_shapes = any_shape and mode.compiled and not mode.xla
    key = LossKey(loss, with_numbers=True)
    found_twin = _open_twin(architecture.without_sizes, key) if open_shapes else None
    twin = found_twin or _dense_twin(architecture, key, mode)
    with quiet():
        result = twin(model.weights, tf.constant(inputs), tf.constant(targets))
    found = as_trace(model, architecture, inputs, result, twin.fused)
    # XLA fuses steps and contracts a · b + c, so c's step may see a · b before its rounding.
    found.excess_precision = mode.xla
    return found


@lru_cache(maxsize=1024)
def _open_twin(architecture: Architecture, key: LossKey) -> OpenTwin | None:
    return OpenTwin.if_open(architecture, key.loss)


@lru_cache(maxsize=256)
def _dense_twin(architecture: Architecture, key: LossKey, mode: Mode) -> DenseTwin:
    return DenseTwin(architecture, key.loss, mode)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Keras' warning that one class is unusual; here it is a case like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_trace(
    model: NaiveSequential, architecture: Architecture, inputs: Array, result: Any, fused: bool
) -> Trace:
    """What a twin returned, as a trace."""

    def numbers(tensor: Any) -> Array | None:
        return None if tensor is None else tensor.numpy()

    layers = []
    below, grad_below = inputs, numbers(result["grad_inputs"])
    for place, name in enumerate(architecture.names):
        output, grad_output = (numbers(result[k][place]) for k in ("outputs", "grad_outputs"))
        if fused and place == len(architecture.names) - 1:
            # A loss may use logits and probabilities; the tape then knows a part of the gradient.
            grad_output = None
        layers.append(
            LayerTrace(
                name,
                inputs=below,
                pre_activation=numbers(result["pre_activations"][place]),
                output=output,
                grad_output=grad_output,
                grad_pre_activation=numbers(result["grad_pre_activations"][place]),
                grad_inputs=grad_below,
            )
        )
        below, grad_below = output, grad_output
    return Trace(
        layers=layers,
        loss=numbers(result["loss"]),
        fused=fused,
        gradients=[np.asarray(tensor) for tensor in result["grad_weights"]],
        gradient_names=model.gradient_names,
    )


def one_training_step(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    optimizer: Optimizer,
    mode: Mode,
) -> tuple[Array, Snapshot]:
    """The tape twin of ``manual_backprop.one_training_step``, with Keras' optimizer of that name.

    Returns the loss, and the weights and the optimizer's state after the step; neither the
    manual model nor the manual optimizer, whose state is where Keras' starts, changes.
    """
    tf, _ = frameworks()
    twin = DenseTwin(Architecture.of(model), loss, mode)
    twin.assign(model.weights)
    result = twin.call(tf.constant(inputs), tf.constant(targets))
    gradients = [np.asarray(g) for g in result["grad_weights"]]
    if optimizer.scale != 1:
        gradients = [g * g.dtype.type(optimizer.scale) for g in gradients]
    update = OptimizerTwin(optimizer, start_of(model, optimizer), mode)
    return result["loss"].numpy(), update.step(gradients)


def train_on_batch(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    optimizer: Optimizer,
    mode: Mode,
) -> Snapshot:
    """What a compiled Keras model and its optimizer hold after ``train_on_batch``.

    Raises:
        ValueError: for a loss with a mask, which ``train_on_batch`` takes from layers only.
    """
    _, keras = frameworks()
    if loss.mask is not None:
        raise ValueError("loss: has a mask, which train_on_batch does not take; give weights of 0.")
    architecture = Architecture.of(model)
    start = start_of(model, optimizer)
    with floatx(architecture.dtype):
        layers = []
        for place, activation in zip(architecture.places, architecture.activations, strict=True):
            affine = architecture.affines[place]
            twin = activation_twin(activation)
            layer = keras.layers.Dense(
                affine.units, twin, affine.use_bias, dtype=architecture.dtype
            )
            layers.append(layer)
        entrance = keras.Input(inputs.shape[1:], dtype=architecture.dtype)
        whole = keras.Sequential([entrance, *layers])
        whole.set_weights(model.weights)
        whole.compile(
            optimizer_twin(optimizer, architecture.dtype),
            loss_twin(loss, architecture.dtype),
            run_eagerly=not mode.compiled,
            jit_compile=mode.xla,
        )
        labels = targets.reshape(-1, 1) if targets.ndim == 1 else targets
        whole.train_on_batch(inputs, labels, sample_weight=loss.sample_weight)
        return read(whole.optimizer, whole.trainable_variables, start.state)


def start_of(model: NaiveSequential, optimizer: Optimizer) -> Snapshot:
    """A model's weights and what an optimizer remembers of them, as copies."""
    weights = [w.copy() for w in model.weights]
    names = [str(name) for name in model.weight_names]
    state = copy.deepcopy(optimizer.state) or optimizer.initial_state(weights, names)
    return Snapshot(weights, state)


def versions() -> dict[str, str]:
    """The versions of the frameworks that the references run on."""
    tf, keras = frameworks()
    return {"tensorflow": tf.__version__, "keras": keras.__version__}
