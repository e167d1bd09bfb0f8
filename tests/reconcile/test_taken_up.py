"""A run that is ended at any instant, and taken up again, which is ended in turn, comes to its true end.

The machine is in memory and ends with everything else: before and after each thing that is written down, and
in the middle of each transaction.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from reconciler.errors import Stalled, Transient
from reconciler.planning.facts.observation import (
    Answer,
    Change,
    ClockState,
    Health,
    Installed,
    Observation,
    Question,
    Refresh,
)
from reconciler.planning.gates.reboot import NoReboot
from reconciler.planning.gates.recording import record
from reconciler.planning.gates.types import Apply, Pause, Step
from reconciler.planning.notices.missed_windows import WindowWatch
from reconciler.planning.reporting.report import build_report
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.hooks_and_health import CheckResult, HookResult, HookStage
from reconciler.planning.runs.journal import Journal, Phase
from reconciler.planning.runs.record import RunOutcome, StepOutcome
from reconciler.planning.runs.steps import Needs
from reconciler.policy.documents import Health as WantedHealth
from reconciler.policy.documents import Settings
from reconciler.reconcile.apply import Applier, Performed
from reconciler.reconcile.assess import Asked, Assessment, Finding
from reconciler.reconcile.executions import MOST_ATTEMPTS
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.state import Recalled, State
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import THIS_MACHINE, ThisMachine
from reconciler.reconcile.recovery import Recovery
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from tests.fakes import NotArrangedError, healthy
from tests.report_samples import FACTS, INPUTS, NOW, effective, judged_of

AT = NOW
RUN = f"{NOW + timedelta(seconds=1):%Y%m%dT%H%M%SZ}-aaaaaaaaaaaa"
GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("a", "b", "c")
STEPS = (
    Step((Change("upgrade", "a", "amd64", "1.0", "1.1"), Change("upgrade", "b", "amd64", "1.0", "1.1"))),
    Step((Change("upgrade", "c", "amd64", "1.0", "1.1"),)),
)


class Killed(BaseException):
    """The plug is pulled."""


@dataclass
class Plug:
    """Pulls itself at the given effect, counted from 1; 0 never."""

    left: int = 0

    def see(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@dataclass
class Disk:
    """What survives: the packages, their halves, what executions left, the journal."""

    versions: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NAMES, "1.0"))
    halves: set[str] = field(default_factory=set)
    results: dict[str, Execution | None] = field(default_factory=dict)
    journal: bytes | None = None
    why: str = ""
    arches: Mapping[str, str] = field(default_factory=dict)

    def copy(self) -> "Disk":
        return Disk(dict(self.versions), set(self.halves), dict(self.results), self.journal, self.why)


JOURNALS = TypeAdapter(Journal)
Life = Callable[["Machine"], Performed]
Make = Callable[[Disk, Plug], "Machine"]


class NoLock:
    """The lock that whoever calls holds."""

    where = THIS_MACHINE

    def held(self) -> AbstractContextManager[None]:
        raise NotArrangedError


@dataclass
class Machine:
    """The clock, the package manager and the run store of one life of the program, on one disk.

    Attributes:
        lives_on: The package manager goes on to its end when the plug is pulled in the middle of its work.
        at_work: It is not done yet when somebody looks.
        is_ill: Its health fails where the whole plan is there.
    """

    disk: Disk
    plug: Plug = field(default_factory=Plug)
    lives_on: bool = False
    at_work: bool = False
    is_ill: bool = False
    seconds: int = 0
    where: ThisMachine = THIS_MACHINE

    # --- the clock ---

    def now(self) -> datetime:
        self.seconds += 1
        return AT + timedelta(seconds=self.seconds)

    def state(self) -> ClockState:
        return ClockState.SYNCHRONISED

    # --- the package manager ---

    @property
    def is_by_policy(self) -> bool:
        return False

    def use_script(self, content: bytes | None) -> None:
        raise NotArrangedError(content)

    def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
        installed = tuple(
            Installed(
                name,
                self.disk.arches.get(name, "amd64"),
                version,
                "half-installed" if name in self.disk.halves else "installed",
            )
            for name, version in sorted(self.disk.versions.items())
        )
        health = Health(interrupted=tuple(f"{name} is half done" for name in sorted(self.disk.halves)))
        return replace(healthy(at), installed=installed, health=health)

    def _status(self, name: str) -> str:
        return "half-installed" if name in self.disk.halves else "installed"

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        return self._work(folder, [(one.name, one.to_version or "") for one in instruction.changes])

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        names = {one.name for one in instruction.changes}
        if not self.disk.halves <= names:
            raise NotArrangedError(f"{self.disk.halves} is not of the run")
        return self._work(folder, [(one, self.disk.versions[one]) for one in sorted(self.disk.halves)])

    def _work(self, folder: Path, moves: Sequence[tuple[str, str]]) -> Execution:
        if self.disk.results.get(str(folder), ...) is not None:
            raise NotArrangedError(f"{folder} was used before")
        done = Execution(0, ended=self.now())
        try:
            self.plug.see()
            for name, version in moves:
                self.disk.versions[name] = version
                self.disk.halves.add(name)
                self.plug.see()
                self.disk.halves.discard(name)
        except Killed:
            if self.lives_on:
                for name, version in moves:
                    self.disk.versions[name] = version
                    self.disk.halves.discard(name)
                self.disk.results[str(folder)] = done
            raise
        self.disk.results[str(folder)] = done
        self.plug.see()
        return done

    def is_at_work(self, folder: Path) -> bool:
        return self.at_work and self.disk.results[str(folder)] is None

    def result(self, folder: Path) -> Execution:
        return self.disk.results[str(folder)] or Execution(1, message="it was killed", is_finished=False)

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        raise NotArrangedError

    def resolve(self, question: Question) -> Answer:
        raise NotArrangedError(question)

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        together = {one: tuple(each.name for each in step.changes) for step in STEPS for one in step.changes}
        return {change.package: together[change] for change in changes}

    def download(self, instruction: Instruction, folder: Path, _unless: Unless | None = None, /) -> Execution:
        raise NotArrangedError(instruction, folder)

    # --- the run store ---

    def begin(self, journal: Journal) -> None:
        self.write_journal(journal)

    def write_journal(self, journal: Journal) -> None:
        self.plug.see()
        self.disk.journal = JOURNALS.dump_json(journal)
        self.plug.see()

    def unused(self, run: str) -> str:
        return f"{run}-2" if self.executions(run) else run

    def execution(self, run: str, name: str) -> Path:
        folder = Path(run) / name
        self.disk.results.setdefault(str(folder), None)
        return folder

    def executions(self, run: str) -> tuple[str, ...]:
        return tuple(Path(one).name for one in self.disk.results if Path(one).parent.name == run)

    def explain(self, run: str, why: str) -> None:
        del run
        self.disk.why = why

    def explained(self, run: str) -> str:
        del run
        return self.disk.why

    def pause(self) -> Pause | None:
        return None

    # --- what only a whole tick needs ---

    def recall(self) -> Recalled:
        raise NotArrangedError

    def save(self, state: State) -> None:
        raise NotArrangedError(state)

    def write(self, name: str, data: bytes) -> None:
        raise NotArrangedError(name, data)

    def journal(self) -> Journal | None:
        raise NotArrangedError

    def clear_journal(self) -> None:
        raise NotArrangedError

    def run_log(self, run: str, secrets: Iterable[str]) -> bytes:
        raise NotArrangedError(run, secrets)

    # --- hooks, health and services ---

    def run(
        self, stage: HookStage, *, stdin: bytes, facts: object, timeout: timedelta
    ) -> tuple[HookResult, ...]:
        del stage, stdin, facts, timeout
        self.plug.see()
        return ()

    def digest(self, stage: HookStage) -> str:
        del stage
        return ""

    def check(self, wanted: WantedHealth) -> tuple[CheckResult, ...]:
        del wanted
        return (CheckResult("the site", ok=self.disk.versions.get("c") != "1.1" or not self.is_ill),)

    def failed_units(self) -> tuple[CheckResult, ...]:
        return ()

    @property
    def applier(self) -> Applier:
        around = Surroundings(self, self, None, lambda ask, _before, _within: tuple(ask()))
        site = Site("web-01", {}, "hosts/web-01", self, NoLock(), self, around)
        return Applier(site, self, "patchledger 1", lambda assessment, _now: Asked.as_before(assessment))


def assessment_of(**settings: object) -> Assessment:
    """Return a look whose gates are all open, at a plan of three packages in two steps."""
    observation = replace(Machine(Disk()).observe(AT), at=AT)
    changes = tuple(change for step in STEPS for change in step.changes)
    plan = Plan(changes, (), "sha256:" + "a" * 64)
    recording = record(observation, (), INPUTS, FACTS, program="patchledger 1", now=AT)
    # Too little for all three, by what is known of a host that has done nothing yet.
    chosen = Settings.model_validate({"step_time": "9s", "health": {"settle": "0s"}, **settings})
    host = replace(effective(), settings=chosen)
    judged = judged_of(plan, INPUTS, AT, by=host)
    finding = Finding(recording, judged, None, host, build_report(recording, host, judged))
    in_force = InForce(None, INPUTS.policy, None)
    return Assessment(in_force, finding, (), None, WindowWatch(), NoReboot("nobody asked"))


def begin(machine: Machine, assessment: Assessment) -> Performed:
    return machine.applier.apply(assessment, Apply(STEPS, None))


def recover(machine: Machine) -> Performed:
    assert machine.disk.journal is not None
    done = Recovery(machine.applier).recover(JOURNALS.validate_json(machine.disk.journal))
    assert done is not None
    return done


def lives(disk: Disk, life: Life, make: Make) -> Iterator[tuple[Disk, Performed | None]]:
    """Live one life on copies of a disk, ended at each effect in turn, and at last not at all."""
    effect, performed = 0, None
    while performed is None:
        effect += 1
        copy = disk.copy()
        with contextlib.suppress(Killed):
            performed = life(make(copy, Plug(effect)))
        yield copy, performed


def killed_in_step() -> Disk:
    """Return what is left when everything ends in the middle of the first step."""
    disk = Disk()
    with pytest.raises(Killed):
        begin(Machine(disk, Plug(10)), assessment_of())
    assert disk.halves == {"a"}
    return disk


def assert_true(disk: Disk, performed: Performed) -> None:
    """The record says what is, and is written down whole."""
    told = performed.record
    assert {move.name: move.to for move in told.difference.changed} == {
        name: version for name, version in disk.versions.items() if version != "1.0"
    }
    assert disk.halves == set()
    assert told.ended >= told.started
    assert all(step.ended >= step.started > told.started for step in told.steps)
    assert disk.journal is not None
    assert JOURNALS.validate_json(disk.journal).record == told
    assert not told.reason.endswith((" ", ";"))


def ended(disk: Disk, life: Life, make: Make, depth: int) -> Iterator[tuple[Disk, Performed]]:
    """End a life at each effect in turn, and the next ones as well; yield how it comes out."""
    for left, performed in lives(disk, life, make):
        if performed is not None:
            yield left, performed
        elif left.journal is None:
            continue  # nothing was begun, and nothing has to be known
        elif depth > 1:
            yield from ended(left, recover, make, depth - 1)
        else:
            yield left, recover(make(left, Plug()))


@pytest.mark.parametrize("lives_on", [False, True])
@pytest.mark.parametrize("is_ill", [False, True])
def test_however_often_it_is_ended_it_comes_to_a_true_end(*, lives_on: bool, is_ill: bool) -> None:
    assessment = assessment_of(on_failure="rollback")
    outcomes: set[RunOutcome] = set()
    make = partial(Machine, lives_on=lives_on, is_ill=is_ill)
    for disk, performed in ended(Disk(), lambda machine: begin(machine, assessment), make, 2):
        assert_true(disk, performed)
        told = performed.record
        outcomes.add(told.outcome)
        if told.rollback is not None:
            assert (disk.versions, told.rollback.left) == (dict.fromkeys(NAMES, "1.0"), ())
            assert {move.name for move in told.rollback.moves} == set(NAMES)
        elif is_ill:
            assert told.outcome in {RunOutcome.INTERRUPTED, RunOutcome.PARTIAL}
    expected = {RunOutcome.INTERRUPTED, RunOutcome.PARTIAL}
    assert outcomes == expected | {RunOutcome.ROLLED_BACK if is_ill else RunOutcome.APPLIED}


def test_however_often_it_is_ended_it_stays_the_plan_of_its_freeze() -> None:
    whole = assessment_of()
    judged = whole.finding.judged
    alone = replace(judged, security=replace(judged.ordinary, freeze="year-end"))
    assessment = replace(whole, finding=replace(whole.finding, judged=alone))
    said = "these are the security updates that the freeze year-end lets through"
    for disk, performed in ended(Disk(), lambda machine: begin(machine, assessment), Machine, 1):
        assert_true(disk, performed)
        assert performed.record.freeze == "year-end"
        assert said in performed.record.notes


def test_nothing_begins_while_a_repair_of_an_earlier_recovery_is_at_work() -> None:
    disk = killed_in_step()
    with pytest.raises(Killed):
        recover(Machine(disk, Plug(4)))
    assert list(disk.results) == [f"{RUN}/step-1-1", f"{RUN}/step-1-1-repair"]
    with pytest.raises(Transient, match="still at work"):
        recover(Machine(disk, at_work=True))
    assert len(disk.results) == 2
    assert_true(disk, recover(Machine(disk)))
    assert list(disk.results)[2:] == [f"{RUN}/step-1-1-repair-2"]


def test_a_repair_that_is_ended_each_time_is_not_tried_for_ever() -> None:
    disk = killed_in_step()
    for _ in range(MOST_ATTEMPTS - 1):
        with pytest.raises(Killed):
            recover(Machine(disk, Plug(4)))
    told = recover(Machine(disk)).record
    assert len(disk.results) == MOST_ATTEMPTS
    assert (told.outcome, told.difference.broken) == (RunOutcome.INTERRUPTED, ("a (half-installed)",))
    assert "half done: a (half-installed)" in told.reason


def test_a_run_that_ended_by_itself_is_what_it_came_to() -> None:
    disk = Disk()
    with pytest.raises(Killed):
        begin(Machine(disk, Plug(19), lives_on=True), assessment_of())
    told = recover(Machine(disk)).record
    assert (told.outcome, told.code, told.reason) == (RunOutcome.APPLIED, "", "")
    assert any("a later one completed this record" in note for note in told.notes)
    assert [step.outcome for step in told.steps] == [StepOutcome.DONE] * 2
    assert told.steps[0].ended < told.steps[1].started


def test_a_run_that_is_taken_up_late_did_not_work_until_then() -> None:
    disk, deadline = Disk(), AT + timedelta(hours=1)
    with pytest.raises(Killed):
        Machine(disk, Plug(19), lives_on=True).applier.apply(assessment_of(), Apply(STEPS, deadline))
    told = recover(Machine(disk, seconds=7200)).record
    assert told.ended > deadline > told.steps[1].ended
    assert not told.overran


def test_what_fails_by_itself_is_no_kill() -> None:
    class Full(Machine):
        def write_journal(self, journal: Journal) -> None:
            if journal.current == 1 and journal.phase is Phase.STEPS:
                raise Stalled("no space left in the state folder")
            super().write_journal(journal)

    disk = Disk()
    with pytest.raises(Stalled):
        begin(Full(disk), assessment_of())
    told = recover(Machine(disk)).record
    assert (told.outcome, told.code) == (RunOutcome.PARTIAL, "stopped")
    assert "no space left in the state folder" in told.reason
    assert "from outside" not in told.reason + str(told.notes)


def test_what_cannot_be_looked_at_is_told_at_once_and_looked_at_later() -> None:
    class Blind(Machine):
        def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
            if "1.1" in self.disk.versions.values():
                raise Stalled("the output does not parse")
            return super().observe(at)

    disk = Disk()
    performed = begin(Blind(disk), assessment_of())
    told = performed.record
    assert (told.outcome, told.code) == (RunOutcome.FAILED, "not-seen")
    assert "could not be looked at: the output does not parse" in told.reason
    assert [(step.outcome, step.exit_code) for step in told.steps] == [(StepOutcome.DONE, 0)]
    assert performed.follow_up is not None
    disk.journal = JOURNALS.dump_json(performed.follow_up)
    later = recover(Machine(disk)).record
    assert (later.run, later.outcome) == (f"{RUN}-2", RunOutcome.PARTIAL)
    assert {move.name for move in later.difference.changed} == {"a", "b"}
    assert f"this is what run {RUN} came to" in str(later.notes)


def test_what_did_not_end_by_itself_and_cannot_be_looked_at_is_repaired_later() -> None:
    class Stopped(Machine):
        """It is stopped in the middle, as a guest may be."""

        def apply(self, instruction: Instruction, folder: Path) -> Execution:
            first = instruction.changes[0]
            self.disk.versions[first.name] = first.to_version or ""
            self.disk.halves.add(first.name)
            return self.result(folder)

        def repair(self, instruction: Instruction, folder: Path) -> Execution:
            raise Transient(f"{folder}: it is stopped, so that nothing of {instruction} is done")

        def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
            if self.disk.halves:
                raise Transient("it is stopped")
            return super().observe(at)

    disk = Disk()
    performed = begin(Stopped(disk), assessment_of())
    assert (performed.record.code, performed.record.steps) == ("not-seen", ())
    assert performed.follow_up is not None
    disk.journal = JOURNALS.dump_json(performed.follow_up)
    later = recover(Machine(disk)).record
    assert (later.run, later.outcome, disk.halves) == (f"{RUN}-2", RunOutcome.INTERRUPTED, set())
    assert [step.outcome for step in later.steps] == [StepOutcome.INTERRUPTED]


@dataclass
class BlindAfterwards(Machine):
    """Nobody can look at it any more once something of that name has ended, which it did by itself."""

    last: str = ""

    def _work(self, folder: Path, moves: Sequence[tuple[str, str]]) -> Execution:
        done = super()._work(folder, moves)
        self.is_blind = folder.name == self.last
        return done

    def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
        if getattr(self, "is_blind", False):
            raise Stalled("the output does not parse")
        return super().observe(at)


def test_a_rollback_that_cannot_be_looked_at_was_not_interrupted() -> None:
    disk = Disk()
    performed = begin(
        BlindAfterwards(disk, is_ill=True, last="rollback"), assessment_of(on_failure="rollback")
    )
    assert performed.record.code == "not-seen"
    assert performed.follow_up is not None
    disk.journal = JOURNALS.dump_json(performed.follow_up)
    later = recover(Machine(disk, is_ill=True)).record
    assert (later.run, later.outcome, later.code) == (f"{RUN}-2", RunOutcome.ROLLED_BACK, "unhealthy")
    assert [one for one in disk.results if one.startswith(f"{RUN}-2/")] == []


def test_a_repair_that_cannot_be_looked_at_was_not_killed_and_is_not_made_again() -> None:
    disk = Disk(halves={"a"})

    class Mended(BlindAfterwards):
        def repair(self, instruction: Instruction, folder: Path) -> Execution:
            del instruction  # what is half done is not of a run
            return self._work(folder, [("a", "1.0")])

    performed = Mended(disk, last="repair").applier.mend(assessment_of())
    assert performed.follow_up is not None
    disk.journal = JOURNALS.dump_json(performed.follow_up)
    later = recover(Machine(disk)).record
    assert later.outcome is RunOutcome.REPAIRED
    assert [(step.exit_code, step.message) for step in later.steps] == [(0, "")]
    assert list(disk.results) == [f"{RUN}-repair/repair"]


@pytest.mark.parametrize("name", ["killed", "rolling-back"])
def test_a_run_that_an_older_version_left_is_finished(name: str) -> None:
    """Its journal names no execution: older versions derived the names of their folders."""
    journal = JOURNALS.validate_json((GOLDEN / f"v1/apt/{name}/journal.json").read_bytes())
    first = "step-1-1" if name == "killed" else "rollback-changes"
    moving = [move.name for move in journal.transaction]
    disk = Disk(
        {one.name: one.version for one in journal.before} | dict.fromkeys(moving, "1.1"),
        set(moving),
        {f"{journal.run}/{first}": None, f"{journal.run}/{first}-repair": None},
        JOURNALS.dump_json(journal),
        arches={one.name: one.arch for one in journal.before},
    )
    told = recover(Machine(disk)).record
    assert (told.outcome, told.run) == (RunOutcome.INTERRUPTED, journal.run)
    assert f"{journal.run}/{first}-repair-2" in disk.results
    assert (told.rollback is None) == (name == "killed")
    assert {disk.versions[one] for one in moving} == {"1.1" if name == "killed" else "1.0"}
