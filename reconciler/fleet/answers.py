"""What audits found out of each target: kept from one audit to the next, and held on disk, not in memory."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, overload
from weakref import finalize

from pydantic import TypeAdapter

from reconciler.durable import replace_file
from reconciler.planning.audit.verdicts import TargetAudit


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


class TargetAudits(Sequence[TargetAudit]):
    """What was found out of each target, in a file without a name that ends with this.

    A quarter of a thousand hosts are millions of changes: a gigabyte, if all were in memory at once.

    Args:
        folder: On whose file system it is.

    Raises:
        OSError: The file system refuses, here and by all that is asked of it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - ends with this
        finalize(self, self._file.close)
        self._found: tuple[Found, ...] = ()

    def add(self, told: TargetAudit) -> Found:
        """Hold what was found out of one, and return where; :meth:`of` says which ones count."""
        held = _adapter().dump_json(told)
        at = self._file.seek(0, 2)
        self._file.write(held)
        return Found(told.target, told.remote, at, len(held))

    def of(self, found: Iterable[Found]) -> "TargetAudits":
        """Take these for all that was found out, and return this."""
        self._found = tuple(sorted(found))
        self._file.flush()
        return self

    def __len__(self) -> int:
        """Return how many targets there are."""
        return len(self._found)

    @overload
    def __getitem__(self, which: int) -> TargetAudit: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[TargetAudit]: ...
    def __getitem__(self, which: int | slice) -> TargetAudit | Sequence[TargetAudit]:
        """Return one target, read anew, or some."""
        if isinstance(which, slice):
            return [self._read(one) for one in self._found[which]]
        return self._read(self._found[which])

    def _read(self, one: Found) -> TargetAudit:
        self._file.seek(one.at)
        return _adapter().validate_json(self._file.read(one.length))


def _seal(held: bytes) -> bytes:
    """Return what an answer begins with: of one that is damaged anywhere it is another."""
    return hashlib.sha256(held).hexdigest().encode()


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[TargetAudit]:
    return TypeAdapter(TargetAudit)
