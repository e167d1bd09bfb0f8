"""Our OnCalendar reader against systemd's own: what it accepts, how it normalizes, when it elapses.

Starts inside a gap or in a repeated hour are left out, since windows have their own rule for those. Each call
of ``systemd-analyze`` takes a batch of expressions, since starting it costs more than answering.
"""

import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from reconciler.policy.calendar import CalendarExpression, parse_calendar
from reconciler.policy.zones import instant, zone
from tests.policy.systemd_form import normalized

pytestmark = pytest.mark.lab

_BATCH = 60
_ITERATIONS = 4
_LAST_YEARS_END = datetime(2200, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")


@dataclass(frozen=True)
class Elapses:
    normalized: str
    times: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    pass


@dataclass(frozen=True)
class Unanswered:
    """systemd read it but could not say when: its search gives up at some clock changes (EDEADLK)."""


Answer = Elapses | Refused | Unanswered


def _ask(expressions: Sequence[str], base: datetime, iterations: int = _ITERATIONS) -> dict[str, Answer]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is not installed: these tests need it (Debian package systemd)")
    answers: dict[str, Answer] = {}
    for begin in range(0, len(expressions), _BATCH):
        batch = expressions[begin : begin + _BATCH]
        when = f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC"
        done = subprocess.run(
            ["systemd-analyze", "calendar", f"--iterations={iterations}", when, "--", *batch],
            capture_output=True,
            text=True,
            check=False,
            env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
        answers |= dict.fromkeys(batch, Unanswered())
        for line in done.stderr.splitlines():
            if line.startswith("Failed to parse calendar specification '"):
                answers[line.partition("'")[2].rpartition("'")[0]] = Refused()
        for block in done.stdout.split("\n\n"):
            answers |= _read_block(block)
    return answers


def _read_block(block: str) -> dict[str, Answer]:
    original, normalized, times = "", "", []
    for line in block.splitlines():
        label, _, value = line.partition(": ")
        match label.strip().split(" ")[0]:
            case "Original":
                original = value
            case "Normalized":
                normalized = value
            case "Next" | "Iter." | "Iteration" if value != "never":
                times.append(value)
    return {original or normalized: Elapses(normalized, tuple(times))} if normalized else {}


def _ours(expression: CalendarExpression, base: datetime, count: int = _ITERATIONS) -> tuple[str, ...]:
    tz = zone(expression.timezone or "UTC")
    begin = base.astimezone(tz).replace(tzinfo=None)
    instants = (instant(local, tz) for local in expression.expand(begin, _LAST_YEARS_END))
    return tuple(
        f"{each:%a %Y-%m-%d %H:%M:%S} UTC" for each in islice((i for i in instants if i > base), count)
    )


def _touches_a_change(expression: CalendarExpression, base: datetime, answer: Elapses) -> bool:
    """Tell whether a clock change lies so near that the two rules may differ."""
    tz = zone(expression.timezone or "UTC")
    moments = [base] + [
        datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        for text in (*answer.times, *_ours(expression, base))
    ]
    return any(
        (moment - timedelta(days=1)).astimezone(tz).utcoffset()
        != (moment + timedelta(days=1)).astimezone(tz).utcoffset()
        for moment in moments
    )


class Generator:
    """Makes expressions as people and their typing errors make them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def expression(self) -> str:
        chance = self._random.random
        parts = []
        if chance() < 0.4:
            parts.append(self._weekdays())
        if chance() < 0.6:
            parts.append(self._date())
        if chance() < 0.8 or not parts:
            parts.append(self._time())
        if chance() < 0.03:
            parts = [
                self._random.choice(
                    ("minutely", "Hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
                )
            ]
        text = " ".join(parts)
        if chance() < 0.1:
            at = self._random.randrange(len(text))
            text = text[:at] + self._random.choice(",-:~/* .x0") + text[at + self._random.choice((0, 1)) :]
        # Of the zones that every system has: some keep the old names, such as CET, in a package of their own.
        return text + (" " + self._random.choice((*_ZONES, "utc")) if chance() < 0.4 else "")

    def _weekdays(self) -> str:
        names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "monday", "FRIDAY", "Wednesday")
        choose = self._random.choice
        items = [
            choose(names) + (choose(("..", "..", "-")) + choose(names) if self._random.random() < 0.4 else "")
            for _ in range(choose((1, 1, 2, 3)))
        ]
        return ",".join(items) + ("," if self._random.random() < 0.05 else "")

    def _date(self) -> str:
        choose = self._random.choice
        year = choose(("", "", "*-", "*-", "2026..2030-", "26-", "2028/4-", "27,29-", "70-", "2025-"))
        separator = choose("---~")
        day = self._chain(1, 28 if separator == "~" else 31, star=0.25)
        return f"{year}{self._chain(1, 12)}{separator}{day}"

    def _time(self) -> str:
        text = f"{self._chain(0, 23)}:{self._chain(0, 59, star=0.1)}"
        return text + (
            f":{self._chain(0, 59, star=0.1, fraction=True)}" if self._random.random() < 0.4 else ""
        )

    def _chain(self, low: int, high: int, *, star: float = 0.3, fraction: bool = False) -> str:
        if self._random.random() < star:
            return "*"
        count = self._random.choice((1, 1, 1, 2, 3))
        return ",".join(self._item(low, high, fraction=fraction) for _ in range(count))

    def _item(self, low: int, high: int, *, fraction: bool) -> str:
        first, second = sorted(self._random.randint(low, high) for _ in range(2))
        if self._random.random() < 0.02:
            first, second = second, first + self._random.randint(0, 40)
        match self._random.choice("vvvvrrss/"):
            case "v":
                tail = (
                    f".{self._random.randint(0, 99_999_999)}"
                    if fraction and self._random.random() < 0.4
                    else ""
                )
                return f"{first:02}{tail}"
            case "r":
                return f"{first}..{second}"
            case "s":
                return f"{first}/{self._step(first, high)}"
            case _:
                return f"{first}..{second}/{self._random.randint(1, 5)}"

    def _step(self, first: int, high: int) -> int:
        # Minutes and seconds whose repetition does not end with the hour: see test_uneven_repetition.
        steps = range(1, max(2, (high - first) // 2 + 1))
        even = [step for step in steps if high != 59 or (60 - first) % step == 0]
        return self._random.choice(even or [1])


@pytest.mark.parametrize("seed", range(10))
def test_generated_expressions_agree_with_systemd(seed: int) -> None:
    generator = Generator(seed)
    expressions = list(dict.fromkeys(generator.expression() for _ in range(300)))
    clock = random.Random(seed)
    base = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=clock.randrange(3 * 365 * 24 * 60))
    answers = _ask(expressions, base)
    compared = 0
    for text in expressions:
        match answers[text]:
            case Refused():
                with pytest.raises(ValueError, match=r"."):
                    parse_calendar(text)
            case Elapses(theirs, times) as answer:
                expression = parse_calendar(text)
                assert normalized(expression) == theirs, text
                assert parse_calendar(theirs) == expression, text
                if not _touches_a_change(expression, base, answer):
                    assert _ours(expression, base) == times, (text, base)
                    compared += 1
            case Unanswered():
                parse_calendar(text)
    # If the generator made nonsense only, agreement would mean nothing.
    assert compared > 80


MANUAL_PAGE = {
    "Sat,Thu,Mon..Wed,Sat..Sun": "Mon..Thu,Sat,Sun *-*-* 00:00:00",
    "Mon,Sun 12-*-* 2,1:23": "Mon,Sun 2012-*-* 01,02:23:00",
    "Wed *-1": "Wed *-*-01 00:00:00",
    "Wed..Wed,Wed *-1": "Wed *-*-01 00:00:00",
    "Wed, 17:48": "Wed *-*-* 17:48:00",
    "Wed..Sat,Tue 12-10-15 1:2:3": "Tue..Sat 2012-10-15 01:02:03",
    "*-*-7 0:0:0": "*-*-07 00:00:00",
    "10-15": "*-10-15 00:00:00",
    "monday *-12-* 17:00": "Mon *-12-* 17:00:00",
    "Mon,Fri *-*-3,1,2 *:30:45": "Mon,Fri *-*-01,02,03 *:30:45",
    "12,14,13,12:20,10,30": "*-*-* 12,13,14:10,20,30:00",
    "12..14:10,20,30": "*-*-* 12..14:10,20,30:00",
    "mon,fri *-1/2-1,3 *:30:45": "Mon,Fri *-01/2-01,03 *:30:45",
    "03-05 08:05:40": "*-03-05 08:05:40",
    "08:05:40": "*-*-* 08:05:40",
    "05:40": "*-*-* 05:40:00",
    "Sat,Sun 12-05 08:05:40": "Sat,Sun *-12-05 08:05:40",
    "Sat,Sun 08:05:40": "Sat,Sun *-*-* 08:05:40",
    "2003-03-05 05:40": "2003-03-05 05:40:00",
    "05:40:23.4200004/3.1700005": "*-*-* 05:40:23.420000/3.170001",
    "2003-02..04-05": "2003-02..04-05 00:00:00",
    "2003-03-05 05:40 UTC": "2003-03-05 05:40:00 UTC",
    "2003-03-05": "2003-03-05 00:00:00",
    "03-05": "*-03-05 00:00:00",
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "daily UTC": "*-*-* 00:00:00 UTC",
    "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "weekly Pacific/Auckland": "Mon *-*-* 00:00:00 Pacific/Auckland",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "*:2/3": "*-*-* *:02/3:00",
    "Thu,Fri 2012-*-1,5 11:12:13": "Thu,Fri 2012-*-01,05 11:12:13",
    "*-02~03": "*-02~03 00:00:00",
    "Mon *-05~07/1": "Mon *-05~07/1 00:00:00",
    "Mon-Fri 10:00": "Mon..Fri *-*-* 10:00:00",
    "@5000": "1970-01-01 01:23:20 UTC",
    "*-*~*": "*-*-* 00:00:00",
    "*:5..30/10": "*-*-* *:05..25/10:00",
    "*:*:0.5..3": "*-*-* *:*:00.500000..02.500000",
    "Mon..Sun": "*-*-* 00:00:00",
    "69-1-1": "2069-01-01 00:00:00",
    "70-1-1": "1970-01-01 00:00:00",
    "2026-01-01 ": "2026-01-01 00:00:00",
    "10:00:00.9999999": "*-*-* 10:00:01",
}
"""The examples of systemd.time(7), and the corners that the generator seldom finds."""

REFUSED = (
    "", " ", "Sat..Mon", "Mon Tue", "Mon, Tue", "Mon..", "Mon..Tue..Wed", "Mon.10", "Monda", "12", "*", "a",
    "10:00 Berlin", "10:00 europe/berlin", "*/2", "*/2:00", "*-*-*/2", "*:*:*/0.1", "25:00", "24:00", "00:60",
    "00:00:60", "*-0-1", "*-13-1", "*-*-32", "*-*~29", "*-*~1/3", "*-*-31..3", "*:*/0", "*:0/70", "*:0/0",
    "1969-01-01", "2200-01-01", "10:00:00~1", "*-*-1~2", "*~1~2", "2003-10-05T12:00", "10:00 ", " 10:00",
    "1,*:00", "1,,2:00", "*:1,", "*:*:59.9999999", "*:*:1..1", "99999999999:00", "daily ", "10:00 UTC UTC",
    "@", "@x",
    "10:00:00:00", "2026-1-1-1", "Mon*-*-*", "*-*-* 10:00 noon", "*:*:1.", "+1:00", "-1:00", "*-*~5,6,24",
)  # fmt: skip


def test_manual_page_and_corners_normalize_as_in_systemd() -> None:
    answers = _ask(list(MANUAL_PAGE), datetime(2026, 1, 1, tzinfo=UTC))
    for text, form in MANUAL_PAGE.items():
        assert normalized(parse_calendar(text)) == form, text
        match answers[text.strip()]:
            case Elapses(theirs, _):
                assert theirs == form, text
            case Refused() | Unanswered():
                pytest.fail(f"systemd does not know '{text}'")


@pytest.mark.parametrize("text", REFUSED)
def test_what_systemd_refuses_is_refused(text: str) -> None:
    assert _ask([text], datetime(2026, 1, 1, tzinfo=UTC))[text] == Refused()
    with pytest.raises(ValueError, match=r"."):
        parse_calendar(text)


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [("*:00/11", "00:00", "00:11"), ("*:02,16/17", "00:02", "00:16"), ("*:05/50", "00:05", "00:55")],
)
def test_uneven_repetition_keeps_the_first_value_at_midnight(text: str, ours: str, theirs: str) -> None:
    """systemd.time(7) says "the value itself and all multiples", but 252 loses the value itself here."""
    base = datetime(2026, 10, 9, 23, 57, tzinfo=UTC)
    match _ask([text], base, iterations=1)[text]:
        case Elapses(_, times):
            assert times[0][15:20] == theirs
        case Refused() | Unanswered():
            pytest.fail("systemd does not answer")
    assert _ours(parse_calendar(text), base, 1)[0][15:20] == ours


@pytest.mark.parametrize(
    "text", ["10:00 localtime", "10:00 posix/UTC", "10:00 right/UTC", "10:00 posixrules"]
)
def test_zones_that_depend_on_the_machine_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        parse_calendar(text)
