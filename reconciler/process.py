"""The only place that starts a process.

An argument list, never a shell string of ours; standard input closed or a given text; a fixed locale;
nothing of the caller's environment but what is passed; output bounded; a timeout that ends the whole
process group. What a quiet tick asks, it asks by :mod:`reconciler.brief`.
"""

import contextlib
import os
import selectors
import signal
import subprocess  # noqa: TID251 - this is the one place
from math import inf
from time import monotonic

from reconciler import brief
from reconciler.errors import Stalled

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import IO, Self

BASE_PATH = brief.BASE_PATH
environment = brief.environment
DEFAULT_LIMIT = 64 * 1024 * 1024
_CHUNK = 65536
# Seconds between two questions whether the child still lives, and of silence when it does not.
_PATIENCE = 1.0
_LINGER = 10.0  # seconds for which others may still write when the child has ended


class Completed:
    """What a finished process left behind.

    A plain class: the quiet tick imports this module, and :mod:`dataclasses` would be a fifth of its cost.

    Attributes:
        argv: The argument list it was started with.
        returncode: Its exit code; negative is the signal that ended it, as in :mod:`subprocess`.
        stdout: At most ``limit`` bytes of standard output.
        stderr: At most ``limit`` bytes of standard error.
        timed_out: The time limit ended it.
        truncated: It wrote more than ``limit`` bytes to one of the two; the rest was read and dropped.
    """

    __slots__ = ("argv", "returncode", "stderr", "stdout", "timed_out", "truncated")

    def __init__(
        self,
        argv: tuple[str, ...],
        returncode: int,
        stdout: bytes,
        stderr: bytes,
        *,
        timed_out: bool = False,
        truncated: bool = False,
    ) -> None:
        self.argv = argv
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.timed_out = timed_out
        self.truncated = truncated

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def lines(self) -> "list[str]":
        """Its lines, which nothing but a line feed ends: names that it prints may hold U+2028 or U+0085."""
        return [line for line in self.text.split("\n") if line]

    @property
    def error_text(self) -> str:
        """Standard error as text, stripped."""
        return self.stderr.decode("utf-8", "replace").strip()


def run(
    argv: "Sequence[str]",
    *,
    env: "Mapping[str, str] | None" = None,
    stdin: "bytes | IO[bytes] | None" = None,
    cwd: str | None = None,
    timeout: float | None = None,
    limit: int = DEFAULT_LIMIT,
    ends_at_limit: bool = False,
    hear: "Callable[[bytes], None] | None" = None,
) -> Completed:
    """Run ``argv`` to its end in a session of its own and return what it printed.

    Args:
        argv: Program and arguments; the program is looked up on the fixed ``PATH`` unless ``env`` has
            another.
        env: Added to ``PATH``, ``LC_ALL=C.UTF-8`` and ``HOME``; nothing else of the caller's environment is
            passed.
        stdin: Text for standard input, or an open file of the caller's, who closes it; closed
            (``/dev/null``) without it.
        cwd: Working directory.
        timeout: Seconds until the whole process group is killed; ``None`` waits for ever.
        limit: Bytes kept of each output stream.
        ends_at_limit: Kill the process group when it writes more, instead of reading on.
        hear: Is given standard error as it comes, in pieces of any size.

    Raises:
        Stalled: The program does not exist or may not be started, or its arguments or environment cannot be
            passed.
    """
    feed = _input_file(stdin) if isinstance(stdin, bytes) else None
    given = feed if isinstance(stdin, bytes) else stdin
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if given is None else given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_start(argv, error) from error
    finally:
        if feed is not None:
            feed.close()
    try:
        out, err = _Output(limit, ends_at_limit), _Output(limit, ends_at_limit, hear)
        return _drain(child, tuple(argv), timeout, out, err)
    except BaseException:
        _close(child)
        _kill_group(child)
        raise


def run_detached(
    argv: "Sequence[str]",
    *,
    stdin: bytes,
    folder: "Path",
    within: float | None = None,
    meanwhile: "tuple[float, Callable[[], None]] | None" = None,
) -> int | None:
    """Run ``argv`` to its end in a session of its own, which outlives us, and return its exit code.

    Nothing here ends it: no timeout, no signal. Standard output and error go to the files ``out`` and
    ``err`` of ``folder``, which must not be there yet.

    Args:
        argv: As for :func:`run`; it gets the fixed environment and nothing else.
        stdin: Text for standard input.
        folder: An existing folder.
        within: Seconds after which it is waited for no more, and ``None`` returned; it goes on.
        meanwhile: What is done whenever so many seconds have passed.

    Raises:
        Stalled: The program does not exist or may not be started, or the files cannot be made.
    """
    try:
        with (
            _input_file(stdin) as feed,
            open(folder / "out", "xb") as out,
            open(folder / "err", "xb") as err,
        ):
            child = subprocess.Popen(
                list(argv), stdin=feed, stdout=out, stderr=err, env=environment(), start_new_session=True
            )
    except (OSError, ValueError) as error:
        raise _cannot_start(argv, error) from error
    until = inf if within is None else monotonic() + within
    every, act = meanwhile or (inf, None)
    while True:
        patience = min(every, max(0.0, until - monotonic()))
        try:
            return child.wait(None if patience == inf else patience)
        except subprocess.TimeoutExpired:
            if monotonic() >= until:
                child.returncode = 0  # it is nobody's any more, and no leak of ours
                return None
            if act is not None:
                act()


class Child:
    """A process that was started and is not waited for; only who started it may ask.

    Attributes:
        pid: Its process number, which is its group's and session's too.
    """

    __slots__ = ("_outputs", "_process", "pid")

    def __init__(self, process: "subprocess.Popen[bytes]", outputs: "Sequence[IO[bytes]]") -> None:
        self._process = process
        self._outputs = outputs
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return its exit code, negative for the signal that ended it; ``None`` while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Ask it to end as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and its group, and wait for it."""
        _kill_group(self._process)

    def output(self) -> tuple[bytes, bytes]:
        """Return what it wrote to standard output and error and forget it; empty where it wrote to ours."""
        said = [b"", b""]
        for number, file in enumerate(self._outputs):
            with file:
                file.seek(0)
                said[number] = file.read(DEFAULT_LIMIT)
        self._outputs = ()
        return said[0], said[1]


class Dialogue:
    """A process that answers each line it is given with one line; a context manager, which ends it.

    It gets the fixed environment and ``env``, and its standard error goes nowhere. When we end, however we
    do, its standard input ends, so that it does no more than what it was last asked for.

    Args:
        argv: As for :func:`run`.
        env: Added to the fixed environment.
        limit: Bytes that one answer may have.

    Raises:
        Stalled: The program does not exist or may not be started.
    """

    __slots__ = ("_heard", "_limit", "_process")

    def __init__(
        self, argv: "Sequence[str]", *, env: "Mapping[str, str] | None" = None, limit: int = DEFAULT_LIMIT
    ) -> None:
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(env),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise _cannot_start(argv, error) from error
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
        self._heard = b""
        self._limit = limit

    def __enter__(self) -> "Self":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and its group."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        _close(self._process)
        _kill_group(self._process)

    def ask(self, question: bytes, timeout: float) -> bytes | None:
        """Give it one line and return its answer, both without their line feed.

        Returns:
            ``None`` where it did not answer within ``timeout`` seconds, has ended, or said too much. It is
            not to be asked again then, since an answer may come to the question before.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return None
        deadline, left = monotonic() + timeout, memoryview(question + b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_WRITE)
            while b"\n" not in self._heard:
                ready = selector.select(max(0.0, deadline - monotonic()))
                if not ready or len(self._heard) > self._limit:
                    return None
                for key, _ in ready:
                    try:
                        if key.fileobj is stdin:
                            left = left[os.write(key.fd, left[:_CHUNK]) :]
                            if not left:
                                selector.unregister(stdin)
                        elif chunk := os.read(key.fd, _CHUNK):
                            self._heard += chunk
                        else:
                            return None
                    except BlockingIOError:
                        continue
                    except OSError:
                        return None
        answer, _, self._heard = self._heard.partition(b"\n")
        return answer

    @property
    def ended(self) -> int | None:
        """Its exit code where it has ended, as in :mod:`subprocess`; ``None`` where it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_PATIENCE)  # it may just have closed its output
        return None


def start(argv: "Sequence[str]", *, env: "Mapping[str, str]", keeps_output: bool = False) -> Child:
    """Start ``argv`` in a session of its own and return at once; SIGCHLD tells of its end.

    Args:
        argv: As for :func:`run`.
        env: The whole environment.
        keeps_output: Keep what it writes in memory for :meth:`Child.output`, instead of writing where we do.

    Raises:
        Stalled: The program does not exist or may not be started.
    """
    outputs = [_input_file(b""), _input_file(b"")] if keeps_output else []
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=outputs[0] if outputs else None,
            stderr=outputs[1] if outputs else None,
            env=dict(env),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        for file in outputs:
            file.close()
        raise _cannot_start(argv, error) from error
    return Child(process, outputs)


def _cannot_start(argv: "Sequence[str]", error: OSError | ValueError) -> Stalled:
    # ValueError: an argument or a variable that no process can be given.
    hint = f"install {argv[0]}" if isinstance(error, FileNotFoundError) else ""
    return Stalled(f"cannot start {argv[0]}: {getattr(error, 'strerror', None) or error}", hint)


def _input_file(data: bytes) -> "IO[bytes]":
    # A file instead of a pipe: the child may write much before it reads all, and nothing can then block. An
    # anonymous file in memory, since the disk may be full.
    feed = open(os.memfd_create("patchledger-stdin"), "w+b")  # noqa: SIM115 - closed by run()
    feed.write(data)
    feed.seek(0)
    return feed


class _Output:
    """What one stream has said so far, up to a limit."""

    def __init__(
        self,
        limit: int,
        ends_at_limit: bool,  # noqa: FBT001 - of this module alone
        hear: "Callable[[bytes], None] | None" = None,
    ) -> None:
        self._hear = hear
        self._room = limit
        self._ends = ends_at_limit
        self._chunks: list[bytes] = []
        self.truncated = False

    def add(self, chunk: bytes) -> None:
        if self._hear is not None:
            self._hear(chunk)
        self.truncated = self.truncated or len(chunk) > self._room
        self._chunks.append(chunk[: self._room])
        self._room = max(0, self._room - len(chunk))

    @property
    def is_enough(self) -> bool:
        return self.truncated and self._ends

    def value(self) -> bytes:
        return b"".join(self._chunks)


def _drain(
    child: subprocess.Popen[bytes], argv: tuple[str, ...], timeout: float | None, out: _Output, err: _Output
) -> Completed:
    deadline = None if timeout is None else monotonic() + timeout
    finished = _read_until(child, out, err, deadline)
    _close(child)
    if out.is_enough or err.is_enough:
        _kill_group(child)
    try:
        child.wait(None if deadline is None else max(0.0, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        finished = False
    if not finished:
        _kill_group(child)
    truncated = out.truncated or err.truncated
    return Completed(
        argv, child.returncode, out.value(), err.value(), timed_out=not finished, truncated=truncated
    )


def _read_until(child: subprocess.Popen[bytes], out: _Output, err: _Output, deadline: float | None) -> bool:
    """Read both streams to their ends; return False when the deadline came first.

    A service that the child started may keep the streams open for ever. What the child itself wrote is there
    when it ends, so then only silence is waited for.
    """
    with selectors.DefaultSelector() as selector:
        for stream, sink in ((child.stdout, out), (child.stderr, err)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, sink)
        ask_at = monotonic() + _PATIENCE
        stop_at: float | None = None
        while selector.get_map():
            now = monotonic()
            if deadline is not None and now >= deadline:
                return False
            ready = selector.select(_PATIENCE if deadline is None else min(_PATIENCE, deadline - now))
            if stop_at is not None and (not ready or now >= stop_at):
                return True
            # A child that goes on writing is asked only now and then whether it has ended.
            if stop_at is None and now >= ask_at:
                ask_at = now + _PATIENCE
                stop_at = now + _LINGER if _has_ended(child) else None
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if chunk:
                    key.data.add(chunk)
                    if key.data.is_enough:
                        return True
                else:
                    selector.unregister(key.fileobj)
    return True


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    # Without reaping it: its number must stay its own for as long as its group may be killed.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is not None:
        return  # Reaped: its number may already belong to another process.
    # A leader that has ended but is not reaped keeps its group's number, so grandchildren are reached too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
