"""Judging many draws of one architecture in one go.

The manual code, its bounds, the dual numbers and the reference run on all draws at once (see
``agreement.stacked``), and their verdicts are counted as numbers. A draw in which anything
disagrees is judged again by itself, and so are all draws of a stack that cannot be treated alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray
from agreement.cases import Frame, Kind, Numbers, make_case
from agreement.checking import expected_pairs, manual_trace
from agreement.expectation import copy_with_weights
from agreement.known_steps import mark_known
from agreement.opinion import dual_trace
from agreement.stack_verdicts import StackVerdicts, judge_stacks
from agreement.stacked import DrawsDiffer, Stacked
from agreement.verdicts import DUAL, MANUAL, TensorVerdict, Verdict, judge_pairs
from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.trace import LayerTrace, Trace
from manual_backprop.typing import Array
from reference.modes import MODES


@dataclass
class Stack:
    """Cases of one frame: the numbers of every draw, and the model that carries them.

    Attributes:
        kinds: of each draw. single: the first draw's model, for its architecture.
        model: the model whose weights are stacks. inputs, targets: stacks as well.
    """

    frame: Frame
    kinds: Sequence[Kind]
    numbers: Sequence[Numbers]
    single: NaiveSequential
    model: NaiveSequential
    inputs: Any
    targets: Any

    @classmethod
    def of(cls, frame: Frame, kinds: Sequence[Kind], numbers: Sequence[Numbers]) -> Stack:
        """Lay the draws behind each other."""
        dtype = numbers[0].inputs.dtype.name
        single = make_case(frame, kinds[0], numbers[0], dtype).model
        weights = [Stacked(np.array(w)) for w in zip(*(n.weights for n in numbers), strict=True)]
        inputs = Stacked(np.array([n.inputs for n in numbers]))
        targets = Stacked(np.array([n.targets for n in numbers]))
        model = copy_with_weights(single, weights)
        return cls(frame, kinds, numbers, single, model, inputs, targets)

    @property
    def loss(self) -> Loss:
        """The loss of all cases."""
        return self.frame.loss

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass
class StackJudgement:
    """What was found of each draw.

    Attributes:
        verdicts: of all draws; they hold of those that are ``settled``, (draws,).
        excused: of the draws in which all that disagrees is known to, their verdicts by draw.
        allclose: by witness, the draws that np.allclose would have failed, (draws,).
    """

    verdicts: StackVerdicts
    settled: Array
    excused: dict[int, list[TensorVerdict]]
    allclose: dict[str, Array]


def judge_stack(stack: Stack, names: Sequence[str]) -> StackJudgement:
    """Judge all draws against every reference.

    Raises:
        DrawsDiffer: where the draws cannot be treated alike.
    """
    parts = (stack.model, stack.inputs, stack.targets, stack.loss)
    traces = {MANUAL: manual_trace(*parts)}
    if traces[MANUAL].complaints:
        raise DrawsDiffer("a complaint")
    for name in names:
        traces[name] = dual_trace(*parts) if name == DUAL else _reference_trace(stack, name)
    pairs, local_of = expected_pairs(*parts, traces)
    verdicts = judge_stacks(pairs, len(stack))
    settled = ~verdicts.disagreeing
    excused = {}
    for draw in np.flatnonzero(~settled).tolist():
        own = judge_pairs([(of_draw(a, draw), of_draw(e, draw), v, w) for a, e, v, w in pairs])
        witnesses, expected = (
            {name: of_draw(x[name], draw) for name in names if name != DUAL}
            for x in (traces, local_of)
        )
        targets = stack.numbers[draw].targets
        mark_known(own, stack.single, targets, stack.loss, witnesses, expected)
        if all(v.verdict is not Verdict.DISAGREE for v in own):
            excused[draw] = own
    allclose = {name: _not_allclose(traces[MANUAL], traces[name]) for name in names}
    return StackJudgement(verdicts, settled, excused, allclose)


def _reference_trace(stack: Stack, name: str) -> Trace:
    import reference  # what needs no framework must not load one

    weights = [w.raw for w in stack.model.weights]
    mode = MODES[name]
    if mode.compiled and not mode.xla:
        found = reference.stack_trace(
            stack.single, weights, stack.inputs.raw, stack.targets.raw, stack.loss
        )
        return _mapped(found, lambda x: Stacked(np.asarray(x)))
    model = copy_with_weights(stack.single, [w.copy() for w in stack.single.weights])
    traces = []
    for numbers in stack.numbers:
        for weight, drawn in zip(model.weights, numbers.weights, strict=True):
            weight[...] = drawn
        inputs, targets = numbers.inputs, numbers.targets
        traces.append(reference.trace(model, inputs, targets, stack.loss, mode, any_shape=True))
    return _together(traces)


def _together(traces: Sequence[Trace]) -> Trace:
    """The traces of all draws as one of stacks."""
    rows = [[x for _, x in trace.tensors()] for trace in traces]
    first = {id(x): [row[at] for row in rows] for at, x in enumerate(rows[0])}
    return _mapped(traces[0], lambda x: Stacked(np.array(first[id(x)])))


def of_draw(trace: Trace, draw: int) -> Trace:
    """The trace of one draw."""

    def alone(x: Any) -> Any:
        if isinstance(x, Stacked):
            return x.raw[draw]
        if not isinstance(x, BoundedArray):
            return x
        value, error = (np.asarray(alone(part)) for part in (x.value, x.error))
        smooth = None if x.smooth_error is None else np.asarray(alone(x.smooth_error))
        return BoundedArray(value, error, x.precision, smooth_error=smooth, limited=x.limited)

    return _mapped(trace, alone)


def _mapped(trace: Trace, change: Any) -> Trace:
    """A trace of other arrays; an array under two names stays one."""
    made: dict[int, Any] = {}

    def once(x: Any) -> Any:
        if id(x) not in made:
            made[id(x)] = change(x)
        return made[id(x)]

    def changed(layer: LayerTrace) -> LayerTrace:
        tensors = {f.name: getattr(layer, f.name) for f in fields(layer) if f.name != "name"}
        present = {name: x for name, x in tensors.items() if x is not None}
        return replace(layer, **{name: once(x) for name, x in present.items()})

    return replace(
        trace,
        layers=[changed(layer) for layer in trace.layers],
        loss=None if trace.loss is None else once(trace.loss),
        gradients=[once(x) for x in trace.gradients],
        projections={name: (along, once(x)) for name, (along, x) in trace.projections.items()},
    )


def _not_allclose(manual: Trace, other: Trace) -> Array:
    """Of each draw, whether np.allclose would fail it with its defaults."""
    with np.errstate(all="ignore"):
        ours, theirs = (
            np.concatenate([g.raw.reshape(len(g.raw), -1) for g in trace.gradients], axis=1)
            for trace in (manual, other)
        )
        return ~np.isclose(ours, theirs).all(axis=1)
