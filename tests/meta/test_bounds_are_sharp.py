"""Bounds are no wider than the theory asks for, and zero where nothing is rounded."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from agreement.bounded import bounded
from agreement.precision import precision_of

HALF = precision_of(np.float16)
BRAIN = precision_of(ml_dtypes.bfloat16)
SINGLE = precision_of(np.float32)
DOUBLE = precision_of(np.float64)
X = [[1.0, -2.0, 3.0], [0.5, 0.0, -1.5]]


def exact(values: Any) -> Any:
    return bounded(np.asarray(values, np.float32), SINGLE)


@pytest.mark.parametrize("precision", [HALF, BRAIN, SINGLE, DOUBLE], ids=lambda p: p.dtype.name)
@pytest.mark.parametrize("terms", [1, 7, 300])
def test_bounds_of_sums_are_no_wider_than_the_theory(precision: Any, terms: int) -> None:
    """On exact numbers: at most 1.01 γ_n |A||B| for products, γ_{n−1} Σ|x| for sums."""
    generator = np.random.default_rng(terms)
    a = generator.uniform(-2, 2, (4, terms)).astype(precision.dtype)
    b = generator.uniform(-2, 2, (terms, 3)).astype(precision.dtype)
    product = bounded(a, precision) @ bounded(b, precision)
    wanted = precision.gamma(terms) * (np.abs(a).astype(float) @ np.abs(b).astype(float))
    assert (product.error <= 1.01 * wanted).all()
    total = bounded(a, precision).sum(axis=1)
    assert (total.error <= 1.01 * precision.gamma(terms - 1) * np.abs(a).sum(axis=1)).all()


def test_exact_operations_have_no_error() -> None:
    """Moving, choosing, comparing and changing the sign of exact numbers costs nothing."""
    x, y = exact(X), exact(X)[::-1]
    results = [-x, abs(x), np.maximum(x, y), np.minimum(x, 0), x.max(axis=0), x.min(), x.T, x[0]]
    results += [np.where(x > y, x, y), x * (x > 0), np.sort(x), np.sign(x), np.concatenate([x, y])]
    results += [
        np.clip(x, -1, 1),
        np.clip(x, a_min=0, a_max=None),
        np.zeros_like(x),
    ]
    for result in results:
        assert not result.error.any()
        assert result.exact


def test_products_by_plus_or_minus_one_are_not_rounded() -> None:
    """So one-hot targets and signs leave ties ties; a subnormal product may still be flushed."""
    x, signs = exact(X), np.array([1.0, -1.0, 1.0], np.float32)
    assert not (signs * x).error.any()
    assert not (x * -1).error.any()
    inexact = x / 3
    np.testing.assert_array_equal((inexact * signs).error, inexact.error)
    tiny = exact([1e-40])
    assert (tiny * 1).error >= tiny.value


@pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=["float32", "float64"])
def test_exact_results_of_exact_numbers_are_not_rounded(precision: Any) -> None:
    """Where the true sum, difference or product is a number of the format, and nowhere else."""
    kind, u = precision.dtype.type, float(np.finfo(precision.dtype).eps) / 2
    a = bounded(np.array([1, 1, 1 + 2 * u, 1, 3, 1e-30, 0], kind), precision)
    b = bounded(np.array([1, 2 * u, 1 - u, u, 1 / 3, 1e30, 5], kind), precision)
    wanted = {
        np.add: [0, 0, 1, 1, 1, 1, 0],
        np.subtract: [0, 0, 0, 0, 1, 1, 0],
        np.multiply: [0, 0, 1, 0, 1, 1, 0],
    }
    for ufunc, rounded in wanted.items():
        np.testing.assert_array_equal(ufunc(a, b).error > 0, np.array(rounded) > 0, ufunc.__name__)
    assert (a - a).exact


def test_a_maximum_errs_as_those_that_may_be_it() -> None:
    """A large error of an element that is smaller for certain does not widen the maximum."""
    x = np.concatenate([exact([1.0, 3.0]), exact([1e5]) - exact([1e5 + 7]) / 3 * 3])
    assert x.error[2] > 0
    assert x.value[2] < 1
    assert x.max().error == 0
    x[1] = x[2]
    assert x.max().error == 0
    x[0] = x[2]
    assert x.max().error == x.error[2]


@pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=["float32", "float64"])
def test_a_chain_of_sums_of_exponentials_adds_errors_up(precision: Any) -> None:
    """log(eᵃ + eᵇ) moves by a mean of its operands' errors: n steps cost n roundings, not 2ⁿ."""
    steps = 50
    x = bounded(np.linspace(-1, 1, 6).astype(precision.dtype), precision) / 3
    first = x.error.max()
    for _ in range(steps):
        x = np.logaddexp(x, np.roll(x, 1)) - 0.75
    per_step = 20 * precision.roundoff
    assert (x.error <= first + steps * per_step).all()


def test_dead_units_have_no_error_at_all() -> None:
    """Where a ReLU row is dead for certain, its outputs and gradients are exactly zero."""
    w, x = exact([[1.0, -1.0], [1.0, -1.0]]), exact([[1.0, 2.0], [3.0, 4.0]])
    z = x @ w
    grad = (x @ w) * (z > 0)
    np.testing.assert_array_equal(grad.error[:, 1], 0)
    np.testing.assert_array_equal((x.T @ grad).error[:, 1], 0)
    np.testing.assert_array_equal(grad.sum(axis=0).error[1], 0)
    assert ((x.T @ grad).error[:, 0] > 0).all()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,)])
def test_scalars_and_empty_arrays_go_through(shape: tuple[int, ...]) -> None:
    """0-d and empty arrays keep their shape in elementwise operations, sums and products."""
    x = exact(np.ones(shape))
    for result in (x + 1, np.exp(x), x * (x > 0), x.copy(), np.zeros_like(x)):
        assert result.shape == shape
        assert result.error.shape == shape
    assert x.sum().shape == ()
    if len(shape) == 2:
        assert (x.T @ x).shape == shape[1:] * 2
        assert not (x.T @ x).error.any() or x.size


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_a_precision_is_that_of_its_format(dtype: Any) -> None:
    """Unit roundoff, underflow and overflow, as ml_dtypes knows them of every format."""
    precision, info = precision_of(dtype), ml_dtypes.finfo(dtype)
    assert 0 <= precision.roundoff - float(info.eps) / 2 <= 2.0**-53
    assert precision.smallest_relative == float(info.smallest_normal)
    assert float(info.max) * (1 - 2 * float(info.eps) - 2.0**-9) < precision.largest
    assert precision.largest < float(info.max)
    keeps_subnormal = dtype == np.float16
    smallest = info.smallest_subnormal if keeps_subnormal else info.smallest_normal
    assert precision.smallest_normal == float(smallest)


@pytest.mark.parametrize("precision", [HALF, BRAIN], ids=lambda p: p.dtype.name)
def test_functions_of_half_types_are_float32_results_rounded_once(precision: Any) -> None:
    """exp, log and tanh of exact halves have little more than the error of one rounding."""
    x = bounded(np.linspace(0.5, 5, 40).astype(precision.dtype), precision)
    for function in (np.exp, np.log, np.tanh, np.sqrt):
        result = function(x)
        assert (
            result.error
            <= 1.02 * precision.roundoff * np.abs(result.value) + precision.smallest_normal
        ).all()
