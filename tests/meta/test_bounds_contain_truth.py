"""Error-carrying arrays contain what correct evaluations give, whatever the order of summation.

The machinery is in ``containment``; ``test_containment_can_fail`` shows that it sees faults.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from containment import (
    DTYPES,
    ELEMENTWISE,
    HALVES,
    OPERATIONS,
    Carrying,
    draw_interval,
    run,
    violation,
)
from hypothesis import given
from hypothesis import strategies as st

from agreement import functions, rules, ufuncs
from agreement.bounded import BoundedArray, bounded
from agreement.precision import precision_of
from agreement.strategies import seeds

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
PROGRAMS = st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=8)
SHAPES = st.tuples(st.integers(2, 5), st.integers(2, 6))


@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
@given(seed=seeds())
def test_each_operation_contains_every_evaluation(name: str, dtype: str, seed: int) -> None:
    """One operation on exact numbers or on intervals, smooth or hostile: nothing gets out."""
    assert not violation([name], dtype, seed)


@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES])
@given(names=PROGRAMS, shape=SHAPES, first_seed=seeds())
def test_random_programs_contain_every_evaluation(
    dtype: str, names: list[str], shape: tuple[int, int], first_seed: int
) -> None:
    """Programs of several operations, each on earlier results: nothing gets out anywhere."""
    for seed in range(first_seed, first_seed + 10):
        assert not violation(names, dtype, seed, shape)


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=seeds())
def test_long_sums_and_products_contain_every_order(dtype: str, seed: int) -> None:
    """Forty terms and more, in random trees of additions, stay within the bound."""
    names = ["sum", "sum of columns", "mean", "cumsum", "matmul", "affine", "einsum"]
    for name in names:
        assert not violation([name], dtype, seed, (40, 3))
        assert not violation([name], dtype, seed, (2, 40))


def test_every_rule_has_an_operation() -> None:
    """No primitive rule or comparison is left out of the tests."""
    for ufunc in [*rules.UFUNCS, *rules.COMPARISONS]:
        assert any(ufunc.__name__ in name for name in ELEMENTWISE), ufunc
    assert set(rules.SPECIAL) <= set(ELEMENTWISE)


PLAIN = {"shape", "ndim", "size", "any", "all", "count_nonzero", "argsort", "argmax", "argmin"}


def test_every_composition_has_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running all operations meets every NumPy function and ufunc that has a rule."""
    met = set()

    def noted(function: Any) -> Any:
        original = table[function]

        def answer(*args: Any, **kwargs: Any) -> Any:
            met.add(function)
            return original(*args, **kwargs)

        return answer

    tables: list[dict[Any, Any]] = [functions.FUNCTIONS, ufuncs.COMPOSED]
    for table in tables:
        for function in table:
            monkeypatch.setitem(table, function, noted(function))
    for name in OPERATIONS:
        assert not violation([name], "float32", 0)
    aliases = {"around", "fix", "empty_like", "zeros_like", "vecdot"}
    names = {f.__name__ for table in tables for f in table if f not in met}
    missing = sorted(names - PLAIN - aliases)
    assert not missing


@pytest.mark.parametrize("dtype", DTYPES)
@given(names=PROGRAMS, seed=seeds())
def test_smooth_errors_appear_only_below_undecided_masks(
    dtype: str, names: list[str], seed: int
) -> None:
    """On exact numbers masks are decided, so single operations carry no smooth error."""
    precision, generator = precision_of(dtype), np.random.default_rng(seed)
    exact = [bounded(generator.integers(-3, 4, (3, 4)).astype(dtype), precision) for _ in range(3)]
    for name in names:
        (result,) = run(Carrying(), [name], exact, np.array([[0, 1, 2]]))
        # they compare computed numbers, or ask for the sign of a zero
        intermediate = name in {"mask alone", "through views", "copysign", "where signbit"}
        assert intermediate or result.smooth_error is None, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_most_numbers_in_the_trials_have_a_bound(dtype: str) -> None:
    """The containment tests judge finite bounds: at least half of all on single operations."""
    precision = precision_of(dtype)
    finite = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        drawn = [draw_interval((3, 4), generator, precision)[0] for _ in range(3)]
        for name in OPERATIONS:
            with np.errstate(all="ignore"):
                (result,) = run(Carrying(), [name], drawn, np.array([[0, 1, 2]]))
            assert isinstance(result, BoundedArray)
            finite.append(np.isfinite(result.error).mean())
    assert np.mean(finite) > 0.5
