"""A fleet of four package managers on the report server of ``examples/server``: all that comes, comes by ssh.

One host of each manager is a machine that ticks; the reports of the others are made up.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.fleet.reading import FleetRead
from reconciler.gitops.git import GitAccess
from reconciler.planning.facts.observation import Reboot, RebootNeed
from reconciler.planning.fleet.rows import TargetState
from tests.e2e.machines import MANAGERS, Plant
from tests.e2e.site import BEFORE, POLICY, SCHEDULE
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.report_server import ReportServer, report_server
from tests.labs.signing import Key, Keys
from tests.report_samples import report_of

HOSTS = tuple(f"{manager}-0{number}" for manager in MANAGERS for number in (1, 2, 3))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    with report_server(tmp_path_factory.mktemp("reports"), HOSTS) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ReportServer, keys: Keys, ada: Key) -> FleetWorld:
    """Twelve hosts, of which the policy enrols eleven."""
    (tmp_path / "reports.git").symlink_to(server.home / "reports.git")
    world = FleetWorld.create(tmp_path, keys, ada, *(host for host in HOSTS if host != "dnf-03"))
    # The labs' lists are dated by the real clock, and three days pass by a made-up one.
    policy = f"{POLICY}refresh: {{every: 520w, stale_after: 520w}}\n"
    world.policy.commit({"policies/base.yaml": policy, "schedules/nightly.yaml": SCHEDULE}, ada)
    return world


@dataclass(frozen=True)
class Hosts:
    """Those of the twelve that are not there: their reports are made up, and come to the server as all do."""

    made: FleetWorld
    server: ReportServer

    @classmethod
    def of(cls, world: FleetWorld, server: ReportServer) -> "Hosts":
        folder = world.folder / "made"
        folder.mkdir()
        git(folder, "init", "--quiet", "--bare", "reports.git")
        (folder / "policy").symlink_to(world.policy.path)
        return cls(replace(world, folder=folder), server)

    def report(self, host: str, at: datetime, key: Key | None = None, reboot: Reboot | None = None) -> str:
        """Have one report, and return the commit that the server has then."""
        told = report_of(target=host, now=at)
        told = replace(told, host=replace(told.host, manager=host.partition("-")[0]))
        told = told if reboot is None else replace(told, reboot=reboot)
        commit = self.made.report(host, told, at=at, key=key or self.made.key(host))
        branch = f"refs/heads/hosts/{host}"
        argv = ["git", "-C", str(self.made.reports), "push", "-q", self.server.url, f"{branch}:{branch}"]
        done = subprocess.run(argv, env=self.server.as_(host), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return commit


@pytest.fixture
def machines(
    request: pytest.FixtureRequest, tmp_path: Path, world: FleetWorld, server: ReportServer
) -> dict[str, Plant]:
    """The first host of each manager: a small machine, whose reports are signed and go to the server."""
    found = {}
    for manager in MANAGERS:
        host = f"{manager}-01"
        calm = request.getfixturevalue("dnf_calm_world" if manager == "dnf" else f"{manager}_world")
        plant = Plant.build(manager, calm, tmp_path / host)
        plant.site.configure(
            host=host,
            policy={"remote": f"file://{world.policy.path}/.git"},
            reports={"remote": server.url, "signing_key": world.key(host).settings["user.signingkey"]},
            git={"known_hosts": str(server.known_hosts), "identity": str(server.identities[host])},
            environment={**plant.machine.environment, "TMPDIR": str(tmp_path)},
            **plant.machine.settings,
        )
        found[host] = plant
    return found


def ticked(world: FleetWorld, host: str, plant: Plant) -> str:
    """Have a machine tick, and return the commit that the server has then."""
    before = world.tip(host)
    plant.tick(world.now)
    after = world.tip(host)
    assert after not in {"", before}, f"{host} reported nothing"
    return after


def read(world: FleetWorld, server: ReportServer, who: str = "publisher") -> FleetRead:
    access = GitAccess(known_hosts=str(server.known_hosts), identity=str(server.identities[who]))
    return world.read(remotes=(server.url,), access=access)


def test_each_row_is_as_it_should_be_and_nothing_unverified_is_published(
    world: FleetWorld, server: ReportServer, machines: dict[str, Plant], ada: Key, eve: Key
) -> None:
    hosts = Hosts.of(world, server)
    world.now = BEFORE
    good = {host: ticked(world, host, plant) for host, plant in machines.items()}
    good |= {host: hosts.report(host, world.now) for host in HOSTS if host not in machines}
    rewound = good["zypper-01"]
    machines["zypper-01"].machine.install("by-hand")
    good["zypper-01"] = ticked(world, "zypper-01", machines["zypper-01"])
    assert read(world, server).problems == ()

    world.later(days=3)
    git(world.policy.path, "rm", "-q", "hosts/pacman-02.yaml")
    world.policy.commit({}, ada)
    machines["apt-01"].machine.install("by-hand")
    good |= {host: ticked(world, host, machines[host]) for host in ("apt-01", "dnf-01")}
    for host in ("apt-03", "dnf-03", "zypper-02", "zypper-03", "pacman-03"):
        good[host] = hosts.report(host, world.now)
    reboot = Reboot(RebootNeed.REQUIRED, ("a kernel",))
    good["dnf-02"] = hosts.report("dnf-02", world.now, reboot=reboot)
    hosts.report("apt-02", world.now, key=eve)
    git(world.reports, "update-ref", "refs/heads/hosts/zypper-01", rewound)

    found = read(world, server)

    assert found.problems == ()
    rows = {row.target: row for row in found.fleet.rows}
    expected = dict.fromkeys(HOSTS, TargetState.FINE) | {
        "apt-01": TargetState.CHANGED_OUTSIDE,
        "apt-02": TargetState.UNVERIFIED,
        "dnf-02": TargetState.REBOOT_PENDING,
        "dnf-03": TargetState.UNVERIFIED,
        "zypper-01": TargetState.UNVERIFIED,
        "pacman-01": TargetState.SILENT,
        "pacman-02": TargetState.RETIRED,
    }
    assert {target: row.state for target, row in rows.items()} == expected
    assert [row.state.rank for row in found.fleet.rows] == sorted(row.state.rank for row in found.fleet.rows)
    assert {row.manager for row in found.fleet.rows if row.is_known} == set(MANAGERS)
    assert rows["apt-01"].changed_outside == 1
    assert "rewritten" in rows["zypper-01"].reason
    published = world.targets()
    assert published == {host: world.tree_of(good[host]) for host in HOSTS if host != "dnf-03"}
    (branch,) = read(world, server).published.values()
    assert not branch.is_new


def test_a_server_that_lets_somebody_only_read_is_said_to_refuse(
    world: FleetWorld, server: ReportServer
) -> None:
    world.report("apt-02")
    found = read(world, server, "ada")
    (problem,) = found.problems
    assert "cannot publish the fleet" in problem.message
    assert {row.target for row in found.fleet.rows} >= {"apt-02"}
