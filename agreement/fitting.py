"""How well an explanation fits: the candidate that predicts the numbers, or a pattern in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from agreement.explanations import Candidate, Evidence, factors, rearrangements
from manual_backprop.typing import Array

# Two predictions are the same where they differ by less than this share of the bound.
SAME = 1e-3
HALF_ROUNDOFF = float(np.finfo(np.float16).eps)
# A wrong formula makes about as many roundings as a right one, of numbers of its own size.
ROUNDINGS = 8


@dataclass(frozen=True)
class Explanation:
    """A named reason for a disagreement.

    Attributes:
        name: short and stable, for machines. sentence: for people, "… looks like: …".
        residual: the largest |given − predicted| / bound: 0 fits perfectly, 1 just fits.
        others: names of explanations that predict the very same numbers here (with two
            classes, say, a factor ½ and a division by the number of classes).
    """

    name: str
    sentence: str
    residual: float
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name, then those of its equals."""
        return (self.name, *self.others)


def explain_update(
    given: Array, right: Array, bound: Array, learning_rate: float, roundoff: float
) -> Explanation | None:
    """Why the change that an optimizer made to a weight differs from the right one."""
    evidence = Evidence(given, right, learning_rate=learning_rate)
    candidates = [*rearrangements(evidence), *factors(evidence)]
    with np.errstate(all="ignore"):
        found = best_fit(evidence, bound, candidates, roundoff)
    return found or by_pattern(evidence, bound, own_run=False)


def best_fit(
    evidence: Evidence, bound: Array, candidates: Iterable[Candidate], roundoff: float
) -> Explanation | None:
    """The candidate that fits best within the bound, with all that predict the same numbers.

    Where a candidate is larger than the right result, so are the errors of what it is made of,
    and its own roundings.
    """
    fitting = []
    for name, sentence, candidate in candidates:
        if np.shape(candidate) != evidence.given.shape:
            continue
        magnitude = np.abs(candidate)
        with np.errstate(all="ignore"):
            larger = np.fmax(magnitude / np.abs(evidence.right), 1.0)
            allowed = np.fmax(bound * larger, ROUNDINGS * roundoff * magnitude)
        residual = residual_of(evidence.given, candidate, allowed)
        if residual <= 1 and residual_of(evidence.right, candidate, bound) > SAME:
            fitting.append((residual, name, sentence, candidate))
    if not fitting:
        return None
    residual, name, sentence, best = min(fitting, key=lambda fit: fit[0])
    # Of equals, the first in the order in which candidates come.
    equals = [fit for fit in fitting if residual_of(best, fit[3], bound) <= SAME]
    _, name, sentence, _ = equals[0]
    others = {other: text for _, other, text, _ in equals[1:] if other != name}
    return Explanation(name, " — or ".join([sentence, *others.values()]), residual, (*others,))


def by_shape(e: Evidence, weight_shapes: list[tuple[int, ...]]) -> Explanation | None:
    """Explanations of a wrong shape."""
    given, right = e.given, e.right
    if np.squeeze(given).shape == np.squeeze(right).shape:
        return Explanation("kept-dimension", "keeps a dimension that the weight has not", 0.0)
    if given.shape == right.shape[::-1]:
        return Explanation("transposed", "is transposed", 0.0)
    if given.shape in weight_shapes:
        sentence = "has another weight's shape: the order of the gradients is not the weights'"
        return Explanation("other-gradient", sentence, 0.0)
    if given.shape == (e.batch,):
        return Explanation("wrong-axis", "sums over the outputs instead of the samples", 0.0)
    return None


def by_pattern(e: Evidence, bound: Array, *, own_run: bool, tensor: str = "") -> Explanation | None:
    """Explanations that predict a pattern rather than numbers."""
    wrong = ~(np.abs(e.given - e.right) <= bound)
    if e.given.size > 1 and wrong.sum() == 1:
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        ratio = e.given[where] / e.right[where] - 1 if e.right[where] else np.inf
        sentence = f"only the element {list(where)} is off, by a relative {ratio:.1e}"
        return Explanation("one-element", sentence, 0.0)
    largest = int(np.argmax(np.abs(e.right)))
    if e.given.size > 1 and e.right.flat[largest]:
        factor = float(e.given.flat[largest] / e.right.flat[largest])
        residual = residual_of(e.given, factor * e.right, bound * max(abs(factor), 1.0))
        if residual <= 1:
            sentence = f"is the right one times {factor:.6g} throughout"
            return Explanation("constant-factor", sentence, residual)
    d = e.grad_pre_activation
    if tensor == "grad_inputs" and d is not None and len(d) > d.shape[1]:
        fitted, *_ = np.linalg.lstsq(d, e.given, rcond=None)
        residual = residual_of(e.given, d @ fitted, bound)
        if residual <= 1:
            if e.W is not None and np.allclose(fitted, e.W.T, rtol=HALF_ROUNDOFF, atol=0):
                sentence = "fits weights in half precision"
                return Explanation("lower-precision", sentence, residual)
            sentence = "fits other weights than the current ones: a stale copy?"
            return Explanation("stale-weights", sentence, residual)
    with np.errstate(all="ignore"):
        relative = np.abs(e.given - e.right) / np.abs(e.right).max(initial=0.0)
    if own_run and float(np.nan_to_num(relative).max(initial=0.0)) < 4 * HALF_ROUNDOFF:
        sentence = f"off by relative {relative.max():.0e}: computed in a lower precision?"
        return Explanation("lower-precision", sentence, 0.0)
    return None


def residual_of(given: Array, candidate: Array, bound: Array) -> float:
    """The largest |given − candidate| / bound; infinite for another shape."""
    if np.shape(candidate) != given.shape:
        return np.inf
    difference = np.abs(given - candidate)
    with np.errstate(all="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / bound)
    return float(np.nan_to_num(ratio, nan=np.inf).max(initial=0.0))
