"""The workflows parse, ask for few permissions, and what they run exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agreement.cli import app

HOME = Path(__file__).parents[1]
WORKFLOWS = sorted((HOME / ".github" / "workflows").glob("*.yml"))


def parsed(path: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_parses_and_names_major_versions(path: Path) -> None:
    """Every action is pinned to one, every script is one for bash, every job ends some day."""
    workflow = parsed(path)
    assert {"name", "jobs"} <= workflow.keys()
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        else:
            # Values of GitHub's reach a script as variables, never as its text.
            assert "${{" not in step["run"]
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def test_the_upgrade_check_writes_nothing_but_issues() -> None:
    """No permission by default; those of each job are the fewest."""
    workflow = parsed(HOME / ".github" / "workflows" / "upgrade.yml")
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    granted = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert granted == {"compare": {"contents": "read"}, "issue": {"issues": "write"}}


def test_verbs_and_options_in_workflows_and_recipes_exist() -> None:
    """``agreement VERB --option`` is understood by this program; so is pytest's option."""
    pages = [HOME / "README.md", HOME / "docs" / "ci.md", HOME / "docs" / "upgrade.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, *pages])
    lines = re.findall(r"^ *(?:- run: )?agreement ([a-z-]+)(.*)$", text.replace("\\\n", ""), re.M)
    assert {"upgrade", "record", "compare"} <= {verb for verb, _ in lines}
    group: Any = typer.main.get_command(app)
    for verb, rest in lines:
        known = {name for parameter in group.commands[verb].params for name in parameter.opts}
        given = re.findall(r" (--[a-z-]+)", rest.partition("#")[0])
        assert set(given) <= known, verb
    named = set(re.findall(r"--agreement-([a-z]+)|^agreement_([a-z]+) =", text, re.M))
    from agreement.pytest_plugin import OPTIONS

    assert {one or other for one, other in named} == set(OPTIONS)


def test_the_pinned_release_is_found() -> None:
    """As the workflow finds it: the least that pyproject.toml asks for."""
    workflow = parsed(HOME / ".github" / "workflows" / "upgrade.yml")
    (script,) = [step["run"] for step in steps(workflow) if step.get("id") == "releases"]
    command = re.search(r"pinned=\$\((.*)\)$", script, re.M)
    assert command
    found = subprocess.run(["bash", "-c", command[1]], cwd=HOME, capture_output=True, text=True)
    assert re.fullmatch(r"3\.\d+\.\d+\n", found.stdout)
