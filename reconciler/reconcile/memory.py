"""What is remembered of a look and of a run: rules about :class:`State` alone, without files or clock."""

from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.planning.facts.observation import Observation, Quarantined, RefreshOutcome
from reconciler.planning.facts.unneeded import UnneededSeen
from reconciler.planning.gates.types import FailedApply
from reconciler.planning.notices.events import Event, LastRun, PastRun, Route
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.missed_windows import refused, served
from reconciler.planning.resolving.unneeded import done_by, seen_after
from reconciler.planning.runs.costs import measured
from reconciler.planning.runs.journal import Phase
from reconciler.planning.runs.record import (
    PASSING,
    RunOutcome,
    RunRecord,
    RunResult,
    quarantine_of,
    result_of,
)
from reconciler.policy.documents import Settings
from reconciler.policy.resolve import Effective
from reconciler.reconcile.apply import Performed
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.ports.state import State

_REMEMBERED = 100
"""How many past reboots and applied plans are remembered: more than any window or approval is about."""
_COUNTED = timedelta(days=2)
"""How long it is remembered that a package could not be fetched: longer than any pause between two tries."""
_RECENT = timedelta(days=15)
"""How long runs are remembered for the weekly digest: it is about the week before, and may come late."""


def after_look(state: State, assessment: Assessment) -> State:
    """Return what must be remembered of a look."""
    observation, acceptance = assessment.finding.recording.observation, assessment.in_force.acceptance
    refreshed = observation.refresh.outcome is RefreshOutcome.REFRESHED and not assessment.is_clock_wrong
    return replace(
        state,
        accepted="" if acceptance is None else acceptance.commit,
        floor="" if acceptance is None else acceptance.floor,
        is_verified=acceptance is not None and acceptance.is_verified,
        signed=() if acceptance is None else acceptance.signed,
        enrolled=assessment.finding.recording.enrolled,
        beginning="" if acceptance is None else assessment.in_force.beginning,
        refreshed_at=assessment.report.generated_at if refreshed else state.refreshed_at,
        missing=observation.refresh.missing,
        # A date by a wrong clock would stand for as long as the version is on offer.
        first_seen=state.first_seen if assessment.is_clock_wrong else observation.first_seen,
        quarantine=_kept(state, observation, assessment.report.generated_at),
        routes=state.routes
        if assessment.finding.effective is None
        else routes_of(assessment.finding.effective),
        watch=assessment.watch,
        unneeded=_unneeded(state, assessment),
    )


def _unneeded(state: State, assessment: Assessment) -> UnneededSeen | None:
    recording, effective = assessment.finding.recording, assessment.finding.effective
    if effective is None:
        return state.unneeded
    return seen_after(recording.observation, recording.exchanges, effective)


def after_run(state: State, performed: Performed, log_excerpt: str) -> State:
    """Return what must be remembered of a run.

    Args:
        state: Before it.
        performed: What it came to.
        log_excerpt: What the package manager said, for the message that tells of it.
    """
    record = performed.record
    after = performed.after
    failed = quarantine_of(
        record,
        performed.journal.before,
        after.installed,
        lists=after.lists,
        earlier=state.quarantine,
        unused=(one for one in performed.journal.transaction if one.unused),
    )
    known = {one.key: one for one in (*state.quarantine, *failed)}
    used = state.used
    if record.outcome is RunOutcome.APPLIED:
        # Told only once also where the run is taken over by the tick after it.
        used = tuple(dict.fromkeys((*used, record.digest)))[-_REMEMBERED:]
    result = result_of(record.outcome)
    recent = [one for one in state.recent if one.at > record.started - _RECENT]
    if result is not None and _past_run(record) not in recent:
        recent.append(_past_run(record))
    watch = refused(state.watch, record.started, record.reason)
    if _has_used_window(record.outcome):
        watch = served(state.watch, record.started)
    is_reboot = performed.journal.phase is Phase.REBOOTING
    unrepaired = repair_token(performed.after, record.policy_commit)
    return replace(
        state,
        quarantine=tuple(known[key] for key in sorted(known)),
        # Whether a machine came back says nothing of a plan.
        failed=state.failed if is_reboot else _failed_last(state.failed, record, performed.after),
        used=used,
        # A run repairs what it leaves half done as far as it can be: it is not tried again on the same state.
        repaired=unrepaired if performed.after.health.interrupted else state.repaired,
        last_run=state.last_run if result is None else _last_run(record, result, log_excerpt),
        recent=tuple(recent[-_REMEMBERED:]),
        took=measured(record.steps, performed.journal.transaction, state.took),
        watch=watch,
        unneeded=done_by(state.unneeded, record.run) if record.difference.changed else state.unneeded,
    )


def _kept(state: State, seen: Observation, now: datetime) -> tuple[Quarantined, ...]:
    """Return what is left alone, and what was since it could not be fetched, which has been counted."""
    standing = {one.package for one in seen.quarantined if not one.is_removal}
    there = {(one.package, one.version) for one in seen.installed}
    over = (
        one
        for one in state.quarantine
        if one.until is not None
        and one.package not in standing
        and (one.package, one.version) not in there
        and now < one.until + _COUNTED
    )
    return tuple(sorted((*seen.quarantined, *over), key=lambda one: one.key))


def rebooting(state: State, now: datetime) -> State:
    """Return what must be remembered of a reboot that is asked for at ``now``."""
    return replace(state, reboots=(*state.reboots, now)[-_REMEMBERED:])


def repair_token(seen: Observation, policy_commit: str) -> str:
    """Return what must change before a repair that failed is tried again."""
    return "@".join(filter(None, (seen.database, policy_commit, seen.hooks)))


def routes_of(effective: Effective | None) -> tuple[Route, ...]:
    """Return who hears of what by the policy; nobody while there is none."""
    settings = Settings() if effective is None else effective.settings
    return tuple(Route(route.to, frozenset(map(Event, route.on))) for route in settings.notify)


def _has_used_window(outcome: RunOutcome) -> bool:
    """Say whether a run that ended so is what a window was for."""
    match outcome:
        case (
            RunOutcome.APPLIED
            | RunOutcome.PARTIAL
            | RunOutcome.FAILED
            | RunOutcome.ROLLED_BACK
            | RunOutcome.INTERRUPTED
        ):
            return True
        case (
            RunOutcome.REPAIRED
            | RunOutcome.REBOOTED
            | RunOutcome.DEFERRED
            | RunOutcome.VETOED
            | RunOutcome.PLAN_CHANGED
        ):
            return False


def _failed_last(before: FailedApply | None, record: RunRecord, after: Observation) -> FailedApply | None:
    """Return the last plan that failed and was not applied since."""
    match record.outcome:
        case RunOutcome.APPLIED:
            return None
        case RunOutcome.FAILED | RunOutcome.ROLLED_BACK if record.code not in PASSING:
            failed = FailedApply(record.digest, record.policy_commit, after.database, record.ended)
            return _refused(before, failed, record, after) if record.hook_against else failed
        case (
            RunOutcome.FAILED
            | RunOutcome.ROLLED_BACK
            | RunOutcome.REBOOTED
            | RunOutcome.REPAIRED
            | RunOutcome.PARTIAL
            | RunOutcome.INTERRUPTED
            | RunOutcome.VETOED
            | RunOutcome.PLAN_CHANGED
            | RunOutcome.DEFERRED
        ):
            return before


def _refused(
    before: FailedApply | None, failed: FailedApply, record: RunRecord, after: Observation
) -> FailedApply:
    """Return what is remembered of a plan that a hook was against, once more where it was before."""
    is_once_more = before is not None and (before.digest, before.policy_commit, before.database) == (
        failed.digest,
        failed.policy_commit,
        failed.database,
    )
    attempts = before.attempts if before is not None and is_once_more else 0
    return replace(failed, hooks=after.hooks, attempts=attempts + 1, reason=record.hook_against)


def _past_run(record: RunRecord) -> PastRun:
    changed = record.difference.changed
    return PastRun(
        record.started,
        record.outcome.value,
        len(changed),
        sum(str(move.package) in record.security for move in changed),
        record.reason,
    )


def _last_run(record: RunRecord, result: RunResult, log_excerpt: str) -> LastRun:
    return LastRun(
        run=record.run,
        result=result,
        digest=record.digest,
        code=record.code,
        reason=record.reason,
        packages=tuple(
            PackageLine(move.name, move.arch, move.from_, move.to, str(move.package) in record.security)
            for move in record.difference.changed
        ),
        overran=record.overran,
        log_excerpt=log_excerpt,
    )
