"""One whole tick: look, report, tell, and leave for the next tick what cannot be observed again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.errors import ReconcilerError, Transient
from reconciler.gitops import sink
from reconciler.host.state import State, StateFolder
from reconciler.planning.events import Event, Route, Snapshot, events
from reconciler.planning.markdown import to_markdown
from reconciler.planning.observation import RefreshOutcome
from reconciler.planning.record import write
from reconciler.planning.report import to_json, without_volatile
from reconciler.planning.report_document import Report
from reconciler.planning.report_summary import subject, trailers
from reconciler.planning.snapshot import snapshot_of
from reconciler.policy.documents import Settings
from reconciler.policy.resolve import Effective
from reconciler.reconcile.look import Look, Reconciler
from reconciler.reconcile.ports import Messenger, ReportQueue


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a report.

    Attributes:
        commit: Id of the report commit, ``None`` where nothing new was to be said.
        pushed: The remote has every report; also true where no remote is configured.
        failures: What went wrong with pushing and telling; nothing was lost.
        notices: What a person should know and is no failure.
        snapshot: What was told, for the next tick to compare with.
    """

    commit: str | None
    pushed: bool
    failures: tuple[ReconcilerError, ...]
    notices: tuple[str, ...]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Reporter:
    """Commits, pushes and tells what a look came to.

    Attributes:
        branch: Of the report repository.
        heartbeat: A report that says nothing new is committed at most this often.
        keep_runs: Files of ``runs/`` in the newest tree.
        timeout: Longest time of one push.
        has_remote: Reports are pushed; without one they stay in the queue.
    """

    branch: str
    queue: ReportQueue
    messenger: Messenger
    heartbeat: timedelta
    keep_runs: int
    timeout: timedelta
    has_remote: bool

    def publish(self, look: Look, files: Mapping[str, bytes], told: Snapshot | None) -> Published:
        """Commit the report if it says something new, push what waits, send what changed since ``told``.

        Args:
            look: What is reported.
            files: ``report.json`` and ``observation.json`` of it.
            told: What was told last.

        Raises:
            Stalled: The report cannot even be committed locally. Nothing was lost: the next tick tries again.
        """
        report = look.report
        commit = self._commit(look, files)
        unpushed = tuple(self._push())
        snapshot = snapshot_of(report, action=look.finding.recording.inputs.settings.action)
        untold = tuple(self._tell(look, told, snapshot))
        return Published(
            commit,
            not unpushed,
            (*unpushed, *untold),
            self.queue.notices,
            snapshot,
        )

    def _tell(self, look: Look, told: Snapshot | None, snapshot: Snapshot) -> Iterator[ReconcilerError]:
        """Tell what changed since ``told``, and yield what could not be told; it never ends a tick."""
        now = look.report.generated_at
        try:
            complaints = self.messenger.tell(
                events(told, snapshot, now), _routes(look.finding.effective), now
            )
        except ReconcilerError as error:
            yield error
            return
        for complaint in complaints:
            yield Transient(complaint, "look at the notifier")

    def _commit(self, look: Look, files: Mapping[str, bytes]) -> str | None:
        if self._says_nothing_new(files["report.json"], look.report.generated_at):
            return None
        files = {**files, "report.md": to_markdown(look.report).encode()}
        message = sink.commit_message(subject(look.report), trailers=trailers(look.report))
        when = look.report.generated_at
        made = self.queue.commit(self.branch, files, message, when, keep_runs=self.keep_runs)
        return made.oid if isinstance(made, sink.Commit) else None

    def _says_nothing_new(self, document: bytes, now: datetime) -> bool:
        last = self.queue.last(self.branch)
        if last is None or sink.heartbeat_due(last.when, now, self.heartbeat):
            return False
        try:
            return without_volatile(last.data) == without_volatile(document)
        except ValueError:
            return False  # Whatever stands there is not a report of ours: replace it.

    def _push(self) -> Iterator[ReconcilerError]:
        """Push what waits, and yield why that failed where it did."""
        if not self.has_remote:
            return
        try:
            answer = self.queue.push(timeout=self.timeout.total_seconds())
        except ReconcilerError as error:
            yield error
            return
        if isinstance(answer, sink.Queued):
            yield answer.problem


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to: what was seen and decided, and what became of the report on it."""

    look: Look
    published: Published

    @property
    def report(self) -> Report:
        """The report that was made."""
        return self.look.report

    @property
    def failures(self) -> tuple[ReconcilerError, ...]:
        """Everything that went wrong on the way, for people and for the exit code."""
        return (*self.look.failures, *self.published.failures)


def tick(folder: StateFolder, reconciler: Reconciler, reporter: Reporter) -> Tick:
    """Make one whole tick, and leave in ``folder`` what the next one starts from.

    Args:
        folder: Of the target; the caller holds its lock.
        reconciler: Looks at the target.
        reporter: Commits, pushes and tells.

    Raises:
        ReconcilerError: The machine cannot be observed, or the report not even be committed locally.
    """
    state = folder.load()
    look = reconciler.look(state, accept=True)
    files = {"report.json": to_json(look.report), "observation.json": write(look.finding.recording)}
    published = reporter.publish(look, files, state.snapshot)
    folder.save(_next_state(state, look, published.snapshot))
    for name, data in files.items():
        folder.write(name, data)
    return Tick(look, published)


def _routes(effective: Effective | None) -> tuple[Route, ...]:
    settings = Settings() if effective is None else effective.settings
    return tuple(Route(route.to, frozenset(map(Event, route.on))) for route in settings.notify)


def _next_state(state: State, look: Look, told: Snapshot) -> State:
    observation, acceptance = look.finding.recording.observation, look.in_force.acceptance
    refreshed = observation.refresh.outcome is RefreshOutcome.REFRESHED
    return State(
        accepted="" if acceptance is None else acceptance.commit,
        floor="" if acceptance is None else acceptance.floor,
        refreshed_at=look.report.generated_at if refreshed else state.refreshed_at,
        first_seen=observation.first_seen,
        snapshot=told,
    )
