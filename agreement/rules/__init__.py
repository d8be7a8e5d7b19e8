r"""How values and bounds move through the primitive operations: the tables of all rules.

Each rule takes operands (value, error) and returns the value of the result and how far the
operands' errors can move it, in arrays of their own. Rounding, also that of evaluating the
error itself, is added afterwards, in one place (``bounded``).
Written: v for a value, e for its error, so that the true operand lies in [v − e, v + e].
"""

from __future__ import annotations

import numpy as np

from agreement.rules import arithmetic, transcendental
from agreement.rules.arithmetic import share
from agreement.rules.operand import Operand, Primitive, Rule

__all__ = ["COMPARISONS", "SPECIAL", "UFUNCS", "Operand", "Primitive", "Rule", "share"]

UFUNCS: dict[np.ufunc, Primitive] = {
    np.add: Primitive(arithmetic.add, "rounded"),
    np.subtract: Primitive(arithmetic.subtract, "rounded"),
    np.multiply: Primitive(arithmetic.multiply, "rounded"),
    np.divide: Primitive(arithmetic.divide, "divide"),
    np.square: Primitive(arithmetic.square, "rounded"),
    np.power: Primitive(arithmetic.power, "pow"),
    np.float_power: Primitive(arithmetic.power, "pow"),
    np.negative: Primitive(arithmetic.negative, "exact"),
    np.positive: Primitive(arithmetic.positive, "exact"),
    np.absolute: Primitive(arithmetic.absolute, "exact"),
    np.fabs: Primitive(arithmetic.absolute, "exact"),
    np.maximum: Primitive(arithmetic.maximum, "exact"),
    np.minimum: Primitive(arithmetic.minimum, "exact"),
    np.fmax: Primitive(arithmetic.maximum, "exact"),
    np.fmin: Primitive(arithmetic.minimum, "exact"),
    np.exp: Primitive(transcendental.exp, "exp"),
    np.expm1: Primitive(transcendental.expm1, "expm1"),
    np.log: Primitive(transcendental.log, "log"),
    np.log1p: Primitive(transcendental.log1p, "log1p"),
    np.sqrt: Primitive(arithmetic.sqrt, "sqrt"),
    np.hypot: Primitive(arithmetic.hypot, "hypot"),
    np.tanh: Primitive(transcendental.tanh, "tanh"),
    np.exp2: Primitive(transcendental.exp2, "exp2"),
    np.log2: Primitive(transcendental.log2, "log2"),
    np.log10: Primitive(transcendental.log10, "log10"),
    np.sinh: Primitive(transcendental.sinh, "sinh"),
    np.cosh: Primitive(transcendental.cosh, "cosh"),
    np.sin: Primitive(transcendental.sin, "sin"),
    np.cos: Primitive(transcendental.cos, "cos"),
}
# The functions that NumPy lacks, by their names in ``manual_backprop.special``.
SPECIAL: dict[str, Primitive] = {
    "sigmoid": Primitive(transcendental.sigmoid, "sigmoid"),
    "root": Primitive(arithmetic.root, "sqrt"),
    "softplus": Primitive(transcendental.softplus, "softplus"),
    "erf": Primitive(transcendental.erf, "erf"),
    "erfc": Primitive(transcendental.erfc, "erfc"),
}
COMPARISONS = {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal}
