"""Random inputs for single functions: smooth ones, and hostile ones at and beside every kink.

A case is determined by (seed, index), whichever process draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from agreement.cases import DRAWS_OF, LARGEST_BATCH, LARGEST_WIDTH, SPECIAL_NUMBERS, Kind
from agreement.function_check import Function
from manual_backprop import activations
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import every_variant
from manual_backprop.losses import EPSILON, LOSSES, REDUCTIONS, CrossEntropy, Loss
from manual_backprop.regularizers import REGULARIZERS, Regularizer
from manual_backprop.typing import Array

Generator: TypeAlias = np.random.Generator

# Exponents at which exp, cosh, sigmoid … leave the range of either precision, and the ends of it.
THRESHOLDS = np.array(
    [17.4, 36.8, 87.4, 88.7, 88.8, 103.3, 104.0, 708.3, 709.7, 709.8, 745.1, 746.0, 1e19, 1e155]
)


@dataclass
class FunctionCase:
    """A function and numbers for it; see ``function_check.check_function``.

    Attributes:
        subject: the activation or loss. inputs, other, behind: as ``check_function`` takes.
        kind: of the numbers. index: its place in the seed's sequence.
    """

    subject: Function
    inputs: Array
    other: Array
    behind: Activation | None
    kind: Kind
    index: int = 0


@cache
def subjects() -> tuple[tuple[Function, Activation | None], ...]:
    """Every function with every variant of its arguments, and a loss on each of its paths.

    Each pair is a function and the activation behind which it is computed, if any.
    """
    found: list[tuple[Function, Activation | None]] = []
    found += [(activation, None) for activation in every_variant(ACTIVATIONS)]
    for number, loss in enumerate(every_variant(LOSSES)):
        # Reductions are the base's, so that each loss need not meet each of them alone.
        reduced = replace(loss, reduction=REDUCTIONS[number % (len(REDUCTIONS) - 1)])
        found += [(loss, None), (reduced, None)]
        if isinstance(loss, CrossEntropy) and loss.fuses_with is not None:
            behind = activations.get(loss.fuses_with)
            found += [(replace(loss, path=path), behind) for path in ("fused", "probabilities")]
            found.append((replace(loss, from_logits=True), None))
    found += [(regularizer, None) for regularizer in every_variant(REGULARIZERS)]
    return tuple(dict.fromkeys(found))


def draw_function_case(seed: int, index: int, dtype: str) -> FunctionCase:
    """The case number ``index`` of a seed."""
    generator = np.random.default_rng([seed, index, 1])
    kind = list(Kind)[int(generator.integers(len(Kind)))]
    subject, behind = subjects()[int(generator.integers(len(subjects())))]
    case = build_function_case(subject, behind, kind, generator, dtype)
    case.index = index
    return case


def build_function_case(
    subject: Function,
    behind: Activation | None,
    kind: Kind,
    generator: Generator,
    dtype: str,
) -> FunctionCase:
    """Draw inputs and what else the function takes."""
    shape = tuple(int(generator.integers(1, n + 1)) for n in (LARGEST_BATCH, LARGEST_WIDTH))
    if isinstance(subject, Activation):
        inputs = _arguments(subject, kind, generator, shape, dtype)
        grad_output = _cast(DRAWS_OF[Kind.SMOOTH](generator, _output_shape(subject, inputs)), dtype)
        return FunctionCase(subject, inputs, grad_output, None, kind)
    if isinstance(subject, Regularizer):
        weights = _cast(_numbers(kind, generator, shape), dtype)
        return FunctionCase(subject, weights, weights, None, kind)
    from_logits = behind is not None or getattr(subject, "from_logits", False)
    if from_logits:
        predictions = _cast(_numbers(kind, generator, shape), dtype)
    else:
        predictions = _cast(PREDICTIONS[subject.predictions](kind, generator, shape), dtype)
    targets = draw_targets(subject, kind, generator, predictions)
    if kind is Kind.HOSTILE and not from_logits and targets.shape == predictions.shape:
        predictions = _near(targets, predictions, subject, generator)
    values = subject.ones(predictions).shape
    if generator.random() < 0.3 and len(values) <= 1:
        values = values or predictions.shape[:1]  # one value for the batch has samples' weights
        subject = subject.weighted(generator.choice([0.0, 0.5, 1.0, 2.0, 1 / 3], values))
    return FunctionCase(subject, predictions, targets, behind, kind)


def draw_targets(loss: Loss, kind: Kind, generator: Generator, predictions: Array) -> Array:
    """Labels of the kind that a loss takes, prepared, for predictions (batch, outputs)."""
    labels = LABELS[loss.labels](kind, generator, predictions.shape)
    return loss.prepare(_cast(labels, predictions.dtype.name), predictions)


def special_points(activation: Activation, dtype: str) -> Array:
    """Every kink and its neighbours, and where the arithmetic of the dtype ends."""
    info = np.finfo(dtype)
    kinks = np.array([*activation.kinks, 0.0], dtype)
    beside = [np.nextafter(kinks, np.array(side, dtype)) for side in (-np.inf, np.inf)]
    ends = np.array([info.max, info.smallest_normal, info.smallest_subnormal, info.eps])
    with np.errstate(over="ignore"):
        both = np.concatenate([THRESHOLDS, ends, np.abs(SPECIAL_NUMBERS)]).astype(dtype)
    both = both[np.isfinite(both)]
    return np.concatenate([kinks, *beside, both, -both])


def _arguments(
    activation: Activation, kind: Kind, generator: Generator, shape: tuple[int, ...], dtype: str
) -> Array:
    try:
        activation.forward(np.zeros(shape, dtype))
    except ValueError:  # takes even sizes only
        shape = tuple(2 * size for size in shape)
    numbers = _cast(_numbers(kind, generator, shape), dtype)
    if kind is not Kind.SMOOTH:
        chosen = generator.random(shape) < (0.6 if kind is Kind.HOSTILE else 0.3)
        points = special_points(activation, dtype)
        if kind is Kind.NICE:
            points = np.array([*activation.kinks, 0.0], dtype)
        numbers = np.where(chosen, generator.choice(points, shape), numbers)
    return numbers


def _output_shape(activation: Activation, inputs: Array) -> tuple[int, ...]:
    with np.errstate(all="ignore"):
        return np.shape(activation.forward(inputs))


def _near(targets: Array, predictions: Array, loss: Loss, generator: Generator) -> Array:
    """Predictions of which some equal their targets, or are a parameter or an ulp away."""
    steps = [0.0, *(float(v) for v in loss.arguments.values() if isinstance(v, float))]
    signs = generator.choice([-1, 1], targets.shape)
    away = targets + signs * generator.choice(steps, targets.shape)
    away = away.astype(predictions.dtype)
    toward = np.where(generator.random(targets.shape) < 0.5, -np.inf, np.inf)
    beside = np.nextafter(away, toward.astype(predictions.dtype))
    near = np.where(generator.random(targets.shape) < 0.5, away, beside)
    return np.where(generator.random(targets.shape) < 0.3, near, predictions)


def _numbers(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    return DRAWS_OF[kind](generator, shape)


def _probabilities(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    """Rows on the simplex or elements of [0, 1]; hostile ones at, beside and beyond the ends."""
    numbers = generator.uniform(0, 1, shape)
    if generator.random() < 0.5:
        numbers = numbers / numbers.sum(axis=-1, keepdims=True)
    if kind is Kind.SMOOTH:
        return numbers
    ends = [0.0, 1.0, 0.5, 1 / 3]
    if kind is Kind.HOSTILE:
        for end in (EPSILON, 1 - EPSILON):
            rounded = np.float32(end)
            below, above = (np.nextafter(rounded, np.float32(x)) for x in (-1, 2))
            ends += [end, float(rounded), float(below), float(above)]
        ends += [1e-30, 1e-45, 1e-300]
    return np.where(generator.random(shape) < 0.5, generator.choice(ends, shape), numbers)


def _positive(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    return np.abs(_numbers(kind, generator, shape))


def _frames(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    """Logits of sequences, (samples, frames, classes), with at least one class beside the blank."""
    frames = int(generator.integers(1, LARGEST_WIDTH + 1))
    return _numbers(kind, generator, (shape[0], frames, shape[1] + 1))


def _directions(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    """Vectors in rows, of length 1 as embeddings are, or of any length."""
    numbers = _numbers(kind, generator, shape)
    lengths = np.sqrt((numbers * numbers).sum(axis=-1, keepdims=True))
    return numbers / np.where(lengths > 0, lengths, 1) if generator.random() < 0.7 else numbers


def _transcripts(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    """Labels of sequences, padded with 0: empty, repeated, or as long as the frames allow."""
    samples, frames, classes = shape
    labels = generator.integers(1, classes, (samples, frames))
    repeats = np.pad(labels[:, 1:] == labels[:, :-1], ((0, 0), (1, 0)))
    needed = np.cumsum(1 + repeats, axis=1)  # a blank stands between equal neighbours
    longest = generator.integers(0, frames + 1, (samples, 1))
    return np.where((needed <= frames) & (np.arange(frames) < longest), labels, 0)


def _classes(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    return generator.integers(0, shape[-1], shape[0])


def _distributions(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    return np.eye(shape[-1])[_classes(kind, generator, shape)]


def _bits(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    soft = generator.uniform(0, 1, shape)
    bits = generator.integers(0, 2, shape).astype(float)
    return soft if generator.random() < 0.3 else bits


def _signs(kind: Kind, generator: Generator, shape: tuple[int, ...]) -> Array:
    return generator.choice([-1.0, 1.0], shape)


Draw: TypeAlias = Callable[[Kind, Generator, tuple[int, ...]], Array]
PREDICTIONS: dict[str, Draw] = {
    "numbers": _numbers,
    "positive": _positive,
    "directions": _directions,
    "frames": _frames,
    "probabilities": _probabilities,
}
LABELS: dict[str, Draw] = {
    "numbers": _numbers,
    "counts": _positive,
    "classes": _classes,
    "distributions": _distributions,
    "bits": _bits,
    "signs": _signs,
    "transcripts": _transcripts,
}


def _cast(numbers: Array, dtype: str) -> Any:
    if numbers.dtype.kind != "f":
        return numbers
    with np.errstate(over="ignore", under="ignore"):
        limit = float(np.finfo(dtype).max)
        return np.clip(numbers, -limit, limit).astype(dtype)
