"""Where a change shows most simply, and who is right about it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agreement.upgrade.outcomes import Change, Expected, Side
from agreement.upgrade.recording import Recording
from agreement.upgrade.rounding import relative
from manual_backprop.typing import Array
from reference.observe_layers import QUOTIENT, SLOPE

# How many times nearer to the derivation one side must be to be in the right without agreeing.
FAR_CLOSER = 4
# How well a difference quotient of a layer's output is known.
SLOPE_ERROR = 1e-6


def describe(
    change: Change,
    a: Array,
    b: Array,
    expected: Expected | None,
    outside: Array,
    inputs: Mapping[str, Array],
) -> None:
    """Fill in what, where, how much, and who is right."""
    difference = np.where(outside, relative(a, b), 0.0)
    change.difference = float(difference.max()) if difference.size else 0.0
    change.elements, change.size = int(outside.sum()), int(outside.size)
    if not change.elements:
        return
    shown = outside
    if a.dtype.kind == b.dtype.kind == "f":
        turned = outside & (np.isnan(a) != np.isnan(b))
        shown = turned if turned.any() else outside
    # The rows of weights, states and of what a training reports are no samples.
    of_samples = change.family != "training" or change.tensor == "predictions"
    of_samples = of_samples and not change.tensor.startswith(("grad_weight", "state"))
    change.where, change.shown_by = simplest(shown, inputs if of_samples else {})
    change.before, change.after = float(a[change.where]), float(b[change.where])
    if expected is None:
        return
    change.expected = float(expected.value[change.where])
    change.allowed = float(expected.error[change.where])
    if change.side is Side.UNKNOWN:
        change.side, change.note = _side(a, b, expected, outside)


def _side(a: Array, b: Array, expected: Expected, outside: Array) -> tuple[Side, str]:
    """Who agrees with the derivation in the elements that changed, or is far closer to it."""
    with np.errstate(all="ignore"):
        old, new = (np.abs(np.asarray(x, np.float64) - expected.value)[outside] for x in (a, b))
    error = expected.error[outside]
    old_agrees, new_agrees = old <= error, new <= error
    if expected.kinked is not None and expected.kinked[outside].all():
        agreeing = [
            name
            for name, found in (("the old release", old_agrees), ("the new release", new_agrees))
            if found.all()
        ]
        return Side.CONVENTION, f"at a kink; {' and '.join(agreeing) or 'neither'} chooses as we do"
    only_old, only_new = (old_agrees & ~new_agrees).any(), (new_agrees & ~old_agrees).any()
    if only_old and only_new:
        return Side.CONVENTION, "each agrees with the derivation by hand in some elements"
    if only_old:
        return Side.REGRESSION, "the old release agrees with the derivation by hand"
    if only_new:
        return Side.FIX, "the new release agrees with the derivation by hand"
    if (old_agrees & new_agrees).any():
        return Side.CONVENTION, "both are within the bound"
    if FAR_CLOSER * old.sum() <= new.sum():
        return Side.REGRESSION, "neither agrees with the derivation by hand; the old is far closer"
    if FAR_CLOSER * new.sum() <= old.sum():
        return Side.FIX, "neither agrees with the derivation by hand; the new is far closer"
    return Side.CONVENTION, "neither agrees with the derivation by hand"


def simplest(outside: Array, inputs: Mapping[str, Array]) -> tuple[tuple[int, ...], str]:
    """The index of the changed element with the simplest inputs, and these in words."""
    places = [tuple(int(i) for i in place) for place in np.argwhere(outside)]
    main = inputs.get("inputs", inputs.get("predictions"))
    if main is None or not places:
        return (places[0] if places else ()), ""
    rows = {
        k: v for k, v in inputs.items()
        if k not in ("training",) and v.ndim and len(v) == len(main)
    }  # fmt: skip

    def spelled(place: tuple[int, ...]) -> str:
        if "cotangent" in rows and rows["cotangent"].shape == main.shape == outside.shape:
            found = {"x": main[place], "upstream": rows["cotangent"][place]}
            return ", ".join(f"{k} = {float(v)!r}" for k, v in found.items())
        if not place or place[0] >= len(main):
            return ""
        return ", ".join(f"{k} = {_listed(v[place[0]])}" for k, v in rows.items())

    best = min(places[:200], key=lambda place: (_letters(main, place, outside), place))
    return best, spelled(best)


def _letters(main: Array, place: tuple[int, ...], outside: Array) -> int:
    """How long the inputs at a place are when written down."""
    if main.shape == outside.shape and place:
        chosen = main[place] if main.ndim else main
    else:
        chosen = main[place[0]] if place and place[0] < len(main) else main
    return sum(len(repr(float(x))) for x in np.ravel(chosen)[:64])


def _listed(array: Array) -> str:
    flat = np.asarray(array)
    if flat.size > 12:
        return f"({spelled_shape(flat)})"
    return str(flat.tolist())


def judge_by_slope(change: Change, before: Recording, after: Recording) -> None:
    """Who is right about a gradient without a derivation, while outputs are what they were.

    In float64 the slope along a random direction was recorded twice: by the gradients, and by a
    difference quotient of the outputs. The side on which the two agree is right.
    """
    if change.side is not Side.UNKNOWN or not change.tensor.startswith("grad"):
        return
    key = change.key.replace("/float32/", "/float64/").removesuffix("-graph")
    sound = []
    quotients = []
    for recording in (before, after):
        case = recording.cases.get(key, {}).get(change.case)
        found = {} if case is None else case.observation.tensors
        if SLOPE not in found or QUOTIENT not in found:
            return
        slope, quotient = float(found[SLOPE]), float(found[QUOTIENT])
        sound.append(abs(slope - quotient) <= SLOPE_ERROR * (1 + abs(quotient)))
        quotients.append(quotient)
    if abs(quotients[1] - quotients[0]) > SLOPE_ERROR * (1 + abs(quotients[0])):
        return  # another output has another gradient
    if sound == [True, False]:
        change.side = Side.REGRESSION
        change.note = "the old gradient is the output's, by difference quotients; the new is not"
    elif sound == [False, True]:
        change.side = Side.FIX
        change.note = "the new gradient is the output's, by difference quotients; the old is not"


def spelled_shape(array: Array) -> str:
    """An array's shape in words."""
    return "×".join(map(str, array.shape)) or "of a scalar"
