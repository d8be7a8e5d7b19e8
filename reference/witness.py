"""Traces and training steps as Keras computes them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.trace import LayerTrace, Trace
from manual_backprop.typing import Array
from reference.architecture import Architecture
from reference.frameworks import frameworks
from reference.functions import LossKey
from reference.modes import Mode
from reference.twin import DenseTwin, OpenTwin


def trace(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    mode: Mode,
    *,
    any_shape: bool = False,
) -> Trace:
    """Return the trace that Keras gives for the model's architecture and weights.

    Args:
        inputs: (batch, features) in the model's dtype, checked.
        targets: what ``loss.prepare`` returned.
        mode: eager, ``tf.function`` or XLA.
        any_shape: in graph mode, use the one function traced for every shape of the
            architecture (``keras.ops`` then stands in for ``Dense.call``).

    Raises:
        TypeError: for a layer without a Keras twin.
        ImportError: without TensorFlow and Keras.
    """
    tf, _ = frameworks()
    architecture = Architecture.of(model)
    open_shapes = any_shape and mode.compiled and not mode.xla
    found_twin = _open_twin(architecture.without_sizes, LossKey(loss)) if open_shapes else None
    twin = found_twin or _dense_twin(architecture, LossKey(loss), mode)
    with warnings.catch_warnings():
        # Keras warns that one class is unusual; here it is a case like any other.
        warnings.simplefilter("ignore")
        result = twin(model.weights, tf.constant(inputs), tf.constant(targets))
    found = _as_trace(model, architecture, inputs, result, twin.fused)
    # XLA fuses steps and contracts a · b + c, so c's step may see a · b before its rounding.
    found.excess_precision = mode.xla
    return found


@lru_cache(maxsize=1024)
def _open_twin(architecture: Architecture, key: LossKey) -> OpenTwin | None:
    try:
        return OpenTwin(architecture, key.loss)
    except (TypeError, ValueError):
        return None  # some functions (glu) want to know their sizes


@lru_cache(maxsize=256)
def _dense_twin(architecture: Architecture, key: LossKey, mode: Mode) -> DenseTwin:
    return DenseTwin(architecture, key.loss, mode)


def _as_trace(
    model: NaiveSequential, architecture: Architecture, inputs: Array, result: Any, fused: bool
) -> Trace:
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
    learning_rate: float,
    mode: Mode,
) -> tuple[Array, list[Array]]:
    """The tape twin of ``manual_backprop.one_training_step``, with ``keras.optimizers.SGD``.

    Returns the loss and the weights after the step; the manual model does not change.
    """
    tf, keras = frameworks()
    architecture = Architecture.of(model)
    twin = DenseTwin(architecture, loss, mode)
    twin.assign(model.weights)
    result = twin.call(tf.constant(inputs), tf.constant(targets))
    trainable = [w for layer in twin.layers for w in layer.trainable_weights]
    with _floatx(architecture.dtype):
        optimizer = keras.optimizers.SGD(learning_rate)
        optimizer.build(trainable)
    optimizer.apply_gradients(zip(result["grad_weights"], trainable, strict=True))
    return result["loss"].numpy(), [variable.numpy() for variable in twin.variables]


@contextlib.contextmanager
def _floatx(dtype: str) -> Iterator[None]:
    """Let Keras keep a learning rate in the model's dtype, not in float32 whatever the model."""
    _, keras = frameworks()
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def versions() -> dict[str, str]:
    """The versions of the frameworks that the references run on."""
    tf, keras = frameworks()
    return {"tensorflow": tf.__version__, "keras": keras.__version__}
