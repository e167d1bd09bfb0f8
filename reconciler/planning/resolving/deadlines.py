"""By when each update must be installed, and since when that is counted.

The rules:

* A deadline counts from when this host first saw the first version that it still lacks. A newer version does
  not begin it anew: the host lacks what was in the first one as well.
* Of the versions that an update would bring, the one whose deadline passes first decides.
* A sort of update without a deadline of its own counts as the next less urgent one.
* What nobody wants is not late: an ordinary version that the update mode leaves out, or that only sources
  which policy does not admit have, has no deadline. A security update has one, whatever keeps it out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from reconciler.planning.facts.observation import Available, FirstSeen, Observation, Offer, Urgency
from reconciler.planning.resolving.age import is_behind
from reconciler.planning.resolving.dispositions import Deadline
from reconciler.planning.resolving.selection import Rules, is_selected, within_reach
from reconciler.policy.deadlines import Term, limits_of
from reconciler.policy.resolve import Effective
from reconciler.policy.zones import shifted
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Timekeeper:
    """Knows when each update is due.

    Attributes:
        limits: As policy says; empty where it says nothing.
        sights: What was recorded of first sights, by the name of the package.
    """

    rules: Rules
    limits: Mapping[Urgency, Term]
    sights: Mapping[str, Sequence[FirstSeen]]

    @classmethod
    def of(cls, observation: Observation, rules: Rules) -> "Timekeeper":
        """Return one that judges offers of ``observation``."""
        limits = limits_of(rules.effective.settings.deadline)
        sights: defaultdict[str, list[FirstSeen]] = defaultdict(list)
        for entry in observation.first_seen if limits else ():
            sights[entry.name].append(entry)
        return cls(rules, limits, sights)

    def deadline_of(self, offer: Offer) -> Deadline | None:
        """Return by when an update must be installed, ``None`` where it has no deadline."""
        if not self.limits:
            return None
        found = (self._deadline(sight) for sight in self._lacked(offer) if sight.urgency in self.limits)
        return min(found, key=lambda one: (one.at, one.since, one.version), default=None)

    def _deadline(self, sight: FirstSeen) -> Deadline:
        limit = self.limits[sight.urgency]
        setting = f"deadline.{limit.key}"
        origin = _place(setting, self.rules.effective)
        return Deadline(shifted(sight.at, limit.length), sight.at, sight.version, setting, origin)

    def _lacked(self, offer: Offer) -> Iterator[FirstSeen]:
        """Yield when each version was first seen that the host lacks, whether it is still on offer or not."""
        dates, now = self.rules.machine.first_seen, self.rules.now
        for one in within_reach(offer):
            if self._counts(offer, one):
                at = min(
                    (dates.get((origin, offer.name, one.version), now) for origin in one.origins), default=now
                )
                yield FirstSeen(_first(one.origins), offer.name, one.version, min(at, now), one.urgency)
        there = {one.version for one in offer.versions}
        for sight in self.sights.get(offer.name, ()):
            if sight.version not in there and self._is_behind(offer, sight) and self._counted(offer, sight):
                yield sight

    def _is_behind(self, offer: Offer, sight: FirstSeen) -> bool:
        return self.rules.machine.order is not None and is_behind(
            offer, sight.version, self.rules.machine.order
        )

    def _counted(self, offer: Offer, sight: FirstSeen) -> bool:
        return self._counts(offer, Available(sight.version, (sight.origin,), sight.urgency != "other"))

    def _counts(self, offer: Offer, available: Available) -> bool:
        if available.security:
            return True
        is_admitted = not available.left_out and not self.rules.not_admitted.keys() >= {*available.origins}
        return is_selected(offer, available, self.rules) and (is_admitted or not available.origins)


def _first(origins: Sequence[str]) -> str:
    return origins[0] if origins else ""


def _place(setting: str, effective: Effective) -> str:
    return str(effective.origins.get(setting, ""))
