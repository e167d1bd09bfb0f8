"""Read one policy revision, from a commit or from a folder, as the entries git has or would have.

Only the paths that a policy is made of are read. Nothing is left out because it looks wrong: symbolic links,
submodules and odd suffixes are listed, so that the loader can refuse them by name.
"""

import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from reconciler.errors import Misuse, Stalled
from reconciler.gitops.damage import is_sound, judge
from reconciler.gitops.failures import Damaged
from reconciler.gitops.git import Git
from reconciler.gitops.refs import is_oid
from reconciler.gitops.remote import one_line
from reconciler.gitops.source import PolicySource
from reconciler.policy.load import PolicyFile

POLICY_PATHS = (
    "approvals",
    "calendars",
    "exceptions",
    "freezes",
    "hosts",
    "patchledger.yaml",
    "policies",
    "rollouts",
    "schedules",
    "scripts",
    "trust",
)
"""Top-level names a policy repository is read from; all others are ignored."""

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_FILES = 100_000
_MAX_LISTING = 200 * MAX_FILES
_HINT = "keep only policy documents in that repository"
_LINK, _SUBMODULE = "120000", "160000"


def read_revision(git_dir: Path, revision: str, *, folder: str = "") -> list[PolicyFile]:
    """Return the policy files of a commit, sorted by path: two processes, however many files there are.

    Args:
        git_dir: A repository, bare or the ``.git`` of a work tree.
        revision: A commit, branch or tag; never an option.
        folder: Where the policy lies in the repository, empty for its top.

    Raises:
        Misuse: There is no such revision or folder.
        Stalled: It is larger than 4 MiB a file, 64 MiB or 100,000 files in all.
        Damaged: The repository cannot be read.
    """
    git = Git(git_dir)
    tree = f"{revision}:{folder}" if folder else f"{revision}^{{tree}}"
    doing = f"cannot read revision {one_line(tree, 80)}"
    if revision.startswith("-") or "\n" in tree:
        raise Misuse(f"{doing}: that is no revision", "give a commit, branch or tag")
    # A tree may name another one a thousand times, which may do so again: it is not listed to its end.
    listed = git.run(
        *("ls-tree", "-rzl", "--full-tree", tree, "--", *POLICY_PATHS),
        limit=_MAX_LISTING,
        ends_at_limit=True,
    )
    if listed.truncated:
        raise Stalled(f"{doing}: it has more than {MAX_FILES} files", _HINT)
    if listed.returncode:
        if _is_absent(listed.error_text):
            raise Misuse(f"{doing}: {git_dir} has no such revision", "give a commit, branch or tag")
        raise judge(git, listed, doing)
    entries = [_entry(record) for record in listed.stdout.split(b"\0") if record]
    _check_bounds([(path, size) for _, _, size, path in entries], doing)
    contents = _contents(git, [oid for mode, oid, _, _ in entries if mode != _SUBMODULE], doing)
    files = [
        PolicyFile(path, mode, b"" if mode == _SUBMODULE else next(contents))
        for mode, oid, _, path in entries
    ]
    return sorted(files, key=lambda file: file.path)


def read_accepted(source: PolicySource, commit: str, *, timeout: float, now: datetime) -> list[PolicyFile]:
    """Return the policy files of ``commit`` from the mirror; a damaged mirror is fetched anew first.

    Raises:
        Transient: The mirror is damaged and the remote cannot be reached.
        Stalled: As of :func:`read_revision` and of :meth:`PolicySource.fetch`.
    """
    try:
        return read_revision(source.mirror, commit)
    except (Damaged, Misuse) as problem:
        if isinstance(problem, Damaged) or not is_sound(Git(source.mirror)):
            source.rebuild(timeout=timeout, now=now)
    try:
        return read_revision(source.mirror, commit)
    except Misuse as error:
        raise Stalled(
            f"accepted commit {commit} is no longer in the policy repository {source.shown}",
            "set trust.floor to the full id of a commit of the present history",
        ) from error


def resolve_revision(git_dir: Path, revision: str) -> str:
    """Return the full id of the commit that ``revision`` names.

    Raises:
        Misuse: There is no such commit.
    """
    found = Git(git_dir).run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    oid = found.text.strip()
    if found.returncode or not is_oid(oid):
        raise Misuse(
            f"there is no commit '{one_line(revision, 80)}' in {git_dir}", "give a commit, branch or tag"
        )
    return oid


def read_folder(folder: Path) -> list[PolicyFile]:
    """Return the policy files of a folder as git would record them, sorted by path.

    Symbolic links are listed, never followed; a folder that is a repository of its own is a submodule.

    Raises:
        Misuse: It is no folder, or something in it cannot be read or recorded by git.
        Stalled: It is larger than the bounds of :func:`read_revision`.
    """
    if not folder.is_dir():
        raise Misuse(f"{folder} is not a folder", "give the folder of a policy repository")
    try:
        paths = sorted(_walk(folder))
        _check_bounds([(path, (folder / path).lstat().st_size) for path in paths], f"cannot read {folder}")
        return [_from_disk(folder, path) for path in paths]
    except OSError as error:
        raise Misuse(f"cannot read {error.filename}: {error.strerror}", "check its owner and mode") from error


def _is_absent(complaint: str) -> bool:
    # A damaged repository complains in more than one line.
    return complaint.startswith(("fatal: Not a valid object name", "fatal: not a tree object")) and (
        "\n" not in complaint
    )


def _entry(record: bytes) -> tuple[str, str, int, str]:
    details, _, path = record.partition(b"\t")
    mode, _, oid, size = details.decode("ascii").split()
    return mode, oid, 0 if size == "-" else int(size), path.decode("utf-8", "backslashreplace")


def _contents(git: Git, oids: list[str], doing: str) -> Iterator[bytes]:
    asked = git.run(
        "cat-file",
        "--batch",
        "--buffer",
        stdin="".join(f"{oid}\n" for oid in oids).encode(),
        limit=MAX_TOTAL_BYTES + 128 * (len(oids) + 1),
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


def _check_bounds(sizes: list[tuple[str, int]], doing: str) -> None:
    if len(sizes) > MAX_FILES:
        raise Stalled(f"{doing}: it has {len(sizes)} files, more than {MAX_FILES}", _HINT)
    for path, size in sizes:
        if size > MAX_FILE_BYTES:
            raise Stalled(f"{doing}: {one_line(path)} has {size} bytes, more than {MAX_FILE_BYTES}", _HINT)
    total = sum(size for _, size in sizes)
    if total > MAX_TOTAL_BYTES:
        raise Stalled(f"{doing}: it has {total} bytes, more than {MAX_TOTAL_BYTES}", _HINT)


def _walk(folder: Path) -> Iterator[str]:
    for name in POLICY_PATHS:
        top = folder / name
        if top.is_dir() and not top.is_symlink():
            yield from _below(top, name)
        elif top.is_symlink() or top.exists():
            yield name


def _below(top: Path, name: str) -> Iterator[str]:
    with os.scandir(top) as entries:
        for entry in entries:
            path = f"{name}/{entry.name}"
            if not entry.is_dir(follow_symlinks=False) or (top / entry.name / ".git").exists():
                yield path
            else:
                yield from _below(top / entry.name, path)


def _from_disk(folder: Path, path: str) -> PolicyFile:
    file = folder / path
    mode = file.lstat().st_mode
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if stat.S_ISLNK(mode):
        return PolicyFile(shown, _LINK, os.fsencode(file.readlink()))
    if stat.S_ISDIR(mode):
        return PolicyFile(shown, _SUBMODULE, b"")
    if not stat.S_ISREG(mode):
        raise Misuse(f"{file} is neither a file, a folder nor a link", "remove it")
    return PolicyFile(shown, "100755" if mode & stat.S_IXUSR else "100644", file.read_bytes())
