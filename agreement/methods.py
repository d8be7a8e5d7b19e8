"""Methods of ndarray and of ufuncs, for error-carrying arrays and dual numbers alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agreement.complaints import unsupported
from agreement.precision import is_float
from agreement.rearrangements import is_carrying


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
    squeeze = _as_function(np.squeeze)
    swapaxes = _as_function(np.swapaxes)
    take = _as_function(np.take)
    trace = _as_function(np.trace)
    var = _as_function(np.var)

    def flatten(self: Any) -> Any:
        """As ndarray.flatten."""
        return self.reshape(-1).copy()

    def mean(self: Any, axis: Any = None, *, keepdims: bool = False, **other: Any) -> Any:
        """As ndarray.mean: a sum, then one division."""
        if other:
            return reduced(self, "mean", axis, keepdims, other)
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / (self.size // max(total.size, 1))

    def transpose(self: Any, *axes: Any) -> Any:
        """As ndarray.transpose."""
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = axes[0]
        return np.transpose(self, axes or None)

    def fill(self: Any, number: Any) -> None:
        """As ndarray.fill."""
        self[...] = number

    def add_at(self: Any, index: Any, terms: Any) -> None:
        """As np.add.at."""
        from agreement.functions import add_at  # written in terms of a class with these methods

        add_at(self, index, terms)

    def sort(self: Any, axis: int = -1) -> None:
        """As ndarray.sort, in place."""
        self[...] = np.sort(self, axis)


def reduced(array: Any, name: str, axis: Any, keepdims: bool, options: dict[str, Any]) -> Any:
    """``array.sum`` or ``array.mean`` with the options ``dtype`` and ``where``.

    A dtype earns no other bound, as in ``astype``; what ``where`` leaves out counts as 0. A mean
    divides by the number of elements that it takes in.
    """
    given = {key: x for key, x in options.items() if x is not None and key != "dtype"}
    if not is_float(options.get("dtype") or float):
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


def ufunc_method(
    ufunc: np.ufunc, method: str, found: Any, inputs: Any, kwargs: dict[str, Any], out: Any
) -> Any:
    """Answer a ufunc's method, or a call with options, that has no rule of its own."""
    if method == "outer" and not kwargs:
        a, b = (found.operand(x) for x in inputs)
        return ufunc(a.reshape(*a.shape, *(1,) * b.ndim), b)
    if method == "__call__" and set(kwargs) == {"where"} and out is not None:
        return np.where(kwargs["where"], ufunc(*inputs), out[0])
    if method == "at" and ufunc in SCATTERED and is_carrying(inputs[0]):
        a, index, b = inputs
        return a.add_at(index, SCATTERED[ufunc](a.operand(b)))
    function = METHODS.get((ufunc, method))
    if function is not None and out is None:
        return function(*inputs, **{"axis": 0, **kwargs})
    raise unsupported(f"np.{ufunc.__name__}.{method}({', '.join(kwargs)})")


def _logsumexp(x: Any, axis: Any = 0, keepdims: bool = False) -> Any:
    """log Σ eˣ = max x + log Σ e^(x − max x)."""
    largest = x.max(axis=axis, keepdims=True)
    total = np.exp(x - largest).sum(axis=axis, keepdims=keepdims)
    return np.log(total) + (largest if keepdims else np.squeeze(largest, axis))


def _running(choose: np.ufunc) -> Callable[..., Any]:
    """The largest, or smallest, of all elements up to each."""

    def accumulate(x: Any, axis: int = 0) -> Any:
        found = [np.take(x, [i], axis=axis) for i in range(min(x.shape[axis], 1))]
        for i in range(1, x.shape[axis]):
            found.append(choose(found[-1], np.take(x, [i], axis=axis)))
        return np.concatenate(found, axis=axis) if found else x.copy()

    return accumulate


METHODS: dict[tuple[np.ufunc, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.add, "accumulate"): np.cumsum,
    (np.multiply, "reduce"): np.prod,
    (np.multiply, "accumulate"): np.cumprod,
    (np.maximum, "accumulate"): _running(np.maximum),
    (np.minimum, "accumulate"): _running(np.minimum),
    (np.logaddexp, "reduce"): _logsumexp,
    (np.logical_and, "reduce"): np.all,
    (np.logical_or, "reduce"): np.any,
}
SCATTERED: dict[np.ufunc, Callable[[Any], Any]] = {np.add: np.positive, np.subtract: np.negative}
