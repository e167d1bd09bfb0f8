"""What a policy makes of a machine's sources: which count, may be missing, or serve security updates."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import takewhile
from typing import Literal

from reconciler.planning.facts.observation import Available, Observation, Offer, Source
from reconciler.policy.documents import Settings, Sources
from reconciler.policy.managers import traits_of
from reconciler.policy.sources import are_named
from reconciler.records import dataclass

SourcesKey = Literal["sources.only", "sources.except"]


@dataclass(frozen=True, slots=True)
class SourcesAsked:
    """What the package manager is told of its sources, in every question.

    Attributes:
        without: Ids of those that do not count, or could not be read and may be missing, sorted.
        security: Ids of further ones that serve security updates, sorted.
    """

    without: tuple[str, ...] = ()
    security: tuple[str, ...] = ()

    @classmethod
    def of(cls, observation: Observation, settings: Settings) -> "SourcesAsked":
        """Say what a policy makes of the sources that were seen."""
        named: Iterable[Source] = ()
        if traits_of(observation.manager).names_security_sources:
            patterns = settings.security_sources
            named = (one for one in observation.sources if are_named(patterns, one.name, one.release))
        without = {
            *left_out(observation.sources, settings.sources),
            *(one.identity for one in missing(observation, settings)),
        }
        return cls(tuple(sorted(without)), tuple(sorted(one.identity for one in named)))

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.without or self.security)

    def joined(self, seen: Observation, again: Observation) -> Observation:
        """Join what was seen of all sources with what was seen when the manager had been told."""
        # What the second look could not tell any more, such as what replaces what, policy does not leave out.
        is_silent = not set(again.unexplained) <= set(seen.unexplained)
        known = [one for one in seen.offers if not (is_silent and one.replaces)]
        offers = counted(known, again.offers) if self.without else again.offers
        sources = tuple(
            replace(one, security=True) if one.identity in self.security else one for one in seen.sources
        )
        return replace(again, offers=offers, sources=sources, refresh=seen.refresh)


def missing(observation: Observation, settings: Settings) -> tuple[Source, ...]:
    """Return the sources that could not be read, and without which all else may go on.

    None where no other one counts: there is nothing else then, and nobody would know of what is new.
    """
    found = tuple(
        one
        for one in observation.sources
        if (one.identity in observation.refresh.missing or is_unread(one)) and _may_be_missing(one, settings)
    )
    others = (one for one in observation.sources if one not in found)
    return found if any(settings.sources.admit(one.name, one.release) for one in others) else ()


def is_unread(source: Source) -> bool:
    """Tell whether a source was never read, which is a problem of it."""
    return bool(source.problem) and source.fetched is None


def lacks_only(observation: Observation, absent: Iterable[Source]) -> bool:
    """Tell whether a refresh read everything but these sources."""
    unread = frozenset(observation.refresh.missing)
    return bool(unread) and unread <= {one.identity for one in absent}


def _may_be_missing(source: Source, settings: Settings) -> bool:
    match settings.refresh.may_be_missing:
        case "none":
            return False
        case "marked":
            return source.may_be_missing
        case patterns:
            return source.may_be_missing or are_named(patterns, source.name, source.release)


def left_out(sources: Iterable[Source], wanted: Sources) -> tuple[str, ...]:
    """Return the ids of the sources that are not among those wanted, sorted."""
    return tuple(sorted(one.identity for one in sources if not wanted.admit(one.name, one.release)))


def by_name(sources: Iterable[Source]) -> dict[str, tuple[Source, ...]]:
    """Group sources by their names, which need not be unique."""
    found: dict[str, tuple[Source, ...]] = {}
    for source in sources:
        found[source.name] = (*found.get(source.name, ()), source)
    return found


def not_admitted(sources: Iterable[Source], wanted: Sources) -> dict[str, SourcesKey]:
    """Return the names of the sources none of which counts, each with the setting that says so."""
    found: dict[str, SourcesKey] = {}
    for name, known in by_name(sources).items():
        if any(wanted.admit(name, one.release) for one in known):
            continue
        is_excepted = are_named(wanted.except_, name, known[0].release)
        found[name] = "sources.except" if is_excepted else "sources.only"
    return found


def counted(offers: Iterable[Offer], within: Iterable[Offer]) -> tuple[Offer, ...]:
    """Join what all sources offer with what those offer that policy admits.

    Args:
        offers: Of all sources.
        within: Of those that count: in these, the candidates are.

    Returns:
        Every offer, sorted by package; versions that only other sources have are marked as left out.
    """
    found = {
        offer.package: replace(offer, versions=tuple(map(_left_out, offer.versions))) for offer in offers
    }
    for offer in within:
        known = found.get(offer.package)
        passed = () if known is None else _before(known.versions, offer)
        found[offer.package] = replace(offer, versions=(*passed, *offer.versions))
    return tuple(found[package] for package in sorted(found))


def offers_under(
    seen: Observation, settings: Settings, serving: frozenset[str] = frozenset()
) -> tuple[Offer, ...]:
    """Return what a machine offers as another policy sees its sources than the one by which it was looked at.

    Of a version that counts again the look tells all but what the operator's pins make of it: it is taken for
    one that the manager would choose.

    Args:
        seen: The look.
        settings: Of the other policy.
        serving: Ids of the sources that served security updates by the word of the policy of that time.
    """
    asked = SourcesAsked.of(seen, settings)
    groups = by_name(seen.sources).items()
    absent = frozenset(
        name for name, known in groups if {one.identity for one in known}.issubset(asked.without)
    )
    is_marked = any(one.left_out for offer in seen.offers for one in offer.versions)
    offers = tuple(_counting(offer, absent) for offer in seen.offers) if absent or is_marked else seen.offers
    return _serving(offers, seen.sources, serving, frozenset(asked.security))


def _serving(
    offers: tuple[Offer, ...], sources: Iterable[Source], was: frozenset[str], now: frozenset[str]
) -> tuple[Offer, ...]:
    """Mark what is a security update by the sources that serve such now, where others were told before."""
    if was == now:
        return offers
    found = tuple(sources)
    moved = {one.name for one in found if one.identity in was ^ now}
    good = {one.name for one in found if one.identity in now or (one.security and one.identity not in was)}

    def marked(one: Available) -> Available:
        is_moved = not moved.isdisjoint(one.origins)
        return replace(one, security=not good.isdisjoint(one.origins)) if is_moved else one

    return tuple(replace(offer, versions=tuple(map(marked, offer.versions))) for offer in offers)


def _counting(offer: Offer, absent: frozenset[str]) -> Offer:
    """Mark the versions that only absent sources have, and no others."""
    versions = tuple(
        replace(one, left_out=bool(one.origins) and absent.issuperset(one.origins)) for one in offer.versions
    )
    if versions == offer.versions:
        return offer
    names = [one.version for one in versions]
    place = names.index(offer.candidate) if offer.candidate in names else 0
    # What stands before the candidate, and was not left out, is what the operator's pins forbid.
    chosen = (
        now.version
        for number, (was, now) in enumerate(zip(offer.versions, versions, strict=True))
        if (number >= place or was.left_out) and not now.left_out
    )
    return replace(offer, versions=versions, candidate=next(chosen, offer.candidate))


def _before(versions: Iterable[Available], offer: Offer) -> tuple[Available, ...]:
    """Return what the manager would rather have chosen than the candidate of ``offer``."""
    own = {one.version for one in offer.versions}
    better = takewhile(lambda one: one.version != offer.candidate, versions)
    return tuple(one for one in better if one.version not in own)


def _left_out(available: Available) -> Available:
    return replace(available, left_out=True)
