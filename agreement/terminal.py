"""What the verbs of the command line print: tables, JSON, a progress bar, one-line errors."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import typer


def print_report(report: Any, as_json: bool) -> None:
    from agreement.report import wide_console

    if as_json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        wide_console().print(report.table())
        print(report.conclusion())
    raise typer.Exit(report.exit_status)


def print_statistics(statistics: Any, as_json: bool) -> None:
    from agreement.report import jsonable, wide_console
    from agreement.statistics import summary_lines, summary_table

    if as_json:
        print(json.dumps(jsonable(statistics.to_dict()), indent=1))
    else:
        wide_console().print(summary_table(statistics))
        print("\n".join(summary_lines(statistics)))


@contextlib.contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a progress bar on standard error."""
    if quiet:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(title, total=None, rate="")
        first: list[int] = []
        started = time.perf_counter()

        def advance_to(done: int, total: int) -> None:
            first[:] = first or [done]  # what an earlier run has done says nothing of the rate
            rate = (done - first[0]) / max(time.perf_counter() - started, 1e-9)
            shown = f"{rate:.0f}/s" if rate else ""
            progress.update(task, completed=done, total=total, rate=shown)

        yield advance_to


def fail(message: str) -> int:
    """Print an error as one line; return the exit status that goes with it."""
    print(f"agreement: {' '.join(message.split())}", file=sys.stderr)
    return 2
