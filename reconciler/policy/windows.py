"""Maintenance windows on the time line: when may something happen, and until when.

The rules (each is tested):

1. A window is a start instant and an elapsed duration, never an end by the clock on the wall.
2. Starts are local times. One that does not exist moves to the first instant that does; one that exists twice
   means the first; starts of one schedule that fall on the same instant are one occurrence, the longest.
3. A window belongs to the day it starts. Windows may overlap and may cross midnight.
4. Freezes beat windows: they cut out of a window what they cover. Their end opens the rest again.
5. A run starts only where it ends in time: ``now + budget`` may be the end itself, nothing later. The begin
   of a freeze counts as an end.
6. ``splay`` delays the start by a part of itself that is always the same for one host; the end stays.
7. All intervals are half-open: an occurrence and a freeze hold from their start to just before their end.

Every function takes the instant it is asked about; nothing here knows what time it is. Searches look ahead
five years and at 50,000 occurrences, and no further, so that a window that never comes is an answer and not a
loop. How often a window may start is bounded, since every question about now looks at all that may be open.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Literal, TypeAlias

from reconciler.policy.calendar import CalendarExpression, CronExpression, parse_calendar, parse_cron
from reconciler.policy.icalendarfile import IcsCalendar, IcsEvent
from reconciler.policy.recurrence import RRuleExpression, parse_rrule
from reconciler.policy.zones import (
    end_instant,
    instant,
    on_the_wall,
    parse_moment,
    shifted,
    start_instant,
    zone,
)
from reconciler.records import dataclass

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=31)
LARGEST_OFFSET = timedelta(days=366)
HORIZON = timedelta(days=5 * 366)
TICK_MARGIN = timedelta(minutes=20)
"""What a window needs beside splay and budget: the tick's interval and its randomised delay."""

BUDGET = "budget"
"""What blocks an occurrence that is shorter than the time a run needs."""

MOST_STARTS = 5000
"""Occurrences of one window that begin within its length, or within a day where it is shorter."""
_MOST_EXAMINED = 50_000
_FEW = 1000
_DAY = timedelta(days=1)
_NONE = timedelta(0)
_LONGEST_SLICE = timedelta(days=32)
MOST_DELAYED = "/"
"""In the place of a host's id, which it is not: starts are delayed by the whole splay, as no host's are.

A delay only takes away from windows: wherever a run may begin then, it may begin on every host."""
_RESOLUTION = timedelta(microseconds=1)
# Local time and UTC differ by less than 15 hours, and a start in a gap moves by at most a day (Apia, 2011).
_SLACK = timedelta(hours=25)
_EARLIEST = datetime(1970, 1, 5, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """A window that starts at an OnCalendar expression.

    Attributes:
        timezone: The zone its starts are local to.
        duration: Elapsed.
        splay: Longest delay of the start.

    Raises:
        ValueError: The zone is unknown, duration and splay are out of bounds, or it starts too often.
    """

    expression: CalendarExpression
    timezone: str
    duration: timedelta
    splay: timedelta = _NONE

    def __post_init__(self) -> None:
        _check(self.timezone, self.duration, self.splay)
        _check_starts(self)


@dataclass(frozen=True, slots=True)
class CronWindow:
    """A window that starts at a cron expression; see :class:`CalendarWindow`."""

    expression: CronExpression
    timezone: str
    duration: timedelta
    splay: timedelta = _NONE

    def __post_init__(self) -> None:
        _check(self.timezone, self.duration, self.splay)
        _check_starts(self)


@dataclass(frozen=True, slots=True)
class RRuleWindow:
    """A window that starts on the days of a recurrence rule; see :class:`CalendarWindow`.

    Attributes:
        offset: Added to the local time before it becomes an instant: ``4d`` keeps the time of day.
    """

    expression: RRuleExpression
    timezone: str
    duration: timedelta
    offset: timedelta = _NONE
    splay: timedelta = _NONE

    def __post_init__(self) -> None:
        _check(self.timezone, self.duration, self.splay)
        if abs(self.offset) > LARGEST_OFFSET:
            raise ValueError(f"an offset is at most {LARGEST_OFFSET.days} days, not {self.offset.days}")


@dataclass(frozen=True, slots=True)
class IcsWindow:
    """The windows of an iCalendar file, each as long as its event.

    Attributes:
        timezone: The zone of floating and all-day events.
        source: The file's path in the policy repository, for people.
    """

    calendar: IcsCalendar
    timezone: str
    splay: timedelta = _NONE
    source: str = ""

    def __post_init__(self) -> None:
        zone(self.timezone)
        for event in self.calendar.events:
            if event.duration <= self.splay:
                raise ValueError(f"event '{event.summary}' lasts {event.duration}, no longer than the splay")


Window: TypeAlias = CalendarWindow | CronWindow | RRuleWindow | IcsWindow


@dataclass(frozen=True, slots=True)
class Schedule:
    """A named set of windows; it is open while one of them is."""

    name: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing is applied and nothing reboots.

    Attributes:
        start: Aware.
        end: Aware; the first instant that is free again.
        allow: ``security`` lets a security-only plan pass.
        origin: ``file:line@commit`` of the document behind it; empty where there is none.
    """

    name: str
    start: datetime
    end: datetime
    allow: Literal["none", "security"] = "none"
    reason: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"freeze '{self.name}': its bounds must be instants")
        if self.start >= self.end:
            raise ValueError(f"freeze '{self.name}' ends before it starts")

    def is_active(self, now: datetime) -> bool:
        """Tell whether the freeze holds at ``now``."""
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a calendar's own rule would repeat, and the calendar takes away.

    Attributes:
        start: In UTC, when it would begin.
        schedule: Name of the schedule.
        summary: What the calendar calls the event.
    """

    start: datetime
    schedule: str
    summary: str


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One window on the time line.

    Attributes:
        start: In UTC, this host's splay included.
        end: In UTC; the first instant that is outside.
        schedule: Name of its schedule.
        index: Position of its window in the schedule.
    """

    start: datetime
    end: datetime
    schedule: str
    index: int

    def is_open(self, now: datetime) -> bool:
        """Tell whether it holds at ``now``, freezes left aside."""
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Opening:
    """The next time at which a run may start.

    Attributes:
        start: First instant at which it may; the instant asked about where it may start at once.
        latest_start: Last instant at which it may, without a gap in between.
        closes: End of the occurrence or begin of a freeze in it: the run's deadline.
        blocked_by: Freezes without which a run could start sooner, sorted.
    """

    occurrence: Occurrence
    start: datetime
    latest_start: datetime
    closes: datetime
    blocked_by: tuple[str, ...] = ()


def _check(timezone: str, duration: timedelta, splay: timedelta) -> None:
    zone(timezone)
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError(f"a window lasts from one minute to {LONGEST.days} days, not {duration}")
    if not _NONE <= splay < duration:
        raise ValueError(f"splay ({splay}) must be shorter than the window ({duration})")


def starts(window: Window) -> int:
    """Return how many occurrences may begin within the window's length, or within a day where it is shorter.

    It bounds what a question about one instant looks at: all that may be open then.
    """
    match window:
        case CalendarWindow() | CronWindow():
            return window.expression.starts_a_day() * _days(window.duration)
        case RRuleWindow():
            return _days(window.duration)
        case IcsWindow():
            repeating = sum(
                _days(event.duration) for event in window.calendar.events if event.rule is not None
            )
            return repeating + window.calendar.dates()


def _days(duration: timedelta) -> int:
    return -(-duration // _DAY)


def _check_starts(window: CalendarWindow | CronWindow) -> None:
    found, days = starts(window), _days(window.duration)
    if found > MOST_STARTS:
        span = "a day" if days == 1 else f"{days} days"
        raise ValueError(
            f"it starts {found} times within {span}, more than {MOST_STARTS}; let it start less often"
        )


def calendar_window(
    start: str,
    duration: timedelta,
    timezone: str,
    *,
    own_timezone: str | None = None,
    splay: timedelta = _NONE,
) -> CalendarWindow:
    """Build the window of a ``start`` in OnCalendar syntax.

    Args:
        start: The expression, which may name a zone.
        duration: Elapsed.
        timezone: The Schedule's.
        own_timezone: The window's own, which beats the Schedule's.
        splay: Longest delay of the start.

    Raises:
        ValueError: The expression or a bound is wrong, or a zone stands both in ``start`` and beside it.
    """
    expression = parse_calendar(start)
    if expression.timezone and own_timezone:
        raise ValueError(
            f"a zone stands both in '{start}' and in `timezone: {own_timezone}`; keep one of them"
        )
    return CalendarWindow(expression, expression.timezone or own_timezone or timezone, duration, splay)


def cron_window(cron: str, duration: timedelta, timezone: str, *, splay: timedelta = _NONE) -> CronWindow:
    """Build the window of a cron expression.

    Raises:
        ValueError: The expression, the zone or a bound is wrong.
    """
    return CronWindow(parse_cron(cron), timezone, duration, splay)


def rrule_window(
    rrule: str,
    at: str,
    duration: timedelta,
    timezone: str,
    *,
    from_: str | date | None = None,
    offset: timedelta = _NONE,
    splay: timedelta = _NONE,
) -> RRuleWindow:
    """Build the window of a recurrence rule.

    Raises:
        ValueError: The rule, the time, the anchor, the zone or a bound is wrong.
    """
    return RRuleWindow(parse_rrule(rrule, at, from_), timezone, duration, offset, splay)


def shortfall(window: Window, budget: timedelta) -> timedelta:
    """Return by how much a window is too short for splay, ``budget`` and a late tick; at most zero if not."""
    needed = window.splay + budget + TICK_MARGIN
    match window:
        case IcsWindow():
            return max((needed - event.duration for event in window.calendar.events), default=_NONE)
        case CalendarWindow() | CronWindow() | RRuleWindow():
            return needed - window.duration


def freeze_bounds(
    from_: str | date | datetime, until: str | date | datetime, timezone: str
) -> tuple[datetime, datetime]:
    """Return the first instant of a freeze and the first instant after it, in UTC.

    Args:
        from_: A bare date begins with the first instant of that day.
        until: A bare date runs through the end of that day.
        timezone: The zone of bare dates and of times without offset.

    Raises:
        ValueError: A value is no date or time, the zone is unknown, or the end is not after the start.
    """
    tz = zone(timezone)
    start = start_instant(parse_moment(from_) if isinstance(from_, str) else from_, tz)
    end = end_instant(parse_moment(until) if isinstance(until, str) else until, tz)
    if start >= end:
        raise ValueError(f"it ends ({until}) before it starts ({from_})")
    return start, end


@dataclass(frozen=True, slots=True)
class Frozen:
    """What some freezes cover: spans in order that neither overlap nor touch.

    Attributes:
        starts: First instant of each.
        ends: First instant behind each.
    """

    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]

    def free_parts(self, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield what is left of a span, in order."""
        # Those that end before it begins cover nothing of it: there may be thousands.
        for index in range(bisect_right(self.ends, begin), len(self.starts)):
            if self.starts[index] >= end:
                break
            if self.starts[index] > begin:
                yield begin, self.starts[index]
            begin = self.ends[index]
        if begin < end:
            yield begin, end

    def leaves_room(self, occurrence: Occurrence, budget: timedelta) -> bool:
        """Tell whether a run of ``budget`` can start somewhere in the occurrence."""
        return any(_holds(*part, budget) for part in self.free_parts(occurrence.start, occurrence.end))


def united(freezes: Iterable[Freeze], *, allow_security: bool = False) -> Frozen:
    """Return what freezes cover together; a security-only plan passes those that allow it."""
    spans: list[tuple[datetime, datetime]] = []
    for freeze in sorted(_blocking(freezes, allow_security=allow_security), key=attrgetter("start")):
        if spans and freeze.start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], freeze.end)
        else:
            spans.append((freeze.start, freeze.end))
    return Frozen(tuple(start for start, _ in spans), tuple(end for _, end in spans))


def active_freeze(freezes: Iterable[Freeze], now: datetime, *, allow_security: bool = False) -> Freeze | None:
    """Return the freeze that blocks at ``now``, the one that ends last where there are several.

    Args:
        freezes: Those that apply to the host.
        now: Aware.
        allow_security: The plan is security-only, so that freezes with ``allow: security`` do not block it.
    """
    active = (freeze for freeze in _blocking(freezes, allow_security=allow_security) if freeze.is_active(now))
    return max(active, key=lambda freeze: (freeze.end, freeze.name), default=None)


def _blocking(freezes: Iterable[Freeze], *, allow_security: bool) -> tuple[Freeze, ...]:
    return tuple(freeze for freeze in freezes if not (allow_security and freeze.allow == "security"))


def occurrences(
    schedules: Sequence[Schedule],
    after: datetime,
    before: datetime,
    *,
    splay_key: str = "",
    least: timedelta = _NONE,
) -> Iterator[Occurrence]:
    """Yield what is open at some instant from ``after`` up to, and without, ``before``, ordered by start.

    Occurrences that began earlier and are still open at ``after`` come first. Within one schedule the starts
    strictly increase.

    Args:
        schedules: May overlap; equal starts of different schedules are both given, in the order of schedules.
        after: Aware.
        before: Aware; the stream is lazy, so that a far bound costs nothing.
        splay_key: The host's id; without it starts are not delayed.
        least: Occurrences that are shorter are left out.
    """
    fraction = _splay_fraction(splay_key)
    streams = [
        _of_window(schedule, index, after, before, fraction=fraction, least=least)
        for schedule in schedules
        for index in range(len(schedule.windows))
    ]
    held: Occurrence | None = None
    # Each waits until the next start is known: those of one instant are one occurrence, the longest.
    for occurrence in _ordered(streams, after):
        if held is None:
            held = occurrence
        elif occurrence.start == held.start and occurrence.schedule == held.schedule:
            held = max(held, occurrence, key=attrgetter("end"))
        else:
            yield held
            held = occurrence
    if held is not None:
        yield held


def left_out(schedules: Sequence[Schedule], after: datetime, before: datetime) -> Iterator[LeftOut]:
    """Yield what calendars leave out of their own repetitions, holidays for instance, ordered by start.

    An event that was moved is left out where it was, too.

    Args:
        schedules: Those of a host.
        after: Aware; starts before it are not given.
        before: Aware; neither are those from here on.
    """
    found = {
        LeftOut(start, schedule.name, event.summary)
        for schedule in schedules
        for window in schedule.windows
        if isinstance(window, IcsWindow)
        for event in window.calendar.events
        if event.excluded or event.excluded_days
        for start in _left_out_of(event, window, after, before)
        if after <= start < before
    }
    return iter(sorted(found, key=attrgetter("start", "schedule", "summary")))


def _left_out_of(event: IcsEvent, window: IcsWindow, after: datetime, before: datetime) -> set[datetime]:
    whole = replace(event, excluded=frozenset(), excluded_days=frozenset())
    all_starts, starts = (
        {start for start, _ in _of_event(one, window, after, before)} for one in (whole, event)
    )
    return all_starts - starts


def _ordered(streams: list[Iterator[Occurrence]], after: datetime) -> Iterator[Occurrence]:
    """Merge streams by start, equal starts in the order of the streams.

    It sorts slice by slice, each twice as long as the one before while they hold few. A heap would hand out
    the first one a little sooner, but costs as much as everything else together where there are thousands of
    streams.
    """
    heads = [(first, stream) for stream in streams if (first := next(stream, None)) is not None]
    length = timedelta(hours=1)
    while heads:
        after = shifted(after, length)
        batch: list[Occurrence] = []
        later: list[tuple[Occurrence, Iterator[Occurrence]]] = []
        for first, stream in heads:
            head: Occurrence | None = first
            while head is not None and head.start < after:
                batch.append(head)
                head = next(stream, None)
            if head is not None:
                later.append((head, stream))
        if len(batch) < _FEW:
            length = min(2 * length, _LONGEST_SLICE)
        batch.sort(key=attrgetter("start"))
        yield from batch
        heads = later


def _splay_fraction(key: str) -> float:
    """Return a number from 0 up to 1 that depends on the host alone, so that a host's delay never moves."""
    if key in {"", MOST_DELAYED}:
        return float(bool(key))
    return int.from_bytes(sha256(key.encode()).digest()[:6]) / 2**48


def _of_window(
    schedule: Schedule, index: int, after: datetime, before: datetime, *, fraction: float, least: timedelta
) -> Iterator[Occurrence]:
    window, name = schedule.windows[index], schedule.name
    # Whole seconds, since people read these times.
    delay = timedelta(seconds=int(window.splay.total_seconds() * fraction))
    if least:
        window = _of_length(window, least + delay)
    for base, duration in _bases(window, after, before):
        start, end = base + delay, base + duration
        if start >= before:
            return
        if end > after:
            yield Occurrence(start, end, name, index)


def _of_length(window: Window, least: timedelta) -> Window:
    """Return the window without what is shorter, so that it need not be searched through."""
    match window:
        case IcsWindow():
            fitting = tuple(event for event in window.calendar.events if event.duration >= least)
            return replace(window, calendar=IcsCalendar(fitting))
        case CalendarWindow() | CronWindow() | RRuleWindow():
            # A calendar without events never opens.
            return window if window.duration >= least else IcsWindow(IcsCalendar(()), window.timezone)


def _bases(window: Window, after: datetime, before: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Return starts without splay, each instant once, and durations of all that may touch the range."""
    match window:
        case CalendarWindow() | CronWindow():
            locals_ = _locals(window.expression, window.timezone, shifted(after, -window.duration), before)
            return _instants(locals_, window.timezone, window.duration, before)
        case RRuleWindow():
            expression = window.expression.in_zone(zone(window.timezone))
            begin = shifted(after, -window.duration - window.offset)
            end = shifted(before, -window.offset)
            locals_ = (local + window.offset for local in _locals(expression, window.timezone, begin, end))
            return _instants(locals_, window.timezone, window.duration, before)
        case IcsWindow():
            return _longest_each(
                merge(*(_of_event(event, window, after, before) for event in window.calendar.events))
            )


def _of_event(
    event: IcsEvent, window: IcsWindow, after: datetime, before: datetime
) -> Iterator[tuple[datetime, timedelta]]:
    placed = event.placed(window.timezone)
    timezone = placed.timezone or window.timezone
    locals_ = _locals(placed, timezone, shifted(after, -placed.duration), before)
    return _instants(locals_, timezone, placed.duration, before)


def _longest_each(
    ordered: Iterator[tuple[datetime, timedelta]],
) -> Iterator[tuple[datetime, timedelta]]:
    """Merge equal starts; the last of equals is the longest, as tuples are ordered."""
    held: tuple[datetime, timedelta] | None = None
    for item in ordered:
        if held is not None and item[0] != held[0]:
            yield held
        held = item
    if held is not None:
        yield held


_Expression: TypeAlias = CalendarExpression | CronExpression | RRuleExpression | IcsEvent


def _locals(expression: _Expression, timezone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Expand over a range of instants, with slack on both sides for what moves when it becomes an instant."""
    tz = zone(timezone)
    first = on_the_wall(max(begin, _EARLIEST), tz) - _SLACK
    last = on_the_wall(min(end, _LATEST), tz) + _SLACK
    return expression.expand(first, last) if first < last else iter(())


def _instants(
    locals_: Iterable[datetime], timezone: str, duration: timedelta, before: datetime
) -> Iterator[tuple[datetime, timedelta]]:
    tz = zone(timezone)
    previous = None
    for local in locals_:
        start = instant(local, tz)
        if start >= before:
            return
        # A time that the clocks skip moves to the first that exists, where another one may stand already.
        if start != previous:
            yield start, duration
        previous = start


def open_now(schedules: Sequence[Schedule], now: datetime, *, splay_key: str = "") -> tuple[Occurrence, ...]:
    """Return the occurrences that are open at ``now``, freezes left aside, ordered by start."""
    return tuple(occurrences(schedules, now, shifted(now, _RESOLUTION), splay_key=splay_key))


def is_open(schedules: Sequence[Schedule], now: datetime, *, splay_key: str = "") -> bool:
    """Tell whether a window is open at ``now``, freezes left aside."""
    return bool(open_now(schedules, now, splay_key=splay_key))


def blocked_by(
    occurrence: Occurrence,
    freezes: Iterable[Freeze],
    *,
    budget: timedelta = _NONE,
    allow_security: bool = False,
) -> str | None:
    """Name what keeps every run of ``budget`` out of the occurrence; ``None`` where one can start.

    Returns:
        :data:`BUDGET` where it is too short even without freezes, else the name of a freeze.
    """
    if occurrence.end - occurrence.start < budget:
        return BUDGET
    blocking = _blocking(freezes, allow_security=allow_security)
    if united(blocking).leaves_room(occurrence, budget):
        return None
    touching = [freeze for freeze in blocking if _overlaps(freeze, occurrence.start, occurrence.end)]
    # The one that covers most of it is what a person would name.
    return (
        max(touching, key=lambda freeze: (_common(freeze, occurrence), freeze.name)).name
        if touching
        else None
    )


def _common(freeze: Freeze, occurrence: Occurrence) -> timedelta:
    return min(freeze.end, occurrence.end) - max(freeze.start, occurrence.start)


def _overlaps(freeze: Freeze, start: datetime, end: datetime) -> bool:
    return freeze.start < end and start < freeze.end


def _holds(begin: datetime, end: datetime, budget: timedelta) -> bool:
    return begin < end and shifted(begin, budget) <= end


def next_opening(
    schedules: Sequence[Schedule],
    now: datetime,
    budget: timedelta = _NONE,
    freezes: Sequence[Freeze] = (),
    *,
    splay_key: str = "",
    allow_security: bool = False,
) -> Opening | None:
    """Return when a run that takes ``budget`` may start next, at ``now`` or later.

    Args:
        schedules: Those of the host.
        now: Aware.
        budget: Time the whole run needs.
        freezes: Those that apply to the host.
        splay_key: The host's id.
        allow_security: The plan is security-only, so that freezes with ``allow: security`` do not block it.

    Returns:
        ``None`` where there is no such time within five years, or among the next 50,000 occurrences.
    """
    blocking = _blocking(freezes, allow_security=allow_security)
    found = _first_opening(schedules, now, budget, united(blocking), splay_key)
    until = None if found is None else shifted(found.start, budget)
    # No freeze touches the time until that run is over, so that none delays it; to name those that do, it is
    # searched once more as if there were none.
    if not any(until is None or _overlaps(each, now, until) for each in blocking):
        return found
    unfrozen = _first_opening(schedules, now, budget, united(()), splay_key)
    if found is None or unfrozen is None or unfrozen.start == found.start:
        return found
    names = {each.name for each in blocking if _overlaps(each, unfrozen.start, found.start)}
    return Opening(found.occurrence, found.start, found.latest_start, found.closes, tuple(sorted(names)))


def _first_opening(
    schedules: Sequence[Schedule], now: datetime, budget: timedelta, frozen: Frozen, splay_key: str
) -> Opening | None:
    # Nothing can start before freezes leave room for a run, which may be years away.
    endless = datetime.max.replace(tzinfo=UTC)
    free = next((begin for begin, end in frozen.free_parts(now, endless) if _holds(begin, end, budget)), now)
    best: Opening | None = None
    coming = occurrences(schedules, free, shifted(free, HORIZON), splay_key=splay_key, least=budget)
    for occurrence in islice(coming, _MOST_EXAMINED):
        # They come by start, and a freeze only delays: what begins later opens no sooner.
        if best is not None and occurrence.start > best.start:
            break
        for begin, end in frozen.free_parts(max(occurrence.start, free), occurrence.end):
            if _holds(begin, end, budget):
                # The soonest; of those, the one that leaves most time. Without a budget the end itself is too
                # late.
                if best is None or (begin, -(end - begin)) < (best.start, -(best.closes - best.start)):
                    best = Opening(occurrence, begin, shifted(end, -max(budget, _RESOLUTION)), end)
                break
    return best


def next_transition(
    schedules: Sequence[Schedule],
    freezes: Sequence[Freeze],
    now: datetime,
    *,
    budget: timedelta = _NONE,
    splay_key: str = "",
) -> datetime | None:
    """Return the next instant at which any answer of this module about a host may change.

    From ``now`` until just before that instant the open occurrences, the active freezes and whether a run of
    ``budget`` may start are what they are at ``now``, for every plan and for security-only ones.

    Returns:
        ``None`` where nothing changes within five years.
    """
    answers = united(freezes), united(freezes, allow_security=True)
    bounds = [bound for freeze in freezes for bound in (freeze.start, freeze.end) if bound > now]
    best = min(bounds, default=None)
    for occurrence in occurrences(schedules, now, shifted(now, HORIZON), splay_key=splay_key):
        if best is not None and occurrence.start >= best:
            break
        best = min(each for each in (best, *_changes(occurrence, answers, budget)) if each and each > now)
    return best


def _changes(occurrence: Occurrence, answers: Iterable[Frozen], budget: timedelta) -> Iterator[datetime]:
    """Yield the instants at which an occurrence changes an answer; the bounds of freezes are left out."""
    yield occurrence.start
    yield occurrence.end
    for frozen in answers:
        for begin, end in frozen.free_parts(occurrence.start, occurrence.end):
            # A run may start up to the last instant that leaves the budget: the answer changes just after it.
            too_late = shifted(end, _RESOLUTION - budget)
            if begin < too_late < end:
                yield too_late
