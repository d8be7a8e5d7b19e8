"""The witnesses: the same gradients from real Keras layers and losses under a tape.

The only room that imports a framework, and only when a reference is first asked for.
"""

from reference import functions, initializers
from reference.modes import MODES, Mode
from reference.optimizers import run_optimizer, run_schedule
from reference.stack import stack_trace
from reference.witness import one_training_step, trace, train_on_batch, versions

__all__ = [
    "MODES",
    "Mode",
    "functions",
    "initializers",
    "one_training_step",
    "run_optimizer",
    "run_schedule",
    "stack_trace",
    "trace",
    "train_on_batch",
    "versions",
]
