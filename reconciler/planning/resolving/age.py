"""The evidence for minimum ages: when this host first saw which version."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Exchange, FirstSeen, Offer

_Sight = tuple[str, str, str]  # origin, name, version


def observe_first_seen(
    previous: Iterable[FirstSeen],
    offers: Iterable[Offer],
    now: datetime,
    exchanges: Sequence[Exchange] | None = None,
    *,
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
        is_whole: ``offers`` are all that there are. Where a source could not be read, nothing that is
            recorded is dropped: what it offers again tomorrow is no younger than it was.

    Returns:
        One entry for each (origin, name, version) that is offered or answered now, sorted by these. A
        recorded date never moves, but one in the future becomes ``now``; what is no longer offered is
        dropped, which bounds the record.
    """
    dates: dict[_Sight, datetime] = {}
    for entry in previous:
        key = (entry.origin, entry.name, entry.version)
        dates[key] = min(entry.at, dates.get(key, now), now)
    offered = tuple(offers)
    seen = {
        (origin, offer.name, available.version)
        for offer in offered
        for available in offer.versions
        for origin in available.origins
    }
    if not is_whole:
        seen |= dates.keys()
    if exchanges is None or not _came_to_something(exchanges):
        names = {offer.name for offer in offered}
        seen |= {key for key in dates if key[1] not in names}
    if exchanges is not None:
        seen |= _answered(exchanges)
    return tuple(FirstSeen(*key, at=dates.get(key, now)) for key in sorted(seen))


def _came_to_something(exchanges: Iterable[Exchange]) -> bool:
    """Say whether the conversation ended with a transaction, even an empty one; there may be none at all."""
    codes = [one.answer.exit_code for one in exchanges if one.question.only is None]
    return not codes or codes[-1] in exit_codes.WELL


def _answered(exchanges: Iterable[Exchange]) -> set[_Sight]:
    return {
        (change.origin, change.name, change.to_version)
        for exchange in exchanges
        for change in exchange.answer.changes
        if change.to_version is not None
    }
