"""What ``status`` knows of a host after a tick, as plain JSON data, and the same in a line or two.

Everything else that ``status`` says is read at the moment of asking: see ``reconciler/cli/verbs/status.py``.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.planning.reporting.ailments import ailments
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.summary import headline, run_headline
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.untrusted import one_line

_LINE = 300
"""Characters of a line that others than root see."""


def status_document(report: Report, last_run: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a report says in short.

    Args:
        report: The newest one.
        last_run: From :func:`run_summary`, ``None`` where no run is known.
    """
    free = report.free_windows
    document: dict[str, Any] = plain(
        {
            "host": report.target,
            "program": report.program,
            "looked_at": report.generated_at,
            "headline": headline(report),
            "ailments": [ill.ailment for ill in ailments(report.conditions)],
            "decision": report.decision,
            "next_window": None if not free else _window(free[0].start, free[0].end, free[0].schedule),
            "plan": report.plan.digest,
            "counts": report.counts,
            "reboot": report.reboot,
            "policy": {
                "commit": report.policy.commit,
                "state": report.policy.state,
                "message": report.policy.message,
            },
            "conditions": [one for one in report.conditions if one.status is not False],
            "last_run": last_run,
        }
    )
    return document


def _window(start: object, end: object, schedule: str) -> dict[str, object]:
    return {"start": start, "end": end, "schedule": schedule}


def run_summary(record: RunRecord) -> dict[str, Any]:
    """Return what ``status`` says of a run."""
    summary: dict[str, Any] = plain(
        {
            "run": record.run,
            "started": record.started,
            "ended": record.ended,
            "outcome": record.outcome,
            "code": record.code,
            "reason": record.reason,
            "headline": run_headline(record),
            "changed": record.difference.changed,
        }
    )
    return summary


def motd(document: Mapping[str, Any] | None, tick: Mapping[str, Any]) -> str:
    """Return what a person is told who logs in: how the host is, and what is wrong with patchledger.

    Args:
        document: From :func:`status_document`; ``None`` while there was no report.
        tick: The content of ``tick.json``.
    """
    lines: list[str] = []
    if document is not None:
        window = document["next_window"]
        after = "no window in sight" if window is None else f"next window {shown(window['start'])}"
        lines.append(f"patchledger: {document['headline']}; {after}")
    if tick["exit_code"]:
        why = tick["problems"][0]["message"] if tick["problems"] else "see the journal"
        lines.append(f"patchledger: trouble at {shown(tick['ended'])}: {why}; see `patchledger status`")
    return "".join(f"{one_line(line, _LINE)}\n" for line in lines)


def shown(instant: str) -> str:
    """Return a canonical instant as people read it: ``2026-11-22 08:00 UTC``."""
    return f"{instant[:10]} {instant[11:16]} UTC"
