"""Gradients end to end from dual numbers of one step at a time, chained.

Every tensor between the steps has directions of its own, one for each element, so what lies below
it need not be carried any further: a step's tangents are its Jacobian J, and with g the gradient
with respect to what the step gives,

(1) the gradient with respect to what it takes, and to its weights, is J g

This is the chain rule and nothing else. The tangents of one step are a small part of those of the
whole pass; still only forward code runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from agreement.alike import as_new_array
from agreement.expectation import copy_with_weights
from agreement.ties import Run
from manual_backprop.layers import has_steps
from manual_backprop.typing import Array


class Step(NamedTuple):
    """What one step takes, by subject in the order of its rows, and its Jacobian.

    Attributes:
        subjects: each with the number of its rows.
        gives: the subject that the step's result is; None for the loss.
        jacobian: (rows, *shape of what it gives).
    """

    subjects: list[tuple[Any, int]]
    gives: Any
    jacobian: Array


def chained_gradients(witness: Any, inputs: Array, run: Run, noted: Any) -> dict[Any, Array]:
    """The gradients of the loss by subject, (rows,) each; see ``opinion._Witness.trace``.

    The forward tensors and the loss on the way are stored in the trace ``noted``.
    """
    steps = list(_steps(witness, inputs, run, noted))
    found: dict[Any, Array] = {}
    for step in reversed(steps):
        rows = step.jacobian
        if step.gives is not None:
            rows = np.tensordot(rows, found[step.gives].reshape(rows.shape[1:]), rows.ndim - 1)
        start = 0
        for subject, count in step.subjects:
            part = rows[start : start + count]
            # A layer in several places has a share of its weights' gradients from each.
            found[subject] = found[subject] + part if subject in found else part
            start += count
    return found


def _steps(witness: Any, inputs: Array, run: Run, noted: Any) -> Any:
    """Every step of the forward pass, the loss last."""
    model, x = witness.model, inputs.astype(witness.work)
    last = len(model.layers) - 1
    z: Any = None
    for place, layer in enumerate(model.layers):
        own = [n for n in witness.weights if n.layer == model.names[place]]
        subjects = {(place, "inputs"): x, **{n: witness.weights[n] for n in own}}
        result, carrying = _affine_or_whole(witness, place, subjects, run)
        record = noted.layers[place]
        record.inputs = x
        gives = (place, "pre_activation") if has_steps(layer) else _above(place, last)
        yield Step([(s, w.size) for s, w in subjects.items()], gives, result.tangents)
        x = result.value
        if has_steps(layer):
            record.pre_activation = z = x
            result = _moving(witness, gives, z, run, carrying.activate)
            x = result.value
            if not (witness.fused and place == last):
                yield Step([(gives, z.size)], _above(place, last), result.tangents)
        record.output = x
    if witness.fused:
        subject, given = (last, "pre_activation"), z
    else:
        subject, given = _above(last, last), x
    value = _moving(witness, subject, given, run, lambda x: witness.loss_value(x, x))
    noted.loss = value.value
    yield Step([(subject, given.size)], None, value.tangents)


def _above(place: int, last: int) -> tuple[int, str]:
    """What the output of a layer is called: the inputs of the next one."""
    return (last, "output") if place == last else (place + 1, "inputs")


def _affine_or_whole(
    witness: Any, place: int, subjects: dict[Any, Array], run: Run
) -> tuple[Any, Any]:
    """A layer's first step on moving inputs and weights, and the layer that took it."""
    directions = witness.whole_directions(subjects)
    held = [
        directions.dual(name, w, run) if name in subjects else w.astype(witness.work)
        for name, w in witness.weights.items()
    ]
    layer = copy_with_weights(witness.model, held).layers[place]
    step = layer.affine if has_steps(layer) else layer.forward
    start = (place, "inputs")
    return step(directions.dual(start, as_new_array(subjects[start]), run)), layer


def _moving(witness: Any, subject: Any, given: Array, run: Run, step: Callable[[Any], Any]) -> Any:
    """A step on what alone moves; on a copy, since it may work in place."""
    directions = witness.whole_directions({subject: given})
    return step(directions.dual(subject, as_new_array(given), run))
