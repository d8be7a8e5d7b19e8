"""Minimal reproductions of docs/keras-history.md, with Keras alone: one line of JSON for each.

Run it beside any release on TensorFlow: ``python docs/keras_history.py [name …]``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

ROW = np.array([[1.0, 2.0, 4.0]], "float32")


def gradient(function: Callable[[Any], Any], inputs: Any) -> list[float]:
    """∂ Σ function / ∂ inputs."""
    with tf.GradientTape() as tape:
        given = tf.constant(inputs)
        tape.watch(given)
        result = function(given)
    return tape.gradient(result, given).numpy().round(6).ravel().tolist()  # type: ignore[no-any-return]


def layer_normalization() -> Any:
    """Gradient of the first output; the three add up to 0, as the layer ignores a shift."""
    return gradient(lambda x: keras.layers.LayerNormalization()(x)[0, 0], ROW)


def group_normalization() -> Any:
    return gradient(lambda x: keras.layers.GroupNormalization(1)(x)[0, 0], ROW)


def batch_normalization() -> Any:
    layer = keras.layers.BatchNormalization()
    return gradient(lambda x: layer(x, training=True)[0, 0], ROW.T)


def batch_normalization_masked() -> Any:
    """Output in training for a row that counts and one that does not."""
    layer = keras.layers.BatchNormalization()
    mask = tf.constant([[True, True, False]])
    inputs = tf.constant([[[1.0], [3.0], [100.0]]])
    return layer(inputs, training=True, mask=mask).numpy().round(3).ravel().tolist()


def gelu() -> Any:
    """x Φ(x) at −2 is −0.0455002639."""
    return float(keras.activations.gelu(tf.constant(-2.0)).numpy().round(10))


def gelu_of_float64() -> Any:
    """At 1 it is 0.8413447461, and at 1e200 the number itself."""
    return keras.activations.gelu(tf.constant([1.0, 1e200], "float64")).numpy().round(10).tolist()


def hard_sigmoid_at_kinks() -> Any:
    return gradient(keras.activations.hard_sigmoid, np.array([-3.0, 3.0], "float32"))


def l2_of_float64() -> Any:
    return float(keras.regularizers.L2(0.3)(tf.constant([1.0], "float64")))


def l1_of_float64() -> Any:
    return float(keras.regularizers.L1(0.3)(tf.constant([1.0], "float64")))


def embedding_l2_float64() -> Any:
    layer = keras.layers.Embedding(1, 1, "ones", embeddings_regularizer=keras.regularizers.L2(0.3))
    layer(tf.constant([[0]]))
    return float(sum(layer.losses))


def activity_penalty() -> Any:
    """l2 = 1 of two samples [1]: 2 in all, 1 for each sample."""
    layer = keras.layers.ActivityRegularization(l2=1.0)
    layer(tf.constant([[1.0], [1.0]]))
    return float(sum(layer.losses))


def huber_of_float64() -> Any:
    return float(keras.losses.Huber()(np.array([[0.0]]), np.array([[3.0]])))


def poisson_of_float64() -> Any:
    return float(keras.losses.Poisson()(np.array([[1.0]]), np.array([[3.0]])))


def percentage_error_of_float64() -> Any:
    """|0 − 1| / max(|0|, 1e-7), in percent."""
    loss = keras.losses.MeanAbsolutePercentageError()
    return float(loss(np.array([[0.0]]), np.array([[1.0]])))


def masked_loss_of_float64() -> Any:
    """Two of three values of 1 count: 1."""
    predictions = tf.constant([[1.0], [1.0], [1.0]], "float64")
    mask = tf.constant([True, True, False])
    setter = getattr(keras.src.backend, "set_keras_mask", None)
    if setter is None:
        predictions._keras_mask = mask
    else:
        setter(predictions, mask)
    return float(keras.losses.MeanSquaredError()(np.zeros((3, 1)), predictions))


def reduction_mean_with_sample_weight() -> Any:
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    return float(loss(np.zeros((2, 1)), np.ones((2, 1)), sample_weight=np.array([1.0, 3.0])))


def sparse_crossentropy_ignoring_a_class_float64() -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    given = np.array([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75]])
    return float(loss(np.array([0, 1, 1]), given))


def circle_loss_float64() -> Any:
    rows = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    return float(keras.losses.Circle()(np.array([0, 0, 1]), rows))


def evaluate_with_a_short_last_batch() -> Any:
    """Squared errors 0, 0 and 9 in batches of two: 3 on average."""
    inputs = np.array([[0.0], [0.0], [3.0]])
    return _linear().evaluate(inputs, np.zeros((3, 1)), batch_size=2, verbose=0)


def train_on_batch_repeated() -> Any:
    """The weight is 1, 0.8, 0.64 before the steps, so the loss is 1, 0.64, 0.4096."""
    model = _linear()
    steps = [model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1))) for _ in range(3)]
    return [round(float(np.ravel(step)[0]), 6) for step in steps]


def _linear() -> Any:
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    return model


def masked_accuracy() -> Any:
    """Of the three words that count two are right: 2/3."""
    model = keras.Sequential(
        [
            keras.layers.Embedding(3, 2, "zeros", mask_zero=True),
            keras.layers.Dense(2, activation="softmax", bias_initializer="zeros"),
        ]
    )
    words, labels = np.array([[1, 1, 0], [1, 0, 0]]), np.array([[0, 1, 0], [0, 0, 0]])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    found = model.evaluate(words, labels, batch_size=1, verbose=0)
    return [round(float(x), 6) for x in found]


def accumulation_with_loss_scale() -> Any:
    """Gradients of 8 with a scale of 8, averaged over two steps: one update of 1, from 1 to 0."""
    variable = keras.Variable(1.0)
    optimizer = keras.optimizers.SGD(1.0, loss_scale_factor=8.0, gradient_accumulation_steps=2)
    wrapped = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    wrapped.build([variable])
    for _ in range(2):
        wrapped.apply([tf.constant(8.0)], [variable])
    return float(variable.numpy())


def adam_with_accumulation() -> Any:
    """Two gradients of 1 are one update with their mean, and Adam's first is the learning rate."""
    variable = keras.Variable(1.0)
    optimizer = keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)
    optimizer.build([variable])
    for _ in range(2):
        optimizer.apply([tf.constant(1.0)], [variable])
    return round(float(variable.numpy()), 6)


def ctc_of_padded_labels() -> Any:
    """A label and two of padding, in three frames of three equal classes: −ln 6/27 = 1.504077."""
    labels, logits = tf.constant([[1, 0, 0]]), tf.zeros((1, 3, 3))
    return keras.losses.ctc(labels, logits).numpy().round(6).tolist()


def ctc_of_float64() -> Any:
    logits = tf.zeros((1, 2, 3), "float64")
    return str(keras.losses.ctc(tf.constant([[1]]), logits).dtype.name)


def muon_step() -> Any:
    """One step with a gradient of ones, from a matrix of ones."""
    variable = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
    optimizer = keras.optimizers.Muon(0.1)
    optimizer.build([variable])
    optimizer.apply([tf.ones((2, 2))], [variable])
    return variable.numpy().round(4).ravel().tolist()


def grouped_query_attention_float64() -> Any:
    """Attention of equal scores is the mean of the values; 1e-8 shows what float32 loses."""
    layer = keras.layers.GroupQueryAttention(2, 2, 1, dtype="float64")
    query = np.linspace(-1, 1, 8).reshape(1, 2, 4)
    layer(query, query)
    for variable in layer.weights:
        size = int(np.prod(variable.shape))
        variable.assign(np.linspace(-1, 1, size).reshape(variable.shape))
    return float(np.sum(layer(query, query)))


def attention_of_a_masked_row() -> Any:
    """Gradient of the first output for a query that nothing may attend to."""
    layer = keras.layers.MultiHeadAttention(1, 2, kernel_initializer="ones")
    inputs = tf.constant([[[1.0, 2.0], [3.0, 5.0]]])
    mask = tf.constant([[[True, False], [False, False]]])
    return gradient(lambda x: layer(x, x, attention_mask=mask)[0, 1, 0] * x[0, 0, 0], inputs)


def _dropped(**rates: float) -> Any:
    layer = keras.layers.LSTM(
        2, kernel_initializer="ones", recurrent_initializer="ones", seed=5, **rates
    )
    given = tf.constant(np.linspace(0.1, 1, 12, dtype="float32").reshape(2, 3, 2))
    return layer(given, training=True).numpy().round(5).ravel().tolist()


def lstm_dropout() -> Any:
    """With a fixed seed; the masks are a matter of convention."""
    return _dropped(dropout=0.5)


def lstm_recurrent_dropout() -> Any:
    return _dropped(recurrent_dropout=0.5)


def lstm_both_dropouts() -> Any:
    return _dropped(dropout=0.2, recurrent_dropout=0.5)


def fit_with_several_steps_per_execution() -> Any:
    """Squared errors 0, 0 and 9 in batches of one, two at a time, weights kept: 3 on average."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(loss="mse", optimizer="sgd", steps_per_execution=2, jit_compile=False)
    inputs = np.array([[0.0], [0.0], [3.0]])
    history = model.fit(inputs, np.zeros((3, 1)), batch_size=1, shuffle=False, verbose=0)
    return history.history["loss"]


def spectral_normalization_in_training() -> Any:
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(2, kernel_initializer="ones"))
    return layer(tf.ones((1, 2)), training=True).numpy().round(4).ravel().tolist()


WITH_FLOAT64 = (
    l2_of_float64, l1_of_float64, embedding_l2_float64, huber_of_float64, poisson_of_float64,
    percentage_error_of_float64, masked_loss_of_float64,
    sparse_crossentropy_ignoring_a_class_float64, circle_loss_float64,
    grouped_query_attention_float64, gelu_of_float64, ctc_of_float64,
)  # fmt: skip
WITH_FLOAT32 = (
    layer_normalization, group_normalization, batch_normalization, batch_normalization_masked,
    gelu, attention_of_a_masked_row, hard_sigmoid_at_kinks, activity_penalty, ctc_of_padded_labels,
    reduction_mean_with_sample_weight, evaluate_with_a_short_last_batch, train_on_batch_repeated,
    masked_accuracy, accumulation_with_loss_scale, adam_with_accumulation, muon_step, lstm_dropout,
    lstm_recurrent_dropout, lstm_both_dropouts, fit_with_several_steps_per_execution,
    spectral_normalization_in_training,
)  # fmt: skip


def main(names: Sequence[str]) -> None:
    """Run those asked for, all without.

    Raises:
        ValueError: for a name that there is not.
    """
    known = [function.__name__ for function in (*WITH_FLOAT64, *WITH_FLOAT32)]
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: there is no such line; expected {', '.join(known)}.")
    for dtype, functions in (("float64", WITH_FLOAT64), ("float32", WITH_FLOAT32)):
        keras.backend.set_floatx(dtype)
        keras.mixed_precision.set_dtype_policy(dtype)  # Keras keeps the first that a layer had
        for function in functions:
            if names and function.__name__ not in names:
                continue
            try:
                found = function()
            except Exception as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                found = f"{type(error).__name__}: {(lines or [''])[0][:120]}"
            print(json.dumps({"keras": keras.__version__, function.__name__: found}))


if __name__ == "__main__":
    main(sys.argv[1:])
