"""Keras' own layers in small configurations: a row for each, without hand derivations as yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from agreement.upgrade.cases import Inputs, cast
from agreement.upgrade.counter import Counter
from agreement.upgrade.items import DTYPES, EAGER, GRAPH, Item
from manual_backprop.typing import Array
from reference.observe_layers import Made, layer


@dataclass(frozen=True)
class Row:
    """A layer, its arguments, and the shapes of its inputs.

    Attributes:
        kind: the class. arguments: of it. shapes: of each input, the batch first.
        below: for integer inputs, the number that they stay below. masked: whether a mask is
            given with the inputs. graph: whether graph mode is worth its time.
    """

    kind: str
    arguments: Mapping[str, Any]
    shapes: Sequence[tuple[int, ...]]
    below: int = 0
    masked: bool = False
    graph: bool = False

    @property
    def words(self) -> str:
        """The arguments, and how it is called."""
        spelled = ", ".join(f"{k}={_spelled(v)}" for k, v in self.arguments.items()) or "defaults"
        of = " and ".join("×".join(map(str, shape)) for shape in self.shapes)
        return f"{spelled}, {'masked ' * self.masked}{of}"


def _spelled(value: Any) -> str:
    if isinstance(value, Made):
        inner = ", ".join(f"{k}={_spelled(v)}" for k, v in value.arguments.items())
        return f"{value.kind}({inner})"
    return repr(value)


FLAT, SEQUENCE, IMAGE, VOLUME = (4, 5), (3, 6, 4), (2, 6, 5, 3), (2, 4, 4, 4, 2)


def _rows(
    kind: str, shape: tuple[int, ...], *variants: dict[str, Any], **options: Any
) -> list[Row]:
    return [Row(kind, variant, [shape], **options) for variant in variants]


PENALTIES = {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": "l2"}
LAYERS: list[Row] = [
    *_rows("Dense", FLAT, {"units": 3}, {"units": 3, "activation": "relu", "use_bias": False},
           {"units": 3, "activation": "softmax"}, {"units": 3, **PENALTIES}, graph=True),
    *_rows("Dense", SEQUENCE, {"units": 3, "activation": "gelu"}),
    *_rows("EinsumDense", SEQUENCE, {"equation": "abc,cd->abd", "output_shape": (None, 5)}),
    *_rows("Conv1D", SEQUENCE, {"filters": 3, "kernel_size": 3},
           {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "same", "groups": 2},
           {"filters": 3, "kernel_size": 2, "dilation_rate": 2, "padding": "causal"}),
    *_rows("Conv2D", IMAGE, {"filters": 3, "kernel_size": 3},
           {"filters": 4, "kernel_size": (3, 2), "strides": 2, "padding": "same"},
           {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "activation": "tanh"},
           {"filters": 6, "kernel_size": 2, "groups": 3, "kernel_regularizer": "l1"}, graph=True),
    *_rows("Conv3D", VOLUME, {"filters": 2, "kernel_size": 2}),
    *_rows("DepthwiseConv1D", SEQUENCE, {"kernel_size": 3, "depth_multiplier": 2}),
    *_rows("DepthwiseConv2D", IMAGE, {"kernel_size": 3},
           {"kernel_size": 2, "depth_multiplier": 2, "padding": "same"}),
    *_rows("SeparableConv1D", SEQUENCE, {"filters": 3, "kernel_size": 2}),
    *_rows("SeparableConv2D", IMAGE, {"filters": 3, "kernel_size": 2}),
    *_rows("Conv1DTranspose", SEQUENCE, {"filters": 3, "kernel_size": 3, "strides": 2}),
    *_rows("Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 3},
           {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"},
           {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1}),
    *(row for pool in ("MaxPooling", "AveragePooling") for row in (
        *_rows(f"{pool}1D", SEQUENCE, {"pool_size": 2}, {"pool_size": 3, "strides": 2,
                                                         "padding": "same"}),
        *_rows(f"{pool}2D", IMAGE, {"pool_size": 2}, {"pool_size": 3, "strides": 2,
                                                      "padding": "same"}),
        *_rows(f"{pool}3D", VOLUME, {"pool_size": 2}),
        *_rows(f"Global{pool}1D", SEQUENCE, {}), *_rows(f"Global{pool}2D", IMAGE, {}))),
    *_rows("GlobalAveragePooling1D", SEQUENCE, {}, masked=True),
    *_rows("AdaptiveAveragePooling2D", IMAGE, {"output_size": 2}),
    *_rows("BatchNormalization", FLAT, {}, {"momentum": 0.5, "epsilon": 0.1, "scale": False},
           graph=True),
    *_rows("BatchNormalization", IMAGE, {}, {"axis": 1}),
    *_rows("BatchNormalization", SEQUENCE, {}, masked=True),
    *_rows("LayerNormalization", SEQUENCE, {}, {"epsilon": 0.1, "center": False}, {"axis": (1, 2)}),
    *_rows("LayerNormalization", SEQUENCE, {"rms_scaling": True}),
    *_rows("GroupNormalization", (2, 4, 4, 6), {"groups": 3}, {"groups": -1}),
    *_rows("RMSNormalization", SEQUENCE, {}, {"epsilon": 0.1}),
    *_rows("UnitNormalization", SEQUENCE, {}, {"axis": 1}),
    *_rows("SpectralNormalization", FLAT, {"layer": Made("Dense", {"units": 3})}),
    *_rows("Embedding", (3, 4), {"input_dim": 7, "output_dim": 3},
           {"input_dim": 7, "output_dim": 3, "mask_zero": True, "embeddings_regularizer": "l2"},
           below=7),
    *_rows("SimpleRNN", SEQUENCE, {"units": 3}, {"units": 3, "return_sequences": True,
                                                 "go_backwards": True}),
    *_rows("SimpleRNN", SEQUENCE, {"units": 3, "return_sequences": True}, masked=True),
    *_rows("LSTM", SEQUENCE, {"units": 3}, {"units": 2, "return_sequences": True,
           "return_state": True},
           {"units": 2, "recurrent_dropout": 0.3, "dropout": 0.2, "seed": 5}),
    *_rows("LSTM", SEQUENCE, {"units": 3, "use_bias": False, "activation": "relu"}, masked=True),
    *_rows("GRU", SEQUENCE, {"units": 3}, {"units": 2, "reset_after": False}),
    *_rows("GRU", SEQUENCE, {"units": 3, "return_sequences": True}, masked=True),
    *_rows("Bidirectional", SEQUENCE, {"layer": Made("LSTM", {"units": 2})},
           {"layer": Made("GRU", {"units": 2, "return_sequences": True}), "merge_mode": "sum"}),
    *_rows("TimeDistributed", SEQUENCE, {"layer": Made("Dense", {"units": 2})}),
    *_rows("ConvLSTM1D", (2, 3, 5, 2), {"filters": 2, "kernel_size": 2}),
    Row("Attention", {}, [(2, 3, 4), (2, 5, 4)]),
    Row("Attention", {"use_scale": True, "score_mode": "concat"}, [(2, 3, 4), (2, 5, 4)]),
    Row("AdditiveAttention", {}, [(2, 3, 4), (2, 5, 4)]),
    Row("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, [(2, 3, 4), (2, 5, 4)], graph=True),
    Row("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "value_dim": 2, "use_bias": False},
        [(2, 3, 4), (2, 5, 4), (2, 5, 4)]),
    Row("GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
        [(2, 3, 4), (2, 5, 4)]),
    *_rows("Masking", SEQUENCE, {"mask_value": 0.0}),
    *_rows("Dropout", FLAT, {"rate": 0.4, "seed": 5}),
    *_rows("SpatialDropout1D", SEQUENCE, {"rate": 0.4, "seed": 5}),
    *_rows("AlphaDropout", FLAT, {"rate": 0.4, "seed": 5}),
    *_rows("GaussianDropout", FLAT, {"rate": 0.4, "seed": 5}),
    *_rows("GaussianNoise", FLAT, {"stddev": 0.4, "seed": 5}),
    *_rows("ActivityRegularization", FLAT, {"l1": 0.3, "l2": 0.2}),
    *_rows("Activation", FLAT, {"activation": "swish"}),
    *_rows("ReLU", FLAT, {}, {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.1}),
    *_rows("LeakyReLU", FLAT, {}), *_rows("PReLU", FLAT, {}), *_rows("ELU", FLAT, {}),
    *_rows("Softmax", FLAT, {}, {"axis": 0}), *_rows("Softmax", FLAT, {}, masked=True),
    *_rows("Flatten", IMAGE, {}), *_rows("Reshape", IMAGE, {"target_shape": (-1, 3)}),
    *_rows("Permute", SEQUENCE, {"dims": (2, 1)}), *_rows("RepeatVector", FLAT, {"n": 2}),
    *_rows("UpSampling1D", SEQUENCE, {}),
    *_rows("UpSampling2D", IMAGE, {}, {"size": 2, "interpolation": "bilinear"}),
    *_rows("ZeroPadding2D", IMAGE, {"padding": ((1, 0), (0, 2))}),
    *_rows("Cropping2D", IMAGE, {"cropping": 1}),
    *(Row(kind, arguments, [FLAT, FLAT]) for kind, arguments in (
        ("Add", {}), ("Subtract", {}), ("Multiply", {}), ("Average", {}), ("Maximum", {}),
        ("Minimum", {}), ("Concatenate", {"axis": 1}), ("Dot", {"axes": 1}),
        ("Dot", {"axes": 1, "normalize": True}))),
]  # fmt: skip


def layer_items() -> Iterator[Item]:
    """Every row in either dtype, eager and where marked in graph mode."""
    for row in LAYERS:
        made = Made(row.kind, row.arguments)
        for dtype in DTYPES:
            name = f"layers/{row.kind}"
            for mode in (EAGER, GRAPH) if row.graph else (EAGER,):
                run = partial(layer, made, dtype, drawing(name), graph=mode == GRAPH)
                place = ("layers", row.kind, row.words, dtype, mode)
                yield Item(*place, _cases(row, dtype, name), run)


def drawing(name: str) -> Callable[[int, Sequence[int]], Array]:
    """Weights by number and shape, of the scale that keeps a layer's outputs near 1."""

    def draw(number: int, shape: Sequence[int]) -> Array:
        fan = math.prod(shape[:-1]) or 1
        wide = math.sqrt(3 / fan) if number >= 0 and len(shape) > 1 else 1.0
        return Counter(f"{name}/{number}").uniform(-wide, wide, tuple(shape))

    return draw


def _cases(row: Row, dtype: str, name: str) -> dict[str, Inputs]:
    draw = Counter(f"{name}/inputs")
    given: Inputs = {}
    for number, shape in enumerate(row.shapes):
        key = "inputs" if len(row.shapes) == 1 else f"inputs_{number}"
        numbers = draw.uniform(-2, 2, shape)
        if row.below:
            given[key] = draw.integers(0, row.below, shape).astype(np.int32)
            continue
        if row.kind == "Masking":
            numbers = numbers * (draw.integers(0, 3, (*shape[:-1], 1)) > 0)
        given[key] = cast(numbers, dtype)
    if row.masked:
        shape = row.shapes[0]
        inner = shape if row.kind == "Softmax" else shape[:2]
        mask = draw.integers(0, 3, inner) > 0
        mask[:, 0] = True
        given["mask"] = mask
    return {
        case: given | {"training": np.array(case == "training")}
        for case in ("inference", "training")
    }
