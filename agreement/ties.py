"""Ties that dual numbers meet: where a convention, and no derivative, decides.

A run decides every tie as the code does; another one decides it otherwise. Where a tangent may be
either of two, the other run takes one at random between them: gradients are polynomials in what
ties decide, and one may have the same value where all is decided one way and where all is decided
the other, although it is another between them (−½ + 2·¼ is 0 too). A polynomial that is not
constant does not have the same value at random points. Where only a whole decision makes sense,
such as an order or an index, it is the opposite one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agreement.alike import Flag, has_none, inverse, raw, restacked, somewhere
from manual_backprop.typing import Array


@dataclass
class Run:
    """One run of forward code on dual numbers.

    Attributes:
        work: the dtype of the arithmetic, wider than that of the model.
        other_way: decide ties otherwise. met: whether a tie was met.
        decisions: how many were asked for, by which random numbers are drawn.
    """

    work: np.dtype[Any]
    other_way: bool = False
    met: Flag = False
    decisions: int = 0

    def note(self, tied: Array) -> bool:
        """Remember that ties were met, if they were in any draw."""
        self.decisions += 1
        found = somewhere(tied)
        if found:
            self.met = self.met | inverse(has_none(tied))
        return found

    def decide(self, usual: Array, tied: Array) -> Array:
        """The usual decision, or the opposite one at ties, which remembers where they are."""
        if self.note(tied) and self.other_way:
            return _remembering(usual ^ tied, tied)
        return usual

    def choose(self, usual: Array, tied: Array, a: Array, b: Array) -> Array:
        """Of tangents (directions, …) ``a`` where the decision holds and ``b`` elsewhere; between
        them at ties if they are decided otherwise."""
        chosen: Array = np.where(usual, a, b)
        if not self.note(tied) or not self.other_way:
            return chosen
        return np.where(tied, b + self.shares(tied.shape) * (a - b), chosen)

    def shares(self, shape: tuple[int, ...]) -> Array:
        """Random numbers from ¼ to ¾; of a stack all draws have the same."""
        return np.random.default_rng(self.decisions).uniform(0.25, 0.75, shape)


class _Remembering(np.ndarray):
    """A mask, and where in it ties were decided otherwise; what is made of it has forgotten."""

    tied: Array | None

    def __array_finalize__(self, source: Any) -> None:
        self.tied = None


def _remembering(mask: Array, tied: Array) -> Array:
    found = np.asarray(raw(mask)).view(_Remembering)
    found.tied = np.broadcast_to(raw(tied), found.shape)
    return restacked(found, mask)


def ties_of(x: Any) -> Any:
    """Where ties in a mask were decided otherwise; None if it knows of none."""
    tied = getattr(raw(x), "tied", None)
    return None if tied is None else restacked(tied, x)
