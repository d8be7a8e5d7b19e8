"""Judging many random cases: the figures behind "no false alarms"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agreement.cases import Case, draw_case
from agreement.checking import judge_traces, manual_trace
from agreement.report import remark
from agreement.statistics import Statistics
from agreement.verdicts import Verdict
from manual_backprop.trace import Trace
from reference.modes import Mode

# XLA compiles for every shape, so two cases in five have one of a few fixed architectures.
COMPILED_EVERY = 5
COMPILED_SHARE = 2
COMPILED_STRUCTURES = 16


@dataclass(frozen=True)
class Settings:
    """What to draw and whom to ask.

    Attributes:
        seed: with a case's index it determines the case.
        dtype: "float32" or "float64".
        modes: the references; XLA is asked about the cases of fixed architecture only.
    """

    seed: int
    dtype: str
    modes: tuple[Mode, ...]


def run_cases(
    settings: Settings,
    indices: Sequence[int],
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
    case, modes = draw(settings, index)
    traces = witnesses(case, modes)
    verdicts = judge_traces(case.model, case.inputs, case.targets, case.loss, traces)
    statistics.cases += 1
    statistics.add_verdicts(case.structure.path_name, case.kind, verdicts)
    found = [v for v in verdicts if v.verdict is Verdict.DISAGREE and not v.consequence]
    if found:
        statistics.add_disagreement(
            index, f"case {index} ({case.kind}, {case.structure}): {remark(found[0])}"
        )
    manual, *references = traces.items()
    for name, trace in references:
        statistics.compared[name] += 1
        with np.errstate(all="ignore"):
            close = map(np.allclose, manual[1].gradients, trace.gradients)
            statistics.allclose[name] += not all(close)


def draw(settings: Settings, index: int) -> tuple[Case, list[Mode]]:
    """A case and the references that can be asked about it."""
    with_xla = any(mode.xla for mode in settings.modes)
    compiled = with_xla and index % COMPILED_EVERY < COMPILED_SHARE
    case = draw_case(
        settings.seed,
        index,
        settings.dtype,
        compiled_structures=COMPILED_STRUCTURES if compiled else 0,
    )
    return case, [mode for mode in settings.modes if compiled or not mode.xla]


def witnesses(case: Case, modes: Sequence[Mode]) -> dict[str, Trace]:
    """The manual trace and each reference's."""
    # Imported here: the judge loads no framework until a reference is asked for.
    import reference

    traces = {"manual": manual_trace(case.model, case.inputs, case.targets, case.loss)}
    for mode in modes:
        traces[mode.name] = reference.trace(
            case.model, case.inputs, case.targets, case.loss, mode, any_shape=True
        )
    return traces
