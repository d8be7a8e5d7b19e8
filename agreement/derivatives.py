"""The derivatives of the primitive operations, for dual numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from manual_backprop.special import FUNCTIONS as SPECIAL
from manual_backprop.special import ROOT_PI
from manual_backprop.typing import Array


def _power(y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """∂aᵇ/∂a = b aᵇ⁻¹, 0 for b = 0 also at a = 0; ∂aᵇ/∂b = aᵇ log a."""
    base = np.where(b == 0, 0.0, b * np.power(a, b - 1.0))
    return base, np.where(a > 0, y * np.log(a), 0.0)


def _log(kind: Any, number: int) -> Any:
    """log 2 or log 10 in the dtype of the arithmetic."""
    return np.log(kind.type(number))


# ∂f/∂operand for each operand, from the result y and the operands' values.
DERIVATIVES: dict[np.ufunc, Callable[..., tuple[Any, ...]]] = {
    np.add: lambda y, a, b: (1.0, 1.0),
    np.subtract: lambda y, a, b: (1.0, -1.0),
    np.multiply: lambda y, a, b: (b, a),
    np.divide: lambda y, a, b: (1 / b, -y / b),
    np.reciprocal: lambda y, a: (-y * y,),
    np.power: _power,
    np.float_power: _power,
    np.square: lambda y, a: (2 * a,),
    np.sqrt: lambda y, a: (0.5 / y,),
    np.hypot: lambda y, a, b: (a / y, b / y),
    np.exp: lambda y, a: (y,),
    np.exp2: lambda y, a: (y * _log(a.dtype, 2),),
    np.expm1: lambda y, a: (np.exp(a),),
    np.log: lambda y, a: (1 / a,),
    np.log2: lambda y, a: (1 / (a * _log(a.dtype, 2)),),
    np.log10: lambda y, a: (1 / (a * _log(a.dtype, 10)),),
    np.log1p: lambda y, a: (1 / (1 + a),),
    np.logaddexp: lambda y, a, b: (np.exp(a - y), np.exp(b - y)),
    np.sinh: lambda y, a: (np.cosh(a),),
    np.cosh: lambda y, a: (np.sinh(a),),
    np.tanh: lambda y, a: (1 / np.cosh(a) ** 2,),
    np.sin: lambda y, a: (np.cos(a),),
    np.cos: lambda y, a: (-np.sin(a),),
    np.negative: lambda y, a: (-1.0,),
    np.positive: lambda y, a: (1.0,),
    np.sign: lambda y, a: (0.0,),
    np.floor: lambda y, a: (0.0,),
    np.ceil: lambda y, a: (0.0,),
    np.trunc: lambda y, a: (0.0,),
    np.rint: lambda y, a: (0.0,),
    np.heaviside: lambda y, a, b: (0.0, np.where(a == 0, 1.0, 0.0)),
    np.copysign: lambda y, a, b: (np.copysign(np.sign(a), np.sign(a) * y), 0.0),
}
SPECIAL_DERIVATIVES: dict[str, Callable[[Array, Array], Array]] = {
    "sigmoid": lambda x, y: y * SPECIAL["sigmoid"](-x),
    "root": lambda x, y: np.where(x > 0, 0.5 / y, 0.0),
    "softplus": lambda x, y: SPECIAL["sigmoid"](x),
    "erf": lambda x, y: np.exp(-x * x) * (2 / x.dtype.type(ROOT_PI)),
    "erfc": lambda x, y: np.exp(-x * x) * (-2 / x.dtype.type(ROOT_PI)),
}
# Where the derivative does not exist, though the formula above gives a number.
STEPS: dict[np.ufunc, Callable[..., tuple[Array, ...]]] = {
    np.sign: lambda a: (a == 0,),
    np.floor: lambda a: (a == np.floor(a),),
    np.ceil: lambda a: (a == np.floor(a),),
    np.trunc: lambda a: ((a == np.floor(a)) & (a != 0),),
    np.rint: lambda a: (a - np.floor(a) == 0.5,),
    np.heaviside: lambda a, b: (a == 0,),
    np.copysign: lambda a, b: (a == 0, b == 0),
}
# Answered by a plain array, without tangents.
CONSTANT = {
    np.isfinite,
    np.isinf,
    np.isnan,
    np.signbit,
    np.logical_and,
    np.logical_not,
    np.logical_or,
    np.logical_xor,
}
CHOICES = {
    np.maximum: np.greater,
    np.minimum: np.less,
    np.fmax: np.greater,
    np.fmin: np.less,
}
REDUCTIONS = {np.add: "sum", np.maximum: "max", np.minimum: "min"}
