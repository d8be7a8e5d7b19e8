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


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_an_initializer_cannot_be_changed(initializer: WeightInitializer) -> None:
    """Several layers may hold the same one."""
    for name in initializer.arguments:
        with pytest.raises(FrozenInstanceError):
            setattr(initializer, name, None)


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
