"""What a report means for notifications: the snapshot that is compared with the one before."""

from datetime import UTC, datetime, timedelta

from reconciler.planning.account import Disposition
from reconciler.planning.conditions import WARNING
from reconciler.planning.events import Expiring, LastRun, Snapshot, troubles
from reconciler.planning.gate import GateName
from reconciler.planning.message import PackageLine
from reconciler.planning.report_document import Report


def snapshot_of(
    report: Report,
    *,
    action: str,
    announce: timedelta = timedelta(0),
    last_run: LastRun | None = None,
    missed_window: datetime | None = None,
) -> Snapshot:
    """Return what messages about the target of ``report`` are decided from.

    Args:
        report: As built at ``report.generated_at``.
        action: The policy's ``action``; a window is announced only where it is ``apply``.
        announce: The policy's ``announce``.
        last_run: The latest attempt to apply a plan.
        missed_window: Start of the window that passed last without the run it was for.
    """
    now = report.generated_at
    planned = packages_of(report)
    return Snapshot(
        at=now,
        target=report.target,
        mode=action,
        outcome=report.decision.outcome.value,
        reason=report.decision.reason,
        policy_commit=report.policy_commit,
        digest=report.plan.digest,
        planned=planned,
        pending=sum(update.disposition is not Disposition.PLANNED for update in report.plan.updates),
        needs_approval=bool(planned)
        and any(gate.gate is GateName.APPROVAL and gate.state == "closed" for gate in report.gates),
        troubles=troubles(report.conditions),
        reboot=report.reboot.need,
        reboot_reasons=report.reboot.reasons,
        boot_id=report.host.facts.boot_id,
        expiring=tuple(
            # The end is the first instant at which it holds no more.
            Expiring(each.name, (each.expires - timedelta(seconds=1)).astimezone(UTC).date().isoformat())
            for each in report.exceptions
            if not each.expired and each.expires <= now + WARNING
        ),
        announced=_announced(report, announce) if planned and action == "apply" else None,
        missed_window=missed_window,
        next_window=next((each.start for each in report.free_windows), None),
        last_run=last_run,
    )


def packages_of(report: Report) -> tuple[PackageLine, ...]:
    """Return the transaction of ``report`` as lines of a message, in its order."""
    security = report.plan.security_keys
    return tuple(
        PackageLine(move.name, move.arch, move.from_, move.to, (move.name, move.arch) in security)
        for move in report.plan.transaction
    )


def _announced(report: Report, announce: timedelta) -> datetime | None:
    """Return the start of the next free window, where its announcement is due and it has not begun."""
    now = report.generated_at
    upcoming = (each.start for each in report.free_windows if each.start > now)
    start = next(upcoming, None)
    return start if start is not None and start - announce <= now else None
