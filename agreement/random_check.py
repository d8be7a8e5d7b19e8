"""Judging many random cases: the figures behind "no false alarms"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agreement.cases import (
    BLOCKS,
    DRAWS,
    Case,
    Frame,
    Kind,
    Numbers,
    block_of,
    draw_frame,
    draw_numbers,
    make_case,
    structures,
)
from agreement.checking import gather_traces, judge_traces
from agreement.function_cases import draw_function_case
from agreement.function_check import check_function
from agreement.report import remark
from agreement.stacks import Stack, judge_stack
from agreement.statistics import Statistics
from agreement.verdicts import MANUAL, Verdict, View
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
    for index in judge_together(settings, indices, statistics, advance):
        judge_case(settings, index, statistics)
        advance()
    return statistics


def judge_together(
    settings: Settings,
    indices: Iterable[int],
    statistics: Statistics,
    advance: Callable[[], None] = lambda: None,
) -> list[int]:
    """Judge cases of the same frame in one go; the indices of those that are left to be judged.

    Left are single functions, draws in which something disagrees, and those of stacks that cannot
    be treated alike. What is found of a draw does not depend on the others of its stack.
    """
    left = []
    stacks: dict[tuple[Frame, tuple[str, ...]], list[tuple[int, Kind, Numbers]]] = {}
    for index in indices:
        if settings.is_of_function(index):
            left.append(index)
        else:
            kind, frame, numbers, names = draw_parts(settings, index)
            stacks.setdefault((frame, tuple(names)), []).append((index, kind, numbers))
    for (frame, asked), draws in stacks.items():
        for start in range(0, len(draws), DRAWS):
            part = draws[start : start + DRAWS]
            settled = _judge_stack(frame, asked, part, statistics)
            for (index, *_), done in zip(part, settled, strict=True):
                if done:
                    advance()
                else:
                    left.append(index)
    return sorted(left)


def _judge_stack(
    frame: Frame,
    names: Sequence[str],
    draws: Sequence[tuple[int, Kind, Numbers]],
    statistics: Statistics,
) -> list[bool]:
    """Count the verdicts of the draws of a stack; False for those that are left to be judged."""
    kinds = [kind for _, kind, _ in draws]
    try:
        found = judge_stack(Stack.of(frame, kinds, [numbers for *_, numbers in draws]), names)
    except (ImportError, OSError, MemoryError):
        raise  # about the machine, not about the draws
    except Exception:
        return [False] * len(draws)  # each by itself tells which of them crashes, if one does
    path, settled = frame.structure.path_name, found.settled.copy()
    statistics.add_stack(path, kinds, found.verdicts, settled)
    for draw, verdicts in found.excused.items():
        statistics.add_verdicts(path, kinds[draw], verdicts)
        settled[draw] = True
    statistics.cases += int(settled.sum())
    for name in names:
        statistics.compared[name] += int(settled.sum())
        statistics.allclose[name] += int((found.allclose[name] & settled).sum())
    return settled.tolist()


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
        first = min(found, key=lambda v: v.view is not View.LOCAL)  # the faulty step, if one is
        statistics.add_disagreement(
            index, f"case {index} ({case.kind}, {case.structure}): {remark(first)}"
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
    kind, frame, numbers, names = draw_parts(settings, index)
    return make_case(frame, kind, numbers, settings.dtype, index), names


def draw_parts(settings: Settings, index: int) -> tuple[Kind, Frame, Numbers, list[str]]:
    """What a case consists of, and the references that can be asked about it."""
    with_xla = any(MODES[name].xla for name in settings.against if name in MODES)
    compiled = with_xla and index % COMPILED_EVERY < COMPILED_SHARE
    frame = _frame(settings, block_of(index))
    kind, frame, numbers = draw_numbers(
        settings.seed, index, settings.dtype, frame, COMPILED_STRUCTURES if compiled else 0
    )
    asked = [
        name for name in settings.against if compiled or name not in MODES or not MODES[name].xla
    ]
    return kind, frame, numbers, asked


@lru_cache(maxsize=4 * BLOCKS)
def _frame(settings: Settings, block: int) -> Frame:
    among = structures(CATALOGUE_STRUCTURES, with_variants=True) if settings.catalogue else None
    return draw_frame(settings.seed, block, among)
