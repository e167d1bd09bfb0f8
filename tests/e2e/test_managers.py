"""One story for every package manager: wait for the window, apply exactly the plan, then do nothing."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from reconciler.cli import main
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.reconcile.tick import Tick
from tests.e2e.site import BEFORE, OPENING, POLICY, SetClock, Site, git
from tests.e2e.test_apply import approval, moved, runs
from tests.labs.apt import MAIN, AptLab, Deb, build_deb, stanza_of
from tests.labs.naming import in_json
from tests.labs.pacman import Pkg
from tests.labs.rpm import Repository, Rpm

INSIDE = OPENING + timedelta(minutes=5)

NEEDING_ALL = {
    "test_from_waiting_to_done",
    "test_in_a_freeze_security_updates_alone_are_applied",
    "test_the_security_plan_is_approved_by_its_own_digest",
}
"""Tests that are about all that the whole world of dnf has; to ask dnf about that is dear."""

if TYPE_CHECKING:
    from tests.labs.dnf import DnfLab
    from tests.labs.pacman import PacmanLab
    from tests.labs.zypper import ZypperLab


class Lab(Protocol):
    """What the labs of all managers have."""

    @property
    def root(self) -> Path: ...

    @property
    def environment(self) -> dict[str, str]: ...

    def versions(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Machine:
    """A small machine of some distribution, and what is special about it.

    Attributes:
        settings: Of the host's configuration.
        publish: Offers a package in a version.
        security: Packages whose updates are security updates.
        kept: What stays as it is: it comes only with a removal.
        new: The version that ``plain`` and the twins go to.
        twins: Both architectures of one name that move; zypper leaves them, and pacman has no such thing.
        add: Offers packages, by their versions, from one more source; the first that has one wins.
        pattern: How a policy names a source.
    """

    manager: str
    lab: Lab
    publish: Callable[[str, str], None]
    add: Callable[[str, Mapping[str, str]], None]
    pattern: str = "{}"
    settings: Mapping[str, object] = field(default_factory=dict)
    security: frozenset[str] = frozenset({"secure"})
    kept: frozenset[str] = frozenset({"remover", "victim"})
    new: str = "1.1-1"
    twins: tuple[str, ...] = ("twin:i686", "twin:x86_64")


def add_to_apt(lab: AptLab, name: str, packages: Mapping[str, str]) -> None:
    folder = lab.folder / name
    folder.mkdir()
    built = [(deb, build_deb(deb, folder)) for deb in (Deb(*one) for one in packages.items())]
    index = "".join(stanza_of(deb, file, folder) for deb, file in built).encode()
    (folder / "Packages").write_bytes(index)
    digest = f"{hashlib.sha256(index).hexdigest()} {len(index)} Packages"
    dated = format_datetime(BEFORE - timedelta(days=1), usegmt=True)
    (folder / "Release").write_text(
        f"Origin: {name}\nLabel: {name}\nSuite: {name}\nDate: {dated}\nSHA256:\n {digest}\n"
    )
    with (lab.root / "etc/apt/sources.list").open("a") as sources:
        sources.write(f"deb [trusted=yes] file:{folder} ./\n")
    lab.refresh()


def add_rpms(lab: "DnfLab | ZypperLab", name: str, packages: Mapping[str, str]) -> None:
    Repository.make(lab.folder / name, [Rpm(one, f"{version}-1") for one, version in packages.items()])
    lab.configure_repository(name, f"file://{lab.folder}/{name}")
    lab.refresh()


def add_to_pacman(lab: "PacmanLab", name: str, packages: Mapping[str, str]) -> None:
    other = replace(lab, origin=lab.folder / name)
    other.publish(*(Pkg(one, f"{version}-1") for one, version in packages.items()))
    shutil.copy(other.repository / "lab.db.tar.gz", other.repository / f"{name}.db")
    section = f"[{name}]\nServer = file://{other.repository}\n"
    text = lab.configuration.read_text()
    lab.configuration.write_text(text.replace("\n[lab]\n", f"\n{section}[lab]\n"))


@pytest.fixture(params=["apt", "dnf", "zypper", "pacman"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    folder = tmp_path / "machine"
    match request.param:
        case "apt":
            world: AptLab = request.getfixturevalue("apt_world")
            apt = world.copy(folder, repository=True)
            return Machine(
                "apt",
                apt,
                lambda name, version: apt.publish(MAIN, Deb(name, version)),
                partial(add_to_apt, apt),
                "o={}",
                new="1.1",
                twins=("twin:amd64", "twin:i386"),
            )
        case "dnf":
            is_whole = request.node.originalname in NEEDING_ALL
            rhel: DnfLab = request.getfixturevalue("dnf_world" if is_whole else "dnf_calm_world")
            dnf = rhel.copy(folder, repository=True)
            settings = {"root": str(dnf.root), "manager": "dnf"}
            return Machine(
                "dnf",
                dnf,
                lambda name, version: dnf.repository.publish(Rpm(name, version)),
                partial(add_rpms, dnf),
                settings=settings,
            )
        case "zypper":
            sles: ZypperLab = request.getfixturevalue("zypper_world")
            zypper = sles.copy(folder, repository=True)
            settings = {"root": str(zypper.root), "manager": "zypper"}
            return Machine(
                "zypper",
                zypper,
                lambda name, version: zypper.repository.publish(Rpm(name, version)),
                partial(add_rpms, zypper),
                settings=settings,
                kept=frozenset({"remover", "victim", "twin:i686", "twin:x86_64"}),
                twins=(),
            )
        case _:
            arch: PacmanLab = request.getfixturevalue("pacman_world")
            pacman = arch.copy(folder, repository=True)
            return Machine(
                "pacman",
                pacman,
                lambda name, version: pacman.publish(Pkg(name, version)),
                partial(add_to_pacman, pacman),
                settings={"manager": "pacman"},
                security=frozenset(),
                kept=frozenset(),
                twins=(),
            )


@pytest.fixture
def site(machine: Machine, tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site", environment=machine.lab.environment, **machine.settings)
    site.commit(
        {
            "exceptions/epoch.yaml": "kind: Exception\nname: epoch\npackages: epoch\naction: hold\n"
            "reason: breaks the lab\nexpires: 2099-01-01\n",
        }
    )
    return site


def tick(site: Site, at: datetime) -> Tick:
    return run_once(site.config, wire(load_config(site.config), SetClock(at)))


def test_from_waiting_to_done(machine: Machine, site: Site) -> None:
    before = machine.lab.versions()
    waiting = tick(site, BEFORE)
    assert waiting.failures == ()
    assert (waiting.report.decision.outcome, waiting.report.decision.until) == ("window", OPENING)
    assert waiting.report.host.manager == machine.manager
    assert machine.lab.versions() == before
    plan = site.report()["plan"]
    planned = {name: move["to"] for name, move in in_json(plan["transaction"]).items()}
    fates = in_json(plan["updates"])
    assert {name: planned.get(name) for name in machine.twins} == dict.fromkeys(machine.twins, machine.new)
    assert fates["epoch"]["disposition"] == "held"
    assert {name for name in machine.security if fates[name]["security"]} == machine.security
    assert planned["plain"] == machine.new
    assert not planned.keys() & ({"epoch"} | machine.kept)
    assert all(update["reasons"] for update in plan["updates"])

    done = tick(site, INSIDE)
    assert done.failures == ()
    (record,) = runs(site)
    assert (record["outcome"], record["notes"]) == ("applied", [])
    first = {move["name"] for move in record["steps"][0]["changes"]}
    assert machine.security <= first
    # Of a host with security updates and others, each sort is a step.
    assert len(record["steps"]) == (2 if machine.security else 1)
    keys = ("name", "arch", "from", "to")
    changed = sorted(tuple(str(move[key]) for key in keys) for move in record["difference"]["changed"])
    assert changed == sorted(tuple(str(move[key]) for key in keys) for move in plan["transaction"])
    after = machine.lab.versions()
    names = ("plain", "pair", "pair-data", "user", "base", "newdep-lib", *machine.twins)
    assert {name: after[name] for name in names} == {name: planned[name] for name in names}
    assert {name: after.get(name) for name in ("epoch", *machine.kept)} == {
        name: before.get(name) for name in ("epoch", *machine.kept)
    }
    files = git(site.reports, "ls-tree", "--name-only", "hosts/web-01", "runs/").splitlines()
    assert sorted(Path(name).suffix for name in files) == [".json", ".log", ".md"]
    assert "plain" in git(site.reports, "show", f"hosts/web-01:runs/{record['run']}.log")
    scripts = {script["name"]: script["sha256"] for script in record["scripts"]}
    assert len(scripts[f"{machine.manager}-update.sh"]) == 64
    trailers = git(site.reports, "log", "-1", "--format=%(trailers:key=Run,valueonly)", "hosts/web-01")
    assert trailers.strip() == record["run"]

    again = tick(site, INSIDE + timedelta(minutes=15))
    assert (again.failures, again.runs) == ((), ())
    assert again.report.plan.transaction == ()
    assert machine.lab.versions() == after


def test_an_approval_covers_the_plan_it_was_given_for_and_no_other(machine: Machine, site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "approval: required\n"})
    digest = tick(site, BEFORE).report.plan.digest
    site.commit({"approvals/one.yaml": approval(f"plan: {digest}")})
    newer = machine.new.replace("1.1", "1.2")
    machine.publish("plain", newer)
    before = machine.lab.versions()
    found = tick(site, INSIDE)
    assert (found.report.decision.outcome, found.runs) == ("approval", ())
    assert {move.name: move.to for move in found.report.plan.transaction}["plain"] == newer
    assert machine.lab.versions() == before
    site.commit({"approvals/one.yaml": approval(f"plan: {found.report.plan.digest}")})
    (record,) = tick(site, INSIDE + timedelta(minutes=15)).runs
    assert record.outcome == "applied"
    assert moved(runs(site)[-1])["plain"] == newer
    assert json.loads(git(site.reports, "show", "hosts/web-01:report.json"))["counts"]["pending"] == 0


def test_of_four_sources_two_are_admitted(
    machine: Machine, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    before = machine.lab.versions()
    machine.add("strange", {"plain": "9", "lima": "9"})
    machine.add("good", {"plain": "1.2"})
    machine.add("worse", {"victim": "9"})
    distribution = "Debian" if machine.manager == "apt" else "lab"
    admitted = [machine.pattern.format(name) for name in ("good", distribution)]
    site.commit({"policies/base.yaml": POLICY + f"sources: {{only: {json.dumps(admitted)}}}\n"})

    waiting = tick(site, BEFORE)
    assert waiting.failures == ()
    fates = in_json(site.report()["plan"]["updates"])
    planned = {name: one["candidate"] for name, one in fates.items() if one["disposition"] == "planned"}
    release = "-1" if "-" in machine.new else ""
    assert (planned["plain"], planned["lima"]) == (f"1.2{release}", machine.new)
    assert fates["victim"]["disposition"] == "not-selected"
    assert [reason["code"] for reason in fates["victim"]["reasons"]] == ["source-not-admitted"]
    assert fates["victim"]["reasons"][0]["origin"].startswith("policies/base.yaml:5@")
    for name in ("plain", "victim"):
        assert main(["--config", str(site.config), "explain", name]) == 0
        assert "not from a source that policy admits" in " ".join(capsys.readouterr().out.split())

    done = tick(site, INSIDE)
    assert done.failures == ()
    after = machine.lab.versions()
    assert (after["plain"], after["lima"]) == (planned["plain"], planned["lima"])
    assert after["victim"] == before["victim"]
    again = tick(site, INSIDE + timedelta(minutes=15))
    assert (again.failures, again.runs, again.report.plan.transaction) == ((), (), ())
