"""What is wrong with a target, worst first: what headlines, messages and exit codes are made of.

The rules:

- What is wrong with the machine itself comes first, since it perhaps works no more; then what keeps all of it
  from being patched; then what keeps one package.
- Only conditions say what is wrong: a reader of the report finds each ailment among them.
- The first clause of such a condition's message, up to a semicolon, names what it is about and may stand in a
  headline; what follows says what to do.
- A target that cannot be patched never ends well: what a person must mend is :class:`Stalled`, what may be
  over by itself is :class:`Transient`. One version in quarantine on a machine that is whole is neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.planning.resolving.dispositions import Condition
from reconciler.planning.text.untrusted import one_line

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
            case Ailment.HALF_DONE | Ailment.DEPENDENCIES_BROKEN | Ailment.QUARANTINED:
                return one_line(self.clause, _CLAUSE)
            case Ailment.UNHEALTHY if self.condition.type != "HostUnhealthy":
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
            case Ailment.HALF_DONE | Ailment.DEPENDENCIES_BROKEN:
                return Stalled(self.clause, message.partition("; ")[2])
            case Ailment.CANNOT_RESOLVE:
                return Stalled(message, "see `patchledger explain`; nothing is updated before that is mended")
            case Ailment.ALREADY_FAILED:
                return Stalled(message, "see `patchledger log last`; then commit a change, or `run --now`")
            case Ailment.UNHEALTHY:
                return Stalled(message, "see `patchledger status`")
            case Ailment.CLOCK | Ailment.NO_SPACE | Ailment.METADATA_STALE:
                return Transient(message, "see `patchledger status`; the next run asks again")
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


def ailments(conditions: Iterable[Condition]) -> tuple[Ill, ...]:
    """Return what is wrong according to ``conditions``, worst first."""
    return tuple(sorted(_found(conditions), key=lambda ill: (_ORDER.index(ill.ailment), ill.condition.type)))


def failures(conditions: Iterable[Condition]) -> tuple[ReconcilerError, ...]:
    """Return what is wrong as errors, worst first: for people and for the exit code."""
    known = tuple(conditions)
    held = frozenset(one.type for one in known if one.status)
    ills = (ill for ill in ailments(known) if not _is_patience(ill.ailment, held))
    return tuple(failure for ill in ills if (failure := ill.failure) is not None)


def _is_patience(ailment: Ailment, held: frozenset[str]) -> bool:
    """Say whether an ailment is no failure, or none yet, by the types of all conditions that hold."""
    match ailment:
        case Ailment.NO_SPACE:
            return "WindowMissed" not in held  # It defers like any gate, until a window was lost to it.
        case Ailment.METADATA_STALE:
            return "MetadataNotRefreshed" in held  # An ordinary user may not refresh what is old.
        case Ailment.CANNOT_RESOLVE:
            # A resolver that lacks metadata says little of the packages; that is over when these are there.
            return "MetadataStale" in held and "MetadataNotRefreshed" not in held
        case _:
            return False


def is_known(conditions: Iterable[Condition]) -> bool:
    """Say whether what is on offer is known well enough to call a target up to date."""
    return not any(
        one.type in {"MetadataStale", "CannotResolve"} and one.status is not False for one in conditions
    )


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
            return _AILMENTS.get(condition.type, Ailment.UNHEALTHY if condition.stalled else None)


_AILMENTS: Mapping[str, Ailment] = {
    "ApplyFailed": Ailment.ALREADY_FAILED,
    "CannotResolve": Ailment.CANNOT_RESOLVE,
    "ClockWrong": Ailment.CLOCK,
    "DependenciesBroken": Ailment.DEPENDENCIES_BROKEN,
    "HostUnhealthy": Ailment.UNHEALTHY,
    "MetadataStale": Ailment.METADATA_STALE,
    "PackageSystemInterrupted": Ailment.HALF_DONE,
    "PackagesQuarantined": Ailment.QUARANTINED,
    "PolicyAmbiguous": Ailment.POLICY_STALLED,
    "PolicyRejected": Ailment.POLICY_STALLED,
    "PolicyStale": Ailment.POLICY_STALE,
    "PolicyStalled": Ailment.POLICY_STALLED,
    "PolicyUnavailable": Ailment.POLICY_STALLED,
    "ReportBranchDiverged": Ailment.REPORTS_DIVERGED,
    "StoodStill": Ailment.STOOD_STILL,
}
