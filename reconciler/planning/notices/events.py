"""What deserves a message: the transitions between two states of a target.

The rules, each with a test:

- A message is sent when something becomes true or stops being true, never because it is still true.
- Without a previous state only what is wrong, what waits for a person and what is about to happen is told;
  what is merely so is taken as known.
- The key of a message holds no duration and no time of day, so that one incident has one key however often
  it is looked at; the occasion tells one incident from its repetition.
- What was told as trouble is told again, once, when it is over.
- A run that did not end well, and all that is wrong because of it, is one incident: one message tells of it,
  and one says that all of it is over.
- The first line says what happened to what, the second what is asked of the reader.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Literal, get_args

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.notices import asked
from reconciler.planning.notices.message import Contents, Message, MessageSection, PackageLine, compose
from reconciler.planning.notices.missed_windows import MissedWindow
from reconciler.planning.reporting.ailments import Ailment, ailment_of
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.record import OF_PACKAGES, RunResult
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import UnknownWord
from reconciler.planning.text.wording import (
    changes_of,
    instants_on_the_clock,
    listed,
    on_the_clock,
    plural,
    short_digest,
)
from reconciler.policy.zones import shifted
from reconciler.records import dataclass


class Event(StrEnum):
    """What a route can ask for; the words of ``notify: [{to, on}]`` in a policy."""

    APPLIED = "applied"
    FAILED = "failed"
    RECOVERED = "recovered"
    PLAN_CHANGED = "plan-changed"
    NEEDS_APPROVAL = "needs-approval"
    ANNOUNCE = "announce"
    WINDOW_MISSED = "window-missed"
    OVERRUN = "overrun"
    REBOOT = "reboot"
    POLICY_REJECTED = "policy-rejected"
    METADATA_STALE = "metadata-stale"
    OVERDUE = "overdue"
    EXCEPTION_EXPIRING = "exception-expiring"
    INTERRUPTED = "interrupted"
    CHANGED_OUTSIDE = "changed-outside"
    WEEKLY_DIGEST = "weekly-digest"
    EVERY_RUN = "every-run"


OVER = "over: "
"""What a line begins with that names something that is not wrong any more."""

TroubleEvent = Literal[
    Event.POLICY_REJECTED, Event.INTERRUPTED, Event.FAILED, Event.METADATA_STALE, Event.OVERDUE
]
"""The events that stand for something wrong, and so have an end; in the order in which they are told."""


# Not the policy's Route: that one is text of a document, and a tick without a policy tells somebody, too.
@dataclass(frozen=True, slots=True)
class Route:
    """One line of a policy's ``notify``: which notifier hears of which events.

    Attributes:
        to: Name of a notifier in the host's local configuration.
        on: The events it is told.
    """

    to: str
    on: frozenset[Event]


@dataclass(frozen=True, slots=True)
class Untold:
    """A message that did not arrive.

    Attributes:
        sentence: For people.
        is_refused: Its receiver refused it for good, so that nothing is to be hoped from trying it again.
    """

    sentence: str
    is_refused: bool = False


def without_notifier(names: Iterable[str], notifiers: Collection[str]) -> str:
    """Say to which notifiers the policy sends messages that a host does not have; empty where to none.

    Args:
        names: Where its routes lead.
        notifiers: Those of the host.
    """
    missing = sorted(set(names) - set(notifiers))
    if not missing:
        return ""
    there = f"it has {listed(sorted(notifiers))}" if notifiers else "it has none"
    return f"messages go to {listed(missing)} by the policy, and this host has no such notifier ({there})"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with a target now.

    Attributes:
        event: The event that announces it.
        code: Stable identity of the trouble, without durations, times or counts: ``Kind`` or ``Kind:detail``.
            Another detail is told anew; the trouble is over when nothing of its kind is left.
        message: One sentence for people; may change while the trouble stays the same.
    """

    event: TroubleEvent
    code: str
    message: str

    @property
    def kind(self) -> str:
        """The code without its detail."""
        return self.code.partition(":")[0]


@dataclass(frozen=True, slots=True)
class LastRun:
    """The latest attempt to apply a plan on this target.

    Attributes:
        run: Identity of the attempt, different for each.
        digest: Of the plan it applied.
        code: Stable word for why it failed; empty after success.
        reason: One sentence for people; empty after success.
        packages: What it changed, as seen afterwards.
        overran: It ran past the end of its window.
        log_excerpt: The end of its log.
    """

    run: str
    result: RunResult
    digest: str
    code: str = ""
    reason: str = ""
    packages: tuple[PackageLine, ...] = ()
    overran: bool = False
    log_excerpt: str = ""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of the last days, for the weekly digest.

    Attributes:
        at: When it began.
        outcome: As in its record.
        changes: Packages that it changed, and in ``security`` those of them that fixed security.
        reason: One sentence for people; empty after success.
    """

    at: datetime
    outcome: str
    changes: int
    security: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Expiring:
    """An exception that ends soon.

    Attributes:
        expires: The last day it holds (``YYYY-MM-DD``).
        action: What it does with its packages.
        packages: As written in the policy.
        reason: With owner and ticket, as far as they are named.
        origin: Its line of policy.
    """

    name: str
    expires: str
    action: str = ""
    packages: tuple[str, ...] = ()
    reason: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """What one message told of a run that did not end well, and is not all over.

    Attributes:
        run: Which run it was.
        kinds: Of the troubles that came with it.
        over: Code and message of what is over meanwhile, and is told when all is.
    """

    run: str
    kinds: tuple[str, ...] = ()
    over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where what is told can be looked up, and by which clock its reader lives.

    Attributes:
        timezone: Of the schedules.
        branch: Of the target's reports.
        report: Id of the report commit, empty where there is none yet.
        policy_ref: Branch of the policy.
        called: What its hypervisor calls a guest, where that is not its id.
    """

    timezone: str = "UTC"
    branch: str = ""
    report: str = ""
    policy_ref: str = ""
    called: str = ""


@dataclass(frozen=True, slots=True)
class Late:
    """An update past its deadline.

    Attributes:
        package: ``name:arch``, which tells it from others.
        name: As people write it.
        sentence: The whole of it for people.
    """

    package: str
    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What messages are decided from: one target at one moment, kept in the state until the next tick.

    Attributes:
        at: When it was taken, aware.
        target: Host or guest.
        mode: The policy's ``action``: ``plan``, ``download`` or ``apply``.
        outcome: The decision's outcome, a word of its closed list.
        reason: The decision's reason, one sentence.
        policy_commit: The policy in force, empty before the first.
        digest: Of the plan.
        planned: The plan's packages.
        pending: How many offered updates are not planned.
        needs_approval: The plan waits for an approval.
        troubles: Everything that is wrong now, in any order.
        reboot: Whether one is pending.
        reboot_reasons: Why.
        boot_id: Of the running system; another one means that it was rebooted.
        expiring: Exceptions within the warning time.
        announced: Start of the next window, where it would apply something and the announcement is due.
        missed: The window that passed last without the run it was for.
        next_windows: Starts of the next windows in which a run can begin.
        last_run: The latest attempt to apply, ``None`` before the first.
        recent: The runs of the last two weeks, oldest first.
        waits: What is offered and not planned, and why, a sentence for each reason.
        outside: What was changed although no run did it, and was not told yet.
        overdue: What is past its deadline, the longest first.
        open_until: End of the window that is open now and lets a run begin, ``None`` where none is.
        is_used_up: The plan was approved and applied once; its digest lets it happen no more.
        place: Where to look.
        incident: What a run left that is not all over; see :func:`continued`.
        settled: The run whose end as an incident was told last.
    """

    at: datetime
    target: str
    mode: str
    outcome: str
    reason: str
    policy_commit: str
    digest: str
    planned: tuple[PackageLine, ...] = ()
    pending: int = 0
    needs_approval: bool = False
    troubles: tuple[Trouble, ...] = ()
    reboot: RebootNeed = RebootNeed.UNKNOWN
    reboot_reasons: tuple[str, ...] = ()
    boot_id: str = ""
    expiring: tuple[Expiring, ...] = ()
    announced: datetime | None = None
    missed: MissedWindow | None = None
    next_windows: tuple[datetime, ...] = ()
    last_run: LastRun | None = None
    recent: tuple[PastRun, ...] = ()
    waits: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    overdue: tuple[Late, ...] = ()
    open_until: datetime | None = None
    is_used_up: bool = False
    place: Whereabouts = Whereabouts()
    incident: Incident | None = None
    settled: str = ""


@dataclass(frozen=True, slots=True)
class Gist:
    """What a notice tells, before it is put into words for one target.

    Attributes:
        target: Host, or ``HOST/GUEST``.
        called: What its hypervisor calls a guest, empty where that is its id.
        headline: Of the message of its own.
        cause: The same on every target where the same is so for the same reason.
        codes: Of what began, or of what is over.
    """

    target: str
    called: str
    headline: str
    contents: Contents
    cause: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about one transition, before it is routed.

    Attributes:
        also: Other events that it tells of: who asked for one of them gets it, too.
        key: ``target/event/digest of the subject``: the same for the same incident, on every look.
        occasion: Identity of the transition; the same notice made again after a crash has the same one, a
            repetition of the incident has another.
        at: When it was noticed, aware.
        gist: What a message can say of it that tells of several targets; ``None`` where none will.
        incident: What services that keep incidents know it by: ``target/event`` of the trouble that it tells
            of, so that trouble of one sort is one incident for as long as it lasts; empty for what is none.
        closes: The incidents that are over, where it tells of an end.
        opens: The incidents beside ``incident`` that it tells of, where it tells of several targets.
    """

    event: Event
    key: str
    occasion: str
    at: datetime
    message: Message
    also: frozenset[Event] = frozenset()
    gist: "Gist | None" = None
    incident: str = ""
    closes: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()

    @property
    def told(self) -> frozenset[Event]:
        """All events that it tells of."""
        return self.also | {self.event}


def troubles(conditions: Iterable[Condition]) -> tuple[Trouble, ...]:
    """Return what is wrong according to ``conditions``, sorted by event and code.

    A condition counts when it holds and means an ailment. Its type is the code, so that another reason of the
    same type is the same trouble. What a gate concludes from a condition, such as a stalled policy from a
    rejected one, counts only where that condition is not there.
    """
    found: dict[ConditionType | UnknownWord, Trouble] = {}
    for condition in conditions:
        ailment = ailment_of(condition)
        if condition.status is True and ailment is not None:
            found[condition.type] = Trouble(_trouble(ailment), condition.type, condition.message)
    told = {each.event for kind, each in found.items() if not _concluded_from(kind)}
    kept = [each for kind, each in found.items() if told.isdisjoint(_concluded_from(kind))]
    return tuple(sorted(kept, key=lambda each: (each.event, each.code)))


def _trouble(ailment: Ailment) -> TroubleEvent:
    """Return the event that announces an ailment."""
    match ailment:
        case Ailment.HALF_DONE:
            return Event.INTERRUPTED
        case Ailment.NEEDS_UPGRADE | Ailment.POLICY_STALLED:
            return Event.POLICY_REJECTED
        case Ailment.METADATA_STALE:
            return Event.METADATA_STALE
        case Ailment.OVERDUE:
            return Event.OVERDUE
        case (
            Ailment.DEPENDENCIES_BROKEN
            | Ailment.CANNOT_RESOLVE
            | Ailment.ALREADY_FAILED
            | Ailment.UNHEALTHY
            | Ailment.POLICY_STALE
            | Ailment.CLOCK
            | Ailment.NO_SPACE
            | Ailment.REPORTS_DIVERGED
            | Ailment.STOOD_STILL
            | Ailment.QUARANTINED
        ):
            return Event.FAILED


def _concluded_from(kind: ConditionType | UnknownWord) -> tuple[Event, ...]:
    """Return the events of the conditions that a gate concludes this one from; none where no gate does."""
    match kind:
        case ConditionType.POLICY_STALLED:
            return (Event.POLICY_REJECTED,)
        case ConditionType.HOST_UNHEALTHY:
            return (Event.INTERRUPTED, Event.FAILED)
        case _:
            return ()


def continued(previous: Snapshot | None, current: Snapshot) -> Snapshot:
    """Return ``current`` with what is remembered of an incident, which is what is to be stored of it.

    Args:
        previous: What was stored last, ``None`` on the first run.
        current: What is so now.
    """
    before = None if previous is None else previous.incident
    remaining = {each.kind for each in current.troubles}
    settled = "" if previous is None else previous.settled
    if before is not None and previous is not None:
        ended = [
            (each.code, each.message)
            for each in previous.troubles
            if each.kind in before.kinds and each.kind not in remaining
        ]
        before = replace(before, over=tuple(dict.fromkeys((*before.over, *ended))))
        if remaining.isdisjoint(before.kinds):
            settled = before.run
            before = None
    run = _failed_now(previous, current)
    if run is not None:
        came = _came_with_run(previous, current)
        kinds = dict.fromkeys((*(() if before is None else before.kinds), *(each.kind for each in came)))
        over = () if before is None else before.over
        before = Incident(run.run, tuple(kinds), over) if kinds else None
    return replace(current, incident=before, settled=settled)


def _failed_now(previous: Snapshot | None, current: Snapshot) -> LastRun | None:
    """Return the run that is told as not having ended well, ``None`` where none is."""
    run, before = current.last_run, previous.last_run if previous is not None else None
    if run is None or run.result is RunResult.APPLIED or (before is not None and before.run == run.run):
        return None
    # The same plan that fails for the same reason once more is no news.
    same = before is not None and (before.result, before.digest, before.code) == (
        run.result,
        run.digest,
        run.code,
    )
    return None if same and run.result is RunResult.FAILED else run


def _came_with_run(previous: Snapshot | None, current: Snapshot) -> tuple[Trouble, ...]:
    """Return what is wrong since the run that did not end well, and is told with it."""
    known = {each.code for each in previous.troubles} if previous is not None else frozenset()
    came = (
        each
        for each in current.troubles
        if each.event in (Event.FAILED, Event.INTERRUPTED) and each.code not in known
    )
    return tuple(sorted(came, key=lambda each: each.code))


def events(previous: Snapshot | None, current: Snapshot, now: datetime) -> tuple[Notice, ...]:
    """Return the messages that the step from ``previous`` to ``current`` deserves.

    Args:
        previous: What was stored last, ``None`` on the first run; see :func:`continued`.
        current: What is so now.
        now: Instant of the decision, aware; decides only whether another ISO week (UTC) has begun.

    Returns:
        In the order in which a person wants to read them: trouble, its end, what was done, what is next.
    """
    current = continued(previous, current)
    found = [
        *_trouble_began(previous, current),
        *_run_ended(previous, current),
        *_trouble_ended(previous, current),
        *_became_so(previous, current, now),
    ]
    occasion = "first" if previous is None else _short(_canonical(previous))
    return tuple(
        Notice(
            one.event,
            f"{current.target}/{one.event}/{_short(one.subject)}",
            _occasion(current, one) or occasion,
            now,
            compose(current.target, one.headline, one.contents),
            one.also,
            gist=Gist(
                current.target,
                current.place.called,
                one.headline,
                one.contents,
                one.cause or str(one.event),
                one.codes,
            ),
            incident=_incident(current, one),
            closes=tuple(f"{current.target}/{event}" for event in sorted(one.closes)),
        )
        for one in found
    )


def _occasion(current: Snapshot, found: "_Found") -> str:
    """Return what makes a message one of its own, where that is not the step away from the previous state."""
    if found.event is Event.EVERY_RUN:
        return current.at.isoformat()
    # A week has one digest, however often a clock is set back and forth over its end.
    return "week" if found.event is Event.WEEKLY_DIGEST else ""


def _incident(current: Snapshot, found: "_Found") -> str:
    """Return the incident that a message belongs to: of an end one that is over, or else one that is left."""
    if found.event in get_args(TroubleEvent):
        return f"{current.target}/{found.event}"
    if found.event is Event.RECOVERED:
        left = {each.event for each in current.troubles}
        return f"{current.target}/{min(found.closes or left, default=Event.FAILED)}"
    return ""


@dataclass(frozen=True, slots=True)
class _Found:
    """A message that is deserved.

    Attributes:
        subject: What the incident is about, without times.
        cause: As in :class:`Gist`; empty where the event says it.
        codes: As in :class:`Gist`.
        closes: The sorts of trouble of which none is left.
    """

    event: Event
    subject: Sequence[str]
    headline: str
    contents: Contents
    also: frozenset[Event] = frozenset()
    cause: str = ""
    codes: tuple[str, ...] = ()
    closes: frozenset[Event] = frozenset()


def _trouble_began(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    known = {each.code for each in previous.troubles} if previous is not None else frozenset()
    with_run = () if _failed_now(previous, current) is None else _came_with_run(previous, current)
    event: TroubleEvent
    for event in get_args(TroubleEvent):
        if event is Event.OVERDUE:
            yield from _became_overdue(previous, current)
            continue
        new = sorted(
            (
                each
                for each in current.troubles
                if each.event is event and each.code not in known and each not in with_run
            ),
            key=lambda each: each.code,
        )
        if new:
            headline = f"{_in_words(event)}: {new[0].message}"
            told = _Telling(
                f"{current.target}: {_in_words(event)}",
                "; ".join(dict.fromkeys(asked.of_trouble(each.kind) for each in new)),
                tuple(each.message for each in new),
            )
            codes = tuple(each.code for each in new)
            cause = f"{event}/{' '.join(codes)}"
            yield _Found(event, codes, headline, _contents(current, told), cause=cause, codes=codes)


def _in_words(event: TroubleEvent) -> str:
    match event:
        case Event.POLICY_REJECTED:
            return "policy not accepted, the last good one stays in force"
        case Event.METADATA_STALE:
            return "package metadata are stale"
        case Event.INTERRUPTED | Event.FAILED | Event.OVERDUE:
            return str(event)


def _became_overdue(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    """Tell of each update once, also where others were late before: it has a deadline of its own."""
    known = {each.package for each in previous.overdue} if previous is not None else frozenset()
    new = [each for each in current.overdue if each.package not in known]
    if new:
        headline = f"overdue: {listed([each.name for each in new])}"
        told = _Telling(
            f"{current.target}: {plural(len(new), 'update')} past the deadline",
            asked.of_trouble(ConditionType.OVERDUE),
            tuple(each.sentence for each in new),
        )
        yield _Found(Event.OVERDUE, sorted(each.package for each in new), headline, _contents(current, told))


def _run_ended(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    run, before = current.last_run, previous.last_run if previous is not None else None
    if run is None or (before is not None and before.run == run.run):
        return
    if run.result is RunResult.APPLIED and previous is not None and run.packages:
        headline = applied_headline(run)
        told = _Telling(f"{current.target}: {headline}", asked.NOTHING)
        yield _Found(Event.APPLIED, [run.digest], headline, _contents(current, told, run=run))
    if _failed_now(previous, current) is not None:
        yield _not_well(previous, current, run)
    if run.overran:
        headline = "the run went past the end of its window"
        told = _Telling(
            f"{current.target}: the run {run.run} was still at work at the end of its window",
            "give the window more time, or the run less to do (`budget`)",
        )
        yield _Found(Event.OVERRUN, [run.digest], headline, _contents(current, told, run=run))


def _not_well(previous: Snapshot | None, current: Snapshot, run: LastRun) -> _Found:
    """Tell of a run that did not end well, with all that is wrong because of it: one incident."""
    event = Event.FAILED if run.result is RunResult.FAILED else Event.INTERRUPTED
    came = _came_with_run(previous, current)
    what = "failed" if event is Event.FAILED else "was interrupted"
    told = _Telling(
        f"{current.target}: the run {run.run} {what}: {run.reason}",
        asked.of_run(
            run.run, is_set_aside=any(each.kind == ConditionType.PACKAGES_QUARANTINED for each in came)
        ),
        tuple(f"Since then: {each.message}" for each in came),
    )
    return _Found(
        event,
        ["run", run.digest, run.code],
        f"{event}: {run.reason}",
        _contents(current, told, run=run),
        frozenset(each.event for each in came),
        f"{event}/{run.code}/{run.reason}",
        (_code_of(run), *(each.code for each in came)),
    )


def _code_of(run: LastRun) -> str:
    """Return what a run that did not end well is known by when it is over."""
    return f"run:{run.digest}:{run.code}"


def applied_headline(run: LastRun) -> str:
    """Return ``applied 5 changes (2 security)`` for ``run``."""
    security = sum(each.security for each in run.packages)
    return f"applied {changes_of(len(run.packages), security)}"


def _trouble_ended(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    if previous is None:
        return
    remaining = {each.kind for each in current.troubles}
    incident = previous.incident
    # Of an incident nothing is told to be over before all of it is.
    waits = set(() if current.incident is None or incident is None else incident.kinds)
    gone = [each for each in previous.troubles if each.kind not in remaining and each.kind not in waits]
    ended = {each.code: each.message for each in gone}
    closes: set[Event] = {each.event for each in gone}
    if incident is not None and not waits:
        ended |= dict(incident.over)
        closes |= _OF_RUNS if incident.over else set()
    run, before = current.last_run, previous.last_run
    failed_before = before is not None and before.result is not RunResult.APPLIED
    # What failed by itself is over with its quarantine, whatever else is applied before that.
    is_set_aside = (
        before is not None
        and before.code in OF_PACKAGES
        and ConditionType.PACKAGES_QUARANTINED.value in remaining
    )
    is_told = before is not None and before.run == previous.settled
    is_over = failed_before and not is_set_aside and not waits and not is_told
    if before is not None and is_over and run is not None and run.result is RunResult.APPLIED:
        ended[_code_of(before)] = before.reason
        closes |= _OF_RUNS
    elif failed_before and not is_told:
        closes -= _OF_RUNS  # the run that failed is a trouble of this sort that is left
    if ended:
        left = f", {plural(len(remaining), 'problem')} left" if remaining else ""
        told = _Telling(
            f"{current.target}: what was told as wrong is over{left}",
            _of_the_rest(current),
            tuple(f"{OVER}{ended[code]}" for code in sorted(ended)),
        )
        codes = tuple(sorted(ended))
        contents = _contents(current, told)
        cause = f"{Event.RECOVERED}/{'/'.join(sorted(ended.values()))}"
        closed = frozenset(closes - {each.event for each in current.troubles})
        yield _Found(
            Event.RECOVERED,
            codes,
            f"recovered{left}",
            contents,
            cause=cause,
            codes=codes,
            closes=closed,
        )


_OF_RUNS = frozenset({Event.FAILED, Event.INTERRUPTED})
"""The sorts of trouble that a run leaves."""


def _of_the_rest(current: Snapshot) -> str:
    """Return what is asked for by whatever is wrong now."""
    kinds = sorted({each.kind for each in current.troubles})
    return "; ".join(dict.fromkeys(map(asked.of_trouble, kinds))) or asked.NOTHING


def _became_so(previous: Snapshot | None, current: Snapshot, now: datetime) -> Iterable[_Found]:
    yield from _changed_outside(current)
    if previous is not None:
        yield from _plan_changed(previous, current)
    yield from _asks_for_approval(previous, current)
    yield from _announced(previous, current)
    if previous is not None:
        yield from _reboot_transitions(previous, current)
        yield from _calendar_transitions(previous, current, now)
    wrong = f", {plural(len(current.troubles), 'problem')}" if current.troubles else ""
    headline = f"{current.outcome}{wrong}: {current.reason}"
    told = _Telling(f"{current.target}: {headline}", _of_the_rest(current))
    yield _Found(Event.EVERY_RUN, ["run"], headline, _contents(current, told, is_about_plan=True))


def _changed_outside(current: Snapshot) -> Iterable[_Found]:
    """Tell what was changed by hand: that it is not told again, its being told already sees to."""
    if current.outside:
        headline = f"changed outside of runs: {listed(current.outside)}"
        told = _Telling(
            f"{current.target}: {plural(len(current.outside), 'change')} that no run made",
            "see whether that was meant; `fleet audit` lists it",
            current.outside,
        )
        yield _Found(Event.CHANGED_OUTSIDE, current.outside, headline, _contents(current, told))


def _plan_changed(previous: Snapshot, current: Snapshot) -> Iterable[_Found]:
    applied = current.last_run is not None and current.last_run != previous.last_run
    if previous.digest != current.digest and (current.planned or not applied):
        headline = f"plan changed: {_planned_of(current)}"
        told = _Telling(f"{current.target}: {_planned_of(current)} planned now", asked.NOTHING)
        if current.needs_approval:
            told = replace(
                told, asks=f"approve it {_in_time(current)} (the message about that has the document)"
            )
        yield _Found(Event.PLAN_CHANGED, [current.digest], headline, _contents(current, told))


def _asks_for_approval(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    already = previous is not None and previous.needs_approval and previous.digest == current.digest
    if not current.needs_approval or already:
        return
    number = len(current.planned)
    waits = f"{plural(number, 'change')} {'waits' if number == 1 else 'wait'} for approval"
    told = _Telling(f"{current.target}: {waits}", _how_to_approve(current), document=_approval(current))
    yield _Found(Event.NEEDS_APPROVAL, [current.digest], waits, _contents(current, told))


def _how_to_approve(current: Snapshot) -> str:
    if current.is_used_up:
        once_more = _approve(current, "--versions")
        how = f"its digest was approved and applied once: approve its versions by {once_more}"
    else:
        how = f"commit the document below to the policy, or run {_approve(current)}"
    return f"{how}, {_in_time(current)}"


_BY_DIGEST = "sha256:"


def _approve(current: Snapshot, *options: str) -> str:
    # A target whose freeze lets security updates through may have two plans that wait: this is about one.
    this = ("--plan", short_digest(current.digest)) if current.digest.startswith(_BY_DIGEST) else ()
    return f"`{' '.join(('patchledger approve', current.target, *this, *options))}`"


def _in_time(current: Snapshot) -> str:
    """Say by when something must be done for the plan to be applied in the window that comes first."""
    if current.open_until is not None:
        return f"now: the window is open until {_clock(current, current.open_until)}"
    if current.next_windows:
        return f"before {_clock(current, current.next_windows[0])}, or it waits for the window after"
    return "though no window is in sight"


def _approval(current: Snapshot) -> tuple[str, str]:
    if current.is_used_up or not current.digest.startswith(_BY_DIGEST):
        return ("", "")
    first = current.open_until or next(iter(current.next_windows), current.at)
    place = current.place
    return asked.approval_document(
        current.target, current.digest, place.policy_ref or "main", after=first, timezone=place.timezone
    )


def _announced(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    known = previous is not None and (previous.announced, previous.digest) == (
        current.announced,
        current.digest,
    )
    if current.announced is None or known:
        return
    at = _clock(current, current.announced)
    headline = f"{_planned_of(current)} will be applied from {at}"
    stop = f"{asked.NOTHING}; a Freeze, or `patchledger pause` there, stops it"
    told = _Telling(f"{current.target}: {headline}", stop)
    if current.needs_approval:
        headline = f"{_planned_of(current)} could be applied from {at}, once approved"
        told = _Telling(
            f"{current.target}: {headline}; nothing is applied unless somebody approves it before",
            _how_to_approve(current),
            document=_approval(current),
        )
    yield _Found(Event.ANNOUNCE, [current.digest], headline, _contents(current, told))


def _planned_of(current: Snapshot) -> str:
    return changes_of(len(current.planned), sum(each.security for each in current.planned))


def _reboot_transitions(previous: Snapshot, current: Snapshot) -> Iterable[_Found]:
    if current.reboot is RebootNeed.REQUIRED and previous.reboot is not RebootNeed.REQUIRED:
        told = _Telling(
            f"{current.target}: a reboot is required",
            "reboot it, where the policy does not (`reboot`)",
            current.reboot_reasons,
        )
        yield _Found(Event.REBOOT, ["required"], "a reboot is required", _contents(current, told))
    if previous.boot_id and current.boot_id and previous.boot_id != current.boot_id:
        told = _Telling(f"{current.target}: was rebooted", asked.NOTHING)
        yield _Found(Event.REBOOT, ["done", current.boot_id], "was rebooted", _contents(current, told))


def _calendar_transitions(previous: Snapshot, current: Snapshot, now: datetime) -> Iterable[_Found]:
    missed, before = current.missed, previous.missed
    if missed is not None and (before is None or before.start != missed.start):
        start = _clock(current, missed.start)
        headline = f"the window of {start} was missed"
        if missed.number > 1:
            headline = f"{missed.number} windows were missed, the last on {start}"
        asks = "see to what kept it from its run, so that the next window is not missed as well"
        told = _Telling(
            f"{current.target}: {headline}", asks, (_missed(current, missed), _WAITS_FOR_THE_NEXT)
        )
        yield _Found(Event.WINDOW_MISSED, ["window"], headline, _contents(current, told))
    known = {(each.name, each.expires) for each in previous.expiring}
    new = sorted(
        (each for each in current.expiring if (each.name, each.expires) not in known),
        key=lambda each: (each.expires, each.name),
    )
    if new:
        subject = [f"{each.name} {each.expires}" for each in new]
        first = f"exception {new[0].name} holds through {new[0].expires}"
        told = _Telling(
            f"{current.target}: {first if len(new) == 1 else f'{len(new)} exceptions end soon'}",
            "let it end, or give it a later `expires` by a commit",
            tuple(map(_expires, new)),
        )
        yield _Found(Event.EXCEPTION_EXPIRING, subject, first, _contents(current, told))
    if week_of(previous.at) < week_of(now):  # not where a clock was set back over a Monday
        yield _digest(previous, current, now)


_WAITS_FOR_THE_NEXT = "A window is never made up for: the plan waits for the next one."


def week_of(at: datetime) -> datetime:
    """Return the instant at which the ISO week (UTC) of ``at`` began."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return shifted(day, -timedelta(days=day.weekday()))


def _digest(previous: Snapshot, current: Snapshot, now: datetime) -> _Found:
    """Sum up the week before ``now``: what was done, what waits and why, what comes and what is wrong."""
    since = shifted(week_of(now), -timedelta(days=7))
    year, week, _ = since.isocalendar()
    recent = [each for each in current.recent if each.at >= since]
    done = sum(each.changes for each in recent)
    headline = ", ".join(
        (
            f"week {year}-W{week:02}: {changes_of(done, sum(each.security for each in recent))} made",
            f"{len(current.planned)} planned",
            *((plural(len(current.troubles), "problem"),) if current.troubles else ()),
        )
    )
    wrong = tuple(each.message for each in current.troubles)
    missed = () if current.missed is None else (_missed(current, current.missed),)
    sections = (
        MessageSection(
            f"Done since {since:%Y-%m-%d}",
            tuple(_past_run(each, current.place.timezone) for each in recent) or ("nothing was run",),
        ),
        MessageSection("Wrong now", (*wrong, *missed)),
        MessageSection("Not planned, and why", current.waits),
        MessageSection("Next windows", tuple(_windows(current)) or ("none in sight",)),
        MessageSection("Exceptions that end soon", tuple(map(_expires, current.expiring))),
    )
    unseen = (since - week_of(previous.at)).days // 7
    untold = f"no digest tells of {plural(unseen, 'week')} before"
    lines = (f"Nobody looked since {_clock(current, previous.at)}: {untold}.",) if unseen > 0 else ()
    told = _Telling(f"{current.target}: {headline}", _of_the_rest(current), lines, sections)
    return _Found(
        Event.WEEKLY_DIGEST, [f"{year}-W{week:02}"], headline, _contents(current, told, is_about_plan=True)
    )


def _past_run(run: PastRun, timezone: str) -> str:
    said = f"{on_the_clock(run.at, timezone)}: {run.outcome}"
    if run.changes:
        said += f", {changes_of(run.changes, run.security)}"
    return f"{said}: {run.reason}" if run.reason else said


def _expires(exception: Expiring) -> str:
    said = f"exception {exception.name} holds through {exception.expires}"
    if exception.packages:
        said += f": {exception.action} of {listed(exception.packages)}"
    if exception.reason:
        said += f" ({exception.reason})"
    if exception.action in ("hold", "block"):
        said += "; after that they are updated like all others"
    elif exception.action:
        said += "; after that the policies alone decide about them"
    return f"{said} [{exception.origin}]" if exception.origin else said


def dry_run(current: Snapshot, now: datetime) -> Notice:
    """Return the message of ``plan --notify``: what would be applied now, and what would not and why."""
    wrong = f", {plural(len(current.troubles), 'problem')}" if current.troubles else ""
    headline = f"dry-run: {_planned_of(current)} planned{wrong}"
    told = _Telling(
        f"{current.target}: {_planned_of(current)} planned; nothing was changed, this is what would be done",
        asked.NOTHING,
        sections=(
            MessageSection("Wrong now", tuple(each.message for each in current.troubles)),
            MessageSection("Not planned, and why", current.waits),
        ),
    )
    return Notice(
        Event.EVERY_RUN,
        f"{current.target}/dry-run/{_short([current.digest])}",
        current.at.isoformat(),
        now,
        compose(current.target, headline, _contents(current, told, is_about_plan=True)),
    )


@dataclass(frozen=True, slots=True)
class _Telling:
    """What one message tells that others do not.

    Attributes:
        happened: What happened to what.
        asks: What is asked of the reader.
        lines: More about it.
        document: A heading and a text to be copied.
    """

    happened: str
    asks: str
    lines: tuple[str, ...] = ()
    sections: tuple[MessageSection, ...] = ()
    document: tuple[str, str] = ("", "")


def _contents(
    current: Snapshot, told: _Telling, run: LastRun | None = None, *, is_about_plan: bool = False
) -> Contents:
    """Gather what a message tells of ``current``, or of ``run`` where it is about one.

    Args:
        current: What is so now.
        told: What is the message's own.
        run: That it is about.
        is_about_plan: It tells how things stand, and so the decision and its reason.
    """
    return Contents(
        lines=told.lines,
        facts=tuple(_facts_of(current, run, is_about_plan=is_about_plan or bool(told.document[1]))),
        packages_title="Planned" if run is None else "Packages",
        packages=current.planned if run is None else run.packages,
        log_excerpt="" if run is None else run.log_excerpt,
        sections=told.sections,
        happened=told.happened,
        asked=asked.in_guest(current.target, told.asks),
        document=told.document,
    )


def _facts_of(current: Snapshot, run: LastRun | None, *, is_about_plan: bool) -> Iterable[tuple[str, str]]:
    """Yield label and value of what is so, as far as it is about what the message tells."""
    place = current.place
    yield "Host", f"{current.target} ({place.called})" if place.called else current.target
    if run is not None:
        yield "Run", run.run
        yield "Outcome", run.result.value
        yield "Reason", run.reason or "done as planned"
    elif is_about_plan:
        yield "Mode", current.mode
        yield "Outcome", current.outcome
        yield "Reason", current.reason
    reboot = current.reboot.value
    yield "Reboot", f"{reboot} ({'; '.join(current.reboot_reasons)})" if current.reboot_reasons else reboot
    yield "Window", "; ".join(_windows(current)) or "none in sight"
    policy = current.policy_commit[:12] or "none yet"
    yield "Policy", f"{policy} of branch {place.policy_ref}" if place.policy_ref else policy
    if run is not None:
        yield "Plan", run.digest
    elif is_about_plan or current.planned:
        yield "Plan", current.digest
    if run is None and (current.pending or is_about_plan):
        yield "Not planned", plural(current.pending, "other update")
    if place.branch:
        commit = f", commit {place.report[:12]}" if place.report else ""
        file = "report.md" if run is None else f"runs/{run.run}.md"
        yield "Report", f"{file} on branch {place.branch}{commit}"
    look = f"`patchledger log {run.run}`" if run is not None else "`patchledger status`, `patchledger plan`"
    yield "Look", asked.in_guest(current.target, look)
    yield "At", _clock(current, current.at)


def _windows(current: Snapshot) -> Iterable[str]:
    """Yield the window that is open, and those that come next."""
    if current.open_until is not None:
        yield f"open until {_clock(current, current.open_until)}"
    yield from (_clock(current, start) for start in current.next_windows)


def _missed(current: Snapshot, missed: MissedWindow) -> str:
    return instants_on_the_clock(missed.sentence, current.place.timezone)


def _clock(current: Snapshot, at: datetime) -> str:
    return on_the_clock(at, current.place.timezone)


def _canonical(snapshot: Snapshot) -> bytes:
    return canonical.to_bytes(canonical.plain(snapshot, write_instant=canonical.exact_instant))


def _short(subject: bytes | Sequence[str]) -> str:
    data = subject if isinstance(subject, bytes) else "\0".join(subject).encode()
    return sha256(data).hexdigest()[:16]
