"""Begin what nothing may stop, and tell later whether it is still at work.

A package transaction must live on when we are stopped, upgraded or killed, and who comes then must find it.
So it is begun by this file, run as a program of its own, which in this order

1. claims the execution's folder: the file ``process``, made once and whole, says who is at work since when;
2. looks whether the process that ordered it still lives: what nobody waits for any more never begins;
3. becomes the ordered program: the same process, with the ordered environment and nothing else. Its standard
   input is empty, or the ordered text, which nobody can change any more.

The order comes as standard input, an unnamed file in memory. So what was verified is what runs, no name in a
file system can be made to mean other bytes in between, and neither the text of a script nor a value of the
environment stands on a command line, in a unit or on a disk.

Imports the standard library alone: it runs where nothing else can be imported.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import IO, NoReturn

COMMAND = (sys.executable, "-I", "-S", __file__)
"""What takes an order from standard input and becomes the program."""
CLAIM = "process"
"""File of an execution's folder: who is at work, and since when; empty where nobody ever was nor will be."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NOEXEC = 0x8  # MFD_NOEXEC_SEAL (memfd_create(2)), which a kernel may demand and an older one does not know
_BESIDE = 256 * 1024  # for the environment, and what a shell adds to the arguments of what it starts
_CANNOT_START = 127  # as a shell says it
_PATIENCE = 1.0  # seconds between two questions whether it has ended
_TO_END = 20.0  # seconds that what is ended has to clear up


def order(
    argv: Sequence[str], env: Mapping[str, str], folder: Path | None, text: bytes | None = None
) -> bytes:
    """Write an order: to run ``argv`` with exactly the environment ``env``, in the name of this process.

    Args:
        argv: Program and arguments; the program is looked up on the ``PATH`` of ``env``.
        env: The whole environment.
        folder: An existing folder of this execution alone; ``None`` for a question, which nobody looks for
            later.
        text: What the program finds as its standard input, sealed; ``None`` for nothing.

    Raises:
        ValueError: No process can be given such an argument or variable.
    """
    if any("=" in name for name in env):
        raise ValueError("illegal environment variable name")
    variables = (f"{name}={value}" for name, value in env.items())
    claimed = "" if folder is None else str(folder.absolute())
    given = () if text is None else (os.fsdecode(text),)
    parts = (claimed, _identity(), str(len(given)), *given, str(len(argv)), *argv, *variables)
    if any("\0" in part for part in parts):
        raise ValueError("embedded null byte")
    return b"\0".join(os.fsencode(part) for part in parts)


def sealed(text: bytes) -> IO[bytes]:
    """Return a text as an unnamed file in memory that nobody, whoever is given it, can ever change.

    Raises:
        OSError: The kernel has no such files, or no memory.
    """
    with contextlib.ExitStack() as unless_done:
        file = unless_done.enter_context(open(_memory_file(), "w+b"))
        file.write(text)
        file.flush()
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        file.seek(0)
        unless_done.pop_all()
    return file


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    with contextlib.suppress(OSError):
        return os.memfd_create("patchledger-script", flags | _NOEXEC)
    return os.memfd_create("patchledger-script", flags)


def make_room(argv: Sequence[str]) -> None:
    """Let a process be given as many arguments as these, a command's for a transaction of many thousands.

    The kernel takes a quarter of the stack that a process may have, with a pointer for each (execve(2)). More
    than usual is asked for only where it is needed, since every thread of what is started may have it, too.
    """
    needed = 4 * (_BESIDE + sum(len(os.fsencode(one)) + 9 for one in argv))
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    at_most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (at_most, hard))


def is_at_work(folder: Path) -> bool:
    """Tell whether what was ordered into ``folder`` is at work, whoever ordered it and wherever it runs.

    Where the process that ordered it has ended, a no is final: it has ended, or will never begin.
    """
    try:
        return _lives((folder / CLAIM).read_text(encoding="ascii"))
    except (OSError, ValueError):  # a damaged claim is nobody's
        return False


def wait(folder: Path, until: float | None = None) -> None:
    """Wait until nothing is at work in ``folder``, no longer than to an instant of the monotonic clock."""
    while is_at_work(folder) and (until is None or monotonic() < until):
        select.select([], [], [], _PATIENCE)


def end(folder: Path) -> None:
    """End what is at work in ``folder``, and what it began, which all is of its group.

    Only what changes no package may be ended. It is asked to at first, so that it leaves no lock behind.
    """
    for number, patience in ((signal.SIGTERM, _TO_END), (signal.SIGKILL, _TO_END)):
        try:
            identity = (folder / CLAIM).read_text(encoding="ascii")
        except (OSError, ValueError):
            return
        if not _lives(identity):
            return
        with contextlib.suppress(ProcessLookupError):
            # It is the first of its session, whoever started it; see process.run_detached, and setsid(2) in
            # systemd.exec(5).
            os.killpg(int(identity.partition(" ")[0]), number)
        wait(folder, monotonic() + patience)


def withdraw(folder: Path) -> bool:
    """Make sure that what has not begun in ``folder`` never will; False where it had begun.

    Raises:
        OSError: The file system refuses.
    """
    try:
        (folder / CLAIM).touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return (folder / CLAIM).stat().st_size == 0
    return True


def main() -> None:
    """Carry out the order on standard input: become the program, or end with why not."""
    folder, by, text, argv, env = _read_order(sys.stdin.buffer.read())
    try:
        if folder is not None:
            _claim(folder)
    except OSError as error:
        _refuse(f"{folder}/{CLAIM}: {error.strerror}")
    try:
        if not _lives(by):
            _refuse("who ordered it has ended")
        _feed(text)
        _reset_signals()
        make_room(argv)
        os.execvpe(argv[0], argv, env)  # noqa: S606 - an argument list of ours; no shell is meant to read it
    except OSError as error:
        _refuse(f"{argv[0]}: {error.strerror}")
    finally:
        # Only reached where it did not begin.
        if folder is not None:
            os.truncate(folder / CLAIM, 0)


def _reset_signals() -> None:
    """Give back to every signal what it does by itself.

    What is ignored or blocked is inherited: Python ignores some, a shell others for what it starts in the
    background, nohup(1) one more, and no script can undo that (POSIX, ``trap``).
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _read_order(order: bytes) -> tuple[Path | None, str, bytes | None, list[str], dict[str, str]]:
    folder, by, *rest = order.split(b"\0")
    given, rest = _counted(rest)
    argv, variables = _counted(rest)
    return (
        Path(os.fsdecode(folder)) if folder else None,
        os.fsdecode(by),
        given[0] if given else None,
        [os.fsdecode(one) for one in argv],
        dict(os.fsdecode(one).split("=", 1) for one in variables),
    )


def _counted(parts: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    count = int(parts[0])
    return parts[1 : count + 1], parts[count + 1 :]


def _feed(text: bytes | None) -> None:
    """Let the program's standard input be this text, or nothing; the order is in no descriptor any more."""
    with Path(os.devnull).open("rb") if text is None else sealed(text) as file:
        os.dup2(file.fileno(), sys.stdin.fileno())


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"cannot start {why}\n")
    sys.exit(_CANNOT_START)


def _claim(folder: Path) -> None:
    """Make the file that says that this process is at work; whole from the first moment on, and once."""
    draft = folder / f".{CLAIM}.{os.getpid()}"
    draft.write_text(f"{_identity()}\n", encoding="ascii")
    try:
        os.link(draft, folder / CLAIM)
    finally:
        draft.unlink()


def _identity() -> str:
    here = os.getpid()
    return f"{here} {_started(here)}"


def _lives(identity: str) -> bool:
    pid, _, started = identity.strip().partition(" ")
    return started != "" and pid.isdigit() and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot and with the boot's id; empty where there is none.

    Numbers of processes are used again; together with this they are not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # proc(5): the state is field 3 and the start time field 22. A zombie has ended.
    return "" if fields[0] == "Z" else f"{fields[19]}@{boot}"


if __name__ == "__main__":
    main()
