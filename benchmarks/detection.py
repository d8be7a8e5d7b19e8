"""What do gradient checkers see, and how often do they cry wolf?

Random correct networks (1 to 4 Dense layers with ReLU, widths and batches 1 to 8, softmax with
sparse cross-entropy from the logits), "uniform" and "nice" (see ``agreement.cases``). For every
checker, at the defaults it comes with:

(1) false alarms: the share of correct networks that it complains about
(2) seen: planted in the uniform networks that pass and have a weight gradient that is not zero,
    the first such gradient scaled by 1 + ε, the share that then fails
(3) ms: the median processor time, on one thread, of a second check of the same correct network,
    when whatever compiles for new shapes has done so

Where "defaults" leaves a choice: ``check_grads`` and chex have order 1 and modes ["rev"], as the
fault's ``custom_vjp`` has no forward mode. ``tf.test.compute_gradient`` returns two Jacobians: its
documentation compares them by ``assertAllClose`` (1e-6), TensorFlow's own tests often want the
largest difference below 1e-4; a row each. Ours: an alarm is a DISAGREE in the view named; the
time is that of both views together. Each contender has a short-lived process of its own, since
two frameworks' thread pools in one slow each other down; what is not installed is named as missing.
After ``pip install -e '.[benchmarks]'``, from the repository root:
``python -m benchmarks.detection [--json] [--cases 60] [--only jax chex]``.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from agreement.cases import DEEPEST, LARGEST_BATCH, LARGEST_WIDTH, Case, Kind, Structure, build_case
from agreement.checking import gather_traces, judge_traces, manual_trace
from agreement.report import MANUAL
from agreement.verdicts import Verdict, View
from benchmarks import contenders
from manual_backprop import NaiveDense
from manual_backprop.typing import Array

EPSILONS = ("1e-2", "1e-3", "1e-4", "1e-5")
KINDS = {"uniform": Kind.SMOOTH, "nice": Kind.NICE}
NOWHERE = -1
MODULE = "benchmarks.detection"
JAX, CHEX = "jax.test_util.check_grads", "chex.assert_numerical_grads"
Function = Callable[..., Any]
# (case, which weight has its gradient scaled, by how much) → for every row, whether it complains
Check = Callable[[Case, int, float], Sequence[bool]]


def draw(kind: Kind, index: int, dtype: str) -> Case:
    """A random network with a batch; the same for every contender."""
    rng = np.random.default_rng([0, list(Kind).index(kind), index])
    depth, batch = int(rng.integers(1, DEEPEST + 1)), int(rng.integers(1, LARGEST_BATCH + 1))
    sizes = tuple(int(n) for n in rng.integers(1, LARGEST_WIDTH + 1, depth + 1))
    layers = (("relu",) * (depth - 1) + ("softmax",), (True,) * depth)
    structure = Structure(*layers, "sparse_categorical_crossentropy", "fused")
    return build_case(structure, sizes, batch, kind, rng, dtype)


def network(inputs: Any, relu: Function, loss: Function, place: int, scale: Function) -> Function:
    """The loss as a function of the weights, one of them passed through ``scale`` first."""

    def function(*weights: Any) -> Any:
        used = [scale(w) if i == place else w for i, w in enumerate(weights)]
        x = inputs @ used[0] + used[1]
        for W, b in zip(used[2::2], used[3::2], strict=True):
            x = relu(x) @ W + b
        return loss(x)

    return function


def complains(assertion: Function, *arguments: Any, **options: Any) -> bool:
    """Whether an assertion fails."""
    try:
        assertion(*arguments, **options)
    except AssertionError:
        return True
    return False


def check_torch(fast_mode: bool, case: Case, place: int, factor: float) -> Sequence[bool]:
    """``torch.autograd.gradcheck``."""
    import torch

    def scale(w: Any) -> Any:
        class Scale(torch.autograd.Function):
            forward = staticmethod(lambda _, x: x.view_as(x))
            backward = staticmethod(lambda ctx, *grad_outputs: grad_outputs[0] * factor)

        return Scale.apply(w)

    loss = partial(torch.nn.functional.cross_entropy, target=torch.tensor(case.targets).long())
    function = network(torch.tensor(case.inputs), torch.relu, loss, place, scale)
    at = [torch.tensor(w, requires_grad=True) for w in case.model.weights]
    options = {"fast_mode": fast_mode, "raise_exception": False}
    return [not torch.autograd.gradcheck(function, at, **options)]


def check_jax(by: str, case: Case, place: int, factor: float) -> Sequence[bool]:
    """``jax.test_util.check_grads``, or chex's wrapper of it."""
    import jax

    def scale(w: Any) -> Any:
        scaled = jax.custom_vjp(lambda x: x)
        scaled.defvjp(lambda x: (x, None), lambda _, grad: (grad * factor,))
        return scaled(w)

    def loss(z: Any) -> Any:
        labels = case.targets.reshape(-1, 1)
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(z), labels, axis=1).mean()

    module, _, name = by.rpartition(".")
    assertion = getattr(importlib.import_module(module), name)
    function = network(jax.numpy.asarray(case.inputs), jax.nn.relu, loss, place, scale)
    return [complains(assertion, function, case.model.weights, order=1, modes=["rev"])]


def check_tensorflow(case: Case, place: int, factor: float) -> Sequence[bool]:
    """``tf.test.compute_gradient``, judged in two ways."""
    import tensorflow as tf

    losses = partial(tf.nn.sparse_softmax_cross_entropy_with_logits, case.targets)
    scale = tf.custom_gradient(lambda w: (tf.identity(w), lambda grad: grad * factor))
    inputs, relu = tf.constant(case.inputs), tf.nn.relu
    function = network(inputs, relu, lambda z: tf.reduce_mean(losses(z)), place, scale)
    pair = tf.test.compute_gradient(function, case.model.weights)
    largest = max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))
    return [complains(tf.test.TestCase().assertAllClose, *pair), not largest < 1e-4]


class Scaled(NaiveDense):
    """A layer that gets one of its gradients wrong by a factor."""

    which, factor = 0, 1.0

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients[self.which] = self.gradients[self.which] * self.factor
        return grad_inputs


def check_ours(reference: str, case: Case, place: int, factor: float) -> Sequence[bool]:
    """Both views of ``agreement``."""
    model, batch = case.model, (case.inputs, case.targets, case.loss)
    traces = gather_traces(model, *batch, [reference], any_shape=True)
    if place != NOWHERE:
        model = copy.deepcopy(model)
        layer: Any = model.layers[place // 2]
        layer.__class__, layer.which, layer.factor = Scaled, place % 2, factor
        traces[MANUAL] = manual_trace(model, *batch)
    verdicts = judge_traces(model, *batch, traces)
    wrong = {v.view for v in verdicts if v.verdict is Verdict.DISAGREE}
    return [view in wrong for view in View]


TF_ROWS = ("tf.test.compute_gradient, assertAllClose", "same, largest difference < 1e-4")
# the check, the packages it needs, the rows of the table it fills, and its precision
CONTENDERS: dict[str, tuple[Check, str, tuple[str, ...], str]] = {
    "torch": (partial(check_torch, False), "torch", ("torch.autograd.gradcheck",), "float64"),
    "fast": (partial(check_torch, True), "torch", ("same, fast_mode",), "float64"),
    "jax": (partial(check_jax, JAX), "jax", (JAX,), "float64"),
    "chex": (partial(check_jax, CHEX), "jax chex", (CHEX,), "float64"),
    "tf": (check_tensorflow, "tensorflow", TF_ROWS, "float64"),
}
for name, needs in {"keras-graph": "tensorflow keras", "dual": ""}.items():
    for dtype in ("float64", "float32"):
        rows = tuple(f"agreement, {name}, {dtype}, {view}" for view in View)
        CONTENDERS[f"{name}-{dtype}"] = (partial(check_ours, name), needs, rows, dtype)


def measure(name: str, cases: int) -> list[dict[str, Any]]:
    """(1) to (3) for one contender, in this process."""
    check, needs, rows, dtype = CONTENDERS[name]
    counts = {key: np.zeros(len(rows), int) for key in (*KINDS, "planted", *EPSILONS)}
    milliseconds = []
    for kind, index in ((kind, index) for kind in KINDS for index in range(cases)):
        case = draw(KINDS[kind], index, dtype)
        check(case, NOWHERE, 1.0)
        start = time.process_time()
        alarms = np.array(check(case, NOWHERE, 1.0))
        milliseconds.append(1e3 * (time.process_time() - start))
        counts[kind] += alarms
        gradients = manual_trace(case.model, case.inputs, case.targets, case.loss).gradients
        nonzero = [i for i, gradient in enumerate(gradients) if gradient.any()]
        if kind == "uniform" and nonzero:
            counts["planted"] += ~alarms
            for epsilon in EPSILONS:
                counts[epsilon] += ~alarms & check(case, nonzero[0], 1 + float(epsilon))
    versions = {package: version(package) for package in needs.split()}
    shared = {"cases": cases, "ms": float(np.median(milliseconds)), "versions": versions}
    numbers = [{key: int(count[i]) for key, count in counts.items()} for i in range(len(rows))]
    return [{"checker": r, **n, **shared} for r, n in zip(rows, numbers, strict=True)]


def run(name: str, cases: int) -> list[dict[str, Any]]:
    """``measure`` in a process of its own, if all that it takes is installed."""
    _, needs, rows, _ = CONTENDERS[name]
    if missing := contenders.missing(needs):
        return [{"checker": row, "missing": missing} for row in rows]
    arguments = ["--here", "--only", name, "--cases", cases]
    return list(contenders.in_process(MODULE, arguments, threads=1, JAX_ENABLE_X64="1"))


def show(found: list[dict[str, Any]]) -> None:
    """Print one table, in Markdown, and the versions."""
    seen = (f"ε={epsilon} seen" for epsilon in EPSILONS)
    headings = ("checker", "false alarms, uniform / nice", "planted", *seen, "ms")
    summary = []
    for row in found:
        cells = [f"missing: {', '.join(row.get('missing', []))}"]
        if "missing" not in row:
            cells = [" / ".join(f"{row[kind] / row['cases']:.0%}" for kind in KINDS)]
            shares = (f"{row[e] / max(row['planted'], 1):.0%}" for e in EPSILONS)
            cells += [str(row["planted"]), *shares, f"{row['ms']:.1f}"]
        summary.append([row["checker"], *cells])
    versions = {p: v for row in found for p, v in row.get("versions", {}).items()}
    contenders.print_table("", headings, summary)
    if versions:
        print(versions)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure gradient checkers.")
    parser.add_argument("--cases", type=int, default=60, help="networks of each kind")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, help="contenders")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--here", action="store_true", help="all in this one process")
    options = parser.parse_args()
    how, names = measure if options.here else run, options.only or CONTENDERS
    found = [row for name in names for row in how(name, options.cases)]
    if options.here:
        print(json.dumps(found))
    elif options.json:
        contenders.print_json(found)
    else:
        show(found)


if __name__ == "__main__":
    main()
