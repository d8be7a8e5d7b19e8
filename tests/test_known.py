"""Expected disagreements: each must be seen, so that the release which mends one is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agreement.function_check import check_function
from agreement.known import KNOWN, KnownDisagreement
from agreement.verdicts import MANUAL, Verdict

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
