"""When a long-running ``watch`` makes its next tick.

The rules:

- A tick follows the last one after the interval at the latest. That is elapsed time, which nobody can set.
  It is shortened by a share of a tenth, drawn anew for each tick, so that hosts that were started together do
  not ask one server together for ever.
- It comes earlier at the first instant at which time alone may change the outcome, such as the edge of a
  window or a freeze, and when a message that was not delivered is to be tried again: instants of the wall
  clock.
- An instant that had passed when the last tick began is no reason any more: that tick knew of it.
- After a transient failure the next tick comes after 1, 2, 4, ... minutes, never later than the interval.
- What changed on the disk wakes at once.
- Whatever wakes, some time lies between two ticks: instants and changes cannot make a busy loop.
"""

from datetime import datetime, timedelta
from enum import Enum

from reconciler.host.state.next_tick import Outlook
from reconciler.records import dataclass

FIRST_RETRY = timedelta(minutes=1)
AFTER_CHANGE = timedelta(seconds=2)
"""Between the end of a tick and one that a change wakes."""
AFTER_TICK = timedelta(seconds=10)
"""Between the end of a tick and one that an instant wakes."""

_JITTER = 0.1
_MOST_DOUBLINGS = 16  # two to the number of failures soon is no timedelta any more


class Cause(Enum):
    """Why a tick begins; the value completes the sentence "woken by ..."."""

    START = "the start"
    CHANGE = "a change"
    INSTANT = "the clock"
    OUTBOX = "a message to be sent again"
    RETRY = "a transient failure before"
    INTERVAL = "the interval"


@dataclass(frozen=True, slots=True)
class Past:
    """The last tick.

    Attributes:
        began: By the wall clock.
        ended: By elapsed time.
        failures: Transient ones in a row, this tick the last of them.
        share: Drawn for it, at least 0 and below 1: how much of the jitter the wait after it is shortened by.
    """

    began: datetime
    ended: timedelta
    failures: int
    share: float


@dataclass(frozen=True, slots=True)
class Wake:
    """When the next tick begins, and why.

    Attributes:
        wait: From now on; zero where it is due.
    """

    wait: timedelta
    cause: Cause


def next_wake(
    past: Past | None,
    outlook: Outlook,
    interval: timedelta,
    *,
    now: datetime,
    elapsed: timedelta,
    is_changed: bool,
) -> Wake:
    """Return when the next tick begins, if nothing else happens before.

    Args:
        past: ``None`` before the first tick, which is due at once.
        outlook: What the last tick left.
        interval: Longest time between two ticks.
        now: The wall clock, aware.
        elapsed: Time since the machine was started, sleep included.
        is_changed: Something that a tick depends on has changed since the last one began.
    """
    if past is None:
        return Wake(timedelta(0), Cause.START)
    since = elapsed - past.ended
    shorter = 1 - _JITTER * past.share
    due = [(interval * shorter - since, Cause.INTERVAL)]
    if past.failures:
        pause = min(interval, FIRST_RETRY * 2 ** min(past.failures - 1, _MOST_DOUBLINGS))
        due.append((pause * shorter - since, Cause.RETRY))
    for instant, cause in ((outlook.resend, Cause.OUTBOX), (outlook.changes, Cause.INSTANT)):
        if instant is not None and instant > past.began:
            due.append((max(instant - now, AFTER_TICK - since), cause))
    if is_changed:
        due.append((AFTER_CHANGE - since, Cause.CHANGE))
    wait, cause = min(reversed(due), key=lambda one: one[0])
    return Wake(max(wait, timedelta(0)), cause)


def waits_for(wake: Wake, outlook: Outlook, past: Past | None, *, now: datetime) -> str:
    """Say in a line for people when the next tick begins, and what the last one came to.

    Args:
        wake: As :func:`next_wake` says.
        outlook: What the last tick left.
        past: The last tick.
        now: In the zone that times are to be shown in.
    """
    at = now + wake.wait
    day = "" if at.date() == now.date() else f"{at:%a %Y-%m-%d} "
    why = ""
    match wake.cause:
        case Cause.RETRY:
            failures = 0 if past is None else past.failures
            why = f" (again after a transient failure, {failures} in a row)"
        case Cause.OUTBOX | Cause.INSTANT | Cause.CHANGE | Cause.START:
            why = f" (woken by {wake.cause.value})"
        case Cause.INTERVAL:
            pass
    says = f"; {outlook.says}" if outlook.says else ""
    return f"next tick {day}{at:%H:%M} {at:%Z}{why}{says}"
