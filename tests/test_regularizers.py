"""Regularizers against Keras, smooth and hostile numbers, and figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agreement import check
from agreement.cases import Kind
from agreement.function_cases import build_function_case
from agreement.function_check import check_function
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential, SparseCategoricalCrossentropy
from manual_backprop.catalogue import every_variant
from manual_backprop.losses import EPSILON
from manual_backprop.regularizers import (
    L1,
    L1L2,
    L2,
    REGULARIZERS,
    OrthogonalRegularizer,
    Penalties,
    get,
)
from reference.frameworks import frameworks

EVERY = pytest.mark.parametrize("regularizer", every_variant(REGULARIZERS), ids=repr)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", list(Kind))
def test_keras_agrees_with_every_regularizer(regularizer, kind: Kind, dtype: str) -> None:
    """Penalty and gradient lie in their bounds in eager and graph mode, but for the findings."""
    generator = np.random.default_rng(4)
    for _ in range(8):
        case = build_function_case(regularizer, None, kind, generator, dtype)
        report = check_function(
            regularizer, case.inputs, case.other, against=["keras", "keras-graph"]
        )
        assert not report.any_disagreement, (case.inputs, report.conclusion())


def test_penalties_worked_out_by_hand() -> None:
    """λ₁ Σ|x|, λ₂ Σx², their sum, and the mean |cosine| of the pairs of rows."""
    x = np.array([[3.0, -4.0], [0.0, 2.0]])
    assert L1(0.5).value(x) == 4.5
    assert L2(0.5).value(x) == 14.5
    assert L1L2(0.5, 0.5).value(x) == 19.0
    assert np.array_equal(L1(0.5).gradient(x), [[0.5, -0.5], [0.0, 0.5]])
    assert np.array_equal(L2(0.5).gradient(x), x)
    assert OrthogonalRegularizer(1.0).value(x) == pytest.approx(0.8, abs=4 * np.finfo(float).eps)
    assert OrthogonalRegularizer(1.0).value(np.eye(3)) == 0
    assert OrthogonalRegularizer(1.0).value(x[:1]) == 0


@EVERY
def test_a_wrong_gradient_is_seen(regularizer) -> None:
    """A gradient that is off by a factor disagrees with every reference."""

    class Wrong(type(regularizer)):
        def gradient(self, x):
            return super().gradient(x) * 1.001

    wrong = Wrong(**regularizer.arguments)
    inputs = np.random.default_rng(0).uniform(0.5, 2, (3, 4)).astype("float32")
    report = check_function(wrong, inputs, inputs, against=["keras-graph"])
    seen = {(v.witness, v.tensor) for v in report.verdicts if v.verdict is Verdict.DISAGREE}
    assert seen == {("keras-graph", "grad_inputs")}


def make_model(activation: str, dtype: str = "float32") -> NaiveSequential:
    """4-6-3 with a penalty on everything that can have one."""
    options = {"kernel_initializer": "glorot_uniform", "dtype": dtype}
    below = NaiveDense(
        4,
        6,
        "sigmoid",
        bias_initializer="normal",
        seed=1,
        kernel_regularizer=L2(0.25),
        bias_regularizer=L1(0.5),
        activity_regularizer=L1L2(0.5, 0.25),
        **options,
    )
    above = NaiveDense(
        6,
        3,
        activation,
        seed=2,
        kernel_regularizer=OrthogonalRegularizer(0.5),
        activity_regularizer="l2",
        **options,
    )
    return NaiveSequential([below, above])


def make_batch() -> tuple[np.ndarray, np.ndarray]:
    """Five samples of four features, and classes."""
    generator = np.random.default_rng(0)
    return generator.uniform(-2, 2, (5, 4)), generator.integers(0, 3, 5)


LOSSES = {
    "squared": ("tanh", "mean_squared_error"),
    "fused": ("softmax", "sparse_categorical_crossentropy"),
    "probabilities": ("softmax", SparseCategoricalCrossentropy("probabilities")),
}


@pytest.mark.parametrize("path", LOSSES)
def test_regularized_networks_agree_with_every_witness(path: str) -> None:
    """Kernel, bias and activity penalties, fused and not, in every mode and for dual numbers."""
    activation, loss = LOSSES[path]
    witnesses = ["keras", "keras-graph", "keras-xla", "dual"]
    report = check(make_model(activation), *make_batch(), loss=loss, against=witnesses)
    assert report.agrees, report.conclusion()


def test_penalties_are_those_of_a_keras_layer() -> None:
    """The loss exceeds that of the network without penalties by what Keras' layers collect."""
    _, keras = frameworks()
    model, inputs = make_model("tanh", "float64"), make_batch()[0]
    keras_model = keras.Sequential(
        [
            keras.layers.Dense(
                6,
                "sigmoid",
                kernel_regularizer=keras.regularizers.L2(0.25),
                bias_regularizer=keras.regularizers.L1(0.5),
                activity_regularizer=keras.regularizers.L1L2(0.5, 0.25),
                dtype="float64",
            ),
            keras.layers.Dense(
                3, "tanh", kernel_regularizer=keras.regularizers.L2(0.0), dtype="float64"
            ),
        ]
    )
    keras_model.build((None, 4))
    keras_model.set_weights(model.weights)
    keras_model(inputs)
    model.forward(inputs)
    below = model.layers[0]
    ours = below.penalties.value(below.W, below.b, below.output)
    theirs = sum(float(penalty) for penalty in keras_model.losses)
    assert ours == pytest.approx(theirs, rel=64 * np.finfo(float).eps)


@pytest.mark.parametrize("part", ["kernel", "bias", "activity"])
def test_a_forgotten_penalty_is_located(part: str) -> None:
    """A backward that leaves one penalty out disagrees at that penalty's tensor first."""
    model = make_model("tanh")

    class Forgetful(Penalties):
        def grad_output(self, grad_output, output):
            return grad_output if part == "activity" else super().grad_output(grad_output, output)

        def grad_weights(self, gradients, W, b):
            without = replace(self, **{part: None})
            return Penalties.grad_weights(without, gradients, W, b)

    layer = model.layers[0]
    layer.penalties = Forgetful(**vars(layer.penalties))
    tensor = {"kernel": "grad_W", "bias": "grad_b", "activity": "grad_pre_activation"}[part]
    report = check(model, *make_batch(), loss="mean_squared_error", against=["keras-graph", "dual"])
    assert {v.witness for v in report.disagreements} == {"keras-graph", "dual"}
    assert report.disagreements[0].name == f"dense_1.{tensor}"


def test_rows_shorter_than_epsilon_keep_no_length() -> None:
    """Orthogonal rows have no gradient, however short; one as long as ε has none along itself."""
    short = np.array([[EPSILON / 2, 0.0], [0.0, 1.0]])
    assert not OrthogonalRegularizer(1.0).gradient(short).any()
    grad = OrthogonalRegularizer(1.0).gradient(np.array([[EPSILON, 0.0], [1.0, 1.0]]))
    assert grad[0, 0] == 0 < grad[0, 1]


def test_any_regularizer_makes_a_penalty() -> None:
    """Kernel, bias or activity, each alone; a layer without a bias takes one as well."""
    assert not Penalties()
    for part in ("kernel", "bias", "activity"):
        assert Penalties(**{part: L2()})
    layer = NaiveDense(2, 1, use_bias=False, kernel_regularizer=L2(0.5), seed=0)
    layer.forward(np.ones((1, 2), np.float32))
    layer.backward(np.zeros((1, 1), np.float32))
    (grad,) = layer.gradients
    assert np.array_equal(grad, layer.W)


def test_a_shared_layer_has_no_single_activity() -> None:
    """A layer in two places cannot have an activity regularizer; the error says so."""
    layer = NaiveDense(3, 3, activity_regularizer="l1")
    with pytest.raises(ValueError, match="activity_regularizer"):
        NaiveSequential([layer, layer])


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_is_no_penalty_is_refused(factor: float) -> None:
    """A factor below 0 or without end is a ValueError that names it."""
    with pytest.raises(ValueError, match="l1"):
        L1(factor)
    with pytest.raises(TypeError, match="l1: got True"):
        L1(True)
    with pytest.raises(ValueError, match="mode"):
        OrthogonalRegularizer(mode="diagonals")
    with pytest.raises(ValueError, match="kernel_regularizer"):
        get("kernel_regularizer", "l3")
