"""This machine: where the patch scripts run when no guest is meant.

The shell reads a script from a sealed file in memory: what was hashed is what runs, and the text stands on no
command line, where everybody can read it, accounting would keep it for every process, and the kernel allows
128 KiB. The file comes as standard input, the shell opens it once more through ``/proc/self/fd``, and what
goes before the first line of the script puts ``/dev/null`` in its place. So nothing that the script starts
has a descriptor of it or could eat the rest of it: shells read from one of their own, which they pass to
nobody.
Where ``/proc`` is missing, the text is an argument, with the same promise.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from reconciler import launch, process
from reconciler.errors import Stalled
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import THIS_MACHINE

_DESCRIPTORS = Path("/proc/self/fd")
_READS_IT = f". {_DESCRIPTORS}/0"
_BEFORE_IT = b"exec </dev/null; "  # on its first line, so that line numbers of messages are the script's own

Starter = Callable[[Sequence[str], Path], Sequence[str]]
"""Turns a command that is to outlive us, and the folder of its execution, into the command that starts it."""


def as_child(argv: Sequence[str], _folder: Path) -> Sequence[str]:
    """Start it as a child of ours, in a session of its own.

    That is enough against a terminal and our own end, but not where systemd stops the unit that we run in: it
    kills the whole control group. There it must be :func:`reconciler.targets.service.as_service`.
    """
    return argv


class LocalTarget:
    """Runs verified script text on this machine.

    Args:
        environment: Added to the fixed environment of :func:`reconciler.process.run`, such as
            ``APT_CONFIG``; nothing else of the caller's environment is passed.
        shell: The POSIX shell, ``busybox sh`` for instance where there is no other.
        starter: How :meth:`execute` starts what may not be stopped.
    """

    where = THIS_MACHINE

    def __init__(
        self, environment: Mapping[str, str], shell: Sequence[str] = ("sh",), starter: Starter = as_child
    ) -> None:
        self._environment = dict(environment)
        self._shell = tuple(shell)
        self._starter = starter

    def run(
        self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None
    ) -> process.Completed:
        """Run the bytes of a script, with standard input closed.

        No file that anybody else could write stands between verifying and running, so nothing can be swapped
        in between; and the shell does not read the script from a stream that a child could eat.

        Args:
            script: The very bytes that were verified.
            name: What the script sees as ``$0``.
            args: Its arguments.
            timeout: Seconds until its process group is killed; ``None`` for whatever may not be stopped.

        Raises:
            Stalled: There is no shell, or the text is no script.
        """
        argv, text = self._reading(script, name, args)
        launch.make_room(argv)
        if text is None:
            return process.run(argv, env=self._environment, timeout=timeout)
        try:
            sealed = launch.sealed(text)
        except OSError as error:
            raise Stalled(f"cannot start {name}: {error.strerror}") from error
        with sealed:
            return process.run(argv, env=self._environment, stdin=sealed, timeout=timeout)

    def execute(
        self, script: bytes, name: str, args: Sequence[str], *, folder: Path, unless: Unless | None = None
    ) -> None:
        """Run the bytes of a script, which nothing else ever stops, and return when it has ended.

        It goes on however we end, and its output goes to files, which are there when we are not. They alone
        say how it ended.

        Args:
            script: As for :meth:`run`.
            name: What the script sees as ``$0``.
            args: Its arguments.
            folder: An existing folder of this execution alone, below a folder that belongs to root alone:
                standard output goes to ``out``, standard error to ``err``, and ``process`` says who is at
                work. Our own sandbox must show it where the machine has it.
            unless: What ends it after all; only for what changes no package.

        Raises:
            Stalled: It has not begun, and never will: there is no shell, or the text is no script, for
                instance.
        """
        argv, text = self._reading(script, name, args)
        begin(self._starter, argv, process.environment(self._environment), folder, text, unless=unless)

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether what :meth:`execute` began in ``folder`` is still at work, whoever called it.

        Where the caller of :meth:`execute` has ended, a no is final: it has ended, or will never begin.
        """
        return launch.is_at_work(folder)

    def _reading(self, script: bytes, name: str, args: Sequence[str]) -> tuple[list[str], bytes | None]:
        """Return the command whose shell runs the script, and what it is to find as standard input."""
        argument = as_argument(script, name)
        if _DESCRIPTORS.is_dir():
            return [*self._shell, "-c", _READS_IT, name, *args], _BEFORE_IT + script
        return [*self._shell, "-c", argument, name, *args], None


def as_argument(script: bytes, name: str) -> str:
    """Return the bytes of a script as the argument of a process, which then gets the very same.

    Raises:
        Stalled: They hold one that no argument can.
    """
    if b"\0" in script:
        raise Stalled(f"{name} is no shell script: it holds a NUL byte")
    # fsdecode keeps every byte, and the start of the process turns it back into the same bytes.
    return os.fsdecode(script)


def begin(
    starter: Starter,
    argv: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    text: bytes | None = None,
    *,
    within: float | None = None,
    unless: Unless | None = None,
) -> None:
    """Start what nothing else ever stops, and return when it has ended, or when nobody waits any more.

    Args:
        starter: How.
        argv: Program and arguments.
        env: Its whole environment.
        folder: As for :meth:`LocalTarget.execute`.
        text: What it finds as standard input, sealed; ``None`` for nothing.
        within: Seconds after which it is waited for no more; what has not begun by then never will.
        unless: What ends it, with all of its group, where it has begun.

    Raises:
        Stalled: It has not begun, and never will.
    """
    until = None if within is None else monotonic() + within
    try:
        order = launch.order(argv, env, folder, text)
    except ValueError as error:
        raise Stalled(f"cannot start {argv[0]}: {error}") from error
    started = starter(launch.COMMAND, folder)
    meanwhile = None if unless is None else (unless.every.total_seconds(), partial(_look, folder, unless))
    code = process.run_detached(started, stdin=order, folder=folder, within=within, meanwhile=meanwhile)
    while unless is not None and launch.is_at_work(folder):
        _look(folder, unless)
        launch.wait(folder, monotonic() + unless.every.total_seconds())
    launch.wait(folder, until)
    if launch.withdraw(folder):
        words = (folder / "err").read_text(encoding="utf-8", errors="replace").strip()
        raise Stalled(words.splitlines()[-1] if words else f"{argv[0]} was not started: {code}")
    launch.wait(folder, until)  # it began after all, between the two


def _look(folder: Path, unless: Unless) -> None:
    """End what is at work in ``folder`` where that is said; what has not begun yet is looked at again."""
    if launch.is_at_work(folder) and unless.is_over():
        launch.end(folder)
