"""Read objects of a repository in bounds, whoever wrote them, each by one process for many."""

from collections.abc import Iterator, Sequence

from reconciler.gitops.damage import judge
from reconciler.gitops.failures import Damaged
from reconciler.gitops.git import Git

MAX_FILE_BYTES = 1024 * 1024
"""Of a file of the policy."""


def contents_of(git: Git, oids: Sequence[str], doing: str, limit: int) -> Iterator[bytes]:
    """Return what objects hold: one process.

    Args:
        git: The repository.
        oids: Full ids.
        doing: For people, what cannot be done where one cannot be read.
        limit: Bytes that they have together at most.

    Raises:
        Damaged: One of them cannot be read.
    """
    asked = git.run(
        "cat-file",
        "--batch",
        "--buffer",
        stdin="".join(f"{oid}\n" for oid in oids).encode(),
        limit=limit + 128 * (len(oids) + 1),
    )
    if asked.returncode:
        raise judge(git, asked, doing)
    contents, position = [], 0
    for oid in oids:
        end = asked.stdout.index(b"\n", position)
        header = asked.stdout[position:end].split()
        if len(header) != 3:  # noqa: PLR2004 - "ID type size", or "ID missing"
            raise Damaged(f"{doing}: object {oid} is missing from {git.git_dir}")
        position = end + 1 + int(header[2]) + 1
        contents.append(asked.stdout[end + 1 : position - 1])
    return iter(contents)


def bounded(git: Git, oids: Sequence[str], doing: str, most: int) -> list[bytes | None]:
    """Return what objects hold, ``None`` of one that is too large to be what it should be.

    Args:
        git: The repository.
        oids: Full ids.
        doing: As for :func:`contents_of`.
        most: Bytes that one has at most.

    Raises:
        Damaged: One of them cannot be read.
    """
    sizes = {oid: int(size) for oid, _, size in described(git, oids, doing)}
    small = [oid for oid in dict.fromkeys(oids) if sizes.get(oid, 0) <= most]
    limit = sum(sizes.get(oid, 0) for oid in small)
    held = dict(zip(small, contents_of(git, small, doing, limit), strict=True)) if small else {}
    return [held.get(oid) for oid in oids]


def described(git: Git, names: Sequence[str], doing: str) -> list[tuple[str, str, str]]:
    """Return id, type and size of each object; of what is missing, three times nothing.

    Args:
        git: The repository.
        names: Full ids, or what git knows objects by.
        doing: As for :func:`contents_of`.

    Raises:
        ReconcilerError: The repository cannot be read.
    """
    asked = git.run(
        "cat-file",
        "--batch-check=%(objectname) %(objecttype) %(objectsize)",
        stdin="".join(f"{name}\n" for name in names).encode(),
    )
    if asked.returncode:
        raise judge(git, asked, doing)
    rows = (row.split(" ") for row in asked.lines)
    return [(row[0], row[1], row[2]) if len(row) == 3 else ("", "", "0") for row in rows]  # noqa: PLR2004
