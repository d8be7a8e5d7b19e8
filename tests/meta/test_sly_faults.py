"""Faults that hide from a judge, and honest code that looks like one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agreement import Report, check
from manual_backprop import NaiveDense, NaiveSequential, SparseCategoricalCrossentropy
from manual_backprop.activations import Tanh

INPUTS = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
LABELS = np.arange(8) % 4
EVERYBODY = ("keras", "keras-graph", "dual")


def judged(
    below: NaiveDense,
    above: NaiveDense | None = None,
    inputs: np.ndarray = INPUTS,
    against: tuple[str, ...] = EVERYBODY,
    loss: object = "sparse_categorical_crossentropy",
) -> Report:
    model = NaiveSequential([below, above or NaiveDense(5, 4, "softmax", seed=2)])
    return check(model, inputs, LABELS, against=against, loss=loss)


def altered(change: Callable[[NaiveDense, np.ndarray], np.ndarray]) -> type[NaiveDense]:
    """A layer whose ``backward_affine`` is followed by a change that may replace its result."""

    class Altered(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            return change(self, super().backward_affine(grad_pre_activation))

    return Altered


def cancelled(array: np.ndarray) -> np.ndarray:
    """Numbers drowned in cancellation: exactly 0 in float32, with an enormous bound."""
    return (array + 1e9) - 1e9


def drown_all(layer, grad_inputs):
    layer.gradients = [cancelled(0 * g) for g in layer.gradients]
    return grad_inputs


def drown_two_rows(layer, grad_inputs):
    layer.gradients[0][:2] = cancelled(layer.gradients[0][:2])
    return grad_inputs


def drown_below(layer, grad_inputs):
    return cancelled(grad_inputs)


def nan_below(layer, grad_inputs):
    return grad_inputs * np.nan


@pytest.mark.parametrize("change", [drown_all, drown_below, drown_two_rows, nan_below])
@pytest.mark.parametrize("place", [0, 1])
def test_what_cannot_be_seen_is_not_agreed_to(change: Callable, place: int) -> None:
    """Gradients behind a huge bound, whole or in part, or NaN, are unjudged: exit status 2."""
    kinds = [altered(change) if i == place else NaiveDense for i in range(2)]
    report = judged(kinds[0](6, 5, "tanh", seed=1), kinds[1](5, 4, "softmax", seed=2))
    assert report.exit_status == 2, report.conclusion()


def test_a_drowned_loss_or_activation_is_not_agreed_to() -> None:
    """A step that no weight belongs to needs evidence of its own."""

    class DrownedLoss(SparseCategoricalCrossentropy):
        def backward_from_logits(self, predictions, targets, logits=None):
            return cancelled(super().backward_from_logits(predictions, targets, logits))

    class DrownedTanh(Tanh):
        def backward(self, grad_output, inputs, output):
            return cancelled(grad_output * (1 - output * output))

    assert judged(NaiveDense(6, 5, "tanh", seed=1), loss=DrownedLoss()).exit_status == 2
    assert judged(NaiveDense(6, 5, DrownedTanh(), seed=1)).exit_status == 2


def test_an_abstention_is_no_evidence_and_takes_no_side() -> None:
    """At a kink in every element of a bias the dual numbers alone could not judge it."""

    class FiveTimes(NaiveDense):
        def backward(self, grad_output):
            grad = grad_output * (self.pre_activation > 0)
            self.gradients = [self.inputs.T @ grad, 5 * grad.sum(axis=0)]
            return grad @ self.W.T

    inputs = INPUTS.copy()
    inputs[0] = 0
    alone = judged(FiveTimes(6, 5, "relu", seed=1), inputs=inputs, against=("dual",))
    assert alone.exit_status == 2
    assert judged(FiveTimes(6, 5, "relu", seed=1), against=("dual",)).exit_status == 1
    report = judged(FiveTimes(6, 5, "relu", seed=1), inputs=inputs, against=("keras",))
    assert report.exit_status == 1
    assert "abstain" in next(iter(report.diagnoses.values())).side


def test_state_and_side_effects_are_seen_in_one_check() -> None:
    """Gradients that add up over calls, and weights that a backward pass changes."""

    def accumulate(layer, grad_inputs):
        earlier = getattr(layer, "sums", [0, 0])
        layer.sums = [a + b for a, b in zip(earlier, layer.gradients, strict=True)]
        layer.gradients = list(layer.sums)
        return grad_inputs

    def step(layer, grad_inputs):
        layer.W -= np.float32(0.1) * layer.gradients[0]
        return grad_inputs

    report = judged(altered(accumulate)(6, 5, "tanh", seed=1))
    assert {v.name for v in report.disagreements} == {"altered_1.grad_W", "altered_1.grad_b"}
    assert report.diagnoses["altered_1.grad_W"].explanation.name == "accumulated"
    report = judged(altered(step)(6, 5, "tanh", seed=1))
    assert {v.name for v in report.disagreements} >= {"altered_1.W"}
    assert "changed during the pass" in report.conclusion()


@pytest.mark.parametrize("place", [0, 1])
def test_gradients_of_the_wrong_number_are_said_so(place: int) -> None:
    """One gradient too few in a layer is that layer's fault, and shifts no other's names."""

    def drop(layer, grad_inputs):
        layer.gradients.pop()
        return grad_inputs

    kinds = [altered(drop) if i == place else NaiveDense for i in range(2)]
    report = judged(kinds[0](6, 5, "tanh", seed=1), kinds[1](5, 4, "softmax", seed=2))
    assert [v.name for v in report.disagreements] == [f"altered_{place + 1}.gradients"]


def test_a_forward_of_its_own_is_run_by_the_dual_numbers_too() -> None:
    """A layer that doubles its output is right with a backward that does, and else wrong."""

    class Doubled(NaiveDense):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    class Right(Doubled):
        def backward(self, grad_output):
            return super().backward(2 * grad_output)

    below, loss = NaiveDense(6, 5, "tanh", seed=1), "mean_squared_error"
    right = judged(below, Right(5, 4, seed=2), against=("dual",), loss=loss)
    assert right.exit_status == 0, right.conclusion()
    assert judged(below, Doubled(5, 4, seed=2), against=("dual",), loss=loss).exit_status == 1


class MaskInPlace(NaiveDense):
    def backward_activation(self, grad_output):
        grad_output[self.pre_activation <= 0] = 0
        return grad_output


class ReluInPlace(NaiveDense):
    def activate(self, pre_activation):
        self.pre_activation = pre_activation
        self.output = np.maximum(pre_activation, 0, out=pre_activation)
        return self.output


class ByEinsum(NaiveDense):
    def backward_affine(self, grad_pre_activation):
        self.grad_pre_activation = grad_pre_activation
        self.gradients = [
            np.einsum("ni,nj->ij", self.inputs, grad_pre_activation),
            np.add.reduce(grad_pre_activation, axis=0),
        ]
        return np.dot(grad_pre_activation, self.W.T)


@pytest.mark.parametrize("kind", [ByEinsum, MaskInPlace, ReluInPlace])
def test_honest_code_in_other_words_agrees(kind: type[NaiveDense]) -> None:
    """In-place masks and outputs, einsum and dot: right is right."""
    report = judged(kind(6, 5, "relu", seed=1))
    assert report.exit_status == 0, report.conclusion()


def test_a_softmax_layer_with_a_backward_of_its_own_agrees() -> None:
    """Its loss starts at the probabilities, and so does its twin's, saturated or not."""

    class Whole(NaiveDense):
        def backward(self, grad_output):
            inner = (grad_output * self.output).sum(axis=1, keepdims=True)
            grad = self.output * (grad_output - inner)
            self.gradients = [self.inputs.T @ grad, grad.sum(axis=0)]
            return grad @ self.W.T

    for weights in ([[30, 0, -30], [1, 2, 3]], [[0.3, 0, -0.3], [0.1, 0.2, 0.3]]):
        layer = Whole.from_weights(np.array(weights, np.float32), np.zeros(3), "softmax")
        report = check(NaiveSequential([layer]), np.ones((1, 2)), [2], against=EVERYBODY)
        assert not report.any_disagreement, report.conclusion()


def test_tied_weights_and_eight_elements_raise_no_false_alarm() -> None:
    """Weights that share memory, and as many elements as there are random directions."""
    below, above = NaiveDense(5, 5, "tanh", seed=1), NaiveDense(5, 5, "softmax", seed=2)
    above.W = below.W
    assert not judged(below, above, inputs=INPUTS[:, :5]).any_disagreement
    model = NaiveSequential([NaiveDense(300, 200, "relu"), NaiveDense(200, 8, "softmax")])
    inputs = np.random.default_rng(0).random((8, 300))
    assert check(model, inputs, np.arange(8), against="dual").exit_status == 0


def test_without_a_third_opinion_there_is_still_a_verdict() -> None:
    """Code that the bounds follow and the dual numbers cannot is judged against Keras alone."""

    class Undifferentiated(NaiveDense):
        def affine(self, inputs):
            self.inputs, self.grad_pre_activation = inputs, None
            if type(inputs).__name__ == "DualArray":
                raise TypeError("dual numbers know no rule for this")
            return inputs @ self.W + self.b

        def backward_affine(self, grad_pre_activation):
            return -super().backward_affine(grad_pre_activation)

    report = judged(Undifferentiated(6, 5, "tanh", seed=1), against=("keras",))
    assert report.exit_status == 1
    assert "no third opinion" in report.conclusion()


def test_a_plain_buffer_is_refused_with_the_line_and_a_way_out() -> None:
    """Assigning an error-carrying number into a plain array names the line, not NumPy's reason."""

    def loop(layer, grad_inputs):
        buffer = np.zeros(layer.W.shape)
        buffer[0, 0] = layer.gradients[0][0, 0]
        layer.gradients[0] = buffer
        return grad_inputs

    with pytest.raises(TypeError, match=r"test_sly_faults\.py:\d+: .*\*_like"):
        judged(altered(loop)(6, 5, "tanh", seed=1), against=("keras",))
