"""Dual numbers know every operation that bounds know, and derive it as differences do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from containment import OPERATIONS, Carrying

from agreement import derivatives, dual, functions, rules, ufuncs
from agreement.dual import DualArray
from agreement.ties import Run
from manual_backprop.typing import Array

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
WORK = np.dtype(np.longdouble)
STEP = WORK.type(2.0**-20)


class Exact(Carrying):
    """Computing in the extended format, in NumPy's own order."""


def derived_wrongly(name: str, seed: int = 0) -> str:
    """What is wrong with an operation's derivative in one direction; empty if nothing.

    A central difference D(h) is off by c h², so |D(2h) − D(h)| = 3 c h² exceeds its error; and
    rounding adds a few u |f| / h, more where an operation cancels.
    """
    generator = np.random.default_rng(seed)
    at, direction = generator.uniform(0.1, 2, (2, 3, 3, 4)).astype(WORK)
    at[1:] -= 0.7

    def value(h: float) -> Array:
        return np.asarray(OPERATIONS[name](Exact(), *(at + h * direction)), WORK)

    run = Run(WORK)
    arrays = [DualArray(x, d[None], run, WORK) for x, d in zip(at, direction, strict=True)]
    found = OPERATIONS[name](Exact(), *arrays)
    rounding = 1e3 * np.finfo(WORK).eps * (1 + np.abs(value(0)))
    if (np.abs(found.value - value(0)) > rounding).any():
        return f"{found.value}, not {value(0)}"
    near, far = ((value(h) - value(-h)) / (2 * h) for h in (STEP, 2 * STEP))
    if (np.abs(found.tangents[0] - near) <= np.abs(far - near) + rounding / STEP).all():
        return ""
    return f"{found.tangents[0]}, difference {near}"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_dual_numbers_derive_every_operation(name: str) -> None:
    """Values are NumPy's own, and tangents are directional derivatives."""
    for seed in range(3):
        assert not derived_wrongly(name, seed)


def test_dual_numbers_know_what_bounds_know() -> None:
    """Every ufunc, special function and NumPy function with a bound has a derivative."""
    others = {np.absolute, np.fabs, np.matmul, np.vecdot}
    known = others | derivatives.CONSTANT | set(derivatives.DERIVATIVES) | set(derivatives.CHOICES)
    assert not {*rules.UFUNCS, *ufuncs.COMPOSED} - known
    assert set(rules.SPECIAL) == set(derivatives.SPECIAL_DERIVATIVES)
    assert set(functions.FUNCTIONS) == set(dual.FUNCTIONS)


def scaled(slopes: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    return lambda *args: tuple(slope * 1.001 for slope in slopes(*args))


@pytest.mark.parametrize(
    "ufunc", sorted(derivatives.DERIVATIVES, key=str), ids=lambda u: u.__name__
)
def test_a_derivative_that_is_off_by_a_thousandth_is_caught(
    ufunc: np.ufunc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each derivative that is not zero is tried."""
    names = [
        name
        for name in (ufunc.__name__, f"{ufunc.__name__} of positive", "power 3")
        if name in OPERATIONS
    ]
    monkeypatch.setitem(derivatives.DERIVATIVES, ufunc, scaled(derivatives.DERIVATIVES[ufunc]))
    steps = ufunc in derivatives.STEPS and ufunc is not np.copysign
    assert steps or any(derived_wrongly(name) for name in names)
