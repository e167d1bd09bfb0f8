"""Repositories people work on, through GitPython: their own configuration and identity count here.

Imported only by the commands that need it, since GitPython takes longer to import than a whole quiet tick.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import git

from reconciler.errors import Misuse, Stalled, Transient
from reconciler.gitops.failures import explain
from reconciler.gitops.git import Git
from reconciler.records import dataclass

_REGULAR = "100644"
_PUSH = ("--quiet", "--no-follow-tags", "--recurse-submodules=no")
"""Push what the refspecs say and nothing else, whatever the configuration adds to other pushes."""
_UTF8 = {"c": "i18n.commitEncoding=UTF-8"}
"""What a message of ours is written in, whatever the clone says of those that people write."""
_FALLBACK = ("patchledger", "patchledger@localhost")


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
            made = repository.git(**_UTF8)
            made.commit("--quiet", "--allow-empty", "--only", "--gpg-sign", "--message", message)
            return repository.head.commit.hexsha
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise Misuse(f"{folder} is in no git repository", "give a clone of the policy repository") from error
    except TypeError as error:
        raise Misuse(f"no branch is checked out in {folder}", "check out the policy's branch") from error
    except git.GitCommandError as error:
        raise Stalled(
            f"cannot sign a commit in {folder}: {_last_line(error)}", "set user.signingkey and gpg.format"
        ) from error


@dataclass(frozen=True, slots=True)
class BranchDraft:
    """Files that a policy is to have, as a branch that people merge.

    Attributes:
        branch: What it is called.
        files: Path from the top of the repository, and content; none of them is there yet.
        message: Of the commit.
    """

    branch: str
    files: Mapping[str, bytes]
    message: str


class Clone:
    """A clone that somebody works in, and the remote that others see.

    Neither what is checked out nor what is staged is touched. Their own configuration, identity and
    credentials count.

    Args:
        folder: Anywhere in the clone.
        remote: Name of the remote.

    Raises:
        Misuse: The folder is in no repository, or that has no such remote.
    """

    def __init__(self, folder: Path, remote: str) -> None:
        try:
            self._repository = git.Repo(folder, search_parent_directories=True)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
            raise Misuse(
                f"{folder} is in no git repository", "run this in a clone of the policy repository"
            ) from error
        self._remote = remote
        if remote not in {one.name for one in self._repository.remotes}:
            raise Misuse(f"{folder} has no remote {remote!r}", "name one of `git remote` with --remote")

    @property
    def git_dir(self) -> Path:
        """Where the objects are."""
        return Path(self._repository.git_dir)

    @property
    def address(self) -> str:
        """Where the remote is."""
        return next(iter(self._repository.remotes[self._remote].urls))

    def fetch(self, branch: str) -> str:
        """Return the newest commit of a branch of the remote.

        Raises:
            Misuse: It has no such branch.
            Transient: It cannot be reached.
        """
        try:
            self._repository.git.fetch("--quiet", "--no-tags", self._remote, f"refs/heads/{branch}")
            return str(self._repository.git.rev_parse("--verify", "FETCH_HEAD^{commit}"))
        except git.GitCommandError as error:
            said = _last_line(error)
            if "find remote ref" in said:
                raise Misuse(f"{self._remote} has no branch {branch!r}", "name it with --base") from error
            raise Transient(f"cannot fetch {branch} from {self._remote}: {said}", "try again") from error

    def holds(self, commit: str, head: str) -> bool:
        """Tell whether a commit is ``head``, or one before it."""
        try:
            self._repository.git.merge_base("--is-ancestor", commit, head)
        except git.GitCommandError:
            return False
        return True

    def propose(self, draft: BranchDraft, head: str) -> str:
        """Push a new branch with one commit on top of ``head``, and return the commit; none is moved.

        It is signed where git is configured to sign every commit.

        Raises:
            Misuse: The remote has that branch already.
            Stalled: git cannot sign, or the remote refuses, or a file stands in the place of a folder.
        """
        try:
            if self._repository.git.ls_remote("--heads", self._remote, f"refs/heads/{draft.branch}"):
                said = f"{self._remote} has a branch {draft.branch} already"
                raise Misuse(said, "merge or delete it first")
            commit = self._committed(draft, head)
            lease = f"--force-with-lease=refs/heads/{draft.branch}:"  # it is made, or stays as it is
            self._repository.git.push(*_PUSH, lease, self._remote, f"{commit}:refs/heads/{draft.branch}")
        except git.GitCommandError as error:
            raise Stalled(
                f"cannot push {draft.branch} to {self._remote}: {_last_line(error)}",
                "see that you may push branches there, and that git can sign where commit.gpgsign is set",
            ) from error
        return commit

    def _committed(self, draft: BranchDraft, head: str) -> str:
        tree = _tree(Git(self.git_dir), draft, head)
        # git itself reads it: to GitPython "1", and the bare key, are not true.
        signs = self._repository.git.config("--type=bool", "--default=false", "--get", "commit.gpgsign")
        options = ["-S"] if signs == "true" else []
        with tempfile.NamedTemporaryFile(prefix="patchledger-") as message:  # no argument may be that long
            message.write(draft.message.encode())
            message.flush()
            made = self._repository.git(**_UTF8)
            return str(made.commit_tree(*options, "-p", head, "-F", message.name, tree))


def _tree(own: Git, draft: BranchDraft, head: str) -> str:
    """Write the tree of ``head`` with the files of a draft, and return its id.

    In an index of its own: GitPython would rename the one of the clone away meanwhile, and who kills it then
    loses what was staged.
    """
    doing = f"cannot make a commit for {draft.branch}"
    with tempfile.TemporaryDirectory(prefix="patchledger-") as folder:

        def asked(*arguments: str, stdin: bytes | None = None) -> str:
            settings, environment = {"core.splitIndex": "false"}, {"GIT_INDEX_FILE": f"{folder}/index"}
            done = own.run(*arguments, stdin=stdin, settings=settings, environment=environment)
            if done.returncode:
                raise explain(done, doing)
            return done.text.strip()

        asked("read-tree", head)
        for path, data in draft.files.items():
            stored = asked("hash-object", "-w", "--stdin", stdin=data)
            # Not --index-info, which removes what stands in the way.
            asked("update-index", "--add", "--cacheinfo", f"{_REGULAR},{stored},{path}")
        return asked("write-tree")


def _last_line(error: git.GitCommandError) -> str:
    said = str(error.stderr).strip().removeprefix("stderr: ").strip("'\n ")
    return said.splitlines()[-1] if said else "git fails"


def _identity(repository: git.Repo) -> git.Actor:
    with repository.config_reader() as configuration:
        name = str(configuration.get_value("user", "name", _FALLBACK[0]))
        address = str(configuration.get_value("user", "email", _FALLBACK[1]))
    return git.Actor(name, address)
