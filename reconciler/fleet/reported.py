"""What hosts reported, for who would know what another policy does to them: a summary, or the reports.

Nothing is verified here and nothing is kept: whose a report is, ``fleet publish`` finds out. What cannot be
read is the report of nobody, and is named.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path

from reconciler.errors import Misuse, ReconcilerError
from reconciler.fleet.cache import Misshapen, ReportCache, Shaped
from reconciler.fleet.gathering import portions
from reconciler.gitops import damage
from reconciler.gitops.failures import explain
from reconciler.gitops.git import QUIET_FETCH, Git, GitAccess
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.remote import parse_remote, redact_url
from reconciler.planning.fleet.rows import Heard, Row, row_of, unverified
from reconciler.planning.fleet.summary import read_summary
from reconciler.planning.gates.recording import Recording, read_vouched
from reconciler.planning.reporting.reader import read_report

Tell = Callable[[int, int], None]
_TIMEOUT = 600.0
_AT_ONCE = 16 * 2**20
"""Bytes of reports, or of recordings, that are read together."""
_MOST_SUMMARY = 512 * 2**20
_MOST_RECORDING = 32 * 2**20
_MOST_TRANSFERRED = 16 * 2**30
_NAME = "reports"
_SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a host recorded; or why that cannot be read."""

    target: str
    recording: Recording | None
    problem: str = ""


def read_published(address: str) -> list[Row]:
    """Return the rows of a summary: a file, or the one that a publisher left in a report repository.

    Args:
        address: Path of ``summary.json``, or a report repository, of which the whole branch ``fleet`` is
            fetched.

    Raises:
        Misuse: It is neither, or cannot be read.
        ReconcilerError: The repository cannot be reached.
    """
    path = Path(address)
    if path.is_file():
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Misuse(f"cannot read {path}: {error.strerror}", "check its owner and mode") from error
    else:
        data = _fetched_summary(address)
    return [line.row for line in read_summary(data)[1]]


def _fetched_summary(address: str) -> bytes:
    remote, shown = parse_remote(_absolute(address)), redact_url(address)
    doing = f"cannot read the summary of {shown}"
    with tempfile.TemporaryDirectory(prefix="patchledger-") as made:
        folder = Path(made) / "summary.git"
        git = Git(folder, GitAccess(max_bytes=_MOST_TRANSFERRED, checks_objects=False))
        damage.create_bare(folder, git)
        words = (*QUIET_FETCH, "--depth=1", _NAME, "+refs/heads/fleet:refs/heads/fleet")
        done = git.talk(remote, _NAME, *words, timeout=_TIMEOUT)
        if done.returncode or done.timed_out:
            raise explain(done, f"cannot fetch the branch fleet from {shown}", remote)
        oid = described(git, [f"refs/heads/fleet:{_SUMMARY}"], doing)[0][0]
        data = bounded(git, [oid], doing, _MOST_SUMMARY)[0] if oid else None
    if data is None:
        raise Misuse(f"{doing}: the branch fleet holds no {_SUMMARY}", "run `patchledger fleet publish`")
    return data


def _absolute(address: str) -> str:
    """Return an address; the path of a folder that is there may be relative."""
    return str(Path(address).absolute()) if Path(address).is_dir() else address


@dataclass(slots=True)
class _ReadRepository:
    """A report repository that was read."""

    cache: ReportCache
    shapes: dict[str, Shaped] = field(default_factory=dict)


class Reports:
    """The newest reports of some report repositories, as they are; made by :func:`opened`.

    Attributes:
        rows: One for each target; of several of one target, the newest.
    """

    def __init__(self, folder: Path, addresses: Sequence[str], tell: Tell | None) -> None:
        self._parts: list[_ReadRepository] = []
        self._of: dict[str, tuple[int, str]] = {}
        self._tell = tell
        found: dict[str, Row] = {}
        for number, address in enumerate(addresses):
            part = _ReadRepository(ReportCache(folder / f"{number}.git", _absolute(address)))
            part.cache.fetch(_TIMEOUT)
            self._parts.append(part)
            for row in part.cache.whole(partial(self._all_rows, part)):
                known = found.get(row.target)
                if known is None or _is_newer(row, known):
                    found[row.target] = row
                    self._of[row.target] = number, row.branch
        self.rows = [found[target] for target in sorted(found)]

    def _all_rows(self, part: _ReadRepository) -> list[Row]:
        return list(self._rows(part))

    def _rows(self, part: _ReadRepository) -> Iterator[Row]:
        cache = part.cache
        tips = {name: oid for name, oid in cache.tips().items() if name.startswith(("hosts/", "guests/"))}
        told = dict(zip(tips, cache.commits(list(tips.values())), strict=True))
        commits = {branch: one for branch, one in told.items() if one is not None}
        shapes = dict(zip(commits, cache.shapes([one.tree for one in commits.values()]), strict=True))
        part.shapes = {branch: one for branch, one in shapes.items() if isinstance(one, Shaped)}
        done = 0
        for branches in portions(part.shapes, _AT_ONCE):
            texts = cache.texts([shape.report for shape in branches.values()])
            for branch, text in zip(branches, texts, strict=True):
                commit = commits[branch]
                yield _row(branch, text, Heard(tips[branch], commit.tree, "", "", commit.at))
            done += len(branches)
            if self._tell is not None:
                self._tell(done, len(tips))
        for branch in tips.keys() - part.shapes.keys():
            shape = shapes.get(branch)
            why = shape.message if isinstance(shape, Misshapen) else "its commit cannot be read"
            yield unverified(branch, why)

    def recordings(self, targets: Sequence[str]) -> Iterator[Recorded]:
        """Yield what some targets recorded, in any order, without holding many at once.

        Args:
            targets: Some of those of ``rows``.

        Raises:
            ReconcilerError: A repository cannot be read.
        """
        for number, part in enumerate(self._parts):
            ours = [target for target in targets if self._of[target][0] == number]
            shapes = {target: part.shapes[self._of[target][1]] for target in ours}
            for some in portions(shapes, _AT_ONCE, attrgetter("recorded")):
                yield from self._recorded(part, some)

    def _recorded(self, part: _ReadRepository, shapes: Mapping[str, Shaped]) -> Iterator[Recorded]:
        there = {target: shape.observation for target, shape in shapes.items() if shape.observation}
        for target in shapes.keys() - there.keys():
            yield Recorded(target, None, "its report holds no observation.json")
        texts = part.cache.texts(list(there.values()), _MOST_RECORDING)
        for target, text in zip(there, texts, strict=True):
            try:
                yield Recorded(target, read_vouched(text or b""))
            except ReconcilerError as error:
                yield Recorded(target, None, error.message)


@contextmanager
def opened(addresses: Sequence[str], tell: Tell | None = None) -> Iterator[Reports]:
    """Fetch report repositories into a folder that is removed afterwards, and read the newest reports.

    Args:
        addresses: Of the repositories, or folders with one.
        tell: Is told how many of how many reports of a repository were read.

    Raises:
        ReconcilerError: One cannot be reached or read.
    """
    with tempfile.TemporaryDirectory(prefix="patchledger-") as made:
        yield Reports(Path(made), addresses, tell)


def _row(branch: str, text: bytes | None, heard: Heard) -> Row:
    if text is None:
        return unverified(branch, "its report.json is too large")
    try:
        report = read_report(text)
    except ReconcilerError as error:
        return unverified(branch, error.message)
    known = Heard(heard.commit, heard.tree, heard.key, report.policy_commit, heard.at)
    return row_of(branch, report, None, known)


def _is_newer(row: Row, other: Row) -> bool:
    if row.heard is None or other.heard is None:
        return row.heard is not None
    return row.heard > other.heard
