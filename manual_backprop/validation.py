"""Coercion and checks at the edges of the library; nothing inside a derivation calls this.

Every function either returns an array that is safe to compute with or raises a
``ValueError`` or ``TypeError`` that names the argument, what came in, what was expected
and how to fix it. An array type of its own (error-carrying, dual) passes unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from manual_backprop.typing import Array

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
INTEGER_MESSAGE = "expected a positive whole number"


def as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a NumPy dtype; anything else is a ``ValueError``."""
    try:
        resolved = np.dtype(dtype)
    except (TypeError, ValueError):
        resolved = None
    # None equals float64 to NumPy, so it has to be asked for by identity.
    if dtype is None or resolved is None or resolved not in FLOAT_DTYPES:
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float64'.")
    return resolved.newbyteorder("=")


def as_count(argument: str, value: object) -> int:
    """Return a positive whole number as an ``int``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument}: got {value!r}, {INTEGER_MESSAGE}.")
    if value < 1:
        raise ValueError(f"{argument}: got {value}, {INTEGER_MESSAGE}.")
    return int(value)


def as_generator(argument: str, seed: object) -> np.random.Generator:
    """Return a NumPy Generator from a whole number, a Generator, or None (drawn anew)."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
        raise TypeError(
            f"{argument}: got {seed!r}, expected a whole number, a NumPy Generator or None."
        )
    if seed is not None and seed < 0:
        raise ValueError(f"{argument}: got {seed}, expected a whole number from 0.")
    return np.random.default_rng(None if seed is None else int(seed))


def is_foreign(array: object) -> bool:
    """True for array types made to run through the derivations: error-carrying, dual numbers.

    They say so by the class attribute ``runs_derivations``; tensors and data frames, which
    follow NumPy's protocols as well, are converted instead.
    """
    return bool(getattr(type(array), "runs_derivations", False))


def as_numbers(argument: str, values: object) -> Array:
    """Return any array-like of real numbers as an ndarray, in its own dtype."""
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray | np.generic):
        values = np.asarray(values)  # tensors and data frames bring their own conversion
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{argument}: could not be read as one array ({error}); rows must have equal length."
        ) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{argument}: has dtype {array.dtype}, expected real numbers; "
            f"convert it first, for instance {argument}.astype('float32')."
        )
    return array


def as_finite(argument: str, values: object, dtype: np.dtype[Any]) -> Array:
    """Return ``values`` in ``dtype`` (native byte order); NaN and infinity are errors."""
    given = as_numbers(argument, values)
    with np.errstate(over="ignore"):
        array = np.asarray(given, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        shown = given[where]
        cause = f"overflows {dtype}" if np.isfinite(shown) else "is not finite"
        raise ValueError(
            f"{argument}: {int((~finite).sum())} of {array.size} values cannot be used; the "
            f"first, {shown} at {list(where)}, {cause}. Remove or rescale such values."
        )
    return array


def as_inputs(values: Array, input_size: int, dtype: np.dtype[Any], name: str = "inputs") -> Array:
    """Return a batch of shape (batch, input_size) in ``dtype``, finite and not empty."""
    if is_foreign(values):
        return values
    array = as_finite(name, values, dtype)
    if array.ndim != 2 or array.shape[1] != input_size:
        raise ValueError(
            f"{name}: has shape {array.shape}, expected (batch, {input_size}); "
            f"flatten each sample to {input_size} numbers, and pass one sample as a batch of one."
        )
    if array.shape[0] == 0:
        raise ValueError(f"{name}: the batch is empty, expected at least one sample.")
    return array


def as_class_indices(labels: Array, samples: int, classes: int) -> Array:
    """Return labels as int64 class indices of shape (samples,).

    Accepts indices of shape (samples,) or (samples, 1), in any integer or whole-valued
    float dtype. Whoever accepts one-hot rows as well has looked for them before.
    """
    if is_foreign(labels):
        return labels
    array = as_numbers("labels", labels)
    if array.shape not in ((samples,), (samples, 1)):
        raise ValueError(
            f"labels: has shape {array.shape}, expected ({samples},) class indices or "
            f"({samples}, {classes}) one-hot rows: one label for each of the {samples} samples."
        )
    array = array.reshape(samples)
    wrong = ~((array >= 0) & (array < classes) & (array == np.floor(array)))  # NaN is wrong too
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"labels: {array[first]} at [{first}] is not a class; expected whole numbers from 0 "
            f"to {classes - 1}, the model having {classes} outputs."
        )
    return array.astype(np.int64)


def one_hot_rows(array: Array) -> Array:
    """Return ``array`` if each row is one-hot (a single 1, otherwise 0)."""
    wrong = ~(((array == 0) | (array == 1)).all(axis=1) & (array.sum(axis=1) == 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"labels: row {first}, {array[first].tolist()}, is not one-hot; "
            f"expected a single 1 and otherwise 0, or pass class indices."
        )
    return array


def as_distributions(labels: Array, samples: int, classes: int, dtype: np.dtype[Any]) -> Array:
    """Return labels as rows of class probabilities, (samples, classes) in ``dtype``.

    Accepts class indices, one-hot rows, or rows that are non-negative and sum to 1 within
    the rounding of a sum of ``classes`` numbers. (The gradient p − y needs Σy = 1.)
    """
    if is_foreign(labels):
        return labels
    array = as_numbers("labels", labels)
    if array.shape != (samples, classes) or (classes == 1 and (array == 0).any()):
        indices = as_class_indices(array, samples, classes)
        return np.eye(classes, dtype=dtype)[indices]
    array = as_finite("labels", array, dtype)
    slack = classes * np.finfo(dtype).eps
    wrong = (array < 0).any(axis=1) | (np.abs(array.sum(axis=1, dtype=np.float64) - 1) > slack)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"labels: row {first}, {array[first].tolist()}, is not a distribution over the "
            f"{classes} classes; expected non-negative numbers that sum to 1, or class indices."
        )
    return array


def as_targets(labels: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return regression targets of the predictions' shape, (samples, outputs) or of any rank.

    Class indices of shape (samples,) become one-hot rows where outputs > 1, and a column
    where outputs = 1 (then any finite numbers are welcome).
    """
    if is_foreign(labels):
        return labels
    array = as_numbers("labels", labels)
    samples = shape[0]
    if len(shape) == 2 and array.shape == (samples,):
        outputs = shape[1]
        if outputs > 1:
            return np.eye(outputs, dtype=dtype)[as_class_indices(array, samples, outputs)]
        array = array.reshape(samples, 1)
    if array.shape != shape:
        raise ValueError(
            f"labels: has shape {array.shape}, expected {shape}, the shape of the predictions, "
            f"or ({samples},) class indices."
        )
    return as_finite("labels", array, dtype)


def as_identities(labels: object, samples: int) -> Array:
    """Return one whole number for each sample, of any size, as int64 of shape (samples,)."""
    array = as_numbers("labels", labels)
    if array.shape not in ((samples,), (samples, 1)):
        raise ValueError(
            f"labels: has shape {array.shape}, expected ({samples},): a whole number for each of "
            f"the {samples} samples, the same for samples of one class."
        )
    return _as_whole_numbers(array.reshape(samples))


def as_transcripts(labels: object, shape: tuple[int, ...]) -> Array:
    """Return labels of sequences, padded with 0, as int64 of shape (samples, longest).

    Args:
        labels: classes from 1, those of one sample in a row; as many zeros as needed after them.
        shape: of the predictions, (samples, frames, classes).
    """
    if len(shape) != 3:
        raise ValueError(
            f"predictions: has shape {shape}, expected (samples, frames, classes): "
            f"this loss is one of sequences."
        )
    samples, frames, classes = shape
    array = as_numbers("labels", labels)
    if array.ndim != 2 or len(array) != samples:
        raise ValueError(
            f"labels: has shape {array.shape}, expected ({samples}, longest): a row of classes "
            f"for each of the {samples} samples, padded with 0."
        )
    array = _as_whole_numbers(array)
    if (array < 0).any() or (array >= classes).any():
        raise ValueError(
            f"labels: expected classes from 1 to {classes - 1}, padded with 0, the blank; "
            f"got {array.min()} to {array.max()}."
        )
    spelt = array != 0
    if (~spelt[:, :-1] & spelt[:, 1:]).any():
        row = int(np.flatnonzero((~spelt[:, :-1] & spelt[:, 1:]).any(axis=1))[0])
        raise ValueError(
            f"labels: row {row}, {array[row].tolist()}, has a 0 before its end; 0 is the blank "
            f"and only pads: number the classes from 1."
        )
    # A blank has to stand between two equal labels.
    repeats = ((array[:, 1:] == array[:, :-1]) & spelt[:, 1:]).sum(axis=1)
    needed = spelt.sum(axis=1) + repeats
    if (needed > frames).any():
        row = int(np.argmax(needed > frames))
        raise ValueError(
            f"labels: row {row}, {array[row].tolist()}, needs {needed[row]} frames, a blank "
            f"between equal neighbours included, but there are {frames}; no path spells it."
        )
    return array


def _as_whole_numbers(array: Array) -> Array:
    wrong = ~(np.isfinite(array) & (array == np.floor(array)))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"labels: {array[where]} at {list(where)} is not a whole number; expected classes."
        )
    return array.astype(np.int64)
