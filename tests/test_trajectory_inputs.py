"""What a trajectory or a schedule cannot be judged with is refused, and said to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agreement.trajectory import check_schedule, check_trajectory
from manual_backprop.optimizers import SGD, Adam, LossScaleOptimizer
from manual_backprop.optimizers.schedules import ExponentialDecay

ONE = np.ones(3, np.float32)
WEIGHTS = {"w": ONE}
STEPS = [[ONE], [ONE]]
DECAY = ExponentialDecay(0.1, 5, 0.5)


def state_of(optimizer: Any, **weights: Any) -> Any:
    return optimizer.initial_state(list(weights.values()), list(weights))


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"weights": {"w": np.ones(3)}}, TypeError, r"gradients\[0\]\[0\]: has dtype float32, .*'w'"),
    (
        {"weights": {"w": ONE, "v": np.ones(3)}},
        TypeError,
        r"weights\['v'\]: has dtype float64, expected float32.*astype\('float32'\)",
    ),
    ({"weights": {"w": np.ones(3, int)}}, TypeError, r"weights\['w'\]: has dtype int64"),
    ({"weights": {"w": np.ones(3, np.float16)}}, TypeError, "has dtype float16, expected float32"),
    ({"weights": {"w": None}}, TypeError, r"weights\['w'\]: has dtype object"),
    ({"weights": [ONE]}, TypeError, "weights: got list, expected a dictionary"),
    ({"weights": {1: ONE}}, TypeError, "weights: got 1 as a name, expected a str"),
    ({"weights": {}}, ValueError, "weights: got none"),
    ({"weights": {"w": np.ones((0, 3))}}, ValueError, r"has shape \(0, 3\), which holds no number"),
    ({"gradients": []}, ValueError, "gradients: got no step"),
    ({"gradients": None}, TypeError, "gradients: got NoneType, expected a list of steps"),
    ({"gradients": [1.0]}, TypeError, r"gradients\[0\]: got float, expected a list"),
    ({"gradients": [[ONE], []]}, ValueError, r"gradients\[1\]: got 0 gradients, expected 1"),
    ({"gradients": [[ONE[:2]]]}, ValueError, r"\[0\]\[0\]: has shape \(2,\), expected \(3,\)"),
    ({"gradients": [[None]]}, TypeError, r"gradients\[0\]\[0\]: has dtype object"),
    ({"start": {}}, TypeError, "start: got dict, expected a State"),
    ({"start": state_of(SGD(0.1), w=ONE)}, ValueError, "start: its slots are"),
    ({"start": state_of(Adam(), w=ONE[:2])}, ValueError, "start: its slots are"),
    ({"start": state_of(Adam(), w=np.ones(3))}, ValueError, "start: its slots are .*float64"),
    ({"start": state_of(Adam(), v=ONE)}, ValueError, "start: its names are"),
    ({"start": state_of(LossScaleOptimizer(Adam()), w=ONE)}, ValueError, "start: its shared are"),
    ({"optimizer": "sdg"}, ValueError, "optimizer: unknown name 'sdg'; did you mean 'sgd'"),
    ({"optimizer": 0.1}, TypeError, "optimizer: expected a name or a Optimizer, got float"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG)
def test_what_does_not_fit_is_named(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The argument, what came and what was expected, before anything runs."""
    usual: dict[str, Any] = {"optimizer": Adam(), "weights": WEIGHTS, "gradients": STEPS}
    with pytest.raises(error, match=message):
        check_trajectory(**(usual | {"against": []} | given))


@pytest.mark.parametrize("optimizer", ["sgd", SGD])
def test_an_optimizer_may_be_a_name_or_a_class(optimizer: Any) -> None:
    """As wherever else an optimizer is taken."""
    report = check_trajectory(optimizer, WEIGHTS, STEPS, against=["keras"])
    assert report.agrees, report.conclusion()
    assert report.facts["optimizer"] == repr(SGD())


def test_a_state_without_names_takes_those_of_the_weights() -> None:
    """What an optimizer remembers of weights that it was given in a list; it is not changed."""
    optimizer, weight = Adam(0.1), ONE.copy()
    optimizer.apply([ONE], [weight])
    report = check_trajectory(
        optimizer, {"w": weight}, STEPS, start=optimizer.state, against=["keras"]
    )
    assert report.agrees, report.conclusion()
    assert {v.tensor for v in report.verdicts} >= {"w", "w.momentum"}
    assert optimizer.state is not None
    assert optimizer.state.names == ("",)


WRONG_RATES: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    ((DECAY, [], "float32"), ValueError, "iterations: got none"),
    ((DECAY, 5, "float32"), TypeError, "iterations: got int, expected whole numbers"),
    ((DECAY, [0.5], "float32"), TypeError, "iterations: got 0.5, expected whole numbers"),
    ((DECAY, [-1], "float32"), ValueError, "iterations: got -1, expected whole numbers from 0"),
    ((DECAY, [1], "float23"), ValueError, "dtype: got 'float23', expected 'float32' or"),
    ((DECAY, [1], "int32"), ValueError, "dtype: got 'int32'"),
    ((DECAY, [1], None), ValueError, "dtype: got None"),
    (("cosine", [1], "float32"), ValueError, "schedule: unknown name 'cosine'; did you mean"),
    (("cosine_decay", [1], "float32"), TypeError, r"pass an instance, such as CosineDecay\("),
    ((0.1, [1], "float32"), TypeError, "schedule: expected a name or a Schedule, got float"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG_RATES)
def test_rates_that_cannot_be_judged_are_refused(
    given: Any, error: type[Exception], message: str
) -> None:
    """No iterations, no dtype of ours, no schedule."""
    schedule, iterations, dtype = given
    with pytest.raises(error, match=message):
        check_schedule(schedule, iterations, dtype, against=["keras"])


def test_a_dtype_may_be_numpys() -> None:
    """np.float32 is float32."""
    kind: Any = np.float32
    assert check_schedule(DECAY, [0, 1], kind).agrees
