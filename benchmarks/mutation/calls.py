"""Which functions a check calls, so that a mutant meets only the checks that call its own."""

from __future__ import annotations

import ast
import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

Place = tuple[str, str]  # the path, relative to the repository's root, and the function's name


class Scope(NamedTuple):
    """Where a line stands.

    Attributes:
        where: the dotted name of the innermost class or function.
        runs_in: that of the function whose call runs the line; "" if it runs on import. So may the
            body of a function that keeps its results: no check need call it to see them.
    """

    where: str
    runs_in: str


@contextlib.contextmanager
def functions_called(folder: Path, packages: Sequence[str]) -> Iterator[set[Place]]:
    """Fill a set with the functions of packages in ``folder`` that the block calls."""
    places: set[Place] = set()
    codes: set[CodeType] = set()

    def on_call(frame: object, event: str, argument: object) -> None:
        codes.add(frame.f_code)  # type: ignore[attr-defined]  # returns None: lines are not traced

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield places
    finally:
        sys.settrace(before)
        prefixes = tuple(f"{folder}/{package}/" for package in packages)
        ours = [code for code in codes if code.co_filename.startswith(prefixes)]
        start = len(f"{folder}/")
        places |= {(code.co_filename[start:], dotted(code.co_qualname)) for code in ours}


def dotted(qualified: str) -> str:
    """A function's qualified name; lambdas and comprehensions belong to the function around."""
    return ".".join(part for part in qualified.split(".") if not part.startswith("<"))


def scope(source: str, line: int) -> Scope:
    """Where a line stands, and what runs it; heads and decorators run in the scope outside."""
    within: ast.AST = parsed(source)
    where: list[str] = []
    runs_in = ""
    while True:
        child = _child(within, line)
        if child is None:
            return Scope(".".join(where), runs_in)
        where.append(child.name)
        if isinstance(child, ast.FunctionDef):
            decorators = [ast.unparse(decorator) for decorator in child.decorator_list]
            keeps = any("cache" in text and "property" not in text for text in decorators)
            if keeps or line < child.body[0].lineno:
                return Scope(".".join(where), runs_in)
            runs_in = ".".join(where)
        within = child


@functools.lru_cache(maxsize=4)
def parsed(source: str) -> ast.Module:
    """The syntax tree, which nobody may change."""
    return ast.parse(source)


def _child(within: ast.AST, line: int) -> ast.ClassDef | ast.FunctionDef | None:
    """The class or function directly inside a scope that a line stands in."""
    for node in _inside(within):
        first = min(part.lineno for part in (node, *node.decorator_list))
        if first <= line <= (node.end_lineno or 0):
            return node
    return None


def _inside(within: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in ast.iter_child_nodes(within):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node
        else:
            yield from _inside(node)
