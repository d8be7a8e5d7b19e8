"""What the installed Keras offers: the public members of each family, with their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from reference.frameworks import frameworks

# Arguments that say how an object is kept, not what it computes.
HOUSEKEEPING = {"self", "name", "dtype", "args", "kwargs", "x"}
# Module of Keras: how its members are told from helpers.
CLASSES = {
    "losses": "Loss",
    "optimizers": "Optimizer",
    "regularizers": "Regularizer",
    "initializers": "Initializer",
}
HELPERS = {"deserialize", "get", "serialize"}


class Member(NamedTuple):
    """One thing that Keras offers under one or more public names.

    Attributes:
        family: the module, such as "losses".
        names: the public names, the object's own first.
        arguments: the names of the arguments that change what is computed.
    """

    family: str
    names: tuple[str, ...]
    arguments: tuple[str, ...]


@cache
def members() -> tuple[Member, ...]:
    """Every activation, loss, optimizer, regularizer, initializer and schedule, in that order."""
    _, keras = frameworks()
    found = _family("activations", keras.activations, _is_function)
    for family, base in CLASSES.items():
        module = getattr(keras, family)
        found += _family(family, module, _is_subclass(getattr(module, base)))
    schedules = keras.optimizers.schedules
    found += _family("schedules", schedules, _is_subclass(schedules.LearningRateSchedule))
    return tuple(found)


def _family(family: str, module: Any, belongs: Callable[[Any], bool]) -> list[Member]:
    named: dict[int, list[str]] = {}
    objects: dict[int, Any] = {}
    for name in dir(module):
        entry = getattr(module, name)
        if not name.startswith("_") and name not in HELPERS and belongs(entry):
            named.setdefault(id(entry), []).append(name)
            objects[id(entry)] = entry
    found = []
    for key, names in named.items():
        own = objects[key].__name__
        ordered = sorted(names, key=lambda name: (name != own, name))
        found.append(Member(family, tuple(ordered), _arguments(objects[key])))
    return found


def _arguments(entry: Any) -> tuple[str, ...]:
    names = inspect.signature(entry).parameters
    return tuple(name for name in names if name not in HOUSEKEEPING)


def _is_function(entry: Any) -> bool:
    return inspect.isfunction(entry)


def _is_subclass(base: type) -> Callable[[Any], bool]:
    return lambda entry: isinstance(entry, type) and issubclass(entry, base) and entry is not base
