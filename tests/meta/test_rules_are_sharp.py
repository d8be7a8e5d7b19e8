"""No elementwise rule has a larger error than its operands give it: what their ends reach."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agreement import rules
from agreement.allowances import allowance
from agreement.bounded import BoundedArray, bounded
from agreement.precision import precision_of, storing
from manual_backprop.special import FUNCTIONS

DOUBLE = precision_of("float64")
# Away from 0, where a slope may vanish, and from the ends of domains.
MAGNITUDES = np.linspace(0.3, 1.4, 23)
OF_POSITIVE = {"log", "log2", "log10", "sqrt"}
POWERS = (-2.0, -0.5, 0.5, 1.0, 2.0, 2.5, 3.0)


def interval(value: Any, error: Any, *, exact: bool = False) -> BoundedArray:
    value = np.asarray(value, float)
    error = np.broadcast_to(np.asarray(error, float), value.shape).copy()
    return BoundedArray(value, error, DOUBLE, exact=exact)


def reached(function: Callable[..., Any], operands: Sequence[BoundedArray]) -> np.ndarray:
    """How far the function moves at most where each operand is at its centre or at an end."""
    steps = (-1, 0, 1)
    with np.errstate(all="ignore"):
        value = function(*(x.value for x in operands))
        moved = [
            np.abs(
                function(*(x.value + s * x.error for x, s in zip(operands, signs, strict=True)))
                - value
            )
            for signs in itertools.product(steps, repeat=len(operands))
        ]
    return np.max(moved, axis=0)


def functions() -> dict[str, tuple[Callable[..., Any], rules.Rule, int]]:
    """By name: the function, its rule, and how many operands it takes; powers apart."""
    found = {u.__name__: (u, rules.UFUNCS[u].rule, u.nin) for u in rules.UFUNCS}
    found |= {name: (FUNCTIONS[name], rules.SPECIAL[name].rule, 1) for name in rules.SPECIAL}
    return {name: row for name, row in found.items() if not name.endswith("power")}


UNARY = sorted(name for name, (_, _, count) in functions().items() if count == 1)
BINARY = sorted(name for name, (_, _, count) in functions().items() if count == 2)


def centres(name: str) -> np.ndarray:
    if name in OF_POSITIVE:
        return MAGNITUDES
    if name == "log1p":
        return np.concatenate([MAGNITUDES, -MAGNITUDES[MAGNITUDES < 0.8]])
    return np.concatenate([MAGNITUDES, -MAGNITUDES])


@pytest.mark.parametrize("name", UNARY)
def test_small_errors_move_a_function_by_its_slope(name: str) -> None:
    """An error of a millionth: the rule gives what an end reaches, to four digits."""
    function, rule, _ = functions()[name]
    x = interval(centres(name), 1e-6)
    value, error = rule(x)
    np.testing.assert_array_equal(value, function(x.value))
    np.testing.assert_allclose(error, reached(function, [x]), rtol=1e-4)


@pytest.mark.parametrize("name", UNARY)
def test_large_errors_move_a_function_by_a_few_times_what_the_ends_reach(name: str) -> None:
    """An error of a fifth of the number: at most twice what an end reaches."""
    function, rule, _ = functions()[name]
    x = interval(centres(name), np.abs(centres(name)) / 5)
    _, error = rule(x)
    assert (error <= 2 * reached(function, [x])).all()


@pytest.mark.parametrize("name", UNARY)
def test_exact_numbers_move_nothing(name: str) -> None:
    """Without an error of its operand a rule has none; rounding is added elsewhere."""
    _, rule, _ = functions()[name]
    assert not rule(interval(centres(name), 0.0, exact=True))[1].any()
    assert not rule(interval(centres(name), 0.0))[1].any()


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "erf", "erfc", "sin", "cos"])
def test_a_bounded_function_leaves_its_range_by_nothing(name: str) -> None:
    """However large the error, no farther than the farther end of the range."""
    function, rule, _ = functions()[name]
    low, high = {"sigmoid": (0, 1), "erfc": (0, 2)}.get(name, (-1, 1))
    x = interval(centres(name), 1000.0)
    value = function(x.value)
    farther = np.maximum(value - low, high - value)
    if name in ("tanh", "erf", "sin", "cos"):
        farther = 1 + np.abs(value)
    np.testing.assert_allclose(rule(x)[1], farther, rtol=1e-12)


@pytest.mark.parametrize("name", ["exp", "expm1", "exp2"])
def test_exponentials_of_large_errors_are_bounded_by_the_upper_end(name: str) -> None:
    """From an error of 1 on there is no difference to take: e^(v+e), up to a rounding."""
    _, rule, _ = functions()[name]
    base = np.exp2 if name == "exp2" else np.exp
    x = interval(MAGNITUDES, 3.0)
    np.testing.assert_allclose(rule(x)[1], base(x.value + 3), rtol=1e-12)
    mixed = interval([0.5, 0.5], [1.0, np.nextafter(1, 2)])
    below, above = rule(mixed)[1]
    assert below == pytest.approx(base(1.5) - base(0.5), rel=1e-12)
    assert above == pytest.approx(base(1.5), rel=1e-12)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("width", [1e-6, 0.2])
@pytest.mark.parametrize("moving", ["both", "first", "second"])
def test_errors_of_two_operands_move_as_far_as_their_ends(
    name: str, width: float, moving: str
) -> None:
    """Sums, products, quotients and choices: exactly what the ends reach."""
    function, rule, _ = functions()[name]
    generator = np.random.default_rng(len(name))
    a = generator.uniform(1, 2, 50) * generator.choice([-1, 1], 50)
    # Decided choices: the second operand is smaller or larger throughout.
    b = a * generator.choice([0.3, 3.0], 50) * generator.choice([-1, 1], 50)
    first = interval(a, 0 if moving == "second" else width, exact=moving == "second")
    second = interval(b, 0 if moving == "first" else width, exact=moving == "first")
    value, error = rule(first, second)
    np.testing.assert_array_equal(value, function(a, b))
    np.testing.assert_allclose(error, reached(function, [first, second]), rtol=1e-6)


@pytest.mark.parametrize("name", ["multiply", "divide"])
def test_numbers_that_merely_have_no_error_are_like_exact_ones(name: str) -> None:
    """Whether an operand knows that it is exact changes the work, not the error."""
    _, rule, _ = functions()[name]
    a, b = np.array([1.5, -2.0]), np.array([3.0, 0.5])
    for one, other in itertools.product((0.0, 0.125), repeat=2):
        plain = rule(interval(a, one), interval(b, other))[1]
        knowing = rule(interval(a, one, exact=not one), interval(b, other, exact=not other))[1]
        np.testing.assert_allclose(knowing, plain, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_an_undecided_choice_has_the_larger_error(name: str) -> None:
    """Intervals that touch may be chosen either way; those that do not, in one way only."""
    _, rule, _ = functions()[name]
    low, high = interval([1.0, 1.0, 1.0], [0.25, 0.25, 0.5]), interval([1.5, 1.75, 1.5], 0.25)
    larger = name.endswith("max") or name == "maximum"
    for pair in ((low, high), (high, low)):
        touching, apart, overlapping = rule(*pair)[1]
        assert (touching, apart, overlapping) == (0.25, 0.25, 0.5)
    wide = interval([1.0], [0.125]), interval([1.5], [0.25])
    assert rule(*wide)[1] == rule(*wide[::-1])[1] == (0.25 if larger else 0.125)
    touching = interval([1.0], [0.375]), interval([1.5], [0.125])
    assert rule(*touching)[1] == rule(*touching[::-1])[1] == 0.375


@pytest.mark.parametrize("exponent", POWERS)
@pytest.mark.parametrize(("width", "factor"), [(0.0, 1.0), (1e-6, 1 + 1e-4), (0.2, 2.0)])
def test_powers_move_by_their_slope(exponent: float, width: float, factor: float) -> None:
    """To first order what the ends reach, and never twice as much for errors of a fifth."""
    rule = rules.UFUNCS[np.power].rule
    base, p = interval(MAGNITUDES, MAGNITUDES * width), interval(exponent, 0.0, exact=True)
    value, error = rule(base, p)
    np.testing.assert_array_equal(value, MAGNITUDES**exponent)
    rounding = 2.0**-52 * np.abs(value * np.log(value))
    reach = reached(lambda a: a**exponent, [base])
    assert (error <= factor * reach + 1.001 * rounding).all()
    assert (error >= (1 - 1e-6) * reach + 0.999 * rounding).all()


def test_powers_have_a_bound_where_the_base_is_positive_or_the_exponent_whole() -> None:
    """Whole exponents take every base, positive ones bases from 0, inexact ones positive bases."""
    rule = rules.UFUNCS[np.power].rule

    def bounded_at(value: float, error: float, exponent: float) -> bool:
        p = interval(exponent, 0.0, exact=True)
        with np.errstate(all="ignore"):
            return bool(np.isfinite(rule(interval(value, error), p)[1]))

    assert all(bounded_at(-1.5, 0.25, p) for p in (0.0, 1.0, 2.0, 3.0))
    assert all(bounded_at(0.25, 0.5, p) for p in (0.0, 1.0, 2.0))
    assert not any(bounded_at(-1.5, 0.25, p) for p in (-1.0, 0.5, 1.5))
    assert not any(bounded_at(0.5, 0.51, p) for p in (-1.0, 0.5, 1.5))
    assert [bounded_at(0.5, 0.5, p) for p in (-1.0, 0.0, 0.5, 1.5)] == [False, True, True, True]
    assert all(bounded_at(0.5, 0.499, p) for p in (-1.0, 0.5, 1.5))
    inexact = interval(2.0, 1e-9)
    assert np.isinf(rule(interval(-1.5, 0.0), inexact)[1])
    assert np.isinf(rule(interval(0.5, 0.5), inexact)[1])


@pytest.mark.parametrize("base", [0.25, 0.9, 1.0, 3.0])
def test_an_inexact_exponent_moves_a_power_by_the_logarithm_of_its_base(base: float) -> None:
    """What the ends of both intervals reach, and hardly more."""
    for width in (0.0, 1e-6):
        a, p = interval(base, width * base), interval([-1.5, 0.0, 0.5, 2.0], 1e-6)
        value, error = rules.UFUNCS[np.power].rule(a, p)
        reach = reached(np.power, [a, p])
        assert (error + 2.0**-51 * value >= (1 - 1e-6) * reach).all()
        assert (error <= 1.001 * reach + 2.0**-50 * value).all()


def test_a_power_of_numbers_from_0_reaches_from_0_to_the_power_of_the_largest() -> None:
    """A subnormal base may be flushed to 0, or kept: both powers lie within the bound."""
    rule = rules.UFUNCS[np.power].rule
    base, exponent = interval([0.0, 0.5], [0.0, 0.5]), interval(0.5, 0.0, exact=True)
    with np.errstate(all="ignore"):
        value, error = rule(base, exponent)
    assert value[0] == error[0] == 0
    assert value[1] - error[1] <= 0
    assert value[1] + error[1] >= 1


def test_a_clip_keeps_bounds_between_its_ends() -> None:
    """What is cut off is in no result: 1 − clip(x, ε, 1 − ε) is positive, whatever x's error."""
    low, high = 1e-7, 1 - 1e-7
    x = interval([0.5, 1.0, 1.0, 2.0, 0.0, 1e-7, -3.0], [0.1, 0.1, 9.0, 0.5, 0.1, 0.0, 0.5])
    clipped = np.clip(x, low, high)
    ends = [np.clip(x.value + side * x.error, low, high) for side in (-1, 1)]
    assert (clipped.value - clipped.error <= ends[0]).all()
    assert (clipped.value + clipped.error >= ends[1]).all()
    rounding = 8 * DOUBLE.roundoff
    assert (2 * clipped.error <= ends[1] - ends[0] + rounding).all()
    assert np.isfinite(np.log(1 - clipped).error).all()
    assert np.isinf(np.clip(interval(0.5, np.inf), low, high).error)  # NaN is not clipped


@pytest.mark.parametrize(
    ("name", "edge", "at_the_edge"),
    [("log", 0.0, False), ("log2", 0.0, False), ("log10", 0.0, False), ("sqrt", 0.0, True),
     ("log1p", -1.0, False)],
)  # fmt: skip
def test_a_bound_ends_where_the_domain_does(name: str, edge: float, at_the_edge: bool) -> None:
    """Without bound once the lower end is beyond the domain; finite just before that."""
    _, rule, _ = functions()[name]
    for v in (edge + 0.5, edge + 2.0):
        distances = np.array([0.999, 1.0, 1.001]) * (v - edge)
        with np.errstate(all="ignore"):
            before, at, beyond = np.isfinite(rule(interval([v] * 3, distances))[1])
        assert (before, at, beyond) == (True, at_the_edge, False)


def test_a_quotient_has_a_bound_while_its_divisor_cannot_be_0() -> None:
    """|v_b| > e_b, for either sign of the divisor."""
    rule = rules.UFUNCS[np.divide].rule
    for sign in (-1, 1):
        divisors = interval(sign * np.array([1.0, 1.0, 1.0]), [0.999, 1.0, 1.001])
        with np.errstate(all="ignore"):
            error = rule(interval(np.ones(3), 0.25), divisors)[1]
        assert np.isfinite(error).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "square", "sqrt"])
def test_one_operation_on_exact_numbers_rounds_once(name: str, dtype: str) -> None:
    """The bound is the allowance times the roundoff of the result, to a hundredth, or exact."""
    function, _, count = functions()[name]
    precision = precision_of(dtype)
    a = np.random.default_rng(0).uniform(1, 2, 50).astype(dtype)
    operands = [bounded(a, precision), bounded(a[::-1].copy(), precision)][:count]
    result = function(*operands)
    rounded = rules.UFUNCS[getattr(np, name)].allowance
    wanted = (
        allowance(rounded, precision.dtype).relative * precision.roundoff * np.abs(result.value)
    )
    rounded = result.error > 0  # a sum that the precision can hold is exact
    np.testing.assert_allclose(result.error[rounded], wanted[rounded], rtol=1e-2)
    assert rounded.any() or name == "subtract"  # neighbours within a factor of 2: Sterbenz


def test_a_share_near_1_hardly_moves_where_results_are_stored() -> None:
    """e^0 / (e^0 + e^-20) of logits known to 1e-3; computed twice it is known to 1e-3 only."""
    errors = {}
    for precision in (storing(precision_of("float32")), precision_of("float32")):
        logits = BoundedArray(np.array([[0.0, -20.0]]), np.full((1, 2), 1e-3), precision)
        terms = np.exp(logits)
        share = terms / terms.sum(axis=1, keepdims=True)
        errors[precision.stores] = share.error[0]
    assert errors[True][0] < 30 * precision_of("float32").roundoff
    assert errors[False][0] > 1e-3
    assert errors[True][1] == pytest.approx(2e-3 * np.exp(-20), rel=0.1)


def test_a_share_moves_as_far_as_the_ends_of_its_terms() -> None:
    """Small errors: the bound is what the worst signs reach, up to terms of second order."""
    rng = np.random.default_rng(0)
    value, error = rng.uniform(0.1, 1, (20, 5)), rng.uniform(0, 1e-6, (20, 5))
    terms = BoundedArray(value, error, storing(precision_of("float64")))
    found = (terms / terms.sum(axis=1, keepdims=True)).error
    signs = 2 * np.eye(5) - 1  # the numerator up, all others down
    ends = np.stack([value + signs[i] * error for i in range(5)], axis=1)
    reached = np.diagonal(ends, axis1=1, axis2=2) / ends.sum(axis=-1)
    moved = reached - value / value.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, moved, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_half_types_store_nothing_that_could_be_relied_on(dtype: str) -> None:
    """Within a kernel they are wider."""
    assert storing(precision_of(dtype)).stores == (dtype != "float16")
