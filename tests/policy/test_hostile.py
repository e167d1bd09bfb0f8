"""Whatever a policy repository holds: a sentence with its place, or a policy that can be computed with."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from reconciler.policy import windows
from reconciler.policy.load import PolicyFile, Rejected, Revision, is_met, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import resolve
from reconciler.policy.zones import end_instant, instant, shifted, start_instant, zone
from tests.policy.trees import MIDNIGHT, Tree, files, loaded, refused

HOST = HostFacts("web-01", {}, "debian", "12", "apt")
POLICY = "kind: Policy\nname: p\nschedule: s\n"
EXCEPTION = "kind: Exception\nname: a\npackages: a\naction: hold\nreason: r\nexpires: 2026-01-01\n"
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
BOARD = "kind: Schedule\nname: s\ntimezone: America/New_York\nwindows: [{ics: calendars/c.ics}]\n"


def event(*lines: str) -> str:
    """Return a calendar with one event that has these lines beside its UID."""
    body = "".join(f"{line}\r\n" for line in ("BEGIN:VEVENT", "UID:a", *lines, "END:VEVENT"))
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{body}END:VCALENDAR\r\n"


def ask(revision: Revision, now: datetime) -> None:
    """Ask all that a tick asks about windows at ``now``."""
    effective = resolve(revision, HOST)
    schedules, freezes = effective.schedules, effective.frozen
    budget = timedelta(minutes=30)
    windows.next_opening(schedules, now, budget, freezes, splay_key="web-01")
    windows.next_transition(schedules, freezes, now, budget=budget, splay_key="web-01")
    windows.is_open(schedules, now)
    for one in islice(windows.occurrences(schedules, shifted(now, -timedelta(days=92)), LAST), 100):
        windows.blocked_by(one, freezes, budget=budget)


LONG_ZONE = "/".join(["A"] * 3000)
DIGITS = "1" * 10_000


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (
            "schedules/a.yaml",
            f"kind: Schedule\nname: a\ntimezone: {LONG_ZONE}\nwindows: [{{start: '2:00', duration: 3h}}]\n",
            "schedules/a.yaml:3: timezone: unknown time zone 'A/A/",
        ),
        (
            "freezes/a.yaml",
            f"kind: Freeze\nname: a\nfrom: 2026-01-01\nuntil: 2026-01-02\nreason: r\ntimezone: {LONG_ZONE}\n",
            "freezes/a.yaml:6: timezone: unknown time zone 'A/A/",
        ),
        (
            "exceptions/a.yaml",
            f"{EXCEPTION}timezone: {LONG_ZONE}\n",
            "exceptions/a.yaml:7: timezone: unknown time zone 'A/A/",
        ),
        (
            "schedules/a.yaml",
            MIDNIGHT.replace("02:00", f"02:00 {LONG_ZONE}"),
            "schedules/a.yaml:5: windows[0].start: unknown time zone 'A/A/",
        ),
        (
            "patchledger.yaml",
            f'requires: ">={DIGITS}"\n',
            'patchledger.yaml:1: requires: ">=1111',
        ),
        (
            "calendars/c.ics",
            event("DTSTART:20260101T000000Z", "DTSTART:20260101T000000Z"),
            "more than one DTSTART",
        ),
        (
            "calendars/c.ics",
            event("DTSTART:20260101T000000Z", "DTEND:20260101T010000Z", "DTEND:20260101T010000Z"),
            "more than one DTEND",
        ),
        (
            "calendars/c.ics",
            event("DTSTART:20260101T000000Z", "DURATION:PT1H", "DURATION:PT2H"),
            "more than one DURATION",
        ),
        (
            "calendars/c.ics",
            event("DTSTART:20260101T000000Z", "DURATION:PT1H", "STATUS:CONFIRMED", "STATUS:CANCELLED"),
            "more than one STATUS",
        ),
        (
            "calendars/c.ics",
            event("DTSTART;VALUE=PERIOD:20260101T230000Z/PT1H", "DURATION:PT1H"),
            "neither a date nor a time",
        ),
        (
            "calendars/c.ics",
            event("DTSTART;TZID=Asia/Tokyo:00010101T000000", "DTEND;TZID=Asia/Tokyo:00010101T010000"),
            "the year 1 lies outside 1600 to 9000",
        ),
        (
            "calendars/c.ics",
            event("DTSTART;TZID=Asia/Tokyo:99991231T230000", "DTEND;TZID=UTC:99991231T235959"),
            "the year 9999 lies outside 1600 to 9000",
        ),
        (
            "calendars/c.ics",
            event(f"DTSTART;TZID={LONG_ZONE}:20260101T000000", "DURATION:PT1H"),
            "not an iCalendar file that can be understood: it is nested too deep",
        ),
        (
            "calendars/c.ics",
            event(
                "DTSTART:20260101T000000Z",
                "DURATION:PT4H",
                "RECURRENCE-ID:20260101T000000Z",
                "RECURRENCE-ID:x",
            ),
            "calendars/c.ics:1: ",
        ),
    ],
)
def test_what_a_foreign_parser_cannot_read_is_a_problem_of_its_file(path: str, text: str, told: str) -> None:
    problems = refused({path: text})

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}:")
    assert told in problems[0]
    assert len(problems[0]) < 1200


def test_a_number_of_any_length_is_compared_or_refused() -> None:
    assert not is_met(f">={'1' * 9}", "1.0")
    assert refused({"patchledger.yaml": f'requires: "<{DIGITS}"\n'})


EDGES: dict[str, Tree] = {
    "until-for-ever": {
        "calendars/c.ics": event(
            "DTSTART;TZID=Asia/Tokyo:20260101T230000",
            "DURATION:PT5H",
            "RRULE:FREQ=DAILY;UNTIL=99991231T235959Z",
        )
    },
    "until-before-all": {
        "calendars/c.ics": event(
            "DTSTART;TZID=America/New_York:20260101T230000",
            "DURATION:PT5H",
            "RRULE:FREQ=DAILY;UNTIL=00010101T000000Z",
        )
    },
    "old-anchor": {
        "calendars/c.ics": event("DTSTART:16010101T000000", "DURATION:PT5H", "RRULE:FREQ=WEEKLY;WKST=SU")
    },
    "last-year": {"calendars/c.ics": event("DTSTART;TZID=Asia/Tokyo:90001231T230000", "DURATION:PT5H")},
    "moved": {
        "calendars/c.ics": event(
            "DTSTART;TZID=Asia/Tokyo:90000101T230000",
            "DURATION:PT5H",
            "RRULE:FREQ=YEARLY;COUNT=100000",
            "EXDATE:90000101T140000Z",
            "RDATE:20260101T140000Z",
        )
    },
    "rrule": {
        "schedules/s.yaml": "kind: Schedule\nname: s\ntimezone: Pacific/Kiritimati\nwindows:\n"
        '- {rrule: FREQ=DAILY;UNTIL=99991231T235959Z, at: "00:00", offset: 366d, duration: 31d}\n'
        '- {rrule: FREQ=DAILY;UNTIL=00010101T000000Z, at: "23:59", duration: 31d}\n'
        '- {rrule: FREQ=YEARLY;INTERVAL=1000, from: 9000-12-31, at: "23:59", duration: 31d}\n'
        '- {start: "2199-12-31 23:59:59.999999", duration: 31d}\n'
        '- {cron: "0 0 29 2 *", duration: 31d}\n'
    },
    "freeze": {
        "schedules/s.yaml": MIDNIGHT.replace("night", "s"),
        "freezes/f.yaml": "kind: Freeze\nname: f\nfrom: 1970-01-01\nuntil: 9000-12-31\n"
        "timezone: Pacific/Kiritimati\nreason: r\n",
    },
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize(
    "now", [FIRST, datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC), LAST], ids=str
)
def test_what_is_accepted_can_be_computed_with_at_any_instant(name: str, now: datetime) -> None:
    tree = {"policies/p.yaml": POLICY, "schedules/s.yaml": BOARD, **EDGES[name]}

    ask(loaded(tree), now)


def test_until_at_the_edge_of_the_calendar_means_for_ever_and_never() -> None:
    def opening(name: str) -> windows.Opening | None:
        revision = loaded({"policies/p.yaml": POLICY, "schedules/s.yaml": BOARD, **EDGES[name]})
        now = datetime(2026, 11, 28, tzinfo=UTC)
        return windows.next_opening(resolve(revision, HOST).schedules, now, timedelta(hours=1))

    forever = opening("until-for-ever")
    assert forever is not None
    assert forever.occurrence.start == datetime(2026, 11, 28, 14, tzinfo=UTC)
    assert opening("until-before-all") is None


def test_instants_end_where_the_calendar_does() -> None:
    far = timedelta(days=900_000)
    assert shifted(LAST, far) == LAST
    assert shifted(FIRST, -far) == FIRST
    for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"):
        for moment in (
            FIRST,
            LAST,
            FIRST.date(),
            LAST.date(),
            FIRST.replace(tzinfo=None),
            LAST.replace(tzinfo=None),
        ):
            start, end = start_instant(moment, zone(name)), end_instant(moment, zone(name))
            assert start.tzinfo is UTC
            assert start <= end
        assert instant(LAST.replace(tzinfo=None), zone(name)).tzinfo is UTC


def test_whatever_else_a_parser_raises_is_a_problem_of_the_file_too() -> None:
    unreadable: Any = None  # No parser is written for that.
    found = load(
        [
            *files({"policies/a.yaml": "kind: Policy\nname: p\n"}),
            PolicyFile("trust/x", "100644", unreadable),
            PolicyFile("policies/b.yaml", "100644", unreadable),
        ]
    )

    assert isinstance(found, Rejected)
    assert [problem.file for problem in found.problems] == ["policies/b.yaml", "trust/x"]
    assert str(found.problems[0]).startswith(
        "policies/b.yaml:1: cannot be understood: something in it is of an unknown form"
    )
