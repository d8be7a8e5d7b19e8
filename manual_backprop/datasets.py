"""Small data sets to train on: digits, a spiral, and MNIST from a local copy.

Only NumPy is imported here; scikit-learn and Keras are imported by the function that
needs them. Every loader returns a :class:`Dataset` (or two), checked once, at this edge.
"""

from __future__ import annotations

import gzip
import math
import numbers
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike

from manual_backprop.typing import Array
from manual_backprop.validation import as_count, as_dtype

Seed: TypeAlias = int | np.random.Generator

# The low byte of an IDX magic number counts the dimensions, the byte above it says uint8.
IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST_KEYS = ("x_train", "y_train", "x_test", "y_test")
MNIST_SHAPE = (28, 28)
MNIST_CLASSES = 10


class DatasetUnavailableError(OSError):
    """A data set that is not on this machine could not be fetched either."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples, ready for a network.

    Attributes:
        images: (samples, features), float32 or float64; pixels lie in [0, 1].
        labels: (samples,), int64, from 0 to classes − 1.
        name: what to call it in a table or a title.
        image_shape: (height, width) with height · width = features, or None where a
            sample is no picture.
        known_classes: the number of classes, where the labels present may miss the last.

    Raises:
        TypeError: for images that are no floats, or labels that are no integers.
        ValueError: for shapes that do not fit each other, no samples, non-finite
            images, or labels outside the classes.
    """

    images: Array
    labels: Array
    name: str
    image_shape: tuple[int, int] | None = None
    known_classes: int | None = None

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"images: expected float32 or float64, got {images.dtype}; "
                "pass normalise(images) for pixels."
            )
        if images.ndim != 2 or images.size == 0:
            raise ValueError(
                f"images: expected a non-empty (samples, features), got shape {images.shape}; "
                "pass images.reshape(len(images), -1) for pictures."
            )
        _require_finite(images)
        if labels.dtype.kind not in "ui":
            raise TypeError(
                f"labels: expected integers, got {labels.dtype}; "
                "pass labels.argmax(axis=1) for one-hot rows, labels.astype('int64') for others."
            )
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels: expected one per image, shape {images.shape[:1]}, got {labels.shape}; "
                "pass labels.argmax(axis=1) for one-hot rows."
            )
        smallest, largest = int(labels.min()), int(labels.max())
        if smallest < 0:
            raise ValueError(f"labels: expected 0 or more, got {smallest}; number them from 0.")
        if (
            self.known_classes is not None
            and as_count("known_classes", self.known_classes) <= largest
        ):
            raise ValueError(
                f"labels: expected 0 to {self.known_classes - 1}, got {largest}; "
                "number the classes from 0, or pass a larger known_classes."
            )
        if self.image_shape is not None:
            require_picture(self.image_shape, images.shape[1])
        # A frozen dataclass can only be completed this way.
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}: {len(self)} samples, {self.images.shape[1]} features, "
            f"{self.classes} classes, {self.images.dtype})"
        )

    @property
    def classes(self) -> int:
        """The number of classes: ``known_classes``, or the largest label plus one."""
        return self.known_classes or int(self.labels.max()) + 1

    def split(self, fraction: float = 0.2, seed: Seed = 0) -> tuple[Dataset, Dataset]:
        """Set a random ``fraction`` of the samples aside: (train, held_out).

        Every sample lands in exactly one of the two; both keep the number of classes.

        Raises:
            TypeError: for a fraction or a seed of another type.
            ValueError: for a fraction that leaves either side without a sample.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, numbers.Real):
            raise TypeError(
                f"fraction: expected a number, got {fraction!r}; pass for instance 0.2."
            )
        held = round(float(fraction) * len(self)) if 0 < fraction < 1 else 0
        if not 0 < held < len(self):
            raise ValueError(
                f"fraction: {fraction} of {len(self)} samples leaves one side empty; pass a "
                "number between 0 and 1, for instance 0.2, and at least two samples."
            )
        order = _generator(seed).permutation(len(self))
        return (
            self._take(order[held:], f"{self.name} train"),
            self._take(order[:held], f"{self.name} held-out"),
        )

    def _take(self, rows: Array, name: str) -> Dataset:
        return Dataset(self.images[rows], self.labels[rows], name, self.image_shape, self.classes)


def normalise(images: object, dtype: DTypeLike = "float32", maximum: float | None = None) -> Array:
    """Scale pixels to [0, 1], keeping their shape.

    Args:
        images: uint8 and uint16 are divided by the largest number of their type; booleans
            and floats count as scaled already. Wider or signed integers do not tell their
            number of grey levels, so they need ``maximum``.
        dtype: of the result, float32 or float64.
        maximum: the value that becomes 1, where the type does not tell.

    Raises:
        ValueError: for anything but a non-empty array of finite numbers in [0, maximum],
            and for another dtype.
    """
    working = as_dtype(dtype)
    try:
        pixels = np.asarray(images)
    except ValueError as error:
        raise ValueError(
            "images: expected an array, got rows of different lengths; "
            "crop or pad the images to one shape."
        ) from error
    if pixels.dtype.kind not in "buif":
        raise ValueError(
            f"images: expected numbers, got dtype {pixels.dtype}; "
            "pass one array of one shape, for instance np.stack(images)."
        )
    if pixels.size == 0:
        raise ValueError(
            f"images: expected at least one pixel, got shape {pixels.shape}; "
            "check the path or the slice that they come from."
        )
    _require_finite(pixels)
    largest = _largest_grey_level(pixels.dtype) if maximum is None else maximum
    if not isinstance(largest, numbers.Real) or not 0 < largest < math.inf:
        raise ValueError(
            f"maximum: expected a positive number, got {maximum!r}; pass 255 for 8-bit pixels."
        )
    if pixels.min() < 0 or pixels.max() > largest:
        raise ValueError(
            f"images: expected values in [0, {largest}], got {pixels.min()} to {pixels.max()}; "
            "pass maximum=, the value that stands for white."
        )
    return np.divide(pixels, working.type(largest), dtype=working)


def require_picture(image_shape: object, features: int) -> None:
    """Raise a ``ValueError`` unless (height, width) arranges ``features`` pixels."""
    positive = (
        isinstance(image_shape, tuple | list)
        and len(image_shape) == 2
        and all(isinstance(side, int | np.integer) and side > 0 for side in image_shape)
    )
    if not positive or math.prod(cast("tuple[int, int]", image_shape)) != features:
        raise ValueError(
            f"image_shape: {image_shape!r} does not arrange {features} features; "
            f"pass the (height, width) whose product is {features}."
        )


def digits(dtype: DTypeLike = "float32") -> Dataset:
    """The 1797 handwritten digits that come with scikit-learn: 8 × 8 pixels, 17 grey levels.

    Raises:
        ImportError: where scikit-learn is not installed.
        ValueError: for another dtype than float32 or float64.
    """
    working = as_dtype(dtype)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "digits() needs scikit-learn, which is not installed; pip install scikit-learn."
        ) from error
    bundled = load_digits()
    # The levels run from 0 to 16, both included, so 16 is white.
    return Dataset(normalise(bundled.data, working, 16), bundled.target, "digits", (8, 8), 10)


def spiral(
    samples_per_class: int = 100,
    classes: int = 3,
    seed: Seed | np.random.RandomState = 0,
    dtype: DTypeLike = "float32",
) -> Dataset:
    """Intertwined spiral arms in the plane, one per class; features lie in [−1, 1].

    (1) along an arm the radius r goes evenly from 0 to 1
    (2) the angle t of arm c goes evenly from 4c to 4(c + 1), plus 0.2 · normal noise
    (3) the point is (r sin 2.5t, r cos 2.5t)

    Everything is computed in float64 and cast once, at the end. Arms are drawn in class
    order, one normal per sample, and nothing else is drawn: a legacy ``RandomState`` given
    as ``seed`` is left where published figures expect it for the weights that follow.

    Raises:
        TypeError: for counts that are no integers, or a seed of another kind.
        ValueError: for counts below one, a negative seed, or another dtype.
    """
    working = as_dtype(dtype)
    samples = as_count("samples_per_class", samples_per_class)
    arms = as_count("classes", classes)
    random = seed if isinstance(seed, np.random.RandomState) else _generator(seed)
    points = np.empty((arms, samples, 2))
    radius = np.linspace(0.0, 1.0, samples)  # (1)
    for arm in range(arms):
        noise = 0.2 * random.standard_normal(samples)
        angle = np.linspace(4 * arm, 4 * (arm + 1), samples) + noise  # (2)
        points[arm, :, 0] = radius * np.sin(2.5 * angle)  # (3)
        points[arm, :, 1] = radius * np.cos(2.5 * angle)
    labels = np.repeat(np.arange(arms), samples)
    return Dataset(points.reshape(-1, 2).astype(working), labels, "spiral", known_classes=arms)


def mnist(
    path: str | os.PathLike[str] | None = None, dtype: DTypeLike = "float32"
) -> tuple[Dataset, Dataset]:
    """The MNIST digits, 784 features in [0, 1], as published: (train, held_out).

    Args:
        path: a directory with the four original gzip IDX files, or an ``mnist.npz`` file
            (keys x_train, y_train, x_test, y_test). None lets Keras fetch its own copy.
        dtype: of the images, float32 or float64.

    Raises:
        DatasetUnavailableError: without a path, where Keras cannot deliver (an OSError).
        FileNotFoundError: for a path, or one of the four files, that does not exist.
        TypeError: for a path that is neither text nor a Path.
        ValueError: for files that are truncated, foreign, or do not fit each other, and for
            another dtype.
    """
    working = as_dtype(dtype)
    if path is None:
        source, arrays = "keras.datasets.mnist", _mnist_from_keras()
    else:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path: expected a str or a Path, got {type(path).__name__}.")
        location = Path(path)
        if not location.exists():
            raise FileNotFoundError(
                f"path: {location} does not exist; pass the directory that holds "
                f"{', '.join(MNIST_FILES)}, or an mnist.npz file."
            )
        read = _mnist_from_directory if location.is_dir() else _mnist_from_npz
        source, arrays = str(location), read(location)
    train_images, train_labels, held_images, held_labels = arrays
    return (
        _mnist_dataset(train_images, train_labels, "mnist train", source, working),
        _mnist_dataset(held_images, held_labels, "mnist held-out", source, working),
    )


def _mnist_dataset(
    images: Array, labels: Array, name: str, source: str, dtype: np.dtype[Any]
) -> Dataset:
    """Check one half of MNIST, wherever it comes from; errors name the source."""
    if images.dtype != np.uint8 or images.shape[1:] != MNIST_SHAPE or len(images) == 0:
        raise ValueError(
            f"{source}: expected the images of {name} as uint8 of shape (samples, 28, 28), got "
            f"{images.dtype} of shape {images.shape}; this is not MNIST, fetch the original."
        )
    if labels.dtype.kind not in "ui" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{source}: expected the labels of {name} as {len(images)} integers, got "
            f"{labels.dtype} of shape {labels.shape}; take both from the same original."
        )
    if labels.min() < 0 or labels.max() >= MNIST_CLASSES:
        raise ValueError(
            f"{source}: expected the labels of {name} to be 0 to 9, got {labels.min()} to "
            f"{labels.max()}; the file is damaged or foreign, fetch the original."
        )
    pixels = normalise(images.reshape(len(images), -1), dtype)
    return Dataset(pixels, labels, name, MNIST_SHAPE, MNIST_CLASSES)


def _mnist_from_keras() -> tuple[Array, Array, Array, Array]:
    try:
        import keras

        (train_images, train_labels), (held_images, held_labels) = keras.datasets.mnist.load_data()
    # Keras wraps what urllib, the cache and the archive raise in several types of its own.
    except Exception as error:
        raise DatasetUnavailableError(
            f"mnist() has no path=, and Keras could not fetch its copy ({error}); pass path= "
            f"a directory that holds {', '.join(MNIST_FILES)}, or an mnist.npz file."
        ) from error
    return train_images, train_labels, held_images, held_labels


def _mnist_from_directory(directory: Path) -> tuple[Array, Array, Array, Array]:
    missing = [name for name in MNIST_FILES if not (directory / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"path: {directory} lacks {', '.join(missing)}; "
            "put the four original gzip files there under these names."
        )
    train_images, train_labels, held_images, held_labels = MNIST_FILES
    return (
        _read_idx(directory / train_images, IMAGES_MAGIC),
        _read_idx(directory / train_labels, LABELS_MAGIC),
        _read_idx(directory / held_images, IMAGES_MAGIC),
        _read_idx(directory / held_labels, LABELS_MAGIC),
    )


def _read_idx(path: Path, magic: int) -> Array:
    """One gzip IDX file of bytes: big-endian magic number and dimensions, then the data.

    The data starts at offset 16 for images (three dimensions) and 8 for labels (one).
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: expected a complete gzip file, but it is truncated, damaged or no gzip "
            f"({error}); fetch the original again."
        ) from error
    dimensions = magic & 0xFF
    offset = 4 + 4 * dimensions
    if len(content) < offset:
        raise ValueError(
            f"{path}: expected an IDX header of {offset} bytes, got {len(content)} bytes; "
            "fetch the original again."
        )
    found, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
    if found != magic:
        raise ValueError(
            f"{path}: expected the magic number {magic} ({IMAGES_MAGIC} is images, "
            f"{LABELS_MAGIC} is labels), got {found}; is it another file under this name?"
        )
    if len(content) - offset != math.prod(shape):
        raise ValueError(
            f"{path}: the header announces {math.prod(shape)} bytes of data in shape "
            f"{tuple(shape)}, got {len(content) - offset}; fetch the original again."
        )
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)


def _mnist_from_npz(path: Path) -> tuple[Array, Array, Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            train_images, train_labels, held_images, held_labels = (
                archive[key] for key in MNIST_KEYS
            )
    # The zip, header and array parsers beneath np.load raise a dozen types on foreign bytes.
    except Exception as error:
        raise ValueError(
            f"path: {path} is not an mnist.npz file with the arrays {', '.join(MNIST_KEYS)} "
            f"({error}); fetch it again, or pass the directory of the four gzip IDX files."
        ) from error
    return train_images, train_labels, held_images, held_labels


def _largest_grey_level(dtype: np.dtype[Any]) -> int:
    if dtype.kind in "bf":
        return 1
    if dtype in (np.uint8, np.uint16):
        return int(np.iinfo(dtype).max)
    raise ValueError(
        f"images: {dtype} does not tell the number of grey levels; pass maximum=255, "
        "or images.astype('uint8'), for 8-bit pixels."
    )


def _require_finite(images: Array) -> None:
    finite = np.isfinite(images)
    if not finite.all():
        position = tuple(map(int, np.argwhere(~finite)[0]))
        raise ValueError(
            f"images: expected finite numbers, got {images.size - np.count_nonzero(finite)} that "
            f"are not, the first at {position}; drop or repair these samples."
        )


def _generator(seed: object) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(
            f"seed: expected an integer or a NumPy Generator, got {type(seed).__name__}; "
            "pass for instance 0, so that the draw can be repeated."
        )
    if seed < 0:
        raise ValueError(f"seed: expected a non-negative integer, got {seed}; pass for instance 0.")
    return np.random.default_rng(int(seed))
