"""The committed list of survivors, each with the reason why nothing can or need notice it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.mutation.mutants import Mutant

LIST = Path(__file__).with_suffix(".toml")
KINDS = ("equivalent", "below the floor", "not behaviour")
Key = tuple[str, str, str, str]


def listed() -> dict[Key, str]:
    """The reason for every listed survivor, by the mutant's key.

    Raises:
        ValueError: for a reason that is of no known kind, or an entry that stands there twice.
    """
    reasons: dict[Key, str] = {}
    for entry in tomllib.loads(LIST.read_text(encoding="utf-8")).get("survivor", []):
        if entry["reason"].partition(":")[0] not in KINDS:
            raise ValueError(f"{entry}: a reason begins with one of {', '.join(KINDS)}.")
        for after in entry["becomes"]:
            key = (entry["path"], entry["where"], entry["line"], after)
            if key in reasons:
                raise ValueError(f"{key}: is listed twice.")
            reasons[key] = entry["reason"]
    return reasons


def as_entries(survivors: Iterable[Mutant]) -> str:
    """Survivors in the form of the list, without reasons."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for mutant in survivors:
        *place, after = mutant.key
        grouped.setdefault(tuple(place), []).append(after)  # type: ignore[arg-type]
    return "\n".join(_entry(place, becomes) for place, becomes in grouped.items())


def _entry(place: tuple[str, str, str], becomes: Sequence[str]) -> str:
    path, where, line = place
    rows = "\n".join(f"    '''{after}'''," for after in dict.fromkeys(becomes))
    return (
        f"[[survivor]]\npath = '{path}'\nwhere = '{where}'\nline = '''{line}'''\n"
        f'becomes = [\n{rows}\n]\nreason = ""\n'
    )
