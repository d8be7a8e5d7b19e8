"""Manual and reference side by side on drawn networks: no false alarm, in any mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from agreement.cases import Case, Kind, fixed_sizes, structures
from agreement.checking import judge_traces, manual_trace
from agreement.report import Report
from agreement.strategies import cases, seeds
from agreement.verdicts import Verdict, View
from reference import MODES

DTYPES = ["float32", "float64"]
# XLA compiles for each shape, so a few structures at one size each; one per loss and path.
COMPILED = range(8)


def report_on(case: Case, mode: str, *, any_shape: bool = False) -> Report:
    traces = {
        "manual": manual_trace(case.model, case.inputs, case.targets, case.loss),
        mode: reference.trace(
            case.model, case.inputs, case.targets, case.loss, MODES[mode], any_shape=any_shape
        ),
    }
    return Report(judge_traces(case.model, case.inputs, case.targets, case.loss, traces))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_eager_mode_raises_no_false_alarm(dtype: str, data: st.DataObject) -> None:
    """Real Keras layers, run eagerly, agree with the manual code tensor by tensor."""
    report = report_on(data.draw(cases(dtype)), "keras")
    assert not report.any_disagreement, report.conclusion()


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_graph_mode_raises_no_false_alarm(dtype: str, data: st.DataObject) -> None:
    """One traced function for every shape agrees with the manual code tensor by tensor."""
    report = report_on(data.draw(cases(dtype)), "keras-graph", any_shape=True)
    assert not report.any_disagreement, report.conclusion()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["keras-graph", "keras-xla"])
@given(data=st.data())
def test_compiled_twins_raise_no_false_alarm(mode: str, dtype: str, data: st.DataObject) -> None:
    """Fixed architectures of real Dense layers, compiled, agree with the manual code."""
    which = data.draw(st.sampled_from(COMPILED))
    sizes, batch = fixed_sizes(which)
    drawn = cases(dtype, among=[structures()[which]], sizes=sizes, batch=batch)
    report = report_on(data.draw(drawn), mode)
    assert not report.any_disagreement, report.conclusion()


@given(case=cases(kinds=[Kind.SMOOTH]))
def test_smooth_networks_are_judged_and_not_waved_through(case: Case) -> None:
    """On smooth numbers every weight's gradient gets a verdict that could have failed."""
    report = report_on(case, "keras-graph", any_shape=True)
    assert report.agrees, report.conclusion()
    assert {v.view for v in report.verdicts} == {View.LOCAL, View.END_TO_END}


@given(seed=seeds(), scale=st.sampled_from([1e20, 1e30, 1e37]))
def test_overflow_in_the_forward_pass_is_reported_as_such(seed: int, scale: float) -> None:
    """Where the working precision may overflow nothing is compared and nothing disagrees."""
    case_seed = np.random.default_rng(seed)
    from agreement.cases import build_case

    structure = next(s for s in structures() if len(s.activations) >= 3)
    sizes = tuple([4] * (len(structure.activations) + 1))
    case = build_case(structure, sizes, 4, Kind.SMOOTH, case_seed, "float32")
    for weight in case.model.weights:
        weight *= np.float32(scale)
    report = report_on(case, "keras-graph", any_shape=True)
    assert not report.any_disagreement, report.conclusion()
    assert any(v.verdict is Verdict.OVERFLOW for v in report.verdicts)
    assert report.exit_status in (0, 2)
