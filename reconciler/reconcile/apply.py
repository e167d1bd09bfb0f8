"""Make a plan real: every gate asked again before each step, the machine looked at after each.

The rules:

- What is about to be done is written down before it is done, durably.
- A package manager at work is never stopped; a closing gate stops the next step.
- What a step came to is what is seen on the machine afterwards. An exit code explains it and proves nothing.
- A package that fails takes nothing else with it: what does not need it goes on.
- Where the package manager would do anything but the plan, nothing is done and the plan is made anew.
- What was done and cannot be looked at afterwards is told at once, and looked at by the next tick.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.errors import ReconcilerError, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Change, Installed, Observation
from reconciler.planning.facts.package import Names
from reconciler.planning.gates.decision import evaluate
from reconciler.planning.gates.recording import Ruling
from reconciler.planning.gates.types import Apply, Closed, GateInputs, GateName, Step
from reconciler.planning.resolving.plan import question_of
from reconciler.planning.runs.costs import Pace, Took, share_left
from reconciler.planning.runs.execution import Execution, Instruction, automatic_after, automatic_in
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.planning.runs.journal import Journal, Phase, Shift
from reconciler.planning.runs.old_first import old_first, without_unused
from reconciler.planning.runs.record import (
    GUEST_AWAY,
    GUEST_GONE,
    NOT_FETCHED,
    NOT_SEEN,
    PRE_HOOK,
    Announced,
    Difference,
    Ending,
    GatesAsked,
    Rollback,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
    complaints,
    conclude_steps,
    difference,
    move_of,
    run_id,
    run_json,
    undoing,
    with_health,
    with_rollback,
)
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import SCHEMA_VERSION
from reconciler.planning.text.wording import listed
from reconciler.policy.documents import DEFAULTS, Settings
from reconciler.reconcile.assess import Asked, Assessment
from reconciler.reconcile.cutting import Cutter
from reconciler.reconcile.executions import MOST_ATTEMPTS, Executions
from reconciler.reconcile.metering import EVERY, Meter, asked_anew
from reconciler.reconcile.policy_in_force import InForce
from reconciler.reconcile.ports.target import FETCH, FREE_LINK, Clock, Link
from reconciler.reconcile.site import AnySite
from reconciler.reconcile.surroundings import failing
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Performed:
    """A run that is over.

    Attributes:
        journal: As it was written last.
        after: What was seen of the machine last.
        follow_up: Of a run whose end could not be looked at: the journal by which the next tick tells what
            it came to. ``None`` where ``after`` is its end.
        is_reported: Its record is committed already.
        in_force: The policy that counted last; ``None`` where nobody asked for it.
    """

    record: RunRecord
    journal: Journal
    after: Observation
    follow_up: Journal | None = None
    is_reported: bool = False
    in_force: InForce | None = None

    @property
    def was_touched_since(self) -> bool:
        """Whether hooks or restarted services may have changed what was seen at its end."""
        restarted = any(one.state in {"restarted", "failed"} for one in self.record.restarts)
        return bool(self.record.hooks) or restarted


Ask = Callable[[Assessment, datetime], Asked]
"""Fetches the policy anew; :meth:`reconciler.reconcile.assess.Assessor.ask_anew` is the real one."""


class Unseen(Exception):
    """Something was done, and the machine cannot be looked at.

    Attributes:
        journal: Of the run, with what was done.
        error: Why it cannot be looked at.
    """

    def __init__(self, journal: Journal, error: ReconcilerError) -> None:
        super().__init__(error.message)
        self.journal = journal
        self.error = error


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies plans to one target.

    Attributes:
        site: The target.
        clock: Asked anew before every step.
        program: Name and version.
        ask: Says what the policy of this moment lets a look do.
        link: Says what fetching costs.
        asks_every: How often that is asked while packages are fetched.
    """

    site: AnySite
    clock: Clock
    program: str
    ask: Ask
    link: Link = FREE_LINK
    asks_every: timedelta = EVERY

    @property
    def executions(self) -> Executions:
        """What begins executions and finds them again."""
        return Executions(self.clock, self.site.manager, self.site.folder)

    def apply(
        self,
        assessment: Assessment,
        decision: Apply,
        announced: Announced | None = None,
        took: Sequence[Took] = (),
    ) -> Performed:
        """Make the plan of ``assessment`` real, step by step, as far as the gates let it.

        Args:
            assessment: On whose decision this rests; its report is committed already.
            decision: The steps and the end of the window.
            announced: That report.
            took: How long the last steps took on this target.

        Raises:
            Stalled: The journal cannot be written; what was done before that is told by the next tick.
        """
        journal = replace(self._intent(assessment, decision, took=took), announced=announced)
        observation = assessment.finding.recording.observation
        self.site.folder.begin(journal)
        with self.explained(journal.run):
            try:
                return self._applied(assessment, journal, observation)
            except Unseen as unseen:
                return self.unseen(unseen, observation)

    def download(self, ruling: Ruling) -> Execution:
        """Fetch the packages of a plan ahead, so that the window is spent on installing.

        Nothing is written down: fetching changes no package, and the next tick may fetch again.

        Raises:
            Transient: The connection costs money now, so it was ended.
            ReconcilerError: The script could not be started.
        """
        plan, now = ruling.plan, self.clock.now()
        run = self.site.folder.unused(run_id(now, plan.digest))
        folder = self.site.folder.execution(run, FETCH)
        asked = question_of(plan, ruling.exchanges)
        settings = DEFAULTS if ruling.effective is None else ruling.effective.settings
        _, coming = old_first(plan.transaction)
        instruction = Instruction(
            coming, asked.exclude, asked.block, without=asked.without, rate=settings.rate
        )
        if not self.is_watched(settings):
            return self.site.manager.download(instruction, folder)
        meter = Meter(self.link, self.asks_every)
        execution = self.site.manager.download(instruction, folder, meter.unless)
        if meter.found and execution.exit_code not in exit_codes.WELL:
            said = f"packages are not fetched any further: the machine has {meter.found} now"
            raise Transient(said, "it goes on when the connection is another one")
        return execution

    def is_watched(self, settings: Settings) -> bool:
        """Say whether the connection may begin to cost money while packages are fetched, and that counts."""
        return settings.inhibit.metered == "defer" and self.link.cost().is_watched

    def mend(self, assessment: Assessment, announced: Announced | None = None) -> Performed:
        """Bring what somebody left half done to its end, as the first thing in a window.

        Args:
            assessment: Whose gates are all open, but for the unhealthy host.
            announced: The report on it.

        Raises:
            Stalled: The journal cannot be written; then nothing was changed.
        """
        # A name of its own: the plan is perhaps applied within the same second.
        intent = self._intent(assessment, Apply((), None), "-repair")
        journal = replace(intent, phase=Phase.STEPS, announced=announced)
        self.site.folder.begin(journal)
        with self.explained(journal.run):
            journal, execution = self.executions.repair(journal)
            try:
                return self.mended(journal, execution, self.seen_after(journal, execution))
            except Unseen as unseen:
                return self.unseen(unseen, assessment.finding.recording.observation)

    def mended(self, journal: Journal, execution: Execution, after: Observation) -> Performed:
        """Tell what a run without steps came to, which only repairs."""
        found = difference(journal.before, after.installed, (), journal.manager)
        is_whole = not after.health.interrupted
        record = replace(
            self._record(journal, execution, found),
            outcome=StepOutcome.DONE if is_whole else StepOutcome.FAILED,
        )
        journal = replace(journal, done=(record,), phase=Phase.AFTER)
        if is_whole:
            ending = Ending(RunOutcome.REPAIRED)
        else:
            rest = listed(after.health.interrupted, 3)
            reason = _joined(f"what was left half done could not be repaired: {rest}", execution.message)
            ending = Ending(RunOutcome.FAILED, "not-repaired", reason)
        return self._finished(journal, self.recorded(journal, after, found, ending), after)

    @contextlib.contextmanager
    def explained(self, run: str) -> Iterator[None]:
        """Leave word of a failure of our own that ends a run, so that nobody takes it for a kill."""
        try:
            yield
        except Exception as error:
            # A defect's own text may hold anything.
            self.site.folder.explain(
                run, error.message if isinstance(error, ReconcilerError) else type(error).__name__
            )
            raise

    def _applied(self, assessment: Assessment, journal: Journal, observation: Observation) -> Performed:
        asked = Asked.as_before(assessment)
        journal, stopped = self._begin(journal)
        while stopped is None and journal.current < len(journal.steps):
            now = self.clock.now()
            asked = self.ask(assessment, now)
            stopped, gates = self._closed(assessment, asked, journal, observation, now)
            journal = replace(journal, asked=gates)
            if stopped is None and (why := self.site.away()):
                stopped = Ending(RunOutcome.DEFERRED, GUEST_AWAY, why)
            if stopped is None:
                journal = replace(journal, policy=asked.policy)
                journal, observation, stopped = self._step(journal, observation)
        found = difference(journal.before, observation.installed, journal.transaction, journal.manager)
        ending = conclude_steps(journal.done, found, stopped, journal.manager)
        performed = self.end(replace(journal, stopped=stopped), observation, found, ending)
        return replace(performed, in_force=asked.in_force)

    def _intent(
        self, assessment: Assessment, decision: Apply, kind: str = "", took: Sequence[Took] = ()
    ) -> Journal:
        recording, ruling = assessment.finding.recording, assessment.leading
        observation, effective = recording.observation, ruling.effective
        settings = DEFAULTS if effective is None else effective.settings
        now = self.clock.now()
        digest = ruling.plan.digest
        run = self.site.folder.unused(run_id(now, digest) + kind)
        wait = settings.lock_wait
        if decision.deadline is not None:
            wait = max(timedelta(0), min(wait, decision.deadline - settings.budget - now))
        asked = question_of(ruling.plan, ruling.exchanges)
        changes = tuple(change for step in decision.steps for change in step.changes)
        cutter = Cutter(self.site.manager, observation.manager, settings, Pace.of(took))
        cut = cutter.cut(changes, asked)
        return Journal(
            run=run,
            digest=digest,
            policy_commit=recording.policy_commit,
            started=now,
            boot_id=observation.facts.boot_id,
            manager=observation.manager,
            before=observation.installed,
            steps=cut.steps,
            exclude=asked.exclude,
            block=asked.block,
            without=asked.without,
            automatic=automatic_after(changes, observation.installed, observation.manager),
            settings=settings,
            facts=_facts(self.site.id, run, recording.policy_commit),
            lock_wait=wait,
            deadline=decision.deadline,
            exceptional=recording.inputs.break_glass,
            freeze=ruling.freeze,
            notes=(*_let_through(ruling.freeze), *cut.notes),
        )

    def _begin(self, journal: Journal) -> tuple[Journal, Ending | None]:
        """Let the host's own hooks have their say, and ask how the host is; return why not to go on."""
        settings, facts = journal.settings, dict(journal.facts)
        results = self.site.around.hook("pre", settings, facts, _announcement(journal))
        journal = replace(journal, hooks=results)
        bad = failing(results)
        if bad is not None:
            reason = f"the hook pre.d/{bad.name} is against it: {bad.reason}"
            match settings.hooks.on_pre_failure:
                case "abort":
                    return journal, Ending(RunOutcome.FAILED, PRE_HOOK, reason)
                case "skip":
                    return journal, Ending(RunOutcome.VETOED, PRE_HOOK, reason)
                case "ignore":
                    journal = replace(journal, notes=(*journal.notes, f"{reason}; it was ignored"))
        journal = replace(journal, health_before=self.site.around.health(settings, facts))
        self.site.folder.write_journal(journal)
        return journal, None

    def end(self, journal: Journal, after: Observation, found: Difference, ending: Ending) -> Performed:
        """Look after services and health, roll back where policy wants that, and let the hooks know.

        Raises:
            Unseen: It was rolled back, and the machine cannot be looked at.
        """
        journal = replace(journal, phase=Phase.AFTER, attempts=())
        self.site.folder.write_journal(journal)
        record = self.recorded(journal, after, found, ending)
        if not found.changed:
            return self.told(journal, record, after)
        leftovers, restarts, notes = self.site.around.restarted(journal.settings)
        unhealthy = self._unhealthy(journal)
        record = with_health(record, unhealthy)
        record = replace(record, leftovers=leftovers, restarts=restarts, notes=(*record.notes, *notes))
        # Where nothing but files was missing, nothing was begun that could be undone.
        is_failure = record.outcome is RunOutcome.FAILED and record.code != NOT_FETCHED
        if journal.settings.on_failure == "rollback" and is_failure:
            undo = undoing(record.difference.changed)
            journal = replace(journal, phase=Phase.ROLLING_BACK, record=record, undo=undo)
            return self.roll_back(journal, record, after)
        return self.told(journal, record, after)

    def roll_back(self, journal: Journal, record: RunRecord, seen: Observation) -> Performed:
        """Bring back the versions from before, as far as they can still be had, and tell what is left.

        Args:
            journal: Of the phase ROLLING_BACK.
            record: Of the run that is undone.
            seen: What is there now; what is back already is left alone.

        Raises:
            Unseen: The machine cannot be looked at afterwards.
        """
        found = difference(journal.before, seen.installed, (), journal.manager)
        message = f"it was tried {len(journal.attempts)} times"
        if found.changed and len(journal.attempts) < MOST_ATTEMPTS:
            journal, execution = self._back(journal, undoing(found.changed))
            message = execution.message
            seen = self.seen_after(journal, execution)
            found = difference(journal.before, seen.installed, (), journal.manager)
        healthy = None
        if record.unhealthy:
            healthy = not self._unhealthy(journal)
        rollback = Rollback(
            moves=tuple(map(move_of, journal.undo)),
            left=found.changed,
            message=message if found.changed else "",
            healthy=healthy,
        )
        return self.told(journal, with_rollback(record, rollback, found), seen)

    def told(self, journal: Journal, record: RunRecord, after: Observation) -> Performed:
        """Let the hooks in ``post.d`` know of a run that is over, and write down its record."""
        return self._finished(journal, self._hooked(journal, record), after)

    def unseen(self, unseen: Unseen, last: Observation) -> Performed:
        """Tell of a run what is known although nobody can look at the machine; the next tick tells the rest.

        Args:
            unseen: What was done, and why it cannot be looked at.
            last: What was seen before.
        """
        journal = unseen.journal
        with contextlib.suppress(ReconcilerError):
            self.site.folder.write_journal(journal)
        said = f"what it came to could not be looked at: {unseen.error.message}"
        ending = Ending(RunOutcome.FAILED, NOT_SEEN, said)
        if journal.record is None:
            record = self.recorded(journal, None, Difference((), (), (), ()), ending)
        else:
            record = replace(journal.record, code=NOT_SEEN, reason=_joined(journal.record.reason, said))
        record = replace(self._hooked(journal, record), ended=self._later(record.started))
        return Performed(record, journal, last, self.follow_up(journal))

    def lost(self, journal: Journal, why: str) -> RunRecord:
        """Return the record of a run on what went before it ended, and cannot be looked at any more.

        Args:
            journal: Of the run.
            why: Where it went.
        """
        if journal.record is not None:
            return journal.record
        ending = Ending(RunOutcome.INTERRUPTED, GUEST_GONE, f"what it came to is not known: {why}")
        return self.recorded(journal, None, Difference((), (), (), ()), ending)

    def follow_up(self, journal: Journal) -> Journal:
        """Return the journal by which a later tick tells what a run came to that could not be looked at."""
        run = self.site.folder.unused(journal.run)
        note = f"this is what run {journal.run} came to, which could not be looked at when it ended"
        return replace(
            journal,
            run=run,
            record=None if journal.record is None else replace(journal.record, run=run),
            facts=_facts(self.site.id, run, journal.policy_commit),
            attempts=tuple(replace(one, run=one.run or journal.run) for one in journal.attempts),
            notes=(*journal.notes, note),
        )

    def _hooked(self, journal: Journal, record: RunRecord) -> RunRecord:
        results = self.site.around.hook("post", journal.settings, dict(journal.facts), run_json(record))
        bad = failing(results)
        notes = () if bad is None else (f"the hook post.d/{bad.name} failed: {bad.reason}",)
        return replace(record, hooks=(*record.hooks, *results), notes=(*record.notes, *notes))

    def _finished(self, journal: Journal, record: RunRecord, after: Observation) -> Performed:
        """Write down a record that nothing will be added to: from now on it only has to be reported."""
        record = replace(record, ended=self._later(record.started))
        journal = replace(journal, phase=Phase.AFTER, record=record, attempts=())
        with contextlib.suppress(ReconcilerError):  # without it, the hooks may be told once more
            self.site.folder.write_journal(journal)
        return Performed(record, journal, after)

    def _unhealthy(self, journal: Journal) -> tuple[CheckResult, ...]:
        return self.site.around.settled(journal.settings, dict(journal.facts), journal.health_before)

    def _back(self, journal: Journal, changes: tuple[Change, ...]) -> tuple[Journal, Execution]:
        """Go back at once; where that is refused, bring back the versions first and remove what was new then.

        Not every package manager removes in one transaction what nothing forces it to remove.
        """
        comes = tuple(change for change in changes if change.to_version is not None)
        goes = tuple(change for change in changes if change.to_version is None)
        journal, execution = self._undo(journal, changes)
        fewer = without_unused(changes, journal.steps)
        if execution.exit_code not in exit_codes.WELL and fewer and fewer != changes:
            # What nothing needed, and perhaps nobody has any more, must not keep back what is needed.
            return self._back(journal, fewer)
        if execution.exit_code != exit_codes.UNRESOLVED or not comes or not goes:
            return journal, execution
        journal, first = self._undo(journal, comes)
        if first.exit_code not in exit_codes.WELL:
            return journal, execution
        return self._undo(journal, goes)

    def _undo(self, journal: Journal, changes: tuple[Change, ...]) -> tuple[Journal, Execution]:
        instruction = Instruction(
            changes,
            conffiles=journal.settings.conffiles,
            lock_wait=journal.lock_wait,
            automatic=automatic_in(journal.before),
            rate=journal.settings.rate,
        )
        return self.executions.apply(journal, "rollback", instruction)

    def _closed(
        self, assessment: Assessment, asked: Asked, journal: Journal, observation: Observation, now: datetime
    ) -> tuple[Ending | None, GatesAsked]:
        """Ask every gate again about what is left; say why the next step must not be made now, if so."""
        inputs = self._inputs(asked.inputs, journal, observation)
        gates = evaluate(assessment.leading.plan, inputs, now)
        shown = GatesAsked.of(inputs, gates, now)
        if asked.against:
            return Ending(RunOutcome.DEFERRED, "policy-changed", asked.against), shown
        closed = [gate for gate in gates if isinstance(gate, Closed)]
        if journal.done and journal.settings.overrun == "finish":
            # Time alone is passed over, once something was done: half a plan is worse than a late one.
            closed = [gate for gate in closed if gate.gate is not GateName.WINDOW]
        if not closed:
            return None, shown
        return Ending(RunOutcome.DEFERRED, str(closed[0].outcome), closed[0].reason), shown

    def _inputs(self, inputs: GateInputs, journal: Journal, observation: Observation) -> GateInputs:
        """Return what the gates are shown before a step: as it is now where it may change while a run works.

        The policy comes with ``inputs``, from whoever was asked last; the rest stays as it was assessed.
        """
        # What is left needs its share of the time that the whole plan was given.
        left = {change.transition for step in journal.steps[journal.current :] for change in step.changes}
        share = share_left(journal.transaction, left)
        inputs, health = asked_anew(inputs, self.link), observation.health
        if any(step.outcome is StepOutcome.FAILED for step in journal.done):
            # What this run itself left half done is known, and keeps nothing else back.
            health = replace(health, interrupted=())
        return replace(
            inputs,
            pause=self.site.folder.pause(),
            clock=self.clock.state(),
            settings=replace(inputs.settings, budget=inputs.settings.budget * share),
            host=replace(inputs.host, health=health, database=observation.database),
        )

    def _step(self, journal: Journal, seen: Observation) -> tuple[Journal, Observation, Ending | None]:
        """Make the current step; return the journal behind it, what is seen then, and why to stop there."""
        shift = Shift.between(journal.before, seen.installed)
        journal = replace(journal, phase=Phase.STEPS, attempts=(), shift=shift)
        name = f"step-{journal.current + 1}-{len(journal.done) + 1}"
        journal, execution = self.executions.apply(journal, name, _instruction(journal))
        if not execution.is_finished or execution.exit_code == exit_codes.INTERRUPTED:
            journal, execution = self.repair(journal, execution)
        after = self.seen_after(journal, execution)
        if after.health.broken and not seen.health.broken:
            # Of packages that move together one came, another did not, and nothing can be resolved until it
            # does: it is tried once more, alone.
            journal, execution = self.repair(journal, execution)
            after = self.seen_after(journal, execution)
        journal, stopped = self.stepped(journal, execution, after)
        return journal, after, stopped

    def repair(self, journal: Journal, broken: Execution) -> tuple[Journal, Execution]:
        """Repair what an execution left half done; return the journal of that, and what both came to."""
        journal, repair = self.executions.repair(journal)
        return journal, repaired(broken, repair)

    def stepped(
        self, journal: Journal, execution: Execution, after: Observation, *, was_ended: bool = False
    ) -> tuple[Journal, Ending | None]:
        """Write down what became of the step at hand; return the journal behind it, and why to stop there.

        Args:
            journal: Whose executions of the step are over.
            execution: What they said.
            after: What is seen now.
            was_ended: The package manager was ended from outside, whatever is there now.
        """
        step = journal.steps[journal.current]
        found = difference(journal.before_step, after.installed, step.changes, journal.manager)
        record = self._record(journal, execution, found)
        if was_ended:
            record = replace(record, outcome=StepOutcome.INTERRUPTED)
        journal = replace(journal, done=(*journal.done, record), attempts=())
        match record.outcome:
            case StepOutcome.DONE | StepOutcome.FAILED:
                return replace(journal, current=journal.current + 1), None
            case StepOutcome.INTERRUPTED:
                return journal, Ending(RunOutcome.INTERRUPTED, "interrupted", record.message)
            case StepOutcome.LOCKED:
                return journal, Ending(RunOutcome.DEFERRED, "locked", record.message)
            case StepOutcome.REFUSED if journal.current == len(journal.steps) - 1:
                return journal, Ending(RunOutcome.PLAN_CHANGED, "plan-changed", record.message)
            case StepOutcome.REFUSED:
                return _all_at_once(journal), None

    def seen_after(self, journal: Journal, execution: Execution) -> Observation:
        """Look at the machine after an execution.

        Raises:
            Unseen: It cannot be looked at.
        """
        try:
            return self.observe()
        except ReconcilerError as error:
            # What did not end by itself may need a repair, which only a look can tell: the next tick takes
            # the step up.
            if journal.phase is Phase.STEPS and journal.steps and execution.is_finished:
                record = self._record(journal, execution, Difference((), (), (), ()))
                journal = replace(journal, done=(*journal.done, record), current=journal.current + 1)
                journal = replace(journal, phase=Phase.AFTER)
            raise Unseen(journal, error) from error

    def observe(self) -> Observation:
        """Look at the machine.

        Raises:
            ReconcilerError: It cannot be looked at.
        """
        return replace(self.site.observe(self.clock.now()), clock=self.clock.state())

    def _later(self, started: datetime) -> datetime:
        """Return the present, and no instant before what it ends: the clock may have been set back."""
        return max(started, self.clock.now())

    def _record(self, journal: Journal, execution: Execution, found: Difference) -> StepRecord:
        step = journal.steps[journal.current] if journal.current < len(journal.steps) else Step(())
        started = journal.attempts[0].started
        ended = self._later(started)
        return StepRecord(
            changes=tuple(map(move_of, step.changes)),
            started=started,
            ended=ended if execution.ended is None else min(ended, max(started, execution.ended)),
            outcome=_outcome(step, execution, found, journal.manager),
            exit_code=execution.exit_code,
            native_code=execution.native_code,
            message=execution.message,
            failed=execution.failed,
            conffiles=execution.conffiles,
            policy=journal.policy,
            asked=journal.asked,
        )

    def recorded(
        self, journal: Journal, after: Observation | None, found: Difference, ending: Ending
    ) -> RunRecord:
        """Return the record of a run, without what is done around its steps.

        Args:
            journal: Of the run.
            after: What is seen at its end; ``None`` where nobody can look.
            found: What moved.
            ending: Why it ended as it did.
        """
        ended = self._later(journal.started)
        # A run that is taken up long after it was at work did not work that long.
        until = journal.done[-1].ended if journal.done else ended
        conffiles = {path for step in journal.done for path in step.conffiles}
        return RunRecord(
            schema=SCHEMA_VERSION,
            program=self.program,
            run=journal.run,
            target=self.site.target,
            policy_commit=journal.policy_commit,
            digest=journal.digest,
            started=journal.started,
            ended=ended,
            outcome=ending.outcome,
            code=ending.code,
            reason=ending.reason,
            exceptional=journal.exceptional,
            deadline=journal.deadline,
            overran=journal.deadline is not None and until > journal.deadline,
            steps=journal.done,
            difference=found,
            hooks=journal.hooks,
            security=tuple(sorted(str(one.package) for one in journal.transaction if one.security)),
            conffiles=tuple(sorted(conffiles)),
            notes=(*journal.notes, *(_marks(journal, after.installed) if after else ())),
            scripts=after.executed if after else (),
            announced=journal.announced,
            asked=journal.asked,
            freeze=journal.freeze,
        )

    def intend(self, assessment: Assessment) -> Journal:
        """Return the journal of a run without steps, on the plan of ``assessment``."""
        return self._intent(assessment, Apply((), None))

    def rebooted(self, journal: Journal, seen: Observation, boot_id: str) -> Performed:
        """Tell of a machine that is back from a reboot, and ask once more how it is."""
        found = difference(journal.before, seen.installed, (), journal.manager)
        record = self.recorded(journal, seen, found, Ending(RunOutcome.REBOOTED))
        note = f"boot {journal.boot_id} ended, and {boot_id} began"
        record = with_health(replace(record, notes=(*record.notes, note)), self._unhealthy(journal))
        return Performed(record, journal, seen)

    def not_rebooted(self, journal: Journal, seen: Observation, reason: str) -> Performed:
        """Tell of a machine that was told to reboot and did not."""
        found = difference(journal.before, seen.installed, (), journal.manager)
        ending = Ending(RunOutcome.FAILED, "not-rebooted", reason)
        return Performed(self.recorded(journal, seen, found, ending), journal, seen)


def repaired(broken: Execution, repair: Execution) -> Execution:
    """Return what an execution came to that was repaired: what was said before the repair is kept."""
    match repair.exit_code:
        case 0:
            said = "repaired"
        case exit_codes.NOTHING_TO_DO:
            said = ""
        case _:
            said = repair.message
    return replace(
        broken,
        message=_joined(broken.message, said),
        failed=(*broken.failed, *repair.failed),
        conffiles=(*broken.conffiles, *repair.conffiles),
    )


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _let_through(freeze: str) -> tuple[str, ...]:
    """Say of a freeze's security plan what it is."""
    return (f"these are the security updates that the freeze {freeze} lets through",) if freeze else ()


def _instruction(journal: Journal) -> Instruction:
    """Return what the package manager is told to do in the step at hand."""
    step = journal.steps[journal.current]
    wanted = {str(change.package) for change in step.changes}
    return Instruction(
        step.changes,
        exclude=journal.exclude,
        block=journal.block,
        without=journal.without,
        conffiles=journal.settings.conffiles,
        lock_wait=journal.lock_wait,
        automatic=tuple(name for name in journal.automatic if name in wanted),
        rate=journal.settings.rate,
    )


def _outcome(step: Step, execution: Execution, found: Difference, manager: str) -> StepOutcome:
    """Say what became of a step, by what is there now; where that cannot tell, by the manager's words."""
    if not found.missing and not found.broken:
        told = complaints(execution.failed, (change.package for change in step.changes), manager)
        return StepOutcome.FAILED if told else StepOutcome.DONE
    if not execution.is_finished:
        return StepOutcome.INTERRUPTED
    if not found.changed and execution.exit_code in exit_codes.REFUSED:
        return StepOutcome.REFUSED
    if not found.changed and execution.exit_code == exit_codes.LOCKED:
        return StepOutcome.LOCKED
    return StepOutcome.FAILED


def _facts(target: str, run: str, commit: str) -> tuple[tuple[str, str], ...]:
    """Return what hooks are told in their environment."""
    named = {"TARGET": target, "RUN": run, "POLICY_COMMIT": commit}
    return tuple((f"PATCHLEDGER_{name}", value) for name, value in named.items())


def _announcement(journal: Journal) -> bytes:
    """Return what a pre-hook reads: what is about to be done."""
    return canonical.to_bytes(
        canonical.plain(
            {
                "run": journal.run,
                "digest": journal.digest,
                "policy_commit": journal.policy_commit,
                "deadline": journal.deadline,
                "transaction": tuple(map(move_of, journal.transaction)),
            }
        )
    )


def _all_at_once(journal: Journal) -> Journal:
    """Put what is left into one step: the package manager does not make it in the planned parts."""
    left = tuple(change for step in journal.steps[journal.current :] for change in step.changes)
    note = "the package manager did not accept the planned steps, so the rest was made as one"
    return replace(
        journal,
        steps=(*journal.steps[: journal.current], Step(left)),
        notes=tuple(dict.fromkeys((*journal.notes, note))),
    )


def _marks(journal: Journal, after: Sequence[Installed]) -> tuple[str, ...]:
    """Name the packages whose mark or hold is not what the operator left, which must never happen."""
    wanted = set(journal.automatic)
    moved = {change.package for change in journal.transaction}
    before = {one.package: one for one in journal.before}
    now = tuple(after)
    wrong = {
        one.package
        for one in now
        if (old := before.get(one.package)) is not None
        # What may be held in some versions only is known to be once no other is left: after it has moved.
        and (
            (one.held != old.held and one.package not in moved)
            or (one.automatic != old.automatic and str(one.package) not in wanted)
        )
    }
    wrong |= {
        one.package
        for one in now
        if one.package in moved and str(one.package) in wanted and not one.automatic
    }
    if not wrong:
        return ()
    name = Names.among(one.package for one in now)
    return (f"marks or holds are not as they were: {', '.join(name(one) for one in sorted(wrong))}",)
