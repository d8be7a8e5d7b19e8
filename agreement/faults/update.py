"""Faults of the update: the gradients are right, and the weights after a step are not."""

from __future__ import annotations

from agreement.faults.sites import faults_in, in_update
from manual_backprop.optimizers import SGD, Step
from manual_backprop.optimizers.base import Slots
from manual_backprop.typing import Array


@in_update("signs", "W update")
class UpdateAdded(SGD):
    """You add the gradient, which climbs."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        weight += self.learning_rate * gradient


@in_update("factors", "W update")
class LearningRateMissing(SGD):
    """You subtract the gradient itself, without the learning rate."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        weight -= gradient


@in_update("factors", "W update")
class LearningRateTwice(SGD):
    """You scale the gradient by the learning rate before an update that does so too."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(self.learning_rate * gradient, weight, slots, step)


@in_update("wiring", "W update")
class UpdateOfCopy(SGD):
    """You wrote w = w − η g, which makes a new array and leaves the model's own as it was."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        weight = weight - self.learning_rate * gradient


@in_update("biases", "b update")
class BiasesNotUpdated(SGD):
    """You update the matrices and forget the biases."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        if weight.ndim == 2:
            super().update(gradient, weight, slots, step)


@in_update("factors", "W update")
class UpdateHalved(SGD):
    """You average the gradient with the zeros that the momentum buffer starts from."""

    def update(self, gradient: Array, weight: Array, slots: Slots, step: Step) -> None:
        super().update(gradient / 2, weight, slots, step)


UPDATE = faults_in(globals())
