"""Replace files so that neither a crash nor a power cut leaves a part of one."""

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


AS_THE_CALLER_WANTS = None
"""The mode of what somebody asked for at a place of their own: as their umask has it, like a redirection."""


def replace_file(path: "Path", data: bytes, mode: int | None = 0o600) -> None:
    """Make ``data`` the content of ``path``, readable by its owner alone unless ``mode`` says more.

    It is all of it or nothing. One process at a time may replace a file.

    Args:
        path: The file; a link of that name is replaced, not followed.
        data: All of it.
        mode: Is what the file has in the end, whatever the umask: who is promised that others read a file
            is promised it for a run by hand, too. Or ``AS_THE_CALLER_WANTS``.

    Raises:
        OSError: The file system refuses; the old content is still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        # A link or somebody's file of that name is not written through: the file is always a new one.
        fresh.unlink(missing_ok=True)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(fresh, new, 0o666 if mode is None else mode)
        with os.fdopen(descriptor, "wb") as stream:
            if mode is not None:
                os.fchmod(descriptor, mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def sync_file(path: "Path") -> None:
    """Write a file that another program made to the disk.

    Raises:
        OSError: The file system refuses.
    """
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: "Path") -> None:
    """Write the names in ``folder`` to the disk: without it a power cut may bring a replaced file back.

    Raises:
        OSError: The file system refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
