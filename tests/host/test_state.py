"""The state is on disk whole, old or new, and only one run at a time touches it."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from reconciler.errors import Misuse, Stalled, Transient
from reconciler.host.state.folder import MOVED, StateFolder
from reconciler.host.state.memory import BEFORE, FILES, fields_of
from reconciler.planning.facts.observation import FirstSeen, Quarantined
from reconciler.planning.gates.types import FailedApply
from reconciler.planning.notices.events import Event, LastRun, Route, Snapshot
from reconciler.planning.runs.journal import Journal
from reconciler.planning.runs.record import RunResult
from reconciler.reconcile.ports.state import NOTICES, RUNS, Recalled, State
from reconciler.reconcile.ports.target import FETCH

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.prepare()
    return made


def test_nothing_yet_is_an_empty_state(folder: StateFolder) -> None:
    assert folder.recall().state == State()


def test_what_is_saved_is_loaded(folder: StateFolder) -> None:
    state = State(
        accepted="a" * 40,
        floor="b" * 40,
        refreshed_at=NOW,
        first_seen=(FirstSeen("Debian", "nginx", "1.2", NOW),),
        snapshot=Snapshot(NOW, "web-01", "apply", "window", "not yet", "a" * 40, "sha256:0"),
    )
    folder.save(state)
    assert folder.recall().state == state


def test_it_is_for_its_owner_alone(folder: StateFolder) -> None:
    folder.save(State())
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "trust.json").stat().st_mode & 0o022 == 0


# --- what is wrong with a file --------------------------------------------------------------------------

STATE = State(
    accepted="a" * 40,
    floor="b" * 40,
    refreshed_at=NOW,
    first_seen=(FirstSeen("Debian", "nginx", "1.2", NOW),),
    snapshot=Snapshot(NOW, "web-01", "apply", "window", "not yet", "a" * 40, "sha256:0"),
    routes=(Route("ops", frozenset({Event.FAILED})),),
    failed=FailedApply("sha256:1", "a" * 40, "db", NOW),
    quarantine=(Quarantined("bad", "all", "1.1", NOW, "run", "exit 3", "a" * 40),),
    used=("sha256:1", "sha256:2"),
    reboots=(NOW,),
)
ODD = [b'{"accepted": "--upload-pack=x"}', b'{"refreshed_at": "2026-11-22T09:00:00"}', b'{"floor": "HEAD"}']
NO_STATE = [
    b"", b"{", b"{}", b"[]", b"null", b"1e999999", b'{"accepted": 7}', b"\xff\xfe", b"[" * 100_000, b"\0" * 9,
    b'{"accepted": "\\ud800"}', b'{"accepted": "", "used": 1e999}', *ODD,
]  # fmt: skip


@pytest.mark.parametrize("name", [BEFORE, *FILES])
@pytest.mark.parametrize("data", NO_STATE)
def test_a_damaged_file_is_kept_and_told(folder: StateFolder, name: str, data: bytes) -> None:
    (folder.path / name).write_bytes(data)
    recalled = folder.recall()
    assert recalled.state == State()
    assert (folder.path / f"{name}.damaged").read_bytes() == data
    (said,) = recalled.complaints
    assert name in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", [b"", b"{}", b"null", b'{"kept": {}, "schema": 2, "moved": ""}'])
def test_a_damaged_file_costs_the_others_nothing(folder: StateFolder, name: str, data: bytes) -> None:
    folder.save(STATE)
    (folder.path / name).write_bytes(data)
    state = folder.recall().state
    for other in FILES:
        for each in fields_of(other):
            lost = getattr(State(), each)
            assert getattr(state, each) == (lost if other == name else getattr(STATE, each))
    folder.save(state)
    assert folder.recall().missing == frozenset()
    assert (folder.path / f"{name}.damaged").read_bytes() == data


def test_another_damage_does_not_replace_what_was_kept(folder: StateFolder) -> None:
    for number, data in enumerate((b"1", b"2", b"1")):
        (folder.path / RUNS).write_bytes(data)
        folder.recall()
        assert (folder.path / f"{RUNS}.damaged").read_bytes() == b"1"
        assert (folder.path / f"{RUNS}.damaged-2").exists() == (number > 0)
        assert not (folder.path / f"{RUNS}.damaged-3").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed_wherever_it_is(folder: StateFolder, name: str) -> None:
    folder.save(STATE)
    path = folder.path / name
    data = path.read_bytes()
    for place in range(0, len(data) - 1, 7):
        for bit in (1, 4):
            flipped = bytearray(data)
            flipped[place] ^= bit
            if flipped[place : place + 1].isspace() and data[place : place + 1].isspace():
                continue  # between two tokens it says the same
            path.write_bytes(flipped)
            recalled = folder.recall()
            state = recalled.state
            assert recalled.complaints, (place, bit)
            assert (state.accepted, state.floor) in {(STATE.accepted, STATE.floor), ("", "")}
            assert [one.at for one in state.first_seen] in [[NOW], []]
            for aside in folder.path.glob("*.damaged*"):
                aside.unlink()


def test_what_can_be_read_of_damaged_runs_is_kept(folder: StateFolder) -> None:
    """An approval that is used up stays so: forgetting it would apply a plan twice, keeping it never does."""
    folder.save(STATE)
    path = folder.path / RUNS
    path.write_bytes(path.read_bytes().replace(b"exit 3", b"exit 2"))
    recalled = folder.recall()
    assert (recalled.state.used, recalled.state.reboots) == (STATE.used, STATE.reboots)
    assert recalled.missing == {RUNS}


def _rewritten(folder: StateFolder, name: str, schema: int = 2, **kept: object) -> None:
    """Write a file as a newer program might, whole and with its checksum."""
    document = json.loads((folder.path / name).read_bytes())
    content = {"schema": schema, "moved": "", "kept": {**document["kept"], **kept}}
    compact = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    (folder.path / name).write_text(json.dumps({"sha256": sha256(compact).hexdigest(), **content}))


def test_an_unknown_word_costs_its_own_field(folder: StateFolder) -> None:
    folder.save(STATE)
    routes = [{"to": "ops", "on": ["failed"]}, {"to": "new", "on": ["an-event-of-the-next-version"]}]
    _rewritten(folder, NOTICES, routes=routes, snapshot={"at": "soon"})
    recalled = folder.recall()
    assert recalled.state == replace(STATE, snapshot=None)
    (said,) = recalled.complaints
    assert "snapshot" in said
    assert "routes" in said
    assert (folder.path / f"{NOTICES}.damaged").exists()


def test_an_unknown_word_in_the_file_of_version_1_costs_its_own_field(folder: StateFolder) -> None:
    before = TypeAdapter(State).dump_python(STATE, mode="json")
    before["routes"][0]["on"] = ["an-event-of-the-next-version"]
    (folder.path / BEFORE).write_text(json.dumps(before))
    recalled = folder.recall()
    assert recalled.state == replace(STATE, routes=())
    assert "routes" in recalled.complaints[0]


def test_an_item_that_is_not_understood_is_left_out_alone(folder: StateFolder) -> None:
    folder.save(STATE)
    reboots = ["2026-11-22T09:00:00", NOW.isoformat()]
    _rewritten(folder, RUNS, used=["sha256:1", 7, "sha256:2"], reboots=reboots)
    assert folder.recall().state == STATE


def test_a_file_of_a_newer_program_is_read_as_far_as_it_is_known(folder: StateFolder) -> None:
    folder.save(STATE)
    _rewritten(folder, RUNS, schema=3, a_field_of_the_next_version={"x": 1})
    recalled = folder.recall()
    assert recalled.state == STATE
    (said,) = recalled.complaints
    assert "runs.json was written by a newer patchledger (schema 3)" in said


# --- the one file of version 1 ----------------------------------------------------------------------------


def as_before(state: State) -> bytes:
    return TypeAdapter(State).dump_json(state, indent=1) + b"\n"


def test_the_one_file_of_version_1_is_taken_over_once(folder: StateFolder) -> None:
    (folder.path / BEFORE).write_bytes(as_before(STATE))
    recalled = folder.recall()
    assert recalled == Recalled(STATE)
    folder.save(recalled.state)
    assert not (folder.path / BEFORE).exists()
    assert (folder.path / MOVED).read_bytes() == as_before(STATE)
    assert folder.recall() == Recalled(STATE)


@pytest.mark.parametrize("written", range(4))
def test_a_crash_while_it_is_taken_over_loses_nothing(folder: StateFolder, written: int) -> None:
    later = replace(STATE, accepted="c" * 40, used=(*STATE.used, "sha256:3"), routes=())
    (folder.path / BEFORE).write_bytes(as_before(STATE))
    folder.save(later)
    (folder.path / MOVED).replace(folder.path / BEFORE)
    for name in FILES[written:]:
        (folder.path / name).unlink()
    state = folder.recall().state
    for index, name in enumerate(FILES):
        for each in fields_of(name):
            assert getattr(state, each) == getattr(later if index < written else STATE, each)
    folder.save(state)
    assert folder.recall() == Recalled(state)


def test_what_an_older_program_wrote_since_is_newer(folder: StateFolder) -> None:
    folder.save(STATE)
    theirs = State(accepted="c" * 40, used=("sha256:9",), last_run=None)
    (folder.path / BEFORE).write_bytes(as_before(theirs))
    assert folder.recall().state == replace(theirs, used=(*STATE.used, "sha256:9"), reboots=STATE.reboots)


def test_an_unchanged_file_is_not_written_again(folder: StateFolder) -> None:
    folder.save(STATE)
    before = {name: (folder.path / name).stat().st_ino for name in FILES}
    folder.save(replace(STATE, used=()))
    after = {name: (folder.path / name).stat().st_ino for name in FILES}
    assert [name for name in FILES if before[name] != after[name]] == [RUNS]


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


def test_what_only_fetched_takes_no_place_of_a_run(folder: StateFolder) -> None:
    for number in range(20):
        folder.execution(f"20261122T{number:02}0000Z-run", "step-1-1")
    for number in range(50):
        folder.execution(f"20261123T00{number:02}00Z-fetch", FETCH)
    there = sorted(path.name for path in (folder.path / "runs").iterdir())
    assert sum(name.endswith("-run") for name in there) == 20
    assert there[-1] == "20261123T004900Z-fetch"
    assert sum(name.endswith("-fetch") for name in there) == 3
    folder.execution("20261124T000000Z-run", "step-1-1")
    assert not (folder.path / "runs/20261122T000000Z-run").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"started": "2026-11-22T03:00:00"}, {"deadline": "2026-11-22T03:00:00"}, {"current": -1},
     {"current": 99}, {"run": "../elsewhere"},
     {"attempts": [{"name": "../elsewhere", "started": "2026-11-22T03:00:00Z"}]}],
)  # fmt: skip
def test_a_journal_that_was_never_written_so_is_damaged(tmp_path: Path, wrong: dict[str, object]) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    golden = Path(__file__).parents[1] / "golden/v1/apt/killed/journal.json"
    document = json.loads(golden.read_bytes())
    file = folder.path / "journal.json"
    file.write_text(json.dumps(document))
    assert folder.journal() is not None
    file.write_text(json.dumps({**document, **wrong}))
    with pytest.raises(Stalled, match="does not parse"):
        folder.journal()


@pytest.mark.parametrize("damaged", [None, b"", b"{", bytes(100)])
def test_a_journal_that_is_damaged_or_gone_is_read_from_its_copy(
    tmp_path: Path, damaged: bytes | None
) -> None:
    folder, journal = _written(tmp_path)
    file = folder.path / "journal.json"
    file.unlink() if damaged is None else file.write_bytes(damaged)
    assert folder.journal() == journal
    (said,) = folder.recall().complaints
    assert "damaged or gone" in said
    assert (folder.path / "journal.json.damaged").exists() is (damaged is not None)
    folder.clear_journal()
    assert (folder.journal(), folder.tells_of_a_run) == (None, False)


def test_a_damaged_copy_of_a_journal_costs_nothing(tmp_path: Path) -> None:
    folder, journal = _written(tmp_path)
    (folder.path / "journal.copy.json").write_bytes(b"{")
    assert (folder.journal(), folder.recall().complaints) == (journal, ())


def test_without_a_journal_and_its_copy_a_person_must_look(tmp_path: Path) -> None:
    folder, _ = _written(tmp_path)
    for name in ("journal.json", "journal.copy.json"):
        (folder.path / name).write_bytes(b"{")
    with pytest.raises(Stalled, match="does not parse") as caught:
        folder.journal()
    assert "move away journal.json, journal.copy.json" in caught.value.hint


def test_a_journal_that_the_disk_does_not_give_is_read_from_its_copy(tmp_path: Path) -> None:
    folder, journal = _written(tmp_path)
    (folder.path / "journal.json").unlink()
    (folder.path / "journal.json").mkdir()  # reading it fails, and it is not missing
    assert folder.journal() == journal


@pytest.mark.parametrize("later", ["", "-2"])
def test_a_copy_that_an_older_program_left_of_a_run_that_is_over_is_not_believed(
    tmp_path: Path, later: str
) -> None:
    folder, journal = _written(tmp_path)
    last = LastRun(journal.run + later, RunResult.APPLIED, journal.digest)
    folder.save(replace(folder.recall().state, last_run=last))
    (folder.path / "journal.json").unlink()  # as that program does when it has ended a run
    assert (folder.journal(), folder.tells_of_a_run, folder.recall().complaints) == (None, False, ())


def test_a_copy_of_a_run_after_which_another_one_began_is_not_believed(tmp_path: Path) -> None:
    folder, journal = _written(tmp_path)
    (folder.path / "runs" / f"{journal.run}-2" / "step-1").mkdir(parents=True)
    (folder.path / "journal.json").write_bytes(b"{")
    with pytest.raises(Stalled, match="does not parse"):
        folder.journal()
    (folder.path / "journal.json").unlink()
    assert folder.journal() is None


def test_what_is_still_to_be_told_of_a_run_outlives_one_that_cannot_begin(tmp_path: Path) -> None:
    folder, journal = _written(tmp_path)
    (folder.path / ".journal.json.new").mkdir()
    with pytest.raises(Stalled):
        folder.begin(replace(journal, run=journal.run + "-2"))
    assert folder.journal() == journal


def test_a_run_whose_journal_cannot_be_written_has_not_begun(tmp_path: Path) -> None:
    folder, journal = _written(tmp_path)
    folder.clear_journal()
    (folder.path / ".journal.json.new").mkdir()
    with pytest.raises(Stalled):
        folder.begin(journal)
    assert not folder.tells_of_a_run


def _written(place: Path) -> tuple[StateFolder, Journal]:
    """Return a state folder and the journal that was written there."""
    folder = StateFolder(place / "state")
    folder.prepare()
    golden = Path(__file__).parents[1] / "golden/v1/apt/killed/journal.json"
    (folder.path / "journal.json").write_bytes(golden.read_bytes())
    journal = folder.journal()
    assert journal is not None
    folder.write_journal(journal)
    return folder, journal
