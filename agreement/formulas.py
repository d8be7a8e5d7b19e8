r"""Where a reference computes a function by a worse conditioned formula than ours.

A bound covers every correct evaluation of *our* formula. A reference that evaluates another one
may err more, and rightly so: a row says by how much, as an absolute error of f(x) and of f′(x)
in units of the unit roundoff, and why. Rows widen the bounds of references only; the manual
run is always judged by its own formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray
from manual_backprop.activations import Activation
from manual_backprop.typing import Array

# From x (float64) and the function's arguments to an absolute error in units of u.
Extra: TypeAlias = Callable[[Array, Mapping[str, Any]], Array]


def none(x: Array, arguments: Mapping[str, Any]) -> Array:
    """Nothing to add."""
    return np.zeros_like(x)


class Formula(NamedTuple):
    """How far a reference's formula may be from the true value, beyond ours.

    Attributes:
        why: the reference's formula, and the derivation of its error.
        value: the extra error of f(x). slope: that of f′(x).
    """

    why: str
    value: Extra = none
    slope: Extra = none


FORMULAS: dict[str, Formula] = {}


class OtherFormula(Activation):
    """An activation whose results may err by a row's extra, for error-carrying arrays."""

    def __init__(self, activation: Activation, formula: Formula) -> None:
        self.activation, self.formula = activation, formula
        self.name = activation.name  # type: ignore[misc]

    def output_size(self, units: int) -> int:
        return self.activation.output_size(units)

    def forward(self, inputs: Array) -> Array:
        output = self.activation.forward(inputs)
        return _widened(output, _largest(self.formula.value, inputs, self.activation.arguments))

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        grad = self.activation.backward(grad_output, inputs, output)
        slope = _largest(self.formula.slope, inputs, self.activation.arguments)
        return _widened(grad, slope * (np.abs(grad_output.value) + grad_output.error))


def as_references_compute(activation: Activation) -> Activation:
    """The activation, with what references may err more; itself where there is no row."""
    formula = FORMULAS.get(activation.name)
    return activation if formula is None else OtherFormula(activation, formula)


def _largest(extra: Extra, x: BoundedArray, arguments: Mapping[str, Any]) -> Array:
    """The extra at the centre or at either end of each interval, in numbers."""
    with np.errstate(all="ignore"):
        ends = [extra(x.value + side * x.error, arguments) for side in (-1, 0, 1)]
    return x.precision.roundoff * np.maximum.reduce(ends)


def _widened(x: BoundedArray, extra: Array) -> BoundedArray:
    """The same values with larger errors; an infinite error stays one."""
    smooth = None if x.smooth_error is None else x.smooth_error + extra
    extra = np.where(np.isnan(extra), 0.0, extra)
    return BoundedArray(
        x.value,
        x.error + extra,
        x.precision,
        smooth_error=smooth,
        exact=x.exact and not extra.any(),
        limited=x.limited,
    )
