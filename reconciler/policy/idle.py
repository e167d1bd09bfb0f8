"""Tell what is valid and yet has no effect, or more of it than anybody can have meant.

Nothing of this rejects a revision. The rules:

- What is told is so whatever a host is like, or so of a host whose Host document is in the repository. Where
  a policy that may or may not match a host could make it otherwise, nothing is told.
- Each kind has a name, which is listed with what it means in docs/reference/policy-warnings.md.
- What has ended is told as well: hosts ignore it, and readers should not take it for something that holds.
- So many pairs of documents are compared as takes a second; what is beyond is taken to be in order.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from datetime import date, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TypeAlias

from reconciler.policy.documents import Host, IcsEntry, Match, Policy, Schedule
from reconciler.policy.idle_guests import check_guests
from reconciler.policy.idle_matches import check_matches
from reconciler.policy.load import Origin, Placed, Revision
from reconciler.policy.overlaps import can_meet, certainly
from reconciler.policy.problems import MAX_PROBLEMS, Problem, dotted, quoted
from reconciler.policy.resolve import Effective, HostClass, Key, Resolver, settings_of
from reconciler.policy.unfollowed import unfollowed
from reconciler.policy.values import format_duration, format_moment
from reconciler.policy.windows import HORIZON, next_opening, occurrences
from reconciler.policy.windows import Schedule as Windows
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

Leaves: TypeAlias = Mapping[Key, object]

_MOST_PAIRS = 200_000
_NONE = timedelta(0)
_YEAR = timedelta(days=366)
_OLD_STATE = 60  # days: whoever patches by states has had a newer one by then

NEVER = "no window ever opens for these hosts, so nothing is ever applied"


def check_idle(revision: Revision, now: datetime, pins: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return a warning for all that has no effect; sorted.

    Args:
        revision: To be judged.
        now: What has ended by then is over; aware.
        pins: The digest of each patch script of this version by its name, as ``scripts`` pins them.
    """
    idle = _Idle(revision, now, pins)
    found = {
        *check_matches(revision),
        *check_guests(revision),
        *idle.schedules(),
        *idle.ended(),
        *idle.unused(),
        *idle.exceptions(),
        *idle.settings(),
        *idle.routes(),
        *idle.applying(),
    }
    told = sorted(found)
    if len(told) > MAX_PROBLEMS:
        first = told[MAX_PROBLEMS]
        message = f"this and what follows is not told, since there are {MAX_PROBLEMS} warnings before"
        told[MAX_PROBLEMS:] = [Problem(first.file, first.line, "", message, "", "unfinished")]
    return tuple(told)


@dataclass(frozen=True, slots=True)
class _IdleLayer:
    placed: Placed[Policy]
    leaves: Leaves


_DEADLINES = ("critical", "security", "other")
_FACTS: Mapping[str, Callable[[Leaves], bool]] = {
    "apply": lambda leaves: leaves.get(("action",)) == "apply",
    "schedule": lambda leaves: bool(leaves.get(("schedule",))),
    "announce": lambda leaves: bool(leaves.get(("announce",))),
    "approval": lambda leaves: leaves.get(("approval",)) == "required",
    "deadline": lambda leaves: any(leaves.get(("deadline", key), "none") != "none" for key in _DEADLINES),
    "selects": lambda leaves: leaves.get(("updates",), "all") != "all" or bool(leaves.get(("kinds",))),
    "security": lambda leaves: leaves.get(("updates",)) == "security",
    "reboot": lambda leaves: leaves.get(("reboot", "when"), "never") != "never",
    "restart": lambda leaves: leaves.get(("restart_services", "mode")) == "restart",
}
"""What one policy may say that gives something in another one its effect."""


@dataclass(frozen=True, slots=True)
class _Dependent:
    """A setting that means nothing unless something else is said for the same hosts."""

    key: Key
    needs: str
    idle: object
    message: str
    hint: str


_NOTHING_APPLIED = "has no effect: nothing is applied on these hosts"
_SEVERITY: Key = ("severity",)
_DEPENDENTS = (
    _Dependent(
        _SEVERITY,
        "security",
        "low",
        "has no effect: it chooses among security updates, and more than these are wanted on these hosts",
        "set `updates: security`",
    ),
    _Dependent(("announce",), "apply", _NONE, _NOTHING_APPLIED, "set `action: apply`, or leave it out"),
    _Dependent(("approval",), "apply", "none", _NOTHING_APPLIED, "set `action: apply`, or leave it out"),
    _Dependent(("on_failure",), "apply", "report", _NOTHING_APPLIED, "set `action: apply`, or leave it out"),
    _Dependent(
        ("reboot", "when"), "apply", "never", _NOTHING_APPLIED, "set `action: apply`, or leave it out"
    ),
    _Dependent(
        ("reboot", "notice"),
        "reboot",
        None,
        "has no effect: these hosts never reboot",
        "set `when: if-required`, or leave it out",
    ),
    _Dependent(
        ("reboot", "max_per_window"),
        "reboot",
        None,
        "has no effect: these hosts never reboot",
        "set `when: if-required`, or leave it out",
    ),
    _Dependent(
        ("reboot", "guests"),
        "reboot",
        None,
        "has no effect: these hosts never reboot",
        "set `when: if-required`, or leave it out",
    ),
    _Dependent(
        ("restart_services", "never"),
        "restart",
        (),
        "has no effect: no service is restarted on these hosts",
        "set `mode: restart`, or leave it out",
    ),
)

_ROUTES: Mapping[str, tuple[str, str, str]] = {
    "announce": ("announce", "no window is announced on these hosts", "set `announce: 24h`"),
    "needs-approval": ("approval", "nothing needs approval on these hosts", "set `approval: required`"),
    "overdue": ("deadline", "these hosts have no deadline", "set `deadline`"),
    "applied": ("apply", "nothing is applied on these hosts", "set `action: apply`"),
    "window-missed": ("apply", "nothing is applied on these hosts", "set `action: apply`"),
    "overrun": ("apply", "nothing is applied on these hosts", "set `action: apply`"),
}
"""By event: what must be said for the same hosts, what is so where it is not, and what to do."""


class _Idle:
    def __init__(self, revision: Revision, now: datetime, pins: Mapping[str, str]) -> None:
        self._revision = revision
        self._now = now
        self._pins = pins
        self._layers = [_IdleLayer(one, settings_of(one.value)) for one in revision.policies]
        self._saying: dict[str, list[Match]] = {
            word: [layer.placed.value.match for layer in self._layers if says(layer.leaves)]
            for word, says in _FACTS.items()
        }
        self._compared = 0
        self._dead = {one.value.name: self._never_open(one) for one in revision.schedules}

    def _never_open(self, placed: Placed[Schedule]) -> tuple[int, ...]:
        """Return which windows of a Schedule never come."""
        windows = placed.value.compiled(self._revision.events).windows
        until = shifted(self._now, HORIZON)
        return tuple(
            index
            for index, window in enumerate(windows)
            if next(occurrences((Windows("", (window,)),), self._now, until), None) is None
        )

    def _could(self, match: Match, fact: str) -> bool:
        """Tell whether some policy says so for a host that ``match`` selects as well."""
        for other in self._saying[fact]:
            self._compared += 1
            if self._compared > _MOST_PAIRS or can_meet(match, other):
                return True
        return False

    # --- documents by themselves

    def schedules(self) -> Iterator[Problem]:
        """Windows that never come."""
        years = HORIZON.days // 365
        for placed in self._revision.schedules:
            dead = self._dead[placed.value.name]
            if len(dead) == len(placed.value.windows):
                message = (
                    f"no window of this Schedule opens within {years} years, so nothing is applied by it"
                )
                yield placed.problem(("windows",), "no-window", message, "correct its dates")
                continue
            for index in dead:
                message = f"never opens within {years} years"
                yield placed.problem(("windows", index), "no-window", message, "correct it, or take it out")

    def ended(self) -> Iterator[Problem]:
        """What is over, and freezes that hardly ever are."""
        for freeze in self._revision.freezes:
            compiled = freeze.value.compiled()
            until = _moment(freeze.value.until, freeze.value.timezone)
            if compiled.end <= self._now:
                message = f"is over ({until}): it holds nothing back any more"
                yield freeze.problem(("until",), "expired", message, "remove it")
            elif compiled.end - compiled.start > _YEAR:
                length = format_duration(timedelta(days=(compiled.end - compiled.start).days))
                message = f"holds everything back for {length}"
                hint = "to apply nothing for good, write `action: plan` in a Policy"
                yield freeze.problem(("until",), "long-freeze", message, hint)
        for exception in self._revision.exceptions:
            if exception.value.ends() <= self._now:
                message = f"has expired ({_moment(exception.value.expires, exception.value.timezone)})"
                message += ": hosts ignore it and report it"
                yield exception.problem(("expires",), "expired", message, "give it a later day, or remove it")
        for approval in self._revision.approvals:
            if approval.value.ends() <= self._now:
                message = f"has expired ({_moment(approval.value.expires, approval.value.timezone)})"
                message += ": it permits nothing any more"
                yield approval.problem(("expires",), "expired", message, "remove it")

    def unused(self) -> Iterator[Problem]:
        """What is named by nothing that would give it an effect."""
        revision = self._revision
        named = {name for one in revision.policies for name in one.value.schedule or ()}
        for schedule in revision.schedules:
            if schedule.value.name not in named:
                yield schedule.problem(
                    (), "unused", "no Policy names this Schedule", "name it under `schedule:`"
                )
        joined = {one.value.rollout.name for one in revision.policies if one.value.rollout is not None}
        for rollout in revision.rollouts:
            if rollout.value.name not in joined:
                yield rollout.problem((), "unused", "no Policy puts a host into this Rollout", "remove it")
        read = {path for one in revision.schedules for path in _calendars(one.value)}
        for path in sorted(revision.calendars.keys() - read):
            hint = f"name it in a Schedule: `ics: {path}`"
            yield Problem(path, 1, "", "no Schedule names this calendar", hint, "unused")
        for approval in revision.approvals:
            if not self._could(approval.value.match, "approval"):
                message = "permits what needs no approval: no Policy asks for one on these hosts"
                yield approval.problem((), "unused", message, "set `approval: required`, or remove it")

    def exceptions(self) -> Iterator[Problem]:
        """Exceptions about every package, about no version, and about what is wanted already."""
        for placed in self._revision.exceptions:
            one = placed.value
            if "*" in one.packages and one.is_about_all:
                yield placed.problem(("packages",), "every-package", *_EVERY_PACKAGE[one.action])
            if one.versions is not None and _is_empty(one.versions):
                message = f"{quoted(one.versions)} holds no version, so this is about nothing"
                yield placed.problem(
                    ("versions",), "empty-range", message, "the lower bound comes first: `>= 1, < 2`"
                )
            if one.action == "include" and not self._could(one.match, "selects"):
                message = "has no effect: every update is wanted on these hosts already"
                yield placed.problem(("action",), "unused", message, "remove it, or set `updates: security`")

    # --- settings

    def settings(self) -> Iterator[Problem]:
        """Settings of a Policy that mean nothing."""
        for layer in self._layers:
            if not layer.leaves:
                message = "sets nothing"
                yield layer.placed.problem((), "unused", message, "write settings, such as `action: apply`")
            yield from self._dependent(layer)
            yield from self._old(layer)
            yield from self._reversed(layer)
            yield from self._pinned(layer)

    def _dependent(self, layer: _IdleLayer) -> Iterator[Problem]:
        match = layer.placed.value.match
        lets_through = any(placed.value.allow == "security" for placed in self._revision.freezes)
        for one in _DEPENDENTS:
            # A freeze may want security updates alone where the policy wants more.
            if one.key == _SEVERITY and lets_through:
                continue
            value = layer.leaves.get(one.key, one.idle)
            if value != one.idle and not self._could(match, one.needs):
                yield layer.placed.problem(one.key, "no-effect", one.message, one.hint)
        if layer.leaves.get(("allow_removals",)) and layer.leaves.get(("removals",)) == "allow":
            message = "has no effect beside `removals: allow`, which lets every package be removed"
            yield layer.placed.problem(("allow_removals",), "no-effect", message, "leave one of them out")
        if layer.leaves.get(("step_time",)) and layer.leaves.get(("steps",)) == "single":
            message = "has no effect beside `steps: single`, which makes all at once"
            yield layer.placed.problem(("step_time",), "no-effect", message, "leave one of them out")

    def _reversed(self, layer: _IdleLayer) -> Iterator[Problem]:
        every, stale = (layer.leaves.get(("refresh", key)) for key in ("every", "stale_after"))
        if isinstance(every, timedelta) and isinstance(stale, timedelta) and stale < every:
            message = f"{format_duration(stale)} is less than `every: {format_duration(every)}`: metadata are"
            message += " stale before they are read anew, and nothing is applied meanwhile"
            yield layer.placed.problem(
                ("refresh", "stale_after"), "reversed", message, "make it the longer one"
            )

    def _old(self, layer: _IdleLayer) -> Iterator[Problem]:
        day = layer.leaves.get(("as_of",))
        days = (self._now.date() - day).days if isinstance(day, date) else 0
        if days > _OLD_STATE:
            message = (
                f"lies {days} days back: nothing that a host saw since then is installed, security updates"
            )
            message += " included"
            yield layer.placed.problem(("as_of",), "old-state", message, "write a later day, or `none`")

    def _pinned(self, layer: _IdleLayer) -> Iterator[Problem]:
        for name, pin in (layer.placed.value.scripts or {}).items():
            own = self._revision.scripts.get(name, b"")
            known = {f"sha256:{sha256(own).hexdigest()}" if own else "", self._pins.get(name, "")}
            if name in self._pins and pin not in known:
                message = "is neither this version's script nor one of scripts/: hosts with this version plan"
                message += " and apply nothing"
                yield layer.placed.problem(
                    ("scripts", name), "pin", message, f"this version's is {self._pins[name]}"
                )

    def routes(self) -> Iterator[Problem]:
        """Routes for events that never come."""
        for layer in self._layers:
            for index, route in enumerate(layer.placed.value.notify or ()):
                for event in route.on:
                    fact, message, hint = _ROUTES.get(event, ("", "", ""))
                    if fact and not self._could(layer.placed.value.match, fact):
                        path = ("notify", index, "on")
                        said = f"`{event}` never comes: {message}"
                        yield layer.placed.problem(path, "dead-route", said, f"{hint}, or take it out")

    # --- hosts

    def applying(self) -> Iterator[Problem]:
        """What keeps everything from being applied: on any host, and on those with a Host document."""
        found = _Findings()
        for layer in self._layers:
            one = layer.placed
            if layer.leaves.get(("action",)) == "apply" and not self._could(one.value.match, "schedule"):
                found.add(_never_scheduled(one.origin_of(("action",)), "action"))
            for each in unfollowed(one.value):
                found.add(one.problem(each.key, "unfollowed", each.message, each.hint))
        self._judge_hosts(found)
        yield from found.told()

    def _judge_hosts(self, found: "_Findings") -> None:
        hosts = self._revision.hosts
        if len(hosts) * (len(self._layers) + len(self._revision.freezes)) > _MOST_PAIRS:
            message = "hosts were not judged one by one, since there are too many"
            found.add(Problem(Host.folder, 1, "", message, "", "unfinished"))
            return
        bare = replace(self._revision, exceptions=(), approvals=())
        resolver = Resolver(bare)
        known: dict[tuple[HostClass, frozenset[str]], tuple[Problem, ...]] = {}
        for host in hosts:
            answer = partial(certainly, host=host.value)
            unsure = frozenset(
                key[0] for one in self._layers if answer(one.placed.value.match) is None for key in one.leaves
            )
            kind = resolver.class_where(answer)
            if (kind, unsure) not in known:
                known[kind, unsure] = tuple(self._of_class(resolver.of_class(kind), unsure))
            for problem in known[kind, unsure]:
                found.add(problem, host.value.name)

    def _of_class(self, effective: Effective, unsure: frozenset[str]) -> Iterator[Problem]:
        settings = effective.settings
        if "notify" not in unsure:
            yield from self._dropped(effective)
        if settings.action != "apply" or "action" in unsure:
            return
        for one in unfollowed(settings):
            origin = effective.origins.get(dotted(one.key))
            if origin is not None and one.key[0] not in unsure and one.holds:
                yield Problem(origin.file, origin.line, dotted(one.key), one.message, one.hint, "unfollowed")
        if "schedule" in unsure:
            return
        if not effective.schedules:
            key = "schedule" if "schedule" in effective.origins else "action"
            yield _never_scheduled(effective.origins[key], key)
        elif "budget" not in unsure and self._is_never_open(effective):
            origin = effective.origins["schedule"]
            message = "no window that these schedules open has room for a run within five years"
            message += f", which needs {format_duration(settings.budget)}"
            hint = "see `windows --policy . --host HOST`"
            yield Problem(origin.file, origin.line, "schedule", message, hint, "no-window")

    def _dropped(self, effective: Effective) -> Iterator[Problem]:
        """Notifiers that a weaker policy routes messages to, and that the routes in force leave out."""
        origin = effective.origins.get("notify")
        kept = {route.to for route in effective.settings.notify}
        if origin is None or not kept:
            return  # Who writes `notify: []` means it.
        matching = {name for name, _ in effective.policies}
        for one in self._revision.policies:
            if one.value.name not in matching or not one.value.notify:
                continue
            lost = sorted({route.to for route in one.value.notify} - kept)
            if lost:
                message = f"takes the place of the routes of the policy {one.value.name}, so that"
                message += f" {' and '.join(lost)} hears of nothing"
                hint = "a list replaces the one below it: name those again here"
                yield Problem(origin.file, origin.line, "notify", message, hint, "dropped-route")

    def _is_never_open(self, effective: Effective) -> bool:
        if all(len(self._dead[one.name]) == len(one.windows) for one in effective.schedules):
            return False  # What is said of the Schedules says it.
        budget, frozen = effective.settings.budget, effective.frozen
        return next_opening(effective.schedules, self._now, budget, frozen) is None


@dataclass(slots=True)
class _Findings:
    """Warnings, and the hosts that each is known to be about."""

    hosts: dict[Problem, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, problem: Problem, host: str = "") -> None:
        """Note a warning, about one host more where one is named."""
        named = self.hosts[problem]
        if host:
            named.append(host)

    def told(self) -> Iterator[Problem]:
        """Yield each with the hosts."""
        for problem, hosts in self.hosts.items():
            if not hosts:
                yield problem
                continue
            more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
            yield replace(problem, message=f"{problem.message}: {min(hosts)}{more}")


_EVERY_PACKAGE: Mapping[str, tuple[str, str]] = {
    "hold": ("holds every package back: nothing is ever updated", "to update nothing, write `updates: none`"),
    "block": ("blocks every package: nothing is ever updated", "to update nothing, write `updates: none`"),
    "allow-as-dependency": (
        "lets every package come only where another one needs it: nothing is ever updated",
        "name packages, or write `updates: none`",
    ),
    "include": ("wants every update, whatever `updates` says", "name packages, or write `updates: all`"),
}


def _never_scheduled(where: Origin, key: str) -> Problem:
    hint = "name a Schedule under `schedule:`"
    return Problem(where.file, where.line, key, NEVER, hint, "no-schedule")


def _moment(written: date | datetime, timezone: str) -> str:
    return f"{format_moment(written)}, {timezone}"


def _calendars(schedule: Schedule) -> Iterator[str]:
    return (entry.ics for entry in schedule.windows if isinstance(entry, IcsEntry))


_BOUND = re.compile(r"(>=|<=|=|>|<)\s*([^\s,<>=!]+)")


def _is_empty(versions: str) -> bool:
    """Tell whether no version is in a range, in the order of any package manager."""
    bounds = [(sign, version) for sign, version in _BOUND.findall(versions.replace("!=", "!"))]
    lower = [(version, sign != ">") for sign, version in bounds if sign in (">", ">=", "=")]
    upper = [(version, sign != "<") for sign, version in bounds if sign in ("<", "<=", "=")]
    return any(
        _is_less(most, least) or (most == least and not (is_least_in and is_most_in))
        for least, is_least_in in lower
        for most, is_most_in in upper
    )


def _is_less(one: str, other: str) -> bool:
    """Tell whether a version is less by the first numbers that differ, on which all orders agree."""
    if ":" in one + other:
        return False
    pairs = zip(_numbers(one), _numbers(other), strict=False)
    return next((ours < theirs for ours, theirs in pairs if ours != theirs), False)


def _numbers(version: str) -> list[tuple[int, str]]:
    """Return the first numbers, each as what orders as it does: Python converts none of any length."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    parts = found[0].split(".") if found else []
    return [(len(part.lstrip("0")), part.lstrip("0")) for part in parts]
