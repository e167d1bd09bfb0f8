"""What is expected of each window of this host, by the last look at it: how many updates, by which policy.

Rules:

1. What is planned comes in the first window that has room for a run. What is too young comes in the first one
   in which a run can begin when it is old enough.
2. Later windows bring what nobody knows yet, so nothing is said of them.
3. Where something else than a window is in the way, an approval for instance, that is told beside it.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.cli.verbs.windows import HostWindows
from reconciler.planning.gates.types import Outcome
from reconciler.planning.resolving.dispositions import Disposition, Update
from reconciler.planning.resolving.youth import state_ends
from reconciler.planning.text.wording import changes_of, listed, on_the_clock, plural
from reconciler.policy.windows import HORIZON, Occurrence, blocked_by, occurrences
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.reconcile.assess import Finding

_OF_WINDOWS = (Outcome.APPLY, Outcome.NOTHING, Outcome.WINDOW, Outcome.BUDGET, Outcome.FREEZE)
_NEVER = (Outcome.PLAN_ONLY, Outcome.DOWNLOAD_ONLY)


@dataclass(frozen=True, slots=True)
class PlannedHere:
    """What the last look at this host came to.

    Attributes:
        at: When that was.
        changes: What a run would change.
        security: Security updates among them.
        ready: When each update that is too young is old enough.
        policies: Names of the policies that say so, strongest first.
        obstacle: What keeps it from being applied, whatever window is open; empty where nothing does.
        is_applied: Policy has it applied at all.
    """

    at: datetime
    changes: int
    security: int
    ready: tuple[datetime, ...]
    policies: tuple[str, ...]
    obstacle: str
    is_applied: bool


@dataclass(frozen=True, slots=True)
class Due:
    """What is expected of one window: what is planned already, and how many more are old enough by then."""

    changes: int = 0
    security: int = 0
    ripe: int = 0

    @property
    def words(self) -> str:
        """Say it."""
        planned = f"{changes_of(self.changes, self.security)} planned" if self.changes else ""
        ripe = f"{plural(self.ripe, 'update')} old enough by then" if self.ripe else ""
        return " and ".join(filter(None, (planned, ripe)))


def planned_here(finding: "Finding") -> PlannedHere:
    """Sum up a look at this host."""
    report, decision = finding.report, finding.report.decision
    ready = (_ready(update, finding) for update in report.plan.updates)
    return PlannedHere(
        at=report.generated_at,
        changes=len(report.plan.transaction),
        security=report.counts.pending_security,
        ready=tuple(sorted(at for at in ready if at is not None)),
        policies=tuple(one.name for one in report.policy.matching),
        obstacle="" if decision.outcome in _OF_WINDOWS else decision.reason,
        is_applied=decision.outcome not in _NEVER,
    )


def _ready(update: Update, finding: "Finding") -> datetime | None:
    """Return when an update that is too young is old enough; ``None`` where that is not what it waits for."""
    if update.disposition is not Disposition.TOO_YOUNG or finding.effective is None:
        return None
    wanted = (update.name, update.candidate)
    seen = [one.at for one in finding.recording.observation.first_seen if (one.name, one.version) == wanted]
    settings = finding.effective.settings
    end, ages = state_ends(settings), settings.min_age
    if not seen or (end is not None and min(seen) >= end):
        return None
    return shifted(min(seen), ages.security if update.security else ages.other)


def due_in_windows(host: HostWindows, now: datetime, until: datetime) -> "Mapping[Occurrence, Due]":
    """Return what is expected of the windows from now on that begin before ``until``."""
    planned, found = host.planned, dict[Occurrence, Due]()
    if planned is None or not planned.is_applied or until <= now:
        return found
    changes, waiting = planned.changes, Counter(planned.ready)
    bound = min(until, now + HORIZON)
    for window in occurrences(host.schedules, now, bound, splay_key=host.splay_key):
        if not changes and not waiting:
            break
        last = window.end - host.budget
        if blocked_by(window, host.freezes, budget=host.budget) is not None or last < now:
            continue
        ripe = [at for at in waiting if at <= last]
        if changes or ripe:
            number = sum(waiting.pop(at) for at in ripe)
            found[window] = Due(changes, planned.security if changes else 0, number)
            changes = 0
    return found


def standing(planned: PlannedHere, timezone: str) -> Iterator[str]:
    """Yield what all of that rests on, and what else it waits for."""
    by = f", by {listed(planned.policies)}" if planned.policies else ""
    seen = on_the_clock(planned.at.replace(second=0), timezone)
    if not planned.is_applied:
        yield f"Nothing is planned for any window as of {seen}{by}: {planned.obstacle}"
        return
    if not planned.changes and not planned.ready:
        yield f"Nothing is pending as of {seen}{by}."
        return
    yield f"What is planned is as of {seen}{by}; what comes later is not known yet."
    if planned.obstacle:
        yield f"It waits for more than a window: {planned.obstacle}"
