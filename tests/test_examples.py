"""The worked examples print and compute the published figures, and nothing but them."""

from __future__ import annotations

import importlib
import runpy
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from manual_backprop.examples.neuron import Neuron, line_backward
from manual_backprop.examples.scalar_graph import AbsoluteError, Add, Multiply, Node, gradients

INPUTS = np.array([1.0, -2.0, 3.0])
NEURON = Neuron(np.array([-3.0, -1.0, 2.0]), 1.0)


def test_the_neuron_gives_the_published_gradients() -> None:
    """Forward is 6, and an upstream 1 gives dx = w, dw = x and db = 1."""
    assert NEURON.pre_activation(INPUTS) == NEURON.forward(INPUTS) == 6
    grad_inputs, grad_W, grad_b = NEURON.backward(1.0, INPUTS)
    assert grad_inputs.tolist() == [-3, -1, 2]
    assert grad_W.tolist() == [1, -2, 3]
    assert grad_b == 1


def test_one_step_lowers_the_neuron_to_the_published_output() -> None:
    """After a step of 0.001 the weights, the bias and the output are the printed ones."""
    stepped = NEURON.step(NEURON.backward(1.0, INPUTS), learning_rate=0.001)
    assert stepped.W.round(3).tolist() == [-3.001, -0.998, 1.997]
    assert round(stepped.b, 3) == 0.999
    assert round(stepped.forward(INPUTS), 3) == 5.985
    assert NEURON.W.tolist() == [-3, -1, 2], "the step must leave the old neuron alone"
    with pytest.raises(FrozenInstanceError):
        NEURON.b = stepped.b


def test_the_neuron_scales_with_the_upstream_gradient() -> None:
    """A gradient of −2 from above multiplies all three gradients by −2."""
    grad_inputs, grad_W, grad_b = NEURON.backward(-2.0, INPUTS)
    assert grad_inputs.tolist() == [6, 2, -4]
    assert grad_W.tolist() == [-2, 4, -6]
    assert grad_b == -2
    assert NEURON.step(NEURON.backward(-2.0, INPUTS), learning_rate=0.5).b == 2


def test_a_neuron_just_above_its_kink_passes_the_gradient() -> None:
    """With z = ½ all of it."""
    barely = Neuron(NEURON.W, -4.5)
    assert barely.pre_activation(INPUTS) == 0.5
    assert barely.backward(1.0, INPUTS).grad_b == 1


@pytest.mark.parametrize("bias", [-5.0, -6.0], ids=["kink", "below"])
def test_a_neuron_at_or_below_its_kink_passes_no_gradient(bias: float) -> None:
    """With z = 0 or z < 0 the output and all gradients are 0."""
    silent = Neuron(NEURON.W, bias)
    assert silent.pre_activation(INPUTS) == bias + 5
    assert silent.forward(INPUTS) == 0
    grad_inputs, grad_W, grad_b = silent.backward(1.0, INPUTS)
    assert not grad_inputs.any()
    assert not grad_W.any()
    assert grad_b == 0


def test_a_line_has_slope_two_for_scalars_and_elementwise() -> None:
    """d(2x + 3)/dx is 2, for one number and for a (2, 2) array of upstream ones."""
    assert line_backward(1.0) == 2
    assert np.asarray(line_backward(np.ones((2, 2)))).tolist() == [[2, 2], [2, 2]]


def test_the_graph_gives_the_published_edges_and_chained_gradients() -> None:
    """The loss is 3; every edge derivative and every chained gradient is the printed one."""
    x, w, b, y_true = Node(2.0), Node(3.0), Node(1.0), Node(4.0)
    x1 = Multiply(x, w)
    x2 = Add(x1, b)
    loss = AbsoluteError(y_true, x2)
    assert loss.value == 3
    assert loss.backward(1.0) == (-1, 1)
    assert x2.backward(1.0) == (1, 1)
    assert x1.backward(1.0) == (3, 2)
    found = gradients(loss)
    assert (found[w], found[b], found[x], found[y_true]) == (2, 1, 3, -1)
    assert (found[x1], found[x2], found[loss]) == (1, 1, 1)


def test_the_graph_knows_the_slope_of_a_line() -> None:
    """Built from nodes, d(2x + 3)/dx is 2 as well."""
    x = Node(5.0)
    assert gradients(Add(Multiply(Node(2.0), x), Node(3.0)))[x] == 2


def test_a_node_used_twice_collects_both_gradients() -> None:
    """d(x·x + x)/dx = 2x + 1, although x enters three times."""
    x = Node(5.0)
    assert gradients(Add(Multiply(x, x), x))[x] == 11


def test_a_shared_node_is_walked_only_when_its_sum_is_complete() -> None:
    """Squaring 10 times in a row gives x¹⁰²⁴, whose slope at 1 is 1024, over all 2¹⁰ paths."""
    node = start = Node(1.0)
    for _ in range(10):
        node = Multiply(node, node)
    assert gradients(node)[start] == 1024


def test_a_deep_graph_needs_no_recursion() -> None:
    """A chain of 5000 additions, deeper than Python's stack, gives a gradient of 1."""
    node = start = Node(0.0)
    for _ in range(5000):
        node = Add(node, Node(1.0))
    assert node.value == 5000
    assert gradients(node)[start] == 1


@pytest.mark.parametrize(
    ("prediction", "slope"), [(7.0, 1), (1.0, -1), (4.0, 0)], ids=["above", "below", "kink"]
)
def test_the_absolute_error_takes_the_sign_of_the_difference(prediction: float, slope: int) -> None:
    """∂|t − p|/∂p is 1 above the target, −1 below it, and 0 by convention at it."""
    loss = AbsoluteError(Node(4.0), Node(prediction))
    assert loss.value == abs(4 - prediction)
    assert loss.backward(1.0) == (-slope, slope)
    assert loss.backward(3.0) == (-3 * slope, 3 * slope)


PRINTED = {
    "neuron": """\
pre-activation 6.0
output         6.0
grad_inputs    [-3. -1.  2.]
grad_W         [ 1. -2.  3.]
grad_b         1.0
after one step of 0.001: W [-3.001 -0.998  1.997] b 0.999
output         5.985
d(2x + 3)/dx   2.0
""",
    "scalar_graph": """\
loss = 3.0
∂loss/∂x2 = 1.0
∂x2/∂x1, ∂x2/∂b = (1.0, 1.0)
∂x1/∂w = 2.0
∂loss/∂w = 2.0 and ∂loss/∂b = 1.0
""",
}


@pytest.mark.parametrize("example", PRINTED)
def test_the_examples_print_their_figures(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run as programs, all figures of their story; imported, nothing."""
    module = importlib.import_module(f"manual_backprop.examples.{example}")
    path = str(module.__file__)
    runpy.run_path(path)
    assert capsys.readouterr().out == ""
    for run in (module.main, lambda: runpy.run_path(path, run_name="__main__")):
        run()
        assert capsys.readouterr().out == PRINTED[example]
