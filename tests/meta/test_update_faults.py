"""Planted faults of optimizers: each is seen, in its slot or weight, at its step."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from agreement.faults.updates import UPDATE_FAULTS
from agreement.trajectory import check_trajectory
from agreement.verdicts import Verdict
from manual_backprop.optimizers import OPTIMIZERS, SGD, Ftrl, Lamb, Muon, Optimizer
from manual_backprop.typing import Array

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


def one_too_many(kind: type[Any], **arguments: Any) -> Any:
    """An optimizer whose update adds 1 to every weight."""

    def update(self: Any, gradient: Array, weight: Array, *rest: Any) -> None:
        kind.update(self, gradient, weight, *rest)
        weight += 1.0

    return type(f"Wrong{kind.__name__}", (kind,), {"update": update})(0.1, **arguments)


class HalfTheFtrl(Ftrl):
    """Divides by twice as much."""

    def divisor(self, quadratic: Array) -> Array:
        return 2 * super().divisor(quadratic)


# Where Keras' sums of squares are right, and where it is certain what becomes of them.
UNEXPLAINED = [
    *[
        (optimizer, scale)
        for optimizer in (
            one_too_many(Lamb),
            one_too_many(Muon),
            one_too_many(SGD, clipnorm=1.0),
            one_too_many(SGD, global_clipnorm=1.0),
        )
        for scale in (0.0, 1.0)
    ],
    (one_too_many(Lamb), 1e-33),
    (one_too_many(Muon), 1e30),
    (one_too_many(SGD, clipnorm=1.0), 1e30),
    (HalfTheFtrl(0.1, initial_accumulator_value=0.0), 1.0),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("optimizer", "scale"), UNEXPLAINED)
def test_what_keras_gets_wrong_elsewhere_explains_nothing(
    optimizer: Optimizer, scale: float, dtype: str
) -> None:
    """A row speaks of the numbers at hand: a fault that it does not describe is none of it."""
    weights = {"w": np.ones((3, 2), dtype)}
    gradients = [[np.full((3, 2), scale, dtype)] for _ in range(2)]
    report = check_trajectory(optimizer, weights, gradients)
    found = [v for v in report.verdicts if v.witness == "keras" and v.tensor == "w"]
    assert {v.verdict for v in found} == {Verdict.DISAGREE}


def test_a_number_that_is_not_bound_explains_nothing() -> None:
    """The squares are subnormal, and it is open whether Keras keeps them: that is not KNOWN."""
    weights = {"w": np.ones(3, np.float32)}
    gradients = [[np.full(3, 1e-28, np.float32)]] * 2
    report = check_trajectory(one_too_many(Lamb), weights, gradients, end_to_end=False)
    found = {v.verdict for v in report.verdicts if v.witness == "keras" and v.tensor == "w"}
    assert Verdict.KNOWN not in found


def test_names_and_sentences_are_in_order() -> None:
    """Sorted kebab-case, and each sentence tells a person what happened."""
    assert list(UPDATE_FAULTS) == sorted(UPDATE_FAULTS)
    for name, fault in UPDATE_FAULTS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        assert re.fullmatch(r"You .*\.", fault.sentence), f"{name}: {fault.sentence}"
    assert len({fault.sentence for fault in UPDATE_FAULTS.values()}) == len(UPDATE_FAULTS)
