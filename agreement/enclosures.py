"""Values with errors as storage: views alias as NumPy's do, and conversions are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from agreement.alike import Flag, as_array, as_draws, as_new_array
from agreement.complaints import callers_line
from agreement.precision import Precision, is_float
from agreement.stacked import Stacked
from manual_backprop.typing import Array

Move: TypeAlias = Callable[[Array], Array]


class Enclosures:
    """The storage of a ``BoundedArray``, see there; no arithmetic.

    What a view shares with the array that it is a view of, it asks that array for.
    """

    runs_derivations = True
    __slots__ = (
        "_exact",
        "_limited",
        "_smooth_error",
        "divisor",
        "error",
        "move",
        "parent",
        "precision",
        "summed",
        "terms",
        "value",
        "writes",
    )

    def __init__(
        self,
        value: Array,
        error: Array,
        precision: Precision,
        *,
        smooth_error: Array | None = None,
        exact: Flag = False,
        limited: bool = True,
        terms: int = 0,
    ) -> None:
        if isinstance(value, Stacked) != isinstance(error, Stacked):
            value, error = as_draws(value, error), as_draws(error, value)
        self.value = value
        self.error = error
        self.precision = precision
        self.terms = terms
        self.divisor: Any = None
        self.summed: Any = None
        self.writes = 0
        self.parent: Self | None = None
        self.move: Move = as_array
        self._smooth_error = smooth_error
        self._exact = exact
        self._limited = limited

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.precision.dtype)

    @property
    def exact(self) -> Flag:
        """Whether every error is known to be zero, also in what shares this memory."""
        return self._exact if self.parent is None else self.parent.exact

    @exact.setter
    def exact(self, exact: Flag) -> None:
        if self.parent is not None:
            self.parent.exact = exact
        self._exact = exact

    @property
    def limited(self) -> bool:
        """False once an error, also in what shares this memory, may be ∞."""
        return self._limited if self.parent is None else self.parent.limited

    @limited.setter
    def limited(self, limited: bool) -> None:
        if self.parent is not None:
            self.parent.limited = limited
        self._limited = limited

    @property
    def root(self) -> Self:
        """The array whose memory this shares, or itself."""
        return self if self.parent is None else self.parent.root

    @property
    def smooth_error(self) -> Array | None:
        """See the class."""
        if self._smooth_error is None and self.parent is not None:
            above = self.parent.smooth_error
            self._smooth_error = None if above is None else as_array(self.move(above))
        return self._smooth_error

    def _split(self) -> None:
        """Have a smooth error from here on, together with what shares this memory."""
        if self.smooth_error is None:
            if self.parent is None:
                self._smooth_error = as_new_array(self.error)
            else:
                self.parent._split()

    @property
    def smooth(self) -> Array:
        """``smooth_error``, or ``error`` where no mask upstream was undecided."""
        return self.error if self.smooth_error is None else self.smooth_error

    def __repr__(self) -> str:
        return f"BoundedArray({self.value!r} ± {self.error!r}, {self.dtype})"

    # -- conversion: never silently ------------------------------------------------------

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        raise TypeError(
            f"{callers_line()}: an error-carrying array would become a plain one here and lose "
            f"its bounds; write this line with ufuncs, @, reductions, np.where or *_like."
        )

    def _refuse(self, *_: Any) -> Any:
        return self.__array__()

    __float__ = __int__ = __bool__ = __index__ = item = tolist = _refuse

    def __len__(self) -> int:
        return len(self.value)

    # -- rearrangements: views where NumPy's are views ------------------------------------

    def rearranged(self, move: Move) -> Self:
        """Apply a rearrangement of elements to value and errors alike."""
        if self.error.strides != self.value.strides and self.parent is None:
            self._lay_out()
        error = as_array(move(self.error))
        result = type(self)(
            as_array(move(self.value)),
            error,
            self.precision,
            exact=self.exact,
            limited=self.limited,
            terms=self.terms,
        )
        if np.may_share_memory(error, self.error):
            result.parent, result.move = self, move
        elif self.smooth_error is not None:
            result._smooth_error = as_array(move(self.smooth_error))
        return result

    def _lay_out(self) -> None:
        """Lay the errors out in memory as the values are, so that views of them correspond."""

        def alike(x: Array) -> Array:
            result = np.empty_like(self.value)
            result[...] = x
            return result

        self.error = alike(self.error)
        if self._smooth_error is not None:
            self._smooth_error = alike(self._smooth_error)

    @property
    def T(self) -> Self:
        """The transposed array."""
        return self.rearranged(np.transpose)

    def copy(self, order: str = "C") -> Self:
        """An independent copy."""
        return self.rearranged(lambda x: x.copy(order))

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def astype(self, dtype: DTypeLike, copy: bool = True) -> Self:
        """A copy in the working precision: narrowing on the way earns no wider bound."""
        if not is_float(dtype):
            raise TypeError(f"{callers_line()}: astype({dtype}) would lose the error bound.")
        return self.copy()

    def reshape(self, *shape: Any, **kwargs: Any) -> Self:
        """As ndarray.reshape."""
        return self.rearranged(lambda x: x.reshape(*shape, **kwargs))

    def ravel(self) -> Self:
        """As ndarray.ravel."""
        return self.rearranged(np.ravel)

    def flatten(self) -> Self:
        """As ndarray.flatten."""
        return self.rearranged(lambda x: x.flatten())

    def transpose(self, *axes: Any) -> Self:
        """As ndarray.transpose."""
        return self.rearranged(lambda x: x.transpose(*axes))

    def squeeze(self, axis: Any = None) -> Self:
        """As ndarray.squeeze."""
        return self.rearranged(lambda x: x.squeeze(axis))
