"""One self-contained HTML report of an upgrade: sortable, with values and heat maps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agreement.upgrade.outcomes import Change, Comparison, changes_by_function
from agreement.upgrade.recording import Recording
from agreement.upgrade.releases import Upgrade
from agreement.upgrade.rounding import relative
from agreement.upgrade.summary import CASE_ORDER, conclusion, example, named, remark

# So many tensors of a function are shown element by element, and so many elements of each.
SHOWN_TENSORS = 8
SHOWN_ELEMENTS = 144


def write_report(path: Path, found: Upgrade) -> None:
    """Write the report; it needs no other file and no network."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("agreement.upgrade")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    steps = [
        _step(number, comparison, found) for number, comparison in enumerate(found.comparisons)
    ]
    page = environment.get_template("report.html").render(
        releases=found.releases,
        failures=[(str(release), why) for release, why in found.failures.items()],
        seconds=found.seconds,
        steps=steps,
    )
    path.write_text(page, encoding="utf-8")


def _step(number: int, comparison: Comparison, found: Upgrade) -> dict[str, Any]:
    recordings = {str(release): recording for release, recording in found.recordings.items()}
    pair = [recordings[facts["title"]] for facts in (comparison.before, comparison.after)]
    functions = [
        _function(f"step-{number}-{place}", family, function, changes, pair)
        for place, (family, function, changes) in enumerate(changes_by_function(comparison.changed))
    ]
    return {
        "title": f"{named(comparison.before)} → {named(comparison.after)}",
        "before": comparison.before["keras"],
        "after": comparison.after["keras"],
        "conclusion": conclusion(comparison).splitlines(),
        "functions": functions,
    }


def _function(
    anchor: str, family: str, function: str, changes: Sequence[Change], pair: list[Recording]
) -> dict[str, Any]:
    def simple(change: Change) -> tuple[Any, ...]:
        known = change.case in CASE_ORDER
        order = CASE_ORDER.index(change.case) if known else len(CASE_ORDER)
        return (not change.tensor, order, change.dtype, change.mode, -change.difference)

    chosen = sorted(changes, key=simple)
    return {
        "anchor": anchor,
        "family": family,
        "name": function,
        "outcomes": dict(Counter(str(c.outcome) for c in changes).most_common()),
        "sides": dict(Counter(str(c.side) for c in changes).most_common()),
        "largest": max(c.difference for c in changes),
        "example": remark(example(changes)).splitlines(),
        "changes": chosen[:200],
        "more": max(0, len(chosen) - 200),
        "tensors": [
            shown
            for change in chosen[:SHOWN_TENSORS]
            if (shown := _tensor(change, pair)) is not None
        ],
    }


def _tensor(change: Change, pair: list[Recording]) -> dict[str, Any] | None:
    """Values side by side, and how hot each is, in rows along the last axis."""
    arrays = []
    for recording in pair:
        case = recording.cases.get(change.key, {}).get(change.case)
        if case is None or change.tensor not in case.observation.tensors:
            return None
        arrays.append(case.observation.tensors[change.tensor])
    if arrays[0].shape != arrays[1].shape or not arrays[0].size:
        return None
    width = arrays[0].shape[-1] if arrays[0].ndim else 1
    rows = max(1, SHOWN_ELEMENTS // max(width, 1))
    before, after = (np.reshape(x, (-1, width))[:rows, :SHOWN_ELEMENTS] for x in arrays)
    heat = relative(before, after)
    return {
        "title": f"{change.variant}; {change.dtype}, {change.mode}, {change.case}: {change.tensor}",
        "remark": remark(change).splitlines()[1:],
        "shown": int(before.size),
        "size": int(arrays[0].size),
        "rows": [
            [
                {"before": _short(a), "after": _short(b), "colour": _colour(h)}
                for a, b, h in zip(*line, strict=True)
            ]
            for line in zip(before, after, heat, strict=True)
        ],
    }


def _short(number: Any) -> str:
    return f"{float(number):.6g}"


def _colour(heat: float) -> str:
    """White where equal, then the redder the more digits differ."""
    if heat == 0:
        return "hsl(0 0% 97%)"
    share = 1.0 if not math.isfinite(heat) else min(1.0, max(0.0, 1 + math.log10(heat) / 17))
    return f"hsl({50 - 50 * share:.0f} 95% {92 - 42 * share:.0f}%)"
