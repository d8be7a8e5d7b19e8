"""Explanations of wrong derivatives of activations that are made of pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from manual_backprop.activations import Activation
from manual_backprop.typing import Array

# How far beside a kink its neighbouring pieces are differentiated.
BESIDE = 2.0**-20


def pieces(
    activation: Activation, z: Array, g: Array, y: Array
) -> Iterator[tuple[str, str, Array]]:
    """a′(z)·g with a piece forgotten, or differentiated like another function.

    Args:
        z, g, y: pre-activation, gradient with respect to the output, and output.
    """
    for kink in activation.kinks:
        step = BESIDE * (1 + abs(kink))
        for side, beyond, moved in (
            ("below", "above", np.minimum(z, kink - step)),
            ("above", "below", np.maximum(z, kink + step)),
        ):
            sentence = f"what lies {beyond} {kink:g} is differentiated like what lies {side}"
            found = activation.backward(g, moved, activation.forward(moved))
            yield "piece-missing", sentence, found
        far, near = (activation.backward(g, x, activation.forward(x)) for x in (2 * kink - z, z))
        yield (
            "sides-swapped",
            f"the two sides of {kink:g} are swapped",
            np.where(z == kink, near, far),
        )
    for name, sentence, derivative in SLIPS.get(activation.name, ()):
        yield name, sentence, g * derivative(z, y)
    sentence = "the activation is applied to the gradient itself"
    yield "applied-to-upstream", sentence, activation.forward(g)


# From the pre-activation and the output to a wrong derivative.
Derivative = Callable[[Array, Array], Array]
OTHER = "another function's derivative is used"
PARTIAL = "a part of the derivative is missing"

# activation: (name, sentence, derivative) of slips that are its own.
SLIPS: dict[str, tuple[tuple[str, str, Derivative], ...]] = {
    "hard_tanh": (("other-derivative", OTHER, lambda z, y: 1 - y * y),),
    "hard_sigmoid": (("other-derivative", OTHER, lambda z, y: y * (1 - y)),),
    "hard_silu": (
        ("derivative-partial", PARTIAL, lambda z, y: np.clip(z + 3, 0, 6) / 6),
        (
            "mask-missing",
            "the mask is missing: the slope between the kinks is used beyond them as well",
            lambda z, y: np.clip(z + 3, 0, 6) / 6 + z / 6,
        ),
    ),
    "sparse_sigmoid": (("other-derivative", OTHER, lambda z, y: y * (1 - y)),),
    "softsign": (
        ("derivative-partial", PARTIAL, lambda z, y: 1 / (1 + np.abs(z))),
        ("derivative-sign", "a sign inside the derivative is wrong", lambda z, y: (1 - y) ** 2),
    ),
}
