"""What a trajectory or a schedule is judged with, checked before anything runs.

A wrong dtype or shape would not fail: NumPy would compute in another format than the bounds speak
of, and the manual run would disagree with itself.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from manual_backprop import optimizers
from manual_backprop.catalogue import resolve
from manual_backprop.optimizers import Optimizer, Snapshot, State
from manual_backprop.optimizers.schedules import SCHEDULES, Schedule
from manual_backprop.typing import Array
from manual_backprop.validation import as_numbers

DTYPES = ("float32", "float64")


class Inputs(NamedTuple):
    """An optimizer, weights and state to begin with, and one gradient for each weight and step."""

    optimizer: Optimizer
    begin: Snapshot
    gradients: list[list[Array]]


def checked_inputs(
    optimizer: object, weights: object, gradients: object, start: object = None
) -> Inputs:
    """The arguments of ``check_trajectory``, as copies.

    Raises:
        TypeError, ValueError: naming the argument, what came in and what was expected.
    """
    subject = optimizers.get(optimizer)
    named = _checked_weights(weights)
    steps = _checked_gradients(gradients, named)
    arrays = list(named.values())
    initial = subject.initial_state(arrays, list(named))
    state = initial if start is None else _checked_start(start, initial, subject)
    return Inputs(subject, Snapshot(arrays, state), steps)


def _checked_weights(weights: object) -> dict[str, Array]:
    if not isinstance(weights, Mapping):
        raise TypeError(
            f"weights: got {type(weights).__name__}, expected a dictionary from names to arrays, "
            f"such as {{'w': w}}."
        )
    if not weights:
        raise ValueError("weights: got none, expected at least one array with a name.")
    for name in weights:
        if not isinstance(name, str):
            raise TypeError(f"weights: got {name!r} as a name, expected a str, such as 'w'.")
    named = {name: np.array(as_numbers(f"weights[{name!r}]", w)) for name, w in weights.items()}
    first, dtype = next((name, weight.dtype) for name, weight in named.items())
    for name, weight in named.items():
        place = f"weights[{name!r}]"
        _check_float(place, weight)
        if weight.dtype != dtype:
            raise TypeError(
                f"{place}: has dtype {weight.dtype}, expected {dtype}, that of weights[{first!r}]: "
                f"one trajectory is judged in one dtype; convert it with .astype('{dtype}')."
            )
        if not weight.size:
            raise ValueError(
                f"{place}: has shape {weight.shape}, which holds no number, expected at least "
                f"one; leave it and its gradients out."
            )
    return named


def _check_float(place: str, array: Array) -> None:
    if array.dtype.name not in DTYPES or not array.dtype.isnative:
        raise TypeError(
            f"{place}: has dtype {array.dtype}, expected float32 or float64; convert it, for "
            f"instance with .astype('float32')."
        )


def _checked_gradients(gradients: object, weights: Mapping[str, Array]) -> list[list[Array]]:
    expected = "a list of steps, each a list with one gradient for each weight"
    if not isinstance(gradients, Sequence | np.ndarray) or isinstance(gradients, str):
        raise TypeError(f"gradients: got {type(gradients).__name__}, expected {expected}.")
    if not len(gradients):
        raise ValueError(f"gradients: got no step, expected at least one: {expected}.")
    steps = []
    for number, given in enumerate(gradients):
        place = f"gradients[{number}]"
        if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
            raise TypeError(
                f"{place}: got {type(given).__name__}, expected a list with one gradient for each "
                f"weight: gradients is {expected}."
            )
        if len(given) != len(weights):
            raise ValueError(
                f"{place}: got {len(given)} gradients, expected {len(weights)}, one for each of "
                f"the weights {', '.join(weights)}."
            )
        steps.append(
            [
                _checked_gradient(f"{place}[{index}]", gradient, name, weights[name])
                for index, (gradient, name) in enumerate(zip(given, weights, strict=True))
            ]
        )
    return steps


def _checked_gradient(place: str, gradient: object, name: str, weight: Array) -> Array:
    array = np.array(as_numbers(place, gradient))
    if array.dtype != weight.dtype:
        raise TypeError(
            f"{place}: has dtype {array.dtype}, expected {weight.dtype}, that of "
            f"weights[{name!r}]; convert either, for instance with .astype('{weight.dtype}')."
        )
    if array.shape != weight.shape:
        raise ValueError(
            f"{place}: has shape {array.shape}, expected {weight.shape}, that of weights[{name!r}]."
        )
    return array


def _checked_start(start: object, initial: State, optimizer: Optimizer) -> State:
    """A copy, with the weights' names if it has none."""
    fix = "start from optimizer.initial_state(list(weights.values()), list(weights))."
    if not isinstance(start, State):
        raise TypeError(f"start: got {type(start).__name__}, expected a State; {fix}")
    state = copy.deepcopy(start)
    if not any(state.names):
        state = dataclasses.replace(state, names=initial.names)
    for what in ("names", "slots", "shared", "counts"):
        found, wanted = _form(getattr(state, what)), _form(getattr(initial, what))
        if found != wanted:
            raise ValueError(
                f"start: its {what} are {found}, expected {wanted} for {optimizer!r} and these "
                f"weights; {fix}"
            )
    return state


def _form(part: Any) -> Any:
    """Of a part of a state its names, and of the arrays in it dtype and shape."""
    if isinstance(part, Mapping):
        return {name: _form(entry) for name, entry in sorted(part.items())}
    if isinstance(part, list | tuple):
        return [_form(entry) for entry in part]
    if isinstance(part, np.ndarray | np.generic):
        return f"{part.dtype}{list(part.shape)}"
    return part if isinstance(part, str) else type(part).__name__


def checked_schedule(schedule: object, iterations: object, dtype: object) -> tuple[Schedule, str]:
    """The schedule and the dtype's name, of what ``check_schedule`` is given.

    Raises:
        TypeError, ValueError: naming the argument, what came in and what was expected.
    """
    subject = resolve("schedule", schedule, Schedule, SCHEDULES)
    if not isinstance(iterations, Sequence | np.ndarray) or isinstance(iterations, str):
        raise TypeError(
            f"iterations: got {type(iterations).__name__}, expected whole numbers, such as "
            f"range(100)."
        )
    if not len(iterations):
        raise ValueError("iterations: got none, expected at least one, such as range(100).")
    for iteration in iterations:
        whole = isinstance(iteration, int | np.integer) and not isinstance(iteration, bool)
        if not whole:
            raise TypeError(f"iterations: got {iteration!r}, expected whole numbers from 0.")
        if iteration < 0:
            raise ValueError(f"iterations: got {iteration}, expected whole numbers from 0.")
    try:
        name = "" if dtype is None else np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float64'.")
    return subject, name


__all__ = ["Inputs", "checked_inputs", "checked_schedule"]
