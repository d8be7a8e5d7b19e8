"""The findings of docs/findings.md about cross-entropies that no row of a table can hold."""

from __future__ import annotations

import numpy as np
import pytest

from manual_backprop.losses import (
    LOSSES,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from reference.frameworks import frameworks

MENDED = "the installed Keras mends finding {}: say so in docs/findings.md"


def gradient_of(loss, labels, inputs, activation=None):
    """Keras' value and gradient with respect to the inputs."""
    tf, _ = frameworks()
    given = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(labels, given if activation is None else activation(given))
    return float(value), tape.gradient(value, given).numpy()


@pytest.mark.parametrize(
    ("loss", "activation"),
    [("BinaryCrossentropy", "softmax"), ("CategoricalCrossentropy", "sigmoid")],
)
def test_cross_entropies_take_any_activations_logits(loss: str, activation: str) -> None:
    """Finding 60: behind the wrong activation the loss is that of the logits."""
    tf, keras = frameworks()
    kind, squash = getattr(keras.losses, loss), getattr(keras.activations, activation)
    logits, labels = np.array([[2.0, -1.0, 0.5]], "float32"), np.array([[1.0, 0.0, 0.0]], "float32")
    probabilities = squash(tf.constant(logits)).numpy()
    found, _ = gradient_of(kind(), labels, logits, squash)
    assert found == float(kind(from_logits=True)(labels, logits)), MENDED.format(60)
    own = float(LOSSES[kind().name]("probabilities").forward(probabilities, labels))
    assert abs(float(kind()(labels, probabilities)) - own) < 1e-5
    assert abs(found - own) > 0.1


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_a_focal_loss_is_nan_where_it_is_right(gamma: float) -> None:
    """Finding 61: the gradient of a logit of 20 for a 1 is NaN; the manual one is nearly 0."""
    _, keras = frameworks()
    logits, labels = np.array([[20.0]], "float32"), np.array([[1.0]], "float32")
    twin = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    assert np.isnan(gradient_of(twin, labels, logits)[1]).all(), MENDED.format(61)
    own = BinaryFocalCrossentropy(gamma=gamma, from_logits=True).backward(logits, labels)
    assert abs(own[0, 0]) < 1e-7


def test_a_column_of_labels_is_broadcast() -> None:
    """Finding 63: with labels (batch, 1), as documented, the loss is that of all pairs."""
    _, keras = frameworks()
    predictions = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]], "float32")
    labels = np.array([0, 1, 0, 1])
    twin = keras.losses.CategoricalGeneralizedCrossEntropy(reduction="none")
    assert twin(labels[:, None], predictions).shape == (4, 4), MENDED.format(63)
    loss = CategoricalGeneralizedCrossEntropy()
    both = [loss.prepare(form, predictions) for form in (labels, labels[:, None])]
    assert np.array_equal(*both)


def test_weights_of_classes_do_not_follow_the_axis() -> None:
    """Finding 65: three weights for three classes along the first axis are an error."""
    tf, keras = frameworks()
    labels, predictions = np.eye(3, 2, dtype="float32"), np.full((3, 2), 1 / 3, "float32")
    twin = keras.losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.7, 0.2], axis=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
        twin(labels, predictions)
    loss = CategoricalFocalCrossentropy(alpha=(0.1, 0.7, 0.2), axis=0)
    along = CategoricalFocalCrossentropy(alpha=(0.1, 0.7, 0.2))
    assert loss.forward(predictions, labels) == along.forward(predictions.T, labels.T)


def test_ignoring_a_class_loses_the_logits() -> None:
    """Finding 66: a class that no row has is ignored, and a loss of 100 becomes 16."""
    _, keras = frameworks()
    logits = np.array([[100.0, 0.0]], "float32")
    values, gradients = zip(
        *(
            gradient_of(
                keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored),
                np.array([1]),
                logits,
                keras.activations.softmax,
            )
            for ignored in (None, -1)
        ),
        strict=True,
    )
    assert values[0] == 100
    assert values[1] < 17, MENDED.format(66)
    assert gradients[0].all()
    assert not gradients[1].any()


def test_a_negative_axis_of_logits_is_an_error() -> None:
    """Finding 67: axis −2 works from probabilities, and from logits as axis 0."""
    tf, keras = frameworks()
    labels, numbers = np.eye(2, dtype="float32"), np.full((2, 2), 0.5, "float32")
    kind = keras.losses.CategoricalCrossentropy
    assert kind(axis=-2)(labels, numbers) == kind(axis=0, from_logits=True)(labels, numbers)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Requires start <= limit"):
        kind(axis=-2, from_logits=True)(labels, numbers)
    own = CategoricalCrossentropy(axis=-2, from_logits=True)
    assert abs(own.forward(numbers, labels) - np.log(2)) < 1e-6


def test_predictions_of_one_class_are_squeezed() -> None:
    """Finding 68: with labels of the rank that is documented there are no classes left."""
    _, keras = frameworks()
    twin, predictions = keras.losses.SparseCategoricalCrossentropy(), np.ones((2, 2, 1), "float32")
    assert float(twin(np.zeros((2, 2, 1)), predictions)) == 0
    with pytest.raises(ValueError, match="must have rank"):
        twin(np.zeros((2, 2)), predictions)
    loss = SparseCategoricalCrossentropy("probabilities")
    assert loss.forward(predictions, loss.prepare(np.zeros((2, 2)), predictions)) == 0
