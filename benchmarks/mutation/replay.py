"""The harness on a fixed set of cases, with what the references said in place of the references.

A reference is asked once, about the honest model, and its answer is kept under a description of
all that it was given. Where a mutant would give it something else, a check counts for nothing: a
reference that reads the mutant's own weights might agree with it. A test asks it then.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np

import reference
from agreement.cases import LARGEST_BATCH, LARGEST_WIDTH, Case, Kind, build_case, structures
from agreement.checking import check, check_training_step, report_on
from agreement.function_cases import build_function_case, subjects
from agreement.function_check import check_function
from agreement.report import Report
from agreement.trajectory import check_trajectory
from benchmarks.mutation.calls import Place, functions_called
from manual_backprop import NaiveSequential, get_gradients_of_loss_wrt_weights, update_weights
from manual_backprop.catalogue import every_variant
from manual_backprop.optimizers import OPTIMIZERS, SGD, Adafactor, Descent, Optimizer
from manual_backprop.optimizers.schedules import SCHEDULES, ExponentialDecay
from manual_backprop.typing import Array
from reference.architecture import Architecture

WITNESS = "keras"
LEARNING_RATE = 1e-2
STEPS = 5
# Of each kind of numbers, for each function alone.
DRAWS = 4
# In place of the exit status of a check that the original cannot be put to.
UNUSABLE = -1


class Unrecorded(BaseException):
    """The reference is asked what it was not asked before."""


class Indescribable(Exception):
    """A reference is given what has no description, such as a function."""


class Asked(NamedTuple):
    """A check of the original: its exit status, the functions it calls, and how long it takes."""

    status: int
    called: set[Place]
    seconds: float


class Answers:
    """What the references said; what they were not asked before they are asked now.

    Attributes:
        known: by a digest of all that a reference was given.
        final: whether they may not be asked anything else.
    """

    current: ClassVar[Answers]

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known
        self.final = False
        Answers.current = self
        for place in (reference, reference.functions):
            for name, function in list(vars(place).items()):
                asked = name in getattr(place, "__all__", ()) or _is_defined_in(place, function)
                if asked and inspect.isfunction(function) and not name.startswith("_"):
                    setattr(place, name, self._kept(function))

    def _kept(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(ask)
        def asked(*args: Any, **kwargs: Any) -> Any:
            try:
                told = repr([ask.__name__, _described(args), _described(kwargs)])
            except Indescribable:
                if self.final:
                    raise Unrecorded(ask.__name__) from None
                return ask(*args, **kwargs)
            key = hashlib.sha256(told.encode()).hexdigest()
            if key not in self.known:
                if self.final:
                    raise Unrecorded(ask.__name__)
                self.known[key] = ask(*args, **kwargs)
            return copy.deepcopy(self.known[key])

        return asked


def record(everything: Sequence[Callable[[], Report]]) -> list[Asked]:
    """Run these checks of the original."""
    found = []
    for ask in everything:
        started = time.monotonic()
        with functions_called(Path.cwd(), ["manual_backprop"]) as called:
            status = _status(ask)
        found.append(Asked(status, called, time.monotonic() - started))
    return found


def _status(ask: Callable[[], Report]) -> int:
    try:
        return ask().exit_status
    except Exception:
        return UNUSABLE


def first_alarm(before: Sequence[Asked], chosen: Sequence[int]) -> str:
    """Why the harness does not agree to the code it finds; "" if it does wherever it did before.

    Asked are the checks with the chosen numbers, in that order.
    """
    everything = list(checks())
    for number in chosen:
        if before[number].status in (1, UNUSABLE):
            continue
        try:
            report = everything[number]()
        except Unrecorded:
            continue
        if report.exit_status == 1:
            return f"check {number}: {report.disagreements[0].name} disagrees"
        if report.exit_status != before[number].status:
            return f"check {number}: {report.conclusion()[:100]}"
    return ""


def _is_defined_in(place: ModuleType, entry: object) -> bool:
    """Whether a module defines what it holds, rather than imports it."""
    return getattr(entry, "__module__", "") == place.__name__


def _described(given: Any) -> Any:
    """All that a reference can read of an argument, as something with a ``repr``."""
    if isinstance(given, NaiveSequential):
        return [_described(Architecture.of(given)), _described(given.weights)]
    if isinstance(given, np.ndarray):
        return [given.dtype.str, given.shape, given.tobytes()]
    if isinstance(given, Mapping):
        return sorted((str(key), _described(part)) for key, part in given.items())
    if isinstance(given, tuple | list):
        return [_described(part) for part in given]
    if isinstance(given, str | int | float | complex | None):
        return given
    if isinstance(given, np.generic | np.dtype):
        return repr(given)
    if inspect.isroutine(given) or not hasattr(given, "__dict__"):
        raise Indescribable
    return [type(given).__name__, _described(vars(given))]


# -- what is checked -----------------------------------------------------------------------------


def checks() -> Iterator[Callable[[], Report]]:
    """Every check of every case; a check draws its case itself, with the code that it judges."""
    for kind in Kind:
        for place in range(len(structures())):
            yield functools.partial(_backward, kind, place)
        for place in range(len(subjects())):
            for draw in range(DRAWS):
                yield functools.partial(_function, kind, place, draw)
    for place in range(len(structures())):
        yield functools.partial(_public_gradients, place)
        yield functools.partial(_update, place)
    for place in range(len(_optimizers())):
        yield functools.partial(_trajectory, place)


def _optimizers() -> list[Optimizer]:
    """Every variant of every optimizer, and every option and schedule with one of them."""
    options = [{"learning_rate": 0.1, **option} for option in Descent.option_variants]
    schedules = [{"learning_rate": schedule} for schedule in every_variant(SCHEDULES)]
    steep = ExponentialDecay(2.0, 10, 0.9)
    return [
        *every_variant(OPTIMIZERS),
        *(SGD(**given) for given in (*options, *schedules)),
        *(Adafactor(steep), Adafactor(2.0, relative_step=False)),
    ]


def _case(kind: Kind, place: int) -> Case:
    """One case of every structure and kind."""
    generator = np.random.default_rng([place, list(Kind).index(kind)])
    structure = structures()[place]
    sizes = generator.integers(1, LARGEST_WIDTH + 1, len(structure.biases) + 1)
    batch = int(generator.integers(1, LARGEST_BATCH + 1))
    widths = tuple(int(n) for n in sizes)
    return build_case(structure, widths, batch, kind, generator, _dtype(kind, place))


def _dtype(kind: Kind, place: int) -> str:
    """Two cases in three in float32, and every function and structure in either."""
    return "float64" if (place + list(Kind).index(kind)) % 3 == 2 else "float32"


def _backward(kind: Kind, place: int) -> Report:
    case = _case(kind, place)
    parts = (case.model, case.inputs, case.targets, case.loss)
    return report_on(*parts, [WITNESS, "dual"], any_shape=True)


def _function(kind: Kind, place: int, draw: int) -> Report:
    generator = np.random.default_rng([place, list(Kind).index(kind), 1, draw])
    subject, behind = subjects()[place]
    case = build_function_case(subject, behind, kind, generator, _dtype(kind, place))
    return check_function(
        case.subject, case.inputs, case.other, against=[WITNESS], behind=case.behind
    )


def _public_gradients(place: int) -> Report:
    case = _case(Kind.SMOOTH, place)
    predictions = case.model(case.inputs)
    gradients = get_gradients_of_loss_wrt_weights(
        case.model, case.inputs, case.targets, predictions, case.loss
    )
    return check(case.model, case.inputs, case.targets, loss=case.loss, gradients=gradients)


class _Updated(Optimizer):
    """The public function as an optimizer."""

    def apply(
        self, gradients: Sequence[Array], weights: Sequence[Array], names: Sequence[str] = ()
    ) -> None:
        update_weights(gradients, weights, LEARNING_RATE)


def _update(place: int) -> Report:
    case = _case(Kind.SMOOTH, place)
    return check_training_step(
        case.model,
        case.inputs,
        case.targets,
        loss=case.loss,
        learning_rate=LEARNING_RATE,
        optimizer=_Updated(),
        against=[WITNESS],
    )


def _trajectory(place: int) -> Report:
    """A few steps of an optimizer on weights of several ranks, one of them a single number."""
    generator = np.random.default_rng([place, 2])
    dtype = _dtype(Kind.SMOOTH, place)
    shapes = {"W": (3, 4), "b": (4,), "K": (2, 3, 2), "U": (1, 1)}

    def draw() -> dict[str, Array]:
        return {
            name: generator.uniform(-2, 2, shape).astype(dtype) for name, shape in shapes.items()
        }

    weights, steps = draw(), [list(draw().values()) for _ in range(STEPS)]
    return check_trajectory(_optimizers()[place], weights, steps, against=[WITNESS])
