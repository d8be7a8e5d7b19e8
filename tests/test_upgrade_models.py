"""Models of users: what they may return, print and raise, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agreement.cli import app
from agreement.upgrade.comparison import compare
from agreement.upgrade.recorder import record
from agreement.upgrade.recording import Recording, read_recording, write_recording

MODELS = """
import keras
import numpy as np

layers = keras.layers
ALWAYS = np.random.normal(size=(4, 6))
INPUTS, LABELS = np.sin(np.arange(24.0)).reshape(4, 6), np.ones((4, 2))


def dense(**options):
    return keras.Sequential([layers.Dense(3, **options), layers.Dense(2, dtype="float32")])


def branches():
    first, second = keras.Input((6,)), keras.Input((6,))
    ends = [layers.Dense(5)(layers.Dense(4)(x)) for x in (first, second)]
    model = keras.Model([first, second], layers.Add()(ends))
    return model, [INPUTS, INPUTS], np.ones((4, 5)), "mse"


def prints():
    print([1, 2], "\\n[1, 2, 3]")
    return dense(), INPUTS, LABELS, "mse"


def drawn():
    return dense(), ALWAYS, LABELS, "mse"


def half():
    return dense(dtype="mixed_bfloat16"), INPUTS, LABELS, "mse"


def two_heads():
    inputs = keras.Input((6,))
    below = layers.Dense(3)(inputs)
    heads = {"second": layers.Dense(2)(below), "first": layers.Dense(1)(below)}
    labels = {"first": LABELS[:, :1], "second": LABELS}
    losses = {"first": "mse", "second": "mae"}
    return keras.Model(inputs, heads), INPUTS, labels, losses


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.matrix = self.add_weight(shape=(6, 2))

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.matrix)


def own_weight():
    return Own(), INPUTS, LABELS, "mse"


def raises():
    raise RuntimeError("no such thing\\nand more")


def ends():
    raise SystemExit(0)


def three_parts():
    return dense(), INPUTS, LABELS


def no_model():
    return 3, INPUTS, LABELS, "mse"


def raises_in_float64():
    if keras.config.floatx() == "float64":
        raise RuntimeError("not in float64")
    return dense(), INPUTS, LABELS, "mse"
"""

Recorder = Callable[[str], Recording]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODELS, encoding="utf-8")
    return path


@pytest.fixture
def recorded(file: Path) -> Recorder:
    return lambda function: record((), f"{file}:{function}")


def tensors(recording: Recording, dtype: str = "float64") -> dict[str, np.ndarray]:
    """Of the case in training mode."""
    key = next(key for key in recording.cases if f"/{dtype}/" in key)
    return recording.cases[key]["training"].observation.tensors


def test_every_head_of_a_model_is_in_its_loss(recorded: Recorder) -> None:
    """The loss is the sum, and each head's weights have a gradient; heads in order of names."""
    found = tensors(recorded("two_heads"))
    first, second = found["predictions_0"], found["predictions_1"]
    assert (first.shape, second.shape) == ((4, 1), (4, 2))
    by_hand = np.mean((first - 1) ** 2) + np.mean(np.abs(second - 1))
    assert float(found["loss"]) == pytest.approx(float(by_hand))
    heads = {name for name in found if name.startswith("grad_weight") and name.endswith("/0")}
    assert heads == {f"grad_weight 0{i} Dense/0" for i in range(3)}


def test_which_layer_takes_the_output_of_which_is_recorded_and_is_no_tensor_to_compare(
    recorded: Recorder,
) -> None:
    """Of branches, whose layers stand in the order of their depth."""
    made = recorded("branches")
    found = {k: v.tolist() for k, v in tensors(made).items() if k.startswith("takes ")}
    assert found == {
        "takes 00 Dense": [], "takes 01 Dense": [], "takes 02 Dense": [0], "takes 03 Dense": [1],
        "takes 04 Add": [2, 3],
    }  # fmt: skip
    assert compare(made, made).counts.total() == 4 * (2 + 2 * 5 + 2 * 4)


def test_a_weight_of_the_model_itself_has_a_gradient(recorded: Recorder) -> None:
    """It belongs to no layer."""
    assert tensors(recorded("own_weight"))["grad_own_weight_0"].shape == (6, 2)


def test_what_a_model_prints_is_no_result(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for the JSON, and for the progress of a recorder."""
    record((), f"{file}:prints")
    assert capsys.readouterr().out == ""


def test_a_model_in_bfloat16_can_be_recorded(recorded: Recorder, tmp_path: Path) -> None:
    """Its numbers are widened to float32, which changes none."""
    write_recording(tmp_path / "half.npz", recorded("half"))
    found = tensors(read_recording(tmp_path / "half.npz"))["output 00 Dense"]
    assert found.dtype == np.float32
    assert not (found.view(np.uint32) & 0xFFFF).any()


def test_what_a_file_draws_is_the_same_each_time_and_other_inputs_are_not_compared(
    file: Path, recorded: Recorder
) -> None:
    """Otherwise a change of the file would be taken for one of Keras."""
    before = recorded("drawn")
    copy = file.with_name("copies")
    copy.mkdir()
    (copy / file.name).write_text(MODELS, encoding="utf-8")
    same = compare(before, record((), f"{copy / file.name}:drawn"))
    assert (same.exit_status, same.incomparable) == (0, [])
    (copy / "changed").mkdir()
    changed = copy / "changed" / file.name
    changed.write_text(MODELS.replace("ALWAYS =", "ALWAYS = 2 *"), encoding="utf-8")
    other = compare(before, record((), f"{changed}:drawn"))
    assert (other.exit_status, len(other.incomparable)) == (2, 4)
    assert "other inputs" in other.incomparable[0]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("raises", "RuntimeError: no such thing"),
        ("ends", "ends the process"),
        ("three_parts", "a tuple of 3"),
        ("no_model", "int in place of the model"),
    ],
)
def test_a_model_that_only_raises_is_one_clear_error(file: Path, function: str, words: str) -> None:
    """Nothing is written; recordings of nothing else can not be judged."""
    target = file.with_name("r.npz")
    done = CliRunner().invoke(app, ["record", str(target), "--model", f"{file}:{function}"])
    assert done.exit_code != 0
    assert words in str(done.exception)
    assert not target.exists()
    made = record((), f"{file}:{function}")
    found = compare(made, made)
    assert found.exit_status == 2
    assert words in found.incomparable[0]


def test_a_model_that_raises_in_one_dtype_is_compared_in_the_other(recorded: Recorder) -> None:
    """What it raises stands beside it."""
    made = recorded("raises_in_float64")
    found = compare(made, made)
    assert found.exit_status == 0
    assert [note for note in found.notes if "raises RuntimeError: not in float64" in note]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["record", "{here}", "--only", "activations/tanh"], "is a directory"),
        (["record", "{here}/x.npz", "--only", "losses/hubber"], "mean 'losses/huber'"),
        (["compare", "{here}/a.npz", "--model", "m.py:f"], "holds no model"),
        (["compare", "{here}/a.npz", "{here}/a.npz", "--model", "m.py:f"], "--model: is for"),
        (["upgrade", "3.0.0", "3.0.1", "--model", "m"], "expected FILE.py:FUNCTION"),
        (["upgrade", "3.0.0", "3.0.1", "--model", "none.py:f"], "there is no file none.py"),
        (["upgrade", "3.0.0", "3.0.1", "--output", "{here}"], "is a directory"),
        (["upgrade", "3.0.0", "3.0.1", "--output", "{here}/x.json"], "overwritten"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """Neither is anything recorded, nor an environment made."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("works")

    monkeypatch.setattr("agreement.upgrade.recorder._fix_what_varies", refuse)
    monkeypatch.setattr("agreement.upgrade.environments._run", refuse)
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "a.npz", Recording({}, {}, ["layers"]))
    done = CliRunner().invoke(app, [part.format(here=tmp_path) for part in arguments])
    assert isinstance(done.exception, ValueError)
    assert words in str(done.exception)
