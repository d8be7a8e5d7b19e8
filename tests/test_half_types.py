"""References in half precision, judged by the bounds of their own unit roundoff."""

from __future__ import annotations

import numpy as np
import pytest

from agreement.cases import Kind
from agreement.function_cases import build_function_case, subjects
from agreement.function_check import check_function
from agreement.policies import POLICIES, check_policy
from agreement.verdicts import Verdict
from manual_backprop import CategoricalCrossentropy, NaiveDense, NaiveSequential
from manual_backprop.activations import Activation
from manual_backprop.regularizers import Regularizer
from reference.frameworks import frameworks

FUNCTIONS = [pair for pair in subjects() if not isinstance(pair[0], Regularizer)]
HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def half_type(dtype: str) -> np.dtype:
    """The NumPy dtype, which TensorFlow brings along for bfloat16."""
    tf, _ = frameworks()
    return np.dtype(tf.as_dtype(dtype).as_numpy_dtype)


@HALVES
@pytest.mark.parametrize(
    "pair", FUNCTIONS, ids=lambda pair: f"{pair[0]!r}{' behind ' + repr(pair[1]) * bool(pair[1])}"
)
def test_keras_agrees_in_half_precision(pair, dtype: str) -> None:
    """Value and gradient of every function lie in bounds of the half type, but for findings."""
    subject, behind = pair
    generator = np.random.default_rng(1)
    half = half_type(dtype)
    for kind in (Kind.SMOOTH, Kind.NICE):
        case = build_function_case(subject, behind, kind, generator, "float32")
        other = case.other
        if isinstance(subject, Activation) or other.dtype.kind == "f":
            other = other.astype(half)
        inputs = case.inputs.astype(half)
        report = check_function(case.subject, inputs, other, against=["keras"], behind=behind)
        assert not report.any_disagreement, (inputs, other, report.conclusion())


def make_model(activation: str = "tanh") -> NaiveSequential:
    """4-6-3 in float32."""
    options = {"kernel_initializer": "glorot_uniform"}
    layers = [NaiveDense(4, 6, "tanh", seed=1, **options)]
    return NaiveSequential([*layers, NaiveDense(6, 3, activation, seed=2, **options)])


def make_batch() -> tuple[np.ndarray, np.ndarray]:
    """Five samples of four features, and classes."""
    generator = np.random.default_rng(0)
    return generator.uniform(-2, 2, (5, 4)), generator.integers(0, 3, 5)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "softmax"])
@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error"])
def test_keras_agrees_under_every_policy(policy: str, activation: str, loss: str) -> None:
    """Every tensor of a network lies in the half type's bounds, step by step and end to end."""
    report = check_policy(make_model(activation), *make_batch(), loss=loss, policy=policy)
    assert not report.any_disagreement, report.conclusion()
    assert report.counts()["AGREE"] > report.counts()["BLUNT"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_fault_is_seen_through_half_precision(policy: str) -> None:
    """A backward that is wrong by a tenth disagrees at its layer under every policy."""

    class Wrong(NaiveDense):
        def backward_affine(self, grad):
            grad_inputs = super().backward_affine(grad)
            self.gradients[0] = self.gradients[0] * 1.1
            return grad_inputs

    model = make_model()
    model.layers[1].__class__ = Wrong
    report = check_policy(model, *make_batch(), loss="mean_squared_error", policy=policy)
    found = {v.name for v in report.verdicts if v.verdict is Verdict.DISAGREE}
    assert found == {"dense_2.grad_W"}


def test_an_unknown_policy_is_named() -> None:
    """A policy that is none of Keras' half types is a ValueError with the known ones."""
    with pytest.raises(ValueError, match="policy: unknown name 'half'"):
        check_policy(make_model(), *make_batch(), loss=CategoricalCrossentropy(), policy="half")
