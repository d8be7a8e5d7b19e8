"""``NaiveDense``: what it stores, what it accepts, and that it keeps its hands off the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from agreement.bounded import BoundedArray, bounded_as
from agreement.cases import units_for, usual_activations
from agreement.expectation import bounded_copy
from manual_backprop import ACTIVATIONS, Activation, NaiveDense, NaiveSequential
from manual_backprop.initializers import INITIALIZERS
from manual_backprop.layers import _outer, ends_at_weights, has_steps

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ACTIVATION = pytest.mark.parametrize("activation", usual_activations(), ids=str)


def make_layer(activation: str | Activation | None = "tanh", dtype: str = "float32") -> NaiveDense:
    """A small layer with a bias that is not zero."""
    units = units_for(activation, 3)
    return NaiveDense(4, units, activation, bias_initializer="normal", dtype=dtype, seed=0)


def make_batch(dtype: str = "float32", seed: int = 1) -> np.ndarray:
    """Five samples of four features; eighths, so that every dtype holds them exactly."""
    return (np.random.default_rng(seed).integers(-16, 17, (5, 4)) / 8).astype(dtype)


def make_grad(dtype: str = "float32") -> np.ndarray:
    """A random gradient with respect to the output; eighths as well."""
    return (np.random.default_rng(2).integers(-16, 17, (5, 3)) / 8).astype(dtype)


def run(layer: NaiveDense, inputs: object, grad_output: object) -> list[np.ndarray]:
    """Output, gradient with respect to the inputs, and the weights' gradients."""
    output = layer(inputs)
    return [output, layer.backward(grad_output), *layer.gradients]


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Bit for bit the same, dtypes included."""
    for f, w in zip(found, wanted, strict=True):
        assert f.dtype == w.dtype
        assert np.array_equal(f, w)


def assert_within(actual: np.ndarray, expected: BoundedArray) -> None:
    """Every element lies in its derived interval."""
    assert (np.abs(actual.astype(np.float64) - expected.value) <= expected.error).all()


@DTYPES
@ACTIVATION
def test_forward_and_backward_lie_within_the_derived_bounds(
    activation: str | Activation, dtype: str
) -> None:
    """Against the formulas in einsum, error-carrying: for a random gradient, in both dtypes."""
    layer, x, g = make_layer(activation, dtype), make_batch(dtype), make_grad(dtype)
    output, grad_inputs, grad_W, grad_b = run(layer, x, g)
    exact = bounded_copy(NaiveSequential([layer])).layers[0]
    z = np.einsum("ni,ij->nj", bounded_as(x), exact.W) + exact.b
    y = layer.activation.forward(z)
    d = layer.activation.backward(bounded_as(g), z, y)
    assert_within(output, y)
    assert_within(grad_inputs, np.einsum("nj,ij->ni", d, exact.W))
    assert_within(grad_W, np.einsum("ni,nj->ij", bounded_as(x), d))
    assert_within(grad_b, d.sum(axis=0))
    assert {a.dtype for a in (output, grad_inputs, grad_W, grad_b)} == {np.dtype(dtype)}


def test_backward_differentiates_the_latest_forward_pass() -> None:
    """After passes on two batches the gradients are those of the second alone."""
    layer, fresh = make_layer(), make_layer()
    layer(make_batch(seed=3))
    assert_same(run(layer, make_batch(), make_grad()), run(fresh, make_batch(), make_grad()))


def test_two_backward_passes_do_not_add_up() -> None:
    """Each backward pass starts from zero and makes new arrays; earlier ones stay as they were."""
    layer = make_layer()
    layer(make_batch())
    layer.backward(make_grad())
    first = layer.gradients
    kept = [g.copy() for g in first]
    layer.backward(2 * make_grad())
    assert_same(first, kept)
    assert_same(layer.gradients, [2 * g for g in kept])


@pytest.mark.parametrize("method", ["backward", "backward_activation", "backward_affine"])
def test_backward_needs_a_forward_pass_first(method: str) -> None:
    """Without a stored forward pass every backward step says what to call."""
    with pytest.raises(ValueError, match="call the layer or the model on a batch first"):
        getattr(make_layer(), method)(make_grad())


def test_half_a_forward_pass_is_none() -> None:
    """Nothing can be differentiated after the first step, or where the second has failed."""
    layer = make_layer()
    layer.affine(make_batch())
    with pytest.raises(ValueError, match="no stored forward pass"):
        layer.backward_affine(make_grad())
    layer.activation = Activation()  # has no forward
    with pytest.raises(NotImplementedError):
        layer(make_batch())
    with pytest.raises(ValueError, match="no stored forward pass"):
        layer.backward(make_grad())


def test_a_gradient_of_another_array_type_passes_unchanged() -> None:
    """Through a layer that saw plain numbers."""
    layer = make_layer("linear", "float64")
    layer(make_batch("float64"))
    grad = make_grad("float64")
    found = layer.backward(bounded_as(grad))
    assert isinstance(found, BoundedArray)
    assert np.array_equal(found.value, layer.backward(grad))


class OwnForward(NaiveDense):
    """A forward of its own."""

    def forward(self, inputs: np.ndarray) -> np.ndarray:
        return super().forward(inputs)


class OwnBackward(NaiveDense):
    """A backward of its own."""

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return super().backward(grad_output)


class OwnStep(NaiveDense):
    """A step of its own."""

    def backward_affine(self, grad_pre_activation: np.ndarray) -> np.ndarray:
        return super().backward_affine(grad_pre_activation)


def test_a_layer_has_steps_unless_it_overrides_what_joins_them() -> None:
    """In its class or by itself; and it ends at its weights unless the last step is its own."""
    assert has_steps(make_layer())
    assert ends_at_weights(make_layer())
    assert not has_steps(object())
    for kind in (OwnForward, OwnBackward):
        assert not has_steps(kind(2, 2))
        assert not ends_at_weights(kind(2, 2))
    assert has_steps(OwnStep(2, 2))
    assert not ends_at_weights(OwnStep(2, 2))
    for name, keeps_steps in (("forward", False), ("backward", False), ("backward_affine", True)):
        layer = make_layer()
        setattr(layer, name, getattr(layer, name))
        assert has_steps(layer) == keeps_steps
        assert not ends_at_weights(layer)


@ACTIVATION
def test_nothing_of_the_callers_is_changed(activation: str | Activation) -> None:
    """Inputs and gradient hold the same numbers after a pass as before."""
    x, g = make_batch(), make_grad()
    run(make_layer(activation), x, g)
    assert_same([x, g], [make_batch(), make_grad()])


@ACTIVATION
def test_changing_the_callers_arrays_later_changes_no_gradient(
    activation: str | Activation,
) -> None:
    """Inputs, output, upstream and returned gradients can be overwritten after each call."""
    wanted = run(make_layer(activation), make_batch(), make_grad())
    layer, x, g = make_layer(activation), make_batch(), make_grad()
    output = layer(x)
    x[...] = 7
    output[...] = 7
    grad_inputs = layer.backward(g)
    g[...] = 7
    grad_inputs[...] = 7
    assert_same(layer.gradients, wanted[2:])
    assert np.array_equal(layer.backward(make_grad()), wanted[1])


def test_from_weights_copies() -> None:
    """Changing the arrays that a layer was made from does not change the layer, nor back."""
    W, b = np.ones((4, 3), np.float32), np.ones(3, np.float32)
    layer = NaiveDense.from_weights(W, b)
    W[...], b[...] = 7, 7
    assert np.array_equal(layer.W, np.ones((4, 3)))
    assert np.array_equal(layer.b, np.ones(3))
    layer.W[...] = 5
    assert np.array_equal(W, np.full((4, 3), 7))


def test_without_a_bias_there_is_one_weight_and_one_gradient() -> None:
    """use_bias=False computes x W, as the layer with a zero bias does."""
    bare, zero = (NaiveDense(4, 3, "tanh", use_bias=b, seed=0) for b in (False, True))
    assert bare.b is None
    assert (bare.weight_names, zero.weight_names) == (["W"], ["W", "b"])
    found, wanted = (run(layer, make_batch(), make_grad()) for layer in (bare, zero))
    assert len(bare.weights) == len(bare.gradients) == 1
    assert_same(found, wanted[:3])
    assert_same(
        run(NaiveDense.from_weights(bare.W, None, "tanh"), make_batch(), make_grad()), found
    )


def lists(x: np.ndarray) -> object:
    """Nested lists of floats."""
    return x.tolist()


def fortran(x: np.ndarray) -> object:
    """Columns first."""
    return np.asfortranarray(x)


def strided(x: np.ndarray) -> object:
    """Every second element of a larger array, rows reversed twice."""
    wide = np.zeros((2 * x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[::-2, ::2] = x
    return wide[::-2, ::2]


def read_only(x: np.ndarray) -> object:
    """Not writeable."""
    x = x.copy()
    x.flags.writeable = False
    return x


def big_endian(x: np.ndarray) -> object:
    """The other byte order."""
    return x.astype(x.dtype.newbyteorder(">"))


def other_float(x: np.ndarray) -> object:
    """The dtype that the layer does not have; eighths survive the conversion."""
    return x.astype(np.float64 if x.dtype == np.float32 else np.float32)


def half(x: np.ndarray) -> object:
    """float16; eighths survive the conversion."""
    return x.astype(np.float16)


LAYOUTS = [big_endian, fortran, half, lists, other_float, read_only, strided]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@DTYPES
def test_every_layout_of_a_batch_is_accepted(dtype: str, layout: Callable) -> None:
    """However a batch is stored, the output is bit-identical and the gradients are in bound."""
    x, g = make_batch(dtype), make_grad(dtype)
    wanted = run(make_layer(dtype=dtype), x, g)
    output, grad_inputs, *gradients = run(make_layer(dtype=dtype), layout(x), layout(g))
    assert np.array_equal(output, wanted[0])
    # A gradient is trusted as it lies in memory, and BLAS may then add in another order.
    exact = make_layer(dtype=dtype)
    exact(x)
    bound = bounded_copy(NaiveSequential([exact])).layers[0]
    bound.inputs, bound.pre_activation = bounded_as(x), bounded_as(exact.pre_activation)
    bound.output = bounded_as(exact.output)
    allowed = [bound.backward(bounded_as(g)), *bound.gradients]
    for found, interval in zip([grad_inputs, *gradients], allowed, strict=True):
        assert found.dtype == dtype
        assert_within(found, interval)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_of_weights_gives_the_same_bits(layout: Callable) -> None:
    """A layer made from lists, strided or foreign-endian weights computes the same bits."""
    W, b = make_batch()[:4, :3], np.array([0.5, -1, 2], np.float32)
    as_given = layout(W)
    wide = np.asarray(as_given).dtype == np.float64  # as lists of floats are, to NumPy
    layer = NaiveDense.from_weights(as_given, layout(b[None])[0], "relu")
    plain = NaiveDense.from_weights(W.astype("float64" if wide else "float32"), b, "relu")
    assert_same(layer.weights, plain.weights)
    x = make_batch(layer.dtype.name)
    assert_same(run(layer, x, make_grad(layer.dtype.name)), run(plain, x, make_grad(layer.dtype)))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint8", "uint64"])
def test_whole_numbers_are_welcome(dtype: str) -> None:
    """Integer and boolean inputs give the bits that the same floats give."""
    x = np.random.default_rng(4).integers(0, 2, (5, 4)).astype(dtype)
    found = run(make_layer(), x, make_grad())
    assert_same(found, run(make_layer(), x.astype(np.float32), make_grad()))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("glorot_uniform", -math.sqrt(6 / 90), math.sqrt(6 / 90)),
        ("positive_uniform", 0, 0.1),
        ("uniform", -0.05, 0.05),
        ("unit_uniform", 0, 1),
        ("zeros", 0, 0),
    ],
)
@DTYPES
def test_initialisers_draw_the_shape_in_their_range(
    dtype: str, name: str, low: float, high: float
) -> None:
    """2000 draws stay within the range, in the layer's dtype, and come near both of its ends."""
    W = NaiveDense(40, 50, kernel_initializer=name, dtype=dtype, seed=0).W
    assert (W.shape, W.dtype) == ((40, 50), np.dtype(dtype))
    low_rounded, high_rounded = (np.dtype(dtype).type(end) for end in (low, high))
    assert (low_rounded <= W).all()
    assert (high_rounded >= W).all()
    # An end tenth stays empty with probability 0.9**2000, below 1e-91.
    assert W.min() <= low + (high - low) / 10
    assert W.max() >= high - (high - low) / 10


@DTYPES
def test_the_normal_initialiser_is_the_generators_scaled(dtype: str) -> None:
    """Each weight is 0.01 times NumPy's standard normal of the same seed, rounded once."""
    W = NaiveDense(40, 50, kernel_initializer="normal", dtype=dtype, seed=3).W
    draws = np.random.default_rng(3).standard_normal((40, 50))
    assert np.array_equal(W, (0.01 * draws).astype(dtype))


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_a_seed_repeats_and_a_generator_moves_on(name: str) -> None:
    """The same whole number gives the same weights; a shared Generator gives new ones."""

    def draw(seed: int | np.random.Generator) -> np.ndarray:
        return NaiveDense(4, 3, kernel_initializer=name, seed=seed).W

    generator = np.random.default_rng(5)
    first, second = draw(generator), draw(generator)
    assert np.array_equal(first, draw(5))
    assert np.array_equal(first, draw(np.random.default_rng(5)))
    always_the_same = name in ("constant", "identity", "ones", "zeros")
    assert np.array_equal(first, second) == always_the_same
    assert np.array_equal(draw(5), draw(6)) == always_the_same


def test_a_callable_initialiser_gets_shape_generator_and_dtype() -> None:
    """Kernel and bias are asked for in this order, and what comes back is copied."""
    seen: list[tuple] = []
    kept: list[np.ndarray] = []

    def draw(shape, generator, dtype):
        seen.append((shape, type(generator), dtype))
        kept.append(np.full(shape, 0.5))
        return kept[-1]

    layer = NaiveDense(4, 3, kernel_initializer=draw, bias_initializer=draw, seed=0)
    single = np.dtype("float32")
    assert seen == [((4, 3), np.random.Generator, single), ((3,), np.random.Generator, single)]
    kept[0][...], kept[1][...] = 7, 7
    assert np.array_equal(layer.W, np.full((4, 3), 0.5))
    assert np.array_equal(layer.b, np.full(3, 0.5))


@pytest.mark.parametrize(
    "activation", ["class", "instance", "name", "none"], ids=lambda kind: f"by_{kind}"
)
def test_an_activation_is_found_however_it_is_given(activation: str) -> None:
    """Name, class and instance mean the same; None means linear."""
    relu = ACTIVATIONS["relu"]
    given = {"class": relu, "instance": relu(), "name": "relu", "none": None}[activation]
    layer = NaiveDense(4, 3, given)
    assert layer.activation == ACTIVATIONS["linear" if given is None else "relu"]()
    assert repr(layer) == f"NaiveDense(4, 3, {layer.activation.name})"


@pytest.mark.parametrize("carrying", [(True, True), (True, False), (False, True)])
def test_single_samples_that_carry_errors_are_multiplied_once(carrying: tuple[bool, bool]) -> None:
    """One product each, and no sum: its bound is that of the product."""
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(1, n)).astype(np.float32) for n in (3, 4)]
    one, other = (bounded_as(x) if c else x for x, c in zip(rows, carrying, strict=True))
    found, expected = _outer(one, other), bounded_as(rows[0]).T * bounded_as(rows[1])
    np.testing.assert_array_equal(found.value, expected.value)
    np.testing.assert_array_equal(found.error, expected.error)
    assert found.terms == 0
