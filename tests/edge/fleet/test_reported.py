"""Reports as they are, from real repositories: what can be read is a row, and what cannot is named."""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.fleet.reported import Reports, opened, read_published
from reconciler.fleet.verified_policy import GivenPolicy
from reconciler.planning.fleet.rows import TargetState
from reconciler.planning.gates.recording import record, write
from reconciler.planning.text import canonical
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys, SignedRepository, store
from tests.report_samples import COMMIT, FACTS, INPUTS, NOW, OBSERVATION, report_of

RECORDING = record(OBSERVATION, (), INPUTS, FACTS, program="patchledger 0.1.0", now=NOW)
RECORDED = {"observation.json": write(RECORDING)}


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    return FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02")


def given(world: FleetWorld) -> GivenPolicy:
    """Return the policy as somebody has it who made a clone."""
    return GivenPolicy(world.policy.path / ".git", world.policy.head())


def seen(
    world: FleetWorld, *remotes: Path | str, cache: Path | None = None
) -> AbstractContextManager[Reports]:
    addresses = [str(one) for one in remotes or (world.reports,)]
    return opened(addresses, given(world), world.now, cache=cache)


def test_the_newest_report_of_each_host_and_guest_is_a_row_with_its_recording(world: FleetWorld) -> None:
    world.report("web-01", files={})
    world.later(days=1)
    world.report("web-01", files=RECORDED)
    world.report("web-02/wiki", files=RECORDED)
    with seen(world) as reports:
        rows = {row.target: row for row in reports.rows}
        assert {name for name, row in rows.items() if row.is_known} == {"web-01", "web-02/wiki"}
        assert rows["web-01"].heard == world.now
        assert rows["web-01"].policy_commit == world.policy.head()
        told = {one.target: one.recording for one in reports.recordings(["web-01", "web-02/wiki"])}
    assert told == {"web-01": RECORDING, "web-02/wiki": RECORDING}


def test_of_two_repositories_the_newer_report_of_a_host_counts(world: FleetWorld, tmp_path: Path) -> None:
    world.report("web-01", files={})
    git(tmp_path, "clone", "-q", "--bare", str(world.reports), str(tmp_path / "older.git"))
    world.later(days=1)
    world.report("web-01", files=RECORDED)
    for addresses in (["older.git", "reports.git"], ["reports.git", "older.git"]):
        with seen(world, *(tmp_path / one for one in addresses)) as reports:
            (row,) = (row for row in reports.rows if row.target == "web-01")
            assert row.heard == world.now
            (told,) = reports.recordings(["web-01"])
            assert told.recording == RECORDING


def test_what_cannot_be_read_is_named_and_keeps_nothing_else_from_being_read(
    world: FleetWorld, ada: Key
) -> None:
    world.enrol(ada, "newer", "broken", "odd", "link")
    told = canonical.plain(report_of(target="newer"))
    newer = canonical.to_bytes({**told, "schema": 99})
    world.report("newer", files={"report.json": newer})
    world.report("broken", files={"report.json": b"{"})
    world.report("odd", files={"evil": b"x"})
    world.report("link", files={"report.json": ("120000", store(world.reports, b"blob", b"x"))})
    world.report("web-01", files={**RECORDED, "observation.json": b"{}"})
    world.report("web-02", files={})
    with seen(world) as reports:
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
    with seen(world) as reports:
        (row,) = (row for row in reports.rows if row.target == "web-01")
    assert row.own_labels is None
    assert row.labels == {"env": "production"}


def test_a_repository_that_is_not_there_is_an_error(world: FleetWorld, tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="cannot fetch the reports"), seen(world, tmp_path / "none.git"):
        pass


def test_what_a_publisher_left_is_read_from_its_branch_or_a_file(world: FleetWorld, tmp_path: Path) -> None:
    world.report("web-01", report_of(target="web-01", now=world.now), policy=world.policy.head())
    world.read()
    published = read_published(str(world.reports), given(world), world.now)
    assert published.notices == ()
    rows = published.rows
    assert {row.target: row.is_known for row in rows} == {"web-01": True, "web-02": False}
    file = tmp_path / "summary.json"
    file.write_bytes(git(world.reports, "show", "fleet:summary.json").encode() + b"\n")
    assert read_published(str(file), given(world), world.now).rows == rows


def test_a_branch_without_a_summary_is_a_mistake(world: FleetWorld, ada: Key, tmp_path: Path) -> None:
    world.policy.commit({"trust/publishers": ""}, ada)
    folder = tmp_path / "other"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "fleet")
    (folder / "README").write_text("x")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")
    with pytest.raises(Misuse, match=r"holds no summary\.json"):
        read_published(str(folder), given(world), NOW)


def test_a_summary_of_a_newer_program_is_refused(world: FleetWorld, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text(json.dumps({"schema": 99}))
    with pytest.raises(Misuse, match="newer patchledger"):
        read_published(str(file), given(world), NOW)


def test_a_report_by_another_key_is_named_and_not_believed(world: FleetWorld, eve: Key) -> None:
    world.report("web-01", files=RECORDED)
    world.later(days=1)
    forged = report_of(target="web-01", now=world.now)
    world.report("web-01", replace(forged, host=replace(forged.host, labels={"env": "test"})), key=eve)
    world.report("web-02", files=RECORDED, key=eve)
    world.report("stranger", files=RECORDED)
    with seen(world) as reports:
        rows = {row.target: row for row in reports.rows}
        assert {row.target for row in reports.unproved} == {"web-01", "web-02", "stranger"}
        told = [one.target for one in reports.recordings(["web-01"])]
    assert "which is not its key" in rows["web-01"].reason
    # What it said before, by its own key, still stands.
    assert rows["web-01"].labels == {"env": "production"}
    assert told == ["web-01"]
    assert {name for name, row in rows.items() if row.is_known} == {"web-01"}


def test_what_a_publisher_verified_is_not_verified_again(world: FleetWorld, eve: Key) -> None:
    """A branch ``fleet`` vouches for what was reported before it, and so does what a copy came to."""
    first = world.report("web-01", files=RECORDED)
    world.read()
    world.later(hours=1)
    world.report("web-01", key=eve, files=RECORDED)
    cache = world.folder / "copies"
    for _ in range(2):
        with seen(world, cache=cache) as reports:
            (row,) = (row for row in reports.rows if row.target == "web-01")
        assert row.head == first
        assert "which is not its key" in row.reason
    world.report("web-01", files=RECORDED)
    with seen(world, cache=cache) as reports:
        assert not list(reports.unproved)


def test_the_copies_of_a_publisher_serve_and_what_it_remembers_stays_its_own(world: FleetWorld) -> None:
    world.report("web-01", files=RECORDED)
    world.read()
    folder = world.folder / "state" / "fleet"
    before = {path: path.read_bytes() for path in folder.glob("*.json")}
    world.later(hours=1)
    world.report("web-02", files=RECORDED)
    with seen(world, f"file://{world.reports}", cache=folder) as reports:
        assert {row.target for row in reports.rows if row.is_known} == {"web-01", "web-02"}
    assert before == {path: path.read_bytes() for path in folder.glob("*.json")}


def test_where_nobody_is_enrolled_reports_are_taken_for_what_they_say(world: FleetWorld, ada: Key) -> None:
    plain = SignedRepository(world.folder / "plain")
    SignedRepository.create(plain.path)
    plain.commit({"hosts/web-01.yaml": "kind: Host\nname: web-01\n"}, ada)
    world.report("web-01", files=RECORDED, is_signed=False, policy="")
    policy = GivenPolicy(plain.path / ".git", plain.head())
    with opened([str(world.reports)], policy, world.now) as reports:
        (row,) = reports.rows
        (told,) = reports.recordings(["web-01"])
    assert row.is_known
    assert row.policy_commit == COMMIT
    assert told.recording == RECORDING
    assert any("nobody can tell whose a report is" in notice for notice in reports.notices)


def test_a_policy_that_lies_deeper_enrols_as_well(world: FleetWorld, ada: Key) -> None:
    deep = SignedRepository(world.folder / "deep")
    SignedRepository.create(deep.path)
    document = world.document("web-01", world.key("web-01"))
    deep.commit({"os/hosts/web-01.yaml": document, "hosts/web-02.yaml": "kind: Host\nname: web-02\n"}, ada)
    world.report("web-01", files=RECORDED, policy=deep.head())
    with opened(
        [str(world.reports)], GivenPolicy(deep.path / ".git", deep.head(), "os/"), world.now
    ) as reports:
        (row,) = reports.rows
    assert (row.target, row.is_known, row.reason) == ("web-01", True, row.headline)


def test_a_summary_that_no_publisher_signed_is_refused(world: FleetWorld, ada: Key, eve: Key) -> None:
    world.report("web-01", files=RECORDED)
    world.read()
    assert read_published(str(world.reports), given(world), world.now).notices == ()

    world.policy.commit({"trust/publishers": eve.line()}, ada)
    with pytest.raises(Stalled, match="by no publisher that the policy lists"):
        read_published(str(world.reports), given(world), world.now)

    world.policy.commit({"trust/publishers": ""}, ada)
    published = read_published(str(world.reports), given(world), world.now)
    assert [row.target for row in published.rows] == ["web-02", "web-01"]
    assert "lists nobody in trust/publishers" in published.notices[0]


@pytest.mark.parametrize(
    ("host", "of", "said"),
    [
        ("web-01/wiki", None, "its report tells of no guest"),
        ("web-01/wiki", "web-02", "its report tells of a guest of web-02"),
        ("web-01", "web-02", "its report tells of a guest of web-02"),
    ],
)
def test_a_guest_reports_on_the_branch_of_its_own_hypervisor(
    world: FleetWorld, host: str, of: str | None, said: str
) -> None:
    told = report_of(target=host.rpartition("/")[2], now=world.now)
    world.report(host, replace(told, host=replace(told.host, guest_of=of)))
    row = world.rows()[host]
    assert (row.state, row.reason) == (TargetState.UNVERIFIED, said)
