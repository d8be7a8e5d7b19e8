"""What Keras' optimizers are known to get wrong, seen again; a failure here is good news."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agreement.known_updates import KNOWN_UPDATES, KnownUpdate
from agreement.training_step import judge_training_step
from agreement.trajectory import check_schedule, check_trajectory
from agreement.trajectory_cases import draw_trajectory
from agreement.verdicts import Verdict
from manual_backprop import NaiveDense, NaiveSequential, losses
from manual_backprop.optimizers import ScheduleFreeAdamW
from manual_backprop.optimizers.schedules import ExponentialDecay
from reference.frameworks import frameworks

MENDED = "the installed Keras mends finding {}: say so in docs/findings.md"


def steps(optimizer: Any, weight: Any, *gradients: Any) -> np.ndarray:
    """The weight after these steps of a Keras optimizer, eagerly."""
    _, keras = frameworks()
    variable = keras.Variable(weight)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([np.asarray(gradient, variable.dtype)], [variable])
    return np.asarray(variable)


@pytest.mark.parametrize("row", KNOWN_UPDATES, ids=lambda r: f"{r.finding}-{r.kind.__name__}")
def test_every_known_disagreement_shows_and_nothing_else_does(row: KnownUpdate) -> None:
    """The row's example disagrees with the manual code, and agrees with what the row says."""
    if row.in_compiled_model:
        return  # test_schedule_free_forgets_the_weights_in_fit
    for dtype in row.dtypes:
        weights, gradients = draw_trajectory("smooth", dtype, 7)
        weights = {name: (w * row.scale[0]).astype(dtype) for name, w in weights.items()}
        gradients = [[(g * row.scale[1]).astype(dtype) for g in given] for given in gradients]
        report = check_trajectory(row.example(), weights, gradients, end_to_end=False)
        assert not report.any_disagreement, report.conclusion()
        known = [v for v in report.verdicts if v.verdict is Verdict.KNOWN]
        assert known, MENDED.format(row.finding)
        assert {v.witness for v in known} == {"keras"}
        assert all(f"finding {row.finding}" in v.note for v in known)


def test_arguments_are_rounded_to_float32() -> None:
    """Finding 80: ops.cast of a Python number goes by way of float32, whatever floatx is."""
    _, keras = frameworks()
    keras.config.set_floatx("float64")
    try:
        moved = steps(keras.optimizers.SGD(1.0, momentum=0.9), np.zeros(1), [1.0], [0.0])
        first = steps(keras.optimizers.Adam(1.0, epsilon=0.0), np.zeros(1), [1.0])
    finally:
        keras.config.set_floatx("float32")
    assert moved[0] == pytest.approx(-1 - float(np.float32(0.9)), rel=1e-15), MENDED.format(80)
    assert abs(first[0] + 1) > 1e-6, MENDED.format(80)


def test_schedule_free_recovers_its_mean_with_the_wrong_z() -> None:
    """Finding 82: z is 0.9 and 0.8, so x is 0.85 and y is 0.825; Keras has 0.85."""
    _, keras = frameworks()
    optimizer = keras.optimizers.ScheduleFreeAdamW(0.1, beta_1=0.5)
    found = steps(optimizer, np.ones(1, "float32"), [1.0], [1.0])
    assert found[0] == pytest.approx(0.85, rel=1e-5), MENDED.format(82)


def test_schedule_free_forgets_the_weights_in_fit() -> None:
    """Finding 89: compiled, one training step takes a weight of 5 to −0.0025."""
    _, keras = frameworks()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[5.0]])])
    model.compile(keras.optimizers.ScheduleFreeAdamW(), "mse")
    model.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
    assert abs(float(model.weights[0][0, 0])) < 0.01, MENDED.format(89)
    manual = NaiveSequential([NaiveDense(2, 2, "softmax", seed=0)])
    loss = losses.get("sparse_categorical_crossentropy")
    parts = manual, np.ones((2, 2), "float32"), np.array([0, 1]), loss
    report = judge_training_step(
        parts, ScheduleFreeAdamW(), ["keras-graph"], learning_rate=0.01, compiled_model=True
    )
    assert not report.any_disagreement
    assert any("finding 89" in v.note for v in report.verdicts if v.verdict is Verdict.KNOWN)


def test_ftrl_takes_its_strength_twice() -> None:
    """Finding 83: documented and in the paper it is λ₂, which alone stands beside √n/η."""
    _, keras = frameworks()
    optimizer = keras.optimizers.Ftrl(
        1.0, initial_accumulator_value=1.0, l2_regularization_strength=1.0
    )
    found = steps(optimizer, np.zeros(1, "float32"), [3.0])  # z = 3, √n = √10
    assert found[0] == pytest.approx(-3 / (10**0.5 + 2), rel=1e-6), MENDED.format(83)


def test_ftrl_divides_zero_by_zero() -> None:
    """Finding 84: an accumulator that starts from 0, as documented, and a zero gradient."""
    _, keras = frameworks()
    optimizer = keras.optimizers.Ftrl(initial_accumulator_value=0.0)
    assert np.isnan(steps(optimizer, np.ones(1, "float32"), [0.0])).all(), MENDED.format(84)


def test_adafactor_ignores_relative_step() -> None:
    """Finding 85: with and without it the steps are the same, 1/√t from some t on."""
    _, keras = frameworks()
    weight, gradients = np.ones(1, "float32"), [[1.0]] * 9
    found = [
        steps(keras.optimizers.Adafactor(0.5, relative_step=given), weight, *gradients)
        for given in (True, False)
    ]
    assert np.array_equal(*found), MENDED.format(85)


def test_an_average_moves_while_gradients_are_accumulated() -> None:
    """Finding 86: the fifth gradient only fills the accumulator, and the average moves to −1.75."""
    _, keras = frameworks()
    optimizer = keras.optimizers.SGD(
        1.0, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2
    )
    # w is 0, −1, −1, −2, −2; averages of the updated weights are −1, then −1.5.
    steps(optimizer, np.zeros(1, "float32"), *[[1.0]] * 5)
    average = float(np.asarray(optimizer._model_variables_moving_average[0])[0])
    assert average == -1.75, MENDED.format(86)


@pytest.mark.parametrize(("option", "wanted"), [("clipnorm", 0.0), ("global_clipnorm", np.nan)])
def test_large_gradients_are_not_clipped_but_lost(option: str, wanted: float) -> None:
    """Finding 87: of a gradient of 1e30 clipnorm leaves nothing, and global_clipnorm NaN."""
    _, keras = frameworks()
    optimizer = keras.optimizers.SGD(1.0, **{option: 1.0})
    found = steps(optimizer, np.zeros(1, "float32"), [1e30])
    assert np.array_equal(found, [wanted], equal_nan=True), MENDED.format(87)


def test_stairs_come_late_in_graph_mode() -> None:
    """Finding 90: at step 41 of 41 the rate has not halved; eagerly it has."""
    tf, keras = frameworks()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 41, 0.5, staircase=True)
    step = tf.constant(41, tf.int64)
    assert float(schedule(step)) == np.float32(0.05)
    assert float(tf.function(schedule)(step)) == np.float32(0.1), MENDED.format(90)
    ours = ExponentialDecay(0.1, 41, 0.5, staircase=True)
    report = check_schedule(ours, [40, 41, 42], "float32", ["keras", "keras-graph"])
    known = [v.name for v in report.verdicts if v.verdict is Verdict.KNOWN]
    assert known == ["iteration 41.exponential_decay"]
    assert not report.any_disagreement


def test_a_restart_is_missed() -> None:
    """Finding 90: at the third restart, in graph mode and float64, the rate is 0, not 0.1."""
    tf, keras = frameworks()
    schedule = keras.optimizers.schedules.CosineDecayRestarts(np.float64(0.1), 8)
    found = float(tf.function(schedule)(tf.constant(56, tf.int64)))
    assert found < 1e-15, MENDED.format(90)


def test_a_polynomial_decay_is_nan_at_its_end() -> None:
    """Finding 91: XLA takes the root of 1 − 3 (1/3) in one rounding, a little below 0."""
    tf, keras = frameworks()
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 3, 0.0, power=0.5)
    end = tf.constant(3, tf.int64)
    assert float(schedule(end)) == 0
    compiled = tf.function(schedule, jit_compile=True)
    assert np.isnan(float(compiled(end))), MENDED.format(91)


def test_a_centred_rmsprop_is_nan() -> None:
    """Finding 92: the variance of a constant gradient rounds to less than −ε."""
    _, keras = frameworks()
    optimizer = keras.optimizers.RMSprop(centered=True)
    found = steps(optimizer, np.ones(1, "float32"), *[[11.0]] * 150)
    assert np.isnan(found).all(), MENDED.format(92)


def test_rmsprop_documents_another_epsilon() -> None:
    """Finding 93: documented is Kingma and Ba's ε̂, beside the root; it stands inside."""
    _, keras = frameworks()
    assert "epsilon hat" in (keras.optimizers.RMSprop.__doc__ or "")
    found = steps(keras.optimizers.RMSprop(1.0, epsilon=1.0), np.zeros(1, "float32"), [1.0])
    assert found[0] == pytest.approx(-1 / (0.1 + 1) ** 0.5, rel=1e-6), MENDED.format(93)


def test_lamb_has_no_name() -> None:
    """Finding 94: keras.optimizers.get knows every optimizer by name but Lamb."""
    _, keras = frameworks()
    assert isinstance(keras.optimizers.get("lion"), keras.optimizers.Lion)
    with pytest.raises(ValueError, match="lamb"):
        keras.optimizers.get("lamb")


def test_powers_of_float64_lose_digits() -> None:
    """Finding 95: eager tf.pow errs by dozens of units of roundoff, XLA by less than one."""
    tf, _ = frameworks()
    generator = np.random.default_rng(0)
    base, exponent = generator.uniform(0.5, 2, 20_000), generator.uniform(-200, 200, 20_000)
    right = base.astype(np.longdouble) ** exponent.astype(np.longdouble)

    def error(power: Any) -> float:
        with np.errstate(all="ignore"):
            found = np.abs(power(base, exponent).numpy() - right) / (right * 2.0**-53)
        return float(found.max())

    assert error(tf.function(tf.pow, jit_compile=True)) < 2
    assert error(tf.pow) > 20, MENDED.format(95)
