"""The structures that campaigns draw from can all be run."""

from __future__ import annotations

import numpy as np

from agreement.cases import Kind, build_case, structures
from agreement.checking import manual_trace
from agreement.function_cases import build_function_case
from agreement.random_check import CATALOGUE_STRUCTURES
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.losses import LOSSES, Dice


def test_every_structure_of_the_catalogue_runs_for_any_size() -> None:
    """Odd batches and sizes, one sample and one unit among them; none raises."""
    generator = np.random.default_rng(0)
    for structure in structures(CATALOGUE_STRUCTURES, with_variants=True):
        for size, batch in ((1, 1), (5, 3)):
            sizes = (size,) * (len(structure.biases) + 1)
            case = build_case(structure, sizes, batch, Kind.SMOOTH, generator, "float32")
            trace = manual_trace(case.model, case.inputs, case.targets, case.loss)
            assert len(trace.predictions) == batch


def test_the_structures_hold_every_activation_and_network_loss() -> None:
    """A member that is added to a family is drawn by campaigns."""
    drawn = structures(CATALOGUE_STRUCTURES, with_variants=True)
    held = {getattr(a, "name", a) for s in drawn for a in s.activations}
    assert held == set(ACTIVATIONS)
    networks = {name for name, kind in LOSSES.items() if kind.predictions != "frames"}
    assert {s.loss for s in drawn} == networks


def test_losses_of_a_whole_batch_are_drawn_with_weights() -> None:
    """One for each sample, as Keras takes them, although there is one value."""
    generator = np.random.default_rng(0)
    drawn = [
        build_function_case(Dice(), None, Kind.SMOOTH, generator, "float32") for _ in range(30)
    ]
    weighted = [case for case in drawn if case.subject.sample_weight is not None]
    assert weighted
    assert all(case.subject.sample_weight.shape == case.inputs.shape[:1] for case in weighted)
