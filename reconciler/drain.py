"""Stand between what runs in a guest and our files, and tell whether it is still at work in there.

A guest is given no file of its hypervisor, only pipes. Somebody has to read these, also when we are killed: a
package manager that writes into a pipe that nobody reads is stopped or killed by that. So this file, run as a
program of its own (:mod:`reconciler.launch` becomes it), starts the command that enters the guest, with
standard input closed, two pipes and no other descriptor, and

1. copies what comes out of them to its own standard output and error, at most so many bytes of each; what
   comes after that is read and dropped;
2. ends what takes longer than it may, where it may not take for ever: the command, and what it began inside;
3. writes a last line to its standard error that tells how it ended. A line of that form is believed only
   where it is the last, which none of the guest's can be.

What is at work inside is known by a mark in its environment, whatever became of the command that brought it
there: that one may be killed, and what it began goes on. Only processes of the guest's own namespace are
looked at, so that no guest can be busy in the name of another; one that lies delays itself. What a process
says of itself is read from its memory, which whoever is root in there can have wait for ever: so another
process reads it, and has its time. One that cannot be read in that time counts as busy.

Imports the standard library alone: it runs where nothing else can be imported.
"""

import contextlib
import os
import re
import selectors
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

COMMAND = (sys.executable, "-I", "-S", __file__)
"""What stands in between; see :func:`arguments`."""
MARK = "PATCHLEDGER_EXECUTION"
"""The variable that marks what we began in a guest."""
LIMIT = 16 * 1024 * 1024
"""Bytes that are kept of each stream."""

_FOR_EVER = "-"
_PLACE = b"--place"
_CHUNK = 65536
_HEAD = 4096
_MOST = 1024 * 1024  # bytes that are read of what a process says of itself; the mark is at its beginning
_WORK, _END = "--is-at-work", "--end"
_FOUND, _NONE = b"yes\n", b"no\n"
_PATIENCE = 1.0  # seconds between two questions whether it goes on
_LINGER = 10  # of these questions, for which others may still write when all else has ended
_ROUNDS = 100
_LOOKING = 20.0  # seconds
_SOON = 0.05  # seconds
_LATE = "what was begun in the guest took too long, and was ended"
_ENDED = "the command that enters the guest ended with "
_CUT = "; what it said was too much, and is cut"
_LAST = re.compile(rf"patchledger: (?:{_ENDED}(\d+)|{_LATE})({_CUT})?\n\Z".encode())


class EntryEnd:
    """How the command that entered a guest ended.

    Attributes:
        code: Its exit code, by a signal 128 and its number; ``None`` where it was ended because of the time.
        is_cut: It, or what it began, said more than is kept.
    """

    __slots__ = ("code", "is_cut")

    def __init__(self, code: int | None, *, is_cut: bool) -> None:
        self.code = code
        self.is_cut = is_cut

    @property
    def words(self) -> str:
        """Say it."""
        how = _LATE if self.code is None else f"{_ENDED}{self.code}"
        return f"{how}{_CUT if self.is_cut else ''}"

    @property
    def line(self) -> str:
        """Say it as the last line of all."""
        return f"patchledger: {self.words}\n"


def read_ending(said: bytes) -> tuple[bytes, EntryEnd | None]:
    """Return what was said on standard error, without its last line, and what that line tells.

    Nothing, where it is missing: then it did not come to that.
    """
    # It begins a line of its own, also where the guest left one open.
    found = _LAST.search(said, max(0, len(said) - len(_LATE + _CUT) - 100))
    if found is None:
        return said, None
    code = None if found[1] is None else int(found[1])
    return said[: found.start()], EntryEnd(code, is_cut=found[2] is not None)


def arguments(
    mark: str, namespace: str, argv: Sequence[str], *, seconds: float | None, limit: int = LIMIT
) -> tuple[str, ...]:
    """Return the command that stands in between.

    Args:
        mark: Value of :data:`MARK` in the environment of what ``argv`` runs in the guest.
        namespace: Of the guest's processes, ``pid:[NUMBER]``.
        argv: The command that enters the guest.
        seconds: Until it is ended, ``None`` for never.
        limit: Bytes that are kept of each stream.
    """
    until = _FOR_EVER if seconds is None else repr(seconds)
    return (*COMMAND, str(limit), until, mark, namespace, *argv)


def is_at_work(mark: str, namespace: str, proc: str = "/proc", patience: float = _LOOKING) -> bool:
    """Tell whether a script that bears a mark is at work in the guest of a namespace, or about to enter it.

    What packages started and left behind bears the mark too, and is not meant.

    Args:
        mark: As for :func:`arguments`.
        namespace: As for :func:`arguments`.
        proc: The kernel's view of processes.
        patience: Seconds until nobody waits any more for what a process in the guest says of itself.
    """
    found = _looked(_WORK, mark, namespace, proc, patience)
    return found is None or found


def end(mark: str, namespace: str) -> None:
    """End all that bears a mark in the guest of a namespace, also what it starts meanwhile.

    Whatever multiplies faster than it can be ended, or cannot be looked at, is left after some seconds.
    """
    until = monotonic() + _LINGER * _PATIENCE
    while (left := until - monotonic()) > 0 and _looked(_END, mark, namespace, "/proc", left):
        selectors.DefaultSelector().select(_SOON)


def _looked(what: str, mark: str, namespace: str, proc: str, patience: float) -> bool | None:
    """Have another process look at those of a guest; tell whether it found any, ``None`` where it is late."""
    source, its_end = os.pipe()
    try:
        nothing = ((os.POSIX_SPAWN_OPEN, one, os.devnull, os.O_RDWR, 0) for one in (0, 2))
        pid = os.posix_spawn(
            COMMAND[0],
            [*COMMAND, what, mark, namespace, proc],
            {},
            file_actions=[*nothing, (os.POSIX_SPAWN_DUP2, its_end, 1)],
            setsid=True,
        )
        os.close(its_end)
        its_end = -1
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            is_late = not selector.select(patience)
        said = b"" if is_late else os.read(source, len(_FOUND))
    finally:
        os.close(source)
        if its_end >= 0:
            os.close(its_end)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(
            pid, signal.SIGKILL
        )  # it has nothing more to say; until it is reaped, its number is its own
    for _ in range(_ROUNDS):
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        selectors.DefaultSelector().select(_SOON)
    return None if said not in {_FOUND, _NONE} else said == _FOUND


def _look(what: str, mark: str, namespace: str, proc: str) -> None:
    """Look at the processes of a guest; say whether any is meant, and end those that are to be ended."""
    found = [pid for pid in _pids(Path(proc)) if _MEANT[what](Path(proc) / pid, mark, namespace)]
    for pid in found if what == _END else ():
        _kill(pid, mark, namespace)
    os.write(1, _FOUND if found else _NONE)


def _is_work(process: Path, mark: str, namespace: str) -> bool:
    own = f"{MARK}={mark}".encode()
    # Whose it is comes first: one of another guest is not even read.
    if not _is_of(process, namespace, or_ours=True):
        return False
    # The client, and what has not yet become the shell inside: the mark is one of its first arguments.
    if own in _words(process / "cmdline", _HEAD):
        return True
    # The shell: it was told its place.
    return (
        _is_of(process, namespace)
        and own in _words(process / "environ", _MOST)
        and _PLACE in _words(process / "cmdline", _MOST)
    )


def main() -> None:
    """Start the command that enters a guest, and stay until all is told."""
    _close_inherited()
    if sys.argv[1] in _MEANT:
        what, mark, namespace, proc = sys.argv[1:]
        _look(what, mark, namespace, proc)
        return
    limit, until, mark, namespace, *argv = sys.argv[1:]
    ends_at = None if until == _FOR_EVER else monotonic() + float(until)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    said, complained = _Stream(1, int(limit)), _Stream(2, int(limit))
    try:
        child = _Child(_start(argv, said, complained))
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        sys.exit(127)
    if ends_at is not None:
        signal.signal(signal.SIGTERM, _over)
    try:
        is_late = not _copied(child, (said, complained), ends_at, mark, namespace)
    except TimeoutError:
        is_late = True
    if is_late:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is what this does already
        child.kill()
        end(mark, namespace)
    code = child.code()
    ending = EntryEnd(None if is_late else code, is_cut=said.is_cut or complained.is_cut)
    complained.conclude(ending.line.encode())
    sys.exit(code)


def _over(_number: int, _frame: object) -> None:
    # What has its time is ended by systemd as well, and then not without what it began.
    raise TimeoutError


def _close_inherited() -> None:
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number > sys.stderr.fileno():
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(number)


class _Stream:
    """One pipe, and where what comes out of it goes."""

    def __init__(self, to: int, room: int) -> None:
        self.source, self.end = os.pipe()
        self._to = to
        self._room = room
        self._last = b"\n"
        self.is_cut = False

    def take(self, chunk: bytes) -> None:
        kept = chunk[: self._room]
        self._room -= len(kept)
        self.is_cut = self.is_cut or len(kept) < len(chunk)
        if kept:
            self._last = kept[-1:]
            self._write(kept)

    def conclude(self, line: bytes) -> None:
        self._write(line if self._last == b"\n" else b"\n" + line)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except OSError:
            # The disk is full, or nobody listens any more. What runs in the guest is not to suffer from that.
            self._room, self.is_cut = 0, True


def _start(argv: Sequence[str], said: _Stream, complained: _Stream) -> int:
    # All other descriptors of ours are closed by exec (PEP 446). Not even /dev/null is given to a guest: root
    # in one that shares our users could change the mode of what it is given, and that is everybody's.
    nothing, closed = os.pipe()
    os.close(closed)
    try:
        return os.posix_spawnp(
            argv[0],
            list(argv),
            os.environ,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, said.end, 1),
                (os.POSIX_SPAWN_DUP2, complained.end, 2),
            ),
            # Whoever ends our group is not to end what runs inside.
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT),
        )
    finally:
        for descriptor in (nothing, said.end, complained.end):
            os.close(descriptor)


class _Child:
    """The command that enters the guest."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._code: int | None = None
        self.life = os.pidfd_open(pid)

    def reap(self) -> bool:
        """Let go of it where it has ended: somebody may wait until it is gone. Tell whether it is."""
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._code = 128 - code if code < 0 else code
        return self._code is not None

    def kill(self) -> None:
        """End it and its group."""
        if not self.reap():  # so its number is its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)

    def code(self) -> int:
        """Return its exit code; one that cannot even be killed is left behind."""
        for _ in range(_ROUNDS):
            if self.reap():
                break
            selectors.DefaultSelector().select(_SOON)
        return 128 + signal.SIGKILL if self._code is None else self._code


def _copied(
    child: _Child, streams: Sequence[_Stream], ends_at: float | None, mark: str, namespace: str
) -> bool:
    """Copy until all is said and the command has ended; False where the time came first."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.source, selectors.EVENT_READ, stream)
        selector.register(child.life, selectors.EVENT_READ)
        silence = 0
        while selector.get_map():
            left = _PATIENCE if ends_at is None else min(_PATIENCE, ends_at - monotonic())
            if left <= 0:
                return False
            ready = selector.select(left)
            # Where the command has ended, what it began may go on; a service that this left may hold a pipe.
            silence = 0 if ready else silence + 1
            if silence >= _LINGER and child.reap() and not is_at_work(mark, namespace):
                return True
            for key, _ in ready:
                if key.data is None:
                    child.reap()
                _heard(selector, key)
    return True


def _heard(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    if key.data is None:
        selector.unregister(key.fileobj)
        return
    chunk = os.read(key.fd, _CHUNK)
    if chunk:
        key.data.take(chunk)
    else:
        selector.unregister(key.fileobj)


def _kill(pid: str, mark: str, namespace: str) -> None:
    with contextlib.suppress(OSError):
        process = os.pidfd_open(int(pid))
        try:
            # Looked at again, since now the number cannot become another's.
            if _is_marked(Path("/proc") / pid, mark, namespace):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)


def _is_marked(process: Path, mark: str, namespace: str) -> bool:
    return _is_of(process, namespace) and f"{MARK}={mark}".encode() in _words(process / "environ", _MOST)


_MEANT = {_WORK: _is_work, _END: _is_marked}


def _is_of(process: Path, namespace: str, *, or_ours: bool = False) -> bool:
    """Tell whether a process is in a namespace, or else one of our user's in ours."""
    try:
        own = str((process / "ns" / "pid").readlink())
        if own == namespace:
            return True
        return or_ours and own == str(Path("/proc/self/ns/pid").readlink()) and _is_our_users(process)
    except OSError:
        return False


def _is_our_users(process: Path) -> bool:
    return process.stat().st_uid == os.geteuid()


def _pids(proc: Path) -> Iterator[str]:
    # Whoever asks bears the mark itself, as the one that stands in between.
    own = {str(os.getpid()), str(os.getppid())}
    return (path.name for path in proc.iterdir() if path.name.isdigit() and path.name not in own)


def _words(file: Path, size: int) -> Sequence[bytes]:
    try:
        with file.open("rb", buffering=0) as text:
            return (text.read(size) or b"").split(b"\0")
    except OSError:
        return ()


if __name__ == "__main__":
    main()
