"""Explanations of wrong derivatives of smooth activations, and of those of a whole row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from manual_backprop import special
from manual_backprop.activations import SELU_SCALE, Activation, Gelu
from manual_backprop.typing import Array

# From the pre-activation, the output and the upstream gradient to a wrong gradient.
WrongGradient = Callable[[Array, Array, Array], Array]

OTHER = "other-derivative", "another function's derivative is used"
PARTIAL = "derivative-partial", "a part of the derivative is missing"
SIGN = "derivative-sign", "a sign inside the derivative is wrong"
PIECE = "piece-missing", "what lies above 0 is differentiated like what lies below"
ALPHA = "argument-missing", "alpha is missing in the derivative"
DIAGONAL = "diagonal-only", "only the Jacobian's diagonal is used"
INNER = "inner-missing", "the sum over the row is missing"
LOGARITHM = "logarithm-for-probability", "the output is used where its exponential belongs"
ORDER = "halves-swapped", "the gradients of the two halves are swapped"


def slips(activation: Activation, z: Array, g: Array, y: Array) -> Iterator[tuple[str, str, Array]]:
    """What people write for a′(z)·g.

    Args:
        z, g, y: pre-activation, gradient with respect to the output, and output.
    """
    for (name, sentence), wrong in SLIPS.get(activation.name, ()):
        yield name, sentence, wrong(z, y, g)


def _lower_part(z: Array, y: Array, g: Array) -> Array:
    return np.where(z > 0, g, g * y)


def _glu_parts(z: Array, y: Array, g: Array) -> tuple[Array, Array, Array]:
    """a, the gate, and g, all of half the size."""
    a, b = np.split(z, 2, axis=-1)
    return a, special.sigmoid(b), g


def _glu_swapped(z: Array, y: Array, g: Array) -> Array:
    a, gate, g = _glu_parts(z, y, g)
    return np.concatenate([g * a * gate * (1 - gate), g * gate], axis=-1)


def _glu_partial(z: Array, y: Array, g: Array) -> Array:
    a, gate, g = _glu_parts(z, y, g)
    return np.concatenate([g * gate, g * a], axis=-1)


def _mish_inner_missing(z: Array, y: Array, g: Array) -> Array:
    gate = np.tanh(special.softplus(z))
    return g * (gate + z * (1 - gate * gate))


EXPONENTIAL_BELOW_0: tuple[tuple[tuple[str, str], WrongGradient], ...] = (
    (PIECE, lambda z, y, g: g * np.exp(z)),
    (PARTIAL, _lower_part),
    (ALPHA, lambda z, y, g: g * np.exp(np.minimum(z, 0))),
)
SLIPS: dict[str, tuple[tuple[tuple[str, str], WrongGradient], ...]] = {
    "celu": EXPONENTIAL_BELOW_0,
    "elu": EXPONENTIAL_BELOW_0,
    "exponential": ((OTHER, lambda z, y, g: g * z * np.exp(z - 1)),),
    "gelu": (
        (PARTIAL, lambda z, y, g: g * special.erfc(-np.sqrt(0.5) * z) / 2),
        (OTHER, lambda z, y, g: Gelu(approximate=True).backward(g, z, y)),
        (OTHER, lambda z, y, g: Gelu(approximate=False).backward(g, z, y)),
    ),
    "glu": ((ORDER, _glu_swapped), (PARTIAL, _glu_partial)),
    "log_sigmoid": (
        (OTHER, lambda z, y, g: g * special.sigmoid(z) * special.sigmoid(-z)),
        (SIGN, lambda z, y, g: g * special.sigmoid(z)),
    ),
    "log_softmax": (
        (LOGARITHM, lambda z, y, g: g - y * g.sum(axis=-1, keepdims=True)),
        (DIAGONAL, lambda z, y, g: g * (1 - np.exp(y))),
    ),
    "mish": (
        (PARTIAL, lambda z, y, g: g * np.tanh(special.softplus(z))),
        (PARTIAL, _mish_inner_missing),
    ),
    "selu": ((PARTIAL, lambda z, y, g: g * SELU_SCALE * np.exp(np.minimum(z, 0))),),
    "silu": (
        (PARTIAL, lambda z, y, g: g * special.sigmoid(z)),
        (OTHER, lambda z, y, g: g * y * (1 - y)),
    ),
    "sparsemax": (
        (OTHER, lambda z, y, g: y * (g - (g * y).sum(axis=-1, keepdims=True))),
        (INNER, lambda z, y, g: g * (y > 0)),
    ),
    "tanh_shrink": (
        (OTHER, lambda z, y, g: g * (1 - np.square(np.tanh(z)))),
        (PARTIAL, lambda z, y, g: g * np.tanh(z)),
    ),
}
