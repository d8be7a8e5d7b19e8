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
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from manual_backprop import NaiveDense, NaiveSequential, activations, losses
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import every_variant
from manual_backprop.losses import LOSSES, Loss
from manual_backprop.typing import Array

LARGEST_WIDTH = 8
LARGEST_BATCH = 8
DEEPEST = 4
# A block has so many cases, and so many blocks take turns.
DRAWS = 128
BLOCKS = 32
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


KINDS = tuple(Kind)


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


@dataclass(frozen=True)
class Frame:
    """What all cases of a block have in common: a structure, and sizes.

    Attributes:
        sizes: of the inputs, and of each layer's outputs. batch: how many samples.
    """

    structure: Structure
    sizes: tuple[int, ...]
    batch: int

    @cached_property
    def loss(self) -> Loss:
        """The structure's loss."""
        return self.structure.make_loss()

    @cached_property
    def weight_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all weights, in order."""
        shapes: list[tuple[int, ...]] = []
        for i, activation in enumerate(self.structure.activations):
            units = units_for(activation, self.sizes[i + 1])
            shapes.append((self.sizes[i], units))
            shapes += [(units,)] * self.structure.biases[i]
        return shapes


class Numbers(NamedTuple):
    """All numbers of a case: weights, inputs (batch, features), and targets."""

    weights: list[Array]
    inputs: Array
    targets: Array


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


def block_of(index: int) -> int:
    """Which block a case belongs to: one of ``DRAWS`` cases of the same frame.

    Neighbours belong to different blocks, so that a few cases see many frames.
    """
    lap, place = divmod(index, BLOCKS * DRAWS)
    return lap * BLOCKS + place % BLOCKS


def draw_frame(seed: int, block: int, among: tuple[Structure, ...] | None = None) -> Frame:
    """The frame of all cases of a block; its structure is one of the usual ones or ``among``."""
    # The last number keeps it apart from the generators of cases.
    generator = np.random.default_rng([seed, block, 1])
    choices = structures() if among is None else among
    structure = choices[int(generator.integers(len(choices)))]
    widths = generator.integers(1, LARGEST_WIDTH + 1, len(structure.activations) + 1)
    batch = int(generator.integers(1, LARGEST_BATCH + 1))
    return Frame(structure, tuple(int(n) for n in widths), batch)


def draw_numbers(
    seed: int, index: int, dtype: str, frame: Frame, compiled_structures: int = 0
) -> tuple[Kind, Frame, Numbers]:
    """The numbers of the case number ``index`` of a seed, their kind and their frame.

    With ``compiled_structures`` the frame is not the given one, but of fixed sizes and one of
    that many structures.
    """
    generator = np.random.default_rng([seed, index])
    kind = KINDS[int(generator.integers(len(KINDS)))]
    if compiled_structures:
        which = int(generator.integers(compiled_structures))
        frame = Frame(structures()[which], *fixed_sizes(which))
    return kind, frame, build_numbers(frame, kind, generator, dtype)


def draw_case(
    seed: int,
    index: int,
    dtype: str,
    *,
    compiled_structures: int = 0,
    among: tuple[Structure, ...] | None = None,
) -> Case:
    """The case number ``index`` of a seed; see ``draw_frame`` and ``draw_numbers``."""
    frame = draw_frame(seed, block_of(index), among)
    kind, frame, numbers = draw_numbers(seed, index, dtype, frame, compiled_structures)
    return make_case(frame, kind, numbers, dtype, index)


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
    frame = Frame(structure, sizes, batch)
    return make_case(frame, kind, build_numbers(frame, kind, generator, dtype, change), dtype)


def build_numbers(
    frame: Frame,
    kind: Kind,
    generator: np.random.Generator,
    dtype: str,
    change: Callable[[Array], None] | None = None,
) -> Numbers:
    """Draw weights, inputs and labels; ``change`` may alter each array."""
    draw_array = DRAWS_OF[kind]

    def draw(*shape: int) -> Array:
        numbers = draw_array(generator, shape)
        if change is not None:
            change(numbers)
        return numbers.astype(dtype)

    with np.errstate(over="ignore", under="ignore"):
        weights = [draw(*shape) for shape in frame.weight_shapes]
        targets = _draw_targets(frame, generator, draw, dtype)
        return Numbers(weights, draw(frame.batch, frame.sizes[0]), targets)


def make_case(frame: Frame, kind: Kind, numbers: Numbers, dtype: str, index: int = 0) -> Case:
    """A model with given weights, and its batch."""
    remaining = iter(numbers.weights)

    def initialize(*_: object) -> Array:
        return next(remaining)

    structure, sizes = frame.structure, frame.sizes
    layers = [
        NaiveDense(
            sizes[i],
            units_for(structure.activations[i], sizes[i + 1]),
            structure.activations[i],
            use_bias=structure.biases[i],
            kernel_initializer=initialize,
            bias_initializer=initialize,
            dtype=dtype,
        )
        for i in range(len(structure.activations))
    ]
    model = NaiveSequential(layers)
    return Case(structure, model, numbers.inputs, numbers.targets, kind, index)


def _draw_targets(
    frame: Frame, generator: np.random.Generator, draw: Callable[..., Array], dtype: str
) -> Array:
    loss, batch, outputs = frame.loss, frame.batch, frame.sizes[-1]
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


DRAWS_OF: dict[Kind, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    Kind.SMOOTH: _smooth,
    Kind.NICE: _nice,
    Kind.HOSTILE: _hostile,
}
