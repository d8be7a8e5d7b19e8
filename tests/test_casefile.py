"""Case files: what is written is read, other layouts mean the same, and nothing hostile passes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreement.casefile import CaseFileError, check_file, read_case, replay, write_case
from agreement.cases import Case, draw_case
from agreement.checking import manual_trace
from agreement.strategies import seeds
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential

# Whatever a hostile file claims, reading it takes no more than this.
LITTLE = 8 << 20
TEXT = {
    "format": "agreement-case",
    "version": 1,
    "activations": ["relu", "softmax"],
    "loss": "sparse_categorical_crossentropy",
    "path": "fused",
    "dtype": "float64",
}


def gradients_of(case: Case) -> list[np.ndarray]:
    return manual_trace(case.model, case.inputs, case.targets, case.loss).gradients


def store(path: Path, case: Case, **others: object) -> Path:
    write_case(path, case.model, case.inputs, case.targets, loss=case.loss, **others)
    return path


def elsewhere(samples: int = 4) -> dict[str, np.ndarray]:
    """A two-layer network, and its gradients by formulas written here."""
    generator = np.random.default_rng(1)
    W1, b1, W2, b2 = (generator.uniform(-2, 2, shape) for shape in [(3, 5), 5, (5, 3), 3])
    inputs, labels = generator.uniform(-2, 2, (samples, 3)), np.arange(samples) % 3
    hidden = np.maximum(inputs @ W1 + b1, 0)
    exponentials = np.exp(hidden @ W2 + b2)
    d2 = (exponentials / exponentials.sum(1, keepdims=True) - np.eye(3)[labels]) / samples
    d1 = (d2 @ W2.T) * (hidden > 0)
    return {
        "W1": W1, "b1": b1, "W2": W2, "b2": b2, "inputs": inputs, "labels": labels,
        "grad_W1": inputs.T @ d1, "grad_b1": d1.sum(0),
        "grad_W2": hidden.T @ d2, "grad_b2": d2.sum(0),
    }  # fmt: skip


def save(path: Path, arrays: dict[str, np.ndarray], **text: object) -> Path:
    """What another program would do to write a case file."""
    np.savez(path, case=json.dumps(TEXT | text), **arrays)
    return path


@given(seed=seeds(), dtype=st.sampled_from(["float32", "float64"]))
def test_a_case_is_read_as_it_was_written(
    seed: int, dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Weights, inputs, labels and gradients come back bit by bit, and so does the loss."""
    case = draw_case(seed, 0, dtype)
    gradients = gradients_of(case)
    found = read_case(
        store(tmp_path_factory.mktemp("case") / "case.npz", case, gradients=gradients, note="n")
    )
    written = [*case.model.weights, case.inputs, case.targets, *gradients]
    read = [*found.model.weights, found.inputs, found.targets, *found.gradients]
    for one, other in zip(written, read, strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert (repr(found.model), repr(found.loss)) == (repr(case.model), repr(case.loss))
    assert found.note == "n"
    assert not found.check().any_disagreement


def test_a_file_from_another_program_is_judged(tmp_path: Path) -> None:
    """Gradients by other formulas agree, and one that is 0.1 % too large does not."""
    arrays = elsewhere()
    assert check_file(save(tmp_path / "right.npz", arrays)).agrees
    arrays["grad_W1"] = arrays["grad_W1"] * 1.001
    report = check_file(save(tmp_path / "wrong.npz", arrays))
    assert report.exit_status == 1
    assert {v.name for v in report.disagreements} == {"dense_1.grad_W"}
    assert "gradients 1.77" in report.conclusion()


@pytest.mark.parametrize("weights", ["in_out", "out_in"])
@pytest.mark.parametrize("samples", ["rows", "columns"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("bias", [(-1,), (1, -1), (-1, 1)])
def test_every_layout_means_the_same(
    weights: str, samples: str, reduction: str, bias: tuple[int, ...], tmp_path: Path
) -> None:
    """Transposed weights, samples in columns, biases of any shape and sums are understood."""
    count = 4
    arrays = elsewhere(count)
    for name in arrays:
        if weights == "out_in" and "W" in name:
            arrays[name] = arrays[name].T
        if "b1" in name or "b2" in name:
            arrays[name] = arrays[name].reshape(bias)
        if reduction == "sum" and name.startswith("grad"):
            arrays[name] = arrays[name] * count
    if samples == "columns":
        arrays["inputs"] = arrays["inputs"].T
    layout = {"weights": weights, "samples": samples, "reduction": reduction}
    assert check_file(save(tmp_path / "case.npz", arrays, **layout)).agrees
    other = layout | {"reduction": "sum" if reduction == "mean" else "mean"}
    assert check_file(save(tmp_path / "case.npz", arrays, **other)).any_disagreement


def test_nan_in_a_given_gradient_disagrees(tmp_path: Path) -> None:
    """A gradient that is not a number is a wrong gradient, not a file that cannot be read."""
    arrays = elsewhere()
    arrays["grad_b2"][1] = np.nan
    report = check_file(save(tmp_path / "case.npz", arrays))
    assert [v.name for v in report.disagreements] == ["dense_2.grad_b"]


def test_the_text_may_be_bytes(tmp_path: Path) -> None:
    """A program without NumPy's text type stores the JSON as UTF-8 bytes."""
    text = np.frombuffer(json.dumps(TEXT).encode(), np.uint8)
    np.savez_compressed(tmp_path / "case.npz", case=text, **elsewhere())
    assert check_file(tmp_path / "case.npz").agrees


def test_replay_repeats_what_was_recorded(tmp_path: Path) -> None:
    """A stored case is run against the references that it names, without a framework here."""
    path = store(tmp_path / "case.npz", draw_case(0, 3, "float64"), against=["dual"])
    report = replay(path)
    assert {v.witness for v in report.verdicts} == {"manual", "dual"}
    assert {v.witness for v in replay(path, against=[]).verdicts} == {"manual"}
    with pytest.raises(CaseFileError, match="holds no gradients"):
        check_file(path)


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case file is replaced as a whole or not at all, and nothing else stays behind."""
    path = store(tmp_path / "case.npz", draw_case(0, 1, "float32"))
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        store(path, draw_case(0, 2, "float32"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_layers_that_a_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    """A layer in two places, or of a class of one's own, is named in one clear error."""
    layer = NaiveDense(2, 2, seed=0)

    class Own(NaiveDense):
        pass

    for layers, error in [([layer, layer], "two places"), ([Own(2, 2, seed=0)], "Own")]:
        with pytest.raises((TypeError, ValueError), match=error):
            write_case(tmp_path / "x.npz", NaiveSequential(layers), np.ones((1, 2)), np.zeros(1))
    assert not list(tmp_path.iterdir())


# -- hostile files ----------------------------------------------------------------------------


class Bomb:
    """Unpickling one is seen."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("unpickled",))


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, len(header)) + header.encode() + body


def plain(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> None:
    """A sound case file but for the given members; None leaves one out."""
    whole = {k: plain(v) for k, v in elsewhere().items()}
    whole["case"] = plain(np.array(json.dumps(TEXT)))
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, content in (whole | members).items():
            if content is not None:
                out.writestr(f"{name}.npy", content)


def text(**changes: object) -> bytes:
    return plain(np.array(json.dumps({k: v for k, v in (TEXT | changes).items() if v != "absent"})))


ZEROS = bytes(64 << 20)
HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"
HOSTILE: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "not a zip": lambda p: p.write_bytes(b"\x93NUMPY" * 100),
    "a lone array": lambda p: p.write_bytes(plain(np.ones(3))),
    "foreign archive": lambda p: np.savez(p, weights=np.ones(3), x=np.zeros(2)),
    "no case": lambda p: archive(p, case=None),
    "no inputs": lambda p: archive(p, inputs=None),
    "one gradient missing": lambda p: archive(p, grad_b1=None),
    "unknown member": lambda p: archive(p, W9=plain(np.ones((2, 2)))),
    "pickled text": lambda p: archive(p, case=plain(np.array([Bomb()], object))),
    "pickled weights": lambda p: archive(p, W1=plain(np.array([[Bomb()]], object))),
    "structured": lambda p: archive(p, W1=plain(np.zeros((3, 5), "f8,f8"))),
    "complex": lambda p: archive(p, W1=plain(np.zeros((3, 5), complex))),
    "absurd shape": lambda p: archive(p, W1=npy(HUGE)),
    "negative shape": lambda p: archive(p, W1=npy(HUGE.replace("1000000000", "-1"))),
    "header with code": lambda p: archive(p, W1=npy("{'descr': __import__('os').getcwd()}")),
    "header nested deeply": lambda p: archive(p, W1=npy("(" * 4000)),
    "header of gigabytes": lambda p: archive(
        p, zipfile.ZIP_DEFLATED, W1=npy("", version=b"\x02\x00")[:-4] + b"\xff\xff\xff\x7f" + ZEROS
    ),
    "bomb": lambda p: archive(
        p, zipfile.ZIP_DEFLATED,
        W1=npy("{'descr': '<f8', 'fortran_order': False, 'shape': (8388608, 1), }", ZEROS),
    ),
    "bomb in the text": lambda p: archive(
        p, zipfile.ZIP_DEFLATED,
        case=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }", ZEROS),
    ),
    "lzma": lambda p: archive(p, zipfile.ZIP_LZMA),
    "many members": lambda p: archive(p, **{f"x{i}" * 9: b"" for i in range(20_000)}),
    "three axes": lambda p: archive(p, W1=plain(np.ones((3, 5, 1)))),
    "no samples": lambda p: archive(p, inputs=plain(np.ones((0, 3)))),
    "sizes that do not fit": lambda p: archive(p, W2=plain(np.ones((4, 3)))),
    "gradient of another shape": lambda p: archive(p, grad_W1=plain(np.ones((5, 3)))),
    "labels out of range": lambda p: archive(p, labels=plain(np.array([0, 1, 2, 3]))),
    "infinite weights": lambda p: archive(p, W1=plain(np.full((3, 5), np.inf))),
    "rounded weights": lambda p: archive(p, case=text(dtype="float32")),
    "not JSON": lambda p: archive(p, case=plain(np.array("{"))),
    "nested JSON": lambda p: archive(p, case=plain(np.array("[" * 16_000))),
    "JSON list": lambda p: archive(p, case=plain(np.array("[]"))),
    "another format": lambda p: archive(p, case=text(format="x")),
    "a later version": lambda p: archive(p, case=text(version=2)),
    "no loss": lambda p: archive(p, case=text(loss="absent")),
    "unknown loss": lambda p: archive(p, case=text(loss="nll\x1b[2J")),
    "unknown field": lambda p: archive(p, case=text(colour="red")),
    "unknown activation": lambda p: archive(p, case=text(activations=["relu", "sofmax"])),
    "activation with arguments": lambda p: archive(
        p, case=text(activations=[{"name": "relu", "x": 1}, "softmax"])
    ),
    "activations of another type": lambda p: archive(p, case=text(activations=[[], {}])),
    "unknown layout": lambda p: archive(p, case=text(weights="in")),
    "unknown reference": lambda p: archive(p, case=text(against=["torch"])),
    "path without softmax": lambda p: archive(p, case=text(activations=["relu", "relu"])),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_clear_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the file in one printable line, runs nothing and allocates little."""
    path = tmp_path / "case.npz"
    HOSTILE[name](path)
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    with pytest.raises(CaseFileError) as caught:
        check_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert peak < LITTLE
    assert not (tmp_path / "unpickled").exists()


def test_a_size_limit_can_be_chosen(tmp_path: Path) -> None:
    """A file that unpacks to more than is allowed is refused, whatever it holds."""
    path = save(tmp_path / "case.npz", elsewhere())
    assert read_case(path, largest=1 << 16)
    with pytest.raises(CaseFileError, match="more than the 1024 that are allowed"):
        read_case(path, largest=1 << 10)


def test_a_truncated_file_is_one_clear_error(tmp_path: Path) -> None:
    """Cut anywhere, a case file is refused."""
    whole = save(tmp_path / "case.npz", elsewhere()).read_bytes()
    cut = tmp_path / "cut.npz"
    for length in range(0, len(whole), 41):
        cut.write_bytes(whole[:length])
        with pytest.raises(CaseFileError, match=r"cut\.npz"):
            read_case(cut)


def test_a_corrupted_file_is_refused_or_means_the_same(tmp_path: Path) -> None:
    """With any byte changed a case file is one clear error, or the change did not matter."""
    path = save(tmp_path / "case.npz", elsewhere())
    whole, expected = path.read_bytes(), read_case(path)
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 400):
        changed = bytearray(whole)
        changed[place] ^= int(generator.integers(1, 256))
        path.write_bytes(changed)
        try:
            found = read_case(path)
        except CaseFileError:
            continue
        for one, other in zip(found.model.weights, expected.model.weights, strict=True):
            assert np.array_equal(one, other)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Something that is no file is refused at once, and a file that is not there is named."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CaseFileError, match="not a regular file"):
            read_case(path)
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        read_case(tmp_path / "gone.npz")


def test_the_command_line_says_it_by_its_exit_status(tmp_path: Path) -> None:
    """0 agrees, 1 disagrees, 2 could not judge: and no framework is loaded for any of them."""
    arrays = elsewhere()
    save(tmp_path / "right.npz", arrays)
    save(tmp_path / "wrong.npz", arrays | {"grad_b1": -arrays["grad_b1"]})
    (tmp_path / "broken.npz").write_bytes(b"PK")
    script = (
        "import sys; from agreement.cli import main\n"
        "try: main()\n"
        "finally: assert 'tensorflow' not in sys.modules"
    )
    for name, status in [("right", 0), ("wrong", 1), ("broken", 2)]:
        found = subprocess.run(
            [sys.executable, "-c", script, "check-file", tmp_path / f"{name}.npz"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == status, found.stderr
        assert ("dense_1.grad_b disagrees" in found.stdout) == (status == 1)
        assert found.stderr.count("\n") == (status == 2)


def test_every_verdict_on_a_given_gradient_counts_alone(tmp_path: Path) -> None:
    """Two wrong gradients are both reported: neither is the other's consequence."""
    arrays = elsewhere()
    arrays |= {"grad_W1": arrays["grad_W1"] * 2, "grad_W2": arrays["grad_W2"] * 2}
    report = check_file(save(tmp_path / "case.npz", arrays))
    wrong = [v for v in report.verdicts if v.verdict is Verdict.DISAGREE]
    assert {v.name for v in wrong} == {"dense_1.grad_W", "dense_2.grad_W"}
    assert not any(v.consequence for v in wrong)
