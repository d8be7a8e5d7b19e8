"""Activations: each a forward and, right below it, its hand-derived backward.

One file for each family. A new activation is one class in its family's file.
"""

from __future__ import annotations

from manual_backprop.activations.algebraic import *
from manual_backprop.activations.base import Activation
from manual_backprop.activations.exponential import *
from manual_backprop.activations.gating import *
from manual_backprop.activations.hard import *
from manual_backprop.activations.normalising import *
from manual_backprop.activations.rectifiers import *
from manual_backprop.activations.shrinking import *
from manual_backprop.activations.sigmoidal import *
from manual_backprop.catalogue import family, resolve

ACTIVATIONS = family(Activation, globals())


def get(activation: object) -> Activation:
    """An :class:`Activation` from its name, its class, an instance, or None for linear.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
        TypeError: for any other kind of object.
    """
    return resolve(
        "activation", "linear" if activation is None else activation, Activation, ACTIVATIONS
    )
