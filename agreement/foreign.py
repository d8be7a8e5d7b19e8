"""Gradients, arrays and layers from elsewhere: other layouts, other classes, other programs.

:class:`Layout` says how another program lays out its numbers, :class:`SumOverSamples` what it
differentiates when it does not average, and :func:`wrap` makes a layer of any object that has a
forward and a backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.catalogue import unknown_name
from manual_backprop.losses import Loss
from manual_backprop.optimizers import check_count
from manual_backprop.typing import Array
from manual_backprop.validation import as_numbers

CHOICES = {
    "weights": ("in_out", "out_in"),
    "samples": ("rows", "columns"),
    "reduction": ("mean", "sum"),
}

# Attributes by name, or a function from the wrapped object to its arrays.
Arrays: TypeAlias = Sequence[str] | Callable[[Any], Sequence[Array]]


@dataclass(frozen=True)
class Layout:
    """How another program lays out its numbers; the defaults are those of this project.

    Attributes:
        weights: "in_out" for kernels (inputs, outputs), as in x W; "out_in" for W x. Their
            gradients are laid out alike. Biases may be (n,), (1, n) or (n, 1) in either.
        samples: "rows" for inputs (batch, features); "columns" for (features, batch), and
            then labels with two axes are (outputs, batch) as well.
        reduction: "mean" for gradients of the loss averaged over the samples; "sum" for
            gradients of its sum over the samples, which are larger by their number.

    Raises:
        ValueError: for any other choice.
    """

    weights: str = "in_out"
    samples: str = "rows"
    reduction: str = "mean"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            given = getattr(self, name)
            if given not in choices:
                raise unknown_name(f"layout.{name}", given, choices)

    def as_rows(self, argument: str, batch: object) -> Array:
        """A batch, or its labels, with one sample in each row."""
        array = as_numbers(argument, batch)
        return array.T if self.samples == "columns" and array.ndim == 2 else array

    def row_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that ``as_rows`` gives."""
        return shape[::-1] if self.samples == "columns" and len(shape) == 2 else shape

    def kernel_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(inputs, outputs) of a kernel of this layout, or the other way round."""
        return shape[::-1] if self.weights == "out_in" and len(shape) == 2 else shape

    def as_weight(self, argument: str, given: object, shape: tuple[int, ...]) -> Array:
        """A weight or its gradient, (inputs, outputs) or (n,), from one in this layout.

        Raises:
            ValueError: naming ``argument``, if the shape is not one for ``shape``.
        """
        array = as_numbers(argument, given)
        accepted = bias_shapes(shape[0]) if len(shape) == 1 else (self.kernel_shape(shape),)
        if array.shape not in accepted:
            raise ValueError(
                f"{argument}: has shape {array.shape}, expected {' or '.join(map(str, accepted))}"
                f"{', with weights laid out ' + self.weights if len(shape) == 2 else ''}."
            )
        if len(shape) == 1:
            return array.reshape(shape)
        return array.T if self.weights == "out_in" and len(shape) == 2 else array

    def as_gradients(self, gradients: Sequence[object], weights: Sequence[Array]) -> list[Array]:
        """One gradient for each weight, of its shape, in its own dtype; NaN is welcome.

        Raises:
            ValueError, TypeError: for a wrong number of them, or naming ``gradients[i]``.
        """
        if isinstance(gradients, np.ndarray) or not isinstance(gradients, Sequence):
            raise TypeError(
                f"gradients: got {type(gradients).__name__}, expected a list of arrays, one for "
                f"each weight in the order of model.weights."
            )
        check_count(gradients, weights)
        return [
            self.as_weight(f"gradients[{index}]", gradient, np.shape(weight))
            for index, (gradient, weight) in enumerate(zip(gradients, weights, strict=True))
        ]


OURS = Layout()


def bias_shapes(size: int) -> tuple[tuple[int, ...], ...]:
    """The shapes in which programs keep a bias."""
    return ((size,), (1, size), (size, 1))


class SumOverSamples(Loss):
    r"""Another loss, summed over the samples instead of averaged: Keras' reduction="sum".

    (1) the mean is (1/N) Σ_n loss_n, so the sum is N times that, and so are its gradients
    """

    def __init__(self, loss: Loss) -> None:
        self.averaged = loss
        self.path = loss.path

    def is_fused_with(self, activation_name: str) -> bool:
        return self.averaged.is_fused_with(activation_name)

    def forward(self, predictions: Array, targets: Array) -> Array:
        return self.averaged.forward(predictions, targets) * len(targets)  # (1)

    def backward(self, predictions: Array, targets: Array) -> Array:
        return self.averaged.backward(predictions, targets) * len(targets)  # (1)

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        return self.averaged.forward_from_logits(logits, targets) * len(targets)  # (1)

    def backward_from_logits(
        self, predictions: Array, targets: Array, logits: Array | None = None
    ) -> Array:
        grad = self.averaged.backward_from_logits(predictions, targets, logits)
        return grad * len(targets)  # (1)

    def __repr__(self) -> str:
        return f"sum of {self.averaged!r}"


class Wrapped:
    """A layer for ``NaiveSequential`` made of another object; see :func:`wrap`."""

    def __init__(
        self,
        subject: object,
        forward: str,
        backward: str,
        weights: Arrays,
        gradients: Arrays,
        output: str | None,
        grad_inputs: str | None,
        samples: str,
    ) -> None:
        self.subject = subject
        self._forward, self._backward = forward, backward
        self._weights, self._gradients = weights, gradients
        self._output, self._grad_inputs = output, grad_inputs
        self._columns = samples == "columns"
        self.gradients: list[Array] = []

    @property
    def weights(self) -> list[Array]:
        """The object's own arrays, not copies."""
        return _arrays(self.subject, self._weights)

    @property
    def weight_names(self) -> list[str]:
        """The names of ``weights``, in the same order."""
        if callable(self._weights):
            return [f"weight_{index}" for index in range(len(self.weights))]
        return list(self._weights)

    def forward(self, inputs: Array) -> Array:
        """The object's forward pass."""
        return self._run(self._forward, inputs, self._output, "output")

    def backward(self, grad_output: Array) -> Array:
        """The object's backward pass; its gradients are read afterwards."""
        grad_inputs = self._run(self._backward, grad_output, self._grad_inputs, "grad_inputs")
        self.gradients = _arrays(self.subject, self._gradients)
        return grad_inputs

    def _run(self, method: str, argument: Array, attribute: str | None, option: str) -> Array:
        given = argument.T if self._columns else argument
        result = getattr(self.subject, method)(given)
        if attribute is not None:
            result = getattr(self.subject, attribute)
        if result is None:
            kind = type(self.subject).__name__
            raise ValueError(
                f"{kind}.{method}: returned None; if it stores its result instead, name that "
                f"attribute, as in wrap(layer, {option}='…')."
            )
        return result.T if self._columns else result

    def __repr__(self) -> str:
        return f"wrap({type(self.subject).__name__})"


def wrap(
    subject: object,
    *,
    forward: str = "forward",
    backward: str = "backward",
    weights: Arrays = (),
    gradients: Arrays = (),
    output: str | None = None,
    grad_inputs: str | None = None,
    samples: str = "rows",
) -> Wrapped:
    """Make a layer of any object with a forward and a backward, for use in ``NaiveSequential``.

    The object is used as it is: give ``NaiveSequential([wrap(a), wrap(b)])`` to ``check`` with
    ``against=["dual"]``, which needs no Keras twin. A whole network can be wrapped as one layer.

    Args:
        forward, backward: the names of the methods; each takes one array, and backward takes
            ∂loss/∂output.
        weights, gradients: the names of the attributes that hold the weights and, after
            backward, their gradients in the same order and shapes; or functions from the
            object to a list of arrays, such as ``lambda net: list(net.grads.values())``.
        output, grad_inputs: the attributes where forward and backward store their results, if
            they do not return them.
        samples: "columns" for an object whose batches are (features, batch).

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    kind = type(subject).__name__
    Layout(samples=samples)
    for argument, method in (("forward", forward), ("backward", backward)):
        if isinstance(subject, type) or not callable(getattr(subject, method, None)):
            shown = f"the class {subject.__name__}" if isinstance(subject, type) else kind
            raise TypeError(
                f"{argument}: {shown} has no method {method!r} to call; pass an object, and the "
                f"name of its method."
            )
    for argument, names in (("weights", weights), ("gradients", gradients)):
        if isinstance(names, str):
            raise TypeError(f"{argument}: got {names!r}, expected a list such as [{names!r}].")
    for index, weight in enumerate(_arrays(subject, weights)):
        shown = str(getattr(weight, "dtype", type(weight).__name__))
        if shown not in ("float32", "float64"):
            raise TypeError(
                f"weights[{index}]: {kind}'s is {shown}, expected an array of float32 or float64."
            )
    # A class of its own, so that reports call the layer by the name of what it wraps.
    layer = type(kind, (Wrapped,), {"__module__": __name__, "__qualname__": f"wrap.{kind}"})
    return layer(subject, forward, backward, weights, gradients, output, grad_inputs, samples)


def _arrays(subject: object, where: Arrays) -> list[Array]:
    if callable(where):
        return list(where(subject))
    missing = [name for name in where if not hasattr(subject, name)]
    if missing:
        raise ValueError(
            f"{type(subject).__name__}: has no attribute {missing[0]!r}; the names in weights= "
            f"and gradients= must be attributes, gradients once backward has run."
        )
    return [getattr(subject, name) for name in where]
