"""Every optimizer of Keras by hand: trajectories, options, hostile gradients, schedules."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement.checking import check_training_step, prepare
from agreement.report import Report
from agreement.training_step import judge_training_step
from agreement.trajectory import check_schedule, check_trajectory
from agreement.trajectory_cases import KINDS, draw_trajectory
from agreement.verdicts import View
from manual_backprop import NaiveDense, NaiveSequential, fit, losses
from manual_backprop.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    Ftrl,
    Lamb,
    Lion,
    LossScaleOptimizer,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    get,
)
from manual_backprop.optimizers.norms import norm
from manual_backprop.optimizers.schedules import (
    SCHEDULES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from reference import MODES
from reference.frameworks import frameworks

STEPS = 50
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERY = pytest.mark.parametrize("name", OPTIMIZERS)
VARIANTS = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name, kind in OPTIMIZERS.items()
    for number in range(len(kind.variants))
]
OPTIONS = [
    pytest.param(name, number, id=f"{name}-{'-'.join(arguments)}")
    for name, kind in OPTIMIZERS.items()
    for number, arguments in enumerate(getattr(kind, "option_variants", ()))
]
# In Keras, and not an optimizer with an update of its own.
NO_UPDATE = {"Optimizer", "MultiOptimizer"}


def make(name: str, variant: int = 0) -> Optimizer:
    kind = OPTIMIZERS[name]
    return kind(**kind.variants[variant])


def run(
    optimizer: Optimizer, kind: str, dtype: str, steps: int, *against: str, **how: Any
) -> Report:
    weights, gradients = draw_trajectory(kind, dtype, steps)
    return check_trajectory(optimizer, weights, gradients, against=against, **how)


def assert_no_alarm(report: Report) -> None:
    assert not report.any_disagreement, report.conclusion()


# -- trajectories -------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_slot_and_weight_agrees_after_every_step(
    name: str, variant: int, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fifty steps of each variant, each step from Keras' own state, and all from the start."""
    report = run(make(name, variant), "smooth", dtype, STEPS, "keras", end_to_end=variant == 0)
    assert_no_alarm(report)
    local = [v for v in report.verdicts if v.view is View.LOCAL]
    assert {v.layer for v in local} == {f"step {n}" for n in range(1, STEPS + 1)}
    slots = [v for v in local if "." in v.tensor and not v.zero]
    assert np.median([v.floor for v in slots] or [0.0]) < 1e-5
    assert report.facts["sharp_local"] > 0.8
    with capsys.disabled():
        if variant == 0:
            shares = (f"{report.facts[f'sharp_{view}']:.0%}" for view in ("local", "end_to_end"))
            print(f"\n{name} {dtype}: judged sharply {' locally, '.join(shares)} end to end")


@DTYPES
@EVERY
def test_graph_mode_agrees(name: str, dtype: str) -> None:
    """As above inside a tf.function."""
    assert_no_alarm(run(make(name), "smooth", dtype, 12, "keras-graph", end_to_end=False))


@EVERY
def test_xla_agrees(name: str) -> None:
    """As above compiled by XLA, in float32, where it rounds most freely."""
    assert_no_alarm(run(make(name), "smooth", "float32", 6, "keras-xla", end_to_end=False))


@DTYPES
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"smooth"}))
@EVERY
def test_hostile_gradients_raise_no_false_alarm(name: str, kind: str, dtype: str) -> None:
    """Zeros, huge, tiny, subnormal, alternating, mixed: nothing disagrees that is not known."""
    assert_no_alarm(run(make(name), kind, dtype, 6, "keras", end_to_end=False))


@DTYPES
@EVERY
def test_a_late_step_from_any_state_agrees(name: str, dtype: str) -> None:
    """The millionth step, from slots that no trajectory of ours has reached."""
    optimizer = make(name)
    weights, gradients = draw_trajectory("smooth", dtype, 3, seed=2)
    state = optimizer.initial_state(list(weights.values()), list(weights))
    state.iterations = 999_999
    generator = np.random.default_rng(3)
    for slots in state.slots:
        for slot in slots.values():
            slot[...] = np.abs(generator.normal(size=slot.shape)) + 0.1
    assert_no_alarm(check_trajectory(optimizer, weights, gradients, start=state, end_to_end=False))


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_works_with_every_optimizer(name: str, option: int) -> None:
    """Decay, clipping, averaging, accumulation and scaling, around each update."""
    kind = OPTIMIZERS[name]
    optimizer = kind(**(dict(kind.variants[0]) | kind.option_variants[option]))
    assert_no_alarm(run(optimizer, "smooth", "float32", 7, "keras", end_to_end=False))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_optimizer_follows_a_schedule(schedule: str) -> None:
    """The learning rate of every step is that of its iteration, also while accumulating."""
    rate = SCHEDULES[schedule](**SCHEDULES[schedule].variants[0])
    for optimizer in (SGD(rate), Adam(rate, gradient_accumulation_steps=2)):
        assert_no_alarm(run(optimizer, "smooth", "float32", 12, "keras", end_to_end=False))


@DTYPES
def test_an_infinite_gradient_is_skipped_and_halves_the_scale(dtype: str) -> None:
    """Nothing but scale and count changes; the count starts anew, and three steps double it."""
    optimizer = LossScaleOptimizer(Adam(0.1), initial_scale=64.0, dynamic_growth_steps=3)
    weights, gradients = draw_trajectory("smooth", dtype, 8)
    gradients[2][1][0], gradients[2][4][0, 1] = np.inf, np.nan
    report = check_trajectory(optimizer, weights, gradients)
    assert_no_alarm(report)
    assert report.facts["sharp_local"] > 0.9
    subject = copy.deepcopy(optimizer)
    arrays = [w.copy() for w in weights.values()]
    scales = []
    for given in gradients:
        with np.errstate(all="ignore"):
            subject.apply(given, arrays)
        scales.append(float(subject.scale))
    assert scales == [64.0, 64.0, 32.0, 32.0, 32.0, 64.0, 64.0, 64.0]


# -- whole training steps -----------------------------------------------------------------


def parts(dtype: str) -> Any:
    model = NaiveSequential(
        [
            NaiveDense(5, 7, "relu", dtype=dtype, seed=0),
            NaiveDense(7, 4, "softmax", dtype=dtype, seed=1),
        ]
    )
    loss = losses.get("sparse_categorical_crossentropy")
    inputs = np.random.default_rng(2).normal(size=(6, 5))
    return model, *prepare(model, inputs, np.arange(6) % 4, loss), loss


@DTYPES
@EVERY
def test_train_on_batch_of_a_compiled_model_agrees(name: str, dtype: str) -> None:
    """Forward, backward and update against model.compile(optimizer) and train_on_batch."""
    report = judge_training_step(
        parts(dtype), make(name), ["keras-graph"], learning_rate=0.01, compiled_model=True
    )
    assert_no_alarm(report)


@EVERY
def test_a_training_step_is_judged_with_any_optimizer(name: str) -> None:
    """check_training_step takes the optimizer, and leaves it as it was."""
    model, inputs, targets, loss = parts("float32")
    optimizer = make(name)
    report = check_training_step(
        model, inputs, targets, loss=loss, optimizer=optimizer, against="keras"
    )
    assert_no_alarm(report)
    assert {v.witness for v in report.verdicts} == {"manual", "keras"}
    assert optimizer.state is None


def test_a_training_step_starts_from_the_optimizers_state() -> None:
    """In the middle of a training its moments count, on both sides."""
    model, inputs, targets, loss = parts("float32")
    optimizer = Adam(0.1)
    fit(model, inputs, targets, 3, 6, loss=loss, optimizer=optimizer, verbose="quiet")
    report = check_training_step(
        model, inputs, targets, loss=loss, optimizer=optimizer, against="keras"
    )
    assert report.agrees, report.conclusion()
    assert optimizer.state is not None
    assert optimizer.state.iterations == 3


# -- schedules ----------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize(
    ("name", "variant"),
    [(name, i) for name, kind in SCHEDULES.items() for i in range(len(kind.variants))],
)
def test_schedules_agree_in_every_mode(name: str, variant: int, dtype: str) -> None:
    """A hundred iterations of each schedule; the rates themselves are judged."""
    schedule = SCHEDULES[name](**SCHEDULES[name].variants[variant])
    assert_no_alarm(check_schedule(schedule, range(100), dtype, list(MODES)))


def test_schedules_decide_stairs_and_restarts_exactly() -> None:
    """A boundary belongs to what follows it, whatever n / d rounds to."""
    like = np.zeros((), np.float32)
    stairs = ExponentialDecay(1.0, 41, 0.5, staircase=True)
    assert [float(stairs(n, like)) for n in (40, 41, 81, 82)] == [1.0, 0.5, 0.5, 0.25]
    restarts = CosineDecayRestarts(1.0, 10, t_mul=1.1)
    assert float(restarts(21, like)) == pytest.approx(1.0, abs=1e-6)
    pieces = PiecewiseConstantDecay([5, 7], [1.0, 2.0, 3.0])
    assert [float(pieces(n, like)) for n in (0, 5, 6, 7, 8)] == [1, 1, 2, 2, 3]


def test_restarts_begin_and_are_half_over_where_they_should() -> None:
    """Each period three times as long: with twice, the sum of periods is off by whole cosines."""
    schedule, like = CosineDecayRestarts(1.0, 4, t_mul=3.0), np.zeros(())
    assert [float(schedule(n, like)) for n in (0, 4, 16, 52)] == pytest.approx([1.0] * 4)
    assert [float(schedule(n, like)) for n in (2, 10, 34, 106)] == pytest.approx([0.5] * 4)


def test_no_steps_of_warmup_leave_nothing_but_the_decay() -> None:
    """The first step has the target already."""
    schedule = CosineDecay(0.01, 30, warmup_target=0.1, warmup_steps=0)
    assert float(schedule(0, np.zeros(()))) == 0.1


@DTYPES
@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_a_polynomial_decay_ends_where_its_formula_does(
    power: float, cycle: bool, dtype: str
) -> None:
    """0⁰ is 1: with a power of 0 the rate stays the initial one, also at the end."""
    schedule = PolynomialDecay(0.1, 4, 0.01, power=power, cycle=cycle)
    report = check_schedule(schedule, range(10), dtype)
    assert_no_alarm(report)
    assert all(v.is_evidence for v in report.verdicts)
    assert float(schedule(4, np.zeros(()))) == pytest.approx(0.01 if power else 0.1)


# -- the catalogue ------------------------------------------------------------------------


def _given(kind: Any) -> dict[str, Any]:
    signature = inspect.signature(kind.__init__).parameters
    skipped = {"self", "kwargs", "name"}
    return {name: p.default for name, p in signature.items() if name not in skipped}


def _public(room: Any, base: type) -> dict[str, Any]:
    found = {name: getattr(room, name) for name in dir(room)}
    return {n: k for n, k in found.items() if isinstance(k, type) and issubclass(k, base)}


def test_every_optimizer_of_keras_has_a_counterpart_with_its_arguments() -> None:
    """The same names and the same defaults; MultiOptimizer only hands variables to others."""
    _, keras = frameworks()
    theirs = _public(keras.optimizers, keras.optimizers.Optimizer)
    ours = {kind.__name__: kind for kind in OPTIMIZERS.values()}
    assert set(theirs) - NO_UPDATE == set(ours)
    for name, kind in ours.items():
        assert _given(kind) == _given(theirs[name]), name
        assert kind.name == name.lower()


def test_every_schedule_of_keras_has_a_counterpart_with_its_arguments() -> None:
    """The same names and the same defaults."""
    _, keras = frameworks()
    room = keras.optimizers.schedules
    theirs = _public(room, room.LearningRateSchedule)
    ours = {kind.__name__: kind for kind in SCHEDULES.values()}
    assert set(theirs) - {"LearningRateSchedule"} == set(ours)
    for name, kind in ours.items():
        assert _given(kind) == _given(theirs[name]), name


@EVERY
def test_variants_cover_every_argument(name: str) -> None:
    """Each argument is tried with a value that is not its default."""
    kind: Any = OPTIMIZERS[name]
    tried = [*kind.variants, *getattr(kind, "option_variants", ())]
    unusual = {argument for given in tried for argument in kind(**given).unusual_arguments}
    assert unusual >= set(make(name).arguments) - {"learning_rate"}


# -- by hand ------------------------------------------------------------------------------


def after(optimizer: Optimizer, weight: float, *gradients: float) -> float:
    """The weight after these gradients."""
    array = np.array([weight])
    for gradient in gradients:
        optimizer.apply([np.array([gradient])], [array])
    return float(array[0])


BY_HAND: list[tuple[Callable[[], Optimizer], list[float], float]] = [
    (lambda: SGD(0.1), [2.0], 1 - 0.2),
    # v = −0.2, then −0.1 − 0.2
    (lambda: SGD(0.1, 0.5), [2.0, 2.0], 1 - 0.2 - 0.3),
    # w = 1 + 0.5 (−0.2) − 0.2
    (lambda: SGD(0.1, 0.5, True), [2.0], 1 - 0.3),
    # the sign
    (lambda: Lion(0.1), [1e-9], 1 - 0.1),
    # (0.1 · 2) √(1 − 0.75) / (1 − 0.5) over √(0.25 · 4): m = 1, v = 1, α = 0.1
    (lambda: Adam(0.1, 0.5, 0.75, 1e-300), [2.0], 1 - 0.1),
    # m = 1, √v̂ = 2, and (3) with μ_1 = 0.26 and μ_2 = 0.2696
    (
        lambda: Nadam(0.1, 0.5, 0.75, 1e-300),
        [2.0],
        1 - 0.05 * (0.2696 / (1 - 0.26 * 0.2696) + 2.0),
    ),
    # v = 0.5 · 4, Δ = 0.1 · 2 / √2
    (lambda: RMSprop(0.1, 0.5, epsilon=0.0), [2.0], 1 - 0.2 / 2**0.5),
    # n: 1 → 4, z = √3 − (2 − 1)/0.5, q = 2/0.5
    (lambda: Ftrl(0.5, initial_accumulator_value=1.0), [3.0**0.5], (2 - 3**0.5) / 4),
    # nothing accumulated
    (lambda: Ftrl(0.5, initial_accumulator_value=0.0), [0.0], 0.0),
    # z = 0.5 − 0.5/2, q = 0.5/2
    (lambda: Ftrl(2.0, initial_accumulator_value=0.0), [0.5], -1.0),
    # half the rate in the second step
    (lambda: SGD(ExponentialDecay(0.1, 1, 0.5)), [2.0, 2.0], 1 - 0.2 - 0.1),
    # |z| = 2 − √3 < λ₁
    (lambda: Ftrl(0.5, -0.5, 1.0, l1_regularization_strength=0.3), [3.0**0.5], 0.0),
]


@pytest.mark.parametrize(("maker", "gradients", "wanted"), BY_HAND)
def test_a_few_steps_worked_out_by_hand(
    maker: Callable[[], Optimizer], gradients: list[float], wanted: float
) -> None:
    """Numbers from the formulas, without any code of theirs."""
    assert after(maker(), 1.0, *gradients) == pytest.approx(wanted, rel=1e-15)


@pytest.mark.parametrize(
    ("weight", "gradient", "wanted"), [(0.0, 2.0, -0.1), (1.0, 0.0, 1.0), (0.5, 2.0, 0.45)]
)
def test_lamb_steps_by_the_length_of_the_weight(
    weight: float, gradient: float, wanted: float
) -> None:
    """By η where that is 0, and not at all without a gradient."""
    found = after(Lamb(0.1, 0.5, 0.75, 1e-300), weight, gradient)
    assert found == pytest.approx(wanted, rel=1e-15)


def test_a_scale_grows_after_so_many_finite_steps() -> None:
    """Of one weight: 4 after the first, 8 after the second; the rate is the inner optimizer's."""
    optimizer, weight = LossScaleOptimizer(SGD(0.3), 4.0, 2), np.ones(1)
    scales = []
    for _ in range(2):
        optimizer.apply([np.ones(1)], [weight])
        scales.append(optimizer.scale)
    assert scales == [4, 8]
    assert optimizer.learning_rate == 0.3


def test_a_norm_of_numbers_whose_squares_underflow() -> None:
    """3, 4, 5, times a power of two."""
    tiny = np.float32(2.0**-100)
    assert norm(np.array([3, 4], np.float32) * tiny) == 5 * tiny


def test_a_centred_variance_is_never_negative() -> None:
    """Of constant gradients the variance is 0: rounding must not make it NaN."""
    optimizer, weight = RMSprop(0.001, centered=True), np.ones(400, np.float32)
    for _ in range(150):
        optimizer.apply([np.arange(400, dtype=np.float32)], [weight])
    assert np.isfinite(weight).all()


@pytest.mark.parametrize("option", ["clipnorm", "global_clipnorm"])
def test_clipping_survives_gradients_whose_squares_overflow(option: str) -> None:
    """A gradient of 1e30 in float32 is clipped to the limit, in its direction."""
    weight = np.zeros(2, np.float32)
    SGD(1.0, **{option: 0.5}).apply([np.array([3e30, 4e30], np.float32)], [weight])
    assert np.allclose(weight, [-0.3, -0.4], rtol=1e-6)


def test_muon_brings_singular_values_near_one() -> None:
    """Of a random matrix, tall or wide, all of them end between 0.3 and 1.3."""
    for shape in ((8, 5), (5, 8)):
        x = np.random.default_rng(0).normal(size=shape)
        values = np.linalg.svd(Muon().stages(x)[-1], compute_uv=False)
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_muon_excludes_weights_by_name() -> None:
    """Embeddings and excluded layers have a second moment, as Adam's have."""
    weights = [np.ones((3, 3), np.float32)] * 4
    names = ["dense.W", "embedding.W", "out.W", "dense.b"]
    state = Muon(exclude_layers=["^out"]).initial_state(weights, names)
    assert ["velocity" in slots for slots in state.slots] == [False, True, True, False]


# -- use ----------------------------------------------------------------------------------


def test_an_optimizer_remembers_between_calls_and_copies_are_independent() -> None:
    """Slots live in the optimizer; a deep copy has its own; the gradients stay as they are."""
    optimizer, weight, gradient = Adam(0.1), np.ones((2, 2)), np.full((2, 2), 0.5)
    optimizer.apply([gradient], [weight])
    twin, other = copy.deepcopy(optimizer), weight.copy()
    for subject, array in ((optimizer, weight), (twin, other)):
        subject.apply([gradient], [array])
    assert np.array_equal(weight, other)
    assert optimizer.state is not None
    assert twin.state is not None
    assert optimizer.state.slots[0]["momentum"] is not twin.state.slots[0]["momentum"]
    assert (gradient == 0.5).all()


def test_another_models_weights_are_refused() -> None:
    """An optimizer that remembers some shapes says so when it is given others."""
    optimizer = SGD(0.1, 0.9)
    optimizer.apply([np.ones(3)], [np.ones(3)])
    with pytest.raises(ValueError, match=r"weights: have the shapes \[\(2,\)\].*make a new one"):
        optimizer.apply([np.ones(2)], [np.ones(2)])


@EVERY
def test_fit_trains_with_every_optimizer(name: str) -> None:
    """The loss falls, in the weights' dtype."""
    model, inputs, targets, loss = parts("float32")
    given = dict(OPTIMIZERS[name].variants[0])
    if name != "lossscaleoptimizer":
        given["learning_rate"] = 1.0 if name in ("adadelta", "adagrad", "ftrl") else 0.02
    optimizer = OPTIMIZERS[name](**given)
    history = fit(model, inputs, targets, 40, 6, loss=loss, optimizer=optimizer, verbose="quiet")
    assert history.loss[-1] < history.loss[0]
    assert all(w.dtype == np.float32 for w in model.weights)


def test_optimizers_are_found_by_name() -> None:
    """Keras' names; an optimizer that needs another says which arguments it needs."""
    assert isinstance(get("adam"), Adam)
    assert repr(get("nadam")) == "Nadam(learning_rate=0.001)"
    assert Adam(0.1) == Adam(0.1) != Adam(0.2)
    with pytest.raises(TypeError, match=r"pass an instance, such as LossScaleOptimizer\(inner"):
        get("lossscaleoptimizer")


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: SGD(0.1, momentum=1.5), "momentum: got 1.5"),
    (lambda: SGD(0.1, momentum=-0.5), "momentum: got -0.5"),
    (lambda: Adam(beta_1=1.0), "beta_1: got 1.0"),
    (lambda: Adam(beta_2=-0.5), "beta_2: got -0.5"),
    (lambda: Lion(beta_1=1.5), "beta_1: got 1.5"),
    (lambda: SGD(ema_momentum=-0.5), "ema_momentum: got -0.5"),
    (lambda: Ftrl(initial_accumulator_value=-0.5), "initial_accumulator_value: got -0.5"),
    (lambda: SGD(clipnorm=1.0, clipvalue=2.0), "clipvalue: got both this and clipnorm"),
    (lambda: SGD(clipnorm=-1.0), "clipnorm: got -1.0"),
    (lambda: SGD(ema_momentum=2.0), "ema_momentum: got 2.0"),
    (lambda: SGD(ema_overwrite_frequency=0), "ema_overwrite_frequency: got 0"),
    (lambda: SGD(gradient_accumulation_steps=1), "gradient_accumulation_steps: got 1"),
    (lambda: Ftrl(learning_rate_power=0.5), "learning_rate_power: got 0.5"),
    (lambda: Ftrl(beta=0.0, l1_regularization_strength=-1.0), "l1_regularization_strength: got"),
    (lambda: Lion(beta_1=0.0), "beta_1: got 0"),
    (lambda: ScheduleFreeAdamW(beta_1=0.0), "beta_1: got 0"),
    (lambda: LossScaleOptimizer(SGD(), initial_scale=0.0), "initial_scale: got 0.0"),
    (lambda: LossScaleOptimizer(SGD(), initial_scale=np.inf), "initial_scale: got inf"),
    (lambda: ExponentialDecay(0.1, 0, 0.5), "decay_steps: got 0"),
    (lambda: ExponentialDecay(0.1, np.inf, 0.5), "decay_steps: got inf"),
    (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul: got 0.5"),
    (lambda: PiecewiseConstantDecay([1], [0.1]), "values: got 1, expected 2"),
    (lambda: PiecewiseConstantDecay([9, 3], [0.1, 0.2, 0.3]), r"boundaries: got \[9, 3\]"),
    (lambda: PiecewiseConstantDecay([3, 3], [0.1, 0.2, 0.3]), r"boundaries: got \[3, 3\]"),
    (lambda: CosineDecay(0.1, 9, warmup_target=0.2, warmup_steps=-1), "warmup_steps: got -1"),
    (lambda: CosineDecay(0.1, 9, warmup_target=0.2, warmup_steps=np.inf), "warmup_steps: got inf"),
]


WITHIN: list[Callable[[], object]] = [
    *(lambda: SGD(0.1, momentum=0.0), lambda: SGD(0.1, momentum=1.0)),
    *(lambda: Adam(beta_1=0.0), lambda: Adam(beta_2=0.0), lambda: Lion(beta_1=1.0)),
    *(lambda: SGD(ema_momentum=0.0), lambda: SGD(ema_momentum=1.0)),
    *(lambda: SGD(0.5), lambda: SGD(clipnorm=0.5), lambda: SGD(gradient_accumulation_steps=2)),
    *(lambda: Ftrl(learning_rate_power=0.0), lambda: Ftrl(initial_accumulator_value=0.0)),
    lambda: LossScaleOptimizer(SGD(), initial_scale=0.5),
    lambda: ExponentialDecay(0.1, 0.5, 0.5),
    lambda: CosineDecayRestarts(0.1, 5, t_mul=1.0),
    lambda: CosineDecay(0.1, 9, warmup_target=0.2, warmup_steps=0),
]


def test_a_schedule_without_stairs_has_no_periods() -> None:
    """However late."""
    assert CosineDecay(0.1, 9).periods(100) == 0


@pytest.mark.parametrize("maker", WITHIN)
def test_the_ends_of_a_range_are_within_it(maker: Callable[[], object]) -> None:
    """As the message for what lies outside says."""
    assert maker()


@pytest.mark.parametrize(("maker", "message"), WRONG)
def test_a_bad_argument_is_named(maker: Callable[[], object], message: str) -> None:
    """What came, under the argument's name."""
    with pytest.raises(ValueError, match=message):
        maker()


def test_an_inner_optimizer_has_to_be_one() -> None:
    """A name is not enough."""
    with pytest.raises(TypeError, match="inner_optimizer: got 'adam'"):
        LossScaleOptimizer("adam")  # type: ignore[arg-type]
