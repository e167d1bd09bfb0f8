"""What audits found out of each target: kept from one audit to the next, and held on disk, not in memory."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, TypeVar, overload
from weakref import finalize

from pydantic import TypeAdapter

from reconciler.durable import replace_file
from reconciler.planning.audit.verdicts import TargetAudit

_Item = TypeVar("_Item")


class Answers:
    """What was found out before of each branch, a file each, which begins with its digest.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()
        folder.mkdir(mode=0o700, exist_ok=True)

    def get(self, key: Sequence[str]) -> TargetAudit | None:
        """Return what was found out; ``None`` where it was not, or what it rests on is another."""
        try:
            told, _, held = self._path(key).read_bytes().partition(b"\n")
            return _adapter().validate_json(held) if told == _seal(held) else None
        except (OSError, ValueError):
            return None

    def put(self, key: Sequence[str], found: TargetAudit) -> None:
        """Keep what was found out, so that an audit that is ended goes on from there."""
        held = _adapter().dump_json(found)
        replace_file(self._path(key), _seal(held) + b"\n" + held)

    def forget_others(self) -> None:
        """Forget what nobody asked for this time."""
        for one in self._folder.iterdir():
            if one.name not in self._used:
                one.unlink(missing_ok=True)

    def _path(self, key: Sequence[str]) -> Path:
        name = f"{hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()}.json"
        self._used.add(name)
        return self._folder / name


class Found(NamedTuple):
    """Where it is held what was found out of a target: in the order of these, targets are told."""

    target: str
    remote: str
    at: int
    length: int


class OnDemand(Sequence[_Item]):
    """A sequence whose items are made when they are asked for, and kept by nobody.

    Args:
        length: How many there are.
        make: Makes one, by its place.
    """

    def __init__(self, length: int, make: Callable[[int], _Item]) -> None:
        self._places = range(length)
        self._make = make

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    @overload
    def __getitem__(self, which: int) -> _Item: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[_Item]: ...
    def __getitem__(self, which: int | slice) -> _Item | Sequence[_Item]:
        """Return one, made anew, or some."""
        if isinstance(which, slice):
            return [self._make(place) for place in self._places[which]]
        return self._make(self._places[which])


class Findings:
    """What is found out of each target, in a file without a name, which ends with the last that reads it.

    A quarter of a thousand hosts are millions of changes: a gigabyte, if all were in memory at once.

    Args:
        folder: On whose file system it is.

    Raises:
        OSError: The file system refuses, here and by all that is asked of it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - ends with this
        finalize(self, _close, self._file)

    def add(self, told: TargetAudit) -> Found:
        """Hold what was found out of one, and return where."""
        held = _adapter().dump_json(told)
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(held)
        return Found(told.target, told.remote, at, len(held))

    def of(self, found: Iterable[Found]) -> Sequence[TargetAudit]:
        """Return what was found out of these, sorted by name; each is read when it is asked for."""
        places = sorted(found)
        self._file.flush()
        return OnDemand(len(places), lambda number: self._read(places[number]))

    def _read(self, one: Found) -> TargetAudit:
        self._file.seek(one.at)
        return _adapter().validate_json(self._file.read(one.length))


def _close(file: IO[bytes]) -> None:
    """Close it, with what a full disk did not take: whoever added that was told."""
    with contextlib.suppress(OSError):
        file.close()


def _seal(held: bytes) -> bytes:
    """Return what an answer begins with: of one that is damaged anywhere it is another."""
    return hashlib.sha256(held).hexdigest().encode()


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[TargetAudit]:
    return TypeAdapter(TargetAudit)
