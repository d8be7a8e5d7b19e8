"""The bottom layer's first step is the same in all views, and computed once where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agreement.bounded import BoundedArray
from agreement.checking import check, manual_trace
from agreement.expectation import expect_end_to_end, expect_locally
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential, losses

LOSS = losses.get("mean_squared_error")


def parts_of(*layers: NaiveDense) -> tuple[NaiveSequential, Any, Any, Any]:
    """A model with a batch and targets."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 3)).astype(np.float32)
    targets = rng.standard_normal((4, layers[-1].units)).astype(np.float32)
    return NaiveSequential(layers), inputs, targets, LOSS


def seeded(layer: type[NaiveDense] = NaiveDense) -> list[NaiveDense]:
    return [layer(3, 3, "tanh", seed=1), NaiveDense(3, 2, "relu", seed=2)]


def local(*parts: Any, given: Any, shared: bool) -> tuple[Any, Any]:
    """The local expectation for a witness that was ``given`` a batch, and the end-to-end one."""
    model, _, targets, loss = parts
    whole = expect_end_to_end(*parts)
    trace = manual_trace(model, given, targets, loss)
    end_to_end = whole if shared else None
    return expect_locally(model, trace, targets, loss, end_to_end=end_to_end), whole


@pytest.mark.parametrize("layers", [seeded(), [NaiveDense(3, 3, seed=1)] * 2])
def test_all_bounds_are_what_they_are_alone(layers: list[NaiveDense]) -> None:
    """Of the first step and of all others, also where the layer stands in two places."""
    parts = parts_of(*layers)
    found, whole = local(*parts, given=parts[1], shared=True)
    alone, _ = local(*parts, given=parts[1], shared=False)
    wanted = dict(alone.tensors())
    if len({*layers}) == len(layers):
        assert found.layers[0].pre_activation is whole.layers[0].pre_activation
    for name, bound in found.tensors():
        assert isinstance(bound, BoundedArray)
        assert np.array_equal(bound.value, wanted[name].value), name
        assert np.array_equal(bound.error, wanted[name].error), name


def test_other_inputs_have_a_first_step_of_their_own() -> None:
    """A witness that did not use the batch as it is given is judged on what it used."""
    parts = parts_of(*seeded())
    other = np.nextafter(parts[1], np.float32(9))
    found, whole = local(*parts, given=other, shared=True)
    assert not np.array_equal(
        found.layers[0].pre_activation.value, whole.layers[0].pre_activation.value
    )


class Counted(NaiveDense):
    """A layer with a first step of its own."""

    calls = 0

    def affine(self, inputs: Any) -> Any:
        type(self).calls += 1
        return super().affine(inputs)


def test_a_first_step_of_ones_own_is_taken_every_time() -> None:
    """It may do anything besides."""
    parts = parts_of(*seeded(Counted))
    local(*parts, given=parts[1], shared=False)
    apart, Counted.calls = Counted.calls, 0
    local(*parts, given=parts[1], shared=True)
    assert Counted.calls == apart > 0


class Overrun(NaiveDense):
    """A layer whose first step is wrong by a factor near 1."""

    def affine(self, inputs: Any) -> Any:
        z = super().affine(inputs)
        return z if isinstance(z, BoundedArray) else z * np.float32(1 + 1e-5)


def test_a_fault_in_the_first_step_is_found_in_both_views() -> None:
    """At the bottom layer's pre-activation, before anything else."""
    model, inputs, targets, loss = parts_of(*seeded(Overrun))
    report = check(model, inputs, targets, loss=loss, against=["dual"])
    found = [v for v in report.verdicts if v.name == "overrun_1.pre_activation"]
    views = {str(v.view) for v in found if v.verdict is Verdict.DISAGREE}
    assert views == {"local", "end to end"}
    assert report.disagreements[0].name == "overrun_1.pre_activation"


class Overwriting(NaiveDense):
    """A layer that works in place, which its own backward goes by."""

    def activate(self, pre_activation: Any) -> Any:
        self.positive = pre_activation > 0
        pre_activation *= self.positive
        self.pre_activation = self.output = pre_activation
        return pre_activation

    def backward(self, grad_output: Any) -> Any:
        return self.backward_affine(grad_output * self.positive)


def test_what_a_layer_overwrote_is_no_first_step() -> None:
    """End to end it left its output where the pre-activation was."""
    model, inputs, targets, loss = parts_of(*seeded(Overwriting))
    report = check(model, inputs, targets, loss=loss, against=["dual"])
    assert "overwriting_1.pre_activation" in {v.name for v in report.disagreements}


class Careful(NaiveDense):
    """A layer that refuses a second backward pass after one forward pass."""

    def backward_affine(self, grad_pre_activation: Any) -> Any:
        assert self.grad_pre_activation is None
        return super().backward_affine(grad_pre_activation)


def test_a_forward_pass_forgets_the_gradient_of_the_last() -> None:
    """Also where its first step is not taken."""
    model, inputs, targets, loss = parts_of(*seeded(Careful))
    assert check(model, inputs, targets, loss=loss, against=["dual"]).agrees


def test_a_first_step_that_was_patched_is_taken_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the class itself, where it keeps something for a backward of its own."""
    affine, backward = NaiveDense.affine, NaiveDense.backward_weights

    def keeping(self: Any, inputs: Any) -> Any:
        self.kept = inputs
        return affine(self, inputs)

    def with_kept(self: Any, grad: Any) -> Any:
        self.inputs = self.kept
        return backward(self, grad)

    monkeypatch.setattr(NaiveDense, "affine", keeping)
    monkeypatch.setattr(NaiveDense, "backward_weights", with_kept)
    model, inputs, targets, loss = parts_of(*seeded())
    assert check(model, inputs, targets, loss=loss, against=["dual"]).agrees
