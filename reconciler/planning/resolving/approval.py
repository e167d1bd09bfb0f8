"""What a transaction is known by, and which approvals cover it.

A digest stands for what a transaction does; an approval names a digest, or the version of every single
change. Plan, gate and report all ask here.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.planning.facts.observation import Change
from reconciler.records import dataclass

if TYPE_CHECKING:  # whoever only reads approvals that were told resolves no policy
    from reconciler.policy.resolve import Effective


def digest_of(changes: Iterable[Change]) -> str:
    """Identify a transaction by what it does, whatever its order, its host, its time and its sources' labels.

    Returns:
        ``sha256:`` and the hexadecimal SHA-256 of the canonical JSON (UTF-8, keys sorted, no blanks) of the
        list of objects with ``action``, ``name``, ``arch``, ``from``, ``to`` and ``sha256``, sorted by these
        in this order; what is not known is ``null`` and sorts first.
    """
    return digest_of_rows(
        (change.action, change.name, change.arch, change.from_version, change.to_version, change.sha256)
        for change in changes
    )


Row = tuple[str, str, str, str | None, str | None, str | None]
"""Action, name, architecture, version before, version after, and SHA-256 of the archive of one change."""


def digest_of_rows(changes: Iterable[Row]) -> str:
    """Identify a transaction as :func:`digest_of` does, by changes in whatever form they come."""
    rows = sorted(changes, key=lambda row: tuple(field or "" for field in row))
    named = [dict(zip(("action", "name", "arch", "from", "to", "sha256"), row, strict=True)) for row in rows]
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ApprovalText:
    """An approval that matches this host.

    Attributes:
        plan: Digest of the approved plan, or empty where versions are approved.
        versions: ``(package, version)`` pairs, the package as ``name`` or ``name:arch``.
        expires: First instant at which it no longer counts.
    """

    name: str
    plan: str
    versions: tuple[tuple[str, str], ...]
    expires: datetime
    reason: str
    origin: str = ""

    def covers(self, changes: Sequence[Change], digest: str) -> bool:
        """Say whether it names this transaction: by its digest, or by the version of every single change.

        Its expiry is left aside. A removal has no version that could be listed, so only a digest approves it.
        """
        if self.plan:
            return self.plan == digest
        listed = dict(self.versions)
        return bool(changes) and all(
            change.to_version is not None
            and change.to_version in (listed.get(str(change.package)), listed.get(change.name))
            for change in changes
        )


def approvals_of(effective: "Effective") -> tuple[ApprovalText, ...]:
    """Return the approvals that match the host, expired ones included, sorted by name."""
    return tuple(
        ApprovalText(
            name=placed.value.name,
            plan=placed.value.plan or "",
            versions=tuple(sorted((placed.value.versions or {}).items())),
            expires=placed.value.ends(),
            reason=placed.value.reason or "",
            origin=str(placed.origin),
        )
        for placed in effective.approvals
    )
