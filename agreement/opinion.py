"""The third opinion: traces whose gradients come from dual numbers, not from any backward.

End to end: with y a tensor inside the model, ∂loss/∂y is the tangent of the loss when the
forward pass is continued from y with one direction for each element of y. Locally: for a step
s and the cotangent g that its output has in another trace, sᵀ-backward of g is the tangent of
Σ g·s(x). Either way only *forward* code runs, in arithmetic wider than the model's.

Where that takes too many directions a weight has random ones instead (``projections``), and
the gradient of any other tensor is left absent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from agreement.dual import DualArray, Run
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.layers import has_steps
from manual_backprop.losses import Loss
from manual_backprop.trace import LayerTrace, TensorName, Trace
from manual_backprop.typing import Array

DUAL = "dual"
# Tangents that are held at once: directions × numbers in the largest tensor.
LARGEST_TANGENTS = 4_000_000
# Random directions for each weight array that is too large.
DIRECTIONS = 8

# From dual numbers somewhere in the forward pass to a scalar.
Continuation = Callable[[DualArray], Any]


def dual_trace(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> Trace:
    """The trace of the manual forward pass, with end-to-end gradients by dual numbers.

    NaN in a gradient is an abstention: the derivative does not exist there.
    """
    return _DualWitness(model, targets, loss).trace(inputs)


def dual_local_trace(model: NaiveSequential, seen: Trace, targets: Array, loss: Loss) -> Trace:
    """Each step's backward by dual numbers, on the inputs and cotangents of another trace."""
    return _DualWitness(model, targets, loss).local_trace(seen)


class _DualWitness:
    """One model and loss, run forward from any tensor on."""

    def __init__(self, model: NaiveSequential, targets: Array, loss: Loss) -> None:
        self.dtype = model.dtype
        self.work = np.dtype(np.float64 if self.dtype == np.float32 else np.longdouble)
        memo: dict[int, Any] = {id(w): w.astype(self.work) for w in model.weights}
        memo[id(model.records)] = []
        self.model = copy.deepcopy(model, memo)
        self.targets, self.loss = targets, loss
        self.generator = np.random.default_rng(0)
        self.fused = loss.is_fused_with(model.output_activation)

    def trace(self, inputs: Array) -> Trace:
        """Forward values first, then each tensor's gradient from there on."""
        model = self.model
        with np.errstate(all="ignore"):
            model.forward(inputs.astype(self.work))
        layers = [LayerTrace(r.name, r.inputs, r.pre_activation, r.output) for r in model.records]
        for place, seen in enumerate(layers):
            seen.grad_inputs = self._whole(seen.inputs, self._from_inputs(place))
            if seen.pre_activation is not None and isinstance(model.layers[place], NaiveDense):
                onward = self._from_pre_activation(place)
                seen.grad_pre_activation = self._whole(seen.pre_activation, onward)
            if not (seen is layers[-1] and self.fused):
                seen.grad_output = self._whole(seen.output, self._from_inputs(place + 1))
        trace = Trace(layers, fused=self.fused, abstains=True)
        trace.loss = np.asarray(self._loss_value(layers[-1].pre_activation, layers[-1].output))
        for name, weight in zip(model.gradient_names, model.weights, strict=True):

            def run_all(subject: Any, dual: DualArray) -> Any:
                return subject._from_inputs(0)(dual.operand(inputs))

            self._add_weight_gradient(trace, name, weight, run_all)
        return trace

    def local_trace(self, seen: Trace) -> Trace:
        """Gradients only; the forward is the manual code's own."""
        layers = [LayerTrace(layer.name) for layer in seen.layers]
        trace = Trace(layers, fused=seen.fused, abstains=True)
        last, found = seen.layers[-1], layers[-1]
        if seen.fused:
            found.grad_pre_activation = self._whole(
                last.pre_activation, lambda z: self.loss.forward_from_logits(z, self.targets)
            )
        else:
            found.grad_output = self._whole(
                last.output, lambda p: self.loss.forward(p, self.targets)
            )
        names = iter(self.model.gradient_names)
        done: set[str] = set()
        for place, (layer, given, wanted) in enumerate(
            zip(self.model.layers, seen.layers, layers, strict=True)
        ):
            weight_names = [next(names) for _ in layer.weights if given.name not in done]
            done.add(given.name)
            self._local_layer(place, given, wanted, trace, weight_names)
        return trace

    def _local_layer(
        self,
        place: int,
        given: LayerTrace,
        wanted: LayerTrace,
        trace: Trace,
        weight_names: list[TensorName],
    ) -> None:
        layer = self.model.layers[place]
        cotangent = given.grad_output
        if has_steps(layer):
            if cotangent is not None:
                through = cotangent.astype(self.work)
                wanted.grad_pre_activation = self._whole(
                    given.pre_activation, lambda z: (layer.activation.forward(z) * through).sum()
                )
            cotangent = given.grad_pre_activation
        if cotangent is None or given.inputs is None:
            return
        upstream = cotangent.astype(self.work)

        def run_layer(subject: Any, dual: DualArray, inputs: Any) -> Any:
            above = subject.model.layers[place]
            step = above.affine if has_steps(above) else above.forward
            return (step(inputs) * upstream).sum()

        wanted.grad_inputs = self._whole(given.inputs, lambda x: run_layer(self, x, x))
        if self.model.names.count(given.name) > 1:
            return  # a weight used in several places: its total is judged end to end
        for name, weight in zip(weight_names, layer.weights, strict=True):
            self._add_weight_gradient(
                trace, name, weight, lambda s, d: run_layer(s, d, d.operand(given.inputs))
            )

    def _loss_value(self, logits: Any, predictions: Any) -> Any:
        with np.errstate(all="ignore"):
            if self.fused:
                return self.loss.forward_from_logits(logits, self.targets)
            return self.loss.forward(predictions, self.targets)

    def _from_inputs(self, place: int) -> Continuation:
        """Continue from the inputs of the layer at ``place``, or from the predictions."""

        def onward(hidden: DualArray) -> Any:
            z: Any = hidden
            for layer in self.model.layers[place:]:
                hidden = layer.forward(hidden)
                z = getattr(layer, "pre_activation", None)
            return self._loss_value(z, hidden)

        return onward

    def _from_pre_activation(self, place: int) -> Continuation:
        def onward(z: DualArray) -> Any:
            layer = self.model.layers[place]
            if place == len(self.model.layers) - 1:
                return self._loss_value(z, layer.activation.forward(z))
            return self._from_inputs(place + 1)(layer.activation.forward(z))

        return onward

    def _add_weight_gradient(
        self, trace: Trace, name: TensorName, weight: Array, run: Callable[[Any, DualArray], Any]
    ) -> None:
        """The gradient with respect to one weight array, whole or along random directions."""

        def onward(dual: DualArray) -> Any:
            memo: dict[int, Any] = {id(weight): dual, id(self.model.records): []}
            subject = copy.copy(self)
            subject.model = copy.deepcopy(self.model, memo)
            return run(subject, dual)

        whole = self._whole(weight, onward)
        if whole is not None:
            trace.gradients.append(whole)
            trace.gradient_names.append(name)
        else:
            directions = self.generator.choice([-1.0, 1.0], (DIRECTIONS, *weight.shape))
            trace.projections[name] = (directions, self._along(weight, onward, directions))

    def _whole(self, start: Array, onward: Continuation) -> Array | None:
        """∂/∂start, or None where it takes too many directions."""
        if start.size**2 > LARGEST_TANGENTS:
            return None
        directions = np.eye(start.size).reshape(start.size, *start.shape)
        return self._along(start, onward, directions).reshape(start.shape)

    def _along(self, start: Array, onward: Continuation, directions: Array) -> Array:
        """Derivatives along directions; NaN where deciding ties the other way changes one."""
        directions = directions.astype(self.work)
        run = Run(self.work)
        with np.errstate(all="ignore"):
            first = onward(DualArray(start, directions, run, self.dtype)).tangents
            if not run.met:
                return first
            other = Run(self.work, other_way=True)
            second = onward(DualArray(start, directions, other, self.dtype)).tangents
        scale = np.abs(first).max(initial=0.0) + np.abs(second).max(initial=0.0)
        same = np.abs(first - second) <= np.sqrt(np.finfo(np.float64).eps) * scale
        return np.where(same, first, np.nan)
