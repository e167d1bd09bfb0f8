"""The types of a report: what one target is, what is pending, what was decided and why.

They are the layout of ``report.json`` (a trailing underscore of a field's name is dropped there) and, through
their docstrings, the text of its JSON Schema. ``report.py`` builds them; texts for people are made from them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from reconciler.planning.facts.guest_rows import GuestRow
from reconciler.planning.facts.inventory import OutsideAction, Previous
from reconciler.planning.facts.observation import (
    Action,
    ExecutedScript,
    Facts,
    Reboot,
    RefreshOutcome,
    Source,
)
from reconciler.planning.facts.package import Identified, Names, PackageId
from reconciler.planning.gates.types import GateName, Outcome, PolicyStanding, SignedBy
from reconciler.planning.resolving.dispositions import Condition, Update
from reconciler.planning.text.layout import since
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as a reader recognises it.

    Attributes:
        facts: Of the running system.
        manager: The package manager, and in ``manager_version`` its version as it says it.
        labels: As the policy sees them.
        guest_of: Id of the hypervisor, ``None`` for a host of its own.
        own_labels: As it says of itself, without those of its Host document; null where that was not told.
        configuration: Digest of what the host's own configuration rules, addresses and secrets left aside.
        enrolled: What the policy says of the key that signs these reports: ``enrolled``, ``other-key`` where
            it names another one, ``retired`` where it names none any more; empty where it never did.
        called: What its hypervisor calls a guest, where that is not its id.
        previously: Branch of a guest's reports by the hypervisor that had it before.
        gone: Where a guest went, in its last report, as ``gone: now on pve2``; empty of one that is there.
    """

    facts: Facts
    manager: str
    manager_version: str
    labels: Mapping[str, str]
    guest_of: str | None
    own_labels: Mapping[str, str] | None = since(3, None)
    configuration: str = since(3, "")
    enrolled: str = since(3, "")
    called: str = since(3, "", is_left_out=True)
    previously: str = since(3, "", is_left_out=True)
    gone: str = since(3, "", is_left_out=True)


@dataclass(frozen=True, slots=True)
class MatchingPolicy:
    """A Policy that matches the target, and where it stands (``file:line@commit``)."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The policy that was applied to the observation.

    Attributes:
        state: Whether the newest revision is the one in force; ``message`` says why not.
        refused: The newest commit, where it was refused.
        matching: Strongest first.
        floor: The ``trust.floor`` of the configuration, empty without one.
        signed: Who signed the commit in force and those accepted with it, the newest last; none where
            signatures are not asked for.
    """

    remote: str
    ref: str
    commit: str
    committed_at: datetime | None
    fetched_at: datetime | None
    verification: str
    state: PolicyStanding
    message: str
    refused: str
    matching: tuple[MatchingPolicy, ...]
    floor: str = since(2, "")
    signed: tuple[SignedBy, ...] = since(3, ())


# Not a Move: those of a run's record are compared with one another, and a hash is no part of what moved.
@dataclass(frozen=True, slots=True)
class PlannedMove(Identified):
    """One change of a plan; ``from`` is null for an install, ``to`` for a removal.

    Attributes:
        sha256: Of the archive, null where the package manager does not know it.
    """

    action: Action
    name: str
    arch: str
    from_: str | None
    to: str | None
    origin: str
    sha256: str | None = since(3, None)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan as it is shown.

    Attributes:
        digest: ``sha256:`` and the digest of the transaction; equal hosts share it. From version 3 on it can
            be computed from the transaction as it stands here.
        transaction: In the package manager's order.
        updates: Every offered update with its fate, sorted by name and architecture.
        download: Bytes to fetch, as far as known.
        growth: Bytes more on disk afterwards, as far as known.
    """

    digest: str
    transaction: tuple[PlannedMove, ...]
    updates: tuple[Update, ...]
    download: int
    growth: int

    @property
    def security_keys(self) -> frozenset[PackageId]:
        """Every update that fixes security."""
        return frozenset(update.package for update in self.updates if update.security)

    @property
    def in_reading_order(self) -> tuple[PlannedMove, ...]:
        """The transaction as people want to read it: what fixes security first, then by source, by name."""
        security = self.security_keys
        return tuple(
            sorted(
                self.transaction,
                key=lambda move: (move.package not in security, move.origin, move.name, move.arch),
            )
        )


# Decision and GateResult are unions that `match` reads; the reader of a report is no program of ours, and
# finds the same keys in every decision and every gate.
@dataclass(frozen=True, slots=True)
class Decided:
    """What may happen now.

    Attributes:
        until: When it will be asked again where an instant is known; for ``apply`` the end of the window.
    """

    outcome: Outcome
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class GateState:
    """One gate's answer.

    Attributes:
        outcome: What the gate would make of the decision; null while it is open.
        until: When the answer may change by itself, null where no instant is known.
    """

    gate: GateName
    state: Literal["open", "warning", "closed"]
    outcome: Outcome | None
    message: str
    until: datetime | None
    origin: str


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A window that is open or comes next.

    Attributes:
        blocked_by: Name of the freeze that leaves no room in it, ``budget`` where it is too short, else null.
        timezone: The zone that its start is written in, empty where that is not known.
        security: Security updates alone can begin in it, though the freeze leaves no room for others.
    """

    start: datetime
    end: datetime
    schedule: str
    blocked_by: str | None
    timezone: str = since(3, "")
    security: bool = since(3, False, is_left_out=True)


@dataclass(frozen=True, slots=True)
class LastRefresh:
    """How the last attempt to refresh the metadata ended, in ``detail`` in the manager's own words."""

    outcome: RefreshOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of the package sources and how old it is."""

    refresh: LastRefresh
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many updates there are of each sort.

    Attributes:
        updates: Offered ones, whatever becomes of them.
        security: Offered ones that are security updates.
        pending: Planned ones: they are applied once the gates are open.
        pending_security: Security updates among them.
        installs: New packages the plan brings in.
        removals: Packages the plan takes away.
        held: Held or blocked, by an exception or by the operator.
        waiting: Too young, phased or not approved: time or a person brings them in.
        not_selected: Not wanted by the policy's update mode.
        refused: What cannot be had: it would remove something, or is unavailable.
        overdue: Of all these, those past their deadline.
    """

    updates: int
    security: int
    pending: int
    pending_security: int
    installs: int
    removals: int
    held: int
    waiting: int
    not_selected: int
    refused: int
    overdue: int = since(3, 0)


@dataclass(frozen=True, slots=True)
class ExceptionState:
    """An exception that matches the target.

    Attributes:
        patterns: As written in the policy.
        packages: Updates whose fate it decided, as ``name:arch``.
        expires: First instant at which it no longer counts.
        expired: It is over and ignored.
    """

    name: str
    action: str
    patterns: tuple[str, ...]
    packages: tuple[str, ...]
    reason: str
    owner: str | None
    ticket: str | None
    expires: datetime
    expired: bool
    origin: str


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """An approval that matches the target.

    Attributes:
        plan: The approved digest, empty where versions are approved.
        versions: Approved version by package.
        expired: It is over and counts no more.
        covers: It fits the plan of this report.
        covers_security: It fits the security plan of this report, where there is one.
    """

    name: str
    plan: str
    versions: Mapping[str, str]
    reason: str
    expires: datetime
    expired: bool
    covers: bool
    origin: str
    covers_security: bool = since(3, False, is_left_out=True)

    @property
    def is_given(self) -> bool:
        """Whether it is in force and fits the plan of this report."""
        return self.covers and not self.expired


@dataclass(frozen=True, slots=True)
class OutsideMove(Identified):
    """What became of a package although no run did it; ``from`` is null for a new one, ``to`` for one gone.

    Attributes:
        action: ``hold``, ``release`` (of a hold) and ``status`` leave the version as it is.
        status: What it is in now, ``installed`` where it is whole; empty of one that is gone.
    """

    action: OutsideAction
    name: str
    arch: str
    from_: str | None
    to: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reader is told about one target at one moment; the content of ``report.json``.

    Attributes:
        schema: Grows when a reader of an older version could misread a newer file.
        program: Name and version of what made the report.
        generated_at: The instant that the decision is about.
        security_plan: The separate plan of a freeze that lets security updates through, else null.
        conditions: Abnormal states, sorted by type; one that does not hold has the status false.
        gates: Every gate in the order of asking.
        windows: Open and next ones.
        resolution: ``sha256:`` and the digest of what the plan was made from besides policy and time: hosts
            that share it, and that policy treats alike, have the same plan.
        inventory: ``sha256:`` and the digest of all that is installed, with versions, states and holds.
        previous: The last report before this one, null where there was none.
        changed_outside: What moved since the last report although no run did it, and in
            ``changed_outside_more`` how many more changes there are than are listed.
        guests: Of a hypervisor each guest, also those that were never looked into; the worst first.
        security_decision: Of the security plan, by its own gates in ``security_gates``; ``decision`` and
            ``gates`` are about ``plan``, which waits for the freeze to end.
    """

    schema: int
    program: str
    generated_at: datetime
    target: str
    host: Host
    policy_commit: str
    policy: PolicyInForce
    plan: Planned
    security_plan: Planned | None
    decision: Decided
    conditions: tuple[Condition, ...]
    gates: tuple[GateState, ...]
    windows: tuple[Upcoming, ...]
    metadata: Metadata
    reboot: Reboot
    counts: Counts
    scripts: tuple[ExecutedScript, ...]
    exceptions: tuple[ExceptionState, ...]
    approvals: tuple[ApprovalState, ...]
    resolution: str = since(3, "")
    inventory: str = since(3, "")
    previous: Previous | None = since(3, None)
    changed_outside: tuple[OutsideMove, ...] = since(3, ())
    changed_outside_more: int = since(3, 0)
    guests: tuple[GuestRow, ...] = since(3, (), is_left_out=True)
    security_decision: Decided | None = since(3, None, is_left_out=True)
    security_gates: tuple[GateState, ...] = since(3, (), is_left_out=True)

    @property
    def of_security(self) -> "Report | None":
        """This report with the security plan, and what was decided of it, in the place of the whole one.

        ``None`` where there is none. The counts stay those of the whole.
        """
        if self.security_plan is None or self.security_decision is None:
            return None
        free = (replace(one, blocked_by=None) if one.security else one for one in self.windows)
        return replace(
            self,
            plan=self.security_plan,
            decision=self.security_decision,
            gates=self.security_gates,
            windows=tuple(free),
            approvals=tuple(replace(one, covers=one.covers_security) for one in self.approvals),
            security_plan=None,
            security_decision=None,
            security_gates=(),
        )

    @property
    def leading(self) -> "Report":
        """This report with the plan that the next run makes real: in a freeze, perhaps the security plan."""
        alone = self.of_security
        return self if alone is None or alone.decision.outcome is Outcome.NOTHING else alone

    @property
    def rulings(self) -> "tuple[Report, ...]":
        """This report with each plan in turn, the leading one first."""
        leading = self.leading
        return (self,) if leading is self else (leading, self)

    @property
    def target_id(self) -> str:
        """Its id among all targets, ``HOST/GUEST`` of a guest."""
        home = self.host.guest_of
        return self.target if home is None else f"{home}/{self.target}"

    @property
    def outside(self) -> int:
        """How many changes no run made."""
        return len(self.changed_outside) + self.changed_outside_more

    @property
    def name_of(self) -> Names:
        """What people read a package of this report as."""
        told = (*self.plan.updates, *self.plan.transaction, *self.changed_outside)
        packages = (one.package for one in told)
        return Names.among(packages, self.host.facts.architecture)

    @property
    def lacks_approval(self) -> str:
        """Why the plan lacks the approval that it needs, empty where it does not, or would not be applied.

        Another gate may decide, such as a window that is closed: once that opens it is late for a person.
        """
        if self.decision.outcome in {Outcome.PLAN_ONLY, Outcome.DOWNLOAD_ONLY, Outcome.NOTHING}:
            return ""
        gates = (one for one in self.gates if one.gate is GateName.APPROVAL and one.state == "closed")
        return next((one.message for one in gates if self.plan.transaction), "")

    @property
    def is_used_up(self) -> bool:
        """Whether an approval by digest is in force that let this plan be applied once, and no more."""
        covering = any(one.is_given and one.plan for one in self.approvals)
        return covering and bool(self.lacks_approval)

    @property
    def timezone(self) -> str:
        """The zone that people read the times of this target in: that of its windows, else UTC."""
        return next((window.timezone for window in self.windows if window.timezone), "UTC")

    @property
    def free_windows(self) -> tuple[Upcoming, ...]:
        """Of the windows those in which a run can start."""
        return tuple(window for window in self.windows if window.blocked_by is None)


INTERFACE: Mapping[str, tuple[str, ...]] = {
    "Report": (
        *("target", "policy_commit", "plan", "decision", "security_plan", "security_decision"),
        "conditions",
    ),
    "Planned": ("digest", "transaction", "updates"),
    "PlannedMove": ("action", "name", "arch", "from", "to", "origin"),
    "Update": (
        *("name", "arch", "installed", "candidate", "origin", "security", "disposition", "reasons"),
        "deadline",
    ),
    "Condition": ("type", "status", "reason", "message"),
}
"""The keys of ``plan --format json`` by the type that has them; types not named here keep all of theirs."""
