"""Initializers: their contract, ours and Keras', and that a breach of it is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from agreement.contracts import breaches, known_breach, own_draw, reference_draw
from manual_backprop.catalogue import every_variant
from manual_backprop.initializers import (
    INITIALIZERS,
    Constant,
    Identity,
    Ones,
    Orthogonal,
    PositiveUniform,
    RandomNormal,
    RandomUniform,
    SmallNormal,
    TruncatedNormal,
    UnitUniform,
    VarianceScaling,
    WeightInitializer,
    Zeros,
)

EVERY = every_variant(INITIALIZERS)
OWN = (UnitUniform, PositiveUniform, SmallNormal)
IN_KERAS = [x for x in EVERY if not isinstance(x, OWN)]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@DTYPES
@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_our_draws_keep_the_contract(initializer: WeightInitializer, dtype: str) -> None:
    """Shape, dtype, range, moments and seeding are what the initializer declares."""
    assert breaches(initializer, own_draw(initializer), dtype) == []


@DTYPES
@pytest.mark.parametrize("initializer", IN_KERAS, ids=repr)
def test_keras_keeps_the_same_contract(initializer: WeightInitializer, dtype: str) -> None:
    """Keras' initializer has the same range and moments, but for what a finding expects."""
    found = breaches(initializer, reference_draw(initializer), dtype)
    assert bool(found) == (known_breach(initializer, dtype) is not None), found


def test_what_draws_nothing_declares_exactly_what_it_gives() -> None:
    """Zeros, ones, and a diagonal of either sign: limits and moments are the weights' own."""
    for initializer in (Zeros(), Ones(), Constant(-0.5), Identity(), Identity(-0.5), Identity(3.0)):
        weights = initializer((3, 5), np.random.default_rng(0), np.dtype("float64"))
        assert initializer.limits((3, 5)) == (weights.min(), weights.max())
        assert initializer.moments((3, 5)) == pytest.approx((weights.mean(), weights.std()))
    for kind, number in ((Zeros, 0.0), (Ones, 1.0)):
        weights = kind()((2, 3), np.random.default_rng(0), np.dtype("float32"))
        assert (weights == number).all()


@pytest.mark.parametrize(
    ("shape", "fan_in", "fan_out"),
    [((3, 5), 3, 5), ((1, 3), 1, 3), ((7,), 7, 7), ((), 1, 1), ((2, 3, 4, 5), 24, 30)],
    ids=str,
)
def test_a_scaled_variance_is_that_of_the_paper(
    shape: tuple[int, ...], fan_in: int, fan_out: int
) -> None:
    """2 / (both fans), 2 / fan_in and 1 / fan_in; axes in front multiply both."""
    expected = {"Glorot": 2 / (fan_in + fan_out), "He": 2 / fan_in, "Lecun": 1 / fan_in}
    for name, variance in expected.items():
        for distribution in ("uniform", "normal"):
            initializer = INITIALIZERS[f"{name.lower()}_{distribution}"]()
            mean, deviation = initializer.moments(shape)
            assert (mean, deviation**2) == (0, pytest.approx(variance))


def test_nothing_can_be_drawn_as_well() -> None:
    """A fan of 0 counts as 1."""
    drawn = VarianceScaling()((0, 2), np.random.default_rng(0), np.dtype("float64"))
    assert drawn.shape == (0, 2)
    assert VarianceScaling(scale=4.0).moments((0, 2)) == (0, 2)


def test_axes_of_fans_count_if_both_are_given() -> None:
    """As in Keras; one of them alone is not looked at."""
    given = {"input_axes": (1,), "output_axes": (0,)}
    shape, usual = (2, 3, 5), VarianceScaling().moments((2, 3, 5))
    assert VarianceScaling(**given).moments(shape) == (0, pytest.approx((1 / 3) ** 0.5))
    for name, axes in given.items():
        assert VarianceScaling(**{name: axes}).moments(shape) == usual


def test_a_truncated_normal_draws_again_what_lies_beyond_the_cut() -> None:
    """A number at the cut stays; the others are scaled as they are."""

    class Drawing:
        given = ([0.5, 2.25, -2.0, -3.0], [2.5, -1.0], [2.0])

        def __init__(self) -> None:
            self.rest = iter(self.given)

        def standard_normal(self, shape: object) -> np.ndarray:
            return np.array(next(self.rest))

    drawn = TruncatedNormal(1.0, 2.0)((4,), Drawing(), np.dtype("float64"))
    assert drawn.tolist() == [2.0, 5.0, -3.0, -1.0]


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_an_initializer_cannot_be_changed(initializer: WeightInitializer) -> None:
    """Several layers may hold the same one."""
    limits = initializer.limits((4, 3))
    for name in initializer.arguments:
        with pytest.raises(FrozenInstanceError):
            setattr(initializer, name, None)
    assert initializer.limits((4, 3)) == limits


@pytest.mark.parametrize("shape", [(5, 3), (3, 3), (2, 2, 3)], ids=str)
def test_the_sign_that_qr_leaves_open_is_that_of_its_diagonal(shape: tuple[int, ...]) -> None:
    """With these signs the matrix is uniform: it turns the drawn one into a positive diagonal."""
    for seed in range(10):
        normal = np.random.default_rng(seed).standard_normal((np.prod(shape[:-1]), shape[-1]))
        q = Orthogonal()(shape, np.random.default_rng(seed), np.dtype("float64"))
        assert (np.diagonal(q.reshape(normal.shape).T @ normal) > 0).all()


WRONG: dict[str, tuple[WeightInitializer, Callable]] = {
    "range": (RandomUniform(), lambda x: x * 1.001 + np.sign(x) * 1e-4),
    "mean": (RandomNormal(), lambda x: x + x.dtype.type(0.05 * 7 / 80)),
    "variance": (RandomNormal(), lambda x: x * x.dtype.type(1.1)),
    "not cut": (TruncatedNormal(), lambda x: x * x.dtype.type(1.1)),
    "fan": (VarianceScaling(), lambda x: x * x.dtype.type(np.sqrt(2))),
    "not orthogonal": (Orthogonal(), lambda x: x + x.dtype.type(1e-2) * x[::-1, ::-1]),
    "not the identity": (Identity(), lambda x: x[::-1] * 2),
    "not a number": (
        RandomNormal(),
        lambda x: np.where(np.arange(x.size).reshape(x.shape), x, np.nan),
    ),
    "dtype": (RandomNormal(), lambda x: x.astype(np.float16)),
    "shape": (RandomNormal(), lambda x: x.T),
}


@pytest.mark.parametrize("breach", WRONG)
def test_a_breach_of_the_contract_is_seen(breach: str) -> None:
    """Each planted breach is reported."""
    initializer, spoil = WRONG[breach]
    draw = own_draw(initializer)
    found = breaches(initializer, lambda *given: spoil(draw(*given)), "float32")
    assert found, breach


def test_a_seed_that_is_ignored_is_seen() -> None:
    """Numbers that do not repeat, and numbers that always repeat, breach the contract."""
    generator = np.random.default_rng(0)
    initializer = RandomNormal()

    def anew(shape, dtype, seed):
        return initializer(shape, generator, np.dtype(dtype))

    def always(shape, dtype, seed):
        return own_draw(initializer)(shape, dtype, 0)

    assert "gives other numbers for the same seed" in breaches(initializer, anew, "float32")
    assert "gives the same numbers for another seed" in breaches(initializer, always, "float32")


@pytest.mark.parametrize("arguments", [{"scale": 0.0}, {"mode": "fan"}, {"distribution": "cauchy"}])
def test_unusable_arguments_are_named(arguments: dict) -> None:
    """An argument outside its choices is a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        VarianceScaling(**arguments)


def test_shapes_without_a_diagonal_or_sides_are_refused() -> None:
    """The identity needs a matrix, an orthogonal matrix at least two sizes."""
    generator, dtype = np.random.default_rng(0), np.dtype("float32")
    for initializer in (Identity(), Orthogonal()):
        with pytest.raises(ValueError, match="shape"):
            initializer((3,), generator, dtype)
