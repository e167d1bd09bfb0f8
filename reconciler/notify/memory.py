"""What the outbox remembers beside its messages: what was delivered, what was refused for good.

What was delivered is written over a file that has its full size from the beginning, so that a full disk
cannot make it forgotten: a message is sent only where it can be remembered.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.durable import replace_file, sync_folder
from reconciler.notify.entries import Pending
from reconciler.records import dataclass

SLOTS = 1000
"""Delivered messages whose identity is remembered."""
REFUSED = "refused"
"""The file that tells of messages that were given up."""
_TOLD = "told"
_BEFORE = "delivered"  # what versions before this one kept; its identities still count
_KEPT = 50  # receivers that are told of
_TELLS_FOR = timedelta(days=30)
_SLOT = re.compile(rb"(\d{10}) ([0-9a-f-]{1,49}) *\n")
_WIDTH = 61  # ten digits, a space, 49 characters and a line feed


class Told:
    """The identities of delivered messages, in a file of fixed size.

    Args:
        folder: Of the outbox.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _TOLD
        self._before = folder / _BEFORE

    def prepare(self) -> None:
        """Make the file where it is not there, with all the room that it will ever need.

        Raises:
            OSError: The file system refuses.
        """
        if not self._path.exists():
            replace_file(self._path, b" " * (_WIDTH * SLOTS))

    def names(self) -> frozenset[str]:
        """Return what was delivered; without a readable file nothing, so that a message may come twice."""
        found = {name for _, name in self._slots().values()}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            found.update(str(each) for each in json.loads(self._before.read_bytes())["delivered"])
        return frozenset(found)

    def add(self, name: str) -> None:
        """Remember ``name`` for good, in the place of the oldest; it needs no room on the disk.

        Raises:
            OSError: The file system refuses.
        """
        self.prepare()
        last, slot = max(((number, slot) for slot, (number, _) in self._slots().items()), default=(0, -1))
        record = f"{(last + 1) % 10**10:010} {name:<49}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pwrite(descriptor, record, (slot + 1) % SLOTS * _WIDTH)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _slots(self) -> dict[int, tuple[int, str]]:
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        found = {}
        for slot in range(min(SLOTS, len(data) // _WIDTH)):
            read = _SLOT.fullmatch(data, slot * _WIDTH, (slot + 1) * _WIDTH)
            if read is not None:
                found[slot] = (int(read[1]), read[2].decode())
        return found


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A receiver that refused messages for good, and took none since.

    Attributes:
        to: Name of the notifier.
        receiver: Which receiver of its address, empty where that has one.
        place: The same for people, such as ``receiver 2 of 3``; empty where there is one.
        since: When the first of them was given up.
        last: When the last one was.
        count: How many messages it did not take.
        title: Of the last one.
        reason: Why it did not take that.
    """

    to: str
    receiver: str
    place: str
    since: str
    last: str
    count: int
    title: str
    reason: str

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        who = f"{self.to} ({self.place})" if self.place else self.to
        number = "a message" if self.count == 1 else f"{self.count} messages"
        return f"{number} to {who} given up since {self.since[:10]}: {self.reason}"


class Refusals:
    """The file of what was given up.

    Args:
        folder: Of the outbox.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / REFUSED

    def all(self, now: datetime | None = None) -> tuple[GivenUp, ...]:
        """Return who refuses; what is older than a month at ``now`` is not told any more."""
        try:
            read = json.loads(self._path.read_bytes())
            found = tuple(GivenUp(**each) for each in read["refused"])
            oldest = "" if now is None else (now - _TELLS_FOR).isoformat()
            return tuple(each for each in found if each.last > oldest and each.sentence)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ()

    def add(self, entry: Pending, place: str, reason: str, now: datetime) -> None:
        """Remember that ``entry`` was given up, as far as the disk lets us."""
        at = now.isoformat(timespec="seconds")
        found = {(each.to, each.receiver): each for each in self.all()}
        known = found.pop((entry.to, entry.receiver), None)
        since, count = (at, 0) if known is None else (known.since, known.count)
        new = GivenUp(entry.to, entry.receiver, place, since, at, count + 1, entry.title, reason)
        self._write((*found.values(), new))

    def forget_old(self, now: datetime) -> None:
        """Forget what is not told any more, for those who read the file alone."""
        kept = self.all(now)
        if len(kept) != len(self.all()):
            self._write(kept)

    def forget(self, to: str, receiver: str | None) -> None:
        """Forget one receiver, or with ``None`` all receivers of a notifier: it takes messages again."""
        found = self.all()
        kept = [each for each in found if each.to != to or receiver not in {None, each.receiver}]
        if len(kept) != len(found):
            self._write(kept)

    def _write(self, found: Iterable[GivenUp]) -> None:
        kept = sorted(found, key=lambda each: each.last)[-_KEPT:]
        with contextlib.suppress(OSError):
            if not kept:
                self._path.unlink(missing_ok=True)
                sync_folder(self._path.parent)
            else:
                # The sentences, too, for `status`, which imports next to nothing.
                said = [each.sentence for each in kept]
                data = json.dumps({"refused": [asdict(each) for each in kept], "said": said}, sort_keys=True)
                replace_file(self._path, data.encode())


@dataclass(frozen=True, slots=True)
class Losses:
    """How many messages had to be dropped untold.

    Attributes:
        folder: Of the outbox.
    """

    folder: Path

    def count(self) -> int:
        """Return their number; 0 where nothing tells."""
        for name in ("lost", _BEFORE):
            with contextlib.suppress(OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
                return max(0, int(json.loads((self.folder / name).read_bytes())["lost"]))
        return 0

    def set(self, number: int) -> None:
        """Remember another number.

        Raises:
            OSError: The file system refuses.
        """
        if number != self.count():
            replace_file(self.folder / "lost", json.dumps({"lost": number}).encode())


def again(entry: Pending, reason: str, not_before: datetime, *, is_refused: bool) -> Pending:
    """Return ``entry`` after an attempt that failed."""
    refusals = entry.refusals + is_refused
    return replace(
        entry, attempts=entry.attempts + 1, not_before=not_before, reason=reason, refusals=refusals
    )
