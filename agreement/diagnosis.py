"""Why a step is wrong: explanations tried against the evidence, the best one first.

The local view makes this possible: a step's inputs, its upstream gradient and the right result
are known, so a candidate explanation predicts every number of the wrong result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agreement.expectation import expect_end_to_end, expect_locally
from agreement.explanations import (
    BY_TENSOR,
    Candidate,
    Evidence,
    factors,
    loss_gradients,
    rearrangements,
)
from agreement.fitting import SAME, Explanation, best_fit, by_pattern, by_shape, residual_of
from agreement.opinion import dual_local_trace, dual_trace
from agreement.precision import precision_of
from agreement.verdicts import DUAL, MANUAL, TensorVerdict, Verdict, View, judge_trace
from manual_backprop import NaiveSequential, activations
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.layers import has_steps
from manual_backprop.losses import EPSILON, LOSSES, Loss
from manual_backprop.trace import BACKWARD_TENSORS, TensorName, Trace
from manual_backprop.typing import Array

WEIGHTS = ("grad_W", "grad_b")


@dataclass(frozen=True)
class Diagnosis:
    """What is known about one disagreement beyond its numbers.

    Attributes:
        explanation: the best one; None where no known explanation fits.
        side: whom the dual numbers side with, in words; "" where they were not asked.
        look_at: the method or line of thought to look at.
    """

    explanation: Explanation | None
    side: str
    look_at: str

    def __str__(self) -> str:
        found = self.explanation
        looks = f"{found.sentence} (residual {found.residual:.0e} of the bound)" if found else None
        lines = [f"  looks like: {looks or 'no known explanation'}"]
        lines += [f"  {line}" for line in (self.side, self.look_at) if line]
        return "\n".join(lines)


class Diagnostician:
    """Diagnoses the disagreements of one check.

    Args:
        model, inputs, targets, loss: what was checked, as ``check`` prepared it.
        traces: every witness's trace.
    """

    def __init__(
        self,
        model: NaiveSequential,
        inputs: Array,
        targets: Array,
        loss: Loss,
        traces: Mapping[str, Trace],
    ) -> None:
        self.parts = (model, inputs, targets, loss)
        self.model, self.inputs, self.targets, self.loss = self.parts
        self.traces = traces
        # Whether the manual trace's gradients are another program's, whose code is not at hand.
        self.from_elsewhere = False
        self._duals: dict[View, Trace] = {}

    def diagnose(self, v: TensorVerdict) -> Diagnosis:
        """Explain one disagreement."""
        return Diagnosis(self.explain(v), self.side(v), self.look_at(v))

    # -- who is wrong -----------------------------------------------------------------------

    def side(self, v: TensorVerdict) -> str:
        """Whom the dual numbers side with on this tensor."""
        if v.witness == MANUAL:
            return "the manual run differs from its own formula: state, order or precision"
        if not v.tensor.startswith("grad_"):
            return "the forward passes differ here first; gradients that build on it are not judged"
        if v.witness == DUAL:
            return "the dual numbers derive the manual forward code and disagree with its backward"
        try:
            opinions = [d for d in self._opinions(v.view) if d.name == v.name]
        except (TypeError, ValueError) as error:
            return f"no third opinion: {error}"
        if not opinions:
            return "the dual numbers have no opinion on this tensor"
        if opinions[0].verdict is Verdict.DISAGREE:
            return f"the dual numbers side with {v.witness}: the manual backward is wrong"
        if opinions[0].is_evidence and not self._abstained(v):
            return (
                f"the dual numbers side with the manual code: {v.witness} or its convention differs"
            )
        return "the dual numbers abstain: a kink, an overflow or a blunt bound"

    def _opinions(self, view: View) -> list[TensorVerdict]:
        return judge_trace(self._dual(view), self._expectation(view, DUAL), view, DUAL)

    def _dual(self, view: View) -> Trace:
        """The dual numbers' trace in one view; computed once, being dear."""
        if view not in self._duals:
            if view is View.LOCAL:
                given = self.traces[MANUAL]
                self._duals[view] = dual_local_trace(self.model, given, self.targets, self.loss)
            else:
                self._duals[view] = dual_trace(*self.parts)
        return self._duals[view]

    def _abstained(self, v: TensorVerdict) -> bool:
        """Whether the dual numbers have no number at the worst element."""
        found = dict(self._dual(v.view).tensors()).get(TensorName(v.layer, v.tensor))
        return found is None or not v.worst or bool(np.isnan(found[v.worst]))

    def look_at(self, v: TensorVerdict) -> str:
        """The code to read."""
        if v.layer == "":
            return f"look at the loss: {type(self.loss).__name__}.forward"
        place = self._place(v)
        layer = self.model.layers[place]
        kind = type(layer).__name__
        at_loss = place == len(self.model.layers) - 1
        if v.tensor == "grad_output":
            return f"look at {type(self.loss).__name__}.backward"
        if v.tensor == "grad_pre_activation" and at_loss and self._fused:
            return f"look at {type(self.loss).__name__}.backward_from_logits"
        if not has_steps(layer):
            return f"look at {kind}.backward"
        steps = {
            "pre_activation": "affine",
            "output": "activate",
            "grad_pre_activation": f"backward_activation, or {layer.activation!r}'s backward",
        }
        return f"look at {kind}.{steps.get(v.tensor, 'backward_affine')}"

    # -- why ------------------------------------------------------------------------------------

    def explain(self, v: TensorVerdict) -> Explanation | None:
        """The explanation that fits best within the bound, or None."""
        expectation = self._expectation(v.view, v.witness)
        expected = dict(expectation.tensors()).get(TensorName(v.layer, v.tensor))
        evidence = None if expected is None else self._evidence(v, expected)
        if evidence is None:
            return None
        if evidence.given.shape != evidence.right.shape:
            return by_shape(evidence, [w.shape for w in self.model.weights])
        bound = getattr(expected, "error", np.zeros(()))
        if v.witness != MANUAL and residual_of(evidence.given, evidence.right, bound) <= SAME:
            sentence = f"the manual formula gives what this library's does: {v.witness} differs"
            return Explanation("witness-differs", sentence, 0.0)
        best = best_fit(evidence, bound, self._candidates(v, evidence), self._roundoff)
        own_run = v.witness == MANUAL and not self.from_elsewhere
        return best or by_pattern(evidence, bound, own_run=own_run, tensor=v.tensor)

    def _candidates(self, v: TensorVerdict, evidence: Evidence) -> Iterator[Candidate]:
        at_loss = evidence.predictions is not None
        with np.errstate(all="ignore"):
            if v.witness == MANUAL and not self.from_elsewhere:
                # The run differs from its own formula, so no other formula explains it.
                yield from rearrangements(evidence)
                yield from self._overwritten(v)
                return
            yield from factors(evidence)
            if v.tensor == "loss":
                yield from self._other_losses()
            elif at_loss:
                yield from loss_gradients(evidence)
            elif v.tensor in BY_TENSOR:
                yield from BY_TENSOR[v.tensor](evidence)
            yield from rearrangements(evidence)

    def _other_losses(self) -> Iterator[Candidate]:
        """The loss's value with an epsilon that the other pass does not have."""
        predictions = _wide(self.traces[MANUAL].predictions)
        if self.loss.name in LOSSES and not self._fused and predictions is not None:
            value = _pristine(self.loss).forward(predictions + EPSILON, self.targets)
            yield "epsilon", "an epsilon is added in this pass only", np.asarray(value)

    def _overwritten(self, v: TensorVerdict) -> Iterator[Candidate]:
        """What a stored tensor of the manual run became, where a later step wrote into it."""
        for name, array in self.traces[MANUAL].tensors():
            if str(name) != v.name and name.tensor not in ("inputs", "grad_output"):
                sentence = f"holds the numbers of {name}: overwritten in place?"
                yield "overwritten", sentence, np.asarray(array, np.float64)

    @property
    def _roundoff(self) -> float:
        return precision_of(self.model.dtype).roundoff

    @property
    def _fused(self) -> bool:
        return self.traces[MANUAL].fused

    def _place(self, v: TensorVerdict) -> int:
        labels = self.traces[MANUAL].labels()
        names = [layer.name for layer in self.traces[MANUAL].layers]
        return labels.index(v.layer) if v.layer in labels else names.index(v.layer)

    def _given_trace(self, v: TensorVerdict) -> Trace:
        return self.traces[MANUAL if v.witness == DUAL else v.witness]

    def _expectation(self, view: View, witness: str) -> Trace:
        reference = witness != MANUAL
        if view is View.LOCAL:
            given = self.traces[MANUAL if witness == DUAL else witness]
            return expect_locally(self.model, given, self.targets, self.loss, reference=reference)
        return expect_end_to_end(*self.parts, reference=reference)

    def _evidence(self, v: TensorVerdict, expected: Any) -> Evidence | None:
        of_dual_steps = v.witness == DUAL and v.view is View.LOCAL
        trace = self._dual(v.view) if of_dual_steps else self.traces[v.witness]
        actual = dict(trace.tensors()).get(TensorName(v.layer, v.tensor))
        if actual is None:
            return None
        ours, theirs = np.asarray(_values(expected)), np.asarray(actual, np.float64)
        if v.witness == MANUAL:
            ours, theirs = theirs, ours
        evidence = Evidence(given=ours, right=theirs)
        self._add_step(evidence, v)
        return evidence

    def _add_step(self, evidence: Evidence, v: TensorVerdict) -> None:
        """The step's own numbers, and at the loss the predictions and targets."""
        if v.layer == "":
            evidence.predictions = _wide(self.traces[MANUAL].predictions)
            return
        place = self._place(v)
        layer, seen = self.model.layers[place], self._given_trace(v).layers[place]
        for tensor in ("inputs", "pre_activation", "output", *BACKWARD_TENSORS[:2]):
            if getattr(seen, tensor) is not None:
                setattr(evidence, tensor, _wide(getattr(seen, tensor)))
        evidence.W = _wide(getattr(layer, "W", None))
        evidence.others = tuple(
            (_wide(other.inputs), _wide(other.pre_activation), _wide(getattr(at, "W", None)))
            for other, at in zip(self._given_trace(v).layers, self.model.layers, strict=True)
            if at is not layer
        )
        evidence.stored = tuple(_arrays_in(layer, self.model.weights))
        evidence.gradients = tuple(
            np.asarray(g, np.float64)
            for name, g in self.traces[v.witness].tensors()
            if name.tensor in WEIGHTS and str(name) != v.name
        )
        activation = getattr(layer, "activation", None)
        if activation is not None and activation.name in ACTIVATIONS:
            evidence.activation = ACTIVATIONS[activation.name](**activation.arguments)
        last = place == len(self.model.layers) - 1
        if last and v.tensor == "output":
            evidence.targets = _as_rows(self.targets, evidence.right)
        fused = v.tensor == "grad_pre_activation" and self._fused
        if last and (v.tensor == "grad_output" or fused):
            evidence.predictions = _wide(seen.output)
            evidence.targets = _as_rows(self.targets, evidence.predictions)
            if fused and evidence.pre_activation is not None:
                squash = activations.get(self.loss.fuses_with)
                evidence.predictions = squash.forward(evidence.pre_activation)
            evidence.loss_gradient = _own_gradient(self.loss, fused, self.targets)
            evidence.loss = _pristine(self.loss) if self.loss.name in LOSSES else None
        self._set_right(evidence, v, seen)

    def _set_right(self, evidence: Evidence, v: TensorVerdict, seen: Any) -> None:
        """The right result from this library's own formulas, in float64, where that is known.

        A reference's own numbers are rounded; these make the right explanation match exactly.
        """
        own_formulas = v.layer != "" and has_steps(self.model.layers[self._place(v)])
        if v.view is not View.LOCAL or v.witness == MANUAL or not own_formulas:
            return
        d, g = evidence.grad_pre_activation, evidence.grad_output
        right: Array | None = None
        if v.tensor == "grad_W" and evidence.inputs is not None and d is not None:
            right = evidence.inputs.T @ d
        elif v.tensor == "grad_b" and d is not None:
            right = d.sum(axis=0)
        elif v.tensor == "grad_inputs" and evidence.W is not None and d is not None:
            right = d @ evidence.W.T
        elif evidence.predictions is not None and evidence.loss_gradient is not None:
            right = evidence.loss_gradient(evidence.predictions, evidence.targets)
        elif v.tensor == "grad_pre_activation" and evidence.activation is not None:
            z = evidence.pre_activation
            if z is not None and g is not None:
                right = evidence.activation.backward(g, z, evidence.activation.forward(z))
        if right is not None and right.shape == evidence.right.shape:
            evidence.right = right


def _own_gradient(
    loss: Loss, fused: bool, labels: Array
) -> Callable[[Array, Array | None], Array] | None:
    """This library's own gradient of a loss, of (predictions, target rows or None: the batch's)."""
    if loss.name not in LOSSES:
        return None
    pristine = _pristine(loss)
    backward = pristine.backward_from_logits if fused else pristine.backward

    def gradient(predictions: Array, rows: Array | None) -> Array:
        if rows is None:
            return backward(predictions, labels)
        return backward(predictions, rows.argmax(axis=1) if labels.ndim == 1 else rows)

    return gradient


def _pristine(loss: Loss) -> Any:
    """This library's own loss of the same name, with the same arguments, weights and mask."""
    return LOSSES[loss.name](**loss.arguments).weighted(loss.sample_weight, loss.mask)


def _values(expected: Any) -> Array:
    return getattr(expected, "value", expected)


def _arrays_in(layer: Any, weights: list[Array]) -> Iterator[Array]:
    """Arrays that a layer's object holds besides its weights: caches, earlier gradients."""
    for held in vars(layer).values():
        for array in held if isinstance(held, list | tuple) else [held]:
            if isinstance(array, np.ndarray) and not any(array is w for w in weights):
                yield array.astype(np.float64)


def _wide(array: Any) -> Array | None:
    return None if array is None else np.asarray(array, np.float64)


def _as_rows(targets: Array, predictions: Array) -> Array | None:
    """One-hot or regression rows; None of labels that are no columns of the predictions."""
    if targets.ndim > 1:
        return targets.astype(np.float64)
    classes = predictions.shape[1]
    if targets.min() < 0 or targets.max() >= classes:
        return None
    return np.eye(classes)[targets]
