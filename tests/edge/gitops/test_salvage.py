"""A damaged queue: whatever can be read of its reports arrives, once, and the truth is told of the rest."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.reconcile.ports.reports import Pushed, Queued
from tests.edge.gitops.bench import Repository, git, make_key
from tests.edge.gitops.queues import COUNT, RUN, WAYS, WEB, Queue, spoil


@pytest.fixture
def queue(tmp_path: Path, reports: Repository) -> Queue:
    return Queue(tmp_path, reports.path)


def healed(queue: Queue) -> ReportQueue:
    """Make the ticks of a host: a new report, pushed, and the push once more if that was queued."""
    sink = queue.sink()
    queue.report(sink, COUNT)
    for _ in range(2):
        answer = sink.push(timeout=20)
        assert isinstance(answer, Pushed)
        if sink.last(WEB) is None:
            queue.report(sink, COUNT)
    return sink


@pytest.mark.parametrize(("way", "pushed"), [("delete", 0), ("truncate", 1)])
def test_every_report_that_does_not_need_the_lost_object_arrives(
    queue: Queue, tmp_path: Path, way: str, pushed: int
) -> None:
    queue.fill(pushed=pushed)
    shutil.copytree(queue.path, tmp_path / "whole")
    shutil.copytree(queue.remote, tmp_path / "pushed")
    whole = tmp_path / "whole"
    for path in queue.objects():
        oid = path.parent.name + path.name
        kind = git(whole, "cat-file", "-t", oid)
        shown = "" if kind == "tree" else git(whole, "cat-file", "-p", oid)
        spoil(queue.path / path.relative_to(queue.path), way)
        queue.sink().rebuild()
        assert queue.sink().push(timeout=20) in {Pushed((WEB,)), Pushed(())}
        lost = [n for n in range(pushed, COUNT) if kind == "blob" and f'"number": {n}' in shown]
        assert queue.told() == [n for n in range(COUNT) if n not in lost], (kind, shown)
        record_is_lost = kind == "blob" and f'"run": "{RUN}"' in shown
        assert (f"runs/{RUN}.json" in queue.runs()) is not record_is_lost, (kind, shown)
        assert len(queue.subjects()) == COUNT, queue.subjects()
        git(queue.path, "fsck", "--strict")
        for folder, copy in ((queue.path, whole), (queue.remote, tmp_path / "pushed")):
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)


@pytest.mark.parametrize("signed", ["", "signed"])
@pytest.mark.parametrize("pushed", [0, 2])
@pytest.mark.parametrize("way", WAYS)
def test_a_lost_head_costs_no_report(
    tmp_path: Path, reports: Repository, way: str, pushed: int, signed: str
) -> None:
    queue = Queue(tmp_path, reports.path, str(make_key(tmp_path / "key")) if signed else "")
    queue.fill(pushed=pushed)
    head = git(queue.path, "rev-parse", WEB)
    spoil(queue.path / "refs/heads" / WEB, way)
    sink = healed(queue)
    assert git(reports.path, "rev-parse", f"{WEB}~1") == head, "the very commits"
    assert queue.told() == [*range(COUNT), COUNT]
    assert any("found again" in said or "no report was lost" in said for said in sink.notices)
    assert not any("another machine" in said for said in sink.notices)


def test_the_oldest_unpushed_report_takes_no_newer_one_with_it(queue: Queue) -> None:
    queue.fill(pushed=0)
    oldest = git(queue.path, "rev-list", WEB).split()[-1]
    spoil(queue.path / "objects" / oldest[:2] / oldest[2:], "truncate")
    sink = queue.sink()
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert sink.rebuilds == 1
    assert queue.told() == [*range(COUNT)]
    assert queue.runs() == [f"runs/{RUN}.json", f"runs/{RUN}.log"]
    assert git(queue.remote, "log", "--format=%(trailers:key=Run,valueonly)", WEB).split() == [RUN]
    assert "could not be read" in sink.notices[0]
    assert sink.queue.with_name("reports.git.broken-1").is_dir()


@pytest.mark.parametrize("which", ["HEAD~1", "server's"])
def test_an_object_missing_here_is_not_another_machine(queue: Queue, which: str) -> None:
    queue.fill(pushed=2)
    chosen = f"{WEB}~1" if which == "HEAD~1" else f"{WEB}~2"
    oid = git(queue.path, "rev-parse", chosen)
    spoil(queue.path / "objects" / oid[:2] / oid[2:], "delete")
    sink = queue.sink()
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert queue.told() == [*range(COUNT)]
    assert not any("another machine" in said for said in sink.notices)


def test_reports_are_carried_over_while_the_remote_is_away_and_arrive_once(queue: Queue) -> None:
    queue.fill(pushed=2)
    oid = git(queue.path, "rev-parse", f"{WEB}~1")
    spoil(queue.path / "objects" / oid[:2] / oid[2:], "truncate")
    away = queue.sink(is_away=True)
    away.rebuild()
    queue.report(away, COUNT)
    assert isinstance(away.push(timeout=20), Queued)
    assert queue.sink().push(timeout=20) == Pushed((WEB,))
    assert queue.told() == [*range(COUNT), COUNT]


def test_signed_reports_that_are_made_again_are_signed(tmp_path: Path, reports: Repository) -> None:
    key = make_key(tmp_path / "key")
    queue = Queue(tmp_path, reports.path, str(key))
    queue.fill(pushed=1)
    oid = git(queue.path, "rev-parse", f"{WEB}~1")
    spoil(queue.path / "objects" / oid[:2] / oid[2:], "delete")
    queue.sink().rebuild()
    assert queue.sink().push(timeout=20) == Pushed((WEB,))
    assert queue.told() == [*range(COUNT)]
    allowed = tmp_path / "allowed"
    allowed.write_text(f'web-01@web-01 namespaces="git" {key.with_suffix(".pub").read_text()}')
    settings = ("-c", f"gpg.ssh.allowedSignersFile={allowed}")
    assert set(git(reports.path, *settings, "log", "--format=%G?", WEB).split()) == {"G"}


def _harm_index(pack: Path) -> None:
    pack.with_suffix(".idx").write_bytes(b"junk")


def _harm_end(pack: Path) -> None:
    pack.write_bytes(pack.read_bytes()[:-10])


@pytest.mark.parametrize("harm", [_harm_index, _harm_end])
def test_of_a_damaged_pack_all_is_taken_that_can_be_read(queue: Queue, harm: Callable[[Path], None]) -> None:
    queue.fill(pushed=0)
    git(queue.path, "gc", "--quiet")
    (pack,) = (queue.path / "objects/pack").glob("*.pack")
    for path in pack.parent.iterdir():
        path.chmod(0o600)
    harm(pack)
    queue.sink().rebuild()
    assert queue.sink().push(timeout=20) == Pushed((WEB,))
    assert queue.told() == [*range(COUNT)]


def test_what_lies_elsewhere_too_makes_a_queue_whole_again(queue: Queue, tmp_path: Path) -> None:
    queue.fill(pushed=0)
    head = git(queue.path, "rev-parse", WEB)
    for name in (f"runs/{RUN}.json", f"runs/{RUN}.log"):
        (tmp_path / Path(name).name).write_text(git(queue.path, "show", f"{WEB}:{name}"))
        oid = git(queue.path, "rev-parse", f"{WEB}:{name}")
        spoil(queue.path / "objects" / oid[:2] / oid[2:], "delete")
    copies = [tmp_path / f"{RUN}.json", tmp_path / f"{RUN}.log", tmp_path / "missing"]
    sink = ReportQueue(queue.path, str(queue.remote), Identity("web-01"), copies=lambda: copies)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert git(queue.remote, "rev-parse", WEB) == head


def test_a_rebuild_that_was_killed_at_its_end_is_taken_up(queue: Queue) -> None:
    queue.fill(pushed=0)
    head = git(queue.path, "rev-parse", WEB)
    queue.path.rename(queue.path.with_name("reports.git.rebuilt"))
    last = queue.sink().last(WEB)
    assert last is not None
    assert last.oid == head


def test_a_rebuild_that_the_file_system_refuses_leaves_the_queue(queue: Queue) -> None:
    queue.fill(pushed=0)
    head = git(queue.path, "rev-parse", WEB)
    (queue.path.parent / "reports.git.building").write_text("in the way")
    with pytest.raises(Stalled):
        queue.sink().rebuild()
    assert git(queue.path, "rev-parse", WEB) == head
