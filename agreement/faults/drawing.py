"""Smooth random cases in which planted faults show: a few structures, each traced once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agreement.cases import LARGEST_BATCH, LARGEST_WIDTH, Case, Kind, Structure, build_case
from agreement.faults.fault import Fault
from agreement.faults.planting import Planted, plant

# Every activation, loss and path; inner layers of one size, so that partners are found.
STRUCTURES = (
    Structure(("relu", "relu", "softmax"), (True,) * 3, "sparse_categorical_crossentropy", "fused"),
    Structure(("sigmoid", "tanh", "softmax"), (True,) * 3, "categorical_crossentropy", "fused"),
    Structure(
        ("relu", "linear", "softmax"),
        (True,) * 3,
        "sparse_categorical_crossentropy",
        "probabilities",
    ),
    Structure(
        ("linear", "relu", "softmax"), (True,) * 3, "categorical_crossentropy", "probabilities"
    ),
    Structure(("relu", "relu", "linear"), (True, False, True), "mean_squared_error"),
    Structure(("tanh", "relu", "sigmoid"), (True, True, False), "mean_absolute_error"),
    Structure(("relu", "softmax"), (True, True), "mean_squared_error"),
)
# Draws after which a fault is taken never to show.
PATIENCE = 2000


def draw_case(seed: int, index: int, dtype: str = "float32") -> Case:
    """The case number ``index`` of a seed: at least two samples, and two units in each layer.

    Half of the cases have square weights throughout, where more faults go unnoticed.
    """
    generator = np.random.default_rng([seed, index])
    structure = STRUCTURES[index % len(STRUCTURES)]
    sizes = [int(n) for n in generator.integers(2, LARGEST_WIDTH + 1, len(structure.biases) + 1)]
    if generator.random() < 0.5:
        sizes = sizes[:1] * len(sizes)
    batch = int(generator.integers(2, LARGEST_BATCH + 1))
    case = build_case(structure, tuple(sizes), batch, Kind.SMOOTH, generator, dtype)
    case.index = index
    return case


def cases_that_show(fault: Fault, seed: int, dtype: str = "float32") -> Iterator[Planted]:
    """The fault, planted at a drawn position, in each case of a seed where it changes a number."""
    for index in range(PATIENCE):
        case = draw_case(seed, index, dtype)
        positions = fault.positions(case.model, case.loss)
        if positions:
            chosen = np.random.default_rng([seed, index, 1]).choice(positions)
            planted = plant(fault, case, int(chosen))
            if planted.shows:
                yield planted
