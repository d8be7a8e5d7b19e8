"""Campaigns: very many random cases in parallel, checkpointed, with replayable failures.

The work is cut into chunks of case indices. A case is determined by (seed, index) and chunks
are merged in order, so that the outcome depends neither on how many processes judge them nor on
interruptions: a chunk that is not in the checkpoint when a campaign starts is judged again.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from agreement.casefile import write_case
from agreement.cases import BLOCKS, DRAWS, Case
from agreement.checking import gather_traces, judge_traces
from agreement.random_check import Settings, draw, judge_case, judge_together
from agreement.report import remark
from agreement.shrinking import TRIES, shrink
from agreement.statistics import Statistics, combine
from agreement.verdicts import MANUAL, TensorVerdict, Verdict
from manual_backprop.validation import as_count
from reference.modes import MODES

CHUNK = BLOCKS * DRAWS
# So many failures of each chunk are shrunk and written; all are counted.
FAILURES_PER_CHUNK = 3
# Tries of shrinking where the reference compiles for every new shape.
COMPILED_TRIES = 40
# Seconds to wait for a Dask scheduler.
PATIENCE = 10

# TensorFlow serves one thread here, and its twins are kept for one thread at a time.
_ONE_AT_A_TIME = threading.Lock()


@dataclass
class Failure:
    """A case that disagrees, shrunk, and what is known of it."""

    index: int
    case: Case
    against: tuple[str, ...]
    note: str


@dataclass
class ChunkResult:
    """What a worker found out about the cases from ``start`` to ``stop``."""

    start: int
    stop: int
    statistics: Statistics
    failures: list[Failure] = field(default_factory=list)


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says why and what to do."""


def run_campaign(
    settings: Settings,
    cases: int,
    directory: str | os.PathLike[str],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    chunk: int = CHUNK,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Statistics:
    """Judge the cases 0 to ``cases`` − 1, continuing what the directory's checkpoint holds.

    Args:
        settings: what to draw and whom to ask.
        directory: for checkpoint.jsonl and, as failures/case-….npz, failures that were shrunk.
        jobs: how many processes. scheduler: the address of a Dask scheduler to use instead.
        chunk: how many cases are handed out, and checkpointed, at a time.
        advance: told (done, total) at the start and after each chunk.

    Raises:
        CheckpointError: if the directory belongs to another campaign, or is in use.
        ValueError, TypeError, OSError, ImportError: for arguments that cannot be used.
    """
    if settings.catalogue and not any(name in MODES for name in settings.against):
        raise ValueError(
            f"against: got {', '.join(settings.against)}, but single functions are judged against "
            f"Keras; expected one of {', '.join(MODES)} as well."
        )
    as_count("cases", cases)
    as_count("jobs", jobs)
    as_count("chunk", chunk)
    place = Path(directory)
    plan = [(start, min(start + chunk, cases)) for start in range(0, cases, chunk)]
    with Checkpoint(place, identity(settings, chunk)) as checkpoint:
        wanted = set(plan)
        done = {span: found for span, found in checkpoint.finished.items() if span in wanted}
        remaining = [span for span in plan if span not in done]
        judged = sum(found.cases for found in done.values())
        advance(judged, cases)
        with contextlib.closing(_judge_chunks(settings, remaining, jobs, scheduler)) as results:
            for result in results:
                for failure in result.failures:
                    write_failure(place / "failures", failure)
                checkpoint.append(result)
                done[result.start, result.stop] = result.statistics
                judged += result.statistics.cases
                advance(judged, cases)
    return combine(done[span] for span in plan)


def default_directory(settings: Settings) -> Path:
    """Where a campaign is kept unless told otherwise: its settings by name."""
    kind = "catalogue-" if settings.catalogue else ""
    witnesses = "+".join(settings.against)
    return Path(f"campaign-{kind}{settings.seed}-{settings.dtype}-{witnesses}")


def failure_path(directory: Path, index: int) -> Path:
    """Where the case of that index is written, if it disagrees and was shrunk."""
    return directory / "failures" / f"case-{index:08d}.npz"


def write_failure(directory: Path, failure: Failure) -> None:
    """Write one failing case as a case file."""
    case = failure.case
    directory.mkdir(parents=True, exist_ok=True)
    write_case(
        failure_path(directory.parent, failure.index),
        case.model,
        case.inputs,
        case.targets,
        loss=case.loss,
        against=failure.against,
        note=failure.note,
    )


def _judge_chunks(
    settings: Settings, spans: Sequence[tuple[int, int]], jobs: int, scheduler: str | None
) -> Generator[ChunkResult, None, None]:
    """Judge chunks in parallel; results come as they are ready, in any order."""
    if not spans:
        return
    from joblib import delayed

    # Workers of this machine are told whom they work for; those of a cluster are not ours.
    employer = os.getpid() if scheduler is None else None
    with warnings.catch_warnings(), _parallel(jobs, scheduler) as parallel:
        # Stopping early is no waste here: the chunks that are lost are judged another time.
        warnings.filterwarnings("ignore", ".* tasks which", UserWarning)
        # A worker whose memory has grown, by functions that it traced, is replaced in time.
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        yield from parallel(delayed(judge_chunk)(settings, *span, employer) for span in spans)


@contextlib.contextmanager
def _parallel(jobs: int, scheduler: str | None) -> Iterator[Any]:
    """A joblib ``Parallel`` on this machine's processes or on a Dask cluster."""
    from joblib import Parallel, delayed, parallel_config

    options = {"batch_size": 1, "return_as": "generator_unordered"}
    if scheduler is None:
        with parallel_config("loky", inner_max_num_threads=1):
            pool = Parallel(n_jobs=jobs, **options)
            with _interrupts_ignored():
                # Workers started now inherit it: Ctrl-C is for the one who hears of it.
                list(pool(delayed(os.getpid)() for _ in range(jobs)))
            yield pool
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"--scheduler needs Dask ({error}); install it with: "
            f"pip install 'manual-backprop[dask]'"
        ) from error
    client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    try:
        with parallel_config("dask", client=client):
            yield Parallel(n_jobs=-1, **options)
    finally:
        client.close()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def judge_chunk(
    settings: Settings, start: int, stop: int, employer: int | None = None
) -> ChunkResult:
    """Judge some cases in a worker, silently and on one thread; shrink the first failures.

    A worker whose ``employer`` is the process that started it does not outlive that process.
    """
    if employer == os.getppid():
        _leave_with(employer)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")  # read when TensorFlow starts
    result = ChunkResult(start, stop, Statistics())
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in judge_together(settings, range(start, stop), result.statistics):
            _judge(settings, index, result)
    return result


@cache
def _leave_with(parent: int) -> None:
    """End this process once its parent is gone, killed perhaps."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _judge(settings: Settings, index: int, result: ChunkResult) -> None:
    """Judge one case; a crash is a failure as well, and does not end the campaign."""
    statistics = result.statistics
    failed, before = len(statistics.disagreeing), statistics.cases
    crash = ""
    try:
        judge_case(settings, index, statistics)
    except (ImportError, OSError, MemoryError):
        raise  # about the machine, not about the case
    except Exception as error:
        crash = f"raised {type(error).__name__}: {error}"
        statistics.cases = before + 1
        statistics.add_disagreement(index, f"case {index}: {crash}")
    if settings.is_of_function(index):
        return  # its index says it all: a case file is one of a network
    if len(statistics.disagreeing) > failed and len(result.failures) < FAILURES_PER_CHUNK:
        result.failures.append(_failure(settings, index, crash))


def _failure(settings: Settings, index: int, crash: str) -> Failure:
    """Draw a failing case again and shrink it, asking only the witnesses that disagree."""
    case, names = draw(settings, index)
    origin = f"case {index} of seed {settings.seed} in {settings.dtype}"
    if crash:
        return Failure(index, case, tuple(names), f"{origin}, {crash}")
    dissenters = {v.witness for v in _disagreements(case, names)} - {MANUAL}
    names = [name for name in names if name in dissenters]
    compiled = any(MODES[name].xla for name in names if name in MODES)
    tries = COMPILED_TRIES if compiled else TRIES
    smallest = shrink(case, lambda candidate: bool(_disagreements(candidate, names)), tries)
    said = remark(_disagreements(smallest, names)[0])
    return Failure(index, smallest, tuple(names), f"{origin}, shrunk: {said}")


def _disagreements(case: Case, names: Sequence[str]) -> list[TensorVerdict]:
    parts = (case.model, case.inputs, case.targets, case.loss)
    traces = gather_traces(*parts, names, any_shape=True)
    verdicts = judge_traces(*parts, traces)
    return [v for v in verdicts if v.verdict is Verdict.DISAGREE and not v.consequence]


def identity(settings: Settings, chunk: int) -> dict[str, Any]:
    """What must be equal for chunks to belong to one campaign; not how many cases it has."""
    packages = ["manual-backprop", "numpy"]
    if any(name in MODES for name in settings.against):
        packages += ["tensorflow", "keras"]
    return {
        "format": "agreement-campaign",
        "version": 4,
        "seed": settings.seed,
        "dtype": settings.dtype,
        "against": list(settings.against),
        "catalogue": settings.catalogue,
        "chunk": chunk,
        "packages": {name: metadata.version(name) for name in packages},
    }


class Checkpoint:
    """The finished chunks of a campaign: a file of JSON lines that only ever grows.

    The first line says which campaign it is, and every other line holds one chunk. A line is on
    the disk before the next chunk is awaited; one that was cut short is dropped.

    Attributes:
        finished: the statistics of every chunk by (start, stop).

    Raises:
        CheckpointError: if the file is another campaign's, is damaged, or is in use.
    """

    def __init__(self, directory: Path, campaign: dict[str, Any]) -> None:
        self.path = directory / "checkpoint.jsonl"
        self.campaign = campaign
        self.finished: dict[tuple[int, int], Statistics] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Checkpoint:
        self.handle = open(self.path, "a+b")
        try:
            self._lock()
            self._load()
        except BaseException:
            self.handle.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.handle.close()

    def append(self, result: ChunkResult) -> None:
        """Add a finished chunk; it is on the disk when this returns."""
        span = {"start": result.start, "stop": result.stop}
        self._write(span | {"statistics": _packed(result.statistics)})

    def _write(self, content: dict[str, Any]) -> None:
        self.handle.write(json.dumps(content, separators=(",", ":")).encode() + b"\n")
        self.handle.flush()
        os.fsync(self.handle.fileno())

    def _lock(self) -> None:
        """One campaign at a time; the lock ends with the process, however it ends."""
        try:
            import fcntl
        except ImportError:  # not on this system
            return
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{self.path}: another campaign is writing to it; wait for it, or choose another "
                f"--directory."
            ) from None

    def _load(self) -> None:
        sound = 0
        self.handle.seek(0)
        for number, line in enumerate(_whole_lines(self.handle), start=1):
            try:
                content = json.loads(line)
                if number == 1:
                    self._compare(content)
                else:
                    span = (content["start"], content["stop"])
                    self.finished[span] = _unpacked(content["statistics"])
            except CheckpointError:
                raise
            except (KeyError, TypeError, AttributeError, ValueError, zlib.error) as error:
                raise CheckpointError(
                    f"{self.path}: line {number} is damaged ({type(error).__name__}: {error}); "
                    f"delete the line, or choose another --directory."
                ) from None
            sound += len(line)
        self.handle.truncate(sound)
        if not sound:
            self._write(self.campaign)

    def _compare(self, found: dict[str, Any]) -> None:
        different = [
            f"{name} is {found.get(name)!r} there and {wanted!r} here"
            for name, wanted in self.campaign.items()
            if found.get(name) != wanted
        ]
        if different:
            raise CheckpointError(
                f"{self.path}: belongs to another campaign ({'; '.join(different)}); choose "
                f"another --directory, or the same settings."
            )


def _packed(statistics: Statistics) -> str:
    """Statistics as a short string: a sixth of their JSON, most of which is floors."""
    content = json.dumps(statistics.to_json(), separators=(",", ":"))
    return base64.b85encode(zlib.compress(content.encode(), 9)).decode()


def _unpacked(packed: str) -> Statistics:
    """The inverse of ``_packed``."""
    return Statistics.from_json(json.loads(zlib.decompress(base64.b85decode(packed))))


def _whole_lines(handle: IO[bytes]) -> Iterator[bytes]:
    """Lines that end; what comes after the last of them was cut short."""
    for line in handle:
        if line.endswith(b"\n"):
            yield line
