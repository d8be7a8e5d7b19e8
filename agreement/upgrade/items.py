"""What is recorded of the catalogue: a function with one variant, in one dtype and mode.

The members and their variants come from ``manual_backprop``; one added there is recorded by
itself. Nothing here computes a gradient or loads a framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agreement.upgrade import cases
from agreement.upgrade.cases import Inputs
from manual_backprop.activations import ACTIVATIONS, Activation
from manual_backprop.catalogue import Catalogued, unknown_name
from manual_backprop.initializers import INITIALIZERS
from manual_backprop.losses import LOSSES, REDUCTIONS, CrossEntropy, Loss
from manual_backprop.optimizers import OPTIMIZERS
from manual_backprop.optimizers.schedules import SCHEDULES
from manual_backprop.regularizers import REGULARIZERS

DTYPES = ("float32", "float64")
EAGER, GRAPH = "keras", "keras-graph"
MODES = (EAGER, GRAPH)


@dataclass(frozen=True)
class Item:
    """One thing to record.

    Attributes:
        family: such as "losses". function: such as "huber". variant: its arguments in words.
        dtype, mode: in which it runs. cases: inputs by name of the case.
        observe: runs the cases on the installed Keras; see ``reference.observe``.
        subject: the manual counterpart, where there is one. behind: see ``check_function``.
    """

    family: str
    function: str
    variant: str
    dtype: str
    mode: str
    cases: Mapping[str, Inputs]
    observe: Callable[[Mapping[str, Inputs]], Mapping[str, Any]]
    subject: Any = None
    behind: str | None = None

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return "/".join((self.family, self.function, self.variant, self.dtype, self.mode))


def catalogue_items(asked: Sequence[str]) -> Iterator[Item]:
    """Every item of these families or members of the catalogue, in a fixed order."""
    families = {name.partition("/")[0] for name in asked}
    for family, items in FAMILIES.items():
        if family in families:
            yield from (item for item in items() if covers(asked, item.key))


def _spelled(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "defaults"


def _activations() -> Iterator[Item]:
    from reference import observe

    for kind in ACTIVATIONS.values():
        for arguments in kind.variants:
            subject: Activation = kind(**arguments)
            for dtype in DTYPES:
                drawn = cases.activation_cases(subject, dtype, f"activations/{subject!r}")
                for mode in MODES:
                    run = partial(observe.activation, kind.name, arguments, graph=mode == GRAPH)
                    place = ("activations", kind.name, _spelled(arguments), dtype, mode)
                    yield Item(*place, drawn, run, subject)


@dataclass(frozen=True)
class _Way:
    """A way to call a loss: its manual counterpart, and what Keras is given."""

    subject: Loss
    arguments: dict[str, Any]
    words: str
    behind: str | None = None
    extra: bool = False
    name: str = ""

    @property
    def in_graphs(self) -> bool:
        """Whether graph mode is worth its time: reductions are the base class's."""
        return not self.name and "reduction" not in self.arguments


def _ways(kind: type[Loss]) -> Iterator[_Way]:
    for number, arguments in enumerate(kind.variants):
        subject = kind(**arguments)
        words = _spelled(arguments)
        first = number == 0
        yield _Way(subject, arguments, words, extra=first)
        if isinstance(subject, CrossEntropy) and subject.fuses_with is not None:
            fused = replace(subject, path="fused")
            yield _Way(fused, arguments, f"{words}, behind {fused.fuses_with}", fused.fuses_with)
            if not subject.from_logits:
                of_logits = replace(subject, from_logits=True)
                given = arguments | {"from_logits": True}
                yield _Way(of_logits, given, _spelled(given))
        if first:
            function = replace(subject, reduction="none")
            yield _Way(function, arguments, "as a function", name=kind.name)
            for reduction in REDUCTIONS:
                if reduction != subject.reduction:
                    given = arguments | {"reduction": reduction}
                    yield _Way(
                        replace(subject, reduction=reduction), given, _spelled(given), extra=True
                    )


def _losses() -> Iterator[Item]:
    from reference import observe

    for kind in LOSSES.values():
        for way in _ways(kind):
            of_logits = way.behind is not None or getattr(way.subject, "from_logits", False)
            for dtype in DTYPES:
                name = f"losses/{kind.name}/{of_logits}"
                drawn = cases.loss_cases(
                    way.subject, dtype, name, of_logits=of_logits, extra=way.extra
                )
                for mode in MODES if way.in_graphs else (EAGER,):
                    run = partial(
                        observe.loss, way.name or kind.__name__, way.arguments, way.behind, dtype,
                        graph=mode == GRAPH,
                    )  # fmt: skip
                    place = ("losses", kind.name, way.words, dtype, mode)
                    given = drawn
                    if mode == GRAPH:  # each combination of weights and mask is a trace of its own
                        given = {k: v for k, v in drawn.items() if len(v) == 2}
                    yield Item(*place, given, run, way.subject, way.behind)


def _regularizers() -> Iterator[Item]:
    from reference import observe

    for kind, arguments, place in _members("regularizers", REGULARIZERS, MODES):
        drawn = cases.regularizer_cases(place[3], "regularizers")
        run = partial(
            observe.regularizer, kind.__name__, arguments, place[3], graph=place[4] == GRAPH
        )
        yield Item(*place, drawn, run, kind(**arguments))


def _optimizers() -> Iterator[Item]:
    from reference import observe

    for kind, arguments, place in _members("optimizers", OPTIMIZERS, (EAGER,)):
        drawn = cases.optimizer_cases(place[3], "optimizers")
        run = partial(observe.optimizer, kind.__name__, arguments, place[3], graph=False)
        yield Item(*place, drawn, run, kind(**arguments))


def _schedules() -> Iterator[Item]:
    from reference import observe

    for kind, arguments, place in _members("schedules", SCHEDULES, (EAGER,)):
        run = partial(observe.schedule, kind.__name__, arguments, place[3])
        yield Item(*place, cases.schedule_cases(), run, kind(**arguments))


def _initializers() -> Iterator[Item]:
    from reference import observe

    for kind, arguments, place in _members("initializers", INITIALIZERS, (EAGER,)):
        run = partial(observe.initializer, kind.__name__, arguments, place[3])
        yield Item(*place, cases.initializer_cases(), run)


def _members(
    family: str, members: Mapping[str, Any], modes: Sequence[str]
) -> Iterator[tuple[type[Catalogued], dict[str, Any], tuple[str, str, str, str, str]]]:
    for kind in members.values():
        # The options of the optimizers' common base are tried with one of them.
        options = getattr(kind, "option_variants", ()) if kind.name == "adam" else ()
        for arguments in (*kind.variants, *options):
            for dtype in DTYPES:
                for mode in modes:
                    yield kind, arguments, (family, kind.name, _spelled(arguments), dtype, mode)


FAMILIES: dict[str, Callable[[], Iterator[Item]]] = {
    "activations": _activations,
    "losses": _losses,
    "regularizers": _regularizers,
    "optimizers": _optimizers,
    "schedules": _schedules,
    "initializers": _initializers,
}


def _layers() -> Iterator[Item]:
    from agreement.upgrade.layers import layer_items

    return layer_items()


def _training() -> Iterator[Item]:
    from agreement.upgrade.training import training_items

    return training_items()


FAMILIES |= {"layers": _layers, "training": _training}


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """What is asked for, every family without: families, or members such as losses/huber.

    Raises:
        ValueError: for a family, or a member of one, that there is not.
    """
    for name in only:
        family, _, member = name.partition("/")
        if family not in FAMILIES:
            raise unknown_name("--only", name, FAMILIES)
        if "/" in name and member not in (members := _member_names(family)):
            raise unknown_name("--only", name, [f"{family}/{known}" for known in members])
    return tuple(dict.fromkeys(only)) or tuple(FAMILIES)


def _member_names(family: str) -> list[str]:
    """Of a family: those of the catalogue, or of the tables of layers and training."""
    catalogues: dict[str, Mapping[str, Any]] = {
        "activations": ACTIVATIONS,
        "losses": LOSSES,
        "regularizers": REGULARIZERS,
        "optimizers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "initializers": INITIALIZERS,
    }
    if family in catalogues:
        return [*catalogues[family]]
    return [*dict.fromkeys(item.function for item in FAMILIES[family]())]


def covers(asked: Sequence[str], key: str) -> bool:
    """Whether an item belongs to what was asked for."""
    family, function, *_ = key.split("/")
    return family in asked or f"{family}/{function}" in asked
