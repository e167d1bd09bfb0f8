"""What gates are shown and answer, and the decisions that are made of their answers."""

from dataclasses import field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Literal

from reconciler.planning.facts.observation import Change, ClockState, Health
from reconciler.planning.facts.patience import pause_after
from reconciler.planning.resolving.approval import ApprovalText
from reconciler.planning.resolving.dispositions import Condition
from reconciler.planning.text.layout import since
from reconciler.policy.fields import Action, ApprovalMode
from reconciler.policy.windows import Freeze, Occurrence
from reconciler.records import dataclass


class Outcome(StrEnum):
    """What came of asking; the closed list of ``decision.outcome``."""

    APPLY = "apply"
    NOTHING = "nothing"
    PAUSED = "paused"
    POLICY_STALLED = "policy-stalled"
    NEEDS_UPGRADE = "needs-upgrade"
    POLICY_STALE = "policy-stale"
    CLOCK = "clock"
    PLAN_ONLY = "plan-only"
    DOWNLOAD_ONLY = "download-only"
    UNHEALTHY = "unhealthy"
    CANNOT_RESOLVE = "cannot-resolve"
    METADATA_STALE = "metadata-stale"
    LOCKED = "locked"
    NO_SPACE = "no-space"
    INHIBITED = "inhibited"
    ALREADY_FAILED = "already-failed"
    WINDOW = "window"
    BUDGET = "budget"
    FREEZE = "freeze"
    ROLLOUT = "rollout"
    APPROVAL = "approval"
    CONCURRENCY = "concurrency"


class Basis(Enum):
    """What an outcome rests on, so that whoever would keep an answer knows what makes it another."""

    COMPARED = auto()
    """Policy, configuration, pause, the package manager's files, and time: a quiet tick compares them all."""

    MOMENT = auto()
    """The machine, or others, as they are at this moment. That may pass unseen: every tick must ask again."""


def basis_of(outcome: Outcome) -> Basis:
    """Say what ``outcome`` rests on."""
    match outcome:
        case (
            Outcome.NOTHING
            | Outcome.PAUSED
            | Outcome.POLICY_STALLED
            | Outcome.NEEDS_UPGRADE
            | Outcome.POLICY_STALE
            | Outcome.PLAN_ONLY
            | Outcome.DOWNLOAD_ONLY
            | Outcome.CANNOT_RESOLVE
            | Outcome.ALREADY_FAILED
            | Outcome.WINDOW
            | Outcome.BUDGET
            | Outcome.FREEZE
            | Outcome.APPROVAL
        ):
            return Basis.COMPARED
        case (
            Outcome.APPLY  # stands after a tick only where a hook, or the package manager, was against it
            | Outcome.CLOCK
            | Outcome.UNHEALTHY
            | Outcome.METADATA_STALE
            | Outcome.LOCKED
            | Outcome.NO_SPACE
            | Outcome.INHIBITED
            | Outcome.ROLLOUT
            | Outcome.CONCURRENCY
        ):
            return Basis.MOMENT


class GateName(StrEnum):
    """The gates, in the order in which they are asked."""

    PAUSED = "paused"
    POLICY = "policy"
    CLOCK = "clock"
    ACTION = "action"
    HOST = "host"
    WINDOW = "window"
    FREEZE = "freeze"
    ROLLOUT = "rollout"
    APPROVAL = "approval"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True)
class Pass:
    """An open gate.

    Attributes:
        message: Why it is open, as one sentence without a trailing full stop.
        until: When that may change by itself, ``None`` where no instant is known.
        warning: A reader should know the message although the gate is open.
        origin: ``file:line@commit`` of the policy text behind it, or empty.
    """

    gate: GateName
    message: str
    until: datetime | None = None
    warning: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed gate.

    Attributes:
        reason: One sentence for people, without a trailing full stop.
        until: When it may open by itself; ``None`` where only a commit, a person or another machine can open
            it, and every tick asks again.
        origin: ``file:line@commit`` of the policy text behind it, or empty.
        changes: When outcome or reason may become others although the gate perhaps stays closed, where that
            is before ``until``.
    """

    gate: GateName
    outcome: Outcome
    reason: str
    until: datetime | None = None
    origin: str = ""
    changes: datetime | None = None


GateResult = Pass | Closed


@dataclass(frozen=True, slots=True)
class Pause:
    """The operator's ``pause``: nothing is applied until it is lifted or over."""

    reason: str
    by: str
    since: datetime
    until: datetime | None = None


class SignMethod(StrEnum):
    """How a commit is signed."""

    SSH = "ssh"
    SSH_CERTIFICATE = "ssh-certificate"
    OPENPGP = "openpgp"
    FORGE = "forge"
    """By a key of the forge, which vouches for the account that merged: trust in the forge."""


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who signed a commit of the policy: the signer, whatever author the commit names.

    Attributes:
        commit: Its full id.
        signer: Who the list of signers says that the key belongs to; of a certificate, its principal; of a
            merge that a forge signed, the account and the words that say so.
        fingerprint: Of the key, as ``ssh-keygen`` or ``gpg`` shows it.
        method: How it is signed.
    """

    commit: str
    signer: str
    fingerprint: str
    method: SignMethod


class PolicyStanding(StrEnum):
    """What became of the newest policy revision."""

    READY = "ready"
    STALLED = "stalled"
    NEEDS_UPGRADE = "needs-upgrade"


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy revision in force and how it was come by.

    Attributes:
        remote: Where it is fetched from, redacted by the caller.
        commit: The accepted commit, empty while there is none.
        committed_at: Its committer date.
        fetched_at: When the remote last confirmed the head, ``None`` for never.
        verification: How the commits were verified, in words.
        standing: Whether the newest revision is the one in force.
        message: Why it is not.
        refused: The newest commit, where it was refused.
        floor: The ``trust.floor`` of the configuration, empty without one.
        signed: Who signed the commit in force and those accepted with it, the newest last; none where
            signatures are not asked for.
        max_head_age: How old the signed head may be, ``None`` where that does not matter.
    """

    remote: str
    ref: str
    commit: str
    committed_at: datetime | None
    fetched_at: datetime | None
    verification: str = ""
    standing: PolicyStanding = PolicyStanding.READY
    message: str = ""
    refused: str = ""
    floor: str = since(2, "")
    signed: tuple[SignedBy, ...] = since(3, ())
    max_head_age: timedelta | None = since(3, None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something dated by another clock, such as a policy commit or a release file."""

    what: str
    at: datetime


InhibitorKind = Literal["sessions", "battery", "inhibitors", "metered"]


@dataclass(frozen=True, slots=True)
class Inhibitor:
    """Something that happens on the machine and that a run would disturb, in words."""

    kind: InhibitorKind
    detail: str


@dataclass(frozen=True, slots=True)
class FailedApply:
    """An apply that failed, and what must differ before the same plan is tried again.

    Attributes:
        hooks: What the machine's own hooks were, where one of them was against it.
        attempts: How often a hook was; 0 where it failed for something else. What a hook looks at is seen by
            nobody but itself, so that it is asked again by the next tick, and then after growing pauses.
        reason: What the hook said.
    """

    digest: str
    policy_commit: str
    database: str
    at: datetime
    hooks: str = since(2, "")
    attempts: int = since(2, 0)
    reason: str = since(2, "")

    @property
    def again(self) -> datetime | None:
        """When the same plan is tried again although nothing changed; ``None`` where it never is."""
        if not self.attempts:
            return None
        return self.at if self.attempts == 1 else self.at + pause_after(self.attempts - 1)


@dataclass(frozen=True, slots=True)
class HostState:
    """What was seen of the machine that a run depends on.

    Attributes:
        database: Digest of the package database, as observed.
        hooks: Digest of the machine's own hooks, those of its package manager included, as observed.
        failed: The last failed apply, where it was not followed by a successful one.
        quarantined: ``name:arch`` of packages that failed in an earlier run and are known to be half done:
            they keep nothing else back. A name alone, in an older recording, means every architecture.
    """

    health: Health = field(default_factory=Health)
    inhibitors: tuple[Inhibitor, ...] = ()
    database: str = ""
    failed: FailedApply | None = None
    quarantined: tuple[str, ...] = ()
    hooks: str = since(2, "")


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the schedules say.

    Attributes:
        schedules: Names in force; none means never in a window.
        spans: The windows that are open and the next few, sorted.
        opening: The next instant at which a run may start: a window's start, moved past freezes, with room
            for the budget; ``None`` where none is in sight.
        problem: Why windows cannot be told, which counts as closed.
        zones: For each of ``spans`` the zone that its start is written in.
    """

    schedules: tuple[str, ...] = ()
    spans: tuple[Occurrence, ...] = ()
    opening: datetime | None = None
    problem: str = ""
    zones: tuple[str, ...] = since(3, ())


@dataclass(frozen=True, slots=True)
class RolloutState:
    """What the fleet's summary says of this host's ring; ``until`` is when its soak ends, where known."""

    name: str
    ring: str
    is_open: bool
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The answer to a claim of a concurrency slot."""

    group: str
    is_held: bool
    detail: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """``run --now``: a person takes the window gate on themselves, and the freeze only where said."""

    reason: str
    by: str
    overrides_freeze: bool = False


# Not the policy's Settings themselves: these are recorded with every decision, so that a setting that no gate
# reads may come, go and change its shape, and older recordings stay readable.
@dataclass(frozen=True, slots=True)
class GateSettings:
    """The effective settings that gates read, named as in the policy language.

    Attributes:
        inhibit: The kinds of inhibitor that defer a run.
        lock_wait: How long a run waits itself while another program holds the package database.
        concurrency: ``(group, slots)``.
        rollout: ``(name, ring)``.
        origins: ``(dotted key, file:line@commit)`` of the values above, sorted by key.
    """

    action: Action = "plan"
    approval: ApprovalMode = "none"
    budget: timedelta = timedelta(minutes=30)
    max_policy_age: timedelta = timedelta(days=14)
    inhibit: tuple[InhibitorKind, ...] = ("battery", "inhibitors")
    lock_wait: timedelta = timedelta(0)
    concurrency: tuple[str, int] | None = None
    rollout: tuple[str, str] | None = None
    origins: tuple[tuple[str, str], ...] = ()

    def origin_of(self, key: str) -> str:
        """Return where ``key`` was set, empty for a default."""
        return dict(self.origins).get(key, "")


@dataclass(frozen=True, slots=True)
class GateInputs:
    """Everything that the gates are shown besides the plan; recorded in ``observation.json``.

    Attributes:
        evidence: What other clocks said, sorted.
        is_security_plan: The plan was resolved with security updates only and removals forbidden.
        freezes: Those that match this host, active and coming ones, sorted by start.
        conditions: What others than the plan found out about the target; stalled ones close a gate as the
            plan's own do.
        used: Digests of plans that were applied here: an approval of one of them is used up.
        untold_by: Name of the package manager, where it does not tell which updates fix security problems.
    """

    settings: GateSettings
    policy: PolicyState
    clock: ClockState
    evidence: tuple[Evidence, ...] = ()
    pause: Pause | None = None
    host: HostState = field(default_factory=HostState)
    windows: WindowState = field(default_factory=WindowState)
    freezes: tuple[Freeze, ...] = ()
    is_security_plan: bool = False
    rollout: RolloutState | None = None
    approvals: tuple[ApprovalText, ...] = ()
    slot: Slot | None = None
    break_glass: BreakGlass | None = None
    conditions: tuple[Condition, ...] = ()
    used: tuple[str, ...] = ()
    untold_by: str = since(3, "", is_left_out=True)


@dataclass(frozen=True, slots=True)
class Step:
    """Changes that one call of the package manager makes together, in its order."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """Every gate is open.

    Attributes:
        steps: In order; together they are the plan's transaction.
        deadline: End of the window, or the begin of a freeze in it: no step starts that would not fit before.
            ``None`` for break-glass, which no window bounds.
    """

    steps: tuple[Step, ...]
    deadline: datetime | None


@dataclass(frozen=True, slots=True)
class Deferred:
    """A gate is closed; ``until`` as in :class:`Closed`."""

    outcome: Outcome
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """The plan changes nothing."""

    reason: str


Decision = Apply | Deferred | Nothing
