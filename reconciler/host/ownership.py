"""Who else could change a file: asked of everything that decides what root does.

Kept light, since a quiet tick imports it.
"""

import os
import stat

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_own(found: os.stat_result) -> bool:
    """Tell whether nobody but this user and root may change what ``found`` describes."""
    return found.st_uid in {0, os.geteuid()} and not found.st_mode & _OTHERS_MAY_WRITE


def is_own_folder_of(path: str) -> bool:
    """Tell whether nobody but this user and root can put another file in the place of ``path``.

    A folder that is writable by others counts as own where it is sticky, such as ``/tmp``, or where the
    group it is writable by is this user's first one.
    """
    found = os.stat(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH116, PTH120 - pathlib is slow to import
    if found.st_uid not in {0, os.geteuid()}:
        return False
    if found.st_mode & stat.S_ISVTX:
        return True
    is_open_to_a_group = found.st_mode & stat.S_IWGRP and found.st_gid not in {0, os.getegid()}
    return not (found.st_mode & stat.S_IWOTH or is_open_to_a_group)


def user_name() -> str:
    """Return who started this process: with sudo, the person behind it."""
    import pwd  # noqa: PLC0415 - a quiet tick has no use for it

    behind = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    uid = int(behind) if behind.isdigit() else os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def read_own(path: str) -> bytes | None:
    """Return the content of a regular file that nobody but this user and root may change, else ``None``.

    Raises:
        OSError: It cannot be read.
    """
    # Not blocking, since opening a named pipe would otherwise wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
        found = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(found.st_mode) and is_own(found) else None
