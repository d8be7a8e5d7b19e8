"""What an expected disagreement is; see ``agreement.known``."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.catalogue import Catalogued
from manual_backprop.typing import Array

EVERY_MODE = ("keras", "keras-graph", "keras-xla")
EVERY_DTYPE = ("float32", "float64")
# From (function, inputs, upstream gradient or targets) to the elements where it shows, boolean,
# of the inputs' shape.
Where: TypeAlias = Callable[[Any, Array, Array], Array]
# From a function to one that computes what Keras does.
Instead: TypeAlias = Callable[[Any], Any]
# What Keras gives where a product or quotient on its way has left the range; see ``gives``.
NOT_FINITE = (math.nan, math.inf, -math.inf)
# A function with inputs, and the upstream gradient or the targets.
Example: TypeAlias = tuple[Catalogued, Sequence[Any], Sequence[Any]]


@dataclass(frozen=True)
class KnownDisagreement:
    """One row.

    Attributes:
        finding: its number in docs/findings.md. function: the name in the catalogue.
        sentence: what Keras does there, and what is right.
        where: the elements at which it shows.
        example: numbers at which it must show, in every mode, dtype and tensor of the row.
        tensors: "output" (or "loss") and "grad_inputs", as far as concerned.
        modes, dtypes: in which it shows.
        instead: from the function to what Keras computes, where that can be said: then nothing
            else is explained. Itself where the row does not concern its arguments.
        computes_in: the dtype in which Keras computes that, "" for the inputs'.
        gives: the only numbers that Keras may return there, where that is all that can be said.
    """

    finding: int
    function: str
    sentence: str
    where: Where
    example: Example
    tensors: tuple[str, ...] = ("grad_inputs",)
    modes: tuple[str, ...] = EVERY_MODE
    dtypes: tuple[str, ...] = EVERY_DTYPE
    instead: Instead | None = None
    computes_in: str = ""
    gives: tuple[float, ...] = ()


def is_rounded(number: float) -> bool:
    """Whether float32 cannot hold a number."""
    return float(np.float32(number)) != number


def rounded(number: Any) -> Any:
    """The nearest float32 number of a float, or of each in a tuple; anything else as it is."""
    if isinstance(number, tuple):
        return tuple(map(rounded, number))
    return float(np.float32(number)) if isinstance(number, float) else number


def rounding(*names: str) -> Instead:
    """The function with arguments, or constants, rounded to float32."""
    return lambda subject: with_attributes(
        subject, **{name: rounded(getattr(subject, name)) for name in names}
    )


def with_attributes(subject: Any, **attributes: Any) -> Any:
    """A copy with other attributes."""
    made = copy.copy(subject)
    vars(made).update(attributes)
    return made


def with_methods(**methods: Callable[..., Any]) -> Instead:
    """The function with other methods; each is given the original one before its arguments."""

    def instead(subject: Any) -> Any:
        kind = type(subject)
        bound = {
            name: functools.partialmethod(method, getattr(kind, name))
            for name, method in methods.items()
        }
        made = copy.copy(subject)
        made.__class__ = type(kind.__name__, (kind,), bound)
        return made

    return instead


def everywhere(subject: Any, inputs: Array, other: Array) -> Array:
    """Every element."""
    return np.ones(np.shape(inputs), bool)
