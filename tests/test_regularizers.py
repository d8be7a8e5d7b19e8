"""Regularizers against Keras, smooth and hostile numbers, and figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agreement.cases import Kind
from agreement.function_cases import build_function_case
from agreement.function_check import check_function
from agreement.verdicts import Verdict
from manual_backprop.catalogue import every_variant
from manual_backprop.regularizers import L1, L1L2, L2, REGULARIZERS, OrthogonalRegularizer, get

EVERY = pytest.mark.parametrize("regularizer", every_variant(REGULARIZERS), ids=repr)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", list(Kind))
def test_keras_agrees_with_every_regularizer(regularizer, kind: Kind, dtype: str) -> None:
    """Penalty and gradient lie in their bounds in eager and graph mode, but for the findings."""
    generator = np.random.default_rng(4)
    for _ in range(8):
        case = build_function_case(regularizer, None, kind, generator, dtype)
        report = check_function(
            regularizer, case.inputs, case.other, against=["keras", "keras-graph"]
        )
        assert not report.any_disagreement, (case.inputs, report.conclusion())


def test_penalties_worked_out_by_hand() -> None:
    """λ₁ Σ|x|, λ₂ Σx², their sum, and the mean |cosine| of the pairs of rows."""
    x = np.array([[3.0, -4.0], [0.0, 2.0]])
    assert L1(0.5).value(x) == 4.5
    assert L2(0.5).value(x) == 14.5
    assert L1L2(0.5, 0.5).value(x) == 19.0
    assert np.array_equal(L1(0.5).gradient(x), [[0.5, -0.5], [0.0, 0.5]])
    assert np.array_equal(L2(0.5).gradient(x), x)
    assert OrthogonalRegularizer(1.0).value(x) == pytest.approx(0.8, abs=4 * np.finfo(float).eps)
    assert OrthogonalRegularizer(1.0).value(np.eye(3)) == 0
    assert OrthogonalRegularizer(1.0).value(x[:1]) == 0


@EVERY
def test_a_wrong_gradient_is_seen(regularizer) -> None:
    """A gradient that is off by a factor disagrees with every reference."""

    class Wrong(type(regularizer)):
        def gradient(self, x):
            return super().gradient(x) * 1.001

    wrong = Wrong(**regularizer.arguments)
    inputs = np.random.default_rng(0).uniform(0.5, 2, (3, 4)).astype("float32")
    report = check_function(wrong, inputs, inputs, against=["keras-graph"])
    seen = {(v.witness, v.tensor) for v in report.verdicts if v.verdict is Verdict.DISAGREE}
    assert seen == {("keras-graph", "grad_inputs")}


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_is_no_penalty_is_refused(factor: float) -> None:
    """A factor below 0 or without end is a ValueError that names it."""
    with pytest.raises(ValueError, match="l1"):
        L1(factor)
    with pytest.raises(ValueError, match="mode"):
        OrthogonalRegularizer(mode="diagonals")
    with pytest.raises(ValueError, match="kernel_regularizer"):
        get("kernel_regularizer", "l3")
