"""Reading case files, trusting nothing.

Sizes, types and shapes are checked before anything is allocated, the headers are parsed rather
than evaluated, and whatever is wrong becomes one ``CaseFileError``.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from agreement.archive import LONGEST_NAME, ArchiveReader, open_regular, plain, thrifty_archive
from agreement.casefile_format import (
    FIELDS,
    FORMAT,
    LARGEST,
    LONGEST_TEXT,
    REQUIRED,
    VERSION,
    CaseFileError,
    StoredCase,
)
from agreement.foreign import Layout, bias_shapes
from agreement.references import resolve_references
from manual_backprop import NaiveDense, NaiveSequential, activations
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import unknown_name
from manual_backprop.losses import LOSSES, PATHS, CrossEntropy, Loss
from manual_backprop.typing import Array
from manual_backprop.validation import as_dtype, as_finite


def read_case(path: str | os.PathLike[str], *, largest: int = LARGEST) -> StoredCase:
    """Read a case file, whoever wrote it.

    Args:
        largest: the most that the file may hold unpacked, in bytes, and about the most that
            its tensors may take.

    Raises:
        CaseFileError: for anything but a sound case file, before allocating for its arrays.
        OSError: for a file that cannot be opened.
    """
    with open_regular(path, CaseFileError) as handle:
        try:
            with thrifty_archive(handle) as archive:
                return _Reader(archive, largest).read()
        except (ValueError, TypeError) as error:
            raise CaseFileError(f"{path}: {plain(str(error))}") from None
        except Exception as error:  # whatever zipfile or zlib make of a damaged file
            raise CaseFileError(
                f"{path}: is not a readable case file "
                f"({plain(f'{type(error).__name__}: {error}')})."
            ) from None


@dataclass(frozen=True)
class _Sizes:
    """Of a layer: how many inputs, pre-activations and outputs it has."""

    inputs: int
    units: int
    outputs: int


class _Reader(ArchiveReader):
    """Reads one archive: first its text, then every header, and only then the arrays."""

    def read(self) -> StoredCase:
        """Check the text, all names and all shapes; then read the arrays and build the case."""
        text = self._text()
        layout = Layout(*(text[name] for name in ("weights", "samples", "reduction")))
        chain = [_activation(i, entry) for i, entry in enumerate(text["activations"])]
        loss = _loss(text["loss"], text["path"])
        loss.is_fused_with(chain[-1].name)
        dtype = as_dtype(text["dtype"])
        sizes = self._sizes(chain, layout)
        with_gradients = self._check_names(len(chain))
        self._check_shapes(sizes, layout, with_gradients)
        layers = []
        for number, (activation, size) in enumerate(zip(chain, sizes, strict=True), start=1):
            kernel = self._weight(f"W{number}", layout, (size.inputs, size.units), dtype)
            bias = None
            if f"b{number}" in self.members:
                bias = self._weight(f"b{number}", layout, (size.units,), dtype)
            layers.append(NaiveDense.from_weights(kernel, bias, activation))
        model = NaiveSequential(layers)
        inputs = _exactly("inputs", layout.as_rows("inputs", self.array("inputs")), dtype)
        labels = layout.as_rows("labels", self.array("labels"))
        placeholder = np.broadcast_to(np.zeros((), dtype), (len(inputs), sizes[-1].outputs))
        gradients = None
        if with_gradients:
            names = [f"grad_{name}" for name in self._weight_names(len(chain))]
            gradients = [
                np.ascontiguousarray(layout.as_weight(name, self.array(name), weight.shape))
                for name, weight in zip(names, model.weights, strict=True)
            ]
        return StoredCase(
            model,
            inputs,
            loss.prepare(labels, placeholder),
            loss,
            gradients,
            layout.reduction,
            tuple(text["against"]),
            text["note"],
        )

    def _text(self) -> dict[str, Any]:
        """The member ``case``: every field, with its default and of its own type."""
        if "case" not in self.members:
            raise CaseFileError(
                "has no member 'case', which says what it holds; see docs/case-files.md."
            )
        if self.members["case"].file_size > LONGEST_TEXT:
            raise CaseFileError(f"case: is longer than {LONGEST_TEXT} bytes.")
        raw = self.array("case")
        if raw.dtype.kind in "US" and raw.size != 1:
            raise CaseFileError(f"case: has shape {raw.shape}, expected one text.")
        whole = raw.tobytes() if raw.dtype.kind == "u" else raw.reshape(())[()]
        try:
            given = json.loads(whole)
        except (ValueError, RecursionError):
            raise CaseFileError("case: is not JSON.") from None
        if not isinstance(given, dict):
            raise CaseFileError("case: is not a JSON object.")
        if given.get("format") != FORMAT:
            raise CaseFileError(f"case: its format is not {FORMAT!r}.")
        if given.get("version") != VERSION or isinstance(given["version"], bool):
            raise CaseFileError(
                f"case: is of version {str(given.get('version'))[:20]}; this program reads "
                f"version {VERSION}."
            )
        for name in [*given, *REQUIRED]:
            if name not in FIELDS:
                raise unknown_name("case", name[:LONGEST_NAME], FIELDS)
            if name not in given:
                raise CaseFileError(f"case: has no field {name!r}.")
            wanted = type(FIELDS[name])
            if type(given[name]) is not wanted:
                raise CaseFileError(f"case: {name} is not a {_JSON_TYPES[wanted]}.")
            if wanted is str and name != "note" and len(given[name]) > LONGEST_NAME:
                raise CaseFileError(f"case: {name} is longer than {LONGEST_NAME} letters.")
        text = FIELDS | given
        if not text["activations"]:
            raise CaseFileError("case: activations is empty, expected a name for each layer.")
        for name in text["against"]:
            if not isinstance(name, str) or len(name) > LONGEST_NAME:
                raise CaseFileError("case: against is not a list of names.")
        if text["against"]:
            resolve_references(text["against"])
        return text

    def _sizes(self, chain: list[Activation], layout: Layout) -> list[_Sizes]:
        """Each layer's sizes, from the kernels' shapes."""
        sizes: list[_Sizes] = []
        for number, activation in enumerate(chain, start=1):
            name = f"W{number}"
            if name not in self.headers:
                raise CaseFileError(f"has {len(chain)} activations, but no {name}.")
            shape = self.headers[name].shape
            if len(shape) != 2:
                raise CaseFileError(f"{name}: has shape {shape}, expected two axes.")
            inputs, units = layout.kernel_shape(shape)
            if sizes and inputs != sizes[-1].outputs:
                raise CaseFileError(
                    f"{name}: takes {inputs} inputs, but W{number - 1} has {sizes[-1].outputs} "
                    f"outputs, with weights laid out {layout.weights}."
                )
            sizes.append(_Sizes(inputs, units, activation.output_size(units)))
        return sizes

    def _weight_names(self, layers: int) -> list[str]:
        names = [f"{kind}{number}" for number in range(1, layers + 1) for kind in "Wb"]
        return [name for name in names if name in self.members]

    def _check_names(self, layers: int) -> bool:
        """No member too few or too many; True if there are gradients."""
        weights = self._weight_names(layers)
        gradients = [f"grad_{name}" for name in weights]
        with_gradients = any(name.startswith("grad_") for name in self.members)
        wanted = ["case", *weights, *(gradients if with_gradients else []), "inputs", "labels"]
        for name in wanted:
            if name not in self.members:
                raise CaseFileError(f"has no member {name!r}.")
        for name in self.members:
            if name not in wanted:
                raise unknown_name("member", name[:LONGEST_NAME], wanted[:20])
        return with_gradients

    def _check_shapes(self, sizes: list[_Sizes], layout: Layout, with_gradients: bool) -> None:
        """Every array fits the others, and the passes fit into memory."""
        shapes = {name: header.shape for name, header in self.headers.items()}

        def expect(name: str, *accepted: tuple[int, ...]) -> None:
            if name in shapes and shapes[name] not in accepted:
                raise CaseFileError(
                    f"{name}: has shape {shapes[name]}, expected {' or '.join(map(str, accepted))}."
                )

        for number, size in enumerate(sizes, start=1):
            expect(f"b{number}", *bias_shapes(size.units))
            if with_gradients:
                expect(f"grad_W{number}", shapes[f"W{number}"])
                expect(f"grad_b{number}", *bias_shapes(size.units))
        batch = layout.row_shape(shapes["inputs"])
        features, outputs = sizes[0].inputs, sizes[-1].outputs
        if len(batch) != 2 or batch[1] != features:
            expected = (
                f"(batch, {features})" if layout.samples == "rows" else f"({features}, batch)"
            )
            raise CaseFileError(
                f"inputs: has shape {shapes['inputs']}, expected {expected}, with samples in "
                f"{layout.samples}."
            )
        samples = batch[0]
        columns = layout.row_shape((samples, 1)), layout.row_shape((samples, outputs))
        expect("labels", (samples,), *columns)
        widths = features + sum(size.units for size in sizes)
        needed = 8 * (samples * widths + outputs**2)
        if needed > self.largest:
            raise CaseFileError(
                f"needs about {needed} bytes to run, more than the {self.largest} that are "
                f"allowed; raise the limit if you trust it."
            )

    def _weight(
        self, name: str, layout: Layout, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        array = layout.as_weight(name, self.array(name), shape)
        return np.ascontiguousarray(_exactly(name, array, dtype))


_JSON_TYPES = {str: "text", int: "whole number", list: "list"}


def _activation(index: int, entry: object) -> Activation:
    """An activation from its name, or from an object with its name and numeric arguments."""
    arguments: dict[str, Any] = dict(entry) if isinstance(entry, dict) else {"name": entry}
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name[:LONGEST_NAME] not in ACTIVATIONS:
        raise unknown_name(f"activations[{index}]", str(name)[:LONGEST_NAME], ACTIVATIONS)
    if not all(
        type(value) in (bool, int, float) and math.isfinite(value) for value in arguments.values()
    ):
        raise CaseFileError(f"activations[{index}]: has an argument that is not a finite number.")
    try:
        return activations.get(ACTIVATIONS[name](**arguments))
    except TypeError:
        raise CaseFileError(
            f"activations[{index}]: {name} takes no such argument as it is given."
        ) from None


def _loss(name: str, path: str) -> Loss:
    if name not in LOSSES:
        raise unknown_name("loss", name, LOSSES)
    if path not in PATHS:
        raise unknown_name("path", path, PATHS)
    kind = LOSSES[name]
    if issubclass(kind, CrossEntropy):
        return kind(path)
    if path != "auto":
        raise CaseFileError(f"case: path is {path!r}, but {name} has no paths; leave it out.")
    return kind()


def _exactly(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Finite numbers in ``dtype``; an error where that would round them."""
    converted = as_finite(name, array, dtype)
    if not np.array_equal(converted, array):
        raise CaseFileError(
            f"{name}: holds numbers that {dtype} cannot; store what the gradients were computed "
            f"from, and say which dtype that is."
        )
    return converted
