"""What a hypervisor's tick tells of its guests and itself is kept until its end, and told together.

It is kept in a file: a tick that is killed has remembered it as told, and the next one tells it. Where the
file is damaged, that is said, and it is kept beside.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import field, replace
from datetime import datetime
from functools import cache, partial

from pydantic import TypeAdapter

from reconciler.cli.wiring.compose import GuestsTold, Wiring
from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.host.state.folder import TELLING, TargetFolder
from reconciler.host.state.memory import is_zoned
from reconciler.planning.facts.guest_rows import GuestOutcome
from reconciler.planning.notices.events import Event, Notice, Route, Untold
from reconciler.planning.notices.together import Gathered, Heard, settled, told_together
from reconciler.reconcile.ports.reports import Messenger, with_room
from reconciler.records import dataclass

_EVERY = frozenset(Event)


@dataclass(slots=True)
class Together:
    """Keeps what is told while a tick is at work; several guests may tell at a time.

    Attributes:
        folder: Of the hypervisor.
        messenger: Delivers it in the end.
        home: Id of the hypervisor.
    """

    folder: TargetFolder
    messenger: Messenger
    home: str
    _gathered: Gathered = field(default_factory=Gathered)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wrong: list[ReconcilerError] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            data = self.folder.read(TELLING)
        except ReconcilerError as error:
            self._wrong.append(error)
            return
        try:
            self._gathered = Gathered() if data is None else _read(data)
        except ValueError:
            self._wrong.append(self._set_aside(data or b""))

    @property
    def is_left(self) -> bool:
        """Whether an earlier tick kept what it did not come to tell."""
        return bool(self._gathered.fresh)

    @property
    def until(self) -> datetime | None:
        """When a tick is to tell what is held back, ``None`` where nothing is."""
        return self._gathered.until

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[Untold, ...]:
        """Keep notices for the end of the tick.

        Raises:
            Stalled: They cannot be written down.
        """
        del now
        self.keep(notices, routes)
        return ()

    def keep(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        """Keep notices for the end of the tick.

        Raises:
            Stalled: They cannot be written down.
        """
        if notices and routes:
            with self._lock:
                heard = (Heard(notice, tuple(routes)) for notice in notices)
                self._keep(replace(self._gathered, fresh=(*self._gathered.fresh, *heard)))

    def withdraw(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        """Take back what was kept.

        Raises:
            Stalled: That cannot be written down.
        """
        with self._lock:
            back = [Heard(notice, tuple(routes)) for notice in notices]
            self._keep(
                replace(self._gathered, fresh=tuple(one for one in self._gathered.fresh if one not in back))
            )

    def make_room(self) -> bool:
        """Give back what room on the disk was held back, as of the messenger that delivers in the end."""
        return self.messenger.make_room()

    def deliver(self, now: datetime) -> tuple[Untold, ...]:
        """Deliver nothing before the end of the tick."""
        del now
        return ()

    def end(self, now: datetime, looked_after: Collection[str] | None = None) -> Iterator[ReconcilerError]:
        """Tell all of it, and yield what went wrong with that; it never ends a tick.

        Args:
            now: Aware.
            looked_after: As of :func:`reconciler.planning.notices.together.settled`.
        """
        wrong, self._wrong = self._wrong, []
        yield from wrong
        try:
            with self._lock:
                told, after = settled(self._gathered, now, looked_after)
                complaints = [
                    one
                    for name, notices in told_together(self.home, told)
                    for one in self.messenger.tell(notices, (Route(name, _EVERY),), now)
                ]
                # Whoever is killed before this tells the same once more, which the outbox knows.
                self._keep(after)
                complaints += self.messenger.tell((), (), now)
        except ReconcilerError as error:
            yield error
            return
        for complaint in dict.fromkeys(complaints):
            if not complaint.is_refused:  # that is said by the report, and by no exit code
                yield Transient(complaint.sentence, "look at the notifier")

    def forget(self) -> None:
        """Remove the file where nothing is kept, since nobody has guests any more."""
        if self._gathered == Gathered():
            (self.folder.path / TELLING).unlink(missing_ok=True)

    def _set_aside(self, data: bytes) -> ReconcilerError:
        """Begin anew, keep what cannot be understood, and return what is wrong."""
        said = f"{self.folder.path / TELLING} is damaged: a message that no tick came to send is lost"
        hint = "look at the reports, which have all"
        try:
            aside = self.folder.set_aside(TELLING, data)
            self.folder.write(TELLING, _gathereds().dump_json(Gathered()))
        except ReconcilerError as error:
            return Stalled(f"{said}, and it cannot be kept aside: {error.message}", hint)
        return Stalled(f"{said}; it is kept as {aside}", hint)

    def _keep(self, gathered: Gathered) -> None:
        if gathered != self._gathered:
            data = _gathereds().dump_json(gathered)
            with_room(partial(self.folder.write, TELLING, data), self.make_room)
            self._gathered = gathered


def together(wiring: Wiring) -> tuple[Wiring, Together]:
    """Return a hypervisor whose messages wait for the end of a tick, and what ends it.

    What an earlier tick did not come to tell goes out first, as it would have then.
    """
    reporter = wiring.ticker.reporter
    kept = Together(wiring.folder, reporter.messenger, wiring.config.host)

    def part() -> None:
        tuple(kept.end(wiring.ticker.applier.clock.now()))

    if kept.is_left:
        part()
    ticker = replace(wiring.ticker, reporter=replace(reporter, messenger=kept), parting=part)
    return replace(wiring, ticker=ticker), kept


_NOT_LOOKED_AFTER = {GuestOutcome.SKIPPED, GuestOutcome.UNSUPPORTED, GuestOutcome.GONE}


def looked_after(home: str, told: GuestsTold) -> frozenset[str] | None:
    """Return the targets that a tick looked after, ``None`` where it did not come to look.

    Args:
        home: Id of the hypervisor.
        told: What its report says of its guests.
    """
    if any(row.outcome is GuestOutcome.NOT_LOOKED_AT for row in told.rows):
        return None
    return frozenset(
        (home, *(f"{home}/{row.id}" for row in told.rows if row.outcome not in _NOT_LOOKED_AFTER))
    )


@cache
def _gathereds() -> TypeAdapter[Gathered]:
    return TypeAdapter(Gathered)


def _read(data: bytes) -> Gathered:
    """Read what was kept.

    Raises:
        ValueError: It is of another version, or damaged.
    """
    kept = _gathereds().validate_json(data)
    if not is_zoned(kept):
        raise ValueError("an instant has no zone")
    return kept
