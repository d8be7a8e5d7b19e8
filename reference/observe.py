"""The members of the catalogue as the installed Keras computes them, every case of an item."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from reference.frameworks import floatx, frameworks, set_mask
from reference.observation import (
    Call,
    Inputs,
    Observation,
    compiled,
    constant,
    in_floatx,
    keras_arguments,
    member,
    observe,
)

Observations = dict[str, Observation]
Cases = Mapping[str, Inputs]


def activation(name: str, arguments: Mapping[str, Any], cases: Cases, graph: bool) -> Observations:
    """Output, and the gradient of Σ cotangent · output; inputs are ``inputs``, ``cotangent``."""

    def prepare() -> Call:
        tf, _ = frameworks()
        function = member("activations", name, arguments)

        def run(inputs: Any, cotangent: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                output = function(inputs, **arguments)
            return output, tape.gradient(output, inputs, output_gradients=cotangent)

        traced = compiled(run, graph)

        def call(given: Inputs) -> Mapping[str, Any]:
            output, grad = traced(constant(given["inputs"]), constant(given["cotangent"]))
            return {"output": output, "grad_inputs": grad}

        return call

    return observe(prepare, cases)


def loss(
    name: str,
    arguments: Mapping[str, Any],
    behind: str | None,
    dtype: str,
    cases: Cases,
    graph: bool,
) -> Observations:
    """Loss and gradient with respect to ``predictions``; logits where an activation is ``behind``.

    A case may have ``sample_weight`` and ``mask``. A name in lower case is that of a function
    of (labels, predictions), of whose values the sum is differentiated.
    """

    def prepare() -> Call:
        tf, _ = frameworks()
        kind = member("losses", name, arguments)
        with floatx(dtype):
            twin: Any = kind(**arguments) if inspect.isclass(kind) else None
        squash = None if behind is None else member("activations", behind, {})

        def run(predictions: Any, targets: Any, weight: Any, mask: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(predictions)
                outputs = predictions if squash is None else squash(predictions)
                if mask is not None:
                    set_mask(outputs, mask)
                if twin is None:
                    value = kind(targets, outputs, **arguments)
                else:
                    value = twin(targets, outputs, sample_weight=weight)
            return tf.identity(value), tape.gradient(value, predictions)

        traced = compiled(run, graph)

        def call(given: Inputs) -> Mapping[str, Any]:
            extra = [constant(given[k]) if k in given else None for k in ("sample_weight", "mask")]
            found = traced(constant(given["predictions"]), constant(given["targets"]), *extra)
            return dict(zip(("loss", "grad_inputs"), found, strict=True))

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def regularizer(
    name: str, arguments: Mapping[str, Any], dtype: str, cases: Cases, graph: bool
) -> Observations:
    """Penalty, and its gradient with respect to ``inputs``."""

    def prepare() -> Call:
        tf, _ = frameworks()
        with floatx(dtype):
            twin = member("regularizers", name, arguments)(**arguments)

        def run(inputs: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = twin(inputs)
            return tf.convert_to_tensor(value), tape.gradient(value, inputs)

        traced = compiled(run, graph)

        def call(given: Inputs) -> Mapping[str, Any]:
            return dict(
                zip(("penalty", "grad_inputs"), traced(constant(given["inputs"])), strict=True)
            )

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def optimizer(
    name: str, arguments: Mapping[str, Any], dtype: str, cases: Cases, graph: bool
) -> Observations:
    """Every weight after every step, as ``step_1.vector``.

    Inputs are, for each weight, ``weight.vector`` and ``gradients.vector`` with the steps along
    the first axis.
    """

    def prepare() -> Call:
        kind = member("optimizers", name, arguments)

        def call(given: Inputs) -> Mapping[str, Any]:
            _, keras = frameworks()
            twin = kind(**keras_arguments(arguments))
            names = [k.removeprefix("weight.") for k in given if k.startswith("weight.")]
            variables = [keras.Variable(given[f"weight.{k}"], dtype=dtype, name=k) for k in names]
            twin.build(variables)
            step = compiled(lambda gradients: twin.apply(gradients, variables), graph)
            found = {}
            for number in range(len(given[f"gradients.{names[0]}"])):
                step([constant(given[f"gradients.{k}"][number]) for k in names])
                for k, variable in zip(names, variables, strict=True):
                    found[f"step_{number + 1}.{k}"] = np.array(variable.numpy())
            return found

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def schedule(name: str, arguments: Mapping[str, Any], dtype: str, cases: Cases) -> Observations:
    """The learning rate at every one of ``iterations``."""

    def prepare() -> Call:
        with floatx(dtype):
            twin = member("optimizers.schedules", name, arguments)(**keras_arguments(arguments))

        def call(given: Inputs) -> Mapping[str, Any]:
            rates = [np.array(twin(constant(np.int64(i)))) for i in given["iterations"]]
            return {"rates": np.stack(rates)}

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def initializer(name: str, arguments: Mapping[str, Any], dtype: str, cases: Cases) -> Observations:
    """What an initializer draws for ``shape`` with a fixed seed, where it takes one."""

    def prepare() -> Call:
        kind = member("initializers", name, arguments)
        seed = {"seed": 7} if "seed" in inspect.signature(kind).parameters else {}

        def call(given: Inputs) -> Mapping[str, Any]:
            twin = kind(**arguments, **seed)
            return {"drawn": twin(tuple(int(n) for n in given["shape"]), dtype=dtype)}

        return in_floatx(dtype, call)

    return observe(prepare, cases)
