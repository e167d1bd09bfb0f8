"""A record and a log of each run, in ``log_dir``: for people on the host, bounded by count and age.

A run's files are ``<id>.json``, its record, and ``<id>.log``, what the package manager said; ids begin with
the time, so that names sort by it. ``memory`` is what a host whose state folder was deleted must know all the
same (:class:`reconciler.reconcile.ports.state.Spare`). Other files of the folder are left alone.
"""

import contextlib
import errno
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.durable import replace_file
from reconciler.errors import Misuse, ReconcilerError, Stalled
from reconciler.ownership import is_own
from reconciler.reconcile.ports.state import Spare
from reconciler.reconcile.ports.where import THIS_MACHINE, InGuest
from reconciler.records import dataclass

_NAME = re.compile(r"(?P<run>(?P<stamp>\d{8}T\d{6}Z)-[0-9a-z-]+)\.(?:json|log)", re.ASCII)
_MEMORY = "memory"
_MODE = 0o640
_FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class TargetLogs:
    """The folder of one target's runs.

    Attributes:
        path: Is made when the first run ends.
        count: Runs that are kept at most.
        age: How long a run is kept after it began.
    """

    path: Path
    count: int
    age: timedelta

    def keep(self, run: str, files: Mapping[str, bytes], now: datetime) -> None:
        """Write a run's files, and remove those of runs that are too many or too old.

        Args:
            run: Its id.
            files: Content by suffix: ``.json`` and ``.log``.
            now: Aware.

        Raises:
            Stalled: They cannot be written, or others may write to the folder.
        """
        try:
            self._make(f"run {run} has no log there")
            for suffix, data in files.items():
                replace_file(self.path / f"{run}{suffix}", data, _MODE)
            self._forget(now)
        except OSError as error:
            raise _translate(error, self.path, f"run {run} has no log there") from error

    def _make(self, lost: str) -> None:
        self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        found = self.path.lstat()
        if not stat.S_ISDIR(found.st_mode) or not is_own(found):
            raise Stalled(
                f"{self.path}: is no folder that only its owner may write to; {lost}",
                f"chown it to yourself or root and chmod 750 {self.path}",
            )

    def spare(self) -> Spare | None:
        """Return what :meth:`keep_spare` kept last, ``None`` where there is nothing that can be read."""
        try:
            found = json.loads((self.path / _MEMORY).read_bytes())
            policy, enrolled = found["policy"], found["enrolled"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return Spare(policy, enrolled) if isinstance(policy, str) and isinstance(enrolled, str) else None

    def keep_spare(self, spare: Spare) -> None:
        """Keep a little of the state beside the logs; nothing is written where it is there already.

        Raises:
            Stalled: It cannot be written, or others may write to the folder.
        """
        kept = self.spare() or Spare()
        # A commit that was accepted once is none that a host forgets because it accepts nothing now.
        spare = replace(spare, policy=spare.policy or kept.policy)
        if spare == kept:
            return
        lost = "what a host without its state must know is not kept there"
        data = json.dumps({"enrolled": spare.enrolled, "policy": spare.policy}).encode() + b"\n"
        try:
            self._make(lost)
            replace_file(self.path / _MEMORY, data, _MODE)
        except OSError as error:
            raise _translate(error, self.path, lost) from error

    def runs(self) -> tuple[str, ...]:
        """Return the ids of all runs, the oldest first; empty where there is no such folder.

        Raises:
            Misuse: The folder cannot be read.
        """
        try:
            names = [entry.name for entry in self.path.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Misuse(f"{self.path}: {error.strerror}", "run as root, or as its owner") from error
        return tuple(sorted({found["run"] for found in map(_NAME.fullmatch, names) if found is not None}))

    def record(self, run: str) -> dict[str, Any] | None:
        """Return a run's record as plain JSON data; ``None`` where it is gone or damaged.

        Raises:
            Misuse: It cannot be read.
        """
        data = self._read(f"{run}.json")
        try:
            found = None if data is None else json.loads(data)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def log(self, run: str) -> str:
        """Return what the package manager said in a run; empty where it is gone.

        Raises:
            Misuse: It cannot be read.
        """
        return (self._read(f"{run}.log") or b"").decode("utf-8", "replace")

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Misuse(f"{self.path / name}: {error.strerror}", "run as root, or as its owner") from error

    def _forget(self, now: datetime) -> None:
        runs = self.runs()
        oldest = f"{now.astimezone(UTC) - self.age:%Y%m%dT%H%M%SZ}"
        gone = {run for number, run in enumerate(runs) if number < len(runs) - self.count or run < oldest}
        for entry in list(self.path.iterdir()):
            found = _NAME.fullmatch(entry.name)
            if found is not None and found["run"] in gone:
                with contextlib.suppress(FileNotFoundError):
                    entry.unlink()


@dataclass(frozen=True, slots=True)
class RunLogFolder(TargetLogs):
    """The folder of this host's runs."""

    where = THIS_MACHINE


@dataclass(frozen=True, slots=True)
class GuestLogs(TargetLogs):
    """The folder of one guest's runs.

    Attributes:
        id: Which guest.
    """

    id: str

    @property
    def where(self) -> InGuest:
        """What it is a part of."""
        return InGuest(self.id)


def _translate(error: OSError, path: Path, lost: str) -> ReconcilerError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Stalled(f"{path}: no space left; {lost}", "free some space; the report has the same")
    return Stalled(f"{path}: {error.strerror}; {lost}", "run as root, or set log_dir to a folder of your own")
