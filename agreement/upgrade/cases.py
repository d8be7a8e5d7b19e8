"""Inputs of the catalogue's members: smooth, nice and hostile, at kinks and at the ends.

Everything is drawn by :class:`agreement.upgrade.counter.Counter`, so that it is the same beside
every release of NumPy. Sizes are fixed: a graph is traced once for all cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from agreement.upgrade.counter import Counter
from manual_backprop.activations import Activation
from manual_backprop.losses import EPSILON, Loss
from manual_backprop.typing import Array

SMOOTH, NICE, HOSTILE, KINKS = "smooth", "nice", "hostile", "kinks"
# Enough for every special point; even, as some activations split their inputs in halves.
ACTIVATION_SHAPE = (8, 12)
BATCH, OUTPUTS, FRAMES = 6, 5, 7

NICE_NUMBERS = (0.0, 1.0, -1.0, 0.5, -0.5, 1 / 3, -1 / 3, 2.0, -2.0, 10.0, -10.0, 0.1, 3.0, 7.0)
SPECIAL_NUMBERS = (0.0, 1.0, 1e-7, 1e-30, 1e-40, 1e-45, 1e4, 1e10, 1e30)
# Exponents at which exp, cosh, sigmoid … leave the range of either precision, and beyond.
THRESHOLDS = (17.4, 36.8, 87.4, 88.7, 88.8, 103.3, 104.0, 708.3, 709.7, 709.8, 745.1, 746.0, 1e19)

# Numbers by name.
Inputs: TypeAlias = dict[str, Array]


def special_points(kinks: tuple[float, ...], dtype: str) -> Array:
    """Every kink and its neighbours, and where the arithmetic of the dtype ends."""
    info = np.finfo(dtype)
    at = np.array([*kinks, 0.0], dtype)
    beside = [np.nextafter(at, np.array(side, dtype)) for side in (-np.inf, np.inf)]
    ends = [float(x) for x in (info.max, info.smallest_normal, info.smallest_subnormal, info.eps)]
    both = cast(np.array([*THRESHOLDS, *SPECIAL_NUMBERS, *ends]), dtype)
    return np.concatenate([at, *beside, both, -both])


def activation_cases(subject: Activation, dtype: str, name: str) -> dict[str, Inputs]:
    """``inputs`` and a random ``cotangent`` of the output's shape."""
    draw = Counter(name)
    drawn = {
        SMOOTH: draw.uniform(-4, 4, ACTIVATION_SHAPE),
        NICE: draw.choice(NICE_NUMBERS, ACTIVATION_SHAPE),
        HOSTILE: draw.uniform(-30, 30, ACTIVATION_SHAPE),
    }
    points = special_points(subject.kinks, dtype).astype(np.float64)
    flat = drawn[HOSTILE].reshape(-1)
    flat[: len(points)] = points[: flat.size]
    steps = np.sort(drawn[HOSTILE][-1])
    drawn[NICE][0] = steps / 8  # some that are neither special nor equal, in every scale
    found = {}
    for case, numbers in drawn.items():
        inputs = cast(numbers, dtype)
        with np.errstate(all="ignore"):
            shape = np.shape(subject.forward(inputs))
        found[case] = {"inputs": inputs, "cotangent": cast(draw.uniform(-2, 2, shape), dtype)}
    return found


def loss_cases(
    subject: Loss, dtype: str, name: str, *, of_logits: bool, extra: bool
) -> dict[str, Inputs]:
    """``predictions`` and ``targets``; with ``extra`` also cases with weights and a mask."""
    draw = Counter(name)
    found: dict[str, Inputs] = {}
    for case in (SMOOTH, NICE, HOSTILE):
        kind = "numbers" if of_logits and subject.predictions != "frames" else subject.predictions
        predictions = cast(PREDICTIONS[kind](case, draw), dtype)
        found[case] = {"predictions": predictions, "targets": _targets(subject, case, draw, dtype)}
    targets = found[HOSTILE]["targets"]
    if not of_logits and targets.shape == predictions.shape:
        beside = _beside(subject, draw, targets.astype(dtype))
        found[KINKS] = {"predictions": beside, "targets": targets}
    with np.errstate(all="ignore"):
        values = np.shape(subject.ones(predictions))
    if extra and len(values) == 1:
        weight = cast(draw.choice([0.0, 0.5, 1.0, 2.0, 1 / 3], values), dtype)
        mask = draw.integers(0, 3, values) > 0
        found["weighted"] = found[SMOOTH] | {"sample_weight": weight}
        found["masked"] = found[SMOOTH] | {"mask": mask}
        found["weighted, masked"] = found[SMOOTH] | {"sample_weight": weight, "mask": mask}
        found["all masked"] = found[SMOOTH] | {"mask": np.zeros(values, bool)}
    return found


def _targets(subject: Loss, case: str, draw: Counter, dtype: str) -> Array:
    labels = LABELS[subject.labels](case, draw)
    shape = (BATCH, FRAMES, OUTPUTS) if subject.predictions == "frames" else (BATCH, OUTPUTS)
    return np.asarray(subject.prepare(cast(labels, dtype), np.zeros(shape, dtype)))


def _beside(subject: Loss, draw: Counter, targets: Array) -> Array:
    """Predictions that equal their targets, or are a parameter or a bit away from them."""
    steps = [0.0, 1.0, *(float(v) for v in subject.arguments.values() if isinstance(v, float))]
    away = draw.choice(steps, targets.shape) * draw.choice([-1.0, 1.0], targets.shape)
    away = (targets + away).astype(targets.dtype)
    toward = draw.choice([-np.inf, np.inf], targets.shape).astype(targets.dtype)
    moved = draw.integers(0, 2, targets.shape) > 0
    return np.where(moved, np.nextafter(away, toward), away)


def regularizer_cases(dtype: str, name: str) -> dict[str, Inputs]:
    """``inputs``: a kernel, smooth, nice or hostile, and one with a single row."""
    draw = Counter(name)
    found = {
        case: {"inputs": cast(_numbers(case, draw), dtype)} for case in (SMOOTH, NICE, HOSTILE)
    }
    found["single row"] = {"inputs": found[SMOOTH]["inputs"][:1].copy()}
    return found


# Of several ranks, since some optimizers treat a matrix or the last two axes differently.
WEIGHTS = {"vector": (5,), "tall": (4, 3), "kernel": (2, 3, 2, 2)}
STEPS = 4


def optimizer_cases(dtype: str, name: str) -> dict[str, Inputs]:
    """``weight.…`` and ``gradients.…`` (steps first): smooth ones, and zeros and every scale."""
    draw = Counter(name)
    found: dict[str, Inputs] = {}
    for case in (SMOOTH, HOSTILE):
        given: Inputs = {}
        for weight, shape in WEIGHTS.items():
            given[f"weight.{weight}"] = cast(draw.uniform(-1, 1, shape), dtype)
            gradients = draw.uniform(-2, 2, (STEPS, *shape))
            if case == HOSTILE:
                powers = draw.integers(-20, 13, gradients.shape)
                gradients = np.ldexp(gradients, 3 * powers) * (powers % 4 != 0)
            given[f"gradients.{weight}"] = cast(gradients, dtype)
        found[case] = given
    return found


def schedule_cases() -> dict[str, Inputs]:
    """``iterations``: the first ones, and some far out."""
    return {"iterations": {"iterations": np.array([*range(24), 100, 1000, 10**6])}}


def initializer_cases() -> dict[str, Inputs]:
    """``shape``: of a matrix and of a kernel of a convolution."""
    return {
        "matrix": {"shape": np.array([4, 6])},
        "convolution": {"shape": np.array([2, 3, 2, 4])},
    }


# -- what losses are given ------------------------------------------------------------------


def _numbers(case: str, draw: Counter) -> Array:
    shape = (BATCH, OUTPUTS)
    if case == SMOOTH:
        return draw.uniform(-2, 2, shape)
    if case == NICE:
        return draw.choice(NICE_NUMBERS, shape)
    special = draw.choice([*SPECIAL_NUMBERS, 50.0, 88.0, 100.0], shape)
    return special * draw.choice([-1.0, 1.0], shape)


def _positive(case: str, draw: Counter) -> Array:
    return np.abs(_numbers(case, draw))


def _probabilities(case: str, draw: Counter) -> Array:
    """Rows on the simplex; nice and hostile ones at, beside and beyond the ends."""
    numbers = draw.uniform(0, 1, (BATCH, OUTPUTS))
    if case == SMOOTH:
        return _scaled(numbers, _sums(numbers))
    ends = [0.0, 1.0, 0.5, 1 / 3]
    if case == HOSTILE:
        for end in (EPSILON, 1 - EPSILON):
            rounded = np.float32(end)
            below, above = (np.nextafter(rounded, np.float32(x)) for x in (-1, 2))
            ends += [end, float(rounded), float(below), float(above)]
        ends += [1e-30, 1e-45, 1e-300, 3e-7, 1e-5, 1e-3]
    chosen = draw.choice(ends, numbers.shape)
    return np.where(draw.integers(0, 3, numbers.shape) > 0, chosen, numbers)


def _directions(case: str, draw: Counter) -> Array:
    """Vectors in rows: of length 1, and hostile ones of any length."""
    numbers = _numbers(case, draw)
    if case == HOSTILE:
        return numbers
    return _scaled(numbers, np.sqrt(_sums(numbers * numbers)))


def _frames(case: str, draw: Counter) -> Array:
    """Logits of sequences, (samples, frames, classes)."""
    wide = 30.0 if case == HOSTILE else 2.0
    return draw.uniform(-wide, wide, (BATCH, FRAMES, OUTPUTS))


def _transcripts(case: str, draw: Counter) -> Array:
    """Labels of sequences, padded with 0, short enough for every repetition."""
    labels = draw.integers(1, OUTPUTS, (BATCH, FRAMES))
    longest = draw.integers(0, FRAMES // 2 + 1, (BATCH, 1))
    return np.where(np.arange(FRAMES) < longest, labels, 0)


def _classes(case: str, draw: Counter) -> Array:
    return draw.integers(0, OUTPUTS, (BATCH,))


def _distributions(case: str, draw: Counter) -> Array:
    if case == NICE:  # soft labels
        return _probabilities(SMOOTH, draw)
    return np.eye(OUTPUTS)[_classes(case, draw)]


def _bits(case: str, draw: Counter) -> Array:
    if case == NICE:
        return draw.uniform(0, 1, (BATCH, OUTPUTS))
    return draw.integers(0, 2, (BATCH, OUTPUTS)).astype(np.float64)


def _signs(case: str, draw: Counter) -> Array:
    return draw.choice([-1.0, 1.0], (BATCH, OUTPUTS))


def _sums(numbers: Array) -> Array:
    """Sums of rows, added in order: NumPy's own order differs from release to release."""
    total = np.zeros_like(numbers[..., :1])
    for column in range(numbers.shape[-1]):
        total = total + numbers[..., column : column + 1]
    return total


def _scaled(numbers: Array, sizes: Array) -> Array:
    return numbers / np.where(sizes > 0, sizes, 1)


Draw: TypeAlias = Callable[[str, Counter], Array]
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


def cast(numbers: Any, dtype: str) -> Array:
    """Round to the dtype, at most its largest number; integers stay what they are."""
    given = np.asarray(numbers)
    if given.dtype.kind != "f":
        return given
    with np.errstate(over="ignore", under="ignore"):
        limit = float(np.finfo(dtype).max)
        return np.clip(given, -limit, limit).astype(dtype)
