"""For code that runs on single arrays and on stacks of draws alike; see ``agreement.stacked``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike

from agreement.stacked import Stacked

# A statement that holds, or does not, of every draw; or of each draw one, a Stacked scalar.
Flag: TypeAlias = Any


def as_array(x: Any, dtype: DTypeLike | None = None) -> Any:
    """``np.asarray``, which lets a stack be one."""
    if isinstance(x, Stacked):
        return x if dtype is None or x.raw.dtype == dtype else x.astype(dtype)
    return np.asarray(x, dtype=dtype)


def as_new_array(x: Any, dtype: DTypeLike | None = None) -> Any:
    """``np.array``, likewise: a copy."""
    return Stacked(np.array(x.raw, dtype)) if isinstance(x, Stacked) else np.array(x, dtype)


def as_draws(x: Any, like: Any) -> Any:
    """A stack as it is, and an array that is the same for all draws as one, if ``like`` is."""
    if isinstance(x, Stacked) or not isinstance(like, Stacked):
        return x
    return Stacked(np.repeat(np.asarray(x)[None], len(like.raw), axis=0))


def filled_as(like: Any, shape: tuple[int, ...], number: Any, dtype: DTypeLike) -> Any:
    """``np.full``, for every draw of ``like`` if that is a stack."""
    if isinstance(like, Stacked):
        return np.full_like(like, number, dtype, shape=shape)
    return np.full(shape, number, dtype=dtype)


def repeated_view(first: Any, whole: Any) -> Any:
    """The view of every ``whole[i]`` that ``first`` is of ``whole[0]``, (len(whole), *shape)."""
    hidden = int(isinstance(first, Stacked))
    a, b = raw(first), raw(whole)
    shape = (*a.shape[:hidden], len(whole), *a.shape[hidden:])
    strides = (*a.strides[:hidden], b.strides[hidden], *a.strides[hidden:])
    return restacked(as_strided(a, shape, strides), first)


def raw(x: Any) -> Any:
    """All numbers of an array, whatever draws they are of."""
    return x.raw if isinstance(x, Stacked) else x


def restacked(numbers: Any, like: Any) -> Any:
    """Of numbers made of ``raw(like)`` what ``like`` is."""
    return Stacked(numbers) if isinstance(like, Stacked) else numbers


def elementwise(compute: Callable[..., tuple[Any, ...]], *arrays: Any) -> tuple[Any, ...]:
    """What a computation, element by element, gives for arrays; for stacks at once if all are such.

    A stack looks at the operands of every operation, which takes as long as a small one itself.
    """
    first = arrays[0]
    if isinstance(first, Stacked):
        shape = first.raw.shape
        if all(isinstance(x, Stacked) and x.raw.shape == shape for x in arrays):
            return tuple(map(Stacked, compute(*(x.raw for x in arrays))))
    return compute(*arrays)


def somewhere(x: Any) -> bool:
    """Whether anything is true, in any draw."""
    if isinstance(x, Stacked):
        return bool(x.raw.any())
    return x if isinstance(x, bool) else bool(x.any())


def everywhere(x: Any) -> bool:
    """Whether all is true, in every draw."""
    if isinstance(x, Stacked):
        return bool(x.raw.all())
    return x if isinstance(x, bool) else bool(x.all())


def inverse(flag: Flag) -> Flag:
    """Whether a flag does not hold."""
    return ~flag if isinstance(flag, Stacked) else not flag


def has_none(mask: Any) -> Flag:
    """Whether nothing in an array is true or other than 0, of each draw."""
    if not isinstance(mask, Stacked):
        return not mask.any()
    found = mask.raw.reshape(len(mask.raw), -1).any(axis=1)
    if not found.any():
        return True
    return False if found.all() else Stacked(~found)
