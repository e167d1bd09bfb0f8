"""A question that is put to one child and has a short answer, without what :mod:`subprocess` costs.

The quiet tick asks so. :mod:`subprocess` brings :mod:`threading`, :mod:`locale`, :mod:`signal` and
:mod:`selectors` along, whose import takes as long as all else that such a tick does. The rules are those of
:func:`reconciler.process.run`: an argument list, standard input closed, nothing of the caller's environment,
output bounded, a time limit that ends the whole process group.
"""

import os
import pwd
import select
from time import monotonic

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KILL, _PIPE, _XFSZ = 9, 13, 25  # signal(7); the module of that name makes an enumeration of all of them
_SOON = 2
"""Milliseconds between two questions whether a child that has said all is there."""


def environment(env: "Mapping[str, str] | None" = None) -> dict[str, str]:
    """Return the whole environment that a process is given: the fixed one and ``env``.

    ``HOME`` is the one of this user in the password database, whatever the caller's environment says: rpm
    and others run and trust what they find there.
    """
    return {"PATH": BASE_PATH, "LC_ALL": "C.UTF-8", "HOME": _home(), **(env or {})}


def ask(
    argv: "Sequence[str]", *, env: "Mapping[str, str]", timeout: float, limit: int = 65536
) -> bytes | None:
    """Run ``argv`` to its end in a session of its own and return what it printed to standard output.

    Args:
        argv: Program and arguments; the program is looked up on the ``PATH`` that it gets.
        env: Added to the fixed environment.
        timeout: Seconds until the whole process group is killed.
        limit: Bytes that it may print; who prints more is killed, too.

    Returns:
        ``None`` where it failed, was late or said too much. Why is for who asks again to find out.

    Raises:
        OSError: It cannot be started.
        ValueError: Its arguments or environment cannot be passed.
    """
    source, its_end = os.pipe()
    try:
        pid = _start(argv, environment(env), its_end)
    except BaseException:
        os.close(source)
        raise
    finally:
        os.close(its_end)
    until, status = monotonic() + timeout, None
    try:
        said = _heard(source, until, limit)
        status = None if said is None else _ended(pid, until)
    finally:
        os.close(source)
        if status is None:
            # It is not reaped yet, so that its number is still its group's.
            os.killpg(pid, _KILL)
            os.waitpid(pid, 0)
    return said if status == 0 else None


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir or "/"
    except KeyError:
        return "/"


def _start(argv: "Sequence[str]", env: "Mapping[str, str]", its_end: int) -> int:
    # All other descriptors of ours are closed by exec (PEP 446).
    return os.posix_spawn(
        _found(argv[0], env["PATH"]),
        list(argv),
        env,
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, its_end, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ),
        setsid=True,
        # Which Python ignores, and its child would, too.
        setsigdef=(_PIPE, _XFSZ),
    )


def _found(program: str, path: str) -> str:
    """Return where a program is; posix_spawnp(3) would look on the path of this process."""
    if "/" in program:
        return program
    places = (f"{folder}/{program}" for folder in path.split(":") if folder)
    return next((place for place in places if os.access(place, os.X_OK)), program)


def _heard(source: int, until: float, limit: int) -> bytes | None:
    """Read a pipe until nobody can write to it; ``None`` where that is too much, or late."""
    said, poll = b"", select.poll()
    poll.register(source, select.POLLIN)
    while True:
        if not poll.poll(max(0.0, until - monotonic()) * 1000):
            return None
        chunk = os.read(source, limit + 1)
        if not chunk:
            return said
        said += chunk
        if len(said) > limit:
            return None


def _ended(pid: int, until: float) -> int | None:
    """Return the status of a child that has said all, and so ends about now; ``None`` where it is late."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        if monotonic() >= until:
            return None
        select.poll().poll(_SOON)
