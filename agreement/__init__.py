"""The judge: is the hand-written backward pass right, and if not, where and why?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agreement.checking import AgreementError, assert_agreement, check
    from agreement.report import Report
    from agreement.verdicts import TensorVerdict, Verdict, View

__all__ = [
    "AgreementError",
    "Report",
    "TensorVerdict",
    "Verdict",
    "View",
    "assert_agreement",
    "check",
]
# Loaded when asked for: a recording is also made beside releases of NumPy that the judge, who
# is not needed for it, does not run on.
_HOMES = {
    "AgreementError": "agreement.checking",
    "Report": "agreement.report",
    "TensorVerdict": "agreement.verdicts",
    "Verdict": "agreement.verdicts",
    "View": "agreement.verdicts",
    "assert_agreement": "agreement.checking",
    "check": "agreement.checking",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
