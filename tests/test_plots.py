"""Plots show the numbers they were given, save on demand, and explain what they miss."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from manual_backprop.datasets import Dataset, spiral
from manual_backprop.plots import plot_history, plot_samples

pytest.importorskip("matplotlib", reason="matplotlib is the optional extra [plots]")

HISTORY = SimpleNamespace(
    loss=[3.0, 2.0, 1.5],
    accuracy=[0.25, 0.5, 0.75],
    validation_loss=[3.5, 2.5, 2.0],
    validation_accuracy=[0.125, 0.25, 0.5],
)
PIXELS = np.linspace(0, 1, 5 * 6, dtype=np.float32).reshape(5, 6)
PICTURES = Dataset(PIXELS, np.array([0, 1, 2, 1, 0]), "stripes", (2, 3))


def test_a_history_is_drawn_as_two_panels_of_two_curves() -> None:
    """Loss and accuracy each get the training and the validation curve, by epoch from 1."""
    figure = plot_history(HISTORY)
    drawn = {
        (axes.get_ylabel(), str(line.get_label())): line
        for axes in figure.axes
        for line in axes.lines
    }
    assert {key: np.asarray(line.get_ydata()).tolist() for key, line in drawn.items()} == {
        ("loss", "training"): HISTORY.loss,
        ("loss", "validation"): HISTORY.validation_loss,
        ("accuracy", "training"): HISTORY.accuracy,
        ("accuracy", "validation"): HISTORY.validation_accuracy,
    }
    assert all(np.asarray(line.get_xdata()).tolist() == [1, 2, 3] for line in drawn.values())


def test_a_history_without_validation_draws_training_only() -> None:
    """Empty validation lists leave one curve per panel, and no empty legend entry."""
    figure = plot_history(
        SimpleNamespace(loss=[1.0], accuracy=[0.5], validation_loss=[], validation_accuracy=[])
    )
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [["training"]] * 2


@pytest.mark.parametrize(
    ("history", "kind", "message"),
    [
        (SimpleNamespace(loss=[1.0]), TypeError, "lacks accuracy, validation_loss"),
        (SimpleNamespace(**{**vars(HISTORY), "loss": []}), ValueError, "at least one epoch"),
    ],
    ids=["attributes", "epochs"],
)
def test_a_bad_history_is_explained(history: object, kind: type[Exception], message: str) -> None:
    """A history without its curves or without epochs raises an error that names them."""
    with pytest.raises(kind, match=f"^history: .*{message}"):
        plot_history(history)  # type: ignore[arg-type]


def test_samples_of_a_dataset_fill_the_grid_in_order() -> None:
    """Each cell shows one sample in its picture shape, under its label; spare cells stay empty."""
    figure = plot_samples(PICTURES, rows=2, columns=3)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert np.array_equal(np.stack(shown), PIXELS.reshape(5, 2, 3))
    assert [axes.get_title() for axes in figure.axes] == ["0", "1", "2", "1", "0"]
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0.0, 1.0)}


def test_only_as_many_samples_as_cells_are_drawn() -> None:
    """A 1 × 2 grid shows the first two of five samples."""
    figure = plot_samples(PICTURES, rows=1, columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["0", "1"]


@pytest.mark.parametrize(
    ("images", "image_shape", "expected"),
    [
        (np.zeros((1, 9)), None, (3, 3)),
        (np.zeros((1, 2, 5)), None, (2, 5)),
        (np.zeros((1, 6)), (3, 2), (3, 2)),
        (np.zeros((1, 2, 5)), (5, 2), (5, 2)),
    ],
    ids=["square", "pictures", "given", "given-pictures"],
)
def test_plain_images_find_their_shape(
    images: np.ndarray, image_shape: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    """Arrays are drawn in the given shape, their own, or as squares; without labels, no titles."""
    (axes,) = plot_samples(images, image_shape=image_shape).axes
    assert np.asarray(axes.images[0].get_array()).shape == expected
    assert axes.get_title() == ""


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"dataset_or_images": spiral(5)}, ValueError, "image_shape: .* 2 features"),
        ({"dataset_or_images": PIXELS, "image_shape": (4, 4)}, ValueError, "image_shape: "),
        ({"dataset_or_images": PIXELS, "image_shape": 6}, ValueError, "image_shape: 6 "),
        ({"dataset_or_images": np.zeros(4)}, ValueError, r"dataset_or_images: .*shape \(4,\)"),
        ({"dataset_or_images": PIXELS[:0]}, ValueError, "dataset_or_images: "),
        ({"dataset_or_images": np.array([["a"]])}, ValueError, "dataset_or_images: "),
        ({"dataset_or_images": PICTURES, "labels": [1]}, ValueError, "labels: .*5, got 1"),
        ({"dataset_or_images": PICTURES, "rows": 0}, ValueError, "rows: "),
        ({"dataset_or_images": PICTURES, "columns": 1.5}, TypeError, "columns: "),
    ],
    ids=["points", "product", "number", "vector", "empty", "text", "labels", "rows", "columns"],
)
def test_bad_samples_are_explained(
    arguments: dict[str, object], kind: type[Exception], message: str
) -> None:
    """What is no grid of pictures raises an error that begins with the argument at fault."""
    with pytest.raises(kind, match=f"^{message}"):
        plot_samples(**arguments)  # type: ignore[arg-type]


def test_figures_are_saved_where_asked(tmp_path: Path) -> None:
    """With a path, a PNG file appears there; pyplot, and so a display, is never touched."""
    loaded = "matplotlib.pyplot" in sys.modules
    plot_history(HISTORY, tmp_path / "history.png")
    plot_samples(PICTURES, path=str(tmp_path / "samples.png"))
    for name in ("history.png", "samples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("history.xyz", ValueError, "known format"),
        ("history", ValueError, "known format"),
        ("missing/history.png", FileNotFoundError, "create it first"),
    ],
    ids=["unknown", "none", "directory"],
)
def test_a_bad_path_is_explained(
    tmp_path: Path, name: str, kind: type[Exception], message: str
) -> None:
    """An unknown suffix or a missing directory raises an error, and nothing is written."""
    with pytest.raises(kind, match=f"^path: .*{message}"):
        plot_history(HISTORY, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where matplotlib is missing, the ImportError names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'manual-backprop\[plots\]'"):
        plot_history(HISTORY)
