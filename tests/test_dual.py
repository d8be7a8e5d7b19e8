"""Dual numbers derive the forward code: a third opinion that shares no backward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreement import check
from agreement.cases import Case, Kind, structures, usual_activations
from agreement.checking import gather_traces, judge_traces
from agreement.dual import DualArray
from agreement.opinion import DIRECTIONS, _Witness, dual_trace
from agreement.report import Report
from agreement.strategies import cases, seeds
from agreement.ties import Run
from agreement.verdicts import Verdict
from manual_backprop import Activation, NaiveDense, NaiveSequential, activations
from manual_backprop.losses import LOSSES

# As for float64 models: wider than what is judged, or the opinion's own rounding is judged too.
WORK = np.dtype(np.longdouble)


def dual(value: np.ndarray) -> DualArray:
    directions = np.eye(value.size).reshape(value.size, *value.shape)
    return DualArray(value, directions.astype(WORK), Run(WORK), WORK)


def report_on(case: Case) -> Report:
    parts = (case.model, case.inputs, case.targets, case.loss)
    return Report(judge_traces(*parts, gather_traces(*parts, ["dual"])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_dual_numbers_raise_no_false_alarm(dtype: str, data: st.DataObject) -> None:
    """On smooth and hostile networks no gradient of the manual code is called wrong."""
    report = report_on(data.draw(cases(dtype)))
    assert not report.any_disagreement, report.conclusion()


@given(case=cases(among=[s for s in structures() if s.activations[-1] == "softmax"]))
def test_dual_numbers_have_an_opinion_in_both_views(case: Case) -> None:
    """Every weight's gradient has a verdict by the dual numbers, locally and end to end."""
    found = {(v.name, v.view) for v in report_on(case).verdicts if v.witness == "dual"}
    for name in case.model.gradient_names:
        assert len([view for tensor, view in found if tensor == str(name)]) == 2


@pytest.mark.parametrize("subject", usual_activations(), ids=str)
@given(seed=seeds())
def test_a_full_jacobian_by_duals_contracts_to_the_backward(
    subject: str | Activation, seed: int
) -> None:
    """Jᵀ·cotangent from dual numbers is the hand-derived backward, within its bound."""
    from agreement.bounded import bounded
    from agreement.precision import precision_of

    generator = np.random.default_rng(seed)
    activation = activations.get(subject)
    z = generator.normal(size=(3, 4))
    cotangent = generator.normal(size=activation.forward(z).shape)
    jacobian = activation.forward(dual(z)).tangents
    pulled_back = np.tensordot(jacobian, cotangent, axes=2).reshape(z.shape)
    exact_z, exact_cotangent = (bounded(x, precision_of("float64")) for x in (z, cotangent))
    allowed = activation.backward(exact_cotangent, exact_z, activation.forward(exact_z))
    # What cancels in 1 - 1/cosh² is as exact as the dual arithmetic, not as its result.
    own = (
        np.finfo(pulled_back.dtype).eps * np.abs(allowed.value + cotangent[..., : z.shape[-1]])
        if cotangent.shape == z.shape
        else 0.0
    )
    assert (np.abs(pulled_back - allowed.value) <= allowed.error + own).all()


def test_at_a_kink_the_dual_numbers_abstain() -> None:
    """relu′(0) is a convention: the opinion there is NaN, and elsewhere it is not."""
    model = NaiveSequential([NaiveDense.from_weights(np.eye(2), activation="relu")])
    inputs, targets = np.array([[0.0, 1.0]]), np.array([[1.0, 3.0]])
    loss = LOSSES["mean_squared_error"]()
    found = dual_trace(model, inputs, targets, loss).layers[0].grad_pre_activation
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 2 * (1 - 3) / 2
    alone = check(model, inputs, targets, loss=loss, against=["dual"])
    assert not alone.any_disagreement
    assert "dense_1.grad_pre_activation" in alone.unjudged
    assert check(model, inputs, targets, loss=loss, against=["keras", "dual"]).agrees


def test_a_tie_that_does_not_matter_is_no_abstention() -> None:
    """Softmax of equal logits has a tie in its shift, but a derivative all the same."""
    model = NaiveSequential([NaiveDense.from_weights(np.zeros((2, 3)), activation="softmax")])
    loss = LOSSES["sparse_categorical_crossentropy"]()
    found = dual_trace(model, np.ones((1, 2)), np.array([0]), loss).layers[0].grad_pre_activation
    assert np.array_equal(np.round(found, 12), np.round([[1 / 3 - 1, 1 / 3, 1 / 3]], 12))


@given(case=cases(kinds=[Kind.SMOOTH]))
def test_chained_steps_give_what_one_pass_gives(case: Case) -> None:
    """The tangents of steps, chained, are those of the whole pass, but for rounding."""
    parts = case.model, case.inputs, case.targets, case.loss
    chained = dual_trace(*parts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Witness, "_can_be_chained", lambda self, directions: False)
        whole = dict(dual_trace(*parts).tensors())
    assert {name for name, _ in chained.tensors()} == {*whole}
    for name, found in chained.tensors():
        scale = np.abs(whole[name]).max(initial=0.0)
        assert np.allclose(found, whole[name], rtol=1e-9, atol=1e-9 * scale, equal_nan=True), name


def test_large_networks_are_judged_along_random_directions() -> None:
    """Where full gradients cost too much, directions stand in, and a fault is still seen."""
    generator = np.random.default_rng(0)
    model = NaiveSequential([NaiveDense(300, 200, "tanh"), NaiveDense(200, 10, "softmax")])
    inputs, labels = generator.random((4, 300)), generator.integers(0, 10, 4)
    trace = dual_trace(
        model, inputs.astype("f"), labels, LOSSES["sparse_categorical_crossentropy"]()
    )
    assert not trace.gradients
    assert {len(values) for _, values in trace.projections.values()} == {DIRECTIONS}
    assert check(model, inputs, labels, against=["dual"]).agrees

    class Halved(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            grad_inputs = super().backward_affine(grad_pre_activation)
            self.gradients[0] = self.gradients[0] / 2
            return grad_inputs

    model.layers[0].__class__ = Halved
    report = check(model, inputs, labels, against=["dual"])
    assert {v.name for v in report.disagreements} == {"dense_1.grad_W"}


def test_a_wrong_forward_is_not_blamed_on_the_backward() -> None:
    """Against Keras a faulty forward is named as such; the dual numbers share it and agree."""

    class Doubled(NaiveDense):
        def affine(self, inputs):
            return super().affine(2 * inputs)

        def backward_affine(self, grad_pre_activation):
            return 2 * super().backward_affine(grad_pre_activation)

    model = NaiveSequential([NaiveDense(3, 4, "tanh", seed=0), NaiveDense(4, 2, "softmax", seed=1)])
    model.layers[0].__class__ = Doubled
    inputs, labels = np.random.default_rng(2).normal(size=(5, 3)), [0, 1, 1, 0, 1]
    report = check(model, inputs, labels, against=["keras", "dual"])
    forward = [v for v in report.disagreements if not v.tensor.startswith("grad_")]
    assert forward[0].name == "dense_1.pre_activation"
    assert "forward passes differ" in report.diagnoses["dense_1.pre_activation"].side
    assert not [v for v in report.verdicts if v.witness == "dual" and v.verdict is Verdict.DISAGREE]


@pytest.mark.parametrize("penalty", [None, "l2"])
def test_ties_that_cancel_when_all_are_decided_otherwise_are_no_derivative(
    penalty: str | None,
) -> None:
    """ELU at 0 and absolute errors of 0: both extremes give a gradient of 0, which it is not."""
    model = NaiveSequential([NaiveDense(1, 1, "elu", kernel_regularizer=penalty)])
    for weight in model.weights:
        weight[...] = 0.0
    inputs, targets = np.ones((4, 1), "float32"), np.array([[1], [1], [0], [0]], "float32")
    report = check(model, inputs, targets, loss="mean_absolute_error", against=["dual"])
    assert not report.disagreements
