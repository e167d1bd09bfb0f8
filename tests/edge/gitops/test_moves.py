"""A report branch whose remote is another one than before: it goes on there, and no report is lost."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.git import GitAccess
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.ports.reports import Commit, Pushed, Queued
from tests.edge.gitops.bench import NOW, Repository, git, make_key
from tests.edge.gitops.queues import WEB, spoil, with_git

RUN = "20261122T020100Z-0123456789ab"


class Plant:
    """Host web-01 with a queue, and remotes of which the first is its own for now."""

    def __init__(self, folder: Path, key: str = "") -> None:
        self.folder, self.key = folder, key
        self.queue = folder / "state" / "reports.git"
        self.number = 0

    def remote(self, name: str) -> Path:
        return Repository.create(self.folder / f"{name}.git").path

    def sink(self, remote: Path, *others: Path, options: GitAccess | None = None) -> ReportQueue:
        identity = Identity("web-01", self.key)
        return ReportQueue(self.queue, str(remote), identity, options, others=[str(one) for one in others])

    def report(self, sink: ReportQueue, *, run: str = "") -> str:
        self.number += 1
        told = {"report.json": json.dumps({"number": self.number})}
        if run:
            told[f"runs/{run}.json"] = "{}"
        trailers = {"Host": "web-01", "Policy-Commit": f"{self.number:040x}"} | ({"Run": run} if run else {})
        done = sink.commit(
            WEB,
            {name: text.encode() for name, text in told.items()},
            commit_message(f"report {self.number}", trailers),
            NOW + timedelta(minutes=self.number),
            keep_runs=5,
        )
        assert isinstance(done, Commit)
        return done.oid

    def settled(self, remote: Path, reports: int = 3) -> list[str]:
        """Make reports, the second of a run, and push them."""
        sink = self.sink(remote)
        oids = [self.report(sink, run=RUN if number == 1 else "") for number in range(reports)]
        assert sink.push(timeout=20) == Pushed((WEB,))
        return oids


@pytest.fixture(params=["", "signed"])
def plant(tmp_path: Path, request: pytest.FixtureRequest) -> Plant:
    return Plant(tmp_path, str(make_key(tmp_path / "web-01")) if request.param else "")


def commits(repository: Path) -> list[str]:
    return git(repository, "rev-list", "--reverse", WEB).split()


def test_a_branch_begins_anew_in_another_remote_and_says_where_it_was(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    sink = plant.sink(two)
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, last.elsewhere) == (before[-1], str(one))
    assert sink.standing(WEB, timeout=20, ask=True) is None
    assert sink.unpushed() == ()
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(two) == [oid]
    assert commits(one) == before
    assert f"runs/{RUN}.json" in git(two, "ls-tree", "-r", "--name-only", WEB).split()
    again = sink.last(WEB)
    assert again is not None
    assert (again.oid, again.elsewhere) == (oid, "")
    later = plant.report(plant.sink(two))
    assert plant.sink(two).push(timeout=20) == Pushed((WEB,))
    assert commits(two) == [oid, later]
    assert str(one) in " ".join(sink.notices)
    assert plant.sink(two).notices == ()


def test_what_a_host_knows_of_itself_spans_the_move(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    plant.settled(one)
    sink = plant.sink(two)
    plant.report(sink)
    sink.push(timeout=20)
    assert list(sink.policy_commits(WEB)) == [f"{number:040x}" for number in (4, 3, 2, 1)]
    assert sink.record_of(WEB, RUN) == b"{}"
    proven = sink.proven(WEB)
    assert (proven is not None) == bool(plant.key)


def test_reports_that_never_left_go_along_with_all_below_them(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    waiting = plant.report(plant.sink(one))
    sink = plant.sink(two)
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, last.elsewhere) == (waiting, "")
    assert sink.unpushed() == (WEB,)
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(two) == [*before, waiting, oid]


def test_a_move_needs_no_remote(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    away = with_git(plant.folder / "bin", 'case " $* " in *" push "*|*" fetch "*) exit 128;; esac')
    oids = [plant.report(plant.sink(two, options=away)) for _ in range(2)]
    plant.sink(two, options=away).standing(WEB, timeout=20, ask=True)
    shutil.rmtree(one)
    assert plant.sink(two).push(timeout=20) == Pushed((WEB,))
    assert commits(two) == oids
    assert plant.sink(two).record_of(WEB, RUN) == b"{}"
    assert before[-1] in git(plant.queue, "for-each-ref")


def test_who_comes_back_goes_on_upon_what_was_there(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    there = plant.report(plant.sink(two))
    plant.sink(two).push(timeout=20)
    sink = plant.sink(one)
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, last.elsewhere) == (there, str(two))
    assert sink.standing(WEB, timeout=20, ask=True) is None
    back = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(one) == [*before, back]
    assert sink.standing(WEB, timeout=20, ask=True) is None


def test_who_comes_back_unasked_is_joined_with_what_was_there(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    plant.report(plant.sink(two))
    plant.sink(two).push(timeout=20)
    sink = plant.sink(one)
    back = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert {*before, back} < set(commits(one))
    assert json.loads(git(one, "show", f"{WEB}:report.json"))["number"] == plant.number


@pytest.mark.parametrize("form", ["file://{}", "{}/"])
def test_another_form_of_an_address_is_no_move(plant: Plant, form: str) -> None:
    one = plant.remote("one")
    before = plant.settled(one)
    sink = plant.sink(Path(one))
    sink = ReportQueue(plant.queue, form.format(one), Identity("web-01", plant.key))
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(one) == [*before, oid]


def test_one_repository_under_another_name_is_no_move(plant: Plant) -> None:
    one = plant.remote("one")
    before = plant.settled(one)
    one.rename(plant.folder / "renamed.git")
    sink = plant.sink(plant.folder / "renamed.git")
    assert sink.standing(WEB, timeout=20, ask=True) is None
    last = sink.last(WEB)
    assert last is not None
    assert last.elsewhere == ""
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(plant.folder / "renamed.git") == [*before, oid]


def test_what_another_wrote_in_the_new_remote_is_not_overwritten(tmp_path: Path) -> None:
    plant = Plant(tmp_path, str(make_key(tmp_path / "web-01")))
    one, two = plant.remote("one"), plant.remote("two")
    plant.settled(one)
    other = ReportQueue(
        tmp_path / "other.git", str(two), Identity("web-01", str(make_key(tmp_path / "other")))
    )
    foreign = plant.report(other)
    other.push(timeout=20)
    sink = plant.sink(two)
    sink.last(WEB)
    found = sink.standing(WEB, timeout=20, ask=True)
    assert found is not None
    assert found.theirs == foreign
    oid = plant.report(sink)
    with pytest.raises(Stalled, match="another machine writes this branch too"):
        sink.push(timeout=20)
    assert commits(two) == [foreign]
    assert oid in git(plant.queue, "rev-list", WEB).split()
    sink.repair(WEB, timeout=20, keep_runs=5)
    assert {foreign, oid} < set(commits(two))


def test_a_host_that_lost_its_queue_looks_into_the_other_remotes(plant: Plant) -> None:
    one, two, three = map(plant.remote, ("one", "two", "three"))
    before = plant.settled(one)
    shutil.rmtree(plant.folder / "state")
    sink = plant.sink(three, two, one)
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, last.elsewhere) == (before[-1], str(one))
    assert list(sink.policy_commits(WEB)) == [f"{number:040x}" for number in (3, 2, 1)]
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(three) == [oid]


def test_of_the_other_remotes_only_what_its_own_key_signed_is_taken(tmp_path: Path) -> None:
    plant = Plant(tmp_path, str(make_key(tmp_path / "web-01")))
    one, two = plant.remote("one"), plant.remote("two")
    forger = ReportQueue(
        tmp_path / "other.git", str(one), Identity("web-01", str(make_key(tmp_path / "other")))
    )
    plant.report(forger)
    forger.push(timeout=20)
    assert plant.sink(two, one).last(WEB) is None


@pytest.mark.parametrize("moment", ["marked", "forgotten", "noted"])
def test_a_move_that_was_killed_is_ended_by_the_next_run(plant: Plant, moment: str) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    note = plant.queue.with_suffix(".remote")
    old = note.read_bytes()
    plant.sink(two).last(WEB)
    if moment != "noted":
        note.write_bytes(old)
    if moment == "marked":
        git(plant.queue, "update-ref", f"refs/remotes/reports/{WEB}", before[-1])
    sink = plant.sink(two)
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(two)[-1] == oid
    assert set(commits(two)) <= {*before, oid}


def test_where_nobody_knows_any_more_what_was_where_all_of_the_branch_goes(plant: Plant) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    before = plant.settled(one)
    plant.sink(two).last(WEB)
    plant.queue.with_suffix(".remote").write_bytes(b"\0")
    sink = plant.sink(two)
    oid = plant.report(sink)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert commits(two) == [*before, oid]


@pytest.mark.parametrize("way", ["delete", "flip"])
def test_a_queue_that_is_damaged_after_a_move_knows_it_still(plant: Plant, way: str) -> None:
    one, two = plant.remote("one"), plant.remote("two")
    plant.settled(one)
    sink = plant.sink(two)
    sink.last(WEB)
    oid = plant.report(sink)
    spoil(plant.queue / "objects" / oid[:2] / oid[2:], way)
    again = plant.sink(two)
    plant.report(again)
    assert again.push(timeout=20) == Pushed((WEB,))
    assert json.loads(git(two, "show", f"{WEB}:report.json"))["number"] == plant.number
    assert again.record_of(WEB, RUN) == b"{}"
    git(plant.queue, "fsck", "--no-dangling")


def test_reports_stay_known_while_there_is_no_remote_for_a_time(plant: Plant) -> None:
    one = plant.remote("one")
    before = plant.settled(one)
    alone = ReportQueue(plant.queue, None, Identity("web-01", plant.key))
    between = plant.report(alone)
    sink = plant.sink(one)
    oid = plant.report(sink)
    assert not isinstance(sink.push(timeout=20), Queued)
    assert commits(one) == [*before, between, oid]
