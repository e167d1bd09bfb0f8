"""Runs of several steps, in memory: what a manager that disagrees makes of them, and what is learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Change, Observation
from reconciler.planning.runs.costs import Pace
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.runs.steps import Needs
from reconciler.policy.load import PolicyFile
from tests.fakes import Build, PackageWorld
from tests.reconcile.test_tick import Fleet, Host, tick

POLICY = (
    PolicyFile(
        "policies/base.yaml",
        "100644",
        b"kind: Policy\nname: base\naction: apply\nschedule: [always]\nbudget: 3h\n",
    ),
    PolicyFile(
        "schedules/always.yaml",
        "100644",
        b'kind: Schedule\nname: always\ntimezone: UTC\nwindows: [{start: "*-*-* 00:00", duration: 24h}]\n',
    ),
)
NAMES = ("bash", "git", "openssl", "zlib")


@dataclass
class Stepwise(Host):
    """A host with four updates that need nothing of each other; one of them fixes security.

    Attributes:
        manager: Its package manager, which tells relations or only answers.
        disagrees: Names whose step it refuses where they come alone.
        takes: How long a call lasts.
        made: What it made, call by call.
    """

    manager: str = "apt"
    disagrees: frozenset[str] = frozenset()
    takes: timedelta = timedelta(0)
    made: list[list[str]] = field(default_factory=list)

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        return replace(super().observe(at, *sources), manager=self.manager)

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        return {change.package: () for change in changes} if self.manager == "apt" else None

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        self.at += self.takes
        names = [change.name for change in instruction.changes]
        if set(names) <= self.disagrees:
            self.done[str(folder)] = Execution(exit_codes.UNRESOLVED, 100, "more would move", ended=self.at)
            return self.done[str(folder)]
        self.made.append(names)
        return super().apply(instruction, folder)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(policy=POLICY)


def world(*versions: str) -> PackageWorld:
    builds = [
        Build(name, version, security=name == "openssl" and version != "1.0")
        for name in NAMES
        for version in versions
    ]
    return PackageWorld(tuple(builds), dict.fromkeys(NAMES, "1.0"))


def only_run(fleet: Fleet, host: Host) -> RunRecord:
    (record,) = tick(fleet, host).runs
    return record


@pytest.mark.parametrize("manager", ["apt", "dnf", "zypper"])
def test_security_updates_first_and_what_this_program_stands_on_last(fleet: Fleet, manager: str) -> None:
    host = Stepwise(world("1.0", "1.1"), manager=manager)
    record = only_run(fleet, host)
    assert (record.outcome, record.notes) == ("applied", ())
    assert host.made == [["openssl"], ["bash", "zlib"], ["git"]]


def test_pacman_makes_one_step(fleet: Fleet) -> None:
    host = Stepwise(world("1.0", "1.1"), manager="pacman")
    assert only_run(fleet, host).outcome == "applied"
    assert host.made == [list(NAMES)]


@pytest.mark.parametrize("manager", ["apt", "dnf"])
def test_a_part_that_is_refused_is_made_with_all_that_is_left_and_nothing_twice(
    fleet: Fleet, manager: str
) -> None:
    host = Stepwise(world("1.0", "1.1"), manager=manager, disagrees=frozenset({"bash", "zlib"}))
    record = only_run(fleet, host)
    assert record.outcome == "applied"
    assert host.made == [["openssl"], ["bash", "zlib", "git"]]
    assert [step.outcome for step in record.steps] == ["done", "refused", "done"]
    assert record.notes == (
        "the package manager did not accept the planned steps, so the rest was made as one",
    )
    assert tick(fleet, host).runs == ()


def test_how_long_steps_take_is_learned_and_makes_more_of_them(fleet: Fleet) -> None:
    host = Stepwise(world("1.0", "1.1", "1.2"), takes=timedelta(minutes=20))
    builds = world("1.0", "1.1").builds.values()
    host.world = replace(host.world, archive=tuple(builds))
    only_run(fleet, host)
    assert [one.seconds for one in host.remembered.took] == [1200] * 3
    assert Pace.of(host.remembered.took).factor == 20
    host.world = replace(world("1.0", "1.1", "1.2"), installed=host.world.installed)
    host.made.clear()
    slow = POLICY[0].data + b"step_time: 3m\n"
    fleet.policy = (replace(POLICY[0], data=slow), POLICY[1])
    record = only_run(fleet, host)
    assert record.outcome == "applied"
    assert host.made == [["openssl"], ["bash"], ["zlib"], ["git"]]


def test_a_heavy_step_needs_its_share_of_the_time_and_not_of_the_packages(fleet: Fleet) -> None:
    heavy = "zz-dkms"
    names = (*(f"light{number}" for number in range(9)), heavy)
    builds = tuple(Build(name, version) for name in names for version in ("1.0", "1.1"))
    host = Stepwise(PackageWorld(builds, dict.fromkeys(names, "1.0")), takes=timedelta(minutes=45))
    window = POLICY[1].data.replace(b'"*-*-* 00:00", duration: 24h', b'"*-*-* 03:00", duration: 61m')
    policy = b"kind: Policy\nname: base\naction: apply\nschedule: [always]\nbudget: 30m\nstep_time: 1m\n"
    fleet.policy = (replace(POLICY[0], data=policy), replace(POLICY[1], data=window))
    record = only_run(fleet, host)
    # Of the time, a module that is built is nine tenths, and of the packages one.
    assert host.made == [list(names[:-1])]
    assert (record.outcome, record.code) == ("partial", "budget")
