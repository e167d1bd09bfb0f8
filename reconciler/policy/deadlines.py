"""How long updates may wait by policy, and where no host could keep that.

A deadline that may pass before the first window in which an old enough update could be installed is a mistake
most of the time, so ``policy check`` warns. It judges each Policy by itself, as if it were alone, and what
holds for each known host. Freezes are left aside: they are the exception, and known to whoever made them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from reconciler.policy.documents import Deadlines, Match
from reconciler.policy.load import Revision
from reconciler.policy.match import HostFacts
from reconciler.policy.problems import Problem
from reconciler.policy.resolve import Effective, Resolver
from reconciler.policy.values import format_duration
from reconciler.policy.windows import Schedule, occurrences
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

Sort = Literal["other", "security", "critical"]
_SORTS: tuple[Sort, ...] = ("other", "security", "critical")

_YEAR = timedelta(days=400)
_MOST_WINDOWS = 1000
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Term:
    """How long the host may be without a sort of update, and the key of ``deadline`` that says so."""

    length: timedelta
    key: Sort


def limits_of(deadlines: Deadlines) -> dict[Sort, Term]:
    """Return the deadline of each sort of update that has one: its own, or else that of the next one."""
    limits: dict[Sort, Term] = {}
    inherited: Term | None = None
    for sort in _SORTS:
        own: timedelta | str = getattr(deadlines, sort)
        if isinstance(own, timedelta):
            inherited = Term(own, sort)
        if inherited is not None:
            limits[sort] = inherited
    return limits


def check_deadlines(revision: Revision, now: datetime) -> tuple[Problem, ...]:
    """Return the deadlines that may pass before they can be kept; sorted.

    Args:
        revision: To be judged.
        now: Windows from then on count; aware.
    """
    waits: dict[Sequence[Schedule], timedelta] = {}
    found: set[Problem] = set()
    for effective in _situations(revision):
        if limits_of(effective.settings.deadline):
            wait = waits.get(effective.schedules)
            if wait is None:
                wait = waits[effective.schedules] = longest_wait(effective.schedules, now)
            found.update(_too_short(effective, wait))
    return tuple(sorted(found))


def _situations(revision: Revision) -> Iterator[Effective]:
    """Yield what each Policy says by itself, and what holds for each known host as far as it is known."""
    nobody = HostFacts("", {}, "", "", "")
    setting = [placed for placed in revision.policies if placed.value.deadline is not None]
    bare = replace(revision, hosts=(), freezes=(), exceptions=(), approvals=())
    for placed in setting:
        for_all = replace(placed, value=placed.value.model_copy(update={"match": Match.model_construct()}))
        yield Resolver(replace(bare, policies=(for_all,))).resolve(nobody)
    resolver = Resolver(replace(bare, hosts=revision.hosts))
    for host in revision.hosts if setting else ():
        name = host.value.name.rpartition("/")[2]
        yield resolver.resolve(replace(nobody, name=name, guest_of=host.value.guest_of))


def _too_short(effective: Effective, wait: timedelta) -> Iterator[Problem]:
    ages = effective.settings.min_age
    for sort, limit in limits_of(effective.settings.deadline).items():
        age = ages.other if sort == "other" else ages.security
        if limit.key != sort or limit.length >= age + wait:
            continue
        why = [f"it must have been on offer for {format_duration(age)}"] if age else []
        why += [f"the next window may be {format_duration(wait)} away"] if wait else []
        origin = effective.origins[f"deadline.{sort}"]
        message = f"{format_duration(limit.length)} may pass before an update can be installed: "
        hint = "lengthen it, or let windows open more often" if wait else "lengthen it, or lower min_age"
        yield Problem(
            origin.file, origin.line, f"deadline.{sort}", message + " and ".join(why), hint, "deadline"
        )


def longest_wait(schedules: Sequence[Schedule], now: datetime) -> timedelta:
    """Return the longest time within a year between the end of a window and the start of the next one."""
    spans = islice(occurrences(schedules, now, shifted(now, _YEAR)), _MOST_WINDOWS)
    longest, end = _NONE, None
    for span in spans:
        if end is not None:
            longest = max(longest, span.start - end)
        end = span.end if end is None else max(end, span.end)
    return longest
