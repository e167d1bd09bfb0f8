"""Which versions the update mode wants: ``updates``, and what of it ``severity`` and ``kinds`` leave.

* With ``updates: security`` and a ``severity``, a security update counts where an advisory calls it as severe
  or worse. All advisories count that it brings along, those above the installed version and not above the new
  one: of several severities the worst. Where one of them tells none that is known, the update is wanted:
  nobody has said that it may wait. So are all of a manager whose advisories tell no severity.
* With ``updates: all`` and ``kinds``, an update counts where one of these advisories is of a wanted kind. One
  without any advisory is of no kind, as it is for ``dnf --bugfix`` and ``zypper patch``. Of a manager without
  advisories, what the security service offers is of kind ``security``, and all else of none.
* dnf and zypper use different words for one thing. They are the same here, as for libzypp: ``bugfix`` and
  ``recommended``; ``enhancement``, ``optional``, and ``newpackage`` and ``feature``, which policy does not
  name.
* ``severity`` means nothing without ``updates: security``, and ``kinds`` nothing without ``updates: all``.

The managers' own options cannot say this: ``dnf --sec-severity`` and ``zypper patch --severity`` take single
severities of single advisories. So what does not count is left out by name, inside the resolver's run, and
moves only where an update that is wanted needs it.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from reconciler.planning.facts.observation import AdvisoryKind, Available, Severity
from reconciler.policy.documents import Settings
from reconciler.policy.managers import ManagerTraits
from reconciler.policy.resolve import Effective

LeftOutBy = Literal["security", "none", "severity", "kinds"]
"""By which setting: ``updates`` with one of its words, or another one."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The least first."""

_ORDINARY: frozenset[AdvisoryKind] = frozenset({"bugfix", "recommended"})
_NEW: frozenset[AdvisoryKind] = frozenset({"enhancement", "newpackage", "optional", "feature"})
_MEANT: Mapping[str, frozenset[AdvisoryKind]] = {
    "security": frozenset({"security"}),
    "bugfix": _ORDINARY,
    "recommended": _ORDINARY,
    "enhancement": _NEW,
    "optional": _NEW,
}


def left_out_by(available: Available, settings: Settings) -> LeftOutBy | None:
    """Return what of the update mode leaves a version out, ``None`` where it is wanted."""
    match settings.updates:
        case "all":
            return None if _is_of_kind(available, settings) else "kinds"
        case "none":
            return "none"
        case "security" if not available.security:
            return "security"
        case "security":
            return None if _is_severe(available, settings.severity) else "severity"


def _is_severe(available: Available, least: Severity) -> bool:
    said = available.severity
    return not said or available.is_unrated or SEVERITIES.index(said) >= SEVERITIES.index(least)


def kinds_of(available: Available) -> frozenset[AdvisoryKind]:
    """Return the kinds of a version's advisories; what the security service offers is of that."""
    return frozenset((*available.kinds, "security") if available.security else available.kinds)


def _is_of_kind(available: Available, settings: Settings) -> bool:
    wanted = settings.kinds
    return not wanted or not kinds_of(available).isdisjoint(one for kind in wanted for one in _MEANT[kind])


def without_effect(effective: Effective, traits: ManagerTraits) -> str:
    """Say what of the mode that holds here cannot have its effect, sentences; empty where all can."""
    settings = effective.settings
    found = []
    if settings.severity != "low":
        passes = any(freeze.allow == "security" for freeze in effective.frozen)
        found.append(_severity_without_effect(settings, traits, passes_freezes=passes))
    if settings.kinds:
        found.append(_kinds_without_effect(settings, traits))
    return "; ".join(filter(None, found))


def _severity_without_effect(settings: Settings, traits: ManagerTraits, *, passes_freezes: bool) -> str:
    said = f"severity: {settings.severity}"
    if settings.updates != "security" and not passes_freezes:
        return f"{said} chooses among security updates, and has no effect with updates: {settings.updates}"
    # Where security updates cannot be told, nothing is wanted at all, and that is told.
    if traits.tells_severity or not traits.tells_security:
        return ""
    return (
        f"{traits.name} does not say how severe a security update is, so {said} has no effect, and every"
        " security update is wanted"
    )


def _kinds_without_effect(settings: Settings, traits: ManagerTraits) -> str:
    said = f"kinds: {', '.join(settings.kinds)}"
    if settings.updates != "all":
        return f"{said} chooses among all updates, and has no effect with updates: {settings.updates}"
    if traits.tells_kinds:
        return ""
    tells = traits.tells_security and "security" in settings.kinds
    left = "only security updates are" if tells else "nothing is"
    return f"{traits.name} does not say of what kind an update is, so with {said} {left} wanted here"
