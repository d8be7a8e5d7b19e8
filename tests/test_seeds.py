"""Every figure of the five teaching notebooks (systems A to E), reproduced.

Figures are compared to the digits that were printed, or, where cancellation makes the last of
them arbitrary, within the bound that ``agreement`` derives for the very formula.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import reference
from agreement import check
from agreement.bounded import BoundedArray, bounded_as
from agreement.checking import check_training_step
from agreement.expectation import expect_end_to_end
from manual_backprop import (
    SGD,
    BatchGenerator,
    CategoricalCrossentropy,
    MeanSquaredError,
    NaiveDense,
    NaiveSequential,
    SparseCategoricalCrossentropy,
    evaluate,
    fit,
    get_gradients_of_loss_wrt_weights,
    softmax_jacobian,
    update_weights,
)
from manual_backprop.activations import Relu, Softmax
from manual_backprop.datasets import digits, mnist, spiral
from manual_backprop.examples.neuron import Neuron, line_backward
from manual_backprop.examples.scalar_graph import AbsoluteError, Add, Multiply, Node, gradients
from reference.frameworks import frameworks

SPARSE = SparseCategoricalCrossentropy()
# System C's layer; the notebook writes a row per neuron and transposes.
LAYER_W = np.array([[0.2, 0.8, -0.5, 1], [0.5, -0.91, 0.26, -0.5], [-0.26, -0.27, 0.17, 0.87]]).T
LAYER_INPUTS = np.array([[1, 2, 3, 2.5], [2, 5, -1, 2], [-1.5, 2.7, 3.3, -0.8]])
UPSTREAM = np.array([[1.0, 1, 1], [2, 2, 2], [3, 3, 3]])
PROBABILITIES = np.array([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4], [0.02, 0.9, 0.08]])


def assert_within(actual: object, expected: BoundedArray) -> None:
    """Every element lies in its derived interval, and every interval is finite."""
    assert np.isfinite(expected.error).all()
    assert np.shape(actual) == expected.shape
    assert (np.abs(np.asarray(actual, np.float64) - expected.value) <= expected.error).all()


def assert_overlap(first: BoundedArray, second: BoundedArray) -> None:
    """Two formulas for one number: their intervals have a point in common, element by element."""
    assert (np.abs(first.value - second.value) <= first.error + second.error).all()


def book_network(kernel_initializer: str = "uniform", seed: int = 0) -> NaiveSequential:
    """784-512-10, ReLU then softmax."""
    generator = np.random.default_rng(seed)
    options = {"kernel_initializer": kernel_initializer, "seed": generator}
    return NaiveSequential(
        [NaiveDense(784, 512, "relu", **options), NaiveDense(512, 10, "softmax", **options)]
    )


# -- A: NaiveDense, NaiveSequential and manual gradients -------------------------------------


@pytest.mark.parametrize(
    ("initializer", "low", "high"),
    [("positive_uniform", 0, 0.1), ("uniform", -0.05, 0.05), ("unit_uniform", 0, 1)],
)
def test_the_book_network_has_four_weights_in_their_range(
    initializer: str, low: float, high: float
) -> None:
    """784-512-10 has W, b, W, b: W fills the range of its system (A, B and D, E), b is zero."""
    model = book_network(initializer)
    assert [w.shape for w in model.weights] == [(784, 512), (512,), (512, 10), (10,)]
    for W, b in (model.weights[:2], model.weights[2:]):
        assert not b.any()
        assert low <= W.min() < W.max() <= high
        # All 512·10 draws miss an end tenth with probability 0.9**5120, which is below 1e-234.
        assert W.min() < low + (high - low) / 10
        assert W.max() > high - (high - low) / 10


def test_a_layer_stores_its_input_and_its_pre_activation() -> None:
    """After a call the layer knows what it saw and what it fed to its activation."""
    layer = NaiveDense.from_weights(LAYER_W, [2.0, 3, 0.5], "relu")
    output = layer(LAYER_INPUTS)
    assert np.array_equal(layer.inputs, LAYER_INPUTS)
    assert np.array_equal(layer.pre_activation, LAYER_INPUTS @ LAYER_W + [2.0, 3, 0.5])
    assert np.array_equal(output, np.maximum(layer.pre_activation, 0))


@pytest.mark.parametrize("samples", [1, 127, 128, 129, 300])
def test_batches_are_the_ceiling_and_the_last_may_be_short(samples: int) -> None:
    """num_batches = ⌈n / 128⌉; next() deals every sample once, in order."""
    batches = BatchGenerator(np.arange(samples), np.arange(samples) % 10)
    assert batches.num_batches == math.ceil(samples / 128)
    sizes = [len(batches.next()[0]) for _ in range(batches.num_batches)]
    assert sizes == [128] * (samples // 128) + [samples % 128] * (samples % 128 > 0)
    with pytest.raises(StopIteration):
        batches.next()


def test_the_gradients_follow_the_published_formula_in_the_order_of_the_weights() -> None:
    """(p − y)/N at the logits, masked where z > 0 below: exactly these, as W, b, W, b."""
    model = book_network()
    images = np.random.default_rng(1).random((6, 784), np.float32)
    labels = np.array([3, 1, 4, 1, 5, 9])
    predictions = model(images)
    found = get_gradients_of_loss_wrt_weights(model, images, labels, predictions, SPARSE.name)
    first, second = model.layers
    delta = (predictions - np.eye(10, dtype=np.float32)[labels]) / 6
    hidden = np.where(first.pre_activation > 0, delta @ second.W.T, 0)
    wanted = [images.T @ hidden, hidden.sum(axis=0), first.output.T @ delta, delta.sum(axis=0)]
    assert all(np.array_equal(f, w) for f, w in zip(found, wanted, strict=True))
    assert [f.shape for f in found] == [w.shape for w in model.weights]


def test_the_sanity_check_against_the_tape_on_five_images() -> None:
    """Manual and Keras gradients of the book's network both lie within the derived bound."""
    model = book_network()
    images = np.random.default_rng(2).random((5, 784), np.float32)
    labels = np.array([5, 0, 4, 1, 9])
    assert check(model, images, labels, against=["keras"]).agrees
    predictions = model(images)
    manual = get_gradients_of_loss_wrt_weights(model, images, labels, predictions, SPARSE)
    tape = reference.trace(model, images, labels, SPARSE, reference.MODES["keras"])
    bounds = expect_end_to_end(model, images, labels, SPARSE).gradients
    for name, ours, theirs, bound in zip(
        model.gradient_names, manual, tape.gradients, bounds, strict=True
    ):
        print(f"{name}: largest difference {np.abs(ours - theirs).max():.3g}")
        assert_within(ours, bound)
        assert_within(theirs, bound)


def test_an_update_subtracts_a_thousandth_of_the_gradient_as_keras_sgd_does() -> None:
    """update_weights is w − 1e-3·g in place; the step with keras.optimizers.SGD agrees."""
    weight, gradient = np.array([1.0, -2, 0.5]), np.array([10.0, 0, -4])
    update_weights([gradient], [weight])
    assert np.array_equal(weight, np.array([1.0, -2, 0.5]) - 1e-3 * gradient)
    images = np.random.default_rng(3).random((5, 784), np.float32)
    assert check_training_step(book_network(), images, [5, 0, 4, 1, 9], against=["keras"]).agrees


def test_fit_honours_the_batch_size_and_prints_the_loss_every_hundred_batches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """205 samples in batches of two are 103 steps, whose loss is printed at 0 and 100."""
    sizes: list[int] = []
    model = NaiveSequential([NaiveDense(4, 3, "softmax", seed=0)])
    images = np.random.default_rng(4).random((205, 4))
    fit(model, images, np.arange(205) % 3, 1, 2, on_batch=lambda step, x, y: sizes.append(len(x)))
    assert sizes == [2] * 102 + [1]
    printed = capsys.readouterr().out
    assert [f"batch {n}:" in printed for n in range(103)] == [n in (0, 100) for n in range(103)]


def mnist_path() -> Path | None:
    """A local copy of MNIST, or None; nothing is fetched."""
    cached = Path.home() / ".keras" / "datasets" / "mnist.npz"
    given = os.environ.get("MNIST_PATH")
    return Path(given) if given else cached if cached.exists() else None


@pytest.mark.skipif(mnist_path() is None, reason="no local MNIST: set MNIST_PATH to a copy of it")
@pytest.mark.parametrize(
    ("initializer", "published"),
    [("positive_uniform", 0.81), ("positive_uniform", 0.82), ("uniform", 0.84)],
    ids=["B", "D", "A"],
)
def test_ten_epochs_on_mnist_reach_the_published_accuracy(
    initializer: str, published: float
) -> None:
    """SGD at 1e-3, batch 128, comes as close as two draws of the test set must.

    By Hoeffding an accuracy on n images strays by more than √(ln(2/δ)/2n) with probability δ;
    both measurements may, and the published one was rounded to two digits.
    """
    train, held_out = mnist(mnist_path())
    model = book_network(initializer)
    fit(model, train.images, train.labels, 10, 128, optimizer=SGD(1e-3), verbose="quiet")
    accuracy = evaluate(model, held_out.images, held_out.labels).accuracy
    spread = math.sqrt(math.log(2 / 1e-6) / (2 * len(held_out)))
    assert abs(accuracy - published) <= 2 * spread + 0.005


# -- B: the engine, on the same network -----------------------------------------------------


@pytest.mark.parametrize("shape", [(), (2, 2)], ids=["scalar", "two_by_two"])
def test_the_tape_and_the_hand_know_the_slope_of_a_line(shape: tuple[int, ...]) -> None:
    """d(2x + 3)/dx is 2 for the tape and by hand, for a scalar and elementwise."""
    tf, _ = frameworks()
    x = tf.Variable(np.random.default_rng(5).random(shape))
    with tf.GradientTape() as tape:
        y = 2 * x + 3
    assert np.array_equal(tape.gradient(y, x), np.full(shape, 2.0))
    assert np.array_equal(line_backward(np.ones(shape)), np.full(shape, 2.0))


def test_the_tape_and_the_layer_give_the_same_list_of_gradients() -> None:
    """For y = xW + b both return [∂y/∂W, ∂y/∂b], here in whole numbers and so exactly."""
    tf, _ = frameworks()
    x, W, b = np.arange(4.0).reshape(2, 2), np.array([[1.0, -2], [3, 5]]), np.array([1.0, 2])
    variables = [tf.Variable(W), tf.Variable(b)]
    with tf.GradientTape() as tape:
        y = tf.matmul(x, variables[0]) + variables[1]
    layer = NaiveDense.from_weights(W, b)
    assert np.array_equal(layer(x), y)
    layer.backward(np.ones((2, 2)))
    wanted = tape.gradient(y, variables)
    assert all(np.array_equal(f, w) for f, w in zip(layer.gradients, wanted, strict=True))
    assert [g.tolist() for g in layer.gradients] == [[[2, 2], [4, 4]], [2, 2]]


def test_the_scalar_graph_has_the_published_edges_and_chains() -> None:
    """|4 − (2·3 + 1)| = 3; edges 1, 1, 1, 2; chained ∂loss/∂w = 2 and ∂loss/∂b = 1."""
    x, w, b, y_true = Node(2.0), Node(3.0), Node(1.0), Node(4.0)
    x1 = Multiply(x, w)
    x2 = Add(x1, b)
    loss = AbsoluteError(y_true, x2)
    assert loss.value == 3
    assert (loss.backward(1.0)[1], *x2.backward(1.0), x1.backward(1.0)[1]) == (1, 1, 1, 2)
    assert (gradients(loss)[w], gradients(loss)[b]) == (2, 1)


@pytest.mark.parametrize(
    ("batch_size", "steps"), [(1, 90), (16, 6), (90, 1)], ids=["true", "mini", "full"]
)
def test_every_kind_of_gradient_descent_learns(batch_size: int, steps: int) -> None:
    """One sample, a mini-batch or the whole set per step: as many steps, and a lower loss."""
    data = digits()
    images, labels = data.images[:90], data.labels[:90]
    model = NaiveSequential([NaiveDense(64, 10, "softmax", seed=0)])
    before = evaluate(model, images, labels).loss
    seen: list[int] = []
    options = {"optimizer": SGD(0.01), "verbose": "quiet"}
    fit(model, images, labels, 1, batch_size, on_batch=lambda i, x, y: seen.append(i), **options)
    assert seen == list(range(steps))
    assert evaluate(model, images, labels).loss < before


def test_what_the_keras_original_learned_can_be_judged_here() -> None:
    """Dense(512, relu), Dense(10, softmax), rmsprop, compile and fit; then our code takes over."""
    _, keras = frameworks()
    data = digits()
    dense = keras.layers.Dense
    original = keras.Sequential([dense(512, activation="relu"), dense(10, activation="softmax")])
    original.compile(optimizer="rmsprop", loss=SPARSE.name, metrics=["accuracy"])
    original.fit(data.images[:256], data.labels[:256], epochs=1, batch_size=128, verbose=0)
    W1, b1, W2, b2 = original.get_weights()
    layers = [NaiveDense.from_weights(W1, b1, "relu"), NaiveDense.from_weights(W2, b2, "softmax")]
    model, batch = NaiveSequential(layers), data.images[:32]
    assert check(model, batch, data.labels[:32], against=["keras"]).agrees
    bound = expect_end_to_end(model, batch, data.labels[:32], SPARSE).predictions
    assert_within(original(batch), bound)
    assert_within(model(batch), bound)


# -- C: from one neuron to a network --------------------------------------------------------


def test_the_neuron_and_its_step_are_the_published_ones() -> None:
    """z = 6; dx = w, dw = x, db = 1; after a step of 0.001 the output is 5.985."""
    neuron, x = Neuron(np.array([-3.0, -1, 2]), 1.0), np.array([1.0, -2, 3])
    found = neuron.backward(1.0, x)
    assert (neuron.pre_activation(x), found.grad_b) == (6, 1)
    assert (found.grad_inputs.tolist(), found.grad_W.tolist()) == ([-3, -1, 2], [1, -2, 3])
    stepped = neuron.step(found, 0.001)
    assert stepped.W.round(3).tolist() == [-3.001, -0.998, 1.997]
    assert (round(stepped.b, 3), round(stepped.forward(x), 3)) == (0.999, 5.985)


def test_one_layer_gives_the_published_gradients() -> None:
    """Upstream rows of 1s, 2s, 3s: dinputs scale with them; dweights rows; dbiases of 6."""
    layer = NaiveDense.from_weights(LAYER_W, np.zeros(3))
    layer(LAYER_INPUTS)
    grad_inputs = layer.backward(UPSTREAM)
    row = np.array([0.44, -0.38, -0.07, 1.37])
    assert np.array_equal(grad_inputs.round(2), np.outer([1, 2, 3], row).round(2))
    grad_W, grad_b = layer.gradients
    assert np.array_equal(grad_W.round(1), np.outer([0.5, 20.1, 10.9, 4.1], [1, 1, 1]))
    assert grad_b.tolist() == [6, 6, 6]


def test_relu_passes_the_published_gradients() -> None:
    """Upstream 1…12 survives exactly where z > 0."""
    z = np.array([[1.0, 2, -3, -4], [2, -7, -1, 3], [-1, 2, 5, -1]])
    upstream = np.arange(1.0, 13).reshape(3, 4)
    found = Relu().backward(upstream, z, Relu().forward(z))
    assert found.tolist() == [[1, 2, 0, 0], [5, 0, 0, 8], [0, 10, 11, 0]]


def test_the_layer_after_a_step_has_the_published_weights() -> None:
    """With ReLU and its own output as upstream, a step of 0.001 gives every printed digit."""
    layer = NaiveDense.from_weights(LAYER_W, [2.0, 3, 0.5], "relu")
    layer.backward(layer(LAYER_INPUTS))
    update_weights(layer.gradients, layer.weights, 0.001)
    assert layer.W.round(7).tolist() == [
        [0.179515, 0.5003665, -0.262746],
        [0.742093, -0.9152577, -0.2758402],
        [-0.510153, 0.2529017, 0.1629592],
        [0.971328, -0.5021842, 0.8636583],
    ]
    assert layer.b.round(6).tolist() == [1.98489, 2.997739, 0.497389]


def test_the_softmax_jacobian_is_the_published_one() -> None:
    """At [0.7, 0.1, 0.2], to the two printed digits, and symmetric."""
    found = softmax_jacobian(np.array([0.7, 0.1, 0.2]))
    wanted = [[0.21, -0.07, -0.14], [-0.07, 0.09, -0.02], [-0.14, -0.02, 0.16]]
    assert found.round(2).tolist() == wanted


@pytest.mark.parametrize("labels", [[0, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 1, 0]]], ids=str)
@pytest.mark.parametrize("loss", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_fused_and_separate_give_the_published_gradient(loss: type, labels: list) -> None:
    """Softmax and cross-entropy, in one step or two, labels as integers or one-hot."""
    wanted = [
        [-0.1, 0.03333333, 0.06666667],
        [0.03333333, -0.16666667, 0.13333333],
        [0.00666667, -0.03333333, 0.02666667],
    ]
    targets = loss().prepare(labels, PROBABILITIES)
    fused = loss().backward_from_logits(PROBABILITIES, targets)
    grad_output = loss("probabilities").backward(PROBABILITIES, targets)
    separate = Softmax().backward(grad_output, np.log(PROBABILITIES), PROBABILITIES)
    assert fused.round(8).tolist() == wanted
    assert separate.round(8).tolist() == wanted


def test_the_spiral_has_the_published_loss_accuracy_and_cancelling_gradients() -> None:
    """Loss and accuracy to the digit; bias gradients, ours and printed, within the bound."""
    random = np.random.RandomState(0)
    data = spiral(100, 3, seed=random)
    first, second = ((0.01 * random.randn(n, 3)).astype(np.float32) for n in (2, 3))
    layers = [(first, "relu"), (second, "softmax")]
    model = NaiveSequential(NaiveDense.from_weights(W, np.zeros(3), a) for W, a in layers)
    predictions = model(data.images)
    expected = expect_end_to_end(model, data.images, data.labels, SPARSE)
    loss = SPARSE.forward(predictions, data.labels)
    assert loss == np.float32(1.0986104)
    assert_within(loss, expected.loss)
    assert (predictions.argmax(axis=1) == data.labels).mean() == 0.34
    found = get_gradients_of_loss_wrt_weights(model, data.images, data.labels, predictions, SPARSE)
    printed_1 = [-3.6055347e-04, 9.6611722e-05, -1.0367142e-04]
    printed_2 = [-1.0732794e-05, -9.4590941e-06, 2.0027626e-05]
    for index, printed in ((1, printed_1), (3, printed_2)):
        assert_within(found[index], expected.gradients[index])
        assert_within(printed, expected.gradients[index])
    independent = [-1.0729185e-05, *printed_2[1:]]
    assert_within(independent, expected.gradients[3])
    # A fixed tolerance rejects this pair of right answers, which is why bounds are derived.
    assert not np.isclose(independent[0], printed_2[0], rtol=1e-5, atol=0)
    # The bounds are no licence: all six would reject a gradient of zero.
    for index in (1, 3):
        assert (np.abs(expected.gradients[index].value) > expected.gradients[index].error).all()


# -- D and E: the walk-through, and a net with NumPy alone ------------------------------------


def test_the_accuracy_walk_through() -> None:
    """Predictions, argmax, matches and their mean, step by step, are what evaluate reports."""
    data = digits()
    model = NaiveSequential([NaiveDense(64, 10, "softmax", seed=0)])
    options = {"optimizer": SGD(0.1), "verbose": "quiet"}
    fit(model, data.images[:500], data.labels[:500], 5, 32, **options)
    images, labels = data.images[500:600], data.labels[500:600]
    predictions = model(images)
    assert predictions.shape == (100, 10)
    predicted = [max(range(10), key=row.__getitem__) for row in predictions.tolist()]
    assert predictions.argmax(axis=1).tolist() == predicted
    matches = [p == y for p, y in zip(predicted, labels.tolist(), strict=True)]
    assert (predictions.argmax(axis=1) == labels).tolist() == matches
    accuracy = evaluate(model, images, labels).accuracy
    assert accuracy == np.mean(matches)
    assert accuracy > 0.1, "better than guessing one class of ten"


def test_mean_squared_error_is_the_mean_over_all_elements() -> None:
    """Eight squares of whole numbers: divided by 8, not by the 2 samples or the 4 outputs."""
    predictions = np.array([[3.0, 0, 1, 2], [0, -3, 6, 1]])
    targets = np.array([[0.0, 0, 0, 2], [0, 0, 3, 0]])
    assert MeanSquaredError().forward(predictions, targets) == (9 + 0 + 1 + 0 + 0 + 9 + 9 + 1) / 8
    found = MeanSquaredError().backward(predictions, targets)
    assert np.array_equal(found, (predictions - targets) / 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_and_shifted_softmax_agree(dtype: str) -> None:
    """e^z / Σe^z and its shifted form lie within the sum of the bounds of the two formulas."""
    z = np.random.default_rng(6).uniform(-10, 10, (7, 5)).astype(dtype)

    def plain(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

    naive, shifted = plain(bounded_as(z)), Softmax().forward(bounded_as(z))
    assert_within(plain(z), naive)
    assert_within(Softmax().forward(z), shifted)
    assert_overlap(naive, shifted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_backward_contracts_the_full_jacobian(dtype: str) -> None:
    """(batch, K, K) contracted with a random gradient is the short formula, within bounds."""
    generator = np.random.default_rng(7)
    grad, z = (generator.normal(size=(7, 5)).astype(dtype) for _ in range(2))
    output = Softmax().forward(z)

    def contract(g, y):
        return (g[:, None, :] @ softmax_jacobian(y))[:, 0, :]

    assert softmax_jacobian(output).shape == (7, 5, 5)
    full = contract(bounded_as(grad), bounded_as(output))
    short = Softmax().backward(bounded_as(grad), None, bounded_as(output))
    assert_within(contract(grad, output), full)
    assert_within(Softmax().backward(grad, z, output), short)
    assert_overlap(full, short)


def test_an_epsilon_changes_the_cross_entropy_only_where_it_is_needed() -> None:
    """Inside the clip the plain mean of −log p_y is within the bound; p = 0 costs 16.1181."""
    loss, labels = SparseCategoricalCrossentropy("probabilities"), np.array([0, 1, 1])
    plain = -np.log(bounded_as(PROBABILITIES)[np.arange(3), labels]).mean()
    clipped = loss.forward(bounded_as(PROBABILITIES), labels)
    assert_within(loss.forward(PROBABILITIES, labels), clipped)
    assert_overlap(plain, clipped)
    impossible = loss.forward(np.array([[0.0, 1.0]]), np.array([0]))
    assert round(float(impossible), 4) == 16.1181


@pytest.mark.parametrize(
    ("loss", "activation", "epochs", "rate"),
    [(SPARSE.name, "softmax", 200, 1e-4), ("mean_squared_error", None, 100, 0.01)],
    ids=["cross_entropy", "mean_squared_error"],
)
def test_full_batch_training_with_unit_uniform_weights_reduces_the_loss(
    loss: str, activation: str | None, epochs: int, rate: float
) -> None:
    """Linear to ten classes, weights and biases in [0, 1), as many epochs as published."""
    data = digits()
    uniform = {"kernel_initializer": "unit_uniform", "bias_initializer": "unit_uniform"}
    layer = NaiveDense(64, 10, activation, seed=0, **uniform)
    assert (layer.b >= 0).all()
    assert (layer.b < 1).all()
    assert layer.b.any()
    options = {"loss": loss, "optimizer": SGD(rate), "verbose": "quiet"}
    history = fit(NaiveSequential([layer]), data.images, data.labels, epochs, len(data), **options)
    assert len(history.loss) == epochs
    assert history.loss[-1] < history.loss[epochs // 2] < history.loss[0]


def test_idx_files_become_a_trained_network(tmp_path: Path) -> None:
    """Pixels from offset 16 and labels from 8, scaled, a fifth set aside, one epoch of fit."""
    pixels = np.random.default_rng(8).integers(0, 256, (20, 28, 28), np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 10
    for name in ("train", "t10k"):
        images_header = struct.pack(">4I", 2051, 20, 28, 28)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(images_header + pixels.tobytes())
        )
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2I", 2049, 20) + labels.tobytes())
        )
    data, _ = mnist(tmp_path)
    assert np.array_equal(data.images, pixels.reshape(20, 784) / np.float32(255))
    assert np.array_equal(data.labels, labels)
    train, validation = data.split(0.2, seed=0)
    assert (len(train), len(validation)) == (16, 4)
    held_out = (validation.images, validation.labels)
    history = fit(
        book_network(), train.images, train.labels, 1, validation_data=held_out, verbose="quiet"
    )
    assert len(history.validation_accuracy) == 1
