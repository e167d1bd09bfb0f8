"""Whether anything changed since the last full tick, decided from stat(2) and one ``git fetch``.

A quiet tick imports this module and little else: no YAML, no pydantic, no package manager, not even
dataclasses. A fingerprint is written after a full tick that left nothing to do over; it names every file that
tick depended on and the first instant at which time alone would change the outcome. Whatever is missing,
newer or unreadable means "look properly".
"""

import os
import stat

# Parts of the library that a quiet tick takes without what is around them: json brings the whole of re along,
# and hashlib the megabytes of libcrypto.
try:
    from _json import make_scanner
except ImportError:  # pragma: no cover - of an interpreter whose parts are called otherwise
    make_scanner = None  # type: ignore[assignment,misc]
try:
    from _blake2 import blake2b
except ImportError:  # pragma: no cover - of an interpreter whose parts are called otherwise
    from hashlib import blake2b

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import a quiet tick would pay for
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_FORMAT = 6
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DEPTH = 5
_DIGEST = 32


class Fingerprint:
    """What the last full tick depended on.

    Attributes:
        program: Version and place of the patchledger that wrote it.
        config: Digest of the configuration file.
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
        import json  # noqa: PLC0415 - which a quiet tick would pay for

        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": _FORMAT, **fields}, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Fingerprint | None":
        """Read a file's content back; ``None`` where it is not one of this format."""
        try:
            fields = _parsed(data)
            return cls(**fields) if fields.pop("format") == _FORMAT else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StopIteration):
            return None


class _Plain:
    """How :mod:`json` reads where nothing else is asked for, in the words of its scanner."""

    strict = True
    object_hook = object_pairs_hook = parse_constant = None
    parse_float, parse_int = float, int


def _parsed(data: bytes) -> "dict[str, Any]":
    if make_scanner is None:
        import json  # noqa: PLC0415 - where there is nothing cheaper

        fields: dict[str, Any] = json.loads(data)
        return fields
    text = data.decode()
    value: dict[str, Any]
    value, end = make_scanner(_Plain)(text, 0)  # type: ignore[arg-type] # which wants its own like
    if end != len(text):
        raise ValueError("there is more behind it")
    return value


def digest(data: bytes) -> str:
    """Return a digest of ``data`` in hexadecimal: BLAKE2b, of 32 bytes."""
    return blake2b(data, digest_size=_DIGEST).hexdigest()


def signature(watched: "Sequence[str]") -> str:
    """Digest name, type, size, inode and times of all ``watched`` files, and the boot id.

    Change time is included, so a file that was put back with its old modification time is still seen.
    """
    lines: list[str] = []
    for path in watched:
        _see(path, _DEPTH, lines)
    seen = blake2b(_encoded(lines), digest_size=_DIGEST)
    try:
        with open(_BOOT_ID, "rb") as file:
            seen.update(file.read())
    except OSError:
        seen.update(b"no boot id")
    return seen.hexdigest()


def look(path: str, depth: int) -> str:
    """Digest what :func:`signature` does of one path, whatever the boot, and no deeper than said."""
    lines: list[str] = []
    _see(path, depth, lines)
    return digest(_encoded(lines))


def _encoded(lines: "Sequence[str]") -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _see(path: str, depth: int, lines: "list[str]") -> None:
    """Add to ``lines`` what stat(2) says of a path and all below it, which are hundreds."""
    try:
        found = os.stat(path)
    except OSError as error:
        lines.append(f"{path}\0{error.errno}\n")
        return
    mode = found.st_mode
    # The depth also ends a loop of symbolic links.
    entries = _entries(path) if stat.S_ISDIR(mode) and depth else ()
    modules = [entry.name for entry in entries if entry.name.endswith(".py")] if entries else []
    lines.append(f"{path}\0{mode}\0{found.st_ino}\0{found.st_uid}\0{found.st_gid}\n")
    # Python makes a folder beside modules when it first imports one, which changes nothing but these.
    if not modules:
        lines.append(f"{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n")
    # Of the program itself, whose version is asked as well, the folder tells enough: hundreds of modules are
    # most of what there is to look at, and what is installed over one of them is another file.
    known = modules if "__init__.py" in modules else ()
    for entry in entries:
        if entry.name in known:
            lines.append(f"{entry.path}\0{entry.inode()}\n")
        else:
            _see(entry.path, depth - 1, lines)


def _entries(path: str) -> "Sequence[os.DirEntry[str]]":
    """Return what is in a folder, in the order of names; of one that cannot be listed there is nothing."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                (entry for entry in entries if entry.name != "__pycache__"), key=lambda entry: entry.name
            )
    except OSError:
        return ()
