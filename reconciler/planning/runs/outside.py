"""What moved on a machine between two looks at it, beside what runs did.

Between two reports there is at most one run, and what it found when it began and left at its end is known.
So what nobody of ours did is what differs between the last report and the begin of the run, and between its
end and the next report. What moved while it was at work, planned or not, its own record tells.
"""

from collections.abc import Iterable, Iterator, Sequence

from reconciler.planning.facts.inventory import OutsideAction, OutsideChange
from reconciler.planning.facts.observation import Installed
from reconciler.planning.runs.record import difference


def moved_outside(
    stretches: Iterable[tuple[Sequence[Installed], Sequence[Installed]]], manager: str
) -> tuple[OutsideChange, ...]:
    """Return what changed in stretches of time in which nothing was run, sorted by package.

    Args:
        stretches: What was installed at the begin and at the end of each.
        manager: Decides whether another version is a newer one.
    """
    found = [
        change
        for before, after in stretches
        if tuple(before) != tuple(after)
        for change in (*_moves(before, after, manager), *_marks(before, after))
    ]
    return tuple(sorted(found, key=lambda one: (one.package, one.to_version or "", one.from_version or "")))


def _moves(before: Sequence[Installed], after: Sequence[Installed], manager: str) -> Iterator[OutsideChange]:
    whole = {(one.name, one.arch, one.version): one.status for one in after}
    renamed = {(one.name, one.version): one.status for one in after}  # those of another architecture now
    for move in difference(before, after, (), manager).changed:
        is_now = ""
        if move.to is not None:
            is_now = whole.get((move.name, move.arch, move.to)) or renamed[move.name, move.to]
        yield OutsideChange(move.action, move.name, move.arch, move.from_, move.to, is_now)


def _marks(before: Iterable[Installed], after: Iterable[Installed]) -> Iterator[OutsideChange]:
    """Yield what is there in the same version, and held or half done as it was not."""
    known = {(one.package, one.version): one for one in before}
    for one in after:
        was = known.get((one.package, one.version))
        if was is not None and was.held != one.held:
            action: OutsideAction = "hold" if one.held else "release"
            yield OutsideChange(action, one.name, one.arch, one.version, one.version, one.status)
        if was is not None and was.status != one.status:
            yield OutsideChange("status", one.name, one.arch, one.version, one.version, one.status)
