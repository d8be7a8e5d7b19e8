"""Smooth activations and those of whole rows: by high-precision arithmetic, at ±∞, and Keras."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agreement import check
from agreement.casefile import read_case, write_case
from agreement.cases import Case, Kind, Structure, build_case
from agreement.dual import DualArray
from agreement.function_cases import special_points
from agreement.function_check import check_function, expected
from agreement.shrinking import shrink
from agreement.ties import Run
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.activations import (
    ACTIVATIONS,
    Activation,
    Celu,
    Elu,
    Exponential,
    Gelu,
    Glu,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Sparsemax,
    Tanh,
    TanhShrink,
    get,
)
from manual_backprop.catalogue import every_variant
from manual_backprop.typing import Array
from reference import MODES, functions
from reference.frameworks import frameworks

ELEMENTWISE: list[type[Activation]] = [
    *(Celu, Elu, Exponential, Gelu, LogSigmoid, Mish, Selu, Sigmoid, Silu, Softplus, Tanh),
    TanhShrink,
]
OF_ROWS: list[type[Activation]] = [Glu, LogSoftmax, Softmax, Sparsemax]
KINDS = {kind.name: kind for kind in (*ELEMENTWISE, *OF_ROWS)}


def by_function(argument: object) -> str:
    """Ids that are the same in every process: a function's address is not."""
    return repr(argument) if isinstance(argument, Activation | list) else "defined"


VARIANT = pytest.mark.parametrize("activation", every_variant(KINDS), ids=repr)
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
INF = np.inf

# -- 150 digits --------------------------------------------------------------------------

CONTEXT = decimal.Context(prec=150, Emax=10**9, Emin=-(10**9), traps=[])
# A step whose square, the error of a symmetric difference quotient, is below float64's digits.
STEP = Decimal("1e-20")
PI = Decimal(
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253"
    "42117067982148086513282306647093844609550582231725359408128481"
)
LAMBDA = Decimal("1.0507009873554804934193349852946")
LAMBDA_ALPHA = Decimal("1.7580993408473768599402175208123")


def _tanh(x: Decimal) -> Decimal:
    power = (2 * x).exp()
    return (power - 1) / (power + 1)


def _normal_distribution(x: Decimal) -> Decimal:
    """Φ(x) = ½ + φ(x) (x + x³/3 + x⁵/(3·5) + …); with more digits where Φ(x) is tiny."""
    with decimal.localcontext() as context:
        context.prec = 150 + int(x * x)
        term = total = x
        n = 1
        while abs(term) > abs(total) * Decimal(10) ** -context.prec:
            n += 2
            term = term * x * x / n
            total += term
        return Decimal("0.5") + (-x * x / 2).exp() / (2 * PI).sqrt() * total


def _elu(x: Decimal, alpha: Decimal) -> Decimal:
    return x if x > 0 else alpha * (x.exp() - 1)


def _approximate_gelu(x: Decimal) -> Decimal:
    a = (2 / PI).sqrt() * (x + Decimal("0.044715") * x**3)
    return x * (1 + _tanh(a)) / 2


# Definitions, as their papers write them; none is shared with the library.
DEFINITIONS: list[tuple[Activation, Callable[[Decimal], Decimal]]] = [
    (Exponential(), lambda x: x.exp()),
    (Elu(), lambda x: _elu(x, Decimal(1))),
    (Elu(alpha=2.0), lambda x: _elu(x, Decimal(2))),
    (Celu(), lambda x: _elu(x, Decimal(1))),
    (Celu(alpha=2.0), lambda x: x if x > 0 else 2 * ((x / 2).exp() - 1)),
    (Selu(), lambda x: LAMBDA * x if x > 0 else LAMBDA_ALPHA * (x.exp() - 1)),
    (Sigmoid(), lambda x: 1 / (1 + (-x).exp())),
    (LogSigmoid(), lambda x: (1 / (1 + (-x).exp())).ln()),
    (Softplus(), lambda x: (1 + x.exp()).ln()),
    (Tanh(), _tanh),
    (TanhShrink(), lambda x: x - _tanh(x)),
    (Silu(), lambda x: x / (1 + (-x).exp())),
    (Mish(), lambda x: x * _tanh((1 + x.exp()).ln())),
    (Gelu(approximate=True), _approximate_gelu),
    (Gelu(), lambda x: x * _normal_distribution(x)),
]


def _truth(definition: Callable[[Decimal], Decimal], x: float) -> tuple[float, float]:
    """The value, and the slope by a difference quotient."""
    with decimal.localcontext(CONTEXT):
        at = Decimal(x)
        slope = (definition(at + STEP) - definition(at - STEP)) / (2 * STEP)
        return float(definition(at)), float(slope)


@DTYPE
@pytest.mark.parametrize(("activation", "definition"), DEFINITIONS, ids=by_function)
def test_value_and_slope_in_150_digits(
    activation: Activation, definition: Callable[[Decimal], Decimal], dtype: str
) -> None:
    """What bounds enclose is the definition and its difference quotient, up to |x| = 12."""
    positive = np.geomspace(1e-6, 12, 40)
    inputs = np.concatenate([-positive, positive]).astype(dtype)[None]
    upstream = np.random.default_rng(0).uniform(-2, 2, inputs.shape).astype(dtype)
    values, slopes = np.transpose([_truth(definition, float(x)) for x in inputs[0]])
    bounds = expected(activation, inputs, upstream).values()
    for wanted, bound in zip((values, upstream * slopes), bounds, strict=True):
        assert (np.abs(wanted - bound.value) <= bound.error).all()


def _projected(row: Sequence[Decimal]) -> list[Decimal]:
    """The nearest point of the simplex: bisection for the threshold at which the sum is 1."""
    low, high = max(row) - 1, max(row)
    for _ in range(300):
        middle = (low + high) / 2
        if sum(max(x - middle, Decimal(0)) for x in row) > 1:
            low = middle
        else:
            high = middle
    return [max(x - low, Decimal(0)) for x in row]


def _normalised(row: Sequence[Decimal]) -> list[Decimal]:
    exponentials = [x.exp() for x in row]
    return [e / sum(exponentials) for e in exponentials]


def _gated(row: Sequence[Decimal]) -> list[Decimal]:
    half = len(row) // 2
    return [a / (1 + (-b).exp()) for a, b in zip(row[:half], row[half:], strict=True)]


ROW_DEFINITIONS: list[tuple[Activation, Callable[[Sequence[Decimal]], list[Decimal]]]] = [
    (Softmax(), _normalised),
    (LogSoftmax(), lambda row: [p.ln() for p in _normalised(row)]),
    (Sparsemax(), _projected),
    (Glu(), _gated),
]


@DTYPE
@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
@pytest.mark.parametrize(("activation", "definition"), ROW_DEFINITIONS, ids=by_function)
def test_rows_in_150_digits(
    activation: Activation,
    definition: Callable[[Sequence[Decimal]], list[Decimal]],
    scale: float,
    dtype: str,
) -> None:
    """Along each input of a row, Σ upstream · (difference quotient) lies within the bound."""
    generator = np.random.default_rng(1)
    inputs = generator.uniform(-scale, scale, (4, 6)).astype(dtype)
    upstream = generator.uniform(-2, 2, activation.forward(inputs).shape).astype(dtype)
    output, grad = expected(activation, inputs, upstream).values()
    with decimal.localcontext(CONTEXT):
        for i, numbers in enumerate(inputs):
            row = [Decimal(float(x)) for x in numbers]
            values = [float(y) for y in definition(row)]
            assert (np.abs(values - output.value[i]) <= output.error[i]).all()
            for j in range(len(row)):
                ends = [
                    definition([*row[:j], row[j] + step, *row[j + 1 :]]) for step in (STEP, -STEP)
                ]
                slope = sum(
                    Decimal(float(g)) * (above - below) / (2 * STEP)
                    for g, above, below in zip(upstream[i], *ends, strict=True)
                )
                assert abs(float(slope) - grad.value[i, j]) <= grad.error[i, j]


# -- ends --------------------------------------------------------------------------------

# (activation, y at −∞ and ∞, ∂y/∂x at −∞ and ∞)
LIMITS = [
    (Exponential(), [0, INF], [0, INF]),
    (Elu(alpha=2.0), [-2, INF], [0, 1]),
    (Celu(alpha=2.0), [-2, INF], [0, 1]),
    (Sigmoid(), [0, 1], [0, 0]),
    (LogSigmoid(), [-INF, 0], [1, 0]),
    (Softplus(), [0, INF], [0, 1]),
    (Tanh(), [-1, 1], [0, 0]),
    (TanhShrink(), [-INF, INF], [1, 1]),
    (Silu(), [0, INF], [0, 1]),
    (Mish(), [0, INF], [0, 1]),
    (Gelu(), [0, INF], [0, 1]),
    (Gelu(approximate=True), [0, INF], [0, 1]),
]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("activation", "values", "slopes"), LIMITS, ids=by_function)
def test_limits_at_infinity(
    activation: Activation, values: list[float], slopes: list[float], dtype: str
) -> None:
    """The manual code takes the limits at ±∞ and at the largest numbers, without a warning."""
    infinite = np.array([[-INF, INF]], dtype)
    with np.errstate(all="raise", under="ignore"):
        output = activation.forward(infinite)
        grad = activation.backward(np.ones_like(infinite), infinite, output)
    assert output.dtype == grad.dtype == infinite.dtype
    assert np.array_equal(output, [values])
    assert np.array_equal(grad, [slopes])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("activation", [Silu(), Mish(), Gelu(), Gelu(approximate=True)], ids=repr)
def test_keras_is_nan_at_infinity(activation: Activation, mode: str) -> None:
    """Finding 36: Keras' gates multiply ∞ by 0 where the function and its slope have a limit."""
    inputs = np.array([[-INF, INF]], np.float32)
    output, grad = functions.activation(activation, inputs, np.ones_like(inputs), MODES[mode])
    assert np.isnan(output[0, 0])
    assert np.isnan(grad).all()


def test_kinks() -> None:
    """Elu has a kink unless α = 1, selu has one, and celu has none whatever α."""
    assert Elu().kinks == Celu().kinks == Celu(alpha=2.0).kinks == ()
    assert Elu(alpha=2.0).kinks == Selu().kinks == (0.0,)
    zero = np.zeros((1, 1))
    for activation, slope in ((Elu(alpha=2.0), 2.0), (Selu(), 1.0507009873554805), (Celu(2.0), 1)):
        assert activation.backward(np.ones_like(zero), zero, zero) == slope


# -- Keras -------------------------------------------------------------------------------


def hostile_rows(activation: Activation, dtype: str) -> Array:
    """Special numbers in columns and in rows, ties, equal and saturated rows; an even shape."""
    generator = np.random.default_rng(2)
    points = special_points(activation, dtype)
    drawn = generator.choice(points, (60, 6))
    ties = generator.choice([0, 1, -1, 0.5, 1 / 3, 2, 1e3, 1e8], (60, 6))
    equal = np.repeat(generator.choice(points, 20), 6).reshape(-1, 6)
    saturated = generator.choice([0, 17.5, -17.5, 88, -88, 104, -750, 1e4, -1e4], (20, 6))
    return np.concatenate([drawn, ties, equal, saturated]).astype(dtype)


@DTYPE
@VARIANT
def test_keras_agrees_on_hostile_numbers(activation: Activation, dtype: str) -> None:
    """At kinks, their neighbours, ±0, subnormals, thresholds, ties, in every mode."""
    inputs = hostile_rows(activation, dtype)
    shape = activation.forward(np.zeros_like(inputs)).shape
    upstream = np.random.default_rng(3).uniform(-2, 2, shape).astype(dtype)
    report = check_function(activation, inputs, upstream, against=list(MODES))
    assert not report.any_disagreement, report.conclusion()


@DTYPE
@VARIANT
def test_keras_agrees_on_smooth_numbers_and_bounds_are_sharp(
    activation: Activation, dtype: str
) -> None:
    """Every value and gradient is judged, and an error of 10⁻⁵ of the scale would be seen."""
    generator = np.random.default_rng(4)
    inputs = generator.uniform(-2, 2, (40, 6)).astype(dtype)
    shape = activation.forward(inputs).shape
    upstream = generator.uniform(-2, 2, shape).astype(dtype)
    report = check_function(activation, inputs, upstream, against=list(MODES))
    for v in report.verdicts:
        assert v.verdict in (Verdict.AGREE, Verdict.KINK, Verdict.KNOWN), report.conclusion()
        assert v.zero or v.floor <= 1e-5


@pytest.mark.parametrize("classes", [1, 2, 7])
@DTYPE
@pytest.mark.parametrize("activation", [Softmax(), LogSoftmax(), Sparsemax()], ids=repr)
def test_rows_of_any_length(activation: Activation, classes: int, dtype: str) -> None:
    """One class alone has probability 1, whatever its logit, and no gradient."""
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(20, classes)).astype(dtype) * 4
    upstream = generator.uniform(-2, 2, inputs.shape).astype(dtype)
    report = check_function(activation, inputs, upstream, against=list(MODES))
    assert not report.any_disagreement, report.conclusion()
    if classes == 1:
        output = activation.forward(inputs)
        assert (output == (0 if activation == LogSoftmax() else 1)).all()
        assert not activation.backward(upstream, inputs, output).any()


def test_keras_sparsemax_is_right_where_one_output_is_positive() -> None:
    """Where the sum of the cumulative sums is the sum, Keras is held to the derived bounds."""
    inputs = np.array([[3, 0.5, -1], [-4, 2.5, 1.25], [100, 7, 98.5]], np.float32)
    upstream = np.random.default_rng(6).uniform(-2, 2, inputs.shape).astype(np.float32)
    report = check_function(Sparsemax(), inputs, upstream, against=list(MODES))
    assert {v.verdict for v in report.verdicts} <= {Verdict.AGREE}, report.conclusion()


# -- dual numbers ------------------------------------------------------------------------


@DTYPE
@VARIANT
def test_dual_numbers_derive_the_same_slope(activation: Activation, dtype: str) -> None:
    """Away from ties, forward-mode differentiation of the forward gives the backward."""
    generator = np.random.default_rng(7)
    inputs = generator.normal(size=(4, 6)).astype(dtype) * 2
    upstream = generator.uniform(-2, 2, activation.forward(inputs).shape).astype(dtype)
    run = Run(np.dtype(np.longdouble))
    directions = np.eye(inputs.size, dtype=run.work).reshape(-1, *inputs.shape)
    derived = activation.forward(DualArray(inputs, directions, run, inputs.dtype)).tangents
    pulled_back = (derived * upstream).sum(axis=(1, 2)).reshape(inputs.shape)
    _, bound = expected(activation, inputs, upstream, reference=True).values()
    assert (np.abs(pulled_back - bound.value) <= bound.error).all()


# -- arguments ---------------------------------------------------------------------------


def test_names_and_aliases() -> None:
    """Keras' names find them."""
    assert get("swish") == get("silu") == Silu()
    assert all(ACTIVATIONS[name] is kind for name, kind in KINDS.items())
    assert get(Gelu(approximate=True)) != get("gelu")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Celu(alpha=0), "alpha: is 0, but celu divides by it"),
        (lambda: NaiveDense(2, 3, "glu"), "units: glu halves them, but 3 is odd"),
        (lambda: Glu(axis=0).forward(np.zeros((3, 2))), r"shape \(3, 2\) has an odd size there"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    """The error names the argument, what came and what was expected."""
    with pytest.raises(ValueError, match=message):
        make()


def test_an_axis_is_a_whole_number() -> None:
    """A fraction, or a truth value, is refused before anything is computed."""
    for axis in (0.5, True, None):
        with pytest.raises(TypeError, match="axis: expected a whole number, such as -1, got"):
            Softmax(axis=axis)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mean_squared_error"])
def test_a_softmax_along_the_batch_is_not_fused(loss: str) -> None:
    """Finding 60: Keras would take the logits along the classes; the manual pass does not."""
    layers = [
        NaiveDense(4, 3, "tanh", seed=0),
        NaiveDense(3, 3, Softmax(axis=0), use_bias=False, seed=1),
    ]
    generator = np.random.default_rng(9)
    inputs, labels = generator.normal(size=(5, 4)).astype("float32"), np.eye(3)[[0, 1, 2, 0, 1]]
    report = check(NaiveSequential(layers), inputs, labels, loss=loss, against=[*MODES, "dual"])
    assert report.agrees, report.conclusion()


# -- glu, which has fewer outputs than units ---------------------------------------------


def glu_case() -> Case:
    """Six units with three outputs under two layers whose activations have arguments."""
    chain = Glu(), Gelu(approximate=True), Elu(alpha=0.5)
    structure = Structure(chain, (True,) * 3, "mean_squared_error")
    return build_case(structure, (4, 3, 3, 2), 5, Kind.SMOOTH, np.random.default_rng(8), "float32")


def test_glu_halves_the_units_of_a_layer() -> None:
    """A layer of six units has three outputs, and the next one takes three inputs."""
    case = glu_case()
    assert [layer.W.shape for layer in case.model.layers] == [(4, 6), (3, 3), (3, 2)]
    assert case.model.forward(case.inputs).shape == (5, 2)


def test_keras_agrees_on_a_network_with_glu() -> None:
    """Every reference, and the dual numbers, judge all of its tensors."""
    case = glu_case()
    against = [*MODES, "dual"]
    report = check(case.model, case.inputs, case.targets, loss=case.loss, against=against)
    assert report.agrees, report.conclusion()


def test_a_case_file_keeps_arguments_and_sizes(tmp_path: Path) -> None:
    """What is read has the activations, truth values and all, and the weights."""
    case, path = glu_case(), tmp_path / "case.npz"
    write_case(path, case.model, case.inputs, case.targets, loss=case.loss)
    model = read_case(path).model
    assert repr(model) == repr(case.model)
    for found, wanted in zip(model.weights, case.model.weights, strict=True):
        assert np.array_equal(found, wanted)


def test_a_failing_case_with_glu_shrinks() -> None:
    """Units of glu are dropped in pairs, down to one output."""
    small = shrink(glu_case(), lambda case: "glu" in repr(case.model))
    assert small.model.layers[0].W.shape == (1, 2)
    assert len(small.inputs) == 1


def test_a_keras_layer_above_glu_cannot_be_built() -> None:
    """Finding 27: Dense says that it has as many outputs as units, whatever its activation."""
    _, keras = frameworks()
    model = keras.Sequential([keras.layers.Dense(6, "glu"), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="to have value 6"):
        model(np.zeros((5, 4)))


@pytest.mark.parametrize("alpha", [-1e-3, -0.3, -2.0])
@pytest.mark.parametrize(
    ("dtype", "far", "tiny"), [("float32", 80, 1e-38), ("float64", 700, 1e-307)]
)
def test_a_negative_alpha_makes_celu_steep(
    alpha: float, dtype: str, far: float, tiny: float
) -> None:
    """What a tape flushes before it multiplies by such a slope is no disagreement."""
    inputs = (np.linspace(-far, 5, 64) * abs(alpha)).astype(dtype)[None]
    for upstream in (1e-3, tiny, 30 * tiny):
        grad = np.full_like(inputs, upstream)
        report = check_function(Celu(alpha), inputs, grad, against=["keras", "keras-graph"])
        assert not report.any_disagreement, report.conclusion()
