"""How many gradients are verified in a second, and what does the time go to?

(1) Small random networks as ``agreement campaign`` draws and judges them: in stacks, end to end
    and locally, bounds included, against Keras in graph mode; on one thread. "Cold" is the first
    pass, in which TensorFlow traces every architecture; "warm" is the same cases again, as in a
    campaign of many. Times are split into drawing, manual, bounds, reference and verdict.
(2) The same for the relu networks of ``benchmarks.detection``, next to other checkers on them: by
    finite differences, at their defaults in float64, one network after another, warm.
(3) One gradient of 784-512-10 at batch 128, float32, every element of every tensor end to end and
    locally, against the tape's own time for that gradient; and ``gradcheck`` in fast mode, in
    float64, which compares one number, along random directions. On ``--threads`` threads.

Each in a process of its own, in rounds. After ``pip install -e '.[benchmarks]'``, from the
repository root: ``python -m benchmarks.throughput [--json] [--only campaign tape] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import agreement.random_check as campaign
from agreement import stacks
from agreement.cases import (
    DEEPEST,
    DRAWS,
    LARGEST_BATCH,
    LARGEST_WIDTH,
    Frame,
    Structure,
    build_numbers,
)
from agreement.checking import expected_pairs, gather_traces, judge_traces, manual_trace
from agreement.verdicts import MANUAL, Verdict, judge_pairs
from benchmarks import contenders, detection, networks
from manual_backprop import losses

GRAPH = "keras-graph"
SIZES, BATCH = (784, 512, 10), 128
CAMPAIGN_CASES = 4096
FRAMES = 16
CHECKER_CASES = 20
SECONDS = 1.0
PARTS = ("drawing", "manual", "bounds", "reference", "verdict", "alone")
Found = dict[str, Any]


@contextlib.contextmanager
def split() -> Iterator[dict[str, float]]:
    """Where the time goes in judging stacks: seconds by part, while the context lasts.

    "Alone" is what is judged again by itself.
    """
    seconds: dict[str, float] = defaultdict(float)
    places: list[tuple[Any, str, str]] = [
        (campaign, "draw_parts", "drawing"),
        (campaign, "judge_case", "alone"),
        (stacks, "manual_trace", "manual"),
        (stacks, "_reference_trace", "reference"),
        (stacks, "expected_pairs", "bounds"),
        (stacks, "judge_stacks", "verdict"),
    ]
    originals = [(module, name, getattr(module, name)) for module, name, _ in places]

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            running.append(part)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                running.pop()
                if not running:
                    seconds[part] += time.perf_counter() - start

        return run

    running: list[str] = []
    try:
        for module, name, part in places:
            setattr(module, name, timed(getattr(module, name), part))
        yield seconds
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def timed_passes(cases: int, judge: Callable[[], None]) -> Found:
    """The cold and the warm pass of a judge of so many cases."""
    found: Found = {"cases": cases}
    for title in ("cold", "warm"):
        with split() as seconds:
            start = time.perf_counter()
            judge()
            total = time.perf_counter() - start
        parts = {part: seconds[part] / total for part in PARTS}
        parts["rest"] = 1 - sum(parts.values())
        found[title] = {"per_second": cases / total, "shares": parts}
    return found


def measure_campaign() -> Found:
    """(1)"""
    settings = campaign.Settings(0, "float32", (GRAPH,))
    return timed_passes(
        CAMPAIGN_CASES, lambda: check_agrees(campaign.run_cases(settings, range(CAMPAIGN_CASES)))
    )


def check_agrees(statistics: Any) -> None:
    """A benchmark of verdicts that are wrong would be none."""
    if statistics.disagreeing:
        sys.exit(f"disagreements: {statistics.disagreeing}")


def relu_frame(rng: np.random.Generator) -> Frame:
    """Depth, widths and batch as ``benchmarks.detection`` draws them."""
    depth, batch = int(rng.integers(1, DEEPEST + 1)), int(rng.integers(1, LARGEST_BATCH + 1))
    sizes = tuple(int(n) for n in rng.integers(1, LARGEST_WIDTH + 1, depth + 1))
    activations = ("relu",) * (depth - 1) + ("softmax",)
    structure = Structure(activations, (True,) * depth, networks.SPARSE, "fused")
    return Frame(structure, sizes, batch)


def measure_relu() -> Found:
    """(2), ours."""
    rng = np.random.default_rng(0)
    frames = [relu_frame(rng) for _ in range(FRAMES)]
    kinds = list(detection.KINDS.values())

    def judge() -> None:
        for number, frame in enumerate(frames):
            kind = kinds[number % len(kinds)]
            start = np.random.default_rng([1, number])
            drawn = [build_numbers(frame, kind, start, "float32") for _ in range(DRAWS)]
            stack = stacks.Stack.of(frame, [kind] * DRAWS, drawn)
            if not stacks.judge_stack(stack, [GRAPH]).settled.all():
                sys.exit(f"disagreements: {frame}")

    return timed_passes(FRAMES * DRAWS, judge)


def measure_checker(name: str) -> Found:
    """(2), theirs."""
    check, *_, dtype = detection.CONTENDERS[name]
    kinds = list(detection.KINDS.values())
    cases = [detection.draw(kinds[i % len(kinds)], i, dtype) for i in range(CHECKER_CASES)]
    seconds = []
    for case in cases:
        check(case, detection.NOWHERE, 1.0)
        start = time.perf_counter()
        check(case, detection.NOWHERE, 1.0)
        seconds.append(time.perf_counter() - start)
    return {"cases": CHECKER_CASES, "warm": {"per_second": 1 / float(np.mean(seconds))}}


def measure_large() -> Found:
    """(3), ours: the whole verification and its parts."""
    model = networks.manual_model(SIZES)
    inputs, targets = networks.draw_batch(SIZES, BATCH)
    parts = (model, inputs, targets, losses.get(networks.SPARSE))
    traces = gather_traces(*parts, [GRAPH])
    if any(v.verdict is Verdict.DISAGREE for v in judge_traces(*parts, traces)):
        sys.exit("disagreements on the large network")
    pairs, _ = expected_pairs(*parts, traces)

    def verify() -> None:
        judge_traces(*parts, gather_traces(*parts, [GRAPH]))

    functions: dict[str, Callable[[], Any]] = {
        "all": verify,
        "manual": partial(manual_trace, *parts),
        "manual and reference": partial(gather_traces, *parts, [GRAPH]),
        "bounds": partial(expected_pairs, *parts, traces),
        "verdict": partial(judge_pairs, pairs),
    }
    times = {name: contenders.median_seconds(f, SECONDS) for name, f in functions.items()}
    times["reference"] = times.pop("manual and reference") - times["manual"]
    elements = sum(x.size for _, x in traces[MANUAL].tensors())
    return {"seconds": times, "elements": elements}


def measure_tape() -> Found:
    """(3), the gradient alone, by the tape."""
    eager = networks.tensorflow(SIZES, BATCH, compiled=False, xla=False).gradient
    graph = networks.tensorflow(SIZES, BATCH, compiled=True, xla=False).gradient
    assert eager is not None
    assert graph is not None
    times = {"all": contenders.median_seconds(eager, SECONDS)}
    return {"seconds": times | {"tf.function": contenders.median_seconds(graph, SECONDS)}}


def measure_fast() -> Found:
    """(3), gradcheck in fast mode."""
    import torch

    drawn = networks.draw_weights(SIZES)
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in drawn]
    inputs, labels = (torch.tensor(part) for part in networks.draw_batch(SIZES, BATCH))

    def loss(*given: Any) -> Any:
        return networks.torch_loss(given, inputs.double(), labels)

    options = {"fast_mode": True, "raise_exception": False}
    check = partial(torch.autograd.gradcheck, loss, weights, **options)
    start = time.perf_counter()
    passed = bool(check())
    first = time.perf_counter() - start
    return {
        "seconds": {"all": min(first, contenders.median_seconds(check, SECONDS))},
        "passed": passed,
    }


# the title, the packages needed, what is measured, and the threads (0 for those asked for)
CONTENDERS: dict[str, tuple[str, str, Callable[[], Found], int]] = {
    "campaign": ("campaign's networks, in stacks", "tensorflow keras", measure_campaign, 1),
    "relu": ("relu networks, in stacks", "tensorflow keras", measure_relu, 1),
    **{
        name: (
            f"same networks, {detection.CONTENDERS[name][2][0]}",
            detection.CONTENDERS[name][1],
            partial(measure_checker, name),
            1,
        )
        for name in ("torch", "jax", "tf")
    },
    "tape": ("784-512-10: the tape's gradient", "tensorflow", measure_tape, 0),
    "large": ("784-512-10: every element verified", "tensorflow keras", measure_large, 0),
    "fast": ("784-512-10: gradcheck, fast mode", "torch", measure_fast, 0),
}


def run(options: argparse.Namespace) -> Found:
    """All in turn; every figure is the median over rounds."""
    needs = {name: packages for name, (_, packages, *_) in CONTENDERS.items()}
    runs = contenders.in_rounds(
        "benchmarks.throughput",
        needs,
        options,
        threads_of=lambda name: CONTENDERS[name][3] or options.threads,
        JAX_ENABLE_X64="1",
    )
    return {
        "machine": contenders.machine(options.threads),
        "rounds": options.rounds,
        "missing": runs.missing,
        "found": {name: contenders.medians(each) for name, each in runs.found.items()},
    }


def show(result: Found) -> None:
    """Two tables: small networks, and the large one."""
    found = result["found"]
    print(f"{result['machine']} (small networks: 1 thread), rounds: {result['rounds']}")
    small, large = [], []
    tape = found.get("tape", {}).get("seconds", {}).get("all")
    for name, (title, *_) in CONTENDERS.items():
        if name in result["missing"]:
            row = [title, result["missing"][name]]
            (large if CONTENDERS[name][3] == 0 else small).append(row)
            continue
        if name not in found:
            continue
        for state in ("cold", "warm"):
            if state in found.get(name, {}):
                figures = found[name][state]
                shares = figures.get("shares", {})
                parts = (*PARTS, "rest")
                cells = [f"{shares[part]:.0%}" if part in shares else "" for part in parts]
                small.append([f"{title}, {state}", f"{figures['per_second']:.0f}", *cells])
        for part, seconds in found.get(name, {}).get("seconds", {}).items():
            ratio = f"{seconds / tape:.1f}" if tape else "–"
            large.append([title if part == "all" else f"  {part}", f"{1e3 * seconds:.2f}", ratio])
    headings = ["what", "cases per second", *PARTS, "rest"]
    contenders.print_table("small random networks", headings, small)
    contenders.print_table("one gradient", ["what", "ms", "× eager tape"], large)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Count verified gradients per second.")
    contenders.add_options(parser, CONTENDERS, rounds=3)
    options = parser.parse_args()
    contenders.conduct(options, lambda name: CONTENDERS[name][2](), run, show)


if __name__ == "__main__":
    main()
