"""The checks that each report, and each branch, must pass: that nothing was left out, and nothing put in."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import Link, Story, Unread
from reconciler.planning.audit.verdicts import Against, Verdict
from reconciler.planning.facts.inventory import OutsideChange, inventory_of
from reconciler.planning.facts.observation import Installed
from reconciler.planning.facts.package import PackageId
from reconciler.planning.gates.recording import Recording
from reconciler.planning.reporting.document import Report
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text.wording import listed, minute, plural
from reconciler.records import dataclass

_SHORT = 12
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Passage:
    """A report, and the one that it follows on its branch.

    Attributes:
        before: ``None`` where the branch begins.
        report: What it says.
        last: What the one before says; ``None`` where there is none.
        runs: The records that came with it.
    """

    story: Story
    link: Link
    before: Link | None
    report: Report | Unread
    last: Report | Unread | None
    runs: tuple[RunRecord, ...]

    @classmethod
    def to(cls, story: Story, link: Link) -> "Passage":
        """Gather what belongs to a report."""
        before = story.before(link)
        last = None if before is None else story.reports(before.report)
        records = (one.record for one in link.runs if not one.is_altered)
        runs = tuple(one for one in records if isinstance(one, RunRecord))
        return cls(story, link, before, story.reports(link.report), last, runs)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing can have moved since the report before, as far as both say."""
        report, last = self.report, self.last
        if isinstance(report, Unread) or last is None or isinstance(last, Unread):
            return False
        is_same = bool(report.inventory) and report.inventory == last.inventory
        return is_same and not self.link.runs and not report.outside

    def outside(self) -> tuple[OutsideChange, ...]:
        """Return what moved although no run did it, by the recording, which has all of it."""
        if self.is_quiet:
            return ()
        recording = self.story.recordings(self.link.recording)
        if isinstance(recording, Recording):
            return recording.changed_outside
        told = () if isinstance(self.report, Unread) else self.report.changed_outside
        return tuple(
            OutsideChange(one.action, one.name, one.arch, one.from_, one.to, one.status) for one in told
        )

    def refuted(self, check: str, reason: str, *commits: str) -> Against:
        """Return that something contradicts it."""
        return Against(check, Verdict.REFUTED, reason, commits or (self.link.commit,))

    def unproved(self, check: str, reason: str, *commits: str) -> Against:
        """Return that something is missing."""
        return Against(check, Verdict.UNPROVED, reason, commits or (self.link.commit,))


def readable(passage: Passage) -> Iterator[Against]:
    """Ask for a report, and for records, that can be read."""
    unread = [one.record for one in passage.link.runs if isinstance(one.record, Unread)]
    for one in (passage.report, *unread):
        if isinstance(one, Unread):
            yield passage.unproved("readable", one.reason)


def order(passage: Passage) -> Iterator[Against]:
    """Ask for the report to follow the one before it, by what it says itself."""
    report, before, last = passage.report, passage.before, passage.last
    if isinstance(report, Unread):
        return
    told = report.previous
    if told is None:
        if before is not None:
            yield passage.unproved("order", "the report does not say which one it follows")
        return
    found = passage.story.find(told.commit)
    if found is None:
        said = f"the report follows {told.commit[:_SHORT]}, which its branch does not hold"
        is_open = passage.story.is_cut or told.remote
        yield (passage.unproved if is_open else passage.refuted)("order", said)
        return
    if before is not None and found is not before and len(passage.link.parents) == 1:
        said = f"the report follows {found.commit[:_SHORT]}, and its branch holds others between them"
        yield passage.unproved("order", said)
    there = passage.story.reports(found.report)
    if isinstance(there, Report) and told.inventory != there.inventory:
        said = "the report before it is to have told of other packages than it does"
        yield passage.refuted("order", said, passage.link.commit, found.commit)
    if isinstance(last, Report) and report.generated_at < last.generated_at:
        when = f"{minute(last.generated_at)} to {minute(report.generated_at)}"
        yield passage.unproved("order", f"the clock went back from {when}")


def inventory(passage: Passage) -> Iterator[Against]:
    """Ask for all that is installed otherwise to be told: by a run, or as changed outside of runs."""
    report, last, before = passage.report, passage.last, passage.before
    if isinstance(report, Unread) or before is None or last is None:
        return
    if isinstance(last, Unread):
        yield passage.unproved("inventory", f"the report before it: {last.reason}")
        return
    if any(isinstance(one.record, Unread) for one in passage.link.runs):
        return  # What it did cannot be told, and that is said.
    if passage.is_quiet:
        return
    recordings = [passage.story.recordings(one.recording) for one in (before, passage.link)]
    unread = [one.reason for one in recordings if isinstance(one, Unread)]
    old, new = recordings
    if unread or isinstance(old, Unread) or isinstance(new, Unread):
        yield passage.unproved("inventory", unread[0])
        return
    for told, recording, link in ((last, old, before), (report, new, passage.link)):
        if told.inventory and told.inventory != inventory_of(recording.observation.installed):
            said = "the report does not tell what its own recording has installed"
            yield passage.refuted("inventory", said, link.commit)
    if report.outside != len(new.changed_outside):
        said = "the report and its recording differ about what was changed outside of runs"
        yield passage.refuted("inventory", said)
    yield from _explained(passage, old, new)


def _explained(passage: Passage, old: Recording, new: Recording) -> Iterator[Against]:
    outside = new.changed_outside
    before, after = old.observation.installed, new.observation.installed
    wrong = [
        *_unexplained(before, after, passage.runs, outside),
        *_unmarked(before, after, passage.runs, outside),
    ]
    if wrong:
        names = listed(list(dict.fromkeys(wrong)), 3)
        said = f"what is installed is not what was before and what is told of since: {names}"
        yield passage.refuted("inventory", said, passage.link.commit)


_Step = tuple[str | None, str | None]


def _unexplained(
    before: Iterable[Installed],
    after: Iterable[Installed],
    runs: Sequence[RunRecord],
    outside: Sequence[OutsideChange],
) -> Iterator[str]:
    """Yield the packages whose versions are not those from before with all that is told of them.

    By name alone, since a package may change its architecture.
    """
    steps = defaultdict[str, list[_Step]](list)
    for one in outside:
        if one.from_version != one.to_version:
            steps[one.name].append((one.from_version, one.to_version))
    for record in runs:
        for move in record.difference.changed:
            steps[move.name].append((move.from_, move.to))
    was, is_now = _versions(before), _versions(after)
    for name in sorted(was.keys() | is_now.keys() | steps.keys()):
        old, new = was.get(name, []), is_now.get(name, [])
        is_same = name not in steps and old == new  # as most are
        if not is_same and not _leads(Counter(old), Counter(new), steps.get(name, [])):
            yield name


def _versions(installed: Iterable[Installed]) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for one in installed:
        found[one.name].append(one.version)
    return dict(found)


def _leads(state: Counter[str], end: Counter[str], steps: Sequence[_Step]) -> bool:
    """Say whether all these steps, in some order, lead from one state to the other."""
    left, is_moving = list(steps), True
    while left and is_moving:
        is_moving = False
        for old, new in tuple(left):
            if old is None or state[old] > 0:
                state -= Counter([old] if old is not None else [])
                state += Counter([new] if new is not None else [])
                left.remove((old, new))
                is_moving = True
    return not left and state == end


def _unmarked(
    before: Iterable[Installed],
    after: Iterable[Installed],
    runs: Sequence[RunRecord],
    outside: Sequence[OutsideChange],
) -> Iterator[str]:
    """Yield packages that are held, released or half done as they were not, and of which that is not told."""
    known = {(one.name, one.arch, one.version): one for one in before}
    told = {(one.action, one.package) for one in outside}
    states = {(one.package, one.status) for one in outside}
    broken = {words.partition(" ")[0] for record in runs for words in record.difference.broken}
    for one in after:
        was = known.get((one.name, one.arch, one.version))
        mark = "hold" if one.held else "release"
        if was is not None and was.held != one.held and (mark, one.package) not in told:
            yield f"{one.package} ({mark})"
        is_new = was is None or was.status != one.status
        if not one.is_whole and is_new and not _is_told(one.package, one.status, states, broken):
            yield f"{one.package} ({one.status})"


def _is_told(package: PackageId, status: str, states: set[tuple[PackageId, str]], broken: set[str]) -> bool:
    return (package, status) in states or bool({package.name, str(package)} & broken)


def seen_before(story: Story, _: Period) -> Iterator[Against]:
    """Ask for all that publishers saw of the branch to be in it still."""
    for one in story.witnesses:
        if one.tip and story.find(one.tip) is None:
            seen = f"{one.tip[:_SHORT]}, which was seen at {minute(one.at)}"
            said = f"the branch was rewritten: it does not hold {seen}"
            yield Against("seen-before", Verdict.REFUTED, said, (one.commit, one.tip))
            return


def whole(story: Story, _: Period) -> Iterator[Against]:
    """Ask for a history that can be read, and goes back to its begin."""
    if story.problem:
        yield Against("whole", Verdict.UNPROVED, story.problem)
    elif story.is_cut:
        said = "its history is cut off: the report repository is a shallow clone"
        yield Against("whole", Verdict.UNPROVED, said)
    elif not story.links:
        yield Against("whole", Verdict.UNPROVED, "it has no report")


def own_key(story: Story, _: Period) -> Iterator[Against]:
    """Ask for a key that no other host has."""
    if story.same_key:
        said = f"its key is that of {listed(list(story.same_key))} as well: either may have signed"
        yield Against("own-key", Verdict.UNPROVED, said)


def own_reports(story: Story, _: Period) -> Iterator[Against]:
    """Ask for the host's signature on every report that was looked at."""
    asked = [one for one in story.links if one.standing is not None or one.against]
    bad = [one for one in asked if one.standing is None or not one.standing.counts]
    if bad:
        more = f"; and {plural(len(bad) - 1, 'more report')}" if len(bad) > 1 else ""
        commits = tuple(one.commit for one in bad[:_NAMED])
        yield Against("own-reports", Verdict.UNPROVED, f"{bad[0].against}{more}", commits)
