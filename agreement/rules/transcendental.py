"""Rules of exponentials, logarithms, hyperbolic and trigonometric functions, and of those that
NumPy lacks: how far f moves is e times its largest slope over the interval, or the exact distance.
"""

from __future__ import annotations

import math

import numpy as np

from agreement.alike import somewhere
from agreement.rules.operand import OUTWARDS, Moved, Operand, nearest_to_0
from manual_backprop.special import FUNCTIONS
from manual_backprop.typing import Array

LOG_2, LOG_10 = math.log(2), math.log(10)
SLOPE_OF_ERF = 2 / math.sqrt(math.pi)


def exp(a: Operand) -> Moved:
    """e^(v+e) − e^v = e^v (e^e − 1), and never more than e^(v+e)."""
    value = np.exp(a.value)
    error = value * np.expm1(np.minimum(a.error, 1.0))
    large = a.error > 1
    if somewhere(large):
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


def exp2(a: Operand) -> Moved:
    """2^(v+e) − 2^v = 2^v (2^e − 1), and never more than 2^(v+e)."""
    value = np.exp2(a.value)
    error = value * np.expm1(np.minimum(a.error, 1.0) * LOG_2)
    large = a.error > 1
    if somewhere(large):
        error = np.where(large, np.exp2(np.nextafter(a.value + a.error, np.inf)), error)
    return value, error


def log2(a: Operand) -> Moved:
    """As ``log``, in other units."""
    return np.log2(a.value), log(a)[1] / LOG_2


def log10(a: Operand) -> Moved:
    """As ``log``, in other units."""
    return np.log10(a.value), log(a)[1] / LOG_10


def sinh(a: Operand) -> Moved:
    """sinh(|v|+e) − sinh |v| = 2 cosh(|v|+e/2) sinh(e/2)."""
    half = a.error / 2
    middle = np.abs(a.value) * (1 + OUTWARDS) + half
    return np.sinh(a.value), np.where(half == 0, 0.0, 2 * np.cosh(middle) * np.sinh(half))


def cosh(a: Operand) -> Moved:
    """cosh(|v|+e) − cosh v = 2 sinh(|v|+e/2) sinh(e/2)."""
    half = a.error / 2
    middle = np.abs(a.value) * (1 + OUTWARDS) + half
    return np.cosh(a.value), np.where(half == 0, 0.0, 2 * np.sinh(middle) * np.sinh(half))


def sin(a: Operand) -> Moved:
    """|sin′| = |cos| ≤ |cos v| + e over the interval, and at most 1; sin lies in [−1, 1]."""
    value = np.sin(a.value)
    return value, _of_wave(value, np.cos(a.value), a.error)


def cos(a: Operand) -> Moved:
    """|cos′| = |sin| ≤ |sin v| + e over the interval, and at most 1; cos lies in [−1, 1]."""
    value = np.cos(a.value)
    return value, _of_wave(value, np.sin(a.value), a.error)


def _of_wave(value: Array, slope: Array, error: Array) -> Array:
    steepest = np.minimum(np.abs(slope) * (1 + OUTWARDS) + error, 1)
    return np.minimum(error * steepest, 1 + np.abs(value))


def tanh(a: Operand) -> Moved:
    """|tanh′| = 1 − tanh², largest at the point of the interval nearest 0."""
    value = np.tanh(a.value)
    nearest = np.cosh(np.minimum(nearest_to_0(a), 350.0))
    return value, np.minimum(a.error / (nearest * nearest), 1 + np.abs(value))


def sigmoid(a: Operand) -> Moved:
    """σ′ = σ(x) σ(−x), largest at the point of the interval nearest 0.

    With t = e^−|x| that slope is t / (1 + t)².
    """
    value = FUNCTIONS["sigmoid"](a.value)
    t = np.exp(-nearest_to_0(a))
    return value, np.minimum(a.error * (t / np.square(1 + t)), np.maximum(value, 1 - value))


def softplus(a: Operand) -> Moved:
    """softplus′ = σ, largest at the upper end of the interval."""
    top = a.value + a.error + OUTWARDS * np.abs(a.value)
    return FUNCTIONS["softplus"](a.value), a.error * FUNCTIONS["sigmoid"](top)


def erf(a: Operand) -> Moved:
    """erf′ = 2/√π e^−x², largest at the point of the interval nearest 0."""
    value = FUNCTIONS["erf"](a.value)
    slope = SLOPE_OF_ERF * np.exp(-np.square(nearest_to_0(a)))
    return value, np.minimum(a.error * slope, 1 + np.abs(value))


def erfc(a: Operand) -> Moved:
    """As ``erf``; erfc lies in [0, 2]."""
    value = FUNCTIONS["erfc"](a.value)
    slope = SLOPE_OF_ERF * np.exp(-np.square(nearest_to_0(a)))
    return value, np.minimum(a.error * slope, np.maximum(value, 2 - value))
