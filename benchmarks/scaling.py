"""What does a verification cost, in training steps, as networks grow?

From a network of ``BASE`` width, depth and batch each of the three grows alone. For every size,
in float32: one training step by hand (forward, backward, update), the tape's gradient in a
``tf.function``, and one verification of the gradient, every element of every tensor end to end and
locally, against Keras in graph mode; and the ratios. If a verification is a constant factor of the
step, the ratio does not grow. All in one process of its own for each size, in rounds.
After ``pip install -e .``, from the repository root:
``python -m benchmarks.scaling [--json] [--only width] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from agreement.checking import gather_traces, judge_traces
from agreement.verdicts import Verdict
from benchmarks import contenders, networks
from manual_backprop import losses

GRAPH = "keras-graph"
FEATURES, CLASSES = 64, 10
BASE = {"width": 128, "depth": 2, "batch": 64}
SERIES = {
    "width": (8, 32, 128, 512, 1024),
    "depth": (1, 2, 4, 8, 16),
    "batch": (1, 8, 64, 256, 1024),
}
NEEDS = "tensorflow keras"


def sizes_of(width: int, depth: int) -> tuple[int, ...]:
    """Inputs, hidden layers and outputs; the depth is the number of layers."""
    return (FEATURES, *[width] * (depth - 1), CLASSES)


def measure(name: str, seconds: float) -> dict[str, float]:
    """Seconds of one network, in this process; its name is a series and a size."""
    series, size = name.split()
    shape = BASE | {series: int(size)}
    sizes, batch = sizes_of(shape["width"], shape["depth"]), shape["batch"]
    step = networks.manual(sizes, batch).step
    tape = networks.tensorflow(sizes, batch, compiled=True, xla=False).gradient
    inputs, targets = networks.draw_batch(sizes, batch)
    parts = (networks.manual_model(sizes), inputs, targets, losses.get(networks.SPARSE))

    def verify() -> list[Any]:
        return judge_traces(*parts, gather_traces(*parts, [GRAPH]))

    if any(v.verdict is Verdict.DISAGREE for v in verify()):
        sys.exit(f"disagreements: {shape}")
    functions: dict[str, Callable[[], Any] | None] = {"step": step, "tape": tape, "verify": verify}
    return {
        name: contenders.median_seconds(function, seconds)
        for name, function in functions.items()
        if function is not None
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All sizes of all series; medians over rounds."""
    chosen = options.only or list(SERIES)
    options.only = None
    names = {f"{series} {size}": NEEDS for series in chosen for size in SERIES[series]}
    arguments = ["--seconds", options.seconds]
    runs = contenders.in_rounds("benchmarks.scaling", names, options, arguments)
    return {
        "machine": contenders.machine(options.threads),
        "rounds": options.rounds,
        "base": BASE,
        "missing": runs.missing,
        "found": {name: contenders.medians(each) for name, each in runs.found.items()},
    }


def show(result: dict[str, Any]) -> None:
    """One table."""
    print(f"{result['machine']}, rounds: {result['rounds']}, otherwise {result['base']}")
    rows = []
    for name, times in result["found"].items():
        cells = [f"{1e3 * times[part]:.3f}" for part in ("step", "tape", "verify")]
        ratios = [f"{times['verify'] / times[part]:.1f}" for part in ("step", "tape")]
        rows.append([name, *cells, *ratios])
    rows += [[name, why] for name, why in result["missing"].items()]
    headings = ["network", "step, ms", "tape, ms", "verification, ms", "× step", "× tape"]
    contenders.print_table("", headings, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time verifications of networks that grow.")
    contenders.add_options(parser, None, rounds=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each measurement")
    options = parser.parse_args()
    for name in () if options.here else options.only or ():
        if name not in SERIES:
            parser.error(f"--only: got {name!r}, expected one of {', '.join(SERIES)}")
    contenders.conduct(options, lambda name: measure(name, options.seconds), run, show)


if __name__ == "__main__":
    main()
