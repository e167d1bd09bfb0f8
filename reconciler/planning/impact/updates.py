"""What becomes of the updates of a host when its policy changes.

The rules:

1. Where two policies want the same of updates, nothing is asked: they have the same plans.
2. Where the recorded answers of the package manager hold the whole conversation that a policy would lead, its
   plan is exact: it is the one that the host would make of what it saw.
3. Else it is estimated (:mod:`reconciler.planning.impact.estimate`), and each line that depends on that names
   its rule. What policy alone keeps as it is depends on no answer, and stays exact.
4. Without a recording it is counted (:mod:`reconciler.planning.impact.counting`).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Literal

from reconciler.planning.facts.observation import Observation
from reconciler.planning.facts.package import PackageId
from reconciler.planning.gates.recording import Recording
from reconciler.planning.gates.security_plan import lets_security_through, passed_freeze
from reconciler.planning.impact.effect import LetThrough, Rule, UpdateChange, UpdatesEffect
from reconciler.planning.impact.estimate import Estimate, certain, estimate
from reconciler.planning.resolving.approval import approvals_of
from reconciler.planning.resolving.dialogue import Conversation, Resolution
from reconciler.planning.resolving.dispositions import Disposition, Update
from reconciler.planning.resolving.plan import Account, security_only
from reconciler.planning.resolving.selection import SeenMachine
from reconciler.planning.resolving.sources import offers_under
from reconciler.policy.documents import PackageException
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass

_OF_PLANS = (
    "updates",
    "severity",
    "kinds",
    "min_age",
    "as_of",
    "sources",
    "security_sources",
    "removals",
    "allow_removals",
    "upgrade",
    "autoremove",
    "approval",
    "deadline",
)
"""Settings that a plan depends on, but for sources that may be missing."""

_Fate = tuple[Disposition, str | None]

_WAITING = frozenset(
    {
        Disposition.HELD,
        Disposition.BLOCKED,
        Disposition.TOO_YOUNG,
        Disposition.NOT_APPROVED,
        Disposition.PHASED,
    }
)


def asks_of_plans(before: Effective, after: Effective, at: datetime) -> bool:
    """Tell whether two policies may make different plans of what is seen of a host at an instant."""
    return _wishes(before, at) != _wishes(after, at)


def _wishes(effective: Effective, at: datetime) -> tuple[object, ...]:
    settings = effective.settings
    exceptions = (one.value for one in effective.exceptions if one.value.ends() > at)
    approvals = approvals_of(effective) if settings.approval == "required" else ()
    return (
        *(getattr(settings, name) for name in _OF_PLANS),
        settings.refresh.may_be_missing,
        frozenset(map(wish_of, exceptions)),
        frozenset((one.plan, one.versions, one.expires > at) for one in approvals),
        lets_security_through(effective, at),
    )


def wish_of(exception: PackageException) -> tuple[object, ...]:
    """Return what a plan depends on of an exception that is in force."""
    sources = exception.sources
    named = None if sources is None else (sources.only, sources.except_)
    return exception.action, exception.packages, exception.versions, named


@dataclass(frozen=True, slots=True)
class _Planned:
    """The plan that a policy would make of what was recorded.

    Attributes:
        account: Of the fate of each update.
        estimate: How it was come by, ``None`` of one that is exact.
        certain: What stays exact all the same.
    """

    account: Account
    estimate: Estimate | None
    certain: frozenset[PackageId]

    @classmethod
    def of(cls, recording: Recording, machine: SeenMachine, effective: Effective, at: datetime) -> "_Planned":
        seen = _seen_under(recording, effective)
        conversation = Conversation.of(seen, effective, at, machine)
        exchanges = (*recording.exchanges, *recording.security_exchanges, *recording.unrestricted)
        found = conversation.replay(exchanges, knows_unused=False)
        if isinstance(found, Resolution):
            return cls(Account.of(conversation, found, seen), None, frozenset())
        guess = estimate(conversation, exchanges)
        account = Account.of(conversation, Resolution(guess.changes, {}), seen)
        return cls(account, guess, certain(conversation))

    def fates(self) -> dict[PackageId, _Fate]:
        """Return what counts of each: the reasons, which cost the most, are asked of what differs alone."""
        return {package: _fate(*self.account.fate_of(package)) for package in self.account.packages()}

    def update_of(self, package: PackageId) -> Update | None:
        """Return an update with its reasons, ``None`` where nothing is to happen to the package."""
        return self.account.update_of(package) if package in self.account.packages() else None

    def late(self, at: datetime) -> set[PackageId]:
        """Return what is overdue at an instant."""
        found = ((one, self.account.deadline_of(one)) for one in self.account.packages())
        return {one for one, deadline in found if deadline is not None and deadline.at <= at}

    def rule_of(self, package: PackageId) -> Rule | None:
        """Return the rule by which the fate of a package was estimated, ``None`` where it is exact."""
        if self.estimate is None or package in self.certain:
            return None
        return self.estimate.rule_of(package)


def _seen_under(recording: Recording, effective: Effective) -> Observation:
    """Return what a host sees under a policy, as far as what it saw under another one tells.

    What failed under another one is tried again. Sources count by what this one says of them.
    """
    seen = recording.observation
    standing = tuple(one for one in seen.quarantined if one.policy_commit == effective.commit)
    asked = (*recording.exchanges, *recording.security_exchanges, *recording.unrestricted)
    serving = frozenset(source for one in asked for source in one.question.security_sources)
    offers = offers_under(seen, effective.settings, serving)
    return replace(seen, quarantined=standing, offers=offers)


def by_recording(recording: Recording, before: Effective, after: Effective, at: datetime) -> UpdatesEffect:
    """Return what becomes of the updates of a host by what it recorded.

    Args:
        recording: Of the host, or of one with the same ``resolution``.
        before: What holds for it by the base.
        after: And by the head.
        at: The instant at which both are judged, aware.
    """
    machine = SeenMachine.of(recording.observation)
    old, new = (_Planned.of(recording, machine, one, at) for one in (before, after))
    changes = sorted(_changes(old, new), key=lambda one: (not one.security, one.name, one.arch))
    guesses = [one.estimate for one in (old, new) if one.estimate is not None]
    rules = {one.estimated for one in changes if one.estimated is not None}
    # Where no line came of it, by which rules nothing did.
    rules = rules or {rule for one in guesses for rule in one.rules.values() or (one.usual,)}
    return UpdatesEffect(
        "estimated" if guesses else "exact",
        tuple(rule for rule in Rule if rule in rules),
        tuple(changes),
        overdue=tuple(map(str, sorted(new.late(at) - old.late(at)))),
        passing=_passing(recording, machine, before, after, at),
    )


def _passing(
    recording: Recording, machine: SeenMachine, before: Effective, after: Effective, at: datetime
) -> LetThrough | None:
    """Return what the head's freeze lets through, where that is another than by the base."""
    was, will = (_let_through(recording, machine, one, at) for one in (before, after))
    return will if will != was else None


def _let_through(
    recording: Recording, machine: SeenMachine, effective: Effective, at: datetime
) -> LetThrough | None:
    if passed_freeze(effective, recording.observation.manager, at) is None:
        return None
    planned = _Planned.of(recording, machine, security_only(effective), at)
    found = (one for one, (fate, _) in planned.fates().items() if fate is Disposition.PLANNED)
    rule = None if planned.estimate is None else Rule.SECURITY
    return LetThrough(tuple(map(str, sorted(found))), rule)


def _changes(old: _Planned, new: _Planned) -> Iterator[UpdateChange]:
    was, will = old.fates(), new.fates()
    for package in sorted(was.keys() | will.keys()):
        is_same = was.get(package) == will.get(package)
        before, after = (None, None) if is_same else (old.update_of(package), new.update_of(package))
        told = after or before
        if told is None:
            continue
        reason = told.reasons[0]
        rule = new.rule_of(package) or old.rule_of(package)
        if rule is Rule.HOLD_LIFTED and before is not None and before.disposition is Disposition.TOO_YOUNG:
            rule = Rule.MIN_AGE
        yield UpdateChange(
            name=told.name,
            arch=told.arch,
            version=told.candidate or "",
            security=told.security or (before is not None and before.security),
            change=_change(before, after),
            before=None if before is None else before.disposition,
            after=None if after is None else after.disposition,
            reason=reason.message if after is not None else "nothing needs it any more",
            origin=reason.origin if after is not None else "",
            estimated=rule,
        )


def _fate(disposition: Disposition, candidate: str | None) -> _Fate:
    """Return what counts of an update's fate: which version is not applied is nobody's concern."""
    is_planned = disposition in (Disposition.PLANNED, Disposition.NOT_APPROVED)
    return disposition, candidate if is_planned else None


def _change(before: Update | None, after: Update | None) -> Literal["comes", "waits", "goes", "differs"]:
    was = before is not None and before.disposition is Disposition.PLANNED
    will = after is not None and after.disposition is Disposition.PLANNED
    if was and will:
        return "differs"
    if will:
        return "comes"
    if not was:
        return "differs"
    return "waits" if after is not None and after.disposition in _WAITING else "goes"
