"""A report in a few words: the counts, the headline, and the subject and trailers of its commit."""

from collections.abc import Sequence

from reconciler.planning.account import Disposition, Update
from reconciler.planning.gate import Outcome
from reconciler.planning.observation import RebootNeed
from reconciler.planning.report_document import Counts, Report
from reconciler.planning.run_record import NOT_SEEN, RunOutcome, RunRecord
from reconciler.planning.wording import plural, short_digest

SUBJECT_LENGTH = 72
"""Characters that a commit's subject should not exceed."""

_HELD = frozenset({Disposition.HELD, Disposition.BLOCKED})
_WAITING = frozenset({Disposition.TOO_YOUNG, Disposition.PHASED, Disposition.NOT_APPROVED})
_REFUSED = frozenset({Disposition.REMOVAL_REFUSED, Disposition.UNAVAILABLE})


def count(updates: Sequence[Update]) -> Counts:
    """Count ``updates`` by what becomes of them."""
    offered = [update for update in updates if update.installed is not None and update.candidate is not None]
    planned = [update for update in offered if update.disposition is Disposition.PLANNED]
    others = [update for update in updates if update.disposition is Disposition.PLANNED]
    return Counts(
        updates=len(offered),
        security=sum(update.security for update in offered),
        pending=len(planned),
        pending_security=sum(update.security for update in planned),
        installs=sum(update.installed is None for update in others),
        removals=sum(update.candidate is None for update in others),
        held=sum(update.disposition in _HELD for update in offered),
        waiting=sum(update.disposition in _WAITING for update in offered),
        not_selected=sum(update.disposition is Disposition.NOT_SELECTED for update in offered),
        refused=sum(update.disposition in _REFUSED for update in offered),
    )


_TELLING = frozenset(
    {Outcome.POLICY_STALLED, Outcome.NEEDS_UPGRADE, Outcome.POLICY_STALE, Outcome.CLOCK, Outcome.UNHEALTHY}
    | {Outcome.METADATA_STALE, Outcome.NO_SPACE, Outcome.ALREADY_FAILED, Outcome.PAUSED}
)
"""Outcomes that a subject names."""


def headline(report: Report) -> str:
    """Sum up the report in a few words: ``5 updates pending (2 security), 1 held, reboot pending``."""
    counts = report.counts
    parts = [str(report.decision.outcome)] if report.decision.outcome in _TELLING else []
    if counts.pending:
        security = f" ({counts.pending_security} security)" if counts.pending_security else ""
        parts.append(f"{plural(counts.pending, 'update')} pending{security}")
    named = [
        (counts.installs, "to install"),
        (counts.removals, "to remove"),
        (counts.held, "held"),
        (counts.waiting, "waiting"),
        (counts.refused, "refused"),
        (counts.not_selected, "not selected"),
    ]
    parts += [f"{number} {words}" for number, words in named if number]
    if not parts:
        is_stale = any(one.type == "MetadataStale" and one.status is not False for one in report.conditions)
        parts.append("no update known" if is_stale else "up to date")
    if report.reboot.need is RebootNeed.REQUIRED:
        parts.append("reboot pending")
    return ", ".join(parts)


def subject(report: Report) -> str:
    """Return the subject of the report's commit: target and headline, less detail where it gets too long."""
    return _fitting(report.target, headline(report))


def _fitting(target: str, words: str) -> str:
    whole = f"{target}: {words}"
    while len(whole) > SUBJECT_LENGTH and ", " in whole:
        whole = whole.rpartition(", ")[0]
    return whole


def run_headline(record: RunRecord) -> str:
    """Sum a run up in a few words: ``applied 5 changes``, ``failed, 4 of 5 changes made``."""
    made = len(record.difference.changed)
    changes = plural(made, "change")
    words = {
        RunOutcome.APPLIED: f"applied {changes}",
        RunOutcome.REBOOTED: "rebooted",
        RunOutcome.REPAIRED: "repaired what was left half done",
        RunOutcome.PARTIAL: f"applied {changes}, the rest waits",
        RunOutcome.ROLLED_BACK: f"rolled back, {changes} left",
    }
    if record.outcome in words:
        return words[record.outcome]
    if record.outcome in {RunOutcome.FAILED, RunOutcome.INTERRUPTED}:
        return f"{record.outcome}, {_how_far(record)}"
    return f"{record.outcome}, nothing was changed"


def _how_far(record: RunRecord) -> str:
    """Say how much of its plan a run made: also of the steps that had not begun, which have no record."""
    if record.code == NOT_SEEN:
        return "what was changed is not known"
    found = record.difference
    unplanned = set(found.unplanned)
    planned = {(one.package, one.to) for one in (*found.changed, *found.missing) if one not in unplanned}
    number = max(len(planned), sum(len(step.changes) for step in record.steps))
    made = len(found.changed) if record.rollback is not None else number - len(found.missing)
    return f"{made} of {plural(number, 'change')} made"


def run_subject(report: Report, record: RunRecord) -> str:
    """Return the subject of the commit that reports a run: ``web-01: applied 5 updates, reboot pending``."""
    security = len({str(move.package) for move in record.difference.changed} & set(record.security))
    parts = [run_headline(record) + (f" ({security} security)" if security else "")]
    if report.reboot.need is RebootNeed.REQUIRED:
        parts.append("reboot pending")
    return _fitting(report.target, ", ".join(parts))


def trailers(report: Report, run: str = "") -> dict[str, str]:
    """Return the trailers of the report's commit, in order; ``run`` is the id of a run that did something."""
    every = {
        "Host": report.target,
        "Policy-Commit": report.policy_commit,
        "Plan": short_digest(report.plan.digest),
        "Run": run,
        "Outcome": str(report.decision.outcome),
    }
    return {name: value for name, value in every.items() if value}
