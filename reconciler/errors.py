"""The errors of the domain, named for what happens next.

Adapters translate every foreign exception at their own door into one of these. Two places catch them: the
tick, which turns them into a condition of the report, and the command line, which prints message and hint
and sets the exit code.
"""

from collections.abc import Iterable

DONE, FAILED, MISUSE, REJECTED, PENDING, TRANSIENT, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130
CUT_OFF = 141
_WORST_FIRST = (MISUSE, DEFECT, FAILED, REJECTED, TRANSIENT, PENDING, DONE)


class ReconcilerError(Exception):
    """Something a person must be told about, in one line, with what to do about it.

    Args:
        message: What is wrong and where, as one sentence without a trailing full stop.
        hint: What to do, as an imperative sentence; empty where there is nothing to advise.
        reason: CamelCase word for machines, such as ``HostKeyUnknown``; empty where nobody asks for one.
    """

    def __init__(self, message: str, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason


class Stalled(ReconcilerError):
    """Nothing more happens until a commit or a person changes something."""


class PolicyRejected(Stalled):
    """This policy revision is invalid, unverified or ambiguous: the last good one stays in force."""


class Transient(ReconcilerError):
    """It may work next time: the network, a lock, a busy server."""


class Misuse(ReconcilerError):
    """The operator's arguments or this host's configuration are wrong."""


def exit_code(error: ReconcilerError) -> int:
    """Return the exit code that stands for an error."""
    match error:
        case Misuse():
            return MISUSE
        case PolicyRejected():
            return REJECTED
        case Transient():
            return TRANSIENT
        case Stalled():
            return FAILED
        case _:
            return FAILED


def worst(codes: Iterable[int]) -> int:
    """Return the exit code that wins: 2 stands alone, then 70, 1, 3, 5, 4, 0 in this order."""
    present = set(codes)
    return next((code for code in _WORST_FIRST if code in present), DONE)
