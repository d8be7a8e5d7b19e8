"""NumPy's functions (NEP 18) for error-carrying arrays: choices, orders, products and joins.

What is the same for dual numbers stands in ``rearrangements`` and ``compositions``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from agreement import rearrangements
from agreement.alike import as_array, everywhere
from agreement.bounded import BoundedArray, select
from agreement.complaints import refuse_options, unsupported
from agreement.compositions import COMPOSITIONS, METHODS
from agreement.masks import COMPLAINT, Mask
from agreement.precision import SLACK, UNLIMITED
from agreement.propagation import all_of
from agreement.rearrangements import JOINS, REARRANGEMENTS, SPLITS
from agreement.rules import Operand
from manual_backprop.typing import Array


def call(func: Callable[..., Any], found: BoundedArray, args: Any, kwargs: Any) -> Any:
    """Answer a NumPy function that met the error-carrying array ``found``."""
    if func in FUNCTIONS:
        return FUNCTIONS[func](found, *args, **kwargs)
    if func in METHODS:
        array, *rest = args
        return getattr(found.operand(array), METHODS[func])(*rest, **kwargs)
    if func in REARRANGEMENTS:
        return rearrangements.rearrange(func, found, args, kwargs)
    if func in SPLITS:
        return rearrangements.split(func, found, args, kwargs)
    if func in JOINS:
        return _join(func, found, *args, **kwargs)
    if any(isinstance(x, Mask) for x in args):
        raise TypeError(COMPLAINT.format(name=f"np.{func.__name__}"))
    raise unsupported(f"np.{func.__name__}")


def _where(found: BoundedArray, condition: Any, *branches: Any) -> BoundedArray:
    if len(branches) != 2 or isinstance(condition, BoundedArray):
        raise unsupported("np.where without a mask and two branches")
    a, b = branches
    mask = condition if isinstance(condition, Mask) else Mask(as_array(condition, bool))
    return select(mask, found.operand(a), found.operand(b))


def _join(
    func: Any, found: BoundedArray, arrays: Sequence[Any], *args: Any, **options: Any
) -> BoundedArray:
    axis = {"axis": options.pop("axis")} if "axis" in options else {}
    refuse_options(f"np.{func.__name__}", options)
    operands = [found.operand(x) for x in arrays]
    kinked = any(x.smooth_error is not None for x in operands)
    return BoundedArray(
        func([x.value for x in operands], *args, **axis),
        func([x.error for x in operands], *args, **axis),
        found.precision,
        smooth_error=func([x.smooth for x in operands], *args, **axis) if kinked else None,
        exact=all_of(x.exact for x in operands),
        limited=all(x.limited for x in operands),
    )


# -- orders ---------------------------------------------------------------------------------


def _sort(
    found: BoundedArray, a: BoundedArray, axis: int | None = -1, **options: Any
) -> BoundedArray:
    """1-Lipschitz in the largest error along the axis."""
    options.pop("kind", None)
    refuse_options("np.sort", options)
    if axis is None:
        return _sort(found, a.ravel())

    def spread(error: Array) -> Array:
        return np.broadcast_to(error.max(axis=axis, keepdims=True, initial=0.0), a.shape).copy()

    return BoundedArray(
        np.sort(a.value, axis),
        spread(a.error),
        a.precision,
        smooth_error=None if a.smooth_error is None else spread(a.smooth_error),
        exact=a.exact,
        limited=a.limited,
    )


def _argsort(
    found: BoundedArray, a: BoundedArray, axis: int | None = -1, kind: Any = None, **options: Any
) -> Array:
    """Plain indices, where every neighbour's order is decided; exact ties by a stable sort."""
    refuse_options("np.argsort", options)
    if axis is None:
        a, axis = a.ravel(), 0
    order: Array = np.argsort(a.value, axis, kind="stable")
    value, error = (
        np.moveaxis(np.take_along_axis(x, order, axis), axis, 0) for x in (a.value, a.error)
    )
    ends = np.maximum.accumulate(value + error)  # all that come earlier, not the neighbour only
    decided = ends[:-1] < value[1:] - error[1:]
    if kind in ("stable", "mergesort"):
        decided |= (error == 0).all(axis=0)
    if not everywhere(decided):
        raise TypeError(COMPLAINT.format(name="np.argsort, which depends on the outcome"))
    return order


def _argmax(
    found: BoundedArray,
    a: BoundedArray,
    axis: int | None = None,
    *,
    keepdims: Any = False,
    **options: Any,
) -> Array:
    """Plain indices, where the largest is decided; of exactly equal ones the first."""
    refuse_options("np.argmax", options)
    if axis is None:
        shape = (1,) * a.ndim if keepdims else ()
        return _argmax(found, a.ravel(), 0).reshape(shape)
    chosen = np.argmax(a.value, axis, keepdims=True)
    value, error = (np.take_along_axis(x, chosen, axis) for x in (a.value, a.error))
    decided = (value - error > a.value + a.error) | ((a.error == 0) & (error == 0))
    np.put_along_axis(decided, chosen, True, axis)
    if not everywhere(decided):
        raise TypeError(COMPLAINT.format(name="np.argmax, which depends on the outcome"))
    return chosen if keepdims else np.squeeze(chosen, axis)


def _argmin(found: BoundedArray, a: BoundedArray, axis: int | None = None, **options: Any) -> Array:
    return _argmax(found, -a, axis, **options)


# -- products -------------------------------------------------------------------------------


def _prod(
    found: BoundedArray, a: Any, axis: Any = None, *, keepdims: Any = False, **options: Any
) -> BoundedArray:
    """Π v with e = Π m − Π |v| + γₙ₋₁ Π m, m = |v| + e, for every order.

    (1) Π m − Π |v| = Σᵢ (|v₁| ⋯ |vᵢ₋₁|) eᵢ (mᵢ₊₁ ⋯ mₙ), without cancellation
    (2) no partial product exceeds Π max(m, 1): no bound where that may overflow
    (3) none falls below Π min(|v| − e, 1): where that may be subnormal, each of the n − 1
        products may lose the smallest normal number, times all other factors, (2)
    """
    refuse_options("np.prod", options)
    a = found.operand(a)
    axes = normalize_axis_tuple(range(a.ndim) if axis is None else axis, a.ndim)
    kept = tuple(i for i in range(a.ndim) if i not in axes)
    terms = math.prod(a.shape[i] for i in axes)
    rows = a.transpose(kept + axes).reshape([a.shape[i] for i in kept] + [terms])
    precision, roundings = a.precision, max(terms - 1, 0)

    def compute(x: Operand) -> tuple[Array, Array, Array]:
        magnitude = np.abs(x.value)
        m = magnitude + x.error
        product, highest = m.prod(axis=-1), np.maximum(m, 1).prod(axis=-1)
        error = np.zeros(product.shape)
        if not everywhere(x.exact):
            ones = np.ones((*product.shape, 1))
            before = np.concatenate([ones, magnitude[..., :-1]], axis=-1).cumprod(axis=-1)
            after = np.concatenate([ones, m[..., :0:-1]], axis=-1).cumprod(axis=-1)[..., ::-1]
            error = (before * x.error * after).sum(axis=-1)  # (1)
        lowest = np.clip(magnitude - x.error, 0, 1).prod(axis=-1)
        unharmed = (lowest >= precision.smallest_relative) | (m == 0).any(axis=-1)
        lost = np.where(unharmed, 0.0, highest)
        lost = lost * (roundings * precision.smallest_relative)  # (3)
        error = (error + precision.gamma(roundings) * product + lost) * SLACK
        return x.value.prod(axis=-1), error, np.maximum(highest, product + error)  # (2)

    result = rows._evaluate(compute, rows)
    return (
        result.reshape([1 if i in axes else n for i, n in enumerate(a.shape)])
        if keepdims
        else result
    )


def add_at(a: BoundedArray, index: Any, b: BoundedArray) -> None:
    """a[index] += b, where each number takes as many terms as indices name it, in any order."""
    precision = a.precision

    def totals(start: Array, terms: Array) -> Array:
        result = np.array(start, dtype=np.float64)
        np.add.at(result, index, terms)
        return result

    count = totals(np.zeros(a.shape), np.ones(b.shape))
    nu = count * precision.roundoff
    gamma = np.where(nu < 1, nu / (1 - np.minimum(nu, 0.5)), UNLIMITED)

    def compute(x: Operand, y: Operand) -> tuple[Array, Array, Array]:
        m = totals(np.abs(x.value) + x.error, np.abs(y.value) + y.error)
        flushed = np.minimum(m, count * precision.smallest_normal)
        error = (totals(x.error, y.error) + gamma * m) * SLACK + flushed
        return totals(x.value, y.value), np.where(count == 0, x.error, error), m

    a[...] = a._evaluate(compute, a, b)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **COMPOSITIONS,
    np.where: _where,
    np.sort: _sort,
    np.argsort: _argsort,
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.prod: _prod,
}
