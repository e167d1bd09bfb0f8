"""All parts of a site are parts of one place: no part of the hypervisor can be passed to a guest.

Each is refused by type as well: mypy takes an exemption that is not needed for a mistake.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from reconciler.host.machine.checks import Checks
from reconciler.host.machine.hooks import HookFolder
from reconciler.host.machine.inhibitors import Inhibitors
from reconciler.host.machine.reboot import SystemPower
from reconciler.host.machine.restarts import Restarts
from reconciler.reconcile.ports.where import InGuest, ThisMachine
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from tests.fakes import PackageWorld
from tests.reconcile.test_tick import Host

if TYPE_CHECKING:
    from reconciler.reconcile.ports.target import HealthChecker, HookRunner, PackageManager

EMPTY = PackageWorld((), {})
HERE = Host(EMPTY)
INSIDE = Host(EMPTY, where=cast("ThisMachine", InGuest("101")))
MANAGER = cast("PackageManager[InGuest]", INSIDE)
HOOKS = cast("HookRunner[InGuest]", INSIDE)
CHECKS = cast("HealthChecker[InGuest]", INSIDE)
OWN_HOOKS = HookFolder(Path("/etc/patchledger/hooks"), {})


def settle(ask: object, before: object, within: object) -> tuple[()]:
    del ask, before, within
    return ()


AROUND = Surroundings(HOOKS, CHECKS, None, settle)


def test_a_guest_has_parts_of_its_own() -> None:
    site = Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, MANAGER, AROUND)
    assert site.manager.where == InGuest("101")


def refused() -> AbstractContextManager[object]:
    return pytest.raises(ValueError, match=r"^ThisMachine\(\) of \w+ is not InGuest\(id='101'\)$")


def test_a_guest_never_gets_the_power_of_its_hypervisor() -> None:
    with refused():
        _: Site[InGuest] = Site(
            "pve1/101",
            {},
            "guests/pve1/101",
            INSIDE,
            INSIDE,
            MANAGER,
            AROUND,
            SystemPower(),  # type: ignore[arg-type]
        )


def test_nor_its_hooks() -> None:
    around: Surroundings[InGuest] = Surroundings(OWN_HOOKS, CHECKS, None, settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, MANAGER, around)


def test_nor_its_health() -> None:
    around: Surroundings[InGuest] = Surroundings(HOOKS, Checks({}), None, settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, MANAGER, around)


def test_nor_its_services() -> None:
    around: Surroundings[InGuest] = Surroundings(HOOKS, CHECKS, Restarts({}), settle)  # type: ignore[arg-type]
    with refused():
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, MANAGER, around)


def test_nor_who_is_logged_in_to_it() -> None:
    who = Inhibitors()
    with refused():
        _: Site[InGuest] = Site("a/101", {}, "guests/a/101", INSIDE, INSIDE, MANAGER, AROUND, inhibitors=who)  # type: ignore[arg-type]


def test_nor_its_packages() -> None:
    with pytest.raises(ValueError, match=r"^InGuest\(id='101'\) of \w+ is not ThisMachine\(\)$"):
        _: Site[InGuest] = Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, HERE, AROUND)  # type: ignore[arg-type]


def test_one_guest_gets_no_part_of_another() -> None:
    other = Host(EMPTY, where=cast("ThisMachine", InGuest("102")))
    around = Surroundings(cast("HookRunner[InGuest]", other), CHECKS, None, settle)
    with pytest.raises(ValueError, match=r"InGuest\(id='102'\) of Host is not InGuest\(id='101'\)"):
        Site("pve1/101", {}, "guests/pve1/101", INSIDE, INSIDE, MANAGER, around)
