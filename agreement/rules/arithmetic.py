r"""How values and bounds move through the primitive operations.

Each rule takes operands (value, error) and returns the value of the result and how far the
operands' errors can move it, in arrays of their own. Rounding, also that of evaluating the
error itself, is added afterwards, in one place (``bounded``).
Written: v for a value, e for its error, so that the true operand lies in [v − e, v + e].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from manual_backprop.special import FUNCTIONS
from manual_backprop.typing import Array


class Operand(Protocol):
    """A value, its error, and whether every error is known to be zero."""

    @property
    def value(self) -> Array: ...

    @property
    def error(self) -> Array: ...

    @property
    def exact(self) -> bool: ...


TINIEST = float(np.finfo(np.float64).smallest_subnormal)

Moved: TypeAlias = tuple[Array, Array]
Rule: TypeAlias = Callable[..., Moved]


def add(a: Operand, b: Operand) -> Moved:
    """e = e_a + e_b."""
    return a.value + b.value, a.error + b.error


def subtract(a: Operand, b: Operand) -> Moved:
    """e = e_a + e_b."""
    return a.value - b.value, a.error + b.error


def multiply(a: Operand, b: Operand) -> Moved:
    """e = |v_a| e_b + e_a (|v_b| + e_b)."""
    value = a.value * b.value
    if a.exact and b.exact:
        return value, np.zeros(np.shape(value))
    if b.exact:
        return value, a.error * np.abs(b.value)
    if a.exact:
        return value, np.abs(a.value) * b.error
    return value, np.abs(a.value) * b.error + a.error * (np.abs(b.value) + b.error)


def divide(a: Operand, b: Operand) -> Moved:
    """e = (e_a + |v_a/v_b| e_b) / (|v_b| − e_b); without bound if the divisor may be 0.

    A quotient that is too small for the centre is not 0: another division may follow.
    """
    value = a.value / b.value
    smallest = np.abs(b.value) - b.error
    error = (a.error + np.abs(value) * b.error) / smallest + TINIEST * (a.value != 0)
    return value, np.where(smallest > 0, error, np.inf)


def square(a: Operand) -> Moved:
    """e = 2 |v| e + e²: both factors move together."""
    return a.value * a.value, (2 * np.abs(a.value) + a.error) * a.error


def power(a: Operand, b: Operand) -> Moved:
    """a^p for an exact p: |p| a^p / a, largest at the upper end if p ≥ 1, else at the lower.

    Without bound where the base may be 0 or negative, unless p is a whole number ≥ 1.
    """
    exponent = b.value
    value = np.power(a.value, exponent)
    end = np.abs(a.value) + np.where(exponent >= 1, a.error, -a.error)
    error = np.abs(exponent) * np.power(end, exponent) * (a.error / end)
    whole = (exponent >= 1) & (exponent == np.floor(exponent))
    usable = b.exact & (whole | (a.value - a.error > 0))
    return value, np.where(usable, np.where(a.error == 0, 0.0, error), np.inf)


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


def exp(a: Operand) -> Moved:
    """e^(v+e) − e^v = e^v (e^e − 1), and never more than e^(v+e)."""
    value = np.exp(a.value)
    error = value * np.expm1(np.minimum(a.error, 1.0))
    large = a.error > 1
    if large.any():
        end = np.nextafter(a.value + a.error, np.inf)  # at least v + e
        error = np.where(large, np.exp(end), error)
    return value, error


def expm1(a: Operand) -> Moved:
    """As ``exp``: the two differ by a constant."""
    return np.expm1(a.value), exp(a)[1]


def log(a: Operand) -> Moved:
    """log v − log(v − e) = log(1 + e/(v − e)); without bound if 0 is within reach."""
    low = a.value - a.error
    return np.log(a.value), np.where(low > 0, np.log1p(a.error / low), np.inf)


def log1p(a: Operand) -> Moved:
    """As ``log``, at 1 + v, which is rounded downwards here."""
    low = np.nextafter(1 + a.value, -np.inf) - a.error
    return np.log1p(a.value), np.where(low > 0, np.log1p(a.error / low), np.inf)


def sqrt(a: Operand) -> Moved:
    """√v − √(v−e) = e / (√v + √(v−e)); without bound if v − e < 0."""
    value = np.sqrt(a.value)
    low = a.value - a.error
    slope = value + np.sqrt(np.maximum(low, 0))
    error = np.where(a.error == 0, 0.0, a.error / slope)
    return value, np.where(low >= 0, error, np.inf)


def tanh(a: Operand) -> Moved:
    """|tanh′| = 1 − tanh², largest at the point of the interval nearest 0."""
    value = np.tanh(a.value)
    nearest = np.cosh(np.minimum(np.maximum(np.abs(a.value) - a.error, 0), 350.0))
    return value, np.minimum(a.error / (nearest * nearest), 1 + np.abs(value))


def sigmoid(a: Operand) -> Moved:
    """σ′ = σ(x) σ(−x), largest at the point of the interval nearest 0."""
    value = FUNCTIONS["sigmoid"](a.value)
    nearest = np.maximum(np.abs(a.value) - a.error, 0)
    slope = FUNCTIONS["sigmoid"](nearest) * FUNCTIONS["sigmoid"](-nearest)
    return value, np.minimum(a.error * slope, np.maximum(value, 1 - value))


class Primitive(NamedTuple):
    """A rule and the allowance, by name, that its rounding takes."""

    rule: Rule
    allowance: str


UFUNCS: dict[np.ufunc, Primitive] = {
    np.add: Primitive(add, "rounded"),
    np.subtract: Primitive(subtract, "rounded"),
    np.multiply: Primitive(multiply, "rounded"),
    np.divide: Primitive(divide, "divide"),
    np.square: Primitive(square, "rounded"),
    np.power: Primitive(power, "exp"),
    np.float_power: Primitive(power, "exp"),
    np.negative: Primitive(negative, "exact"),
    np.positive: Primitive(positive, "exact"),
    np.absolute: Primitive(absolute, "exact"),
    np.fabs: Primitive(absolute, "exact"),
    np.maximum: Primitive(maximum, "exact"),
    np.minimum: Primitive(minimum, "exact"),
    np.fmax: Primitive(maximum, "exact"),
    np.fmin: Primitive(minimum, "exact"),
    np.exp: Primitive(exp, "exp"),
    np.expm1: Primitive(expm1, "expm1"),
    np.log: Primitive(log, "log"),
    np.log1p: Primitive(log1p, "log1p"),
    np.sqrt: Primitive(sqrt, "sqrt"),
    np.tanh: Primitive(tanh, "tanh"),
}
SPECIAL: dict[str, Primitive] = {"sigmoid": Primitive(sigmoid, "sigmoid")}
COMPARISONS = {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal}
