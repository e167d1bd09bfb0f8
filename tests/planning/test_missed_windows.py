"""A window that passed without the run it was for is told once, with what is known of the reason."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reconciler.planning.notices.missed_windows import (
    LOOK_BACK,
    MissedWindow,
    Timetable,
    WindowWatch,
    advance,
    looked,
    refused,
    served,
)
from reconciler.policy.windows import Freeze, Schedule, calendar_window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BUDGET = timedelta(minutes=30)
NIGHTLY = Schedule("nightly", (calendar_window("02:00", 3 * HOUR, "UTC"),))
TIMES = Timetable((NIGHTLY,), (), BUDGET)
START = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
BEFORE, INSIDE, AFTER = START - 2 * HOUR, START + HOUR, START + 4 * HOUR
WAITS = "outside the windows of nightly"
Look = tuple[datetime, str | None]


def watched(
    looks: Iterable[Look],
    watch: WindowWatch | None = None,
    *,
    times: Timetable = TIMES,
    wanted: bool = True,
    boot: str = "boot",
) -> WindowWatch:
    """Return what is known after looks at these instants, each with what kept the plan back."""
    watch = watch or WindowWatch()
    for at, why in looks:
        watch = looked(advance(watch, times, at, boot), times.budget, wanted=wanted, why=why)
    return watch


def missed(watch: WindowWatch) -> MissedWindow:
    assert watch.missed is not None
    return watch.missed


@pytest.mark.parametrize(
    ("boot", "why"),
    [("boot", "was not booted since"), ("boot-2", "was booted since, so it may have been off")],
)
def test_a_window_at_which_nobody_looked_was_missed(boot: str, why: str) -> None:
    found = missed(watched([(AFTER, WAITS)], watched([(BEFORE, WAITS)]), boot=boot))
    assert (found.start, found.schedule, found.is_unseen, found.number) == (START, "nightly", True, 1)
    assert why in found.sentence


def test_a_gate_that_was_closed_all_through_is_named() -> None:
    found = missed(watched([(BEFORE, WAITS), (INSIDE, "inhibited by a backup"), (AFTER, WAITS)]))
    assert (found.why, found.is_unseen) == ("inhibited by a backup", False)
    assert found.condition.reason == "GateClosed"
    assert found.condition.message == (
        "the window nightly of 2026-11-25 02:00 UTC passed without a run: inhibited by a backup"
    )


def test_the_last_reason_that_left_time_for_a_run_counts() -> None:
    too_late = START + 3 * HOUR - BUDGET + timedelta(seconds=1)
    looks = [(INSIDE, "locked"), (INSIDE + HOUR, "inhibited"), (too_late, "a run needs 30m"), (AFTER, WAITS)]
    assert missed(watched([(BEFORE, WAITS), *looks])).why == "inhibited"


def test_nothing_was_missed_where_nothing_waited() -> None:
    before = watched([(BEFORE, None)], wanted=False)
    assert watched([(AFTER, WAITS)], before).missed is None
    # It came up when there was no time for a run any more.
    late = watched([(START + 3 * HOUR - timedelta(minutes=5), "a run needs 30m")], before)
    assert watched([(AFTER, WAITS)], late).missed is None
    # It was gone while there was time.
    gone = watched([(INSIDE, None)], watched([(BEFORE, WAITS)]), wanted=False)
    assert watched([(AFTER, WAITS)], gone).missed is None


def test_a_run_that_began_in_the_window_serves_it_however_it_ended() -> None:
    open_ = watched([(BEFORE, WAITS), (INSIDE, None)])
    assert watched([(AFTER, WAITS)], served(open_, INSIDE)).missed is None
    assert (
        missed(watched([(AFTER, WAITS)], served(open_, BEFORE))).why
        == "every gate was open, and yet no run came of it"
    )


def test_a_run_that_left_all_as_it_was_is_the_reason() -> None:
    vetoed = refused(watched([(BEFORE, WAITS), (INSIDE, None)]), INSIDE, "vetoed by 10-backup")
    # The look after it finds every gate open again.
    assert missed(watched([(INSIDE, None), (AFTER, WAITS)], vetoed)).why == "vetoed by 10-backup"


def test_a_freeze_and_a_window_too_short_are_never_missed() -> None:
    freeze = Freeze("year-end", START - DAY, START + DAY)
    frozen = replace(TIMES, freezes=(freeze,))
    assert watched([(BEFORE, "frozen"), (AFTER, "frozen")], times=frozen).missed is None
    short = replace(TIMES, budget=4 * HOUR)
    assert watched([(BEFORE, WAITS), (AFTER, WAITS)], times=short).missed is None
    passable = replace(frozen, freezes=(replace(freeze, allow="security"),), allow_security=True)
    assert missed(watched([(BEFORE, WAITS), (AFTER, WAITS)], times=passable)).start == START


def test_a_freeze_that_was_lifted_too_late_was_still_a_freeze() -> None:
    seen = looked(
        advance(watched([(BEFORE, WAITS)]), TIMES, INSIDE, "boot"),
        BUDGET,
        wanted=True,
        why="frozen",
        is_frozen=True,
    )
    after = watched([(AFTER, WAITS)], seen)
    assert after.missed is None
    assert missed(watched([(AFTER + DAY, WAITS)], after)).start == START + DAY


def test_a_month_off_tells_of_the_last_window_and_how_many_there_were() -> None:
    found = missed(watched([(BEFORE, WAITS), (AFTER + 29 * DAY, WAITS)]))
    assert (found.start, found.number, found.since) == (START + 29 * DAY, 30, START)
    assert found.sentence.endswith("; 30 windows passed so since 2026-11-25 02:00 UTC")


def test_years_off_count_no_further_back_than_is_said() -> None:
    found = missed(watched([(BEFORE, WAITS), (AFTER + 2000 * DAY, WAITS)]))
    assert found.since > AFTER + 2000 * DAY - LOOK_BACK
    assert found.number == LOOK_BACK.days


def test_it_stands_until_something_is_run_or_nothing_waits() -> None:
    after = watched([(BEFORE, WAITS), (AFTER, WAITS)])
    assert watched([(AFTER + HOUR, WAITS)], after).missed == after.missed
    assert served(after, AFTER + HOUR).missed is None
    assert watched([(AFTER + HOUR, None)], after, wanted=False).missed is None
    assert missed(watched([(AFTER + DAY, WAITS)], after)).number == 1


def test_the_first_look_of_all_misses_nothing() -> None:
    assert watched([(AFTER, WAITS)]).missed is None
    assert watched([(START + 3 * HOUR - timedelta(minutes=1), "too late"), (AFTER, WAITS)]).missed is None
    assert missed(watched([(INSIDE, "locked"), (AFTER, WAITS)])).why == "locked"


def test_a_clock_that_was_set_back_judges_nothing() -> None:
    back = watched([(AFTER, WAITS), (BEFORE - 40 * DAY, WAITS)])
    assert back.missed is None
    assert watched([(BEFORE - 40 * DAY + HOUR, WAITS)], back).missed is None


def test_windows_that_came_with_a_policy_later_than_they_opened_were_never_open_before() -> None:
    before = watched([(BEFORE, WAITS), (INSIDE, WAITS)], times=Timetable((), (), BUDGET))
    assert watched([(AFTER, WAITS)], before).missed is None


def test_one_run_serves_all_windows_that_are_open() -> None:
    other = Schedule("other", (calendar_window("02:30", 3 * HOUR, "UTC"),))
    both = replace(TIMES, schedules=(NIGHTLY, other))
    seen = served(watched([(BEFORE, WAITS), (INSIDE, None)], times=both), INSIDE)
    assert watched([(AFTER, WAITS)], seen, times=both).missed is None


INSTANTS = st.integers(min_value=0, max_value=6 * 24 * 4).map(lambda n: BEFORE + n * timedelta(minutes=15))


@given(st.lists(INSTANTS, min_size=2, unique=True).map(sorted))
def test_windows_are_counted_once_however_often_somebody_looks(instants: list[datetime]) -> None:
    watch, found = WindowWatch(), []
    for at in instants:
        before = watch.missed
        watch = watched([(at, "locked")], watch)
        if watch.missed is not None and watch.missed != before:
            found.append(watch.missed)
    ended = [START + day * DAY for day in range(10) if START + day * DAY + 3 * HOUR <= instants[-1]]
    # The first look of all may come in a window, with or without time for a run, or after it.
    first = instants[0] + BUDGET
    assert sum(one.number for one in found) == sum(start + 3 * HOUR >= first for start in ended)
    assert TypeAdapter(WindowWatch).validate_json(TypeAdapter(WindowWatch).dump_json(watch)) == watch
