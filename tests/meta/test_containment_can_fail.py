"""Planted faults: every rule whose error is made too small is caught by the containment tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from containment import DTYPES, ELEMENTWISE, violation

from agreement import bounded as bounded_module
from agreement import functions, propagation, rules
from agreement.bounded import BoundedArray
from agreement.masks import Mask
from agreement.precision import Precision
from agreement.rules import Primitive

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TRIALS = 200


def is_caught(names: list[str], dtype: str) -> bool:
    """Whether any of the trials of any of these operations sees a violation."""
    return any(violation([name], dtype, seed) for seed in range(TRIALS) for name in names)


def scaled(rule: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """A rule whose error is too small by a factor."""

    def planted(*operands: Any) -> Any:
        value, error = rule(*operands)
        return value, factor * error

    return planted


def names_of(function: str) -> list[str]:
    """The operations that exercise an elementwise function."""
    wanted = "power 3" if function in ("power", "float_power") else function
    return [name for name in ELEMENTWISE if name in (wanted, f"{function} of positive")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ufunc", sorted(rules.UFUNCS, key=str), ids=lambda u: u.__name__)
def test_a_propagated_error_halved_is_caught(
    ufunc: np.ufunc, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each elementwise rule with half its error lets a correct evaluation out."""
    if ufunc is np.float_power:
        ufunc = np.power  # the same rule
    rule, allowance = rules.UFUNCS[ufunc]
    assert not is_caught(names_of(ufunc.__name__), dtype)
    monkeypatch.setitem(rules.UFUNCS, ufunc, Primitive(scaled(rule, 0.5), allowance))
    assert is_caught(names_of(ufunc.__name__), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(rules.SPECIAL))
def test_half_the_error_of_a_special_function_is_caught(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the ufuncs, for the functions that NumPy lacks; and without their rounding."""
    rule, allowance = rules.SPECIAL[name]
    assert not is_caught([name], dtype)
    for planted in (Primitive(scaled(rule, 0.5), allowance), Primitive(rule, "exact")):
        monkeypatch.setitem(rules.SPECIAL, name, planted)
        assert is_caught([name], dtype)


ROUNDED = sorted((u for u in rules.UFUNCS if rules.UFUNCS[u].allowance != "exact"), key=str)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ufunc", ROUNDED, ids=lambda u: u.__name__)
def test_a_forgotten_rounding_is_caught(
    ufunc: np.ufunc, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each elementwise rule without its rounding lets a correct evaluation out."""
    if ufunc is np.float_power:
        ufunc = np.power
    monkeypatch.setitem(rules.UFUNCS, ufunc, Primitive(rules.UFUNCS[ufunc].rule, "exact"))
    assert is_caught(names_of(ufunc.__name__), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("term", ["divisor", "both factors", "both summands"])
def test_a_dropped_term_is_caught(term: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting one operand's error in a product, quotient or sum is caught."""
    planted: dict[str, tuple[np.ufunc, Callable[..., Any]]] = {
        "divisor": (np.divide, lambda a, b: (a.value / b.value, np.abs(a.error / b.value))),
        "both factors": (np.multiply, lambda a, b: (a.value * b.value, np.abs(a.value) * b.error)),
        "both summands": (np.add, lambda a, b: (a.value + b.value, np.maximum(a.error, b.error))),
    }
    ufunc, rule = planted[term]
    monkeypatch.setitem(rules.UFUNCS, ufunc, Primitive(rule, rules.UFUNCS[ufunc].allowance))
    assert is_caught([ufunc.__name__], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["_matmul", "sum", "max"])
def test_half_the_error_of_a_reduction_is_caught(
    method: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products and reductions with half their error let a correct evaluation out."""
    original = getattr(BoundedArray, method)

    def planted(self: BoundedArray, *args: Any, **kwargs: Any) -> BoundedArray:
        result = original(self, *args, **kwargs)
        result.error = result.error / 2
        result._smooth_error = None
        return result

    monkeypatch.setattr(BoundedArray, method, planted)
    assert is_caught(["matmul", "einsum", "sum", "sum of rows", "max"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", [["matmul", "dot", "affine"], ["sum", "sum of rows"]], ids=str)
def test_forgotten_roundings_of_sums_are_caught(
    names: list[str], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without γ_n, products and sums let another order of summation out."""
    monkeypatch.setattr(Precision, "gamma", lambda self, operations: 1e-30)
    assert is_caught(names, dtype)


SHARES = ["share", "share of positive", "softmax"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", ["half the error", "no rounding of the sum"])
def test_a_too_small_bound_of_shares_is_caught(
    dtype: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers divided by their own sum, with half their error or without the sum's rounding."""
    original = rules.share
    assert not is_caught(SHARES, dtype)

    def planted(a: Any, b: Any, *, axis: Any, precision: Precision) -> Any:
        if fault == "half the error":
            return scaled(partial(original, axis=axis, precision=precision), 0.5)(a, b)
        unrounded = replace(precision, roundoff=1e-30, smallest_normal=0.0)
        return original(a, b, axis=axis, precision=unrounded)

    monkeypatch.setattr(rules, "share", planted)
    assert is_caught(SHARES, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("changed", ["share of changed", "share of changed sum"])
def test_a_stale_sum_is_caught(dtype: str, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of what changed after it was added up, or of a sum that did, have the wide bound."""
    original = BoundedArray._write

    def planted(self: BoundedArray, index: Any, source: BoundedArray) -> None:
        root, writes, summed = self.root, self.root.writes, self.root.summed
        original(self, index, source)
        root.writes, root.summed = writes, summed

    assert not is_caught([changed], dtype)
    monkeypatch.setattr(BoundedArray, "_write", planted)
    assert is_caught([changed], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_forgotten_bias_is_caught(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding a bias once only, though a sum may start with it, is caught."""

    def planted(self: BoundedArray, ufunc: np.ufunc, a: Any, b: Any) -> BoundedArray:
        return self._elementwise(rules.UFUNCS[ufunc], [a, b])

    monkeypatch.setattr(BoundedArray, "_continued_sum", planted)
    assert any(violation(["large bias"], dtype, seed, (3, 30)) for seed in range(TRIALS))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["where greater", "times less", "combined masks", "assign masked"])
def test_a_missing_hull_is_caught(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking the centre's branch where the mask is undecided lets the other branch out."""
    original = bounded_module.select

    def planted(mask: Mask, a: BoundedArray, b: BoundedArray) -> BoundedArray:
        return original(Mask(mask.value), a, b)

    monkeypatch.setattr(bounded_module, "select", planted)
    monkeypatch.setattr(functions, "select", planted)
    assert is_caught([name], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_comparisons_that_always_decide_are_caught(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison that ignores the operands' errors is caught."""
    original = bounded_module._compare
    monkeypatch.setattr(bounded_module, "_compare", lambda *a: Mask(original(*a).value))
    assert is_caught(["where greater"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_unnoticed_overflow_is_caught(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not giving up the bound where the working precision overflows is caught."""
    monkeypatch.setattr(propagation, "_without_bound", lambda error, *_: np.nan_to_num(error))
    assert is_caught(["multiply", "square", "exp", "divide"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_view_that_forgets_its_array_is_caught(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views that do not tell their array of written errors let numbers out."""
    original = BoundedArray.rearranged

    def planted(self: BoundedArray, move: Any) -> BoundedArray:
        result = original(self, move)
        result.parent = None
        return result

    monkeypatch.setattr(BoundedArray, "rearranged", planted)
    assert is_caught(["through views", "in place"], dtype)
