"""Reading a revision: what is listed, what is bounded, and that a folder reads like its commit."""

import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from reconciler.errors import Misuse, Stalled
from reconciler.gitops.objects import MAX_FILE_BYTES
from reconciler.gitops.revision import (
    MAX_TOTAL_BYTES,
    read_folder,
    read_revision,
    resolve_revision,
)
from reconciler.policy.load import PolicyFile
from reconciler.policy.placement import MOST_LOOKED_INTO
from tests.edge.gitops.bench import Repository, git


def test_read_is_policy_and_what_may_be_policy_in_a_wrong_place(upstream: Repository) -> None:
    commit = upstream.commit(
        {
            "policies/a.yaml": "a",
            "policies/deep/b.txt": "b",
            "calendars/c.ics": "c",
            "100755:scripts/apt-update.sh": "d",
            "trust/allowed_signers": "e",
            "patchledger.yaml": "f",
            "docs/x.yaml": "no",
            "docs/x.md": "no",
            "README.md": "no",
            "other/empty.yaml": "",
            ".github/workflows/x.yaml": "no",
            "policies.yaml": "no",
            "sub/policies/x.yaml": "no",
            "sub/policies/x": "no",
            "freeze/x": "no",
            "other/large.yaml": "x" * 300_000,
            "120000:other/link.yaml": "elsewhere",
            "120000:Freezes": "elsewhere",
        }
    )
    assert [(file.path, file.mode, file.data) for file in read_revision(upstream.path, commit)] == [
        ("Freezes", "120000", b"elsewhere"),
        ("calendars/c.ics", "100644", b"c"),
        ("freeze/x", "100644", b"no"),
        ("patchledger.yaml", "100644", b"f"),
        ("policies.yaml", "100644", b"no"),
        ("policies/a.yaml", "100644", b"a"),
        ("policies/deep/b.txt", "100644", b"b"),
        ("scripts/apt-update.sh", "100755", b"d"),
        ("sub/policies/x.yaml", "100644", b"no"),
        ("trust/allowed_signers", "100644", b"e"),
    ]


def test_links_and_submodules_are_listed_for_the_loader_to_refuse(upstream: Repository) -> None:
    commit = upstream.commit(
        {
            "120000:policies/link.yaml": "/etc/shadow",
            "160000:policies/sub": upstream.head(),
            "120000:schedules": "elsewhere",
        }
    )
    assert read_revision(upstream.path, commit) == [
        PolicyFile("policies/link.yaml", "120000", b"/etc/shadow"),
        PolicyFile("policies/sub", "160000", b""),
        PolicyFile("schedules", "120000", b"elsewhere"),
    ]


def test_names_and_contents_of_any_bytes_survive(upstream: Repository) -> None:
    content = "zero\0 and\nlines\n\n"
    commit = upstream.commit(
        {"policies/a\tb\n.yaml": content, "policies/ü.yaml": "", "policies/same": content}
    )
    assert {file.path: file.data for file in read_revision(upstream.path, commit)} == {
        "policies/a\tb\n.yaml": content.encode(),
        "policies/same": content.encode(),
        "policies/ü.yaml": b"",
    }


def test_a_policy_may_lie_in_a_folder(upstream: Repository) -> None:
    upstream.commit({"ops/policies/a.yaml": "a"})
    assert [file.path for file in read_revision(upstream.path, "main", folder="ops")] == ["policies/a.yaml"]


def test_an_empty_revision_has_no_files(upstream: Repository) -> None:
    assert read_revision(upstream.path, upstream.commit({"README.md": "x"})) == []


@pytest.mark.parametrize("revision", ["nothing", "0" * 40, "--output=/tmp/x", "main\nx", ""])
def test_a_revision_that_is_none_is_misuse(upstream: Repository, revision: str) -> None:
    with pytest.raises(Misuse, match="revision"):
        read_revision(upstream.path, revision)
    with pytest.raises(Misuse, match="there is no commit"):
        resolve_revision(upstream.path, revision)


def test_a_revision_is_resolved_to_its_commit(upstream: Repository) -> None:
    git(upstream.path, "tag", "-a", "-m", "x", "v1", "main")
    assert resolve_revision(upstream.path, "v1") == resolve_revision(upstream.path, "main") == upstream.head()


def test_a_large_file_is_listed_and_not_read(upstream: Repository) -> None:
    size = MAX_FILE_BYTES + 1
    commit = upstream.commit({"policies/large.yaml": "x" * size, "policies/small.yaml": "x"})
    assert read_revision(upstream.path, commit) == [
        PolicyFile("policies/large.yaml", "100644", b"", unread=size),
        PolicyFile("policies/small.yaml", "100644", b"x"),
    ]


def test_what_lies_beside_the_policy_may_be_large_and_unreadable(
    upstream: Repository, tmp_path: Path
) -> None:
    commit = upstream.commit({"other/large.yaml": "x" * (MAX_FILE_BYTES + 1), "hosts/a.yaml": "a"})
    assert [file.path for file in read_revision(upstream.path, commit)] == ["hosts/a.yaml"]
    (tmp_path / "work" / "docs").mkdir(parents=True)
    subprocess.run(["mkfifo", str(tmp_path / "work/docs/pipe.yaml")], check=True)
    assert read_folder(tmp_path / "work") == []


def test_no_more_of_what_lies_beside_is_read_than_is_looked_into(upstream: Repository) -> None:
    commit = upstream.commit({f"ci/{number:04}.yaml": "x" for number in range(MOST_LOOKED_INTO + 9)})
    assert len(read_revision(upstream.path, commit)) == MOST_LOOKED_INTO + 1


def test_of_a_large_revision_only_the_first_files_are_read(upstream: Repository) -> None:
    content = "x" * MAX_FILE_BYTES
    commit = upstream.commit({f"policies/{number:02}": content for number in range(11)})
    files = read_revision(upstream.path, commit)
    assert [file.unread for file in files] == [0] * 8 + [MAX_FILE_BYTES] * 3
    assert sum(len(file.data) for file in files) == MAX_TOTAL_BYTES


def test_a_thousand_files_cost_two_processes(upstream: Repository) -> None:
    index = {"GIT_INDEX_FILE": str(upstream.path / "scratch")}
    oid = git(upstream.path, "hash-object", "-w", "--stdin", stdin="x")
    rows = "".join(f"100644 {oid}\tpolicies/{number}.yaml\n" for number in range(1000))
    git(upstream.path, "update-index", "--index-info", stdin=rows, **index)
    tree = git(upstream.path, "write-tree", **index)
    program = f"""
import sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from reconciler.gitops.revision import read_revision
started = []
sys.addaudithook(lambda event, args: started.append(args[1][1]) if event == "subprocess.Popen" else None)
print(len(read_revision(Path({str(upstream.path)!r}), {tree!r})), started)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1000 ['ls-tree', 'cat-file']\n"


def test_a_folder_reads_like_its_commit(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "policies/deep").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "docs/x.yaml").write_text("no")
    (folder / "policies/a.yaml").write_text("a")
    (folder / "policies/deep/b.yaml").write_text("b")
    (folder / "policies/run.sh").write_text("c")
    (folder / "policies/run.sh").chmod(0o755)
    (folder / "policies/link").symlink_to("/etc/shadow")
    (folder / "schedules").symlink_to("policies")
    (folder / "patchledger.yaml").write_text("d")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "x")
    git(folder, "init", "--quiet", "policies/sub")
    git(folder / "policies/sub", "commit", "--quiet", "--allow-empty", "-m", "x")
    git(folder, "-c", "advice.addEmbeddedRepo=false", "add", "policies/sub")
    git(folder, "commit", "--quiet", "-m", "y")
    from_folder = read_folder(folder)
    assert from_folder == read_revision(folder / ".git", "HEAD")
    assert {file.mode for file in from_folder} == {"100644", "100755", "120000", "160000"}


def test_a_folder_that_is_none_or_holds_a_pipe_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is not a folder"):
        read_folder(tmp_path / "nothing")
    (tmp_path / "policies").mkdir()
    subprocess.run(["mkfifo", str(tmp_path / "policies/pipe")], check=True)
    with pytest.raises(Misuse, match="neither a file"):
        read_folder(tmp_path)


def test_a_tree_that_multiplies_is_not_listed_to_its_end(upstream: Repository) -> None:
    commit = upstream.multiply("policies", levels=7)
    start = monotonic()
    with pytest.raises(Stalled, match="more than 100000 files"):
        read_revision(upstream.path, commit)
    assert monotonic() - start < 30
