"""Keras' optimizer of the same class name, with the same arguments; its state read and set.

Everything here runs with ``floatx`` set to the weights' dtype: Keras keeps learning rates in
``floatx`` and evaluates schedules in it, whatever the weights' dtype is. And for float64 weights
the arguments are NumPy's float64: Keras rounds Python's to float32 on the way, see
``docs/findings.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from manual_backprop.optimizers import OPTIMIZERS, Optimizer, Snapshot, State
from manual_backprop.optimizers.schedules import SCHEDULES, Schedule
from manual_backprop.typing import Array
from reference.frameworks import floatx, frameworks
from reference.modes import Mode

# Slots that Keras names otherwise: of the twin and the number of a weight.
SLOTS: dict[str, Callable[[Any, int], Any]] = {
    "row": lambda twin, index: twin._r[index],
    "column": lambda twin, index: twin._c[index],
}
# What all weights share and what is counted, of the twin.
SHARED: dict[str, Callable[[Any], Any]] = {
    "momentum_product": lambda twin: _innermost(twin)._u_product,
    "dynamic_scale": lambda twin: twin.dynamic_scale,
    "step_counter": lambda twin: twin.step_counter,
}


# Arguments that are multiplied with variables as they are: NumPy's numbers would take that over.
PLAIN = {("adadelta", "rho"), ("muon", "momentum")}


def optimizer_twin(optimizer: Optimizer, dtype: str) -> Any:
    """Keras' optimizer of the same class name, with the same arguments."""
    _, keras = frameworks()
    kind = _of_same_name(keras.optimizers, OPTIMIZERS, optimizer)
    arguments = {
        name: value if (optimizer.name, name) in PLAIN else _twin_of(value, dtype)
        for name, value in optimizer.arguments.items()
    }
    return kind(**arguments)


def schedule_twin(schedule: Schedule, dtype: str) -> Any:
    """Keras' schedule of the same class name, with the same arguments."""
    _, keras = frameworks()
    kind = _of_same_name(keras.optimizers.schedules, SCHEDULES, schedule)
    return kind(**{name: _twin_of(value, dtype) for name, value in schedule.arguments.items()})


def _twin_of(argument: Any, dtype: str) -> Any:
    if isinstance(argument, Schedule):
        return schedule_twin(argument, dtype)
    if isinstance(argument, Optimizer):
        return optimizer_twin(argument, dtype)
    if isinstance(argument, tuple | list):
        return [_twin_of(entry, dtype) for entry in argument]
    return np.float64(argument) if isinstance(argument, float) and dtype == "float64" else argument


def _of_same_name(room: Any, family: Any, member: Any) -> Any:
    kind = family.get(member.name)
    twin = None if kind is None else getattr(room, kind.__name__, None)
    if twin is None:
        raise TypeError(f"optimizer: {member.name!r} has no Keras twin.")
    return twin


class OptimizerTwin:
    """A Keras optimizer with variables of its own, stepped on gradients that it is given.

    Args:
        optimizer: the manual optimizer. start: weights and state to begin with.
        mode: eager, ``tf.function`` or XLA.
    """

    def __init__(self, optimizer: Optimizer, start: Snapshot, mode: Mode) -> None:
        tf, keras = frameworks()
        self.start, self.mode = start, mode
        self.dtype = start.weights[0].dtype.name
        with floatx(self.dtype):
            self.twin = optimizer_twin(optimizer, self.dtype)
            self.variables = [
                keras.Variable(weight, dtype=self.dtype, name=name)
                for weight, name in zip(start.weights, start.state.names, strict=True)
            ]
            self.twin.build(self.variables)
        self._set(start)
        self._apply, self._iterates = self._step, self._iterate
        self._iterated: list[Any] = []
        if mode.compiled:
            self._apply = tf.function(self._step, jit_compile=mode.xla)
            self._iterates = tf.function(self._iterate, jit_compile=mode.xla)
        if isinstance(self.twin, keras.optimizers.Muon) and self._can_watch():
            self._orthogonalise = self.twin.zeropower_via_newtonschulz5
            self.twin.zeropower_via_newtonschulz5 = self._watched

    def _can_watch(self) -> bool:
        """Whether what a step computes on its way can be seen.

        Nothing leaves a branch of a graph, and a program that XLA compiles on its own need not
        give the numbers of the whole step.
        """
        accumulates = self.twin.gradient_accumulation_steps
        return not self.mode.xla and not (self.mode.compiled and accumulates)

    def _watched(self, x: Any, steps: int) -> Any:
        """Muon's iteration; what it starts from is kept."""
        self._iterated.append(x)
        return self._orthogonalise(x, steps)

    def _iterate(self, x: Any) -> list[Any]:
        return [self._orthogonalise(x, count) for count in range(self.twin.ns_steps + 1)]

    def _step(self, gradients: Sequence[Any]) -> list[Any]:
        self._iterated = []
        self.twin.apply(gradients, self.variables)
        return [x + 0 for x in self._iterated]

    def step(self, gradients: Sequence[Array]) -> Snapshot:
        """Apply one gradient for each weight; return what is there afterwards."""
        tf, _ = frameworks()
        with floatx(self.dtype):
            starts = self._apply([tf.constant(g) for g in gradients])
            stages = [[x.numpy() for x in self._iterates(start)] for start in starts]
        names = [
            variable.path
            for index, variable in enumerate(self.variables)
            if stages and self.twin.adam_velocities[index] is None
        ]
        return self.snapshot()._replace(stages=dict(zip(names, stages, strict=True)))

    def snapshot(self) -> Snapshot:
        """The weights and the state, as copies."""
        return read(self.twin, self.variables, self.start.state)

    def _set(self, snapshot: Snapshot) -> None:
        for index, slots in enumerate(snapshot.state.slots):
            for name, slot in slots.items():
                _slot(self.twin, self.variables, name, index).assign(slot)
        for name, number in (snapshot.state.shared | snapshot.state.counts).items():
            SHARED[name](self.twin).assign(number)
        _innermost(self.twin)._iterations.assign(snapshot.state.iterations)


def read(twin: Any, variables: Sequence[Any], like: State) -> Snapshot:
    """What a Keras optimizer and its variables hold, as copies, in the form of a manual state."""
    slots = [
        {name: _numbers(_slot(twin, variables, name, index)) for name in slots}
        for index, slots in enumerate(like.slots)
    ]
    shared = {name: _numbers(SHARED[name](twin)) for name in like.shared}
    counts = {name: int(SHARED[name](twin)) for name in like.counts}
    iterations = int(_innermost(twin)._iterations)
    state = State(slots, shared, like.names, like.shapes, iterations, counts)
    return Snapshot([_numbers(v) for v in variables], state)


def _numbers(variable: Any) -> Array:
    return np.array(variable.numpy())


def _innermost(twin: Any) -> Any:
    return getattr(twin, "inner_optimizer", twin)


def _slot(twin: Any, variables: Sequence[Any], name: str, index: int) -> Any:
    if name in SLOTS:
        return SLOTS[name](_innermost(twin), index)
    wanted = f"{variables[index].path.replace('/', '_')}_{name}"
    return next(v for v in twin.variables if v.name == wanted)


def run_optimizer(
    optimizer: Optimizer, start: Snapshot, gradients: Sequence[Sequence[Array]], mode: Mode
) -> list[Snapshot]:
    """What Keras holds before the first step and after each."""
    twin = OptimizerTwin(optimizer, start, mode)
    return [twin.snapshot(), *(twin.step(given) for given in gradients)]


def run_schedule(
    schedule: Schedule, iterations: Sequence[int], dtype: str, mode: Mode
) -> list[Array]:
    """Keras' learning rates at some iterations, as an optimizer would ask for them."""
    tf, _ = frameworks()
    with floatx(dtype):
        twin = schedule_twin(schedule, dtype)
        call = tf.function(twin, jit_compile=mode.xla) if mode.compiled else twin
        return [np.asarray(call(tf.constant(i, tf.int64))) for i in iterations]
