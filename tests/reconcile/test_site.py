"""All parts of a site are parts of one place: no part of the hypervisor can be passed to a guest.

Each is refused by type as well: mypy takes an exemption that is not needed for a mistake.
"""

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from reconciler.host.machine.checks import Checks
from reconciler.host.machine.hooks import HookFolder
from reconciler.host.machine.inhibitors import Inhibitors
from reconciler.host.machine.locking import GuestLock, MachineLock
from reconciler.host.machine.reboot import SystemPower
from reconciler.host.machine.restarts import Restarts
from reconciler.host.state.folder import StateFolder
from reconciler.host.state.guests import GuestFolders
from reconciler.host.state.run_logs import RunLogFolder
from reconciler.planning.facts.guests import Running
from reconciler.reconcile.ports.where import InGuest, ThisMachine
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from reconciler.targets.guest import Door, GuestTarget
from reconciler.targets.power import GuestPower, Switch
from tests.fakes import PackageWorld
from tests.reconcile.test_tick import Host

if TYPE_CHECKING:
    from reconciler.reconcile.ports.target import HealthChecker, HookRunner, Lock, PackageManager, StateStore

EMPTY = PackageWorld((), {})
HERE = Host(EMPTY)
INSIDE = Host(EMPTY, where=cast("ThisMachine", InGuest("101")))
MANAGER = cast("PackageManager[InGuest]", INSIDE)
HOOKS = cast("HookRunner[InGuest]", INSIDE)
CHECKS = cast("HealthChecker[InGuest]", INSIDE)
STORE = cast("StateStore[InGuest]", INSIDE)
LOCK = cast("Lock[InGuest]", INSIDE)
OWN_HOOKS = HookFolder(Path("/etc/patchledger/hooks"), {})


def settle(ask: object, before: object, within: object) -> tuple[()]:
    del ask, before, within
    return ()


AROUND = Surroundings(HOOKS, CHECKS, None, settle)


def test_a_guest_has_parts_of_its_own() -> None:
    site = Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, AROUND)
    assert site.manager.where == InGuest("101")


def refused() -> AbstractContextManager[object]:
    return pytest.raises(ValueError, match=r"^ThisMachine\(\) of \w+ is not InGuest\(id='101'\)$")


def test_a_guest_never_gets_the_power_of_its_hypervisor() -> None:
    with refused():
        _: Site[InGuest] = Site(
            "pve1/101",
            {},
            "guests/pve1/101",
            STORE,
            LOCK,
            MANAGER,
            AROUND,
            SystemPower(),  # type: ignore[arg-type]
        )


def test_nor_the_power_of_another_guest() -> None:
    def power(guest: str) -> GuestPower:
        door = Door(guest, lambda inner: inner, Running, lambda: None)
        return GuestPower(GuestTarget(door, b""), Switch((), str, Path), b"")

    def made(power: GuestPower) -> Site[InGuest]:
        return Site("101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, AROUND, power)

    assert made(power("101")).power is not None
    with pytest.raises(ValueError, match=r"InGuest\(id='102'\) of GuestPower is not InGuest\(id='101'\)"):
        made(power("102"))


def test_nor_its_hooks() -> None:
    around: Surroundings[InGuest] = Surroundings(OWN_HOOKS, CHECKS, None, settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, around)


def test_nor_its_health() -> None:
    around: Surroundings[InGuest] = Surroundings(HOOKS, Checks({}), None, settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, around)


def test_nor_its_services() -> None:
    around: Surroundings[InGuest] = Surroundings(HOOKS, CHECKS, Restarts({}), settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, around)


def test_nor_who_is_logged_in_to_it() -> None:
    who = Inhibitors()
    with refused():
        _: Site[InGuest] = Site("a/101", {}, "guests/a/101", STORE, LOCK, MANAGER, AROUND, inhibitors=who)  # type: ignore[arg-type]


def test_nor_its_packages() -> None:
    with pytest.raises(ValueError, match=r"^InGuest\(id='101'\) of \w+ is not ThisMachine\(\)$"):
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, HERE, AROUND)  # type: ignore[arg-type]


def test_nor_its_state() -> None:
    folder = StateFolder(Path("/var/lib/patchledger"))
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", folder, LOCK, MANAGER, AROUND)  # type: ignore[arg-type]


def test_nor_its_lock() -> None:
    lock = MachineLock(Path("/run/patchledger"), str)
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", STORE, lock, MANAGER, AROUND)  # type: ignore[arg-type]


def test_nor_the_logs_of_its_runs() -> None:
    logs = RunLogFolder(Path("/var/log/patchledger"), 1, timedelta(1))
    with refused():
        _: Site[InGuest] = Site("a/101", {}, "guests/a/101", STORE, LOCK, MANAGER, AROUND, logs=logs)  # type: ignore[arg-type]


def test_a_guest_has_a_folder_a_lock_and_logs_of_its_own() -> None:
    kept = GuestFolders(Path("/var/lib/patchledger"), Path("/var/log/patchledger"))
    lock = GuestLock(Path("/run/patchledger"), "101", str)
    logs = kept.logs_of("101", 1, timedelta(1))
    site = Site(
        "101",
        {},
        "guests/a/101",
        kept.of("101"),
        lock,
        MANAGER,
        AROUND,
        logs=logs,
        guest_of="a",
        called="web",
    )
    assert (site.id, site.target) == ("a/101", "101")
    with pytest.raises(ValueError, match=r"InGuest\(id='102'\) of GuestFolder is not InGuest\(id='101'\)"):
        Site("101", {}, "guests/a/101", kept.of("102"), lock, MANAGER, AROUND)


def test_one_guest_gets_no_part_of_another() -> None:
    other = Host(EMPTY, where=cast("ThisMachine", InGuest("102")))
    around = Surroundings(cast("HookRunner[InGuest]", other), CHECKS, None, settle)
    with pytest.raises(ValueError, match=r"InGuest\(id='102'\) of Host is not InGuest\(id='101'\)"):
        Site("pve1/101", {}, "guests/pve1/101", STORE, LOCK, MANAGER, around)
