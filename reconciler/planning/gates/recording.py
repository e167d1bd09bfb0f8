"""``observation.json``: all that a decision was made from, so that anyone can make it again from git.

With the policy repository at ``policy_commit`` and the program of ``program``, :func:`read_recording` and
:func:`judge` give the same plan, gates and decision; a tick itself decides in no other way. The file is
canonical; one that is not was not written by a release of this program, and is refused rather than read
approximately. Where its bytes are vouched for, :func:`read_vouched` is the cheaper reader. Files of earlier
versions are read as well: see :mod:`reconciler.planning.text.layout`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from reconciler.errors import Misuse
from reconciler.planning.facts.guest_rows import GuestRow
from reconciler.planning.facts.inventory import OutsideChange, Previous
from reconciler.planning.facts.observation import Exchange, Observation
from reconciler.planning.gates.decision import conclude, evaluate
from reconciler.planning.gates.security_plan import passed_freeze, shown_of_security
from reconciler.planning.gates.types import Decision, GateInputs, GateResult, Nothing
from reconciler.planning.resolving.approval import digest_of
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.kernels import kernels_like
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import SCHEMA_VERSION, is_known, refusal, since
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Recording:
    """The content of ``observation.json``.

    Attributes:
        schema: As in the report.
        now: The instant that the decision was about.
        exchanges: Questions to the resolver with its answers, in the order of asking.
        inputs: What the gates were shown.
        labels: ``(label, value)`` pairs that the policy matched on, sorted.
        guest_of: Id of the hypervisor, ``None`` for a host of its own.
        security_exchanges: Those of the separate security plan, where a freeze asked for one.
        previous: The last report before the one on this; ``None`` where there is none, and of a dry-run.
        changed_outside: What moved since then although no run did it.
        own_labels: Those that the host says of itself; ``labels`` are these and the Host document's.
        configuration: Digest of what the host's own configuration rules.
        unrestricted: What would move if policy kept nothing back, where it does: for who would lift a hold,
            and never part of the plan.
        enrolled: What the policy says of the key that signs the host's reports, empty where it names none.
        called: What its hypervisor calls a guest, where that is not its id.
        guests: Those of a hypervisor, the worst first.
        previously: Branch of a guest's reports by the hypervisor that had it before.
        gone: Where a guest went, in its last report; empty of one that is there.
    """

    schema: int
    program: str
    target: str
    policy_commit: str
    now: datetime
    observation: Observation
    exchanges: tuple[Exchange, ...]
    inputs: GateInputs
    labels: tuple[tuple[str, str], ...] = ()
    guest_of: str | None = None
    security_exchanges: tuple[Exchange, ...] = ()
    previous: Previous | None = since(3, None)
    changed_outside: tuple[OutsideChange, ...] = since(3, ())
    own_labels: tuple[tuple[str, str], ...] = since(3, ())
    configuration: str = since(3, "")
    unrestricted: tuple[Exchange, ...] = since(3, ())
    enrolled: str = since(3, "")
    called: str = since(3, "", is_left_out=True)
    guests: tuple[GuestRow, ...] = since(3, (), is_left_out=True)
    previously: str = since(3, "", is_left_out=True)
    gone: str = since(3, "", is_left_out=True)

    @property
    def host(self) -> HostFacts:
        """What the policy matched on."""
        facts = self.observation.facts
        return HostFacts(
            name=self.target,
            labels=dict(self.labels),
            os_id=facts.os_id,
            os_version=facts.os_version,
            manager=self.observation.manager,
            guest_of=self.guest_of,
            called=self.called,
        )


@dataclass(frozen=True, slots=True)
class Own:
    """What a host says of itself, whatever policy makes of it; as in :class:`Recording`."""

    labels: Mapping[str, str] = field(default_factory=dict)
    configuration: str = ""
    enrolled: str = ""
    guests: tuple[GuestRow, ...] = ()
    previously: str = ""
    gone: str = ""


_UNSAID = Own()


def record(
    observation: Observation,
    exchanges: Sequence[Exchange],
    inputs: GateInputs,
    host: HostFacts,
    *,
    program: str,
    now: datetime,
    security_exchanges: Sequence[Exchange] = (),
    own: Own = _UNSAID,
) -> Recording:
    """Gather what one decision is made from, in the form that this version writes.

    Args:
        observation: What was seen of the machine.
        exchanges: As in :class:`Recording`.
        inputs: What the gates are shown.
        host: What the policy matched on.
        program: Name and version, such as ``patchledger 1.4.0``.
        now: The instant that the decision is about, aware.
        security_exchanges: As in :class:`Recording`.
        own: What the host says of itself.
    """
    return Recording(
        schema=SCHEMA_VERSION,
        program=program,
        target=host.name,
        policy_commit=inputs.policy.commit,
        now=now,
        observation=observation,
        exchanges=tuple(exchanges),
        inputs=inputs,
        labels=tuple(sorted(host.labels.items())),
        guest_of=host.guest_of,
        security_exchanges=tuple(security_exchanges),
        own_labels=tuple(sorted(own.labels.items())),
        configuration=own.configuration,
        enrolled=own.enrolled,
        called=host.called,
        guests=own.guests,
        previously=own.previously,
        gone=own.gone,
    )


def write(recording: Recording) -> bytes:
    """Return the canonical bytes of ``recording``, as its version wrote them.

    Instants keep their fractions of a second.
    """
    return canonical.to_bytes(
        canonical.plain(recording, write_instant=canonical.exact_instant, version=recording.schema)
    )


def read_recording(data: bytes) -> Recording:
    """Read ``observation.json`` of this or an earlier version strictly: whoever had it may have changed it.

    Raises:
        Misuse: It is not a recording, was written by a newer patchledger, or is not as its version wrote it.
    """
    recording = read_vouched(data)
    if write(recording) != data:
        raise Misuse(
            "observation.json is not as it was written: it holds unknown keys or was formatted anew",
            "Take it from git unchanged.",
        )
    return recording


def read_vouched(data: bytes) -> Recording:
    """Read ``observation.json`` at a tenth of the cost, where something else vouches for its bytes.

    That is a signature or the host's own queue. What it says is checked as strictly; that it was written so,
    and that it holds nothing more, is not.

    Raises:
        Misuse: It is not a recording, or was written by a newer patchledger.
    """
    try:
        recording = _reader().validate_json(data, strict=True)
    except ValidationError as error:
        _check_version(data)
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(["observation.json", *(str(part) for part in first["loc"])])
        raise Misuse(f"{place}: {first['msg']}") from None
    if not is_known(recording.schema):
        raise Misuse(*refusal("observation.json", recording.schema))
    return recording


def _check_version(data: bytes) -> None:
    """Tell of what cannot be read that it is of another version, where it is.

    Raises:
        Misuse: It is: what stands in it would only be misread.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    version = document.get("schema") if isinstance(document, dict) else None
    if version is not None and not is_known(version):
        raise Misuse(*refusal("observation.json", version))


@lru_cache(maxsize=1)
def _reader() -> TypeAdapter[Recording]:
    return TypeAdapter(Recording)


def resolution_of(recording: Recording) -> str:
    """Identify what planning knew besides policy and time, without the host that it was asked on.

    Hosts that share it, and that policy treats alike, have the same plan: they are judged once for all.

    Returns:
        The digest of package manager, architecture, what is offered, every question with its answer, the
        sources without their dates, what is in quarantine, the day on which each version was first seen, and
        what is installed of all that these name.
    """
    seen = recording.observation
    exchanges = (*recording.exchanges, *recording.security_exchanges)
    named = {one.package for one in seen.offers}
    named |= {change.package for exchange in exchanges for change in exchange.answer.changes}
    known: dict[str, object] = {
        "manager": seen.manager,
        "architecture": seen.facts.architecture,
        "installed": [one for one in seen.installed if one.package in named],
        "offers": seen.offers,
        "exchanges": exchanges,
        "sources": [
            (one.name, one.id, one.release, one.security, one.may_be_missing) for one in seen.sources
        ],
        "quarantined": [
            (one.name, one.arch, one.version, one.rivals, *(("removal",) if one.is_removal else ()))
            for one in seen.quarantined
        ],
        "first_seen": [
            (one.origin, one.name, one.version, f"{one.at:%Y-%m-%d}", one.urgency) for one in seen.first_seen
        ],
    }
    if any(one.question.is_of_unused for one in exchanges):
        kernels = {change.package for one in exchanges for change in one.answer.changes if change.unused}
        known["unneeded"] = seen.unneeded
        known["kernel"] = seen.facts.kernel
        known["kernels"] = sorted(
            {
                (str(one.package), one.version)
                for each in kernels
                for one in kernels_like(each, seen.installed)
            }
        )
    return canonical.digest(known, version=recording.schema)


@dataclass(frozen=True, slots=True)
class Ruling:
    """One plan, what the gates say of it, and what that comes to.

    Attributes:
        inputs: What the gates were shown.
        gates: In the order of :class:`reconciler.planning.gates.types.GateName`.
        effective: The policy that it was planned by; ``None`` while there is no policy.
        exchanges: The conversation that it was made from.
        freeze: Of a separate security plan, the name of the freeze that lets it through; else empty.
    """

    plan: Plan
    inputs: GateInputs
    gates: tuple[GateResult, ...]
    decision: Decision
    effective: Effective | None = None
    exchanges: tuple[Exchange, ...] = ()
    freeze: str = ""

    @classmethod
    def of(cls, plan: Plan, inputs: GateInputs, now: datetime) -> "Ruling":
        """Ask every gate about ``plan`` at ``now`` and decide."""
        gates = evaluate(plan, inputs, now)
        return cls(plan, inputs, gates, conclude(plan, inputs, gates, now))


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided of the plan and, in a freeze that lets security updates through, of theirs as well.

    Attributes:
        ordinary: What the policy wants, whatever is frozen.
        security: The separate plan of such a freeze.
    """

    ordinary: Ruling
    security: Ruling | None = None

    @property
    def leading(self) -> Ruling:
        """What a run makes real, now or when its gates open: the other plan waits for the freeze to end."""
        if self.security is None or isinstance(self.security.decision, Nothing):
            return self.ordinary
        return self.security

    @property
    def rulings(self) -> tuple[Ruling, ...]:
        """All, the leading one first."""
        found = (self.ordinary, *(() if self.security is None else (self.security,)))
        return tuple(sorted(found, key=lambda one: one is not self.leading))

    @property
    def plan(self) -> Plan:
        """The whole plan."""
        return self.ordinary.plan


def judge(recording: Recording, effective: Effective | None) -> Judged:
    """Plan, ask every gate and decide, from what was recorded and the policy alone.

    Args:
        recording: Of this tick or of an earlier one.
        effective: What the policy at its commit says for its host; ``None`` while there is no policy, which
            plans nothing.
    """
    if effective is None:
        return Judged(Ruling.of(Plan((), (), digest_of(())), recording.inputs, recording.now))
    plan = make_plan(recording.observation, effective, recording.exchanges, recording.now)
    ordinary = replace(
        Ruling.of(plan, recording.inputs, recording.now), effective=effective, exchanges=recording.exchanges
    )
    glass = recording.inputs.break_glass
    freeze = passed_freeze(effective, recording.observation.manager, recording.now, glass)
    return Judged(ordinary, None if freeze is None else judge_security(recording, effective, freeze.name))


def judge_security(recording: Recording, effective: Effective, freeze: str) -> Ruling:
    """Plan security updates alone, ask every gate and decide.

    Args:
        recording: As for :func:`judge`.
        effective: As for :func:`judge`.
        freeze: Name of the one that lets them through.
    """
    alone, now = security_only(effective), recording.now
    # Where the whole plan was asked the same, nothing was asked twice. What tells is the recording: an audit
    # asks by later policies as well, by which the whole plan may be another.
    exchanges = recording.security_exchanges or recording.exchanges
    plan = make_plan(recording.observation, alone, exchanges, now)
    inputs = shown_of_security(recording.inputs, alone, recording.host.target, now)
    return replace(Ruling.of(plan, inputs, now), effective=alone, exchanges=exchanges, freeze=freeze)
