"""Whatever a policy repository holds is a policy that can be computed with, or problems with their places.

Files of the examples and of attacks are changed line by line and byte by byte, by a random sequence that a
seed gives: the examples are the same on every machine. What loads is asked all that a tick asks.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.gitops.revision import read_folder
from reconciler.policy.icalendarfile import parse_ics
from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load
from reconciler.policy.placement import is_read
from reconciler.policy.windows import (
    Schedule,
    Window,
    calendar_window,
    cron_window,
    next_opening,
    rrule_window,
)
from tests.policy.test_budgets import KEY
from tests.policy.test_hostile import EDGES, ask, event
from tests.policy.trees import files

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
HOUR = timedelta(hours=1)
NOWS = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 11, 28, 12, tzinfo=UTC),
    datetime(9999, 12, 31, 23, tzinfo=UTC),
)
PIECES = (
    "\t", " ", "  ", "\n", "\r", "\0", "\x85", "\u2028", "\ufeff", "é", "²", "٣", "- ", ": ", "? ", "---\n",
    "...", "&a ", "*a", "!x ", "<<: ", "[", "]", "{", "}", "'", '"', "|", ">", "%", "@", "`", "~", "null",
    "no", "0x1f", ".inf", ".nan", "1e999", "9" * 5000, "-1", "0", "1", "9", "31", "366", "100000",
    "9999-12-31", "0001-01-01", "1970-01-01", "2026-02-30", "24:00", "9999w", "A/" * 500,
    "../../etc/passwd", "Europe/Berlin", "UTC", "Mars", "minutely", "* * * * *", "*:*:*", "*-*~31/1",
    "@99999999999", "02-30", ";COUNT=100000", ";INTERVAL=1000", ";", ";UNTIL=99991231T235959Z",
    ";UNTIL=00010101", ";BYSETPOS=-366", ";BYWEEKNO=53;BYDAY=MO", "FREQ=YEARLY", "=", "BEGIN:VEVENT\n",
    "END:VEVENT\n", "BEGIN:VALARM\n", "DTSTART:20260101T000000Z\n", "DTEND:99991231\n", "RDATE:x\n",
    "DURATION:P31D\n", "DURATION:-P1W\n", "RRULE:FREQ=DAILY\n", "EXDATE;VALUE=DATE:20260101\n",
    "STATUS:CANCELLED\n", "RECURRENCE-ID;RANGE=THISANDFUTURE:20260101T000000Z\n", ";TZID=Asia/Tokyo",
    ";VALUE=PERIOD", ":", "UID:a\n", "kind: Freeze\n", "kind: Policy\n", "name: a\n", "requires: '>=99'\n",
    "ssh-ed25519 AAAA", "*?[a-", "[!]",
)  # fmt: skip

Change = Callable[[random.Random, list[str]], None]


def _drop(chance: random.Random, parts: list[str]) -> None:
    del parts[chance.randrange(len(parts))]


def _repeat(chance: random.Random, parts: list[str]) -> None:
    parts.insert(chance.randrange(len(parts)), chance.choice(parts))


def _cut(chance: random.Random, parts: list[str]) -> None:
    at = chance.randrange(len(parts))
    parts[at] = parts[at][: chance.randrange(len(parts[at]) + 1)]


def _insert(chance: random.Random, parts: list[str]) -> None:
    at = chance.randrange(len(parts))
    where = chance.randrange(len(parts[at]) + 1)
    parts[at] = parts[at][:where] + chance.choice(PIECES) + parts[at][where:]


def _replace(chance: random.Random, parts: list[str]) -> None:
    """Write a piece in the place of a value."""
    at = chance.randrange(len(parts))
    head, colon, _ = parts[at].partition(":")
    parts[at] = f"{head}{colon} {chance.choice(PIECES)}\n"


CHANGES: tuple[Change, ...] = (_drop, _repeat, _cut, _insert, _insert, _replace)


def changed(text: str, chance: random.Random) -> str:
    """Return a text after one to three changes."""
    parts = text.splitlines(keepends=True) or [""]
    for _ in range(chance.randint(1, 3)):
        if parts:
            chance.choice(CHANGES)(chance, parts)
    return "".join(parts)


def bits(data: bytes, chance: random.Random) -> bytes:
    """Return bytes of which some are others."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if found:
            found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


def _trees() -> dict[str, list[PolicyFile]]:
    read = {
        path.name: [file for file in read_folder(path) if is_read(file.path)]
        for path in sorted(EXAMPLES.iterdir())
    }
    policy = {"policies/p.yaml": "kind: Policy\nname: p\nschedule: s\n"}
    board = {
        "schedules/s.yaml": "kind: Schedule\nname: s\ntimezone: UTC\nwindows: [{ics: calendars/c.ics}]\n"
    }
    series = event(
        "DTSTART;TZID=Europe/Berlin:20260101T220000",
        "DURATION:PT4H",
        "RRULE:FREQ=MONTHLY;BYDAY=2TU",
        "EXDATE;TZID=Europe/Berlin:20260203T220000",
        "RDATE:20260301T210000Z",
    )
    trust = {
        "trust/allowed_signers": f"a@example.org {KEY}\n",
        "patchledger.yaml": 'requires: ">=0.1, !=0.0.1"\n',
        "README.md": "x\n",
        "docs/x.yaml": "kind: Policy\n",
    }
    made = {name: {**policy, **board, **tree} for name, tree in EDGES.items()}
    made["series"] = {**policy, **board, "calendars/c.ics": series}
    made["trust"] = {**policy, **board, "calendars/c.ics": series, **trust}
    return {**read, **{name: files(tree) for name, tree in made.items()}}


TREES = _trees()


def judge(tree: list[PolicyFile], now: datetime) -> None:
    """Load a tree, ask what loads all that a tick asks, and look at what does not."""
    match load(tree, "c" * 40):
        case Revision() as revision:
            ask(revision, now)
        case Rejected(problems):
            assert problems
            assert all(problem.line > 0 and len(str(problem)) < 1200 for problem in problems)
        case NeedsUpgrade(requires=requires):
            assert requires


@pytest.mark.parametrize("name", TREES)
def test_any_policy_repository_is_a_policy_or_problems(name: str) -> None:
    tree = TREES[name]
    judge(tree, NOWS[1])
    for seed in range(40):
        chance = random.Random(f"{name} {seed}")
        at = chance.randrange(len(tree))
        file = tree[at]
        data = (
            bits(file.data, chance)
            if chance.random() < 0.2
            else changed(file.data.decode("utf-8", "replace"), chance).encode("utf-8", "replace")
        )
        path = changed(file.path, chance) if chance.random() < 0.1 else file.path
        other = PolicyFile(path, chance.choice(("100644", "100644", "100755", "120000")), data)
        judge([*tree[:at], other, *tree[at + 1 :]], chance.choice(NOWS))


STARTS = (
    "Sun 02:00",
    "Mon..Fri,Sun *-*~03/1 22:00/15:30",
    "2026,2028-02/2-29 0/6:00 Europe/Berlin",
    "@1790000000",
)
CRONS = ("0 22 * * 6", "*/5 1-3 L * MON#2", "0 0 29 2 *")
RULES = (
    "FREQ=MONTHLY;BYDAY=2TU;COUNT=12",
    "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO;BYYEARDAY=-3;UNTIL=20301231",
    "FREQ=DAILY;INTERVAL=3;BYSETPOS=-1;BYMONTHDAY=-1;WKST=SU",
)


def _window(chance: random.Random, kind: str, text: str) -> Window:
    zone = chance.choice(("UTC", "Europe/Berlin", "Pacific/Apia"))
    length = chance.choice((timedelta(minutes=1), HOUR, timedelta(days=31)))
    match kind:
        case "start":
            return calendar_window(text, length, zone)
        case "cron":
            return cron_window(text, length, zone)
        case _:
            anchor = chance.choice(("1970-01-01", "2026-01-05", "9000-12-31"))
            return rrule_window(
                text, "23:59", length, zone, from_=anchor, offset=chance.choice((HOUR, -HOUR))
            )


@pytest.mark.parametrize(("kind", "texts"), [("start", STARTS), ("cron", CRONS), ("rrule", RULES)])
def test_any_expression_is_a_window_or_refused(kind: str, texts: tuple[str, ...]) -> None:
    refused = 0
    for seed in range(300):
        chance = random.Random(f"{kind} {seed}")
        text = changed(chance.choice(texts), chance)
        try:
            window = _window(chance, kind, text)
        except ValueError:
            refused += 1
        else:
            next_opening([Schedule("s", (window,))], chance.choice(NOWS))
    assert 0 < refused < 300


def test_any_calendar_is_read_or_refused() -> None:
    refused = 0
    text = event(
        "DTSTART;TZID=Europe/Berlin:20260101T220000",
        "DTEND:20260102T020000Z",
        "RRULE:FREQ=WEEKLY",
        "EXDATE;TZID=Europe/Berlin:20260108T220000",
        "RDATE;VALUE=DATE:20260301",
        "STATUS:CONFIRMED",
    )
    for seed in range(1000):
        chance = random.Random(seed)
        data = (
            bits(text.encode(), chance) if seed % 5 == 0 else changed(text, chance).encode("utf-8", "replace")
        )
        try:
            parse_ics(data)
        except ValueError:
            refused += 1
    assert 0 < refused < 1000
