"""Which guests there are: each place that the configuration names is looked into by its own transport."""

from collections.abc import Collection

from reconciler.cli.wiring.compose import policy_mirror
from reconciler.errors import ReconcilerError
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.revision import read_revision
from reconciler.host.config import Config, GuestChoice, Guests
from reconciler.host.state.guests import GuestFolders
from reconciler.planning.facts.guests import Choice, GuestKind, Inventory, Wishes, inventory
from reconciler.policy.load import Revision, load


def guests_of(said: Guests, kept: GuestFolders | None = None) -> Inventory:
    """Look for the guests of this hypervisor, as its configuration says.

    Args:
        said: By the configuration.
        kept: What is kept of guests that were looked after before; these are missed (:func:`missed`).
    """
    from reconciler.transports.ways import WAYS

    found = [WAYS[kind].inspect() for kind in said.from_]
    only = None if said.only is None else _choice(said.only)
    but = Choice() if said.except_ is None else _choice(said.except_)
    there = {guest.id for place in found for guest in place.guests}
    known = frozenset[str]() if kept is None else missed(said, kept, there)
    return inventory(found, Wishes(only, but, said.labels), known)


def missed(said: Guests, kept: GuestFolders, there: Collection[str] = ()) -> frozenset[str]:
    """Return the ids of guests that were looked after before, and that are looked for and nowhere now.

    One of a kind that the configuration does not name any more is not looked for: nobody says that it went.

    Args:
        said: By the configuration.
        kept: Of guests.
        there: Ids of those that are somewhere.
    """
    return frozenset(
        one for one in kept.known() if one not in there and _kind(kept, one) in {None, *said.from_}
    )


def _kind(kept: GuestFolders, guest: str) -> GuestKind | None:
    try:
        pin = kept.of(guest).recall().state.pin
    except ReconcilerError:
        return None
    return None if pin is None else pin.kind


def folders_of(config: Config) -> GuestFolders:
    """Return where the state and the logs of guests are."""
    return GuestFolders(config.state_dir, config.log_dir)


def policy_here(config: Config) -> Revision | None:
    """Return the policy that this host accepted last, by its own copy; ``None`` where it cannot be read."""
    source = policy_mirror(config)
    try:
        accepted = source.accepted()
        return None if accepted is None else policy_at(source, accepted.commit)
    except (ReconcilerError, OSError):
        return None


def policy_at(source: PolicyMirror, commit: str) -> Revision | None:
    """Return the policy of a commit, ``None`` where it is none that could be in force.

    Raises:
        ReconcilerError: It cannot be read.
    """
    found = load(read_revision(source.mirror, commit), commit)
    return found if isinstance(found, Revision) else None


def _choice(said: GuestChoice) -> Choice:
    return Choice(frozenset(said.ids), frozenset(said.tags))
