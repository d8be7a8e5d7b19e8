"""Smooth random cases in which planted faults show: a few structures, each traced once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from agreement.cases import (
    LARGEST_BATCH,
    LARGEST_WIDTH,
    NETWORK_LOSSES,
    Case,
    Kind,
    Structure,
    build_case,
    usual_activations,
)
from agreement.faults.fault import Fault
from agreement.faults.planting import Planted, plant
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.activations import Activation, Celu, Elu, Relu

# Every loss and path; inner layers of one size, so that partners are found.
LISTED = (
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
# Activations with arguments that have faults of their own.
WITH_ARGUMENTS = (
    Relu(max_value=1.0),
    Relu(negative_slope=0.25),
    Elu(alpha=2.0),
    Celu(alpha=2.0),
)
# What stands below an activation in a structure of its own, if not it itself: two exponentials
# overflow.
BELOW: dict[str | Activation, str] = {"exponential": "tanh"}
# Each activation that is in none of the listed structures.
OTHERS = tuple(
    Structure((BELOW.get(activation, activation), activation), (True,) * 2, "mean_squared_error")
    for activation in (*usual_activations(), *WITH_ARGUMENTS)
    if not any(activation in listed.activations for listed in LISTED)
)
# Each loss that is in none of the listed structures, behind outputs that it is made for.
OTHER_LOSSES = tuple(
    Structure(("tanh", last), (True,) * 2, name, path)
    for name, kind in NETWORK_LOSSES.items()
    if not any(name == listed.loss for listed in LISTED)
    for last in [kind().fuses_with or ("linear" if kind.predictions == "numbers" else "softmax")]
    for path in (("fused", "probabilities") if kind().fuses_with else ("",))
)
# Draws after which a fault is taken never to show.
PATIENCE = 2000


@cache
def structures_for(fault: Fault) -> tuple[Structure, ...]:
    """The listed structures in which a fault can be planted, or else the others.

    Raises:
        LookupError: if it can be planted in none.
    """

    def fits(structure: Structure) -> bool:
        sizes = (2,) * (len(structure.biases) + 1)
        case = build_case(structure, sizes, 2, Kind.SMOOTH, np.random.default_rng(0), "float32")
        return bool(fault.positions(case.model, case.loss))

    for among in (LISTED, OTHERS, OTHER_LOSSES):
        if found := tuple(structure for structure in among if fits(structure)):
            return found
    raise LookupError(f"{fault.name}: no structure in agreement/faults/drawing.py has a place.")


def draw_case(fault: Fault, seed: int, index: int, dtype: str = "float32") -> Case:
    """The case number ``index`` of a seed: at least two samples, and two units in each layer.

    Its structure is one in which the fault has a place.
    For a fault at a kink, one unit of each layer has a pre-activation of exactly 0.
    Half of the cases have square weights throughout, where more faults go unnoticed.
    """
    generator = np.random.default_rng([seed, index])
    fitting = structures_for(fault)
    structure = fitting[index % len(fitting)]
    sizes = [int(n) for n in generator.integers(2, LARGEST_WIDTH + 1, len(structure.biases) + 1)]
    if generator.random() < 0.5:
        sizes = sizes[:1] * len(sizes)
    batch = int(generator.integers(2, LARGEST_BATCH + 1))
    case = build_case(structure, tuple(sizes), batch, Kind.SMOOTH, generator, dtype)
    if fault.at_kink:
        _put_a_unit_at_zero(case.model, generator)
    case.index = index
    return case


def _put_a_unit_at_zero(model: NaiveSequential, generator: np.random.Generator) -> None:
    """As a unit is whose weights all start at 0."""
    for layer in model.layers:
        assert isinstance(layer, NaiveDense)
        unit = int(generator.integers(layer.units))
        layer.W[:, unit] = 0
        if layer.b is not None:
            layer.b[unit] = 0


def cases_that_show(fault: Fault, seed: int, dtype: str = "float32") -> Iterator[Planted]:
    """The fault, planted at a drawn position, in each case of a seed where it changes a number."""
    for index in range(PATIENCE):
        case = draw_case(fault, seed, index, dtype)
        positions = fault.positions(case.model, case.loss)
        if positions:
            chosen = np.random.default_rng([seed, index, 1]).choice(positions)
            planted = plant(fault, case, int(chosen))
            if planted.shows:
                yield planted
