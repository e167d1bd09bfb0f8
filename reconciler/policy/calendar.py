"""When windows start: OnCalendar and cron, read and expanded in naive local time.

The rules:

- Every notation is expanded in naive local time, also RRULE in :mod:`reconciler.policy.recurrence` and
  iCalendar in :mod:`reconciler.policy.icalendarfile`; :mod:`reconciler.policy.windows` turns the local times
  into instants, so that daylight saving time is treated in one place.
- ``start`` is systemd's OnCalendar syntax as in systemd.time(7), version 252: what systemd refuses is
  refused, and what it normalizes alike is equal. Years are 1970 to 2199.
- Zone abbreviations of the machine's own zone, which systemd also takes, are refused: a policy must mean the
  same on every host.
- ``cron`` is the classic five fields. As in Debian's cron, day-of-month and day-of-week are both required
  when one of them starts with a star, and one of them is enough when neither does.
- Every search is bounded by the caller, so that a date that never comes (``02-30``) ends.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import field
from datetime import MINYEAR, UTC, date, datetime, time, timedelta
from heapq import merge
from typing import TYPE_CHECKING

from reconciler.policy.zones import zone
from reconciler.records import dataclass

if TYPE_CHECKING:
    from cronsim import CronSim

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_DIGITS = frozenset("0123456789")
_LARGEST_NUMBER = 2**31 - 1
_LONGEST_LIST = 241
_LAST_YEAR = 2199
_DAYS_OF_A_WEEK = 7
_DAY_NAMES = {
    name.lower(): number
    for number, names in enumerate(
        (
            ("Monday", "Mon"),
            ("Tuesday", "Tue"),
            ("Wednesday", "Wed"),
            ("Thursday", "Thu"),
            ("Friday", "Fri"),
            ("Saturday", "Sat"),
            ("Sunday", "Sun"),
        )
    )
    for name in names
}
_SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",  # systemd keeps its old typing error for compatibility
}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """One item of a component: a value, a value with repetition, or a range.

    Attributes:
        start: First value.
        stop: Last value, or -1 for an open end.
        step: Distance of the values; 0 for a single value.
    """

    start: int
    stop: int = -1
    step: int = 0

    def values(self, low: int, high: int) -> range:
        """Return the values from ``low`` to ``high``, both included."""
        if not self.step:
            return range(self.start, self.start + 1 if low <= self.start <= high else self.start)
        first = max(self.start, low + (self.start - low) % self.step)
        return range(first, (min(high, self.stop) if self.stop >= 0 else high) + 1, self.step)


@dataclass(frozen=True, slots=True)
class _Unit:
    """What a component may hold; ``scale`` is the number of steps in its whole unit."""

    name: str
    low: int
    high: int
    scale: int = 1


_YEAR = _Unit("year", 1970, _LAST_YEAR)
_MONTH = _Unit("month", 1, 12)
_DAY = _Unit("day", 1, 31)
_LAST_DAY = _Unit("day before the end of the month", 1, 28)
_HOUR = _Unit("hour", 0, 23)
_MINUTE_OF_HOUR = _Unit("minute", 0, 59)
_SECOND_OF_MINUTE = _Unit("second", 0, _MINUTE - 1, scale=_SECOND)
_EVERY_SECOND = (Span(0, -1, _SECOND),)


@dataclass(frozen=True, slots=True)
class CalendarExpression:
    """An OnCalendar expression; an empty component matches every value.

    Attributes:
        weekdays: Monday is 0; empty means every day.
        from_month_end: ``days`` count back from the end of the month (``~``).
        seconds: In microseconds.
        timezone: The zone named inside the expression, else ``None``.
    """

    weekdays: frozenset[int]
    years: tuple[Span, ...]
    months: tuple[Span, ...]
    days: tuple[Span, ...]
    from_month_end: bool
    hours: tuple[Span, ...]
    minutes: tuple[Span, ...]
    seconds: tuple[Span, ...]
    timezone: str | None

    def starts_a_day(self) -> int:
        """Return how often the expression elapses on a day, at most."""
        seconds = sum(len(span.values(0, _MINUTE - 1)) for span in self.seconds)
        return _number_of(self.hours, 24) * _number_of(self.minutes, 60) * seconds

    def expand(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the naive local times from ``begin`` up to, and without, ``end``, in order."""
        once = self._only_clock_time()
        for day in self._dates(begin.date(), end.date()):
            if once is not None:
                local = datetime.combine(day, once)
                if begin <= local < end:
                    yield local
                continue
            for clock in self._clock_times(begin.time() if day == begin.date() else time()):
                local = datetime.combine(day, clock)
                if local >= end:
                    return
                yield local

    def _dates(self, first: date, last: date) -> Iterator[date]:
        if self.years or self.months or self.days:
            return self._matching_dates(first, last)
        return _days_of_week(self.weekdays, first, min(last, date(_LAST_YEAR, 12, 31)))

    def _matching_dates(self, first: date, last: date) -> Iterator[date]:
        for year in _values(self.years, max(first.year, MINYEAR), min(last.year, _LAST_YEAR)):
            for month in _values(self.months, first.month if year == first.year else 1, 12):
                if (year, month) > (last.year, last.month):
                    return
                for day in self._days_of_month(year, month):
                    if first <= day <= last:
                        yield day

    def _days_of_month(self, year: int, month: int) -> Iterator[date]:
        first_weekday, length = monthrange(year, month)
        spans = self.days
        if self.from_month_end:
            spans = tuple(_from_end(span, length) for span in spans)
        for day in _values(spans, 1, length):
            if not self.weekdays or (first_weekday + day - 1) % 7 in self.weekdays:
                yield date(year, month, day)

    def _only_clock_time(self) -> time | None:
        """Return the time of day where there is but one, as in nearly all policies."""
        match self.hours, self.minutes, self.seconds:
            case (Span(hour, step=0),), (Span(minute, step=0),), (Span(microseconds, step=0),):
                return time(hour, minute, *divmod(microseconds, _SECOND))
            case _:
                return None

    def _clock_times(self, earliest: time) -> Iterator[time]:
        least = (earliest.hour, earliest.minute, earliest.second * _SECOND + earliest.microsecond)
        for hour in _values(self.hours, least[0], 23):
            first_minute = least[1] if hour == least[0] else 0
            for minute in _values(self.minutes, first_minute, 59):
                first = least[2] if (hour, minute) == least[:2] else 0
                for microseconds in _values(self.seconds, first, _MINUTE - 1):
                    yield time(hour, minute, *divmod(microseconds, _SECOND))


def _values(spans: tuple[Span, ...], low: int, high: int) -> Iterator[int] | range:
    """Return the values of all spans in order, each once, without building a list of them."""
    match spans:
        case ():
            return range(low, high + 1)
        case (only,):
            return only.values(low, high)
        case _:
            return _distinct(merge(*(span.values(low, high) for span in spans)))


def _number_of(spans: tuple[Span, ...], possible: int) -> int:
    return len(set(_values(spans, 0, possible - 1)))


def _distinct(ordered: Iterator[int]) -> Iterator[int]:
    previous = None
    for value in ordered:
        if value != previous:
            yield value
        previous = value


def _from_end(span: Span, length: int) -> Span:
    """Turn days counted from the end of a month of ``length`` days into days of the month."""
    if span.stop >= 0:
        return Span(length + 1 - span.stop, length + 1 - span.start, span.step)
    return Span(length + 1 - span.start, -1, span.step)


def _days_of_week(weekdays: frozenset[int], first: date, last: date) -> Iterator[date]:
    """Step from match to match; weeks are the most common windows, so this is worth its own path."""
    wanted = sorted(weekdays) or range(7)
    offsets = sorted((weekday - first.weekday()) % 7 for weekday in wanted)
    gaps = [later - sooner for sooner, later in zip(offsets, [*offsets[1:], offsets[0] + 7], strict=True)]
    day = first.toordinal() + offsets[0]
    final = last.toordinal()
    while True:
        for gap in gaps:
            if day > final:
                return
            yield date.fromordinal(day)
            day += gap


def parse_calendar(text: str) -> CalendarExpression:
    """Read an OnCalendar expression such as ``Sun 02:00`` or ``Mon *-05~07/1 22:00 Europe/Berlin``.

    Raises:
        ValueError: systemd 252 would refuse it too, or it names a zone whose meaning depends on the machine.
    """
    body, timezone = _split_zone(text)
    if not body:
        raise ValueError(f"'{text}' names no time; write for example 'Sun 02:00'")
    reader = _ExpressionReader(text, _SHORTHANDS.get(body.lower(), body))
    weekdays = reader.weekdays()
    if reader.peek() == "@":
        return _epoch(reader, weekdays, timezone)
    years, months, days, from_month_end = reader.date()
    hours, minutes, seconds = reader.clock()
    return CalendarExpression(
        weekdays=weekdays if len(weekdays) < _DAYS_OF_A_WEEK else frozenset(),
        years=_checked(years, _YEAR, reader),
        months=_checked(months, _MONTH, reader),
        days=_checked(days, _LAST_DAY if from_month_end else _DAY, reader),
        from_month_end=from_month_end and bool(days),
        hours=_checked(hours, _HOUR, reader),
        minutes=_checked(minutes, _MINUTE_OF_HOUR, reader),
        seconds=_checked(seconds, _SECOND_OF_MINUTE, reader),
        timezone=timezone,
    )


def _split_zone(text: str) -> tuple[str, str | None]:
    """Take the zone off the end; a last word that is no zone stays, and the reader refuses it."""
    if text[-4:].lower() == " utc":
        return text[:-4], "UTC"
    body, space, last = text.rpartition(" ")
    if not space or not last[:1].isalpha() or last.lower().partition(",")[0].partition(".")[0] in _DAY_NAMES:
        return text, None
    zone(last)
    return body, last


def _epoch(reader: "_ExpressionReader", weekdays: frozenset[int], timezone: str | None) -> CalendarExpression:
    """Read ``@SECONDS``, a single instant; it is in UTC, whatever zone is named beside it."""
    reader.skip(1)
    seconds = reader.number()
    if not reader.at_end() or timezone not in (None, "UTC"):
        raise reader.wrong("'@' takes seconds since 1970 in UTC and nothing after them")
    if seconds > datetime(_LAST_YEAR, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp():
        raise reader.wrong(f"it lies after the year {_LAST_YEAR}")
    moment = datetime.fromtimestamp(seconds, UTC)
    return CalendarExpression(
        weekdays=weekdays if len(weekdays) < _DAYS_OF_A_WEEK else frozenset(),
        years=(Span(moment.year),),
        months=(Span(moment.month),),
        days=(Span(moment.day),),
        from_month_end=False,
        hours=(Span(moment.hour),),
        minutes=(Span(moment.minute),),
        seconds=(Span(moment.second * _SECOND),),
        timezone="UTC",
    )


def _checked(spans: tuple[Span, ...], unit: _Unit, reader: "_ExpressionReader") -> tuple[Span, ...]:
    """Normalize the spans of a component, refuse values it cannot have, and sort them."""
    checked = set()
    for given in spans:
        span = _with_century(given) if unit is _YEAR else given
        if span.stop >= 0 and span.stop > span.start:
            span = Span(span.start, span.stop - (span.stop - span.start) % span.step, span.step)
        if span.stop == span.start:
            span = Span(span.start)
        checked.add(span)
    ordered = tuple(sorted(checked))
    for place, span in enumerate(ordered):
        _check(span, unit, place, reader)
    # Whatever stands beside every second adds nothing, and systemd prints such a list as '*'.
    return _EVERY_SECOND if unit is _SECOND_OF_MINUTE and ordered[:1] == _EVERY_SECOND else ordered


def _with_century(span: Span) -> Span:
    return Span(_century(span.start), _century(span.stop), span.step)


def _century(year: int) -> int:
    """Read 0 to 69 as this century and 70 to 99 as the last, as systemd does."""
    if 0 <= year < 70:  # noqa: PLR2004 - the pivot of two-digit years in systemd.time(7)
        return year + 2000
    return year + 1900 if 70 <= year < 100 else year  # noqa: PLR2004 - the same


def _check(span: Span, unit: _Unit, place: int, reader: "_ExpressionReader") -> None:
    """Refuse what the item at ``place`` of a sorted list cannot be."""
    # systemd narrows the range by three days for each item of such a list; what it refuses is refused here.
    largest = unit.high - 3 * place if unit is _LAST_DAY else unit.high
    if not unit.low <= span.start <= largest or span.stop > largest:
        bounds = f"from {unit.low // unit.scale} to {largest // unit.scale}"
        which = f" as item {place + 1} of a list" if largest < unit.high else ""
        raise reader.wrong(f"the {unit.name} is {bounds}{which}")
    if span.stop >= 0 and span.start > span.stop:
        raise reader.wrong(f"the range of the {unit.name} runs backwards; write two items separated by ','")
    if span.step == 0:
        return
    # What repeats must be able to do so once. Days counted from the end of a month run towards it.
    room = unit.high - span.start if span.stop < 0 else span.stop - span.start
    if unit is _LAST_DAY and span.stop < 0:
        room = span.start - unit.low
    if span.step > room:
        raise reader.wrong(f"the repetition of the {unit.name} never happens within its range")


class _ExpressionReader:
    """Reads the parts of an expression from left to right."""

    def __init__(self, whole: str, body: str) -> None:
        self._whole = whole
        self._body = body
        self._at = 0

    def wrong(self, why: str) -> ValueError:
        return ValueError(f"'{self._whole}' is not an OnCalendar expression: {why}")

    def peek(self, ahead: int = 0) -> str:
        return self._body[self._at + ahead : self._at + ahead + 1]

    def at_end(self) -> bool:
        return self._at >= len(self._body)

    def skip(self, count: int) -> None:
        self._at += count

    def skip_spaces(self) -> None:
        while self.peek() == " ":
            self._at += 1

    def weekdays(self) -> frozenset[int]:
        """Read ``Mon,Wed..Fri``, also with the old ``-`` for ``..``; a comma may stand at the end."""
        found: set[int] = set()
        first_of_range: int | None = None
        while (day := self._weekday()) is not None:
            if first_of_range is not None and first_of_range > day:
                raise self.wrong("the range of weekdays runs backwards; write for example 'Sat,Sun,Mon'")
            found.update(range(day if first_of_range is None else first_of_range, day + 1))
            separator = self._weekday_separator()
            if separator in ("..", "-") and first_of_range is not None:
                raise self.wrong("a range of weekdays has two ends")
            first_of_range = day if separator in ("..", "-") else None
            if self.peek() in ("", " "):
                if first_of_range is not None:
                    raise self.wrong("the range of weekdays has no end")
                self.skip_spaces()
                return frozenset(found)
        if found:
            raise self.wrong(f"'{self._body[self._at :]}' stands where a weekday is expected")
        return frozenset()

    def _weekday(self) -> int | None:
        end = self._at
        while self._body[end : end + 1].isalpha():
            end += 1
        word = self._body[self._at : end]
        if not word or (not word.isascii()):
            return None
        day = _DAY_NAMES.get(word.lower())
        if day is None:
            hint = f"; write {word[:3].title()}" if word[:3].lower() in _DAY_NAMES else ""
            raise self.wrong(f"'{word}' is not a weekday (Mon, Tue, Wed, Thu, Fri, Sat, Sun){hint}")
        self._at = end
        return day

    def _weekday_separator(self) -> str:
        """Read what parts two weekdays; a space, or the end, behind the last one is left to the caller."""
        for separator in ("..", "-", ","):
            if self._body.startswith(separator, self._at):
                self.skip(len(separator))
                return separator
        if self.at_end() or self.peek() == " ":
            return self.peek()
        raise self.wrong(f"'{self.peek()}' after a weekday; separate weekdays by ',' or '..'")

    def number(self) -> int:
        end = self._at
        while self._body[end : end + 1] in _DIGITS:
            end += 1
        if end == self._at:
            raise self.wrong(self._no_number())
        value = int(self._body[self._at : min(end, self._at + 20)])
        if value > _LARGEST_NUMBER or end - self._at > 20:  # noqa: PLR2004 - longer ones only waste time
            raise self.wrong(f"{self._body[self._at : end][:20]} is too large")
        self._at = end
        return value

    def _no_number(self) -> str:
        if self.at_end():
            return "it ends where a number is expected"
        rest = self._body[self._at :]
        return f"'{rest}' stands where a number is expected"

    def _microseconds(self) -> int:
        """Read seconds with a fraction, rounded to microseconds."""
        value = self.number() * _SECOND
        if self.peek() == "." and self.peek(1) != ".":
            self.skip(1)
            begin = self._at
            while self.peek() in _DIGITS and not self.at_end():
                self.skip(1)
            digits = self._body[begin : self._at]
            if not digits:
                raise self.wrong("the fraction of the seconds has no digits")
            value += int(digits[:6].ljust(6, "0")) + (digits[6:7] >= "5")
        if value > _LARGEST_NUMBER:
            raise self.wrong("the number of seconds is too large")
        return value

    def _chain(self, *, seconds: bool = False) -> tuple[Span, ...]:
        """Read ``*`` (no spans), or items separated by commas."""
        if self.peek() == "*":
            self.skip(1)
            if self.peek() == "/":
                raise self.wrong("'*' takes no repetition; write '0/2' for every second value")
            return _EVERY_SECOND if seconds else ()
        spans = [self._span(self._microseconds if seconds else self.number, _SECOND if seconds else 1)]
        while self.peek() == ",":
            self.skip(1)
            spans.append(
                self._span(self._microseconds if seconds else self.number, _SECOND if seconds else 1)
            )
            if len(spans) > _LONGEST_LIST:
                raise self.wrong(f"a list has more than {_LONGEST_LIST} items")
        return tuple(spans)

    def _span(self, value: Callable[[], int], unit: int) -> Span:
        start = value()
        stop, step = -1, 0
        if self.peek() == "." and self.peek(1) == ".":
            self.skip(2)
            stop, step = value(), unit
        if self.peek() == "/":
            self.skip(1)
            step = value()
            if step == 0:
                raise self.wrong("a repetition of 0 would never advance")
        elif 0 <= stop < start + unit and unit == _SECOND:
            raise self.wrong("a range of seconds spans at least one second")
        return Span(start, stop, step)

    def date(self) -> tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...], bool]:
        """Read year, month and day, and whether days count from the end; all empty where a time follows."""
        begin = self._at
        first = () if self.at_end() else self._chain()
        if self.peek() in ("", ":"):
            self._at = begin
            return (), (), (), False
        from_end = self._date_separator()
        second = self._chain()
        if self.peek() in ("", " "):
            self.skip_spaces()
            return (), first, second, from_end
        if from_end:
            raise self.wrong("'~' stands before the day only")
        from_end = self._date_separator()
        third = self._chain()
        if self.peek() not in ("", " "):
            raise self.wrong(f"'{self.peek()}' after the date; a space separates date and time")
        self.skip_spaces()
        return first, second, third, from_end

    def _date_separator(self) -> bool:
        separator = self.peek()
        if separator not in ("-", "~") or not separator:
            raise self.wrong(f"'{separator}' in the date; write it as 2026-12-31 and the time as 02:00")
        self.skip(1)
        return separator == "~"

    def clock(self) -> tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...]]:
        """Read hour, minute and second; midnight where nothing is left."""
        midnight = (Span(0),)
        if self.at_end():
            return midnight, midnight, midnight
        hours = self._chain()
        if self.peek() != ":":
            raise self.wrong("a time has hour and minute, such as 02:00")
        self.skip(1)
        minutes = self._chain()
        if self.at_end():
            return hours, minutes, midnight
        if self.peek() != ":":
            raise self.wrong(f"'{self._body[self._at :]}' after the time")
        self.skip(1)
        seconds = self._chain(seconds=True)
        if not self.at_end():
            raise self.wrong(f"'{self._body[self._at :]}' after the time")
        return hours, minutes, seconds


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A cron expression of five fields: minute, hour, day of the month, month, day of the week."""

    text: str
    _fields: "CronSim" = field(repr=False, compare=False)

    def expand(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the naive local times from ``begin`` up to, and without, ``end``, in order."""
        clocks = [
            time(hour, minute)
            for hour in sorted(self._fields.hours)
            for minute in sorted(self._fields.minutes)
        ]
        for day in self._dates(begin.date(), end.date()):
            for clock in clocks:
                local = datetime.combine(day, clock)
                if local >= end:
                    return
                if local >= begin:
                    yield local

    def starts_a_day(self) -> int:
        """Return how often the expression elapses on a day, at most."""
        return len(self._fields.hours) * len(self._fields.minutes)

    def _dates(self, first: date, last: date) -> Iterator[date]:
        months = self._fields.months
        day = first
        while day <= last:
            if day.month not in months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._fields.match_day(day):
                yield day
            day += timedelta(days=1)


_CRON_LIMITS = {
    "minute": "; write 0 to 59",
    "hour": "; write 0 to 23",
    "day-of-month": "; write 1 to 31, a day that the month has",
    "month": "; write 1 to 12",
    "day-of-week": "; write 0 to 7 or SUN to SAT",
}


def parse_cron(text: str) -> CronExpression:
    """Read a cron expression such as ``0 22 * * 6``; ``L`` and ``#`` as in cronsim are understood.

    Raises:
        ValueError: It has not five fields, or a field is wrong.
    """
    # Imported here, since few policies use cron and every command would pay for it.
    from cronsim import CronSim, CronSimError

    fields = text.split()
    if text.strip().startswith("@"):
        raise ValueError(f"'{text}' is not a cron expression: for names such as daily use `start` instead")
    if len(fields) != 5:  # noqa: PLR2004 - crontab(5)
        raise ValueError(
            f"'{text}' is not a cron expression: it has {len(fields)} fields instead of the five "
            "minute, hour, day of month, month and day of week"
        )
    try:
        return CronExpression(text, CronSim(text, datetime(1970, 1, 1)))  # noqa: DTZ001 - local time is naive
    except (CronSimError, ValueError) as error:
        problem = str(error).replace("Bad ", "")
        limits = _CRON_LIMITS.get(problem, "")
        raise ValueError(f"'{text}' is not a cron expression: its {problem} field is wrong{limits}") from None
