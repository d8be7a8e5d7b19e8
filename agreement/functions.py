"""NumPy's functions (NEP 18) for error-carrying arrays, in terms of their methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray, bounded, select
from agreement.complaints import refuse_options, unsupported
from agreement.masks import COMPLAINT, Mask


def call(func: Callable[..., Any], found: BoundedArray, args: Any, kwargs: Any) -> Any:
    """Answer a NumPy function that met the error-carrying array ``found``."""
    if func in REARRANGEMENTS:
        array, *rest = args
        if any(isinstance(x, BoundedArray) for x in rest) or kwargs.get("out") is not None:
            raise unsupported(f"np.{func.__name__} with these arguments")
        return found.operand(array).rearranged(lambda x: func(x, *rest, **kwargs))
    if func in METHODS:
        array, *rest = args
        return getattr(found.operand(array), METHODS[func])(*rest, **kwargs)
    if func in JOINS:
        return _join(func, found, *args, **kwargs)
    if func in FUNCTIONS:
        return FUNCTIONS[func](found, *args, **kwargs)
    if any(isinstance(x, Mask) for x in args):
        raise TypeError(COMPLAINT.format(name=f"np.{func.__name__}"))
    raise unsupported(f"np.{func.__name__}")


def _where(found: BoundedArray, condition: Any, *branches: Any) -> BoundedArray:
    if len(branches) != 2 or isinstance(condition, BoundedArray):
        raise unsupported("np.where without a mask and two branches")
    a, b = branches
    mask = condition if isinstance(condition, Mask) else Mask(np.asarray(condition, dtype=bool))
    return select(mask, found.operand(a), found.operand(b))


def _clip(
    found: BoundedArray, a: Any, a_min: Any = None, a_max: Any = None, **options: Any
) -> BoundedArray:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    refuse_options("np.clip", options)
    return found.operand(a).clip(low, high)


def _join(
    func: Any, found: BoundedArray, arrays: Sequence[Any], axis: int = 0, **options: Any
) -> BoundedArray:
    refuse_options(f"np.{func.__name__}", options)
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


def _einsum(
    found: BoundedArray, subscripts: str, *arrays: Any, optimize: Any = None, **options: Any
) -> BoundedArray:
    """Products of one or two operands, as a broadcast multiplication and a sum, in any order."""
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

    def spread(error: Any) -> Any:
        return np.broadcast_to(error.max(axis=axis, keepdims=True, initial=0.0), a.shape).copy()

    return BoundedArray(
        np.sort(a.value, axis),
        spread(a.error),
        a.precision,
        smooth_error=None if a.smooth_error is None else spread(a.smooth_error),
        exact=a.exact,
        limited=a.limited,
    )


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
        if dtype is not None and np.dtype(dtype).kind != "f":
            options["dtype"] = dtype
        refuse_options("np.*_like", options)
        fill = fill_value if number is None else number
        own = found.precision.dtype
        return bounded(np.full(np.shape(a), fill, dtype=own), found.precision)

    return like


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
