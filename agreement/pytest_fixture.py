"""What the fixture ``agreement`` is: the checks, bound to the references that a run has chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from agreement import checking, function_check, policies, trajectory
from agreement.checking import AgreementError
from agreement.function_check import Function
from agreement.references import resolve_references
from agreement.report import Report
from agreement.verdicts import DUAL
from manual_backprop import NaiveSequential
from manual_backprop.optimizers import Optimizer
from manual_backprop.optimizers.schedules import Schedule
from manual_backprop.typing import Array

Against: TypeAlias = str | Sequence[str] | None


class Agreement:
    """The checks of ``agreement``; each report counts in the summary at the end of the run.

    Every check takes the arguments of the function of its name, and ``against``, which is by
    default what ``--agreement-against`` names, or else the function's own default.

    Attributes:
        references: what ``--agreement-against`` names, or ().
        dtype: what ``--agreement-dtype`` says; for models, arrays and case tables.
    """

    def __init__(
        self, references: tuple[str, ...], dtype: str, judged: Callable[[Report], None]
    ) -> None:
        self.references, self.dtype, self._judged = references, dtype, judged

    def array(self, numbers: Any) -> Array:
        """Numbers as an array of the chosen dtype."""
        return np.asarray(numbers, self.dtype)

    def check(
        self,
        model: NaiveSequential,
        inputs: Array,
        labels: Array,
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.check`: a report, which the caller looks at."""
        chosen = against or self.references or None
        return self._count(checking.check(model, inputs, labels, against=chosen, **options))

    def assert_agreement(
        self,
        model: NaiveSequential,
        inputs: Array,
        labels: Array,
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.assert_agreement`: fail with the remarks unless it agrees."""
        __tracebackhide__ = True  # pytest shows the test's own line
        return self.require(self.check(model, inputs, labels, against=against, **options))

    def check_training_step(
        self,
        model: NaiveSequential,
        inputs: Array,
        labels: Array,
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.check_training_step`."""
        options |= self._of_keras(against)
        return self._count(checking.check_training_step(model, inputs, labels, **options))

    def check_function(
        self,
        subject: Function,
        inputs: Array,
        other: Array,
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.check_function`."""
        options |= self._of_keras(against)
        return self._count(function_check.check_function(subject, inputs, other, **options))

    def check_trajectory(
        self,
        optimizer: Optimizer,
        weights: Mapping[str, Array],
        gradients: Sequence[Sequence[Array]],
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.check_trajectory`."""
        options |= self._of_keras(against)
        return self._count(trajectory.check_trajectory(optimizer, weights, gradients, **options))

    def check_schedule(
        self, schedule: Schedule, iterations: Sequence[int], *, against: Against = None
    ) -> Report:
        """As :func:`agreement.check_schedule`, in the chosen dtype."""
        options = self._of_keras(against)
        return self._count(trajectory.check_schedule(schedule, iterations, self.dtype, **options))

    def check_policy(
        self,
        model: NaiveSequential,
        inputs: Array,
        labels: Array,
        *,
        against: Against = None,
        **options: Any,
    ) -> Report:
        """As :func:`agreement.check_policy`."""
        options |= self._of_keras(against)
        return self._count(policies.check_policy(model, inputs, labels, **options))

    def require(self, report: Report) -> Report:
        """Fail with a report's remarks unless it agrees.

        Raises:
            AgreementError: an ``AssertionError``, which carries the report.
        """
        __tracebackhide__ = True
        if not report.agrees:
            raise AgreementError(report)
        return report

    def _count(self, report: Report) -> Report:
        self._judged(report)
        return report

    def _of_keras(self, against: Against) -> dict[str, Any]:
        """``against`` for checks that dual numbers have no part in."""
        named = resolve_references(against) if against else [*self.references]
        if not named:
            return {}
        chosen = [name for name in named if name != DUAL]
        if not chosen:
            raise ValueError(
                "against: this check needs a mode of Keras, and only 'dual' is named; pass "
                "against=['keras'], or add keras to --agreement-against."
            )
        return {"against": chosen}
