r"""Dual numbers: forward-mode differentiation of the manual *forward* code, precisely.

A :class:`DualArray` carries a value x and tangents ẋ, one for each direction of the
differentiated numbers, all at once. Each primitive f maps (x, ẋ) to (f(x), f′(x) ẋ). No
backward code runs, so what results is an opinion on the backward that shares none of it.

At a tie (x > 0 at x = 0, two equal maxima) a derivative may not exist: a convention is no
derivative. Every run notes whether it met a tie, and can decide all ties the other way; where
the two runs differ the dual numbers abstain (see ``agreement.opinion``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike

from agreement import rules
from agreement.complaints import callers_line
from manual_backprop.special import FUNCTIONS as SPECIAL
from manual_backprop.special import ROOT_PI
from manual_backprop.typing import Array

SMALLEST_DOUBLE = float(np.finfo(np.float64).smallest_subnormal)


@dataclass
class Run:
    """One run of forward code on dual numbers.

    Attributes:
        work: the dtype of the arithmetic, wider than that of the model.
        other_way: decide ties the other way.
        met: whether a tie was met.
    """

    work: np.dtype[Any]
    other_way: bool = False
    met: bool = False

    def decide(self, usual: Array, tied: Array) -> Array:
        """The usual decision, or the opposite one at ties."""
        if not np.any(tied):
            return usual
        self.met = True
        return usual ^ tied if self.other_way else usual


class DualArray(NDArrayOperatorsMixin):
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
        self.value = np.asarray(value, dtype=run.work)
        if run.work.itemsize > np.dtype(np.float64).itemsize:
            # A wider exponent range would keep what every float64 evaluation rounds to 0.
            self.value = np.where(np.abs(self.value) < SMALLEST_DOUBLE, 0, self.value)
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
        """Apply a rearrangement of elements to the value and to every tangent."""
        value = np.asarray(move(self.value))
        tangents = [np.asarray(move(t)) for t in self.tangents]
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
        return self._new(self.value[index], self.tangents[(slice(None), *inner)])

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
        """Any operand as a dual number; a constant has zero tangents."""
        if isinstance(x, DualArray):
            return x
        value = np.asarray(x, dtype=self.run.work)
        return self._new(value, np.zeros((len(self.tangents), *value.shape), self.run.work))

    # -- reductions -------------------------------------------------------------------------

    def sum(self, axis: Any = None, *, keepdims: bool = False, **_: Any) -> DualArray:
        """As ndarray.sum."""
        axes = self._axes(axis)
        tangents = self.tangents.sum(axis=tuple(a + 1 for a in axes), keepdims=keepdims)
        return self._new(self.value.sum(axis=axes, keepdims=keepdims), tangents)

    def mean(self, axis: Any = None, *, keepdims: bool = False, **_: Any) -> DualArray:
        """As ndarray.mean."""
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / (self.size // max(total.size, 1))

    def max(self, axis: Any = None, *, keepdims: bool = False, **_: Any) -> DualArray:
        """As ndarray.max: the tangent of the first maximum, or at ties the mean of all."""
        axes = self._axes(axis)
        value = self.value.max(axis=axes, keepdims=True)
        largest = self.value == value
        if (largest.sum(axis=axes) > 1).any():
            self.run.met = True
        if self.run.other_way:
            share = largest / largest.sum(axis=axes, keepdims=True)
        else:
            order = np.arange(self.size).reshape(self.shape)
            rank = np.where(largest, order, self.size)
            share = rank == rank.min(axis=axes, keepdims=True)
        tangents = np.where(share > 0, share * self.tangents, 0.0)
        tangents = tangents.sum(axis=tuple(a + 1 for a in axes), keepdims=keepdims)
        return self._new(self.value.max(axis=axes, keepdims=keepdims), tangents)

    def min(self, axis: Any = None, *, keepdims: bool = False, **_: Any) -> DualArray:
        """As ndarray.min."""
        return -(-self).max(axis=axis, keepdims=keepdims)

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
                raise _unsupported(f"np.{ufunc.__name__}.{method}")
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
        value = ufunc(*values)
        if ufunc is np.matmul:
            a, b = operands
            return self._new(value, a.tangents @ b.value + a.value @ b.tangents)
        if ufunc in CHOICES:
            a, b = operands
            tied = np.equal(*values)
            take_a = self.run.decide(CHOICES[ufunc](*values), tied)
            ndim = np.ndim(value)
            return self._new(value, np.where(take_a, a.aligned(ndim), b.aligned(ndim)))
        if ufunc is np.absolute:
            positive = self.run.decide(values[0] > 0, values[0] == 0)
            return self._new(value, np.where(positive, 1.0, -1.0) * operands[0].tangents)
        if ufunc is np.sign:
            self.run.decide(values[0] > 0, values[0] == 0)
            return self._new(value, np.zeros_like(operands[0].tangents))
        if ufunc not in DERIVATIVES:
            raise _unsupported(f"np.{ufunc.__name__}")
        slopes = DERIVATIVES[ufunc](value, *values)
        ndim = np.ndim(value)
        parts = [slope * x.aligned(ndim) for slope, x in zip(slopes, operands, strict=True)]
        shape = (len(self.tangents), *np.shape(value))
        return self._new(value, np.broadcast_to(sum(parts), shape).copy())

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.where:
            mask, a, b = args[0], self.operand(args[1]), self.operand(args[2])
            value = np.where(mask, a.value, b.value)
            return self._new(value, np.where(mask, a.aligned(value.ndim), b.aligned(value.ndim)))
        if func in METHODS:
            array, *rest = args
            return getattr(self.operand(array), METHODS[func])(*rest, **kwargs)
        if func in LIKE:
            return self.operand(LIKE[func](args[0].value))
        if func is np.concatenate or func is np.stack:
            arrays, axis = args[0], kwargs.get("axis", args[1] if len(args) > 1 else 0)
            operands = [self.operand(x) for x in arrays]
            tangents = func([x.tangents for x in operands], axis=axis + 1 if axis >= 0 else axis)
            return self._new(func([x.value for x in operands], axis=axis), tangents)
        if func in (np.shape, np.ndim, np.size):
            return func(args[0].value)
        array, *rest = args
        if isinstance(array, DualArray) and func in REARRANGEMENTS:
            return array.rearranged(lambda x: func(x, *rest, **kwargs))
        raise _unsupported(f"np.{func.__name__}")


def _unsupported(what: str) -> TypeError:
    return TypeError(f"{callers_line()}: dual numbers know no rule for {what}.")


# ∂f/∂operand for each operand, from the result y and the operands' values.
DERIVATIVES: dict[np.ufunc, Callable[..., tuple[Any, ...]]] = {
    np.add: lambda y, a, b: (1.0, 1.0),
    np.subtract: lambda y, a, b: (1.0, -1.0),
    np.multiply: lambda y, a, b: (b, a),
    np.divide: lambda y, a, b: (1 / b, -y / b),
    np.power: lambda y, a, b: (b * a ** (b - 1.0), np.where(a > 0, y * np.log(a), 0.0)),
    np.square: lambda y, a: (2 * a,),
    np.sqrt: lambda y, a: (0.5 / y,),
    np.exp: lambda y, a: (y,),
    np.expm1: lambda y, a: (y + 1,),
    np.log: lambda y, a: (1 / a,),
    np.log1p: lambda y, a: (1 / (1 + a),),
    np.tanh: lambda y, a: (1 / np.cosh(a) ** 2,),
    np.negative: lambda y, a: (-1.0,),
    np.positive: lambda y, a: (1.0,),
}
SPECIAL_DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {
    "sigmoid": lambda x, y: y * SPECIAL["sigmoid"](-x),
    "softplus": lambda x, y: SPECIAL["sigmoid"](x),
    "erf": lambda x, y: np.exp(-x * x) * (2 / x.dtype.type(ROOT_PI)),
    "erfc": lambda x, y: np.exp(-x * x) * (-2 / x.dtype.type(ROOT_PI)),
}
CHOICES = {np.maximum: np.greater, np.minimum: np.less}
REDUCTIONS = {np.add: "sum", np.maximum: "max", np.minimum: "min"}
METHODS: dict[Any, str] = {
    np.sum: "sum",
    np.mean: "mean",
    np.max: "max",
    np.min: "min",
    np.clip: "clip",
    np.dot: "dot",
    np.reshape: "reshape",
    np.ravel: "ravel",
    np.copy: "copy",
}
LIKE: dict[Any, Callable[[Array], Array]] = {
    np.zeros_like: np.zeros_like,
    np.ones_like: np.ones_like,
    np.empty_like: np.zeros_like,
}
REARRANGEMENTS = {
    np.transpose,
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
}
