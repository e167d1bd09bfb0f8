"""The gates between a plan and its execution, and the decision they make together.

Rules:

1. Every gate is a pure function of what it is shown and of ``now``; it passes, or it is closed with an
   outcome, a reason fit for the report and the instant at which it will be asked again.
2. All gates are asked, always, so that a reader sees the state of each; the first closed one, in the order
   of :class:`GateName`, decides.
3. What is not known is closed: no schedule, no summary of a rollout, no claimed slot, no fetched policy. The
   one exception is a clock whose synchronisation nobody can be asked about: that is a warning.
4. Nothing is decided for longer than the instant asked about. The caller asks again, with what it sees then,
   before each irreversible step and before a reboot.
5. Reasons hold no relative times ("3 hours ago"), so that an unchanged state gives an unchanged report.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Literal

from reconciler.planning.facts.observation import Change, ClockState, Filesystem, Health
from reconciler.planning.facts.package import Mention
from reconciler.planning.resolving.approval import ApprovalText
from reconciler.planning.resolving.dispositions import Condition, Plan
from reconciler.planning.text.layout import since
from reconciler.planning.text.wording import listed, mebibytes, plural, short_digest
from reconciler.policy.values import format_duration
from reconciler.policy.windows import Freeze, Occurrence
from reconciler.policy.zones import shifted

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far in the future evidence may lie before it contradicts the clock: no two clocks agree."""

SPACE_MARGIN = 100 * 2**20
"""Bytes that must stay free beyond what the plan is known to need: unpacking writes the new file before the
old one goes."""

BOOT_MARGIN = 150 * 2**20
"""Bytes that ``/boot`` must have free for one more kernel with its initial ramdisk, whose size nobody knows
before it is built."""


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something dated by another clock, such as a policy commit or a release file."""

    what: str
    at: datetime


InhibitorKind = Literal["sessions", "battery", "inhibitors"]


@dataclass(frozen=True, slots=True)
class Inhibitor:
    """Something that happens on the machine and that a run would disturb, in words."""

    kind: InhibitorKind
    detail: str


@dataclass(frozen=True, slots=True)
class FailedApply:
    """An apply that failed, and what must differ before the same plan is tried again."""

    digest: str
    policy_commit: str
    database: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HostState:
    """What was seen of the machine that a run depends on.

    Attributes:
        database: Digest of the package database, as observed.
        failed: The last failed apply, where it was not followed by a successful one.
        quarantined: ``name:arch`` of packages that failed in an earlier run and are known to be half done:
            they keep nothing else back. A name alone, in an older recording, means every architecture.
    """

    health: Health = field(default_factory=Health)
    inhibitors: tuple[Inhibitor, ...] = ()
    database: str = ""
    failed: FailedApply | None = None
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the schedules say.

    Attributes:
        schedules: Names in force; none means never in a window.
        spans: The windows that are open and the next few, sorted.
        opening: The next instant at which a run may start: a window's start, moved past freezes, with room
            for the budget; ``None`` where none is in sight.
        problem: Why windows cannot be told, which counts as closed.
    """

    schedules: tuple[str, ...] = ()
    spans: tuple[Occurrence, ...] = ()
    opening: datetime | None = None
    problem: str = ""


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

    action: Literal["plan", "download", "apply"] = "plan"
    approval: Literal["none", "required"] = "none"
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


def decide(plan: Plan, inputs: GateInputs, now: datetime) -> Decision:
    """Decide what may happen to ``plan`` at ``now``; see :func:`evaluate` for the state of each gate."""
    return conclude(plan, inputs, evaluate(plan, inputs, now), now)


def conclude(plan: Plan, inputs: GateInputs, gates: Sequence[GateResult], now: datetime) -> Decision:
    """Make the decision out of ``gates``, the states that :func:`evaluate` gave for the same arguments.

    An empty transaction is :class:`Nothing` whatever the gates say, except that a policy that is not in
    force, an unhealthy host, an unresolved transaction and stale metadata come first: nobody can say that
    there is nothing to do by a policy that was refused or is too old, on a machine where packages are half
    done, where the package manager finds no transaction, nor by what the sources offered long ago.
    """
    closed = [gate for gate in gates if isinstance(gate, Closed)]
    if not plan.transaction:
        closed = [gate for gate in closed if _leaves_unknown(gate)]
    if closed:
        return Deferred(closed[0].outcome, closed[0].reason, closed[0].until)
    if not plan.transaction:
        return Nothing(_why_nothing(plan))
    room = _room(inputs, now) if inputs.break_glass is None else None
    return Apply((Step(plan.transaction),), None if room is None else room.end)


def _leaves_unknown(gate: Closed) -> bool:
    """Say whether a closed gate means that nobody knows whether there is something to do."""
    match gate.outcome:
        case (
            Outcome.POLICY_STALLED
            | Outcome.NEEDS_UPGRADE
            | Outcome.POLICY_STALE
            | Outcome.UNHEALTHY
            | Outcome.CANNOT_RESOLVE
            | Outcome.METADATA_STALE
        ):
            return True
        case (
            Outcome.APPLY
            | Outcome.NOTHING
            | Outcome.PAUSED
            | Outcome.CLOCK
            | Outcome.PLAN_ONLY
            | Outcome.DOWNLOAD_ONLY
            | Outcome.LOCKED
            | Outcome.NO_SPACE
            | Outcome.INHIBITED
            | Outcome.ALREADY_FAILED
            | Outcome.WINDOW
            | Outcome.BUDGET
            | Outcome.FREEZE
            | Outcome.ROLLOUT
            | Outcome.APPROVAL
            | Outcome.CONCURRENCY
        ):
            return False


def _why_nothing(plan: Plan) -> str:
    if not plan.updates:
        return "no source offers anything newer"
    verb = "is" if len(plan.updates) == 1 else "are"
    return f"{plural(len(plan.updates), 'update')} {verb} offered and none of them is to be applied"


def evaluate(plan: Plan, inputs: GateInputs, now: datetime) -> tuple[GateResult, ...]:
    """Ask every gate about ``plan`` at ``now`` and return the answers in the order of :class:`GateName`."""
    settings = inputs.settings
    conditions = (*plan.conditions, *inputs.conditions)
    return (
        pause_gate(inputs.pause, now),
        policy_gate(inputs.policy, settings, conditions, now),
        clock_gate(inputs.clock, inputs.evidence, now),
        action_gate(settings),
        host_gate(inputs, plan, conditions),
        window_gate(inputs, now),
        freeze_gate(inputs, plan, now),
        rollout_gate(settings, inputs.rollout),
        approval_gate(plan, settings, inputs.approvals, now, used=inputs.used),
        concurrency_gate(settings, inputs.slot),
    )


def may_pass_unseen(decision: Decision, gates: Iterable[GateResult]) -> bool:
    """Say whether the next tick must ask again although nothing it compares has changed.

    What stands behind a gate that only a commit, a person or time opens is asked then; but where packages are
    only fetched, what keeps them from that counts.
    """
    match decision:
        case Nothing():
            return False
        case Apply():
            return True
        case Deferred():
            closed = (gate.outcome for gate in gates if isinstance(gate, Closed))
            first = next((one for one in closed if one is not Outcome.DOWNLOAD_ONLY), decision.outcome)
            return basis_of(first) is Basis.MOMENT


def next_instant(
    decision: Decision, gates: Iterable[GateResult], extra: Iterable[datetime | None] = ()
) -> datetime | None:
    """Return the first instant at which an answer may differ without anything else having changed.

    Args:
        decision: Its deadline or ``until`` counts too.
        gates: Open ones count with the instant until which they are open.
        extra: Further instants, such as the end of a minimum age or of an exception.

    Returns:
        The earliest of all, ``None`` where time alone changes nothing.
    """
    match decision:
        case Apply():
            own = decision.deadline
        case Deferred():
            own = decision.until
        case Nothing():
            own = None
    states = list(gates)
    turns = [gate.changes for gate in states if isinstance(gate, Closed)]
    return _first(own, *(gate.until for gate in states), *turns, *extra)


def pause_gate(pause: Pause | None, now: datetime) -> GateResult:
    """Close while the operator has paused this host."""
    if pause is None:
        return Pass(GateName.PAUSED, "not paused")
    if pause.until is not None and pause.until <= now:
        return Pass(GateName.PAUSED, "the pause is over")
    return Closed(GateName.PAUSED, Outcome.PAUSED, f"paused by {pause.by}: {pause.reason}", until=pause.until)


def policy_gate(
    policy: PolicyState, settings: GateSettings, conditions: Sequence[Condition], now: datetime
) -> GateResult:
    """Close unless the newest revision is in force, unambiguous here, and was confirmed recently enough.

    Age is counted from the last time the remote confirmed the head, not from the commit: a policy that nobody
    needed to change for a year is not stale.
    """
    match policy.standing:
        case PolicyStanding.STALLED:
            return Closed(GateName.POLICY, Outcome.POLICY_STALLED, policy.message)
        case PolicyStanding.NEEDS_UPGRADE:
            return Closed(GateName.POLICY, Outcome.NEEDS_UPGRADE, policy.message)
        case PolicyStanding.READY:
            pass
    stalled = _stalled(condition for condition in conditions if is_about_policy(condition.type))
    if stalled is not None:
        return Closed(GateName.POLICY, Outcome.POLICY_STALLED, stalled.message)
    if policy.fetched_at is None or not policy.commit:
        return Closed(GateName.POLICY, Outcome.POLICY_STALLED, "no policy has been fetched yet")
    limit = settings.max_policy_age
    origin = settings.origin_of("max_policy_age")
    if now - policy.fetched_at > limit:
        reason = f"the policy remote has not confirmed this policy for more than {format_duration(limit)}"
        return Closed(GateName.POLICY, Outcome.POLICY_STALE, reason, origin=origin)
    return Pass(GateName.POLICY, "in force and fresh", until=shifted(policy.fetched_at, limit), origin=origin)


def is_about_policy(condition_type: str) -> bool:
    """Tell whether conditions of this type say that the policy, not the host, is the trouble."""
    return condition_type.startswith(("Policy", "NeedsUpgrade"))


def _stalled(conditions: Iterable[Condition]) -> Condition | None:
    return next((one for one in conditions if one.stalled and one.status is not False), None)


def clock_gate(clock: ClockState, evidence: Sequence[Evidence], now: datetime) -> GateResult:
    """Close when the clock is known to be wrong: not synchronised and contradicted by another clock."""
    future = [item for item in evidence if item.at > shifted(now, CLOCK_TOLERANCE)]
    contradiction = f"{future[0].what} is from the future" if future else ""
    turn = min((shifted(item.at, -CLOCK_TOLERANCE) for item in future), default=None)
    name = GateName.CLOCK
    match clock:
        case ClockState.UNSYNCHRONISED if future:
            reason = f"the clock is not synchronised and {contradiction}"
            until = shifted(max(item.at for item in future), -CLOCK_TOLERANCE)
            return Closed(name, Outcome.CLOCK, reason, until=until, changes=turn)
        case ClockState.UNSYNCHRONISED:
            return Pass(name, "the clock is not synchronised, and nothing contradicts it", warning=True)
        case ClockState.UNKNOWN:
            message = "nobody can say whether the clock is synchronised"
            message = f"{message}, and {contradiction}" if future else message
            return Pass(name, message, until=turn, warning=True)
        case ClockState.SYNCHRONISED:
            message = f"synchronised, although {contradiction}" if future else "synchronised"
            return Pass(name, message, until=turn, warning=bool(future))


def action_gate(settings: GateSettings) -> GateResult:
    """Close unless the policy wants updates applied."""
    origin = settings.origin_of("action")
    match settings.action:
        case "plan":
            reason = "the policy says action: plan, so nothing is applied"
            return Closed(GateName.ACTION, Outcome.PLAN_ONLY, reason, origin=origin)
        case "download":
            reason = "the policy says action: download, so nothing is applied"
            return Closed(GateName.ACTION, Outcome.DOWNLOAD_ONLY, reason, origin=origin)
        case "apply":
            return Pass(GateName.ACTION, "the policy says action: apply", origin=origin)


def host_gate(inputs: GateInputs, plan: Plan, conditions: Sequence[Condition]) -> GateResult:
    """Close while a run would fail or do harm: packages half done or broken, a lock, no space, ..."""
    health = inputs.host.health
    sick = _sickness(inputs.host, plan, conditions)
    if sick is not None:
        return sick
    if health.lock_holder and not inputs.settings.lock_wait:
        reason = f"the package database is locked by {health.lock_holder}"
        return Closed(GateName.HOST, Outcome.LOCKED, reason)
    shortage = _shortage(plan, health.filesystems)
    if shortage:
        return Closed(GateName.HOST, Outcome.NO_SPACE, shortage)
    return _disturbed(inputs, plan)


def _sickness(host: HostState, plan: Plan, conditions: Sequence[Condition]) -> Closed | None:
    name, health = GateName.HOST, host.health
    known = [Mention.parse(one) for one in host.quarantined]
    interrupted = [one for one in health.interrupted if not _keeps_back_none(one, known)]
    if not plan.transaction:
        interrupted = list(health.interrupted)  # What lets others be applied makes no machine whole.
    if interrupted:
        reason = f"packages are half done, since a run failed or was interrupted: {listed(interrupted, 3)}"
        return Closed(name, Outcome.UNHEALTHY, reason)
    if health.broken:
        return Closed(name, Outcome.UNHEALTHY, f"dependencies are broken: {listed(health.broken, 3)}")
    stalled = _stalled(condition for condition in conditions if not is_about_policy(condition.type))
    if stalled is not None:
        return Closed(name, Outcome.UNHEALTHY, stalled.message)
    for kind, outcome in (
        # First what the resolver had to go by.
        ("MetadataStale", Outcome.METADATA_STALE),
        ("CannotResolve", Outcome.CANNOT_RESOLVE),
    ):
        found = next((one for one in conditions if one.type == kind and one.status), None)
        if found is not None:
            return Closed(name, outcome, found.message)
    return None


def _keeps_back_none(interrupted: str, known: Iterable[Mention]) -> bool:
    """Say whether a package, told as ``name (status)``, is known to be half done and keeps nothing back.

    One that must be installed anew does: its package manager does nothing else before.
    """
    package, _, status = interrupted.partition(" ")
    return status != "(reinst-required)" and any(map(Mention.parse(package).overlaps, known))


def _disturbed(inputs: GateInputs, plan: Plan) -> GateResult:
    for inhibitor in inputs.host.inhibitors:
        if inhibitor.kind in inputs.settings.inhibit:
            origin = inputs.settings.origin_of(f"inhibit.{inhibitor.kind}")
            return Closed(GateName.HOST, Outcome.INHIBITED, f"inhibited by {inhibitor.detail}", origin=origin)
    failed = inputs.host.failed
    tried = (plan.digest, inputs.policy.commit, inputs.host.database)
    if (
        failed is not None
        and (failed.digest, failed.policy_commit, failed.database) == tried
        and inputs.break_glass is None
    ):
        reason = "this very plan failed and neither plan, policy nor package database has changed since"
        return Closed(GateName.HOST, Outcome.ALREADY_FAILED, reason)
    holder = inputs.host.health.lock_holder
    if holder:
        patience = format_duration(inputs.settings.lock_wait)
        message = f"the package database is locked by {holder}; a run waits up to {patience} for it"
        return Pass(GateName.HOST, message, warning=True)
    return Pass(GateName.HOST, "healthy")


def _shortage(plan: Plan, filesystems: Sequence[Filesystem]) -> str:
    """Return the sentence about the first file system that the plan does not fit on, or an empty one.

    Paths with equal figures are taken for one file system, so that their needs add up.
    """
    needs: dict[tuple[int, int], int] = {}
    for place in filesystems:
        key = (place.free, place.size)
        needs[key] = needs.get(key, 0) + _need(plan, place.path, {other.path for other in filesystems})
    for place in filesystems:
        need = needs[place.free, place.size]
        if need and place.free < need + SPACE_MARGIN:
            wanted = mebibytes(need + SPACE_MARGIN)
            return f"{place.path} has {mebibytes(place.free)} free and {wanted} are needed"
    return ""


def _need(plan: Plan, path: str, paths: set[str]) -> int:
    """Return the bytes that ``plan`` writes to the file system seen at ``path``."""
    download = sum(change.size or 0 for change in plan.transaction)
    growth = sum(max(change.installed_delta or 0, 0) for change in plan.transaction)
    has_cache = any(_is_cache(other) for other in paths)
    if path.rstrip("/").endswith("/boot"):
        return BOOT_MARGIN - SPACE_MARGIN if any(map(_is_new_kernel, plan.transaction)) else 0
    if _is_cache(path):
        return download
    if path == "/" or "/" not in paths:
        return growth if has_cache else growth + download
    return 0


def _is_cache(path: str) -> bool:
    return "/var/cache" in path


def _is_new_kernel(change: Change) -> bool:
    return change.action == "install" and change.name.startswith(("linux-image", "kernel", "proxmox-kernel"))


def window_gate(inputs: GateInputs, now: datetime) -> GateResult:
    """Close outside every window, and in one where the budget no longer fits before its end or a freeze."""
    name, settings, windows = GateName.WINDOW, inputs.settings, inputs.windows
    origin = settings.origin_of("schedule")
    if inputs.break_glass is not None:
        message = f"passed over by run --now of {inputs.break_glass.by}: {inputs.break_glass.reason}"
        return Pass(name, message, warning=True)
    if windows.problem:
        return Closed(name, Outcome.WINDOW, f"windows cannot be told: {windows.problem}", origin=origin)
    if not windows.schedules:
        return Closed(
            name, Outcome.WINDOW, "the policy names no schedule, so no window ever opens", origin=origin
        )
    later = windows.opening if windows.opening is not None and windows.opening > now else None
    coming = min((span.start for span in windows.spans if span.start > now), default=None)
    room = _room(inputs, now)
    if room is None:
        reason = f"outside the windows of {', '.join(windows.schedules)}"
        return Closed(name, Outcome.WINDOW, reason, until=later, origin=origin, changes=coming)
    last_start = shifted(room.end, -settings.budget)
    if now > last_start:
        reason = f"a run needs {format_duration(settings.budget)}, more than is left {room.bound}"
        origin = settings.origin_of("budget")
        return Closed(
            name, Outcome.BUDGET, reason, until=later, origin=origin, changes=_first(room.end, coming)
        )
    until = _first(_after(last_start), coming)
    return Pass(name, f"in the window {room.schedule}", until=until, origin=origin)


@dataclass(frozen=True, slots=True)
class _Room:
    """How long a run may last that starts now; ``bound`` says in words what ends it."""

    end: datetime
    schedule: str
    bound: str


def _room(inputs: GateInputs, now: datetime) -> _Room | None:
    """Return the open window that ends last, cut where a freeze that this plan may not pass begins in it."""
    open_spans = [span for span in inputs.windows.spans if span.is_open(now)]
    if not open_spans:
        return None
    span = max(open_spans, key=lambda one: one.end)
    coming = [
        freeze
        for freeze in inputs.freezes
        if now < freeze.start < span.end and not (freeze.allow == "security" and inputs.is_security_plan)
    ]
    if not coming:
        return _Room(span.end, span.schedule, f"of the window {span.schedule}")
    first = min(coming, key=lambda freeze: freeze.start)
    return _Room(first.start, span.schedule, f"before the freeze {first.name}")


def _first(*instants: datetime | None) -> datetime | None:
    return min((at for at in instants if at is not None), default=None)


def _after(at: datetime) -> datetime:
    """Return the first whole second after ``at``: what holds through ``at`` may differ from there on."""
    return shifted(at.replace(microsecond=0), timedelta(seconds=1))


def freeze_gate(inputs: GateInputs, plan: Plan, now: datetime) -> GateResult:
    """Close while a freeze is active, but for a security plan where every active freeze allows it."""
    name = GateName.FREEZE
    active = [freeze for freeze in inputs.freezes if freeze.is_active(now)]
    coming = min((freeze.start for freeze in inputs.freezes if freeze.start > now), default=None)
    if not active:
        return Pass(name, "no freeze is active", until=coming)
    first = max(active, key=lambda freeze: (freeze.allow == "none", freeze.end))
    turn = _first(coming, *(freeze.end for freeze in active))
    glass = inputs.break_glass
    if glass is not None and glass.overrides_freeze:
        message = f"the freeze {first.name} is overridden by {glass.by}: {glass.reason}"
        return Pass(name, message, until=turn, warning=True, origin=first.origin)
    said = f"{first.name} ({first.reason})"
    if first.allow == "none":
        reason = f"frozen by {said}"
    elif not inputs.is_security_plan:
        reason = f"frozen by {said} for all but security updates, and this plan holds others"
    elif any(change.action == "remove" for change in plan.transaction):
        reason = f"frozen by {said} for all but security updates, and this plan removes packages"
    else:
        message = f"the freeze {first.name} lets security updates through"
        return Pass(name, message, until=turn, origin=first.origin)
    until = thaw(inputs.freezes, first)
    return Closed(name, Outcome.FREEZE, reason, until=until, origin=first.origin, changes=turn)


def thaw(freezes: Sequence[Freeze], active: Freeze) -> datetime:
    """Return the end of the run of freezes, as strict as ``active``, that follow it without a gap."""
    end = active.end
    for freeze in sorted(freezes, key=lambda one: one.start):
        strict = freeze.allow == "none" or active.allow == "security"
        if strict and freeze.start <= end < freeze.end:
            end = freeze.end
    return end


def rollout_gate(settings: GateSettings, rollout: RolloutState | None) -> GateResult:
    """Close until the ring of this host is open, by a summary that was really read."""
    name = GateName.ROLLOUT
    if settings.rollout is None:
        return Pass(name, "in no rollout")
    wanted, ring = settings.rollout
    origin = settings.origin_of("rollout.name")
    if rollout is None or (rollout.name, rollout.ring) != (wanted, ring):
        reason = f"no summary of the fleet says whether ring {ring} of rollout {wanted} is open"
        return Closed(name, Outcome.ROLLOUT, reason, origin=origin)
    if not rollout.is_open:
        reason = f"ring {ring} of rollout {wanted} is not open: {rollout.reason}"
        return Closed(name, Outcome.ROLLOUT, reason, until=rollout.until, origin=origin)
    return Pass(name, f"ring {ring} of rollout {wanted} is open: {rollout.reason}", origin=origin)


def approval_gate(
    plan: Plan,
    settings: GateSettings,
    approvals: Sequence[ApprovalText],
    now: datetime,
    *,
    used: Sequence[str] = (),
) -> GateResult:
    """Close until an approval in force names this very plan, or the version of each of its changes.

    Who approves a plan approves one run of it: once it was applied, its digest approves nothing any more.
    """
    name = GateName.APPROVAL
    if settings.approval == "none":
        return Pass(name, "none required", origin=settings.origin_of("approval"))
    standing = [approval for approval in approvals if now < approval.expires]
    covering = [approval for approval in standing if approval.covers(plan.transaction, plan.digest)]
    fitting = [one for one in covering if not one.plan or plan.digest not in used]
    if fitting:
        best = max(fitting, key=lambda approval: approval.expires)
        return Pass(name, f"approved by {best.name}: {best.reason}", until=best.expires, origin=best.origin)
    if plan.digest in used and any(approval.plan for approval in covering):
        reason = f"the approval of plan {short_digest(plan.digest)} is used up: it was applied on this host"
        return Closed(name, Outcome.APPROVAL, reason, origin=covering[0].origin)
    reason = f"no approval in force covers plan {short_digest(plan.digest)}"
    if len(standing) < len(approvals):
        reason += f" ({len(approvals) - len(standing)} expired)"
    turn = min((approval.expires for approval in standing), default=None)
    return Closed(name, Outcome.APPROVAL, reason, origin=settings.origin_of("approval"), changes=turn)


def concurrency_gate(settings: GateSettings, slot: Slot | None) -> GateResult:
    """Close until a slot is held, where the policy limits how many hosts may run at once.

    A slot is claimed only when this is the one gate left closed, so that no blocked host holds one.
    """
    name = GateName.CONCURRENCY
    if settings.concurrency is None:
        return Pass(name, "no limit is set")
    group, slots = settings.concurrency
    origin = settings.origin_of("concurrency.group")
    if slot is None or slot.group != group:
        reason = f"no slot of group {group} has been claimed yet"
        return Closed(name, Outcome.CONCURRENCY, reason, origin=origin)
    if not slot.is_held:
        reason = f"all slots of group {group} ({slots}) are taken: {slot.detail}"
        return Closed(name, Outcome.CONCURRENCY, reason, until=slot.until, origin=origin)
    return Pass(name, f"a slot of group {group} is held", until=slot.until, origin=origin)
