"""The command line answers every bad usage with one line and exit status 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agreement import cli

USAGES: dict[str, str] = {
    "activation": "check --activation rleu",
    "against": "check --against kera",
    "against_empty": "check --against ,",
    "batch_size": "check --batch-size 0",
    "cases": "check --data random --cases 0",
    "data": "check --data digit",
    "dtype": "check --dtype float16",
    "epochs": "check --epochs 0",
    "epochs_text": "check --epochs two",
    "extra": "check digits",
    "layers": "check --layers 64,x",
    "layers_misfit": "check --layers 63,10",
    "learning_rate": "check --learning-rate -1",
    "loss": "check --loss mean_square_error",
    "loss_path": "check --loss-path fuse",
    "mnist": "check --data mnist --mnist-path /nowhere/at/all",
    "option": "check --nonsense",
    "seed": "check --seed -1",
    "verb": "chek",
}


@pytest.mark.parametrize("name", sorted(USAGES))
def test_bad_usage_is_one_line_and_status_two(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on standard output, one line of ours on standard error, exit status 2."""
    monkeypatch.setattr(sys, "argv", ["agreement", *USAGES[name].split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1, printed.err
    assert printed.err.startswith("agreement: ")


@pytest.mark.parametrize("usage", ["check --data digit", "check --dtype float16"])
def test_bad_usage_of_the_program_is_one_line_and_status_two(usage: str) -> None:
    """The same from a process of its own, as a shell sees it."""
    command = [sys.executable, "-m", "agreement", *usage.split()]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
