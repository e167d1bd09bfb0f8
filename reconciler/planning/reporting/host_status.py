"""What ``status`` knows of a host after a tick, as plain JSON data, and the same in a line or two.

Everything else that ``status`` says is read at the moment of asking: see ``reconciler/cli/verbs/status.py``.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reconciler.planning.facts.guest_rows import GuestRow
from reconciler.planning.facts.observation import Move, Reboot
from reconciler.planning.gates.types import PolicyStanding
from reconciler.planning.reporting.ailments import Ailment, ailments
from reconciler.planning.reporting.document import Counts, Decided, Report
from reconciler.planning.reporting.summary import headline, run_headline
from reconciler.planning.resolving.dispositions import Condition
from reconciler.planning.runs.record import RunOutcome, RunRecord
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import on_the_clock
from reconciler.records import dataclass

_LINE = 300
"""Characters of a line that others than root see."""


@dataclass(frozen=True, slots=True)
class NextWindow:
    """The next window in which a run can start."""

    start: datetime
    end: datetime
    schedule: str


@dataclass(frozen=True, slots=True)
class PolicyInBrief:
    """The policy in force, and what became of a newer one."""

    commit: str
    state: PolicyStanding
    message: str


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a report says in short.

    Attributes:
        decision: Of the plan that the next run makes real, which in a freeze may be the security plan.
        plan: Digest of that.
        guests: Of a hypervisor each guest, the worst first.
        timezone: The zone that people read its times in.
    """

    host: str
    program: str
    looked_at: datetime
    headline: str
    ailments: tuple[Ailment, ...]
    decision: Decided
    next_window: NextWindow | None
    plan: str
    counts: Counts
    reboot: Reboot
    policy: PolicyInBrief
    conditions: tuple[Condition, ...]
    guests: tuple[GuestRow, ...]
    timezone: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What ``status`` says of a run.

    Attributes:
        run: Its id, for ``log``.
    """

    run: str
    started: datetime
    ended: datetime
    outcome: RunOutcome
    code: str
    reason: str
    headline: str
    changed: tuple[Move, ...]


def status_document(report: Report, last_run: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a report says in short.

    Args:
        report: The newest one.
        last_run: From :func:`run_summary`, ``None`` where no run is known.
    """
    leading = report.leading
    free = next(iter(leading.free_windows), None)
    status = HostStatus(
        host=report.target_id,
        program=report.program,
        looked_at=report.generated_at,
        headline=headline(report),
        ailments=tuple(ill.ailment for ill in ailments(report.conditions)),
        decision=leading.decision,
        next_window=None if free is None else NextWindow(free.start, free.end, free.schedule),
        plan=leading.plan.digest,
        counts=report.counts,
        reboot=report.reboot,
        policy=PolicyInBrief(report.policy.commit, report.policy.state, report.policy.message),
        conditions=tuple(one for one in report.conditions if one.status is not False),
        guests=report.guests,
        timezone=report.timezone,
    )
    return {**plain(status), "last_run": last_run}


def run_summary(record: RunRecord) -> dict[str, Any]:
    """Return what ``status`` says of a run."""
    summary: dict[str, Any] = plain(
        RunSummary(
            record.run,
            record.started,
            record.ended,
            record.outcome,
            record.code,
            record.reason,
            run_headline(record),
            record.difference.changed,
        )
    )
    return summary


def motd(document: Mapping[str, Any] | None, tick: Mapping[str, Any]) -> str:
    """Return what a person is told who logs in: how the host is, and what is wrong with patchledger.

    Args:
        document: From :func:`status_document`; ``None`` while there was no report.
        tick: The content of ``tick.json``.
    """
    lines: list[str] = []
    # Of an earlier version it says no zone.
    timezone = "UTC" if document is None else str(document.get("timezone", "UTC"))
    if document is not None:
        window = document["next_window"]
        after = "no window in sight" if window is None else f"next window {shown(window['start'], timezone)}"
        lines.append(f"patchledger: {document['headline']}; {after}")
    if tick["exit_code"]:
        why = tick["problems"][0]["message"] if tick["problems"] else "see the journal"
        lines.append(
            f"patchledger: trouble at {shown(tick['ended'], timezone)}: {why}; see `patchledger status`"
        )
    return "".join(f"{one_line(line, _LINE)}\n" for line in lines)


def shown(instant: str, timezone: str) -> str:
    """Return a canonical instant as people read it, to the minute: ``Sun 2026-11-22 09:00 Europe/Berlin``."""
    return on_the_clock(datetime.fromisoformat(instant).replace(second=0, microsecond=0), timezone)
