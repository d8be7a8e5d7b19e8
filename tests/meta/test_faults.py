"""The catalogue of planted faults: the judge sees every one of them, and where it is."""

from __future__ import annotations

import copy
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from agreement.cases import NETWORK_LOSSES, Kind, Structure, build_case, usual_activations
from agreement.faults import FAMILIES, FAULTS, Fault, Planted, cases_that_show, get, judge, plant
from manual_backprop import SGD, activations
from manual_backprop.activations import ACTIVATIONS

SEED = 3
# Cases, of those in which a fault changes a number, within which the judge must locate it.
CASES = 5


def is_located(planted: Planted) -> bool:
    """Whether the judge's first disagreement is at the fault.

    Eager mode judges the update, for which graph mode would trace anew in every case.
    """
    mode = "keras" if planted.fault.optimizer else "keras-graph"
    found = judge(planted, mode).disagreements
    return bool(found) and (found[0].layer, found[0].tensor) == planted.location


@pytest.fixture(scope="module")
def needed(request: pytest.FixtureRequest) -> Iterator[Counter[int]]:
    """How many faults were located in their first case, how many in their second, …"""
    counted: Counter[int] = Counter()
    yield counted
    figures = ", ".join(f"{count} within {n}" for n, count in sorted(counted.items()))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nfaults located, and how many cases it took: {figures}")


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_is_located(name: str, needed: Counter[int]) -> None:
    """Within a few cases in which the fault shows, the first disagreement is at the fault."""
    tried = list(itertools.islice(cases_that_show(FAULTS[name], SEED), CASES))
    assert tried, "the fault changed no number in any case drawn"
    for number, planted in enumerate(tried, start=1):
        if is_located(planted):
            needed[number] += 1
            return
    pytest.fail(f"not located at {tried[0].location} or its like in {len(tried)} cases")


@pytest.mark.parametrize("name", FAULTS)
def test_the_honest_model_in_the_same_cases_raises_nothing(name: str) -> None:
    """Without the fault the very cases in which it shows agree, so it alone is what is seen."""
    fault = FAULTS[name]
    honest_fault = replace(fault, optimizer=SGD if fault.optimizer else None)
    for planted in itertools.islice(cases_that_show(fault, SEED), 2):
        honest = replace(planted, fault=honest_fault, model=planted.honest, loss=planted.case.loss)
        report = judge(honest, "keras" if fault.optimizer else "keras-graph")
        assert not report.any_disagreement, report.conclusion()


@pytest.mark.parametrize("name", FAULTS)
def test_planting_leaves_the_case_as_it_was(name: str) -> None:
    """A fault lives in a copy: the case's model keeps its class, its weights and its state."""
    planted = next(cases_that_show(FAULTS[name], SEED))
    before = copy.deepcopy(planted.case.model)
    again = plant(planted.fault, planted.case, planted.fault.positions(before, planted.loss)[0])
    model = planted.case.model
    assert type(model) is type(before)
    assert model.layers[0].inputs is None
    for layer, kept in zip(model.layers, before.layers, strict=True):
        assert type(layer) is type(kept)
        assert type(layer.activation) is type(kept.activation)
        for ours, theirs in zip(layer.weights, kept.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert again.model is not model


def test_names_and_sentences_are_in_order() -> None:
    """Names are sorted kebab-case, and each sentence tells a person what happened."""
    assert list(FAULTS) == sorted(FAULTS)
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name
        assert re.fullmatch(r"You[r ].*\.", fault.sentence), f"{name}: {fault.sentence}"
    sentences = Counter(fault.sentence for fault in FAULTS.values())
    assert max(sentences.values()) == 1, sentences.most_common(1)


def test_every_family_is_represented() -> None:
    """At least 60 faults, and none of the families without any."""
    assert len(FAULTS) >= 60
    assert {fault.family for fault in FAULTS.values()} == set(FAMILIES)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_faults_of_its_own(activation: str) -> None:
    """Two faults or more can be planted in networks of this activation and of no other."""
    own = [f.name for f in FAULTS.values() if _activations_of(f) == {activation}]
    assert len(own) >= 2, own


@pytest.mark.parametrize("loss", NETWORK_LOSSES)
def test_every_loss_has_faults_of_its_own(loss: str) -> None:
    """Two faults or more can be planted under this loss and under no other."""
    own = [f.name for f in FAULTS.values() if _losses_of(f) == {loss}]
    assert len(own) >= 2, own


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A misspelt fault is an error that says which one was meant."""
    assert get("relu-mask-missing") is FAULTS["relu-mask-missing"]
    with pytest.raises(ValueError, match=r"did you mean 'relu-mask-missing'\?"):
        get("relu-mask-mising")


def _fits(fault: Fault, structure: Structure) -> bool:
    sizes = (3,) * (len(structure.activations) + 1)
    generator = np.random.default_rng(0)
    case = build_case(structure, sizes, 2, Kind.SMOOTH, generator, "float32")
    return bool(fault.positions(case.model, case.loss))


def _activations_of(fault: Fault) -> set[str]:
    return {
        activations.get(usual).name
        for usual in usual_activations()
        if _fits(fault, Structure((usual,) * 2, (True,) * 2, "mean_squared_error"))
    }


def _losses_of(fault: Fault) -> set[str]:
    found = set()
    for name, loss in NETWORK_LOSSES.items():
        last = loss().fuses_with
        for path in ("fused", "probabilities") if last else ("",):
            if _fits(fault, Structure(("relu", last or "softmax"), (True,) * 2, name, path)):
                found.add(name)
    return found
