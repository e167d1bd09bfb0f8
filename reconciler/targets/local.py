"""This machine: where the patch scripts run when no guest is meant."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler import process
from reconciler.errors import Stalled


class LocalTarget:
    """Runs verified script text on this machine.

    Args:
        environment: Added to the fixed environment of :func:`reconciler.process.run`, such as
            ``APT_CONFIG``; nothing else of the caller's environment is passed.
        shell: The POSIX shell, ``busybox sh`` for instance where there is no other.
    """

    def __init__(self, environment: Mapping[str, str], shell: Sequence[str] = ("sh",)) -> None:
        self._environment = dict(environment)
        self._shell = tuple(shell)

    def run(
        self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None
    ) -> process.Completed:
        """Run the bytes of a script as ``sh -c TEXT NAME ARGS``, with standard input closed.

        No file stands between verifying and running, so nothing can be swapped in between; and the shell
        does not read the script from a stream that a child could eat.

        Args:
            script: The very bytes that were verified; at most 128 KiB by the kernel's limit of one argument.
            name: What the script sees as ``$0``.
            args: Its arguments.
            timeout: Seconds until its process group is killed; ``None`` for whatever may not be stopped.

        Raises:
            Stalled: There is no shell, or the text is no script.
        """
        return process.run(self._argv(script, name, args), env=self._environment, timeout=timeout)

    def execute(self, script: bytes, name: str, args: Sequence[str], *, folder: Path) -> int | None:
        """Run the bytes of a script, which nothing ever stops, and return its exit code when it has ended.

        It is a session of its own, so that neither a terminal nor our own end reaches it, and its output
        goes to files, which are there when we are not.

        Args:
            script: As for :meth:`run`.
            name: What the script sees as ``$0``.
            args: Its arguments.
            folder: An existing folder of this execution alone: standard output goes to ``out``, standard
                error to ``err``, and ``process`` says who is at work.

        Raises:
            Stalled: There is no shell, or the text is no script.
        """
        return process.run_detached(self._argv(script, name, args), env=self._environment, folder=folder)

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether what was executed in ``folder`` is still running, whoever started it."""
        return process.is_at_work(folder)

    def _argv(self, script: bytes, name: str, args: Sequence[str]) -> list[str]:
        if b"\0" in script:
            raise Stalled(f"{name} is no shell script: it holds a NUL byte")
        # fsdecode keeps every byte, and the start of the process turns it back into the same bytes.
        return [*self._shell, "-c", os.fsdecode(script), name, *args]
