r"""Optimizers, judged over many steps: the same gradients go into the manual code and into Keras.

Two views, as of a backward pass. *Local*: each step alone, from the weights and slots that the
witness itself stored before it, so that bounds cover one step. *End to end*: all steps from the
start, with propagated bounds. Of a weight its change is judged: beside a large weight a wrong step
would not be seen.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray, bounded
from agreement.known_updates import (
    STAIRS_ARE_LATE,
    as_keras_computes,
    note_of,
    rows_for,
    with_late_stairs,
)
from agreement.precision import Precision, precision_of
from agreement.references import resolve_references
from agreement.report import Report
from agreement.trajectory_inputs import checked_inputs, checked_schedule
from agreement.verdicts import (
    MANUAL,
    Comparison,
    TensorVerdict,
    Verdict,
    View,
    judge_tensors,
)
from manual_backprop.optimizers import LossScaleOptimizer, Muon, Optimizer, Snapshot, State
from manual_backprop.optimizers.schedules import Schedule
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array
from reference.modes import MODES

Gradients = Sequence[Sequence[Array]]


@dataclass
class Trajectory:
    """What every witness held before the first step and after each.

    Attributes:
        optimizer: the manual one. gradients: for each step one for each weight.
        snapshots: by witness.
    """

    optimizer: Optimizer
    gradients: Gradients
    snapshots: Mapping[str, list[Snapshot]]


def check_trajectory(
    optimizer: Optimizer | str | type[Optimizer],
    weights: Mapping[str, Array],
    gradients: Gradients,
    *,
    against: str | Sequence[str] = ("keras",),
    start: State | None = None,
    end_to_end: bool = True,
) -> Report:
    """Judge an optimizer's weights and slots after every step; nothing given is changed.

    Args:
        optimizer: an instance, or a name or class in the catalogue.
        weights: by name, in one dtype. gradients: for each step one for each weight.
        against: Keras' modes. start: the state to begin with, if not the initial one.
        end_to_end: whether to judge with propagated bounds as well.

    Raises:
        TypeError, ValueError: for arguments that do not fit together; see ``checked_inputs``.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    optimizer, begin, gradients = checked_inputs(optimizer, weights, gradients, start)
    snapshots = {MANUAL: run_manual(optimizer, begin, gradients)}
    for name in resolve_references(against, dual=False):
        snapshots[name] = reference.run_optimizer(optimizer, begin, gradients, MODES[name])
    return judge_trajectory(Trajectory(optimizer, gradients, snapshots), end_to_end=end_to_end)


def run_manual(optimizer: Optimizer, start: Snapshot, gradients: Gradients) -> list[Snapshot]:
    """The manual optimizer's own run, on copies of everything."""
    now = copy.deepcopy(start)
    found = [copy.deepcopy(now)]
    subject = copy.copy(optimizer)
    stages: dict[str, list[Array]] = {}
    if isinstance(subject, Muon):
        stages_of = subject.stages
        vars(subject)["stages"] = lambda x, name: stages.setdefault(name, stages_of(x, name))
    for given in gradients:
        stages = {}
        with np.errstate(all="ignore"):  # an overflow is a verdict, not a warning
            subject.step([g.copy() for g in given], now.weights, now.state)
        found.append(copy.deepcopy(now._replace(stages=stages)))
    return found


def judge_trajectory(trajectory: Trajectory, *, end_to_end: bool = True) -> Report:
    """Judge every step of every witness, locally and, if wanted, with propagated bounds."""
    optimizer = trajectory.optimizer
    local = _explained(trajectory, _judge_locally)
    report = Report(local, frozenset((v.witness, v.name) for v in local))
    report.facts["sharp_local"] = share_of_evidence(local)
    if end_to_end:
        propagated = _explained(trajectory, _judge_propagated)
        for witness in trajectory.snapshots:
            own = [v for v in propagated if v.witness == witness]
            for verdict in [v for v in own if v.verdict is Verdict.DISAGREE][1:]:
                verdict.consequence = True
        report.verdicts = local + propagated
        report.facts["sharp_end_to_end"] = share_of_evidence(propagated)
    report.facts["optimizer"] = repr(optimizer)
    return report


# From an optimizer, gradients and snapshots by witness to verdicts.
_Judge: TypeAlias = Callable[[Trajectory], list[TensorVerdict]]


def _explained(trajectory: Trajectory, judge: _Judge) -> list[TensorVerdict]:
    """Verdicts, of which those that a known disagreement of Keras explains say so."""
    verdicts = judge(trajectory)
    first = next(iter(trajectory.snapshots.values()))[0]
    rows = rows_for(trajectory.optimizer, first.weights[0].dtype.name)
    witnesses = {v.witness for v in verdicts if v.verdict is Verdict.DISAGREE} - {MANUAL}
    if not rows or not witnesses:
        return verdicts
    as_keras = Trajectory(
        as_keras_computes(trajectory.optimizer, rows),
        trajectory.gradients,
        {witness: trajectory.snapshots[witness] for witness in witnesses},
    )
    mark_known(verdicts, judge(as_keras), note_of(rows))
    return verdicts


def mark_known(
    verdicts: Sequence[TensorVerdict],
    explained: Sequence[TensorVerdict],
    note: str,
) -> None:
    """Call KNOWN what disagrees, and agrees where Keras' known differences are expected.

    Where those leave no bound, what Keras cannot compute at all is known as well; any other
    number of Keras is not compared, for agreement with anything is none.
    """
    found = {(v.witness, v.name): v.verdict for v in explained}
    for v in verdicts:
        outcome = found.get((v.witness, v.name), Verdict.DISAGREE)
        if v.verdict is not Verdict.DISAGREE or outcome is Verdict.DISAGREE:
            continue
        lost = outcome is Verdict.OVERFLOW and not np.isfinite(v.actual)
        agrees = outcome in (Verdict.AGREE, Verdict.KINK)
        v.verdict = Verdict.KNOWN if agrees or lost else outcome
        v.note = note


def _judge_locally(trajectory: Trajectory) -> list[TensorVerdict]:
    verdicts = []
    for witness, snapshots in trajectory.snapshots.items():
        steps = zip(snapshots[:-1], snapshots[1:], trajectory.gradients, strict=True)
        comparisons: list[Comparison] = []
        for number, (before, after, given) in enumerate(steps, start=1):
            expected = expected_step(trajectory.optimizer, before, given, after.stages)
            comparisons += _compare(number, before, after, expected)
        verdicts += judge_tensors(comparisons, View.LOCAL, witness)
    return verdicts


def expected_step(
    optimizer: Optimizer,
    before: Snapshot,
    gradients: Sequence[Array],
    stages: Mapping[str, Sequence[Array]] | None = None,
) -> Snapshot:
    """What a correct step gives from a snapshot's own numbers, with bounds.

    Each stage of an update is computed from the ``stages`` that the witness has been through.
    """
    now = _with_bounds(before)
    subject = copy.copy(optimizer)
    expected: dict[str, list[Array]] = {}
    if isinstance(subject, Muon) and stages:
        forced = _Stages(subject, stages, now.weights[0].precision, expected)
        vars(subject)["stages"] = forced
    _step(subject, now, gradients)
    return now._replace(stages=expected)


class _Stages:
    """Muon's stages, each computed from the one before as the witness stored it."""

    def __init__(
        self,
        optimizer: Muon,
        stored: Mapping[str, Sequence[Array]],
        precision: Precision,
        expected: dict[str, list[Array]],
    ) -> None:
        self.optimizer, self.stored = optimizer, stored
        self.precision, self.expected = precision, expected

    def __call__(self, x: Array, name: str) -> list[Array]:
        tall = x.shape[0] > x.shape[1]

        def turned(stage: Array) -> Array:
            return stage.T if tall else stage

        seen = [turned(bounded(stage, self.precision)) for stage in self.stored[name]]
        found = [self.optimizer.normalised(turned(x)), *map(self.optimizer.iterated, seen[:-1])]
        self.expected[name] = [turned(stage) for stage in found]
        return [turned(stage) for stage in seen]


def _step(optimizer: Optimizer, now: Snapshot, gradients: Sequence[Array]) -> None:
    """One step, in place, of error-carrying weights and state."""
    precision = now.weights[0].precision
    subject = copy.copy(optimizer)
    if isinstance(subject, LossScaleOptimizer):
        # Whether a gradient is finite is asked of itself: with an error, nothing infinite is.
        decided = subject.all_finite(gradients)
        vars(subject)["all_finite"] = lambda _: decided
    with np.errstate(all="ignore"):
        subject.step([bounded(g, precision) for g in gradients], now.weights, now.state)


def _with_bounds(snapshot: Snapshot) -> Snapshot:
    dtype = snapshot.weights[0].dtype
    weights = [bounded(w, precision_of(dtype)) for w in snapshot.weights]
    return Snapshot(weights, with_bounds(snapshot.state, dtype))


def with_bounds(state: State, dtype: np.dtype[Any]) -> State:
    """A copy whose numbers are error-carrying ones, exact."""
    precision = precision_of(dtype)
    slots = [{name: bounded(x, precision) for name, x in own.items()} for own in state.slots]
    shared = {name: bounded(x, precision) for name, x in state.shared.items()}
    return dataclasses.replace(state, slots=slots, shared=shared, counts=dict(state.counts))


def _compare(
    number: int, before: Snapshot, after: Snapshot, expected: Snapshot
) -> Iterator[Comparison]:
    """Every number after a step: what is shared, then for each weight its slots and itself."""
    step = f"step {number}"
    counted = {"iterations": expected.state.iterations} | expected.state.counts
    found_counts = {"iterations": after.state.iterations} | after.state.counts
    precision = expected.weights[0].precision
    for name, count in counted.items():
        exact = BoundedArray(np.array(float(count)), np.zeros(()), precision, exact=True)
        yield Comparison(TensorName(step, name), np.array(float(found_counts[name])), exact)
    for name, wanted in expected.state.shared.items():
        yield Comparison(TensorName(step, name), after.state.shared[name], wanted)
    for index, weight in enumerate(expected.state.names):
        for name, wanted in expected.state.slots[index].items():
            found = after.state.slots[index][name]
            yield Comparison(TensorName(step, f"{weight}.{name}"), found, wanted)
        for stage, wanted in enumerate(expected.stages.get(weight, ())):
            place = TensorName(step, f"{weight}.iterate_{stage}")
            yield Comparison(place, after.stages[weight][stage], wanted)
        yield change(
            TensorName(step, weight),
            before.weights[index],
            after.weights[index],
            expected.weights[index],
        )


def change(name: TensorName, before: Array, after: Array, expected: BoundedArray) -> Comparison:
    """What a step added to a weight, computed and expected, but for the centre's rounding."""
    old = before.astype(np.float64)
    with np.errstate(invalid="ignore"):
        moved = expected.value - old
        error = expected.error + 2.0**-52 * np.abs(moved)
        error = np.where(np.isinf(expected.error), np.inf, error)
        smooth = expected.smooth_error
        wanted = BoundedArray(moved, error, expected.precision, smooth_error=smooth)
        return Comparison(name, after.astype(np.float64) - old, wanted)


def _judge_propagated(trajectory: Trajectory) -> list[TensorVerdict]:
    optimizer, snapshots = trajectory.optimizer, trajectory.snapshots
    now = _with_bounds(next(iter(snapshots.values()))[0])
    comparisons: dict[str, list[Comparison]] = {witness: [] for witness in snapshots}
    for number, given in enumerate(trajectory.gradients, start=1):
        _step(optimizer, now, given)
        expected = copy.deepcopy(now)
        for witness, held in snapshots.items():
            before = held[number - 1]
            comparisons[witness] += list(_compare(number, before, held[number], expected))
    return [
        verdict
        for witness, compared in comparisons.items()
        for verdict in judge_tensors(compared, View.END_TO_END, witness)
    ]


def expect_trajectory(
    optimizer: Optimizer, weights: Mapping[str, Array], gradients: Gradients
) -> Iterator[Snapshot]:
    """What is allowed after each step from the initial state on, with propagated bounds."""
    arrays = [np.array(weight) for weight in weights.values()]
    now = _with_bounds(Snapshot(arrays, optimizer.initial_state(arrays, list(weights))))
    for given in gradients:
        _step(optimizer, now, given)
        yield copy.deepcopy(now)


def share_of_evidence(verdicts: Sequence[TensorVerdict]) -> float:
    """The share of tensors in every element of which an error could have been seen."""
    return sum(v.is_evidence for v in verdicts) / max(len(verdicts), 1)


def check_schedule(
    schedule: Schedule,
    iterations: Sequence[int],
    dtype: str,
    against: str | Sequence[str] = ("keras",),
) -> Report:
    """Judge a learning-rate schedule at some iterations.

    Raises:
        TypeError, ValueError: for no schedule, no iterations, or a dtype other than float32 and
            float64.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    schedule, dtype = checked_schedule(schedule, iterations, dtype)
    like = np.zeros((), dtype)
    with np.errstate(all="ignore"):
        found = {MANUAL: [np.asarray(schedule(i, like)) for i in iterations]}
    for name in resolve_references(against, dual=False):
        found[name] = reference.run_schedule(schedule, iterations, dtype, reference.MODES[name])
    report = Report()
    for witness, rates in found.items():
        verdicts = _judge_rates(schedule, iterations, rates, witness)
        if witness != MANUAL and any(v.verdict is Verdict.DISAGREE for v in verdicts):
            late = _judge_rates(with_late_stairs(schedule), iterations, rates, witness)
            mark_known(verdicts, late, STAIRS_ARE_LATE)
        report.verdicts += verdicts
    report.required = frozenset((v.witness, v.name) for v in report.verdicts)
    return report


def _judge_rates(
    schedule: Schedule, iterations: Sequence[int], rates: Sequence[Array], witness: str
) -> list[TensorVerdict]:
    like = bounded(np.zeros_like(rates[0]), precision_of(rates[0].dtype))
    with np.errstate(all="ignore"):
        comparisons = [
            Comparison(TensorName(f"iteration {i}", schedule.name), rate, schedule(i, like))
            for i, rate in zip(iterations, rates, strict=True)
        ]
    return judge_tensors(comparisons, View.LOCAL, witness)


__all__ = [
    "Trajectory",
    "check_schedule",
    "check_trajectory",
    "expect_trajectory",
    "expected_step",
    "judge_trajectory",
    "run_manual",
]
