"""What an audit is given: the reports of a target in their order, the policy's line, and who else saw them.

Nothing here is believed for being here. What a commit says is its author's word; what it proves is its
signature, and its place in a history that others have seen.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from operator import attrgetter, itemgetter

from reconciler.planning.gates.recording import Recording
from reconciler.planning.reporting.document import Report
from reconciler.planning.runs.record import RunRecord
from reconciler.policy.enrolment import Standing
from reconciler.policy.resolve import Resolver
from reconciler.records import dataclass

BREAKS = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of a report that can be read, and holds what nobody thought of."""
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unread:
    """What cannot be read, and why; ``is_newer`` where a newer release can."""

    reason: str
    is_newer: bool = False


@dataclass(frozen=True, slots=True)
class RunFile:
    """The record of a run where a branch has it first, or has it anew.

    Attributes:
        run: Name of the file, without its ending.
        record: What it says.
        is_altered: It was there before and said something else.
    """

    run: str
    record: RunRecord | Unread
    is_altered: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One commit of a report branch.

    Attributes:
        at: When it says that it was made.
        report: Identifies the content of its ``report.json``; empty where it has none.
        recording: The same of ``observation.json``.
        standing: What its signature is worth; ``None`` where nobody asked.
        against: Why it is not the host's; empty where it is, or nobody asked.
        policy: The policy commit that its message names.
        runs: Records that came with it.
        is_heartbeat: It says what the one before it says.
    """

    commit: str
    parents: tuple[str, ...]
    at: datetime
    report: str
    recording: str
    standing: Standing | None = None
    against: str = ""
    policy: str = ""
    runs: tuple[RunFile, ...] = ()
    is_heartbeat: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """A commit of the branch ``fleet``, which a publisher signed: where a report branch was at its time.

    Attributes:
        at: When it was made; what it tells was read after that.
        tip: The newest commit of the branch that it saw, empty where it saw none.
    """

    commit: str
    at: datetime
    tip: str


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """The commits of the policy by their first parents.

    Attributes:
        places: Of each commit in the line, from 0 for the oldest.
        dates: When each says that it was made.
        resolver: Gives who says what one means for a host.
    """

    places: Mapping[str, int]
    dates: Mapping[str, datetime]
    resolver: Callable[[str], Resolver | Unread] = field(repr=False)
    _by_date: list[tuple[datetime, str]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        last = ""
        for at, oid in sorted((at, oid) for oid, at in self.dates.items()):
            last = oid if self.places[oid] >= self.places.get(last, -1) else last
            self._by_date.append((at, last))

    def newest_at(self, at: datetime) -> str:
        """Return the last commit of the line that says it was made by then; empty without one."""
        number = bisect_right(self._by_date, at, key=itemgetter(0))
        return self._by_date[number - 1][1] if number else ""


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one target.

    Attributes:
        target: Such as ``web-01`` or ``pve/101``.
        links: Its branch, parents before children; the last is where the branch is now.
        reports: Gives a report by what identifies its content.
        recordings: Gives a recording by what identifies its content.
        witnesses: In the order of their dates.
        program: The name and version of what audits, as recordings name theirs.
        scripts: SHA-256 of the patch scripts that come with that, by name.
        same_key: Other hosts for which the policy names the same key.
        is_cut: The history does not go back to its begin.
        remote: Address of the report repository, fit for people.
        problem: Why the branch could not be read; empty where it could.
        read_at: When the repositories were read: nothing that they hold is of a later time.
        enrolled: When the policy named a key of its host first; ``None`` where it never did.
        retired: When the policy named none any more; ``None`` where it names one.
    """

    target: str
    branch: str
    links: tuple[Link, ...]
    policy: PolicyLine
    reports: Callable[[str], Report | Unread] = field(repr=False)
    recordings: Callable[[str], Recording | Unread] = field(repr=False)
    witnesses: tuple[Sighting, ...] = ()
    program: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
    same_key: tuple[str, ...] = ()
    is_cut: bool = False
    remote: str = ""
    problem: str = ""
    read_at: datetime = _LATEST
    enrolled: datetime | None = None
    retired: datetime | None = None
    _at: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _known: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._at.update((link.commit, number) for number, link in enumerate(self.links))
        for number, one in enumerate(self.witnesses):
            waiting = [one.tip]
            while waiting:
                commit = waiting.pop()
                if commit in self._at and commit not in self._known:
                    self._known[commit] = number
                    waiting += self.links[self._at[commit]].parents

    def find(self, commit: str) -> Link | None:
        """Return a commit of the branch."""
        number = self._at.get(commit)
        return None if number is None else self.links[number]

    def before(self, link: Link) -> Link | None:
        """Return what a commit follows: its first parent."""
        return self.find(link.parents[0]) if link.parents else None

    def holds(self, commit: str, below: str) -> bool:
        """Say whether a commit is ``below``, or one that comes before that by any way."""
        if commit not in self._at or below not in self._at:
            return False
        least, waiting, seen = self._at[commit], [below], set[str]()
        while waiting:
            one = waiting.pop()
            if one == commit:
                return True
            if one not in seen and self._at.get(one, -1) > least:
                seen.add(one)
                waiting += self.links[self._at[one]].parents
        return False

    def first_to_know(self, commit: str) -> Sighting | None:
        """Return the first who saw a commit of the branch; ``None`` where nobody did yet."""
        number = self._known.get(commit)
        return None if number is None else self.witnesses[number]

    def missed_by(self, commit: str, since: datetime) -> Sighting | None:
        """Return who looked at the branch at or after an instant and did not see a commit of it."""
        number = bisect_left(self.witnesses, since, key=attrgetter("at"))
        if number >= min(self._known.get(commit, len(self.witnesses)), len(self.witnesses)):
            return None
        return self.witnesses[number]

    def runs_until(self, link: Link) -> Iterator[tuple[Link, RunRecord]]:
        """Yield the records that a commit and those before it brought, the oldest first."""
        for one in self.links[: self._at[link.commit] + 1]:
            for file in one.runs:
                if isinstance(file.record, RunRecord) and not file.is_altered:
                    yield one, file.record

    @property
    def is_found_out(self) -> bool:
        """Whether nothing is missing for want of means: the repositories may tell more another time."""
        unchecked = any(link.standing is None and link.against for link in self.links)
        return not unchecked and not self.problem

    @property
    def is_whole(self) -> bool:
        """Whether the branch has everything that this target ever reported, as far as it says itself."""
        if self.is_cut or not self.links:
            return False
        first = self.reports(self.links[0].report)
        return isinstance(first, Report) and first.previous is None
