r"""Reproducible numbers that depend on no release of NumPy or Hypothesis: splitmix64, counted.

The i-th number of a stream is a hash of the stream's name and of i alone (Steele, Lea, Flood,
*Fast splittable pseudorandom number generators*, 2014):

(1) s = the first 8 bytes of BLAKE2b(name); z = s + (i + 1) · 0x9E3779B97F4A7C15 mod 2⁶⁴
(2) z ← (z ⊕ z ≫ 30) · 0xBF58476D1CE4E5B9;  z ← (z ⊕ z ≫ 27) · 0x94D049BB133111EB;  z ⊕ z ≫ 31
(3) a uniform number in [0, 1) is (z ≫ 11) · 2⁻⁵³, exactly

Integers wrap, and (3) is exact, so that every machine and every NumPy draws the same bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from manual_backprop.typing import Array

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Counter:
    """A stream of numbers with a name; streams of other names have nothing in common.

    Args:
        name: any text.
    """

    def __init__(self, name: str) -> None:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        self._start = np.frombuffer(digest, "<u8").astype(np.uint64)
        self._taken = 0

    def bits(self, count: int) -> Array:
        """The next ``count`` numbers of 64 bits, uint64 (count,)."""
        index = np.arange(self._taken + 1, self._taken + count + 1, dtype=np.uint64)
        self._taken += count
        z = self._start + index * _GAMMA  # (1); arrays of unsigned integers wrap
        z = (z ^ (z >> np.uint64(30))) * _FIRST  # (2)
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        return z ^ (z >> np.uint64(31))

    def uniform(self, low: float, high: float, shape: Sequence[int]) -> Array:
        """Numbers in [low, high), float64 of that shape."""
        unit = (self.bits(math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53  # (3)
        return (low + (high - low) * unit).reshape(shape)

    def integers(self, low: int, high: int, shape: Sequence[int]) -> Array:
        """Integers in [low, high), int64 of that shape."""
        drawn = self.bits(math.prod(shape)) % np.uint64(high - low)
        return (drawn.astype(np.int64) + low).reshape(shape)

    def choice(self, among: Sequence[float] | Array, shape: Sequence[int]) -> Array:
        """Members of ``among``, of that shape."""
        known = np.asarray(among)
        return known[self.integers(0, len(known), shape)]
