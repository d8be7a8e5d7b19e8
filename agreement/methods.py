"""Methods of ndarray that error-carrying arrays and dual numbers take from NumPy's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agreement.complaints import unsupported


def _as_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls the NumPy function of the same name."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__doc__ = f"As np.{function.__name__}."
    return method


class Methods:
    """Everything but the few methods that each array type has a rule for."""

    __slots__ = ()

    all = _as_function(np.all)
    any = _as_function(np.any)
    argmax = _as_function(np.argmax)
    argmin = _as_function(np.argmin)
    argsort = _as_function(np.argsort)
    cumprod = _as_function(np.cumprod)
    cumsum = _as_function(np.cumsum)
    diagonal = _as_function(np.diagonal)
    prod = _as_function(np.prod)
    repeat = _as_function(np.repeat)
    round = _as_function(np.round)
    std = _as_function(np.std)
    swapaxes = _as_function(np.swapaxes)
    take = _as_function(np.take)
    trace = _as_function(np.trace)
    var = _as_function(np.var)

    def fill(self: Any, number: Any) -> None:
        """As ndarray.fill."""
        self[...] = number

    def sort(self: Any, axis: int = -1) -> None:
        """As ndarray.sort, in place."""
        self[...] = np.sort(self, axis)


def reduced(array: Any, name: str, axis: Any, keepdims: bool, options: dict[str, Any]) -> Any:
    """``array.sum`` or ``array.mean`` with the options ``dtype`` and ``where``.

    A dtype earns no other bound, as in ``astype``; what ``where`` leaves out counts as 0. A mean
    divides by the number of elements that it takes in.
    """
    given = {key: x for key, x in options.items() if x is not None and key != "dtype"}
    if np.dtype(options.get("dtype") or float).kind != "f":
        given["dtype"] = options["dtype"]
    where = given.pop("where", True)
    if given:
        raise unsupported(f"{name}({', '.join(given)}=…)")
    if where is True:
        return getattr(array, name)(axis=axis, keepdims=keepdims)
    total = np.where(where, array, 0).sum(axis=axis, keepdims=keepdims)
    if name == "sum":
        return total
    ones = np.where(where, np.ones_like(array), 0)
    return total / ones.sum(axis=axis, keepdims=keepdims)
