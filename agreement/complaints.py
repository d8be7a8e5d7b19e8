"""Errors of array types that run through other people's code: they name the caller's line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


def refuse_options(name: str, options: dict[str, Any]) -> None:
    """Raise for options of a NumPy method that have no rule; None and defaults pass."""
    given = [key for key, value in options.items() if value is not None]
    if given:
        raise unsupported(f"{name}({', '.join(given)}=…)")


def unsupported(what: str) -> TypeError:
    """The error for an operation without a rule."""
    return TypeError(
        f"{callers_line()}: no error bound is known for {what}; write this line with arithmetic, "
        f"@, sum, mean, max, where, maximum, clip, exp, log, sqrt or tanh."
    )


def callers_line() -> str:
    """file:line of the nearest frame outside NumPy and this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module.split(".")[0] not in ("numpy", "agreement"):
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


@contextlib.contextmanager
def own_error() -> Iterator[None]:
    """Let our error through where NumPy wraps it in one of its own.

    Assigning into a plain array calls ``__array__``, whose ``TypeError`` becomes the cause of a
    "setting an array element with a sequence".
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error.__cause__, TypeError):
            raise error.__cause__ from None
        raise
