"""Packages are fetched before their window opens, where only time and people stand against the plan."""

from reconciler.planning.facts.patience import is_waited_for
from reconciler.planning.gates.types import Closed, Outcome
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.execution import Unfetched
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.ports.target import Clock


def is_due(assessment: Assessment, state: State, clock: Clock) -> bool:
    """Say whether the packages of the plan of ``assessment`` are to be fetched ahead now.

    Args:
        assessment: That is reported.
        state: Says what was fetched already, and what could not be.
        clock: Asked only where something could not be fetched.
    """
    finding, last = assessment.finding, state.unfetched
    closed = {gate.outcome for gate in finding.judged.gates if isinstance(gate, Closed)}
    return (
        finding.recording.inputs.settings.action != "plan"
        and bool(finding.judged.plan.transaction)
        and finding.recording.observation.privileged
        and finding.judged.plan.digest != state.downloaded
        and (
            last is None
            or last.what != _what_to_fetch(assessment)
            or not is_waited_for(last.again, clock.now())
        )
        and bool(closed)
        and all(map(_may_download, closed))
    )


def _what_to_fetch(assessment: Assessment) -> str:
    """Name the plan of ``assessment`` and the lists that it is by."""
    published = [one.published for one in assessment.finding.recording.observation.sources if one.published]
    return f"{assessment.finding.judged.plan.digest}@{max(published, default='')}"


def once_more(assessment: Assessment, last: Unfetched | None, message: str) -> Unfetched:
    """Return what must be remembered of packages that could not be fetched, now once more."""
    what = _what_to_fetch(assessment)
    before = last.attempts if last is not None and last.what == what else 0
    return Unfetched(what, assessment.report.generated_at, before + 1, message)


def still_unfetched(assessment: Assessment, state: State) -> Assessment:
    """Return ``assessment`` with what is known of packages that could not be fetched ahead."""
    last = state.unfetched
    if last is None or last.what != _what_to_fetch(assessment):
        return assessment
    said = f"the packages of the plan could not be fetched ahead: {last.message}"
    return assessment.telling(
        Condition(ConditionType.PACKAGES_NOT_FETCHED, True, "DownloadFailed", said)
    ).again_at(last.again)


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
