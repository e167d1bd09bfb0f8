"""The evidence for minimum ages and deadlines: when this host first saw which version."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import get_args

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Exchange, FirstSeen, Offer, Urgency
from reconciler.planning.facts.versions import Order

_Sight = tuple[str, str, str]  # origin, name, version

URGENCIES: tuple[Urgency, ...] = get_args(Urgency)
"""The least urgent first."""


def observe_first_seen(
    previous: Iterable[FirstSeen],
    offers: Iterable[Offer],
    now: datetime,
    exchanges: Sequence[Exchange] | None = None,
    *,
    order: Order | None,
    is_whole: bool = True,
) -> tuple[FirstSeen, ...]:
    """Bring the dates of first sight up to date.

    A version that nobody recorded counts as seen now, so the plan is the same before and after this. What is
    kept for the next run must come from a call with the conversation.

    Args:
        previous: What was recorded so far.
        offers: What the sources offer now.
        now: The date of what is new.
        exchanges: The conversation of this run. Packages that would come in new are no offers: they are seen
            in the resolver's answers only, and without these they would be new forever. ``None`` before the
            conversation is over, or where it came to nothing: then what is recorded of packages without an
            offer is kept.
        order: Of the manager's versions; ``None`` where nobody knows it.
        is_whole: ``offers`` are all that there are. Where a source could not be read, nothing that is
            recorded is dropped: what it offers again tomorrow is no younger than it was.

    Returns:
        One entry for each (origin, name, version) that is offered or answered now, sorted by these, and of
        those that are offered no more the first of each package and urgency that the machine still lacks. A
        recorded date never moves, but one in the future becomes ``now``; what else is no longer offered is
        dropped, which bounds the record.
    """
    dates = _recorded(previous, now)
    offered = tuple(offers)
    seen = _offered(offered)
    if exchanges is not None:
        seen = {**_answered(exchanges), **seen}
    dates |= {key: FirstSeen(*key, dates[key].at if key in dates else now, seen[key]) for key in seen}
    kept = seen.keys() | _lacked(dates, offered, seen.keys(), order)
    if not is_whole:
        kept |= dates.keys()
    if exchanges is None or not _came_to_something(exchanges):
        names = {offer.name for offer in offered}
        kept |= {key for key in dates if key[1] not in names}
    return tuple(dates[key] for key in sorted(kept))


def _sight(entry: FirstSeen) -> _Sight:
    return entry.origin, entry.name, entry.version


def _recorded(previous: Iterable[FirstSeen], now: datetime) -> dict[_Sight, FirstSeen]:
    """Return what was recorded; of two entries about one version the earlier date and greater urgency."""
    dates: dict[_Sight, FirstSeen] = {}
    for entry in previous:
        known = dates.get(_sight(entry), entry)
        urgency = max(known.urgency, entry.urgency, key=URGENCIES.index)
        dates[_sight(entry)] = replace(entry, at=min(entry.at, known.at, now), urgency=urgency)
    return dates


def _offered(offers: Iterable[Offer]) -> dict[_Sight, Urgency]:
    """Return every version on offer; of one that several architectures have, the greatest urgency."""
    found: dict[_Sight, Urgency] = {}
    for offer in offers:
        for available in offer.versions:
            for origin in available.origins:
                key = (origin, offer.name, available.version)
                found[key] = max(found.get(key, "other"), available.urgency, key=URGENCIES.index)
    return found


def _lacked(
    dates: Mapping[_Sight, FirstSeen],
    offers: Iterable[Offer],
    seen: Collection[_Sight],
    order: Order | None,
) -> set[_Sight]:
    """Return of each package and urgency the version that was seen first of all that it is behind."""
    if order is None:
        return set()
    by_name: defaultdict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_name[offer.name].append(offer)
    first: dict[object, _Sight] = {}
    for key in sorted(dates, key=lambda one: (dates[one].at, one not in seen, one)):
        for offer in by_name.get(key[1], ()):
            of = offer.package, dates[key].urgency
            if of not in first and (key in seen or is_behind(offer, key[2], order)):
                first[of] = key
    return set(first.values())


def is_behind(offer: Offer, version: str, order: Order) -> bool:
    """Tell whether a machine lacks ``version``, and ``offer`` would bring that or a newer one."""
    is_newer = bool(offer.replaces) or order(offer.installed, version) < 0
    return is_newer and order(version, offer.candidate) <= 0


def _came_to_something(exchanges: Iterable[Exchange]) -> bool:
    """Say whether the conversation ended with a transaction, even an empty one; there may be none at all."""
    codes = [one.answer.exit_code for one in exchanges if one.question.only is None]
    return not codes or codes[-1] in exit_codes.WELL


def _answered(exchanges: Iterable[Exchange]) -> dict[_Sight, Urgency]:
    return {
        (change.origin, change.name, change.to_version): "security" if change.security else "other"
        for exchange in exchanges
        for change in exchange.answer.changes
        if change.to_version is not None
    }
