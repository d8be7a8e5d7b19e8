"""Pictures of a training run and of its data; needs matplotlib, an optional extra.

Figures are built as objects, without pyplot: no global state, no window, no display.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from manual_backprop.datasets import Dataset, require_picture
from manual_backprop.typing import Array
from manual_backprop.validation import as_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Curves(Protocol):
    """What a training run leaves behind: one number per epoch; the last two may be empty."""

    @property
    def loss(self) -> Sequence[float]: ...
    @property
    def accuracy(self) -> Sequence[float]: ...
    @property
    def validation_loss(self) -> Sequence[float]: ...
    @property
    def validation_accuracy(self) -> Sequence[float]: ...


def plot_history(history: Curves, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw loss and accuracy against the epoch, side by side.

    Args:
        history: has ``loss``, ``accuracy``, ``validation_loss`` and ``validation_accuracy``.
        path: where to save the figure as well; the suffix chooses the format.

    Raises:
        ImportError: where matplotlib is not installed.
        TypeError: for a history that lacks one of the four curves.
        ValueError: for a history without epochs, or an unknown suffix.
        FileNotFoundError: for a path in a directory that does not exist.
    """
    figure = _figure(9.0, 3.5)
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    missing = [name for name in names if not hasattr(history, name)]
    if missing:
        raise TypeError(
            f"history: {type(history).__name__} lacks {', '.join(missing)}; "
            "pass the history that fit returns."
        )
    if len(history.loss) == 0:
        raise ValueError("history: expected at least one epoch, got none; run fit first.")
    for place, name in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        for label, curve in (
            ("training", getattr(history, name)),
            ("validation", getattr(history, f"validation_{name}")),
        ):
            if len(curve) > 0:
                axes.plot(range(1, len(curve) + 1), curve, marker=".", label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        # Epochs are counted, so a tick at 1.5 would mean nothing.
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.lines:
            axes.legend()
    _save(figure, path)
    return figure


def plot_samples(
    dataset_or_images: Dataset | Array,
    labels: Sequence[int] | Array | None = None,
    rows: int = 3,
    columns: int = 6,
    image_shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the first ``rows · columns`` samples as a grid of grey pictures, labels above.

    Args:
        dataset_or_images: a Dataset, or images of shape (samples, features) or
            (samples, height, width).
        labels: one title per sample; a Dataset brings its own.
        rows: of the grid.
        columns: of the grid; cells without a sample stay empty.
        image_shape: (height, width); by default the Dataset's own, else a square.
        path: where to save the figure as well; the suffix chooses the format.

    Raises:
        ImportError: where matplotlib is not installed.
        TypeError: for a number of rows or columns that is no integer.
        ValueError: for samples that are no pictures of that shape, too few labels, an empty
            grid, or an unknown suffix.
        FileNotFoundError: for a path in a directory that does not exist.
    """
    if isinstance(dataset_or_images, Dataset):
        flat = dataset_or_images.images
        labels = dataset_or_images.labels if labels is None else labels
        image_shape = image_shape or dataset_or_images.image_shape
    else:
        flat = np.asarray(dataset_or_images)
    rows, columns = as_count("rows", rows), as_count("columns", columns)
    pictures = _as_pictures(flat, image_shape)[: rows * columns]
    if labels is not None and len(labels) < len(pictures):
        raise ValueError(
            f"labels: expected one per sample, {len(pictures)}, got {len(labels)}; "
            "pass the labels of the same samples, or none."
        )
    figure = _figure(1.2 * columns, 1.4 * rows)
    # One grey scale for all pictures, so that a faint one looks faint.
    darkest, brightest = float(pictures.min()), float(pictures.max())
    for place, picture in enumerate(pictures):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(picture, cmap="gray", vmin=darkest, vmax=brightest)
        axes.set_axis_off()
        if labels is not None:
            axes.set_title(str(labels[place]))
    _save(figure, path)
    return figure


def _as_pictures(images: Array, image_shape: tuple[int, int] | None) -> Array:
    """Give (samples, features) or (samples, height, width) the latter shape."""
    if images.size == 0 or images.ndim not in (2, 3) or images.dtype.kind not in "buif":
        raise ValueError(
            f"dataset_or_images: expected numbers of shape (samples, features) or "
            f"(samples, height, width), got {images.dtype} of shape {images.shape}."
        )
    if image_shape is None and images.ndim == 3:
        return images
    features = math.prod(images.shape[1:])
    shape = image_shape or (math.isqrt(features), math.isqrt(features))
    require_picture(shape, features)
    return images.reshape(len(images), *shape)


def _figure(width: float, height: float) -> Any:
    """An empty figure, its size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed; "
            "pip install 'manual-backprop[plots]' brings it."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: str | os.PathLike[str] | None) -> None:
    if path is None:
        return
    target = Path(path)
    known = sorted(figure.canvas.get_supported_filetypes())
    if target.suffix.lstrip(".").lower() not in known:
        raise ValueError(
            f"path: {target.name!r} does not end in a known format; "
            f"use for instance .png, or one of: {', '.join(known)}."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path: the directory {target.parent} does not exist; create it first."
        )
    figure.savefig(target)
