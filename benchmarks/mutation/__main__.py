"""Mutation score of ``manual_backprop`` under the harness, and of its verdicts under their tests.

Mutants are Cosmic Ray's (see ``mutants``). Each is judged in a process of its own, forked from one
that has everything loaded (see ``judging``), until something notices it:

(1) ``manual_backprop``: the harness, on a fixed set of cases (``replay``)
(2) all: the tests that concern the module, in a copy of the repository that holds the mutant

Only those checks and tests are asked that call the function in question, the quickest first. A
mutant that raises, or takes far longer than the original, is noticed. Whatever survives must be
listed in ``survivors.toml`` with its reason, and whatever is listed must survive; exit status 1
otherwise.
After ``pip install -e '.[mutation]'``, from the repository root:
``python -m benchmarks.mutation [--jobs 2] [--of manual_backprop/special] [--outcomes FILE]``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.mutation.judging import (
    HARNESS,
    NOBODY,
    RAISES,
    TESTS,
    Outcome,
    meet_original,
    serve,
)
from benchmarks.mutation.mutants import Mutant, mutants_of
from benchmarks.mutation.stages import Baseline, Suite
from benchmarks.mutation.survivors import as_entries, entries

ROOT = Path(__file__).parents[2]
# Loaded once, before any mutant: all that our packages import, except our packages.
PRELOADED = (
    "numpy", "tensorflow", "keras", "pytest", "hypothesis.extra.numpy", "sklearn.datasets",
    "rich.table", "typer.testing", "joblib",
)  # fmt: skip
SETTINGS = """
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 HYPOTHESIS_PROFILE=ci PYTHONDONTWRITEBYTECODE=1
"""
SUITES = (
    Suite(
        [f"manual_backprop/{name}" for name in
         ("activations", "losses", "regularizers", "layers", "models", "gradients", "optimizers",
          "special", "training", "trace", "validation", "catalogue", "initializers", "examples")],
        True,
        ("test_layers", "test_models", "test_bad_input", "test_bad_function_input", "test_losses",
         "test_training", "test_regularizers", "test_piecewise", "test_smooth", "test_*_losses",
         "test_optimizers", "test_initializers", "test_special", "test_examples", "test_catalogue",
         "test_seeds", "test_foreign", "meta/test_verdicts"),
        # Hundreds of trajectories under Keras; the harness follows one of every variant.
        ("test_every_slot_and_weight_agrees_after_every_step", "test_graph_mode_agrees",
         "test_xla_agrees", "test_hostile_gradients_raise_no_false_alarm",
         "test_a_late_step_from_any_state_agrees", "test_every_option_works_with_every_optimizer",
         "test_train_on_batch_of_a_compiled_model_agrees",
         "test_a_training_step_is_judged_with_any_optimizer"),
        ["test_catalogue"],
    ),
    Suite(
        ["agreement/verdicts", "agreement/figures"],
        False,
        ("meta/test_verdicts", "meta/test_figures", "test_report", "meta/test_sequence_faults",
         "meta/test_ten_faults", "meta/test_update_faults", "meta/test_stacked",
         "test_regularizers"),
    ),
)  # fmt: skip


def main() -> int:
    """Judge every mutant; return the exit status."""
    options = _options()
    started = time.monotonic()
    judged: list[tuple[Mutant, Outcome]] = []
    for suite in SUITES:
        paths = [p for p in _files(suite.modules) if p.as_posix().startswith(tuple(options.of))]
        if paths:
            judged += _judge_all(suite, paths, options)
    shown = Console(width=120)
    shown.print(_table(judged))
    shown.print(f"{(time.monotonic() - started) / 60:.0f} minutes")
    return _compare_with_list(judged)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--of", nargs="+", default=[""], help="only files whose path begins so")
    parser.add_argument(
        "--outcomes",
        type=Path,
        help="keep outcomes here, and the references' answers beside them; a mutant is not judged "
        "again that was noticed, or that survived and no code has changed since",
    )
    return parser.parse_args()


def _files(modules: Iterable[str]) -> list[Path]:
    """Every source file of modules that are files or packages."""
    found: list[Path] = []
    for module in modules:
        found += [*ROOT.glob(f"{module}.py"), *sorted(ROOT.glob(f"{module}/**/*.py"))]
    return [path.relative_to(ROOT) for path in found]


# -- judging -------------------------------------------------------------------------------------


def _judge_all(
    suite: Suite, paths: Sequence[Path], options: argparse.Namespace
) -> Iterator[tuple[Mutant, Outcome]]:
    mutants = [mutant for path in paths for mutant in mutants_of(ROOT, path)]
    judges = _digest_of_judges(suite)
    known = _known(options.outcomes, judges)
    waiting = [mutant for mutant in mutants if _digest(mutant) not in known]
    if waiting:
        kept = options.outcomes and options.outcomes.with_suffix(".answers")
        before = meet_original(ROOT, suite, kept)
        print(_summary(before), file=sys.stderr)
        label = f"{len(waiting)} of {len(mutants)} mutants"
        outcomes = _outcomes(suite, before, waiting, options.jobs)
        for number, outcome in track(outcomes, label, len(waiting), console=Console(stderr=True)):
            mutant = waiting[number]
            known[_digest(mutant)] = outcome
            if options.outcomes:
                with options.outcomes.open("a", encoding="utf-8") as file:
                    row = [_digest(mutant), *outcome, str(mutant), "" if outcome.by else judges]
                    file.write(json.dumps(row) + "\n")
    return ((mutant, known[_digest(mutant)]) for mutant in mutants)


def _outcomes(
    suite: Suite, before: Baseline, waiting: Sequence[Mutant], jobs: int
) -> Iterator[tuple[int, Outcome]]:
    """The outcome of every waiting mutant, by its number, as they come."""
    context = get_context("fork")
    tasks, outcomes = context.Queue(), context.Queue()
    arguments = (ROOT, suite, before, tasks, outcomes)
    workers = [context.Process(target=serve, args=arguments) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for task in [*enumerate(waiting), *[(0, None)] * jobs]:
        tasks.put(task)
    for _ in waiting:
        yield outcomes.get()
    for worker in workers:
        worker.join()


def _summary(before: Baseline) -> str:
    unusable = sum(check.status not in (0, 2) for check in before.checks)
    checks = sum(check.seconds for check in before.checks)
    tests = sum(cost.seconds for cost in before.tests.values())
    return "\n".join(
        [
            f"original: {len(before.checks)} checks, {unusable} unusable, {checks:.0f} s; "
            f"{len(before.tests)} tests, {tests:.0f} s; {len(before.answers) / 1e6:.0f} MB",
            *(f"left out, since it fails: {name}" for name in before.failing),
        ]
    )


def _digest(mutant: Mutant) -> str:
    return sha256((mutant.path + mutant.source).encode()).hexdigest()[:16]


def _digest_of_judges(suite: Suite) -> str:
    """Of all code that judges: what survived other judges is to be judged again."""
    folders = ("agreement", "benchmarks/mutation", "manual_backprop", "reference")
    files = [path for folder in folders for path in sorted(ROOT.glob(f"{folder}/**/*.py"))]
    files += [path for name in suite.tests for path in sorted(ROOT.glob(f"tests/{name}.py"))]
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _known(file: Path | None, judges: str) -> dict[str, Outcome]:
    if file is None or not file.exists():
        return {}
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {digest: Outcome(by, how) for digest, by, how, _, of in rows if by or of == judges}


# -- reporting -----------------------------------------------------------------------------------


def _table(judged: Sequence[tuple[Mutant, Outcome]]) -> Table:
    caption = "score: noticed by the harness, and by it or by the tests"
    table = Table(title="mutants", caption=caption, box=box.MARKDOWN)
    table.add_column("module", no_wrap=True)
    for column in ("mutants", "disagree", "raise", "tests only", "survive", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    counts: dict[str, Counter[str]] = {}
    for mutant, outcome in judged:
        for module in (mutant.path, f"all of {mutant.path.partition('/')[0]}"):
            counts.setdefault(module, Counter())[outcome.by] += 1
    for module, by in sorted(counts.items(), key=lambda item: item[0].startswith("all")):
        total = by.total()
        score = f"{(by[HARNESS] + by[RAISES]) / total:.1%}, {1 - by[NOBODY] / total:.1%}"
        counted = [by[key] for key in (HARNESS, RAISES, TESTS, NOBODY)]
        table.add_row(module, *map(str, (total, *counted)), score)
    return table


def _compare_with_list(judged: Sequence[tuple[Mutant, Outcome]]) -> int:
    survivors = [mutant for mutant, outcome in judged if not outcome.by]
    listed = entries()
    reasons = {m: next((e.reason for e in listed if e.explains(m)), "") for m in survivors}
    unlisted = [mutant for mutant, reason in reasons.items() if not reason]
    paths = {mutant.path for mutant, _ in judged}
    complete = paths >= {str(path) for suite in SUITES for path in _files(suite.modules)}
    due = [entry for entry in listed if complete or entry.is_within(paths)]
    stale = [entry for entry in due if not any(map(entry.explains, survivors))]
    if unlisted:
        print(f"# {len(unlisted)} survivors are not listed:\n\n{as_entries(unlisted)}")
    for entry in stale:
        print(f"listed, but noticed or gone: {entry}")
    kinds = Counter(reason.partition(":")[0] for reason in reasons.values() if reason)
    print(", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no listed survivors")
    return 1 if unlisted or stale else 0


if __name__ == "__main__":
    os.environ |= dict(setting.split("=") for setting in SETTINGS.split())
    for module in PRELOADED:
        importlib.import_module(module)
    sys.exit(main())
