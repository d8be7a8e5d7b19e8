"""A user's own Keras model: its loss, and the gradient of every layer's output and weight."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from reference.frameworks import frameworks
from reference.observation import Call, Inputs, Observation, in_floatx, observe
from reference.observe_layers import Draw, set_weights

# What a model was given, by name; recordings that differ there are not compared.
GIVEN = "given "
# The layers whose outputs a layer takes, by number; of a model whose layers are known.
TAKES = "takes "
EXPECTED = "a Keras model, inputs, labels and a loss"


def located(path: str) -> tuple[str, str]:
    """The file and the function that FILE.py:FUNCTION names; neither is loaded.

    Raises:
        ValueError: if it names none, or there is no such file.
    """
    file, _, name = path.rpartition(":")
    if not file or not name.isidentifier():
        raise ValueError(f"--model: got {path!r}, expected FILE.py:FUNCTION.")
    if not Path(file).is_file():
        raise ValueError(f"--model: there is no file {file}.")
    return file, name


@cache
def load(path: str) -> Callable[[], Any]:
    """The function that FILE.py:FUNCTION names; what the file draws at random is always the same.

    Raises:
        ValueError: if there is no such file or function, or the file does not run.
    """
    file, name = located(path)
    _, keras = frameworks()
    keras.utils.set_random_seed(0)
    spec = importlib.util.spec_from_file_location("agreement_user_model", file)
    if spec is None or spec.loader is None:
        raise ValueError(f"--model: {file} is not a Python file; expected FILE.py:FUNCTION.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"--model: {file} raises {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"--model: {file} has no function {name!r}.")
    return function


def model(path: str, dtype: str, draw: Draw, cases: Mapping[str, Inputs]) -> dict[str, Observation]:
    """Loss, predictions, and for each layer its output and the gradients there.

    The model is built while ``dtype`` is Keras' default, and its weights are drawn anew, so that
    they are the same beside every release. A case whose ``training`` is true runs so.
    """
    build = load(path)

    def prepare() -> Call:
        return in_floatx(dtype, lambda given: _run(build, dtype, draw, bool(given["training"])))

    return observe(prepare, cases)


def _run(build: Callable[[], Any], dtype: str, draw: Draw, training: bool) -> Mapping[str, Any]:
    tf, keras = frameworks()
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    built, inputs, labels, loss = _parts(build)
    inputs, labels = _tensors(inputs, dtype), _tensors(labels, dtype)
    like = built(inputs)  # builds what is not built
    set_weights(built, draw)
    layers = [entry for entry in built.layers if type(entry).__name__ != "InputLayer"]
    named = {f"{i:02d} {type(entry).__name__}": entry for i, entry in enumerate(layers)}
    watched = _with_outputs(built, named)
    weights = {
        f"grad_weight {name}/{i}": w.value
        for name, entry in named.items()
        for i, w in enumerate(entry.trainable_weights)
    }
    inside = {id(w) for entry in layers for w in entry.weights}
    own = [w.value for w in built.trainable_weights if id(w) not in inside]
    weights |= {f"grad_own_weight_{i}": w for i, w in enumerate(own)}
    with tf.GradientTape() as tape:
        outputs: dict[str, Any] = {}
        if watched is None:
            predictions = built(inputs, training=training)
        else:
            seen = watched(inputs, training=training)
            outputs = dict(zip(named, seen, strict=False))
            predictions = tf.nest.pack_sequence_as(like, seen[len(named) :])
        value = _value(loss, labels, predictions)
        penalty = sum(built.losses) if built.losses else None
        value = value if penalty is None else value + tf.cast(penalty, value.dtype)
    floating = {k: v for k, v in outputs.items() if v.dtype.is_floating}
    gradients = tape.gradient(value, [*floating.values(), *weights.values()])
    found: dict[str, Any] = {"loss": value} | _numbered("predictions", predictions)
    given = _numbered(f"{GIVEN}inputs", inputs) | _numbered(f"{GIVEN}labels", labels)
    found |= {name: x for name, x in given.items() if x.dtype != tf.string}
    found |= {} if watched is None else _taken(named)
    found |= {f"output {name}": x for name, x in outputs.items() if x.dtype != tf.string}
    names = [*(f"grad_output {name}" for name in floating), *weights]
    for name, gradient in zip(names, gradients, strict=True):
        found[name] = None if gradient is None else tf.convert_to_tensor(gradient)
    return found


def _parts(build: Callable[[], Any]) -> tuple[Any, ...]:
    """What the function returns; what it prints goes to standard error.

    Raises:
        ValueError: if that is not what was asked for.
    """
    _, keras = frameworks()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            parts = build()
    except SystemExit as error:
        raise ValueError(f"ends the process (SystemExit: {error})") from error
    got = f"a tuple of {len(parts)}" if isinstance(parts, tuple) else type(parts).__name__
    if not isinstance(parts, tuple) or len(parts) != 4:
        raise ValueError(f"returned {got}, expected a tuple of {EXPECTED}")
    if not isinstance(parts[0], keras.Model):
        got = f"{type(parts[0]).__name__} in place of the model"
        raise ValueError(f"returned {got}, expected a tuple of {EXPECTED}")
    return parts


def _value(loss: Any, labels: Any, predictions: Any) -> Any:
    """The loss as one number; a plain function's values are averaged.

    Of several outputs with a label each it is the sum, as in Keras; the loss is one for all, or
    one for each. Other labels are handed on with all outputs.
    """
    tf, keras = frameworks()
    names = _names(predictions)
    if len(names) > 1 and _names(labels) == names:
        each = loss if _names(loss) == names else dict.fromkeys(names, loss)
        return sum(_value(each[name], labels[name], predictions[name]) for name in names)
    return tf.reduce_mean(keras.losses.get(loss)(labels, predictions))


def _names(parts: Any) -> list[Any]:
    """Of the entries of a dictionary, or the numbers of those of a list; none of anything else."""
    if isinstance(parts, dict):
        return sorted(parts)
    return [*range(len(parts))] if isinstance(parts, list | tuple) else []


def _numbered(name: str, parts: Any) -> dict[str, Any]:
    tf, _ = frameworks()
    flat = tf.nest.flatten(parts)
    return {name: flat[0]} if len(flat) == 1 else {f"{name}_{i}": x for i, x in enumerate(flat)}


def _with_outputs(built: Any, named: Mapping[str, Any]) -> Any:
    """The same model that also returns what every layer gave; None for a subclassed model."""
    _, keras = frameworks()
    try:
        outputs = [_single(entry.output) for entry in named.values()]
        return keras.Model(built.inputs, [*outputs, *built.outputs])
    except (AttributeError, ValueError, TypeError):
        return None


def _taken(named: Mapping[str, Any]) -> dict[str, Any]:
    """For each layer those whose outputs are its inputs; what lies between two is not seen."""
    tf, _ = frameworks()
    owners = {id(_single(entry.output)): number for number, entry in enumerate(named.values())}
    return {
        f"{TAKES}{name}": np.array(
            [owners[id(x)] for x in tf.nest.flatten(entry.input) if id(x) in owners], np.int64
        )
        for name, entry in named.items()
    }


def _single(output: Any) -> Any:
    return output[0] if isinstance(output, list | tuple) else output


def _tensors(given: Any, dtype: str) -> Any:
    tf, _ = frameworks()
    if isinstance(given, list | tuple):
        return [_tensors(entry, dtype) for entry in given]
    if isinstance(given, dict):
        return {name: _tensors(entry, dtype) for name, entry in given.items()}
    array = np.asarray(given)
    return tf.constant(array.astype(dtype) if array.dtype.kind == "f" else array)
