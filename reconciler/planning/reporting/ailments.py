"""What is wrong with a target, worst first: what headlines, messages and exit codes are made of.

The rules:

- What is wrong with the machine itself comes first, since it perhaps works no more; then what keeps all of it
  from being patched; then what keeps one package.
- Only conditions say what is wrong: a reader of the report finds each ailment among them.
- The first clause of such a condition's message, up to a semicolon, names what it is about and may stand in a
  headline; what follows says what to do.
- A target that cannot be patched never ends well: what a person must mend is :class:`Stalled`, what may be
  over by itself is :class:`Transient`. A deadline that has passed is a broken promise, and so a person's
  matter, even where the next window would end it. One version in quarantine on a machine that is whole is
  neither.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.planning.resolving.dispositions import NEEDS_ACCEPTANCE, Condition, ConditionType
from reconciler.planning.text.layout import UnknownWord
from reconciler.planning.text.untrusted import one_line
from reconciler.records import dataclass

_CLAUSE = 100
"""Characters of a clause in a headline."""


class Ailment(StrEnum):
    """What can be wrong with a target; the worst first."""

    HALF_DONE = "half-done"
    DEPENDENCIES_BROKEN = "dependencies-broken"
    CANNOT_RESOLVE = "cannot-resolve"
    ALREADY_FAILED = "already-failed"
    UNHEALTHY = "unhealthy"
    NEEDS_UPGRADE = "needs-upgrade"
    POLICY_STALLED = "policy-stalled"
    POLICY_STALE = "policy-stale"
    CLOCK = "clock"
    NO_SPACE = "no-space"
    METADATA_STALE = "metadata-stale"
    OVERDUE = "overdue"
    REPORTS_DIVERGED = "reports-diverged"
    STOOD_STILL = "stood-still"
    QUARANTINED = "quarantined"


_ORDER = tuple(Ailment)


@dataclass(frozen=True, slots=True)
class Ill:
    """An ailment, and the condition that tells of it."""

    ailment: Ailment
    condition: Condition

    @property
    def clause(self) -> str:
        """What it is about, as in the condition's message before the first semicolon."""
        return self.condition.message.partition("; ")[0]

    @property
    def words(self) -> str:
        """A few words for a headline."""
        match self.ailment:
            case Ailment.HALF_DONE | Ailment.DEPENDENCIES_BROKEN | Ailment.OVERDUE | Ailment.QUARANTINED:
                return one_line(self.clause, _CLAUSE)
            case Ailment.UNHEALTHY if self.condition.type is not ConditionType.HOST_UNHEALTHY:
                return f"unhealthy ({one_line(self.condition.type, _CLAUSE)})"
            case (
                Ailment.CANNOT_RESOLVE
                | Ailment.ALREADY_FAILED
                | Ailment.UNHEALTHY
                | Ailment.NEEDS_UPGRADE
                | Ailment.POLICY_STALLED
                | Ailment.POLICY_STALE
                | Ailment.CLOCK
                | Ailment.NO_SPACE
                | Ailment.METADATA_STALE
                | Ailment.REPORTS_DIVERGED
                | Ailment.STOOD_STILL
            ):
                return str(self.ailment)

    @property
    def failure(self) -> ReconcilerError | None:
        """What it means for the exit code; ``None`` where it is no failure, or told as one elsewhere."""
        message = self.condition.message
        match self.ailment:
            case Ailment.HALF_DONE | Ailment.DEPENDENCIES_BROKEN | Ailment.OVERDUE:
                return Stalled(self.clause, message.partition("; ")[2])
            case Ailment.CANNOT_RESOLVE:
                return Stalled(message, "see `patchledger explain`; nothing is updated before that is mended")
            case Ailment.ALREADY_FAILED:
                return Stalled(message, "see `patchledger log last`; then commit a change, or `run --now`")
            case Ailment.UNHEALTHY:
                return Stalled(message, "see `patchledger status`")
            case Ailment.CLOCK | Ailment.NO_SPACE | Ailment.METADATA_STALE:
                return _passing(self.condition)
            case (
                Ailment.NEEDS_UPGRADE
                | Ailment.POLICY_STALLED
                | Ailment.POLICY_STALE
                | Ailment.REPORTS_DIVERGED
                | Ailment.STOOD_STILL
                | Ailment.QUARANTINED
            ):
                # Whoever follows the policy, pushes reports, or counts ticks tells of these; and where one
                # version waits, the machine is whole.
                return None


def _passing(condition: Condition) -> ReconcilerError:
    """Tell what time mends from what looks like it and waits for a person."""
    if condition.reason == NEEDS_ACCEPTANCE:
        return Stalled(condition.message, "nothing is applied before that")
    return Transient(condition.message, "see `patchledger status`; the next run asks again")


def ailments(conditions: Iterable[Condition]) -> tuple[Ill, ...]:
    """Return what is wrong according to ``conditions``, worst first."""
    return tuple(sorted(_found(conditions), key=lambda ill: (_ORDER.index(ill.ailment), ill.condition.type)))


def failures(conditions: Iterable[Condition]) -> tuple[ReconcilerError, ...]:
    """Return what is wrong as errors, worst first: for people and for the exit code."""
    return tuple(failure for ill in pressing(conditions) if (failure := ill.failure) is not None)


def pressing(conditions: Iterable[Condition]) -> tuple[Ill, ...]:
    """Return what is wrong and not merely waits for a while, worst first."""
    known = tuple(conditions)
    held = frozenset(one.type for one in known if one.status)
    return tuple(ill for ill in ailments(known) if not _is_patience(ill.ailment, held))


def _is_patience(ailment: Ailment, held: frozenset[str]) -> bool:
    """Say whether an ailment is no failure, or none yet, by the types of all conditions that hold."""
    match ailment:
        case Ailment.NO_SPACE:
            return (
                ConditionType.WINDOW_MISSED not in held
            )  # It defers like any gate, until a window was lost to it.
        case Ailment.METADATA_STALE:
            return (
                ConditionType.METADATA_NOT_REFRESHED in held
            )  # An ordinary user may not refresh what is old.
        case Ailment.CANNOT_RESOLVE:
            # A resolver that lacks metadata says little of the packages; that is over when these are there.
            return ConditionType.METADATA_STALE in held and ConditionType.METADATA_NOT_REFRESHED not in held
        case _:
            return False


def is_known(conditions: Iterable[Condition]) -> bool:
    """Say whether what is on offer is known well enough to call a target up to date."""
    doubtful = (
        ConditionType.METADATA_STALE,
        ConditionType.CANNOT_RESOLVE,
        # What takes the place of an installed package is an update, also where it is the only one.
        ConditionType.EXPLANATION_MISSING,
        ConditionType.NO_SOURCE_ADMITTED,
        ConditionType.SECURITY_UNKNOWN,
    )
    return not any(one.type in doubtful and one.status is not False for one in conditions)


def _found(conditions: Iterable[Condition]) -> Iterator[Ill]:
    for condition in conditions:
        ailment = ailment_of(condition)
        if ailment is not None:
            yield Ill(ailment, condition)


def ailment_of(condition: Condition) -> Ailment | None:
    """Return what a condition means is wrong; ``None`` where it does not hold, or is merely so.

    One that stalls its target does so as well where nobody knows whether it holds.

    Types of conditions are open, so that a report of another version can be read: one that is not known here
    and stalls its target keeps it from being patched.
    """
    if condition.status is False or (condition.status is None and not condition.stalled):
        return None
    match condition.reason:
        case "NoSpace":
            return Ailment.NO_SPACE
        case "NeedsUpgrade":
            return Ailment.NEEDS_UPGRADE
        case _:
            return _by_type(condition)


def _by_type(condition: Condition) -> Ailment | None:
    ailment: Ailment | None
    match condition.type:
        case UnknownWord():
            ailment = Ailment.UNHEALTHY if condition.stalled else None
        case ConditionType.CANNOT_RESOLVE:
            ailment = Ailment.CANNOT_RESOLVE
        case ConditionType.METADATA_STALE | ConditionType.OVERDUE as kind:
            ailment = Ailment.OVERDUE if kind is ConditionType.OVERDUE else Ailment.METADATA_STALE
        case ConditionType.POLICY_STALE:
            ailment = Ailment.POLICY_STALE
        case ConditionType.REPORT_BRANCH_DIVERGED:
            ailment = Ailment.REPORTS_DIVERGED
        case ConditionType.STOOD_STILL:
            ailment = Ailment.STOOD_STILL
        case (
            ConditionType.POLICY_AMBIGUOUS
            | ConditionType.POLICY_REJECTED
            | ConditionType.POLICY_STALLED
            | ConditionType.POLICY_UNAVAILABLE
        ):
            ailment = Ailment.POLICY_STALLED
        case (
            ConditionType.APPLY_FAILED
            | ConditionType.CLOCK_WRONG
            | ConditionType.DEPENDENCIES_BROKEN
            | ConditionType.HOST_UNHEALTHY
            | ConditionType.PACKAGE_SYSTEM_INTERRUPTED
            | ConditionType.PACKAGES_QUARANTINED
        ) as kind:
            ailment = _of_machine(kind)
        case (
            ConditionType.BOOT_FILLING
            | ConditionType.CLOCK_UNCERTAIN
            | ConditionType.EXCEPTION_EXPIRED
            | ConditionType.EXCEPTION_EXPIRING
            | ConditionType.EXCEPTION_UNUSED
            | ConditionType.EXPLANATION_MISSING
            | ConditionType.HOST_RETIRED
            | ConditionType.METADATA_NOT_REFRESHED
            | ConditionType.NEEDS_UPGRADE
            | ConditionType.NO_SOURCE_ADMITTED
            | ConditionType.OTHER_MACHINE
            | ConditionType.PACKAGES_NOT_FETCHED
            | ConditionType.PARTIAL_UPGRADE
            | ConditionType.POLICY_MISPLACED
            | ConditionType.POLICY_UNREACHABLE
            | ConditionType.REBOOT_DEFERRED
            | ConditionType.REBOOT_REQUIRED
            | ConditionType.REBOOTING
            | ConditionType.REMOVALS_REFUSED
            | ConditionType.REPORT_KEY_MISMATCH
            | ConditionType.SCRIPT_MISMATCH
            | ConditionType.SECURITY_UNKNOWN
            | ConditionType.SETTING_WITHOUT_EFFECT
            | ConditionType.SNAPSHOT_UNAVAILABLE
            | ConditionType.SOURCE_MISSING
            | ConditionType.STATE_UNSEEN
            | ConditionType.UNUSED_KEPT
            | ConditionType.VERSION_RANGE_UNJUDGED
            | ConditionType.WINDOW_MISSED
        ):
            ailment = Ailment.UNHEALTHY if condition.stalled else None
    return ailment


_OfMachine = Literal[
    ConditionType.APPLY_FAILED,
    ConditionType.CLOCK_WRONG,
    ConditionType.DEPENDENCIES_BROKEN,
    ConditionType.HOST_UNHEALTHY,
    ConditionType.PACKAGE_SYSTEM_INTERRUPTED,
    ConditionType.PACKAGES_QUARANTINED,
]


def _of_machine(kind: _OfMachine) -> Ailment:
    match kind:
        case ConditionType.APPLY_FAILED:
            ailment = Ailment.ALREADY_FAILED
        case ConditionType.CLOCK_WRONG:
            ailment = Ailment.CLOCK
        case ConditionType.DEPENDENCIES_BROKEN:
            ailment = Ailment.DEPENDENCIES_BROKEN
        case ConditionType.HOST_UNHEALTHY:
            ailment = Ailment.UNHEALTHY
        case ConditionType.PACKAGE_SYSTEM_INTERRUPTED:
            ailment = Ailment.HALF_DONE
        case ConditionType.PACKAGES_QUARANTINED:
            ailment = Ailment.QUARANTINED
    return ailment
