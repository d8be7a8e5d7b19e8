"""Losses of probabilities, bits and counts: conventions, arguments, extremes, and Keras."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agreement import check
from agreement.bounded import bounded_as
from agreement.function_check import check_function
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential, activations
from manual_backprop.catalogue import every_variant
from manual_backprop.losses import (
    EPSILON,
    LOSSES,
    REDUCTIONS,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Loss,
    Poisson,
    SparseCategoricalCrossentropy,
)
from manual_backprop.typing import Array
from reference.frameworks import frameworks

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
PROBABILISTIC = {
    name: kind for name, kind in LOSSES.items() if kind.__module__.rpartition(".")[2]
    in ("binary", "crossentropy", "divergence", "focal")
}  # fmt: skip
VARIANTS = pytest.mark.parametrize("loss", every_variant(PROBABILISTIC), ids=repr)
# Expected disagreements are verdicts of their own.
FINE = {Verdict.AGREE, Verdict.KINK, Verdict.KNOWN}
EAGER_AND_GRAPH = ("keras", "keras-graph")


def draw_targets(loss: Loss, predictions: Array, seed: int = 3) -> Array:
    """Labels of the kind that the loss takes, prepared."""
    generator, shape = np.random.default_rng(seed), predictions.shape
    classes = generator.integers(0, shape[-1], shape[:-1])
    labels: dict[str, Any] = {
        "classes": classes,
        "distributions": np.eye(shape[-1])[classes],
        "bits": generator.integers(0, 2, shape),
        "counts": generator.poisson(2, shape),
    }
    return loss.prepare(labels[loss.labels], predictions)


def draw_predictions(loss: Loss, shape: tuple[int, ...], dtype: str, seed: int = 4) -> Array:
    """Smooth ones: logits, or probabilities off the simplex."""
    low = -3 if getattr(loss, "from_logits", False) else 0.05
    return np.random.default_rng(seed).uniform(low, 0.95, shape).astype(dtype)


def judge(
    loss: Loss,
    predictions: Array,
    targets: Array,
    against: tuple[str, ...] = EAGER_AND_GRAPH,
    **options: Any,
) -> None:
    """Keras agrees with every number, or is known not to."""
    report = check_function(loss, predictions, targets, against=against, **options)
    assert {v.verdict for v in report.verdicts} <= FINE, str(report)


# -- every loss, each of its arguments, on each of its paths -------------------------------


@DTYPES
@VARIANTS
def test_every_variant_agrees_with_keras(loss: Loss, dtype: str) -> None:
    """Value and gradient from probabilities (or from logits, where a variant says so)."""
    predictions = draw_predictions(loss, (5, 4), dtype)
    judge(loss, predictions, draw_targets(loss, predictions))


@DTYPES
@pytest.mark.filterwarnings("ignore:.*does not represent logits:UserWarning")
@pytest.mark.parametrize("path", ["fused", "probabilities"])
@VARIANTS
def test_every_variant_agrees_behind_its_activation(loss: Loss, path: str, dtype: str) -> None:
    """Keras takes the logits by itself, or is kept from it; losses that do not fuse have none."""
    if loss.fuses_with is None:
        assert not loss.is_fused_with("softmax")
        assert not loss.is_fused_with("sigmoid")
        return
    behind = activations.get(loss.fuses_with)
    if getattr(loss, "axis", -1) == 1 and loss.fuses_with == "softmax":
        behind = activations.Softmax(axis=1)
    logits = np.random.default_rng(5).uniform(-3, 3, (5, 4)).astype(dtype)
    subject = replace(loss, path=path)  # type: ignore[call-arg]
    judge(subject, logits, draw_targets(loss, logits), behind=behind)


@pytest.mark.parametrize("name", PROBABILISTIC)
def test_every_loss_agrees_with_xla(name: str) -> None:
    """Compiled as one kernel, value and gradient lie within the same bounds."""
    loss = PROBABILISTIC[name]()
    predictions = draw_predictions(loss, (5, 4), "float32")
    judge(loss, predictions, draw_targets(loss, predictions), ("keras-xla",))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PROBABILISTIC)
def test_every_reduction_of_weighted_and_masked_values(name: str, reduction: str) -> None:
    """Without weights, with some of them 0, with a mask, with both, and with all of them 0."""
    loss = PROBABILISTIC[name](reduction=reduction)
    predictions = draw_predictions(loss, (6, 3), "float32")
    targets = draw_targets(loss, predictions)
    weights = np.array([1.0, 0.0, 2.0, 1 / 3, 0.5, 1.0])
    mask = np.array([True, True, False, True, False, True])
    for weight in (None, weights, 0 * weights):
        for keep in (None, mask, mask & False):
            judge(loss.weighted(weight, keep), predictions, targets, ("keras",))


def test_a_mask_and_an_ignored_class_leave_out_the_rows_of_either() -> None:
    """Of four rows one is left: its value is the mean."""
    loss = SparseCategoricalCrossentropy(ignore_class=0)
    predictions = draw_predictions(loss, (4, 3), "float64")
    targets = np.array([0, 0, 1, 2])
    masked = loss.weighted(mask=[True, False, False, True])
    assert masked.forward(predictions, targets) == loss.forward(predictions[3:], targets[3:])
    wanted = np.concatenate([np.zeros((3, 3)), loss.backward(predictions[3:], targets[3:])])
    assert np.array_equal(masked.backward(predictions, targets), wanted)


@DTYPES
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("name", PROBABILISTIC)
def test_every_axis_of_three(name: str, axis: int, dtype: str) -> None:
    """Predictions of rank 3, along any axis where Keras has one, and along the last elsewhere."""
    kind = PROBABILISTIC[name]
    has_axis = "axis" in kind.__dataclass_fields__ and kind is not SparseCategoricalCrossentropy
    loss = kind(axis=axis) if has_axis else kind()
    predictions = draw_predictions(loss, (2, 3, 4), dtype)
    if loss.labels == "distributions":
        rows = np.moveaxis(predictions, loss.axis, -1)
        targets = np.moveaxis(draw_targets(kind(), rows), -1, loss.axis)
        assert np.array_equal(loss.prepare(targets, predictions), targets)
    else:
        targets = draw_targets(loss, predictions)
    judge(loss, predictions, targets, ("keras",))
    values = replace(loss, reduction="none").forward(predictions, targets)
    assert values.shape == loss.ones(predictions).shape


ENDS = (EPSILON, 1 - EPSILON, 0.0, 1.0)


@DTYPES
@VARIANTS
def test_probabilities_at_and_beside_the_clip_and_beyond(loss: Loss, dtype: str) -> None:
    """ε, 1 − ε, 0, 1 and their neighbours, ties, numbers outside [0, 1]: nothing disagrees."""
    ends = np.array(ENDS, dtype)
    beside = [np.nextafter(ends, np.array(side, dtype)) for side in (-9, 9)]
    outside = np.array([-0.5, 1.5, 0.5, 1e-30], dtype)
    numbers = np.concatenate([ends, *beside, outside])
    for shift in range(4):
        predictions = np.stack([np.roll(numbers, shift), numbers, numbers[::-1]], axis=1)
        targets = draw_targets(loss, predictions, seed=shift)
        report = check_function(loss, predictions, targets, against=["keras"])
        assert not report.any_disagreement, str(report)


@DTYPES
@VARIANTS
def test_saturated_logits(loss: Loss, dtype: str) -> None:
    """Logits 1000 apart, ties and zeros, behind the activation and from logits."""
    logits = np.array(
        [[1000, 0, -1000], [0, 0, -0.0], [88, 88, 17], [-104, 16.6, 20], [1e30, -1e30, 0]], dtype
    )
    targets = draw_targets(loss, logits)
    subjects = [(replace(loss, from_logits=True), None)] if hasattr(loss, "from_logits") else []
    if loss.fuses_with is not None:
        behind = activations.get(loss.fuses_with)
        subjects += [(replace(loss, path=path), behind) for path in ("fused", "probabilities")]  # type: ignore[call-arg, misc]
    for subject, behind in subjects:
        if getattr(subject, "axis", -1) == 1 and behind is not None:
            subject = replace(subject, axis=-1)  # type: ignore[call-arg]
        report = check_function(subject, logits, targets, against=["keras"], behind=behind)
        assert not report.any_disagreement, str(report)


@pytest.mark.parametrize("path", ["auto", "probabilities"])
@pytest.mark.parametrize("kind", [BinaryCrossentropy, BinaryFocalCrossentropy])
def test_losses_of_bits_in_a_network(kind: type[BinaryCrossentropy], path: str) -> None:
    """Behind sigmoid, Keras and the dual numbers agree with the whole backward pass."""
    layers = [NaiveDense(4, 6, "tanh", seed=0), NaiveDense(6, 3, "sigmoid", seed=1)]
    inputs = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    labels = np.random.default_rng(3).integers(0, 2, (5, 3))
    report = check(
        NaiveSequential(layers), inputs, labels, loss=kind(path), against=["keras", "dual"]
    )
    assert report.agrees, str(report)


# -- bits --------------------------------------------------------------------------------


def test_the_clip_of_bits_is_asymmetric_in_float32() -> None:
    """1 − 1e-7 rounds to 1 − 1.19e-7: a wrong 1 costs 15.94, a wrong 0 16.12; in Keras, too."""
    _, keras = frameworks()
    loss, ones = BinaryCrossentropy("probabilities"), np.ones((1, 1), np.float32)
    for predicted, cost in ((0, 16.1181), (1, 15.9424)):
        predictions, targets = predicted * ones, (1 - predicted) * ones
        own = float(loss.forward(predictions, targets))
        assert round(own, 4) == cost
        assert round(float(keras.losses.BinaryCrossentropy()(targets, predictions)), 4) == cost
        judge(loss, predictions, targets)
    assert not loss.backward(ones, 0 * ones).any()


def test_bits_do_not_feel_each_other() -> None:
    """The gradient of one output is the same whatever the others predict; off the simplex, too."""
    loss = BinaryCrossentropy("probabilities", reduction="sum")
    targets = np.array([[1.0, 0.0, 1.0]])
    one, other = (loss.backward(np.array([[0.25, p, p]]), targets) for p in (0.5, 0.9))
    assert one[0, 0] == other[0, 0] == -4 / 3


def test_a_focal_loss_without_focus_is_the_cross_entropy() -> None:
    """γ = 0 and no balancing: bit for bit the binary cross-entropy, on every path."""
    logits = np.linspace(-30, 30, 24).reshape(8, 3)
    targets = np.random.default_rng(0).integers(0, 2, logits.shape).astype(float)
    predictions = activations.get("sigmoid").forward(logits)
    plain, focal = BinaryCrossentropy(), BinaryFocalCrossentropy(gamma=0.0)
    for method in ("forward_from_logits", "backward_from_logits", "forward", "backward"):
        given = logits if method == "forward_from_logits" else predictions
        found = [getattr(loss, method)(given, targets) for loss in (plain, focal)]
        np.testing.assert_array_equal(*found)


def test_the_focal_gradient_with_respect_to_logits_is_that_of_its_probabilities() -> None:
    """Away from the clip it is ∂loss/∂p p (1 − p), although it takes one part from the logits."""
    loss = BinaryFocalCrossentropy(apply_class_balancing=True, label_smoothing=0.1)
    logits = np.random.default_rng(1).uniform(-4, 4, (5, 3))
    targets = np.random.default_rng(2).integers(0, 2, (5, 3)).astype(float)
    p = activations.get("sigmoid").forward(logits)
    bound = loss.backward_from_logits(bounded_as(p), targets, bounded_as(logits))
    through_sigmoid = loss.backward(bounded_as(p), targets) * (bounded_as(p) * (1 - bounded_as(p)))
    gap = np.abs(bound.value - through_sigmoid.value)
    # The logits that float64 holds are not those of p: p is one rounding away.
    assert (gap <= bound.error + through_sigmoid.error + 8 * np.finfo(float).eps).all()
    without = loss.backward_from_logits(p, targets)
    np.testing.assert_allclose(without, bound.value, rtol=1e-12, atol=1e-15)


def test_a_focal_loss_weighs_by_class() -> None:
    """With balancing, a 1 weighs α and a 0 weighs 1 − α; without, α changes nothing."""
    predictions, targets = np.array([[0.25], [0.75]]), np.array([[1.0], [0.0]])
    values = [
        BinaryFocalCrossentropy(**options, reduction="none").forward(predictions, targets)
        for options in ({}, {"alpha": 0.75}, {"alpha": 0.75, "apply_class_balancing": True})
    ]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[2], values[0] * [0.75, 0.25])
    assert values[0][0] == 0.75**2 * -math.log(0.25)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_a_focal_loss_has_a_gradient_where_it_is_certain_and_right(gamma: float) -> None:
    """At logits of ±50 the gradient is finite and next to nothing, where Keras' may be NaN."""
    loss = BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    targets, logits = np.array([[1.0, 0.0]]), np.array([[50.0, -50.0]])
    assert (np.abs(loss.backward(logits, targets)) < 1e-20).all()
    certain = BinaryFocalCrossentropy("probabilities", gamma=gamma)
    assert np.isfinite(certain.backward(targets, targets)).all()


def test_a_focal_loss_squashes_its_logits_whatever_made_them() -> None:
    """Behind a sigmoid "from_logits" squashes once more, as Keras does: there is no fused path."""
    loss = BinaryFocalCrossentropy(from_logits=True)
    assert not loss.is_fused_with("sigmoid")
    assert BinaryFocalCrossentropy().is_fused_with("sigmoid")
    logits = np.random.default_rng(6).uniform(-3, 3, (4, 2)).astype(np.float32)
    judge(loss, logits, draw_targets(loss, logits), behind=activations.get("sigmoid"))


# -- classes -----------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("ignored", [-1, 1, 255])
def test_ignored_rows_count_for_nothing(ignored: int, from_logits: bool, dtype: str) -> None:
    """Value and gradient are those of the other rows alone, whatever the ignored ones predict."""
    labels = np.array([0, ignored, 2, ignored, 0])
    kept = labels != ignored
    predictions = np.random.default_rng(7).uniform(0.1, 0.9, (5, 3)).astype(dtype)
    for reduction in REDUCTIONS:
        options = {"reduction": reduction, "from_logits": from_logits}
        loss = SparseCategoricalCrossentropy("probabilities", ignore_class=ignored, **options)
        judge(loss, predictions, loss.prepare(labels, predictions), ("keras",))
        plain = SparseCategoricalCrossentropy("probabilities", **options)
        hostile = predictions.copy()
        hostile[~kept] = np.nan
        gradient = loss.backward(hostile, labels)
        bound = plain.backward(bounded_as(predictions[kept]), labels[kept])
        assert (np.abs(gradient[kept] - bound.value) <= 4 * bound.error).all()
        assert not gradient[~kept].any()


def test_a_batch_of_ignored_rows_costs_nothing() -> None:
    """Loss and gradient are 0, not 0/0; so with one class, which is ignored."""
    for classes in (3, 1):
        loss, predictions = (
            SparseCategoricalCrossentropy(ignore_class=0),
            np.full((4, classes), 0.5),
        )
        labels = loss.prepare(np.zeros(4), predictions)
        assert loss.forward(predictions, labels) == 0
        assert not loss.backward(predictions, labels).any()
        judge(loss, predictions, labels)


def test_ignoring_a_class_prevents_the_fused_path() -> None:
    """Keras' operation between softmax and loss hides the logits; path="fused" is an error."""
    assert not SparseCategoricalCrossentropy(ignore_class=1).is_fused_with("softmax")
    with pytest.raises(ValueError, match="path='fused' needs None"):
        SparseCategoricalCrossentropy("fused", ignore_class=1).is_fused_with("softmax")
    loss = SparseCategoricalCrossentropy(ignore_class=1)
    logits = np.array([[1000.0, 0.0, 0.0], [1.0, 2.0, 0.5]], np.float32)
    judge(loss, logits, np.array([2, 0]), behind=activations.get("softmax"))


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_smoothed_labels_are_distributions(smoothing: float) -> None:
    """Fused with softmax, p − t sums to 0 in every row, for one class as well."""
    for classes in (1, 4):
        loss = CategoricalCrossentropy(label_smoothing=smoothing, reduction="sum")
        logits = np.random.default_rng(8).normal(size=(3, classes))
        targets = np.eye(classes)[[0] * 3]
        grad = loss.backward_from_logits(activations.get("softmax").forward(logits), targets)
        np.testing.assert_allclose(grad.sum(axis=1), 0, atol=4 * np.finfo(float).eps)
        judge(loss, logits, targets, behind=activations.get("softmax"))


def test_a_focal_loss_of_classes_has_a_weight_for_each() -> None:
    """A list weighs classes along the axis; it is as a tuple, and its length is checked."""
    loss = CategoricalFocalCrossentropy(alpha=[0.25, 0.5, 1.0], reduction="none")
    assert loss.alpha == (0.25, 0.5, 1.0)
    hash(loss)
    predictions = np.full((3, 3), 1 / 3)
    plain = CategoricalFocalCrossentropy(alpha=1.0, reduction="none")
    values = [each.forward(predictions, np.eye(3)) for each in (loss, plain)]
    np.testing.assert_array_equal(values[0], values[1] * [0.25, 0.5, 1.0])
    judge(loss, predictions.astype(np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match=r"alpha: got 3 numbers, expected 4"):
        loss.prepare(np.zeros(2), np.zeros((2, 4)))


def test_a_generalized_cross_entropy_lies_between_two_losses() -> None:
    """For q near 0 it is −log p, for q near 1 it is 1 − p."""
    predictions, labels = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([0, 1])
    nearly = [
        CategoricalGeneralizedCrossEntropy(q=q, reduction="none").forward(predictions, labels)
        for q in (1e-9, 1 - 1e-9)
    ]
    chosen = np.array([0.25, 0.5])
    np.testing.assert_allclose(nearly, [-np.log(chosen), 1 - chosen], rtol=1e-6)


@DTYPES
def test_a_generalized_cross_entropy_of_an_impossible_class(dtype: str) -> None:
    """At p = 0 the value is 1/q and the slope −∞; the other classes have none, as is known."""
    loss = CategoricalGeneralizedCrossEntropy(reduction="none")
    predictions = np.array([[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]], dtype)
    targets = loss.prepare([2, 0], predictions)
    assert loss.forward(predictions, targets)[0] == 2
    gradient = loss.backward(predictions, targets)
    assert gradient[0].tolist() == [0, 0, -np.inf]
    report = check_function(loss, predictions, targets, against=["keras"])
    assert {v.verdict for v in report.verdicts} <= {*FINE, Verdict.OVERFLOW}, str(report)
    assert [v.tensor for v in report.verdicts if v.verdict is Verdict.KNOWN] == ["grad_inputs"]


# -- likelihoods -------------------------------------------------------------------------


def test_a_divergence_is_the_cross_entropy_less_the_entropy() -> None:
    """Σ t log(t/p) = −Σ t log p + Σ t log t on the simplex, and so is 0 only where p = t."""
    generator = np.random.default_rng(9)
    p, t = generator.dirichlet(np.ones(4), (2, 6))
    divergence = KLDivergence(reduction="none").forward(p, t)
    cross = CategoricalCrossentropy("probabilities", reduction="none").forward(p, t)
    np.testing.assert_allclose(divergence, cross + (t * np.log(t)).sum(axis=1), rtol=1e-12)
    assert KLDivergence().forward(t, t) == 0


def test_a_poisson_loss_is_least_at_the_count() -> None:
    """The slope 1 − t/(p + ε) changes its sign at p = t − ε; nothing is counted below 0."""
    counts = np.array([[1.0, 2.0, 5.0]])
    loss = Poisson(reduction="sum")
    below, above = (loss.backward(counts * factor, counts) for factor in (0.99, 1.01))
    assert (below < 0).all()
    assert (above > 0).all()
    assert (loss.backward(np.full((1, 2), 7.0), np.zeros((1, 2))) == 0.5).all()


# -- bad input ---------------------------------------------------------------------------

GRID = np.full((2, 3), 0.5)
BAD: dict[str, tuple[Any, str]] = {
    "a bit beyond 1": (
        lambda: BinaryCrossentropy().prepare([[0, 1, 2], [0, 1, 0]], GRID),
        r"labels: 2.0 at \[0, 2\] is no bit: expected numbers from 0 to 1",
    ),
    "a bit below 0": (
        lambda: BinaryCrossentropy().prepare([[0, -0.5, 1], [0, 1, 0]], GRID),
        r"labels: -0.5 at \[0, 1\] is no bit: expected numbers from 0 to 1",
    ),
    "a negative count": (
        lambda: Poisson().prepare([[0, -1, 2], [0, 1, 0]], GRID),
        r"labels: -1.0 at \[0, 1\] is no count: expected numbers from 0 on",
    ),
    "an axis without classes": (
        lambda: SparseCategoricalCrossentropy(axis=0).prepare([0, 1], GRID),
        r"axis: got 0, expected -1 or 1: .* np\.moveaxis",
    ),
    "labels of another shape": (
        lambda: SparseCategoricalCrossentropy().prepare(np.zeros((2, 2)), np.zeros((2, 4, 3))),
        r"labels: has shape \(2, 2\), expected \(2, 4\) class indices or \(2, 4, 3\) one-hot",
    ),
    "distributions of another shape": (
        lambda: CategoricalCrossentropy().prepare(np.zeros((2, 4, 2)), np.zeros((2, 4, 3))),
        r"labels: has shape \(2, 4, 2\), expected \(2, 4, 3\)",
    ),
    "columns that are no distributions": (
        lambda: CategoricalCrossentropy(axis=0).prepare(np.eye(3)[:2], GRID),
        r"is not a distribution over the 2 classes",
    ),
    "no smoothing": (
        lambda: BinaryCrossentropy(label_smoothing=1.5),
        r"label_smoothing: got 1\.5, expected a number from 0 to 1",
    ),
    "a truth value for a smoothing": (
        lambda: BinaryCrossentropy(label_smoothing=True),
        r"label_smoothing: got True, expected a number from 0 to 1",
    ),
    "a negative smoothing": (
        lambda: BinaryCrossentropy(label_smoothing=-0.5),
        r"label_smoothing: got -0\.5, expected a number from 0 to 1",
    ),
    "a q of 1": (
        lambda: CategoricalGeneralizedCrossEntropy(q=1.0),
        r"q: got 1\.0, expected a number between 0 and 1",
    ),
    "a q of 0": (
        lambda: CategoricalGeneralizedCrossEntropy(q=0.0),
        r"q: got 0\.0, expected a number between 0 and 1",
    ),
    "a path": (lambda: BinaryCrossentropy("fussed"), r"did you mean 'fused'"),
    "a softmax before bits": (
        lambda: BinaryCrossentropy("fused").is_fused_with("softmax"),
        r"path='fused' needs 'sigmoid' as the last layer's activation, which is 'softmax'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_named(name: str) -> None:
    """The error names the argument, what came and what was expected."""
    use, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        use()


def test_labels_of_every_form_are_the_same() -> None:
    """Of rank 3: indices, a trailing axis of one, one-hot rows; along another axis, too."""
    indices, predictions = np.array([[0, 2], [1, 1]]), np.zeros((2, 2, 3), np.float32)
    forms = (indices, indices[..., None], np.eye(3)[indices], indices.tolist())
    for form in forms:
        found = SparseCategoricalCrossentropy().prepare(form, predictions)
        assert np.array_equal(found, indices)
    ignored = np.where(indices == 1, -1, indices)
    found = SparseCategoricalCrossentropy(ignore_class=-1).prepare(ignored, predictions)
    assert np.array_equal(found, ignored)
    rows = CategoricalCrossentropy().prepare(indices, predictions)
    assert np.array_equal(rows, np.eye(3, dtype=np.float32)[indices])
    columns = CategoricalCrossentropy(axis=1).prepare(indices, np.zeros((2, 3, 2), np.float32))
    assert np.array_equal(columns, np.moveaxis(rows, -1, 1))


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (2, 1, 3), (1, 2, 3)])
def test_one_hot_rows_are_told_from_columns_of_indices(shape: tuple[int, ...]) -> None:
    """Wherever a size of 1 stands; of a single class there are only columns."""
    predictions = np.zeros(shape)
    indices = np.arange(predictions[..., 0].size).reshape(shape[:-1])
    loss = SparseCategoricalCrossentropy()
    assert np.array_equal(loss.prepare(np.eye(shape[-1])[indices], predictions), indices)
    column = loss.prepare(np.zeros((*shape[:-1], 1)), predictions[..., :1])
    assert np.array_equal(column, 0 * indices)


def test_where_a_prediction_is_right_and_certain_the_focus_is_flat() -> None:
    """For γ < 1 its slope there is infinite, but what it multiplies has the limit 0."""
    bits = np.array([[0.0, 1.0]])
    loss = BinaryFocalCrossentropy(gamma=0.5)
    assert not loss.backward(bits, bits).any()


def test_the_gradient_passes_at_the_ends_of_a_clip_after_normalisation() -> None:
    """Otherwise both were 0: −1/q + 1 at q = 1 − ε, and 1 at ε, since these sum to 1 exactly."""
    predictions = np.array([[1 - EPSILON, EPSILON]])
    assert predictions.sum() == 1
    grad = CategoricalCrossentropy(reduction="sum").backward(predictions, np.array([[1.0, 0.0]]))
    assert grad[0, 0] < 0 < grad[0, 1]


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("gamma", [6.0, 20.0, 50.0])
def test_a_large_gamma_flushes_paths_of_the_tape(gamma: float, from_logits: bool) -> None:
    """Powers below the smallest number are multiplied by γ and b afterwards."""
    numbers = np.linspace(-30, 30, 300) if from_logits else np.linspace(0, 1, 300)
    predictions = numbers.reshape(50, 6).astype("float32")
    loss = BinaryFocalCrossentropy(gamma=gamma, from_logits=from_logits)
    for target in (0, 1):
        targets = np.full_like(predictions, target)
        report = check_function(loss, predictions, targets, against=["keras", "keras-graph"])
        assert not report.any_disagreement, report.conclusion()
