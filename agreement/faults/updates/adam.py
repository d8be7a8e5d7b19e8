"""Faults of Adam and its relatives: moments, bias corrections, epsilon and decay."""

from __future__ import annotations

import numpy as np

from agreement.faults.updates.site import wrong_update
from manual_backprop.optimizers import (
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Nadam,
    ScheduleFreeAdamW,
    Step,
)
from manual_backprop.optimizers.adam import share_of_mean
from manual_backprop.optimizers.base import Slots
from manual_backprop.optimizers.norms import number_like
from manual_backprop.special import root
from manual_backprop.typing import Array


@wrong_update(epsilon=1e-3)
class AdamEpsilonInsideRoot(Adam):
    """You add epsilon to v before the root, not to the root of v."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, v = self.update_moments(gradient, slots)
        mean = np.sqrt(share_of_mean(self.beta_2, step.number, weight))
        alpha = step.learning_rate * mean / share_of_mean(self.beta_1, step.number, weight)
        weight -= m * alpha / np.sqrt(v + self.epsilon)


@wrong_update()
class AdamBiasCorrectionMissing(Adam):
    """You divide the moments as they are, which have started from 0."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, v = self.update_moments(gradient, slots)
        weight -= m * step.learning_rate / (root(v) + self.epsilon)


@wrong_update()
class AdamStepsCountedFromTwo(Adam):
    """You count the step before the update and once more in it, so that t starts from 2."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        later = Step(step.number + 1, step.learning_rate, step.shared, step.name)
        super().update(gradient, weight, slots, later)


@wrong_update("velocity")
class AdamSquareOfMean(Adam):
    """You average the squares of m, the mean, where those of the gradient belong."""

    def update_moments(self, gradient: Array, slots: Slots) -> tuple[Array, Array]:
        m, v = slots["momentum"], slots["velocity"]
        m += (gradient - m) * (1 - self.beta_1)
        v += (np.square(m) - v) * (1 - self.beta_2)
        return m, v


@wrong_update("momentum")
class AdamRatesSwapped(Adam):
    """You took β₂ for the mean and β₁ for the squares."""

    def update_moments(self, gradient: Array, slots: Slots) -> tuple[Array, Array]:
        m, v = slots["momentum"], slots["velocity"]
        m += (gradient - m) * (1 - self.beta_2)
        v += (np.square(gradient) - v) * (1 - self.beta_1)
        return m, v


@wrong_update("velocity_hat", gradients="shrinking", amsgrad=True, beta_2=0.5, step=2)
class AmsgradForgetsTheLargest(Adam):
    """You store v itself where the largest v so far belongs."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        slots["velocity_hat"][...] = 0.0
        super().update(gradient, weight, slots, step)


@wrong_update("momentum", weight_decay=0.1)
class AdamwDecayInGradient(AdamW):
    """You add λ w to the gradient, as for SGD, so that the moments see the decay."""

    def decay(self, weight: Array, rate: float, name: str = "") -> None:
        pass

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        assert self.weight_decay is not None
        super().update(gradient + self.weight_decay * weight, weight, slots, step)


@wrong_update(weight_decay=0.1)
class AdamwDecayWithoutLearningRate(AdamW):
    """You subtract λ w, without the learning rate."""

    def decay(self, weight: Array, rate: float, name: str = "") -> None:
        super().decay(weight, 1.0, name)


@wrong_update(weight_decay=0.1, learning_rate=0.05)
class AdamwDecayAfterUpdate(AdamW):
    """You shrink the weight after its update, which shrinks the update too."""

    def decay(self, weight: Array, rate: float, name: str = "") -> None:
        pass

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(gradient, weight, slots, step)
        super().decay(weight, step.learning_rate)


@wrong_update("norm", step=2, beta_2=0.9)
class AdamaxNeverForgets(Adamax):
    """You take the maximum with u itself: β₂ is missing."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        largest = np.maximum(slots["norm"], np.abs(gradient))
        super().update(gradient, weight, slots, step)
        slots["norm"][...] = largest


@wrong_update()
class AdamaxBiasCorrectionOfBoth(Adamax):
    """You divide u by 1 − β₂^t as well: a maximum has no bias to correct."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        share = share_of_mean(self.beta_2, step.number, weight)
        weight[...] = before + (weight - before) * share


@wrong_update()
class NadamWithoutLookAhead(Nadam):
    """You take this step's momentum for m where the next step's belongs."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        now, product = self.scheduled(step.number, weight), step.shared["momentum_product"]
        m, v = slots["momentum"], slots["velocity"]
        m_hat = now * m / (1 - product * now) + (1 - now) * gradient / (1 - product)
        v_hat = v / share_of_mean(self.beta_2, step.number, weight)
        weight[...] = before - m_hat * step.learning_rate / (root(v_hat) + self.epsilon)


@wrong_update("momentum_product", step=2)
class NadamProductForgotten(Nadam):
    """You store this step's momentum where the product of all of them belongs."""

    def advance(self, step: Step) -> None:
        product = step.shared["momentum_product"]
        product[...] = self.scheduled(step.number, product)


@wrong_update("momentum")
class ScheduleFreeBiasCorrectionMissing(ScheduleFreeAdamW):
    """You divide by the root of v as it is, which has started from 0."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = slots["momentum"].copy()
        super().update(gradient, weight, slots, step)
        v, z = slots["velocity"], slots["momentum"]
        z[...] = before - step.learning_rate * gradient / (root(v) + self.epsilon)


@wrong_update()
class ScheduleFreeMeanCountsFromTwo(ScheduleFreeAdamW):
    """You give the newest z the weight 1/(t + 1) in the mean: its start counts as one of them."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        y, z = weight.copy(), slots["momentum"].copy()
        super().update(gradient, weight, slots, step)
        beta_1 = number_like(self.beta_1, weight)
        x, new_z = self.recovered(y, z, beta_1), slots["momentum"]
        x = x + (new_z - x) / (step.number + 1)
        weight[...] = (1 - beta_1) * new_z + beta_1 * x


@wrong_update()
class LambRatioInverted(Lamb):
    """You divide the norm of the direction by that of the weight."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        m, v = self.update_moments(gradient, slots)
        m_hat = m / share_of_mean(self.beta_1, step.number, weight)
        v_hat = v / share_of_mean(self.beta_2, step.number, weight)
        direction = m_hat / (root(v_hat) + self.epsilon)
        ratio = self.length(direction) / self.length(weight)
        weight -= ratio * step.learning_rate * direction


@wrong_update()
class LambRatioOfGradient(Lamb):
    """You compare the weight with the gradient, not with the direction that is taken."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        before = weight.copy()
        super().update(gradient, weight, slots, step)
        m_hat = slots["momentum"] / share_of_mean(self.beta_1, step.number, weight)
        v_hat = slots["velocity"] / share_of_mean(self.beta_2, step.number, weight)
        direction = m_hat / (root(v_hat) + self.epsilon)
        ratio = self.length(before) / self.length(gradient)
        weight[...] = before - ratio * step.learning_rate * direction
