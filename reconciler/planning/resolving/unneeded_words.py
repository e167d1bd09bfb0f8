"""What is said of packages that nothing needs any more: why one goes, and why another stays."""

from collections.abc import Iterator

from reconciler.planning.facts.observation import Change
from reconciler.planning.facts.package import PackageId
from reconciler.planning.resolving.dispositions import Condition, ConditionType, Reason
from reconciler.planning.resolving.reasons import place_of, reason_of
from reconciler.planning.resolving.selection import Obstacle, Rules
from reconciler.planning.resolving.unneeded import Removals
from reconciler.planning.text.wording import listed


def reason_of_removal(change: Change, removals: Removals, rules: Rules) -> Reason:
    """Say why something unused goes."""
    place = place_of("autoremove", rules.effective)
    if change.unused == "kernel":
        which = _version(change, rules) or "it"
        return Reason("unused-kernel", f"{which} is an old kernel that the package manager lets go", place)
    run = removals.since.get(change.package, "")
    return Reason("unused-since", f"nothing needs it any more since run {run}", place)


def _version(change: Change, rules: Rules) -> str:
    """Return the version, where several of the package are installed."""
    several = sum(one.package == change.package for one in rules.machine.installed) > 1
    return (change.from_version or "") if several else ""


def unused_conditions(removals: Removals, rules: Rules) -> Iterator[Condition]:
    """Tell what is unused and stays although policy wants it to go, and that nobody knows what is."""
    setting = f"autoremove: {rules.effective.settings.autoremove}"
    if removals.unknown:
        message = f"{removals.unknown}; nothing is removed for '{setting}'"
        yield Condition(ConditionType.UNUSED_KEPT, True, "Unknown", message)
    elif removals.kept:
        told = listed(
            [f"{_named(one, rules)}: {_why(one.package, why, rules)}" for one, why in removals.kept]
        )
        message = f"unused, and not removed by '{setting}' ({told})"
        yield Condition(ConditionType.UNUSED_KEPT, True, "Kept", message)


def why_kept(removals: Removals, rules: Rules) -> Iterator[tuple[tuple[PackageId, str], str]]:
    """Yield what is wanted to go and stays, by package and version, each with why."""
    for change, why in removals.kept:
        yield (change.package, change.from_version or ""), _why(change.package, why, rules)


def _named(change: Change, rules: Rules) -> str:
    return " ".join(filter(None, (rules.machine.name_of(change.package), _version(change, rules))))


def _why(package: PackageId, against: Obstacle | str, rules: Rules) -> str:
    return against if isinstance(against, str) else reason_of(package, against, rules).message
