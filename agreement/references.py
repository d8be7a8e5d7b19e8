"""The references that can be asked, by name."""

from __future__ import annotations

from collections.abc import Sequence

from agreement.verdicts import DUAL
from manual_backprop.catalogue import unknown_name
from reference.modes import MODES


def resolve_references(against: str | Sequence[str], *, dual: bool = True) -> list[str]:
    """References by name, each once.

    Args:
        dual: whether the dual numbers, which run a whole model forward, can be asked.

    Raises:
        TypeError: for what is no name. ValueError: for none, or for an unknown one.
    """
    if not isinstance(against, str | list | tuple):
        raise TypeError(
            f"against: got {against!r}, expected a name such as 'keras' or a list of names."
        )
    names = [against] if isinstance(against, str) else list(against)
    if not names:
        raise ValueError("against: is empty, expected at least one reference such as 'keras'.")
    if DUAL in names and not dual:
        raise ValueError(
            f"against: got {DUAL!r}, but the dual numbers judge whole models only; "
            f"expected some of {', '.join(MODES)}."
        )
    for name in names:
        if name not in (DUAL, *MODES):
            raise unknown_name("against", name, [*([DUAL] if dual else []), *MODES])
    return list(dict.fromkeys(names))
