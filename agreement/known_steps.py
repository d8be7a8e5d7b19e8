"""Expected disagreements in a whole model: found step by step, and what follows from them.

A reference that is known to be wrong in one step of a pass is wrong in what it computes from that
step, too: its disagreements end to end are called KNOWN as well. Neither is evidence, so a report
with such a verdict does not agree on account of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agreement.bounded import BoundedArray
from agreement.expectation import copy_of, expect_locally
from agreement.known import explained_by
from agreement.precision import Precision
from agreement.verdicts import TensorVerdict, Verdict, View
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.layers import has_steps
from manual_backprop.losses import Loss
from manual_backprop.trace import Trace
from manual_backprop.typing import Array


def mark_known(
    verdicts: Sequence[TensorVerdict],
    model: NaiveSequential,
    targets: Array,
    loss: Loss,
    traces: Mapping[str, Trace],
    expected: Mapping[str, Trace],
) -> None:
    """Turn expected disagreements of references into KNOWN, in place.

    Args:
        traces: those of the references. expected: their local expectations.
    """
    excused: dict[str, str] = {}
    for v in verdicts:
        if v.verdict is Verdict.DISAGREE and v.view is View.LOCAL and v.witness in traces:
            pair = traces[v.witness], expected[v.witness]
            if note := _finding(v, model, targets, loss, *pair):
                v.verdict, v.note = Verdict.KNOWN, note
                excused.setdefault(v.witness, note)
    for v in verdicts:
        if v.verdict is Verdict.DISAGREE and v.view is View.END_TO_END and v.witness in excused:
            v.verdict, v.note = Verdict.KNOWN, f"follows from {excused[v.witness]}"


def _finding(
    v: TensorVerdict,
    model: NaiveSequential,
    targets: Array,
    loss: Loss,
    seen: Trace,
    wanted: Trace,
) -> str:
    """The finding that explains a local disagreement, or ""."""
    last = len(seen.layers) - 1
    place = seen.labels().index(v.layer) if v.layer else last
    step, bounds = seen.layers[place], wanted.layers[place]
    subject: Any = loss
    if v.tensor == "loss":
        tensor, actual, bound = "loss", seen.loss, wanted.loss
    elif place == last and v.tensor == ("grad_pre_activation" if seen.fused else "grad_output"):
        tensor, actual, bound = "grad_inputs", getattr(step, v.tensor), getattr(bounds, v.tensor)
    elif v.tensor in ("output", "grad_pre_activation") and has_steps(model.layers[place]):
        subject = model.layers[place].activation
        tensor = "output" if v.tensor == "output" else "grad_inputs"
        actual, bound = getattr(step, v.tensor), getattr(bounds, v.tensor)
    else:
        return ""
    if subject is loss:
        inputs, other = step.pre_activation if seen.fused else step.output, targets
    else:
        inputs, other = step.pre_activation, step.grad_output
    if inputs is None or actual is None or bound is None:
        return ""

    part, trace, at = model, seen, place
    if v.tensor != "loss" or not model.is_penalised:  # all layers' penalties are in the loss
        part, trace, at = _alone(model, seen, place, to_loss=subject is loss)

    def expect(substitute: Any, precision: Precision | None) -> BoundedArray | None:
        changed, other_loss = part, loss
        if subject is loss:
            other_loss = substitute
        else:
            changed = copy_of(part)
            changed.layers[at].activation = substitute
        parts = changed, trace, targets, other_loss
        found = expect_locally(*parts, reference=True, precision=precision)
        return found.loss if v.tensor == "loss" else getattr(found.layers[at], v.tensor)

    row = explained_by(subject, tensor, v.witness, inputs, other, actual, bound, expect)
    return "" if row is None else f"finding {row.finding}: {row.sentence}"


def _alone(
    model: NaiveSequential, seen: Trace, place: int, *, to_loss: bool
) -> tuple[NaiveSequential, Trace, int]:
    """Of a pass the one layer that matters, and its place; all of it where layers of the user's own
    may look at each other."""
    if any(type(layer) is not NaiveDense for layer in model.layers):
        return model, seen, place
    part = NaiveSequential([model.layers[place]])
    step = replace(seen.layers[place], name=part.names[0])
    if to_loss:
        return part, replace(seen, layers=[step]), 0
    return part, replace(seen, layers=[replace(step, output=None)], fused=False), 0
