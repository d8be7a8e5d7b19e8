"""A recording: what one Keras did, with the inputs, in one file that needs nothing else.

A NumPy ``.npz`` archive without pickles: the member ``recording`` is JSON (UTF-8 bytes), each other
member is all numbers of one dtype end to end, and ``checksum`` is the SHA-256 of all of them.
Equal arrays are stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agreement.archive import (
    ArchiveError,
    ArchiveReader,
    open_regular,
    plain,
    thrifty_archive,
    write_atomically,
)
from manual_backprop.typing import Array
from reference.observation import ABSENT, PRESENT, RAISED, Observation

FORMAT = "agreement-recording"
VERSION = 1
# The most that a recording may hold unpacked, in bytes; one of the whole catalogue has 10 MB.
LARGEST = 1 << 30
# Of an item's key: family, function, variant, dtype and mode.
PARTS = 5
BLOCKS = ("float16", "float32", "float64", "bool", "int32", "int64", "uint32", "uint8")


class RecordingError(ValueError):
    """A recording that cannot be used; the message names the file and what is wrong."""


@dataclass
class Case:
    """What came of one case, with its inputs."""

    inputs: dict[str, Array]
    observation: Observation


@dataclass
class Recording:
    """Everything that one release did.

    Attributes:
        versions: of "keras", "tensorflow", "numpy", "python".
        machine: "platform", "processor".
        families: which were recorded. model: the user's model in words, or "".
        cases: by key of the item, then by name of the case.
        title: how tables and messages name it.
    """

    versions: dict[str, str]
    machine: dict[str, str]
    families: list[str]
    model: str = ""
    cases: dict[str, dict[str, Case]] = field(default_factory=dict)
    title: str = ""


class _Pool:
    """Arrays laid end to end, one block for each dtype; equal ones are laid down once."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Array]] = {}
        self.sizes: dict[str, int] = {}
        self.table: list[list[Any]] = []
        self.known: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def place(self, array: Array) -> int:
        """The number of an array in the table."""
        array = np.asarray(array)
        name = array.dtype.name
        if name not in BLOCKS:
            raise TypeError(f"array: has dtype {name}, expected one of {', '.join(BLOCKS)}.")
        key = name, array.shape, array.tobytes()
        if key not in self.known:
            self.known[key] = len(self.table)
            start = self.sizes.get(name, 0)
            self.table.append([name, start, list(array.shape)])
            self.parts.setdefault(name, []).append(array.ravel())
            self.sizes[name] = start + array.size
        return self.known[key]

    def blocks(self) -> dict[str, Array]:
        """One array of each dtype; a block without numbers is left out."""
        return {
            name: np.concatenate(parts) for name, parts in self.parts.items() if self.sizes[name]
        }


def write_recording(path: str | os.PathLike[str], recording: Recording) -> None:
    """Write a recording, all of it or nothing: an interrupted write leaves the old file."""
    pool = _Pool()
    items: dict[str, Any] = {}
    for key, cases in recording.cases.items():
        items[key] = {
            name: [
                case.observation.status,
                case.observation.error,
                {k: pool.place(v) for k, v in case.inputs.items()},
                {k: pool.place(v) for k, v in case.observation.tensors.items()},
            ]
            for name, case in cases.items()
        }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "versions": recording.versions,
        "machine": recording.machine,
        "families": recording.families,
        "model": recording.model,
        "arrays": pool.table,
        "items": items,
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    members = {"recording": np.frombuffer(text, np.uint8), **pool.blocks()}
    members["checksum"] = np.frombuffer(_checksum(members), np.uint8)
    write_atomically(Path(path), members, compressed=True)


def _checksum(members: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(members):
        array = np.ascontiguousarray(members[name])
        digest.update(f"{name} {array.dtype.str} {array.size} ".encode())
        digest.update(array.tobytes())
    return digest.digest()


class _Reader(ArchiveReader):
    what = "recording"
    text = "recording"
    axes = 1


def read_recording(path: str | os.PathLike[str], *, largest: int = LARGEST) -> Recording:
    """Read a recording, whoever wrote it.

    Raises:
        RecordingError: for anything but a whole recording of this format.
        OSError: for a file that cannot be opened.
    """
    with open_regular(path, RecordingError) as handle:
        try:
            with thrifty_archive(handle) as archive:
                return _read(_Reader(archive, largest), str(path))
        except (ValueError, TypeError, KeyError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise RecordingError(f"{path}: {plain(reason)}") from None
        except Exception as error:  # whatever zipfile or zlib make of a damaged file
            raise RecordingError(
                f"{path}: is not a readable recording "
                f"({plain(f'{type(error).__name__}: {error}')}); record it again."
            ) from None


def _read(reader: _Reader, path: str) -> Recording:
    for name in ("recording", "checksum"):
        if name not in reader.members:
            raise ArchiveError(f"is not a recording: it has no member {name!r}.")
    content = _content(reader.array("recording"))
    for name in reader.members:
        if name not in (*BLOCKS, "recording", "checksum"):
            raise ArchiveError(f"has a member {name!r}, which no recording has.")
    members = {name: reader.array(name) for name in reader.members if name != "checksum"}
    if reader.array("checksum").tobytes() != _checksum(members):
        raise ArchiveError("its checksum does not fit: it was changed or damaged; record it again.")
    arrays = [_unpacked(entry, members) for entry in content["arrays"]]
    recording = Recording(
        _texts(content, "versions"),
        _texts(content, "machine"),
        [str(name) for name in content["families"]],
        str(content["model"]),
        title=str(path),
    )
    for key, cases in content["items"].items():
        if len(key.split("/")) < PARTS:
            raise ArchiveError(
                f"has an item {key[:40]!r}, which no recording has; record it again."
            )
        recording.cases[key] = {name: _case(entry, arrays) for name, entry in cases.items()}
    return recording


def _content(raw: Array) -> dict[str, Any]:
    """The JSON, of a format and version that this program reads."""
    try:
        content = json.loads(raw.tobytes()) if raw.dtype == np.uint8 else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArchiveError("is not a recording: its description is not of the known format.")
    version = content.get("version")
    if type(version) is not int or version > VERSION:
        raise ArchiveError(
            f"is of format version {str(version)[:20]}; this program reads versions up to "
            f"{VERSION}: update it, or record again."
        )
    if not isinstance(content.get("items"), dict) or not isinstance(content.get("arrays"), list):
        raise ArchiveError("its description lacks items or arrays; record it again.")
    return content


def _texts(content: Mapping[str, Any], name: str) -> dict[str, str]:
    return {str(key): plain(str(value)) for key, value in content[name].items()}


def _unpacked(entry: Any, members: Mapping[str, Array]) -> Array:
    name, start, shape = entry
    size = math.prod(shape)
    if name not in BLOCKS or min([start, *shape], default=0) < 0:
        raise ArchiveError("its table of arrays is damaged; record it again.")
    block = members[name] if size else np.empty(0, name)
    if start + size > block.size and size:
        raise ArchiveError("its table of arrays points outside of its numbers; record it again.")
    return block[start if size else 0 :][:size].reshape(shape)


def _case(entry: Any, arrays: list[Array]) -> Case:
    status, error, inputs, tensors = entry
    if status not in (PRESENT, RAISED, ABSENT):
        raise ArchiveError(f"has a case of unknown status {str(status)[:20]!r}; record it again.")
    found = {name: arrays[number] for name, number in tensors.items()}
    given = {name: arrays[number] for name, number in inputs.items()}
    return Case(given, Observation(status, found, plain(str(error))))
