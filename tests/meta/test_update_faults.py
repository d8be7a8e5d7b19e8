"""Planted faults of optimizers: each is seen, in its slot or weight, at its step."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from agreement.faults.updates import UPDATE_FAULTS
from agreement.verdicts import Verdict
from manual_backprop.optimizers import OPTIMIZERS

EVERY = pytest.mark.parametrize("name", UPDATE_FAULTS)


@EVERY
def test_every_fault_is_located(name: str) -> None:
    """The first disagreement is where the fault is, beside Keras' right optimizer."""
    fault = UPDATE_FAULTS[name]
    found = fault.judge().disagreements
    assert found, "not seen"
    assert fault.is_at(found[0]), f"expected {fault.tensor} in step {fault.step}: {found[0].name}"


@EVERY
def test_the_honest_optimizer_raises_nothing_there(name: str) -> None:
    """Without the fault the very same trajectory has no disagreement, so it alone is seen."""
    report = UPDATE_FAULTS[name].judge(honest=True)
    assert not report.any_disagreement, report.conclusion()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_has_faults_of_its_own(optimizer: str) -> None:
    """Two or more."""
    assert sum(fault.optimizer == optimizer for fault in UPDATE_FAULTS.values()) >= 2


@pytest.mark.parametrize("name", ["adam-epsilon-inside-root", "schedule-free-mean-counts-from-two"])
def test_float64_sees_them_as_well(name: str) -> None:
    """In the wider arithmetic too, also where a known disagreement of Keras is on the way."""
    fault = UPDATE_FAULTS[name]
    assert fault.is_at(fault.judge(dtype="float64").disagreements[0])


def test_a_known_disagreement_hides_no_fault() -> None:
    """Where Keras' own difference is expected, a wrong update is still called one."""
    fault = UPDATE_FAULTS["schedule-free-bias-correction-missing"]
    verdicts = Counter(v.verdict for v in fault.judge().verdicts)
    honest = Counter(v.verdict for v in fault.judge(honest=True).verdicts)
    assert verdicts[Verdict.DISAGREE]
    assert honest[Verdict.KNOWN]
    assert not honest[Verdict.DISAGREE]


def test_names_and_sentences_are_in_order() -> None:
    """Sorted kebab-case, and each sentence tells a person what happened."""
    assert list(UPDATE_FAULTS) == sorted(UPDATE_FAULTS)
    for name, fault in UPDATE_FAULTS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        assert re.fullmatch(r"You .*\.", fault.sentence), f"{name}: {fault.sentence}"
    assert len({fault.sentence for fault in UPDATE_FAULTS.values()}) == len(UPDATE_FAULTS)
