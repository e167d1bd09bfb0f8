"""A month to look at: which days have a window, which a freeze takes away, for one host and for many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from reconciler.cli import main
from reconciler.cli.showing.month import DayMark, Month, MonthRow, drawn, svg
from reconciler.cli.verbs.windows import HostWindows
from reconciler.cli.verbs.windows_planned import PlannedHere, due_in_windows, standing
from reconciler.policy.windows import Freeze, Schedule, calendar_window
from tests.policy.trees import MIDNIGHT

Printed = pytest.CaptureFixture[str]
SUNDAYS = """\
kind: Schedule
name: sundays
timezone: Europe/Berlin
windows: [{start: "Sun 02:00", duration: 3h}]
"""
FREEZE = """\
kind: Freeze
name: year-end
from: 2026-12-19
until: 2027-01-04
timezone: Europe/Berlin
reason: r
match: {labels: {role: db}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "schedules/s.yaml": SUNDAYS,
        "freezes/f.yaml": FREEZE,
        "policies/p.yaml": "kind: Policy\nname: p\naction: apply\nschedule: sundays\n",
        "hosts/a.yaml": "kind: Host\nname: db-01\nlabels: {role: db}\n",
        "hosts/b.yaml": "kind: Host\nname: web-01\nlabels: {role: web}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_month_of_all_hosts_of_a_folder(folder: Path, capsys: Printed) -> None:
    picture = folder / "month.svg"
    assert main(["windows", "--policy", str(folder), "--month", "2026-12", "--svg", str(picture)]) == 0
    assert capsys.readouterr().out == (
        "December 2026 (by the clock of Europe/Berlin)\n"
        "\n"
        "                 1         2         3\n"
        "        1234567890123456789012345678901\n"
        "        TWTFSSMTWTFSSMTWTFSSMTWTFSSMTWT\n"
        "db-01   ·····■······■·····~x~~~~~~x~~~~\n"
        "web-01  ·····■······■······■······■····\n"
        "\n"
        "■ a window opens  x a window opens, and no run can begin in it  ~ a freeze, and no window"
        "  · no window\n"
    )
    drawn = ET.fromstring(picture.read_text())  # noqa: S314 - it is ours
    titles = [one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 62
    assert "db-01, 20: a window opens, and no run can begin in it" in titles
    assert "href" not in picture.read_text()


def test_a_month_of_one_host_lists_its_windows_and_freezes(folder: Path, capsys: Printed) -> None:
    assert main(["windows", "--policy", str(folder), "--host", "db-01", "--month", "2026-12"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert "Sun 2026-12-06 02:00 to 05:00 Europe/Berlin  sundays" in lines
    assert "Sun 2026-12-20 02:00 to 05:00 Europe/Berlin  sundays, blocked by year-end" in lines
    freeze = "Sat 2026-12-19 00:00 Europe/Berlin to Tue 2027-01-05 00:00 Europe/Berlin  freeze year-end"
    assert freeze in lines


def test_a_month_says_where_security_updates_pass(folder: Path, capsys: Printed) -> None:
    (folder / "freezes/f.yaml").write_text(f"{FREEZE}allow: security\n")
    assert main(["windows", "--policy", str(folder), "--host", "db-01", "--month", "2026-12"]) == 0
    lines = capsys.readouterr().out.split("\n")
    blocked = "Sun 2026-12-20 02:00 to 05:00 Europe/Berlin  sundays, blocked by year-end"
    assert f"{blocked} (security updates pass)" in lines
    assert [one for one in lines if one.endswith("freeze year-end, security updates pass")]


def test_days_are_those_of_the_clock_that_is_asked_for(folder: Path, capsys: Printed) -> None:
    arguments = ["--policy", str(folder), "--host", "web-01", "--month", "2026-12"]
    assert main(["windows", *arguments, "--timezone", "America/New_York"]) == 0
    out = capsys.readouterr().out
    assert "web-01  ····■······■······■······■·····\n" in out
    assert "Sat 2026-12-05 20:00 to 23:00 America/New_York  sundays" in out


def test_a_month_in_which_clocks_change_has_all_its_days(tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "schedules").mkdir()
    (tmp_path / "schedules" / "s.yaml").write_text(MIDNIGHT.replace("UTC", "Europe/Berlin"))
    assert main(["windows", "--policy", str(tmp_path), "--month", "2026-03"]) == 0
    assert "■" * 31 in capsys.readouterr().out


def test_what_a_host_is_called_forms_no_picture_and_no_line_of_its_own() -> None:
    name = '<script>"&\x1b[2J\u202e' + "long" * 20
    month = Month(2026, 2, "UTC", (MonthRow(name, (DayMark.OPEN,) * 28),))
    drawing = ET.fromstring(svg(month))  # noqa: S314 - it is ours
    assert {one.tag.rpartition("}")[2] for one in drawing.iter()} == {"svg", "rect", "text", "title"}
    lines = list(drawn(month))
    assert all(line.isprintable() and len(line) < 70 for line in lines)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--month", "2026-13"], "--month 2026-13 is no month"),
        (["--month", "12"], "--month 12 is no month"),
        (["--month", "9999-01"], "--month 9999-01 is no month"),
        (["--month", "--format", "json"], "--month is for people"),
        (["--month", "--schedule", "sundays"], "--month is about hosts"),
        (["--svg", "x.svg"], "--svg is a picture of --month"),
        (["--month", "--svg", "/nowhere/x.svg"], "--svg /nowhere/x.svg"),
        (["--month", "--timezone", "Europe/Berln"], "unknown time zone"),
    ],
)
def test_mistakes_are_told(folder: Path, capsys: Printed, more: list[str], said: str) -> None:
    assert main(["windows", "--policy", str(folder), *more]) == 2
    assert said in capsys.readouterr().err


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//EN
BEGIN:VEVENT
UID:weekly@example.org
SUMMARY:Change window\x1b[2J
DTSTART;TZID=Europe/Berlin:20261105T200000
DTEND;TZID=Europe/Berlin:20261105T220000
RRULE:FREQ=WEEKLY
EXDATE;TZID=Europe/Berlin:20261224T200000,20261231T200000
END:VEVENT
BEGIN:VEVENT
UID:weekly@example.org
RECURRENCE-ID;TZID=Europe/Berlin:20261217T200000
SUMMARY:Change window, one day earlier
DTSTART;TZID=Europe/Berlin:20261216T200000
DTEND;TZID=Europe/Berlin:20261216T220000
END:VEVENT
END:VCALENDAR
"""
BOARD = "kind: Schedule\nname: sundays\ntimezone: Europe/Berlin\nwindows: [{ics: calendars/board.ics}]\n"


def test_holidays_of_a_calendar_are_drawn_and_listed(folder: Path, capsys: Printed) -> None:
    (folder / "calendars").mkdir()
    (folder / "calendars" / "board.ics").write_text(CALENDAR.replace("\n", "\r\n"))
    (folder / "schedules" / "s.yaml").write_text(BOARD)
    picture = folder / "month.svg"
    assert main(["windows", "--policy", str(folder), "--month", "2026-12", "--svg", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "web-01  ··■······■·····■-······-······-\n" in out
    assert "db-01   ··■······■·····■-·~~~~~~~~~~~~~\n" in out, "a freeze says more"
    assert "- left out by a calendar" in out
    assert "web-01, 24: left out by a calendar: Change window" in picture.read_text()
    assert main(["windows", "--policy", str(folder), "--host", "web-01", "--month", "2026-12"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "leaves out" in line] == [
        f"Thu 2026-12-{day} 20:00 Europe/Berlin  sundays: its calendar leaves out Change window\\u{{1b}}[2J"
        for day in (17, 24, 31)
    ]


NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
WEEKLY = Schedule("sundays", (calendar_window("Sun 02:00", timedelta(hours=3), "UTC"),))
PLANNED = PlannedHere(NOW, 5, 2, (), ("base",), "", is_applied=True)


def days_of(host: HostWindows, *, until: datetime = datetime(2027, 1, 1, tzinfo=UTC)) -> dict[int, str]:
    return {found.start.day: due.words for found, due in due_in_windows(host, NOW, until).items()}


def host_with(planned: PlannedHere | None, **more: Any) -> HostWindows:
    return HostWindows((WEEKLY,), budget=timedelta(hours=1), planned=planned, **more)


def test_what_is_planned_comes_in_the_first_window_that_has_room() -> None:
    assert days_of(host_with(PLANNED)) == {6: "5 changes (2 security) planned"}
    frozen = Freeze(
        "f", datetime(2026, 12, 5, tzinfo=UTC), datetime(2026, 12, 12, tzinfo=UTC), "none", "r", ""
    )
    assert days_of(host_with(PLANNED, freezes=(frozen,))) == {13: "5 changes (2 security) planned"}
    assert days_of(host_with(PLANNED), until=datetime(2026, 12, 1, tzinfo=UTC)) == {}, "a month that is over"
    assert days_of(host_with(None)) == {}, "nothing is known"
    assert days_of(host_with(replace(PLANNED, is_applied=False))) == {}


def test_what_is_too_young_comes_when_a_run_can_begin_with_it() -> None:
    ready = tuple(
        datetime(2026, 12, day, hour, tzinfo=UTC) for day, hour in ((6, 4), (6, 5), (19, 0), (19, 0))
    )
    assert days_of(host_with(replace(PLANNED, ready=ready))) == {
        6: "5 changes (2 security) planned and 1 update old enough by then",
        13: "1 update old enough by then",
        20: "2 updates old enough by then",
    }


def test_what_else_is_waited_for_is_told() -> None:
    waits = replace(PLANNED, obstacle="approval is required")
    assert list(standing(waits, "Europe/Berlin")) == [
        (
            "What is planned is as of Tue 2026-12-01 09:00 Europe/Berlin, by base; "
            "what comes later is not known yet."
        ),
        "It waits for more than a window: approval is required",
    ]
    only = replace(PLANNED, is_applied=False, obstacle="the policy only plans")
    assert list(standing(only, "UTC")) == [
        "Nothing is planned for any window as of Tue 2026-12-01 08:00 UTC, by base: the policy only plans"
    ]
    assert list(standing(replace(PLANNED, changes=0), "UTC")) == [
        "Nothing is pending as of Tue 2026-12-01 08:00 UTC, by base."
    ]
