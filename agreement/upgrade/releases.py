"""Recording releases of Keras, each in a process and environment of its own; comparing neighbours.

A release that does not exist, install, import or run is one line, and the others go on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agreement.upgrade.comparison import compare
from agreement.upgrade.environments import (
    Environments,
    UnavailableError,
    last_line,
    surroundings,
)
from agreement.upgrade.judgement import bounds
from agreement.upgrade.models import remarks
from agreement.upgrade.outcomes import Comparison
from agreement.upgrade.recorder import machine
from agreement.upgrade.recording import Recording, RecordingError, read_recording

# The share of a release's work that its environment is, of 100, for the progress shown.
ENVIRONMENT_SHARE = 10
# What a recorder says of its progress; a user's model may print anything else.
PROGRESS = re.compile(r"\[\d+, [1-9]\d*\]")


class Processes:
    """Processes of several threads that can be ended together."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.ended = False

    @contextmanager
    def started(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
        """A process whose output is read here; it ends with the context if anything is raised."""
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
            self.running.add(process)
            try:
                if self.ended:
                    process.kill()
                yield process
            except BaseException:
                process.kill()
                raise
            finally:
                self.running.discard(process)

    def end(self) -> None:
        """End those that run, and those that are about to."""
        self.ended = True
        for process in list(self.running):
            process.kill()


@dataclass(frozen=True)
class Release:
    """A Keras on a TensorFlow."""

    keras: str
    tensorflow: str

    def __str__(self) -> str:
        return f"keras {self.keras} on tensorflow {self.tensorflow}"


@dataclass
class Upgrade:
    """What came of some releases.

    Attributes:
        releases: as asked for. recordings: of those that could be recorded.
        failures: why the others could not, one line each. seconds: what each cost, by step.
        comparisons: of neighbours that could be recorded.
    """

    releases: list[Release]
    recordings: dict[Release, Recording] = field(default_factory=dict)
    failures: dict[Release, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """1 if anything changed; 2 if nothing did, but something could not be judged."""
        statuses = [found.exit_status for found in self.comparisons]
        if 1 in statuses:
            return 1
        return 2 if self.failures or 2 in statuses or not statuses else 0

    def to_dict(self) -> dict[str, Any]:
        """Everything but the recordings, ready for JSON."""
        return {
            "releases": [{"keras": r.keras, "tensorflow": r.tensorflow} for r in self.releases],
            "failures": {str(release): why for release, why in self.failures.items()},
            "seconds": self.seconds,
            "comparisons": [found.to_dict() for found in self.comparisons],
            "exit_status": self.exit_status,
        }


@dataclass(frozen=True)
class Asked:
    """What to record of each release.

    Attributes:
        only: families, all without. model: FILE.py:FUNCTION, or "".
        jobs: how many processes record at a time. fresh: whether to record again what is cached.
    """

    only: tuple[str, ...] = ()
    model: str = ""
    jobs: int = 2
    fresh: bool = False


def paired(versions: Sequence[str], tensorflow: Sequence[str]) -> list[Release]:
    """Releases of Keras with one TensorFlow for all, or one for each.

    Raises:
        ValueError: for too few releases, or another number of TensorFlows.
    """
    if len(tensorflow) == 1:
        tensorflow = [*tensorflow] * len(versions)
    if len(tensorflow) != len(versions):
        raise ValueError(
            f"--tensorflow: got {len(tensorflow)} versions for {len(versions)} releases of Keras, "
            f"expected one, or one for each."
        )
    if len(versions) < 2:
        raise ValueError(
            "VERSIONS: got one release, expected at least two to compare, such as 3.15.0 3.15.1."
        )
    return [Release(k, t) for k, t in zip(versions, tensorflow, strict=True)]


def upgrade(
    releases: Sequence[Release],
    environments: Environments,
    asked: Asked,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Upgrade:
    """Record every release, compare neighbours, and tell Keras from TensorFlow where both differ.

    Args:
        advance: told (done, total), 100 for each release.
    """
    processes = Processes()
    result = Upgrade(list(releases))
    crossed = _crossings(releases)
    wanted = list(dict.fromkeys([*releases, *crossed]))
    done = dict.fromkeys(wanted, 0)
    lock = threading.Lock()

    def advance_release(release: Release, share: int) -> None:
        with lock:
            done[release] = share
            advance(sum(done.values()), 100 * len(wanted))

    def work(release: Release) -> None:
        try:
            started = time.perf_counter()
            if release.tensorflow not in bases:
                raise UnavailableError(failed[release.tensorflow])
            directory = environments.release(release.keras, bases[release.tensorflow])
            installed = time.perf_counter()
            advance_release(release, ENVIRONMENT_SHARE)
            recording = _record(
                release, directory, bases[release.tensorflow], environments, asked,
                lambda share: advance_release(release, share), processes,
            )  # fmt: skip
            with lock:
                result.recordings[release] = recording
                result.seconds[f"install {release}"] = round(installed - started, 1)
                result.seconds[f"record {release}"] = round(time.perf_counter() - installed, 1)
        except (UnavailableError, RecordingError, OSError) as error:
            with lock:
                result.failures[release] = " ".join(str(error).split())
        advance_release(release, 100)

    bases: dict[str, Path] = {}
    failed: dict[str, str] = {}
    advance(0, 100 * len(wanted))
    for tensorflow in dict.fromkeys(release.tensorflow for release in wanted):
        started = time.perf_counter()
        try:
            bases[tensorflow] = environments.base(tensorflow)
        except UnavailableError as error:
            failed[tensorflow] = str(error)
        result.seconds[f"base with tensorflow {tensorflow}"] = round(
            time.perf_counter() - started, 1
        )
    with ThreadPoolExecutor(max(1, asked.jobs)) as pool:
        try:
            list(pool.map(work, wanted))
        except BaseException:  # an interrupt: nobody waits for what is being recorded
            processes.end()
            raise
    started = time.perf_counter()
    _compare_neighbours(result, crossed)
    result.seconds["compare"] = round(time.perf_counter() - started, 1)
    return result


def _crossings(releases: Sequence[Release]) -> dict[Release, tuple[Release, Release]]:
    """Where a step changes both: the old Keras on the new TensorFlow, and the step."""
    return {
        Release(old.keras, new.tensorflow): (old, new)
        for old, new in itertools.pairwise(releases)
        if old.tensorflow != new.tensorflow and old.keras != new.keras
    }


def _compare_neighbours(result: Upgrade, crossed: dict[Release, tuple[Release, Release]]) -> None:
    present = [release for release in result.releases if release in result.recordings]
    between = {step: middle for middle, step in crossed.items()}
    for old, new in itertools.pairwise(present):
        found = compare(result.recordings[old], result.recordings[new], bounds)
        if old.tensorflow != new.tensorflow and old.keras == new.keras:
            for change in found.changes:
                change.cause = "tensorflow"
        found.notes += remarks(found.changes, result.recordings[new])
        middle = between.get((old, new))
        if middle is not None and middle in result.recordings:
            _blame(found, result.recordings[old], result.recordings[middle],
                   result.recordings[new])  # fmt: skip
        elif middle is not None:
            why = result.failures.get(middle, "not recorded")
            found.notes.append(f"Keras and TensorFlow cannot be told apart: {middle}: {why}")
        result.comparisons.append(found)


def _blame(found: Comparison, old: Recording, middle: Recording, new: Recording) -> None:
    """Which of the two changed a tensor: each is changed alone, over the old Keras on the new
    TensorFlow."""

    def places(comparison: Comparison) -> set[tuple[str, str, str]]:
        return {(c.key, c.case, c.tensor) for c in comparison.changes}

    by_tensorflow = places(compare(old, middle, bounds))
    by_keras = places(compare(middle, new, bounds))
    for change in found.changes:
        place = (change.key, change.case, change.tensor)
        causes = [
            name
            for name, mine in (("tensorflow", by_tensorflow), ("keras", by_keras))
            if place in mine
        ]
        change.cause = "both" if len(causes) != 1 else causes[0]
    found.notes.append("Keras and TensorFlow told apart by the old Keras on the new TensorFlow")


def _record(
    release: Release,
    directory: Path,
    base: Path,
    environments: Environments,
    asked: Asked,
    advance: Callable[[int], None],
    processes: Processes,
) -> Recording:
    """Record in a process of its own, or read what an earlier run has recorded."""
    source = environments.source()
    kept = environments.cache / "recordings" / _name(release, base, source, asked)
    if asked.fresh or not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f".{secrets.token_hex(4)}.npz")
        try:
            run_recorder(
                base, [directory, source], partial, asked, advance, str(release), processes
            )
            partial.replace(kept)
        finally:
            partial.unlink(missing_ok=True)
    recording = read_recording(kept)
    recording.title = str(release)
    if _short(recording.versions["keras"]) != _short(release.keras):
        raise RecordingError(
            f"{release}: imports keras {recording.versions['keras']} instead; empty the cache."
        )
    return recording


def _short(version: str) -> str:
    """A version without zeros at its end: 3.15 is 3.15.0."""
    return re.sub(r"(\.0)+$", "", version)


def run_recorder(
    python: Path,
    paths: Sequence[Path],
    file: Path,
    asked: Asked,
    advance: Callable[[int], None] = lambda share: None,
    what: str = "the recorder",
    processes: Processes | None = None,
) -> None:
    """Record in a process, one of ``processes``, that finds its packages on ``paths`` first.

    Raises:
        RecordingError: with what the process said last, if it fails.
    """
    command = [str(python), "-m", "agreement.upgrade.recorder", str(file.absolute())]
    command += ["--only", ",".join(asked.only)] if asked.only else []
    command += ["--model", asked.model] if asked.model else []
    with tempfile.TemporaryDirectory() as nowhere, tempfile.TemporaryFile("w+") as complaints:
        with (processes or Processes()).started(
            command, stderr=complaints, cwd=nowhere, env=surroundings(paths)
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if PROGRESS.fullmatch(line.strip()):
                    done, total = json.loads(line)
                    advance(ENVIRONMENT_SHARE + (100 - ENVIRONMENT_SHARE) * done // total)
        if process.returncode:
            complaints.seek(0)
            why = last_line(complaints.read())
            if process.returncode < 0:
                why = f"the process was ended by signal {-process.returncode}"
            raise RecordingError(f"{what}: cannot be recorded: {why}")


def _name(release: Release, base: Path, source: Path, asked: Asked) -> str:
    """The name of a recording that would be the same: same tool, machine, model and families."""
    model = asked.model
    if model:
        model += hashlib.sha256(Path(model.rpartition(":")[0]).read_bytes()).hexdigest()
    parts = [str(base), source.name, *asked.only, model, *machine().values()]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"keras-{release.keras}-tensorflow-{release.tensorflow}-{digest}.npz"
