"""The verbs ``record``, ``compare`` and ``upgrade``.

Exit status: 0 nothing changed, 1 something did, 2 could not judge.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agreement.terminal import progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
OnlyOption = Annotated[
    str,
    typer.Option(
        help="Families, with commas: activations, losses, regularizers, optimizers, schedules, "
        "initializers, layers, training; or members, such as losses/huber."
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

    check_output("FILE", file)
    with progress("recording", quiet=as_json) as advance_to:
        recording = run(names_in(only), model, advance_to)
    check_models(recording)
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


def check_output(argument: str, file: Path) -> None:
    """Refuse a file that could not be written, before the work that it is for.

    Raises:
        ValueError: for a directory, or a file in none.
    """
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{argument}: {file} lies in no directory that exists; create it first.")
    if file.is_dir():
        raise ValueError(f"{argument}: {file} is a directory; expected a file.")


def check_models(recording: Any) -> None:
    """Refuse a model of which nothing but errors was recorded.

    Raises:
        ValueError: with the first of its errors.
    """
    items = [cases for key, cases in recording.cases.items() if key.startswith("model/")]
    seen = [case.observation for cases in items for case in cases.values()]
    if seen and not any(found.tensors for found in seen):
        raise ValueError(f"--model: {recording.model} raises {seen[0].error}")


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
    from agreement.upgrade.models import remarks
    from agreement.upgrade.recorder import record as record_installed
    from agreement.upgrade.recording import read_recording

    old = read_recording(before)
    if model and after is not None:
        raise ValueError("--model: is for the installed Keras; two files hold what they hold.")
    if model and not old.model:
        raise ValueError(f"--model: {before} holds no model to compare with; record it again.")
    if after is not None:
        new = read_recording(after)
    else:
        with progress("recording the installed Keras", quiet=as_json) as advance_to:
            new = record_installed(old.families, model or old.model, advance_to)
    comparison = run(old, new, bounds)
    comparison.notes += remarks(comparison.changes, new)
    show(comparison, as_json)


def upgrade(
    versions: Annotated[list[str], typer.Argument(help="Releases of Keras, such as 3.14.1.")],
    tensorflow: Annotated[
        str, typer.Option(help="One for all, or one for each release, with commas.")
    ] = "2.21.0",
    python: Annotated[str, typer.Option(help="The interpreter of the environments.")] = "",
    only: OnlyOption = "",
    model: ModelOption = "",
    output: Annotated[
        Path, typer.Option(help="The HTML report to write; the JSON goes beside it.")
    ] = Path("upgrade.html"),
    cache: Annotated[
        Path | None, typer.Option(help="Where environments and recordings are kept.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Releases recorded at a time.")] = 2,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Record again what an earlier run has recorded.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record releases of Keras, each in an environment of its own, and compare neighbours."""
    from agreement.report import jsonable
    from agreement.upgrade.environments import Environments, default_cache
    from agreement.upgrade.html import write_report
    from agreement.upgrade.items import chosen
    from agreement.upgrade.models import absolute
    from agreement.upgrade.releases import Asked, paired
    from agreement.upgrade.releases import upgrade as run
    from reference.observe_model import located

    releases = paired(versions, names_in(tensorflow))
    families = chosen(names_in(only)) if only else ()
    if model:
        located(model)
    asked = Asked(families, absolute(model), jobs, fresh)
    check_output("--output", output)
    if output.suffix == ".json":
        raise ValueError(
            f"--output: {output} would be overwritten by the JSON; name an .html file."
        )
    environments = Environments(cache or default_cache(), python or sys.executable)
    with progress("building environments and recording", quiet=as_json) as advance_to:
        found = run(releases, environments, asked, advance_to)
    content = jsonable(found.to_dict())
    output.with_suffix(".json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    write_report(output, found)
    if as_json:
        print(json.dumps(content, indent=1))
        raise typer.Exit(found.exit_status)
    for comparison in found.comparisons:
        print_comparison(comparison)
    for release, why in found.failures.items():
        print(f"{release}: {why}")
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in found.seconds.items())
    print(f"{output}, {output.with_suffix('.json')}; {steps}")
    raise typer.Exit(found.exit_status)


def show(comparison: Any, as_json: bool) -> None:
    """Print one comparison and leave with its exit status."""
    from agreement.report import jsonable

    if as_json:
        print(json.dumps(jsonable(comparison.to_dict()), indent=1))
    else:
        print_comparison(comparison)
    raise typer.Exit(comparison.exit_status)


def print_comparison(comparison: Any) -> None:
    """A table of what changed, if anything did, and the conclusion."""
    from agreement.report import wide_console
    from agreement.upgrade import summary

    if comparison.changed:
        wide_console().print(summary.table(comparison))
    print(f"{summary.named(comparison.before)} → {summary.named(comparison.after)}")
    print(summary.conclusion(comparison))


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (record, compare, upgrade):
        app.command()(verb)
