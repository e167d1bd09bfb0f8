"""Messages that wait for delivery: one file each, kept until its receiver has taken it.

The rules:

- A message is a file before anybody tries to send it, and remains one until it is delivered.
- Where an address names several receivers, each has a file of its own from the first attempt on, so that what
  one of them answers is no matter of the others.
- What became of one message is on the disk before the next one is begun, and nothing is sent that could not
  be remembered.
- The same notice for the same route is kept and sent once, also when a crash makes it be noticed again.
- A service that is down is asked again after 1, 2, 4, ... minutes, at last every 6 hours; a new message asks
  at once. Messages of one receiver keep their order.
- A receiver that refuses a message for good is asked :data:`TRIES` times, and once for each later message
  until it takes one; then the message is given up, and that is told.
- The files name a route and digests, never an address.
- The outbox is bounded: beyond :data:`LIMIT` messages the oldest that tell of no trouble go first; the loss
  is counted and told with the next message that gets through.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from reconciler.errors import Stalled
from reconciler.notify.entries import Down, Gone, Later, Pending, Refused, Send, Sent
from reconciler.notify.folder import MESSAGE, Folder
from reconciler.notify.memory import GivenUp
from reconciler.notify.rounds import BATCH, TRIES, Delivery, Round, is_due
from reconciler.planning.notices.events import Event, Notice, Route, Untold
from reconciler.reconcile.ports.reports import with_room
from reconciler.records import dataclass

LIMIT = 200
"""Messages kept at a time."""

__all__ = ["BATCH", "LIMIT", "TRIES", "Outbox", "OutboxMessenger"]


class Outbox:
    """The messages that wait, in a folder of the state directory.

    Args:
        folder: Is created with mode 0700 when the first message comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._minor: dict[str, bool] = {}  # by the name of a file: whether it tells of no trouble

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
        identity = _identity(notice, route)
        waiting = self._folder.names()
        # Of several receivers some may have it while others wait for it.
        known = (*self._folder.told(), *(name[13:] for name in waiting))
        if any(name.startswith(identity) for name in known):
            return False
        order = max((int(name[:12]) for name in waiting), default=0) + 1
        self._make_room(waiting)
        self._folder.prepare()
        self._folder.store(_entry(notice, route, identity, order))
        return True

    def hold_reserve(self) -> None:
        """Hold some room on the disk back for the message that it is full."""
        self._folder.hold_reserve()

    def use_reserve(self) -> bool:
        """Give that room back; return whether there was any."""
        return self._folder.use_reserve()

    def withdraw(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        """Take back what was kept and not sent, since it could not be remembered that it was told.

        Raises:
            Stalled: The folder cannot be read or written.
        """
        identities = {_identity(notice, route) for notice in notices for route in routes}
        for name in self._folder.names():
            if name[13:MESSAGE] in identities:
                self._folder.remove(name)

    def pending(self) -> tuple[Pending, ...]:
        """Return what waits, oldest first; an unreadable file is set aside with the suffix ``.bad``.

        Raises:
            Stalled: The folder cannot be read.
        """
        return self._folder.entries()

    def refused(self, now: datetime | None = None) -> tuple[GivenUp, ...]:
        """Return which receivers refused messages for good and have taken none since."""
        return self._folder.refusals.all(now)

    def takes_again(self, to: str) -> None:
        """Forget that receivers of a notifier refused messages: they were seen to take one."""
        self._folder.refusals.forget(to, None)

    def complaints(self, now: datetime) -> tuple[str, ...]:
        """Return what people should know of messages that will never arrive, in sentences."""
        said = [each.sentence for each in self.refused(now)]
        unreadable = self._folder.unreadable()
        if unreadable:
            what = "1 message" if unreadable == 1 else f"{unreadable} messages"
            said.append(f"{what} could not be read and will not be sent: outbox/*.bad of the state folder")
        return tuple(said)

    def deliver(self, send: Send, now: datetime) -> tuple[Delivery, ...]:
        """Try to send what is due at ``now`` and return what became of each message that was tried.

        A receiver is due when one of its messages is; then its messages (at most :data:`BATCH`) are tried in
        order, until it, or its service, takes no more.

        Raises:
            Stalled: The folder cannot be read or written; what was sent before is remembered.
        """
        self._folder.refusals.forget_old(now)
        waiting = self._undelivered()
        routes = sorted({each.to for each in waiting if is_due(each, now)})
        if not routes:
            return ()
        done: list[Delivery] = []
        troubles: list[Stalled] = []
        with send() as courier:
            for to in routes:
                mine = [each for each in waiting if each.to == to]
                try:
                    done += Round(self._folder, courier, now, mine).made()
                except Stalled as trouble:
                    troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return tuple(done)

    def _undelivered(self) -> tuple[Pending, ...]:
        """Return what waits; what a crash left although it is remembered as delivered is removed."""
        told = self._folder.told()
        waiting = []
        for entry in self._folder.entries():
            if entry.name in told:
                self._folder.remove(entry.file)
            else:
                waiting.append(entry)
        return tuple(waiting)

    def _make_room(self, waiting: Sequence[str]) -> None:
        surplus = len({name[:MESSAGE] for name in waiting}) - LIMIT + 1
        if surplus <= 0:
            return
        for name in waiting:
            if name not in self._minor:
                entry = self._folder.entry(name)
                self._minor[name] = entry is None or not _outlasts(entry.event)
        messages = sorted({(not self._minor[name], name[:MESSAGE]) for name in waiting})[:surplus]
        dropped = {message for _, message in messages}
        for name in waiting:
            if name[:MESSAGE] in dropped:
                self._folder.remove(name)
                self._minor.pop(name)
        self._folder.set_lost(self._folder.lost() + len(dropped))


@dataclass(frozen=True, slots=True)
class OutboxMessenger:
    """Keeps messages in the outbox and delivers what is due."""

    outbox: Outbox
    send: Send

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[Untold, ...]:
        """Keep notices for their routes and try to deliver; return what went wrong."""
        self.keep(notices, routes)
        return self.deliver(now)

    def keep(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        """Keep notices for their routes, all or none; where the disk is full, in the room held back."""
        if routes:
            self.outbox.hold_reserve()
        try:
            with_room(partial(self._keep, notices, routes), self.make_room)
        except Stalled:
            self.withdraw(notices, routes)
            raise

    def _keep(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        for route in routes:
            for notice in notices:
                self.outbox.enqueue(notice, route)

    def make_room(self) -> bool:
        """Give back the room that was held back for telling of a full disk; return whether there was any."""
        return self.outbox.use_reserve()

    def withdraw(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        """Take back what was kept and not sent."""
        self.outbox.withdraw(notices, routes)

    def deliver(self, now: datetime) -> tuple[Untold, ...]:
        """Try to deliver what is due; return what went wrong."""
        return tuple(_untold(self.outbox.deliver(self.send, now)))


def _untold(deliveries: Sequence[Delivery]) -> Iterator[Untold]:
    for delivery in deliveries:
        match delivery.verdict:
            case Down(reason) | Later(reason) | Refused(reason):
                who = f"{delivery.to} ({delivery.place})" if delivery.place else delivery.to
                is_refused = isinstance(delivery.verdict, Refused)
                yield Untold(f"a notification to {who} was not delivered: {reason}", is_refused=is_refused)
            case Sent() | Gone():
                pass


def _identity(notice: Notice, route: Route) -> str:
    return sha256(f"{route.to}\0{notice.key}\0{notice.occasion}".encode()).hexdigest()[:32]


def _entry(notice: Notice, route: Route, identity: str, order: int) -> Pending:
    message = notice.message
    return Pending(
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
        incident=notice.incident,
        closes=notice.closes,
        opens=notice.opens,
        shorter=tuple((each.text, each.markdown) for each in message.shorter),
    )


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
