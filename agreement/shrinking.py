"""Making a failing case smaller while it still fails: fewer samples, fewer units, plainer numbers.

Greedy, deterministic and bounded: every attempt is one change, kept if the case still fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from agreement.cases import Case
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.typing import Array

TRIES = 400
# Elements of larger arrays are not changed one by one.
MOST_ELEMENTS = 64

Predicate = Callable[[Case], bool]
T = TypeVar("T")


def shrink(case: Case, fails: Predicate, tries: int = TRIES) -> Case:
    """The smallest case found within so many tries; ``case`` itself must fail.

    An exception in ``fails`` counts as not failing.
    """
    search = _Search(case, fails, tries)
    search.run()
    return search.case


class _Search:
    """The smallest failing case so far; ``case`` changes as attempts succeed."""

    def __init__(self, case: Case, fails: Predicate, tries: int) -> None:
        self.case, self.fails, self.tries = case, fails, tries

    def run(self) -> None:
        """Repeat all reductions until none helps or the tries are used up."""
        before = None
        while before is not self.case and self.tries > 0:
            before = self.case
            for axis in range(len(before.model.layers) + 2):
                self._drop_along(axis)
            self._drop_layers()
            for index in range(len(_arrays(self.case))):
                self._plainer_array(index)
            for index in range(len(_arrays(self.case))):
                self._plainer_elements(index)

    def attempt(self, candidate: Case | None) -> bool:
        """Keep the candidate if it fails as well."""
        if candidate is None or self.tries <= 0:
            return False
        self.tries -= 1
        try:
            found = self.fails(candidate)
        except Exception:
            found = False
        if found:
            self.case = candidate
        return found

    def _drop_along(self, axis: int) -> None:
        """Drop samples (axis 0), or units of layer ``axis − 1``: halves first, then single ones."""
        size = max(1, _lengths(self.case)[axis] // 2)
        while size:
            start = 0
            while start < (length := _lengths(self.case)[axis]) and size < length:
                kept = np.r_[0:start, min(start + size, length) : length]
                if not (len(kept) and self.attempt(_keep(self.case, axis, kept))):
                    start += size
            size //= 2

    def _drop_layers(self) -> None:
        for place in reversed(range(len(self.case.model.layers) - 1)):
            self.attempt(_without_layer(self.case, place))

    def _plainer_array(self, index: int) -> None:
        array = _arrays(self.case)[index]
        for plainer in (np.zeros_like(array), np.round(array), _one_digit(array)):
            if not np.array_equal(plainer, array) and self.attempt(
                _with_array(self.case, index, plainer)
            ):
                return

    def _plainer_elements(self, index: int) -> None:
        array = _arrays(self.case)[index]
        if array.size > MOST_ELEMENTS:
            return
        for place in np.ndindex(array.shape):
            for plainer in _plainer_numbers(array[place]):
                changed = _arrays(self.case)[index].copy()
                changed[place] = plainer
                if self.attempt(_with_array(self.case, index, changed)):
                    break


def _lengths(case: Case) -> list[int]:
    """The batch, the number of inputs, and every layer's number of outputs."""
    outputs = [layer.output_size for layer in case.model.layers]
    return [len(case.inputs), case.model.layers[0].input_size, *outputs]


def _arrays(case: Case) -> list[Array]:
    """Every array whose numbers may be made plainer: of labels, those that may be any numbers."""
    free = case.loss.labels == "numbers"
    return [*case.model.weights, case.inputs, *([case.targets] if free else [])]


def _with_array(case: Case, index: int, array: Array) -> Case:
    weights = case.model.weights
    if index == len(weights):
        return replace(case, inputs=array)
    if index > len(weights):
        return replace(case, targets=array)
    given = iter([*weights[:index], array, *weights[index + 1 :]])
    pairs = [(next(given), None if layer.b is None else next(given)) for layer in case.model.layers]
    return replace(case, model=_rebuilt(case, pairs))


def _rebuilt(case: Case, pairs: list[tuple[Array, Array | None]]) -> NaiveSequential:
    places = zip(case.model.layers, pairs, strict=True)
    return NaiveSequential(
        NaiveDense.from_weights(kernel, bias, layer.activation) for layer, (kernel, bias) in places
    )


def _keep(case: Case, axis: int, kept: Array) -> Case | None:
    """The case with only these samples or units; None where labels forbid it."""
    if axis == 0:
        return replace(case, inputs=case.inputs[kept], targets=case.targets[kept])
    pairs = [(layer.W, layer.b) for layer in case.model.layers]
    inputs, targets = case.inputs, case.targets
    if axis == 1:
        inputs = inputs[:, kept]
    else:
        kernel, bias = pairs[axis - 2]
        outputs = case.model.layers[axis - 2].output_size
        # Units that make one output, such as the two of glu, lie so far apart.
        units = np.concatenate([kept + first for first in range(0, kernel.shape[1], outputs)])
        pairs[axis - 2] = (kernel[:, units], None if bias is None else bias[units])
    if axis - 1 < len(pairs):
        kernel, bias = pairs[axis - 1]
        pairs[axis - 1] = (kernel[kept], bias)
    elif targets.ndim == 1:
        if not np.isin(targets, kept).all():
            return None
        targets = np.searchsorted(kept, targets)
    else:
        dropped = np.delete(targets, kept, axis=1)
        if case.loss.labels == "distributions" and dropped.any():
            return None
        targets = targets[:, kept]
    return replace(case, model=_rebuilt(case, pairs), inputs=inputs, targets=targets)


def _without_layer(case: Case, place: int) -> Case | None:
    """The case without one hidden layer; None where the sizes around it differ."""
    layers = case.model.layers
    if layers[place].input_size != layers[place].output_size:
        return None
    structure = replace(
        case.structure,
        activations=_without(case.structure.activations, place),
        biases=_without(case.structure.biases, place),
    )
    copies = (NaiveDense.from_weights(one.W, one.b, one.activation) for one in layers)
    model = NaiveSequential(_without(tuple(copies), place))
    return replace(case, structure=structure, model=model)


def _without(values: tuple[T, ...], place: int) -> tuple[T, ...]:
    return (*values[:place], *values[place + 1 :])


def _one_digit(array: Array) -> Array:
    """Every number to one significant digit."""
    return np.array([float(f"{x:.0e}") for x in array.ravel()], array.dtype).reshape(array.shape)


def _plainer_numbers(number: float) -> Iterator[float]:
    """Numbers that are plainer than this one, the plainest first."""
    for plainer in (0.0, 1.0, -1.0, float(f"{number:.0e}")):
        if plainer == number:
            return
        yield plainer
