"""What becomes of the updates of a host of which there is no recording, by the numbers in its row.

A summary of a fleet names the security updates that wait and counts all others. So an exception that begins
or ends is told by name for security updates that it names; of all others there are at most so many as the row
counts of the sort in question. Each rule of the estimate is named as where there is a recording.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Literal

from reconciler.planning.facts.package import PackageId
from reconciler.planning.fleet.rows import Row
from reconciler.planning.gates.security_plan import passed_freeze
from reconciler.planning.impact.effect import CountedChange, LetThrough, Rule, UpdateChange, UpdatesEffect
from reconciler.planning.impact.updates import wish_of
from reconciler.planning.reporting.document import Counts
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.planning.resolving.mode import SEVERITIES
from reconciler.planning.resolving.selection import is_named_by
from reconciler.planning.resolving.youth import state_ends
from reconciler.planning.text.wording import listed, minute
from reconciler.policy.documents import DEFAULTS, PackageException, Settings
from reconciler.policy.resolve import Effective
from reconciler.policy.values import format_state
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

Way = Literal["comes", "waits", "goes"]


def by_counts(row: Row, before: Effective, after: Effective, at: datetime) -> UpdatesEffect:
    """Return what becomes of the updates of a host as far as its row tells.

    Args:
        row: Of the host, or of one with the same ``resolution``.
        before: What holds for it by the base.
        after: And by the head.
        at: The instant at which both are judged, aware.
    """
    if row.counts is None:
        return UpdatesEffect()
    begun, ended = _new_in(after, before, at), _new_in(before, after, at)
    told = _Named(before, after, begun, ended, at)
    named_ones = told.of(row.security, are_pending=row.counts.pending_security > 0)
    changes = tuple(sorted(named_ones, key=attrgetter("package")))
    counts = _without(row.counts, changes)
    named = frozenset(one.name for one in changes)
    # A row names the oldest of very many: the others may be meant as well.
    unnamed = min(counts.pending_security, max(0, row.counts.security - len(row.security)))
    counted = [
        *_of_exceptions(counts, (begun, ended), named, unnamed),
        *_of_settings(counts, before, after, unnamed),
    ]
    asked = {one.estimated for one in counted} | {one.estimated for one in changes}
    rules = tuple(rule for rule in Rule if rule in asked)
    passing = _passing(row, before, after, at)
    if not counted and not changes and passing is None:
        return UpdatesEffect()
    rules = rules or ((Rule.SECURITY,) if passing is not None else ())
    shown = tuple(one for one in counted if one.at_most)
    basis: Literal["exact", "estimated"] = "estimated" if rules else "exact"
    return UpdatesEffect(basis, rules, changes, shown, passing=passing)


def _passing(row: Row, before: Effective, after: Effective, at: datetime) -> LetThrough | None:
    """Return what the head's freeze lets through where the base has none: the security updates of the row."""
    was, will = (passed_freeze(one, row.manager, at) for one in (before, after))
    if will is None or was is not None:
        return None
    return LetThrough(tuple(sorted(key.partition("=")[0] for key in row.security)), Rule.SECURITY)


def _without(counts: Counts, named: tuple[UpdateChange, ...]) -> Counts:
    """Return the numbers of what is not told by name."""
    gone = sum(one.before is Disposition.PLANNED for one in named)
    come = sum(one.before is Disposition.HELD for one in named)
    return replace(
        counts,
        pending=max(0, counts.pending - gone),
        pending_security=max(0, counts.pending_security - gone),
        held=max(0, counts.held - come),
    )


def _new_in(one: Effective, other: Effective, at: datetime) -> list[PackageException]:
    """Return the exceptions in force by one policy that the other does not have."""
    there = {wish_of(each.value) for each in other.exceptions if each.value.ends() > at}
    found = (placed.value for placed in one.exceptions if placed.value.ends() > at)
    return [each for each in found if wish_of(each) not in there]


@dataclass(frozen=True, slots=True)
class _Named:
    """Tells of security updates, which a row names."""

    before: Effective
    after: Effective
    begun: list[PackageException]
    ended: list[PackageException]
    at: datetime

    def of(self, security: Mapping[str, datetime], *, are_pending: bool) -> Iterator[UpdateChange]:
        """Yield those with another fate.

        Args:
            security: Since when each is known, by ``NAME:ARCH=VERSION``.
            are_pending: Some of them were to be applied.
        """
        for key, since in security.items():
            package, _, version = key.partition("=")
            name, _, arch = package.partition(":")
            usual = UpdateChange(
                name=name,
                arch=arch,
                version=version,
                security=True,
                change="waits",
                before=Disposition.PLANNED,
                after=Disposition.HELD,
                reason="",
                origin="",
                estimated=Rule.HOLD_ADDED,
            )
            found = self._kept_back(usual, since) if are_pending else None
            if found is None:
                found = self._let_go(usual)
            if found is not None:
                yield found

    def _kept_back(self, usual: UpdateChange, since: datetime) -> UpdateChange | None:
        if (one := _covering(self.begun, usual.package)) is not None:
            return replace(usual, reason=f"exception {one.name}: {one.reason}")
        old, new = self.before.settings, self.after.settings
        if new.updates == "none" != old.updates:
            reason, fate = "no update is wanted", Disposition.NOT_SELECTED
            return replace(usual, change="goes", after=fate, reason=reason, estimated=Rule.SECURITY)
        if _is_after(since, self.after) > _is_after(since, self.before):
            reason, fate = f"first seen after {format_state(new.as_of)}, as_of", Disposition.TOO_YOUNG
            return replace(usual, after=fate, reason=reason, estimated=Rule.MIN_AGE)
        ready = shifted(since, new.min_age.security)
        if shifted(since, old.min_age.security) <= self.at < ready:
            reason, fate = f"too young until {minute(ready)}", Disposition.TOO_YOUNG
            return replace(usual, after=fate, reason=reason, estimated=Rule.MIN_AGE)
        return None

    def _let_go(self, usual: UpdateChange) -> UpdateChange | None:
        one = _covering(self.ended, usual.package)
        if one is None:
            return None
        return replace(
            usual,
            change="comes",
            before=Disposition.HELD,
            after=Disposition.PLANNED,
            reason=f"exception {one.name} does not keep it back any more",
            estimated=Rule.HOLD_LIFTED,
        )


def _is_after(seen: datetime, effective: Effective) -> bool:
    end = state_ends(effective.settings)
    return end is not None and seen >= end


def _covering(exceptions: Iterable[PackageException], package: PackageId) -> PackageException | None:
    """Return the first exception that keeps a package back, whatever versions it is about."""
    for one in exceptions:
        if one.action in ("hold", "block") and is_named_by(package, one.packages):
            return one
    return None


def _of_exceptions(
    counts: Counts,
    exceptions: tuple[list[PackageException], list[PackageException]],
    named: frozenset[str],
    unnamed: int,
) -> Iterator[CountedChange]:
    """Yield what becomes of updates whose names a row does not tell, by exceptions that begin, and end."""
    begun, ended = exceptions
    others, urgent = counts.pending - counts.pending_security + unnamed, counts.pending_security
    added, lifted = Rule.HOLD_ADDED, Rule.HOLD_LIFTED
    hold, dependency = ("hold", "block"), ("allow-as-dependency",)
    cases: tuple[tuple[list[PackageException], tuple[str, ...], Way, int, int, Rule, str], ...] = (
        (begun, hold, "waits", others, unnamed, added, "are kept back"),
        (ended, hold, "comes", counts.held, 0, lifted, "are not kept back any more"),
        (begun, dependency, "waits", counts.pending, urgent, added, "move only as dependencies"),
        (ended, dependency, "comes", counts.held, 0, lifted, "do not move only as dependencies any more"),
        (begun, ("include",), "comes", counts.not_selected, 0, lifted, "are included"),
        (ended, ("include",), "goes", counts.pending, urgent, added, "are not included any more"),
    )
    for some, actions, way, most, withheld, rule, words in cases:
        every = (name for one in some if one.action in actions for name in one.packages)
        patterns = [pattern for pattern in every if pattern not in named]
        if patterns:
            said = f"those that {listed(patterns)} names {words}"
            yield CountedChange(way, max(0, most), withheld, said, rule)


def _of_settings(
    counts: Counts, before: Effective, after: Effective, unnamed: int
) -> Iterator[CountedChange]:
    yield from _of_mode(counts, before, after)
    yield from _of_advisories(counts, before, after)
    yield from _of_ages(counts, before, after, unnamed)
    old, new, urgent = before.settings, after.settings, counts.pending_security
    if (old.upgrade, old.removals, old.allow_removals) != (new.upgrade, new.removals, new.allow_removals):
        is_wider = new.upgrade == "full" or new.removals == "allow" or bool(new.allow_removals)
        words = "what may be removed for an update is another"
        if is_wider:
            yield CountedChange("comes", counts.refused, 0, words, Rule.HOLD_LIFTED)
        else:
            yield CountedChange("goes", counts.pending, urgent, words, Rule.HOLD_ADDED)
    if (old.sources, old.security_sources) != (new.sources, new.security_sources):
        words, left = "other sources count", counts.refused + counts.not_selected
        yield CountedChange("goes", counts.pending, urgent, words, Rule.HOLD_ADDED)
        yield CountedChange("comes", left, 0, words, Rule.HOLD_LIFTED)
    if old.approval == "none" and new.approval == "required":
        yield CountedChange("waits", counts.pending, urgent, "an approval is required", None)
    elif old.approval == "required" and new.approval == "none":
        yield CountedChange("comes", counts.waiting, 0, "no approval is required any more", Rule.HOLD_LIFTED)


def _of_mode(counts: Counts, before: Effective, after: Effective) -> Iterator[CountedChange]:
    old, new = before.settings.updates, after.settings.updates
    words = (
        f"the policy wants {new} of the updates" if new != "security" else "only security updates are wanted"
    )
    match old, new:
        case _ if old == new:
            return
        case ("all", "security"):
            others = counts.pending - counts.pending_security
            yield CountedChange("goes", others, 0, words, Rule.SECURITY)
        case (_, "none"):
            yield CountedChange("goes", counts.pending, counts.pending_security, words, Rule.SECURITY)
        case ("none", "security"):
            yield CountedChange("comes", counts.security, 0, words, Rule.SECURITY)
        case _:
            yield CountedChange("comes", counts.not_selected, 0, words, Rule.HOLD_LIFTED)


def _of_advisories(counts: Counts, before: Effective, after: Effective) -> Iterator[CountedChange]:
    """Yield what becomes of updates where others count by their advisories; a row does not tell of these."""
    old, new = before.settings, after.settings
    if "none" in {old.updates, new.updates}:
        return
    words, is_one_mode = _of_which(new), old.updates == new.updates
    # Whichever setting leaves security updates out, and whichever did so before.
    if _least(new) > _least(old):
        goes = counts.pending if is_one_mode else counts.pending_security
        yield CountedChange("goes", goes, counts.pending_security, words, Rule.SECURITY)
    elif is_one_mode and new.updates == "all" and new.kinds not in {(), old.kinds}:
        yield CountedChange("goes", counts.pending - counts.pending_security, 0, words, Rule.SECURITY)
    # What comes with another mode is told with that, but for what that leaves over.
    is_wider = _least(new) < _least(old) and new.updates == "security"
    if is_wider or (is_one_mode and new.updates == "all" and old.kinds not in {(), new.kinds}):
        yield CountedChange("comes", counts.not_selected, 0, words, Rule.HOLD_LIFTED)


def _least(settings: Settings) -> int:
    """Return from which severity on security updates count, beyond the worst where none do."""
    if settings.updates == "security":
        return SEVERITIES.index(settings.severity)
    is_wanted = settings.updates == "all" and (not settings.kinds or "security" in settings.kinds)
    # The mildest that policy can name is all of them.
    return SEVERITIES.index(DEFAULTS.severity) if is_wanted else len(SEVERITIES)


def _of_which(settings: Settings) -> str:
    if settings.updates == "security":
        return f"security updates count whose severity is {settings.severity} or worse"
    kinds = settings.kinds
    return f"updates of kind {listed(kinds)} count" if kinds else "updates of all kinds count"


def _of_ages(counts: Counts, before: Effective, after: Effective, unnamed: int) -> Iterator[CountedChange]:
    yield from _of_state(counts, before, after, unnamed)
    old, new = before.settings.min_age, after.settings.min_age
    parts = (counts.pending_security, counts.pending - counts.pending_security)
    longer = (new.security > old.security, new.other > old.other)
    if any(longer):
        most = sum(part for part, is_one in zip(parts, longer, strict=True) if is_one)
        words, withheld = "those that are younger than the longer min_age", unnamed if longer[0] else 0
        yield CountedChange("waits", most, withheld, words, Rule.MIN_AGE)
    if new.security < old.security or new.other < old.other:
        words = "those that are old enough for the shorter min_age"
        yield CountedChange("comes", counts.waiting, 0, words, Rule.MIN_AGE)


def _of_state(counts: Counts, before: Effective, after: Effective, unnamed: int) -> Iterator[CountedChange]:
    old, new = state_ends(before.settings), state_ends(after.settings)
    if old == new:
        return
    day = format_state(after.settings.as_of)
    if new is not None and (old is None or new < old):
        words = f"those that were first seen after {day}"
        yield CountedChange("waits", counts.pending, unnamed, words, Rule.MIN_AGE)
    else:
        words = "those that were first seen after the earlier as_of"
        yield CountedChange("comes", counts.waiting, 0, words, Rule.MIN_AGE)
