"""What a step takes, by what steps took on this host.

It is an estimate that decides where a plan is cut, and how much of the budget what is left still needs. It is
rough on purpose. A call of a package manager has a price of its own (its cache, its resolver, triggers,
hooks), each change has one, and so has each MiB that is unpacked; some packages do the work of hundreds. How
fast this host is says the median of its own last steps, in which one that waited for a lock, or for a disk
that was full, counts for nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from statistics import median

from reconciler.planning.facts.observation import Change
from reconciler.planning.facts.package import Transition
from reconciler.planning.gates.types import Step
from reconciler.planning.runs.record import StepOutcome, StepRecord
from reconciler.records import dataclass

CALL = 4.0
"""Seconds of one call of the package manager, whatever it changes."""
_CHANGE = 0.3
_MIB = 0.15
"""Of an archive, which is unpacked to three or four times as much."""
_HEAVY = (
    *(("linux-image-*", 60.0), ("linux-headers-*", 20.0), ("*-dkms", 90.0), ("dkms", 60.0)),
    *(("initramfs-tools*", 30.0), ("dracut*", 30.0), ("grub-*", 15.0), ("texlive-*", 10.0)),
    *(("kernel-core", 60.0), ("kernel-default*", 60.0), ("akmod-*", 120.0), ("kmod-*", 20.0)),
)
"""Packages whose scripts build something, and the seconds of that; the first pattern that fits counts."""

REMEMBERED = 20
"""Steps that the median is taken of, the latest last."""
_UNMEASURED = (1.0, 1.0)
"""What stands for a host of which nothing is known: one odd step alone moves nothing, three of a kind do."""
_SLOWEST, _FASTEST = 20.0, 0.2


@dataclass(frozen=True, slots=True)
class Took:
    """A step that was made.

    Attributes:
        estimate: Seconds that an unmeasured host would have been given for it.
        seconds: That it took.
    """

    estimate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a host is.

    Attributes:
        factor: What it takes of the time that an unmeasured one is given.
    """

    factor: float = 1.0

    @classmethod
    def of(cls, took: Iterable[Took]) -> "Pace":
        """Return the pace of a host whose last steps took so long; impossible numbers count for nothing."""
        ratios = (one.seconds / one.estimate for one in took if one.estimate >= CALL and one.seconds > 0)
        measured = [one for one in ratios if one < float("inf")]
        return cls(min(_SLOWEST, max(_FASTEST, median([*_UNMEASURED, *measured[-REMEMBERED:]]))))

    def seconds(self, changes: Iterable[Change]) -> float:
        """Return what ``changes`` take in one call."""
        return self.factor * (CALL + sum(map(_weight, changes)))

    def more(self, changes: Iterable[Change]) -> float:
        """Return what ``changes`` take in a call that is made anyway."""
        return self.factor * sum(map(_weight, changes))

    def joined(self, steps: Sequence[Step], most: timedelta) -> tuple[Step, ...]:
        """Join neighbouring steps as far as one takes no longer than ``most``; none is cut.

        A step in order with those before it is as self-contained as they are.
        """
        found: list[list[Change]] = []
        left = 0.0
        for step in steps:
            price = self.more(step.changes)
            if found and price <= left:
                found[-1] += step.changes
                left -= price
            else:
                found.append([*step.changes])
                left = most.total_seconds() - self.factor * CALL - price
        return tuple(Step(tuple(changes)) for changes in found)


def share_left(changes: Iterable[Change], left: Collection[Transition]) -> float:
    """Return which part of the time that ``changes`` take those in ``left`` do, from 0 to 1."""
    weights = {change.transition: _weight(change) for change in changes}
    whole = sum(weights.values())
    return sum(weight for what, weight in weights.items() if what in left) / whole if whole else 1.0


def measured(
    steps: Iterable[StepRecord], planned: Iterable[Change], took: Sequence[Took]
) -> tuple[Took, ...]:
    """Return what is remembered of how long steps take, with those of one more run.

    Args:
        steps: Of the run; such as did not end well say nothing of the time that they need.
        planned: Its changes, which know their sizes.
        took: What was remembered before.
    """
    # Of a kernel, one version comes while another goes.
    known = {change.transition: change for change in planned}
    fresh = [
        Took(Pace().seconds(changes), (step.ended - step.started).total_seconds())
        for step in steps
        if step.outcome is StepOutcome.DONE
        and (changes := [known[move.transition] for move in step.changes if move.transition in known])
    ]
    return (*took, *fresh)[-REMEMBERED:]


def _weight(change: Change) -> float:
    heavy = next((seconds for pattern, seconds in _HEAVY if fnmatchcase(change.name, pattern)), 0.0)
    # A removal builds what depends on it anew as well, such as the menu of a boot loader.
    return _CHANGE + heavy + _MIB * (change.size or 0) / 2**20
