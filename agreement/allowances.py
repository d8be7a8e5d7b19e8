"""How far library implementations of elementwise functions stray from the true value.

The one table of its kind here; `python benchmarks/allowances.py` measures every row again.
Relative parts are in units of the unit roundoff u (an ulp is between u and 2u), absolute
parts in units of the smallest normal number (results there may be flushed to zero).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Allowance(NamedTuple):
    """What a correct implementation may differ by from the true value f(x)."""

    relative: float
    absolute: float = 1.0


# function: (float32, float64); see the module's docstring for the measurement.
MEASURED: dict[str, tuple[Allowance, Allowance]] = {
    "exact": (Allowance(0.0, 0.0), Allowance(0.0, 0.0)),
    "rounded": (Allowance(1.0), Allowance(1.0)),
    # 3u: XLA turns x / c into x · (1/c), two more roundings.
    "divide": (Allowance(3.0), Allowance(3.0)),
    "sqrt": (Allowance(2.0), Allowance(2.0)),
    "exp": (Allowance(4.0), Allowance(4.0)),
    "expm1": (Allowance(12.0), Allowance(12.0)),
    "log": (Allowance(6.0), Allowance(6.0)),
    "log1p": (Allowance(10.0), Allowance(10.0)),
    "tanh": (Allowance(16.0), Allowance(16.0)),
    "sigmoid": (Allowance(16.0), Allowance(16.0)),
}


def allowance(function: str, dtype: np.dtype[Any]) -> Allowance:
    """The allowance of a function in float32 or float64."""
    single, double = MEASURED[function]
    return single if dtype.itemsize <= 4 else double
