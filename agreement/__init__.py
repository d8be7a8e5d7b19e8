"""The judge: is the hand-written backward pass right, and if not, where and why?"""

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
