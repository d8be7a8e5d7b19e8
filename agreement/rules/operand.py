"""What a rule takes and gives, and rounding the evaluation of a rule itself outwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from agreement.alike import Flag
from manual_backprop.typing import Array


class Operand(Protocol):
    """A value, its error, and whether every error is known to be zero."""

    @property
    def value(self) -> Array: ...

    @property
    def error(self) -> Array: ...

    @property
    def exact(self) -> Flag: ...


Moved: TypeAlias = tuple[Array, Array]
Rule: TypeAlias = Callable[..., Moved]


class Primitive(NamedTuple):
    """A rule and the allowance, by name, that its rounding takes."""

    rule: Rule
    allowance: str


# A few roundings of the centre: ends of intervals are moved by so much, outwards.
OUTWARDS = 2.0**-50


def nearest_to_0(a: Operand) -> Array:
    """A magnitude that no number of the interval falls below, |v| − e or just less."""
    nearest: Array = np.maximum(np.abs(a.value) * (1 - OUTWARDS) - a.error, 0)
    return nearest
