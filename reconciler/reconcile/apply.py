"""Make a plan real: every gate asked again before each step, the machine looked at after each.

The rules:

- What is about to be done is written down before it is done, durably.
- A package manager at work is never stopped; a closing gate stops the next step.
- What a step came to is what is seen on the machine afterwards. An exit code explains it and proves nothing.
- A package that fails takes nothing else with it: what does not need it goes on.
- Where the package manager would do anything but the plan, nothing is done and the plan is made anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.errors import ReconcilerError, Transient
from reconciler.planning import canonical, exit_codes
from reconciler.planning.execution import Execution, Instruction, automatic_after
from reconciler.planning.gate import Apply, Closed, GateInputs, Outcome, Step, evaluate
from reconciler.planning.journal import Journal, Phase
from reconciler.planning.layout import SCHEMA_VERSION
from reconciler.planning.observation import Installed, Observation
from reconciler.planning.package import Names
from reconciler.planning.plan import limits_of
from reconciler.planning.reboot import BOOT_TIME, has_rebooted
from reconciler.planning.report_document import ExecutedScript
from reconciler.planning.run_record import (
    Difference,
    Ending,
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
from reconciler.planning.steps import bundle, split
from reconciler.planning.wording import listed, plural
from reconciler.policy.documents import DEFAULTS, Settings
from reconciler.reconcile.look import Look
from reconciler.reconcile.ports import Clock, PackageManager, RunStore
from reconciler.reconcile.surroundings import Surroundings, failing

STEP_SIZE = 10
"""Changes that a step has at least, where a transaction is made in steps and has that many."""


@dataclass(frozen=True, slots=True)
class Performed:
    """A run that is over.

    Attributes:
        journal: As it was written last.
        after: What was seen of the machine at its end.
    """

    record: RunRecord
    journal: Journal
    after: Observation

    @property
    def was_touched_since(self) -> bool:
        """Whether hooks or restarted services may have changed what was seen at its end."""
        restarted = any(one.state in {"restarted", "failed"} for one in self.record.restarts)
        return bool(self.record.hooks) or restarted


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies plans to one target.

    Attributes:
        clock: Asked anew before every step.
        manager: The target's package manager.
        store: Where a run is written down.
        around: Hooks, health and services.
        program: Name and version.
        target: Its id.
    """

    clock: Clock
    manager: PackageManager
    store: RunStore
    around: Surroundings
    program: str
    target: str

    def apply(self, look: Look, decision: Apply) -> Performed:
        """Make the plan of ``look`` real, step by step, as far as the gates let it.

        Args:
            look: On whose decision this rests; its report is committed already.
            decision: The steps and the end of the window.

        Raises:
            Stalled: The journal cannot be written; then nothing was changed.
        """
        journal = self._intent(look, decision)
        self.store.write_journal(journal)
        observation = look.finding.recording.observation
        journal, stopped = self._begin(journal)
        while stopped is None and journal.current < len(journal.steps):
            stopped = self._closed(look, journal, observation)
            if stopped is None:
                journal, observation, stopped = self._step(journal, observation)
        journal = replace(journal, phase=Phase.AFTER)
        self.store.write_journal(journal)
        found = difference(journal.before, observation.installed, journal.transaction, journal.manager)
        return self._end(
            journal, observation, found, conclude_steps(journal.done, found, stopped, journal.manager)
        )

    def download(self, look: Look) -> Execution:
        """Fetch the packages of the plan of ``look``, so that the window is spent on installing.

        Nothing is written down: fetching changes no package, and the next tick may fetch again.

        Raises:
            ReconcilerError: The script could not be started.
        """
        plan, now = look.finding.judged.plan, self.clock.now()
        run = self.store.unused(run_id(now, plan.digest))
        folder = self.store.execution(run, "download")
        exclude, block = limits_of(plan, look.finding.recording.exchanges)
        return self.manager.download(Instruction(plan.transaction, exclude, block), folder)

    def mend(self, look: Look) -> Performed:
        """Bring what somebody left half done to its end, as the first thing in a window.

        Args:
            look: Whose gates are all open, but for the unhealthy host.

        Raises:
            Stalled: The journal cannot be written; then nothing was changed.
        """
        # A name of its own: the plan is perhaps applied within the same second.
        journal = replace(self._intent(look, Apply((), None), "-repair"), phase=Phase.STEPS)
        self.store.write_journal(journal)
        started = self.clock.now()
        execution = self.manager.repair(
            journal.unfinished, self.store.execution(journal.run, _attempt(journal))
        )
        after = self._observe()
        found = difference(journal.before, after.installed, (), journal.manager)
        is_whole = not after.health.interrupted
        record = replace(
            self._made(journal, Step(()), started, execution, found),
            outcome=StepOutcome.DONE if is_whole else StepOutcome.FAILED,
        )
        journal = replace(journal, done=(record,), phase=Phase.AFTER)
        self.store.write_journal(journal)
        if is_whole:
            ending = Ending(RunOutcome.REPAIRED)
        else:
            rest = listed(after.health.interrupted, 3)
            reason = f"what was left half done could not be repaired: {rest}; {execution.message}"
            ending = Ending(RunOutcome.FAILED, "not-repaired", reason.removesuffix("; "))
        return Performed(self._recorded(journal, after, found, ending), journal, after)

    def _intent(self, look: Look, decision: Apply, kind: str = "") -> Journal:
        recording = look.finding.recording
        observation, effective = recording.observation, look.finding.effective
        settings = DEFAULTS if effective is None else effective.settings
        now = self.clock.now()
        digest = look.finding.judged.plan.digest
        run = self.store.unused(run_id(now, digest) + kind)
        steps = self._parts(settings, decision.steps)
        marked = [one.package for one in observation.installed if one.automatic]
        wait = settings.lock_wait
        if decision.deadline is not None:
            wait = max(timedelta(0), min(wait, decision.deadline - settings.budget - now))
        exclude, block = limits_of(look.finding.judged.plan, recording.exchanges)
        return Journal(
            run=run,
            digest=digest,
            policy_commit=recording.policy_commit,
            started=now,
            boot_id=observation.facts.boot_id,
            manager=observation.manager,
            before=observation.installed,
            steps=steps,
            exclude=exclude,
            block=block,
            automatic=automatic_after((change for step in steps for change in step.changes), marked),
            settings=settings,
            facts=_facts(self.target, run, recording.policy_commit),
            lock_wait=wait,
            deadline=decision.deadline,
            exceptional=recording.inputs.break_glass,
        )

    def _begin(self, journal: Journal) -> tuple[Journal, Ending | None]:
        """Let the host's own hooks have their say, and ask how the host is; return why not to go on."""
        settings, facts = journal.settings, dict(journal.facts)
        results = self.around.hook("pre", settings, facts, _announcement(journal))
        journal = replace(journal, hooks=results)
        bad = failing(results)
        if bad is not None:
            reason = f"the hook pre.d/{bad.name} is against it: {bad.reason}"
            match settings.hooks.on_pre_failure:
                case "abort":
                    return journal, Ending(RunOutcome.FAILED, "pre-hook", reason)
                case "skip":
                    return journal, Ending(RunOutcome.VETOED, "pre-hook", reason)
                case "ignore":
                    journal = replace(journal, notes=(*journal.notes, f"{reason}; it was ignored"))
        journal = replace(journal, health_before=self.around.health(settings, facts))
        self.store.write_journal(journal)
        return journal, None

    def _end(self, journal: Journal, after: Observation, found: Difference, ending: Ending) -> Performed:
        """Look after services and health, roll back where policy wants that, and let the hooks know."""
        settings, facts = journal.settings, dict(journal.facts)
        record = self._recorded(journal, after, found, ending)
        if found.changed:
            leftovers, restarts, notes = self.around.restarted(settings)
            unhealthy = self.around.settled(settings, facts, journal.health_before)
            record = with_health(record, unhealthy)
            record = replace(record, leftovers=leftovers, restarts=restarts, notes=(*record.notes, *notes))
            if settings.on_failure == "rollback" and record.outcome is RunOutcome.FAILED:
                record, after = self._rolled_back(journal, record, after)
        results = self.around.hook("post", settings, facts, run_json(record))
        bad = failing(results)
        notes = () if bad is None else (f"the hook post.d/{bad.name} failed: {bad.reason}",)
        record = replace(record, hooks=(*record.hooks, *results), notes=(*record.notes, *notes))
        return Performed(replace(record, ended=self.clock.now()), journal, after)

    def _rolled_back(
        self, journal: Journal, record: RunRecord, after: Observation
    ) -> tuple[RunRecord, Observation]:
        """Bring back the versions from before, as far as they can still be had, and tell what is left."""
        changes = undoing(record.difference.changed)
        marked = tuple(str(one.package) for one in journal.before if one.automatic)
        instruction = Instruction(
            changes, conffiles=journal.settings.conffiles, lock_wait=journal.lock_wait, automatic=marked
        )
        execution = self._back(journal, instruction)
        after = self._observe()
        found = difference(journal.before, after.installed, (), journal.manager)
        healthy = None
        if record.unhealthy:
            failing_now = self.around.settled(journal.settings, dict(journal.facts), journal.health_before)
            healthy = not failing_now
        rollback = Rollback(
            moves=tuple(map(move_of, changes)),
            left=found.changed,
            message=execution.message if found.changed else "",
            healthy=healthy,
        )
        return with_rollback(record, rollback, found), after

    def _back(self, journal: Journal, instruction: Instruction) -> Execution:
        """Go back at once; where that is refused, bring back the versions first and remove what was new then.

        Not every package manager removes in one transaction what nothing forces it to remove.
        """
        comes = tuple(change for change in instruction.changes if change.to_version is not None)
        goes = tuple(change for change in instruction.changes if change.to_version is None)
        execution = self._undo(journal, instruction)
        if execution.exit_code != exit_codes.UNRESOLVED or not comes or not goes:
            return execution
        first = self._undo(journal, replace(instruction, changes=comes))
        if first.exit_code not in exit_codes.WELL:
            return execution
        return self._undo(journal, replace(instruction, changes=goes))

    def _undo(self, journal: Journal, instruction: Instruction) -> Execution:
        journal = replace(journal, phase=Phase.ROLLING_BACK, undo=instruction.changes)
        self.store.write_journal(journal)
        return self._try(instruction, journal.run, _attempt(journal))

    def _try(self, instruction: Instruction, run: str, name: str) -> Execution:
        try:
            return self.manager.apply(instruction, self.store.execution(run, name))
        except ReconcilerError as error:
            return Execution(1, message=error.message)

    def _parts(self, settings: Settings, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Split steps as the policy says; where that cannot be told, they stay as they are."""
        if settings.steps == "single":
            return tuple(steps)
        found: list[Step] = []
        for step in steps:
            needs = self.manager.needs(step.changes) if len(step.changes) > 1 else None
            found += split(step.changes, needs)
        return bundle(found, STEP_SIZE)

    def _closed(self, look: Look, journal: Journal, observation: Observation) -> Ending | None:
        """Ask every gate again about what is left; say why the next step must not be made now."""
        plan = look.finding.judged.plan
        now = self.clock.now()
        inputs = self._inputs(look, journal, observation)
        closed = [gate for gate in evaluate(plan, inputs, now) if isinstance(gate, Closed)]
        late = {Outcome.WINDOW, Outcome.BUDGET}
        if journal.done and journal.settings.overrun == "finish":
            closed = [gate for gate in closed if gate.outcome not in late]
        if not closed:
            return None
        return Ending(RunOutcome.DEFERRED, str(closed[0].outcome), closed[0].reason)

    def _inputs(self, look: Look, journal: Journal, observation: Observation) -> GateInputs:
        inputs = look.finding.recording.inputs
        left = sum(len(step.changes) for step in journal.steps[journal.current :])
        share = left / max(1, len(journal.transaction))
        health = observation.health
        if any(step.outcome is StepOutcome.FAILED for step in journal.done):
            # What this run itself left half done is known, and keeps nothing else back.
            health = replace(health, interrupted=())
        return replace(
            inputs,
            pause=self.store.pause(),
            clock=self.clock.state(),
            settings=replace(inputs.settings, budget=inputs.settings.budget * share),
            host=replace(inputs.host, health=health, database=observation.database),
        )

    def _step(self, journal: Journal, seen: Observation) -> tuple[Journal, Observation, Ending | None]:
        """Make the current step; return the journal behind it, what is seen then, and why to stop there."""
        step = journal.steps[journal.current]
        journal = replace(journal, phase=Phase.STEPS)
        self.store.write_journal(journal)
        started = self.clock.now()
        attempt = _attempt(journal)
        execution = self._make(step, journal, attempt)
        after = self._observe()
        if not execution.is_finished or execution.exit_code == exit_codes.INTERRUPTED:
            execution = self._repaired(journal, execution, f"{attempt}-repair")
            after = self._observe()
        found = difference(seen.installed, after.installed, step.changes, journal.manager)
        record = self._made(journal, step, started, execution, found)
        journal = replace(journal, done=(*journal.done, record))
        match record.outcome:
            case StepOutcome.DONE | StepOutcome.FAILED:
                return replace(journal, current=journal.current + 1), after, None
            case StepOutcome.INTERRUPTED:
                return journal, after, Ending(RunOutcome.INTERRUPTED, "interrupted", record.message)
            case StepOutcome.LOCKED:
                return journal, after, Ending(RunOutcome.DEFERRED, "locked", record.message)
            case StepOutcome.REFUSED if journal.current == len(journal.steps) - 1:
                return journal, after, Ending(RunOutcome.PLAN_CHANGED, "plan-changed", record.message)
            case StepOutcome.REFUSED:
                return _all_at_once(journal), after, None

    def _make(self, step: Step, journal: Journal, attempt: str) -> Execution:
        wanted = {str(change.package) for change in step.changes}
        instruction = Instruction(
            step.changes,
            exclude=journal.exclude,
            block=journal.block,
            conffiles=journal.settings.conffiles,
            lock_wait=journal.lock_wait,
            automatic=tuple(name for name in journal.automatic if name in wanted),
        )
        return self._try(instruction, journal.run, attempt)

    def _made(
        self, journal: Journal, step: Step, started: datetime, execution: Execution, found: Difference
    ) -> StepRecord:
        """Return what became of a step that ends now."""
        return StepRecord(
            changes=tuple(map(move_of, step.changes)),
            started=started,
            ended=self.clock.now(),
            outcome=_outcome(step, execution, found, journal.manager),
            exit_code=execution.exit_code,
            native_code=execution.native_code,
            message=execution.message,
            failed=execution.failed,
            conffiles=execution.conffiles,
        )

    def _repaired(self, journal: Journal, broken: Execution, name: str) -> Execution:
        """Bring what was interrupted to an end at once; what was said before it is kept."""
        repair = self.manager.repair(journal.unfinished, self.store.execution(journal.run, name))
        return replace(
            broken,
            message=f"{broken.message}; repaired"
            if repair.exit_code == 0
            else f"{broken.message}; {repair.message}",
            failed=(*broken.failed, *repair.failed),
            conffiles=(*broken.conffiles, *repair.conffiles),
        )

    def _observe(self) -> Observation:
        return replace(self.manager.observe(self.clock.now()), clock=self.clock.state())

    def _recorded(self, journal: Journal, after: Observation, found: Difference, ending: Ending) -> RunRecord:
        ended = self.clock.now()
        conffiles = {path for step in journal.done for path in step.conffiles}
        return RunRecord(
            schema=SCHEMA_VERSION,
            program=self.program,
            run=journal.run,
            target=self.target,
            policy_commit=journal.policy_commit,
            digest=journal.digest,
            started=journal.started,
            ended=ended,
            outcome=ending.outcome,
            code=ending.code,
            reason=ending.reason,
            exceptional=journal.exceptional,
            deadline=journal.deadline,
            overran=journal.deadline is not None and ended > journal.deadline,
            steps=journal.done,
            difference=found,
            hooks=journal.hooks,
            security=tuple(sorted(str(one.package) for one in journal.transaction if one.security)),
            conffiles=tuple(sorted(conffiles)),
            notes=(*journal.notes, *_marks(journal, after.installed)),
            scripts=tuple(ExecutedScript(name, digest) for name, digest in after.scripts),
        )

    def recover(self, journal: Journal) -> Performed:
        """Bring the run that ``journal`` tells of to its end: it was ended from outside.

        What its package manager left half done is repaired at once, also outside of a window: it was begun in
        one, and a half-installed package waits for nothing.

        Raises:
            Transient: Its package manager is still at work.
            Stalled: The machine cannot be observed.
        """
        observation = self._observe()
        if journal.phase in {Phase.STEPS, Phase.ROLLING_BACK}:
            journal, observation = self._finish(journal, observation)
        found = difference(journal.before, observation.installed, journal.transaction, journal.manager)
        reason = _how_far(journal, found)
        ending = Ending(RunOutcome.INTERRUPTED, "interrupted", reason)
        return self._end(journal, observation, found, ending)

    def intend(self, look: Look) -> Journal:
        """Return the journal of a run without steps, on the plan of ``look``."""
        return self._intent(look, Apply((), None))

    def verify_boot(self, journal: Journal, boot_id: str) -> Performed:
        """Look after a machine that was told to reboot: is it another boot, and is it well?

        Args:
            journal: Of the phase REBOOTING.
            boot_id: Of this boot.

        Raises:
            Transient: It has not gone down yet, and still has time to.
        """
        since = journal.rebooting_since or journal.started
        is_back = has_rebooted(journal.boot_id, boot_id)
        if not is_back and self.clock.now() < since + journal.settings.reboot.notice + BOOT_TIME:
            raise Transient("the machine was told to reboot and has not gone down yet", "wait for it")
        observation = self._observe()
        ending = Ending(RunOutcome.REBOOTED)
        if not is_back:
            reason = (
                f"the machine was told to reboot at {since:%Y-%m-%d %H:%M} UTC and is still the same boot"
            )
            ending = Ending(RunOutcome.FAILED, "not-rebooted", reason)
        found = difference(journal.before, observation.installed, (), journal.manager)
        record = self._recorded(journal, observation, found, ending)
        if is_back:
            note = f"boot {journal.boot_id} ended, and {boot_id} began"
            unhealthy = self.around.settled(journal.settings, dict(journal.facts), journal.health_before)
            record = with_health(replace(record, notes=(*record.notes, note)), unhealthy)
        return Performed(record, journal, observation)

    def _finish(self, journal: Journal, seen: Observation) -> tuple[Journal, Observation]:
        """Repair the step that was at work, unless it ended by itself after all."""
        attempt = _attempt(journal)
        folder = self.store.execution(journal.run, attempt)
        if self.manager.is_at_work(folder):
            raise Transient(
                f"the package manager of run {journal.run} is still at work", "wait for it; nothing stops it"
            )
        execution = self.manager.result(folder)
        if not execution.is_finished or seen.health.interrupted:
            execution = self._repaired(journal, execution, f"{attempt}-repair")
            seen = self._observe()
        if journal.phase is Phase.ROLLING_BACK:
            return journal, seen
        step = journal.steps[journal.current] if journal.steps else Step(())
        found = difference(journal.before, seen.installed, step.changes, journal.manager)
        record = self._made(journal, step, journal.started, execution, found)
        if not execution.is_finished:
            record = replace(record, outcome=StepOutcome.INTERRUPTED)
        return replace(journal, done=(*journal.done, record), current=journal.current + 1), seen


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


def _attempt(journal: Journal) -> str:
    """Name the folder of the execution that is next, or at work; a run without steps repairs."""
    if journal.phase is Phase.ROLLING_BACK:
        kinds = {change.to_version is None for change in journal.undo}
        return "rollback" if len(kinds) > 1 else "rollback-removals" if True in kinds else "rollback-changes"
    return f"step-{journal.current + 1}-{len(journal.done) + 1}" if journal.steps else "repair"


def _all_at_once(journal: Journal) -> Journal:
    """Put what is left into one step: the package manager does not make it in the planned parts."""
    left = tuple(change for step in journal.steps[journal.current :] for change in step.changes)
    note = "the package manager did not accept the planned steps, so the rest was made as one"
    return replace(
        journal,
        steps=(*journal.steps[: journal.current], Step(left)),
        notes=tuple(dict.fromkeys((*journal.notes, note))),
    )


def _how_far(journal: Journal, found: Difference) -> str:
    planned = len(journal.transaction)
    arrived = planned - len(found.missing)
    match journal.phase:
        case Phase.INTENT:
            return "it was ended from outside before anything was changed"
        case Phase.STEPS:
            where = f"during step {min(len(journal.done), len(journal.steps))} of {len(journal.steps)}"
        case Phase.ROLLING_BACK:
            where = "while it was being rolled back"
        case Phase.AFTER | Phase.REBOOTING:
            where = "after its last step, before it was reported"
    rest = "" if not found.broken else f"; half done: {', '.join(found.broken)}"
    return (
        f"it was ended from outside {where}; {arrived} of {plural(planned, 'planned change')} are there{rest}"
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
        and (one.held != old.held or (one.automatic != old.automatic and str(one.package) not in wanted))
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
