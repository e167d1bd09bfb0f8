"""Audit one target: every check on every run, report and branch, and what that comes to.

Each check is one named object, so that an audit can say what it asked, and a test what comes of leaving one
out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from datetime import datetime

from reconciler.planning.audit import coverage, of_branches, of_outcomes, of_runs, of_unneeded
from reconciler.planning.audit.of_branches import Passage
from reconciler.planning.audit.of_runs import RunCase
from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import BREAKS, Story, Unread
from reconciler.planning.audit.verdicts import (
    Against,
    Bracket,
    Changed,
    ChangeSet,
    TargetAudit,
    Verdict,
    worst,
)
from reconciler.planning.gates.gates import approval_gate
from reconciler.planning.gates.types import Pass
from reconciler.planning.runs.record import RunRecord
from reconciler.records import dataclass

RULES = 3
"""Grows when a check would answer otherwise: answers of before count no more."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check, of what its class says.

    Attributes:
        sentence: What holds of that where it passes.
        attack: What it is there against.
    """

    name: str
    sentence: str
    attack: str


@dataclass(frozen=True, slots=True)
class RunCheck(Check):
    """A check of each run."""

    ask: Callable[[RunCase], Iterator[Against]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportCheck(Check):
    """A check of each report."""

    ask: Callable[[Passage], Iterator[Against]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BranchCheck(Check):
    """A check of a whole branch."""

    ask: Callable[[Story, Period], Iterator[Against]] = field(repr=False)


CHECKS: tuple[Check, ...] = (
    RunCheck(
        "signed",
        "The report that announced the run, and the one that tells of it, are signed by the key that the"
        " policy named for the host then.",
        "A report by anybody else.",
        of_runs.signed,
    ),
    RunCheck(
        "announced",
        "The report before the run said this plan, it was pushed before the run"
        " began, and no publisher who looked later missed it.",
        "A plan that is announced after the fact.",
        of_runs.announced,
    ),
    RunCheck(
        "policy-line",
        "The policy commits that the run rests on are on the policy's line, and none is older than one that a"
        " report before named.",
        "A policy of one's own, or a withdrawn one that is gone back to.",
        of_runs.policy_line,
    ),
    RunCheck(
        "rebuilt",
        "Labels, settings, windows, freezes and approvals that the host recorded are those that come out of"
        " the policy commit.",
        "Windows that are shifted in the recording.",
        of_runs.rebuilt,
    ),
    RunCheck(
        "report",
        "The report that announced the run is what its recording comes out as, byte for byte.",
        "A report that was touched up.",
        of_runs.report,
    ),
    RunCheck(
        "decision",
        "By what the policy says, the recording comes out as this very plan, with every gate open.",
        "A run that no gate let pass.",
        of_runs.decision,
    ),
    RunCheck(
        "steps",
        "At the begin of each step every gate is open by the policy of that step, and that policy wants the"
        " same plan.",
        "A run that goes on behind a freeze, a pause, or the end of an approval.",
        of_runs.steps,
    ),
    RunCheck(
        "window",
        "Each step, and a run without steps, began in a window of its policy and in no freeze, within a"
        " quarter of an hour after its gates were asked; and all times are in their order.",
        "A run outside of its window; gates that were asked when they were still open; a clock that jumps.",
        of_runs.window,
    ),
    RunCheck(
        "exceptional",
        "Who passed over a window is said by the announcement and by the record alike.",
        "A run by break-glass that is told as an ordinary one.",
        of_runs.exceptional,
    ),
    RunCheck(
        "bracket",
        "The run began after the policy that it rests on was made, and ended before a publisher knew of it.",
        "A clock that is set to the time that suits.",
        of_runs.bracket,
    ),
    RunCheck(
        "withdrawn",
        "The newest policy of that time would have let each step happen as well.",
        "A run under a policy that was withdrawn meanwhile.",
        of_runs.withdrawn,
    ),
    RunCheck(
        "approval",
        "An approval in force covers the plan, and no run before used it up.",
        "An approval that is used twice.",
        of_runs.approval,
    ),
    RunCheck(
        "failures",
        "What the host left alone, and that it tried again what failed, follows from the runs before.",
        "A quarantine that hides a failure.",
        of_runs.failures,
    ),
    RunCheck(
        "first-sight",
        "No version is older than the reports before say, where the policy has a minimum age.",
        "A version that is said to have been seen earlier than it was.",
        of_runs.first_sight,
    ),
    RunCheck(
        "unneeded",
        "What goes because a run made it unused was not unused before that run, and was after it.",
        "What was unused all along, removed as the doing of a run.",
        of_unneeded.unneeded,
    ),
    RunCheck(
        "scripts",
        "The patch scripts that ran are those that the policy pins, or that come with the program.",
        "Another script.",
        of_runs.scripts,
    ),
    RunCheck(
        "carried-out",
        "The steps were told to make changes of the plan alone, as it has them, and nothing else moved"
        " meanwhile; a repair brought what was half done to its end, or to what was planned then or before.",
        "Changes that ride along.",
        of_runs.carried_out,
    ),
    RunCheck(
        "outcome",
        "A run that is told as applied left all there that was planned, and one that did all of it is told as"
        " applied, unless the host was not healthy or somebody ended it.",
        "A failure that is told as a success; an approval that is used up and told as if it were not.",
        of_outcomes.outcome,
    ),
    RunCheck(
        "record",
        "The record of the run is of this target, has the name of its file, and was never altered.",
        "A record that is rewritten later.",
        of_runs.record,
    ),
    ReportCheck(
        "readable",
        "Report and records can be read by this program.",
        "A report that nobody can replay.",
        of_branches.readable,
    ),
    ReportCheck(
        "order",
        "Each report names the one that it follows, which is the one before it on the branch and told of the"
        " same packages; and no clock went back.",
        "A report that was left out, or put in.",
        of_branches.order,
    ),
    ReportCheck(
        "inventory",
        "What is installed is what was installed before, and what runs and changes outside of runs are told"
        " to have made of it, with states and holds.",
        "A change that is left out.",
        of_branches.inventory,
    ),
    BranchCheck(
        "seen-before",
        "Every commit of the branch that a publisher saw is in it still.",
        "A branch that was rewound, squashed or made anew.",
        of_branches.seen_before,
    ),
    BranchCheck(
        "own-reports",
        "Every report of the period that says something new, and those at its ends, are signed by the key"
        " that the policy named for the host then.",
        "Reports by others between those of the host.",
        of_branches.own_reports,
    ),
    BranchCheck(
        "covered",
        "The host reported from the begin of the period, or from when it was enrolled, to the end of it, or"
        " to when it was retired, but for two days; or the first report after the end says that nothing"
        " changed.",
        "A host that is silent, or reports that are kept back.",
        coverage.covered,
    ),
    BranchCheck(
        "whole",
        "The history of the branch goes back to its begin.",
        "A history that was cut off.",
        of_branches.whole,
    ),
    BranchCheck(
        "own-key",
        "No other host has the same key.",
        "Two hosts that can sign for each other.",
        of_branches.own_key,
    ),
)
"""All checks, in the order of asking."""

OF_REPORTS = frozenset(one.name for one in CHECKS if isinstance(one, ReportCheck))
"""Names of those whose findings speak against a report as a whole, whatever runs it tells of."""

HOSTS_WORD = (
    "what is installed, what the sources offered, and what the package manager answered",
    "which system it is, and the labels that it gives itself where its Host document gives no others",
    "the instant of each look and of each step, within what others have dated",
    "the state of the clock, of the machine's health, of pauses and of what inhibits a run",
    "who passed over a window, and why; what is configured on the host itself",
    "when the policy was fetched, and that a remote could not be reached",
    "what hooks and health checks came to, and that a run was ended from outside; reboots are not audited",
    "the answer of a rollout ring or of a concurrency slot",
)
"""What is nobody's but the host's word, in every output."""


def audit(story: Story, since: datetime, until: datetime, checks: Sequence[Check] = CHECKS) -> TargetAudit:
    """Say of each change of a period whether it is proved to have been allowed.

    Args:
        story: All that is known of the target.
        since: First instant of the period, aware.
        until: First instant after it.
        checks: Those that are asked.
    """
    period = Period(since, until)
    links = list(period.of(story))
    found: list[ChangeSet] = []
    against = [
        one
        for check in checks
        if isinstance(check, BranchCheck)
        for one in _asked(check, check.ask(story, period))
    ]
    for link in links:
        if link.is_heartbeat:
            continue
        passage = Passage.to(story, link)
        told = [
            one
            for check in checks
            if isinstance(check, ReportCheck)
            for one in _asked(check, check.ask(passage))
        ]
        runs = [
            _run(RunCase.of(story, link, record), told, checks) for record in passage.runs if _did(record)
        ]
        found += [*runs, *_outside(passage)]
        against += () if runs else told
    verdict = worst([*(one.verdict for one in found), *(one.verdict for one in against)])
    tip = story.links[-1].commit if story.links else ""
    return TargetAudit(
        story.target,
        story.remote,
        story.branch,
        tip,
        len(links),
        verdict,
        tuple(found),
        tuple(against),
    )


def _asked(check: Check, found: Iterator[Against]) -> Iterator[Against]:
    """Yield what a check finds; where it breaks over what a host wrote, the others are asked all the same."""
    try:
        yield from found
    except BREAKS as error:
        said = f"this could not be asked: {type(error).__name__}"
        yield Against(check.name, Verdict.UNPROVED, said)


def _did(record: RunRecord) -> bool:
    """Say whether a run did anything to packages, or says that it did."""
    return bool(record.steps or record.difference.changed)


def _run(case: RunCase, told: Sequence[Against], checks: Sequence[Check]) -> ChangeSet:
    against = [
        one for check in checks if isinstance(check, RunCheck) for one in _asked(check, check.ask(case))
    ]
    against += told
    record, dates = case.record, case.story.policy.dates
    seen = case.story.first_to_know(case.link.commit)
    return ChangeSet(
        kind="run",
        run=record.run,
        commit=case.link.commit,
        announced="" if case.announced is None else case.announced.commit,
        policy_commit=record.policy_commit,
        started=record.started,
        ended=record.ended,
        outcome=str(record.outcome),
        digest=record.digest,
        approved_by=_approved_by(case),
        exceptional=record.exceptional,
        bracket=Bracket(
            dates.get(record.policy_commit),
            None if seen is None else seen.at,
            "" if seen is None else seen.commit,
        ),
        verdict=worst(one.verdict for one in against),
        changes=tuple(_moves(case)),
        against=tuple(against),
    )


def _moves(case: RunCase) -> Iterator[Changed]:
    """Yield what a run changed, and what it changed and undid."""
    record = case.record
    undone = () if record.rollback is None else record.rollback.moves
    updates = () if isinstance(case.built, Unread) else case.built.ruling.plan.updates
    fixed = {update.transition: update.advisories for update in updates}
    for move in dict.fromkeys((*record.difference.changed, *undone)):
        advisories = fixed.get(move.transition, ())
        yield Changed(move.action, move.name, move.arch, move.from_, move.to, advisories)


def _approved_by(case: RunCase) -> str:
    if isinstance(case.built, Unread):
        return ""
    built = case.built
    if built.inputs.settings.approval == "none":
        return ""
    plan, inputs = built.ruling.plan, built.inputs
    for one in inputs.approvals:
        alone = approval_gate(plan, inputs.settings, [one], built.recording.now)
        if isinstance(alone, Pass):
            return f"{one.name} {one.origin}"
    return ""


def _outside(passage: Passage) -> Iterator[ChangeSet]:
    """Yield what changed although no run did it."""
    found = passage.outside()
    if not found:
        return
    changes = tuple(
        Changed(one.action, one.name, one.arch, one.from_version, one.to_version) for one in found
    )
    said = "no run made it: no policy, plan or window stands behind it"
    against = (Against("outside", Verdict.UNPROVED, said, (passage.link.commit,)),)
    at = passage.link.at
    yield ChangeSet(
        kind="outside",
        run="",
        commit=passage.link.commit,
        announced="",
        policy_commit="",
        started=at,
        ended=at,
        outcome="",
        digest="",
        approved_by="",
        exceptional=None,
        bracket=None,
        verdict=Verdict.UNPROVED,
        changes=changes,
        against=against,
    )
