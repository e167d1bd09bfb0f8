"""What a hypervisor's report says of each of its guests, also of those that were never looked into.

- Each guest is in the list: why one is left out is its row. One that is nowhere now says where it went, once
  it was looked after before or the configuration names it.
- The worst is first. What passes by itself, or was wished, is no harm.
- Text that a guest or who administers it could have chosen is one line, and short.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from reconciler.planning.facts.guests import Gone, Guest, Inventory, Moved, State, Unsupported, state_words
from reconciler.planning.text.layout import OPEN, UnknownWord
from reconciler.planning.text.untrusted import one_line
from reconciler.records import dataclass

_NAME = 80
_REASON = 300
_MOST_TAGS = 30


class GuestOutcome(StrEnum):
    """What becomes of a guest, the worst first."""

    FAILED = "failed"
    """Its last run failed, or it could not be looked at."""
    INTERRUPTED = "interrupted"
    """Something in it was left half done."""
    WAITING = "waiting"
    """A person must act, such as by an approval."""
    PENDING = "pending"
    """There is something to do, and it comes by itself."""
    NOT_LOOKED_AT = "not-looked-at"
    """Nobody looked into it yet."""
    SKIPPED = "skipped"
    """It is left out for now, by its state or by the operator's wish."""
    UNSUPPORTED = "unsupported"
    """It cannot be looked after from its hypervisor."""
    GONE = "gone"
    """It is not there any more."""
    FINE = "fine"
    """There is nothing to do."""

    @property
    def rank(self) -> int:
        """Its place in the order, from 0 for the worst."""
        return list(GuestOutcome).index(self)

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should look."""
        return self in {GuestOutcome.FAILED, GuestOutcome.INTERRUPTED, GuestOutcome.WAITING}


@dataclass(frozen=True, slots=True)
class GuestRow:
    """One guest of the target, as its hypervisor knows it.

    Attributes:
        id: Number of a Proxmox guest, else its name in the alphabet of host ids; may be empty.
        name: What its hypervisor calls it.
        kind: What runs it; empty where nobody has it.
        state: How it is, such as ``running``, ``stopped``, ``locked`` or ``moved``.
        detail: What is done with a locked one, the node of one that moved, why one is unsupported.
        tags: As its hypervisor has them.
        outcome: What becomes of it.
        reason: Why, as a sentence.
        report: Branch of its own reports, empty where there is none yet.
        os: Distribution and release, such as ``debian 12``; empty where it was never looked into.
        next: When its next window opens, null where none is in sight or it was never looked into.
    """

    id: str
    name: str
    kind: str
    state: str
    detail: str
    tags: tuple[str, ...]
    outcome: Annotated[GuestOutcome | UnknownWord, OPEN]
    reason: str
    report: str = ""
    os: str = ""
    next: datetime | None = None


@dataclass(frozen=True, slots=True)
class GuestTold:
    """What a tick in a guest came to.

    Attributes:
        outcome: Of it.
        reason: In a few words, such as its headline.
        os: Distribution and release.
        next: When its next window opens, ``None`` where none is in sight.
        is_ours: It counts also of a guest that is left out, since what we did left it so.
    """

    outcome: GuestOutcome
    reason: str
    os: str = ""
    next: datetime | None = None
    is_ours: bool = False


_NOT_YET = "nobody looked into it yet"


def guest_rows(
    found: Inventory,
    home: str,
    told: Mapping[str, GuestTold] | None = None,
    reported: frozenset[str] = frozenset(),
    not_yet: str = _NOT_YET,
) -> tuple[GuestRow, ...]:
    """Return a row for each guest, the worst first.

    Args:
        found: All guests.
        home: Id of their hypervisor.
        told: What ticks in guests came to, by id; of a guest that is left out it does not count, unless it
            says so.
        reported: Ids of guests that have a branch of reports.
        not_yet: Why those that could be looked after, and of which nothing is told, were not.
    """
    rows = (_row(guest, home, told or {}, reported, not_yet) for guest in found.guests)
    return worst_first(rows)


def worst_first(rows: Iterable[GuestRow]) -> tuple[GuestRow, ...]:
    """Return rows in the order in which people should read them; first what only a newer release knows."""

    def place(row: GuestRow) -> tuple[int, int, str, str]:
        rank = row.outcome.rank if isinstance(row.outcome, GuestOutcome) else -1
        number = int(row.id) if row.id.isascii() and row.id.isdecimal() and len(row.id) <= _DIGITS else 0
        return rank, number, row.id, row.name

    return tuple(sorted(rows, key=place))


_DIGITS = 9


def _row(
    guest: Guest, home: str, told: Mapping[str, GuestTold], reported: frozenset[str], not_yet: str
) -> GuestRow:
    state, detail = state_words(guest.state)
    own = _told(guest, told.get(guest.id), not_yet)
    return GuestRow(
        id=guest.id,
        name=one_line(guest.name, _NAME),
        kind="" if guest.kind is None else str(guest.kind),
        state=state,
        detail=one_line(detail, _REASON),
        tags=tuple(one_line(tag, _NAME) for tag in guest.tags[:_MOST_TAGS]),
        outcome=own.outcome,
        reason=one_line(own.reason, _REASON),
        report=f"guests/{home}/{guest.id}" if guest.id in reported else "",
        os=one_line(own.os, _NAME),
        next=own.next,
    )


def _told(guest: Guest, told: GuestTold | None, not_yet: str) -> GuestTold:
    match guest.state:
        case Moved() | Gone():
            return GuestTold(GuestOutcome.GONE, farewell(guest.state))
        case Unsupported():
            return GuestTold(GuestOutcome.UNSUPPORTED, guest.left_out)
        case _ if guest.left_out and told is not None and told.is_ours:
            return told
        case _ if guest.left_out:
            return GuestTold(GuestOutcome.SKIPPED, guest.left_out)
        case _:
            return told or GuestTold(GuestOutcome.NOT_LOOKED_AT, not_yet)


def is_trouble(row: GuestRow) -> bool:
    """Tell whether somebody should look at a guest; a word of a newer release may say so."""
    return not isinstance(row.outcome, GuestOutcome) or row.outcome.is_trouble


def counted(rows: Iterable[GuestRow]) -> str:
    """Return how many guests there are, and how many of each outcome, the worst first."""
    counts = Counter(str(row.outcome) for row in worst_first(rows))
    total = sum(counts.values())
    parts = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    return f"{total} ({parts})" if parts else "none"


def farewell(state: State) -> str:
    """Return what the last report of a guest that went says: where it is now; empty of one that is there."""
    match state:
        case Moved(node):
            return f"gone: now on {node}"
        case Gone():
            return "gone: destroyed"
        case _:
            return ""


def branch_before(guest: str, elsewhere: Mapping[str, str]) -> str:
    """Return the branch on which a guest that came here was reported before, empty where it was nowhere else.

    Args:
        guest: Its id, which it keeps.
        elsewhere: The node that had it, by the id of each guest of other nodes, as of the last look. Nodes
            are taken to report by the names that they have in their cluster.
    """
    node = elsewhere.get(guest, "")
    return f"guests/{node}/{guest}" if node else ""
