"""Expected disagreements of optimizers: where Keras' step is not the documented one.

Each row repeats, in a line or two, what Keras computes instead. What disagrees with the manual
code, and agrees with that, is called KNOWN; so a row hides nothing but what it says. Its methods
call the user's own wherever Keras is right: what a wrong one of them does stays wrong. And they
say all that they can: where they have no bound, nothing is compared, and no fault is seen.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from typing import Any

import numpy as np

from agreement.bounded import BoundedArray
from manual_backprop.optimizers import (
    SGD,
    Adafactor,
    Descent,
    Ftrl,
    Lamb,
    LossScaleOptimizer,
    Muon,
    Nadam,
    Optimizer,
    ScheduleFreeAdamW,
    State,
    Step,
)
from manual_backprop.optimizers.base import Slots, zeros
from manual_backprop.optimizers.norms import norm
from manual_backprop.optimizers.schedules import Schedule
from manual_backprop.typing import Array


@dataclass(frozen=True)
class KnownUpdate:
    """One row.

    Attributes:
        finding: its number in docs/findings.md. sentence: what Keras does, and what is right.
        kind: the optimizers that it concerns. applies: of those, which, with weights of a dtype.
        methods: what Keras does, as methods in the place of the manual ones.
        example: an optimizer on which it shows, on ``gradients`` as below.
        scale: of the weights and gradients on which it shows. dtypes: those in which it shows.
        in_compiled_model: it shows only where ``fit`` of a compiled model makes the state.
    """

    finding: int
    sentence: str
    kind: type[Optimizer]
    applies: Callable[[Any, str], bool]
    methods: dict[str, Callable[..., Any]]
    example: Callable[[], Optimizer]
    scale: tuple[float, float] = (1.0, 1.0)
    dtypes: tuple[str, ...] = ("float32", "float64")
    in_compiled_model: bool = False


class Fate(Enum):
    """What a sum of squares comes to where each is computed as it stands."""

    RIGHT = "right"
    ZERO = "zero"
    INFINITE = "infinite"
    OPEN = "open"  # rounding, or flushing to zero, decides


def _own(optimizer: Any) -> Any:
    """The class whose methods are replaced: what it does apart from them is what is judged."""
    return type(optimizer).__mro__[1]


def _rounded_schedule(
    self: Nadam, gradient: Array, weight: Array, slots: Slots, step: Step
) -> None:
    decay = float(np.float32(self.schedule_decay))
    _own(self).update(_with(self, schedule_decay=decay), gradient, weight, slots, step)


def _mean_from_new_z(
    self: ScheduleFreeAdamW, gradient: Array, weight: Array, slots: Slots, step: Step
) -> None:
    trial = {name: slot.copy() for name, slot in slots.items()}
    _own(self).update(self, gradient, weight.copy(), trial, step)
    new_z = trial["momentum"]
    made = _with(self, recovered=lambda y, z, beta: _own(self).recovered(self, y, new_z, beta))
    _own(self).update(made, gradient, weight, slots, step)


def _z_from_0(self: ScheduleFreeAdamW, weight: Array, name: str = "") -> Slots:
    return {slot: zeros(weight) for slot in _own(self).slots(self, weight, name)}


def _twice_the_strength(
    self: Ftrl, gradient: Array, weight: Array, slots: Slots, step: Step
) -> None:
    strength = 2 * self.l2_regularization_strength
    made = _with(self, l2_regularization_strength=strength)
    _own(self).update(made, gradient, weight, slots, step)


def _always_relative(
    self: Adafactor, gradient: Array, weight: Array, slots: Slots, step: Step
) -> None:
    relative = _with(self, relative_step=True, learning_rate=1.0)
    _own(self).update(relative, gradient, weight, slots, step)


def _average_of_every_gradient(
    self: Descent, gradients: Sequence[Array], weights: Sequence[Array], state: State
) -> None:
    done = state.iterations // (self.gradient_accumulation_steps or 1)
    _own(self).update_all(_with(self, use_ema=False), gradients, weights, state)
    for weight, slots in zip(weights, state.slots, strict=True):
        self.average(weight, slots, done)


def _in_sum_of_squares(arrays: Sequence[BoundedArray]) -> Fate:
    """What becomes of Σ x², in the arrays' precision; by its root, which is always in range."""
    precision = arrays[0].precision
    least, most = _least_norm(arrays), _most_norm(arrays)
    terms = sum(x.size for x in arrays)
    growth = 1 + precision.gamma(terms + 2)
    if not most * growth <= np.sqrt(precision.largest):
        # The headroom that ``largest`` keeps is far more than a format has beyond it.
        return Fate.INFINITE if least > 2 * growth * np.sqrt(precision.largest) else Fate.OPEN
    if most == 0 or least >= np.sqrt(terms * precision.smallest_normal / precision.roundoff):
        return Fate.RIGHT
    # Each square is less than half the smallest number, and rounds to 0 by itself.
    if most < np.sqrt(precision.smallest_normal * precision.roundoff) / 2:
        return Fate.ZERO
    return Fate.OPEN


def _least_norm(arrays: Sequence[BoundedArray]) -> float:
    return _norm([np.maximum(np.abs(x.value) - x.error, 0.0) for x in arrays])


def _most_norm(arrays: Sequence[BoundedArray]) -> float:
    return _norm([np.abs(x.value) + x.error for x in arrays])


def _norm(arrays: Sequence[Array]) -> float:
    """Of float64 numbers; NaN where one has no bound."""
    with np.errstate(all="ignore"):
        return float(norm(np.concatenate([x.ravel() for x in arrays])))


def _unbounded_one(*arrays: Array) -> Array:
    """1, without bound where the sum of squares may be infinite or 0."""
    root = np.sqrt(reduce(np.add, [np.sum(np.square(x)) for x in arrays]))
    return root / root


def _plain_length(self: Lamb, x: Array) -> Array:
    length, fate = _own(self).length(self, x), _in_sum_of_squares([x])
    if fate is Fate.RIGHT:
        return length
    return length * 0 if fate is Fate.ZERO else length * _unbounded_one(x)


def _plain_normalised(self: Muon, x: Array) -> Array:
    """Beside 10⁻⁷ the norm of what underflows is nothing in either way, so x is as it should be."""
    normalised, fate = _own(self).normalised(self, x), _in_sum_of_squares([x])
    if fate is Fate.INFINITE:
        return normalised * 0
    return normalised * _unbounded_one(x) if _may_be_infinite([x]) else normalised


def _plain_shrinking(self: Descent, gradients: Sequence[Array], limit: float) -> Array:
    """Below the limit nothing is clipped in either way, whatever underflows.

    c g / ‖g‖ is 0 for each weight alone; with all of them, and where c g overflows too, NaN.
    """
    factor, fate = _own(self).shrinking(self, gradients, limit), _in_sum_of_squares(gradients)
    if fate is Fate.RIGHT or _most_norm(gradients) <= limit * (1 - 2.0**-10):
        return factor
    fits = max(limit, 1) * _most_norm(gradients) <= gradients[0].precision.largest
    if fate is Fate.INFINITE and fits and self.clipnorm is not None:
        return factor * 0
    return factor * _unbounded_one(*gradients)


def _may_be_infinite(arrays: Sequence[BoundedArray]) -> bool:
    """Whether Σ x² may overflow; NaN may."""
    return not _most_norm(arrays) <= np.sqrt(arrays[0].precision.largest) / 2


def _plain_divisor(self: Ftrl, quadratic: Array) -> Array:
    return np.where(quadratic > 0, _own(self).divisor(self, quadratic), quadratic)


def _with(optimizer: Any, **attributes: Any) -> Any:
    """A copy with other attributes, of the same class."""
    made = copy.copy(optimizer)
    vars(made).update(attributes)
    return made


KNOWN_UPDATES: tuple[KnownUpdate, ...] = (
    KnownUpdate(
        81,
        "0.96 is rounded to float32 in each weight's own step, also for float64 weights",
        Nadam,
        lambda optimizer, dtype: dtype == "float64",
        {"update": _rounded_schedule},
        Nadam,
        dtypes=("float64",),
    ),
    KnownUpdate(
        82,
        "x is recovered from y with the z of after its step, not of before",
        ScheduleFreeAdamW,
        lambda optimizer, dtype: True,
        {"update": _mean_from_new_z},
        ScheduleFreeAdamW,
    ),
    KnownUpdate(
        89,
        "z starts from 0, not from the weight, where a compiled model builds the optimizer",
        ScheduleFreeAdamW,
        lambda optimizer, dtype: True,
        {"slots": _z_from_0},
        ScheduleFreeAdamW,
        in_compiled_model=True,
    ),
    KnownUpdate(
        83,
        "l2_regularization_strength counts twice",
        Ftrl,
        lambda optimizer, dtype: optimizer.l2_regularization_strength > 0,
        {"update": _twice_the_strength},
        lambda: Ftrl(0.1, l2_regularization_strength=1.0),
    ),
    KnownUpdate(
        84,
        "0 / 0 where nothing has been accumulated: the weight is 0 there",
        Ftrl,
        lambda optimizer, dtype: optimizer.initial_accumulator_value == 0,
        {"divisor": _plain_divisor},
        lambda: Ftrl(0.1, initial_accumulator_value=0.0),
        scale=(1.0, 0.0),
    ),
    KnownUpdate(
        85,
        "the learning rate is min(η, 1/√t) without relative_step and with schedules as well",
        Adafactor,
        lambda optimizer, dtype: (
            not optimizer.relative_step or isinstance(optimizer.learning_rate, Schedule)
        ),
        {"update": _always_relative},
        lambda: Adafactor(0.5, relative_step=False),
    ),
    KnownUpdate(
        86,
        "the moving average takes in the weights, and overwrites them, while gradients are "
        "accumulated",
        Descent,
        lambda optimizer, dtype: optimizer.use_ema and bool(optimizer.gradient_accumulation_steps),
        {"update_all": _average_of_every_gradient},
        lambda: SGD(0.1, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=3),
    ),
    KnownUpdate(
        87,
        "the squares of large gradients overflow: clipnorm gives 0, global_clipnorm NaN",
        Descent,
        lambda optimizer, dtype: bool(optimizer.clipnorm or optimizer.global_clipnorm),
        {"shrinking": _plain_shrinking},
        lambda: SGD(0.1, clipnorm=1.0),
        scale=(1.0, 1e30),
        dtypes=("float32",),
    ),
    KnownUpdate(
        87,
        "the squares of large gradients overflow: the update is 0",
        Muon,
        lambda optimizer, dtype: True,
        {"normalised": _plain_normalised},
        Muon,
        scale=(1.0, 1e30),
        dtypes=("float32",),
    ),
    KnownUpdate(
        88,
        "the squares of a small direction underflow: its norm is 0 and the ratio 1",
        Lamb,
        lambda optimizer, dtype: True,
        {"length": _plain_length},
        Lamb,
        scale=(1.0, 1e-30),
        dtypes=("float32",),
    ),
)


def rows_for(
    optimizer: Optimizer, dtype: str, *, in_compiled_model: bool = False
) -> list[KnownUpdate]:
    """The rows that concern an optimizer, or the one inside it, with weights of a dtype."""
    if isinstance(optimizer, LossScaleOptimizer):
        return rows_for(optimizer.inner_optimizer, dtype, in_compiled_model=in_compiled_model)
    return [
        row
        for row in KNOWN_UPDATES
        if isinstance(optimizer, row.kind)
        and row.applies(optimizer, dtype)
        and row.in_compiled_model <= in_compiled_model
    ]


def note_of(rows: Sequence[KnownUpdate]) -> str:
    """The findings and sentences of some rows."""
    return "; ".join(f"finding {row.finding}: {row.sentence}" for row in rows)


def as_keras_computes(optimizer: Optimizer, rows: Sequence[KnownUpdate]) -> Optimizer:
    """The optimizer with what the rows say in the place of what is right."""
    if isinstance(optimizer, LossScaleOptimizer):
        inner: Any = as_keras_computes(optimizer.inner_optimizer, rows)
        return dataclasses.replace(optimizer, inner_optimizer=inner)
    made = copy.copy(optimizer)
    kind = type(optimizer)
    methods = {name: method for row in rows for name, method in row.methods.items()}
    made.__class__ = type(kind.__name__, (kind,), methods)
    return made


STAIRS_ARE_LATE = (
    "finding 90: in graph mode and under XLA n / d is n (1/d), a little less than a whole number, "
    "whose floor is one too few; with restarts the logarithm's rounding does that in eager mode too"
)


def with_late_stairs(schedule: Schedule) -> Schedule:
    """The schedule with every stair, and every restart, one iteration later."""
    kind = type(schedule)
    made = copy.copy(schedule)
    late = {"periods": lambda self, iteration: kind.periods(self, max(iteration - 1, 0))}
    object.__setattr__(made, "__class__", type(kind.__name__, (kind,), late))
    return made
