r"""Learning rates that change from step to step: each a function of the iteration n = 0, 1, …

A schedule computes in the arithmetic of the weights: η is a number of their dtype, as in Keras
where ``floatx`` is that dtype. What depends on whole numbers alone (which stair, which restart,
before or after the warm-up) is decided exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from manual_backprop.catalogue import Catalogued, family
from manual_backprop.optimizers.norms import number_like
from manual_backprop.typing import Array

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass(frozen=True, eq=False, repr=False)
class Schedule(Catalogued):
    """A learning rate for each iteration; Keras' schedule of the same class name is the twin."""

    def __call__(self, iteration: int, like: Array) -> Array:
        """η of an iteration, counted from 0, in the arithmetic of ``like``."""
        raise NotImplementedError

    def periods(self, iteration: int) -> int:
        """How many stairs or restarts there have been."""
        return 0


def _check_steps(name: str, steps: float) -> None:
    if not 0 < steps < float("inf"):
        raise ValueError(f"{name}: got {steps}, expected a positive number of steps.")


def _elapsed(iteration: int, steps: float, like: Array) -> Array:
    """iteration / steps."""
    return number_like(iteration, like) / number_like(steps, like)


def _as_written(number: float) -> Fraction:
    """A number as it is written: 1.1 is 11/10."""
    from fractions import Fraction  # a tenth of what this package takes to load; few need it

    return Fraction(str(number))


def whole_periods(iteration: int, first: float, longer: float = 1.0) -> int:
    """How many periods, each ``longer`` than the one before, are over; a boundary counts as over.

    Exact in the numbers as they are written.
    """
    end, period, count = _as_written(first), _as_written(first), 0
    while end <= iteration:
        period *= _as_written(longer)
        end, count = end + period, count + 1
    return count


@dataclass(frozen=True, eq=False, repr=False)
class ExponentialDecay(Schedule):
    r"""A factor for every ``decay_steps`` steps.

    (1) η_n = η₀ r^p with p = n / decay_steps; ``staircase`` takes ⌊p⌋
    """

    name: ClassVar[str] = "exponential_decay"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9},
        {"initial_learning_rate": 0.1, "decay_steps": 8, "decay_rate": 0.5, "staircase": True},
    )

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        _check_steps("decay_steps", self.decay_steps)

    def periods(self, iteration: int) -> int:
        return whole_periods(iteration, self.decay_steps)

    def __call__(self, iteration: int, like: Array) -> Array:
        p = _elapsed(iteration, self.decay_steps, like)
        if self.staircase:
            p = number_like(self.periods(iteration), like)
        rate = number_like(self.decay_rate, like)
        return self.initial_learning_rate * np.power(rate, p)  # (1)


@dataclass(frozen=True, eq=False, repr=False)
class PiecewiseConstantDecay(Schedule):
    r"""A constant between boundaries.

    (1) η_n = values_i with i the number of boundaries b < n: a boundary belongs to what precedes
    """

    name: ClassVar[str] = "piecewise_constant_decay"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"boundaries": (5, 20, 21), "values": (0.1, 0.05, 0.2, 0.01)},
        {"boundaries": (0,), "values": (0.1, 0.2)},
    )

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        object.__setattr__(self, "values", tuple(self.values))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: got {len(self.values)}, expected {len(self.boundaries) + 1}, one more "
                f"than boundaries."
            )
        pairs = zip(self.boundaries[:-1], self.boundaries[1:], strict=True)
        if not all(earlier < later for earlier, later in pairs):
            raise ValueError(
                f"boundaries: got {list(self.boundaries)}, expected each to be larger than the one "
                f"before; sort them, and the values with them."
            )

    def __call__(self, iteration: int, like: Array) -> Array:
        passed = sum(boundary < iteration for boundary in self.boundaries)
        return number_like(self.values[passed], like)  # (1)


@dataclass(frozen=True, eq=False, repr=False)
class PolynomialDecay(Schedule):
    r"""From one learning rate to another along a power.

    (1) η_n = (η₀ − η₁) (1 − p)^power + η₁ with p = min(n, d) / d, d = decay_steps
    (2) ``cycle``: p = n / (d max(1, ⌈n/d⌉)), so that it starts over with longer and longer periods
    (3) at p = 1 it is η₁; powers from 0 to 1 are infinitely steep there, so no rounding of p must
        count. A power of 0 is 1 everywhere, also there: η₀
    """

    name: ClassVar[str] = "polynomial_decay"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"initial_learning_rate": 0.1, "decay_steps": 30},
        {"initial_learning_rate": 0.1, "decay_steps": 16, "power": 0.5},
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 16,
            "end_learning_rate": 0.01,
            "power": 2.0,
            "cycle": True,
        },
    )

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        _check_steps("decay_steps", self.decay_steps)

    def __call__(self, iteration: int, like: Array) -> Array:
        end = number_like(self.end_learning_rate, like)
        steps = _as_written(self.decay_steps)
        if self.cycle:
            steps *= max(1, -(-iteration // steps))  # (2)
        done = min(iteration, float(steps))
        if done == steps and 0 < self.power < 1:
            return end  # (3)
        left = 1 - number_like(done, like) / number_like(float(steps), like)
        start = number_like(self.initial_learning_rate, like)
        return (start - end) * np.power(left, number_like(self.power, like)) + end  # (1)


@dataclass(frozen=True, eq=False, repr=False)
class InverseTimeDecay(Schedule):
    r"""In inverse proportion to the time.

    (1) η_n = η₀ / (1 + r p) with p = n / decay_steps; ``staircase`` takes ⌊p⌋
    """

    name: ClassVar[str] = "inverse_time_decay"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
        {"initial_learning_rate": 0.1, "decay_steps": 8, "decay_rate": 0.5, "staircase": True},
    )

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __post_init__(self) -> None:
        _check_steps("decay_steps", self.decay_steps)

    def periods(self, iteration: int) -> int:
        return whole_periods(iteration, self.decay_steps)

    def __call__(self, iteration: int, like: Array) -> Array:
        p = _elapsed(iteration, self.decay_steps, like)
        if self.staircase:
            p = number_like(self.periods(iteration), like)
        return self.initial_learning_rate / (1 + self.decay_rate * p)  # (1)


def _cosine(start: float, alpha: Any, p: Array, factor: Array | float = 1.0) -> Array:
    """start ((1 − α) factor ½ (1 + cos πp) + α): from factor to α as p goes from 0 to 1."""
    return start * ((1 - alpha) * (0.5 * factor * (1 + np.cos(np.pi * p))) + alpha)


@dataclass(frozen=True, eq=False, repr=False)
class CosineDecay(Schedule):
    r"""Half a period of a cosine, after an optional linear warm-up of W steps.

    Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5; the warm-up as in Goyal et al.
    2017, arXiv:1706.02677, section 2.2.

    (1) n < W: η_n = η₀ + (target − η₀) n / W
    (2) then η_n = start ((1 − α) ½ (1 + cos πp) + α) with p = min(n − W, d) / d; start is the
        target, or η₀ where there is no warm-up
    """

    name: ClassVar[str] = "cosine_decay"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"initial_learning_rate": 0.1, "decay_steps": 40},
        {
            "initial_learning_rate": 0.01,
            "decay_steps": 30,
            "alpha": 0.1,
            "warmup_target": 0.1,
            "warmup_steps": 7,
        },
    )

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _check_steps("decay_steps", self.decay_steps)
        if not 0 <= self.warmup_steps < float("inf"):
            raise ValueError(
                f"warmup_steps: got {self.warmup_steps}, expected a number of steps, 0 for no "
                f"warm-up."
            )

    def __call__(self, iteration: int, like: Array) -> Array:
        start, warmup = self.initial_learning_rate, 0
        if self.warmup_target is not None:
            start, warmup = self.warmup_target, self.warmup_steps
            if iteration < warmup:
                first = number_like(self.initial_learning_rate, like)
                rise = number_like(start, like) - first
                return rise * _elapsed(iteration, warmup, like) + first  # (1)
        done = min(iteration - warmup, self.decay_steps)
        p = number_like(done, like) / number_like(self.decay_steps, like)
        return _cosine(start, self.alpha, p)  # (2)


@dataclass(frozen=True, eq=False, repr=False)
class CosineDecayRestarts(Schedule):
    r"""Half a period of a cosine, again and again, each period longer than the one before.

    Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5 and section 3.

    (1) the i-th period takes t_mul^i of the first and starts after Σ_{j<i} t_mul^j of it
    (2) p = (n/d − Σ_{j<i} t_mul^j) / t_mul^i is the part of the period that has passed: 0 at a
        restart, and never 1
    (3) η_n = η₀ ((1 − α) m_mul^i ½ (1 + cos πp) + α)
    """

    name: ClassVar[str] = "cosine_decay_restarts"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"initial_learning_rate": 0.1, "first_decay_steps": 8},
        {
            "initial_learning_rate": 0.1,
            "first_decay_steps": 8,
            "t_mul": 1.0,
            "m_mul": 0.5,
            "alpha": 0.1,
        },
    )

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        _check_steps("first_decay_steps", self.first_decay_steps)
        if not self.t_mul >= 1:
            raise ValueError(f"t_mul: got {self.t_mul}, expected 1 or more.")

    def periods(self, iteration: int) -> int:
        return whole_periods(iteration, self.first_decay_steps, self.t_mul)

    def __call__(self, iteration: int, like: Array) -> Array:
        restarts = self.periods(iteration)  # (1)
        t_mul = number_like(self.t_mul, like)
        power = np.power(t_mul, restarts)
        earlier = restarts if self.t_mul == 1 else (1 - power) / (1 - t_mul)  # geometric series
        p = (_elapsed(iteration, self.first_decay_steps, like) - earlier) / power  # (2)
        factor = np.power(number_like(self.m_mul, like), restarts)
        return _cosine(self.initial_learning_rate, number_like(self.alpha, like), p, factor)  # (3)


SCHEDULES = family(Schedule, globals())
