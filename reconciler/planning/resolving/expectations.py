"""Judge what a policy repository expects of itself: for each expectation the hosts, and what does not hold.

The rules:

* A host is one of the Host documents that ``match`` selects, or made up. An expectation about no host fails.
* What Host documents leave open decides nothing in silence: where a document matches on ``os`` or ``manager``
  and nothing says what the host has, the expectation fails for it and says so. So it does where a document
  matches on a version of its system, and only the system is said.
* ``may_apply`` is the most that may begin at some moment of the time, by ``action``, ``updates``, windows
  with room for the budget, and freezes. Under a freeze that allows security, that is ``security``.
* ``held`` must be true at every moment of the time, ``not_held`` too; an exception ends when it expires.
  Where no architecture is named, ``held`` is about every one of them, and ``not_held`` about any.
* A setting that policies of equal priority set differently is none of the expected ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from functools import cached_property

from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.versions import order_of
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.resolving.selection import Naming, PlacedException, is_named_by, version_range
from reconciler.policy.documents import (
    AnyDocument,
    Deadlines,
    Freeze,
    Match,
    PackageException,
    Policy,
    Updates,
)
from reconciler.policy.expectation import AskedTime, Assumed, Expectation, Expected
from reconciler.policy.load import Placed, Revision
from reconciler.policy.managers import NAMES, ManagerName, traits_of
from reconciler.policy.match import HostFacts, selects, system_of
from reconciler.policy.resolve import Effective, HostClass, Resolver
from reconciler.policy.values import format_deadline, format_duration
from reconciler.policy.windows import MOST_DELAYED, Opening, Schedule, next_opening
from reconciler.policy.zones import on_the_wall, zone
from reconciler.records import dataclass

_MOST_OPENINGS = 20_000
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Unmet:
    """One thing that does not hold for one host.

    Attributes:
        host: Its id; empty where the expectation is about none.
        key: What was expected, such as ``may_apply``.
        message: What holds instead and why, as a clause.
    """

    host: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class JudgedExpectation:
    """An expectation, the hosts that it is about, sorted, and all that does not hold."""

    expectation: Placed[Expectation]
    hosts: tuple[str, ...]
    failures: tuple[Unmet, ...]


def judge(
    revision: Revision, expectations: Sequence[Placed[Expectation]], now: datetime
) -> Iterator[JudgedExpectation]:
    """Yield what becomes of each expectation, in their order.

    Args:
        revision: The policy that they are about.
        expectations: Of the same revision.
        now: Aware; begin of the time of those that name none.
    """
    resolver = Resolver(revision)
    wary = _Wary.of(revision)
    for placed in expectations:
        hosts = sorted(_hosts(placed.value, revision, resolver), key=lambda one: one.target)
        failures = [failure for host in hosts for failure in wary.of_host(host)]
        unclear = {failure.host for failure in failures}
        cases = _Cases(placed.value, placed.value.spans(now))
        for host in hosts:
            if host.target not in unclear:
                kind = resolver.class_of(host)
                failures += cases.failures(host, kind, resolver.of_class(kind))
        if not hosts:
            what = "`match` selects no Host document" if placed.value.match else "there is no Host document"
            failures.append(Unmet("", "match", f"is about no host: {what}, and `hosts` makes up none"))
        yield JudgedExpectation(placed, tuple(host.target for host in hosts), tuple(failures))


def _hosts(expectation: Expectation, revision: Revision, resolver: Resolver) -> Iterator[HostFacts]:
    if expectation.match is not None or not expectation.hosts:
        match = expectation.match or Match()
        for placed in revision.hosts:
            home = placed.value.guest_of
            host = _facts(placed.value.name.rpartition("/")[2], expectation.assume, home)
            if selects(match, host, resolver.labels_of(host)):
                yield host
    for made in expectation.hosts:
        yield _facts(made.name, made, made.guest_of)


def _facts(name: str, said: Assumed, guest_of: str | None) -> HostFacts:
    os_id, os_version = system_of(said.os or "")
    return HostFacts(name, said.labels, os_id, os_version, said.manager or "", guest_of)


@dataclass(frozen=True, slots=True)
class _Wary:
    """The documents that match on what a host may not say, the first of each.

    Attributes:
        on_version: By the system of which a version is asked for.
    """

    on_os: str
    on_manager: str
    on_version: Mapping[str, str]

    @classmethod
    def of(cls, revision: Revision) -> "_Wary":
        documents: Sequence[Placed[Policy | Freeze | PackageException]] = (
            *revision.policies,
            *revision.freezes,
            *revision.exceptions,
        )

        def first(asks: Callable[[Match], bool]) -> str:
            found = (one for one in documents if any(map(asks, _parts(one.value.match))))
            return next((_called(one) for one in found), "")

        named = (
            (text, one) for one in documents for part in _parts(one.value.match) for text in part.os or ()
        )
        versions: dict[str, str] = {}
        for text, one in named:
            system, version = system_of(text)
            if version:
                versions.setdefault(system, _called(one))
        on_os, on_manager = (
            first(lambda part: part.os is not None),
            first(lambda part: part.manager is not None),
        )
        return cls(on_os, on_manager, versions)

    def of_host(self, host: HostFacts) -> Iterator[Unmet]:
        for key, said, who in (("os", host.os_id, self.on_os), ("manager", host.manager, self.on_manager)):
            if who and not said:
                message = f"{who} matches on {key}, and nothing says which the host has; write it in `assume`"
                yield Unmet(host.target, key, message)
        who = self.on_version.get(host.os_id, "")
        if who and not host.os_version:
            said = f"nothing says which version of {host.os_id} the host has; write it in `assume`"
            yield Unmet(host.target, "os", f"{who} matches on a version, and {said}")


def _parts(match: Match) -> Iterator[Match]:
    yield match
    if match.not_ is not None:
        yield from _parts(match.not_)


def _called(placed: Placed[AnyDocument]) -> str:
    return f"{type(placed.value).__name__.removeprefix('Package')} {placed.value.name} ({placed.origin})"


_Failure = tuple[str, str]
"""What was expected, and what holds instead."""


@dataclass(slots=True)
class _Cases:
    """What does not hold for the hosts of an expectation: asked once for all that are told the same.

    Hosts of one class differ by the splay of their windows alone. Where a window comes soon enough even with
    the whole splay, it does so for each of them.
    """

    expectation: Expectation
    spans: tuple[AskedTime, ...]
    _known: dict[tuple[HostClass, str, str], tuple[_Failure, ...]] = field(default_factory=dict)
    _near: dict[HostClass, bool] = field(default_factory=dict)

    def failures(self, host: HostFacts, kind: HostClass, effective: Effective) -> Iterator[Unmet]:
        """Yield what does not hold for a host, in the order of the keys.

        Args:
            host: One of those that the expectation is about.
            kind: Its class.
            effective: What holds for that.
        """
        name = host.target if any(map(_has_splay, effective.schedules)) else ""
        key = (kind, host.manager, name)
        if key not in self._known:
            case = _Case(host.manager, name, effective, self.spans, self.expectation.timezone)
            self._known[key] = tuple(
                case.failures(self.expectation.expect, is_near=self._is_near(kind, case))
            )
        yield from (Unmet(host.target, *failure) for failure in self._known[key])

    def _is_near(self, kind: HostClass, case: "_Case") -> bool:
        longest = self.expectation.expect.window_within
        if longest is None or not case.splay_key:
            return False
        if kind not in self._near:
            self._near[kind] = not replace(case, splay_key=MOST_DELAYED).too_far(longest)
        return self._near[kind]


def _has_splay(schedule: Schedule) -> bool:
    return any(window.splay for window in schedule.windows)


@dataclass(frozen=True)
class _Case:
    """Hosts that differ in nothing that counts, what holds for them, and the time that is asked about."""

    manager: str
    splay_key: str
    effective: Effective
    spans: tuple[AskedTime, ...]
    timezone: str

    def failures(self, expected: Expected, *, is_near: bool) -> Iterator[_Failure]:
        """Yield what does not hold, in the order of the keys; windows that are near are not looked for."""
        settings = self.effective.settings
        approval = expected.approval and (expected.approval,)
        found: list[_Failure] = [
            ("updates", self._setting("updates", expected.updates, settings.updates)),
            ("severity", self._setting("severity", expected.severity, settings.severity)),
            ("action", self._setting("action", expected.action, settings.action)),
            ("approval", self._setting("approval", approval, settings.approval)),
            ("may_apply", self._may_apply(expected.may_apply)),
            ("window_within", "" if is_near else self.too_far(expected.window_within)),
            *(("held", self._not_held_always(name)) for name in expected.held or ()),
            *(("not_held", self._held_at_times(name)) for name in expected.not_held or ()),
            *self._deadlines(expected.deadline),
        ]
        yield from ((key, message) for key, message in found if message)

    def _setting(self, key: str, wanted: Sequence[str] | None, found: str) -> str:
        if not wanted:
            return ""
        if ambiguous := self._ambiguous(key):
            return ambiguous
        return "" if found in wanted else f"is {found} ({self._origin(key)}), expected {' or '.join(wanted)}"

    def _origin(self, key: str) -> str:
        return str(self.effective.origins.get(key, "default"))

    def _ambiguous(self, key: str) -> str:
        found = next((one for one in self.effective.ambiguities if one.key == key), None)
        return "" if found is None else f"is ambiguous: {found.message}"

    def _deadlines(self, wanted: Deadlines | None) -> Iterator[tuple[str, str]]:
        for name in sorted(wanted.model_fields_set) if wanted is not None else ():
            longest, found = getattr(wanted, name), getattr(self.effective.settings.deadline, name)
            key = f"deadline.{name}"
            if ambiguous := self._ambiguous(key):
                yield key, ambiguous
            elif longest != "none" and (found == "none" or found > longest):
                shown = f"{format_deadline(found)} ({self._origin(key)})"
                yield key, f"is {shown}, expected at most {format_deadline(longest)}"

    # --- windows

    def _opening(self, at: datetime, *, allow_security: bool) -> Opening | None:
        return next_opening(
            self.effective.schedules,
            at,
            self.effective.settings.budget,
            self.effective.frozen,
            splay_key=self.splay_key,
            allow_security=allow_security,
        )

    def _may_apply(self, wanted: Updates | None) -> str:
        if wanted is None:
            return ""
        found, why = self._most
        return "" if found == wanted else f"is {found}, expected {wanted}: {why}"

    @property
    def _tells_security(self) -> bool:
        """Whether anything passes a freeze that lets security updates through."""
        return traits_of(self.manager).tells_security

    @property
    def _wants_security(self) -> bool:
        """Whether policy has anything for a freeze to let through."""
        return security_only(self.effective).settings.updates != "none"

    @cached_property
    def _most(self) -> tuple[Updates, str]:
        """The most that may be applied in the time, and why."""
        settings = self.effective.settings
        if self.effective.ambiguities:
            first = self.effective.ambiguities[0]
            return "none", f"{first.key} is ambiguous: {first.message}"
        if settings.action != "apply":
            return "none", f"action is {settings.action} ({self._origin('action')})"
        if settings.updates == "none":
            return "none", f"updates is none ({self._origin('updates')})"
        is_mixed = settings.updates == "all" and set(settings.kinds) != {"security"}
        if is_mixed and (found := self._first(allow_security=False)):
            return "all", found
        if found := self._first(allow_security=self._tells_security and self._wants_security):
            key = "updates" if settings.updates == "security" else "kinds"
            return "security", found if is_mixed else f"{key} is security ({self._origin(key)}); {found}"
        return "none", self._why_closed()

    def _first(self, *, allow_security: bool) -> str:
        for span in self.spans:
            opening = self._opening(span.start, allow_security=allow_security)
            if opening is not None and opening.start < span.end:
                name = opening.occurrence.schedule
                return f"a run may begin {self._shown(opening.start)}, in a window of Schedule {name}"
        return ""

    def _why_closed(self) -> str:
        if not self.effective.schedules:
            return f"there is no schedule ({self._origin('schedule')})"
        span = self.spans[0]
        opening = self._opening(span.start, allow_security=self._tells_security and self._wants_security)
        if opening is None:
            return "no window with room for a run opens within five years"
        frozen = f", kept back by {', '.join(opening.blocked_by)}" if opening.blocked_by else ""
        return (
            f"after {self._shown(span.start)} a run may begin {self._shown(opening.start)} at first{frozen}"
        )

    def too_far(self, longest: timedelta | None) -> str:
        """Say from which moment on no window opens so soon; nothing where there is none."""
        if longest is None:
            return ""
        return next(filter(None, (self._gap(span, longest) for span in self.spans)), "")

    def _gap(self, span: AskedTime, longest: timedelta) -> str:
        """Return a sentence on the first moment from which the next window is further away."""
        at = span.start
        is_security = self.effective.settings.updates == "security"
        for _ in range(_MOST_OPENINGS):
            opening = self._opening(at, allow_security=is_security)
            if opening is None or opening.start - at > longest:
                next_ = "none opens within five years" if opening is None else self._shown(opening.start)
                return (
                    f"after {self._shown(at)} the next window in which a run may begin: {next_};"
                    f" expected within {format_duration(longest)}"
                )
            at = opening.latest_start + _INSTANT
            if at >= span.end:
                return ""
        return f"has more than {_MOST_OPENINGS} windows in the time; ask about a shorter one"

    def _shown(self, at: datetime) -> str:
        tz = zone(self.timezone)
        return f"{on_the_wall(at, tz):%Y-%m-%d %H:%M} {at.astimezone(tz):%Z}"

    # --- packages

    def _not_held_always(self, text: str) -> str:
        found = [one for one in self._holds(text) if self._is_sure(one.value, text)]
        last = max((span.end for span in self.spans), default=None)
        if last is None or any(one.value.ends() >= last for one in found):
            return ""
        if found:
            longest = max(found, key=lambda one: one.value.ends())
            return f"{text}: {_called(longest)} ends {self._shown(longest.value.ends())}"
        partly = next(iter(self._holds(text)), None)
        if partly is not None:
            return f"{text}: {_called(partly)} is about some versions alone; write NAME=VERSION"
        return f"{text}: no exception holds or blocks it"

    def _held_at_times(self, text: str) -> str:
        first = min(span.start for span in self.spans)
        for one in self._holds(text, in_some_arch=True):
            if one.value.ends() > first:
                return f"{text}: {_called(one)} holds it until {self._shown(one.value.ends())}"
        return ""

    def _holds(self, text: str, *, in_some_arch: bool = False) -> list[PlacedException]:
        """Return the exceptions that hold or block the package, in the version that is named or in any.

        Where none is named, it is about the package in every architecture, or in one at least.
        """
        called, _, version = text.partition("=")
        name, _, arch = called.partition(":")
        every = [one for one in self.effective.exceptions if one.value.action in {"hold", "block"}]
        if in_some_arch and not arch:
            named: Iterable[PlacedException] = (one for one in every if _names_in_some_arch(one.value, name))
        else:
            named = Naming(every).of(PackageId(name, arch))
        return [one for one in named if not version or self._covers(one.value, version)]

    def _covers(self, exception: PackageException, version: str) -> bool:
        order = order_of(manager) if (manager := _manager(self.manager)) else None
        if exception.versions is None or order is None:
            return True  # What cannot be judged counts for what holds back, as on a host.
        return version_range(exception.versions).contains(version, order)

    def _is_sure(self, exception: PackageException, text: str) -> bool:
        """Tell whether an exception holds the package for certain, wherever its version comes from."""
        if exception.sources is not None:
            return False
        is_compared = "=" in text and _manager(self.manager) is not None
        return exception.versions is None or is_compared


def _names_in_some_arch(exception: PackageException, name: str) -> bool:
    patterns = (pattern.partition(":")[0] for pattern in exception.packages)
    return is_named_by(PackageId(name, ""), patterns)


def _manager(name: str) -> ManagerName | None:
    return next((known for known in NAMES if known == name), None)
