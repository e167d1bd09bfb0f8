"""The conversation with the package manager's resolver: what is asked next, and what came of it.

Only the manager resolves dependencies, so what is excluded must be excluded inside its own run. One run is
not always enough: an answer may bring in a package that nobody may have, or leave out an update without
saying why. The conversation is a generator that yields questions and is sent answers. It has no other input
than observation, policy and time, so that it can be replayed from the recorded exchanges at any time, and a
question that has an answer already is never asked twice.

Its course:

0. Where minimum ages keep something out, look once at what would come without them: only so are packages
   that would come in new seen in time.
1. Ask for everything wanted, with all that must not move excluded. Where the answer breaks a rule, ask again
   without the culprit, at most `ROUNDS` times. Where it removes what must stay, the culprits are those whose
   doing it is; where nobody knows whose, the packages themselves are excluded, and if that does not do, it
   is asked again in mode ``safe``.
2. Where wanted updates are missing, allow what may move only as a dependency, and keep of that no more than
   what brings missing ones in.
3. Explain what is still missing, each by a question about this version alone, without blocks, holds and
   minimum ages. Its answer is the update with all that it takes, or the manager's words why it cannot be:
   what moves with it and must not is what it needs, and what goes is what it would remove. What `EXPLAINING`
   questions do not explain is reported without a cause: no reason is better than a false one.

A manager that knows no partial upgrades says where what stays behind makes the whole upgrade impossible. Then
it is asked again without what needs that, at most `WIDENING` times, until a set is found that resolves. It
names all that stand in one another's way, so what was left out is tried again, at most `READMITTING` times:
what stays out is no more than must. Step 3 explains each by what it needs. Where a package that would come in
new is too young, all wait for it.

4. Where policy lets go what nothing needs any more: ask what that is, and what the removal of it would do
   (:mod:`reconciler.planning.resolving.unneeded`).

Answers of steps 0 and 3 are never part of the plan.

An example of five questions. On offer are versions 2 of curl, libssl, nginx, php and tzdata. One exception
holds libssl, another one blocks ``phone-*``, and versions must be seven days old: all are but that of tzdata.

0. All but libssl? - curl, php, tzdata, and phone-home: that it would come in new is seen in answers only.
1. All but libssl and tzdata? - curl, php, phone-home. Nobody may have that, and no pattern can be asked.
   All but libssl and tzdata, and never phone-home? - curl. No rule is broken: this is the plan.
3. What would nginx 2 take, alone? - libssl. So it needs what is held.
   What would php 2 take, alone? - phone-home. So it needs what is blocked.

Step 2 is left out, since no exception lets anything move only as a dependency.
"""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeVar, assert_never

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import (
    Answer,
    Change,
    Exchange,
    Mode,
    Observation,
    Offer,
    Question,
    Unmet,
)
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.facts.unneeded import UnneededSeen
from reconciler.planning.resolving.selection import (
    ExceptionBlock,
    ExceptionHold,
    FailedBefore,
    NotAdmitted,
    Obstacle,
    OperatorHold,
    OutsideMode,
    Rules,
    SeenMachine,
    Standing,
    Unwanted,
    WaitsFor,
    Wanted,
    against_change,
    latest,
    moves,
    standings_of,
)
from reconciler.planning.resolving.unneeded import NOTHING, Candidates, Removals
from reconciler.planning.resolving.why_absent import Case, Explanation, KeptBack
from reconciler.planning.resolving.youth import TooYoung
from reconciler.planning.text.wording import listed, sentence
from reconciler.policy.match import is_pattern
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass

ROUNDS = 8
"""How often one question is put again without the culprits of its answer, before the planner gives up."""

WIDENING = 32
"""How often a manager without partial upgrades is asked again without what the exclusions make impossible."""

READMITTING = 24
"""How often is tried whether what the exclusions made impossible can come after all, now that others stay."""

TRIALS = 24
"""How many questions may go into finding out which of the permitted dependencies are needed."""

EXPLAINING = 12
"""How many questions may go into explaining why updates are missing, those of the security service first."""

UNANSWERED = 2
"""After so many of these questions that had no answer, such as in time, no more are asked."""

Kind = Literal["operator", "hold", "block", "young", "dependency", "removal", "unmet", "source"]
"""Why a package is left out of a question.

``dependency``: it moves only where another update needs it. ``removal``: it would remove what must stay.
``unmet``: it cannot move beside what stays behind. ``source``: no source that counts has it; never asked.
"""

_OF_POLICY: tuple[Kind, ...] = ("hold", "block", "young", "dependency", "removal", "unmet")

T = TypeVar("T")
Named = TypeVar("Named", Mention, PackageId)
Talk = Generator[Question, Answer, T]


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no transaction.

    Attributes:
        reason: CamelCase word, as conditions use.
        message: One sentence for people.
    """

    reason: Literal["Unresolvable", "ExclusionIgnored", "TooManyQuestions", "RemovalsForced", "Unanswered"]
    message: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of the conversation.

    Attributes:
        changes: The transaction, in the manager's order.
        explanations: For wanted updates that are not in it.
        failure: Why there is no transaction although something is wanted.
        waiting: What everything waits for, where the manager knows no partial upgrades.
        spared: What a full upgrade would remove, nobody knows for the sake of which update, and must stay.
        removals: What goes because nothing needs it, which stands first among the changes.
    """

    changes: tuple[Change, ...] = ()
    explanations: Mapping[PackageId, Explanation] | None = None
    failure: Failure | None = None
    waiting: WaitsFor | None = None
    spared: frozenset[PackageId] = frozenset()
    removals: Removals = NOTHING

    def and_removing(self, removals: Removals) -> "Resolution":
        """Return it with what goes because nothing needs it."""
        return replace(self, changes=(*removals.going, *self.changes), removals=removals)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a question leaves out, and why."""

    key: Mention
    slot: Literal["exclude", "block"]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Wish:
    """A question before it is put into words.

    Attributes:
        spared: What an answer would have removed, and whose doing that is nobody knows.
    """

    mode: Mode
    security: bool
    limits: frozenset[Limit]
    choices: tuple[Wanted, ...]
    include: frozenset[PackageId]
    spared: frozenset[PackageId] = frozenset()

    def sparing(self, packages: Iterable[PackageId], limits: frozenset[Limit]) -> "Wish":
        """Return the wish in which these packages must stay, by these limits."""
        return replace(self, spared=self.spared.union(packages), limits=self.limits | limits)

    def safely(self) -> "Wish":
        """Return the wish by which nothing is removed, so that nothing need be spared by limits."""
        kept = {package.mention for package in self.spared}
        limits = frozenset(one for one in self.limits if one.kind != "removal" or one.key not in kept)
        return replace(self, mode="safe", limits=limits)

    def without(self, kinds: Iterable[Kind]) -> "Wish":
        """Return the wish without its limits and choices of these kinds."""
        lifted = frozenset(kinds)
        return replace(
            self,
            limits=frozenset(limit for limit in self.limits if limit.kind not in lifted),
            choices=tuple(
                wanted
                for wanted in self.choices
                # An older version is chosen for the sake of what stands against the newer ones: with all of
                # that lifted, the manager chooses by itself again.
                if not {kind_of(obstacle) for obstacle in wanted.passed_over} <= lifted | {"source"}
            ),
        )

    def limits_of(self, kind: Kind) -> tuple[Limit, ...]:
        """Return the limits of a kind, sorted."""
        return tuple(
            sorted((limit for limit in self.limits if limit.kind == kind), key=lambda limit: limit.key)
        )

    def question(self, arches: Mapping[str, frozenset[str]]) -> Question:
        """Put it into words; ``arches`` are the architectures in which each name is installed.

        Nothing is wished of what cannot come.
        """
        unmet = by_name(limit.key for limit in self.limits_of("unmet"))

        def can_come(package: PackageId) -> bool:
            return not any(key.means(package) for key in unmet.get(package.name, ()))

        named = {
            wanted.offer.package.mention: wanted.version.version
            for wanted in self.choices
            if can_come(wanted.offer.package)
        }
        versions = sorted(set(named.values()))
        chosen = {
            (token, version)
            for version in versions
            for token in tokens((key for key, taken in named.items() if taken == version), arches)
        }
        return Question(
            mode=self.mode,
            security=self.security,
            exclude=tokens((limit.key for limit in self.limits if limit.slot == "exclude"), arches),
            block=tokens((limit.key for limit in self.limits if limit.slot == "block"), arches),
            choose=tuple(sorted(chosen)),
            include=tokens((package.mention for package in filter(can_come, self.include)), arches),
        )


def by_name(named: Iterable[Named]) -> Mapping[str, Sequence[Named]]:
    """Group what has a name by it, in order: of many thousand, not each is to be compared with all."""
    found: defaultdict[str, list[Named]] = defaultdict(list)
    for one in named:
        found[one.name].append(one)
    return found


def tokens(keys: Iterable[Mention], arches: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Name packages for a question, sorted: by name where all installed architectures are meant."""
    wanted: dict[str, set[str]] = {}
    for key in keys:
        wanted.setdefault(key.name, set()).add(key.arch)
    found: set[str] = set()
    for name, meant in wanted.items():
        installed = arches.get(name, frozenset())
        # A bare name means every architecture to a manager, so it is said where every one is meant, and
        # nowhere else.
        if "" in meant or installed <= meant:
            found.add(name)
        else:
            found.update(str(PackageId(name, arch)) for arch in meant)
    return tuple(sorted(found))


def kind_of(obstacle: Obstacle) -> Kind:
    """Name the kind of limit that an obstacle puts on a question."""
    match obstacle:
        case OperatorHold():
            return "operator"
        case ExceptionHold() | FailedBefore():
            return "hold"
        case ExceptionBlock():
            return "block"
        case NotAdmitted():
            return "source"
        case OutsideMode():
            return "dependency"
        case TooYoung() | WaitsFor():
            return "young"
        case _:
            assert_never(obstacle)


@dataclass(frozen=True, slots=True)
class _Settled:
    wish: Wish
    answer: Answer


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything the conversation is made from; `talk` holds it.

    Attributes:
        case: The offers, and what policy says of each.
        unneeded: What nothing needed any more at the look before.
        running: Release of the kernel that runs.
    """

    case: Case
    unneeded: UnneededSeen | None = None
    running: str = ""

    @property
    def rules(self) -> Rules:
        """What policy, operator and evidence say."""
        return self.case.rules

    @property
    def offers(self) -> Mapping[PackageId, Offer]:
        """The offered updates."""
        return self.case.offers

    @property
    def standings(self) -> Mapping[PackageId, Standing]:
        """What policy says of each."""
        return self.case.standings

    @classmethod
    def of(
        cls, observation: Observation, effective: Effective, now: datetime, machine: SeenMachine | None = None
    ) -> "Conversation":
        """Prepare it, as for :meth:`Rules.of`; nothing is asked yet."""
        rules = Rules.of(observation, effective, now, machine)
        offers = {
            offer.package: offer for offer in sorted(observation.offers, key=lambda offer: offer.package)
        }
        case = Case(rules, offers, standings_of(offers, rules))
        return cls(case, observation.unneeded, observation.facts.kernel)

    def replay(self, exchanges: Iterable[Exchange], *, knows_unused: bool = True) -> Question | Resolution:
        """Hold it with recorded answers; return its result, or the first question that has none.

        Args:
            exchanges: The answers.
            knows_unused: What was not asked about unused packages is a question without an answer; else it
                counts as one that was not answered, so that nothing goes for it.
        """
        answers: dict[Question, Answer] = {}
        for exchange in exchanges:
            # Of a question that stands twice in a recording the first answer counts, as it did when it was
            # made.
            answers.setdefault(exchange.question, exchange.answer)
        talk = self.talk()
        try:
            question = next(talk)
            while (answer := answers.get(question)) is not None or (
                question.is_of_unused and not knows_unused
            ):
                question = talk.send(answer or _NOT_ASKED)
        except StopIteration as end:
            result: Resolution = end.value
            return result
        return question

    def talk(self) -> Talk[Resolution]:
        """Yield questions, take answers, and return what came of them."""
        resolution = yield from self._updates()
        candidates = Candidates(self.rules, self.unneeded, self.running, resolution.changes)
        removals = yield from candidates.talk()
        return resolution.and_removing(removals)

    def _updates(self) -> Talk[Resolution]:
        wish = self._first_wish()
        if wish.without(["young"]) != wish:
            # Packages that would come in new are seen in answers only: they must not be seen for the first
            # time when those that need them are old enough already.
            yield self._ask(wish.without(["young"]))
        if not self._wanted():
            return Resolution()
        settled = yield from self._settle(wish)
        if isinstance(settled, Failure):
            return Resolution(failure=settled)
        if isinstance(settled, WaitsFor):
            return Resolution(waiting=settled)
        settled = yield from self._allow_dependencies(settled)
        settled = yield from self._readmit(settled)
        explanations = yield from self._explain(settled)
        return Resolution(settled.answer.changes, explanations, spared=settled.wish.spared)

    def _wanted(self) -> frozenset[PackageId]:
        return frozenset(
            key
            for key, standing in self.standings.items()
            if isinstance(standing, Wanted) and standing.only_as_dependency is None
        )

    def missing(self, changes: Iterable[Change]) -> frozenset[PackageId]:
        """Return the wanted updates that a transaction leaves out and phasing does not explain."""
        moved = moves(changes, self.offers)
        return frozenset(
            key for key in self._wanted() if key not in moved and not _is_phased(self.standings[key])
        )

    @property
    def plain_question(self) -> Question:
        """What is asked first of the plan itself, as far as settings say it: without what it leaves out."""
        settings, asked = self.rules.effective.settings, self.rules.asked
        is_whole = settings.updates == "all"
        return Question(
            # Security updates alone never remove anything, so there is nothing that "full" could add.
            mode="full" if settings.upgrade == "full" and is_whole else "safe",
            security=not is_whole,
            # What counts as security, and which sources are as if not there, is the same in all questions of
            # a plan.
            security_sources=asked.security,
            without=asked.without,
        )

    def unrestricted(self) -> Iterator[Question]:
        """Yield what would be asked if policy kept nothing back, where it does; other holds stand.

        To want security updates alone keeps the others back.
        """
        rules, wish = self.rules, self._first_wish()
        settings = rules.effective.settings
        free = replace(wish.without(_OF_POLICY), include=frozenset())
        is_free = (free.limits, free.choices) == (wish.limits, wish.choices)
        if is_free and settings.updates != "security":
            return
        mode: Mode = "full" if settings.upgrade == "full" else "safe"
        yield self._ask(replace(free, mode=mode, security=False))
        if rules.machine.traits.tells_security and not is_free:
            yield self._ask(replace(free, mode="safe", security=True))

    # --- Step 1 -------------------------------------------------------------------------------------------

    def _first_wish(self) -> Wish:
        plain = self.plain_question
        wanted = [standing for standing in self.standings.values() if isinstance(standing, Wanted)]
        return Wish(
            mode=plain.mode,
            security=plain.security,
            limits=frozenset(self._limits()),
            choices=tuple(standing for standing in wanted if standing.chosen),
            # Of what takes the place of a package, dnf is told the old name and zypper the new one.
            include=frozenset(
                package
                for standing in wanted
                if standing.included_by is not None and plain.security
                for package in (*standing.offer.replaces, standing.offer.package)
            ),
        )

    def _limits(self) -> Iterable[Limit]:
        for key, standing in self.standings.items():
            match standing:
                case Wanted(only_as_dependency=None):
                    pass
                case Wanted():
                    yield self._limit(key, "dependency")
                case Unwanted(obstacles=obstacles):
                    yield from self._limits_of(key, obstacles)
        for placed in self.rules.exceptions:
            if placed.value.action == "block" and placed.value.is_about_all:
                for pattern in placed.value.packages:
                    if not is_pattern(pattern):
                        yield Limit(Mention.parse(pattern), "block", "block")

    def _limits_of(self, key: PackageId, obstacles: tuple[Obstacle, ...]) -> Iterable[Limit]:
        outside = any(isinstance(obstacle, OutsideMode) for obstacle in obstacles)
        for obstacle in obstacles:
            match obstacle:
                case NotAdmitted():
                    pass
                case OutsideMode(by="security"):
                    pass  # The security service does not offer it, so it moves only where it is needed.
                case TooYoung() if outside:
                    pass  # It is refused when an answer wants it; until then the question stays short.
                case ExceptionBlock():
                    yield Limit(key.mention, "block", kind_of(obstacle))
                case _:
                    yield self._limit(key, kind_of(obstacle))

    def _limit(self, key: PackageId, kind: Kind) -> Limit:
        """Keep a package where it is; one that is not there, out."""
        return Limit(key.mention, "exclude" if key.name in self.rules.machine.arches else "block", kind)

    def _resolvable(self, wish: Wish) -> Talk[tuple[Wish, Answer]]:
        """Ask, and where what stays behind makes all impossible, again without what cannot be beside it."""
        answer = yield self._ask(wish)
        # Those that leave out have done so in their first answer.
        for _ in range(WIDENING if not self.rules.machine.traits.leaves_out else 0):
            unmet = self._beside(answer.unmet, wish.limits)
            if answer.exit_code in exit_codes.WELL or not unmet:
                break
            wish = replace(wish, limits=wish.limits | unmet)
            answer = yield self._ask(wish)
        return wish, answer

    def _beside(self, unmet: Iterable[Unmet], limits: frozenset[Limit]) -> frozenset[Limit]:
        """Name what cannot move and is not left out yet: who declares a relation that is not met.

        Of a conflict, who is wanted. Where that one stays behind already, or nobody is, it is what another
        update brings in.
        """
        stay = {limit.key for limit in limits}
        offered, wanted = by_name(self.offers), by_name(self._wanted())

        def is_wanted(one: Mention) -> bool:
            return any(map(one.means, wanted.get(one.name, ())))

        def keeping_out(one: Mention) -> list[Limit]:
            known = [self._limit(key, "unmet") for key in offered.get(one.name, ()) if one.means(key)]
            return known or [Limit(one, "block", "unmet")]

        found: set[Limit] = set()
        for relation in unmet:
            meant = [Mention.parse(relation.package)]
            if relation.kind == "Conflicts":
                meant.append(Mention.parse(relation.needs))
                meant.sort(key=is_wanted, reverse=True)
            more = ([limit for limit in keeping_out(one) if limit.key not in stay] for one in meant)
            found.update(next(filter(None, more), ()))
        return frozenset(found)

    def _readmit(self, settled: _Settled) -> Talk[_Settled]:
        """Let come after all what can beside what stays behind now, tried by halves."""
        left: list[tuple[Limit, ...]] = [settled.wish.limits_of("unmet")]
        guilty: list[tuple[Limit, ...]] = []
        for _ in range(READMITTING):
            if not left or not left[0]:
                break
            group = left.pop(0)
            wish = replace(settled.wish, limits=settled.wish.limits.difference(group))
            judged = self._judged(wish, (yield self._ask(wish)))
            if isinstance(judged, _Settled) and self._is_no_less(judged, settled):
                # What came now may be what another one waits for.
                settled, left, guilty = judged, left + guilty, []
            elif len(group) > 1:
                left += [group[: len(group) // 2], group[len(group) // 2 :]]
            else:
                guilty.append(group)
        return settled

    def _is_no_less(self, settled: _Settled, than: _Settled) -> bool:
        return self.missing(settled.answer.changes) <= self.missing(than.answer.changes)

    def _settle(self, wish: Wish) -> Talk[_Settled | Failure | WaitsFor]:
        """Ask until the answer breaks no rule."""
        for _ in range(ROUNDS):
            wish, answer = yield from self._resolvable(wish)
            match self._judged(wish, answer):
                case Wish() as other:
                    wish = other
                case Failure() if wish.spared and wish.mode == "full":
                    wish = wish.safely()
                case settled:
                    return settled
        return Failure("TooManyQuestions", f"no acceptable transaction was found in {ROUNDS} attempts")

    def _judged(self, wish: Wish, answer: Answer) -> _Settled | Failure | WaitsFor | Wish:
        """Say what an answer settles, or what is to be asked instead, without its culprits."""
        refused = self.case.refused(answer.changes)
        # An answer that removes too much may well say so by its code: it is asked again without that, and has
        # not failed yet.
        if not refused and (answer.message or answer.exit_code not in exit_codes.WELL):
            words = sentence(answer.message) or f"it ended with code {answer.exit_code}"
            return Failure("Unresolvable", f"the package manager cannot resolve the transaction: {words}")
        culprits = self._culprits(answer.changes)
        if waiting := self._new_and_young(answer.changes):
            return waiting
        # It was told to leave these alone. Asked once more with the same limits, it would do the same again.
        if ignored := culprits & wish.limits:
            names = ", ".join(sorted({str(limit.key) for limit in ignored}))
            return Failure("ExclusionIgnored", f"the package manager moves {names} although it was excluded")
        if strangers := self._strangers(answer.changes):
            words = f"the package manager takes {listed(strangers)} from a source that it was to do without"
            return Failure("ExclusionIgnored", words)
        if not refused:
            return replace(wish, limits=wish.limits | culprits) if culprits else _Settled(wish, answer)
        return self._without_removals(wish, refused, culprits)

    def _without_removals(
        self, wish: Wish, refused: Sequence[Change], culprits: frozenset[Limit]
    ) -> Failure | Wish:
        """Leave out whose doing the removals are.

        Where nobody knows whose, what would go must stay; where that does not do either, nothing is removed.
        """
        doers = self._doers(refused)
        is_explained = all(change.by for change in refused) and not doers & wish.limits
        # Nothing is removed in this mode, and yet something is: there is nothing gentler left to ask.
        if wish.mode == "safe" and not is_explained:
            names = ", ".join(self.rules.machine.name_of(change.package) for change in refused)
            return Failure("RemovalsForced", f"every transaction would remove {names}")
        wish = replace(wish, limits=wish.limits | culprits)
        if is_explained:
            return replace(wish, limits=wish.limits | doers)
        gone = frozenset(change.package for change in refused)
        if wish.spared or gone & self.offers.keys():
            # What has an update of its own would stay without it.
            return wish.sparing(gone, frozenset()).safely()
        return wish.sparing(gone, frozenset(self._limit(package, "removal") for package in gone))

    def _new_and_young(self, changes: Iterable[Change]) -> WaitsFor | None:
        if self.rules.machine.traits.knows_partial_upgrades:
            return None
        against = [(change.package, against_change(change, self.offers, self.rules)) for change in changes]
        return latest((obstacles[0], package) for package, obstacles in against if obstacles)

    def _doers(self, refused: Iterable[Change]) -> frozenset[Limit]:
        names = {name for change in refused for name in change.by}
        keys = {key for key in self.offers if key.name in names}
        new = names - {key.name for key in keys}
        return frozenset(
            [self._limit(key, "removal") for key in keys]
            + [Limit(Mention(name), "block", "removal") for name in new]
        )

    def _ask(self, wish: Wish, only: PackageId | None = None) -> Question:
        question = replace(
            wish.question(self.rules.machine.arches),
            security_sources=self.rules.asked.security,
            without=self.rules.asked.without,
        )
        if only is None:
            return question
        (name,) = tokens([only.mention], self.rules.machine.arches)
        # From every source, so that the answer shows what would have to come from one that does not count.
        return replace(question, without=(), only=(name, self.standings[only].version.version))

    def _culprits(self, changes: Iterable[Change]) -> frozenset[Limit]:
        return frozenset(
            limit
            for key, change in moves(changes, self.offers).items()
            for limit in self._limits_of(key, against_change(change, self.offers, self.rules))
        )

    def _strangers(self, changes: Iterable[Change]) -> tuple[str, ...]:
        """Name what would come from sources that the manager was told to do without: it did not know them."""
        return tuple(
            self.rules.machine.name_of(change.package)
            for change in changes
            if any(isinstance(one, NotAdmitted) for one in against_change(change, self.offers, self.rules))
        )

    # --- Step 2 -------------------------------------------------------------------------------------------

    def _allow_dependencies(self, settled: _Settled) -> Talk[_Settled]:
        missing = self.missing(settled.answer.changes)
        if not missing or not any(limit.kind == "dependency" for limit in settled.wish.limits):
            return settled
        # What lacked a dependency may have it now.
        wider = yield from self._settle(settled.wish.without(["dependency", "unmet"]))
        if not isinstance(wider, _Settled):
            return settled
        still = self.missing(wider.answer.changes)
        if not still < missing:
            return settled
        narrowed = yield from self._narrow(wider, settled.wish.limits_of("dependency"), still)
        return narrowed or settled

    def _narrow(
        self, wider: _Settled, spare: tuple[Limit, ...], still: frozenset[PackageId]
    ) -> Talk[_Settled | None]:
        """Take back every permission that no wanted update needs, by halves; give up after `TRIALS`."""
        left = [spare]
        for _ in range(TRIALS):
            if not left:
                return wider
            group = left.pop(0)
            trial = yield from self._settle(replace(wider.wish, limits=wider.wish.limits.union(group)))
            # Without these permissions nothing wanted is lost, so nobody needed them.
            if isinstance(trial, _Settled) and self.missing(trial.answer.changes) <= still:
                wider = trial
            elif len(group) > 1:
                left += [group[: len(group) // 2], group[len(group) // 2 :]]
        return None if left else wider

    # --- Step 3 -------------------------------------------------------------------------------------------

    def _explain(self, settled: _Settled) -> Talk[dict[PackageId, Explanation]]:
        missing = self.missing(settled.answer.changes)
        said = list(map(Mention.parse, settled.answer.kept_back))
        explained: dict[PackageId, Explanation] = {
            key: KeptBack(any(one.means(key) for one in said)) for key in missing
        }
        # With nothing forbidden, what moves along and must not is what the update needs. Where nothing does,
        # the answer would be the same with everything forbidden.
        wish = replace(settled.wish, mode="full").without(_OF_POLICY)
        # There may be thousands, and each is a question: security updates first.
        urgent = sorted(missing, key=lambda key: (not self.standings[key].version.security, key))
        silent = 0
        for key in urgent[:EXPLAINING]:
            if silent == UNANSWERED:
                break
            answer = yield self._ask(wish, key)
            silent += not answer.is_given
            failure = "" if answer.is_given else sentence(answer.message)
            unknown = KeptBack(any(one.means(key) for one in said), failure)
            explained[key] = self.case.judge(key, answer, settled.wish.mode) or unknown
        return explained


_NOT_ASKED = Answer((), exit_code=exit_codes.OTHER)


def _is_phased(standing: Standing) -> bool:
    return isinstance(standing, Wanted) and standing.version.phased is not None


def unrestricted(
    observation: Observation, effective: Effective, answered: Sequence[Exchange], now: datetime
) -> tuple[Question, ...]:
    """Return what planning has no reason to ask, and whoever would lift a hold or want more wants to know.

    Args:
        observation: As for :func:`next_question`.
        effective: Policy in force for it.
        answered: The whole conversation that planning led.
        now: The instant of it.

    Returns:
        Where policy keeps something from moving: what would move without that, of all updates and, where the
        manager can tell them, of security updates alone. None that was asked.
    """
    asked = {one.question for one in answered}
    every = Conversation.of(observation, effective, now).unrestricted()
    return tuple(question for question in every if question not in asked)


def next_question(
    observation: Observation, effective: Effective, answered: Sequence[Exchange], now: datetime
) -> Question | None:
    """Say what the resolver must be asked next, or that nothing is left to ask.

    Args:
        observation: Of the machine; taken once, before the first question.
        effective: Policy in force for it.
        answered: Every exchange so far, in any order.
        now: The same instant for a whole conversation, and for the plan made from it.

    Returns:
        A question that is not among ``answered``, or ``None`` when the plan can be made. The number of
        questions is bounded whatever the answers are.
    """
    found = Conversation.of(observation, effective, now).replay(answered)
    return found if isinstance(found, Question) else None
