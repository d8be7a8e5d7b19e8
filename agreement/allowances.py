"""How far library implementations of elementwise functions stray from the true value.

The one table of its kind here; `python benchmarks/allowances.py` measures every row again.
Relative parts are in units of the unit roundoff u (an ulp is between u and 2u), absolute
parts in units of the smallest normal number (results there may be flushed to zero).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Allowance(NamedTuple):
    """What a correct implementation may differ by from the true value f(x).

    Attributes:
        relative: in u of f(x).
        absolute: in smallest normal numbers.
        argument: in u of x, rounded before f takes it. It is for functions whose tails lose
            digits so, and is derived, not measured.
    """

    relative: float
    absolute: float = 1.0
    argument: float = 0.0


# function: (float32, float64), about 1.3 times the worst that was measured over NumPy and
# TensorFlow 2.21 eager, graph and XLA. The worst in u stands behind each row.
MEASURED: dict[str, tuple[Allowance, Allowance]] = {
    "exact": (Allowance(0.0, 0.0), Allowance(0.0, 0.0)),
    "rounded": (Allowance(1.0), Allowance(1.0)),
    # 1.9, 1.5: graph and XLA turn x / c into x · (1/c), two more roundings.
    "divide": (Allowance(3.0), Allowance(3.0)),
    # Derived: a division, of an e^x that is not quite the one in the sum. TensorFlow's sparse
    # cross-entropy computes each twice, by its routines for one number and for several.
    "share": (Allowance(8.0 + 8.0 + 3.0), Allowance(4.0 + 4.0 + 3.0)),
    "sqrt": (Allowance(1.0), Allowance(1.0)),  # 1.0, 1.0
    # Derived: m √(1 + (n/m)²) is a quotient, a square, a sum, a root, which halves their errors,
    # and a product.
    "hypot": (Allowance(5.0), Allowance(5.0)),
    "exp": (Allowance(8.0), Allowance(4.0)),  # 5.5 (XLA, just below overflow), 2.3
    "expm1": (Allowance(10.0), Allowance(8.0)),  # 7.0, 5.4 (XLA)
    "log": (Allowance(7.0), Allowance(4.0)),  # 4.6 (NumPy), 2.2 (eager)
    # 5.3, 4.0 (eager). A finding: XLA in float64 loses up to 241 u on (−0.4143, −0.32).
    "log1p": (Allowance(8.0), Allowance(6.0)),
    "tanh": (Allowance(9.0), Allowance(12.0)),  # 6.1, 8.2 (eager)
    "sigmoid": (Allowance(12.0), Allowance(5.0)),  # 8.4, 3.5 (eager)
    "softplus": (Allowance(12.0), Allowance(12.0)),  # 8.0 (XLA), 7.6
    "erf": (Allowance(11.0), Allowance(6.0)),  # 6.7, 4.1 (NumPy)
    # 11.1, 12.7 (eager). XLA computes e^−x² from a rounded x², as if x were off by u/2, and loses
    # 65 u at 8, 508 u at 24; likewise sinh and cosh from e^(x − log 2): 25 u and 497 u.
    "erfc": (Allowance(16.0, 1.0, 0.5), Allowance(18.0, 1.0, 0.5)),
    # Without that part erfc: 10.5, 11.2; sinh: 6.2, 4.5 (XLA, near 0.5); cosh: 3.0, 2.5.
    "sinh": (Allowance(9.0, 1.0, 1.0), Allowance(7.0, 1.0, 1.0)),
    "cosh": (Allowance(5.0, 1.0, 1.0), Allowance(4.0, 1.0, 1.0)),
    # 4.7, 2.1 (eager). In float64 eager loses up to 1.3 u |log a^p| more: see its rule.
    "pow": (Allowance(6.0), Allowance(3.0)),
    "exp2": (Allowance(5.0), Allowance(3.0)),  # 2.9 (NumPy), 2.0 (eager)
    "log2": (Allowance(7.0), Allowance(5.0)),  # 4.6, 3.0 (graph)
    "log10": (Allowance(8.0), Allowance(6.0)),  # 5.3, 4.2 (graph)
    "sin": (Allowance(4.0), Allowance(2.0)),  # 2.9, 1.0 (eager)
    "cos": (Allowance(4.0), Allowance(2.0)),  # 2.7, 1.1 (eager)
}


# Most functions of half types are float32 results, rounded once: 1.00 on all 65,536 numbers.
ROUNDED_ONCE = Allowance(1.01)
# function: (float16, bfloat16), what was measured on all numbers and shapes, and those that round
# on the way. The absolute part of float16 is in units of its smallest number, as is its underflow.
HALF: dict[str, tuple[Allowance, Allowance]] = {
    "exact": MEASURED["exact"],
    "divide": (Allowance(3.0), Allowance(3.0)),  # 1.5, 1.9 (graph)
    "hypot": (Allowance(5.0), Allowance(5.0)),
    # 2.2, 2.2 (eager). In float16 XLA's e^-x overflows at -11.1: 0 instead of 1.5e-5, 256 units.
    "sigmoid": (Allowance(3.0, 300.0), Allowance(3.0)),
    "softplus": (Allowance(4.0), Allowance(9.0)),  # 3.0 (XLA), 7.6 (eager)
    "log1p": (Allowance(3.0), Allowance(1.01)),  # 2.3 (XLA)
    "expm1": (Allowance(3.0), Allowance(1.01)),  # 2.3 (XLA)
    "log2": (Allowance(3.0), Allowance(3.0)),  # 2.3, 2.3 (eager)
    "log10": (Allowance(3.0), Allowance(3.0)),  # 1.9, 2.5 (graph)
}


def allowance(function: str, dtype: np.dtype[Any]) -> Allowance:
    """The allowance of a function in float16, bfloat16, float32 or float64."""
    if dtype.itemsize == 2:
        half, brain = HALF.get(function, (ROUNDED_ONCE, ROUNDED_ONCE))
        return half if dtype == np.float16 else brain
    single, double = MEASURED[function]
    return single if dtype.itemsize == 4 else double
