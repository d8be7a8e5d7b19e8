"""Candidate explanations: what a wrong formula that people really write would have given.

Each generator yields (name, sentence, candidate). The candidates are evaluated in float64 on the
numbers that the step was judged on, so that the right one matches to far below the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from agreement.loss_slips import loss_slips
from agreement.pieces import pieces
from agreement.slips import slips
from manual_backprop.activations import Activation
from manual_backprop.losses import Loss
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
        loss: the loss, as this library derives it.
        loss_gradient: at the loss, this library's own gradient as a function of
            (predictions, target rows or None for the batch's own).
        stored: other arrays that the layer's object holds. gradients: the right gradients of
            all weights. learning_rate: of an update.
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
    loss: Loss | None = None
    loss_gradient: Callable[[Array, Array | None], Array] | None = None
    stored: tuple[Array, ...] = ()
    gradients: tuple[Array, ...] = ()
    learning_rate: float | None = None

    @property
    def undifferentiated(self) -> Array | None:
        """The upstream gradient, where it could be taken for that of the pre-activation."""
        g, d = self.grad_output, self.grad_pre_activation
        return g if g is not None and d is not None and g.shape == d.shape else None

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
    if e.learning_rate is not None:
        rate = e.learning_rate
        named += [
            ("learning-rate", f"multiplied by the learning rate {rate:g} once more", rate),
            ("learning-rate-missing", f"not multiplied by the learning rate {rate:g}", 1 / rate),
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
    if e.right.ndim == 2:
        yield (
            "reshaped",
            "is reshaped where it should be transposed",
            np.ascontiguousarray(e.right.T).reshape(e.right.shape),
        )
    for other in e.gradients:
        if other.shape == e.right.shape:
            yield "other-gradient", "is another weight's gradient: order of the list?", other
    for old in e.stored:
        if old.shape == e.right.shape:
            yield "kept", "is what an earlier call left behind", old
            yield "accumulated", "is added to what an earlier call left behind", e.right + old
    if e.right.ndim:
        first = np.broadcast_to(e.right[:1], e.right.shape)
        yield "first-row-for-all", "holds the first row's numbers in every row", first
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
    yield "without-last-sample", "leaves out the last sample", x[:-1].T @ d[:-1]
    yield "without-first-sample", "leaves out the first sample", x[1:].T @ d[1:]
    means = x.mean(axis=0, keepdims=True), d.sum(axis=0, keepdims=True)
    yield "mean-inputs", "averages the inputs before the product", means[0].T @ means[1]
    for old in e.stored:
        if old.shape == x.shape:
            yield "earlier-inputs", "uses the inputs of an earlier batch", old.T @ d
    if e.undifferentiated is not None:
        yield (
            "upstream-for-local",
            "uses the gradient before the activation's derivative",
            x.T @ e.undifferentiated,
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
    if e.undifferentiated is not None:
        yield (
            "upstream-for-local",
            "sums the gradient before the activation's derivative",
            e.undifferentiated.sum(axis=0),
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
    if e.undifferentiated is not None:
        yield (
            "upstream-for-local",
            "skips the activation's derivative",
            e.undifferentiated @ W.T,
        )
    for _, _, other in e.others:
        if other is not None and other.shape == W.shape:
            yield "other-weights", "uses another layer's weights", d @ other.T
    for old in e.stored:
        if old.shape in (W.shape, W.T.shape):
            used = old.T if old.shape == W.shape else old
            yield "stale-weights", "uses a copy of the weights that is out of date", d @ used
    yield (
        "reshaped",
        "reshapes W where it should be transposed",
        d @ W.reshape(W.T.shape),
    )
    yield "absolute-weights", "uses |W|", d @ np.abs(W).T


def activation_gradients(e: Evidence) -> Iterator[Candidate]:
    """a′(z)·g with a mask or derivative that is missing, misplaced or doubled."""
    z, g, activation = e.pre_activation, e.grad_output, e.activation
    if z is None or g is None or activation is None:
        return
    y = activation.forward(z)
    derivative = activation.backward(np.ones_like(y), z, y)
    yield "upstream-missing", "the upstream gradient is missing", derivative
    yield from slips(activation, z, g, y)
    if y.shape != z.shape:  # two inputs for one output: no product of the two
        return
    yield "derivative-missing", f"the derivative of {activation.name} is missing", g
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
    yield "times-output", "is multiplied by the output", g * y
    yield "times-pre-activation", "is multiplied by the pre-activation", g * z
    for old in e.stored:
        if old.shape == z.shape:
            stale = activation.backward(g, old, activation.forward(old))
            yield "earlier-activations", "uses the pre-activation of an earlier batch", stale
            stale = activation.backward(g, z, old)
            yield "earlier-activations", "uses the output of an earlier batch", stale
    if activation.name != "relu" or activation.unusual_arguments:
        yield "masked-like-relu", "is masked as if it were a ReLU", g * (z > 0)
    if activation.name == "relu":
        first = g * (z[:1] > 0)
        yield "mask-of-first-sample", "the mask is that of the first sample throughout", first
        if e.inputs is not None and e.inputs.shape == z.shape:
            yield "mask-of-inputs", "the mask is that of the layer's inputs", g * (e.inputs > 0)
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
        total = (g * y).sum()
        yield "sum-over-batch", "the inner sum runs over the whole batch", y * (g - total)
        f = y[:1]
        of_first = f * (g - (g * f).sum(axis=-1, keepdims=True))
        yield "jacobian-of-first-sample", "the Jacobian is that of the first sample", of_first
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
        flipped = {"sigmoid": y * (1 + y), "tanh": 1 + y * y}[activation.name]
        yield "derivative-sign", "a sign inside the derivative is wrong", g * flipped
    yield from pieces(activation, z, g, y)


def loss_gradients(e: Evidence) -> Iterator[Candidate]:
    """Gradients of a loss with labels, normalisation, clipping or Jacobian misplaced."""
    p, t = e.predictions, e.targets
    if p is None or t is None or p.shape != t.shape:
        return
    yield from _other_labels(e, p, t)
    n = len(p)
    yield "labels-missing", "the labels are not subtracted", p / n
    yield "labels-added", "the labels are added instead of subtracted", (p + t) / n
    columns = (p - t.max(axis=0)) / n
    yield "label-columns", "whole columns are changed: every row, for every label", columns
    yield "fused-for-plain", "is p − y, which holds only behind a softmax", (p - t) / n
    overwritten = (p - 2 * t) / n
    yield "labels-twice", "the labels are subtracted twice: overwritten predictions?", overwritten
    epsilon = 1e-7
    clipped = np.clip(p, epsilon, 1 - epsilon)
    total = p.sum(axis=-1, keepdims=True)
    for probabilities in (p, clipped):
        plain = -t / probabilities / n
        yield "renormalisation-missing", "is −y/p: the 1 of the normalisation is missing", plain
        yield (
            "clip-ignored",
            "the clip is ignored: gradient flows where p was clipped",
            (1 / probabilities.sum(axis=-1, keepdims=True) - t / probabilities) / n,
        )
        q = np.clip(p / total, epsilon, 1 - epsilon) if probabilities is clipped else p / total
        inner = -t / q / n
        through_sum = (inner * (p / total / total)).sum(axis=-1, keepdims=True)
        yield "clip-ignored", "the clip is ignored after normalising", inner / total - through_sum
    if e.loss_gradient is not None:
        shifted = e.loss_gradient(p + epsilon, t)
        yield "epsilon", "an epsilon is added in this pass only", shifted
        if e.loss is None or (e.loss.sample_weight is None and e.loss.mask is None):
            first = e.loss_gradient(p[:1], t[:1])
            yield "first-sample", "is that of the first sample", np.broadcast_to(first / n, p.shape)
    if e.loss is not None:
        yield from loss_slips(e.loss, p, t)
    fused = (p - t) / n
    yield (
        "jacobian-twice",
        "the softmax's Jacobian is applied once more",
        p * (fused - (fused * p).sum(axis=-1, keepdims=True)),
    )
    yield "first-sample", "counts the first sample only", e.right * (np.arange(n) == 0)[:, None]
    yield "sign-for-difference", "is the sign of the difference", np.sign(p - t) / p.size
    yield "difference-for-sign", "is the difference instead of its sign", (p - t) / p.size


def _other_labels(e: Evidence, p: Array, t: Array) -> Iterator[Candidate]:
    """The right gradient, of labels that are not the batch's."""
    if e.loss_gradient is None:
        return
    for step in (1, -1):
        shifted = np.roll(t, step, axis=1)
        yield "labels-shifted", "the labels are off by one class", e.loss_gradient(p, shifted)
    yield "labels-permuted", "the labels are in reverse order", e.loss_gradient(p, t[::-1])
    for step in (1, -1):
        rolled = np.roll(t, step, axis=0)
        sentence = "the labels belong to the neighbouring samples"
        yield "labels-permuted", sentence, e.loss_gradient(p, rolled)
    rows = np.arange(len(p))[:, None]
    as_index = np.zeros_like(p)
    np.add.at(as_index, (rows, t.astype(int) % p.shape[1]), 1)
    sentence = "one-hot rows are used as indices"
    for indexed in (as_index, (as_index > 0).astype(float)):
        yield "one-hot-as-index", sentence, (p - indexed) / len(p)


def outputs(e: Evidence) -> Iterator[Candidate]:
    """Predictions that the loss wrote into."""
    if e.targets is not None and e.targets.shape == e.right.shape:
        sentence = "has the labels subtracted: did the loss write into the predictions?"
        yield "overwritten", sentence, e.right - e.targets


BY_TENSOR: dict[str, Any] = {
    "output": outputs,
    "grad_W": weight_gradients,
    "grad_b": bias_gradients,
    "grad_inputs": input_gradients,
    "grad_pre_activation": activation_gradients,
}
