"""Random cases: architectures, weights, inputs and labels, smooth ones and hostile ones.

A case is determined by (seed, index), whichever process draws it. Shapes are free, but the
*structures* (activations, biases, loss, path) are a fixed, seeded set, so that a reference
traces one function for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np

from manual_backprop import NaiveDense, NaiveSequential, activations, losses
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import every_variant
from manual_backprop.losses import LOSSES, Loss
from manual_backprop.typing import Array

LARGEST_WIDTH = 8
LARGEST_BATCH = 8
DEEPEST = 4
NICE_NUMBERS = np.array([0, 1, -1, 0.5, -0.5, 1 / 3, -1 / 3, 2, -2, 10, -10, 0.1, 3, 7])
SPECIAL_NUMBERS = np.array(
    [0.0, -0.0, 1.0, -1.0, 1e-7, -1e-7, 1e-30, -1e-30, 1e-40, 1e-45, 1e4, -1e4, 1e10, -1e10, 1e30]
)
SCALES = np.array([1e-30, 1e-12, 1e-6, 1e-3, 10, 100, 1e3, 1e6, 1e12, 1e25])
# Losses of what dense layers predict, (batch, outputs); a loss of sequences is checked alone.
NETWORK_LOSSES = {name: kind for name, kind in LOSSES.items() if kind.predictions != "frames"}

# Activations of the last layer that give what a loss without a fused form has to be given.
LAST: dict[str, tuple[str | None, ...]] = {
    "numbers": (None,),
    "positive": ("sigmoid", "relu"),
    "probabilities": ("softmax", "sigmoid"),
    "directions": (None,),
}


class Kind(StrEnum):
    """How a case's numbers are drawn."""

    SMOOTH = "smooth"  # uniform in (−2, 2)
    NICE = "nice"  # 0, ±1, ½, ⅓, 10 …: exact cancellations and ties
    HOSTILE = "hostile"  # special numbers, ties, zeros, saturation, extreme scales


@dataclass(frozen=True)
class Structure:
    """A model without its sizes, and the loss on top.

    Attributes:
        activations: a name for each layer, or an activation whose arguments need values.
        biases: whether each layer has one.
        loss: the loss's name. path: see ``manual_backprop.losses``; "" where it has none.
    """

    activations: tuple[str | Activation, ...]
    biases: tuple[bool, ...]
    loss: str
    path: str = ""

    def make_loss(self) -> Loss:
        """The loss with its path."""
        return LOSSES[self.loss](self.path) if self.path else losses.get(self.loss)  # type: ignore[call-arg]

    @property
    def path_name(self) -> str:
        """How reports name the way to the loss."""
        if not self.path:
            return "other losses"
        fused = self.make_loss().is_fused_with(activations.get(self.activations[-1]).name)
        return "fused" if fused else "probabilities"


@dataclass
class Case:
    """One model and one batch; ``index`` is its place in the seed's sequence."""

    structure: Structure
    model: NaiveSequential
    inputs: Array
    targets: Array
    kind: Kind
    index: int = 0

    @property
    def loss(self) -> Loss:
        """The case's loss."""
        return self.structure.make_loss()


def usual_activations() -> list[str | Activation]:
    """Every activation by its name, or with its usual arguments where those have no defaults."""
    return [
        kind(**usual) if (usual := kind.variants[0]) else name for name, kind in ACTIVATIONS.items()
    ]


def _of_single_samples() -> list[Activation]:
    """Every variant that gives each sample an output."""
    batch = np.zeros((2, 2))
    return [
        activation
        for activation in every_variant(ACTIVATIONS)
        if len(activation.forward(batch)) == len(batch)
    ]


@cache
def structures(
    count: int = 48, seed: int = 0, *, with_variants: bool = False
) -> tuple[Structure, ...]:
    """A fixed set: every activation and loss, each cross-entropy path, depths 1 to 4.

    ``with_variants`` takes each activation with every variant of its arguments that keeps the
    batch's size: glu along the samples does not.
    """
    generator = np.random.default_rng(seed)
    others = itertools.cycle(_of_single_samples() if with_variants else usual_activations())
    endings: list[tuple[str | None, str, str]] = []
    for name, kind in NETWORK_LOSSES.items():
        fused = kind().fuses_with
        if fused is not None:
            other = "sigmoid" if fused == "softmax" else "softmax"  # off the simplex, or on it
            endings += [(fused, name, "fused"), (fused, name, "probabilities")]
            endings += [(other, name, "probabilities")]
        else:
            endings += [(last, name, "") for last in LAST[kind.predictions]]
    found: list[Structure] = []
    while len(found) < count:
        last, loss_name, path = endings[len(found) % len(endings)]
        depth = int(generator.integers(1, DEEPEST + 1))
        hidden = ["relu" if generator.random() < 0.5 else next(others) for _ in range(depth - 1)]
        ending = last or next(others)
        biases = tuple(bool(b) for b in generator.random(depth) < 0.8)
        structure = Structure((*hidden, ending), biases, loss_name, path)
        if structure not in found:
            found.append(structure)
    return tuple(found)


def fixed_sizes(structure_index: int) -> tuple[tuple[int, ...], int]:
    """Layer sizes and batch of a structure where the reference compiles for each shape."""
    generator = np.random.default_rng([1, structure_index])
    depth = len(structures()[structure_index].activations)
    sizes = generator.integers(1, LARGEST_WIDTH + 1, depth + 1)
    return tuple(int(n) for n in sizes), int(generator.integers(1, LARGEST_BATCH + 1))


def draw_case(
    seed: int,
    index: int,
    dtype: str,
    *,
    compiled_structures: int = 0,
    among: tuple[Structure, ...] | None = None,
) -> Case:
    """The case number ``index`` of a seed.

    With ``compiled_structures`` the case has fixed sizes and one of that many structures.
    """
    generator = np.random.default_rng([seed, index])
    kind = list(Kind)[int(generator.integers(len(Kind)))]
    choices = structures() if among is None else among
    if compiled_structures:
        which = int(generator.integers(compiled_structures))
        sizes, batch = fixed_sizes(which)
    else:
        which = int(generator.integers(len(choices)))
        depth = len(choices[which].activations)
        sizes = tuple(int(n) for n in generator.integers(1, LARGEST_WIDTH + 1, depth + 1))
        batch = int(generator.integers(1, LARGEST_BATCH + 1))
    case = build_case(choices[which], sizes, batch, kind, generator, dtype)
    case.index = index
    return case


def units_for(activation: str | Activation | None, outputs: int) -> int:
    """How many units a layer with that activation needs for so many outputs."""
    twice = 2 * outputs
    return twice if activations.get(activation).output_size(twice) == outputs else outputs


def build_case(
    structure: Structure,
    sizes: tuple[int, ...],
    batch: int,
    kind: Kind,
    generator: np.random.Generator,
    dtype: str,
    change: Callable[[Array], None] | None = None,
) -> Case:
    """Draw weights, inputs and labels for given sizes; ``change`` may alter each array."""

    def draw(*shape: int) -> Array:
        numbers = DRAWS[kind](generator, shape)
        if change is not None:
            change(numbers)
        with np.errstate(over="ignore", under="ignore"):
            return numbers.astype(dtype)

    def initialize(shape: tuple[int, ...], *_: object) -> Array:
        return draw(*shape)

    layers = [
        NaiveDense(
            sizes[i],
            units_for(structure.activations[i], sizes[i + 1]),
            structure.activations[i],
            use_bias=structure.biases[i],
            kernel_initializer=initialize,
            bias_initializer=initialize,
            dtype=dtype,
            seed=generator,
        )
        for i in range(len(structure.activations))
    ]
    model = NaiveSequential(layers)
    targets = _draw_targets(structure, generator, draw, batch, sizes[-1], dtype)
    return Case(structure, model, draw(batch, sizes[0]), targets, kind)


def _draw_targets(
    structure: Structure,
    generator: np.random.Generator,
    draw: Callable[..., Array],
    batch: int,
    outputs: int,
    dtype: str,
) -> Array:
    loss = structure.make_loss()
    labels: Any = generator.integers(0, outputs, batch)
    if loss.labels == "bits":
        labels = generator.integers(0, 2, (batch, outputs))
    elif loss.labels in ("numbers", "counts") and generator.random() < 0.7:
        labels = draw(batch, outputs)
        labels = np.abs(labels) if loss.labels == "counts" else labels
    return loss.prepare(labels, np.broadcast_to(np.zeros((), dtype), (batch, outputs)))


def _smooth(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.uniform(-2, 2, shape)


def _nice(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.choice(NICE_NUMBERS, shape)


def _hostile(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Smooth or nice numbers, some of them special, repeated, cancelling, all zero or scaled."""
    numbers = (_smooth if generator.random() < 0.5 else _nice)(generator, shape)
    trouble = generator.random(5)
    if trouble[0] < 0.5:
        chosen = generator.random(shape) < 0.3
        numbers = np.where(chosen, generator.choice(SPECIAL_NUMBERS, shape), numbers)
    if trouble[1] < 0.2:
        numbers[...] = numbers[:1]  # equal rows: ties
    if trouble[2] < 0.2:
        half = len(numbers) // 2
        numbers[half : 2 * half] = -numbers[:half]  # exact cancellation
    if trouble[3] < 0.05:
        numbers[...] = 0
    if trouble[4] < 0.25:
        numbers = numbers * generator.choice(SCALES)
    return np.clip(numbers, -1e37, 1e37)


DRAWS: dict[Kind, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    Kind.SMOOTH: _smooth,
    Kind.NICE: _nice,
    Kind.HOSTILE: _hostile,
}
