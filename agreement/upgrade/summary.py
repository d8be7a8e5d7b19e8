"""What a comparison found, for people: a table with a row for each function, and remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agreement.upgrade.outcomes import (
    QUIET,
    Change,
    Comparison,
    Outcome,
    Side,
    changes_by_function,
)

if TYPE_CHECKING:
    from rich.table import Table

# The simplest first.
CASE_ORDER = ("nice", "smooth", "plain", "inference", "kinks", "weighted", "masked", "hostile")


def named(facts: dict[str, Any]) -> str:
    """Which release, in words."""
    return f"keras {facts.get('keras', '?')} on tensorflow {facts.get('tensorflow', '?')}"


def example(changes: Sequence[Change]) -> Change:
    """The simplest of some changes: the fewest letters in its inputs."""

    def order(change: Change) -> tuple[Any, ...]:
        known = change.case in CASE_ORDER
        return (
            change.outcome in QUIET,
            not change.tensor,
            change.dtype != "float32",
            change.mode != "keras",
            CASE_ORDER.index(change.case) if known else len(CASE_ORDER),
            not change.shown_by,
            len(change.shown_by) // 20,
            -change.difference,
        )

    return min(changes, key=order)


def table(comparison: Comparison) -> Table:
    """A rich table: a row for each function of which something changed."""
    # Imported here: a comparison in a loop need not load rich.
    from rich.table import Table
    from rich.text import Text

    # Text, since an error's own words may look like rich's markup.
    title = Text(f"{named(comparison.before)}  →  {named(comparison.after)}", "table.title")
    made = Table(title=title)
    made.add_column("function")
    made.add_column("what")
    made.add_column("largest", justify="right", no_wrap=True)
    made.add_column("simplest example", overflow="fold", ratio=1)
    for family, function, changes in changes_by_function(comparison.changed):
        outcomes = Counter(str(change.outcome) for change in changes)
        sides = Counter(str(change.side) for change in changes if change.side is not Side.UNKNOWN)
        largest = max(change.difference for change in changes)
        made.add_row(
            Text(f"{family}\n{function}"),
            "\n".join(part for part in (_counted(outcomes), _counted(sides)) if part),
            f"{largest:.1e}" if largest else "",
            Text(remark(example(changes))),
        )
    return made


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def remark(change: Change) -> str:
    """One change in a few lines."""
    mode = {"keras": "eager", "keras-graph": "graph"}.get(change.mode, change.mode)
    where = f"{change.variant}; {change.dtype}, {mode}, {change.case}"
    if not change.tensor:
        return f"{where}\n{change.note}"
    lines = [where]
    if change.before is not None and change.after is not None:
        place = f"[{', '.join(map(str, change.where))}]" if change.where else ""
        numbers = f"{change.tensor}{place}: {change.before:.9g} → {change.after:.9g}"
        if change.expected is not None:
            numbers += f", by hand {change.expected:.9g} ±{change.allowed:.1e}"
        lines.append(numbers)
    if change.shown_by:
        lines.append(f"at {change.shown_by}")
    if change.note:
        lines.append(change.note)
    if change.cause:
        lines.append(f"changed by {change.cause}")
    return "\n".join(lines)


def conclusion(comparison: Comparison) -> str:
    """A line or more: how many tensors, and what became of them."""
    counted = ", ".join(
        f"{comparison.counts[outcome]} {outcome}"
        for outcome in Outcome
        if comparison.counts[outcome]
    )
    lines = [f"{sum(comparison.counts.values())} tensors: {counted or 'nothing to compare'}"]
    if comparison.roundings:
        name, largest = max(comparison.roundings.items(), key=lambda pair: pair[1])
        lines.append(f"rounding: largest relative difference {largest:.1e}, of {name}")
    novel = [c for c in comparison.changes if c.outcome is Outcome.NEW]
    if novel:
        names = ", ".join(f"{family}/{name}" for family, name, _ in changes_by_function(novel))
        lines.append(f"new: {names}")
    lines += comparison.notes
    if comparison.incomparable:
        first = comparison.incomparable[0]
        lines.append(f"{len(comparison.incomparable)} cases could not be compared, such as {first}")
    lines.append(
        {0: "nothing changed", 1: "something changed", 2: "could not judge"}[comparison.exit_status]
    )
    return "\n".join(lines)
