"""Every call of the package manager that changes something: written down by name, begun once, found again.

The rules:

- An execution is named in the journal before it begins, and no other of its run ever had that name: whoever
  takes a run up again begins a new one, in a folder of its own.
- Of one run, nothing begins while anything of it is at work, whoever began that.
- What cannot even be started has done nothing, and that is told like any other failure.
"""

from dataclasses import replace
from pathlib import Path

from reconciler.errors import ReconcilerError, Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.journal import Attempt, Journal, legacy_attempt
from reconciler.reconcile.ports.guest import StillAtWork
from reconciler.reconcile.ports.target import AnyManager, AnyStore, Clock
from reconciler.records import dataclass

MOST_ATTEMPTS = 10
"""Executions of one step or rollback, repairs included; what was ended as often is left for a person.

A script that takes the whole machine down with it would otherwise do so after each boot.
"""


@dataclass(frozen=True, slots=True)
class Executions:
    """Begins executions and reads what they came to.

    Attributes:
        clock: Tells when each begins.
        manager: The target's package manager.
        store: Where runs are written down.
    """

    clock: Clock
    manager: AnyManager
    store: AnyStore

    def apply(self, journal: Journal, name: str, instruction: Instruction) -> tuple[Journal, Execution]:
        """Make a transaction; return the journal that names it, and what was said.

        Args:
            journal: Of the run, as it is to be written down now.
            name: What the execution is called, where nothing of the run was called so before.
            instruction: What to do.

        Raises:
            StillAtWork: It goes on, and is found by the journal.
        """
        journal, folder = self._begun(journal, name)
        try:
            return journal, self.manager.apply(instruction, folder)
        except StillAtWork:
            raise
        except ReconcilerError as error:
            return journal, _not_started(error)

    def repair(self, journal: Journal) -> tuple[Journal, Execution]:
        """Bring what the last execution left half done to an end; as for :meth:`apply`."""
        name = f"{journal.attempts[0].name}-repair" if journal.steps else "repair"
        journal, folder = self._begun(journal, name)
        try:
            return journal, self.manager.repair(journal.unfinished, folder)
        except StillAtWork:
            raise
        except ReconcilerError as error:
            return journal, _not_started(error)

    def results(self, journal: Journal) -> tuple[Execution, ...]:
        """Return what the executions at hand came to, oldest first.

        Raises:
            Transient: One of the run, whichever, is still at work.
        """
        at_hand = [self.store.execution(one.run or journal.run, one.name) for one in journal.attempts]
        own = [self.store.execution(journal.run, name) for name in self.store.executions(journal.run)]
        if any(map(self.manager.is_at_work, (*own, *at_hand))):
            raise Transient(
                f"the package manager of run {journal.run} is still at work",
                "wait for it; nothing stops it",
            )
        return tuple(map(self.manager.result, at_hand))

    def known(self, journal: Journal) -> Journal:
        """Return a journal with the executions at hand, also where an older version wrote it."""
        if journal.attempts:
            return journal
        name = legacy_attempt(journal)
        repairs = {f"{name}-repair"}.intersection(self.store.executions(journal.run))
        return replace(
            journal, attempts=tuple(Attempt(one, journal.started) for one in (name, *sorted(repairs)))
        )

    def _begun(self, journal: Journal, name: str) -> tuple[Journal, Path]:
        """Write down that an execution begins now, and make the folder that no other of the run has."""
        taken = set(self.store.executions(journal.run))
        fresh, number = name, 1
        while fresh in taken:
            number += 1
            fresh = f"{name}-{number}"
        journal = replace(journal, attempts=(*journal.attempts, Attempt(fresh, self.clock.now())))
        self.store.write_journal(journal)
        return journal, self.store.execution(journal.run, fresh)


def _not_started(error: ReconcilerError) -> Execution:
    return Execution(exit_codes.OTHER, message=error.message)
