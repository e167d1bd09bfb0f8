"""One whole tick: look, report, apply what may be applied, and report that."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import takewhile

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.gates.recording import write
from reconciler.planning.gates.types import Apply, BreakGlass, Closed, Outcome
from reconciler.planning.notices.events import Event, Snapshot, Trouble, continued, events
from reconciler.planning.notices.snapshot import told_outside
from reconciler.planning.reporting.ailments import failures
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import to_json
from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.resolving.unneeded import is_removal_of_unused
from reconciler.planning.runs.journal import Phase
from reconciler.planning.runs.log import excerpt
from reconciler.planning.runs.record import PASSING, RunOutcome, RunRecord, run_json
from reconciler.planning.text.wording import minute
from reconciler.reconcile.apply import Applier, Performed, Unseen
from reconciler.reconcile.assess import Assessment, Assessor
from reconciler.reconcile.continuity import Continuity
from reconciler.reconcile.fetching import fetched, once_more, still_unfetched, to_fetch
from reconciler.reconcile.memory import after_look, after_run, rebooting, repair_token
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.reports import Messenger, with_room
from reconciler.reconcile.ports.state import Spare, Standstill, State
from reconciler.reconcile.ports.target import AnyPower, StateStore
from reconciler.reconcile.ports.where import InGuest, ThisMachine
from reconciler.reconcile.reboot import Descent, going_down, needed, prepared
from reconciler.reconcile.recall import restored
from reconciler.reconcile.recovery import Recovery
from reconciler.reconcile.reporter import Published, Ran, Reporter
from reconciler.reconcile.site import AnySite
from reconciler.records import dataclass

MOST_APPLIES = 5
"""How often one tick applies: each time but the first without what kept the time before from beginning."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to.

    Attributes:
        assessment: What was seen and decided last.
        published: What became of the report on it.
        runs: What was run, or found unfinished, in the order of doing.
        earlier: Failures of reports before the last.
        notices: What a person should know of files on this host, and is no failure.
        of_guests: What was run in guests of this host before it.
    """

    assessment: Assessment
    published: Published
    runs: tuple[RunRecord, ...] = ()
    earlier: tuple[ReconcilerError, ...] = ()
    notices: tuple[str, ...] = ()
    of_guests: tuple[RunRecord, ...] = ()

    @property
    def report(self) -> Report:
        """The last report that was made."""
        return self.assessment.report

    @property
    def failures(self) -> tuple[ReconcilerError, ...]:
        """Everything that went wrong on the way or is wrong at its end, for people and for the exit code."""
        every = (
            *self.earlier,
            *self.assessment.failures,
            *self.published.failures,
            *map(_failure_of, self.runs),
            *failures(self.report.conditions),
        )
        return each_once(one for one in every if one is not None)


def each_once(failures: Iterable[ReconcilerError]) -> tuple[ReconcilerError, ...]:
    """Return failures in their order, each once: a tick that reports twice meets the same one again."""
    kept: dict[tuple[type[ReconcilerError], str], ReconcilerError] = {}
    for one in failures:
        kept.setdefault((type(one), one.message), one)
    return tuple(kept.values())


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a tick has come.

    Attributes:
        done: What it came to so far.
        state: What is remembered so far.
        descent: A reboot that is due by the last assessment.
        is_blind: Nobody can look at the machine any more, so nothing more is done.
    """

    done: Tick
    state: State
    descent: Descent | None
    break_glass: BreakGlass | None
    is_blind: bool = False

    @property
    def may_be_rested_on(self) -> bool:
        """Whether the report is out well enough to act on it: that of an approved plan must be pushed."""
        return self.done.published.pushed or not self.done.assessment.must_be_pushed


def _nobody(report: Report) -> None:
    del report


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tells of a target what no report of it tells, to those whom the policy in force last named.

    Attributes:
        folder: What is kept of the target.
        messenger: Tells it.
    """

    folder: StateStore[ThisMachine] | StateStore[InGuest]
    messenger: Messenger

    def of_no_report(self, error: Exception, now: datetime) -> None:
        """Tell of a tick that came to no report, as far as that can be done; what waits is sent as well.

        Args:
            error: By which it ended. What passes by itself is told by whoever counts how long it lasts.
            now: Aware.
        """
        with contextlib.suppress(ReconcilerError):
            state = self.folder.recall().state
            before = state.snapshot
            if before is None or isinstance(error, Transient):
                self.messenger.deliver(now)
                return
            kind = f"NoReport:{type(error).__name__}"
            self.of_trouble(state, before, Trouble(Event.FAILED, kind, _said_of(error)), now)

    def of_trouble(self, state: State, before: Snapshot, trouble: Trouble, now: datetime) -> None:
        """Tell of something that no report tells of, once: only where it can be remembered, too.

        Args:
            state: What is remembered.
            before: What was told last.
            trouble: That is told.
            now: Aware.

        Raises:
            ReconcilerError: It cannot be remembered, and is not told.
        """
        others = tuple(one for one in before.troubles if one.kind != trouble.kind)
        snapshot = continued(before, replace(before, at=now, troubles=(*others, trouble)))
        notices = [one for one in events(before, snapshot, now) if one.event is Event.FAILED]
        messenger = self.messenger
        messenger.keep(notices, state.routes)
        told = replace(state, snapshot=snapshot)
        try:
            with_room(partial(self.folder.save, told), messenger.make_room)
        except ReconcilerError:
            messenger.withdraw(notices, state.routes)
            raise
        finally:
            messenger.deliver(now)


@dataclass(frozen=True, slots=True)
class Ticker:
    """Makes whole ticks of one target.

    Attributes:
        site: The target; the caller holds the lock of its state folder.
        assessor: Looks at the target.
        applier: Makes plans real.
        reporter: Commits, pushes and tells.
        secrets: What must not stand in a log, such as the values of the configured environment.
        begins: Told of the report, which is committed, before a run that may take its time.
        standstill: How long no tick had ended well before this one, where that is long enough to be told.
        in_force: The policy that was fetched for several targets; ``None`` has it fetched for this one.
        parting: Done before a reboot is asked for, which ends this process.
    """

    site: AnySite
    assessor: Assessor
    applier: Applier
    reporter: Reporter
    secrets: tuple[str, ...] = ()
    begins: Callable[[Report], None] = _nobody
    standstill: Standstill | None = None
    in_force: InForce | None = None
    parting: Callable[[], object] = tuple

    def tick(self, break_glass: BreakGlass | None = None) -> Tick:
        """Make one whole tick, and leave in the folder what the next one starts from.

        Args:
            break_glass: A person takes the window on themselves.

        Raises:
            ReconcilerError: The machine cannot be observed, or the report not even be committed locally. It
                is told to those whom the policy in force last named, once, and as recovered when it is over.
        """
        try:
            return self._tick(break_glass)
        except Exception as error:
            self._alarm.of_no_report(error, self.applier.clock.now())
            raise

    def alert(self, standstill: Standstill) -> None:
        """Tell, as far as that can be done, that the host stands still; it is told once for each time."""
        with contextlib.suppress(ReconcilerError):
            state = self.site.folder.recall().state
            if state.snapshot is not None:
                trouble = Trouble(Event.FAILED, ConditionType.STOOD_STILL, standstill.message)
                self._alarm.of_trouble(state, state.snapshot, trouble, self.applier.clock.now())

    @property
    def _alarm(self) -> Alarm:
        return Alarm(self.site.folder, self.reporter.messenger)

    def _tick(self, break_glass: BreakGlass | None) -> Tick:
        course = self._begun(break_glass)
        course = self._after(course, self._mend(course))
        if not course.is_blind:
            course = self._applied(course)
        return self._go_down(course).done

    def _applied(self, course: _Course) -> _Course:
        """Apply the plan; where only some of it kept the rest from beginning, plan and apply that as well.

        So is what nothing needs any more since: it is a plan of its own.
        """
        for _ in range(MOST_APPLIES):
            performed = self._apply(course)
            course = self._after(course, performed)
            if performed is None or course.is_blind:
                break
            if self._leaves_unused(course, performed):
                continue
            if not performed.record.leaves_rest:
                break
            if course.done.assessment.leading.plan.digest == performed.record.digest:
                break  # What was named is not what stands in the way of the rest.
        return course

    def _leaves_unused(self, course: _Course, performed: Performed) -> bool:
        """Say whether a run went well, and all that is planned now is what nothing needs any more since."""
        is_done = performed.record.outcome is RunOutcome.APPLIED
        planned = course.done.assessment.leading.plan
        return (
            is_done
            and is_removal_of_unused(planned.transaction)
            and planned.digest != performed.record.digest
        )

    def _begun(self, break_glass: BreakGlass | None) -> _Course:
        """Bring to an end what an earlier tick began, look, report, and fetch ahead."""
        recalled = self.site.folder.recall()
        state, notices = restored(recalled, self.reporter.queue, self.site.branch), recalled.complaints
        found = self._recovered(state)
        if found is not None:
            state = after_run(state, found, self._excerpt(found))
            notices += self._keep(found)
        if break_glass is not None:
            # A person wants what failed before to be tried again, too.
            state = replace(state, quarantine=(), repaired="")
        assessment = self.assessor.assess(state, accept=True, break_glass=break_glass, in_force=self.in_force)
        if self.standstill is not None:
            assessment = assessment.telling(self.standstill.condition)
        assessment, descent = prepared(still_unfetched(assessment, state), self.applier)
        published, state = self._publish(assessment, state, found)
        state, earlier = self._fetch_ahead(assessment, state)
        runs = () if found is None else (found.record,)
        return _Course(Tick(assessment, published, runs, earlier, notices), state, descent, break_glass)

    def _after(self, course: _Course, performed: Performed | None) -> _Course:
        """Look again after a run, by the policy of the same tick, and report what it came to."""
        if performed is None:
            return course
        state = after_run(course.state, performed, self._excerpt(performed))
        runs = (*course.done.runs, performed.record)
        done = replace(course.done, runs=runs, notices=course.done.notices + self._keep(performed))
        if performed.follow_up is not None:
            return self._blind(replace(course, done=done, state=state), performed)
        try:
            assessment = self.assessor.assess(
                state,
                accept=False,
                break_glass=course.break_glass,
                seen=None if performed.was_touched_since else performed.after,
                in_force=performed.in_force or done.assessment.in_force,
                has_applied=_has_applied(runs),
            )
        except ReconcilerError as error:
            done = replace(done, earlier=(*done.earlier, error))
            return self._blind(replace(course, done=done, state=state), performed)
        assessment, descent = prepared(assessment, self.applier)
        published, state = self._publish(assessment, state, performed)
        earlier = (*done.earlier, *done.assessment.failures, *done.published.failures)
        done = replace(done, assessment=assessment, published=published, earlier=earlier)
        return replace(course, done=done, state=state, descent=descent)

    def _blind(self, course: _Course, performed: Performed) -> _Course:
        """Tell of a run beside what was seen before it, since nobody can look at the machine now."""
        done = course.done
        published, state = self._publish(done.assessment, course.state, performed, is_new=False)
        done = replace(done, published=published)
        return replace(course, done=done, state=state, descent=None, is_blind=True)

    def _go_down(self, course: _Course) -> _Course:
        """Ask for the reboot that was announced, unless something came in between."""
        power, descent = self.site.power, course.descent
        if power is None or descent is None or not course.may_be_rested_on:
            return course
        journal = descent.journal
        health = self.site.around.health(journal.settings, dict(journal.facts))
        now = self.applier.clock.now()
        asked = self.assessor.ask_anew(descent.assessment, now)
        if why := needed(self.site, journal.settings, asked.in_force.revision, now):
            return self._corrected(course, descent.refused(why, by="Guests"))
        why = self.site.away() or descent.still_against(asked.inputs, self.site.folder.pause(), now)
        if why:
            return self._corrected(course, descent.refused(why))
        if descent.assessment.must_be_pushed:
            course = self._corrected(course, descent.announced(now))
        # Counted before it is asked for. Killed in between, one reboot too many is counted: it waits for the
        # next window. Asked for first, one too few could be: a need that never goes away would make a loop.
        course = replace(course, state=rebooting(course.state, now))
        self.site.folder.save(course.state)
        journal = going_down(replace(journal, health_before=health), power.boot_id(), now)
        self.site.folder.begin(journal)
        self.parting()
        try:
            power.reboot(descent.notice, f"patchledger: {descent.due.because}")
        except ReconcilerError as error:
            self.site.folder.clear_journal()
            course = self._corrected(course, descent.refused(error.message))
            return replace(course, done=replace(course.done, earlier=(*course.done.earlier, error)))
        if not power.is_awaited:
            return course
        return self._go_down(self._returned(course, replace(descent, journal=journal), power))

    def _returned(self, course: _Course, descent: Descent, power: AnyPower) -> _Course:
        """Look after what was restarted while we waited for it, and report what came of that.

        Where it is not back, that is told, and the next tick that can look at it says what it came to.
        """
        journal = descent.journal
        # Nothing is announced any more.
        done = replace(course.done, assessment=descent.assessment)
        recovery = Recovery(self.applier, partial(self.assessor.is_host, course.state))
        try:
            with self.site.lock.held():
                performed = recovery.verify_boot(journal, power.boot_id(), is_over=True)
        except ReconcilerError as error:
            seen = course.done.assessment.finding.recording.observation
            performed = self.applier.unseen(Unseen(journal, error), seen)
        return self._after(replace(course, done=done, descent=None), performed)

    def _corrected(self, course: _Course, assessment: Assessment) -> _Course:
        """Report anew what becomes of a reboot, since it is not what the report before said."""
        done = course.done
        earlier = (*done.earlier, *done.published.failures)
        published, state = self._publish(assessment, course.state, None)
        done = replace(done, assessment=assessment, published=published, earlier=earlier)
        return replace(course, done=done, state=state)

    def _fetch_ahead(self, assessment: Assessment, state: State) -> tuple[State, tuple[ReconcilerError, ...]]:
        """Download a plan once, before its window opens, where only time and people stand against it."""
        ruling = to_fetch(assessment, state, self.applier.clock)
        if ruling is None:
            return state, ()
        try:
            with self.site.lock.held():
                execution = self.applier.download(ruling)
        except ReconcilerError as error:
            return state, (error,)
        if execution.exit_code not in exit_codes.WELL:
            unfetched = once_more(assessment, ruling, state.unfetched, execution.message)
            state = replace(state, unfetched=unfetched)
            self.site.folder.save(state)
            said = f"the packages of the plan could not be fetched ahead: {execution.message}"
            hint = f"it is tried again at {minute(unfetched.again)}, or when the plan or the lists are others"
            return state, (Transient(said, hint),)
        state = replace(state, downloaded=fetched(assessment, ruling, state), unfetched=None)
        self.site.folder.save(state)
        return state, ()

    def _mend(self, course: _Course) -> Performed | None:
        """Repair what is half done where every other gate is open, once for each state of the machine."""
        assessment = course.done.assessment
        closed = [gate for gate in assessment.leading.gates if isinstance(gate, Closed)]
        recording = assessment.finding.recording
        if (
            not recording.observation.health.interrupted
            or not assessment.is_hosts
            or [gate.outcome for gate in closed] != [Outcome.UNHEALTHY]
            or course.state.repaired == repair_token(recording.observation, recording.policy_commit)
        ):
            return None
        with self.site.lock.held():
            self.begins(assessment.report)
            return self.applier.mend(assessment, course.done.published.announced)

    def _apply(self, course: _Course) -> Performed | None:
        """Apply the plan where every gate is open."""
        assessment = course.done.assessment
        decision = assessment.leading.decision
        if not isinstance(decision, Apply) or not course.may_be_rested_on:
            return None
        with self.site.lock.held():
            self.begins(assessment.report)
            self._fetch_first(assessment, course.state)
            announced = course.done.published.announced
            return self.applier.apply(assessment, decision, announced, course.state.took)

    def _fetch_first(self, assessment: Assessment, state: State) -> None:
        """Fetch what was not fetched ahead by what may be ended, where a connection may begin to cost money.

        What became of it is the run's own matter: it asks the gates again, and fetches what is missing.
        """
        ruling = assessment.leading
        if ruling.effective is None or ruling.plan.digest in state.downloaded.split():
            return
        if self.applier.is_watched(ruling.effective.settings):
            with contextlib.suppress(ReconcilerError):
                self.applier.download(ruling)

    def _recovered(self, state: State) -> Performed | None:
        """Bring an unfinished run to its end; of one that is reported already, take over what it was.

        On a machine that is not the host it is left as it is: that is told by the look that follows.
        """
        journal = self.site.folder.journal()
        if journal is None:
            return None
        recovery = Recovery(self.applier, partial(self.assessor.is_host, state))
        reported = self.reporter.queue.record_of(self.site.branch, journal.run)
        if reported is not None:
            taken = recovery.take_over(journal, reported)
            if taken is None:
                self.site.folder.clear_journal()
            return taken
        with self.site.lock.held():
            if journal.phase is Phase.REBOOTING:
                boot_id = "" if self.site.power is None else self.site.power.boot_id()
                return recovery.verify_boot(journal, boot_id)
            return recovery.recover(journal)

    def _publish(
        self, assessment: Assessment, state: State, performed: Performed | None, *, is_new: bool = True
    ) -> tuple[Published, State]:
        """Report, and leave what the next tick starts from; only then is a run forgotten.

        What a look leaves to remember counts once: one that is not new knows nothing of the run after it.

        What is remembered of a run is saved as soon as it is committed: a tick that is ended while it pushes
        or tells, which may take minutes, is not to leave the next one in doubt.
        """
        last = self.reporter.last()
        explained = None if performed is None or performed.is_reported else performed
        continuity = Continuity(self.reporter.queue, self.site.branch)
        assessment = continuity.behind(last, assessment, explained)
        state = self._to_be_told(assessment, state)
        files = {
            "report.json": to_json(assessment.report),
            "observation.json": write(assessment.finding.recording),
        }
        ran = None if explained is None else self._ran(explained)
        commit = self.reporter.commit(assessment, files, last, ran)
        state = after_look(state, assessment) if is_new else state
        self.site.folder.save(state)
        for name, data in files.items():
            self.site.folder.write(name, data)
        published = self.reporter.send(assessment, files, state, commit, ran, last=last)
        if published.snapshot is not None:
            state = replace(state, snapshot=replace(published.snapshot, outside=()), outside=())
            self.site.folder.save(state)
        if self.site.logs is not None:
            with contextlib.suppress(ReconcilerError):  # It is spare, and the state has it.
                self.site.logs.keep_spare(Spare.of(state))
        if performed is not None:
            self._forget(performed, is_told=performed.is_reported or not assessment.is_anothers)
        return published, state

    def _to_be_told(self, assessment: Assessment, state: State) -> State:
        """Keep what no run changed until it is told: once it is committed, no look finds it again."""
        found = told_outside(assessment.report)
        if not found:
            return state
        state = replace(state, outside=tuple(dict.fromkeys((*state.outside, *found))))
        self.site.folder.save(state)
        return state

    def _forget(self, performed: Performed, *, is_told: bool) -> None:
        """Forget a run that is reported, unless something of it is still to be told.

        While the branch is another machine's it is told nowhere: it waits, with the record that it has.
        """
        if performed.follow_up is None and is_told:
            self.site.folder.clear_journal()
        elif performed.follow_up is None:
            journal = replace(performed.journal, phase=Phase.AFTER, record=performed.record)
            self.site.folder.write_journal(journal)
        else:
            self.site.folder.begin(performed.follow_up)
            self.site.folder.explain(performed.follow_up.run, "the machine could not be looked at")

    def _keep(self, performed: Performed) -> tuple[str, ...]:
        """Keep the log of a run on the host, before all else: without a report this is what tells of it.

        Returns:
            Why it could not be kept, which ends nothing: the report has it.
        """
        if self.site.logs is None or performed.is_reported:
            return ()
        ran = self._ran(performed)
        files = {".json": run_json(ran.record), ".log": ran.log}
        try:
            self.site.logs.keep(ran.record.run, files, ran.record.ended)
        except ReconcilerError as error:
            return (f"{error.message} ({error.hint})",)
        return ()

    def _ran(self, performed: Performed) -> Ran:
        return Ran(performed.record, self._log(performed))

    def _log(self, performed: Performed) -> bytes:
        return self.site.folder.run_log(performed.record.run, self.secrets)

    def _excerpt(self, performed: Performed) -> str:
        return "" if performed.record.outcome is RunOutcome.APPLIED else excerpt(self._log(performed))


def _has_applied(runs: Sequence[RunRecord]) -> bool:
    """Say whether something was changed since the last reboot, so that policy may want another."""
    since = takewhile(lambda one: one.outcome is not RunOutcome.REBOOTED, reversed(runs))
    return any(one.outcome is RunOutcome.APPLIED and bool(one.steps) for one in since)


def _said_of(error: Exception) -> str:
    """Say why there is no report; of a defect only its name, since its text may hold anything."""
    if isinstance(error, ReconcilerError):
        return f"the run came to no report: {error.message.partition(chr(10))[0]}"
    return f"the run came to no report, by a defect of patchledger ({type(error).__name__}); see its log"


def _failure_of(record: RunRecord) -> ReconcilerError | None:
    """Return the failure that a run means for the exit code; ``None`` where it went well, or waits."""
    said = f"run {record.run}: {record.reason}"
    match record.outcome:
        case (
            RunOutcome.APPLIED
            | RunOutcome.REPAIRED
            | RunOutcome.REBOOTED
            | RunOutcome.PARTIAL
            | RunOutcome.VETOED
            | RunOutcome.PLAN_CHANGED
        ):
            return None
        case RunOutcome.DEFERRED:
            return Transient(said, "it is tried again by the next run") if record.code == "locked" else None
        case RunOutcome.INTERRUPTED:
            return Stalled(said, f"see runs/{record.run}.md in the report repository")
        case RunOutcome.FAILED | RunOutcome.ROLLED_BACK:
            hint = f"see runs/{record.run}.log in the report repository"
            return Transient(said, hint) if record.code in PASSING else Stalled(said, hint)
