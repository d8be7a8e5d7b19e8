"""The measurement of the judge measures: faults seen, put right, named right; small errors seen."""

from __future__ import annotations

import numpy as np
import pytest

from agreement.faults import FAULTS, judge
from agreement.faults.drawing import cases_that_show
from agreement.faults.names import RIGHT_NAMES
from agreement.power import (
    EPSILONS,
    PLANTINGS,
    Power,
    epsilon_power,
    false_alarms,
    fault_power,
    upper_limit,
)
from agreement.verdicts import View

SEED = 5


def no_steps() -> None:
    pass


def test_every_fault_has_a_right_name() -> None:
    """The table of right names covers the catalogue, and nothing else."""
    assert sorted(RIGHT_NAMES) == sorted(FAULTS)


def test_faults_are_detected_located_and_named() -> None:
    """Over the catalogue: every detection at its place, 95 % named right in the first place."""
    faults = [fault_power(fault, 3, SEED) for fault in FAULTS.values()]
    total = Power([], faults, []).total
    assert total.located == total.detected
    assert total.named >= 0.95 * total.detected, [f for f in faults if f.named < f.detected]
    missed = [f.fault for f in faults if not f.detected]
    assert not missed
    assert all(f.median_cases is not None and f.median_cases <= 2 for f in faults)


@pytest.mark.parametrize("name", ["relu-mask-missing", "bias-gradient-mean-for-sum"])
def test_a_remark_says_where_why_and_who(name: str) -> None:
    """The conclusion names the tensor, the reason, the side of the dual numbers, the method."""
    planted = next(cases_that_show(FAULTS[name], SEED))
    report = judge(planted, "keras-graph", diagnosed=True)
    remark = report.remark(report.disagreements[0])
    assert str(planted.location) in remark
    assert "looks like: " in remark
    assert "no known explanation" not in remark
    assert "dual numbers side with keras-graph" in remark
    assert "look at " in remark


def test_an_unknown_fault_is_called_unknown() -> None:
    """Random numbers in the place of a gradient get no explanation, and no wrong one."""
    planted = next(cases_that_show(FAULTS["weight-gradient-doubled"], SEED))
    layer = planted.model.layers[planted.model.names.index(planted.location.layer)]
    kind = type(layer).__mro__[1]

    class Nonsense(kind):  # type: ignore[misc, valid-type]
        def backward_affine(self, grad_pre_activation):
            grad_inputs = super().backward_affine(grad_pre_activation)
            noise = np.random.default_rng(0).normal(size=self.W.shape)
            self.gradients[0] = self.gradients[0] * noise
            return grad_inputs

    layer.__class__ = Nonsense
    report = judge(planted, "keras-graph", diagnosed=True)
    assert "no known explanation" in report.remark(report.disagreements[0])


@pytest.mark.parametrize("dtype", sorted(EPSILONS))
def test_small_errors_are_seen_locally(dtype: str) -> None:
    """A gradient off by 1e-5 (float32) or 1e-12 (float64) throughout is seen in the local view."""
    rows = epsilon_power(40, SEED, dtype, no_steps)
    epsilon = {"float32": 1e-5, "float64": 1e-12}[dtype]
    rates = {(r["view"], r["planted in"], r["epsilon"]): r["detected"] for r in rows}
    found = next(v for k, v in rates.items() if k[:2] == (View.LOCAL, PLANTINGS[0]) and
                 np.isclose(k[2], epsilon))  # fmt: skip
    assert found >= 0.99


def test_no_alarm_is_false_and_the_limit_is_the_binomial_one() -> None:
    """Honest networks raise no alarm, and k = 0 of n limits the rate to 1 − 0.05^(1/n)."""
    found = false_alarms(40, SEED, "float32", no_steps)
    assert found["alarms"] == 0
    assert round(found["limit"], 12) == round(1 - 0.05 ** (1 / 40), 12)
    assert upper_limit(40, 40) == 1.0
    assert upper_limit(1, 40) > upper_limit(0, 40) > upper_limit(0, 400)
