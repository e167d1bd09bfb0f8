"""Windows at clock changes: tables for the zones that break assumptions, properties over all zones.

Zones here: Berlin and New York (one hour), Lord Howe (half an hour), Troll (two hours), Casablanca (winter
time in Ramadan), Apia (a day that never was), Dublin (winter time is the exception), Havana and Beirut (no
midnight).
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.windows import (
    Schedule,
    Window,
    calendar_window,
    cron_window,
    freeze_bounds,
    is_open,
    next_opening,
    occurrences,
    rrule_window,
)
from reconciler.policy.zones import instant, zone
from tests.examples import examples

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def _windows(zone_name: str, at: str, duration: timedelta) -> list[Window]:
    """Build the same daily window in the three notations of a policy."""
    hour, minute = (int(part) for part in at.split(":"))
    return [
        calendar_window(at, duration, zone_name),
        cron_window(f"{minute} {hour} * * *", duration, zone_name),
        rrule_window("FREQ=DAILY", at, duration, zone_name),
    ]


def _of_day(window: Window, day: str, days: int = 1) -> list[str]:
    tz = zone(window.timezone)
    begin = datetime.fromisoformat(day)
    first, last = (instant(each, tz) for each in (begin, begin + timedelta(days=days)))
    found = occurrences([Schedule("s", (window,))], first, last)
    return [
        f"{each.start:%d %H:%M}Z {each.start.astimezone(tz):%H:%M%z}" for each in found if each.start >= first
    ]


STARTS = [
    # zone, day, local start, what happens
    ("Europe/Berlin", "2027-03-28", "01:59", ["28 00:59Z 01:59+0100"]),
    ("Europe/Berlin", "2027-03-28", "02:00", ["28 01:00Z 03:00+0200"]),
    ("Europe/Berlin", "2027-03-28", "02:30", ["28 01:00Z 03:00+0200"]),
    ("Europe/Berlin", "2027-03-28", "02:59", ["28 01:00Z 03:00+0200"]),
    ("Europe/Berlin", "2027-03-28", "03:00", ["28 01:00Z 03:00+0200"]),
    ("Europe/Berlin", "2026-10-25", "02:00", ["25 00:00Z 02:00+0200"]),
    ("Europe/Berlin", "2026-10-25", "02:30", ["25 00:30Z 02:30+0200"]),
    ("Europe/Berlin", "2026-10-25", "03:00", ["25 02:00Z 03:00+0100"]),
    ("America/New_York", "2027-03-14", "02:30", ["14 07:00Z 03:00-0400"]),
    ("America/New_York", "2026-11-01", "01:30", ["01 05:30Z 01:30-0400"]),
    ("America/New_York", "2026-11-01", "02:00", ["01 07:00Z 02:00-0500"]),
    ("Australia/Lord_Howe", "2026-10-04", "02:15", ["03 15:30Z 02:30+1100"]),
    ("Australia/Lord_Howe", "2026-04-05", "01:45", ["04 14:45Z 01:45+1100"]),
    ("Antarctica/Troll", "2026-03-29", "01:30", ["29 01:00Z 03:00+0200"]),
    ("Antarctica/Troll", "2026-03-29", "02:30", ["29 01:00Z 03:00+0200"]),
    ("Antarctica/Troll", "2026-10-25", "01:30", ["24 23:30Z 01:30+0200"]),
    ("Antarctica/Troll", "2026-10-25", "02:30", ["25 00:30Z 02:30+0200"]),
    # The clock goes back at the begin of Ramadan and forward at its end.
    ("Africa/Casablanca", "2026-02-15", "02:30", ["15 01:30Z 02:30+0100"]),
    ("Africa/Casablanca", "2026-03-22", "02:30", ["22 02:00Z 03:00+0100"]),
    # 30 December 2011 never was: its windows open at the first instant of the 31st.
    ("Pacific/Apia", "2011-12-29", "02:30", ["29 12:30Z 02:30-1000"]),
    ("Pacific/Apia", "2011-12-30", "02:30", []),
    ("Europe/Dublin", "2027-03-28", "01:30", ["28 01:00Z 02:00+0100"]),
    ("Europe/Dublin", "2026-10-25", "01:30", ["25 00:30Z 01:30+0100"]),
    ("America/Havana", "2026-03-08", "00:30", ["08 05:00Z 01:00-0400"]),
    ("Asia/Beirut", "2026-03-29", "00:00", ["28 22:00Z 01:00+0300"]),
]


@pytest.mark.parametrize(("zone_name", "day", "at", "expected"), STARTS)
def test_starts_at_clock_changes(zone_name: str, day: str, at: str, expected: list[str]) -> None:
    for window in _windows(zone_name, at, HOUR):
        assert _of_day(window, day) == expected, type(window).__name__


def test_the_windows_of_a_skipped_day_open_when_the_next_begins() -> None:
    for window in _windows("Pacific/Apia", "02:30", HOUR):
        assert _of_day(window, "2011-12-31") == ["30 10:00Z 00:00+1400", "30 12:30Z 02:30+1400"]


@pytest.mark.parametrize(
    ("window", "day", "expected"),
    [
        # 02:30 moves to 03:00, where no other start is, so that the short day keeps all 24.
        (cron_window("30 * * * *", HOUR, "Europe/Berlin"), "2027-03-28", 24),
        (calendar_window("*:30", HOUR, "Europe/Berlin"), "2027-03-28", 24),
        # 02:00 moves onto 03:00 and merges with it.
        (calendar_window("hourly", HOUR, "Europe/Berlin"), "2027-03-28", 23),
        # The repeated hour has no windows of its own, so that the long day has no 25th.
        (cron_window("30 * * * *", HOUR, "Europe/Berlin"), "2026-10-25", 24),
        (calendar_window("*:30", HOUR, "Europe/Berlin"), "2026-10-25", 24),
    ],
)
def test_hourly_windows_on_the_day_of_a_change(window: Window, day: str, expected: int) -> None:
    found = _of_day(window, day)
    assert len(found) == len(set(found)) == expected


def test_two_starts_in_one_gap_are_one_occurrence() -> None:
    window = calendar_window("02,03:00,30", HOUR, "Europe/Berlin")
    assert _of_day(window, "2027-03-28") == ["28 01:00Z 03:00+0200", "28 01:30Z 03:30+0200"]


LENGTHS = [
    ("Europe/Berlin", "02:00", HOUR, "2026-03-29"),
    ("Europe/Berlin", "02:00", HOUR, "2026-10-25"),
    ("Europe/Berlin", "01:30", HOUR, "2026-03-29"),
    ("Europe/Berlin", "01:30", HOUR, "2026-10-25"),
    ("Europe/Berlin", "22:00", 8 * HOUR, "2026-03-28"),
    ("Europe/Berlin", "22:00", 8 * HOUR, "2026-10-24"),
    ("America/New_York", "22:00", 8 * HOUR, "2026-03-07"),
    ("America/New_York", "22:00", 8 * HOUR, "2026-10-31"),
    ("Australia/Lord_Howe", "01:00", 2 * HOUR, "2026-10-04"),
    ("Antarctica/Troll", "00:30", 3 * HOUR, "2026-03-29"),
]


@pytest.mark.parametrize(("zone_name", "at", "duration", "day"), LENGTHS)
def test_lengths_are_elapsed(zone_name: str, at: str, duration: timedelta, day: str) -> None:
    tz = zone(zone_name)
    begin = instant(datetime.fromisoformat(f"{day}T{at}"), tz)
    for window in _windows(zone_name, at, duration):
        schedule = [Schedule("s", (window,))]
        minutes = range(-120, int(duration / timedelta(minutes=1)) + 120)
        opened = [minute for minute in minutes if is_open(schedule, begin + timedelta(minutes=minute))]
        assert opened == list(range(int(duration / timedelta(minutes=1))))


def test_a_weekly_window_in_a_gap_is_not_lost_for_a_week() -> None:
    weekly = [Schedule("s", (calendar_window("Sun 02:30", HOUR, "Europe/Berlin"),))]
    found = next_opening(weekly, datetime(2027, 3, 27, tzinfo=UTC))
    assert found is not None
    assert found.start == datetime(2027, 3, 28, 1, tzinfo=UTC)


def test_a_freeze_of_a_day_without_midnight_begins_with_its_first_instant() -> None:
    assert freeze_bounds("2026-03-29", "2026-03-29", "Asia/Beirut") == (
        datetime(2026, 3, 28, 22, tzinfo=UTC),
        datetime(2026, 3, 29, 21, tzinfo=UTC),
    )


# --- all zones

_ZONES = st.sampled_from(
    sorted(name for name in available_timezones() if name not in ("localtime", "Factory", "posixrules"))
)
_MOMENTS = st.datetimes(datetime.fromisoformat("1975-01-01"), datetime.fromisoformat("2060-01-01"))


def _changes_near(tz: ZoneInfo, moment: datetime) -> list[datetime]:
    """Return the instants within a year at which the zone's offset changes."""
    found = []
    day = moment.replace(tzinfo=UTC, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(366):
        low, high = day, day + timedelta(days=1)
        if low.astimezone(tz).utcoffset() != high.astimezone(tz).utcoffset():
            while high - low > SECOND:
                middle = low + (high - low) // 2
                if middle.astimezone(tz).utcoffset() == day.astimezone(tz).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high.replace(microsecond=0))
        day += timedelta(days=1)
    return found


@examples(150)
@given(_ZONES, _MOMENTS, st.integers(0, 23), st.integers(0, 59), st.integers(1, 30))
def test_daily_windows_keep_length_and_order_in_every_zone(
    zone_name: str, moment: datetime, hour: int, minute: int, hours: int
) -> None:
    tz = zone(zone_name)
    duration = hours * HOUR
    around = [*_changes_near(tz, moment), moment.replace(tzinfo=UTC)][0]
    midnight = datetime.combine(around.astimezone(tz).date(), time())
    begin, end = (instant(midnight + timedelta(days=days), tz) for days in (-3, 3))
    window = calendar_window(f"{hour}:{minute}", duration, zone_name)
    found = [each for each in occurrences([Schedule("s", (window,))], begin, end) if each.start >= begin]
    starts = [each.start for each in found]
    assert starts == sorted(set(starts))
    assert {each.end - each.start for each in found} == {duration}
    for each in found:
        local = each.start.astimezone(tz)
        moved = (local.hour, local.minute) != (hour, minute)
        before = (each.start - SECOND).astimezone(tz)
        # A start that moved is the first instant after a gap: the clock jumped over what was meant.
        assert local.fold == 0 or moved
        assert not moved or local.replace(tzinfo=None) - before.replace(tzinfo=None) > SECOND
    # Each of the six days has its own, be it moved or not; a midnight that never was is the next one.
    assert len(found) == 6 or (hour, minute) == (0, 0)


@examples(150)
@given(_ZONES, _MOMENTS, st.integers(-7200, 7200))
def test_local_times_become_instants_as_promised_in_every_zone(
    zone_name: str, moment: datetime, seconds: int
) -> None:
    tz = zone(zone_name)
    changes = _changes_near(tz, moment)
    near = (changes[0] if changes else moment.replace(tzinfo=UTC)).astimezone(tz)
    local = near.replace(tzinfo=None, microsecond=0) + timedelta(seconds=seconds)
    found = instant(local, tz)
    back = found.astimezone(tz).replace(tzinfo=None)
    if back == local:
        # It exists: no earlier instant has the same local time.
        others = {local.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1)}
        assert found == min(each for each in others if each.astimezone(tz).replace(tzinfo=None) == local)
    else:
        # It does not: this is the first instant after it, and a second before, the clock had not reached it.
        assert back > local
        assert (found - SECOND).astimezone(tz).replace(tzinfo=None) < local


@examples(40)
@given(_ZONES, _MOMENTS, st.integers(0, 23))
def test_open_minutes_are_the_windows_minutes_in_every_zone(
    zone_name: str, moment: datetime, hour: int
) -> None:
    tz = zone(zone_name)
    around = [*_changes_near(tz, moment), moment.replace(tzinfo=UTC)][0].replace(second=0, microsecond=0)
    schedule = [Schedule("s", (calendar_window(f"{hour}:15", 90 * timedelta(minutes=1), zone_name),))]
    begin, end = around - 30 * HOUR, around + 30 * HOUR
    found = list(occurrences(schedule, begin, end))
    for step in range(0, 60 * 60, 7):
        now = begin + timedelta(minutes=step)
        assert is_open(schedule, now) == any(each.start <= now < each.end for each in found)
