"""Expected disagreements: where the installed Keras differs from mathematics and its documentation.

The manual code never follows a bug. Such a place is declared here with its finding
(docs/findings.md) and the elements at which it shows; there a disagreement is called KNOWN. It
is still judged: a disagreement anywhere else, or of another function, is one as ever, and a test
demands that each row's example disagrees, so that the release which mends it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray
from manual_backprop.catalogue import Catalogued
from manual_backprop.regularizers import L1, L1L2, L2, OrthogonalRegularizer
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


def everywhere(subject: Any, inputs: Array, other: Array) -> Array:
    """Every element."""
    return np.ones(np.shape(inputs), bool)


def single_vector(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if there is a single row (or column) to be orthogonal to the others."""
    count = inputs.shape[0] if subject.mode == "rows" else inputs.shape[1]
    return np.full(inputs.shape, count == 1)


def factor_is_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if float32 cannot hold one of the factors."""
    factors = [value for value in subject.arguments.values() if isinstance(value, float)]
    return np.full(np.shape(inputs), any(np.float32(factor) != factor for factor in factors))


FACTOR = "Keras rounds the factor to float32, also for float64 weights"
REGULARIZERS: tuple[KnownDisagreement, ...] = (
    KnownDisagreement(
        6,
        "orthogonal_regularizer",
        "a single row has no pairs: Keras divides 0 by 0, the penalty is 0",
        single_vector,
        (OrthogonalRegularizer(), [[0.5, -1.0, 2.0]], [[0.0]]),
        tensors=("penalty", "grad_inputs"),
    ),
    *(
        KnownDisagreement(
            7,
            subject.name,
            FACTOR,
            factor_is_rounded,
            (subject, [[0.5, -1.0, 2.0], [1.0, 2.0, -1.0]], [[0.0]]),
            tensors=("penalty", "grad_inputs"),
            dtypes=("float64",),
        )
        for subject in (L1(0.3), L2(0.3), L1L2(0.3, 0.3), OrthogonalRegularizer(0.3))
    ),
)
KNOWN: tuple[KnownDisagreement, ...] = (*REGULARIZERS,)


def known_for(subject: Catalogued, tensor: str, mode: str, dtype: str) -> list[KnownDisagreement]:
    """The rows that concern one tensor of a function in a mode and dtype."""
    return [
        row
        for row in KNOWN
        if row.function == subject.name
        and tensor in row.tensors
        and mode in row.modes
        and dtype in row.dtypes
    ]


def explained_by(
    subject: Catalogued,
    tensor: str,
    mode: str,
    inputs: Array,
    other: Array,
    actual: Array,
    wanted: BoundedArray,
) -> KnownDisagreement | None:
    """The row that explains every element outside its bound, or None."""
    rows = known_for(subject, tensor, mode, np.asarray(inputs).dtype.name)
    if not rows:
        return None
    with np.errstate(all="ignore"):
        outside = ~(np.abs(np.asarray(actual, np.float64) - wanted.value) <= wanted.error)
        outside &= np.isfinite(wanted.error)
        for row in rows:
            shows = np.asarray(row.where(subject, inputs, other), dtype=bool)
            if outside.shape != shows.shape:
                shows = np.broadcast_to(shows.any(), outside.shape)  # of a loss, or of fewer units
            if not (outside & ~shows).any():
                return row
    return None
