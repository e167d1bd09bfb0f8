"""A report: committed first, then pushed, then told."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.errors import ReconcilerError, Transient
from reconciler.planning.notices.events import Snapshot, continued, events
from reconciler.planning.notices.snapshot import snapshot_of
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.report import is_news
from reconciler.planning.reporting.run_markdown import run_markdown
from reconciler.planning.reporting.summary import (
    heartbeat_subject,
    heartbeat_trailers,
    run_subject,
    subject,
    trailers,
)
from reconciler.planning.runs.record import Announced, RunRecord, run_json
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.memory import routes_of
from reconciler.reconcile.ports.reports import Commit, Messenger, Queued, ReportRepository, Stored
from reconciler.reconcile.ports.state import State
from reconciler.reconcile.site import AnySite
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a report.

    Attributes:
        commit: Id of the report commit, ``None`` where nothing new was to be said.
        announced: The report that says it, be it the one of before; ``None`` where there is none.
        pushed: The remote has every report; also true where no remote is configured.
        failures: What went wrong with pushing and telling; nothing was lost.
        notices: What a person should know and is no failure.
        snapshot: What was told, for the next tick to compare with; ``None`` where it could not even be kept,
            and is to be told by the next tick.
    """

    commit: str | None
    pushed: bool
    failures: tuple[ReconcilerError, ...]
    notices: tuple[str, ...]
    snapshot: Snapshot | None
    announced: Announced | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that is over, as it is reported.

    Attributes:
        log: What its package manager said, bounded and without secrets.
    """

    record: RunRecord
    log: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """Its files in the report repository."""
        stem = f"runs/{self.record.run}"
        return {
            f"{stem}.json": run_json(self.record),
            f"{stem}.md": run_markdown(self.record).encode(),
            f"{stem}.log": self.log,
        }


@dataclass(frozen=True, slots=True)
class Reporter:
    """Commits, pushes and tells what a look came to.

    Attributes:
        site: Of the target.
        heartbeat: A report that says nothing new is committed at most this often.
        keep_runs: Files of ``runs/`` in the newest tree.
        timeout: Longest time of one push.
        has_remote: Reports are pushed; without one they stay in the queue.
        waits: Somebody else pushes all that waits, soon: it is pushed here only where something rests on it.
    """

    site: AnySite
    queue: ReportRepository
    messenger: Messenger
    heartbeat: timedelta
    keep_runs: int
    timeout: timedelta
    has_remote: bool
    waits: bool = False

    def last(self) -> Stored | None:
        """Return the last report of the target, ``None`` where there is none."""
        return self.queue.last(self.site.branch)

    def commit(
        self,
        assessment: Assessment,
        files: Mapping[str, bytes],
        last: Stored | None,
        ran: Ran | None = None,
    ) -> str | None:
        """Commit the report locally if it says something new; return the commit, ``None`` where it does not.

        Args:
            assessment: What is reported.
            files: ``report.json`` and ``observation.json`` of it.
            last: The report before it.
            ran: A run that is reported with it, which is always something new.

        Raises:
            Stalled: The report cannot be committed. Nothing was lost: the next tick tries again.
        """
        when = assessment.report.generated_at
        if assessment.is_anothers:
            return None
        if ran is None and last is not None and self._says_nothing_new(files["report.json"], last):
            return self._beat(assessment, when) if heartbeat_due(last.when, when, self.heartbeat) else None
        files = {
            **files,
            "report.md": to_markdown(assessment.report).encode(),
            **({} if ran is None else ran.files),
        }
        said = subject(assessment.report) if ran is None else run_subject(assessment.report, ran.record)
        run = "" if ran is None else ran.record.run
        message = commit_message(said, trailers(assessment.report, run))
        made = self.queue.commit(self.site.branch, files, message, when, keep_runs=self.keep_runs)
        return made.oid if isinstance(made, Commit) else None

    def _beat(self, assessment: Assessment, when: datetime) -> str | None:
        """Commit the files of the last report once more: what is new in them is time that passed.

        So the report stays the one that its own recording makes, and a silent year costs next to nothing.
        """
        report = assessment.report
        message = commit_message(heartbeat_subject(report), heartbeat_trailers(report))
        made = self.queue.commit(
            self.site.branch, {}, message, when, keep_runs=self.keep_runs, is_heartbeat=True
        )
        return made.oid if isinstance(made, Commit) else None

    def send(
        self,
        assessment: Assessment,
        files: Mapping[str, bytes],
        state: State,
        commit: str | None,
        ran: Ran | None,
        *,
        last: Stored | None,
    ) -> Published:
        """Push what waits, and tell what changed since the last time.

        Args:
            assessment: What was committed, or said nothing new.
            files: As for :meth:`commit`.
            state: What was told last, and what was run last.
            commit: Of the report.
            ran: As for :meth:`commit`.
            last: As for :meth:`commit`.
        """
        rebuilds = self.queue.rebuilds
        # A branch of another machine gets nothing from this one.
        waits = self.waits and not assessment.must_be_pushed
        unpushed = () if waits or assessment.is_anothers else tuple(self.push())
        if self.queue.rebuilds != rebuilds:
            # What is new was decided by a queue that is no more: by the new one it may be something else.
            last = self.last()
            commit = self.commit(assessment, files, last, ran) or commit
            unpushed = () if waits else tuple(self.push())
        effective = assessment.finding.effective
        said = commit or (last.oid if last is not None else "")
        found = snapshot_of(
            assessment.report,
            action=assessment.finding.recording.inputs.settings.action,
            announce=timedelta(0) if effective is None else effective.settings.announce,
            last_run=state.last_run,
            missed=assessment.watch.missed,
            recent=state.recent,
            outside=state.outside,
            set_aside=state.quarantine,
            branch=self.site.branch,
            commit=said,
        )
        snapshot = continued(state.snapshot, found)
        untold, is_told = self._tell(assessment, state.snapshot, snapshot)
        is_pushed = not waits and not unpushed
        announced = Announced(said, self.has_remote and is_pushed) if said else None
        failures, remembered = (*unpushed, *untold), snapshot if is_told else None
        return Published(commit, is_pushed, failures, self.queue.notices, remembered, announced)

    def _tell(
        self, assessment: Assessment, told: Snapshot | None, snapshot: Snapshot
    ) -> tuple[tuple[ReconcilerError, ...], bool]:
        """Tell what changed since ``told``; it never ends a tick.

        Returns:
            What went wrong, and whether it is told, or is kept until it is.
        """
        now = assessment.report.generated_at
        try:
            complaints = self.messenger.tell(
                events(told, snapshot, now), routes_of(assessment.finding.effective), now
            )
        except ReconcilerError as error:
            return (error,), False
        # What is refused is said by the report, and by no exit code.
        failed = (one.sentence for one in complaints if not one.is_refused)
        return tuple(Transient(sentence, "look at the notifier") for sentence in failed), True

    @staticmethod
    def _says_nothing_new(document: bytes, last: Stored) -> bool:
        try:
            return not last.elsewhere and not is_news(document, last.data)
        except ValueError:
            return False  # Whatever stands there is not a report of ours: replace it.

    def push(self, branches: Sequence[str] | None = None) -> Iterator[ReconcilerError]:
        """Push what waits, of ``branches`` alone if they are said, and yield why that failed where it did."""
        if not self.has_remote:
            return
        try:
            answer = self.queue.push(branches, timeout=self.timeout.total_seconds())
        except ReconcilerError as error:
            yield error
            return
        if isinstance(answer, Queued):
            yield answer.problem


def heartbeat_due(last: datetime, now: datetime, heartbeat: timedelta) -> bool:
    """Tell whether a report that says nothing new is to be committed all the same.

    Args:
        last: When the last one was committed.
        now: The present, aware.
        heartbeat: Longest silence.

    Returns:
        True after ``heartbeat``, and where the last one claims to be from the future.
    """
    return last > now or now - last >= heartbeat
