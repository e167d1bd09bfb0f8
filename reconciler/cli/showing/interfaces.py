"""What commands print with ``--format json``, as types; the schemas are made of these.

A command fills them, and :func:`~reconciler.planning.text.canonical.plain` writes them, keys in the order of
the fields. Only ``status``, which imports next to nothing, writes :class:`Status` by hand, and a test holds
that against its schema. What ``plan`` prints is a part of a report, and described there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from datetime import datetime
from typing import Any, Literal

from reconciler.planning.audit.verdicts import TargetAudit, Verdict
from reconciler.planning.facts.guests import GuestKind, GuestState
from reconciler.planning.fleet.proposing import ProposalStep
from reconciler.planning.fleet.rows import Row
from reconciler.planning.gates.types import Pause
from reconciler.planning.impact.effect import Impact
from reconciler.planning.reporting.document import PlannedMove
from reconciler.planning.reporting.host_status import HostStatus, RunSummary
from reconciler.planning.reporting.schema import LocalTime, plan_schema, schema_of
from reconciler.policy.problems import Problem
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """One window.

    Attributes:
        start: With offset; this host's splay included.
        end: The first instant outside.
        schedule: Name of the Schedule, null for an expression of the command line.
        blocked_by: The freeze that keeps every run out, ``budget`` where none fits, or null.
    """

    start: LocalTime
    end: LocalTime
    schedule: str | None
    blocked_by: str | None


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """What was found in a policy repository.

    Attributes:
        problems: Sorted; empty for a valid policy.
        warnings: Sorted; they reject nothing.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ExpectationFailure:
    """One thing that does not hold.

    Attributes:
        host: Its id; null where the expectation is about no host.
        key: What was expected, such as ``may_apply``.
        message: What holds instead, and why.
    """

    host: str | None
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class TestedExpectation:
    """What became of one expectation.

    Attributes:
        name: Of the Expectation.
        origin: Its file and line, with the commit where one was tested.
        hosts: All that it is about.
        failures: Empty where it holds.
    """

    name: str
    origin: str
    hosts: tuple[str, ...]
    failures: tuple[ExpectationFailure, ...]


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """What became of a policy's expectations, sorted by name."""

    expectations: tuple[TestedExpectation, ...]


@dataclass(frozen=True, slots=True)
class WaitingShown:
    """A plan that waits for an approval.

    Attributes:
        plan: Its digest, as an Approval names it.
        targets: All that have it.
        transaction: What it changes.
        security: Which of that are security updates, as ``NAME:ARCH``.
        window: Begin of the first window that one of the targets can meet, null where none is in sight.
    """

    plan: str
    targets: tuple[str, ...]
    transaction: tuple[PlannedMove, ...]
    security: tuple[str, ...]
    window: datetime | None


@dataclass(frozen=True, slots=True)
class ApprovalProposal:
    """A branch of the policy that approves.

    Attributes:
        branch: What it is called.
        commit: Null where nothing was pushed.
        title: Of the pull request.
        body: Of the pull request, in Markdown.
        documents: Text of each file, by its path.
        commands: What opens the pull request, one of them.
    """

    branch: str
    commit: str | None
    title: str
    body: str
    documents: Mapping[str, str]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TickProblem:
    """What went wrong, and what to do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ProposalShown:
    """What became of one branch ``proposals/…``.

    Attributes:
        branch: What it is called.
        step: What was done, or would be; ``unchanged``, ``declined`` and ``left-alone``: nothing.
        plan: Digest of what it approves; null where it approves nothing any more, or is somebody else's.
        targets: All that wait for that plan.
        title: Of the pull request.
        body: Of the pull request, in Markdown.
        document: What merging it adds to the policy.
        address: Of the pull request, null where there is none.
        why: For people; empty where there is nothing to say.
    """

    branch: str
    step: ProposalStep
    plan: str | None
    targets: tuple[str, ...]
    title: str | None
    body: str | None
    document: str | None
    address: str | None
    why: str


@dataclass(frozen=True, slots=True)
class LaterShown:
    """A plan that is proposed when there is room.

    Attributes:
        plan: Its digest.
        targets: All that wait for it.
    """

    plan: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApprovalsProposed:
    """What ``approve --propose`` did.

    Attributes:
        is_dry: Nothing was done: this is what would be.
        proposals: What became of each branch, in the order of the work.
        later: Plans that wait for their turn.
        used_up: Targets that wait although their plan is approved, since they applied it once.
        problems: What kept something from being done.
    """

    is_dry: bool
    proposals: tuple[ProposalShown, ...]
    later: tuple[LaterShown, ...]
    used_up: tuple[str, ...]
    problems: tuple[TickProblem, ...]


@dataclass(frozen=True, slots=True)
class TickState:
    """How the newest tick is, or ended.

    Attributes:
        state: ``troubled``: a report was made, and something went wrong; ``failed``: none was made, and the
            rest of this document is from before; ``killed``: it never said how it ended.
        run: Id of the run that the tick at work makes, or null.
    """

    state: Literal["done", "troubled", "failed", "running", "killed", "unknown"]
    run: str | None
    began: datetime | None
    ended: datetime | None
    exit_code: int | None
    problems: tuple[TickProblem, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause, as far as its file can be read.

    Attributes:
        by: Who paused the host.
        until: When it ends by itself, or null.
    """

    reason: str
    by: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Status(HostStatus):
    """How a host is.

    Attributes:
        looked_at: When the newest report was made.
        ailments: What is wrong, worst first; empty where all is well.
        plan: Digest of the plan.
        counts: As in a report.
        conditions: Those of the report that hold or may hold.
        guests: Of a hypervisor each guest, the worst first.
        unpushed: Report branches that the remote does not have whole.
        confirmed_at: When a tick after the report found nothing changed, or null.
        next_tick: About when the next tick is due, or was; null where no timer is enabled.
        outbox: Notifications that wait for delivery, one for each receiver.
        undelivered: What will never arrive of them, in sentences.
    """

    last_run: RunSummary | None
    unpushed: tuple[str, ...]
    confirmed_at: datetime | None
    tick: TickState
    next_tick: datetime | None
    is_overdue: bool
    paused: Paused | None
    outbox: int
    undelivered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PauseState:
    """Whether a host is paused now."""

    host: str
    paused: Pause | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One run of the list, made from its record alone.

    Attributes:
        started: Null where that is not known.
        seconds: How long it took, null where that is not known.
        outcome: Of the run, or ``damaged``.
        changes: Packages that changed.
    """

    run: str
    started: datetime | None
    seconds: int | None
    outcome: str
    changes: int
    reason: str


@dataclass(frozen=True, slots=True)
class LogList:
    """The runs of a host.

    Attributes:
        kept: Runs that are kept, the ones left out here included.
        runs: The oldest first.
    """

    folder: str
    kept: int
    runs: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One run.

    Attributes:
        record: As in run.schema.json; null where it is damaged.
        log: What the package manager said.
        approvals: What covered the plan, by the report that announced it: name, reason and line of policy.
        written: Of each of them who wrote and who signed it, in words; empty where nobody can tell.
    """

    run: str
    record: Mapping[str, Any] | None
    log: str
    approvals: tuple[str, ...]
    written: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedGuest:
    """One guest of a hypervisor.

    Attributes:
        id: Number of a Proxmox guest, else its name in the alphabet of host ids; empty where nothing is left.
        name: What its hypervisor calls it, which policies match on as well; empty where nobody has it.
        kind: Null where nobody has it.
        state: How it is.
        detail: What is done with a locked one, the node of one that moved, why one is unsupported.
        tags: As Proxmox has them.
        labels: Its tags that can be labels, with the value `true`, and what runs it as `guest`; labels of the
            configuration beat them.
        left_out: Why it would not be looked after; empty where it would.
        notes: What is odd about it.
    """

    id: str
    name: str
    kind: GuestKind | None
    state: GuestState
    detail: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    left_out: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnmeantPolicy:
    """A Policy that says nothing of guests and matches some.

    Attributes:
        origin: Where it stands.
        guests: The ids of those that it matches, or may match once their system is known.
    """

    name: str
    origin: str
    guests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GuestList:
    """The guests of a hypervisor, and why one is not looked after.

    Attributes:
        host: Id of the hypervisor.
        looked_in: Where guests were looked for; empty without `guests` in the configuration.
        guests: By kind and id.
        problems: Why guests of one of these places are not known.
        notes: What is to be known besides.
        unmeant: Policies in force that would apply to guests although they say nothing of them; null where
            it is not known which are in force.
    """

    host: str
    looked_in: tuple[GuestKind, ...]
    guests: tuple[ListedGuest, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    unmeant: tuple[UnmeantPolicy, ...] | None = None


@dataclass(frozen=True, slots=True)
class NotifierTried:
    """What came of one test message.

    Attributes:
        answered: Its service took the message.
        message: Why not; empty where it did.
        hint: What to do, empty for no advice.
        waiting: Messages for it in the outbox, this one not included.
    """

    name: str
    answered: bool
    message: str
    hint: str
    waiting: int


@dataclass(frozen=True, slots=True)
class NotifyTest:
    """What came of all test messages.

    Attributes:
        notifiers: Those that were tried, sorted by name.
    """

    notifiers: tuple[NotifierTried, ...]


@dataclass(frozen=True, slots=True)
class Foreign:
    """What somebody else wrote to a report branch.

    Attributes:
        ours: This host's newest report before.
        theirs: The remote's newest report before.
        unknown_reports: Reports there that this host does not know, up to 1000.
        subject: Of the newest; foreign text.
    """

    ours: str
    theirs: str
    unknown_reports: int
    newest: datetime
    subject: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class BranchRepair:
    """What became of one report branch.

    Attributes:
        found: What somebody else wrote there; null where nobody did.
        joined: The commit that has both; empty without.
        sent: Something was pushed.
        dry_run: It was only looked.
    """

    branch: str
    found: Foreign | None
    joined: str
    sent: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ReportsRepair:
    """What became of the report branches.

    Attributes:
        branches: Those of this host that could be looked at, sorted by name.
    """

    host: str
    branches: tuple[BranchRepair, ...]


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """A fleet, or the part of it that was asked for.

    Attributes:
        gathered_at: When the reports were read last.
        policy_commit: By which policy they were judged.
        policy_is_verified: Its signatures were asked for, and were good.
        states: How many targets of those below are in each state.
        rows: As in ``summary.json``, as they are now; the worst first.
    """

    gathered_at: datetime
    policy_commit: str
    policy_is_verified: bool
    states: Mapping[str, int]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class FleetBranch:
    """What became of the branch ``fleet`` of one report repository.

    Attributes:
        remote: Its address, without secrets.
        commit: The newest commit of the branch.
        is_new: That was made now.
    """

    remote: str
    commit: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class FleetPublish:
    """What was published.

    Attributes:
        branches: Of the report repositories that could be written.
        states: How many targets are in each state, the worst first.
        notices: What a person should know.
        problems: What kept a part from being read or published.
    """

    branches: tuple[FleetBranch, ...]
    states: Mapping[str, int]
    notices: tuple[str, ...]
    problems: tuple[TickProblem, ...]


@dataclass(frozen=True, slots=True)
class CheckMade:
    """A check that was made, and what holds where nothing speaks against that."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AuditShown:
    """What the two repositories prove of a period.

    Attributes:
        program: Name and version of what audited; what another version made is compared with care.
        since: First instant of the period.
        until: First instant after it.
        policy_commit: The newest policy that was read.
        policy_is_verified: Its signatures were asked for, and were good.
        verdict: The worst of all targets; where something could not be read, it is not ``proved``.
        counts: How many runs that did something, and how many changes outside of runs, are ``proved``,
            ``refuted`` and ``unproved``; and how many of the runs passed over a window (``exceptional``).
        checks: In the order of asking.
        believed: What is nobody's but the hosts' word.
        notices: What a person should know.
        problems: What kept a part from being read, so that nothing is proved of that.
    """

    program: str
    since: datetime
    until: datetime
    policy_commit: str
    policy_is_verified: bool
    verdict: Verdict
    counts: Mapping[str, int]
    targets: Sequence[TargetAudit]
    checks: tuple[CheckMade, ...]
    believed: tuple[str, ...]
    notices: tuple[str, ...]
    problems: tuple[TickProblem, ...]


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """A line of policy behind a decision, and who wrote it.

    Attributes:
        origin: ``FILE:LINE@COMMIT``.
        commit: Which wrote it last, null where that cannot be told, as all that follows.
        accepted: Commit with which it came into force here, where it is another one.
        signature: Whose it is, null where nobody signed.
        expires: When it ends by itself.
    """

    origin: str
    commit: str | None
    author: str | None
    at: datetime | None
    subject: str | None
    accepted: str | None
    signature: str | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class LetBy:
    """What let a run bring a version.

    Attributes:
        words: What it is, for people.
        origin: Its line of policy, empty where it has none.
        in_force: It is still.
    """

    name: str
    words: str
    origin: str
    in_force: bool


@dataclass(frozen=True, slots=True)
class CameBy:
    """The run that brought a version that is installed."""

    name: str
    arch: str
    version: str
    run: str
    at: datetime
    policy_commit: str | None
    let_by: tuple[LetBy, ...]


@dataclass(frozen=True, slots=True)
class FateChange:
    """A report that tells another fate of a package than the one before; null where no update is listed.

    Attributes:
        policy_commit: By which it was decided.
        policy_before: By which the fate before was.
    """

    at: datetime
    name: str
    arch: str
    installed: str | None
    candidate: str | None
    disposition: str | None
    reasons: tuple[str, ...]
    policy_commit: str | None
    policy_before: str | None


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One thing that was looked at.

    Attributes:
        hint: What to do, empty where there is nothing.
    """

    check: str
    level: Literal["ok", "unknown", "warning", "problem"]
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class DoctorFound:
    """All that was looked at; the host is null where its configuration cannot be read."""

    host: str | None
    findings: tuple[DoctorFinding, ...]


@dataclass(frozen=True, slots=True)
class NamedDocument:
    """A document of policy, and where it stands."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class AmbiguousSetting:
    """A setting that two policies of one rank make."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class ShownPolicy:
    """What policy says of one host.

    Attributes:
        policy_commit: Empty where a folder was read.
        policies: The strongest first.
        settings: In force, each as policy writes it.
        origins: Where each was made; a default has none.
    """

    host: str
    policy_commit: str
    labels: Mapping[str, str]
    policies: tuple[NamedDocument, ...]
    settings: Mapping[str, Any]
    origins: Mapping[str, str]
    exceptions: tuple[NamedDocument, ...]
    freezes: tuple[NamedDocument, ...]
    approvals: tuple[NamedDocument, ...]
    ambiguities: tuple[AmbiguousSetting, ...]


@dataclass(frozen=True, slots=True)
class InitialisedPolicy:
    """A repository that was made, and its first commit."""

    folder: str
    example: str
    commit: str


@dataclass(frozen=True, slots=True)
class ConvertedPolicy:
    """What became of the settings of another program.

    Attributes:
        folder: Where they were written, null where they were only printed.
        commit: Empty there.
        documents: Text by path.
        left: What has no counterpart, or not quite.
    """

    folder: str | None
    commit: str
    documents: Mapping[str, str]
    left: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class SignedHeartbeat:
    """An empty commit that shows that policy is still looked after."""

    folder: str
    commit: str


@dataclass(frozen=True, slots=True)
class WatchedThings:
    """What ``watch`` would wait for.

    Attributes:
        digest: Of the configuration file.
        tick: Seconds.
        tick_timeout: Seconds.
        watched: Files and folders by what they are.
    """

    digest: str
    tick: float
    tick_timeout: float
    state_dir: str
    watched: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class InstallationDone:
    """What was done, or would be with ``--dry-run``, a sentence each."""

    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetupDone:
    """What was done, a sentence each.

    Attributes:
        enrol: The Host document that enrols this host, empty where the policy has it or none is needed.
    """

    actions: tuple[str, ...]
    enrol: str


@dataclass(frozen=True, slots=True)
class CleanupDone:
    """What was done, a sentence each, and what was left where it is."""

    actions: tuple[str, ...]
    left: tuple[str, ...]


def _with_plan(said: str, more: Mapping[str, object]) -> dict[str, Any]:
    """Return the schema of what ``plan`` prints with more keys at its top."""
    whole = plan_schema()
    definitions: dict[str, Any] = whole["$defs"]
    own = schema_of(_together(more), "")
    definitions |= {name: one for name, one in own["$defs"].items() if name != "Together"}
    top, added = definitions["Report"], own["$defs"]["Together"]
    top["properties"] |= added["properties"]
    top["required"] = sorted({*top["required"], *added["required"]})
    return {**whole, "title": f"What {said}"}


def _together(more: Mapping[str, object]) -> type:
    return make_dataclass("Together", list(more.items()), frozen=True, slots=True)


_BESIDE_PLAN: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "run-result": (
        "`run --format json` prints: what `plan` does, the report commit, and the records of runs",
        {"commit": str | None, "pushed": bool, "runs": tuple[Mapping[str, Any], ...]},
    ),
    "explain": (
        "`explain --format json` prints: what `plan` does, of updates only those that were asked about",
        {
            "written": tuple[ExplainedLine, ...],
            "came": tuple[CameBy, ...],
            "installed": tuple[str, ...],
            "unused": tuple[str, ...],
        },
    ),
}


_PRINTED: Mapping[str, tuple[str, object]] = {
    "fleet-status": ("`fleet status --format json` prints", FleetStatus),
    "fleet-publish": ("`fleet publish --format json` prints", FleetPublish),
    "fleet-audit": ("`fleet audit --format json` prints", AuditShown),
    "windows": ("`windows --format json` prints", tuple[ShownWindow, ...]),
    "policy-impact": ("`policy impact --format json` prints", Impact),
    "policy-check": ("`policy check --format json` prints", PolicyCheck),
    "policy-test": ("`policy test --format json` prints", PolicyTest),
    "approve": (
        "`approve --format json` prints: with `--list` the plans that wait, else the branch",
        tuple[WaitingShown, ...] | ApprovalProposal,
    ),
    "approve-propose": ("`approve --propose --format json` prints", ApprovalsProposed),
    "status": ("`status --format json` prints", Status),
    "log": ("`log --format json` prints: the list, or with RUN one run", LogList | LoggedRun),
    "guests": ("`guests --format json` prints", GuestList),
    "pause": ("`pause --format json` and `resume --format json` print", PauseState),
    "notify-test": ("`notify test --format json` prints", NotifyTest),
    "reports-repair": ("`reports repair --format json` prints", ReportsRepair),
    "explain-since": ("`explain PACKAGE --since DATE --format json` prints", tuple[FateChange, ...]),
    "doctor": ("`doctor --format json` prints", DoctorFound),
    "policy-show": (
        "`policy show --format json` prints: one host, or with `--all` each",
        ShownPolicy | tuple[ShownPolicy, ...],
    ),
    "policy-init": ("`policy init --format json` prints", InitialisedPolicy),
    "policy-convert": (
        "`policy init --format json` prints where it takes over what another program was told",
        ConvertedPolicy,
    ),
    "policy-heartbeat": ("`policy heartbeat --format json` prints", SignedHeartbeat),
    "policy-schema": ("`policy schema --write DIR --format json` prints: files", tuple[str, ...]),
    "watch-check": ("`watch --check --format json` prints", WatchedThings),
    "setup-result": (
        "`setup` and `adjust` print with `--format json`; with `--dry-run` without `enrol`",
        SetupDone | InstallationDone,
    ),
    "cleanup": (
        "`cleanup --format json` prints; with `--dry-run` without `left`",
        CleanupDone | InstallationDone,
    ),
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints, by the name of its file below ``schemas/``."""
    if name in _BESIDE_PLAN:
        return _with_plan(*_BESIDE_PLAN[name])
    said, kind = _PRINTED[name]
    return schema_of(kind, f"What {said}")


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of all commands, by name."""
    return {name: schema(name) for name in (*_PRINTED, *_BESIDE_PLAN)}
