"""Activations: each a forward and, right below it, its hand-derived backward.

``backward(grad_output, inputs, output)`` pulls a gradient with respect to the output
back to the inputs. ``inputs`` is the pre-activation and ``output`` is ``forward(inputs)``;
a derivation uses whichever is the better conditioned. All shapes are (batch, units).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from manual_backprop import special
from manual_backprop.catalogue import family, resolve
from manual_backprop.typing import Array


class Activation:
    """A differentiable function of a layer's pre-activation.

    Subclasses set ``name`` (Keras' name, by which the twin is found) and ``kinks``: the
    points where the derivative jumps. The value chosen there is stated by each backward.
    """

    name: ClassVar[str]
    kinks: ClassVar[tuple[float, ...]] = ()

    def forward(self, inputs: Array) -> Array:
        """Map a pre-activation of shape (batch, units) to an output of the same shape."""
        raise NotImplementedError

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        """Return the gradient with respect to ``inputs``, of the same shape and dtype."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.name

    @property
    def arguments(self) -> dict[str, object]:
        """What the function was made with: the fields, where the class is a dataclass."""
        fields = getattr(self, "__dataclass_fields__", ())
        return {name: getattr(self, name) for name in fields}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.arguments == getattr(other, "arguments", None)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self.arguments.items())))


class Linear(Activation):
    r"""y = x. (1) ∂y/∂x = 1. No kinks."""

    name = "linear"

    def forward(self, inputs: Array) -> Array:
        return inputs

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output  # (1)


class Relu(Activation):
    r"""y = max(x, 0).

    (1) ∂y/∂x = 1 for x > 0, and 0 for x < 0
    (2) at the kink x = 0 the derivative is chosen to be 0, as Keras does
    """

    name = "relu"
    kinks = (0.0,)

    def forward(self, inputs: Array) -> Array:
        return np.maximum(inputs, 0)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (inputs > 0)  # (1); the strict > is (2)


class Sigmoid(Activation):
    r"""y = 1 / (1 + e⁻ˣ).

    (1) ∂y/∂x = e⁻ˣ / (1 + e⁻ˣ)²
    (2)       = y (1 − y), since 1 − y = e⁻ˣ / (1 + e⁻ˣ). No kinks.
    """

    name = "sigmoid"

    def forward(self, inputs: Array) -> Array:
        return special.sigmoid(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (output * (1 - output))  # (2)


class Tanh(Activation):
    r"""y = tanh x = sinh x / cosh x.

    (1) ∂y/∂x = (cosh² x − sinh² x) / cosh² x
    (2)       = 1 − y². No kinks.
    """

    name = "tanh"

    def forward(self, inputs: Array) -> Array:
        return np.tanh(inputs)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        return grad_output * (1 - output * output)  # (2)


class Softmax(Activation):
    r"""y_i = e^{x_i} / Σ_j e^{x_j}, rows independent; assumes nothing about the loss above.

    (1) subtracting max x from every x_i changes no y_i and keeps every exponent ≤ 0
    (2) ∂y_i/∂x_j = y_i (δ_ij − y_j)
    (3) grad_x_j = Σ_i grad_y_i ∂y_i/∂x_j = y_j (grad_y_j − Σ_i grad_y_i y_i)
    No kinks.
    """

    name = "softmax"

    def forward(self, inputs: Array) -> Array:
        exponentials = np.exp(inputs - inputs.max(axis=-1, keepdims=True))  # (1)
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def backward(self, grad_output: Array, inputs: Array, output: Array) -> Array:
        inner = (grad_output * output).sum(axis=-1, keepdims=True)  # the sum in (3)
        return output * (grad_output - inner)  # (3)


def softmax_jacobian(output: Array) -> Array:
    """The full Jacobian of softmax, for one row (classes,) or a batch (batch, classes).

    Equation (2) of :class:`Softmax`; shape (classes, classes) or (batch, classes, classes).
    ``Softmax.backward`` never forms it: contracting it costs classes² instead of classes.
    """
    diagonal = output[..., :, None] * np.eye(output.shape[-1], dtype=output.dtype)
    return diagonal - output[..., :, None] * output[..., None, :]


ACTIVATIONS = family(Activation, globals())


def get(activation: object) -> Activation:
    """An :class:`Activation` from its name, its class, an instance, or None for linear.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
        TypeError: for any other kind of object.
    """
    return resolve(
        "activation", "linear" if activation is None else activation, Activation, ACTIVATIONS
    )
