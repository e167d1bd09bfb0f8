"""Bring branches and pull requests of a policy to what waits for an approval.

The rules:

1. Each step leaves what the next run can go on from: a branch before its pull request, and the end of a
   branch before the end of that. Where a branch is to approve another plan, its pull request says so before:
   nobody merges what it does not tell of yet.
2. A branch goes, or moves, only from where it was looked at; whoever pushed meanwhile is left alone.
3. What a forge, or the server of git, refuses of one proposal keeps nothing from the others. What it would
   refuse of all ends the run; what was done by then stays, and is told.
4. A plan is declined where somebody closed its pull request without a merge, and its branch is there as it
   was. So no pull request is closed here whose branch is there.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from functools import partial
from typing import Protocol

from reconciler.errors import ReconcilerError
from reconciler.forges import ForgeRefused, Pull, PullRequests
from reconciler.gitops.proposal import BranchRefused, Proposal
from reconciler.planning.fleet.proposal_text import mark_of
from reconciler.planning.fleet.proposing import (
    PREFIX,
    Agenda,
    Ended,
    ProposalStep,
    StandingProposal,
    WantedProposal,
)
from reconciler.planning.fleet.waiting import WaitingPlan
from reconciler.planning.text.wording import short_digest
from reconciler.records import dataclass

_NOT_NOW = "somebody else pushed to it just now"


class Branches(Protocol):
    """Branches of the policy; see :class:`reconciler.gitops.proposal_branches.ProposalBranches`."""

    def commit(self, proposal: Proposal, head: str, when: datetime) -> str:
        """Make the commit of a branch, and return it."""

    def move(self, branch: str, old: str, new: str) -> bool:
        """Move a branch from one commit to another, and tell whether that was done."""

    def tip_of(self, branch: str) -> str:
        """Ask where a branch is by now, empty where it is not there."""


@dataclass(frozen=True, slots=True)
class ProposalDone:
    """What became of one branch.

    Attributes:
        branch: Its name.
        step: What became of it.
        plan: What it is about; ``None`` where nothing any more, or it is somebody else's.
        wanted: What it proposes; ``None`` where it proposes nothing.
        address: Of the pull request, empty where there is none.
        why: For people; empty where there is nothing to say.
    """

    branch: str
    step: ProposalStep
    plan: WaitingPlan | None = None
    wanted: WantedProposal | None = None
    address: str = ""
    why: str = ""


def opened_by_branch(forge: PullRequests) -> dict[str, Pull]:
    """Return the open pull requests of proposals, by their branch.

    Raises:
        ReconcilerError: The forge does not tell.
    """
    return {one.branch: one for one in forge.opened() if one.branch.startswith(PREFIX)}


def declined(
    forge: PullRequests, opened: Mapping[str, Pull], there: Mapping[str, StandingProposal]
) -> frozenset[str]:
    """Return the plans that somebody declined.

    Args:
        forge: Is asked about each branch that has no open pull request.
        opened: As of :func:`opened_by_branch`.
        there: Branches, by the digest of their plan.

    Raises:
        ReconcilerError: The forge does not tell.
    """
    return frozenset(
        digest
        for digest, one in there.items()
        if one.branch not in opened and forge.was_declined(one.branch, one.tip)
    )


@dataclass(slots=True)
class ProposalRun:
    """One run.

    Args:
        branches: Of the policy repository.
        forge: Its pull requests.
        head: Full id of the commit that proposals continue.
        now: The present instant, aware.
        is_dry: Say what would be done, and do nothing.

    Attributes:
        done: What became of each branch, in order.
        problems: What kept something from being done.
    """

    branches: Branches
    forge: PullRequests
    head: str
    now: datetime
    is_dry: bool = False
    done: list[ProposalDone] = field(default_factory=list)
    problems: list[ReconcilerError] = field(default_factory=list)

    def carry_out(
        self, agenda: Agenda, there: Sequence[StandingProposal], opened: Mapping[str, Pull]
    ) -> None:
        """Do what is to be done, as far as branches and forge let it.

        Args:
            agenda: What that is.
            there: The branches that there were.
            opened: Pull requests, by their branch.
        """
        self._tell_of_others(agenda, opened)
        try:
            for ended in agenda.ended:
                self._each(partial(self._end, ended, opened.get(ended.standing.branch)))
            for wanted in agenda.wanted:
                self._each(partial(self._bring, wanted, opened.get(wanted.branch)))
            known = {one.branch for one in there} | {one.branch for one in agenda.wanted}
            for pull in opened.values():
                if pull.branch not in known and mark_of(pull.body):
                    self._each(partial(self._close_orphan, pull))
        except ReconcilerError as problem:
            self.problems.append(problem)

    def _each(self, work: Callable[[], ProposalDone | None]) -> None:
        try:
            done = work()
            if done is not None:
                self.done.append(done)
        except (ForgeRefused, BranchRefused) as refused:
            self.problems.append(refused)

    def _tell_of_others(self, agenda: Agenda, opened: Mapping[str, Pull]) -> None:
        for one in agenda.foreign:
            pull = opened.get(one.branch)
            address = "" if pull is None else pull.address
            self.done.append(ProposalDone(one.branch, ProposalStep.LEFT, address=address, why=one.foreign))
        for no in agenda.declined:
            why = "somebody closed it without a merge; delete the branch to have it proposed again"
            self.done.append(ProposalDone(no.standing.branch, ProposalStep.DECLINED, no.plan, why=why))

    def _end(self, ended: Ended, pull: Pull | None) -> ProposalDone:
        branch, tip = ended.standing.branch, ended.standing.tip
        address = "" if pull is None else pull.address
        if not self.is_dry and not self.branches.move(branch, tip, ""):
            return ProposalDone(branch, ProposalStep.LEFT, address=address, why=_NOT_NOW)
        if pull is not None:
            self._close(pull, ended.why)
        return ProposalDone(branch, ProposalStep.CLOSED, address=address, why=ended.why)

    def _close_orphan(self, pull: Pull) -> ProposalDone | None:
        if self.branches.tip_of(pull.branch):
            return None  # Another job proposed it since the branches were looked at.
        why = "its branch is gone"
        self._close(pull, why)
        return ProposalDone(pull.branch, ProposalStep.CLOSED, address=pull.address, why=why)

    def _close(self, pull: Pull, why: str) -> None:
        if not self.is_dry:
            self.forge.close(pull.number)
            self.forge.comment(pull.number, f"Closed by patchledger: {why}.")

    def _bring(self, wanted: WantedProposal, pull: Pull | None) -> ProposalDone:
        is_told = pull is not None and mark_of(pull.body) == mark_of(wanted.body)
        if not self._told_and_pushed(wanted, None if is_told else pull):
            step, why = ProposalStep.LEFT, _NOT_NOW
        elif pull is None:
            step, why = ProposalStep.OPENED, ""
            pull = None if self.is_dry else self._opened(wanted)
        else:
            step, why = ProposalStep.UNCHANGED if wanted.is_right and is_told else ProposalStep.UPDATED, ""
            if wanted.before and not self.is_dry:  # whoever reviewed that is told
                plans = f"`{wanted.plan.digest}` instead of `{wanted.before}`"
                said = f"This is about another plan now: {plans}. Please review it anew."
                self.forge.comment(pull.number, said)
        address = "" if pull is None else pull.address
        return ProposalDone(wanted.branch, step, wanted.plan, wanted, address, why)

    def _told_and_pushed(self, wanted: WantedProposal, stale: Pull | None) -> bool:
        """Write a pull request anew, then push its branch; return whether that is as it is to be."""
        if self.is_dry or stale is None:
            return wanted.is_right or self._pushed(wanted)
        self.forge.edit(stale.number, wanted.title, wanted.body)
        is_there = wanted.is_right
        try:
            is_there = is_there or self._pushed(wanted)
        except ReconcilerError:
            with suppress(ReconcilerError):  # what kept it from being pushed is told
                self.forge.edit(stale.number, stale.title, stale.body)
            raise
        if not is_there:
            self.forge.edit(stale.number, stale.title, stale.body)
        return is_there

    def _opened(self, wanted: WantedProposal) -> Pull:
        pull = self.forge.open(wanted.branch, wanted.title, wanted.body)
        if mark_of(pull.body) != mark_of(wanted.body):  # another run was quicker
            self.forge.edit(pull.number, wanted.title, wanted.body)
        return pull

    def _pushed(self, wanted: WantedProposal) -> bool:
        """Push the branch as it is to be; return whether it is."""
        if self.is_dry:
            return True
        subject = f"Approve plan {short_digest(wanted.plan.digest)}"
        proposal = Proposal(wanted.branch, wanted.path, wanted.document.encode(), subject)
        commit = self.branches.commit(proposal, self.head, self.now)
        return self.branches.move(wanted.branch, wanted.tip, commit)
