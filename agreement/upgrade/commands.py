"""The verbs ``record``, ``compare`` and ``upgrade``.

Exit status: 0 nothing changed, 1 something did, 2 could not judge.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agreement.terminal import progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
OnlyOption = Annotated[
    str,
    typer.Option(
        help="Families, with commas: activations, losses, regularizers, optimizers, schedules, "
        "initializers, layers, training."
    ),
]
ModelOption = Annotated[
    str, typer.Option(help="FILE.py:FUNCTION, which returns a Keras model, inputs, labels, loss.")
]


def names_in(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def record(
    file: Annotated[Path, typer.Argument(help="Where to write the recording, an .npz file.")],
    only: OnlyOption = "",
    model: ModelOption = "",
    as_json: JsonOption = False,
) -> None:
    """Record what the installed Keras computes: values, gradients, trajectories, errors."""
    from agreement.upgrade.recorder import record as run
    from agreement.upgrade.recording import write_recording

    if not file.absolute().parent.is_dir():
        raise ValueError(f"FILE: {file} lies in no directory that exists; create it first.")
    with progress("recording", quiet=as_json) as advance_to:
        recording = run(names_in(only), model, advance_to)
    write_recording(file, recording)
    facts = {
        "file": str(file),
        **recording.versions,
        "items": len(recording.cases),
        "cases": sum(map(len, recording.cases.values())),
        "bytes": file.stat().st_size,
    }
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        print(
            f"{file}: keras {facts['keras']} on tensorflow {facts['tensorflow']}, "
            f"{facts['items']} items, {facts['cases']} cases, {facts['bytes']} bytes"
        )


def compare(
    before: Annotated[Path, typer.Argument(help="A recording.")],
    after: Annotated[
        Path | None, typer.Argument(help="Another; the installed Keras without.")
    ] = None,
    model: ModelOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what changed between two recordings, and which side the derivations agree with."""
    from agreement.upgrade.comparison import compare as run
    from agreement.upgrade.judgement import bounds
    from agreement.upgrade.recorder import record as record_installed
    from agreement.upgrade.recording import read_recording

    old = read_recording(before)
    if after is not None:
        new = read_recording(after)
    else:
        with progress("recording the installed Keras", quiet=as_json) as advance_to:
            new = record_installed(old.families, model or old.model, advance_to)
    show(run(old, new, bounds), as_json)


def show(comparison: Any, as_json: bool) -> None:
    """Print one comparison and leave with its exit status."""
    from agreement.report import jsonable, wide_console
    from agreement.upgrade import summary

    if as_json:
        print(json.dumps(jsonable(comparison.to_dict()), indent=1))
    else:
        if comparison.changes:
            wide_console().print(summary.table(comparison))
        print(summary.conclusion(comparison))
    raise typer.Exit(comparison.exit_status)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (record, compare):
        app.command()(verb)
