"""Read one policy revision, from a commit or from a folder, as the entries git has or would have.

Everything is listed, and read is what a policy is made of and what may be policy in a wrong place
(:mod:`reconciler.policy.placement`). Nothing is left out because it looks wrong: symbolic links, submodules
and odd suffixes are listed, so that the loader can refuse them by name.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

from reconciler.errors import Misuse, Stalled
from reconciler.gitops.damage import is_sound, judge
from reconciler.gitops.failures import Damaged
from reconciler.gitops.git import Git
from reconciler.gitops.objects import MAX_FILE_BYTES, contents_of, described
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.refs import is_oid
from reconciler.policy.load import PolicyFile
from reconciler.policy.placement import LINK, MOST_BYTES_LOOKED_INTO, SUBMODULE, Listed, choose, is_read
from reconciler.policy.remotes import one_line
from reconciler.records import dataclass

MAX_TOTAL_BYTES = 8 * 1024 * 1024
"""Of files in the known folders; what is larger is listed and not read, so that the loader refuses it."""
MAX_FILES = 100_000
_MAX_LISTING = 200 * MAX_FILES
_HINT = "keep only policy documents in that repository"


def read_revision(git_dir: Path, revision: str, *, folder: str = "", also: str = "") -> list[PolicyFile]:
    """Return the policy files of a commit, sorted by path: two processes, however many files there are.

    Args:
        git_dir: A repository, bare or the ``.git`` of a work tree.
        revision: A commit, branch or tag; never an option.
        folder: Where the policy lies in the repository, empty for its top.
        also: A folder in it whose files are read like those of a policy.

    Raises:
        Misuse: There is no such revision or folder.
        Stalled: It has more than 100,000 files.
        Damaged: The repository cannot be read.
    """
    return read_revisions(git_dir, [revision], folder=folder, also=also)[0]


def read_revisions(
    git_dir: Path, revisions: Sequence[str], *, folder: str = "", also: str = ""
) -> list[list[PolicyFile]]:
    """Return the policy files of several commits as :func:`read_revision` does: one process more for each."""
    git = Git(git_dir)
    chosen = [_chosen(git, one, folder, also) for one in revisions]
    doing = f"cannot read revision {one_line(' and '.join(revisions), 80)}"
    oids = list(dict.fromkeys(oid for one in chosen for oid, entry in one.read if entry.mode != SUBMODULE))
    limit = len(chosen) * (MAX_TOTAL_BYTES + MOST_BYTES_LOOKED_INTO)
    contents = dict(zip(oids, contents_of(git, oids, doing, limit), strict=True))
    return [one.files(contents) for one in chosen]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What of a commit is read, with the ids of the objects, and what is too large and only listed."""

    read: list[tuple[str, Listed]]
    large: list[Listed]

    def files(self, contents: Mapping[str, bytes]) -> list[PolicyFile]:
        files = [
            PolicyFile(entry.path, entry.mode, b"" if entry.mode == SUBMODULE else contents[oid])
            for oid, entry in self.read
        ]
        files += map(_unread, self.large)
        return sorted(files, key=lambda file: file.path)


def _chosen(git: Git, revision: str, folder: str, also: str) -> _Chosen:
    tree = f"{revision}:{folder}" if folder else f"{revision}^{{tree}}"
    doing = f"cannot read revision {one_line(tree, 80)}"
    if revision.startswith("-") or "\n" in tree:
        raise Misuse(f"{doing}: that is no revision", "give a commit, branch or tag")
    # A tree may name another one a thousand times, which may do so again: it is not listed to its end.
    listed = git.run("ls-tree", "-rzl", "--full-tree", tree, limit=_MAX_LISTING, ends_at_limit=True)
    if listed.truncated:
        raise Stalled(f"{doing}: it has more than {MAX_FILES} files", _HINT)
    if listed.returncode:
        if _is_absent(listed.error_text):
            raise Misuse(f"{doing}: {git.git_dir} has no such revision", "give a commit, branch or tag")
        raise judge(git, listed, doing)
    objects = [_object(record) for record in listed.stdout.split(b"\0") if record]
    wanted, large = _wanted([entry for _, entry in objects], doing, also)
    read = [(oid, entry) for oid, entry in objects if entry.path in wanted]
    return _Chosen(read, [entry for _, entry in objects if entry.path in large])


def _unread(entry: Listed) -> PolicyFile:
    return PolicyFile(entry.path, entry.mode, b"", unread=entry.size)


def read_accepted(source: PolicyMirror, commit: str, *, timeout: float, now: datetime) -> list[PolicyFile]:
    """Return the policy files of ``commit`` from the mirror; a damaged mirror is fetched anew first.

    Raises:
        Transient: The mirror is damaged and the remote cannot be reached.
        Stalled: As of :func:`read_revision` and of :meth:`PolicyMirror.fetch`.
    """

    def read() -> list[PolicyFile]:
        try:
            return read_revision(source.mirror, commit)
        except Misuse as absent:
            if not is_sound(Git(source.mirror)):
                raise Damaged(absent.message) from absent
            raise

    try:
        return source.whole(read, timeout=timeout, now=now)
    except Misuse as error:
        raise Stalled(
            f"accepted commit {commit} is no longer in the policy repository {source.shown}",
            "set trust.floor to the full id of a commit of the present history",
        ) from error


def resolve_revision(git_dir: Path, revision: str) -> str:
    """Return the full id of the commit that ``revision`` names.

    Raises:
        Misuse: There is no such commit.
        Damaged: The repository cannot be read.
    """
    (commit,) = find_commits(git_dir, [revision])
    if not commit:
        raise no_commit(git_dir, revision)
    return commit


def no_commit(git_dir: Path, revision: str) -> Misuse:
    """Return the problem that a revision names no commit."""
    return Misuse(
        f"there is no commit '{one_line(revision, 80)}' in {git_dir}", "give a commit, branch or tag"
    )


def find_commits(git_dir: Path, revisions: Sequence[str]) -> list[str]:
    """Return the full id of the commit that each revision names, nothing where it names none: one process.

    Raises:
        Damaged: The repository cannot be read.
    """
    # A line is one question; and git would take none of what NUL ends.
    asked = ["" if {"\n", "\0"} & {*one} else f"{one}^{{commit}}" for one in revisions]
    told = described(Git(git_dir), asked, f"cannot look for commits in {git_dir}")
    return [oid if is_oid(oid) and kind == "commit" else "" for oid, kind, _ in told]


def changed_paths(git_dir: Path, base: str, head: str) -> list[str]:
    """Return the paths that ``head`` changes since it left ``base``, from the top of the repository, sorted.

    What is renamed counts with both names; bytes that are no UTF-8 are escaped.

    Args:
        git_dir: A repository, bare or the ``.git`` of a work tree.
        base: Full id of a commit.
        head: Likewise.

    Raises:
        Misuse: The two share no commit.
        Stalled: More than 100,000 files changed.
        Damaged: The repository cannot be read.
    """
    git = Git(git_dir)
    doing = f"cannot compare {head[:12]} with {base[:12]}"
    shared = git.run("merge-base", base, head)
    start = shared.text.strip()
    if shared.returncode == 1 and not shared.error_text:
        raise Misuse(f"{doing}: they share no commit", "fetch all of both (a shallow clone holds too little)")
    if shared.returncode or not is_oid(start):
        raise judge(git, shared, doing)
    found = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", start, head, limit=_MAX_LISTING)
    if found.truncated:
        raise Stalled(f"{doing}: more than {MAX_FILES} files changed", _HINT)
    if found.returncode:
        raise judge(git, found, doing)
    return sorted(path.decode("utf-8", "backslashreplace") for path in found.stdout.split(b"\0") if path)


def read_folder(folder: Path, *, also: str = "") -> list[PolicyFile]:
    """Return the policy files of a folder as git would record them, sorted by path.

    Symbolic links are listed, never followed; a folder that is a repository of its own is a submodule. Files
    of the folder ``also`` in it are read like those of a policy.

    Raises:
        Misuse: It is no folder, or something in it cannot be read or recorded by git.
        Stalled: It has more files than :func:`read_revision` takes.
    """
    if not folder.is_dir():
        raise Misuse(f"{folder} is not a folder", "give the folder of a policy repository")
    try:
        entries = [_listed(folder, path) for path in sorted(islice(_walk(folder), MAX_FILES + 1))]
        wanted, large = _wanted(entries, f"cannot read {folder}", also)
        return [
            _unread(entry) if entry.path in large else _from_disk(folder, entry)
            for entry in entries
            if entry.path in wanted or entry.path in large
        ]
    except OSError as error:
        raise Misuse(f"cannot read {error.filename}: {error.strerror}", "check its owner and mode") from error


def _is_absent(complaint: str) -> bool:
    # A damaged repository complains in more than one line.
    return complaint.startswith(("fatal: Not a valid object name", "fatal: not a tree object")) and (
        "\n" not in complaint
    )


def _object(record: bytes) -> tuple[str, Listed]:
    details, _, path = record.partition(b"\t")
    mode, _, oid, size = details.decode("ascii").split()
    return oid, Listed(path.decode("utf-8", "backslashreplace"), mode, 0 if size == "-" else int(size))


def _wanted(entries: Sequence[Listed], doing: str, also: str = "") -> tuple[frozenset[str], frozenset[str]]:
    """Return the paths that are read, and those that are only listed, since they are too large."""
    if len(entries) > MAX_FILES:
        raise Stalled(f"{doing}: it has more than {MAX_FILES} files", _HINT)
    read: set[str] = set()
    listed: set[str] = set()
    total = 0
    for entry in sorted(entries, key=lambda entry: entry.path):
        if is_read(entry.path) or (also and entry.path.startswith(f"{also}/")):
            is_large = entry.size > MAX_FILE_BYTES or total + entry.size > MAX_TOTAL_BYTES
            (listed if is_large else read).add(entry.path)
            total += 0 if is_large else entry.size
    beside, more = choose(entries)
    return frozenset((*read, *beside, *([more] if more else ()))), frozenset(listed)


def _walk(folder: Path) -> Iterator[str]:
    """Yield what git would list; beside the known folders, what it could not read is left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry.name
            elif entry.name != ".git":
                yield from _below(folder / entry.name, entry.name)


def _below(top: Path, name: str) -> Iterator[str]:
    if (top / ".git").exists():
        yield name
        return
    try:
        entries = list(os.scandir(top))
    except OSError:
        if is_read(name):
            raise
        return
    for entry in entries:
        path = f"{name}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(top / entry.name, path)
        else:
            yield path


def _listed(folder: Path, path: str) -> Listed:
    status = (folder / path).lstat()
    return Listed(path, _mode(status.st_mode), status.st_size)


def _mode(mode: int) -> str:
    """Return how git writes a mode; of what git cannot record, nothing."""
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_ISDIR(mode):
        return SUBMODULE
    if not stat.S_ISREG(mode):
        return ""
    return "100755" if mode & stat.S_IXUSR else "100644"


def _from_disk(folder: Path, entry: Listed) -> PolicyFile:
    file = folder / entry.path
    shown = entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    match entry.mode:
        case "":
            raise Misuse(f"{file} is neither a file, a folder nor a link", "remove it")
        case "120000":
            return PolicyFile(shown, LINK, os.fsencode(file.readlink()))
        case "160000":
            return PolicyFile(shown, SUBMODULE, b"")
        case mode:
            return PolicyFile(shown, mode, _content(file, entry))


def _content(file: Path, entry: Listed) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        if is_read(entry.path):
            raise
        return b""
