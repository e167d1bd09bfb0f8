"""Where reports and messages go; :mod:`reconciler.gitops` and :mod:`reconciler.notify` are the real ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from reconciler.errors import Transient

if TYPE_CHECKING:  # whoever only commits and pushes tells nothing
    from reconciler.planning.notices.events import Notice, Route


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
    """

    oid: str
    when: datetime
    data: bytes


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


class ReportQueue(Protocol):
    """Where reports go; :class:`reconciler.gitops.sink.ReportSink` is the real one."""

    notices: tuple[str, ...]
    rebuilds: int

    def last(self, branch: str, file: str = "report.json") -> Stored | None:
        """Return the last report of a branch."""
        ...

    def policy_commits(self, branch: str) -> Iterator[str]:
        """Yield the policy commits that the reports of a branch name, the newest report's first."""
        ...

    def commit(
        self, branch: str, files: Mapping[str, bytes], message: str, when: datetime, *, keep_runs: int
    ) -> Commit | NothingNew:
        """Commit files on top of a branch, locally."""
        ...

    def record_of(self, branch: str, run: str) -> bytes | None:
        """Return the record of a run that a commit of a branch tells of, ``None`` where none does."""
        ...

    def push(self, branches: Sequence[str] | None = None, *, timeout: float) -> Pushed | Queued:
        """Send what the remote does not have, never forced."""
        ...


class Messenger(Protocol):
    """Keeps messages until they are delivered."""

    def tell(self, notices: "Sequence[Notice]", routes: "Sequence[Route]", now: datetime) -> tuple[str, ...]:
        """Keep notices for their routes, try to deliver what is due; return what went wrong, in sentences."""
        ...
