"""What error-carrying arrays promise to hand-written code, and what they refuse."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement import propagation
from agreement.bounded import BoundedArray, bounded
from agreement.precision import SLACK, precision_of
from manual_backprop.activations import ACTIVATIONS

SINGLE = precision_of(np.float32)


def exact(values: Any) -> Any:
    return bounded(np.asarray(values, np.float32), SINGLE)


def interval(values: Any, errors: Any) -> Any:
    value = np.asarray(values, np.float64)
    return BoundedArray(value, np.broadcast_to(errors, value.shape).astype(float), SINGLE)


def _put(array: Any, index: Any, new: Any) -> Any:
    array[index] = new
    return array


X = [[1.0, -2.0, 3.0], [0.5, 0.0, -1.5]]

# -- refusals -------------------------------------------------------------------------------

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "asarray": np.asarray,
    "array": np.array,
    "list of arrays": lambda x: np.array([x, x]),
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "bool": lambda x: bool(x[0, 0]),
    "item": lambda x: x[0, 0].item(),
    "tolist": lambda x: x.tolist(),
    "index": lambda x: [1, 2][x[0, 0]],
    "into an ndarray": lambda x: _put(np.zeros(3), 0, x[0, 0]),
    "in-place on an ndarray": lambda x: operator.iadd(np.zeros((2, 3)), x),
    "out": lambda x: np.exp(x, out=np.zeros((2, 3))),
    "whole number": lambda x: x.astype(int),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_silent_conversion_raises_and_names_the_line(name: str) -> None:
    """Whatever would drop the bounds is a TypeError that names the caller's file and line."""
    with pytest.raises((TypeError, ValueError)) as caught:
        CONVERSIONS[name](exact(X))
    error = caught.value.__cause__ or caught.value  # NumPy wraps it, writing into an ndarray
    assert isinstance(error, TypeError)
    assert f"{__file__}:" in str(error)


UNSUPPORTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ufunc": ("arctan", np.arctan),
    "two results": ("modf", np.modf),
    "function": ("median", np.median),
    "NaN replaced": ("nan_to_num", np.nan_to_num),
    "at": ("multiply.at", lambda x: np.multiply.at(x, 0, 1.0)),
    "where without out": ("where", lambda x: np.divide(x, x, where=np.ones((2, 3), bool))),
    "accumulate": ("subtract.accumulate", lambda x: np.subtract.accumulate(x)),
    "reduceat": ("add.reduceat", lambda x: np.add.reduceat(x, [0])),
    "reduce": ("subtract.reduce", lambda x: np.subtract.reduce(x)),
    "where": ("where", lambda x: np.add(x, 1, where=np.ones((2, 3), bool))),
    "where of max": ("where", lambda x: np.max(x, where=np.ones((2, 3), bool), initial=0)),
    "dtype": ("dtype", lambda x: np.add(x, 1, dtype=np.float64)),
    "dtype of sum": ("dtype", lambda x: x.sum(dtype=int)),
    "initial": ("initial", lambda x: np.max(x, initial=0)),
    "out of sum": ("out", lambda x: np.sum(x, axis=0, out=exact(np.zeros(3)))),
    "out of take": ("take", lambda x: np.take(x, [0], out=np.zeros(1))),
    "whole numbers like it": ("dtype", lambda x: np.zeros_like(x, dtype=int)),
    "lists of axes": ("einsum", lambda x: np.einsum(x, [0, 1], [0])),
    "decimals": ("round", lambda x: np.round(x, 2)),
    "spectral norm": ("norm", lambda x: np.linalg.norm(x, 2)),
    "padding": ("pad", lambda x: np.pad(x, 1, mode="mean")),
    "several paddings": ("pad", lambda x: np.pad(x, 1, constant_values=(1, 2))),
    "dot of three dimensions": ("dot", lambda x: np.dot(x[None], x.T)),
    "where without branches": ("where", np.where),
    "a bounded condition": ("where", lambda x: np.where(x, x, x)),
    "complex operand": ("complex", lambda x: x * np.array([1j])),
    "object operand": ("object", lambda x: x * np.array([None, 1, 2])),
    "bounded index": ("take", lambda x: np.take(x, x)),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_rule_raises_and_says_so(name: str) -> None:
    """An operation without a rule is a TypeError with its name and the caller's line."""
    named, use = UNSUPPORTED[name]
    with pytest.raises(TypeError, match="no error bound is known for") as caught:
        use(exact(X))
    assert named in str(caught.value)
    assert f"{__file__}:" in str(caught.value)


# -- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_astype_keeps_the_working_precision(dtype: Any) -> None:
    """Narrowing on the way earns no wider bound, widening no tighter one; a copy results."""
    x = interval(X, 0.1)
    cast = x.astype(dtype)
    assert cast.dtype == np.float32
    np.testing.assert_array_equal(cast.error, x.error)
    assert not np.shares_memory(cast.value, x.value)


@pytest.mark.parametrize("tenth", [0.1, np.float32(0.1), np.array(0.1, np.float32)])
def test_numbers_take_the_working_precision(tenth: Any) -> None:
    """A Python number is rounded as NumPy rounds it, and is then exact."""
    x = exact([1.0])
    for result in (np.maximum(x * 0, tenth), np.maximum(tenth, x * 0)):
        assert result.value == np.float64(np.float32(0.1))
        assert result.error == 0


@pytest.mark.parametrize("tenth", [np.float64(0.1), np.array([0.1])])
def test_wider_operands_may_be_rounded_or_not(tenth: Any) -> None:
    """A float64 operand counts as itself or as rounded to float32: both are in the bound."""
    result: Any = np.maximum(exact([0.0]), tenth)
    for candidate in (0.1, float(np.float32(0.1))):
        assert abs(candidate - result.value) <= result.error
    assert 0 < result.error < 1e-8


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint8])
def test_whole_numbers_and_booleans_are_exact_operands(dtype: Any) -> None:
    """Small integers and booleans lose nothing; integers beyond float32 may."""
    x = exact([1.0, 2.0])
    assert np.maximum(x, np.array([1, 0], dtype)).error.max() == 0
    assert np.maximum(x, np.array([2**24 + 1, 0], np.int64)).error[0] == 1


@pytest.mark.parametrize("number", [1e39, -1e39, np.inf, np.nan, 10**39])
def test_numbers_that_the_precision_cannot_hold_have_no_bound(number: float) -> None:
    """An infinite operand has an infinite error, not an exact infinity, and no warning."""
    assert np.isinf((exact([1.0]) * number).error).all()
    mask = exact([1.0]) > 2
    chosen: Any = np.where(mask, exact([1.0]), number)
    assert np.isinf(chosen.error).all()


def test_subnormal_numbers_may_count_as_zero() -> None:
    """Inputs and constants below the smallest normal carry an error as large as themselves."""
    like: Any = np.full_like(exact([1.0]), 1e-40)
    for tiny in (exact([1e-40]), exact([0.0]).operand(1e-40), like):
        np.testing.assert_array_equal(tiny.error, np.abs(tiny.value))
    flushed = exact([1e30]) * 1e-40  # 0 where the processor flushes its inputs
    assert flushed.value - flushed.error <= 0


# -- views and copies -----------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "T": lambda x: x.T,
    "row": lambda x: x[0],
    "slice": lambda x: x[:, 1:],
    "reversed": lambda x: x[::-1],
    "reshape": lambda x: x.reshape(-1),
    "ravel": lambda x: x.ravel(),
    "np.transpose": np.transpose,
    "view of a view": lambda x: x.T[1:][:, :1],
    "newaxis": lambda x: x[:, None],
    "copied": lambda x: x.copy(),
    "fancy": lambda x: x[[1, 0]],
    "flatten": lambda x: x.flatten(),
    "np.copy": np.copy,
    "copied view": lambda x: x.T.copy(),
}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_views_alias_as_numpys_do(name: str, transposed: bool) -> None:
    """Writing through a view shows in the array, value, errors and flags; in a copy it does not."""
    plain = np.array(X)
    carrying = exact(X)
    if transposed:
        plain, carrying = plain.T + 0, carrying.T + 0
    view, bounded_view = VIEWS[name](plain), VIEWS[name](carrying)
    view += 1
    bounded_view += interval(1.0, 0.25)
    np.testing.assert_array_equal(carrying.value, plain)
    written = plain != (np.array(X).T if transposed else np.array(X))
    assert (carrying.error[written] >= 0.25).all()
    assert (carrying.error[~written] < 0.25).all()
    assert not (carrying.exact and carrying.error.any())


@pytest.mark.parametrize("name", ["T", "row", "slice", "reshape", "view of a view"])
def test_an_earlier_view_sees_what_is_written_to_its_array(name: str) -> None:
    """Errors, smooth errors, exactness and limits reach views that exist already."""
    x = exact(X)
    view = VIEWS[name](x)
    assert view.exact
    x[interval(X, 10.0) > 0] = 5.0  # undecided everywhere
    x[...] = x * np.where(x > 0, interval(np.ones((2, 3)), np.inf), 1)
    assert not view.exact
    assert view.smooth_error is not None
    np.testing.assert_array_equal(view.smooth_error, VIEWS[name](x.smooth_error))
    np.testing.assert_array_equal(view.error, VIEWS[name](x.error))


def test_an_undecided_write_through_a_view_keeps_the_arrays_smooth_error() -> None:
    """A kink that is written through a view is a kink of the array, and of that view only there."""
    x = interval(X, 0.01)
    other, row = x[1], x[0]
    row[row - row > 0] = 0
    assert x.smooth_error is not None
    np.testing.assert_array_equal(x.smooth_error, 0.01)
    assert (x.error[0] > 0.4).all()
    np.testing.assert_array_equal(other.error, other.smooth)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda x: x.copy(), np.negative])
def test_copies_and_results_are_independent(make: Callable[[Any], Any]) -> None:
    """Writing to a copy, or to the result of an operation that keeps errors, changes only it."""
    x = interval(X, 0.1)
    other = make(x)
    other[...] = 0
    np.testing.assert_array_equal(x.value, X)
    np.testing.assert_array_equal(x.error, 0.1)


@pytest.mark.parametrize("ufunc", [np.positive, np.absolute, np.fabs])
def test_operations_that_keep_errors_make_arrays_of_their_own(ufunc: np.ufunc) -> None:
    """As above, for the other operations whose error is the operand's."""
    test_copies_and_results_are_independent(ufunc)


def test_a_partial_write_leaves_nothing_exact_or_limited_that_is_not() -> None:
    """After one inexact or unlimited element the whole array counts as such."""
    x = exact(X)
    x[0, 0] = interval(1.0, 0.5)
    assert not x.exact
    assert (x * x).error[0, 0] > 0.9
    x[1, 1] = np.inf
    assert not x.limited
    assert np.isinf((x + 1).error[1, 1])
    assert np.isfinite((x + 1).error[0]).all()


# -- masks ----------------------------------------------------------------------------------


def test_undecided_masks_do_not_decide_in_python() -> None:
    """Truth value, any, all, sum, conversion and indexing by an undecided mask raise."""
    x = interval([1.0, 0.0], 0.1)
    mask = x > 0
    uses: list[Callable[[], Any]] = [
        lambda: bool(mask[1:]),
        mask.any,
        mask.all,
        mask.sum,
        lambda: np.any(mask),
        lambda: np.count_nonzero(mask),
        lambda: np.asarray(mask),
        lambda: x[mask],
        lambda: _put(x, mask, np.zeros(2)),
    ]
    for use in uses:
        with pytest.raises(TypeError, match="rounding could turn either way"):
            use()
    assert bool(mask[:1]) is True


def test_decided_masks_behave_as_boolean_arrays() -> None:
    """Where every element is decided a mask reduces, converts, indexes and counts."""
    x = exact([1.0, 0.0, -1.0])
    mask = x > 0
    assert (mask.any(), mask.all(), mask.sum()) == (True, False, 1)
    assert (np.any(mask), np.all(mask), np.count_nonzero(mask)) == (True, False, 1)
    np.testing.assert_array_equal(np.asarray(mask), [True, False, False])
    np.testing.assert_array_equal(np.where(mask, 1.0, 0.0), [1, 0, 0])
    np.testing.assert_array_equal(np.concatenate([mask, ~mask]), [1, 0, 0, 0, 1, 1])
    assert x[mask].value == [1.0]


def test_a_kink_is_decided_by_convention_where_the_number_is_exact() -> None:
    """relu′ at an exact 0 is 0 with no error at all: the convention can be checked."""
    z, grad = exact([[-1.0, 0.0, -0.0, 2.0]]), exact([[1.0, 2.0, 3.0, 4.0]])
    relu = ACTIVATIONS["relu"]()
    result = relu.backward(grad, z, relu.forward(z))
    np.testing.assert_array_equal(result.value, [[0, 0, 0, 4]])
    np.testing.assert_array_equal(result.error, 0)
    assert result.smooth_error is None
    assert result.exact


HULLS: dict[str, Callable[[Any, Any], Any]] = {
    "product": lambda g, z: g * (z > 0),
    "product from the left": lambda g, z: (z > 0) * g,
    "product of numbers": lambda g, z: g * (z > 0).astype(np.float32),
    "where": lambda g, z: np.where(z > 0, g, 0),
    "where of numbers": lambda g, z: np.where(z > 0, 1.0, 0.0) * g,
    "one minus": lambda g, z: g * (1 - (z <= 0)),
    "not": lambda g, z: g * ~(z <= 0),
    "and": lambda g, z: g * ((z > 0) & (z < 100)),
    "or": lambda g, z: g * ((z > 0) | (z > 100)),
    "assigned": lambda g, z: _put(g.copy(), z <= 0, 0),
    "in place": lambda g, z: operator.imul(g.copy(), z > 0),
}


@pytest.mark.parametrize("name", HULLS)
def test_undecided_masks_give_the_hull_of_both_branches(name: str) -> None:
    """Decided elements keep their error; undecided ones reach the other branch, and say so."""
    g, z = exact([3.0, 5.0, 7.0]), interval([1.0, 1e-9, -1.0], [0.5, 1e-8, 0.5])
    result = HULLS[name](g, z)
    np.testing.assert_allclose(result.value, [3, 5, 0], rtol=1e-15)
    assert result.value[1] - result.error[1] <= 0
    assert result.error[1] < 5.1
    assert (result.error[[0, 2]] < 1e-6).all()
    assert result.smooth_error is not None
    assert (result.smooth_error < 1e-5).all()


def test_masks_combine_in_place() -> None:
    """&= and |= on masks keep three values."""
    x = interval([1.0, 0.0, -1.0], 0.1)
    mask = x > 0
    mask &= x < 0.5
    np.testing.assert_array_equal(mask.value, [False, False, False])
    np.testing.assert_array_equal(mask.undecided, [False, True, False])


def test_a_mask_of_rows_assigns_rows() -> None:
    """An undecided mask of fewer dimensions selects along the first axes, as NumPy's do."""
    x = exact([[1.0, 2.0], [3.0, 4.0]])
    x[interval([1.0, 0.0], 0.1) > 0] = 0
    np.testing.assert_array_equal(x.value, [[0, 0], [3, 4]])
    assert (x.error[0] == 0).all()
    assert (x.error[1] >= [3, 4]).all()


def test_zero_times_no_bound_is_no_bound() -> None:
    """0 · ∞ may be NaN in the working precision: the error is infinite, never NaN."""
    unbounded = bounded(np.array([np.inf, np.nan, 1.0], np.float32), SINGLE)
    results: list[Any] = [unbounded * 0, unbounded * (exact([0.0] * 3) > 0), np.tanh(unbounded)]
    for result in results:
        np.testing.assert_array_equal(np.isinf(result.error), [True, True, False])
        assert not result.limited
    product = exact([[0.0, 0.0, 1.0]]) @ unbounded
    assert np.isinf(product.error).all()


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_what_undecided_masks_reach_in_large_products_is_what_they_reach_in_small_ones(
    left: bool, right: bool
) -> None:
    """Of large operands only some rows or columns are looked at; nothing else may differ."""
    generator = np.random.default_rng(0)

    def operand(shape: tuple[int, ...], kinked: bool) -> Any:
        numbers, z = (interval(generator.normal(size=shape), 1e-6) for _ in range(2))
        z.value[2, 3] = z.value[2, 5] = 1e-9
        return numbers * (z > 0) if kinked else numbers

    a, b = operand((7, 40), left), operand((40, 9), right)
    small = a @ b
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "LARGE", 1)
        large = a @ b
    np.testing.assert_array_equal(large.error, small.error)
    assert (large.smooth_error is None) == (small.smooth_error is None) == (not (left or right))
    assert (large.smooth <= small.smooth * SLACK).all()
    assert (small.smooth <= large.smooth * SLACK).all()
    assert (large.smooth < large.error).any() == (left or right)
