"""Where the state of guests is, below the state folder of their hypervisor, and the logs of their runs.

``guests/ID`` of the state folder is to a guest what that is to the host, and ``guests/ID`` of the log folder
its run logs. A number that was given again is another guest: what was kept of the one before is set aside in
``former-guests/``, where the newest of each number stay.
"""

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.durable import sync_folder
from reconciler.host.state.folder import GuestFolder
from reconciler.host.state.own_folder import prepare, translate
from reconciler.host.state.run_logs import GuestLogs
from reconciler.policy.values import HOST_NAME, names_a_branch
from reconciler.records import dataclass

_GUESTS = "guests"
_FORMER = "former-guests"
_KEPT_FORMER = 3
"""Of each number: what is in a guest decides whether it counts as another one, so that it may do so often."""


@dataclass(frozen=True, slots=True)
class GuestFolders:
    """What is kept of the guests of a hypervisor.

    Attributes:
        state: The hypervisor's state folder.
        logs: Where the logs of its runs are.
    """

    state: Path
    logs: Path

    def known(self) -> frozenset[str]:
        """Return the ids of all guests of which something is kept; none where the folder cannot be read."""
        try:
            names = [entry.name for entry in (self.state / _GUESTS).iterdir() if entry.is_dir()]
        except OSError:
            return frozenset()
        return frozenset(filter(_is_id, names))

    def of(self, guest: str) -> GuestFolder:
        """Return the folder of a guest, which :meth:`GuestFolder.prepare` makes.

        Raises:
            ValueError: That is no guest's id.
        """
        return GuestFolder(self.state / _GUESTS / _checked(guest), guest)

    def logs_of(self, guest: str, count: int, age: timedelta) -> GuestLogs:
        """Return where the logs of a guest's runs are kept, and how long.

        Raises:
            ValueError: That is no guest's id.
        """
        return GuestLogs(self.logs / _GUESTS / _checked(guest), count, age, guest)

    def at_work(self) -> tuple[str, ...]:
        """Return the guests in which a run did not end by itself, as far as anybody knows; sorted."""
        return tuple(sorted(guest for guest in self.known() if self.of(guest).tells_of_a_run))

    def set_aside(self, guest: str, now: datetime) -> Path:
        """Move what is kept of a guest away, since its id is another one's now; the oldest of many go.

        Args:
            guest: Its id.
            now: Aware.

        Returns:
            Where it is now.

        Raises:
            Misuse: The folder cannot be written.
            Stalled: The disk is full or fails.
            ValueError: That is no guest's id.
        """
        before, former = self.of(guest).path, self.state / _FORMER
        prepare(former)
        stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number, aside = 1, former / f"{guest}@{stamp}"
        while aside.exists():
            number += 1
            aside = former / f"{guest}@{stamp}-{number}"
        try:
            before.rename(aside)
            sync_folder(former)
            sync_folder(before.parent)
        except OSError as error:
            raise translate(error, before) from error
        every = sorted(former.glob(f"{guest}@*"))
        for old in every[:-_KEPT_FORMER]:
            shutil.rmtree(old, ignore_errors=True)
        return aside


def _is_id(name: str) -> bool:
    return re.fullmatch(HOST_NAME, name) is not None and names_a_branch(name)


def _checked(guest: str) -> str:
    if not _is_id(guest):
        raise ValueError(f"{guest!r} is no id of a guest")
    return guest
