"""Recordings, comparisons and environments, without a framework."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agreement.upgrade import environments, recording
from agreement.upgrade.cases import ACTIVATION_SHAPE, activation_cases
from agreement.upgrade.comparison import compare
from agreement.upgrade.counter import Counter
from agreement.upgrade.environments import Environments, UnavailableError
from agreement.upgrade.items import FAMILIES, catalogue_items, chosen
from agreement.upgrade.models import first_layer, remarks
from agreement.upgrade.outcomes import Expected, Outcome, Side
from agreement.upgrade.recording import (
    Case,
    Recording,
    RecordingError,
    read_recording,
    write_recording,
)
from agreement.upgrade.releases import Asked, Release, Upgrade, paired, run_recorder, upgrade
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.losses import LOSSES
from manual_backprop.typing import Array
from reference.observation import ABSENT, PRESENT, RAISED, Observation


def made(
    status: str = PRESENT, error: str = "", keras: str = "3.0.0", **tensors: Array
) -> Recording:
    """A recording of one item and case in either dtype, with the tensors given as float64."""
    found = Recording({"keras": keras, "tensorflow": "2.21.0"}, {"processor": "x"}, ["layers"])
    for dtype in ("float32", "float64"):
        arrays = {
            name: np.asarray(x).astype(dtype)
            if np.asarray(x).dtype == np.float64
            else np.asarray(x)
            for name, x in tensors.items()
        }
        given = {"inputs": np.arange(4.0)}
        seen = Observation(status, arrays if status == PRESENT else {}, error)
        found.cases[f"layers/Made/defaults/{dtype}/keras"] = {"smooth": Case(given, seen)}
    return found


class Known(Environments):
    """Environments that are there already; of 3.99.9 there is none."""

    def base(self, tensorflow: str) -> Path:
        return self.cache / "python"

    def release(self, keras: str, base: Path) -> Path:
        if keras == "3.99.9":
            raise UnavailableError("keras 3.99.9: does not install: no\nsuch thing")
        return self.cache

    def source(self) -> Path:
        return self.cache


def outcome(before: Recording, after: Recording, **kwargs: object) -> set[Outcome]:
    return set(compare(before, after, **kwargs).counts)  # type: ignore[arg-type]


def test_the_counted_numbers_are_those_of_splitmix64() -> None:
    """The first numbers from the seed 0, as published with the generator."""
    stream = Counter("anything")
    stream._start = np.zeros(1, np.uint64)
    assert [hex(int(z)) for z in stream.bits(3)] == [
        "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f",
    ]  # fmt: skip


def test_inputs_stay_what_they_were() -> None:
    """A change of what is drawn would make every old recording incomparable."""
    assert Counter("a").uniform(0, 1, (2,)).tolist() == [0.22725595922969832, 0.32063699334363394]
    given = activation_cases(ACTIVATIONS["tanh"](), "float32", "activations/tanh")
    assert given["smooth"]["inputs"].shape == ACTIVATION_SHAPE
    assert float(given["hostile"]["inputs"][0, 0]) == 0.0


def test_every_member_of_the_catalogue_is_recorded() -> None:
    """Items come from the catalogue: none is left out, and no two have one key."""
    items = [*catalogue_items(tuple(FAMILIES))]
    assert {i.function for i in items if i.family == "activations"} == set(ACTIVATIONS)
    assert {i.function for i in items if i.family == "losses"} == set(LOSSES)
    assert len({i.key for i in items}) == len(items)


def test_a_recording_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Every dtype, shape, NaN and error."""
    before = made(a=np.array([[1.0, np.nan]]), b=np.float64(2.5), c=np.zeros((0, 3)))
    before.cases["layers/Made/defaults/float32/keras"]["bad"] = Case(
        {"training": np.array(True)}, Observation(RAISED, {}, "ValueError: no")
    )
    write_recording(tmp_path / "r.npz", before)
    after = read_recording(tmp_path / "r.npz")
    assert after.versions == before.versions
    assert set(compare(before, after).counts) == {Outcome.IDENTICAL}
    assert after.cases.keys() == before.cases.keys()
    case = after.cases["layers/Made/defaults/float32/keras"]["bad"]
    assert case.observation.error == "ValueError: no"
    assert case.inputs["training"].dtype == bool


def rewritten(change: Callable[[dict[str, Array]], None]) -> Callable[[Path], None]:
    """What changes the members of an archive and leaves it a sound one."""

    def apply(path: Path) -> None:
        with np.load(path) as archive:
            members = dict(archive)
        change(members)
        np.savez(path, **members)  # type: ignore[arg-type]

    return apply


def newer(members: dict[str, Array]) -> None:
    content = json.loads(members["recording"].tobytes())
    content["version"] = 99
    members["recording"] = np.frombuffer(json.dumps(content).encode(), np.uint8)


def tampered(members: dict[str, Array]) -> None:
    members["float32"] = members["float32"] + 1


def foreign(members: dict[str, Array]) -> None:
    members.clear()
    members["weights"] = np.ones(3)


def with_objects(members: dict[str, Array]) -> None:
    members["float32"] = np.array([{}], dtype=object)


def misnamed(members: dict[str, Array]) -> None:
    content = json.loads(members["recording"].tobytes())
    content["items"]["x"] = content["items"].popitem()[1]
    members["recording"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    del members["checksum"]
    members["checksum"] = np.frombuffer(recording._checksum(members), np.uint8)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def flipped(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("float64.npy").header_offset
    content = bytearray(path.read_bytes())
    content[offset + 90] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "not a readable recording"),
        (flipped, "recording"),
        (rewritten(tampered), "checksum"),
        (rewritten(newer), "version 99"),
        (rewritten(foreign), "is not a recording"),
        (rewritten(with_objects), "Python objects"),
        (rewritten(misnamed), "has an item 'x'"),
        (lambda path: path.write_bytes(b""), "not a readable recording"),
        (lambda path: path.write_text("hello"), "not a readable recording"),
    ],
    ids=[
        "truncated",
        "flipped",
        "tampered",
        "newer",
        "foreign",
        "objects",
        "misnamed",
        "empty",
        "text",
    ],
)
def test_a_file_that_is_no_whole_recording_is_one_clear_error(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    """The message is one line, names the file, and says what is wrong."""
    path = tmp_path / "r.npz"
    write_recording(path, made(a=np.arange(50.0)))
    damage(path)
    with pytest.raises(RecordingError, match=words) as caught:
        read_recording(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_interrupted_recording_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced when the new one is complete, and nothing is left beside it."""
    path = tmp_path / "r.npz"
    write_recording(path, made(a=np.arange(5.0)))
    old = path.read_bytes()

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_recording(path, made(a=np.arange(6.0)))
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.npz"]


def test_a_difference_that_shrinks_with_the_roundoff_is_rounding() -> None:
    """1e-7 in float32 and 1e-16 in float64 is rounding; 1e-7 in both, or in float64, is not."""
    a = np.linspace(1, 2, 8)
    one = made(a=a)

    def moved(single: float, double: float) -> Recording:
        other = made(a=a)
        for dtype, by in (("float32", single), ("float64", double)):
            case = other.cases[f"layers/Made/defaults/{dtype}/keras"]["smooth"]
            case.observation.tensors["a"] = (a * (1 + by)).astype(dtype)
        return other

    assert outcome(one, moved(2e-7, 3e-16)) == {Outcome.ROUNDING}
    assert Outcome.CHANGED in outcome(one, moved(2e-7, 1e-7))
    assert Outcome.CHANGED in outcome(one, moved(0.0, 1e-9))
    assert Outcome.CHANGED in outcome(one, moved(0.01, 0.0))


def test_a_layer_with_a_dtype_of_its_own_may_round_in_it() -> None:
    """Numbers that are float32 whatever is asked for shrink with no roundoff."""
    a = np.linspace(1, 2, 8, dtype="float32")
    assert outcome(made(a=a), made(a=a * np.float32(1 + 3e-7))) == {Outcome.ROUNDING}
    assert outcome(made(a=a), made(a=a * np.float32(1 + 3e-4))) == {Outcome.CHANGED}


def test_what_rounding_leaves_of_a_zero_is_rounding() -> None:
    """A gradient that cancels to 1e-17 may have any sign, beside numbers near 1."""
    one, other = (made(a=np.ones(3), b=np.array([sign * 1e-17])) for sign in (1, -1))
    assert outcome(one, other) == {Outcome.IDENTICAL, Outcome.ROUNDING}


def test_statuses_shapes_and_nans_have_outcomes_of_their_own() -> None:
    """New, gone, raising, NaN, a shape, a dtype, a tensor that is missing."""
    here, nan = made(a=np.ones(2)), made(a=np.array([1.0, np.nan]))
    raising, absent = made(RAISED, "ValueError: x"), made(ABSENT, "keras.x does not exist")
    assert outcome(absent, here) == {Outcome.NEW}
    assert outcome(here, absent) == {Outcome.GONE}
    assert outcome(here, raising) == {Outcome.NEWLY_RAISING}
    assert outcome(raising, here) == {Outcome.NO_LONGER_RAISING}
    assert outcome(raising, made(RAISED, "ValueError: y")) == {Outcome.IDENTICAL}
    assert outcome(raising, made(RAISED, "TypeError: x")) == {Outcome.CHANGED}
    assert outcome(here, nan) == {Outcome.NEWLY_NAN}
    assert outcome(nan, here) == {Outcome.NO_LONGER_NAN}
    assert outcome(here, made(a=np.ones((2, 1)))) == {Outcome.CHANGED}
    assert outcome(here, made(a=np.ones(2, int))) == {Outcome.CHANGED}
    assert outcome(made(a=np.ones(2), b=np.ones(1)), here) == {Outcome.IDENTICAL, Outcome.CHANGED}
    assert compare(absent, here).exit_status == 0
    assert compare(here, absent).exit_status == 1
    assert compare(absent, absent).exit_status == 2


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [(1.0, 2.0, Side.REGRESSION), (2.0, 1.0, Side.FIX), (3.0, 2.0, Side.CONVENTION)],
)
def test_the_derivation_says_which_side_is_right(before: float, after: float, side: Side) -> None:
    """1 ± 1e-6 is expected."""
    expected = {"a": Expected(np.ones(4), np.full(4, 1e-6))}
    found = compare(made(a=np.full(4, before)), made(a=np.full(4, after)), lambda *args: expected)
    assert {c.side for c in found.changes} == {side}
    assert found.changes[0].expected == 1.0


def test_within_the_derived_bound_is_rounding_and_a_blunt_bound_excuses_nothing() -> None:
    """A bound as wide as the numbers says nothing: the change stays one."""
    one, other = made(a=np.ones(4)), made(a=np.full(4, 1 + 1e-5))
    tight = {"a": Expected(np.ones(4), np.full(4, 2e-5))}
    blunt = {"a": Expected(np.ones(4), np.full(4, 5.0))}
    assert outcome(one, other, bounds=lambda *args: tight) == {Outcome.ROUNDING}
    assert outcome(one, other, bounds=lambda *args: blunt) == {Outcome.CHANGED}


def test_a_newly_nan_tensor_is_shown_where_it_is_nan() -> None:
    """And not at an infinity before it."""
    found = compare(made(a=np.ones(3)), made(a=np.array([1, np.inf, np.nan])))
    assert {c.outcome for c in found.changes} == {Outcome.NEWLY_NAN}
    assert {c.where for c in found.changes} == {(2,)}


def test_the_rows_of_a_weight_are_not_taken_for_samples() -> None:
    """Only what has a row for each sample is shown by one."""
    before = made(output=np.ones(4), grad_weight_0=np.ones((3, 4)))
    after = made(output=np.zeros(4), grad_weight_0=np.zeros((3, 4)))
    shown = {c.tensor: c.shown_by for c in compare(before, after).changes}
    assert shown == {"output": "inputs = 0.0", "grad_weight_0": ""}
    for found in (before, after):
        found.families = ["training"]
        found.cases = {k.replace("layers", "training"): v for k, v in found.cases.items()}
    assert {c.shown_by for c in compare(before, after).changes} == {""}


def test_a_change_at_a_kink_is_a_convention() -> None:
    """Where there is no derivative, either choice is one."""
    expected = {"a": Expected(np.zeros(4), np.zeros(4), np.ones(4, bool))}
    found = compare(made(a=np.zeros(4)), made(a=np.ones(4)), lambda *args: expected)
    assert {c.side for c in found.changes} == {Side.CONVENTION}


def test_what_only_one_recording_was_asked_for_is_said_not_to_be_compared() -> None:
    """Nothing changed, of what both hold."""
    one, other = made(a=np.ones(2)), made(a=np.ones(2))
    other.families = ["losses", "layers/Made"]
    found = compare(one, other)
    assert found.exit_status == 0
    assert any("holds losses, layers/Made" in note for note in found.notes)


def test_recordings_with_other_inputs_are_not_compared() -> None:
    """The exit status says that it could not be judged."""
    one, other = made(a=np.ones(2)), made(a=np.zeros(2))
    for cases in other.cases.values():
        cases["smooth"].inputs["inputs"] = np.zeros(4)
    found = compare(one, other)
    assert (found.exit_status, len(found.incomparable)) == (2, 2)
    other.families = ["losses"]
    with pytest.raises(RecordingError, match="nothing in common"):
        compare(one, other)


def test_the_first_layer_is_the_one_whose_output_or_gradient_changed_first() -> None:
    """Forward from the inputs, backward from the loss."""
    layers = ["00 Conv2D", "01 MaxPooling2D", "02 Dense"]
    assert "layer 1, MaxPooling2D: its output" in first_layer(
        {"output 01 MaxPooling2D", "output 02 Dense", "grad_weight 00 Conv2D/0"}, layers
    )
    below = {"grad_output 00 Conv2D", "grad_weight 00 Conv2D/0"}
    assert "layer 1, MaxPooling2D: the gradient of its inputs" in first_layer(below, layers)
    assert "layer 0, Conv2D: the gradient of its weights" in first_layer(
        {"grad_weight 00 Conv2D/0"}, layers
    )
    assert first_layer({"loss"}, layers) == ""


def test_where_a_model_branches_the_layer_that_takes_the_output_is_named() -> None:
    """The next one in the list may be on another branch."""
    layers = ["00 Dense", "01 Embedding", "02 LSTM", "03 Add", "04 Dense"]
    takers = {"00 Dense": ["03 Add"], "01 Embedding": ["02 LSTM"], "02 LSTM": ["03 Add"],
              "03 Add": [], "04 Dense": []}  # fmt: skip
    assert "layer 3, Add: the gradient of its inputs" in first_layer(
        {"grad_output 00 Dense"}, layers, takers
    )
    assert "what takes the output of layer 3, Add" in first_layer(
        {"grad_output 03 Add"}, layers, takers
    )
    assert "the loss" in first_layer({"grad_output 04 Dense"}, layers, takers)
    takers["00 Dense"] = ["02 LSTM", "03 Add"]
    assert "layer 2, LSTM or layer 3, Add" in first_layer({"grad_output 00 Dense"}, layers, takers)


def test_layers_are_counted_beyond_a_hundred() -> None:
    """As numbers: 100 does not stand before 50."""
    names = [f"output {number:02d} Dense" for number in range(104)]
    before = made(**{name: np.ones(2) for name in names})
    after = made(**{name: np.full(2, 1.0 + (i >= 50)) for i, name in enumerate(names)})
    for found in (before, after):
        found.model = "m.py:deep"
        cases = found.cases.pop("layers/Made/defaults/float32/keras")
        found.cases = {"model/deep/m.py/float32/keras": cases}
    told = remarks(compare(before, after).changes, after)
    assert told == ["deep, float32, smooth: layer 50, Dense: its output is the first that changed"]


def test_a_release_that_cannot_be_had_is_one_line_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours that were recorded are compared, over the one that was not."""

    monkeypatch.setattr(
        "agreement.upgrade.releases._record",
        lambda release, *rest: made(keras=release.keras, a=np.ones(2)),
    )
    releases = paired(["3.0.0", "3.99.9", "3.1.0"], ["2.21.0"])
    found = upgrade(releases, Known(tmp_path), Asked(("layers",)))
    assert list(found.failures) == [Release("3.99.9", "2.21.0")]
    assert "\n" not in found.failures[releases[1]]
    assert [c.exit_status for c in found.comparisons] == [0]
    assert found.exit_status == 2  # one could not be judged


def test_a_change_is_put_down_to_keras_or_tensorflow_by_crossing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``a`` follows Keras and ``b`` TensorFlow, and each is said to."""

    def recorded(release: Release, *rest: object) -> Recording:
        numbers = {"a": float(release.keras == "3.1.0"), "b": float(release.tensorflow == "2.21.0")}
        found = made(keras=release.keras, **{k: np.full(2, 1 + v) for k, v in numbers.items()})
        found.title = str(release)
        return found

    monkeypatch.setattr("agreement.upgrade.releases._record", recorded)
    found = upgrade(
        paired(["3.0.0", "3.1.0"], ["2.20.0", "2.21.0"]), Known(tmp_path), Asked(("layers",))
    )
    causes = {(c.tensor, c.cause) for c in found.comparisons[0].changes}
    assert causes == {("a", "keras"), ("b", "tensorflow")}
    write = pytest.importorskip("agreement.upgrade.html").write_report
    write(tmp_path / "report.html", found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "changed by tensorflow" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_report_shows_tensors_without_elements_and_any_name(tmp_path: Path) -> None:
    """Of a tensor that is empty there is nothing to draw; names are text."""
    releases = [Release("3.0.0", "2.21.0"), Release("3.1.0", "2.21.0")]
    name = "<script>alert(1)</script>"
    numbers: dict[str, tuple[Array, Array]] = {
        "empty": (np.zeros((3, 0)), np.zeros((3, 0), np.float16)),
        name: (np.array([np.nan, 1]), np.array([1, np.inf])),
    }
    found = Upgrade(releases)
    for place, release in enumerate(releases):
        made_of = {key: pair[place] for key, pair in numbers.items()}
        found.recordings[release] = made(**made_of)
        found.recordings[release].title = str(release)
    found.comparisons = [compare(*found.recordings.values())]
    write = pytest.importorskip("agreement.upgrade.html").write_report
    write(tmp_path / "report.html", found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "has dtype float16, had float64" in page
    assert name not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("version", "package"), [("3.15.1", "keras"), ("3.16.0.dev2026102704", "keras-nightly")]
)
def test_builds_of_the_night_are_installed_by_their_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, package: str
) -> None:
    """They call themselves keras once they are imported."""
    wanted: list[str] = []

    def install(self: Environments, base: Path, asked: list[str], what: str) -> None:
        wanted.extend(asked)
        Path(asked[asked.index("--target") + 1]).mkdir()

    monkeypatch.setattr(Environments, "_install", install)
    assert Environments(tmp_path).release(version, tmp_path).is_dir()
    assert wanted[-1] == f"{package}=={version}"


@pytest.mark.parametrize("version", ["--index-url", "3.0; x", "", "latest", "../3.0.0"])
def test_what_is_not_a_version_never_reaches_an_installer(tmp_path: Path, version: str) -> None:
    """The error names the argument."""
    with pytest.raises(UnavailableError, match=r"keras: .* is not a version"):
        Environments(tmp_path).release(version, tmp_path)


def test_an_installer_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what the installer said last."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'ERROR: No matching distribution' >&2\nexit 1\n")
    script.chmod(0o755)
    cache = tmp_path / "cache"
    with pytest.raises(UnavailableError, match="does not install: ERROR: No matching"):
        Environments(cache).release("3.0.0", script)
    assert list(cache.iterdir()) == []


def test_a_family_that_is_not_there_and_too_few_releases_are_refused() -> None:
    """The errors say what was expected."""
    with pytest.raises(ValueError, match=r"--only: unknown name 'loses'"):
        chosen(["loses"])
    with pytest.raises(ValueError, match="at least two"):
        paired(["3.0.0"], ["2.21.0"])
    with pytest.raises(ValueError, match="2 versions for 3 releases"):
        paired(["3.0.0"] * 3, ["2.20.0", "2.21.0"])


def test_the_command_compares_two_files(tmp_path: Path) -> None:
    """Exit status 0 where nothing changed and 1 where something did; JSON says the same."""
    from typer.testing import CliRunner

    from agreement.cli import app

    names = [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    write_recording(names[0], made(a=np.ones(3)))
    write_recording(names[1], made(a=np.array([1.0, 1.0, 2.0])))
    same = CliRunner().invoke(app, ["compare", names[0], names[0]])
    assert (same.exit_code, "nothing changed" in same.output) == (0, True)
    other = CliRunner().invoke(app, ["compare", *names])
    assert (other.exit_code, "something changed" in other.output) == (1, True)
    told = json.loads(CliRunner().invoke(app, ["compare", *names, "--json"]).output)
    assert (told["exit_status"], told["counts"]) == (1, {"changed": 2})
    assert told["changes"][0]["where"] == [2]


def test_an_error_whose_words_look_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    """Brackets of shapes, devices and operations are neither swallowed nor a failure."""
    from typer.testing import CliRunner

    from agreement.cli import app

    names = [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    write_recording(names[0], made(a=np.ones(3)))
    write_recording(names[1], made(RAISED, "ValueError: [inputs] on [/device:CPU:0] :x:"))
    shown = CliRunner().invoke(app, ["compare", *names])
    assert (shown.exit_code, "[inputs] on [/device:CPU:0] :x:" in shown.output) == (1, True)


def spoken(tmp_path: Path, program: str) -> list[int]:
    """The progress of a recorder that is this program."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{program}\n")
    python.chmod(0o755)
    shares: list[int] = []
    run_recorder(python, [], tmp_path / "r.npz", Asked(), shares.append)
    return shares


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import sys; sys.exit('Error: no\\nI0000 00:00:17 1 x.cc:1] noise')", "Error: no"),
        ("import sys; sys.exit('no\\nI0000 00:00:17 1 x.cc:1] noise')", "recorded: no"),
    ],
)
def test_what_a_recorder_dies_of_is_told(tmp_path: Path, program: str, words: str) -> None:
    """A signal, or its last words without a framework's notices."""
    with pytest.raises(RecordingError, match=f"{words}$"):
        spoken(tmp_path, program)


def test_what_else_a_recorder_prints_is_no_progress(tmp_path: Path) -> None:
    """Such as lists that a user's model prints."""
    program = "print('[1, 2, 3]'); print('[0.5]'); print('[1, 0]'); print('[1, 2]')"
    assert spoken(tmp_path, program) == [55]


def test_an_interrupt_does_not_wait_for_what_is_being_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorders are ended, also where the interrupt reached this process alone."""

    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '[0, 2]'\nexec sleep 60\n")
    python.chmod(0o755)
    started = time.monotonic()
    told: list[int] = []

    def interrupt(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 4:  # nothing yet, two environments, the first line of a recorder
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell's background jobs, which tests may be one of, have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            upgrade(paired(["3.0.0", "3.1.0"], ["2.21.0"]), Known(tmp_path), Asked(), interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 30


def test_a_version_without_its_last_zero_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.15 installs 3.15.0."""

    def run(python: Path, paths: object, file: Path, *rest: object) -> None:
        write_recording(file, made(keras="3.15.0", a=np.ones(2)))

    monkeypatch.setattr("agreement.upgrade.releases.run_recorder", run)
    found = upgrade(paired(["3.15", "3.16"], ["2.21.0"]), Known(tmp_path), Asked(("layers",)))
    assert [release.keras for release in found.recordings] == ["3.15"]
    assert "imports keras 3.15.0 instead" in found.failures[Release("3.16", "2.21.0")]


def test_recording_needs_nothing_of_the_judge() -> None:
    """A process beside another NumPy imports the recorder without error-carrying numbers."""
    program = (
        "import sys, agreement.upgrade.recorder as r, agreement.upgrade.items as i; "
        "list(i.catalogue_items(tuple(i.FAMILIES))); "
        "print([m for m in sys.modules if m in ('agreement.bounded', 'typer', 'tensorflow')])"
    )
    root = Path(recording.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=environments.surroundings([root]),
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
