"""One transaction at a time on a machine, whatever configuration or state folder starts it.

A hypervisor has its packages alone; its guests have theirs side by side, and never beside a run of the
hypervisor that began before them. Two guests have the same path for their package database: the guest is part
of the lock's name.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from reconciler.errors import Stalled, Transient
from reconciler.reconcile.ports.where import THIS_MACHINE, InGuest
from reconciler.records import dataclass

ROOTS_FOLDER = Path("/run/patchledger")
"""Where root's locks are: nobody else may make a file there."""


class WaitForGuests(Protocol):
    """Waits for guests that are at work."""

    def __call__(self, is_free: Callable[[], bool], within: timedelta, /) -> bool:
        """Ask again and again until it is so or the time has passed; say whether it is so."""


def _never(is_free: Callable[[], bool], within: timedelta, /) -> bool:
    del within
    return is_free()


@dataclass(frozen=True, slots=True)
class MachineLock:
    """The lock of this machine's package database, or of that of another root.

    Attributes:
        folder: Own to the user; made on first use.
        database: Gives the path that all who would change the same packages name alike.
        guests: How long guests that are at work are waited for; afterwards it goes on beside them, so that
            one that hangs holds up nobody. ``None`` for another root, which has none.
        wait: Waits for them.
    """

    where = THIS_MACHINE

    folder: Path
    database: Callable[[], str]
    guests: timedelta | None = None
    wait: WaitForGuests = _never

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; it ends with the process at the latest. No guest begins meanwhile.

        Raises:
            Transient: Another run is changing the same packages; its process id is named.
            Stalled: The lock cannot be made.
        """
        database = self.database()
        with contextlib.ExitStack() as held:
            own = held.enter_context(_opened(self.folder, _name(database)))
            take(own, f"another patchledger run is changing the packages of {database}")
            if self.guests is not None:
                # From here on none begins. Whoever has it is a guest that looks, and lets it go at once.
                machine = held.enter_context(_opened(self.folder, _MACHINE))
                fcntl.flock(machine, fcntl.LOCK_EX)
                among = held.enter_context(_opened(self.folder, _GUESTS))
                self.wait(lambda: _is_taken(among, fcntl.LOCK_EX), self.guests)
            yield


@dataclass(frozen=True, slots=True)
class GuestLock:
    """The lock of a guest's packages: apart from its hypervisor's and from those of other guests.

    Attributes:
        folder: That of its hypervisor's lock.
        guest: Its id.
        database: Gives the guest's own, which most guests call alike.
    """

    folder: Path
    guest: str
    database: Callable[[], str]

    @property
    def where(self) -> InGuest:
        """What it is a part of."""
        return InGuest(self.guest)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock beside other guests; it ends with the process at the latest.

        Raises:
            Transient: Another run is changing this guest's packages, or the hypervisor's.
            Stalled: The lock cannot be made.
        """
        database = self.database()
        with contextlib.ExitStack() as held:
            own = held.enter_context(_opened(self.folder, _name(f"{self.guest}\0{database}")))
            take(own, f"another patchledger run is changing the packages of guest {self.guest}")
            # The hypervisor takes its lock first and looks at this one then, and we the other way round:
            # whoever comes second sees the first.
            among = held.enter_context(_opened(self.folder, _GUESTS))
            if not _is_taken(among, fcntl.LOCK_SH) or not self._is_machine_idle():
                said = "patchledger is changing the packages of this hypervisor itself"
                raise Transient(said, "its guests go on when that has ended")
            yield

    def _is_machine_idle(self) -> bool:
        with _opened(self.folder, _MACHINE) as handle:
            return _is_taken(handle, fcntl.LOCK_SH)


_MACHINE = "machine.lock"
_GUESTS = "guests.lock"


def _name(of: str) -> str:
    return hashlib.sha256(of.encode("utf-8", "surrogateescape")).hexdigest()[:16] + ".lock"


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    path = folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Stalled(f"{path}: {error.strerror}", "look at the folder's owner and mode") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _is_taken(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take(handle: int, said: str) -> None:
    """Lock an open file for this process, and write the process's number into it for whoever comes next.

    Raises:
        Transient: Another process has it: ``said``, with that one's number.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise Transient(f"{said} (pid {holder})", "wait for it to end") from error
    # The number is only for the message above; the lock itself is the kernel's and ends with the process.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
