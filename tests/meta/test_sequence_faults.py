"""The faults of CTC, which networks of dense layers cannot hold, are seen where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agreement.cases import Kind
from agreement.faults import FAMILIES, Fault
from agreement.faults.fault import LOSS_GRADIENT
from agreement.faults.sequence import SEQUENCE
from agreement.function_cases import FunctionCase, build_function_case
from agreement.function_check import check_function
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.losses import CTC

CASES = 5


def draw_case(index: int) -> FunctionCase:
    """A smooth batch of sequences, without weights."""
    case = build_function_case(CTC(), None, Kind.SMOOTH, np.random.default_rng(index), "float32")
    return replace(case, subject=CTC())


@pytest.mark.parametrize("fault", SEQUENCE, ids=lambda fault: fault.name)
def test_every_fault_of_sequences_is_located(fault: Fault) -> None:
    """Within a few cases the first disagreement with Keras is the fault's own tensor."""
    nowhere = NaiveSequential([NaiveDense(1, 1)])
    planted = fault.plant(nowhere, CTC(), 0)
    located = "grad_inputs" if fault.tensor == LOSS_GRADIENT else fault.tensor
    for index in range(CASES):
        case = draw_case(index)
        report = check_function(planted, case.inputs, case.other, against=["keras-graph"])
        if report.disagreements:
            assert report.disagreements[0].tensor == located
            return
    pytest.fail(f"not seen in {CASES} cases")


@pytest.mark.parametrize("index", range(CASES))
def test_the_honest_loss_agrees_in_the_same_cases(index: int) -> None:
    """Without a fault nothing disagrees."""
    case = draw_case(index)
    report = check_function(CTC(), case.inputs, case.other, against=["keras-graph"])
    assert not report.any_disagreement, report.conclusion()


def test_names_and_sentences_are_in_order() -> None:
    """At least two faults, each of a family and with a sentence to the person who made it."""
    assert len(SEQUENCE) >= 2
    for fault in SEQUENCE:
        assert fault.family in FAMILIES
        assert fault.sentence.startswith("You ")
