"""Labels of probabilistic losses: checked, of any rank, and smoothed."""

from __future__ import annotations

import numpy as np

from manual_backprop.losses.base import as_kind_of
from manual_backprop.typing import Array
from manual_backprop.validation import (
    as_class_indices,
    as_distributions,
    as_finite,
    as_numbers,
    as_targets,
    is_foreign,
    one_hot_rows,
)


def class_indices(labels: Array, shape: tuple[int, ...], ignored: int | None = None) -> Array:
    """Class indices for predictions of a shape (…, classes), int64 of shape (…).

    As ``as_class_indices``, and ``ignored`` is a label too, wherever it lies.
    """
    if is_foreign(labels):
        return labels
    array = as_numbers("labels", labels)
    if array.shape == shape and shape[-1] > 1:
        array = one_hot_rows(array.reshape(-1, shape[-1])).argmax(axis=1).reshape(shape[:-1])
    elif array.shape == (*shape[:-1], 1):
        array = array.reshape(shape[:-1])
    elif array.shape != shape[:-1]:
        raise ValueError(
            f"labels: has shape {array.shape}, expected {shape[:-1]} class indices or {shape} "
            f"one-hot rows: one label for each row of the predictions."
        )
    kept = np.where(array == ignored, 0, array) if ignored is not None else array
    found = as_class_indices(kept.reshape(-1), kept.size, shape[-1]).reshape(shape[:-1])
    return found if ignored is None else np.where(array == ignored, ignored, found)


def distributions(labels: Array, predictions: Array, axis: int) -> Array:
    """Labels as distributions along an axis of the predictions, of their shape and dtype."""
    if is_foreign(labels):
        return labels
    array, shape = as_numbers("labels", labels), predictions.shape
    classes = shape[axis]
    rows = predictions.size // classes
    moved = shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]
    if array.shape == shape:
        array = np.moveaxis(array, axis, -1).reshape(rows, classes)
    elif array.ndim > 2 or len(shape) > 2:
        if array.shape != moved:
            raise ValueError(
                f"labels: has shape {array.shape}, expected {shape}, the shape of the "
                f"predictions, or {moved} class indices."
            )
        array = array.reshape(rows)
    found = as_distributions(array, rows, classes, predictions.dtype)
    return np.moveaxis(found.reshape(*moved, classes), -1, axis)


def numbers(labels: Array, predictions: Array, low: float, high: float, what: str) -> Array:
    """Labels as ``as_targets`` gives them, none below ``low`` or above ``high``."""
    if is_foreign(labels):
        return labels
    shape, dtype = predictions.shape, predictions.dtype
    if len(shape) == 2:
        array = as_targets(labels, (shape[0], shape[1]), dtype)
    else:
        array = as_finite("labels", labels, dtype)
        if array.shape != shape:
            raise ValueError(
                f"labels: has shape {array.shape}, expected {shape}, the shape of the predictions."
            )
    wrong = (array < low) | (array > high)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"labels: {array[where]} at {list(where)} is no {what}.")
    return array


def smoothed(targets: Array, like: Array, smoothing: float, share: float | Array) -> Array:
    """(1 − smoothing) · targets + share, in the arithmetic of ``like``: it rounds, too."""
    if not smoothing:
        return targets
    return as_kind_of(like, targets) * (1 - smoothing) + share


def as_smoothing(value: object) -> None:
    """Refuse a label smoothing outside [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"label_smoothing: got {value!r}, expected a number from 0 to 1.")
