"""What a report means for notifications: the snapshot that is compared with the one before."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from reconciler.planning.facts.observation import Quarantined
from reconciler.planning.gates.types import GateName
from reconciler.planning.notices.events import (
    Event,
    Expiring,
    LastRun,
    Late,
    PastRun,
    Snapshot,
    Trouble,
    Whereabouts,
    troubles,
)
from reconciler.planning.notices.message import PackageLine
from reconciler.planning.notices.missed_windows import MissedWindow
from reconciler.planning.reporting.by_clock import by_its_clock
from reconciler.planning.reporting.document import ExceptionState, OutsideMove, Report
from reconciler.planning.reporting.overdue import overdue
from reconciler.planning.resolving.conditions import WARNING
from reconciler.planning.resolving.dispositions import ConditionType, Disposition, Update
from reconciler.planning.text.wording import listed
from reconciler.policy.zones import on_the_wall, shifted, zone_or_utc

_NEXT_WINDOWS = 3
_NAMED = 8
"""Packages that are named for one reason why they wait; the others are counted."""
_REASONS = 20
_NAMED_OUTSIDE = 50


def snapshot_of(
    report: Report,
    *,
    action: str,
    announce: timedelta = timedelta(0),
    last_run: LastRun | None = None,
    missed: MissedWindow | None = None,
    recent: tuple[PastRun, ...] = (),
    outside: tuple[str, ...] = (),
    set_aside: Iterable[Quarantined] = (),
    branch: str = "",
    commit: str = "",
) -> Snapshot:
    """Return what messages about the target of ``report`` are decided from.

    Args:
        report: As built at ``report.generated_at``.
        action: The policy's ``action``; a window is announced only where it is ``apply``.
        announce: The policy's ``announce``.
        last_run: The latest attempt to apply a plan.
        missed: The window that passed last without the run it was for.
        recent: The runs of the last two weeks, oldest first.
        outside: What no run changed and is to be told.
        set_aside: What is remembered of versions that were left alone, also where that is over.
        branch: Of the target's reports.
        commit: Of the report, empty where none is committed.
    """
    whole = by_its_clock(report)
    # What is told of a plan is told of the one that the next run makes real.
    report = whole.leading
    now = report.generated_at
    planned = packages_of(report)
    return Snapshot(
        at=now,
        target=report.target_id,
        mode=action,
        outcome=report.decision.outcome.value,
        reason=report.decision.reason,
        policy_commit=report.policy_commit,
        digest=report.plan.digest,
        planned=planned,
        pending=sum(update.disposition is not Disposition.PLANNED for update in report.plan.updates),
        needs_approval=bool(planned)
        and any(gate.gate is GateName.APPROVAL and gate.state == "closed" for gate in report.gates),
        troubles=_with_awaited(troubles(report.conditions), report, set_aside),
        reboot=report.reboot.need,
        reboot_reasons=report.reboot.reasons,
        boot_id=report.host.facts.boot_id,
        expiring=tuple(
            _expiring(each, report.timezone)
            for each in report.exceptions
            if not each.expired and each.expires <= shifted(now, WARNING)
        ),
        announced=_announced(report, announce) if planned and action == "apply" else None,
        missed=missed,
        next_windows=tuple(each.start for each in report.free_windows if each.start > now)[:_NEXT_WINDOWS],
        last_run=last_run,
        recent=recent,
        waits=_waits(whole),
        outside=outside,
        open_until=max(
            (each.end for each in report.free_windows if each.start <= now < each.end), default=None
        ),
        is_used_up=report.is_used_up,
        place=Whereabouts(report.timezone, branch, commit, report.policy.ref, report.host.called),
        overdue=tuple(Late(str(each.update.package), each.name, each.sentence) for each in overdue(whole)),
    )


def _expiring(exception: ExceptionState, timezone: str) -> Expiring:
    """Return what is told of an exception, with the last day it holds by the clock of its readers."""
    # The end is the first instant at which it holds no more.
    last = on_the_wall(shifted(exception.expires, -timedelta(seconds=1)), zone_or_utc(timezone)).date()
    reason = ", ".join(filter(None, (exception.reason, exception.owner, exception.ticket)))
    return Expiring(
        exception.name, last.isoformat(), exception.action, exception.patterns, reason, exception.origin
    )


def _with_awaited(
    found: tuple[Trouble, ...], report: Report, set_aside: Iterable[Quarantined]
) -> tuple[Trouble, ...]:
    """Add what could not be fetched and is about to be tried again: it is over once it is installed."""
    kind = ConditionType.PACKAGES_QUARANTINED
    coming = {(move.package, move.to) for move in report.plan.transaction}
    awaited = [
        f"{report.name_of(one.package)} {one.version}: {one.message}"
        for one in set_aside
        if one.until is not None and (one.package, one.version) in coming
    ]
    if not awaited or any(one.kind == kind for one in found):
        return found
    said = f"could not be fetched, and is tried again: {listed(awaited)}"
    return tuple(
        sorted((*found, Trouble(Event.FAILED, kind, said)), key=lambda each: (each.event, each.code))
    )


def packages_of(report: Report) -> tuple[PackageLine, ...]:
    """Return the transaction of ``report`` as lines of a message, what fixes security first."""
    security = report.plan.security_keys
    return tuple(
        PackageLine(move.name, move.arch, move.from_, move.to, move.package in security)
        for move in report.plan.in_reading_order
    )


def told_outside(report: Report) -> tuple[str, ...]:
    """Return what ``report`` says was changed outside of runs, a line for each, the first ones where many."""
    name = report.name_of
    return tuple(
        f"{name(one.package)} {one.from_ or '(new)'} → {one.to or '(gone)'}"
        if one.from_ != one.to
        else f"{name(one.package)} {one.to}: {_mark(one)}"
        for one in report.changed_outside[:_NAMED_OUTSIDE]
    ) + ((f"{report.outside - _NAMED_OUTSIDE} more",) if report.outside > _NAMED_OUTSIDE else ())


def _mark(change: OutsideMove) -> str:
    match change.action:
        case "hold":
            return "held"
        case "release":
            return "not held any more"
        case _:
            return change.status


def _waits(report: Report) -> tuple[str, ...]:
    """Return why updates are not planned, the commonest reason first, with the packages that wait for it.

    Those that fix security come first, since not all are named.
    """
    waiting: dict[str, list[str]] = {}
    name = report.name_of
    for update, why in sorted(_left_behind(report), key=lambda one: not one[0].security):
        if why:
            mark = " [security]" if update.security else ""
            waiting.setdefault(why, []).append(f"{name(update.package)}{mark}")
    order = sorted(waiting, key=lambda why: (-len(waiting[why]), why))
    return tuple(f"{listed(waiting[why], _NAMED)}: {why}" for why in order[:_REASONS])


def _left_behind(report: Report) -> Iterator[tuple[Update, str]]:
    """Yield each update that the next run leaves behind, and why.

    What a freeze keeps out of its security plan waits for the end of that, whatever the plan says of it.
    """
    leading = report.leading
    comes = {move.package for move in leading.plan.transaction}
    frozen = ""
    if leading is not report:
        closed = (
            one.message for one in report.gates if one.gate is GateName.FREEZE and one.state == "closed"
        )
        frozen = next(closed, report.decision.reason)
        yield from ((one, _why_not(one)) for one in leading.plan.updates if one.package in comes)
    for update in report.plan.updates:
        if leading is report or update.package not in comes:
            yield update, _why_not(update) or frozen


def _why_not(update: Update) -> str:
    """Say why an update is not planned; empty where it is."""
    if update.disposition is Disposition.PLANNED:
        return ""
    return update.reasons[0].message if update.reasons else update.disposition.value


def announcement_due(report: Report, announce: timedelta) -> datetime | None:
    """Return the instant at which the next free window is to be announced, ``None`` where it was, or none is.

    Args:
        report: As built at ``report.generated_at``.
        announce: The policy's ``announce``.
    """
    # As the announcement itself: the next window of the security plan may lie in a freeze.
    start = _next_start(report.leading)
    due = None if start is None or not announce else shifted(start, -announce)
    return due if due is not None and due > report.generated_at else None


def _announced(report: Report, announce: timedelta) -> datetime | None:
    """Return the start of the next free window, where its announcement is due and it has not begun."""
    start = _next_start(report)
    return start if start is not None and shifted(start, -announce) <= report.generated_at else None


def _next_start(report: Report) -> datetime | None:
    return next((each.start for each in report.free_windows if each.start > report.generated_at), None)
