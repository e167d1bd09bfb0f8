"""What cannot be fetched is set aside for a time, in memory: when it is tried again, and what is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Change, Observation, Reboot, RebootNeed, Source
from reconciler.planning.gates.types import BreakGlass
from reconciler.planning.notices.events import Event
from reconciler.planning.reporting.summary import headline
from reconciler.planning.runs.execution import Execution, FailedPackage, Instruction, Lacks
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.planning.runs.steps import Needs
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.tick import Tick
from tests.fakes import Build, PackageWorld
from tests.reconcile.test_tick import NOW, Fleet, Host, Reboots, tick, ticker

HOUR = timedelta(hours=1)
ALWAYS = (
    PolicyFile(
        "policies/base.yaml",
        "100644",
        b"kind: Policy\nname: base\naction: apply\nschedule: [always]\nsteps: single\n"
        b"deadline: {security: 2h}\n",
    ),
    PolicyFile(
        "schedules/always.yaml",
        "100644",
        b'kind: Schedule\nname: always\ntimezone: UTC\nwindows: [{start: "*-*-* 00:00", duration: 24h}]\n',
    ),
)


@dataclass
class Mirrored(Host):
    """A host whose mirror lacks the files of some packages.

    Attributes:
        lacking: What is in the way, by the name of each of them.
        published: When its metadata were.
        applied: How often anything was to be applied.
        calls_them: What the package manager calls them, where that is not their name.
    """

    lacking: dict[str, Lacks] = field(default_factory=dict)
    published: datetime = NOW - timedelta(days=1)
    applied: int = 0
    calls_them: str = ""

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        source = Source("stable", "http://deb.example/debian", self.published, None, at)
        return replace(super().observe(at, *sources), sources=(source,))

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        self.applied += 1
        names = [change.name for change in instruction.changes]
        failed = tuple(
            FailedPackage(self.calls_them or name, f"404 {name}", lacks=why)
            for name in names
            if (why := self.lacking.get(name, ""))
        )
        if not failed:
            return super().apply(instruction, folder)
        code = exit_codes.STALE if len(failed) == len(names) > 1 else exit_codes.NOT_FETCHED
        self.done[str(folder)] = Execution(code, 100, "cannot be fetched", failed, ended=self.at)
        return self.done[str(folder)]


@pytest.fixture
def host() -> Mirrored:
    """A host with four updates, of which one needs another, and one is for security."""
    builds = (
        Build("lost", "1.1", security=True),
        Build("needer", "1.1", depends=(("lost", "1.1"),)),
        Build("other", "1.1"),
        Build("tool", "1.1"),
    )
    old = tuple(Build(one.name, "1.0") for one in builds)
    return Mirrored(PackageWorld((*old, *builds), {one.name: "1.0" for one in old}))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(policy=ALWAYS)


def installed(host: Mirrored, *names: str) -> list[str]:
    return [str(host.world.installed[name]) for name in names]


def codes(done: Tick) -> list[type[Exception]]:
    return sorted({type(one) for one in done.failures}, key=str)


def test_the_rest_is_applied_by_the_same_tick_and_the_cause_is_named(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    done = tick(fleet, host)
    assert [(run.outcome, run.code) for run in done.runs] == [("failed", "not-fetched"), ("applied", "")]
    assert codes(done) == [Transient]
    assert installed(host, "lost", "needer", "other", "tool") == ["1.0", "1.0", "1.1", "1.1"]
    told = {update.name: update.reasons[0] for update in done.report.plan.updates}
    again = "it is tried again after 2026-11-22T04:00:00Z, with newer metadata, or by run --now"
    said = "the file of lost 1.1 could not be fetched at 2026-11-22T03:00:00Z: 404 lost"
    assert (told["lost"].code, told["lost"].message) == ("not-fetched", f"{said}; {again}")
    assert "lost" in told["needer"].message
    assert headline(done.report).startswith("in quarantine: lost 1.1")


def test_it_is_tried_again_when_its_time_has_come_and_then_later(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    done = tick(fleet, host)
    # Whoever waits for the next tick is told to be there in time.
    assert done.assessment.next_instant is not None
    assert done.assessment.next_instant <= NOW + HOUR
    tried = []
    for quarter in range(1, 40):
        host.at = NOW + quarter * HOUR / 4
        before = host.applied
        tick(fleet, host)
        if host.applied != before:
            tried.append(host.at - NOW)
    assert tried == [HOUR, 3 * HOUR, 7 * HOUR]
    host.lacking = {}
    host.at = NOW + 15 * HOUR
    assert [run.outcome for run in tick(fleet, host).runs] == ["applied"]
    assert installed(host, "lost", "needer") == ["1.1", "1.1"]
    assert host.remembered.quarantine == ()


def test_newer_metadata_are_a_reason_to_try_at_once(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    tick(fleet, host)
    host.at += HOUR / 4
    assert tick(fleet, host).runs == ()
    host.published, host.lacking = host.at, {}
    assert [run.outcome for run in tick(fleet, host).runs] == ["applied"]
    assert installed(host, "lost") == ["1.1"]


def test_a_mirror_that_is_behind_is_no_reason_to_try_at_once(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    tick(fleet, host)
    for _ in range(3):
        host.at += HOUR / 5
        host.published -= HOUR
        assert tick(fleet, host).runs == ()


def test_where_a_server_did_not_answer_the_next_tick_asks_again(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "server"}
    tick(fleet, host)
    assert installed(host, "lost", "tool") == ["1.0", "1.1"]
    host.at, host.lacking = host.at + HOUR / 4, {}
    assert [run.outcome for run in tick(fleet, host).runs] == ["applied"]


def test_what_is_missing_in_a_run_of_a_person_is_set_aside_as_well(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    done = ticker(fleet, host).tick(BreakGlass("zero day", "root"))
    assert [run.code for run in done.runs] == ["not-fetched", ""]
    again = tick(fleet, host)
    assert again.runs == ()
    assert [one.name for one in host.remembered.quarantine] == ["lost"]


def test_where_nothing_can_be_had_nothing_is_set_aside(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file", "needer": "file", "other": "file", "tool": "file"}
    done = tick(fleet, host)
    assert [(run.outcome, run.code) for run in done.runs] == [("failed", "unreachable")]
    assert codes(done) == [Transient]
    assert host.remembered.quarantine == ()
    assert len(done.report.plan.transaction) == 4
    host.at, host.lacking = host.at + HOUR / 4, {}
    assert [run.outcome for run in tick(fleet, host).runs] == ["applied"]


def test_what_is_known_to_be_missing_is_set_aside_where_nothing_else_is_left(
    fleet: Fleet, host: Mirrored
) -> None:
    host.lacking = {"lost": "file", "needer": "file", "other": "file"}
    tick(fleet, host)
    assert installed(host, "lost", "other", "tool") == ["1.0", "1.0", "1.1"]
    host.at += HOUR
    assert [run.code for run in tick(fleet, host).runs] == ["unreachable"]
    assert {one.attempts for one in host.remembered.quarantine} == {2}
    host.at += HOUR
    assert tick(fleet, host).runs == ()


def test_a_deadline_tells_of_what_is_set_aside(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    tick(fleet, host)
    host.at += 2 * HOUR
    done = tick(fleet, host)
    assert Stalled in codes(done)
    (late,) = (one for one in done.report.conditions if one.type == "Overdue")
    assert "could not be fetched" in late.message


def test_what_is_named_and_is_nowhere_in_the_plan_is_no_reason_to_try_the_same_again(
    fleet: Fleet, host: Mirrored
) -> None:
    host.lacking, host.calls_them = {"lost": "file"}, "stranger"
    assert [run.code for run in tick(fleet, host).runs] == ["not-fetched"]
    assert host.applied == 1


def test_a_rollback_is_not_for_what_was_only_missing(fleet: Fleet, host: Mirrored) -> None:
    base = ALWAYS[0]
    fleet.policy = (replace(base, data=base.data + b"on_failure: rollback\n"), ALWAYS[1])
    host.lacking = {"lost": "file"}
    done = tick(fleet, host)
    assert [run.outcome for run in done.runs] == ["failed", "applied"]
    assert installed(host, "tool") == ["1.1"]


def test_a_clock_that_was_ahead_sets_nothing_aside_for_years(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    host.at = NOW + timedelta(days=9)
    done = tick(fleet, host)
    assert [run.code for run in done.runs] == ["not-fetched", ""], done.report.decision
    host.at, host.lacking = NOW, {}
    assert [run.outcome for run in tick(fleet, host).runs] == ["applied"]
    assert installed(host, "lost") == ["1.1"]


@dataclass
class Sick(Mirrored):
    """One whose services fail once the tool is there in its new version; it is patched in several steps."""

    def needs(self, changes: Sequence[Change]) -> Needs:
        return {change.package: () for change in changes}

    def failed_units(self) -> tuple[CheckResult, ...]:
        is_ill = self.world.installed["tool"] == "1.1"
        return (CheckResult("unit tool.service", ok=not is_ill),)


@pytest.mark.parametrize(("on_failure", "tool"), [("report", "1.1"), ("rollback", "1.0")])
def test_a_machine_that_is_not_well_is_told_and_undone_whatever_was_missing_beside(
    fleet: Fleet, on_failure: str, tool: str
) -> None:
    settings = f"health: {{settle: 0s}}\non_failure: {on_failure}".encode()
    base = ALWAYS[0].data.replace(b"steps: single", settings)
    fleet.policy = (replace(ALWAYS[0], data=base), ALWAYS[1])
    builds = [Build(name, "1.1") for name in ("git", "systemd", "tool")]
    old = [Build(one.name, "1.0") for one in builds]
    host = Sick(PackageWorld((*old, *builds), {one.name: "1.0" for one in old}), lacking={"git": "file"})
    done = tick(fleet, host)
    first = done.runs[0]
    assert [len(step.changes) for step in first.steps] == [1, 2]
    assert (first.code, first.unhealthy[0].name) == ("unhealthy", "unit tool.service")
    assert "404 git" in first.reason
    assert Stalled in codes(done)
    assert installed(host, "tool", "systemd") == [tool, "1.0"]
    # What is left is no matter of this tick: a machine that is not well is somebody's matter first.
    assert len(done.runs) == 1


def test_it_is_over_when_it_is_installed_and_not_when_it_is_tried_again(fleet: Fleet, host: Mirrored) -> None:
    host.lacking = {"lost": "file"}
    told = []
    for hours in (0, 1, 3, 7):
        host.at = NOW + hours * HOUR
        tick(fleet, host)
        new, fleet.told = fleet.told, []
        told.append([one.event.value for one in new if one.event in {Event.FAILED, Event.RECOVERED}])
    # The run, with what is in quarantine since; then the run of the plan that is left; and then no more.
    assert told == [["failed"], ["failed"], [], []]
    host.at, host.lacking = NOW + 15 * HOUR, {}
    tick(fleet, host)
    (over,) = (one for one in fleet.told if one.event is Event.RECOVERED)
    assert "over: lost: 404 lost" in over.message.text
    assert host.remembered.snapshot is not None
    assert host.remembered.snapshot.troubles == ()


@dataclass
class Waiting(Reboots, Mirrored):
    """One that waits for a reboot, and can be told to."""

    is_late: bool = True

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        needed = Reboot(RebootNeed.NOT_REQUIRED if self.is_late else RebootNeed.REQUIRED)
        return replace(super().observe(at, *sources), root=self.root, reboot=needed)


@pytest.mark.parametrize("lacking", [("lost",), ("lost", "other")])
def test_a_file_that_is_missing_keeps_no_reboot_back(fleet: Fleet, lacking: tuple[str, ...]) -> None:
    base = ALWAYS[0]
    fleet.policy = (replace(base, data=base.data + b"reboot: {when: if-required}\n"), ALWAYS[1])
    builds = [Build(name, "1.1") for name in ("lost", "other", "tool")]
    old = [Build(one.name, "1.0") for one in builds]
    world = PackageWorld((*old, *builds), {one.name: "1.0" for one in old})
    host = Waiting(world, lacking=dict.fromkeys(lacking, "file"))
    made = ticker(fleet, host, power=host)
    made.tick()
    assert (installed(host, "tool"), host.told) == (["1.1"], [])
    # The next try, which is all that is left to do, fails, and the machine is as well as it was.
    host.at, host.is_late = NOW + HOUR, False
    assert [run.outcome for run in made.tick().runs] == ["failed"]
    assert len(host.told) == 1
