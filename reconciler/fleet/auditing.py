"""Audit a fleet, from the two repositories alone; what was found out before counts where nothing changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from reconciler import __version__
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.fleet.answers import Answers, Findings, Found
from reconciler.fleet.branches import FLEET, FleetBranches
from reconciler.fleet.cache import ReportCache
from reconciler.fleet.histories import Publishers, TargetHistory, same_keys
from reconciler.fleet.proofs import Proofs
from reconciler.fleet.reading import FleetSources, cache_of, checked_beside
from reconciler.fleet.report_keys import KeyBook, read_keys
from reconciler.fleet.revisions import Revisions
from reconciler.fleet.verified_policy import PolicyAt, follow
from reconciler.gitops.damage import judge
from reconciler.gitops.git import commit_date
from reconciler.gitops.report_branches import is_report_branch
from reconciler.host.state.own_folder import AT_WORK, alone, prepare
from reconciler.planning.audit.audit import CHECKS, HOSTS_WORD, RULES, Check, audit
from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import PolicyLine, Sighting, Story, Unread
from reconciler.planning.audit.verdicts import TargetAudit
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import visible
from reconciler.policy.remotes import redact_url
from reconciler.policy.signers import NOTHING_REVOKED
from reconciler.policy.values import nearest
from reconciler.records import dataclass

_DOING = "cannot read the policy"
_MOST_LISTED = 64 * 2**20
_KEPT_EVERY = 64
"""Branches after whose audit it is remembered who signed what: an audit that is ended loses no more."""
PROGRAM = f"patchledger {__version__}"


@dataclass(frozen=True, slots=True)
class AuditAsked:
    """What is to be audited.

    Attributes:
        since: First instant of the period, aware.
        until: First instant after it.
        targets: Those alone; all where none is named.
        scripts: SHA-256 of the patch scripts that come with this program, by name.
        checks: What is asked.
    """

    since: datetime
    until: datetime
    targets: tuple[str, ...]
    scripts: Mapping[str, str]
    checks: tuple[Check, ...] = CHECKS


@dataclass(frozen=True, slots=True)
class FleetAudit:
    """What an audit found.

    Attributes:
        policy_commit: The newest policy that was read.
        policy_is_verified: Its signatures were asked for, and were good.
        targets: Sorted by name; each is read when it is asked for.
        believed: What is nobody's but the hosts' word.
        notices: What a person should know.
        problems: What kept a part from being read.
    """

    policy_commit: str
    policy_is_verified: bool
    targets: Sequence[TargetAudit]
    believed: tuple[str, ...]
    notices: tuple[str, ...]
    problems: tuple[ReconcilerError, ...]


def audit_fleet(sources: FleetSources, asked: AuditAsked, now: datetime) -> FleetAudit:
    """Fetch the two repositories and audit what changed in a period.

    Args:
        sources: Where the fleet is read from.
        asked: What is to be audited.
        now: The present instant, aware.

    Raises:
        ReconcilerError: The policy cannot be had, or a target is asked for that there is not.
        OSError: The file system refuses.
    """
    prepare(sources.folder)
    with alone(sources.folder / "lock", AT_WORK.format(sources.folder)):
        return _Auditing(sources, asked, now).all()


class _Auditing:
    """One audit."""

    def __init__(self, sources: FleetSources, asked: AuditAsked, now: datetime) -> None:
        self._sources = sources
        self._asked = asked
        self._now = now
        self._revoked = NOTHING_REVOKED if sources.signed is None else sources.signed.revoked
        self._answers = Answers(sources.folder / "audit")
        self._targets = Findings(sources.folder)
        self._notices: list[str] = []
        self._problems: list[ReconcilerError] = []
        self._unread: list[ReconcilerError] = []

    def all(self) -> FleetAudit:
        sources = self._sources
        caches = [self._fetched(remote) for remote in dict.fromkeys(sources.remotes)]
        keys = sources.folder / "keys.json"
        policy = follow(sources.mirror, sources.signed, self._now, sources.timeout, keys)
        self._notices += policy.notices
        self._problems += [] if policy.problem is None else [policy.problem]
        book = sources.mirror.whole(lambda: read_keys(policy.git, policy.line, keys, self._revoked))
        line = _line_of(policy, self._unread)
        found = [one for cache in caches if cache is not None for one in self._of(cache, policy, book, line)]
        # In a repository that could not be read there may be more.
        found += [] if None in caches else self._without_reports(found, book, line)
        self._check_targets(found, book)
        if not self._asked.targets:
            self._answers.forget_others()
        self._notices += [notice for cache in caches if cache is not None for notice in cache.notices]
        return FleetAudit(
            policy.commit,
            policy.is_verified,
            self._targets.of(found),
            _believed(policy),
            tuple(self._notices),
            tuple(self._problems),
        )

    def _fetched(self, remote: str) -> ReportCache | None:
        cache = cache_of(self._sources, remote)
        try:
            cache.fetch(self._sources.timeout)
        except (Transient, Stalled) as problem:
            # What was fetched before is not the whole of what there is, and proves less than it seems to.
            self._problems.append(problem)
            return None
        return cache

    def _of(self, cache: ReportCache, policy: PolicyAt, book: KeyBook, line: PolicyLine) -> list[Found]:
        return cache.whole(lambda: list(self._audits(cache, policy, book, line)))

    def _audits(
        self, cache: ReportCache, policy: PolicyAt, book: KeyBook, line: PolicyLine
    ) -> Iterator[Found]:
        sources, name = self._sources, cache.git.git_dir.stem
        told = (self._now, sources.timeout, sources.environment, self._revoked)
        branches = FleetBranches(cache, policy.publishers.signers, *told)
        publishers = Publishers(cache, branches, sources.folder / f"{name}.witnesses.json")
        seen = publishers.witnesses()
        self._tell_of_unchecked(cache, publishers.unchecked)
        remembered = sources.folder / f"{name}.audit-proofs.json"
        checked = checked_beside(sources.folder, cache)
        proofs = Proofs(cache.git, remembered, sources.environment, asks=checked)
        history, hosts = TargetHistory(cache, book, proofs), _hosts(book, line)
        part = _AuditPart(cache, history, line, seen, hosts, self._asked, self._now)
        found = {one for one in (*cache.tips(), *seen) if is_report_branch(one)}
        every, is_cut = sorted(filter(self._is_asked, found)), str(history.is_cut())
        for number, branch in enumerate(every, 1):
            if not number % _KEPT_EVERY:
                proofs.keep(found)
            rests = self._rests_on(policy, seen.get(branch, ()))
            key = (cache.shown, branch, part.tip(branch), is_cut, *rests)
            known = self._answers.get(key)
            if known is None:
                story = part.story(branch)
                known = audit(story, self._asked.since, self._asked.until, self._asked.checks)
                # What this machine could not find out is no answer: the next audit may.
                if not publishers.unchecked and story.is_found_out and not self._unread:
                    self._answers.put(key, known)
            yield self._targets.add(known)
            if sources.tell is not None:
                sources.tell(number, len(every))
        proofs.keep(found)  # of all: who asks for one target now asks for the others another time

    def _tell_of_unchecked(self, cache: ReportCache, unchecked: int) -> None:
        if unchecked:
            said = f"{plural(unchecked, 'commit')} of {FLEET} in {cache.shown} could not be checked"
            self._notices.append(f"{said} by ssh-keygen, so that what publishers saw is not all known")

    def _without_reports(self, found: Sequence[Found], book: KeyBook, line: PolicyLine) -> Iterator[Found]:
        """Yield the hosts that must have reports, and have them in no repository."""
        known, remotes = {one.target for one in found}, dict.fromkeys(self._sources.remotes)
        remote = redact_url(next(iter(remotes))) if len(remotes) == 1 else ""
        for host in book.enrolled():
            branch = f"hosts/{host}"
            if host not in known and self._is_asked(branch):
                story = Story(host, branch, (), line, _no_report, _no_report, remote=remote)
                told = audit(story, self._asked.since, self._asked.until, self._asked.checks)
                yield self._targets.add(told)

    def _is_asked(self, branch: str) -> bool:
        return not self._asked.targets or branch.partition("/")[2] in self._asked.targets

    def _rests_on(self, policy: PolicyAt, seen: Sequence[Sighting]) -> tuple[str, ...]:
        """Return all that an answer depends on besides the branch itself."""
        asked = self._asked
        rules = [
            PROGRAM,
            RULES,
            [(one.name, one.sentence) for one in asked.checks],
            sorted(asked.scripts.items()),
        ]
        told = [[(one.commit, one.tip) for one in seen], rules, repr(self._revoked)]
        # What was read later tells no more of a period that was over by then.
        read_at = self._now.isoformat() if asked.until > self._now else ""
        span = (asked.since.isoformat(), asked.until.isoformat(), read_at)
        return (policy.commit, str(policy.is_verified), _digest(json.dumps(told)), *span)

    def _check_targets(self, found: Sequence[Found], book: KeyBook) -> None:
        known = {one.target for one in found}
        for target in self._asked.targets:
            if target not in known and not self._problems:
                raise Misuse(f"there is no target {visible(target)}", nearest(target, list(book.changes)))


def _no_report(_: str) -> Unread:
    return Unread("there is no report")


@dataclass(frozen=True, slots=True)
class _AuditPart:
    """One report repository, and what its stories are made of."""

    cache: ReportCache
    history: TargetHistory
    line: PolicyLine
    seen: Mapping[str, tuple[Sighting, ...]]
    hosts: Mapping[str, "_HostOfBook"]
    asked: AuditAsked
    now: datetime

    def tip(self, branch: str) -> str:
        """Return where a branch is; empty where it is not there."""
        return self.cache.tips().get(branch, "")

    def story(self, branch: str) -> Story:
        """Return all that is known of a target."""
        tip, host = self.tip(branch), branch.split("/")[1]
        found = self.history.links(tip) if tip else ()
        is_read = not isinstance(found, Unread)
        known = self.hosts.get(host, _HostOfBook())
        story = Story(
            target=branch.partition("/")[2],
            branch=branch,
            links=() if isinstance(found, Unread) else found,
            policy=self.line,
            reports=self.history.report,
            recordings=self.history.recording,
            witnesses=self.seen.get(branch, ()) if is_read else (),
            program=PROGRAM,
            scripts=self.asked.scripts,
            same_key=known.same_key,
            is_cut=self.history.is_cut(),
            remote=self.cache.shown,
            problem=found.reason if isinstance(found, Unread) else "",
            read_at=self.now,
            enrolled=known.enrolled,
            retired=known.retired,
        )
        return self.history.proved(story, Period(self.asked.since, self.asked.until))


@dataclass(frozen=True, slots=True)
class _HostOfBook:
    """What the policy says of the key of a host: who has the same, from when on and until when it counts."""

    same_key: tuple[str, ...] = ()
    enrolled: datetime | None = None
    retired: datetime | None = None


def _hosts(book: KeyBook, line: PolicyLine) -> dict[str, _HostOfBook]:
    dates = {place: line.dates.get(oid) for oid, place in line.places.items()}
    same = same_keys(book)
    return {
        host: _HostOfBook(
            same.get(host, ()),
            enrolled=dates.get(changes[0][0]),
            retired=None if changes[-1][1] else dates.get(changes[-1][0]),
        )
        for host, changes in book.changes.items()
        if changes
    }


def _line_of(policy: PolicyAt, unread: list[ReconcilerError]) -> PolicyLine:
    listed = policy.git.run(
        "log", "--first-parent", "--format=%H %ct", policy.commit, "--", limit=_MOST_LISTED
    )
    if listed.returncode or listed.truncated:
        raise judge(policy.git, listed, _DOING)
    rows = (row.split() for row in listed.lines)
    dates = {oid: commit_date(seconds) for oid, seconds in rows}
    places = {oid: place for place, oid in enumerate(policy.line)}
    return PolicyLine(
        places,
        {oid: dates[oid] for oid in places if oid in dates},
        Revisions(policy.git, places.keys(), PROGRAM, unread),
    )


def _believed(policy: PolicyAt) -> tuple[str, ...]:
    if policy.is_verified:
        return HOSTS_WORD
    said = "that the policy is its authors': its signatures are not asked for (trust.mode)"
    return (said, *HOSTS_WORD)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
