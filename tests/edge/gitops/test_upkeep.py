"""What nobody needs just now is damaged: the next tick notices, and reports keep their commits."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.gitops import second_copy
from reconciler.gitops.git import Git
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.seal import Seals
from reconciler.gitops.upkeep import Upkeep
from reconciler.reconcile.ports.policies import Fetched
from reconciler.reconcile.ports.reports import Pushed
from tests.edge.gitops.bench import NOW, Repository, git
from tests.edge.gitops.queues import COUNT, WAYS, WEB, Queue, spoil, with_git


class Host:
    """A host with a fetched policy and reports that are partly pushed; each ``upkeep`` is one tick's."""

    def __init__(self, folder: Path, upstream: Repository, reports: Repository) -> None:
        self.state = folder / "state"
        self.upstream = upstream
        self.queue = Queue(folder, reports.path)
        self.away = f"file://{folder}/nowhere.git"

    def source(self, remote: str | None = None) -> PolicyMirror:
        return PolicyMirror(self.state / "policy.git", remote or f"file://{self.upstream.path}", "main")

    def upkeep(self, *, away: bool = False, boot: str = "first") -> Upkeep:
        sink = self.queue.sink(is_away=away)
        return Upkeep(
            self.source(self.away if away else None), sink, Seals(self.state / "seals.json", boot=boot)
        )

    def settle(self, *, pushed: int) -> None:
        assert isinstance(self.source().fetch(timeout=20, now=NOW), Fetched)
        self.source().accept(self.upstream.head())
        self.queue.fill(pushed=pushed)
        self.tick()

    def tick(self, *, away: bool = False, boot: str = "first") -> Upkeep:
        """Do what every tick does for its repositories."""
        upkeep = self.upkeep(away=away, boot=boot)
        upkeep.begin(timeout=20, now=NOW)
        upkeep.end()
        return upkeep

    def files(self, name: str) -> list[Path]:
        return sorted(path for path in (self.state / name).rglob("*") if path.is_file())

    @property
    def copy(self) -> Path:
        return self.state / "reports.unpushed"

    @property
    def is_sound(self) -> bool:
        return all(_is_sound(self.state / name) for name in ("policy.git", "reports.git"))

    def head(self) -> str:
        return git(self.queue.path, "rev-parse", WEB)


class Keeper:
    """Brings the state folder of a host back to what it was, sealed as its last tick left it."""

    def __init__(self, host: Host, whole: Path) -> None:
        self.host, self.whole = host, whole
        shutil.copytree(host.state, whole)
        self.restore()

    def restore(self) -> None:
        shutil.rmtree(self.host.state)
        shutil.copytree(self.whole, self.host.state)
        self.host.tick()


def _is_sound(repository: Path) -> bool:
    asked = ["git", "-C", str(repository), "fsck", "--no-dangling", "--no-progress"]
    return not subprocess.run(asked, capture_output=True, check=False).returncode


@pytest.fixture
def host(tmp_path: Path, upstream: Repository, reports: Repository) -> Host:
    return Host(tmp_path, upstream, reports)


# --- Damage that nothing reads ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["policy.git", "reports.git"])
def test_the_next_tick_notices_whatever_was_damaged(host: Host, tmp_path: Path, name: str, way: str) -> None:
    host.settle(pushed=COUNT)
    git(host.state / name, "repack", "-adq")
    keeper = Keeper(host, tmp_path / "whole")
    # What each fetch writes anew, and what says nothing that git needs, is not looked at.
    others = {"main", "patchledger-floor", "patchledger-fetched", "config", "packs"}
    files = [path for path in host.files(name) if path.name not in others]
    assert {path.suffix for path in files} >= {".pack", ".idx"}
    for path in files:
        spoil(path, way)
        host.tick()
        assert host.is_sound, path
        assert host.source().head() == host.upstream.head(), path
        keeper.restore()


@pytest.mark.parametrize("way", WAYS)
def test_reports_that_were_not_pushed_keep_their_commits(host: Host, tmp_path: Path, way: str) -> None:
    host.settle(pushed=COUNT - 2)
    head = host.head()
    keeper = Keeper(host, tmp_path / "whole")
    lacking = [path for path in host.queue.objects() if not host.queue.remote_has(path)]
    assert len(lacking) > 6
    for path in lacking:
        spoil(path, way)
        upkeep = host.tick()
        assert (host.head(), host.is_sound) == (head, True), path
        assert "no report was lost" in upkeep.queue.notices[0]
        keeper.restore()
    assert host.tick().queue.push(timeout=20) == Pushed((WEB,))
    assert host.queue.told() == [*range(COUNT)]


@pytest.mark.parametrize("way", WAYS)
def test_without_a_report_remote_they_keep_them_too(host: Host, way: str) -> None:
    host.queue.fill(pushed=0)
    head = host.head()
    identity, seals = Identity("web-01"), Seals(host.state / "seals.json")
    Upkeep(host.source(), ReportQueue(host.queue.path, None, identity), seals).end()
    spoil(host.queue.objects()[0], way)
    Upkeep(host.source(), ReportQueue(host.queue.path, None, identity), seals).begin(timeout=20, now=NOW)
    assert (host.head(), _is_sound(host.queue.path)) == (head, True)


def test_a_reader_that_meets_the_damage_first_takes_from_the_copy_as_well(host: Host) -> None:
    host.settle(pushed=1)
    head = host.head()
    spoil(host.queue.path / "objects" / head[:2] / head[2:], "flip")
    sink = host.queue.sink()
    last = sink.last(WEB)
    assert last is not None
    assert (last.oid, sink.rebuilds) == (head, 1)


@pytest.mark.parametrize("away", [False, True])
def test_a_queue_that_is_gone_is_made_of_the_copy(host: Host, *, away: bool) -> None:
    host.settle(pushed=1)
    head, report = host.head(), git(host.queue.path, "show", f"{WEB}:report.json")
    shutil.rmtree(host.queue.path)
    last = host.queue.sink(is_away=away).last(WEB)
    assert last is not None
    assert last.data.decode() == report
    if not away:  # else what lies below the copy is not known, so that commits are made again
        assert last.oid == head
    assert host.queue.sink().push(timeout=20) == Pushed((WEB,))
    assert host.queue.told() == [*range(COUNT)]


def test_what_only_the_remote_may_have_is_waited_for(host: Host) -> None:
    host.settle(pushed=2)
    head = host.head()
    first = git(host.queue.path, "rev-list", WEB).split()[-1]
    spoil(host.queue.path / "objects" / first[:2] / first[2:], "delete")
    for _ in range(2):
        upkeep = host.tick(away=True)
        assert host.head() == head
        assert any("is away" in said for said in upkeep.notices)
    assert not list(host.state.glob("reports.git.b*"))
    assert host.tick().notices == ()
    assert (host.head(), host.is_sound) == (head, True)


def test_a_rebuild_that_was_killed_near_its_end_is_made_again(host: Host) -> None:
    host.settle(pushed=1)
    head = host.head()
    shutil.copytree(host.queue.path, host.state / "reports.git.rebuilt")
    spoil(host.queue.objects()[0], "flip")
    assert host.tick().notices == ()
    assert (host.head(), host.is_sound) == (head, True)
    assert not (host.state / "reports.git.rebuilt").exists()


@pytest.mark.parametrize("name", ["policy.git.rebuilt", "reports.git.rebuilt", "reports.git.building"])
def test_a_file_system_that_refuses_a_rebuild_ends_no_tick(host: Host, name: str) -> None:
    host.settle(pushed=1)
    head = host.head()
    repository = name.rpartition(".")[0]
    (host.state / name).write_text("in the way")
    spoil(next(path for path in host.files(repository) if path.parent.parent.name == "objects"), "zero")
    for _ in range(2):
        assert "could not be built anew" in host.tick().notices[0]
    (host.state / name).unlink()
    assert host.tick().notices == ()
    assert (host.head(), host.is_sound) == (head, True)


def test_a_damaged_mirror_waits_for_its_remote(host: Host) -> None:
    host.upstream.commit({"policies/all.yaml": "kind: Policy\nname: all\n", "README.md": "new\n"})
    host.settle(pushed=COUNT)
    spoil(next(path for path in host.files("policy.git") if path.parent.parent.name == "objects"), "zero")
    assert "could not be built anew" in host.tick(away=True).notices[0]
    assert not host.is_sound
    assert host.tick().notices == ()
    assert host.is_sound


# --- The seal -----------------------------------------------------------------------------------------------


def looks(host: Host, touch: Callable[[], object]) -> bool:
    """Say whether the next tick looks through the queue after something was done to it."""
    touch()
    return not Seals(host.state / "seals.json", boot="first").holds(host.queue.path)


def test_what_nobody_touched_is_not_looked_through(host: Host) -> None:
    host.settle(pushed=1)
    path = host.queue.objects()[0]
    assert not looks(host, lambda: None)
    assert not looks(host, lambda: (path.parent / "new").write_text("added"))
    assert looks(host, lambda: path.chmod(0o600))
    host.tick()
    assert not looks(host, lambda: None)


def test_a_fetch_breaks_no_seal(host: Host) -> None:
    host.settle(pushed=1)
    host.upstream.commit({"policies/all.yaml": "kind: Policy\nname: all\n", "README.md": "new\n"})
    source = host.source()
    assert isinstance(source.fetch(timeout=20, now=NOW), Fetched)
    assert Seals(host.state / "seals.json", boot="first").holds(source.mirror, source.tracking)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format": 1, "boot": "first", "seals": 3}'])
def test_without_a_seal_all_is_looked_through(host: Host, content: bytes | None) -> None:
    host.settle(pushed=COUNT)
    file = host.state / "seals.json"
    file.unlink() if content is None else file.write_bytes(content)
    assert looks(host, lambda: None)
    host.tick()
    assert not looks(host, lambda: None)


def test_after_a_boot_all_is_looked_through_once(host: Host) -> None:
    host.settle(pushed=1)
    host.tick(boot="second")
    assert looks(host, lambda: None)
    assert Seals(host.state / "seals.json", boot="second").holds(host.queue.path)


def test_what_git_could_not_look_through_gets_no_seal(host: Host, tmp_path: Path) -> None:
    host.settle(pushed=1)
    spoil(host.queue.objects()[0], "flip")
    host.queue.options = with_git(tmp_path / "bin", 'if [ "$1" = fsck ]; then kill -9 $$; fi')
    assert "could not be looked through" in host.tick().notices[0]
    host.queue.options = None
    assert "no report was lost" in host.tick().queue.notices[0]
    assert host.is_sound


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["policy.git", "reports.git"])
def test_what_is_damaged_during_a_tick_gets_no_seal(host: Host, name: str, way: str) -> None:
    host.settle(pushed=COUNT)
    upkeep = host.upkeep()
    upkeep.begin(timeout=20, now=NOW)
    spoil(next(path for path in host.files(name) if path.parent.parent.name == "objects"), way)
    upkeep.end()
    host.tick()
    assert host.is_sound


def test_what_a_tick_writes_itself_is_sealed(host: Host) -> None:
    host.settle(pushed=1)
    upkeep = host.upkeep()
    upkeep.begin(timeout=20, now=NOW)
    for number in range(2):
        host.queue.report(upkeep.queue, COUNT + number)  # the tree of the runs is the same in both
    assert upkeep.queue.push(timeout=20) == Pushed((WEB,))
    upkeep.end()
    assert not looks(host, lambda: None)


def test_a_full_disk_keeps_the_seals_of_before(host: Host) -> None:
    host.settle(pushed=1)
    before = (host.state / "seals.json").read_bytes()
    (host.state / ".seals.json.new").mkdir()
    host.queue.report(host.queue.sink(is_away=True), COUNT)
    host.tick()
    assert (host.state / "seals.json").read_bytes() == before


def test_what_is_not_there_has_no_seal(host: Host) -> None:
    host.settle(pushed=COUNT)
    assert not host.copy.exists()
    host.copy.mkdir()
    (host.copy / "pack-1.pack").write_text("anything")
    assert not Seals(host.state / "seals.json", boot="first").holds(host.copy)


def test_a_copy_that_was_begun_by_a_killed_tick_is_not_trusted(host: Host) -> None:
    host.settle(pushed=COUNT)
    seals = (host.state / "seals.json").read_bytes()
    host.queue.report(host.queue.sink(is_away=True), COUNT)
    host.upkeep(away=True).end()
    (host.state / "seals.json").write_bytes(seals)
    spoil(next(host.copy.glob("*.pack")), "zero")
    host.tick(away=True)
    git(host.copy, "verify-pack", str(next(host.copy.glob("*.idx"))))


# --- The copy -----------------------------------------------------------------------------------------------


def test_the_copy_ends_with_the_last_report_that_was_pushed(host: Host, tmp_path: Path) -> None:
    host.settle(pushed=2)
    fresh = Git(tmp_path / "fresh.git")
    git(tmp_path, "init", "-q", "--bare", str(fresh.git_dir))
    assert second_copy.take_back(fresh, host.queue.path)
    oids = git(host.queue.path, "rev-list", WEB).split()
    there = git(fresh.git_dir, "cat-file", "--batch-all-objects", "--batch-check").split()
    assert [oid in there for oid in oids] == [True, True, True, False]
    for oid in oids[:3]:
        git(fresh.git_dir, "ls-tree", "-r", oid)
    assert host.copy.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("back", [None, 2])
def test_the_copy_reaches_further_down_when_the_remote_has_lost_reports(host: Host, back: int | None) -> None:
    host.settle(pushed=3)
    older = [] if back is None else [git(host.queue.remote, "rev-parse", f"{WEB}~{back}")]
    git(host.queue.remote, "update-ref", *([] if older else ["-d"]), f"refs/heads/{WEB}", *older)
    assert host.queue.sink().standing(WEB, timeout=20, ask=True) is None
    host.tick(away=True)
    head = host.head()
    shutil.rmtree(host.queue.path)
    last = host.queue.sink().last(WEB)
    assert last is not None
    assert last.oid == head
    assert host.queue.sink().push(timeout=20) == Pushed((WEB,))
    assert host.queue.told() == [*range(COUNT)]


def test_the_copy_goes_when_all_was_pushed(host: Host) -> None:
    host.settle(pushed=1)
    assert host.copy.is_dir()
    assert host.upkeep().queue.push(timeout=20) == Pushed((WEB,))
    host.tick()
    assert not host.copy.exists()


def test_the_copy_grows_and_is_made_again_when_it_has_many_parts(host: Host) -> None:
    host.settle(pushed=1)
    counts = []
    for number in range(14):
        host.queue.report(host.queue.sink(is_away=True), COUNT + number)
        host.tick(away=True)
        counts.append(len(list(host.copy.glob("*.pack"))))
    assert counts[:3] == [2, 3, 4]
    assert max(counts) == 12
    assert counts[-1] == 3
    head = host.head()
    shutil.rmtree(host.queue.path)
    last = host.queue.sink().last(WEB)
    assert last is not None
    assert last.oid == head


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_copy_is_written_anew_and_costs_nothing_else(host: Host, way: str) -> None:
    host.settle(pushed=1)
    names = {path.name for path in host.copy.iterdir()}
    for name in sorted(names):
        spoil(host.copy / name, way)
        upkeep = host.tick(away=True)
        assert upkeep.queue.rebuilds == 0
        assert {path.name for path in host.copy.iterdir()} == names
        git(host.copy, "verify-pack", str(next(host.copy.glob("*.idx"))))


def test_a_copy_whose_writer_was_killed_at_its_end_counts(host: Host) -> None:
    host.settle(pushed=1)
    head = host.head()
    host.copy.rename(host.copy.with_name("reports.unpushed.new"))
    spoil(host.queue.path / "objects" / head[:2] / head[2:], "delete")
    host.tick()
    assert (host.head(), host.is_sound) == (head, True)
    assert not host.copy.with_name("reports.unpushed.new").exists()


def test_a_copy_that_cannot_be_written_leaves_the_old_one_and_the_queue_unsealed(host: Host) -> None:
    host.settle(pushed=1)
    before = host.files("reports.unpushed")
    host.queue.report(host.queue.sink(is_away=True), COUNT)
    tip = host.head()
    spoil(host.queue.path / "objects" / tip[:2] / tip[2:], "zero")
    host.upkeep(away=True).end()
    assert host.files("reports.unpushed") == before
    assert looks(host, lambda: None)
