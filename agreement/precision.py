"""The working precision that a bound speaks of: unit roundoff, underflow and overflow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

# Bounds are evaluated in float64, whose own unit roundoff every rule adds.
CENTRE_ROUNDOFF = 2.0**-53
# And an error is a float64 result itself, of a few roundings: so much more makes up for them.
SLACK = 1 + 8 * CENTRE_ROUNDOFF
# Rounding on the way can carry a number that is a little below the largest over it.
HEADROOM = 1 - 2.0**-10
# The growth of more roundings than 1/u: no bound, but a number, so that 0 times it is 0.
UNLIMITED = 2.0**512


@dataclass(frozen=True, eq=False)
class Precision:
    """A floating-point format.

    Attributes:
        dtype: the NumPy dtype of the numbers that are judged.
        roundoff: the format's unit roundoff u plus the centre's.
        smallest_normal: results below it may be flushed to zero or kept.
        largest: the largest finite number, less some headroom for rounding.
    """

    dtype: np.dtype[Any]
    roundoff: float
    smallest_normal: float
    largest: float

    def gamma(self, operations: int) -> float:
        """γₙ = nu / (1 − nu): the growth of n roundings (Higham, ch. 3)."""
        nu = operations * self.roundoff
        return nu / (1 - nu) if nu < 1 else UNLIMITED


@cache
def precision_of(dtype: DTypeLike) -> Precision:
    """The :class:`Precision` of a NumPy float dtype."""
    resolved = np.dtype(dtype).newbyteorder("=")
    info = np.finfo(resolved)
    return Precision(
        dtype=resolved,
        roundoff=float(info.eps) / 2 + CENTRE_ROUNDOFF,
        smallest_normal=float(info.smallest_normal),
        largest=float(info.max) * HEADROOM,
    )
