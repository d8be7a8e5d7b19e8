"""What do gradient checkers see, and how often do they cry wolf?

Random correct networks (1 to 4 Dense layers with ReLU, widths and batches 1 to 8, softmax with
sparse cross-entropy from the logits), "uniform" and "nice" (see ``agreement.cases``). For every
checker, at the defaults it comes with:

(1) false alarms: the share of correct networks that it complains about
(2) seen: the first weight gradient that is not zero is scaled by 1 + ε, in the uniform networks;
    of those that have one and pass as they are, the share that then fails
(3) milliseconds: the median processor time, on one thread, of a second check of the same correct
    network, when whatever compiles for new shapes has done so

Where "defaults" leaves a choice: ``check_grads`` and chex have order 1 and modes ["rev"], since a
``custom_vjp`` with the fault has no forward mode. ``tf.test.compute_gradient`` only returns two
Jacobians: its documentation compares them by ``assertAllClose`` (atol and rtol 1e-6), TensorFlow's
own tests often want the largest difference below 1e-4; a row each. Ours: an alarm is a DISAGREE
in the view named; the time is that of both views together, of the manual run and the reference's.

Each contender has a short-lived process of its own: two frameworks' thread pools in one slow each
other down. What is not installed is named as missing: ``pip install -e '.[benchmarks]'``. From
the repository root: ``python -m benchmarks.detection [--json] [--cases 60] [--only jax chex]``.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from agreement.cases import DEEPEST, LARGEST_BATCH, LARGEST_WIDTH, Case, Kind, Structure, build_case
from agreement.checking import gather_traces, judge_traces, manual_trace
from agreement.report import MANUAL
from agreement.verdicts import Verdict, View
from manual_backprop import NaiveDense
from manual_backprop.typing import Array

EPSILONS = ("1e-2", "1e-3", "1e-4", "1e-5")
KINDS = {"uniform": Kind.SMOOTH, "nice": Kind.NICE}
NOWHERE = -1
ENVIRONMENT = {
    **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    **{"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    **{"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "KERAS_BACKEND": "tensorflow"},
    **{"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"},
}
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
        x = inputs
        for i in range(0, len(used), 2):
            x = (relu(x) if i else x) @ used[i] + used[i + 1]
        return loss(x)

    return function


def complains(assertion: Function, *arguments: Any, **options: Any) -> bool:
    """Whether an assertion fails."""
    try:
        assertion(*arguments, **options)
    except AssertionError:
        return True
    return False


def torch_checker(fast_mode: bool) -> Check:
    """``torch.autograd.gradcheck``."""
    import torch

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Any, factor: float) -> Any:
            context.factor = factor
            return x.view_as(x)

        @staticmethod
        def backward(context: Any, grad: Any) -> Any:
            return grad * context.factor, None

    def check(case: Case, place: int, factor: float) -> Sequence[bool]:
        loss = partial(torch.nn.functional.cross_entropy, target=torch.tensor(case.targets).long())
        inputs, scale = torch.tensor(case.inputs), lambda w: Scale.apply(w, factor)
        function = network(inputs, torch.relu, loss, place, scale)
        at = [torch.tensor(w, requires_grad=True) for w in case.model.weights]
        options = {"fast_mode": fast_mode, "raise_exception": False}
        return [not torch.autograd.gradcheck(function, at, **options)]

    return check


def jax_checker(module: str, name: str) -> Check:
    """``jax.test_util.check_grads``, or chex's wrapper of it."""
    import jax

    assertion = getattr(importlib.import_module(module), name)
    scaled = jax.custom_vjp(lambda x, factor: x, nondiff_argnums=(1,))
    scaled.defvjp(lambda x, factor: (x, None), lambda factor, _, grad: (grad * factor,))

    def check(case: Case, place: int, factor: float) -> Sequence[bool]:
        def loss(z: Any) -> Any:
            labels = case.targets.reshape(-1, 1)
            return -jax.numpy.take_along_axis(jax.nn.log_softmax(z), labels, axis=1).mean()

        inputs, scale = jax.numpy.asarray(case.inputs), lambda w: scaled(w, factor)
        function = network(inputs, jax.nn.relu, loss, place, scale)
        return [complains(assertion, function, case.model.weights, order=1, modes=["rev"])]

    return check


def tensorflow_checker() -> Check:
    """``tf.test.compute_gradient``, judged in two ways."""
    import tensorflow as tf

    def check(case: Case, place: int, factor: float) -> Sequence[bool]:
        def loss(z: Any) -> Any:
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(case.targets, z))

        scale = tf.custom_gradient(lambda w: (tf.identity(w), lambda grad: grad * factor))
        function = network(tf.constant(case.inputs), tf.nn.relu, loss, place, scale)
        pair = tf.test.compute_gradient(function, case.model.weights)
        largest = max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))
        return [complains(tf.test.TestCase().assertAllClose, *pair), not largest < 1e-4]

    return check


class Scaled(NaiveDense):
    """A layer that gets one of its gradients wrong by a factor."""

    which, factor = 0, 1.0

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        """As derived, but for the factor."""
        grad_inputs = super().backward_affine(grad_pre_activation)
        self.gradients[self.which] = self.gradients[self.which] * self.factor
        return grad_inputs


def our_checker(reference: str) -> Check:
    """Both views of ``agreement``."""

    def check(case: Case, place: int, factor: float) -> Sequence[bool]:
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

    return check


class Contender(NamedTuple):
    """A checker: the packages it needs, the rows of the table it fills, and how to make it."""

    needs: tuple[str, ...]
    rows: tuple[str, ...]
    make: Function
    dtype: str = "float64"


JAX, CHEX = ("jax.test_util", "check_grads"), ("chex", "assert_numerical_grads")
TF_ROWS = ("tf.test.compute_gradient, assertAllClose", "same, largest difference < 1e-4")
CONTENDERS = {
    "torch": Contender(("torch",), ("torch.autograd.gradcheck",), partial(torch_checker, False)),
    "fast": Contender(("torch",), ("same, fast_mode",), partial(torch_checker, True)),
    "jax": Contender(("jax",), (".".join(JAX),), partial(jax_checker, *JAX)),
    "chex": Contender(("jax", "chex"), (".".join(CHEX),), partial(jax_checker, *CHEX)),
    "tf": Contender(("tensorflow",), TF_ROWS, tensorflow_checker),
} | {
    f"{name}-{dtype}": Contender(
        needs, tuple(f"agreement, {name}, {dtype}, {v}" for v in View), partial(our_checker, name), dtype
    )
    for name, needs in (("keras-graph", ("tensorflow", "keras")), ("dual", ()))
    for dtype in ("float64", "float32")
}  # fmt: skip


def measure(contender: Contender, cases: int) -> list[dict[str, Any]]:
    """(1) to (3) for one contender, in this process."""
    check, milliseconds = contender.make(), list[float]()
    counts = {key: np.zeros(len(contender.rows), int) for key in (*KINDS, "planted", *EPSILONS)}
    for kind, index in itertools.product(KINDS, range(cases)):
        case = draw(KINDS[kind], index, contender.dtype)
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
    versions = {package: version(package) for package in contender.needs}
    shared = {"cases": cases, "ms": statistics.median(milliseconds), "versions": versions}
    per_row = [{key: int(count[i]) for key, count in counts.items()} for i in range(len(alarms))]
    return [{"checker": n, **c, **shared} for n, c in zip(contender.rows, per_row, strict=True)]


def run(name: str, cases: int) -> list[dict[str, Any]]:
    """``measure`` in a process of its own, if all that it takes is installed."""
    contender = CONTENDERS[name]
    missing = [package for package in contender.needs if not importlib.util.find_spec(package)]
    if missing:
        return [{"checker": row, "missing": missing} for row in contender.rows]
    command = [sys.executable, "-m", "benchmarks.detection", "--worker", name]
    command += ["--cases", str(cases)]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(found: list[dict[str, Any]]) -> None:
    """Print one table, in Markdown, and the versions."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    headings = ("checker", "false alarms, uniform / nice", *(f"ε={e} seen" for e in EPSILONS), "ms")
    table, console = Table(*headings, box=box.MARKDOWN), Console(width=160, highlight=False)
    for row in found:
        if "missing" in row:
            table.add_row(row["checker"], f"missing: {', '.join(row['missing'])}")
            continue
        alarms = " / ".join(f"{row[kind] / row['cases']:.0%}" for kind in KINDS)
        seen = (f"{row[e] / max(row['planted'], 1):.0%} of {row['planted']}" for e in EPSILONS)
        table.add_row(row["checker"], alarms, *seen, f"{row['ms']:.1f}")
    console.print(table)
    versions = {p: v for row in found for p, v in row.get("versions", {}).items()}
    console.print(", ".join(f"{package} {v}" for package, v in versions.items()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure gradient checkers.")
    parser.add_argument("--cases", type=int, default=60, help="networks of each kind")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, help="contenders")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        found = measure(CONTENDERS[options.worker], options.cases)
    else:
        found = [row for name in options.only or CONTENDERS for row in run(name, options.cases)]
    if options.worker or options.json:
        print(json.dumps(found, indent=None if options.worker else 2))
    else:
        show(found)


if __name__ == "__main__":
    main()
