"""Time zones: names to zones, and local times to instants.

Every place where policy text meets the time line asks this module, so that all of them treat daylight saving
time alike:

- a local time that does not exist means the first instant that does;
- a local time that exists twice means the first of the two, and the second only where it ends a freeze or an
  expiry, so that neither is shortened by the repeated hour;
- what would lie outside of the calendar is its first or last instant: no text and no clock makes a function
  of this module raise.
"""

import difflib
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reconciler.policy.problems import shortened

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:/[A-Za-z0-9][A-Za-z0-9_+-]*){0,3}", re.ASCII)
_LONGEST_NAME = 64
_HOST_DEPENDENT = ("localtime", "posixrules", "Factory")
_VARIANT_TREES = ("posix/", "right/")
_RESOLUTION = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the time zone called ``name``, such as ``Europe/Berlin`` or ``UTC``.

    Raises:
        ValueError: There is no such zone in the IANA database, or its meaning depends on the machine
            (``localtime``); the message lists the nearest names.
    """
    # Python looks a name up as a path and as a module, so that what is no name of a zone is not looked up.
    known = (
        len(name) <= _LONGEST_NAME
        and _NAME.fullmatch(name) is not None
        and name not in _HOST_DEPENDENT
        and not name.startswith(_VARIANT_TREES)
    )
    try:
        if known:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"unknown time zone '{shortened(name)}'{_suggestion(name)}")


def zone_or_utc(name: str) -> ZoneInfo:
    """Return the time zone called ``name``, and UTC where there is none: for what somebody else recorded."""
    try:
        return zone(name)
    except ValueError:
        return ZoneInfo("UTC")


@lru_cache(maxsize=1)
def _zones_by_word() -> dict[str, str]:
    """Return the zones by their name and by its last part, in small letters; reading them takes a while."""
    by_word: dict[str, str] = {}
    for known in sorted(available_timezones()):
        by_word.setdefault(known.lower(), known)
        by_word.setdefault(known.rsplit("/", 1)[-1].lower(), known)
    return by_word


@lru_cache(maxsize=256)
def _suggestion(name: str) -> str:
    if re.fullmatch(r"[A-Z]{2,5}|(?:UTC|GMT)?[+-][0-9:]+", name):
        return "; use an IANA name such as Europe/Berlin, which knows summer time by itself"
    by_word = _zones_by_word()
    wanted = name.strip()[:64].lower().replace(" ", "_")
    nearest = dict.fromkeys(
        by_word[word] for word in difflib.get_close_matches(wanted, by_word, n=3, cutoff=0.7)
    )
    return (
        f"; did you mean {' or '.join(nearest)}?" if nearest else "; use an IANA name such as Europe/Berlin"
    )


def check_year(moment: date) -> None:
    """Check that a date of a calendar lies where zones and lengths can be counted with.

    Raises:
        ValueError: It lies before the calendars of today began, or behind what anybody will see.
    """
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"the year {moment.year} lies outside {_FIRST_YEAR} to {_LAST_YEAR}")


_FIRST_YEAR, _LAST_YEAR = 1600, 9000


def shifted(moment: datetime, span: timedelta) -> datetime:
    """Return ``moment`` moved by ``span``, or the end of the calendar that it would pass."""
    try:
        return moment + span
    except OverflowError:
        edge = date.max if span > timedelta(0) else date.min
        return datetime.combine(edge, time.max if span > timedelta(0) else time.min, moment.tzinfo)


def on_the_wall(moment: datetime, tz: tzinfo) -> datetime:
    """Return the naive local time of an aware ``moment`` in ``tz``."""
    try:
        return moment.astimezone(tz).replace(tzinfo=None, fold=0)
    except OverflowError:
        return moment.replace(tzinfo=None, fold=0)  # Where the calendar ends, hours make no difference.


def instant(local: datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant of the naive ``local`` time in ``tz``.

    A time inside a gap gives the first instant after the gap; a time that exists twice gives the first.
    """
    try:
        return _instant(local, tz)
    except OverflowError:
        return local.replace(tzinfo=UTC)


def _instant(local: datetime, tz: ZoneInfo) -> datetime:
    steady = _steady_offset(tz, local.date())
    if steady is not None:
        return (local - steady).replace(tzinfo=UTC)
    first = local.replace(tzinfo=tz, fold=0)
    before, after = _offset(first), _offset(first.replace(fold=1))
    if before < after:
        return _end_of_gap(local, before, after, tz)
    return (first - before).replace(tzinfo=UTC)


@lru_cache(maxsize=8192)
def _steady_offset(tz: ZoneInfo, day: date) -> timedelta | None:
    """Return the one offset of a local day, ``None`` if it changes; most starts need no more than this."""
    midnight = datetime.combine(day, time(), tz)
    bounds = (midnight, midnight + timedelta(hours=12), midnight + timedelta(days=1))
    offsets = {_offset(each.replace(fold=fold)) for each in bounds for fold in (0, 1)}
    return offsets.pop() if len(offsets) == 1 else None


def last_instant(local: datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant of ``local`` in ``tz``, the second of two where it exists twice."""
    return max(instant(local, tz), _in_utc(local.replace(tzinfo=tz, fold=1)))


def _in_utc(moment: datetime) -> datetime:
    return on_the_wall(moment, UTC).replace(tzinfo=UTC)


def _offset(aware: datetime) -> timedelta:
    return aware.utcoffset() or timedelta(0)


def _end_of_gap(local: datetime, before: timedelta, after: timedelta, tz: ZoneInfo) -> datetime:
    """Search the instant at which the offset changes; transitions happen on whole seconds."""
    low = (local - after).replace(tzinfo=UTC, microsecond=0)
    high = (local - before).replace(tzinfo=UTC, microsecond=0) + _RESOLUTION
    while high - low > _RESOLUTION:
        middle = low + (high - low) // (2 * _RESOLUTION) * _RESOLUTION
        if _offset(middle.astimezone(tz)) == before:
            low = middle
        else:
            high = middle
    return high


def parse_moment(text: str) -> date | datetime:
    """Read ``2026-12-20``, ``2026-12-20 08:00`` or an ISO 8601 time with offset, as policy text has them.

    Returns:
        A :class:`~datetime.date` for a bare date, else a datetime, aware where the text names an offset.

    Raises:
        ValueError: The text is none of these.
    """
    stripped = text.strip()
    try:
        if len(stripped) == len("2026-12-20"):
            return date.fromisoformat(stripped)
        if stripped.upper().endswith(" UTC"):
            return datetime.fromisoformat(stripped[:-4]).replace(tzinfo=UTC)
        return datetime.fromisoformat(stripped)
    except ValueError:
        raise ValueError(f"'{text}' is not a date (2026-12-20) or a time (2026-12-20T08:00)") from None


def start_instant(moment: date | datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant at which something ``from`` that moment begins.

    A bare date is the first instant of that day in ``tz``; a naive time is local to ``tz``.
    """
    match moment:
        case datetime(tzinfo=None):
            return instant(moment, tz)
        case datetime():
            return _in_utc(moment)
        case date():
            return instant(datetime.combine(moment, time()), tz)


def end_instant(moment: date | datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant at which something ``until`` that moment has ended.

    A bare date runs through the end of that day in ``tz``; a naive time is local to ``tz`` and, where it
    exists twice, means the second.
    """
    match moment:
        case datetime(tzinfo=None):
            return last_instant(moment, tz)
        case datetime():
            return _in_utc(moment)
        case date():
            return instant(shifted(datetime.combine(moment, time()), timedelta(days=1)), tz)
