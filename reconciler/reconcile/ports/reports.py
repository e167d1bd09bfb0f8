"""Where reports and messages go; :mod:`reconciler.gitops` and :mod:`reconciler.notify` are the real ones."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reconciler.errors import Stalled, Transient
from reconciler.records import dataclass

if TYPE_CHECKING:  # whoever only commits and pushes tells nothing
    from reconciler.planning.notices.events import Notice, Route, Untold
    from reconciler.reconcile.ports.policies import Unproved


REPAIR_HINT = (
    "give a cloned machine its own host id; then, or if there is none, run `patchledger reports repair`"
)
"""What to do about a branch that somebody else has changed."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A report was committed; ``oid`` is its full id."""

    oid: str


@dataclass(frozen=True, slots=True)
class NothingNew:
    """Every file is as in the last commit, ``oid``; nothing was committed."""

    oid: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The last report of a branch.

    Attributes:
        oid: Its commit.
        when: The commit's date, in UTC.
        data: Content of the asked file, empty where the commit does not have it.
        machine: The machine id that a person had the branch continued on, since its last report; empty
            where nobody did.
        elsewhere: Address of the remote that it stands in, without secrets, where that is not the one that
            reports go to now.
    """

    oid: str
    when: datetime
    data: bytes
    machine: str = ""
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """The remote has every commit of these branches; none where there was nothing to push."""

    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """The remote could not be reached; the commits of these branches wait for the next push.

    Attributes:
        problem: Why, with a hint.
        branches: What waits.
    """

    problem: Transient
    branches: tuple[str, ...]


class Writer(NamedTuple):
    """Which machine a report is of, as it says itself.

    Attributes:
        machine: Its machine id, empty where it is not told.
        boot: The boot that it was made under, empty where it is not told.
    """

    machine: str
    boot: str

    @classmethod
    def of(cls, report: bytes) -> "Writer":
        """Read it of a ``report.json``, which anybody may have written."""
        try:
            facts = json.loads(report)["host"]["facts"]
            said = [facts.get(name) for name in ("machine_id", "boot_id")]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return NOBODY
        return cls(*(one if isinstance(one, str) else "" for one in said))


NOBODY = Writer("", "")


@dataclass(frozen=True, slots=True)
class Diverged:
    """The remote's branch holds reports that do not lie below this host's: somebody else changed it.

    Attributes:
        branch: Its name.
        ours: This host's newest report.
        theirs: The remote's.
        count: How many reports there are not known here, at most 1,000.
        newest: Date of the newest of them, in UTC.
        subject: Its first line, untrusted.
        moved_on: All that this host has reported is below it; else the two have parted.
        writer: Whose the newest of them is.
        is_own_key: It is signed, by this host's own key.
    """

    branch: str
    ours: str
    theirs: str
    count: int
    newest: datetime
    subject: str
    moved_on: bool
    writer: "Writer" = NOBODY
    is_own_key: bool = False

    @property
    def message(self) -> str:
        """What is so and what may be the cause, in one sentence."""
        many = "a report" if self.count == 1 else f"{self.count} reports"
        return (
            f"branch {self.branch} holds {many} there that this host does not know, the newest of "
            f"{self.newest:%Y-%m-%d %H:%M} UTC ({self.subject}): another machine writes this branch too, or "
            "this one was restored from a backup, or the branch was rewritten; nothing is overwritten"
        )


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report whose signature is good, by whichever key.

    Attributes:
        commit: Its full id.
        key: Fingerprint of the SSH key, as ``ssh-keygen -l`` shows it.
        policy: The policy commit that it names; empty without one.
    """

    commit: str
    key: str
    policy: str


@dataclass(frozen=True, slots=True)
class UnprovedReport:
    """A report that no key vouches for.

    Attributes:
        commit: Its full id.
        why: What is wrong, as a program reads it.
        message: The same for people.
    """

    commit: str
    why: "Unproved"
    message: str


class ReportRepository(Protocol):
    """Where reports go; :class:`reconciler.gitops.report_queue.ReportQueue` is the real one."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know and is no failure."""

    @property
    def rebuilds(self) -> int:
        """How often it was built anew."""

    def last(self, branch: str, file: str = "report.json") -> Stored | None:
        """Return the last report of a branch."""

    def policy_commits(self, branch: str) -> Iterator[str]:
        """Yield the policy commits that the reports of a branch name, the newest report's first."""

    def proven(self, branch: str) -> Stored | None:
        """Return the newest report of a branch that the host's own key signed, ``None`` without one."""

    def own_policy_commits(self, branch: str) -> frozenset[str] | None:
        """Return those of :meth:`policy_commits` under the host's own signature, ``None`` without a key."""

    def commit(
        self,
        branch: str,
        files: Mapping[str, bytes],
        message: str,
        when: datetime,
        *,
        keep_runs: int,
        is_heartbeat: bool = False,
    ) -> Commit | NothingNew:
        """Commit files on top of a branch, locally; a heartbeat also where nothing is new."""

    def record_of(self, branch: str, run: str) -> bytes | None:
        """Return the record of a run that a commit of a branch tells of, ``None`` where none does."""

    def push(self, branches: Sequence[str] | None = None, *, timeout: float) -> Pushed | Queued:
        """Send what the remote does not have, never forced."""

    def standing(self, branch: str, *, timeout: float, ask: bool) -> Diverged | None:
        """Say whether somebody else has changed the remote's branch; None where not, or nobody can tell."""


def with_room(act: Callable[[], object], make_room: Callable[[], bool]) -> None:
    """Do what a full disk may forbid; then once more in the room that was held back for telling of that.

    Once: where something else than room is missing, the next attempt would fail like this one.

    Args:
        act: What is to be done.
        make_room: As of :meth:`Messenger.make_room`.

    Raises:
        Stalled: It cannot be done.
    """
    try:
        act()
    except Stalled:
        if not make_room():
            raise
        act()


class Messenger(Protocol):
    """Keeps messages until they are delivered."""

    def tell(
        self, notices: "Sequence[Notice]", routes: "Sequence[Route]", now: datetime
    ) -> "tuple[Untold, ...]":
        """Keep notices for their routes, try to deliver what is due; return what went wrong."""

    def keep(self, notices: "Sequence[Notice]", routes: "Sequence[Route]") -> None:
        """Keep notices for their routes, all or none.

        Raises:
            Stalled: They cannot be kept.
        """

    def make_room(self) -> bool:
        """Give back what room on the disk was held back for telling that it is full; say if there was any."""

    def withdraw(self, notices: "Sequence[Notice]", routes: "Sequence[Route]") -> None:
        """Take back what was kept and not delivered."""

    def deliver(self, now: datetime) -> "tuple[Untold, ...]":
        """Try to deliver what is due; return what went wrong."""
