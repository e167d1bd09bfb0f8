"""The wall clock: the one place that reads it, and what is known of its synchronisation."""

import ctypes
import sys
import time
from datetime import UTC, datetime, timedelta

from reconciler.planning.facts.observation import ClockState

_STA_UNSYNC = 0x0040  # linux/timex.h
_TIMEX_BYTES = 512  # struct timex is 208 bytes on 64-bit Linux; the kernel never writes beyond it
_STATUS_OFFSET = 40  # of `int status`, after modes, offset, freq, maxerror, esterror (64-bit longs)


class SystemClock:
    """This machine's wall clock."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place

    def elapsed(self) -> timedelta:
        """Return the time since this machine was started, sleep included; nobody can set it.

        Only differences mean anything, and only within one boot: containers see their host's.
        """
        return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))

    def state(self) -> ClockState:
        """Ask the kernel whether some time service keeps the clock synchronised (adjtimex(2)).

        chrony, ntpd and systemd-timesyncd all clear ``STA_UNSYNC``. Containers share the kernel's clock, so
        the answer is right for them too. A kernel that refuses to tell gives ``UNKNOWN``.
        """
        if ctypes.sizeof(ctypes.c_long) != 8:  # noqa: PLR2004 - bytes of a 64-bit long
            return ClockState.UNKNOWN
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        try:
            result = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
        except (OSError, AttributeError):
            return ClockState.UNKNOWN
        status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], sys.byteorder)
        return state_of(result, status)


def wait(seconds: float) -> None:
    """Let so many seconds pass."""
    time.sleep(seconds)  # noqa: TID251 - this is the one place


def state_of(result: int, status: int) -> ClockState:
    """Read what adjtimex(2) returned: ``result`` is negative where the kernel refuses to tell."""
    if result < 0:
        return ClockState.UNKNOWN
    return ClockState.UNSYNCHRONISED if status & _STA_UNSYNC else ClockState.SYNCHRONISED
