"""A folder that is its owner's alone, and at which one process is at work.

It is apart from what a host keeps in such a folder: who reads a fleet has one too, and keeps something else.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import Misuse, Stalled
from reconciler.host.machine.locking import take
from reconciler.ownership import check_ours, is_own

AT_WORK = "another patchledger run is at work on {}"


def prepare(folder: Path) -> None:
    """Make a folder, and ``cache`` in it, for its owner alone.

    Raises:
        Misuse: It cannot be made or written, or others may write to it.
        Stalled: The disk is full, or refuses otherwise.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "cache").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise translate(error, folder) from error
    if not is_own(folder.stat()):
        raise Misuse(
            f"{folder}: others than its owner may write to the state folder",
            f"chown it to yourself or root and chmod 700 {folder}",
        )
    check_ours(str(folder.absolute()), "state_dir")
    if not os.access(folder, os.W_OK):
        raise Misuse(f"{folder}: the state folder cannot be written", "run as its owner, or set state_dir")


@contextlib.contextmanager
def alone(path: Path, said: str) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is missing.

    Raises:
        Transient: Another process holds it: ``said``, with that one's number.
        Misuse: The file cannot be written.
        Stalled: The disk is full, or refuses otherwise.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise translate(error, path) from error
    try:
        take(handle, said)
        yield
    finally:
        os.close(handle)


def translate(error: OSError, path: Path) -> Misuse | Stalled:
    """Return what to say where the disk, or its rules, kept something from being written."""
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Misuse(f"{path}: {error.strerror}", "run as the owner of the state folder, or set state_dir")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Stalled(
            f"{path}: no space left in the state folder",
            "free some space; the last good policy and all unpushed reports are still there",
        )
    return Stalled(f"{path}: {error.strerror}", "look at the disk and at the folder's owner and mode")
