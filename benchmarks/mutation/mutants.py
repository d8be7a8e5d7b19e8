"""Mutants of a source file: Cosmic Ray's operators, applied one place at a time.

Every arithmetic operator and every comparison has one or two replacements (``REPLACEMENTS``): the
opposite, and of an order the other side of equality, as PIT has it. Cosmic Ray's others, up to
eleven for each, raise on arrays of floats, which would flatter the score, or are hardly harder to
notice. Left out besides: operators that need arguments, what is no Python, annotations, which are
never evaluated, ``variants``, the arguments that checks try, and what ``kw_only`` and ``repr`` of a
dataclass are: how its members are called and shown.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast

from benchmarks.mutation.calls import Place, scope

REPLACEMENTS = """
    Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul
    BitOr_BitAnd BitAnd_BitOr BitXor_BitAnd RShift_LShift LShift_RShift
    Delete_USub Delete_Invert Delete_Not
    Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is
    Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt
"""


@dataclass(frozen=True)
class Mutant:
    """One changed source file.

    Attributes:
        path: the file, relative to the repository's root. where: the class and function.
        runs_in: the function that runs the change; "" if it happens on import.
        line: the number of the first line that differs. before, after: the lines, stripped.
        source: the whole changed file.
    """

    path: str
    where: str
    runs_in: str
    line: int
    before: str
    after: str
    source: str

    @property
    def module(self) -> str:
        """The module's dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a listed survivor is found by; it does not move with the line."""
        return (self.path, self.where, self.before, self.after)

    def is_met_by(self, called: set[Place], *, or_around: bool = False) -> bool:
        """Whether a check that calls these functions runs the change; or only what is around it.

        A function inside another is made anew, of the other's code, whenever that is called.
        """
        parts = self.runs_in.split(".")
        shortest = 1 if or_around else len(parts)
        names = (".".join(parts[:end]) for end in range(shortest, len(parts) + 1))
        return any((self.path, name) in called for name in names)

    def may_be_met_by(self, called: set[Place], *, in_class: bool) -> bool:
        """Whether a check that calls these functions may see the change where all is loaded anew.

        So may one that calls anything in the changed file; or ``in_class``, in the changed class.
        """
        inside = self.where.partition(".")[0] if in_class else ""
        return any(path == self.path and name.startswith(inside) for path, name in called)

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.where}\n  - {self.before}\n  + {self.after}"


def mutants_of(root: Path, path: Path) -> Iterator[Mutant]:
    """Every mutant of one file, each changed source once, in the order of the lines."""
    original = (root / path).read_text(encoding="utf-8")
    seen = {_evaluated(original)}
    found = []
    nodes = list(ast_nodes(get_ast(original)))
    for operator_class in _operators():
        operator = operator_class()
        for node in nodes:
            for index, _ in enumerate(operator.mutation_positions(node)):
                source = _mutated(original, node, operator, index)
                evaluated = None if source is None else _evaluated(source)
                if source is not None and evaluated is not None and evaluated not in seen:
                    seen.add(evaluated)
                    found.append(_mutant(path, original, source))
    yield from sorted(found, key=lambda mutant: mutant.line)


def _operators() -> Iterator[Any]:
    for name in plugins.operator_names():
        operator_class = plugins.get_operator(name)
        replaces = re.search("Replace[A-Za-z]+Operator_(.*)", name)
        chosen = replaces is None or replaces[1] in REPLACEMENTS.split()
        if chosen and not operator_class.arguments():
            yield operator_class


def _mutated(original: str, node: Any, operator: Any, index: int) -> str | None:
    """The source with one node changed; None if the operator cannot change it after all."""
    parent, node.parent = node.parent, None  # so that the copy is of this node alone
    mine = copy.deepcopy(node)
    mine.parent = node.parent = parent
    try:
        changed = operator.mutate(mine, index)
    except AttributeError:  # ExceptionReplacer knows no dotted names
        return None
    lines = original.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    (row, column), (last_row, last_column) = node.get_start_pos_of_prefix(), node.end_pos
    first, last = starts[row - 1] + column, starts[last_row - 1] + last_column
    text = "" if changed is None else changed.get_code()
    return original[:first] + text + original[last:]


def _mutant(path: Path, original: str, source: str) -> Mutant:
    lines, changed = original.splitlines(), source.splitlines()
    first = _common(lines, changed)
    last = _common(lines[first:][::-1], changed[first:][::-1])
    place = scope(original, first + 1)
    return Mutant(
        path=path.as_posix(),
        where=place.where,
        runs_in=place.runs_in,
        line=first + 1,
        before=_joined(lines[first : len(lines) - last]),
        after=_joined(changed[first : len(changed) - last]),
        source=source,
    )


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines the two have in common at the beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


def _evaluated(source: str) -> str | None:
    """What of a source is mutated, see above; None if it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        assigned = getattr(node, "targets", [getattr(node, "target", node)])[0]
        if "variants" in getattr(assigned, "id", "").lower() and isinstance(assigned, ast.Name):
            node.value = ast.Constant(None)  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign | ast.arg):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.keyword) and node.arg in ("kw_only", "repr"):
            node.value = ast.Constant(None)
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)
