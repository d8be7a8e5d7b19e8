"""The findings of docs/findings.md, each seen again; a failure here is good news to record."""

from __future__ import annotations

import numpy as np
import pytest

from agreement import check
from manual_backprop import CategoricalCrossentropy, NaiveDense, NaiveSequential
from manual_backprop.losses import CTC, Circle, Dice
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


def test_one_weight_on_a_loss_of_the_whole_batch() -> None:
    """Finding 47: a batch of one is not divided by its weight, in eager mode; a batch of two is."""
    _, keras = frameworks()
    loss = keras.losses.Dice(reduction="mean_with_sample_weight")
    true, predicted = np.array([[1.0, 0.0]], "float32"), np.full((1, 2), 0.5, "float32")
    own = Dice(reduction="mean_with_sample_weight").weighted([3.0]).forward(predicted, true)
    assert float(loss(true, predicted, sample_weight=[3.0])) > 2 * own, MENDED.format(47)
    twice = [np.repeat(x, 2, axis=0) for x in (true, predicted)]
    assert float(loss(*twice, sample_weight=[3.0, 3.0])) < 1.01 * own


def test_circle_cannot_tell_large_labels_apart() -> None:
    """Finding 48: 2²⁴ and 2²⁴ + 1 are one class to Keras, and two here."""
    _, keras = frameworks()
    embeddings = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]], "float32")
    labels = [2**24, 2**24 + 1, 5, 5]
    theirs = keras.losses.Circle(reduction="none")(np.array(labels), embeddings).numpy()
    assert theirs[0] > 0, MENDED.format(48)
    targets = Circle().prepare(labels, embeddings)
    own = Circle(reduction="none").forward(embeddings, targets)
    assert (own > 0).tolist() == [False, False, True, True]


def test_circle_leaves_underflowing_samples_out_of_the_mean() -> None:
    """Finding 49: in float32 the mean is over four of six samples, in float64 over all."""
    _, keras = frameworks()
    rows = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0.8, 0.6]]
    labels = np.array([0, 0, 1, 1, 2, 2])
    single = float(keras.losses.Circle(gamma=400)(labels, np.array(rows, "float32")))
    double = float(keras.losses.Circle(gamma=400, dtype="float64")(labels, np.array(rows)))
    assert single > 1.4 * double, MENDED.format(49)
    loss, embeddings = Circle(gamma=400.0), np.array(rows, "float32")
    own = loss.forward(embeddings, loss.prepare(labels, embeddings))
    assert abs(own - double) < 1e-3


def test_labels_that_no_path_spells_cost_a_finite_loss() -> None:
    """Finding 46: the probability is 0, and Keras' loss 707.7; the manual loss refuses them."""
    _, keras = frameworks()
    labels, logits = np.array([[1, 1]]), np.zeros((1, 2, 3), "float32")
    assert 700 < float(keras.losses.CTC()(labels, logits)) < 720, MENDED.format(46)
    with pytest.raises(ValueError, match="no path spells it"):
        CTC().prepare(labels, logits)
