"""``NaiveDense``: an affine map and an activation, with the backward written out.

A layer is split into two *steps*, affine and activation, so that each can be judged alone:
``forward`` is ``affine`` then ``activate``; ``backward`` is their mirror image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from manual_backprop import activations, initializers, regularizers
from manual_backprop.regularizers import Penalties
from manual_backprop.typing import Array, Initializer
from manual_backprop.validation import (
    as_count,
    as_dtype,
    as_finite,
    as_generator,
    as_inputs,
    as_numbers,
    is_foreign,
)


class NaiveDense:
    r"""output = activation(inputs @ W + b).

    Forward, for a batch of N samples, inputs (N, input_size):

    (1) z = x W + b, the pre-activation, (N, output_size)
    (2) y = a(z)

    Backward, with g = ∂loss/∂y given and ∂loss/∂z written d:

    (3) d = a′ applied to g (the activation's own derivation)
    (4) z_ni = Σ_k x_nk W_ki + b_i, so ∂loss/∂W_ki = Σ_n x_nk d_ni, that is xᵀ d
    (5) ∂loss/∂b_i = Σ_n d_ni: every sample adds to the one bias
    (6) ∂loss/∂x_nk = Σ_i d_ni W_ki, that is d Wᵀ

    Attributes:
        units: how many pre-activations; output_size: how many outputs, the same number but for
            an activation that makes one of two (glu).
        W: weights, (input_size, units). b: bias, (units,), or None.
        inputs, pre_activation, output: stored by the latest forward pass, which is the one
            that ``backward`` differentiates.
        gradients: [∂loss/∂W, ∂loss/∂b], in the order of ``weights``, set by ``backward``;
            each backward pass makes new arrays and starts from zero.

    Args:
        input_size, output_size: positive whole numbers, the latter being the units.
        activation: name, :class:`~manual_backprop.activations.Activation` or None (linear).
        use_bias: without it ``weights`` and ``gradients`` hold one array each.
        kernel_initializer, bias_initializer: a name from
            ``manual_backprop.initializers.INITIALIZERS`` or a callable.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties on W, b and the
            output, see ``manual_backprop.regularizers``; None for none.
        dtype: "float32" or "float64".
        seed: a whole number or a NumPy Generator; None draws anew each time.

    Raises:
        ValueError, TypeError: for any argument outside the above, by its name.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: object = None,
        *,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        dtype: DTypeLike = "float32",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.input_size = as_count("input_size", input_size)
        self.units = as_count("output_size", output_size)
        self.activation = activations.get(activation)
        self.output_size = self.activation.output_size(self.units)
        self.penalties = Penalties(
            regularizers.get("kernel_regularizer", kernel_regularizer),
            regularizers.get("bias_regularizer", bias_regularizer),
            regularizers.get("activity_regularizer", activity_regularizer),
        )
        self.dtype = as_dtype(dtype)
        generator = as_generator("seed", seed)
        shape = (self.input_size, self.units)
        draw_kernel = initializers.get("kernel_initializer", kernel_initializer)
        draw_bias = initializers.get("bias_initializer", bias_initializer)
        self.W: Array = _drawn("kernel_initializer", draw_kernel, shape, generator, self.dtype)
        self.b: Array | None = None
        if use_bias:
            self.b = _drawn("bias_initializer", draw_bias, shape[1:], generator, self.dtype)
        self._forget()

    @classmethod
    def from_weights(cls, W: object, b: object = None, activation: object = None) -> NaiveDense:
        """A layer with copies of the given weights: W (inputs, outputs), b (outputs,) or None.

        The dtype is W's if that is float32 or float64, and float32 otherwise.
        """
        given = as_numbers("W", W)
        dtype = given.dtype.newbyteorder("=")
        dtype = as_dtype(dtype if dtype in (np.float32, np.float64) else np.float32)
        kernel = as_finite("W", W, dtype)
        if kernel.ndim != 2 or kernel.size == 0:
            raise ValueError(f"W: has shape {kernel.shape}, expected (input_size, output_size).")
        bias = None if b is None else as_finite("b", b, dtype)
        if bias is not None and bias.shape != kernel.shape[1:]:
            raise ValueError(f"b: has shape {bias.shape}, expected {kernel.shape[1:]}.")
        return cls(
            kernel.shape[0],
            kernel.shape[1],
            activation,
            use_bias=b is not None,
            kernel_initializer=lambda *_: kernel,
            bias_initializer=lambda *_: bias,
            dtype=dtype,
        )

    def _forget(self) -> None:
        self.inputs: Array | None = None
        self.pre_activation: Array | None = None
        self.output: Array | None = None
        self.grad_pre_activation: Array | None = None
        self.gradients: list[Array] = []

    @property
    def weights(self) -> list[Array]:
        """[W, b], or [W] without a bias: the arrays themselves, not copies."""
        return [self.W] if self.b is None else [self.W, self.b]

    @property
    def weight_names(self) -> list[str]:
        """The names of ``weights``, in the same order."""
        return ["W"] if self.b is None else ["W", "b"]

    def __call__(self, inputs: object) -> Array:
        """Return the output, (batch, output_size), for inputs (batch, input_size).

        The inputs are checked and copied, so changing them afterwards changes no gradient.
        """
        checked = as_inputs(inputs, self.input_size, self.dtype)
        return self.forward(checked.copy()).copy()

    def forward(self, inputs: Array) -> Array:
        """As ``__call__``, for trusted inputs: no checks, no copies."""
        return self.activate(self.affine(inputs))

    def backward(self, grad_output: Array) -> Array:
        """Return ∂loss/∂inputs for ∂loss/∂output, both (batch, ·), and set ``gradients``.

        Raises:
            ValueError: before any forward pass, or if the shape is not the output's.
        """
        return self.backward_affine(self.backward_activation(grad_output))

    def affine(self, inputs: Array) -> Array:
        """The first step, (1)."""
        self.inputs = inputs
        self.grad_pre_activation = None
        z = inputs @ self.W  # (1)
        if self.b is not None:
            z += self.b  # (1)
        return z

    def activate(self, pre_activation: Array) -> Array:
        """The second step, (2)."""
        self.pre_activation = pre_activation
        self.output = self.activation.forward(pre_activation)  # (2)
        return self.output

    def backward_activation(self, grad_output: Array) -> Array:
        """Pull ∂loss/∂output back to ∂loss/∂pre_activation, (3)."""
        if self.pre_activation is None or self.output is None:
            raise ValueError(NO_FORWARD)
        grad_output = _matching("grad_output", grad_output, self.output)
        grad_output = self.penalties.grad_output(grad_output, self.output)
        return self.activation.backward(grad_output, self.pre_activation, self.output)  # (3)

    def backward_affine(self, grad_pre_activation: Array) -> Array:
        """Pull ∂loss/∂pre_activation back to ∂loss/∂inputs; set ``gradients``."""
        grad = self.backward_weights(grad_pre_activation)
        return grad @ self.W.T  # (6)

    def backward_weights(self, grad_pre_activation: Array) -> Array:
        """Set ``gradients``, all that the bottom layer has to do in training.

        Returns ∂loss/∂pre_activation as it was given, checked.
        """
        if self.inputs is None or self.pre_activation is None:
            raise ValueError(NO_FORWARD)
        grad = _matching("grad_pre_activation", grad_pre_activation, self.pre_activation)
        self.grad_pre_activation = grad
        x = self.inputs
        self.gradients = [_outer(x, grad) if len(x) == 1 else x.T @ grad]  # (4)
        if self.b is not None:
            self.gradients.append(grad.sum(axis=0))  # (5)
        if self.penalties:
            self.gradients = self.penalties.grad_weights(self.gradients, self.W, self.b)
        return grad

    def add_activity(self, grad_pre_activation: Array) -> Array:
        """∂loss/∂pre_activation of a fused loss, with the penalty on the output added."""
        if self.penalties.activity is None:
            return grad_pre_activation
        assert self.output is not None
        penalty = self.penalties.grad_output(np.zeros_like(self.output), self.output)
        return grad_pre_activation + self.activation.backward(
            penalty, self.pre_activation, self.output
        )

    def __repr__(self) -> str:
        bias = "" if self.b is not None else ", use_bias=False"
        return f"NaiveDense({self.input_size}, {self.units}, {self.activation!r}{bias})"


def has_steps(layer: object) -> bool:
    """Whether a layer's passes are its two steps in a row, each of which can be judged alone.

    A layer with a ``forward`` or ``backward`` of its own is judged as one step.
    """
    return (
        isinstance(layer, NaiveDense)
        and type(layer).forward is NaiveDense.forward
        and type(layer).backward is NaiveDense.backward
        and not {"forward", "backward"} & vars(layer).keys()
    )


def ends_at_weights(layer: object) -> bool:
    """Whether a layer's ``backward_weights`` does all of its backward but ∂loss/∂inputs.

    Not where a subclass, or the layer itself, has a ``backward_affine`` of its own.
    """
    return (
        has_steps(layer)
        and type(layer).backward_affine is NaiveDense.backward_affine  # type: ignore[attr-defined]
        and "backward_affine" not in vars(layer)
    )


NO_FORWARD = (
    "backward: there is no stored forward pass to differentiate; "
    "call the layer or the model on a batch first."
)


def _drawn(
    argument: str,
    draw: Initializer,
    shape: tuple[int, ...],
    generator: np.random.Generator,
    dtype: np.dtype[Any],
) -> Array:
    weights = as_finite(argument, draw(shape, generator, dtype), dtype)
    if weights.shape != shape:
        raise ValueError(f"{argument}: returned shape {weights.shape}, expected {shape}.")
    return weights.copy()


def _outer(one: Array, other: Array) -> Array:
    """oneᵀ other for a single sample.

    NumPy multiplies a column by a row in loops that take three times as long as what BLAS does
    with two of each; the second are zeros.
    """
    if is_foreign(one) or is_foreign(other):
        return one.T * other
    column, row = (np.concatenate((x, np.zeros_like(x))) for x in (one, other))
    return column.T @ row


def _matching(argument: str, grad: Array, stored: Array) -> Array:
    """Check a gradient against the tensor that it belongs to; ``grad`` is not copied."""
    if not (is_foreign(grad) or is_foreign(stored)) and not (
        isinstance(grad, np.ndarray) and grad.dtype == stored.dtype
    ):
        grad = as_finite(argument, grad, stored.dtype)
    if grad.shape != stored.shape:
        raise ValueError(
            f"{argument}: has shape {grad.shape}, expected {stored.shape}, the shape of what the "
            f"latest forward pass returned; run the forward pass on the same batch first."
        )
    return grad
