"""What every member of a family promises about itself: its name, its kinks, its rows."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

from agreement.cases import Kind
from agreement.coverage import FAMILIES, counterpart
from agreement.function_cases import LABELS, PREDICTIONS
from manual_backprop.activations import ACTIVATIONS, Activation, Glu, Relu, Threshold
from manual_backprop.activations.base import OfRows
from manual_backprop.catalogue import Catalogued, every_variant
from manual_backprop.losses import LOSSES, Circle, Loss
from manual_backprop.optimizers import Optimizer
from manual_backprop.regularizers import REGULARIZERS
from reference.frameworks import frameworks
from reference.members import members

VARIANT = pytest.mark.parametrize("activation", every_variant(ACTIVATIONS), ids=repr)
OF_ROWS = [kind for kind in ACTIVATIONS.values() if issubclass(kind, OfRows)]


FAMILY = pytest.mark.parametrize("family", FAMILIES)


@FAMILY
def test_every_member_is_written_and_compared_as_its_family_is(family: str) -> None:
    """By name and arguments, as reports and case files have it; not as a dataclass is."""
    ours, _ = FAMILIES[family]
    base: type = Optimizer if family == "optimizers" else Catalogued
    assert {kind.__repr__ for kind in ours.values()} == {base.__repr__}
    assert {kind.__eq__ for kind in ours.values()} == {Catalogued.__eq__}
    assert {kind.__hash__ for kind in ours.values()} == {Catalogued.__hash__}


def test_losses_and_regularizers_say_where_their_kinks_are() -> None:
    """In words."""
    for kind in [*LOSSES.values(), *REGULARIZERS.values()]:
        assert isinstance(kind().kinks, str)


@FAMILY
def test_defaults_are_those_of_keras(family: str) -> None:
    """The reference is given every argument, so that a check of ours cannot see a default."""
    _, keras = frameworks()
    room = keras.optimizers.schedules if family == "schedules" else getattr(keras, family)
    ours, _ = FAMILIES[family]
    for member in members():
        kind = counterpart(member.names, ours) if member.family == family else None
        if kind is not None:
            theirs = defaults(getattr(room, member.names[0]))
            mine = defaults(kind)
            assert mine == {name: theirs.get(name, mine[name]) for name in mine}, member.names


def defaults(function: Any) -> dict[str, Any]:
    """The arguments' defaults, by name."""
    parameters = inspect.signature(function).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def slope(activation: Activation, x: np.ndarray) -> np.ndarray:
    """The derivative of an elementwise activation."""
    inputs = x[:, None]
    return activation.backward(np.ones_like(inputs), inputs, activation.forward(inputs))[:, 0]


@VARIANT
def test_slopes_jump_at_the_kinks_and_nowhere_else(activation: Activation) -> None:
    """Of quarters and tenths from −10 to 10, a jump being what outlives a tiny step."""
    if isinstance(activation, OfRows):
        assert activation.kinks == ()
        return
    quarters, tenths = np.arange(-40, 41) / 4, np.arange(-100, 101) / 10
    points = np.unique([*quarters, *tenths, *activation.kinks])
    step = np.sqrt(np.finfo(float).eps)
    above, below = slope(activation, points + step), slope(activation, points - step)
    jumps = np.abs(above - below) > np.sqrt(step) * np.maximum(np.abs(above), 1)
    assert set(points[jumps]) == set(activation.kinks)
    assert len(activation.kinks) == len(set(activation.kinks))


@pytest.mark.parametrize(
    "activation",
    [*every_variant(ACTIVATIONS), *(kind(axis=1) for kind in OF_ROWS)],
    ids=repr,
)
def test_samples_are_mixed_where_it_is_said(activation: Activation) -> None:
    """Another second sample changes the first one's output, or does not."""
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 4)) / 4  # sparsemax cuts nothing off
    other = inputs + [[0], [1]] * np.arange(4) / 16
    same = np.array_equal(activation.forward(inputs)[0], activation.forward(other)[0])
    assert activation.mixes_samples == (not same)


@VARIANT
def test_inputs_of_three_axes_are_so_many_rows(activation: Activation) -> None:
    """Forward and backward, of every activation that mixes no samples."""
    generator = np.random.default_rng(1)
    inputs = generator.uniform(-2, 2, (3, 5, 4))
    rows = inputs.reshape(15, 4)
    if activation.mixes_samples:  # rows run along the first axis, whatever follows it
        inputs, rows = np.moveaxis(inputs, -1, 0), rows.T
    output, of_rows = activation.forward(inputs), activation.forward(rows)
    assert np.array_equal(output.reshape(of_rows.shape), of_rows)
    upstream = generator.uniform(-2, 2, output.shape)
    found = activation.backward(upstream, inputs, output)
    wanted = activation.backward(upstream.reshape(of_rows.shape), rows, of_rows)
    assert np.array_equal(found.reshape(wanted.shape), wanted)


def rows_of_losses() -> list[Any]:
    """Every loss whose values are one for each row, given one by one."""
    alone = [
        loss
        for loss in every_variant(LOSSES)
        if loss.axis == -1 and loss.predictions != "frames" and not isinstance(loss, Circle)
    ]
    return [dataclasses.replace(loss, reduction="none") for loss in alone]


@pytest.mark.parametrize("loss", rows_of_losses(), ids=repr)
def test_predictions_of_three_axes_are_so_many_rows(loss: Loss) -> None:
    """Targets, values and gradients, from probabilities and from logits."""
    generator = np.random.default_rng(2)
    rows = PREDICTIONS[loss.predictions](Kind.SMOOTH, generator, (15, 4))
    predictions = rows.reshape(3, 5, 4)
    labels = LABELS[loss.labels](Kind.SMOOTH, generator, rows.shape)
    of_rows = loss.prepare(labels, rows)
    targets = loss.prepare(labels.reshape(3, 5, *labels.shape[1:]), predictions)
    assert np.array_equal(targets.reshape(of_rows.shape), of_rows)
    ways = [(loss.forward, loss.backward)]
    if loss.fuses_with:
        ways.append((loss.forward_from_logits, loss.backward_from_logits))
    for forward, backward in ways:
        assert np.array_equal(forward(predictions, targets), forward(rows, of_rows).reshape(3, 5))
        found = backward(predictions, targets)
        assert np.array_equal(found.reshape(rows.shape), backward(rows, of_rows))


def test_what_a_member_needs_is_in_its_example() -> None:
    """Members with arguments that have no defaults differ by those arguments alone."""
    assert Relu(max_value=6.0) == Relu(max_value=6.0) != Relu()
    assert hash(Threshold(1.0, 2.0)) == hash(Threshold(1.0, 2.0))
    assert Threshold(1.0, 2.0).arguments == {"threshold": 1.0, "default_value": 2.0}
    with pytest.raises(ValueError, match="3 is odd; pass an even number, such as 4"):
        Glu().output_size(3)
