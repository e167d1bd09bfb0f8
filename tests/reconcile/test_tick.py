"""Whole ticks in memory: no git, no files, no package manager, no clock but the one that is set."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import (
    Answer,
    Change,
    ClockState,
    Observation,
    Question,
    Refresh,
    RefreshOutcome,
    Source,
)
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.gates.types import Apply, Pause
from reconciler.planning.notices.events import Event, Notice, Route, Untold
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.hooks_and_health import CheckResult, HookResult, HookStage
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.record import RunOutcome
from reconciler.planning.runs.steps import Needs
from reconciler.policy.documents import Health
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.apply import Applier
from reconciler.reconcile.assess import Assessor
from reconciler.reconcile.policy_in_force import PolicyFollower
from reconciler.reconcile.ports.policies import (
    Acceptance,
    Advanced,
    CommitInfo,
    Fetched,
    FirstUse,
    Offline,
    Succession,
    Unchanged,
)
from reconciler.reconcile.ports.reports import Commit, Diverged, NothingNew, Pushed, Queued, Stored
from reconciler.reconcile.ports.state import Recalled, State
from reconciler.reconcile.ports.target import Power
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import THIS_MACHINE, ThisMachine
from reconciler.reconcile.reporter import Reporter
from reconciler.reconcile.site import Site
from reconciler.reconcile.surroundings import Surroundings
from reconciler.reconcile.tick import Tick, Ticker
from tests.fakes import Build, NotArrangedError, PackageWorld

NOW = datetime.fromisoformat("2026-11-22T03:00:00+00:00")
COMMIT = "c" * 40
POLICY = (
    PolicyFile(
        "policies/base.yaml", "100644", b"kind: Policy\nname: base\naction: apply\nschedule: [nightly]\n"
    ),
    PolicyFile(
        "schedules/nightly.yaml",
        "100644",
        b'kind: Schedule\nname: nightly\ntimezone: UTC\nwindows: [{start: "*-*-* 02:00", duration: 3h}]\n',
    ),
)


@dataclass
class Fleet:
    """The policy of one commit, and the reports of every site.

    Attributes:
        is_away: The remote of the policy does not answer.
        is_killed_while_it_tells: Nothing is told any more.
        keeps_nothing: What is to be told cannot be written down.
        policy: The files of the commit.
    """

    is_away: bool = False
    is_killed_while_it_tells: bool = False
    keeps_nothing: bool = False
    policy: tuple[PolicyFile, ...] = POLICY
    shown: str = "memory"
    branch: str = "main"
    floor: str = ""
    rebuilds: int = 0
    notices: tuple[str, ...] = ()
    last_accepted: Acceptance | None = None
    reports: dict[str, list[tuple[datetime, Mapping[str, bytes]]]] = field(default_factory=dict)
    told: list[Notice] = field(default_factory=list)

    def read(self, commit: str, _now: datetime) -> Sequence[PolicyFile]:
        assert commit == COMMIT
        return self.policy

    def fetch(self, *, timeout: float, now: datetime) -> Fetched | Offline:
        del timeout, now
        return Offline(Transient("away", "wait")) if self.is_away else Fetched(COMMIT)

    def accepted(self) -> Acceptance | None:
        return self.last_accepted

    def accept(self, commit: str, *, is_verified: bool = False) -> Acceptance:
        self.last_accepted = Acceptance(commit, is_verified=is_verified)
        return self.last_accepted

    def line(self, commit: str) -> tuple[str, ...]:
        return (commit,)

    def succession(self, head: str, acceptance: Acceptance | None = None) -> Succession:
        if acceptance is None:
            return FirstUse(head)
        return Unchanged(head) if acceptance.commit == head else Advanced(head, acceptance.commit, (head,))

    def describe(self, commit: str) -> CommitInfo:
        return CommitInfo(NOW - timedelta(hours=1), commit)

    def latest(self, commit: str) -> tuple[str, datetime]:
        return commit, NOW - timedelta(hours=1)

    def fetched_at(self) -> datetime | None:
        return NOW

    def last(self, branch: str, file: str = "report.json") -> Stored | None:
        if not self.reports.get(branch):
            return None
        when, files = self.reports[branch][-1]
        return Stored(COMMIT, when, files[file])

    def proven(self, branch: str) -> Stored | None:
        assert branch.startswith("hosts/")
        return None

    def own_policy_commits(self, branch: str) -> frozenset[str] | None:
        del branch
        return None

    def policy_commits(self, branch: str) -> Iterator[str]:
        return iter([COMMIT] if self.reports.get(branch) else [])

    def commit(
        self,
        branch: str,
        files: Mapping[str, bytes],
        message: str,
        when: datetime,
        *,
        keep_runs: int,
        is_heartbeat: bool = False,
    ) -> Commit | NothingNew:
        del message, keep_runs
        kept = self.reports[branch][-1][1] if is_heartbeat else {}
        self.reports.setdefault(branch, []).append((when, {**kept, **files}))
        return Commit(COMMIT)

    def record_of(self, branch: str, run: str) -> bytes | None:
        every = (files.get(f"runs/{run}.json") for _, files in self.reports.get(branch, []))
        return next(filter(None, every), None)

    def push(self, branches: Sequence[str] | None = None, *, timeout: float) -> Pushed | Queued:
        del branches, timeout
        return Pushed(())

    def standing(self, branch: str, *, timeout: float, ask: bool) -> Diverged | None:
        del branch, timeout, ask
        return None

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[Untold, ...]:
        self.keep(notices, routes)
        return self.deliver(now)

    def keep(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        del routes
        if self.is_killed_while_it_tells:
            raise KeyboardInterrupt
        if self.keeps_nothing:
            raise Stalled("cannot keep notifications in outbox: Input/output error")
        self.told += notices

    def deliver(self, now: datetime) -> tuple[Untold, ...]:
        del now
        return ()

    def make_room(self) -> bool:
        return False

    def withdraw(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        del routes
        self.told = [each for each in self.told if each not in notices]


@dataclass
class Host:
    """One target: its packages, its folder, its lock, its hooks and health, and the clock beside it."""

    world: PackageWorld
    at: datetime = NOW
    remembered: State = field(default_factory=State)
    files: dict[str, bytes] = field(default_factory=dict)
    at_work: Journal | None = None
    done: dict[str, Execution] = field(default_factory=dict)
    paused: Pause | None = None
    locked: int = 0
    where: ThisMachine = THIS_MACHINE

    # --- the clock and the lock ---

    def now(self) -> datetime:
        return self.at

    def state(self) -> ClockState:
        return ClockState.SYNCHRONISED

    def held(self) -> AbstractContextManager[None]:
        self.locked += 1
        return nullcontext()

    # --- the package manager ---

    @property
    def is_by_policy(self) -> bool:
        return False

    def use_script(self, content: bytes | None) -> None:
        raise NotArrangedError(content)

    def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
        return replace(self.world.observe(at), database=str(sorted(self.world.installed.items())))

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        raise NotArrangedError

    def resolve(self, question: Question) -> Answer:
        return self.world.answer(question)

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        raise NotArrangedError(changes)

    def download(self, instruction: Instruction, folder: Path, _unless: Unless | None = None, /) -> Execution:
        del instruction, folder
        return Execution(0)

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        self.world = self.world.apply(instruction.changes)
        self.done[str(folder)] = Execution(0, ended=self.at)
        return self.done[str(folder)]

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        raise NotArrangedError(instruction, folder)

    def is_at_work(self, folder: Path) -> bool:
        return str(folder) not in self.done

    def result(self, folder: Path) -> Execution:
        return self.done[str(folder)]

    # --- the folder ---

    def recall(self) -> Recalled:
        return Recalled(self.remembered)

    def save(self, state: State) -> None:
        self.remembered = state

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def journal(self) -> Journal | None:
        return self.at_work

    def begin(self, journal: Journal) -> None:
        self.at_work = journal

    def write_journal(self, journal: Journal) -> None:
        self.at_work = journal

    def clear_journal(self) -> None:
        self.at_work = None

    def unused(self, run: str) -> str:
        return run

    def execution(self, run: str, name: str) -> Path:
        return Path(run) / name

    def executions(self, run: str) -> tuple[str, ...]:
        return tuple(Path(one).name for one in self.done if Path(one).parent.name == run)

    def run_log(self, run: str, secrets: Iterable[str]) -> bytes:
        del run, secrets
        return b"said"

    def explain(self, run: str, why: str) -> None:
        raise NotArrangedError(run, why)

    def explained(self, run: str) -> str:
        raise NotArrangedError(run)

    def pause(self) -> Pause | None:
        return self.paused

    # --- hooks and health ---

    def run(
        self, stage: HookStage, *, stdin: bytes, facts: Mapping[str, str], timeout: timedelta
    ) -> tuple[HookResult, ...]:
        del stage, stdin, facts, timeout
        return ()

    def digest(self, stage: HookStage) -> str:
        del stage
        return ""

    def check(self, wanted: Health) -> tuple[CheckResult, ...]:
        del wanted
        return ()

    def failed_units(self) -> tuple[CheckResult, ...]:
        return ()


@dataclass
class Lacking(Host):
    """A host that cannot read one of its sources, without which its operator wants all else to go on."""

    tries: int = 0
    asked: set[tuple[str, ...]] = field(default_factory=set)

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        base = Source("base", "", at, None, at if self.tries else at - timedelta(days=1))
        third = Source("third", "", None, None, at - timedelta(days=9), may_be_missing=True)
        return replace(super().observe(at, *sources), sources=(base, third))

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        self.tries += 1
        return Refresh(RefreshOutcome.FAILED, "no route to third", missing=("third",))

    def resolve(self, question: Question) -> Answer:
        self.asked.add(question.without)
        return super().resolve(question)


def ticker(fleet: Fleet, host: Host, name: str = "web-01", power: Power[ThisMachine] | None = None) -> Ticker:
    around = Surroundings(host, host, None, lambda ask, _before, _within: tuple(ask()))
    site = Site(name, {}, f"hosts/{name}", host, host, host, around, power)
    minute = timedelta(minutes=1)
    assessor = Assessor(site, host, PolicyFollower(fleet, fleet.read, minute), fleet, "patchledger 1", minute)
    applier = Applier(site, host, "patchledger 1", assessor.ask_anew)
    reporter = Reporter(site, fleet, fleet, timedelta(days=1), keep_runs=9, timeout=minute, has_remote=True)
    return Ticker(site, assessor, applier, reporter)


def tick(fleet: Fleet, host: Host, name: str = "web-01") -> Tick:
    return ticker(fleet, host, name).tick()


@pytest.fixture
def host() -> Host:
    """A host with one update to make."""
    return Host(PackageWorld((Build("tool", "1.0"), Build("tool", "1.1")), {"tool": "1.0"}))


def test_what_every_gate_lets_through_is_made_and_reported(host: Host) -> None:
    fleet = Fleet()
    done = tick(fleet, host)
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    assert (host.world.installed["tool"], host.at_work, host.locked) == ("1.1", None, 1)
    assert len(fleet.reports["hosts/web-01"]) == 2
    assert done.failures == ()


def test_the_second_tick_has_nothing_to_do(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    again = tick(fleet, host)
    assert (again.runs, again.published.commit, len(fleet.reports["hosts/web-01"])) == ((), None, 2)


def test_a_source_that_may_be_missing_is_known_to_be_until_the_next_attempt() -> None:
    fleet = Fleet()
    host = Lacking(PackageWorld((Build("tool", "1.0"), Build("tool", "1.1")), {"tool": "1.0"}))
    assert [one.outcome for one in tick(fleet, host).runs] == [RunOutcome.APPLIED]
    host.world = replace(host.world, archive=(Build("tool", "1.2"),))
    assert [one.outcome for one in tick(fleet, host).runs] == [RunOutcome.APPLIED]
    assert (host.tries, host.asked) == (1, {("third",)})
    (_, files) = fleet.reports["hosts/web-01"][-1]
    assert b"SourceMissing" in files["report.json"]
    assert b"MetadataStale" not in files["report.json"]


@dataclass
class Reboots:
    """What a host has besides that can be told to reboot."""

    root: str = "/"
    is_awaited: bool = False
    told: list[str] = field(default_factory=list)

    def boot_id(self) -> str:
        return "boot-1"

    def reboot(self, notice: timedelta, message: str) -> None:
        del notice
        self.told.append(message)


@dataclass
class Fetching(Host):
    """A host that takes its time to read its metadata anew."""

    looked: list[datetime] = field(default_factory=list)

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        self.looked.append(at)
        base = Source("base", "", None, None, self.at - timedelta(days=0 if len(self.looked) > 1 else 9))
        return replace(super().observe(at, *sources), sources=(base,))

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        self.at += timedelta(minutes=4)
        return Refresh(RefreshOutcome.REFRESHED)


def test_what_a_decision_fetches_is_no_matter_of_the_future() -> None:
    host = Fetching(PackageWorld((Build("tool", "1.1"),), {"tool": "1.0"}))
    done = tick(Fleet(), host)
    assert host.looked[:2] == [NOW, NOW + timedelta(minutes=4)]
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]


@dataclass
class Mute(Host):
    """A host whose package manager answers nothing that is understood, once something was applied."""

    def resolve(self, question: Question) -> Answer:
        if self.done:
            raise Stalled("section [moves] of the patch script's output does not parse")
        return super().resolve(question)


def test_what_was_applied_is_told_although_no_other_plan_can_be_made_after_it() -> None:
    fleet = Fleet()
    never = Build("other", "2", depends=(("nobody", ""),))
    host = Mute(PackageWorld((Build("tool", "1.1"), never), {"other": "1", "tool": "1.0"}))
    done = tick(fleet, host)
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    assert [one.message for one in done.failures] == [
        "section [moves] of the patch script's output does not parse"
    ]
    (_, files) = fleet.reports["hosts/web-01"][-1]
    assert [name for name in files if name.startswith("runs/")]
    assert (host.at_work, len(host.remembered.used)) == (None, 1)
    with pytest.raises(Stalled):
        tick(fleet, host)
    assert len(fleet.reports["hosts/web-01"]) == 2


SCRIPT, OWN = "apt-update.sh", sha256(b"ours").hexdigest()


@dataclass
class Scripted(Host):
    """A host whose policy pins a script that it accepts, and that never comes to its end."""

    replaced: bytes | None = None

    def use_script(self, content: bytes | None) -> None:
        self.replaced = content

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        if self.replaced is not None:
            raise Transient(f"{SCRIPT} --observe did not end within 300 s")
        return replace(super().observe(at, *sources), scripts=((SCRIPT, OWN),))


def test_a_host_whose_pinned_script_hangs_is_reported_on() -> None:
    pin = f'scripts: {{{SCRIPT}: "sha256:{sha256(b"theirs").hexdigest()}"}}\n'
    base = replace(POLICY[0], data=POLICY[0].data + pin.encode())
    fleet = Fleet(policy=(base, POLICY[1], PolicyFile(f"scripts/{SCRIPT}", "100644", b"theirs")))
    host = Scripted(PackageWorld((Build("tool", "1.1"),), {"tool": "1.0"}))
    done = tick(fleet, host)
    (said,) = (one for one in done.report.conditions if one.type == "ScriptMismatch")
    assert (said.reason, said.stalled, done.runs) == ("Unusable", True, ())
    assert "did not end within 300 s" in said.message
    assert host.replaced is None
    assert len(fleet.reports["hosts/web-01"]) == 1


def test_packages_are_fetched_before_the_window_opens(host: Host) -> None:
    host.at = NOW - timedelta(hours=2)
    done = tick(Fleet(), host)
    assert (done.runs, host.world.installed["tool"]) == ((), "1.0")
    assert host.remembered.downloaded == done.report.plan.digest


def test_a_pause_keeps_a_plan_back(host: Host) -> None:
    host.paused = Pause("a migration", "Ada", NOW)
    done = tick(Fleet(), host)
    assert (done.runs, host.world.installed["tool"]) == ((), "1.0")
    assert not isinstance(done.assessment.finding.judged.leading.decision, Apply)


def test_a_policy_that_cannot_be_asked_stays_in_force(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    fleet.is_away = True
    done = tick(fleet, host)
    assert done.report.policy_commit == COMMIT
    assert "PolicyUnreachable" in {one.type for one in done.report.conditions}


def test_one_process_looks_after_many_sites(host: Host) -> None:
    fleet, other = Fleet(), Host(host.world)
    ends = {name: tick(fleet, each, name) for name, each in (("web-01", host), ("web-02", other))}
    assert {name: end.report.target for name, end in ends.items()} == {"web-01": "web-01", "web-02": "web-02"}
    assert sorted(fleet.reports) == ["hosts/web-01", "hosts/web-02"]
    assert other.remembered.last_run != State().last_run


def told_outside(fleet: Fleet) -> list[str]:
    """Return the headlines of what was told to be changed by hand."""
    return [one.message.title for one in fleet.told if one.event is Event.CHANGED_OUTSIDE]


def by_hand(host: Host, **versions: str) -> None:
    host.world = replace(host.world, installed={**host.world.installed, **versions})


def test_a_change_by_hand_is_reported_and_told_once(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    by_hand(host, other="3.0")
    found = tick(fleet, host)
    assert (found.runs, found.published.commit) == ((), COMMIT)
    told = json.loads(fleet.reports["hosts/web-01"][-1][1]["report.json"])
    assert [(one["action"], one["name"], one["to"]) for one in told["changed_outside"]] == [
        ("install", "other", "3.0")
    ]
    (headline,) = told_outside(fleet)
    assert "changed outside of runs: other (new) → 3.0" in headline
    number = len(fleet.reports["hosts/web-01"])
    assert tick(fleet, host).published.commit is None
    assert (len(fleet.reports["hosts/web-01"]), len(told_outside(fleet))) == (number, 1)
    assert (host.remembered.outside, host.remembered.snapshot and host.remembered.snapshot.outside) == (
        (),
        (),
    )


def test_a_change_by_hand_that_is_undone_is_told_again(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    by_hand(host, tool="1.0")
    number = len(fleet.reports["hosts/web-01"])
    done = tick(fleet, host)  # which finds it, and brings back what policy wants
    assert [one.outcome for one in done.runs] == [RunOutcome.APPLIED]
    found, ran = (json.loads(files["report.json"]) for _, files in fleet.reports["hosts/web-01"][number:])
    assert [(one["action"], one["from"], one["to"]) for one in found["changed_outside"]] == [
        ("downgrade", "1.1", "1.0")
    ]
    assert ran["changed_outside"] == []  # the run's own record tells it
    assert ran["previous"]["inventory"] == found["inventory"] != ran["inventory"]


def test_what_could_not_be_kept_is_told_by_the_next_tick_that_can(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    by_hand(host, other="3.0")
    fleet.keeps_nothing = True
    for _ in range(2):
        assert [one.message for one in tick(fleet, host).failures] == [
            "cannot keep notifications in outbox: Input/output error"
        ]
    fleet.keeps_nothing = False
    assert tick(fleet, host).failures == ()
    (headline,) = told_outside(fleet)
    assert "other (new) → 3.0" in headline
    tick(fleet, host)
    assert len(told_outside(fleet)) == 1


def test_what_was_committed_and_not_told_is_told_by_the_next_tick(host: Host) -> None:
    fleet = Fleet()
    tick(fleet, host)
    by_hand(host, other="3.0")
    fleet.is_killed_while_it_tells = True
    with pytest.raises(KeyboardInterrupt):
        tick(fleet, host)
    assert told_outside(fleet) == []
    fleet.is_killed_while_it_tells = False
    assert tick(fleet, host).published.commit is None
    assert len(told_outside(fleet)) == 1


HELD = PolicyFile(
    "exceptions/held.yaml",
    "100644",
    b"kind: Exception\nname: held\npackages: [tool]\naction: hold\nreason: r\nexpires: 2099-01-01\n",
)


@dataclass
class Counting(Host):
    """A host that counts what its resolver is asked, and does not answer everything.

    Attributes:
        refuses: It cannot be asked without an exclusion.
        is_slow: It has no answer in time.
    """

    questions: list[Question] = field(default_factory=list)
    refuses: bool = False
    is_slow: bool = False

    def resolve(self, question: Question) -> Answer:
        self.questions.append(question)
        if self.is_slow:
            return Answer((), exit_code=exit_codes.OTHER, message="apt-update.sh did not end within 300 s")
        if self.refuses and not question.exclude:
            raise Transient("no memory for it", "wait")
        return super().resolve(question)


class Unexplained(Host):
    """A host that does not say in time what is only to explain."""

    def observe(self, at: datetime, *sources: Sequence[str]) -> Observation:
        return replace(super().observe(at, *sources), unexplained=("whether all is there is not known",))


def unrestricted_of(fleet: Fleet) -> list[Question]:
    recording = read_recording(fleet.reports["hosts/web-01"][-1][1]["observation.json"])
    assert not any(exchange in recording.exchanges for exchange in recording.unrestricted)
    return [one.question for one in recording.unrestricted]


@pytest.fixture
def counting() -> Counting:
    return Counting(PackageWorld((Build("tool", "1.0"), Build("tool", "1.1")), {"tool": "1.0"}))


def test_what_a_hold_keeps_back_is_asked_once_for_each_state_of_the_machine(counting: Counting) -> None:
    fleet = Fleet(policy=(*POLICY, HELD))
    assert tick(fleet, counting).report.plan.transaction == ()
    assert [(one.exclude, one.security) for one in unrestricted_of(fleet)] == [((), False), ((), True)]
    told, counting.questions = unrestricted_of(fleet), []
    counting.at += timedelta(minutes=15)
    tick(fleet, counting)
    assert not set(told) & set(counting.questions)
    counting.world = replace(counting.world, archive=(*counting.world.archive, Build("tool", "1.2")))
    tick(fleet, counting)
    assert set(told) <= set(counting.questions)
    assert unrestricted_of(fleet) == told


def test_what_was_seen_is_told_where_the_resolver_has_no_answer_in_time(counting: Counting) -> None:
    more = (Build("other", "1.0"), Build("other", "1.1"))
    world = counting.world
    counting.world = replace(
        world, archive=(*world.archive, *more), installed={**world.installed, "other": "1.0"}
    )
    fleet, counting.is_slow = Fleet(policy=(*POLICY, HELD)), True
    done = tick(fleet, counting)
    (failure,) = done.failures
    assert isinstance(failure, Stalled)
    assert "did not end within 300 s" in failure.message
    told = {one.name: one.candidate for one in done.report.plan.updates}
    assert told == {"tool": "1.1", "other": "1.1"}
    assert len(counting.questions) == 1, "and nothing is asked that nobody waits for"


def test_what_was_not_explained_in_time_is_asked_again_before_the_next_report_is_due() -> None:
    host = Unexplained(PackageWorld((Build("tool", "1.0"),), {"tool": "1.0"}))
    done = tick(Fleet(policy=POLICY), host)
    assert done.failures == ()
    assert done.assessment.next_instant == host.at + timedelta(hours=1)


def test_a_plan_needs_no_answer_to_what_it_does_not_ask(counting: Counting) -> None:
    fleet, counting.refuses = Fleet(policy=(*POLICY, HELD)), True
    assert tick(fleet, counting).failures == ()
    assert unrestricted_of(fleet) == []
