"""The pytest plugin: a fixture that judges, a recording to compare with, a line at the end.

pytest loads this file in every run of every project that has the package installed. So nothing
but pytest is imported at the top, and NumPy only when an option or the fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agreement.pytest_baseline import NOTE, BaselineFile, BaselineItem
from agreement.tally import Tally

if TYPE_CHECKING:
    from agreement.pytest_fixture import Agreement

DTYPES = ("float32", "float64")
# What a test's report carries from the process that ran it to the one that sums up.
PROPERTY = "agreement"
OPTIONS = {
    "against": "References of the fixture agreement, with commas: keras, keras-graph, keras-xla, "
    "dual. Each check's own default without.",
    "baseline": "A recording by 'agreement record': one more test compares the installed Keras "
    "with it. As an ini key, relative to the ini file, it counts when a directory is tested.",
    "dtype": "The dtype of the fixture agreement: float32 (default) or float64.",
}


@dataclass
class State:
    """What one run was asked for and has seen.

    Attributes:
        references, dtype: of the fixture. baseline: the recording.
        current: what the running test has judged so far.
        total, notes: of all reports that arrived, also from other processes.
    """

    references: tuple[str, ...] = ()
    dtype: str = DTYPES[0]
    baseline: Path | None = None
    current: Tally = field(default_factory=Tally)
    total: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)


STATE = pytest.StashKey[State]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option and an ini key of each name, such as --agreement-dtype and agreement_dtype."""
    group = parser.getgroup("agreement", "hand-written gradients beside Keras")
    for name, words in OPTIONS.items():
        metavar = "FILE" if name == "baseline" else name.upper()
        group.addoption(f"--agreement-{name}", default=None, metavar=metavar, help=words)
        parser.addini(f"agreement_{name}", words, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Look at the options at once: a wrong one is an error of usage, before any test runs."""
    config.stash[STATE] = State(_references(config), _dtype(config), _baseline(config))


@pytest.fixture(scope="session")
def agreement(pytestconfig: pytest.Config) -> Agreement:
    """The checks of agreement, bound to --agreement-against and --agreement-dtype.

    check, assert_agreement, check_function, check_trajectory, check_schedule, check_policy,
    check_training_step as in the package; require(report) fails with a report's remarks. All
    that is judged is summed up at the end of the run.
    """
    # Of the whole session, so that fixtures of any scope and Hypothesis can use it.
    from agreement.pytest_fixture import Agreement

    state = pytestconfig.stash[STATE]
    return Agreement(state.references, state.dtype, lambda report: state.current.add(report))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Put what the test has judged into its report; a worker of xdist sends that on."""
    try:
        return (yield)
    finally:
        state = item.config.stash[STATE]
        if state.current.checks:
            item.user_properties.append((PROPERTY, state.current.to_json()))
            state.current = Tally()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the comparison with the baseline, before -k and its like choose."""
    baseline = config.stash[STATE].baseline
    if baseline is None or any(isinstance(item, BaselineItem) for item in items):
        return
    if config.getoption("agreement_baseline") or _tests_a_directory(config):
        items += BaselineFile.from_parent(session, path=baseline).collect()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> BaselineFile | None:
    """The baseline is a test file, so that it can be named on the command line."""
    if file_path == parent.config.stash[STATE].baseline:
        return BaselineFile.from_parent(parent, path=file_path)
    return None


class _Reports:
    """Listens to reports in the process that sums up; workers of xdist only send theirs."""

    def __init__(self, state: State) -> None:
        self.state = state

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return  # the last of a test's reports has everything
        for name, value in report.user_properties:
            if name == PROPERTY:
                self.state.total.merge(Tally.from_json(str(value)), report.nodeid)
            elif name == NOTE:
                self.state.notes.append(str(value))


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _is_worker(config):
        config.pluginmanager.register(_Reports(config.stash[STATE]))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How much was judged, and the worst of it; nothing where nothing was."""
    state = config.stash[STATE]
    lines = [*state.total.lines(), *state.notes]
    if lines:
        terminalreporter.write_sep("=", "agreement")
        for line in lines:
            terminalreporter.write_line(line)


def _given(config: pytest.Config, name: str) -> str:
    """The option, or else the ini key."""
    return str(config.getoption(f"agreement_{name}") or config.getini(f"agreement_{name}")).strip()


def _references(config: pytest.Config) -> tuple[str, ...]:
    text = _given(config, "against")
    if not text:
        return ()
    from agreement.references import resolve_references

    try:
        return tuple(resolve_references([name.strip() for name in text.split(",")]))
    except ValueError as error:  # it begins with "against: "
        raise pytest.UsageError(f"--agreement-{error}") from None


def _dtype(config: pytest.Config) -> str:
    text = _given(config, "dtype") or DTYPES[0]
    if text not in DTYPES:
        raise pytest.UsageError(f"--agreement-dtype: got {text!r}, expected {' or '.join(DTYPES)}.")
    return text


def _baseline(config: pytest.Config) -> Path | None:
    """The recording's absolute path, once it has been read: a damaged one is found at the start."""
    text = _given(config, "baseline")
    if not text:
        return None
    if config.getoption("agreement_baseline"):
        home = config.invocation_params.dir
    else:
        home = config.inipath.parent if config.inipath else config.rootpath
    path = Path(os.path.abspath(home / text))  # as pytest names files: links stay what they are
    if not path.is_file():
        raise pytest.UsageError(
            f"--agreement-baseline: there is no file {text}; make it by: agreement record {text}"
        )
    if not _is_worker(config):  # whose controller has read it
        from agreement.upgrade.recording import read_recording

        try:
            read_recording(path)
        except (ValueError, OSError) as error:
            raise pytest.UsageError(f"--agreement-baseline: {error}") from None
    return path


def _tests_a_directory(config: pytest.Config) -> bool:
    """Whether this is a run of many tests, and not of one that somebody is working on."""
    home = config.invocation_params.dir
    return any((home / argument.partition("::")[0]).is_dir() for argument in config.args)


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another, which is xdist's controller."""
    return hasattr(config, "workerinput")
