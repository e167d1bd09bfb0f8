"""Whether anybody tells of a period up to its end: that nothing is told of a machine proves nothing of it.

A gap between two reports is told of by the second: what is installed by that is what was installed before and
what became of it. So only the begin and the end of a period can be untold.
"""

from collections.abc import Iterator
from datetime import datetime

from reconciler.planning.audit.of_branches import Passage
from reconciler.planning.audit.periods import Period
from reconciler.planning.audit.story import Link, Story
from reconciler.planning.audit.verdicts import Against, Verdict
from reconciler.planning.fleet.summary import SILENT_AFTER
from reconciler.planning.text.wording import minute
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Covering:
    """The reports at both ends of a period, as far as the target had to report in it.

    Attributes:
        since: When that begins, and ``until`` when it ends.
        first: The report that the branch begins with.
        last: The last one of a time before the end.
        after: The first one of a time from there on.
    """

    since: datetime
    until: datetime
    first: Link
    last: Link | None
    after: Link | None

    @classmethod
    def of(cls, story: Story, period: Period) -> "Covering | None":
        """Find them; ``None`` of a target that never reported, or was not of the fleet then."""
        since = max(period.since, story.enrolled or period.since)
        until = min(period.until, story.read_at, story.retired or period.until)
        if not story.links or since >= until:
            return None
        last, after = None, None
        for link in story.links:
            at = known_at(story, link)
            if at >= until:
                after = after or link
            elif last is None or at >= known_at(story, last):
                last = link
        return cls(since, until, story.links[0], last, after)

    @property
    def links(self) -> tuple[Link, ...]:
        """All of them, each of which must be the host's to tell anything."""
        return tuple(one for one in (self.first, self.last, self.after) if one is not None)


def known_at(story: Story, link: Link) -> datetime:
    """Return up to when a report can tell: no publisher saw it before it was made."""
    seen = story.first_to_know(link.commit)
    return min(link.at, story.read_at if seen is None else seen.at)


def covered(story: Story, period: Period) -> Iterator[Against]:
    """Ask for reports of the host from the begin of a period up to its end."""
    found = Covering.of(story, period)
    if found is None:
        return
    first, last, after = found.first, found.last, found.after
    began = known_at(story, first)
    if min(began, found.until) - found.since > SILENT_AFTER:
        said = f"nothing tells of it before {minute(began)}, when it reported first: audit from then on"
        yield Against("covered", Verdict.UNPROVED, said, (first.commit,))
    if last is None:
        return
    at = known_at(story, last)
    if found.until - at <= SILENT_AFTER and _counts(last):
        return
    since = minute(at) if _counts(last) else f"before {minute(at)}"
    if after is None:
        said = f"nothing tells of it since {since}: find out why it is silent"
        said += ", and audit once more when it reports"
        yield Against("covered", Verdict.UNPROVED, said, (last.commit,))
    elif not (_counts(last) and _counts(after) and _is_quiet(story, after)):
        then = minute(known_at(story, after))
        said = f"nothing tells of it since {since}, and what had changed by {then} may be of before the end"
        yield Against("covered", Verdict.UNPROVED, f"{said}: audit until then", (last.commit, after.commit))


def _counts(link: Link) -> bool:
    return link.standing is not None and link.standing.counts


def _is_quiet(story: Story, link: Link) -> bool:
    return link.is_heartbeat or Passage.to(story, link).is_quiet
