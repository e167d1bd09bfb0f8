"""What became of a package from one report to the next, and whether policy had changed meanwhile."""

from collections.abc import Iterable
from datetime import datetime

from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.reporting.document import Report
from reconciler.planning.resolving.dispositions import Update
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A report in which a package has another fate than in the one before.

    Attributes:
        at: When that report was made.
        package: Which package.
        update: Its fate; ``None`` where no update of it is listed any more.
        before: Its fate in the report before; ``None`` where no update was listed.
        policy: The policy commit of that report.
        policy_before: That of the report before; the same where policy was not the cause, and empty in the
            first.
    """

    at: datetime
    package: PackageId
    update: Update | None
    before: Update | None
    policy: str
    policy_before: str

    @property
    def is_first(self) -> bool:
        """Whether it only says how things were at the begin."""
        return not self.policy_before


def turns(asked: Mention, reports: Iterable[Report]) -> tuple[Turn, ...]:
    """Return each change of a package's fate.

    Args:
        asked: Which package; one of any architecture where it names none.
        reports: The oldest first. The first says how things were.
    """
    found: list[Turn] = []
    known: dict[PackageId, Update | None] = {}
    before = ""
    for report in reports:
        now: dict[PackageId, Update | None] = {
            one.package: one for one in report.plan.updates if asked.means(one.package)
        }
        for package in sorted({*known, *now}, key=str):
            update = now.get(package)
            if _fate(update) != _fate(known.get(package)) or (package not in known):
                was = known.get(package)
                found.append(Turn(report.generated_at, package, update, was, report.policy_commit, before))
        known = {**dict.fromkeys(known), **now}
        before = report.policy_commit or before
    return tuple(found)


def _fate(update: Update | None) -> object:
    if update is None:
        return None
    reasons = tuple((one.code, one.message, one.origin.partition("@")[0]) for one in update.reasons)
    return update.installed, update.candidate, update.disposition, reasons
