"""Which plans are proposed for an approval, as which branches, and what becomes of branches that are there.

The rules:

1. A plan is proposed where a target waits for it that no approval of the newest policy covers. Where one
   does, the target has yet to see it; where it saw it and waits all the same, the approval is used up there.
2. A branch is called after a target. It stays with its plan for as long as anybody waits for that, and after
   that with the target: the same pull request is then about the target's new plan.
3. Hosts take turns: none has a second plan proposed before every other one had its first. The guests of a
   host are one voice with it. Within a turn security comes first, then what is proposed already, then what
   most hosts wait for.
4. Of a branch that holds anything but what was proposed, nothing is changed. While it is about a plan,
   nothing else is.
5. The end of an approval stays as it was proposed until half of its time is over.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.planning.facts.observation import Change
from reconciler.planning.fleet.approving import FreshNames, Terms, approval_of
from reconciler.planning.fleet.proposal_text import body_of_proposal, title_of_proposal
from reconciler.planning.fleet.rows import Row
from reconciler.planning.fleet.waiting import Waiting, WaitingPlan, WaitingTarget
from reconciler.planning.resolving.approval import approvals_of
from reconciler.planning.text.wording import plural, short_digest
from reconciler.policy.documents import Approval
from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective, Resolver
from reconciler.policy.zones import shifted, zone
from reconciler.records import dataclass

PREFIX = "proposals/"
"""What the name of each branch begins with."""
_ANOTHER = re.compile(r"\+\d+$")
_DAY = timedelta(days=1)


# --- what needs an approval still


@dataclass(frozen=True, slots=True)
class Unapproved:
    """What waits, and is approved by nobody.

    Attributes:
        plans: Each with the targets that no approval covers.
        approved: Digests of plans that are approved everywhere, or need that no more: hosts only have to see
            it.
        used_up: Of each target that waits although it saw an approval of its plan: its id, and the approval.
    """

    plans: tuple[WaitingPlan, ...]
    approved: frozenset[str]
    used_up: tuple[tuple[str, str], ...]


def unapproved(found: Waiting, policy: Resolver, now: datetime) -> Unapproved:
    """Return what needs an approval that the policy does not have yet.

    Args:
        found: What waits, by what hosts reported.
        policy: The newest one, which hosts may not have seen.
        now: The present instant, aware.
    """
    plans, approved, used_up = [], set(), []
    for plan in found.plans:
        left = []
        for target in plan.targets:
            effective = policy.resolve(_facts_of(target.row))
            covering = _covering(plan, effective, now)
            if covering and covering <= target.seen:
                used_up.append((target.row.target, min(covering)))
            elif not covering and effective.settings.approval != "none":
                left.append(target)
        if left:
            plans.append(replace(plan, targets=tuple(left)))
        else:
            approved.add(plan.digest)
    return Unapproved(tuple(plans), frozenset(approved), tuple(sorted(used_up)))


def _facts_of(row: Row) -> HostFacts:
    os_id, _, os_version = row.os.partition(" ")
    labels = row.labels if row.own_labels is None else row.own_labels
    # The branch says whose guest it is, and not the guest.
    home, slash, name = row.target.rpartition("/")
    return HostFacts(name, labels, os_id, os_version, row.manager, home if slash else None, row.called)


def _covering(plan: WaitingPlan, effective: Effective, now: datetime) -> frozenset[str]:
    changes = [Change(one.action, one.name, one.arch, one.from_, one.to) for one in plan.changes]
    return frozenset(
        one.name for one in approvals_of(effective) if now < one.expires and one.covers(changes, plan.digest)
    )


# --- whose turn it is


def in_turn(plans: Iterable[WaitingPlan], proposed: frozenset[str] = frozenset()) -> list[WaitingPlan]:
    """Return plans in the order in which they are proposed.

    Args:
        plans: With the targets of each.
        proposed: Digests of those that are proposed already.
    """

    def weight(plan: WaitingPlan) -> tuple[bool, int, str]:
        return not plan.security, -len(_homes(plan)), plan.digest

    # Its turn does not depend on what is proposed: else the next run would not choose what this one chose.
    ordered = sorted(plans, key=weight)
    turns: defaultdict[str, int] = defaultdict(int)
    rounds = {}
    for plan in ordered:
        homes = _homes(plan)
        rounds[plan.digest] = min(turns[home] for home in homes)
        for home in homes:
            turns[home] += 1

    def place(plan: WaitingPlan) -> tuple[int, bool, bool, int, str]:
        is_quiet, voices, digest = weight(plan)
        return rounds[digest], is_quiet, digest not in proposed, voices, digest

    return sorted(ordered, key=place)


def _homes(plan: WaitingPlan) -> frozenset[str]:
    """Return the hosts that speak for a plan: whoever has a key, for itself and for its guests."""
    return frozenset(one.row.target.partition("/")[0] for one in plan.targets)


# --- branches


class ProposalStep(StrEnum):
    """What becomes of a proposal."""

    OPENED = "opened"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CLOSED = "closed"
    DECLINED = "declined"
    """Somebody closed it, and it stays so."""
    LEFT = "left-alone"
    """Its branch is not as it was proposed."""


@dataclass(frozen=True, slots=True)
class StandingProposal:
    """A branch that is there.

    Attributes:
        branch: Its name.
        tip: Its newest commit.
        path: Of the one file that it adds below ``approvals/``, empty where it adds anything else.
        text: What that holds.
        foreign: Why it is not as it was proposed, empty where it is.
        is_merged: The policy has all of it.
    """

    branch: str
    tip: str
    path: str = ""
    text: str = ""
    foreign: str = ""
    is_merged: bool = False


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """What holds for all proposals.

    Attributes:
        now: The present instant, aware.
        span: How long an approval lasts, from the proposal on.
        max_open: How many plans are proposed at once.
        reason: Stands in each document; empty without.
    """

    now: datetime
    span: timedelta
    max_open: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WantedProposal:
    """A branch as it is to be.

    Attributes:
        branch: Its name.
        plan: What it approves.
        path: Of the document.
        document: Its text.
        tip: Where the branch is now, empty where there is none.
        is_right: It holds this document already.
        before: Digest of another plan that it proposed until now; else empty.
        title: Of the pull request.
        body: Of the pull request, in Markdown.
    """

    branch: str
    plan: WaitingPlan
    path: str
    document: str
    tip: str
    is_right: bool
    before: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A branch that is no longer of use.

    Attributes:
        standing: As it is.
        why: In a few words, for people.
    """

    standing: StandingProposal
    why: str


@dataclass(frozen=True, slots=True)
class Declined:
    """A plan that somebody declined.

    Attributes:
        standing: The branch, as it was left.
        plan: As it waits.
    """

    standing: StandingProposal
    plan: WaitingPlan


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is to be done.

    Attributes:
        wanted: In the order in which they are proposed.
        ended: Branches that go.
        foreign: Branches that are left alone.
        later: Plans that are proposed when there is room.
        declined: Plans that are not proposed, and take no room.
    """

    wanted: tuple[WantedProposal, ...]
    ended: tuple[Ended, ...]
    foreign: tuple[StandingProposal, ...]
    later: tuple[WaitingPlan, ...]
    declined: tuple[Declined, ...]


def still_waited_for(waits: Unapproved, there: Iterable[StandingProposal]) -> dict[str, StandingProposal]:
    """Return the branches of proposals whose plan waits, by the digest of that: they may be declined."""
    known = {plan.digest for plan in waits.plans}
    found = _by_plan(one for one in there if not one.foreign)
    return {digest: one for digest, one in found.items() if digest in known}


def agenda(
    waits: Unapproved,
    there: Sequence[StandingProposal],
    taken: Iterable[str],
    rules: ProposalRules,
    declined: Collection[str] = (),
) -> Agenda:
    """Say which branches there are to be.

    Args:
        waits: What waits for an approval.
        there: The branches that there are.
        taken: Names of Approvals that the policy has.
        rules: What holds for all proposals.
        declined: Digests of plans that somebody declined; a branch of each is there.
    """
    foreign = tuple(one for one in there if one.foreign)
    own = {one.branch: one for one in there if not one.foreign}
    of_plan = _by_plan(own.values())
    theirs = _of_others(waits.plans, foreign, of_plan)
    no = tuple(Declined(of_plan[one.digest], one) for one in waits.plans if one.digest in declined)
    asked = (one for one in waits.plans if one.digest not in theirs and one.digest not in declined)
    order = in_turn(asked, frozenset(of_plan))
    chosen, later = order[: rules.max_open], order[rules.max_open :]
    kept = {one.digest: of_plan[one.digest].branch for one in waits.plans if one.digest in of_plan}
    branches = _branches(chosen, kept, own, {one.branch for one in there})
    names = FreshNames(taken)
    wanted = [
        _wanted(plan, branches[plan.digest], own.get(branches[plan.digest]), names, rules) for plan in chosen
    ]
    used = {one.branch for one in wanted} | {one.standing.branch for one in no}
    ended = (Ended(one, _why(one, waits, later)) for name, one in sorted(own.items()) if name not in used)
    return Agenda(tuple(wanted), tuple(ended), foreign, tuple(later), no)


def _by_plan(own: Iterable[StandingProposal]) -> dict[str, StandingProposal]:
    found: dict[str, StandingProposal] = {}
    for one in sorted(own, key=lambda one: one.branch):
        approval = approval_in(one)
        if approval is not None and approval.plan:
            found.setdefault(approval.plan, one)
    return found


def _of_others(
    plans: Sequence[WaitingPlan], foreign: Sequence[StandingProposal], of_plan: Mapping[str, StandingProposal]
) -> frozenset[str]:
    """Return the plans that are somebody else's business, since a branch of theirs is about them."""
    known = {plan.digest for plan in plans}
    of_target = {one.row.target: plan.digest for plan in plans for one in plan.targets}
    found = set()
    for one in foreign:
        if one.is_merged:
            continue  # What they did there is in the policy.
        approval = approval_in(one)
        if approval is not None and approval.plan in known:
            found.add(approval.plan)
        elif approval is None and target_of(one.branch) in of_target:  # nobody can tell what it is about
            found.add(of_target[target_of(one.branch)])
    return frozenset(found - of_plan.keys())


def _branches(
    chosen: Sequence[WaitingPlan],
    kept: Mapping[str, str],
    own: Mapping[str, StandingProposal],
    there: Iterable[str],
) -> dict[str, str]:
    """Return the branch of each plan: the one that is kept for it, else one that is free."""
    found = {plan.digest: kept[plan.digest] for plan in chosen if plan.digest in kept}
    free = sorted(own.keys() - set(kept.values()))
    used = {*there}
    for plan in chosen:
        if plan.digest in found:
            continue
        targets = {one.row.target for one in plan.targets}
        mine = next((name for name in free if target_of(name) in targets), "")
        if mine:
            free.remove(mine)
        found[plan.digest] = mine or _unused(min(targets), used)
        used.add(found[plan.digest])
    return found


def _unused(target: str, used: Collection[str]) -> str:
    # Nor is a name free where a branch lies below it: git keeps both as a file and a folder.
    taken = {*used, *("/".join(name.split("/")[:2]) for name in used)}
    return next(name for name in _names(target) if name not in taken)


def _names(target: str) -> Iterator[str]:
    # No id has such characters, so that no two targets share a branch.
    name, number = PREFIX + target.replace("/", "_"), 1
    yield name
    while True:
        number += 1
        yield f"{name}+{number}"


def target_of(branch: str) -> str:
    """Return the target that a branch is called after."""
    return _ANOTHER.sub("", branch.removeprefix(PREFIX)).replace("_", "/")


def approval_in(standing: StandingProposal) -> Approval | None:
    """Return the approval that a branch brings; ``None`` where it brings none alone, or not one by digest."""
    if not standing.path:
        return None
    match load([PolicyFile(standing.path, "100644", standing.text.encode())]):
        case Revision(approvals=(only,)) if only.value.plan:
            return only.value
        case _:
            return None


def _wanted(
    plan: WaitingPlan,
    branch: str,
    standing: StandingProposal | None,
    names: FreshNames,
    rules: ProposalRules,
) -> WantedProposal:
    name = names.new(f"plan-{short_digest(plan.digest)}")
    terms = Terms(_end(plan, standing, rules), "UTC", rules.reason)
    path, document = f"approvals/{name}.yaml", approval_of(name, plan.digest, terms)
    is_right = standing is not None and (standing.path, standing.text) == (path, document)
    return WantedProposal(
        branch=branch,
        plan=plan,
        path=path,
        document=document,
        tip="" if standing is None else standing.tip,
        is_right=is_right,
        before=_another(standing, plan),
        title=title_of_proposal(plan),
        body=body_of_proposal(plan, terms),
    )


def _another(standing: StandingProposal | None, plan: WaitingPlan) -> str:
    approval = None if standing is None else approval_in(standing)
    digest = "" if approval is None or approval.plan is None else approval.plan
    return "" if digest == plan.digest else digest


def _end(plan: WaitingPlan, standing: StandingProposal | None, rules: ProposalRules) -> str:
    """Return when an approval ends: as it was proposed, while that is neither soon over nor too far away."""
    approval = None if standing is None else approval_in(standing)
    if approval is not None and approval.plan == plan.digest:
        soonest, latest = rules.span / 2, rules.span + _DAY
        if shifted(rules.now, soonest) <= approval.ends() <= shifted(rules.now, latest):
            return str(approval.expires)
    return f"{shifted(rules.now, rules.span).astimezone(zone('UTC')):%Y-%m-%d}"


def _why(one: StandingProposal, waits: Unapproved, later: Sequence[WaitingPlan]) -> str:
    if one.is_merged:
        return "it was merged"
    approval = approval_in(one)
    digest = "" if approval is None else approval.plan
    if digest in waits.approved:
        return "this plan is approved, or needs no approval any more"
    if any(plan.digest == digest for plan in later):
        return "other plans have their turn first; it is proposed again when there is room"
    return "no target waits for this plan any more"


def named(plan: WaitingPlan) -> str:
    """Return a plan in a few words."""
    first: WaitingTarget = plan.targets[0]
    others = len(plan.targets) - 1
    more = f" and {plural(others, 'other')}" if others else ""
    return f"{short_digest(plan.digest)} of {first.row.target}{more}"
