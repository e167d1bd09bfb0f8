"""The hosts of an impact: what a policy matches on, of each row of a fleet."""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.planning.fleet.rows import Row
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Resolver

_PROGRAM = "patchledger "


def host_of(row: Row, base: Resolver) -> HostFacts:
    """Return what documents can match on, of the host itself: without what its Host document adds to it.

    Args:
        row: Of a host that has reported.
        base: Where a report does not tell which labels are the host's own, those that this policy's Host
            document gives it are taken for the document's.
    """
    os_id, _, os_version = row.os.partition(" ")
    name = row.target.rpartition("/")[2]
    bare = HostFacts(name, {}, os_id, os_version, row.manager, row.guest_of, row.called)
    return replace(bare, labels=_own(row, base.labels_of(bare)))


def _own(row: Row, given: Mapping[str, str]) -> Mapping[str, str]:
    if row.own_labels is not None:
        return row.own_labels
    return {key: value for key, value in row.labels.items() if given.get(key) != value}


def version_of(row: Row) -> str:
    """Return the version of the program that made the report, empty where it cannot be told."""
    return row.program.removeprefix(_PROGRAM) if row.program.startswith(_PROGRAM) else ""
