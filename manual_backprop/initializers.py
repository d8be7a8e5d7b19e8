"""Initial weights: each an object called with (shape, generator, dtype).

A contract stands beside each draw: ``limits`` that no weight passes, and ``moments``, the mean and
the standard deviation of the distribution. The same generator state gives the same weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from manual_backprop.catalogue import Catalogued, family, resolve, unknown_name
from manual_backprop.typing import Array, Initializer

if TYPE_CHECKING:  # NumPy loads its random numbers when they are first asked for
    from numpy.random import Generator

Shape = tuple[int, ...]

FAN_MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")
# Where a truncated normal is cut, in standard deviations, and the deviation that it then has:
# √(1 − 2c φ(c) / (2Φ(c) − 1)) at the cut c.
CUT = 2.0
TRUNCATED_DEVIATION = 0.87962566103423978


class WeightInitializer(Catalogued):
    """Draws a weight array of a given shape and dtype from a NumPy Generator."""

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        raise NotImplementedError

    def limits(self, shape: Shape) -> tuple[float, float]:
        """The least and the largest weight that can be drawn."""
        return -math.inf, math.inf

    def moments(self, shape: Shape) -> tuple[float, float]:
        """Mean and standard deviation of a weight."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Constant(WeightInitializer):
    """The same number everywhere."""

    name: ClassVar[str] = "constant"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"value": 0.1})

    value: float = 0.0

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        return np.full(shape, self.value, dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return self.value, self.value

    def moments(self, shape: Shape) -> tuple[float, float]:
        return self.value, 0.0


class Zeros(Constant):
    """All zeros; the usual choice for biases."""

    name: ClassVar[str] = "zeros"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """All ones."""

    name: ClassVar[str] = "ones"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    def __init__(self) -> None:
        super().__init__(1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Identity(WeightInitializer):
    """``gain`` on the main diagonal of a matrix, zeros elsewhere."""

    name: ClassVar[str] = "identity"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"gain": 0.5})
    domain: ClassVar[str] = "matrices"

    gain: float = 1.0

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        if len(shape) != 2:
            raise ValueError(
                f"shape: got {shape}, expected two sizes; only a matrix has a diagonal."
            )
        return (self.gain * np.eye(*shape)).astype(dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return min(self.gain, 0.0), max(self.gain, 0.0)

    def moments(self, shape: Shape) -> tuple[float, float]:
        share = min(shape) / math.prod(shape)  # of weights that are on the diagonal
        return self.gain * share, abs(self.gain) * math.sqrt(share * (1 - share))


@dataclass(frozen=True, eq=False, repr=False)
class RandomUniform(WeightInitializer):
    """Uniform in [minval, maxval); the defaults are Keras' "uniform"."""

    name: ClassVar[str] = "random_uniform"
    aliases: ClassVar[tuple[str, ...]] = ("uniform",)
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"minval": -1.0, "maxval": 3.0})

    minval: float = -0.05
    maxval: float = 0.05

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        return generator.uniform(self.minval, self.maxval, shape).astype(dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return self.minval, self.maxval

    def moments(self, shape: Shape) -> tuple[float, float]:
        """∫ x dx and ∫ (x − mean)² dx over the interval: its middle, and width² / 12."""
        return (self.minval + self.maxval) / 2, (self.maxval - self.minval) / math.sqrt(12)


@dataclass(frozen=True, eq=False, repr=False)
class UnitUniform(RandomUniform):
    """Uniform in [0, 1), for weights and biases alike (system E of the teaching notebooks)."""

    name: ClassVar[str] = "unit_uniform"
    aliases: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    minval: float = 0.0
    maxval: float = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class PositiveUniform(RandomUniform):
    """Uniform in [0, 0.1), the book's TensorFlow network (systems B and D)."""

    name: ClassVar[str] = "positive_uniform"
    aliases: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    minval: float = 0.0
    maxval: float = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class RandomNormal(WeightInitializer):
    """Normal with the given mean and standard deviation."""

    name: ClassVar[str] = "random_normal"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"mean": 1.0, "stddev": 2.0})

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        return generator.normal(self.mean, self.stddev, shape).astype(dtype)

    def moments(self, shape: Shape) -> tuple[float, float]:
        return self.mean, self.stddev


@dataclass(frozen=True, eq=False, repr=False)
class SmallNormal(RandomNormal):
    """Normal with standard deviation 0.01, the spiral's choice (system C)."""

    name: ClassVar[str] = "normal"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    stddev: float = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class TruncatedNormal(WeightInitializer):
    """Normal, with what lies more than two standard deviations from the mean drawn again.

    ``stddev`` is that of the normal before it is cut.
    """

    name: ClassVar[str] = "truncated_normal"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"mean": 1.0, "stddev": 2.0})

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        drawn = generator.standard_normal(shape)
        while (outside := np.abs(drawn) > CUT).any():
            drawn[outside] = generator.standard_normal(int(outside.sum()))
        return (self.mean + self.stddev * drawn).astype(dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return self.mean - CUT * self.stddev, self.mean + CUT * self.stddev

    def moments(self, shape: Shape) -> tuple[float, float]:
        return self.mean, TRUNCATED_DEVIATION * self.stddev


@dataclass(frozen=True, eq=False, repr=False)
class VarianceScaling(WeightInitializer):
    r"""Variance ``scale`` / fan, which keeps the variance of one pass or of both.

    (1) z = Σ_k x_k W_k over fan_in terms has variance fan_in · Var W · E x²: Var W = 1 / fan_in
        keeps it forwards, 1 / fan_out backwards, 1 / their mean is the compromise
    (2) a uniform in ±l has variance l²/3, so l = √(3 · scale / fan)
    (3) a normal cut at two deviations has 0.8796 of its deviation left, which is made up for

    Sources: Glorot and Bengio (2010), equation 16; He et al. (2015); LeCun et al. (1998).

    Args:
        scale: positive. mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        input_axes, output_axes: the axes whose sizes multiply to the fans; for a kernel
            (…, inputs, outputs) without them.
    """

    name: ClassVar[str] = "variance_scaling"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {},
        {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
        {"mode": "fan_avg", "distribution": "uniform"},
        {"input_axes": (1,), "output_axes": (0,)},
    )

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    input_axes: tuple[int, ...] | None = field(default=None, kw_only=True)
    output_axes: tuple[int, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale: got {self.scale}, expected a positive number.")
        if self.mode not in FAN_MODES:
            raise unknown_name("mode", self.mode, FAN_MODES)
        if self.distribution not in DISTRIBUTIONS:
            raise unknown_name("distribution", self.distribution, DISTRIBUTIONS)

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        return self._drawn_by(shape)(shape, generator, dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return self._drawn_by(shape).limits(shape)

    def moments(self, shape: Shape) -> tuple[float, float]:
        return 0.0, self._deviation(shape)

    def _deviation(self, shape: Shape) -> float:
        fan_in, fan_out = self._fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        return math.sqrt(self.scale / max(1.0, fan))  # (1)

    def _drawn_by(self, shape: Shape) -> WeightInitializer:
        deviation = self._deviation(shape)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * deviation  # (2)
            return RandomUniform(-limit, limit)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, deviation)
        return TruncatedNormal(0.0, deviation / TRUNCATED_DEVIATION)  # (3)

    def _fans(self, shape: Shape) -> tuple[int, int]:
        if self.input_axes is not None and self.output_axes is not None:
            sides = (self.input_axes, self.output_axes)
            fan_in, fan_out = (math.prod(shape[axis] for axis in axes) for axes in sides)
            return fan_in, fan_out
        if len(shape) < 2:
            return math.prod(shape), math.prod(shape)
        field_size = math.prod(shape[:-2])
        return shape[-2] * field_size, shape[-1] * field_size


def _scaled(
    name: str, keras_name: str, scale: float, mode: str, distribution: str, doc: str
) -> type[VarianceScaling]:
    """A ``VarianceScaling`` with its choices made, as Keras names it."""

    def make(
        self: VarianceScaling,
        *,
        input_axes: tuple[int, ...] | None = None,
        output_axes: tuple[int, ...] | None = None,
    ) -> None:
        axes = {"input_axes": input_axes, "output_axes": output_axes}
        VarianceScaling.__init__(self, scale, mode, distribution, **axes)

    variants: tuple[dict[str, Any], ...] = ({}, {"input_axes": (1,), "output_axes": (0,)})
    content = {"name": name, "variants": variants, "__init__": make, "__doc__": doc}
    return type(keras_name, (VarianceScaling,), {**content, "__module__": __name__})


GlorotUniform = _scaled(
    "glorot_uniform", "GlorotUniform", 1.0, "fan_avg", "uniform",
    "Uniform in ±√(6 / (fan_in + fan_out)), which keeps the variance of both passes.",
)  # fmt: skip
GlorotNormal = _scaled(
    "glorot_normal", "GlorotNormal", 1.0, "fan_avg", "truncated_normal",
    "Truncated normal of variance 2 / (fan_in + fan_out).",
)  # fmt: skip
HeUniform = _scaled(
    "he_uniform", "HeUniform", 2.0, "fan_in", "uniform",
    "Uniform in ±√(6 / fan_in): a ReLU halves E x², so the variance is doubled.",
)  # fmt: skip
HeNormal = _scaled(
    "he_normal", "HeNormal", 2.0, "fan_in", "truncated_normal",
    "Truncated normal of variance 2 / fan_in: a ReLU halves E x².",
)  # fmt: skip
LecunUniform = _scaled(
    "lecun_uniform", "LecunUniform", 1.0, "fan_in", "uniform",
    "Uniform in ±√(3 / fan_in), which keeps the variance of the forward pass.",
)  # fmt: skip
LecunNormal = _scaled(
    "lecun_normal", "LecunNormal", 1.0, "fan_in", "truncated_normal",
    "Truncated normal of variance 1 / fan_in.",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Orthogonal(WeightInitializer):
    r"""``gain`` times a matrix with orthonormal columns, or rows if it has fewer rows.

    (1) A = QR of a normal A has orthonormal columns in Q, but QR leaves each one's sign open;
        times the sign of R's diagonal, Q is uniform over all such matrices (Mezzadri 2007)
    (2) an entry has mean 0 and, n being the longer side, E Q² = 1/n: the columns have length 1
    """

    name: ClassVar[str] = "orthogonal"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"gain": 2.0})
    domain: ClassVar[str] = "at least two sizes; all but the last are taken together"

    gain: float = 1.0

    def __call__(self, shape: Shape, generator: Generator, dtype: np.dtype[Any]) -> Array:
        rows, columns = self._sides(shape)
        normal = generator.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # (1)
        return (self.gain * (q if rows >= columns else q.T).reshape(shape)).astype(dtype)

    def limits(self, shape: Shape) -> tuple[float, float]:
        return -abs(self.gain), abs(self.gain)

    def moments(self, shape: Shape) -> tuple[float, float]:
        return 0.0, abs(self.gain) / math.sqrt(max(self._sides(shape)))  # (2)

    @staticmethod
    def _sides(shape: Shape) -> tuple[int, int]:
        if len(shape) < 2:
            raise ValueError(f"shape: got {shape}, expected at least two sizes.")
        return math.prod(shape[:-1]), shape[-1]


INITIALIZERS = family(WeightInitializer, globals())


def get(argument: str, initializer: object) -> Initializer:
    """An initializer from its name, or any callable of (shape, generator, dtype)."""
    if callable(initializer) and not isinstance(initializer, type):
        return initializer
    return resolve(argument, initializer, WeightInitializer, INITIALIZERS)
