"""Rules of arithmetic, powers, signs and choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.alike import everywhere, raw
from agreement.precision import CENTRE_ROUNDOFF, Precision
from agreement.rules.operand import OUTWARDS, Moved, Operand
from manual_backprop.typing import Array

TINIEST = float(np.finfo(np.float64).smallest_subnormal)


def add(a: Operand, b: Operand) -> Moved:
    """e = e_a + e_b."""
    return a.value + b.value, a.error + b.error


def subtract(a: Operand, b: Operand) -> Moved:
    """e = e_a + e_b."""
    return a.value - b.value, a.error + b.error


def multiply(a: Operand, b: Operand) -> Moved:
    """e = |v_a| e_b + e_a (|v_b| + e_b).

    A product that is too small for the centre is not 0: another factor may follow.
    """
    value = a.value * b.value
    if everywhere(a.exact & b.exact):
        error = np.zeros(np.shape(value))
    elif everywhere(b.exact):
        error = a.error * np.abs(b.value)
    elif everywhere(a.exact):
        error = np.abs(a.value) * b.error
    else:
        error = np.abs(a.value) * b.error + a.error * (np.abs(b.value) + b.error)
    if np.count_nonzero(raw(value)) < raw(value).size:
        error = error + TINIEST * ((value == 0) & (a.value != 0) & (b.value != 0))
    return value, error


def divide(a: Operand, b: Operand) -> Moved:
    """e = (e_a + |v_a/v_b| e_b) / (|v_b| − e_b); without bound if the divisor may be 0.

    A quotient that is too small for the centre is not 0: another division may follow.
    """
    value = a.value / b.value
    smallest = np.abs(b.value) - b.error
    error = (a.error + np.abs(value) * b.error) / smallest + TINIEST * (a.value != 0)
    return value, np.where(smallest > 0, error, np.inf)


def share(a: Operand, b: Operand, *, axis: Any, precision: Precision) -> Moved:
    """q = a_j / S with S = Σ_k a_k along ``axis``, which is b; a's errors move both, together.

    With R_j = S − a_j and E_j = Σ_{k≠j} e_k, which are small where a_j is nearly all of S:

    (1) (a_j + d_j) / (S + Σ d_k) − a_j / S = (d_j R_j − a_j Σ_{k≠j} d_k) / (S (S + Σ d_k))
    (2) with |d_k| ≤ e_k and s = |S| − Σ e_k: e = (e_j |R_j| + |a_j| E_j) / (|S| s)
    (3) the sum is rounded by δ at most, so that a quotient up to |q| + e moves by δ / (s − δ) times
        itself

    Differences from S cancel; n roundings of the centre make up for that.
    """
    value = a.value / b.value
    magnitude, total = np.abs(a.value), np.abs(b.value)
    terms = a.value.size // max(b.value.size, 1)
    all_errors = a.error.sum(axis=axis, keepdims=True)
    all_magnitudes = magnitude.sum(axis=axis, keepdims=True)
    cancelled = 4 * terms * CENTRE_ROUNDOFF
    rest = np.abs(b.value - a.value) + cancelled * all_magnitudes
    other_errors = np.maximum(all_errors - a.error, 0) + cancelled * all_errors
    least = total - all_errors - cancelled * all_magnitudes
    # (2), each part as a product of quotients: of small numbers the products may underflow.
    moved = a.error / total * (rest / least) + magnitude / total * (other_errors / least)
    rounding = precision.gamma(terms - 1) * (all_magnitudes + all_errors)
    if terms > 1:
        rounding = rounding + terms * precision.smallest_normal
    moved = moved + (np.abs(value) + moved) * (rounding / (least - rounding))  # (3)
    moved = moved + TINIEST * (a.value != 0)
    return value, np.where((least > rounding) & np.isfinite(b.error), moved, np.inf)


def square(a: Operand) -> Moved:
    """e = 2 |v| e + e²: both factors move together."""
    return a.value * a.value, (2 * np.abs(a.value) + a.error) * a.error


def power(a: Operand, b: Operand) -> Moved:
    """a^p for a moving base: |p| a^p / a, largest at the upper end if p ≥ 1, else at the lower.

    A base from 0 to v + e has, for p > 0, a power from 0 to (v + e)^p. Without bound where the
    base may be negative, or 0 for p < 0, unless p is a whole number ≥ 0. And as a^p = e^(p log a),
    an exponent that moves by e, of positive bases only, moves that by e |log a|; rounded to double
    precision it moves by 2^-52 |log a^p|.
    """
    exponent = b.value
    value = np.power(a.value, exponent)
    end = np.abs(a.value) + np.where(exponent >= 1, a.error, -a.error)
    error = np.abs(exponent) * np.power(end, exponent) * (a.error / end)
    error = np.where(exponent == 0, 0.0, error)
    whole = (exponent >= 0) & (exponent == np.floor(exponent))
    from_0 = (a.value == a.error) & (exponent > 0)
    error = np.where(from_0 & ~whole, np.power(a.value + a.error, exponent), error)
    error = np.where(a.error == 0, 0.0, error)
    positive_base = a.value - a.error > 0
    usable = positive_base | ((b.error == 0) & (whole | from_0))
    magnitude = np.abs(value)
    rounding = magnitude * np.abs(np.log(np.where(magnitude > 0, magnitude, 1.0))) * 2.0**-52
    if not everywhere(b.exact):
        ends = (np.where(positive_base, a.value + side * a.error, 1.0) for side in (-1, 1))
        steepest = np.maximum(*(np.abs(np.log(x)) for x in ends)) * (1 + OUTWARDS)
        moved = np.expm1(steepest * b.error)
        # A power that is too small for the centre is not 0 at every exponent.
        reached = np.maximum(magnitude, TINIEST * (a.value != 0))
        error = error + np.where(b.error == 0, 0.0, (reached + error) * moved)
    return value, np.where(usable, error + rounding, np.inf)


def negative(a: Operand) -> Moved:
    return -a.value, a.error.copy()


def positive(a: Operand) -> Moved:
    return a.value.copy(), a.error.copy()


def absolute(a: Operand) -> Moved:
    """1-Lipschitz."""
    return np.abs(a.value), a.error.copy()


def maximum(a: Operand, b: Operand) -> Moved:
    """The larger operand's error where the order is decided, else the larger error."""
    return np.maximum(a.value, b.value), _of_chosen(a.value - b.value, a.error, b.error)


def minimum(a: Operand, b: Operand) -> Moved:
    """The smaller operand's error where the order is decided, else the larger error."""
    return np.minimum(a.value, b.value), _of_chosen(b.value - a.value, a.error, b.error)


def _of_chosen(lead: Array, error_a: Array, error_b: Array) -> Array:
    either = error_a + error_b
    undecided = np.maximum(error_a, error_b)
    return np.where(lead > either, error_a, np.where(-lead > either, error_b, undecided))


def sqrt(a: Operand) -> Moved:
    """√v − √(v−e) = e / (√v + √(v−e)); without bound if v − e < 0."""
    value = np.sqrt(a.value)
    low = a.value - a.error
    slope = value + np.sqrt(np.maximum(low, 0))
    error = np.where(a.error == 0, 0.0, a.error / slope)
    return value, np.where(low >= 0, error, np.inf)


def root(a: Operand) -> Moved:
    """As ``sqrt``; where 0 is within reach, from √(v+e) down to 0."""
    value = np.sqrt(np.maximum(a.value, 0))
    low = a.value - a.error
    slope = value + np.sqrt(np.maximum(low, 0))
    high = np.sqrt(np.maximum(a.value + a.error, 0))
    error = np.where(
        low > 0, a.error / np.where(low > 0, slope, 1.0), np.maximum(high - value, value)
    )
    return value, np.where(a.error == 0, 0.0, error)


def hypot(a: Operand, b: Operand) -> Moved:
    """h = √(a² + b²), convex: e = H − h = (e_a (2|a| + e_a) + e_b (2|b| + e_b)) / (H + h).

    H is h of |a| + e_a and |b| + e_b. Not in terms of the squares, which may underflow.
    """
    value = np.hypot(a.value, b.value)
    total = value + np.hypot(np.abs(a.value) + a.error, np.abs(b.value) + b.error)
    error: Array = sum(x.error * ((2 * np.abs(x.value) + x.error) / total) for x in (a, b))
    return value, np.where(total == 0, 0.0, error)
