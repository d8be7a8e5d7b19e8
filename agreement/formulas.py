r"""Where a reference computes a function by a worse conditioned formula than ours.

A bound covers every correct evaluation of *our* formula. A reference that evaluates another one
may err more, and rightly so: a row says by how much, as an absolute error of f(x) and of f′(x)
in units of the unit roundoff, and why. Rows widen the bounds of references only, dual numbers among
them, which may cancel as a tape does; the manual run is always judged by its own formula.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from agreement.alike import has_none
from agreement.bounded import BoundedArray
from manual_backprop import special
from manual_backprop.activations import Activation, Sparsemax
from manual_backprop.losses import EPSILON, Loss
from manual_backprop.typing import Array

Subject = TypeVar("Subject", bound=Activation | Loss)
LossType = TypeVar("LossType", bound=Loss)
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
        flushed: of f′(x) g, for an upstream gradient g, from products on the way that are
            flushed to zero; in smallest normal numbers. Of an activation's no more than 2 |g|
            can be lost, or 2 |f′(x) g| where it is steeper than 1.
    """

    why: str
    value: Extra = none
    slope: Extra = none
    flushed: Extra = none


def _hypotenuse(x: Array, arguments: Mapping[str, Any]) -> Array:
    """√(x² + b), at most."""
    return np.abs(x) + math.sqrt(arguments["b"])


def _constant(number: float) -> Extra:
    """The same everywhere."""
    return lambda x, arguments: np.full_like(x, number)


def _below_0(extra: Extra) -> Extra:
    """The extra of x < 0, and nothing elsewhere."""
    return lambda x, arguments: np.where(x < 0, extra(x, arguments), 0.0)


# Where sigmoid, and tanh of softplus, have long become exactly 1, in float64 as well.
SATURATED = 40.0


def _silu_value(x: Array, arguments: Mapping[str, Any]) -> Array:
    return np.where((x < -86.6) & (x > -88.0), 4e-31 * np.abs(x), 0.0)


def _silu_slope(x: Array, arguments: Mapping[str, Any]) -> Array:
    return np.where(x < SATURATED, 14 * np.abs(x) * special.sigmoid(x), 0.0)


def _mish_slope(x: Array, arguments: Mapping[str, Any]) -> Array:
    tanh = np.tanh(special.softplus(x))
    return np.where(x < SATURATED, 26 * np.abs(x) * special.sigmoid(x) * tanh * tanh, 0.0)


# Where tanh a has long become exactly ±1. What is left of the function farther out is less than
# 1e-60, and a formula with 1 + tanh a may lose it: so much more than that, in any u.
GELU_SATURATED, GELU_LOST = 12.0, 1e-30


def _gelu_value(x: Array, arguments: Mapping[str, Any]) -> Array:
    if not arguments["approximate"]:
        return np.zeros_like(x)
    return np.where(np.abs(x) < GELU_SATURATED, 10 * np.abs(x), GELU_LOST)


def _gelu_slope(x: Array, arguments: Mapping[str, Any]) -> Array:
    if not arguments["approximate"]:
        return np.zeros_like(x)
    slope = 0.8 * (1 + 0.134145 * np.square(x))  # a′
    return np.where(np.abs(x) < GELU_SATURATED, 10 + 14 * np.abs(x) * slope, GELU_LOST)


def _gelu_flushed(x: Array, arguments: Mapping[str, Any]) -> Array:
    if not arguments["approximate"]:
        return np.full_like(x, 6.0)
    return 6 + 3 * np.square(np.minimum(np.abs(x), GELU_SATURATED))


def _sparsemax_value(x: Array, arguments: Mapping[str, Any]) -> Array:
    axis = arguments["axis"]
    size = np.abs(x).max(axis=axis, keepdims=True) + 1
    y = Sparsemax(axis).forward(x)
    threshold = x.max(axis=axis, keepdims=True) - y.max(axis=axis, keepdims=True)
    return np.where(x - threshold > -1e-6 * size, 3 * size, 0.0)  # below it 0 in any formula


def _celu_flushed(x: Array, arguments: Mapping[str, Any]) -> Array:
    alpha = arguments["alpha"]
    return 2 / abs(alpha) * np.maximum(np.exp(np.minimum(x, 0) / alpha), 1)


# Below this γ no (1 − π)^γ of the smallest 1 − π above 0, a rounding, is flushed.
GAMMA_FLUSHED = 5.0


def _focal_flushed(x: Array, arguments: Mapping[str, Any]) -> Array:
    gamma = arguments["gamma"]
    if gamma <= GAMMA_FLUSHED:
        return np.zeros_like(x)
    if arguments["from_logits"]:
        return np.full_like(x, 17 * gamma + 4)
    clipped = np.clip(x, EPSILON, 1 - EPSILON)
    return 17 * gamma + 2 / (clipped * (1 - clipped))


def _circle_flushed(x: Array, arguments: Mapping[str, Any]) -> Array:
    """Two products for each pair, times the slope at the largest distance, times a prediction."""
    distance = 1 + (x * x).sum(axis=-1).max()
    slope = 2 * arguments["gamma"] * (1 + arguments["margin"] + distance)
    return np.zeros_like(x) + 2 * len(x) * slope * np.abs(x).max()


FORMULAS: dict[str, Formula] = {
    "celu": Formula(
        why="""The tape multiplies by α, then by e^(x/α), then divides by α: three roundings more
        than e^(x/α), the last of which may be a product with 1/α, 3 u. Where either product is
        flushed, 1/α times that is lost; of the first one, times e^(x/α) as well, which is above 1
        where α is negative.""",
        slope=_below_0(lambda x, arguments: 6 * np.exp(x / arguments["alpha"])),
        flushed=_celu_flushed,
    ),
    "elu": Formula(
        why="""Eager mode computes α (eˣ − 1) from a rounded eˣ, 8 u eˣ, and rounds the difference,
        u. All modes compute α eˣ as α (y + 1) from that y, and round the sum, u eˣ.""",
        value=_below_0(lambda x, arguments: abs(arguments["alpha"]) * (8 * np.exp(x) + 1)),
        slope=_below_0(lambda x, arguments: abs(arguments["alpha"]) * (9 * np.exp(x) + 2)),
    ),
    "gelu": Formula(
        why="""The approximation is x (1 + tanh a) / 2: tanh errs by 9 to 12 u, the sum by u, and a
        by the 5 u of x³, which tanh passes on as 5 u a (1 − tanh² a) < 3 u; times |x| / 2, rounded
        up. The slope adds x (1 − tanh² a) a′ / 2, where 1 − tanh² a errs by 26 u. Of either form
        the tape adds products, up to six of which may be flushed; in the approximation one of them
        is multiplied by 3 x² afterwards.""",
        value=_gelu_value,
        slope=_gelu_slope,
        flushed=_gelu_flushed,
    ),
    "binary_focal_crossentropy": Formula(
        why="""The tape flushes (1 − π)^(γ−1) before it multiplies by γ and by b ≤ −log ε < 17, and
        (1 − π)^γ before ∂b/∂p, at most 1/(p (1 − p)); of logits p (1 − p) times that.""",
        flushed=_focal_flushed,
    ),
    "circle": Formula(
        why="""The tape multiplies a pair's share by the upstream gradient and the sigmoid before
        the slope of its distance: where these products are flushed, the slope times that is
        lost.""",
        flushed=_circle_flushed,
    ),
    "cosine_similarity": Formula(
        why="""The tape divides either term of (3) by ℓ, then subtracts: either may be flushed.""",
        flushed=_constant(2.0),
    ),
    "log_cosh": Formula(
        why="""For x < 0 it is x + softplus(−2x), and softplus, nearly 2|x|, errs by 12 u of that.
        The slope is 1 − 2 σ(−2x), where σ errs by 12 u, and three results up to 1 are rounded.""",
        value=_below_0(lambda x, arguments: 24 * np.abs(x)),
        slope=lambda x, arguments: 24 * special.sigmoid(-2 * x) + 3,
    ),
    "mish": Formula(
        why="""With w = tanh s the tape has x (1 − w²) s′, where 1 − w² errs by 24 u w² and twice
        by u. It adds two products, and those that lead to them may be flushed.""",
        slope=_mish_slope,
        flushed=_constant(4.0),
    ),
    "selu": Formula(
        why="As elu, with λα = 1.7581 for α.",
        value=_below_0(lambda x, arguments: 1.7581 * (8 * np.exp(x) + 1)),
        slope=_below_0(lambda x, arguments: 1.7581 * (9 * np.exp(x) + 2)),
    ),
    "silu": Formula(
        why="""The slope is σ (1 + x (1 − σ)), where 1 − σ errs by 12 u σ and u, for σ(−x), and the
        rest rounds once more. Graph mode fuses x σ(x) into a kernel that takes σ for 0 below twice
        float32's smallest normal number, 2.4e-38 or 4e-31 u, from x = −86.64 on; the usual flush
        to 0 covers that from −87.34 on.""",
        value=_silu_value,
        slope=_silu_slope,
    ),
    "sparsemax": Formula(
        why="""The largest number is not subtracted first: sums, quotients and differences round at
        the size of the largest number of the row.""",
        value=_sparsemax_value,
    ),
    "tanh_shrink": Formula(
        why="""The slope is 1 − (1 − tanh²) from two paths of the tape: three roundings of numbers
        up to 1. One of the paths may be flushed.""",
        slope=_constant(4.0),
        flushed=_constant(1.0),
    ),
    "squareplus": Formula(
        why="""(x + r) / 2 with r = √(x² + b), which cancels for x < 0. Roundings of the square, of
        the sum and of the root move r by 2 u r; with that of x + r, at most 2 r in magnitude, y
        moves by 2 u r. The derivative, ½ + (½ / (2 r)) 2 x, moves by |x| / (2 r) < ½ times the
        rounding of r, of a division that may be a product with 1/r (3 u) and of a product (u),
        6 u together, and by u for the sum: 4 u. Where g / (2 r) is flushed, 2 x times that is
        lost.""",
        value=lambda x, arguments: 2 * _hypotenuse(x, arguments),
        slope=_constant(4.0),
        flushed=lambda x, arguments: 2 * np.abs(x),
    ),
    "hard_silu": Formula(
        why="""g h + (g x / 6): either product may be flushed, where (h + x / 6) g may be once.""",
        flushed=_constant(2.0),
    ),
    "sparse_plus": Formula(
        why="""((g / 4) 2) (x + 1): what g / 4 loses when it is flushed is multiplied by 2 (x + 1),
        at most 4.""",
        flushed=_constant(4.0),
    ),
}


class OtherFormula(Activation):
    """An activation whose results may err by a row's extra, for error-carrying arrays."""

    def __init__(self, activation: Activation, formula: Formula) -> None:
        self.activation, self.formula = activation, formula
        self.name = activation.name  # type: ignore[misc]

    def output_size(self, units: int) -> int:
        return self.activation.output_size(units)

    def forward(self, inputs: Array) -> Array:
        output = self.activation.forward(inputs)
        return widened(output, _largest(self.formula.value, inputs, self.activation.arguments))

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        grad = self.activation.backward(grad_output, inputs, output)
        arguments = self.activation.arguments
        slope = _largest(self.formula.slope, inputs, arguments)
        flushed = _largest(
            self.formula.flushed, inputs, arguments, inputs.precision.smallest_normal
        )
        with np.errstate(invalid="ignore"):
            upstream = np.abs(grad_output.value) + grad_output.error
            whole = np.maximum(upstream, np.abs(grad.value) + grad.error)
            extra = slope * upstream + np.minimum(flushed, 2 * whole)
        return widened(grad, extra)


def as_references_compute(subject: Subject) -> Subject:
    """The activation or loss, with what references may err more; itself where there is no row."""
    formula = FORMULAS.get(subject.name)
    if formula is None:
        return subject
    if isinstance(subject, Loss):
        return _other_loss(subject, formula)
    return OtherFormula(subject, formula)  # type: ignore[return-value]


def _other_loss(loss: LossType, formula: Formula) -> LossType:
    """A loss, likewise; the extras of one that is a mean over f(p − t) are those of f."""
    kind: Any = type(loss)

    def values(self: Loss, predictions: Array, targets: Array) -> Array:
        if formula.value is none:
            return kind.values(self, predictions, targets)
        extra = _largest(formula.value, predictions - targets, self.arguments)
        return widened(kind.values(self, predictions, targets), extra.mean(axis=-1))

    def pull_back(self: Loss, grad_values: Array, predictions: Array, targets: Array) -> Array:
        grad = kind.pull_back(self, grad_values, predictions, targets)
        if formula.flushed is not none:
            smallest = grad.precision.smallest_normal
            grad = widened(grad, _largest(formula.flushed, predictions, self.arguments, smallest))
        if formula.slope is none:
            return grad
        slope = _largest(formula.slope, predictions - targets, self.arguments)
        share = (np.abs(grad_values.value) + grad_values.error)[..., None] / slope.shape[-1]
        return widened(grad, slope * share)

    other = copy.copy(loss)
    other.__class__ = type(kind.__name__, (kind,), {"values": values, "pull_back": pull_back})
    return other


def _largest(
    extra: Extra, x: BoundedArray, arguments: Mapping[str, Any], unit: float | None = None
) -> Array:
    """The extra at the centre or at either end of each interval, in numbers.

    Its unit is the unit roundoff unless given.
    """
    with np.errstate(all="ignore"):
        ends = [extra(x.value + side * x.error, arguments) for side in (-1, 0, 1)]
    largest = functools.reduce(np.maximum, ends)
    return (x.precision.roundoff if unit is None else unit) * largest


def widened(x: BoundedArray, extra: Array) -> BoundedArray:
    """The same values with larger errors; an infinite error stays one."""
    extra = np.where(np.isnan(extra), 0.0, extra)
    smooth = None if x.smooth_error is None else x.smooth_error + extra
    return BoundedArray(
        x.value,
        x.error + extra,
        x.precision,
        smooth_error=smooth,
        exact=x.exact & has_none(extra),
        limited=x.limited,
    )
