"""What a tick leaves is left whatever the tick before it had left."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.agent import STATUS_FILE as FILE
from reconciler.agent.tick_files import TickFiles
from reconciler.cli.showing.render import render_status
from reconciler.errors import Stalled
from reconciler.host.config import Config
from reconciler.host.state.folder import StateFolder
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.notices.events import Snapshot
from reconciler.reconcile.reporter import Published
from reconciler.reconcile.tick import Tick
from tests.reconcile.test_taken_up import assessment_of
from tests.report_samples import NOW


class Clock:
    """Always the same instant."""

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 9, tzinfo=UTC)

    def state(self) -> ClockState:
        return ClockState.SYNCHRONISED


BEGAN = "2026-11-22T08:59:00Z"


def after(tmp_path: Path, left: object, **more: object) -> TickFiles:
    """Return what writes what a tick leaves, where an earlier one left something."""
    config = Config.model_validate(
        {
            **more,
            "host": "web-01",
            "policy": {"remote": "/policy"},
            "motd": str(tmp_path / "motd"),
            "metrics": str(tmp_path / "patchledger.prom"),
            "state_dir": str(tmp_path / "state"),
        }
    )
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    folder.write(FILE, json.dumps(left).encode())
    return TickFiles(config, folder, Clock(), render_status, tuple, {})


@pytest.mark.parametrize(
    "left",
    [
        5,
        {"document": []},
        {"document": {"unpushed": 5}},
        {"document": {"headline": "up to date", "next_window": 5}},
        {"document": {"headline": "up to date", "next_window": None, "counts": {}}},
    ],
)
def test_a_failure_is_told_also_where_the_last_report_is_not_understood(tmp_path: Path, left: object) -> None:
    """It may be damaged, or of a version that did not say all that this one says."""
    aftermath = after(tmp_path, left)
    aftermath.failed(BEGAN, Stalled("no space left"))
    assert "trouble at Sun 2026-11-22 09:00 UTC: no space left" in (tmp_path / "motd").read_text()
    assert "patchledger_last_tick_exit_code 1.0" in (tmp_path / "patchledger.prom").read_text()


@pytest.mark.parametrize("whose", ["environment", "guests"])
def test_a_failure_is_told_without_what_a_guest_or_the_host_is_given(tmp_path: Path, whose: str) -> None:
    """What is done in a guest fails in the hypervisor's own words too, with what guests are given in them."""
    given: dict[str, object] = {"REGISTRY_KEY": "open-s3same-now"}
    more = given if whose == "environment" else {"from": ["proxmox"], "environment": given}
    aftermath = after(tmp_path, {}, **{whose: more})
    aftermath.failed(BEGAN, Stalled("no answer to key open-s3same-now", "ask it by hand"))
    told = (tmp_path / "motd").read_text() + (tmp_path / "state" / FILE).read_text()
    assert "no answer to key" in told
    assert "s3same" not in told


SNAPSHOT = Snapshot(NOW, "web-01", "apply", "nothing", "", "", "")
LAST = {
    "run": "20261121T020000Z-aaaaaaaaaaaa",
    "started": "2026-11-21T02:00:00Z", "ended": "2026-11-21T02:01:00Z",
    "outcome": "applied", "code": "", "reason": "", "headline": "applied 1 update", "changed": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("last", "is_kept"),
    [(LAST, True), (5, False), ([], False), ({}, False), ({**LAST, "ended": "2026-1!-21T02:01:00Z"}, False),
     ({**LAST, "ended": 7}, False), ({**LAST, "changed": None}, False), ({**LAST, "reason": None}, False)],
)  # fmt: skip
def test_a_last_run_that_is_damaged_ends_no_tick(tmp_path: Path, *, last: object, is_kept: bool) -> None:
    aftermath = after(tmp_path, {"document": {"last_run": last}})
    assessment = assessment_of()
    published = Published(None, pushed=True, failures=(), notices=(), snapshot=SNAPSHOT)
    assert aftermath.done(BEGAN, b"", Tick(assessment, published), (), tmp_path / "stamp") == ()
    found = json.loads((tmp_path / "state" / FILE).read_bytes())["document"]["last_run"]
    assert found == (last if is_kept else None)
