"""Every figure of a verdict, worked out by hand; ``tests/test_report.py`` has the outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agreement.bounded import BoundedArray
from agreement.precision import precision_of
from agreement.verdicts import (
    Batch,
    Comparison,
    TensorVerdict,
    Verdict,
    View,
    judge_batches,
    judge_pairs,
    judge_tensor,
    judge_tensors,
    judge_trace,
)
from manual_backprop.trace import LayerTrace, TensorName, Trace

NAME = TensorName("dense_1", "grad_W")
SINGLE = precision_of("float32")
INF, NAN = np.inf, np.nan


def intervals(value: Any, error: Any, smooth: Any = None) -> BoundedArray:
    smooth_error = None if smooth is None else np.array(smooth, float)
    return BoundedArray(
        np.array(value, float), np.array(error, float), SINGLE, smooth_error=smooth_error
    )


def judged(actual: Any, wanted: BoundedArray, *, abstains: bool = False) -> TensorVerdict:
    return judge_tensor(
        NAME, np.array(actual, float), wanted, View.LOCAL, "keras", abstains=abstains
    )


def test_an_element_at_its_bound_agrees_and_the_next_number_does_not() -> None:
    """|actual − value| ≤ error includes equality; the ratio is 1 there, and above it beyond."""
    at = judged([1.5, 2.25], intervals([1, 2], [0.5, 1]))
    assert (at.verdict, at.ratio, at.outside) == (Verdict.AGREE, 1.0, 0)
    beyond = judged([np.nextafter(1.5, 2), 2], intervals([1, 2], [0.5, 1]))
    assert (beyond.verdict, beyond.outside) == (Verdict.DISAGREE, 1)
    assert beyond.ratio > 1


@pytest.mark.parametrize(
    ("actual", "wanted", "ratio"),
    [
        ([1.25, 2], intervals([1, 2], [0.5, 0.5]), 0.5),
        ([0.75, 2.125], intervals([1, 2], [0.5, 0.5]), 0.5),
        ([1, 2], intervals([1, 2], [0, 0]), 0.0),
        ([1, 3], intervals([1, 2], [0, 0]), INF),
        ([1, NAN], intervals([1, 2], [0.5, 0.5]), INF),
        ([1, INF], intervals([1, 2], [0.5, 0.5]), INF),
        ([7, 2.25], intervals([1, 2], [INF, 0.5]), 0.5),
        ([NAN, 2], intervals([1, 2], [INF, 0.5]), 0.0),
    ],
)
def test_the_ratio_is_the_largest_share_of_a_bound(
    actual: list[float], wanted: BoundedArray, ratio: float
) -> None:
    """0 where nothing differs, ∞ for NaN and beside a bound of 0; unbounded elements have none."""
    assert judged(actual, wanted).ratio == ratio


@pytest.mark.parametrize(
    ("actual", "value", "error", "floor", "largest"),
    [
        ([8, 1, 1, 1], [8, 1, 1, 1], [0.5, 0.125, 0.25, 1], 0.0625, 0.125),  # upper median 0.5
        ([8, 1, 1], [8, 1, 1], [0.5, 0.125, 0.25], 0.03125, 0.0625),
        ([-8, 1], [-8, 1], [0.5, 1], 0.125, 0.125),
        ([1, 4], [1, 2], [2, 2], 0.5, 0.5),  # what was computed is the scale
        ([1, NAN], [1, 2], [0.5, 0.5], 0.25, 0.25),
        ([1, INF], [1, 2], [0.5, 0.5], 0.25, 0.25),
        ([0, 0], [0, 0], [3, 5], 5.0, 5.0),  # zero: absolute
    ],
)
def test_floors_are_the_upper_median_and_the_largest_error_of_the_scale(
    actual: list[float], value: list[float], error: list[float], floor: float, largest: float
) -> None:
    """Relative to the largest finite number, expected or computed; absolute for a zero tensor."""
    found = judged(actual, intervals(value, error))
    assert (found.floor, found.largest_floor, found.size) == (floor, largest, len(value))
    assert found.zero is not (any(value) or any(actual))


def test_a_floor_of_one_half_is_sharp_enough_and_more_is_blunt() -> None:
    """The limit belongs to AGREE, but an element whose bound is half the scale is counted."""
    at = judged([4, 4], intervals([4, 4], [2, 2]))
    assert (at.verdict, at.floor, at.blunt, at.is_evidence) == (Verdict.AGREE, 0.5, 2, False)
    above = judged([4, 4], intervals([4, 4], [2, np.nextafter(2, 3)]))
    assert (above.verdict, above.blunt) == (Verdict.BLUNT, 2)
    below = judged([4, 4], intervals([4, 4], [np.nextafter(2, 1), 1]))
    assert (below.verdict, below.blunt, below.is_evidence) == (Verdict.AGREE, 0, True)
    some = judged([4, 4, 4], intervals([4, 4, 4], [1, 1, 3]))
    assert (some.verdict, some.blunt, some.is_evidence) == (Verdict.AGREE, 1, False)


def test_a_zero_tensor_agrees_whatever_its_bound_unless_nobody_has_an_opinion() -> None:
    """No error is relative to zero; an abstention leaves nothing to agree with."""
    zero = judged([0, 0], intervals([0, 0], [3, 5]))
    assert (zero.verdict, zero.zero, zero.blunt, zero.is_evidence) == (Verdict.AGREE, True, 0, True)
    silent = judged([NAN, NAN], intervals([0, 0], [3, 5]), abstains=True)
    assert (silent.verdict, silent.floor, silent.blunt) == (Verdict.BLUNT, INF, 2)
    partly = judged([0, 0, NAN], intervals([0, 0, 0], [3, 5, 7]), abstains=True)
    assert (partly.verdict, partly.blunt, partly.is_evidence) == (Verdict.AGREE, 1, False)


def test_an_abstention_has_no_ratio_and_hides_no_disagreement() -> None:
    """NaN from a witness that abstains counts as blunt; its other numbers are judged."""
    found = judged([NAN, 2.25, 3], intervals([1, 2, 3], [0.5, 0.5, 0.5]), abstains=True)
    assert (found.verdict, found.ratio, found.blunt) == (Verdict.AGREE, 0.5, 1)
    assert found.largest_floor == INF
    wrong = judged([NAN, 4, 3], intervals([1, 2, 3], [0.5, 0.5, 0.5]), abstains=True)
    assert (wrong.verdict, wrong.outside, wrong.worst) == (Verdict.DISAGREE, 1, (1,))
    unable = judged([INF, 2, 3], intervals([1, 2, 3], [0.5, 0.5, 0.5]), abstains=True)
    assert unable.verdict is Verdict.DISAGREE


def test_a_tensor_larger_than_what_is_judged_together_is_judged() -> None:
    """Alone, first or last."""
    small, large = (Comparison(NAME, np.ones(n), intervals([1] * n, [0] * n)) for n in (1, 5000))
    for given in ([large], [large, small], [small, large]):
        verdicts = judge_tensors(given, View.LOCAL, "keras")
        assert [v.size for v in verdicts] == [c.actual.size for c in given]


def test_who_may_not_abstain_disagrees_by_nan() -> None:
    """Nobody may, unless it is said."""
    found = Comparison(NAME, np.array([NAN]), intervals([1], [0.5]))
    (verdict,) = judge_tensors([found], View.LOCAL, "keras")
    assert verdict.verdict is Verdict.DISAGREE


def test_what_cannot_be_compared_has_a_ratio_of_zero() -> None:
    """Nor a scale, where neither number is one."""
    silent = judged([NAN, NAN], intervals([1, 2], [0.5, 0.5]), abstains=True)
    assert silent.ratio == 0
    overflown = judged([NAN], intervals([NAN], [INF]))
    assert (overflown.verdict, overflown.ratio, overflown.zero) == (Verdict.OVERFLOW, 0, True)


def test_a_kink_needs_a_difference_beyond_the_smooth_error() -> None:
    """At the smooth error it agrees without a kink, and only an element of its own counts."""
    at = judged([1.25, 2], intervals([1, 2], [0.5, 0.5], [0.25, 0.25]))
    assert at.verdict is Verdict.AGREE
    beyond = judged([1.375, 2], intervals([1, 2], [0.5, 0.5], [0.25, 0.25]))
    assert (beyond.verdict, beyond.is_evidence) == (Verdict.KINK, True)
    other = judged([1.375, 2], intervals([1, 2], [0.5, 0.5], [0.5, 0.0]))
    assert other.verdict is Verdict.AGREE


def test_the_worst_element_is_named_with_what_was_there() -> None:
    """Of those outside the largest share of its bound; NaN is worse than any number."""
    value = [[1, 2, 3], [4, 5, 6]]
    error = [[0.5, 0.5, 0.125], [0.5, 0.5, 2]]
    found = judged([[1.25, 4, 3.25], [4, 5, 6]], intervals(value, error))
    assert (found.verdict, found.outside, found.size) == (Verdict.DISAGREE, 2, 6)
    assert (found.worst, found.ratio) == ((0, 1), 4.0)
    assert (found.actual, found.expected, found.allowed) == (4, 2, 0.5)
    found = judged([[1.25, 4, 3.25], [4, 5, NAN]], intervals(value, error))
    assert (found.worst, found.outside, found.ratio) == ((1, 2), 3, INF)
    assert np.isnan(found.actual)
    assert (found.expected, found.allowed) == (6, 2)


def test_what_agrees_names_no_worst_element() -> None:
    """Only a disagreement has a place."""
    found = judged([1.25, 2], intervals([1, 2], [0.5, 0.5]))
    assert (found.worst, found.actual, found.expected, found.allowed) == ((), 0, 0, 0)
    assert (found.note, found.consequence, found.outside) == ("", False, 0)


@pytest.mark.parametrize(
    ("actual", "wanted", "outside"),
    [
        (np.ones(1), intervals([1, 1], [1, 1]), 2),
        (np.ones((1, 2)), intervals([1, 1], [1, 1]), 2),
        (np.ones(0), intervals([], []), 1),
        (np.ones(3), intervals([], []), 1),
    ],
)
def test_another_shape_or_nothing_at_all_disagrees(
    actual: np.ndarray, wanted: BoundedArray, outside: int
) -> None:
    """All elements are outside, and the note says what came and what was expected."""
    found = judge_tensor(NAME, actual, wanted, View.LOCAL, "keras")
    assert (found.verdict, found.ratio, found.zero) == (Verdict.DISAGREE, INF, False)
    assert (found.outside, found.size, found.blunt) == (outside, wanted.size, 0)
    assert np.isnan([found.floor, found.largest_floor]).all()
    assert found.note == f"has shape {actual.shape}, expected {wanted.shape}"
    assert (found.layer, found.tensor, found.view, found.witness) == (*NAME, View.LOCAL, "keras")


def test_batches_of_several_witnesses_keep_their_order_and_their_own_rules() -> None:
    """One pass over all: misshapen tensors stay in their places, one witness alone abstains."""
    good, other = intervals([1, 2, 3], [0.5] * 3), intervals([[1, 2]], [[0.5, 0.25]])
    silent = np.array([NAN, 2.25, 3])
    batches = [
        Batch([Comparison(NAME, silent, good)], View.LOCAL, "keras"),
        Batch([], View.LOCAL, "nobody"),
        Batch(
            [
                Comparison(NAME, np.ones(2), good),
                Comparison(NAME, silent, good),
                Comparison(NAME, np.array([[1.25, 2.0]]), other),
            ],
            View.END_TO_END,
            "dual",
            abstains=True,
        ),
    ]
    found = judge_batches(batches)
    assert [v.witness for v in found] == ["keras", "dual", "dual", "dual"]
    assert [v.view for v in found] == [View.LOCAL] + [View.END_TO_END] * 3
    wrong, right = Verdict.DISAGREE, Verdict.AGREE
    assert [v.verdict for v in found] == [wrong, wrong, right, right]
    assert [v.blunt for v in found] == [0, 0, 1, 0]
    assert [v.size for v in found] == [3, 3, 3, 2]
    assert (found[3].ratio, found[3].floor, found[3].largest_floor) == (0.5, 0.25, 0.25)
    assert judge_batches([]) == []


# -- traces -----------------------------------------------------------------------------------


def trace(**tensors: Any) -> Trace:
    return Trace([LayerTrace("dense_1", **tensors)])


def verdicts_of(actual: Trace, expected: Trace, view: View) -> dict[str, TensorVerdict]:
    return {v.tensor: v for v in judge_trace(actual, expected, view, "keras")}


def test_only_the_first_disagreement_of_a_witness_end_to_end_is_no_consequence() -> None:
    """Later ones of the same witness follow from it; other witnesses and steps stand alone."""
    wanted = trace(pre_activation=intervals([1.0], [0.1]), output=intervals([1.0], [0.1]))
    wrong = trace(pre_activation=np.array([2.0]), output=np.array([2.0]))
    late = trace(pre_activation=np.array([1.0]), output=np.array([2.0]))
    pairs = [
        (wrong, wanted, View.END_TO_END, "manual"),
        (wrong, wanted, View.LOCAL, "manual"),
        (late, wanted, View.END_TO_END, "keras"),
    ]
    found = judge_pairs(pairs)
    assert [v.tensor for v in found] == ["pre_activation", "output"] * 3
    assert [v.consequence for v in found] == [False, True, False, False, False, False]


def test_inputs_and_what_a_witness_lacks_are_not_judged() -> None:
    """Inputs are given, not computed; a tensor that one side lacks is compared with nothing."""
    wanted = trace(
        inputs=intervals([1.0], [0.1]),
        output=intervals([1.0], [0.1]),
        grad_output=intervals([1.0], [0.1]),
    )
    actual = trace(inputs=np.array([5.0]), output=np.array([1.0]), pre_activation=np.array([5.0]))
    assert set(verdicts_of(actual, wanted, View.LOCAL)) == {"output"}


def test_a_trace_claims_nothing_that_it_was_not_told() -> None:
    """It is not fused with a loss, and its NaN is no abstention."""
    silent = trace(output=np.array([NAN]))
    assert not silent.fused
    found = verdicts_of(silent, trace(output=intervals([1.0], [0.1])), View.LOCAL)
    assert found["output"].verdict is Verdict.DISAGREE


def test_a_layer_in_several_places_is_told_apart_by_place() -> None:
    """Places are counted from 1, over all layers."""
    twice = Trace([LayerTrace(name) for name in ("dense_1", "dense_2", "dense_1")])
    assert twice.labels() == ["dense_1[1]", "dense_2", "dense_1[3]"]


def test_one_tensor_under_two_names_is_judged_once_unless_the_witness_differs() -> None:
    """The gradient between two layers has two names; two different arrays there are both judged."""
    between, output = intervals([1.0], [0.1]), intervals([1.0], [0.1])
    wanted = Trace(
        [
            LayerTrace("dense_1", output=output, grad_output=between),
            LayerTrace("dense_2", grad_inputs=between),
        ]
    )

    def names(below: float, above: float) -> list[str]:
        actual = Trace(
            [
                LayerTrace("dense_1", output=np.array([1.0]), grad_output=np.array([below])),
                LayerTrace("dense_2", grad_inputs=np.array([above])),
            ]
        )
        first, *others = (v.name for v in judge_trace(actual, wanted, View.LOCAL, "keras"))
        assert first == "dense_1.output"
        return others

    assert names(1.0, 1.0) == names(NAN, NAN) == ["dense_2.grad_inputs"]
    assert names(2.0, 1.0) == ["dense_2.grad_inputs", "dense_1.grad_output"]


def test_a_plain_expectation_is_exact() -> None:
    """What no input reached is compared like any other number, in the precision at hand."""
    wanted = trace(output=np.array([1.0, 2.0], np.float32))
    right = verdicts_of(trace(output=np.array([1.0, 2.0], np.float32)), wanted, View.LOCAL)
    assert (right["output"].verdict, right["output"].largest_floor) == (Verdict.AGREE, 0.0)
    wrong = verdicts_of(trace(output=np.array([1.0, 2.5], np.float32)), wanted, View.LOCAL)
    assert (wrong["output"].verdict, wrong["output"].ratio) == (Verdict.DISAGREE, INF)


def test_directional_derivatives_are_judged_within_the_error_along_the_direction() -> None:
    """Σ d·value ± Σ |d|·error, for each direction; NaN there is an abstention."""
    wanted = Trace(
        [LayerTrace("dense_1")],
        gradients=[intervals([[1, 2], [3, 4]], [[0.5, 0.25], [0.25, 0.5]])],
        gradient_names=[NAME],
    )
    directions = np.array([[[1, -1], [1, 1]], [[-1, 1], [1, 1]]], float)  # 6 and 8, each ± 1.5

    def along(first: float, second: float) -> TensorVerdict:
        actual = trace()
        actual.projections = {
            TensorName("dense_1", "grad_b"): (directions, np.array([0.0, 0.0])),
            NAME: (directions, np.array([first, second])),
        }
        (found,) = judge_trace(actual, wanted, View.END_TO_END, "dual")
        return found

    assert (along(6, 8).verdict, along(6, 8).size, along(6, 8).floor) == (
        Verdict.AGREE, 2, 1.5 / 8,
    )  # fmt: skip
    assert (along(7.5, 6.5).verdict, along(7.5, 6.5).ratio) == (Verdict.AGREE, 1.0)
    assert (along(6, 10).verdict, along(6, 10).worst) == (Verdict.DISAGREE, (1,))
    assert (along(NAN, 8).verdict, along(NAN, 8).blunt) == (Verdict.BLUNT, 1)
