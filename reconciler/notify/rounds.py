"""One delivery of the messages of one route: which of them is tried when, and what becomes of it."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.errors import Stalled
from reconciler.notify.entries import Courier, Down, Gone, Later, Pending, Refused, Sent, Verdict
from reconciler.notify.folder import Folder
from reconciler.notify.memory import again
from reconciler.planning.notices.events import Event
from reconciler.records import dataclass

BATCH = 20
"""Messages that are tried for one receiver in one delivery."""
TRIES = 3
"""How often a message is tried that is refused for good."""
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=6)
REFUSED_RETRY = timedelta(hours=1)
"""What lies between the second and the last try of a message that is refused for good."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message for one receiver; nothing of it gives away an address.

    Attributes:
        place: Which receiver of several, such as ``receiver 2 of 3``; empty where there is one.
        is_over: The message will not be tried again.
    """

    to: str
    event: Event
    title: str
    verdict: Verdict
    attempts: int
    place: str = ""
    is_over: bool = False


class Round:
    """One delivery of one route.

    Args:
        folder: Where the messages lie.
        courier: Sends them.
        now: When.
        waiting: All messages of the route, oldest first.
    """

    def __init__(self, folder: Folder, courier: Courier, now: datetime, waiting: Sequence[Pending]) -> None:
        self._folder = folder
        self._courier = courier
        self._now = now
        self._waiting = list(waiting)
        self._to = self._waiting[0].to
        self._receivers: tuple[str, ...] = ()
        self._held: dict[
            str, datetime
        ] = {}  # receivers that take no more, and until when they are left alone
        self._tried = Counter[str]()  # messages by receiver
        self._is_over = False
        self._done: list[Delivery] = []

    def made(self) -> list[Delivery]:
        """Make it, and return what became of each message that was tried.

        Raises:
            Stalled: The folder cannot be written; what was sent before is remembered.
        """
        found = self._courier.receivers(self._to)
        if isinstance(found, Down):
            until = self._pause(self._waiting[0])
            self._failed(self._waiting[0], found)
            self._let_wait({each.receiver: until for each in self._waiting})
            return self._done
        self._receivers = found
        self._forget_others()
        # Whoever failed before comes last, so that one that hangs for long keeps nobody from hearing.
        failing = {each.receiver for each in self._waiting if each.attempts}
        for is_last in (False, True):
            for entry in list(self._waiting):
                for part in self._parts(entry, failing, is_last=is_last):
                    if self._may_try(part.receiver):
                        self._try(part)
        self._let_wait(self._held)
        return self._done

    def _may_try(self, receiver: str) -> bool:
        return not self._is_over and receiver not in self._held and self._tried[receiver] < BATCH

    def _parts(self, entry: Pending, failing: set[str], *, is_last: bool) -> list[Pending]:
        """Return what is to be tried of a message, after making one for each receiver out of it."""
        if self._is_over:
            return []
        parts = [entry]
        if not entry.receiver and len(self._receivers) > 1:
            turn = (each for each in self._receivers if (each in failing) is is_last)
            if not any(map(self._may_try, turn)):
                return []
            parts = self._folder.split(entry, self._receivers)
            place = self._waiting.index(entry)
            self._waiting[place : place + 1] = parts
        return [each for each in parts if (each.receiver in failing) is is_last and self._is_due(each)]

    def _is_due(self, entry: Pending) -> bool:
        """Say whether its receiver is to be asked; what was refused for good waits for its own time."""
        if entry.refusals:
            return is_due(entry, self._now)
        same = (each for each in self._waiting if each.receiver in {entry.receiver, ""})
        return any(is_due(each, self._now) for each in same)

    def _try(self, entry: Pending) -> None:
        lost = self._folder.lost()
        verdict = self._courier.send(_with_loss(entry, lost))
        self._tried[entry.receiver] += 1
        match verdict:
            case Sent() | Gone():
                self._over(entry)
                if lost and isinstance(verdict, Sent):
                    with contextlib.suppress(Stalled):
                        self._folder.set_lost(0)
                self._folder.refusals.forget(entry.to, entry.receiver)
                self._note(entry, verdict, is_over=True)
            case Refused(reason):
                self._refuse(entry, reason)
            case Later(_, holds):
                self._failed(entry, verdict)
                if holds:
                    self._held[entry.receiver] = self._pause(entry)
            case Down():
                self._failed(entry, verdict)
                self._is_over = True
                self._held |= {each.receiver: self._pause(entry) for each in self._waiting}
            case None:
                self._is_over = True

    def _over(self, entry: Pending) -> None:
        """Remember it first, so that a crash in between repeats nothing; its removal is memory enough."""
        with contextlib.suppress(Stalled):
            self._folder.remember(entry)
        self._folder.remove(entry.file)
        self._waiting.remove(entry)

    def _refuse(self, entry: Pending, reason: str) -> None:
        known = {(each.to, each.receiver) for each in self._folder.refusals.all()}
        is_over = entry.refusals + 1 >= TRIES or (entry.to, entry.receiver) in known
        if is_over:
            self._folder.refusals.add(entry, self._place(entry), reason, self._now)
            self._over(entry)
        else:
            pause = REFUSED_RETRY if entry.refusals else FIRST_RETRY
            self._keep(entry, again(entry, reason, self._now + pause, is_refused=True))
        self._note(entry, Refused(reason), is_over=is_over)

    def _failed(self, entry: Pending, verdict: Later | Down) -> None:
        self._keep(entry, again(entry, verdict.reason, self._pause(entry), is_refused=False))
        self._note(entry, verdict)

    def _keep(self, entry: Pending, changed: Pending) -> None:
        """Store how it stands; where the disk is full it is tried once more than it should be."""
        with contextlib.suppress(Stalled):
            self._folder.store(changed)
        self._waiting[self._waiting.index(entry)] = changed

    def _let_wait(self, until: dict[str, datetime]) -> None:
        """Let what was not tried wait as long as what was, where it would have met the same."""
        for entry in list(self._waiting):
            instant = until.get(entry.receiver)
            if instant is not None and entry.not_before < instant:
                self._keep(entry, replace(entry, not_before=instant))

    def _forget_others(self) -> None:
        """Forget who refused messages and is not named by the address any more."""
        known = set(self._receivers) if len(self._receivers) > 1 else {""}
        for each in self._folder.refusals.all():
            if each.to == self._to and each.receiver not in known:
                self._folder.refusals.forget(each.to, each.receiver)

    def _pause(self, entry: Pending) -> datetime:
        # Capped before the power, since two to the number of attempts soon is no timedelta any more.
        return self._now + min(LONGEST_RETRY, FIRST_RETRY * (1 << min(entry.attempts, 16)))

    def _place(self, entry: Pending) -> str:
        if entry.receiver not in self._receivers:
            return ""
        return f"receiver {self._receivers.index(entry.receiver) + 1} of {len(self._receivers)}"

    def _note(self, entry: Pending, verdict: Verdict, *, is_over: bool = False) -> None:
        attempts, place = entry.attempts + 1, self._place(entry)
        self._done.append(Delivery(entry.to, entry.event, entry.title, verdict, attempts, place, is_over))


def is_due(entry: Pending, now: datetime) -> bool:
    """Say whether a message is to be tried at ``now``."""
    # A clock that was set back must not silence a route for longer than the longest pause.
    return not now < entry.not_before <= now + LONGEST_RETRY


def _with_loss(entry: Pending, lost: int) -> Pending:
    if not lost:
        return entry
    sentence = f"{lost} earlier messages were dropped, since too many waited for delivery."
    return replace(
        entry,
        text=f"{entry.text}\n{sentence}\n",
        markdown=f"{entry.markdown}\n{sentence}\n",
        html=entry.html.replace("<body>", f"<body><p>{sentence}</p>", 1),
        shorter=tuple((f"{text}\n{sentence}\n", f"{md}\n{sentence}\n") for text, md in entry.shorter),
    )
