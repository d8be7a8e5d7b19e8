"""Expected disagreements: where the installed Keras differs from mathematics and its documentation.

The manual code never follows a bug. Such a place is declared here with its finding
(docs/findings.md) and the elements at which it shows; there a disagreement is called KNOWN. It
is still judged: a disagreement anywhere else, or of another function, is one as ever, and so is one
with what Keras computes instead, where the row says that. A test demands that each row's example
disagrees, so that the release which mends it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from agreement.bounded import BoundedArray
from agreement.known_crossentropy import CROSS_ENTROPIES
from agreement.known_losses import LOSSES
from agreement.known_pieces import PIECEWISE_ACTIVATIONS
from agreement.known_row import NOT_FINITE, KnownDisagreement, is_rounded, rounding
from agreement.known_smooth import SMOOTH_ACTIVATIONS
from agreement.precision import Precision, precision_of
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.catalogue import Catalogued
from manual_backprop.losses import LOSSES as CATALOGUED_LOSSES
from manual_backprop.losses import (
    CategoricalCrossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from manual_backprop.regularizers import L1, L1L2, L2, OrthogonalRegularizer
from manual_backprop.regularizers import REGULARIZERS as CATALOGUED_REGULARIZERS
from manual_backprop.typing import Array

# Every class that may have a row, by the name of its function.
CATALOGUE: dict[str, type[Any]] = {**ACTIVATIONS, **CATALOGUED_LOSSES, **CATALOGUED_REGULARIZERS}
# From a function, and a precision unless it is that of the inputs, to the bound of one tensor.
Expect: TypeAlias = Callable[[Any, Precision | None], BoundedArray | None]


def single_vector(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if there is a single row (or column) to be orthogonal to the others."""
    count = inputs.shape[0] if subject.mode == "rows" else inputs.shape[1]
    return np.full(inputs.shape, count == 1)


def factor_is_rounded(subject: Any, inputs: Array, other: Array) -> Array:
    """Everywhere, if float32 cannot hold one of the factors."""
    factors = [value for value in subject.arguments.values() if isinstance(value, float)]
    return np.full(np.shape(inputs), any(map(is_rounded, factors)))


FACTOR = "Keras rounds the factor to float32, also for float64 weights"
REGULARIZERS: tuple[KnownDisagreement, ...] = (
    KnownDisagreement(
        6,
        "orthogonal_regularizer",
        "a single row has no pairs: Keras divides 0 by 0, the penalty is 0",
        single_vector,
        (OrthogonalRegularizer(), [[0.5, -1.0, 2.0]], [[0.0]]),
        tensors=("penalty", "grad_inputs"),
        gives=NOT_FINITE,
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
            instead=rounding(*(n for n, v in subject.arguments.items() if isinstance(v, float))),
        )
        for subject in (L1(0.3), L2(0.3), L1L2(0.3, 0.3), OrthogonalRegularizer(0.3))
    ),
)


def probability_below_normal(subject: Any, inputs: Array, other: Array) -> Array:
    """Rows with a probability below the smallest normal float16; of logits their softmax."""
    numbers = np.asarray(inputs, np.float64)
    if (numbers < 0).any() or (numbers.sum(axis=-1) > 1.01).any():
        shifted = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
        numbers = shifted / shifted.sum(axis=-1, keepdims=True)
    tiny = (numbers < np.finfo(np.float16).smallest_normal).any(axis=-1, keepdims=True)
    return np.broadcast_to(tiny, numbers.shape)


def either_below_normal(subject: Any, inputs: Array, other: Array) -> Array:
    """Rows in which a prediction or a target is below the smallest normal float16."""
    return probability_below_normal(subject, inputs, other) | probability_below_normal(
        subject, np.abs(other), inputs
    )


HALF_TYPES: tuple[KnownDisagreement, ...] = tuple(
    KnownDisagreement(
        9,
        subject.name,
        "float16 flushes the clip's 1e-7 to 0, and 0/0 or 0·∞ in the gradient is NaN",
        where,
        (subject, [[0.9, 0.1, 1e-7]], targets),
        dtypes=("float16",),
        gives=NOT_FINITE,
    )
    for subject, targets, where in (
        (SparseCategoricalCrossentropy("probabilities"), [0], probability_below_normal),
        (CategoricalCrossentropy("probabilities"), [[1.0, 0.0, 0.0]], probability_below_normal),
        (KLDivergence(), [[1.0, 0.0, 0.0]], either_below_normal),
    )
)
KNOWN: tuple[KnownDisagreement, ...] = (
    *PIECEWISE_ACTIVATIONS,
    *CROSS_ENTROPIES,
    *REGULARIZERS,
    *LOSSES,
    *HALF_TYPES,
    *SMOOTH_ACTIVATIONS,
)


def known_for(subject: Catalogued, tensor: str, mode: str, dtype: str) -> list[KnownDisagreement]:
    """The rows that concern one tensor of a function in a mode and dtype.

    Half types have rows of their own, and those of float32, whose kernels Keras uses for them.
    """
    concerned = {dtype, dtype if dtype == "float64" else "float32"}
    return [
        row
        for row in KNOWN
        if row.function == subject.name
        and tensor in row.tensors
        and mode in row.modes
        and concerned & {*row.dtypes}
    ]


def explained_by(
    subject: Catalogued,
    tensor: str,
    mode: str,
    inputs: Array,
    other: Array,
    actual: Array,
    wanted: BoundedArray,
    expect: Expect,
) -> KnownDisagreement | None:
    """The first row that shows, if rows explain every element outside its bound; else None.

    Args:
        expect: gives the bound of this tensor for another function in the place of ``subject``.
    """
    rows = known_for(subject, tensor, mode, np.asarray(inputs).dtype.name)
    if not rows:
        return None
    if np.asarray(inputs).dtype.itemsize == 2:
        inputs = np.asarray(inputs, np.float32)  # NumPy knows too little of bfloat16
    with np.errstate(all="ignore"):
        if np.shape(actual) == wanted.shape:
            outside = ~(np.abs(np.asarray(actual, np.float64) - wanted.value) <= wanted.error)
            outside &= np.isfinite(wanted.error)
        else:
            outside = np.ones(wanted.shape, bool)
        found = []
        agrees = _agrees_instead(subject, rows, actual, expect) if outside.any() else None
        for row in rows:
            shows = np.asarray(row.where(subject, inputs, other), dtype=bool)
            if outside.shape != shows.shape:
                shows = np.broadcast_to(shows.any(), outside.shape)  # of a loss, or of fewer units
            if row.instead is not None:
                shows = shows & agrees
            if row.gives:
                shows = shows & _is_one_of(actual, row.gives)
            if (outside & shows).any():
                found.append(row)
            outside &= ~shows
        if found and not _is_as_catalogued(subject, wanted, expect):
            return None
    return found[0] if found and not outside.any() else None


def _is_one_of(actual: Array, numbers: Sequence[float]) -> Array:
    """Which elements are one of some numbers, of which NaN may be one."""
    values = np.asarray(actual, np.float64)
    return np.isin(values, [x for x in numbers if x == x]) | (
        np.isnan(values) & any(x != x for x in numbers)
    )


def _is_as_catalogued(subject: Any, wanted: BoundedArray, expect: Expect) -> bool:
    """Whether a subclass of the user's expects what the catalogue's own class does.

    Where Keras is wrong it cannot contradict the user, so that it must not excuse them either.
    """
    kind = CATALOGUE.get(subject.name)
    if kind is None or type(subject) is kind or not isinstance(subject, kind):
        return True
    original = object.__new__(kind)
    vars(original).update(vars(subject))
    bound = expect(original, None)
    if bound is None or bound.shape != wanted.shape:
        return False
    apart = np.abs(bound.value - wanted.value)
    return bool(np.all((apart <= bound.error + wanted.error) | ~(apart == apart)))


def _agrees_instead(
    subject: Catalogued, rows: Sequence[KnownDisagreement], actual: Array, expect: Expect
) -> Array:
    """Which elements agree with what Keras computes instead, if all rows that say so are right."""
    exact = [row for row in rows if row.instead is not None]
    if not exact:
        return np.zeros(np.shape(actual), bool)
    substitute: Any = subject
    for row in exact:
        assert row.instead is not None
        substitute = row.instead(substitute)
    dtypes = {row.computes_in for row in exact} - {""}
    bound = expect(substitute, precision_of(dtypes.pop()) if dtypes else None)
    if bound is None or np.shape(actual) != bound.shape:
        return np.zeros(np.shape(actual), bool)
    within = np.abs(np.asarray(actual, np.float64) - bound.value) <= bound.error
    return within | np.isinf(bound.error)
