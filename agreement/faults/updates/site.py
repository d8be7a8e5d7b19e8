"""What a planted fault of an optimizer is, and where the judge should find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agreement.faults.sites import described
from agreement.report import Report
from agreement.trajectory import check_trajectory
from agreement.trajectory_cases import draw_trajectory
from agreement.verdicts import TensorVerdict
from manual_backprop.optimizers import Optimizer

WEIGHT = "weight"
# Smooth gradients, one of which is infinite in the second step.
NOT_FINITE = "smooth and once infinite"
STEPS = 6


@dataclass(frozen=True)
class UpdateFault:
    """A wrong variant of an optimizer that people really write.

    Attributes:
        name: in kebab-case. sentence: how it happens, to the person who made it.
        kind: the faulty class. arguments: with which it shows.
        tensor: the first slot (or "weight") that it makes wrong. step: the first step in which.
        gradients: the kind of gradients at which it shows.
    """

    name: str
    sentence: str
    kind: type[Optimizer]
    tensor: str
    step: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    gradients: str = "smooth"

    @property
    def optimizer(self) -> str:
        """Keras' name of the optimizer that is wrong."""
        return self.kind.name

    def make(self, honest: bool = False) -> Optimizer:
        """The faulty optimizer, or the one that it is derived from."""
        kind = self.kind.__mro__[1] if honest else self.kind
        return kind(**self.arguments)

    def judge(self, mode: str = "keras", dtype: str = "float32", honest: bool = False) -> Report:
        """Judge the faulty optimizer beside Keras' right one, step by step."""
        smooth = self.gradients == NOT_FINITE
        kind = "smooth" if smooth else self.gradients
        weights, gradients = draw_trajectory(kind, dtype, STEPS, seed=1)
        if smooth:
            gradients[1][0][...] = np.inf
        return check_trajectory(
            self.make(honest), weights, gradients, against=[mode], end_to_end=False
        )

    def is_at(self, verdict: TensorVerdict) -> bool:
        """Whether a disagreement is where the fault is."""
        _, _, slot = verdict.tensor.partition(".")
        shared = "." not in verdict.tensor and verdict.tensor == self.tensor
        found = (slot or WEIGHT) == self.tensor or shared
        return found and verdict.layer == f"step {self.step}"


def wrong_update(
    tensor: str = WEIGHT, step: int = 1, gradients: str = "smooth", **arguments: Any
) -> Callable[[type[Optimizer]], UpdateFault]:
    """A faulty subclass of an optimizer, which shows with some arguments; see ``UpdateFault``."""

    def decorate(kind: type[Optimizer]) -> UpdateFault:
        name, _, sentence = described(kind, "")
        return UpdateFault(name, sentence, kind, tensor, step, arguments, gradients)

    return decorate
