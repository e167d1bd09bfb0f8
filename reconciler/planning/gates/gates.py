"""Every gate, as a pure function of what it is shown and of ``now``.

The rules that all of them keep are those of :mod:`reconciler.planning.gates.decision`, which asks them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.planning.facts.observation import BootKernel, ClockState, Health
from reconciler.planning.facts.package import Mention
from reconciler.planning.facts.patience import is_waited_for
from reconciler.planning.gates.types import (
    Closed,
    Evidence,
    FailedApply,
    GateInputs,
    GateName,
    GateResult,
    GateSettings,
    HostState,
    Outcome,
    Pass,
    Pause,
    PolicyStanding,
    PolicyState,
    RolloutState,
    Slot,
)
from reconciler.planning.resolving.approval import ApprovalText
from reconciler.planning.resolving.boot import boot_need, for_a_kernel, is_boot, own_boot
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Plan
from reconciler.planning.text.wording import listed, mebibytes, minute, short_digest
from reconciler.policy.values import format_duration
from reconciler.policy.windows import Freeze
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far in the future evidence may lie before it contradicts the clock: no two clocks agree."""

SPACE_MARGIN = 100 * 2**20
"""Bytes that must stay free beyond what the plan is known to need: unpacking writes the new file before the
old one goes."""


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
    needed to change for a year is not stale. But whoever runs the remote can confirm an old head for ever, so
    that a host may want a signed head that is young (``trust.max_head_age``).
    """
    match policy.standing:
        case PolicyStanding.STALLED:
            return Closed(GateName.POLICY, Outcome.POLICY_STALLED, policy.message)
        case PolicyStanding.NEEDS_UPGRADE:
            return Closed(GateName.POLICY, Outcome.NEEDS_UPGRADE, policy.message)
        case PolicyStanding.READY:
            pass
    stalled = _stalled(condition for condition in conditions if condition.is_about_policy)
    if stalled is not None:
        return Closed(GateName.POLICY, Outcome.POLICY_STALLED, stalled.message)
    if policy.fetched_at is None or not policy.commit:
        return Closed(GateName.POLICY, Outcome.POLICY_STALLED, "no policy has been fetched yet")
    return _fresh(policy, policy.fetched_at, settings, now)


def _fresh(policy: PolicyState, fetched_at: datetime, settings: GateSettings, now: datetime) -> GateResult:
    """Close where nobody has confirmed the policy for too long: neither the remote, nor a signer."""
    limit, origin = settings.max_policy_age, settings.origin_of("max_policy_age")
    if now - fetched_at > limit:
        reason = f"the policy remote has not confirmed this policy for more than {format_duration(limit)}"
        return Closed(GateName.POLICY, Outcome.POLICY_STALE, reason, origin=origin)
    until, oldest = shifted(fetched_at, limit), policy.max_head_age
    if oldest is not None and policy.committed_at is not None:
        if now - policy.committed_at > oldest:
            reason = (
                f"nobody has signed this policy, or a newer one, for more than {format_duration(oldest)}: "
                "the server may keep newer commits back"
            )
            return Closed(GateName.POLICY, Outcome.POLICY_STALE, reason)
        begins = shifted(policy.committed_at, -oldest)
        if now < begins:
            reason = f"the policy is dated {minute(policy.committed_at)}, so nothing shows that it is new"
            return Closed(GateName.POLICY, Outcome.POLICY_STALE, reason, until=begins)
        until = min(until, shifted(policy.committed_at, oldest))
    return Pass(GateName.POLICY, "in force and fresh", until=until, origin=origin)


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


def why_no_key_is_judged(clock: ClockState, commits: Mapping[str, datetime], now: datetime) -> str:
    """Say why the present cannot be believed, by which keys are valid or not; empty where it can.

    At a wrong present a key that has ended would count again, and what it signed be accepted for good.

    Args:
        clock: What is known of the clock.
        commits: When commits of the policy were made.
        now: What the clock says.
    """
    evidence = [Evidence(f"policy commit {oid[:12]}", at) for oid, at in commits.items()]
    gate = clock_gate(clock, evidence, now)
    return f"{gate.reason}: no key is judged by it" if isinstance(gate, Closed) else ""


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


def host_gate(inputs: GateInputs, plan: Plan, conditions: Sequence[Condition], now: datetime) -> GateResult:
    """Close while a run would fail or do harm: packages half done or broken, a lock, no space, ..."""
    health = inputs.host.health
    sick = _sickness(inputs.host, plan, conditions)
    if sick is not None:
        return sick
    if health.lock_holder and not inputs.settings.lock_wait:
        reason = f"the package database is locked by {health.lock_holder}"
        return Closed(GateName.HOST, Outcome.LOCKED, reason)
    shortage = _shortage(plan, health)
    if shortage:
        return Closed(GateName.HOST, Outcome.NO_SPACE, shortage)
    return _disturbed(inputs, plan, now)


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
    stalled = _stalled(condition for condition in conditions if not condition.is_about_policy)
    if stalled is not None:
        return Closed(name, Outcome.UNHEALTHY, stalled.message)
    for kind, outcome in (
        # First what the resolver had to go by.
        (ConditionType.METADATA_STALE, Outcome.METADATA_STALE),
        (ConditionType.CANNOT_RESOLVE, Outcome.CANNOT_RESOLVE),
    ):
        found = next((one for one in conditions if one.type is kind and one.status), None)
        if found is not None:
            return Closed(name, outcome, found.message)
    return None


def _keeps_back_none(interrupted: str, known: Iterable[Mention]) -> bool:
    """Say whether a package, told as ``name (status)``, is known to be half done and keeps nothing back.

    One that must be installed anew does: its package manager does nothing else before. Recordings have told
    of packages in this form from the first version on, so that it is read back here for good.
    """
    package, _, status = interrupted.partition(" ")
    return status != "(reinst-required)" and any(map(Mention.parse(package).overlaps, known))


def _disturbed(inputs: GateInputs, plan: Plan, now: datetime) -> GateResult:
    for inhibitor in inputs.host.inhibitors:
        if inhibitor.kind in inputs.settings.inhibit:
            origin = inputs.settings.origin_of(f"inhibit.{inhibitor.kind}")
            return Closed(GateName.HOST, Outcome.INHIBITED, f"inhibited by {inhibitor.detail}", origin=origin)
    if (
        (failed := inputs.host.failed) is not None
        and inputs.break_glass is None
        and _is_tried(failed, inputs, plan)
    ):
        if failed.again is None:
            reason = "this very plan failed and neither plan, policy nor package database has changed since"
            return Closed(GateName.HOST, Outcome.ALREADY_FAILED, reason)
        if is_waited_for(failed.again, now):
            others = "when the plan, policy, package database or hooks are others"
            reason = f"{failed.reason}; tried again at {minute(failed.again)}, with run --now, or {others}"
            return Closed(GateName.HOST, Outcome.ALREADY_FAILED, reason, until=failed.again)
    holder = inputs.host.health.lock_holder
    if holder:
        patience = format_duration(inputs.settings.lock_wait)
        message = f"the package database is locked by {holder}; a run waits up to {patience} for it"
        return Pass(GateName.HOST, message, warning=True)
    return Pass(GateName.HOST, "healthy")


def _shortage(plan: Plan, health: Health) -> str:
    """Return the sentence about the first file system that the plan does not fit on, or an empty one.

    Paths with equal figures are taken for one file system, so that their needs add up. A device would tell
    less: each subvolume of btrfs has one of its own, and all share the space.
    """
    needs: dict[tuple[int, int], int] = {}
    boot = own_boot(health.filesystems)
    for place in health.filesystems:
        key = (place.free, place.size)
        paths = {other.path for other in health.filesystems}
        needs[key] = needs.get(key, 0) + _need(plan, place.path, paths, health.kernels)
    for place in health.filesystems:
        need = needs[place.free, place.size]
        # What a kernel needs there has its own margin.
        margin = 0 if place is boot else SPACE_MARGIN
        if need and place.free < need + margin:
            wanted = mebibytes(need + margin)
            words = f"{place.path} has {mebibytes(place.free)} free and {wanted} are needed"
            return f"{words} {for_a_kernel(plan.transaction, health.kernels)}" if place is boot else words
    return ""


def _need(plan: Plan, path: str, paths: set[str], kernels: Sequence[BootKernel]) -> int:
    """Return the bytes that ``plan`` writes to the file system seen at ``path``."""
    download = sum(change.size or 0 for change in plan.transaction)
    growth = sum(max(change.installed_delta or 0, 0) for change in plan.transaction)
    has_cache = any(_is_cache(other) for other in paths)
    if is_boot(path):
        return boot_need(plan.transaction, kernels)
    if _is_cache(path):
        return download
    if path == "/" or "/" not in paths:
        return growth if has_cache else growth + download
    return 0


def _is_cache(path: str) -> bool:
    return "/var/cache" in path


def _is_tried(failed: FailedApply, inputs: GateInputs, plan: Plan) -> bool:
    """Say whether nothing that can be seen has changed since."""
    tried = (plan.digest, inputs.policy.commit, inputs.host.database)
    return (failed.digest, failed.policy_commit, failed.database) == tried and failed.hooks in (
        "",
        inputs.host.hooks,
    )


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
    room = room_of(inputs, now)
    if room is None:
        reason = f"outside the windows of {', '.join(windows.schedules)}"
        return Closed(name, Outcome.WINDOW, reason, until=later, origin=origin, changes=coming)
    last_start = shifted(room.end, -settings.budget)
    if now > last_start:
        reason = f"a run needs {format_duration(settings.budget)}, more than is left {room.bound}"
        origin = settings.origin_of("budget")
        return Closed(
            name, Outcome.BUDGET, reason, until=later, origin=origin, changes=earliest(room.end, coming)
        )
    until = earliest(_after(last_start), coming)
    return Pass(name, f"in the window {room.schedule}", until=until, origin=origin)


@dataclass(frozen=True, slots=True)
class Room:
    """How long a run may last that starts now; ``bound`` says in words what ends it."""

    end: datetime
    schedule: str
    bound: str


def room_of(inputs: GateInputs, now: datetime) -> Room | None:
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
        return Room(span.end, span.schedule, f"of the window {span.schedule}")
    first = min(coming, key=lambda freeze: freeze.start)
    return Room(first.start, span.schedule, f"before the freeze {first.name}")


def earliest(*instants: datetime | None) -> datetime | None:
    """Return the first of the instants that are known, ``None`` where none is."""
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
    # Named is the one that lets least through; of several, the one that lasts longest.
    first = max(active, key=lambda freeze: (freeze.allow == "none", freeze.end))
    turn = earliest(coming, *(freeze.end for freeze in active))
    glass = inputs.break_glass
    if glass is not None and glass.overrides_freeze:
        message = f"the freeze {first.name} is overridden by {glass.by}: {glass.reason}"
        return Pass(name, message, until=turn, warning=True, origin=first.origin)
    said = f"{first.name} ({first.reason})"
    if first.allow == "none":
        reason = f"frozen by {said}"
    elif inputs.untold_by:
        untold = f"{inputs.untold_by} does not tell which these are, so that nothing passes"
        reason = f"frozen by {said} for all but security updates; {untold}"
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

    No version claims slots yet: wherever a policy sets a limit, nobody holds one, and nothing is applied.
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
