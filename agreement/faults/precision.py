"""Faults of precision: numbers that are nearly right."""

from __future__ import annotations

from typing import Any

import numpy as np

from agreement.faults.loss import Honest
from agreement.faults.sites import (
    faults_in,
    in_bias_gradient,
    in_input_gradient,
    in_loss_value,
    in_weight_gradient,
)
from manual_backprop.typing import Array


@in_weight_gradient("precision")
def weight_gradient_in_float16(layer: Any, grad: Array, honest: Array) -> Array:
    """You multiply in half precision and convert the result back."""
    product = layer.inputs.T.astype(np.float16) @ grad.astype(np.float16)
    return product.astype(honest.dtype)


@in_bias_gradient("precision")
def bias_gradient_in_float16(layer: Any, grad: Array, honest: Array) -> Array:
    """You add the samples up in half precision and convert the result back."""
    return grad.astype(np.float16).sum(axis=0).astype(honest.dtype)


@in_input_gradient("precision")
def input_gradient_in_float16(layer: Any, grad: Array, honest: Array) -> Array:
    """You keep a half-precision copy of the weights for the backward pass."""
    return (grad @ layer.W.T.astype(np.float16).astype(honest.dtype)).astype(honest.dtype)


@in_loss_value("precision")
def loss_in_float16(honest: Honest, predictions: Array, targets: Array) -> Array:
    """You accumulate the loss in half precision."""
    value = honest(predictions, targets)
    return value.astype(np.float16).astype(value.dtype)


@in_weight_gradient("precision")
def one_element_off_by_1e_3(layer: Any, grad: Array, honest: Array) -> Array:
    """You round one element's factor to three digits, as a constant copied from a print-out."""
    return _first_element_times(honest, 1 + 1e-3)


@in_weight_gradient("precision")
def one_element_off_by_1e_4(layer: Any, grad: Array, honest: Array) -> Array:
    """You round one element's factor to four digits, as a constant copied from a print-out."""
    return _first_element_times(honest, 1 + 1e-4)


@in_weight_gradient("precision")
def one_element_off_by_1e_5(layer: Any, grad: Array, honest: Array) -> Array:
    """You round one element's factor to five digits, as a constant copied from a print-out."""
    return _first_element_times(honest, 1 + 1e-5)


def _first_element_times(honest: Array, factor: float) -> Array:
    factors = np.ones(honest.shape, honest.dtype)
    factors[0, 0] = factor
    return honest * factors


PRECISION = faults_in(globals())
