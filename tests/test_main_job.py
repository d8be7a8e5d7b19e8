"""The main job: trains on real digits, verifies on the way, and says what it found."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from agreement import cli
from agreement.main_job import Job, run


def run_cli(usage: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["agreement", *usage.split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_the_main_job_learns_the_digits_and_agrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no argument: exit status 0, every mode asked, 93 % of the held-out digits right."""
    assert run_cli("check --json", monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agrees"]
    assert found["held_out_accuracy"] >= 0.93
    assert found["against"] == ["keras", "keras-graph", "keras-xla"]
    names = {(row["layer"], row["tensor"]) for row in found["tensors"]}
    assert {("dense_1", "grad_W"), ("dense_2", "grad_b"), ("", "loss")} <= names


@pytest.mark.parametrize(
    "usage",
    [
        "check --layers 64,12,8,10 --activation tanh --epochs 1 --against keras-graph",
        "check --data spiral --epochs 3 --against keras,dual",
        "check --loss categorical_crossentropy --loss-path probabilities --epochs 1"
        " --dtype float64 --against keras",
        "check --loss mean_squared_error --epochs 1 --against keras-graph",
        "check --data random --cases 20 --against keras-graph,dual",
        "check --data random --case 7 --seed 3 --against keras",
    ],
)
def test_variants_of_the_main_job_agree(
    usage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data, layers, losses, paths and references: exit status 0 and a readable report."""
    assert run_cli(usage, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "AGREE" in out


def test_the_same_seed_gives_the_same_training() -> None:
    """Two runs of one job train to the same loss, bit for bit."""
    job = Job(epochs=2, checks=1)
    first, second = (run(job, ["keras-graph"]).facts for _ in range(2))
    assert first["training_loss"] == second["training_loss"]
    other = run(Job(epochs=2, checks=1, seed=1), ["keras-graph"]).facts
    assert first["training_loss"] != other["training_loss"]


def test_every_mode_is_asked_during_training_about_the_short_last_batch_too() -> None:
    """Batches spread over the training are verified, the short one among them."""
    steps: list[int] = []
    report = run(Job(epochs=1, checks=3), ["keras-graph"], lambda step, total: steps.append(total))
    assert len(set(steps)) == 1
    assert len(steps) == steps[0]
    assert report.checks >= 3 + 1
    assert np.isfinite(report.worst_ratio)


def test_a_fault_that_needs_an_earlier_use_is_prepared_for_any_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first use takes labels of the model's classes, not as many as there are features."""
    loss = "--loss categorical_crossentropy --epochs 1 --against keras-graph"
    assert run_cli(f"check --plant stale-weights {loss}", monkeypatch) == 1
    assert "dense_1.grad_inputs disagrees" in capsys.readouterr().out
