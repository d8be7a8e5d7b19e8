"""Verdicts and reports: what agrees, what could not be judged, and how it is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agreement import AgreementError, Verdict, View, assert_agreement, check
from agreement.bounded import BoundedArray, bounded
from agreement.precision import precision_of
from agreement.report import Report
from agreement.verdicts import Comparison, judge_tensor, judge_tensors
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.trace import TensorName

NAME = TensorName("dense_1", "grad_W")
SINGLE = precision_of("float32")


def expected(value: list[float], error: list[float], smooth: list[float] | None = None):
    return BoundedArray(
        np.array(value),
        np.array(error),
        SINGLE,
        smooth_error=None if smooth is None else np.array(smooth),
    )


def verdict(actual: list[float], wanted: BoundedArray, **options: bool):
    return judge_tensor(NAME, np.array(actual), wanted, View.LOCAL, "keras", **options)


@pytest.mark.parametrize(
    ("actual", "wanted", "outcome"),
    [
        ([1.0, 2.0], expected([1, 2], [0.1, 0.1]), Verdict.AGREE),
        ([1.1, 2.0], expected([1, 2], [0.1001, 0.1]), Verdict.AGREE),
        ([1.2, 2.0], expected([1, 2], [0.1, 0.1]), Verdict.DISAGREE),
        ([np.nan, 2.0], expected([1, 2], [0.1, 0.1]), Verdict.DISAGREE),
        ([np.inf, 2.0], expected([1, 2], [0.1, 0.1]), Verdict.DISAGREE),
        ([np.nan, 2.0], expected([1, 2], [np.inf, 0.1]), Verdict.OVERFLOW),
        ([1.0, 9.0], expected([1, 2], [np.inf, 0.1]), Verdict.DISAGREE),
        ([1.0, 2.0], expected([1, 2], [1.5, 1.5]), Verdict.BLUNT),
        ([1.0, 2.05], expected([1, 2], [0.1, 0.1], [0.1, 0.01]), Verdict.KINK),
        ([1.0, 2.005], expected([1, 2], [0.1, 0.1], [0.1, 0.01]), Verdict.AGREE),
        ([0.0, 0.0], expected([0, 0], [0, 0]), Verdict.AGREE),
        ([0.0, 1e-300], expected([0, 0], [0, 0]), Verdict.DISAGREE),
        ([1.0], expected([1, 2], [0.1, 0.1]), Verdict.DISAGREE),
        ([], expected([], []), Verdict.DISAGREE),
    ],
)
def test_each_verdict_has_its_case(actual, wanted, outcome) -> None:
    """Within, outside, NaN, overflow, blunt, kink, zero, wrong shape, empty."""
    found = verdict(actual, wanted)
    assert found.verdict is outcome
    if outcome is Verdict.DISAGREE and len(actual) == wanted.size > 0:
        assert found.outside == 1
        assert not abs(found.actual - found.expected) <= found.allowed


def test_an_abstention_is_no_disagreement_but_only_for_a_witness_that_abstains() -> None:
    """NaN means "no opinion" for the dual numbers, and is an error for anybody else."""
    wanted = expected([1, 2, 3], [0.1, 0.1, 0.1])
    partly = verdict([np.nan, 2.0, 3.0], wanted, abstains=True)
    assert (partly.verdict, partly.blunt, partly.is_evidence) == (Verdict.AGREE, 1, False)
    assert verdict([np.nan, 9.0, 3.0], wanted, abstains=True).verdict is Verdict.DISAGREE
    assert verdict([np.nan] * 3, wanted, abstains=True).verdict is Verdict.BLUNT
    assert verdict([np.nan, 2.0, 3.0], wanted).verdict is Verdict.DISAGREE


def test_judging_together_is_judging_one_by_one() -> None:
    """The pass over all elements of many tensors gives each tensor's own verdict."""
    generator = np.random.default_rng(0)
    comparisons = []
    for size in (1, 2, 5, 8):
        value = generator.normal(size=size)
        wanted = BoundedArray(value, np.abs(generator.normal(size=size)) * 1e-3, SINGLE)
        # Within the bound for even sizes, outside of it for odd ones.
        actual = value + wanted.error * (0.5 if size % 2 == 0 else 2.0)
        comparisons.append(Comparison(NAME._replace(tensor=f"t{size}"), actual, wanted))
    together = judge_tensors(comparisons, View.LOCAL, "keras")
    alone = [judge_tensor(*c, View.LOCAL, "keras") for c in comparisons]
    assert together == alone
    assert len({v.verdict for v in together}) == 2


def make_model() -> NaiveSequential:
    return NaiveSequential([NaiveDense(3, 4, "relu", seed=0), NaiveDense(4, 2, "softmax", seed=1)])


INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
LABELS = [0, 1, 1, 0, 1]


def test_a_report_without_evidence_does_not_agree() -> None:
    """Nothing compared, or a weight's gradient blunt in every view: exit status 2."""
    assert not Report().agrees
    assert Report().exit_status == 2
    blunt = verdict([1.0, 2.0], expected([1, 2], [1.5, 1.5]))
    report = Report([blunt], frozenset({("keras", str(NAME))}))
    assert report.unjudged == [str(NAME)]
    assert (report.agrees, report.exit_status) == (False, 2)
    assert "could not judge" in report.conclusion()
    report.verdicts.append(verdict([1.0, 2.0], expected([1, 2], [0.1, 0.1])))
    assert (report.agrees, report.exit_status) == (True, 0)


def test_a_report_is_json_and_a_table() -> None:
    """to_dict survives json, and the table has a row for each layer and tensor."""
    report = check(make_model(), INPUTS, LABELS, against=["keras", "dual"])
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["agrees"]
    names = {f"{row['layer']}.{row['tensor']}" for row in content["tensors"]}
    assert {"dense_1.grad_W", "dense_2.grad_b", "dense_1.grad_inputs"} <= names
    shown = str(report)
    assert all(name in shown for name in names - {".loss"})


def test_assert_agreement_raises_with_the_remark_and_the_report() -> None:
    """An AssertionError whose message says where, and which carries the verdicts."""

    class Wrong(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            return -super().backward_affine(grad_pre_activation)

    model = make_model()
    assert assert_agreement(model, INPUTS, LABELS, against="keras").agrees
    model.layers[1].__class__ = Wrong
    with pytest.raises(AgreementError, match=r"dense_2\.grad_inputs disagrees") as caught:
        assert_agreement(model, INPUTS, LABELS, against="keras")
    assert isinstance(caught.value, AssertionError)
    assert caught.value.report.exit_status == 1


def test_a_constant_gradient_is_judged_too() -> None:
    """A gradient that no error-carrying number reached is compared like any other."""

    class Constant(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            grad_inputs = super().backward_affine(grad_pre_activation)
            self.gradients[0] = np.zeros(self.W.shape, self.dtype)
            return grad_inputs

    model = make_model()
    model.layers[0].__class__ = Constant
    report = check(model, INPUTS, LABELS, against="keras")
    assert {v.name for v in report.disagreements} == {"dense_1.grad_W"}


def test_exact_expectations_allow_nothing() -> None:
    """A bound of zero admits the very number only."""
    wanted = bounded(np.array([1.0, 2.0]), SINGLE)
    assert verdict([1.0, 2.0], wanted).verdict is Verdict.AGREE
    assert verdict([1.0, 2.0 + 1e-15], wanted).verdict is Verdict.DISAGREE
