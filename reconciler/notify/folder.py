"""The files of the outbox: what is stored, removed and remembered, each step durable."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.durable import replace_file
from reconciler.errors import Stalled
from reconciler.notify.entries import NAME, Pending, read_entry, write_entry
from reconciler.notify.memory import Losses, Refusals, Told

MESSAGE = 45
"""Characters of a file's name that are the same for all receivers of a message."""
_UNREADABLE_KEPT = 20
_RESERVE = 256 * 1024  # bytes: a message, and what is remembered of it
_ENOUGH = 64 * _RESERVE


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


class Folder:
    """The folder of an outbox; every failure of the file system is a :class:`Stalled`.

    Args:
        path: Is created with mode 0700 when there is something to keep.

    Attributes:
        refusals: Who refused messages for good.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = path / "reserve"
        self._told = Told(path)
        self._losses = Losses(path)
        self.refusals = Refusals(path)

    def names(self) -> list[str]:
        """Return the names of the files that hold messages, oldest first."""
        with self.reached():
            found = self._path.iterdir() if self._path.is_dir() else ()
            return sorted(path.name for path in found if NAME.fullmatch(path.name))

    def entries(self) -> tuple[Pending, ...]:
        """Return what waits, oldest first; what cannot be read is set aside with the suffix ``.bad``."""
        found: list[Pending] = []
        for name in self.names():
            path = self._path / name
            entry = read_entry(path)
            if entry is not None:
                found.append(entry)
                continue
            with self.reached():
                path.rename(path.with_suffix(".bad"))
                self._drop_unreadable()
        return tuple(found)

    def entry(self, name: str) -> Pending | None:
        """Return the message of one file, ``None`` where it is not one of ours."""
        return read_entry(self._path / name)

    def unreadable(self) -> int:
        """Count the files that were set aside."""
        with contextlib.suppress(OSError):
            return sum(path.suffix == ".bad" for path in self._path.iterdir())
        return 0

    def prepare(self) -> None:
        """Make the folder, and the room to remember what is delivered from it."""
        with self.reached():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._told.prepare()

    def hold_reserve(self) -> None:
        """Hold some room back while there is enough, so that a full disk can be told of."""
        with contextlib.suppress(OSError):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            room = os.statvfs(self._path)
            if self._reserve.exists() or room.f_bavail * room.f_frsize < _ENOUGH:
                return
            with open(self._reserve, "wb", opener=_private) as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE)

    def use_reserve(self) -> bool:
        """Give back what was held back; return whether there was anything."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()
            return True
        return False

    def store(self, entry: Pending) -> None:
        """Write a message, whole or not at all."""
        with self.reached():
            replace_file(self._path / entry.file, write_entry(entry))

    def split(self, entry: Pending, receivers: Sequence[str]) -> list[Pending]:
        """Make a message of its own for each receiver out of one for all; a crash leaves that one.

        Returns:
            Those that are new: where a crash left that one, some may have theirs, or the message itself.
        """
        told, there = self.told(), frozenset(self.names())
        parts = [replace(entry, receiver=each) for each in receivers]
        parts = [one for one in parts if one.name not in told and one.file not in there]
        for part in parts:
            self.store(part)
        self.remove(entry.file)
        return parts

    def remove(self, name: str) -> None:
        """Remove the file of a message."""
        with self.reached():
            (self._path / name).unlink(missing_ok=True)

    def remember(self, entry: Pending) -> None:
        """Remember that a message was delivered."""
        with self.reached():
            self._told.add(entry.name)

    def told(self) -> frozenset[str]:
        """Return the names of what was delivered."""
        return self._told.names()

    def lost(self) -> int:
        """Return how many messages were dropped, and nobody was told."""
        return self._losses.count()

    def set_lost(self, number: int) -> None:
        """Remember another number of them."""
        with self.reached():
            self._losses.set(number)

    def _drop_unreadable(self) -> None:
        found = sorted(path for path in self._path.iterdir() if path.suffix == ".bad")
        for path in found[:-_UNREADABLE_KEPT]:
            if not path.is_dir():
                path.unlink()

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Make a failure of the file system one that people understand.

        Raises:
            Stalled: Instead of an OSError.
        """
        try:
            yield
        except OSError as error:
            raise Stalled(
                f"cannot keep notifications in {self._path}: {error.strerror}",
                "free space, or give the service the right to read and write there",
            ) from error
