"""The report queue: committed first, pushed when possible, never lost, never forced."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled, Transient
from reconciler.gitops.report_branches import host_branch
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.ports.reports import Commit, NothingNew, Pushed, Queued, Stored
from tests.edge.gitops.bench import ENVIRONMENT, NOW, Repository, git, git_at_work, make_key

WEB = "hosts/web-01"
GUEST = "guests/web-01/101"
AWAY = "ssh://127.0.0.1:9/reports.git"


@pytest.fixture
def sink(tmp_path: Path, reports: Repository) -> ReportQueue:
    """The queue of host web-01, not made yet."""
    return ReportQueue(tmp_path / "state" / "reports.git", str(reports.path), Identity("web-01"))


def committed(
    sink: ReportQueue, branch: str = WEB, *, at: datetime = NOW, keep: int = 5, **files: str
) -> str:
    contents = {name.replace("_", "."): text.encode() for name, text in files.items()}
    answer = sink.commit(branch, contents, "report\n", at, keep_runs=keep)
    assert isinstance(answer, Commit)
    return answer.oid


def offline(sink: ReportQueue) -> ReportQueue:
    return ReportQueue(sink.queue, AWAY, Identity("web-01"))


def subjects(repository: Path, branch: str) -> list[str]:
    return git(repository, "log", "--format=%s", branch).splitlines()


def test_a_report_is_committed_with_fixed_identity_and_date(sink: ReportQueue) -> None:
    when = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
    oid = committed(sink, at=when, report_json="{}\n", report_md="# ok\n")
    shown = git(sink.queue, "log", "-1", "--format=%H|%an <%ae>|%cn <%ce>|%aI|%cI|%P|%G?", WEB)
    who = "patchledger on web-01 <web-01@web-01>"
    assert shown == f"{oid}|{who}|{who}|2026-11-22T03:04:05+00:00|2026-11-22T03:04:05+00:00||N"
    assert git(sink.queue, "ls-tree", "-r", "--name-only", WEB).split() == ["report.json", "report.md"]
    assert sink.last(WEB) == Stored(oid, when, b"{}\n")
    assert sink.last(WEB, "nothing.json") == Stored(oid, when, b"")


def test_files_merge_into_the_branch(sink: ReportQueue) -> None:
    first = committed(sink, report_json="1", observation_json="a")
    second = committed(sink, report_json="2")
    assert git(sink.queue, "rev-parse", f"{WEB}^") == first
    assert git(sink.queue, "show", f"{WEB}:observation.json") == "a"
    assert sink.commit(WEB, {"report.json": b"2"}, "same\n", NOW, keep_runs=5) == NothingNew(second)


def test_only_the_newest_runs_stay_in_the_tree(sink: ReportQueue) -> None:
    for day in range(10, 15):
        stem = f"runs/202611{day}T020000Z-0123456789ab"
        files = {f"{stem}.json": b"{}", f"{stem}.log": b"log", "report.json": b"%d" % day}
        assert isinstance(sink.commit(WEB, files, f"run {day}\n", NOW, keep_runs=3), Commit)
    names = git(sink.queue, "ls-tree", "-r", "--name-only", WEB).split()
    stems = [f"runs/202611{day}T020000Z-0123456789ab" for day in (12, 13, 14)]
    assert names == ["report.json"] + [f"{stem}.{suffix}" for stem in stems for suffix in ("json", "log")]
    assert git(sink.queue, "show", f"{WEB}~4:runs/20261110T020000Z-0123456789ab.log") == "log"


def run_commit(sink: ReportQueue, run: str, outcome: str, keep: int = 5) -> None:
    message = commit_message("a run", trailers={"Run": run})
    sink.commit(WEB, {f"runs/{run}.json": outcome.encode()}, message, NOW, keep_runs=keep)


def test_a_run_that_is_told_is_known_by_its_trailer(sink: ReportQueue) -> None:
    assert sink.record_of(WEB, "20261122T020000Z-a") is None
    run_commit(sink, "20261122T020000Z-a", "applied", keep=1)
    run_commit(sink, "20261122T030000Z-a", "failed", keep=1)
    # The first one is in the history alone; what only begins alike is another one.
    assert sink.record_of(WEB, "20261122T020000Z-a") == b"applied"
    assert sink.record_of(WEB, "20261122T030000Z-a") == b"failed"
    assert sink.record_of(WEB, "20261122T030000Z") is None
    sink.commit(WEB, {"report.json": b"{}"}, commit_message("x", {"Run": "bare"}), NOW, keep_runs=1)
    assert sink.record_of(WEB, "bare") == b""


def test_a_run_is_in_the_commit_that_tells_of_it_also_when_the_clock_went_back(sink: ReportQueue) -> None:
    run_commit(sink, "20261122T020000Z-a", "applied", keep=1)
    run_commit(sink, "19700101T000000Z-a", "failed", keep=1)
    assert sink.record_of(WEB, "19700101T000000Z-a") == b"failed"


def test_asking_for_a_run_rebuilds_a_damaged_queue(sink: ReportQueue, reports: Repository) -> None:
    run_commit(sink, "20261122T020000Z-a", "applied")
    sink.push(timeout=30)
    for path in (sink.queue / "objects").glob("*/*"):
        path.chmod(0o600)
        path.write_bytes(b"")
    assert sink.record_of(WEB, "20261122T020000Z-a") == b"applied"
    assert len(sink.notices) >= 1
    assert reports.path.exists()


@pytest.mark.parametrize("signed", ["", "signed"])
def test_a_commit_starts_at_most_three_processes(tmp_path: Path, signed: str) -> None:
    key = str(make_key(tmp_path / "key")) if signed else ""
    program = f"""
import sys
sys.path.insert(0, {str(Path.cwd())!r})
from datetime import UTC, datetime
from pathlib import Path
from reconciler.gitops.report_branches import host_branch
from reconciler.gitops.report_queue import Identity, ReportQueue
sink = ReportQueue(Path({str(tmp_path / "q")!r}), None, Identity("web-01", {key!r}))
now = datetime(2026, 11, 22, tzinfo=UTC)
sink.commit("hosts/web-01", {{"report.json": b"1"}}, "first", now, keep_runs=5)
started = []
sys.addaudithook(lambda event, args: started.append(args[1][1]) if event == "subprocess.Popen" else None)
sink.commit("hosts/web-01", {{"report.json": b"2"}}, "second", now, keep_runs=5)
print(*started)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = "ls-tree fast-import commit-tree" if signed else "ls-tree fast-import"
    assert done.stdout.strip() == expected


def test_a_signed_commit_verifies(tmp_path: Path, reports: Repository) -> None:
    key = make_key(tmp_path / "a key")
    sink = ReportQueue(tmp_path / "q", str(reports.path), Identity("web-01", str(key)))
    committed(sink, report_json="1")
    committed(sink, report_json="2")
    assert sink.push(timeout=20) == Pushed((WEB,))
    allowed = tmp_path / "allowed"
    allowed.write_text(f'web-01@web-01 namespaces="git" {key.with_suffix(".pub").read_text()}')
    for commit in (WEB, f"{WEB}^"):
        git(reports.path, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit)
    settings = ("-c", f"gpg.ssh.allowedSignersFile={allowed}")
    assert git(reports.path, *settings, "log", "-1", "--format=%G? %GS", WEB) == "G web-01@web-01"
    assert git(sink.queue, "show", f"{WEB}:report.json") == "2"


def test_a_heartbeat_is_a_commit_on_the_same_tree(sink: ReportQueue) -> None:
    first = committed(sink, report_json="1")
    beat = sink.commit(WEB, {}, "alive\n", NOW + timedelta(days=1), keep_runs=5, is_heartbeat=True)
    assert isinstance(beat, Commit)
    assert git(sink.queue, "rev-parse", f"{WEB}^") == first
    trees = git(sink.queue, "log", "--format=%T", WEB).split()
    assert len(trees) == len(["first", "alive"])
    assert len(set(trees)) == 1
    assert sink.last(WEB) == Stored(beat.oid, NOW + timedelta(days=1), b"1")


def test_a_signing_key_that_cannot_be_used_loses_nothing(tmp_path: Path, sink: ReportQueue) -> None:
    first = committed(sink, report_json="1")
    locked = tmp_path / "locked"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", str(locked)],
        check=True,
        env=ENVIRONMENT,
    )
    for key in (tmp_path / "missing", locked):
        signing = ReportQueue(sink.queue, None, Identity("web-01", str(key)))
        with pytest.raises(Misuse, match=r"signing key cannot be used|missing: No such file") as caught:
            signing.commit(WEB, {"report.json": b"2"}, "second\n", NOW, keep_runs=5)
        assert "reports.signing_key" in caught.value.message + caught.value.hint
    stored = sink.last(WEB)
    assert stored is not None
    assert stored.oid == first


def test_what_killed_gits_left_of_objects_goes(sink: ReportQueue) -> None:
    committed(sink, report_json="1")
    left = [sink.queue / "objects/pack/tmp_pack_BNyzrO", sink.queue / "objects/41/tmp_obj_7nrwzf"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half an object")
    with git_at_work(sink.queue):
        committed(sink, report_json="2")
        assert all(path.exists() for path in left)  # they may be of the one that lives
    committed(sink, report_json="3")
    assert not any(path.exists() for path in left)


def test_a_signing_key_of_somebody_else_signs_nothing(tmp_path: Path, sink: ReportQueue) -> None:
    key = make_key(tmp_path / "key")
    os.chown(key, 65534, -1)
    signing = ReportQueue(sink.queue, None, Identity("web-01", str(key)))
    with pytest.raises(Misuse, match=r"^reports\.signing_key: others can change"):
        signing.commit(WEB, {"report.json": b"1"}, "first\n", NOW, keep_runs=5)


LOCKS = [
    f"refs/heads/{WEB}.lock",
    f"refs/remotes/reports/{WEB}.lock",
    "refs/patchledger/staged.lock",
    "packed-refs.lock",
    "config.lock",
    "HEAD.lock",
    "shallow.lock",
    "objects/maintenance.lock",
]


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("signed", ["", "signed"])
def test_a_lock_of_a_git_that_is_dead_delays_nothing(
    tmp_path: Path, reports: Repository, signed: str, lock: str
) -> None:
    key = str(make_key(tmp_path / "key")) if signed else ""
    sink = ReportQueue(tmp_path / "q", str(reports.path), Identity("web-01", key))
    first = committed(sink, report_json="1")
    (sink.queue / lock).parent.mkdir(parents=True, exist_ok=True)
    (sink.queue / lock).write_text("")
    second = committed(sink, report_json="2")
    assert git(sink.queue, "rev-parse", f"{second}^") == first
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert reports.head(WEB) == second
    assert sink.unpushed() == ()


def test_a_lock_of_a_git_that_lives_is_left_and_its_process_named(sink: ReportQueue) -> None:
    committed(sink, report_json="1")
    lock = sink.queue / "refs/heads" / f"{WEB}.lock"
    lock.write_text("")
    with git_at_work(sink.queue) as pid, pytest.raises(Transient, match=f"process {pid}"):
        committed(sink, report_json="2")
    assert lock.exists()
    committed(sink, report_json="2")
    assert not lock.exists()


def test_a_queue_is_packed_although_nothing_is_pushed(tmp_path: Path) -> None:
    sink = ReportQueue(tmp_path / "q", None, Identity("web-01"))
    committed(sink, report_json="1")
    for number in range(120):
        (sink.queue / "objects/pack").mkdir(exist_ok=True)
        (sink.queue / "objects/pack" / f"counted-{number}").write_text("")
    (sink.queue / "gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    committed(sink, report_json="2")
    assert "packs: 1" in git(sink.queue, "count-objects", "-v").splitlines()


def test_all_branches_go_in_one_push(sink: ReportQueue, reports: Repository) -> None:
    committed(sink, report_json="1")
    committed(sink, GUEST, report_json="2")
    assert sink.unpushed() == (GUEST, WEB)
    assert sink.push(timeout=20) == Pushed((GUEST, WEB))
    assert sink.unpushed() == ()
    assert reports.show(f"{GUEST}:report.json") == "2"
    assert sink.push(timeout=20) == Pushed(())


def test_without_a_remote_reports_stay_here(tmp_path: Path) -> None:
    sink = ReportQueue(tmp_path / "q", None, Identity("web-01"))
    committed(sink, report_json="1")
    assert sink.push(timeout=20) == Pushed(())
    assert sink.unpushed() == (WEB,)


def test_offline_reports_wait_and_go_out_together_later(sink: ReportQueue, reports: Repository) -> None:
    away = offline(sink)
    committed(away, report_json="1")
    committed(away, report_json="2")
    answer = away.push(timeout=20)
    assert isinstance(answer, Queued)
    assert answer.branches == away.unpushed() == (WEB,)
    assert "cannot be reached" in answer.problem.message
    assert sink.push([WEB], timeout=20) == Pushed((WEB,))
    assert len(subjects(reports.path, WEB)) == 2


def test_a_lost_queue_builds_on_what_was_pushed(sink: ReportQueue, reports: Repository) -> None:
    first = committed(sink, report_json="1", observation_json="a")
    sink.push(timeout=20)
    shutil.rmtree(sink.queue)
    again = ReportQueue(sink.queue, str(reports.path), Identity("web-01"))
    stored = again.last(WEB)
    assert stored == Stored(first, NOW, b"1")
    assert "another machine has its id" in again.notices[0]
    committed(again, report_json="2")
    assert again.push(timeout=20) == Pushed((WEB,))
    assert git(reports.path, "rev-parse", f"{WEB}^") == first
    assert reports.show(f"{WEB}:observation.json") == "a"


def test_a_queue_lost_while_offline_is_joined_with_what_was_pushed(
    sink: ReportQueue, reports: Repository
) -> None:
    first = committed(sink, report_json="1")
    sink.push(timeout=20)
    shutil.rmtree(sink.queue)
    committed(offline(sink), report_json="2")
    again = ReportQueue(sink.queue, str(reports.path), Identity("web-01"))
    assert again.push(timeout=20) == Pushed((WEB,))
    assert reports.show(f"{WEB}:report.json") == "2"
    assert git(reports.path, "rev-parse", f"{WEB}^1") == first
    assert "another machine has its id" in again.notices[0]
    assert len(subjects(reports.path, WEB)) == 3


@pytest.mark.parametrize("signed", ["", "signed"])
def test_a_join_keeps_the_newest_runs_of_both_sides(tmp_path: Path, reports: Repository, signed: str) -> None:
    key = str(make_key(tmp_path / "key")) if signed else ""
    sink = ReportQueue(tmp_path / "q", str(reports.path), Identity("web-01", key))
    for number in range(1, 4):
        files = {f"runs/{number}.json": b"theirs", "report.json": b"%d" % number}
        sink.commit(WEB, files, "run\n", NOW, keep_runs=3)
    sink.push(timeout=20)
    shutil.rmtree(sink.queue)
    away = ReportQueue(sink.queue, AWAY, Identity("web-01", key))
    for number in (3, 4):
        files = {f"runs/{number}.json": b"ours", "report.json": b"9%d" % number}
        away.commit(WEB, files, "run\n", NOW, keep_runs=3)
    again = ReportQueue(sink.queue, str(reports.path), Identity("web-01", key))
    again.commit(WEB, {"report.json": b"99"}, "later\n", NOW, keep_runs=3)
    assert again.push(timeout=20) == Pushed((WEB,))
    names = git(reports.path, "ls-tree", "-r", "--name-only", WEB).split()
    assert names == ["report.json", "runs/2.json", "runs/3.json", "runs/4.json"]
    assert reports.show(f"{WEB}:runs/3.json") == "theirs", "what was pushed never changes"
    assert reports.show(f"{WEB}:report.json") == "99"
    theirs = git(reports.path, "rev-parse", f"{WEB}^1")
    assert git(reports.path, "log", "-1", "--format=%(trailers:key=Rejoined,valueonly)", WEB) == theirs


def test_a_second_writer_is_told_and_nothing_is_overwritten(
    sink: ReportQueue, reports: Repository, tmp_path: Path
) -> None:
    committed(sink, report_json="1")
    sink.push(timeout=20)
    clone = ReportQueue(tmp_path / "clone.git", str(reports.path), Identity("web-01"))
    theirs = committed(clone, report_json="from the clone")
    clone.push(timeout=20)
    committed(sink, report_json="2")
    committed(sink, GUEST, report_json="3")
    with pytest.raises(Stalled, match="another machine writes this branch too") as caught:
        sink.push(timeout=20)
    assert WEB in caught.value.message
    assert "its own host id" in caught.value.hint
    assert reports.head(WEB) == theirs
    assert reports.show(f"{GUEST}:report.json") == "3", "the other branch went out"
    assert sink.unpushed() == (WEB,)
    assert git(sink.queue, "show", f"{WEB}:report.json") == "2"


def test_a_restored_host_can_be_joined_by_hand(
    sink: ReportQueue, reports: Repository, tmp_path: Path
) -> None:
    committed(sink, report_json="1")
    sink.push(timeout=20)
    shutil.copytree(sink.queue, tmp_path / "backup")
    committed(sink, report_json="2")
    sink.push(timeout=20)
    shutil.rmtree(sink.queue)
    shutil.copytree(tmp_path / "backup", sink.queue)
    committed(sink, report_json="3")
    with pytest.raises(Stalled, match="restored from a backup"):
        sink.push(timeout=20)
    joined = sink.join(WEB, timeout=20)
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert reports.head(WEB) == joined
    assert reports.show(f"{WEB}:report.json") == "3"
    assert sink.join(WEB, timeout=20) == joined


def test_the_policy_commits_of_a_whole_branch_are_told_newest_first(
    sink: ReportQueue, reports: Repository
) -> None:
    assert list(sink.policy_commits(WEB)) == []
    named = ["a" * 40, "b" * 40, "b" * 40, "none\nof these", "c" * 40, "b" * 40]
    for number, oid in enumerate(named):
        message = commit_message("report", trailers={"Policy-Commit": oid})
        at = NOW - timedelta(days=number)  # a clock that jumps back changes nothing
        sink.commit(WEB, {"report.json": b"%d" % number}, message, at, keep_runs=5)
    assert list(sink.policy_commits(WEB)) == ["b" * 40, "c" * 40, "a" * 40]
    sink.push(timeout=20)
    reports.commit({"report.json": "9"}, branch=WEB, subject="theirs\n\nPolicy-Commit: " + "d" * 40)
    shutil.rmtree(sink.queue)
    again = ReportQueue(sink.queue, str(reports.path), Identity("web-01"))
    assert list(again.policy_commits(WEB)) == ["d" * 40, "b" * 40, "c" * 40, "a" * 40]


def test_what_a_servers_hook_says_is_shown_in_one_redacted_line(
    sink: ReportQueue, reports: Repository
) -> None:
    hook = reports.path / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'DENY web-01: see https://u:secret@h/x' >&2\necho more >&2\nexit 1\n")
    hook.chmod(0o755)
    committed(sink, report_json="1")
    with pytest.raises(Stalled, match="the server refused") as caught:
        sink.push(timeout=20)
    assert "DENY web-01: see https://***@h/x; more" in caught.value.message
    assert "pre-receive hook declined" in caught.value.message
    assert sink.unpushed() == (WEB,)


def test_a_wrong_remote_is_stalled(sink: ReportQueue, tmp_path: Path) -> None:
    committed(sink, report_json="1")
    wrong = ReportQueue(sink.queue, str(tmp_path / "nowhere"), Identity("web-01"))
    with pytest.raises(Stalled, match="no such git repository"):
        wrong.push(timeout=20)


def _delete_head(queue: Path) -> None:
    (queue / "HEAD").unlink()


def _garbage_guest_ref(queue: Path) -> None:
    (queue / "refs/heads" / GUEST).write_text("nonsense")


def _garbage_config(queue: Path) -> None:
    (queue / "config").write_text("[core\n")


@pytest.mark.parametrize("harm", [_delete_head, _garbage_config])
def test_a_damaged_queue_is_rebuilt_with_its_unpushed_reports(
    sink: ReportQueue, reports: Repository, harm: Callable[[Path], None]
) -> None:
    committed(sink, report_json="1")
    sink.push(timeout=20)
    unpushed = committed(sink, report_json="2")
    harm(sink.queue)
    committed(sink, report_json="3")
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert reports.show(f"{WEB}:report.json") == "3"
    assert git(reports.path, "rev-parse", f"{WEB}^") == unpushed
    assert "reports.git.broken-1; no report was lost" in sink.notices[0]
    assert sink.queue.with_name("reports.git.broken-1").is_dir()


def test_a_damaged_branch_does_not_take_another_ones_unpushed_reports_with_it(
    sink: ReportQueue, reports: Repository
) -> None:
    committed(sink, report_json="1")
    committed(sink, GUEST, report_json="1")
    sink.push(timeout=20)
    unpushed = committed(sink, report_json="2")
    _garbage_guest_ref(sink.queue)
    committed(sink, GUEST, report_json="3")
    assert sink.push(timeout=20) == Pushed((GUEST, WEB))
    assert reports.head(WEB) == unpushed
    assert reports.show(f"{GUEST}~1:report.json") == "1"
    assert GUEST in sink.notices[0]


def test_truncated_objects_of_pushed_reports_lose_nothing(sink: ReportQueue, reports: Repository) -> None:
    committed(sink, report_json="1")
    sink.push(timeout=20)
    old = {path for path in (sink.queue / "objects").rglob("*") if path.is_file()}
    unpushed = committed(sink, report_json="2")
    for path in old:
        path.chmod(0o644)
        path.write_bytes(b"x")
    sink.rebuild()
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert reports.head(WEB) == unpushed
    assert "no report was lost" in sink.notices[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    assert os.geteuid() == 0, "this test needs root, to mount a small file system"
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("signed", ["", "signed"])
def test_a_full_disk_is_said_and_loses_nothing(
    small_disk: Path, tmp_path: Path, reports: Repository, signed: str
) -> None:
    key = str(make_key(tmp_path / "key")) if signed else ""
    sink = ReportQueue(small_disk / "q", str(reports.path), Identity("web-01", key))
    first = committed(sink, report_json="1")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 100 * 1024)
    with pytest.raises(Stalled, match="disk is full") as caught:
        sink.commit(WEB, {"report.json": os.urandom(2_000_000)}, "big\n", NOW, keep_runs=5)
    assert "free space" in caught.value.hint
    assert caught.value.message.count("\n") == 0
    filler.unlink()
    stored = sink.last(WEB)
    assert stored is not None
    assert stored.oid == first
    committed(sink, report_json="2")
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert sink.notices == ()
    git(sink.queue, "fsck", "--strict")


def test_a_server_that_is_full_is_tried_again(small_disk: Path, tmp_path: Path) -> None:
    server = Repository.create(small_disk / "reports.git")
    sink = ReportQueue(tmp_path / "q", str(server.path), Identity("web-01"))
    committed(sink, report_json="1")
    sink.commit(WEB, {"report.md": os.urandom(2_000_000)}, "big\n", NOW, keep_runs=5)
    answer = sink.push(timeout=20)
    assert isinstance(answer, Queued)
    assert "the server refused" in answer.problem.message
    assert "tried again" in answer.problem.hint
    assert sink.rebuilds == 0


@pytest.mark.parametrize(
    "host", ["", "Web", "-x", ".x", "a..b", "a.lock", "a/b", "a b", "a\n", "x" * 64, "a.", "é", "a~1"]
)
def test_ids_that_are_no_branch_are_refused(host: str) -> None:
    with pytest.raises(Misuse, match="no host or guest id"):
        host_branch(host)


def test_ids_become_branches(sink: ReportQueue) -> None:
    assert host_branch("web-01.example.org") == "hosts/web-01.example.org"
    with pytest.raises(Misuse, match="no report branch"):
        sink.last("fleet")


@pytest.mark.parametrize("path", ["../x", "/x", ".git/config", "a//b", "a b", "a\nM 100644 inline b", ""])
def test_paths_that_are_no_reports_are_a_bug(sink: ReportQueue, path: str) -> None:
    with pytest.raises(ValueError, match="is no path of a report"):
        sink.commit(WEB, {path: b""}, "x\n", NOW, keep_runs=5)


def test_trailers_cannot_be_broken_by_their_values(sink: ReportQueue) -> None:
    trailers = {"Host": "web-01\nOutcome: applied", "Run": "", "Plan": "a\r\n\r\nPolicy-Commit: evil\x1b"}
    message = commit_message("two\nlines", trailers)
    sink.commit(WEB, {"report.json": b"1"}, message, NOW, keep_runs=5)
    assert git(sink.queue, "log", "-1", "--format=%s", WEB) == "two lines"
    parsed = git(sink.queue, "log", "-1", "--format=%(trailers:only,unfold)", WEB).splitlines()
    assert [line.rstrip() for line in parsed] == [
        "Host: web-01 Outcome: applied",
        "Run:",
        "Plan: a Policy-Commit: evil\\u{1b}",
    ]
    with pytest.raises(ValueError, match="no key of a trailer"):
        commit_message("x", {"Host: x\nRun": "1"})


def test_what_another_wrote_into_our_branch_is_read_within_bounds(
    tmp_path: Path, reports: Repository
) -> None:
    """A new queue continues what it finds; dates beyond the calendar and huge reports are no obstacle."""
    branch = host_branch("web-01")
    reports.commit({"report.json": "[" * 1000}, branch=branch)
    forged = reports.forge("999999999999999", branch=branch)
    sink = ReportQueue(tmp_path / "queue", f"file://{reports.path}", Identity("web-01"))
    last = sink.last(branch)
    assert last is not None
    assert (last.oid, last.when.year, len(last.data)) == (forged, 9000, 1000)
    assert isinstance(sink.commit(branch, {"report.json": b"{}"}, "mine\n", NOW, keep_runs=5), Commit)
    assert sink.push(timeout=20) == Pushed((branch,))


def test_a_report_larger_than_any_counts_as_none(tmp_path: Path) -> None:
    sink = ReportQueue(tmp_path / "queue", None, Identity("web-01"))
    branch = host_branch("web-01")
    sink.commit(branch, {"report.json": b"0" * (65 * 1024 * 1024)}, "huge\n", NOW, keep_runs=5)
    last = sink.last(branch)
    assert last is not None
    assert last.data == b""


def test_a_queue_that_cannot_be_pushed_since_it_is_damaged_is_rebuilt(
    sink: ReportQueue, reports: Repository
) -> None:
    committed(sink, report_json="1")
    sink.push(timeout=20)
    committed(sink, report_json="2")
    blob = git(sink.queue, "rev-parse", f"{WEB}:report.json")
    spoilt = sink.queue / "objects" / blob[:2] / blob[2:]
    spoilt.chmod(0o644)
    spoilt.write_bytes(b"junk")
    sink.push(timeout=20)
    committed(sink, report_json="3")
    assert sink.push(timeout=20) == Pushed((WEB,))
    assert reports.show(f"{WEB}:report.json") == "3"
    assert any("damaged" in notice for notice in sink.notices)
