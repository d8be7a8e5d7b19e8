"""Faults of gradient descent, of the adaptive optimizers and of those that see whole weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from agreement.faults.updates.site import NOT_FINITE, wrong_update
from manual_backprop.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Ftrl,
    Lion,
    LossScaleOptimizer,
    Muon,
    RMSprop,
    State,
    Step,
)
from manual_backprop.optimizers.base import Slots
from manual_backprop.typing import Array

MOMENTUM: dict[str, Any] = {"learning_rate": 0.1, "momentum": 0.9}


@wrong_update("momentum", **MOMENTUM)
class SgdVelocityWithoutLearningRate(SGD):
    """You scale the velocity when it is used, as PyTorch does, not the gradient that enters it."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        velocity = slots["momentum"]
        velocity[...] = self.momentum * velocity - gradient
        weight += step.learning_rate * velocity


@wrong_update("momentum", **MOMENTUM)
class SgdVelocityAveraged(SGD):
    """You average: (1 − μ) of the gradient enters the velocity, not all of it."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update((1 - self.momentum) * gradient, weight, slots, step)


@wrong_update(nesterov=True, **MOMENTUM)
class NesterovWithoutLookAhead(SGD):
    """You add the velocity itself: nesterov changes nothing."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        plain = dataclasses.replace(self, nesterov=False)
        SGD.update(plain, gradient, weight, slots, step)


@wrong_update(nesterov=True, step=2, **MOMENTUM)
class NesterovWithOldVelocity(SGD):
    """You look ahead along the velocity of before its update."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        old, before = slots["momentum"].copy(), weight.copy()
        super().update(gradient, weight, slots, step)
        descent = step.learning_rate * gradient
        weight[...] = before + self.momentum * (old - descent) - descent


@wrong_update()
class LionSlotBeforeUse(Lion):
    """You update m first and take the sign of what comes out, which has mixed in less of g."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        m = slots["momentum"]
        mixed = self.beta_1 * m - (1 - self.beta_1) * gradient
        weight[...] = before - step.learning_rate * np.sign(mixed)


@wrong_update("momentum")
class LionOneRateForBoth(Lion):
    """You keep in m what the sign was taken of: β₁ where β₂ belongs."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(gradient, weight, slots, step)
        beta = self.beta_1
        slots["momentum"][...] = (1 - beta) / (1 - self.beta_2) * slots["momentum"]


@wrong_update(epsilon=1e-2)
class RmspropEpsilonOutsideRoot(RMSprop):
    """You add epsilon to the root, as in Adam, not to what it is the root of."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        velocity = slots["velocity"]
        velocity[...] = self.rho * velocity + (1 - self.rho) * np.square(gradient)
        weight -= step.learning_rate * gradient / (np.sqrt(velocity) + self.epsilon)


@wrong_update(epsilon=1e-2)
class RmspropSlotAfterUse(RMSprop):
    """You divide by the mean of before this gradient."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        old, before = slots["velocity"].copy(), weight.copy()
        super().update(gradient, weight, slots, step)
        weight[...] = before - step.learning_rate * gradient / np.sqrt(old + self.epsilon)


@wrong_update(epsilon=1e-2, centered=True)
class RmspropVarianceWithPlus(RMSprop):
    """You add the square of the mean to the mean of the squares."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        size = slots["velocity"] + np.square(slots["average_gradient"])
        weight[...] = before - step.learning_rate * gradient / np.sqrt(size + self.epsilon)


@wrong_update()
class AdagradSlotAfterUse(Adagrad):
    """You divide by the sum of before this gradient."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        old, before = slots["accumulator"].copy(), weight.copy()
        super().update(gradient, weight, slots, step)
        weight[...] = before - step.learning_rate * gradient / np.sqrt(old + self.epsilon)


@wrong_update("accumulator")
class AdagradAverages(Adagrad):
    """You let the sum forget, as RMSprop does."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        slots["accumulator"] *= 0.9
        super().update(gradient, weight, slots, step)


@wrong_update("accumulated_delta_var", learning_rate=1.0)
class AdadeltaRemembersGradients(Adadelta):
    """You remember the squares of the gradients as those of the steps, too."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(gradient, weight, slots, step)
        slots["accumulated_delta_var"][...] = slots["accumulated_grad"]


@wrong_update("accumulated_delta_var", learning_rate=1.0)
class AdadeltaRootMissing(Adadelta):
    """You divide by the mean of squares itself: its root is missing."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        squares, moves = slots["accumulated_grad"], slots["accumulated_delta_var"]
        squares[...] = self.rho * squares + (1 - self.rho) * np.square(gradient)
        delta = -(np.sqrt(moves + self.epsilon) * gradient / (squares + self.epsilon))
        moves[...] = self.rho * moves + (1 - self.rho) * np.square(delta)
        weight += step.learning_rate * delta


@wrong_update("velocity")
class AdafactorMeanOfRowsMissing(Adafactor):
    """You multiply rows and columns without dividing by the mean of all."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(gradient, weight, slots, step)
        if weight.ndim > 1:
            slots["velocity"][...] = slots["row"][..., None] * slots["column"][..., None, :]


@wrong_update(clip_threshold=0.5, learning_rate=0.05)
class AdafactorUnclipped(Adafactor):
    """You do not clip the update by its root mean square."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        free = dataclasses.replace(self, clip_threshold=1e6)
        Adafactor.update(free, gradient, weight, slots, step)


@wrong_update(learning_rate=0.05)
class AdafactorStepsAreAbsolute(Adafactor):
    """You take steps of η, whatever the size of the weight."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        absolute = dataclasses.replace(self, epsilon_2=1.0)
        Adafactor.update(absolute, gradient, weight, slots, step)


@wrong_update("linear", learning_rate=0.1)
class FtrlSumBeforeUse(Ftrl):
    """You update n before you compute σ from its growth, which is 0 then."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        expected = slots["linear"] + gradient
        super().update(gradient, weight, slots, step)
        slots["linear"][...] = expected


@wrong_update(learning_rate=0.1, l1_regularization_strength=0.5)
class FtrlThresholdMissing(Ftrl):
    """You divide z by q without the soft threshold."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        free = dataclasses.replace(self, l1_regularization_strength=0.0)
        Ftrl.update(free, gradient, weight, slots, step)


@wrong_update("iterate_1")
class MuonQuinticTermMissing(Muon):
    """You iterate a x + b (x xᵀ) x: the term of fifth order is missing."""

    def iterated(self, x: Array) -> Array:
        return self.muon_a * x + (self.muon_b * (x @ x.T)) @ x


@wrong_update("iterate_0")
class MuonLargestForNorm(Muon):
    """You divide by the largest number, which does not keep singular values below 1."""

    def length(self, x: Array) -> Array:
        return np.max(np.abs(x))


@wrong_update(rms_rate=0.2)
class MuonShortSideForLong(Muon):
    """You scale the step by the root of the shorter side."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        if self.is_orthogonalised(weight, step.name):
            factor = float(np.sqrt(min(weight.shape) / max(weight.shape)))
            weight[...] = before + factor * (weight - before)


@wrong_update("dynamic_scale", step=2, gradients=NOT_FINITE, inner_optimizer=SGD(0.1, 0.9))
class LossScaleStaysWhenInfinite(LossScaleOptimizer):
    """You skip the step of an infinite gradient, and forget to halve the scale."""

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        if self.all_finite(gradients):
            super().step(gradients, weights, state)
        else:
            state.counts["step_counter"] = 0


@wrong_update(
    "step_counter", step=2, inner_optimizer=SGD(0.1), initial_scale=64.0, dynamic_growth_steps=2
)
class LossScaleCountsOn(LossScaleOptimizer):
    """You double the scale and do not start counting anew."""

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        count = state.counts["step_counter"] + 1
        super().step(gradients, weights, state)
        state.counts["step_counter"] = count


# -- the options of all -------------------------------------------------------------------


@wrong_update(global_clipnorm=0.7, learning_rate=0.1)
class GlobalNormOfEachWeight(SGD):
    """You clip each gradient by its own norm, where the norm of all together belongs."""

    def clipped(self, gradients: Sequence[Array]) -> Sequence[Array]:
        assert self.global_clipnorm is not None
        return [g * self.shrinking([g], self.global_clipnorm) for g in gradients]


@wrong_update(clipnorm=0.5, learning_rate=0.1)
class ClipnormOfLargest(SGD):
    """You compare the largest number with the limit, where the norm belongs."""

    def shrinking(self, gradients: Sequence[Array], limit: float) -> Array:
        largest = np.max(np.abs(gradients[0]))
        return limit / np.maximum(largest, limit)


@wrong_update(clipvalue=0.3, learning_rate=0.1)
class ClipvalueFromAboveOnly(SGD):
    """You clip with a minimum, so that negative gradients stay as they are."""

    def clipped(self, gradients: Sequence[Array]) -> Sequence[Array]:
        assert self.clipvalue is not None
        return [np.minimum(g, self.clipvalue) for g in gradients]


@wrong_update("average", use_ema=True, ema_momentum=0.8, learning_rate=0.1)
class AverageStartsFromZero(SGD):
    """You average from the zeros that the slot holds at first."""

    def average(self, weight: Array, slots: Slots, done: int) -> None:
        super().average(weight, slots, done + 1)


@wrong_update(step=3, gradient_accumulation_steps=3, learning_rate=0.1)
class AccumulatedSum(SGD):
    """You step along the sum of the accumulated gradients, not along their mean."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(3 * gradient, weight, slots, step)


@wrong_update(loss_scale_factor=16.0, learning_rate=0.1)
class ScaledGradientUsed(SGD):
    """You multiply the loss and do not divide the gradients."""

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        self.update_all(gradients, weights, state)
