"""Into which steps a transaction is cut, on one target.

The rules:

- Where the package manager tells relations, they make the steps. Where it tells none and knows partial
  upgrades, its resolver is asked about parts: what it would do with a part alone is a step, where it does the
  same with all.
- Security updates come first, what this program stands on last, and each step takes half of ``step_time`` at
  most by what is known of this host: an estimate may be wrong by as much. What belongs together stays so.
- Nothing that goes wrong here keeps a plan from being applied: it is made as one step then, and that is told.
"""

from collections.abc import Sequence
from dataclasses import field, replace
from itertools import pairwise

from reconciler.errors import ReconcilerError
from reconciler.planning.facts.observation import Change, Question
from reconciler.planning.gates.types import Step
from reconciler.planning.runs.costs import Pace
from reconciler.planning.runs.old_first import old_first
from reconciler.planning.runs.steps import Needs, is_own, own_last, part_of, security_first, split
from reconciler.planning.text.wording import listed
from reconciler.policy.documents import Settings
from reconciler.policy.managers import traits_of
from reconciler.policy.values import format_duration
from reconciler.reconcile.ports.target import AnyManager
from reconciler.records import dataclass

_MOST_QUESTIONS = 8
"""About parts of one transaction: each costs what a dry-run costs."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The steps of a transaction.

    Attributes:
        notes: What a reader of the record should know of them.
    """

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts transactions of one target.

    Attributes:
        manager: Its package manager.
        name: Of that.
        settings: Which steps are wanted.
        pace: How fast it is.
    """

    manager: AnyManager
    name: str
    settings: Settings
    pace: Pace = field(default_factory=Pace)

    def cut(self, changes: Sequence[Change], question: Question) -> Cut:
        """Return the steps that make ``changes``.

        Args:
            changes: A transaction, in the resolver's order. What nothing needs any more is a step before all.
            question: Whose answer it is, but for that.
        """
        going, others = old_first(changes)
        found = self._cut(others, question)
        return replace(found, steps=(*([Step(going)] if going else ()), *found.steps))

    def _cut(self, whole: tuple[Change, ...], question: Question) -> Cut:
        if self.settings.steps == "single" or len(whole) <= 1:
            return Cut((Step(whole),) if whole else ())
        try:
            needs = self.manager.needs(whole)
            found = self._by_answers(whole, question) if needs is None else Cut(self._related(whole, needs))
        except ReconcilerError as error:
            found = Cut((Step(whole),), (f"all was made as one step: {error.message}",))
        return replace(found, notes=(*found.notes, *self._too_long(found.steps)))

    def _related(self, whole: tuple[Change, ...], needs: Needs) -> tuple[Step, ...]:
        first, late = own_last(split(whole, needs), needs, self.name)
        urgent, others = security_first(first, needs)
        most = self.settings.step_time / 2
        return tuple(step for part in (urgent, others, late) for step in self.pace.joined(part, most))

    def _by_answers(self, whole: tuple[Change, ...], question: Question) -> Cut:
        if not traits_of(self.name).knows_partial_upgrades:
            return Cut((Step(whole),))
        return _Asking(self, whole, question).cut()

    def _too_long(self, steps: Sequence[Step]) -> tuple[str, ...]:
        most = self.settings.step_time.total_seconds()
        over = [number for number, step in enumerate(steps, 1) if self.pace.seconds(step.changes) > most]
        if not over:
            return ()
        what = f"step {listed(list(map(str, over)), 10)} of {len(steps)}"
        limit = format_duration(self.settings.step_time)
        return (f"{what} was expected to take longer than step_time ({limit}), and could not be cut",)


@dataclass(slots=True)
class _Asking:
    """The questions about parts of one transaction.

    Attributes:
        differs: About which parts the resolver says something else than about the whole.
    """

    cutter: Cutter
    whole: tuple[Change, ...]
    question: Question
    asked: int = 0
    differs: list[str] = field(default_factory=list)

    def cut(self) -> Cut:
        """Return the steps between one answer and the next, each of which holds all of those before it."""
        own = tuple(sorted({one.name for one in self.whole if is_own(one.name, self.cutter.name)}))
        others = tuple(one for one in self.whole if one.name not in own)
        chain: list[tuple[Change, ...]] = [()]
        if not self.question.security and 0 < sum(one.security for one in others) < len(others):
            self._ask(chain, own, "the security updates", is_security=True)
        if own and others:
            self._ask(chain, own, "all but what patchledger stands on")
        chain.append(self.whole)
        self._halve(chain)
        steps = tuple(Step(tuple(one for one in new if one not in old)) for old, new in pairwise(chain))
        if not self.differs:
            return Cut(steps)
        said = listed(list(dict.fromkeys(self.differs)), 3)
        note = f"not made as a step: {said}, with which the package manager does something else alone"
        return Cut(steps, (note,))

    def _ask(
        self,
        chain: list[tuple[Change, ...]],
        exclude: Sequence[str],
        words: str,
        *,
        is_security: bool = False,
        place: int | None = None,
    ) -> bool:
        """Ask for a part without ``exclude``; where it fits into the chain, it becomes a link of it."""
        place = len(chain) if place is None else place
        before, behind = chain[place - 1], chain[place] if place < len(chain) else self.whole
        question = replace(self.question, exclude=tuple(sorted({*self.question.exclude, *exclude})))
        part = self._security(question) if is_security else self._answer(question)
        if part is None or not set(before) <= set(part) <= set(behind):
            self.differs.append(words)
            return False
        if len(before) < len(part) < len(behind):
            chain.insert(place, part)
            return True
        return False

    def _answer(self, question: Question) -> tuple[Change, ...] | None:
        self.asked += 1
        return part_of(self.whole, self.cutter.manager.resolve(question))

    def _security(self, question: Question) -> tuple[Change, ...] | None:
        """Ask for the security updates, in the versions of the whole.

        An advisory names the version that it was written for, and the whole may go further: such packages may
        take any version then.
        """
        self.asked += 1
        question = replace(question, security=True)
        answer = self.cutter.manager.resolve(question)
        planned = {change.transition for change in self.whole}
        names = {change.name for change in self.whole}
        further = {one.name for one in answer.changes if one.transition not in planned}
        if not further or not further <= names:
            return part_of(self.whole, answer)
        return self._answer(replace(question, include=tuple(sorted({*question.include, *further}))))

    def _halve(self, chain: list[tuple[Change, ...]]) -> None:
        """Cut what takes too long in the middle, as often as questions are left."""
        place, most = 1, self.cutter.settings.step_time.total_seconds() / 2
        while place < len(chain) and self.asked < _MOST_QUESTIONS:
            known = set(chain[place - 1])
            gap = [one for one in chain[place] if one not in known]
            if self.cutter.pace.seconds(gap) > most and len(gap) > 1:
                kept = known.union(gap[: len(gap) // 2])
                left_out = [one.name for one in self.whole if one not in kept]
                if self._ask(chain, left_out, "a part of the updates", place=place):
                    continue
            place += 1
