"""The policy mirror: forward only, offline, damaged, empty, and cheap."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Misuse, Stalled, Transient
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.revision import read_accepted
from reconciler.reconcile.ports.policies import (
    Acceptance,
    Advanced,
    CommitInfo,
    Fetched,
    FirstUse,
    Offline,
    Rewritten,
    Unchanged,
)
from tests.edge.gitops.bench import ENVIRONMENT, NOW, Repository, git, git_at_work
from tests.edge.gitops.conftest import POLICY

LATER = NOW + timedelta(hours=3)


def fetched(source: PolicyMirror) -> str:
    answer = source.fetch(timeout=20, now=NOW)
    assert isinstance(answer, Fetched)
    return answer.head


def test_the_first_fetch_makes_the_mirror_and_the_next_sees_no_change(
    source: PolicyMirror, upstream: Repository
) -> None:
    assert source.fetch(timeout=20, now=NOW) == Fetched(upstream.head())
    assert source.fetch(timeout=20, now=LATER) == Fetched(upstream.head())
    assert source.fetched_at() == LATER


def test_a_new_commit_is_seen(source: PolicyMirror, upstream: Repository) -> None:
    fetched(source)
    new = upstream.commit({**POLICY, "policies/more.yaml": "kind: Policy\n"})
    assert source.fetch(timeout=20, now=NOW) == Fetched(new)


def test_the_head_is_found_in_packed_refs(source: PolicyMirror, upstream: Repository) -> None:
    fetched(source)
    git(source.mirror, "pack-refs", "--all")
    assert source.head() == upstream.head()
    assert source.fetch(timeout=20, now=NOW) == Fetched(upstream.head())


def test_only_the_configured_branch_is_fetched(source: PolicyMirror, upstream: Repository) -> None:
    upstream.commit(POLICY, branch="other")
    git(upstream.path, "tag", "v1", "main")
    fetched(source)
    assert git(source.mirror, "for-each-ref", "--format=%(refname)") == "refs/remotes/policy/main"


def test_a_fetch_with_nothing_new_starts_one_child(source: PolicyMirror, upstream: Repository) -> None:
    fetched(source)
    program = f"""
import sys
from collections.abc import Callable
from datetime import datetime, UTC
from pathlib import Path
started = []
sys.addaudithook(lambda event, args: started.append(event) if event in {{
    "subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system"}} else None)
from reconciler.gitops.policy_mirror import PolicyMirror
source = PolicyMirror(Path({str(source.mirror)!r}), {f"file://{upstream.path}"!r})
answer = source.fetch(timeout=20, now=datetime.now(UTC))
assert answer.head == source.head()
assert started == ["subprocess.Popen"], started
heavy = {{"git", "pydantic", "yaml", "apprise", "shutil", "email", "logging", "json", "tempfile"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "[]"


def test_ten_thousand_refs_on_the_server_cost_a_fetch_nothing(
    source: PolicyMirror, upstream: Repository, tmp_path: Path
) -> None:
    head = upstream.head()
    rows = "".join(f"{head} refs/heads/hosts/h{number:05}\n" for number in range(10_000))
    (upstream.path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{rows}")
    fetched(source)
    trace = tmp_path / "trace"
    argv, env = source.invocation()
    subprocess.run(argv, check=True, env={**ENVIRONMENT, **env, "GIT_TRACE_PACKET": str(trace)})
    traced = [line for line in trace.read_text().splitlines() if "fetch<" in line and " refs/" in line]
    assert 1 <= len(traced) <= 20


def test_the_invocation_fetches_without_this_module(source: PolicyMirror, upstream: Repository) -> None:
    fetched(source)
    new = upstream.commit({"policies/b.yaml": "b"})
    argv, env = source.invocation()
    subprocess.run(argv, check=True, env={"PATH": ENVIRONMENT["PATH"], **env})
    assert (source.mirror / source.tracking).read_text().strip() == new
    assert source.stamp.stat().st_mtime == NOW.timestamp()


def test_the_invocation_holds_no_secret(tmp_path: Path) -> None:
    credential = tmp_path / "credential"
    credential.write_text("t0ken-in-file")
    credential.chmod(0o600)
    options = GitAccess(
        credential=str(credential),
        environment={"https_proxy": "http://u:proxy-secret@p:1", "no_proxy": "localhost"},
    )
    address = "https://u:url-secret@h/p.git"
    for chosen in (options, GitAccess()):
        _, env = PolicyMirror(tmp_path / "m", address, options=chosen).invocation()
        for secret in ("t0ken", "proxy-secret", "url-secret"):
            assert secret not in repr(env)
    assert PolicyMirror(tmp_path / "m", address, options=options).invocation()[1]["no_proxy"] == "localhost"


def test_a_name_that_is_a_token_is_a_secret_as_well(tmp_path: Path) -> None:
    _, env = PolicyMirror(tmp_path / "m", "https://t0ken@h/p.git").invocation()
    assert "t0ken" not in repr(env)


def test_nothing_accepted_yet_is_first_use(source: PolicyMirror) -> None:
    head = fetched(source)
    assert source.succession(head) == FirstUse(head)


def test_acceptance_is_remembered_by_the_mirror_and_by_the_caller(source: PolicyMirror) -> None:
    head = fetched(source)
    acceptance = source.accept(head)
    assert acceptance == Acceptance(head, "") == source.accepted()
    assert source.succession(head) == source.succession(head, acceptance) == Unchanged(head)


def test_new_commits_are_listed_oldest_first_along_the_first_parents(
    source: PolicyMirror, upstream: Repository
) -> None:
    first = fetched(source)
    source.accept(first)
    side = upstream.commit({"policies/side.yaml": "x"}, branch="side", parents=(first,))
    second = upstream.commit({"policies/b.yaml": "b"})
    third = upstream.commit({"policies/c.yaml": "c"}, parents=(second, side), subject="merge side")
    assert source.succession(fetched(source)) == Advanced(third, first, (second, third))


def test_a_forced_push_is_refused_naming_both_commits(source: PolicyMirror, upstream: Repository) -> None:
    accepted = fetched(source)
    source.accept(accepted)
    forced = upstream.commit({"policies/evil.yaml": "x"}, parents=())
    verdict = source.succession(fetched(source))
    assert isinstance(verdict, Rewritten)
    assert (verdict.commit, verdict.accepted) == (forced, accepted)
    assert forced in verdict.problem.message
    assert accepted in verdict.problem.message
    assert "trust.floor" in verdict.problem.hint
    assert read_accepted(source, accepted, timeout=20, now=NOW)[0].path == "policies/all.yaml"


def test_a_branch_moved_back_is_refused(source: PolicyMirror, upstream: Repository) -> None:
    old = upstream.head()
    source.accept(upstream.commit({"policies/b.yaml": "b"}) and fetched(source))
    git(upstream.path, "update-ref", "refs/heads/main", old)
    verdict = source.succession(fetched(source))
    assert isinstance(verdict, Rewritten)
    assert "moved back" in verdict.problem.message


def test_an_accepted_commit_off_the_first_parent_line_is_refused(
    source: PolicyMirror, upstream: Repository
) -> None:
    root = upstream.head()
    accepted = upstream.commit({"policies/b.yaml": "b"})
    source.accept(fetched(source))
    other = upstream.commit({"policies/evil.yaml": "x"}, branch="evil", parents=(root,))
    upstream.commit({"policies/evil.yaml": "x"}, parents=(other, accepted))
    verdict = source.succession(fetched(source))
    assert isinstance(verdict, Rewritten)
    assert "first-parent" in verdict.problem.message


def test_a_new_floor_allows_a_rewritten_history_once(source: PolicyMirror, upstream: Repository) -> None:
    before = source.accept(fetched(source))
    forced = upstream.commit({"policies/new.yaml": "x"}, parents=())
    fetched(source)
    told = PolicyMirror(source.mirror, f"file://{upstream.path}", "main", floor=forced)
    assert told.succession(forced, before) == Advanced(forced, forced, ())
    after = told.accept(forced)
    assert after == Acceptance(forced, forced)
    git(upstream.path, "update-ref", "refs/heads/main", before.commit)
    assert isinstance(told.succession(fetched(told), after), Rewritten)


def test_an_old_floor_does_not_excuse_a_later_rewrite(source: PolicyMirror, upstream: Repository) -> None:
    floor = upstream.head()
    guarded = PolicyMirror(source.mirror, f"file://{upstream.path}", "main", floor=floor)
    upstream.commit({"policies/b.yaml": "b"})
    accepted = guarded.accept(fetched(guarded))
    upstream.commit({"policies/evil.yaml": "x"}, parents=(floor,))
    assert isinstance(guarded.succession(fetched(guarded), accepted), Rewritten)


def test_a_head_before_the_floor_is_refused_on_first_use(source: PolicyMirror, upstream: Repository) -> None:
    old = upstream.head()
    floor = upstream.commit({"policies/b.yaml": "b"})
    git(upstream.path, "update-ref", "refs/heads/main", old)
    guarded = PolicyMirror(source.mirror, f"file://{upstream.path}", "main", floor=floor)
    assert isinstance(guarded.succession(fetched(guarded)), Rewritten)


def test_the_floor_survives_a_lost_mirror(source: PolicyMirror, upstream: Repository) -> None:
    acceptance = source.accept(fetched(source))
    shutil.rmtree(source.mirror)
    upstream.commit({"policies/evil.yaml": "x"}, parents=())
    verdict = source.succession(fetched(source), acceptance)
    assert isinstance(verdict, Rewritten)
    assert verdict.accepted == acceptance.commit


def test_offline_keeps_the_last_revision_with_its_age(source: PolicyMirror, upstream: Repository) -> None:
    head = fetched(source)
    upstream.path.rename(upstream.path.with_name("unplugged"))
    away = PolicyMirror(source.mirror, "ssh://127.0.0.1:9/policy.git", "main")
    answer = away.fetch(timeout=20, now=LATER)
    assert isinstance(answer, Offline)
    assert (away.head(), away.fetched_at()) == (head, NOW)
    assert "cannot be reached" in answer.problem.message
    assert read_accepted(away, head, timeout=20, now=LATER)[0].data == b"kind: Policy\nname: all\n"


def test_unreachable_from_the_start_is_transient(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="cannot be reached"):
        PolicyMirror(tmp_path / "m", "ssh://127.0.0.1:9/policy.git").fetch(timeout=20, now=NOW)


def test_a_repository_that_went_away_is_said_although_there_is_an_older_answer(
    source: PolicyMirror, upstream: Repository
) -> None:
    head = fetched(source)
    shutil.rmtree(upstream.path)
    with pytest.raises(Stalled, match="no such git repository") as caught:
        source.fetch(timeout=20, now=NOW)
    assert str(upstream.path) in caught.value.message
    assert source.head() == head


def test_a_remote_that_is_a_shallow_clone_is_said(upstream: Repository, tmp_path: Path) -> None:
    upstream.commit({**POLICY, "policies/b.yaml": "b"})
    shallow = tmp_path / "shallow.git"
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{upstream.path}", str(shallow))
    mirror = PolicyMirror(tmp_path / "of-shallow.git", str(shallow))
    with pytest.raises(Stalled, match="what is there is a shallow clone"):
        mirror.fetch(timeout=20, now=NOW)
    assert mirror.head() is None


def test_an_empty_repository_is_told_from_a_missing_branch(tmp_path: Path, upstream: Repository) -> None:
    empty = Repository.create(tmp_path / "empty.git")
    with pytest.raises(Stalled, match="the repository is empty") as caught:
        PolicyMirror(tmp_path / "a", str(empty.path)).fetch(timeout=20, now=NOW)
    assert "push a first commit" in caught.value.hint
    with pytest.raises(Stalled, match="there is no branch master; it has main") as caught:
        PolicyMirror(tmp_path / "b", str(upstream.path), "master").fetch(timeout=20, now=NOW)
    assert "policy.ref" in caught.value.hint


@pytest.mark.parametrize("ref", ["", "-x", "a..b", "refs/tags/v1", "a b", "x.lock", "a//b", "@{1}", "main\n"])
def test_only_a_branch_can_be_followed(tmp_path: Path, ref: str) -> None:
    with pytest.raises(Misuse, match=r"policy\.ref"):
        PolicyMirror(tmp_path / "m", "/srv/policy.git", ref)


@pytest.mark.parametrize("floor", ["1a2b3c4", "main", "0" * 39])
def test_a_floor_is_a_full_commit(tmp_path: Path, floor: str) -> None:
    with pytest.raises(Misuse, match=r"trust\.floor"):
        PolicyMirror(tmp_path / "m", "/srv/policy.git", floor=floor)


def _unpack(mirror: Path) -> None:
    for pack in list((mirror / "objects/pack").glob("*.pack")):
        moved = pack.rename(mirror / "moved.pack")
        with moved.open("rb") as content:
            subprocess.run(["git", "-C", str(mirror), "unpack-objects", "-q"], stdin=content, check=True)


def _truncate_objects(mirror: Path, suffix: str) -> None:
    harmed = [path for path in (mirror / "objects").rglob("*") if path.is_file() and path.suffix == suffix]
    assert harmed
    for path in harmed:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:7])


def _delete_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def _overwrite(mirror: Path, text: str) -> None:
    ref = mirror / "refs/remotes/policy/main"
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(text)


def _garbage_ref(mirror: Path) -> None:
    _overwrite(mirror, "nonsense\n")


def _empty_ref(mirror: Path) -> None:
    _overwrite(mirror, "")


def _garbage_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def _garbage_packed_refs(mirror: Path) -> None:
    (mirror / "packed-refs").write_text("nonsense refs/heads/x\n")


def _cut_off(mirror: Path) -> None:
    head = git(mirror, "rev-parse", "refs/remotes/policy/main")
    (mirror / "shallow").write_text(f"{head}\n", encoding="utf-8")


def _grafted(mirror: Path) -> None:
    head = git(mirror, "rev-parse", "refs/remotes/policy/main")
    (mirror / "info").mkdir(exist_ok=True)
    (mirror / "info" / "grafts").write_text(f"{head}\n", encoding="utf-8")


DAMAGES = [
    _delete_head,
    _garbage_ref,
    _empty_ref,
    _garbage_config,
    _garbage_packed_refs,
    _cut_off,
    _grafted,
]


@pytest.mark.parametrize("packed", ["", "packed"], ids=["loose", "packed"])
@pytest.mark.parametrize("harm", DAMAGES)
def test_a_damaged_mirror_is_replaced_and_loses_nothing(
    source: PolicyMirror,
    upstream: Repository,
    harm: Callable[[Path], None],
    packed: str,
) -> None:
    accepted = source.accept(fetched(source)).commit
    if packed:
        git(source.mirror, "gc", "--quiet")
    harm(source.mirror)
    new = upstream.commit({**POLICY, "policies/b.yaml": "b"})
    assert fetched(source) == new
    files = read_accepted(source, accepted, timeout=20, now=NOW)
    assert [file.path for file in files] == ["policies/all.yaml"]
    assert source.succession(new, Acceptance(accepted)) == Advanced(new, accepted, (new,))
    assert sorted(path.name for path in source.mirror.parent.iterdir()) == [
        "policy.git",
        "policy.git.broken-1",
    ]
    assert "policy.git.broken-1" in source.notices[0]


@pytest.mark.parametrize("suffix", ["", ".pack", ".idx"])
def test_truncated_objects_are_found_when_they_are_read(source: PolicyMirror, suffix: str) -> None:
    accepted = source.accept(fetched(source)).commit
    if not suffix:
        _unpack(source.mirror)
    _truncate_objects(source.mirror, suffix)
    files = read_accepted(source, accepted, timeout=20, now=NOW)
    assert [(file.path, file.data) for file in files] == [("policies/all.yaml", b"kind: Policy\nname: all\n")]
    assert source.accepted() == Acceptance(accepted)


def test_only_the_newest_damaged_mirror_is_kept(source: PolicyMirror) -> None:
    for _ in range(3):
        fetched(source)
        _garbage_ref(source.mirror)
    fetched(source)
    assert sorted(path.name for path in source.mirror.parent.iterdir()) == [
        "policy.git",
        "policy.git.broken-3",
    ]


def test_a_damaged_mirror_stays_while_the_remote_is_away(source: PolicyMirror, upstream: Repository) -> None:
    accepted = source.accept(fetched(source)).commit
    _garbage_ref(source.mirror)
    away = PolicyMirror(source.mirror, "ssh://127.0.0.1:9/policy.git", "main")
    assert isinstance(away.fetch(timeout=20, now=LATER), Offline)
    assert accepted == upstream.head()
    assert [path.name for path in source.mirror.parent.iterdir()] == ["policy.git"]


def test_a_rewritten_branch_does_not_take_the_accepted_commit_away_from_a_damaged_mirror(
    source: PolicyMirror, upstream: Repository
) -> None:
    accepted = source.accept(fetched(source)).commit
    _garbage_ref(source.mirror)
    forced = upstream.commit({"policies/evil.yaml": "x"}, parents=())
    assert fetched(source) == forced
    assert isinstance(source.succession(forced), Rewritten)
    assert read_accepted(source, accepted, timeout=20, now=NOW)[0].path == "policies/all.yaml"


@pytest.mark.parametrize(
    "lock",
    [
        "refs/remotes/policy/main.lock",
        "refs/patchledger/accepted.lock",
        "packed-refs.lock",
        "shallow.lock",
        "config.lock",
        "HEAD.lock",
    ],
)
def test_a_lock_of_a_git_that_is_dead_delays_nothing(
    source: PolicyMirror, upstream: Repository, lock: str
) -> None:
    fetched(source)
    (source.mirror / lock).parent.mkdir(parents=True, exist_ok=True)
    (source.mirror / lock).write_text("")
    new = upstream.commit({"policies/b.yaml": "b"})
    assert fetched(source) == new
    assert source.accept(new) == Acceptance(new)


def test_a_lock_of_a_git_that_lives_is_left_and_its_process_named(
    source: PolicyMirror, upstream: Repository
) -> None:
    fetched(source)
    (source.mirror / "refs/remotes/policy/main.lock").write_text("")
    new = upstream.commit({"policies/b.yaml": "b"})
    with git_at_work(source.mirror) as pid:
        answer = source.fetch(timeout=20, now=NOW)
    assert isinstance(answer, Offline)
    assert f"git is at work there (process {pid})" in answer.problem.message
    assert fetched(source) == new


@pytest.mark.parametrize("suffix", [".pack", ".idx"])
@pytest.mark.parametrize("way", ["truncate", "zero", "delete"])
def test_every_reader_of_a_damaged_mirror_gets_it_anew(
    source: PolicyMirror, upstream: Repository, suffix: str, way: str
) -> None:
    accepted = source.accept(fetched(source)).commit
    older = next((source.mirror / "objects/pack").glob(f"*{suffix}"))
    upstream.commit({"policies/b.yaml": "b"})
    head = fetched(source)
    readers: list[Callable[[PolicyMirror], object]] = [
        lambda mirror: mirror.describe(accepted).subject != "",
        lambda mirror: mirror.succession(head, Acceptance(accepted)) == Advanced(head, accepted, (head,)),
        lambda mirror: read_accepted(mirror, accepted, timeout=20, now=NOW)[0].path == "policies/all.yaml",
    ]
    whole = source.mirror.with_name("whole")
    shutil.copytree(source.mirror, whole)
    for read in readers:
        again = PolicyMirror(source.mirror, f"file://{upstream.path}")
        assert again.fetch(timeout=20, now=NOW) == Fetched(head)
        _harm(source.mirror / older.relative_to(source.mirror), way)
        assert read(again)
        assert read(again), "and it stays so"
        assert len(again.notices) == 1
        shutil.rmtree(source.mirror)
        shutil.copytree(whole, source.mirror)


def _harm(path: Path, way: str) -> None:
    path.chmod(0o600)
    match way:
        case "truncate":
            path.write_bytes(path.read_bytes()[:7])
        case "zero":
            path.write_bytes(bytes(path.stat().st_size))
        case _:
            path.unlink()


def test_a_damaged_mirror_is_said_with_the_way_out_while_the_remote_is_away(
    source: PolicyMirror, upstream: Repository
) -> None:
    accepted = source.accept(fetched(source)).commit
    _harm(next((source.mirror / "objects/pack").glob("*.pack")), "truncate")
    upstream.path.rename(upstream.path.with_name("away"))
    away = PolicyMirror(source.mirror, "ssh://127.0.0.1:9/policy.git")
    assert isinstance(away.fetch(timeout=20, now=NOW), Offline)
    with pytest.raises(Transient, match="damaged") as caught:
        away.describe(accepted)
    assert "fetched anew as soon as" in caught.value.hint


def test_a_change_is_seen_although_a_quiet_tick_fetched_it_first(
    source: PolicyMirror, upstream: Repository
) -> None:
    fetched(source)
    argv, env = source.invocation()
    for number in range(120):
        (source.mirror / "objects/pack" / f"counted-{number}").write_text("")
    new = upstream.commit({"policies/b.yaml": "b"})
    subprocess.run(argv, check=True, env={"PATH": ENVIRONMENT["PATH"], **env})
    assert source.fetch(timeout=20, now=NOW) == Fetched(new)
    assert source.fetch(timeout=20, now=NOW) == Fetched(new)
    assert "packs: 1" in git(source.mirror, "count-objects", "-v").splitlines()


def test_a_huge_file_costs_no_memory(source: PolicyMirror, upstream: Repository, tmp_path: Path) -> None:
    large = tmp_path / "zeros"
    with large.open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    blob = git(upstream.path, "-c", "core.bigFileThreshold=1m", "hash-object", "-w", str(large))
    tree = git(upstream.path, "mktree", stdin=f"100644 blob {blob}\tzeros\n")
    git(
        upstream.path,
        "update-ref",
        "refs/heads/main",
        git(upstream.path, "commit-tree", "-p", "main", "-m", "x", tree),
    )
    argv, env = source.invocation()
    git(tmp_path, "init", "--quiet", "--bare", str(source.mirror))
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv],
        env={**ENVIRONMENT, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 80 * 1024, "KiB"


def test_another_hash_function_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "sha256.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--object-format=sha256")
    Repository(folder).commit(POLICY)
    with pytest.raises(Stalled, match="another hash function"):
        PolicyMirror(tmp_path / "m", str(folder)).fetch(timeout=20, now=NOW)


def test_a_transfer_larger_than_allowed_is_refused(tmp_path: Path, upstream: Repository) -> None:
    blob = "".join(f"{number * 7919:x}" for number in range(120_000))
    upstream.commit({"docs/large.txt": blob})
    source = PolicyMirror(tmp_path / "m", f"file://{upstream.path}", options=GitAccess(max_bytes=50_000))
    with pytest.raises(Stalled, match=r"larger than allowed"):
        source.fetch(timeout=20, now=NOW)


def test_a_commit_is_described_in_one_line_each(source: PolicyMirror, upstream: Repository) -> None:
    oid = upstream.commit(POLICY, subject="hold \x1b[31mnginx\n\nbody")
    fetched(source)
    described = source.describe(oid)
    assert described == CommitInfo(described.committed_at, "hold [31mnginx")
    assert described.committed_at.utcoffset() == timedelta(0)


def test_a_mirror_is_packed_when_it_holds_very_many_objects(
    source: PolicyMirror, upstream: Repository
) -> None:
    fetched(source)
    upstream.commit({"policies/b.yaml": "b"})
    fetched(source)
    assert "packs: 2" in git(source.mirror, "count-objects", "-v").splitlines()
    for number in range(120):
        (source.mirror / "objects/pack" / f"counted-{number}").write_text("")
    upstream.commit({"policies/c.yaml": "c"})
    fetched(source)
    assert "packs: 1" in git(source.mirror, "count-objects", "-v").splitlines()


@pytest.mark.parametrize("date", ["253402300800", "999999999999999"])
def test_a_commit_from_beyond_the_calendar_is_described(
    source: PolicyMirror, upstream: Repository, date: str
) -> None:
    forged = upstream.forge(date)
    assert fetched(source) == forged
    assert source.describe(forged).committed_at.year >= 8999


@pytest.mark.parametrize("file", ["patchledger-floor", "refs/patchledger/accepted"])
def test_a_lock_left_by_a_killed_run_is_taken_over(
    source: PolicyMirror, upstream: Repository, file: str
) -> None:
    head = fetched(source)
    lock = source.mirror / f"{file}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    assert source.accept(head) == Acceptance(head)
    assert source.accepted() == Acceptance(upstream.head())
