"""What is kept of a guest is apart from its hypervisor, other guests, and who had its number before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.wiring.guests import missed
from reconciler.errors import Transient
from reconciler.host.config import Guests
from reconciler.host.state.folder import StateFolder
from reconciler.host.state.guests import GuestFolders
from reconciler.planning.facts.guests import GuestKind, Pin
from reconciler.reconcile.ports.state import State

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


def kept(tmp_path: Path) -> GuestFolders:
    StateFolder(tmp_path / "state").prepare()
    return GuestFolders(tmp_path / "state", tmp_path / "log")


def test_guests_and_hypervisor_remember_each_for_itself(tmp_path: Path) -> None:
    folders = kept(tmp_path)
    host, one, other = StateFolder(tmp_path / "state"), folders.of("101"), folders.of("102")
    for each in (one, other):
        each.prepare()
    pin = Pin("101", "local:101", "a" * 32)
    host.save(State(accepted="a" * 40))
    one.save(State(accepted="b" * 40, pin=pin))
    assert host.recall().state == State(accepted="a" * 40)
    assert one.recall().state == State(accepted="b" * 40, pin=pin)
    assert other.recall().state == State()
    assert folders.known() == {"101", "102"}
    with host.locked(), one.locked(), other.locked():
        pass


def test_nothing_is_known_where_there_is_nothing(tmp_path: Path) -> None:
    assert kept(tmp_path).known() == frozenset()
    assert GuestFolders(tmp_path / "absent", tmp_path).known() == frozenset()


def test_a_folder_that_is_no_guest_s_is_left_alone(tmp_path: Path) -> None:
    folders = kept(tmp_path)
    folders.of("101").prepare()
    for name in ("Web", "a..b", "x.lock", ".hidden"):
        (tmp_path / "state" / "guests" / name).mkdir()
    (tmp_path / "state" / "guests" / "102").write_text("a file")
    assert folders.known() == {"101"}


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "a..b", "x.lock", "-x"])
def test_what_is_no_id_names_no_folder(tmp_path: Path, name: str) -> None:
    folders = kept(tmp_path)
    with pytest.raises(ValueError, match="is no id of a guest"):
        folders.of(name)
    with pytest.raises(ValueError, match="is no id of a guest"):
        folders.logs_of(name, 1, timedelta(1))


def test_who_had_the_number_before_is_set_aside_and_the_next_begins_anew(tmp_path: Path) -> None:
    folders = kept(tmp_path)
    folders.of("101").prepare()
    folders.of("101").save(State(used=("sha256:x",)))
    aside = folders.set_aside("101", NOW)
    assert folders.known() == frozenset()
    assert StateFolder(aside).recall().state.used == ("sha256:x",)
    folders.of("101").prepare()
    assert folders.of("101").recall().state == State()


def test_whose_number_is_given_again_stays_locked_meanwhile(tmp_path: Path) -> None:
    folders = kept(tmp_path)
    folders.of("101").prepare()
    with folders.of("101").locked():
        folders.set_aside("101", NOW)
        folders.of("101").prepare()
        with pytest.raises(Transient, match="at work"), folders.of("101").locked():
            pass
    with folders.of("101").locked():
        assert folders.known() == {"101"}


def test_of_a_guest_that_is_another_one_each_time_a_few_are_kept(tmp_path: Path) -> None:
    folders, asides = kept(tmp_path), []
    for number in range(6):
        folders.of("101").prepare()
        folders.of("101.a").prepare()
        asides.append(folders.set_aside("101", NOW + timedelta(minutes=number // 2)))
    other = folders.set_aside("101.a", NOW)
    assert len(set(asides)) == 6
    assert sorted(path for path in asides if path.exists()) == sorted(asides[3:])
    assert other.exists()


def test_logs_of_a_guest_are_below_those_of_its_hypervisor_and_not_among_them(tmp_path: Path) -> None:
    folders = kept(tmp_path)
    run = "20261130T090000Z-abcdef123456"
    logs = folders.logs_of("101", 5, timedelta(days=1))
    logs.keep(run, {".json": b"{}", ".log": b"said\n"}, NOW)
    assert logs.runs() == (run,)
    assert logs.path == tmp_path / "log" / "guests" / "101"
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["guests"]


def test_what_was_said_in_a_guest_is_its_runs_log(tmp_path: Path) -> None:
    folder = kept(tmp_path).of("101")
    folder.prepare()
    run = "20261130T090000Z-abcdef123456"
    step = folder.execution(run, "step-1")
    assert folder.run_log(run, ()) == b""
    (step / "inside").write_text("mark pid:[1]\n")
    assert folder.run_log(run, ()) == b"", "it was not begun"
    (step / "err").write_text("Setting up web (1.1) with hunter2\n")
    assert b"Setting up web (1.1)" in folder.run_log(run, ())
    assert b"hunter2" not in folder.run_log(run, ["hunter2"])


def test_a_guest_of_a_kind_that_is_looked_for_no_more_is_not_missed(tmp_path: Path) -> None:
    """It is where it was, and no report is to say that it was destroyed."""
    folders = kept(tmp_path)
    for name, kind in {"web": GuestKind.LXC, "db": GuestKind.INCUS, "before": None}.items():
        folders.of(name).prepare()
        folders.of(name).save(State(pin=Pin(name, kind=kind)))
    folders.of("new").prepare()
    both, one = (Guests.model_validate({"from": kinds}) for kinds in (["incus", "lxc"], ["incus"]))
    assert missed(both, folders, {"web"}) == {"db", "before", "new"}
    assert missed(both, folders) == {"web", "db", "before", "new"}
    assert missed(one, folders) == {"db", "before", "new"}
