"""Running a function in a forked child: what it imports, breaks or never finishes stays there."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS = ("manual_backprop", "agreement", "reference", "benchmarks.mutation.replay", "conftest")


class Failed(Exception):
    """The child raised, died or took too long; the message says which."""


def in_child(
    function: Callable[[], Any], folder: Path, seconds: float, *, anew: bool = True
) -> Any:
    """Call a function in a child process, where ``folder`` is the place to import from.

    What the parent has imported is there already, which is what makes it fast; but our packages
    are imported ``anew`` if wanted.

    Raises:
        Failed: with the last line of what went wrong.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _run(function, folder, writing, anew)
    os.close(writing)
    try:
        answer = _read(reading, seconds)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not answer:
        raise Failed("the process died")
    done, result = pickle.loads(answer)
    if not done:
        raise Failed(result)
    return result


def _run(function: Callable[[], Any], folder: Path, writing: int, anew: bool) -> None:
    """The child's whole life; it never returns."""
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True
        for name, module in list(sys.modules.items()):
            in_folder = (getattr(module, "__file__", "") or "").startswith(f"{folder}/")
            if anew and (in_folder or name.startswith(OURS)):
                del sys.modules[name]
        try:
            answer = (True, function())
        except BaseException as error:  # a mutant may raise anything at all
            answer = (False, f"{type(error).__name__}: {error}".splitlines()[0][:200])
        with open(writing, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
    finally:
        os._exit(0)


def _read(reading: int, seconds: float) -> bytes:
    """All that the child writes, until it ends."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            raise Failed(f"not done after {seconds:.0f} s")
        part = os.read(reading, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
