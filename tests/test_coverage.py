"""The catalogue against the installed Keras: nothing is without a counterpart or a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from agreement.coverage import (
    ELSEWHERE,
    EXCEPTIONS,
    FAMILIES,
    Row,
    counterpart,
    coverage_table,
    missing_arguments,
    summary,
    verify_function,
)
from agreement.function_check import check_function
from agreement.report import Report
from agreement.verdicts import MANUAL, Verdict
from manual_backprop.activations import Softsign
from reference.members import Member, members


@pytest.fixture(autouse=True)
def _members_anew() -> Iterator[None]:
    members.cache_clear()
    yield
    members.cache_clear()


def lacking() -> list[str]:
    """Every member of Keras that has no counterpart, or one with fewer arguments, in words."""
    found = []
    for member in members():
        ours, _ = FAMILIES[member.family]
        kind = counterpart(member.names, ours)
        where = f"keras.{member.family}.{member.names[0]}"
        if kind is None and member.names[0] not in EXCEPTIONS:
            found.append(f"{where}: derive it in manual_backprop, or give a reason in EXCEPTIONS")
        elif kind is not None and (arguments := missing_arguments(member, kind)):
            found.append(f"{where}: {kind.__name__} lacks {', '.join(arguments)}")
    return found


def test_every_member_of_keras_has_a_counterpart_with_its_arguments() -> None:
    """Or one of at most three exceptions, each of which Keras has and we have not."""
    assert lacking() == []
    assert len(EXCEPTIONS) <= 3
    ours = {name for mine, _ in FAMILIES.values() for name in mine}
    assert not ours & {*EXCEPTIONS}
    assert {*EXCEPTIONS} <= {member.names[0] for member in members()}


@pytest.mark.parametrize(
    ("module", "name", "new"),
    [
        ("activations", "brand_new", lambda x, sharpness=1.0: x),
        ("losses", "BrandNew", type("BrandNew", (keras.losses.Loss,), {})),
        ("regularizers", "BrandNew", type("BrandNew", (keras.regularizers.Regularizer,), {})),
        ("initializers", "BrandNew", type("BrandNew", (keras.initializers.Initializer,), {})),
        ("optimizers", "BrandNew", type("BrandNew", (keras.optimizers.Optimizer,), {})),
    ],
)
def test_a_new_member_of_keras_is_noticed(
    module: str, name: str, new: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that adds one makes the test above fail with what to do."""
    new.__name__ = name  # type: ignore[attr-defined]
    monkeypatch.setattr(getattr(keras, module), name, new, raising=False)
    assert lacking() == [
        f"keras.{module}.{name}: derive it in manual_backprop, or give a reason in EXCEPTIONS"
    ]


def test_a_new_argument_of_keras_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that gives softsign a sharpness makes it fail as well."""

    def softsign(x, sharpness=1.0):
        return keras.ops.softsign(x)

    monkeypatch.setattr(keras.activations, "softsign", softsign)
    assert lacking() == ["keras.activations.softsign: Softsign lacks sharpness"]


def test_arguments_that_are_given_elsewhere_are_none_that_are_missing() -> None:
    """Initializers take a Generator when they are called, not a seed."""
    member = Member("activations", ("softsign",), (*ELSEWHERE,))
    assert missing_arguments(member, Softsign) == []


def test_a_wrong_derivation_is_not_called_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row says what disagrees; an honest one is verified, with figures."""
    row = Row("activations", "softsign")
    verify_function(Softsign, row, ["keras"], 1)
    assert row.is_settled
    assert row.checks
    assert 0 < row.floor < 1e-5
    honest = Softsign.backward
    monkeypatch.setattr(
        Softsign,
        "backward",
        lambda self, grad_output, inputs, output: np.sqrt(
            honest(self, grad_output, inputs, output) * grad_output
        ),
    )
    wrong = Row("activations", "softsign")
    verify_function(Softsign, wrong, ["keras"], 1)
    assert wrong.status == "disagrees"
    assert "grad_inputs" in wrong.note
    assert not wrong.is_settled
    assert "1 disagrees" in summary([row, wrong])
    assert coverage_table([row, wrong]).row_count == 2


def test_what_is_only_known_to_be_wrong_is_not_called_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a reference never agrees there is no evidence, and the row says of what."""

    def all_known(*args: Any, **options: Any) -> Report:
        report = check_function(*args, **options)
        for v in report.verdicts:
            if v.witness != MANUAL and v.tensor == "grad_inputs":
                v.verdict, v.note = Verdict.KNOWN, "finding 26: …"
        return report

    monkeypatch.setattr("agreement.coverage.check_function", all_known)
    row = Row("activations", "softsign")
    verify_function(Softsign, row, ["keras"], 1)
    assert row.status == "not verified"
    assert row.note == "no evidence for grad_inputs"
    assert not row.is_settled
    assert "evident" not in row.to_dict()
