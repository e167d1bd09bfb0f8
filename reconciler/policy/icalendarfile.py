"""iCalendar files (RFC 5545): every event is a maintenance window.

The rules:

- Floating and all-day events are in the Schedule's zone; an event with TZID or in UTC is in its own zone.
- The length is **elapsed** time between DTSTART and DTEND of the event (or its DURATION, where a day is 24
  hours), the same for all its repetitions. An all-day event lasts 24 hours per day.
- RRULE, RDATE, EXDATE and changed single occurrences (RECURRENCE-ID) are honoured. DTSTART is always the
  first occurrence, as RFC 5545 says.
- ``STATUS:CANCELLED`` and ``STATUS:TENTATIVE`` are not windows: nobody agreed to them. ``TRANSP`` plays no
  part, since change boards often mark windows as free so that they do not block people's calendars.
- What says nothing about time (descriptions, people, ``X-`` properties) is not read at all.
- What would be guessed at is refused: unknown zones, an event without length, RECURRENCE-ID with RANGE,
  a rule that repeats more often than daily.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from heapq import merge
from typing import Any, TypeAlias

from reconciler.policy.problems import shortened
from reconciler.policy.recurrence import RecurrenceRule, parse_rule
from reconciler.policy.zones import check_year, instant, on_the_wall, zone
from reconciler.records import dataclass

# The types that icalendar gives its components and properties differ between its versions.
Component: TypeAlias = Any
Property: TypeAlias = Any

_LONGEST = timedelta(days=31)
_MOST_EVENTS = 2000
_MOST_REPEATING = 100
"""Each costs a search of its own on every tick."""
# Most lines of a calendar say nothing about time, and icalendar takes as long for each of them as for others.
_WITHOUT_USE = re.compile(
    rb"^(?:X-[A-Z0-9-]+|ATTACH|ATTENDEE|CATEGORIES|CLASS|COMMENT|CONTACT|CREATED|DESCRIPTION|DTSTAMP|GEO"
    rb"|LAST-MODIFIED|LOCATION|ORGANIZER|PRIORITY|RELATED-TO|RESOURCES|SEQUENCE|TRANSP|URL)[:;]"
    rb".*(?:\n|\Z)(?:[ \t].*(?:\n|\Z))*",
    re.IGNORECASE | re.MULTILINE,
)
_NO_WINDOW = ("CANCELLED", "TENTATIVE")


@dataclass(frozen=True, slots=True)
class IcsEvent:
    """One event, or one changed occurrence of an event.

    Attributes:
        start: Naive local time of the first occurrence.
        timezone: Its own zone; ``None`` for the Schedule's.
        duration: Elapsed.
        rule: Its repetition; UNTIL is local to ``timezone``, or aware in UTC.
        extra: Further starts (RDATE), local to ``timezone``.
        excluded: Starts that do not happen (EXDATE and RECURRENCE-ID), local to ``timezone``.
        excluded_days: Days on which none happens.
    """

    summary: str
    start: datetime
    timezone: str | None
    duration: timedelta
    rule: RecurrenceRule | None = None
    extra: tuple[datetime, ...] = ()
    excluded: frozenset[datetime] = frozenset()
    excluded_days: frozenset[date] = frozenset()

    def placed(self, timezone: str) -> "IcsEvent":
        """Return the event with the Schedule's ``timezone`` where it has none of its own."""
        return self if self.timezone else replace(self, timezone=timezone)

    def expand(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the naive local starts from ``begin`` up to, and without, ``end``, in order.

        An UNTIL in UTC is compared in the event's zone, so a floating event is to be :meth:`placed` before.
        """
        single = sorted({self.start, *self.extra})
        previous = None
        for local in merge(single, self._repetitions(begin.date(), end.date())):
            if local >= end:
                return
            gone = local in self.excluded or local.date() in self.excluded_days
            if local >= begin and local != previous and not gone:
                yield local
            previous = local

    def _repetitions(self, begin: date, end: date) -> Iterator[datetime]:
        if self.rule is None:
            return
        # RFC 5545 counts DTSTART as the first occurrence, also where the rule would not name its day.
        first = self.start.date()
        rule = self.rule
        named = next(rule.dates(first, first, first), None) is not None
        if rule.count is not None and not named:
            rule = replace(rule, count=rule.count - 1)
        until = self._local_until(rule)
        for day in rule.dates(first, max(first, begin), end):
            local = datetime.combine(day, self.start.time())
            if until is not None and local > until:
                return
            yield local

    def _local_until(self, rule: RecurrenceRule) -> datetime | None:
        if rule.until is None or rule.until.tzinfo is None:
            return rule.until
        tz = UTC if self.timezone is None else zone(self.timezone)
        return on_the_wall(rule.until, tz)


@dataclass(frozen=True, slots=True)
class IcsCalendar:
    """The events of one file that are windows."""

    events: tuple[IcsEvent, ...]

    def dates(self) -> int:
        """Return how many single dates the file holds, those of events that do not happen included."""
        return sum(
            1 + len(event.extra) + len(event.excluded) + len(event.excluded_days) for event in self.events
        )

    def rules(self) -> int:
        """Return how many events repeat by a rule."""
        return sum(event.rule is not None for event in self.events)

    def counted_years(self) -> int:
        """Return through how many years its rules have to be counted."""
        return sum(
            event.rule.counted_years(event.start.date()) for event in self.events if event.rule is not None
        )


def parse_ics(data: bytes) -> IcsCalendar:
    """Read the bytes of an iCalendar file.

    Raises:
        ValueError: It is not iCalendar, or an event cannot be a window; the message names the event.
    """
    try:
        return _parsed(data)
    except (ValueError, MemoryError):
        raise
    except RecursionError:
        raise ValueError("not an iCalendar file that can be understood: it is nested too deep") from None
    except Exception:  # noqa: BLE001 - icalendar raises what its own code happens to raise
        said = "not an iCalendar file that can be understood: something in it is of an unknown form"
        raise ValueError(said) from None


def _parsed(data: bytes) -> IcsCalendar:
    # Imported here, since few policies use iCalendar and every command would pay for it.
    from icalendar import Calendar

    try:
        with warnings.catch_warnings():
            # It warns of what it guesses about a zone's name, which is read anew below.
            warnings.simplefilter("ignore")
            calendars = Calendar.from_ical(_WITHOUT_USE.sub(b"", data), multiple=True)
    except ValueError as error:
        raise ValueError(f"not an iCalendar file: {shortened(str(error))}") from None
    except (KeyError, IndexError, TypeError):
        raise ValueError("not an iCalendar file: something in it is of an unknown form") from None
    if not calendars or any(component.name != "VCALENDAR" for component in calendars):
        raise ValueError("not an iCalendar file: it has no VCALENDAR")
    components = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    repeating = sum("RRULE" in event for event in components)
    if len(components) > _MOST_EVENTS or repeating > _MOST_REPEATING:
        raise ValueError(
            f"{len(components)} events, {repeating} of them repeating: a calendar of windows has at most"
            f" {_MOST_EVENTS}, and {_MOST_REPEATING} that repeat"
        )
    return IcsCalendar(tuple(_events(components)))


def _events(components: Sequence[Component]) -> Iterator[IcsEvent]:
    masters: dict[str, Component] = {}
    changes: dict[str, list[Component]] = {}
    for number, component in enumerate(components):
        uid = str(_single(component, "UID") or f"event {number + 1}")
        if "RECURRENCE-ID" in component:
            changes.setdefault(uid, []).append(component)
        elif uid in masters:
            raise ValueError(f"{_title(component)}: two events have the UID '{uid}'")
        else:
            masters[uid] = component
    for uid, component in masters.items():
        if not _is_off(component):
            yield _with_changes(_event(component), component, changes.get(uid, []))
    for uid, changed in changes.items():
        if uid in masters and _is_off(masters[uid]):
            continue
        yield from (_event(component) for component in changed if not _is_off(component))


def _is_off(component: Component) -> bool:
    return str(_single(component, "STATUS") or "").upper() in _NO_WINDOW


def _title(component: Component) -> str:
    name = component.get("SUMMARY") or component.get("UID") or "without a name"
    return f"event '{shortened(str(name))}'"


def _single(component: Component, name: str) -> Property:
    """Return a property that RFC 5545 allows once; what is not there is ``None``."""
    found = component.get(name)
    if isinstance(found, list):
        raise ValueError(f"{_title(component)} has more than one {name}")  # noqa: TRY004 - the file is wrong, not a type of ours
    return found


def _event(component: Component) -> IcsEvent:
    title = _title(component)
    for name, broken in getattr(component, "errors", ()):
        raise ValueError(f"{title}: {name} cannot be read: {broken}")
    begins = _single(component, "DTSTART")
    if begins is None:
        raise ValueError(f"{title} has no DTSTART")
    start, timezone = _local(begins, title)
    duration = _length(component, title, start, timezone)
    rule = _rule(component, title)
    extra = tuple(moment for moment, _ in _list(component, "RDATE", timezone))
    excluded = _list(component, "EXDATE", timezone)
    # A date beside timed starts means the whole day; for an all-day event it is the start itself.
    whole_days = not isinstance(begins.dt, datetime)
    return IcsEvent(
        summary=str(component.get("SUMMARY", "")),
        start=start,
        timezone=timezone,
        duration=duration,
        rule=rule,
        extra=extra,
        excluded=frozenset(moment for moment, bare in excluded if whole_days or not bare),
        excluded_days=frozenset(moment.date() for moment, bare in excluded if bare and not whole_days),
    )


def _rule(component: Component, title: str) -> RecurrenceRule | None:
    given = _single(component, "RRULE")
    if given is None:
        return None
    try:
        return parse_rule(given.to_ical().decode())
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from None


def _with_changes(event: IcsEvent, component: Component, changes: Sequence[Component]) -> IcsEvent:
    moved = set(event.excluded)
    for change in changes:
        title = _title(change)
        replaced = _single(change, "RECURRENCE-ID")
        if "RANGE" in replaced.params:
            raise ValueError(f"{title}: RECURRENCE-ID with RANGE is not supported; end the series with UNTIL")
        moved.add(_in_zone_of(replaced.dt, replaced.params.get("TZID"), event.timezone, title))
    if event.rule is None and changes and not event.extra:
        raise ValueError(f"{_title(component)} is changed by RECURRENCE-ID but does not repeat")
    return replace(event, excluded=frozenset(moved))


def _local(prop: Property, title: str) -> tuple[datetime, str | None]:
    """Return the naive local time of a property and the name of its zone, ``None`` for the Schedule's."""
    return _naive(prop.dt, prop.params.get("TZID"), title)


def _naive(moment: date | datetime, tzid: str | None, title: str) -> tuple[datetime, str | None]:
    if not isinstance(moment, date):
        raise ValueError(f"{title} has a moment that is neither a date nor a time")  # noqa: TRY004 - as above
    check_year(moment)
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time()), None
    if tzid is not None:
        return moment.replace(tzinfo=None), _zone_name(str(tzid), title)
    return moment.replace(tzinfo=None), None if moment.tzinfo is None else "UTC"


def _zone_name(tzid: str, title: str) -> str:
    """Accept IANA names, also behind a vendor's prefix, and the names that Windows gives zones."""
    # Imported here for the reason above.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    parts = tzid.strip("/").split("/")
    for name in (WINDOWS_TO_OLSON.get(tzid, tzid), "/".join(parts[-3:]), "/".join(parts[-2:])):
        try:
            return zone(name).key
        except ValueError:
            continue
    try:
        zone(tzid)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from None
    return tzid


def _in_zone_of(moment: date | datetime, tzid: str | None, timezone: str | None, title: str) -> datetime:
    """Return a moment as naive local time of the event's zone."""
    local, own = _naive(moment, tzid, title)
    if own == timezone or not isinstance(moment, datetime):
        return local
    if own is None or timezone is None:
        raise ValueError(f"{title} mixes times with and without a zone")
    return on_the_wall(instant(local, zone(own)), zone(timezone))


def _list(component: Component, name: str, timezone: str | None) -> list[tuple[datetime, bool]]:
    """Return the moments of EXDATE or RDATE, each with whether it is a bare date."""
    given = component.get(name)
    groups = given if isinstance(given, list) else [] if given is None else [given]
    found = []
    for group in groups:
        for moment in (item.dt for item in group.dts):
            if isinstance(moment, tuple):
                problem = f"{_title(component)}: {name} with a period is not supported; give a start"
                raise ValueError(problem)  # noqa: TRY004 - the file is wrong, not a type of ours
            # The zone is a parameter of the whole list, not of its items.
            local = _in_zone_of(moment, group.params.get("TZID"), timezone, _title(component))
            found.append((local, not isinstance(moment, datetime)))
    return found


def _length(component: Component, title: str, start: datetime, timezone: str | None) -> timedelta:
    """Return the elapsed length of an event from its own first occurrence."""
    given, end = _single(component, "DURATION"), _single(component, "DTEND")
    if given is not None:
        length: timedelta = given.dt
    elif end is not None:
        length = _between(end, title, start, timezone)
    elif not isinstance(component["DTSTART"].dt, datetime):
        length = timedelta(days=1)
    else:
        raise ValueError(f"{title} has no length: give it DTEND or DURATION")
    if not timedelta(0) < length <= _LONGEST:
        raise ValueError(
            f"{title} lasts {length}; a window lasts more than nothing and at most {_LONGEST.days} days"
        )
    return length


def _between(given: Property, title: str, start: datetime, timezone: str | None) -> timedelta:
    end, end_zone = _local(given, title)
    if timezone is None and end_zone is None:
        return end - start
    if timezone is None or end_zone is None:
        raise ValueError(f"{title} mixes times with and without a zone")
    return instant(end, zone(end_zone)) - instant(start, zone(timezone))
