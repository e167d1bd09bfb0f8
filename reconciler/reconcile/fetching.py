"""Packages are fetched before their window opens, where only time and people stand against the plan."""

from collections.abc import Container

from reconciler.planning.facts.patience import is_waited_for
from reconciler.planning.gates.recording import Ruling
from reconciler.planning.gates.types import Apply, Closed, Outcome
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.execution import Unfetched
from reconciler.planning.runs.old_first import old_first
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.metering import is_kept_from_fetching
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.ports.target import Clock


def to_fetch(assessment: Assessment, state: State, clock: Clock) -> Ruling | None:
    """Return the plan of ``assessment`` whose packages are to be fetched ahead now; ``None`` for nothing.

    In a freeze that lets security updates through there are two: theirs comes first, by which the run of that
    freeze is meant, and what waits for its end after it: not before what can be applied now is applied.

    Args:
        assessment: That is reported.
        state: Says what was fetched already, and what could not be.
        clock: Asked only where something could not be fetched.
    """
    finding, last = assessment.finding, state.unfetched
    rulings = finding.judged.rulings
    inputs = finding.recording.inputs
    if isinstance(assessment.leading.decision, Apply):
        return None  # Its window may be over by the time that the rest has come.
    if not finding.recording.observation.privileged or inputs.settings.action == "plan":
        return None
    if is_kept_from_fetching(inputs):
        return None
    is_known = last is not None and last.what in {_what_to_fetch(assessment, one) for one in rulings}
    if is_known and last is not None and is_waited_for(last.again, clock.now()):
        return None
    return next((one for one in rulings if _is_due(one, state.downloaded.split())), None)


def _is_due(ruling: Ruling, downloaded: Container[str]) -> bool:
    closed = {gate.outcome for gate in ruling.gates if isinstance(gate, Closed)}
    return (
        # What only goes is not fetched.
        bool(old_first(ruling.plan.transaction)[1])
        and ruling.plan.digest not in downloaded
        and bool(closed)
        and all(map(_may_download, closed))
    )


def fetched(assessment: Assessment, ruling: Ruling, state: State) -> str:
    """Return what must be remembered of packages that were fetched: of which plans of the moment they are."""
    before = state.downloaded.split()
    kept = [one.plan.digest for one in assessment.finding.judged.rulings if one.plan.digest in before]
    return " ".join(dict.fromkeys((*kept, ruling.plan.digest)))


def _what_to_fetch(assessment: Assessment, ruling: Ruling) -> str:
    """Name a plan of ``assessment`` and the lists that it is by."""
    published = [one.published for one in assessment.finding.recording.observation.sources if one.published]
    return f"{ruling.plan.digest}@{max(published, default='')}"


def once_more(assessment: Assessment, ruling: Ruling, last: Unfetched | None, message: str) -> Unfetched:
    """Return what must be remembered of packages that could not be fetched, now once more."""
    what = _what_to_fetch(assessment, ruling)
    before = last.attempts if last is not None and last.what == what else 0
    return Unfetched(what, assessment.report.generated_at, before + 1, message)


def still_unfetched(assessment: Assessment, state: State) -> Assessment:
    """Return ``assessment`` with what is known of packages that could not be fetched ahead."""
    last, rulings = state.unfetched, assessment.finding.judged.rulings
    if last is None or last.what not in {_what_to_fetch(assessment, one) for one in rulings}:
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
