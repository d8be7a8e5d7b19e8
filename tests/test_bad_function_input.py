"""Checks of single functions, optimizers and policies refuse what they cannot judge, clearly."""

from __future__ import annotations

import re

import numpy as np
import pytest

from agreement import check_function, check_policy, check_training_step, check_trajectory
from agreement.campaign import run_campaign
from agreement.coverage import coverage
from agreement.explain import explain
from agreement.random_check import Settings
from manual_backprop import SGD, NaiveDense, NaiveSequential
from manual_backprop.activations import Relu
from manual_backprop.losses import MeanSquaredError
from manual_backprop.regularizers import L2

IMAGES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1])


def make_model() -> NaiveSequential:
    """4-3, softmax."""
    return NaiveSequential([NaiveDense(4, 3, "softmax", seed=0)])


FUNCTION_CALLS = {
    "no_reference": (lambda x: check_function(Relu(), x, x, against=[]), ValueError, "against: "),
    "unknown": (lambda x: check_function(Relu(), x, x, against="kers"), ValueError, "keras"),
    "dual": (lambda x: check_function(Relu(), x, x, against=["dual"]), ValueError, "whole models"),
    "a_name": (lambda x: check_function("relu", x, x), TypeError, "subject: "),
    "a_class": (lambda x: check_function(Relu, x, x), TypeError, "subject: got Relu"),
    "empty": (lambda x: check_function(Relu(), x[:0], x[:0]), ValueError, "nothing to judge"),
    "integers": (lambda x: check_function(Relu(), x.astype(int), x), TypeError, "dtype int64"),
    "complex": (lambda x: check_function(Relu(), x + 1j, x), TypeError, "dtype complex"),
    "other_shape": (lambda x: check_function(Relu(), x, x[:1]), ValueError, "upstream gradient"),
    "other_dtype": (lambda x: check_function(Relu(), x, x.astype("f4")), ValueError, "float32"),
    "no_other": (lambda x: check_function(Relu(), x), TypeError, "other: got None"),
    "few_targets": (
        lambda x: check_function(MeanSquaredError(), x, x[:1]),
        ValueError,
        "targets of (2,) samples",
    ),
    "behind": (
        lambda x: check_function(Relu(), x, x, behind=Relu()),
        ValueError,
        "behind: stands before a loss",
    ),
    "trajectory": (
        lambda x: check_trajectory(SGD(0.1), {"w": x}, [[x]], against=[]),
        ValueError,
        "against: ",
    ),
    "trajectory_dual": (
        lambda x: check_trajectory(SGD(0.1), {"w": x}, [[x]], against="dual"),
        ValueError,
        "whole models",
    ),
    "training_step": (
        lambda x: check_training_step(make_model(), IMAGES, LABELS, against=["dual"]),
        ValueError,
        "against: is empty",
    ),
    "policy": (
        lambda x: check_policy(
            make_model(),
            IMAGES,
            LABELS,
            loss="sparse_categorical_crossentropy",
            policy="mixed_float16",
            against=[],
        ),
        ValueError,
        "against: is empty",
    ),
    "explain": (lambda x: explain("celu", against=["torch"]), ValueError, "against: "),
    "coverage": (lambda x: coverage(against=["dual"]), ValueError, "whole models"),
    "campaign": (
        lambda x: run_campaign(Settings(0, "float32", ("dual",), True), 2, "nowhere"),
        ValueError,
        "against: got dual",
    ),
}


@pytest.mark.parametrize(("call", "kind", "words"), FUNCTION_CALLS.values(), ids=FUNCTION_CALLS)
def test_checks_of_single_functions_refuse_what_they_cannot_judge(call, kind, words) -> None:
    """Nothing is called right against no reference; nothing fails three libraries down."""
    with pytest.raises(kind, match=re.escape(words)) as caught:
        call(np.ones((2, 3)))
    assert "\n" not in str(caught.value)


def test_a_regularizer_needs_no_other_argument() -> None:
    """And inputs may be lists of floats."""
    assert check_function(L2(0.5), [[1.0, -2.0]], against="keras").agrees
