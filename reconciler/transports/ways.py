"""All ways into guests, by kind: what each of them is asked."""

from collections.abc import Callable, Mapping, Sequence

from reconciler.errors import Transient
from reconciler.planning.facts.guests import Gone, Guest, GuestKind, GuestPlace, Inspected, Moved, State
from reconciler.records import dataclass
from reconciler.transports import incus, lxc, nspawn, proxmox
from reconciler.transports.kernel import lxc_groups, machine_groups, scope_of
from reconciler.transports.place import First, first_of, place_of

_OF_ALL = ("pve-guests.service", "lxc.service", "lxc-net.service", "incus-startup.service", "incus.service")


def _as_it_is(inner: Sequence[str]) -> Sequence[str]:
    return inner


def _no_units(_name: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Way:
    """One way into guests.

    Attributes:
        inspect: Returns which there are.
        entering: Returns the command that runs another one in a guest.
        restarting: Returns the command that restarts a guest; the seconds are those that it has to shut down,
            where that can be said.
        name: Returns what names the guest on this machine.
        groups: Returns the control groups in which a guest of a name may be.
        units: Returns the units that stop a guest of a name, and none but this.
        outliving: Makes what runs in a guest go on when the command that entered it is killed.
    """

    inspect: Callable[[], Inspected]
    entering: Callable[[Guest, Sequence[str]], tuple[str, ...]]
    restarting: Callable[[Guest, int], tuple[str, ...]]
    name: Callable[[Guest], str]
    groups: Callable[[str], tuple[str, ...]]
    units: Callable[[str], tuple[str, ...]] = _no_units
    outliving: Callable[[Sequence[str]], Sequence[str]] = _as_it_is


def _number(guest: Guest) -> str:
    return guest.id


def _name(guest: Guest) -> str:
    return guest.name


def _lxc_units(name: str) -> tuple[str, ...]:
    return (f"lxc@{name}.service", f"pve-container@{name}.service")


def _machine_units(name: str) -> tuple[str, ...]:
    return (f"systemd-nspawn@{name}.service", f"machine-{scope_of(name)}.scope", "machines.target")


WAYS: Mapping[GuestKind, Way] = {
    GuestKind.PROXMOX: Way(
        proxmox.inspect, proxmox.entering, proxmox.restarting, _number, lxc_groups, _lxc_units
    ),
    GuestKind.LXC: Way(lxc.inspect, lxc.entering, lxc.restarting, _name, lxc_groups, _lxc_units),
    GuestKind.INCUS: Way(
        incus.inspect, incus.entering, incus.restarting, _name, lxc_groups, outliving=incus.outliving
    ),
    GuestKind.NSPAWN: Way(
        nspawn.inspect, nspawn.entering, nspawn.restarting, _name, machine_groups, _machine_units
    ),
}


def state_of(guest: Guest, way: Way) -> State:
    """Look for a guest again, and return how it is now.

    Raises:
        Transient: That cannot be found out.
    """
    found = way.inspect()
    if found.problem:
        raise Transient(f"guest {guest.id}: {found.problem}")
    if guest.id in found.elsewhere:
        return Moved(found.elsewhere[guest.id])
    return next((one.state for one in found.guests if one.id == guest.id and one.name == guest.name), Gone())


def place_now(guest: Guest, way: Way) -> GuestPlace | None:
    """Return where a guest is now, ``None`` where none of its processes is seen.

    Raises:
        Transient: The kernel does not show it.
    """
    try:
        return place_of(way.groups(way.name(guest)))
    except OSError as error:
        raise Transient(f"guest {guest.id}: {error.filename} cannot be read: {error.strerror}") from error


def first_now(guest: Guest, way: Way) -> First | None:
    """Return the first process of a guest as it is now, ``None`` where none of its processes is seen.

    Raises:
        Transient: The kernel does not show it.
    """
    try:
        return first_of(way.groups(way.name(guest)))
    except OSError as error:
        raise Transient(f"guest {guest.id}: {error.filename} cannot be read: {error.strerror}") from error


def stopping(guest: Guest, way: Way) -> tuple[str, ...]:
    """Return every unit that stops a guest, as it may be called; those that are not there do no harm."""
    return (*_OF_ALL, *way.units(way.name(guest)))
