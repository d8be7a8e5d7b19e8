"""Judging mutants one after another, each in a forked child of a process that has all loaded."""

from __future__ import annotations

import compileall
import gc
import importlib
import itertools
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.mutation import stages
from benchmarks.mutation.calls import Place
from benchmarks.mutation.forks import Failed, in_child
from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.patching import is_patchable, patch
from benchmarks.mutation.stages import Baseline, Failures, Suite

# A mutant may take this many times as long as the original, and some seconds more.
PATIENCE, GRACE, LONGEST = 4, 10.0, 3600.0
# The harness judges a mutant by so many checks at most, evenly spaced among those that meet it.
MOST = 150
# And by tests that take so many seconds together, the quickest ones, of those near the change and
# of those farther off.
TESTING = 10.0
# Who noticed a mutant: a stage, or the harness by raising (or by never coming to an end).
HARNESS, RAISES, TESTS, NOBODY = "harness", "raises", "tests", ""


class Outcome(NamedTuple):
    """Who noticed a mutant, and how."""

    by: str
    how: str = ""


def copy_of(root: Path) -> Path:
    """A copy of the repository, for one process that changes it."""
    folder = Path(tempfile.mkdtemp(prefix="mutation-")).resolve()
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(root, folder, ignore=ignored, dirs_exist_ok=True)
    compileall.compile_dir(folder, quiet=2)  # children write no bytecode, but read it
    return folder


def meet_original(root: Path, suite: Suite, kept: Path | None) -> Baseline:
    """Run the original; see ``stages.baseline``. What references answer is ``kept``, if wanted."""
    references = _digest_of_references(root)
    answered = b""
    if kept is not None and kept.exists():
        digest, found = kept.read_bytes().split(b"\n", 1)
        answered = found if digest == references else b""
    folder = copy_of(root)
    try:
        before: Baseline = in_child(lambda: stages.baseline(suite, answered), folder, LONGEST)
    finally:
        shutil.rmtree(folder)
    if kept is not None:
        kept.write_bytes(references + b"\n" + before.answers)
    return before


def _digest_of_references(root: Path) -> bytes:
    """Answers given by other references are worth nothing."""
    versions = [metadata.version(name) for name in ("keras", "tensorflow", "numpy")]
    sources = [path.read_text(encoding="utf-8") for path in sorted(root.glob("reference/*.py"))]
    return sha256("".join([*versions, *sources]).encode()).hexdigest().encode()


def serve(root: Path, suite: Suite, before: Baseline, tasks: Any, outcomes: Any) -> None:
    """A process that judges the mutants of a queue and puts (number, outcome) in another.

    It collects the tests once; a child that needs nothing imported anew finds them collected.
    """
    folder = copy_of(root)
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        replay = importlib.import_module("benchmarks.mutation.replay")
        replay.Answers(pickle.loads(before.answers))
        if suite.harness:
            list(replay.checks())
        judge = Judge(folder, suite, before, tasks, outcomes)
        pytest.main([*stages.OPTIONS, *suite.test_files()], plugins=[judge])
    finally:
        shutil.rmtree(folder)


class Judge(Failures):
    """A pytest plugin: instead of running the tests it judges mutants by them."""

    def __init__(
        self, folder: Path, suite: Suite, before: Baseline, tasks: Any, outcomes: Any
    ) -> None:
        super().__init__()
        self.suite = suite
        self.folder = folder
        self.before = before
        self.tasks = tasks
        self.outcomes = outcomes

    def pytest_runtestloop(self, session: Any) -> bool:
        """Called when all tests have been collected, to run them."""
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()  # so that children do not copy what they only read
        while (task := self.tasks.get())[1] is not None:
            number, mutant = task
            self.outcomes.put((number, self.outcome(mutant, items)))
        return True

    def outcome(self, mutant: Mutant, items: dict[str, Any]) -> Outcome:
        """Who notices the mutant."""
        target = self.folder / mutant.path
        original, when = target.read_bytes(), target.stat().st_mtime_ns
        target.write_text(mutant.source, encoding="utf-8")
        try:
            outcome = Outcome(NOBODY)
            if is_patchable(mutant):
                outcome = self._noticed_patched(mutant, items)
                if not mutant.is_met_by(self.before.early, or_around=True):
                    return outcome
            return outcome if outcome.by else self._noticed_anew(mutant)
        finally:
            target.write_bytes(original)
            os.utime(target, ns=(when, when))  # so that its bytecode is valid again

    def _noticed_patched(self, mutant: Mutant, items: dict[str, Any]) -> Outcome:
        """Who notices it in the functions that are loaded."""
        checks, tests = self._concerned(mutant, anew=False)

        def by_harness() -> str:
            patch(mutant)
            return stages.noticed_by_harness(self.before, checks)

        def by_tests() -> str:
            patch(mutant)
            return stages.noticed_by_tests([items[name] for name in tests], self)

        return self._first(by_harness, by_tests, checks, tests, anew=False)

    def _noticed_anew(self, mutant: Mutant) -> Outcome:
        """Who notices it when all our packages are imported from the changed copy."""
        checks, tests = self._concerned(mutant, anew=True)

        def with_answers() -> None:
            replay = importlib.import_module("benchmarks.mutation.replay")
            replay.Answers(pickle.loads(self.before.answers))

        def by_harness() -> str:
            with_answers()
            return stages.noticed_by_harness(self.before, checks)

        def by_tests() -> str:
            with_answers()
            return stages.noticed_by_tests_anew(tests)

        return self._first(by_harness, by_tests, checks, tests, anew=True)

    def _first(
        self,
        by_harness: Callable[[], str],
        by_tests: Callable[[], str],
        checks: Sequence[int],
        tests: Sequence[str],
        *,
        anew: bool,
    ) -> Outcome:
        """Who notices first."""
        checking = sum(self.before.checks[number].seconds for number in checks)
        testing = sum(self.before.tests[name].seconds for name in tests)
        ways = (HARNESS, RAISES, checking, by_harness), (TESTS, TESTS, testing, by_tests)
        for name, raising, seconds, ask in ways:
            if not seconds:
                continue
            try:
                how = in_child(ask, self.folder, PATIENCE * seconds + GRACE, anew=anew)
            except Failed as failed:
                return Outcome(raising, str(failed))
            if how:
                return Outcome(name, how)
        return Outcome(NOBODY)

    def _concerned(self, mutant: Mutant, *, anew: bool) -> tuple[list[int], list[str]]:
        """The numbers of the checks and the ids of the tests that can meet it, quickest first."""
        before = self.before
        always = tuple(f"tests/{name}.py" for name in self.suite.about_classes * anew)

        def distance(called: set[Place]) -> int | None:
            """0 for what calls what is changed, 1 for another part of the file; None for others."""
            if not anew:
                return 0 if mutant.is_met_by(called) else None
            if mutant.may_be_met_by(called, in_class=True):
                return 0
            return 1 if mutant.may_be_met_by(called, in_class=False) else None

        of_checks = {number: distance(c.called) for number, c in enumerate(before.checks)}
        nearest = min((d for d in of_checks.values() if d is not None), default=0)
        checks = [number for number, d in of_checks.items() if d == nearest]
        checks = checks[:: -(-len(checks) // MOST) or 1]
        checks.sort(key=lambda number: before.checks[number].seconds)
        of_tests = {
            name: -1 if name.startswith(always) else distance(cost.called)
            for name, cost in before.tests.items()
        }
        tests: list[str] = []
        for d in sorted({d for d in of_tests.values() if d is not None}):
            tests += self._quickest(name for name in of_tests if of_tests[name] == d)
        return checks, tests

    def _quickest(self, names: Iterable[str]) -> list[str]:
        """Of the tests with these ids those that take ``TESTING`` together, quickest first."""
        costs = self.before.tests
        tests = sorted(names, key=lambda name: costs[name].seconds)
        times = itertools.accumulate(costs[name].seconds for name in tests)
        return [name for name, time in zip(tests, times, strict=True) if time <= TESTING]
