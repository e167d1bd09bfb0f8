"""Who else could change a file: asked of everything that decides what root does.

There is one answer, :func:`who_else_may_change`, about the whole way to a file. Kept light, since a quiet
tick imports it.
"""

import errno
import os
import stat

from reconciler.errors import Misuse

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as the kernel: path_resolution(7)


def is_own(found: os.stat_result) -> bool:
    """Tell whether nobody but this user and root may change what ``found`` describes."""
    return found.st_uid in {0, os.geteuid()} and not found.st_mode & _OTHERS_MAY_WRITE


def user_name() -> str:
    """Return who started this process: with sudo, the person behind it."""
    import pwd

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
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(found.st_mode) and is_own(found) else None


def read_foreign(path: str, limit: int) -> bytes | None:
    """Return the first ``limit`` bytes of a regular file, whoever may write it; else ``None``.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # as above
    with open(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def read_secret(path: str, named: str, hint: str, limit: int, *, is_guarded: bool = False) -> bytes:
    """Return what a file with a secret holds, up to one byte more than ``limit``.

    Args:
        path: Absolute.
        named: Whose secret it is, for people.
        hint: What to do where it cannot be read.
        limit: Bytes.
        is_guarded: Somebody else keeps others out, such as the service manager; else only its owner may read
            it, and nobody else put another in its place.

    Raises:
        Misuse: It is missing, a symbolic link, no regular file, or open to others. Nothing of it is told.
    """
    if not os.path.isabs(path):
        raise Misuse(f"{named}: the path {path} is relative", "write the whole path")
    try:
        # Not blocking, since opening a named pipe would otherwise wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Misuse(f"{named}: cannot read {path}: {error.strerror}", hint) from error
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Misuse(f"{named}: {path} is no regular file", hint)
        data = file.read(limit + 1)
    if not is_guarded:
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise Misuse(f"{named}: {path} can be read by others", f"chmod 600 {path}")
        check_ours(path, named)
    return data


def who_else_may_change(path: str) -> str:
    """Return why somebody but this user and root could change what runs under ``path``, or an empty text.

    Every folder on the way and every symbolic link with the folders it leads through is asked: each belongs
    to this user or root, and neither its group nor others may write to it. A sticky folder such as ``/tmp``
    may be open, since others cannot replace there what is not theirs; the file itself may not. A folder of an
    ordinary user may be open to this user's first group, as distributions that give each user a group make
    it; one that root uses may not.

    Raises:
        OSError: Something on the way does not exist or cannot be asked.
    """
    rest = list(reversed(os.path.abspath(path).split("/")[1:]))
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
            target = os.readlink(at)
            rest += reversed([part for part in target.split("/") if part])
            at = "/" if target.startswith("/") else os.path.dirname(at)
            continue
        if found.st_mode & _OTHERS_MAY_WRITE and not _may_be_open(found):
            return f"{at} may be written to by {'others' if found.st_mode & stat.S_IWOTH else 'its group'}"
        if not rest:
            return ""
        at = _below(at, rest.pop())


def check_ours(path: str, named: str) -> None:
    """Check that nobody but this user and root could change what is found under ``path``, all the way to it.

    Args:
        path: Absolute.
        named: What names it for people, such as ``git.known_hosts``.

    Raises:
        Misuse: Somebody could, or it cannot be asked.
    """
    try:
        others = who_else_may_change(path)
    except OSError as error:
        raise Misuse(f"{named}: {path}: {error.strerror}", "correct the path, or make the file") from error
    if others:
        raise Misuse(
            f"{named}: others can change {path}, or put another in its place: {others}",
            "chown what is named to root or yourself and chmod go-w it, or keep the file elsewhere",
        )


def _may_be_open(found: os.stat_result) -> bool:
    """Tell whether a folder to which more than its owner may write is safe all the same."""
    if not stat.S_ISDIR(found.st_mode):
        return False
    is_of_own_group = os.geteuid() != 0 and found.st_gid == os.getegid() and not found.st_mode & stat.S_IWOTH
    return bool(found.st_mode & stat.S_ISVTX) or is_of_own_group


def _below(folder: str, name: str) -> str:
    if name == "..":
        return os.path.dirname(folder)
    return folder if name == "." else f"{folder.rstrip('/')}/{name}"
