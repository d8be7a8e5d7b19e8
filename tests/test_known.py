"""Expected disagreements: each must be seen, so that the release which mends one is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from agreement import check
from agreement.function_check import check_function
from agreement.known import KNOWN, KnownDisagreement
from agreement.verdicts import MANUAL, Verdict
from manual_backprop import NaiveDense, NaiveSequential

MENDED = "the installed Keras mends finding {}: remove the row and say so in docs/findings.md"
FINDINGS = (Path(__file__).parent.parent / "docs" / "findings.md").read_text()


def row_id(row: KnownDisagreement) -> str:
    """Finding, function and tensors."""
    return f"{row.finding}-{row.function}-{'+'.join(row.tensors)}"


@pytest.mark.parametrize("row", KNOWN, ids=row_id)
def test_keras_is_still_wrong_where_a_row_says_so(row: KnownDisagreement) -> None:
    """The example disagrees in every mode, dtype and tensor of the row, and nowhere else."""
    subject, inputs, other = row.example
    for dtype in row.dtypes:
        numbers = np.array(inputs, dtype)
        second = np.array(other, dtype) if np.array(other).dtype.kind == "f" else np.array(other)
        report = check_function(subject, numbers, second, against=list(row.modes))
        assert not report.any_disagreement, report.conclusion()
        shown = {(v.witness, v.tensor) for v in report.verdicts if v.verdict is Verdict.KNOWN}
        for mode in row.modes:
            for tensor in row.tensors:
                assert (mode, tensor) in shown, MENDED.format(row.finding)
        assert not any(witness == MANUAL for witness, _ in shown)


@pytest.mark.parametrize("row", KNOWN, ids=row_id)
def test_every_row_is_written_up(row: KnownDisagreement) -> None:
    """docs/findings.md has a section of the row's number."""
    assert f"\n## {row.finding}. " in FINDINGS, row.finding


EXACT = [row for row in KNOWN if row.instead is not None]


@pytest.mark.parametrize("row", EXACT, ids=row_id)
def test_an_error_on_top_of_a_known_one_is_none_that_is_known(
    row: KnownDisagreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousandth of each tensor's scale more disagrees: such a row excuses what it says only."""
    subject, inputs, other = row.example
    second = np.array(other, row.dtypes[0]) if np.array(other).dtype.kind == "f" else other
    for family in ("activation", "loss", "regularizer"):
        original = getattr(reference.functions, family)

        def planted(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            pair = original(*args, **kwargs)
            return tuple(x + 1e-3 * np.abs(x).max(initial=1e-20) for x in pair)

        monkeypatch.setattr(reference.functions, family, planted)
    for dtype in row.dtypes:
        report = check_function(
            subject, np.array(inputs, dtype), np.array(second), against=list(row.modes)
        )
        judged = {(v.witness, v.tensor): v.verdict for v in report.verdicts}
        for mode in row.modes:
            for tensor in row.tensors:
                assert judged[mode, tensor] is Verdict.DISAGREE, (mode, tensor)


def test_a_known_step_of_a_network_is_judged_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """LogCosh in float64, in a model: KNOWN, and with a wrong loss on top of it DISAGREE."""
    model = NaiveSequential(
        [NaiveDense(3, 2, "gelu", dtype="float64"), NaiveDense(2, 2, dtype="float64")]
    )
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    report = check(model, *batch, loss="log_cosh", against=["keras"])
    shown = {v.tensor: v.verdict for v in report.verdicts if v.verdict is not Verdict.AGREE}
    assert not report.any_disagreement
    assert shown["loss"] is Verdict.KNOWN
    assert shown["output"] is Verdict.KNOWN
    original = reference.trace

    def planted(*args: Any, **kwargs: Any) -> Any:
        trace = original(*args, **kwargs)
        trace.loss = trace.loss * 1.001
        return trace

    monkeypatch.setattr(reference, "trace", planted)
    report = check(model, *batch, loss="log_cosh", against=["keras"])
    wrong = [v for v in report.verdicts if v.verdict is Verdict.DISAGREE]
    assert {v.tensor for v in wrong} == {"loss"}
