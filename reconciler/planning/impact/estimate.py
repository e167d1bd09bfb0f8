"""A transaction that no recorded answer gives, estimated from those that there are.

A plan is exact where the whole conversation with the package manager was recorded. Where policy would have it
asked something else, this is what is most likely to come of it. One recorded answer is taken for the begin,
of those about the same sort of update the one with the least left out, and then:

1. ``hold-added``, ``min-age``: what must not move is left out of it, with what would come only for its sake
   and with what needs it.
2. ``security``: where only security updates are wanted, and no answer is about these, so is what policy does
   not want and nothing that moves needs. Where no updates are wanted, security updates do not come either.
3. ``hold-lifted``: what is wanted, and was left out of that question, comes, with all that its own recorded
   answer brings in for it where there is one. What the package manager left out by itself stays out, unless
   it may remove something now and its own answer says what.

Every package whose fate is decided so has the rule beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Change, Exchange, Question
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.impact.effect import Rule
from reconciler.planning.resolving.dialogue import Conversation
from reconciler.planning.resolving.selection import (
    NotAdmitted,
    Obstacle,
    OutsideMode,
    Unwanted,
    WaitsFor,
    Wanted,
    against_change,
    moves,
)
from reconciler.planning.resolving.youth import TooYoung
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a package manager would probably do.

    Attributes:
        changes: The transaction.
        rules: By which rule the fate of a package was estimated; of others, ``usual`` is the rule.
        usual: The rule by which the answer was chosen.
    """

    changes: tuple[Change, ...]
    rules: Mapping[PackageId, Rule]
    usual: Rule

    def rule_of(self, package: PackageId) -> Rule:
        """Return the rule by which the fate of a package was estimated."""
        return self.rules.get(package, self.usual)


def estimate(conversation: Conversation, exchanges: Sequence[Exchange]) -> Estimate:
    """Estimate what would come of a conversation that the exchanges do not hold whole.

    Args:
        conversation: With the policy and the instant that are asked about.
        exchanges: Everything that was asked of the package manager by whatever policy, with its answers.
    """
    asked = conversation.plain_question
    start = _nearest(asked, exchanges)
    draft = _Draft(conversation, exchanges, start, asked)
    draft.leave_out()
    draft.let_come()
    return Estimate(tuple(draft.changes.values()), draft.rules, draft.usual)


def certain(conversation: Conversation) -> frozenset[PackageId]:
    """Return the updates that stay as they are whatever the answers: policy, operator or time keep them."""
    return frozenset(
        package
        for package, standing in conversation.standings.items()
        if isinstance(standing, Unwanted) and _is_certain(standing.obstacles)
    )


def _is_certain(obstacles: tuple[Obstacle, ...]) -> bool:
    lasting = [one for one in obstacles if not isinstance(one, OutsideMode | NotAdmitted)]
    if any(isinstance(one, OutsideMode) for one in obstacles):
        lasting = [one for one in lasting if not isinstance(one, TooYoung)]
    return bool(lasting)


def _nearest(asked: Question, exchanges: Iterable[Exchange]) -> Exchange | None:
    """Return the answer to begin with, ``None`` where there is none."""
    given = [
        one for one in exchanges if one.question.only is None and one.answer.exit_code in exit_codes.WELL
    ]
    known = [one for one in given if _is_alike(one.question, asked)]
    if not known and asked.security:
        known = [one for one in given if not one.question.security] or given  # security updates among others

    def distance(one: Exchange) -> tuple[bool, int]:
        question = one.question
        return question.mode != asked.mode, len(question.exclude) + len(question.block)

    return min(known, key=distance, default=None)


def _is_alike(one: Question, asked: Question) -> bool:
    """Tell whether a question is about the same sort of update: which those are, sources of security say."""
    return one.security == asked.security and (
        not asked.security or one.security_sources == asked.security_sources
    )


@dataclass(slots=True)
class _Draft:
    """A transaction while it is estimated.

    Attributes:
        changes: By package, in the package manager's order.
        gone: What was left out of the answer.
        led: Those of the answer that move for the sake of others, in its order.
    """

    conversation: Conversation
    exchanges: Sequence[Exchange]
    start: Exchange | None
    asked: Question
    changes: dict[PackageId, Change] = field(init=False)
    rules: dict[PackageId, Rule] = field(default_factory=dict)
    gone: set[PackageId] = field(default_factory=set)
    led: Mapping[PackageId, Change] = field(init=False)

    def __post_init__(self) -> None:
        self.changes = moves(self._begin, self.conversation.offers)
        self.led = {package: change for package, change in self.changes.items() if change.by}

    @property
    def _begin(self) -> tuple[Change, ...]:
        return () if self.start is None else self.start.answer.changes

    @property
    def usual(self) -> Rule:
        return Rule.SECURITY if self.asked.security else Rule.HOLD_LIFTED

    def leave_out(self) -> None:
        """Leave out what must not move, and what depends on that."""
        case = self.conversation.case
        for package, change in list(self.changes.items()):
            if found := against_change(change, case.offers, case.rules):
                self._drop(package, _rule_against(found))
        for package in [one for one in self.changes if self._is_excluded(one)]:
            self._drop(package, Rule.SECURITY)
        for change in case.refused(self.changes.values()):
            self._drop(change.package, Rule.HOLD_ADDED)
            for name in change.by:
                self._drop_named(name, Rule.HOLD_ADDED)
        for package in [one for one in self.changes if self._is_unasked(one)]:
            self._drop(package, Rule.SECURITY)

    def _is_excluded(self, package: PackageId) -> bool:
        """Tell whether policy does not want it, and asks with it left out."""
        standing = self.conversation.standings.get(package)
        obstacles = standing.obstacles if isinstance(standing, Unwanted) else ()
        return any(isinstance(one, OutsideMode) and one.by != "security" for one in obstacles)

    def _drop(self, package: PackageId, rule: Rule) -> None:
        """Leave out a package, what needs it, and what would come only for its sake."""
        change = self.changes.pop(package, None)
        if change is None:
            return
        self.gone.add(package)
        self.rules[package] = rule
        for name in change.by:
            if change.to_version is not None:
                self._drop_named(name, rule)
        names = {one.name for one in self.gone} if self.led else set()
        for other, each in self.led.items():
            if names.issuperset(each.by) and not self._is_wanted(other):
                self._drop(other, rule)

    def _drop_named(self, name: str, rule: Rule) -> None:
        for package in [one for one in self.changes if one.name == name]:
            self._drop(package, rule)

    def _is_wanted(self, package: PackageId) -> bool:
        standing = self.conversation.standings.get(package)
        return isinstance(standing, Wanted) and standing.only_as_dependency is None

    def _is_unasked(self, package: PackageId) -> bool:
        """Tell whether policy does not want an update, and nothing that moves needs it."""
        standing = self.conversation.standings.get(package)
        is_asked = self.start is not None and self.start.question.security
        if standing is None or self._is_wanted(package) or is_asked:
            return False
        moving = {one.name for one in self.changes if one != package and self._is_wanted(one)}
        return not moving & {*self.changes[package].by}

    def let_come(self) -> None:
        """Let come what is wanted and was left out of the question, or in another version."""
        for package, standing in self.conversation.standings.items():
            if not isinstance(standing, Wanted) or standing.only_as_dependency or standing.version.phased:
                continue
            version, moved = standing.version.version, self.changes.get(package)
            if moved is not None and moved.to_version == version:
                continue
            if moved is None and not self._was_left_out(package, standing):
                continue
            self._let_come(package, standing)

    def _was_left_out(self, package: PackageId, standing: Wanted) -> bool:
        """Tell whether the question left it out: else the manager keeps it back by itself."""
        if self.start is None or package in self.gone:
            return True
        question = self.start.question
        if (question.mode, self.asked.mode) == ("safe", "full") and self._alone(package, standing):
            return True
        if self._is_from_another_source(question, standing):
            return True
        named = (*question.exclude, *question.block, *(name for name, _ in question.choose))
        if question.security and not standing.version.security:
            return not any(Mention.parse(one).means(package) for one in question.include)
        return any(Mention.parse(one).means(package) for one in named)

    def _is_from_another_source(self, question: Question, standing: Wanted) -> bool:
        """Tell whether only sources have the version that count again, and the question did without."""
        absent = {*question.without} - {*self.asked.without}
        known = self.conversation.rules.machine.sources
        origins = standing.version.origins
        return bool(absent and origins) and all(
            name in known and absent.issuperset(one.identity for one in known[name]) for name in origins
        )

    def _let_come(self, package: PackageId, standing: Wanted) -> None:
        offer, case = standing.offer, self.conversation.case
        change = self._alone(package, standing) or (
            Change(
                "install" if offer.replaces else "upgrade",
                offer.name,
                offer.arch,
                None if offer.replaces else offer.installed,
                standing.version.version,
                standing.version.origins[0] if standing.version.origins else "",
                size=standing.version.size,
                sha256=standing.version.sha256,
                security=standing.version.security,
            ),
        )
        found = moves(change, case.offers)
        is_refused = case.refused(change) or any(
            against_change(each, case.offers, case.rules) for each in found.values()
        )
        if is_refused or (package in self.gone and self._needs_what_is_gone(package)):
            return
        rule = self.rules.get(package, Rule.HOLD_LIFTED)
        for other, each in found.items():
            self.changes.setdefault(other, each)
            self.rules.setdefault(other, rule)
        self.changes[package] = found[package]
        self.rules[package] = rule

    def _alone(self, package: PackageId, standing: Wanted) -> tuple[Change, ...]:
        """Return what the recorded answer about this version alone moves; nothing where there is none."""
        for one in self.exchanges:
            only = one.question.only
            if only is None or only[1] != standing.version.version or not one.answer.is_given:
                continue
            found = moves(one.answer.changes, self.conversation.offers)
            if Mention.parse(only[0]).means(package) and package in found:
                return one.answer.changes
        return ()

    def _needs_what_is_gone(self, package: PackageId) -> bool:
        """Tell whether it was left out for the sake of something else."""
        change = next((one for one in self._begin if one.package == package), None)
        case = self.conversation.case
        return change is not None and not against_change(change, case.offers, case.rules)


def _rule_against(obstacles: tuple[Obstacle, ...]) -> Rule:
    return Rule.MIN_AGE if isinstance(obstacles[0], TooYoung | WaitsFor) else Rule.HOLD_ADDED
