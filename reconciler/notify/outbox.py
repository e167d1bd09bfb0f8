"""Messages that wait for delivery: one file each, kept until a service has taken it.

The rules:

- A message is a file before anybody tries to send it, and remains one until it is delivered.
- The same notice for the same route is kept and sent once, also when a crash makes it be noticed again.
- A service that is down is asked again after 1, 2, 4, ... minutes, at last every 6 hours; a new message asks
  at once. Messages of one route keep their order.
- The files name a route, never an address.
- The outbox is bounded: beyond :data:`LIMIT` messages the oldest that tell of no trouble go first; the loss
  is counted and told with the next message that gets through.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from reconciler.durable import replace_file
from reconciler.errors import Stalled
from reconciler.planning.notices.events import Event, Notice, Route

LIMIT = 200
"""Messages kept at a time."""
REMEMBERED = 500
"""Delivered messages whose identity is remembered."""
BATCH = 20
"""Messages of one route that are tried in one delivery."""
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=6)

_NAME = re.compile(r"\d{12}-[0-9a-f]{32}\.json")


@dataclass(frozen=True, slots=True)
class Pending:
    """A message as it lies in the outbox.

    Attributes:
        id: Digest of route, key and occasion.
        order: Grows with every message; messages of one route are sent in this order.
        to: Name of the notifier.
        at: When it was noticed.
        attempts: How often a service was asked to take it.
        not_before: No attempt before this instant.
        reason: Why the last attempt failed, empty before the first.
        html: The message as a page; empty in files of older versions.
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


@dataclass(frozen=True, slots=True)
class Sent:
    """The service took the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The service answered, and did not take this message."""

    reason: str


@dataclass(frozen=True, slots=True)
class Down:
    """The service could not be used at all, so that its other messages need not be tried now."""

    reason: str


Verdict = Sent | Refused | Down

Send = Callable[[Sequence[Pending]], Sequence[Verdict | None]]
"""Tries to send messages, in order; the answer has one verdict for each, ``None`` where it was not tried."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message: ``title`` and ``to`` name it without giving away an address."""

    to: str
    event: Event
    title: str
    verdict: Verdict
    attempts: int


class Outbox:
    """The messages that wait, in a folder of the state directory.

    Args:
        folder: Is created with mode 0700 when the first message comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def enqueue(self, notice: Notice, route: Route) -> bool:
        """Keep ``notice`` for ``route``.

        Returns:
            Whether it was added: not when the route does not ask for its event, and not when the same notice
            already waits there or was delivered.

        Raises:
            Stalled: The folder cannot be read or written.
        """
        if notice.told.isdisjoint(route.on):
            return False
        identity = sha256(f"{route.to}\0{notice.key}\0{notice.occasion}".encode()).hexdigest()[:32]
        waiting = self.pending()
        memory = self._memory()
        if identity in memory.delivered or any(each.id == identity for each in waiting):
            return False
        message = notice.message
        order = max((each.order for each in waiting), default=0) + 1
        entry = Pending(
            id=identity,
            order=order,
            to=route.to,
            event=notice.event,
            key=notice.key,
            at=notice.at,
            title=message.title,
            text=message.text,
            markdown=message.markdown,
            attempts=0,
            not_before=notice.at,
            html=message.html,
        )
        self._make_room(waiting, memory)
        self._store(entry)
        return True

    def pending(self) -> tuple[Pending, ...]:
        """Return what waits, oldest first; an unreadable file is set aside with the suffix ``.bad``.

        Raises:
            Stalled: The folder cannot be read.
        """
        found: list[Pending] = []
        with self._told():
            for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
                if _NAME.fullmatch(path.name) is None:
                    continue
                entry = _read(path)
                if entry is None:
                    path.rename(path.with_suffix(".bad"))
                else:
                    found.append(entry)
        return tuple(found)

    def deliver(self, send: Send, now: datetime) -> tuple[Delivery, ...]:
        """Try to send what is due at ``now`` and return what became of each message that was tried.

        A route is due when one of its messages is; then all of its messages (at most :data:`BATCH`) are
        tried in order until the service is found to be down.

        Raises:
            Stalled: The folder cannot be read or written.
        """
        batch = self._due(now)
        if not batch:
            return ()
        memory = self._memory()
        told = [_with_loss(each, memory.lost) if each is batch[0] else each for each in batch]
        verdicts = send(told)
        results: list[Delivery] = []
        down: dict[str, datetime] = {}
        for entry, verdict in zip(batch, verdicts, strict=True):
            match verdict:
                case Sent():
                    lost = 0 if entry is batch[0] else memory.lost
                    memory = _Memory((*memory.delivered, entry.id)[-REMEMBERED:], lost)
                    # Remembered first: a crash in between sends nothing twice and loses nothing.
                    self._remember(memory)
                    self._remove(entry)
                case Refused(reason):
                    self._store(_failed(entry, reason, now))
                case Down(reason):
                    failed = _failed(entry, reason, now)
                    self._store(failed)
                    down[entry.to] = failed.not_before
                case None:
                    continue
            results.append(Delivery(entry.to, entry.event, entry.title, verdict, entry.attempts + 1))
        self._wait_with(down)
        return tuple(results)

    def _due(self, now: datetime) -> list[Pending]:
        waiting = self.pending()
        # A clock that was set back must not silence a route for longer than the longest pause.
        due = {each.to for each in waiting if not now < each.not_before <= now + LONGEST_RETRY}
        chosen: list[Pending] = []
        for route in sorted(due):
            chosen += [each for each in waiting if each.to == route][:BATCH]
        return chosen

    def _wait_with(self, down: dict[str, datetime]) -> None:
        """Let the untried messages of a service that is down wait as long as the one that was tried."""
        for entry in self.pending():
            until = down.get(entry.to)
            if until is not None and entry.not_before < until:
                self._store(replace(entry, not_before=until))

    def _make_room(self, waiting: tuple[Pending, ...], memory: "_Memory") -> None:
        surplus = len(waiting) - LIMIT + 1
        if surplus <= 0:
            return
        for entry in sorted(waiting, key=lambda each: (_outlasts(each.event), each.order))[:surplus]:
            self._remove(entry)
        self._remember(replace(memory, lost=memory.lost + surplus))

    def _path(self, entry: Pending) -> Path:
        return self._folder / f"{entry.order:012}-{entry.id}.json"

    def _store(self, entry: Pending) -> None:
        self._write(self._path(entry), {**asdict(entry), "at": entry.at, "not_before": entry.not_before})

    def _remember(self, memory: "_Memory") -> None:
        self._write(self._folder / "delivered", asdict(memory))

    def _memory(self) -> "_Memory":
        try:
            read = json.loads((self._folder / "delivered").read_bytes())
            return _Memory(tuple(str(each) for each in read["delivered"]), int(read["lost"]))
        except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
            # Without the memory a message may come twice, which is better than not at all.
            return _Memory((), 0)

    def _remove(self, entry: Pending) -> None:
        with self._told():
            self._path(entry).unlink(missing_ok=True)

    def _write(self, path: Path, content: dict[str, object]) -> None:
        data = json.dumps(content, default=datetime.isoformat, sort_keys=True).encode()
        with self._told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, data)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Stalled(
                f"cannot keep notifications in {self._folder}: {error.strerror}",
                "free space, or give the service the right to read and write there",
            ) from error


@dataclass(frozen=True, slots=True)
class OutboxMessenger:
    """Keeps messages in the outbox and delivers what is due."""

    outbox: Outbox
    send: Send

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[str, ...]:
        """Keep notices for their routes and try to deliver; return what went wrong, in sentences."""
        for route in routes:
            for notice in notices:
                self.outbox.enqueue(notice, route)
        failed: list[str] = []
        for delivery in self.outbox.deliver(self.send, now):
            match delivery.verdict:
                case Down(reason) | Refused(reason):
                    failed.append(f"a notification to {delivery.to} was not delivered: {reason}")
                case Sent():
                    pass
        return tuple(failed)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Identities of what was delivered, oldest first, and how many messages had to be dropped untold."""

    delivered: tuple[str, ...]
    lost: int


def _outlasts(event: Event) -> bool:
    """Say whether messages of this event are kept where the outbox is full of others."""
    match event:
        case (
            Event.FAILED
            | Event.POLICY_REJECTED
            | Event.METADATA_STALE
            | Event.OVERDUE
            | Event.INTERRUPTED
            | Event.RECOVERED
            | Event.OVERRUN
            | Event.CHANGED_OUTSIDE
        ):
            return True
        case (
            Event.APPLIED
            | Event.PLAN_CHANGED
            | Event.NEEDS_APPROVAL
            | Event.ANNOUNCE
            | Event.WINDOW_MISSED
            | Event.REBOOT
            | Event.EXCEPTION_EXPIRING
            | Event.WEEKLY_DIGEST
            | Event.EVERY_RUN
        ):
            return False


def _failed(entry: Pending, reason: str, now: datetime) -> Pending:
    # Capped before the power, since two to the number of attempts soon is no timedelta any more.
    pause = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(entry.attempts, 16))
    return replace(entry, attempts=entry.attempts + 1, not_before=now + pause, reason=reason)


def _with_loss(entry: Pending, lost: int) -> Pending:
    if not lost:
        return entry
    sentence = f"{lost} earlier messages were dropped, since too many waited for delivery."
    return replace(
        entry,
        text=f"{entry.text}\n{sentence}\n",
        markdown=f"{entry.markdown}\n{sentence}\n",
        html=entry.html.replace("<body>", f"<body><p>{sentence}</p>", 1),
    )


def _read(path: Path) -> Pending | None:
    """Return the message in ``path``, ``None`` where it is not one of ours."""
    try:
        read = json.loads(path.read_bytes())
        entry = Pending(
            **{
                **read,
                "event": Event(read["event"]),
                "at": datetime.fromisoformat(read["at"]),
                "not_before": datetime.fromisoformat(read["not_before"]),
            }
        )
        # The name is what a later unlink relies on.
        is_ours = _is_whole(entry) and path.name == f"{entry.order:012}-{entry.id}.json"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return entry if is_ours else None


def _is_whole(entry: Pending) -> bool:
    texts = (entry.id, entry.to, entry.key, entry.title, entry.text, entry.markdown, entry.reason, entry.html)
    numbers, instants = (entry.order, entry.attempts), (entry.at, entry.not_before)
    return (
        all(type(text) is str for text in texts)
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(instant.tzinfo is not None for instant in instants)
    )
