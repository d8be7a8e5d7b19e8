"""What do gradient checkers see, and how often do they cry wolf?

Random correct networks (1 to 4 Dense layers with ReLU, widths and batches 1 to 8, softmax with
sparse cross-entropy from the logits), "uniform" and "nice" (see ``agreement.cases``). For every
checker, at the defaults it comes with:

(1) false alarms: the share of correct networks that it complains about
(2) seen: the first weight gradient that is not zero is scaled by 1 + ε, in the uniform networks;
    of those that pass as they are, and have such a gradient, the share that fails now
(3) milliseconds: the median over all networks of a second check of the same correct network,
    when whatever compiles for new shapes has done so

What "defaults" means where there is a choice:
- ``torch.autograd.gradcheck`` and ``fast_mode=True``: eps 1e-6, atol 1e-5, rtol 1e-3.
- ``jax.test_util.check_grads``: order has no default, 1 here. ``modes=["rev"]``, since the fault
  is planted in a ``custom_vjp``, which has no forward mode. One random direction, eps 1e-4; rtol
  and atol are 1e-5 in float64.
- ``chex.assert_numerical_grads``: as above, with an atol of 0.01 times the first weight's size.
- ``tf.test.compute_gradient`` (delta 1/1024) only returns two Jacobians. Its documentation compares
  them by ``assertAllClose`` (rtol and atol 1e-6); TensorFlow's own tests mostly ask for a largest
  difference below 1e-4. One row each.
- ours: an alarm is a DISAGREE in the view named. The time is that of both views and both runs,
  the manual one and the reference's.

Every contender has a short-lived process of its own, since two frameworks' thread pools in one
process slow each other down. One that is not installed is named as missing. All are installed by
``pip install -e '.[benchmarks]'``. From the repository root:
``python -m benchmarks.detection [--json] [--cases 60] [--only torch jax]``.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from agreement.cases import DEEPEST, LARGEST_BATCH, LARGEST_WIDTH, Case, Kind, Structure, build_case
from agreement.checking import gather_traces, judge_traces, manual_trace
from agreement.report import MANUAL
from agreement.verdicts import Verdict, View
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.typing import Array

EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5)
KINDS = {Kind.SMOOTH: "uniform", Kind.NICE: "nice"}
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
}
# (case, which weight's gradient is scaled, ε or 0) → for every row, whether it complains
Check = Callable[[Case, int, float], Sequence[bool]]


@dataclass(frozen=True)
class Contender:
    """A checker: the packages it needs, the rows it fills, and how to make it."""

    needs: tuple[str, ...]
    rows: tuple[str, ...]
    make: Callable[[], Check]
    dtype: str = "float64"


def draw(kind: Kind, seed: int, index: int, dtype: str) -> Case:
    """A random network with a batch; the same for every contender."""
    rng = np.random.default_rng([seed, list(Kind).index(kind), index])
    depth = int(rng.integers(1, DEEPEST + 1))
    sizes = tuple(int(n) for n in rng.integers(1, LARGEST_WIDTH + 1, depth + 1))
    layers = (("relu",) * (depth - 1) + ("softmax",), (True,) * depth)
    structure = Structure(*layers, "sparse_categorical_crossentropy", "fused")
    return build_case(structure, sizes, int(rng.integers(1, LARGEST_BATCH + 1)), kind, rng, dtype)


def logits(x: Any, weights: Sequence[Any], relu: Callable[[Any], Any]) -> Any:
    """The network up to the softmax, in any framework."""
    for i in range(0, len(weights), 2):
        x = (relu(x) if i else x) @ weights[i] + weights[i + 1]
    return x


def planted(weights: Sequence[Any], place: int, scale: Callable[[Any], Any] | None) -> list[Any]:
    """The weights, one of them passed through the identity that scales its gradient."""
    return [scale(w) if scale and i == place else w for i, w in enumerate(weights)]


def torch_checker(fast_mode: bool) -> Check:
    """``torch.autograd.gradcheck``."""
    import torch

    class Scale(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, x: Any, factor: float) -> Any:
            context.factor = factor
            return x.view_as(x)

        @staticmethod
        def backward(context: Any, grad: Any) -> Any:
            return grad * context.factor, None

    def check(case: Case, place: int, epsilon: float) -> Sequence[bool]:
        inputs, labels = torch.tensor(case.inputs), torch.tensor(case.targets).long()
        scale = (lambda w: Scale.apply(w, 1 + epsilon)) if epsilon else None

        def loss(*weights: Any) -> Any:
            z = logits(inputs, planted(weights, place, scale), torch.relu)
            return torch.nn.functional.cross_entropy(z, labels)

        at = [torch.tensor(w, requires_grad=True) for w in case.model.weights]
        passes = torch.autograd.gradcheck(loss, at, fast_mode=fast_mode, raise_exception=False)
        return [not passes]

    return check


def jax_checker(by_chex: bool) -> Check:
    """``jax.test_util.check_grads``, or chex's wrapper of it."""
    import jax
    from jax.test_util import check_grads

    if by_chex:
        from chex import assert_numerical_grads as check_grads

    @functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
    def scaled(x: Any, factor: float) -> Any:
        return x

    scaled.defvjp(lambda x, factor: (x, None), lambda factor, _, grad: (grad * factor,))

    def check(case: Case, place: int, epsilon: float) -> Sequence[bool]:
        inputs, labels = jax.numpy.asarray(case.inputs), case.targets.reshape(-1, 1)
        scale = (lambda w: scaled(w, 1 + epsilon)) if epsilon else None

        def loss(*weights: Any) -> Any:
            z = logits(inputs, planted(weights, place, scale), jax.nn.relu)
            logs = jax.nn.log_softmax(z)
            return -jax.numpy.take_along_axis(logs, labels, axis=1).mean()

        try:
            check_grads(loss, case.model.weights, order=1, modes=["rev"])
        except AssertionError:
            return [True]
        return [False]

    return check


def tensorflow_checker() -> Check:
    """``tf.test.compute_gradient``, judged in two ways."""
    import tensorflow as tf

    def check(case: Case, place: int, epsilon: float) -> Sequence[bool]:
        @tf.custom_gradient
        def scale(w: Any) -> Any:
            return tf.identity(w), lambda grad: grad * (1 + epsilon)

        def loss(*weights: Any) -> Any:
            z = logits(
                tf.constant(case.inputs),
                planted(weights, place, scale if epsilon else None),
                tf.nn.relu,
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(case.targets, z)
            return tf.reduce_mean(losses)

        pair = tf.test.compute_gradient(loss, case.model.weights)
        largest = max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))
        try:
            tf.test.TestCase().assertAllClose(*pair)
        except AssertionError:
            return [True, not largest < 1e-4]
        return [False, not largest < 1e-4]

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

    def check(case: Case, place: int, epsilon: float) -> Sequence[bool]:
        batch = (case.inputs, case.targets, case.loss)
        model: NaiveSequential = case.model
        traces = gather_traces(model, *batch, [reference], any_shape=True)
        if epsilon:
            model = copy.deepcopy(model)
            layer: Any = model.layers[place // 2]
            layer.__class__ = Scaled
            layer.which, layer.factor = place % 2, 1 + epsilon
            traces[MANUAL] = manual_trace(model, *batch)
        verdicts = judge_traces(model, *batch, traces)
        wrong = {v.view for v in verdicts if v.verdict is Verdict.DISAGREE}
        return [view in wrong for view in View]

    return check


CONTENDERS = {
    "torch": Contender(("torch",), ("torch gradcheck",), lambda: torch_checker(False)),
    "torch-fast": Contender(("torch",), ("same, fast_mode",), lambda: torch_checker(True)),
    "jax": Contender(("jax",), ("jax check_grads",), lambda: jax_checker(False)),
    "chex": Contender(("jax", "chex"), ("chex assert_numerical_grads",), lambda: jax_checker(True)),
    "tf": Contender(
        ("tensorflow",),
        ("tf compute_gradient, assertAllClose", "same, largest difference < 1e-4"),
        tensorflow_checker,
    ),
} | {
    f"{reference}-{dtype}": Contender(
        () if reference == "dual" else ("tensorflow", "keras"),
        tuple(f"agreement, {reference}, {view}, {dtype}" for view in View),
        functools.partial(our_checker, reference),
        dtype,
    )
    for reference in ("keras-graph", "dual")
    for dtype in ("float64", "float32")
}


def measure(contender: Contender, cases: int, seed: int) -> list[dict[str, Any]]:
    """(1) to (3) for one contender, in this process."""
    check, milliseconds = contender.make(), []
    alarms = {kind: np.zeros(len(contender.rows), int) for kind in KINDS}
    seen = {epsilon: np.zeros(len(contender.rows), int) for epsilon in EPSILONS}
    passing, zero, first_zero = np.zeros(len(contender.rows), int), 0, 0
    for kind, index in ((kind, index) for kind in KINDS for index in range(cases)):
        case = draw(kind, seed, index, contender.dtype)
        check(case, 0, 0.0)
        start = time.perf_counter()
        alarm = np.array(check(case, 0, 0.0))
        milliseconds.append(1e3 * (time.perf_counter() - start))
        alarms[kind] += alarm
        if kind is not Kind.SMOOTH:
            continue
        gradients = manual_trace(case.model, case.inputs, case.targets, case.loss).gradients
        first_zero += not gradients[0].any()
        place = next((i for i, gradient in enumerate(gradients) if gradient.any()), None)
        if place is None:
            zero += 1
            continue
        passing += ~alarm
        for epsilon in EPSILONS:
            seen[epsilon] += np.array(check(case, place, epsilon)) & ~alarm
    return [
        {
            "checker": name,
            "cases": cases,
            "false_alarms": {KINDS[kind]: int(alarms[kind][i]) for kind in KINDS},
            "passing": int(passing[i]),
            "seen": {f"{epsilon:.0e}": int(seen[epsilon][i]) for epsilon in EPSILONS},
            "all_gradients_zero": zero,
            "first_gradient_zero": first_zero,
            "milliseconds": statistics.median(milliseconds),
            "versions": {package: version(package) for package in contender.needs},
        }
        for i, name in enumerate(contender.rows)
    ]


def run(name: str, cases: int, seed: int) -> list[dict[str, Any]]:
    """``measure`` in a process of its own, if all it needs is installed."""
    contender = CONTENDERS[name]
    missing = [p for p in contender.needs if importlib.util.find_spec(p) is None]
    if missing:
        return [{"checker": row, "missing": missing} for row in contender.rows]
    command = [sys.executable, "-m", "benchmarks.detection", "--worker", name]
    command += ["--cases", str(cases), "--seed", str(seed)]
    root, environment = Path(__file__).parents[1], os.environ | ENVIRONMENT
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Print all as one table, in Markdown."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("checker", "false alarms, uniform / nice", box=box.MARKDOWN)
    for heading in (*(f"ε={epsilon:.0e} seen" for epsilon in EPSILONS), "ms per case"):
        table.add_column(heading, justify="right")
    for row in rows:
        if "missing" in row:
            table.add_row(row["checker"], f"missing: {', '.join(row['missing'])}")
            continue
        alarms = " / ".join(f"{n / row['cases']:.0%}" for n in row["false_alarms"].values())
        seen = (
            f"{n / row['passing']:.0%}" if row["passing"] else "–" for n in row["seen"].values()
        )
        table.add_row(row["checker"], alarms, *seen, f"{row['milliseconds']:.1f}")
    console = Console(width=140, highlight=False)
    console.print(table)
    versions = {p: v for row in rows for p, v in row.get("versions", {}).items()}
    console.print(", ".join(f"{package} {number}" for package, number in versions.items()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure gradient checkers.")
    parser.add_argument("--cases", type=int, default=60, help="networks of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(CONTENDERS[options.worker], options.cases, options.seed)))
        return
    rows = [row for name in options.only or CONTENDERS for row in run(name, options.cases, 0)]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
