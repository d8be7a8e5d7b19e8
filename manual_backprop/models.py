"""``NaiveSequential``: layers in a row, and the chain rule along them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from manual_backprop.layers import NO_FORWARD, NaiveDense, ends_at_weights, has_steps
from manual_backprop.trace import LayerTrace, TensorName
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite, as_inputs, is_foreign


@runtime_checkable
class Layer(Protocol):
    """What a layer of your own needs to be used in a ``NaiveSequential``.

    ``forward`` stores what ``backward`` needs; ``backward`` returns the gradient with
    respect to the inputs and sets ``gradients``, one array for each of ``weights``.
    """

    @property
    def weights(self) -> list[Array]: ...

    gradients: list[Array]

    def forward(self, inputs: Array) -> Array: ...

    def backward(self, grad_output: Array) -> Array: ...


class NaiveSequential:
    r"""output = layer_L(… layer_2(layer_1(inputs))).

    (1) y_0 = inputs and y_l = layer_l(y_{l−1})
    (2) ∂loss/∂y_{l−1} is layer_l's backward of ∂loss/∂y_l: the chain rule, last layer first
    (3) a layer in two places has two contributions to each weight's gradient: they add

    ``backward`` differentiates the latest forward pass; an earlier one is forgotten. A layer
    may stand in several places, with what each place saw restored before its backward.

    Args:
        layers: at least one layer; sizes must fit together and dtypes must be the same.

    Attributes:
        layers: the layers, in order.
        records: for each place a :class:`~manual_backprop.trace.LayerTrace`, whose arrays
            are the model's own: read them, do not change them.
        snapshots: whether records hold copies instead, made when each array was made; for
            tracing layers that go on to work in place.

    Raises:
        ValueError, TypeError: for layers that cannot form a model, by their position.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        if not isinstance(layers, Iterable):
            raise TypeError(
                f"layers: got {type(layers).__name__}, expected a list of layers; "
                f"pass a single layer as [layer]."
            )
        self.layers = list(layers)
        self._check_layers()
        self.names = self._unique_names()
        self.records: list[LayerTrace] = []
        self.snapshots = False

    def _check_layers(self) -> None:
        if not self.layers:
            raise ValueError("layers: got none, expected at least one layer.")
        for position, layer in enumerate(self.layers):
            if isinstance(layer, type) or not isinstance(layer, Layer):
                shown = layer.__name__ if isinstance(layer, type) else type(layer).__name__
                raise TypeError(
                    f"layers[{position}]: {shown} is not a layer; expected an object with "
                    f"forward, backward, weights and gradients, such as NaiveDense(4, 3)."
                )
        for position, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            outputs = getattr(below, "output_size", None)
            inputs = getattr(above, "input_size", None)
            if outputs is not None and inputs is not None and outputs != inputs:
                raise ValueError(
                    f"layers[{position + 1}]: takes {inputs} inputs, but layers[{position}] has "
                    f"{outputs} outputs; make the two sizes equal."
                )
        for position, layer in enumerate(self.layers):
            if self.layers.index(layer) < position and not isinstance(layer, NaiveDense):
                raise ValueError(
                    f"layers[{position}]: {type(layer).__name__} stands in several places, which "
                    f"only NaiveDense can; make a second layer."
                )
        for position, layer in enumerate(self.layers):
            shared = self.layers.count(layer) > 1
            if shared and getattr(layer, "penalties", None) and layer.penalties.activity:
                raise ValueError(
                    f"layers[{position}]: stands in several places and has an "
                    f"activity_regularizer, which needs a single output; make a second layer."
                )
        dtypes = {np.dtype(w.dtype).name for layer in self.layers for w in layer.weights}
        if len(dtypes) > 1:
            raise ValueError(
                f"layers: have weights of dtypes {', '.join(sorted(dtypes))}; "
                f"expected one dtype throughout the model."
            )

    def _unique_names(self) -> list[str]:
        """dense_1, dense_2, … by place; a layer used again keeps its first name."""
        names: dict[int, str] = {}
        for position, layer in enumerate(self.layers, start=1):
            kind = type(layer).__name__.removeprefix("Naive").lower()
            names.setdefault(id(layer), f"{kind}_{position}")
        return [names[id(layer)] for layer in self.layers]

    @property
    def distinct_layers(self) -> dict[str, Any]:
        """Each layer once, by name."""
        return dict(zip(self.names, self.layers, strict=True))

    @property
    def weights(self) -> list[Array]:
        """Every layer's weights, each layer once: the arrays themselves, not copies."""
        return [w for layer in self.distinct_layers.values() for w in layer.weights]

    @property
    def gradients(self) -> list[Array]:
        """The latest backward pass's gradients, in the order of ``weights``."""
        return [g for layer in self.distinct_layers.values() for g in layer.gradients]

    @property
    def weight_names(self) -> list[TensorName]:
        """Names of ``weights``, such as dense_1.W."""
        return [
            TensorName(name, weight_name)
            for name, layer in self.distinct_layers.items()
            for weight_name in getattr(
                layer, "weight_names", [f"weight_{i}" for i in range(len(layer.weights))]
            )
        ]

    @property
    def gradient_names(self) -> list[TensorName]:
        """Names of ``gradients``, such as dense_1.grad_W."""
        return [name._replace(tensor=f"grad_{name.tensor}") for name in self.weight_names]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the weights; float32 for a model without any."""
        return next((np.dtype(w.dtype) for w in self.weights), np.dtype(np.float32))

    @property
    def input_size(self) -> int | None:
        """The first layer's number of inputs, or None if that layer does not say."""
        return getattr(self.layers[0], "input_size", None)

    @property
    def output_activation(self) -> str:
        """The last layer's activation by name; "" where it is not a step of its own.

        Only such a step can be fused with a loss, which then starts at the step below it; and one
        along the batch cannot, so that it goes by its arguments as well.
        """
        last = self.layers[-1]
        if not has_steps(last):
            return ""
        activation = last.activation
        return repr(activation) if activation.mixes_samples else activation.name

    @property
    def is_penalised(self) -> bool:
        """Whether a layer adds a penalty to the loss."""
        return any(getattr(layer, "penalties", None) for layer in self.layers)

    def penalty(self) -> Array:
        """The sum of the layers' penalties in the latest forward pass, a scalar array."""
        penalised = [x for x in self.distinct_layers.values() if getattr(x, "penalties", None)]
        terms = [layer.penalties.value(layer.W, layer.b, layer.output) for layer in penalised]
        return sum(terms[1:], start=terms[0])

    def check_inputs(self, inputs: Array, name: str = "inputs") -> Array:
        """Return a checked batch in the model's dtype; see ``validation.as_inputs``."""
        size = self.input_size
        if size is None:
            shape = np.shape(inputs)
            size = shape[1] if len(shape) == 2 else 0
        return as_inputs(inputs, size, self.dtype, name)

    def __call__(self, inputs: Array) -> Array:
        """Return predictions, (batch, outputs), for inputs (batch, features).

        The inputs are checked and copied, so changing them afterwards changes no gradient.
        """
        return self.forward(self.check_inputs(inputs).copy()).copy()

    def forward(self, inputs: Array) -> Array:
        """As ``__call__``, for trusted inputs: no checks, no copies. (1)"""
        keep = _copied if self.snapshots else _itself
        records = []
        kept = keep(inputs)
        for name, layer in zip(self.names, self.layers, strict=True):
            record = LayerTrace(name, inputs=kept)
            if self.snapshots and has_steps(layer):
                z = layer.affine(inputs)
                record.pre_activation = keep(z)
                inputs = layer.activate(z)
            else:
                inputs = layer.forward(inputs)
                record.pre_activation = keep(getattr(layer, "pre_activation", None))
            record.output = kept = keep(inputs)
            records.append(record)
        self.records = records
        return inputs

    def backward(self, grad_output: Array, *, from_logits: bool = False) -> Array:
        """Return ∂loss/∂inputs for ∂loss/∂output, and set every layer's ``gradients``. (2)

        With ``from_logits`` the gradient given is with respect to the last layer's
        pre-activation, as a loss that is fused with the last activation provides it.

        Raises:
            ValueError: before any forward pass, or if the shape is not the output's.
        """
        return self._backward(grad_output, from_logits)

    def backward_weights(self, grad_output: Array, *, from_logits: bool = False) -> None:
        """As ``backward``, but ∂loss/∂inputs, which no weight needs, is left out if possible.

        A model or a bottom layer with a backward of its own does all that it does.
        """
        if type(self).backward is NaiveSequential.backward and "backward" not in vars(self):
            self._backward(grad_output, from_logits, to_inputs=False)
        else:
            self.backward(grad_output, from_logits=from_logits)

    def _backward(self, grad_output: Array, from_logits: bool, to_inputs: bool = True) -> Array:
        """``backward``; where it does not go ``to_inputs``, what it returns means nothing."""
        if not self.records:
            raise ValueError(NO_FORWARD)
        shared = len(self.distinct_layers) < len(self.layers)
        totals: dict[str, list[Array]] = {}
        keep = _copied if self.snapshots else _itself
        grad, kept = grad_output, keep(grad_output)
        places = list(zip(self.records, self.layers, strict=True))
        for record, layer in reversed(places):
            if shared:
                _restore(layer, record)
            stops = not to_inputs and record is self.records[0] and ends_at_weights(layer)
            fused = from_logits and record is self.records[-1]
            if not fused:
                record.grad_output = kept
            if fused or stops:
                grad = layer.add_activity(grad) if fused else layer.backward_activation(grad)
                grad = layer.backward_weights(grad) if stops else layer.backward_affine(grad)
            else:
                grad = layer.backward(grad)  # (2)
            record.grad_pre_activation = keep(getattr(layer, "grad_pre_activation", None))
            record.grad_inputs = kept = None if stops else keep(grad)
            if record.name in totals:
                earlier = zip(totals[record.name], layer.gradients, strict=True)
                layer.gradients = [above + here for above, here in earlier]  # (3)
            totals[record.name] = layer.gradients
        return grad

    def __repr__(self) -> str:
        return f"NaiveSequential([{', '.join(map(repr, self.layers))}])"


def as_model(model: object) -> NaiveSequential:
    """Return ``model`` if it is one and its weights are finite; for the library's edges.

    Raises:
        ValueError, TypeError: naming ``model`` or the weight that cannot be used.
    """
    if not isinstance(model, NaiveSequential):
        shown = model.__name__ if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"model: got {shown}, expected a NaiveSequential; "
            f"wrap a single layer as NaiveSequential([layer])."
        )
    for name, weight in zip(model.weight_names, model.weights, strict=True):
        if not is_foreign(weight):
            as_finite(f"weights ({name})", weight, model.dtype)
    return model


def _itself(array: Array | None) -> Array | None:
    return array


def _copied(array: Array | None) -> Array | None:
    return None if array is None else array.copy()


def _restore(layer: Any, record: LayerTrace) -> None:
    """Give a layer that stands in several places back what it saw in one of them."""
    layer.inputs, layer.pre_activation = record.inputs, record.pre_activation
    layer.output = record.output
