"""What lies in the outbox, and what a service says to it."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Protocol

from reconciler.planning.notices.events import Event
from reconciler.records import dataclass

RECEIVER_LENGTH = 16
"""Characters that name one receiver of an address."""

NAME = re.compile(rf"(\d{{12}})-([0-9a-f]{{32}})(?:-([0-9a-f]{{{RECEIVER_LENGTH}}}))?\.json")
"""Of a file: order, identity of the message, and the receiver where it is for one of several."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A message as it lies in the outbox.

    Attributes:
        id: Digest of route, key and occasion.
        order: Grows with every message; messages of one receiver are sent in this order.
        to: Name of the notifier.
        at: When it was noticed.
        attempts: How often a service was asked to take it.
        not_before: No attempt before this instant.
        reason: Why the last attempt failed, empty before the first.
        html: The message as a page; empty in files of older versions.
        receiver: Digest of the one receiver of its address that it is for; empty for all of them, which is
            how a message begins.
        refusals: How often it was refused in a way that another attempt does not change.
        shorter: Pairs of text and Markdown, as in the message; empty in files of older versions.
        incident: As in the notice; empty in files of older versions.
        closes: The same.
        opens: The same.
    """

    id: str
    order: int
    to: str
    event: Event
    key: str
    at: datetime
    title: str
    text: str
    markdown: str
    attempts: int
    not_before: datetime
    reason: str = ""
    html: str = ""
    receiver: str = ""
    refusals: int = 0
    incident: str = ""
    closes: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    shorter: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What it is remembered by: no other message for no other receiver has it."""
        return f"{self.id}-{self.receiver}" if self.receiver else self.id

    @property
    def target(self) -> str:
        """The host or guest that it is about."""
        return self.key.rsplit("/", 2)[0]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.order:012}-{self.name}.json"


@dataclass(frozen=True, slots=True)
class Sent:
    """The service took the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The service answered that it will not take this message for this receiver, now or later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """The service answered that it does not take this message now.

    Attributes:
        holds: It is about the receiver, so that its later messages wait as well; else about this message.
    """

    reason: str
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Down:
    """The service could not be used at all, so that its other messages need not be tried now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The address does not name this receiver any more."""


Verdict = Sent | Refused | Later | Down | Gone


class Courier(Protocol):
    """Sends messages one by one; what became of one is known before the next is begun."""

    def receivers(self, to: str) -> "tuple[str, ...] | Down":
        """Return the receivers of a notifier as digests, in the order of its address.

        They stay the same for as long as the address names the same receivers.
        """

    def send(self, entry: Pending) -> Verdict | None:
        """Try to send one message and return what became of it, ``None`` where there was no time left."""


Send = Callable[[], AbstractContextManager[Courier]]
"""Begins a delivery."""


def write_entry(entry: Pending) -> bytes:
    """Return the content of the file of ``entry``."""
    content = {**asdict(entry), "at": entry.at, "not_before": entry.not_before}
    return json.dumps(content, default=datetime.isoformat, sort_keys=True).encode()


def read_entry(path: Path) -> Pending | None:
    """Return the message in ``path``, ``None`` where it is not one of ours."""
    try:
        read = json.loads(path.read_bytes())
        entry = Pending(
            **{
                **read,
                "event": Event(read["event"]),
                "at": datetime.fromisoformat(read["at"]),
                "not_before": datetime.fromisoformat(read["not_before"]),
                "closes": tuple(read.get("closes", ())),
                "opens": tuple(read.get("opens", ())),
                "shorter": tuple((text, markdown) for text, markdown in read.get("shorter", ())),
            }
        )
        # The name is what a later unlink relies on.
        is_ours = _is_whole(entry) and path.name == entry.file
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if is_ours else None


def _is_whole(entry: Pending) -> bool:
    texts = (entry.id, entry.to, entry.key, entry.title, entry.text, entry.markdown, entry.reason, entry.html)
    numbers = (entry.order, entry.attempts, entry.refusals)
    return (
        all(
            type(text) is str
            for text in (
                *(*texts, entry.receiver, entry.incident),
                *(*entry.closes, *entry.opens, *chain(*entry.shorter)),
            )
        )
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(instant.tzinfo is not None for instant in (entry.at, entry.not_before))
    )
