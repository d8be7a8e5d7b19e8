"""Places at which a fault can be planted: each turns a few wrong lines into a ``Fault``.

A site decorates a function (or class) with the wrong formula. The fault takes its name from
the function's and its sentence from the docstring. Nothing is registered: the decorated name
*is* the fault. All formulas are written so that error-carrying arrays pass through them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from agreement.faults.fault import LOSS_GRADIENT, Fault, Positions, Prepare
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.losses import LOSSES, Loss
from manual_backprop.optimizers import SGD
from manual_backprop.typing import Array

# Whether a fault can be planted at a position.
Where: TypeAlias = Callable[[NaiveSequential, Loss, int], bool]
# (layer, grad_pre_activation, the right gradient) → the wrong one
AffineFormula: TypeAlias = Callable[[Any, Array, Array], Array]
# (grad_output, pre-activation, output) → the wrong grad_pre_activation
ActivationFormula: TypeAlias = Callable[[Array, Array, Array], Array]
# (the right method, predictions or logits, targets) → the wrong result
LossFormula: TypeAlias = Callable[[Callable[[Array, Array], Array], Array, Array], Array]


def anywhere(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """Every layer will do."""
    return True


def square(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """As many inputs as units, and more than one: a wrong shape goes unnoticed."""
    layer = model.layers[position]
    return layer.input_size == layer.units > 1


def with_bias(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """The layer has a bias."""
    return model.layers[position].b is not None


def runs_activation_backward(model: NaiveSequential, loss: Loss, position: int) -> bool:
    """The layer's activation is differentiated: it is not fused with the loss."""
    last = position == len(model.layers) - 1
    return not (last and loss.is_fused_with(model.output_activation))


def with_activation(*names: str) -> Where:
    """The layer's activation is one of these, and is differentiated."""

    def where(model: NaiveSequential, loss: Loss, position: int) -> bool:
        named = model.layers[position].activation.name in names
        return named and runs_activation_backward(model, loss, position)

    return where


def both(first: Where, second: Where) -> Where:
    """Where both conditions hold."""
    return lambda model, loss, position: (
        first(model, loss, position) and second(model, loss, position)
    )


def in_weight_gradient(family: str, where: Where = anywhere) -> Callable[[AffineFormula], Fault]:
    """A fault in ∂loss/∂W of a layer."""
    return _in_gradient(0, family, "grad_W", where)


def in_bias_gradient(family: str) -> Callable[[AffineFormula], Fault]:
    """A fault in ∂loss/∂b of a layer."""
    return _in_gradient(1, family, "grad_b", with_bias)


def _in_gradient(
    index: int, family: str, tensor: str, where: Where
) -> Callable[[AffineFormula], Fault]:
    def decorate(formula: AffineFormula) -> Fault:
        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            layer = model.layers[position]
            honest = type(layer).backward_affine

            def backward_affine(self: Any, grad: Array) -> Array:
                grad_inputs = honest(self, grad)
                self.gradients[index] = formula(self, grad, self.gradients[index])
                return grad_inputs

            override(layer, backward_affine=backward_affine)
            return loss

        return Fault(*described(formula, family), tensor, _positions(where), plant)

    return decorate


def in_input_gradient(family: str, where: Where = anywhere) -> Callable[[AffineFormula], Fault]:
    """A fault in ∂loss/∂inputs of a layer."""

    def decorate(formula: AffineFormula) -> Fault:
        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            layer = model.layers[position]
            honest = type(layer).backward_affine

            def backward_affine(self: Any, grad: Array) -> Array:
                return formula(self, grad, honest(self, grad))

            override(layer, backward_affine=backward_affine)
            return loss

        return Fault(*described(formula, family), "grad_inputs", _positions(where), plant)

    return decorate


def in_activation(
    family: str, name: str, where: Where = anywhere, *, at_kink: bool = False
) -> Callable[[ActivationFormula], Fault]:
    """A fault in the backward of the activation with this name."""

    def decorate(formula: ActivationFormula) -> Fault:
        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            def backward(self: Any, grad_output: Array, inputs: Array, output: Array) -> Array:
                return formula(grad_output, inputs, output)

            layer = model.layers[position]
            layer.activation = copy.copy(layer.activation)
            override(layer.activation, backward=backward)
            return loss

        positions = _positions(both(with_activation(name), where))
        named = described(formula, family)
        return Fault(*named, "grad_pre_activation", positions, plant, at_kink=at_kink)

    return decorate


def in_loss_gradient(
    family: str, *names: str, fused: bool | None = None, tensor: str = LOSS_GRADIENT
) -> Callable[[LossFormula], Fault]:
    """A fault in the gradient of these losses (all by default), on one path or on both."""
    return _in_loss("backward", tensor, family, names, fused)


def in_loss_value(
    family: str, *names: str, fused: bool | None = None
) -> Callable[[LossFormula], Fault]:
    """A fault in the value of these losses (all by default), on one path or on both."""
    return _in_loss("forward", "loss", family, names, fused)


def _in_loss(
    method: str, tensor: str, family: str, names: tuple[str, ...], only_fused: bool | None
) -> Callable[[LossFormula], Fault]:
    def decorate(formula: LossFormula) -> Fault:
        def positions(model: NaiveSequential, loss: Loss) -> list[int]:
            fused = loss.is_fused_with(model.output_activation)
            fits = loss.name in (names or LOSSES) and only_fused in (None, fused)
            return [len(model.layers) - 1] if fits else []

        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            fused = loss.is_fused_with(model.output_activation)
            method_name = f"{method}_from_logits" if fused else method
            honest = getattr(type(loss), method_name)

            def replacement(self: Any, predictions: Array, targets: Array, *logits: Array) -> Array:
                return formula(lambda p, t: honest(self, p, t, *logits), predictions, targets)

            faulty = copy.copy(loss)
            override(faulty, **{method_name: replacement})
            return faulty

        return Fault(*described(formula, family), tensor, positions, plant)

    return decorate


def in_layer(
    family: str,
    tensor: str,
    where: Where = anywhere,
    *,
    partner: Callable[[Any, Any], bool] | None = None,
    prepare: Prepare | None = None,
) -> Callable[[type[NaiveDense]], Fault]:
    """A faulty subclass of ``NaiveDense``.

    With ``partner`` the layer confuses itself with another one of the model, the first for
    which ``partner(layer, other)`` holds; it finds it as ``self.partner``.
    """

    def decorate(kind: type[NaiveDense]) -> Fault:
        def others(model: NaiveSequential, position: int) -> list[Any]:
            layer = model.layers[position]
            found = [x for x in model.layers if x is not layer]
            return found if partner is None else [x for x in found if partner(layer, x)]

        def can_be_planted(model: NaiveSequential, loss: Loss, position: int) -> bool:
            alone = partner is not None and not others(model, position)
            return where(model, loss, position) and not alone

        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            layer = model.layers[position]
            layer.__class__ = kind
            if partner is not None:
                layer.partner = others(model, position)[0]
            return loss

        positions = _positions(can_be_planted)
        return Fault(*described(kind, family), tensor, positions, plant, prepare)

    return decorate


def in_model(family: str, tensor: str, where: Where) -> Callable[[type[NaiveSequential]], Fault]:
    """A faulty subclass of ``NaiveSequential``, which finds the place as ``self.position``."""

    def decorate(kind: type[NaiveSequential]) -> Fault:
        def plant(model: Any, loss: Loss, position: int) -> Loss:
            model.__class__, model.position = kind, position
            return loss

        return Fault(*described(kind, family), tensor, _positions(where), plant)

    return decorate


def in_update(family: str, tensor: str) -> Callable[[type[SGD]], Fault]:
    """A faulty gradient descent; the first layer with such a weight shows it."""
    weight = tensor.partition(" ")[0]

    def decorate(kind: type[SGD]) -> Fault:
        def positions(model: NaiveSequential, loss: Loss) -> list[int]:
            with_weight = [i for i, x in enumerate(model.layers) if weight in x.weight_names]
            return with_weight[:1]

        def plant(model: NaiveSequential, loss: Loss, position: int) -> Loss:
            return loss

        return Fault(*described(kind, family), tensor, positions, plant, optimizer=kind)

    return decorate


def override(subject: Any, **methods: Any) -> None:
    """Give one object a class of its own, of the same name, with other methods."""
    kind = type(subject)
    subject.__class__ = type(kind.__name__, (kind,), methods)


def described(wrong: Any, family: str) -> tuple[str, str, str]:
    """Name, family and sentence of a fault, from the wrong code's own name and docstring."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", wrong.__name__)
    return words.replace("_", "-").lower(), family, " ".join((wrong.__doc__ or "").split())


def faults_in(namespace: dict[str, Any]) -> tuple[Fault, ...]:
    """Every fault in a module's namespace."""
    return tuple(entry for entry in namespace.values() if isinstance(entry, Fault))


def _positions(where: Where) -> Positions:
    return lambda model, loss: [i for i in range(len(model.layers)) if where(model, loss, i)]
