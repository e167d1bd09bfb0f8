"""What hosts reported, for who would know what another policy does to them: a summary, or the reports.

Both are read as ``fleet publish`` reads them, by the policy that its reader has: Host documents say whose a
report is, and ``trust/publishers`` whose a summary. What is not proved is named and not believed. Where the
policy names no key of any host, or no publisher, nobody can tell, and that is said.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from operator import attrgetter
from pathlib import Path

from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.fleet.branches import FLEET, FleetBranches
from reconciler.fleet.cache import ReportCache, Shaped, Tell
from reconciler.fleet.gathering import portions
from reconciler.fleet.reading import ReportSources, cache_of, read_fleet
from reconciler.fleet.verified_policy import GivenPolicy
from reconciler.gitops import damage
from reconciler.gitops.failures import explain
from reconciler.gitops.git import QUIET_FETCH, Git, GitAccess
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.signed_commits import MAX_COMMIT_BYTES, read_commit
from reconciler.planning.fleet.rows import Row
from reconciler.planning.fleet.summary import read_rows
from reconciler.planning.gates.recording import Recording, read_vouched
from reconciler.policy.problems import visible
from reconciler.policy.remotes import parse_remote, redact_url
from reconciler.records import dataclass

_TIMEOUT = 600.0
_AT_ONCE = 16 * 2**20
"""Bytes of recordings that are read together."""
_MOST_SUMMARY = 512 * 2**20
_MOST_RECORDING = 32 * 2**20
_MOST_TRANSFERRED = 16 * 2**30
_NAME = "reports"
_SUMMARY = "summary.json"
_KEPT = "given"
"""Folder beside the copies: what they were found to be by a policy that was given."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a host recorded; or why that cannot be read."""

    target: str
    recording: Recording | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """The rows of a summary, and what a person should know of it."""

    rows: list[Row]
    notices: tuple[str, ...] = ()


def read_published(address: str, policy: GivenPolicy, now: datetime) -> PublishedRows:
    """Return what a summary holds: a file, or the one that a publisher left in a report repository.

    Args:
        address: Path of ``summary.json``, which nobody signs; or a report repository, of which the whole
            branch ``fleet`` is fetched.
        policy: Says whose signature counts there.
        now: The present instant, aware.

    Raises:
        Misuse: It is neither, or cannot be read.
        Stalled: No publisher signed it.
        ReconcilerError: The repository cannot be reached.
    """
    path, notices = Path(address), tuple[str, ...]()
    if path.is_file():
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Misuse(f"cannot read {path}: {error.strerror}", "check its owner and mode") from error
    else:
        data, notices = _fetched_summary(address, policy, now)
    name = visible(address) if path.is_file() else f"{_SUMMARY} of {redact_url(address)}"
    return PublishedRows(read_rows(data, name)[1], notices)


def _fetched_summary(address: str, policy: GivenPolicy, now: datetime) -> tuple[bytes, tuple[str, ...]]:
    remote, shown = parse_remote(_absolute(address)), redact_url(address)
    doing = f"cannot read the summary of {shown}"
    with tempfile.TemporaryDirectory(prefix="patchledger-") as made:
        folder = Path(made) / "summary.git"
        git = Git(folder, GitAccess(max_bytes=_MOST_TRANSFERRED, checks_objects=False))
        damage.create_bare(folder, git)
        words = (*QUIET_FETCH, "--depth=1", _NAME, f"+refs/heads/{FLEET}:refs/heads/{FLEET}")
        done = git.talk(remote, _NAME, *words, timeout=_TIMEOUT)
        if done.returncode or done.timed_out:
            raise explain(done, f"cannot fetch the branch {FLEET} from {shown}", remote)
        notices = _vouched(ReportCache(folder, _absolute(address)), policy, now)
        oid = described(git, [f"refs/heads/{FLEET}:{_SUMMARY}"], doing)[0][0]
        data = bounded(git, [oid], doing, _MOST_SUMMARY)[0] if oid else None
    if data is None:
        raise Misuse(f"{doing}: the branch {FLEET} holds no {_SUMMARY}", "run `patchledger fleet publish`")
    return data, notices


def _vouched(copy: ReportCache, policy: GivenPolicy, now: datetime) -> tuple[str, ...]:
    """Say what is to be said of who signed a branch ``fleet``.

    Raises:
        Stalled: The policy lists publishers, and none of them did.
    """
    doing = f"cannot read who published the fleet on {copy.shown}"
    publishers = policy.at().publishers
    if publishers.problems:
        raise Stalled(f"{doing}: {publishers.problems[0]}", "correct it: it counts for nobody")
    if not publishers.signers:
        return (f"the policy lists nobody in trust/publishers who could vouch for {copy.shown}",)
    ((oid, _, _),) = described(copy.git, [f"refs/heads/{FLEET}"], doing)
    commit = read_commit(oid, bounded(copy.git, [oid], doing, MAX_COMMIT_BYTES)[0] or b"")
    if not FleetBranches(copy, publishers.signers, now, _TIMEOUT).is_signed(commit, FLEET):
        said = f"the newest commit of {FLEET} on {copy.shown} is by no publisher that the policy lists"
        raise Stalled(said, "take --reports, or look who else may write there")
    return ()


def _absolute(address: str) -> str:
    """Return an address; the path of a folder that is there may be relative."""
    return str(Path(address).absolute()) if Path(address).is_dir() else address


class Reports:
    """The newest reports of some report repositories; made by :func:`opened`.

    Attributes:
        rows: One for each target, and for each host that is enrolled and never reported.
        notices: What a person should know.
    """

    def __init__(self, sources: ReportSources, now: datetime) -> None:
        read = read_fleet(sources, now)
        for problem in read.problems:
            raise problem
        self._copies = [cache_of(sources, remote) for remote in sources.remotes]
        self.rows = read.fleet.rows
        self.notices = read.notices

    def recordings(self, targets: Sequence[str]) -> Iterator[Recorded]:
        """Yield what some targets recorded, in any order, without holding many at once.

        Args:
            targets: Some of those of ``rows`` of which a report is known.

        Raises:
            ReconcilerError: A repository cannot be read.
        """
        trees = {row.target: row.tree for row in self.rows}
        wanted = {target: trees[target] for target in targets}
        for copy in self._copies:
            there = copy.has(list(wanted.values()))
            here = [target for target, is_there in zip(wanted, there, strict=True) if is_there]
            shapes = dict(zip(here, copy.shapes([wanted.pop(target) for target in here]), strict=True))
            whole = {target: shape for target, shape in shapes.items() if isinstance(shape, Shaped)}
            for some in portions(whole, _AT_ONCE, attrgetter("recorded")):
                yield from _recorded(copy, some)

    @property
    def unproved(self) -> Iterator[Row]:
        """The targets whose newest report is not believed."""
        return (row for row in self.rows if row.branch and not row.state.is_proved and row.reason)


def _recorded(copy: ReportCache, shapes: Mapping[str, Shaped]) -> Iterator[Recorded]:
    there = {target: shape.observation for target, shape in shapes.items() if shape.observation}
    for target in shapes.keys() - there.keys():
        yield Recorded(target, None, "its report holds no observation.json")
    texts = copy.texts(list(there.values()), _MOST_RECORDING)
    for target, text in zip(there, texts, strict=True):
        try:
            yield Recorded(target, read_vouched(text or b""))
        except ReconcilerError as error:
            yield Recorded(target, None, error.message)


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told how far reading is, by numbers of how many of how many: objects, and then targets."""

    fetching: Tell | None = None
    looking: Tell | None = None


@contextmanager
def opened(
    addresses: Sequence[str],
    policy: GivenPolicy,
    now: datetime,
    *,
    cache: Path | None = None,
    watching: Watching | None = None,
) -> Iterator[Reports]:
    """Fetch what is new in report repositories, and read and verify the newest reports.

    Args:
        addresses: Of the repositories, or folders with one.
        policy: Says whose a report is.
        now: The present instant, aware.
        cache: Keeps copies, and what they were found to be, for the next time; the folder of ``fleet
            publish`` will do. Without it all is fetched and verified anew, into a folder that is removed.
        watching: Who is told how far it is.

    Raises:
        ReconcilerError: One cannot be reached or read.
        OSError: The file system refuses.
    """
    told = watching or Watching()
    with ExitStack() as stack:
        if cache is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="patchledger-"))
            cache = Path(made) / "fleet"
        sources = ReportSources(
            folder=cache.absolute(),
            mirror=policy,
            signed=None,
            remotes=tuple(map(_absolute, addresses)),
            access=GitAccess(),
            timeout=_TIMEOUT,
            tell=told.looking,
            fetching=told.fetching,
            kept=cache.absolute() / _KEPT,
        )
        yield Reports(sources, now)
