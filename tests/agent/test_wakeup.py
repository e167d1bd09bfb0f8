"""When ``watch`` makes its next tick: never too late, never in a busy loop, and only for a reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent.wakeup import (
    AFTER_CHANGE,
    AFTER_TICK,
    FIRST_RETRY,
    Cause,
    Past,
    Wake,
    next_wake,
    waits_for,
)
from reconciler.host.state.next_tick import Outlook

NOW = datetime(2026, 11, 28, 14, 15, tzinfo=UTC)
UP = timedelta(days=3)
QUARTER = timedelta(minutes=15)
NONE = timedelta(0)

spans = st.timedeltas(timedelta(0), timedelta(days=2))
shifts = st.timedeltas(timedelta(days=-2), timedelta(days=2))
intervals = st.timedeltas(timedelta(seconds=1), timedelta(days=1))
instants = st.none() | shifts.map(lambda shift: NOW + shift)
outlooks = st.builds(Outlook, changes=instants, resend=instants)
# Wall clock and elapsed time are drawn apart: the clock may have been set since.
pasts = st.builds(
    Past,
    began=shifts.map(lambda shift: NOW + shift),
    ended=spans.map(lambda ago: UP - ago),
    failures=st.integers(0, 10_000),
    share=st.floats(0, 1, exclude_max=True),
)


def after(past: Past | None, outlook: Outlook = Outlook(), *, is_changed: bool = False) -> Wake:  # noqa: B008 - frozen
    return next_wake(past, outlook, QUARTER, now=NOW, elapsed=UP, is_changed=is_changed)


def ended(ago: timedelta = NONE, *, failures: int = 0, share: float = 0.0) -> Past:
    """A tick that ended so long ago, and took no time."""
    return Past(NOW - ago, UP - ago, failures, share)


def test_the_first_tick_is_due_at_once() -> None:
    assert after(None) == Wake(NONE, Cause.START)


@given(past=pasts, outlook=outlooks, interval=intervals, is_changed=st.booleans())
def test_no_wait_is_longer_than_the_interval(
    past: Past, outlook: Outlook, interval: timedelta, *, is_changed: bool
) -> None:
    wake = next_wake(past, outlook, interval, now=NOW, elapsed=UP, is_changed=is_changed)
    assert NONE <= wake.wait <= max(NONE, interval - (UP - past.ended))


@given(past=pasts, outlook=outlooks, interval=intervals, is_changed=st.booleans())
def test_who_waited_as_told_is_due_for_the_same_reason(
    past: Past, outlook: Outlook, interval: timedelta, *, is_changed: bool
) -> None:
    wake = next_wake(past, outlook, interval, now=NOW, elapsed=UP, is_changed=is_changed)
    then = next_wake(
        past, outlook, interval, now=NOW + wake.wait, elapsed=UP + wake.wait, is_changed=is_changed
    )
    assert then == Wake(NONE, wake.cause)


@given(pasts, outlooks, intervals)
def test_no_instant_is_slept_through(past: Past, outlook: Outlook, interval: timedelta) -> None:
    wake = next_wake(past, outlook, interval, now=NOW, elapsed=UP, is_changed=False)
    for instant in (outlook.changes, outlook.resend):
        if instant is not None and instant > past.began:
            assert wake.wait <= max(instant - NOW, AFTER_TICK - (UP - past.ended), NONE)


@given(past=pasts, outlook=outlooks, is_changed=st.booleans())
def test_some_time_lies_between_two_ticks(past: Past, outlook: Outlook, *, is_changed: bool) -> None:
    wake = after(past, outlook, is_changed=is_changed)
    assert wake.wait >= AFTER_CHANGE - (UP - past.ended)


@given(pasts, intervals, st.floats(0, 1, exclude_max=True))
def test_jitter_shortens_by_a_tenth_at_most(past: Past, interval: timedelta, share: float) -> None:
    past = Past(past.began, UP, 0, share)
    wake = next_wake(past, Outlook(), interval, now=NOW, elapsed=UP, is_changed=False)
    assert 0.9 * interval <= wake.wait + timedelta(microseconds=1)
    assert wake.wait <= interval


@given(pasts, outlooks)
def test_what_the_last_tick_knew_of_wakes_nobody(past: Past, outlook: Outlook) -> None:
    known = Outlook(
        changes=None if outlook.changes is None else min(outlook.changes, past.began),
        resend=None if outlook.resend is None else min(outlook.resend, past.began),
    )
    assert after(past, known) == after(past)


def test_the_edge_of_a_window_comes_before_the_interval() -> None:
    edge = NOW + timedelta(minutes=4)
    assert after(ended(), Outlook(changes=edge)) == Wake(timedelta(minutes=4), Cause.INSTANT)
    assert after(ended(), Outlook(changes=NOW + QUARTER * 2)) == Wake(QUARTER, Cause.INTERVAL)


def test_a_message_is_sent_again_when_it_is_due() -> None:
    assert after(ended(), Outlook(resend=NOW + FIRST_RETRY)) == Wake(FIRST_RETRY, Cause.OUTBOX)


@pytest.mark.parametrize(
    ("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (9, 15), (10**9, 15)]
)
def test_transient_failures_are_tried_again_ever_more_slowly(failures: int, minutes: int) -> None:
    assert after(ended(failures=failures)).wait == timedelta(minutes=minutes)


def test_an_interval_that_passed_in_a_suspended_machine_is_due() -> None:
    # The wall clock did not move, elapsed time did.
    assert after(Past(NOW, UP - QUARTER, 0, 0.0)) == Wake(NONE, Cause.INTERVAL)


def test_a_change_waits_for_the_next_breath_only() -> None:
    assert after(ended(), is_changed=True) == Wake(AFTER_CHANGE, Cause.CHANGE)
    assert after(ended(timedelta(minutes=1)), is_changed=True) == Wake(NONE, Cause.CHANGE)


@pytest.mark.parametrize(
    ("past", "outlook", "says"),
    [
        (ended(), Outlook(), "next tick 14:30 UTC"),
        (
            ended(),
            Outlook(says="window: outside the windows of nightly"),
            "next tick 14:30 UTC; window: outside the windows of nightly",
        ),
        (
            ended(failures=2),
            Outlook(),
            "next tick 14:17 UTC (again after a transient failure, 2 in a row)",
        ),
        (
            ended(),
            Outlook(changes=NOW + timedelta(minutes=5)),
            "next tick 14:20 UTC (woken by the clock)",
        ),
    ],
)
def test_what_is_waited_for_in_a_line(past: Past, outlook: Outlook, says: str) -> None:
    assert waits_for(after(past, outlook), outlook, past, now=NOW) == says


def test_another_day_is_named() -> None:
    wake = next_wake(ended(), Outlook(), timedelta(hours=12), now=NOW, elapsed=UP, is_changed=False)
    assert waits_for(wake, Outlook(), ended(), now=NOW) == "next tick Sun 2026-11-29 02:15 UTC"
