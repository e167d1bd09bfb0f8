"""What a command gives back: its exit code, its result on standard output and the talk on standard error."""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType
from typing import Literal

from reconciler.errors import ReconcilerError

Format = Literal["text", "json"]
"""Who reads a result: a person, or a program."""

_WIDEST = 160
"""Columns that are used at most: longer lines are hard to read."""


def tell(error: ReconcilerError) -> None:
    """Print an error and its hint on standard error."""
    note(*(error.message.splitlines() or [""]))
    if error.hint:
        _say(f"  hint: {error.hint}")


def note(*lines: str) -> None:
    """Print what a person should know on standard error, a line each."""
    _say(*(f"patchledger: {line}" for line in lines))


def _say(*lines: str) -> None:
    if lines:
        # What apt, git or a server says cannot move the cursor. Most commands say nothing and import nothing.
        from reconciler.policy.problems import visible

        sys.stderr.write(_RUNNING.cleared() + "".join(f"{visible(line)}\n" for line in lines))


def counter(what: str) -> Callable[[int, int], None] | None:
    """Return what tells a person at a terminal how far long work has come; ``None`` where nobody watches."""
    return (lambda done, of: note(f"{done} of {of} {what}")) if sys.stderr.isatty() else None


def at_work(what: str) -> None:
    """Tell a person at a terminal what takes a while now, so that silence is not taken for a standstill."""
    if sys.stderr.isatty():
        note(what)


class _Running:
    """The line of a terminal on which seconds are counted while something takes its time."""

    def __init__(self) -> None:
        self._is_drawn = False
        self._lock = threading.Lock()

    def draw(self, seconds: int) -> None:
        with self._lock:
            self._is_drawn = True
            sys.stderr.write(f"{_CLEAR}  {seconds} s")
            sys.stderr.flush()

    def cleared(self) -> str:
        """Return what takes the line away before anything else is written there."""
        with self._lock:
            is_drawn, self._is_drawn = self._is_drawn, False
        return _CLEAR if is_drawn else ""


_CLEAR = "\r\x1b[K"
_RUNNING = _Running()


@contextlib.contextmanager
def working(what: str, *, every: float = 1.0) -> Iterator[None]:
    """Tell a person at a terminal what takes a while, and count the seconds below it until it is done.

    A terminal that cannot take a line back is told once.

    Args:
        what: As a sentence.
        every: Seconds between two looks at the clock.
    """
    at_work(what)
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield
        return
    ended = threading.Event()

    def count() -> None:
        began = monotonic()
        with contextlib.suppress(OSError):  # the terminal went away
            while not ended.wait(every):
                _RUNNING.draw(int(monotonic() - began))

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    try:
        yield
    finally:
        ended.set()
        counting.join()
        with contextlib.suppress(OSError):
            sys.stderr.write(_RUNNING.cleared())
            sys.stderr.flush()


class Outliving:
    """Work that goes on when a signal ends us: what a person is told then.

    Work is done by any thread; signals come to the first one.
    """

    def __init__(self) -> None:
        self._at_work: dict[str, None] = {}

    @contextlib.contextmanager
    def doing(self, work: str) -> Iterator[None]:
        """Name what goes on by itself, for as long as it is waited for."""
        self._at_work[work] = None
        try:
            yield
        except KeyboardInterrupt:
            raise  # it goes on, and is told by its name
        except BaseException:
            del self._at_work[work]
            raise
        del self._at_work[work]

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Say on standard error, where a signal ends us meanwhile, what goes on without us.

        The signal ends us all the same, and as it would have. What is ignored, under ``nohup`` for instance,
        stays ignored. Any but the first thread, to which no signal comes, says nothing.
        """

        def end(number: int, _frame: FrameType | None) -> None:
            self._say()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ending = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
        for number in ending:
            signal.signal(number, end)
        try:
            yield
        except KeyboardInterrupt:
            self._say()
            raise
        finally:
            for number in ending:
                signal.signal(number, signal.SIG_DFL)

    def _say(self) -> None:
        with contextlib.suppress(OSError):  # the terminal may be what went away
            note(
                *(
                    f"{work} goes on by itself; the next tick reports what came of it"
                    for work in list(self._at_work)
                )
            )


@contextlib.contextmanager
def outlived_by(work: str) -> Iterator[None]:
    """Say on standard error, where a signal ends us meanwhile, that ``work`` goes on without us."""
    outliving = Outliving()
    with outliving.told(), outliving.doing(work):
        yield


def print_json(document: object) -> None:
    """Print plain JSON data as the result."""
    sys.stdout.write(json_text(document))


def json_text(document: object) -> str:
    """Return plain JSON data as text that moves no cursor and hides nothing on a terminal.

    Characters that cannot be seen stand as JSON escapes, which every reader takes for the characters.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    shown = (line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))
    return "\n".join(shown) + "\n"


def _escaped(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]


def width() -> int:
    """Return how many columns a result may take."""
    return min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)


def colour() -> bool:
    """Say whether a result is shown in colour: on a terminal that can, unless ``NO_COLOR`` is set."""
    asked_not_to = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not asked_not_to
