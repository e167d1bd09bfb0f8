"""Which updates are past their deadline, and what stands in the way of each."""

from datetime import datetime

from reconciler.planning.facts.observation import Urgency
from reconciler.planning.gates.types import Outcome
from reconciler.planning.reporting.document import Report
from reconciler.planning.resolving.age import URGENCIES
from reconciler.planning.resolving.dispositions import (
    Condition,
    ConditionType,
    Deadline,
    Disposition,
    Reason,
    Update,
)
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import listed
from reconciler.policy.values import format_duration
from reconciler.records import dataclass

_NAMED = 5
_TOLD = 3
"""Packages that the condition names, and those that it says all of; the report's updates have the others."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """An update that should be installed.

    Attributes:
        name: As people write it.
        obstacle: What stands in the way: why it is not planned, or why the plan is not applied now.
    """

    update: Update
    deadline: Deadline
    name: str
    obstacle: Reason

    @property
    def rank(self) -> int:
        """How urgent the sort of update is that is late."""
        return URGENCIES.index(self.urgency)

    @property
    def urgency(self) -> Urgency:
        """Whose deadline it is."""
        return next(one for one in URGENCIES if self.deadline.setting.endswith(one))

    @property
    def sentence(self) -> str:
        """The whole of it for people, without a trailing full stop."""
        due = self.deadline
        length = format_duration(due.at - due.since)
        what = f"{self.name} {due.version} was to be installed by {instant(due.at)}"
        why = f"first seen at {instant(due.since)}, {due.setting} is {length}, {due.origin}"
        way = f" ({self.obstacle.origin})" if self.obstacle.origin else ""
        return f"{what} ({why}); in the way: {self.obstacle.message}{way}"


def overdue(report: Report) -> tuple[Overdue, ...]:
    """Return what is past its deadline at the instant of ``report``, the most urgent first."""
    name = report.name_of
    found = [
        Overdue(update, update.deadline, name(update.package), _obstacle(report, update))
        for update in report.plan.updates
        if update.deadline is not None and update.deadline.at <= report.generated_at
    ]
    return tuple(sorted(found, key=lambda one: (-one.rank, one.deadline.at, one.update.package)))


def _obstacle(report: Report, update: Update) -> Reason:
    """Return what stands in the way of an update: of the plans that have it, of the one that comes first."""
    for one in report.rulings:
        moves = {(move.package, move.to) for move in one.plan.transaction}
        if update.deadline is not None and (update.package, update.candidate) in moves:
            return in_the_way(one, _same(one, update))
    return in_the_way(report, update)


def _same(report: Report, update: Update) -> Update:
    found = (one for one in report.plan.updates if one.package == update.package)
    return next(found, update)


def in_the_way(report: Report, update: Update) -> Reason:
    """Return why an update is not planned or, where it is, why the plan is not applied now."""
    if update.disposition is not Disposition.PLANNED:
        return update.reasons[0]
    decision = report.decision
    if decision.outcome is Outcome.APPLY:
        return Reason(decision.outcome, f"nothing, {decision.reason}")
    deciding = (gate.origin for gate in report.gates if gate.outcome is decision.outcome)
    return Reason(decision.outcome, f"{decision.outcome}: {decision.reason}", next(deciding, ""))


def overdue_condition(report: Report) -> Condition | None:
    """Return the condition that something is past its deadline; its reason is the most urgent sort of it."""
    late = overdue(report)
    if not late:
        return None
    told = [one.sentence for one in late[:_TOLD]]
    if len(late) > _TOLD:
        told.append(f"and {len(late) - _TOLD} more")
    names = listed([one.name for one in late], _NAMED)
    message = "; ".join((f"overdue: {names}", *told))
    return Condition(ConditionType.OVERDUE, True, late[0].urgency.capitalize(), message)


def next_overdue(report: Report) -> datetime | None:
    """Return the next instant after that of ``report`` at which an update becomes overdue."""
    dates = (one.deadline.at for one in report.plan.updates if one.deadline is not None)
    return min((at for at in dates if at > report.generated_at), default=None)
