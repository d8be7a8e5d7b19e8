"""Changes planted in a copy of the installed Keras are found, each, and nothing else is."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from agreement.upgrade.comparison import compare
from agreement.upgrade.judgement import bounds
from agreement.upgrade.models import remarks
from agreement.upgrade.outcomes import Comparison, Outcome, Side
from agreement.upgrade.recorder import record
from agreement.upgrade.recording import Recording, read_recording
from agreement.upgrade.releases import Asked, run_recorder

HERE = Path(__file__).resolve().parents[1]
ONLY = (
    "activations/tanh", "activations/leaky_relu", "activations/softsign", "activations/mish",
    "activations/relu6", "losses/binary_crossentropy", "losses/squared_hinge",
    "losses/mean_squared_error", "optimizers/adam", "optimizers/sgd", "regularizers/l2",
)  # fmt: skip
MODEL = """
import keras
import numpy as np

def convolutional():
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((6, 6, 1)), layers.Conv2D(2, 3, activation="tanh"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(4), layers.Activation("sigmoid"), layers.Dense(3),
    ])
    images = np.sin(np.arange(4 * 36)).reshape(4, 6, 6, 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, images, np.array([0, 1, 2, 1]), loss
"""


@dataclass(frozen=True)
class Plant:
    """A change of Keras' source: in ``file``, the last ``old`` before ``until`` becomes ``new``."""

    file: str
    old: str
    new: str
    after: str = ""


ACTIVATIONS = "src/activations/activations.py"
PLANTS = (
    # A derivative: the value stays what it was.
    Plant(ACTIVATIONS, "return ops.tanh(x)",
          "return ops.tanh(x) + 1e-3 * (x - backend.core.stop_gradient(x))"),
    # A constant of a clip.
    Plant("src/backend/tensorflow/nn.py", "output, backend.epsilon(), 1.0 - backend.epsilon()",
          "output, 1e-6, 1.0 - 1e-6", after="def binary_crossentropy"),
    # An optimizer's epsilon.
    Plant("src/optimizers/adam.py", "epsilon=1e-7", "epsilon=1e-6"),
    # A default argument.
    Plant(ACTIVATIONS, "def leaky_relu(x, negative_slope=0.2)",
          "def leaky_relu(x, negative_slope=0.3)"),
    # A dtype.
    Plant(ACTIVATIONS, "return ops.softsign(x)", 'return ops.cast(ops.softsign(x), "float32")'),
    # A function removed.
    Plant("activations/__init__.py",
          "from keras.src.activations.activations import mish as mish\n", ""),
    # A function that newly raises.
    Plant("src/losses/losses.py", "def squared_hinge(y_true, y_pred):",
          "def squared_hinge(y_true, y_pred):\n    raise ValueError('planted')"),
    # A derivative inside a layer.
    Plant("src/layers/core/dense.py", "x = ops.matmul(inputs, self.kernel)\n",
          "x = ops.matmul(inputs, self.kernel)\n"
          "        from keras.src.backend import core\n"
          "        x = x + 1e-3 * (x - core.stop_gradient(x)) * (self.units == 4)\n"),
)  # fmt: skip


def plant_in(keras: Path) -> None:
    """Change the copy; a plant whose place is not there fails the test."""
    for plant in PLANTS:
        file = keras / plant.file
        text = file.read_text(encoding="utf-8")
        start = text.index(plant.after) if plant.after else 0
        assert plant.old in text[start:], f"{plant.file} has no {plant.old!r}"
        changed = text[start:].replace(plant.old, plant.new, 1)
        file.write_text(text[:start] + changed, encoding="utf-8")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Recording]:
    """Recordings of the installed Keras and of the changed copy, each in a process of its own."""
    place = tmp_path_factory.mktemp("upgrade")
    spec = importlib.util.find_spec("keras")
    assert spec is not None
    assert spec.origin is not None
    copy = place / "changed"
    shutil.copytree(
        Path(spec.origin).parent, copy / "keras", ignore=shutil.ignore_patterns("__pycache__")
    )
    plant_in(copy / "keras")
    model = place / "model.py"
    model.write_text(MODEL, encoding="utf-8")
    asked = Asked(ONLY, f"{model}:convolutional")
    files = place / "before.npz", place / "after.npz"
    paths = [HERE], [copy, HERE]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(
            lambda file, path: run_recorder(Path(sys.executable), path, file, asked), files, paths
        ))  # fmt: skip
    return read_recording(files[0]), read_recording(files[1])


@pytest.fixture(scope="module")
def comparison(pair: tuple[Recording, Recording]) -> Comparison:
    """What the planted changes changed."""
    return compare(*pair, bounds)


def outcomes(comparison: Comparison, function: str) -> set[tuple[Outcome, Side]]:
    return {(c.outcome, c.side) for c in comparison.changes if c.function == function}


def test_a_release_compared_with_itself_in_another_process_is_all_identical(
    pair: tuple[Recording, Recording],
) -> None:
    """Recordings of one Keras by two processes agree bit by bit."""
    here = record(("activations/tanh", "losses/squared_hinge", "optimizers/sgd"))
    found = compare(pair[0], here, bounds)
    assert set(found.counts) == {Outcome.IDENTICAL}
    assert found.counts[Outcome.IDENTICAL] > 150
    assert found.exit_status == 0
    assert not found.incomparable


def test_a_planted_derivative_is_a_regression(comparison: Comparison) -> None:
    """Of tanh only gradients change, and the derivation sides with the old release."""
    mine = [c for c in comparison.changes if c.function == "tanh"]
    assert {c.tensor for c in mine} == {"grad_inputs"}
    assert outcomes(comparison, "tanh") == {(Outcome.CHANGED, Side.REGRESSION)}
    assert {c.dtype for c in mine} == {"float32", "float64"}
    smooth = next(c for c in mine if c.case == "nice")
    assert "x = " in smooth.shown_by


def test_a_planted_clip_constant_is_found_where_probabilities_are_clipped(
    comparison: Comparison,
) -> None:
    """Of binary cross-entropy nothing changes but cases with probabilities near 0 or 1."""
    mine = [c for c in comparison.changes if c.function == "binary_crossentropy"]
    assert mine
    assert "smooth" not in {c.case for c in mine}
    assert Side.REGRESSION in {c.side for c in mine}


def test_a_planted_epsilon_of_an_optimizer_is_found(comparison: Comparison) -> None:
    """Adam with its defaults changes; with an epsilon of its own it does not, nor does SGD."""
    mine = [c for c in comparison.changes if c.function == "adam"]
    # Keras rounds the learning rate of float64 weights to float32, so neither is quite right there.
    assert {c.side for c in mine if c.dtype == "float32"} == {Side.REGRESSION}
    assert Side.FIX not in {c.side for c in mine}
    assert not any("epsilon" in c.variant for c in mine)
    assert not outcomes(comparison, "sgd")


def test_a_planted_default_argument_is_found_in_the_variant_that_relies_on_it(
    comparison: Comparison,
) -> None:
    """Leaky ReLU changes where no slope is given, and nowhere else."""
    mine = [c for c in comparison.changes if c.function == "leaky_relu"]
    assert {c.variant for c in mine} == {"defaults"}
    assert {c.side for c in mine} == {Side.REGRESSION}


def test_a_planted_dtype_is_found_and_named(comparison: Comparison) -> None:
    """Softsign of float64 gives float32 now."""
    mine = [c for c in comparison.changes if c.function == "softsign"]
    assert {c.dtype for c in mine} == {"float64"}
    notes = {c.note for c in mine if c.tensor == "output"}
    assert notes == {"has dtype float32, had float64"}


def test_a_removed_function_is_gone_and_a_raising_one_raises(comparison: Comparison) -> None:
    """Mish is gone; squared hinge newly raises, which the derivation calls a regression."""
    assert outcomes(comparison, "mish") == {(Outcome.GONE, Side.UNKNOWN)}
    assert outcomes(comparison, "squared_hinge") == {(Outcome.NEWLY_RAISING, Side.REGRESSION)}
    assert any("planted" in c.note for c in comparison.changes if c.function == "squared_hinge")


def test_nothing_else_is_called_a_change(comparison: Comparison) -> None:
    """What was not planted is identical."""
    changed = {c.function for c in comparison.changes}
    assert changed == {
        "tanh", "binary_crossentropy", "adam", "leaky_relu", "softsign", "mish", "squared_hinge",
        "convolutional",
    }  # fmt: skip
    assert comparison.exit_status == 1


def test_the_layer_of_a_users_model_in_which_a_gradient_changed_first_is_named(
    pair: tuple[Recording, Recording], comparison: Comparison
) -> None:
    """Of the model's layers, Dense(4) is guilty: forward all is as before."""
    mine = [c for c in comparison.changes if c.family == "model"]
    assert mine
    assert all(c.tensor.startswith("grad") for c in mine)
    found = remarks(comparison.changes, pair[1])
    assert len(found) == 4
    assert all("layer 3, Dense: the gradient of its weights" in text for text in found)
