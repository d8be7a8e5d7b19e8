"""``agreement explain``: everything known of one function, from the code or measured."""

from __future__ import annotations

from typing import Any

import pytest

from agreement.coverage import EXCEPTIONS
from agreement.explain import USUAL_FLOOR, _floors, explain
from manual_backprop.activations import ACTIVATIONS
from manual_backprop.initializers import INITIALIZERS
from manual_backprop.losses import LOSSES
from manual_backprop.optimizers import OPTIMIZERS
from manual_backprop.optimizers.schedules import SCHEDULES
from manual_backprop.regularizers import REGULARIZERS

FAMILIES = (ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES, REGULARIZERS, INITIALIZERS)


@pytest.mark.parametrize("name", [name for family in FAMILIES for name in family])
def test_every_member_is_explained(name: str) -> None:
    """A derivation, a domain and kinks in words; a high floor comes with its reason."""
    facts = explain(name, against=["keras"])
    assert facts.derivation
    assert facts.domain
    assert facts.kinks
    unusual = [floor for floor in facts.floors.get("float32", ()) if floor > USUAL_FLOOR]
    assert bool(unusual) == (facts.conditioning is not None)
    assert name in str(facts)


@pytest.mark.parametrize("kind", [*ACTIVATIONS.values(), *LOSSES.values()], ids=lambda k: k.name)
def test_on_smooth_numbers_every_bound_is_sharp(kind: Any) -> None:
    """No floor of the catalogue is unusual in float32."""
    assert max(_floors(kind(**kind.variants[0]), "float32")) <= USUAL_FLOOR


def test_conventions_in_which_references_differ_are_shown() -> None:
    """celu at 0: Keras counts both pieces, the manual code one."""
    said = str(explain("celu"))
    assert "finding 20" in said


def test_expected_disagreements_of_an_optimizer_are_shown_once() -> None:
    """A finding in two dtypes is one line."""
    facts = explain("ftrl")
    assert sum("finding 83" in text for text in facts.expected_disagreements) == 1


@pytest.mark.parametrize("name", ["STFT", "stft", "MultiOptimizer", "multi_optimizer"])
def test_what_the_catalogue_lacks_is_explained_by_its_reason(name: str) -> None:
    """As ``agreement coverage`` gives it, and no other name is suggested."""
    said = str(explain(name))
    assert any(reason in said for reason in EXCEPTIONS.values())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """The error names the argument and what is close."""
    with pytest.raises(ValueError, match="softplus"):
        explain("softplsu")
