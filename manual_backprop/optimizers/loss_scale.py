"""Scaling of the loss that adapts itself, around another optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.adam import Adam
from manual_backprop.optimizers.base import Optimizer, State
from manual_backprop.optimizers.descent import Descent
from manual_backprop.optimizers.gradient_descent import SGD
from manual_backprop.optimizers.norms import number_like
from manual_backprop.typing import Array
from manual_backprop.validation import as_count

__all__ = ["LossScaleOptimizer"]


@dataclass(eq=False, repr=False)
class LossScaleOptimizer(Optimizer):
    r"""Multiplies the loss by s, as large as gradients stay finite.

    Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; s adapts as in NVIDIA's library:
    (1) every gradient finite: the inner optimizer is given g / s
    (2) ``dynamic_growth_steps`` such steps in a row: s ← 2 s, and the count starts anew
    (3) any gradient not finite: s ← s / 2, the count starts anew, and nothing else changes

    Args:
        inner_optimizer: what updates the weights; its own loss_scale_factor does not count.
        initial_scale: s at first. dynamic_growth_steps: as (2).
    """

    name: ClassVar[str] = "lossscaleoptimizer"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"inner_optimizer": SGD(0.1, 0.9)},
        {"inner_optimizer": Adam(), "initial_scale": 1024.0, "dynamic_growth_steps": 4},
        {"inner_optimizer": SGD(0.1, loss_scale_factor=8.0, gradient_accumulation_steps=2)},
    )

    inner_optimizer: Descent
    initial_scale: float = 2.0**15
    dynamic_growth_steps: int = 2000

    def __post_init__(self) -> None:
        if not isinstance(self.inner_optimizer, Descent):
            raise TypeError(
                f"inner_optimizer: got {self.inner_optimizer!r}, expected an optimizer such as "
                f"SGD(0.1)."
            )
        if not 0 < self.initial_scale < float("inf"):
            raise ValueError(f"initial_scale: got {self.initial_scale}, expected more than 0.")
        as_count("dynamic_growth_steps", self.dynamic_growth_steps)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @property
    def scale(self) -> float:
        if self.state is None:
            return self.initial_scale
        scale: float = self.state.shared["dynamic_scale"][()]
        return scale

    def initial_state(self, weights: Sequence[Array], names: Sequence[str] = ()) -> State:
        state = self.inner_optimizer.initial_state(weights, names)
        state.shared["dynamic_scale"] = number_like(self.initial_scale, weights[0])
        state.counts["step_counter"] = 0
        return state

    def all_finite(self, gradients: Sequence[Array]) -> bool:
        """Whether every number of every gradient is finite."""
        return all(bool(np.isfinite(gradient).all()) for gradient in gradients)

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        scale = state.shared["dynamic_scale"]
        if not self.all_finite(gradients):
            scale *= 0.5  # (3)
            state.counts["step_counter"] = 0
            return
        unscaled = [gradient / scale for gradient in gradients]
        self.inner_optimizer.update_all(unscaled, weights, state)  # (1)
        state.counts["step_counter"] += 1
        if state.counts["step_counter"] == self.dynamic_growth_steps:
            scale *= 2  # (2)
            state.counts["step_counter"] = 0
