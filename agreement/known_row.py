"""What an expected disagreement is; see ``agreement.known``."""

from __future__ import annotations

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
    """

    finding: int
    function: str
    sentence: str
    where: Where
    example: Example
    tensors: tuple[str, ...] = ("grad_inputs",)
    modes: tuple[str, ...] = EVERY_MODE
    dtypes: tuple[str, ...] = EVERY_DTYPE


def is_rounded(number: float) -> bool:
    """Whether float32 cannot hold a number."""
    return float(np.float32(number)) != number


def everywhere(subject: Any, inputs: Array, other: Array) -> Array:
    """Every element."""
    return np.ones(np.shape(inputs), bool)
