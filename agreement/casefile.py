"""Case files: a model, a batch and, on request, gradients, in a file that any program can write.

A case file is a NumPy ``.npz`` archive without pickles; docs/case-files.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agreement.archive import write_atomically
from agreement.casefile_format import FORMAT, LARGEST, VERSION, CaseFileError, StoredCase
from agreement.casefile_reader import read_case
from agreement.foreign import OURS, Layout
from agreement.report import Report
from manual_backprop import NaiveDense, NaiveSequential, losses
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.losses import CrossEntropy
from manual_backprop.typing import Array
from manual_backprop.validation import as_numbers

__all__ = ["CaseFileError", "StoredCase", "check_file", "read_case", "replay", "write_case"]


def check_file(
    path: str | os.PathLike[str],
    against: str | Sequence[str] = (),
    *,
    largest: int = LARGEST,
) -> Report:
    """Judge the gradients in a case file, and the manual run of its model.

    Raises:
        CaseFileError: for a file that cannot be used, or that holds no gradients.
        OSError: for a file that cannot be opened.
    """
    case = read_case(path, largest=largest)
    if case.gradients is None:
        raise CaseFileError(
            f"{path}: holds no gradients to judge; store them as grad_W1, grad_b1, … or run it "
            f"with agreement replay."
        )
    return case.check(against)


def replay(
    path: str | os.PathLike[str],
    against: str | Sequence[str] | None = None,
    *,
    largest: int = LARGEST,
) -> Report:
    """Run a case file again, against the references that it names unless told otherwise.

    Raises:
        CaseFileError: for a file that cannot be used. OSError: for one that cannot be opened.
    """
    report = read_case(path, largest=largest).check(against)
    report.rerun = f"agreement replay {path}"
    return report


def write_case(
    path: str | os.PathLike[str],
    model: NaiveSequential,
    inputs: Array,
    labels: Array,
    *,
    loss: object = "sparse_categorical_crossentropy",
    gradients: Sequence[Array] | None = None,
    reduction: str = "mean",
    against: Sequence[str] = (),
    note: str = "",
) -> None:
    """Write a case file, all of it or nothing: an interrupted write leaves the old file.

    Args:
        model: distinct ``NaiveDense`` layers. inputs, labels: as for ``check``.
        gradients: one for each of ``model.weights``, of the "mean" or "sum" (``reduction``).
        against, note: see :class:`StoredCase`.

    Raises:
        ValueError, TypeError: for what cannot be stored.
    """
    chosen = losses.get(loss)
    entries = []
    for position, layer in enumerate(model.layers):
        if type(layer) is not NaiveDense:
            raise TypeError(
                f"layers[{position}]: a case file holds NaiveDense layers only, and this is "
                f"{type(layer).__name__}."
            )
        if layer in model.layers[:position]:
            raise ValueError(f"layers[{position}]: stands in two places; expected each layer once.")
        activation = layer.activation
        arguments = {
            name: value if isinstance(value, int) else float(value)
            for name, value in activation.unusual_arguments.items()
        }
        if ACTIVATIONS.get(activation.name) is not type(activation):
            raise TypeError(f"layers[{position}]: {activation!r} is not in the catalogue.")
        entries.append({"name": activation.name, **arguments} if arguments else activation.name)
    text = {
        "format": FORMAT,
        "version": VERSION,
        "activations": entries,
        "loss": chosen.name,
        "path": chosen.path if isinstance(chosen, CrossEntropy) else "auto",
        "dtype": model.dtype.name,
        "reduction": Layout(reduction=reduction).reduction,
        "against": list(against),
        "note": note,
    }
    arrays = {"case": np.array(json.dumps(text))}
    given = None if gradients is None else iter(OURS.as_gradients(gradients, model.weights))
    for number, layer in enumerate(model.layers, start=1):
        for name, weight in zip(layer.weight_names, layer.weights, strict=True):
            arrays[f"{name}{number}"] = weight
            if given is not None:
                arrays[f"grad_{name}{number}"] = next(given)
    arrays |= {"inputs": as_numbers("inputs", inputs), "labels": as_numbers("labels", labels)}
    write_atomically(Path(path), arrays)
