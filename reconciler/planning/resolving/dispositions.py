"""The account that a plan gives: the fate of every update with its reasons, and the target's conditions."""

from dataclasses import dataclass
from enum import StrEnum

from reconciler.planning.facts.observation import Change
from reconciler.planning.facts.package import Identified, Transition


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
class Update(Identified):
    """One update the sources offer (or a package the transaction adds or removes), with its fate.

    Attributes:
        installed: Version on the machine; ``None`` for a package that would come in new.
        candidate: The version the fate is about: the planned one, else the newest that is wanted or, where
            none is, the one the manager would take; ``None`` for a removal.
        origin: Where the candidate comes from.
        reasons: Never empty; the first is the decisive one, the others lead back to its cause.
        security: A version after the installed one and up to the candidate comes from the security service.
        size: Download size in bytes, ``None`` where unknown.
        installed_delta: Growth on disk in bytes, ``None`` where unknown or not planned.
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

    @property
    def transition(self) -> Transition:
        """What would become of which package."""
        return Transition(self.package, self.installed, self.candidate)


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

    type: str
    status: bool | None
    reason: str
    message: str
    stalled: bool = False


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
