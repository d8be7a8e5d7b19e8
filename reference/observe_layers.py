"""Keras' own layers, small ones: outputs and every gradient, in training and inference mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.typing import Array
from reference.frameworks import floatx, frameworks
from reference.observation import (
    Call,
    Inputs,
    Observation,
    compiled,
    constant,
    in_floatx,
    member,
    observe,
)

# From the number of a weight and its shape to its value.
Draw: TypeAlias = Callable[[int, Sequence[int]], Array]
# Of the difference quotient in float64: its error is about 1e-10 of a smooth layer's scale.
STEP = 1e-6
SLOPE, QUOTIENT = "slope", "slope by difference"


@dataclass(frozen=True)
class Made:
    """A layer as an argument of another: its class and arguments."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def layer(
    made: Made, dtype: str, draw: Draw, cases: Mapping[str, Inputs], graph: bool = False
) -> dict[str, Observation]:
    """Output, penalty, gradients of inputs and weights, and what training leaves behind.

    Args:
        made: the layer. dtype: of its weights and computations. draw: its weights.
        cases: ``inputs``, or ``inputs_0``, ``inputs_1`` …, and perhaps ``mask``. A case whose
            name begins with "training" runs in training mode. The cotangent is drawn after the
            weights, with number −1.
    """

    def prepare() -> Call:
        build_layer(made, dtype)  # so that what is absent is known at once

        def call(given: Inputs) -> Mapping[str, Any]:
            return _run(made, dtype, draw, given, graph)

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def build_layer(made: Made, dtype: str) -> Any:
    """The layer, and those among its arguments, in that dtype.

    Raises:
        AbsentError: where the installed Keras has no such layer or argument.
    """
    arguments = {
        name: build_layer(value, dtype) if isinstance(value, Made) else value
        for name, value in made.arguments.items()
    }
    kind = member("layers", made.kind, made.arguments)
    with floatx(dtype):
        return kind(dtype=dtype, **arguments)


def _run(made: Made, dtype: str, draw: Draw, given: Inputs, graph: bool) -> Mapping[str, Any]:
    tf, _ = frameworks()
    instance = build_layer(made, dtype)
    tensors = [constant(given[name]) for name in given if name.startswith("inputs")]
    options: dict[str, Any] = {}
    if "training" in given:
        options["training"] = bool(given["training"])
    if "mask" in given:
        options["mask"] = constant(given["mask"])
    calls = _caller(instance, options)
    calls(tensors)  # builds it
    set_weights(instance, draw)
    trainable = [v.value for v in _numeric(instance.trainable_weights)]

    def forward(operands: Sequence[Any]) -> Any:
        """Σ cotangent · output with the penalty added; the outputs, the penalty."""
        outputs = _parts(calls(operands))
        total = sum(
            tf.reduce_sum(part * tf.constant(draw(-1 - place, part.shape).astype(dtype)))
            for place, part in enumerate(outputs)
            if part.dtype.is_floating
        )
        penalty = sum(tf.cast(x, dtype) for x in instance.losses) if instance.losses else None
        return total if penalty is None else total + penalty, outputs, penalty

    def run() -> Any:
        with tf.GradientTape() as tape:
            sources = [x for x in tensors if x.dtype.is_floating]
            for source in sources:
                tape.watch(source)
            total, outputs, penalty = forward(tensors)
        gradients = tape.gradient(total, [*sources, *trainable])
        return outputs, penalty, [_dense(g) for g in gradients]

    outputs, penalty, gradients = compiled(run, graph)()
    found: dict[str, Any] = {}
    found |= {_numbered("output", i, len(outputs)): x for i, x in enumerate(outputs)}
    found["penalty"] = penalty
    count = sum(x.dtype.is_floating for x in tensors)
    for i, grad in enumerate(gradients[:count]):
        found[_numbered("grad_inputs", i, count)] = grad
    found |= {f"grad_weight_{i}": g for i, g in enumerate(gradients[count:])}
    states = _numeric(instance.non_trainable_weights)
    found |= {f"state_{i}": np.array(variable.numpy()) for i, variable in enumerate(states)}
    random = "seed" in made.arguments and options.get("training")
    if dtype == "float64" and not graph and not random:
        found |= _slopes(lambda x: forward(x)[0], tensors, trainable, gradients, draw)
    return found


def _slopes(
    total: Callable[[Sequence[Any]], Any],
    tensors: Sequence[Any],
    weights: Sequence[Any],
    gradients: Sequence[Any],
    draw: Draw,
) -> dict[str, Any]:
    """The slope along a random direction: by the gradients, and by a difference quotient.

    Without a derivation by hand it tells whether gradients are those of the layer's own output.
    """
    places = [i for i, x in enumerate(tensors) if x.dtype.is_floating]
    starts = [tensors[i].numpy() for i in places] + [w.numpy() for w in weights]
    directions = [draw(-100 - i, x.shape) for i, x in enumerate(starts)]
    ends = []
    for sign in (STEP, -STEP):
        moved = [x + sign * d for x, d in zip(starts, directions, strict=True)]
        operands = list(tensors)
        for place, array in zip(places, moved, strict=False):
            operands[place] = constant(array)
        for weight, array in zip(weights, moved[len(places) :], strict=True):
            weight.assign(array)
        ends.append(float(total(operands)))
    for weight, array in zip(weights, starts[len(places) :], strict=True):
        weight.assign(array)
    slope = sum(
        float((g.numpy() * d).sum())
        for g, d in zip(gradients, directions, strict=True)
        if g is not None
    )
    quotient = (ends[0] - ends[1]) / (2 * STEP)
    return {SLOPE: np.float64(slope), QUOTIENT: np.float64(quotient)}


def _caller(instance: Any, options: Mapping[str, Any]) -> Callable[[Sequence[Any]], Any]:
    """A call of the layer; one that has no ``training`` argument is called without."""
    import inspect

    taken = inspect.signature(instance.call).parameters
    given = {name: value for name, value in options.items() if name != "training" or name in taken}

    def call(tensors: Sequence[Any]) -> Any:
        if len(tensors) == 1:
            return instance(tensors[0], **given)
        if "value" in taken and "query" in taken:
            return instance(*tensors, **given)
        return instance(list(tensors), **given)

    return call


def _parts(output: Any) -> list[Any]:
    if isinstance(output, list | tuple):
        return [part for entry in output for part in _parts(entry)]
    return [output]


def _dense(gradient: Any) -> Any:
    """A gradient as a tensor: that of an embedding comes as rows with indices."""
    tf, _ = frameworks()
    return None if gradient is None else tf.convert_to_tensor(gradient)


def _numbered(name: str, number: int, count: int) -> str:
    return name if count == 1 else f"{name}_{number}"


def _numeric(variables: Sequence[Any]) -> list[Any]:
    """Those that hold numbers: the states of generators are integers."""
    return [v for v in variables if "float" in str(v.dtype)]


def set_weights(built: Any, draw: Draw) -> None:
    """Give a built layer or model weights that depend on their order and shapes alone."""
    for number, variable in enumerate(_numeric(built.weights)):
        variable.assign(_weight(variable, draw, number))


def _weight(variable: Any, draw: Draw, number: int) -> Array:
    drawn = draw(number, tuple(variable.shape))
    return np.abs(drawn) + 0.5 if "variance" in variable.name else drawn
