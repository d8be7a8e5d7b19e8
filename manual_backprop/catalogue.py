"""Finding activations, losses, … by name, with an error that suggests the nearest one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def family(base: type[T], namespace: Mapping[str, Any]) -> dict[str, type[T]]:
    """Every concrete subclass of ``base`` in a module's namespace, by its ``name``.

    A new member is one class in its family file; nothing registers itself on import.
    """
    members = {
        entry.__dict__["name"]: entry
        for entry in namespace.values()
        if isinstance(entry, type) and issubclass(entry, base) and "name" in entry.__dict__
    }
    return dict(sorted(members.items()))


def unknown_name(argument: str, given: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not in the catalogue, with the nearest one that is."""
    # Imported here: most programs never need it.
    import difflib

    names = list(known)
    nearest = difflib.get_close_matches(str(given).lower(), names, n=1, cutoff=0.0)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return ValueError(f"{argument}: unknown name {given!r}{hint} Known: {', '.join(names)}.")


def resolve(argument: str, given: object, base: type[T], members: Mapping[str, type[T]]) -> T:
    """Turn a name, a class or an instance into an instance of ``base``.

    Raises:
        ValueError: for a name that is not in ``members``.
        TypeError: for anything that is neither a name nor a member of the family.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, type) and given in members.values():
        return given()
    if isinstance(given, str):
        if given not in members:
            raise unknown_name(argument, given, members)
        return members[given]()
    raise TypeError(
        f"{argument}: expected a name or a {base.__name__}, got {type(given).__name__}; "
        f"pass for instance {next(iter(members))!r}."
    )
