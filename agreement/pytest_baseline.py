"""The installed Keras beside a recording, as one test of a run.

The recording is made in a process of its own, as ``agreement record`` does: tests leave random
seeds, threads and patches behind, and would find those that a recording leaves.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agreement.upgrade.outcomes import Change, Comparison
    from agreement.upgrade.recording import Recording

# What the item tells the process that prints the summary, among its properties.
NOTE = "agreement-baseline"
# Functions that a failure names; ``agreement compare`` shows all.
SHOWN = 20


class BaselineChangedError(Exception):
    """Keras no longer does what was recorded, or that could not be judged."""


class BaselineFile(pytest.File):
    """A recording, collected."""

    def collect(self) -> Iterator[pytest.Item]:
        yield BaselineItem.from_parent(self, name="installed keras")


class BaselineItem(pytest.Item):
    """Nothing has changed since the recording was made."""

    def runtest(self) -> None:
        """Record, compare, and fail unless nothing changed.

        Raises:
            BaselineChangedError, RecordingError: in words that need no traceback.
        """
        from agreement.upgrade.recording import read_recording

        before = read_recording(self.path)
        after = record_installed(before, self.config.rootpath)
        comparison = compare_recordings(before, after)
        if comparison.exit_status:
            raise BaselineChangedError("\n".join(complaint(comparison, before, self.path)))
        self.user_properties.append((NOTE, f"{self.path.name}: {one_line(comparison)}"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The words of an error that was foreseen; the traceback of any other."""
        from agreement.upgrade.recording import RecordingError

        if isinstance(excinfo.value, BaselineChangedError | RecordingError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.name}: installed keras"


def record_installed(before: Recording, root: Path) -> Recording:
    """Record what ``before`` holds, with the import path of this process.

    A model's file is looked for in ``root``, where the run's own configuration lies.
    """
    from agreement.upgrade.recording import read_recording
    from agreement.upgrade.releases import Asked, run_recorder

    model = before.model
    if model:
        file, _, function = model.rpartition(":")
        model = f"{root / file}:{function}"
    paths = [Path(entry).absolute() for entry in sys.path if entry]
    with tempfile.TemporaryDirectory() as room:
        file_made = Path(room) / "installed.npz"
        asked = Asked(only=tuple(before.families), model=model)
        run_recorder(Path(sys.executable), paths, file_made, asked, what="the installed keras")
        return read_recording(file_made)


def compare_recordings(before: Recording, after: Recording) -> Comparison:
    """As ``agreement compare`` does."""
    from agreement.upgrade.comparison import compare
    from agreement.upgrade.judgement import bounds
    from agreement.upgrade.models import remarks

    found = compare(before, after, bounds)
    found.notes += remarks(found.changes, after)
    return found


def one_line(comparison: Comparison) -> str:
    """Which releases, how many tensors, and what became of them."""
    from agreement.upgrade.summary import conclusion, named

    words = "; ".join(conclusion(comparison).splitlines())
    return f"{named(comparison.before)} → {named(comparison.after)}: {words}"


def complaint(comparison: Comparison, before: Recording, file: Path) -> list[str]:
    """The releases, a line for each function that changed, and how to accept what Keras does."""
    from agreement.upgrade.outcomes import changes_by_function

    lines = [one_line(comparison)]
    functions = [*changes_by_function(comparison.changed)]
    lines += [_remark(*place) for place in functions[:SHOWN]]
    if len(functions) > SHOWN:
        lines.append(f"and {len(functions) - SHOWN} more functions")
    options = f" --model {before.model}" if before.model else ""
    lines.append(f"to see all of it: agreement compare {file}{options}")
    only = f" --only {','.join(before.families)}" if before.families else ""
    lines.append(f"to accept it: agreement record {file}{only}{options}")
    return lines


def _remark(family: str, function: str, changes: Sequence[Change]) -> str:
    from agreement.upgrade.summary import example, remark

    chosen = example(changes)
    words = "; ".join(remark(chosen).splitlines())
    return f"{family}/{function} {chosen.outcome} ({chosen.side}): {words}"
