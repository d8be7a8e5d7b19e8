"""The Keras twin of a manual model: one differentiable program, built from Keras' own parts.

Each ``NaiveDense`` becomes a linear ``keras.layers.Dense`` followed by the Keras activation of
the same name, so that the pre-activation can be seen. (A test shows that
``Dense(activation=…)`` gives the same.) The loss is Keras' class of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

from manual_backprop.losses import LOSSES, Loss
from manual_backprop.regularizers import REGULARIZERS, Regularizer
from manual_backprop.typing import Array
from reference.architecture import Affine, Architecture
from reference.frameworks import frameworks, set_mask
from reference.modes import Mode


class Program:
    """Forward and backward of one architecture under ``tf.GradientTape``.

    Args:
        architecture: the structure.
        loss: the manual loss; its Keras twin is found by its class's name.
        affines: what stands for each distinct affine map: functions of a batch.
    """

    def __init__(self, architecture: Architecture, loss: Loss) -> None:
        self.architecture = architecture
        self.activations = [activation_twin(a) for a in architecture.activations]
        # A mixed policy computes in half precision, but losses as compile makes them do not.
        dtype = "float32" if "mixed" in architecture.dtype else architecture.dtype
        self.loss = loss_twin(loss, dtype)
        # Copies: a twin is kept, and found again by these numbers.
        given = (loss.sample_weight, loss.mask)
        self.sample_weight, self.mask = (None if x is None else x.copy() for x in given)
        self.loss_dtype = dtype
        self.fused = loss.is_fused_with(architecture.output_activation)
        self.hides_logits = loss.fuses_with is not None and not self.fused

    def run(
        self,
        affines: Sequence[Callable[[Any], Any]],
        weights: Sequence[Any],
        inputs: Any,
        labels: Any,
    ) -> dict[str, Any]:
        """Return every tensor of the pass and the gradient with respect to each."""
        tf, _ = frameworks()
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            for weight in weights:
                tape.watch(weight)
            hidden = inputs
            pre_activations: list[Any] = []
            outputs: list[Any] = []
            penalties = self._weight_penalties(weights)
            for place, activation in zip(self.architecture.places, self.activations, strict=True):
                z = affines[place](hidden)
                hidden = activation(z)
                if (activity := self.architecture.affines[place].penalties.activity) is not None:
                    count = tf.cast(tf.shape(hidden)[0], hidden.dtype)
                    penalties.append(self._twin(activity)(hidden) / count)
                    if not (self.fused and len(outputs) == len(self.activations) - 1):
                        # What goes on is told apart from what is penalised.
                        hidden = tf.identity(hidden)
                pre_activations.append(z)
                outputs.append(hidden)
            if self.hides_logits:
                # An identity is an operation of its own: Keras no longer sees the softmax.
                outputs[-1] = tf.identity(hidden)
            loss = self._loss(labels, outputs[-1])
            for penalty in penalties:
                loss = loss + penalty
        sources = [inputs, *pre_activations, *outputs, *weights]
        gradients = tape.gradient(loss, sources)
        count = len(outputs)
        # Of a fused loss the probabilities have no gradient, though a penalty on them has.
        top = None if self.fused else gradients[2 * count]
        return {
            "loss": loss,
            "pre_activations": pre_activations,
            "outputs": outputs,
            "grad_inputs": gradients[0],
            "grad_pre_activations": gradients[1 : 1 + count],
            "grad_outputs": [*gradients[1 + count : 2 * count], top],
            "grad_weights": gradients[1 + 2 * count :],
        }

    def _loss(self, labels: Any, predictions: Any) -> Any:
        """Keras' loss, with the weights and the mask that the manual one has for its batch."""
        tf, _ = frameworks()
        if self.mask is not None:
            set_mask(predictions, tf.constant(self.mask))
        weight = self.sample_weight
        if weight is not None:
            weight = tf.constant(weight, self.loss_dtype)
        return self.loss(labels, predictions, sample_weight=weight)

    def _weight_penalties(self, weights: Sequence[Any]) -> list[Any]:
        """The penalties on kernels and biases, as Keras' regularizers compute them."""
        found = []
        remaining = iter(weights)
        for affine in self.architecture.affines:
            kernel = next(remaining)
            bias = next(remaining) if affine.use_bias else None
            pairs = ((affine.penalties.kernel, kernel), (affine.penalties.bias, bias))
            found += [self._twin(r)(w) for r, w in pairs if r is not None and w is not None]
        return found

    def _twin(self, regularizer: Regularizer) -> Any:
        return regularizer_twin(regularizer, self.architecture.dtype)


class DenseTwin(Program):
    """A twin whose affine maps are built ``keras.layers.Dense`` layers of fixed sizes."""

    def __init__(self, architecture: Architecture, loss: Loss, mode: Mode) -> None:
        super().__init__(architecture, loss)
        tf, _ = frameworks()
        self.layers = [
            _dense(index, affine, architecture.dtype)
            for index, affine in enumerate(architecture.affines)
        ]
        self.call = self._run_layers
        if mode.compiled:
            self.call = tf.function(self._run_layers, jit_compile=mode.xla, reduce_retracing=True)

    @property
    def variables(self) -> list[Any]:
        """Every layer's kernel and bias, as ``tf.Variable``."""
        return [w.value for layer in self.layers for w in layer.trainable_weights]

    def assign(self, weights: Sequence[Array]) -> None:
        """Give the twin the manual model's weights."""
        tf, _ = frameworks()
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(tf.cast(weight, variable.dtype))

    def _run_layers(self, inputs: Any, labels: Any) -> dict[str, Any]:
        return self.run(self.layers, self.variables, inputs, labels)

    def __call__(self, weights: Sequence[Array], inputs: Any, labels: Any) -> dict[str, Any]:
        """Run with the given weights on tensors."""
        self.assign(weights)
        return self.call(inputs, labels)


class OpenTwin(Program):
    """A traced twin for every shape of an architecture: ``keras.ops`` in place of ``Dense``.

    An architecture ``without_sizes`` leaves all shapes open, any other one the batch's only.

    Args:
        options: of ``tf.function``.
    """

    @classmethod
    def if_open(cls, architecture: Architecture, loss: Loss) -> Self | None:
        """A twin, or None where a function (glu) wants to know sizes that are left open."""
        try:
            return cls(architecture, loss)
        except (TypeError, ValueError):
            return None

    def __init__(self, architecture: Architecture, loss: Loss, **options: Any) -> None:
        super().__init__(architecture, loss)
        tf, _ = frameworks()
        dtype = architecture.dtype
        self.biases = [affine.use_bias for affine in architecture.affines]
        weights = []
        for affine in architecture.affines:
            # Sizes that the architecture leaves open are 0 there.
            inputs, units = affine.input_size or None, affine.units or None
            weights.append(tf.TensorSpec([inputs, units], dtype))
            weights += [tf.TensorSpec([units], dtype)] * affine.use_bias
        features = architecture.affines[0].input_size or None
        batch = tf.TensorSpec([None, features], dtype)
        self.signature = [weights, batch, label_signature(loss, dtype)]
        # The concrete function skips the matching of arguments, half of a small call's time.
        self.call = tf.function(
            self._run_operations, input_signature=self.signature, **options
        ).get_concrete_function()

    def _run_operations(self, weights: Sequence[Any], inputs: Any, labels: Any) -> dict[str, Any]:
        _, keras = frameworks()
        remaining = iter(weights)
        affines = []
        for has_bias in self.biases:
            kernel = next(remaining)
            bias = next(remaining) if has_bias else None

            def affine(x: Any, kernel: Any = kernel, bias: Any = bias) -> Any:
                product = keras.ops.matmul(x, kernel)
                return product if bias is None else keras.ops.add(product, bias)

            affines.append(affine)
        return self.run(affines, weights, inputs, labels)

    def __call__(self, weights: Sequence[Array], inputs: Any, labels: Any) -> dict[str, Any]:
        """Run with the given weights on tensors."""
        tf, _ = frameworks()
        return self.call([tf.constant(w) for w in weights], inputs, labels)


def label_signature(loss: Loss, dtype: str) -> Any:
    """The tensor specification of prepared labels: indices, or rows."""
    tf, _ = frameworks()
    indices = loss.labels == "classes"
    return tf.TensorSpec([None], "int64") if indices else tf.TensorSpec([None, None], dtype)


NO_TWIN = "{kind}: {name!r} has no Keras twin; check with against=['dual'], which needs none."


def loss_twin(loss: Loss, dtype: str) -> Any:
    """Keras' loss of the same class name, with the same arguments."""
    _, keras = frameworks()
    twin = getattr(keras.losses, LOSSES[loss.name].__name__, None) if loss.name in LOSSES else None
    if twin is None:
        raise TypeError(NO_TWIN.format(kind="loss", name=loss.name))
    arguments = {name: value for name, value in loss.arguments.items() if name != "path"}
    return twin(dtype=dtype, **arguments)


def regularizer_twin(regularizer: Regularizer, dtype: str) -> Any:
    """Keras' regularizer of the same class name, with the same arguments."""
    _, keras = frameworks()
    own = REGULARIZERS.get(regularizer.name)
    kind = None if own is None else getattr(keras.regularizers, own.__name__, None)
    if kind is None:
        raise TypeError(NO_TWIN.format(kind="regularizer", name=regularizer.name))
    twin = kind(**regularizer.arguments)
    if hasattr(twin, "factor"):
        # Keras makes a float32 tensor of it, which float64 weights cannot be multiplied by.
        twin.factor = keras.ops.cast(twin.factor, dtype)
    return twin


def activation_twin(activation: Any) -> Callable[[Any], Any]:
    """Keras' function of the same name, with the same arguments."""
    _, keras = frameworks()
    function = getattr(keras.activations, activation.name, None)
    if function is None:
        raise TypeError(NO_TWIN.format(kind="activation", name=activation.name))
    arguments = activation.arguments
    return (lambda x: function(x, **arguments)) if arguments else function


@lru_cache(maxsize=4096)
def _dense(index: int, affine: Affine, dtype: str) -> Any:
    """A built layer; kept, since building costs more than a small network's whole pass."""
    _, keras = frameworks()
    layer = keras.layers.Dense(affine.units, use_bias=affine.use_bias, dtype=dtype)
    layer.build((None, affine.input_size))
    return layer
