"""The elementwise functions that NumPy lacks, against Python's ``math``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agreement.allowances import allowance
from manual_backprop import special

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@DTYPES
@pytest.mark.parametrize("name", ["erf", "erfc"])
def test_error_functions_keep_their_digits_in_every_range(name: str, dtype: Any) -> None:
    """Within the allowance of a function of the exact argument, tails and seams included."""
    x = np.concatenate([np.linspace(-6, 6, 2401), np.linspace(6, 26, 801), [0.46875, 4.0]])
    x = x.astype(dtype)
    truth = np.array([getattr(math, name)(v) for v in x.tolist()])
    normal = np.abs(truth) >= np.finfo(dtype).tiny
    error = np.abs(getattr(special, name)(x).astype(float) - truth)[normal]
    allowed = allowance(name, np.dtype(dtype)).relative * np.finfo(dtype).eps / 2
    assert (error <= allowed * np.abs(truth[normal])).all()


@pytest.mark.parametrize("name", special.FUNCTIONS)
@pytest.mark.parametrize("extreme", [np.inf, -np.inf, 0.0, -0.0, np.nan, 1e300, -1e300])
def test_far_from_zero_functions_are_at_their_limits(name: str, extreme: float) -> None:
    """Without a warning, and with the sign of a zero; NaN stays NaN."""
    limits = {
        "sigmoid": lambda x: 0.5 if x == 0 else float(x > 0),
        "softplus": lambda x: math.log(2) if x == 0 else max(x, 0.0),
        "root": lambda x: math.sqrt(max(x, 0.0)),
        "erf": math.erf,
        "erfc": math.erfc,
    }
    expected = math.nan if math.isnan(extreme) else limits[name](extreme)
    with np.errstate(all="raise", under="ignore"):
        found = special.FUNCTIONS[name](np.array([extreme]))
    np.testing.assert_array_equal(found, [expected])
    if name == "erf":
        assert np.signbit(found).tolist() == [math.copysign(1, expected) < 0]


def test_the_root_of_what_rounding_made_negative_is_zero() -> None:
    """However little or much it is below."""
    x = np.array([-1e-300, -1e-20, -0.5, -1.0, 4.0])
    np.testing.assert_array_equal(special.root(x), [0, 0, 0, 0, 2])


@pytest.mark.parametrize("name", special.FUNCTIONS)
def test_half_precision_is_single_precision_rounded_once(name: str) -> None:
    """Between all of -9 and 9, and in no other format than the given one."""
    function = special.FUNCTIONS[name]
    half = np.linspace(-9, 9, 1153).astype(np.float16)
    found = function(half)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, function(half.astype(np.float32)).astype(np.float16))
    for dtype in (np.float32, np.float64):
        assert function(half.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "root", "erf", "erfc"])
def test_an_array_type_of_its_own_is_asked_for_its_rule(name: str) -> None:
    """By the function's name, whether it is called by the module or from the table."""

    class Mine:
        def special(self, asked: str) -> str:
            return f"mine: {asked}"

    assert getattr(special, name) is special.FUNCTIONS[name]
    assert special.FUNCTIONS[name](Mine()) == f"mine: {name}"
