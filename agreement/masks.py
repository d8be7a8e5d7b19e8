"""Three-valued masks: true, false, or undecided because the operands' bounds overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

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
    """

    __slots__ = ("undecided", "value")

    def __init__(self, value: Array, undecided: Array | None = None) -> None:
        self.value = np.asarray(value)
        self.undecided = undecided if undecided is not None and undecided.any() else None

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)

    @property
    def T(self) -> Mask:
        """The transposed mask."""
        return Mask(self.value.T, None if self.undecided is None else self.undecided.T)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Mask:
        undecided = None if self.undecided is None else self.undecided[index]
        return Mask(self.value[index], undecided)

    def reshape(self, *shape: Any) -> Mask:
        """The mask in another shape."""
        undecided = None if self.undecided is None else self.undecided.reshape(*shape)
        return Mask(self.value.reshape(*shape), undecided)

    def copy(self) -> Mask:
        """An independent copy."""
        return Mask(self.value.copy(), None if self.undecided is None else self.undecided.copy())

    def astype(self, dtype: Any, copy: bool = True) -> Mask:
        """The mask itself: it counts as 0 and 1 wherever numbers are expected."""
        return self

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

        if any(isinstance(x, BoundedArray) for x in inputs):
            return NotImplemented  # the error-carrying operand knows what to do
        if method == "__call__" and not kwargs and ufunc in _LOGICAL:
            masks = [x if isinstance(x, Mask) else Mask(np.asarray(x, dtype=bool)) for x in inputs]
            return _LOGICAL[ufunc](*masks)
        plain = [x._decided(ufunc.__name__) if isinstance(x, Mask) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)


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
