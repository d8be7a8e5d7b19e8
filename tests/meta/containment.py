"""The same small programs, run on error-carrying arrays, plainly, and in higher precision.

An operation is a function of a way of computing and three arrays of one shape. Elementwise
operations are made from the table of rules itself, so that a new rule is tested by being
there. The plain ways sum in a random order and may flush subnormal numbers to zero; the
truth is evaluated in long double, with the exponents that the centres, being float64, have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from composed_operations import COMPOSED

from agreement import rules
from agreement.bounded import BoundedArray, bounded
from agreement.precision import Precision, precision_of, storing
from manual_backprop import special
from manual_backprop.typing import Array

Operation: TypeAlias = Callable[[Any, Any, Any, Any], Any]

DTYPES = ("float32", "float64")
HALVES = ("float16", ml_dtypes.bfloat16.__name__)  # NumPy knows the name once it is imported
SPECIALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1 / 3, 2.0, -3.0, 1e-30, -1e-30, 1e30, 1e-38, 89.0, -104.0)
HOSTILE = (*SPECIALS, 1e-41, -1e-45, 1e-310, 3e38, -1e300, np.inf, -np.inf, np.nan)


class Carrying:
    """Computing with error-carrying arrays, as manual code does."""

    affine = staticmethod(lambda x, w, b: x @ w + b)
    quotient = staticmethod(lambda a, b, c: a / b / c)
    matmul = staticmethod(np.matmul)
    sum = staticmethod(np.sum)
    mean = staticmethod(np.mean)
    cumsum = staticmethod(np.cumsum)
    prod = staticmethod(np.prod)
    cumprod = staticmethod(np.cumprod)
    var = staticmethod(np.var)
    norm = staticmethod(np.linalg.norm)
    log_sum = staticmethod(np.logaddexp.reduce)
    std = staticmethod(np.std)
    inner = staticmethod(np.inner)
    vdot = staticmethod(np.vdot)
    trace = staticmethod(np.trace)
    average = staticmethod(lambda a, b: np.average(a, 0, b, keepdims=True))
    matmul_by_axes = staticmethod(lambda a, b: np.tensordot(a, b, ([0], [0])))
    contracted = staticmethod(lambda a, b, c: np.einsum("ij,ik,...il->...jl", a, b, c))

    def __call__(self, x: Any) -> Any:
        return x

    number = __call__

    def rows_by_rows(self, a: Any, b: Any) -> Any:
        return np.einsum("ij,kj->ik", a, b)

    def scattered(self, a: Any, rows: Any, b: Any) -> Any:
        result = a.copy()
        np.add.at(result, rows, b)
        return result


class Plain:
    """Computing in one dtype, in a random order, flushing numbers below ``threshold`` to 0."""

    def __init__(
        self, dtype: Any, generator: np.random.Generator, threshold: float, judged: np.dtype[Any]
    ) -> None:
        self.dtype, self.generator, self.threshold = np.dtype(dtype), generator, threshold
        self.judged = judged

    def __call__(self, x: Any) -> Array:
        """The result of one operation as the dtype holds it."""
        x = np.array(x, dtype=self.dtype)
        x[np.abs(x) < self.threshold] = 0
        return x

    def number(self, x: float) -> Any:
        """A Python number, rounded to the precision that is judged."""
        return self.dtype.type(self.judged.type(x))

    def add_up(self, terms: list[Array]) -> Array:
        """The sum of the terms, two at a time, in a random tree."""
        terms = list(terms)
        while len(terms) > 1:
            first = terms.pop(self.generator.integers(len(terms)))
            at = self.generator.integers(len(terms))
            terms[at] = self(first + terms[at])
        return terms[0]

    def products(self, a: Array, b: Array) -> list[Array]:
        return [self(a[:, i, None] * b[None, i, :]) for i in range(a.shape[1])]

    def matmul(self, a: Array, b: Array) -> Array:
        return self.add_up(self.products(a, b))

    def rows_by_rows(self, a: Array, b: Array) -> Array:
        return self.matmul(a, b.T)

    def affine(self, x: Array, w: Array, b: Array) -> Array:
        total, terms = b, self.products(x, w)
        if self.generator.random() < 0.5:
            return self.add_up([*terms, b])
        for term in terms:  # the bias first, as a fused product does
            total = self(total + term)
        return total

    def quotient(self, a: Array, b: Array, c: Array) -> Array:
        return self(a / self(b * c)) if self.generator.random() < 0.5 else self(self(a / b) / c)

    def sum(self, a: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        terms = list(a.ravel()) if axis is None else list(np.moveaxis(a, axis, 0))
        total = self.add_up(terms)
        shape = np.sum(a, axis=axis, keepdims=keepdims).shape
        return np.reshape(total, shape)

    def mean(self, a: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        total = self.sum(a, axis, keepdims)
        return self(total / self.dtype.type(a.size // total.size))

    def multiply_all(self, factors: list[Array]) -> Array:
        """The product of the factors, two at a time, in a random tree."""
        factors = list(factors)
        while len(factors) > 1:
            first = factors.pop(self.generator.integers(len(factors)))
            at = self.generator.integers(len(factors))
            factors[at] = self(first * factors[at])
        return factors[0]

    def prod(self, a: Array, axis: int) -> Array:
        return self.multiply_all(list(np.moveaxis(a, axis, 0)))

    def cumprod(self, a: Array, axis: int) -> Array:
        factors = list(np.moveaxis(a, axis, 0))
        prefixes = [self.multiply_all(factors[: n + 1]) for n in range(len(factors))]
        return np.stack(prefixes, axis)

    def var(self, a: Array, axis: int, keepdims: bool) -> Array:
        away = self(a - self.mean(a, axis, True))
        return self.mean(self(away * away), axis, keepdims)

    def std(self, a: Array, axis: int, keepdims: bool) -> Array:
        return self(np.sqrt(self.var(a, axis, keepdims)))

    def inner(self, a: Array, b: Array) -> Array:
        return self.matmul(a, b.T)

    def matmul_by_axes(self, a: Array, b: Array) -> Array:
        return self.matmul(a.T, b)

    def vdot(self, a: Array, b: Array) -> Array:
        return self.matmul(a.reshape(1, -1), b.reshape(-1, 1))[0, 0]

    def trace(self, a: Array) -> Array:
        return self.add_up(list(np.diagonal(a)))

    def average(self, a: Array, weights: Array) -> Array:
        total = self.sum(self(a * weights), 0, True)
        return self(total / self.sum(weights, 0, True))

    def norm(self, a: Array, axis: int, keepdims: bool) -> Array:
        return self(np.sqrt(self.sum(self(a * a), axis, keepdims)))

    def log_sum(self, a: Array, axis: int, keepdims: bool) -> Array:
        largest = a.max(axis=axis, keepdims=True)
        total = self.sum(self(np.exp(self(a - largest))), axis, keepdims)
        return self(self(np.log(total)) + largest)

    def contracted(self, a: Array, b: Array, c: Array) -> Array:
        """Σ_ik a_ij b_ik c_il, all at once or c with the sum of b first."""
        if self.generator.random() < 0.5:
            rows = self.sum(b, axis=1, keepdims=True)
            factors = [a[:, :, None], rows[:, :, None], c[:, None, :]]
            return self.sum(self.multiply_all(factors), axis=0)
        factors = [a[:, :, None, None], b[:, None, :, None], c[:, None, None, :]]
        terms = self.multiply_all(
            [np.broadcast_to(x, np.broadcast_shapes(*map(np.shape, factors))) for x in factors]
        )
        return self.add_up([term for row in np.moveaxis(terms, 2, 0) for term in row])

    def scattered(self, a: Array, rows: Array, b: Array) -> Array:
        result = a.copy()
        for row in np.unique(rows):
            result[row] = self.add_up([a[row], *b[rows == row]])
        return result

    def cumsum(self, a: Array, axis: int) -> Array:
        terms = list(np.moveaxis(a, axis, 0))
        return np.stack([self.add_up(terms[: n + 1]) for n in range(len(terms))], axis)


def _changed(a: Any, change: Callable[[Any], None]) -> Any:
    result = a.copy()
    change(result)
    return result


def _assign_masked(k: Any, a: Any, b: Any, c: Any) -> Any:
    def change(x: Any) -> None:
        x[b <= c] = 0.5

    return _changed(a, change)


def _assign_rows(k: Any, a: Any, b: Any, c: Any) -> Any:
    def change(x: Any) -> None:
        x[b[:, 0] > c[:, 0]] = 2
        x[np.arange(len(x)), 0] = c[:, 1]

    return _changed(a, change)


def _through_views(k: Any, a: Any, b: Any, c: Any) -> Any:
    def change(x: Any) -> None:
        rows = x.T[1:]
        rows[...] = k(rows + b.T[1:])
        x[0][b[0] > c[0]] = 0
        x.reshape(-1)[-1] = c[0, 0]

    return _changed(a, change)


def _in_place(k: Any, a: Any, b: Any, c: Any) -> Any:
    def change(x: Any) -> None:
        x += b
        x[...] = k(x)
        np.multiply(x, c, out=x)
        x[...] = k(x)
        x[1:] -= 1
        x[...] = k(x)

    return _changed(a, change)


def _combined_masks(k: Any, a: Any, b: Any, c: Any) -> Any:
    mask = ((a > b) & ~(b <= c)) | (a == c) | ((b < c) ^ (a != b))
    return np.where(mask, a, b)


def _unary(f: Callable[[Any], Any]) -> Operation:
    return lambda k, a, b, c: k(f(a))


def _of_positive(f: Callable[[Any], Any]) -> Operation:
    return lambda k, a, b, c: k(f(k(np.abs(a) + 0.5)))


def _binary(f: Callable[[Any, Any], Any]) -> Operation:
    return lambda k, a, b, c: k(f(a, b))


def _where(compare: Callable[[Any, Any], Any]) -> Operation:
    return lambda k, a, b, c: np.where(compare(a, b), b, c)


def _times(compare: Callable[[Any, Any], Any]) -> Operation:
    return lambda k, a, b, c: k(a * compare(b, c))


def _power(exponent: float) -> Operation:
    return lambda k, a, b, c: k(a**exponent)


def _elementwise() -> dict[str, Operation]:
    operations: dict[str, Operation] = {}
    for ufunc in rules.UFUNCS:
        if ufunc.nin == 1:
            operations[ufunc.__name__] = _unary(ufunc)
            operations[f"{ufunc.__name__} of positive"] = _of_positive(ufunc)
        else:
            operations[ufunc.__name__] = _binary(ufunc)
    for name in rules.SPECIAL:
        operations[name] = _unary(special.FUNCTIONS[name])
    for ufunc in rules.COMPARISONS:
        operations[f"where {ufunc.__name__}"] = _where(ufunc)
        operations[f"times {ufunc.__name__}"] = _times(ufunc)
    for exponent in (-2, -0.5, 0.5, 1, 2, 3, 2.5):
        operations[f"power {exponent}"] = _power(exponent)
    return operations


ELEMENTWISE = _elementwise()
OTHERS: dict[str, Operation] = {
    "matmul": lambda k, a, b, c: k.matmul(k.matmul(a, b.T), c),
    "dot": lambda k, a, b, c: k.matmul(a.T, b)[:1],
    "affine": lambda k, a, b, c: k.affine(a, b[:1].T, c[:1, :1]),
    "large bias": lambda k, a, b, c: k.affine(
        np.clip(a, k.number(-1e-3), k.number(1e-3)), np.sign(b[:1].T), np.ones_like(c[:1, :1])
    ),
    "einsum": lambda k, a, b, c: k.rows_by_rows(a, b)[:, :1],
    "quotient": lambda k, a, b, c: k.quotient(a, b, c),
    "sum": lambda k, a, b, c: k.sum(a),
    "sum of columns": lambda k, a, b, c: k.sum(a, axis=0, keepdims=True),
    "sum of rows": lambda k, a, b, c: k.sum(a, axis=-1)[:, None],
    "mean": lambda k, a, b, c: k.mean(a),
    "mean of rows": lambda k, a, b, c: k.mean(a, axis=1, keepdims=True),
    "max": lambda k, a, b, c: np.max(a, axis=-1, keepdims=True),
    "min": lambda k, a, b, c: np.min(a, axis=0),
    "cumsum": lambda k, a, b, c: k.cumsum(a, axis=1),
    "sort": lambda k, a, b, c: np.sort(a, axis=0),
    "sign": lambda k, a, b, c: np.sign(a),
    "clip": lambda k, a, b, c: np.clip(a, -1, 0.5),
    "clip by arrays": lambda k, a, b, c: np.clip(a, b, c[:1]),
    "combined masks": _combined_masks,
    "mask alone": lambda k, a, b, c: k(k(1 - np.where(a > b, 1.0, 0.0)) * c),
    "assign masked": _assign_masked,
    "assign rows": _assign_rows,
    "in place": _in_place,
    "through views": _through_views,
    "broadcast": lambda k, a, b, c: k(a[:, :1] - b[:1]),
    "likes": lambda k, a, b, c: k(np.ones_like(a) - k(np.full_like(b, 0.5) * c)),
    "concatenate": lambda k, a, b, c: np.concatenate([a[:1], b[1:]], axis=0),
    "stack": lambda k, a, b, c: np.stack([a, c], axis=0)[1],
    "rearranged": lambda k, a, b, c: np.roll(a[::-1], 1, axis=1),
    "take": lambda k, a, b, c: np.take(a, [1, 0], axis=0)[:1],
    "outer": lambda k, a, b, c: k(np.outer(a[0], b[1]))[:1],
    "scalars": lambda k, a, b, c: k(k(3 - a) * k.number(0.1)),
}
OPERATIONS = {**ELEMENTWISE, **OTHERS, **COMPOSED}


def draw_numbers(shape: tuple[int, ...], generator: np.random.Generator, dtype: Any) -> Array:
    """Numbers of a random scale; in some draws, some are special, or ties of others."""
    scale = generator.choice([1.0, 1.0, 1.0, 10.0, 1e-3, 1e-25, 1e25])
    numbers = scale * generator.uniform(-2, 2, shape)
    specials = [(), SPECIALS, HOSTILE][generator.integers(3)]
    if specials:
        chosen = generator.random(shape) < 0.3
        numbers[chosen] = generator.choice(specials, shape)[chosen]
        numbers[0] = numbers[-1]
    return numbers.astype(dtype)


def draw_interval(
    shape: tuple[int, ...], generator: np.random.Generator, precision: Precision
) -> tuple[BoundedArray, Array]:
    """An error-carrying array, and numbers at the centres or ends of its intervals."""
    centre = draw_numbers(shape, generator, precision.dtype)
    carrying = bounded(centre, precision)
    width = generator.choice([0.0, 1e-6, 1e-2, 1.0])
    if width == 0:
        return carrying, centre
    end = (centre * (1 + width * generator.uniform(-1, 1, shape))).astype(precision.dtype)
    end[np.abs(end) < precision.smallest_normal] = 0
    # The next number up, the difference being rounded.
    reach = np.nextafter(np.abs(end.astype(np.float64) - carrying.value), np.inf)
    error = np.where(np.isfinite(end), np.maximum(carrying.error, reach), np.inf)
    limited = bool(np.isfinite(error).all())
    carrying = BoundedArray(carrying.value, error, precision, limited=limited)
    return carrying, np.where(generator.random(shape) < 0.8, end, centre)


def ways_to_compute(precision: Precision, generator: np.random.Generator) -> list[Plain]:
    """The working precision without and with flush to zero, and the truth."""
    dtype, smallest = precision.dtype, np.finfo(np.float64).smallest_subnormal
    return [
        Plain(dtype, generator, 0.0, dtype),
        Plain(dtype, generator, precision.smallest_normal, dtype),
        Plain(np.longdouble, generator, smallest, dtype),
    ]


def run(k: Any, names: list[str], arrays: list[Any], picks: Array) -> list[Any]:
    """Every operation's result; each works on earlier results, spread to the first's shape."""
    shape, results = arrays[0].shape, []
    for name, pick in zip(names, picks, strict=True):
        a, b, c = (arrays[i] for i in pick)
        result = OPERATIONS[name](k, a, b, c)
        results.append(result)
        arrays = [*arrays, np.broadcast_to(result, shape).copy()]
    return results


def complaint(expected: BoundedArray, actual: Array) -> str:
    """What is wrong with an error-carrying array and what it should contain; empty if nothing."""
    value, error, smooth = expected.value, expected.error, expected.smooth
    if value.shape != error.shape or value.shape != np.shape(actual):
        return f"shapes differ: {value.shape}, {error.shape}, {np.shape(actual)}"
    if np.isnan(error).any() or not (error >= 0).all():
        return "an error is NaN or negative"
    if not (smooth <= error).all():
        return "a smooth error exceeds the error"
    if expected.exact and error.any():
        return "an array that counts as exact has errors"
    if expected.limited and np.isinf(error).any():
        return "an array that counts as limited has an infinite error"
    if np.isnan(value[np.isfinite(error)]).any():
        return "NaN has an error bound"
    away = np.abs(np.asarray(actual, np.longdouble) - value)
    outside = ~((away <= error) | np.isinf(error))
    if outside.any():
        at = tuple(np.argwhere(outside)[0])
        return f"{actual[at]!r} lies outside {value[at]!r} ± {error[at]!r} at {at}"
    return ""


def violation(names: list[str], dtype: str, seed: int, shape: tuple[int, int] = (3, 4)) -> str:
    """Run a program in every way; the first violation of a bound, or an empty string."""
    precision, generator = storing(precision_of(dtype)), np.random.default_rng(seed)
    drawn = [draw_interval(shape, generator, precision) for _ in range(3)]
    picks = np.array([generator.integers(3 + i, size=3) for i in range(len(names))])
    with np.errstate(all="ignore"):
        expected = run(Carrying(), names, [carrying for carrying, _ in drawn], picks)
        for way in ways_to_compute(precision, generator):
            found = run(way, names, [way(numbers) for _, numbers in drawn], picks)
            for name, wanted, actual in zip(names, expected, found, strict=True):
                wrong = complaint(wanted, actual)
                if wrong:
                    return f"{name}, in {way.dtype}, flushing {way.threshold}: {wrong}"
    return ""
