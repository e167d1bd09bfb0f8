"""How numbers, lists, sizes, times and digests stand in sentences, wherever one is written."""

import re
from collections.abc import Sequence
from datetime import datetime

from reconciler.planning.text.canonical import instant
from reconciler.policy.zones import zone_or_utc


def plural(number: int, noun: str) -> str:
    """Return ``1 update`` or ``2 updates``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def changes_of(number: int, security: int) -> str:
    """Return ``5 changes`` or, where some are for security, ``5 changes (2 security)``."""
    return plural(number, "change") + (f" ({security} security)" if security else "")


def listed(items: Sequence[str], limit: int = 5) -> str:
    """Write a list that stays readable however long it is: up to ``limit`` items, the others counted."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def sentence(words: str) -> str:
    """Write what somebody said on several lines as one sentence: each line once, joined by semicolons."""
    lines = (line.strip().rstrip(";").rstrip() for line in words.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))


def mebibytes(size: int) -> str:
    """Write a size in bytes as whole mebibytes, rounded up."""
    return f"{-(-size // 2**20)} MiB"


def short_digest(digest: str) -> str:
    """Return the first twelve digits of a plan's digest, without the name of the algorithm."""
    return digest.removeprefix("sha256:")[:12]


def minute(at: datetime) -> str:
    """Write an aware instant to the minute, with its zone: ``2026-11-26 02:00 UTC``."""
    return at.strftime("%Y-%m-%d %H:%M %Z").strip()


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def on_the_clock(at: datetime, timezone: str) -> str:
    """Write an aware instant as a clock of that zone shows it: ``Sun 2026-11-29 02:00 Europe/Berlin``.

    An hour that comes twice, where clocks are set back, has its distance from UTC behind it. In a zone that
    is not known here it is UTC.
    """
    tz = zone_or_utc(timezone)
    local, name = at.astimezone(tz), tz.key
    seconds = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    said = f"{_WEEKDAYS[local.weekday()]} {local:%Y-%m-%d} {seconds} {name}"
    is_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{said} ({local.isoformat()[-6:]})" if is_twice else said


def by_both_clocks(at: datetime, timezone: str) -> str:
    """Write an aware instant for a file, which people of any zone read: as there, with UTC beside it."""
    local = on_the_clock(at, timezone)
    return local if local.endswith(" UTC") else f"{local}, {instant(at)}"


def instants_on_the_clock(text: str, timezone: str, *, beside: bool = False) -> str:
    """Return a sentence of ours with the instants that it names in UTC on the clock of a zone.

    Args:
        text: Has them as ``2026-11-29T01:00:00Z`` or ``2026-11-29 01:00 UTC``.
        timezone: Of its readers.
        beside: Keep UTC beside each, in brackets.
    """
    if "Z" not in text and "UTC" not in text:
        return text  # nearly all

    def shown(found: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(f"{found['day']}T{found['time'] or found['minute']}+00:00")
            local = on_the_clock(at, timezone)
        except (ValueError, OverflowError):  # it only looks like one
            return found[0]
        return f"{local} ({instant(at)})" if beside and not local.endswith(" UTC") else local

    return _INSTANT.sub(shown, text)


_INSTANT = re.compile(
    r"(?<![\w.:-])(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})Z| (?P<minute>[0-9]{2}:[0-9]{2}) UTC)(?!\w)"
)


def day_and_hours(start: datetime, end: datetime, timezone: str) -> str:
    """Write a span of time on the clock of a zone; on one day, day and zone are told once."""
    first, last = on_the_clock(start, timezone), on_the_clock(end, timezone)
    day, until = _DAY.match(first), _DAY.match(last)
    if day is None or until is None or day["day"] != until["day"] or day["rest"] != until["rest"]:
        return f"{first} to {last}"
    return f"{day['day']} {day['time']} to {until['time']} {day['rest']}"


_DAY = re.compile(r"(?P<day>\S+ \S+) (?P<time>\S+) (?P<rest>.+)")
