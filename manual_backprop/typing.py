"""The one array type that signatures speak of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

# An ndarray, or any array that follows NumPy's protocols (NEP 13 and NEP 18): the same
# derivations run on plain numbers, on error-carrying and on dual numbers. NumPy's stubs
# cannot express that, so the name documents what the type checker cannot check.
Array: TypeAlias = Any
# A string, since evaluating it would load numpy.random, a fifth of NumPy's import time.
Initializer: TypeAlias = "Callable[[tuple[int, ...], np.random.Generator, np.dtype[Any]], Array]"
