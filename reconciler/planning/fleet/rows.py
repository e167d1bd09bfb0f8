"""A target of the fleet as one row: how it is, by the last report of it that was verified.

The rules:

1. A state is one word, and the worst that holds is the one that counts (:class:`TargetState`).
2. What a report says, counts only where the report is the target's own. What is wrong with that is the worst
   of all: the row then tells of the last report that was, and says why there is no newer one.
3. Silence is judged at the moment of asking, since whoever is silent writes nothing of it.
4. A row is made from one report, and from what the row before it remembered of security updates.
"""

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.gates.types import Outcome
from reconciler.planning.reporting.ailments import Ailment, Ill, pressing
from reconciler.planning.reporting.document import Counts, Decided, Report
from reconciler.planning.reporting.host_status import NextWindow
from reconciler.planning.reporting.summary import headline, run_headline
from reconciler.planning.runs.record import RunOutcome, RunRecord
from reconciler.planning.text.layout import UnknownWord
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import plural
from reconciler.records import dataclass

_Word = typing.TypeVar("_Word", bound=StrEnum)
_REASON = 300
"""Characters of a reason or headline."""
_NAME = 100
"""Characters of a name that a machine could choose."""
_MOST_LABELS = 50
_MOST_SECURITY = 50
"""Security updates of a target that are followed, the oldest first."""


class TargetState(StrEnum):
    """How a target is; the worst first, those that are no more last."""

    UNVERIFIED = "unverified"
    """What its branch holds now is not proved to be its own."""
    FAILED = "failed"
    """Its last run failed, or something keeps it from being patched."""
    INTERRUPTED = "interrupted"
    """A run, or the package manager, was ended half way."""
    SILENT = "silent"
    """Nothing was heard of it for too long."""
    OVERDUE = "overdue"
    """An update waits for longer than policy allows."""
    WAITING = "waiting-for-a-person"
    """A person must approve, resume or mend something."""
    REBOOT_PENDING = "reboot-pending"
    """Updates are there and need a reboot."""
    CHANGED_OUTSIDE = "changed-outside"
    """Somebody changed packages by hand."""
    FINE = "fine"
    """Nothing is wrong; updates may wait for their window."""
    RETIRED = "retired"
    """The policy names no key of it any more; or it reports elsewhere, in the repository that it left."""

    @property
    def rank(self) -> int:
        """Its place in the order: 0 is the worst."""
        return _RANKS[self]

    @property
    def alarms(self) -> bool:
        """Whether somebody should be woken for that alone; see :attr:`Row.alarms`."""
        match self:
            case TargetState.UNVERIFIED | TargetState.FAILED | TargetState.SILENT | TargetState.OVERDUE:
                return True
            case (
                TargetState.INTERRUPTED
                | TargetState.WAITING
                | TargetState.REBOOT_PENDING
                | TargetState.CHANGED_OUTSIDE
                | TargetState.FINE
                | TargetState.RETIRED
            ):
                return False

    @property
    def is_proved(self) -> bool:
        """Whether the newest report of a target is its own, and counts."""
        match self:
            case TargetState.UNVERIFIED | TargetState.RETIRED:
                return False
            case (
                TargetState.FAILED
                | TargetState.INTERRUPTED
                | TargetState.SILENT
                | TargetState.OVERDUE
                | TargetState.WAITING
                | TargetState.REBOOT_PENDING
                | TargetState.CHANGED_OUTSIDE
                | TargetState.FINE
            ):
                return True

    @property
    def is_reported(self) -> bool:
        """Whether a report says so by itself: another one of the same files says it again."""
        match self:
            case TargetState.UNVERIFIED | TargetState.SILENT | TargetState.RETIRED:
                return False
            case (
                TargetState.FAILED
                | TargetState.INTERRUPTED
                | TargetState.OVERDUE
                | TargetState.WAITING
                | TargetState.REBOOT_PENDING
                | TargetState.CHANGED_OUTSIDE
                | TargetState.FINE
            ):
                return True


_RANKS = {state: rank for rank, state in enumerate(TargetState)}


@dataclass(frozen=True, slots=True)
class NewestRun:
    """The newest run that a report branch has a record of."""

    run: str
    ended: datetime
    outcome: RunOutcome
    headline: str


@dataclass(frozen=True, slots=True)
class OldestSecurity:
    """The security update that waits longest.

    Attributes:
        package: As people read it.
        candidate: The version that is on offer.
        since: When a report first told of it.
    """

    package: str
    candidate: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One target of the fleet.

    Attributes:
        target: Its id; of a guest, ``HOST/GUEST``.
        branch: Its branch in the report repository, empty where it has none.
        state: The worst that holds.
        reason: Why it is in that state.
        head: Commit of the report that this row tells of, empty where none was ever verified.
        tip: The newest commit of its branch that continues what was seen before.
        tree: The files of ``head``, as git names them.
        key: Fingerprint of the key that signed ``head``.
        heard: Date of ``head``, and never later than it was seen.
        program: Name and version of what made the report.
        policy_commit: The newest policy that ``head``, or a report before it, names: it was judged by that.
        policies: Names of the policies that match it, the strongest first.
        os: Distribution and release, such as ``debian 12``.
        manager: Its package manager.
        guest_of: Id of the hypervisor, null for a host of its own.
        called: What its hypervisor calls a guest, where that is not its id; else empty.
        labels: As the policy sees them.
        own_labels: As it says of itself; null where its report did not tell that.
        headline: The report in a few words.
        resolution: As in the report: targets that share it, and that policy treats alike, have the same plan.
        inventory: Digest of all that is installed.
        decision: What may happen now, why not, and until when; null where nothing was verified.
        counts: How many updates there are of each sort; null where nothing was verified.
        oldest_security: The security update that waits longest, null where none does.
        security: Since when each security update waits, the oldest 50, by ``NAME:ARCH=VERSION``.
        last_run: Null where no run is known.
        next_window: The window that is open or comes next, null where none is in sight.
        reboot: It needs a reboot.
        changed_outside: How many changes no run made, by the last report.
        timezone: The zone that people read its times in: that of its windows, by the last report.
    """

    target: str
    branch: str
    state: TargetState
    reason: str
    head: str = ""
    tip: str = ""
    tree: str = ""
    key: str = ""
    heard: datetime | None = None
    program: str = ""
    policy_commit: str = ""
    policies: tuple[str, ...] = ()
    os: str = ""
    manager: str = ""
    guest_of: str | None = None
    called: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    own_labels: Mapping[str, str] | None = None
    headline: str = ""
    resolution: str = ""
    inventory: str = ""
    decision: Decided | None = None
    counts: Counts | None = None
    oldest_security: OldestSecurity | None = None
    security: Mapping[str, datetime] = field(default_factory=dict)
    last_run: NewestRun | None = None
    next_window: NextWindow | None = None
    reboot: bool = False
    changed_outside: int = 0
    timezone: str = "UTC"

    @property
    def is_known(self) -> bool:
        """Whether a report of it was ever verified."""
        return bool(self.head)

    @property
    def alarms(self) -> bool:
        """Whether somebody should be woken: by its state, or by a deadline that a worse one hides."""
        is_late = self.counts is not None and self.counts.overdue > 0
        return self.state.alarms or (is_late and self.state is TargetState.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Heard:
    """What git says of a verified report.

    Attributes:
        commit: Its full id.
        tree: Of the commit.
        key: Fingerprint of the key that signed it.
        policy: The newest policy commit that it, or one before it, names.
        at: When it was made, as far as that can be relied on.
    """

    commit: str
    tree: str
    key: str
    policy: str
    at: datetime


def row_of(
    branch: str, report: Report, run: RunRecord | None, heard: Heard, before: Row | None = None
) -> Row:
    """Return the row of a target whose newest report was verified.

    Args:
        branch: Such as ``hosts/web-01``.
        report: The content of its ``report.json``.
        run: The record of its newest run, ``None`` where there is none.
        heard: What git says of it.
        before: Its row until now.
    """
    state, reason = state_of(report, run)
    security = _security(report, heard.at, before)
    free = next(iter(report.leading.free_windows), None)
    facts = report.host.facts
    return Row(
        target=target_of(branch),
        branch=branch,
        state=state,
        reason=one_line(reason, _REASON),
        head=heard.commit,
        tip=heard.commit,
        tree=heard.tree,
        key=heard.key,
        heard=heard.at,
        program=one_line(report.program, _NAME),
        policy_commit=heard.policy,
        policies=tuple(one_line(one.name, _NAME) for one in report.policy.matching[:_MOST_LABELS]),
        os=one_line(f"{facts.os_id} {facts.os_version}".strip(), _NAME),
        manager=one_line(report.host.manager, _NAME),
        guest_of=None if report.host.guest_of is None else one_line(report.host.guest_of, _NAME),
        called=one_line(report.host.called, _NAME),
        labels=_labels(report.host.labels),
        own_labels=None if report.host.own_labels is None else _labels(report.host.own_labels),
        headline=one_line(headline(report), _REASON),
        resolution=one_line(report.resolution, _NAME),
        inventory=one_line(report.inventory, _NAME),
        decision=_decided(report.leading.decision),
        counts=report.counts,
        oldest_security=_oldest(security),
        security=security,
        last_run=None if run is None else _last_run(run),
        next_window=None
        if free is None
        else NextWindow(free.start, free.end, one_line(free.schedule, _NAME)),
        reboot=report.reboot.need is RebootNeed.REQUIRED,
        changed_outside=report.outside,
        timezone=one_line(report.timezone, _NAME),
    )


def again(row: Row, heard: Heard) -> Row:
    """Return the row of a target that said with a newer commit that nothing is new."""
    return replace(
        row,
        head=heard.commit,
        tip=heard.commit,
        tree=heard.tree,
        heard=heard.at,
        policy_commit=heard.policy,
        key=heard.key,
    )


def unverified(branch: str, reason: str, before: Row | None = None, tip: str = "") -> Row:
    """Return the row of a target of whose newest report nobody knows whose it is.

    Args:
        branch: Its branch.
        reason: What is wrong.
        before: The row of the last report that was verified.
        tip: Where the branch is now, where that continues what was seen before.
    """
    kept = before or Row(target_of(branch), branch, TargetState.UNVERIFIED, "")
    said = one_line(reason, _REASON)
    return replace(kept, state=TargetState.UNVERIFIED, reason=said, tip=tip or kept.tip)


def retired(branch: str, before: Row | None = None, tip: str = "") -> Row:
    """Return the row of a target whose key the policy names no more."""
    kept = before or Row(target_of(branch), branch, TargetState.RETIRED, "")
    said = "the policy names no key of it any more"
    return replace(kept, state=TargetState.RETIRED, reason=said, tip=tip or kept.tip)


def moved(row: Row, where: str) -> Row:
    """Return the row of a target in a report repository that it left for another one."""
    return replace(row, state=TargetState.RETIRED, reason=moved_to(where))


def moved_to(where: str) -> str:
    """Return the reason in the row of a target that reports to another repository now."""
    return one_line(f"it reports to {where} now", _REASON)


def not_read(row: Row, where: str) -> Row:
    """Return the row of a target whose newest report is in a repository that nobody names any more."""
    said = f"it reported to {where} last, which is not read any more"
    return replace(row, state=TargetState.SILENT, reason=one_line(said, _REASON))


def only_there(target: str, where: str) -> Row:
    """Return the row of a target that has reports in no repository but one that nobody names any more."""
    return not_read(Row(target, "", TargetState.SILENT, ""), where)


def never_heard(host: str) -> Row:
    """Return the row of a host that is enrolled and has no branch."""
    return Row(host, "", TargetState.SILENT, "it is enrolled, and has not reported yet")


def as_of(row: Row, now: datetime, silent_after: timedelta) -> Row:
    """Return a row as it is at an instant: a target may have been silent for too long meanwhile."""
    is_told = row.state.rank <= TargetState.SILENT.rank and row.state.alarms
    if is_told or row.state is TargetState.RETIRED or row.heard is None:
        return row
    if now - row.heard <= silent_after:
        return row
    said = f"nothing was heard of it since {row.heard:%Y-%m-%d %H:%M} UTC; then: {row.reason}"
    return replace(row, state=TargetState.SILENT, reason=one_line(said, _REASON))


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order in which people should read them."""
    return sorted(rows, key=lambda row: (row.state.rank, row.target))


def target_of(branch: str) -> str:
    """Return the id of the target whose branch this is: ``web-01``, or ``HOST/GUEST``."""
    return branch.partition("/")[2]


def state_of(report: Report, run: RunRecord | None) -> tuple[TargetState, str]:
    """Return the worst that a report tells, and what of it."""
    if report.host.gone and report.host.guest_of is not None:
        return TargetState.RETIRED, report.host.gone
    told = [*_of_conditions(report), *_of_run(report, run), *_of_decision(report), *_of_machine(report)]
    return min(told, key=lambda one: one[0].rank, default=(TargetState.FINE, headline(report)))


def _of_conditions(report: Report) -> Iterator[tuple[TargetState, str]]:
    for ill in pressing(report.conditions):
        yield _state_of_ill(ill), ill.condition.message


def _state_of_ill(ill: Ill) -> TargetState:
    match ill.ailment:
        case Ailment.HALF_DONE:
            return TargetState.INTERRUPTED
        case Ailment.OVERDUE:
            return TargetState.OVERDUE
        case (
            Ailment.DEPENDENCIES_BROKEN
            | Ailment.CANNOT_RESOLVE
            | Ailment.ALREADY_FAILED
            | Ailment.UNHEALTHY
            | Ailment.CLOCK
            | Ailment.NO_SPACE
            | Ailment.METADATA_STALE
            | Ailment.STOOD_STILL
        ):
            return TargetState.FAILED
        case (
            Ailment.NEEDS_UPGRADE
            | Ailment.POLICY_STALLED
            | Ailment.POLICY_STALE
            | Ailment.REPORTS_DIVERGED
            | Ailment.QUARANTINED
        ):
            return TargetState.WAITING


def _of_run(report: Report, run: RunRecord | None) -> Iterator[tuple[TargetState, str]]:
    """Tell of a last run that did not go well, unless nothing is left to do since."""
    if run is None or report.leading.decision.outcome is Outcome.NOTHING:
        return
    said = f"{run_headline(run)}: {run.reason}" if run.reason else run_headline(run)
    match run.outcome:
        case RunOutcome.FAILED | RunOutcome.ROLLED_BACK:
            yield TargetState.FAILED, said
        case RunOutcome.INTERRUPTED:
            yield TargetState.INTERRUPTED, said
        case _:
            return


def _of_decision(report: Report) -> Iterator[tuple[TargetState, str]]:
    for one in report.rulings:
        match one.decision.outcome:
            case Outcome.PAUSED | Outcome.APPROVAL:
                yield TargetState.WAITING, f"{one.decision.outcome}: {one.decision.reason}"
            case _:  # what passes by itself, and what an ailment tells of
                if why := one.lacks_approval:
                    yield TargetState.WAITING, f"{Outcome.APPROVAL}: {why}"


def _of_machine(report: Report) -> Iterator[tuple[TargetState, str]]:
    if report.reboot.need is RebootNeed.REQUIRED:
        why = "; ".join(report.reboot.reasons)
        yield TargetState.REBOOT_PENDING, f"it needs a reboot: {why}" if why else "it needs a reboot"
    if report.outside:
        yield TargetState.CHANGED_OUTSIDE, f"{plural(report.outside, 'change')} outside of runs"


def _decided(decision: Decided) -> Decided:
    reason = one_line(decision.reason, _REASON)
    return replace(decision, reason=reason, outcome=_word(decision.outcome, Outcome))


def _last_run(run: RunRecord) -> NewestRun:
    outcome = _word(run.outcome, RunOutcome)
    return NewestRun(one_line(run.run, _NAME), run.ended, outcome, one_line(run_headline(run), _REASON))


def _word(word: _Word, known: type[_Word]) -> _Word:
    """Return a word of a list; one of a newer release only as long as words are."""
    return word if isinstance(word, known) else typing.cast("_Word", UnknownWord(one_line(word, _NAME)))


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    chosen = sorted(labels.items())[:_MOST_LABELS]
    return {one_line(key, _NAME): one_line(value, _NAME) for key, value in chosen}


def _security(report: Report, at: datetime, before: Row | None) -> dict[str, datetime]:
    """Return since when each security update waits: since a report told of it first."""
    known = {} if before is None else before.security
    now = (
        f"{one_line(each.name, _NAME)}:{one_line(each.arch, _NAME)}={one_line(each.candidate or '', _NAME)}"
        for each in report.plan.updates
        if each.security and each.candidate is not None
    )
    since = sorted((known.get(one, at), one) for one in set(now))
    return {one: first for first, one in since[:_MOST_SECURITY]}


def _oldest(security: Mapping[str, datetime]) -> OldestSecurity | None:
    found = min(((since, name) for name, since in security.items()), default=None)
    if found is None:
        return None
    package, _, candidate = found[1].partition("=")
    return OldestSecurity(package, candidate, found[0])
