"""Planting a fault into a case, and judging what came of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from agreement.cases import Case
from agreement.checking import check_training_step, judge_traces, manual_trace
from agreement.diagnosis import Diagnostician
from agreement.faults.fault import Fault
from agreement.known import known_for
from agreement.opinion import dual_trace
from agreement.report import Report
from agreement.verdicts import DUAL, MANUAL
from manual_backprop import SGD, NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array
from reference.modes import MODES

LEARNING_RATE = 1e-2


@dataclass
class Planted:
    """A case with a fault in it.

    Attributes:
        fault, case: which fault, in which case; the case's own model stays honest.
        model, loss: the faulty model and loss, ready to be checked.
        honest: the model without the fault, with the same weights.
        location: where the judge should find the fault.
    """

    fault: Fault
    case: Case
    model: NaiveSequential
    loss: Loss
    honest: NaiveSequential
    location: TensorName

    @property
    def shows(self) -> bool:
        """Whether the fault changes any number of the tensor at which it is located.

        A missing mask, say, changes nothing where every unit is switched on. An array that
        is changed in place behind the pass's back shows as well.
        """
        case = self.case
        if manual_trace(self.model, case.inputs, case.targets, self.loss).complaints:
            return True
        right = self._located(self.honest, self.case.loss, faulty=False)
        wrong = self._located(self.model, self.loss, faulty=True)
        return not np.array_equal(right, wrong)

    def _located(self, model: NaiveSequential, loss: Loss, *, faulty: bool) -> Array:
        trace = manual_trace(model, self.case.inputs, self.case.targets, loss)
        if self.fault.optimizer is None:
            return dict(trace.tensors()).get(self.location)
        make = self.fault.optimizer if faulty else SGD
        weights = [w.copy() for w in model.weights]
        make(LEARNING_RATE).apply(trace.gradients, weights)
        name = self.location.tensor.partition(" ")[0]
        return weights[model.weight_names.index(self.location._replace(tensor=name))]


def plant(fault: Fault, case: Case, position: int) -> Planted:
    """Plant a fault at one of its positions into a copy of the case's model."""
    model, honest = copy.deepcopy(case.model), copy.deepcopy(case.model)
    location = fault.location(model, case.loss, position)
    loss = fault.plant(model, case.loss, position)
    if fault.prepare is not None:
        with np.errstate(all="ignore"):
            fault.prepare(model, case.inputs, case.targets, loss)
    for ours, theirs in zip(honest.weights, model.weights, strict=True):
        ours[...] = theirs
    return Planted(fault, case, model, loss, honest, location)


def judge(
    planted: Planted, *against: str, any_shape: bool = True, diagnosed: bool = False
) -> Report:
    """Judge the faulty model against references, which are shown the honest one.

    A reference reads architecture and weights only; that it sees the honest activation and
    loss lets it reuse what it has traced for them. Where one is known to compute an activation
    wrongly, dual numbers take its place. ``diagnosed`` explains the first disagreement as well.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    case, model, loss = planted.case, planted.model, planted.loss
    if planted.fault.optimizer is not None:
        return check_training_step(
            model,
            case.inputs,
            case.targets,
            loss=loss,
            learning_rate=LEARNING_RATE,
            optimizer=planted.fault.optimizer(LEARNING_RATE),
            against=against,
        )
    traces = {MANUAL: manual_trace(model, case.inputs, case.targets, loss)}
    parts = (model, case.inputs, case.targets, loss)
    for name in against:
        if _is_misled(planted, name):
            traces[DUAL] = dual_trace(*parts)
            continue
        traces[name] = reference.trace(
            planted.honest, case.inputs, case.targets, case.loss, MODES[name], any_shape=any_shape
        )
    report = Report(judge_traces(*parts, traces))
    if diagnosed and report.disagreements:
        first = report.disagreements[0]
        report.diagnoses[first.name] = Diagnostician(*parts, traces).diagnose(first)
    return report


def _is_misled(planted: Planted, mode: str) -> bool:
    """Whether a reference is known to give wrong outputs at the numbers of the case."""
    model, case = planted.honest, planted.case
    suspects = [known_for(x.activation, "output", mode, model.dtype.name) for x in model.layers]
    if not any(suspects):
        return False
    seen = manual_trace(model, case.inputs, case.targets, case.loss).layers
    return any(
        row.where(layer.activation, own.pre_activation, own.grad_output).any()
        for layer, own, rows in zip(model.layers, seen, suspects, strict=True)
        for row in rows
    )
