"""Initial weights: each an object called with (shape, generator, dtype)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from manual_backprop.catalogue import Catalogued, family, resolve
from manual_backprop.typing import Array, Initializer


class WeightInitializer(Catalogued):
    """Draws a weight array of a given shape and dtype from a NumPy Generator."""

    name: ClassVar[str]

    def __call__(
        self, shape: tuple[int, ...], generator: np.random.Generator, dtype: np.dtype[Any]
    ) -> Array:
        raise NotImplementedError


@dataclass(frozen=True)
class Zeros(WeightInitializer):
    """All zeros; the usual choice for biases."""

    name: ClassVar[str] = "zeros"

    def __call__(
        self, shape: tuple[int, ...], generator: np.random.Generator, dtype: np.dtype[Any]
    ) -> Array:
        return np.zeros(shape, dtype)


@dataclass(frozen=True)
class RandomUniform(WeightInitializer):
    """Uniform in [minval, maxval); the defaults are Keras' "uniform"."""

    minval: float = -0.05
    maxval: float = 0.05
    name: ClassVar[str] = "uniform"

    def __call__(
        self, shape: tuple[int, ...], generator: np.random.Generator, dtype: np.dtype[Any]
    ) -> Array:
        return generator.uniform(self.minval, self.maxval, shape).astype(dtype)


@dataclass(frozen=True)
class UnitUniform(RandomUniform):
    """Uniform in [0, 1), for weights and biases alike (system E of the teaching notebooks)."""

    minval: float = 0.0
    maxval: float = 1.0
    name: ClassVar[str] = "unit_uniform"


@dataclass(frozen=True)
class PositiveUniform(RandomUniform):
    """Uniform in [0, 0.1), the book's TensorFlow network (systems B and D)."""

    minval: float = 0.0
    maxval: float = 0.1
    name: ClassVar[str] = "positive_uniform"


@dataclass(frozen=True)
class RandomNormal(WeightInitializer):
    """Normal with the given mean and standard deviation; 0.01 is the spiral's choice."""

    mean: float = 0.0
    stddev: float = 0.01
    name: ClassVar[str] = "normal"

    def __call__(
        self, shape: tuple[int, ...], generator: np.random.Generator, dtype: np.dtype[Any]
    ) -> Array:
        return generator.normal(self.mean, self.stddev, shape).astype(dtype)


@dataclass(frozen=True)
class GlorotUniform(WeightInitializer):
    """Uniform in ±√(6 / (fan_in + fan_out)), which keeps the variance of both passes.

    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep
    feedforward neural networks", equation 16.
    """

    name: ClassVar[str] = "glorot_uniform"

    def __call__(
        self, shape: tuple[int, ...], generator: np.random.Generator, dtype: np.dtype[Any]
    ) -> Array:
        limit = np.sqrt(6 / (shape[0] + shape[-1]))
        return generator.uniform(-limit, limit, shape).astype(dtype)


INITIALIZERS = family(WeightInitializer, globals())


def get(argument: str, initializer: object) -> Initializer:
    """An initializer from its name, or any callable of (shape, generator, dtype)."""
    if callable(initializer) and not isinstance(initializer, type):
        return initializer
    return resolve(argument, initializer, WeightInitializer, INITIALIZERS)
