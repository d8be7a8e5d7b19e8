"""The main job: train on real data by hand-written backprop, and verify it on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agreement import faults
from agreement.checking import check, check_training_step, prepare
from agreement.report import Report
from manual_backprop import SGD, NaiveDense, NaiveSequential, evaluate, fit, losses
from manual_backprop.catalogue import unknown_name
from manual_backprop.datasets import Dataset, digits, mnist, spiral
from manual_backprop.losses import CrossEntropy, Loss
from manual_backprop.optimizers import Optimizer
from manual_backprop.typing import Array
from manual_backprop.validation import as_count, as_dtype

DATA = ("digits", "spiral", "mnist", "random")
# Learning rate and epochs; the spiral is hard for one small hidden layer.
DEFAULTS = {"digits": (0.2, 20), "spiral": (0.5, 300), "mnist": (0.1, 2)}


@dataclass(frozen=True)
class Job:
    """What to train and how; the defaults reach 97 % on the digits in a second.

    Attributes:
        data: "digits", "spiral" or "mnist". path: where MNIST lies, if not reachable.
        hidden: sizes of the hidden layers; input and output sizes follow from the data.
        expected_sizes: (inputs, outputs) that the user asked for, checked against the data.
        activation: of the hidden layers; the last layer is softmax.
        loss: the loss's name. loss_path: see ``manual_backprop.losses``.
        learning_rate, epochs, batch_size, seed: of the training.
        checks: about how many batches are verified.
        plant: the name of a fault to plant, to see it caught; "" for none.
    """

    data: str = "digits"
    path: Path | None = None
    hidden: tuple[int, ...] = (32,)
    expected_sizes: tuple[int, int] | None = None
    activation: str = "relu"
    loss: str = "sparse_categorical_crossentropy"
    loss_path: str = "auto"
    dtype: str = "float32"
    learning_rate: float = 0.2
    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    checks: int = 24
    plant: str = ""


def load(job: Job) -> tuple[Dataset, Dataset]:
    """The data set, as (training, held out)."""
    if job.data == "mnist":
        return mnist(job.path, dtype=job.dtype)
    if job.data == "spiral":
        return spiral(seed=job.seed, dtype=job.dtype).split(seed=job.seed)
    if job.data == "digits":
        return digits(dtype=job.dtype).split(seed=job.seed)
    raise unknown_name("data", job.data, DATA)


def make_model(job: Job, features: int, classes: int) -> NaiveSequential:
    """Dense layers of the job's sizes with a softmax on top, initialised from its seed."""
    generator = np.random.default_rng(job.seed)
    sizes = [features, *job.hidden, classes]
    activations = [job.activation] * len(job.hidden) + ["softmax"]
    return NaiveSequential(
        NaiveDense(
            inputs,
            outputs,
            activation,
            kernel_initializer="glorot_uniform",
            dtype=job.dtype,
            seed=generator,
        )
        for inputs, outputs, activation in zip(sizes[:-1], sizes[1:], activations, strict=True)
    )


def make_loss(job: Job) -> Loss:
    """The job's loss with its path."""
    loss = losses.get(job.loss)
    if isinstance(loss, CrossEntropy):
        return type(loss)(job.loss_path)
    if job.loss_path != "auto":
        raise ValueError(
            f"loss_path: got {job.loss_path!r}, but {loss.name} has no paths; leave it out."
        )
    return loss


def run(
    job: Job,
    against: Sequence[str],
    advance: Callable[[int, int], None] = lambda step, steps: None,
) -> Report:
    """Train and verify; ``advance`` is told (step, steps) before each.

    Verified are batches spread evenly over the training, the short last batch of an epoch
    among them, and one whole training step.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    as_dtype(job.dtype)
    batch_size, epochs = as_count("batch_size", job.batch_size), as_count("epochs", job.epochs)
    loss = make_loss(job)
    optimizer: Optimizer = SGD(job.learning_rate)
    training, held_out = load(job)
    sizes = (training.images.shape[1], training.classes)
    if job.expected_sizes not in (None, sizes):
        raise ValueError(
            f"--layers: starts and ends with {job.expected_sizes}, but {job.data} has {sizes[0]} "
            f"inputs and {sizes[1]} classes; give {sizes[0]},…,{sizes[1]}."
        )
    model = make_model(job, *sizes)
    faulty_optimizer: Optimizer | None = None
    if job.plant:
        fault = faults.get(job.plant)
        positions = fault.positions(model, loss)
        if not positions:
            raise ValueError(
                f"--plant: {fault.name} finds no place in {model!r} with {loss!r}; "
                f"change --activation, --layers, --loss or --loss-path."
            )
        location = fault.location(model, loss, positions[0])
        loss = fault.plant(model, loss, positions[0])
        if fault.prepare is not None:
            first = (training.images[:batch_size], training.labels[:batch_size])
            fault.prepare(model, *prepare(model, *first, loss), loss)
        if fault.optimizer is not None:
            # Trained is with the honest one: a wrong update need not stay finite for long.
            faulty_optimizer = fault.optimizer(job.learning_rate)
    batches = -(-len(training) // batch_size)
    steps = epochs * batches
    verified = {*range(0, steps, max(1, steps // job.checks)), batches - 1}
    reports: list[Report] = []

    def verify(step: int, images: Array, targets: Array) -> None:
        advance(step, steps)
        if not all(np.isfinite(w).all() for w in model.weights):
            raise ValueError(
                f"--learning-rate: {job.learning_rate:g} is too large, the training diverged "
                f"before step {step}; make it smaller."
            )
        if step in verified:
            reports.append(check(model, images, targets, loss=loss, against=against))

    started = time.perf_counter()
    with np.errstate(all="ignore"):  # a training that diverges is an error of one line
        history = fit(
            model,
            training.images,
            training.labels,
            epochs,
            batch_size,
            loss=loss,
            optimizer=optimizer,
            shuffle=True,
            seed=job.seed,
            verbose="quiet",
            on_batch=verify,
        )
    batch = slice(0, batch_size)
    step_report = check_training_step(
        model,
        training.images[batch],
        training.labels[batch],
        loss=loss,
        learning_rate=job.learning_rate,
        optimizer=faulty_optimizer,
        against=against,
    )
    report = reports[0].merge([*reports[1:], step_report])
    evaluation = evaluate(model, held_out.images, held_out.labels, loss=loss)
    report.facts = {
        "data": job.data,
        **({"planted": job.plant, "planted_at": str(location)} if job.plant else {}),
        "model": repr(model),
        "loss_function": repr(loss),
        "dtype": job.dtype,
        "against": list(against),
        "training_steps": steps,
        "training_loss": history.loss[-1],
        "held_out_loss": evaluation.loss,
        "held_out_accuracy": evaluation.accuracy,
        "seconds": time.perf_counter() - started,
    }
    return report
