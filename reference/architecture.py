"""What a reference reads of a manual model: its structure and weights, never its backward."""

from __future__ import annotations

from dataclasses import dataclass, replace

from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.activations import Activation
from manual_backprop.regularizers import Penalties

NO_PENALTIES = Penalties()


@dataclass(frozen=True)
class Affine:
    """One distinct layer's affine map, by its sizes, and its penalties."""

    input_size: int
    units: int
    use_bias: bool
    penalties: Penalties = NO_PENALTIES


@dataclass(frozen=True)
class Architecture:
    """The structure of a model, hashable, so that twins can be kept and used again.

    Attributes:
        affines: each distinct layer once.
        places: for each place in the model, which of ``affines`` stands there.
        activations: for each place, its activation.
        names: for each place, the layer's name in the manual model.
        output_activation: the last activation where the loss may be fused with it, else "".
        dtype: "float32" or "float64".
    """

    affines: tuple[Affine, ...]
    places: tuple[int, ...]
    activations: tuple[Activation, ...]
    names: tuple[str, ...]
    output_activation: str
    dtype: str

    @classmethod
    def of(cls, model: NaiveSequential) -> Architecture:
        """Read a model's structure.

        Raises:
            TypeError: for a layer that has no Keras twin.
        """
        for position, layer in enumerate(model.layers):
            if not isinstance(layer, NaiveDense):
                raise TypeError(
                    f"layers[{position}]: {type(layer).__name__} has no Keras twin; "
                    f"check the model with against=['dual'], which needs none."
                )
        distinct = model.distinct_layers
        order = list(distinct)
        return cls(
            affines=tuple(
                Affine(layer.input_size, layer.units, layer.b is not None, layer.penalties)
                for layer in distinct.values()
            ),
            places=tuple(order.index(name) for name in model.names),
            activations=tuple(layer.activation for layer in model.layers),
            names=tuple(model.names),
            output_activation=model.output_activation,
            dtype=model.dtype.name,
        )

    @property
    def without_sizes(self) -> Architecture:
        """What one traced function depends on when its shapes are left open."""
        affines = tuple(replace(affine, input_size=0, units=0) for affine in self.affines)
        return replace(self, affines=affines, names=())
