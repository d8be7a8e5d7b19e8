"""Losses of overlap, directions and sequences: figures, conventions, extremes, and Keras."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

from agreement.bounded import bounded_as
from agreement.function_check import check_function
from agreement.verdicts import Verdict
from manual_backprop.losses import (
    CTC,
    EPSILON,
    Circle,
    CosineSimilarity,
    Dice,
    Loss,
    Tversky,
)
from manual_backprop.typing import Array

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERY_MODE = ["keras", "keras-graph", "keras-xla"]
FINE = {Verdict.AGREE, Verdict.KINK, Verdict.KNOWN}


def judge(loss: Loss, predictions: Array, targets: Array) -> None:
    """Eager, graph and XLA agree with every number, or are known not to."""
    report = check_function(loss, predictions, targets, against=EVERY_MODE)
    assert {v.verdict for v in report.verdicts} <= FINE, str(report)


# -- overlap -----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (1, 2, 3)])
@pytest.mark.parametrize("kind", [Dice, Tversky])
def test_overlap_over_any_axes(kind: type[Dice | Tversky], axis: object) -> None:
    """Images of four axes, or rows; one value for each place that is not summed over."""
    shape = (2, 3, 2, 1) if axis == (1, 2, 3) else (3, 4)
    generator = np.random.default_rng(0)
    predictions = generator.uniform(0, 1, shape).astype(np.float32)
    targets = generator.integers(0, 2, shape).astype(np.float32)
    loss = kind(axis=axis, reduction="none")
    judge(loss, predictions, loss.prepare(targets, predictions))


@DTYPES
@pytest.mark.parametrize("loss", [Dice(), Tversky(), Dice(axis=-1), Tversky(axis=-1)], ids=repr)
def test_empty_sets_and_perfect_overlap(loss: Loss, dtype: str) -> None:
    """Nothing there and nothing predicted costs 1, for the epsilon below; all right costs 0."""
    nothing, rows = np.zeros((2, 3), dtype), np.eye(3, dtype=dtype)[:2]
    for predictions, targets in itertools.product((nothing, rows), repeat=2):
        report = check_function(loss, predictions, targets, against=EVERY_MODE)
        assert not report.any_disagreement, str(report)
    assert loss.forward(nothing, nothing) == 1
    assert 0 <= loss.forward(np.eye(3), np.eye(3)) < EPSILON


def test_tversky_weighs_false_positives_by_alpha() -> None:
    """As documentation and paper have it: 1 right, 2 false positives, 1 false negative."""
    predictions, targets = np.array([[1.0, 0, 1, 1]]), np.array([[1.0, 1, 0, 0]])
    value = Tversky(alpha=0.1, beta=0.9).forward(predictions, targets)
    assert value == 1 - 1 / (1 + 0.1 * 2 + 0.9 * 1 + EPSILON)


# -- directions --------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("axis", [-1, 0])
def test_directions_of_any_length(axis: int, dtype: str) -> None:
    """Zero, tiny, around epsilon, usual, huge and one-hot vectors, on either side."""
    lengths = [0.0, 1e-30, 0.5 * EPSILON, 2 * EPSILON, 1.0, 1e10, 1e15, 1e30]
    rows = np.array([[3.0, -4.0], [1.0, 0.0], [0.6, 0.8]])
    predictions = np.concatenate([length * rows for length in lengths]).astype(dtype)
    targets = np.ones_like(predictions) * np.array([1.0, 2.0], dtype)
    if axis == 0:
        predictions, targets = predictions.T.copy(), targets.T.copy()
    loss = CosineSimilarity(axis=axis, reduction="none")
    judge(loss, predictions, targets)
    judge(loss, targets, predictions)


def test_a_zero_vector_is_divided_by_epsilon() -> None:
    """Its cosine is 0, and the gradient −t̂/ε: finite, and not zero."""
    predictions, targets = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    assert CosineSimilarity().forward(predictions, targets) == 0
    gradient = CosineSimilarity().backward(predictions, targets)
    np.testing.assert_allclose(gradient, [[-0.6 / EPSILON, -0.8 / EPSILON]], rtol=1e-15)


def test_the_gradient_of_a_direction_does_not_change_its_length() -> None:
    """p · ∂/∂p = 0 where the prediction is longer than epsilon."""
    generator = np.random.default_rng(0)
    predictions, targets = generator.normal(size=(2, 5, 4))
    along = (predictions * CosineSimilarity().backward(predictions, targets)).sum(axis=-1)
    assert (np.abs(along) < 1e-15).all()


SEPARATED = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0.8, 0.6]]
PAIRS = [0, 0, 1, 1, 2, 2]


@DTYPES
@pytest.mark.parametrize("labels", [PAIRS, [0] * 6, range(6), [0, 0, 0, 0, 0, 1], [7, -3] * 3])
@pytest.mark.parametrize("remove_diagonal", [True, False])
def test_pairs_of_every_constellation(labels: list[int], remove_diagonal: bool, dtype: str) -> None:
    """Equal and orthogonal embeddings; classes of one, one class only, lone samples."""
    embeddings = np.array(SEPARATED, dtype)
    loss = Circle(gamma=4.0, remove_diagonal=remove_diagonal)
    judge(loss, embeddings, loss.prepare(list(labels), embeddings))


@pytest.mark.parametrize("second", [[1, 0], [0.8, 0.6]])
@pytest.mark.parametrize(
    ("gamma", "margin"), [(512.0, 0.4), (80.0, 0.0), (2.0, -0.5), (4096.0, -0.4)]
)
def test_pairs_under_any_gamma_and_margin(gamma: float, margin: float, second: list[float]) -> None:
    """The largest of all logits far from the others; m + d of either sign."""
    embeddings = np.array([[1, 0], second, [0, 1], [-1, 0]], np.float32)
    loss = Circle(gamma=gamma, margin=margin)
    targets = loss.prepare([0, 0, 1, 1], embeddings)
    judge(loss, embeddings, targets)
    assert np.isfinite(loss.backward(embeddings, targets)).all()


def test_the_gradient_passes_where_a_distance_is_the_negative_margin() -> None:
    """As in Keras, whose gradient of max(m + d, 0) passes at 0."""
    embeddings = np.array([[1, 0], [0.5, math.sqrt(0.75)], [0, 1], [-1, 0]], np.float32)
    loss = Circle(gamma=2.0, margin=-0.5)
    assert loss.backward(embeddings, loss.prepare([0, 0, 1, 1], embeddings))[0].any()


@pytest.mark.parametrize("margin", [-0.5, -1.0])
def test_pairs_nearer_than_a_negative_margin_are_left_alone(margin: float) -> None:
    """max(m + d, 0) is 0 there and has no slope, but at its kink."""
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0], [-0.6, 0.8]], np.float32)
    loss = Circle(gamma=2.0, margin=margin)
    judge(loss, embeddings, loss.prepare([0, 0, 0, 1, 1], embeddings))
    pull, _ = loss._slopes(np.array([-margin / 2, -margin]), constant=False)
    assert pull.tolist() == [0, -4 * margin]


def test_long_rows_of_half_precision_are_plainly_long() -> None:
    """Nothing overflows where their length is compared with ε, and nothing stays undecided."""
    given = np.ones(2), [[3, 100, -7], [1, 2, 3]], [[1, 0, 1], [1, 0, 0]]
    parts = [bounded_as(np.array(x, np.float16)) for x in given]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = CosineSimilarity().pull_back(*parts)
    assert found.smooth_error is None


def test_samples_without_pairs_are_masked() -> None:
    """A class of one has nothing to pull, and does not count in the mean."""
    embeddings = np.array([[1.0, 0], [0.6, 0.8], [0, 1]])
    targets = Circle().prepare([0, 0, 1], embeddings)
    values = Circle(reduction="none").forward(embeddings, targets)
    assert values[2] == 0
    assert Circle().forward(embeddings, targets) == values[:2].mean()
    alone = Circle().prepare([0, 1, 2], embeddings)
    assert Circle().forward(embeddings, alone) == 0
    assert not Circle().backward(embeddings, alone).any()


def test_distances_of_pairs_at_the_ends_of_their_range() -> None:
    """The gradient passes at p·p = 1 and where d = 1 + m; beyond the former there is none.

    The sample of the other class is x times the first one, and at a right angle to the second,
    where d = 1 and the slope is 0.
    """
    loss = Circle(gamma=2.0, margin=0.5)
    slopes = []
    for x in (1.0, 1.5, -0.5):
        embeddings = np.array([[1.0, 0], [0, 1], [x, 0]])
        targets = loss.prepare([0, 0, 1], embeddings)
        slopes.append(loss.backward(embeddings, targets)[2, 0])
    near, beyond, far = slopes
    assert near > 0
    assert beyond == 0
    assert far < 0


def test_a_direction_as_long_as_epsilon_keeps_its_length() -> None:
    """From ε on, the gradient along the prediction is 0; below it, lengths count as ε."""
    target = np.array([[1.0, 0.0]])
    for share, slope in ((1.0, 0.0), (1.25, 0.0), (0.5, -1 / EPSILON)):
        grad = CosineSimilarity().backward(np.array([[share * EPSILON, 0.0]]), target)
        np.testing.assert_array_equal(grad, [[slope, 0.0]])


def test_one_pair_of_each_kind_by_hand() -> None:
    """softplus(γ (d₊² − m²) + γ ((1 − d₋)² − m²)) for a cosine of 1 − d."""
    far, near = 0.3, 0.9
    embeddings = np.array(
        [[1, 0, 0], [1 - far, math.sqrt(1 - (1 - far) ** 2), 0], [1 - near, 0, 0]]
    )
    targets = Circle().prepare([5, 5, 8], embeddings)
    value = Circle(gamma=10.0, reduction="none").forward(embeddings, targets)[0]
    exponent = 10 * (far**2 - 0.4**2) + 10 * ((1 - near) ** 2 - 0.4**2)
    assert math.isclose(value, math.log1p(math.exp(exponent)), rel_tol=1e-13)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "expected \\(3,\\)"), ([0.5, 1, 2], "not a whole number"), ([[0, 1]] * 3, "shape")],
)
def test_labels_of_pairs_are_checked(labels: object, message: str) -> None:
    """One whole number for each sample."""
    with pytest.raises(ValueError, match=message):
        Circle().prepare(labels, np.zeros((3, 2)))


# -- sequences ---------------------------------------------------------------------------


def spells(path: tuple[int, ...]) -> list[int]:
    """What a path spells: equal neighbours merged, then blanks dropped."""
    return [k for k, _ in itertools.groupby(path) if k != 0]


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [1, 2, 1], [2, 2, 2]])
@pytest.mark.parametrize("frames", [1, 2, 4, 5])
@pytest.mark.parametrize("width", [0, 3])
def test_every_path_counts_once(labels: list[int], frames: int, width: int) -> None:
    """The value is −log of a sum over all paths, each written out; with and without padding."""
    logits = np.random.default_rng(frames).normal(size=(1, frames, 3))
    padded = np.array([labels + [0] * (width - len(labels))])
    if len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) > frames:
        with pytest.raises(ValueError, match="no path spells it"):
            CTC().prepare(padded, logits)
        return
    targets = CTC().prepare(padded, logits)
    chances = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=-1, keepdims=True)
    total = sum(
        math.prod(chances[t, k] for t, k in enumerate(path))
        for path in itertools.product(range(3), repeat=frames)
        if spells(path) == labels
    )
    assert math.isclose(CTC().forward(logits, targets), -math.log(total), rel_tol=1e-12)


def test_sequences_of_every_length_agree_with_keras() -> None:
    """No labels, some, and as many as the frames allow, in one batch; and a single frame."""
    logits = np.random.default_rng(0).normal(size=(4, 6, 4)).astype(np.float32)
    labels = [[0, 0, 0, 0], [1, 0, 0, 0], [3, 3, 2, 0], [1, 2, 3, 1]]
    judge(CTC(), logits, CTC().prepare(labels, logits))
    judge(CTC(), logits[:1, :1], CTC().prepare([[2]], logits[:1, :1]))


@DTYPES
def test_sequences_much_longer_than_their_labels(dtype: str) -> None:
    """A path cannot begin again where it has ended."""
    logits = np.random.default_rng(1).normal(size=(3, 8, 4)).astype(dtype)
    judge(CTC(), logits, CTC().prepare([[1, 2], [3, 0], [0, 0]], logits))


@DTYPES
@pytest.mark.parametrize("size", [50.0, 300.0, 1e30])
def test_extreme_logits_of_sequences(size: float, dtype: str) -> None:
    """Sure of the right path, or of a wrong one: finite, and known where Keras differs."""
    logits = np.zeros((2, 3, 3), dtype)
    logits[0, :, 1], logits[1, :, 2] = size, size
    targets = CTC().prepare([[1], [1]], logits)
    with np.errstate(all="ignore"):
        assert np.isfinite(CTC(reduction="none").forward(logits, targets)).all()
        assert np.isfinite(CTC().backward(logits, targets)).all()
    report = check_function(CTC(), logits, targets, against=EVERY_MODE)
    assert not report.any_disagreement, str(report)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 0, 2]], "has a 0 before its end"),
        ([[1, 3, 0]], "classes from 1 to 2"),
        ([[-1, 0, 0]], "classes from 1 to 2"),
        ([1, 2], "expected \\(1, longest\\)"),
        ([[0.5]], "not a whole number"),
        ([[1, 1, 1]], "needs 5 frames"),
    ],
)
def test_labels_of_sequences_are_checked(labels: object, message: str) -> None:
    """Classes from 1, padded with 0, and no more than the frames can hold."""
    with pytest.raises(ValueError, match=message):
        CTC().prepare(labels, np.zeros((1, 4, 3)))


def test_sequences_need_three_axes() -> None:
    """The error says what the predictions of this loss are."""
    with pytest.raises(ValueError, match=r"expected \(samples, frames, classes\)"):
        CTC().prepare([[1]], np.zeros((1, 3)))


PAIR = np.array([1, 2, 0.5, 3, 0.5, 1]), np.array([1, 0, 1, 1, 0, 1], bool)
NUMBERS = np.random.default_rng(0).random((2, 6, 3)).astype("float32")
MEANS = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]


@pytest.mark.parametrize("kind", [Dice, Tversky])
@pytest.mark.parametrize("reduction", MEANS)
@pytest.mark.parametrize("columns", [(0,), (1,), (0, 1)], ids=str)
def test_weights_and_mask_of_one_value_may_have_a_1_behind(
    kind: type[Dice | Tversky], reduction: str, columns: tuple[int, ...]
) -> None:
    """They are those of the same samples."""
    given = [x[:, None] if at in columns else x for at, x in enumerate(PAIR)]
    loss = kind(reduction=reduction)
    found = loss.weighted(*given).forward(*NUMBERS)
    assert found == loss.weighted(*PAIR).forward(*NUMBERS)


@pytest.mark.parametrize("kind", [Dice, Tversky])
@pytest.mark.parametrize("reduction", MEANS)
def test_keras_takes_them_for_the_same_samples_too(
    kind: type[Dice | Tversky], reduction: str
) -> None:
    """Weights in a row beside a mask in a column."""
    loss = kind(reduction=reduction).weighted(PAIR[0], PAIR[1][:, None])
    assert check_function(loss, *NUMBERS, against=["keras"]).agrees


def test_a_mask_of_one_number_stands_for_all_values() -> None:
    """And changes no mean."""
    loss = CosineSimilarity()
    assert loss.weighted(mask=[True]).forward(*NUMBERS) == loss.forward(*NUMBERS)
