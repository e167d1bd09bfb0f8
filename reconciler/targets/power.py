"""Restart a guest by what runs it, and wait until it is back; nothing here can restart anything else.

The rules:

- The command is one of the guest's kind and names it. What runs it, not what is in it, shuts it down and
  starts it again.
- It is back when its first process is another one, as the hypervisor's kernel shows it, and the guest proves
  inside that it is the one that is meant. What it says of its own boot proves nothing.
- The command is never ended: half of it is a guest that is down. The wait for it has its time.
"""

import select
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

from reconciler import launch, process
from reconciler.errors import ReconcilerError, Stalled
from reconciler.planning.text.untrusted import one_line
from reconciler.reconcile.ports.where import InGuest
from reconciler.records import dataclass
from reconciler.targets.guest import GuestTarget
from reconciler.targets.local import Starter, as_child

SHUTDOWN = 300
"""Seconds that a guest has to shut down. What comes then is its hypervisor's way: Proxmox stops it hard."""

PATIENCE = 600.0
"""Seconds until a guest must be back, since it was told to restart."""

_EVERY = 1.0
_ASKED = 60.0
_WORDS = 300


@dataclass(frozen=True, slots=True)
class Switch:
    """How one guest is restarted, and how its start is known.

    Attributes:
        command: Run on this machine, restarts it.
        started: Says when it was started, by this machine's kernel; empty where none of its processes is
            seen.
        folder: Returns a new folder for what the command says.
    """

    command: Sequence[str]
    started: Callable[[], str]
    folder: Callable[[], Path]


class GuestPower:
    """Restarts one guest.

    Args:
        target: The guest, as it was when it was looked at: with its machine id, where it has one.
        switch: Its own.
        guard: As of :class:`reconciler.targets.guest.GuestTarget`.
        starter: How the command is started, which nothing may stop.
        patience: Seconds until it must be back.
    """

    root = "/"
    is_awaited = True

    def __init__(
        self,
        target: GuestTarget,
        switch: Switch,
        guard: bytes,
        starter: Starter = as_child,
        patience: float = PATIENCE,
    ) -> None:
        self._target = target
        self._switch = switch
        self._question = guard + b"\nexit 0\n"
        self._starter = starter
        self._patience = patience

    @property
    def where(self) -> InGuest:
        """The guest."""
        return self._target.where

    def boot_id(self) -> str:
        """Return what names this start of the guest, empty where it is not seen to run.

        Raises:
            Transient: That cannot be found out.
        """
        return self._switch.started()

    def reboot(self, notice: timedelta, message: str) -> None:
        """Restart it, and return when it is back or its time is over; who it was proves which.

        Args:
            notice: Nobody in a guest is warned.
            message: It has no use for one either.

        Raises:
            Stalled: It is as it was, since the command refuses.
            ReconcilerError: How it is now cannot be found out.
        """
        del notice, message
        before = self.boot_id()
        if not before:
            raise Stalled(f"guest {self.where.id} is not seen to run, and is not restarted")
        ends_at = monotonic() + self._patience
        failed = self._commanded(ends_at)
        if failed and self.boot_id() == before:
            raise Stalled(f"guest {self.where.id} is not restarted: {failed}")
        while not failed and not self._is_back(before) and monotonic() < ends_at:
            select.select([], [], [], _EVERY)

    def _commanded(self, ends_at: float) -> str:
        """Run the command; return why it failed, empty where it did not, or has not ended in its time."""
        folder, argv = self._switch.folder(), self._switch.command
        order = launch.order(argv, process.environment({}), folder)
        code = process.run_detached(
            self._starter(launch.COMMAND, folder), stdin=order, folder=folder, within=self._patience
        )
        is_going_on = launch.is_at_work(folder)  # though who waited for it was ended
        while launch.is_at_work(folder) and monotonic() < ends_at:
            select.select([], [], [], _EVERY)
        if not code or is_going_on:
            return ""
        words = (folder / "err").read_text(encoding="utf-8", errors="replace")
        return one_line(words, _WORDS) or f"{argv[0]} ended with {code}"

    def _is_back(self, before: str) -> bool:
        try:
            if self.boot_id() in {"", before}:
                return False
            done = self._target.run(self._question, "restarted", (), timeout=_ASKED)
        except ReconcilerError:
            return False  # it goes down, or comes up
        return not done.timed_out and done.returncode == 0
