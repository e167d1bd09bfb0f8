"""What an audit says: of a change, of a branch, and against either."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from reconciler.planning.facts.inventory import OutsideAction
from reconciler.planning.facts.package import Identified
from reconciler.planning.gates.types import BreakGlass
from reconciler.planning.text.layout import OPEN, UnknownWord
from reconciler.records import dataclass


class Verdict(StrEnum):
    """The closed list of ``verdict``, the worst first."""

    REFUTED = "refuted"
    UNPROVED = "unproved"
    PROVED = "proved"


@dataclass(frozen=True, slots=True)
class Against:
    """What speaks against a change, or against a branch.

    Attributes:
        check: Name of the check that found it.
        verdict: What it makes of the whole.
        reason: One sentence without a full stop; it may hold text of a host.
        commits: Where to see it: of the report repository or of the policy.
    """

    check: str
    verdict: Verdict
    reason: str
    commits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed(Identified):
    """What became of one package; ``from`` is null for a new one, ``to`` for one that is gone.

    Attributes:
        action: In the host's word, which a newer release, or one that makes words up, may have more of.
        advisories: What it fixes, by the package manager's words: ids of advisories and CVEs. None where
            that does not tell any.
    """

    action: Annotated[OutsideAction | UnknownWord, OPEN]
    name: str
    arch: str
    from_: str | None
    to: str | None
    advisories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which instants something happened by the clocks of others than the host.

    Attributes:
        after: Date of the policy commit that it rests on.
        before: Date of the first commit of the branch ``fleet`` that knows of it; null where none does.
        witness: That commit.
    """

    after: datetime | None
    before: datetime | None
    witness: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Changes that were made together, and what is proved of them.

    Attributes:
        kind: ``run``, or ``outside`` of what no run made.
        run: Name of the run, empty of the other.
        commit: The report that tells of it.
        announced: The report that said before what was going to be done; empty without one.
        policy_commit: That it rests on; empty where it rests on none.
        started: By the host's clock; of what no run made, when it was seen.
        outcome: How the run ended, in the word of its record; empty of the other.
        digest: Of the plan; empty of the other.
        approved_by: The approval that it rests on, as ``NAME FILE:LINE@COMMIT``; empty where none was
            asked for.
        exceptional: Who passed over the window, and why, in the host's words; null in an ordinary run.
        bracket: What the clocks of others say; null of what no run made.
        changes: What became of the packages; none of a run that came to nothing.
        against: Why it is not proved; nothing where it is.
    """

    kind: Literal["run", "outside"]
    run: str
    commit: str
    announced: str
    policy_commit: str
    started: datetime
    ended: datetime
    outcome: str
    digest: str
    approved_by: str
    exceptional: BreakGlass | None
    bracket: Bracket | None
    verdict: Verdict
    changes: tuple[Changed, ...]
    against: tuple[Against, ...]


@dataclass(frozen=True, slots=True)
class TargetAudit:
    """What is proved of one target.

    Attributes:
        remote: Address of the report repository, without secrets.
        branch: Its report branch, and in ``tip`` the newest commit of that.
        reports: How many reports of the period were looked at.
        verdict: The worst of all below.
        changes: In the order of the branch.
        against: What speaks against the branch itself, whatever was changed.
    """

    target: str
    remote: str
    branch: str
    tip: str
    reports: int
    verdict: Verdict
    changes: tuple[ChangeSet, ...]
    against: tuple[Against, ...]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; nothing is against nothing."""
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.PROVED)
