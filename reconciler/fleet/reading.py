"""Read a fleet, and publish it: the policy, one copy for each report repository, and what was known before.

Everything that is remembered here can be made again from the repositories: what is damaged costs time.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from reconciler import __version__
from reconciler.durable import replace_file
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.fleet.branches import FleetBranches, FleetCommit, signer_of
from reconciler.fleet.cache import MOST_REPORT_BYTES, ReportCache, Tell, chunks, copy_of
from reconciler.fleet.gathering import Gatherer, missing
from reconciler.fleet.proofs import GoodSignatures, NoProofs, Proofs
from reconciler.fleet.report_keys import KeyBook, read_keys
from reconciler.fleet.verified_policy import GivenPolicy, PolicyAt, SignedPolicy, follow
from reconciler.gitops.git import Git, GitAccess
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.host.state.own_folder import AT_WORK, alone, prepare
from reconciler.planning.fleet.rows import (
    NewestRun,
    Row,
    TargetState,
    moved,
    moved_to,
    not_read,
    only_there,
    target_of,
)
from reconciler.planning.fleet.summary import SILENT_AFTER, Head, Line, read_own, read_summary, write_summary
from reconciler.planning.reporting.document import Counts, Decided, Report
from reconciler.planning.reporting.host_status import NextWindow
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.text import canonical
from reconciler.planning.text.canonical import instant
from reconciler.policy.problems import visible
from reconciler.policy.remotes import redact_url
from reconciler.policy.shards import name_of
from reconciler.policy.signers import NOTHING_REVOKED, Signer
from reconciler.policy.values import nearest
from reconciler.records import dataclass

FOLDER = "fleet"
"""Below the state folder."""
_GATHERED = "gathered.json"
_POLICY = "policy.git"
_DOING = "cannot read the reports"
_AT_ONCE = 500
"""Reports that are in memory together."""
_ATTEMPTS = 4
_LAYOUT = " ".join(
    [
        __version__,
        *(name for kind in (Row, Counts, Decided, NewestRun, NextWindow) for name in kind.__slots__),
    ]
)
"""Tells whose files may be read without looking at all that is in them."""
_NEVER = datetime.fromtimestamp(0, UTC)
_NOBODY = "no Host document names a report_key, so that nobody can tell whose a report is"


@dataclass(frozen=True, slots=True)
class ReportSources:
    """Where reports are read from, and by which policy.

    Attributes:
        folder: For copies and what is remembered; of this work alone.
        mirror: The policy repository, or the policy itself. By one that names no key of any host each report
            counts where it is given so; where it is followed, none does.
        signed: What the policy must show, ``None`` where nobody need sign.
        remotes: Addresses of the report repositories.
        access: How to reach them.
        timeout: Seconds for each conversation with a remote.
        environment: Added to that of the programs that check signatures.
        accepted: Branches whose rewriting a person has accepted.
        silent_after: A target is silent that nothing was heard of for longer.
        tell: Is told how many of how many targets were looked at.
        fetching: Is told how many of how many objects came, where a repository is fetched for the first time.
        changed: Is given the rows as they were and as they are, and the instant of the reading that left the
            former, before the latter are remembered: what it does is done again where it is killed.
        kept: For what is remembered of reports, where that does not belong beside the copies: they may serve
            others too.
    """

    folder: Path
    mirror: PolicyMirror | GivenPolicy
    signed: SignedPolicy | None
    remotes: tuple[str, ...]
    access: GitAccess
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    accepted: frozenset[str] = frozenset()
    silent_after: timedelta = SILENT_AFTER
    tell: Tell | None = None
    fetching: Tell | None = None
    changed: Callable[[Sequence[Row], Sequence[Row], str], None] | None = None
    kept: Path | None = None

    @property
    def remembered(self) -> Path:
        """Where what is remembered of reports lies."""
        return self.kept or self.folder


@dataclass(frozen=True, slots=True)
class FleetSources(ReportSources):
    """Where a fleet is read from: by a policy that is followed."""

    mirror: PolicyMirror


@dataclass(frozen=True, slots=True)
class Gathered:
    """A fleet as it is known.

    Attributes:
        head: By which policy it was judged.
        lines: The worst first.
        at: When the reports were read.
    """

    head: Head
    lines: tuple[Line, ...]
    at: datetime

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all lines."""
        return tuple(line.row for line in self.lines)


@dataclass(frozen=True, slots=True)
class FleetRead:
    """What came of reading a fleet.

    Attributes:
        fleet: As it is now.
        published: What became of the branch of each report repository, by its address as people see it.
        notices: What a person should know.
        problems: What kept a part from being read or published, or the newest policy from being used.
    """

    fleet: Gathered
    published: Mapping[str, FleetCommit]
    notices: tuple[str, ...]
    problems: tuple[ReconcilerError, ...]


def read_fleet(sources: ReportSources, now: datetime, key: Path | None = None) -> FleetRead:
    """Fetch, verify and sum up a fleet; publish it where a key for that is given.

    Args:
        sources: Where it is read from.
        now: The present instant, aware.
        key: File of the publisher's private key, ``None`` to publish nothing.

    Raises:
        ReconcilerError: The policy cannot be had, or nothing can be read.
        OSError: The file system refuses.
    """
    signer = None if key is None else _own_signer(sources, key)
    for folder in {sources.folder, sources.remembered}:
        prepare(folder)
    with alone(sources.folder / "lock", AT_WORK.format(sources.folder)):
        return _FleetReading(sources, now, key, signer).all()


def checked_beside(folder: Path, cache: ReportCache) -> GoodSignatures:
    """Return which signatures of a copy were checked and were good."""
    return GoodSignatures(folder / f"{cache.git.git_dir.stem}.checked")


def cache_of(sources: ReportSources, remote: str) -> ReportCache:
    """Return the copy of one of the report repositories of ``sources``."""
    path = sources.folder / f"{copy_of(remote)}.git"
    return ReportCache(path, remote, sources.access, sources.fetching)


def _own_signer(sources: ReportSources, key: Path) -> Signer:
    """Return the publisher's own key, which others must be able to rely on."""
    signer = signer_of(key)
    if sources.signed is not None and sources.signed.revoked.has(signer.fingerprint):
        said = f"{key}: {signer.fingerprint} is revoked (trust.revoked), and whoever has it may publish lies"
        raise Misuse(said, "publish with another key, and have trust/publishers list that one")
    return signer


def last_gathered(folder: Path) -> Gathered | None:
    """Return the fleet as it was when its reports were read last, ``None`` where they never were.

    Raises:
        Misuse: What was left cannot be read.
    """
    try:
        told = json.loads((folder / _GATHERED).read_bytes())
        at, names = datetime.fromisoformat(told["at"]), [str(name) for name in told["parts"]]
        written = _written(folder)
        parts = [_read(folder / f"{_safe(name)}.json", written)[:2] for name in names]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else canonical.fault_in(error)
        hint = "run `patchledger fleet status --fetch`"
        raise Misuse(f"{folder}: what was gathered last cannot be read: {why}", hint) from error
    merged = _merged(line for _, lines in parts for line in lines)
    return Gathered(parts[0][0], merged, at) if parts else None


def _written(folder: Path) -> dict[str, str]:
    """Return the digests of the files that this very program left here; none where another one did."""
    try:
        told = json.loads((folder / _GATHERED).read_bytes())
        return dict(told["written"]) if told["by"] == _LAYOUT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(path: Path, written: Mapping[str, str]) -> tuple[Head, list[Line], str]:
    """Return what a file holds, and its digest; that is empty where this very program did not leave it so.

    Such a file is read with less work than one of which nobody knows what is in it.

    Raises:
        OSError: It cannot be read.
        Misuse: It holds something else.
    """
    data = path.read_bytes()
    digest = _digest(data)
    is_own = digest == written.get(path.stem)
    return *(read_own if is_own else read_summary)(data), digest if is_own else ""


def _remotes(folder: Path) -> dict[str, str]:
    try:
        told = json.loads((folder / _GATHERED).read_bytes())["remotes"]
        return {str(name): str(shown) for name, shown in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def reports_of(folder: Path, rows: Iterable[Row]) -> Iterator[tuple[Row, Report]]:
    """Yield the report that each row tells of; none of a target that never reported, or a newer program did.

    Args:
        folder: Where the fleet was gathered.
        rows: Of :func:`last_gathered`.

    Raises:
        Damaged: A copy of a report repository cannot be read.
    """
    # Whoever reports the files of another one keeps that one's report from nobody.
    wanted = defaultdict[str, list[Row]](list)
    for row in rows:
        if row.tree:
            wanted[f"{row.tree}:report.json"].append(row)
    for copy in sorted(folder.glob("*.git")):
        if not wanted or copy.name == _POLICY:
            continue
        git = Git(copy)
        for names in chunks(list(wanted), _AT_ONCE):
            found = described(git, names, _DOING)
            here = {name: oid for name, (oid, kind, _) in zip(names, found, strict=True) if kind == "blob"}
            texts = bounded(git, list(here.values()), _DOING, MOST_REPORT_BYTES)
            for name, text in zip(here, texts, strict=True):
                of = wanted.pop(name)
                with suppress(Misuse):  # The row itself tells of it.
                    report = read_report(text or b"")
                    yield from ((row, report) for row in of)


def _read_at(folder: Path) -> str:
    """Return when the reports were read last; nothing where they never were, or it is damaged."""
    try:
        return str(json.loads((folder / _GATHERED).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _safe(name: str) -> str:
    if not name.isalnum():
        raise ValueError(f"{name!r} is no part")
    return name


def _merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return one line for each target, of several the one that stands for it, the worst first."""
    found: dict[str, Line] = {}
    for line in lines:
        known = found.get(line.target)
        if known is None or _weight(line) > _weight(known):
            found[line.target] = line
    return tuple(sorted(found.values(), key=_place))


def _place(line: Line) -> tuple[int, str]:
    return line.state.rank, line.target


def _weight(line: Line) -> tuple[bool, bool, datetime]:
    """Return what a line weighs against others of its target: the one that it left says where it went."""
    return bool(line.branch), line.state is not TargetState.RETIRED, line.heard or _NEVER


def _changed(before: Iterable[Line], after: Iterable[Line]) -> tuple[list[Row], list[Row]]:
    """Return the rows, as they were and as they are, of which anything is another than it was."""
    was, now = ({line.target: line for line in lines} for lines in (before, after))
    same = {target for target, line in was.items() if target in now and now[target].text == line.text}
    old, new = ([line.row for target, line in some.items() if target not in same] for some in (was, now))
    return old, new


def _newness(row: Row, places: Mapping[str, int]) -> tuple[int, datetime]:
    """Return how new a report is: by its policy, which never goes back, and by what it says of its date then.

    So a key that was the host's once cannot date itself before the reports of the key that came after.
    """
    return places.get(row.policy_commit, -1), row.heard or _NEVER


@dataclass(slots=True)
class _Part:
    """One report repository while a fleet is read.

    Attributes:
        name: Of its files.
        cache: Its copy.
        head: By which policy its rows were judged: not by the one of now where it could not be read.
        lines: Its rows.
        before: As they were.
        digest: Of the file that had them, empty where that is to be written anew.
        summary: As they are published.
        problem: What kept it from being read or published.
    """

    name: str
    cache: ReportCache
    head: Head
    lines: list[Line] = field(default_factory=list)
    before: Sequence[Line] = ()
    digest: str = ""
    summary: bytes = b""
    problem: ReconcilerError | None = None


def _tell_of_moves(parts: Sequence[_Part], places: Mapping[str, int]) -> None:
    """Say in the report repository that a target left where it reports now: it is not silent there."""
    often = Counter(line.target for part in parts for line in part.lines if line.head)
    newest: dict[str, tuple[tuple[int, datetime], _Part]] = {}
    for part in parts:
        for line in part.lines:
            if not line.head or often[line.target] == 1:
                continue
            known = newest.get(line.target)
            if known is None or _newness(line.row, places) > known[0]:
                newest[line.target] = (_newness(line.row, places), part)
    for part in parts:
        part.lines = [_moved(line, part, newest.get(line.target), places) for line in part.lines]


def _moved(
    line: Line, here: _Part, newest: tuple[tuple[int, datetime], _Part] | None, places: Mapping[str, int]
) -> Line:
    if newest is None or newest[1] is here or newest[0] == _newness(line.row, places):
        return line
    row = moved(line.row, newest[1].cache.shown)
    return line if row == line.row else Line.of(row)


class _Dropped:
    """The report repositories that were read before, and are named no more.

    Args:
        folder: Where what was read lies.
        names: Of those that are read now.
        written: Digests of the files there.

    Attributes:
        remotes: Addresses of the others, fit for people, by the name of their files.
    """

    def __init__(self, folder: Path, names: Collection[str], written: Mapping[str, str]) -> None:
        self._folder = folder
        self._written = written
        self.remotes = {name: shown for name, shown in _remotes(folder).items() if name not in names}

    def written(self) -> dict[str, str]:
        """Return the digests of their files."""
        return {name: digest for name, digest in self._written.items() if name in self.remotes}

    def forget_all_but(self, shown: Collection[str]) -> None:
        """Forget those that have no newest report of anybody, such as one that all have left."""
        self.remotes = {name: one for name, one in self.remotes.items() if one in shown}

    def lines(self) -> dict[str, tuple[Line, str]]:
        """Return the newest line that they have of each target, with the address, fit for people."""
        found: dict[str, tuple[Line, str]] = {}
        for name, shown in self.remotes.items():
            try:
                lines = _read(self._folder / f"{_safe(name)}.json", self._written)[1]
            except (OSError, ValueError, Misuse):
                continue  # It can be made again by whoever names that address again.
            for line in lines:
                is_there = bool(line.head) and line.state is not TargetState.RETIRED
                if is_there and (line.target not in found or _heard(line) > _heard(found[line.target][0])):
                    found[line.target] = line, shown
        return found


def _heard(line: Line) -> datetime:
    return line.heard or _NEVER


class _FleetReading:
    """One reading of a fleet."""

    def __init__(
        self, sources: ReportSources, now: datetime, key: Path | None, signer: Signer | None
    ) -> None:
        self._sources = sources
        self._now = now
        self._key = key
        self._own = () if signer is None else (signer,)
        self._revoked = NOTHING_REVOKED if sources.signed is None else sources.signed.revoked
        self._notices: list[str] = []
        self._published: dict[str, FleetCommit] = {}
        kept = sources.remembered
        self._written = _written(kept)
        self._dropped = _Dropped(kept, {copy_of(one) for one in sources.remotes}, self._written)
        self._nowhere: list[Line] = []

    def all(self) -> FleetRead:
        sources = self._sources
        caches = {copy_of(remote): cache_of(sources, remote) for remote in self._remotes()}
        unread = {name: self._fetched(cache) for name, cache in caches.items()}
        keys = sources.remembered / "keys.json"
        policy = self._policy(keys)
        self._notices += policy.notices
        self._say_who(policy)
        asked = (policy.git, policy.line, keys, self._revoked, policy.below)
        book = sources.mirror.whole(lambda: read_keys(*asked))
        if isinstance(sources.mirror, GivenPolicy) and not book.names_any:
            self._notices.append(_NOBODY)
            book = replace(book, is_open=True)
        self._check_role(book)
        head = Head(policy.commit, policy.is_verified, sources.silent_after)
        parts = [_Part(name, cache, head, problem=unread[name]) for name, cache in caches.items()]
        for part in parts:
            self._bring(part, policy, book)
        if len(parts) > 1:
            _tell_of_moves(parts, book.places)
        self._tell_of_dropped(parts, book)
        for part in parts:
            self._finish(part, policy, book, parts)
        self._notices += [notice for part in parts for notice in part.cache.notices]
        lines = _merged(line for part in parts for line in part.lines)
        if sources.changed is not None:
            before = _merged(line for part in parts for line in part.before)
            sources.changed(*_changed(before, lines), _read_at(sources.remembered))
        self._remember(parts)
        told = (policy.problem, *(part.problem for part in parts), self._unknown(lines))
        problems = tuple(one for one in told if one is not None)
        fleet = Gathered(head, lines, self._now)
        return FleetRead(fleet, self._published, tuple(self._notices), problems)

    def _policy(self, keys: Path) -> PolicyAt:
        sources = self._sources
        match sources.mirror:
            case GivenPolicy():
                return sources.mirror.at()
            case PolicyMirror():
                return follow(sources.mirror, sources.signed, self._now, sources.timeout, keys)

    def _remotes(self) -> tuple[str, ...]:
        """Return the remotes, each once: read by two addresses, one would be published in turns for each."""
        found: dict[str, str] = {}
        for remote in self._sources.remotes:
            first = found.setdefault(name_of(remote), remote)
            if first != remote:
                shown = (redact_url(first), redact_url(remote))
                self._notices.append(f"{shown[1]} is the same repository as {shown[0]}, and is read once")
        return tuple(found.values())

    def _say_who(self, policy: PolicyAt) -> None:
        listed = policy.publishers
        self._notices += [f"trust/publishers counts for nobody: {one}" for one in listed.problems[:1]]
        for one in listed.signers:
            if self._revoked.has(one.fingerprint):
                said = f"trust/publishers:{one.line}: {one.fingerprint} is revoked here (trust.revoked)"
                self._notices.append(f"{said}, and counts no more")
        fingerprints = {one.fingerprint for one in listed.signers}
        for signer in self._own:
            if signer.fingerprint not in fingerprints:
                said = f"the policy does not list {signer.fingerprint} in trust/publishers"
                self._notices.append(f"{said}, so that nobody else relies on what is published")

    def _check_role(self, book: KeyBook) -> None:
        hosts = book.named_since("")
        for signer in self._own:
            if signer.fingerprint in hosts:
                said = f"{self._key} is the report_key of {hosts[signer.fingerprint]}"
                raise Misuse(said, "publish with a key of its own: one key has one role")

    def _unknown(self, lines: Iterable[Line]) -> Misuse | None:
        """Say which rewritten branch was accepted that no target has."""
        unknown = sorted(self._sources.accepted - {line.branch for line in lines})
        if not unknown:
            return None
        known = [target_of(line.branch) for line in lines]
        said = f"there is no target {visible(target_of(unknown[0]))} whose branch could be accepted"
        return Misuse(said, nearest(target_of(unknown[0]), known))

    def _fetched(self, cache: ReportCache) -> ReconcilerError | None:
        try:
            cache.fetch(self._sources.timeout)
        except (Transient, Stalled) as problem:
            return problem
        return None

    def _bring(self, part: _Part, policy: PolicyAt, book: KeyBook) -> None:
        """Bring the rows of a report repository up to date; where it cannot be read, to what was known."""
        known, before, part.digest = self._remembered(self._path(part), part.head)
        part.before = before
        is_same = known == part.head
        if part.problem is None:
            try:
                part.lines = part.cache.whole(
                    lambda: self._gathered(part, policy, book, before, is_same=is_same)
                )
            except (Transient, Stalled) as problem:
                part.problem = problem
            else:
                return
        part.head, part.lines = known, before

    def _gathered(
        self, part: _Part, policy: PolicyAt, book: KeyBook, before: Sequence[Line], *, is_same: bool
    ) -> list[Line]:
        sources = self._sources
        proofs: Proofs | NoProofs = NoProofs()
        if book.is_open:
            before, is_same = [], False
        else:
            checked = checked_beside(sources.folder, part.cache)
            where = self._path(part, "proofs")
            proofs = Proofs(part.cache.git, where, sources.environment, adds=checked)
            if not any(line.branch for line in before):
                before, is_same = self._branches(part, policy).rows(), False
        gatherer = Gatherer(
            part.cache,
            book,
            proofs,
            self._now,
            sources.accepted,
            sources.silent_after,
            frozenset(moved_to(redact_url(one)) for one in sources.remotes),
            sources.tell,
        )
        return gatherer.gather(before, is_same_policy=is_same)

    def _branches(self, part: _Part, policy: PolicyAt) -> FleetBranches:
        sources = self._sources
        signers = (*policy.publishers.signers, *self._own)
        told = (self._now, sources.timeout, sources.environment, self._revoked)
        return FleetBranches(part.cache, signers, *told)

    def _tell_of_dropped(self, parts: Sequence[_Part], book: KeyBook) -> None:
        """Say of targets that their newest report is in a repository that was read before, and is not now."""
        if isinstance(self._sources.mirror, GivenPolicy):
            return  # Who asks chooses anew each time what is read.
        lost, used = self._dropped.lines(), set[str]()
        for part in parts:
            newer = {
                line.target: lost[line.target][1]
                for line in part.lines
                if line.target in lost and _heard(lost[line.target][0]) > _heard(line)
            }
            used.update(newer.values())
            part.lines = [
                Line.of(not_read(line.row, newer[line.target])) if line.target in newer else line
                for line in part.lines
            ]
        present = {line.target for part in parts for line in part.lines if line.branch}
        for target, (_, shown) in lost.items():
            if target not in present and book.of(target.partition("/")[0]).key:
                self._nowhere.append(Line.of(only_there(target, shown)))
                used.add(shown)
        self._dropped.forget_all_but(used)

    def _finish(self, part: _Part, policy: PolicyAt, book: KeyBook, parts: Sequence[_Part]) -> None:
        """Publish a part and remember it; hosts that are nowhere are told of in the first one."""
        part.lines = [line for line in part.lines if line.branch]
        if part is parts[0]:
            told = {line.target for line in self._nowhere}
            rows = missing(book, (line for each in parts for line in each.lines))
            part.lines += [*self._nowhere, *(Line.of(row) for row in rows if row.target not in told)]
        self._order(part)
        if self._key is not None and part.problem is None:
            try:
                self._publish(part, policy, book, self._key)
            except (Transient, Stalled) as problem:
                part.problem = problem

    def _remember(self, parts: Sequence[_Part]) -> None:
        digests = {part.name: _digest(part.summary) for part in parts}
        for part in parts:
            if digests[part.name] != part.digest:
                replace_file(self._path(part), part.summary)
        told = {
            "at": instant(self._now),
            "parts": [*digests],
            "written": {**self._dropped.written(), **digests},
            "by": _LAYOUT,
            "remotes": {**self._dropped.remotes, **{part.name: part.cache.shown for part in parts}},
        }
        replace_file(self._sources.remembered / _GATHERED, json.dumps(told).encode())

    def _order(self, part: _Part) -> None:
        part.lines = sorted(
            (line.as_of(self._now, part.head.silent_after) for line in part.lines), key=_place
        )
        part.summary = write_summary(part.head, part.lines)

    def _publish(self, part: _Part, policy: PolicyAt, book: KeyBook, key: Path) -> None:
        """Publish; where another publisher was quicker, look again and go on from what it left."""
        for _ in range(_ATTEMPTS):
            branches = self._branches(part, policy)
            done = part.cache.whole(partial(branches.publish, part.head, part.lines, part.summary, key))
            if done is not None:
                self._published[part.cache.shown] = done
                return
            part.cache.fetch(self._sources.timeout)
            nowhere = [line for line in part.lines if not line.branch]
            part.lines = self._gathered(part, policy, book, part.lines, is_same=True) + nowhere
            self._order(part)
        said = f"cannot publish the fleet on {part.cache.shown}: others move the branch all the time"
        raise Transient(said, "nothing to do: the next publish goes on")

    def _path(self, part: _Part, kind: str = "") -> Path:
        return self._sources.remembered / (f"{part.name}.{kind}.json" if kind else f"{part.name}.json")

    def _remembered(self, path: Path, head: Head) -> tuple[Head, list[Line], str]:
        """Return by which policy the rows left here were judged, them, and the digest of their file."""
        try:
            known, lines, digest = _read(path, self._written)
        except FileNotFoundError:
            return head, [], ""
        except (OSError, Misuse) as error:
            said = error.message if isinstance(error, Misuse) else str(error)
            self._notices.append(f"what was known of the fleet is made anew: {said}")
            return head, [], ""
        return replace(known, silent_after=head.silent_after), lines, digest
