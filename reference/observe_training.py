"""``fit``, ``train_on_batch`` and ``evaluate`` of the installed Keras on a small model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference.frameworks import frameworks
from reference.observation import Call, Inputs, Observation, in_floatx, member, observe
from reference.observe_layers import Draw, Made, build_layer, set_weights

SGD = Made("SGD", {"learning_rate": 0.1})


@dataclass(frozen=True)
class Training:
    """A model, how it is compiled, and what is done with it.

    Attributes:
        action: "fit", "train_on_batch" or "evaluate". layers: from the inputs on.
        optimizer: class and arguments. loss: its name. metrics: names.
        compiling: further arguments of ``compile``. options: of the action.
        input_dtype: of the model's inputs, if not the working dtype.
    """

    action: str
    layers: Sequence[Made]
    optimizer: Made = SGD
    loss: str = "sparse_categorical_crossentropy"
    metrics: Sequence[str] = ("accuracy",)
    compiling: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    input_dtype: str | None = None


def train(
    training: Training, dtype: str, draw: Draw, cases: Mapping[str, Inputs]
) -> dict[str, Observation]:
    """Reported losses and metrics, and every weight afterwards.

    Inputs are ``inputs``, ``labels`` and perhaps ``sample_weight`` and ``class_weight``, a number
    for each class.
    """

    def prepare() -> Call:
        optimizer = member("optimizers", training.optimizer.kind, training.optimizer.arguments)

        def call(given: Inputs) -> Mapping[str, Any]:
            _, keras = frameworks()
            shape = given["inputs"].shape[1:]
            model = keras.Sequential(
                [
                    keras.Input(shape, dtype=training.input_dtype or dtype),
                    *(build_layer(made, dtype) for made in training.layers),
                ]
            )
            set_weights(model, draw)
            model.compile(
                optimizer(**training.optimizer.arguments),
                training.loss,
                metrics=list(training.metrics),
                **training.compiling,
            )
            found = ACTIONS[training.action](model, given, training.options)
            return found | {f"weight_{i}": w.numpy() for i, w in enumerate(model.weights)}

        return in_floatx(dtype, call)

    return observe(prepare, cases)


def _extras(given: Inputs) -> dict[str, Any]:
    extra: dict[str, Any] = {k: given[k] for k in ("sample_weight",) if k in given}
    if "class_weight" in given:
        extra["class_weight"] = {i: float(w) for i, w in enumerate(given["class_weight"])}
    return extra


def _fit(model: Any, given: Inputs, options: Mapping[str, Any]) -> dict[str, Any]:
    history = model.fit(
        given["inputs"], given["labels"], shuffle=False, verbose=0, **options, **_extras(given)
    ).history
    return {f"reported_{name}": np.array(values, float) for name, values in history.items()}


def _train_on_batch(model: Any, given: Inputs, options: Mapping[str, Any]) -> dict[str, Any]:
    reports = [
        np.atleast_1d(
            model.train_on_batch(given["inputs"], given["labels"], **options, **_extras(given))
        )
        for _ in range(3)
    ]
    return {"reported": np.array(reports, float)}


def _evaluate(model: Any, given: Inputs, options: Mapping[str, Any]) -> dict[str, Any]:
    extra = _extras(given)
    found = model.evaluate(given["inputs"], given["labels"], verbose=0, **options, **extra)
    predicted = model.predict(given["inputs"], verbose=0, **options)
    return {"reported": np.atleast_1d(np.array(found, float)), "predictions": predicted}


ACTIONS = {"fit": _fit, "train_on_batch": _train_on_batch, "evaluate": _evaluate}
