"""The clock's state comes from the kernel, whatever keeps the time."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.host.machine.clock import SystemClock, state_of
from reconciler.planning.facts.observation import ClockState


def test_now_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert abs(
        now - datetime.fromtimestamp(float(subprocess.check_output(["date", "+%s"])), UTC)
    ) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("result", "status", "state"),
    [
        (0, 0, ClockState.SYNCHRONISED),
        (0, 0x2001, ClockState.SYNCHRONISED),
        (5, 0x40, ClockState.UNSYNCHRONISED),
        (-1, 0, ClockState.UNKNOWN),
    ],
)
def test_the_kernels_words(result: int, status: int, state: ClockState) -> None:
    assert state_of(result, status) is state


def test_the_kernel_is_really_asked() -> None:
    assert SystemClock().state() in set(ClockState)
