"""The ways in which Keras can run the same model."""

from __future__ import annotations

from dataclasses import dataclass

from manual_backprop.catalogue import unknown_name


@dataclass(frozen=True)
class Mode:
    """An execution mode of the reference.

    Attributes:
        name: as in ``against=[…]``.
        compiled: traced by ``tf.function``.
        xla: compiled with ``jit_compile=True``.
    """

    name: str
    compiled: bool = False
    xla: bool = False

    def __str__(self) -> str:
        return self.name


MODES = {
    mode.name: mode
    for mode in (
        Mode("keras"),
        Mode("keras-graph", compiled=True),
        Mode("keras-xla", compiled=True, xla=True),
    )
}


def resolve_mode(name: str | Mode) -> Mode:
    """A :class:`Mode` from its name; ``ValueError`` with the nearest name otherwise."""
    if isinstance(name, Mode):
        return name
    if name not in MODES:
        raise unknown_name("against", name, MODES)
    return MODES[name]
