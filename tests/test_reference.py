"""The twins are what they claim to be: real Keras parts, every mode, every path."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import reference
from agreement import check
from agreement.cases import NETWORK_LOSSES, units_for, usual_activations
from agreement.checking import check_training_step, manual_trace
from manual_backprop import (
    SGD,
    Activation,
    CategoricalCrossentropy,
    NaiveDense,
    NaiveSequential,
    SparseCategoricalCrossentropy,
)
from manual_backprop.losses import LOSSES, Loss
from reference import MODES
from reference.frameworks import frameworks
from reference.twin import activation_twin

SIZES, BATCH = (4, 5, 3), 6
ENTROPIES = [SparseCategoricalCrossentropy, CategoricalCrossentropy]


def make_model(hidden: Any = "relu", last: Any = "softmax", dtype: str = "float32"):
    generator = np.random.default_rng(0)
    draw = {"kernel_initializer": "glorot_uniform", "dtype": dtype, "seed": generator}
    sizes = units_for(hidden, 5), units_for(last, 3)
    return NaiveSequential(
        [NaiveDense(4, sizes[0], hidden, **draw), NaiveDense(5, sizes[1], last, **draw)]
    )


def make_batch(loss: Loss, dtype: str = "float32"):
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(BATCH, SIZES[0])).astype(dtype)
    labels = generator.integers(0, SIZES[-1], BATCH)
    return inputs, loss.prepare(labels, np.zeros((BATCH, SIZES[-1]), dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", usual_activations(), ids=str)
def test_the_split_twin_gives_what_dense_with_an_activation_gives(
    activation: str | Activation, dtype: str
) -> None:
    """A linear Dense and an activation have the gradients of Dense(activation=…), bit for bit."""
    tf, keras = frameworks()
    model, loss = make_model(activation, activation, dtype), LOSSES["mean_squared_error"]()
    inputs, targets = make_batch(loss, dtype)
    found = reference.trace(model, inputs, targets, loss, MODES["keras"])
    named = activation if isinstance(activation, str) else activation_twin(activation)
    layers = [
        keras.layers.Dense(layer.units, activation=named, dtype=dtype) for layer in model.layers
    ]
    for twin, layer in zip(layers, model.layers, strict=True):
        twin.build((None, layer.input_size))
        twin.set_weights(layer.weights)
    with tf.GradientTape() as tape:
        predictions = tf.constant(inputs)
        for twin in layers:  # a Sequential believes that glu has as many outputs as inputs
            predictions = twin(predictions)
        value = keras.losses.MeanSquaredError(dtype=dtype)(tf.constant(targets), predictions)
    gradients = tape.gradient(value, [w for twin in layers for w in twin.trainable_variables])
    assert np.array_equal(found.predictions, predictions.numpy())
    assert np.array_equal(found.loss, value.numpy())
    for ours, theirs in zip(found.gradients, gradients, strict=True):
        assert np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("loss_class", ENTROPIES)
def test_each_path_is_selectable_and_recorded(loss_class: type, mode: str) -> None:
    """The fused path has no gradient with respect to the probabilities; the plain one has."""
    model = make_model()
    for path, fused in (("fused", True), ("probabilities", False), ("auto", True)):
        loss = loss_class(path)
        inputs, targets = make_batch(loss)
        found = reference.trace(model, inputs, targets, loss, MODES[mode])
        ours = manual_trace(model, inputs, targets, loss)
        assert found.fused is ours.fused is fused
        for trace in (found, ours):
            assert (trace.layers[-1].grad_output is None) is fused


def test_every_mode_fills_the_same_trace() -> None:
    """Manual code and all modes give the same tensors, of the same names, shapes and dtype."""
    loss = SparseCategoricalCrossentropy("probabilities")
    model = make_model()
    inputs, targets = make_batch(loss)
    wanted = [(n, t.shape) for n, t in manual_trace(model, inputs, targets, loss).tensors()]
    for mode in MODES.values():
        for any_shape in (False, True):
            found = reference.trace(model, inputs, targets, loss, mode, any_shape=any_shape)
            assert [(name, tensor.shape) for name, tensor in found.tensors()] == wanted
            assert {tensor.dtype.name for _, tensor in found.tensors()} == {"float32"}


def test_one_traced_function_serves_every_shape() -> None:
    """In graph mode other sizes of the same architecture trace nothing anew."""
    from reference.witness import _open_twin

    loss = SparseCategoricalCrossentropy()
    for size in (2, 3, 7):
        model = NaiveSequential([NaiveDense(size, size, "tanh"), NaiveDense(size, 3, "softmax")])
        inputs = np.ones((size, size), np.float32)
        targets = np.zeros(size, np.int64)
        before = _open_twin.cache_info().misses
        reference.trace(model, inputs, targets, loss, MODES["keras-graph"], any_shape=True)
        assert (_open_twin.cache_info().misses > before) is (size == 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss_name", sorted(NETWORK_LOSSES))
def test_a_training_step_agrees_with_keras_optimizers_sgd(loss_name: str, dtype: str) -> None:
    """Weights after forward, backward and update lie within their bounds in every mode."""
    model, loss = make_model(dtype=dtype), LOSSES[loss_name]()
    inputs, targets = make_batch(loss, dtype)
    before = [w.copy() for w in model.weights]
    report = check_training_step(model, inputs, targets, loss=loss, learning_rate=0.05)
    assert not report.any_disagreement, report.conclusion()
    assert {v.witness for v in report.verdicts} == {"manual", *MODES}
    assert all(np.array_equal(w, b) for w, b in zip(model.weights, before, strict=True))


def test_the_judge_loads_no_framework_until_it_is_asked_for_one() -> None:
    """Importing agreement and reference, and a check by dual numbers, load no TensorFlow."""
    program = """
import sys, numpy as np
import agreement, reference
from manual_backprop import NaiveDense, NaiveSequential
model = NaiveSequential([NaiveDense(3, 2, "softmax")])
assert agreement.check(model, np.eye(3), [0, 1, 0], against=["dual"]).agrees
assert not {"tensorflow", "keras", "sklearn", "rich"} & set(sys.modules), sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "mean_absolute_error"])
@pytest.mark.parametrize(
    "given",
    [
        {"sample_weight": [1.0, 2.0, 0.0, 3.0, 0.5, 1.0]},
        {"mask": [True, False, True, True, False, True]},
        {"sample_weight": [1.0, 2.0, 0.5, 3.0, 0.5, 1.0], "mask": [True, False, True] * 2},
    ],
    ids="+".join,
)
def test_models_have_the_weights_and_the_mask_of_their_loss(
    name: str, given: dict[str, Any]
) -> None:
    """In every mode, and others than those of the batch before."""
    loss = LOSSES[name]()
    inputs, targets = make_batch(loss)
    for weighted in (loss.weighted(**given), loss.weighted(sample_weight=[5.0] * 6), loss):
        report = check(make_model(), inputs, targets, loss=weighted)
        assert report.agrees, report.conclusion()
    report = check_training_step(make_model(), inputs, targets, loss=loss.weighted(**given))
    assert report.agrees, report.conclusion()


def test_train_on_batch_takes_no_mask() -> None:
    """It would leave it out without a word."""
    loss = LOSSES["mean_absolute_error"]().weighted(mask=[True] * 6)
    with pytest.raises(ValueError, match="mask"):
        reference.train_on_batch(make_model(), *make_batch(loss), loss, SGD(), MODES["keras"])


def test_weights_changed_in_place_afterwards_change_nothing() -> None:
    """A twin is kept for the numbers that it was made for."""
    loss = LOSSES["mean_squared_error"]()
    inputs, targets = make_batch(loss)
    weights, mask = np.ones(6), np.ones(6, bool)
    assert check(make_model(), inputs, targets, loss=loss.weighted(weights, mask)).agrees
    weights[:], mask[:3] = np.arange(6), False
    fresh = loss.weighted(np.ones(6), np.ones(6, bool))
    assert check(make_model(), inputs, targets, loss=fresh).agrees


class Doubled(SparseCategoricalCrossentropy):
    """Twice the right gradient."""

    def pull_back_from_logits(self, *given: Any) -> Any:
        return 2 * super().pull_back_from_logits(*given)


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        ({}, [0, 1, 2, 0, 1, 2]),
        ({"ignore_class": -1}, [0, -1, 2, 0, 1, 2]),
        ({"ignore_class": 255}, [0, 255, 2, 0, 1, 2]),
        ({"ignore_class": -100}, [0, -100, 2, 0, 1, 2]),
    ],
)
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 3.0, 0.5, 1.0]])
def test_a_weighted_loss_is_explained_as_any(
    arguments: dict[str, Any], labels: list[int], weights: Any
) -> None:
    """Also with classes that are ignored and no column of the predictions."""
    loss = Doubled(**arguments).weighted(sample_weight=weights)
    inputs = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")
    report = check(make_model(), inputs, np.array(labels), loss=loss, against=["keras"])
    assert report.any_disagreement
    assert "twice" in report.conclusion()
