"""Campaigns: the same result however it is computed, however often it is interrupted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agreement.campaign import (
    FAILURES_PER_CHUNK,
    CheckpointError,
    failure_path,
    judge_chunk,
    run_campaign,
)
from agreement.casefile import read_case, replay
from agreement.cases import draw_case
from agreement.random_check import Settings, run_cases
from agreement.shrinking import shrink
from agreement.statistics import KEPT_REMARKS, Statistics, combine
from manual_backprop.activations import Relu

# Without references of a framework a worker starts in a fraction of a second.
FAST = Settings(0, "float32", ("dual",))


def command(directory: Path, cases: int, jobs: int, *others: str) -> list[str]:
    options = ["--cases", str(cases), "--jobs", str(jobs), "--directory", str(directory)]
    return [sys.executable, "-m", "agreement", "campaign", "--json", *options, *others]


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)


def twice_the_gradient(self: Relu, grad_output: Any, inputs: Any, output: Any) -> Any:
    return grad_output * 2 * (inputs > 0)


# -- statistics ---------------------------------------------------------------------------------


def test_statistics_survive_json() -> None:
    """What a checkpoint holds gives back the very same counts, remarks and ratios."""
    found = run_cases(FAST, range(30))
    found.add_disagreement(7, "remark")
    found.worst_ratio = np.inf
    again = Statistics.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found
    assert again.to_dict() == found.to_dict()


def test_combining_is_merging() -> None:
    """Chunks put together in order are one run, and only the first remarks are kept."""
    parts = [run_cases(FAST, range(start, start + 10)) for start in (0, 10, 20)]
    whole = run_cases(FAST, range(30))
    assert combine(parts) == whole
    assert parts[0].merge(parts[1]).merge(parts[2]) == whole
    for index in range(2 * KEPT_REMARKS):
        parts[index % 2].add_disagreement(index, str(index))
    assert len(combine(parts).remarks) == KEPT_REMARKS
    assert combine(parts).disagreeing == sorted(combine(parts).disagreeing)


# -- campaigns ----------------------------------------------------------------------------------


def test_the_result_depends_neither_on_jobs_nor_on_chunks(tmp_path: Path) -> None:
    """One process, two processes and other chunks count the same."""
    expected = run_cases(FAST, range(60))
    told: list[tuple[int, int]] = []
    one = run_campaign(FAST, 60, tmp_path / "1", chunk=25, advance=lambda *at: told.append(at))
    two = run_campaign(FAST, 60, tmp_path / "2", chunk=7, jobs=2)
    assert one.to_dict() == two.to_dict() == expected.to_dict()
    assert told == [(0, 60), (25, 60), (50, 60), (60, 60)]


def test_a_finished_campaign_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again it judges nothing; with more cases it judges only those."""
    first = run_campaign(FAST, 20, tmp_path, chunk=10)
    judged: list[int] = []

    def counting(settings: Settings, start: int, stop: int, employer: int) -> Any:
        judged.append(start)
        return judge_chunk(settings, start, stop)

    monkeypatch.setattr("agreement.campaign.judge_chunk", counting)
    assert run_campaign(FAST, 20, tmp_path, chunk=10) == first
    assert judged == []
    assert run_campaign(FAST, 35, tmp_path, chunk=10) == run_cases(FAST, range(35))
    assert judged == [20, 30]


def test_a_line_that_was_cut_short_is_judged_again(tmp_path: Path) -> None:
    """Wherever a checkpoint is cut, the campaign goes on from there to the same result."""
    expected = run_campaign(FAST, 30, tmp_path, chunk=10)
    path = tmp_path / "checkpoint.jsonl"
    whole = path.read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (0, 5, ends[0], ends[0] + 1, ends[1] + 40, ends[2], len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert run_campaign(FAST, 30, tmp_path, chunk=10) == expected
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("settings", "chunk", "message"),
    [
        (Settings(1, "float32", ("dual",)), 10, "seed is 0 there and 1 here"),
        (Settings(0, "float64", ("dual",)), 10, "dtype is 'float32' there and 'float64' here"),
        (Settings(0, "float32", ("dual", "keras")), 10, "against is"),
        (FAST, 11, "chunk is 10 there and 11 here"),
    ],
)
def test_other_settings_are_refused(
    settings: Settings, chunk: int, message: str, tmp_path: Path
) -> None:
    """A directory belongs to one campaign, and the error says what differs."""
    run_campaign(FAST, 10, tmp_path, chunk=10)
    before = (tmp_path / "checkpoint.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run_campaign(settings, 10, tmp_path, chunk=chunk)
    assert (tmp_path / "checkpoint.jsonl").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """A line that is whole but means nothing is named, and nothing is lost."""
    run_campaign(FAST, 20, tmp_path, chunk=10)
    path = tmp_path / "checkpoint.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([lines[0], b'{"start": 0}\n', lines[2]])
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="line 2 is damaged"):
        run_campaign(FAST, 20, tmp_path, chunk=10)
    assert path.read_bytes() == damaged


def test_kill_9_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """Killed twice and run again, the printed result is that of an undisturbed campaign."""
    cases, options = 160, ("--against", "dual", "--chunk", "8")
    expected = run(tmp_path / "whole", cases, 1, *options)
    assert expected.returncode in (0, 1), expected.stderr
    path = tmp_path / "killed" / "checkpoint.jsonl"
    for lines in (3, 8):
        process = subprocess.Popen(
            command(path.parent, cases, 2, *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not path.exists() or path.read_bytes().count(b"\n") < lines:
            assert process.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [Path("/proc") / pid for pid in children.read_text().split()]
        assert len(workers) >= 2
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        while any(worker.exists() for worker in workers):  # they leave with it, within seconds
            time.sleep(0.1)
    finished = path.read_bytes().count(b"\n")
    assert finished < 1 + cases // 8
    found = run(path.parent, cases, 2, *options)
    assert (found.stdout, found.returncode) == (expected.stdout, expected.returncode)
    assert found.stderr == ""
    spans = [json.loads(line)["start"] for line in path.read_text().splitlines()[1:]]
    assert sorted(spans) == list(range(0, cases, 8))  # no chunk twice
    failures = [sorted((tmp_path / n / "failures").glob("*")) for n in ("whole", "killed")]
    for one, other in itertools.zip_longest(*failures):
        assert one.read_bytes() == other.read_bytes()


def test_an_interrupted_campaign_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C, to the workers as well, ends with one line and exit status 2."""
    path = tmp_path / "checkpoint.jsonl"
    process = subprocess.Popen(
        command(tmp_path, 10_000, 2, "--against", "dual", "--chunk", "8"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs, which tests may be one of, have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not path.exists() or path.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        printed = process.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert printed == ("", "agreement: interrupted; the same command continues\n")
    assert process.returncode == 2


def test_two_campaigns_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    """While one campaign runs, the same command elsewhere is one clear error."""

    def again(done: int, total: int) -> None:
        if done == 0:
            with pytest.raises(CheckpointError, match="another campaign is writing"):
                run_campaign(FAST, 10, tmp_path, chunk=10)

    run_campaign(FAST, 10, tmp_path, chunk=10, advance=again)


def test_keras_in_two_processes_counts_as_in_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With TensorFlow in them two workers find what this process finds, and print nothing."""
    from joblib.externals.loky import get_reusable_executor

    # Workers of an earlier test would grow by a whole TensorFlow, which joblib takes for a leak.
    get_reusable_executor().shutdown()
    settings = Settings(0, "float32", ("keras-graph",))
    found = run_campaign(settings, 8, tmp_path, chunk=2, jobs=2)
    assert capfd.readouterr() == ("", "")
    assert found == run_cases(settings, range(8))
    assert found.compared == {"keras-graph": 8}


# -- failures -----------------------------------------------------------------------------------


def test_failures_are_shrunk_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault fails cases; the files are tiny, fail again, and pass without the fault."""
    with monkeypatch.context() as planted:
        planted.setattr(Relu, "backward", twice_the_gradient)
        found = run_campaign(FAST, 40, tmp_path, chunk=40)
        written = [failure_path(tmp_path, index) for index in found.disagreeing]
        written = [path for path in written if path.exists()]
        assert len(written) == FAILURES_PER_CHUNK
        for path in written:
            case = read_case(path)
            assert case.inputs.size == 1
            assert max(w.size for w in case.model.weights) <= 4  # two classes at most
            assert f"case {int(path.stem[5:])} of seed 0 in float32, shrunk" in case.note
            assert case.against == ("dual",)
            report = replay(path)
            assert report.exit_status == 1
            assert f"rerun: agreement replay {path}" in report.conclusion()
    assert not any(replay(path).any_disagreement for path in written)


def test_a_crash_is_a_failure_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case that raises is counted, described and written; every case is judged."""

    def broken(self: Relu, *arguments: Any) -> Any:
        raise FloatingPointError("no gradient today")

    monkeypatch.setattr(Relu, "backward", broken)
    found = run_campaign(FAST, 20, tmp_path, chunk=20)
    assert found.cases == 20
    assert found.disagreeing
    assert "raised FloatingPointError: no gradient today" in found.remarks[0]
    path = failure_path(tmp_path, found.disagreeing[0])
    assert "no gradient today" in read_case(path).note


def test_shrinking_is_bounded_and_keeps_what_fails() -> None:
    """Every case kept fails, no more than the allowed tries are made, and it is repeatable."""
    case = draw_case(0, 12, "float64")
    assert case.inputs.shape[1] > 1
    seen: list[bool] = []

    def fails(candidate: Any) -> bool:
        seen.append(bool(np.abs(candidate.inputs).max() > 0.25 and len(candidate.inputs) >= 2))
        return seen[-1]

    smallest = shrink(case, fails, tries=60)
    assert fails(smallest)
    assert len(seen) <= 61
    assert smallest.inputs.shape == (2, 1)
    again = shrink(case, fails, tries=60)
    assert again.inputs.tobytes() == smallest.inputs.tobytes()


# -- Dask ---------------------------------------------------------------------------------------


def test_a_dask_cluster_counts_the_same(tmp_path: Path) -> None:
    """The same campaign on a local cluster of two processes: the same statistics."""
    distributed = pytest.importorskip(
        "distributed", reason="needs Dask: pip install 'manual-backprop[dask]'"
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        found = run_campaign(FAST, 60, tmp_path / "dask", chunk=10, scheduler=address)
    assert found == run_cases(FAST, range(60))


def test_a_scheduler_that_is_not_there_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address without a cluster is an OSError after a short wait."""
    pytest.importorskip("distributed", reason="needs Dask: pip install 'manual-backprop[dask]'")
    monkeypatch.setattr("agreement.campaign.PATIENCE", 0.5)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
        run_campaign(FAST, 10, tmp_path, scheduler="tcp://127.0.0.1:1")


@pytest.mark.parametrize("option", ["cases", "jobs", "chunk"])
def test_counts_must_be_positive(option: str, tmp_path: Path) -> None:
    """Zero of anything is one clear error, and no directory is made."""
    numbers = {"cases": 10} | {option: 0}
    with pytest.raises(ValueError, match=f"{option}: got 0"):
        run_campaign(FAST, directory=tmp_path / "new", **numbers)
    assert not os.listdir(tmp_path)
