"""What a run came to, by what was installed before it and after it, and not by its own word."""

from collections.abc import Iterator

from reconciler.planning.audit.of_runs import RunCase
from reconciler.planning.audit.story import Unread
from reconciler.planning.audit.verdicts import Against
from reconciler.planning.gates.recording import Recording
from reconciler.planning.runs.record import (
    NOT_SEEN,
    RunOutcome,
    conclude_steps,
    difference,
    outcome_of,
)
from reconciler.planning.text.wording import listed

_LEFT = frozenset({RunOutcome.PARTIAL, RunOutcome.DEFERRED, RunOutcome.PLAN_CHANGED, RunOutcome.VETOED})
"""Of a run that did not do all of its plan."""


def outcome(case: RunCase) -> Iterator[Against]:
    """Ask for an outcome that fits what is installed afterwards."""
    if outcome_of(case.record.outcome) is None:
        yield case.unproved("outcome", f"this version knows no outcome {case.record.outcome}")
        return
    if isinstance(case.built, Unread) or not isinstance(case.recording, Recording):
        return
    if case.record.outcome is RunOutcome.APPLIED:
        yield from _as_applied(case, case.recording)
    elif _did_all(case):
        said = f"all that was planned is there, and it is told as {case.record.outcome}"
        yield case.unproved("outcome", said)


def _as_applied(case: RunCase, before: Recording) -> Iterator[Against]:
    record, manager = case.record, before.observation.manager
    ending = conclude_steps(record.steps, record.difference, None, manager)
    if ending.outcome is not RunOutcome.APPLIED or record.unhealthy:
        said = ending.reason or "the host was not healthy afterwards"
        yield case.differs("outcome", f"it is told as applied, and {said}")
        return
    after = case.story.recordings(case.link.recording)
    if isinstance(after, Unread) or isinstance(case.built, Unread):
        return
    plan = case.built.ruling.plan.transaction
    found = difference(before.observation.installed, after.observation.installed, plan, manager)
    if found.missing:
        names = listed([str(move.package) for move in found.missing], 3)
        said = f"it is told as applied, and what was planned of {names} is not there"
        # Between the run and the report on it others may have changed it.
        is_alone = not after.changed_outside and len(case.link.runs) == 1
        yield (case.differs if is_alone else case.unproved)("outcome", said)


def _did_all(case: RunCase) -> bool:
    """Say whether all that was planned was done, and nothing but the outcome says otherwise."""
    record = case.record
    if isinstance(case.built, Unread) or record.unhealthy or record.rollback is not None:
        return False
    is_told = record.outcome in _LEFT or (record.outcome is RunOutcome.FAILED and record.code != NOT_SEEN)
    planned = {change.transition for change in case.built.ruling.plan.transaction}
    moved = {move.transition for move in record.difference.changed}
    is_good = not (record.difference.missing or record.difference.broken)
    return is_told and is_good and bool(planned) and planned <= moved
