"""What a tick leaves on the host for people and machines, besides its report: how it ended, however it ended.

``tick.json`` is written when a tick begins and again when it ends, so that a tick that failed or was killed
is seen; ``status.json`` is what ``status`` prints. Where the configuration names them, a line or two for
whoever logs in, and metrics. Under systemd, entries with fields in the journal.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from reconciler.agent import STATUS_FILE, TICK_FILE, WIDTHS
from reconciler.durable import replace_file
from reconciler.errors import DEFECT, DONE, INTERRUPTED, ReconcilerError, Stalled, exit_code, worst
from reconciler.host.config import Config
from reconciler.host.machine import journald
from reconciler.host.state.fingerprint import digest
from reconciler.host.state.folder import StateFolder
from reconciler.notify import Outbox
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.host_status import motd, run_summary, status_document
from reconciler.planning.reporting.summary import decided, went_well
from reconciler.planning.runs.log import without_secrets
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text.canonical import instant
from reconciler.policy.problems import visible
from reconciler.reconcile.ports.target import Clock
from reconciler.reconcile.tick import Tick
from reconciler.records import dataclass

MESSAGE_IDS: Mapping[str, str] = {
    "tick": "21518dc7e21d4135b9e3f48b8f319b6a",
    "tick-failed": "874b0f35baa54dbcac1a2f53489e8665",
    "run": "15dd96e93c274b9c92a90ee8bceba10f",
    "run-failed": "ff330bc105dc4961b82b6137689f9a5a",
}
"""What the journal knows an entry's kind by; never changed, since people's filters hold them."""

_ERROR, _NOTICE, _INFO = "3", "5", "6"  # syslog(3)
_OTHERS_READ = 0o644
_OF_A_RUN = ("run", "ended", "outcome", "reason", "headline")


class Render(Protocol):
    """What a report is as text on a terminal of so many columns."""

    def __call__(self, report: Report, *, width: int, colour: bool) -> str: ...  # noqa: D102 - the class says it


@dataclass(frozen=True, slots=True)
class TickFiles:
    """Writes what a tick leaves.

    Attributes:
        folder: The state folder; the caller holds its lock.
        render: Gives the text that ``status`` shows.
        unpushed: Names the report branches that the remote does not have whole.
        environment: Of this process, by which it knows whether systemd started it.
    """

    config: Config
    folder: StateFolder
    clock: Clock
    render: Render
    unpushed: Callable[[], tuple[str, ...]]
    environment: Mapping[str, str]
    journal: str = journald.SOCKET

    def begin(self) -> str:
        """Say that a tick is at work, and return since when; a full disk is found out by the tick itself."""
        began = instant(self.clock.now())
        with contextlib.suppress(ReconcilerError):
            self._write(TICK_FILE, {"began": began, "ended": None})
        return began

    def begins(self, config: bytes, stamp: Path, report: Report) -> None:
        """Leave the report that a run rests on, before it begins: it may be at work for long.

        Args:
            config: As in :meth:`done`.
            stamp: As in :meth:`done`.
            report: Committed already.
        """
        document = status_document(report, self._last_run())
        document["unpushed"] = self._left().get("unpushed", [])
        with contextlib.suppress(ReconcilerError):
            self._write(STATUS_FILE, self._status(config, report, document, stamp))

    def _status(
        self, config: bytes, report: Report, document: Mapping[str, Any], stamp: Path
    ) -> dict[str, Any]:
        """Return what ``status`` reads: the document, and the report rendered for several terminals."""
        texts = {
            str(width): [self.render(report, width=width, colour=colour) for colour in (False, True)]
            for width in WIDTHS
        }
        return {
            "config": digest(config),
            "document": document,
            "interval": self.config.tick.total_seconds(),
            "stamp": str(stamp),
            "texts": texts,
        }

    def done(
        self, began: str, config: bytes, done: Tick, notices: tuple[str, ...], stamp: Path
    ) -> tuple[str, ...]:
        """Leave what a tick came to, also one with failures; return why some of it could not be left.

        Args:
            began: From :meth:`begin`.
            config: The content of the configuration file that the tick went by.
            done: The tick.
            notices: What a person should know and is no failure.
            stamp: File whose time says when the policy's remote last answered.

        Raises:
            Stalled: The disk is full or fails.
        """
        report = done.report
        last = run_summary(done.runs[-1]) if done.runs else self._last_run()
        document = status_document(report, last)
        tick = self._tick(began, worst([DONE, *map(exit_code, done.failures)]), done.failures, notices)
        unpushed = self.unpushed()
        complaints = (*self._others(document, tick, unpushed), *self._entries(done, tick))
        tick["notices"] += [self._clean(one) for one in complaints]
        document["unpushed"] = list(unpushed)
        self._write(STATUS_FILE, self._status(config, report, document, stamp))
        self._write(TICK_FILE, tick)
        return complaints

    def failed(self, began: str, error: BaseException) -> None:
        """Leave why a tick ended without a report; what cannot be written is not told here as well."""
        errors = (error,) if isinstance(error, ReconcilerError) else ()
        code = exit_code(errors[0]) if errors else INTERRUPTED
        if not errors and isinstance(error, Exception):
            code = DEFECT
        said = errors or (Stalled(_foreign(error), "see what it printed: the unit's journal has it"),)
        tick = self._tick(began, code, said, ())
        tick["complete"] = False
        data = json.dumps(tick).encode()
        try:
            self.folder.write(TICK_FILE, data)
        except ReconcilerError:
            _overwrite(self.folder.path / TICK_FILE, data)
        with contextlib.suppress(ReconcilerError):
            self._others_without_report(self._left(), tick)
        message = tick["problems"][0]["message"]
        self._send("tick-failed", _ERROR, f"the tick failed: {message}", {"OUTCOME": "failed"})

    def _left(self) -> dict[str, Any]:
        """Return what the last tick left that made a report; empty where there was none."""
        try:
            found = json.loads(self.folder.read(STATUS_FILE) or b"{}")["document"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _last_run(self) -> dict[str, Any] | None:
        """Return what the last tick left of the last run; ``None`` where that is none of ours."""
        found: Any = self._left().get("last_run")
        try:
            is_whole = datetime.fromisoformat(found["ended"]).tzinfo is not None
            is_whole &= {type(found[key]) for key in _OF_A_RUN} == {str} and type(found["changed"]) is list
        except (KeyError, TypeError, ValueError):
            return None
        last: dict[str, Any] | None = found if is_whole else None
        return last

    def _tick(
        self, began: str, code: int, problems: tuple[ReconcilerError, ...], notices: tuple[str, ...]
    ) -> dict[str, Any]:
        return {
            "began": began,
            "ended": instant(self.clock.now()),
            "complete": True,
            "exit_code": code,
            "problems": [
                {"message": self._clean(one.message), "hint": self._clean(one.hint)} for one in problems
            ],
            "notices": [self._clean(one) for one in notices],
        }

    def _clean(self, text: str) -> str:
        """Return a text without secrets and on one line, so that any terminal may show it."""
        return visible("; ".join(without_secrets(text, self.config.secrets).splitlines()))

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self.folder.write(name, json.dumps(content).encode())

    def _others(
        self, document: Mapping[str, Any] | None, tick: Mapping[str, Any], unpushed: tuple[str, ...]
    ) -> Iterator[str]:
        """Write the files that the configuration names, and return what went wrong."""
        return iter([*self._motd(document, tick), *self._metrics(document, tick, unpushed)])

    def _others_without_report(self, left: Mapping[str, Any], tick: Mapping[str, Any]) -> None:
        """Write them where there is no new report, by the last one as far as it can be understood."""
        try:
            self._others(left or None, tick, tuple(left.get("unpushed", ())))
        except (KeyError, TypeError, ValueError, AttributeError):
            self._others(None, tick, ())  # of an earlier version, or damaged

    def _motd(self, document: Mapping[str, Any] | None, tick: Mapping[str, Any]) -> Iterator[str]:
        if self.config.motd is not None:
            yield from _publish(self.config.motd, motd(document, tick).encode(), "motd")

    def _metrics(
        self, document: Mapping[str, Any] | None, tick: Mapping[str, Any], unpushed: tuple[str, ...]
    ) -> Iterator[str]:
        if self.config.metrics is None:
            return
        from reconciler.host.state.metrics import metrics_text

        pause = self.folder.pause()
        paused = pause is not None and (pause.until is None or pause.until > self.clock.now())
        waiting = len(Outbox(self.folder.path / "outbox").pending())
        text = metrics_text(document, tick, paused=paused, outbox=waiting, unpushed=len(unpushed))
        yield from _publish(self.config.metrics, text, "metrics")

    def _entries(self, done: Tick, tick: Mapping[str, Any]) -> Iterator[str]:
        """Write an entry for each run and one for the tick; yield why the journal took none."""
        report = done.report
        leading = report.leading
        plan = {"POLICY_COMMIT": report.policy_commit, "PLAN": leading.plan.digest}
        for whose, record in (
            *((f" in guest {one.target}", one) for one in done.of_guests),
            *(("", one) for one in done.runs),
        ):
            if why := self._run_entry(record, whose):
                yield why
                return
        decision = leading.decision
        said = decided(report)
        for problem in tick["problems"]:
            said += f"\n{problem['message']}"
        kind, priority = ("tick-failed", _ERROR) if tick["exit_code"] else ("tick", _INFO)
        if why := self._send(kind, priority, said, {"OUTCOME": str(decision.outcome), **plan}):
            yield why

    def _run_entry(self, record: RunRecord, whose: str) -> str:
        kind, priority = ("run", _NOTICE) if went_well(record.outcome) else ("run-failed", _ERROR)
        changed = len(record.difference.changed)
        said = f"run {record.run}{whose}: {record.outcome}, {changed} changed" + f"; {record.reason}" * bool(
            record.reason
        )
        fields = {
            "OUTCOME": str(record.outcome),
            "RUN": record.run,
            "POLICY_COMMIT": record.policy_commit,
            "PLAN": record.digest,
        }
        return self._send(kind, priority, said, fields)

    def _send(self, kind: str, priority: str, said: str, fields: Mapping[str, str]) -> str:
        """Write an entry where systemd started us; return why the journal did not take it."""
        if not journald.is_ours(self.environment):
            return ""
        own = {f"PATCHLEDGER_{name}": value for name, value in fields.items() if value}
        message = "\n".join(map(self._clean, said.splitlines()))
        return journald.send(
            {
                "MESSAGE": f"{self.config.host}: {message}",
                "MESSAGE_ID": MESSAGE_IDS[kind],
                "PRIORITY": priority,
                "SYSLOG_IDENTIFIER": "patchledger",
                "PATCHLEDGER_HOST": self.config.host,
                **own,
            },
            self.journal,
        )


def failed_early(config: Config, clock: Clock, render: Render, error: ReconcilerError) -> None:
    """Leave why a tick could not even begin, where there is a state folder to leave it in."""
    folder = StateFolder(config.state_dir)
    if not folder.path.is_dir():
        return
    with contextlib.suppress(ReconcilerError, OSError), folder.locked():
        left = TickFiles(config, folder, clock, render, tuple, os.environ)
        left.failed(instant(clock.now()), error)


def _publish(path: Path, data: bytes, key: str) -> Iterator[str]:
    """Write a file that others read; yield what went wrong."""
    try:
        replace_file(path, data, _OTHERS_READ)
    except OSError as error:
        yield f"{key}: {path}: {error.strerror}; nothing was written there"


def _foreign(error: BaseException) -> str:
    if isinstance(error, Exception):
        return f"a defect of patchledger: {type(error).__name__}: {error}"
    return f"the tick was ended from outside ({type(error).__name__})"


def _overwrite(path: Path, data: bytes) -> None:
    """Write over a file that is there: where the disk is full, the block that it has is left."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        file.truncate(0)
        file.write(data)
