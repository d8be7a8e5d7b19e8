"""One function alone, judged by the local view: an activation, loss or regularizer.

The same expectation, bounds and verdicts as for a step of a network, for inputs of any rank
that need no network to produce them: values at and beside every kink, other axes, half types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray, bounded
from agreement.checking import DEFAULT_AGAINST
from agreement.complaints import own_error
from agreement.formulas import as_references_compute
from agreement.known import explained_by
from agreement.precision import Precision, precision_of, storing
from agreement.references import resolve_references
from agreement.report import Report
from agreement.verdicts import MANUAL, Comparison, TensorVerdict, Verdict, View, judge_tensors
from manual_backprop import activations
from manual_backprop.activations import Activation
from manual_backprop.losses import Loss
from manual_backprop.regularizers import Regularizer
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array

Function: TypeAlias = Activation | Loss | Regularizer
# Values by tensor name.
Results: TypeAlias = dict[TensorName, Any]


def check_function(
    subject: Function,
    inputs: Array,
    other: Array | None = None,
    *,
    against: str | Sequence[str] = DEFAULT_AGAINST,
    behind: Activation | None = None,
) -> Report:
    """Judge one function, and its gradient, on given numbers.

    Args:
        subject: an activation, loss or regularizer, with its arguments and sample weights.
        inputs: what it is a function of; their dtype is the precision that is judged. Of half
            types only the references are: the manual code need not run in them.
        other: for an activation the upstream gradient, a cotangent of the output's shape; for
            a loss the targets, as its ``prepare`` returns them; for a regularizer nothing.
        against: references of Keras by name.
        behind: for a loss the activation above ``inputs``, which are logits then.

    Raises:
        TypeError: for a function without a Keras twin.
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    names = resolve_references(against, dual=False)
    inputs, other = _prepare(subject, inputs, other, behind)
    subject_names = tuple(expected(subject, inputs, other, behind=behind))
    witnesses = names if is_half(inputs.dtype) else [MANUAL, *names]
    report = Report([], frozenset((w, str(n)) for w in witnesses for n in subject_names))
    if MANUAL in witnesses:
        own = computed(subject, inputs, other, behind)
        report.verdicts += judge_function(subject, own, inputs, other, MANUAL, behind)
    for name in names:
        mode = reference.MODES[name]
        if isinstance(subject, Activation):
            pair = reference.functions.activation(subject, inputs, other, mode)
        elif isinstance(subject, Regularizer):
            pair = reference.functions.regularizer(subject, inputs, mode)
        else:
            pair = reference.functions.loss(subject, inputs, other, mode, behind)
        found = dict(zip(subject_names, pair, strict=True))
        report.verdicts += judge_function(subject, found, inputs, other, name, behind, mode.xla)
    return report


def _prepare(
    subject: Any, inputs: Any, other: Any, behind: Activation | None
) -> tuple[Array, Array]:
    """Inputs and the other argument as arrays that can be computed with."""
    if not isinstance(subject, Activation | Loss | Regularizer):
        got = subject.__name__ if isinstance(subject, type) else repr(subject)
        raise TypeError(
            f"subject: got {got}, expected an activation, loss or regularizer with its arguments, "
            f"such as Elu(alpha=2.0) from manual_backprop.activations."
        )
    if behind is not None and not isinstance(subject, Loss):
        raise ValueError(f"behind: stands before a loss; {subject!r} is none.")
    array = np.asarray(inputs)
    if array.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(
            f"inputs: have dtype {array.dtype}, expected float32 or float64 (or a half type); "
            f"convert them by np.asarray(inputs, np.float32)."
        )
    if not array.size:
        raise ValueError(f"inputs: have shape {array.shape}, so there is nothing to judge.")
    if isinstance(subject, Regularizer):
        return array, np.zeros(0)
    wanted = "the upstream gradient" if isinstance(subject, Activation) else "the targets"
    if other is None:
        raise TypeError(f"other: got None, expected {wanted} of {subject!r}.")
    second = np.asarray(other)
    if isinstance(subject, Activation):
        shape = np.shape(subject.forward(np.zeros(array.shape, np.float32)))
        if second.shape != shape or second.dtype != array.dtype:
            raise ValueError(
                f"other: is {second.dtype} {second.shape}, expected {array.dtype} {shape}: "
                f"{wanted}, as the output is."
            )
    elif second.shape[:1] != array.shape[:1]:
        raise ValueError(
            f"other: has shape {second.shape}, expected targets of {array.shape[:1]} samples."
        )
    return array, second


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is float16 or bfloat16."""
    return dtype.itemsize == 2


def judge_function(
    subject: Function,
    found: Results,
    inputs: Array,
    other: Array,
    witness: str,
    behind: Activation | None = None,
    excess_precision: bool = False,
) -> list[TensorVerdict]:
    """Judge what one witness computed."""
    options: dict[str, Any] = {
        "behind": behind,
        "reference": witness != MANUAL,
        "excess_precision": excess_precision,
    }
    wanted = expected(subject, inputs, other, **options)
    comparisons = [Comparison(name, found[name], bounds) for name, bounds in wanted.items()]
    verdicts = judge_tensors(comparisons, View.LOCAL, witness)
    for v, c in zip(verdicts, comparisons, strict=True):
        if v.verdict is Verdict.DISAGREE:
            numbers = (inputs, other, c.actual, c.expected)

            def expect(
                substitute: Any, precision: Precision | None, name: TensorName = c.name
            ) -> BoundedArray:
                return expected(substitute, inputs, other, precision=precision, **options)[name]

            if row := explained_by(subject, v.tensor, witness, *numbers, expect):
                v.verdict, v.note = Verdict.KNOWN, f"finding {row.finding}: {row.sentence}"
    return verdicts


def expected(
    subject: Function,
    inputs: Array,
    other: Array,
    *,
    behind: Activation | None = None,
    reference: bool = False,
    excess_precision: bool = False,
    precision: Precision | None = None,
) -> dict[TensorName, BoundedArray]:
    """The function's value and gradient with their bounds.

    With ``reference`` they cover the formulas of references as well, and with
    ``excess_precision`` those that a compiler computes anew wherever it needs them.
    """
    precision = precision or precision_of(inputs.dtype)
    if not excess_precision:
        precision = storing(precision)

    def exact(array: Array) -> BoundedArray:
        return bounded(array, precision)

    with own_error(), np.errstate(all="ignore"):
        if reference and isinstance(subject, Activation | Loss):
            subject = as_references_compute(subject)
        given = exact(other) if isinstance(subject, Activation) else other
        return _run(subject, exact(inputs), given, behind)


def computed(
    subject: Function, inputs: Array, other: Array, behind: Activation | None = None
) -> Results:
    """The manual code's own value and gradient."""
    with np.errstate(all="ignore"):  # an overflow is a verdict, not a warning
        given = other.copy()
        return _run(subject, inputs.copy(), given, behind)


def _run(subject: Any, inputs: Array, other: Array, behind: Activation | None) -> Results:
    if isinstance(subject, Activation):
        output = subject.forward(inputs)
        grad = subject.backward(other, inputs, output)
        return {
            TensorName(subject.name, "output"): output,
            TensorName(subject.name, "grad_inputs"): grad,
        }
    if isinstance(subject, Regularizer):
        return {
            TensorName(subject.name, "penalty"): subject.value(inputs),
            TensorName(subject.name, "grad_inputs"): subject.gradient(inputs),
        }
    names = TensorName(subject.name, "loss"), TensorName(subject.name, "grad_inputs")
    if behind is None:
        pair = subject.forward(inputs, other), subject.backward(inputs, other)
    else:
        predictions = behind.forward(inputs)
        if subject.is_fused_with(behind.name):
            pair = (
                subject.forward_from_logits(inputs, other),
                subject.backward_from_logits(predictions, other, inputs),
            )
        else:
            grad = subject.backward(predictions, other)
            pair = subject.forward(predictions, other), behind.backward(grad, inputs, predictions)
    return dict(zip(names, pair, strict=True))


def fused_activation(loss: Loss) -> Activation | None:
    """The activation that a loss fuses with, where it fuses with one."""
    return None if loss.fuses_with is None else activations.get(loss.fuses_with)
