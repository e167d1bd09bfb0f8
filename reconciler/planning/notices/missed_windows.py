"""Windows that passed without the run they were for.

The rules, each with a test:

1. A window was missed when a plan wanted applying while it was open and left time for a run, or before it
   where nobody looked, and when it closed no run had begun in it that changed something or tried to.
2. What a freeze covers, and what is too short for a run, was never open.
3. Only what passed between two looks is told, the last window with the number of all: a host that was off for
   a month tells of one window.
4. It stands until something is run, nothing is left to be applied, or a later window is missed.

Nothing here makes up for a missed window: the next run waits for the next one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.planning.text.wording import minute, plural
from reconciler.policy import windows
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

LOOK_BACK = timedelta(days=92)
"""Windows that ended longer ago are not counted."""
_MOST_COUNTED = 20_000

_INSTANT = timedelta(microseconds=1)
_OPEN_GATES = "every gate was open, and yet no run came of it"


@dataclass(frozen=True, slots=True)
class Passing:
    """A window that is open.

    Attributes:
        start: Aware, in UTC, as ``end``.
        wanted: A plan waited for it when somebody looked last while there was time for a run.
        served: A run began in it.
        why: What kept the plan from being applied then, empty where nobody looked.
    """

    start: datetime
    end: datetime
    schedule: str
    wanted: bool
    served: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class MissedWindow:
    """The window that passed last without the run it was for.

    Attributes:
        why: What is known of the reason, one sentence without a full stop.
        is_unseen: Nobody looked while there was time for a run.
        number: How many passed since the look before, this one included.
        since: Start of the first of them.
    """

    start: datetime
    end: datetime
    schedule: str
    why: str
    is_unseen: bool
    number: int
    since: datetime

    @property
    def sentence(self) -> str:
        """Return what happened, in words that stay the same however late they are read."""
        said = f"the window {self.schedule} of {minute(self.start)} passed without a run: {self.why}"
        more = f"; {plural(self.number, 'window')} passed so since {minute(self.since)}"
        return said + (more if self.number > 1 else "")

    @property
    def condition(self) -> Condition:
        """Return it as a condition of a report."""
        reason = "NobodyLooked" if self.is_unseen else "GateClosed"
        return Condition(ConditionType.WINDOW_MISSED, True, reason, self.sentence)


@dataclass(frozen=True, slots=True)
class WindowWatch:
    """What one look leaves for the next, to tell what became of the windows in between.

    Attributes:
        at: When that was, ``None`` before the first look.
        wanted: A plan waited for a window then.
        boot_id: Of the running system then, empty where unknown.
        passing: The windows that were open then.
        missed: What is told as missed.
    """

    at: datetime | None = None
    wanted: bool = False
    boot_id: str = ""
    passing: tuple[Passing, ...] = ()
    missed: MissedWindow | None = None


@dataclass(frozen=True, slots=True)
class Timetable:
    """What the policy says of a host's windows.

    Attributes:
        budget: Time a run needs.
        allow_security: Its plans pass freezes that let security updates through.
        splay_key: The host's id.
    """

    schedules: Sequence[windows.Schedule]
    freezes: Sequence[windows.Freeze]
    budget: timedelta
    allow_security: bool = False
    splay_key: str = ""


def advance(watch: WindowWatch, timetable: Timetable, now: datetime, boot_id: str) -> WindowWatch:
    """Return ``watch`` moved on to ``now``: windows that closed are judged, those that opened are added.

    A clock that was set back judges nothing. Windows are those of the policy in force now.
    """
    last = now if watch.at is None else watch.at
    after = max(min(last, now), shifted(now, -_look_back(timetable.schedules)))
    known = {(one.start, one.end, one.schedule): one for one in watch.passing}
    passing: list[Passing] = []
    missed: list[Passing] = []
    frozen = windows.united(timetable.freezes, allow_security=timetable.allow_security)
    coming = windows.occurrences(
        timetable.schedules, after, shifted(now, _INSTANT), splay_key=timetable.splay_key
    )
    for each in coming:
        # What had begun by the last look is known from it, or was no window then: policy brought it in later.
        begun_since = watch.at is not None and each.start >= last
        one = known.get((each.start, each.end, each.schedule)) or Passing(
            each.start, each.end, each.schedule, wanted=watch.wanted and begun_since
        )
        if each.end > now:
            passing.append(one)
        elif one.wanted and not one.served and frozen.leaves_room(each, timetable.budget):
            missed.append(one)
    is_new_boot = bool(watch.boot_id and boot_id) and watch.boot_id != boot_id
    return WindowWatch(
        now, watch.wanted, boot_id, tuple(passing), _last_of(missed, is_new_boot=is_new_boot) or watch.missed
    )


def _look_back(schedules: Sequence[windows.Schedule]) -> timedelta:
    """Return how far back windows are counted: not so far that there are more than can be gone through."""
    starts = sum(windows.starts(window) for schedule in schedules for window in schedule.windows)
    return min(LOOK_BACK, timedelta(days=max(1, _MOST_COUNTED // max(1, starts))))


def _last_of(missed: Sequence[Passing], *, is_new_boot: bool) -> MissedWindow | None:
    if not missed:
        return None
    last = max(missed, key=lambda one: (one.end, one.start))
    unseen = (
        "nobody looked then, and the host was booted since, so it may have been off"
        if is_new_boot
        else "nobody looked then, although the host was not booted since; see whether its timer runs"
    )
    return MissedWindow(
        last.start,
        last.end,
        last.schedule,
        last.why or unseen,
        not last.why,
        len(missed),
        min(one.start for one in missed),
    )


def looked(
    watch: WindowWatch, budget: timedelta, *, wanted: bool, why: str | None, is_frozen: bool = False
) -> WindowWatch:
    """Return ``watch`` with what a look at its instant came to.

    Args:
        watch: As :func:`advance` gave it.
        budget: Time a run needs; a window that leaves less keeps what was known of it.
        wanted: A plan waits to be applied.
        why: What keeps it from that now, ``None`` where every gate is open.
        is_frozen: That is a freeze, which is no way to miss a window.
    """

    def seen(one: Passing) -> Passing:
        if watch.at is None or shifted(watch.at, budget) > one.end:
            return one
        said = (one.why or _OPEN_GATES) if why is None else why
        return replace(one, wanted=wanted and not is_frozen, why=said)

    return replace(
        watch,
        wanted=wanted,
        passing=tuple(map(seen, watch.passing)),
        missed=watch.missed if wanted else None,
    )


def served(watch: WindowWatch, started: datetime) -> WindowWatch:
    """Return ``watch`` after a run that began at ``started`` and changed something, or tried to."""
    passing = tuple(replace(one, served=one.served or _holds(one, started)) for one in watch.passing)
    return replace(watch, passing=passing, missed=None)


def refused(watch: WindowWatch, started: datetime, why: str) -> WindowWatch:
    """Return ``watch`` after a run that began at ``started`` and left everything as it was."""
    return replace(
        watch,
        passing=tuple(replace(one, why=why) if _holds(one, started) else one for one in watch.passing),
    )


def _holds(one: Passing, at: datetime) -> bool:
    return one.start <= at < one.end
