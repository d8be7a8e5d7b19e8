"""``check`` and ``assert_agreement``: manual and reference side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from agreement.bounded import BoundedArray, bounded
from agreement.complaints import own_error
from agreement.diagnosis import Diagnosis, Diagnostician
from agreement.expectation import (
    copy_of,
    expect_end_to_end,
    expect_locally,
    has_other_formulas,
)
from agreement.foreign import OURS, Layout, SumOverSamples
from agreement.known_steps import mark_known
from agreement.opinion import dual_local_trace, dual_trace
from agreement.precision import precision_of
from agreement.references import resolve_references
from agreement.report import Report, one_per_tensor
from agreement.verdicts import (
    DUAL,
    MANUAL,
    TensorVerdict,
    Verdict,
    View,
    judge_pairs,
    judge_tensor,
)
from manual_backprop import SGD, NaiveSequential, losses
from manual_backprop.gradients import compute_trace
from manual_backprop.layers import has_steps
from manual_backprop.losses import Loss
from manual_backprop.memory import keep_memory
from manual_backprop.optimizers import Optimizer
from manual_backprop.trace import TensorName, Trace
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite

DEFAULT_AGAINST = ("keras", "keras-graph", "keras-xla")
# The witness that gradients computed elsewhere are.
GIVEN = "gradients"


class AgreementError(AssertionError):
    """Raised by ``assert_agreement``; carries the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.conclusion())
        self.report = report


def check(
    model: NaiveSequential,
    inputs: Array,
    labels: Array,
    *,
    loss: object = "sparse_categorical_crossentropy",
    against: str | Sequence[str] | None = None,
    gradients: Sequence[Array] | None = None,
    layout: Layout = OURS,
) -> Report:
    """Judge a model's hand-written backward pass on one batch, tensor by tensor.

    The model is not changed. Every witness (the manual code's own run, and each reference)
    must lie within the derived bound of the manual formulas, end to end and step by step.

    Args:
        inputs: (batch, features), finite. labels: see the loss's ``prepare``.
        loss: the name of a loss or a :class:`~manual_backprop.losses.Loss`, with the batch's
            sample weights and mask if it is ``weighted``.
        against: the references: "keras" (eager), "keras-graph", "keras-xla", and "dual",
            the dual numbers, which need no framework. All three of Keras by default, and none
            with ``gradients``.
        gradients: gradients that another program computed, one for each of ``model.weights``
            in that order; judged end to end, as the witness "gradients".
        layout: how inputs, labels and gradients are laid out, and whether the gradients are
            those of the mean or of the sum; see :class:`~agreement.foreign.Layout`.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    if gradients is None:
        names = resolve_references(DEFAULT_AGAINST if against is None else against)
    else:
        names = resolve_references(against) if against else []
    chosen = losses.get(loss)
    if layout != OURS:
        inputs, labels = layout.as_rows("inputs", inputs), layout.as_rows("labels", labels)
    checked, targets = prepare(model, inputs, labels, chosen)
    given = None if gradients is None else layout.as_gradients(gradients, model.weights)
    return report_on(
        model, checked, targets, chosen, names, gradients=given, reduction=layout.reduction
    )


def report_on(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    against: Sequence[str],
    *,
    gradients: Sequence[Array] | None = None,
    reduction: str = "mean",
    any_shape: bool = False,
) -> Report:
    """As ``check``, for arguments that have been checked; ``against`` may be empty."""
    model = used_before(model, inputs, targets, loss)
    parts = (model, inputs, targets, loss)
    traces = gather_traces(*parts, against, any_shape=any_shape)
    report = Report(judge_traces(*parts, traces), _required(traces))
    if gradients is not None:
        report.verdicts += judge_gradients(*parts, gradients, reduction)
        report.required |= required_of([GIVEN], model.gradient_names)
    if report.any_disagreement:
        expert = Diagnostician(*parts, traces)
        for v in one_per_tensor(report.disagreements):
            if not v.size:
                continue  # a complaint says it all
            if v.witness == GIVEN:
                assert gradients is not None
                found = _diagnose_given(v, parts, traces[MANUAL], gradients, reduction)
                report.diagnoses[v.name] = found
            else:
                report.diagnoses[v.name] = expert.diagnose(v)
    return report


def _diagnose_given(
    v: TensorVerdict,
    parts: tuple[NaiveSequential, Array, Array, Loss],
    manual: Trace,
    gradients: Sequence[Array],
    reduction: str,
) -> Diagnosis:
    """Explain a given gradient as if the manual run had computed it; its code is not at hand."""
    model, inputs, targets, loss = parts
    trace = dataclasses.replace(manual, gradients=list(gradients))
    expert = Diagnostician(
        model, inputs, targets, _differentiated(loss, reduction), {MANUAL: trace}
    )
    expert.from_elsewhere = True
    explanation = expert.explain(dataclasses.replace(v, witness=MANUAL))
    return Diagnosis(explanation, side="", look_at="")


def assert_agreement(
    model: NaiveSequential,
    inputs: Array,
    labels: Array,
    *,
    loss: object = "sparse_categorical_crossentropy",
    against: str | Sequence[str] | None = None,
    gradients: Sequence[Array] | None = None,
    layout: Layout = OURS,
) -> Report:
    """As ``check``, but raise ``AgreementError`` (an ``AssertionError``) unless it agrees."""
    report = check(
        model, inputs, labels, loss=loss, against=against, gradients=gradients, layout=layout
    )
    if not report.agrees:
        raise AgreementError(report)
    return report


def check_training_step(
    model: NaiveSequential,
    inputs: Array,
    labels: Array,
    *,
    loss: object = "sparse_categorical_crossentropy",
    learning_rate: float = 1e-3,
    optimizer: Optimizer | None = None,
    against: str | Sequence[str] = DEFAULT_AGAINST,
) -> Report:
    """Judge one whole training step: the weights after forward, backward and update.

    Neither model nor ``optimizer`` is changed; the arguments are those of ``check``. The
    references update with Keras' optimizer of the same name and arguments. Where the manual one
    has no name (or is not given) that is SGD with the ``learning_rate``.
    """
    # Imported here: it judges by what this module prepares.
    from agreement.training_step import judge_training_step

    names = resolve_references([name for name in resolve_references(against) if name != DUAL])
    chosen, update = losses.get(loss), optimizer or SGD(learning_rate)
    checked, targets = prepare(model, inputs, labels, chosen)
    return judge_training_step(
        (model, checked, targets, chosen), update, names, learning_rate=learning_rate
    )


def prepare(model: object, inputs: Array, labels: Array, loss: Loss) -> tuple[Array, Array]:
    """Check the model, the batch and its labels; return what can be computed with."""
    if not isinstance(model, NaiveSequential):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a NaiveSequential; "
            f"wrap a single layer as NaiveSequential([layer])."
        )
    for name, weight in zip(model.weight_names, model.weights, strict=True):
        as_finite(f"weights ({name})", weight, model.dtype)
    checked = model.check_inputs(inputs).copy()
    outputs = getattr(model.layers[-1], "output_size", None)
    if outputs is None:
        outputs = copy_of(model).forward(checked[:1]).shape[1]
    placeholder = np.broadcast_to(np.zeros((), model.dtype), (len(checked), outputs))
    return checked, loss.prepare(labels, placeholder)


def manual_trace(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> Trace:
    """The manual code's own run, on copies of everything, with what it must not have changed."""
    subject = copy_of(model)
    batch, labels = inputs.copy(), targets.copy()
    with np.errstate(all="ignore"):  # an overflow is a verdict, not a warning
        trace = compute_trace(subject, batch, labels, loss)
    given = [(TensorName("", "inputs"), batch, inputs), (TensorName("", "labels"), labels, targets)]
    given += zip(model.weight_names, subject.weights, model.weights, strict=True)
    for name, after, before in given:
        if not np.array_equal(after, before):
            trace.complaints[name] = "changed during the pass, which must leave it as it was"
    top = subject.layers[-1]
    if has_steps(top) and not _identical(top.output, trace.predictions):
        name = TensorName(subject.names[-1], "output")
        trace.complaints[name] = "was overwritten after the forward pass"
    return trace


def _identical(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def used_before(
    model: NaiveSequential, inputs: Array, targets: Array, loss: Loss
) -> NaiveSequential:
    """A copy of the model that has seen another batch: state left from it is part of the check.

    The other batch has half the inputs, under other labels, so that nothing of it is the same.
    """
    subject = copy_of(model)
    with np.errstate(all="ignore"):
        compute_trace(subject, inputs[::-1] * inputs.dtype.type(0.5), targets.copy(), loss)
    for weight, original in zip(subject.weights, model.weights, strict=True):
        weight[...] = original
    return subject


def gather_traces(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    against: Sequence[str],
    *,
    any_shape: bool = False,
) -> dict[str, Trace]:
    """The manual trace and that of each reference; ``any_shape`` is ``reference.trace``'s."""
    traces = {MANUAL: manual_trace(model, inputs, targets, loss)}
    for name in against:
        if name == DUAL:
            traces[name] = dual_trace(model, inputs, targets, loss)
        else:
            # Imported here: what needs no framework must not load one.
            import reference

            mode = reference.MODES[name]
            traces[name] = reference.trace(model, inputs, targets, loss, mode, any_shape=any_shape)
    return traces


def judge_traces(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    traces: Mapping[str, Trace],
) -> list[TensorVerdict]:
    """Judge every witness's trace, end to end and step by step.

    The dual numbers' steps are given the manual run's inputs and gradients, since they have
    no backward pass of their own to store any.
    """
    verdicts = [
        TensorVerdict(
            *name, View.LOCAL, witness, Verdict.DISAGREE, np.inf, 0.0, 0.0, False, 0, note=note
        )
        for witness, trace in traces.items()
        for name, note in trace.complaints.items()
    ]
    pairs, local_of = expected_pairs(model, inputs, targets, loss, traces)
    verdicts += judge_pairs(pairs)
    witnesses = {name: trace for name, trace in traces.items() if name not in (MANUAL, DUAL)}
    mark_known(verdicts, model, targets, loss, witnesses, local_of)
    return verdicts


def expected_pairs(
    model: NaiveSequential, inputs: Array, targets: Array, loss: Loss, traces: Mapping[str, Trace]
) -> tuple[list[tuple[Trace, Trace, View, str]], dict[str, Trace]]:
    """What there is to judge: (actual, expected, view, witness); and each local expectation."""
    keep_memory()
    with own_error():
        own = theirs = expect_end_to_end(model, inputs, targets, loss)
        differ = has_other_formulas(model, loss)
        if differ and {*traces} != {MANUAL}:
            theirs = expect_end_to_end(model, inputs, targets, loss, reference=True)
        local_of = {
            name: expect_locally(
                model, trace, targets, loss, reference=name != MANUAL, end_to_end=own
            )
            for name, trace in traces.items()
            if name != DUAL
        }
        if DUAL in traces:
            stored = model, traces[MANUAL], targets, loss
            local_of[DUAL] = local_of[MANUAL]
            if differ:
                local_of[DUAL] = expect_locally(*stored, reference=True, end_to_end=own)
        pairs = []
        for name, trace in traces.items():
            pairs.append((trace, own if name == MANUAL else theirs, View.END_TO_END, name))
            steps = trace
            if name == DUAL:
                steps = dual_local_trace(*stored)
            pairs.append((steps, local_of[name], View.LOCAL, name))
    return pairs, local_of


def _required(traces: Mapping[str, Trace]) -> frozenset[tuple[str, str]]:
    """Every witness with every tensor that it and the manual run have, as ``Report.required``.

    Weights alone would not do: a step that is blunt hides what happens above their gradients.
    """
    manual = [name for name, _ in traces[MANUAL].tensors()]
    top = traces[MANUAL].labels()[-1]
    required = set()
    for witness, trace in traces.items():
        present = {name for name, _ in trace.tensors()} | set(trace.projections)
        for name in manual:
            # Below the top, grad_output is the grad_inputs of the layer above.
            again = name.tensor == "grad_output" and name.layer != top
            if name in present and name.tensor != "inputs" and not again:
                required.add((witness, str(name)))
    return frozenset(required)


def required_of(
    witnesses: Iterable[str], names: Sequence[TensorName]
) -> frozenset[tuple[str, str]]:
    """Every witness with every tensor, as ``Report.required``."""
    return frozenset((witness, str(name)) for witness in witnesses for name in names)


def judge_gradients(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    gradients: Sequence[Array],
    reduction: str = "mean",
) -> list[TensorVerdict]:
    """Judge gradients that another program computed, end to end.

    Each is judged on its own: no other is computed from it, so none explains another.
    """
    expected = expect_end_to_end(model, inputs, targets, _differentiated(loss, reduction))
    precision = precision_of(model.dtype)
    return [
        judge_tensor(
            name,
            given,
            wanted if isinstance(wanted, BoundedArray) else bounded(wanted, precision),
            View.END_TO_END,
            GIVEN,
        )
        for name, given, wanted in zip(
            expected.gradient_names, gradients, expected.gradients, strict=True
        )
    ]


def _differentiated(loss: Loss, reduction: str) -> Loss:
    return SumOverSamples(loss) if reduction == "sum" else loss
