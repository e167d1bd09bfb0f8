"""Find the reports that a damaged queue still holds, and put them on their branch again.

- Every object is judged for itself: what is whole is carried over, whatever was beside it.
- A chain that is whole keeps its commits. Where one is missing, the commits above it are made again, with
  message and date, on what there is below; of a tree that is not whole, the files that are.
- Where commits are missing, or the branch has lost its head, those that no ref names are looked for, and
  trees whose commit is gone. Where a tree is missing, files are known by what they say of themselves.
- A report is carried over once: what was pushed, or stands there already, is known by date and message.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import Stalled
from reconciler.gitops.failures import explain
from reconciler.gitops.git import Git, commit_date
from reconciler.gitops.refs import is_oid, target_of
from reconciler.gitops.report_tree import OWN_NAMES, Files, ReportPath, object_id, read_files
from reconciler.records import dataclass

_REPORT = ReportPath("report.json")
_KINDS = "--batch-check=%(objectname) %(objecttype)"
_MAX_OBJECT = 64 * 1024 * 1024
_AT_ONCE = 500  # objects or files for one process
_TOP = b" report.json\0"
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Saved:
    """A report that can be read: a commit, or the tree of one that cannot.

    Attributes:
        oid: Its commit; empty where only the tree is left.
        tree: What it holds.
        parents: What it continues.
        when: Its date, in UTC.
        message: Whole message; empty where only the tree is left.
        is_signed: The commit bears a signature.
        owner: The host or guest that it tells of.
    """

    oid: str
    tree: str
    parents: tuple[str, ...]
    when: datetime
    message: str
    is_signed: bool
    owner: str

    @property
    def key(self) -> tuple[datetime, str]:
        """What stays the same in a commit that is made again."""
        return self.when, self.message or self.tree


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one branch.

    Attributes:
        head: Its head now; None where nothing is left.
        carried: How many reports it has beyond what was pushed.
        has_gap: Something among these could not be read.
    """

    head: str | None
    carried: int = 0
    has_gap: bool = False


Remake = Callable[[str | None, Files, Saved], str]
"""Makes a commit of files on a parent, with what a report says of itself, and returns its id."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that a repository holds which reports are made of.

    Attributes:
        every: Ids of all objects that can be read.
        commits: The commits among them, by id.
        trees: The trees among them.
    """

    every: frozenset[str]
    commits: Mapping[str, Saved]
    trees: frozenset[str]
    git: Git = field(repr=False)

    @classmethod
    def of(cls, git: Git) -> "Holdings":
        """Read what ``git`` holds, whatever its refs say."""
        listed = git.run("cat-file", "--batch-all-objects", "--unordered", _KINDS)
        pairs = [line.split() for line in listed.lines]
        kinds = {pair[0]: pair[1] for pair in pairs if pair[1:] != ["missing"]}
        commits = [oid for oid, kind in kinds.items() if kind == "commit"]
        found = {oid: _commit(oid, content) for oid, content in _contents(git, commits)}
        trees = frozenset(oid for oid, kind in kinds.items() if kind == "tree")
        return cls(frozenset(kinds), found, trees, git)

    def reach(self, tips: Iterable[str]) -> set[str]:
        """Return ``tips`` and all commits below them, as far as those can be read."""
        found = set(tips)
        waiting = list(found)
        while waiting:
            commit = self.commits.get(waiting.pop())
            fresh = set() if commit is None else set(commit.parents) - found
            found |= fresh
            waiting += fresh
        return found

    def is_whole(self, commit: str) -> bool:
        """Tell whether a commit, all below it and all that these hold is here."""
        if commit not in self.commits:
            return False
        return not self.git.run("rev-list", "--objects", "--quiet", commit, "--").returncode

    def files(self, saved: Saved) -> Files:
        """Return the files of a report that are here."""
        listed = self.git.run("ls-tree", "-z", "--full-tree", saved.tree, *OWN_NAMES, limit=_MAX_OBJECT)
        found = {path: oid for path, oid in read_files(listed.stdout).items() if oid in self.every}
        return found if not listed.returncode else {**self._nameless(saved), **found}

    def bare_trees(self) -> list[Saved]:
        """Return the reports whose tree is here and whose commit is not."""
        used = {commit.tree for commit in self.commits.values()}
        tops = [
            Saved("", tree, (), _NEVER, "", is_signed=False, owner="")
            for tree, content in _contents(self.git, sorted(self.trees - used))
            if _TOP in content
        ]
        blobs = {one.tree: blob for one in tops if (blob := self.files(one).get(_REPORT))}
        told = {oid: _said(content) for oid, content in _contents(self.git, blobs.values())}
        return [
            replace(one, owner=said.target, when=said.when)
            for one in tops
            if (said := told.get(blobs.get(one.tree, ""), _NOTHING)) is not _NOTHING and said.target
        ]

    def _nameless(self, saved: Saved) -> Files:
        """Return the files that no tree names any more and that belong to a report by what they say."""
        trees = (content for _, content in _contents(self.git, sorted(self.trees)))
        named = {oid for content in trees for oid in _named_by(content, len(saved.tree) // 2)}
        lost = self.every - named - self.trees - set(self.commits)
        found: Files = {}
        for oid, content in _contents(self.git, sorted(lost)):
            said = _said(content)
            if said.run is not None:
                found[said.run] = oid
            elif (said.target, said.when) == (saved.owner, saved.when):
                found[_REPORT] = oid
        return found


def copy_objects(git: Git, broken: Path) -> None:
    """Put every object of a damaged repository that is whole into ``git``, which is sound.

    Raises:
        Stalled: The file system refuses, or is full.
    """
    for path in sorted((broken / "objects").glob("*/*")):
        with suppress(OSError):
            content = path.read_bytes()
            if path.suffix == ".pack":
                copy_pack(content, git)
            elif is_oid(path.parent.name + path.name):
                _copy_loose(path.parent.name, path.name, content, git)
    os.sync()


def is_whole_file(path: Path) -> bool:
    """Tell whether a file is a loose object, and what its name says."""
    oid = path.parent.name + path.name
    try:
        return is_oid(oid) and _is_named(path.read_bytes(), oid)
    except OSError:
        return False


def copy_pack(content: bytes, git: Git) -> None:
    """Put the objects of a pack that are whole into ``git``.

    Raises:
        Stalled: As of :func:`copy_objects`.
    """
    if git.run("index-pack", "--stdin", stdin=content).returncode:
        done = git.run("unpack-objects", "-r", "-q", stdin=content)  # as many of them as can be read
        problem = explain(done, f"cannot write to {git.git_dir}")
        if done.returncode and isinstance(problem, Stalled):
            raise problem


def add_files(git: Git, files: Iterable[Path]) -> None:
    """Put the content of files into ``git``: what a damaged queue has lost may be there."""
    here = [str(path) for path in files if path.is_file()]
    for first in range(0, len(here), _AT_ONCE):
        git.run("hash-object", "-w", "--no-filters", "--", *here[first : first + _AT_ONCE])


def restore(
    git: Git, branch: str, head: str | None, pushed: str | None, remake: Remake, *, signs: bool
) -> Restored:
    """Find the reports of a branch in a repository whose objects can all be read, and chain them up.

    Args:
        git: The repository.
        branch: Of one host or guest.
        head: What the branch pointed to, as far as is known; it may be missing.
        pushed: What the remote is known to have of it, if anything; it may be missing here.
        remake: Makes a commit again.
        signs: Commits are to be signed: one that is not is a draft, unless the branch pointed to it.
    """
    held = Holdings.of(git)
    known = held.reach([pushed] if pushed else [])
    if head is not None and head in known:
        return Restored(head)
    chain = [held.commits[oid] for oid in held.reach([head] if head else []) - known if oid in held.commits]
    # With the head gone, or a gap below it, what no branch names any more may be the rest of it.
    broken_off = head is None or not _is_closed(held, chain, known)
    if broken_off:
        chain += _strays(held, branch, chain, known)
    chain = _in_order(chain)
    drafts = {saved.oid for saved in chain if broken_off and signs and not saved.is_signed}
    ends = _ends(chain)
    # All of it is there: the branch gets the very commits that it had, with their ids.
    if len(ends) == 1 and not drafts and held.is_whole(ends[0]):
        return Restored(ends[0], len(chain))
    base = pushed if pushed and held.is_whole(pushed) else None
    return _chained(held, base, chain, drafts, remake)


def _chained(
    held: Holdings, base: str | None, chain: Sequence[Saved], drafts: set[str], remake: Remake
) -> Restored:
    """Put reports upon ``base``: those that follow and are whole as they are, all others made again."""
    tip = base
    files = held.files(held.commits[tip]) if tip else {}
    for saved in chain:
        own = held.files(saved)
        runs = {path: oid for path, oid in files.items() if path.run}
        named = saved if saved.message else _named(saved, {path.run for path in own.keys() - runs.keys()})
        files = {**own, **runs}
        follows = tip in saved.parents if tip else not saved.parents
        stays = follows and saved.oid not in drafts and held.is_whole(saved.oid)
        tip = saved.oid if stays else remake(tip, files, named)
    return Restored(tip, len(chain), has_gap=True)


def _named(saved: Saved, runs: set[str]) -> Saved:
    """Return a report with a message instead of its lost one, which names the runs that it tells first."""
    trailers = "".join(f"Run: {run}\n" for run in sorted(runs) if run)
    subject = f"{saved.owner}: a report whose commit was damaged"
    return replace(saved, message=f"{subject}\n\nHost: {saved.owner}\n{trailers}")


def _is_closed(held: Holdings, chain: Sequence[Saved], known: set[str]) -> bool:
    """Tell whether each commit of a chain ends in another one, in what was pushed, or at a beginning."""
    below = {parent for saved in chain for parent in saved.parents}
    return bool(chain) and all(oid in held.commits or oid in known for oid in below)


def _strays(held: Holdings, branch: str, chain: Sequence[Saved], known: set[str]) -> list[Saved]:
    """Return the reports of a branch that are neither in its chain nor pushed, each of them once."""
    seen = {saved.key for saved in chain}
    seen |= {held.commits[oid].key for oid in known if oid in held.commits}
    owner = target_of(branch)
    taken = known | {saved.oid for saved in chain}
    others = [saved for oid, saved in held.commits.items() if oid not in taken]
    # Of a signed commit there is an unsigned draft, too.
    others.sort(key=lambda saved: not saved.is_signed)
    found = []
    for saved in (*others, *held.bare_trees()):
        if saved.owner == owner and saved.key not in seen:
            seen.add(saved.key)
            found.append(saved)
    return found


def _in_order(chain: Iterable[Saved]) -> list[Saved]:
    """Return reports in the order of their making: parents first, and else by their dates."""
    by_oid = {saved.oid: saved for saved in chain if saved.oid}
    ordered: dict[tuple[str, str], Saved] = {}
    for first in sorted(chain, key=lambda saved: saved.key):
        waiting = [first]
        while waiting:
            saved = waiting[-1]
            parents = (by_oid[oid] for oid in saved.parents if oid in by_oid)
            before = [one for one in parents if (one.oid, one.tree) not in ordered]
            if before:
                waiting += before
            else:
                ordered.setdefault((saved.oid, saved.tree), waiting.pop())
    return list(ordered.values())


def _ends(chain: Sequence[Saved]) -> list[str]:
    below = {parent for saved in chain for parent in saved.parents}
    return [saved.oid for saved in chain if saved.oid not in below]


def _copy_loose(folder: str, file: str, packed: bytes, git: Git) -> None:
    """Copy a loose object, deflated and named by its hash, if it is what its name says."""
    target = git.git_dir / "objects" / folder / file
    if not _is_named(packed, folder + file) or target.exists():
        return
    try:
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f"tmp_obj_{file[:6]}")
        part.write_bytes(packed)
        part.chmod(0o444)
        part.rename(target)
    except OSError as error:
        raise Stalled(f"cannot write {target}: {error.strerror}", "free space on that file system") from error


def _is_named(packed: bytes, oid: str) -> bool:
    """Tell whether a deflated object is the one of that id."""
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(packed, 2 * _MAX_OBJECT)
    except zlib.error:
        return False
    return inflate.eof and object_id(content, oid) == oid


def _contents(git: Git, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the content of each object that can be read, by few processes and in bounded memory."""
    waiting = list(oids)
    for first in range(0, len(waiting), _AT_ONCE):
        asked = "".join(f"{oid}\n" for oid in waiting[first : first + _AT_ONCE])
        yield from _parts(git.run("cat-file", "--batch", "--buffer", stdin=asked.encode()).stdout)


def _parts(printed: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what ``cat-file --batch`` printed: ``ID TYPE SIZE``, the content, a line break."""
    position = 0
    while (end := printed.find(b"\n", position)) > 0:
        header = printed[position:end].split()
        if header[1:] == [b"missing"]:
            position = end + 1
            continue
        position = end + 1 + int(header[2]) + 1
        if position > len(printed):
            return  # cut off at the limit
        yield header[0].decode(), printed[end + 1 : position - 1]


def _commit(oid: str, content: bytes) -> Saved:
    head, _, message = content.decode("utf-8", "replace").partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n")]
    tree = next(value for key, _, value in lines if key == "tree")
    committer = next(value for key, _, value in lines if key == "committer")
    return Saved(
        oid,
        tree,
        tuple(value for key, _, value in lines if key == "parent"),
        commit_date(committer.split()[-2]),
        message,
        any(key == "gpgsig" for key, _, _ in lines),
        _trailer(message, "Host") or committer.rpartition("@")[2].partition(">")[0],
    )


def _named_by(tree: bytes, length: int) -> Iterator[str]:
    """Yield the ids that a tree object names: ``MODE NAME``, NUL, and the id in ``length`` bytes."""
    position = 0
    while (end := tree.find(b"\0", position) + 1) > 0:
        position = end + length
        yield tree[end:position].hex()


def _trailer(message: str, key: str) -> str:
    last = message.rstrip("\n").rpartition("\n\n")[2]
    return next((line.partition(": ")[2] for line in last.split("\n") if line.startswith(f"{key}: ")), "")


@dataclass(frozen=True, slots=True)
class _Said:
    """What a file says of itself: a report its target and date, a record the path of its run."""

    target: str = ""
    when: datetime = _NEVER
    run: ReportPath | None = None


_NOTHING = _Said()


def _said(content: bytes) -> _Said:
    try:
        document = json.loads(content)
        if "run" in document and "difference" in document:
            return _Said(run=ReportPath(f"runs/{document['run']}.json"))
        when = datetime.fromisoformat(document["generated_at"]).astimezone(UTC).replace(microsecond=0)
        return _Said(str(document["target"]), when)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return _NOTHING
