"""What the derivations by hand give for a recorded case, with bounds: who is right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from agreement.bounded import bounded
from agreement.function_check import expected as expected_of_function
from agreement.precision import precision_of
from agreement.trajectory import expect_trajectory
from agreement.upgrade.items import FAMILIES, Item, catalogue_items
from agreement.upgrade.outcomes import Expected
from manual_backprop import activations
from manual_backprop.typing import Array


def bounds(key: str, case: str, inputs: Mapping[str, Array]) -> Mapping[str, Expected]:
    """What is expected of each tensor; nothing where there is no derivation by hand."""
    family = key.partition("/")[0]
    item = _items(family).get(key)
    if item is None or family not in _JUDGES:
        return {}
    try:
        with np.errstate(all="ignore"):
            return _JUDGES[family](item, inputs)
    except (ValueError, TypeError, NotImplementedError):
        return {}  # what the derivation does not take, such as an axis that the inputs lack


@cache
def _items(family: str) -> dict[str, Item]:
    if family not in FAMILIES:
        return {}
    return {item.key: item for item in catalogue_items([family]) if item.subject is not None}


def _function(item: Item, inputs: Mapping[str, Array]) -> dict[str, Expected]:
    first = inputs["inputs"]
    other = inputs.get("cotangent", first)
    found = expected_of_function(item.subject, first, other, reference=True)
    plain = {name.tensor: _plain(array) for name, array in found.items()}
    kinks = getattr(item.subject, "kinks", ())
    slope = plain["grad_inputs"]
    if isinstance(kinks, tuple) and slope.value.shape == first.shape:
        at = np.isin(first, np.array([*kinks], first.dtype))
        plain["grad_inputs"] = Expected(slope.value, slope.error, at)
    return plain


def _loss(item: Item, inputs: Mapping[str, Array]) -> dict[str, Expected]:
    subject = item.subject
    if "sample_weight" in inputs or "mask" in inputs:
        subject = subject.weighted(inputs.get("sample_weight"), inputs.get("mask"))
    behind = None if item.behind is None else activations.get(item.behind)
    found = expected_of_function(
        subject, inputs["predictions"], inputs["targets"], behind=behind, reference=True
    )
    return {name.tensor: _plain(array) for name, array in found.items()}


def _optimizer(item: Item, inputs: Mapping[str, Array]) -> dict[str, Expected]:
    names = [k.removeprefix("weight.") for k in inputs if k.startswith("weight.")]
    weights = {name: inputs[f"weight.{name}"] for name in names}
    steps = len(inputs[f"gradients.{names[0]}"])
    gradients = [[inputs[f"gradients.{name}"][k] for name in names] for k in range(steps)]
    found = {}
    snapshots = expect_trajectory(copy.copy(item.subject), weights, gradients)
    for number, snapshot in enumerate(snapshots, start=1):
        for name, weight in zip(names, snapshot.weights, strict=True):
            found[f"step_{number}.{name}"] = _plain(weight)
    return found


def _schedule(item: Item, inputs: Mapping[str, Array]) -> dict[str, Expected]:
    like = bounded(np.zeros((), item.dtype), precision_of(np.dtype(item.dtype)))
    rates = [item.subject(int(i), like) for i in inputs["iterations"]]
    plain = [_plain(rate) for rate in rates]
    return {
        "rates": Expected(
            np.array([float(x.value) for x in plain]), np.array([float(x.error) for x in plain])
        )
    }


def _plain(array: Any) -> Expected:
    if hasattr(array, "error"):
        return Expected(np.array(array.value), np.array(array.error))
    return Expected(np.asarray(array, np.float64), np.zeros(np.shape(array)))


_JUDGES: dict[str, Callable[[Item, Mapping[str, Array]], dict[str, Expected]]] = {
    "activations": _function,
    "losses": _loss,
    "regularizers": _function,
    "optimizers": _optimizer,
    "schedules": _schedule,
}
