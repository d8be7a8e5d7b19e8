"""What every optimizer is: slots for each weight, shared numbers, and a step that updates both.

The optimizers themselves follow ``descent``, whose options they share.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from manual_backprop.catalogue import Catalogued
from manual_backprop.typing import Array

Slots: TypeAlias = dict[str, Array]


@dataclass
class State:
    """What an optimizer remembers between steps.

    Attributes:
        slots: for each weight its named arrays. shared: named numbers of all weights together.
        names: the weights' names, by which some of them can be treated differently.
        shapes: the weights' shapes.
        iterations: how many gradients it has been given; with accumulation more than updates.
        counts: whole numbers besides that.
    """

    slots: list[Slots]
    shared: Slots
    names: tuple[str, ...]
    shapes: list[tuple[int, ...]]
    iterations: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Snapshot(NamedTuple):
    """Weights and state at one time.

    Attributes:
        stages: of an update in stages, which Muon's is, what each gave, by the weight's name.
    """

    weights: list[Array]
    state: State
    stages: dict[str, list[Array]] = {}  # noqa: RUF012 - never changed


class Step(NamedTuple):
    """What one update of one weight needs to know besides its gradient.

    Attributes:
        number: t, 1 for the first update. learning_rate: η of this step.
        shared: see ``State``. name: of the weight.
    """

    number: int
    learning_rate: Any
    shared: Slots
    name: str = ""


def zeros(weight: Array) -> Array:
    """A slot of the weight's shape and dtype, filled with zeros."""
    return np.zeros_like(weight)


class Optimizer(Catalogued):
    """Changes weights in place, given the gradient of the loss for each of them.

    An optimizer serves one list of weights; what it remembers of them is in ``state``, which is
    None before the first step.
    """

    state: State | None = None

    def apply(
        self, gradients: Sequence[Array], weights: Sequence[Array], names: Sequence[str] = ()
    ) -> None:
        """Update every weight in place.

        Args:
            gradients, weights: one for each, of the same shape.
            names: the weights' names, which matter where an argument refers to them.

        Raises:
            ValueError: if the gradients are not one for each weight, of the same shape, or if
                the weights are not those that the optimizer has served before.
        """
        check_gradients(gradients, weights)
        if self.state is None:
            self.state = self.initial_state(weights, names)
        elif [np.shape(w) for w in weights] != self.state.shapes:
            raise ValueError(
                f"weights: have the shapes {[np.shape(w) for w in weights]}, but this optimizer "
                f"has served {self.state.shapes}; make a new one for another model."
            )
        self.step(gradients, weights, self.state)

    def initial_state(self, weights: Sequence[Array], names: Sequence[str] = ()) -> State:
        """The state before the first step on these weights."""
        raise NotImplementedError

    def step(self, gradients: Sequence[Array], weights: Sequence[Array], state: State) -> None:
        """One step on weights and state, in place; the gradients are left as they are."""
        raise NotImplementedError

    @property
    def scale(self) -> float:
        """What the loss is to be multiplied by before its gradients are taken."""
        return 1.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimizer:
        made = copy.copy(self)
        made.state = copy.deepcopy(self.state, memo)
        return made

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.shown_arguments.items())
        return f"{type(self).__name__}({given})"

    @property
    def shown_arguments(self) -> dict[str, Any]:
        """The arguments that ``repr`` shows."""
        return self.unusual_arguments


def check_gradients(gradients: Sequence[Array], weights: Sequence[Array]) -> None:
    """Raise ``ValueError`` unless there is one gradient for each weight, of its shape."""
    check_count(gradients, weights)
    for index, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
        if np.shape(gradient) != np.shape(weight):
            raise ValueError(
                f"gradients[{index}]: has shape {np.shape(gradient)}, expected "
                f"{np.shape(weight)}, the shape of weights[{index}]."
            )


def check_count(gradients: Sequence[Array], weights: Sequence[Array]) -> None:
    """Raise ``ValueError`` unless there are as many gradients as weights."""
    if len(gradients) != len(weights):
        raise ValueError(
            f"gradients: got {len(gradients)}, expected {len(weights)}, one for each weight in "
            f"the order of model.weights."
        )
