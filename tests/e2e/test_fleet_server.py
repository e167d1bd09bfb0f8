"""A fleet of four package managers on the report server of ``examples/server``, read and published by ssh."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.fleet.reading import FleetRead
from reconciler.gitops.git import GitAccess
from reconciler.planning.facts.observation import Reboot, RebootNeed
from reconciler.planning.fleet.rows import TargetState
from reconciler.planning.reporting.document import OutsideMove, Report
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.report_server import ReportServer, report_server
from tests.labs.signing import Key, Keys
from tests.report_samples import report_of

MANAGERS = ("apt", "dnf", "zypper", "pacman")
HOSTS = tuple(f"{manager}-0{number}" for manager in MANAGERS for number in (1, 2, 3))
HAND = OutsideMove("install", "nano", "amd64", None, "1", "installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    with report_server(tmp_path_factory.mktemp("reports")) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ReportServer, keys: Keys, ada: Key) -> FleetWorld:
    """Twelve hosts, of which the policy enrols eleven."""
    (tmp_path / "reports.git").symlink_to(server.home / "reports.git")
    return FleetWorld.create(tmp_path, keys, ada, *(host for host in HOSTS if host != "dnf-03"))


def told(world: FleetWorld, host: str) -> Report:
    report = report_of(target=host, now=world.now)
    return replace(report, host=replace(report.host, manager=host.partition("-")[0]))


def read(world: FleetWorld, server: ReportServer, who: str = "publisher") -> FleetRead:
    access = GitAccess(known_hosts=str(server.known_hosts), identity=str(server.identities[who]))
    return world.read(remotes=(server.url,), access=access)


def test_each_row_is_as_it_should_be_and_nothing_unverified_is_published(
    world: FleetWorld, server: ReportServer, ada: Key, eve: Key
) -> None:
    good = {host: world.report(host, told(world, host), key=world.key(host)) for host in HOSTS}
    rewound = good["zypper-01"]
    good["zypper-01"] = world.report("zypper-01", told(world, "zypper-01"))
    assert read(world, server).problems == ()
    world.later(days=3)
    silent = {"pacman-01"}
    git(world.policy.path, "rm", "-q", "hosts/pacman-02.yaml")
    world.policy.commit({}, ada)
    for host in set(HOSTS) - silent - {"pacman-02", "zypper-01", "apt-02", "apt-03", "dnf-02"}:
        good[host] = world.report(host, told(world, host), key=world.key(host))
    world.report("apt-02", told(world, "apt-02"), key=eve)
    git(world.reports, "update-ref", "refs/heads/hosts/zypper-01", rewound)
    good["apt-03"] = world.report("apt-03", replace(told(world, "apt-03"), changed_outside=(HAND,)))
    reboot = replace(told(world, "dnf-02"), reboot=Reboot(RebootNeed.REQUIRED, ("a kernel",)))
    good["dnf-02"] = world.report("dnf-02", reboot)

    found = read(world, server)

    assert found.problems == ()
    rows = {row.target: row for row in found.fleet.rows}
    expected = dict.fromkeys(HOSTS, TargetState.FINE) | {
        "apt-02": TargetState.UNVERIFIED,
        "apt-03": TargetState.CHANGED_OUTSIDE,
        "dnf-02": TargetState.REBOOT_PENDING,
        "dnf-03": TargetState.UNVERIFIED,
        "zypper-01": TargetState.UNVERIFIED,
        "pacman-01": TargetState.SILENT,
        "pacman-02": TargetState.RETIRED,
    }
    assert {target: row.state for target, row in rows.items()} == expected
    assert [row.state.rank for row in found.fleet.rows] == sorted(row.state.rank for row in found.fleet.rows)
    assert {row.manager for row in found.fleet.rows if row.is_known} == set(MANAGERS)
    published = world.targets()
    assert published == {host: world.tree_of(good[host]) for host in HOSTS if host != "dnf-03"}
    (branch,) = read(world, server).published.values()
    assert not branch.is_new


def test_a_server_that_lets_somebody_only_read_is_said_to_refuse(
    world: FleetWorld, server: ReportServer
) -> None:
    world.report("apt-01", told(world, "apt-01"))
    found = read(world, server, "ada")
    (problem,) = found.problems
    assert "cannot publish the fleet" in problem.message
    assert {row.target for row in found.fleet.rows} >= {"apt-01"}
