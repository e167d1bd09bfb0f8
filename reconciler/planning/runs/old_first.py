"""What nothing needs any more goes before anything comes: it makes room, and fails by itself if it fails."""

from collections.abc import Sequence

from reconciler.planning.facts.observation import Change
from reconciler.planning.gates.types import Step


def old_first(changes: Sequence[Change]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Set apart what is removed because nothing needs it.

    Args:
        changes: Of a plan.

    Returns:
        That, and the other changes, both in their order.
    """
    going = tuple(change for change in changes if change.unused)
    return going, tuple(change for change in changes if not change.unused)


def without_unused(changes: Sequence[Change], steps: Sequence[Step]) -> tuple[Change, ...]:
    """Return ``changes`` without those that bring back what ``steps`` removed since nothing needed it."""
    gone = {(one.package, one.from_version) for step in steps for one in step.changes if one.unused}
    return tuple(
        one for one in changes if one.from_version is not None or (one.package, one.to_version) not in gone
    )
