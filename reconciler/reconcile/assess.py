"""Assess one target: fetch the policy, observe, plan and decide.

It installs nothing and reports nothing, and yet leaves traces: the mirror of the policy is fetched, metadata
are fetched anew where that is due, and where it is told to, a new revision is remembered as accepted.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from reconciler.errors import PolicyRejected, ReconcilerError
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.links import FREE, Cost
from reconciler.planning.facts.observation import (
    Exchange,
    FirstSeen,
    Observation,
    Quarantined,
    Question,
    Refresh,
    RefreshOutcome,
    Rival,
)
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.facts.patience import is_waited_for
from reconciler.planning.facts.versions import order_of
from reconciler.planning.gates.decision import next_instant
from reconciler.planning.gates.gates import earliest
from reconciler.planning.gates.inputs import Local, gate_inputs, is_security_plan
from reconciler.planning.gates.reboot import Choice, History, NoReboot, RebootRefused, choose, refusal
from reconciler.planning.gates.recording import (
    Judged,
    Recording,
    Ruling,
    judge,
    read_vouched,
    record,
)
from reconciler.planning.gates.security_plan import passed_freeze
from reconciler.planning.gates.types import (
    Apply,
    BreakGlass,
    Closed,
    Deferred,
    GateInputs,
    GateName,
    Nothing,
    Outcome,
)
from reconciler.planning.notices.events import Event, LastRun, week_of, without_notifier
from reconciler.planning.notices.missed_windows import Timetable, WindowWatch, advance, looked
from reconciler.planning.notices.snapshot import announcement_due
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.overdue import next_overdue
from reconciler.planning.reporting.report import build_report
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.conditions import asked_again, next_change
from reconciler.planning.resolving.dialogue import next_question, unrestricted
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.resolving.mode import without_effect
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.resolving.sources import SourcesAsked
from reconciler.planning.runs.record import NOTHING_TO_WORK_WITH, PolicySeen, RunResult
from reconciler.policy import windows
from reconciler.policy.deadlines import limits_of
from reconciler.policy.documents import DEFAULTS, Autoremove, Deadlines
from reconciler.policy.load import Revision, load
from reconciler.policy.managers import ManagerTraits, traits_of
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective, labels_of, resolve
from reconciler.policy.zones import shifted
from reconciler.reconcile.identity import (
    Claim,
    Enrolled,
    enrolled,
    told_enrolled,
    told_of_enrolment,
    told_of_machine,
)
from reconciler.reconcile.metering import metered
from reconciler.reconcile.policy_in_force import InForce, PolicyFollower, rejection
from reconciler.reconcile.ports.policies import Acceptance, ReadPolicy
from reconciler.reconcile.ports.reports import REPAIR_HINT, Diverged, ReportRepository
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.ports.target import FREE_LINK, Clock, Link
from reconciler.reconcile.refreshing import is_due, is_whole, refresh_due
from reconciler.reconcile.script_in_use import first_look, pinned_otherwise, with_pinned_script
from reconciler.reconcile.site import AnySite
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A decision with all that belongs to it, made now or made again.

    Attributes:
        recording: What it was made from.
        judged: The plan, the gates' answers and the decision.
        revision: The policy revision in force; ``None`` while there is none.
        effective: What that says for the target; ``None`` while there is no policy.
        report: What it came to.
    """

    recording: Recording
    judged: Judged
    revision: Revision | None
    effective: Effective | None
    report: Report


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one look at a target gave.

    Attributes:
        in_force: How the policy was come by.
        finding: The decision and its report.
        failures: Everything that went wrong on the way, for people and for the exit code. What is wrong with
            the target is in the report (:func:`reconciler.planning.reporting.ailments.failures`).
        next_instant: First instant at which time alone may change the decision, or is a reason to tell
            something; ``None`` where it never does.
        watch: What the next assessment is to know of windows.
        reboot: What becomes of a reboot; that it is refused is a condition of the report already.
    """

    in_force: InForce
    finding: Finding
    failures: tuple[ReconcilerError, ...]
    next_instant: datetime | None
    watch: WindowWatch
    reboot: Choice

    @property
    def report(self) -> Report:
        """The report on what was seen and decided."""
        return self.finding.report

    @property
    def leading(self) -> Ruling:
        """The plan that a run makes real, with what was decided of it."""
        return self.finding.judged.leading

    @property
    def is_anothers(self) -> bool:
        """Whether the target's report branch is another machine's: then nothing is written there."""
        return self._has(ConditionType.OTHER_MACHINE)

    @property
    def is_hosts(self) -> bool:
        """Whether this machine is the host that the policy means: no other one is touched in any way."""
        return not self._has(ConditionType.OTHER_MACHINE, ConditionType.HOST_RETIRED)

    def _has(self, *types: ConditionType) -> bool:
        return any(one.type in types for one in self.report.conditions)

    @property
    def must_be_pushed(self) -> bool:
        """Whether nothing may be done before the remote has the report: approved plans rest on it."""
        effective = self.finding.effective
        return effective is not None and effective.settings.approval == "required"

    def telling(self, condition: Condition) -> "Assessment":
        """Return this assessment with one more condition in its report, which changes no gate's answer."""
        finding = self.finding
        recording = _with(finding.recording, condition)
        report = build_report(recording, finding.effective, finding.judged)
        return replace(self, finding=replace(finding, recording=recording, report=report))

    def again_at(self, at: datetime) -> "Assessment":
        """Return this assessment, to be made anew at ``at`` at the latest, though nothing changed."""
        return replace(self, next_instant=at if self.next_instant is None else min(self.next_instant, at))

    @property
    def is_clock_wrong(self) -> bool:
        """Whether the clock is known to be wrong: then nothing that it dates is to be remembered."""
        return any(isinstance(gate, Closed) and gate.gate is GateName.CLOCK for gate in self.leading.gates)


_ASKED_WITHIN = timedelta(seconds=10)
"""How long the remote may take to answer where something is about to be done; a run does not wait for it."""


def _acceptance(state: State) -> Acceptance | None:
    """Return which policy was accepted last, as far as the state knows."""
    if not state.accepted:
        return None
    return Acceptance(state.accepted, state.floor, state.is_verified, state.signed)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gates are shown just before something is done, by the policy of that moment.

    Attributes:
        in_force: The policy that counts: the newest, or the one of before where that cannot be had.
        inputs: For the gates, of the target as it was looked at.
        policy: What a record says of it.
        against: Why the plan is not what the policy wants any more; empty where it is.
    """

    in_force: InForce
    inputs: GateInputs
    policy: PolicySeen
    against: str = ""

    @classmethod
    def as_before(cls, assessment: Assessment, reason: str = "") -> "Asked":
        """Return what held when the target was looked at; ``reason`` says why nothing newer can be had."""
        inputs, state = assessment.leading.inputs, assessment.in_force.state
        return cls(assessment.in_force, inputs, PolicySeen(state.commit, state.fetched_at, reason))


def _all_arrives(now: datetime) -> tuple[str, ...]:
    del now
    return ()


@dataclass(frozen=True, slots=True)
class Assessor:
    """Looks at one target and says what should happen.

    Attributes:
        site: The target.
        clock: Asked once for each decision; and for each look after the first one, since what a decision
            fetches is younger than that.
        follower: Says which policy holds.
        queue: Where the target's reports are.
        program: Name and version, such as ``patchledger 1.4.0``.
        timeout: Longest time of one conversation with a remote.
        notifiers: Names of those that routes of the policy can lead to; ``None`` where nobody is told here.
        undelivered: Says what will never arrive of what was told, in sentences.
        link: Says what fetching costs.
    """

    site: AnySite
    clock: Clock
    follower: PolicyFollower
    queue: ReportRepository
    program: str
    timeout: timedelta
    notifiers: frozenset[str] | None = None
    undelivered: Callable[[datetime], tuple[str, ...]] = _all_arrives
    link: Link = FREE_LINK

    def assess(
        self,
        state: State,
        *,
        accept: bool,
        break_glass: BreakGlass | None = None,
        seen: Observation | None = None,
        in_force: InForce | None = None,
        has_applied: bool = False,
        is_reported: bool = True,
    ) -> Assessment:
        """Fetch, observe, plan and decide.

        Args:
            state: What the last tick left.
            accept: Remember a new valid revision as accepted. A dry-run does not.
            break_glass: A person takes the window on themselves.
            seen: What was observed just before, where nothing was done since; it is not looked again then.
            in_force: The policy of an earlier assessment of the same tick; it is not fetched again then.
            has_applied: A run of the same tick changed something.
            is_reported: Also what planning need not know is asked, for those who read the report.

        Raises:
            ReconcilerError: The machine cannot be observed at all, or the last good policy is lost.
                Everything else becomes a condition.
        """
        now = self.clock.now()
        if in_force is None:
            in_force = self.follower.follow(_acceptance(state), now, accept=accept, beginning=state.beginning)
        # What the machine says of itself decides which policy is about it, and that may pin the script to
        # look with.
        seen = first_look(self.site.manager, partial(self._look, state, in_force, now, seen))
        host, effective = self._match(in_force.revision, seen)
        power = self.site.power
        has_power = power is not None and power.root == seen.root
        cost = self._cost(effective)
        occasion = _Occasion(now, state, in_force, host, effective, break_glass, has_power, has_applied, cost)
        look = partial(self._look, state, in_force, now)
        seen, pinned = with_pinned_script(self.site.manager, seen, in_force.revision, effective, look)
        # A script that must not be run refreshes nothing, and answers nothing below.
        if not pinned:
            seen = self._counted(self._refreshed(seen, occasion), occasion)
        talk = None if effective is None or pinned else self._converse(seen, effective, occasion)
        if talk is not None:
            # Once more, since packages that would come in new are seen in answers only.
            seen = replace(seen, first_seen=_dated(seen, (*talk.exchanges, *talk.security), now))
        named, about = self._about_host(seen, effective, state, may_ask=accept)
        told = (*pinned, *self._without_effect(effective, seen, now, cost.trouble), *about)
        recording = replace(self._recorded(seen, talk or _Talk(), occasion, told), enrolled=named)
        if talk is not None and is_reported:
            recording = replace(recording, unrestricted=tuple(self._unrestricted(seen, talk, occasion)))
        return _concluded(recording, occasion)

    def _without_effect(
        self, effective: Effective | None, seen: Observation, now: datetime, trouble: str = ""
    ) -> Iterator[Condition]:
        told = (f"inhibit.metered has no effect: {trouble}",) if trouble else ()
        return _without_effect(
            effective, traits_of(seen.manager), self.notifiers, undelivered=(*self.undelivered(now), *told)
        )

    def _cost(self, effective: Effective | None) -> Cost:
        """Say what fetching costs now, where the policy wants to know."""
        if effective is None or effective.settings.inhibit.metered == "ignore":
            return FREE
        return self.link.cost()

    def follow(self, state: State, *, accept: bool = True) -> InForce:
        """Fetch the policy for several targets.

        Args:
            state: What the last tick of this target left.
            accept: Remember a new valid revision as accepted. A dry-run does not.

        Raises:
            ReconcilerError: The last good policy is lost.
        """
        now = self.clock.now()
        return self.follower.follow(_acceptance(state), now, accept=accept, beginning=state.beginning)

    def is_host(self, state: State, seen: Observation) -> bool:
        """Say whether the machine is the host, as far as its policy and its reports tell; else it is.

        Args:
            state: What the last tick left.
            seen: The machine.
        """
        with contextlib.suppress(ReconcilerError):
            in_force = self.follower.follow(
                _acceptance(state), self.clock.now(), accept=False, within=_ASKED_WITHIN
            )
            _, effective = self._match(in_force.revision, seen)
            _, told = self._about_host(seen, effective, state, may_ask=True)
            return all(one.type is not ConditionType.OTHER_MACHINE for one in told)
        return True

    def ask_anew(self, assessment: Assessment, now: datetime) -> Asked:
        """Fetch the policy once more, briefly, and say what it lets ``assessment`` do now.

        A remote that does not answer, and a revision that is invalid or refused, leave all as it was: what
        was begun by a good policy is not stopped by a bad one.

        Args:
            assessment: By which something is being done.
            now: Present instant, aware.
        """
        try:
            known = assessment.in_force
            newest = self.follower.follow(
                known.acceptance, now, accept=True, within=_ASKED_WITHIN, beginning=known.beginning
            )
        except ReconcilerError as error:
            return Asked.as_before(assessment, error.message)
        if newest.failures:
            return Asked.as_before(assessment, newest.failures[0].message)
        ruling, seen = assessment.leading, assessment.finding.recording.observation
        host, effective = self._match(newest.revision, seen)
        if ruling.freeze and effective is not None:
            # What began as a freeze's security plan goes on as that, whatever became of the freeze.
            effective = security_only(effective)
        old = ruling.inputs
        inputs = gate_inputs(
            effective,
            seen,
            newest.state,
            target=host.target,
            conditions=(
                *old.conditions,
                *pinned_otherwise(effective, seen),
                *self._without_effect(effective, seen, now),
            ),
            now=now,
            local=Local(old.host.failed, old.host.inhibitors, old.pause, old.break_glass, old.used),
        )
        against = ""
        if _wants(effective) != _wants(ruling.effective):
            against = f"policy {newest.state.commit[:12]} wants something else; the rest is planned again"
        policy = PolicySeen(newest.state.commit, newest.state.fetched_at)
        return Asked(newest, inputs, policy, against)

    def _look(
        self, state: State, in_force: InForce, now: datetime, seen: Observation | None = None
    ) -> Observation:
        return self._restored(seen or self.site.observe(now), state, in_force, now)

    def _restored(self, seen: Observation, state: State, in_force: InForce, now: datetime) -> Observation:
        """Add what a machine cannot tell of itself and only the state knows.

        Everything that is observed comes through here, however often it is looked at and whatever is left
        out afterwards: what is not restored would be forgotten by the end of the tick.
        """
        return replace(
            seen,
            clock=self.clock.state(),
            first_seen=_dated(replace(seen, first_seen=state.first_seen), None, now),
            quarantined=_standing(state.quarantine, in_force.state.commit, seen, now),
            unneeded=state.unneeded,
        )

    def _match(self, revision: Revision | None, seen: Observation) -> tuple[HostFacts, Effective | None]:
        """Say what the policy knows the host as, and what it says for it."""
        own = self.site.matched(seen)
        if revision is None:
            return own, None
        host = replace(own, labels=labels_of(revision, own))
        return host, resolve(revision, host)

    def _about_host(
        self, seen: Observation, effective: Effective | None, state: State, *, may_ask: bool
    ) -> tuple[Enrolled, tuple[Condition, ...]]:
        """Tell whose the target's report branch is, and what the policy says of the key that signs there.

        What else is wrong with the queue or its remote is said by the push.
        """
        timeout = self.timeout.total_seconds()
        last, found = None, None
        with contextlib.suppress(ReconcilerError):
            last = self.queue.last(self.site.branch)
            found = self.queue.standing(self.site.branch, timeout=timeout, ask=may_ask)
        document = None if effective is None else effective.host
        site = self.site
        claim = Claim(
            site.id, site.branch, seen.facts, site.report_key, is_revoked=site.is_report_key_revoked()
        )
        was = self._was_enrolled(claim, state) if document is None else Enrolled.NO
        named = enrolled(claim, document, was, has_policy=effective is not None)
        told = (
            *told_of_machine(claim, document, last, found),
            *told_of_enrolment(claim, named, document),
        )
        return named, told if found is None else (_diverged(found), *told)

    def _was_enrolled(self, claim: Claim, state: State) -> Enrolled:
        """Return what the host remembers of its enrolment; nobody else can say it."""
        spare = None if state.enrolled is not None or self.site.logs is None else self.site.logs.spare()
        kept = state.enrolled if spare is None else spare.enrolled
        if kept is not None:
            return Enrolled(kept) if kept in set(Enrolled) else Enrolled.NO
        with contextlib.suppress(ReconcilerError):
            return told_enrolled(self.queue.proven(self.site.branch) if claim.key else None)
        return Enrolled.NO

    def _refreshed(self, seen: Observation, occasion: "_Occasion") -> Observation:
        """Fetch the metadata anew where that is due, and look again."""
        missing = occasion.state.missing
        refresh = Refresh(RefreshOutcome.NOT_DUE, missing=missing)
        if not seen.privileged:
            refresh = Refresh(RefreshOutcome.NOT_PERMITTED, missing=missing)
        elif is_due(seen, occasion.effective, occasion.state, occasion.now, may_begin=occasion.may_begin):
            settings = DEFAULTS if occasion.effective is None else occasion.effective.settings
            if metered_by := occasion.cost.metered:
                refresh = Refresh(RefreshOutcome.METERED, metered_by, missing=missing)
            else:
                refresh = self.site.manager.refresh(settings.rate)
        match refresh.outcome:
            case RefreshOutcome.REFRESHED | RefreshOutcome.FAILED:
                again = replace(self.site.observe(self.clock.now()), refresh=refresh)
                return self._restored(again, occasion.state, occasion.in_force, occasion.now)
            case RefreshOutcome.NOT_DUE | RefreshOutcome.NOT_PERMITTED | RefreshOutcome.METERED:
                return replace(seen, refresh=refresh)

    def _counted(self, seen: Observation, occasion: "_Occasion") -> Observation:
        """Look once more as policy sees the machine's sources, where it says anything of them.

        Which policy holds is known only when it is known what machine it is, and what would be chosen without
        some sources, or be a security update, only the manager knows.
        """
        settings = DEFAULTS if occasion.effective is None else occasion.effective.settings
        asked = SourcesAsked.of(seen, settings)
        if not asked:
            return seen
        again = self.site.observe(self.clock.now(), asked.without, asked.security)
        return self._restored(asked.joined(seen, again), occasion.state, occasion.in_force, occasion.now)

    def _converse(self, seen: Observation, effective: Effective, occasion: "_Occasion") -> "_Talk":
        """Hold the conversation with the resolver, and the one of a freeze's separate security plan."""
        now = occasion.now
        exchanges = self._ask(seen, effective, now)
        freeze = passed_freeze(effective, seen.manager, now, occasion.break_glass)
        if freeze is None or is_security_plan(effective):
            return _Talk(exchanges)
        return _Talk(exchanges, self._ask(seen, security_only(effective), now))

    def _ask(self, seen: Observation, effective: Effective, now: datetime) -> tuple[Exchange, ...]:
        """Ask the resolver what planning wants to know, until it wants no more."""
        exchanges: tuple[Exchange, ...] = ()
        while (question := next_question(seen, effective, exchanges, now)) is not None:
            exchanges += (Exchange(question, self.site.manager.resolve(question)),)
        return exchanges

    def _unrestricted(self, seen: Observation, talk: "_Talk", occasion: "_Occasion") -> Iterator[Exchange]:
        """Ask what would move if policy kept nothing back, unless the last report knows it of the same state.

        The plan does not need it: what cannot be asked is left out.
        """
        if occasion.effective is None or any(map(_took_too_long, talk.exchanges)):
            return
        questions = unrestricted(seen, occasion.effective, talk.exchanges, occasion.now)
        known = self._known_to_last_report(seen) if questions else {}
        for question in questions:
            with contextlib.suppress(ReconcilerError):
                exchange = known.get(question) or Exchange(question, self.site.manager.resolve(question))
                if _took_too_long(exchange):
                    return
                yield exchange

    def _known_to_last_report(self, seen: Observation) -> dict[Question, Exchange]:
        """Return what the last report was asked, where machine and offers are as they were."""
        with contextlib.suppress(ReconcilerError):
            last = self.queue.last(self.site.branch, "observation.json")
            told = None if last is None else read_vouched(last.data)
            if told is not None and _state_of(told.observation) == _state_of(seen):
                return {one.question: one for one in told.unrestricted}
        return {}

    def _recorded(
        self, seen: Observation, talk: "_Talk", occasion: "_Occasion", told: tuple[Condition, ...]
    ) -> Recording:
        """Gather everything that the decision is made from."""
        inhibitors = self.site.inhibitors if occasion.may_begin else None
        local = Local(
            failed=occasion.state.failed,
            inhibitors=(*(() if inhibitors is None else inhibitors.observe()), *metered(occasion.cost)),
            pause=self.site.folder.pause(),
            break_glass=occasion.break_glass,
            used=occasion.state.used,
        )
        inputs = gate_inputs(
            occasion.effective,
            seen,
            occasion.in_force.state,
            target=occasion.host.target,
            conditions=(*occasion.in_force.conditions, *told),
            now=occasion.now,
            local=local,
        )
        return record(
            seen,
            talk.exchanges,
            inputs,
            occasion.host,
            program=self.program,
            now=occasion.now,
            security_exchanges=talk.security,
            own=self.site.own(),
        )


def _took_too_long(exchange: Exchange) -> bool:
    """Tell whether a question about the whole had no answer in time."""
    return exchange.question.only is None and exchange.answer.exit_code == exit_codes.OTHER


def _diverged(found: Diverged) -> Condition:
    reason, said = "MovedOn" if found.moved_on else "Parted", f"{found.message}; {REPAIR_HINT}"
    return Condition(ConditionType.REPORT_BRANCH_DIVERGED, True, reason, said)


def _state_of(seen: Observation) -> object:
    """Return what an answer of the resolver depends on besides the question."""
    return seen.manager, seen.root, seen.installed, seen.offers, seen.database, seen.scripts


def _wants(effective: Effective | None) -> object:
    """Return what of a policy a plan is made by, and whom for; of all else the gates are asked again."""
    if effective is None:
        return None
    settings, document = effective.settings, effective.host
    return (
        None if document is None else (document.value.report_key is not None, document.value.machine_id),
        tuple(one.value for one in effective.exceptions),
        tuple((one.key, one.message) for one in effective.ambiguities),
        (settings.updates, settings.severity, settings.kinds, settings.upgrade),
        (settings.min_age, settings.as_of),
        (settings.sources, settings.security_sources),
        (settings.removals, settings.allow_removals, settings.autoremove),
    )


@dataclass(frozen=True, slots=True)
class _Talk:
    """What the resolver was asked: for the plan, and for a freeze's separate security plan."""

    exchanges: tuple[Exchange, ...] = ()
    security: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class _Occasion:
    """What one assessment is about, the same in each of its stages.

    Attributes:
        now: The instant of the decision.
        state: What the last tick left.
        host: What the policy knows the target as.
        effective: What the policy says for it; ``None`` while there is none.
        has_power: It can be rebooted from here.
        has_applied: A run of this tick changed something.
        cost: What fetching costs.
    """

    now: datetime
    state: State
    in_force: InForce
    host: HostFacts
    effective: Effective | None
    break_glass: BreakGlass | None
    has_power: bool
    has_applied: bool
    cost: Cost

    @property
    def may_begin(self) -> bool:
        """Whether a run could begin now, as far as policy and time go: then metadata must be recent."""
        if self.effective is None or self.effective.settings.action != "apply":
            return False
        if self.break_glass is not None:
            return True
        return windows.is_open(self.effective.schedules, self.now, splay_key=self.host.name)


def _concluded(recording: Recording, occasion: "_Occasion") -> Assessment:
    """Decide on what was recorded, and report that."""
    effective = occasion.effective
    judged = judge(recording, effective)
    watch = _watched(occasion.state.watch, recording, judged, effective)
    if watch.missed is not None:
        recording = _with(recording, watch.missed.condition)
    choice = _reboot(recording, judged, occasion)
    if isinstance(choice, RebootRefused):
        recording = _with(recording, refusal(choice.why))
    report = build_report(recording, effective, judged)
    by_itself = _by_itself(recording, effective, occasion.state, report, occasion.now)
    return Assessment(
        occasion.in_force,
        Finding(recording, judged, occasion.in_force.revision, effective, report),
        (*occasion.in_force.failures, *_ambiguities(effective)),
        earliest(*(next_instant(one.decision, one.gates, by_itself) for one in judged.rulings)),
        watch,
        choice,
    )


def _reboot(recording: Recording, judged: Judged, occasion: "_Occasion") -> Choice:
    """Say what becomes of a reboot of the target, as far as a look can know."""
    if occasion.effective is None:
        return NoReboot("there is no policy")
    if not occasion.has_power:
        return NoReboot("it cannot be rebooted from here")
    last = occasion.state.last_run
    has_failed = last is not None and last.result is not RunResult.APPLIED and not _began_nothing(last)
    history = History(occasion.state.reboots, has_failed=has_failed, has_applied=occasion.has_applied)
    return choose(recording, judged, occasion.effective.settings, history)


def _began_nothing(run: LastRun) -> bool:
    """Say whether a run failed for what it did not get: the machine is what it was before."""
    is_lacking = run.result is RunResult.FAILED and run.code in NOTHING_TO_WORK_WITH
    return is_lacking and not run.packages


def decide_again(recording: Recording, read: ReadPolicy) -> Finding:
    """Make a recorded decision again, from the recording and the policy at its commit alone.

    Args:
        recording: The content of ``observation.json``.
        read: Gives what a policy is made of at a commit.

    Raises:
        PolicyRejected: This version of patchledger does not accept the policy any more.
        ReconcilerError: The policy cannot be read.
    """
    revision, effective = None, None
    commit = recording.policy_commit
    if commit:
        loaded = load(read(commit, recording.now), commit)
        if not isinstance(loaded, Revision):
            raise rejection(loaded, commit)
        revision, effective = loaded, resolve(loaded, recording.host)
    judged = judge(recording, effective)
    return Finding(recording, judged, revision, effective, build_report(recording, effective, judged))


def _watched(
    watch: WindowWatch, recording: Recording, judged: Judged, effective: Effective | None
) -> WindowWatch:
    """Return what is known of windows after a look; as it was where nobody knows what time it is.

    Break-glass leaves a window what it would have been without.
    """
    ruling = judged.leading
    clock = next(gate for gate in ruling.gates if gate.gate is GateName.CLOCK)
    if isinstance(clock, Closed) or effective is None:
        return watch
    timetable = Timetable(
        effective.schedules,
        effective.frozen,
        effective.settings.budget,
        allow_security=ruling.inputs.is_security_plan,
        splay_key=recording.target,
    )
    advanced = advance(watch, timetable, recording.now, recording.observation.facts.boot_id)
    wanted = effective.settings.action == "apply" and bool(ruling.plan.transaction)
    match ruling.decision:
        case Deferred(outcome=outcome, reason=reason):
            return looked(
                advanced,
                effective.settings.budget,
                wanted=wanted,
                why=reason,
                is_frozen=outcome is Outcome.FREEZE,
            )
        case Apply() | Nothing():
            return looked(advanced, effective.settings.budget, wanted=wanted, why=None)


def _with(recording: Recording, condition: Condition) -> Recording:
    """Return ``recording`` with a condition that changes no gate's answer."""
    inputs = recording.inputs
    return replace(recording, inputs=replace(inputs, conditions=(*inputs.conditions, condition)))


def _by_itself(
    recording: Recording, effective: Effective | None, state: State, report: Report, now: datetime
) -> tuple[datetime | None, ...]:
    """Return the instants at which something is to be looked at or told again, whatever the gates say."""
    if effective is None:
        return ()
    settings, seen = effective.settings, recording.observation
    told = {event for route in settings.notify for event in route.on}
    return (
        next_change(seen, effective, now),
        asked_again(seen, (*recording.exchanges, *recording.security_exchanges), now),
        next_overdue(report),
        refresh_due(seen, effective, state, now),
        min((one.until for one in seen.quarantined if one.until is not None), default=None),
        # Also those that no gate names, since a person passed over it or another one closed before.
        windows.next_transition(
            effective.schedules, effective.frozen, now, budget=settings.budget, splay_key=report.target_id
        ),
        announcement_due(report, settings.announce) if settings.action == "apply" else None,
        shifted(week_of(now), timedelta(days=7)) if Event.WEEKLY_DIGEST in told else None,
    )


def _ambiguities(effective: Effective | None) -> Iterator[PolicyRejected]:
    """Tell that the policy is valid, and yet cannot be followed on this host."""
    for ambiguity in () if effective is None else effective.ambiguities:
        yield PolicyRejected(ambiguity.message, "give the two policies different priorities")


def _without_effect(
    effective: Effective | None,
    traits: ManagerTraits,
    notifiers: frozenset[str] | None,
    *,
    undelivered: Sequence[str],
) -> Iterator[Condition]:
    """Tell of settings that cannot be followed; where that would be unsafe, nothing is applied."""
    if effective is None:
        return
    settings = effective.settings
    if settings.snapshot == "required" and settings.action == "apply":
        message = "the policy says snapshot: required, and no snapshot can be taken of this host"
        yield Condition(ConditionType.SNAPSHOT_UNAVAILABLE, True, "NotSupported", message, stalled=True)
    messages = [_unreachable_deadline(settings.deadline, traits), without_effect(effective, traits)]
    if notifiers is not None:
        messages.append(without_notifier((one.to for one in settings.notify), notifiers))
    messages += undelivered
    messages.append(_no_kernels(settings.autoremove, traits))
    if message := "; ".join(filter(None, messages)):
        yield Condition(ConditionType.SETTING_WITHOUT_EFFECT, True, "NotSupported", message)


def _no_kernels(autoremove: Autoremove, traits: ManagerTraits) -> str:
    """Say that no old kernels can go here; empty where they can, or need not."""
    if autoremove == "kernels" and not traits.drops_kernels:
        return f"{traits.name} keeps one version of a kernel, so autoremove: kernels removes nothing here"
    return ""


def _unreachable_deadline(deadline: Deadlines, traits: ManagerTraits) -> str:
    """Say that no update here is ever of a sort that has a deadline; empty where one may be."""
    limits = limits_of(deadline)
    if limits and not traits.tells_security and "other" not in limits:
        return (
            f"{traits.name} does not say which updates fix security problems, so no deadline counts here but"
            " deadline.other"
        )
    if limits and not traits.tells_severity and "security" not in limits:
        return (
            f"{traits.name} does not say which security updates are critical, so deadline.critical has no"
            " effect without deadline.security"
        )
    return ""


def _standing(
    quarantine: Iterable[Quarantined], commit: str, seen: Observation, now: datetime
) -> tuple[Quarantined, ...]:
    """Return what stays in quarantine: a new policy or a mended package ends it, having none does not.

    For what could not be fetched, time or newer metadata end it as well. What could not be removed is left
    alone for as long as it is installed in that version.
    """
    whole = {(one.package, one.version) for one in seen.installed if one.is_whole}
    installed = {(one.package, one.version) for one in seen.installed}
    there = installed | {(offer.package, one.version) for offer in seen.offers for one in offer.versions}
    return tuple(
        one
        for one in quarantine
        if commit in ("", one.policy_commit)
        and (
            (one.package, one.version) in installed
            if one.is_removal
            else (one.package, one.version) not in whole
        )
        and (not one.rivals or any(_is_among(rival, there) for rival in one.rivals))
        and (one.until is None or (is_waited_for(one.until, now) and not _is_newer(seen.lists, one.lists)))
    )


def _is_newer(lists: datetime | None, before: datetime | None) -> bool:
    """Say whether metadata were published after those of before: a mirror that is behind has nothing new."""
    return lists is not None and (before is None or lists > before)


def _is_among(rival: Rival, there: Iterable[tuple[PackageId, str]]) -> bool:
    """Tell whether what a package failed beside is still there, or may still come."""
    meant = Mention(rival.name, rival.arch)
    return any(version == rival.version and meant.means(package) for package, version in there)


def _dated(seen: Observation, exchanges: tuple[Exchange, ...] | None, now: datetime) -> tuple[FirstSeen, ...]:
    """Bring the dates of what was seen up to date; what would come in new is seen in answers only."""
    order = order_of(seen.manager)
    return observe_first_seen(
        seen.first_seen, seen.offers, now, exchanges, order=order, is_whole=is_whole(seen)
    )
