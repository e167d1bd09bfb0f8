"""What changed in a fleet from one reading to the next, as one message for people.

Told is what begins to need somebody, and what needs nobody any more; not what merely goes from one state that
does so to another one: whoever was told looks at the list. A fleet of which all fails is one message.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from reconciler.planning.fleet.rows import Row, worst_first
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Contents, MessageSection, compose
from reconciler.planning.text.wording import listed, plural
from reconciler.records import dataclass

EVENTS = frozenset({Event.FAILED, Event.RECOVERED})
"""What such a message is told as."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed.

    Attributes:
        began: Targets that need somebody now and did not before, the worst first.
        ended: Targets that needed somebody before and do not now.
    """

    began: tuple[Row, ...]
    ended: tuple[Row, ...]


def changes(before: Iterable[Row], after: Iterable[Row]) -> Changes:
    """Return what changed between two readings of a fleet."""
    known = {row.target: row.alarms for row in before}
    now = worst_first(after)
    began = tuple(row for row in now if row.alarms and not known.get(row.target, False))
    ended = tuple(row for row in now if known.get(row.target, False) and not row.alarms)
    return Changes(began, ended)


def notice(found: Changes, fleet: str, now: datetime, since: str = "") -> Notice | None:
    """Return the message that tells of changes; ``None`` where there are none.

    Args:
        found: What changed.
        fleet: What the fleet is called in the title.
        now: The present instant, aware.
        since: Names the reading from which on it changed: what happens once more is told once more.
    """
    if not found.began and not found.ended:
        return None
    event = Event.FAILED if found.began else Event.RECOVERED
    identity = _digest((row.target, str(row.state), row.tip) for row in (*found.began, *found.ended))
    sections = (
        MessageSection("Needs somebody", tuple(map(_line, found.began))),
        MessageSection("Well again", tuple(map(_line, found.ended))),
    )
    message = compose(fleet, _headline(found), Contents((), (), "", (), sections=sections))
    return Notice(event, f"{fleet}/{event}/{identity[:16]}", f"{since} {identity}".strip(), now, message)


def _headline(found: Changes) -> str:
    parts = []
    if found.began:
        names = listed([row.target for row in found.began], 3)
        parts.append(f"{plural(len(found.began), 'target')} began to need somebody: {names}")
    if found.ended:
        parts.append(f"{plural(len(found.ended), 'target')} well again")
    return "; ".join(parts)


def _line(row: Row) -> str:
    return f"{row.target}: {row.state}: {row.reason}"


def _digest(told: Iterable[tuple[str, str, str]]) -> str:
    return sha256("\n".join(" ".join(one) for one in told).encode()).hexdigest()
