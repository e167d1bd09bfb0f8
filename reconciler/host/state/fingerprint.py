"""Whether anything changed since the last full tick, decided from stat(2) and one ``git fetch``.

A quiet tick imports this module and little else: no YAML, no pydantic, no package manager, not even
dataclasses. A fingerprint is written after a full tick that left nothing to do over; it names every file that
tick depended on and the first instant at which time alone would change the outcome. Whatever is missing,
newer or unreadable means "look properly".
"""

import hashlib
import json
import os
import stat

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_FORMAT = 5
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DEPTH = 5


class Fingerprint:
    """What the last full tick depended on.

    Attributes:
        program: Version and place of the patchledger that wrote it.
        config: SHA-256 of the configuration file.
        watched: Files and folders (with all below) whose stat(2) is part of the signature.
        signature: See :func:`signature`.
        commit: Head of the policy branch.
        mirror: The policy's bare mirror.
        ref: Full name of the ref that a fetch updates there.
        stamp: File whose time says when the remote last answered.
        argv: The fetch, one child.
        env: Its environment; holds no secret.
        timeout: Seconds it may take.
        since: Seconds since the epoch when it was written; a clock that is set back behind it shows nothing.
        until: The same; from then on time alone may change the outcome.
        says: The line a quiet tick prints.
        touched: Files that are there, and whose time says when nothing new was found last.
        reports: How to see that the report branch is as this host left it, ``None`` without a remote: its
            ``head``; where it is a folder of this machine, the ``folder`` and ``ref`` to read; ``argv`` and
            ``env`` (no secrets) of the question, and the ``stamp`` whose time is that of the last one.
        guests: How to see that guests are as they were, ``None`` where none is looked after: their ``kinds``,
            what was ``seen`` of them from outside, and ``kept``: path, depth and digest (:func:`look`) of
            folders on this host.
    """

    __slots__ = (
        "argv", "commit", "config", "env", "guests", "mirror", "program", "ref", "reports", "says",
        "signature", "since", "stamp", "timeout", "touched", "until", "watched",
    )  # fmt: skip

    def __init__(
        self,
        *,
        program: str,
        config: str,
        watched: "Sequence[str]",
        signature: str,
        commit: str,
        mirror: str,
        ref: str,
        stamp: str,
        argv: "Sequence[str]",
        env: "Mapping[str, str]",
        timeout: float,
        since: float,
        until: float,
        says: str,
        touched: "Sequence[str]" = (),
        reports: "Mapping[str, Any] | None" = None,
        guests: "Mapping[str, Any] | None" = None,
    ) -> None:
        self.program = program
        self.config = config
        self.watched = list(watched)
        self.signature = signature
        self.commit = commit
        self.mirror = mirror
        self.ref = ref
        self.stamp = stamp
        self.argv = list(argv)
        self.env = dict(env)
        self.timeout = timeout
        self.since = since
        self.until = until
        self.says = says
        self.touched = list(touched)
        self.reports = None if reports is None else dict(reports)
        self.guests = None if guests is None else dict(guests)

    def to_json(self) -> bytes:
        """Return the file's content."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": _FORMAT, **fields}, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Fingerprint | None":
        """Read a file's content back; ``None`` where it is not one of this format."""
        try:
            fields = json.loads(data)
            return cls(**fields) if fields.pop("format") == _FORMAT else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def signature(watched: "Sequence[str]") -> str:
    """Digest name, type, size, inode and times of all ``watched`` files, and the boot id.

    Change time is included, so a file that was put back with its old modification time is still seen.
    """
    seen = hashlib.sha256()
    for path in watched:
        for line in _lines(path, _DEPTH):
            seen.update(line.encode("utf-8", "surrogateescape"))
    try:
        with open(_BOOT_ID, "rb") as file:
            seen.update(file.read())
    except OSError:
        seen.update(b"no boot id")
    return seen.hexdigest()


def look(path: str, depth: int) -> str:
    """Digest what :func:`signature` does of one path, whatever the boot, and no deeper than said."""
    return digest("".join(_lines(path, depth)).encode("utf-8", "surrogateescape"))


def _lines(path: str, depth: int) -> "Iterable[str]":
    try:
        found = os.stat(path)
    except OSError as error:
        yield f"{path}\0{error.errno}\n"
        return
    # The depth also ends a loop of symbolic links.
    names = _entries(path) if stat.S_ISDIR(found.st_mode) and depth else []
    yield f"{path}\0{found.st_mode}\0{found.st_ino}\0{found.st_uid}\0{found.st_gid}\n"
    # Python makes a folder beside modules when it first imports one, which changes nothing but these.
    if not any(name.endswith(".py") for name in names):
        yield f"{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n"
    for name in names:
        yield from _lines(name, depth - 1)


def _entries(path: str) -> "list[str]":
    """Return the paths in a folder; of one that cannot be listed there are none."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.name != "__pycache__")
    except OSError:
        return []
