"""The command line: arguments, wiring and exit codes. The only place that knows all the parts."""

import _signal  # type: ignore[import-not-found] # what signal makes its enumerations of: a quiet tick has no need of those
import gc
import os
import sys
from collections.abc import Sequence

from reconciler.cli import channels

_INTERRUPTED = 130  # reconciler.errors has it too, which is not imported yet
UMASK = 0o022
"""That of the units: files for others are readable, and written by their owner alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments without the program's name; the process's own by default.

    Returns:
        0 done, nothing to do, or deferred with a reason; 1 failed; 2 usage or local configuration; 3 policy
        rejected; 4 ``plan --check`` found updates pending; 5 transient; 70 a defect of ours; 130
        interrupted.
    """
    # Around all of it: to be told to end while modules are imported is no defect.
    try:
        return _main(tuple(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        if argv is None:
            # The process ends now and gives all of it back. Else the interpreter would search everything that
            # was imported for cycles first, twice, which takes as long as a fifth of a plan.
            gc.freeze()


def _main(arguments: Sequence[str]) -> int:
    # Whatever the caller's is: nothing that this program or its children write may be writable by others.
    os.umask(os.umask(UMASK) | UMASK)
    channels.guard()
    _hear_of_children()
    # The tick that finds nothing changed is by far the most frequent call: it is answered before anything
    # heavy is imported, the argument parser included.
    from reconciler.cli.wiring import quiet

    code = quiet.tick(arguments)
    if code is not None:
        return code
    from reconciler.cli.wiring import values

    if arguments[:1] == (values.COMMAND,):
        return values.tell(arguments[1:])
    from reconciler.cli import dispatch

    return dispatch.run(arguments)


def _hear_of_children() -> None:
    """Be told how each child ends, whatever the caller wanted for itself.

    Who ignores SIGCHLD passes that on to what it starts, as some supervisors and containers do. The kernel
    then forgets how children ended, and :mod:`subprocess` takes each of them for one that did well: of git as
    of a package manager, and theirs do the same.
    """
    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGCHLD,))
