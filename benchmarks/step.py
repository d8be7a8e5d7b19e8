"""How long does one training step take, and how much of that is matrix products?

Networks and contenders are those of ``benchmarks.networks``; the floor is the step's bare matrix
products, each by the fastest of several NumPy expressions, into memory that is there already.
Two measures: forward and backward (loss and gradients of all weights), and a full step of plain
gradient descent. Every contender runs in a process of its own, in turn, in rounds; a figure is
the median over rounds of the median over calls, all warm.
After ``pip install -e '.[benchmarks]'``, from the repository root:
``python -m benchmarks.step [--json] [--only manual jax] [--batch 1 128] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import contenders, networks
from benchmarks.networks import Program, draw_batch, draw_weights
from manual_backprop.typing import Array

SIZES = {"784-512-10": (784, 512, 10), "784-512-512-10": (784, 512, 512, 10)}
BATCHES = (1, 32, 128, 1024)
MEASURES = ("forward and backward", "full step")
TRIAL_SECONDS = 0.05
LOSS_TOLERANCE = 1e-3  # all compute the same loss; more than this apart, one of them does not


def expressions(a: Array, b: Array, out: Array) -> list[Callable[[], Any]]:
    """Ways to compute a @ b for matrices, the best of which is the floor."""
    ways: list[Callable[[], Any]] = [
        partial(np.matmul, a, b, out=out),
        partial(np.dot, a, b),
        lambda: (b.T @ a.T).T,
    ]
    if a.shape[1] == 1:
        ways.append(partial(np.multiply, a, b, out=out))
        ways.append(partial(np.einsum, "in,nj->ij", a, b, out=out))
        two = [np.concatenate((x, np.zeros_like(x)), axis) for axis, x in ((1, a), (0, b))]
        ways.append(partial(np.matmul, *two, out=out))
    if a.shape[0] == 1:
        ways += [partial(np.matmul, b.T, a[0]), partial(np.dot, a[0], b)]
    return ways


def floor(sizes: Sequence[int], batch: int) -> Program:
    """The matrix products of forward and backward, without the gradient of the inputs."""
    rng = np.random.default_rng(2)
    kernels = draw_weights(sizes)[::2]
    values = [draw_batch(sizes, batch)[0]]
    values += [rng.random((batch, n), dtype=np.float32) for n in sizes[1:]]
    products = [(x, W) for x, W in zip(values, kernels, strict=False)]
    products += [(x.T, g) for x, g in itertools.pairwise(values)]
    products += [(g, W.T) for g, W in zip(values[2:], kernels[1:], strict=True)]
    best = []
    for a, b in products:
        ways = expressions(a, b, np.empty((a.shape[0], b.shape[1]), np.float32))
        best.append(min(ways, key=lambda way: contenders.median_seconds(way, TRIAL_SECONDS)))

    def run() -> float:
        for product in best:
            product()
        return float("nan")

    return Program(run, run)


Build = Callable[[Sequence[int], int], Program]
# the title, the packages needed, and what makes the program
CONTENDERS: dict[str, tuple[str, str, Build]] = {
    "floor": ("the bare matrix products", "", floor),
    "manual": ("manual_backprop", "", networks.manual),
    "checked": ("same, arguments checked", "", networks.manual_checked),
    "tape": (
        "TensorFlow, eager tape",
        "tensorflow",
        partial(networks.tensorflow, compiled=False, xla=False),
    ),
    "function": (
        "TensorFlow, tf.function",
        "tensorflow",
        partial(networks.tensorflow, compiled=True, xla=False),
    ),
    "xla": (
        "TensorFlow, XLA",
        "tensorflow",
        partial(networks.tensorflow, compiled=True, xla=True),
    ),
    "keras": ("Keras, train_on_batch", "tensorflow keras", networks.keras),
    "torch": ("PyTorch, eager", "torch", networks.torch_eager),
    "compile": ("PyTorch, torch.compile", "torch", networks.torch_compiled),
    "jax": ("JAX, jit", "jax", networks.jax),
}


def measure(name: str, batches: Sequence[int], seconds: float) -> dict[str, Any]:
    """One contender on all networks, in this process: seconds by network, measure and batch."""
    _, needs, build = CONTENDERS[name]
    found: dict[str, Any] = {"versions": contenders.versions(needs), "losses": {}, "seconds": {}}
    for network, sizes in SIZES.items():
        rows: dict[str, dict[str, float]] = {title: {} for title in MEASURES}
        for batch in batches:
            program = build(sizes, batch)
            functions = (program.gradient, program.step)
            first = next(f for f in functions if f is not None)()
            found["losses"][f"{network}, {batch}"] = None if np.isnan(first) else first
            for title, function in zip(MEASURES, functions, strict=True):
                if function is not None:
                    rows[title][str(batch)] = contenders.median_seconds(function, seconds)
        found["seconds"][network] = rows
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All contenders in turn; medians over rounds."""
    needs = {name: packages for name, (_, packages, _) in CONTENDERS.items()}
    arguments = ["--batch", *options.batch, "--seconds", options.seconds]
    runs = contenders.in_rounds("benchmarks.step", needs, options, arguments)
    found = runs.found
    result: dict[str, Any] = {
        "machine": contenders.machine(options.threads),
        "rounds": options.rounds,
        "missing": runs.missing,
        "versions": {p: v for each in found.values() for p, v in each[0]["versions"].items()},
        "losses_differ": differing_losses(found),
        "rows": [],
    }
    for network in SIZES:
        for title in MEASURES:
            for name, each in found.items():
                cells = [one["seconds"][network][title] for one in each]
                medians = {b: float(np.median([cell[b] for cell in cells])) for b in cells[0]}
                row = {"network": network, "measure": title, "contender": name}
                result["rows"].append(row | {"seconds": medians, "rounds": cells})
    return add_ratios(result)


def differing_losses(runs: dict[str, list[Any]]) -> list[str]:
    """Where contenders did not compute the same loss; none is expected."""
    said = []
    for key in next(iter(runs.values()))[0]["losses"] if runs else ():
        losses = {name: each[0]["losses"][key] for name, each in runs.items()}
        known = {name: loss for name, loss in losses.items() if loss is not None}
        if known and max(known.values()) - min(known.values()) > LOSS_TOLERANCE:
            said.append(f"{key}: {known}")
    return said


def add_ratios(found: dict[str, Any]) -> dict[str, Any]:
    """To every row its times divided by those of the manual code and of the floor."""
    times = {(r["network"], r["measure"], r["contender"]): r["seconds"] for r in found["rows"]}
    for row in found["rows"]:
        for base in ("manual", "floor"):
            other = times.get((row["network"], row["measure"], base), {})
            row[f"to_{base}"] = {
                b: seconds / other[b] for b, seconds in row["seconds"].items() if b in other
            }
    return found


def show(found: dict[str, Any], batches: Sequence[int]) -> None:
    """One table for each network and measure."""
    print(f"{found['machine']}, rounds: {found['rounds']}, {found['versions']}")
    print("milliseconds (ratio to manual_backprop, ratio to the floor)")
    for network in SIZES:
        for title in MEASURES:
            rows = []
            for row in found["rows"]:
                if (row["network"], row["measure"]) == (network, title) and row["seconds"]:
                    cells = [cell(row, str(batch)) for batch in batches]
                    rows.append([CONTENDERS[row["contender"]][0], *cells])
            rows += [[CONTENDERS[name][0], why] for name, why in found["missing"].items()]
            headings = ["contender", *(f"batch {batch}" for batch in batches)]
            contenders.print_table(f"{network}, {title}", headings, rows)
    for said in found["losses_differ"]:
        print(f"the losses differ: {said}")


def cell(row: dict[str, Any], batch: str) -> str:
    """A time and its two ratios."""
    ratios = [f"{row[k][batch]:.2f}" if batch in row[k] else "–" for k in ("to_manual", "to_floor")]
    return f"{1e3 * row['seconds'][batch]:.3f} ({', '.join(ratios)})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time a training step in every framework.")
    contenders.add_options(parser, CONTENDERS, rounds=3)
    parser.add_argument("--batch", nargs="*", type=int, default=list(BATCHES), help="batch sizes")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each measurement")
    options = parser.parse_args()
    contenders.conduct(
        options,
        lambda name: measure(name, options.batch, options.seconds),
        run,
        lambda found: show(found, options.batch),
    )


if __name__ == "__main__":
    main()
