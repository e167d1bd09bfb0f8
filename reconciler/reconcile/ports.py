"""What a tick needs of the outside world, declared by its user; :mod:`reconciler.cli.wiring` passes it in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.gitops.sink import Commit, Pushed, Queued, Stored, Unchanged
from reconciler.gitops.source import Acceptance, Assessment, CommitInfo, Fetched, Offline
from reconciler.planning.facts.observation import Answer, Change, ClockState, Observation, Question, Refresh
from reconciler.planning.gates.types import Pause
from reconciler.planning.notices.events import Notice, Route
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.steps import Needs
from reconciler.policy.load import PolicyFile

ReadPolicy = Callable[[str, datetime], Sequence[PolicyFile]]
"""Gives what a policy is made of at a commit. The instant is the present, for what must be fetched again.

Raises:
    ReconcilerError: The commit cannot be read.
"""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a host's own reports say of the policy that it followed.

    Attributes:
        commits: The policy commits that all of its reports name, those of the newest report first.
        floor: The ``trust.floor`` of the newest report; ``None`` where that does not say.
    """

    commits: tuple[str, ...] = ()
    floor: str | None = None


class Clock(Protocol):
    """The wall clock and what is known of it."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def state(self) -> ClockState:
        """Say whether the clock is kept synchronised."""
        ...


class PolicyHistory(Protocol):
    """The history of the policy, and what of it was accepted."""

    shown: str
    branch: str
    floor: str

    def accepted(self) -> Acceptance | None:
        """Return what was accepted last, as far as the mirror remembers."""
        ...

    def line(self, commit: str) -> tuple[str, ...]:
        """Return its first-parent line, newest first; empty where it is not there."""
        ...


class PolicyRepository(PolicyHistory, Protocol):
    """Where policy comes from; :class:`reconciler.gitops.source.PolicySource` is the real one."""

    def fetch(self, *, timeout: float, now: datetime) -> Fetched | Offline:
        """Ask the remote for its branch."""
        ...

    def assess(self, head: str, acceptance: Acceptance | None = None) -> Assessment:
        """Say whether ``head`` may follow what was accepted."""
        ...

    def accept(self, commit: str) -> Acceptance:
        """Remember ``commit`` as accepted."""
        ...

    def describe(self, commit: str) -> CommitInfo:
        """Return who committed it and when."""
        ...

    def fetched_at(self) -> datetime | None:
        """Return when the remote last answered."""
        ...


class PackageManager(Protocol):
    """The package manager of the target, through its patch script."""

    def observe(self, at: datetime) -> Observation:
        """Look at the machine; changes nothing."""
        ...

    def refresh(self) -> Refresh:
        """Fetch the metadata anew."""
        ...

    def resolve(self, question: Question) -> Answer:
        """Ask the resolver; changes nothing."""
        ...

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        """Say which changes must be made before, or with, which others."""
        ...

    def download(self, instruction: Instruction, folder: Path) -> Execution:
        """Fetch the packages of a transaction; installs nothing."""
        ...

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        """Make exactly these changes, or none; nothing ever stops it."""
        ...

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        """Bring what was left half done to an end."""
        ...

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether an execution, started by whomever, is still running."""
        ...

    def result(self, folder: Path) -> Execution:
        """Return what an execution came to that somebody else started."""
        ...


class RunStore(Protocol):
    """Where a run is written down; :class:`reconciler.host.state.folder.StateFolder` is the real one."""

    def begin(self, journal: Journal) -> None:
        """Write down a run that begins, durably, and take its id for it alone."""
        ...

    def write_journal(self, journal: Journal) -> None:
        """Write down how far a run has come, durably."""
        ...

    def unused(self, run: str) -> str:
        """Return the id of a run, or one like it where that is taken: two may begin within a second."""
        ...

    def execution(self, run: str, name: str) -> Path:
        """Return the folder of one execution, made on first use."""
        ...

    def executions(self, run: str) -> tuple[str, ...]:
        """Return the names of all executions of a run that have a folder."""
        ...

    def explain(self, run: str, why: str) -> None:
        """Leave word of why we end before a run does; needs no space on a full disk, and never raises."""
        ...

    def explained(self, run: str) -> str:
        """Return what :meth:`explain` left, empty where nothing did."""
        ...

    def pause(self) -> Pause | None:
        """Return the operator's pause as it is at this moment, ``None`` where there is none."""
        ...


class RunLogs(Protocol):
    """Where a run's log is kept on the host."""

    def keep(self, run: str, files: Mapping[str, bytes], now: datetime) -> None:
        """Keep a run's files, by their suffixes, and forget the oldest."""
        ...


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
    ) -> Commit | Unchanged:
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

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[str, ...]:
        """Keep notices for their routes, try to deliver what is due; return what went wrong, in sentences."""
        ...
