"""Batches, single steps, ``fit`` and ``evaluate``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from manual_backprop import losses, optimizers
from manual_backprop.catalogue import unknown_name
from manual_backprop.gradients import backpropagate_to_weights, compute_loss
from manual_backprop.losses import Loss
from manual_backprop.memory import keep_memory
from manual_backprop.models import NaiveSequential, as_model
from manual_backprop.optimizers import Optimizer
from manual_backprop.typing import Array
from manual_backprop.validation import as_count, as_generator, as_numbers

VERBOSITIES = ("quiet", "lines", "bar")
SPARSE = "sparse_categorical_crossentropy"


class BatchGenerator:
    """Cuts a data set into batches, in order; the last batch may be short.

    Args:
        images: (samples, …) with at least one sample.
        labels: as many labels.
        batch_size: a positive whole number.

    Attributes:
        num_batches: ⌈samples / batch_size⌉.

    Raises:
        ValueError, TypeError: for anything outside the above, by its name.
    """

    def __init__(self, images: Array, labels: Array, batch_size: int = 128) -> None:
        self.images = as_numbers("images", images)
        self.labels = as_numbers("labels", labels)
        self.batch_size = as_count("batch_size", batch_size)
        if self.images.ndim == 0 or len(self.images) == 0:
            raise ValueError("images: there are none, expected at least one sample.")
        if self.labels.ndim == 0 or len(self.labels) != len(self.images):
            raise ValueError(
                f"labels: have shape {self.labels.shape}, expected one label for each of the "
                f"{len(self.images)} images."
            )
        self.num_batches = math.ceil(len(self.images) / self.batch_size)
        self.index = 0

    def next(self) -> tuple[Array, Array]:
        """Return the next (images, labels); raises ``StopIteration`` after the last batch."""
        if self.index >= len(self.images):
            raise StopIteration("all batches were returned; make a new BatchGenerator to repeat")
        batch = slice(self.index, self.index + self.batch_size)
        self.index += self.batch_size
        return self.images[batch], self.labels[batch]

    __next__ = next

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return self

    def __len__(self) -> int:
        return self.num_batches


@dataclass
class History:
    """What ``fit`` saw, a number per epoch: mean loss and accuracy over the epoch's batches
    as they were trained on, and the same on the validation data if there were any."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)


class Evaluation(NamedTuple):
    """Mean loss over samples, and the share of samples classified right (0…1)."""

    loss: float
    accuracy: float


def one_training_step(
    model: NaiveSequential,
    images_batch: Array,
    labels_batch: Array,
    loss: object = SPARSE,
    optimizer: object = "sgd",
) -> float:
    """Forward, backward and one update of the model's weights in place; return the loss.

    Args:
        images_batch: (batch, features). labels_batch: see the loss's ``prepare``.
        loss, optimizer: a name or an instance.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    chosen = losses.get(loss)
    images = as_model(model).check_inputs(images_batch, "images_batch").copy()
    predictions = model.forward(images)
    targets = chosen.prepare(labels_batch, predictions)
    names = _names_of_weights(model)
    return _step(model, predictions, targets, chosen, optimizers.get(optimizer), names)


def _step(
    model: NaiveSequential,
    predictions: Array,
    targets: Array,
    loss: Loss,
    optimizer: Optimizer,
    names: list[str],
) -> float:
    value = compute_loss(model, predictions, targets, loss)
    backpropagate_to_weights(model, predictions, targets, loss, optimizer.scale)
    optimizer.apply(model.gradients, model.weights, names)
    return float(value)


def _names_of_weights(model: NaiveSequential) -> list[str]:
    return [str(name) for name in model.weight_names]


def fit(
    model: NaiveSequential,
    images: Array,
    labels: Array,
    epochs: int,
    batch_size: int = 128,
    *,
    loss: object = SPARSE,
    optimizer: object = "sgd",
    validation_data: tuple[Array, Array] | None = None,
    shuffle: bool = False,
    seed: int | np.random.Generator | None = None,
    verbose: str = "lines",
    on_batch: Callable[[int, Array, Array], None] | None = None,
) -> History:
    """Train the model in place by mini-batch gradient descent.

    ``batch_size`` 1 is true stochastic, the number of samples full-batch gradient descent.

    Args:
        images: (samples, features). labels: see the loss's ``prepare``.
        epochs, batch_size: positive whole numbers; the last batch may be short.
        loss, optimizer: a name or an instance.
        validation_data: (images, labels) evaluated after every epoch.
        shuffle: draw a new order of the samples for each epoch, from ``seed``.
        verbose: "quiet", "lines" (the loss every 100 batches) or "bar".
        on_batch: called before each step with its number from 0, its images and labels.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    if verbose not in VERBOSITIES:
        raise unknown_name("verbose", verbose, VERBOSITIES)
    epochs, batch_size = as_count("epochs", epochs), as_count("batch_size", batch_size)
    chosen, chosen_optimizer = losses.get(loss), optimizers.get(optimizer)
    if on_batch is not None and not callable(on_batch):
        raise TypeError(f"on_batch: got {on_batch!r}, expected a function or None.")
    generator = as_generator("seed", seed)
    images, targets = _prepare(as_model(model), images, labels, chosen)
    held_out = _prepare_validation(model, validation_data, chosen)
    keep_memory()
    history = History()
    names = _names_of_weights(model)
    step = 0
    num_batches = math.ceil(len(images) / batch_size)
    with _reporter(verbose, epochs, num_batches) as report:
        for epoch in range(epochs):
            order = generator.permutation(len(images)) if shuffle else slice(None)
            batches = BatchGenerator(images[order], targets[order], batch_size)
            summed_loss, hits = 0.0, 0
            for index, (batch_images, batch_targets) in enumerate(batches):
                if on_batch is not None:
                    on_batch(step, batch_images, batch_targets)
                predictions = model.forward(batch_images)
                hits += _count_hits(predictions, batch_targets)
                value = _step(model, predictions, batch_targets, chosen, chosen_optimizer, names)
                summed_loss += value * len(batch_images)
                report(epoch, index, value)
                step += 1
            history.loss.append(summed_loss / len(images))
            history.accuracy.append(hits / len(images))
            if held_out is not None:
                validation = _evaluate(model, *held_out, chosen)
                history.validation_loss.append(validation.loss)
                history.validation_accuracy.append(validation.accuracy)
    return history


def evaluate(
    model: NaiveSequential,
    images: Array,
    labels: Array,
    *,
    loss: object = SPARSE,
    batch_size: int = 1024,
) -> Evaluation:
    """Return mean loss and accuracy over a data set; the weights do not change.

    The mean is of the batches' losses, each weighed by its samples, as Keras' is: it depends on
    the ``batch_size`` where a loss is no mean over samples, or leaves some of them out.
    A prediction is right when its largest output is the label's class (the first of ties).

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    chosen = losses.get(loss)
    batch_size = as_count("batch_size", batch_size)
    images, targets = _prepare(as_model(model), images, labels, chosen)
    return _evaluate(model, images, targets, chosen, batch_size)


def _evaluate(
    model: NaiveSequential, images: Array, targets: Array, loss: Loss, batch_size: int = 1024
) -> Evaluation:
    summed_loss, hits = 0.0, 0
    for batch_images, batch_targets in BatchGenerator(images, targets, batch_size):
        predictions = model.forward(batch_images)
        value = compute_loss(model, predictions, batch_targets, loss)
        summed_loss += float(value) * len(batch_images)
        hits += _count_hits(predictions, batch_targets)
    return Evaluation(summed_loss / len(images), hits / len(images))


def _prepare(
    model: NaiveSequential, images: Array, labels: Array, loss: Loss
) -> tuple[Array, Array]:
    """Check a whole data set once, so that no batch needs checking; neither is the caller's."""
    checked = model.check_inputs(images, "images").copy()
    outputs = model.forward(checked[:1]).shape[1]
    placeholder = np.broadcast_to(np.zeros((), model.dtype), (len(checked), outputs))
    return checked, loss.prepare(labels, placeholder).copy()


def _prepare_validation(
    model: NaiveSequential, validation_data: object, loss: Loss
) -> tuple[Array, Array] | None:
    """As ``_prepare`` for (images, labels), before any training; errors name the argument."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise TypeError(
            f"validation_data: got {type(validation_data).__name__}, expected (images, labels)."
        )
    images, labels = validation_data
    try:
        return _prepare(model, images, labels, loss)
    except TypeError as error:
        raise TypeError(f"validation_data: {error}") from None
    except ValueError as error:
        raise ValueError(f"validation_data: {error}") from None


def _count_hits(predictions: Array, targets: Array) -> int:
    classes = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return int((predictions.argmax(axis=1) == classes).sum())


@contextlib.contextmanager
def _reporter(
    verbose: str, epochs: int, num_batches: int
) -> Iterator[Callable[[int, int, float], None]]:
    """Yield a function of (epoch, batch, loss) that shows progress in the chosen way."""
    if verbose == "bar":
        # Imported here so that `import manual_backprop` loads NumPy alone.
        from rich.progress import Progress

        with Progress() as progress:
            task = progress.add_task("training", total=epochs * num_batches)

            def advance(epoch: int, batch: int, loss: float) -> None:
                text = f"epoch {epoch + 1}/{epochs} loss {loss:.4f}"
                progress.update(task, advance=1, description=text)

            yield advance
        return

    def print_line(epoch: int, batch: int, loss: float) -> None:
        if batch == 0:
            print(f"epoch {epoch + 1}")
        if batch % 100 == 0:
            print(f"  loss at batch {batch}: {loss:.4f}")

    yield print_line if verbose == "lines" else _say_nothing


def _say_nothing(*_: Any) -> None:
    pass
