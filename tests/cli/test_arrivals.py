"""Which run brought a version: the last one that is known, and none that was undone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.verbs.arrivals import run_that_brought
from reconciler.host.state.run_logs import RunLogFolder
from reconciler.planning.facts.package import PackageId

BASH = PackageId("bash", "amd64")


def day(number: int) -> datetime:
    return datetime(2026, 11, number, 2, tzinfo=UTC)


@pytest.fixture
def logs(tmp_path: Path) -> RunLogFolder:
    return RunLogFolder(tmp_path, 100, timedelta(days=365))


def keep(
    logs: RunLogFolder, number: int, to: str | None, outcome: str = "applied", arch: str = "amd64"
) -> str:
    run = f"202611{number:02}T020000Z-0123456789ab"
    changed = [{"name": "bash", "arch": arch, "to": to}]
    record = {
        "started": f"{day(number):%Y-%m-%dT%H:%M:%SZ}",
        "outcome": outcome,
        "difference": {"changed": changed},
    }
    logs.keep(run, {".json": json.dumps(record).encode()}, day(number))
    return run


def brought(logs: RunLogFolder, version: str | None, until: datetime | None = None) -> str | None:
    found = run_that_brought(logs, BASH, version, until)
    return None if found is None else found[0]


def test_it_is_the_last_one_of_that_architecture_until_then(logs: RunLogFolder) -> None:
    first, _, second = keep(logs, 1, "2"), keep(logs, 2, "2", arch="i386"), keep(logs, 3, "2")
    gone = keep(logs, 4, None)
    assert brought(logs, "2") == second
    assert brought(logs, "2", day(2)) == first
    assert brought(logs, None) == gone
    assert brought(logs, "3") is None


def test_a_run_that_was_undone_brought_nothing(logs: RunLogFolder) -> None:
    run = keep(logs, 1, "2")
    keep(logs, 2, "2", "rolled-back")
    assert brought(logs, "2") == run


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"outcome": "applied"}', '{"outcome": 1, "difference": {"changed": 5}}']
)
def test_a_damaged_record_hides_no_other(logs: RunLogFolder, damage: str) -> None:
    run = keep(logs, 1, "2")
    (logs.path / "20261102T020000Z-0123456789ab.json").write_text(damage)
    assert brought(logs, "2") == run
