r"""Numbers that know their own error: the same manual code, run on value and bound.

A :class:`BoundedArray` carries a float64 ``value`` and an ``error`` such that every correct
evaluation of the same formula in the working precision, in any order of summation, with or
without fused multiply-add, lies within ``value ± error``. NumPy's protocols (NEP 13, NEP 18)
let hand-written code run on it unchanged.

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

from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from agreement import rules
from agreement.alike import Flag, as_array, as_new_array, everywhere, has_none, raw, somewhere
from agreement.allowances import allowance
from agreement.complaints import callers_line, refuse_options, unsupported
from agreement.enclosures import Enclosures
from agreement.exactness import RESIDUALS, is_representable
from agreement.masks import Mask
from agreement.methods import Methods, reduced, ufunc_method
from agreement.precision import CENTRE_ROUNDOFF, SLACK, Precision, is_float, precision_of
from agreement.rules import Operand, Primitive
from agreement.rules.operand import OUTWARDS
from manual_backprop.typing import Array

# From operands to the result's (value, error, largest magnitude on the way).
Computation: TypeAlias = Callable[..., tuple[Array, Array, Array]]


class BoundedArray(Enclosures, Methods, NDArrayOperatorsMixin):
    """An array of intervals ``value ± error`` in a working precision.

    Attributes:
        value: float64, the centre.
        error: float64 of the same shape, ≥ 0, possibly ∞, never NaN.
        smooth_error: the error if every undecided mask went the centre's way; None where
            no mask upstream was undecided, and then ``error`` is meant.
        exact: whether every error is known to be zero.
        limited: False once an error may be ∞.
        terms: how many products this is a sum of; 0 where it is not one. A compiler may let
            whatever is added next (a bias) be the sum's first term.
        divisor: what the array was last divided by; None where it is not a quotient.
        summed: what this is the sum of, as (array, its ``writes`` then, axes); None where it is
            not a sum with ``keepdims``.
        writes: how often numbers were assigned to the array, itself or through views.
        precision: the working precision; ``dtype`` is its dtype.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[BoundedArray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> BoundedArray:
        plain = _plain_index(index)
        return self.rearranged(lambda x: x[plain])

    def __setitem__(self, index: Any, new: Any) -> None:
        source = self.operand(new)
        if isinstance(index, Mask) and index.undecided is not None:
            if source.ndim:
                raise TypeError(
                    f"{callers_line()}: a comparison that rounding could turn either way can "
                    f"assign one number only; use np.where to assign an array."
                )
            rows = index.reshape(index.shape + (1,) * (self.ndim - index.ndim))
            self._become(select(rows, source, self))
            return
        self._write(_plain_index(index), source)

    def _become(self, other: BoundedArray) -> None:
        """Take over another array's numbers in place, so that views see them too."""
        self._write(..., other)
        if self.parent is None:
            self.exact, self.limited = other.exact, other.limited
            self.terms, self.divisor, self.summed = other.terms, other.divisor, other.summed

    def _write(self, index: Any, source: BoundedArray) -> None:
        root = self.root
        root.writes, root.summed = root.writes + 1, None
        if source.smooth_error is not None:
            self._split()
        if self.smooth_error is not None:
            self.smooth_error[index] = source.smooth
        self.value[index], self.error[index] = source.value, source.error
        self.exact = self.exact & source.exact
        self.limited = self.limited and source.limited

    # -- reductions and products -----------------------------------------------------------

    def sum(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> BoundedArray:
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

    def mean(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> BoundedArray:
        """As ndarray.mean: a sum, then one division."""
        if other:
            return reduced(self, "mean", axis, keepdims, other)
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / (self.size // max(total.size, 1))

    def max(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> BoundedArray:
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

    def min(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> BoundedArray:
        """As ndarray.min: 1-Lipschitz, and no rounding."""
        return -(-self).max(axis=axis, keepdims=keepdims, **other)

    def dot(self, other: Any) -> BoundedArray:
        """As ndarray.dot, for operands of at most two dimensions."""
        if max(self.ndim, np.ndim(other)) > 2:
            raise unsupported("dot of more than two dimensions, which is not @")
        return self @ other if self.ndim and np.ndim(other) else self * other

    def clip(self, min: Any = None, max: Any = None) -> BoundedArray:
        """As ndarray.clip; what the ends cut off is no part of the result."""
        raised = self.copy() if min is None else np.maximum(self, min)
        clipped = raised if max is None else np.minimum(raised, max)
        ends = [None if end is None else self.operand(end) for end in (min, max)]
        with np.errstate(all="ignore"):
            return clipped if everywhere(clipped.exact) else _recentred(clipped, self, *ends)

    def special(self, name: str) -> BoundedArray:
        """A function that NumPy lacks; see ``manual_backprop.special``."""
        return self._elementwise(rules.SPECIAL[name], [self])

    # -- the protocols ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if method == "reduce" and ufunc in _REDUCTIONS and inputs[0] is self:
            result = getattr(self, _REDUCTIONS[ufunc])(**{"axis": 0, **kwargs})
        elif method == "__call__" and not kwargs:
            result = self._call(ufunc, inputs)
        else:
            result = ufunc_method(ufunc, method, self, inputs, kwargs, out)
        if out is None:
            return result
        if not isinstance(out[0], BoundedArray):
            return self.__array__()
        out[0]._become(result)
        return out[0]

    def _call(self, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
        if ufunc is np.multiply:
            for mask, other in (inputs, inputs[::-1]):
                if isinstance(mask, Mask):
                    return _masked(mask, self.operand(other))
        operands = [self.operand(x) for x in inputs]
        if ufunc in (np.add, np.subtract) and (operands[0].terms or operands[1].terms):
            return self._continued_sum(ufunc, *operands)
        if ufunc is np.divide:
            return self._divide(*operands)
        if ufunc in RESIDUALS and somewhere(operands[0].exact | operands[1].exact):
            return self._of_exact(ufunc, *operands)
        if ufunc in rules.UFUNCS:
            return self._elementwise(rules.UFUNCS[ufunc], operands)
        if ufunc is np.matmul:
            return self._matmul(*operands)
        if ufunc in rules.COMPARISONS:
            return _compare(ufunc, *operands)
        if ufunc is np.sign:
            return _sign(self)
        # Imported here: these are written in terms of this class.
        from agreement.ufuncs import call

        return call(ufunc, self, inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # Imported here: the functions are written in terms of this class.
        from agreement.functions import call

        return call(func, self, args, kwargs)

    # -- how bounds come about --------------------------------------------------------------

    def operand(self, x: Any) -> BoundedArray:
        """Any operand as error-carrying; numbers are rounded to the working precision."""
        if isinstance(x, BoundedArray):
            return x
        if isinstance(x, Mask):
            return mask_as_numbers(x, self.precision)
        if isinstance(x, (int, float)) and not isinstance(x, np.generic):
            return _number(x, self.precision)  # takes the precision of what it meets
        return bounded(x, self.precision)

    def _evaluate(self, compute: Computation, *operands: BoundedArray) -> BoundedArray:
        """Run a computation on the errors and, where masks were undecided, the smooth errors."""
        limited, kinked = True, False
        for x in operands:
            limited = limited and x.limited
            kinked = kinked or x.smooth_error is not None
        smooth = None
        with np.errstate(all="ignore"):
            value, error, m = compute(*operands)
            limited = limited and _is_limited(m, self.precision)
            if not limited:
                error = _without_bound(error, m, operands, self.precision)
            if kinked:
                _, smooth, _ = compute(*(_Smooth(x.value, x.smooth, x.exact) for x in operands))
                smooth = np.where(np.isinf(error), np.inf, np.minimum(smooth, error))
        return BoundedArray(
            as_array(value),
            as_array(error),
            self.precision,
            smooth_error=smooth,
            limited=limited,
        )

    def _elementwise(self, primitive: Primitive, operands: list[BoundedArray]) -> BoundedArray:
        """Evaluate an elementwise rule and add its rounding."""
        relative, absolute, is_flush, argument = _rounding(primitive.allowance, self.precision)
        rule = primitive.rule
        if argument:
            operands = [blurred(x, argument) for x in operands]

        def compute(*given: Operand) -> tuple[Array, Array, Array]:
            value, error = rule(*given)
            m = np.abs(value) + error
            if relative:
                flushed = np.minimum(m, absolute) if is_flush else absolute  # (2)
                error = error * _SLACK + relative * m + flushed  # (1)
            return value, error, m

        result = self._evaluate(compute, *operands)
        if not relative:
            result.exact = all_of(x.exact for x in operands)
        return result

    def _of_exact(self, ufunc: np.ufunc, a: BoundedArray, b: BoundedArray) -> BoundedArray:
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

    def _scale(self, result: BoundedArray, a: BoundedArray, b: BoundedArray) -> None:
        """Take the rounding from a · b where one of them is exactly 1 or −1."""
        for factor, other in ((a, b), (b, a)):
            unit = (np.abs(factor.value) == 1) & factor.exact
            if somewhere(unit):
                kept = unit & (np.abs(result.value) >= self.precision.smallest_normal)  # (2)
                result.error = np.where(kept, other.error, result.error)
                if result.smooth_error is not None:
                    result._smooth_error = np.where(kept, other.smooth, result.smooth_error)

    def _matmul(self, a: BoundedArray, b: BoundedArray) -> BoundedArray:
        """a @ b with e = |v_a| e_b + e_a m_b + γ_n m_a m_b, m = |v| + e; (3)."""
        precision = self.precision
        terms = max(a.shape[-1], 1)
        gamma = precision.gamma(terms)

        def compute(x: Operand, y: Operand) -> tuple[Array, Array, Array]:
            value = x.value @ y.value
            m_x = np.abs(x.value)
            full_y = np.abs(y.value) + y.error
            # |v_a| e_b and γ |v_a| m_b in one product, then e_a m_b and γ e_a m_b in another:
            # of exact operands, in a stack of others too, the latter is 0 and changes nothing.
            error = m_x @ (y.error + gamma * full_y)
            if not everywhere(x.exact):
                error = error + x.error @ ((1 + gamma) * full_y)
            # cheap and large enough; |v| is for products that γ would underflow
            m = np.abs(value) + error / gamma
            if not _is_limited(m, precision):
                m = np.where(m <= precision.largest, m, (m_x + x.error) @ full_y)  # the sharp one
            flushed = np.minimum(m, terms * precision.smallest_normal)  # (2)
            return value, error * _SLACK + flushed, m

        result = self._evaluate(compute, a, b)
        result.terms = terms
        return result

    def _divide(self, a: BoundedArray, b: BoundedArray) -> BoundedArray:
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

    def _share(self, result: BoundedArray, a: BoundedArray, b: BoundedArray) -> None:
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

    def _continued_sum(self, ufunc: np.ufunc, a: BoundedArray, b: BoundedArray) -> BoundedArray:
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


def all_of(flags: Iterable[Flag]) -> Flag:
    """Whether several flags hold."""
    found: Flag = True
    for flag in flags:
        found = found & flag
    return found


class _Smooth(NamedTuple):
    """An operand with its smooth error."""

    value: Array
    error: Array
    exact: Flag


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


def _is_limited(m: Array, precision: Precision) -> bool:
    """Whether every m is at most the precision's largest number."""
    half = precision.largest / 2
    flat = raw(m).ravel()
    if flat.dot(flat) < half * half:  # a quick test that nearly always suffices
        return True
    return bool(np.maximum.reduce(flat, initial=0.0) <= precision.largest)


def blurred(x: BoundedArray, relative: float) -> BoundedArray:
    """Numbers that a function may have rounded before it used them."""

    def widened(error: Array) -> Array:
        return as_array((error + relative * (np.abs(x.value) + error)) * SLACK)

    smooth = None if x.smooth_error is None else widened(x.smooth_error)
    return BoundedArray(
        x.value, widened(x.error), x.precision, smooth_error=smooth, limited=x.limited
    )


@lru_cache(maxsize=256)
def _number(number: float, precision: Precision) -> BoundedArray:
    """A Python number, rounded to the precision as NumPy does."""
    with np.errstate(over="ignore"):
        return bounded(precision.dtype.type(number), precision)


def bounded(values: Any, precision: Precision) -> BoundedArray:
    """Numbers as error-carrying ones: exact if the precision can hold them.

    A number between two of the precision's own may be rounded to the nearer. Subnormal ones
    may count as zero, so e = |v|; infinite ones and NaN have no bound.
    """
    given = as_array(values)
    if given.dtype.kind not in "biu" and not is_float(given.dtype):
        raise unsupported(f"an operand of dtype {given.dtype}")
    value = as_new_array(given, np.float64)
    magnitude = np.abs(value)
    normal = magnitude >= precision.smallest_normal
    held = given.dtype == precision.dtype or np.can_cast(given.dtype, precision.dtype)
    with np.errstate(all="ignore"):
        if (
            held
            and np.count_nonzero(raw(normal)) == np.count_nonzero(raw(value))
            and _is_limited(magnitude, precision)
        ):
            return BoundedArray(value, np.zeros_like(value), precision, exact=True)
        finite = magnitude <= precision.largest
        usual = normal & finite
        rounding = np.abs(value - value.astype(precision.dtype))
    error = np.where(finite, np.where(usual, rounding, magnitude), np.inf)
    limited = everywhere(finite)
    return BoundedArray(value, error, precision, exact=has_none(error), limited=limited)


def bounded_as(values: Array) -> BoundedArray:
    """``bounded`` in the precision of the array's own dtype."""
    return bounded(values, precision_of(values.dtype))


def select(mask: Mask, a: BoundedArray, b: BoundedArray) -> BoundedArray:
    """``a`` where the mask holds and ``b`` elsewhere; undecided elements hold both (the hull).

    The centre is the branch that the centre takes; its error reaches the other branch.
    """
    value: Array = np.where(mask.value, a.value, b.value)
    error: Array = np.where(mask.value, a.error, b.error)
    smooth = None
    if a.smooth_error is not None or b.smooth_error is not None:
        smooth = np.where(mask.value, a.smooth, b.smooth)
    if mask.undecided is not None:
        other: Array = np.where(mask.value, b.value, a.value)
        other_error: Array = np.where(mask.value, b.error, a.error)
        with np.errstate(invalid="ignore"):
            hull = np.maximum(error, (np.abs(value - other) + other_error) * SLACK)
        smooth = error if smooth is None else smooth
        error = np.where(mask.undecided, np.where(np.isnan(hull), np.inf, hull), error)
    return BoundedArray(
        value,
        error,
        a.precision,
        smooth_error=smooth,
        exact=a.exact & b.exact & mask.is_decided,
        limited=a.limited and b.limited,
    )


def _recentred(
    clipped: BoundedArray, a: BoundedArray, low: BoundedArray | None, high: BoundedArray | None
) -> BoundedArray:
    """``a`` clipped, with a centre and errors that stay between the ends of the clip.

    Clipping is monotone: the least result is that of the least operands. So 1 − clip(p, ε, 1 − ε)
    stays away from 0, however p errs.
    """

    def moved(error: Array, side: int) -> Array:
        ends = (None if x is None else x.value + side * x.error for x in (low, high))
        return np.clip(a.value + side * error, *ends)

    least, most = moved(a.error, -1), moved(a.error, 1)
    cut = (least > a.value - a.error) | (most < a.value + a.error)
    cut &= ~np.isinf(clipped.error)
    if not somewhere(cut):
        return clipped
    centre = least + (most - least) / 2
    outwards = 2 * CENTRE_ROUNDOFF * np.abs(centre) * (least != most)

    def reach(error: Array) -> Array:
        least, most = moved(error, -1), moved(error, 1)
        return np.maximum(most - centre, centre - least) * SLACK + outwards

    smooth = clipped.smooth_error
    return BoundedArray(
        np.where(cut, centre, clipped.value),
        np.where(cut, reach(a.error), clipped.error),
        clipped.precision,
        smooth_error=None if smooth is None else np.where(cut, reach(a.smooth), smooth),
        exact=clipped.exact,
        limited=clipped.limited,
    )


def mask_as_numbers(mask: Mask, precision: Precision) -> BoundedArray:
    """1 where the mask holds and 0 elsewhere."""
    return select(mask, _number(1, precision), _number(0, precision))


def _masked(mask: Mask, factor: BoundedArray) -> BoundedArray:
    """``factor`` times a mask: as ``select`` with 0, but 0 · NaN is NaN."""
    result = select(mask, factor, factor.operand(0))
    if not factor.limited:
        lost = np.broadcast_to(np.isinf(factor.error), result.shape)
        result.error = np.where(lost, np.inf, result.error)
        if result.smooth_error is not None:
            result._smooth_error = np.where(lost, np.inf, result.smooth_error)
        result.limited = False
    return result


def _compare(ufunc: np.ufunc, a: BoundedArray, b: BoundedArray) -> Mask:
    value = ufunc(a.value, b.value)
    if everywhere(a.exact & b.exact):
        return Mask(value, None, a.precision)
    reach = a.error + b.error
    with np.errstate(invalid="ignore"):
        decided = (np.abs(a.value - b.value) > reach) | (reach == 0)
    return Mask(value, ~decided, a.precision)


def _sign(a: BoundedArray) -> BoundedArray:
    """−1, 0 or 1; where 0 is within reach the result may be any of them."""
    value = np.sign(a.value)
    undecided = ~((np.abs(a.value) > a.error) | (a.error == 0))
    error = np.where(undecided, 1 + np.abs(value), 0.0)
    error = np.where(np.isinf(a.error), np.inf, error)  # the sign of NaN is NaN
    smooth = np.zeros_like(value) if somewhere(undecided) else None
    exact = has_none(undecided)
    return BoundedArray(
        value, error, a.precision, smooth_error=smooth, exact=exact, limited=a.limited
    )


def _without_bound(
    error: Array, m: Array, operands: tuple[BoundedArray, ...], precision: Precision
) -> Array:
    """Set the error to ∞ where the result may be infinite or NaN, (6)."""
    lost: Array = ~(m <= precision.largest) | ~np.isfinite(error)
    for x in operands:
        if not x.limited and x.shape == np.shape(error):
            lost = lost | np.isinf(x.error)
    return np.where(lost, np.inf, error)


_REDUCTIONS = {np.add: "sum", np.maximum: "max", np.minimum: "min"}


def _plain_index(index: Any) -> Any:
    """An index without masks of ours in it; an undecided mask cannot index."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return index.decided if isinstance(index, Mask) else index
