"""Giving a function that is already loaded the code that a mutant gives it.

It saves importing all packages anew for every mutant, which takes longer than most checks.
"""

from __future__ import annotations

import inspect
import sys
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

from benchmarks.mutation.mutants import Mutant


def is_patchable(mutant: Mutant) -> bool:
    """Whether what the mutant changes happens when a loaded function is called."""
    return bool(mutant.runs_in) and _function(mutant) is not None


def patch(mutant: Mutant) -> None:
    """Give the function its code, in this process."""
    function, code = _function(mutant), _code(mutant)
    assert function is not None
    assert code is not None
    function.__code__ = code


def _function(mutant: Mutant) -> FunctionType | None:
    """The loaded outermost function around the change, if its code can be replaced."""
    place: Any = sys.modules.get(mutant.module)
    for name in mutant.where.split("."):
        place = vars(place).get(name)
        if isinstance(place, property):
            place = place.fget
        elif isinstance(place, cached_property):
            place = place.func
        elif isinstance(place, classmethod | staticmethod):
            place = place.__func__
        if not isinstance(place, type):
            break
    code = _code(mutant)
    if not isinstance(place, FunctionType) or code is None:
        return None
    same = place.__code__.co_freevars == code.co_freevars
    return place if same and place.__code__.co_name == code.co_name else None


def _code(mutant: Mutant) -> CodeType | None:
    """That function's code in the mutant; None if several have its name."""
    code: CodeType = compile(mutant.source, mutant.path, "exec")
    for name in mutant.where.split("."):
        inner = [c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name]
        if len(inner) != 1:
            return None
        (code,) = inner
        if code.co_flags & inspect.CO_OPTIMIZED:
            return code  # a function's, not a class body's
    return None
