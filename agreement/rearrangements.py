"""NumPy's functions that move elements, in one table for error-carrying and dual numbers.

They apply to values, errors and tangents alike: where such a function puts a 0 (``np.triu``,
``np.diag``), it is exact and constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agreement.complaints import unsupported

# One array, and options.
REARRANGEMENTS: set[Callable[..., Any]] = {
    np.atleast_1d,
    np.atleast_2d,
    np.atleast_3d,
    np.broadcast_to,
    np.copy,
    np.delete,
    np.diag,
    np.diagflat,
    np.diagonal,
    np.expand_dims,
    np.flip,
    np.fliplr,
    np.flipud,
    np.matrix_transpose,
    np.moveaxis,
    np.permute_dims,
    np.ravel,
    np.repeat,
    np.reshape,
    np.roll,
    np.rollaxis,
    np.rot90,
    np.squeeze,
    np.swapaxes,
    np.take,
    np.take_along_axis,
    np.tile,
    np.transpose,
    np.tril,
    np.triu,
}
# One array into a list of arrays.
SPLITS: set[Callable[..., Any]] = {
    np.array_split,
    np.dsplit,
    np.hsplit,
    np.split,
    np.unstack,
    np.vsplit,
}
# A list of arrays into one.
JOINS: set[Callable[..., Any]] = {
    np.column_stack,
    np.concatenate,
    np.dstack,
    np.hstack,
    np.stack,
    np.vstack,
}


def is_carrying(x: Any) -> bool:
    """Whether something carries errors or tangents."""
    return hasattr(x, "rearranged")


def rearrange(func: Callable[..., Any], found: Any, args: Any, kwargs: Any) -> Any:
    """Apply a rearrangement of one array."""
    array, *rest = args
    if any(map(is_carrying, rest)) or kwargs.get("out") is not None:
        raise unsupported(f"np.{func.__name__} with these arguments")
    return found.operand(array).rearranged(lambda x: func(x, *rest, **kwargs))


def split(func: Callable[..., Any], found: Any, args: Any, kwargs: Any) -> Any:
    """The pieces of an array, views where NumPy's are."""
    array, *rest = args
    carrying = found.operand(array)
    pieces = func(carrying.value, *rest, **kwargs)
    return type(pieces)(
        [
            carrying.rearranged(lambda x, at=at: func(x, *rest, **kwargs)[at])
            for at in range(len(pieces))
        ]
    )
