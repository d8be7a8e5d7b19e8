"""How long does an epoch of training take, and how much memory?

``fit`` of ``manual_backprop`` and of Keras, and plain loops over batches in PyTorch and JAX, on
the digits and on a synthetic set of MNIST's size (60,000 × 784, labels by a random linear map).
All start from the same weights and see the same batches in the same order, so all must end at the
same loss, which is computed from the final weights in float64. The first epoch, in which others
compile, is shown by itself; "epoch" is the median of the later ones.
"Peak" is the most memory that the process held, and "more" how much of it came with the training.
Each contender has a process of its own. After ``pip install -e '.[benchmarks]'``, from the
repository root: ``python -m benchmarks.epoch [--json] [--data digits] [--epochs 4]``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import contenders, networks
from manual_backprop import fit
from manual_backprop.datasets import digits
from manual_backprop.optimizers import SGD
from manual_backprop.typing import Array

SAMPLES, FEATURES, CLASSES = 60_000, 784, 10
LOSS_TOLERANCE = 1e-4  # relative, between contenders: thousands of steps of float32 in other orders


class Task(NamedTuple):
    """What to train: the network's sizes, the data, and the size of a batch."""

    sizes: tuple[int, ...]
    images: Array
    labels: Array
    batch_size: int

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """The batches of an epoch, in order; the last may be short."""
        for start in range(0, len(self.images), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.images[part], self.labels[part]


def digits_task() -> Task:
    """The digits that come with scikit-learn, 8 × 8 pixels."""
    data = digits()
    return Task((64, 32, CLASSES), data.images.astype(np.float32), data.labels, 32)


def synthetic_task() -> Task:
    """A set of MNIST's size."""
    rng = np.random.default_rng(0)
    images = rng.random((SAMPLES, FEATURES), dtype=np.float32)
    teacher = rng.standard_normal((FEATURES, CLASSES), dtype=np.float32)
    labels = (images @ teacher - teacher.sum(axis=0) / 2).argmax(axis=1)  # around the centre
    return Task((FEATURES, 512, CLASSES), images, labels, 128)


TASKS: dict[str, Callable[[], Task]] = {"digits": digits_task, "synthetic": synthetic_task}
Note = Callable[[], None]
# What trains for some epochs, with a note at the end of each; and what then returns the weights.
Trainer = tuple[Callable[[int, Note], Any], Callable[[], Sequence[Array]]]


def manual(task: Task) -> Trainer:
    """``fit``."""
    model = networks.manual_model(task.sizes)
    options: dict[str, Any] = {"batch_size": task.batch_size, "verbose": "quiet"}
    batches = -(-len(task.images) // task.batch_size)

    def train(epochs: int, note: Note) -> None:
        def on_batch(step: int, *_: Array) -> None:
            if step and step % batches == 0:
                note()

        optimizer = SGD(networks.RATE)
        data = (task.images, task.labels, epochs)
        fit(model, *data, optimizer=optimizer, on_batch=on_batch, **options)
        note()

    return train, lambda: model.weights


def keras(task: Task) -> Trainer:
    """Keras' ``fit``."""
    import keras as library

    model = networks.keras_model(task.sizes)
    options = {"batch_size": task.batch_size, "shuffle": False, "verbose": 0}

    def train(epochs: int, note: Note) -> None:
        callback = library.callbacks.LambdaCallback(on_epoch_end=lambda *_: note())
        model.fit(task.images, task.labels, epochs=epochs, callbacks=[callback], **options)

    return train, model.get_weights


def torch(task: Task) -> Trainer:
    """A loop over batches in PyTorch's eager mode."""
    import torch as library

    weights = networks.torch_weights(task.sizes)

    def train(epochs: int, note: Note) -> None:
        for _ in range(epochs):
            for inputs, labels in task.batches():
                parts = (library.from_numpy(part) for part in (inputs, labels))
                networks.torch_step(weights, *parts)
            note()

    return train, lambda: [weight.detach().numpy() for weight in weights]


def jax(task: Task) -> Trainer:
    """A loop over batches, the step compiled by JAX."""
    import jax as library

    weights = [library.numpy.array(weight) for weight in networks.draw_weights(task.sizes)]
    update = library.jit(networks.jax_update, donate_argnums=0)

    def train(epochs: int, note: Note) -> None:
        for _ in range(epochs):
            for inputs, labels in task.batches():
                weights[:], _ = update(weights, inputs, labels)
            library.block_until_ready(weights)
            note()

    return train, lambda: [np.asarray(weight) for weight in weights]


CONTENDERS: dict[str, tuple[str, str, Callable[[Task], Trainer]]] = {
    "manual": ("manual_backprop, fit", "", manual),
    "keras": ("Keras, fit", "tensorflow keras", keras),
    "torch": ("PyTorch, a loop", "torch", torch),
    "jax": ("JAX, a loop", "jax", jax),
}


def final_loss(weights: Sequence[Array], task: Task) -> float:
    """The mean loss over the data, in float64."""
    x = task.images.astype(np.float64)
    for place, (W, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        x = (np.maximum(x, 0) if place else x) @ W.astype(np.float64) + b
    x -= x.max(axis=1, keepdims=True)
    chosen = x[np.arange(len(x)), task.labels]
    return float((np.log(np.exp(x).sum(axis=1)) - chosen).mean())


def measure(name: str, data: str, epochs: int) -> dict[str, Any]:
    """One contender on one data set, in this process."""
    _, needs, make = CONTENDERS[name]
    task = TASKS[data]()
    train, weights = make(task)
    before = contenders.peak_megabytes()
    times = [time.perf_counter()]
    train(epochs, lambda: times.append(time.perf_counter()))
    seconds = np.diff(times).tolist()
    peak = contenders.peak_megabytes()
    return {
        "first": seconds[0],
        "epoch": float(np.median(seconds[1:] or seconds)),
        "peak": peak,
        "more": peak - before,
        "loss": final_loss(weights(), task),
        "versions": contenders.versions(needs),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All contenders in turn on each data set; medians over rounds."""
    needs = {name: packages for name, (_, packages, _) in CONTENDERS.items()}
    result: dict[str, Any] = {
        "machine": contenders.machine(options.threads),
        "rounds": options.rounds,
        "epochs": options.epochs,
        "data": {},
    }
    for data in options.data:
        arguments = ["--epochs", options.epochs, "--data", data]
        runs = contenders.in_rounds("benchmarks.epoch", needs, options, arguments)
        found = {name: contenders.medians(each) for name, each in runs.found.items()}
        losses = [row["loss"] for row in found.values()]
        spread = max(losses) / min(losses) - 1 if losses else 0.0
        result["data"][data] = {
            "found": found,
            "missing": runs.missing,
            "loss_spread": spread,
            "same_loss": bool(spread <= LOSS_TOLERANCE),
        }
    return result


def show(result: dict[str, Any]) -> None:
    """One table for each data set."""
    print(f"{result['machine']}, rounds: {result['rounds']}, epochs: {result['epochs']}")
    headings = ["contender", "epoch, s", "× manual", "first, s", "peak, MB", "more, MB", "loss"]
    for data, each in result["data"].items():
        base = each["found"].get("manual", {}).get("epoch")
        rows = []
        for name, row in each["found"].items():
            ratio = f"{row['epoch'] / base:.2f}" if base else "–"
            times = [f"{row['epoch']:.3f}", ratio, f"{row['first']:.3f}"]
            memory = [f"{row['peak']:.0f}", f"{row['more']:.0f}"]
            rows.append([CONTENDERS[name][0], *times, *memory, f"{row['loss']:.6f}"])
        rows += [[CONTENDERS[name][0], why] for name, why in each["missing"].items()]
        contenders.print_table(data, headings, rows)
        if len(each["found"]) > 1:
            said = "the same within rounding" if each["same_loss"] else "NOT the same"
            print(f"final losses: {said}; largest / smallest − 1 = {each['loss_spread']:.1e}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time an epoch of training in every framework.")
    contenders.add_options(parser, CONTENDERS, rounds=3)
    parser.add_argument("--data", nargs="*", choices=TASKS, default=list(TASKS), help="data sets")
    parser.add_argument("--epochs", type=int, default=4, help="how many to train")
    options = parser.parse_args()
    if options.here and len(options.data) != 1:
        sys.exit("--here measures on a single data set: name it by --data")
    contenders.conduct(
        options, lambda name: measure(name, options.data[0], options.epochs), run, show
    )


if __name__ == "__main__":
    main()
