r"""Elementwise functions that NumPy lacks, dispatching like ufuncs on the array's type.

An array type of its own is asked for its rule by the method ``special``. Every function here
works in the dtype that it is given, in float16 and bfloat16 (which has no coefficients to
spare) by rounding a float32 result, as the libraries do.

The error functions follow W. J. Cody, *Rational Chebyshev approximations for the error
function*, Mathematics of Computation 23 (1969), 631-637, with the coefficients of his routine
CALERF (SPECFUN, netlib.org/specfun/erf); they are good to 18 digits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from manual_backprop.typing import Array

# function: safe evaluation by name, for array types that evaluate their own centre.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {}


def _dispatching(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Ask array types for their own rule; compute half precision in float32."""
    name = function.__name__

    @functools.wraps(function)
    def dispatching(x: Any) -> Any:
        special = getattr(x, "special", None)
        if special is not None:
            return special(name)
        x = np.asarray(x)
        if x.dtype.itemsize == 2:
            return function(x.astype(np.float32)).astype(x.dtype)
        return function(x)

    FUNCTIONS[name] = dispatching
    return dispatching


@_dispatching
def sigmoid(x: Array) -> Array:
    r"""The logistic function 1 / (1 + e⁻ˣ), without overflow for any ``x``.

    (1) x ≥ 0: 1 / (1 + e⁻ˣ)
    (2) x < 0: eˣ / (1 + eˣ), the same number with both parts multiplied by eˣ
    With t = e^−|x| ≤ 1 both read {1 or t} / (1 + t).
    """
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(t), t) / (1 + t)  # (1) and (2)


@_dispatching
def softplus(x: Array) -> Array:
    r"""log(1 + eˣ), without overflow for any ``x``; log σ(x) is −softplus(−x).

    (1) log(1 + eˣ) = log(eˣ (e⁻ˣ + 1)) = x + log(1 + e⁻ˣ)
    With t = e^−|x| ≤ 1 both sides read max(x, 0) + log(1 + t).
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))  # (1)


@_dispatching
def root(x: Array) -> Array:
    """√max(x, 0): the root of what is not negative, whatever rounding makes of it."""
    return np.sqrt(np.maximum(x, 0))


# Numerators and denominators, highest power first. CALERF stores a numerator's leading
# coefficient last, and a denominator's, a 1, not at all. Digits that float64 cannot hold serve
# the extended format.
NEAR = (
    "1.85777706184603153e-1 3.16112374387056560 1.13864154151050156e2 3.77485237685302021e2 "
    "3.20937758913846947e3",
    "1 2.36012909523441209e1 2.44024637934444173e2 1.28261652607737228e3 2.84423683343917062e3",
)
MIDDLE = (
    "2.15311535474403846e-8 5.64188496988670089e-1 8.88314979438837594 6.61191906371416295e1 "
    "2.98635138197400131e2 8.81952221241769090e2 1.71204761263407058e3 2.05107837782607147e3 "
    "1.23033935479799725e3",
    "1 1.57449261107098347e1 1.17693950891312499e2 5.37181101862009858e2 1.62138957456669019e3 "
    "3.29079923573345963e3 4.36261909014324716e3 3.43936767414372164e3 1.23033935480374942e3",
)
FAR = (
    "1.63153871373020978e-2 3.05326634961232344e-1 3.60344899949804439e-1 1.25781726111229246e-1 "
    "1.60837851487422766e-2 6.58749161529837803e-4",
    "1 2.56852019228982242 1.87295284992346725 5.27905102951428412e-1 6.05183413124413191e-2 "
    "2.33520497626869185e-3",
)
NEAR_END, MIDDLE_END = 0.46875, 4.0
FARTHEST = 200.0  # erfc is 0 from here on, in the extended format as well
ROOT_PI = "1.772453850905516027298167483341145182798"


@functools.cache
def _coefficients(kind: Any) -> Array:
    """All coefficients as (power, numerator or denominator, range), with zeros in front."""
    table = np.zeros((9, 2, 3), kind)
    for at, ratio in enumerate((NEAR, MIDDLE, FAR)):
        for part, row in enumerate(ratio):
            numbers = [kind(number) for number in row.split()]
            table[-len(numbers) :, part, at] = numbers
    return table


def _erf_parts(x: Array) -> tuple[Array, Array, Array]:
    r"""Where |x| ≤ 0.46875, erf x there, and erfc |x| elsewhere; anything in the other places.

    With y = |x| and R another ratio of polynomials in each range:
    (1) y ≤ 0.46875: erf x = x R(y²)
    (2) y ≤ 4: erfc y = e^−y² R(y)
    (3) y > 4: erfc y = e^−y² (1/√π − R(1/y²)/y²) / y
    (4) Rounding y² would cost y² u: with h, y cut to sixteenths, e^−y² = e^−h² e^−(y−h)(y+h),
        where h² is exact.
    """
    y = np.minimum(np.abs(x), FARTHEST)
    near, far = y <= NEAR_END, y > MIDDLE_END
    square = y * y
    argument = np.where(far, 1 / np.maximum(square, 1), np.where(near, square, y))
    first, *rows = _coefficients(x.dtype.type)
    which = 1 - near.astype(np.intp) + far
    total = first.take(which, axis=-1)
    for row in rows:  # Horner's rule
        total = total * argument + row.take(which, axis=-1)
    ratio = total[0] / total[1]
    farther = (1 / x.dtype.type(ROOT_PI) - argument * ratio) / np.maximum(y, MIDDLE_END)  # (3)
    h = np.trunc(y * 16) / 16
    decay = np.exp(-h * h) * np.exp(-(y - h) * (y + h))  # (4)
    return near, x * ratio, decay * np.where(far, farther, ratio)  # (1), (2)


@_dispatching
def erf(x: Array) -> Array:
    r"""The error function 2/√π ∫₀ˣ e^−t² dt; beyond 0.46875, 1 − erfc |x| with the sign of x."""
    near, inside, tail = _erf_parts(x)
    return np.where(near, inside, np.copysign(1 - tail, x))


@_dispatching
def erfc(x: Array) -> Array:
    r"""1 − erf x, also where erf x is nearly 1; erfc −x = 2 − erfc x.

    The normal distribution function is Φ(x) = erfc(−x/√2) / 2, with every digit in its tail.
    """
    near, inside, tail = _erf_parts(x)
    return np.where(near, 1 - inside, np.where(x < 0, 2 - tail, tail))
