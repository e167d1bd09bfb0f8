"""How much a revision may hold: told with file and line by whoever loads it, and never paid for in full."""

from pathlib import Path

import pytest

from reconciler.policy.budgets import LIMITS, SIGNER_LINES
from reconciler.policy.load import PolicyFile, Rejected, load
from reconciler.policy.overlaps import check_overlaps
from reconciler.policy.problems import MAX_PROBLEMS
from tests.policy.test_hostile import event
from tests.policy.trees import Tree, files, loaded, refused

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk"


def schedule(*entries: str, name: str = "s") -> str:
    return f"kind: Schedule\nname: {name}\ntimezone: UTC\nwindows:\n" + "".join(
        f"- {one}\n" for one in entries
    )


def calendar(*lines: str, events: int) -> str:
    """Return a calendar with so many single events."""
    one = event("DTSTART:20260101T000000Z", "DURATION:PT4H", *lines)
    head, tail = one.index("BEGIN:VEVENT"), one.index("END:VCALENDAR")
    body = "".join(one[head:tail].replace("UID:a", f"UID:{number}") for number in range(events))
    return one[:head] + body + one[tail:]


def hosts(number: int, labels: str = "") -> str:
    return "---\n".join(f"kind: Host\nname: h{one}\n{labels}" for one in range(number))


HOLD = "kind: Exception\naction: hold\nreason: r\nexpires: 2027-01-01\n"
QUOTED = "'*a', " * 150
NAMED = "kind: Policy\nname: a\nschedule: "
NIGHTLY = '{start: "02:00", duration: 3h}'
MINUTELY = "{start: minutely, duration: 24h}"
COUNTED = '{{rrule: "FREQ=DAILY;COUNT=100000;INTERVAL={}", from: 1970-01-01, at: "02:00", duration: 3h}}'
RULE = '{rrule: "FREQ=MONTHLY;BYDAY=2TU", at: "02:00", duration: 3h}'
ICS = "{ics: calendars/c.ics}"

TOO_MUCH: dict[str, tuple[Tree, str]] = {
    "documents": (
        {f"hosts/{name}.yaml": hosts(5001).replace("name: h", f"name: {name}") for name in "ab"},
        "hosts/b.yaml:14998: is too much: all files together may have 10,000 documents",
    ),
    "values": (
        {f"exceptions/{name}.yaml": f"kind: Exception\npackages: [{'a, ' * 25_000}a]\n" for name in "abc"},
        "exceptions/c.yaml:1: is too much: all files together may have 60,000 values in documents",
    ),
    "bytes": (
        {f"hosts/{name}.yaml": "#" * 250_000 for name in "abcdefghijklmnopqr"},
        "hosts/q.yaml:1: is too much: all files together may have 4,194,304 bytes of documents",
    ),
    "calendar bytes": (
        {f"calendars/{name}.ics": "x" * 600_000 for name in "ab"},
        "calendars/b.ics:1: is too much: all files together may have 1,048,576 bytes of calendars",
    ),
    "calendar lines": (
        {"calendars/c.ics": "BEGIN:VCALENDAR\n" + "A:b\n" * 20_000 + "END:VCALENDAR\n"},
        "calendars/c.ics:1: is too much: all files together may have 20,000 lines of calendars",
    ),
    "windows": (
        {f"schedules/{one:02}.yaml": schedule(*[NIGHTLY] * 100, name=f"s{one}") for one in range(21)},
        "schedules/20.yaml:5: windows[0]: is too much: all files together may have 2,000 windows",
    ),
    "events": (
        {"calendars/c.ics": calendar(events=300), "schedules/s.yaml": schedule(*[ICS] * 7)},
        "schedules/s.yaml:11: windows[6]: is too much: all files together may have 2,000 windows",
    ),
    "single dates": (
        {
            "calendars/c.ics": event(
                "DTSTART:20260101T000000Z", "DURATION:P1D", f"RDATE:{'20260102T000000Z,' * 3000}20260103"
            ),
            "schedules/s.yaml": schedule(ICS),
        },
        "schedules/s.yaml:5: windows[0]: is too much: all files together may have 2,000 windows",
    ),
    "rules": (
        {f"schedules/{name}.yaml": schedule(*[RULE] * 60, name=name) for name in "ab"},
        "schedules/b.yaml:45: windows[40]: is too much: all files together may have 100 recurrence rules",
    ),
    "rules of calendars": (
        {
            "calendars/c.ics": calendar("RRULE:FREQ=DAILY", events=60),
            "schedules/s.yaml": schedule(ICS, NIGHTLY, ICS),
        },
        "schedules/s.yaml:7: windows[2]: is too much: all files together may have 100 recurrence rules",
    ),
    "counted years": (
        {"schedules/s.yaml": schedule(*(COUNTED.format(one) for one in (1, 2, 3)))},
        "schedules/s.yaml:6: windows[1]: is too much: all files together may have 250 years",
    ),
    "occurrences": (
        {f"schedules/{name}.yaml": schedule(MINUTELY, MINUTELY, name=name) for name in "ab"},
        "schedules/b.yaml:6: windows[1]: is too much: all files together may have 5,000 starts of windows",
    ),
    "one window": (
        {"schedules/s.yaml": schedule('{cron: "* * * * *", duration: 31d}')},
        "schedules/s.yaml:5: windows[0]: it starts 44640 times within 31 days, more than 5000",
    ),
    "patterns of match": (
        {
            f"exceptions/{name}.yaml": f"{HOLD}name: {name}\npackages: a\nmatch: {{os: [{'a*, ' * 999}a*]}}\n"
            for name in "abc"
        },
        "exceptions/c.yaml:1: is too much: all files together may have 2,000 patterns",
    ),
    "patterns of packages": (
        {
            f"exceptions/{name}.yaml": f"{HOLD}name: {name}\npackages: [{QUOTED}a]\n"
            for name in "ab"
        },
        "exceptions/b.yaml:1: is too much: all files together may have 200 patterns",
    ),
    "a long pattern": (
        {"exceptions/a.yaml": f"{HOLD}name: a\npackages: a\nmatch: {{name: '{'*a' * 200}'}}\n"},
        "exceptions/a.yaml:7: match.name: ",
    ),
    "signers": (
        {"trust/allowed_signers": "x y\n" * 1_000_000},
        "trust/allowed_signers:1: is too much: all files together may have 10,000 lines of allowed_signers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MUCH)
def test_more_than_a_revision_may_hold_is_told_where_it_is_reached(name: str) -> None:
    tree, told = TOO_MUCH[name]
    problems = refused(tree)

    assert any(problem.startswith(told) for problem in problems), problems[:3]


def test_what_a_revision_may_hold_is_no_less_than_a_fleet_needs() -> None:
    labels = "labels: {env: production, role: web, site: fra}\n"
    tree = {
        **{
            f"hosts/{name}.yaml": hosts(1000, labels).replace("name: h", f"name: {name}")
            for name in "abcdefgh"
        },
        **{f"schedules/{one}.yaml": schedule(NIGHTLY, RULE, name=f"s{one}") for one in range(100)},
        "calendars/board.ics": calendar("DESCRIPTION:change", "LOCATION:room", events=1000),
        "schedules/board.yaml": schedule("{ics: calendars/board.ics}", name="board"),
        "schedules/always.yaml": schedule(MINUTELY, name="always"),
        "trust/allowed_signers": f"a@example.org {KEY}\n" * SIGNER_LINES.most,
        "policies/p.yaml": "kind: Policy\nname: p\nschedule: [always]\n",
    }

    assert len(loaded(tree).hosts) == 8000


MISTAKES: dict[str, Tree] = {
    "keys": {"policies/a.yaml": "kind: Policy\nname: a\n" + "".join(f"k{one}: 1\n" for one in range(20_000))},
    "entries": {"policies/a.yaml": f"kind: Policy\nname: a\nnotify: [{'x, ' * 50_000}x]\n"},
    "tags": {"policies/a.yaml": f"kind: Policy\nname: a\nallow_removals: [{'!a b, ' * 30_000}x]\n"},
    "anchors": {"policies/a.yaml": f"a: [{'&a b, ' * 30_000}x]\n"},
    "nothing": {"policies/a.yaml": f"kind: Policy\nname: a\nhealth: [{'~, ' * 50_000}x]\n"},
    "documents": {f"hosts/{name}.yaml": "---\n".join(["kind: Host\n"] * 4000) for name in "ab"},
    "signers": {"trust/allowed_signers": "x y\n" * 9000},
    "schedules": {
        "policies/a.yaml": f"{NAMED}[{', '.join(f's{one}' for one in range(9000))}]\n",
        **{f"schedules/{one}.yaml": schedule(NIGHTLY, name=f"night-{one}") for one in range(500)},
    },
    "files": {f"policies/{one}.yml": "" for one in range(9000)},
    "folders": {f"policies/a/{one}.yaml": "" for one in range(9000)},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_no_more_mistakes_are_told_than_anybody_reads(name: str) -> None:
    found = load(files(MISTAKES[name]))

    assert isinstance(found, Rejected)
    assert len(found.problems) <= MAX_PROBLEMS + 1
    told = [str(problem) for problem in found.problems if "is not told, since there are" in problem.message]
    assert len(told) == 1


def test_a_file_that_was_not_read_since_it_is_too_large_is_refused() -> None:
    found = load([PolicyFile("policies/p.yaml", "100644", b"", unread=5_000_000)])

    assert isinstance(found, Rejected)
    assert [str(problem) for problem in found.problems] == [
        (
            "policies/p.yaml:1: has 5,000,000 bytes and is not read: it, or all files together, are too large"
            " (keep only policy documents in that repository)"
        )
    ]


def test_every_limit_is_described() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/policy-repository.md").read_text(encoding="utf-8")
    for limit in LIMITS:
        assert f"| {limit.most:,} |" in page, limit


def test_so_many_policies_of_one_priority_that_not_all_pairs_are_compared_are_warned_about() -> None:
    policies = "---\n".join(f"kind: Policy\nname: p{number}\nupdates: all\n" for number in range(1000))
    problems, warnings = check_overlaps(loaded({"policies/p.yaml": policies}))

    assert problems == ()
    assert len(warnings) == 1
    assert "were not compared with all policies of their priority" in str(warnings[0])


def test_no_more_overlaps_are_told_than_anybody_reads() -> None:
    policies = "---\n".join(
        f"kind: Policy\nname: p{number}\nupdates: {('all', 'none')[number % 2]}\n" for number in range(200)
    )
    problems, warnings = check_overlaps(loaded({"policies/p.yaml": policies}))

    assert (len(problems), len(warnings)) == (0, MAX_PROBLEMS + 1)
