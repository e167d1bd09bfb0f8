"""What documents match on, of a host and of a guest; and which policies match a guest without meaning guests.

- A guest is matched by its id or by what its hypervisor calls it, by its labels, and by whose guest it is.
- Its labels are, the weaker first: its tags, what runs it (``guest: proxmox``), those of its hypervisor's own
  configuration, and those of its Host document, ``HOST/GUEST``. Who may set the tags of one guest alone can
  therefore take none of the others away.
- Before a guest was looked at, neither its system nor its package manager is known: what asks for these may
  match it.
"""

from collections.abc import Iterable, Iterator, Mapping

from reconciler.planning.facts.guests import Guest
from reconciler.planning.facts.observation import Observation
from reconciler.policy.documents import Match
from reconciler.policy.load import Origin, Revision
from reconciler.policy.match import HostFacts, means_guests, selects
from reconciler.policy.resolve import Resolver
from reconciler.records import dataclass


def facts_of(
    name: str,
    labels: Mapping[str, str],
    seen: Observation | None,
    guest_of: str | None = None,
    called: str = "",
) -> HostFacts:
    """Return what documents match on, but for what a Host document says.

    Args:
        name: Its id; of a guest, at its hypervisor.
        labels: What it says of itself.
        seen: What was observed, ``None`` where nothing was yet.
        guest_of: Id of the hypervisor, ``None`` for a host that is no guest.
        called: What its hypervisor calls a guest, empty where that is its id.
    """
    if seen is None:
        return HostFacts(name, labels, "", "", "", guest_of, called)
    return HostFacts(name, labels, seen.facts.os_id, seen.facts.os_version, seen.manager, guest_of, called)


def facts_of_guest(guest: Guest, home: str, seen: Observation | None = None) -> HostFacts:
    """Return what documents match on of a guest of ``home``, but for what a Host document says."""
    return facts_of(guest.id, guest.labels, seen, home, "" if guest.name == guest.id else guest.name)


@dataclass(frozen=True, slots=True)
class Unmeant:
    """A Policy that says nothing of guests and matches some.

    Attributes:
        name: Of the Policy.
        origin: Where it stands.
        guests: The ids of those that it matches, or may match once their system is known.
    """

    name: str
    origin: Origin
    guests: tuple[str, ...]


def unmeant(revision: Revision, guests: Iterable[Guest], home: str) -> tuple[Unmeant, ...]:
    """Return the policies that apply to guests which are looked after, and were not written for guests.

    One that asks whose guest it is, or what runs it, was.
    """
    resolver = Resolver(revision)
    known = [(guest.id, facts_of_guest(guest, home)) for guest in guests if not guest.left_out]
    told = [(name, facts, resolver.labels_of(facts)) for name, facts in known]
    return tuple(_unmeant(revision, told))


def _unmeant(
    revision: Revision, told: Iterable[tuple[str, HostFacts, Mapping[str, str]]]
) -> Iterator[Unmeant]:
    for placed in revision.policies:
        match = placed.value.match
        if means_guests(match):
            continue
        found = tuple(name for name, facts, labels in told if _may_select(match, facts, labels))
        if found:
            yield Unmeant(placed.value.name, placed.origin, found)


def _may_select(match: Match, facts: HostFacts, labels: Mapping[str, str]) -> bool:
    return selects(_of_what_is_known(match), facts, labels) and (
        match.not_ is None or not _surely_selects(match.not_, facts, labels)
    )


def _surely_selects(match: Match, facts: HostFacts, labels: Mapping[str, str]) -> bool:
    if match.os is not None or match.manager is not None:
        return False
    return selects(_of_what_is_known(match), facts, labels) and (
        match.not_ is None or not _may_select(match.not_, facts, labels)
    )


def _of_what_is_known(match: Match) -> Match:
    return match.model_copy(update={"os": None, "manager": None, "not_": None})
