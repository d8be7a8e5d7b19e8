"""The judge: is the hand-written backward pass right, and if not, where and why?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agreement.checking import AgreementError, assert_agreement, check, check_training_step
    from agreement.function_check import check_function
    from agreement.policies import check_policy
    from agreement.report import Report
    from agreement.trajectory import check_schedule, check_trajectory
    from agreement.verdicts import TensorVerdict, Verdict, View

__all__ = [
    "AgreementError",
    "Report",
    "TensorVerdict",
    "Verdict",
    "View",
    "assert_agreement",
    "check",
    "check_function",
    "check_policy",
    "check_schedule",
    "check_training_step",
    "check_trajectory",
]
# Loaded when asked for: a recording is also made beside releases of NumPy that the judge, who
# is not needed for it, does not run on.
_HOMES = {
    "AgreementError": "checking",
    "Report": "report",
    "TensorVerdict": "verdicts",
    "Verdict": "verdicts",
    "View": "verdicts",
    "assert_agreement": "checking",
    "check": "checking",
    "check_function": "function_check",
    "check_policy": "policies",
    "check_schedule": "trajectory",
    "check_training_step": "checking",
    "check_trajectory": "trajectory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"agreement.{_HOMES[name]}"), name)
