"""What a run is about to do, written down before it does it, so that whoever finds it can bring it to an end.

The journal exists from before the first change until the report on the run is committed and told (and, after
a reboot, until the machine is back and was looked at). Finding one means that the tick which began the run
did not bring it to its end. What it holds is added to and never renamed: a run that one version began,
another one finishes.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.planning.facts.observation import Change, Installed
from reconciler.planning.gates.types import BreakGlass, Step
from reconciler.planning.runs.execution import Instruction
from reconciler.planning.runs.hooks_and_health import CheckResult, HookResult
from reconciler.planning.runs.record import Announced, Ending, GatesAsked, PolicySeen, RunRecord, StepRecord
from reconciler.planning.text.layout import SCHEMA_VERSION, since
from reconciler.policy.documents import DEFAULTS, Settings
from reconciler.records import dataclass


class Phase(StrEnum):
    """How far a run has come."""

    INTENT = "intent"  # nothing was changed yet
    STEPS = "steps"  # a package manager was at work, or may have been
    ROLLING_BACK = "rolling-back"  # a package manager was at work, bringing back what was there before
    AFTER = "after"  # all steps are over: services, health, hooks, report
    REBOOTING = "rebooting"  # reported; the machine was told to reboot


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of the package manager, written down before it begins.

    Attributes:
        name: Of its folder; no other of the run has it.
        run: Whose folder that is in, where it is another run's: what could not be looked at when it ended is
            told by a run of its own.
    """

    name: str
    started: datetime
    run: str = since(2, "")


@dataclass(frozen=True, slots=True)
class Shift:
    """What is installed now and was not when the run began, and what was and is not.

    Attributes:
        gone: Entries of what was installed when the run began.
        come: Entries of what is installed now.
    """

    gone: tuple[Installed, ...] = ()
    come: tuple[Installed, ...] = ()

    @classmethod
    def between(cls, before: Iterable[Installed], now: Iterable[Installed]) -> "Shift":
        """Return what leads from ``before`` to ``now``."""
        old, new = dict.fromkeys(before), dict.fromkeys(now)
        return cls(tuple(one for one in old if one not in new), tuple(one for one in new if one not in old))

    def of(self, before: Iterable[Installed]) -> tuple[Installed, ...]:
        """Return what was installed when ``before`` had shifted so far."""
        gone = set(self.gone)
        return (*(one for one in before if one not in gone), *self.come)


@dataclass(frozen=True, slots=True)
class Journal:
    """One run that has begun.

    Attributes:
        run: Its id.
        boot_id: Of the system it began on.
        before: What was installed, with the operator's holds and marks.
        steps: What is to be done, in order.
        done: What became of the steps so far.
        current: Number of the step that is, or was, at work; counts from 0.
        exclude: What the resolver is told must not move, and in ``block`` what must not come in either.
        without: Ids of sources that nothing may come from.
        undo: What a rollback was to do.
        automatic: ``name:arch`` to be marked as automatic afterwards.
        settings: Of the policy it began under.
        lock_wait: How long to wait for the package database, as far as the window leaves time.
        facts: What its hooks are told in their environment.
        deadline: End of its window.
        health_before: What was asked and answered before the first step.
        hooks: What became of the host's own programs so far.
        rebooting_since: When the machine was told to reboot.
        notes: What is to be told in its record.
        schema: Of the file, see :mod:`reconciler.planning.text.layout`; files of version 1 do not say it.
        attempts: The executions of the step or rollback at hand, oldest first: the last one is, or may be, at
            work.
        policy: Which one the step at hand is made under.
        shift: How what was installed before the step at hand differs from ``before``.
        asked: What the gates were shown last.
        announced: The report that said what it is about to do.
        stopped: Why the remaining steps were not made, once that is known.
        record: What is known of how it ended: while it is rolled back, what is being undone; when all is
            over, the whole record, to be reported as it is.
        freeze: As in the record.
    """

    run: str
    digest: str
    policy_commit: str
    started: datetime
    boot_id: str
    manager: str
    before: tuple[Installed, ...]
    steps: tuple[Step, ...]
    phase: Phase = Phase.INTENT
    done: tuple[StepRecord, ...] = ()
    current: int = 0
    exclude: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    undo: tuple[Change, ...] = ()
    automatic: tuple[str, ...] = ()
    settings: Settings = DEFAULTS
    facts: tuple[tuple[str, str], ...] = ()
    lock_wait: timedelta = timedelta(0)
    deadline: datetime | None = None
    exceptional: BreakGlass | None = None
    health_before: tuple[CheckResult, ...] = ()
    hooks: tuple[HookResult, ...] = ()
    rebooting_since: datetime | None = None
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA_VERSION
    attempts: tuple[Attempt, ...] = since(2, ())
    policy: PolicySeen | None = since(2, None)
    without: tuple[str, ...] = since(2, ())
    shift: Shift = since(2, Shift())
    stopped: Ending | None = since(2, None)
    record: RunRecord | None = since(2, None)
    asked: GatesAsked | None = since(3, None)
    announced: Announced | None = since(3, None)
    freeze: str = since(3, "", is_left_out=True)

    @property
    def before_step(self) -> tuple[Installed, ...]:
        """What was installed when the step at hand began."""
        return self.shift.of(self.before)

    @property
    def transaction(self) -> tuple[Change, ...]:
        """All changes of all steps."""
        return tuple(change for step in self.steps for change in step.changes)

    @property
    def unfinished(self) -> Instruction:
        """What must be repaired where the step at work was interrupted."""
        changes = self.steps[self.current].changes if self.current < len(self.steps) else ()
        if self.phase is Phase.ROLLING_BACK:
            changes = self.undo
        return Instruction(
            changes,
            conffiles=self.settings.conffiles,
            lock_wait=self.lock_wait,
            automatic=self.automatic,
            rate=self.settings.rate,
        )


def legacy_attempt(journal: Journal) -> str:
    """Return the name of the execution at hand for a journal that holds none: older versions derived it."""
    if journal.phase is Phase.ROLLING_BACK:
        kinds = {change.to_version is None for change in journal.undo}
        return "rollback" if len(kinds) > 1 else "rollback-removals" if True in kinds else "rollback-changes"
    return f"step-{journal.current + 1}-{len(journal.done) + 1}" if journal.steps else "repair"
