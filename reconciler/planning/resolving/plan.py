"""Make the plan: from observation, policy, recorded answers and time to the fate of every update."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from reconciler.planning.facts.observation import Available, Change, Exchange, Observation, Offer, Question
from reconciler.planning.facts.package import PackageId
from reconciler.planning.resolving.approval import ApprovalText, approvals_of, digest_of
from reconciler.planning.resolving.conditions import find_conditions
from reconciler.planning.resolving.deadlines import Timekeeper
from reconciler.planning.resolving.dialogue import (
    Conversation,
    Failure,
    Resolution,
)
from reconciler.planning.resolving.dispositions import Deadline, Disposition, Plan, Reason, Update
from reconciler.planning.resolving.reasons import (
    account_of_absence,
    account_of_obstacles,
    disposition_of,
    place_of,
    reasons_for_change,
)
from reconciler.planning.resolving.selection import Rules, Standing, Unwanted, Wanted, moves
from reconciler.planning.resolving.unneeded import unused_by_package
from reconciler.planning.resolving.unneeded_words import reason_of_removal
from reconciler.planning.resolving.why_absent import KeptBack
from reconciler.planning.text.canonical import instant
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass


def make_plan(
    observation: Observation, effective: Effective, exchanges: Sequence[Exchange], now: datetime
) -> Plan:
    """Say what happens to every offered update, and why.

    Args:
        observation: Of the machine.
        effective: Policy in force for it.
        exchanges: The whole conversation that `next_question` led, in any order. Where answers are missing
            the transaction is empty, and the condition ``CannotResolve`` says so.
        now: The instant of the conversation.

    Returns:
        A plan that depends on nothing but the arguments, and not on the order of documents, offers or
        exchanges.
    """
    conversation = Conversation.of(observation, effective, now)
    found = conversation.replay(exchanges)
    if not isinstance(found, Resolution):
        found = Resolution(failure=Failure("Unanswered", "the package manager was not asked everything yet"))
    updates = Account.of(conversation, found, observation).updates()
    return Plan(
        transaction=found.changes,
        updates=updates,
        digest=digest_of(found.changes),
        conditions=find_conditions(observation, conversation.rules, found, updates),
    )


def question_of(plan: Plan, exchanges: Sequence[Exchange]) -> Question:
    """Return the question whose answer is the transaction of ``plan``: its limits hold in every step.

    What goes because nothing needs it was asked for by itself.

    Args:
        plan: Made from ``exchanges``.
        exchanges: The whole conversation.
    """
    updates = tuple(change for change in plan.transaction if not change.unused)
    questions = [
        one.question
        for one in exchanges
        if one.question.only is None and not one.question.is_of_unused and one.answer.changes == updates
    ]
    # Several may have the same answer; the one that the conversation settled on was asked last.
    return questions[-1] if questions else Question()


def security_only(effective: Effective) -> Effective:
    """Return the policy for a freeze that lets security updates pass: only these, and nothing is removed.

    The plan made under it is a plan of its own, with its own conversation and digest. What policy keeps back
    is kept back, and where it wants no updates, or none of that kind, it wants none here either.
    """
    settings = effective.settings
    wanted: dict[str, object] = {"removals": "forbid", "allow_removals": (), "autoremove": "none"}
    if settings.updates == "all":
        wants_it = not settings.kinds or "security" in settings.kinds
        wanted |= {"updates": "security" if wants_it else "none", "kinds": ()}
    settings = settings.model_copy(update=wanted)
    exceptions = tuple(placed for placed in effective.exceptions if placed.value.action != "include")
    return replace(effective, settings=settings, exceptions=exceptions)


@dataclass(frozen=True, slots=True)
class _Approvals:
    """The approvals that cover one transaction.

    Attributes:
        places: Where those in force stand, sorted; ``None`` where policy requires none.
        expired: Those that covered it once.
    """

    digest: str
    places: tuple[str, ...] | None
    expired: tuple[ApprovalText, ...] = ()

    @classmethod
    def of(cls, changes: Sequence[Change], digest: str, effective: Effective, now: datetime) -> "_Approvals":
        if effective.settings.approval == "none":
            return cls(digest, None)
        covering = [approval for approval in approvals_of(effective) if approval.covers(changes, digest)]
        places = tuple(sorted(approval.origin for approval in covering if now < approval.expires))
        return cls(digest, places, tuple(approval for approval in covering if approval.expires <= now))


@dataclass(frozen=True, slots=True)
class Account:
    """Tells the fate of every update, and why, by what came of a conversation or is taken to come of it.

    Attributes:
        conversation: By whose policy and instant.
        resolution: The transaction, or why there is none.
        moved: What it changes, by package: of several changes the one that decides its fate.
        going: What goes since nothing needs it, by package: of some there are several versions.
    """

    conversation: Conversation
    resolution: Resolution
    moved: Mapping[PackageId, Change]
    going: Mapping[PackageId, tuple[Change, ...]]
    _approvals: _Approvals
    _timekeeper: Timekeeper

    @classmethod
    def of(cls, conversation: Conversation, found: Resolution, observation: Observation) -> "Account":
        """Return the account of a machine's updates.

        Args:
            conversation: By whose policy and instant.
            found: The transaction, or why there is none.
            observation: Of the machine.
        """
        rules = conversation.rules
        going = unused_by_package(found.changes)
        moved = moves((one for one in found.changes if not one.unused), conversation.offers)
        # What else there is of a package may have an update, which is not to be lost behind an old kernel.
        known = moved.keys() | conversation.offers.keys()
        leaving = {
            key: gone[0] for key, gone in going.items() if key not in known or not rules.stays(key, gone)
        }
        return cls(
            conversation,
            found,
            {**moved, **leaving},
            going,
            _Approvals.of(found.changes, digest_of(found.changes), rules.effective, rules.now),
            Timekeeper.of(observation, rules),
        )

    def updates(self) -> tuple[Update, ...]:
        """Return every update, sorted."""
        return tuple(map(self.update_of, sorted(self.packages())))

    def packages(self) -> AbstractSet[PackageId]:
        """Return everything that has an update: it is offered, or comes or goes with what is."""
        return self.conversation.offers.keys() | self.moved.keys()

    def update_of(self, package: PackageId) -> Update:
        """Return one update with its reasons, which take most of the time that it takes."""
        offer = self.conversation.offers.get(package)
        change = self.moved.get(package)
        update = self._of_change(self.moved[package]) if offer is None else self._of_offer(package, offer)
        if package not in self.going or (change is not None and change.unused):
            return update
        return replace(update, reasons=(*update.reasons, *self._reasons_of_going(package)))

    def fate_of(self, package: PackageId) -> tuple[Disposition, str | None]:
        """Return the disposition and the candidate of one update, the same as with its reasons."""
        change = self.moved.get(package)
        if change is not None:
            is_approved = self._approvals.places is None or bool(self._approvals.places)
            return Disposition.PLANNED if is_approved else Disposition.NOT_APPROVED, change.to_version
        standing = self.conversation.standings[package]
        if isinstance(standing, Unwanted):
            return disposition_of(standing.obstacles[0]), standing.version.version
        return self._absence(package, standing)[0], standing.version.version

    def deadline_of(self, package: PackageId) -> Deadline | None:
        """Return the deadline of one update, ``None`` where it has none."""
        offer = self.conversation.offers.get(package)
        return None if offer is None else self._timekeeper.deadline_of(offer)

    @property
    def _rules(self) -> Rules:
        return self.conversation.rules

    def _of_offer(self, key: PackageId, offer: Offer) -> Update:
        standing = self.conversation.standings[key]
        change = self.moved.get(key)
        if change is not None:
            return self._planned(offer, standing, change)
        disposition, reasons = self._absence(key, standing)
        available = standing.version
        return Update(
            name=offer.name,
            arch=offer.arch,
            installed=None if offer.replaces else offer.installed,
            candidate=available.version,
            origin=available.origins[0] if available.origins else "",
            security=_fixes_security(offer, available.version),
            disposition=disposition,
            reasons=reasons,
            advisories=offer.advisories,
            size=available.size,
            replaces=self._replaced(offer),
            deadline=self._timekeeper.deadline_of(offer),
        )

    def _replaced(self, offer: Offer) -> tuple[str, ...]:
        return tuple(map(self._rules.machine.name_of, offer.replaces))

    def _absence(self, key: PackageId, standing: Standing) -> tuple[Disposition, tuple[Reason, ...]]:
        match standing:
            case Unwanted(obstacles=obstacles):
                return account_of_obstacles(key, obstacles, self._rules)
            case Wanted() if self.resolution.waiting is not None:
                return account_of_obstacles(key, (self.resolution.waiting,), self._rules)
            case Wanted():
                explanation = (self.resolution.explanations or {}).get(key, KeptBack(said=False))
                return account_of_absence(standing, explanation, self.resolution.failure, self._rules)

    def _planned(self, offer: Offer, standing: Standing, change: Change) -> Update:
        known = [each for each in offer.versions if each.version == change.to_version]
        available = known[0] if known else Available(change.to_version or "", (), security=change.security)
        reasons = self._reasons_for(change, standing)
        return self._approved(
            Update(
                name=offer.name,
                arch=offer.arch,
                installed=change.from_version if offer.replaces else offer.installed,
                candidate=change.to_version,
                origin=change.origin,
                security=change.to_version is not None and _fixes_security(offer, available.version),
                disposition=Disposition.PLANNED,
                reasons=reasons,
                advisories=offer.advisories,
                size=available.size if change.size is None else change.size,
                installed_delta=change.installed_delta,
                replaces=self._replaced(offer),
                deadline=self._timekeeper.deadline_of(offer),
            )
        )

    def _of_change(self, change: Change) -> Update:
        return self._approved(
            Update(
                name=change.name,
                arch=change.arch,
                installed=change.from_version,
                candidate=change.to_version,
                origin=change.origin,
                security=change.security,
                disposition=Disposition.PLANNED,
                reasons=self._reasons_for(change),
                size=change.size,
                installed_delta=change.installed_delta,
            )
        )

    def _reasons_for(self, change: Change, standing: Standing | None = None) -> tuple[Reason, ...]:
        if change.unused:
            return self._reasons_of_going(change.package)
        return reasons_for_change(change, standing, self._rules)

    def _reasons_of_going(self, package: PackageId) -> tuple[Reason, ...]:
        removals = self.resolution.removals
        return tuple(reason_of_removal(one, removals, self._rules) for one in self.going[package])

    def _approved(self, update: Update) -> Update:
        """Add what the approvals say; where none covers the plan, that is the disposition."""
        places = self._approvals.places
        if places is None:
            return update
        if places:
            approved = tuple(Reason("approved", "an approval covers this plan", place) for place in places)
            return replace(update, reasons=update.reasons + approved)
        digest = self._approvals.digest
        expired = tuple(
            Reason(
                "approval-expired",
                f"approval '{approval.name}' of it expired at {instant(approval.expires)}",
                approval.origin,
            )
            for approval in self._approvals.expired
        )
        missing = Reason(
            "approval-missing",
            f"policy requires an approval and none covers it; commit an Approval with 'plan: {digest}'",
            place_of("approval", self._rules.effective),
        )
        return replace(
            update,
            disposition=Disposition.NOT_APPROVED,
            reasons=(*expired, missing, *update.reasons),
        )


def _fixes_security(offer: Offer, version: str) -> bool:
    """Tell whether a version after the installed one and up to ``version`` is a security update."""
    reach = [available.version for available in offer.versions]
    start = reach.index(version) if version in reach else 0
    return any(available.security for available in offer.versions[start:])
