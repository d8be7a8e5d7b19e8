"""Keeping the memory of large arrays for the next ones."""

from __future__ import annotations

import functools

import numpy as np

# The C library of Linux takes no larger hint.
HINT = 31 << 20


@functools.cache
def keep_memory() -> None:
    """Have large arrays that are freed be used again, instead of handed back to the system.

    glibc returns them at once and fetches fresh pages for the next ones, which takes as long as
    computing with them. That one large block was freed tells it that there will be more
    (mallopt(3), M_MMAP_THRESHOLD). The block is never written to, so it costs nothing; up to
    twice its size may be kept. Other C libraries take no notice.
    """
    np.empty(HINT, np.uint8)
