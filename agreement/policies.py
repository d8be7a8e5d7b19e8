"""Keras' dtype policies of half precision, judged by the bounds of their own unit roundoff.

The manual model stays in float32; what is judged is Keras under the policy. Every number that a
correct evaluation in half precision can give lies in bounds of that precision, also where Keras
accumulates in float32 or, under a mixed policy, keeps weights and losses in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agreement.checking import prepare
from agreement.expectation import expect_end_to_end, expect_locally
from agreement.precision import precision_of
from agreement.references import resolve_references
from agreement.report import Report
from agreement.verdicts import View, judge_pairs
from manual_backprop import NaiveSequential, losses
from manual_backprop.catalogue import unknown_name
from manual_backprop.trace import Trace
from manual_backprop.typing import Array

POLICIES = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def check_policy(
    model: NaiveSequential,
    inputs: Array,
    labels: Array,
    *,
    loss: object,
    policy: str,
    against: str | Sequence[str] = ("keras", "keras-graph"),
) -> Report:
    """Judge Keras under a dtype policy of half precision, tensor by tensor, in both views.

    Args:
        model: in float32. inputs, labels, loss: as ``check`` takes. policy: one of ``POLICIES``.
        against: modes of Keras by name.

    Raises:
        ValueError, TypeError: naming the argument that cannot be used, and why.
    """
    # Imported here: what needs no framework must not load one.
    import reference

    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    chosen = losses.get(loss)
    checked, targets = prepare(model, inputs, labels, chosen)
    traces = {
        name: reference.trace(model, checked, targets, chosen, reference.MODES[name], policy=policy)
        for name in resolve_references(against, dual=False)
    }
    # bfloat16 is known to NumPy by the arrays that Keras returns.
    half = next(iter(traces.values())).predictions
    assert half is not None
    precision = precision_of(half.dtype)
    parts = (model, checked, targets, chosen)
    with np.errstate(all="ignore"):
        expected = expect_end_to_end(*parts, reference=True, precision=precision)
    pairs: list[tuple[Trace, Trace, View, str]] = []
    for name, trace in traces.items():
        local = expect_locally(model, trace, targets, chosen, reference=True, precision=precision)
        pairs += [(trace, expected, View.END_TO_END, name), (trace, local, View.LOCAL, name)]
    required = frozenset((name, str(tensor)) for name in traces for tensor in model.gradient_names)
    return Report(judge_pairs(pairs), required)
