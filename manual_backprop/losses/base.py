r"""What every loss is: a value for each sample, reduced to one number as Keras reduces it.

With ℓ_i the n values, w_i the sample weights (1 where there are none) and m_i the mask:

(1) "sum_over_batch_size" and "mean": Σ ℓ_i w_i / n
(2) "sum": Σ ℓ_i w_i; "none": the ℓ_i w_i themselves, of which a tape differentiates the sum
(3) "mean_with_sample_weight": Σ ℓ_i w_i / Σ w_i, and as (1) without weights
    where weights stand for several values each, Σ w_i is that of the weights as they are given
(4) a mask multiplies w_i by m_i, and in (1) by n / Σ m as well: masked values do not count
(5) in each ∂loss/∂ℓ_i = w_i / divisor; a divisor that is 0 gives 0
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from manual_backprop.catalogue import Catalogued, unknown_name
from manual_backprop.typing import Array
from manual_backprop.validation import as_finite, as_targets

# Keras' backend epsilon, the distance that probabilities keep from 0 and 1.
EPSILON = 1e-7

PATHS = ("auto", "fused", "probabilities")
MEANS = ("sum_over_batch_size", "mean")
REDUCTIONS = (*MEANS, "sum", "mean_with_sample_weight", "none")


# From (∂loss/∂values, predictions, targets) to a gradient.
PullBack: TypeAlias = Callable[[Array, Array, Array], Array]


@dataclass(eq=False, repr=False)
class Loss(Catalogued):
    """A function of predictions, (samples, outputs), and of targets that ``prepare`` checked.

    A subclass writes ``values`` and, right below, ``pull_back``; or, if it is no reduction of
    values, ``forward`` and ``backward``. It sets ``name`` (Keras' name), and

    * ``labels``: what labels are, "numbers", "counts" (≥ 0), "classes" (indices),
      "distributions" (rows), "bits" (elements from 0 to 1) or "signs" (−1 and 1),
    * ``predictions``: what predictions have to be, "numbers", "positive" or "probabilities".

    Args:
        reduction: one of ``REDUCTIONS``.

    Attributes:
        sample_weight, mask: for the batch at hand, of the values' shape; see ``weighted``.
    """

    labels: ClassVar[str] = "numbers"
    predictions: ClassVar[str] = "numbers"
    path = "probabilities"
    # Along which axis of the predictions each value is computed.
    axis = -1

    reduction: str = field(default="sum_over_batch_size", kw_only=True)
    sample_weight: Array | None = field(default=None, init=False)
    mask: Array | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise unknown_name("reduction", self.reduction, REDUCTIONS)

    @property
    def fuses_with(self) -> str | None:
        """The activation that the loss can be fused with; None where there is no fused form."""
        return None

    @property
    def kinks(self) -> str:
        """Where the derivative jumps, in words; each derivation says what it chooses there."""
        return "none"

    def weighted(self, sample_weight: object = None, mask: object = None) -> Self:
        """The same loss for one batch, with a weight, or a mask, for each of its values.

        The shape is that of the values, perhaps with a 1 behind it; ``forward`` and ``backward``
        raise ``ValueError`` for any other.

        Raises:
            ValueError, TypeError: for weights that are no finite numbers.
        """
        other = copy.copy(self)
        if sample_weight is not None:
            given = as_finite("sample_weight", sample_weight, np.dtype(np.float64))
            other.sample_weight = given.copy()
        if mask is not None:
            other.mask = np.array(mask, dtype=bool)
        return other

    def prepare(self, labels: object, predictions: Array) -> Array:
        """Check labels against the predictions' shape and return them as targets.

        Raises:
            ValueError, TypeError: naming ``labels`` and what is wrong with them.
        """
        return as_targets(labels, predictions.shape, predictions.dtype)

    def is_fused_with(self, activation_name: str) -> bool:
        """Whether this loss is computed from the logits behind an output activation."""
        return False

    def forward(self, predictions: Array, targets: Array) -> Array:
        """The loss, a scalar array unless the reduction is "none"."""
        return self.reduce(self.values(predictions, targets), targets)

    def backward(self, predictions: Array, targets: Array) -> Array:
        """∂loss/∂predictions, of the predictions' shape."""
        return self._reduced_gradient(self.pull_back, predictions, targets)

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        """The loss from the logits behind the fused activation."""
        raise NotImplementedError

    def backward_from_logits(
        self, predictions: Array, targets: Array, logits: Array | None = None
    ) -> Array:
        """∂loss/∂logits from the predictions of the fused activation.

        Losses whose gradient the predictions alone do not determine well use ``logits`` too.
        """
        raise NotImplementedError

    def values(self, predictions: Array, targets: Array) -> Array:
        """One value for each sample, (samples,)."""
        raise NotImplementedError

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        """∂loss/∂predictions for ∂loss/∂values, of the shape of ``values``."""
        raise NotImplementedError

    def ones(self, predictions: Array) -> Array:
        """1 for each value, in the predictions' dtype."""
        return np.ones_like(np.take(predictions, 0, axis=self.axis))

    def own_mask(self, targets: Array) -> Array | None:
        """Which values count, where the loss itself leaves some out."""
        return None

    def reduce(self, values: Array, targets: Array) -> Array:
        """From values to the loss, (1) to (4)."""
        weights, divisor = self._weights(values, targets)
        weighted = values if weights is None else values * weights
        if self.reduction == "none":
            return weighted
        total = weighted.sum()
        return total if divisor is None else total / divisor

    def _reduced_gradient(self, pull_back: PullBack, predictions: Array, targets: Array) -> Array:
        """``pull_back`` of ∂loss/∂values, (5); it is linear, so the divisor can come last."""
        ones = self.ones(predictions)
        weights, divisor = self._weights(ones, targets)
        if weights is None:
            weights = ones
        elif weights.shape != ones.shape:
            weights = weights.sum()  # one value for all of them
        grad = pull_back(weights, predictions, targets)
        return grad if divisor is None else grad / divisor

    def _weights(self, values: Array, targets: Array) -> tuple[Array | None, Array | None]:
        """w_i and the divisor, for values of this kind; None where it is 1."""
        masks = [self.mask, self.own_mask(targets)]
        mask = _both(*(None if m is None else _fitting("mask", m, values.shape) for m in masks))
        if mask is None and self.sample_weight is None:
            return None, None if self.reduction in ("sum", "none") else values.size
        ones = np.ones_like(values)
        weights: Array | None = None
        given: Array = np.ones(())
        if self.sample_weight is not None:
            given = _fitting("sample_weight", self.sample_weight, ones.shape)
            if mask is not None and {given.ndim, mask.ndim} == {1, 2}:
                mask, given = np.ravel(mask), np.ravel(given)  # of one value for the batch
            weights = ones * given.astype(ones.dtype)
        count = ones.size if weights is None else weights.size
        if mask is not None:
            counted = ones * mask
            if self.reduction in MEANS:
                # A mask of fewer numbers than there are values stands for each of them.
                share = _ratio(count, np.count_nonzero(mask) * (counted.size // mask.size))
                counted = counted * share.astype(ones.dtype)  # (4)
            weights = counted if weights is None else weights * counted
        if self.reduction in ("sum", "none"):
            return weights, None
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            total = weights.sum()  # (3)
            numbers = given.size if mask is None else np.broadcast(given, mask).size
            if numbers != weights.size:
                total = total * (numbers / weights.size)
            usable = total != 0
            zeros, one = np.zeros_like(weights), np.ones_like(total)
            return np.where(usable, weights, zeros), np.where(usable, total, one)  # (5)
        return weights, count


@dataclass(eq=False, repr=False)
class CrossEntropy(Loss):
    """A loss of probabilities that Keras computes from the logits where it can.

    Subclasses write ``values_from_logits`` and ``pull_back_from_logits`` as well.

    Args:
        path: "fused" computes from the logits behind the activation ``fuses_with``, as Keras
            does when it recognises one; "probabilities" computes from plain probabilities;
            "auto" fuses whenever the last activation is that one.
        from_logits: the predictions are logits, behind no activation.
    """

    predictions: ClassVar[str] = "probabilities"

    path: str = "auto"
    from_logits: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path not in PATHS:
            raise unknown_name("path", self.path, PATHS)

    @property
    def fuses_with(self) -> str | None:
        return "softmax"

    def is_fused_with(self, activation_name: str) -> bool:
        fusible = activation_name == self.fuses_with
        if self.path == "fused" and not fusible:
            raise ValueError(
                f"loss: path='fused' needs {self.fuses_with!r} as the last layer's activation, "
                f"which is {activation_name!r}; use path='auto' or path='probabilities'."
            )
        return fusible and self.path != "probabilities"

    def forward(self, predictions: Array, targets: Array) -> Array:
        if self.from_logits:
            return self.forward_from_logits(predictions, targets)
        return super().forward(predictions, targets)

    def backward(self, predictions: Array, targets: Array) -> Array:
        if self.from_logits:
            return self.backward_from_logits(self.squash(predictions), targets, predictions)
        return super().backward(predictions, targets)

    def forward_from_logits(self, logits: Array, targets: Array) -> Array:
        return self.reduce(self.values_from_logits(logits, targets), targets)

    def backward_from_logits(
        self, predictions: Array, targets: Array, logits: Array | None = None
    ) -> Array:
        return self._reduced_gradient(self.pull_back_from_logits, predictions, targets)

    def values_from_logits(self, logits: Array, targets: Array) -> Array:
        """As ``values``, from the logits."""
        raise NotImplementedError

    def pull_back_from_logits(
        self, grad_values: Array, predictions: Array, targets: Array
    ) -> Array:
        """∂loss/∂logits for ∂loss/∂values, from the probabilities."""
        raise NotImplementedError

    def squash(self, logits: Array) -> Array:
        """The probabilities that belong to logits."""
        # Imported here: most programs have a layer that does it.
        from manual_backprop import activations

        return activations.get(self.fuses_with).forward(logits)


def as_kind_of(predictions: Array, targets: Array) -> Array:
    """Targets as an array of the predictions' type: what is computed of them is rounded too."""
    return np.full_like(predictions, targets)


def _fitting(argument: str, given: Array, shape: tuple[int, ...]) -> Array:
    """Weights or a mask for values of a shape, without the 1 that Keras allows at the end.

    One value for a whole batch (of shape ()) takes any weights, as in Keras: they are summed up.

    Raises:
        ValueError: where they would multiply the values' number, or not fit at all.
    """
    if not shape:
        return given
    if given.ndim == len(shape) + 1 and given.shape[-1] == 1:
        given = given[..., 0]
    elif len(shape) == 2 and shape[-1] == 1 and given.ndim == 1:
        given = given[:, None]
    sizes = zip(given.shape, shape, strict=False)
    fits = given.ndim in (0, len(shape)) and all(own in (1, size) for own, size in sizes)
    if not fits:
        raise ValueError(
            f"{argument}: has shape {given.shape}, expected {shape}, one number for each of the "
            f"loss's values; sizes of 1 stand for all, and {(*shape, 1)} is welcome too."
        )
    return given


def _both(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _ratio(count: int, counted: Any) -> Any:
    """n / Σ m; 0 where nothing counts."""
    return (counted > 0) * (count / np.maximum(counted, 1))
