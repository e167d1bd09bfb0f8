"""Bring branches and pull requests of a policy to what waits for an approval.

The rules:

1. Each step leaves what the next run can go on from: a branch before its pull request, and the end of a
   branch before the end of that.
2. A branch goes, or moves, only from where it was looked at; whoever pushed meanwhile is left alone.
3. What a forge refuses of one proposal keeps nothing from the others. What it would refuse of all ends the
   run; what was done by then stays, and is told.
4. A pull request that somebody closed without a merge, whose branch is there as it was, is declined: it is
   not opened again before the plan is another one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from reconciler.errors import ReconcilerError
from reconciler.forges import ForgeRefused, Pull, PullRequests
from reconciler.gitops.proposal import Proposal
from reconciler.planning.fleet.proposal_text import mark_of
from reconciler.planning.fleet.proposing import PREFIX, Agenda, Ended, ProposalStep, Standing, Wanted
from reconciler.planning.text.wording import short_digest

_NOT_NOW = "somebody else pushed to it just now"


class Branches(Protocol):
    """Branches of the policy; see :class:`reconciler.gitops.proposal_branches.ProposalBranches`."""

    def commit(self, proposal: Proposal, head: str, when: datetime) -> str:
        """Make the commit of a branch, and return it."""

    def move(self, branch: str, old: str, new: str) -> bool:
        """Move a branch from one commit to another, and tell whether that was done."""


@dataclass(frozen=True, slots=True)
class ProposalDone:
    """What became of one branch.

    Attributes:
        branch: Its name.
        step: What became of it.
        wanted: What it proposes; ``None`` where nothing any more, or it is somebody else's.
        address: Of the pull request, empty where there is none.
        why: For people; empty where there is nothing to say.
    """

    branch: str
    step: ProposalStep
    wanted: Wanted | None = None
    address: str = ""
    why: str = ""


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

    def carry_out(self, agenda: Agenda, there: Sequence[Standing]) -> None:
        """Do what is to be done, as far as branches and forge let it.

        Args:
            agenda: What that is.
            there: The branches that there were.
        """
        try:
            opened = {one.branch: one for one in self.forge.opened() if one.branch.startswith(PREFIX)}
            self._tell_of_others(agenda, opened)
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

    def _each(self, work: Callable[[], ProposalDone]) -> None:
        try:
            self.done.append(work())
        except ForgeRefused as refused:
            self.problems.append(refused)

    def _tell_of_others(self, agenda: Agenda, opened: Mapping[str, Pull]) -> None:
        for one in agenda.foreign:
            pull = opened.get(one.branch)
            self.done.append(
                ProposalDone(one.branch, ProposalStep.LEFT, None, pull.address if pull else "", one.foreign)
            )

    def _end(self, ended: Ended, pull: Pull | None) -> ProposalDone:
        branch, tip = ended.standing.branch, ended.standing.tip
        address = "" if pull is None else pull.address
        if not self.is_dry and not self.branches.move(branch, tip, ""):
            return ProposalDone(branch, ProposalStep.LEFT, None, address, _NOT_NOW)
        if pull is not None and not self.is_dry:
            self.forge.close(pull.number, f"Closed by patchledger: {ended.why}.")
        return ProposalDone(branch, ProposalStep.CLOSED, None, address, ended.why)

    def _close_orphan(self, pull: Pull) -> ProposalDone:
        why = "its branch is gone"
        if not self.is_dry:
            self.forge.close(pull.number, f"Closed by patchledger: {why}.")
        return ProposalDone(pull.branch, ProposalStep.CLOSED, None, pull.address, why)

    def _bring(self, wanted: Wanted, pull: Pull | None) -> ProposalDone:
        if pull is None and wanted.is_same_plan and self.forge.was_declined(wanted.branch, wanted.tip):
            why = "somebody closed it without a merge; delete the branch to have it proposed again"
            return ProposalDone(wanted.branch, ProposalStep.DECLINED, wanted, why=why)
        if not wanted.is_right and not self._pushed(wanted):
            return ProposalDone(
                wanted.branch, ProposalStep.LEFT, wanted, pull.address if pull else "", _NOT_NOW
            )
        if pull is None:
            address = ""
            if not self.is_dry:
                pull = self.forge.open(wanted.branch, wanted.title, wanted.body)
                address = pull.address
                if mark_of(pull.body) != mark_of(wanted.body):  # it was there already
                    self.forge.edit(pull.number, wanted.title, wanted.body)
            return ProposalDone(wanted.branch, ProposalStep.OPENED, wanted, address)
        is_told = mark_of(pull.body) == mark_of(wanted.body)
        if not is_told and not self.is_dry:
            self.forge.edit(pull.number, wanted.title, wanted.body)
        is_same = wanted.is_right and is_told
        return ProposalDone(
            wanted.branch, ProposalStep.UNCHANGED if is_same else ProposalStep.UPDATED, wanted, pull.address
        )

    def _pushed(self, wanted: Wanted) -> bool:
        """Push the branch as it is to be; return whether it is."""
        if self.is_dry:
            return True
        subject = f"Approve plan {short_digest(wanted.plan.digest)}"
        proposal = Proposal(wanted.branch, wanted.path, wanted.document.encode(), subject)
        commit = self.branches.commit(proposal, self.head, self.now)
        return self.branches.move(wanted.branch, wanted.tip, commit)
