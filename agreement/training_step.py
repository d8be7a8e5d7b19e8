"""One whole training step: forward, backward and an optimizer's update, beside Keras' own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from agreement.bounded import bounded
from agreement.diagnosis import Diagnosis
from agreement.expectation import _bounded_subject, copy_of
from agreement.fitting import explain_update
from agreement.known_updates import as_keras_computes, note_of, rows_for
from agreement.precision import precision_of
from agreement.report import Report
from agreement.trajectory import change, mark_known, with_bounds
from agreement.verdicts import MANUAL, Comparison, Verdict, View, judge_tensors
from manual_backprop import SGD, NaiveSequential
from manual_backprop.gradients import backpropagate_to_weights, compute_loss
from manual_backprop.losses import Loss
from manual_backprop.optimizers import OPTIMIZERS, Optimizer, Snapshot, State
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array

# A model, a batch, its targets and the loss, as ``checking.prepare`` returns them.
Parts: TypeAlias = tuple[NaiveSequential, Array, Array, Loss]


def judge_training_step(
    parts: Parts,
    optimizer: Optimizer,
    against: Sequence[str],
    *,
    learning_rate: float,
    compiled_model: bool = False,
) -> Report:
    """Judge the weights and the optimizer's slots after one step, end to end.

    Args:
        optimizer: the manual one; the references use Keras' of its name, or SGD if it has none.
        against: Keras' modes.
        learning_rate: for SGD, and to explain what went wrong.
        compiled_model: ask ``train_on_batch`` of a compiled Keras model, not a tape.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    model = parts[0]
    twin = optimizer if _is_catalogued(optimizer) else SGD(learning_rate)
    found = {MANUAL: stepped(copy_of(model), parts, optimizer)}
    for name in against:
        mode = reference.MODES[name]
        if compiled_model:
            found[name] = reference.train_on_batch(*parts, twin, mode)
        else:
            _, found[name] = reference.one_training_step(*parts, twin, mode)
    known = rows_for(twin, model.dtype.name, in_compiled_model=compiled_model)
    as_keras = as_keras_computes(optimizer, known)
    report = Report()
    for witness, after in found.items():
        of_reference = witness != MANUAL
        expected = stepped(_bounded_subject(model, reference=of_reference), parts, optimizer)
        comparisons = list(_compare(model, expected, after))
        verdicts = judge_tensors(comparisons, View.END_TO_END, witness)
        if of_reference and known and any(v.verdict is Verdict.DISAGREE for v in verdicts):
            expected = stepped(_bounded_subject(model, reference=True), parts, as_keras)
            explained = judge_tensors(
                list(_compare(model, expected, after)), View.END_TO_END, witness
            )
            mark_known(verdicts, explained, note_of(known))
        for v, c in zip(verdicts, comparisons, strict=True):
            if v.verdict is Verdict.DISAGREE and np.shape(c.actual) == c.expected.shape:
                # The expectation is the manual code's: what was computed is taken for right.
                given, right = c.expected.value, np.asarray(c.actual, np.float64)
                roundoff = c.expected.precision.roundoff
                why = explain_update(given, right, c.expected.error, learning_rate, roundoff)
                place = f"look at {type(optimizer).__name__}.update"
                report.diagnoses[v.name] = Diagnosis(why, "", place)
        report.verdicts += verdicts
    report.required = frozenset((v.witness, v.name) for v in report.verdicts)
    return report


def stepped(model: NaiveSequential, parts: Parts, optimizer: Optimizer) -> Snapshot:
    """The weights and the optimizer's state after one step, which changes the model.

    It is a copy of the one in ``parts``, with or without errors, and so is the batch then.
    """
    _, inputs, targets, loss = parts
    error_carrying = not isinstance(model.weights[0], np.ndarray)
    batch = bounded(inputs, precision_of(inputs.dtype)) if error_carrying else inputs.copy()
    update = copy.deepcopy(optimizer)
    if _is_catalogued(update):
        names = [str(name) for name in model.weight_names]
        if update.state is None:
            update.state = update.initial_state(model.weights, names)
        elif error_carrying:
            update.state = with_bounds(update.state, inputs.dtype)
    with np.errstate(all="ignore"):  # an overflow is a verdict, not a warning
        predictions = model.forward(batch)
        compute_loss(model, predictions, targets, loss)
        backpropagate_to_weights(model, predictions, targets, loss, update.scale)
        update.apply(model.gradients, model.weights)
    state = update.state or State([{} for _ in model.weights], {}, (), [])
    return Snapshot(model.weights, state)


def _is_catalogued(optimizer: Optimizer) -> bool:
    return getattr(optimizer, "name", "") in OPTIMIZERS


def _compare(model: NaiveSequential, expected: Snapshot, after: Snapshot) -> Iterator[Comparison]:
    """Of each weight the slots, then the change: beside a large weight a wrong step is not seen."""
    for index, (layer, tensor) in enumerate(model.weight_names):
        for slot, wanted in expected.state.slots[index].items():
            found = after.state.slots[index][slot]
            yield Comparison(TensorName(layer, f"{tensor} {slot}"), found, wanted)
        yield change(
            TensorName(layer, f"{tensor} update"),
            model.weights[index],
            after.weights[index],
            expected.weights[index],
        )
