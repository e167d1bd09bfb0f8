"""The other notations: messages of OnCalendar, cron, RRULE and iCalendar, in naive local time."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any, cast

import pytest
import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from reconciler.policy.calendar import parse_calendar, parse_cron
from reconciler.policy.icalendarfile import IcsCalendar, parse_ics
from reconciler.policy.recurrence import parse_rrule
from reconciler.policy.zones import instant, zone
from tests.examples import examples
from tests.policy.systemd_form import normalized


def local_time(text: str) -> datetime:
    """Return a naive local time: all notations are expanded in it."""
    return datetime.fromisoformat(text)


NOW = local_time("2026-11-22T08:00")
FAR = local_time("2031-11-22")


def _texts(moments: Iterator[datetime], count: int = 5) -> list[str]:
    return [f"{moment:%Y-%m-%d %H:%M}" for moment in islice(moments, count)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Sat..Mon", "runs backwards"),
        ("*/2:00", "write '0/2'"),
        ("25:00", "the hour is from 0 to 23"),
        ("Sun 2:00 Europe/Berln", "did you mean Europe/Berlin"),
        ("Sonntag 02:00", "'Sonntag' is not a weekday"),
        ("12", "a time has hour and minute"),
        ("*:0/0", "a repetition of 0"),
        ("2026-01-01T10:00", "'T'"),
        ("", "names no time"),
        ("*-*-31..3", "runs backwards"),
        ("*:0/70", "never happens"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        parse_calendar(text)


def test_a_date_that_never_comes_ends_the_search() -> None:
    assert list(parse_calendar("*-02-30").expand(NOW, local_time("2200-01-01"))) == []
    assert list(parse_calendar("Mon 2026-11-22").expand(NOW, local_time("2200-01-01"))) == []


def test_expansion_includes_its_begin_and_not_its_end() -> None:
    daily = parse_calendar("08:00")
    assert list(daily.expand(NOW, NOW + timedelta(days=1))) == [NOW]


def test_small_fractions_are_expanded_lazily() -> None:
    every_microsecond = parse_calendar("00:00:00/0.000001")
    first = next(every_microsecond.expand(NOW, FAR))
    assert first == local_time("2026-11-23")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 22 * * 6", ["2026-11-28 22:00", "2026-12-05 22:00"]),
        ("30 2 1 * *", ["2026-12-01 02:30", "2027-01-01 02:30"]),
        ("0 3 1 * 1", ["2026-11-23 03:00", "2026-11-30 03:00"]),
        ("0 3 * * 0#2", ["2026-12-13 03:00", "2027-01-10 03:00"]),
        ("0 3 L * *", ["2026-11-30 03:00", "2026-12-31 03:00"]),
        ("*/30 1 * FEB MON-FRI", ["2027-02-01 01:00", "2027-02-01 01:30"]),
        ("0 0 31 2 *", None),
    ],
)
def test_cron(text: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="day-of-month"):
            parse_cron(text)
        return
    assert _texts(parse_cron(text).expand(NOW, FAR), 2) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0 22 * * 6", "6 fields"),
        ("@daily", "use `start` instead"),
        ("0 24 * * *", "hour field is wrong"),
        ("", "0 fields"),
        ("a * * * *", "minute field is wrong"),
    ],
)
def test_wrong_cron_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_cron(text)


@pytest.mark.parametrize(
    ("rule", "anchor", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=2TU", None, ["2026-12-08", "2027-01-12", "2027-02-09"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1SA", None, ["2026-11-28", "2026-12-26", "2027-01-30"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", None, ["2026-11-30", "2026-12-31", "2027-01-29"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "2026-01-03", ["2026-12-05", "2026-12-19", "2027-01-02"]),
        ("FREQ=DAILY;INTERVAL=10", "2026-11-20", ["2026-11-30", "2026-12-10", "2026-12-20"]),
        ("FREQ=DAILY;COUNT=2", "2026-11-22", ["2026-11-22", "2026-11-23"]),
        ("FREQ=DAILY;COUNT=2", "2026-11-01", []),
        ("FREQ=DAILY;UNTIL=20261123", None, ["2026-11-22", "2026-11-23"]),
        ("FREQ=DAILY;UNTIL=20261123T215959", None, ["2026-11-22"]),
        ("FREQ=MONTHLY", "2026-01-31", ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("FREQ=YEARLY", "2024-02-29", ["2028-02-29"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", None, ["2027-05-17", "2028-05-15", "2029-05-14"]),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", None, ["2026-11-26", "2027-11-25", "2028-11-23"]),
        ("FREQ=YEARLY;BYDAY=20MO", None, ["2027-05-17", "2028-05-15", "2029-05-14"]),
        ("FREQ=YEARLY;BYYEARDAY=1,-1", None, ["2026-12-31", "2027-01-01", "2027-12-31"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", None, []),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", None, []),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-11-24", []),
    ],
)
def test_rrule(rule: str, anchor: str | None, expected: list[str]) -> None:
    found = parse_rrule(rule, "22:00", anchor).expand(NOW, FAR)
    assert [f"{moment:%Y-%m-%d}" for moment in islice(found, 3)] == expected


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("FREQ=HOURLY", "below a day"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "INTERVAL=2 needs a `from: DATE`"),
        ("FREQ=DAILY;COUNT=3", "COUNT=3 needs a `from: DATE`"),
        ("FREQ=WEEKLY", "does not say on which day"),
        ("FREQ=MONTHLY", "does not say on which day"),
        ("FREQ=YEARLY;BYMONTH=3", "does not say on which day"),
        ("FREQ=DAILY;BYHOUR=3", "time of day that `at` says"),
        ("FREQ=FORTNIGHTLY", "not FORTNIGHTLY"),
        ("BYDAY=MO", "FREQ is one of"),
        ("FREQ=MONTHLY;BYDAY=2XX", "not a weekday"),
        ("FREQ=WEEKLY;BYDAY=2MO", "numbered weekday"),
        ("FREQ=WEEKLY;BYDAY=MO;BYMONTHDAY=1", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYDAY=MO;COUNT=1;UNTIL=20270101", "exclude one another"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0"),
        ("FREQ=MONTHLY;BYDAY=MO;BYDAY=TU", "stands twice"),
        ("FREQ=MONTHLY;BYDAY=MO;COLOUR=RED", "not a part of RFC 5545"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL=TOMORROW"),
        ("FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO needs BYDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=20;BYDAY=MO", "FREQ=YEARLY only"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS needs another"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "give the rule alone"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(rule: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_rrule(rule, "22:00")


@pytest.mark.parametrize("at", ["25:00", "22", "noon", "22:00+01:00", "22:00:00.5", ""])
def test_a_wrong_time_of_day_is_refused(at: str) -> None:
    with pytest.raises(ValueError, match="time of day for `at`"):
        parse_rrule("FREQ=DAILY", at)


def test_a_wrong_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-01-05"):
        parse_rrule("FREQ=DAILY", "22:00", "next week")


_WEEKDAYS = st.lists(
    st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=3, unique=True
)


@st.composite
def _rules(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}"]
    if draw(st.booleans()):
        numbers = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True)
        parts.append(f"BYMONTH={','.join(map(str, draw(numbers)))}")
    match frequency:
        case "DAILY" | "WEEKLY":
            day_parts = draw(st.sampled_from(["", "BYDAY"]))
        case "MONTHLY":
            day_parts = draw(st.sampled_from(["", "BYDAY", "ORDINAL", "BYMONTHDAY", "BYMONTHDAY BYDAY"]))
        case _:
            day_parts = draw(
                st.sampled_from(["", "BYDAY", "ORDINAL", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO BYDAY"])
            )
    parts.extend(draw(_day_part(kind)) for kind in day_parts.split())
    if day_parts and frequency != "DAILY" and draw(st.booleans()):
        parts.append(f"BYSETPOS={draw(st.sampled_from([1, -1, 2]))}")
    if frequency == "WEEKLY" or "BYWEEKNO" in day_parts:
        # Of the last week of the year before, dateutil counts the length wrongly where weeks begin on Sunday.
        is_last = {"BYWEEKNO=52", "BYWEEKNO=53"} & set(parts)
        parts.append(f"WKST={draw(st.sampled_from(['MO'] if is_last else ['MO', 'SU']))}")
    end = draw(st.sampled_from(["", "COUNT=20", "UNTIL=20271231T235959"]))
    return ";".join([*parts, *([end] if end else [])])


@st.composite
def _day_part(draw: st.DrawFn, kind: str) -> str:
    match kind:
        case "BYDAY":
            return f"BYDAY={','.join(draw(_WEEKDAYS))}"
        case "ORDINAL":
            ordinals = [f"{draw(st.sampled_from([1, 2, 3, 5, -1, -2]))}{day}" for day in draw(_WEEKDAYS)]
            return f"BYDAY={','.join(ordinals)}"
        case "BYMONTHDAY":
            days = st.integers(-31, 31).filter(bool)
            return (
                f"BYMONTHDAY={','.join(map(str, draw(st.lists(days, min_size=1, max_size=3, unique=True))))}"
            )
        case "BYYEARDAY":
            return f"BYYEARDAY={draw(st.integers(1, 366))},{draw(st.integers(-366, -1))}"
        case _:
            return f"BYWEEKNO={draw(st.sampled_from([1, 2, 20, 52, 53, -1]))}"


# Few examples, since dateutil looks for a date that never comes until the year 9999.
@examples(80)
@given(rule=_rules(), anchor=st.dates(date(2015, 1, 1), date(2027, 6, 1)))
def test_rules_agree_with_dateutil(rule: str, anchor: date) -> None:
    begin, end = local_time("2026-11-22T08:00"), local_time("2031-01-01")
    if "BYSETPOS" in rule:
        # dateutil chooses positions from what is left of the first period, RFC 5545 from the whole period.
        anchor = anchor.replace(month=1, day=1)
        begin = max(begin, datetime.combine(anchor + timedelta(days=370), time()))
        rule = rule.replace("COUNT=20", "UNTIL=20291231T235959")
    theirs = rrulestr(rule, dtstart=datetime.combine(anchor, time(22)))
    expected = list(theirs.between(begin, end))[:15]
    assert list(islice(parse_rrule(rule, "22:00", anchor).expand(begin, end), 15)) == expected


def test_the_last_week_of_a_year_that_begins_on_sunday_goes_on_in_the_next() -> None:
    rule = parse_rrule("FREQ=YEARLY;BYWEEKNO=52;BYDAY=FR;WKST=SU", "22:00", date(2015, 1, 1))
    # Of 2026, week 1 begins on 4 January, since fewer than four days of the week before lie in it.
    found = rule.expand(local_time("2026-12-01"), local_time("2027-02-01"))
    assert list(found) == [local_time("2027-01-01T22:00")]


RFC_5545 = [
    ("FREQ=YEARLY;INTERVAL=2;BYMONTH=1;BYDAY=SU", "1997-01-05", ["1997-01-05", "1997-01-12", "1997-01-19"]),
    (
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        "1997-01-01",
        ["1997-01-01", "1997-04-10", "1997-07-19", "2000-01-01"],
    ),
    (
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "1997-09-02",
        ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13"],
    ),
    (
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1997-09-13",
        ["1997-09-13", "1997-10-11", "1997-11-08"],
    ),
    (
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "1996-11-05",
        ["1996-11-05", "2000-11-07", "2004-11-02"],
    ),
    (
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        "1997-09-04",
        ["1997-09-04", "1997-10-07", "1997-11-06"],
    ),
    (
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997-09-29",
        ["1997-09-29", "1997-10-30", "1997-11-27"],
    ),
    (
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997-08-05",
        ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"],
    ),
    (
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997-08-05",
        ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"],
    ),
    (
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        "2007-01-15",
        ["2007-01-15", "2007-01-30", "2007-02-15", "2007-03-15"],
    ),
    (
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "1997-09-22",
        ["1997-09-22", "1997-10-20", "1997-11-17", "1997-12-22"],
    ),
    ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28", ["1997-09-28", "1997-10-29", "1997-11-28"]),
    ("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", ["1997-05-19", "1998-05-18", "1999-05-17"]),
    ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12", ["1997-05-12", "1998-05-11", "1999-05-17"]),
]


@pytest.mark.parametrize(("rule", "anchor", "expected"), RFC_5545)
def test_examples_of_rfc_5545(rule: str, anchor: str, expected: list[str]) -> None:
    found = parse_rrule(rule, "09:00", anchor).expand(local_time("1990-01-01"), local_time("2010-01-01"))
    assert [f"{moment:%Y-%m-%d}" for moment in islice(found, len(expected))] == expected


def _ics(*events: str) -> bytes:
    bodies = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//EN\n{bodies}END:VCALENDAR\n".replace(
        "\n", "\r\n"
    ).encode()


def _starts(calendar: IcsCalendar, zone_name: str = "Europe/Berlin", count: int = 6) -> list[str]:
    begin, end = local_time("2026-01-01"), local_time("2027-01-01")
    found = {local for event in calendar.events for local in event.placed(zone_name).expand(begin, end)}
    return [f"{local:%m-%d %H:%M}" for local in sorted(found)][:count]


SERIES = """
UID:board@example.org
SUMMARY:Change board
DTSTART;TZID=Europe/Berlin:20260301T010000
DTEND;TZID=Europe/Berlin:20260301T040000
RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20260405T120000Z
EXDATE;TZID=Europe/Berlin:20260308T010000
RDATE;TZID=Europe/Berlin:20260310T010000
"""


def test_ics_series_with_exdate_rdate_and_a_moved_occurrence() -> None:
    moved = """
UID:board@example.org
RECURRENCE-ID;TZID=Europe/Berlin:20260315T010000
DTSTART;TZID=Europe/Berlin:20260316T030000
DURATION:PT1H
"""
    calendar = parse_ics(_ics(SERIES, moved))
    expected = ["03-01 01:00", "03-10 01:00", "03-16 03:00", "03-22 01:00", "03-29 01:00", "04-05 01:00"]
    assert _starts(calendar) == expected
    assert [event.duration for event in calendar.events] == [timedelta(hours=3), timedelta(hours=1)]


def test_ics_cancelled_and_tentative_events_are_no_windows_and_free_ones_are() -> None:
    cancelled = "UID:1\nDTSTART:20260301T010000\nDURATION:PT1H\nSTATUS:CANCELLED"
    tentative = "UID:2\nDTSTART:20260302T010000\nDURATION:PT1H\nSTATUS:TENTATIVE"
    free = "UID:3\nDTSTART:20260303T010000\nDURATION:PT1H\nTRANSP:TRANSPARENT"
    assert _starts(parse_ics(_ics(cancelled, tentative, free))) == ["03-03 01:00"]


def test_ics_a_cancelled_occurrence_does_not_happen() -> None:
    gone = """
UID:board@example.org
RECURRENCE-ID;TZID=Europe/Berlin:20260315T010000
DTSTART;TZID=Europe/Berlin:20260315T010000
DURATION:PT1H
STATUS:CANCELLED
"""
    assert "03-15 01:00" not in _starts(parse_ics(_ics(SERIES, gone)), count=20)
    assert "03-15 01:00" in _starts(parse_ics(_ics(SERIES)), count=20)


def test_ics_recurrence_id_and_exdate_in_utc_match_a_local_series() -> None:
    series = SERIES.replace("EXDATE;TZID=Europe/Berlin:20260308T010000", "EXDATE:20260308T000000Z")
    moved = "UID:board@example.org\nRECURRENCE-ID:20260405T230000Z\nDTSTART:20260315T000000Z\nDURATION:PT1H"
    assert "03-08 01:00" not in _starts(parse_ics(_ics(series)), count=20)
    assert len(parse_ics(_ics(series, moved)).events) == 2


def test_ics_floating_and_all_day_events_take_the_zone_of_the_schedule() -> None:
    floating = "UID:1\nDTSTART:20260301T010000\nDTEND:20260301T030000"
    all_day = "UID:2\nDTSTART;VALUE=DATE:20260305\nDTEND;VALUE=DATE:20260307"
    one_day = "UID:3\nDTSTART;VALUE=DATE:20260310"
    calendar = parse_ics(_ics(floating, all_day, one_day))
    assert [event.timezone for event in calendar.events] == [None, None, None]
    assert [event.duration for event in calendar.events] == [
        timedelta(hours=2),
        timedelta(days=2),
        timedelta(days=1),
    ]
    assert _starts(calendar) == ["03-01 01:00", "03-05 00:00", "03-10 00:00"]


def test_ics_zones_of_other_vendors() -> None:
    windows = "UID:1\nDTSTART;TZID=W. Europe Standard Time:20260301T010000\nDURATION:PT1H"
    prefixed = (
        "UID:2\nDTSTART;TZID=/freeassociation.sourceforge.net/Europe/Paris:20260301T010000\nDURATION:PT1H"
    )
    calendar = parse_ics(_ics(windows, prefixed))
    assert [event.timezone for event in calendar.events] == ["Europe/Berlin", "Europe/Paris"]


def test_ics_dtstart_is_the_first_occurrence_and_is_counted() -> None:
    series = "UID:1\nDTSTART:20260304T010000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3"
    assert _starts(parse_ics(_ics(series))) == ["03-04 01:00", "03-09 01:00", "03-16 01:00"]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("UID:1\nSUMMARY:x\nDTSTART:20260301T010000", "event 'x' has no length"),
        ("UID:1\nSUMMARY:x\nDURATION:PT1H", "has no DTSTART"),
        ("UID:1\nDTSTART:20260301T010000\nDURATION:-PT1H", "lasts"),
        ("UID:1\nDTSTART:20260301T010000\nDURATION:P40D", "at most 31 days"),
        ("UID:1\nDTSTART;TZID=Europe/Berln:20260301T010000\nDURATION:PT1H", "did you mean Europe/Berlin"),
        ("UID:1\nDTSTART:20260301T010000\nDURATION:PT1H\nRRULE:FREQ=HOURLY", "below a day"),
        ("UID:1\nDTSTART:20260301T010000\nDTEND:20260301T020000Z", "with and without a zone"),
        ("UID:1\nDTSTART:2026\nDURATION:PT1H", "cannot be read|no DTSTART|not an iCalendar"),
        ("UID:1\nDTSTART:20260301T010000\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20260302T010000/PT1H", "period"),
        (
            "UID:1\nDTSTART:20260301T010000\nDURATION:PT1H\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\nDTSTART:20260302T010000\nDURATION:PT1H",
            "two events",
        ),
    ],
)
def test_what_would_be_guessed_at_in_ics_is_refused(event: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_ics(_ics(event))


def test_ics_a_change_of_all_later_occurrences_is_refused() -> None:
    series = "UID:1\nDTSTART:20260222T010000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=SU"
    later = "UID:1\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260301T010000\nDTSTART:20260301T010000\nDURATION:PT1H"
    with pytest.raises(ValueError, match="RANGE is not supported"):
        parse_ics(_ics(series, later))


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"BEGIN:VCALENDAR\r\n", b"\xff\xfe", b"BEGIN:VEVENT\r\nEND:VEVENT\r\n"]
)
def test_what_is_no_calendar_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an iCalendar file"):
        parse_ics(data)


def test_ics_starts_agree_with_recurring_ical_events() -> None:
    data = _ics(
        SERIES, "UID:2\nDTSTART:20260102T030000Z\nDURATION:PT2H\nRRULE:FREQ=MONTHLY;BYDAY=1FR;COUNT=8"
    )
    tz = zone("Europe/Berlin")
    ours = sorted(
        instant(local, zone(event.timezone or "UTC"))
        for event in parse_ics(data).events
        for local in event.expand(local_time("2026-01-01"), local_time("2027-01-01"))
    )
    library = cast("Any", recurring_ical_events).of(Calendar.from_ical(data))
    expanded = library.between(datetime(2026, 1, 1, tzinfo=tz), datetime(2027, 1, 1, tzinfo=tz))
    assert ours == sorted(event["DTSTART"].dt.astimezone(UTC) for event in expanded)


SYNTAX = st.text(alphabet="MonTueSat0123456789,.-~/:*@ UTC", max_size=30)
PARTS = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYSETPOS", "BYMONTH"]),
        st.sampled_from(
            ["DAILY", "MONTHLY", "YEARLY", "0", "1", "-1", "31", "MO", "-1FR", "20270101", "x", "²"]
        ),
    ),
    max_size=6,
).map(";".join)


@examples(200)
@given(st.one_of(SYNTAX, st.text(max_size=20)), PARTS)
def test_any_text_is_read_or_refused_with_a_sentence(start: str, rule: str) -> None:
    """No text of a policy may end in another error, or in a search without end."""
    with suppress(ValueError):
        expression = parse_calendar(start)
        assert parse_calendar(normalized(expression)) == expression
        assert len(list(islice(expression.expand(NOW, FAR), 3))) <= 3
    with suppress(ValueError):
        parse_cron(start)
    with suppress(ValueError):
        assert len(list(islice(parse_rrule(rule, "22:00", "2026-01-31").expand(NOW, FAR), 3))) <= 3


@examples(150)
@given(st.data())
def test_any_calendar_is_read_or_refused_with_a_sentence(data: st.DataObject) -> None:
    text = bytearray(_ics(SERIES))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(ValueError):
        assert len(parse_ics(bytes(text)).events) <= 2


@pytest.mark.parametrize(("events", "repeating"), [(2001, 0), (101, 101)])
def test_a_calendar_of_too_many_events_is_refused(events: int, repeating: int) -> None:
    rule = "RRULE:FREQ=DAILY\n"
    text = "".join(
        f"BEGIN:VEVENT\nUID:{number}\nDTSTART:20260101T020000Z\nDURATION:PT1H\n"
        f"{rule if number < repeating else ''}END:VEVENT\n"
        for number in range(events)
    )
    with pytest.raises(ValueError, match="at most 2000, and 100 that repeat"):
        parse_ics(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{text}END:VCALENDAR\n".encode())
