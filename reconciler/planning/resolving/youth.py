"""Which versions are too young: not on offer for long enough, or not part of policy's state.

* A version must have been on offer for ``min_age`` of its sort.
* What was first seen after the day that ``as_of`` names, which ends with that day in UTC, is too young for as
  long as policy says so: no time makes it older. A day that is not over yet keeps nothing out.
* Evidence is when this host first saw the version from one of its sources. What nobody has seen before is
  seen now, and what was seen in the future was seen by a clock that was wrong: it counts as seen now, too.

Of what both keep out, ``as_of`` is told, which lasts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from reconciler.planning.facts.observation import Available, FirstSeen
from reconciler.policy.documents import Settings
from reconciler.policy.zones import end_instant, shifted
from reconciler.records import dataclass

Dates = Mapping[tuple[str, str, str], datetime]
"""When each version was first seen, by origin, name and version."""

YoungSetting = Literal["min_age.security", "min_age.other", "as_of"]

_UTC = ZoneInfo("UTC")
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TooYoung:
    """The version has not been on offer for long enough.

    Attributes:
        setting: Dotted key of the setting by which it is too young.
        seen: First time it was seen; the present where there is no evidence.
        ready: When it will be old enough; ``None`` where no time makes it so.
    """

    version: str
    setting: YoungSetting
    seen: datetime
    ready: datetime | None

    @property
    def order(self) -> datetime:
        """What sorts those behind that are ready later, and last those that never are."""
        return self.ready or _NEVER


def state_ends(settings: Settings) -> datetime | None:
    """Return the instant from which on what is new is too young by ``as_of``; ``None`` without one."""
    day = settings.as_of
    return end_instant(day, _UTC) if isinstance(day, date) else None


def first_sight(name: str, available: Available, dates: Dates, now: datetime) -> datetime:
    """Return when a version was first seen, from whichever of its sources; the present without evidence."""
    known = (dates.get((origin, name, available.version)) for origin in available.origins)
    return min((*(at for at in known if at is not None), now))


def youth_of(
    name: str, available: Available, dates: Dates, settings: Settings, now: datetime
) -> TooYoung | None:
    """Return by what a version of a package is too young, ``None`` where it is old enough."""
    ages, end = settings.min_age, state_ends(settings)
    least = ages.security if available.security else ages.other
    if not least and end is None:
        return None
    seen = first_sight(name, available, dates, now)
    if end is not None and seen >= end:
        return TooYoung(available.version, "as_of", seen, None)
    ready = shifted(seen, least)
    if ready <= now:
        return None
    return TooYoung(
        available.version, "min_age.security" if available.security else "min_age.other", seen, ready
    )


def ripenings(
    recorded: Collection[FirstSeen],
    offered: Iterable[tuple[str, Available]],
    settings: Settings,
    now: datetime,
) -> Iterator[datetime]:
    """Yield each instant at which a version becomes old enough, or what is unseen by then too young.

    Args:
        recorded: When what was first seen.
        offered: What is on offer, each version with the name of its package.
        settings: By which ages.
        now: When what is not recorded counts as seen.

    Yields:
        Instants, past ones among them.
    """
    ages = [age for age in (settings.min_age.security, settings.min_age.other) if age]
    known = {(entry.origin, entry.name, entry.version) for entry in recorded}
    for entry in recorded:
        yield from (shifted(min(entry.at, now), age) for age in ages)
    for name, available in offered:
        if any((origin, name, available.version) not in known for origin in available.origins):
            yield from (shifted(now, age) for age in ages)
    end = state_ends(settings)
    if end is not None:
        yield end
