"""Ufuncs in terms of others, for error-carrying arrays; what has no rule is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agreement.alike import everywhere, has_none, somewhere
from agreement.bounded import BoundedArray
from agreement.complaints import unsupported
from agreement.masks import Mask
from agreement.precision import SLACK
from manual_backprop.special import FUNCTIONS


def call(ufunc: np.ufunc, found: BoundedArray, inputs: tuple[Any, ...]) -> Any:
    """Answer a ufunc without a rule of its own."""
    if ufunc in COMPOSED:
        return COMPOSED[ufunc](*(found.operand(x) for x in inputs))
    raise unsupported(f"np.{ufunc.__name__}")


def _stepped(step: Callable[[Any], Any]) -> Callable[..., BoundedArray]:
    """A rule for steps: any value that the function takes over the interval, without rounding.

    As with masks, the smooth error is that of the centre's choice: none.
    """

    def rule(x: BoundedArray) -> BoundedArray:
        value = step(x.value)
        if everywhere(x.exact):
            return BoundedArray(value, np.zeros(x.shape), x.precision, exact=True)
        with np.errstate(invalid="ignore"):
            low = np.where(x.error > 0, np.nextafter(x.value - x.error, -np.inf), x.value)
            high = np.where(x.error > 0, np.nextafter(x.value + x.error, np.inf), x.value)
            error = np.maximum(step(high) - value, value - step(low))
        error = np.where(np.isfinite(x.error), error, np.inf)
        smooth = np.where(np.isinf(error), np.inf, 0.0) if somewhere(error) else None
        exact = has_none(error)
        return BoundedArray(
            value, error, x.precision, smooth_error=smooth, exact=exact, limited=x.limited
        )

    return rule


def _heaviside(x: BoundedArray, at_0: BoundedArray) -> Any:
    """0 below, 1 above, and what is asked for at 0; of NaN NaN."""
    return np.where(x > 0, 1, np.where(x < 0, 0, at_0)) + _nothing(x)


def _nothing(x: BoundedArray) -> BoundedArray:
    """Zeros, without bound where x may be NaN."""
    error = np.where(np.isinf(x.error), np.inf, 0.0)
    exact = has_none(error)
    return BoundedArray(np.zeros(x.shape), error, x.precision, exact=exact, limited=x.limited)


def _signbit(x: BoundedArray) -> Mask:
    """Undecided at 0 as well: which of the two zeros depends on the order of operations."""
    return Mask(np.signbit(x.value), ~(np.abs(x.value) > x.error), x.precision)


def _question(ask: Callable[[Any], Any]) -> Callable[..., Mask]:
    """Of finite numbers the answer is decided."""
    return lambda x: Mask(ask(x.value), np.isinf(x.error), x.precision)


def _logical(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda *operands: ufunc(*(x != 0 for x in operands))


def _logaddexp(a: BoundedArray, b: BoundedArray) -> BoundedArray:
    """log(eᵃ + eᵇ) = max(a, b) + log(1 + e^−|a−b|), rounded as that is for exact operands.

    With w = σ(a − b), the operands' errors move it by log(w e^{e_a} + (1 − w) e^{e_b}) at most: by
    a mean of the two, so that a chain of such sums adds errors up. They move the rounding too, by
    less than 8 u for each of their units: |d| changes by e_a + e_b, and with it |d| σ(−|d|), 12
    times softplus(−|d|) and the sum itself.
    """
    one, other = (BoundedArray(x.value, np.zeros(x.shape), x.precision, exact=True) for x in (a, b))
    result: BoundedArray = np.maximum(one, other) + (-abs(one - other)).special("softplus")
    if everywhere(a.exact & b.exact):
        return result
    weights = FUNCTIONS["sigmoid"](a.value - b.value), FUNCTIONS["sigmoid"](b.value - a.value)

    def moved(errors: tuple[Any, Any]) -> Any:
        parts = [w * np.expm1(e) for w, e in zip(weights, errors, strict=True)]
        mean = np.fmin(np.log1p(parts[0] + parts[1]), np.maximum(*errors))
        return result.error + mean * SLACK + 8 * a.precision.roundoff * (errors[0] + errors[1])

    with np.errstate(all="ignore"):
        error = moved((a.error, b.error))
        smooth = None
        if a.smooth_error is not None or b.smooth_error is not None:
            smooth = np.minimum(moved((a.smooth, b.smooth)), error)
    limited = result.limited and everywhere(np.isfinite(error))
    return BoundedArray(result.value, error, a.precision, smooth_error=smooth, limited=limited)


COMPOSED: dict[np.ufunc, Callable[..., Any]] = {
    np.reciprocal: lambda x: 1 / x,
    np.logaddexp: _logaddexp,
    np.vecdot: lambda a, b: (a * b).sum(axis=-1),
    np.floor: _stepped(np.floor),
    np.ceil: _stepped(np.ceil),
    np.trunc: _stepped(np.trunc),
    np.rint: _stepped(np.rint),
    np.heaviside: _heaviside,
    np.copysign: lambda a, b: np.where(_signbit(b), -abs(a), abs(a)),
    np.signbit: _signbit,
    np.isfinite: _question(np.isfinite),
    np.isinf: _question(np.isinf),
    np.isnan: _question(np.isnan),
    np.logical_and: _logical(np.logical_and),
    np.logical_or: _logical(np.logical_or),
    np.logical_xor: _logical(np.logical_xor),
    np.logical_not: lambda x: x == 0,
}
