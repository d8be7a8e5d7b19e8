"""Functions with a name and arguments, and how one is found by its name.

A member of a family (an activation, a loss, …) is one class. Its Keras twin is found by its
name, the twin's arguments by the names of the fields where the class is a dataclass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

T = TypeVar("T", bound="Catalogued")


class Catalogued:
    """A member of a family.

    Subclasses set ``name``, which is Keras' name, and may set

    * ``aliases``: other names that Keras knows it by,
    * ``variants``: the arguments with which checks try it, the usual ones first; a member
      without defaults needs them,
    * ``domain``: in words, where the function is defined.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    domain: ClassVar[str] = "all real numbers"

    @property
    def arguments(self) -> dict[str, Any]:
        """What the member was made with: the fields, where the class is a dataclass."""
        return {field.name: getattr(self, field.name) for field in _fields(self)}

    @property
    def unusual_arguments(self) -> dict[str, Any]:
        """The arguments that differ from their defaults, or have none."""
        return {f.name: v for f in _fields(self) if (v := getattr(self, f.name)) != f.default}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.unusual_arguments.items())
        return f"{self.name}({given})" if given else self.name

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.arguments == getattr(other, "arguments", None)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self.arguments.items(), key=repr)))


def _fields(member: Catalogued) -> list[dataclasses.Field[Any]]:
    """The fields that a member is made with; none where its class is no dataclass."""
    if not dataclasses.is_dataclass(member):
        return []
    return [field for field in dataclasses.fields(member) if field.init]


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


def every_variant(members: Mapping[str, type[T]]) -> list[T]:
    """Each member with each of the arguments that checks try it with."""
    return [kind(**arguments) for kind in members.values() for arguments in kind.variants]


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
    if isinstance(given, str):
        named = {alias: kind for kind in members.values() for alias in kind.aliases} | {**members}
        if given not in named:
            raise unknown_name(argument, given, members)
        given = named[given]
    if isinstance(given, type) and given in members.values():
        try:
            return given()
        except TypeError:
            kind = next(kind for kind in members.values() if kind is given)
            _, _, example = repr(kind(**kind.variants[0])).partition("(")
            raise TypeError(
                f"{argument}: {kind.name!r} has arguments without defaults; pass an instance, "
                f"such as {kind.__name__}({example}."
            ) from None
    raise TypeError(
        f"{argument}: expected a name or a {base.__name__}, got {type(given).__name__}; "
        f"pass for instance {next(iter(members))!r}."
    )
