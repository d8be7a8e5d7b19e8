"""A user's own model: what is recorded of it, and the first layer of which something changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from agreement.upgrade.items import DTYPES, EAGER, Item
from agreement.upgrade.layers import drawing
from agreement.upgrade.outcomes import QUIET, Change
from agreement.upgrade.recording import Recording
from agreement.upgrade.rounding import AMPLIFICATION, ROUNDOFF
from manual_backprop.typing import Array
from reference.observe_model import TAKES


def model_items(path: str) -> Iterator[Item]:
    """The model in either dtype, in inference and training mode.

    Args:
        path: FILE.py:FUNCTION.

    Raises:
        ValueError: if it cannot be loaded.
    """
    from reference.observe_model import load, model

    load(path)
    file, _, function = path.rpartition(":")
    for dtype in DTYPES:
        run = partial(model, path, dtype, drawing("model"))
        cases = {
            case: {"training": np.array(case == "training")} for case in ("inference", "training")
        }
        yield Item("model", function, Path(file).name, dtype, EAGER, cases, run)


def absolute(path: str) -> str:
    """FILE.py:FUNCTION with the whole path of the file, for a process that runs elsewhere."""
    file, _, function = path.rpartition(":")
    return f"{Path(file).absolute()}:{function}" if file else path


def first_layer(
    changed: Collection[str],
    layers: Sequence[str],
    takers: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The layer in which a change begins, in words; "" if no layer's tensor changed.

    Forward, it is the first layer whose output changed. If none did, it is the one nearest to
    the loss whose gradient of a weight, or of the output below, changed although the gradient of
    its own output did not.

    Args:
        changed: names of tensors, as ``reference.observe_model`` gives them.
        layers: all, from the inputs on, such as "00 Dense".
        takers: for each layer those that take its output; the next one without.
    """
    for layer in layers:
        if f"output {layer}" in changed:
            return f"{_spelled(layer)}: its output is the first that changed"
    for number, layer in reversed([*enumerate(layers)]):
        if f"grad_output {layer}" in changed:
            above = [*layers[number + 1 : number + 2]]
            if above and takers is not None:
                above = [*takers.get(layer, ())]
                guilty = f"what takes the output of {_spelled(layer)}"
            else:
                guilty = "the loss"
            guilty = " or ".join(map(_spelled, above)) or guilty
            return f"{guilty}: the gradient of its inputs is the first that changed"
        if any(name.startswith(f"grad_weight {layer}/") for name in changed):
            return f"{_spelled(layer)}: the gradient of its weights is the first that changed"
    return ""


def _spelled(layer: str) -> str:
    number, _, kind = layer.partition(" ")
    return f"layer {int(number)}, {kind}"


def _takers(tensors: Mapping[str, Array], layers: Sequence[str]) -> dict[str, list[str]] | None:
    """For each layer those that take its output; None where that was not recorded."""
    if not any(name.startswith(TAKES) for name in tensors):
        return None
    found: dict[str, list[str]] = {layer: [] for layer in layers}
    for taker in layers:
        for number in tensors.get(f"{TAKES}{taker}", ()):
            found[layers[int(number)]].append(taker)
    return found


def remarks(changes: Sequence[Change], recording: Recording) -> list[str]:
    """For each model that changed, the layer in which the change begins."""
    found = []
    for key, cases in recording.cases.items():
        if not key.startswith("model/"):
            continue
        for name, case in cases.items():
            mine = [c for c in changes if c.key == key and c.case == name]
            tensors = case.observation.tensors
            layers = [
                *dict.fromkeys(
                    tensor.partition(" ")[2].partition("/")[0]
                    for tensor in tensors
                    if tensor.startswith(("output ", "grad_weight "))
                )
            ]
            layers.sort(key=lambda layer: int(layer.partition(" ")[0]))  # more than a hundred too
            moved = [c for c in mine if c.outcome not in QUIET]
            # What is far beyond rounding comes first: a change in float64 makes one of every
            # rounding that float32 has in the same place.
            limit = AMPLIFICATION * ROUNDOFF.get(key.split("/")[3], 0.0)
            far = [c for c in moved if c.difference > limit]
            changed = {c.tensor for c in far or moved}
            words = first_layer(changed, layers, _takers(tensors, layers))
            if words:
                found.append(f"{key.split('/')[1]}, {key.split('/')[3]}, {name}: {words}")
    return found
