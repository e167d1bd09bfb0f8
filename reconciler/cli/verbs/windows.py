"""``patchledger windows``: when do windows open, and does a freeze block them.

With ``--start``, ``--cron`` or ``--rrule`` it previews an expression without any configuration; those list
the windows that start after the instant asked about, as ``systemd-analyze calendar`` does. Without them it
lists this host's windows, or those of one Schedule, the open ones included.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from itertools import compress, islice
from typing import TYPE_CHECKING, TextIO

from reconciler.cli.showing.interfaces import ShownWindow
from reconciler.cli.showing.table import table
from reconciler.cli.showing.terminal import Format
from reconciler.errors import Misuse
from reconciler.planning.reporting.schema import LocalTime
from reconciler.planning.text.canonical import plain
from reconciler.policy.values import as_duration, start_meant
from reconciler.policy.windows import (
    HORIZON,
    Freeze,
    Occurrence,
    Schedule,
    Window,
    blocked_by,
    calendar_window,
    cron_window,
    occurrences,
    rrule_window,
)
from reconciler.policy.zones import parse_moment, start_instant, zone
from reconciler.records import dataclass
from reconciler.resources import page

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from reconciler.cli.verbs.windows_planned import PlannedHere

YEARS = range(1971, 2190)
_LARGEST_COUNT = 1000
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HEADS = ("START", "END", "LENGTH", "SCHEDULE", "BLOCKED BY")


@dataclass(frozen=True, slots=True)
class WindowsOptions:
    """What ``windows`` is told; its help says what each is."""

    config: str
    schedule: str | None
    start: str | None
    cron: str | None
    rrule: str | None
    at: str | None
    from_date: str | None
    offset: str | None
    duration: str | None
    timezone: str | None
    from_: str | None
    count: int
    policy: str | None
    host: str | None
    label: Sequence[str]
    os: str
    manager: str
    guest_name: str | None
    target: str | None
    format: Format
    month: str | None = None
    svg: str | None = None


@dataclass(frozen=True, slots=True)
class HostWindows:
    """What a policy says about windows, as the composition root knows it.

    Attributes:
        schedules: Those in force on this host.
        known: All Schedules of the policy by name, for ``--schedule``.
        freezes: Those that apply to this host.
        splay_key: This host's id.
        budget: Time one run needs: a window without room for it is blocked.
        planned: What the last look at this host came to; ``None`` where nothing of that is known.
    """

    schedules: tuple[Schedule, ...]
    known: Mapping[str, Schedule] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    splay_key: str = ""
    budget: timedelta = timedelta(0)
    planned: "PlannedHere | None" = None


def run(
    options: WindowsOptions,
    *,
    now: datetime,
    host_windows: Callable[[str | None], HostWindows],
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Print the windows that ``options`` ask for and return the exit code 0.

    Args:
        options: As the command line has them.
        now: Aware; what ``--from`` defaults to.
        host_windows: Reads the policy: the folder of ``--policy``, or for ``None`` the one in force here. It
            is called only where no expression is previewed.
        stdout: Where the result goes.
        stderr: Where it says that fewer windows were found than asked for.

    Raises:
        Misuse: An argument is wrong, or two do not go together.
    """
    if not 1 <= options.count <= _LARGEST_COUNT:
        raise Misuse(f"--count is from 1 to {_LARGEST_COUNT}, not {options.count}")
    host = HostWindows(())
    if (window := _previewed(options)) is not None:
        rows = _preview_rows(window, _moment(options, now, zone(window.timezone)))
    else:
        _refuse_preview_options(options)
        _refuse_host_options(options)
        shown_in = _zone_option(options.timezone) if options.timezone else None
        host = _restricted(host_windows(options.policy), options)
        rows = _host_rows(host, _moment(options, now, shown_in or zone("UTC")), shown_in)
    shown = list(islice(rows, options.count))
    stdout.write(_as_json(shown) if options.format == "json" else _as_table(shown, host))
    if len(shown) < options.count:
        stderr.write(
            f"patchledger: no further window begins in the {HORIZON.days // 365} years that are searched\n"
        )
    return 0


def _previewed(options: WindowsOptions) -> Window | None:
    """Build the window that the options describe, or ``None`` where they describe none."""
    expressions = (options.start, options.cron, options.rrule)
    if expressions == (None, None, None):
        return None
    if options.policy is not None or options.host is not None or options.target is not None:
        raise Misuse("--policy, --host and --target have no meaning beside an expression to preview")
    if options.rrule is None and (options.at or options.from_date or options.offset):
        raise Misuse("--at, --from-date and --offset belong to --rrule")
    try:
        return _window(options)
    except ValueError as error:
        if meant := start_meant(options.start or ""):
            said, hint = meant
            raise Misuse(said, hint.replace("`cron: ", "`--cron ").replace("`start`", "--start")) from None
        said = str(error) if any(expressions) else "the expression is empty"
        raise Misuse(said, f"see {page('reference/windows')} for the syntax") from None


def _window(options: WindowsOptions) -> Window | None:
    duration = _duration("--duration", options.duration or "1h")
    timezone = options.timezone or "UTC"
    if options.start is not None:
        return calendar_window(options.start, duration, "UTC", own_timezone=options.timezone)
    if options.cron is not None:
        return cron_window(options.cron, duration, timezone)
    if options.rrule is None:
        return None
    if options.at is None:
        raise Misuse("--rrule needs the time of day", "add --at HH:MM")
    offset = _duration("--offset", options.offset or "0d")
    return rrule_window(options.rrule, options.at, duration, timezone, from_=options.from_date, offset=offset)


def _duration(option: str, text: str) -> timedelta:
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * as_duration(text.removeprefix("-"))
    except ValueError:
        raise Misuse(
            f"{option}: '{text}' is not a duration", "write 90s, 30m, 6h, 14d, 2w or 1h30m"
        ) from None


def refuse_month_beside(options: WindowsOptions) -> None:
    """Refuse what a month cannot be drawn of.

    Raises:
        Misuse: An expression, a Schedule, a beginning or a count is named, or a host without a folder.
    """
    if options.start or options.cron or options.rrule or options.schedule or options.from_:
        raise Misuse(
            "--month is about hosts, and a whole month",
            "leave out --start, --cron, --rrule, --schedule and --from",
        )
    _refuse_host_options(options)


def _refuse_preview_options(options: WindowsOptions) -> None:
    if options.at or options.from_date or options.offset or options.duration:
        raise Misuse(
            "--at, --from-date, --offset and --duration describe an expression to preview",
            "add --start, --cron or --rrule, or leave them out",
        )


def _refuse_host_options(options: WindowsOptions) -> None:
    if options.target is not None and not (options.policy is options.host is options.schedule is None):
        raise Misuse(
            "--target is about a guest of this host", "leave out --policy, --host and --schedule, or --target"
        )
    of_any = () if options.target is not None else (options.os, options.manager)
    if options.host is None and any((options.label, options.guest_name, *of_any)):
        raise Misuse("--label, --os, --manager and --guest-name describe a host", "add --host NAME")
    if options.host is not None and options.policy is None:
        raise Misuse(
            "--host is about a policy folder", "add --policy FOLDER; without both, this host is meant"
        )
    if options.host is not None and options.schedule is not None:
        raise Misuse("--host and --schedule do not go together", "leave one of them out")


def _zone_option(name: str) -> "ZoneInfo":
    try:
        return zone(name)
    except ValueError as error:
        raise Misuse(f"--timezone: {error}") from None


def _moment(options: WindowsOptions, now: datetime, tz: "ZoneInfo") -> datetime:
    if options.from_ is None:
        return now
    try:
        moment = start_instant(parse_moment(options.from_), tz)
    except (ValueError, OverflowError) as error:
        raise Misuse(f"--from: {error}") from None
    if moment.year not in YEARS:
        raise Misuse(f"--from: windows are told for the years {YEARS[0]} to {YEARS[-1]}")
    return moment


def _restricted(host: HostWindows, options: WindowsOptions) -> HostWindows:
    """Choose the Schedules to show: the named one, all of a folder, or those in force here."""
    name = options.schedule
    if name is None:
        everything = tuple(host.known[each] for each in sorted(host.known))
        return (
            host
            if options.policy is None or options.host is not None
            else replace(host, schedules=everything)
        )
    if name not in host.known:
        known = ", ".join(sorted(host.known)) or "none"
        raise Misuse(f"there is no Schedule '{name}'", f"the policy has: {known}")
    return replace(host, schedules=(host.known[name],))


def _preview_rows(window: Window, after: datetime) -> Iterator[ShownWindow]:
    schedule = Schedule("", (window,))
    for found in occurrences((schedule,), after, after + HORIZON):
        if found.start > after:
            yield _row(found, zone(window.timezone), None, None)


def _host_rows(host: HostWindows, after: datetime, shown_in: "ZoneInfo | None") -> Iterator[ShownWindow]:
    zones = {
        (schedule.name, index): shown_in or zone(window.timezone)
        for schedule in host.schedules
        for index, window in enumerate(schedule.windows)
    }
    for found in occurrences(host.schedules, after, after + HORIZON, splay_key=host.splay_key):
        blocking = blocked_by(found, host.freezes, budget=host.budget)
        yield _row(found, zones[found.schedule, found.index], found.schedule, blocking)


def _row(found: Occurrence, tz: "ZoneInfo", schedule: str | None, blocking: str | None) -> ShownWindow:
    start, end = LocalTime(found.start.astimezone(tz)), LocalTime(found.end.astimezone(tz))
    return ShownWindow(start, end, schedule, blocking)


def _as_json(rows: Sequence[ShownWindow]) -> str:
    return json.dumps(plain(tuple(rows), write_instant=datetime.isoformat), indent=2) + "\n"


def _as_table(rows: Sequence[ShownWindow], host: HostWindows) -> str:
    if not rows:
        return "No window opens within five years.\n"
    shown = [_cells(row, host) for row in rows]
    filled = [any(column) for column in zip(*shown, strict=True)]
    heads, *lines = (list(compress(row, filled)) for row in (_HEADS, *shown))
    return "".join(f"{line}\n" for line in table(lines, heads=heads, indent=""))


def _cells(row: ShownWindow, host: HostWindows) -> list[str]:
    # Instants, not local times: the difference of two local times of one zone would not be elapsed time.
    length = row.end.astimezone(UTC) - row.start.astimezone(UTC)
    return [
        _time_text(row.start),
        _time_text(row.end),
        _length_text(length),
        row.schedule or "",
        blocking(Occurrence(row.start.astimezone(UTC), row.end.astimezone(UTC), row.schedule or "", 0), host),
    ]


def blocking(span: Occurrence, host: HostWindows) -> str:
    """Name the freeze that keeps a run out of a window, and say where security updates pass; empty for none.

    Args:
        span: The window.
        host: Whose it is.
    """
    name = blocked_by(span, host.freezes, budget=host.budget)
    if name is None:
        return ""
    passes = blocked_by(span, host.freezes, budget=host.budget, allow_security=True) is None
    return f"{name} (security updates pass)" if passes else name


def _time_text(moment: datetime) -> str:
    seconds = moment.time().isoformat("minutes" if not (moment.second or moment.microsecond) else "auto")
    return f"{_WEEKDAYS[moment.weekday()]} {moment.date()} {seconds} {moment.isoformat()[-6:]}"


def _length_text(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return " ".join(f"{value}{unit}" for value, unit in parts if value)
