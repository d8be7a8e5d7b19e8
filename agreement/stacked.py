"""Many draws of one array at once: the same code, run on all of them in one go.

A :class:`Stacked` array holds K draws of an array and behaves like one of them: the axis along
which the draws lie, the first of ``raw``, is hidden. Shapes, axes, broadcasting and indices are
those of a single draw; whatever is computed of one draw is computed of every other alike.

Where Python itself has to decide (``if mask.any():``), all draws must agree; otherwise
:class:`DrawsDiffer` is raised, as it is for whatever has no rule here. The draws are then to be
treated one by one: nothing depends on this module being complete. A test shows that what it does
compute of each draw is what the draw alone gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike

from manual_backprop.special import FUNCTIONS as SPECIAL
from manual_backprop.typing import Array


class DrawsDiffer(Exception):
    """Draws of a stack cannot be treated alike, so that each must be treated by itself."""


class Stacked(NDArrayOperatorsMixin):
    """K draws of one array.

    Attributes:
        raw: all of them, (draws, *shape).
    """

    runs_derivations = True
    __slots__ = ("raw",)

    def __init__(self, raw: Array) -> None:
        self.raw = raw

    shape = property(lambda self: self.raw.shape[1:])
    ndim = property(lambda self: self.raw.ndim - 1)
    dtype = property(lambda self: self.raw.dtype)
    strides = property(lambda self: self.raw.strides)
    size = property(lambda self: self.raw.size // len(self.raw))

    def __repr__(self) -> str:
        return f"Stacked({self.raw!r})"

    # -- one answer for all draws -------------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        raise DrawsDiffer("conversion of a stack to an array")

    def item(self) -> Any:
        """The only number, if it is the same in every draw."""
        if self.ndim and self.size != 1:
            raise DrawsDiffer("several numbers")
        first = self.raw.flat[0]
        if not (self.raw == first).all():
            raise DrawsDiffer("a decision that is not the same for all draws")
        return first.item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Stacked]:
        return (self[i] for i in range(len(self)))

    # -- arithmetic ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and ufunc.signature is None and ufunc.nout == 1:
            # Nearly always; the rest of this is for what is rare.
            if len(inputs) == 1:
                return Stacked(ufunc(self.raw))
            if len(inputs) == 2:
                a, b = inputs
                if type(a) in _KNOWN and type(b) in _KNOWN:
                    return Stacked(ufunc(*aligned_pair(a, b)))
        if not all(map(_is_plain_or_stacked, inputs)):
            return NotImplemented  # the array type that carries stacks knows what to do
        out = kwargs.pop("out", None)
        if out is not None:
            (target,) = out
            if not isinstance(target, Stacked):
                raise DrawsDiffer("a result of many draws in a single array")
            kwargs["out"] = target.raw
        if method == "reduce" and len(inputs) == 1:
            result = _reduced(ufunc, inputs[0], **kwargs)
        elif method == "accumulate":
            axis = inside(kwargs.pop("axis", 0), inputs[0].ndim)
            result = ufunc.accumulate(inputs[0].raw, axis=axis, **kwargs)
        elif method != "__call__":
            raise DrawsDiffer(f"np.{ufunc.__name__}.{method}")
        elif ufunc is np.matmul:
            return _matmul(*inputs, **kwargs)
        elif ufunc.signature is not None:
            raise DrawsDiffer(f"np.{ufunc.__name__}")
        else:
            given = aligned(*inputs, kwargs.pop("where", True))
            where = {} if given[-1] is True else {"where": given[-1]}
            result = ufunc(*given[:-1], **where, **kwargs)
        return out[0] if out is not None else Stacked(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # Imported here: the functions are written in terms of this class.
        from agreement.stacked_functions import FUNCTIONS

        if not all(issubclass(kind, np.ndarray | Stacked) for kind in types):
            return NotImplemented
        if func not in FUNCTIONS:
            raise DrawsDiffer(f"np.{func.__name__}")
        return FUNCTIONS[func](*args, **kwargs)

    def special(self, name: str) -> Stacked:
        """A function that NumPy lacks; see ``manual_backprop.special``."""
        return Stacked(SPECIAL[name](self.raw))

    # -- reductions ---------------------------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Stacked:
        """As ndarray.sum."""
        axes = inside(axis, self.ndim)
        return Stacked(self.raw.sum(axis=axes, keepdims=keepdims, **options))

    def mean(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Stacked:
        """As ndarray.mean."""
        axes = inside(axis, self.ndim)
        return Stacked(self.raw.mean(axis=axes, keepdims=keepdims, **options))

    def max(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Stacked:
        """As ndarray.max."""
        axes = inside(axis, self.ndim)
        return Stacked(self.raw.max(axis=axes, keepdims=keepdims, **options))

    def min(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Stacked:
        """As ndarray.min."""
        axes = inside(axis, self.ndim)
        return Stacked(self.raw.min(axis=axes, keepdims=keepdims, **options))

    def prod(self, axis: Any = None, keepdims: bool = False) -> Stacked:
        """As ndarray.prod."""
        return Stacked(self.raw.prod(axis=inside(axis, self.ndim), keepdims=keepdims))

    def any(self, axis: Any = None, keepdims: bool = False) -> Stacked:
        """As ndarray.any."""
        return Stacked(self.raw.any(axis=inside(axis, self.ndim), keepdims=keepdims))

    def all(self, axis: Any = None, keepdims: bool = False) -> Stacked:
        """As ndarray.all."""
        return Stacked(self.raw.all(axis=inside(axis, self.ndim), keepdims=keepdims))

    def cumsum(self, axis: Any = None) -> Stacked:
        """As ndarray.cumsum."""
        if axis is None:
            return self.ravel().cumsum(0)
        return Stacked(self.raw.cumsum(axis=inside(axis, self.ndim)))

    def cumprod(self, axis: int) -> Stacked:
        """As ndarray.cumprod."""
        return Stacked(self.raw.cumprod(axis=inside(axis, self.ndim)))

    # -- rearrangements: views where NumPy's are views ----------------------------------------

    @property
    def T(self) -> Stacked:
        """The transposed array."""
        return self.transpose()

    def transpose(self, *axes: Any) -> Stacked:
        """As ndarray.transpose."""
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = () if axes[0] is None else tuple(axes[0])
        order = axes or range(self.ndim - 1, -1, -1)
        return Stacked(self.raw.transpose(0, *(a % self.ndim + 1 for a in order)))

    def reshape(self, *shape: Any, **options: Any) -> Stacked:
        """As ndarray.reshape."""
        if len(shape) == 1 and not isinstance(shape[0], int | np.integer):
            shape = tuple(shape[0])
        if -1 in shape:
            others = -int(np.prod(shape))
            shape = tuple(self.size // max(others, 1) if n == -1 else n for n in shape)
        return Stacked(self.raw.reshape(len(self.raw), *shape, **options))

    def ravel(self) -> Stacked:
        """As ndarray.ravel."""
        return Stacked(self.raw.reshape(len(self.raw), -1))

    def squeeze(self, axis: Any = None) -> Stacked:
        """As ndarray.squeeze."""
        if axis is None:
            axis = tuple(i for i, n in enumerate(self.shape) if n == 1)
        return Stacked(self.raw.squeeze(axis=inside(axis, self.ndim)))

    def copy(self, order: Any = "C") -> Stacked:
        """An independent copy."""
        return Stacked(self.raw.copy(order))

    def flatten(self) -> Stacked:
        """As ndarray.flatten."""
        return self.ravel().copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stacked:
        return self.copy()

    def astype(self, dtype: DTypeLike, copy: bool = True) -> Stacked:
        """As ndarray.astype."""
        return Stacked(self.raw.astype(dtype, copy=copy))

    def __getitem__(self, index: Any) -> Stacked:
        leading, view, inner = _located(self.raw, index)
        found = view[inner]
        if leading:
            behind = np.ndim(inner[0])  # NumPy has put them behind those of the index
            found = np.moveaxis(found, range(behind, behind + leading), range(1, 1 + leading))
        return Stacked(found)

    def __setitem__(self, index: Any, new: Any) -> None:
        if isinstance(index, Stacked) and index.dtype == bool:
            mask = index.raw.reshape(index.raw.shape + (1,) * (self.ndim - index.ndim))
            if np.ndim(new):
                raise DrawsDiffer("numbers for the elements of a mask")
            np.copyto(self.raw, _spread(new, self.ndim), where=mask)
            return
        leading, view, inner = _located(self.raw, index)
        if isinstance(new, Stacked) or leading:
            target = self[index]
            new = _spread(new, target.ndim)
            if leading:
                behind = np.ndim(inner[0])
                new = np.broadcast_to(new, target.raw.shape)
                new = np.moveaxis(new, range(1, 1 + leading), range(behind, behind + leading))
        view[inner] = new


# What is met most often.
_SCALARS = frozenset({bool, int, float})
_KNOWN = _SCALARS | {Stacked, np.ndarray, np.float64, np.float32, np.bool_}


def _operator(ufunc: np.ufunc) -> Any:
    """The operator of a ufunc, without NumPy's detour where both operands are stacks."""

    def operate(self: Stacked, other: Any) -> Any:
        if type(other) is Stacked and self.raw.ndim == other.raw.ndim:
            return Stacked(ufunc(self.raw, other.raw))
        return ufunc(self, other)

    return operate


for _name, _ufunc in {
    "__add__": np.add,
    "__sub__": np.subtract,
    "__mul__": np.multiply,
    "__truediv__": np.divide,
    "__and__": np.bitwise_and,
    "__or__": np.bitwise_or,
    "__gt__": np.greater,
    "__ge__": np.greater_equal,
    "__lt__": np.less,
    "__le__": np.less_equal,
    "__eq__": np.equal,
    "__ne__": np.not_equal,
}.items():
    setattr(Stacked, _name, _operator(_ufunc))


def _is_plain_or_stacked(x: Any) -> bool:
    return isinstance(x, Stacked | np.ndarray | np.generic | bool | int | float)


def inside(axis: Any, ndim: int) -> Any:
    """An axis of one draw, several, or all of them, as axes of ``raw``."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, tuple | list):
        return tuple(a % ndim + 1 for a in axis)
    return axis % ndim + 1


def _spread(x: Any, ndim: int) -> Any:
    """An operand as a raw one that broadcasts with draws of ``ndim`` axes."""
    if not isinstance(x, Stacked):
        return x
    missing = ndim - x.ndim
    if missing <= 0:
        return x.raw
    return x.raw.reshape(len(x.raw), *(1,) * missing, *x.raw.shape[1:])


def aligned_pair(a: Any, b: Any) -> tuple[Any, Any]:
    """``aligned``, of two: most operands have as many axes, or none."""
    if type(a) is not Stacked:
        missing = 0 if type(a) in _SCALARS else a.ndim - b.raw.ndim + 1
        return a, b.raw if missing <= 0 else _spread(b, a.ndim)
    if type(b) is not Stacked:
        missing = 0 if type(b) in _SCALARS else b.ndim - a.raw.ndim + 1
        return (a.raw if missing <= 0 else _spread(a, b.ndim)), b
    x, y = a.raw, b.raw
    if x.ndim == y.ndim:
        return x, y
    ndim = max(x.ndim, y.ndim) - 1
    return _spread(a, ndim), _spread(b, ndim)


def aligned(*operands: Any) -> tuple[Any, ...]:
    """Operands as raw ones that broadcast as the draws do."""
    ndims = [0 if type(x) in _SCALARS else x.ndim for x in operands]
    ndim = max(ndims)
    return tuple([_spread(x, ndim) for x in operands])


def _reduced(ufunc: np.ufunc, array: Any, axis: Any = 0, **options: Any) -> Array:
    if not isinstance(array, Stacked) or isinstance(options.get("where"), Stacked):
        raise DrawsDiffer(f"np.{ufunc.__name__}.reduce with these arguments")
    return ufunc.reduce(array.raw, axis=inside(axis, array.ndim), **options)


def _matmul(a: Any, b: Any, **options: Any) -> Stacked:
    """a @ b; a vector is a matrix of one row or column."""
    if options:
        raise DrawsDiffer("np.matmul with options")
    if np.ndim(b) == 1:
        return _matmul(a, b[:, None])[..., 0]
    if np.ndim(a) == 1:
        return _matmul(a[None], b)[..., 0, :]
    return Stacked(np.matmul(*aligned(a, b)))


def _located(raw: Array, index: Any) -> tuple[int, Array, tuple[Any, ...]]:
    """Where an index of one draw points in all: a view of them, and an index into that.

    NumPy puts the axes of indices that differ between draws in front of the leading axes, those
    of slices before them. So these are moved behind them; their number comes first.
    """
    parts = index if isinstance(index, tuple) else (index,)
    stacked = [x for x in parts if isinstance(x, Stacked)]
    if not stacked:
        return 0, raw, (slice(None), *_same_for_all(parts))
    if any(x.dtype == bool for x in stacked):
        raise DrawsDiffer("elements by a mask")
    leading = next(i for i, x in enumerate(parts) if not isinstance(x, slice))
    last = max(i for i, x in enumerate(parts) if not isinstance(x, slice))
    chosen = parts[leading : last + 1]
    if not all(isinstance(x, Stacked | np.ndarray | int | np.integer) for x in chosen):
        raise DrawsDiffer("an index of this kind")
    view = raw[(slice(None), *parts[:leading])]
    behind = 1 + len(chosen)
    view = np.moveaxis(view, range(1, 1 + leading), range(behind, behind + leading))
    ndim = max(np.ndim(x) for x in chosen)
    own = np.arange(len(raw)).reshape(len(raw), *(1,) * ndim)
    after = (slice(None),) * leading * bool(parts[last + 1 :]) + parts[last + 1 :]
    return leading, view, (own, *(_spread(x, ndim) for x in chosen), *after)


def _same_for_all(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """An index, if an axis in front of it would not change its meaning."""
    arrays = [i for i, x in enumerate(parts) if isinstance(x, np.ndarray | list)]
    if arrays:
        first, last = arrays[0], arrays[-1]
        if any(isinstance(x, slice) or x is None or x is ... for x in parts[first:last]):
            raise DrawsDiffer("an index whose arrays are apart")
        if any(isinstance(x, int) for x in (*parts[:first], *parts[last:])):
            raise DrawsDiffer("an index of arrays and numbers")
    return parts
