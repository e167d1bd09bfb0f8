"""What deserves a message: the transitions between two states of a target.

The rules, each with a test:

- A message is sent when something becomes true or stops being true, never because it is still true.
- Without a previous state only what is wrong, what waits for a person and what is about to happen is told;
  what is merely so is taken as known.
- The key of a message holds no duration and no time of day, so that one incident has one key however often
  it is looked at; the occasion tells one incident from its repetition.
- What was told as trouble is told again, once, when it is over.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Literal, get_args

from reconciler.planning.facts.observation import RebootNeed
from reconciler.planning.notices.message import Contents, Message, MessageSection, PackageLine, compose
from reconciler.planning.notices.missed_windows import MissedWindow
from reconciler.planning.reporting.ailments import Ailment, ailment_of
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.runs.record import OF_PACKAGES, RunResult
from reconciler.planning.text import canonical
from reconciler.planning.text.layout import UnknownWord
from reconciler.planning.text.wording import changes_of, listed, minute, plural
from reconciler.policy.zones import shifted


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
    """An exception that ends soon: its name and the last day it holds (``YYYY-MM-DD``)."""

    name: str
    expires: str


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


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about one transition, before it is routed.

    Attributes:
        key: ``target/event/digest of the subject``: the same for the same incident, on every look.
        occasion: Identity of the transition; the same notice made again after a crash has the same one, a
            repetition of the incident has another.
        at: When it was noticed, aware.
    """

    event: Event
    key: str
    occasion: str
    at: datetime
    message: Message


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


def events(previous: Snapshot | None, current: Snapshot, now: datetime) -> tuple[Notice, ...]:
    """Return the messages that the step from ``previous`` to ``current`` deserves.

    Args:
        previous: What was stored last, ``None`` on the first run.
        current: What is so now.
        now: Instant of the decision, aware; decides only whether another ISO week (UTC) has begun.

    Returns:
        In the order in which a person wants to read them: trouble, its end, what was done, what is next.
    """
    found = [
        *_trouble_began(previous, current),
        *_run_ended(previous, current),
        *_trouble_ended(previous, current),
        *_became_so(previous, current, now),
    ]
    occasion = "first" if previous is None else _short(_canonical(previous))
    return tuple(
        Notice(
            event,
            f"{current.target}/{event}/{_short(subject)}",
            # Every run is an occasion of its own; all else is about the step away from the previous state.
            current.at.isoformat() if event is Event.EVERY_RUN else occasion,
            now,
            compose(current.target, headline, contents),
        )
        for event, subject, headline, contents in found
    )


_Found = tuple[Event, Sequence[str], str, Contents]


def _trouble_began(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    known = {each.code for each in previous.troubles} if previous is not None else frozenset()
    event: TroubleEvent
    for event in get_args(TroubleEvent):
        if event is Event.OVERDUE:
            yield from _became_overdue(previous, current)
            continue
        new = sorted(
            (each for each in current.troubles if each.event is event and each.code not in known),
            key=lambda each: each.code,
        )
        if new:
            headline = f"{_in_words(event)}: {new[0].message}"
            lines = tuple(each.message for each in new)
            yield event, [each.code for each in new], headline, _contents(current, lines)


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
        lines = tuple(each.sentence for each in new)
        yield Event.OVERDUE, sorted(each.package for each in new), headline, _contents(current, lines)


def _run_ended(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    run, before = current.last_run, previous.last_run if previous is not None else None
    if run is None or (before is not None and before.run == run.run):
        return
    match run.result:
        case RunResult.APPLIED:
            if previous is not None and run.packages:
                yield Event.APPLIED, [run.digest], applied_headline(run), _contents(current, run=run)
        case RunResult.FAILED:
            # The same plan that fails for the same reason once more is no news.
            if before is None or (before.result, before.digest, before.code) != (
                run.result,
                run.digest,
                run.code,
            ):
                headline = f"failed: {run.reason}"
                yield Event.FAILED, ["run", run.digest, run.code], headline, _contents(current, run=run)
        case RunResult.INTERRUPTED:
            headline = f"interrupted: {run.reason}"
            yield Event.INTERRUPTED, ["run", run.digest, run.code], headline, _contents(current, run=run)
    if run.overran:
        headline = "the run went past the end of its window"
        yield Event.OVERRUN, [run.digest], headline, _contents(current, run=run)


def applied_headline(run: LastRun) -> str:
    """Return ``applied 5 changes (2 security)`` for ``run``."""
    security = sum(each.security for each in run.packages)
    return f"applied {changes_of(len(run.packages), security)}"


def _trouble_ended(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    if previous is None:
        return
    remaining = {each.kind for each in current.troubles}
    ended = {each.code: each.message for each in previous.troubles if each.kind not in remaining}
    run, before = current.last_run, previous.last_run
    failed_before = before is not None and before.result is not RunResult.APPLIED
    # What failed by itself is over with its quarantine, whatever else is applied before that.
    is_set_aside = (
        before is not None
        and before.code in OF_PACKAGES
        and ConditionType.PACKAGES_QUARANTINED.value in remaining
    )
    is_over = failed_before and not is_set_aside
    if before is not None and is_over and run is not None and run.result is RunResult.APPLIED:
        ended[f"run:{before.digest}:{before.code}"] = before.reason
    if ended:
        lines = tuple(f"over: {ended[code]}" for code in sorted(ended))
        rest = f", {plural(len(remaining), 'problem')} left" if remaining else ""
        yield Event.RECOVERED, sorted(ended), f"recovered{rest}", _contents(current, lines)


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
    yield Event.EVERY_RUN, ["run"], f"{current.outcome}{wrong}: {current.reason}", _contents(current)


def _changed_outside(current: Snapshot) -> Iterable[_Found]:
    """Tell what was changed by hand: that it is not told again, its being told already sees to."""
    if current.outside:
        headline = f"changed outside of runs: {listed(current.outside)}"
        yield Event.CHANGED_OUTSIDE, current.outside, headline, _contents(current, current.outside)


def _plan_changed(previous: Snapshot, current: Snapshot) -> Iterable[_Found]:
    applied = current.last_run is not None and current.last_run != previous.last_run
    if previous.digest != current.digest and (current.planned or not applied):
        headline = f"plan changed: {_planned_of(current)}"
        yield Event.PLAN_CHANGED, [current.digest], headline, _contents(current)


def _asks_for_approval(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    asked = previous is not None and previous.needs_approval and previous.digest == current.digest
    if current.needs_approval and not asked:
        headline = f"{plural(len(current.planned), 'change')} wait for approval"
        yield Event.NEEDS_APPROVAL, [current.digest], headline, _contents(current)


def _announced(previous: Snapshot | None, current: Snapshot) -> Iterable[_Found]:
    told = previous is not None and (previous.announced, previous.digest) == (
        current.announced,
        current.digest,
    )
    if current.announced is None or told:
        return
    headline = f"{_planned_of(current)} will be applied from {minute(current.announced)}"
    lines: tuple[str, ...] = ()
    if current.needs_approval:
        headline = f"{_planned_of(current)} could be applied from {minute(current.announced)}, once approved"
        lines = ("Nothing is applied in this window unless somebody approves the plan before.",)
    yield Event.ANNOUNCE, [current.digest], headline, _contents(current, lines)


def _planned_of(current: Snapshot) -> str:
    return changes_of(len(current.planned), sum(each.security for each in current.planned))


def _reboot_transitions(previous: Snapshot, current: Snapshot) -> Iterable[_Found]:
    if current.reboot is RebootNeed.REQUIRED and previous.reboot is not RebootNeed.REQUIRED:
        yield Event.REBOOT, ["required"], "a reboot is required", _contents(current, current.reboot_reasons)
    if previous.boot_id and current.boot_id and previous.boot_id != current.boot_id:
        yield Event.REBOOT, ["done", current.boot_id], "was rebooted", _contents(current)


def _calendar_transitions(previous: Snapshot, current: Snapshot, now: datetime) -> Iterable[_Found]:
    missed, before = current.missed, previous.missed
    if missed is not None and (before is None or before.start != missed.start):
        headline = f"the window of {minute(missed.start)} was missed"
        if missed.number > 1:
            headline = f"{missed.number} windows were missed, the last on {minute(missed.start)}"
        contents = _contents(current, (missed.sentence, _WAITS_FOR_THE_NEXT))
        yield Event.WINDOW_MISSED, ["window"], headline, contents
    new = sorted(set(current.expiring) - set(previous.expiring), key=lambda each: (each.expires, each.name))
    if new:
        lines = tuple(map(_expires, new))
        subject = [f"{each.name} {each.expires}" for each in new]
        yield Event.EXCEPTION_EXPIRING, subject, f"{lines[0]}", _contents(current, lines)
    if week_of(previous.at) != week_of(now):
        yield _digest(current, now)


_WAITS_FOR_THE_NEXT = "A window is never made up for: the plan waits for the next one."


def week_of(at: datetime) -> datetime:
    """Return the instant at which the ISO week (UTC) of ``at`` began."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return shifted(day, -timedelta(days=day.weekday()))


def _digest(current: Snapshot, now: datetime) -> _Found:
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
    missed = () if current.missed is None else (current.missed.sentence,)
    sections = (
        MessageSection(f"Done since {since:%Y-%m-%d}", tuple(map(_past_run, recent)) or ("nothing was run",)),
        MessageSection("Wrong now", (*wrong, *missed)),
        MessageSection("Not planned, and why", current.waits),
        MessageSection("Next windows", tuple(map(minute, current.next_windows)) or ("none",)),
        MessageSection("Exceptions that end soon", tuple(map(_expires, current.expiring))),
    )
    return Event.WEEKLY_DIGEST, [f"{year}-W{week:02}"], headline, _contents(current, sections=sections)


def _past_run(run: PastRun) -> str:
    said = f"{minute(run.at)}: {run.outcome}"
    if run.changes:
        said += f", {changes_of(run.changes, run.security)}"
    return f"{said}: {run.reason}" if run.reason else said


def _expires(exception: Expiring) -> str:
    return f"exception {exception.name} holds through {exception.expires}"


def dry_run(current: Snapshot, now: datetime) -> Notice:
    """Return the message of ``plan --notify``: what would be applied now, and what would not and why."""
    wrong = f", {plural(len(current.troubles), 'problem')}" if current.troubles else ""
    headline = f"dry-run: {_planned_of(current)} planned{wrong}"
    sections = (
        MessageSection("Wrong now", tuple(each.message for each in current.troubles)),
        MessageSection("Not planned, and why", current.waits),
    )
    lines = ("Nothing was changed: this is what patchledger would do.",)
    return Notice(
        Event.EVERY_RUN,
        f"{current.target}/dry-run/{_short([current.digest])}",
        current.at.isoformat(),
        now,
        compose(current.target, headline, _contents(current, lines, sections=sections)),
    )


def _contents(
    current: Snapshot,
    lines: tuple[str, ...] = (),
    run: LastRun | None = None,
    sections: tuple[MessageSection, ...] = (),
) -> Contents:
    """Gather what every message tells of ``current``, or of ``run`` where the message is about one."""
    shown = current.planned if run is None else run.packages
    reboot = current.reboot.value
    if current.reboot_reasons:
        reboot += f" ({'; '.join(current.reboot_reasons)})"
    facts = (
        ("Host", current.target),
        ("Mode", current.mode),
        ("Outcome", current.outcome if run is None else run.result.value),
        ("Reason", current.reason if run is None else run.reason or "done as planned"),
        ("Reboot", reboot),
        ("Next window", minute(current.next_windows[0]) if current.next_windows else "none"),
        ("Policy", current.policy_commit[:12] or "none yet"),
        ("Plan", current.digest[: len("sha256:") + 12] if run is None else run.digest[: len("sha256:") + 12]),
        ("Not planned", plural(current.pending, "other update")),
        ("At", minute(current.at)),
    )
    return Contents(
        lines=lines,
        facts=facts,
        packages_title="Planned" if run is None else "Packages",
        packages=shown,
        log_excerpt="" if run is None else run.log_excerpt,
        sections=sections,
    )


def _canonical(snapshot: Snapshot) -> bytes:
    return canonical.to_bytes(canonical.plain(snapshot, write_instant=canonical.exact_instant))


def _short(subject: bytes | Sequence[str]) -> str:
    data = subject if isinstance(subject, bytes) else "\0".join(subject).encode()
    return sha256(data).hexdigest()[:16]
