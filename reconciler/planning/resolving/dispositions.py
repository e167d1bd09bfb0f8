"""The account that a plan gives: the fate of every update with its reasons, and the target's conditions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from reconciler.planning.facts.observation import Change
from reconciler.planning.facts.package import Identified, Transition
from reconciler.planning.text.layout import OPEN, UnknownWord, since
from reconciler.records import dataclass


class Disposition(StrEnum):
    """The fate of one update; every offered update has exactly one."""

    PLANNED = "planned"
    HELD = "held"
    BLOCKED = "blocked"
    NOT_SELECTED = "not-selected"
    TOO_YOUNG = "too-young"
    NOT_APPROVED = "not-approved"
    PHASED = "phased"
    REMOVAL_REFUSED = "removal-refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Reason:
    """One link of the chain that explains a disposition.

    Attributes:
        code: Stable word for machines, such as ``exception-hold`` or ``kept-back``.
        message: One sentence for people, without a trailing full stop.
        origin: ``file:line@commit`` of the policy text behind it; empty where it is a default or the
            machine's own doing.
    """

    code: str
    message: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when an update must be installed, by a policy's ``deadline``.

    Attributes:
        at: From this instant on it is overdue.
        since: When this host first saw the version that it has lacked longest.
        version: That version.
        setting: Dotted key of the setting, such as ``deadline.security``.
        origin: ``file:line@commit`` of it.
    """

    at: datetime
    since: datetime
    version: str
    setting: str
    origin: str


@dataclass(frozen=True, slots=True)
class Update(Identified):
    """One update the sources offer (or a package the transaction adds or removes), with its fate.

    Attributes:
        installed: Version on the machine; ``None`` for a package that would come in new.
        replaces: Names of installed packages whose place an update that comes in new would take.
        candidate: The version the fate is about: the planned one, else the newest that is wanted or, where
            none is, the one the manager would take; ``None`` for a removal.
        origin: Where the candidate comes from.
        reasons: Never empty; the first is the decisive one, the others lead back to its cause.
        security: A version after the installed one and up to the candidate comes from the security service.
        size: Download size in bytes, ``None`` where unknown.
        installed_delta: Growth on disk in bytes, ``None`` where unknown or not planned.
        deadline: By when it must be installed, where policy says so.
    """

    name: str
    arch: str
    installed: str | None
    candidate: str | None
    origin: str
    security: bool
    disposition: Disposition
    reasons: tuple[Reason, ...]
    advisories: tuple[str, ...] = ()
    size: int | None = None
    installed_delta: int | None = None
    replaces: tuple[str, ...] = since(2, ())
    deadline: Deadline | None = since(3, None, is_left_out=True)

    @property
    def transition(self) -> Transition:
        """What would become of which package."""
        return Transition(self.package, self.installed, self.candidate)


NEEDS_ACCEPTANCE = "NeedsAcceptance"
"""Why metadata are stale, where no time mends it."""


class ConditionType(StrEnum):
    """What a condition tells of; a newer release may know more, each an :class:`UnknownWord` here."""

    APPLY_FAILED = "ApplyFailed"
    BOOT_FILLING = "BootFilling"
    CANNOT_RESOLVE = "CannotResolve"
    CLOCK_UNCERTAIN = "ClockUncertain"
    CLOCK_WRONG = "ClockWrong"
    DEPENDENCIES_BROKEN = "DependenciesBroken"
    EXCEPTION_EXPIRED = "ExceptionExpired"
    EXCEPTION_EXPIRING = "ExceptionExpiring"
    EXCEPTION_UNUSED = "ExceptionUnused"
    EXPLANATION_MISSING = "ExplanationMissing"
    HOST_RETIRED = "HostRetired"
    HOST_UNHEALTHY = "HostUnhealthy"
    METADATA_NOT_REFRESHED = "MetadataNotRefreshed"
    METADATA_STALE = "MetadataStale"
    NEEDS_UPGRADE = "NeedsUpgrade"
    NO_SOURCE_ADMITTED = "NoSourceAdmitted"
    OTHER_MACHINE = "OtherMachine"
    OVERDUE = "Overdue"
    PACKAGE_SYSTEM_INTERRUPTED = "PackageSystemInterrupted"
    PACKAGES_NOT_FETCHED = "PackagesNotFetched"
    PACKAGES_QUARANTINED = "PackagesQuarantined"
    PARTIAL_UPGRADE = "PartialUpgrade"
    POLICY_AMBIGUOUS = "PolicyAmbiguous"
    POLICY_MISPLACED = "PolicyMisplaced"
    POLICY_REJECTED = "PolicyRejected"
    POLICY_STALE = "PolicyStale"
    POLICY_STALLED = "PolicyStalled"
    POLICY_UNAVAILABLE = "PolicyUnavailable"
    POLICY_UNREACHABLE = "PolicyUnreachable"
    REBOOT_DEFERRED = "RebootDeferred"
    REBOOT_REQUIRED = "RebootRequired"
    REBOOTING = "Rebooting"
    REMOVALS_REFUSED = "RemovalsRefused"
    REPORT_BRANCH_DIVERGED = "ReportBranchDiverged"
    REPORT_KEY_MISMATCH = "ReportKeyMismatch"
    SCRIPT_MISMATCH = "ScriptMismatch"
    SECURITY_UNKNOWN = "SecurityUnknown"
    SETTING_WITHOUT_EFFECT = "SettingWithoutEffect"
    SNAPSHOT_UNAVAILABLE = "SnapshotUnavailable"
    SOURCE_MISSING = "SourceMissing"
    STATE_UNSEEN = "StateUnseen"
    STOOD_STILL = "StoodStill"
    UNUSED_KEPT = "UnusedKept"
    VERSION_RANGE_UNJUDGED = "VersionRangeUnjudged"
    WINDOW_MISSED = "WindowMissed"


@dataclass(frozen=True, slots=True)
class Condition:
    """A state of the target that a reader must know, as in Kubernetes' and Flux's conditions.

    Attributes:
        type: CamelCase noun, such as ``MetadataStale`` or ``PolicyAmbiguous``.
        status: Whether it holds; ``None`` where that cannot be known.
        reason: CamelCase word for machines.
        message: One sentence for people, with what to do where there is something to do.
        stalled: It stops applying until a commit or a person changes something.
    """

    type: Annotated[ConditionType | UnknownWord, OPEN]
    status: bool | None
    reason: str
    message: str
    stalled: bool = False

    @property
    def is_about_policy(self) -> bool:
        """Whether it says that the policy, not the host, is the trouble."""
        match self.type:
            case (
                ConditionType.NEEDS_UPGRADE
                | ConditionType.POLICY_AMBIGUOUS
                | ConditionType.POLICY_MISPLACED
                | ConditionType.POLICY_REJECTED
                | ConditionType.POLICY_STALE
                | ConditionType.POLICY_STALLED
                | ConditionType.POLICY_UNAVAILABLE
                | ConditionType.POLICY_UNREACHABLE
            ):
                return True
            case (
                ConditionType.APPLY_FAILED
                | ConditionType.BOOT_FILLING
                | ConditionType.CANNOT_RESOLVE
                | ConditionType.CLOCK_UNCERTAIN
                | ConditionType.CLOCK_WRONG
                | ConditionType.DEPENDENCIES_BROKEN
                | ConditionType.EXCEPTION_EXPIRED
                | ConditionType.EXCEPTION_EXPIRING
                | ConditionType.EXCEPTION_UNUSED
                | ConditionType.EXPLANATION_MISSING
                | ConditionType.HOST_RETIRED
                | ConditionType.HOST_UNHEALTHY
                | ConditionType.METADATA_NOT_REFRESHED
                | ConditionType.METADATA_STALE
                | ConditionType.NO_SOURCE_ADMITTED
                | ConditionType.OTHER_MACHINE
                | ConditionType.OVERDUE
                | ConditionType.PACKAGE_SYSTEM_INTERRUPTED
                | ConditionType.PACKAGES_NOT_FETCHED
                | ConditionType.PACKAGES_QUARANTINED
                | ConditionType.PARTIAL_UPGRADE
                | ConditionType.REBOOT_DEFERRED
                | ConditionType.REBOOT_REQUIRED
                | ConditionType.REBOOTING
                | ConditionType.REMOVALS_REFUSED
                | ConditionType.REPORT_BRANCH_DIVERGED
                | ConditionType.REPORT_KEY_MISMATCH
                | ConditionType.SCRIPT_MISMATCH
                | ConditionType.SECURITY_UNKNOWN
                | ConditionType.SETTING_WITHOUT_EFFECT
                | ConditionType.SNAPSHOT_UNAVAILABLE
                | ConditionType.SOURCE_MISSING
                | ConditionType.STATE_UNSEEN
                | ConditionType.STOOD_STILL
                | ConditionType.UNUSED_KEPT
                | ConditionType.VERSION_RANGE_UNJUDGED
                | ConditionType.WINDOW_MISSED
            ):
                return False
            case UnknownWord():
                return self.type.startswith("Policy")


@dataclass(frozen=True, slots=True)
class Plan:
    """The transaction and the account of every update.

    Attributes:
        transaction: In the resolver's order.
        updates: Every offered update and every other package the transaction touches, sorted by (name, arch).
            Where an approval is missing, the updates of the transaction are ``not-approved``.
        digest: ``sha256:`` and the hexadecimal digest of the transaction, without host, time and origin
            labels.
        conditions: What the plan found out about the target, one of a type, sorted by type.
    """

    transaction: tuple[Change, ...]
    updates: tuple[Update, ...]
    digest: str
    conditions: tuple[Condition, ...] = ()
