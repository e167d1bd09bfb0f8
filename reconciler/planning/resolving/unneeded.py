"""Which packages that nothing needs any more are removed, and what stands against the others.

Only the manager says what is unused, by its own rule; policy chooses among that. The rules:

* ``autoremove: kernels`` wants old kernels to go, ``new-unused`` also what a run of ours made unused. What
  was unused before any run stays: it may be there for a reason that only a person knows.
* The kernel that runs, the newest one, what a person installed, what the operator or an exception holds, and
  what an exception blocks stays.
* Old kernels go first, in the plan of the updates, so that ``/boot`` does not fill. Other packages go in a
  plan of their own, once no update is planned: a new version of something may need them again.
* What the manager would remove besides makes those stay whose removal would take it along: it is asked again
  by halves, at most `TRIALS` times.
* No update waits for any of this: what was not answered is not removed.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Exchange, Observation, Question
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.unneeded import UnneededSeen, seen_again
from reconciler.planning.resolving.kernels import is_of, kernels_like
from reconciler.planning.resolving.selection import FailedBefore, Obstacle, Rules
from reconciler.planning.text.wording import listed, sentence
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass

TRIALS = 16
"""How many questions may go into finding out what can go without taking anything else along."""

WHAT_IS_UNUSED = Question(unused=True)

Key = tuple[PackageId, str]
"""A package in one version: several of a kernel's are installed beside one another."""


@dataclass(frozen=True, slots=True)
class Removals:
    """What of the unused packages is removed, and why not the rest.

    Attributes:
        going: In the order of their names, each with as what it is unused.
        since: The run that made a package unused, of those that go.
        kept: What is wanted to go and stays, each with what stands against it, or a clause.
        unknown: Why nobody knows what is unused; empty where that is known, or nobody wants to know.
    """

    going: tuple[Change, ...] = ()
    since: Mapping[PackageId, str] = field(default_factory=dict)
    kept: tuple[tuple[Change, Obstacle | str], ...] = ()
    unknown: str = ""


NOTHING = Removals()


def is_asked(effective: Effective, *, tells_unused: bool) -> bool:
    """Say whether policy wants anything of what is unused, and the manager could tell it."""
    return effective.settings.autoremove != "none" and tells_unused


@dataclass(frozen=True, slots=True)
class Candidates:
    """Chooses among what the manager calls unused.

    Attributes:
        rules: Those of the plan.
        seen: What was known of unused packages at the last look.
        running: Release of the kernel that runs.
        transaction: The updates that are planned.
    """

    rules: Rules
    seen: UnneededSeen | None
    running: str
    transaction: tuple[Change, ...]

    def talk(self) -> Generator[Question, Answer, Removals]:
        """Ask what is unused, choose, and ask what the removal of that would do."""
        traits = self.rules.machine.traits
        if not is_asked(self.rules.effective, tells_unused=traits.tells_unused):
            return NOTHING
        answer = yield WHAT_IS_UNUSED
        if answer.exit_code not in exit_codes.WELL:
            words = sentence(answer.message) or f"it ended with code {answer.exit_code}"
            return Removals(unknown=f"{traits.name} did not say what is unused: {words}")
        wanted = [change for change in answer.changes if self._is_wanted(change, answer)]
        against = {_key(change): self._against(change) for change in wanted}
        kept: list[tuple[Change, Obstacle | str]] = [
            (change, why) for change in wanted if (why := against[_key(change)])
        ]
        free = [change for change in wanted if not against[_key(change)]]
        going, taking = yield from _going(tuple(free))
        kept += [(change, f"its removal would take {listed(others)} along") for change, others in taking]
        since = seen_again(self.seen, (one.package for one in answer.changes)).by_package()
        return Removals(
            going,
            {change.package: since.get(change.package, "") for change in going},
            tuple(sorted(kept, key=lambda one: _key(one[0]))),
        )

    def _is_wanted(self, change: Change, answer: Answer) -> bool:
        if change.unused == "kernel":
            return change.package not in {one.package for one in self.transaction if one.action != "install"}
        if self.rules.effective.settings.autoremove != "new-unused" or self.transaction:
            return False
        since = seen_again(self.seen, (one.package for one in answer.changes)).by_package()
        return bool(since.get(change.package))

    def _against(self, change: Change) -> Obstacle | str:
        """Say why something unused stays; empty where nothing stands against its removal."""
        if obstacles := self.rules.keeping(change.package, change.from_version or ""):
            return obstacles[0]
        failed = self.rules.staying.get(_key(change))
        if failed is not None:
            return FailedBefore(failed)
        there = [
            one
            for one in self.rules.machine.installed
            if one.package == change.package and one.version == change.from_version
        ]
        if not there:
            return "it is not installed in that version"
        if change.unused == "kernel":
            return self._against_kernel(change)
        return "" if all(one.automatic for one in there) else "a person installed it"

    def _against_kernel(self, change: Change) -> str:
        version = change.from_version or ""
        if is_of(self.running, change.name, version):
            return "it runs"
        order = self.rules.machine.order
        others = [one.version for one in kernels_like(change.package, self.rules.machine.installed)]
        if order is None or all(order(one, version) <= 0 for one in others):
            return "it is the newest one"
        return ""


def _key(change: Change) -> Key:
    return change.package, change.from_version or ""


def _question(changes: Collection[Change]) -> Question:
    return Question(remove=tuple(sorted((str(one.package), one.from_version or "") for one in changes)))


_Taking = tuple[Change, list[str]]


def _going(
    changes: tuple[Change, ...],
) -> Generator[Question, Answer, tuple[tuple[Change, ...], list[_Taking]]]:
    """Find the changes that can go and take nothing else along, by halves."""
    going: tuple[Change, ...] = ()
    taking: list[_Taking] = []
    left = [changes] if changes else []
    for _ in range(TRIALS):
        if not left:
            break
        group = left.pop(0)
        answer = yield _question((*going, *group))
        others = _besides(answer, (*going, *group))
        if not others:
            going = (*going, *group)
        elif len(group) > 1:
            left += [group[: len(group) // 2], group[len(group) // 2 :]]
        else:
            taking.append((group[0], others))
    taking += [(one, ["more than was found out"]) for group in left for one in group]
    return tuple(sorted(going, key=_key)), taking


def _besides(answer: Answer, wanted: Sequence[Change]) -> list[str]:
    """Name what an answer does besides removing what is wanted, or that it does not do that."""
    asked = {_key(change) for change in wanted}
    found = {_key(change) for change in answer.changes if change.to_version is None}
    more = {
        change.name for change in answer.changes if change.to_version is not None or _key(change) not in asked
    }
    if more:
        return sorted(more)
    return [] if found == asked and answer.exit_code in exit_codes.WELL else ["what nobody knows"]


def unused_told(exchanges: Iterable[Exchange]) -> Iterator[tuple[Change, ...]]:
    """Yield what a manager said is unused, of each conversation that asked for it and was answered."""
    for exchange in exchanges:
        if exchange.question == WHAT_IS_UNUSED and exchange.answer.exit_code in exit_codes.WELL:
            yield exchange.answer.changes


def seen_after(
    observation: Observation, exchanges: Iterable[Exchange], effective: Effective
) -> UnneededSeen | None:
    """Return what the next look is to know of unused packages; ``None`` where policy does not ask for it.

    Where the manager did not answer it stays as it was.
    """
    if effective.settings.autoremove != "new-unused":
        return None
    told = next(unused_told(exchanges), None)
    if told is None:
        return observation.unneeded
    return seen_again(observation.unneeded, (one.package for one in told))


def done_by(seen: UnneededSeen | None, run: str) -> UnneededSeen | None:
    """Return what is known once a run changed something."""
    return None if seen is None else replace(seen, run=run)


def unused_by_package(changes: Iterable[Change]) -> dict[PackageId, tuple[Change, ...]]:
    """Return what goes because nothing needs it, by package: of kernels several versions may."""
    found: dict[PackageId, tuple[Change, ...]] = {}
    for change in changes:
        if change.unused:
            found[change.package] = (*found.get(change.package, ()), change)
    return found


def is_removal_of_unused(changes: Collection[Change]) -> bool:
    """Say whether a transaction does nothing but remove what nothing needs."""
    return bool(changes) and all(change.unused for change in changes)
