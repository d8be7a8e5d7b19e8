"""Losses of sequences whose alignment is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manual_backprop.losses.base import Loss
from manual_backprop.typing import Array
from manual_backprop.validation import as_transcripts


@dataclass(eq=False, repr=False)
class CTC(Loss):
    r"""−log of the probability that logits, one row for each frame, spell the labels.

    Connectionist temporal classification (Graves et al. 2006). Class 0 is the blank, and pads
    the labels. A path names a class for each frame; it spells what is left when equal
    neighbours are merged and then blanks dropped. With z the labels with a blank before, between
    and after them, 2L + 1 states, t the frame:

    (1) y_tk = log softmax(x_t)_k, the log-probability of class k in frame t
    (2) α_t(s), the log of the sum over all paths that are in state s at t, up to and with t:
        α_1(s) = y_1(z_s) for s = 0, 1
    (3) α_t(s) = y_t(z_s) + log(e^{α(s)} + e^{α(s−1)} + e^{α(s−2)}) of frame t − 1; the last only
        to a label that differs from the label before it
    (4) β_t(s), of all paths that go on from state s at t: β_T = 0 for the last two states;
        β_t(s) = log Σ e^{β(r) + y(z_r)} of frame t + 1, r the states to which (3) steps from s
    (5) the value is −log P, log P = log(e^{α_T(2L)} + e^{α_T(2L−1)})
    (6) ∂ log P/∂y_tk = Σ_{z_s = k} e^{α_t(s) + β_t(s) − log P}, a distribution over k
    (7) ∂/∂x_tk = g (softmax(x_t)_k − (6)), as for any cross-entropy. No kinks.
    log 0 is no number here: beside each array goes which of its elements exist.
    """

    name: ClassVar[str] = "ctc"
    labels: ClassVar[str] = "transcripts"
    predictions: ClassVar[str] = "frames"

    def prepare(self, labels: object, predictions: Array) -> Array:
        return as_transcripts(labels, predictions.shape)

    def ones(self, predictions: Array) -> Array:
        return np.ones_like(predictions[:, 0, 0])

    def values(self, predictions: Array, targets: Array) -> Array:
        states = _States(targets)
        forward, exists = _forward(_of_states(_log_softmax(predictions), states), states)
        return -_log_probability(forward[-1], exists[-1], states)  # (5)

    def pull_back(self, grad_values: Array, predictions: Array, targets: Array) -> Array:
        states = _States(targets)
        logs = _log_softmax(predictions)
        of_states = _of_states(logs, states)
        forward, before = _forward(of_states, states)
        backward, after = _backward(of_states, states)
        total = _log_probability(forward[-1], before[-1], states)[:, None, None]
        exists = np.stack(before, axis=1) & np.stack(after, axis=1)
        log_share = np.stack(forward, axis=1) + np.stack(backward, axis=1) - total
        share = np.where(exists, np.exp(np.where(exists, log_share, 0)), 0)
        one_hot = np.eye(predictions.shape[-1], dtype=predictions.dtype)[states.classes]
        return (np.exp(logs) - share @ one_hot) * grad_values[:, None, None]  # (6), (7)


class _States:
    """The states of every sample: z, and where (3) may come from two states before."""

    def __init__(self, targets: Array) -> None:
        samples, length = targets.shape
        self.lengths = (targets != 0).sum(axis=1)
        self.classes = np.zeros((samples, 2 * length + 1), dtype=np.int64)
        self.classes[:, 1::2] = targets
        differs = self.classes[:, 2:] != self.classes[:, :-2]
        self.skips = np.pad(differs & (self.classes[:, 2:] != 0), ((0, 0), (2, 0)))
        places = np.arange(2 * length + 1)
        self.starts = np.broadcast_to(places < 2, self.classes.shape)
        from_end = 2 * self.lengths[:, None] - places
        self.ends = (from_end == 0) | (from_end == 1)


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (1)


def _of_states(logs: Array, states: _States) -> list[Array]:
    """y_t(z_s) for each frame, (samples, states)."""
    return [np.take_along_axis(logs[:, t], states.classes, axis=1) for t in range(logs.shape[1])]


def _forward(logs: list[Array], states: _States) -> tuple[list[Array], list[Array]]:
    """α, and which of its elements exist, for each frame."""
    found, exists = [logs[0]], [states.starts]  # (2)
    for log in logs[1:]:
        stay = found[-1], exists[-1]
        two = _moved(*stay, 2)
        paths = _sum(_sum(stay, _moved(*stay, 1)), (two[0], two[1] & states.skips))
        found.append(log + paths[0])  # (3)
        exists.append(paths[1])
    return found, exists


def _backward(logs: list[Array], states: _States) -> tuple[list[Array], list[Array]]:
    """β, and which of its elements exist, for each frame."""
    found, exists = [np.zeros_like(logs[-1])], [states.ends]
    for log in logs[:0:-1]:
        stay = found[0] + log, exists[0]
        two = _moved(stay[0], stay[1] & states.skips, -2)
        paths = _sum(_sum(stay, _moved(*stay, -1)), two)
        found.insert(0, paths[0])  # (4)
        exists.insert(0, paths[1])
    return found, exists


def _log_probability(last: Array, exists: Array, states: _States) -> Array:
    """log P from α_T, (5)."""
    final = 2 * states.lengths[:, None]
    blank = np.take_along_axis(last, final, axis=1), np.take_along_axis(exists, final, axis=1)
    label = np.maximum(final - 1, 0)
    exists = np.take_along_axis(exists, label, axis=1) & (final > 0)
    return _sum(blank, (np.take_along_axis(last, label, axis=1), exists))[0][:, 0]


def _moved(x: Array, exists: Array, places: int) -> tuple[Array, Array]:
    """Each state's number, ``places`` states later; what comes from beyond does not exist."""
    states = np.arange(x.shape[1])
    inside = (states - places >= 0) & (states - places < len(states))
    return np.roll(x, places, axis=1), np.roll(exists, places, axis=1) & inside


def _sum(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """log(eᵃ + eᵇ) where both exist, else the one that does."""
    (a, has_a), (b, has_b) = one, other
    return np.where(has_a & has_b, np.logaddexp(a, b), np.where(has_a, a, b)), has_a | has_b
