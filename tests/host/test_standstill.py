"""Ticks in a row that came to nothing are counted, whatever became of everything else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.host.state.folder import StateFolder
from reconciler.host.state.standstill import FILE, MOVING, read, write
from reconciler.reconcile.ports.state import Standstill

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.prepare()
    return made


def test_it_knows_since_when_and_why_at_first() -> None:
    stood = MOVING.and_another("no route", NOW).and_another("name unknown", NOW + timedelta(hours=1))
    assert stood == Standstill(2, NOW.isoformat(), "no route")
    assert stood.message == "since 2026-11-22 09:00 UTC no tick has ended well: no route"


def test_it_is_kept_and_ends(folder: StateFolder) -> None:
    assert read(folder) == MOVING
    write(folder, MOVING)
    assert not (folder.path / FILE).exists()
    stood = MOVING.and_another("no route", NOW)
    write(folder, stood)
    assert read(folder) == stood
    write(folder, MOVING)
    assert read(folder) == MOVING


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"7", b'{"ticks": "x"}', b'{"ticks": 9}', b'{"more": 1}', b"[" * 100_000,
     b'{"ticks": 9, "since": 5, "why": ""}', b'{"ticks": 9, "since": "soon", "why": ""}'],
)  # fmt: skip
def test_what_cannot_be_read_counts_from_nothing(folder: StateFolder, data: bytes) -> None:
    (folder.path / FILE).write_bytes(data)
    assert read(folder) == MOVING
