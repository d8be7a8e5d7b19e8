"""Activations made of pieces, and algebraic ones: by hand, at their kinks and ends, and Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement.dual import DualArray
from agreement.function_cases import special_points
from agreement.function_check import check_function, expected
from agreement.ties import Run
from agreement.verdicts import Verdict
from manual_backprop.activations import (
    ACTIVATIONS,
    Activation,
    Celu,
    HardShrink,
    HardSigmoid,
    HardSilu,
    HardTanh,
    LeakyRelu,
    Linear,
    Relu,
    Relu6,
    SoftShrink,
    Softsign,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
    Threshold,
    get,
)
from manual_backprop.catalogue import every_variant
from reference import MODES, functions

KINDS = [
    *(HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu, Linear, Relu, Relu6, SoftShrink),
    *(Softsign, SparsePlus, SparseSigmoid, Squareplus, Threshold),
]
VARIANT = pytest.mark.parametrize(
    "activation", every_variant({kind.name: kind for kind in KINDS}), ids=repr
)
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
INF = np.inf

# (activation, x, y, ∂y/∂x) by hand; every number is exact in either dtype.
BY_HAND = [
    (Linear(), [-INF, -2, 0, 3], [-INF, -2, 0, 3], [1, 1, 1, 1]),
    (Relu(), [-INF, -2, 0, 3, INF], [0, 0, 0, 3, INF], [0, 0, 0, 1, 1]),
    (Relu(negative_slope=0.5), [-INF, -2, 0, 3], [-INF, -1, 0, 3], [0.5, 0.5, 0.5, 1]),
    (Relu(max_value=2.5), [-1, 0, 1, 2.5, 3, INF], [0, 0, 1, 2.5, 2.5, 2.5], [0, 0, 1, 1, 0, 0]),
    (Relu(max_value=6), [-1, 0, 5, 6, 7], [0, 0, 5, 6, 6], [0, 0, 1, 0, 0]),
    (Relu(max_value=0), [-1, 0, 1], [0, 0, 0], [0, 0, 0]),
    (Relu(threshold=2), [-INF, 1, 2, 3, INF], [0, 0, 0, 3, INF], [0, 0, 0, 1, 1]),
    (Relu(threshold=-2), [-3, -2, -1, 0, 1], [0, 0, -1, 0, 1], [0, 0, 1, 1, 1]),
    (Relu(threshold=1), [0, 0.5, 1, 2], [0, 0, 0, 2], [0, 0, 0, 1]),
    (Relu(threshold=-1), [-2, -1, -0.5, 1], [0, 0, -0.5, 1], [0, 0, 1, 1]),
    (Relu(negative_slope=1), [-2, 3], [-2, 3], [1, 1]),
    (Relu(negative_slope=-1), [-2, 3], [2, 3], [-1, 1]),
    (
        Relu(negative_slope=0.5, max_value=6, threshold=2),
        [-INF, -2, 2, 3, 6, 7, INF],
        [-INF, -2, 0, 3, 6, 6, 6],
        [0.5, 0.5, 0.5, 1, 1, 0, 0],
    ),
    (Relu(threshold=-2, max_value=3), [-3, -2, -1, 3, 4], [0, 0, -1, 3, 3], [0, 0, 1, 1, 0]),
    (Relu6(), [-INF, -1, 0, 5, 6, 7, INF], [0, 0, 0, 5, 6, 6, 6], [0, 0, 0, 1, 0, 0, 0]),
    (LeakyRelu(0.25), [-INF, -4, 0, 3, INF], [-INF, -1, 0, 3, INF], [0.25, 0.25, 0.25, 1, 1]),
    (LeakyRelu(2.0), [-4, 0, 3], [-8, 0, 3], [2, 2, 1]),
    (Threshold(2, 7), [-INF, 1, 2, 3, INF], [7, 7, 7, 3, INF], [0, 0, 0, 1, 1]),
    (HardTanh(), [-INF, -2, -1, 0.5, 1, 2, INF], [-1, -1, -1, 0.5, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]),
    (HardSilu(), [-INF, -4, -3, 0, 3, 4, INF], [0, 0, 0, 0, 3, 4, INF], [0, 0, 0, 0.5, 1, 1, 1]),
    (
        HardSigmoid(),
        [-INF, -4, -3, 0, 3, 4, INF],
        [0, 0, 0, 0.5, 1, 1, 1],
        [0, 0, 0, 1 / 6, 0, 0, 0],
    ),
    (
        SparseSigmoid(),
        [-INF, -2, -1, 0, 0.5, 1, 2, INF],
        [0, 0, 0, 0.5, 0.75, 1, 1, 1],
        [0, 0, 0, 0.5, 0.5, 0, 0, 0],
    ),
    (
        SparsePlus(),
        [-INF, -2, -1, 0, 1, 2, INF],
        [0, 0, 0, 0.25, 1, 2, INF],
        [0, 0, 0, 0.5, 1, 1, 1],
    ),
    (
        HardShrink(2),
        [-INF, -3, -2, 0, 2, 3, INF],
        [-INF, -3, 0, 0, 0, 3, INF],
        [1, 1, 0, 0, 0, 1, 1],
    ),
    (
        SoftShrink(2),
        [-INF, -3, -2, 0, 2, 3, INF],
        [-INF, -1, 0, 0, 0, 1, INF],
        [1, 1, 0, 0, 0, 1, 1],
    ),
    (SoftShrink(-0.5), [-0.5, 0.5], [-1, 1], [1, 1]),
    (Celu(2**-10), [-INF, 1, INF], [-(2**-10), 1, INF], [0, 1, 1]),
    (
        Softsign(),
        [-INF, -1, 0, 1, 3, INF],
        [-1, -0.5, 0, 0.5, 0.75, 1],
        [0, 0.25, 1, 0.25, 1 / 16, 0],
    ),
    (Squareplus(), [-INF, 0, INF], [0, 1, INF], [0, 0.5, 1]),
    (Squareplus(16), [-3, 3], [1, 4], [0.2, 0.8]),
]


@DTYPE
@pytest.mark.parametrize(("activation", "x", "y", "slope"), BY_HAND, ids=repr)
def test_values_and_slopes_by_hand(
    activation: Activation, x: list[float], y: list[float], slope: list[float], dtype: str
) -> None:
    """Pieces, the choice at each kink and the limits at ±∞, without a warning on the way."""
    inputs, upstream = np.array([x], dtype), np.array([np.arange(2, len(x) + 2)], dtype)
    with np.errstate(all="raise", under="ignore"):
        output = activation.forward(inputs)
        grad = activation.backward(upstream, inputs, output)
    bounds = expected(activation, inputs, upstream).values()
    right = np.array([y]), upstream * np.array([slope])
    for found, wanted, bound in zip((output, grad), right, bounds, strict=True):
        assert found.dtype == inputs.dtype
        inside = np.isfinite(inputs)  # ∞ has no bound
        assert np.array_equal(found[~inside], wanted[~inside])
        for numbers in (found, wanted):
            assert (np.abs(numbers[inside] - bound.value[inside]) <= bound.error[inside]).all()


@DTYPE
@VARIANT
def test_keras_agrees_at_and_beside_every_kink(activation: Activation, dtype: str) -> None:
    """At kinks, their neighbours, ±0, subnormals and the ends of the range, in every mode."""
    generator = np.random.default_rng(0)
    joints = np.arange(-8, 8.5, 0.5).astype(dtype)
    beside = [np.nextafter(joints, np.array(side, dtype)) for side in (-INF, INF)]
    points = np.concatenate([special_points(activation, dtype), joints, *beside])[None]
    upstream = generator.uniform(-2, 2, points.shape).astype(dtype)
    report = check_function(activation, points, upstream, against=list(MODES))
    assert not report.any_disagreement, report.conclusion()


@DTYPE
@VARIANT
def test_keras_agrees_on_smooth_numbers_and_bounds_are_sharp(
    activation: Activation, dtype: str
) -> None:
    """Every value and gradient is judged, and an error of 10⁻⁵ of the scale would be seen."""
    inputs, upstream = np.random.default_rng(1).uniform(-2, 2, (2, 4, 50)).astype(dtype)
    report = check_function(activation, inputs, upstream, against=list(MODES))
    for v in report.verdicts:
        assert v.verdict in (Verdict.AGREE, Verdict.KINK, Verdict.KNOWN), report.conclusion()
        assert v.zero or v.floor <= 1e-5


NAN_AT_THE_ENDS = [
    ("hard_silu", {}, -INF, "output"),
    ("leaky_relu", {"negative_slope": 0.0}, -INF, "output"),
    ("softsign", {}, INF, "output"),
    ("squareplus", {}, -INF, "output"),
    ("sparse_plus", {}, INF, "gradient"),
    ("sparse_plus", {}, -INF, "gradient"),
    ("squareplus", {}, INF, "gradient"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "arguments", "x", "tensor"), NAN_AT_THE_ENDS)
def test_keras_is_nan_at_infinity(
    name: str, arguments: dict[str, Any], x: float, tensor: str, mode: str
) -> None:
    """Finding 36: Keras' formulas meet 0·∞ or ∞ − ∞ where the function has a limit."""
    inputs = np.array([[x]], np.float32)
    subject = ACTIVATIONS[name](**arguments)
    output, grad = functions.activation(subject, inputs, np.ones_like(inputs), MODES[mode])
    assert np.isnan(output if tensor == "output" else grad).all()


@DTYPE
@VARIANT
def test_dual_numbers_derive_the_same_slope(activation: Activation, dtype: str) -> None:
    """Away from ties, forward-mode differentiation of the forward gives the backward."""
    generator = np.random.default_rng(2)
    inputs, upstream = generator.normal(size=(2, 1, 40)).astype(dtype) * 4
    run = Run(np.dtype(np.longdouble))
    directions = np.eye(40, dtype=run.work).reshape(40, 1, 40)
    derived = activation.forward(DualArray(inputs, directions, run, inputs.dtype)).tangents
    pulled_back = (derived * upstream).sum(axis=(1, 2))
    _, bound = expected(activation, inputs, upstream).values()
    assert not run.met
    assert (np.abs(pulled_back - bound.value[0]) <= bound.error[0]).all()


def test_the_plain_relu_takes_the_short_way() -> None:
    """Without arguments relu is one maximum and one mask, bit for bit."""
    inputs, upstream = np.random.default_rng(3).normal(size=(2, 8, 5)).astype(np.float32)
    relu = get("relu")
    assert np.array_equal(relu.forward(inputs), np.maximum(inputs, 0))
    grad = relu.backward(upstream, inputs, relu.forward(inputs))
    assert np.array_equal(grad, upstream * (inputs > 0))


@pytest.mark.parametrize(
    ("activation", "kinks"),
    [
        (Relu(), (0.0,)),
        (Relu(max_value=2.5), (0.0, 2.5)),
        (Relu(threshold=1.5, max_value=1.0), (1.5,)),
        (Relu(threshold=1.5, max_value=1.5), (1.5,)),
        (Relu6(), (0.0, 6.0)),
        (Threshold(0.5, 0.1), (0.5,)),
        (SoftShrink(1.25), (-1.25, 1.25)),
        (SparsePlus(), ()),
    ],
    ids=repr,
)
def test_kinks_follow_from_the_arguments(activation: Activation, kinks: tuple[float, ...]) -> None:
    """Where the derivative jumps is a property of the function with its arguments."""
    assert activation.kinks == kinks


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Relu(max_value=-1.0), "max_value: expected a number that is not negative"),
        (lambda: Squareplus(0), "b: expected a positive number, got 0; for b = 0 squareplus is"),
        (lambda: Squareplus(np.nan), "b: expected a positive number"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    """The error names the argument, what came and what was expected."""
    with pytest.raises(ValueError, match=message):
        make()


def test_names_and_aliases() -> None:
    """Keras' names find them; one with arguments that have no defaults says what to pass."""
    assert get("hard_swish") == get("hard_silu") == HardSilu()
    assert all(ACTIVATIONS[kind.name] is kind for kind in KINDS)
    with pytest.raises(TypeError, match=r"pass an instance, such as Threshold\("):
        get("threshold")
