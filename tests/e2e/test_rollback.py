"""One way back for every package manager: to what the run before installed, though nobody offers it now."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.planning.runs.record import RunRecord
from tests.e2e.site import OPENING, POLICY, SetClock, Site
from tests.e2e.test_apply import runs
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.pacman import Pkg
from tests.labs.rpm import Rpm

pytestmark = pytest.mark.usefixtures("lawful")

if TYPE_CHECKING:
    from tests.e2e.test_managers import Lab
    from tests.labs.dnf import DnfLab
    from tests.labs.pacman import PacmanLab
    from tests.labs.zypper import ZypperLab

INSIDE = OPENING + timedelta(minutes=5)
NAMES = ("site", "duo", "duo-data", "taker", "taken", "grower")


@dataclass(frozen=True)
class Machine:
    """A small machine of some distribution.

    Attributes:
        manager: Its package manager.
        offer: Offers a generation of packages instead of the one before.
        automatic: Names of what is installed only for others.
        suffix: What follows a version.
        downloads: The package manager's own folders of what it fetched, below the root.
        settings: Of the host's configuration.
    """

    manager: str
    lab: "Lab"
    offer: Callable[[int], None]
    automatic: Callable[[], set[str]]
    downloads: str
    suffix: str = "-1"
    settings: dict[str, object] = field(default_factory=dict)


def generation(minor: int) -> list[tuple[str, str, dict[str, str]]]:
    """Name the packages of one generation, with their versions and relations: 1.0, 1.1 and 1.2.

    In the last one ``grower`` needs ``helper``, which is new, and ``taker`` takes the place of ``taken``.
    """
    version = f"1.{minor}"
    found: list[tuple[str, str, dict[str, str]]] = [
        ("site", version, {}),
        ("duo", version, {"depends": f"duo-data = {version}"}),
        ("duo-data", version, {}),
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
    lab.mark_auto("duo-data")

    def offer(minor: int) -> None:
        lab.withdraw(MAIN, *NAMES)
        lab.publish(MAIN, *debs(minor))

    offer(1)
    return Machine("apt", lab, offer, lab.automatic, "var/cache/apt/archives/*.deb", suffix="")


def dnf_machine(lab: "DnfLab") -> Machine:
    lab.repository.publish(*rpms(0))
    lab.refresh()
    lab.dnf("-y", "install", *(f"{name}-1.0-1" for name in NAMES))
    lab.dnf("-y", "mark", "remove", "duo-data")

    def offer(minor: int) -> None:
        lab.repository.withdraw(*rpms(minor - 1))
        lab.repository.publish(*rpms(minor))

    offer(1)
    settings: dict[str, object] = {"root": str(lab.root), "manager": "dnf"}
    return Machine(
        "dnf",
        lab,
        offer,
        lambda: {name for name, reason in lab.reasons().items() if reason == "dependency"},
        "var/cache/dnf/*/packages",
        settings=settings,
    )


def zypper_machine(lab: "ZypperLab") -> Machine:
    lab.repository.publish(*rpms(0))
    lab.install(*rpms(0))
    lab.mark_automatic("duo-data")

    def offer(minor: int) -> None:
        lab.repository.withdraw(*rpms(minor - 1))
        lab.repository.publish(*rpms(minor))

    offer(1)
    settings: dict[str, object] = {"root": str(lab.root), "manager": "zypper"}
    return Machine(
        "zypper", lab, offer, lambda: set(lab.automatic), "var/cache/zypp/packages/*", settings=settings
    )


def pacman_machine(lab: "PacmanLab") -> Machine:
    lab.install(*pkgs(0))
    lab.pacman("-D", "--asdeps", "duo-data")

    def offer(minor: int) -> None:
        if minor > 1:
            lab.withdraw("taken")
        lab.publish(*pkgs(minor))

    offer(1)
    return Machine(
        "pacman", lab, offer, lab.automatic, "var/cache/pacman/pkg/*", settings={"manager": "pacman"}
    )


@pytest.fixture(params=["apt", "dnf", "zypper", "pacman"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    world = request.getfixturevalue("dnf_calm_world" if request.param == "dnf" else f"{request.param}_world")
    makers: dict[str, Callable[..., Machine]] = {
        "apt": apt_machine,
        "dnf": dnf_machine,
        "zypper": zypper_machine,
        "pacman": pacman_machine,
    }
    return makers[request.param](world.copy(tmp_path / "machine", repository=True))


@pytest.fixture
def site(machine: Machine, tmp_path: Path) -> Site:
    """A host that is well unless the newest ``site`` is on it."""
    site = Site.create(tmp_path / "site", environment=machine.lab.environment, **machine.settings)
    # Without it, apt replaces nothing.
    policy = POLICY + "upgrade: full\non_failure: rollback\nhealth: {settle: 0s}\n"
    hold = "kind: Exception\nname: plain\npackages: plain\naction: hold\nreason: r\nexpires: 2099-01-01\n"
    site.commit({"policies/base.yaml": policy, "exceptions/plain.yaml": hold})
    site.hook("health", "10-site", f"! grep -rqF 1.2 {machine.lab.root}/usr/share/lab/site")
    return site


def run(site: Site, at: datetime) -> RunRecord:
    """Make one tick that applies something, and return its record."""
    done = run_once(site.config, wire(load_config(site.config), SetClock(at)))
    (record,) = done.runs
    return record


def first_run(machine: Machine, site: Site) -> None:
    """Bring the machine to the second generation by a run of ours, and offer nothing but the third."""
    assert run(site, INSIDE).outcome == "applied"
    versions = machine.lab.versions()
    assert {name: versions[name] for name in NAMES} == dict.fromkeys(NAMES, f"1.1{machine.suffix}")
    machine.offer(2)


def test_a_run_goes_back_to_what_the_run_before_installed(machine: Machine, site: Site) -> None:
    first_run(machine, site)
    before, marks = machine.lab.versions(), machine.automatic()
    assert "duo-data" in marks
    record = run(site, INSIDE + timedelta(days=1))
    assert (record.outcome, record.code) == ("rolled-back", "unhealthy")
    assert record.rollback is not None
    assert (record.rollback.left, record.rollback.healthy, record.rollback.message) == ((), True, "")
    moves = {(move.name, move.to) for move in record.rollback.moves}
    assert {("helper", None), ("taken", f"1.1{machine.suffix}"), ("site", f"1.1{machine.suffix}")} <= moves
    assert (machine.lab.versions(), machine.automatic()) == (before, marks)
    assert record.difference.changed == ()
    # What was undone is not tried again.
    again = run_once(site.config, wire(load_config(site.config), SetClock(INSIDE + timedelta(days=2))))
    assert (again.runs, machine.lab.versions()) == ((), before)


def test_what_nobody_has_kept_is_named(machine: Machine, site: Site) -> None:
    first_run(machine, site)
    shutil.rmtree(site.state / "cache/kept", ignore_errors=True)
    for path in machine.lab.root.glob(machine.downloads):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    record = run(site, INSIDE + timedelta(days=1))
    assert (record.outcome, record.code) == ("failed", "unhealthy")
    assert record.rollback is not None
    left = {move.name for move in record.rollback.left}
    assert left == {*NAMES, "helper"}
    assert "site" in record.rollback.message
    assert "not undone: " in record.reason
    assert machine.lab.versions()["site"] == f"1.2{machine.suffix}"
    assert json.dumps(runs(site)[-1]["rollback"]["left"]).count("site") == 1
