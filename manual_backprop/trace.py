"""The record that manual code, references and bounds all fill in, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from manual_backprop.typing import Array

FORWARD_TENSORS = ("inputs", "pre_activation", "output")
BACKWARD_TENSORS = ("grad_output", "grad_pre_activation", "grad_inputs")


class TensorName(NamedTuple):
    """Which tensor of a trace: the layer (empty for the loss) and the tensor's own name."""

    layer: str
    tensor: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.tensor}" if self.layer else self.tensor


@dataclass
class LayerTrace:
    """What one layer saw in one pass, forward and backward; all (batch, ·).

    None marks what does not exist: a layer without an inner pre-activation, or the
    gradient with respect to probabilities when the loss is fused with the softmax.
    """

    name: str
    inputs: Array | None = None
    pre_activation: Array | None = None
    output: Array | None = None
    grad_output: Array | None = None
    grad_pre_activation: Array | None = None
    grad_inputs: Array | None = None


@dataclass
class Trace:
    """One forward and backward pass: loss, every layer's tensors, a gradient per weight.

    ``gradients`` are in the order of the model's ``weights`` and ``gradient_names`` says
    which is which; a layer that is used twice has its gradients summed. ``fused`` records
    the path that the loss took (see ``manual_backprop.losses``). ``excess_precision`` is set
    by a witness whose steps may use a number before it is rounded to what is stored here.
    ``abstains`` is set by a witness whose NaN in a gradient means that it has no opinion, and
    ``projections`` hold, for gradients that it cannot give whole, random directions
    (count, *shape) and the derivative along each. ``complaints`` say what a pass did that no
    tensor shows: arrays of the caller changed, gradients of the wrong number.
    """

    layers: list[LayerTrace]
    loss: Array | None = None
    fused: bool = False
    excess_precision: bool = False
    abstains: bool = False
    gradients: list[Array] = field(default_factory=list)
    gradient_names: list[TensorName] = field(default_factory=list)
    projections: dict[TensorName, tuple[Array, Array]] = field(default_factory=dict)
    complaints: dict[TensorName, str] = field(default_factory=dict)

    @property
    def predictions(self) -> Array | None:
        """The last layer's output, (batch, outputs)."""
        return self.layers[-1].output

    def tensors(self) -> Iterator[tuple[TensorName, Array]]:
        """Every tensor that exists, by name, in the order in which it is computed.

        A layer that stands in several places is told apart by place: dense_1[2] is the second
        layer of the model. Its weights' gradients come with the last place to contribute.
        """
        labels = self.labels()
        for layer, label in zip(self.layers, labels, strict=True):
            for name in FORWARD_TENSORS:
                yield from _present(layer, label, name)
        if self.loss is not None:
            yield TensorName("", "loss"), self.loss
        gradients = dict(zip(self.gradient_names, self.gradients, strict=False))
        first_place = {layer.name: place for place, layer in reversed([*enumerate(self.layers)])}
        for place, layer in reversed([*enumerate(self.layers)]):
            for name in BACKWARD_TENSORS[:2]:
                yield from _present(layer, labels[place], name)
            if first_place[layer.name] == place:
                yield from ((k, v) for k, v in gradients.items() if k.layer == layer.name)
            yield from _present(layer, labels[place], BACKWARD_TENSORS[2])

    def labels(self) -> list[str]:
        """The layers' names, with the place where a layer stands in several."""
        names = [layer.name for layer in self.layers]
        return [
            name if names.count(name) == 1 else f"{name}[{place}]"
            for place, name in enumerate(names, start=1)
        ]


def _present(layer: LayerTrace, label: str, name: str) -> Iterator[tuple[TensorName, Array]]:
    array = getattr(layer, name)
    if array is not None:
        yield TensorName(label, name), array
