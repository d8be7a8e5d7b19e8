"""The committed list of survivors, each with the reason why nothing can or need notice it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarks.mutation.mutants import Mutant

LIST = Path(__file__).with_suffix(".toml")
KINDS = ("equivalent", "below the floor", "not behaviour")
ANYWHERE = "*"


class Entry(NamedTuple):
    """One statement, what it becomes, and the reason.

    Attributes:
        path, where: as of a mutant; either may be a pattern with ``*``.
    """

    path: str
    where: str
    line: str
    becomes: str
    reason: str

    def explains(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        path, where, line, becomes = mutant.key
        places = fnmatchcase(path, self.path) and fnmatchcase(where, self.where)
        return places and (line, becomes) == (self.line, self.becomes)

    def is_within(self, paths: Iterable[str]) -> bool:
        """Whether all that it can be about has been judged, if these files have."""
        return ANYWHERE not in self.path and self.path in paths

    def __str__(self) -> str:
        return f"{self.path} {self.where}\n  - {self.line}\n  + {self.becomes}"


def entries() -> list[Entry]:
    """All entries of the list.

    Raises:
        ValueError: for a reason that is of no known kind, or an entry that stands there twice.
    """
    found: dict[Entry, None] = {}
    for row in tomllib.loads(LIST.read_text(encoding="utf-8")).get("survivor", []):
        if row["reason"].partition(":")[0] not in KINDS:
            raise ValueError(f"{row}: a reason begins with one of {', '.join(KINDS)}.")
        for after in row["becomes"]:
            entry = Entry(row["path"], row["where"], row["line"], after, row["reason"])
            if entry in found:
                raise ValueError(f"{entry}: is listed twice.")
            found[entry] = None
    return list(found)


def as_entries(survivors: Iterable[Mutant]) -> str:
    """Survivors in the form of the list, without reasons."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for mutant in survivors:
        path, where, line, after = mutant.key
        grouped.setdefault((path, where, line), []).append(after)
    return "\n".join(_entry(place, becomes) for place, becomes in grouped.items())


def _entry(place: tuple[str, str, str], becomes: Sequence[str]) -> str:
    path, where, line = place
    rows = "\n".join(f"    '''{after}'''," for after in dict.fromkeys(becomes))
    return (
        f"[[survivor]]\npath = '{path}'\nwhere = '{where}'\nline = '''{line}'''\n"
        f'becomes = [\n{rows}\n]\nreason = ""\n'
    )
