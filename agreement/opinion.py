"""The third opinion: traces whose gradients come from dual numbers, not from any backward.

End to end: every weight, and every tensor between the steps, gets directions of its own; one
forward pass carries them all, and the tangents of the loss are the gradients. Locally: for a
step s and the cotangent g that its output has in another trace, the tangents of Σ g·s(x) are
what s's backward should give. Either way only *forward* code runs, in arithmetic wider than
the model's.

Where that takes too many directions a weight has random ones instead (``projections``), and
the gradient of any other tensor is left absent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agreement.alike import Flag, as_array, somewhere
from agreement.dual import DualArray
from agreement.expectation import copy_with_weights
from agreement.ties import Run
from manual_backprop import NaiveSequential
from manual_backprop.layers import has_steps
from manual_backprop.losses import Loss
from manual_backprop.trace import LayerTrace, TensorName, Trace
from manual_backprop.typing import Array

# Numbers that the tangents of one array may hold at once.
LARGEST_TANGENTS = 8_000_000
# Random directions for each weight array that is too large.
DIRECTIONS = 8
SMALLEST_NORMAL = float(np.finfo(np.float64).smallest_normal)


def dual_trace(model: NaiveSequential, inputs: Array, targets: Array, loss: Loss) -> Trace:
    """The trace of the manual forward pass, with end-to-end gradients by dual numbers.

    NaN in a gradient is an abstention: the derivative does not exist there.
    """
    return _Witness(model, targets, loss).trace(inputs)


def dual_local_trace(model: NaiveSequential, seen: Trace, targets: Array, loss: Loss) -> Trace:
    """Each step's backward by dual numbers, on the inputs and cotangents of another trace."""
    return _Witness(model, targets, loss).local_trace(seen)


@dataclass
class _Directions:
    """Who perturbs along which directions: each subject has a block of rows of its own.

    Attributes:
        count: all directions together. blocks: by subject, its first row and its directions.
        whole: the subjects with one direction for each element.
    """

    work: np.dtype[Any]
    dtype: np.dtype[Any]
    count: int = 0
    blocks: dict[Any, tuple[int, Array]] = field(default_factory=dict)
    whole: set[Any] = field(default_factory=set)

    def add(self, subject: Any, directions: Array) -> None:
        """Reserve rows for a subject's directions, (rows, *shape)."""
        self.blocks[subject] = (self.count, directions.astype(self.work, copy=False))
        self.count += len(directions)

    def add_whole(self, subject: Any, shape: tuple[int, ...]) -> None:
        """One direction for each element."""
        size = int(np.prod(shape))
        self.add(subject, np.eye(size, dtype=self.work).reshape(size, *shape))
        self.whole.add(subject)

    def dual(self, subject: Any, value: Array, run: Run) -> DualArray:
        """A value that moves along its own directions only."""
        constant = DualArray(
            value, np.zeros((self.count, *np.shape(value)), self.work), run, self.dtype
        )
        return self.moved(subject, constant)

    def moved(self, subject: Any, array: Any) -> Any:
        """The array, moving along the subject's directions as well."""
        if subject in self.blocks:
            first, directions = self.blocks[subject]
            array.tangents[first : first + len(directions)] += directions
        return array

    def gradients(self, passes: Callable[[Run], Any]) -> dict[Any, Array]:
        """By subject, the derivatives of a scalar; NaN where ties decided otherwise change it."""
        run = Run(self.work)
        with np.errstate(all="ignore"):
            found = _narrow(passes(run).tangents)
            other = None
            if somewhere(run.met):
                other = _narrow(passes(Run(self.work, other_way=True)).tangents)
        gradients = {}
        for subject, (first, directions) in self.blocks.items():
            block = slice(first, first + len(directions))
            gradients[subject] = found[block]
            if other is not None:
                gradients[subject] = _settled(found[block], other[block], run.met)
        return gradients


def _settled(found: Array, other: Array, met: Flag) -> Array:
    """What was found, but NaN where ties were met and decided otherwise change it."""
    same = _where_same(found, other)
    return same if met is True else np.where(met, same, found)


def _where_same(one: Array, other: Array) -> Array:
    """The first where the two differ by a rounding of their own size at most, NaN elsewhere.

    A difference that is small only beside other elements may be what cancellation left over, or
    a convention that meets a small cotangent: which of them, the numbers do not tell.
    """
    with np.errstate(all="ignore"):
        size = np.abs(one) + np.abs(other)
        same = np.abs(one - other) <= np.sqrt(np.finfo(np.float64).eps) * size
    return np.where(same, one, np.nan)


def _narrow(array: Any) -> Any:
    """Back to float64, flushed to zero where the judge's centre may have underflowed."""
    if array is None:
        return None
    narrow = as_array(array, np.float64)
    return np.where(np.abs(narrow) < SMALLEST_NORMAL, 0.0, narrow)


def _untraceable(model: NaiveSequential) -> set[TensorName]:
    """Gradients of weights that cannot be told apart: tied, overlapping, or made anew each time.

    Their directions would reach nothing, or too much; the dual numbers abstain.
    """
    names, weights, again = model.gradient_names, model.weights, model.weights
    return {
        name
        for name, w, w_again in zip(names, weights, again, strict=True)
        if w is not w_again or sum(np.may_share_memory(w, other) for other in weights) > 1
    }


def _activity(layer: Any, pre_activation: Any) -> Any:
    """The penalty on what a layer's activation makes of its pre-activation; 0 without."""
    penalties = getattr(layer, "penalties", None)
    if not penalties or penalties.activity is None:
        return 0
    output = layer.activation.forward(pre_activation)
    return penalties.activity.value(output) / len(output)


class _Witness:
    """One model and loss, run forward on dual numbers."""

    def __init__(self, model: NaiveSequential, targets: Array, loss: Loss) -> None:
        self.model, self.targets, self.loss = model, targets, loss
        self.dtype = model.dtype
        self.work = np.dtype(np.float64 if self.dtype == np.float32 else np.longdouble)
        self.fused = loss.is_fused_with(model.output_activation)
        self.generator = np.random.default_rng(0)
        self.weights = dict(zip(model.gradient_names, model.weights, strict=True))
        self.untraceable = _untraceable(model)

    def loss_value(self, logits: Any, predictions: Any) -> Any:
        """The loss, by the path that the model takes."""
        if self.fused:
            return self.loss.forward_from_logits(logits, self.targets)
        return self.loss.forward(predictions, self.targets)

    # -- end to end ---------------------------------------------------------------------------

    def trace(self, inputs: Array) -> Trace:
        """A plain pass for the shapes, a dual one for the forward tensors and all gradients."""
        plain = copy_with_weights(self.model, [w.astype(self.work) for w in self.model.weights])
        plain.snapshots = True
        with np.errstate(all="ignore"):
            plain.forward(inputs.astype(self.work))
            layers = [
                LayerTrace(r.name, *map(_narrow, (r.inputs, r.pre_activation, r.output)))
                for r in plain.records
            ]
        trace = Trace(layers, fused=self.fused, abstains=True)
        directions = self._directions(layers)

        def passes(run: Run) -> Any:
            noted = [LayerTrace(layer.name) for layer in layers]
            value = self._dual_pass(inputs, directions, run, noted)
            if not run.other_way:
                layers[:], trace.loss = noted, _narrow(value.value)
            return value

        if self._can_be_chained(directions):
            found = self._chained_gradients(inputs, trace)
        else:
            found = directions.gradients(passes)
        for place, layer in enumerate(layers):
            for tensor in ("inputs", "pre_activation", "output"):
                if (place, tensor) in found:
                    shape = getattr(layer, tensor).shape
                    setattr(layer, f"grad_{tensor}", found[place, tensor].reshape(shape))
        for below, above in itertools.pairwise(layers):
            below.grad_output = above.grad_inputs
        self._store_weight_gradients(trace, found, directions, self.model.gradient_names)
        return trace

    def _can_be_chained(self, directions: _Directions) -> bool:
        """Whether the loss depends on each step through the next one only, all of them whole."""
        return directions.whole == {*directions.blocks} and not self.model.is_penalised

    def _chained_gradients(self, inputs: Array, trace: Trace) -> dict[Any, Array]:
        """As ``_Directions.gradients`` of the whole pass; the trace gets its forward tensors."""
        # Imported here: most checks are of one step.
        from agreement.chained import chained_gradients

        run = Run(self.work)
        with np.errstate(all="ignore"):
            found = chained_gradients(self, inputs, run, trace)
            for layer in trace.layers:
                layer.inputs, layer.pre_activation, layer.output = map(
                    _narrow, (layer.inputs, layer.pre_activation, layer.output)
                )
            trace.loss = _narrow(trace.loss)
            found = {subject: _narrow(rows) for subject, rows in found.items()}
            if somewhere(run.met):
                noted = Trace([LayerTrace(layer.name) for layer in trace.layers])
                again = chained_gradients(self, inputs, Run(self.work, other_way=True), noted)
                for subject, rows in found.items():
                    found[subject] = _settled(rows, _narrow(again[subject]), run.met)
        return found

    def whole_directions(self, subjects: dict[Any, Array]) -> _Directions:
        """One direction for each element of each subject."""
        directions = _Directions(self.work, self.dtype)
        for subject, array in subjects.items():
            directions.add_whole(subject, array.shape)
        return directions

    def _directions(self, layers: list[LayerTrace]) -> _Directions:
        """Directions for all tensors between the steps, and for all weights."""
        tensors: dict[Any, tuple[int, ...]] = {}
        for place, (layer, record) in enumerate(zip(self.model.layers, layers, strict=True)):
            tensors[place, "inputs"] = record.inputs.shape  # type: ignore[union-attr]
            if has_steps(layer):
                tensors[place, "pre_activation"] = record.pre_activation.shape  # type: ignore[union-attr]
        if not self.fused:
            tensors[len(layers) - 1, "output"] = layers[-1].output.shape  # type: ignore[union-attr]
        weights = {name: weight.shape for name, weight in self.weights.items()}
        return self._covering({**tensors, **weights})

    def _covering(self, shapes: dict[Any, tuple[int, ...]]) -> _Directions:
        """One direction for each element if that is affordable, else random ones for weights."""
        directions = _Directions(self.work, self.dtype)
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        affordable = sum(sizes) * max(sizes) <= LARGEST_TANGENTS
        for subject, shape in shapes.items():
            if affordable:
                directions.add_whole(subject, shape)
            elif subject in self.weights:
                chosen = self.generator.choice([-1.0, 1.0], (DIRECTIONS, *shape))
                directions.add(subject, chosen)
        return directions

    def _dual_pass(
        self, inputs: Array, directions: _Directions, run: Run, layers: list[LayerTrace]
    ) -> Any:
        """The loss; the forward tensors on the way are noted in ``layers``."""
        model = copy_with_weights(
            self.model, [directions.dual(n, w, run) for n, w in self.weights.items()]
        )
        hidden: Any = directions.dual((0, "inputs"), inputs, run)
        z: Any = None
        for place, (layer, noted) in enumerate(zip(model.layers, layers, strict=True)):
            if place:
                hidden = directions.moved((place, "inputs"), hidden.copy())
            noted.inputs = _narrow(hidden.value)
            if has_steps(layer):
                z = directions.moved((place, "pre_activation"), layer.affine(hidden))
                noted.pre_activation = _narrow(z.value)
                hidden = layer.activate(z)
            else:
                hidden = layer.forward(hidden)
            noted.output = _narrow(hidden.value)
        hidden = directions.moved((len(model.layers) - 1, "output"), hidden.copy())
        value = self.loss_value(z, hidden)
        return value + model.penalty() if model.is_penalised else value

    def _store_weight_gradients(
        self,
        trace: Trace,
        found: dict[Any, Array],
        directions: _Directions,
        names: list[TensorName],
    ) -> None:
        for name in names:
            shape = self.weights[name].shape
            if name in self.untraceable:
                found[name] = np.full_like(found[name], np.nan)
            if name in directions.whole:
                trace.gradients.append(found[name].reshape(shape))
                trace.gradient_names.append(name)
            else:
                trace.projections[name] = (directions.blocks[name][1], found[name])

    # -- step by step ---------------------------------------------------------------------------

    def local_trace(self, seen: Trace) -> Trace:
        """Gradients only; the forward is the manual code's own."""
        layers = [LayerTrace(layer.name) for layer in seen.layers]
        trace = Trace(layers, fused=seen.fused, abstains=True)
        last, found = seen.layers[-1], layers[-1]
        if seen.fused:
            top = self.model.layers[-1]
            found.grad_pre_activation = self._pulled_back(
                last.pre_activation,
                lambda z: self.loss.forward_from_logits(z, self.targets) + _activity(top, z),
            )
        elif last.output is not None:
            found.grad_output = self._pulled_back(
                last.output, lambda p: self.loss.forward(p, self.targets)
            )
        names = self.model.gradient_names
        for place, (given, wanted) in enumerate(zip(seen.layers, layers, strict=True)):
            own = [name for name in names if name.layer == given.name]
            self._local_layer(place, given, wanted, trace, own)
        return trace

    def _local_layer(
        self,
        place: int,
        given: LayerTrace,
        wanted: LayerTrace,
        trace: Trace,
        names: list[TensorName],
    ) -> None:
        layer = self.model.layers[place]
        cotangent = given.grad_output
        if has_steps(layer):
            if cotangent is not None:
                upstream = cotangent.astype(self.work)
                wanted.grad_pre_activation = self._pulled_back(
                    given.pre_activation,
                    lambda z: (layer.activation.forward(z) * upstream).sum() + _activity(layer, z),
                )
            cotangent = given.grad_pre_activation
        if cotangent is None or given.inputs is None:
            return
        if self.model.names.count(given.name) > 1:
            names = []  # used in several places: the total is judged end to end
        weights = {name: self.weights[name].shape for name in names}
        directions = self._covering({"inputs": given.inputs.shape, **weights})
        upstream = cotangent.astype(self.work)

        def passes(run: Run) -> Any:
            # What another layer holds does not move: plain numbers will do.
            held = [
                directions.dual(name, w, run) if name in directions.blocks else w.astype(self.work)
                for name, w in self.weights.items()
            ]
            model = copy_with_weights(self.model, held)
            above = model.layers[place]
            step = above.affine if has_steps(above) else above.forward
            value = (step(directions.dual("inputs", given.inputs, run)) * upstream).sum()
            penalties = getattr(above, "penalties", None)
            if penalties:
                value = value + replace(penalties, activity=None).value(above.W, above.b, None)
            return value

        found = directions.gradients(passes)
        if "inputs" in found:
            wanted.grad_inputs = found["inputs"].reshape(given.inputs.shape)
        self._store_weight_gradients(trace, found, directions, names)

    def _pulled_back(self, start: Array | None, step: Callable[[Any], Any]) -> Array | None:
        """∂ step(x) / ∂x at ``start``; None where it takes too many directions."""
        if start is None or start.size**2 > LARGEST_TANGENTS:
            return None
        directions = _Directions(self.work, self.dtype)
        directions.add_whole("start", start.shape)

        def passes(run: Run) -> Any:
            return step(directions.dual("start", start, run))

        return directions.gradients(passes)["start"].reshape(start.shape)
