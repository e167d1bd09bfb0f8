"""A report in a few words: the counts, the headline, and the subject and trailers of its commit.

The headline tells what is wrong, worst first (:mod:`reconciler.planning.reporting.ailments`), then what is
pending. A target is called up to date only where nothing is wrong and nothing is left out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Literal

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.gates.types import Outcome
from reconciler.planning.reporting.ailments import ailments, is_known
from reconciler.planning.reporting.document import Counts, Report
from reconciler.planning.resolving.dispositions import Disposition, Update
from reconciler.planning.runs.record import NOT_SEEN, RunOutcome, RunRecord
from reconciler.planning.text.wording import plural, short_digest

SUBJECT_LENGTH = 72
"""Characters that a commit's subject should not exceed."""


def count(updates: Sequence[Update], now: datetime) -> Counts:
    """Count ``updates`` by what becomes of them, and those that are past their deadline at ``now``."""
    # What comes in new or goes for the sake of an update is none itself.
    offered = [
        update
        for update in updates
        if (update.installed is not None or update.replaces) and update.candidate is not None
    ]
    planned = [update for update in offered if update.disposition is Disposition.PLANNED]
    others = [update for update in updates if update.disposition is Disposition.PLANNED]
    fates = [update.disposition for update in offered]
    return Counts(
        updates=len(offered),
        security=sum(update.security for update in offered),
        pending=len(planned),
        pending_security=sum(update.security for update in planned),
        installs=sum(update.installed is None and not update.replaces for update in others),
        removals=sum(update.candidate is None for update in others),
        held=sum(_sort(fate) == "held" for fate in fates),
        waiting=sum(_sort(fate) == "waiting" for fate in fates),
        not_selected=sum(_sort(fate) == "not selected" for fate in fates),
        refused=sum(_sort(fate) == "refused" for fate in fates),
        overdue=sum(one.deadline is not None and one.deadline.at <= now for one in updates),
    )


def _sort(fate: Disposition) -> Literal["pending", "held", "waiting", "not selected", "refused"]:
    """Return what updates of this fate are counted as."""
    match fate:
        case Disposition.PLANNED:
            return "pending"
        case Disposition.HELD | Disposition.BLOCKED:
            return "held"
        case Disposition.TOO_YOUNG | Disposition.PHASED | Disposition.NOT_APPROVED:
            return "waiting"
        case Disposition.REMOVAL_REFUSED | Disposition.UNAVAILABLE:
            return "refused"
        case Disposition.NOT_SELECTED:
            return "not selected"


def headline(report: Report) -> str:
    """Sum up the report in a few words: ``5 updates pending (2 security), 1 held, reboot pending``.

    Names of packages may be in it: where it is shown, it is written as any text of a stranger.
    """
    return ", ".join(_parts(report))


def _parts(report: Report) -> tuple[str, ...]:
    """Return what the headline is made of, the most important first."""
    if report.host.gone:
        return (report.host.gone,)
    wrong = [ill.words for ill in ailments(report.conditions)]
    decided = _decided(report.decision.outcome)
    if decided and not any(words.startswith(decided) for words in wrong):
        wrong.insert(0, decided)
    wrong += _outside(report)
    left = list(_left(report))
    if not wrong and not left:
        left.append("up to date" if is_known(report.conditions) else "no update known")
    reboot = ["reboot pending"] if report.reboot.need is RebootNeed.REQUIRED else []
    return tuple(chain(wrong, left, reboot))


def _outside(report: Report) -> list[str]:
    """Say that something was changed by hand, which is to be read before what is merely pending."""
    return [f"{plural(report.outside, 'change')} outside of runs"] if report.outside else []


def _decided(outcome: Outcome) -> str:
    """Return the word of an outcome that a headline names although no condition may tell of it."""
    match outcome:
        case (
            Outcome.PAUSED
            | Outcome.POLICY_STALLED
            | Outcome.NEEDS_UPGRADE
            | Outcome.POLICY_STALE
            | Outcome.CLOCK
            | Outcome.CANNOT_RESOLVE
            | Outcome.METADATA_STALE
            | Outcome.NO_SPACE
            | Outcome.ALREADY_FAILED
        ):
            return str(outcome)
        case (
            Outcome.APPLY
            | Outcome.NOTHING
            | Outcome.PLAN_ONLY
            | Outcome.DOWNLOAD_ONLY
            | Outcome.UNHEALTHY  # What is unhealthy is named by its conditions.
            | Outcome.LOCKED
            | Outcome.INHIBITED
            | Outcome.WINDOW
            | Outcome.BUDGET
            | Outcome.FREEZE
            | Outcome.ROLLOUT
            | Outcome.APPROVAL
            | Outcome.CONCURRENCY
        ):
            return ""


def _left(report: Report) -> Iterator[str]:
    """Yield what is pending and what is left out; what is in quarantine is told as wrong already."""
    counts = report.counts
    failed = sum(map(_failed_before, report.plan.updates))
    secure = Counter(
        _sort(update.disposition)
        for update in report.plan.updates
        if update.security and not _failed_before(update)
    )
    named = [
        (counts.installs, "to install", 0),
        (counts.removals, "to remove", 0),
        (counts.held - failed, "held", secure["held"]),
        (counts.waiting, "waiting", secure["waiting"]),
        (counts.refused, "refused", secure["refused"]),
        (counts.not_selected, "not selected", secure["not selected"]),
    ]
    if counts.pending:
        yield f"{plural(counts.pending, 'update')} pending{_of_security(counts.pending_security)}"
    yield from (f"{number} {words}{_of_security(fixes)}" for number, words, fixes in named if number > 0)


def _failed_before(update: Update) -> bool:
    return any(reason.code in {"failed-before", "not-fetched"} for reason in update.reasons[:1])


def _of_security(number: int) -> str:
    return f" ({number} security)" if number else ""


def decided(report: Report) -> str:
    """Say what was decided and why, after what is wrong: ``window: outside the windows of nightly``.

    In a freeze that lets security updates through, of these.
    """
    leading = report.leading
    decision = leading.decision
    wrong = [ill.words for ill in ailments(report.conditions) if ill.words != decision.outcome]
    which = "" if leading is report else "security updates alone, "
    return "; ".join((*wrong[:1], f"{which}{decision.outcome}: {decision.reason}"))


def subject(report: Report) -> str:
    """Return the subject of the report's commit: target and headline, less detail where it gets too long."""
    return _fitting(report.target, _parts(report))


def heartbeat_subject(report: Report) -> str:
    """Return the subject of a commit that says nothing but that the host is alive and all is as it was."""
    return _fitting(report.target, ("nothing new", *_parts(report)))


def heartbeat_trailers(report: Report) -> dict[str, str]:
    """Return the trailers of such a commit: what its files, which are older, cannot say of the present."""
    return {
        **trailers(report),
        "Inventory": short_digest(report.inventory),
        "Program": report.program,
    }


def _fitting(target: str, parts: Sequence[str]) -> str:
    """Return as many of ``parts`` as fit into a subject, the first one in any case."""
    whole = f"{target}: {', '.join(parts)}"
    while len(whole) > SUBJECT_LENGTH and len(parts) > 1:
        parts = parts[:-1]
        whole = f"{target}: {', '.join(parts)}"
    return whole


def run_headline(record: RunRecord) -> str:
    """Sum a run up in a few words: ``applied 5 changes``, ``failed, 4 of 5 changes made``."""
    made = len(record.difference.changed)
    changes = plural(made, "change")
    words = f"{record.outcome}, {changes}"  # A newer release may know of more outcomes.
    match record.outcome:
        case RunOutcome.APPLIED:
            words = f"applied {changes}"
        case RunOutcome.REBOOTED:
            words = "rebooted"
        case RunOutcome.REPAIRED:
            words = "repaired what was left half done"
        case RunOutcome.PARTIAL:
            words = f"applied {changes}, the rest waits"
        case RunOutcome.ROLLED_BACK:
            words = f"rolled back, {changes} left"
        case RunOutcome.FAILED | RunOutcome.INTERRUPTED:
            words = f"{record.outcome}, {_how_far(record)}"
        case RunOutcome.DEFERRED | RunOutcome.VETOED | RunOutcome.PLAN_CHANGED:
            words = f"{record.outcome}, nothing was changed"
    return words


def went_well(outcome: RunOutcome) -> bool:
    """Say whether a run did what it was to do, or left the machine as it was for a reason."""
    match outcome:
        case (
            RunOutcome.APPLIED
            | RunOutcome.REPAIRED
            | RunOutcome.REBOOTED
            | RunOutcome.PARTIAL
            | RunOutcome.DEFERRED
            | RunOutcome.VETOED
            | RunOutcome.PLAN_CHANGED
        ):
            return True
        case RunOutcome.FAILED | RunOutcome.INTERRUPTED | RunOutcome.ROLLED_BACK:
            return False


def _how_far(record: RunRecord) -> str:
    """Say how much of its plan a run made: also of the steps that had not begun, which have no record."""
    if record.code == NOT_SEEN:
        return "what was changed is not known"
    found = record.difference
    unplanned = set(found.unplanned)
    planned = {(one.package, one.to) for one in (*found.changed, *found.missing) if one not in unplanned}
    number = max(len(planned), sum(len(step.changes) for step in record.steps))
    made = len(found.changed) if record.rollback is not None else number - len(found.missing)
    half = f", {len(found.broken)} half done" if found.broken else ""
    if record.outcome is RunOutcome.FAILED and made == number and made and not half:
        # What failed is something else, such as a check: "3 of 3 made" alone would read as success.
        return f"though all of {plural(number, 'change')} {'was' if number == 1 else 'were'} made"
    return f"{made} of {plural(number, 'change')} made{half}"


def run_subject(report: Report, record: RunRecord) -> str:
    """Return the subject of the commit that reports a run: ``web-01: applied 5 updates, reboot pending``.

    What is wrong with the target after it is told as well.
    """
    security = len({str(move.package) for move in record.difference.changed} & set(record.security))
    parts = [run_headline(record) + (f" ({security} security)" if security else "")]
    parts += [ill.words for ill in ailments(report.conditions)]
    parts += _outside(report)
    if report.reboot.need is RebootNeed.REQUIRED:
        parts.append("reboot pending")
    return _fitting(report.target, parts)


def trailers(report: Report, run: str = "") -> dict[str, str]:
    """Return the trailers of the report's commit, in order; ``run`` is the id of a run that did something."""
    every = {
        "Host": report.target,
        "Policy-Commit": report.policy_commit,
        "Plan": short_digest(report.plan.digest),
        "Run": run,
        "Outcome": str(report.decision.outcome),
        "Previous": _elsewhere(report),
    }
    return {name: value for name, value in every.items() if value}


def _elsewhere(report: Report) -> str:
    """Return ``REMOTE@COMMIT`` of the last report where that is in another repository, else nothing."""
    last = report.previous
    return "" if last is None or not last.remote else f"{last.remote}@{last.commit}"
