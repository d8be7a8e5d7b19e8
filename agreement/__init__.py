"""The judge: is the hand-written backward pass right, and if not, where and why?"""

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
