"""The two ways to notice a mutant, and what the original does in each of them.

Everything here runs in a child process, in a copy of the repository; see ``forks``.
"""

from __future__ import annotations

import importlib
import pickle
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from benchmarks.mutation.calls import Place, functions_called

# How many examples Hypothesis tries in each test, always the same ones.
EXAMPLES = 20
# Without the cache, in one process, and with what pytest writes going where the process writes.
OPTIONS = (
    *("-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-p", "no:unraisableexception"),  # it collects all garbage ten times over
)


class Suite(NamedTuple):
    """What is mutated, and what is asked about it.

    Attributes:
        modules: packages or files, by stem. harness: whether the harness judges them.
        tests: patterns of test files. without: names of tests that take long.
        about_classes: test files that ask what a class is, without a call of anything in it.
    """

    modules: Sequence[str]
    harness: bool
    tests: Sequence[str]
    without: Sequence[str] = ()
    about_classes: Sequence[str] = ()

    @property
    def packages(self) -> list[str]:
        """The packages in which it is recorded what is called."""
        return sorted({module.partition("/")[0] for module in self.modules})

    def test_files(self) -> list[str]:
        """Test files in the order of the patterns; relative to the current directory."""
        found = [file for name in self.tests for file in sorted(Path("tests").glob(f"{name}.py"))]
        return [str(file) for file in dict.fromkeys(found)]


class Cost(NamedTuple):
    """The functions that a test calls, and how long it takes."""

    called: set[Place]
    seconds: float


class Baseline(NamedTuple):
    """What the original does.

    Attributes:
        answers: the references', pickled. checks: see ``replay.record``.
        early: the functions called before any check or test runs. What they made then is there
            already when a function is given other code.
        tests: by id, those that pass. failing: the ids of the others.
    """

    answers: bytes
    checks: Sequence[Any]
    early: set[Place]
    tests: dict[str, Cost]
    failing: Sequence[str]


def baseline(suite: Suite, answered: bytes) -> Baseline:
    """Run the original through the harness, if that judges it, and through the tests.

    Args:
        answered: what the references have answered before, pickled; b"" for nothing.
    """
    plugin = Recorder(suite)
    with functions_called(Path.cwd(), suite.packages) as early:
        replay = importlib.import_module("benchmarks.mutation.replay")
        answers = replay.Answers(pickle.loads(answered) if answered else {})
        checks = list(replay.checks()) if suite.harness else []
    checks = replay.record(checks)
    pytest.main([*OPTIONS, *suite.test_files()], plugins=[plugin])
    tests = {name: cost for name, cost in plugin.costs.items() if name not in plugin.failed}
    early |= plugin.early
    return Baseline(pickle.dumps(answers.known), checks, early, tests, list(plugin.failed))


def noticed_by_harness(before: Baseline, chosen: Sequence[int]) -> str:
    """What the harness says of the code at hand; "" if nothing."""
    replay = importlib.import_module("benchmarks.mutation.replay")
    replay.Answers.current.final = True
    return replay.first_alarm(before.checks, chosen)


def noticed_by_tests(items: Sequence[Any], plugin: Failures) -> str:
    """The first of the tests, which pytest has collected, that fails; "" if none does."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if plugin.failed:
            return next(iter(plugin.failed))
    return ""


def noticed_by_tests_anew(chosen: Collection[str]) -> str:
    """The first of the tests with these ids that fails; "" if none does.

    Each file is collected when its turn comes.
    """
    plugin = Chooser(frozenset(chosen))
    for file in dict.fromkeys(name.partition("::")[0] for name in chosen):
        status = pytest.main([*OPTIONS, "-x", file], plugins=[plugin])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return next(iter(plugin.failed), f"{file}: {status!s}")
    return ""


class Failures:
    """A pytest plugin: it keeps the failures, and lets Hypothesis try fewer examples."""

    def __init__(self) -> None:
        self.failed: dict[str, None] = {}

    def pytest_sessionstart(self) -> None:
        """After ``conftest`` has chosen a profile and before tests are collected."""
        settings.register_profile("mutation", settings.get_profile("ci"), max_examples=EXAMPLES)
        settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called after each phase of a test."""
        if report.failed:
            self.failed[report.nodeid] = None


class Chooser(Failures):
    """Runs the chosen tests only."""

    def __init__(self, chosen: frozenset[str]) -> None:
        super().__init__()
        self.chosen = chosen

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Called when all tests have been found."""
        items[:] = [item for item in items if item.nodeid in self.chosen]


class Recorder(Failures):
    """Keeps what each test of a suite calls."""

    def __init__(self, suite: Suite) -> None:
        super().__init__()
        self.suite = suite
        self.costs: dict[str, Cost] = {}
        self.early: set[Place] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        """Around finding all tests."""
        with functions_called(Path.cwd(), self.suite.packages) as self.early:
            yield

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Called when all tests have been found."""
        items[:] = [item for item in items if item.originalname not in self.suite.without]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Around each test with its fixtures."""
        started = time.monotonic()
        with functions_called(Path.cwd(), self.suite.packages) as called:
            yield
        self.costs[item.nodeid] = Cost(called, time.monotonic() - started)
