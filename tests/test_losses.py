"""Losses: their figures, every activation × loss against the bounds, and the forms of labels."""

from __future__ import annotations

import numpy as np
import pytest

from agreement import check
from agreement.bounded import BoundedArray, bounded_as
from agreement.cases import NETWORK_LOSSES, units_for, usual_activations
from agreement.expectation import expect_end_to_end
from manual_backprop import (
    LOSSES,
    Activation,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    NaiveDense,
    NaiveSequential,
    SparseCategoricalCrossentropy,
    get_gradients_of_loss_wrt_weights,
    losses,
)
from manual_backprop.losses import EPSILON, CrossEntropy, Loss, MeanSquaredError
from manual_backprop.losses.base import REDUCTIONS
from reference import MODES, functions

LABELS = np.array([2, 0, 1, 2, 1])
ONE_HOT = np.eye(3)[LABELS]
CROSS_ENTROPIES = [CategoricalCrossentropy, SparseCategoricalCrossentropy]
EVERY_LOSS = [
    cls(**path)
    for cls in NETWORK_LOSSES.values()
    for path in ([{}, {"path": "probabilities"}] if cls().fuses_with else [{}])
]
# With a loss that is not defined everywhere, activations whose outputs are positive.
PAIRS = [
    (activation, loss)
    for activation in usual_activations()
    for loss in EVERY_LOSS
    if loss.domain == Loss.domain or activation in ("sigmoid", "softmax")
]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LOSS = pytest.mark.parametrize("loss", EVERY_LOSS, ids=repr)


def make_model(
    activation: str | Activation, dtype: str = "float32", seed: int = 0
) -> NaiveSequential:
    """4-6-3 with tanh below, so that no kink lies between the loss and the first weights."""
    generator = np.random.default_rng(seed)
    options = {"kernel_initializer": "glorot_uniform", "dtype": dtype, "seed": generator}
    units = units_for(activation, 3)
    layers = [NaiveDense(4, 6, "tanh", **options), NaiveDense(6, units, activation, **options)]
    return NaiveSequential(layers)


def make_images(dtype: str = "float32") -> np.ndarray:
    """Five samples of four features."""
    return np.random.default_rng(1).normal(size=(5, 4)).astype(dtype)


def make_probabilities(dtype: str = "float64") -> np.ndarray:
    """Five rows in (0, 1); unless normalised, a loss may not count on their sums."""
    return np.random.default_rng(2).uniform(0.1, 0.9, (5, 3)).astype(dtype)


def assert_within(actual: np.ndarray, expected: BoundedArray) -> None:
    """Every element lies in its derived interval, and every interval is finite."""
    assert np.isfinite(expected.error).all()
    assert (np.abs(np.asarray(actual, np.float64) - expected.value) <= expected.error).all()


@DTYPES
@pytest.mark.parametrize(("activation", "loss"), PAIRS, ids=repr)
def test_every_activation_and_loss_has_gradients_within_the_bounds(
    activation: str | Activation, loss: Loss, dtype: str
) -> None:
    """get_gradients_of_loss_wrt_weights lies within the derived bound, in the weights' order."""
    model, images = make_model(activation, dtype), make_images(dtype)
    found = get_gradients_of_loss_wrt_weights(model, images, LABELS, model(images), loss)
    targets = loss.prepare(LABELS, model(images))
    bounds = expect_end_to_end(model, images, targets, loss).gradients
    for gradient, weight, bound in zip(found, model.weights, bounds, strict=True):
        assert (gradient.shape, gradient.dtype) == (weight.shape, np.dtype(dtype))
        assert_within(gradient, bound)


@LOSS
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_keras_agrees_with_every_loss(activation: str, loss: Loss) -> None:
    """The same loss class of Keras gives loss and gradients within the bounds, on each path."""
    report = check(make_model(activation), make_images(), LABELS, loss=loss, against=["keras"])
    assert report.agrees, str(report)


@pytest.mark.parametrize("cls", CROSS_ENTROPIES, ids=lambda cls: cls.name)
def test_a_cross_entropy_fuses_with_softmax_alone(cls: type[CrossEntropy]) -> None:
    """By default it fuses behind softmax; "probabilities" never does, and "fused" insists."""
    assert [cls().is_fused_with(name) for name in ("sigmoid", "softmax", "")] == [
        False,
        True,
        False,
    ]
    assert not cls("probabilities").is_fused_with("softmax")
    assert cls("fused").is_fused_with("softmax")
    with pytest.raises(ValueError, match=r"loss: path='fused' needs 'softmax'.*'sigmoid'"):
        cls("fused").is_fused_with("sigmoid")


@pytest.mark.parametrize("cls", CROSS_ENTROPIES, ids=lambda cls: cls.name)
def test_the_fused_path_survives_saturation(cls: type[CrossEntropy]) -> None:
    """With logits 1000 apart the fused loss is exactly 1000 and its gradient exactly ±1."""
    logits, predictions = np.array([[1000.0, 0.0]]), np.array([[1.0, 0.0]])
    targets = cls().prepare([1], predictions)
    assert cls().forward_from_logits(logits, targets) == 1000
    assert cls().backward_from_logits(predictions, targets).tolist() == [[1, -1]]


@pytest.mark.parametrize("cls", CROSS_ENTROPIES, ids=lambda cls: cls.name)
def test_a_clipped_probability_has_no_gradient(cls: type[CrossEntropy]) -> None:
    """Beyond the clip of 1e-7 the gradient through a probability is zero; at equality it passes."""
    loss = cls("probabilities")
    beyond = np.array([[0.0, 1.0]])
    assert loss.backward(beyond, loss.prepare([0], beyond)).tolist() == [[0, 0]]
    edge = np.array([[EPSILON, 1 - EPSILON]])
    assert loss.backward(edge, loss.prepare([0], edge))[0, 0] < 0


def test_on_the_simplex_the_cross_entropies_have_one_gradient() -> None:
    """Where rows sum to exactly 1 both overlap with the textbook's (1 − y/p)/N."""
    on = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.25, 0.0625, 0.6875]])
    labels, exact = np.array([2, 0, 1]), bounded_as(on)
    formula = (1 - bounded_as(np.eye(3)[labels]) / exact) / 3
    for cls in CROSS_ENTROPIES:
        loss = cls("probabilities")
        targets = loss.prepare(labels, on)
        bound = loss.backward(exact, targets)
        assert_within(loss.backward(on, targets), bound)
        assert (np.abs(bound.value - formula.value) <= bound.error + formula.error).all()


def test_off_the_simplex_sparse_clips_before_it_normalises() -> None:
    """Above 1 the sparse loss has no gradient; the categorical one normalises such rows first."""
    rows = 2 * make_probabilities()
    clipped = rows > 1
    assert clipped.any()
    sparse = SparseCategoricalCrossentropy("probabilities").backward(rows, LABELS)
    assert np.array_equal(sparse == 0, clipped)
    assert (CategoricalCrossentropy("probabilities").backward(rows, ONE_HOT) != 0).all()


def test_the_mean_absolute_error_chooses_zero_at_its_kink() -> None:
    """Sign over the number of elements: up, zero where prediction and target are equal, down."""
    predictions, targets = np.array([[3.0, 1], [0, 2]]), np.array([[1.0, 1], [2, 2]])
    assert MeanAbsoluteError().forward(predictions, targets) == 1
    assert MeanAbsoluteError().backward(predictions, targets).tolist() == [[0.25, 0], [-0.25, 0]]


FORMS = {
    "big_endian": LABELS.astype(">i4"),
    "column": LABELS[:, None],
    "floats": LABELS.astype(float),
    "fortran_one_hot": np.asfortranarray(ONE_HOT),
    "list": LABELS.tolist(),
    "one_hot_booleans": ONE_HOT.astype(bool),
    "one_hot_floats": ONE_HOT,
    "one_hot_integers": ONE_HOT.astype(int),
    "one_hot_lists": ONE_HOT.tolist(),
    "strided": np.repeat(LABELS, 2)[::2],
    "uint8": LABELS.astype(np.uint8),
}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("cls", CROSS_ENTROPIES, ids=lambda cls: cls.name)
def test_every_form_of_class_labels_means_the_same(cls: type[CrossEntropy], form: str) -> None:
    """Indices or one-hot rows, in any dtype or layout, give bit-identical targets."""
    predictions = make_probabilities("float32")
    targets = cls().prepare(FORMS[form], predictions)
    plain = cls().prepare(LABELS, predictions)
    assert targets.dtype == plain.dtype
    assert np.array_equal(targets, plain)
    sparse = cls is SparseCategoricalCrossentropy
    assert np.array_equal(plain, LABELS if sparse else ONE_HOT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regression_targets_are_rows_a_column_or_classes(dtype: str) -> None:
    """(N, C) numbers stay, (N,) numbers become a column for one output, indices one-hot rows."""
    loss, wide, narrow = losses.get("mean_squared_error"), np.zeros((5, 3), dtype), np.zeros((5, 1))
    rows = make_probabilities()
    assert np.array_equal(loss.prepare(rows, wide), rows.astype(dtype))
    assert np.array_equal(loss.prepare(LABELS, wide), ONE_HOT)
    assert np.array_equal(loss.prepare(LABELS / 8, narrow), LABELS[:, None] / 8)
    assert loss.prepare(LABELS, wide).dtype == dtype


@pytest.mark.parametrize("form", ["distributions", "soft_list"])
def test_categorical_labels_may_be_distributions(form: str) -> None:
    """Rows that sum to 1 are taken as they are, and their gradient is (p − t)/N."""
    soft = np.array([[0.5, 0.25, 0.25]] * 5)
    loss, predictions = CategoricalCrossentropy(), np.full((5, 3), 0.125)
    targets = loss.prepare(soft.tolist() if form == "soft_list" else soft, predictions)
    assert np.array_equal(targets, soft)
    assert np.array_equal(loss.backward_from_logits(predictions, targets), (0.125 - soft) / 5)


@LOSS
def test_a_loss_changes_neither_predictions_nor_labels(loss: Loss) -> None:
    """Forward and backward leave predictions, targets and the caller's labels as they were."""
    labels, predictions = LABELS.copy(), make_probabilities()
    targets = loss.prepare(labels, predictions)
    kept = targets.copy()
    gradient = loss.backward(predictions, targets)
    loss.forward(predictions, targets)
    if loss.fuses_with:
        gradient = loss.backward_from_logits(predictions, targets)
        loss.forward_from_logits(predictions, targets)
    gradient[...] = 7
    assert np.array_equal(labels, LABELS)
    assert np.array_equal(targets, kept)
    assert np.array_equal(predictions, make_probabilities())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_found_by_name_class_and_instance(name: str) -> None:
    """All three give the loss of that name, and an instance is kept as it is."""
    cls = LOSSES[name]
    instance = cls()
    assert losses.get(instance) is instance
    assert type(losses.get(name)) is type(losses.get(cls)) is cls
    assert repr(instance) == name


# Shapes of values, and of what weights or mask may be for them.
WEIGHT_SHAPES = [
    ((4,), [(4,), (4, 1), (1,), ()]),
    ((4, 3), [(4, 3), (4, 3, 1), (4, 1), ()]),
    ((4, 1), [(4, 1), (4,), (4, 1, 1), ()]),
    ((2, 3, 2), [(2, 3, 2), (2, 3, 2, 1), (2, 1, 1)]),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("values", "shape"), [(values, shape) for values, shapes in WEIGHT_SHAPES for shape in shapes]
)
def test_weights_and_masks_of_every_shape_count_as_in_keras(
    values: tuple[int, ...], shape: tuple[int, ...], reduction: str
) -> None:
    """A 1 at the end, or one number for several values: each alone, and both together."""
    generator = np.random.default_rng(0)
    predictions, targets = generator.normal(size=(2, *values, 5)).astype("float32")
    weight, mask = generator.uniform(0.5, 2, shape), generator.random(shape) < 0.7
    ways = [(weight, None), (None, mask), (weight, mask)]
    for given in ways if len(shape) in (len(values), len(values) + 1) else ways[:1]:
        loss = MeanSquaredError(reduction=reduction).weighted(*given)
        found = loss.forward(predictions, targets), loss.backward(predictions, targets)
        theirs = functions.loss(loss, predictions, targets, MODES["keras"])
        assert np.ravel(found[0]) == pytest.approx(np.ravel(theirs[0]), rel=1e-5)
        assert found[1] == pytest.approx(theirs[1], rel=1e-4, abs=1e-6)


def test_a_column_of_weights_by_hand() -> None:
    """(1 · 2.5 + 2 · 12.5) / 2."""
    loss = losses.get("mse").weighted([[1.0], [2.0]])
    predictions = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert loss.forward(predictions, np.zeros((2, 2))) == 13.75


@pytest.mark.parametrize("shape", [(3,), (1, 4), (4, 2), (4, 1, 1), (0,)])
@pytest.mark.parametrize("argument", ["sample_weight", "mask"])
def test_weights_that_do_not_fit_are_refused(argument: str, shape: tuple[int, ...]) -> None:
    """Too few, too many, or as a row: NumPy would make a square of some."""
    loss = MeanSquaredError().weighted(**{argument: np.ones(shape)})
    for compute in (loss.forward, loss.backward):
        with pytest.raises(ValueError, match=rf"{argument}: has shape .*expected \(4,\)"):
            compute(np.ones((4, 2)), np.zeros((4, 2)))


@pytest.mark.parametrize("delta", [-1.0, 0.0, np.nan, np.inf])
def test_a_huber_without_a_square_is_refused(delta: float) -> None:
    """Where δ < 0 the slope would be that of a clip with its ends swapped."""
    with pytest.raises(ValueError, match=r"delta: got .*expected a positive number"):
        losses.Huber(delta=delta)
