"""What a planted fault is, and where the judge should find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.optimizers import Optimizer
from manual_backprop.trace import TensorName
from manual_backprop.typing import Array

FAMILIES = (
    "factors",
    "signs",
    "transposes",
    "masks",
    "activation derivatives",
    "softmax",
    "cross-entropy",
    "biases",
    "wiring",
    "state",
    "batching",
    "precision",
)

# The gradient that a loss hands to the model; its name depends on the path, see ``location``.
LOSS_GRADIENT = "the loss's gradient"

Positions: TypeAlias = Callable[[NaiveSequential, Loss], list[int]]
Plant: TypeAlias = Callable[[NaiveSequential, Loss, int], Loss]
Prepare: TypeAlias = Callable[[NaiveSequential, Array, Array, Loss], None]


@dataclass(frozen=True)
class Fault:
    """A small wrong variant of a backward pass, a loss or an update that people really write.

    Attributes:
        name: in kebab-case. family: one of ``FAMILIES``.
        sentence: how it happens, to the person who made it.
        tensor: the first tensor that it makes wrong.
        positions: the layers of a model and loss at which it can be planted and, on general
            numbers and more than one sample, changes something.
        plant: alters the model in place, at one of those positions; returns the loss to use.
        prepare: for a fault that shows after an earlier use only, makes that use of the
            planted model, given the inputs, targets and loss of the check to come.
        optimizer: for a fault in the update, the faulty optimizer of a learning rate.
        at_kink: whether it shows at a kink only, so that smooth numbers all but never meet it.
    """

    name: str
    family: str
    sentence: str
    tensor: str
    positions: Positions
    plant: Plant
    prepare: Prepare | None = None
    optimizer: Callable[[float], Optimizer] | None = None
    at_kink: bool = False

    def location(self, model: NaiveSequential, loss: Loss, position: int) -> TensorName:
        """Where the judge should put the fault that was planted at ``position``.

        A tensor between two layers is named after the layer that computes it: the upstream
        gradient of a layer is the gradient with respect to the inputs of the one above.
        """
        last = len(model.layers) - 1
        if self.tensor == "loss":
            return TensorName("", "loss")
        if self.tensor == LOSS_GRADIENT:
            fused = loss.is_fused_with(model.output_activation)
            tensor = "grad_pre_activation" if fused else "grad_output"
            return TensorName(model.names[last], tensor)
        if self.tensor == "grad_output" and position < last:
            return TensorName(model.names[position + 1], "grad_inputs")
        return TensorName(model.names[position], self.tensor)
