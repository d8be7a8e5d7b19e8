"""How far do the libraries' elementwise functions stray from the true value?

For every function, working precision and library this measures
- the largest relative error where the true value is a normal number, in unit roundoffs u (2⁻²⁴ or
  2⁻⁵³: half an ulp of 1, *not* an ulp), after one smallest normal number is taken off the error,
  the price of a flush to zero on the way (TensorFlow's eager reciprocal needs it below 1e-31);
- the largest absolute error where the true value is subnormal, in smallest normal numbers;
- every stretch of x with a result that no small allowance covers: the strays.
The judge's table of allowances rests on this one. From the repository root:
``python -m benchmarks.allowances [--json] [--only exp log]``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import ml_dtypes
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from manual_backprop import special

Floats = NDArray[np.floating[Any]]
Float = type[np.floating[Any]]
Function = Callable[..., Any]

GARBAGE = 1024.0  # relative error in u from which a result is a stray, not rounding
EDGE = 16.0  # results this many u from the thresholds of over- and underflow may round across
MARGIN = 1.4  # between the largest error seen and the allowance proposed
SMALL_SHAPES = ((), (1,), (3,), (7,), (3, 5))  # Eigen takes scalar code below one packet of 8


def true_softplus(x: Floats) -> Floats:
    """log(1 + eˣ) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def true_erf(x: Floats) -> Floats:
    """The error function: ``math.erf`` for float64, and for longdouble the all-positive series
    erf x = 2/√π · e^−x² Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!, which is 1 to 64 bits from |x| = 6.6 on.
    """
    if x.dtype == np.float64:
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)
    inside = np.clip(x, -6.6, 6.6)
    term, total = inside, inside
    for n in range(1, 200):
        term = term * (2 * inside * inside / (2 * n + 1))
        total = total + term
    return total * np.exp(-inside * inside) / np.sqrt(np.arctan(np.ones((), x.dtype)))


def true_erfc(x: Floats) -> Floats:
    """The complement: ``math.erfc`` for float64, and for longdouble 1 − erf x below 2 and from
    there on the continued fraction e^−x²/√π / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))).
    """
    if x.dtype == np.float64:
        return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x), np.float64)
    beyond = np.clip(x, 2, 200)
    fraction = beyond
    for n in range(200, 0, -1):
        fraction = beyond + n / (2 * fraction)
    h = np.trunc(beyond * 16) / 16  # as x² is rounded, e^−x² would lose digits
    decay = np.exp(-h * h) * np.exp(-(beyond - h) * (beyond + h))
    tail = decay / (2 * np.sqrt(np.arctan(np.ones((), x.dtype))) * fraction)
    return np.where(x < 2, 1 - true_erf(np.minimum(x, 2)), tail)


@dataclass(frozen=True)
class Row:
    """A function: truth in a wider type, subjects, zones to sample (|x| from, to, signs)."""

    name: str
    truth: Function
    numpy: Function | None
    tensor: Function
    zones: tuple[tuple[float | str, float | str, str], ...]
    arity: int = 1
    argument: float = 0.0  # in u of x: the derived part of the allowance, taken off first


ANY = ("tiny", "max", "+")
EXP = ((1e-9, "limit", "+-"), (0.25, 40.0, "+-"))
TANH = ((1e-9, 40.0, "+-"), (0.25, 20.0, "+-"))
LOG1P = ((1e-9, "max", "+"), (1e-9, 1.0, "-"), (0.2, 0.8, "+-"))
ANGLE = ((1e-9, 1e4, "+-"), (0.1, 7.0, "+-"))
act, ops = keras.activations, keras.ops
ROWS = (
    Row("exp", np.exp, np.exp, tf.exp, EXP),
    Row("log", np.log, np.log, tf.math.log, (ANY, (0.5, 2.0, "+"))),
    Row("tanh", np.tanh, np.tanh, act.tanh, TANH),
    Row("sigmoid", lambda x: 1 / (1 + np.exp(-x)), special.sigmoid, act.sigmoid, EXP),
    Row("sqrt", np.sqrt, np.sqrt, tf.sqrt, (ANY,)),
    Row("1/x", lambda x: 1 / x, lambda x: 1 / x, tf.math.reciprocal, (ANY,)),
    Row("x/7", by_7 := lambda x: x / 7, by_7, by_7, (ANY,)),
    Row("x/30", by_30 := lambda x: x / 30, by_30, by_30, (ANY,)),
    Row("a/b", np.divide, np.divide, tf.divide, (ANY,), arity=2),
    Row("log1p", np.log1p, np.log1p, tf.math.log1p, LOG1P),
    Row("expm1", np.expm1, np.expm1, tf.math.expm1, EXP),
    Row("erf", true_erf, special.erf, tf.math.erf, TANH),
    Row("erfc", true_erfc, special.erfc, tf.math.erfc, TANH, argument=0.5),
    Row("softplus", true_softplus, special.softplus, act.softplus, EXP),
    Row("sinh", np.sinh, np.sinh, tf.sinh, EXP, argument=1.0),
    Row("cosh", np.cosh, np.cosh, tf.cosh, EXP, argument=1.0),
    Row("exp2", np.exp2, np.exp2, lambda x: tf.pow(tf.ones_like(x) * 2, x), EXP),
    Row("log2", np.log2, np.log2, ops.log2, (ANY, (0.5, 2.0, "+"))),
    Row("log10", np.log10, np.log10, ops.log10, (ANY, (0.5, 2.0, "+"))),
    Row("sin", np.sin, np.sin, tf.sin, ANGLE),
    Row("cos", np.cos, np.cos, tf.cos, ANGLE),
)


@dataclass
class Measurement:
    """One function of one library in one precision; "at" names arguments and call."""

    function: str
    dtype: str
    library: str
    relative: float = 0.0
    relative_at: str = ""
    absolute: float = 0.0
    strays: list[str] = field(default_factory=list)

    def add(
        self, call: str, x: tuple[Floats, ...], truth: Floats, result: Floats, derived: Floats
    ) -> None:
        """Take in the results of one call, or of many calls of one kind."""
        info = ml_dtypes.finfo(result.dtype)
        u, tiny, top = float(info.eps) / 2, float(info.smallest_normal), float(info.max)
        result = result.astype(truth.dtype)
        x = tuple(a.astype(truth.dtype) for a in x)
        size, error = np.abs(truth), np.abs(result - truth)
        low = size < tiny * (1 + EDGE * u)
        normal = ~low & (size <= top * (1 - EDGE * u))
        ratio = np.maximum(error - tiny - derived, 0) / (u * size)
        wild = normal & ~(ratio <= GARBAGE)
        plain = ~np.any([(np.abs(a) < tiny) & (a != 0) for a in x], axis=0)  # no subnormal input
        strays = {
            "subnormal x": wild & ~plain,
            "∞": (low | normal) & plain & np.isinf(result),
            "nan": plain & np.isnan(result) & ~np.isnan(truth),
            "wrong": wild & plain & np.isfinite(result),
            "finite": plain & ~(size <= top * (1 + EDGE * u)) & np.isfinite(result),
        }
        if self.function in ("tanh", "sigmoid", "erf", "sin", "cos"):
            strays["beyond ±1"] = np.abs(result) > 1
        for kind, mask in strays.items():
            if mask.any():
                hit = np.abs(x[0][mask])
                worst = np.flatnonzero(mask)[np.nan_to_num(ratio[mask]).argmax()]
                self.strays.append(
                    f"{kind}, {call}: |x| from {hit.min():.9g} to {hit.max():.9g}, as "
                    f"f({text(x, worst)}) = {result[worst]:.9g}, true {truth[worst]:.9g}"
                )
        relative = np.where(normal & plain & ~wild, ratio, 0)
        if relative[worst := relative.argmax()] > self.relative:
            self.relative, self.relative_at = float(relative[worst]), f"{text(x, worst)} {call}"
        absolute = np.where(low & np.isfinite(result), error / tiny, 0)
        self.absolute = max(self.absolute, float(absolute.max()))


def text(x: tuple[Floats, ...], index: np.intp) -> str:
    """The arguments at one index; float32 reads back exactly."""
    return ", ".join(f"{a[index]:.9g}" for a in x)


def sample(row: Row, dtype: Float, points: int) -> tuple[Floats, ...]:
    """Stratified bit patterns of the zones and of all numbers, powers of 2, thresholds, ±0, ±∞."""
    rng = np.random.default_rng(0)
    if np.dtype(dtype).itemsize == 2:  # all numbers that there are
        every = np.arange(2**16, dtype=np.uint16).view(dtype)
        x = rng.permutation(every[~np.isnan(every)])
        return (x, *(rng.permutation(x) for _ in range(1, row.arity)))
    info = np.finfo(dtype)
    bits: type[Any] = np.uint32 if dtype is np.float32 else np.uint64
    least, tiny, top = (float(v) for v in (info.smallest_subnormal, info.tiny, info.max))
    names: dict[Any, float] = {"tiny": tiny, "max": top, "limit": 1.25 * math.log(top)}

    def stratified(low: float, high: float, count: int) -> Floats:
        first, last = (int(dtype(v).view(bits)) for v in (low, high))
        step = max((last - first) // count, 1)
        at = first + step * np.arange(count, dtype=bits) + rng.integers(0, step, count, bits)
        return at.astype(bits).view(dtype)

    parts = [np.array([0.0, np.inf], dtype)]
    parts += [stratified(least, tiny, points // 40), stratified(least, top, points // 10)]
    powers = np.ldexp(1.0, np.arange(info.minexp - info.nmant, info.maxexp))
    edges = np.abs(np.log([top, tiny, least, float(info.eps), float(info.eps) * 8]))
    for middle, reach in ((powers, 4), (edges, 300)):
        at = middle.astype(dtype).view(bits).astype(np.int64)
        patterns = np.add.outer(at, np.arange(-reach, reach + 1))
        parts.append(patterns[patterns >= 0].astype(bits).view(dtype))
    parts += [-part for part in parts]
    for low, high, signs in row.zones:
        count = points // (len(row.zones) * len(signs))
        span = (float(names.get(low, low)), float(names.get(high, high)))
        parts += [dtype(f"{sign}1") * stratified(*span, count) for sign in signs]
    x = np.concatenate(parts)
    rng.shuffle(x)
    return (x, *(rng.permutation(x) for _ in range(1, row.arity)))


def libraries(row: Row, dtype: Float) -> Iterator[tuple[str, Function]]:
    """The subjects of a row, each from NumPy arrays to a NumPy array."""
    if row.numpy is not None:
        yield "numpy", row.numpy
    any_shape = [tf.TensorSpec(None, dtype)] * row.arity
    modes = {
        "tf eager": row.tensor,
        "tf graph": tf.function(row.tensor, input_signature=any_shape, autograph=False),
        "tf xla": tf.function(row.tensor, jit_compile=True, autograph=False),
    }
    for name, mode in modes.items():
        yield name, lambda *a, mode=mode: mode(*map(tf.constant, a)).numpy()


def measure(row: Row, dtype: Float, points: int, calls: int) -> Iterator[Measurement]:
    """Every library on one large vector and on many small shapes; NumPy also with a stride."""
    x = sample(row, dtype, points)
    wide = [a.astype(np.longdouble if dtype is np.float64 else np.float64) for a in x]
    truth, derived = row.truth(*wide), np.zeros(len(x[0]))
    if row.argument and np.dtype(dtype).itemsize > 2:  # half types round a float32 result
        # In the wide type: in float64, 1 + u is 1.
        off = wide[0].dtype.type(1) + row.argument * float(ml_dtypes.finfo(dtype).eps) / 2
        moved = np.maximum(
            np.abs(row.truth(wide[0] * off) - truth), np.abs(row.truth(wide[0] / off) - truth)
        )
        derived = np.nan_to_num(moved, posinf=0.0)
    for library, function in libraries(row, dtype):
        found = Measurement(row.name, np.dtype(dtype).name, library)
        found.add("large", x, truth, np.asarray(function(*x)), derived)
        if library == "numpy":
            apart = (np.repeat(a, 2)[::2] for a in x)
            found.add("strided", x, truth, np.asarray(function(*apart)), derived)
        end, results = 0, []
        for shape in SMALL_SHAPES * calls:
            piece = slice(end, end := end + math.prod(shape))
            results.append(np.ravel(function(*(a[piece].reshape(shape) for a in x))))
        head = tuple(a[:end] for a in x)
        found.add("small", head, truth[:end], np.concatenate(results), derived[:end])
        yield found


def show(found: list[Measurement], console: Console) -> None:
    """Print all measurements, the strays, and per function and precision the worst library."""
    table = Table("function", "dtype", "library", "rel (u)", "at x", "abs (tiny)", "strays")
    summary = Table("function", "dtype", "worst (u)", "library", "allow (u)", "allow (tiny)")
    for m in found:
        numbers = f"{m.relative:.2f}", m.relative_at, f"{m.absolute:.3g}"
        table.add_row(m.function, m.dtype, m.library, *numbers, str(len(m.strays)))
    strays = [f"{m.function} {m.dtype} {m.library}: {stray}" for m in found for stray in m.strays]
    console.print(table, *strays, sep="\n", highlight=False)
    for function, dtype in dict.fromkeys((m.function, m.dtype) for m in found):
        group = [m for m in found if (m.function, m.dtype) == (function, dtype)]
        worst, flushed = max(group, key=lambda m: m.relative), max(m.absolute for m in group)
        allow = f"{math.ceil(MARGIN * worst.relative)}", f"{math.ceil(flushed)}"
        summary.add_row(function, dtype, f"{worst.relative:.2f}", worst.library, *allow)
    console.print(summary)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure elementwise functions.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--points", type=int, default=3_000_000, help="float32; an 8th in float64")
    parser.add_argument("--calls", type=int, default=500, help="calls per small shape")
    parser.add_argument("--only", nargs="*", help="functions, by the names in the table")
    found, options = list[Measurement](), parser.parse_args()
    with np.errstate(all="ignore"):
        for row in (row for row in ROWS if not options.only or row.name in options.only):
            found += measure(row, np.float32, options.points, options.calls)
            found += measure(row, np.float64, options.points // 8, options.calls)
            for half in (np.float16, ml_dtypes.bfloat16):
                found += measure(row, half, 2**16, options.calls)
    if options.json:
        print(json.dumps([asdict(m) for m in found], indent=2, ensure_ascii=False))
    else:
        show(found, Console(width=None if os.isatty(1) else 160))


if __name__ == "__main__":
    main()
