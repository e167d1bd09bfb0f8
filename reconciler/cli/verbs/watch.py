"""``patchledger watch``: wait and have ticks made, or check what it would wait for."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from reconciler.agent.watch import Watch
from reconciler.cli.showing.terminal import Format, note
from reconciler.host.machine.sdnotify import ServiceManager
from reconciler.host.machine.watching import FileWatch

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run(config: str, *, check: bool, form: Format) -> int:
    """Make ticks until told to end; with ``check``, only check the configuration.

    Returns:
        0 after SIGTERM, 130 after SIGINT.

    Raises:
        Misuse: The configuration is wrong at the start.
        Transient: Another ``watch`` is at work on the same state folder.
        Stalled: No child can be started.
    """
    if check:
        from reconciler.cli.verbs import watch_check

        return watch_check.run(config, form)
    with _signals() as (heard, wake):
        daemon = Watch(Path(config), ServiceManager.of(os.environ), heard, FileWatch(wake), note)
        try:
            return daemon.run()
        finally:
            daemon.close()


@contextlib.contextmanager
def _signals() -> Iterator[tuple[int, Callable[[], None]]]:
    """Turn signals into bytes of a pipe, and yield it with a function that writes a zero into it."""
    heard, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring() -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is readable anyway
            os.write(wake, b"\0")

    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _do_nothing) for number in _SIGNALS}
    try:
        yield heard, ring
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(wake)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Let the byte in the pipe say it."""
