"""What becomes of one package that nothing needs any more, for whoever asks about it."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from reconciler.planning.facts.observation import Change, Exchange, Observation
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.unneeded import seen_again
from reconciler.planning.resolving.dialogue import Conversation, Resolution
from reconciler.planning.resolving.reasons import place_of
from reconciler.planning.resolving.unneeded import unused_told
from reconciler.planning.resolving.unneeded_words import why_kept
from reconciler.policy.resolve import Effective


def told_of_unused(
    packages: Iterable[PackageId],
    observation: Observation,
    effective: Effective,
    exchanges: Iterable[Exchange],
    now: datetime,
) -> Iterator[str]:
    """Say of each package that nothing needs and that stays for now, why it does.

    Args:
        packages: Those that are asked about.
        observation: Of the machine.
        effective: Policy in force for it.
        exchanges: The whole conversation; where it does not say what is unused, nothing is told.
        now: The moment that it was held at.
    """
    exchanges = tuple(exchanges)
    asked, told = frozenset(packages), next(unused_told(exchanges), ())
    if not any(one.package in asked for one in told):
        return
    conversation = Conversation.of(observation, effective, now)
    found = conversation.replay(exchanges)
    if not isinstance(found, Resolution):
        return
    going = {(one.package, one.from_version) for one in found.changes if one.unused}
    since = seen_again(observation.unneeded, (one.package for one in told)).by_package()
    kept = dict(why_kept(found.removals, conversation.rules))
    for change in told:
        if change.package in asked and (change.package, change.from_version) not in going:
            why = kept.get((change.package, change.from_version or ""), "")
            why = why or _why(change, found, since.get(change.package, ""), effective)
            name = conversation.rules.machine.name_of(change.package)
            yield f"{name} {change.from_version} stays: {why} [{place_of('autoremove', effective)}]"


def _why(change: Change, found: Resolution, run: str, effective: Effective) -> str:
    """Say why something is not even wanted to go."""
    if change.unused == "kernel":
        return "an update of it is planned"
    if effective.settings.autoremove != "new-unused":
        return f"'autoremove: {effective.settings.autoremove}' is about old kernels alone"
    if not run:
        return "no run made it unused, and what was so without one is a person's to remove"
    if any(not one.unused for one in found.changes):
        return f"nothing needs it since run {run}; it goes once no update is planned"
    return "nobody knows why"
