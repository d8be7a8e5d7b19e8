"""Small models that are trained and evaluated: weights, masks, short batches, ways to run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from agreement.upgrade.cases import Inputs, cast
from agreement.upgrade.counter import Counter
from agreement.upgrade.items import DTYPES, EAGER, Item
from agreement.upgrade.layers import drawing
from reference.observe_layers import Made
from reference.observe_training import Training, train

# Ten samples in batches of four: the last has two.
SAMPLES, FEATURES, CLASSES, MOMENTS, WORDS = 10, 5, 3, 4, 6
NETWORK = (
    Made("Dense", {"units": 4, "activation": "tanh"}),
    Made("Dense", {"units": CLASSES, "activation": "softmax"}),
)
PENALISED = (
    Made("Dense", {"units": 4, "activation": "relu", "kernel_regularizer": "l2"}),
    Made("BatchNormalization", {"momentum": 0.5}),
    Made("Dense", {"units": CLASSES, "activation": "softmax", "bias_regularizer": "l1"}),
)
REGRESSION = (Made("Dense", {"units": 2}),)
MASKED = (
    Made("Masking", {"mask_value": 0.0}),
    Made("LSTM", {"units": 3}),
    Made("Dense", {"units": CLASSES, "activation": "softmax"}),
)
TAGGING = (
    Made("Embedding", {"input_dim": WORDS, "output_dim": 3, "mask_zero": True}),
    Made("Dense", {"units": CLASSES, "activation": "softmax"}),
)
ADAM = Made("Adam", {"learning_rate": 0.05})
# Traced once here, and XLA where it is a row's subject: compiling takes seconds.
TRACED: dict[str, Any] = {"jit_compile": False}
FIT: dict[str, Any] = {"batch_size": 4, "epochs": 2}

# A training and the cases it is tried with.
ROWS: dict[str, tuple[Training, tuple[str, ...]]] = {
    "fit": (
        Training("fit", NETWORK, compiling=TRACED, options=FIT),
        ("plain", "sample weights", "class weights"),
    ),
    "fit, Adam, penalties": (Training("fit", PENALISED, ADAM, compiling=TRACED, options=FIT),
                             ("plain",)),
    "fit, as compiled by default": (Training("fit", NETWORK, ADAM, options=FIT), ("plain",)),
    "fit, eagerly": (
        Training("fit", NETWORK, ADAM, compiling={"run_eagerly": True}, options=FIT),
        ("plain", "sample weights"),
    ),
    "fit, regression": (
        Training("fit", REGRESSION, loss="mean_squared_error", metrics=("mae",),
                 compiling=TRACED, options=FIT),
        ("numbers", "numbers, sample weights"),
    ),
    "fit, several steps per execution": (
        Training("fit", NETWORK, compiling=TRACED | {"steps_per_execution": 2}, options=FIT),
        ("plain",),
    ),
    "fit, masked sequences": (Training("fit", MASKED, compiling=TRACED, options=FIT),
                              ("sequences",)),
    "fit, masked words": (
        Training("fit", TAGGING, compiling=TRACED, options=FIT, input_dtype="int32"), ("words",)
    ),
    "train_on_batch": (Training("train_on_batch", NETWORK, compiling=TRACED),
                       ("plain", "sample weights", "class weights")),
    "evaluate": (Training("evaluate", NETWORK, compiling=TRACED, options={"batch_size": 4}),
                 ("plain", "sample weights")),
    "evaluate, masked words": (
        Training("evaluate", TAGGING, compiling=TRACED, options={"batch_size": 4},
                 input_dtype="int32"), ("words",),
    ),
}  # fmt: skip


def training_items() -> Iterator[Item]:
    """Every row in either dtype; the mode is a part of the row."""
    for words, (training, names) in ROWS.items():
        for dtype in DTYPES:
            known = _cases(dtype)
            run = partial(train, training, dtype, drawing("training"))
            place = ("training", training.action, words, dtype, EAGER)
            yield Item(*place, {name: known[name] for name in names}, run)


def _cases(dtype: str) -> dict[str, Inputs]:
    draw = Counter("training/inputs")
    inputs = cast(draw.uniform(-2, 2, (SAMPLES, FEATURES)), dtype)
    labels = draw.integers(0, CLASSES, (SAMPLES,))
    weights = cast(draw.choice([0.0, 0.5, 1.0, 2.0], (SAMPLES,)), dtype)
    numbers = cast(draw.uniform(-2, 2, (SAMPLES, 2)), dtype)
    sequences = draw.uniform(-2, 2, (SAMPLES, MOMENTS, FEATURES))
    lengths = draw.integers(1, MOMENTS + 1, (SAMPLES, 1, 1))
    sequences = sequences * (np.arange(MOMENTS)[:, None] < lengths)
    words = draw.integers(0, WORDS, (SAMPLES, MOMENTS)).astype(np.int32)
    words[:, 0] = 1
    plain = {"inputs": inputs, "labels": labels}
    regression = {"inputs": inputs, "labels": numbers}
    return {
        "plain": plain,
        "sample weights": plain | {"sample_weight": weights},
        "class weights": plain | {"class_weight": cast(np.array([0.5, 1.0, 2.0]), dtype)},
        "numbers": regression,
        "numbers, sample weights": regression | {"sample_weight": weights},
        "sequences": {"inputs": cast(sequences, dtype), "labels": labels},
        "words": {"inputs": words, "labels": draw.integers(0, CLASSES, words.shape)},
    }
