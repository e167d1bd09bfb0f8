"""Repositories people work on, through GitPython: their own configuration and identity count here.

Imported only by the commands that need it, since GitPython takes longer to import than a whole quiet tick.
"""

from dataclasses import dataclass
from pathlib import Path

import git

from reconciler.errors import Misuse, Stalled
from reconciler.gitops.git import Git

_FALLBACK = ("patchledger", "patchledger@localhost")


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A folder inside a repository somebody works on.

    Attributes:
        git_dir: Where the objects are, for :func:`reconciler.gitops.revision.read_revision`.
        folder: Path of the folder from the top of the repository, empty for the top.
    """

    git_dir: Path
    folder: str


def initialise(folder: Path, message: str) -> str:
    """Make ``folder`` a repository with branch ``main`` and commit all that is in it; return the commit.

    Author is who git says the user is, else ``patchledger``. Hooks are not run.

    Raises:
        Misuse: It is no folder, is empty, is a repository with commits already, or holds a name that is no
            UTF-8.
        Stalled: The file system refuses.
    """
    if not folder.is_dir():
        raise Misuse(f"{folder} is not a folder", "create it first")
    if (folder / ".git").exists():
        raise Misuse(f"{folder} is a git repository already", "commit there with git")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    if not files:
        raise Misuse(f"{folder} is empty", "put a policy into it first")
    # Through our own door, since a GIT_DIR of the caller would send GitPython's `init` elsewhere.
    made = Git(folder / ".git").run("init", "--quiet", "--template=", "--initial-branch=main")
    if made.returncode:
        raise Stalled(
            f"cannot create a repository in {folder}: {made.error_text}", "check the folder's owner"
        )
    try:
        with git.Repo(folder) as repository:
            repository.index.add(files)
            who = _identity(repository)
            return repository.index.commit(message, author=who, committer=who, skip_hooks=True).hexsha
    except UnicodeError as error:
        raise Misuse(
            f"{folder} holds a file whose name is no UTF-8, which cannot be recorded here", "rename it"
        ) from error
    except (git.GitError, OSError) as error:
        raise Stalled(
            f"cannot commit in {folder}: {error}", "check the folder's owner and free space"
        ) from error


def heartbeat(folder: Path) -> str:
    """Commit nothing on the branch that is checked out, signed as git is configured there; return the commit.

    What is staged stays staged.

    Raises:
        Misuse: The folder is in no repository, or no branch is checked out.
        Stalled: git refuses, for want of a key for instance.
    """
    try:
        with git.Repo(folder, search_parent_directories=True) as repository:
            message = f"Show that the policy is fresh\n\nPolicy-Ref: {repository.active_branch.name}"
            repository.git.commit("--quiet", "--allow-empty", "--only", "--gpg-sign", "--message", message)
            return repository.head.commit.hexsha
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise Misuse(f"{folder} is in no git repository", "give a clone of the policy repository") from error
    except TypeError as error:
        raise Misuse(f"no branch is checked out in {folder}", "check out the policy's branch") from error
    except git.GitCommandError as error:
        said = str(error.stderr).strip().removeprefix("stderr: ").strip("'\n ")
        last = said.splitlines()[-1] if said else "git commit failed"
        raise Stalled(
            f"cannot sign a commit in {folder}: {last}", "set user.signingkey and gpg.format"
        ) from error


def locate(folder: Path) -> WorkingCopy:
    """Return the repository that ``folder`` lies in.

    Raises:
        Misuse: It lies in none.
    """
    try:
        with git.Repo(folder, search_parent_directories=True) as repository:
            top = Path(repository.working_tree_dir or repository.git_dir).resolve()
            inside = folder.resolve().relative_to(top)
            return WorkingCopy(Path(repository.git_dir), "" if inside == Path() else inside.as_posix())
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError) as error:
        raise Misuse(
            f"{folder} is in no git repository", "run git init there, or give another folder"
        ) from error


def _identity(repository: git.Repo) -> git.Actor:
    with repository.config_reader() as configuration:
        name = str(configuration.get_value("user", "name", _FALLBACK[0]))
        address = str(configuration.get_value("user", "email", _FALLBACK[1]))
    return git.Actor(name, address)
