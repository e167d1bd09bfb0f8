"""What nothing needs any more with dnf, zypper and pacman: what goes, what stays, and how it comes back.

On each of them three kernels are old, where there is a rule about them, and 20 packages are unused once
``needing`` is updated: 5 of them by a run of ours. After each test, every decision is made again from git.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.site import BEFORE, POLICY, Site
from tests.e2e.test_apply import runs, tick
from tests.e2e.test_managers import Lab
from tests.labs.unused_machines import (
    BY_UPDATE,
    DNF_KERNEL,
    DNF_VERSIONS,
    NEEDING,
    SUSE_KERNEL,
    SUSE_VERSIONS,
    dnf_machine,
    pacman_machine,
    zypper_machine,
)

pytestmark = pytest.mark.usefixtures("lawful")


@dataclass(frozen=True)
class Machine:
    """A small machine of some distribution.

    Attributes:
        automatic: Names of what is installed only for others.
        kernels: What is left of each kernel package, where there is a rule about old ones.
        settings: Of the host's configuration.
    """

    lab: Lab
    automatic: Callable[[], set[str]]
    kernels: Mapping[str, str]
    settings: Mapping[str, object]


def of_dnf(folder: Path) -> Machine:
    lab = dnf_machine(folder)
    kernels = dict.fromkeys(DNF_KERNEL, " ".join(DNF_VERSIONS[3:]))
    settings = {"root": str(lab.root), "manager": "dnf"}
    return Machine(
        lab,
        lambda: {name for name, reason in lab.reasons().items() if reason == "dependency"},
        kernels,
        settings,
    )


def of_zypper(folder: Path) -> Machine:
    lab = zypper_machine(folder)
    kernels = dict.fromkeys(SUSE_KERNEL, " ".join(SUSE_VERSIONS[3:]))
    settings = {"root": str(lab.root), "manager": "zypper"}
    return Machine(lab, lambda: set(lab.automatic), kernels, settings)


def of_pacman(folder: Path) -> Machine:
    lab = pacman_machine(folder)
    return Machine(lab, lab.automatic, {}, {"manager": "pacman"})


@pytest.fixture(params=[of_dnf, of_zypper, of_pacman], ids=["dnf", "zypper", "pacman"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    made: Machine = request.param(tmp_path / "machine")
    return made


@pytest.fixture
def host(machine: Machine, tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site", environment=machine.lab.environment, **machine.settings)
    site.commit({"policies/base.yaml": POLICY + "autoremove: new-unused\n"})
    return site


def expected(machine: Machine, before: Mapping[str, str], *gone: str) -> dict[str, str]:
    """Return what is left once old kernels and these are gone and ``needing`` is updated."""
    kept = {name: version for name, version in before.items() if name not in gone}
    return {**kept, **machine.kernels, NEEDING: "1.1-1"}


def test_old_kernels_and_what_a_run_made_unused_go_and_all_else_stays(host: Site, machine: Machine) -> None:
    before, marks = machine.lab.versions(), machine.automatic()
    tick(host, BEFORE)
    planned = host.report()["plan"]
    assert {one["name"] for one in planned["transaction"]} == {NEEDING, *machine.kernels}
    done = tick(host)
    assert done.failures == ()
    assert machine.lab.versions() == expected(machine, before, *BY_UPDATE)
    assert machine.automatic() >= marks - {*BY_UPDATE}
    updates, unused = sorted(runs(host), key=lambda one: "unused" in json.dumps(one["steps"]))
    assert (updates["outcome"], unused["outcome"]) == ("applied", "applied")
    assert updates["digest"] != unused["digest"]
    assert {one["name"] for one in unused["difference"]["changed"]} == {*BY_UPDATE}
    assert tick(host).runs == ()
    assert host.report()["decision"]["outcome"] == "nothing"


def test_what_an_exception_holds_stays_with_what_it_needs(host: Site, machine: Machine) -> None:
    held = BY_UPDATE[2]
    text = f"kind: Exception\nname: kept\npackages: {held}\naction: hold\nreason: r\nexpires: 2099-01-01\n"
    host.commit({"exceptions/kept.yaml": text})
    before = machine.lab.versions()
    tick(host)
    assert machine.lab.versions() == expected(machine, before, *BY_UPDATE[:2])
    told = {one["type"]: one["message"] for one in host.report()["conditions"]}["UnusedKept"]
    assert f"{held}: exception 'kept' holds back {held} 1.0-1" in told
    assert f"{BY_UPDATE[3]}: its removal would take {held} along" in told


def test_a_run_that_is_undone_brings_back_what_it_removed_with_its_marks(
    host: Site, machine: Machine
) -> None:
    host.hook("health", "10-there", f"grep -rqs 1.0-1 {machine.lab.root}/usr/share/lab/{BY_UPDATE[0]}")
    policy = POLICY + "autoremove: new-unused\non_failure: rollback\nhealth: {settle: 0s}\n"
    host.commit({"policies/base.yaml": policy})
    before, marks = machine.lab.versions(), machine.automatic()
    updates, unused = tick(host).runs
    assert (updates.outcome, unused.outcome, unused.code) == ("applied", "rolled-back", "unhealthy")
    assert machine.lab.versions() == expected(machine, before)
    assert machine.automatic() >= marks
    assert tick(host).runs == ()
