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
    for name, size in (("BLOCK", 16), ("SAMPLE", 8), ("SPARSE", 1), ("DEVIATIONS", 1)):
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


def test_the_median_is_exact_whatever_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it lies among or beside what eight numbers of a few dozen tell."""
    by_blocks(monkeypatch)
    for seed in range(300):
        generator = np.random.default_rng(seed)
        x = generator.integers(generator.integers(2, 90), size=generator.integers(17, 65)) * 1.0
        assert figures._upper_median(x) == np.sort(x)[x.size // 2], seed


@pytest.mark.parametrize("smaller", [0, 1, 100, (1 << 15) - 1, 1 << 15, (1 << 15) + 1])
@pytest.mark.parametrize("tied", [0, 2, 100, (1 << 15) - 1, 1 << 15, (1 << 15) + 1])
def test_the_median_of_many_is_exact_with_any_ties(smaller: int, tied: int) -> None:
    """Ties below, about and above the median, which a sample's ends may be among."""
    x = np.random.default_rng(0).exponential(size=1 << 16) + 2.0
    x[:tied] = 1.0
    x[tied : tied + smaller] *= 1e-3
    assert figures._upper_median(x) == np.sort(x)[x.size // 2]
    assert figures._upper_median(-x) == np.sort(-x)[x.size // 2]


@pytest.mark.parametrize("deviations", [0, 1, 6])
def test_the_median_of_many_is_exact_where_a_sample_misleads(deviations: int) -> None:
    """Without a margin, or with hardly one, it lies beyond what the sample tells."""
    x = np.random.default_rng(0).permutation(np.repeat([1.0, 2.0, np.inf], [30000, 5536, 30000]))
    x[:3000] += np.random.default_rng(1).random(3000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "SAMPLE", 8)
        patch.setattr(figures, "DEVIATIONS", deviations)
        for numbers in (x, -x, np.arange(1 << 16) % 997.0, np.full(1 << 16, np.inf)):
            assert figures._upper_median(numbers) == np.sort(numbers)[numbers.size // 2]
