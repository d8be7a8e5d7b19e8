r"""Dual numbers: forward-mode differentiation of the manual *forward* code, precisely.

A :class:`DualArray` carries a value x and tangents ẋ, one for each direction of the
differentiated numbers, all at once. Each primitive f maps (x, ẋ) to (f(x), f′(x) ẋ). No
backward code runs, so what results is an opinion on the backward that shares none of it.

At a tie (x > 0 at x = 0, two equal maxima) a derivative may not exist: a convention is no
derivative. Every run notes whether it met a tie, and can decide all ties otherwise; where the
two runs differ the dual numbers abstain (see ``agreement.ties`` and ``agreement.opinion``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike

from agreement import rearrangements, rules
from agreement.alike import as_array, as_draws, repeated_view, somewhere
from agreement.complaints import callers_line, refuse_options
from agreement.compositions import COMPOSITIONS, METHODS
from agreement.derivatives import (
    CHOICES,
    CONSTANT,
    DERIVATIVES,
    REDUCTIONS,
    SPECIAL_DERIVATIVES,
    STEPS,
)
from agreement.methods import Methods, reduced, ufunc_method
from agreement.rearrangements import JOINS, REARRANGEMENTS, SPLITS
from agreement.ties import Run, ties_of
from manual_backprop.special import FUNCTIONS as SPECIAL
from manual_backprop.typing import Array

SMALLEST_DOUBLE = float(np.finfo(np.float64).smallest_subnormal)


class DualArray(Methods, NDArrayOperatorsMixin):
    """Values with tangents.

    Attributes:
        value: of any shape, in the run's dtype.
        tangents: (directions, *value.shape), likewise.
        run: shared by all arrays of one run.
        dtype: what the manual code is told, the model's; the arithmetic is the run's.
    """

    runs_derivations = True
    __slots__ = ("dtype", "run", "tangents", "value")

    def __init__(self, value: Array, tangents: Array, run: Run, dtype: np.dtype[Any]) -> None:
        self.value = as_array(value, run.work)
        if run.work.itemsize > np.dtype(np.float64).itemsize:
            # A wider exponent range would keep what every float64 evaluation rounds to 0. There
            # is nothing of the kind in a view, which stays one.
            tiny = (np.abs(self.value) < SMALLEST_DOUBLE) & (self.value != 0)
            if somewhere(tiny):
                self.value = np.where(tiny, 0, self.value)
        self.tangents = tangents
        self.run = run
        self.dtype = dtype

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)

    def __repr__(self) -> str:
        return f"DualArray({self.value!r}, {len(self.tangents)} tangents)"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        raise TypeError(
            f"{callers_line()}: a dual number would become a plain one here and lose its "
            f"tangents; write this line with ufuncs, @, reductions, np.where or *_like."
        )

    def __len__(self) -> int:
        return len(self.value)

    def _new(self, value: Array, tangents: Array) -> DualArray:
        return DualArray(value, tangents, self.run, self.dtype)

    def rearranged(self, move: Callable[[Array], Array]) -> DualArray:
        """Apply a rearrangement of elements to the value and to every tangent.

        Where it gives a view of one tangent, it gives the same one of all: they are laid out alike.
        """
        value = as_array(move(self.value))
        first = as_array(move(self.tangents[0])) if len(self.tangents) else value
        if len(self.tangents) and np.may_share_memory(first, self.tangents):
            return self._new(value, repeated_view(first, self.tangents))
        tangents = [as_array(move(t)) for t in self.tangents]
        return self._new(value, np.stack(tangents) if tangents else np.zeros((0, *value.shape)))

    @property
    def T(self) -> DualArray:
        """The transposed array."""
        axes = range(self.ndim, 0, -1)
        return self._new(self.value.T, self.tangents.transpose(0, *axes))

    def copy(self, order: str = "C") -> DualArray:
        """An independent copy."""
        return self._new(self.value.copy(), self.tangents.copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> DualArray:
        return self.copy()

    def astype(self, dtype: DTypeLike, copy: bool = True) -> DualArray:
        """A copy: the arithmetic stays the run's."""
        return self.copy()

    def reshape(self, *shape: Any) -> DualArray:
        """As ndarray.reshape."""
        value = self.value.reshape(*shape)
        return self._new(value, self.tangents.reshape(len(self.tangents), *value.shape))

    def ravel(self) -> DualArray:
        """As ndarray.ravel."""
        return self.reshape(-1)

    def __getitem__(self, index: Any) -> DualArray:
        inner = index if isinstance(index, tuple) else (index,)
        tangents = as_draws(self.tangents, self.value)
        return self._new(self.value[index], tangents[(slice(None), *inner)])

    def __setitem__(self, index: Any, new: Any) -> None:
        source = self.operand(new)
        inner = index if isinstance(index, tuple) else (index,)
        target = self.value[index]
        self.value[index] = source.value
        self.tangents[(slice(None), *inner)] = source.aligned(np.ndim(target))

    def aligned(self, ndim: int) -> Array:
        """Tangents with as many axes as a value of ``ndim`` axes broadcasts with."""
        missing = ndim - self.ndim
        return self.tangents.reshape(len(self.tangents), *(1,) * missing, *self.shape)

    def operand(self, x: Any) -> DualArray:
        """Any operand as a dual number; a constant has zero tangents.

        A Python number is rounded to the model's precision, as NumPy does.
        """
        if isinstance(x, DualArray):
            return x
        if isinstance(x, int | float) and not isinstance(x, np.generic):
            with np.errstate(over="ignore"):
                x = self.dtype.type(x)
        tied = ties_of(x)
        if tied is not None:
            x = np.where(tied, self.run.shares(tied.shape), x)
        value = as_array(x, self.run.work)
        return self._new(value, np.zeros((len(self.tangents), *value.shape), self.run.work))

    # -- reductions -------------------------------------------------------------------------

    def sum(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> DualArray:
        """As ndarray.sum."""
        if other:
            return reduced(self, "sum", axis, keepdims, other)
        axes = self._axes(axis)
        tangents = self.tangents.sum(axis=tuple(a + 1 for a in axes), keepdims=keepdims)
        return self._new(self.value.sum(axis=axes, keepdims=keepdims), tangents)

    def max(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> DualArray:
        """As ndarray.max: the tangent of the first maximum, or at ties a mixture."""
        refuse_options("max", other)
        axes = self._axes(axis)
        value = self.value.max(axis=axes, keepdims=True)
        largest = self.value == value
        several = largest.sum(axis=axes, keepdims=True) > 1
        self.run.note(several)
        if self.run.other_way:
            weight = largest * self.run.shares(self.shape)
            share = weight / weight.sum(axis=axes, keepdims=True)
        else:
            order = np.arange(self.size).reshape(self.shape)
            rank = np.where(largest, order, self.size)
            share = rank == rank.min(axis=axes, keepdims=True)
        tangents = np.where(share > 0, share * self.tangents, 0.0)
        tangents = tangents.sum(axis=tuple(a + 1 for a in axes), keepdims=keepdims)
        return self._new(self.value.max(axis=axes, keepdims=keepdims), tangents)

    def min(self, axis: Any = None, *, keepdims: bool = False, **other: Any) -> DualArray:
        """As ndarray.min."""
        return -(-self).max(axis=axis, keepdims=keepdims, **other)

    def _axes(self, axis: Any) -> tuple[int, ...]:
        if axis is None:
            return tuple(range(self.ndim))
        axes = axis if isinstance(axis, tuple) else (axis,)
        return tuple(a % self.ndim for a in axes)

    def dot(self, other: Any) -> DualArray:
        """As ndarray.dot, for operands of at most two dimensions."""
        return self @ other

    def clip(self, low: Any = None, high: Any = None) -> DualArray:
        """As ndarray.clip."""
        raised = self if low is None else np.maximum(self, low)
        return raised if high is None else np.minimum(raised, high)

    def special(self, name: str) -> DualArray:
        """A function that NumPy lacks; see ``manual_backprop.special``."""
        value = SPECIAL[name](self.value)
        return self._new(value, self.tangents * SPECIAL_DERIVATIVES[name](self.value, value))

    # -- the protocols ----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        with np.errstate(all="ignore"):
            if method == "reduce" and ufunc in REDUCTIONS:
                result = getattr(self, REDUCTIONS[ufunc])(**{"axis": 0, **kwargs})
            elif method == "__call__" and not kwargs:
                result = self._call(ufunc, [self.operand(x) for x in inputs])
            else:
                result = ufunc_method(ufunc, method, self, inputs, kwargs, out)
        if out is None:
            return result
        if not isinstance(out[0], DualArray):
            return self.__array__()
        out[0][...] = result
        return out[0]

    def _call(self, ufunc: np.ufunc, operands: list[DualArray]) -> Any:
        values = [x.value for x in operands]
        if ufunc in rules.COMPARISONS:
            return self.run.decide(ufunc(*values), values[0] == values[1])
        if ufunc in CONSTANT:
            return ufunc(*values)
        if ufunc is np.matmul:
            return _matmul(*operands)
        if ufunc is np.vecdot:
            return (operands[0] * operands[1]).sum(axis=-1)
        value = ufunc(*values)
        ndim = np.ndim(value)
        if ufunc in CHOICES:
            take_a, tied = CHOICES[ufunc](*values), np.equal(*values)
            a, b = (x.aligned(ndim) for x in operands)
            return self._new(value, self.run.choose(take_a, tied, a, b))
        if ufunc in STEPS:
            for tied in STEPS[ufunc](*values):
                self.run.note(tied)
        if ufunc is np.absolute or ufunc is np.fabs:
            (x,) = operands
            tangents = self.run.choose(x.value > 0, x.value == 0, x.tangents, -x.tangents)
            return self._new(value, tangents)
        if ufunc not in DERIVATIVES:
            raise _unsupported(f"np.{ufunc.__name__}")
        slopes = DERIVATIVES[ufunc](value, *values)
        parts = [slope * x.aligned(ndim) for slope, x in zip(slopes, operands, strict=True)]
        shape = (len(self.tangents), *np.shape(value))
        return self._new(value, np.broadcast_to(sum(parts), shape).copy())

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            if func in FUNCTIONS:
                return FUNCTIONS[func](self, *args, **kwargs)
            if func in METHODS:
                array, *rest = args
                return getattr(self.operand(array), METHODS[func])(*rest, **kwargs)
            if func in REARRANGEMENTS:
                return rearrangements.rearrange(func, self, args, kwargs)
            if func in SPLITS:
                return rearrangements.split(func, self, args, kwargs)
            if func in JOINS:
                return _join(func, self, *args, **kwargs)
        raise _unsupported(f"np.{func.__name__}")

    def add_at(self, index: Any, terms: DualArray) -> None:
        """As np.add.at(self, index, terms)."""
        np.add.at(self.value, index, terms.value)
        added = np.broadcast_to(
            terms.aligned(self.value[index].ndim), (len(self.tangents), *self.value[index].shape)
        )
        for tangent, term in zip(self.tangents, added, strict=True):
            np.add.at(tangent, index, term)


def _unsupported(what: str) -> TypeError:
    return TypeError(f"{callers_line()}: dual numbers know no rule for {what}.")


def _matmul(a: DualArray, b: DualArray) -> DualArray:
    """(AB)˙ = ȦB + AḂ; a vector is a matrix of one row or column."""
    if b.ndim == 1:
        return _matmul(a, b[:, None])[..., 0]
    if a.ndim == 1:
        return _matmul(a[None], b)[..., 0, :]
    ndim = max(a.ndim, b.ndim)
    tangents = a.aligned(ndim) @ b.value + a.value @ b.aligned(ndim)
    return a._new(a.value @ b.value, tangents)


def _where(found: DualArray, condition: Any, *branches: Any) -> DualArray:
    if len(branches) != 2 or isinstance(condition, DualArray):
        raise _unsupported("np.where without a mask and two branches")
    a, b = (found.operand(x) for x in branches)
    value = np.where(condition, a.value, b.value)
    parts = a.aligned(value.ndim), b.aligned(value.ndim)
    tied = ties_of(condition)
    if tied is not None:
        return found._new(value, found.run.choose(condition, tied, *parts))
    return found._new(value, np.where(condition, *parts))


def _join(func: Any, found: DualArray, arrays: Any, *args: Any, **options: Any) -> DualArray:
    operands = [found.operand(x) for x in arrays]
    value = func([x.value for x in operands], *args, **options)
    tangents = [
        func(list(parts), *args, **options)
        for parts in zip(*(x.tangents for x in operands), strict=True)
    ]
    return found._new(value, np.stack(tangents) if tangents else np.zeros((0, *value.shape)))


def _argsort(
    found: DualArray, a: DualArray, axis: int | None = -1, kind: Any = None, **options: Any
) -> Array:
    """Plain indices; equal numbers in the order that they come in, or the other way."""
    refuse_options("np.argsort", options)
    if axis is None:
        a, axis = a.ravel(), 0
    usual = np.argsort(a.value, axis, kind="stable")
    other = a.shape[axis] - 1 - np.argsort(np.flip(a.value, axis), axis, kind="stable")
    differ = usual != other
    found.run.note(differ)
    return other if found.run.other_way else usual


def _sort(found: DualArray, a: DualArray, axis: int | None = -1, **options: Any) -> DualArray:
    if axis is None:
        a, axis = a.ravel(), 0
    order = _argsort(found, a, axis, **options)
    return a.rearranged(lambda x: np.take_along_axis(x, order, axis))


def _argmax(
    found: DualArray,
    a: DualArray,
    axis: int | None = None,
    *,
    keepdims: Any = False,
    **options: Any,
) -> Array:
    """Plain indices: of equal numbers the first, or the last."""
    refuse_options("np.argmax", options)
    if axis is None:
        shape = (1,) * a.ndim if keepdims else ()
        return _argmax(found, a.ravel(), 0).reshape(shape)
    usual = np.argmax(a.value, axis, keepdims=bool(keepdims))
    other = a.shape[axis] - 1 - np.argmax(np.flip(a.value, axis), axis, keepdims=bool(keepdims))
    return as_array(
        np.where(found.run.decide(np.equal(usual, usual), usual != other), usual, other)
    )


def _prod(
    found: DualArray, a: Any, axis: Any = None, *, keepdims: Any = False, **options: Any
) -> DualArray:
    """(Π x)˙ = Σᵢ ẋᵢ Π_{j≠i} xⱼ."""
    refuse_options("np.prod", options)
    a = found.operand(a)
    axes = a._axes(axis)
    kept = tuple(i for i in range(a.ndim) if i not in axes)
    rows = a.transpose(kept + axes).reshape(*(a.shape[i] for i in kept), -1)
    ones = np.ones((*rows.shape[:-1], 1))
    before = np.concatenate([ones, rows.value[..., :-1]], axis=-1).cumprod(axis=-1)
    after = np.concatenate([ones, rows.value[..., :0:-1]], axis=-1).cumprod(axis=-1)[..., ::-1]
    tangents = (before * after * rows.tangents).sum(axis=-1)
    result = a._new(rows.value.prod(axis=-1), tangents)
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
    return result.reshape(shape) if keepdims else result


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **COMPOSITIONS,
    np.where: _where,
    np.sort: _sort,
    np.argsort: _argsort,
    np.argmax: _argmax,
    np.argmin: lambda found, a, axis=None, **options: _argmax(found, -a, axis, **options),
    np.prod: _prod,
}
