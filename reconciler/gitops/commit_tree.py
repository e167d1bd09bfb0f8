"""A commit of a tree that is written already, signed where a key is given."""

from collections.abc import Iterable
from datetime import datetime

from reconciler.gitops import damage
from reconciler.gitops.git import Git


def commit_tree(
    git: Git,
    tree: str,
    parents: Iterable[str],
    message: bytes,
    *,
    who: tuple[str, str],
    when: datetime,
    key: str,
    doing: str,
) -> str:
    """Make a commit, and return its id (git-commit-tree(1)).

    Args:
        git: The repository.
        tree: Id of what it holds.
        parents: Ids of the commits that it continues.
        message: All of it.
        who: Name and address of its author and committer.
        when: Its date, aware.
        key: File of the SSH key that signs it, looked at by the caller; empty without.
        doing: What is said where git fails.

    Raises:
        ReconcilerError: git fails.
    """
    name, address = who
    roles = ("AUTHOR", "COMMITTER")
    told = {"NAME": name, "EMAIL": address, "DATE": f"@{int(when.timestamp())} +0000"}
    done = git.run(
        *("commit-tree", *(["-S"] if key else []), *(word for parent in parents for word in ("-p", parent))),
        *("-F", "-", tree),
        stdin=message,
        settings={"gpg.format": "ssh", "user.signingKey": key} if key else {},
        environment={f"GIT_{role}_{part}": value for role in roles for part, value in told.items()},
    )
    if done.returncode:
        raise damage.judge(git, done, doing)
    return done.text.strip()
