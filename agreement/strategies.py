"""Hypothesis strategies for whole cases: structure, sizes, numbers, labels.

The structure, the sizes and a seed are drawn, then a few positions of each array are
overwritten with special numbers. That is several times as fast as drawing arrays element by
element; it shrinks as well (to few layers, small sizes, no special numbers), and it still
finds kinks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from agreement.cases import (
    LARGEST_BATCH,
    LARGEST_WIDTH,
    SPECIAL_NUMBERS,
    Case,
    Kind,
    Structure,
    build_case,
    structures,
)
from manual_backprop.typing import Array


def seeds() -> st.SearchStrategy[int]:
    """Seeds for NumPy generators, shrinking towards 0."""
    return st.integers(0, 2**32 - 1)


@st.composite
def cases(
    draw: st.DrawFn,
    dtype: str = "float32",
    among: Sequence[Structure] | None = None,
    kinds: Sequence[Kind] = tuple(Kind),
    sizes: tuple[int, ...] | None = None,
    batch: int | None = None,
) -> Case:
    """A model with its batch, labels and loss.

    Args:
        dtype: "float32" or "float64".
        among: the structures to choose from; by default ``agreement.cases.structures()``.
        kinds: the kinds of numbers to choose from.
        sizes, batch: fixed sizes, for references that compile for each shape.
    """
    structure = draw(st.sampled_from(list(among or structures())))
    depth = len(structure.activations)
    if sizes is None:
        widths = st.lists(st.integers(1, LARGEST_WIDTH), min_size=depth + 1, max_size=depth + 1)
        sizes = tuple(draw(widths))
    rows = batch if batch is not None else draw(st.integers(1, LARGEST_BATCH))
    kind = draw(st.sampled_from(list(kinds)))
    generator = np.random.default_rng(draw(seeds()))
    change = None
    if Kind.HOSTILE in kinds:
        overwrites = draw(st.lists(_overwrites(), max_size=4))

        def change(numbers: Array) -> None:
            for position, special in overwrites:
                numbers.flat[position % numbers.size] = special

    return build_case(structure, sizes, rows, kind, generator, dtype, change)


def _overwrites() -> st.SearchStrategy[tuple[int, float]]:
    specials = [float(number) for number in SPECIAL_NUMBERS]
    return st.tuples(st.integers(0, LARGEST_WIDTH**2 - 1), st.sampled_from(specials))
