"""Planted faults of optimizers: each must be seen, in its slot or weight, at its step."""

from __future__ import annotations

from agreement.faults.updates import adam, others
from agreement.faults.updates.site import UpdateFault

UPDATE_FAULTS: dict[str, UpdateFault] = {
    fault.name: fault
    for fault in sorted(
        (x for room in (adam, others) for x in vars(room).values() if isinstance(x, UpdateFault)),
        key=lambda fault: fault.name,
    )
}

__all__ = ["UPDATE_FAULTS", "UpdateFault"]
