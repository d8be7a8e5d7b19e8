"""``NaiveSequential`` and gradients of whole models: order, state, sharing, no aliasing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from agreement import check
from agreement.bounded import bounded_as
from agreement.expectation import expect_end_to_end
from manual_backprop import (
    Activation,
    MeanSquaredError,
    NaiveDense,
    NaiveSequential,
    SparseCategoricalCrossentropy,
    get_gradients_of_loss_wrt_weights,
)
from manual_backprop.gradients import compute_trace

SPARSE = SparseCategoricalCrossentropy()
LABELS = np.array([2, 0, 1, 2, 1])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make_model(dtype: str = "float32") -> NaiveSequential:
    """4-6-3, ReLU then softmax."""
    generator = np.random.default_rng(0)
    options = {"kernel_initializer": "glorot_uniform", "dtype": dtype, "seed": generator}
    return NaiveSequential(
        [NaiveDense(4, 6, "relu", **options), NaiveDense(6, 3, "softmax", **options)]
    )


def make_images(dtype: str = "float32", seed: int = 1) -> np.ndarray:
    """Five samples of four features, in eighths."""
    return (np.random.default_rng(seed).integers(-16, 17, (5, 4)) / 8).astype(dtype)


def gradients_of(model: NaiveSequential, images: object, labels: object = LABELS) -> list:
    """Forward, then the gradients."""
    return get_gradients_of_loss_wrt_weights(model, images, labels, model(images), SPARSE)


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Bit for bit the same, dtypes included."""
    for f, w in zip(found, wanted, strict=True):
        assert f.dtype == w.dtype
        assert np.array_equal(f, w)


def test_weights_and_gradients_come_in_the_order_of_the_layers() -> None:
    """W, b of the first layer, then of the second: the arrays themselves, with their names."""
    model = make_model()
    first, second = model.layers
    assert all(
        w is v for w, v in zip(model.weights, [*first.weights, *second.weights], strict=True)
    )
    assert [str(n) for n in model.weight_names] == [
        "dense_1.W",
        "dense_1.b",
        "dense_2.W",
        "dense_2.b",
    ]
    assert [n.tensor for n in model.gradient_names] == ["grad_W", "grad_b"] * 2
    assert model.gradients == []
    found = gradients_of(model, make_images())
    assert all(g is h for g, h in zip(found, model.gradients, strict=True))
    assert [g.shape for g in found] == [w.shape for w in model.weights]


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_backward_is_the_chain_rule_of_the_layers(activation: str) -> None:
    """The model's backward gives the bits that the layers' backwards give in reverse."""
    model, twin = (
        NaiveSequential([NaiveDense(4, 6, "tanh", seed=0), NaiveDense(6, 3, activation, seed=1)])
        for _ in range(2)
    )
    images = make_images()
    grad = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    output = model(images)
    first, second = twin.layers
    assert np.array_equal(output, second(first(images)))
    assert np.array_equal(model.backward(grad), first.backward(second.backward(grad)))
    assert_same(model.gradients, twin.gradients)


def test_the_latest_of_two_forward_passes_wins() -> None:
    """After passes on two batches, backward differentiates the second."""
    model, fresh = make_model(), make_model()
    grad = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    model(make_images(seed=3))
    for subject in (model, fresh):
        subject(make_images())
        subject.backward(grad)
    assert_same(model.gradients, fresh.gradients)


@pytest.mark.parametrize("latest", ["another_batch", "none", "shorter_batch"])
def test_the_forward_pass_is_run_again_when_the_latest_was_on_another_batch(latest: str) -> None:
    """Gradients asked for an earlier batch are that batch's, whatever the model saw since."""
    model = make_model()
    wanted = [g.copy() for g in gradients_of(model, make_images())]
    predictions = model(make_images())
    if latest == "none":
        model = make_model()
    else:
        model(make_images(seed=3)[: 2 if latest == "shorter_batch" else 5])
    found = get_gradients_of_loss_wrt_weights(model, make_images(), LABELS, predictions, SPARSE)
    assert_same(found, wanted)


def test_a_reused_buffer_is_another_batch() -> None:
    """A batch overwritten in place after the forward pass is recognised as a new one."""
    model, buffer = make_model(), make_images(seed=3)
    model(buffer)
    buffer[...] = make_images()
    predictions = make_model()(make_images())
    found = get_gradients_of_loss_wrt_weights(model, buffer, LABELS, predictions, SPARSE)
    assert_same(found, gradients_of(make_model(), make_images()))


def test_what_reached_the_second_layer_is_another_batch() -> None:
    """The numbers between the layers, given as a batch, are not taken for what was passed."""
    square = {"output_size": 4, "kernel_initializer": "glorot_uniform"}
    model, fresh = (
        NaiveSequential(
            [NaiveDense(4, activation="tanh", seed=0, **square), NaiveDense(4, seed=1, **square)]
        )
        for _ in range(2)
    )
    model(make_images())
    between = model.records[1].inputs.copy()
    predictions, mse = fresh(between), MeanSquaredError()
    found = get_gradients_of_loss_wrt_weights(model, between, predictions + 1, predictions, mse)
    wanted = get_gradients_of_loss_wrt_weights(fresh, between, predictions + 1, predictions, mse)
    assert_same(found, wanted)


def test_another_array_type_is_another_batch() -> None:
    """Numbers after error-carrying ones are passed anew, and those of another batch as well."""
    wanted = gradients_of(make_model("float64"), make_images("float64"))
    images = bounded_as(make_images("float64"))
    model = make_model("float64")
    model(images)
    predictions = make_model("float64")(make_images("float64"))
    assert_same(
        get_gradients_of_loss_wrt_weights(
            model, make_images("float64"), LABELS, predictions, SPARSE
        ),
        wanted,
    )
    model(bounded_as(make_images("float64", seed=3)))
    found = get_gradients_of_loss_wrt_weights(
        model, images, LABELS, make_model("float64")(images), SPARSE
    )
    assert_same([g.value for g in found], wanted)


def test_nothing_of_the_callers_is_changed() -> None:
    """Images, labels and predictions hold the same numbers after the gradients are computed."""
    model, images, labels = make_model(), make_images(), LABELS.copy()
    weights = [w.copy() for w in model.weights]
    predictions = model(images)
    kept = predictions.copy()
    get_gradients_of_loss_wrt_weights(model, images, labels, predictions, SPARSE)
    assert_same([images, labels, predictions], [make_images(), LABELS, kept])
    assert_same(model.weights, weights)


def test_changing_the_callers_arrays_later_changes_no_gradient() -> None:
    """Images, predictions, labels and older gradients can be overwritten after each call."""
    wanted = [g.copy() for g in gradients_of(make_model(), make_images())]
    model, images, labels = make_model(), make_images(), LABELS.copy()
    predictions = model(images)
    kept = predictions.copy()
    predictions[...] = 7
    images[...] = 7
    found = get_gradients_of_loss_wrt_weights(model, make_images(), labels, kept, SPARSE)
    labels[...], kept[...] = 0, 7
    assert_same(found, wanted)
    for gradient in found:
        gradient[...] = 7
    assert_same(gradients_of(model, make_images()), wanted)


def test_backward_twice_gives_the_same_and_leaves_the_gradient_alone() -> None:
    """The upstream gradient is not changed, and the stored forward pass is not used up."""
    model = make_model()
    model(make_images())
    grad = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    kept = grad.copy()
    first = model.backward(grad)
    gradients = model.gradients
    assert np.array_equal(model.backward(grad), first)
    assert_same(model.gradients, gradients)
    assert np.array_equal(grad, kept)


def test_backward_needs_a_forward_pass_first() -> None:
    """A fresh model's backward says what to call."""
    with pytest.raises(ValueError, match="call the layer or the model on a batch first"):
        make_model().backward(np.zeros((5, 3)))


def shared_model(dtype: str = "float32") -> NaiveSequential:
    """4-4-4-3 in which the first layer stands in two places."""
    twice = NaiveDense(4, 4, "tanh", kernel_initializer="glorot_uniform", dtype=dtype, seed=0)
    top = NaiveDense(4, 3, "softmax", kernel_initializer="glorot_uniform", dtype=dtype, seed=1)
    return NaiveSequential([twice, twice, top])


@DTYPES
def test_a_layer_used_twice_collects_both_gradients(dtype: str) -> None:
    """Its gradients are the sums of those of two separate layers with the same weights."""
    shared, images = shared_model(dtype), make_images(dtype)
    twice, _, top = shared.layers
    apart = [
        NaiveDense.from_weights(layer.W, layer.b, layer.activation) for layer in (twice, twice, top)
    ]
    W1, b1, W2, b2, W3, b3 = gradients_of(NaiveSequential(apart), images)
    found = gradients_of(shared, images)
    # Each pair is added once, in either order, and addition commutes exactly.
    assert_same(found, [W1 + W2, b1 + b2, W3, b3])
    assert len(shared.weights) == 4
    assert shared.names == ["dense_1", "dense_1", "dense_3"]


@DTYPES
def test_keras_agrees_on_a_layer_used_twice(dtype: str) -> None:
    """The tape adds up the two uses as well, within the derived bounds."""
    report = check(shared_model(dtype), make_images(dtype), LABELS, against=["keras"])
    assert report.agrees, str(report)


LAYOUTS: dict[str, Callable[[np.ndarray], object]] = {
    "big_endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "float16": lambda x: x.astype(np.float16),
    "fortran": np.asfortranarray,
    "lists": lambda x: x.tolist(),
    "reversed": lambda x: x[::-1].copy()[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_of_images_gives_the_same_bits(layout: str) -> None:
    """Predictions and gradients do not depend on how the images lie in memory."""
    model, given = make_model(), LAYOUTS[layout](make_images())
    assert np.array_equal(model(given), make_model()(make_images()))
    assert_same(gradients_of(model, given), gradients_of(make_model(), make_images()))


def test_read_only_arguments_are_accepted() -> None:
    """Images, labels and predictions may all be read-only."""
    model, images, labels = make_model(), make_images(), LABELS.copy()
    predictions = model(images)
    for array in (images, labels, predictions):
        array.flags.writeable = False
    found = get_gradients_of_loss_wrt_weights(model, images, labels, predictions, SPARSE)
    assert_same(found, gradients_of(make_model(), make_images()))


def test_models_may_mix_layers_with_and_without_bias() -> None:
    """Three weights have three gradients in the same order, and Keras agrees with each."""
    model = NaiveSequential(
        [NaiveDense(4, 6, "tanh", use_bias=False, seed=0), NaiveDense(6, 3, "softmax", seed=1)]
    )
    assert [str(n) for n in model.weight_names] == ["dense_1.W", "dense_2.W", "dense_2.b"]
    assert check(model, make_images(), LABELS, against=["keras"]).agrees


class Halve:
    """A layer of one's own without weights: y = x/2, so ∂loss/∂x = g/2."""

    weights: tuple = ()

    def __init__(self) -> None:
        self.gradients: list[np.ndarray] = []

    def forward(self, inputs):
        return inputs / 2

    def backward(self, grad_output):
        return grad_output / 2


def test_a_layer_that_knows_only_inputs_and_incoming_gradient_fits_in() -> None:
    """A foreign class works between dense layers: the same as halving the weights above it."""
    bottom, top = NaiveDense(4, 6, "tanh", seed=0), NaiveDense(6, 3, "softmax", seed=1)
    model = NaiveSequential([bottom, Halve(), top])
    halved = NaiveDense.from_weights(top.W / 2, top.b, "softmax")
    plain = NaiveSequential([NaiveDense(4, 6, "tanh", seed=0), halved])
    found, wanted = gradients_of(model, make_images()), gradients_of(plain, make_images())
    # Powers of two are exact in every product and sum here.
    assert_same(found, [*wanted[:2], wanted[2] / 2, wanted[3]])


def test_a_layer_of_ones_own_stands_in_one_place_only() -> None:
    """Nobody could give it back what it saw in the other; two of them are fine."""
    layer = Halve()
    with pytest.raises(ValueError, match=r"layers\[1\]: Halve stands in several places"):
        NaiveSequential([layer, layer])
    assert len(NaiveSequential([layer, Halve()]).distinct_layers) == 2


def test_records_hold_the_arrays_themselves() -> None:
    """No copies, unless they are asked for."""
    model, images = make_model(), make_images()
    model.forward(images)
    assert model.records[0].inputs is images
    assert model.records[1].inputs is model.records[0].output
    grad = np.ones((5, 3), np.float32)
    model.backward(grad)
    assert model.records[1].grad_output is grad
    model.snapshots = True
    model.forward(images)
    model.backward(grad)
    assert model.records[0].inputs is not images
    assert model.records[1].grad_output is not grad


class ReluInPlace(Activation):
    """max(x, 0), which overwrites x."""

    name = "relu_in_place"

    def forward(self, inputs):
        return np.maximum(inputs, 0, out=inputs)

    def backward(self, grad_output, inputs, output):
        return grad_output * (output > 0)


def test_a_trace_has_copies_made_before_an_activation_works_in_place() -> None:
    """The record has the pre-activation as it was; the model's next records are its own."""
    layer = NaiveDense(4, 6, ReluInPlace(), seed=0)
    model = NaiveSequential([layer, NaiveDense(6, 3, "softmax", seed=1)])
    trace = compute_trace(model, make_images(), LABELS, SPARSE)
    assert np.array_equal(trace.layers[0].pre_activation, make_images() @ layer.W + layer.b)
    assert not model.snapshots


class Forgetful(NaiveDense):
    """Keeps the first of its gradients."""

    def backward(self, grad_output):
        grad = super().backward(grad_output)
        self.gradients = self.gradients[:1]
        return grad


def test_a_trace_complains_of_gradients_of_the_wrong_number() -> None:
    """By the layer's name, with what there should be."""
    model = NaiveSequential([Forgetful(4, 3, seed=0), NaiveDense(3, 3, "softmax", seed=1)])
    trace = compute_trace(model, make_images(), LABELS, SPARSE)
    ((name, complaint),) = trace.complaints.items()
    assert str(name) == "forgetful_1.gradients"
    assert "set 1 gradients, expected 2" in complaint
    names = [str(name) for name in trace.gradient_names]
    assert names == ["forgetful_1.grad_W", "dense_2.grad_W", "dense_2.grad_b"]


def test_the_bounds_see_a_fault_in_one_layer() -> None:
    """Gradients lie within their bounds, and four fifths of them do not."""
    model, images = make_model("float64"), make_images("float64")
    bounds = expect_end_to_end(model, images, LABELS, SPARSE).gradients
    found = gradients_of(model, images)
    for gradient, bound in zip(found, bounds, strict=True):
        assert (np.abs(gradient - bound.value) <= bound.error).all()
        assert (np.abs(gradient * 0.8 - bound.value) > bound.error).any()


def test_importing_the_package_loads_numpy_alone() -> None:
    """No framework, no plotting, no progress bar comes along with ``import manual_backprop``."""
    heavy = ("hypothesis", "joblib", "keras", "matplotlib", "pandas", "rich", "scipy", "sklearn")
    code = f"""
import sys
import manual_backprop
print([m for m in {(*heavy, "tensorflow", "typer")!r} if m in sys.modules])
print("numpy" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split("\n")[:2] == ["[]", "True"]


def test_training_leaves_out_the_gradient_of_the_inputs_and_nothing_else() -> None:
    """Same gradients as ``backward``; a layer or model with a backward of its own runs it whole."""
    calls = []

    class OwnLayer(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            calls.append("layer")
            return super().backward_affine(grad_pre_activation)

    class OwnModel(NaiveSequential):
        def backward(self, grad_output, *, from_logits=False):
            calls.append("model")
            return super().backward(grad_output, from_logits=from_logits)

    for bottom, kind in [(NaiveDense, NaiveSequential), (OwnLayer, OwnModel)]:
        layers = [bottom(4, 5, "tanh", seed=0), NaiveDense(5, 3, "softmax", seed=1)]
        model = kind(layers)
        model(np.ones((2, 4)))
        grad = np.arange(6, dtype=np.float32).reshape(2, 3)
        for from_logits in (False, True):
            assert model.backward(grad, from_logits=from_logits).shape == (2, 4)
            wanted = model.gradients
            calls.clear()
            model.backward_weights(grad, from_logits=from_logits)
            assert all(map(np.array_equal, model.gradients, wanted))
            assert (model.records[0].grad_inputs is None) == (bottom is NaiveDense)
            assert calls == ([] if bottom is NaiveDense else ["model", "layer"])
        model.backward(grad)
        wanted = model.gradients
        model.backward_weights(grad)
        assert all(map(np.array_equal, model.gradients, wanted))
