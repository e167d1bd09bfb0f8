"""How long one tick is at work, what is said of it, and when it is ended.

The rules:

- What takes long is told, once, before anything is done about it: an hour, or half of the limit, is long.
- After the limit (``tick_timeout``) it is ended, but never while a package manager is at work, for this host
  or a guest: then that is told, and looked at again until it has ended.
- To end is to ask first, as Ctrl-C does; who does not hear is killed.
"""

from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path

from reconciler import launch

PATIENCE = timedelta(seconds=10)
"""For a child that was asked to end; then it is killed, which leaves no more to mend than a power cut."""

_LONG = timedelta(hours=1)


class Step(Enum):
    """What is to be done with a tick."""

    WAIT = "nothing"
    INTERRUPT = "ask it to end"
    KILL = "end it"


class Overlong:
    """One tick at work.

    Args:
        began: By elapsed time.
        limit: After which it is ended.
        state_dir: Of the host, where its executions and those of its guests are found.
    """

    def __init__(self, began: timedelta, limit: timedelta, state_dir: Path) -> None:
        self._began = began
        self._limit = limit
        self._state_dir = state_dir
        self._told = 0
        self._kill_at: timedelta | None = None

    def wait(self, elapsed: timedelta) -> timedelta | None:
        """Return how long nothing is to be done about it; ``None`` where only its own end is waited for."""
        if self._kill_at is not None:
            # Then it waits for a package manager that is at work all the same, and is not asked all the time.
            return self._kill_at - elapsed if elapsed < self._kill_at else PATIENCE
        ahead = [at - (elapsed - self._began) for at in (self._long, self._limit)]
        return min((span for span in ahead if span > timedelta(0)), default=None)

    def look(self, elapsed: timedelta) -> tuple[Step, str]:
        """Return what is to be done now, and what is to be told of it, empty where that was told already."""
        lasted = elapsed - self._began
        if self._kill_at is not None:
            is_over = elapsed >= self._kill_at and not self._patching()
            return (Step.KILL, "") if is_over else (Step.WAIT, "")
        if lasted < self._long:
            return Step.WAIT, ""
        if lasted < self._limit:
            return Step.WAIT, self._once(
                1, f"the tick is at work for {_words(lasted)}; it is ended after {_words(self._limit)}"
            )
        if self._patching():
            said = f"the tick is at work for {_words(lasted)}, and left to end: a package manager is at work"
            return Step.WAIT, self._once(2, said)
        self._kill_at = elapsed + PATIENCE
        return Step.INTERRUPT, f"the tick is ended: it was at work for {_words(lasted)}"

    @property
    def _long(self) -> timedelta:
        return min(_LONG, self._limit / 2)

    def _once(self, number: int, said: str) -> str:
        if self._told >= number:
            return ""
        self._told = number
        return said

    def _patching(self) -> bool:
        return any(map(launch.is_at_work, _executions(self._state_dir)))


def _executions(state_dir: Path) -> Iterator[Path]:
    """Yield the folders of all executions that anybody began, on this host and in its guests."""
    for below in ("", "guests/*/"):
        yield from (claim.parent for claim in state_dir.glob(f"{below}runs/*/*/{launch.CLAIM}"))


def _words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
