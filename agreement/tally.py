"""Counts over many reports, for one line at the end of a test run.

Nothing here loads NumPy: the process that prints the sum need not have judged anything.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agreement.report import Report

# By a report's exit status.
OUTCOMES = ("agree", "disagree", "could not be judged")
KNOWN = "KNOWN"


@dataclass
class Tally:
    """What was judged.

    Attributes:
        checks: by outcome in words. tensors: of all checks. verdicts: by name.
        witnesses: who was judged, in the order of appearance.
        worst: the largest error/bound, where: its tensor, view, witness and test; as a report's
            ``worst_ratio`` they leave out where Keras is known to be wrong.
    """

    checks: Counter[str] = field(default_factory=Counter)
    tensors: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    witnesses: list[str] = field(default_factory=list)
    worst: float = -1.0
    where: str = ""

    def add(self, report: Report) -> None:
        """Count one report."""
        self.checks[OUTCOMES[report.exit_status]] += report.checks
        self.tensors += len(report.rows())
        for v in report.verdicts:
            self.verdicts[str(v.verdict)] += 1
            if v.witness not in self.witnesses:
                self.witnesses.append(v.witness)
            if v.verdict != KNOWN and v.ratio > self.worst:
                self.worst = float(v.ratio)
                self.where = f"{v.name} ({v.view} view, {v.witness})"

    def merge(self, other: Tally, test: str = "") -> None:
        """Count what another has counted, in the test that is named."""
        self.checks += other.checks
        self.tensors += other.tensors
        self.verdicts += other.verdicts
        self.witnesses += [name for name in other.witnesses if name not in self.witnesses]
        if other.worst > self.worst:
            self.worst = other.worst
            self.where = f"{other.where} in {test}" if test else other.where

    def to_json(self) -> str:
        """One line; an infinite error/bound is the string "inf", as JSON has no such number."""
        worst = "inf" if self.worst == float("inf") else self.worst
        return json.dumps(vars(self) | {"worst": worst})

    @classmethod
    def from_json(cls, text: str) -> Tally:
        """Read what ``to_json`` has written."""
        content = json.loads(text)
        for name in ("checks", "verdicts"):
            content[name] = Counter(content[name])
        return cls(**content | {"worst": float(content["worst"])})

    def lines(self) -> list[str]:
        """For people; nothing where nothing was judged."""
        if not self.checks:
            return []
        total = self.checks.total()
        found = [
            f"{_several(total, 'check')}: {_counted(self.checks, OUTCOMES)}",
            f"{_several(self.tensors, 'tensor')} by the witnesses {', '.join(self.witnesses)}: "
            f"{_counted(self.verdicts, sorted(self.verdicts, key=lambda k: -self.verdicts[k]))}",
        ]
        if self.worst >= 0:
            found.append(f"worst error/bound {self.worst:.2g}: {self.where}")
        return found


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _counted(counts: Counter[str], order: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in order if counts[name])
