"""The report server of ``examples/server``: real pushes by ssh, each key by its forced command."""

import ast
import re
import runpy
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha1
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.git import GitAccess
from reconciler.gitops.probe import ACCESS_REFUSED, probe_push
from tests.e2e.site import Site
from tests.edge.gitops.bench import ENVIRONMENT, Repository, git
from tests.labs.apt import AptLab
from tests.labs.report_server import EXAMPLE, ReportServer, report_server
from tests.labs.signing import Key, SignedRepository

RUN = "runs/20261122T020000Z-0123456789ab"
REPORT = {"report.json": "{}\n", "report.md": "# web-01\n", "observation.json": "{}\n"}
TOLD = "this key writes hosts/web-01 and guests/web-01/*, and claims locks/*"
NOT_ITS = "the key of host web-01 does not write it"
HIDDEN = "deny updating a hidden ref"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    with report_server(tmp_path_factory.mktemp("reports")) as running:
        yield running


@pytest.fixture
def client(tmp_path: Path) -> Repository:
    """A host's queue; its branch is what the server has, or a first report."""
    return Repository.create(tmp_path / "queue.git")


@pytest.fixture
def reported(server: ReportServer, client: Repository) -> str:
    """A branch of web-01 that is on the server and in the client: a guest of its own for each test."""
    branch = f"guests/web-01/g{abs(hash(str(client.path))) % 10**9}"
    client.commit(REPORT, branch=branch, subject=branch)
    done = push(server, client, branch, near=True)
    assert done.returncode == 0, done.stderr
    return branch


def push(
    server: ReportServer, client: Repository, *refspecs: str, by: str = "web-01", near: bool = False
) -> subprocess.CompletedProcess[str]:
    """Push by ssh; or ``near`` the server, where only the hook stands in the way and nobody needs sshd."""
    where = str(server.reports.path) if near else server.url
    argv = ["git", "-C", str(client.path), "push", "--porcelain", where]
    names = [spec if ":" in spec else f"refs/heads/{spec}:refs/heads/{spec}" for spec in refspecs]
    role = {"PATCHLEDGER_ROLE": "host", "PATCHLEDGER_NAME": by}
    env = {**ENVIRONMENT, **role} if near else server.as_(by)
    return subprocess.run([*argv, *names], env=env, capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return why a push was refused, as whoever pushed is told."""
    assert done.returncode, done.stdout
    said = [line.removeprefix("remote: ").strip() for line in done.stderr.splitlines()]
    return [line for line in said if line.startswith("refused: ")]


def test_a_host_moves_its_own_branches_forward_and_its_guests(
    server: ReportServer, client: Repository, reported: str
) -> None:
    del reported
    for more in ({}, {f"{RUN}.json": "{}\n", f"{RUN}.md": "# a run\n", f"{RUN}.log": "apt\n"}):
        heads = [
            client.commit({**REPORT, **more}, branch=name, subject=name)
            for name in ("hosts/web-01", "guests/web-01/100")
        ]
        done = push(server, client, "hosts/web-01", "guests/web-01/100")
        assert done.returncode == 0, done.stderr
        assert [server.reports.head(name) for name in ("hosts/web-01", "guests/web-01/100")] == heads


@pytest.mark.parametrize("branch", ["hosts/web-02", "hosts/web-01b", "fleet-rings"])
def test_a_host_writes_no_other_branch(server: ReportServer, client: Repository, branch: str) -> None:
    before = server.reports.head(branch)
    client.commit(REPORT, branch=branch)
    done = push(server, client, branch)
    assert done.returncode
    assert HIDDEN in done.stdout or refused(done) == [f"refused: {branch}: {NOT_ITS}"]
    assert TOLD in done.stderr
    assert server.reports.head(branch) == before


def test_the_hook_alone_refuses_them_as_well(server: ReportServer, client: Repository) -> None:
    others = [
        "hosts/web-02",
        "hosts/web-01b",
        "guests/web-02/1",
        "fleet",
        "fleet-rings",
        "main",
        "locks/group",
    ]
    head = client.commit(REPORT)
    refspecs = [f"{head}:refs/heads/{branch}" for branch in others]
    said = refused(push(server, client, *refspecs, near=True))
    assert said == [f"refused: {branch}: {NOT_ITS}" for branch in others]
    argv = ["git", "-C", str(client.path), "push", str(server.reports.path), "main"]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert refused(done) == ["refused: main: no key has said who pushes"]


def test_nothing_is_deleted_or_rewritten(server: ReportServer, client: Repository, reported: str) -> None:
    done = push(server, client, f":refs/heads/{reported}")
    assert refused(done) == [f"refused: {reported}: is never deleted"]
    anew = client.commit({**REPORT, "report.json": "[]\n"}, branch="anew", parents=())
    done = push(server, client, f"+{anew}:refs/heads/{reported}")
    assert refused(done) == [f"refused: {reported}: does not continue what is there: nothing is rewritten"]
    done = push(server, client, f"{client.head('anew')}:refs/tags/{anew}")
    assert HIDDEN in done.stdout


def test_no_branch_takes_over_commits_of_another(
    server: ReportServer, client: Repository, reported: str
) -> None:
    done = push(server, client, f"{client.head(reported)}:refs/heads/guests/web-01/other")
    assert refused(done) == ["refused: guests/web-01/other: holds commits of another branch"]


SHAPES: dict[str, tuple[dict[str, str], str]] = {
    "another file": ({"notes.txt": "x"}, "'notes.txt' is no file of a report"),
    "a folder": ({"data/x": "x"}, "'data' is no file of a report"),
    "a link": ({"120000:report.md": "/etc/passwd"}, "report.md is no regular file"),
    "a program": ({"100755:report.md": "x"}, "report.md is no regular file"),
    "a submodule": ({"160000:sub": "1" * 40}, "'sub' is no file of a report"),
    "a link among runs": ({f"120000:{RUN}.json": "x"}, f"runs/'{RUN[5:]}.json' is no regular file"),
    "a folder among runs": ({"runs/a/b": "x"}, "runs/'a' is no record of a run"),
    "a terminal's commands": ({"\x1b[2J": "x"}, r"'\x1b[2J' is no file of a report"),
    "a file for runs": ({"runs": "x"}, "'runs' is no file of a report"),
    "much": ({"report.md": "\0" * (33 * 2**20)}, "report.md has 34603008 bytes, and 33554432 are the most"),
}


@pytest.mark.parametrize(("files", "says"), SHAPES.values(), ids=SHAPES.keys())
def test_a_report_has_its_own_shape_in_every_commit(
    server: ReportServer, client: Repository, reported: str, files: dict[str, str], says: str
) -> None:
    kept = {
        name: text for name, text in REPORT.items() if name not in {path.rpartition(":")[2] for path in files}
    }
    wrong = client.commit({**kept, **files}, branch=reported)
    client.commit(REPORT, branch=reported)  # on top of it, all is well
    is_near = not files.keys() & {"120000:report.md", "notes.txt"} and "bytes" not in says
    assert refused(push(server, client, reported, near=is_near)) == [f"refused: {reported}: {says}"]
    gone = subprocess.run(["git", "-C", str(server.reports.path), "cat-file", "-e", wrong], check=False)
    assert gone.returncode, "what was refused is stored"


def test_a_commit_without_a_report_is_none(server: ReportServer, client: Repository, reported: str) -> None:
    client.commit({"report.md": "x"}, branch=reported)
    said = refused(push(server, client, reported, near=True))
    assert said == [f"refused: {reported}: a commit holds no report.json"]


def test_what_is_good_as_a_folder_of_runs_is_no_report(
    server: ReportServer, client: Repository, reported: str
) -> None:
    client.commit({f"{RUN[5:]}.json": "{}\n"}, branch=reported)
    client.commit({**REPORT, f"{RUN}.json": "{}\n"}, branch=reported)  # its folder is that very tree
    said = refused(push(server, client, reported, near=True))
    assert said == [f"refused: {reported}: '{RUN[5:]}.json' is no file of a report"]


@pytest.mark.parametrize("where", ["runs", "top"])
def test_sixty_thousand_files_are_too_many(
    server: ReportServer, client: Repository, reported: str, where: str
) -> None:
    blob = git(client.path, "hash-object", "-w", "--stdin", stdin="{}\n")
    name = "20261122T02{:04}Z-0123456789ab-{}.json" if where == "runs" else "f{:04}{}"
    rows = "".join(f"100644 blob {blob}\t{name.format(i % 6000, i // 6000)}\n" for i in range(60_000))
    tree = git(client.path, "mktree", stdin=rows)
    if where == "runs":
        tree = git(
            client.path, "mktree", stdin=f"100644 blob {blob}\treport.json\n040000 tree {tree}\truns\n"
        )
    commit = git(client.path, "commit-tree", "-p", client.head(reported), "-m", "many", tree)
    said = refused(push(server, client, f"{commit}:refs/heads/{reported}", near=where == "top"))
    place = "runs/" if where == "runs" else "a commit"
    assert said == [f"refused: {reported}: {place} holds more than 3000 files"]


def test_what_is_little_each_may_be_too_much_together(
    server: ReportServer, client: Repository, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del reported
    head = client.commit(REPORT)
    refspecs = [f"{head}:refs/heads/guests/web-01/m{number}" for number in range(1001)]
    said = refused(push(server, client, *refspecs, near=True))
    assert said == ["refused: more than 1000 branches at once"]
    tree = client.show_id("main^{tree}")
    monkeypatch.setenv("GIT_DIR", str(client.path))
    hook = runpy.run_path(str(EXAMPLE / "pre_receive.py"))
    with ExitStack() as stack:
        objects = hook["Objects"](stack, most_lines=8)
        assert [len(objects.tree(tree, "a commit")) for _ in range(2)] == [3, 3]
        with pytest.raises(hook["Refused"], match="folders of more than 8 files at once"):
            objects.tree(tree, "a commit")


def test_what_git_objects_to_is_not_stored(server: ReportServer, client: Repository, reported: str) -> None:
    client.forge("99999999999999999999", branch=reported)
    done = push(server, client, reported, near=True)
    assert done.returncode
    assert "badDate" in done.stderr


def test_few_bytes_that_make_gigabytes_do_not_fill_the_memory(server: ReportServer) -> None:
    """Before a hook is asked, git makes whatever a pack describes (gitformat-pack(5))."""
    base, copies = bytes(2**20), 3 * 2**10
    copy = b"\xc0\x10"  # 0x100000 bytes from the beginning
    delta = _size(len(base)) + _size(copies * len(base)) + copies * copy
    of = sha1(b"blob %d\0" % len(base) + base, usedforsecurity=False).digest()
    sent = _head(3, len(base)) + zlib.compress(base) + _head(7, len(delta)) + of + zlib.compress(delta)
    pack = b"PACK" + struct.pack(">II", 2, 2) + sent
    pack += sha1(pack, usedforsecurity=False).digest()
    assert len(pack) < 20_000
    asked = f"{'0' * 40} {of.hex()} refs/heads/hosts/web-01\0report-status\n"
    done = subprocess.run(
        [server.home / "serve", "host", "web-01"],
        env={**ENVIRONMENT, "SSH_ORIGINAL_COMMAND": "git-receive-pack 'reports.git'"},
        input=f"{len(asked) + 4:04x}{asked}0000".encode() + pack,
        capture_output=True,
        check=False,
    )
    assert b"ng refs/heads/hosts/web-01 unpacker error" in done.stdout
    assert b"ut of memory" in done.stderr


def _size(number: int) -> bytes:
    """Return a number as seven bits an octet, the lowest first."""
    more = number >> 7
    return bytes([number & 0x7F | (0x80 if more else 0)]) + (_size(more) if more else b"")


def _head(kind: int, size: int) -> bytes:
    """Return what stands before an object in a pack."""
    more = size >> 4
    return bytes([kind << 4 | size & 15 | (0x80 if more else 0)]) + (_size(more) if more else b"")


def test_who_only_reads_writes_nothing(server: ReportServer, client: Repository, reported: str) -> None:
    client.commit(REPORT, branch=reported)
    assert refused(push(server, client, reported, by="ada")) == [
        "refused: the key of reader ada is not authorized to write reports.git"
    ]
    assert "Permission denied" in push(server, client, reported, by="stranger").stderr
    argv = [
        "ssh",
        "-T",
        "-F",
        "/dev/null",
        "-i",
        str(server.identities["web-01"]),
        "-o",
        "IdentityAgent=none",
    ]
    address = re.match(r"ssh://(.*):(\d+)/", server.url)
    assert address is not None
    argv += ["-o", f'UserKnownHostsFile="{server.known_hosts}"', "-p", address[2], address[1]]
    for words in (
        "id",
        "",
        "git-upload-archive 'reports.git'",
        "git-shell",
        "sh -c 'git-upload-pack reports.git'",
    ):
        done = subprocess.run([*argv, words], env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "refused: this key is for git alone\n")


# --- what is shown ------------------------------------------------------------------------------------------


def listed(server: ReportServer, by: str, repository: str = "reports.git") -> set[str]:
    argv = ["git", "ls-remote", server.url.replace("reports.git", repository)]
    done = subprocess.run(argv, env=server.as_(by), capture_output=True, text=True, check=True)
    return {line.partition("refs/heads/")[2] for line in done.stdout.splitlines()}


@pytest.fixture
def fleet(server: ReportServer, client: Repository) -> Repository:
    """A report of a guest of web-02, and what a publisher made of it."""
    if not server.reports.head("fleet-rings"):
        client.commit(REPORT, branch="guests/web-02/1", subject="web-02")
        assert push(server, client, "guests/web-02/1", by="web-02").returncode == 0
        tree = client.show_id("guests/web-02/1^{tree}")
        shard = git(client.path, "mktree", stdin=f"040000 tree {tree}\tweb-02\n")
        rows = f"040000 tree {shard}\tab\n"
        for branch in ("fleet", "fleet-rings"):
            commit = git(client.path, "commit-tree", "-m", "publish", git(client.path, "mktree", stdin=rows))
            done = push(server, client, f"{commit}:refs/heads/{branch}", by="publisher")
            assert done.returncode == 0, done.stderr
    return client


def test_a_host_is_shown_what_concerns_it(
    server: ReportServer, fleet: Repository, reported: str, tmp_path: Path
) -> None:
    del fleet
    shown = listed(server, "web-01")
    assert {reported, "fleet-rings"} <= shown
    assert not {name for name in shown if "web-02" in name or name == "fleet"}
    assert {reported, "fleet-rings", "fleet", "guests/web-02/1"} <= listed(server, "ada")
    assert {"fleet", "guests/web-02/1"} <= listed(server, "publisher")
    hidden = server.reports.head("guests/web-02/1")
    fresh = Repository.create(tmp_path / "fresh.git")
    for version in ("0", "2"):
        argv = [
            "git",
            "-C",
            str(fresh.path),
            "-c",
            f"protocol.version={version}",
            "fetch",
            server.url,
            hidden,
        ]
        env = server.as_("web-01")
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert f"Server does not allow request for unadvertised object {hidden}" in done.stderr


def test_a_publisher_moves_the_fleet_forward_and_nothing_else(
    server: ReportServer, fleet: Repository, reported: str
) -> None:
    blob = git(fleet.path, "hash-object", "-w", "--stdin", stdin="/etc/passwd")
    before = server.reports.head("fleet")
    for row, says in (
        (f"120000 blob {blob}\tlink\n", "'link' is no regular file"),
        (f"160000 commit {before}\tsub\n", "'sub' is no regular file"),
    ):
        inner = git(fleet.path, "mktree", "--missing", stdin=row)
        tree = git(fleet.path, "mktree", stdin=f"040000 tree {inner}\tab\n")
        git(fleet.path, "fetch", "-q", str(server.reports.path), before)
        commit = git(fleet.path, "commit-tree", "-p", before, "-m", "publish", tree)
        assert refused(push(server, fleet, f"{commit}:refs/heads/fleet", by="publisher")) == [
            f"refused: fleet: {says}"
        ]
    anew = git(fleet.path, "commit-tree", "-m", "anew", f"{before}^{{tree}}")
    done = push(server, fleet, f"+{anew}:refs/heads/fleet", by="publisher")
    assert refused(done) == ["refused: fleet: does not continue what is there: nothing is rewritten"]
    head = fleet.commit(REPORT, branch=reported)
    done = push(server, fleet, f"{head}:refs/heads/{reported}", f"{anew}:refs/heads/main", by="publisher")
    assert refused(done) == [
        f"refused: {name}: the key of publisher fleet does not write it" for name in (reported, "main")
    ]


def test_a_host_finds_out_that_it_may_not_write_policy(server: ReportServer) -> None:
    access = GitAccess(known_hosts=str(server.known_hosts), identity=str(server.identities["web-01"]))
    with pytest.raises(Stalled) as caught:
        probe_push(server.url.replace("reports.git", "policy.git"), "main", access, timeout=60)
    assert caught.value.reason == ACCESS_REFUSED
    probe_push(server.url, "hosts/web-01", access, timeout=60)


def test_policy_is_read_by_all_and_written_by_none(server: ReportServer, client: Repository) -> None:
    Repository(server.home / "policy.git").commit({"a": "1"})
    client.commit({"a": "2"})
    for who, role in (("web-01", "host web-01"), ("publisher", "publisher fleet"), ("ada", "reader ada")):
        assert listed(server, who, "policy.git") == {"main", ""}  # and HEAD
        argv = [
            "git",
            "-C",
            str(client.path),
            "push",
            server.url.replace("reports.git", "policy.git"),
            "main",
        ]
        done = subprocess.run(argv, env=server.as_(who), capture_output=True, text=True, check=False)
        assert refused(done) == [f"refused: the key of {role} is not authorized to write policy.git"]


# --- locks --------------------------------------------------------------------------------------------------


class Claims:
    """Claims of locks, as a host would make them."""

    def __init__(self, server: ReportServer, folder: Path) -> None:
        self.server = server
        self.work = SignedRepository.create(folder)
        self.ref = f"refs/heads/locks/{folder.parent.name.strip('_').lower().replace('_', '-')[:40]}/0"

    def claim(self, key: Key | None, *, by: str = "web-01", times: int = 1, **files: str) -> list[str]:
        """Push a claim; return why it was refused, nothing where it was not."""
        for number in range(times):
            self.work.commit({"lock.json": f'{{"by": "{by}", "nonce": {number}}}\n', **files}, key)
        done = push(self.server, Repository(self.work.path), f"{self.work.head()}:{self.ref}", by=by)
        if not done.returncode:
            return []
        return [line.removeprefix(f"refused: {self.ref[11:]}: ") for line in refused(done)]

    def back(self) -> None:
        """Go back to what the server has."""
        self.work.git("reset", "-q", "--hard", self.server.reports.show_id(self.ref))


@pytest.fixture
def claims(server: ReportServer, tmp_path: Path) -> Claims:
    return Claims(server, tmp_path / "claims")


def test_a_lock_is_claimed_by_one_signed_commit_on_top_of_the_one_there(
    server: ReportServer, claims: Claims
) -> None:
    one, two = server.signing["web-01"], server.signing["web-02"]
    assert claims.claim(one) == []
    assert claims.claim(two, by="web-02") == []
    one_on_top = "a lock is claimed by one commit on top of the one that is there"
    assert claims.claim(one, times=2) == [one_on_top]
    claims.back()
    not_signed = "the claim is not signed by the report key of web-01"
    assert claims.claim(two) == [not_signed]
    claims.back()
    assert claims.claim(None) == ["a claim carries one signature"]
    claims.back()
    assert claims.claim(one, more="x") == ["a lock holds lock.json and nothing else"]
    claims.back()
    assert claims.claim(one) == []


def test_a_lock_is_never_given_back_by_deleting_or_rewriting_it(server: ReportServer, claims: Claims) -> None:
    key = server.signing["web-01"]
    assert claims.claim(key) == []
    client = Repository(claims.work.path)
    assert refused(push(server, client, f":{claims.ref}")) == [
        f"refused: {claims.ref[11:]}: is never deleted"
    ]
    claims.work.git("checkout", "-q", "--orphan", "anew")
    claims.work.commit({"lock.json": "{}\n"}, key)
    said = refused(push(server, client, f"+HEAD:{claims.ref}"))
    assert said == [f"refused: {claims.ref[11:]}: does not continue what is there: nothing is rewritten"]
    done = push(server, client, f"HEAD:{claims.ref}-x", by="publisher")
    assert "the key of publisher fleet does not write it" in refused(done)[0]


def test_locks_and_guests_are_not_made_without_end(tmp_path: Path) -> None:
    """Every host is told of each lock, and each ref costs the server something for ever."""
    with report_server(tmp_path / "reports") as server:
        claims = Claims(server, tmp_path / "claims")
        claims.ref = "refs/heads/locks/kernel/0"
        key = server.signing["web-01"]
        assert claims.claim(key) == []
        head = server.reports.show_id(claims.ref)
        lines = "".join(f"create refs/heads/locks/other/{number} {head}\n" for number in range(31))
        lines += "".join(f"create refs/heads/guests/web-01/{number} {head}\n" for number in range(1000))
        git(server.reports.path, "update-ref", "--stdin", stdin=lines)
        claims.ref = "refs/heads/locks/kernel/1"
        claims.work.git("checkout", "-q", "--orphan", "anew")
        assert claims.claim(key) == ["refused: locks/: there are 32 of them at most"]
        git(server.reports.path, "config", "patchledger.mostLocks", "33")
        assert claims.claim(key, times=0) == []
        claims.ref = "refs/heads/locks/kernel/0"
        claims.back()
        assert claims.claim(key) == [], "those that are there are claimed as before"
        client = Repository.create(tmp_path / "queue.git")
        client.commit(REPORT, branch="guests/web-01/more")
        said = refused(push(server, client, "guests/web-01/more", near=True))
        assert said == ["refused: guests/web-01/: there are 1000 of them at most"]


def test_of_two_claims_at_once_one_wins(server: ReportServer, claims: Claims) -> None:
    key = server.signing["web-01"]
    assert claims.claim(key) == []
    assert claims.claim(key) == []
    claims.work.git("reset", "-q", "--hard", "HEAD~1")
    claims.work.commit({"lock.json": "mine\n"}, key)
    done = push(server, Repository(claims.work.path), f"HEAD:{claims.ref}")
    assert "non-fast-forward" in done.stdout or "fetch first" in done.stdout


# --- the whole ----------------------------------------------------------------------------------------------


def test_a_host_is_told_of_four_kilobytes_of_refs_at_most_where_a_thousand_would_be_69(
    client: Repository, tmp_path: Path
) -> None:
    head = client.commit(REPORT, branch="hosts/web-01")
    plain, shown = tmp_path / "plain.git", tmp_path / "home" / "reports.git"
    for folder in (plain, shown):
        git(tmp_path, "clone", "-q", "--bare", str(client.path), str(folder))
        rows = "".join(
            f"create refs/heads/hosts/host-{number:04}.example.org {head}\n" for number in range(1000)
        )
        git(folder, "update-ref", "--stdin", stdin=rows)
    as_such = told(client, f"file://{plain}", {**ENVIRONMENT})
    assert 60_000 < as_such <= 100_000
    serve = tmp_path / "home" / "serve"
    serve.symlink_to(EXAMPLE / "serve")
    # As sshd would start it.
    wrapper = tmp_path / "ssh"
    wrapper.write_text(
        f"#!/bin/sh\nfor last; do :; done\nSSH_ORIGINAL_COMMAND=$last exec {serve} host web-01\n"
    )
    wrapper.chmod(0o755)  # as sshd would start it
    assert told(client, "ssh://git@server/reports.git", {**ENVIRONMENT, "GIT_SSH": str(wrapper)}) <= 4_000


def told(client: Repository, address: str, env: dict[str, str]) -> int:
    """Return how many bytes of refs a push is told."""
    argv = ["git", "-C", str(client.path), "push", "-q", "--dry-run", address, "hosts/web-01"]
    trace = {**env, "GIT_TRACE_PACKET": "1"}
    done = subprocess.run(argv, env=trace, capture_output=True, check=True)
    packets = re.findall(rb"packet: +push< ([0-9a-f]{40} .*)", done.stderr)
    assert packets
    return sum(len(packet) + 5 for packet in packets)


def test_the_timer_packs_what_is_there_and_reports_go_on(
    server: ReportServer, client: Repository, reported: str
) -> None:
    units = [str(EXAMPLE / f"patchledger-repack.{kind}") for kind in ("service", "timer")]
    checked = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    service = Path(units[0]).read_text(encoding="utf-8")
    commands = re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        argv = command.replace("/srv/git", str(server.home)).split()
        subprocess.run(argv, env=ENVIRONMENT, check=True)
    assert not list((server.home / "reports.git/refs/heads").rglob("g*[0-9]"))
    client.commit({**REPORT, "report.md": "packed\n"}, branch=reported)
    assert push(server, client, reported).returncode == 0
    git(server.reports.path, "fsck", "--strict")


def test_a_tick_of_a_host_reports_there_and_is_told_when_it_has_the_name_of_another(
    server: ReportServer, site: Site, lab: AptLab, patchledger: Callable[..., tuple[int, str, str]]
) -> None:
    def configure(host: str) -> None:
        site.configure(
            host=host,
            environment=lab.environment,
            reports={"remote": server.url},
            git={"known_hosts": str(server.known_hosts), "identity": str(server.identities["web-02"])},
        )

    configure("web-02")
    before = server.reports.head("hosts/web-02")
    code, _, err = patchledger("run")
    assert code == 0, err
    assert server.reports.head("hosts/web-02") != before
    assert '"schema"' in server.reports.show("hosts/web-02:report.json")
    configure("web-01")
    code, _, err = patchledger("run")
    assert code == 1, err
    assert "cannot push reports" in err
    assert HIDDEN in err


def test_the_hook_needs_no_newer_python_than_servers_have() -> None:
    text = (EXAMPLE / "pre_receive.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "reconciler" not in names
    assert "slots=True" not in text
