"""Hypothesis profiles, and a report header that says what the tests ran on."""

from __future__ import annotations

import os
from importlib import metadata

import pytest
from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=20, **COMMON)
settings.register_profile("ci", max_examples=100, derandomize=True, **COMMON)
settings.register_profile("nightly", max_examples=5000, **COMMON)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
settings.load_profile(PROFILE)


def pytest_report_header() -> list[str]:
    """Versions, profile, dtypes and execution modes."""
    packages = ("numpy", "tensorflow", "keras", "hypothesis")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return [
        f"agreement: {versions}",
        f"agreement: profile {PROFILE} (set HYPOTHESIS_PROFILE to dev, ci or nightly); "
        "dtypes float32, float64; modes keras, keras-graph, keras-xla",
    ]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A failure says how to run that one test again."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        command = f"HYPOTHESIS_PROFILE={PROFILE} python -m pytest '{item.nodeid}'"
        report.sections.append(("rerun", command))
