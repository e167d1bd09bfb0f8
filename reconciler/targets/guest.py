"""A guest of this machine: what runs in one, whichever way leads into it.

What is common to all ways stands here, once:

- **The very shell that acts has proved where it is.** All that runs begins with the guard and is told the
  guest's place; text without the guard is refused here.
- **Nothing of the hypervisor goes in**: an empty environment but for what is named, no standard input, no
  descriptor but two pipes (:mod:`reconciler.drain`), which something outlives us to read.
- **Nobody waits for ever.** What only asks has its time, also in a guest that stands still; then it is ended,
  inside too. A package transaction is never ended.
- **The command that enters a guest is not the work.** That one may be killed and the other goes on; so work
  inside is known by a mark in its environment, as seen from outside.
- **What a way says is no answer.** A guest that stopped, froze or went is told as that
  (:class:`~reconciler.reconcile.ports.guest.GuestAway`).

As on this machine, what is begun is a service of its own where systemd is
(:mod:`reconciler.targets.service`): questions too, since the sandbox of our unit lets nobody enter a guest.
"""

import os
import select
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

from reconciler import drain, launch, process
from reconciler.errors import Stalled, Transient
from reconciler.planning.facts.guests import ALL_SAID, TELLS_ITS_END, GuestPlace, Running, State
from reconciler.planning.text.untrusted import one_line
from reconciler.reconcile.ports.guest import GuestAway, StillAtWork
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import InGuest
from reconciler.records import dataclass
from reconciler.targets.local import Starter, as_argument, as_child, begin
from reconciler.targets.service import Asking

INSIDE = "inside"
"""File of an execution's folder: the mark of what it began in the guest, and the namespace that is there."""

_LONGEST = 3600.0
_MARGIN = 30.0  # seconds in which what took too long is ended inside, before anybody else ends that
_PATIENCE = 1.0
_TIMES = 3  # that something is asked whose answer is lost on the way
_WORDS = 300
_ENDING = 4096  # bytes, more than the line that tells how it ended

Wrapping = Callable[[Sequence[str]], Sequence[str]]
"""Turns a command that is to run in a guest into another one."""


def _as_it_is(argv: Sequence[str]) -> Sequence[str]:
    return argv


def _as_asked(argv: Sequence[str], _seconds: float) -> Sequence[str]:
    return argv


@dataclass(frozen=True, slots=True)
class Door:
    """How one guest is entered, and what is seen of it from outside.

    Attributes:
        id: Of the guest.
        enter: Returns the command, run on this machine, that runs another one in the guest.
        state: Says how the guest is now.
        place: Says where it is now, ``None`` where none of its processes is seen.
        outlive: Makes what runs in the guest go on when the command that entered it is killed, for a way in
            that takes it along.

    A state or place that cannot be found out raises :class:`~reconciler.errors.ReconcilerError`.
    """

    id: str
    enter: Wrapping
    state: Callable[[], State]
    place: Callable[[], GuestPlace | None]
    outlive: Wrapping = _as_it_is


class GuestTarget:
    """Runs verified script text in one guest.

    Args:
        door: Into it.
        guard: What every text begins with that may run in a guest (``scripts/patch/guest.sh``).
        environment: Added to ``PATH``, ``LC_ALL`` and ``HOME``, of which nothing is the hypervisor's. It
            stands on command lines, on this machine and in the guest: no place for secrets.
        shell: The guest's POSIX shell.
        starter: How :meth:`execute` starts what may not be stopped.
        asking: How :meth:`run` starts what has its time.
        limit: Bytes that are kept of each stream.
        patience: How long :meth:`execute` waits, ``None`` for as long as it takes.
    """

    def __init__(
        self,
        door: Door,
        guard: bytes,
        environment: Mapping[str, str] | None = None,
        *,
        shell: Sequence[str] = ("sh",),
        starter: Starter = as_child,
        asking: Asking = _as_asked,
        limit: int = drain.LIMIT,
        patience: timedelta | None = None,
    ) -> None:
        self._door = door
        self._guard = guard
        self._shell = tuple(shell)
        self._starter = starter
        self._asking = asking
        self._limit = limit
        self._waits = patience
        fixed = {"PATH": process.BASE_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
        self._environment = {**fixed, **(environment or {})}

    @property
    def where(self) -> InGuest:
        """The guest."""
        return InGuest(self._door.id)

    def run(
        self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None
    ) -> process.Completed:
        """Run the bytes of a guarded script in the guest, with standard input closed.

        Args:
            script: The very bytes that were verified; they begin with the guard.
            name: What the script sees as ``$0``.
            args: Its arguments.
            timeout: Seconds until it is ended, outside and inside; ``None`` for the longest that there is.

        Returns:
            What the guest said: its word, of which no more than the limit is kept.

        Raises:
            GuestAway: The guest does not run, or does not any more and what it said is not whole.
            Stalled: It cannot be entered, or the text is none that may run in a guest.
            Transient: It runs, and none of its processes is to be seen.
        """
        for _ in range(_TIMES):
            done = self._asked(script, name, args, timeout)
            if done is not None:
                return done
        raise Transient(f"guest {self._door.id}: what it said did not come whole")

    def _asked(
        self, script: bytes, name: str, args: Sequence[str], timeout: float | None
    ) -> process.Completed | None:
        """Run it once; ``None`` where the way in lost what was said and told that all is well."""
        place, mark = self._place(), os.urandom(16).hex()
        inner = self._inner(script, name, [*place.arguments, *args], mark)
        seconds = _LONGEST if timeout is None else timeout
        argv = drain.arguments(
            mark, place.pid_namespace, self._door.enter(inner), seconds=seconds, limit=self._limit
        )
        done = process.run(
            self._asking(launch.COMMAND, seconds + _MARGIN),
            stdin=self._order(argv, mark, None),
            timeout=seconds + 2 * _MARGIN,
            limit=self._limit + _ENDING,
        )
        answer = self._answer(done)
        if not script.startswith(TELLS_ITS_END, len(self._guard) + 1) or answer.truncated:
            return answer
        if answer.stdout.endswith(ALL_SAID):
            whole = answer.stdout.removesuffix(ALL_SAID)
            code, said = answer.returncode, answer.stderr
            return process.Completed(answer.argv, code, whole, said, timed_out=answer.timed_out)
        return None if answer.returncode == 0 and not answer.timed_out else answer

    def execute(
        self, script: bytes, name: str, args: Sequence[str], *, folder: Path, unless: Unless | None = None
    ) -> None:
        """Run the bytes of a guarded script, which nothing else ever stops, and return when it has ended.

        It goes on however we end, and however the command ends that entered the guest.

        Args:
            script: As for :meth:`run`.
            name: What the script sees as ``$0``.
            args: Its arguments.
            folder: As for :meth:`reconciler.targets.local.LocalTarget.execute`; the guest is given none of
                its files.
            unless: What ends it after all, inside too; only for what changes no package.

        Raises:
            GuestAway: It has not begun, since the guest does not run.
            Stalled: It has not begun, and never will.
            StillAtWork: It goes on longer than anybody waits here.
            Transient: As for :meth:`run`.
        """
        place, mark = self._place(), os.urandom(16).hex()
        inner = self._inner(script, name, [*place.arguments, *args], mark)
        enter = self._door.enter(self._door.outlive(inner))
        argv = drain.arguments(mark, place.pid_namespace, enter, seconds=None, limit=self._limit)
        # Whoever comes when we are gone must find what is inside, so this is there before anything begins.
        (folder / INSIDE).write_text(f"{mark} {place.pid_namespace}\n", encoding="ascii")
        begun, most = monotonic(), None if self._waits is None else self._waits.total_seconds()
        begin(
            self._starter, argv, process.environment({drain.MARK: mark}), folder, within=most, unless=unless
        )
        while self.is_at_work(folder):
            if unless is not None and unless.is_over():
                drain.end(mark, place.pid_namespace)
            if self._waits is not None and monotonic() >= begun + self._waits.total_seconds():
                raise StillAtWork(self._waits)
            select.select([], [], [], _PATIENCE)

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether what :meth:`execute` began in ``folder`` is still at work, outside or in the guest.

        Where the caller of :meth:`execute` has ended, a no is final.
        """
        if launch.is_at_work(folder):
            return True
        try:
            mark, namespace = (folder / INSIDE).read_text(encoding="ascii").split()
        except (OSError, ValueError):  # nothing was begun
            return False
        return drain.is_at_work(mark, namespace)

    def _place(self) -> GuestPlace:
        state = self._door.state()
        if not isinstance(state, Running):
            raise GuestAway(self._door.id, state)
        place = self._door.place()
        if place is None:
            raise Transient(f"guest {self._door.id}: it runs, and its first process is not seen")
        return place

    def _inner(self, script: bytes, name: str, args: Sequence[str], mark: str) -> tuple[str, ...]:
        if not script.startswith(self._guard + b"\n"):
            raise Stalled(f"{name} does not begin with what proves where it is, and is not run in a guest")
        # The mark comes first: what is not yet the shell is known by it.
        variables = (f"{one}={value}" for one, value in self._environment.items())
        marked = (f"{drain.MARK}={mark}", *variables)
        return ("env", "-i", *marked, *self._shell, "-c", as_argument(script, name), name, *args)

    def _order(self, argv: Sequence[str], mark: str, folder: Path | None) -> bytes:
        try:
            return launch.order(argv, process.environment({drain.MARK: mark}), folder)
        except ValueError as error:
            raise Stalled(f"guest {self._door.id} cannot be entered: {error}") from error

    def _answer(self, done: process.Completed) -> process.Completed:
        said, ending = drain.read_ending(done.stderr)
        if ending is None and not done.timed_out:
            words = one_line(done.error_text, _WORDS) or f"it ended with {done.returncode}"
            raise Stalled(f"guest {self._door.id} cannot be entered: {words}")
        code = 1 if ending is None or ending.code is None else ending.code
        if code and not done.stdout.endswith(f"\nexit {code}\n".encode()):
            state = self._door.state()
            if not isinstance(state, Running):
                raise GuestAway(self._door.id, state)
        return process.Completed(
            done.argv,
            code,
            done.stdout,
            said,
            timed_out=ending is None or ending.code is None,
            truncated=done.truncated or (ending is not None and ending.is_cut),
        )
