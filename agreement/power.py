"""How much the judge can be trusted: false alarms, faults seen, the smallest error seen.

Three measurements over seeded random cases, each against ``keras-graph``:

(1) false alarms with their 95 % upper limit: with k of n, the p at which k or fewer have
    probability 5 % (Clopper and Pearson; for k = 0 it is 1 − 0.05^(1/n) ≈ 3/n)
(2) for every planted fault: how often it is detected, located, named, in how many cases
(3) the detection rate of a relative error ε in a weight's gradient: the whole tensor scaled by
    1 + ε, or only its non-zero element of median magnitude
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from agreement.cases import Kind, draw_case
from agreement.checking import gather_traces
from agreement.expectation import expect_end_to_end, expect_locally
from agreement.faults import FAULTS, Fault, judge, plant
from agreement.faults.drawing import draw_case as draw_for_faults
from agreement.faults.names import RIGHT_NAMES
from agreement.random_check import Settings, run_cases
from agreement.verdicts import View

if TYPE_CHECKING:
    from rich.table import Table

REFERENCE = "keras-graph"
EPSILONS = {
    "float32": tuple(10.0**-k for k in range(2, 8)),
    "float64": tuple(10.0**-k for k in range(2, 15)),
}
PLANTINGS = ("whole tensor", "one element")
# Cases drawn for one fault before it counts as never detected.
PATIENCE = 200


@dataclass
class FaultPower:
    """What became of one fault over its cases.

    Attributes:
        fault: its name. shown: cases in which it changes a number, all that follow among them.
        detected, located, named: in how many it was seen; put at its layer and tensor;
            and given a right name in the first place.
        cases_to_detection: for each detection, how many random cases of those where the
            fault can be planted it took, counting those where it changes nothing.
    """

    fault: str
    shown: int = 0
    detected: int = 0
    located: int = 0
    named: int = 0
    cases_to_detection: list[int] = field(default_factory=list)

    @property
    def median_cases(self) -> float | None:
        """The median number of cases until detection."""
        return statistics.median(self.cases_to_detection) if self.cases_to_detection else None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "fault": self.fault,
            "shown": self.shown,
            "detected": self.detected,
            "located": self.located,
            "named": self.named,
            "median_cases": self.median_cases,
        }


def upper_limit(alarms: int, cases: int) -> float:
    """The 95 % upper limit of a rate of which ``alarms`` of ``cases`` were seen, (1)."""
    # Imported here: scikit-learn brings SciPy, and nothing else here needs it.
    from scipy.stats import beta

    return 1.0 if alarms >= cases else float(beta.ppf(0.95, alarms + 1, cases - alarms))


def false_alarms(cases: int, seed: int, dtype: str, advance: Callable[[], None]) -> dict[str, Any]:
    """(1) on honest networks, smooth and hostile."""
    found = run_cases(Settings(seed, dtype, (REFERENCE,)), range(cases), advance)
    alarms = len(found.disagreeing)
    return {"dtype": dtype, "cases": cases, "alarms": alarms, "limit": upper_limit(alarms, cases)}


def fault_power(fault: Fault, shown: int, seed: int, dtype: str = "float32") -> FaultPower:
    """(2) for one fault, until it showed in that many cases."""
    power = FaultPower(fault.name)
    since_detection = 0
    for planted in _plantings(fault, seed, dtype):
        since_detection += 1
        if not planted.shows:
            continue
        power.shown += 1
        report = judge(planted, "keras" if fault.optimizer else REFERENCE, diagnosed=True)
        if report.disagreements:
            power.detected += 1
            power.cases_to_detection.append(since_detection)
            since_detection = 0
            first = report.disagreements[0]
            # An update goes wrong in every layer; elsewhere the place is one.
            right_place = str(planted.location)
            if fault.optimizer:
                right_place, place = planted.location.tensor, first.tensor
            else:
                place = first.name
            power.located += place == right_place
            diagnosis = report.diagnoses.get(first.name)
            explanation = diagnosis.explanation if diagnosis else None
            names = explanation.names if explanation else ()
            if not first.size:  # a complaint: what was overwritten, or miscounted
                names = ("overwritten",) if "overwritten" in first.note else ()
            power.named += not {*RIGHT_NAMES[fault.name]}.isdisjoint(names)
        if power.shown == shown:
            break
    return power


def _plantings(fault: Fault, seed: int, dtype: str) -> Any:
    """The fault in each of a seed's cases that has a place for it."""
    for index in range(PATIENCE):
        case = draw_for_faults(fault, seed, index, dtype)
        positions = fault.positions(case.model, case.loss)
        if positions:
            chosen = np.random.default_rng([seed, index, 1]).choice(positions)
            yield plant(fault, case, int(chosen))


def epsilon_power(
    cases: int, seed: int, dtype: str, advance: Callable[[], None]
) -> list[dict[str, Any]]:
    """(3) over every weight's gradient, that is not zero, of smooth random networks."""
    detected: Counter[tuple[View, str, float]] = Counter()
    tensors: Counter[View] = Counter()
    smooth = (
        case
        for case in (draw_case(seed, index, dtype) for index in itertools.count())
        if case.kind is Kind.SMOOTH
    )
    for case in itertools.islice(smooth, cases):
        parts = (case.model, case.inputs, case.targets, case.loss)
        trace = gather_traces(*parts, [REFERENCE], any_shape=True)[REFERENCE]
        expectations = {
            View.LOCAL: expect_locally(case.model, trace, case.targets, case.loss, reference=True),
            View.END_TO_END: expect_end_to_end(*parts, reference=True),
        }
        for view, expected in expectations.items():
            for wanted, actual in zip(expected.gradients, trace.gradients, strict=True):
                if not wanted.value.any():
                    continue
                tensors[view] += 1
                median = _median_element(wanted.value)
                for epsilon in EPSILONS[dtype]:
                    # The manual formula is wrong by 1 + ε, so its value and bound are.
                    value = wanted.value * (1 + epsilon)
                    outside = ~(np.abs(actual - value) <= wanted.error * (1 + epsilon))
                    detected[view, PLANTINGS[0], epsilon] += bool(outside.any())
                    detected[view, PLANTINGS[1], epsilon] += bool(outside.flat[median])
        advance()
    return [
        {
            "dtype": dtype,
            "view": str(view),
            "planted in": where,
            "epsilon": epsilon,
            "tensors": tensors[view],
            "detected": detected[view, where, epsilon] / tensors[view],
        }
        for view in View
        for where in PLANTINGS
        for epsilon in EPSILONS[dtype]
    ]


def _median_element(value: Any) -> int:
    """The flat index of the non-zero element of median magnitude."""
    nonzero = np.flatnonzero(value)
    order = np.argsort(np.abs(value.flat[nonzero]))
    return int(nonzero[order[len(order) // 2]])


@dataclass
class Power:
    """All three measurements."""

    alarms: list[dict[str, Any]]
    faults: list[FaultPower]
    epsilons: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "false_alarms": self.alarms,
            "faults": [fault.to_dict() for fault in self.faults],
            "epsilons": self.epsilons,
        }

    def tables(self) -> list[Table]:
        """Rich tables, one for each measurement."""
        # Imported here: measuring need not load rich.
        from rich import box
        from rich.table import Table

        alarms = Table(title="false alarms on honest networks", box=box.SIMPLE_HEAD)
        for heading in ("dtype", "cases", "alarms", "95 % upper limit"):
            alarms.add_column(heading, justify="right")
        for row in self.alarms:
            alarms.add_row(
                row["dtype"], str(row["cases"]), str(row["alarms"]), f"{row['limit']:.2e}"
            )
        faults = Table(title="planted faults, in cases where they show", box=box.SIMPLE_HEAD)
        faults.add_column("fault", no_wrap=True)
        for heading in ("shown", "detected", "located", "named", "median cases"):
            faults.add_column(heading, justify="right")
        for fault in [*self.faults, self.total]:
            counts = (fault.shown, fault.detected, fault.located, fault.named)
            median = "" if fault.median_cases is None else f"{fault.median_cases:g}"
            faults.add_row(fault.fault, *map(str, counts), median)
        return [alarms, faults, *map(self._epsilon_table, EPSILONS)]

    def _epsilon_table(self, dtype: str) -> Table:
        from rich import box
        from rich.table import Table

        title = f"share of relative errors ε that is detected, {dtype}"
        table = Table(title=title, box=box.SIMPLE_HEAD)
        table.add_column("ε", justify="right")
        columns = [(str(view), where) for view in View for where in PLANTINGS]
        for column in columns:
            table.add_column(", ".join(column), justify="right")
        rates = {
            (row["view"], row["planted in"], row["epsilon"]): row["detected"]
            for row in self.epsilons
            if row["dtype"] == dtype
        }
        for epsilon in EPSILONS[dtype]:
            cells = [f"{rates[(*column, epsilon)]:.1%}" for column in columns]
            table.add_row(f"{epsilon:.0e}", *cells)
        return table

    @property
    def total(self) -> FaultPower:
        """All faults together."""
        total = FaultPower("all")
        for fault in self.faults:
            for name in ("shown", "detected", "located", "named"):
                setattr(total, name, getattr(total, name) + getattr(fault, name))
            total.cases_to_detection += fault.cases_to_detection
        return total


def measure(cases: int, shown: int, seed: int, advance: Callable[[], None] = lambda: None) -> Power:
    """All measurements; ``steps`` says how often ``advance`` is called."""
    faults = []
    for fault in FAULTS.values():
        faults.append(fault_power(fault, shown, seed))
        advance()
    return Power(
        alarms=[false_alarms(cases, seed, dtype, advance) for dtype in EPSILONS],
        faults=faults,
        epsilons=[
            row for dtype in EPSILONS for row in epsilon_power(cases // 4, seed, dtype, advance)
        ],
    )


def steps(cases: int) -> int:
    """How many steps ``measure`` takes."""
    return len(FAULTS) + len(EPSILONS) * (cases + cases // 4)
