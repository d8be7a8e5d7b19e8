"""The working precision that a bound speaks of: unit roundoff, underflow and overflow.

Half types are computed in float32 and rounded, by NumPy and by TensorFlow on CPU. So subnormal
numbers of float16, which are normal in float32, are never flushed to zero; those of bfloat16,
whose exponents are float32's, are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
# What NumPy does not know: the distance from 1 to the next number, the smallest normal number and
# the largest.
FORMATS = {"bfloat16": (2.0**-7, 2.0**-126, (2 - 2.0**-7) * 2.0**127)}
# The growth of more roundings than 1/u: no bound, but a number, so that 0 times it is 0.
UNLIMITED = 2.0**512


@dataclass(frozen=True, eq=False)
class Precision:
    """A floating-point format.

    Attributes:
        dtype: the NumPy dtype of the numbers that are judged.
        roundoff: the format's unit roundoff u plus the centre's.
        smallest_normal: results below it may be flushed to zero or kept. In float16 that is the
            smallest number of all.
        smallest_relative: results below it are rounded by an absolute amount, flushed or not.
        largest: the largest finite number, less some headroom for rounding.
        stores: whether every result is stored, and the same wherever it is used. A compiler may
            compute it again in each place instead, and round it otherwise there.
    """

    dtype: np.dtype[Any]
    roundoff: float
    smallest_normal: float
    smallest_relative: float
    largest: float
    stores: bool = False

    def gamma(self, operations: int) -> float:
        """γₙ = nu / (1 − nu): the growth of n roundings (Higham, ch. 3)."""
        nu = operations * self.roundoff
        return nu / (1 - nu) if nu < 1 else UNLIMITED


@cache
def precision_of(dtype: DTypeLike) -> Precision:
    """The :class:`Precision` of a NumPy float dtype, or of bfloat16."""
    resolved = np.dtype(dtype).newbyteorder("=")
    if resolved.name in FORMATS:
        eps, smallest, largest = FORMATS[resolved.name]
    else:
        info = np.finfo(resolved)
        eps, smallest, largest = float(info.eps), float(info.smallest_normal), float(info.max)
    return Precision(
        dtype=resolved,
        roundoff=eps / 2 + CENTRE_ROUNDOFF,
        smallest_normal=smallest * eps if resolved == np.float16 else smallest,
        smallest_relative=smallest,
        largest=largest * min(HEADROOM, 1 - eps),
    )


@cache
def storing(precision: Precision) -> Precision:
    """The same precision of a program that stores every result.

    Half types are kept wider within a kernel, so that nobody can tell what was stored.
    """
    return replace(precision, stores=precision.dtype.itemsize > 2)


def is_float(dtype: DTypeLike) -> bool:
    """Whether numbers of a dtype are of a floating-point format: to NumPy, bfloat16's are not."""
    resolved = np.dtype(dtype)
    return resolved.kind == "f" or resolved.name in FORMATS
