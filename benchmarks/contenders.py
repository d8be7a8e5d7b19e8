"""What the benchmarks share: contenders in processes of their own, timing, and tables.

Two frameworks' thread pools in one process slow each other down, so every contender is measured
in a short-lived process that imports its framework alone. What is not installed is named as
missing. Every process is told how many threads to use, and kept to as many cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from rich import box, console, table

SETTINGS = """
    OMP_NUM_THREADS={0} OPENBLAS_NUM_THREADS={0} TF_NUM_INTRAOP_THREADS={0}
    TF_NUM_INTEROP_THREADS={0} JAX_PLATFORMS=cpu KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3
"""
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"
WIDTH = 160
THREADS = 2
LEAST_CALLS = 5
WARM_SHARE = 0.4  # of the time of a measurement, spent on calls that are not measured


def missing(needs: str) -> list[str]:
    """Which of these packages, separated by spaces, are not installed."""
    return [package for package in needs.split() if not importlib.util.find_spec(package)]


def versions(needs: str) -> dict[str, str]:
    """The versions of these packages, and of NumPy."""
    return {package: version(package) for package in ("numpy", *needs.split())}


def in_process(module: str, arguments: Iterable[object], threads: int, **settings: str) -> Any:
    """Run ``python -m module arguments`` and return the JSON that it prints last.

    Args:
        module: one whose ``main`` measures in its own process if told to by its arguments.
        threads: how many threads its libraries get. settings: further environment variables.

    Raises:
        Failed: if it does, with the last line that it said.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    chosen = dict(setting.split("=", 1) for setting in SETTINGS.format(threads).split())
    if threads == 1:
        chosen["XLA_FLAGS"] = ONE_THREAD
    environment = os.environ | chosen | settings
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Failed((done.stderr.strip() or "no message").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


class Failed(Exception):
    """A contender is installed but could not be measured."""


@dataclass
class Runs:
    """What contenders found, round by round, and why others found nothing."""

    found: dict[str, list[Any]]
    missing: dict[str, str]


def in_rounds(
    module: str,
    needs: Mapping[str, str],
    options: argparse.Namespace,
    arguments: Sequence[object] = (),
    threads_of: Callable[[str], int] | None = None,
    **settings: str,
) -> Runs:
    """Every contender in turn, round after round, so that a busy moment hits all alike.

    Args:
        needs: the contenders, with the packages that each needs. options: of the command line.
        arguments: what the contender's process is told besides. threads_of: if not all the same.
    """
    chosen = {name: needs[name] for name in options.only or needs}
    absent = {name: ", ".join(missing(packages)) for name, packages in chosen.items()}
    runs = Runs({}, {name: f"missing: {what}" for name, what in absent.items() if what})
    for number in range(options.rounds):
        for name in (name for name in chosen if name not in runs.missing):
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            threads = threads_of(name) if threads_of else options.threads
            given = ["--here", "--only", name, "--threads", threads, *arguments]
            try:
                found = in_process(module, given, threads, **settings)
            except Failed as error:
                runs.missing[name] = f"failed: {error}"
                runs.found.pop(name, None)
            else:
                runs.found.setdefault(name, []).append(found)
    return runs


def keep_to_cores(threads: int) -> None:
    """Use as many cores as threads, where there are more: some libraries ask for no number."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def median_seconds(function: Callable[[], Any], seconds: float) -> float:
    """The median time of a call, of as many as fit into so many seconds, once it is warm."""
    function()
    end = time.perf_counter() + WARM_SHARE * seconds
    while time.perf_counter() < end:
        function()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def add_options(parser: argparse.ArgumentParser, names: Iterable[str] | None, rounds: int) -> None:
    """The options that all benchmarks of contenders have; None for names that are not fixed."""
    choices = None if names is None else list(names)
    parser.add_argument("--only", nargs="*", choices=choices, help="contenders")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each is measured")
    parser.add_argument("--threads", type=int, default=THREADS, help="for each contender")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--here", action="store_true", help="all in this one process")


def machine(threads: int) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    made = table.Table(*headings, box=box.MARKDOWN)
    for row in rows:
        made.add_row(*row)
    screen = console.Console(width=WIDTH, highlight=False)
    if title:
        screen.print(f"\n{title}")
    screen.print(made)


def print_json(found: object) -> None:
    """Print what was found, for machines."""
    print(json.dumps(found, indent=2))


def conduct(
    options: argparse.Namespace,
    measure: Callable[[str], Any],
    run: Callable[[argparse.Namespace], Any],
    show: Callable[[Any], None],
) -> None:
    """Do what the command line asks for: measure a contender here, or all, and print it."""
    if options.here:
        keep_to_cores(options.threads)
        print(json.dumps(measure(single(options.only))))
        return
    found = run(options)
    print_json(found) if options.json else show(found)


def single(only: Sequence[str] | None) -> str:
    """The one contender that a process of its own measures."""
    if only is None or len(only) != 1:
        sys.exit("--here measures a single contender: name it by --only")
    return only[0]


def medians(runs: Sequence[Any]) -> Any:
    """Nested dictionaries of numbers as one, with the median of each number over the runs."""
    first = runs[0]
    if isinstance(first, dict):
        return {key: medians([each[key] for each in runs]) for key in first}
    if isinstance(first, bool) or not isinstance(first, int | float):
        return first
    return float(np.median(runs))
