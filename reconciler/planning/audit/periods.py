"""What belongs to a period: by the host's clock, by that of who saw it first, and by what came before it.

No report is out of every period, whatever its host dates it. One that a publisher saw is in the period of
that as well. Until one does, a date that cannot be is none: such a report is in every period that does not
end before the reports that it follows.
"""

from collections.abc import Iterator
from datetime import datetime

from reconciler.planning.audit.story import Link, Story
from reconciler.planning.runs.record import RunRecord
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time, from its first instant up to the first one after it; both aware."""

    since: datetime
    until: datetime

    def has(self, at: datetime) -> bool:
        """Say whether an instant is in it."""
        return self.since <= at < self.until

    def of(self, story: Story) -> Iterator[Link]:
        """Yield the reports of a branch that belong to it, in their order."""
        latest: datetime | None = None
        for link in story.links:
            if self._is_told(link) or self._is_known(story, link, latest):
                yield link
            if link.at <= story.read_at:
                latest = link.at if latest is None else max(latest, link.at)

    def _is_told(self, link: Link) -> bool:
        began = (one.record.started for one in link.runs if isinstance(one.record, RunRecord))
        return self.has(link.at) or any(map(self.has, began))

    def _is_known(self, story: Story, link: Link, latest: datetime | None) -> bool:
        """Say whether it is in it by what its host cannot choose; ``latest`` is the date that it follows."""
        seen = story.first_to_know(link.commit)
        if seen is not None:
            return self.has(seen.at)
        is_possible = link.at <= story.read_at and (latest is None or latest <= link.at)
        return not is_possible and (latest is None or latest < self.until)
