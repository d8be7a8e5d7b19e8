"""The findings of docs/findings.md, each seen again; a failure here is good news to record."""

from __future__ import annotations

import numpy as np
import pytest

from agreement import check
from manual_backprop import CategoricalCrossentropy, NaiveDense, NaiveSequential
from reference.frameworks import frameworks

MENDED = "the installed TensorFlow mends finding {}: say so in docs/findings.md"
LOGIT_WEIGHTS = np.array([[1e10, 1e4, 3e4, 7e3, 1e5, 2e5, -1e5]], "float32") / 3


def test_xla_softmax_of_a_one_input_layer_is_nan() -> None:
    """Finding 1: contraction under XLA makes the shifted logit positive."""
    tf, keras = frameworks()
    layer = keras.layers.Dense(7, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([LOGIT_WEIGHTS])
    x = tf.constant([[1e4 / 7]])

    def predict(x):
        return keras.activations.softmax(layer(x))

    assert np.array_equal(predict(x).numpy(), [[1, 0, 0, 0, 0, 0, 0]])
    assert np.isnan(tf.function(predict, jit_compile=True)(x).numpy()).any(), MENDED.format(1)


def test_xla_gradient_of_tiny_probabilities_is_nan() -> None:
    """Finding 2: (p / S) / S is compiled to p / (S·S), which underflows."""
    tf, keras = frameworks()
    probabilities = tf.constant([[1e-25, 2e-25, 3e-25]])
    labels = tf.constant([[0.0, 1.0, 0.0]])

    def gradient(p):
        with tf.GradientTape() as tape:
            tape.watch(p)
            loss = keras.losses.CategoricalCrossentropy()(labels, p)
        return tape.gradient(loss, p)

    assert np.isfinite(gradient(probabilities).numpy()).all()
    compiled = tf.function(gradient, jit_compile=True)(probabilities).numpy()
    assert np.isnan(compiled).all(), MENDED.format(2)


def test_a_learning_rate_is_kept_in_floatx() -> None:
    """Finding 4: an optimizer for float64 weights steps with a float32 learning rate."""
    _, keras = frameworks()
    assert keras.optimizers.SGD(0.2).learning_rate.dtype == "float32", MENDED.format(4)


@pytest.mark.parametrize("loss", ["mean_squared_error", CategoricalCrossentropy()])
def test_the_judge_calls_the_first_finding_an_overflow(loss: object) -> None:
    """Where XLA gives NaN by finding 1 the bound is infinite, and nothing disagrees."""
    model = NaiveSequential([NaiveDense.from_weights(LOGIT_WEIGHTS, activation="softmax")])
    inputs = np.array([[1e4 / 7]], "float32")
    report = check(model, inputs, np.eye(7)[:1], loss=loss, against="keras-xla")
    assert not report.any_disagreement, report.conclusion()
    assert report.counts()["OVERFLOW"] > 0
