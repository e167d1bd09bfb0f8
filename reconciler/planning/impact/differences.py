"""What two policies say differently about one host: settings, documents and windows, at one instant.

The rules:

1. What has no effect is not told: where a text stands, why it was written, and what is over already.
2. Windows are those in which a run could start, freezes and the time that it needs left off. Two are the same
   where they begin and end at the same instants, whatever their Schedule is called.
3. Of what vanishes and appears less than a day apart, the nearest are one window that moves.
4. A host begins later in its windows by its own share of ``splay``, always the same: windows are compared
   without it, and another ``splay`` is told like a setting.
5. Where policies contradict one another nothing is applied, whatever the settings are called: what a host
   begins to do is told against that.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Literal

from reconciler.planning.gates.inputs import is_security_plan
from reconciler.planning.impact.effect import (
    DocumentChange,
    Peril,
    SettingChange,
    Sort,
    WindowChange,
    WindowsEffect,
    WindowSpan,
)
from reconciler.planning.resolving.approval import approvals_of
from reconciler.planning.text.wording import minute, short_digest
from reconciler.policy import windows
from reconciler.policy.documents import PackageException
from reconciler.policy.load import Placed
from reconciler.policy.resolve import Effective, flat_settings, shown_value
from reconciler.policy.values import format_duration
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

MOST_WINDOWS = 1000
"""Windows of one policy that are looked at; where there are more, the time that is looked at is shorter."""
_MOST_CHANGES = 100
"""Changes of windows that are told one by one."""
_A_DAY = timedelta(days=1)
_REBOOTS = ("never", "if-required", "always")

_SORTS: Mapping[str, Sort] = {
    "updates": "mode",
    "severity": "mode",
    "kinds": "mode",
    "action": "mode",
    "upgrade": "mode",
    "removals": "mode",
    "allow_removals": "mode",
    "autoremove": "mode",
    "min_age": "mode",
    "as_of": "mode",
    "sources": "mode",
    "security_sources": "mode",
    "approval": "approval",
    "reboot": "reboot",
    "schedule": "window",
    "splay": "window",
    "budget": "window",
    "overrun": "window",
    "deadline": "deadline",
    "notify": "route",
    "announce": "route",
}
_ORDER: tuple[Sort, ...] = ("mode", "approval", "reboot", "window", "deadline", "route", "other")


@dataclass(frozen=True, slots=True)
class Differences:
    """What a host is told differently; as in :class:`reconciler.planning.impact.effect.Effect`."""

    ambiguities: tuple[str, ...]
    settings: tuple[SettingChange, ...]
    documents: tuple[DocumentChange, ...]
    windows: WindowsEffect | None
    reboots_unapproved: bool = False
    contradictions_end: tuple[str, ...] = ()
    begins: tuple[Peril, ...] = ()


def differences(before: Effective, after: Effective, at: datetime, until: datetime) -> Differences:
    """Return what ``after`` says otherwise than ``before``.

    Args:
        before: What holds for a host by the base.
        after: And by the head.
        at: The instant at which both are judged, aware.
        until: Until when windows are looked at.
    """
    known = {one.key for one in before.ambiguities}
    return Differences(
        tuple(one.message for one in after.ambiguities if one.key not in known),
        _settings(before, after),
        _documents(before, after, at),
        _windows(before, after, at, until),
        _unapproved_reboots(after) > _unapproved_reboots(before),
        () if after.ambiguities else tuple(one.message for one in before.ambiguities),
        tuple(_begins(before, after)),
    )


def applies(effective: Effective) -> bool:
    """Say whether a host applies anything at all."""
    return effective.settings.action == "apply" and not effective.ambiguities


def _begins(before: Effective, after: Effective) -> Iterator[Peril]:
    """Yield what a host does by the head, or may do, that it did not by the base."""
    if _may_go_unapproved(before, after):
        yield Peril.UNAPPROVED
    if applies(after) and not applies(before):
        yield Peril.BEGINS_TO_APPLY
    if _reboots(after) > _reboots(before):
        yield Peril.REBOOTS
    if _removes(after) and not _removes(before):
        yield Peril.REMOVALS


def _may_go_unapproved(before: Effective, after: Effective) -> bool:
    """Tell whether it was left open whether an approval is needed, and none is any more."""
    was_open, is_open = (any(one.key == "approval" for one in side.ambiguities) for side in (before, after))
    return was_open and not is_open and after.settings.approval == "none"


def _reboots(effective: Effective) -> int:
    """Say how far a host reboots: never, where it must, or always."""
    return _REBOOTS.index(effective.settings.reboot.when) if applies(effective) else 0


def _unapproved_reboots(effective: Effective) -> int:
    """Say how far a host reboots without anybody's approval."""
    return 0 if effective.settings.approval == "required" else _reboots(effective)


def _removes(effective: Effective) -> bool:
    settings = effective.settings
    is_asked = settings.removals == "allow" or settings.upgrade == "full" or bool(settings.allow_removals)
    return applies(effective) and (is_asked or settings.autoremove != "none")


def _settings(before: Effective, after: Effective) -> tuple[SettingChange, ...]:
    old, new = _told(before), _told(after)
    keys = (
        key
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key) and not _has_parts(key, old if key not in old else new)
    )
    found = (
        SettingChange(key, _sort_of(key), old.get(key, "-"), new.get(key, "-"), _place(key, after))
        for key in keys
    )
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.sort)))


def _has_parts(key: str, other: Mapping[str, str]) -> bool:
    """Tell whether the other policy says a setting part by part, such as ``rollout.name``."""
    return key not in other and any(one.startswith(f"{key}.") for one in other)


def _sort_of(key: str) -> Sort:
    return _SORTS.get(key.partition(".")[0], "other")


def _told(effective: Effective) -> dict[str, str]:
    """Return every setting in words, and how long the starts of windows are delayed at most."""
    told = {key: shown_value(value) for key, value in flat_settings(effective.settings)}
    splays = sorted({window.splay for one in effective.schedules for window in one.windows} - {timedelta(0)})
    return told | {"splay": ", ".join(map(format_duration, splays)) or "-"}


def _place(key: str, effective: Effective) -> str:
    origin = effective.origins.get(key)
    return "" if origin is None else str(origin)


# --- Documents ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A document as far as it has an effect, and where it stands.

    Attributes:
        freeze: What it compiles to, ``None`` of another kind.
    """

    what: str
    until: datetime
    origin: str
    is_over: bool
    freeze: windows.Freeze | None = None


def _documents(before: Effective, after: Effective, at: datetime) -> tuple[DocumentChange, ...]:
    return (
        *_changed("Exception", _exceptions(before.exceptions, at), _exceptions(after.exceptions, at)),
        *_changed("Approval", _approvals(before, at), _approvals(after, at)),
        *_changed("Freeze", _freezes(before.frozen, at), _freezes(after.frozen, at)),
    )


def _changed(
    kind: Literal["Exception", "Approval", "Freeze"], old: Mapping[str, _Told], new: Mapping[str, _Told]
) -> Iterator[DocumentChange]:
    for name in sorted({*old, *new}):
        was, will = old.get(name), new.get(name)
        if was is None and will is not None:
            yield DocumentChange(kind, name, "begins", will.what, will.until, will.origin, is_weaker=False)
        elif was is not None and will is None:
            gone = was.freeze is not None
            yield DocumentChange(kind, name, "ends", was.what, was.until, was.origin, is_weaker=gone)
        elif was is not None and will is not None and (was.what, was.until) != (will.what, will.until):
            what = will.what if was.what == will.what else f"{was.what} → {will.what}"
            ends = "" if was.until == will.until else f", until {minute(was.until)} → {minute(will.until)}"
            less = _is_weaker(was.freeze, will.freeze)
            words = f"{what}{ends}"
            yield DocumentChange(kind, name, "changes", words, will.until, will.origin, is_weaker=less)


def _is_weaker(was: windows.Freeze | None, will: windows.Freeze | None) -> bool:
    if was is None or will is None:
        return False
    return will.start > was.start or will.end < was.end or (was.allow, will.allow) == ("none", "security")


def _in_force(told: Iterable[tuple[str, _Told]]) -> dict[str, _Told]:
    return {name: one for name, one in told if not one.is_over}


def _exceptions(placed: Iterable[Placed[PackageException]], at: datetime) -> dict[str, _Told]:
    return _in_force(
        (one.value.name, _Told(_words(one.value), one.value.ends(), str(one.origin), one.value.ends() <= at))
        for one in placed
    )


def _words(exception: PackageException) -> str:
    """Say what an exception does, whole: a part that is left out could be the one that changes."""
    words = f"{exception.action} {', '.join(exception.packages)}"
    if exception.versions is not None:
        words += f" {exception.versions}"
    if exception.sources is not None:
        only, without = exception.sources.only, exception.sources.except_
        words += f" from {', '.join(only) or 'all sources'}" + (
            f" but {', '.join(without)}" if without else ""
        )
    return words


def _approvals(effective: Effective, at: datetime) -> dict[str, _Told]:
    return _in_force(
        (
            one.name,
            _Told(
                f"plan {short_digest(one.plan)}"
                if one.plan
                else f"versions {', '.join(f'{name}={version}' for name, version in one.versions)}",
                one.expires,
                one.origin,
                one.expires <= at,
            ),
        )
        for one in approvals_of(effective)
    )


def _freezes(frozen: Iterable[windows.Freeze], at: datetime) -> dict[str, _Told]:
    return _in_force(
        (
            one.name,
            _Told(
                f"from {minute(one.start)} to {minute(one.end)}"
                + (", security updates pass" if one.allow == "security" else ""),
                one.end,
                one.origin,
                one.end <= at,
                one,
            ),
        )
        for one in frozen
    )


# --- Windows --------------------------------------------------------------------------------------------

_Key = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Coming:
    """The windows of a time, each with its Schedule, and what keeps every run out.

    Attributes:
        last: Begin of the last one that was looked at, where there may be more.
    """

    spans: Mapping[_Key, tuple[str, str | None]]
    last: datetime | None

    def free(self, until: datetime) -> dict[_Key, str]:
        """Return those in which a run could start and that begin until an instant."""
        return {key: name for key, (name, why) in self.spans.items() if why is None and key[0] <= until}


def _windows(before: Effective, after: Effective, at: datetime, until: datetime) -> WindowsEffect | None:
    old, new = _coming(before, at, until), _coming(after, at, until)
    # What is behind the last of many was looked at on neither side.
    last = min(one.last or until for one in (old, new))
    free_before, free_after = old.free(last), new.free(last)
    changes = _moves(
        {key: name for key, name in free_before.items() if key not in free_after},
        {key: name for key, name in free_after.items() if key not in free_before},
        {key: why for key, (_, why) in new.spans.items() if why is not None},
    )
    if not changes:
        return None
    more = max(0, len(changes) - _MOST_CHANGES)
    told = tuple(changes[:_MOST_CHANGES])
    return WindowsEffect(last, len(free_before), len(free_after), _next(after, at), told, more)


def _coming(effective: Effective, at: datetime, until: datetime) -> _Coming:
    spans = list(islice(windows.occurrences(effective.schedules, at, until), MOST_WINDOWS))
    budget, allow = effective.settings.budget, is_security_plan(effective)
    found: dict[_Key, tuple[str, str | None]] = {}
    for span in spans:
        why = windows.blocked_by(span, effective.frozen, budget=budget, allow_security=allow)
        known = found.get((span.start, span.end))
        if known is None or known[1] is not None:
            found[span.start, span.end] = span.schedule, why
    return _Coming(found, spans[-1].start if len(spans) == MOST_WINDOWS else None)


def _next(effective: Effective, at: datetime) -> datetime | None:
    opening = windows.next_opening(
        effective.schedules,
        at,
        budget=effective.settings.budget,
        freezes=effective.frozen,
        allow_security=is_security_plan(effective),
    )
    return None if opening is None else opening.start


def _moves(
    gone: Mapping[_Key, str], new: Mapping[_Key, str], blocked: Mapping[_Key, str]
) -> list[WindowChange]:
    """Pair what vanishes with what appears, and return all in the order of time."""
    pairs = _pairs(sorted(set(gone) - set(blocked)), sorted(new))
    taken = set(pairs.values())
    found = [
        (key, WindowChange("moves", new[to], WindowSpan(*key), WindowSpan(*to), ""))
        for key, to in pairs.items()
    ]
    found += [
        (key, WindowChange("vanishes", name, WindowSpan(*key), None, blocked.get(key, "")))
        for key, name in gone.items()
        if key not in pairs
    ]
    found += [
        (key, WindowChange("appears", name, None, WindowSpan(*key), ""))
        for key, name in new.items()
        if key not in taken
    ]
    return [change for _, change in sorted(found, key=itemgetter(0))]


def _pairs(gone: Sequence[_Key], new: Sequence[_Key]) -> dict[_Key, _Key]:
    """Pair each in order with the nearest that is left and less than a day away."""
    found: dict[_Key, _Key] = {}
    left = list(new)
    for key in gone:
        first = bisect_right(left, shifted(key[0], -_A_DAY), key=itemgetter(0))
        last = bisect_left(left, shifted(key[0], _A_DAY), key=itemgetter(0))
        if first < last:
            _, nearest = min((abs(other[0] - key[0]), other) for other in left[first:last])
            found[key] = nearest
            left.remove(nearest)
    return found
