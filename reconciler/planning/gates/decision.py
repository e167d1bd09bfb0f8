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
from datetime import datetime

from reconciler.planning.gates.gates import (
    action_gate,
    approval_gate,
    clock_gate,
    concurrency_gate,
    earliest,
    freeze_gate,
    host_gate,
    pause_gate,
    policy_gate,
    rollout_gate,
    room_of,
    window_gate,
)
from reconciler.planning.gates.types import (
    Apply,
    Basis,
    Closed,
    Decision,
    Deferred,
    GateInputs,
    GateResult,
    Nothing,
    Outcome,
    Step,
    basis_of,
)
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.text.wording import plural


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
    room = room_of(inputs, now) if inputs.break_glass is None else None
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
        host_gate(inputs, plan, conditions, now),
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
    return earliest(own, *(gate.until for gate in states), *turns, *extra)
