"""What a reviewer of a change of policy must not miss."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from reconciler.planning.impact.effect import (
    Concern,
    Effect,
    Group,
    Peril,
    PolicySide,
    SettingChange,
    Unjudged,
    Unreached,
)
from reconciler.planning.text.wording import listed, minute, plural

_SEVERAL = 5


def concerns_of(
    head: PolicySide,
    groups: Sequence[Group],
    unjudged: Sequence[Unjudged],
    unreached: Sequence[Unreached],
    trust: Iterable[Concern] = (),
) -> Iterator[Concern]:
    """Yield what must not be missed, in the order of :class:`Peril`.

    Args:
        head: The policy that is proposed.
        groups: All that change.
        unjudged: Hosts that were left out.
        unreached: Documents of the head that reach nobody.
        trust: What becomes of who is believed.
    """
    if head.problems:
        said = f"{plural(len(head.problems), 'problem')}: every host refuses it and stays as it is"
        yield Concern(Peril.INVALID, (), f"the head has {said}; the rest is judged without those files")
    for peril, is_one, words in _CHECKS:
        found = [group for group in groups if is_one(group.effect)]
        hosts = sorted(host for group in found for host in group.hosts)
        if hosts:
            yield Concern(peril, tuple(hosts), words([group.effect for group in found]))
    yield from trust
    idle = [one for one in unreached if one.was != "idle"]
    if idle:
        named = listed([f"{one.kind} {one.name} ({one.origin})" for one in idle], _SEVERAL)
        yield Concern(Peril.REACHES_NOBODY, (), f"no host that is known is reached by {named}")
    if unjudged:
        hosts = [one.target for one in unjudged]
        why = listed(sorted({one.reason for one in unjudged}), 3)
        yield Concern(Peril.UNJUDGED, tuple(hosts), f"nothing can be told: {why}")


def _setting(effect: Effect, key: str) -> SettingChange | None:
    return next((one for one in effect.settings if one.key == key), None)


def _becomes(effect: Effect, key: str, *values: str) -> bool:
    found = _setting(effect, key)
    return found is not None and found.after in values


def _withheld(effect: Effect) -> list[str]:
    """Return the security updates that are kept back, or how many may be where nobody knows their names."""
    told = effect.updates
    names = [one.name for one in told.changes if one.security and one.change in ("waits", "goes")]
    return names + [f"at most {one.withheld} ({one.why})" for one in told.counted if one.withheld]


def _ending(effect: Effect) -> list[str]:
    return [f"{one.name} ({one.what})" for one in effect.documents if one.is_weaker]


def _refused(effects: Sequence[Effect]) -> str:
    return f"they refuse the head and stay as they are: {_each(one.refusal for one in effects)}"


def _ambiguous(effects: Sequence[Effect]) -> str:
    messages = (message for effect in effects for message in effect.ambiguities)
    return f"nothing is applied while policies contradict one another: {_each(messages)}"


def _lost(effects: Sequence[Effect]) -> str:
    opens = [one.windows.next_after for one in effects if one.windows is not None and one.windows.are_lost]
    later = sorted({minute(one) for one in opens if one is not None})
    never = "; none ever comes" if None in opens else ""
    said = f"; the next one opens {listed(later, 3)}" if later else ""
    return f"they lose every window of the time that was looked at{said}{never}"


def _security(effects: Sequence[Effect]) -> str:
    return f"security updates are not applied: {_each(name for one in effects for name in _withheld(one))}"


def _freezes(effects: Sequence[Effect]) -> str:
    return (
        f"freezes hold for less, or not any more: {_each(name for one in effects for name in _ending(one))}"
    )


def _removals(effects: Sequence[Effect]) -> str:
    keys = ("removals", "upgrade", "allow_removals", "autoremove")
    changes = (_setting(one, key) for one in effects for key in keys)
    told = _each(f"{one.key}: {one.after}" for one in changes if one is not None)
    return f"packages may be removed: {told}" if told else "packages may be removed where nothing was applied"


def _may_remove(effect: Effect) -> bool:
    return (
        Peril.REMOVALS in effect.begins
        or _becomes(effect, "removals", "allow")
        or _becomes(effect, "upgrade", "full")
        or _becomes(effect, "autoremove", "kernels", "new-unused")
        or (_setting(effect, "allow_removals") is not None and not _becomes(effect, "allow_removals", "-"))
    )


def _stops(effect: Effect) -> bool:
    found = _setting(effect, "action")
    return found is not None and found.before == "apply"


def _begins_to_reboot(effect: Effect) -> bool:
    found = _setting(effect, "reboot.when")
    is_more = found is not None and (found.before == "never" or found.after == "always")
    return is_more or _interrupts_guests(effect) or Peril.REBOOTS in effect.begins


def _interrupts_guests(effect: Effect) -> bool:
    return _becomes(effect, "reboot.guests", "ignore")


def _reboots(effects: Sequence[Effect]) -> str:
    also = ", also while a guest is at work or in a freeze" if any(map(_interrupts_guests, effects)) else ""
    return f"they may reboot in their windows{also}"


def _each(texts: Iterable[str]) -> str:
    return listed(list(dict.fromkeys(texts)), _SEVERAL)


def _said(words: str) -> Callable[[Sequence[Effect]], str]:
    return lambda _: words


_CHECKS: tuple[tuple[Peril, Callable[[Effect], bool], Callable[[Sequence[Effect]], str]], ...] = (
    (Peril.REFUSED, lambda one: bool(one.refusal), _refused),
    (Peril.AMBIGUOUS, lambda one: bool(one.ambiguities), _ambiguous),
    (Peril.LOST_WINDOWS, lambda one: one.windows is not None and one.windows.are_lost, _lost),
    (Peril.SECURITY_WITHHELD, lambda one: bool(_withheld(one)), _security),
    (
        Peril.UNAPPROVED,
        lambda one: _becomes(one, "approval", "none") or Peril.UNAPPROVED in one.begins,
        _said("what had to be approved need not be any more"),
    ),
    (
        Peril.BEGINS_TO_APPLY,
        lambda one: _becomes(one, "action", "apply") or Peril.BEGINS_TO_APPLY in one.begins,
        _said("they begin to apply updates"),
    ),
    (Peril.STOPS_APPLYING, _stops, _said("they do not apply updates any more")),
    (Peril.REBOOTS, _begins_to_reboot, _reboots),
    (
        Peril.UNAPPROVED_REBOOTS,
        lambda one: one.reboots_unapproved,
        _said("they may reboot in their windows, and nobody has to approve anything"),
    ),
    (Peril.REMOVALS, _may_remove, _removals),
    (Peril.FREEZE_ENDS, lambda one: bool(_ending(one)), _freezes),
)
