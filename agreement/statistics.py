"""Counting verdicts over very many cases: small, exact, and mergeable in any order."""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from agreement.stack_verdicts import StackVerdicts
from agreement.verdicts import TensorVerdict, Verdict, View
from manual_backprop.typing import Array

if TYPE_CHECKING:
    from rich.table import Table

# Floors are kept as counts per hundredth of a decade: a median good to 2.4 %.
BINS_PER_DECADE = 100
BIN_OF_0 = -1_000_000
# So many disagreements are kept word for word; all are counted.
KEPT_REMARKS = 20


@dataclass
class Statistics:
    """What a run over random cases found.

    Attributes:
        cases: how many cases were judged.
        verdicts: counts by (path, kind, view, verdict); tensors exactly zero are also counted
            in ``zeros`` by (path, kind, view).
        floors: counts by (path, kind, view, bin) over tensors that are not zero.
        allclose: by witness, how many cases np.allclose with its defaults would have failed;
            ``compared``: how many it was asked about.
        disagreeing: indices of cases with a disagreement; remarks: the first few in words.
        worst_ratio: the largest error/bound.
    """

    cases: int = 0
    verdicts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    zeros: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    floors: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    allclose: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    disagreeing: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    worst_ratio: float = 0.0

    def add_verdicts(self, path: str, kind: str, verdicts: list[TensorVerdict]) -> None:
        """Count one case's verdicts."""
        self.verdicts.update((path, kind, v.view, v.verdict) for v in verdicts)
        self.zeros.update((path, kind, v.view) for v in verdicts if v.zero)
        counted = [v for v in verdicts if not v.zero]
        bins = _bins(np.array([v.floor for v in counted])).tolist()
        self.floors.update((path, kind, v.view, b) for v, b in zip(counted, bins, strict=True))
        outside = (Verdict.DISAGREE, Verdict.KNOWN)
        ratios = [v.ratio for v in verdicts if v.verdict not in outside]
        self.worst_ratio = max([self.worst_ratio, *ratios])

    def add_stack(
        self, path: str, kinds: Sequence[str], found: StackVerdicts, judged: Array
    ) -> None:
        """Count the verdicts of those draws of a stack that are ``judged`` so, (draws,)."""
        for kind, view in itertools.product(sorted({*kinds}), View):
            rows = judged & (np.array(kinds) == kind)
            columns = np.array([v == view for v in found.views], bool)
            part = found.only(rows, columns)
            counts = np.bincount(part.codes.ravel(), minlength=len(Verdict)).tolist()
            for verdict, n in zip(Verdict, counts, strict=True):
                if n:
                    self.verdicts[path, kind, view, verdict] += n
            if part.zero.any():
                self.zeros[path, kind, view] += int(part.zero.sum())
            bins, times = np.unique(_bins(part.floor[~part.zero]), return_counts=True)
            for index, n in zip(bins.tolist(), times.tolist(), strict=True):
                self.floors[path, kind, view, index] += n
            self.worst_ratio = max(self.worst_ratio, float(part.ratio.max(initial=0.0)))

    def add_disagreement(self, index: int, remark: str) -> None:
        """Note a case in which something disagreed."""
        self.disagreeing.append(index)
        if len(self.remarks) < KEPT_REMARKS:
            self.remarks.append(remark)

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of both runs together."""
        return combine([self, other])

    def count(self, verdict: Verdict, **group: str) -> int:
        """How many verdicts of one kind; narrowed by path=, kind= or view=."""
        return sum(
            n for key, n in self.verdicts.items() if key[3] == verdict and _matches(key, group)
        )

    def total(self, **group: str) -> int:
        """How many verdicts of any kind; narrowed by path=, kind= or view=."""
        return sum(n for key, n in self.verdicts.items() if _matches(key, group))

    def median_floor(self, **group: str) -> float | None:
        """The median floor of tensors that are not zero; None where there are none."""
        bins: Counter[int] = Counter()
        for key, n in self.floors.items():
            if _matches(key, group):
                bins[key[3]] += n
        remaining = bins.total() / 2
        for index in sorted(bins):
            remaining -= bins[index]
            if remaining <= 0:
                return _middle(index)
        return None

    @property
    def groups(self) -> list[tuple[str, str, str]]:
        """Every (path, kind, view) seen, sorted."""
        return sorted({key[:3] for key in self.verdicts})

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "cases": self.cases,
            "disagreeing_cases": len(self.disagreeing),
            "verdicts": {str(v): self.count(v) for v in Verdict},
            "worst_ratio": self.worst_ratio,
            "allclose_failures": {
                witness: {"failed": self.allclose[witness], "of": self.compared[witness]}
                for witness in sorted(self.compared)
            },
            "groups": [
                {
                    "path": path,
                    "kind": kind,
                    "view": view,
                    **{str(v): self.count(v, path=path, kind=kind, view=view) for v in Verdict},
                    "zero": self.zeros[path, kind, view],
                    "median_floor": self.median_floor(path=path, kind=kind, view=view),
                }
                for path, kind, view in self.groups
            ],
            "remarks": self.remarks,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, for a checkpoint; ``from_json`` gives it back exactly."""
        floors: dict[tuple[str, str, str], list[int]] = {group: [] for group in self.groups}
        before = dict.fromkeys(floors, 0)
        for (path, kind, view, index), n in sorted(self.floors.items()):
            group = (path, kind, view)
            floors[group] += [index - before[group], n]  # small numbers, which take little space
            before[group] = index
        return {
            "cases": self.cases,
            "groups": [
                {
                    "group": [str(part) for part in group],
                    "verdicts": {
                        str(v): self.verdicts[*group, str(v)]
                        for v in Verdict
                        if (*group, str(v)) in self.verdicts
                    },
                    "zero": self.zeros[group],
                    "floors": floors[group],
                }
                for group in self.groups
            ],
            "allclose": dict(self.allclose),
            "compared": dict(self.compared),
            "disagreeing": self.disagreeing,
            "remarks": self.remarks,
            "worst_ratio": repr(float(self.worst_ratio)),  # JSON has no infinity
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Statistics:
        """The inverse of ``to_json``."""
        found = cls(
            cases=content["cases"],
            allclose=Counter(content["allclose"]),
            compared=Counter(content["compared"]),
            disagreeing=list(content["disagreeing"]),
            remarks=list(content["remarks"]),
            worst_ratio=float(content["worst_ratio"]),
        )
        for entry in content["groups"]:
            path, kind, view = entry["group"]
            for verdict, n in entry["verdicts"].items():
                found.verdicts[path, kind, view, verdict] = n
            if entry["zero"]:
                found.zeros[path, kind, view] = entry["zero"]
            steps, counts = entry["floors"][::2], entry["floors"][1::2]
            for index, n in zip(accumulate(steps), counts, strict=True):
                found.floors[path, kind, view, index] = n
        return found


def combine(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of several runs together; the first remarks are kept, in the given order."""
    total = Statistics()
    for part in parts:
        total.cases += part.cases
        for name in ("verdicts", "zeros", "floors", "allclose", "compared"):
            getattr(total, name).update(getattr(part, name))
        total.disagreeing += part.disagreeing
        total.remarks += part.remarks[: KEPT_REMARKS - len(total.remarks)]
        total.worst_ratio = max(total.worst_ratio, part.worst_ratio)
    total.disagreeing.sort()
    return total


def summary_table(statistics: Statistics) -> Table:
    """A rich table: a row for each path, kind and view."""
    # Imported here: a worker that only counts need not load rich.
    from rich import box
    from rich.table import Table

    table = Table(title=f"{statistics.cases} random cases, verdicts by tensor", box=box.SIMPLE_HEAD)
    for heading in ("path", "numbers", "view"):
        table.add_column(heading, no_wrap=True)
    for heading in (*map(str, Verdict), "zero", "blunt", "floor"):
        table.add_column(heading, justify="right", no_wrap=True)
    for path, kind, view in statistics.groups:
        group = {"path": path, "kind": kind, "view": view}
        blunt = statistics.count(Verdict.BLUNT, **group) / statistics.total(**group)
        floor = statistics.median_floor(**group)
        table.add_row(
            path,
            str(kind),
            view,
            *(str(statistics.count(verdict, **group)) for verdict in Verdict),
            str(statistics.zeros[path, kind, view]),
            f"{blunt:.1%}",
            "" if floor is None else f"{floor:.1e}",
        )
    return table


def summary_lines(statistics: Statistics) -> list[str]:
    """The totals in words, with what np.allclose would have said."""
    counted = ", ".join(f"{statistics.count(v)} {v}" for v in Verdict)
    lines = [*statistics.remarks, f"verdicts: {counted}"]
    for view in View:
        floor = statistics.median_floor(kind="smooth", view=view)
        if floor is not None:
            lines.append(f"median floor on smooth numbers, {view}: {floor:.1e}")
    for witness, compared in sorted(statistics.compared.items()):
        lines.append(
            f"np.allclose with its defaults, against {witness}: "
            f"{statistics.allclose[witness]} of {compared} cases fail"
        )
    lines.append(
        f"{len(statistics.disagreeing)} of {statistics.cases} cases disagree; "
        f"at most {statistics.worst_ratio:.2g} of a bound used elsewhere"
    )
    return lines


def _bins(floors: Array) -> Array:
    """The floors' bins; 0 and infinity have bins of their own at the ends."""
    with np.errstate(all="ignore"):
        bins = np.clip(np.floor(np.log10(floors) * BINS_PER_DECADE), BIN_OF_0, -BIN_OF_0)
    return np.where(floors > 0, bins, BIN_OF_0).astype(int)


def _middle(index: int) -> float:
    """The floor that a bin stands for."""
    exponent = (index + 0.5) / BINS_PER_DECADE
    if index == BIN_OF_0:
        return 0.0
    return math.inf if exponent > sys.float_info.max_10_exp else 10**exponent


def _matches(key: tuple[Any, ...], group: dict[str, str]) -> bool:
    return all(
        key[place] == group[name]
        for place, name in enumerate(("path", "kind", "view"))
        if name in group
    )
