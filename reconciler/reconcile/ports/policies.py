"""Where policy comes from, and what may be said of it; :mod:`reconciler.gitops` is the real one."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from reconciler.errors import Stalled, Transient
from reconciler.records import dataclass

if TYPE_CHECKING:  # whoever only fetches reads no policy
    from reconciler.planning.gates.types import SignedBy
    from reconciler.policy.load import PolicyFile

ReadPolicy = Callable[[str, datetime], "Sequence[PolicyFile]"]
"""Gives what a policy is made of at a commit. The instant is the present, for what must be fetched again.

Raises:
    ReconcilerError: The commit cannot be read.
"""


def _nobody() -> None:
    """Say that no report can be told from those of others."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a host's own reports say of the policy that it followed.

    Attributes:
        commits: The policy commits that all of its reports name, those of the newest report first.
        floor: The ``trust.floor`` of the newest report; ``None`` where that does not say.
        signed: Who had signed the policy in force, and what was accepted with it, by the newest report that
            the host's own key signed; the last is the commit in force. Nothing else is taken for verified.
        signed_at: When that report was committed.
        vouched: Gives those of ``commits`` that nobody else can have named; ``None`` where all must count.
    """

    commits: tuple[str, ...] = ()
    floor: str | None = None
    signed: "tuple[SignedBy, ...]" = ()
    signed_at: datetime | None = None
    vouched: "Callable[[], frozenset[str] | None]" = _nobody


@dataclass(frozen=True, slots=True)
class Fetched:
    """The remote answered; ``head`` is the commit that the branch points to."""

    head: str


@dataclass(frozen=True, slots=True)
class Offline:
    """The remote could not be asked, which ``problem`` tells with a hint, but an earlier answer is here."""

    problem: Transient


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The revision that was accepted last, for the state file.

    Attributes:
        commit: Its full id.
        floor: The ``trust.floor`` that was configured then, empty without one. Another floor now means that
            the operator allows a rewritten history.
        is_verified: Whether signatures were asked for then, and were good.
        signed: Who signed it and the commits just before it, where they were.
    """

    commit: str
    floor: str = ""
    is_verified: bool = False
    signed: "tuple[SignedBy, ...]" = ()


@dataclass(frozen=True, slots=True)
class FirstUse:
    """Nothing was accepted before and no floor is set: the head is trusted on first use, to be reported."""

    commit: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The head is what was accepted last."""

    commit: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """The head has what was accepted last (or the floor) on its first-parent line.

    Attributes:
        commit: The head.
        since: The accepted commit or floor.
        commits: The first-parent line after ``since`` up to the head, oldest first: all that is to be
            verified. Empty where the head is the floor itself.
    """

    commit: str
    since: str
    commits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The head does not continue what was accepted: that one stays in force.

    Attributes:
        commit: The refused head.
        accepted: What stays in force.
        problem: The condition to report; names both commits.
    """

    commit: str
    accepted: str
    problem: Stalled


Succession = FirstUse | Unchanged | Advanced | Rewritten


ONE_ROLE = "one key has one role: have it signed by another one"


class Unproved(StrEnum):
    """Why a commit is not taken for signed by whom it should be."""

    UNSIGNED = "Unsigned"
    UNKNOWN_KEY = "UnknownKey"
    KEY_ENDED = "KeyEnded"
    KEY_NOT_YET = "KeyNotYetValid"
    KEY_REVOKED = "KeyRevoked"
    FORGE_KEY = "ForgeKey"
    BAD_SIGNATURE = "BadSignature"
    BAD_LIST = "BadSignerList"
    OTHER_BRANCH = "OtherBranch"
    OTHER_ROLE = "OtherRole"
    CANNOT_VERIFY = "CannotVerify"


@dataclass(frozen=True, slots=True)
class Unverified:
    """A commit that is not to be obeyed, and so none after it.

    Attributes:
        commit: Its full id.
        why: What is wrong, as a program reads it.
        message: The same for people.
        hint: What to do.
    """

    commit: str
    why: Unproved
    message: str
    hint: str = ""


class PolicyVerifier(Protocol):
    """Says who signed policy; :class:`reconciler.gitops.signed_history.SignedHistory` is the real one."""

    def verify(
        self, commits: Sequence[str], now: datetime, *, is_first: bool = False
    ) -> "tuple[SignedBy, ...] | Unverified":
        """Say who signed each of these commits, or which is the first that nobody signed who may.

        Args:
            commits: A part of the policy's first-parent line, oldest first.
            now: Present instant, aware: keys must be valid now, whatever date a commit bears.
            is_first: Nothing before them is trusted, nor are they continued from anywhere. So those before
                the newest that a key of this host's own list signed are left aside.

        Raises:
            Transient: The mirror is damaged, and the remote cannot be reached.
            Stalled: The mirror cannot be read.
        """


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """When a commit was made, in UTC, and the first line of its message, which is untrusted."""

    committed_at: datetime
    subject: str


def crossed(signed: "Sequence[SignedBy]", roles: "Mapping[str, str]", authorities: "frozenset[str]") -> str:
    """Say which commit a key has signed that has another role, or certified who signed it; empty without one.

    Args:
        signed: Who signed what.
        roles: Fingerprints of keys that are there for something else, with what that is.
        authorities: Fingerprints of the keys of the host's own list that certify others. Of these it may not
            be known which one it was, and none of them may have another role.
    """
    for one in signed:
        # SignMethod.SSH_CERTIFICATE, which whoever only fetches does not import.
        keys = {one.fingerprint, *(authorities if one.method == "ssh-certificate" else ())}
        other = next((key for key in sorted(keys) if key in roles), "")
        if other:
            how = "is signed by" if other == one.fingerprint else "is signed by a certificate, as by"
            return f"policy commit {one.commit[:12]} {how} {other}, which is {roles[other]}"
    return ""


class PolicyHistory(Protocol):
    """The history of the policy, and what of it was accepted."""

    shown: str
    branch: str
    floor: str

    def accepted(self) -> Acceptance | None:
        """Return what was accepted last, as far as the mirror remembers."""

    def line(self, commit: str) -> tuple[str, ...]:
        """Return its first-parent line, newest first; empty where it is not there."""


class PolicyRepository(PolicyHistory, Protocol):
    """Where policy comes from; :class:`reconciler.gitops.policy_mirror.PolicyMirror` is the real one."""

    def fetch(self, *, timeout: float, now: datetime) -> Fetched | Offline:
        """Ask the remote for its branch."""

    def succession(self, head: str, acceptance: Acceptance | None = None) -> Succession:
        """Say whether ``head`` may follow what was accepted."""

    def accept(self, commit: str, *, is_verified: bool = False) -> Acceptance:
        """Remember ``commit`` as accepted, and whether it was verified."""

    def describe(self, commit: str) -> CommitInfo:
        """Return when it was made, and what its message begins with."""

    def latest(self, commit: str) -> tuple[str, datetime]:
        """Return which commit of its first-parent line bears the latest date, and that."""

    def fetched_at(self) -> datetime | None:
        """Return when the remote last answered."""
