"""Losses of numbers and of margins: their conventions at kinks, extremes, and against Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agreement.function_check import check_function, computed, expected
from agreement.verdicts import Verdict
from manual_backprop.losses import (
    EPSILON,
    CategoricalHinge,
    Hinge,
    Huber,
    LogCosh,
    Loss,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
    get,
)
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Expected disagreements are verdicts of their own.
FINE = {Verdict.AGREE, Verdict.KINK, Verdict.KNOWN}


def beside(numbers: list[float], dtype: str) -> Array:
    """One column: numbers and their neighbours in the format, then their negatives."""
    centres = np.array(numbers, dtype)
    sides = [np.nextafter(centres, np.array(end, dtype)) for end in (-np.inf, np.inf)]
    column = np.concatenate([centres, *sides])
    return np.concatenate([column, -column])[:, None]


def judge(loss: Loss, predictions: Array, targets: Array) -> None:
    """Eager, graph and XLA agree with every number, or are known not to."""
    report = check_function(
        loss, predictions, targets, against=["keras", "keras-graph", "keras-xla"]
    )
    assert {v.verdict for v in report.verdicts} <= FINE, str(report)


@DTYPES
@pytest.mark.parametrize("delta", [1.0, 0.1, 10.0])
def test_huber_has_one_slope_at_delta(delta: float, dtype: str) -> None:
    """At ±delta and beside it, at the target and beside it, value and slope are Keras'."""
    predictions = beside([0.0, delta, 2 * delta, 1e-30], dtype)
    judge(Huber(delta=delta), predictions, np.zeros_like(predictions))
    at = Huber(delta=delta).backward(np.array([[delta], [-delta], [3 * delta]]), np.zeros((3, 1)))
    np.testing.assert_array_equal(at.ravel(), np.array([delta, -delta, delta]) / 3)


@DTYPES
@pytest.mark.parametrize("name", ["mean_absolute_error", "mean_squared_error"])
def test_errors_of_one_ulp_have_a_gradient_and_none_has_none(name: str, dtype: str) -> None:
    """Predictions that equal their target, or are its neighbour, at every magnitude."""
    targets = np.array([[0.0], [1.0], [1e-30], [-1e10], [1e15]], dtype)
    for toward in (None, -np.inf, np.inf):
        predictions = targets.copy()
        if toward is not None:
            predictions = np.nextafter(targets, np.array(toward, dtype))
        judge(get(name), predictions, targets)


@DTYPES
def test_log_cosh_is_exact_near_and_far_from_the_target(dtype: str) -> None:
    """Its slope is tanh, 0 at the target and ±1 far away; nothing overflows on the way."""
    far = np.array([[0.0], [1e-4], [-1e-4], [50.0], [-1e30], [1e30]], dtype)
    judge(LogCosh(), far, np.zeros_like(far))
    values = LogCosh(reduction="none").forward(far, np.zeros_like(far))
    assert values[0] == 0
    np.testing.assert_array_equal(values[3:], np.abs(far[3:, 0]) - np.array(math.log(2), dtype))
    slopes = LogCosh(reduction="sum").backward(far, np.zeros_like(far)).ravel()
    np.testing.assert_array_equal(slopes, np.tanh(far).ravel())
    judge(LogCosh(), far[::-1], far)
    huge = np.array([[-0.9], [0.9]], dtype) * np.finfo(dtype).max
    values = LogCosh(reduction="none").forward(huge, np.zeros_like(huge))
    np.testing.assert_array_equal(values, np.abs(huge[:, 0]))


def test_log_cosh_of_nearly_the_largest_number_is_judged() -> None:
    """There Keras' value of the negative one is infinite, which is known."""
    huge = np.array([[-3e38], [3e38]], np.float32)
    judge(LogCosh(reduction="none"), huge, np.zeros_like(huge))


@DTYPES
def test_a_percentage_of_zero_is_one_of_epsilon(dtype: str) -> None:
    """Targets at 0, ±epsilon and beside them; the slope at the target is 0."""
    targets = beside([EPSILON, 1.0, 1e10], dtype)
    targets[0] = 0
    judge(MeanAbsolutePercentageError(), np.ones_like(targets), targets)
    judge(MeanAbsolutePercentageError(), targets.copy(), targets)
    slope = MeanAbsolutePercentageError().backward(np.array([[1.0]]), np.array([[0.0]]))
    assert slope == 100 / EPSILON


@DTYPES
def test_a_logarithmic_error_lets_the_gradient_pass_at_epsilon(dtype: str) -> None:
    """At epsilon and above it passes; below, and for negative predictions, it is 0."""
    predictions = beside([EPSILON, 0.0, 1.0, 1e10], dtype)
    judge(MeanSquaredLogarithmicError(), predictions, np.ones_like(predictions))
    slopes = MeanSquaredLogarithmicError().backward(
        np.array([[EPSILON, np.nextafter(EPSILON, 0), -1.0]]), np.ones((1, 3))
    )
    assert (slopes != 0).tolist() == [[True, False, False]]


@DTYPES
@pytest.mark.parametrize("loss", [Hinge(), SquaredHinge()], ids=repr)
@pytest.mark.parametrize("labels", [[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
def test_margins_and_their_neighbours(loss: Loss, labels: list[float], dtype: str) -> None:
    """At t p = 1 and beside it, for signs, bits (which become signs) and other numbers."""
    column = beside([1.0, 0.0, 0.5, 1e30 if loss.name == "hinge" else 1e5], dtype)
    predictions = np.concatenate([column, column], axis=1)
    targets = np.broadcast_to(np.array(labels, dtype), predictions.shape).copy()
    judge(loss, predictions, targets)


def test_a_hinge_passes_its_gradient_at_the_margin() -> None:
    """Exactly at t p = 1 the side that costs counts, as in Keras; labels 0 stand for −1."""
    predictions, signs = np.array([[1.0, -1.0, 1.5]]), np.array([[1.0, -1.0, 1.0]])
    expected = np.array([[-1.0, 1.0, 0.0]]) / 3
    np.testing.assert_array_equal(Hinge().backward(predictions, signs), expected)
    bits = np.array([[1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(Hinge().backward(predictions, bits), expected)


@DTYPES
def test_tied_wrong_classes_share_the_gradient(dtype: str) -> None:
    """Two, three or all classes tie, the loss is just 0, or there is one class only."""
    rows = [[3, 1, 1, 0], [0, 0, 0, 0], [2, 1, -1, -5], [-1, -2, -2, -2], [5, 1, 1, 1]]
    predictions = np.array(rows, dtype)
    targets = np.eye(4, dtype=dtype)[[0, 1, 0, 3, 0]]
    judge(CategoricalHinge(), predictions, targets)
    judge(CategoricalHinge(), np.array([[0.5], [-2]], dtype), np.ones((2, 1), dtype))
    first = np.array([[1.0, 0, 0]])
    slopes = CategoricalHinge().backward(np.array([[0.0, 1, 1]]), first)
    np.testing.assert_array_equal(slopes, [[-1, 0.5, 0.5]])
    slopes = CategoricalHinge().backward(np.array([[[0.0, 1, 1]]]), first[None])
    np.testing.assert_array_equal(slopes, [[[-1, 0.5, 0.5]]])


def test_a_categorical_hinge_passes_its_gradient_where_it_becomes_zero() -> None:
    """At right = wrong + 1, and not beyond."""
    for right, passes in ((2.0, 1), (2.5, 0)):
        predictions, targets = np.array([[right, 1, 0]]), np.array([[1.0, 0, 0]])
        slopes = CategoricalHinge().backward(predictions, targets)
        np.testing.assert_array_equal(slopes, passes * np.array([[-1.0, 1, 0]]))


def test_soft_labels_take_part_in_both_sums() -> None:
    """(1 − t) p and t p, whatever t is."""
    predictions = np.array([[0.5, -1.0, 2.0]])
    targets = np.array([[0.5, 0.25, 0.25]])
    judge(CategoricalHinge(), predictions, targets)
    assert CategoricalHinge().forward(predictions, targets) == 1.5 - 0.5 + 1


@DTYPES
def test_an_open_tie_of_subnormal_numbers_leaves_the_other_rows_judged(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is larger, 1e-45 or 0, depends on flushing: a share is from 0 to 1, in that row only."""
    tiny = np.finfo(dtype).smallest_subnormal
    inputs = np.array([[tiny, 0, 3], [0.5, 1, 1.5], [0.25, -1, 0]], dtype)
    targets = np.eye(3, dtype=dtype)[[2, 2, 0]]
    report = check_function(CategoricalHinge(), inputs, targets, against=["keras", "keras-graph"])
    assert not report.any_disagreement
    bound = expected(CategoricalHinge(), inputs, targets)[
        TensorName("categorical_hinge", "grad_inputs")
    ]
    assert (bound.error[0] <= 0.51 / 3).all()
    assert (bound.error[1:] < 1e-6).all()
    right = CategoricalHinge.pull_back
    monkeypatch.setattr(CategoricalHinge, "pull_back", lambda *args: right(*args) * 1.001)
    wrong = computed(CategoricalHinge(), inputs, targets)[
        TensorName("categorical_hinge", "grad_inputs")
    ]
    assert (np.abs(wrong - bound.value) > bound.error)[1:].any()
