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
@example(seed=146, size=121, nice=False, silent=False)  # NaN beside larger numbers
def test_blocks_give_what_the_whole_gives(seed: int, size: int, nice: bool, silent: bool) -> None:
    """Every figure but the floor, with zeros, ties, infinities and NaN among the numbers."""
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
        if name != "floor":  # of a sample
            assert np.array_equal(one, other, equal_nan=True), name


def by_blocks(patch: pytest.MonkeyPatch) -> None:
    """So that few numbers are many."""
    for name, size in (("BLOCK", 16), ("SAMPLE", 8)):
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


def test_a_large_tensor_that_agrees_has_the_largest_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of its elements, as a small one; without errors and differences it is 0."""
    by_blocks(monkeypatch)
    value, error = np.arange(1.0, 65.0), np.resize([0.0, 0.25, 2.0**-20], 64)
    found = figures_of(value, error, value + error / 2, None, [64])
    assert (found.ratio.tolist(), found.wrong.tolist()) == ([0.5], [0])
    assert figures_of(value, 0 * error, value, None, [64]).ratio.tolist() == [0.0]
    found = figures_of(value, error + 1, value + 2 * (error + 1), None, [64])
    assert (found.ratio.tolist(), found.wrong.tolist()) == ([2.0], [64])


def test_an_error_of_half_the_scale_is_blunt_in_a_large_tensor_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one block alone, and only from exactly half on."""
    by_blocks(monkeypatch)
    value, error = np.full(64, 0.25), np.full(64, 0.0625)
    error[20], error[40] = 0.125, np.nextafter(0.125, 0)
    found = figures_of(value, error, value, None, [64])
    assert (found.blunt.tolist(), found.largest_floor.tolist()) == ([1], [0.5])


@pytest.mark.parametrize("shape", [(4097,), (1 << 16,), (1 << 17, 3)])
def test_the_floor_of_a_large_tensor_is_that_of_a_sample(shape: tuple[int, ...]) -> None:
    """An error whose rank is two in a hundred from the middle at most, also where rows repeat."""
    for error in (
        np.random.default_rng(0).exponential(size=shape),
        np.broadcast_to(np.arange(1.0, shape[-1] + 1), shape) % 64,
        np.arange(1.0, np.prod(shape) + 1) % 512,
    ):
        error = np.ravel(error)
        value = np.full(error.size, 1e4)
        floor = figures_of(value, error, value, None, [error.size]).floor * 1e4
        below, up_to = (np.mean(error < floor * (1 - 1e-9)), np.mean(error <= floor * (1 + 1e-9)))
        assert below <= 0.52
        assert up_to >= 0.48


def test_silent_elements_of_a_large_tensor_count_as_infinite_errors() -> None:
    """Of which half are enough for an infinite floor."""
    value, error = np.ones(1 << 14), np.full(1 << 14, 1e-3)
    for silent_share, is_finite in ((0.4, True), (0.6, False)):
        silent = np.arange(value.size) < silent_share * value.size
        found = figures_of(value, error, value, silent, [value.size])
        assert bool(np.isfinite(found.floor).all()) == is_finite
