"""Backpropagation derived by hand, on NumPy alone.

The design is that of NaiveDense and NaiveSequential in the book *Deep Learning with
Python*; every gradient is derived beside the code that computes it.
"""

from manual_backprop.activations import ACTIVATIONS, Activation, softmax_jacobian
from manual_backprop.gradients import get_gradients_of_loss_wrt_weights
from manual_backprop.layers import NaiveDense
from manual_backprop.losses import (
    LOSSES,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from manual_backprop.models import NaiveSequential
from manual_backprop.optimizers import SGD, Optimizer, update_weights
from manual_backprop.trace import LayerTrace, TensorName, Trace
from manual_backprop.training import (
    BatchGenerator,
    Evaluation,
    History,
    evaluate,
    fit,
    one_training_step,
)

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "SGD",
    "Activation",
    "BatchGenerator",
    "CategoricalCrossentropy",
    "Evaluation",
    "History",
    "LayerTrace",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NaiveDense",
    "NaiveSequential",
    "Optimizer",
    "SparseCategoricalCrossentropy",
    "TensorName",
    "Trace",
    "evaluate",
    "fit",
    "get_gradients_of_loss_wrt_weights",
    "one_training_step",
    "softmax_jacobian",
    "update_weights",
]
