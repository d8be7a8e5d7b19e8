"""What a case file is: its fields and limits, and what it holds once read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agreement.checking import report_on
from agreement.references import resolve_references
from agreement.report import Report
from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.typing import Array

FORMAT = "agreement-case"
VERSION = 1
# How much a file may hold once unpacked, and its passes may need at a time, in bytes.
LARGEST = 1 << 30
LONGEST_TEXT = 1 << 16

FIELDS: dict[str, Any] = {
    "format": FORMAT,
    "version": VERSION,
    "activations": [],
    "loss": "",
    "path": "auto",
    "dtype": "float32",
    "weights": "in_out",
    "samples": "rows",
    "reduction": "mean",
    "against": [],
    "note": "",
}
REQUIRED = ("format", "version", "activations", "loss")


class CaseFileError(ValueError):
    """A case file that cannot be used; the message names the file and what is wrong."""


@dataclass
class StoredCase:
    """What a case file holds, in this project's own layout.

    Attributes:
        model, inputs, targets, loss: ready for a pass; targets are what the loss prepared.
        gradients: one for each of ``model.weights``, or None.
        reduction: "mean" or "sum", of which the gradients are.
        against: the references that ``replay`` asks. note: where the case comes from.
    """

    model: NaiveSequential
    inputs: Array
    targets: Array
    loss: Loss
    gradients: list[Array] | None = None
    reduction: str = "mean"
    against: tuple[str, ...] = ()
    note: str = ""

    def check(self, against: str | Sequence[str] | None = None) -> Report:
        """Judge the manual run, the stored gradients if any, and each reference.

        References are asked as campaigns ask them, so that their cases replay exactly.
        """
        wanted = self.against if against is None else against
        names = resolve_references(wanted) if len(wanted) else []
        return report_on(
            self.model,
            self.inputs,
            self.targets,
            self.loss,
            names,
            gradients=self.gradients,
            reduction=self.reduction,
            any_shape=True,
        )
