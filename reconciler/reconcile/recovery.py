"""Bring to its end a run that the tick which began it did not: how often that tick, or this one, is killed.

The rules:

- Nothing is begun while anything of the run is at work, also a repair that an earlier recovery began.
- A machine that is not the host, such as a clone that was taken in the middle of a run, touches nothing.
- Whatever is begun has a name of its own in the journal first (:mod:`reconciler.reconcile.executions`), so
  that this may be ended from outside at any instant and is taken up again, up to a bound.
- A run whose package manager ended by itself is what it came to. It is ``interrupted`` only where the package
  manager was, or where it was ended before anything was changed.
- Steps that had not begun are not made: they are planned again, and wait for their gates.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

from reconciler.errors import Misuse, Transient
from reconciler.planning.facts.observation import Observation
from reconciler.planning.gates.reboot import BOOT_TIME, has_rebooted
from reconciler.planning.reporting.reader import read_run
from reconciler.planning.runs.execution import Execution
from reconciler.planning.runs.journal import Journal, Phase
from reconciler.planning.runs.record import (
    NOT_SEEN,
    Difference,
    Ending,
    RunOutcome,
    conclude_steps,
    difference,
)
from reconciler.planning.text.wording import plural
from reconciler.reconcile.apply import Applier, Performed, Unseen, repaired
from reconciler.reconcile.executions import MOST_ATTEMPTS
from reconciler.records import dataclass

STOPPED = "stopped"
"""Code of a run whose remaining steps were not made because its tick was ended."""


def _anybody(seen: Observation) -> bool:
    del seen
    return True


@dataclass(frozen=True, slots=True)
class Recovery:
    """Takes up what an earlier tick began.

    Attributes:
        applier: What runs are made with.
        is_host: Says of the machine that was looked at whether it is the host.
    """

    applier: Applier
    is_host: Callable[[Observation], bool] = _anybody

    def recover(self, journal: Journal) -> Performed | None:
        """Bring the run that ``journal`` tells of to its end.

        What its package manager left half done is repaired at once, also outside of a window: it was begun in
        one, and a half-installed package waits for nothing.

        Returns:
            ``None`` on a machine that is not the host.

        Raises:
            Transient: Its package manager is still at work.
            Stalled: The machine cannot be observed.
        """
        executions = self.applier.executions
        if journal.phase is Phase.AFTER and journal.record is None and not journal.steps:
            # A run that only repairs says what it came to when it is over, and not before.
            journal = replace(journal, phase=Phase.STEPS, done=())
        match journal.phase:
            case Phase.STEPS | Phase.ROLLING_BACK:
                journal = executions.known(journal)
            case Phase.INTENT | Phase.AFTER | Phase.REBOOTING:
                pass
        results = executions.results(journal)
        seen = self.applier.observe()
        if journal.phase is Phase.AFTER and journal.record is not None:
            return Performed(journal.record, journal, seen)
        if not self.is_host(seen):
            return None
        try:
            return self._taken_up(journal, results, seen, self._why(journal))
        except Unseen as unseen:
            # What was done stands in the journal, and the next tick looks again.
            raise unseen.error from None

    def take_over(self, journal: Journal, reported: bytes) -> Performed | None:
        """Return a run that is committed already: its record is not made again, and its hooks have run.

        Args:
            journal: Of the run.
            reported: ``runs/<id>.json`` as it was committed.

        Returns:
            ``None`` where nobody can read the record.

        Raises:
            Stalled: The machine cannot be observed.
        """
        try:
            record = read_run(reported)
        except Misuse:
            return None
        follow_up = self.applier.follow_up(journal) if record.code == NOT_SEEN else None
        return Performed(record, journal, self.applier.observe(), follow_up, is_reported=True)

    def verify_boot(self, journal: Journal, boot_id: str, *, is_over: bool = False) -> Performed | None:
        """Look after a machine that was told to reboot: is it another boot, and is it well?

        Args:
            journal: Of the phase REBOOTING.
            boot_id: Of this boot.
            is_over: It was waited for, and should be back.

        Returns:
            ``None`` on a machine that is not the host.

        Raises:
            Transient: It has not gone down yet, and still has time to.
        """
        since = journal.rebooting_since or journal.started
        is_back = has_rebooted(journal.boot_id, boot_id)
        back_by = since + journal.settings.reboot.notice + BOOT_TIME
        if not is_back and not is_over and self.applier.clock.now() < back_by:
            raise Transient("the machine was told to reboot and has not gone down yet", "wait for it")
        seen = self.applier.observe()
        if not self.is_host(seen):
            return None
        if is_back:
            return self.applier.rebooted(journal, seen, boot_id)
        reason = f"the machine was told to reboot at {since:%Y-%m-%d %H:%M} UTC and is still the same boot"
        return self.applier.not_rebooted(journal, seen, reason)

    def _taken_up(
        self, journal: Journal, results: tuple[Execution, ...], seen: Observation, why: str
    ) -> Performed:
        match journal.phase:
            case Phase.INTENT:
                reason = f"it {why} before anything was changed"
                ending = Ending(RunOutcome.INTERRUPTED, "interrupted", reason)
                return self._concluded(replace(journal, stopped=ending), seen, why)
            case Phase.STEPS:
                journal, execution, seen = self._brought_to_an_end(journal, results, seen)
                if not journal.steps:
                    return self.applier.mended(journal, execution, seen)
                return self._stepped(journal, execution, seen, why)
            case Phase.ROLLING_BACK:
                was_ended = not all(one.is_finished for one in results)
                journal, _, seen = self._brought_to_an_end(journal, results, seen)
                return self._rolled_back(journal, seen, why, was_ended=was_ended)
            case Phase.AFTER | Phase.REBOOTING:
                return self._concluded(journal, seen, why)

    def _brought_to_an_end(
        self, journal: Journal, results: tuple[Execution, ...], seen: Observation
    ) -> tuple[Journal, Execution, Observation]:
        """Repair what was at work, unless it ended by itself; return what it came to in all."""
        execution = reduce(repaired, results)
        is_torn = bool(seen.health.interrupted or seen.health.broken)
        is_half_done = not results[-1].is_finished or (len(results) == 1 and is_torn)
        if not is_half_done or len(results) >= MOST_ATTEMPTS:
            return journal, execution, seen
        journal, execution = self.applier.repair(journal, execution)
        return journal, execution, self.applier.seen_after(journal, execution)

    def _stepped(self, journal: Journal, execution: Execution, seen: Observation, why: str) -> Performed:
        """Write down the step that was at work; what had not begun is not begun."""
        was_ended = not execution.is_finished
        where = f"during step {journal.current + 1} of {len(journal.steps)}"
        journal, stopped = self.applier.stepped(journal, execution, seen, was_ended=was_ended)
        if was_ended:
            reason = f"it {why} {where}; {_how_far(journal, self._found(journal, seen))}"
            stopped = Ending(RunOutcome.INTERRUPTED, "interrupted", reason)
        elif stopped is None and journal.current < len(journal.steps):
            stopped = Ending(RunOutcome.DEFERRED, STOPPED, f"it {why} {where}; the rest is planned again")
        return self._concluded(replace(journal, stopped=stopped), seen, why)

    def _concluded(self, journal: Journal, seen: Observation, why: str) -> Performed:
        found = self._found(journal, seen)
        stopped = journal.stopped
        if stopped is not None and stopped.outcome is RunOutcome.INTERRUPTED:
            return self.applier.end(journal, seen, found, stopped)
        if stopped is None and journal.current < len(journal.steps):
            # Written by an older version, which did not say why it had stopped.
            stopped = Ending(RunOutcome.DEFERRED, STOPPED, f"it {why} before all steps were made")
        note = f"the tick that began it {why}; a later one completed this record"
        journal = replace(journal, stopped=stopped, notes=tuple(dict.fromkeys((*journal.notes, note))))
        return self.applier.end(
            journal, seen, found, conclude_steps(journal.done, found, stopped, journal.manager)
        )

    def _rolled_back(self, journal: Journal, seen: Observation, why: str, *, was_ended: bool) -> Performed:
        """Go on with a rollback where it was ended, by what is there now."""
        record = journal.record
        if record is None:  # of an older version
            ending = Ending(RunOutcome.FAILED, "interrupted")
            record = self.applier.recorded(journal, seen, self._found(journal, seen), ending)
        said = f"it {why} while it was being rolled back"
        if said not in record.reason:
            record = replace(record, reason=f"{record.reason}; {said}" if record.reason else said)
        if was_ended:
            record = replace(record, outcome=RunOutcome.INTERRUPTED, code="interrupted")
        return self.applier.roll_back(replace(journal, record=record), record, seen)

    def _found(self, journal: Journal, seen: Observation) -> Difference:
        return difference(journal.before, seen.installed, journal.transaction, journal.manager)

    def _why(self, journal: Journal) -> str:
        """Say what ended the tick that began the run: something outside, or patchledger itself."""
        own = self.applier.site.folder.explained(journal.run)
        return f"could not be gone on with ({own})" if own else "was ended from outside"


def _how_far(journal: Journal, found: Difference) -> str:
    planned = len(journal.transaction)
    rest = f"; half done: {', '.join(found.broken)}" if found.broken else ""
    return f"{planned - len(found.missing)} of {plural(planned, 'planned change')} are there{rest}"
