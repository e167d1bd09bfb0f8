"""A row for each target, from the copies of the report repositories: only what moved is looked at.

The rules:

1. A branch only moves forward. What no longer holds its newest commit was rewritten: nothing of it counts
   until it holds that again, or another key that policy names since signs its new beginning, or a person says
   so.
2. The newest report counts where its host's key of that time signed it
   (:class:`reconciler.policy.enrolment.Enrolment`). Where it does not, the newest that does is told of.
3. One good report by the key that counts now vouches for all before it, so that a first look takes one
   signature a target. For any other, all that came since the last good one are judged in their order.
4. What could not be verified, read, or is of another shape keeps what was verified last, with the reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from operator import attrgetter

from reconciler.errors import Misuse
from reconciler.fleet.cache import Misshapen, ReportCache, ReportCommit, Shaped, Tell, chunks
from reconciler.fleet.proofs import NoProofs, Proof, Proofs, told_by
from reconciler.fleet.report_keys import KeyBook
from reconciler.gitops.report_branches import is_report_branch
from reconciler.planning.fleet.rows import (
    Heard,
    Row,
    TargetState,
    again,
    never_heard,
    retired,
    row_of,
    unverified,
)
from reconciler.planning.fleet.summary import SILENT_AFTER, Line
from reconciler.planning.reporting.reader import read_report, read_run
from reconciler.planning.runs.record import RunRecord
from reconciler.planning.text import canonical
from reconciler.policy.enrolment import Enrolment, Standing, Told
from reconciler.reconcile.ports.reports import SignedReport, UnprovedReport
from reconciler.records import dataclass

MOST_JUDGED = 400
"""Reports of one target that are verified one by one; with more that nobody vouches for, none counts."""
_AT_ONCE = 200
"""Targets that are held in memory with their reports."""
MOST_HELD = 64 * 2**20
"""Bytes of reports that are held in memory: one host may have hundreds of guests, each with the largest."""
_SHORT = 12
_MALFORMED = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
"""Where a report is of the right layout and says what none of ours does, such as an instant of a year that no
calendar has: that is the trouble of one target, and no other one is kept from being read by it."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a branch proves.

    Attributes:
        good: The newest report that counts, empty where none new does.
        proof: Of that.
        reason: Why the newest report does not count; empty where it does.
        tip: Where the branch is now, where that continues what was seen; else where it was.
        is_retired: The newest report came after the host was retired.
    """

    good: str
    proof: SignedReport | None
    reason: str
    tip: str
    is_retired: bool = False


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Makes the rows of one report repository.

    Attributes:
        cache: Its copy, as it was fetched.
        book: Who is enrolled.
        proofs: Who signed what.
        now: The present instant, aware.
        accepted: Branches whose rewriting a person has accepted.
        silent_after: A target is silent that nothing was heard of for longer.
        moves: What rows say of targets that report to another repository that is read.
        tell: Is told how many of how many targets were looked at.
    """

    cache: ReportCache
    book: KeyBook
    proofs: Proofs | NoProofs
    now: datetime
    accepted: frozenset[str] = frozenset()
    silent_after: timedelta = SILENT_AFTER
    moves: frozenset[str] = frozenset()
    tell: Tell | None = None
    _before: dict[str, Line] = field(default_factory=dict, init=False)

    def gather(self, before: Iterable[Line], *, is_same_policy: bool) -> list[Line]:
        """Return the row of each target that has, or had, a branch, in no particular order.

        Args:
            before: The rows until now.
            is_same_policy: They were judged by the policy of today.

        Raises:
            Damaged: The copy cannot be read.
            OSError: Temporary files cannot be written.
        """
        self._before.clear()
        self._before.update((line.branch, line) for line in before if line.branch)
        tips = {
            branch: tip
            for branch, tip in self.cache.tips().items()
            if branch in self._before or is_report_branch(branch)
        }
        found, todo = dict[str, Line](), list[str]()
        for branch, tip in tips.items():
            line = self._before.get(branch)
            if line is not None and self._stands(line, tip, is_same_policy=is_same_policy):
                found[branch] = line
            else:
                todo.append(branch)
        for some in chunks(todo, _AT_ONCE):
            found |= {row.branch: Line.of(row) for row in self._looked_at(some, tips)}
            if self.tell is not None:
                self.tell(len(found), len(tips))
        gone = (self._gone(line.row) for branch, line in self._before.items() if branch not in tips)
        found |= {row.branch: Line.of(row) for row in gone}
        doubtful = (line.branch for line in found.values() if line.state is TargetState.UNVERIFIED)
        self.proofs.keep(doubtful)
        return list(found.values())

    def _stands(self, line: Line, tip: str, *, is_same_policy: bool) -> bool:
        """Say whether nothing can have changed what is known of a target, but time."""
        is_good = line.head == line.tip == tip and line.state is not TargetState.UNVERIFIED
        if not is_good or self.book.revoked.has(line.key):
            return False
        if line.state is TargetState.SILENT and line.heard and self.now - line.heard <= self.silent_after:
            return False  # It was silent by another clock, or by a shorter span: what it is, its report says.
        is_retired = line.state is TargetState.RETIRED
        if is_same_policy and not is_retired:
            return True
        row, enrolment = line.row, self._enrolment(line.branch)
        if is_retired and enrolment.key and row.reason not in self.moves:
            return False  # It reported elsewhere, and there nobody looks any more.
        if is_same_policy:
            return True
        still_counts = enrolment.standing(Told(row.key, row.policy_commit)).counts
        return still_counts and (row.state is TargetState.RETIRED) is not bool(enrolment.key)

    def _enrolment(self, branch: str) -> Enrolment:
        return self.book.of(branch.split("/")[1])

    def _row_before(self, branch: str) -> Row | None:
        line = self._before.get(branch)
        return None if line is None else line.row

    def _gone(self, row: Row) -> Row:
        if not self._enrolment(row.branch).key:
            return retired(row.branch, row)
        return unverified(row.branch, "its branch is gone from the report repository", row)

    def _looked_at(self, branches: Sequence[str], tips: Mapping[str, str]) -> Iterator[Row]:
        """Yield the rows of branches that moved, or did not count until now."""
        known = [branch for branch in branches if self._enrolment(branch).changes]
        for branch in set(branches) - set(known):
            before = self._row_before(branch)
            tip = before.tip if before is not None and before.head else tips[branch]
            yield unverified(branch, "the policy names no key of it", before, tip)
        proofs = self.proofs.of([(branch, tips[branch]) for branch in known])
        lines = self._lines(known, tips)
        found = {
            branch: self._judged(branch, tips[branch], proof, lines.get(branch))
            for branch, proof in zip(known, proofs, strict=True)
        }
        good = {branch: one for branch, one in found.items() if one.good}
        read = self._read({branch: one.proof for branch, one in good.items() if one.proof is not None})
        yield from (self._row(branch, one, read.get(branch)) for branch, one in found.items())

    def _row(self, branch: str, found: _Found, read: Row | str | None) -> Row:
        before = self._row_before(branch)
        row = read if isinstance(read, Row) else before
        if found.is_retired or (not found.reason and not self._enrolment(branch).key):
            return retired(branch, row, found.tip)
        unread = "its report cannot be read" if found.good and read is None else ""
        reason = found.reason or (read if isinstance(read, str) else unread)
        return unverified(branch, reason, row, found.tip) if reason or row is None else row

    def _lines(self, branches: Sequence[str], tips: Mapping[str, str]) -> dict[str, list[str] | None]:
        """Return what came since the last good report of branches that had one, the oldest first.

        ``None`` stands for a branch that does not hold what was seen of it, or that too much has come to.
        """
        rows = {branch: row for branch in branches if (row := self._row_before(branch)) and row.head}
        if not rows:
            return {}
        most = MOST_JUDGED * len(rows)
        graph = self.cache.history(
            (tips[branch] for branch in rows), (row.head for row in rows.values()), most
        )
        if len(graph) < most:
            return {branch: _line(graph, tips[branch], row) for branch, row in rows.items()}
        return {
            branch: _line(self.cache.history([tips[branch]], [row.head], MOST_JUDGED), tips[branch], row)
            for branch, row in rows.items()
        }

    def _judged(self, branch: str, tip: str, proof: Proof, line: list[str] | None) -> _Found:
        """Say what a branch proves, by its newest report alone where that is enough."""
        before, enrolment = self._row_before(branch), self._enrolment(branch)
        has_good = before is not None and bool(before.head)
        after = "" if before is None else before.policy_commit
        standing = next(enrolment.standings([told_by(proof)], after))
        is_good = standing is Standing.ENROLLED and isinstance(proof, SignedReport)
        if before is not None and has_good and line is None and branch not in self.accepted:
            is_new = is_good and proof.commit != before.tip and told_by(proof).key != before.key
            if not is_new:
                said = f"its branch was rewritten: it does not hold {before.tip[:_SHORT]} any more"
                return _Found("", None, said, before.tip)
        is_known = standing.counts and before is not None and tip == before.head
        if isinstance(proof, SignedReport) and (is_good or is_known):
            return _Found(tip, self._lasting([proof], after), "", tip)
        if line is None:
            line = list(self.cache.history([tip], [], MOST_JUDGED))
        if len(line) >= MOST_JUDGED:
            return _Found("", None, f"more than {MOST_JUDGED} reports of it are not verified", tip)
        return self._one_by_one(branch, enrolment, line, tip, after)

    def _one_by_one(
        self, branch: str, enrolment: Enrolment, line: Sequence[str], tip: str, after: str
    ) -> _Found:
        # Where nothing came since the last good one, that itself counts no more.
        proofs = self.proofs.of([(branch, oid) for oid in line or [tip]])
        standings = list(enrolment.standings(map(told_by, proofs), after))
        good = [
            proof
            for proof, standing in zip(proofs, standings, strict=True)
            if standing.counts and isinstance(proof, SignedReport)
        ]
        newest = self._lasting(good, after) if good else None
        if newest is not None and newest.commit == tip:
            return _Found(tip, newest, "", tip)
        last, standing = proofs[-1], standings[-1]
        reason = last.message if isinstance(last, UnprovedReport) else _against(standing, last)
        is_retired = standing is Standing.RETIRED and isinstance(last, SignedReport)
        return _Found("" if newest is None else newest.commit, newest, reason, tip, is_retired)

    def _lasting(self, good: Sequence[SignedReport], after: str) -> SignedReport:
        """Return the last of good reports, with the newest policy that it or one before it names.

        By that one all after it are judged, whatever older one, or none, the last one names itself.
        """
        named = max((after, *(one.policy for one in good)), key=lambda oid: self.book.places.get(oid, -1))
        return replace(good[-1], policy=named)

    def _read(self, proofs: Mapping[str, SignedReport]) -> dict[str, Row | str]:
        """Return the row that each good report makes, or why it makes none."""
        commits = self.cache.commits([proof.commit for proof in proofs.values()])
        heard = {
            branch: self._heard(branch, proof, commit)
            for (branch, proof), commit in zip(proofs.items(), commits, strict=True)
            if commit is not None
        }
        found: dict[str, Row | str] = {}
        anew: dict[str, Heard] = {}
        for branch, one in heard.items():
            before = self._row_before(branch)
            if before is not None and before.tree == one.tree and before.state.is_reported:
                found[branch] = again(before, one)
            else:
                anew[branch] = one
        shapes = dict(zip(anew, self.cache.shapes([one.tree for one in anew.values()]), strict=True))
        found |= {branch: shape.message for branch, shape in shapes.items() if isinstance(shape, Misshapen)}
        whole = {branch: shape for branch, shape in shapes.items() if isinstance(shape, Shaped)}
        for some in portions(whole, MOST_HELD):
            reports = self.cache.texts([shape.report for shape in some.values()])
            runs = iter(self.cache.texts([shape.run for shape in some.values() if shape.run]))
            for (branch, shape), report in zip(some.items(), reports, strict=True):
                found[branch] = self._parsed(branch, report, next(runs) if shape.run else None, anew[branch])
        return found

    def _heard(self, branch: str, proof: SignedReport, commit: ReportCommit) -> Heard:
        before = self._row_before(branch)
        at = min(commit.at, self.now)
        if before is not None and before.head == proof.commit and before.heard is not None:
            at = before.heard  # Looked at again, a report of a date in the future was not heard again.
        return Heard(proof.commit, commit.tree, proof.key, proof.policy, at)

    def _parsed(self, branch: str, report: bytes | None, run: bytes | None, heard: Heard) -> Row | str:
        try:
            told = read_report(report or b"")
            _, host, *guest = branch.split("/")
            if told.target != (guest or [host])[-1]:
                return "its report tells of another target"
            if told.host.guest_of != (host if guest else None):
                said = told.host.guest_of
                return f"its report tells of a guest of {said}" if said else "its report tells of no guest"
            if not heard.policy:
                heard = replace(heard, policy=told.policy_commit)
            row = row_of(branch, told, _run(run), heard, self._row_before(branch))
            Line.of(row)
        except Misuse as error:
            return f"its report cannot be read: {error.message}"
        except _MALFORMED as error:
            return f"its report cannot be read: {canonical.fault_in(error)}"
        return row


def missing(book: KeyBook, lines: Iterable[Line]) -> Iterator[Row]:
    """Yield a row for each host that is enrolled and has no branch anywhere."""
    seen = {line.branch for line in lines}
    return (never_heard(host) for host in book.enrolled() if f"hosts/{host}" not in seen)


def portions(
    shapes: Mapping[str, Shaped], most: int, size_of: Callable[[Shaped], int] = attrgetter("size")
) -> Iterator[dict[str, Shaped]]:
    """Yield reports in portions of no more than so many bytes of what is read of them, or of one report."""
    some, size = dict[str, Shaped](), 0
    for name, shape in shapes.items():
        own = size_of(shape)
        if some and size + own > most:
            yield some
            some, size = {}, 0
        some[name] = shape
        size += own
    if some:
        yield some


def _line(graph: Mapping[str, Sequence[str]], tip: str, row: Row) -> list[str] | None:
    """Return the commits of a branch that are in the graph, the oldest first; None without ``row.tip``."""
    reached, waiting = set[str](), [tip]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += graph.get(one, ())
    if row.tip not in reached:
        return None
    return [oid for oid in graph if oid in reached]


def _run(data: bytes | None) -> RunRecord | None:
    try:
        return None if data is None else read_run(data)
    except Misuse:
        return None


def _against(standing: Standing, proof: SignedReport | None) -> str:
    match standing:
        case Standing.OTHER_KEY:
            key = "" if proof is None else f" {proof.key}"
            return f"its report is signed by{key}, which is not its key by the policy of that time"
        case Standing.REVOKED:
            key = "" if proof is None else f" {proof.key}"
            return f"its report is signed by{key}, which is revoked (trust.revoked)"
        case Standing.RETIRED:
            return "it had been retired before its report was made"
        case Standing.UNENROLLED:
            return "the policy named no key of it when its report was made"
        case Standing.UNKNOWN_POLICY:
            return "its report names a commit that the policy does not hold"
        case Standing.ENROLLED | Standing.FORMER_KEY:
            return ""
