"""``patchledger windows --month``: a month to look at instead of a list to read.

Of this host it tells what is planned for each window, by its last recorded plan. Of the hosts of a policy
folder nobody knows what is pending, and nothing is said.
"""

import calendar
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.showing.month import DayMark, Month, MonthRow, drawn, named_rows, svg
from reconciler.cli.showing.terminal import colour, note
from reconciler.cli.verbs.windows import YEARS, HostWindows, WindowsOptions, blocking
from reconciler.cli.verbs.windows_planned import Due, due_in_windows, standing
from reconciler.durable import AS_THE_CALLER_WANTS, replace_file
from reconciler.errors import DONE, Misuse
from reconciler.planning.text.wording import day_and_hours, on_the_clock
from reconciler.policy.problems import visible
from reconciler.policy.windows import LeftOut, Occurrence, blocked_by, left_out, occurrences
from reconciler.policy.zones import instant, zone
from reconciler.records import dataclass

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

THIS = "this"
_STRONGEST = (DayMark.PLANNED, DayMark.OPEN, DayMark.BLOCKED)
"""What is shown of a day with several windows: the first of these."""
_LISTED = 100
"""Windows that are listed below the month of one host."""


def run(options: WindowsOptions, rows: Mapping[str, HostWindows], now: datetime) -> int:
    """Draw a month of each row, and of a single one its windows and freezes; return 0.

    Args:
        options: With ``month``.
        rows: What is shown, by name.
        now: Which month is this one.

    Raises:
        Misuse: The month or an option is wrong, there is nothing to show, or the picture cannot be written.
    """
    if options.format == "json":
        raise Misuse("--month is for people", "leave out --format json, or --month")
    if not rows:
        raise Misuse("there is neither a Host document nor a Schedule", "see `policy show HOST`")
    timezone = options.timezone or _zone_of(rows)
    try:
        tz = zone(timezone)
    except ValueError as error:
        raise Misuse(f"--timezone: {error}") from None
    year, number = _month(options.month or THIS, now.astimezone(tz))
    days = _Days(year, number, tz)
    due = {name: due_in_windows(one, now, days.begins[-1]) for name, one in rows.items()}
    month = Month(
        year,
        number,
        timezone,
        named_rows([_row(name, one, due[name], days) for name, one in rows.items()]),
    )
    sys.stdout.writelines(f"{line}\n" for line in drawn(month, colour=colour()))
    if len(rows) == 1:
        ((name, host),) = rows.items()
        sys.stdout.writelines(f"{line}\n" for line in _listed(host, due[name], days))
    if options.svg is not None:
        try:
            replace_file(Path(options.svg), svg(month).encode(), AS_THE_CALLER_WANTS)
        except OSError as error:
            raise Misuse(
                f"--svg {options.svg}: {error.strerror}", "name a file that can be written"
            ) from error
        note(f"wrote {options.svg}")
    return DONE


def _month(text: str, now: datetime) -> tuple[int, int]:
    if text == THIS:
        return now.year, now.month
    found = re.fullmatch(r"([0-9]{4})-([0-9]{2})", text, re.ASCII)
    year, number = (int(found[1]), int(found[2])) if found else (0, 0)
    if year not in YEARS or not 1 <= number <= 12:  # noqa: PLR2004 - months of a year
        raise Misuse(f"--month {text} is no month", f"write 2026-12; from {YEARS[0]} to {YEARS[-1]}")
    return year, number


def _zone_of(rows: Mapping[str, HostWindows]) -> str:
    zones = (
        window.timezone for one in rows.values() for schedule in one.schedules for window in schedule.windows
    )
    return next(zones, "UTC")


@dataclass(frozen=True)
class _Days:
    """The days of a month by the clock of a zone."""

    year: int
    month: int
    tz: "ZoneInfo"

    @cached_property
    def begins(self) -> tuple[datetime, ...]:
        """The instant at which each day begins, and that at which the last one ends."""
        first = datetime(self.year, self.month, 1)  # noqa: DTZ001 - by the clock of a zone
        number = calendar.monthrange(self.year, self.month)[1]
        return tuple(instant(first + timedelta(days=day), self.tz) for day in range(number + 1))

    def number(self, at: datetime) -> int | None:
        """Return the day of an instant, from 0; ``None`` where it is of another month."""
        local = at.astimezone(self.tz)
        return local.day - 1 if (local.year, local.month) == (self.year, self.month) else None

    def occurrences(self, host: HostWindows) -> Iterator[Occurrence]:
        """Yield the windows of a host that are open on them."""
        return occurrences(host.schedules, self.begins[0], self.begins[-1], splay_key=host.splay_key)

    def left_out(self, host: HostWindows) -> Iterator[LeftOut]:
        """Yield what its calendars leave out."""
        return left_out(host.schedules, self.begins[0], self.begins[-1])


def _row(name: str, host: HostWindows, due: Mapping[Occurrence, Due], days: _Days) -> MonthRow:
    notes = dict[int, str]()
    marks = [
        DayMark.FROZEN
        if any(freeze.start < end and begin < freeze.end for freeze in host.freezes)
        else DayMark.NONE
        for begin, end in pairwise(days.begins)
    ]
    for one in days.left_out(host):
        day = days.number(one.start)
        if day is not None and marks[day] is DayMark.NONE:
            marks[day], notes[day] = DayMark.LEFT_OUT, visible(one.summary)
    for found in days.occurrences(host):
        day = days.number(found.start)
        if day is None:
            continue  # it was open before
        mark = _mark(found, host, due)
        if marks[day] not in _STRONGEST or _STRONGEST.index(mark) < _STRONGEST.index(marks[day]):
            marks[day] = mark
            notes.pop(day, None)
        if found in due:
            notes[day] = due[found].words
    return MonthRow(name, tuple(marks), notes)


def _mark(found: Occurrence, host: HostWindows, due: Mapping[Occurrence, Due]) -> DayMark:
    if found in due:
        return DayMark.PLANNED
    is_free = blocked_by(found, host.freezes, budget=host.budget) is None
    return DayMark.OPEN if is_free else DayMark.BLOCKED


def _listed(host: HostWindows, due: Mapping[Occurrence, Due], days: _Days) -> Iterator[str]:
    zone_name, left = days.tz.key, 0
    yield ""
    for count, found in enumerate(days.occurrences(host)):
        if count >= _LISTED:
            left += 1
            continue
        by = blocking(found, host)
        more = f", blocked by {by}" if by else ""
        if found in due:
            more = f": {due[found].words}"
        yield f"{day_and_hours(found.start, found.end, zone_name)}  {found.schedule}{more}"
    if left:
        yield f"and {left} more"
    for freeze in host.freezes:
        if freeze.start < days.begins[-1] and days.begins[0] < freeze.end:
            passes = ", security updates pass" if freeze.allow == "security" else ""
            yield f"{day_and_hours(freeze.start, freeze.end, zone_name)}  freeze {freeze.name}{passes}"
    for one in days.left_out(host):
        named = visible(one.summary) or "an event"
        yield f"{on_the_clock(one.start, zone_name)}  {one.schedule}: its calendar leaves out {named}"
    if host.planned is not None:
        yield ""
        yield from standing(host.planned, zone_name)
