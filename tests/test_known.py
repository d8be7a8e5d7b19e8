"""Expected disagreements: each must be seen, so that the release which mends one is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from agreement import check
from agreement.function_check import check_function
from agreement.known import KNOWN, KnownDisagreement
from agreement.verdicts import MANUAL, Verdict
from manual_backprop import NaiveDense, NaiveSequential
from manual_backprop.activations import Activation, Celu, Relu, Selu, Sparsemax
from manual_backprop.losses import Circle

MENDED = "the installed Keras mends finding {}: remove the row and say so in docs/findings.md"
FINDINGS = (Path(__file__).parent.parent / "docs" / "findings.md").read_text()


def row_id(row: KnownDisagreement) -> str:
    """Finding, function and tensors."""
    return f"{row.finding}-{row.function}-{'+'.join(row.tensors)}"


@pytest.mark.parametrize("row", KNOWN, ids=row_id)
def test_keras_is_still_wrong_where_a_row_says_so(row: KnownDisagreement) -> None:
    """The example disagrees in every mode, dtype and tensor of the row, and nowhere else."""
    subject, inputs, other = row.example
    for dtype in row.dtypes:
        numbers = np.array(inputs, dtype)
        second = np.array(other, dtype) if np.array(other).dtype.kind == "f" else np.array(other)
        report = check_function(subject, numbers, second, against=list(row.modes))
        assert not report.any_disagreement, report.conclusion()
        shown = {(v.witness, v.tensor) for v in report.verdicts if v.verdict is Verdict.KNOWN}
        for mode in row.modes:
            for tensor in row.tensors:
                assert (mode, tensor) in shown, MENDED.format(row.finding)
        assert not any(witness == MANUAL for witness, _ in shown)


@pytest.mark.parametrize("row", KNOWN, ids=row_id)
def test_every_row_is_written_up(row: KnownDisagreement) -> None:
    """docs/findings.md has a section of the row's number."""
    assert f"\n## {row.finding}. " in FINDINGS, row.finding


EXACT = [row for row in KNOWN if row.instead is not None or set(row.gives) == {0.0}]


@pytest.mark.parametrize("row", EXACT, ids=row_id)
def test_an_error_on_top_of_a_known_one_is_none_that_is_known(
    row: KnownDisagreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousandth of a tensor's scale more disagrees, of half types a tenth."""
    subject, inputs, other = row.example
    targets = np.array(other)
    for family in ("activation", "loss", "regularizer"):
        original = getattr(reference.functions, family)

        def planted(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            pair = original(*args, **kwargs)
            share, least = (0.1, 1e-2) if pair[0].dtype.itemsize == 2 else (1e-3, 1e-20)
            return tuple(x + share * np.abs(x).max(initial=least) for x in pair)

        monkeypatch.setattr(reference.functions, family, planted)
    for dtype in row.dtypes:
        second = targets.astype(dtype) if targets.dtype.kind == "f" else targets
        report = check_function(subject, np.array(inputs, dtype), second, against=list(row.modes))
        judged = {(v.witness, v.tensor): v.verdict for v in report.verdicts}
        for mode in row.modes:
            for tensor in row.tensors:
                assert judged[mode, tensor] is Verdict.DISAGREE, (mode, tensor)


def seven_times_at_0(kind: type[Activation]) -> Any:
    """A backward that is wrong at 0 only."""
    honest = kind.backward

    def backward(self: Any, grad_output: Any, inputs: Any, output: Any) -> Any:
        grad = honest(self, grad_output, inputs, output)
        return np.where(inputs == 0, 7 * grad_output, grad)

    return backward


def undivided(self: Sparsemax, grad_output: Any, inputs: Any, output: Any) -> Any:
    """Sparsemax' backward without its division by the number of positive outputs."""
    inside = output > 0
    return (grad_output - (grad_output * inside).sum(axis=self.axis, keepdims=True)) * inside


def sevenfold_below_0(self: Selu, grad_output: Any, inputs: Any, output: Any) -> Any:
    """Selu's backward with a wrong slope below 0."""
    return grad_output * np.where(inputs < 0, 7.0, 1.0507009873554805)


PLANTED: list[tuple[Activation, Any, Any]] = [
    (Sparsemax(), undivided, [[1.0, 1.2, 0.9], [0.5, 0.1, 0.0]]),
    (Celu(), seven_times_at_0(Celu), [[0.0, 1.0, -0.0], [-1.0, 2.0, 0.0]]),
    (Selu(), seven_times_at_0(Selu), [[0.0, 1.0, -0.0], [-1.0, 2.0, 0.0]]),
    (Selu(), sevenfold_below_0, [[-1e-20, 1.0, 2.0], [1.0, 2.0, 3.0]]),
    (
        Relu(negative_slope=0.25, max_value=6.0),
        seven_times_at_0(Relu),
        [[0.0, 1.0, -0.0], [-1.0, 2.0, 0.0]],
    ),
]


@pytest.mark.parametrize("derived", [True, False], ids=["subclass", "catalogue"])
@pytest.mark.parametrize(("honest", "backward", "inputs"), PLANTED[:-1])
def test_a_wrong_backward_is_not_excused_where_keras_is_wrong_too(
    honest: Activation,
    backward: Any,
    inputs: Any,
    derived: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in a class of the user's nor in the catalogue's own."""
    _disagrees(honest, backward, inputs, derived, monkeypatch)


def test_a_subclass_is_not_excused_where_only_keras_result_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keras gives 0 at relu's threshold, which says nothing of the right slope."""
    _disagrees(*PLANTED[-1], True, monkeypatch)


def _disagrees(
    honest: Any, backward: Any, inputs: Any, derived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(honest)
    subject = honest
    if derived:
        subject = type("Wrong", (kind,), {"backward": backward})(**honest.arguments)
    else:
        monkeypatch.setattr(kind, "backward", backward)
    upstream = np.array([[1.0, -0.5, 2.0], [0.3, 2.0, 1.0]], "float32")
    modes = ["keras", "keras-graph", "keras-xla"]
    report = check_function(subject, np.array(inputs, "float32"), upstream, against=modes)
    wrong = {(v.witness, v.tensor) for v in report.verdicts if v.verdict is Verdict.DISAGREE}
    assert wrong == {(mode, "grad_inputs") for mode in modes}


def test_a_known_step_of_a_network_is_judged_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """LogCosh in float64, in a model: KNOWN, and with a wrong loss on top of it DISAGREE."""
    model = NaiveSequential(
        [NaiveDense(3, 2, "gelu", dtype="float64"), NaiveDense(2, 2, dtype="float64")]
    )
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    report = check(model, *batch, loss="log_cosh", against=["keras"])
    shown = {v.tensor: v.verdict for v in report.verdicts if v.verdict is not Verdict.AGREE}
    assert not report.any_disagreement
    assert shown["loss"] is Verdict.KNOWN
    assert shown["output"] is Verdict.KNOWN
    original = reference.trace

    def planted(*args: Any, **kwargs: Any) -> Any:
        trace = original(*args, **kwargs)
        trace.loss = trace.loss * 1.001
        return trace

    monkeypatch.setattr(reference, "trace", planted)
    report = check(model, *batch, loss="log_cosh", against=["keras"])
    wrong = [v for v in report.verdicts if v.verdict is Verdict.DISAGREE]
    assert {v.tensor for v in wrong} == {"loss"}


class Recomputing(NaiveDense):
    """A layer that keeps no pre-activation: its backward looks at the layer below again."""

    below: NaiveDense

    def backward_activation(self, grad_output: Any) -> Any:
        z = self.below.output @ self.W + self.b  # type: ignore[operator]
        return self.activation.backward(grad_output, z, self.activation.forward(z))


def test_a_known_step_may_need_the_layers_beside_it() -> None:
    """gelu's constant in float64, above a layer whose output is asked for again."""
    below, above = (
        NaiveDense(3, 3, "tanh", dtype="float64"),
        Recomputing(3, 2, "gelu", dtype="float64"),
    )
    above.below = below
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    report = check(NaiveSequential([below, above]), *batch, loss="mse", against=["keras"])
    shown = {v.tensor for v in report.verdicts if v.verdict is Verdict.KNOWN}
    assert not report.any_disagreement
    assert {"output", "grad_pre_activation"} <= shown


# Two pairs that are right, one that is wrong, and a sample of a class of its own.
APART = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0.6, 0.8], [0, 0.8, 0.6], [0, 0, -1]]


@pytest.mark.parametrize(
    ("gamma", "given", "shows"),
    [
        (2.0, {}, False),
        (400.0, {}, True),
        (400.0, {"mask": [True, False, True, True, True, True, True]}, True),
        (400.0, {"sample_weight": [1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 2.0]}, True),
    ],
)
def test_circle_is_known_where_a_loss_underflows_and_nowhere_else(
    gamma: float, given: dict[str, Any], shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with weights and masks; and no wrong mask of samples without pairs is excused."""
    model = NaiveSequential([NaiveDense.from_weights(np.eye(3, dtype="float32"))])
    batch = np.array(APART, "float32"), np.array([0, 0, 1, 1, 2, 2, 3])
    loss = Circle(gamma=gamma).weighted(**given)
    for planted in (False, True):
        if planted:
            monkeypatch.setattr(Circle, "own_mask", lambda self, labels: labels < 9)
        report = check(model, *batch, loss=loss, against=["keras", "keras-xla"])
        assert report.any_disagreement is planted
        if not planted:
            assert bool(report.known) is shows
