"""Three-valued masks: true, false, or undecided because the operands' bounds overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from agreement.alike import Flag, as_array, as_new_array, has_none, somewhere
from agreement.precision import Precision
from manual_backprop.typing import Array

COMPLAINT = (
    "{name} of a comparison that rounding could turn either way; "
    "a gradient must not branch on it in Python: use np.where or multiply by the mask."
)


class Mask(NDArrayOperatorsMixin):
    """The outcome of comparing error-carrying arrays.

    Attributes:
        value: the centre's decision, boolean.
        undecided: where a correct evaluation may decide otherwise; None where nowhere.
        precision: of the arrays that were compared; None for a mask from elsewhere.
    """

    __slots__ = ("precision", "undecided", "value")

    def __init__(
        self, value: Array, undecided: Array | None = None, precision: Precision | None = None
    ) -> None:
        self.value = as_array(value)
        self.undecided = None
        if undecided is not None and somewhere(undecided):
            self.undecided = as_array(undecided)
        self.precision = precision

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)

    @property
    def T(self) -> Mask:
        """The transposed mask."""
        return self._rearranged(np.transpose)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Mask:
        return self._rearranged(lambda x: x[index])

    def reshape(self, *shape: Any) -> Mask:
        """The mask in another shape."""
        return self._rearranged(lambda x: x.reshape(*shape))

    def copy(self) -> Mask:
        """An independent copy."""
        return self._rearranged(as_new_array)

    def _rearranged(self, move: Callable[[Array], Array]) -> Mask:
        undecided = None if self.undecided is None else move(self.undecided)
        return Mask(move(self.value), undecided, self.precision)

    def astype(self, dtype: Any, copy: bool = True) -> Mask:
        """The mask itself: it counts as 0 and 1 wherever numbers are expected."""
        return self

    @property
    def is_decided(self) -> Flag:
        """Whether nothing is undecided."""
        return True if self.undecided is None else has_none(self.undecided)

    @property
    def decided(self) -> Array:
        """The mask as a plain one."""
        return self._decided("conversion to an array")

    def __bool__(self) -> bool:
        return bool(self._decided("the truth value"))

    def any(self, *args: Any, **kwargs: Any) -> Any:
        """As ndarray.any, where every element is decided."""
        return self._decided("any()").any(*args, **kwargs)

    def all(self, *args: Any, **kwargs: Any) -> Any:
        """As ndarray.all, where every element is decided."""
        return self._decided("all()").all(*args, **kwargs)

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        """As ndarray.sum, where every element is decided."""
        return self._decided("sum()").sum(*args, **kwargs)

    def _decided(self, name: str) -> Array:
        if self.undecided is not None:
            raise TypeError(COMPLAINT.format(name=name))
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._decided("conversion to an array"), dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from agreement.bounded import BoundedArray

        out = kwargs.pop("out", None)
        if any(isinstance(x, BoundedArray) for x in inputs):
            return NotImplemented  # the error-carrying operand knows what to do
        if method == "__call__" and not kwargs and ufunc in _LOGICAL:
            masks = [x if isinstance(x, Mask) else Mask(as_array(x, bool)) for x in inputs]
            result = _LOGICAL[ufunc](*masks)
            result.precision = self.precision
        else:
            numbers = [x._as_operand(ufunc.__name__) if isinstance(x, Mask) else x for x in inputs]
            result = getattr(ufunc, method)(*numbers, **kwargs)
        if out is None:
            return result
        if not (isinstance(out[0], Mask) and isinstance(result, Mask)):
            raise TypeError(f"np.{ufunc.__name__} of a mask: cannot be written to out=.")
        out[0].value, out[0].undecided = result.value, result.undecided
        return out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from agreement.bounded import BoundedArray
        from agreement.functions import call

        if BoundedArray in types:
            return NotImplemented  # the error-carrying operand knows what to do
        if self.undecided is None:
            return func(*_without_masks(args), **_without_masks(kwargs))
        return call(func, self._as_operand(func.__name__), args, kwargs)

    def _as_operand(self, name: str) -> Any:
        """The mask as numbers 0 and 1, plain ones where every element is decided."""
        if self.undecided is None or self.precision is None:
            return self._decided(name)
        from agreement.bounded import mask_as_numbers

        return mask_as_numbers(self, self.precision)


def _without_masks(x: Any) -> Any:
    """The same arguments, with plain arrays for decided masks."""
    if isinstance(x, Mask):
        return x._decided("conversion to an array")
    if isinstance(x, list | tuple):
        return type(x)([_without_masks(entry) for entry in x])
    if isinstance(x, dict):
        return {key: _without_masks(entry) for key, entry in x.items()}
    return x


def _undecided(mask: Mask) -> Array:
    return np.zeros(mask.shape, bool) if mask.undecided is None else mask.undecided


def _not(a: Mask) -> Mask:
    return Mask(~a.value, a.undecided)


def _and(a: Mask, b: Mask) -> Mask:
    """Decided false where either side is decided false, whatever the other side is."""
    u, w = _undecided(a), _undecided(b)
    decided_false = (~a.value & ~u) | (~b.value & ~w)
    return Mask(a.value & b.value, (u | w) & ~decided_false)


def _or(a: Mask, b: Mask) -> Mask:
    return _not(_and(_not(a), _not(b)))


def _xor(a: Mask, b: Mask) -> Mask:
    return Mask(a.value ^ b.value, _undecided(a) | _undecided(b))


_LOGICAL: dict[np.ufunc, Callable[..., Mask]] = {
    np.invert: _not,
    np.logical_not: _not,
    np.bitwise_and: _and,
    np.logical_and: _and,
    np.bitwise_or: _or,
    np.logical_or: _or,
    np.bitwise_xor: _xor,
    np.logical_xor: _xor,
}
