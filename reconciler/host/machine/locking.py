"""One transaction at a time on a machine, whatever configuration or state folder starts it."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Stalled, Transient

ROOTS_FOLDER = Path("/run/patchledger")
"""Where root's locks are: nobody else may make a file there."""


@dataclass(frozen=True, slots=True)
class MachineLock:
    """The lock of one package database.

    Attributes:
        folder: Own to the user; made on first use.
        database: Gives the path that all who would change the same packages name alike.
    """

    folder: Path
    database: Callable[[], str]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; it ends with the process at the latest.

        Raises:
            Transient: Another run is changing the same packages; its process id is named.
            Stalled: The lock cannot be made.
        """
        database = self.database()
        name = hashlib.sha256(database.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        path = self.folder / f"{name}.lock"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Stalled(f"{path}: {error.strerror}", "look at the folder's owner and mode") from error
        try:
            take(handle, f"another patchledger run is changing the packages of {database}")
            yield
        finally:
            os.close(handle)


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
