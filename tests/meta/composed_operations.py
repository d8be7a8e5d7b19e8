"""Operations that have no rule of their own: ufuncs and functions in terms of others."""

from __future__ import annotations

from typing import Any

import numpy as np


def _stepped(step: Any) -> Any:
    return lambda k, a, b, c: k(step(a) - step(b))


def _divided_where(k: Any, a: Any, b: Any, c: Any) -> Any:
    return k(np.divide(a, b, out=np.zeros_like(a), where=b > c))


def _put_along(k: Any, a: Any, b: Any, c: Any) -> Any:
    result = a.copy()
    np.put_along_axis(result, np.arange(len(a))[:, None] % 2, b[:, :1], axis=1)
    np.fill_diagonal(result, 3)
    np.copyto(result, c, where=b > c)
    return result


def _pieces(k: Any, a: Any, b: Any, c: Any) -> Any:
    return np.piecewise(a, [a > b, a < c], [lambda x: k(x + 1), 0.5, lambda x: k(x * x)])


def _sum_where(k: Any, a: Any, b: Any, c: Any) -> Any:
    chosen = np.where(a > b, c, k.number(0))
    return k.sum(chosen, axis=0, keepdims=True)


def _carried_sum_where(k: Any, a: Any, b: Any, c: Any) -> Any:
    if type(k).__name__ == "Carrying":
        return np.sum(c, axis=0, keepdims=True, where=a > b, dtype=np.float32)
    return _sum_where(k, a, b, c)


def _share_of_positive(k: Any, a: Any, b: Any, c: Any) -> Any:
    terms = np.abs(a)
    return k(terms / k.sum(terms, axis=0, keepdims=True))


def _softmax(k: Any, a: Any, b: Any, c: Any) -> Any:
    terms = k(np.exp(k(a - np.max(a, axis=1, keepdims=True))))
    return k(terms / k.sum(terms, axis=1, keepdims=True))


def _share_of_changed(k: Any, a: Any, b: Any, c: Any) -> Any:
    """Terms that changed, through a view, after they were added up."""
    terms = k(np.abs(a))
    total = k.sum(terms, axis=0, keepdims=True)
    terms[1:][...] = 0
    return k(terms / total)


def _share_of_changed_sum(k: Any, a: Any, b: Any, c: Any) -> Any:
    """A sum that changed, in some places, before it was divided by."""
    terms = k(np.abs(a))
    total = k.sum(terms, axis=0, keepdims=True)
    total[b[:1] > c[:1]] = 1
    return k(terms / total)


COMPOSED: dict[str, Any] = {
    "share": lambda k, a, b, c: k(a / k.sum(a, axis=1, keepdims=True)),
    "share of positive": _share_of_positive,
    "share of changed": _share_of_changed,
    "share of changed sum": _share_of_changed_sum,
    "softmax": _softmax,
    "reciprocal": lambda k, a, b, c: k(np.reciprocal(a)),
    "logaddexp": lambda k, a, b, c: k(np.logaddexp(a, b)),
    "logsumexp": lambda k, a, b, c: k.log_sum(a, axis=1, keepdims=True),
    "floor": _stepped(np.floor),
    "ceil": _stepped(np.ceil),
    "trunc": _stepped(np.trunc),
    "rint": _stepped(np.rint),
    "round": _stepped(np.round),
    "heaviside": lambda k, a, b, c: np.heaviside(a, b),
    "copysign": lambda k, a, b, c: np.copysign(a, b),
    "where finite": lambda k, a, b, c: np.where(np.isfinite(a) & ~np.isnan(b), c, 1),
    "where signbit": lambda k, a, b, c: np.where(np.signbit(a) | np.isinf(b), c, b),
    "logical": lambda k, a, b, c: np.where(np.logical_and(a, b) | np.logical_not(c), a, c),
    "logical or": lambda k, a, b, c: np.where(np.logical_or(a, b), k(c + 1), c),
    "logical xor": lambda k, a, b, c: np.where(np.logical_xor(a, b), k(c + 1), c),
    "outer product": lambda k, a, b, c: k(np.multiply.outer(a[0], b[0]))[:1],
    "outer sum": lambda k, a, b, c: k(np.add.outer(a[0], b[0]))[:1],
    "prod": lambda k, a, b, c: k.prod(a, axis=0),
    "prod of rows": lambda k, a, b, c: k.prod(a, axis=1)[:, None],
    "cumprod": lambda k, a, b, c: k.cumprod(a, axis=1),
    "running maximum": lambda k, a, b, c: np.maximum.accumulate(a, axis=1),
    "running minimum": lambda k, a, b, c: np.minimum.accumulate(k(a * b)),
    "var": lambda k, a, b, c: k.var(a, axis=0, keepdims=True),
    "norm": lambda k, a, b, c: k.norm(a, axis=1, keepdims=True),
    "contracted": lambda k, a, b, c: k.contracted(a, b, c)[:1],
    "tensordot": lambda k, a, b, c: k.matmul_by_axes(a, b)[:1],
    "inner": lambda k, a, b, c: k.inner(a, b)[:, :1],
    "vdot": lambda k, a, b, c: k.vdot(a, b),
    "trace": lambda k, a, b, c: k.trace(a),
    "std": lambda k, a, b, c: k.std(a, axis=1, keepdims=True),
    "average": lambda k, a, b, c: k.average(a, b),
    "broadcast arrays": lambda k, a, b, c: np.broadcast_arrays(a[:1], b)[0],
    "scattered": lambda k, a, b, c: k.scattered(a, np.array([0, 1, 0]), b[[0, 1, 1]]),
    "sum where": _carried_sum_where,
    "divide where": _divided_where,
    "put along": _put_along,
    "select": lambda k, a, b, c: np.select([a > b, b > c], [a, c], 1),
    "piecewise": _pieces,
    "pad": lambda k, a, b, c: np.pad(a, 1, constant_values=2)[1:-1, :-2],
    "pad edges": lambda k, a, b, c: np.pad(a, ((1, 0), (0, 0)), mode="edge")[:-1],
    "triangle": lambda k, a, b, c: np.triu(a, 1) + np.tril(b, 0),
    "diag": lambda k, a, b, c: np.diag(np.diag(a[:1, :1])),
    "split": lambda k, a, b, c: np.hstack(np.split(np.vstack([a, b]), 2)[::-1])[:, : a.shape[1]],
    "column stack": lambda k, a, b, c: np.column_stack([a[:, 0], b[:, 1]])[:, :1],
    "diff": lambda k, a, b, c: k(np.diff(a, axis=0))[:1],
    "take along": lambda k, a, b, c: np.take_along_axis(a, np.array([[1, 0]]), axis=1)[:, :1],
}
