"""Which guests there are: each place that the configuration names is looked into by its own transport."""

from collections.abc import Callable, Mapping

from reconciler.host.config import GuestChoice, Guests
from reconciler.planning.facts.guests import Choice, GuestKind, Inspected, Inventory, Wishes, inventory
from reconciler.transports import incus, lxc, nspawn, proxmox

_PLACES: Mapping[GuestKind, Callable[[], Inspected]] = {
    GuestKind.PROXMOX: proxmox.inspect,
    GuestKind.LXC: lxc.inspect,
    GuestKind.INCUS: incus.inspect,
    GuestKind.NSPAWN: nspawn.inspect,
}


def guests_of(said: Guests) -> Inventory:
    """Look for the guests of this hypervisor, as its configuration says."""
    found = [_PLACES[kind]() for kind in said.from_]
    only = None if said.only is None else _choice(said.only)
    return inventory(
        found, Wishes(only, Choice() if said.except_ is None else _choice(said.except_), said.labels)
    )


def _choice(said: GuestChoice) -> Choice:
    return Choice(frozenset(said.ids), frozenset(said.tags))
