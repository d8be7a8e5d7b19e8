"""NumPy's functions (NEP 18) for stacks: each does to every draw what it would do to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agreement.stacked import DrawsDiffer, Stacked, aligned, inside
from manual_backprop.typing import Array


def _stacked(x: Any) -> Stacked:
    if not isinstance(x, Stacked):
        raise DrawsDiffer("an argument that is no stack")
    return x


def _along(function: Callable[..., Any], default: int | None = None) -> Callable[..., Stacked]:
    """A function that works along one axis of an array; without one, of its elements in a row."""

    def called(a: Any, axis: Any = default, **options: Any) -> Stacked:
        a = _stacked(a)
        if axis is None:
            a, axis = a.ravel(), 0
        return Stacked(function(a.raw, axis=inside(axis, a.ndim), **options))

    return called


def _method(name: str) -> Callable[..., Any]:
    return lambda a, *args, **kwargs: getattr(_stacked(a), name)(*args, **kwargs)


def _where(condition: Any, *branches: Any) -> Stacked:
    if len(branches) != 2:
        raise DrawsDiffer("np.where without branches")
    return Stacked(np.where(*aligned(condition, *branches)))


def _like(fill: float | None) -> Callable[..., Stacked]:
    def filled(a: Any, fill_value: Any = 0, dtype: Any = None, shape: Any = None) -> Stacked:
        a = a if isinstance(a, Stacked) else _as_draws(a, len(_stacked(fill_value).raw))
        inner = a.shape if shape is None else tuple(np.atleast_1d(shape))
        result = Stacked(np.empty((len(a.raw), *inner), a.dtype if dtype is None else dtype))
        result[...] = fill_value if fill is None else fill
        return result

    return filled


def _as_draws(x: Any, draws: int) -> Stacked:
    array = np.asarray(x)
    return Stacked(np.broadcast_to(array, (draws, *array.shape)))


def _together(arrays: Sequence[Any]) -> list[Array]:
    """The raw arrays of several, those that are the same for all draws as many times."""
    draws = next(len(x.raw) for x in arrays if isinstance(x, Stacked))
    return [(x if isinstance(x, Stacked) else _as_draws(x, draws)).raw for x in arrays]


def _concatenate(arrays: Sequence[Any], axis: int = 0, **options: Any) -> Stacked:
    found = _together(arrays)
    return Stacked(np.concatenate(found, axis=inside(axis, found[0].ndim - 1), **options))


def _stack(arrays: Sequence[Any], axis: int = 0) -> Stacked:
    found = _together(arrays)
    return Stacked(np.stack(found, axis=inside(axis, found[0].ndim)))


def _take(a: Any, indices: Any, axis: Any = None) -> Stacked:
    a = _stacked(a)
    if axis is None:
        a, axis = a.ravel(), 0
    if isinstance(indices, Stacked):
        raise DrawsDiffer("np.take of other elements in every draw")
    return Stacked(np.take(a.raw, indices, axis=inside(axis, a.ndim)))


def _take_along_axis(a: Any, indices: Any, axis: int) -> Stacked:
    found, where = _together([a, indices])
    return Stacked(np.take_along_axis(found, where, inside(axis, found.ndim - 1)))


def _put_along_axis(a: Any, indices: Any, values: Any, axis: int) -> None:
    found, where = _together([_stacked(a), indices])
    if np.ndim(values):
        raise DrawsDiffer("np.put_along_axis of several numbers")
    np.put_along_axis(found, where, values, inside(axis, found.ndim - 1))


def _expand_dims(a: Any, axis: Any) -> Stacked:
    a = _stacked(a)
    several = isinstance(axis, tuple | list)
    ndim = a.ndim + (len(axis) if several else 1)
    return Stacked(np.expand_dims(a.raw, inside(axis, ndim)))


def _moveaxis(a: Any, source: Any, destination: Any) -> Stacked:
    a = _stacked(a)
    return Stacked(np.moveaxis(a.raw, inside(source, a.ndim), inside(destination, a.ndim)))


def _swapaxes(a: Any, one: int, other: int) -> Stacked:
    a = _stacked(a)
    return Stacked(np.swapaxes(a.raw, inside(one, a.ndim), inside(other, a.ndim)))


def _broadcast_to(a: Any, shape: Any) -> Stacked:
    a = _stacked(a)
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    missing = (1,) * (len(wanted) - a.ndim)
    raw = a.raw.reshape(len(a.raw), *missing, *a.shape)
    return Stacked(np.broadcast_to(raw, (len(raw), *wanted)))


def _flip(a: Any, axis: Any = None) -> Stacked:
    a = _stacked(a)
    return Stacked(np.flip(a.raw, inside(axis, a.ndim)))


def _roll(a: Any, shift: Any, axis: Any = None) -> Stacked:
    a = _stacked(a)
    if axis is None:
        return Stacked(np.roll(a.ravel().raw, shift, 1)).reshape(a.shape)
    return Stacked(np.roll(a.raw, shift, inside(axis, a.ndim)))


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Stacked:
    a = _stacked(a)
    if axis is None:
        a, axis = a.ravel(), 0
    return Stacked(np.repeat(a.raw, repeats, inside(axis, a.ndim)))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **options: Any) -> Stacked:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    given = [x for x in (a, low, high) if x is not None]
    parts = iter(aligned(*given))
    ordered = [None if x is None else next(parts) for x in (a, low, high)]
    return Stacked(np.clip(*ordered, **options))


def _array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """Of all draws: the answer is for code that would go on alike in each."""
    raw_a, raw_b = _together([a, b])
    return np.array_equal(raw_a, raw_b, equal_nan=equal_nan)


def _may_share_memory(a: Any, b: Any, **options: Any) -> bool:
    both = (x.raw if isinstance(x, Stacked) else x for x in (a, b))
    return np.may_share_memory(*both, **options)


def _count_nonzero(a: Any, axis: Any = None, **options: Any) -> Stacked:
    a = _stacked(a)
    return Stacked(np.asarray(np.count_nonzero(a.raw, axis=inside(axis, a.ndim), **options)))


def _einsum(subscripts: str, *arrays: Any) -> Stacked:
    """With a letter for the draws in front of every operand."""
    if "." in subscripts or "->" not in subscripts:
        raise DrawsDiffer("np.einsum of this kind")
    sides, _, output = subscripts.partition("->")
    names = ",".join("Z" + side for side in sides.split(","))
    return Stacked(np.einsum(f"{names}->Z{output}", *_together(arrays)))


def _sort(a: Any, axis: Any = -1, **options: Any) -> Stacked:
    return _along(np.sort)(a, axis, **options)


def _triangle(function: Any) -> Callable[..., Stacked]:
    return lambda a, k=0: Stacked(function(_stacked(a).raw, k))


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Stacked:
    a = _stacked(a)
    axes = inside(axis1, a.ndim), inside(axis2, a.ndim)
    return Stacked(np.diagonal(a.raw, offset, *axes))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Stacked:
    """Over the last axes of one and the first of the other."""
    if not isinstance(axes, int):
        raise DrawsDiffer("np.tensordot of this kind")
    shape = np.shape(a)[: np.ndim(a) - axes] + np.shape(b)[axes:]
    terms = int(np.prod(np.shape(b)[:axes]))
    return (a.reshape(-1, terms) @ b.reshape(terms, -1)).reshape(shape)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where,
    np.zeros_like: _like(0),
    np.ones_like: _like(1),
    np.empty_like: _like(0),
    np.full_like: _like(None),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
    np.sum: _method("sum"),
    np.mean: _method("mean"),
    np.max: _method("max"),
    np.amax: _method("max"),
    np.min: _method("min"),
    np.amin: _method("min"),
    np.prod: _method("prod"),
    np.any: _method("any"),
    np.all: _method("all"),
    np.copy: _method("copy"),
    np.ravel: _method("ravel"),
    np.reshape: _method("reshape"),
    np.squeeze: _method("squeeze"),
    np.transpose: _method("transpose"),
    np.count_nonzero: _count_nonzero,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.sort: _sort,
    np.argsort: lambda a, axis=-1, **options: _along(np.argsort)(a, axis, **options),
    np.argmax: _along(np.argmax),
    np.argmin: _along(np.argmin),
    np.cumsum: _method("cumsum"),
    np.cumprod: _along(np.cumprod),
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.put_along_axis: _put_along_axis,
    np.expand_dims: _expand_dims,
    np.moveaxis: _moveaxis,
    np.swapaxes: _swapaxes,
    np.broadcast_to: _broadcast_to,
    np.flip: _flip,
    np.roll: _roll,
    np.repeat: _repeat,
    np.clip: _clip,
    np.array_equal: _array_equal,
    np.may_share_memory: _may_share_memory,
    np.einsum: _einsum,
    np.triu: _triangle(np.triu),
    np.tril: _triangle(np.tril),
    np.diagonal: _diagonal,
    np.tensordot: _tensordot,
}
