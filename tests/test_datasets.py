"""Data sets: their exact contents, their splits, and one clear error per bad input."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from manual_backprop.datasets import (
    MNIST_FILES,
    MNIST_KEYS,
    Dataset,
    DatasetUnavailableError,
    digits,
    mnist,
    normalise,
    spiral,
)

TRAIN_IMAGES, TRAIN_LABELS, HELD_IMAGES, HELD_LABELS = MNIST_FILES
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def dataset(samples: int = 10, **changes: object) -> Dataset:
    """Sample i has the features 2i and 2i + 1, so that every row tells its number."""
    fields: dict[str, object] = {
        "images": np.arange(2.0 * samples).reshape(samples, 2),
        "labels": np.arange(samples) % 3,
        "name": "rows",
    }
    return Dataset(**{**fields, **changes})  # type: ignore[arg-type]


def idx(magic: int, shape: tuple[int, ...], data: bytes) -> bytes:
    """The bytes of an IDX file: big-endian header, then data."""
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + data


def tiny_mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three training and two held-out pictures with all grey levels and the end labels."""
    levels = (np.arange(5 * 28 * 28) % 256).astype(np.uint8).reshape(5, 28, 28)
    labels = np.array([0, 9, 5, 1, 8], np.uint8)
    return levels[:3], labels[:3], levels[3:], labels[3:]


@pytest.fixture
def idx_directory(tmp_path: Path) -> Path:
    """A directory with the four files of a tiny MNIST, as published."""
    for name, array in zip(MNIST_FILES, tiny_mnist(), strict=True):
        content = idx(2051 if array.ndim == 3 else 2049, array.shape, array.tobytes())
        (tmp_path / name).write_bytes(gzip.compress(content))
    return tmp_path


def assert_is_tiny_mnist(found: tuple[Dataset, Dataset], dtype: str) -> None:
    """Both halves hold exactly the pixels over 255, and the labels, of ``tiny_mnist``."""
    train_images, train_labels, held_images, held_labels = tiny_mnist()
    for half, images, labels in zip(
        found, (train_images, held_images), (train_labels, held_labels), strict=True
    ):
        assert half.images.dtype == dtype
        assert np.array_equal(half.images, images.reshape(-1, 784).astype(dtype) / np.float32(255))
        assert half.labels.dtype == np.int64
        assert np.array_equal(half.labels, labels)
        assert (half.classes, half.image_shape) == (10, (28, 28))
    assert [half.name for half in found] == ["mnist train", "mnist held-out"]


def test_importing_the_module_imports_numpy_alone() -> None:
    """In a fresh interpreter neither scikit-learn nor a framework nor matplotlib is loaded."""
    program = (
        "import sys; import manual_backprop.datasets, manual_backprop.plots; "
        "heavy = {'sklearn', 'keras', 'tensorflow', 'matplotlib', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@DTYPES
def test_digits_are_the_bundled_ones_over_sixteen(dtype: str) -> None:
    """All 1797 digits come with 64 features from 0 to 1, in steps of exactly a sixteenth."""
    from sklearn.datasets import load_digits

    found = digits(dtype)
    assert found.images.dtype == dtype
    assert np.array_equal(found.images * 16, load_digits().data)
    assert np.array_equal(found.labels, load_digits().target)
    assert (len(found), found.classes, found.image_shape) == (1797, 10, (8, 8))
    assert (found.images.min(), found.images.max()) == (0, 1)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn is missing, the ImportError names it."""
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        digits()


def test_the_legacy_spiral_reproduces_the_published_network() -> None:
    """Data, then weights, from legacy seed 0 give the printed loss and accuracy in float32."""
    random = np.random.RandomState(0)
    data = spiral(100, 3, random)
    first, second = (
        (0.01 * random.standard_normal(shape)).astype(np.float32) for shape in ((2, 3), (3, 3))
    )
    logits = np.maximum(data.images @ first, 0) @ second
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    predictions = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert predictions.dtype == np.float32
    picked = predictions[np.arange(300), data.labels]
    assert round(float(-np.log(picked).mean()), 6) == 1.098610  # printed: 1.0986104
    assert (predictions.argmax(axis=1) == data.labels).mean() == 0.34


@DTYPES
def test_the_spiral_is_the_published_formula(dtype: str) -> None:
    """Replaying the draws point by point in plain Python gives the same points."""
    import math

    data = spiral(4, 2, seed=5, dtype=dtype)
    noise = np.random.default_rng(5).standard_normal(8)
    expected = []
    for arm in range(2):
        for step in range(4):
            angle = 4 * arm + 4 * step / 3 + 0.2 * noise[4 * arm + step]
            radius = step / 3
            expected.append((radius * math.sin(2.5 * angle), radius * math.cos(2.5 * angle)))
    assert data.images.dtype == dtype
    assert np.array_equal(data.images.round(6), np.array(expected, dtype).round(6))
    assert data.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (data.classes, data.image_shape, len(data)) == (2, None, 8)


def test_the_spiral_is_cast_once_at_the_end() -> None:
    """The float32 points are the float64 points, rounded."""
    assert np.array_equal(
        spiral(seed=3).images, spiral(seed=3, dtype="float64").images.astype(np.float32)
    )


def test_the_spiral_repeats_for_a_seed_and_moves_on_with_a_generator() -> None:
    """An integer seed gives the same points again; a shared generator gives new ones."""
    assert np.array_equal(spiral(9, seed=1).images, spiral(9, seed=1).images)
    assert not np.array_equal(spiral(9, seed=1).images, spiral(9, seed=2).images)
    shared = np.random.default_rng(1)
    assert np.array_equal(spiral(9, seed=shared).images, spiral(9, seed=1).images)
    assert not np.array_equal(spiral(9, seed=shared).images, spiral(9, seed=1).images)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"samples_per_class": 0}, ValueError, "samples_per_class: "),
        ({"samples_per_class": 2.5}, TypeError, "samples_per_class: "),
        ({"classes": -1}, ValueError, "classes: "),
        ({"classes": True}, TypeError, "classes: "),
        ({"seed": None}, TypeError, "seed: .*NoneType"),
        ({"seed": "0"}, TypeError, "seed: .*str"),
        ({"seed": -1}, ValueError, "seed: .*-1"),
        ({"dtype": "float16"}, ValueError, "dtype: .*float16"),
        ({"dtype": None}, ValueError, "dtype: .*None"),
    ],
    ids=[
        "none",
        "half",
        "negative",
        "bool",
        "no-seed",
        "text-seed",
        "negative-seed",
        "float16",
        "no-dtype",
    ],
)
def test_bad_spirals_are_explained(
    arguments: dict[str, object], kind: type[Exception], message: str
) -> None:
    """A bad count, seed or dtype raises an error that begins with the argument."""
    with pytest.raises(kind, match=f"^{message}"):
        spiral(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fraction", "held"), [(0.2, 2), (0.25, 2), (0.05, None), (0.9, 9), (0.96, None)]
)
def test_a_split_deals_every_sample_exactly_once(fraction: float, held: int | None) -> None:
    """The two sides share no sample, lose none, keep rows and labels together, or refuse."""
    data = dataset(10)
    if held is None:
        with pytest.raises(ValueError, match=r"^fraction: .* leaves one side empty"):
            data.split(fraction)
        return
    train, held_out = data.split(fraction)
    assert (len(train), len(held_out)) == (10 - held, held)
    rows = np.concatenate([train.images[:, 0], held_out.images[:, 0]]) / 2
    assert sorted(rows) == list(range(10))
    assert np.array_equal(np.concatenate([train.labels, held_out.labels]), rows % 3)


def test_a_split_is_random_and_repeatable() -> None:
    """The same seed deals the same hands, another seed others, and neither keeps the order."""
    data = dataset(100)
    hands = [data.split(seed=seed)[1].images[:, 0].tolist() for seed in (0, 0, 1)]
    assert hands[0] == hands[1] != hands[2]
    assert hands[0] != sorted(hands[0])
    assert data.split(seed=np.random.default_rng(0))[1].images[:, 0].tolist() == hands[0]


def test_a_split_keeps_the_classes_and_the_picture_shape() -> None:
    """A side that lost the last class still knows that it exists."""
    data = dataset(3, labels=np.array([0, 1, 6]), image_shape=(1, 2))
    for seed in range(5):
        for side in data.split(0.4, seed):
            assert (side.classes, side.image_shape) == (7, (1, 2))
    train, held_out = data.split()
    assert (train.name, held_out.name) == ("rows train", "rows held-out")


@pytest.mark.parametrize(
    ("fraction", "kind"),
    [
        (0, ValueError),
        (1.0, ValueError),
        (-0.2, ValueError),
        (float("nan"), ValueError),
        ("0.2", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_bad_fractions_are_explained(fraction: object, kind: type[Exception]) -> None:
    """A fraction that is no number strictly between 0 and 1 raises an error naming it."""
    with pytest.raises(kind, match=r"^fraction: .*0\.2"):
        dataset().split(fraction)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"images": np.zeros((10, 2), int)}, TypeError, "images: .*int64.*normalise"),
        ({"images": np.zeros((10, 2), "float16")}, TypeError, "images: .*float16"),
        ({"images": np.zeros((10, 2, 2))}, ValueError, "images: .*reshape"),
        ({"images": np.zeros((0, 2))}, ValueError, "images: .*non-empty"),
        ({"images": np.full((10, 2), np.nan)}, ValueError, r"images: .*20 .*\(0, 0\)"),
        ({"labels": np.zeros(10)}, TypeError, "labels: .*float64"),
        ({"labels": np.zeros(9, int)}, ValueError, r"labels: .*\(9,\)"),
        ({"labels": np.eye(10, dtype=int)}, ValueError, "labels: .*argmax"),
        ({"labels": np.arange(10) - 1}, ValueError, "labels: .*-1"),
        ({"known_classes": 2}, ValueError, "labels: expected 0 to 1, got 2"),
        ({"known_classes": 0}, ValueError, "known_classes: "),
        ({"image_shape": (2, 2)}, ValueError, r"image_shape: \(2, 2\) .* 2 features"),
        ({"image_shape": 2}, ValueError, "image_shape: 2 "),
        ({"image_shape": (-1, -2)}, ValueError, "image_shape: "),
    ],
    ids=[
        "integers",
        "half",
        "pictures",
        "empty",
        "nan",
        "float-labels",
        "count",
        "one-hot",
        "negative",
        "beyond",
        "no-class",
        "pixels",
        "scalar-shape",
        "negative-shape",
    ],
)
def test_bad_fields_are_explained(
    changes: dict[str, object], kind: type[Exception], message: str
) -> None:
    """A dataset whose parts do not fit raises an error that begins with the part."""
    with pytest.raises(kind, match=f"^{message}"):
        dataset(**changes)  # type: ignore[arg-type]


def test_a_dataset_counts_its_samples_and_classes() -> None:
    """Length, classes and text speak of the samples; small integer labels become int64."""
    data = dataset(labels=np.array([0, 1, 2, 3, 4] * 2, np.uint8))
    assert (len(data), data.classes, data.labels.dtype) == (10, 5, np.int64)
    assert repr(data) == "Dataset('rows': 10 samples, 2 features, 5 classes, float64)"
    assert dataset(known_classes=8).classes == 8


@DTYPES
@pytest.mark.parametrize(
    ("pixels", "maximum", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), None, [0, 0.2, 1]),
        (np.array([0, 13107, 65535], np.uint16), None, [0, 0.2, 1]),
        (np.array([False, True]), None, [0, 1]),
        (np.array([0, 0.25, 1], np.float16), None, [0, 0.25, 1]),
        ([[0, 4], [16, 8]], 16, [[0, 0.25], [1, 0.5]]),
    ],
    ids=["uint8", "uint16", "bool", "float", "maximum"],
)
def test_pixels_are_divided_by_their_range(
    pixels: object, maximum: float | None, expected: list[object], dtype: str
) -> None:
    """Every kind of pixel lands on the exactly rounded quotient, in its own shape."""
    found = normalise(pixels, dtype, maximum)
    assert found.dtype == dtype
    assert np.array_equal(found, np.array(expected, dtype))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([0.5, float("nan"), float("inf")], r"images: .*got 2 .*first at \(1,\)"),
        ([], "images: expected at least one pixel"),
        (np.zeros((0, 784), np.uint8), r"images: .*\(0, 784\)"),
        (np.array([None, 1]), "images: .*object"),
        (["a"], "images: expected numbers"),
        (np.array([1j]), "images: .*complex128"),
        ([[1, 2], [3]], "images: .*different lengths"),
        ([0, 255], "images: int64 .*maximum=255"),
        ([0.0, 255.0], r"images: .*\[0, 1\], got 0.0 to 255.0"),
        ([-0.5], "images: .*-0.5"),
    ],
    ids=[
        "nan",
        "empty",
        "no-rows",
        "object",
        "text",
        "complex",
        "ragged",
        "signed",
        "unscaled",
        "negative",
    ],
)
def test_what_is_no_picture_is_explained(images: object, message: str) -> None:
    """Every input that cannot be scaled raises one ValueError that says why."""
    with pytest.raises(ValueError, match=f"^{message}"):
        normalise(images)


@pytest.mark.parametrize("maximum", [0, -1, float("inf"), float("nan"), "255"])
def test_bad_maxima_are_explained(maximum: object) -> None:
    """A white level that is no positive number raises an error naming it."""
    with pytest.raises(ValueError, match=r"^maximum: "):
        normalise([0, 1], maximum=maximum)  # type: ignore[arg-type]


@DTYPES
@pytest.mark.parametrize("convert", [str, Path])
def test_mnist_reads_the_original_files(
    idx_directory: Path, convert: Callable[[Path], str | Path], dtype: str
) -> None:
    """Four gzip IDX files give their pixels over 255 and their labels, to the last bit."""
    assert_is_tiny_mnist(mnist(convert(idx_directory), dtype), dtype)


@DTYPES
def test_mnist_reads_an_npz_file(tmp_path: Path, dtype: str) -> None:
    """An mnist.npz file gives the same two halves."""
    np.savez(tmp_path / "mnist.npz", **dict(zip(MNIST_KEYS, tiny_mnist(), strict=True)))  # type: ignore[arg-type]
    assert_is_tiny_mnist(mnist(tmp_path / "mnist.npz", dtype), dtype)


def test_mnist_without_a_path_asks_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """With path None the arrays of keras.datasets.mnist are used."""
    train_images, train_labels, held_images, held_labels = tiny_mnist()
    source = SimpleNamespace(
        load_data=lambda: ((train_images, train_labels), (held_images, held_labels))
    )
    monkeypatch.setitem(
        sys.modules, "keras", SimpleNamespace(datasets=SimpleNamespace(mnist=source))
    )
    assert_is_tiny_mnist(mnist(), "float32")


@pytest.mark.parametrize("installed", [True, False])
def test_mnist_that_cannot_be_fetched_says_how_to_pass_a_path(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """Offline, or without Keras, one error of ours names path= and the files it wants."""

    def unreachable() -> None:
        raise Exception("URL fetch failure")  # the bare type that Keras raises here

    source = SimpleNamespace(mnist=SimpleNamespace(load_data=unreachable))
    keras = SimpleNamespace(datasets=source) if installed else None
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(DatasetUnavailableError, match=r"pass path= .*train-images-idx3") as caught:
        mnist()
    assert isinstance(caught.value, OSError)
    assert ("URL fetch failure" in str(caught.value)) == installed


PIXEL_BYTES = bytes(2 * 784)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (HELD_IMAGES, idx(2049, (2, 28, 28), PIXEL_BYTES), "magic number 2051 .*got 2049"),
        (HELD_LABELS, idx(2051, (2,), b"\1\2"), "magic number 2049 .*got 2051"),
        (HELD_IMAGES, idx(2051, (2, 28, 28), PIXEL_BYTES[:-1]), "announces 1568 .*got 1567"),
        (HELD_IMAGES, idx(2051, (2, 28, 28), PIXEL_BYTES + b"\0"), "announces 1568 .*got 1569"),
        (HELD_IMAGES, idx(2051, (2, 28), b""), "header of 16 bytes, got 12"),
        (HELD_LABELS, b"", "header of 8 bytes, got 0"),
        (HELD_IMAGES, idx(2051, (2, 14, 56), PIXEL_BYTES), r"\(2, 14, 56\); this is not MNIST"),
        (HELD_IMAGES, idx(2051, (0, 28, 28), b""), r"\(0, 28, 28\)"),
        (HELD_LABELS, idx(2049, (3,), b"\1\2\3"), r"as 2 integers, got uint8 of shape \(3,\)"),
        (HELD_LABELS, idx(2049, (2,), b"\1\x0a"), "0 to 9, got 1 to 10"),
        (
            HELD_IMAGES,
            idx(2051, (2**32 - 1,) * 3, b""),
            f"announces {(2**32 - 1) ** 3} bytes",
        ),
    ],
    ids=[
        "labels-as-images",
        "images-as-labels",
        "short",
        "long",
        "image-header",
        "label-header",
        "size",
        "no-images",
        "count",
        "label",
        "absurd",
    ],
)
def test_foreign_idx_files_are_explained(
    idx_directory: Path, name: str, content: bytes, message: str
) -> None:
    """A header, size or label that is not MNIST's raises a ValueError saying what came."""
    (idx_directory / name).write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message):
        mnist(idx_directory)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content[:12],
        lambda content: content[::-1],
        lambda content: content[:40] + bytes(8) + content[48:],
        lambda content: b"<html>",
    ],
    ids=["trailer", "head", "reversed", "middle", "html"],
)
def test_damaged_gzip_files_are_explained(
    idx_directory: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A truncated, damaged or foreign gzip file raises a ValueError that names the file."""
    target = idx_directory / TRAIN_IMAGES
    target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(ValueError, match=rf"{TRAIN_IMAGES}: expected a complete gzip file"):
        mnist(idx_directory)


def test_missing_files_are_named(idx_directory: Path) -> None:
    """A directory lacking some of the four files raises an error listing just these."""
    (idx_directory / TRAIN_LABELS).unlink()
    (idx_directory / HELD_IMAGES).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {TRAIN_LABELS}, {HELD_IMAGES};"):
        mnist(idx_directory)


def test_a_path_that_does_not_exist_says_what_to_pass(tmp_path: Path) -> None:
    """A missing path raises FileNotFoundError naming it and the two accepted forms."""
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; .*mnist\.npz"):
        mnist(tmp_path / "nowhere")


def test_a_path_of_another_type_is_explained() -> None:
    """A number as path raises a TypeError, and is not taken for a file descriptor."""
    with pytest.raises(TypeError, match=r"^path: .*int"):
        mnist(3)  # type: ignore[arg-type]


def test_foreign_npz_files_are_explained(tmp_path: Path) -> None:
    """No archive, a lone array, missing keys and pickled objects each raise our ValueError."""
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "keys.npz", x_train=np.zeros(3))
    pickled = dict.fromkeys(MNIST_KEYS, np.array([None]))
    np.savez(tmp_path / "pickled.npz", **pickled)  # type: ignore[arg-type]
    (tmp_path / "text.npz").write_bytes(b"not an archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "keys.npz").read_bytes()[:60])
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=rf"^path: .*{file.name} is not an mnist\.npz"):
            mnist(file)


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("x_train", np.zeros((3, 28, 28)), "uint8 .*got float64"),
        ("x_test", np.zeros((2, 784), np.uint8), r"shape \(2, 784\)"),
        ("y_test", np.zeros((2, 10), np.uint8), r"2 integers, got uint8 of shape \(2, 10\)"),
        ("y_train", np.array([0.0, 1.0, 2.0]), "3 integers, got float64"),
        ("y_train", np.array([0, -1, 2]), "0 to 9, got -1 to 2"),
    ],
    ids=["float", "flat", "one-hot", "float-labels", "negative"],
)
def test_npz_arrays_that_are_not_mnist_are_explained(
    tmp_path: Path, key: str, array: np.ndarray, message: str
) -> None:
    """Arrays of another dtype, shape or range raise a ValueError saying what came."""
    arrays = dict(zip(MNIST_KEYS, tiny_mnist(), strict=True)) | {key: array}
    np.savez(tmp_path / "mnist.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        mnist(tmp_path / "mnist.npz")
