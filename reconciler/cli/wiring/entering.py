"""What acts in a guest: its target, and its package manager, whichever way leads into it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Unpack

from reconciler.errors import Stalled
from reconciler.managers.detect import detect, dialect_of
from reconciler.managers.scripted import GuestManager, Ways
from reconciler.managers.scripts import PatchScript, guard_text
from reconciler.planning.facts.guests import Guest, GuestPlace
from reconciler.policy.managers import ManagerName
from reconciler.targets.guest import Door, GuestTarget
from reconciler.targets.power import SHUTDOWN, GuestPower, Switch
from reconciler.targets.service import asking, guest_starter
from reconciler.transports.ways import WAYS, first_now, place_now, state_of, stopping


def target_of(
    guest: Guest,
    environment: Mapping[str, str] | None = None,
    machine_id: str = "",
    patience: timedelta | None = None,
) -> GuestTarget:
    """Return a guest of the inventory as a target.

    Nothing is looked at yet: how it is, and where, is found out each time something is to run in it.

    Args:
        guest: Of the inventory.
        environment: As for :class:`reconciler.targets.guest.GuestTarget`.
        machine_id: What it had for one when it was looked at before, so that nothing is done in another guest
            that got its number; empty where that is not known.
        patience: How long a transaction in it is waited for; ``None`` for as long as it takes.

    Raises:
        Stalled: There is no way into it.
    """
    if guest.kind is None:
        raise Stalled(f"guest {guest.id} cannot be entered: nobody has it")
    way = WAYS[guest.kind]

    def place() -> GuestPlace | None:
        found = place_now(guest, way)
        return None if found is None else replace(found, machine_id=machine_id)

    door = Door(
        id=guest.id,
        enter=lambda inner: way.entering(guest, inner),
        state=lambda: state_of(guest, way),
        place=place,
        outlive=way.outliving,
    )
    return GuestTarget(
        door,
        guard_text()[0],
        environment,
        starter=guest_starter(stopping(guest, way)),
        asking=asking(),
        patience=patience,
    )


def manager_of(target: GuestTarget, name: ManagerName | None = None, **more: Unpack[Ways]) -> GuestManager:
    """Return the package manager of a guest.

    Args:
        target: The guest.
        name: Of the package manager; without it the guest is asked.
        more: As :class:`reconciler.managers.scripted.Ways` says.

    Raises:
        Stalled: It has none that we know, or several; or it cannot be entered.
        Transient: It does not run, or did not answer in time.
    """
    dialect = dialect_of(name or detect(target))
    return GuestManager(dialect, target, PatchScript.load(dialect.script), **more)


def power_of(guest: Guest, target: GuestTarget, folder: Callable[[], Path]) -> GuestPower | None:
    """Return what restarts a guest, ``None`` where there is no way into it.

    Args:
        guest: Of the inventory.
        target: The same, with the machine id that it had when it was looked at.
        folder: As of :class:`reconciler.targets.power.Switch`.
    """
    if guest.kind is None:
        return None
    way = WAYS[guest.kind]

    def started() -> str:
        first = first_now(guest, way)
        return "" if first is None else first.started

    switch = Switch(way.restarting(guest, SHUTDOWN), started, folder)
    return GuestPower(target, switch, guard_text()[0], guest_starter(stopping(guest, way)))
