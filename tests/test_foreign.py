"""Gradients, layers and whole networks from elsewhere, judged without a framework."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreement import check
from agreement.checking import assert_agreement, judge_gradients, manual_trace
from agreement.foreign import Layout, wrap
from agreement.report import Report
from agreement.strategies import cases
from manual_backprop import NaiveDense, NaiveSequential

DOCUMENTATION = Path(__file__).parents[1] / "docs" / "case-files.md"

# Hand-written classes in the style of a well-known book, as users bring them.
CLASSIC = """
import numpy as np

class Layer_Dense:
    def __init__(self, n_inputs, n_neurons, generator):
        self.weights = generator.uniform(-2, 2, (n_inputs, n_neurons))
        self.biases = np.zeros((1, n_neurons))
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)

class Activation_ReLU:
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0

class Activation_Softmax:
    def forward(self, inputs):
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
    def backward(self, dvalues):
        inner = np.sum(dvalues * self.output, axis=1, keepdims=True)
        self.dinputs = self.output * (dvalues - inner)
"""
JUDGED = """
import sys
from agreement import check
from agreement.foreign import wrap
from manual_backprop import NaiveSequential

RESULTS = {"output": "output", "grad_inputs": "dinputs"}
DENSE = {"weights": ["weights", "biases"], "gradients": ["dweights", "dbiases"], **RESULTS}
generator = np.random.default_rng(0)
model = NaiveSequential([
    wrap(Layer_Dense(3, 4, generator), **DENSE), wrap(Activation_ReLU(), **RESULTS),
    wrap(Layer_Dense(4, 3, generator), **DENSE), wrap(Activation_Softmax(), **RESULTS),
])
report = check(model, generator.uniform(-2, 2, (5, 3)), [0, 1, 2, 1, 0], against=["dual"])
assert not [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")]
print(report.exit_status, *[v.name for v in report.disagreements])
"""
FAULTS = {
    "right": ("", "", []),
    "no mask": ("self.dinputs[self.inputs <= 0] = 0", "pass", ["activation_relu_2.grad_inputs"]),
    "bias averaged": (
        "np.sum(dvalues, axis=0",
        "np.mean(dvalues, axis=0",
        ["layer_dense_3.grad_biases", "layer_dense_1.grad_biases"],
    ),
    "softmax without itself": (
        "self.output * (dvalues - inner)",
        "dvalues - inner",
        ["activation_softmax_4.grad_inputs"],
    ),
}


def network(seed: int = 0, dtype: str = "float64") -> tuple[NaiveSequential, Any, Any]:
    generator = np.random.default_rng(seed)
    layers = [
        NaiveDense(3, 5, "tanh", dtype=dtype, seed=generator),
        NaiveDense(5, 3, "softmax", dtype=dtype, seed=generator),
    ]
    inputs = generator.uniform(-2, 2, (4, 3)).astype(dtype)
    return NaiveSequential(layers), inputs, generator.integers(0, 3, 4)


def gradients_of(model: NaiveSequential, inputs: Any, labels: Any) -> list[Any]:
    from manual_backprop import get_gradients_of_loss_wrt_weights as gradients

    predictions = model(inputs)
    return gradients(model, inputs, labels, predictions, "sparse_categorical_crossentropy")


# -- gradients= ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_right_gradients_raise_no_false_alarm(
    dtype: str, reduction: str, data: st.DataObject
) -> None:
    """On drawn networks of every kind, gradients of the mean or of the sum lie in the bounds."""
    case = data.draw(cases(dtype))
    parts = (case.model, case.inputs, case.targets, case.loss)
    given_ones = manual_trace(*parts).gradients
    if reduction == "sum":
        factor = np.array(len(case.inputs), dtype)
        with np.errstate(over="ignore"):
            given_ones = [gradient * factor for gradient in given_ones]
    report = Report(judge_gradients(*parts, given_ones, reduction))
    assert not report.any_disagreement, report.conclusion()


def test_given_gradients_need_no_reference() -> None:
    """With gradients the manual run and they are judged, and references only on request."""
    model, inputs, labels = network()
    gradients = gradients_of(model, inputs, labels)
    report = check(model, inputs, labels, gradients=gradients)
    assert report.agrees
    assert {v.witness for v in report.verdicts} == {"manual", "gradients"}
    asked = check(model, inputs, labels, gradients=gradients, against=["dual"])
    assert {v.witness for v in asked.verdicts} == {"manual", "gradients", "dual"}


@pytest.mark.parametrize("index", range(4))
def test_one_wrong_gradient_is_named(index: int) -> None:
    """Whichever gradient is off by a thousandth, it alone disagrees."""
    model, inputs, labels = network(dtype="float32")
    gradients = gradients_of(model, inputs, labels)
    gradients[index] = gradients[index] * np.float32(1.001)
    with pytest.raises(AssertionError, match=r"disagrees.*\n.*gradients") as caught:
        assert_agreement(model, inputs, labels, gradients=gradients)
    found = [v.name for v in caught.value.report.disagreements]
    assert found == [str(model.gradient_names[index])]


def test_layouts_apply_to_what_is_given() -> None:
    """Transposed kernels, columns of samples, sums and column biases are taken as told."""
    model, inputs, labels = network()
    W1, b1, W2, b2 = (4 * g for g in gradients_of(model, inputs, labels))
    told = Layout(weights="out_in", samples="columns", reduction="sum")
    given_ones = [W1.T, b1[:, None], W2.T, b2[None]]
    one_hot = np.eye(3)[labels].T
    assert check(model, inputs.T, one_hot, gradients=given_ones, layout=told).agrees
    assert check(model, inputs.T, labels, gradients=given_ones, layout=told).agrees


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g[:3], "gradients: got 3, expected 4"),
        (lambda g: [g[0].T, *g[1:]], r"gradients\[0\]: has shape \(5, 3\), expected \(3, 5\)"),
        (lambda g: [*g[:3], g[3][:2]], r"gradients\[3\]: has shape \(2,\), expected \(3,\)"),
        (lambda g: [g[0], None, *g[2:]], r"gradients\[1\]: has dtype object"),
        (lambda g: {"W1": g[0]}, "gradients: got dict, expected a list"),
    ],
)
def test_gradients_that_do_not_fit_are_one_clear_error(change: Any, message: str) -> None:
    """A wrong number, shape or type names the gradient."""
    model, inputs, labels = network()
    with pytest.raises((ValueError, TypeError), match=message):
        check(model, inputs, labels, gradients=change(gradients_of(model, inputs, labels)))
    with pytest.raises(ValueError, match=r"layout\.samples: unknown name 'column'"):
        Layout(samples="column")


# -- layers of one's own ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_classic_classes_are_judged_without_tensorflow(fault: str) -> None:
    """Hand-written classes, wrapped, agree with dual numbers; a planted fault is located."""
    old, new, expected = FAULTS[fault]
    assert old in CLASSIC
    script = CLASSIC.replace(old, new) + JUDGED if old else CLASSIC + JUDGED
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(int(bool(expected))), *expected]


class Network:
    """A whole network by hand, samples in columns, its parameters in dictionaries."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        shapes = {"W1": (5, 3), "b1": (5, 1), "W2": (2, 5)}
        self.parameters = {k: generator.uniform(-2, 2, shape) for k, shape in shapes.items()}
        self.slope = 1.0

    def run(self, X: Any) -> Any:
        p = self.parameters
        self.X, self.A = X, np.tanh(p["W1"] @ X + p["b1"])
        return p["W2"] @ self.A

    def pull(self, dY: Any) -> Any:
        p = self.parameters
        dZ = (p["W2"].T @ dY) * (self.slope - self.A**2)
        sums = dZ.sum(axis=1, keepdims=True)
        self.grads = {"W1": dZ @ self.X.T, "b1": sums, "W2": dY @ self.A.T}
        return p["W1"].T @ dZ


def test_a_whole_network_is_one_layer() -> None:
    """Methods and parameters of any name, samples in columns: right, and with a fault."""
    generator = np.random.default_rng(1)
    inputs, targets = generator.uniform(-2, 2, (4, 3)), generator.uniform(-2, 2, (4, 2))
    network = Network()
    layer = wrap(
        network,
        forward="run",
        backward="pull",
        weights=lambda net: list(net.parameters.values()),
        gradients=lambda net: list(net.grads.values()),
        samples="columns",
    )
    model = NaiveSequential([layer])
    asked = {"loss": "mean_squared_error", "against": ["dual"]}
    assert check(model, inputs, targets, **asked).agrees
    assert not hasattr(network, "grads")  # the user's own object is left alone
    network.slope = 1.01
    report = check(model, inputs, targets, **asked)
    wrong = {"network_1.grad_weight_0", "network_1.grad_weight_1", "network_1.grad_inputs"}
    assert {v.name for v in report.disagreements} == wrong


class Swish:
    """A custom layer with a trainable slope, and no Keras twin."""

    def __init__(self, factor: float = 1.0) -> None:
        self.beta, self.factor = np.array([0.5, 1.5, 1.0]), factor

    def forward(self, x: Any) -> Any:
        self.x, self.s = x, 1 / (1 + np.exp(-self.beta * x))
        return x * self.s

    def backward(self, g: Any) -> Any:
        inner = g * self.x * self.s * (1 - self.s)
        self.dbeta = (inner * self.x).sum(axis=0)
        return g * self.s + inner * self.beta * self.factor


def documented_adapter() -> tuple[str, type]:
    """The adapter class in the documentation: its source, and the class."""
    block = next(
        block
        for block in re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.S)
        if "class Adapter" in block
    )
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    return block, namespace["Adapter"]


@pytest.mark.parametrize("factor", [1.0, 0.99])
@pytest.mark.parametrize("how", ["wrap", "documented"])
def test_a_custom_layer_needs_no_twin(how: str, factor: float) -> None:
    """By either adapter a custom layer between ours is judged, right and wrong."""
    custom = Swish(factor)
    if how == "wrap":
        layer = wrap(custom, weights=["beta"], gradients=["dbeta"])
    else:
        source, adapter = documented_adapter()
        assert len([line for line in source.splitlines() if line.strip()]) <= 10
        layer = adapter(custom, ["beta"], ["dbeta"])
    below, above = (NaiveDense(3, 3, a, dtype="float64", seed=1) for a in ("relu", "softmax"))
    generator = np.random.default_rng(0)
    model = NaiveSequential([below, layer, above])
    inputs, labels = generator.uniform(-2, 2, (6, 3)), generator.integers(0, 3, 6)
    report = check(model, inputs, labels, against=["dual"])
    assert report.agrees == (factor == 1), report.conclusion()
    if factor != 1:
        assert [v.tensor for v in report.disagreements] == ["grad_inputs"]
    with pytest.raises(TypeError, match=r"layers\[1\]: \w+ has no Keras twin"):
        check(model, inputs, labels, against=["keras"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward": "call"}, "forward: Swish has no method 'call'"),
        ({"weights": "beta"}, r"weights: got 'beta', expected a list such as \['beta'\]"),
        ({"weights": ["gamma"]}, "Swish: has no attribute 'gamma'"),
        ({"weights": ["factor"]}, r"weights\[0\]: Swish's is float, expected an array"),
        ({"samples": "column"}, r"layout\.samples: unknown name 'column'"),
    ],
)
def test_wrapping_says_what_is_missing(arguments: dict[str, Any], message: str) -> None:
    """A name that the object does not have is one clear error, before anything runs."""
    with pytest.raises((ValueError, TypeError), match=message):
        wrap(Swish(), **arguments)


def test_a_method_that_returns_nothing_is_explained() -> None:
    """A forward that stores its result says which option to pass."""

    class Silent(Swish):
        def forward(self, x: Any) -> None:
            self.output = super().forward(x)

    with pytest.raises(ValueError, match=r"Silent\.forward: returned None.*output='…'"):
        check(NaiveSequential([wrap(Silent())]), np.ones((1, 3)), [0], against=["dual"])
