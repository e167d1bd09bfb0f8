"""Repositories people work on."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.gitops.revision import read_folder, read_revision, resolve_revision
from reconciler.gitops.surrounding import WorkingCopy, locate
from reconciler.gitops.working_copy import BranchDraft, Clone, initialise
from tests.edge.gitops.bench import git


def test_a_folder_becomes_a_repository_with_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "policy"
    (folder / "policies").mkdir(parents=True)
    (folder / "policies/a.yaml").write_text("kind: Policy\n")
    (folder / ".github").mkdir()
    (folder / ".github/check.yaml").write_text("x")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    commit = initialise(folder, "Begin the policy")
    assert not (tmp_path / "elsewhere").exists()
    assert git(folder, "rev-parse", "main") == commit
    assert git(folder, "status", "--porcelain") == ""
    assert (
        git(folder, "log", "--format=%s|%an <%ae>") == "Begin the policy|patchledger <patchledger@localhost>"
    )
    assert read_revision(folder / ".git", commit) == read_folder(folder)
    assert git(folder, "ls-tree", "-r", "--name-only", "main").split() == [
        ".github/check.yaml",
        "policies/a.yaml",
        "run.sh",
    ]


def test_the_users_own_identity_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "a").write_text("a")
    initialise(folder, "x")
    assert git(folder, "log", "--format=%an <%ae>|%cn") == "Ada <ada@example.org>|Ada"


@pytest.mark.parametrize("name", ["[a].yaml", "*.yaml", "-x.yaml", "a\nb.yaml", '"q".yaml', ":(glob)x.yaml"])
def test_any_name_is_one_file_and_no_pattern_or_option(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    (tmp_path / "other").write_text("y")
    commit = initialise(tmp_path, "x")
    assert sorted(git(tmp_path, "ls-tree", "-z", "--name-only", commit).split("\0")) == sorted(
        [name, "other", ""]
    )


def test_a_name_that_is_no_text_is_misuse(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).write_text("x")
    with pytest.raises(Misuse, match="no UTF-8"):
        initialise(tmp_path, "x")


def test_folders_that_cannot_begin_a_repository_are_misuse(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is not a folder"):
        initialise(tmp_path / "nothing", "x")
    with pytest.raises(Misuse, match="is empty"):
        initialise(tmp_path, "x")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(Misuse, match="is a git repository already"):
        initialise(tmp_path, "x")


def test_the_repository_round_a_folder_is_found(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is in no git repository"):
        locate(tmp_path)
    git(tmp_path, "init", "--quiet")
    inside = tmp_path / "ops/policy"
    inside.mkdir(parents=True)
    assert locate(inside) == WorkingCopy(tmp_path / ".git", "ops/policy")
    assert locate(tmp_path) == WorkingCopy(tmp_path / ".git", "")


def test_repositories_are_found_in_each_place_that_git_puts_them(tmp_path: Path) -> None:
    one = tmp_path / "one"
    git(tmp_path, "init", "--quiet", "one")
    (one / "a").write_text("a")
    git(one, "add", "a")
    git(one, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "a")
    git(one, "worktree", "add", "-q", "../beside")
    git(tmp_path, "clone", "-q", "--bare", "one", "bare.git")
    git(tmp_path, "init", "-q", "--separate-git-dir", "elsewhere", "apart")
    assert locate(tmp_path / "beside") == WorkingCopy(one / ".git" / "worktrees" / "beside", "")
    assert locate(tmp_path / "bare.git") == WorkingCopy(tmp_path / "bare.git", "")
    assert locate(tmp_path / "apart") == WorkingCopy(tmp_path / "elsewhere", "")
    head = resolve_revision(one / ".git", "HEAD")
    assert resolve_revision(locate(tmp_path / "beside").git_dir, "beside") == head
    assert [file.path for file in read_revision(locate(tmp_path / "beside").git_dir, head)] == []
    (one / "inner" / ".git").mkdir(parents=True)
    assert locate(one / "inner") == WorkingCopy(one / ".git", "inner")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / ".git").write_bytes(b"gitdir: \xff/nowhere\n")
    for folder in ("odd", "absent"):
        with pytest.raises(Misuse):
            locate(tmp_path / folder)


DRAFT = BranchDraft("approve/a", {"approvals/a.yaml": b"kind: Approval\n"}, "Approve a\n\nfor a reason\n")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that somebody works in, of a bare repository ``there.git``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git(tmp_path, "clone", "--quiet", "there.git", "clone")
    clone = tmp_path / "clone"
    (clone / "policies").mkdir()
    (clone / "policies/p.yaml").write_text("kind: Policy\n")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", "begin")
    git(clone, "push", "--quiet", "origin", "main")
    return clone


def proposed(clone: Path, draft: BranchDraft = DRAFT) -> str:
    found = Clone(clone, "origin")
    return found.propose(draft, found.fetch("main"))


def test_what_is_staged_is_not_even_moved(clone: Path) -> None:
    (clone / "mine.txt").write_text("work in progress")
    git(clone, "add", "mine.txt")
    before = (clone / ".git/index").stat()
    commit = proposed(clone)
    after = (clone / ".git/index").stat()
    # Renaming changes the time of the inode: whoever is killed between two renames loses what was staged.
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert git(clone, "ls-tree", "-r", "--name-only", commit).split() == [
        "approvals/a.yaml",
        "policies/p.yaml",
    ]


def test_a_file_in_the_place_of_a_folder_is_not_written_over(clone: Path) -> None:
    (clone / "approvals").write_text("a note")
    git(clone, "add", "approvals")
    git(clone, "commit", "--quiet", "-m", "note")
    git(clone, "push", "--quiet", "origin", "main")
    with pytest.raises(ReconcilerError, match=r"cannot make a commit for approve/a"):
        proposed(clone)
    assert git(clone, "ls-remote", "--heads", "origin", "refs/heads/approve/*") == ""


@pytest.mark.parametrize("setting", ["gpgsign = true", "gpgsign = yes", "gpgsign = 1", "gpgsign"])
def test_whoever_signs_every_commit_signs_this_one(clone: Path, setting: str) -> None:
    with (clone / ".git/config").open("a") as file:
        file.write(f"[gpg]\n\tprogram = /nonexistent/gpg\n[commit]\n\t{setting}\n")
    with pytest.raises(Stalled, match=r"cannot push approve/a"):
        proposed(clone)  # There is nothing to sign with, so that nothing is pushed.
    assert git(clone, "ls-remote", "--heads", "origin", "refs/heads/approve/*") == ""


def test_nothing_but_the_branch_is_pushed(clone: Path) -> None:
    git(clone, "tag", "--annotate", "--message", "x", "of-my-own")
    git(clone, "config", "push.followTags", "true")
    proposed(clone)
    assert git(clone, "ls-remote", "--tags", "origin") == ""


def test_a_message_may_be_long(clone: Path) -> None:
    commit = proposed(clone, replace(DRAFT, message="Approve a\n\n" + "a line\n" * 100_000))
    assert len(git(clone, "log", "-1", "--format=%b", commit)) == 700_000 - 1


def test_only_the_workshop_imports_gitpython() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "import reconciler.gitops.report_queue, reconciler.gitops.policy_mirror\n"
        "print('git' in sys.modules, 'pydantic' in sys.modules)\n"
        "import reconciler.gitops.working_copy\n"
        "print('git' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False", "True"]
