"""Who else could change a file: asked of everything that decides what root does.

Kept light, since a quiet tick imports it.
"""

import errno
import os
import stat

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as the kernel: path_resolution(7)


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


def who_else_may_change(path: str) -> str:
    """Return why somebody but this user and root could change what runs under ``path``, or an empty text.

    Every folder on the way and every symbolic link with the folders it leads through is asked: each belongs
    to this user or root, and neither its group nor others may write to it. A sticky folder such as ``/tmp``
    may be open, since others cannot replace there what is not theirs; the file itself may not.

    Raises:
        OSError: Something on the way does not exist or cannot be asked.
    """
    rest = list(reversed(os.path.abspath(path).split("/")[1:]))  # noqa: PTH100 - pathlib is slow to import
    links = 0
    at = "/"
    while True:
        found = os.lstat(at)
        if found.st_uid not in {0, os.geteuid()}:
            return f"{at} belongs to user {found.st_uid}"
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(at)  # noqa: PTH115 - pathlib is slow to import
            rest += reversed([part for part in target.split("/") if part])
            at = "/" if target.startswith("/") else os.path.dirname(at)  # noqa: PTH120 - the same
            continue
        is_sticky_folder = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_mode & _OTHERS_MAY_WRITE and not is_sticky_folder:
            return f"{at} may be written to by {'others' if found.st_mode & stat.S_IWOTH else 'its group'}"
        if not rest:
            return ""
        at = _below(at, rest.pop())


def _below(folder: str, name: str) -> str:
    if name == "..":
        return os.path.dirname(folder)  # noqa: PTH120 - pathlib is slow to import
    return folder if name == "." else f"{folder.rstrip('/')}/{name}"
