"""Reading ``.npz`` archives, trusting nothing.

Sizes, types and shapes are checked before anything is allocated, and the headers are parsed
rather than evaluated.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from manual_backprop.typing import Array

# How much of a file is read or unpacked at once; also the most that its table of contents takes.
BLOCK = 1 << 20
LONGEST_HEADER = 1 << 12
LONGEST_NAME = 100
# No deflated byte unpacks to more than this many.
LARGEST_RATIO = 1032

_HEADER = re.compile(
    r"\{(?:(?:'descr':'(?P<descr>[^']{1,16})'|'fortran_order':(?P<order>True|False)"
    r"|'shape':\((?P<shape>[\d,]*)\)),?){3}\}"
)
_REAL = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248])")
_TEXT = re.compile(r"(?:[<>=|]?U|\|?S)\d{1,6}|\|?u1")


class ArchiveError(ValueError):
    """An archive that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class _Header:
    """What a member's ``.npy`` header says; ``start`` is where its numbers begin."""

    descr: str
    fortran: bool
    shape: tuple[int, ...]
    start: int


class ArchiveReader:
    """The arrays of one archive: every header is sound before any array is read.

    Subclasses set ``what`` they read, the member ``text`` that may hold letters, and the most
    ``axes`` that an array may have.

    Args:
        archive: see ``thrifty_archive``. largest: the most that it may hold unpacked, in bytes.
    """

    what: ClassVar[str] = "case file"
    text: ClassVar[str] = "case"
    axes: ClassVar[int] = 2

    def __init__(self, archive: zipfile.ZipFile, largest: int) -> None:
        self.archive, self.largest = archive, largest
        self.members = self._sound_members()
        self.headers = {name: self._header(name) for name in self.members}

    def _sound_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for info in self.archive.infolist():
            shown = repr(info.filename[:LONGEST_NAME])
            name = info.filename.removesuffix(".npy")
            if name == info.filename or not name.isidentifier():
                raise ArchiveError(f"member {shown} is not an array of a {self.what}.")
            if name in members:
                raise ArchiveError(f"member {shown} is there twice.")
            if info.flag_bits & 1 or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise ArchiveError(
                    f"member {shown} is encrypted or compressed in a way that is not read here; "
                    f"write the file with numpy.savez."
                )
            if info.file_size > LARGEST_RATIO * info.compress_size + BLOCK:
                raise ArchiveError(f"member {shown} claims more than its bytes can hold.")
            members[name] = info
            total += info.file_size
        if total > self.largest:
            raise ArchiveError(
                f"holds {total} bytes unpacked, more than the {self.largest} that are allowed; "
                f"raise the limit if you trust it."
            )
        return members

    def _header(self, name: str) -> _Header:
        """Parse a header without evaluating it, and hold it against the member's size."""
        info = self.members[name]
        with self.archive.open(info) as stream:
            prefix = stream.read(12)
            if prefix[:6] != b"\x93NUMPY" or prefix[6:7] not in (b"\x01", b"\x02", b"\x03"):
                raise ArchiveError(f"{name}: is not a NumPy array.")
            width = 2 if prefix[6:7] == b"\x01" else 4
            length = int.from_bytes(prefix[8 : 8 + width], "little")
            if length > LONGEST_HEADER:
                raise ArchiveError(f"{name}: has a header of {length} bytes.")
            start = 8 + width + length
            text = (prefix + stream.read(max(0, start - 12)))[8 + width : start]
        found = _HEADER.fullmatch("".join(text.decode("latin-1").split()))
        if found is None or None in found.group("descr", "order", "shape"):
            raise ArchiveError(f"{name}: has a header that is not that of a plain array.")
        descr, kind = found["descr"], _TEXT if name == self.text else _REAL
        if not kind.fullmatch(descr):
            objects = "O" in descr
            shown = "Python objects, which are never read" if objects else f"dtype {descr!r}"
            raise ArchiveError(f"{name}: holds {shown}; expected real numbers.")
        shape = tuple(int(part[:20]) for part in found["shape"].split(",") if part)
        if len(shape) > self.axes:
            raise ArchiveError(f"{name}: has {len(shape)} axes, expected at most {self.axes}.")
        size = start + math.prod(shape) * np.dtype(descr).itemsize
        if size != info.file_size or 0 in shape:
            raise ArchiveError(
                f"{name}: says that it has shape {shape} and dtype {descr}, but it does not hold "
                f"that many numbers."
            )
        return _Header(descr, found["order"] == "True", shape, start)

    def array(self, name: str) -> Array:
        """A member's numbers, a block at a time; its header is known to be sound."""
        header, info = self.headers[name], self.members[name]
        numbers = np.empty(info.file_size - header.start, np.uint8)
        with self.archive.open(info) as stream:
            stream.read(header.start)
            filled = 0
            while block := stream.read(BLOCK):
                numbers[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
                filled += len(block)
        if filled != numbers.size:
            raise ArchiveError(f"{name}: ends early.")
        array = numbers.view(np.dtype(header.descr))
        shaped = array.reshape(header.shape, order="F" if header.fortran else "C")
        return shaped if shaped.dtype.isnative else shaped.astype(shaped.dtype.newbyteorder("="))


class _Thrifty:
    """A binary file that refuses to be read in bulk, such as a table of contents of gigabytes."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle
        self.seek, self.tell, self.seekable = handle.seek, handle.tell, handle.seekable

    def read(self, size: int | None = -1) -> bytes:
        found = self.handle.read(BLOCK + 1 if size is None or size < 0 else min(size, BLOCK + 1))
        if len(found) > BLOCK:
            raise ArchiveError(f"asks for more than {BLOCK} bytes to be read at once.")
        return found


def thrifty_archive(handle: IO[bytes]) -> zipfile.ZipFile:
    """A zip archive whose table of contents is of a bounded size."""
    return zipfile.ZipFile(_Thrifty(handle))


def open_regular(
    path: str | os.PathLike[str], complaint: type[ValueError] = ArchiveError
) -> IO[bytes]:
    """Open a file for reading; a pipe or a device, which might never end, is refused."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise complaint(f"{path}: is not a regular file.")
    return open(path, "rb")


def plain(message: str) -> str:
    """One line of printable characters, whatever a file made the message say."""
    line = " ".join(message.split())[:400]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def write_atomically(path: Path, arrays: dict[str, Array], *, compressed: bool = False) -> None:
    """Write an ``.npz`` archive, all of it or nothing: what was there stays until it is whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as handle:
            (np.savez_compressed if compressed else np.savez)(handle, **arrays)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
