"""NumPy's functions (NEP 18) for error-carrying arrays, in terms of their methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray, bounded, refuse_options, select, unsupported
from agreement.masks import Mask
from agreement.precision import Precision


def call(func: Callable[..., Any], found: BoundedArray, args: Any, kwargs: Any) -> Any:
    """Answer a NumPy function that met the error-carrying array ``found``."""
    if func in REARRANGEMENTS:
        array, *rest = args
        return array.rearranged(lambda x: func(x, *rest, **kwargs))
    if func in METHODS:
        array, *rest = args
        return getattr(found.operand(array), METHODS[func])(*rest, **kwargs)
    if func in JOINS:
        return _join(func, found, *args, **kwargs)
    if func in FUNCTIONS:
        return FUNCTIONS[func](found, *args, **kwargs)
    raise unsupported(f"np.{func.__name__}")


def _where(found: BoundedArray, condition: Any, a: Any, b: Any) -> BoundedArray:
    mask = condition if isinstance(condition, Mask) else Mask(np.asarray(condition, dtype=bool))
    return select(mask, found.operand(a), found.operand(b))


def _clip(found: BoundedArray, a: Any, low: Any = None, high: Any = None, **options: Any) -> Any:
    refuse_options("np.clip", options)
    return found.operand(a).clip(low, high)


def _join(func: Any, found: BoundedArray, arrays: Sequence[Any], axis: int = 0) -> BoundedArray:
    operands = [found.operand(x) for x in arrays]
    kinked = any(x.smooth_error is not None for x in operands)
    return BoundedArray(
        func([x.value for x in operands], axis),
        func([x.error for x in operands], axis),
        found.precision,
        smooth_error=func([x.smooth for x in operands], axis) if kinked else None,
        exact=all(x.exact for x in operands),
        limited=all(x.limited for x in operands),
    )


def _einsum(found: BoundedArray, subscripts: str, *arrays: Any, **options: Any) -> Any:
    """Products of one or two operands, as a broadcast multiplication and a sum."""
    refuse_options("np.einsum", options)
    if not isinstance(subscripts, str) or "." in subscripts or len(arrays) > 2:
        raise unsupported("np.einsum with an ellipsis or more than two operands")
    subscripts = subscripts.replace(" ", "")
    sides, _, output = subscripts.partition("->")
    names = sides.split(",")
    if "->" not in subscripts:
        output = "".join(c for c in sorted(set(sides) - {","}) if sides.count(c) == 1)
    summed = [c for c in dict.fromkeys("".join(names)) if c not in output]
    order = output + "".join(summed)
    factors = []
    for name, array in zip(names, arrays, strict=True):
        kept = [c for c in order if c in name]

        def align(x: Any, name: str = name, kept: list[str] = kept) -> Any:
            diagonal = np.einsum(f"{name}->{''.join(kept)}", x)
            shape = iter(diagonal.shape)
            return diagonal.reshape([next(shape) if c in kept else 1 for c in order])

        factors.append(found.operand(array).rearranged(align))
    product = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    axes = tuple(range(len(output), len(order)))
    return product.sum(axis=axes) if axes else product


def _outer(found: BoundedArray, a: Any, b: Any) -> BoundedArray:
    return found.operand(a).ravel()[:, None] * found.operand(b).ravel()[None, :]


def _sort(found: BoundedArray, a: BoundedArray, axis: int = -1, **options: Any) -> BoundedArray:
    """1-Lipschitz in the largest error along the axis."""
    refuse_options("np.sort", options)
    largest = a.error.max(axis=axis, keepdims=True)
    error = np.broadcast_to(largest, a.shape).copy()
    return BoundedArray(np.sort(a.value, axis), error, a.precision, limited=a.limited)


def _cumsum(found: BoundedArray, a: BoundedArray, axis: int | None = None) -> BoundedArray:
    """Every prefix as a sum of its own, by a product with a triangle of ones."""
    if axis is None:
        return _cumsum(found, a.ravel(), 0)
    moved = a.rearranged(lambda x: np.moveaxis(x, axis, -1))
    n = moved.shape[-1]
    prefixes = moved @ np.triu(np.ones((n, n)))
    return prefixes.rearranged(lambda x: np.moveaxis(x, -1, axis))


def _filled(number: float | None) -> Callable[..., BoundedArray]:
    def like(
        found: BoundedArray, a: Any, fill_value: float = 0.0, dtype: Any = None, **options: Any
    ) -> BoundedArray:
        refuse_options("np.*_like", options)
        fill = fill_value if number is None else number
        return _full(np.shape(a), found.precision.rounded(fill), found.precision)

    return like


def _full(shape: tuple[int, ...], number: float, precision: Precision) -> BoundedArray:
    return bounded(np.full(shape, number), precision)


REARRANGEMENTS = {
    np.transpose,
    np.reshape,
    np.ravel,
    np.squeeze,
    np.expand_dims,
    np.swapaxes,
    np.moveaxis,
    np.broadcast_to,
    np.take,
    np.take_along_axis,
    np.repeat,
    np.tile,
    np.flip,
    np.roll,
    np.diagonal,
    np.copy,
    np.atleast_2d,
}
METHODS: dict[Any, str] = {
    np.sum: "sum",
    np.mean: "mean",
    np.max: "max",
    np.amax: "max",
    np.min: "min",
    np.amin: "min",
    np.dot: "dot",
}
JOINS = {np.concatenate, np.stack}
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where,
    np.clip: _clip,
    np.einsum: _einsum,
    np.outer: _outer,
    np.sort: _sort,
    np.cumsum: _cumsum,
    np.zeros_like: _filled(0.0),
    np.ones_like: _filled(1.0),
    np.empty_like: _filled(0.0),
    np.full_like: _filled(None),
    np.shape: lambda found, a: a.shape,
    np.ndim: lambda found, a: a.ndim,
    np.size: lambda found, a: a.size,
}
