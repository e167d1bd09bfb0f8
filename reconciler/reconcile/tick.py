"""One whole tick: look, report, apply what may be applied, and report that."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.gates.recording import write
from reconciler.planning.gates.types import Apply, BreakGlass, Closed, Outcome
from reconciler.planning.notices.events import Event, Snapshot, Trouble, events
from reconciler.planning.reporting.ailments import failures
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import to_json
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.execution import Unfetched
from reconciler.planning.runs.journal import Phase
from reconciler.planning.runs.log import excerpt
from reconciler.planning.runs.record import PASSING, RunOutcome, RunRecord, run_json
from reconciler.planning.text.wording import minute
from reconciler.reconcile.apply import Applier, Performed
from reconciler.reconcile.look import Look, Reconciler
from reconciler.reconcile.memory import after_look, after_run, rebooting, repair_token
from reconciler.reconcile.ports.state import Standstill, State
from reconciler.reconcile.reboot import Descent, going_down, prepared
from reconciler.reconcile.recall import restored
from reconciler.reconcile.recovery import Recovery
from reconciler.reconcile.reporter import Published, Ran, Reporter
from reconciler.reconcile.site import Site


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to.

    Attributes:
        look: What was seen and decided last.
        published: What became of the report on it.
        runs: What was run, or found unfinished, in the order of doing.
        earlier: Failures of reports before the last.
    """

    look: Look
    published: Published
    runs: tuple[RunRecord, ...] = ()
    earlier: tuple[ReconcilerError, ...] = ()

    @property
    def report(self) -> Report:
        """The last report that was made."""
        return self.look.report

    @property
    def failures(self) -> tuple[ReconcilerError, ...]:
        """Everything that went wrong on the way or is wrong at its end, for people and for the exit code."""
        every = (
            *self.earlier,
            *self.look.failures,
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


def _nobody(report: Report) -> None:
    del report


@dataclass(frozen=True, slots=True)
class Ticker:
    """Makes whole ticks of one target.

    Attributes:
        site: The target; the caller holds the lock of its state folder.
        reconciler: Looks at the target.
        applier: Makes plans real.
        reporter: Commits, pushes and tells.
        secrets: What must not stand in a log, such as the values of the configured environment.
        begins: Told of the report, which is committed, before a run that may take its time.
        standstill: How long no tick had ended well before this one, where that is long enough to be told.
    """

    site: Site
    reconciler: Reconciler
    applier: Applier
    reporter: Reporter
    secrets: tuple[str, ...] = ()
    begins: Callable[[Report], None] = _nobody
    standstill: Standstill | None = None

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
            self._tell_of(error)
            raise

    def _tell_of(self, error: Exception) -> None:
        """Tell of a tick that came to no report, as far as that can be done; what waits is sent as well."""
        now = self.applier.clock.now()
        with contextlib.suppress(ReconcilerError):
            state = self.site.folder.recall().state
            before = state.snapshot
            if before is None or isinstance(error, Transient):
                self.reporter.messenger.tell((), (), now)
                return
            kind = f"NoReport:{type(error).__name__}"
            self._tell_trouble(state, before, Trouble(Event.FAILED, kind, _said_of(error)), now)

    def _tell_trouble(self, state: State, before: Snapshot, trouble: Trouble, now: datetime) -> None:
        """Tell of something that no report tells of, once, and remember that it was told."""
        others = tuple(one for one in before.troubles if one.kind != trouble.kind)
        snapshot = replace(before, at=now, troubles=(*others, trouble))
        notices = [one for one in events(before, snapshot, now) if one.event is Event.FAILED]
        self.reporter.messenger.tell(notices, state.routes, now)
        self.site.folder.save(replace(state, snapshot=snapshot))

    def alert(self, standstill: Standstill) -> None:
        """Tell, as far as that can be done, that the host stands still; it is told once for each time."""
        with contextlib.suppress(ReconcilerError):
            state = self.site.folder.recall().state
            if state.snapshot is not None:
                trouble = Trouble(Event.FAILED, ConditionType.STOOD_STILL, standstill.message)
                self._tell_trouble(state, state.snapshot, trouble, self.applier.clock.now())

    def _tick(self, break_glass: BreakGlass | None) -> Tick:
        state = restored(self.site.folder.recall(), self.reporter.queue, self.site.branch)
        runs: list[RunRecord] = []
        found = self._recovered()
        if found is not None:
            state = after_run(state, found, self._excerpt(found))
            runs.append(found.record)
        if break_glass is not None:
            # A person wants what failed before to be tried again, too.
            state = replace(state, quarantine=(), repaired="")
        look = self.reconciler.look(state, accept=True, break_glass=break_glass)
        if self.standstill is not None:
            look = look.telling(self.standstill.condition)
        look, descent = prepared(_still_unfetched(look, state), self.applier)
        published, state = self._publish(look, state, found)
        state, earlier = self._fetch_ahead(look, state)
        for work in (self._mend, self._apply):
            performed = work(look, published, state)
            if performed is not None:
                state = after_run(state, performed, self._excerpt(performed))
                runs.append(performed.record)
                if performed.follow_up is not None:
                    # Nobody can look at the machine now: what is known is told with what was seen before.
                    published, state = self._publish(look, state, performed)
                    return Tick(look, published, tuple(runs), earlier)
                earlier = (*earlier, *look.failures, *published.failures)
                look, descent = self._look_again(look, performed, runs, state, break_glass)
                published, state = self._publish(look, state, performed)
        done = Tick(look, published, tuple(runs), earlier)
        return done if descent is None else self._go_down(descent, done, state)

    def _look_again(
        self,
        look: Look,
        performed: Performed,
        runs: Sequence[RunRecord],
        state: State,
        break_glass: BreakGlass | None,
    ) -> tuple[Look, Descent | None]:
        """Look at the target after a run, by the policy of the same tick."""
        look = self.reconciler.look(
            state,
            accept=False,
            break_glass=break_glass,
            seen=None if performed.was_touched_since else performed.after,
            in_force=performed.in_force or look.in_force,
            has_applied=any(map(_has_applied, runs)),
        )
        return prepared(look, self.applier)

    def _go_down(self, descent: Descent, done: Tick, state: State) -> Tick:
        """Ask for the reboot that was announced, unless something came in between."""
        power, journal = self.site.power, descent.journal
        if power is None or not self._may_rest_on(descent.look, done.published):
            return done
        health = self.site.around.health(journal.settings, dict(journal.facts))
        now = self.applier.clock.now()
        asked = self.reconciler.ask_anew(descent.look, now)
        why = descent.still_against(asked.inputs, self.site.folder.pause(), now)
        if why:
            return self._corrected(done, state, descent.refused(why))[0]
        if descent.look.must_be_pushed:
            done, state = self._corrected(done, state, descent.announced(now))
        # Counted before it is asked for. Killed in between, one reboot too many is counted: it waits for the
        # next window. Asked for first, one too few could be: a need that never goes away would make a loop.
        state = rebooting(state, now)
        self.site.folder.save(state)
        self.site.folder.begin(going_down(replace(journal, health_before=health), power.boot_id(), now))
        try:
            power.reboot(journal.settings.reboot.notice, f"patchledger: {descent.due.because}")
        except ReconcilerError as error:
            self.site.folder.clear_journal()
            done, _ = self._corrected(done, state, descent.refused(error.message))
            return replace(done, earlier=(*done.earlier, error))
        return done

    def _corrected(self, done: Tick, state: State, look: Look) -> tuple[Tick, State]:
        """Report anew what becomes of a reboot, since it is not what the report before said."""
        earlier = (*done.earlier, *done.published.failures)
        published, state = self._publish(look, state, None)
        return replace(done, look=look, published=published, earlier=earlier), state

    def _fetch_ahead(self, look: Look, state: State) -> tuple[State, tuple[ReconcilerError, ...]]:
        """Download a plan once, before its window opens, where only time and people stand against it."""
        finding = look.finding
        digest = finding.judged.plan.digest
        settings = finding.recording.inputs.settings
        closed = {gate.outcome for gate in finding.judged.gates if isinstance(gate, Closed)}
        if (
            settings.action == "plan"
            or not finding.judged.plan.transaction
            or not finding.recording.observation.privileged
            or digest == state.downloaded
            or self._waits(look, state)
            or not closed
            or not all(map(_may_download, closed))
        ):
            return state, ()
        try:
            with self.site.lock.held():
                execution = self.applier.download(look)
        except ReconcilerError as error:
            return state, (error,)
        if execution.exit_code not in exit_codes.WELL:
            unfetched = _unfetched(look, state.unfetched, execution.message)
            state = replace(state, unfetched=unfetched)
            self.site.folder.save(state)
            said = f"the packages of the plan could not be fetched ahead: {execution.message}"
            hint = f"it is tried again at {minute(unfetched.again)}, or when the plan or the lists are others"
            return state, (Transient(said, hint),)
        state = replace(state, downloaded=digest, unfetched=None)
        self.site.folder.save(state)
        return state, ()

    def _waits(self, look: Look, state: State) -> bool:
        """Say whether packages that could not be fetched are to be left for a while."""
        last = state.unfetched
        return (
            last is not None and last.what == _what_to_fetch(look) and self.applier.clock.now() < last.again
        )

    def _mend(self, look: Look, published: Published, state: State) -> Performed | None:
        """Repair what is half done where every other gate is open, once for each state of the machine."""
        del published  # what is repaired was reported, or begun by somebody else
        closed = [gate for gate in look.finding.judged.gates if isinstance(gate, Closed)]
        recording = look.finding.recording
        if (
            not recording.observation.health.interrupted
            or [gate.outcome for gate in closed] != [Outcome.UNHEALTHY]
            or state.repaired == repair_token(recording.observation, recording.policy_commit)
        ):
            return None
        with self.site.lock.held():
            self.begins(look.report)
            return self.applier.mend(look)

    def _apply(self, look: Look, published: Published, state: State) -> Performed | None:
        """Apply the plan where every gate is open."""
        del state
        decision = look.finding.judged.decision
        if not isinstance(decision, Apply) or not self._may_rest_on(look, published):
            return None
        with self.site.lock.held():
            self.begins(look.report)
            return self.applier.apply(look, decision)

    def _recovered(self) -> Performed | None:
        """Bring an unfinished run to its end; of one that is reported already, take over what it was."""
        journal = self.site.folder.journal()
        if journal is None:
            return None
        recovery = Recovery(self.applier)
        reported = self.reporter.record_of(journal.run)
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

    def _may_rest_on(self, look: Look, published: Published) -> bool:
        """Say whether a plan is reported well enough to be applied: an approved one must be pushed."""
        return published.pushed or not look.must_be_pushed

    def _publish(self, look: Look, state: State, performed: Performed | None) -> tuple[Published, State]:
        """Report, and leave what the next tick starts from; only then is a run forgotten.

        What is remembered of a run is saved as soon as it is committed: a tick that is ended while it pushes
        or tells, which may take minutes, is not to leave the next one in doubt.
        """
        files = {"report.json": to_json(look.report), "observation.json": write(look.finding.recording)}
        ran = None
        if performed is not None and not performed.is_reported:
            ran = Ran(performed.record, self._log(performed))
            # First of all: where even the report cannot be committed, this is what tells of the run.
            self._keep(ran)
        commit = self.reporter.commit(look, files, ran)
        state = after_look(state, look)
        self.site.folder.save(state)
        for name, data in files.items():
            self.site.folder.write(name, data)
        published = self.reporter.send(look, files, state, commit, ran)
        state = replace(state, snapshot=published.snapshot)
        self.site.folder.save(state)
        if performed is not None:
            self._forget(performed)
        return published, state

    def _forget(self, performed: Performed) -> None:
        """Forget a run that is reported, unless something of it is still to be told."""
        if performed.follow_up is None:
            self.site.folder.clear_journal()
        else:
            self.site.folder.begin(performed.follow_up)
            self.site.folder.explain(performed.follow_up.run, "the machine could not be looked at")

    def _keep(self, ran: Ran) -> None:
        """Keep the log of a run on the host; that it failed is told and ends nothing: the report has it."""
        if self.site.logs is None:
            return
        files = {".json": run_json(ran.record), ".log": ran.log}
        try:
            self.site.logs.keep(ran.record.run, files, ran.record.ended)
        except ReconcilerError as error:
            self.site.folder.complaints.append(f"{error.message} ({error.hint})")

    def _log(self, performed: Performed) -> bytes:
        return self.site.folder.run_log(performed.record.run, self.secrets)

    def _excerpt(self, performed: Performed) -> str:
        return "" if performed.record.outcome is RunOutcome.APPLIED else excerpt(self._log(performed))


def _has_applied(record: RunRecord) -> bool:
    """Say whether a run was one that may want a reboot after it."""
    return record.outcome is RunOutcome.APPLIED and bool(record.steps)


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


def _what_to_fetch(look: Look) -> str:
    """Name the plan of ``look`` and the lists that it is by."""
    published = [one.published for one in look.finding.recording.observation.sources if one.published]
    return f"{look.finding.judged.plan.digest}@{max(published, default='')}"


def _unfetched(look: Look, last: Unfetched | None, message: str) -> Unfetched:
    """Return what must be remembered of packages that could not be fetched, now once more."""
    what = _what_to_fetch(look)
    before = last.attempts if last is not None and last.what == what else 0
    return Unfetched(what, look.report.generated_at, before + 1, message)


def _still_unfetched(look: Look, state: State) -> Look:
    """Return ``look`` with what is known of packages that could not be fetched ahead."""
    last = state.unfetched
    if last is None or last.what != _what_to_fetch(look):
        return look
    said = f"the packages of the plan could not be fetched ahead: {last.message}"
    return look.telling(Condition(ConditionType.PACKAGES_NOT_FETCHED, True, "DownloadFailed", said)).again_at(
        last.again
    )


def _may_download(outcome: Outcome) -> bool:
    """Say whether a plan's packages may be fetched behind a gate that is closed so: it opens in time."""
    match outcome:
        case (
            Outcome.DOWNLOAD_ONLY
            | Outcome.WINDOW
            | Outcome.BUDGET
            | Outcome.FREEZE
            | Outcome.ROLLOUT
            | Outcome.CONCURRENCY
            | Outcome.INHIBITED
        ):
            return True
        case (
            Outcome.APPLY
            | Outcome.NOTHING
            | Outcome.PAUSED
            | Outcome.POLICY_STALLED
            | Outcome.NEEDS_UPGRADE
            | Outcome.POLICY_STALE
            | Outcome.CLOCK
            | Outcome.PLAN_ONLY
            | Outcome.UNHEALTHY
            | Outcome.CANNOT_RESOLVE
            | Outcome.METADATA_STALE
            | Outcome.LOCKED
            | Outcome.NO_SPACE
            | Outcome.ALREADY_FAILED
            | Outcome.APPROVAL
        ):
            return False
