"""Losses: each a value and, right below it, its hand-derived gradient.

One file for each family. A new loss is one class in its family's file.
"""

from __future__ import annotations

from manual_backprop.catalogue import family, resolve
from manual_backprop.losses.base import EPSILON, PATHS, REDUCTIONS, CrossEntropy, Loss
from manual_backprop.losses.binary import *
from manual_backprop.losses.crossentropy import *
from manual_backprop.losses.divergence import *
from manual_backprop.losses.focal import *
from manual_backprop.losses.margin import *
from manual_backprop.losses.overlap import *
from manual_backprop.losses.regression import *
from manual_backprop.losses.sequence import *
from manual_backprop.losses.similarity import *

LOSSES = family(Loss, globals())


def get(loss: object) -> Loss:
    """A :class:`Loss` from its name, its class or an instance.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
        TypeError: for any other kind of object, such as the loss's *value*.
    """
    return resolve("loss", loss, Loss, LOSSES)
