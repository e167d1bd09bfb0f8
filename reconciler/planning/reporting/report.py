"""The report: what one target is, what is pending, what was decided and why, as one canonical document.

Rules:

1. Equal input gives equal bytes. Nothing in a report is relative to the moment of reading it.
2. ``plan``, ``decision``, ``conditions``, ``target`` and ``policy_commit`` are the documented interface of
   ``plan --format json``; the rest surrounds them.
3. A commit is made only where :func:`is_news` says so: the report differs from the last one in anything but
   what :data:`VOLATILE` lists. What changed outside of runs is said once; the next report, which does not say
   it again, is no news for that.
4. Conditions name abnormal states; one that was looked for and does not hold has the status false.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, zip_longest
from typing import Any, Literal

from reconciler.planning.facts.inventory import OutsideChange, inventory_of
from reconciler.planning.facts.observation import Change
from reconciler.planning.gates.recording import Judged, Recording, Ruling, resolution_of
from reconciler.planning.gates.types import (
    Apply,
    Closed,
    Decision,
    Deferred,
    GateInputs,
    GateName,
    GateResult,
    Nothing,
    Outcome,
    Pass,
)
from reconciler.planning.reporting.document import (
    INTERFACE,
    ApprovalState,
    Decided,
    ExceptionState,
    GateState,
    Host,
    LastRefresh,
    MatchingPolicy,
    Metadata,
    OutsideMove,
    Planned,
    PlannedMove,
    PolicyInForce,
    Report,
    Upcoming,
)
from reconciler.planning.reporting.overdue import overdue_condition
from reconciler.planning.reporting.summary import count
from reconciler.planning.resolving.approval import ApprovalText, digest_of_rows
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Plan
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.runs.record import move_of
from reconciler.planning.text import canonical
from reconciler.planning.text.wording import plural
from reconciler.policy import windows
from reconciler.policy.documents import PackageException
from reconciler.policy.load import Placed
from reconciler.policy.resolve import Effective

VOLATILE: tuple[tuple[str, ...], ...] = (
    ("generated_at",),
    ("decision", "until"),
    ("gates",),
    ("guests", "*", "next"),
    ("metadata", "refresh"),
    ("metadata", "sources", "*", "fetched"),
    ("metadata", "sources", "*", "published"),
    ("metadata", "sources", "*", "valid_until"),
    ("policy", "fetched_at"),
    ("previous",),
    ("security_decision", "until"),
    ("security_gates",),
    ("windows",),
)
"""Paths (``*`` for each item of a list) that may differ without making a new commit worth while: times, ages,
the next windows, the state of each gate, which the decision and the conditions sum up, and which report was
the last one."""

_SAID_ONCE: tuple[tuple[str, ...], ...] = (("changed_outside",), ("changed_outside_more",))
"""Paths of what a report tells of the time before it: what is not told again differs, and is no news."""

LISTED_OUTSIDE = 200
"""How many changes that no run made a report lists; ``observation.json`` has all of them."""

UPCOMING = 5
"""How many windows a report names."""


def build_report(recording: Recording, effective: Effective | None, judged: Judged) -> Report:
    """Put together the report on the target of ``recording`` at its instant.

    Args:
        recording: What the decision was made from.
        effective: What the policy says for the target; ``None`` while there is no policy yet.
        judged: What :func:`reconciler.planning.gates.recording.judge` made of the two.
    """
    observation, inputs, now = recording.observation, recording.inputs, recording.now
    plan, security = judged.plan, judged.security
    report = Report(
        schema=recording.schema,
        program=recording.program,
        generated_at=now,
        target=recording.target,
        host=_host(recording),
        policy_commit=recording.policy_commit,
        policy=_policy(inputs, effective),
        plan=_planned(plan),
        security_plan=None if security is None else _planned(security.plan),
        decision=_decided(judged.ordinary.decision),
        conditions=_conditions(judged.rulings, inputs),
        gates=tuple(map(_gate_state, judged.ordinary.gates)),
        windows=_upcoming(judged, now, lets_through=_may_pass(inputs, effective)),
        metadata=Metadata(
            LastRefresh(observation.refresh.outcome, observation.refresh.detail), observation.sources
        ),
        reboot=observation.reboot,
        counts=count(plan.updates, now),
        scripts=observation.executed,
        exceptions=() if effective is None else _exceptions(effective.exceptions, plan, now),
        approvals=tuple(_approval(approval, judged, now) for approval in inputs.approvals),
        resolution=resolution_of(recording),
        inventory=inventory_of(observation.installed),
        guests=recording.guests,
        security_decision=None if security is None else _decided(security.decision),
        security_gates=() if security is None else tuple(map(_gate_state, security.gates)),
    )
    return following(_with_overdue(report), recording)


def _with_overdue(report: Report) -> Report:
    """Return ``report`` with the condition that something is past its deadline, where it is."""
    late = overdue_condition(report)
    found = report.conditions if late is None else (*report.conditions, late)
    return replace(report, conditions=tuple(sorted(found, key=lambda one: one.type)))


def following(report: Report, recording: Recording) -> Report:
    """Return ``report`` behind the one that ``recording`` names: nothing else depends on which that was."""
    outside = recording.changed_outside
    return replace(
        report,
        previous=recording.previous,
        changed_outside=tuple(map(_outside, outside[:LISTED_OUTSIDE])),
        changed_outside_more=max(0, len(outside) - LISTED_OUTSIDE),
    )


def _host(recording: Recording) -> Host:
    observation = recording.observation
    return Host(
        facts=observation.facts,
        manager=observation.manager,
        manager_version=observation.manager_version,
        labels=dict(recording.labels),
        guest_of=recording.guest_of,
        own_labels=dict(recording.own_labels),
        configuration=recording.configuration,
        enrolled=recording.enrolled,
        called=recording.called,
        previously=recording.previously,
        gone=recording.gone,
    )


def _outside(one: OutsideChange) -> OutsideMove:
    return OutsideMove(one.action, one.name, one.arch, one.from_version, one.to_version, one.status)


def _policy(inputs: GateInputs, effective: Effective | None) -> PolicyInForce:
    state = inputs.policy
    matching = () if effective is None else effective.policies
    return PolicyInForce(
        remote=state.remote,
        ref=state.ref,
        commit=state.commit,
        committed_at=state.committed_at,
        fetched_at=state.fetched_at,
        verification=state.verification,
        state=state.standing,
        message=state.message,
        refused=state.refused,
        matching=tuple(MatchingPolicy(name, str(origin)) for name, origin in matching),
        floor=state.floor,
        signed=state.signed,
    )


def _planned(plan: Plan) -> Planned:
    return Planned(
        digest=plan.digest,
        transaction=tuple(map(_planned_move, plan.transaction)),
        updates=plan.updates,
        download=sum(change.size or 0 for change in plan.transaction),
        growth=sum(change.installed_delta or 0 for change in plan.transaction),
    )


def _planned_move(change: Change) -> PlannedMove:
    move = move_of(change)
    return PlannedMove(move.action, move.name, move.arch, move.from_, move.to, move.origin, change.sha256)


def digest_of_planned(plan: Planned) -> str:
    """Compute the digest of a plan from what a report of version 3 or later says of it, and nothing else."""
    return digest_of_rows(
        (one.action, one.name, one.arch, one.from_, one.to, one.sha256) for one in plan.transaction
    )


def _decided(decision: Decision) -> Decided:
    match decision:
        case Apply(steps=steps, deadline=deadline):
            changes = sum(len(step.changes) for step in steps)
            return Decided(Outcome.APPLY, f"every gate is open for {plural(changes, 'change')}", deadline)
        case Deferred(outcome=outcome, reason=reason, until=until):
            return Decided(outcome, reason, until)
        case Nothing(reason=reason):
            return Decided(Outcome.NOTHING, reason, None)


def _gate_state(result: GateResult) -> GateState:
    match result:
        case Pass(warning=warning):
            state: Literal["open", "warning"] = "warning" if warning else "open"
            return GateState(result.gate, state, None, result.message, result.until, result.origin)
        case Closed():
            return GateState(
                result.gate, "closed", result.outcome, result.reason, result.until, result.origin
            )


def _conditions(rulings: Sequence[Ruling], inputs: GateInputs) -> tuple[Condition, ...]:
    """Return the conditions found by plans and caller, and those that gates imply, the first of each type."""
    told = [*(found for one in rulings for found in one.plan.conditions), *inputs.conditions]
    known, messages = tuple(told), {one.message for one in told}
    for gate in (found for one in rulings for found in one.gates):
        implied = _implied(gate)
        if implied is not None and implied.message not in messages and not _is_told(gate, known):
            told.append(implied)
    told.sort(key=lambda condition: condition.status is False)
    first = {condition.type: condition for condition in reversed(told)}
    return tuple(first[name] for name in sorted(first))


def _is_told(gate: GateResult, known: Iterable[Condition]) -> bool:
    """Say whether a condition of plan or caller already tells what the closed ``gate`` would imply."""
    match gate:
        case Closed(outcome=Outcome.POLICY_STALLED | Outcome.NEEDS_UPGRADE):
            return any(one.is_about_policy for one in known)
        case Closed(outcome=Outcome.UNHEALTHY):
            causes = (ConditionType.PACKAGE_SYSTEM_INTERRUPTED, ConditionType.DEPENDENCIES_BROKEN)
            return any(one.type in causes for one in known)
        case _:
            return False


def _implied(gate: GateResult) -> Condition | None:
    match gate:
        case Closed(outcome=Outcome.ALREADY_FAILED, reason=message, until=datetime()):
            return Condition(ConditionType.APPLY_FAILED, True, "RefusedByHook", message)
        case Closed(outcome=outcome, reason=message):
            return _alarming(outcome, message)
        case Pass(gate=GateName.CLOCK, warning=True):
            return Condition(ConditionType.CLOCK_UNCERTAIN, True, "NotConfirmed", gate.message)
        case _:
            return None


def _alarming(outcome: Outcome, message: str) -> Condition | None:
    """Return what a closed gate means for the target besides "not now"; ``None`` of ordinary waiting."""
    told: Condition | None
    match outcome:
        case Outcome.POLICY_STALLED:
            told = Condition(ConditionType.POLICY_STALLED, True, "Refused", message, stalled=True)
        case Outcome.NEEDS_UPGRADE:
            told = Condition(ConditionType.POLICY_STALLED, True, "NeedsUpgrade", message, stalled=True)
        case Outcome.POLICY_STALE:
            told = Condition(ConditionType.POLICY_STALE, True, "RemoteSilent", message)
        case Outcome.CLOCK:
            told = Condition(ConditionType.CLOCK_WRONG, True, "Contradicted", message)
        case Outcome.UNHEALTHY:
            told = Condition(ConditionType.HOST_UNHEALTHY, True, "PackagesBroken", message, stalled=True)
        case Outcome.NO_SPACE:
            told = Condition(ConditionType.HOST_UNHEALTHY, True, "NoSpace", message)
        case Outcome.ALREADY_FAILED:
            told = Condition(ConditionType.APPLY_FAILED, True, "NotRetried", message, stalled=True)
        case (
            Outcome.APPLY
            | Outcome.NOTHING
            | Outcome.PAUSED
            | Outcome.PLAN_ONLY
            | Outcome.DOWNLOAD_ONLY
            | Outcome.CANNOT_RESOLVE
            | Outcome.METADATA_STALE
            | Outcome.LOCKED
            | Outcome.INHIBITED
            | Outcome.WINDOW
            | Outcome.BUDGET
            | Outcome.FREEZE
            | Outcome.ROLLOUT
            | Outcome.APPROVAL
            | Outcome.CONCURRENCY
        ):
            told = None
    return told


def _may_pass(inputs: GateInputs, effective: Effective | None) -> bool:
    """Say whether a freeze that lets security updates through leaves this host any."""
    if effective is None or inputs.untold_by:
        return False
    return security_only(effective).settings.updates != "none"


def _upcoming(judged: Judged, now: datetime, *, lets_through: bool) -> tuple[Upcoming, ...]:
    """Name the open and next windows, and behind them the first free one where all of those are blocked."""
    inputs = judged.ordinary.inputs
    allow = inputs.is_security_plan
    every = (
        zip_longest(one.inputs.windows.spans, one.inputs.windows.zones, fillvalue="")
        for one in judged.rulings
    )
    known = dict(one for each in every for one in each)
    found = ((span, zone) for span, zone in known.items() if isinstance(span, windows.Occurrence))
    spans = sorted((one for one in found if one[0].end > now), key=lambda one: one[0].start)
    freezes, budget = inputs.freezes, inputs.settings.budget

    def told(span: windows.Occurrence, zone: str) -> Upcoming:
        blocked = windows.blocked_by(span, freezes, budget=budget, allow_security=allow)
        passes = lets_through and blocked is not None
        alone = passes and windows.blocked_by(span, freezes, budget=budget, allow_security=True) is None
        return Upcoming(span.start, span.end, span.schedule, blocked, zone, alone)

    shown = [told(*one) for one in spans[:UPCOMING]]
    if all(window.blocked_by is not None for window in shown):
        frozen = windows.united(freezes, allow_security=allow)
        free = (one for one in spans[UPCOMING:] if frozen.leaves_room(one[0], budget))
        shown += [Upcoming(span.start, span.end, span.schedule, None, zone) for span, zone in islice(free, 1)]
    return tuple(shown)


def _exceptions(
    exceptions: Iterable[Placed[PackageException]], plan: Plan, now: datetime
) -> tuple[ExceptionState, ...]:
    decided: dict[str, list[str]] = {}
    for update in plan.updates:
        for origin in {reason.origin for reason in update.reasons if reason.origin}:
            decided.setdefault(origin, []).append(str(update.package))
    return tuple(
        ExceptionState(
            name=placed.value.name,
            action=placed.value.action,
            patterns=tuple(placed.value.packages),
            packages=tuple(decided.get(str(placed.origin), ())),
            reason=placed.value.reason,
            owner=placed.value.owner,
            ticket=placed.value.ticket,
            expires=placed.value.ends(),
            expired=placed.value.ends() <= now,
            origin=str(placed.origin),
        )
        for placed in exceptions
    )


def _approval(approval: ApprovalText, judged: Judged, now: datetime) -> ApprovalState:
    plan, security = judged.plan, None if judged.security is None else judged.security.plan
    return ApprovalState(
        name=approval.name,
        plan=approval.plan,
        versions=dict(approval.versions),
        reason=approval.reason,
        expires=approval.expires,
        expired=approval.expires <= now,
        covers=approval.covers(plan.transaction, plan.digest),
        origin=approval.origin,
        covers_security=security is not None and approval.covers(security.transaction, security.digest),
    )


def to_document(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON data."""
    document: dict[str, Any] = canonical.plain(report, version=report.schema)
    return document


def to_json(report: Report) -> bytes:
    """Return ``report.json``: canonical, so that equal reports are equal bytes."""
    return canonical.to_bytes(to_document(report))


def plan_json(report: Report) -> dict[str, Any]:
    """Return what ``plan --format json`` prints: exactly the documented keys, as plain JSON data."""
    document = _only(INTERFACE["Report"], to_document(report))
    document["plan"] = _planned_json(document["plan"])
    if document["security_plan"] is not None:
        document["security_plan"] = _planned_json(document["security_plan"])
    document["conditions"] = [
        _only(INTERFACE["Condition"], condition) for condition in document["conditions"]
    ]
    return document


def _planned_json(document: dict[str, Any]) -> dict[str, Any]:
    plan = _only(INTERFACE["Planned"], document)
    plan["transaction"] = [_only(INTERFACE["PlannedMove"], move) for move in plan["transaction"]]
    plan["updates"] = [_only(INTERFACE["Update"], update) for update in plan["updates"]]
    return plan


def _only(keys: Sequence[str], document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in keys if key in document}


def is_news(document: bytes, last: bytes) -> bool:
    """Say whether a report says something that the last one does not, and so is worth a commit of its own.

    What :data:`VOLATILE` lists is no news; where a report of another version lacks it, it is passed over.

    Raises:
        ValueError: One of the two is not a JSON object that a report could be.
    """
    new, old = _stripped(document, VOLATILE), _stripped(last, VOLATILE)
    if new.get("changed_outside"):
        return True
    for path in _SAID_ONCE:
        _drop(new, path)
        _drop(old, path)
    return new != old


def _stripped(document: bytes, paths: Iterable[Sequence[str]]) -> dict[str, Any]:
    try:
        data = json.loads(document)
    except RecursionError as error:
        raise ValueError("a report is not nested without end") from error
    if not isinstance(data, dict):
        raise ValueError("a report is a JSON object")  # noqa: TRY004 - about the text, not about a Python type
    for path in paths:
        _drop(data, path)
    return data


def _drop(data: object, path: Sequence[str]) -> None:
    first, *rest = path
    if first == "*" and isinstance(data, list):
        for item in data:
            _drop(item, rest)
    elif isinstance(data, dict) and first in data:
        if rest:
            _drop(data[first], rest)
        else:
            del data[first]
