"""Reports as they are, from real repositories: what can be read is a row, and what cannot is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Misuse, ReconcilerError
from reconciler.fleet.reported import opened, read_published
from reconciler.planning.gates.recording import record, write
from reconciler.planning.text import canonical
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys, store
from tests.report_samples import COMMIT, FACTS, INPUTS, NOW, OBSERVATION, report_of

RECORDING = record(OBSERVATION, (), INPUTS, FACTS, program="patchledger 0.1.0", now=NOW)
RECORDED = {"observation.json": write(RECORDING)}


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    return FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02")


def test_the_newest_report_of_each_host_and_guest_is_a_row_with_its_recording(world: FleetWorld) -> None:
    world.report("web-01", files={})
    world.later(days=1)
    world.report("web-01", files=RECORDED)
    world.report("web-02/wiki", files=RECORDED)
    with opened([str(world.reports)]) as reports:
        rows = {row.target: row for row in reports.rows}
        assert list(rows) == ["web-01", "web-02/wiki"]
        assert rows["web-01"].heard == world.now
        assert rows["web-01"].policy_commit == COMMIT
        told = {one.target: one.recording for one in reports.recordings(list(rows))}
    assert told == {"web-01": RECORDING, "web-02/wiki": RECORDING}


def test_of_two_repositories_the_newer_report_of_a_host_counts(world: FleetWorld, tmp_path: Path) -> None:
    world.report("web-01", files={})
    git(tmp_path, "clone", "-q", "--bare", str(world.reports), str(tmp_path / "older.git"))
    world.later(days=1)
    world.report("web-01", files=RECORDED)
    for addresses in (["older.git", "reports.git"], ["reports.git", "older.git"]):
        with opened([str(tmp_path / one) for one in addresses]) as reports:
            (row,) = reports.rows
            assert row.heard == world.now
            (told,) = reports.recordings(["web-01"])
            assert told.recording == RECORDING


def test_what_cannot_be_read_is_named_and_keeps_nothing_else_from_being_read(world: FleetWorld) -> None:
    told = canonical.plain(report_of(target="newer"))
    newer = canonical.to_bytes({**told, "schema": 99})
    world.report("newer", files={"report.json": newer})
    world.report("broken", files={"report.json": b"{"})
    world.report("odd", files={"evil": b"x"})
    world.report("link", files={"report.json": ("120000", store(world.reports, b"blob", b"x"))})
    world.report("web-01", files={**RECORDED, "observation.json": b"{}"})
    world.report("web-02", files={})
    with opened([str(world.reports)]) as reports:
        rows = {row.target: row for row in reports.rows}
        problems = {one.target: one.problem for one in reports.recordings(["web-01", "web-02"])}
    assert {name for name, row in rows.items() if row.is_known} == {"web-01", "web-02"}
    assert "newer patchledger" in rows["newer"].reason
    assert "not JSON" in rows["broken"].reason
    assert "evil" in rows["odd"].reason
    assert rows["link"].reason
    assert "observation.json" in problems["web-01"]
    assert problems["web-02"] == "its report holds no observation.json"


def test_a_report_of_an_earlier_version_does_not_tell_own_labels(world: FleetWorld) -> None:
    told = replace(report_of(target="web-01"), schema=2)
    world.report("web-01", files={"report.json": canonical.to_bytes(canonical.plain(told, version=2))})
    with opened([str(world.reports)]) as reports:
        (row,) = reports.rows
    assert row.own_labels is None
    assert row.labels == {"env": "production"}


def test_a_repository_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ReconcilerError, match="cannot fetch the reports"),
        opened([str(tmp_path / "none.git")]),
    ):
        pass


def test_what_a_publisher_left_is_read_from_its_branch_or_a_file(world: FleetWorld, tmp_path: Path) -> None:
    world.report("web-01", report_of(target="web-01", now=world.now), policy=world.policy.head())
    world.read()
    rows = read_published(str(world.reports))
    assert {row.target: row.is_known for row in rows} == {"web-01": True, "web-02": False}
    file = tmp_path / "summary.json"
    file.write_bytes(git(world.reports, "show", "fleet:summary.json").encode() + b"\n")
    assert read_published(str(file)) == rows


def test_a_branch_without_a_summary_is_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "fleet")
    (folder / "README").write_text("x")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")
    with pytest.raises(Misuse, match=r"holds no summary\.json"):
        read_published(str(folder))


def test_a_summary_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text(json.dumps({"schema": 99}))
    with pytest.raises(Misuse, match="newer patchledger"):
        read_published(str(file))
