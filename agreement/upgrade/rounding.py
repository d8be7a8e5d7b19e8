r"""Whether two tensors differ by rounding only.

Bitwise equal numbers are identical. Others differ by *rounding*

(1) where a derivation by hand bounds them: if both lie within the bound, or no farther apart;
(2) elsewhere, or where the bound is wider than 2⁻¹⁰ of the numbers: if the difference shrinks
    with the unit roundoff. With r the largest difference relative to the tensor's largest number:
    r in float64 ≤ max(2¹⁰ · 2⁻⁵³, 2⁻¹⁹ r in float32), and r in float32 ≤ 2⁻¹³.

(3) where the numbers themselves are what rounding left of a zero: if the difference is within 2⁶
    roundoffs of the largest number of the case, in both dtypes.

A tensor of the same dtype in both, which a layer with a dtype of its own gives, may differ by 2¹⁰
of its roundoffs. In (2), 2⁻¹⁹ is the ratio 2⁻²⁹ of the roundoffs with a factor of 2¹⁰ for
amplification that is not the same in both; and 2⁻¹³, two thousand roundoffs of float32, is a
quarter of one of float16, so that what passes through half precision is a change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agreement.upgrade.outcomes import Expected
from agreement.upgrade.recording import Case
from manual_backprop.typing import Array

ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}
AMPLIFICATION = 2.0**10
LARGEST_ROUNDING = 2.0**-13
BLUNT = 2.0**-10
NEARBY = 2.0**6


def equal(a: Array, b: Array) -> Array:
    """The same number in each element; here NaN equals NaN."""
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def relative(a: Array, b: Array) -> Array:
    """|b − a| / max(|a|, |b|) of each element; infinite where one alone is not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        ratio = np.abs(b / 2 - a / 2) / np.maximum(np.abs(a), np.abs(b)) * 2
    ratio = np.where(np.isfinite(a) & np.isfinite(b), ratio, np.inf)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, ratio)


def is_rounding(a: Array, b: Array, expected: Expected | None, shrinks: bool) -> Array:
    """For each element, by (1) or (2)."""
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return np.zeros(a.shape, bool)
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    if expected is None:
        return finite & shrinks
    with np.errstate(all="ignore"):
        value, error = expected.value, expected.error
        both = (np.abs(x - value) <= error) & (np.abs(y - value) <= error)
        within = finite & (both | (np.abs(y - x) <= error))
        blunt = ~(error <= BLUNT * np.maximum(np.abs(x), np.abs(y)))
    # An infinite bound allows anything, so that only (2) can tell.
    return np.where(blunt, finite & shrinks & (within | np.isinf(error)), within)


@dataclass(frozen=True)
class Spread:
    """How far two tensors are apart: the largest difference, and their largest number."""

    difference: float
    scale: float

    @staticmethod
    def of(a: Array, b: Array) -> Spread:
        """NaN and ∞ are left out."""
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.any():
            return Spread(0.0, 0.0)
        a, b = a[finite], b[finite]
        with np.errstate(all="ignore"):
            difference = float(np.abs(b - a).max())
        return Spread(difference, max(float(np.abs(a).max()), float(np.abs(b).max())))

    @property
    def relative(self) -> float:
        return self.difference / self.scale if self.scale else 0.0


def shrinks(own: Spread, other: Spread | None, dtype: str, around: float) -> bool:
    """(2) and (3), of a tensor as a whole; ``around`` is the case's largest number."""
    cancelled = NEARBY * around
    if other is None:
        limit = max(AMPLIFICATION * own.scale, cancelled)
        return own.difference <= limit * ROUNDOFF.get(dtype, 0.0)
    single, double = (own, other) if dtype == "float32" else (other, own)
    if max(single.difference / ROUNDOFF["float32"], double.difference / ROUNDOFF["float64"]) <= (
        cancelled
    ):
        return True
    limit = max(AMPLIFICATION * ROUNDOFF["float64"], single.relative * 2.0**-19)
    return double.relative <= limit and (dtype == "float64" or single.relative <= LARGEST_ROUNDING)


def largest(case: Case) -> float:
    """The largest finite number among the inputs and results of a case."""
    found = 0.0
    for array in (*case.inputs.values(), *case.observation.tensors.values()):
        if array.dtype.kind == "f" and array.size:
            finite = np.abs(array[np.isfinite(array)])
            found = max(found, float(finite.max(initial=0)))
    return found
