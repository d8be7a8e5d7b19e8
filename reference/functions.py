"""Single functions as Keras computes them: an activation or a loss, and its gradient.

For the local view of one function alone, of any rank, in any dtype. A function is traced once
for every combination of arguments, dtype, ranks and mode, whatever the sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.activations import Activation
from manual_backprop.losses import Loss
from manual_backprop.regularizers import Regularizer
from manual_backprop.typing import Array
from reference.frameworks import frameworks, set_mask
from reference.modes import Mode
from reference.twin import activation_twin, loss_twin, regularizer_twin

# Sizes; None is any.
Shape: TypeAlias = tuple[int | None, ...]


def activation(
    subject: Activation, inputs: Array, grad_output: Array, mode: Mode
) -> tuple[Array, Array]:
    """(output, ∂/∂inputs of Σ grad_output · output), of the inputs' dtype.

    Raises:
        TypeError: for an activation without a Keras twin.
    """
    call = _activation_call(subject, inputs.dtype.name, inputs.ndim, mode)
    with warnings.catch_warnings():
        # Keras warns that one class is unusual; here it is a case like any other.
        warnings.simplefilter("ignore")
        output, grad = call(*_constants(inputs, grad_output))
    return output.numpy(), grad.numpy()


def loss(
    subject: Loss, predictions: Array, targets: Array, mode: Mode, behind: Activation | None = None
) -> tuple[Array, Array]:
    """(loss, ∂loss/∂predictions) with the loss's sample weight and mask.

    With ``behind`` the predictions are logits, and the loss is computed from what that
    activation makes of them: the way in which Keras fuses the two, unless the loss's path
    forbids it.

    Raises:
        TypeError: for a loss or an activation without a Keras twin.
    """
    extra = {"sample_weight": subject.sample_weight, "mask": subject.mask}
    given = {name: array for name, array in extra.items() if array is not None}
    names = tuple(given)
    shapes: list[Shape] = [
        (None,) * np.ndim(array) for array in (predictions, targets, *given.values())
    ]
    dtypes = predictions.dtype.name, targets.dtype.name
    call = _loss_call(LossKey(subject), behind, dtypes, tuple(shapes), names, mode)
    weights = [np.asarray(a, bool if n == "mask" else predictions.dtype) for n, a in given.items()]
    with warnings.catch_warnings():
        # Keras warns that one class is unusual; here it is a case like any other.
        warnings.simplefilter("ignore")
        value, grad = call(*_constants(predictions, targets, *weights))
    return value.numpy(), grad.numpy()


def regularizer(subject: Regularizer, inputs: Array, mode: Mode) -> tuple[Array, Array]:
    """(penalty, ∂penalty/∂inputs), of the inputs' dtype.

    Raises:
        TypeError: for a regularizer without a Keras twin.
    """
    value, grad = _regularizer_call(subject, inputs.dtype.name, mode)(*_constants(inputs))
    return value.numpy(), grad.numpy()


class LossKey:
    """A loss as part of a cache key: equal where Keras would compute the same.

    Of weights and mask that is what there is of them, or, ``with_numbers``, their numbers.
    """

    def __init__(self, loss: Loss, *, with_numbers: bool = False) -> None:
        self.loss = loss
        arguments = tuple(sorted(loss.arguments.items(), key=repr))
        weighted = tuple(
            x is not None and (not with_numbers or (x.shape, x.tobytes()))
            for x in (loss.sample_weight, loss.mask)
        )
        self.key = (type(loss), loss.path, arguments, weighted)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossKey) and self.key == other.key


@lru_cache(maxsize=4096)
def _activation_call(
    subject: Activation, dtype: str, rank: int, mode: Mode
) -> Callable[..., tuple[Any, Any]]:
    tf, _ = frameworks()
    twin = activation_twin(subject)

    def run(inputs: Any, grad_output: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = twin(inputs)
        grad = tape.gradient(output, inputs, output_gradients=grad_output)
        return tf.identity(output), tf.zeros_like(inputs) if grad is None else grad

    return _in_mode(run, mode, [((None,) * rank, dtype)] * 2)


@lru_cache(maxsize=4096)
def _loss_call(
    key: LossKey,
    behind: Activation | None,
    dtypes: tuple[str, str],
    shapes: tuple[Shape, ...],
    names: tuple[str, ...],
    mode: Mode,
) -> Callable[..., tuple[Any, Any]]:
    tf, _ = frameworks()
    dtype, _ = dtypes
    twin = loss_twin(key.loss, dtype)
    squash = None if behind is None else activation_twin(behind)
    hides_logits = key.loss.fuses_with is not None and key.loss.path == "probabilities"

    def run(given: Any, labels: Any, *weights: Any) -> tuple[Any, Any]:
        extra = dict(zip(names, weights, strict=True))
        with tf.GradientTape() as tape:
            tape.watch(given)
            predictions = given if squash is None else squash(given)
            if hides_logits:
                predictions = tf.identity(predictions)
            if "mask" in extra:
                set_mask(predictions, extra["mask"])
            value = twin(labels, predictions, sample_weight=extra.get("sample_weight"))
        grad = tape.gradient(value, given)
        return tf.identity(value), tf.zeros_like(given) if grad is None else grad

    kinds = [*dtypes, *("bool" if name == "mask" else dtype for name in names)]
    return _in_mode(run, mode, list(zip(shapes, kinds, strict=True)))


@lru_cache(maxsize=256)
def _regularizer_call(
    subject: Regularizer, dtype: str, mode: Mode
) -> Callable[..., tuple[Any, Any]]:
    tf, _ = frameworks()
    twin = regularizer_twin(subject, dtype)

    def run(inputs: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = twin(inputs)
        grad = tape.gradient(value, inputs)
        return tf.identity(value), tf.zeros_like(inputs) if grad is None else grad

    # The number of rows enters the formula of one of them, so each shape is traced by itself.
    return tf.function(run, jit_compile=mode.xla) if mode.compiled else run


def _in_mode(
    run: Callable[..., Any], mode: Mode, specs: Sequence[tuple[Shape, str]]
) -> Callable[..., Any]:
    tf, _ = frameworks()
    if not mode.compiled:
        return run
    if mode.xla:
        return tf.function(run, jit_compile=True, reduce_retracing=False)
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in specs]
    try:
        return tf.function(run, input_signature=signature).get_concrete_function()
    except (TypeError, ValueError):
        # Some functions (glu) want to know their sizes, so each shape is traced by itself.
        return tf.function(run)


def _constants(*arrays: Array) -> list[Any]:
    tf, _ = frameworks()
    return [tf.constant(array) for array in arrays]
