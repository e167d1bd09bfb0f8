"""What ``status --target`` knows of a guest: its last report, pause and runs, and its hypervisor's tick.

A tick leaves nothing rendered for each guest, so that this is made when somebody asks.
"""

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.agent import STATUS_FILE, TICK_FILE, WIDTHS
from reconciler.cli.showing.render import render_status
from reconciler.cli.wiring.aimed import Aim, aim, kept_at_all
from reconciler.errors import FAILED, Misuse, Stalled
from reconciler.host.config import load_config
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.host_status import status_document
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import plural


def of_target(config_file: str, target: str) -> Aim | None:
    """Return the guest that is meant, ``None`` where it is the host itself.

    Raises:
        Misuse: There is none such, or the configuration is wrong.
    """
    found = kept_at_all(aim(load_config(Path(config_file)), target))
    return None if found.guest is None else found


def left_of(found: Aim) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return folder of a guest, and what a tick would have left there: for ``status``, and of the tick.

    Raises:
        Stalled: Nothing was reported of it yet, or that cannot be read.
    """
    folder = found.folder
    data = folder.read("report.json") if folder.path.is_dir() else None
    if data is None:
        why = "" if found.guest is None or not found.guest.left_out else f": {found.guest.left_out}"
        raise Stalled(f"{found.shown}: there is no report yet{why}", "`patchledger guests` says how it is")
    try:
        report = read_report(data)
    except Misuse as error:
        raise Stalled(f"{found.shown}: its last report cannot be read: {error.message}") from error
    host_left, host_tick = (_json(found.config.state_dir / name) for name in (STATUS_FILE, TICK_FILE))
    unpushed = _of(host_left.get("document"), "unpushed")
    document = status_document(report, _last_run(found))
    left = {
        "document": {**document, "unpushed": [found.branch] if found.branch in unpushed else []},
        "interval": found.config.tick.total_seconds(),
        "stamp": host_left.get("stamp", ""),
        "texts": {
            str(width): [render_status(report, width=width, colour=colour) for colour in (False, True)]
            for width in WIDTHS
        },
    }
    return str(folder.path), left, _tick(found, report, host_tick)


def _tick(found: Aim, report: Report, of_host: dict[str, Any]) -> dict[str, Any]:
    """Return how the last tick was for a guest: the hypervisor's, as far as that told of it, or its own."""
    looked = instant(report.generated_at)
    own = "" if found.guest is None else f"guest {found.guest.id}: "
    began, ended = (str(of_host.get(key) or "") for key in ("began", "ended"))
    if not ended or ended < looked:  # it was looked at since, by itself or by a tick that is at work
        return {"began": looked, "ended": looked, "complete": True, "exit_code": 0}
    problems = [one for one in _of(of_host, "problems") if _said(one).startswith(own)]
    notices = [one for one in _of(of_host, "notices") if str(one).startswith(own)]
    return {
        "began": began,
        "ended": ended,
        "complete": not problems or looked >= began,
        "exit_code": FAILED if problems else 0,
        "problems": problems,
        "notices": notices,
    }


def _said(problem: object) -> str:
    return str(problem.get("message", "")) if isinstance(problem, dict) else ""


def _of(document: object, key: str) -> list[Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _last_run(found: Aim) -> dict[str, Any] | None:
    """Return what ``status`` says of the newest run whose record can be read."""
    for run in reversed(found.logs.runs()):
        record = found.logs.record(run) or {}
        with contextlib.suppress(KeyError, TypeError, ValueError):
            changed = record["difference"]["changed"]
            return {
                **{key: str(record[key]) for key in ("run", "outcome", "code", "reason")},
                **{key: instant(datetime.fromisoformat(record[key])) for key in ("started", "ended")},
                "headline": f"{record['outcome']}, {plural(len(changed), 'change')}",
                "changed": changed,
            }
    return None
