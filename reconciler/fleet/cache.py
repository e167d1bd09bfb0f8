"""What is in a report repository: a bare copy of it, and how much is read of it with few processes.

The rules:

1. One copy for each remote, and only what is new is fetched. Nothing is lost with it: a damaged one is made
   anew, and that is said.
2. Of the remote only the branches of targets, and those of the fleet, are fetched. A branch that has another
   name than a target can have is not looked at.
3. Trees are read as bytes and never checked out. Only those of the documented shape are of any use: regular
   files of known names, bounded in number and size.
4. Objects that git finds malformed do not keep a transfer from arriving: one host could keep all others from
   being read. What cannot be read here is the report of nobody.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.gitops import damage
from reconciler.gitops.failures import Damaged, Suspect, explain
from reconciler.gitops.git import CUT_OFF, QUIET_FETCH, TELLING_FETCH, Git, GitAccess, commit_date
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.report_tree import ReportPath
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES
from reconciler.policy.remotes import parse_remote, redact_url
from reconciler.records import dataclass

_Answer = TypeVar("_Answer")
Tell = Callable[[int, int], None]
"""Is told how many of how many were done."""

MOST_FILES = 3_000
"""Files of a report, as the example of a server allows them."""
MOST_BYTES = 32 * 2**20
"""Bytes of one file of a report."""
MOST_REPORT_BYTES = 4 * 2**20
"""Bytes of a ``report.json``, or of a run's record, that is read."""
_MOST_TREE_BYTES = 300 * MOST_FILES
_MOST_TRANSFERRED = 16 * 2**30
_MOST_LISTED = 256 * 2**20
_FIRST_TIMEOUT = 3600.0
"""Seconds for the first fetch, which brings everything there is."""
_UNSYNCED = ("-c", "core.fsync=none")
"""Of a first fetch: each ref is a file, and to wait for ten thousand of them takes half a minute. A copy that
a power cut leaves damaged is made anew all the same."""
_MANY_REFS = 500
"""Refs in a file each after which they are packed: such are slow to look at."""
_NAME = "reports"
_TRACKING = f"refs/remotes/{_NAME}/"
_SPECS = tuple(f"+refs/heads/{one}:{_TRACKING}{one}" for one in ("hosts/*", "guests/*", "fleet*"))
_FILES = ("report.json", "report.md", "observation.json")
_COMMIT = re.compile(rb"tree ([0-9a-f]+)\n(?:.*\n)*?committer [^\n]*> ([0-9]+) [+-][0-9]{4}\n")
_FILE, _FOLDER = b"100644", b"40000"
_DOING = "cannot read the reports"
_FAR = re.compile(rb"(?:Receiving|Unpacking) objects: +([0-9]{1,3})% \(([0-9]{1,12})/([0-9]{1,12})\)")
"""How far git says that a fetch is (git's progress.c)."""
_NO_PROBLEM = (
    *(b" ", b"From ", b"Receiving objects:", b"Resolving deltas:", b"remote: Enumerating objects:"),
    *(b"remote: Counting objects:", b"remote: Compressing objects:", b"remote: Total "),
)
"""How lines begin in which git tells nothing but how far it is, and which branches came."""
_TOLD_EVERY = 10
"""Percent of a fetch between two words about it."""


@dataclass(frozen=True, slots=True)
class ReportCommit:
    """A commit of a branch: its tree, and when it says that it was made."""

    tree: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Shaped:
    """The tree of a report, of the documented shape.

    Attributes:
        report: Id of ``report.json``.
        run: Id of the record of the newest run, empty where there is none.
        size: Bytes that both have.
        observation: Id of ``observation.json``, empty where there is none.
        recorded: Bytes that it has.
    """

    report: str
    run: str
    size: int
    observation: str = ""
    recorded: int = 0


@dataclass(frozen=True, slots=True)
class Misshapen:
    """A tree that is not of the documented shape, and why not."""

    message: str


def copy_of(remote: str) -> str:
    """Return what the copy of a report repository is called, without its ending."""
    return sha256(remote.encode()).hexdigest()[:16]


class ReportCache:
    """The copy of one report repository.

    One process at a time may use it.

    Args:
        folder: The bare repository, made on first use.
        remote: Address of the report repository.
        access: How to reach it.
        tell: Is told how many of how many objects came, where all are fetched.

    Attributes:
        shown: The remote, fit for people.
        git: The copy.
        notices: What a person should know and is no failure.

    Raises:
        Misuse: The address cannot be used.
    """

    def __init__(
        self, folder: Path, remote: str, access: GitAccess | None = None, tell: Tell | None = None
    ) -> None:
        options = replace(access or GitAccess(), max_bytes=_MOST_TRANSFERRED, checks_objects=False)
        self.remote = parse_remote(remote)
        self.shown = redact_url(remote)
        self.git = Git(folder.absolute(), options)
        self.notices: tuple[str, ...] = ()
        self._tell = tell
        self._timeout = 0.0
        self._tips: dict[str, str] | None = None

    def fetch(self, timeout: float) -> None:
        """Fetch what is new; a copy that is damaged is made anew.

        Args:
            timeout: Seconds for each conversation with the remote.

        Raises:
            Transient: The remote cannot be reached.
            Stalled: The remote must be mended, or the disk is full.
            Misuse: A file of the options cannot be used.
        """
        self._timeout, self._tips = timeout, None
        folder = self.git.git_dir
        if folder.exists():
            self._tidy()  # Not afterwards: of a copy that is not kept, that would be for nobody.
        else:
            damage.create_bare(folder, self.git)
            timeout = max(timeout, _FIRST_TIMEOUT)
        problem = self._fetched(timeout)
        if isinstance(problem, Transient) and not isinstance(problem, Damaged) and damage.unlock(folder):
            problem = self._fetched(timeout)
        if isinstance(problem, Suspect) and damage.soundness(self.git) is False:
            problem = Damaged(problem.message)
        if isinstance(problem, Damaged) or (problem is None and not self._has_refs()):
            self.rebuild()
        elif problem is not None:
            raise problem

    def whole(self, ask: Callable[[], _Answer]) -> _Answer:
        """Return what ``ask`` reads; a copy that turns out to be damaged is made anew, once, and asked again.

        Raises:
            ReconcilerError: As of :meth:`fetch`.
        """
        try:
            return ask()
        except Damaged:
            self.rebuild()
        return ask()

    def rebuild(self) -> None:
        """Move the copy aside and fetch a new one.

        Raises:
            ReconcilerError: As of :meth:`fetch`.
        """
        self._tips = None
        aside = damage.move_aside(self.git.git_dir, keep=1)
        damage.create_bare(self.git.git_dir, self.git)
        self.notices += (
            f"the copy of {self.shown} was damaged; it is fetched anew, and the old one is {aside}",
        )
        problem = self._fetched(max(self._timeout, _FIRST_TIMEOUT))
        if problem is not None:
            raise problem

    def tips(self) -> dict[str, str]:
        """Return the newest commit of each branch that was fetched last, by its name: one process a fetch.

        Raises:
            Damaged: A ref cannot be read.
        """
        if self._tips is None:
            words = ("for-each-ref", "--format=%(objectname) %(refname:lstrip=3)", _TRACKING)
            asked = self.git.run(*words, limit=_MOST_LISTED)
            if asked.returncode or asked.stderr:  # a broken ref is passed over with a warning
                raise Damaged(f"{_DOING}: {asked.error_text[:200] or 'git fails'}")
            rows = (line.partition(" ") for line in asked.lines)
            self._tips = {branch: oid for oid, _, branch in rows}
        return self._tips

    def commits(self, oids: Sequence[str]) -> list[ReportCommit | None]:
        """Return what commits say; ``None`` of one that is none, or too large.

        Raises:
            Damaged: One is not there.
        """
        return [report_commit(data) for data in bounded(self.git, oids, _DOING, MAX_COMMIT_BYTES)]

    def shapes(self, trees: Sequence[str]) -> list[Shaped | Misshapen]:
        """Say of trees whether they are of the documented shape.

        Raises:
            Damaged: One is not there.
        """
        tops = [_entries(data) for data in bounded(self.git, trees, _DOING, _MOST_TREE_BYTES)]
        folders = [None if top is None else top.get("runs", (b"", ""))[1] for top in tops]
        held = bounded(self.git, [oid for oid in folders if oid], _DOING, _MOST_TREE_BYTES)
        below = iter(held)
        files = [_files_of(top, next(below) if oid else b"") for top, oid in zip(tops, folders, strict=True)]
        wanted = list({oid for one in files if isinstance(one, dict) for oid in one.values()})
        sizes = {oid: (kind, int(size)) for oid, kind, size in described(self.git, wanted, _DOING)}
        return [_judged(one, sizes) for one in files]

    def texts(self, oids: Sequence[str], most: int = MOST_REPORT_BYTES) -> list[bytes | None]:
        """Return what files hold; ``None`` of one that has more bytes than are read.

        Raises:
            Damaged: One is not there.
        """
        return bounded(self.git, oids, _DOING, most)

    def history(self, tips: Iterable[str], without: Iterable[str], most: int) -> dict[str, tuple[str, ...]]:
        """Return commits with their parents, parents first.

        Args:
            tips: Where to begin.
            without: Commits that are left out with all before them; one that is not there leaves out nothing.
            most: Commits to return, the newest.

        Raises:
            Damaged: They cannot be listed.
        """
        words = [*tips, *(f"^{oid}" for oid in without)]
        asked = self.git.run(
            *("rev-list", "--topo-order", "--parents", "--ignore-missing", f"--max-count={most}", "--stdin"),
            stdin="".join(f"{word}\n" for word in words).encode(),
            limit=_MOST_LISTED,
        )
        if asked.returncode or asked.truncated:
            raise damage.judge(self.git, asked, _DOING)
        listed = (line.split(" ") for line in reversed(asked.lines))
        return {oid: tuple(parents) for oid, *parents in listed}

    def has(self, oids: Sequence[str]) -> list[bool]:
        """Say of objects whether they are there."""
        return [bool(kind) for _, kind, _ in described(self.git, oids, _DOING)] if oids else []

    def _has_refs(self) -> bool:
        """Say whether what was fetched can be told."""
        try:
            self.tips()
        except Damaged:
            return False
        return True

    def _fetched(self, timeout: float) -> ReconcilerError | None:
        words = ("--prune", _NAME, *_SPECS)
        if (self.git.git_dir / _TRACKING).exists():
            done = self.git.talk(self.remote, _NAME, *QUIET_FETCH, *words, timeout=timeout)
        elif self._tell is None:
            done = self.git.talk(self.remote, _NAME, *_UNSYNCED, *QUIET_FETCH, *words, timeout=timeout)
        else:
            hear, words = _Progress(self._tell).hear, (*_UNSYNCED, *TELLING_FETCH, *words)
            done = self.git.talk(self.remote, _NAME, *words, timeout=timeout, hear=hear)
            done.stderr = _without_progress(done.stderr)
        if not done.returncode and not done.timed_out:
            if CUT_OFF not in done.error_text:
                return None
            said = f"cannot fetch the reports from {self.shown}: what is there is a shallow clone"
            return Stalled(said, "have the whole history there: git fetch --unshallow")
        return explain(done, f"cannot fetch the reports from {self.shown}", self.remote)

    def _tidy(self) -> None:
        loose = self.git.git_dir / _TRACKING / "hosts"
        if loose.is_dir() and sum(1 for _ in loose.iterdir()) > _MANY_REFS:
            self.git.run("pack-refs", "--all")
        with contextlib.suppress(ReconcilerError):  # Only tidying: what matters is found when it is read.
            damage.keep_small(self.git)


class _Progress:
    """Tells from time to time how far git says that it is."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._rest = b""
        self._next = 0

    def hear(self, said: bytes) -> None:
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + said)
        for line in lines:
            found = _FAR.match(line)
            if found is not None and int(found[1]) >= self._next:
                self._next = int(found[1]) + _TOLD_EVERY
                self._tell(int(found[2]), int(found[3]))


def _without_progress(said: bytes) -> bytes:
    """Return what git said, without how far it was, and without the branches that it names at the end."""
    lines = (line.rpartition(b"\r")[2] for line in said.split(b"\n"))
    return b"\n".join(line for line in lines if not line.startswith(_NO_PROBLEM))


def report_commit(commit: bytes | None) -> ReportCommit | None:
    """Return what a commit says; ``None`` of what is none."""
    found = _COMMIT.match(commit or b"")
    return None if found is None else ReportCommit(found[1].decode(), commit_date(found[2]))


def _entries(tree: bytes | None) -> dict[str, tuple[bytes, str]] | None:
    """Return mode and id of what is in a tree, by name; ``None`` where it cannot be read (git's tree.c).

    Nor is one that git would not have written: of two entries of one name, or of some out of order, each
    reader sees another.
    """
    if tree is None:
        return None
    found: dict[str, tuple[bytes, str]] = {}
    at, width, before = 0, 20, b""
    while at < len(tree):
        head = tree.find(b"\0", at)
        mode, blank, name = tree[at:head].partition(b" ")
        if head < 0 or not blank or head + width >= len(tree) + 1:
            return None
        place, written = name + b"/" * (mode == _FOLDER), name.decode("utf-8", "replace")
        if place <= before or written in found:
            return None
        before = place
        found[written] = (mode, tree[head + 1 : head + 1 + width].hex())
        at = head + 1 + width
        if len(found) > MOST_FILES:
            return None
    return found


def _files_of(top: Mapping[str, tuple[bytes, str]] | None, runs: bytes | None) -> dict[str, str] | Misshapen:
    """Return the files of a report by their paths, or what is wrong with them."""
    below = _entries(runs)
    if top is None or below is None:
        return Misshapen("its tree has too many files, or is not as git writes one")
    if "report.json" not in top:
        return Misshapen("it has no report.json")
    paths = {name: one for name, one in top.items() if name != "runs"}
    if unknown := sorted(set(paths) - set(_FILES)):
        return Misshapen(f"it holds {unknown[0]!r}, which no report has")
    if "runs" in top and top["runs"][0] != _FOLDER:
        return Misshapen("runs is no folder")
    paths |= {f"runs/{name}": one for name, one in below.items()}
    for path, (mode, _) in paths.items():
        if mode != _FILE or not _is_path(path):
            return Misshapen(f"{path!r} is no regular file of a report")
    return {path: oid for path, (_, oid) in paths.items()}


def _is_path(path: str) -> bool:
    try:
        ReportPath(path)
    except ValueError:
        return False
    return True


def _judged(files: Mapping[str, str] | Misshapen, sizes: Mapping[str, tuple[str, int]]) -> Shaped | Misshapen:
    if isinstance(files, Misshapen):
        return files
    for path, oid in files.items():
        kind, size = sizes.get(oid, ("", 0))
        if not kind:
            raise Damaged(f"{_DOING}: {oid} is not there")
        if kind != "blob" or size > (MOST_REPORT_BYTES if path == "report.json" else MOST_BYTES):
            return Misshapen(f"{path} is too large, or no file")
    runs = sorted(path for path in files if path.startswith("runs/") and path.endswith(".json"))
    report, run = files["report.json"], files[runs[-1]] if runs else ""
    size = sizes[report][1] + (sizes[run][1] if run else 0)
    observation = files.get("observation.json", "")
    return Shaped(report, run, size, observation, sizes[observation][1] if observation else 0)


def chunks(items: Sequence[_Answer], size: int) -> Iterator[Sequence[_Answer]]:
    """Yield a sequence in pieces."""
    return (items[start : start + size] for start in range(0, len(items), size))
