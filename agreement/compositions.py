"""NumPy's functions in terms of others, for error-carrying arrays and dual numbers alike.

``found`` is an array of either type that the call met: it turns operands into its own type.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from agreement.alike import filled_as
from agreement.complaints import refuse_options, unsupported
from agreement.precision import is_float
from agreement.rearrangements import is_carrying

# -- choices --------------------------------------------------------------------------------


def _clip(found: Any, a: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Any:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    refuse_options("np.clip", options)
    return found.operand(a).clip(low, high)


def _select(found: Any, conditions: Any, choices: Any, default: Any = 0) -> Any:
    """The first choice whose condition holds."""
    result = found.operand(default)
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        result = np.where(condition, found.operand(choice), result)
    return result


def _piecewise(found: Any, x: Any, conditions: Any, functions: Any, *args: Any, **kw: Any) -> Any:
    """The last function whose condition holds; one function more is for everywhere else."""
    carrying = found.operand(x)

    def of_x(function: Any) -> Any:
        return found.operand(function(carrying, *args, **kw) if callable(function) else function)

    extra = len(functions) > len(conditions)
    result = np.zeros_like(carrying) + of_x(functions[-1] if extra else 0)
    for condition, function in zip(conditions, functions, strict=False):
        result = np.where(condition, of_x(function), result)
    return result


def _copyto(found: Any, target: Any, source: Any, casting: Any = None, where: Any = True) -> None:
    if not is_carrying(target):
        found.__array__()
    target[...] = source if where is True else np.where(where, found.operand(source), target)


def _put_along_axis(found: Any, a: Any, indices: Any, values: Any, axis: Any) -> None:
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in a.shape)])
    index[axis] = indices
    a[tuple(index)] = values


def _fill_diagonal(found: Any, a: Any, values: Any, wrap: bool = False) -> None:
    at = np.arange(min(a.shape))
    a[(at,) * a.ndim] = values


# -- sums of products -----------------------------------------------------------------------


def _einsum(found: Any, subscripts: str, *arrays: Any, optimize: Any = None, **options: Any) -> Any:
    """A broadcast product and a sum: it holds for every order of both."""
    refuse_options("np.einsum", options)
    if not isinstance(subscripts, str):
        raise unsupported("np.einsum without a string")
    operands = [found.operand(x) for x in arrays]
    names, output = _subscripts(subscripts.replace(" ", ""), [x.ndim for x in operands])
    summed = [c for c in dict.fromkeys("".join(names)) if c not in output]
    order = output + "".join(summed)
    factors = []
    for name, array in zip(names, operands, strict=True):
        kept = [c for c in order if c in name]

        def align(x: Any, name: str = name, kept: list[str] = kept) -> Any:
            diagonal = np.einsum(f"{name}->{''.join(kept)}", x)
            shape = iter(diagonal.shape)
            return diagonal.reshape([next(shape) if c in kept else 1 for c in order])

        factors.append(array.rearranged(align))
    if len(factors) > 2:
        product = np.prod(np.stack(np.broadcast_arrays(*factors)), axis=0)
    else:
        product = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    axes = tuple(range(len(output), len(order)))
    return product.sum(axis=axes) if axes else product


def _subscripts(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """One letter for every axis of every operand, and of the result; none for an ellipsis."""
    sides, arrow, output = subscripts.partition("->")
    unused = [c for c in string.ascii_letters if c not in subscripts]
    names, widest = [], ""
    for side, ndim in zip(sides.split(","), ndims, strict=True):
        hidden = ndim - len(side.replace("...", ""))
        letters = "".join(unused[:hidden][::-1]) if "..." in side else ""
        widest = max(widest, letters, key=len)
        names.append(side.replace("...", letters))
    if arrow:
        return names, output.replace("...", widest)
    named = sorted(set(sides) - set(",."))
    return names, widest + "".join(c for c in named if sides.count(c) == 1)


def _outer(found: Any, a: Any, b: Any) -> Any:
    return found.operand(a).ravel()[:, None] * found.operand(b).ravel()[None, :]


def _tensordot(found: Any, a: Any, b: Any, axes: Any = 2) -> Any:
    """A matrix product over the summed axes, laid out as one."""
    a, b = found.operand(a), found.operand(b)
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    over_a, over_b = (
        normalize_axis_tuple(x if isinstance(x, Sequence) else (x,), array.ndim)
        for x, array in zip(axes, (a, b), strict=True)
    )
    kept_a = tuple(i for i in range(a.ndim) if i not in over_a)
    kept_b = tuple(i for i in range(b.ndim) if i not in over_b)
    shape = [a.shape[i] for i in kept_a] + [b.shape[i] for i in kept_b]
    terms = int(np.prod([a.shape[i] for i in over_a]))
    rows = np.transpose(a, kept_a + over_a).reshape(-1, terms)
    return (rows @ np.transpose(b, over_b + kept_b).reshape(terms, -1)).reshape(shape)


def _inner(found: Any, a: Any, b: Any) -> Any:
    if not (np.ndim(a) and np.ndim(b)):
        return found.operand(a) * b
    return _tensordot(found, a, b, (-1, -1))


def _vdot(found: Any, a: Any, b: Any) -> Any:
    return found.operand(a).ravel() @ found.operand(b).ravel()


def _trace(found: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.diagonal(found.operand(a), offset, axis1, axis2).sum(axis=-1)


# -- reductions and running totals ----------------------------------------------------------


def _cumsum(found: Any, a: Any, axis: int | None = None) -> Any:
    """Every prefix as a sum of its own, by a product with a triangle of ones."""
    if axis is None:
        return _cumsum(found, a.ravel(), 0)
    moved = np.moveaxis(a, axis, -1)
    n = moved.shape[-1]
    return np.moveaxis(moved @ np.triu(np.ones((n, n))), -1, axis)


def _cumprod(found: Any, a: Any, axis: int | None = None) -> Any:
    """Every prefix as a product of its own, all others being 1."""
    if axis is None:
        return _cumprod(found, a.ravel(), 0)
    moved = np.moveaxis(a, axis, -1)
    n = moved.shape[-1]
    prefixes = np.where(np.tri(n, dtype=bool), moved[..., None, :], 1)
    return np.moveaxis(np.prod(prefixes, axis=-1), -1, axis)


def _var(
    found: Any, a: Any, axis: Any = None, *, ddof: float = 0, keepdims: Any = False, **options: Any
) -> Any:
    """The mean of the squared deviations from the mean."""
    refuse_options("np.var", options)
    squares = np.square(a - a.mean(axis=axis, keepdims=True))
    total = squares.sum(axis=axis, keepdims=bool(keepdims))
    return total / (a.size // max(total.size, 1) - ddof)


def _std(found: Any, a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sqrt(_var(found, a, axis, **options))


def _norm(found: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """√Σx², also of matrices (Frobenius); of vectors Σ|x| and max|x| as well."""
    axes = x.ndim if axis is None else np.size(axis)
    if ord is None or (ord == 2 and axes == 1) or (ord == "fro" and axes == 2):
        return np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))
    if axes == 1 and ord == 1:
        return abs(x).sum(axis=axis, keepdims=keepdims)
    if axes == 1 and ord == np.inf:
        return abs(x).max(axis=axis, keepdims=keepdims)
    raise unsupported(f"np.linalg.norm(ord={ord})")


def _average(
    found: Any, a: Any, axis: Any = None, weights: Any = None, *, keepdims: Any = False
) -> Any:
    a = found.operand(a)
    if weights is None:
        return a.mean(axis=axis, keepdims=bool(keepdims))
    if np.shape(weights) != a.shape:
        raise unsupported("np.average with weights of another shape")
    weights = found.operand(weights)
    total = weights.sum(axis=axis, keepdims=bool(keepdims))
    return (a * weights).sum(axis=axis, keepdims=bool(keepdims)) / total


def _diff(found: Any, a: Any, n: int = 1, axis: int = -1) -> Any:
    for _ in range(n):
        moved = np.moveaxis(a, axis, 0)
        a = np.moveaxis(moved[1:] - moved[:-1], 0, axis)
    return a


# -- the rest -------------------------------------------------------------------------------


def _pad(found: Any, array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    """New elements are copies, or zeros, or a constant in the place of the zeros."""
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise unsupported(f"np.pad(mode={mode!r})")
    constant = options.pop("constant_values", 0)
    result = found.operand(array).rearranged(lambda x: np.pad(x, pad_width, mode, **options))
    if mode == "constant" and not (np.isscalar(constant) and constant == 0):
        if not np.isscalar(constant):
            raise unsupported("np.pad with several constants")
        inside = np.pad(np.ones(np.shape(array), bool), pad_width)
        result = np.where(inside, result, constant)
    return result


def _round(found: Any, a: Any, decimals: int = 0, out: Any = None) -> Any:
    if decimals != 0 or out is not None:
        raise unsupported("np.round to decimals")
    return np.rint(a)


def _of_nonzero(function: Callable[..., Any]) -> Callable[..., Any]:
    """A question to a mask, asked of numbers; each of its elements must be decided."""

    def asked(found: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
        return function(np.asarray(a != 0 if is_carrying(a) else a), *args, **kwargs)

    return asked


def _filled(number: float | None) -> Callable[..., Any]:
    def like(found: Any, a: Any, fill_value: Any = 0.0, dtype: Any = None, **options: Any) -> Any:
        if dtype is not None and not is_float(dtype):
            options["dtype"] = dtype
        refuse_options("np.*_like", options)
        fill = fill_value if number is None else number
        if is_carrying(fill):
            return np.broadcast_to(fill, np.shape(a)).copy()
        return found.operand(filled_as(found.value, np.shape(a), fill, found.dtype))

    return like


# NumPy's functions that are methods of both types.
METHODS: dict[Any, str] = {
    np.sum: "sum",
    np.mean: "mean",
    np.max: "max",
    np.amax: "max",
    np.min: "min",
    np.amin: "min",
    np.dot: "dot",
}
COMPOSITIONS: dict[Any, Callable[..., Any]] = {
    np.clip: _clip,
    np.select: _select,
    np.piecewise: _piecewise,
    np.copyto: _copyto,
    np.put_along_axis: _put_along_axis,
    np.fill_diagonal: _fill_diagonal,
    np.einsum: _einsum,
    np.outer: _outer,
    np.tensordot: _tensordot,
    np.inner: _inner,
    np.vdot: _vdot,
    np.trace: _trace,
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.var: _var,
    np.std: _std,
    np.linalg.norm: _norm,
    np.average: _average,
    np.diff: _diff,
    np.pad: _pad,
    np.round: _round,
    np.around: _round,
    np.fix: lambda found, x: np.trunc(x),
    np.any: _of_nonzero(np.any),
    np.all: _of_nonzero(np.all),
    np.count_nonzero: _of_nonzero(np.count_nonzero),
    np.broadcast_arrays: lambda found, *arrays: tuple(
        np.broadcast_to(found.operand(x), np.broadcast_shapes(*map(np.shape, arrays)))
        for x in arrays
    ),
    np.zeros_like: _filled(0.0),
    np.ones_like: _filled(1.0),
    np.empty_like: _filled(0.0),
    np.full_like: _filled(None),
    np.shape: lambda found, a: a.shape,
    np.ndim: lambda found, a: a.ndim,
    np.size: lambda found, a: a.size,
}
