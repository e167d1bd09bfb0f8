"""The state is on disk whole, old or new, and only one run at a time touches it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Transient
from reconciler.host.state import State, StateFolder
from reconciler.planning.events import Snapshot
from reconciler.planning.observation import FirstSeen

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.prepare()
    return made


def test_nothing_yet_is_an_empty_state(folder: StateFolder) -> None:
    assert folder.load() == State()


def test_what_is_saved_is_loaded(folder: StateFolder) -> None:
    state = State(
        accepted="a" * 40,
        floor="b" * 40,
        refreshed_at=NOW,
        first_seen=(FirstSeen("Debian", "nginx", "1.2", NOW),),
        snapshot=Snapshot(NOW, "web-01", "apply", "window", "not yet", "a" * 40, "sha256:0"),
    )
    folder.save(state)
    assert folder.load() == state


def test_it_is_for_its_owner_alone(folder: StateFolder) -> None:
    folder.save(State())
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "state.json").stat().st_mode & 0o022 == 0


ODD = [b'{"accepted": "--upload-pack=x"}', b'{"refreshed_at": "2026-11-22T09:00:00"}', b'{"floor": "HEAD"}']


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"accepted": 7}', b"\xff\xfe", b"[" * 100_000, *ODD])
def test_a_damaged_state_is_kept_aside_and_told(folder: StateFolder, data: bytes) -> None:
    (folder.path / "state.json").write_bytes(data)
    loaded = folder.load()
    damaged = folder.path / "state.json.damaged"
    assert loaded == State()
    assert damaged.read_bytes() == data
    assert len(folder.complaints) == 1


def test_a_failed_write_leaves_the_old_content(folder: StateFolder) -> None:
    folder.write("report.json", b"old")
    (folder.path / ".report.json.new").mkdir()  # the fresh file cannot be made
    with pytest.raises(Exception, match=r"report\.json") as caught:
        folder.write("report.json", b"new")
    assert caught.value.__class__.__name__ == "Stalled"
    assert folder.read("report.json") == b"old"


def test_a_second_run_is_told_who_holds_the_lock(folder: StateFolder) -> None:
    with folder.locked(), pytest.raises(Transient, match=f"pid {os.getpid()}"), folder.locked():
        pass
    with folder.locked():
        pass


def test_a_lock_file_left_behind_holds_nothing(folder: StateFolder) -> None:
    (folder.path / "lock").write_text("12345\n", encoding="utf-8")
    with folder.locked():
        assert (folder.path / "lock").read_text(encoding="utf-8") == f"{os.getpid()}\n"


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o770)
    with pytest.raises(Misuse, match="others than its owner"):
        StateFolder(tmp_path / "state").prepare()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(Exception, match="state"):
        StateFolder(tmp_path / "state").prepare()


def test_a_link_in_the_place_of_the_new_file_is_not_followed(folder: StateFolder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (folder.path / ".report.json.new").symlink_to(victim)
    folder.write("report.json", b"new")
    assert (victim.read_bytes(), folder.read("report.json")) == (b"mine", b"new")


def test_whatever_the_umask_its_files_are_for_the_owner_alone(folder: StateFolder) -> None:
    before = os.umask(0)
    try:
        folder.write("report.json", b"new")
    finally:
        os.umask(before)
    assert (folder.path / "report.json").stat().st_mode & 0o777 == 0o600


def test_a_state_folder_that_others_could_exchange_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Misuse, match="put another in its place"):
        StateFolder(tmp_path / "state").prepare()
