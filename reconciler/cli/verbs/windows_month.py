"""``patchledger windows --month``: a month to look at instead of a list to read."""

import calendar
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.showing.month import DayMark, Month, MonthRow, drawn, named_rows, svg
from reconciler.cli.showing.terminal import colour, note
from reconciler.cli.verbs.windows import YEARS, HostWindows, WindowsOptions
from reconciler.durable import replace_file
from reconciler.errors import DONE, Misuse
from reconciler.planning.text.wording import day_and_hours
from reconciler.policy.windows import blocked_by, occurrences
from reconciler.policy.zones import instant, zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

THIS = "this"
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
    month = Month(
        year, number, timezone, named_rows([_row(name, one, year, number, tz) for name, one in rows.items()])
    )
    sys.stdout.writelines(f"{line}\n" for line in drawn(month, colour=colour()))
    if len(rows) == 1:
        (host,) = rows.values()
        sys.stdout.writelines(f"{line}\n" for line in _listed(host, year, number, tz))
    if options.svg is not None:
        try:
            replace_file(Path(options.svg), svg(month).encode(), 0o644)
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


def _days(year: int, number: int, tz: "ZoneInfo") -> list[datetime]:
    """Return the instant at which each day begins, and that at which the last one ends."""
    first = datetime(year, number, 1)  # noqa: DTZ001 - by the clock of a zone
    return [
        instant(first + timedelta(days=day), tz) for day in range(calendar.monthrange(year, number)[1] + 1)
    ]


def _row(name: str, host: HostWindows, year: int, number: int, tz: "ZoneInfo") -> MonthRow:
    days = _days(year, number, tz)
    marks = [
        DayMark.FROZEN
        if any(freeze.start < end and begin < freeze.end for freeze in host.freezes)
        else DayMark.NONE
        for begin, end in pairwise(days)
    ]
    for found in occurrences(host.schedules, days[0], days[-1], splay_key=host.splay_key):
        local = found.start.astimezone(tz)
        if (local.year, local.month) != (year, number):
            continue  # it was open before
        is_free = blocked_by(found, host.freezes, budget=host.budget) is None
        if is_free or marks[local.day - 1] is not DayMark.OPEN:
            marks[local.day - 1] = DayMark.OPEN if is_free else DayMark.BLOCKED
    return MonthRow(name, tuple(marks))


def _listed(host: HostWindows, year: int, number: int, tz: "ZoneInfo") -> Iterator[str]:
    days = _days(year, number, tz)
    left = 0
    yield ""
    for count, found in enumerate(occurrences(host.schedules, days[0], days[-1], splay_key=host.splay_key)):
        if count >= _LISTED:
            left += 1
            continue
        blocking = blocked_by(found, host.freezes, budget=host.budget)
        more = f", blocked by {blocking}" if blocking else ""
        yield f"{day_and_hours(found.start, found.end, tz.key)}  {found.schedule}{more}"
    if left:
        yield f"and {left} more"
    for freeze in host.freezes:
        if freeze.start < days[-1] and days[0] < freeze.end:
            yield f"{day_and_hours(freeze.start, freeze.end, tz.key)}  freeze {freeze.name}"
