"""The ten faults that a judge must see to be worth anything, each at its exact place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from agreement import check
from agreement.cases import Kind, Structure, build_case
from agreement.faults import Planted, get, judge, plant
from agreement.report import Report
from agreement.verdicts import View

STRUCTURE = Structure(
    ("relu", "relu", "softmax"), (True,) * 3, "sparse_categorical_crossentropy", "fused"
)
# Square weights: a transposed one, or another layer's, does not announce itself by its shape.
SIZES, BATCH = (4, 4, 4, 4), 6
MIDDLE, LAST = 1, 2


@dataclass(frozen=True)
class Place:
    """Where a fault is planted, and where it must be found."""

    position: int
    layer: str
    tensor: str


TEN = {
    "batch-mean-missing": Place(LAST, "dense_3", "grad_pre_activation"),
    "weight-gradient-transposed": Place(MIDDLE, "dense_2", "grad_W"),
    "weight-gradient-negated": Place(MIDDLE, "dense_2", "grad_W"),
    "relu-mask-missing": Place(MIDDLE, "dense_2", "grad_pre_activation"),
    "relu-mask-of-another-layer": Place(MIDDLE, "dense_2", "grad_pre_activation"),
    "bias-gradient-mean-for-sum": Place(MIDDLE, "dense_2", "grad_b"),
    "softmax-jacobian-twice": Place(LAST, "dense_3", "grad_pre_activation"),
    "stale-weights": Place(MIDDLE, "dense_2", "grad_inputs"),
    "weight-gradient-of-first-sample": Place(MIDDLE, "dense_2", "grad_W"),
    "one-element-off-by-1e-3": Place(MIDDLE, "dense_2", "grad_W"),
}


def planted_fault(name: str) -> Planted:
    """The fault in the one network of this file."""
    generator = np.random.default_rng(5)
    case = build_case(STRUCTURE, SIZES, BATCH, Kind.SMOOTH, generator, "float32")
    planted = plant(get(name), case, TEN[name].position)
    assert planted.shows, "the fault changes no number of this network: draw another one"
    return planted


def assert_located(report: Report, place: Place) -> None:
    """Every disagreement that no earlier one explains is the fault, seen step by step."""
    assert report.exit_status == 1
    found = {(v.layer, v.tensor, v.view) for v in report.disagreements}
    assert found == {(place.layer, place.tensor, View.LOCAL)}, report.conclusion()


@pytest.mark.parametrize("name", TEN)
def test_eager_mode_puts_the_fault_where_it_is(name: str) -> None:
    """``check`` of the faulty model and loss against eager Keras names the one faulty step."""
    planted = planted_fault(name)
    case = planted.case
    report = check(planted.model, case.inputs, case.targets, loss=planted.loss, against="keras")
    assert_located(report, TEN[name])


@pytest.mark.parametrize("name", TEN)
def test_graph_mode_puts_the_fault_where_it_is(name: str) -> None:
    """The one function that is traced for all shapes finds the same faulty step."""
    assert_located(judge(planted_fault(name), "keras-graph"), TEN[name])


@pytest.mark.parametrize("name", TEN)
def test_end_to_end_sees_the_fault_as_well(name: str) -> None:
    """The view on the whole pass, on its own, starts to disagree at the same tensor."""
    verdicts = judge(planted_fault(name), "keras-graph").verdicts
    report = Report([v for v in verdicts if v.view is View.END_TO_END])
    first = report.disagreements[0]
    assert (first.layer, first.tensor) == (TEN[name].layer, TEN[name].tensor)
