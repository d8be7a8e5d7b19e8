"""Large tensors are judged block by block, and found what they are found whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agreement import figures
from agreement.figures import figures_of
from agreement.strategies import seeds

CHOICES = np.array([0.0, -0.0, 1.0, -2.5, 1e-30, 1e300, np.inf, -np.inf, np.nan])
ERRORS = np.array([0.0, 1e-7, 0.5, 1e200, np.inf])


@given(
    seed=seeds(),
    size=st.integers(2, 300),
    nice=st.booleans(),
    silent=st.booleans(),
)
@example(seed=0, size=64, nice=True, silent=False)
def test_blocks_give_what_the_whole_gives(seed: int, size: int, nice: bool, silent: bool) -> None:
    """Every figure, with zeros, ties, infinities and NaN among the numbers."""
    generator = np.random.default_rng(seed)
    value = generator.normal(size=size)
    error = np.abs(generator.normal(size=size)) * 1e-3
    actual = value + error * generator.uniform(-1.1, 1.1, size)
    if not nice:
        value[generator.random(size) < 0.1] = 0.0
        actual = np.where(generator.random(size) < 0.2, generator.choice(CHOICES, size), actual)
        error = np.where(generator.random(size) < 0.5, generator.choice(ERRORS, size), error)
    quiet = np.isnan(actual) if silent else None
    whole = figures_of(value, error, actual, quiet, [size])
    with pytest.MonkeyPatch.context() as patch:
        by_blocks(patch)
        patched = figures_of(value, error, actual, quiet, [size])
    for name, one, other in zip(whole._fields, whole, patched, strict=True):
        assert np.array_equal(one, other, equal_nan=True), name


def by_blocks(patch: pytest.MonkeyPatch) -> None:
    """So that few numbers are many."""
    for name, size in (("BLOCK", 16), ("SAMPLE", 8), ("MARGIN", 2)):
        patch.setattr(figures, name, size)


def test_several_tensors_and_stacks_of_them_are_no_large_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has its own figures, however many numbers there are together."""
    by_blocks(monkeypatch)
    value, error = np.arange(1.0, 61.0), np.arange(60.0, 0.0, -1.0)
    together = figures_of(value, error, value, None, [20, 40])
    assert together.floor.tolist() == [51 / 20, 21 / 60]
    rows = (np.stack([x, 2 * x]) for x in (value, error, value))
    stacked = figures_of(*rows, None, [60])
    assert stacked.largest_floor.tolist() == [[1.0], [1.0]]
    assert stacked.floor.tolist() == [[31 / 60], [62 / 120]]


def test_a_large_tensor_of_zeros_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of ones is not."""
    by_blocks(monkeypatch)
    for number in (0.0, 1.0, -1.0):
        x = np.full(64, number)
        assert figures_of(x, np.ones(64), x, None, [64]).zero.tolist() == [number == 0]


@pytest.mark.parametrize("below", range(57))
def test_the_median_is_exact_however_far_off_the_sample_is(
    below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every eighth number is known; of the others so many lie below, and the rest above."""
    by_blocks(monkeypatch)
    x = np.r_[np.arange(8.0), np.full(below, -1.0), np.full(56 - below, 9.0)]
    x = np.concatenate([x[:8, None], x[8:].reshape(8, 7)], axis=1).ravel()
    assert figures._upper_median(x) == np.sort(x)[32]


@pytest.mark.parametrize("order", ["sorted", "alternating", "equal", "infinite"])
def test_the_median_of_many_is_exact_in_any_order(order: str) -> None:
    """Also where a sample misleads, which takes every so-and-so-many-th number."""
    x = np.random.default_rng(0).exponential(size=1 << 16)
    if order == "sorted":
        x.sort()
    elif order == "alternating":
        x[:: x.size // figures.SAMPLE] += 1e3
    elif order == "equal":
        x[:] = 3.0
    else:
        x[: x.size // 2] = np.inf
    assert figures._upper_median(x) == np.sort(x)[x.size // 2]
