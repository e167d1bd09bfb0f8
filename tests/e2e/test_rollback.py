"""One way back for every package manager: to what our own run before installed, though nobody offers it any more."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.run import run_once
from reconciler.cli.wiring import wire
from reconciler.host.config import load_config
from reconciler.planning.run_record import RunRecord
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site
from tests.e2e.test_apply import runs
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.pacman import Pkg
from tests.labs.rpm import Rpm

if TYPE_CHECKING:
    from tests.e2e.test_managers import Lab
    from tests.labs.dnf import DnfLab
    from tests.labs.pacman import PacmanLab
    from tests.labs.zypper import ZypperLab

INSIDE = OPENING + timedelta(minutes=5)
NAMES = ("plain", "pair", "pair-data", "taker", "taken", "grower")


@dataclass(frozen=True)
class Machine:
    """A small machine of some distribution.

    Attributes:
        manager: Its package manager.
        offer: Offers the second or third generation of packages instead of the one before.
        automatic: Names of what is installed only for others.
        suffix: What follows after a version.
        settings: Of the host's configuration.
        forget: Empties the package manager's own folder of downloads, as an operator may.
    """

    manager: str
    lab: "Lab"
    offer: Callable[[int], None]
    automatic: Callable[[], set[str]]
    suffix: str = "-1"
    settings: dict[str, object] = field(default_factory=dict)


def generation(minor: int) -> list[tuple[str, str, dict[str, str]]]:
    """Name the packages of one generation, with their versions and relations: 1.0, 1.1 and 1.2.

    In the last one ``grower`` needs ``helper``, which is new, and ``taker`` takes the place of ``taken``.
    """
    version = f"1.{minor}"
    found: list[tuple[str, str, dict[str, str]]] = [
        ("plain", version, {}),
        ("pair", version, {"depends": f"pair-data = {version}"}),
        ("pair-data", version, {}),
        ("taker", version, {}),
    ]
    if minor < 2:
        return [*found, ("taken", version, {}), ("grower", version, {})]
    found[-1] = ("taker", version, {"replaces": "taken"})
    return [*found, ("grower", version, {"depends": "helper"}), ("helper", "1.0", {})]


def debs(minor: int) -> list[Deb]:
    def fields(about: dict[str, str]) -> dict[str, str]:
        if "replaces" in about:
            return dict.fromkeys(("Provides", "Conflicts", "Replaces"), about["replaces"])
        if "=" in about.get("depends", ""):
            name, _, version = about["depends"].partition(" = ")
            return {"Depends": f"{name} (= {version})"}
        return {"Depends": about["depends"]} if about else {}

    return [Deb(name, version, fields=fields(about)) for name, version, about in generation(minor)]


def rpms(minor: int) -> list[Rpm]:
    def fields(about: dict[str, str]) -> dict[str, str]:
        if "replaces" in about:
            return {"Obsoletes": about["replaces"]}
        return {"Requires": about["depends"] + ("-1" if "=" in about["depends"] else "")} if about else {}

    return [Rpm(name, f"{version}-1", fields=fields(about)) for name, version, about in generation(minor)]


def pkgs(minor: int) -> list[Pkg]:
    def info(about: dict[str, str]) -> list[tuple[str, str]]:
        if "replaces" in about:
            return [(key, about["replaces"]) for key in ("provides", "conflict", "replaces")]
        if "=" in about.get("depends", ""):
            return [("depend", about["depends"].replace(" ", "") + "-1")]
        return [("depend", about["depends"])] if about else []

    return [Pkg(name, f"{version}-1", info(about)) for name, version, about in generation(minor)]


def apt_machine(lab: AptLab) -> Machine:
    lab.install(*debs(0))
    lab.mark_auto("pair-data")

    def offer(minor: int) -> None:
        lab.withdraw(MAIN, *NAMES)
        lab.publish(MAIN, *debs(minor))

    offer(1)
    return Machine("apt", lab, offer, lab.automatic, suffix="")


def dnf_machine(lab: "DnfLab") -> Machine:
    lab.repository.publish(*rpms(0))
    lab.refresh()
    lab.dnf("-y", "install", *(f"{name}-1.0-1" for name in NAMES))
    lab.dnf("-y", "mark", "remove", "pair-data")

    def offer(minor: int) -> None:
        lab.repository.withdraw(*rpms(minor - 1), *withdrawn_of_the_lab(minor))
        lab.repository.publish(*rpms(minor))

    offer(1)
    settings: dict[str, object] = {"root": str(lab.root), "manager": "dnf"}
    return Machine(
        "dnf",
        lab,
        offer,
        lambda: {name for name, reason in lab.reasons().items() if reason == "dependency"},
        settings=settings,
    )


def withdrawn_of_the_lab(minor: int) -> list[Rpm]:
    return []


def zypper_machine(lab: "ZypperLab") -> Machine:
    lab.install(*rpms(0))
    lab.mark_automatic("pair-data")

    def offer(minor: int) -> None:
        if minor > 1:
            lab.repository.withdraw(*rpms(minor - 1))
        lab.repository.publish(*rpms(minor))

    offer(1)
    settings: dict[str, object] = {"root": str(lab.root), "manager": "zypper"}
    return Machine("zypper", lab, offer, lambda: set(lab.automatic), settings=settings)


def pacman_machine(lab: "PacmanLab") -> Machine:
    lab.install(*pkgs(0))
    lab.pacman("-D", "--asdeps", "pair-data")

    def offer(minor: int) -> None:
        if minor > 1:
            lab.withdraw("taken")
        lab.publish(*pkgs(minor))

    offer(1)
    return Machine("pacman", lab, offer, lab.automatic, settings={"manager": "pacman"})
