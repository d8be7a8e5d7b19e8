"""Judging many random cases: the figures behind "no false alarms"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from agreement.cases import Case, draw_case, structures
from agreement.checking import gather_traces, judge_traces
from agreement.function_cases import draw_function_case
from agreement.function_check import check_function
from agreement.report import remark
from agreement.statistics import Statistics
from agreement.verdicts import MANUAL, Verdict
from reference.modes import MODES

# XLA compiles for every shape, so two cases in five have one of a few fixed architectures.
COMPILED_EVERY = 5
COMPILED_SHARE = 2
COMPILED_STRUCTURES = 16
# Networks of the whole catalogue; with the single functions fewer than 300 are traced.
CATALOGUE_STRUCTURES = 96


@dataclass(frozen=True)
class Settings:
    """What to draw and whom to ask.

    Attributes:
        seed: with a case's index it determines the case.
        dtype: "float32" or "float64".
        against: the references; XLA is asked about the cases of fixed architecture only.
        catalogue: draw networks of every activation with every variant of its arguments, and
            every other case a single function at its kinks and ends.
    """

    seed: int
    dtype: str
    against: tuple[str, ...]
    catalogue: bool = False

    def is_of_function(self, index: int) -> bool:
        """Whether the case of that index is one of a single function."""
        return self.catalogue and index % 2 == 1


def run_cases(
    settings: Settings,
    indices: Iterable[int],
    advance: Callable[[], None] = lambda: None,
) -> Statistics:
    """Judge the cases with the given indices; ``advance`` is called after each."""
    statistics = Statistics()
    for index in indices:
        judge_case(settings, index, statistics)
        advance()
    return statistics


def judge_case(settings: Settings, index: int, statistics: Statistics) -> None:
    """Draw one case, judge it against every reference, and count what was found."""
    if settings.is_of_function(index):
        _judge_function_case(settings, index, statistics)
        return
    case, names = draw(settings, index)
    parts = (case.model, case.inputs, case.targets, case.loss)
    traces = gather_traces(*parts, names, any_shape=True)
    verdicts = judge_traces(*parts, traces)
    statistics.cases += 1
    statistics.add_verdicts(case.structure.path_name, case.kind, verdicts)
    found = [v for v in verdicts if v.verdict is Verdict.DISAGREE and not v.consequence]
    if found:
        statistics.add_disagreement(
            index, f"case {index} ({case.kind}, {case.structure}): {remark(found[0])}"
        )
    for name in names:
        statistics.compared[name] += 1
        with np.errstate(all="ignore"):
            # Elementwise, so all tensors can be compared at once.
            ours, theirs = (
                np.concatenate([np.ravel(g) for g in traces[witness].gradients])
                for witness in (MANUAL, name)
            )
            statistics.allclose[name] += not np.allclose(ours, theirs)


def _judge_function_case(settings: Settings, index: int, statistics: Statistics) -> None:
    case = draw_function_case(settings.seed, index, settings.dtype)
    names = [name for name in settings.against if name in MODES]  # all but the dual numbers
    report = check_function(
        case.subject, case.inputs, case.other, against=names, behind=case.behind
    )
    statistics.cases += 1
    statistics.add_verdicts("single functions", case.kind, report.verdicts)
    if report.disagreements:
        said = remark(report.disagreements[0])
        statistics.add_disagreement(index, f"case {index} ({case.kind}, {case.subject}): {said}")


def draw(settings: Settings, index: int) -> tuple[Case, list[str]]:
    """A case and the references that can be asked about it."""
    with_xla = any(MODES[name].xla for name in settings.against if name in MODES)
    compiled = with_xla and index % COMPILED_EVERY < COMPILED_SHARE
    case = draw_case(
        settings.seed,
        index,
        settings.dtype,
        compiled_structures=COMPILED_STRUCTURES if compiled else 0,
        among=structures(CATALOGUE_STRUCTURES, with_variants=True) if settings.catalogue else None,
    )
    asked = [
        name for name in settings.against if compiled or name not in MODES or not MODES[name].xla
    ]
    return case, asked
