"""Recurrence rules of RFC 5545 (RRULE) for windows: whole days, expanded in naive local time.

The rules:

- A rule says on which *days* a window starts; the time of day comes from ``at`` (or from an event's DTSTART).
  FREQ below DAILY and BYHOUR, BYMINUTE and BYSECOND are therefore refused.
- What a rule does not say it takes from its anchor, the ``from`` date: the phase of INTERVAL, the begin of
  COUNT, and the weekday, day or month of a rule that names none. Such a rule without ``from`` is refused.
- UNTIL is inclusive. A bare date includes that whole day.
- BYWEEKNO needs BYDAY beside it, since readers of the RFC disagree about what it means alone.

The search walks periods (a day, week, month or year) from the anchor or, unless COUNT must be counted, from
the period that the caller asks about, and ends where the caller's range ends. It does not use
python-dateutil, which starts at the anchor every time and looks for a date that never comes until the year
9999; the tests compare the two.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from reconciler.policy.zones import check_year, on_the_wall
from reconciler.records import dataclass

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_LARGEST_INTERVAL = 1000
_FIRST_MONDAY = date(1970, 1, 5)
_LAST_DAY = date(2200, 1, 1)
"""Later windows are never asked about."""


class Frequency(StrEnum):
    """The period of a rule; shorter ones cannot say when a window starts."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


@dataclass(frozen=True, slots=True)
class OrdinalDay:
    """One item of BYDAY.

    Attributes:
        ordinal: The n-th of the month or year, negative from its end; 0 is every one.
        weekday: Monday is 0.
    """

    ordinal: int
    weekday: int


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """The days of an RRULE; an empty BY part restricts nothing.

    Attributes:
        until: Last local moment a start may have; aware in UTC where the rule says so with ``Z``.
        week_start: WKST, Monday is 0.
    """

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    by_month: tuple[int, ...] = ()
    by_week_number: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[OrdinalDay, ...] = ()
    by_set_position: tuple[int, ...] = ()
    week_start: int = 0

    def takes_days_from_anchor(self) -> bool:
        """Tell whether the rule leaves the day (and for YEARLY the month) to its anchor."""
        if self.frequency is Frequency.DAILY:
            return False
        named = self.by_day or self.by_month_day or self.by_year_day or self.by_week_number
        return not named

    def anchored(self, anchor: date) -> "RecurrenceRule":
        """Return the rule with what it leaves to ``anchor`` written out."""
        if not self.takes_days_from_anchor():
            return self
        match self.frequency:
            case Frequency.WEEKLY:
                return replace(self, by_day=(OrdinalDay(0, anchor.weekday()),))
            case Frequency.MONTHLY:
                return replace(self, by_month_day=(anchor.day,))
            case Frequency.YEARLY:
                months = self.by_month or (anchor.month,)
                return replace(self, by_month=months, by_month_day=(anchor.day,))
            case Frequency.DAILY:
                return self

    def dates(self, anchor: date, first: date, last: date) -> Iterator[date]:
        """Yield the days from ``first`` to ``last``, both included, of the rule anchored at ``anchor``.

        COUNT is honoured, UNTIL is not: it may be an instant, which only a caller with a zone can compare.
        """
        rule = self.anchored(anchor)
        final = last if rule.count is None else min(last, rule.last_day(anchor))
        yield from (day for day in rule.walk(anchor, max(first, anchor), final) if day >= first)

    def last_day(self, anchor: date) -> date:
        """Return the day with which COUNT ends, or the last day that anybody asks about if that comes first.

        What the rule leaves to its anchor must be written out.
        """
        return _last_day(self, anchor)

    def counted_years(self, anchor: date) -> int:
        """Return through how many years COUNT had to be counted, at least one; none without it."""
        if self.count is None:
            return 0
        return max(1, self.anchored(anchor).last_day(anchor).year - anchor.year + 1)

    def walk(self, anchor: date, first: date, last: date) -> Iterator[date]:
        """Yield the days of every period from that of ``first`` on; some may lie before ``first``.

        Neither COUNT nor UNTIL are honoured, and what the rule leaves to its anchor must be written out.
        """
        number = max(0, self._periods_between(anchor, first)) // self.interval * self.interval
        while (period := self._period(anchor, number)) is not None and period[0] <= last:
            for day in self._selected(*period):
                if day > last:
                    return
                if day >= anchor:
                    yield day
            number += self.interval

    def _periods_between(self, anchor: date, day: date) -> int:
        match self.frequency:
            case Frequency.DAILY:
                return (day - anchor).days
            case Frequency.WEEKLY:
                return (self._week_begin(day) - self._week_begin(anchor)) // _WEEK
            case Frequency.MONTHLY:
                return (day.year - anchor.year) * 12 + day.month - anchor.month
            case Frequency.YEARLY:
                return day.year - anchor.year

    def _period(self, anchor: date, number: int) -> tuple[date, int] | None:
        """Return first day and length of the period ``number`` periods after the anchor's own.

        ``None`` where it lies behind the last day the calendar of :mod:`datetime` has.
        """
        try:
            match self.frequency:
                case Frequency.DAILY:
                    return anchor + number * _DAY, 1
                case Frequency.WEEKLY:
                    return self._week_begin(anchor) + number * _WEEK, 7
                case Frequency.MONTHLY:
                    years, month = divmod(anchor.month - 1 + number, 12)
                    begin = date(anchor.year + years, month + 1, 1)
                    return begin, monthrange(begin.year, begin.month)[1]
                case Frequency.YEARLY:
                    begin = date(anchor.year + number, 1, 1)
                    return begin, _days_in_year(begin.year)
        except (OverflowError, ValueError):
            return None

    def _week_begin(self, day: date) -> date:
        return day - ((day.weekday() - self.week_start) % 7) * _DAY

    def _selected(self, begin: date, length: int) -> list[date]:
        days = [day for day in self._candidates(begin, length) if self._matches(day)]
        if not self.by_set_position:
            return days
        positions = {
            position - 1 if position > 0 else len(days) + position for position in self.by_set_position
        }
        return [day for index, day in enumerate(days) if index in positions]

    def _candidates(self, begin: date, length: int) -> Iterator[date]:
        """Yield the days of a period, without most of those that BYMONTH or BYYEARDAY leave out."""
        # A year is the longest period to walk through, and these parts name few of its days.
        if self.by_year_day and not self.by_month:
            places = {place if place > 0 else length + 1 + place for place in self.by_year_day}
            yield from (begin + (place - 1) * _DAY for place in sorted(places) if 0 < place <= length)
            return
        if self.frequency is not Frequency.YEARLY or not self.by_month:
            yield from (begin + offset * _DAY for offset in range(length))
            return
        for month in sorted(self.by_month):
            for day in range(1, monthrange(begin.year, month)[1] + 1):
                yield date(begin.year, month, day)

    def _matches(self, day: date) -> bool:
        return (
            (not self.by_month or day.month in self.by_month)
            and (not self.by_month_day or self._is_month_day(day))
            and (not self.by_year_day or self._is_year_day(day))
            and (not self.by_day or any(self._is_ordinal_day(day, item) for item in self.by_day))
            and (not self.by_week_number or self._in_week(day))
        )

    def _is_month_day(self, day: date) -> bool:
        positions = self.by_month_day
        return day.day in positions or (positions[0] < 0 and day.day - _days_in_month(day) - 1 in positions)

    def _is_year_day(self, day: date) -> bool:
        place = (day - day.replace(month=1, day=1)).days + 1
        return _in_positions(place, _days_in_year(day.year), self.by_year_day)

    def _is_ordinal_day(self, day: date, item: OrdinalDay) -> bool:
        if day.weekday() != item.weekday:
            return False
        if item.ordinal == 0:
            return True
        whole_year = self.frequency is Frequency.YEARLY and not self.by_month
        place = day.timetuple().tm_yday if whole_year else day.day
        length = _days_in_year(day.year) if whole_year else _days_in_month(day)
        return item.ordinal in ((place + 6) // 7, -((length - place) // 7 + 1))

    def _in_week(self, day: date) -> bool:
        """Tell whether the day lies in one of BYWEEKNO's weeks; week 1 has at least four days of its year."""
        middle = self._week_begin(day) + 3 * _DAY
        number = (middle.timetuple().tm_yday + 6) // 7
        weeks = (_days_in_year(middle.year) - middle.timetuple().tm_yday) // 7 + number
        return _in_positions(number, weeks, self.by_week_number)


@lru_cache(maxsize=4096)
def _last_day(rule: RecurrenceRule, anchor: date) -> date:
    """Count from the anchor on, once for each rule: every later question begins where it asks."""
    number, day = 0, anchor - _DAY
    for number, day in enumerate(islice(rule.walk(anchor, anchor, _LAST_DAY), rule.count), start=1):  # noqa: B007 - the last is wanted
        pass
    return day if number == rule.count else _LAST_DAY


def _days_in_year(year: int) -> int:
    return 337 + monthrange(year, 2)[1]


def _days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _in_positions(place: int, length: int, positions: Sequence[int]) -> bool:
    return place in positions or place - length - 1 in positions


@dataclass(frozen=True, slots=True)
class RRuleExpression:
    """An RRULE with the time of day at which its windows start.

    Attributes:
        at: Local time of day.
        anchor: The ``from`` date; nothing starts before it. ``None`` where the rule needs none.
    """

    text: str
    rule: RecurrenceRule
    at: time
    anchor: date | None = None

    def counted_years(self) -> int:
        """Return through how many years the rule has to be counted."""
        return 0 if self.anchor is None else self.rule.counted_years(self.anchor)

    def in_zone(self, tz: ZoneInfo) -> "RRuleExpression":
        """Return the expression with an UNTIL given in UTC turned into local time of ``tz``."""
        if self.rule.until is None or self.rule.until.tzinfo is None:
            return self
        until = on_the_wall(self.rule.until, tz)
        return replace(self, rule=replace(self.rule, until=until))

    def expand(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the naive local times from ``begin`` up to, and without, ``end``, in order.

        An UNTIL in UTC is compared as if local; :meth:`in_zone` makes it exact.
        """
        # Without an anchor every phase is the same: periods are then counted from a Monday long ago.
        anchor = self.anchor or min(_FIRST_MONDAY, begin.date())
        until = self.rule.until.replace(tzinfo=None) if self.rule.until else None
        for day in self.rule.dates(anchor, begin.date(), end.date()):
            local = datetime.combine(day, self.at)
            if local >= end or (until is not None and local > until):
                return
            if local >= begin:
                yield local


def parse_rrule(text: str, at: str | time, from_: str | date | None = None) -> RRuleExpression:
    """Read a recurrence rule such as ``FREQ=MONTHLY;BYDAY=2TU``.

    Args:
        text: The rule, with or without ``RRULE:`` before it.
        at: Local time of day of the start, ``22:00`` or ``22:00:30``.
        from_: The anchor, ``2026-01-05``.

    Raises:
        ValueError: The rule, the time or the date is wrong, or the rule needs an anchor and has none.
    """
    rule = parse_rule(text)
    anchor = _anchor_date(from_)
    if anchor is None:
        _check_needs_no_anchor(text, rule)
    else:
        check_year(anchor)
    return RRuleExpression(text, rule, _time_of_day(at), anchor)


def _anchor_date(value: str | date | None) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"'{value}' is not a date for `from`; write it as 2026-01-05") from None


def _check_needs_no_anchor(text: str, rule: RecurrenceRule) -> None:
    if rule.interval > 1:
        raise ValueError(
            f"'{text}': INTERVAL={rule.interval} needs a `from: DATE` that says which "
            f"{_NOUNS[rule.frequency]}s are meant"
        )
    if rule.count is not None:
        raise ValueError(f"'{text}': COUNT={rule.count} needs a `from: DATE` to count from")
    if rule.takes_days_from_anchor():
        raise ValueError(
            f"'{text}' does not say on which day: add {_DAY_PARTS[rule.frequency]}, "
            "or a `from: DATE` whose day is meant"
        )


_NOUNS = {
    Frequency.DAILY: "day",
    Frequency.WEEKLY: "week",
    Frequency.MONTHLY: "month",
    Frequency.YEARLY: "year",
}
_DAY_PARTS = {
    Frequency.DAILY: "BYDAY",
    Frequency.WEEKLY: "BYDAY",
    Frequency.MONTHLY: "BYDAY or BYMONTHDAY",
    Frequency.YEARLY: "BYMONTH with BYMONTHDAY or BYDAY",
}


def _time_of_day(value: str | time) -> time:
    if isinstance(value, time):
        return value
    stripped = value.strip()
    try:
        parsed = time.fromisoformat(stripped)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo or parsed.microsecond or stripped.count(":") not in (1, 2):
        raise ValueError(f"'{value}' is not a time of day for `at`; write it as 22:00 or 22:00:30")
    return parsed


def parse_rule(text: str) -> RecurrenceRule:
    """Read the rule part alone, as RRULE properties of iCalendar have it.

    Raises:
        ValueError: RFC 5545 forbids it, or it does not say on which days windows start.
    """
    parts = _parts(text)
    rule = RecurrenceRule(
        frequency=_frequency(text, parts.pop("FREQ", "")),
        interval=_number(text, "INTERVAL", parts.pop("INTERVAL", "1"), 1, _LARGEST_INTERVAL),
        count=_number(text, "COUNT", parts.pop("COUNT"), 1, 100_000) if "COUNT" in parts else None,
        until=_until(text, parts.pop("UNTIL")) if "UNTIL" in parts else None,
        by_month=_numbers(text, "BYMONTH", parts, 12, signed=False),
        by_week_number=_numbers(text, "BYWEEKNO", parts, 53),
        by_year_day=_numbers(text, "BYYEARDAY", parts, 366),
        by_month_day=_numbers(text, "BYMONTHDAY", parts, 31),
        by_day=_ordinal_days(text, parts.pop("BYDAY", None)),
        by_set_position=_numbers(text, "BYSETPOS", parts, 366),
        week_start=_weekday(text, parts.pop("WKST", "MO")),
    )
    for name in parts:
        raise _wrong(text, _refusal(name))
    for problem in _conflicts(rule):
        raise _wrong(text, problem)
    return rule


def _wrong(text: str, why: str) -> ValueError:
    return ValueError(f"'{text}' is not a recurrence rule for windows: {why}")


def _refusal(name: str) -> str:
    if name in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        return f"{name} is not for windows, which start at the time of day that `at` says"
    return f"'{name}' is not a part of RFC 5545"


def _parts(text: str) -> dict[str, str]:
    body = text.strip()
    if "\n" in body or body.upper().startswith("DTSTART"):
        raise _wrong(text, "give the rule alone; `from` and `at` take the place of DTSTART")
    if body.upper().startswith("RRULE:"):
        body = body[len("RRULE:") :]
    parts: dict[str, str] = {}
    for part in body.removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().upper()
        if not equals or not value.strip():
            raise _wrong(text, f"'{part}' is not NAME=VALUE")
        if name in parts:
            raise _wrong(text, f"{name} stands twice")
        parts[name] = value.strip().upper()
    return parts


def _frequency(text: str, value: str) -> Frequency:
    if value in ("HOURLY", "MINUTELY", "SECONDLY"):
        raise _wrong(
            text, f"FREQ={value} is below a day, but a window starts once a day, at the time that `at` says"
        )
    if value not in Frequency.__members__:
        raise _wrong(text, f"FREQ is one of {', '.join(Frequency)}" + (f", not {value}" if value else ""))
    return Frequency(value)


def _number(text: str, name: str, value: str, low: int, high: int) -> int:
    digits = value.removeprefix("+").removeprefix("-")
    number = int(value) if digits.isascii() and digits.isdigit() and len(digits) <= len("100000") else 0
    if not low <= number <= high or number == 0:
        raise _wrong(text, f"{name}={value} is not a number from {low} to {high}" + (" but 0" * (low < 0)))
    return number


def _numbers(
    text: str, name: str, parts: dict[str, str], high: int, *, signed: bool = True
) -> tuple[int, ...]:
    value = parts.pop(name, None)
    if value is None:
        return ()
    low = -high if signed else 1
    return tuple(sorted({_number(text, name, item.strip(), low, high) for item in value.split(",")}))


def _weekday(text: str, value: str) -> int:
    if value not in _WEEKDAYS:
        raise _wrong(text, f"'{value}' is not a weekday ({', '.join(_WEEKDAYS)})")
    return _WEEKDAYS.index(value)


def _ordinal_days(text: str, value: str | None) -> tuple[OrdinalDay, ...]:
    if value is None:
        return ()
    found = []
    for item in (item.strip() for item in value.split(",")):
        ordinal = item[:-2]
        longer = re.fullmatch(r"([+-]?[0-9]*)([A-Z]{2})[A-Z]+", item)
        if longer and longer[2] in _WEEKDAYS:
            raise _wrong(text, f"BYDAY={item} has more than two letters; write {longer[1]}{longer[2]}")
        found.append(
            OrdinalDay(_number(text, "BYDAY", ordinal, -53, 53) if ordinal else 0, _weekday(text, item[-2:]))
        )
    return tuple(dict.fromkeys(found))


def _until(text: str, value: str) -> datetime:
    for form in ("%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ"):
        try:
            parsed = datetime.strptime(value, form)  # noqa: DTZ007 - the zone is set below where there is one
        except ValueError:
            continue
        if form.endswith("Z"):
            return parsed.replace(tzinfo=UTC)
        return parsed if "T" in form else datetime.combine(parsed, time.max)
    raise _wrong(text, f"UNTIL={value} is not 20261231 or 20261231T235959Z")


def _conflicts(rule: RecurrenceRule) -> Iterator[str]:
    """Yield what RFC 5545 section 3.3.10 forbids, and what it leaves unclear."""
    yearly = rule.frequency is Frequency.YEARLY
    if rule.count is not None and rule.until is not None:
        yield "COUNT and UNTIL exclude one another"
    if rule.by_week_number and not yearly:
        yield "BYWEEKNO goes with FREQ=YEARLY only"
    if rule.by_week_number and not rule.by_day:
        yield "BYWEEKNO needs BYDAY beside it, which says the day of that week"
    if rule.by_year_day and not yearly:
        yield "BYYEARDAY goes with FREQ=YEARLY only"
    if rule.by_month_day and rule.frequency is Frequency.WEEKLY:
        yield "BYMONTHDAY does not go with FREQ=WEEKLY"
    numbered = any(item.ordinal for item in rule.by_day)
    if numbered and rule.frequency in (Frequency.DAILY, Frequency.WEEKLY):
        yield f"a numbered weekday does not go with FREQ={rule.frequency}"
    if numbered and rule.by_week_number:
        yield "a numbered weekday does not go with BYWEEKNO"
    narrowed = (rule.by_month, rule.by_week_number, rule.by_year_day, rule.by_month_day, rule.by_day)
    if rule.by_set_position and not any(narrowed):
        yield "BYSETPOS needs another BY part to choose from"
