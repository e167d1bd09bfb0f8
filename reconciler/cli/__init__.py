"""The command line: arguments, wiring and exit codes. The only place that knows all the parts."""

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


def _main(arguments: Sequence[str]) -> int:
    # Whatever the caller's is: nothing that this program or its children write may be writable by others.
    os.umask(os.umask(UMASK) | UMASK)
    channels.guard()
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
