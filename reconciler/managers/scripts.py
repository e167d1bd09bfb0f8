"""Patch scripts: verified before they run.

The rules:

- A script's bytes are read once; what is hashed is what is executed.
- The hash must be the one in the built-in manifest or, where the policy pins one, the pin.
- What all scripts share (``common.sh``) is verified in the same way, and goes before the script's own text.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.errors import Stalled, Transient
from reconciler.managers.sections import Sections, Unparsable, parse_sections
from reconciler.process import Completed
from reconciler.resources import locate

FOLDER = "scripts/patch"
MANIFEST = "SHA256SUMS"
MAX_SCRIPT = 100 * 1024
COMMON = "common.sh"

_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Target(Protocol):
    """Where a script runs."""

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        """Run the bytes of a script and return what it printed."""
        ...

    def execute(self, script: bytes, name: str, args: Sequence[str], *, folder: Path) -> None:
        """Run what may never be stopped, to its end, with its output in files of ``folder``."""
        ...

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether what was executed in ``folder`` is still running."""
        ...


@dataclass(frozen=True, slots=True)
class PatchScript:
    """A patch script whose bytes have been verified.

    Attributes:
        name: Such as ``apt-update.sh``.
        content: What runs: the text that all scripts share, then the script's own.
        hashes: ``(file name, SHA-256 in lower-case hexadecimal)`` of both, sorted, for the report.
    """

    name: str
    content: bytes
    hashes: tuple[tuple[str, str], ...]

    @classmethod
    def load(
        cls, name: str, *, pins: Mapping[str, str] | None = None, replacement: bytes | None = None
    ) -> "PatchScript":
        """Read a script and what it shares with the others once, and verify both.

        Args:
            name: File name in ``scripts/patch``.
            pins: ``sha256:…`` by file name, from the policy; the built-in manifest decides on the others.
            replacement: Bytes from the policy repository that stand in for the built-in script; only
                together with a pin.

        Raises:
            Stalled: The script or its hash is missing, it is too long, or it is not what was promised.
        """
        wanted = pins or {}
        if replacement is not None and name not in wanted:
            raise Stalled(f"{name} from the policy repository has no pin", "pin its SHA-256 under scripts:")
        own = _read(name) if replacement is None else replacement
        shared = _read(COMMON)
        content = shared + b"\n" + own
        if len(content) > MAX_SCRIPT:
            raise Stalled(f"{name} has {len(content)} bytes; at most {MAX_SCRIPT} can be run")
        hashes = tuple(
            (file, _verified(file, data, wanted.get(file, "")))
            for file, data in ((name, own), (COMMON, shared))
        )
        return cls(name, content, tuple(sorted(hashes)))

    def run(self, target: Target, args: Sequence[str], *, timeout: float | None) -> Sections:
        """Run the verified bytes on a target and take the output apart.

        Raises:
            Transient: The time limit ended it.
            Stalled: It did not run.
            Unparsable: Its output does not parse; ``printed`` is that.
        """
        completed = target.run(self.content, self.name, args, timeout=timeout)
        if completed.timed_out:
            raise Transient(f"{self.name} {' '.join(args[:1])} did not end within {timeout:.0f} s")
        if completed.truncated:
            raise Stalled(f"{self.name} printed more than can be kept")
        try:
            sections = parse_sections(completed.text)
        except Unparsable as error:
            words = completed.error_text.splitlines()
            said = f": {words[-1]}" if words else ""
            told = Unparsable(f"{error.message}{said}", error.hint)
            told.printed = completed.text
            raise told from error
        if sections.exit_code != completed.returncode:
            raise Stalled(f"{self.name} ended with {completed.returncode} but says {sections.exit_code}")
        return sections


def _verified(name: str, data: bytes, pin: str) -> str:
    """Return the hash of ``data``, which must be the promised one."""
    expected = _pinned(name, pin) if pin else _manifest_hash(name)
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        promise = "the policy's pin" if pin else "the manifest"
        raise Stalled(
            f"{name} is not what {promise} promises: sha256 {actual} instead of {expected}",
            "change the pin in the policy" if pin else "install patchledger again",
        )
    return actual


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
