"""What changed between two recordings, tensor by tensor.

Bitwise equal numbers are identical; others differ by rounding (see ``rounding``), or are a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agreement.upgrade.items import covers
from agreement.upgrade.outcomes import (
    Bounds,
    Change,
    Comparison,
    Expected,
    Outcome,
    Side,
    no_bounds,
)
from agreement.upgrade.recording import Case, Recording, RecordingError
from agreement.upgrade.rounding import Spread, equal, is_rounding, largest, relative, shrinks
from agreement.upgrade.sides import describe, judge_by_slope, spelled_shape
from manual_backprop.typing import Array
from reference.observation import ABSENT, PRESENT, RAISED
from reference.observe_layers import QUOTIENT, SLOPE
from reference.observe_model import GIVEN, TAKES

# The family of a user's own model.
MODEL = "model"


def compare(before: Recording, after: Recording, bounds: Bounds = no_bounds) -> Comparison:
    """Compare all that both recordings were asked for.

    Raises:
        RecordingError: if they have nothing in common.
    """
    asked = [[*found.families, *([MODEL] if found.model else [])] for found in (before, after)]
    every = dict.fromkeys([*before.cases, *after.cases])
    keys = [key for key in every if all(covers(names, key) for names in asked)]
    result = Comparison(_facts(before), _facts(after))
    if not keys:
        raise RecordingError(
            f"{before.title} and {after.title} have nothing in common: they hold "
            f"{', '.join(asked[0]) or 'nothing'} and {', '.join(asked[1]) or 'nothing'}."
        )
    if before.machine != after.machine:
        result.notes.append("recorded on different machines: other kernels may round otherwise")
    if set(asked[0]) != set(asked[1]):
        held = [
            f"{f.title} holds {', '.join(a)}" for f, a in zip((before, after), asked, strict=True)
        ]
        result.notes.append(f"compared is what both hold: {'; '.join(held)}")
    both = _Pair(before, after, bounds, result)
    for key in keys:
        both.compare_item(key)
    both.doubt_models_that_raise()
    if before.versions == after.versions and any(c.family == MODEL for c in result.changed):
        result.notes.append("the releases are the same: has the file of the model changed?")
    for change in result.changes:
        judge_by_slope(change, before, after)
    result.changes.sort(key=_gravity)
    return result


def _facts(recording: Recording) -> dict[str, Any]:
    return {"title": recording.title, **recording.versions, **recording.machine}


def _gravity(change: Change) -> tuple[Any, ...]:
    order = list(Outcome)
    return (change.family, change.function, -order.index(change.outcome), -change.difference)


class _Pair:
    """Two recordings that are being compared."""

    def __init__(
        self, before: Recording, after: Recording, bounds: Bounds, result: Comparison
    ) -> None:
        self.before, self.after, self.bounds, self.result = before, after, bounds, result

    def compare_item(self, key: str) -> None:
        old, new = self.before.cases.get(key, {}), self.after.cases.get(key, {})
        for name in [*old, *(name for name in new if name not in old)]:
            if name in old and name in new:
                self._compare_case(key, name, old[name], new[name])
            else:
                self.result.incomparable.append(f"{key}/{name}: only in one recording")

    def doubt_models_that_raise(self) -> None:
        """A user's model that raises whatever it is tried with, on both sides, tells nothing."""
        cases: dict[str, list[tuple[str, str, str]]] = {}
        for key, old in self.before.cases.items():
            new = self.after.cases.get(key, {})
            for name in (name for name in old if name in new and key.startswith(f"{MODEL}/")):
                seen = old[name].observation, new[name].observation
                raises = all(found.status == RAISED for found in seen)
                place = "/".join(key.split("/")[:3])
                cases.setdefault(place, []).append((key, name, seen[1].error if raises else ""))
        for mine in cases.values():
            failing = [(f"{key}/{name}", error) for key, name, error in mine if error]
            if len(failing) == len(mine):
                self.result.incomparable += [f"{which}: raises {why}" for which, why in failing]
            else:
                self.result.notes += [f"{which}: raises {why}" for which, why in failing]

    def _compare_case(self, key: str, name: str, old: Case, new: Case) -> None:
        statuses = old.observation.status, new.observation.status
        if statuses == (ABSENT, ABSENT):
            return
        if not _same_inputs(old.inputs, new.inputs):
            self.result.incomparable.append(f"{key}/{name}: recorded with other inputs")
            return
        if statuses == (PRESENT, PRESENT):
            self._compare_tensors(key, name, old, new)
            return
        outcome, note = _of_statuses(old, new)
        self.result.counts[outcome] += 1
        if outcome is not Outcome.IDENTICAL:
            change = _change(key, name, "", outcome, note=note)
            if RAISED in statuses and ABSENT not in statuses:
                self._judge_error(change, old, new)
            self.result.changes.append(change)

    def _judge_error(self, change: Change, old: Case, new: Case) -> None:
        """Raising is wrong where the derivation gives numbers, and right nowhere else."""
        expected = self.bounds(change.key, change.case, old.inputs)
        if expected and any(np.isfinite(e.value).any() for e in expected.values()):
            newly = change.outcome is Outcome.NEWLY_RAISING
            change.side = Side.REGRESSION if newly else Side.FIX

    def _compare_tensors(self, key: str, name: str, old: Case, new: Case) -> None:
        expected: Mapping[str, Expected] | None = None
        tensors = old.observation.tensors, new.observation.tensors
        given = [{t: x for t, x in found.items() if t.startswith(GIVEN)} for found in tensors]
        if all(given) and not _same_inputs(*given):
            self.result.incomparable.append(f"{key}/{name}: the model was given other inputs")
            return
        for tensor in [*tensors[0], *(t for t in tensors[1] if t not in tensors[0])]:
            if tensor in (SLOPE, QUOTIENT) or tensor.startswith((GIVEN, TAKES)):
                continue  # what gradients are judged by, and what a model was given and is
            if any(tensor not in found for found in tensors):
                words = "no longer there" if tensor in tensors[0] else "was not there before"
                self._add(_change(key, name, tensor, Outcome.CHANGED, note=words))
                continue
            a, b = (found[tensor] for found in tensors)
            if a.dtype == b.dtype and a.shape == b.shape and equal(a, b).all():
                self.result.counts[Outcome.IDENTICAL] += 1
                continue
            if expected is None:
                expected = self.bounds(key, name, old.inputs)
            self._differ(key, name, tensor, a, b, expected.get(tensor), old.inputs)

    def _differ(
        self, key: str, name: str, tensor: str, a: Array, b: Array,
        expected: Expected | None, inputs: Mapping[str, Array],
    ) -> None:  # fmt: skip
        if a.shape != b.shape:
            change = _change(key, name, tensor, Outcome.CHANGED)
            change.note = f"has shape {spelled_shape(b)}, had {spelled_shape(a)}"
            if expected is not None and expected.value.shape in (a.shape, b.shape):
                right = expected.value.shape == a.shape
                change.side = Side.REGRESSION if right else Side.FIX
            self._add(change)
            return
        by_roundoff = self._shrinks(key, name, tensor, a, b)
        fits = expected if expected is not None and expected.value.shape == a.shape else None
        outside = ~equal(a, b) & ~is_rounding(a, b, fits, by_roundoff)
        if a.dtype != b.dtype:
            change = _change(key, name, tensor, Outcome.CHANGED)
            change.note = f"has dtype {b.dtype}, had {a.dtype}"
            wanted = key.split("/")[-2]
            if wanted in (a.dtype.name, b.dtype.name):
                change.side = Side.REGRESSION if a.dtype.name == wanted else Side.FIX
            describe(change, a, b, fits, ~equal(a, b), inputs)
            self._add(change)
            return
        if not outside.any():
            self.result.counts[Outcome.ROUNDING] += 1
            function = "/".join(key.split("/")[:2])
            farthest = max(self.result.roundings.get(function, 0.0), float(relative(a, b).max()))
            self.result.roundings[function] = farthest
            return
        change = _change(key, name, tensor, _outcome(a, b, outside))
        describe(change, a, b, fits, outside, inputs)
        self._add(change)

    def _shrinks(self, key: str, name: str, tensor: str, a: Array, b: Array) -> bool:
        if a.dtype.kind != "f" or b.dtype.kind != "f":
            return False
        twin = self._twin(key, name, tensor)
        around = max(largest(found.cases[key][name]) for found in (self.before, self.after))
        dtype = key.split("/")[-2]
        if twin is not None and twin[0].dtype == a.dtype != np.float64:
            # A layer with a dtype of its own computes in it, whatever it is asked for.
            twin, dtype = None, a.dtype.name
        return shrinks(Spread.of(a, b), twin and Spread.of(*twin), dtype, around)

    def _twin(self, key: str, name: str, tensor: str) -> tuple[Array, Array] | None:
        """The same tensor of both releases in the other dtype."""
        parts = key.split("/")
        parts[-2] = "float64" if parts[-2] == "float32" else "float32"
        found = []
        for recording in (self.before, self.after):
            case = recording.cases.get("/".join(parts), {}).get(name)
            if case is None or tensor not in case.observation.tensors:
                return None
            found.append(case.observation.tensors[tensor])
        return (found[0], found[1]) if found[0].shape == found[1].shape else None

    def _add(self, change: Change) -> None:
        self.result.counts[change.outcome] += 1
        self.result.changes.append(change)


def _of_statuses(old: Case, new: Case) -> tuple[Outcome, str]:
    was, now = old.observation, new.observation
    if was.status == ABSENT:
        return Outcome.NEW, now.error
    if now.status == ABSENT:
        return Outcome.GONE, now.error
    if was.status == PRESENT:
        return Outcome.NEWLY_RAISING, now.error
    if now.status == PRESENT:
        return Outcome.NO_LONGER_RAISING, f"raised {was.error}"
    if was.error.partition(":")[0] == now.error.partition(":")[0]:
        return Outcome.IDENTICAL, ""  # words of an error may change
    return Outcome.CHANGED, f"raises {now.error}; raised {was.error}"


def _change(key: str, case: str, tensor: str, outcome: Outcome, *, note: str = "") -> Change:
    family, function, *middle, dtype, mode = key.split("/")
    return Change(family, function, "/".join(middle), dtype, mode, case, tensor, outcome, note=note)


def _same_inputs(old: Mapping[str, Array], new: Mapping[str, Array]) -> bool:
    return old.keys() == new.keys() and all(
        old[k].dtype == new[k].dtype and old[k].tobytes() == new[k].tobytes() for k in old
    )


def _outcome(a: Array, b: Array, outside: Array) -> Outcome:
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        if (np.isnan(b) & ~np.isnan(a) & outside).any():
            return Outcome.NEWLY_NAN
        if (np.isnan(a) & ~np.isnan(b) & outside).any():
            return Outcome.NO_LONGER_NAN
    return Outcome.CHANGED
