"""Whether somebody has touched the files of a repository since it was seen last: the seal of a folder.

A seal says which files there were, how large, and when each was changed. What was added later does not break
it: a quiet tick fetches, and git checks what arrives. A file that was changed or is gone does, and so does a
boot: before it the power may have failed. Times of change (ctime) count, which no program can set back.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from reconciler.durable import replace_file

_FORMAT = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOTES = "patchledger-"
"""What :mod:`reconciler.gitops.policy_mirror` writes beside git's own files; quiet ticks touch some of it."""


class Mark(NamedTuple):
    """What a seal says of one file; the times are in nanoseconds."""

    size: int
    inode: int
    modified: int
    changed: int


class Seals:
    """The seals of all folders of one host, in one small file.

    A file that is missing, damaged or of an earlier boot holds no seal; that costs a look at the folders.

    Args:
        file: Where they are kept.
        boot: Which boot this is; asked of the kernel without it.
    """

    def __init__(self, file: Path, boot: str | None = None) -> None:
        self._file = file
        self._boot = _boot_id() if boot is None else boot
        self._seals: dict[str, list[object]] = _read(file, self._boot)

    def holds(self, folder: Path, without: str = "", seen: Mapping[str, Mark] | None = None) -> bool:
        """Tell whether every file that was sealed is there, untouched; never of a folder without any.

        Args:
            folder: What was sealed.
            without: Path in it of a file that may change.
            seen: What :func:`marks` gave of it just now; without it, the folder is looked at.
        """
        match self._seals.get(folder.name):
            case [int(newest), str(digest)] if newest:
                return _digest(marks(folder) if seen is None else seen, without, newest) == (newest, digest)
            case _:
                return False

    def set(self, folder: Path, seen: Mapping[str, Mark], without: str = "") -> None:
        """Seal a folder as it was seen, or none where it held no file; :meth:`save` keeps that.

        Args:
            folder: What to seal.
            seen: As of :meth:`holds`.
            without: As of :meth:`holds`.
        """
        newest, digest = _digest(seen, without, None)
        if newest:
            self._seals[folder.name] = [newest, digest]
        else:
            self.drop(folder)

    def drop(self, folder: Path) -> None:
        """Forget the seal of a folder: the next one who asks must look."""
        self._seals.pop(folder.name, None)

    def save(self) -> None:
        """Write the seals to the disk, if they are others than before.

        Raises:
            OSError: The file system refuses; the seals of before are still there.
        """
        if self._seals != _read(self._file, self._boot):
            held = {"format": _FORMAT, "boot": self._boot, "seals": self._seals}
            replace_file(self._file, json.dumps(held, sort_keys=True).encode())


def marks(folder: Path) -> dict[str, Mark]:
    """Return what a seal would say of each file of a folder, by its path in it."""
    return dict(_files(str(folder)))


def _read(file: Path, boot: str) -> dict[str, list[object]]:
    try:
        held = json.loads(file.read_bytes())
        is_ours = held["format"] == _FORMAT and held["boot"] == boot
        return {str(name): list(seal) for name, seal in held["seals"].items()} if is_ours else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("utf-8").strip()
    except OSError:
        return ""


def _digest(seen: Mapping[str, Mark], without: str, newest: int | None) -> tuple[int, str]:
    """Return the time of the newest file, or ``newest``, and a digest of all files that are no newer."""
    found = sorted((name, mark) for name, mark in seen.items() if name != without)
    until = max((mark.changed for _, mark in found), default=0) if newest is None else newest
    digest = hashlib.sha256()
    for name, mark in found:
        if mark.changed <= until:
            digest.update("\0".join((name, *map(str, mark))).encode("utf-8", "surrogateescape") + b"\n")
    return until, digest.hexdigest()


def _files(folder: str, inside: str = "") -> Iterator[tuple[str, Mark]]:
    """Yield all files below ``folder`` by their paths in it; what nobody can look at counts as gone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{inside}{entry.name}/")
            elif not entry.name.startswith(_NOTES):
                stat = entry.stat(follow_symlinks=False)
                yield inside + entry.name, Mark(stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
