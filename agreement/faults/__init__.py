"""Planted faults: small wrong variants of a backward pass, a loss or an update.

They measure the judge: each must be seen, and put where it is.
"""

from __future__ import annotations

from agreement.faults.activation import ACTIVATION
from agreement.faults.affine import AFFINE
from agreement.faults.drawing import cases_that_show, draw_case
from agreement.faults.fault import FAMILIES, Fault
from agreement.faults.loss import LOSS
from agreement.faults.planting import Planted, judge, plant
from agreement.faults.precision import PRECISION
from agreement.faults.probabilistic import PROBABILISTIC
from agreement.faults.rectifiers import RECTIFIERS
from agreement.faults.regression import REGRESSION
from agreement.faults.similarity import SIMILARITY
from agreement.faults.smooth import SMOOTH
from agreement.faults.update import UPDATE
from agreement.faults.wiring import WIRING
from manual_backprop.catalogue import unknown_name

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in sorted(
        (
            *ACTIVATION,
            *AFFINE,
            *LOSS,
            *PRECISION,
            *PROBABILISTIC,
            *RECTIFIERS,
            *REGRESSION,
            *SIMILARITY,
            *SMOOTH,
            *UPDATE,
            *WIRING,
        ),
        key=lambda fault: fault.name,
    )
}


def get(name: str) -> Fault:
    """The fault of that name; ``ValueError`` for an unknown one, suggesting the nearest."""
    if name not in FAULTS:
        raise unknown_name("fault", name, FAULTS)
    return FAULTS[name]


__all__ = [
    "FAMILIES",
    "FAULTS",
    "Fault",
    "Planted",
    "cases_that_show",
    "draw_case",
    "get",
    "judge",
    "plant",
]
