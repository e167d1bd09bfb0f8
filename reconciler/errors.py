"""The errors of the domain, named for what happens next.

Adapters translate every foreign exception at their own door into one of these. Two places catch them: the
tick, which turns them into a condition of the report, and the command line, which prints message and hint
and sets the exit code.
"""


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


class Stalled(ReconcilerError):  # noqa: N818 - named for what happens next, as DESIGN's conditions are
    """Nothing more happens until a commit or a person changes something."""


class PolicyRejected(Stalled):
    """This policy revision is invalid, unverified or ambiguous: the last good one stays in force."""


class Transient(ReconcilerError):  # noqa: N818 - the same
    """It may work next time: the network, a lock, a busy server."""


class Misuse(ReconcilerError):  # noqa: N818 - the same
    """The operator's arguments or this host's configuration are wrong."""
