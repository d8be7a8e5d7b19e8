"""The ways in which Keras can run the same model."""

from __future__ import annotations

from dataclasses import dataclass


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
