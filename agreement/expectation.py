"""What correct evaluations of the manual formulas may give: traces of values with bounds.

Two views. *End to end* runs the whole manual pass on error-carrying weights and inputs. *Local*
runs every step alone on numbers that a witness stored for that step, so bounds cover one step,
masks are decided, and the first step that fails is the faulty one.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray, bounded
from agreement.formulas import FORMULAS, LossType, as_references_compute, widened
from agreement.precision import Precision, precision_of, storing
from manual_backprop import ACTIVATIONS, NaiveDense, NaiveSequential
from manual_backprop.gradients import compute_trace
from manual_backprop.layers import has_steps
from manual_backprop.losses import Loss
from manual_backprop.trace import LayerTrace, Trace
from manual_backprop.typing import Array

# Turns what a witness stored into an operand.
Stored: TypeAlias = Callable[[Array], BoundedArray]


def copy_of(model: NaiveSequential) -> NaiveSequential:
    """A deep copy of the model, state and all."""
    return _deep_copy(model, {})


def copy_with_weights(model: NaiveSequential, weights: Iterable[Any]) -> NaiveSequential:
    """``copy_of``, but with other arrays as its weights, and without its records.

    The weights are replaced wherever the model refers to those very arrays; an array that
    merely holds the same numbers (a cache gone stale, say) stays what it is.
    """
    memo = {id(old): new for old, new in zip(model.weights, weights, strict=True)}
    memo[id(model.records)] = []
    return _deep_copy(model, memo)


# Their copies hold copies of their attributes, and nothing else is to be done.
_PLAIN = frozenset({NaiveSequential, NaiveDense, LayerTrace, *ACTIVATIONS.values()})
_IMMUTABLE = frozenset({type(None), bool, int, float, str, *map(type, map(np.dtype, "fd"))})


def _deep_copy(x: Any, memo: dict[int, Any]) -> Any:
    """``copy.deepcopy``, but quick where a model consists of this package's own classes."""
    kind = type(x)
    if kind in _IMMUTABLE:
        return x
    if id(x) in memo:
        return memo[id(x)]
    if kind is list:
        memo[id(x)] = made = []
        made += [_deep_copy(entry, memo) for entry in x]
        return made
    if kind not in _PLAIN:
        return copy.deepcopy(x, memo)  # also of arrays
    memo[id(x)] = new = object.__new__(kind)
    vars(new).update({name: _deep_copy(value, memo) for name, value in vars(x).items()})
    return new


def bounded_copy(model: NaiveSequential, precision: Precision | None = None) -> NaiveSequential:
    """``copy_with_weights``, with error-carrying weights of the model's precision or another."""
    precision = precision or precision_of(model.dtype)
    return copy_with_weights(model, [bounded(w, precision) for w in model.weights])


def _bounded_subject(
    model: NaiveSequential, reference: bool, precision: Precision | None = None
) -> NaiveSequential:
    """``bounded_copy``, its activations erring as much as those of references if asked."""
    subject = bounded_copy(model, precision)
    if reference and has_other_formulas(model):
        for layer in subject.distinct_layers.values():
            if getattr(layer, "activation", None) is not None:
                layer.activation = as_references_compute(layer.activation)
    return subject


def has_other_formulas(model: NaiveSequential, loss: Loss | None = None) -> bool:
    """Whether references compute an activation, or the loss, by another formula than ours."""
    functions = [loss, *(getattr(layer, "activation", None) for layer in model.layers)]
    return any(getattr(function, "name", None) in FORMULAS for function in functions)


def expect_end_to_end(
    model: NaiveSequential,
    inputs: Array,
    targets: Array,
    loss: Loss,
    *,
    reference: bool = False,
    precision: Precision | None = None,
) -> Trace:
    """The trace of the whole manual pass, each array a ``BoundedArray``.

    With ``reference`` the bounds cover the formulas of references as well. The working
    precision is the model's unless another is given.
    """
    precision = precision or precision_of(model.dtype)
    subject = _bounded_subject(model, reference, precision)
    loss = as_references_compute(loss) if reference else loss
    exact = bounded(inputs, precision)
    return compute_trace(subject, exact, targets.copy(), _of_numbers(loss))


def expect_locally(
    model: NaiveSequential,
    witness: Trace,
    targets: Array,
    loss: Loss,
    *,
    reference: bool = False,
    precision: Precision | None = None,
    end_to_end: Trace | None = None,
) -> Trace:
    """The trace of every manual step run alone on what the witness stored for that step.

    A tensor that the witness does not have, or that no step computes, is None. ``reference``
    and ``precision`` are those of ``expect_end_to_end``, whose trace of the same batch saves
    computing the first step again.
    """
    precision = precision or precision_of(model.dtype)
    if not witness.excess_precision:
        precision = storing(precision)
    subject = _bounded_subject(model, reference, precision)
    loss = as_references_compute(loss) if reference else loss
    exact = functools.partial(_stored, precision=precision, unrounded=witness.excess_precision)
    expected = Trace(
        layers=[LayerTrace(layer.name) for layer in witness.layers],
        fused=witness.fused,
    )
    places = list(zip(subject.layers, witness.layers, expected.layers, strict=True))
    for layer, seen, wanted in places:
        first = end_to_end.layers[0] if end_to_end and wanted is expected.layers[0] else None
        _forward(layer, seen, wanted, exact, first)
    _loss(expected, witness, targets.copy(), _of_numbers(loss), exact)
    if subject.is_penalised:
        if expected.loss is not None:
            expected.loss = expected.loss + subject.penalty()
        last = expected.layers[-1]
        if witness.fused and last.grad_pre_activation is not None:
            last.grad_pre_activation = subject.layers[-1].add_activity(last.grad_pre_activation)
    shared = len(subject.distinct_layers) < len(places)
    totals: dict[str, list[Any]] = {}
    unknown: set[str] = set()  # layers without a gradient to start from
    for layer, seen, wanted in reversed(places):
        if shared:
            _forward(layer, seen, wanted, exact)
        if not _backward(layer, seen, wanted, exact):
            unknown.add(wanted.name)
        elif wanted.name in totals:
            pairs = zip(totals[wanted.name], layer.gradients, strict=True)
            totals[wanted.name] = [above + here for above, here in pairs]
        else:
            totals[wanted.name] = layer.gradients
    if not unknown:
        for name in subject.distinct_layers:
            own = [n for n in subject.gradient_names if n.layer == name]
            # A layer may set too few or too many; that is complained of elsewhere.
            for tensor, gradient in zip(own, totals[name], strict=False):
                expected.gradient_names.append(tensor)
                expected.gradients.append(gradient)
    return expected


def _stored(array: Array, precision: Precision, unrounded: bool) -> BoundedArray:
    """What a witness stored, as exact numbers, or give or take the rounding it had there."""
    numbers = bounded(array, precision)
    if unrounded:
        rounding = precision.roundoff * np.abs(numbers.value)
        numbers.error = np.where(np.isinf(numbers.error), np.inf, numbers.error + rounding)
        numbers.exact = False
    return numbers


def _forward(
    layer: Any, seen: LayerTrace, wanted: LayerTrace, exact: Stored, same: LayerTrace | None = None
) -> None:
    """Run a layer's forward steps, leaving in it the witness's own numbers.

    A first step that was taken on the ``same`` numbers, end to end, is not taken again.
    """
    assert seen.inputs is not None
    inputs = exact(seen.inputs)
    in_steps = isinstance(layer, NaiveDense) and type(layer).forward is NaiveDense.forward
    if not in_steps or seen.pre_activation is None:
        wanted.output = layer.forward(inputs)
        return
    if same is not None and _is_as_derived(layer) and _are_same(inputs, same.inputs):
        layer.inputs, layer.grad_pre_activation = inputs, None  # what it leaves besides
        wanted.pre_activation = same.pre_activation
    else:
        wanted.pre_activation = layer.affine(inputs)
    wanted.output = layer.activate(exact(seen.pre_activation))


_AFFINE = NaiveDense.affine


def _is_as_derived(layer: NaiveDense) -> bool:
    """Whether a layer's first step is this package's own, which does nothing else."""
    changed = NaiveDense.affine is not _AFFINE or "affine" in vars(layer)
    return type(layer) is NaiveDense and has_steps(layer) and not changed


def _are_same(one: Any, other: Any) -> bool:
    pairs = (one.value, other.value), (one.error, other.error)
    return all(np.array_equal(x, y) for x, y in pairs)


def _loss(expected: Trace, witness: Trace, targets: Array, loss: Loss, exact: Stored) -> None:
    last, seen = expected.layers[-1], witness.layers[-1]
    if witness.fused:
        assert seen.pre_activation is not None
        logits = exact(seen.pre_activation)
        expected.loss = loss.forward_from_logits(logits, targets)
        assert last.output is not None
        last.grad_pre_activation = loss.backward_from_logits(last.output, targets, logits)
    elif seen.output is not None:
        predictions = exact(seen.output)
        expected.loss = loss.forward(predictions, targets)
        last.grad_output = loss.backward(predictions, targets)


def _of_numbers(loss: LossType) -> LossType:
    """The loss, without bound where a prediction is: one that counts for nothing may be NaN.

    A sample that is masked or has no pairs, or an element that is not the largest, is left out by a
    choice in one library and by a product with 0 in another; the two agree on numbers only.
    """
    kind: Any = type(loss)

    def forward(self: Loss, predictions: Any, targets: Array) -> Any:
        return _where_numbers(kind.forward(self, predictions, targets), predictions)

    def backward(self: Loss, predictions: Any, targets: Array) -> Any:
        return _where_numbers(kind.backward(self, predictions, targets), predictions)

    def forward_from_logits(self: Loss, logits: Any, targets: Array) -> Any:
        return _where_numbers(kind.forward_from_logits(self, logits, targets), logits)

    def backward_from_logits(
        self: Loss, predictions: Any, targets: Array, logits: Any = None
    ) -> Any:
        grad = kind.backward_from_logits(self, predictions, targets, logits)
        return _where_numbers(grad, predictions if logits is None else logits)

    methods = (forward, backward, forward_from_logits, backward_from_logits)
    other = copy.copy(loss)
    named = {method.__name__: method for method in methods}
    other.__class__ = type(kind.__name__, (kind,), named)
    return other


def _where_numbers(found: Any, predictions: Any) -> Any:
    """A gradient as it is in samples without an unbounded prediction; a loss, if there is none."""
    if not isinstance(found, BoundedArray) or not isinstance(predictions, BoundedArray):
        return found
    unknown = np.isinf(predictions.error)
    if found.shape == unknown.shape:
        unknown = unknown.any(axis=tuple(range(1, unknown.ndim)), keepdims=True)
    else:
        unknown = unknown.any()
    return widened(found, np.where(unknown, np.inf, np.zeros_like(found.error)))


def _backward(layer: Any, seen: LayerTrace, wanted: LayerTrace, exact: Stored) -> bool:
    """Run a layer's backward steps; False if the witness lacks a gradient to start from."""
    if not has_steps(layer):
        if seen.grad_output is None:
            return False
        wanted.grad_inputs = layer.backward(exact(seen.grad_output))
        return True
    if seen.grad_output is not None:
        grad_output = exact(seen.grad_output)
        wanted.grad_pre_activation = layer.backward_activation(grad_output)
    if seen.grad_pre_activation is None:
        return False
    wanted.grad_inputs = layer.backward_affine(exact(seen.grad_pre_activation))
    return True
