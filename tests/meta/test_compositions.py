"""Orders, products, scatter additions and steps: what they refuse, and planted faults in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from containment import DTYPES, violation

from agreement import functions, ufuncs
from agreement.bounded import BoundedArray, bounded
from agreement.precision import Precision, precision_of

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SINGLE = precision_of(np.float32)
TRIALS = 200


def exact(values: Any) -> Any:
    return bounded(np.asarray(values, np.float32), SINGLE)


def interval(values: Any, errors: Any) -> Any:
    value = np.asarray(values, np.float64)
    return BoundedArray(value, np.broadcast_to(errors, value.shape).astype(float), SINGLE)


# -- orders ---------------------------------------------------------------------------------


def test_decided_orders_are_plain_indices() -> None:
    """argmax, argmin and argsort answer with NumPy's indices where rounding cannot change them."""
    values = [[3.0, 1.0, 2.0], [-1.0, 5.0, 4.0]]
    x = interval(values, 0.4)
    for name in ("argmax", "argmin", "argsort"):
        for axis in (0, 1, -1):
            found = getattr(x, name)(axis=axis)
            np.testing.assert_array_equal(found, getattr(np, name)(values, axis=axis))
    assert x.argmax() == 4
    assert np.argmax(x, axis=1, keepdims=True).shape == (2, 1)
    assert np.argmax(exact([2.0, 7.0, 7.0])) == 1  # exactly equal: the first
    np.testing.assert_array_equal(np.argsort(exact([2.0, 1.0, 1.0]), kind="stable"), [1, 2, 0])


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.argmax(),
        lambda x: x.argmin(),
        lambda x: x.argsort(),
        lambda x: np.argsort(exact([1.0, 1.0])),
        lambda x: np.any(x),
        lambda x: x.all(),
    ],
)
def test_undecided_orders_and_questions_are_refused(use: Callable[[Any], Any]) -> None:
    """Where rounding decides, indices and Python booleans do not exist."""
    with pytest.raises(TypeError, match="rounding could turn either way"):
        use(interval([0.0, 0.1, 0.05], 0.1))


# -- ufuncs' options and methods ------------------------------------------------------------


def test_division_where_the_divisor_is_not_zero() -> None:
    """np.divide(a, b, out=zeros, where=b != 0) divides there, and is exactly zero elsewhere."""
    a, b = exact([1.0, 2.0, 3.0]), exact([3.0, 0.0, 4.0])
    result: Any = np.divide(a, b, out=np.zeros_like(a), where=b != 0)
    np.testing.assert_allclose(result.value, [1 / 3, 0, 0.75], rtol=1e-15)
    assert result.error[1] == 0
    assert 0 < result.error[0] < 1e-6


def test_scattered_terms_count_where_they_fall() -> None:
    """np.add.at rounds each number as often as an index names it, and others not at all."""
    x = exact([1.0, 1.0, 1.0])
    np.add.at(x, np.array([0, 0, 2]), exact([0.1, 0.1, 0.1]))
    gamma = SINGLE.gamma
    np.testing.assert_allclose(x.value, [1.2, 1, 1.1], rtol=1e-6)
    assert x.error[1] == 0
    assert gamma(2) * 1.2 <= x.error[0] <= 1.01 * gamma(2) * 1.2
    np.subtract.at(x, 1, 5.0)
    assert x.value[1] == -4


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 3), (2, 0)])
def test_products_of_none_and_of_one(shape: tuple[int, ...]) -> None:
    """An empty product is exactly 1, a product of one number is that number."""
    x = exact(np.full(shape, 0.5))
    result = np.prod(x, axis=0)
    np.testing.assert_array_equal(result.value, np.prod(x.value, axis=0))
    np.testing.assert_array_equal(result.error, 0)
    assert np.prod(x, axis=0, keepdims=True).shape == (1, *shape[1:])


def test_products_are_no_wider_than_the_theory() -> None:
    """On exact normal numbers: γ_{n−1} Π|x|; and none where a partial product may overflow."""
    x = np.random.default_rng(0).uniform(0.5, 2, 9).astype(np.float32)
    product = np.prod(exact(x))
    assert product.error <= 1.01 * SINGLE.gamma(8) * product.value
    assert np.isinf(np.prod(exact([1e30, 1e-30, 1e30])).error)
    assert np.isfinite(np.prod(exact([1e30, 0.0, 1e5])).error)


def test_steps_are_exact_where_they_are_decided() -> None:
    """floor of an interval without a step in it has no error; with one, both values."""
    x = interval([1.5, 2.0, -0.5], [0.25, 0.25, 0.25])
    found = np.floor(x)
    np.testing.assert_array_equal(found.error, [0, 1, 0])
    np.testing.assert_array_equal(found.smooth_error, 0)
    assert np.floor(exact([1.5, 2.0])).exact
    np.testing.assert_array_equal(np.floor(interval([2.0], [1e-30])).error, [1])


# -- planted faults -------------------------------------------------------------------------


def is_caught(names: list[str], dtype: str) -> bool:
    return any(violation([name], dtype, seed) for seed in range(TRIALS) for name in names)


def halved(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose result has half the error."""

    def planted(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return BoundedArray(
            result.value, result.error / 2, result.precision, limited=result.limited
        )

    return planted


@pytest.mark.parametrize("dtype", DTYPES)
def test_half_the_error_of_a_product_is_caught(dtype: str, monkeypatch: Any) -> None:
    """Products of intervals, halved."""
    monkeypatch.setitem(functions.FUNCTIONS, np.prod, halved(functions.FUNCTIONS[np.prod]))
    assert is_caught(["prod", "prod of rows"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["floor", "ceil", "rint", "trunc"])
def test_half_a_step_is_caught(name: str, dtype: str, monkeypatch: Any) -> None:
    """Steps within an interval, halved."""
    ufunc = getattr(np, name)
    monkeypatch.setitem(ufuncs.COMPOSED, ufunc, halved(ufuncs.COMPOSED[ufunc]))
    assert is_caught([name], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_forgotten_roundings_of_products_and_scattered_terms_are_caught(
    dtype: str, monkeypatch: Any
) -> None:
    """Without γ another order gets out; scatter additions take theirs from the roundoff."""
    precision = precision_of(dtype)
    monkeypatch.setattr(Precision, "gamma", lambda self, operations: 1e-30)
    assert is_caught(["prod", "prod of rows", "cumprod"], dtype)
    monkeypatch.undo()
    original = functions.add_at

    def planted(a: BoundedArray, index: Any, b: BoundedArray) -> None:
        before = a.error.copy()
        original(a, index, b)
        np.add.at(before, index, b.error)
        a.error[...] = before

    assert precision.roundoff > 0
    monkeypatch.setattr(functions, "add_at", planted)
    assert is_caught(["scattered"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_partial_products_that_underflow_are_covered(dtype: str) -> None:
    """Small numbers before large ones: an order that underflows on the way is in the bound."""
    precision = precision_of(dtype)
    tiny = precision.smallest_normal
    numbers = np.array([tiny**0.6, tiny**0.6, tiny**-0.3, tiny**-0.3], dtype)
    product = np.prod(bounded(numbers, precision))
    assert abs(0 - product.value) <= product.error
