"""The command line. Exit status: 0 agrees, 1 disagrees, 2 could not judge or bad usage."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agreement.terminal import fail, print_report, print_statistics, progress
from agreement.upgrade import commands as upgrade_commands

app = typer.Typer(
    name="agreement",
    help="Is hand-written backpropagation right, and if not, where and why?",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
DtypeOption = Annotated[str, typer.Option(help="float32 or float64.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of data order, weights and cases.")]
LargestOption = Annotated[
    int, typer.Option(min=1, help="The most that a case file may hold unpacked, in MiB.")
]


@app.callback()
def _root() -> None:
    """Is hand-written backpropagation right, and if not, where and why?"""


@app.command()
def check(
    data: Annotated[str, typer.Option(help="digits, spiral, mnist or random.")] = "digits",
    layers: Annotated[
        str | None, typer.Option(help="Layer sizes, inputs to classes, such as 64,32,10.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="References, with commas: keras, keras-graph, keras-xla, dual.")
    ] = "keras,keras-graph,keras-xla",
    activation: Annotated[str, typer.Option(help="Activation of the hidden layers.")] = "relu",
    loss: Annotated[str, typer.Option(help="Loss.")] = "sparse_categorical_crossentropy",
    loss_path: Annotated[str, typer.Option(help="auto, fused or probabilities.")] = "auto",
    dtype: DtypeOption = "float32",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int, typer.Option(help="Samples in a batch.")] = 32,
    learning_rate: Annotated[float | None, typer.Option(help="Step size of the training.")] = None,
    cases: Annotated[int, typer.Option(help="With --data random: how many cases.")] = 1000,
    case: Annotated[
        int | None, typer.Option(min=0, help="With --data random: only this case.")
    ] = None,
    seed: SeedOption = 0,
    plant: Annotated[
        str, typer.Option(help="Plant a fault (see agreement faults) and see it caught.")
    ] = "",
    mnist_path: Annotated[
        Path | None, typer.Option(help="Directory of MNIST's IDX files, or mnist.npz.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train by hand-written backprop and verify its gradients on the way (the main job).

    With --data random: judge many random networks instead of training one.
    """
    references = _names(against)
    if data == "random":
        indices = range(cases) if case is None else [case]
        _check_random(indices, seed, dtype, references, as_json)
    from agreement.main_job import DATA, DEFAULTS, Job
    from manual_backprop.catalogue import unknown_name

    if data not in DATA:
        raise unknown_name("--data", data, DATA)
    job = Job(
        data=data,
        path=mnist_path,
        plant=plant,
        activation=activation,
        loss=loss,
        loss_path=loss_path,
        dtype=dtype,
        batch_size=batch_size,
        learning_rate=DEFAULTS[data][0] if learning_rate is None else learning_rate,
        epochs=DEFAULTS[data][1] if epochs is None else epochs,
        seed=seed,
    )
    _check_training(job, layers, references, as_json)


def _check_training(job: Any, layers: str | None, references: list[str], as_json: bool) -> None:
    from dataclasses import replace

    from agreement.main_job import run
    from agreement.report import wide_console

    if layers is not None:
        sizes = _sizes(layers)
        job = replace(job, hidden=sizes[1:-1], expected_sizes=(sizes[0], sizes[-1]))
    with progress("training and verifying", quiet=as_json) as advance_to:
        report = run(job, references, advance_to)
    report.rerun = f"agreement check {' '.join(sys.argv[2:])}".strip()
    if as_json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        wide_console().print(report.table())
        facts = report.facts
        print(f"{facts['model']}, {facts['loss_function']}, {facts['dtype']}, on {facts['data']}")
        print(
            f"loss {facts['training_loss']:.4f}, held out {facts['held_out_loss']:.4f}; "
            f"held-out accuracy {facts['held_out_accuracy']:.2%} after "
            f"{facts['training_steps']} steps in {facts['seconds']:.1f} s"
        )
        print(report.conclusion())
    raise typer.Exit(report.exit_status)


def _check_random(
    indices: range | list[int], seed: int, dtype: str, references: list[str], as_json: bool
) -> None:
    from agreement.random_check import Settings, run_cases
    from agreement.references import resolve_references
    from manual_backprop.validation import as_count, as_dtype

    as_count("--cases", len(indices))
    settings = Settings(seed, as_dtype(dtype).name, tuple(resolve_references(references)))
    with progress("judging random cases", quiet=as_json) as advance_to:
        done = iter(range(1, len(indices) + 1))
        statistics = run_cases(settings, indices, lambda: advance_to(next(done), len(indices)))
    print_statistics(statistics, as_json)
    if not as_json:
        for index in statistics.disagreeing[:1]:
            print(
                f"rerun: agreement check --data random --seed {seed} --dtype {dtype} "
                f"--against {','.join(references)} --case {index}"
            )
    raise typer.Exit(1 if statistics.disagreeing else 0)


@app.command("faults")
def list_faults(as_json: JsonOption = False) -> None:
    """List the planted faults, with how each happens."""
    from agreement.faults import FAULTS
    from agreement.report import wide_console

    if as_json:
        keys = ("name", "family", "tensor", "sentence")
        print(json.dumps([{k: getattr(f, k) for k in keys} for f in FAULTS.values()], indent=1))
        return
    from rich.table import Table

    table = Table(title=f"{len(FAULTS)} planted faults")
    for heading in ("name", "family", "located at"):
        table.add_column(heading, no_wrap=True)
    table.add_column("how it happens")
    for fault in FAULTS.values():
        table.add_row(fault.name, fault.family, fault.tensor, fault.sentence)
    wide_console().print(table)


@app.command("coverage")
def show_coverage(
    against: Annotated[str, typer.Option(help="References, with commas.")] = "keras,keras-graph",
    cases: Annotated[
        int, typer.Option(min=1, help="For each variant, dtype and kind of numbers.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Verify the whole catalogue against the installed Keras, member by member."""
    from agreement.coverage import coverage, coverage_table, summary
    from agreement.report import jsonable, wide_console

    with progress("verifying", quiet=as_json) as advance_to:
        rows = coverage(_names(against), cases, advance_to)
    if as_json:
        print(json.dumps(jsonable([row.to_dict() for row in rows]), indent=1))
    else:
        wide_console().print(coverage_table(rows))
        print(summary(rows))
    raise typer.Exit(0 if all(row.is_settled for row in rows) else 1)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A function by its name, such as gelu or adam.")],
    against: Annotated[
        str, typer.Option(help="References whose conventions are shown, with commas.")
    ] = "keras,keras-graph,keras-xla",
    as_json: JsonOption = False,
) -> None:
    """Show derivation, kinks, domain, conventions, allowances and floors of a function."""
    from agreement.explain import explain as facts_of

    found = facts_of(name, _names(against))
    print(json.dumps(found.to_dict(), indent=1) if as_json else found)


@app.command()
def power(
    cases: Annotated[int, typer.Option(min=4, help="Honest networks for the false alarms.")] = 400,
    shown: Annotated[int, typer.Option(min=1, help="Cases for each planted fault.")] = 10,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure false alarms, the detection of every planted fault, and of small errors."""
    from agreement.power import measure, steps
    from agreement.report import wide_console

    with progress("measuring", quiet=as_json) as advance_to:
        done = itertools.count(1)
        found = measure(cases, shown, seed, lambda: advance_to(next(done), steps(cases)))
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
        return
    console = wide_console()
    for table in found.tables():
        console.print(table)


@app.command("check-file")
def check_file(
    case: Annotated[Path, typer.Argument(help="A case file with gradients.")],
    against: Annotated[
        str, typer.Option(help="References to ask as well, with commas; none by default.")
    ] = "",
    largest: LargestOption = 1024,
    as_json: JsonOption = False,
) -> None:
    """Judge gradients that any program computed and stored in a case file."""
    from agreement import casefile

    report = casefile.check_file(case, _names(against), largest=largest << 20)
    print_report(report, as_json)


@app.command()
def replay(
    case: Annotated[Path, typer.Argument(help="A case file, such as a campaign writes.")],
    against: Annotated[
        str | None, typer.Option(help="References, with commas; those in the file by default.")
    ] = None,
    largest: LargestOption = 1024,
    as_json: JsonOption = False,
) -> None:
    """Run a case file again."""
    from agreement import casefile

    names = None if against is None else _names(against)
    print_report(casefile.replay(case, names, largest=largest << 20), as_json)


@app.command()
def campaign(
    cases: Annotated[int, typer.Option(help="How many cases.")] = 10_000,
    jobs: Annotated[int, typer.Option(help="How many processes.")] = 1,
    dtype: DtypeOption = "float32",
    against: Annotated[str, typer.Option(help="References, with commas.")] = "keras-graph",
    seed: SeedOption = 0,
    directory: Annotated[
        Path | None, typer.Option(help="For the checkpoint and failures; named after the settings.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, in place of --jobs.")
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(help="Cases handed out and checkpointed at a time: 4096.")
    ] = None,
    catalogue: Annotated[
        bool,
        typer.Option("--catalogue", help="Every variant, and functions alone."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge very many random networks in parallel; interrupted, the same command continues."""
    from agreement.campaign import default_directory, failure_path, run_campaign
    from agreement.random_check import Settings
    from agreement.references import resolve_references
    from manual_backprop.validation import as_dtype

    witnesses = tuple(resolve_references(_names(against)))
    settings = Settings(seed, as_dtype(dtype).name, witnesses, catalogue)
    place = default_directory(settings) if directory is None else directory
    how: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler}
    if chunk is not None:
        how["chunk"] = chunk
    try:
        with progress("judging random cases", quiet=as_json) as advance_to:
            statistics = run_campaign(settings, cases, place, **how, advance=advance_to)
    except KeyboardInterrupt:
        raise typer.Exit(fail("interrupted; the same command continues")) from None
    print_statistics(statistics, as_json)
    written = [path for i in statistics.disagreeing if (path := failure_path(place, i)).exists()]
    if written and not as_json:
        print(f"rerun: agreement replay {written[0]}")
    raise typer.Exit(1 if statistics.disagreeing else 0)


upgrade_commands.register(app)


def _names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(
            f"--layers: got {text!r}, expected at least two positive whole numbers with commas, "
            f"such as 64,32,10."
        )
    return sizes


def main() -> None:
    """Run the command line; errors are one line on standard error and exit status 2."""
    try:
        status = app(standalone_mode=False)
    except KeyboardInterrupt:
        status = fail("interrupted")
    except (ValueError, TypeError, OSError, ImportError) as error:
        status = fail(str(error))
    except Exception as error:
        # Usage errors of the command-line library, whichever module defines them, and what
        # nobody foresaw: status 1 is kept for a disagreement.
        message = getattr(error, "format_message", None)
        if message is None and "AGREEMENT_TRACEBACK" in os.environ:
            raise
        unforeseen = f"{type(error).__name__}: {error} (set AGREEMENT_TRACEBACK=1 for more)"
        status = fail((message() or "see agreement --help") if message else unforeseen)
    sys.exit(status or 0)
