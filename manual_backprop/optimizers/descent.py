r"""What an optimizer does around its own update: the options that all of them share.

With g the gradient of a weight w, η the learning rate and n = 0, 1, … the updates so far:

(1) loss_scale_factor s: the loss, hence g, was multiplied by s, so g ← g / s
(2) gradient_accumulation_steps k: a ← a + g for k − 1 steps, in which nothing else changes;
    then g ← (g + a) / k and a ← 0
(3) clipnorm c: g ← g c / max(‖g‖, c), each weight's gradient for itself
(4) global_clipnorm c: the same with ‖g‖ over all weights together
(5) clipvalue c: g ← min(max(g, −c), c)
(6) weight_decay λ, decoupled from the gradient: w ← w − w λ η
    (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, line 12)
(7) the optimizer's own update
(8) use_ema, momentum μ: a ← μ a + (1 − μ) w, where μ counts as 0 for n = 0, so that a starts at w
(9) ema_overwrite_frequency f: after every f-th update w ← a

In (3) and (4) max(‖g‖, c) = s √max(Σ (g/s)², (c/s)²) with s = max(|g|, c): no square overflows.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from manual_backprop.optimizers.base import Optimizer, Slots, State, Step, zeros
from manual_backprop.optimizers.norms import number_like, shrinking
from manual_backprop.optimizers.schedules import Schedule
from manual_backprop.typing import Array
from manual_backprop.validation import as_count


@dataclass(eq=False, repr=False)
class Descent(Optimizer):
    """An optimizer with Keras' options.

    A subclass writes ``slots`` and ``update``, in the notation of its source, and sets ``name``.

    Args:
        learning_rate: η, a positive finite number or a ``Schedule``.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
        ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps: see above.
    """

    # What else checks try every optimizer with: each option of this class.
    option_variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"weight_decay": 0.01},
        {"clipnorm": 0.5},
        {"clipvalue": 0.3},
        {"global_clipnorm": 0.7},
        {"use_ema": True, "ema_momentum": 0.8},
        {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
        {"loss_scale_factor": 12.0},
        {"gradient_accumulation_steps": 3},
    )

    learning_rate: float | Schedule = 0.001
    weight_decay: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)
    use_ema: bool = field(default=False, kw_only=True)
    ema_momentum: float = field(default=0.99, kw_only=True)
    ema_overwrite_frequency: int | None = field(default=None, kw_only=True)
    loss_scale_factor: float | None = field(default=None, kw_only=True)
    gradient_accumulation_steps: int | None = field(default=None, kw_only=True)
    state: State | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            self.learning_rate = _positive("learning_rate", self.learning_rate)
        for name in ("clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor"):
            if getattr(self, name) is not None:
                _positive(name, getattr(self, name))
        given = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: got both this and {given[0]}, expected one of them.")
        if not 0 <= self.ema_momentum <= 1:
            raise ValueError(f"ema_momentum: got {self.ema_momentum}, expected 0 to 1.")
        if self.ema_overwrite_frequency is not None:
            as_count("ema_overwrite_frequency", self.ema_overwrite_frequency)
        steps = self.gradient_accumulation_steps
        if steps is not None and as_count("gradient_accumulation_steps", steps) < 2:
            raise ValueError(
                f"gradient_accumulation_steps: got {steps}, expected 2 or more, or None."
            )

    # -- what a subclass writes --------------------------------------------------------------

    def slots(self, weight: Array, name: str = "") -> Slots:
        """What the optimizer remembers of one weight, as it is before the first update."""
        return {}

    def shared(self, weights: Sequence[Array]) -> Slots:
        """What it remembers of all weights together."""
        return {}

    def advance(self, step: Step) -> None:
        """Update what is shared, once before the weights."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        """Update one weight and its slots in place; shapes are equal."""
        raise NotImplementedError

    # -- what all of them do -----------------------------------------------------------------

    def initial_state(self, weights: Sequence[Array], names: Sequence[str] = ()) -> State:
        """The state before the first step on these weights."""
        names = tuple(names) or ("",) * len(weights)
        slots = [
            self.slots(weight, name) | self._own_slots(weight)
            for weight, name in zip(weights, names, strict=True)
        ]
        return State(slots, self.shared(weights), names, [np.shape(w) for w in weights])

    def _own_slots(self, weight: Array) -> Slots:
        wanted = {
            "gradient_accumulator": bool(self.gradient_accumulation_steps),
            "average": self.use_ema,
        }
        return {name: zeros(weight) for name, is_wanted in wanted.items() if is_wanted}

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        if self.loss_scale_factor is not None:
            gradients = [g / self.loss_scale_factor for g in gradients]  # (1)
        self.update_all(gradients, weights, state)

    def update_all(
        self, gradients: Sequence[Array], weights: Sequence[Array], state: State
    ) -> None:
        """As ``step``, from (2) on."""
        every = self.gradient_accumulation_steps or 1
        iteration, done = state.iterations, state.iterations // every
        state.iterations += 1
        if every > 1:
            accumulators = [slots["gradient_accumulator"] for slots in state.slots]
            if state.iterations % every:
                for accumulator, gradient in zip(accumulators, gradients, strict=True):
                    accumulator += gradient  # (2)
                return
            pairs = zip(gradients, accumulators, strict=True)
            gradients = [(g + a) / every for g, a in pairs]  # (2)
            for accumulator in accumulators:
                accumulator[...] = 0.0
        gradients = self.clipped(gradients)
        rate = self.rate(iteration, weights)
        for weight, name in zip(weights, state.names, strict=True):
            self.decay(weight, rate, name)
        self.advance(Step(done + 1, rate, state.shared))
        for gradient, weight, slots, name in zip(
            gradients, weights, state.slots, state.names, strict=True
        ):
            self.update(gradient, weight, slots, Step(done + 1, rate, state.shared, name))  # (7)
        if self.use_ema:
            for weight, slots in zip(weights, state.slots, strict=True):
                self.average(weight, slots, done)

    def rate(self, iteration: int, weights: Sequence[Array]) -> Any:
        """η of a step; a schedule counts the gradients, not the updates."""
        if isinstance(self.learning_rate, Schedule):
            return self.learning_rate(iteration, weights[0])
        return self.learning_rate

    def clipped(self, gradients: Sequence[Array]) -> Sequence[Array]:
        """The gradients after (3), (4) or (5)."""
        if self.clipnorm is not None:
            return [g * self.shrinking([g], self.clipnorm) for g in gradients]  # (3)
        if self.global_clipnorm is not None:
            factor = self.shrinking(gradients, self.global_clipnorm)
            return [g * factor for g in gradients]  # (4)
        if self.clipvalue is not None:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]  # (5)
        return gradients

    def shrinking(self, gradients: Sequence[Array], limit: float) -> Array:
        """limit / max(‖g‖, limit), in (3) and (4)."""
        return shrinking(gradients, limit)

    def decay(self, weight: Array, rate: Any, name: str = "") -> None:
        """The weight decay of one weight."""
        if self.weight_decay is not None:
            weight -= weight * self.weight_decay * rate  # (6)

    def average(self, weight: Array, slots: Slots, done: int) -> None:
        """The moving average of one weight after ``done`` updates and one more."""
        average = slots["average"]
        momentum = number_like(self.ema_momentum if done else 0.0, weight)
        average[...] = momentum * average + (1 - momentum) * weight  # (8)
        frequency = self.ema_overwrite_frequency
        if frequency is not None and (done + 1) % frequency == 0:
            weight[...] = average  # (9)

    @property
    def scale(self) -> float:
        """What the loss is to be multiplied by before its gradients are taken; see (1)."""
        return 1.0 if self.loss_scale_factor is None else self.loss_scale_factor

    @property
    def shown_arguments(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate} | self.unusual_arguments


def _positive(name: str, value: object) -> float:
    """A positive finite number, as a float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: got {value!r}, expected a positive number.")
    if not 0 < float(value) < float("inf"):
        raise ValueError(f"{name}: got {value}, expected a positive number.")
    return float(value)
