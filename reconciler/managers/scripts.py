"""Patch scripts: verified before they run, and their output taken apart.

The rules:

- A script's bytes are read once; what is hashed is what is executed.
- The hash must be the one in the built-in manifest or, where the policy pins one, the pin.
- Output that is not exactly in the documented form is an error; nothing is guessed from it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.errors import Stalled, Transient
from reconciler.process import Completed
from reconciler.resources import locate

FOLDER = "scripts/patch"
MANIFEST = "SHA256SUMS"
MAX_SCRIPT = 100 * 1024
CONTRACT = "1"

DONE = 0
NOTHING_TO_DO = 10
LOCKED = 20
STALE = 21
UNTRUSTED = 22
NO_SPACE = 23
INTERRUPTED = 24
UNRESOLVED = 25
GONE = 26

_HEADER = re.compile(r"patchledger-patch (\S+) ([a-z]+)\Z")
_BEGIN = re.compile(r"\[([a-z-]+)\]\Z")
_END = re.compile(r"= (\d{1,3})\Z")
_EXIT = re.compile(r"exit (\d{1,3})\Z")
_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Target(Protocol):
    """Where a script runs."""

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        """Run the bytes of a script and return what it printed."""
        ...


@dataclass(frozen=True, slots=True)
class PatchScript:
    """A patch script whose bytes have been verified.

    Attributes:
        name: Such as ``apt-update.sh``.
        content: The bytes that were hashed and that run.
        sha256: Of ``content``, in lower-case hexadecimal, for the report.
    """

    name: str
    content: bytes
    sha256: str

    @classmethod
    def load(cls, name: str, *, pin: str = "", replacement: bytes | None = None) -> "PatchScript":
        """Read a script once and verify it.

        Args:
            name: File name in ``scripts/patch``.
            pin: ``sha256:…`` from the signed policy; the built-in manifest decides without one.
            replacement: Bytes from the policy repository that stand in for the built-in script; only
                together with a pin.

        Raises:
            Stalled: The script or its hash is missing, it is too long, or it is not what was promised.
        """
        content = _read(name) if replacement is None else replacement
        if len(content) > MAX_SCRIPT:
            raise Stalled(f"{name} has {len(content)} bytes; at most {MAX_SCRIPT} can be run")
        if replacement is not None and not pin:
            raise Stalled(f"{name} from the policy repository has no pin", "pin its SHA-256 under scripts:")
        expected = _pinned(name, pin) if pin else _manifest_hash(name)
        actual = hashlib.sha256(content).hexdigest()
        if actual != expected:
            promise = "the policy's pin" if pin else "the manifest"
            raise Stalled(
                f"{name} is not what {promise} promises: sha256 {actual} instead of {expected}",
                "change the pin in the policy" if pin else "install patchledger again",
            )
        return cls(name, content, actual)

    def run(self, target: Target, args: Sequence[str], *, timeout: float | None) -> "Sections":
        """Run the verified bytes on a target and take the output apart.

        Raises:
            Transient: The time limit ended it.
            Stalled: It did not run, or its output does not parse.
        """
        completed = target.run(self.content, self.name, args, timeout=timeout)
        if completed.timed_out:
            raise Transient(f"{self.name} {' '.join(args[:1])} did not end within {timeout:.0f} s")
        if completed.truncated:
            raise Stalled(f"{self.name} printed more than can be kept")
        try:
            sections = parse_sections(completed.text)
        except Stalled as error:
            words = completed.error_text.splitlines()
            said = f": {words[-1]}" if words else ""
            raise Stalled(f"{error.message}{said}", error.hint) from error
        if sections.exit_code != completed.returncode:
            raise Stalled(f"{self.name} ended with {completed.returncode} but says {sections.exit_code}")
        return sections


def _read(name: str) -> bytes:
    try:
        return locate(f"{FOLDER}/{name}").read_bytes()
    except OSError as error:
        raise Stalled(
            f"the patch script {name} cannot be read: {error}", "install patchledger again"
        ) from error


def _pinned(name: str, pin: str) -> str:
    algorithm, _, digest = pin.partition(":")
    if algorithm != "sha256" or not _HASH.match(digest):
        raise Stalled(f"the pin of {name} is no SHA-256: {pin!r}", "write sha256: and 64 hexadecimal digits")
    return digest


def _manifest_hash(name: str) -> str:
    """Return the hash that ``sha256sum -c`` would look for."""
    for line in _read(MANIFEST).decode("utf-8", "replace").split("\n"):
        digest, _, file = line.partition("  ")
        if file == name and _HASH.match(digest):
            return digest
    raise Stalled(f"the manifest of patch scripts does not name {name}", "install patchledger again")


@dataclass(frozen=True, slots=True)
class Section:
    """What one command printed.

    Attributes:
        name: Of the section.
        lines: Its standard output.
        errors: Its standard error.
        code: Its own exit code.
    """

    name: str
    lines: tuple[str, ...]
    errors: tuple[str, ...]
    code: int


@dataclass(frozen=True, slots=True)
class Sections:
    """A whole run of a patch script, by section; :meth:`get` gives an empty section for an absent one."""

    manager: str
    by_name: Mapping[str, Section]
    exit_code: int

    def get(self, name: str) -> Section:
        """Return a section, empty where the script had no reason to print it."""
        return self.by_name.get(name, Section(name, (), (), 0))

    def need(self, name: str) -> Section:
        """Return a section that must be there.

        Raises:
            Stalled: It is not.
        """
        if name not in self.by_name:
            raise Stalled(f"the patch script's output does not parse: no section [{name}]")
        return self.by_name[name]


def parse_sections(text: str) -> Sections:
    """Take the output of a patch script apart.

    Lines are ended by line feeds alone: a package's text may hold any other character that Python would
    take for the end of a line.

    Args:
        text: All of its standard output.

    Raises:
        Stalled: It is not in the form of ``docs/reference/patch-scripts.md``.
    """
    if not text.endswith("\n"):
        raise _garbage("it ends in the middle of a line")
    first, *lines, last = text[:-1].split("\n") if text.count("\n") > 1 else [text[:-1], ""]
    header, end = _HEADER.match(first), _EXIT.match(last)
    if header is None:
        raise _garbage(f"it begins with {first[:60]!r}")
    if header[1] != CONTRACT:
        raise Stalled(f"the patch script speaks version {header[1]} of the contract, not {CONTRACT}")
    if end is None:
        raise _garbage(f"it ends with {last[:60]!r}")
    found: dict[str, Section] = {}
    for section in _sections(iter(lines)):
        if section.name in found:
            raise _garbage(f"section [{section.name}] comes twice")
        found[section.name] = section
    return Sections(header[2], found, int(end[1]))


def _sections(lines: Iterator[str]) -> Iterator[Section]:
    for line in lines:
        begin = _BEGIN.match(line)
        if begin is None:
            raise _garbage(f"{line[:60]!r} begins no section")
        yield _section(begin[1], lines)


def _section(name: str, lines: Iterator[str]) -> Section:
    out: list[str] = []
    errors: list[str] = []
    for line in lines:
        mark = line[:1]
        if mark == "|":
            out.append(line[1:])
        elif mark == "!":
            errors.append(line[1:])
        elif mark == "=" and (end := _END.match(line)):
            return Section(name, tuple(out), tuple(errors), int(end[1]))
        else:
            raise _garbage(f"{line[:60]!r} in section [{name}]")
    raise _garbage(f"section [{name}] has no end")


def _garbage(what: str) -> Stalled:
    return Stalled(f"the patch script's output does not parse: {what}")
