"""The README's Python runs, from top to bottom, and its command lines exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agreement.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Every block in the order of the text; the remark that it quotes is what it prints."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, namespace)
    printed = capsys.readouterr().out
    quoted = re.search(r"like a colleague's remark:\n\n```\n(.*?)```", README, re.DOTALL)
    assert quoted
    for line in quoted[1].splitlines():
        # Which digits the worst element has depends on the machine's matrix product.
        assert re.split(r" at \[|manual -?\d", line)[0] in printed


def test_every_verb_of_the_readme_exists() -> None:
    """``agreement VERB`` in a block is a command."""
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"^agreement ([a-z-]+)", README, re.MULTILINE))
    assert named <= {verb.replace("_", "-") for verb in verbs}
