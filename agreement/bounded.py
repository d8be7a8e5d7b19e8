r"""Numbers that know their own error: the same manual code, run on value and bound.

A :class:`BoundedArray` carries a float64 ``value`` and an ``error`` such that every correct
evaluation of the same formula in the working precision, in any order of summation, with or
without fused multiply-add, lies within ``value ± error``. NumPy's protocols (NEP 13, NEP 18)
let hand-written code run on it unchanged. How errors propagate, ``propagation`` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from agreement import rules
from agreement.alike import (
    as_array,
    as_new_array,
    everywhere,
    has_none,
    raw,
    restacked,
    somewhere,
)
from agreement.complaints import callers_line, unsupported
from agreement.exactness import RESIDUALS
from agreement.masks import Mask
from agreement.methods import Methods, ufunc_method
from agreement.precision import CENTRE_ROUNDOFF, SLACK, Precision, is_float, precision_of
from agreement.propagation import Propagation, is_limited
from manual_backprop.typing import Array


class BoundedArray(Propagation, Methods):
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
    numbers = raw(value)  # whatever draws they are of
    magnitude = np.abs(numbers)
    held = given.dtype == precision.dtype or np.can_cast(given.dtype, precision.dtype)
    with np.errstate(all="ignore"):
        if (
            held
            and _are_normal(magnitude, precision.smallest_normal)
            and is_limited(magnitude, precision)
        ):
            return BoundedArray(value, np.zeros_like(value), precision, exact=True)
        finite = magnitude <= precision.largest
        usual = (magnitude >= precision.smallest_normal) & finite
        rounding = np.abs(numbers - numbers.astype(precision.dtype))
    error = restacked(np.where(finite, np.where(usual, rounding, magnitude), np.inf), value)
    limited = bool(finite.all())
    return BoundedArray(value, error, precision, exact=has_none(error), limited=limited)


def _are_normal(magnitude: Array, smallest: float) -> bool:
    """Whether no magnitude is subnormal: all are 0 or at least the smallest normal number."""
    if magnitude.min(initial=np.inf) >= smallest:
        return True
    return np.count_nonzero(magnitude >= smallest) == np.count_nonzero(magnitude)


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


_REDUCTIONS = {np.add: "sum", np.maximum: "max", np.minimum: "min"}


def _plain_index(index: Any) -> Any:
    """An index without masks of ours in it; an undecided mask cannot index."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return index.decided if isinstance(index, Mask) else index
