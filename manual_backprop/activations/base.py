"""What every activation is: a forward and a hand-derived backward.

``backward(grad_output, inputs, output)`` pulls a gradient with respect to the output
back to the inputs. ``inputs`` is the pre-activation and ``output`` is ``forward(inputs)``;
a derivation uses whichever is the better conditioned. Shapes are (batch, units).
"""

from __future__ import annotations

from dataclasses import dataclass

from manual_backprop.catalogue import Catalogued
from manual_backprop.typing import Array


class Activation(Catalogued):
    """A differentiable function of a layer's pre-activation; see ``Catalogued``."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points where the derivative jumps; each backward says what it chooses there."""
        return ()

    @property
    def mixes_samples(self) -> bool:
        """Whether the output of one sample depends on other samples of the batch."""
        return False

    def output_size(self, units: int) -> int:
        """How many outputs so many units have.

        Raises:
            ValueError: for a number of units that the function cannot take.
        """
        return units

    def forward(self, inputs: Array) -> Array:
        """Map a pre-activation of shape (batch, units) to (batch, output_size(units))."""
        raise NotImplementedError

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        """Return the gradient with respect to ``inputs``, of their shape and dtype."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class OfRows(Activation):
    """An activation whose every output depends on a whole row of inputs.

    Args:
        axis: along which rows run, counted from the end where it is negative.

    Raises:
        TypeError: for an axis that is no whole number.
    """

    variants = ({}, {"axis": 0})

    axis: int = -1

    @property
    def mixes_samples(self) -> bool:
        return self.axis not in (-1, 1)

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or isinstance(self.axis, bool):
            raise TypeError(f"axis: expected a whole number, such as -1, got {self.axis!r}.")
