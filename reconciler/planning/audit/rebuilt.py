"""What policy decides, made again from its own commit; of a recording only what nobody else can know."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime

from reconciler.planning.audit.story import PolicyLine, Unread
from reconciler.planning.gates.decision import evaluate
from reconciler.planning.gates.inputs import Local, gate_inputs
from reconciler.planning.gates.recording import Judged, Recording, Ruling, judge, judge_security
from reconciler.planning.gates.security_plan import shown_of_security
from reconciler.planning.gates.types import Closed, GateInputs, GateName, GateSettings, PolicyState
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.runs.record import GatesAsked
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass

_WITH_OWN_LABELS = 3
"""Schema from which on a recording has the labels that the host says of itself."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A recording with what its policy says.

    Attributes:
        effective: What the policy at the recorded commit says for the host; ``None`` without a policy.
        labels: By which it was matched.
        inputs: What the gates must have been shown.
        judged: Plan and decision by these.
    """

    recording: Recording
    effective: Effective | None
    labels: dict[str, str]
    inputs: GateInputs
    judged: Judged

    @property
    def ruling(self) -> Ruling:
        """What a run was to make real."""
        return self.judged.leading

    @property
    def told(self) -> Judged:
        """What came of the same plans by the inputs that the host recorded."""
        is_same = self.recording.inputs == self.inputs
        return self.judged if is_same else judge(self.recording, self.effective)


def rebuild(recording: Recording, policy: PolicyLine) -> Rebuilt | Unread:
    """Make again what policy decides of a recording; why not, where the policy cannot be read."""
    found = matched(recording, recording.policy_commit, policy)
    if isinstance(found, Unread):
        return found
    labels, effective = found
    told = recording.inputs
    made_at = policy.dates.get(recording.policy_commit)
    state = replace(told.policy, commit=recording.policy_commit, committed_at=made_at)
    inputs = _inputs(recording, effective, state, recording.now, local_of(told))
    judged = judge(replace(recording, inputs=inputs), effective)
    return Rebuilt(recording, effective, labels, inputs, judged)


def matched(
    recording: Recording, commit: str, policy: PolicyLine
) -> tuple[dict[str, str], Effective | None] | Unread:
    """Return the labels and settings of a host by a commit of the policy."""
    if not commit:
        return dict(recording.labels), None
    resolver = policy.resolver(commit)
    if isinstance(resolver, Unread):
        return resolver
    host = recording.host
    if recording.schema >= _WITH_OWN_LABELS:
        own = replace(host, labels=dict(recording.own_labels))
        host = replace(host, labels=resolver.labels_of(own))
    return dict(host.labels), resolver.resolve(host)


def local_of(inputs: GateInputs) -> Local:
    """Return what only the host knows of what its gates were shown."""
    host = inputs.host
    return Local(host.failed, host.inhibitors, inputs.pause, inputs.break_glass, inputs.used)


def _inputs(
    recording: Recording, effective: Effective | None, state: PolicyState, now: datetime, local: Local
) -> GateInputs:
    told = recording.inputs
    made = gate_inputs(
        effective,
        recording.observation,
        state,
        target=recording.host.target,
        conditions=told.conditions,
        now=now,
        local=local,
    )
    # Rings and slots are answers of others, which the record of their branches would prove.
    return replace(made, rollout=told.rollout, slot=told.slot)


def differing(told: GateInputs, made: GateInputs) -> Iterator[str]:
    """Yield in words what a host recorded otherwise than policy says."""
    for one in fields(GateInputs):
        if one.name in {"settings", "policy", "host"}:
            continue
        if getattr(told, one.name) != getattr(made, one.name):
            yield one.name.replace("_", " ")
    for setting in fields(GateSettings):
        if getattr(told.settings, setting.name) != getattr(made.settings, setting.name):
            yield f"the setting {setting.name}"
    if told.policy != made.policy:
        yield "the date of the policy"
    if told.host != made.host:
        yield "the state of the host"


@dataclass(frozen=True, slots=True)
class Moment:
    """Just before a step.

    Attributes:
        asked: What its record says that the gates were shown.
        commit: The policy that they were asked by.
        fetched: When the remote of that had answered last.
        share: Part of the budget that what is left needs.
    """

    asked: GatesAsked
    commit: str
    fetched: datetime | None
    share: float


def ask_again(built: Rebuilt, moment: Moment, policy: PolicyLine) -> tuple[Plan, tuple[Closed, ...]] | Unread:
    """Return the plan and the closed gates at a step, by the policy of that moment.

    What the machine was like then is known by a digest only, so that its own gate is left aside.
    """
    asked, commit = moment.asked, moment.commit
    recording = built.recording
    found = matched(recording, commit, policy)
    if isinstance(found, Unread):
        return found
    effective = found[1]
    told = recording.inputs.policy
    state = replace(told, commit=commit, committed_at=policy.dates.get(commit), fetched_at=moment.fetched)
    local = replace(local_of(recording.inputs), pause=asked.pause)
    inputs = _inputs(recording, effective, state, asked.at, local)
    settings = replace(inputs.settings, budget=inputs.settings.budget * moment.share)
    plan, freeze = built.ruling.plan, built.ruling.freeze
    # What began as a freeze's security plan goes on as that, whatever became of the freeze.
    if freeze and effective is not None:
        if commit != recording.policy_commit:
            plan = judge_security(replace(recording, inputs=inputs), effective, freeze).plan
        inputs = shown_of_security(inputs, security_only(effective), recording.host.target, asked.at)
    elif commit != recording.policy_commit:
        plan = judge(replace(recording, inputs=inputs), effective).plan
    inputs = replace(inputs, clock=asked.clock, settings=settings)
    gates = evaluate(plan, inputs, asked.at)
    return plan, tuple(gate for gate in gates if isinstance(gate, Closed) and gate.gate is not GateName.HOST)
