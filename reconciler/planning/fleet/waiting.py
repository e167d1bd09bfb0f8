"""Plans that wait for an approval: equal ones together, and those that somebody means.

The rules:

1. A target counts where its newest report is proved to be its own, and the gate of approvals is closed in it.
2. Nobody's word is taken for a digest: it is computed from the changes, and a report that names another one
   waits for nothing here, and is told.
3. An approval names what waits at the moment; what nobody reports any more cannot be approved.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.errors import Misuse
from reconciler.planning.fleet.rows import Row
from reconciler.planning.gates.types import GateName
from reconciler.planning.reporting.document import PlannedMove, Report
from reconciler.planning.reporting.report import digest_of_planned
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import short_digest
from reconciler.policy.values import nearest
from reconciler.records import dataclass

_SHORTEST = 8
"""Hexadecimal digits that a digest may be named by."""


@dataclass(frozen=True, slots=True)
class WaitingTarget:
    """One target that waits.

    Attributes:
        row: How it is.
        window: Begin of the next window that it could meet, null where none is in sight.
        windows: Begins of those that it could meet, as far as its report tells.
        seen: Names of the approvals in force that its report knows to cover the plan: it waits all the same,
            since they are used up.
    """

    row: Row
    window: datetime | None
    windows: tuple[datetime, ...] = ()
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WaitingPlan:
    """One transaction that waits for an approval, on all targets that have it.

    Attributes:
        digest: ``sha256:`` and 64 digits, of the transaction.
        changes: The transaction.
        security: Those of them that are security updates by the word of one target at least, as
            ``NAME:ARCH``: it is no part of the digest, and none can keep it from the others.
        targets: Sorted by id.
    """

    digest: str
    changes: tuple[PlannedMove, ...]
    security: frozenset[str]
    targets: tuple[WaitingTarget, ...]

    @property
    def window(self) -> datetime | None:
        """Begin of the first window that one of the targets could meet."""
        return min((one.window for one in self.targets if one.window is not None), default=None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a fleet.

    Attributes:
        plans: Those with the most security updates first, then those on the most targets.
        refused: Of each target whose report cannot be approved, its id and why.
    """

    plans: tuple[WaitingPlan, ...]
    refused: tuple[tuple[str, str], ...]


def waiting(reports: Iterable[tuple[Row, Report]]) -> Waiting:
    """Return what waits for an approval.

    Args:
        reports: Of each target its row and the report that the row tells of.
    """
    found: defaultdict[str, list[tuple[WaitingTarget, Report]]] = defaultdict(list)
    refused: list[tuple[str, str]] = []
    for row, whole in reports:
        # In a freeze that lets security updates through, their plan and the whole one wait each for itself.
        for report in {one.plan.digest: one for one in reversed(whole.rulings)}.values():
            if not row.state.is_proved or not _is_closed(report):
                continue
            digest = digest_of_planned(report.plan)
            if digest != report.plan.digest:
                said = "its report names another digest than its changes have"
                refused.append((row.target, f"{said}; a newer patchledger there records the archives"))
                continue
            free = tuple(one.start for one in report.free_windows)
            seen = frozenset(one.name for one in report.approvals if one.is_given)
            found[digest].append((WaitingTarget(row, next(iter(free), None), free, seen), report))
    plans = (_plan(digest, every) for digest, every in found.items())
    order = sorted(plans, key=lambda one: (-len(one.security), -len(one.targets), one.digest))
    return Waiting(tuple(order), tuple(sorted(refused)))


def _is_closed(report: Report) -> bool:
    is_closed = any(one.gate is GateName.APPROVAL and one.state == "closed" for one in report.gates)
    return is_closed and bool(report.plan.transaction)


def _plan(digest: str, every: Sequence[tuple[WaitingTarget, Report]]) -> WaitingPlan:
    report = every[0][1]
    named = {str(one.package) for _, each in every for one in each.plan.updates if one.security}
    security = frozenset(str(one.package) for one in report.plan.transaction if str(one.package) in named)
    targets = sorted((target for target, _ in every), key=lambda one: one.row.target)
    return WaitingPlan(digest, report.plan.transaction, security, tuple(targets))


# --- choosing


@dataclass(frozen=True, slots=True)
class Selector:
    """Who is to be approved: at least one of these.

    Attributes:
        targets: Ids.
        labels: All of which a target has.
        digest: Of a plan, or the begin of one.
    """

    targets: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    digest: str = ""


def chosen(found: Waiting, rows: Sequence[Row], selector: Selector) -> tuple[WaitingPlan, ...]:
    """Return the plans that are meant, each with the targets that are.

    Raises:
        Misuse: A target or plan is not known or waits for nothing, or nothing is left.
    """
    _check_targets(found, rows, selector.targets)
    plans = _of_digest(found.plans, selector.digest) if selector.digest else found.plans
    meant = []
    for plan in plans:
        targets = tuple(one for one in plan.targets if _is_meant(one.row, selector))
        if targets:
            meant.append(WaitingPlan(plan.digest, plan.changes, plan.security, targets))
    if not meant:
        raise Misuse("nothing of that waits for an approval", "see `patchledger approve --list`")
    return tuple(meant)


def _is_meant(row: Row, selector: Selector) -> bool:
    is_named = not selector.targets or row.target in selector.targets
    labels = (selector.labels or {}).items()
    return is_named and all(row.labels.get(key) == value for key, value in labels)


def _check_targets(found: Waiting, rows: Sequence[Row], targets: Iterable[str]) -> None:
    known = {row.target: row for row in rows}
    waits = {one.row.target for plan in found.plans for one in plan.targets}
    refused = dict(found.refused)
    for target in targets:
        if target not in known:
            raise Misuse(f"there is no target {one_line(target, 100)}", nearest(target, tuple(known)))
        if target not in waits:
            row = known[target]
            said = refused.get(target) or f"it is {row.state}: {row.reason}"
            raise Misuse(f"{target} waits for no approval; {said}", "see `patchledger approve --list`")


def _of_digest(plans: Iterable[WaitingPlan], digest: str) -> tuple[WaitingPlan, ...]:
    wanted = digest.removeprefix("sha256:")
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},64}}", wanted):
        hint = f"give at least {_SHORTEST} of its hexadecimal digits"
        raise Misuse(f"{one_line(digest, 100)} is no digest of a plan", hint)
    found = tuple(one for one in plans if one.digest.removeprefix("sha256:").startswith(wanted))
    if not found:
        raise Misuse(
            f"no target reports plan {short_digest(wanted)} any more", "see `patchledger approve --list`"
        )
    return found
