"""One ReLU neuron: forward, hand-derived backward, and one step of gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manual_backprop.typing import Array


class NeuronGradients(NamedTuple):
    """The gradients of a neuron: (inputs,), (inputs,) and a scalar."""

    grad_inputs: Array
    grad_W: Array
    grad_b: float


@dataclass(frozen=True)
class Neuron:
    r"""y = max(z, 0) with z = Σ_i x_i w_i + b.

    (1) ∂y/∂z = 1 for z > 0, else 0; the 0 at the kink z = 0 is a choice
    (2) ∂z/∂x_i = w_i
    (3) ∂z/∂w_i = x_i
    (4) ∂z/∂b = 1
    (5) each gradient is grad_y · ∂y/∂z times one of (2), (3), (4)

    Attributes:
        W: weights of shape (inputs,).
        b: the bias, a scalar.
    """

    W: Array
    b: float

    def pre_activation(self, inputs: Array) -> float:
        """z for inputs of shape (inputs,)."""
        return float(inputs @ self.W + self.b)

    def forward(self, inputs: Array) -> float:
        """y for inputs of shape (inputs,)."""
        return max(self.pre_activation(inputs), 0.0)

    def backward(self, grad_output: float, inputs: Array) -> NeuronGradients:
        """Pull the gradient with respect to y back to the inputs, the weights and the bias."""
        grad_z = grad_output * (self.pre_activation(inputs) > 0)  # (1)
        return NeuronGradients(grad_z * self.W, grad_z * inputs, grad_z)  # (5)

    def step(self, gradients: NeuronGradients, learning_rate: float) -> Neuron:
        """The neuron after one step downhill: w − learning_rate · grad_w, and so for b."""
        return Neuron(
            self.W - learning_rate * gradients.grad_W, self.b - learning_rate * gradients.grad_b
        )


def line_backward(grad_output: Array | float) -> Array | float:
    """Pull a gradient back through y = 2x + 3, elementwise: (1) ∂y/∂x = 2, whatever x is."""
    return grad_output * 2  # (1)


def main() -> None:
    """Print every figure of the example."""
    neuron, inputs = Neuron(np.array([-3.0, -1.0, 2.0]), 1.0), np.array([1.0, -2.0, 3.0])
    print("pre-activation", neuron.pre_activation(inputs))
    print("output        ", neuron.forward(inputs))
    gradients = neuron.backward(1.0, inputs)
    for name, gradient in gradients._asdict().items():
        print(f"{name:14}", gradient)
    stepped = neuron.step(gradients, learning_rate=0.001)
    print("after one step of 0.001: W", stepped.W, "b", stepped.b)
    print("output        ", round(stepped.forward(inputs), 12))
    print("d(2x + 3)/dx  ", line_backward(1.0))


if __name__ == "__main__":
    main()
