"""What the installed Keras does, whichever release it is, written down and not judged.

A release may lack a function or an argument, or raise where another does not: that is an
observation like any number. Nothing here relies on more of Keras than public names.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from manual_backprop.catalogue import Catalogued
from manual_backprop.typing import Array
from reference.frameworks import floatx, frameworks

# Numbers by name.
Inputs: TypeAlias = Mapping[str, Array]
# From a case's inputs to tensors by name; None for a gradient that does not exist.
Call: TypeAlias = Callable[[Inputs], Mapping[str, Any]]

PRESENT, RAISED, ABSENT = "present", "raised", "absent"


@dataclass
class Observation:
    """What came of one case.

    Attributes:
        status: "present", "raised" or "absent".
        tensors: by name. error: the exception's type and first line, or what is absent.
    """

    status: str = PRESENT
    tensors: dict[str, Array] = field(default_factory=dict)
    error: str = ""


class AbsentError(Exception):
    """The installed Keras has no such function, or the function no such argument."""


def observe(prepare: Callable[[], Call], cases: Mapping[str, Inputs]) -> dict[str, Observation]:
    """Run every case; one that raises says so, and the others go on.

    Args:
        prepare: gives the call; what it raises holds for every case.
        cases: inputs by the name of the case.
    """
    with _silence():
        try:
            call = prepare()
        except Exception as error:
            return {name: _failure(error) for name in cases}
        return {name: _observe_case(call, inputs) for name, inputs in cases.items()}


def _observe_case(call: Call, inputs: Inputs) -> Observation:
    try:
        found = call(inputs)
        tensors = {name: numbers(x) for name, x in found.items() if x is not None}
    except Exception as error:
        return _failure(error)
    return Observation(PRESENT, tensors)


def _failure(error: Exception) -> Observation:
    if isinstance(error, AbsentError):
        return Observation(ABSENT, {}, str(error))
    if "not recognized" in str(error) and isinstance(error, ValueError):
        return Observation(ABSENT, {}, str(error))  # of those that take any argument by name
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What a traced function raises comes with its traceback; the error itself stands last.
    # What a layer raises, Keras introduces with a line of its own.
    if lines and lines[0].startswith("in user code"):
        lines = lines[-1:]
    if len(lines) > 1 and lines[0].startswith("Exception encountered"):
        lines = lines[1:]
    return Observation(RAISED, {}, f"{type(error).__name__}: {_plain(*lines[:1])}")


def _plain(line: str = "") -> str:
    """A line without what differs from one process, or machine, to another."""
    line = re.sub(r"\x1b\[[\d;]*m", "", line)
    line = re.sub(r"0x[0-9a-fA-F]+", "0x…", line)
    line = re.sub(r"(?:/[\w.+-]+){2,}", "…", line)
    line = re.sub(r"_\d+\b", "_…", line)
    return line[:300]


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def numbers(x: Any) -> Array:
    """A tensor, variable or number as a NumPy array, a copy.

    Of the dtypes that a recording lacks, bfloat16 and small integers are widened, which changes no
    number; of complex numbers both parts stand along a last axis of their own.
    """
    found = np.array(x.numpy() if hasattr(x, "numpy") else x)
    if found.dtype.kind == "c":
        return np.stack([found.real, found.imag], axis=-1)
    if found.dtype.name == "bfloat16":
        return found.astype(np.float32)
    return found.astype(np.int64) if found.dtype.name in ("int8", "int16", "uint16") else found


def member(room: str, name: str, arguments: Mapping[str, Any]) -> Any:
    """The function or class of that name in a room of Keras, such as "optimizers.schedules".

    Raises:
        AbsentError: where the installed Keras has none, or one without these arguments.
    """
    _, keras = frameworks()
    place: Any = keras
    for part in [*room.split("."), name]:
        place = getattr(place, part, None)
        if place is None:
            raise AbsentError(f"keras.{room}.{name} does not exist")
    taken = inspect.signature(place).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    for argument in arguments:
        if argument not in taken and not open_ended:
            raise AbsentError(f"keras.{room}.{name} has no argument {argument!r}")
    return place


def keras_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with manual objects among them replaced by Keras' of the same class name.

    Only what differs from the manual defaults is handed on: a default of Keras is observed too.
    """
    return {name: _keras_argument(value) for name, value in arguments.items()}


def _keras_argument(value: Any) -> Any:
    if isinstance(value, Catalogued):
        room = "optimizers" if "optimizers" in type(value).__module__ else ""
        room = "optimizers.schedules" if "schedules" in type(value).__module__ else room
        own = value.unusual_arguments
        return member(room, type(value).__name__, own)(**keras_arguments(own))
    if isinstance(value, tuple | list):
        return [_keras_argument(entry) for entry in value]
    return value


def compiled(run: Callable[..., Any], graph: bool) -> Callable[..., Any]:
    """The function itself, or traced by ``tf.function`` once for all cases of a shape."""
    tf, _ = frameworks()
    return tf.function(run, reduce_retracing=False) if graph else run


def constant(array: Array) -> Any:
    """A tensor of the array's own dtype."""
    tf, _ = frameworks()
    return tf.constant(array)


def in_floatx(dtype: str, call: Call) -> Call:
    """The call, made while Keras' default dtype is ``dtype``."""

    def run(inputs: Inputs) -> Mapping[str, Any]:
        with floatx(dtype):
            return {k: None if x is None else numbers(x) for k, x in call(inputs).items()}

    return run
