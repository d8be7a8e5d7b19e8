"""Candidate explanations: what a wrong formula that people really write would have given.

Each generator yields (name, sentence, candidate). The candidates are evaluated in float64 on the
numbers that the step was judged on, so that the right one matches to far below the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.activations import Activation
from manual_backprop.typing import Array

Candidate: TypeAlias = tuple[str, str, Array]


@dataclass
class Evidence:
    """The numbers of one step, all float64; None where the step has no such tensor.

    Attributes:
        given: what the manual formula gave. right: what it should have given.
        inputs, pre_activation, output, grad_output, grad_pre_activation: as in a LayerTrace.
        W: the layer's weights. others: the other layers' (inputs, pre_activation, W).
        activation: the activation, as this library derives it.
        predictions, targets: at the loss; targets as one-hot or regression rows.
    """

    given: Array
    right: Array
    inputs: Array | None = None
    pre_activation: Array | None = None
    output: Array | None = None
    grad_output: Array | None = None
    grad_pre_activation: Array | None = None
    W: Array | None = None
    others: tuple[tuple[Array | None, Array | None, Array | None], ...] = ()
    activation: Activation | None = None
    predictions: Array | None = None
    targets: Array | None = None

    @property
    def batch(self) -> int:
        """The number of samples."""
        rows = self.predictions if self.inputs is None else self.inputs
        return len(rows) if rows is not None else 1

    @property
    def outputs(self) -> int:
        """The number of columns of the tensor at hand."""
        columns = self.given if self.predictions is None else self.predictions
        return columns.shape[-1] if columns.ndim else 1


def factors(e: Evidence) -> Iterator[Candidate]:
    """A constant factor, named by what it probably is."""
    n, c = e.batch, e.outputs
    named = [
        ("sign", "has the opposite sign", -1.0),
        ("batch-missing", f"not divided by the batch size ({n})", float(n)),
        ("batch-twice", f"divided by the batch size ({n}) once too often", 1 / n),
        ("factor-2", "twice as large: a factor 2 too many", 2.0),
        ("factor-half", "half as large: the 2 of the square's derivative is missing", 0.5),
        ("elements-for-batch", f"divided by all {n * c} elements instead of {n} samples", 1 / c),
        ("batch-for-elements", f"divided by {n} samples instead of all {n * c} elements", float(c)),
        ("elements-missing", f"not divided by the {n * c} elements", float(n * c)),
        ("elements-twice", f"divided by the {n * c} elements once too often", 1 / (n * c)),
        ("batch-less-one", f"divided by {n - 1}, one less than the batch", n / max(n - 1, 1)),
        ("batch-plus-one", f"divided by {n + 1}, one more than the batch", n / (n + 1)),
        ("learning-rate", "multiplied by a learning rate of 0.001", 1e-3),
        ("learning-rate", "multiplied by a learning rate of 0.01", 1e-2),
        ("learning-rate", "multiplied by a learning rate of 0.1", 1e-1),
    ]
    seen = {1.0}
    for name, sentence, factor in named:
        if factor not in seen:
            seen.add(factor)
            yield name, sentence, factor * e.right


def rearrangements(e: Evidence) -> Iterator[Candidate]:
    """The right numbers in the wrong places, or nowhere."""
    yield "zero", "is zero: the gradient does not flow here at all", np.zeros_like(e.right)
    if e.right.ndim == 2 and e.right.shape[0] == e.right.shape[1]:
        yield "transposed", "is transposed", e.right.T
    if e.right.ndim:
        yield "reversed-rows", "has its rows in reverse order", e.right[::-1]
        yield "shifted-rows", "has its rows shifted by one", np.roll(e.right, 1, axis=0)
        yield (
            "mean-of-rows",
            "holds the mean everywhere",
            np.broadcast_to(e.right.mean(axis=0), e.right.shape),
        )


def weight_gradients(e: Evidence) -> Iterator[Candidate]:
    """xᵀd with something else in the place of x or d."""
    if e.inputs is None or e.grad_pre_activation is None:
        return
    x, d = e.inputs, e.grad_pre_activation
    yield "first-sample", "counts the first sample only", x[:1].T @ d[:1]
    yield "last-sample", "counts the last sample only", x[-1:].T @ d[-1:]
    if e.grad_output is not None:
        yield (
            "upstream-for-local",
            "uses the gradient before the activation's derivative",
            x.T @ e.grad_output,
        )
    for other, z, _ in e.others:
        if other is not None and other.shape == x.shape:
            yield "other-inputs", "uses another layer's inputs", other.T @ d
        if z is not None and z.shape == x.shape:
            yield "pre-activation-for-inputs", "uses a pre-activation as inputs", z.T @ d
    if e.output is not None and e.output.shape == x.shape:
        yield "output-for-inputs", "uses the layer's output instead of its inputs", e.output.T @ d
    yield "all-ones", "uses ones instead of the inputs", np.ones_like(x).T @ d


def bias_gradients(e: Evidence) -> Iterator[Candidate]:
    """Σd over something else, or of something else."""
    d = e.grad_pre_activation
    if d is None:
        return
    n = len(d)
    yield "mean-for-sum", f"is the mean over the {n} samples instead of the sum", d.mean(axis=0)
    yield "first-sample", "counts the first sample only", d[0]
    yield "last-sample", "counts the last sample only", d[-1]
    if e.grad_output is not None:
        yield (
            "upstream-for-local",
            "sums the gradient before the activation's derivative",
            e.grad_output.sum(axis=0),
        )
    if d.shape[0] == d.shape[1]:
        yield "wrong-axis", "sums over the outputs instead of the samples", d.sum(axis=1)
    yield "grand-total", "sums over samples and outputs", np.full(d.shape[1], d.sum())


def input_gradients(e: Evidence) -> Iterator[Candidate]:
    """dWᵀ with something else in the place of d or W."""
    d, W = e.grad_pre_activation, e.W
    if d is None or W is None:
        return
    if W.shape[0] == W.shape[1]:
        yield "transposed", "uses W instead of its transpose", d @ W
        yield "layer-skipped", "is the upstream gradient: the product with Wᵀ is missing", d
    if e.grad_output is not None:
        yield (
            "upstream-for-local",
            "skips the activation's derivative",
            e.grad_output @ W.T,
        )
    for _, _, other in e.others:
        if other is not None and other.shape == W.shape:
            yield "other-weights", "uses another layer's weights", d @ other.T
    yield "absolute-weights", "uses |W|", d @ np.abs(W).T
    if len(d) > d.shape[1]:
        fitted, *_ = np.linalg.lstsq(d, e.given, rcond=None)
        yield "stale-weights", "fits other weights than the current ones: a stale copy?", d @ fitted


def activation_gradients(e: Evidence) -> Iterator[Candidate]:
    """a′(z)·g with a mask or derivative that is missing, misplaced or doubled."""
    z, g, activation = e.pre_activation, e.grad_output, e.activation
    if z is None or g is None or activation is None:
        return
    y = activation.forward(z)
    derivative = activation.backward(np.ones_like(z), z, y)
    yield "derivative-missing", f"the derivative of {activation.name} is missing", g
    yield "upstream-missing", "the upstream gradient is missing", derivative
    yield (
        "derivative-twice",
        f"the derivative of {activation.name} is applied twice",
        activation.backward(activation.backward(g, z, y), z, y),
    )
    yield (
        "derivative-at-output",
        "the derivative is taken at the output instead of the pre-activation",
        activation.backward(g, y, activation.forward(y)),
    )
    if activation.name == "relu":
        yield "mask-inverted", "the mask is inverted", g * (z < 0)
        yield "mask-includes-kink", "the mask has ≥ for >: it includes the kink", g * (z >= 0)
        yield "mask-of-upstream", "the mask is that of the upstream gradient", g * (g > 0)
        for x, other, _ in e.others:
            for array in (other, x):
                if array is not None and array.shape == z.shape:
                    yield "other-mask", "the mask is another layer's", g * (array > 0)
    if activation.name == "softmax":
        inner = (g * y).sum(axis=-1, keepdims=True)
        yield "diagonal-only", "only the Jacobian's diagonal is used", g * y * (1 - y)
        yield "inner-missing", "the Jacobian's off-diagonal sum is missing", y * g
        yield "output-missing", "the factor y in front is missing", g - inner
        yield "sum-for-difference", "the inner sum has the wrong sign", y * (g + inner)
        wrong = (g * y).sum(axis=0, keepdims=True)
        yield "wrong-axis", "sums over the samples instead of the classes", y * (g - wrong)
    at_z = {"sigmoid": z * (1 - z), "tanh": 1 - z * z}
    if activation.name in at_z:
        yield (
            "output-formula-at-input",
            "the formula for the output is used on the pre-activation",
            g * at_z[activation.name],
        )
        other_formula = {"sigmoid": 1 - y * y, "tanh": y * (1 - y)}[activation.name]
        yield "other-derivative", "another function's derivative is used", g * other_formula
        partial = {"sigmoid": y, "tanh": 1 - y}[activation.name]
        yield "derivative-partial", "a part of the derivative is missing", g * partial


def loss_gradients(e: Evidence) -> Iterator[Candidate]:
    """Gradients of a loss with labels, normalisation or Jacobian misplaced."""
    p, t = e.predictions, e.targets
    if p is None or t is None or p.shape != t.shape:
        return
    n = len(p)
    yield "labels-missing", "the labels are not subtracted", p / n
    yield "labels-added", "the labels are added instead of subtracted", (p + t) / n
    for step in (1, -1):
        yield "labels-shifted", "the labels are off by one class", (p - np.roll(t, step, 1)) / n
        yield (
            "labels-permuted",
            "the labels belong to the neighbouring samples",
            (p - np.roll(t, step, 0)) / n,
        )
    yield "labels-reversed", "the labels are in reverse order", (p - t[::-1]) / n
    yield "fused-for-plain", "is p − y, which holds only behind a softmax", (p - t) / n
    with np.errstate(all="ignore"):
        plain = -t / p / n
        yield "plain-for-fused", "is −y/p, which lacks the softmax's Jacobian", plain
        yield "renormalisation-missing", "lacks the 1 of the normalisation", plain
    fused = (p - t) / n
    yield (
        "jacobian-twice",
        "the softmax's Jacobian is applied once more",
        p * (fused - (fused * p).sum(axis=-1, keepdims=True)),
    )
    yield "first-sample", "counts the first sample only", e.right * (np.arange(n) == 0)[:, None]
    yield "sign-for-difference", "is the sign of the difference", np.sign(p - t) / p.size
    yield "difference-for-sign", "is the difference instead of its sign", (p - t) / p.size
    one_hot_as_index = np.zeros_like(p)
    np.add.at(one_hot_as_index, (np.arange(n)[:, None], t.astype(int) % p.shape[1]), 1)
    yield "one-hot-as-index", "one-hot rows are used as indices", (p - one_hot_as_index) / n
    yield "one-hot-as-index", "one-hot rows are used as indices", (p - (one_hot_as_index > 0)) / n


BY_TENSOR: dict[str, Any] = {
    "grad_W": weight_gradients,
    "grad_b": bias_gradients,
    "grad_inputs": input_gradients,
    "grad_pre_activation": activation_gradients,
}
