"""Windows and freezes on the time line: what is open, when a run may start, what passed, what comes next."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.icalendarfile import parse_ics
from reconciler.policy.windows import (
    MOST_DELAYED,
    Freeze,
    IcsWindow,
    Occurrence,
    Opening,
    Schedule,
    Window,
    active_freeze,
    blocked_by,
    calendar_window,
    cron_window,
    freeze_bounds,
    is_open,
    next_opening,
    next_transition,
    occurrences,
    open_now,
    rrule_window,
    shortfall,
)
from tests.examples import examples

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


def schedule(*windows: Window, name: str = "s") -> Schedule:
    return Schedule(name, windows)


def weekly(
    start: str = "Sun 02:00", hours: float = 3, zone: str = "UTC", splay: timedelta = timedelta(0)
) -> Schedule:
    return schedule(calendar_window(start, timedelta(hours=hours), zone, splay=splay))


def freeze(start: str, end: str, name: str = "f", allow: str = "none") -> Freeze:
    return Freeze(name, at(start), at(end), "security" if allow == "security" else "none")


def spans(found: Sequence[Occurrence]) -> list[tuple[str, str]]:
    return [(f"{each.start:%m-%d %H:%M}", f"{each.end:%m-%d %H:%M}") for each in found]


def opening_of(found: Opening | None) -> Opening:
    assert found is not None
    return found


def test_a_window_belongs_to_the_day_it_starts() -> None:
    friday_night = [weekly("Fri 23:00", 4)]
    assert is_open(friday_night, at("2026-11-28T01:30"))
    assert is_open(friday_night, at("2026-11-27T23:00"))
    assert not is_open(friday_night, at("2026-11-28T03:00"))
    assert not is_open(friday_night, at("2026-11-27T01:30"))


def test_one_of_two_windows_is_enough() -> None:
    two = [weekly("Mon 02:00"), weekly("Sun 02:00")]
    assert is_open(two, at("2026-11-22T02:30"))


def test_overlapping_windows_are_all_told() -> None:
    both = [schedule(calendar_window("22:00", 4 * HOUR, "UTC"), calendar_window("23:00", 4 * HOUR, "UTC"))]
    assert spans(open_now(both, at("2026-11-22T23:30"))) == [
        ("11-22 22:00", "11-23 02:00"),
        ("11-22 23:00", "11-23 03:00"),
    ]


def test_equal_starts_of_one_schedule_are_the_longest_and_of_two_schedules_both() -> None:
    short, long = calendar_window("02:00", HOUR, "UTC"), cron_window("0 2 * * *", 2 * HOUR, "UTC")
    day = at("2026-11-22T00:00"), at("2026-11-23T00:00")
    assert spans(list(occurrences([schedule(short, long)], *day))) == [("11-22 02:00", "11-22 04:00")]
    two = list(occurrences([schedule(short, name="a"), schedule(long, name="b")], *day))
    assert [each.schedule for each in two] == ["a", "b"]


def test_occurrences_begin_with_what_is_open_and_end_before_the_bound() -> None:
    found = list(occurrences([weekly()], at("2026-11-22T04:59"), at("2026-12-06T02:00")))
    assert spans(found) == [("11-22 02:00", "11-22 05:00"), ("11-29 02:00", "11-29 05:00")]
    assert list(occurrences([weekly()], at("2026-11-22T05:00"), at("2026-11-29T02:00"))) == []


def test_a_windows_own_zone_and_a_zone_in_its_start() -> None:
    inside = calendar_window("Sun 02:00 Asia/Tokyo", HOUR, "Europe/Berlin")
    own = calendar_window("Sun 02:00", HOUR, "Europe/Berlin", own_timezone="Asia/Tokyo")
    assert inside.timezone == own.timezone == "Asia/Tokyo"
    with pytest.raises(ValueError, match="keep one of them"):
        calendar_window("Sun 02:00 Asia/Tokyo", HOUR, "Europe/Berlin", own_timezone="Asia/Tokyo")


@pytest.mark.parametrize(
    ("duration", "splay", "said"),
    [
        (timedelta(seconds=59), timedelta(0), "one minute"),
        (timedelta(days=32), timedelta(0), "31 days"),
        (HOUR, HOUR, "splay"),
        (HOUR, -MINUTE, "splay"),
    ],
)
def test_bounds_of_duration_and_splay(duration: timedelta, splay: timedelta, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        calendar_window("Sun 02:00", duration, "UTC", splay=splay)


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berln", "", "../etc/passwd", "localtime", "Mars/Olympus", "Europe", "a" * 5000, "\0", "\ud800"],
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        calendar_window("Sun 02:00", HOUR, zone)


def test_the_nearest_zones_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean Europe/Berlin"):
        calendar_window("Sun 02:00", HOUR, "Europe/Berln")


def test_offset_keeps_the_time_of_day() -> None:
    window = rrule_window(
        "FREQ=MONTHLY;BYDAY=2TU", "22:00", 4 * HOUR, "Europe/Berlin", offset=timedelta(days=4)
    )
    # The second Tuesday of March 2027 is the 9th; four days later it is Saturday the 13th.
    first = next(occurrences([schedule(window)], at("2027-03-01T00:00"), at("2027-04-01T00:00")))
    assert first.start == at("2027-03-13T21:00")
    # From Tuesday before the change to the Saturday and Sunday at it: the clock on the wall counts.
    sunday = rrule_window("FREQ=MONTHLY;BYDAY=4TU", "02:30", HOUR, "Europe/Berlin", offset=timedelta(days=5))
    moved = next(occurrences([schedule(sunday)], at("2027-03-27T00:00"), at("2027-04-01T00:00")))
    assert moved.start == at("2027-03-28T01:00")
    # 36 hours are 36 hours on the wall, too.
    hours = rrule_window(
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=27", "12:00", HOUR, "Europe/Berlin", offset=36 * HOUR
    )
    assert next(occurrences([schedule(hours)], at("2027-03-27T00:00"), at("2027-04-01T00:00"))).start == at(
        "2027-03-28T22:00"
    )


def test_until_in_utc_is_compared_in_the_windows_zone() -> None:
    window = rrule_window("FREQ=DAILY;UNTIL=20260103T030000Z", "22:00", HOUR, "America/New_York")
    found = list(occurrences([schedule(window)], at("2026-01-01T12:00"), at("2026-02-01T00:00")))
    assert [f"{each.start:%d %H}" for each in found] == ["02 03", "03 03"]


def test_of_windows_that_start_together_the_longest_is_chosen() -> None:
    short, long = weekly("Sun 02:00", 1), Schedule("long", (calendar_window("Sun 02:00", 3 * HOUR, "UTC"),))
    for now in ("2026-11-22T01:00", "2026-11-22T02:00", "2026-11-22T02:30"):
        assert opening_of(next_opening([short, long], at(now), 10 * MINUTE)).closes == at("2026-11-22T05:00")


# --- budget, splay and freezes


def test_the_last_start_leaves_the_budget() -> None:
    found = opening_of(next_opening([weekly()], at("2026-11-22T04:30"), 30 * MINUTE))
    assert found.start == found.latest_start == at("2026-11-22T04:30")
    later = opening_of(next_opening([weekly()], at("2026-11-22T04:30") + TICK, 30 * MINUTE))
    assert later.start == at("2026-11-29T02:00")
    assert later.latest_start == at("2026-11-29T04:30")


def test_splay_delays_the_start_and_keeps_the_end_and_never_moves() -> None:
    splayed = [weekly(splay=HOUR)]
    starts = set()
    for host in (f"web-{number:02}" for number in range(40)):
        found = list(occurrences(splayed, at("2026-11-22T00:00"), at("2027-01-01T00:00"), splay_key=host))
        delays = {each.start - at(f"{each.start:%Y-%m-%d}T02:00") for each in found}
        assert len(delays) == 1
        assert all(timedelta(0) <= delay < HOUR for delay in delays)
        assert {f"{each.end:%H:%M}" for each in found} == {"05:00"}
        starts |= delays
    assert len(starts) > 30


def test_the_splay_of_a_host_is_the_same_in_every_release() -> None:
    first = next(
        occurrences([weekly(splay=HOUR)], at("2026-11-22T00:00"), at("2026-11-23T00:00"), splay_key="web-01")
    )
    assert f"{first.start:%H:%M:%S}" == "02:02:43"


def test_freezes_beat_windows_and_their_end_opens_again() -> None:
    frozen = [freeze("2026-11-20T00:00", "2026-11-22T03:00")]
    before = opening_of(next_opening([weekly()], at("2026-11-22T02:30"), HOUR, frozen))
    assert (before.start, before.blocked_by) == (at("2026-11-22T03:00"), ("f",))
    after = opening_of(next_opening([weekly()], at("2026-11-22T03:00"), HOUR, frozen))
    assert (after.start, after.blocked_by) == (at("2026-11-22T03:00"), ())


def test_a_freeze_that_begins_in_a_window_ends_it() -> None:
    frozen = [freeze("2026-11-22T03:00", "2026-11-22T04:30")]
    first = opening_of(next_opening([weekly()], at("2026-11-22T02:00"), HOUR, frozen))
    assert (first.latest_start, first.closes) == (at("2026-11-22T02:00"), at("2026-11-22T03:00"))
    # Before the freeze there is no room any more, and after it there is too little.
    second = opening_of(next_opening([weekly()], at("2026-11-22T02:01"), HOUR, frozen))
    assert (second.start, second.blocked_by) == (at("2026-11-29T02:00"), ("f",))


def test_a_freeze_may_let_security_pass() -> None:
    frozen = [freeze("2026-11-20T00:00", "2026-12-20T00:00", allow="security")]
    now = at("2026-11-22T02:00")
    assert opening_of(next_opening([weekly()], now, HOUR, frozen, allow_security=True)).start == now
    assert opening_of(next_opening([weekly()], now, HOUR, frozen)).start == at("2026-12-20T02:00")
    assert active_freeze(frozen, now) == frozen[0]
    assert active_freeze(frozen, now, allow_security=True) is None


def test_the_freeze_that_ends_last_is_named() -> None:
    frozen = [
        freeze("2026-11-20T00:00", "2026-12-01T00:00", "short"),
        freeze("2026-11-20T00:00", "2027-01-01T00:00", "long"),
    ]
    found = active_freeze(frozen, at("2026-11-22T00:00"))
    assert found is not None
    assert found.name == "long"


def test_a_window_is_blocked_where_a_freeze_leaves_no_room() -> None:
    window = Occurrence(at("2026-11-22T02:00"), at("2026-11-22T05:00"), "s", 0)
    until_four = [freeze("2026-11-01T00:00", "2026-11-22T04:00")]
    assert blocked_by(window, until_four) is None
    assert blocked_by(window, until_four, budget=2 * HOUR) == "f"
    assert blocked_by(window, [freeze("2026-11-01T00:00", "2026-11-22T05:00")]) == "f"
    assert blocked_by(window, ()) is None
    assert blocked_by(window, (), budget=25 * HOUR) == "budget"


def test_bare_dates_run_through_the_end_of_the_day() -> None:
    assert freeze_bounds("2026-12-20", "2027-01-04", "Europe/Berlin") == (
        at("2026-12-19T23:00"),
        at("2027-01-04T23:00"),
    )
    assert freeze_bounds(date(2026, 12, 20), date(2026, 12, 20), "UTC") == (
        at("2026-12-20T00:00"),
        at("2026-12-21T00:00"),
    )
    assert freeze_bounds("2026-12-20 18:00", "2027-01-04T08:00:00Z", "Asia/Tokyo") == (
        at("2026-12-20T09:00"),
        at("2027-01-04T08:00"),
    )


def test_a_freeze_takes_both_repeated_hours_and_starts_with_the_first() -> None:
    assert freeze_bounds("2026-10-25 02:30", "2026-10-25 02:45", "Europe/Berlin") == (
        at("2026-10-25T00:30"),
        at("2026-10-25T01:45"),
    )


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2027-01-04", "2026-12-20", "ends"),
        ("2026-12-20T10:00", "2026-12-20T10:00", "ends"),
        ("20.12.2026", "2027-01-04", "is not a date"),
        ("2026-02-30", "2027-01-04", "is not a date"),
    ],
)
def test_wrong_bounds_of_a_freeze(start: str, end: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        freeze_bounds(start, end, "UTC")


def test_a_freeze_has_instants_in_order() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        freeze("2026-12-20T00:00", "2026-12-19T00:00")
    with pytest.raises(ValueError, match="instants"):
        Freeze("f", at("2026-12-20T00:00").replace(tzinfo=None), at("2026-12-21T00:00"))


# --- nothing to find, and much to find


def test_what_never_comes_is_an_answer() -> None:
    never = [
        schedule(
            calendar_window("*-02-30", HOUR, "UTC"),
            calendar_window("2020-01-01", HOUR, "UTC"),
            cron_window("0 0 30 2 1#5", HOUR, "UTC"),
            rrule_window("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "22:00", HOUR, "UTC"),
        )
    ]
    now = at("2026-11-22T00:00")
    assert next_opening(never, now) is None
    assert next_transition(never, (), now) is None
    assert next_opening([], now) is None
    assert open_now([Schedule("empty", ())], now) == ()


@pytest.mark.parametrize("start", ["*:*:0/0.000001", "*:*:*"])
def test_a_window_that_is_open_countless_times_at_once_is_refused(start: str) -> None:
    with pytest.raises(ValueError, match="times within 7 days, more than 5000"):
        calendar_window(start, timedelta(days=7), "UTC")


def test_starts_within_a_minute_are_possible() -> None:
    seconds = [schedule(calendar_window("05:40:23.42/3.17", MINUTE, "UTC"))]
    found = list(islice(occurrences(seconds, at("2026-11-22T00:00"), at("2026-11-23T00:00")), 2))
    assert [f"{each.start:%M:%S.%f}" for each in found] == ["40:23.420000", "40:26.590000"]


def test_a_budget_longer_than_every_window_never_fits() -> None:
    assert (
        next_opening([schedule(calendar_window("*:*", MINUTE, "UTC"))], at("2026-11-22T00:00"), HOUR) is None
    )


def test_a_freeze_of_years_is_passed_over_at_once() -> None:
    frozen = [freeze("2026-01-01T00:00", "2030-01-01T00:00")]
    found = opening_of(
        next_opening(
            [schedule(calendar_window("*:0/5", MINUTE, "UTC"))], at("2026-11-22T00:00"), MINUTE, frozen
        )
    )
    assert found.start == at("2030-01-01T00:00")
    assert found.blocked_by == ("f",)


def test_what_lies_behind_the_horizon_is_not_found() -> None:
    far = [schedule(calendar_window("2040-01-01", HOUR, "UTC"))]
    assert next_opening(far, at("2026-11-22T00:00")) is None
    assert opening_of(next_opening(far, at("2036-11-22T00:00"))).start == at("2040-01-01T00:00")


def test_thousands_of_windows_are_one_ordered_stream() -> None:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    zones = ("Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo", "Australia/Lord_Howe")
    many = [
        Schedule(
            f"s{n}", (calendar_window(f"{days[n % 7]} {n % 24:02}:{n % 60:02}", 3 * HOUR, zones[n % 5]),)
        )
        for n in range(2000)
    ]
    now = at("2026-11-22T09:00")
    found = list(occurrences(many, now, now + timedelta(days=90)))
    assert len(found) > 2000 * 12
    assert all(first.start <= second.start for first, second in pairwise(found))


def test_heavy_libraries_wait_until_a_policy_needs_them() -> None:
    heavy = "{'cronsim', 'dateutil', 'icalendar', 'recurring_ical_events'}"
    code = f"import sys, reconciler.policy.windows; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_stream_is_lazy() -> None:
    every_minute = [schedule(calendar_window("*:*", MINUTE, "UTC"))]
    first = list(islice(occurrences(every_minute, at("2026-11-22T00:00"), at("2199-01-01T00:00")), 3))
    assert [each.start.minute for each in first] == [0, 1, 2]


# --- what passed, and what comes


def test_next_transition_names_every_kind_of_change() -> None:
    frozen = [freeze("2026-11-22T04:00", "2026-11-25T00:00")]
    steps = []
    now: datetime | None = at("2026-11-22T00:00")
    while now is not None and now < at("2026-11-29T02:00"):
        now = next_transition([weekly()], frozen, now, budget=HOUR)
        steps.append(f"{now:%d %H:%M:%S.%f}".removesuffix(".000000"))
    assert steps == [
        "22 02:00:00",  # it opens
        "22 03:00:00.000001",  # the run would touch the freeze
        "22 04:00:00",  # the freeze begins
        "22 05:00:00",  # it closes
        "25 00:00:00",  # the freeze ends
        "29 02:00:00",
    ]


# --- iCalendar, as windows


BOARD = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//example//EN\r
BEGIN:VEVENT\r
UID:1\r
SUMMARY:Nightly\r
DTSTART;TZID=Europe/Berlin:20260301T010000\r
DTEND;TZID=Europe/Berlin:20260301T040000\r
RRULE:FREQ=WEEKLY;BYDAY=SU\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:2\r
SUMMARY:Floating\r
DTSTART:20260302T010000\r
DTEND:20260302T020000\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:3\r
SUMMARY:All day\r
DTSTART;VALUE=DATE:20260328\r
DTEND;VALUE=DATE:20260330\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_ics_windows_are_elapsed_and_floating_ones_take_the_schedules_zone() -> None:
    board = schedule(IcsWindow(parse_ics(BOARD), "Asia/Tokyo", source="calendars/board.ics"))
    found = {
        each.start: each.end - each.start
        for each in occurrences([board], at("2026-03-01T00:00"), at("2026-11-01T00:00"))
    }
    assert found[at("2026-03-01T16:00")] == HOUR
    # Three hours on every night, also on those that have one hour less or more.
    assert found[at("2026-03-29T00:00")] == found[at("2026-10-24T23:00")] == 3 * HOUR
    assert found[at("2026-03-27T15:00")] == 48 * HOUR


def test_ics_windows_are_longer_than_their_splay() -> None:
    with pytest.raises(ValueError, match="no longer than the splay"):
        IcsWindow(parse_ics(BOARD), "UTC", splay=HOUR)


def test_a_calendar_without_events_never_opens() -> None:
    empty = IcsWindow(parse_ics(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n"), "UTC")
    assert isinstance(empty, IcsWindow)
    assert next_opening([schedule(empty)], at("2026-11-22T00:00"), MINUTE) is None


@pytest.mark.parametrize(("hours", "short"), [(1, True), (2, False)])
def test_shortfall_counts_splay_budget_and_a_late_tick(hours: int, *, short: bool) -> None:
    window = calendar_window("02:00", hours * HOUR, "UTC", splay=20 * MINUTE)
    assert (shortfall(window, 30 * MINUTE) > timedelta(0)) is short


def test_shortfall_of_a_calendar_is_that_of_its_shortest_event() -> None:
    assert shortfall(IcsWindow(parse_ics(BOARD), "UTC"), 50 * MINUTE) == 10 * MINUTE


# --- properties


STARTS = st.sampled_from(["Sun 02:00", "*-*-1..7 01:30", "0/6:15", "Mon..Fri 23:30", "*-*~1 12:00", "*:0/40"])
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]
)


@st.composite
def schedules_(draw: st.DrawFn) -> list[Schedule]:
    windows = [
        calendar_window(
            draw(STARTS),
            timedelta(minutes=draw(st.integers(45, 600))),
            draw(ZONES),
            splay=draw(st.sampled_from([timedelta(0), 30 * MINUTE])),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return [Schedule(f"s{number}", (window,)) for number, window in enumerate(windows)]


INSTANTS = st.datetimes(datetime.fromisoformat("2026-03-20"), datetime.fromisoformat("2026-11-10")).map(
    lambda each: each.replace(tzinfo=UTC, microsecond=0)
)


@st.composite
def freezes_(draw: st.DrawFn) -> list[Freeze]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        start = draw(INSTANTS)
        length = timedelta(minutes=draw(st.integers(1, 20000)))
        found.append(
            Freeze(f"f{number}", start, start + length, "security" if draw(st.booleans()) else "none")
        )
    return found


BUDGETS = st.integers(0, 120).map(lambda minutes: timedelta(minutes=minutes))


def may_start(
    given_schedules: list[Schedule],
    freezes: list[Freeze],
    now: datetime,
    budget: timedelta,
    *,
    security: bool,
) -> bool:
    """Rules 4 and 5 said in another way: a window holds the whole run, and no freeze touches it."""
    blocking = [each for each in freezes if not (security and each.allow == "security")]
    run_end = now + max(budget, TICK)
    ends = [each.end for each in open_now(given_schedules, now, splay_key="h")]
    return any(now + budget <= end for end in ends) and not any(
        each.start < run_end and now < each.end for each in blocking
    )


@examples(60)
@given(schedules_(), freezes_(), INSTANTS, BUDGETS, st.booleans())
def test_next_opening_is_the_first_instant_at_which_a_run_may_start(
    some: list[Schedule],
    freezes: list[Freeze],
    now: datetime,
    budget: timedelta,
    security: bool,  # noqa: FBT001 - drawn
) -> None:
    found = next_opening(some, now, budget, freezes, splay_key="h", allow_security=security)
    assert found is None or may_start(some, freezes, found.start, budget, security=security)
    assert found is None or may_start(some, freezes, found.latest_start, budget, security=security)
    assert (
        found is None
        or found.start == now
        or not may_start(some, freezes, found.start - TICK, budget, security=security)
    )
    if found is not None and found.start > now:
        # Nothing between now and then: ask in the middle and at every transition on the way.
        probes = [now, now + (found.start - now) / 2]
        step = next_transition(some, freezes, now, budget=budget, splay_key="h")
        while len(probes) < 20 and step is not None and step < found.start:
            probes.append(step)
            step = next_transition(some, freezes, step, budget=budget, splay_key="h")
        assert not any(may_start(some, freezes, probe, budget, security=security) for probe in probes)


@examples(60)
@given(schedules_(), freezes_(), INSTANTS, BUDGETS, st.booleans())
def test_where_a_run_may_start_with_the_whole_splay_it_may_on_every_host(
    some: list[Schedule],
    freezes: list[Freeze],
    now: datetime,
    budget: timedelta,
    security: bool,  # noqa: FBT001 - drawn
) -> None:
    last = next_opening(some, now, budget, freezes, splay_key=MOST_DELAYED, allow_security=security)
    own = next_opening(some, now, budget, freezes, splay_key="h", allow_security=security)

    if last is None:
        return
    assert own is not None
    assert own.start <= last.start
    for moment in (last.start, last.latest_start):
        assert may_start(some, freezes, moment, budget, security=security)


@examples(60)
@given(schedules_(), freezes_(), INSTANTS, BUDGETS, st.floats(0, 1, exclude_max=True))
def test_nothing_changes_before_the_next_transition(
    some: list[Schedule], freezes: list[Freeze], now: datetime, budget: timedelta, part: float
) -> None:
    then = next_transition(some, freezes, now, budget=budget, splay_key="h")
    assert then is not None
    assert then > now

    def answers(moment: datetime) -> tuple[object, ...]:
        return (
            open_now(some, moment, splay_key="h"),
            [each.is_active(moment) for each in freezes],
            may_start(some, freezes, moment, budget, security=True),
            may_start(some, freezes, moment, budget, security=False),
        )

    # A part just below one rounds up to the transition itself.
    between = min(now + (then - now) * part, then - TICK)
    assert answers(now) == answers(between) == answers(then - TICK)


@examples(60)
@given(schedules_(), INSTANTS)
def test_is_open_agrees_with_occurrences(some: list[Schedule], now: datetime) -> None:
    found = list(occurrences(some, now - timedelta(days=3), now + timedelta(days=3), splay_key="h"))
    assert is_open(some, now, splay_key="h") == any(each.start <= now < each.end for each in found)
    assert found == sorted(found, key=lambda each: each.start)
