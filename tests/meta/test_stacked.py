"""Many draws at once give of each draw what the draw alone gives, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from containment import DTYPES, OPERATIONS, Carrying, draw_interval, run
from hypothesis import example, given
from hypothesis import strategies as st

from agreement import stacks
from agreement.alike import raw
from agreement.bounded import BoundedArray
from agreement.cases import Frame, Kind, build_numbers, draw_numbers, make_case, structures
from agreement.checking import expected_pairs, manual_trace
from agreement.opinion import dual_trace
from agreement.precision import precision_of
from agreement.random_check import Settings, judge_case, judge_together, run_cases
from agreement.stacked import DrawsDiffer, Stacked
from agreement.stacks import Stack, judge_stack
from agreement.statistics import Statistics
from agreement.strategies import seeds
from agreement.verdicts import DUAL, MANUAL
from manual_backprop.activations import Relu
from manual_backprop.losses import LOSSES
from manual_backprop.trace import Trace
from manual_backprop.typing import Array

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
DRAWS = 5


def stack_of(drawn: Sequence[BoundedArray]) -> BoundedArray:
    """Error-carrying arrays as one whose value and error are stacks."""
    value, error = (Stacked(np.array([getattr(x, n) for x in drawn])) for n in ("value", "error"))
    exact = [bool(x.exact) for x in drawn]
    return BoundedArray(
        value,
        error,
        drawn[0].precision,
        exact=exact[0] if len({*exact}) == 1 else Stacked(np.array(exact)),
        limited=all(x.limited for x in drawn),
    )


def difference(together: BoundedArray, alone: BoundedArray, draw: int) -> str:
    """In what one draw of a stack differs from itself alone; empty if in nothing."""
    for part in ("value", "error", "smooth"):
        found, wanted = raw(getattr(together, part)), getattr(alone, part)
        own = found[draw] if isinstance(getattr(together, part), Stacked) else found
        if not np.array_equal(own, wanted, equal_nan=True):
            return f"{part} of draw {draw}: {own} instead of {wanted}"
    exact = together.exact
    held = bool(exact.raw[draw]) if isinstance(exact, Stacked) else exact
    return "" if held == alone.exact else f"draw {draw} is exact: {held}"


def stacked_program(names: list[str], dtype: str, seed: int, shape: tuple[int, int]) -> str:
    """Run a program on a stack and on every draw; how they differ."""
    precision, generator = precision_of(dtype), np.random.default_rng(seed)
    drawn = [
        [draw_interval(shape, generator, precision)[0] for _ in range(DRAWS)] for _ in range(3)
    ]
    picks = np.array([generator.integers(3 + i, size=3) for i in range(len(names))])
    with np.errstate(all="ignore"):
        together = run(Carrying(), names, [stack_of(x) for x in drawn], picks)
        for draw in range(DRAWS):
            alone = run(Carrying(), names, [x[draw].copy() for x in drawn], picks)
            for name, found, wanted in zip(names, together, alone, strict=True):
                if different := difference(found, wanted, draw):
                    return f"{name}: {different}"
    return ""


def stackable() -> list[str]:
    """The operations that can be done to a stack."""
    found = []
    for name in sorted(OPERATIONS):
        try:
            stacked_program([name], "float32", 0, (3, 4))
        except (DrawsDiffer, TypeError, ValueError):
            continue
        found.append(name)
    return found


STACKABLE = stackable()


def test_nearly_all_operations_can_be_done_to_a_stack() -> None:
    """Nine tenths of all operations have a rule for stacks, and all those of manual code."""
    assert len(STACKABLE) > 0.9 * len(OPERATIONS), sorted({*OPERATIONS} - {*STACKABLE})


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    names=st.lists(st.sampled_from(STACKABLE), min_size=1, max_size=6),
    shape=st.tuples(st.integers(2, 5), st.integers(2, 6)),
    seed=seeds(),
)
@example(  # an exact 1 times 1e300, whose product's halves overflow
    names=["select", "absolute", "absolute", "absolute", "einsum"], shape=(3, 6), seed=377
)
def test_programs_give_each_draw_its_own(
    dtype: str, names: list[str], shape: tuple[int, int], seed: int
) -> None:
    """Random programs on a stack: the value, bound and exactness that each draw has alone."""
    with contextlib.suppress(DrawsDiffer):  # allowed: the draws are then judged one by one
        assert not stacked_program(names, dtype, seed, shape)


def frame_of(index: int, dtype: str) -> tuple[Frame, list[Any]]:
    """A frame of the usual structures, and draws of it of all kinds."""
    generator = np.random.default_rng(index)
    structure = structures()[index]
    widths = generator.integers(1, 9, len(structure.activations) + 1)
    frame = Frame(structure, tuple(int(n) for n in widths), int(generator.integers(1, 9)))
    return frame, [draw_numbers(index, i, dtype, frame) for i in range(3 * DRAWS)]


def pairs_of(parts: tuple[Any, ...]) -> list[Any]:
    traces = {MANUAL: manual_trace(*parts), DUAL: dual_trace(*parts)}
    return expected_pairs(*parts, traces)[0]


def assert_same(together: Trace, alone: Trace) -> None:
    """Every tensor, or value and bound, is the same."""
    found, wanted = dict(together.tensors()), dict(alone.tensors())
    assert {*found} == {*wanted}
    for name in {*found} - {n for n in found if n.tensor == "inputs"}:
        one, other = found[name], wanted[name]
        parts = ("value", "error", "smooth") if isinstance(other, BoundedArray) else ("T",)
        for part in parts:
            assert np.array_equal(getattr(one, part), getattr(other, part), equal_nan=True), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", range(len(structures())))
def test_networks_give_each_draw_its_own(index: int, dtype: str) -> None:
    """Every activation and loss: manual run, dual numbers and all bounds, draw by draw."""
    frame, drawn = frame_of(index, dtype)
    stack = Stack.of(frame, [kind for kind, *_ in drawn], [n for *_, n in drawn])
    together = pairs_of((stack.model, stack.inputs, stack.targets, stack.loss))
    for draw in range(0, len(drawn), 4):
        kind, _, numbers = drawn[draw]
        case = make_case(frame, kind, numbers, dtype)
        alone = pairs_of((case.model, case.inputs, case.targets, case.loss))
        for stacked, single in zip(together, alone, strict=True):
            for side in (0, 1):
                assert_same(stacks.of_draw(stacked[side], draw), single[side])


def test_every_network_loss_is_stacked() -> None:
    """The structures above contain every loss that networks have, so none falls back."""
    used = {s.loss for s in structures()}
    assert used == {name for name, kind in LOSSES.items() if kind.predictions != "frames"}


@pytest.mark.parametrize("catalogue", [False, True])
def test_a_stacked_run_counts_what_single_cases_count(catalogue: bool) -> None:
    """The same verdicts, floors, ratios and remarks as of the same cases judged one by one."""
    settings = Settings(5, "float32", ("dual",), catalogue)
    indices = [i for i in range(0, 4096, 64) for i in (i, i + 2)]
    alone = Statistics()
    for index in indices:
        judge_case(settings, index, alone)
    assert run_cases(settings, indices) == alone


def test_hardly_any_case_falls_back() -> None:
    """Fewer than one case in a hundred is left to be judged alone."""
    settings, statistics = Settings(5, "float32", ("dual",)), Statistics()
    left = judge_together(settings, range(256), statistics)
    assert len(left) <= 2
    assert statistics.cases == 256 - len(left)


def test_keras_in_a_loop_computes_what_it_computes_alone() -> None:
    """Every tensor of the reference is the same, bit for bit, in a stack and called alone."""
    reference = pytest.importorskip("reference")
    pytest.importorskip("tensorflow")
    mode = reference.MODES["keras-graph"]
    for index in range(0, len(structures()), 5):
        frame, drawn = frame_of(index, "float32")
        stack = Stack.of(frame, [kind for kind, *_ in drawn], [n for *_, n in drawn])
        weights = [w.raw for w in stack.model.weights]
        batch = stack.inputs.raw, stack.targets.raw
        together = reference.stack_trace(stack.single, weights, *batch, stack.loss)
        for draw, (kind, _, numbers) in enumerate(drawn[:6]):
            case = make_case(frame, kind, numbers, "float32")
            parts = case.model, case.inputs, case.targets, case.loss
            alone = dict(reference.trace(*parts, mode, any_shape=True).tensors())
            for name, tensor in together.tensors():
                assert np.array_equal(tensor[draw], alone[name], equal_nan=True), (frame, name)


def test_a_fault_in_one_draw_is_found_in_that_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manual run that is wrong in the third draw disagrees there and nowhere else."""
    structure = next(s for s in structures() if {*s.activations[:2]} == {"relu"})
    frame = Frame(structure, (4,) * (len(structure.activations) + 1), 4)
    generator = np.random.default_rng(0)
    numbers = [build_numbers(frame, Kind.SMOOTH, generator, "float32") for _ in range(DRAWS)]
    stack = Stack.of(frame, [Kind.SMOOTH] * DRAWS, numbers)
    assert judge_stack(stack, ["dual"]).settled.all()
    right = Relu.backward

    def wrong(self: Relu, grad_output: Array, inputs: Array, output: Array) -> Array:
        grad = right(self, grad_output, inputs, output)
        if isinstance(grad, Stacked) and grad.dtype == np.float32:
            grad.raw[2] *= np.float32(1.001)
        return grad

    monkeypatch.setattr(Relu, "backward", wrong)
    found = judge_stack(stack, ["dual"])
    assert found.settled.tolist() == [True, True, False, True, True]
    assert not found.excused


def test_draws_that_differ_in_what_python_decides_are_told_apart() -> None:
    """A decision that is not the same for all draws is an error, and never a guess."""
    x = Stacked(np.array([[1.0, 2.0], [3.0, -4.0]]))
    assert bool((x > -5).all())
    with pytest.raises(DrawsDiffer):
        bool((x > 0).all())
    with pytest.raises(DrawsDiffer):
        np.asarray(x)
    with pytest.raises(DrawsDiffer):
        x[x > 0]
    with pytest.raises(DrawsDiffer):
        np.linalg.norm(x)


def test_a_stack_that_cannot_be_treated_alike_is_judged_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Code that looks at its numbers in Python falls back, and finds what it finds alone."""
    right = Relu.forward

    def looking(self: Relu, inputs: Array) -> Array:
        if isinstance(inputs, Stacked | np.ndarray) and inputs.max() > 1:
            return right(self, inputs) * 1
        return right(self, inputs)

    settings = Settings(5, "float32", ("dual",))
    expected = run_cases(settings, range(0, 128, 8))
    monkeypatch.setattr(Relu, "forward", looking)
    left = judge_together(settings, range(0, 128, 8), Statistics())
    assert left
    assert run_cases(settings, range(0, 128, 8)) == expected
