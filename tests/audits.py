"""Audit repositories that a test has: of what was done by the rules, nothing is refuted."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from reconciler.fleet.auditing import AuditAsked, FleetAudit, audit_fleet
from reconciler.fleet.reading import FleetSources
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.managers.scripts import manifest
from reconciler.planning.audit.verdicts import TargetAudit, Verdict

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)


def audited_all(reports: Path, policy: Path) -> FleetAudit:
    """Audit two repositories, whatever the time: the latter is a work tree."""
    with tempfile.TemporaryDirectory() as made:
        mirror = PolicyMirror(Path(made) / "policy.git", f"file://{policy}/.git", "main")
        sources = FleetSources(Path(made) / "fleet", mirror, None, (f"file://{reports}",), GitAccess(), 60.0)
        return audit_fleet(sources, AuditAsked(BEGIN, END, (), manifest()), datetime.now(UTC))


def refuted(target: TargetAudit) -> list[str]:
    """Return what is refuted of a target, each as ``CHECK: REASON``."""
    told = [*target.against, *(one for change in target.changes for one in change.against)]
    return [f"{one.check}: {one.reason}" for one in told if one.verdict is Verdict.REFUTED]
