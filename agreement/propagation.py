r"""How errors propagate through one operation of error-carrying arrays.

Rounding. With x the exact result of one operation and m = |v| + e ≥ |x|:

(1) an elementwise result is x(1 + δ), |δ| ≤ a·u, with a the function's allowance
(2) a result below the smallest normal number η may be kept or flushed to 0: at most min(m, η)
(3) a sum of n terms moves by γ_{n−1} Σ|terms|, a product of n terms by γ_n Σ|a||b|, for every
    order of summation (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3)
(4) c + Σ a b, c being a bias, may also start its sum with c: then c is rounded n times, γ_n|c|
(5) (a / b) / c may be compiled to a / (b c): no bound where b c may underflow or overflow
(6) where m passes the largest number the result may be infinite or NaN: no bound
(7) a / Σ a, where every result is stored: numerator and denominator err together, and a share
    near 1 hardly at all
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from agreement import rules
from agreement.alike import (
    Flag,
    as_array,
    as_new_array,
    elementwise,
    everywhere,
    has_none,
    raw,
    somewhere,
)
from agreement.allowances import allowance
from agreement.complaints import refuse_options
from agreement.enclosures import Enclosures
from agreement.exactness import is_representable
from agreement.methods import reduced
from agreement.precision import SLACK, Precision
from agreement.rules import Operand, Primitive
from agreement.rules.operand import OUTWARDS
from agreement.stacked import Stacked
from manual_backprop.typing import Array

# From operands to the result's (value, error, largest magnitude on the way).
Computation: TypeAlias = Callable[..., tuple[Array, Array, Array]]
# From operands, and those with smooth errors, to a part of the result and what makes it.
Narrowing: TypeAlias = Callable[..., tuple[Any, Sequence[Operand]]]


class Propagation(Enclosures, NDArrayOperatorsMixin):
    """The arithmetic of a ``BoundedArray``, see there; NumPy's protocols call it."""

    __slots__ = ()

    def _evaluate(
        self, compute: Computation, *operands: Self, narrow: Narrowing | None = None
    ) -> Self:
        """Run a computation on the errors and, where masks were undecided, the smooth errors.

        ``narrow`` tells which part of the result the undecided ones can reach, if it is small.
        """
        limited, kinked = True, False
        for x in operands:
            limited = limited and x.limited
            kinked = kinked or x.smooth_error is not None
        smooth = None
        with np.errstate(all="ignore"):
            value, error, m = compute(*operands)
            limited = limited and is_limited(m, self.precision)
            if not limited:
                error = _without_bound(error, m, operands, self.precision)
            if kinked:
                given: Sequence[Operand] = [_Smooth(x.value, x.smooth, x.exact) for x in operands]
                part, given = narrow(operands, given) if narrow else (..., given)
                _, reached, _ = compute(*given)
                within = error[part]
                smooth = as_new_array(error)
                (smooth[part],) = elementwise(_within, reached, within)
        return type(self)(
            as_array(value),
            as_array(error),
            self.precision,
            smooth_error=smooth,
            limited=limited,
        )

    def _elementwise(self, primitive: Primitive, operands: list[Self]) -> Self:
        """Evaluate an elementwise rule and add its rounding."""
        relative, absolute, is_flush, argument = _rounding(primitive.allowance, self.precision)
        rule = primitive.rule
        if argument:
            operands = [x._blurred(argument) for x in operands]

        def rounded(value: Array, error: Array) -> tuple[Array, Array]:
            m = np.abs(value) + error
            if relative:
                flushed = np.minimum(m, absolute) if is_flush else absolute  # (2)
                error = error * _SLACK + relative * m + flushed  # (1)
            return error, m

        def compute(*given: Operand) -> tuple[Array, Array, Array]:
            value, error = rule(*given)
            return value, *elementwise(rounded, value, error)

        result = self._evaluate(compute, *operands)
        if not relative:
            result.exact = all_of(x.exact for x in operands)
        return result

    def _blurred(self, relative: float) -> Self:
        """Numbers that a function may have rounded before it used them."""

        def widened(error: Array) -> Array:
            return as_array((error + relative * (np.abs(self.value) + error)) * SLACK)

        smooth = None if self.smooth_error is None else widened(self.smooth_error)
        return type(self)(
            self.value,
            widened(self.error),
            self.precision,
            smooth_error=smooth,
            limited=self.limited,
        )

    def _of_exact(self, ufunc: np.ufunc, a: Self, b: Self) -> Self:
        """A sum, difference or product of exact operands, rounded only where it has to be.

        A product by an exact 1 or −1 is not rounded either, so that ties stay ties.
        """
        result = self._elementwise(rules.UFUNCS[ufunc], [a, b])
        both = a.exact & b.exact
        if ufunc is np.multiply:
            self._scale(result, a, b)
        if somewhere(both):
            needless = is_representable(ufunc, a.value, b.value, result.value, self.precision)
            needless = needless & both
            result.error = np.where(needless, 0.0, result.error)
            if result.smooth_error is not None:  # of other draws of a stack
                result._smooth_error = np.where(needless, 0.0, result.smooth_error)
            result.exact = both & has_none(result.error)
        return result

    def _scale(self, result: Self, a: Self, b: Self) -> None:
        """Take the rounding from a · b where one of them is exactly 1 or −1."""
        for factor, other in ((a, b), (b, a)):
            unit = (np.abs(factor.value) == 1) & factor.exact
            if somewhere(unit):
                kept = unit & (np.abs(result.value) >= self.precision.smallest_normal)  # (2)
                result.error = np.where(kept, other.error, result.error)
                if result.smooth_error is not None:
                    result._smooth_error = np.where(kept, other.smooth, result.smooth_error)

    def _matmul(self, a: Self, b: Self) -> Self:
        """a @ b with e = |v_a| e_b + e_a m_b + γ_n m_a m_b, m = |v| + e; (3)."""
        precision = self.precision
        terms = max(a.shape[-1], 1)
        gamma = precision.gamma(terms)

        def compute(x: Operand, y: Operand) -> tuple[Array, Array, Array]:
            value = x.value @ y.value
            m_x, m_y = np.abs(x.value), np.abs(y.value)
            error = None
            if somewhere(y.exact):
                # e_y is 0: γ and e_x go into one product.
                growth = gamma * m_x if everywhere(x.exact) else gamma * m_x + (1 + gamma) * x.error
                error = growth @ m_y
            if not everywhere(y.exact):
                # e_x is 0 where x is exact, in a stack of others too, and changes nothing.
                m_y = m_y + y.error
                both = m_x @ (gamma * m_y + y.error)
                if not everywhere(x.exact):
                    both += x.error @ ((1 + gamma) * m_y)
                error = both if error is None else np.where(y.exact, error, both)
            error = as_array(error)
            m = _close(value, error, gamma, terms * precision.smallest_normal)
            if not is_limited(m, precision):
                # That was cheap and is large enough; this is the sharp one.
                m = error * (SLACK / gamma) + np.abs(value)
                m = np.where(m <= precision.largest, m, (m_x + x.error) @ m_y)
            return value, error, m

        result = self._evaluate(compute, a, b, narrow=_rows_or_columns)
        result.terms = terms
        return result

    def _divide(self, a: Self, b: Self) -> Self:
        """a / b, where a may be a quotient itself, (5)."""
        result = self._elementwise(rules.UFUNCS[np.divide], [a, b])
        if self.precision.stores and b.summed is not None:
            self._share(result, a, b)
        result.divisor = b
        if a.divisor is not None:
            result.divisor = product = a.divisor * b
            magnitude = np.abs(product.value)
            lost = ~(magnitude - product.error >= self.precision.smallest_relative)
            lost |= ~(magnitude + product.error <= self.precision.largest)
            if somewhere(lost):
                result.error = np.where(lost, np.inf, result.error)
                if result.smooth_error is not None:
                    result._smooth_error = np.where(lost, np.inf, result.smooth_error)
                result.limited = False
        return result

    def _share(self, result: Self, a: Self, b: Self) -> None:
        """Narrow the bound of a / b where b is the sum of the very numbers a, (7)."""
        array, writes, axis = b.summed
        if array is not a or a.root.writes != writes:
            return
        rule = partial(rules.share, axis=axis, precision=self.precision)
        shared = self._elementwise(Primitive(rule, "share"), [a, b])
        result.error = np.minimum(result.error, shared.error)
        if result.smooth_error is not None:
            result._smooth_error = np.minimum(result.smooth_error, shared.smooth)
        result.limited = result.limited or shared.limited

    def _continued_sum(self, ufunc: np.ufunc, a: Self, b: Self) -> Self:
        """a ± b where either is a sum of products that the other may have started, (4)."""
        result = self._elementwise(rules.UFUNCS[ufunc], [a, b])
        for start, terms in ((a, b.terms), (b, a.terms)):
            if terms:
                # One term more: the rounding of a ± b has met the start without its error.
                gamma = self.precision.gamma(terms + 1)
                added = gamma * (np.abs(start.value) + start.error)
                if not result.limited:
                    added = np.where(np.isinf(result.error), 0.0, added)
                result.error = result.error + added
                if result.smooth_error is not None:
                    result._smooth_error = result.smooth_error + added
        return result

    def sum(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> Self:
        """As ndarray.sum; (3)."""
        if other:
            return reduced(self, "sum", axis, keepdims, other)
        precision = self.precision

        def compute(a: Operand) -> tuple[Array, Array, Array]:
            value = a.value.sum(axis=axis, keepdims=keepdims)
            m = (np.abs(a.value) + a.error).sum(axis=axis, keepdims=keepdims)
            error = a.error.sum(axis=axis, keepdims=keepdims)
            terms = self.size // max(np.size(value), 1)
            if terms > 1:
                flushed = np.minimum(m, terms * precision.smallest_normal)  # (2)
                error = (error + precision.gamma(terms - 1) * m) * SLACK + flushed  # (3)
            return value, error, m

        result = self._evaluate(compute, self)
        if keepdims:
            result.summed = self, self.root.writes, axis
        return result

    def max(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> Self:
        """As ndarray.max: the largest error of those that may be the maximum, and no rounding."""
        refuse_options("max", other)

        def compute(a: Operand) -> tuple[Array, Array, Array]:
            value = a.value.max(axis=axis, keepdims=keepdims)
            if everywhere(a.exact):
                error = np.zeros(np.shape(value))
            else:
                reach = (a.error + OUTWARDS * np.abs(a.value)) * SLACK
                least = (a.value - reach).max(axis=axis, keepdims=True)
                candidates = ~(a.value + reach < least)
                error = np.where(candidates, a.error, 0).max(axis=axis, keepdims=keepdims)
            return value, error, np.abs(value) + error

        result = self._evaluate(compute, self)
        result.exact = self.exact
        return result


def all_of(flags: Iterable[Flag]) -> Flag:
    """Whether several flags hold."""
    found: Flag = True
    for flag in flags:
        found = found & flag
    return found


def _close(value: Array, error: Array, gamma: float, flushed: float) -> Array:
    """Add what underflow may do to a product's error, in place; the largest magnitude on the way.

    error / γ is at least Σ|a||b|, and |v| is for products that γ would underflow.
    """
    largest: Any = np.zeros(())
    for part in _blocks(error):
        above, m = error[part], np.abs(value[part])
        m += above * (SLACK / gamma)
        largest = np.maximum(largest, raw(m).max(initial=0.0))
        above *= _SLACK
        above += flushed if raw(m).min(initial=np.inf) >= flushed else np.minimum(m, flushed)  # (2)
    return as_array(largest)


def _blocks(x: Array) -> Iterator[Any]:
    """Parts of an array that stay in the processor's cache through several passes."""
    if isinstance(x, Stacked) or x.ndim == 0 or x.size <= LARGE:
        yield ...
        return
    rows = max(1, LARGE * len(x) // x.size)
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)


class _Smooth(NamedTuple):
    """An operand with its smooth error."""

    value: Array
    error: Array
    exact: Flag


def _rows_or_columns(
    operands: Sequence[Enclosures], given: Sequence[Operand]
) -> tuple[Any, Sequence[Operand]]:
    """The part of a matrix product where undecided masks matter, and what it is a product of.

    All of it for what is not large, and for stacks.
    """
    (a, b), (x, y) = operands, given
    stacked = isinstance(a.value, Stacked) or isinstance(b.value, Stacked)
    if stacked or not a.ndim == b.ndim == 2 or max(a.size, b.size) < LARGE:
        return ..., given
    if b.smooth_error is None:
        rows = (a.error != x.error).any(axis=1)
        return rows, [_Smooth(x.value[rows], x.error[rows], x.exact), y]
    if a.smooth_error is None:
        columns = (slice(None), (b.error != y.error).any(axis=0))
        return columns, [x, _Smooth(y.value[columns], y.error[columns], y.exact)]
    return ..., given


# So many elements stay in the processor's cache; operands of as many are worth looking through for
# what is undecided.
LARGE = 1 << 14
# NumPy takes an array without axes more quickly than a Python number.
_SLACK = np.array(SLACK)


@cache
def _rounding(function: str, precision: Precision) -> tuple[Array, Array, bool, float]:
    """A function's relative and absolute rounding; whether the latter is only a flush to 0; and
    the relative rounding of its argument.
    """
    allowed = allowance(function, precision.dtype)
    absolute = allowed.absolute * precision.smallest_normal
    relative, argument = (x * precision.roundoff for x in (allowed.relative, allowed.argument))
    return np.array(relative), np.array(absolute), allowed.absolute == 1, argument


def is_limited(m: Array, precision: Precision) -> bool:
    """Whether every m is at most the precision's largest number."""
    half = precision.largest / 2
    flat = raw(m).ravel()
    if flat.dot(flat) < half * half:  # a quick test that nearly always suffices
        return True
    return bool(np.maximum.reduce(flat, initial=0.0) <= precision.largest)


def _without_bound(
    error: Array, m: Array, operands: Sequence[Enclosures], precision: Precision
) -> Array:
    """Set the error to ∞ where the result may be infinite or NaN, (6)."""
    unknown = [x.error for x in operands if not x.limited and x.shape == np.shape(error)]

    def unbounded(error: Array, m: Array, *unknown: Array) -> tuple[Array]:
        lost: Array = ~(m <= precision.largest) | ~np.isfinite(error)
        for other in unknown:
            lost = lost | np.isinf(other)
        return (np.where(lost, np.inf, error),)

    (found,) = elementwise(unbounded, error, m, *unknown)
    return found


def _within(smooth: Array, error: Array) -> tuple[Array]:
    """A smooth error, which is no larger than the error; ∞ where that is."""
    return (np.where(np.isinf(error), np.inf, np.minimum(smooth, error)),)
