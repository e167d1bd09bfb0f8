"""Logs of runs on the host: bounded, for their owner and group, and never somebody else's."""

import errno
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled
from reconciler.host.state.run_logs import RunLogFolder

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
FILES = {".json": b'{"outcome": "applied"}', ".log": b"Unpacking nginx\n"}


def name(days: int) -> str:
    return f"{NOW - timedelta(days=days):%Y%m%dT%H%M%SZ}-0123456789ab"


@pytest.fixture
def logs(tmp_path: Path) -> RunLogFolder:
    return RunLogFolder(tmp_path / "log" / "patchledger", 3, timedelta(days=30))


def test_what_is_kept_is_read_again_by_owner_and_group_alone(logs: RunLogFolder) -> None:
    logs.keep(name(0), FILES, NOW)
    assert logs.runs() == (name(0),)
    assert logs.record(name(0)) == {"outcome": "applied"}
    assert logs.log(name(0)) == "Unpacking nginx\n"
    assert logs.path.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in logs.path.iterdir()} == {0o640}


def test_too_many_and_too_old_ones_go_and_others_files_stay(logs: RunLogFolder) -> None:
    logs.path.mkdir(parents=True)
    (logs.path / "notes.txt").write_text("of the operator")
    for days in (90, 40, 4, 3, 2, 1):
        logs.keep(name(days), FILES, NOW - timedelta(days=days))
    assert logs.runs() == (name(3), name(2), name(1))
    logs.keep(name(0), FILES, NOW + timedelta(days=29))
    assert logs.runs() == (name(1), name(0)) or logs.runs() == (name(0),)
    assert (logs.path / "notes.txt").exists()
    assert len(list(logs.path.iterdir())) == 1 + 2 * len(logs.runs())


def test_a_run_that_is_written_twice_is_there_once(logs: RunLogFolder) -> None:
    logs.keep(name(0), FILES, NOW)
    logs.keep(name(0), {**FILES, ".json": b"{}"}, NOW)
    assert logs.runs() == (name(0),)
    assert logs.record(name(0)) == {}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_record_is_no_record(logs: RunLogFolder, data: bytes) -> None:
    logs.keep(name(0), {".json": data}, NOW)
    assert logs.record(name(0)) is None
    assert logs.log(name(0)) == ""


def test_a_folder_that_others_may_write_to_is_refused(logs: RunLogFolder, tmp_path: Path) -> None:
    logs.path.mkdir(parents=True)
    logs.path.chmod(0o777)
    with pytest.raises(Stalled, match="only its owner may write"):
        logs.keep(name(0), FILES, NOW)
    assert logs.runs() == ()
    logs.path.rmdir()
    (tmp_path / "elsewhere").mkdir()
    logs.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stalled, match="no folder that only its owner"):
        logs.keep(name(0), FILES, NOW)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_in_the_folders_place_and_a_full_disk_are_told_in_a_line(logs: RunLogFolder) -> None:
    logs.path.parent.mkdir()
    logs.path.write_text("a file")
    with pytest.raises(Stalled, match=f"{logs.path}: .*has no log there"):
        logs.keep(name(0), FILES, NOW)
    full = RunLogFolder(Path("/dev/full/x"), 3, timedelta(days=1))
    with pytest.raises(Stalled, match=os.strerror(errno.ENOTDIR)):
        full.keep(name(0), FILES, NOW)


def test_where_nothing_was_kept_there_is_no_run(logs: RunLogFolder) -> None:
    assert logs.runs() == ()
    logs.path.parent.mkdir()
    logs.path.write_text("a file")
    with pytest.raises(Misuse):
        logs.runs()


def test_a_record_is_as_it_was_written(logs: RunLogFolder) -> None:
    record = {"run": name(0), "reason": "“quoted” …"}
    logs.keep(name(0), {".json": json.dumps(record).encode()}, NOW)
    assert logs.record(name(0)) == record
