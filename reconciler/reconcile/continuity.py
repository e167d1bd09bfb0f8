"""Put a look behind the last report: which one that was, and what moved since without a run."""

import json
from dataclasses import replace

from reconciler.errors import Misuse
from reconciler.planning.facts.inventory import OutsideChange, Previous, inventory_of
from reconciler.planning.facts.observation import Installed, Observation
from reconciler.planning.gates.recording import read_vouched
from reconciler.planning.reporting.report import following
from reconciler.planning.runs.outside import moved_outside
from reconciler.reconcile.apply import Performed
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.ports.reports import ReportRepository, Stored
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Continuity:
    """Compares a look with the last report of a branch.

    Attributes:
        queue: Where the reports are.
        branch: Of the target.
    """

    queue: ReportRepository
    branch: str

    def behind(self, last: Stored | None, assessment: Assessment, performed: Performed | None) -> Assessment:
        """Return ``assessment`` as it is to be reported after ``last``.

        Args:
            last: The last report, ``None`` where there is none.
            assessment: What was seen and decided now.
            performed: The run that is reported with it, which explains what it did.
        """
        if last is None:
            return assessment
        previous = Previous(last.oid, _inventory_in(last.data), last.elsewhere)
        finding, seen = assessment.finding, assessment.finding.recording.observation
        outside = self._outside(previous, seen, performed)
        recording = replace(finding.recording, previous=previous, changed_outside=outside)
        report = following(finding.report, recording)
        return replace(assessment, finding=replace(finding, recording=recording, report=report))

    def _outside(
        self, previous: Previous, seen: Observation, performed: Performed | None
    ) -> tuple[OutsideChange, ...]:
        until = seen.installed if performed is None else performed.journal.before
        since = () if performed is None else ((performed.after.installed, seen.installed),)
        if inventory_of(until) != previous.inventory:
            before = self._installed_at_last(seen)
            since = (*(() if before is None else ((before, until),)), *since)
        return moved_outside(since, seen.manager)

    def _installed_at_last(self, seen: Observation) -> tuple[Installed, ...] | None:
        """Return what was installed at the last report; ``None`` where nobody knows, or of another system."""
        last = self.queue.last(self.branch, "observation.json")
        try:
            before = None if last is None else read_vouched(last.data).observation
        except Misuse:
            before = None
        if before is None or (before.manager, before.root) != (seen.manager, seen.root):
            return None
        return before.installed


def _inventory_in(report: bytes) -> str:
    """Return what a report says was installed, empty where it does not."""
    try:
        said = json.loads(report)["inventory"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return said if isinstance(said, str) else ""
