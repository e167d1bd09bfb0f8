"""How long what failed is left alone: what nobody can see mended is tried again, and ever more seldom."""

from datetime import datetime, timedelta

_FIRST_PAUSE = timedelta(hours=1)
_LONGEST_PAUSE = timedelta(hours=24)


def pause_after(attempts: int) -> timedelta:
    """Return the pause after so many attempts that failed: an hour at first, and at last a day."""
    doubled = min(attempts - 1, 5)  # an hour, doubled five times, is more than a day
    return min(_FIRST_PAUSE * (1 << doubled), _LONGEST_PAUSE)


def is_waited_for(until: datetime, now: datetime) -> bool:
    """Say whether what failed is still left alone until ``until``.

    No pause is longer than a day. A time beyond that is of a clock that was ahead, and nothing is to wait for
    years.
    """
    return now < until <= now + _LONGEST_PAUSE
