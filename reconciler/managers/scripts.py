"""Patch scripts: verified before they run.

The rules:

- A script's bytes are read once; what is hashed is what is executed.
- The hash must be the one in the manifest that comes with the program, or that of a script of the policy
  repository which the policy pins and this host's own configuration accepts (:class:`PolicyScripts`). Where
  the policy pins anything else, the condition ``ScriptMismatch`` tells it, and nothing is applied.
- What all scripts share (``common.sh``) is the program's own, verified in the same way, and goes before the
  script's own text.
- What runs in a guest has another text before both (``guest.sh``), verified as well, which ends it where it
  is not in the guest that is meant.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import field, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeAlias

from reconciler.durable import replace_file
from reconciler.errors import Stalled, Transient
from reconciler.managers.sections import Sections, Unparsable, parse_sections
from reconciler.ownership import read_own
from reconciler.planning.facts.guests import TELLS_ITS_END
from reconciler.process import Completed
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import InGuest, ThisMachine, Where_co
from reconciler.records import dataclass
from reconciler.resources import locate

FOLDER = "scripts/patch"
MANIFEST = "SHA256SUMS"
MAX_SCRIPT = 126 * 1024
COMMON = "common.sh"
GUARD = "guest.sh"
NOT_ACCEPTED = "NotAccepted"

_HASH = re.compile(r"[0-9a-f]{64}\Z")


class TimedOut(Transient):
    """A script did not end in time, and was ended."""


class Target(Protocol[Where_co]):
    """Where a script runs."""

    @property
    def where(self) -> Where_co:
        """This machine, or a guest of it."""
        ...

    def run(self, script: bytes, name: str, args: Sequence[str], *, timeout: float | None) -> Completed:
        """Run the bytes of a script and return what it printed."""
        ...

    def execute(
        self, script: bytes, name: str, args: Sequence[str], *, folder: Path, unless: Unless | None = None
    ) -> None:
        """Run what may never be stopped, to its end, with its output in files of ``folder``.

        Only what changes no package is given ``unless``.
        """
        ...

    def is_at_work(self, folder: Path) -> bool:
        """Tell whether what was executed in ``folder`` is still running."""
        ...


AnyTarget: TypeAlias = Target[ThisMachine | InGuest]


@dataclass(frozen=True, slots=True)
class PatchScript:
    """A patch script whose bytes have been verified.

    Attributes:
        name: Such as ``apt-update.sh``.
        content: What runs: for a guest the guard; the text that all scripts share; the script's own.
        hashes: ``(file name, SHA-256 in lower-case hexadecimal)`` of all of these, sorted, for the report.
        replacement: The script's own text where it is not the program's; empty where it is.
        is_guarded: It runs in the guest that it is told, and nowhere else.
    """

    name: str
    content: bytes
    hashes: tuple[tuple[str, str], ...]
    replacement: bytes = field(default=b"", repr=False)
    is_guarded: bool = False

    @classmethod
    def load(cls, name: str) -> "PatchScript":
        """Read a script and what it shares with the others once, and verify both.

        Args:
            name: File name in ``scripts/patch``.

        Raises:
            Stalled: The script or its hash is missing, it is too long, or it is not what was promised.
        """
        return cls.verified(name, _read(name), _read(COMMON))

    @classmethod
    def verified(cls, name: str, own: bytes, shared: bytes) -> "PatchScript":
        """Return the script of these bytes, its own and the shared ones.

        Raises:
            Stalled: As for :meth:`load`.
        """
        return cls._of(name, own, shared)

    def replaced(self, own: bytes, accepted: Collection[str]) -> "PatchScript":
        """Return the script of these bytes instead of this one's own, beside what all scripts share.

        Args:
            own: What is to run; the very bytes of this one are no replacement.
            accepted: SHA-256 of what may.

        Raises:
            Stalled: It may not (``reason`` is ``NotAccepted``), or is too long.
        """
        digest = sha256(own).hexdigest()
        if (self.name, digest) in self.hashes:
            return self
        if digest not in accepted:
            raise Stalled(
                f"{self.name} of the policy repository, sha256 {digest}, is not accepted by this host",
                f"read it, and add sha256:{digest} to allow_policy_scripts; or have it pinned no more",
                NOT_ACCEPTED,
            )
        made = self._of(self.name, own, _read(COMMON), digest)
        return made.guarded() if self.is_guarded else made

    def guarded(self) -> "PatchScript":
        """Return this script as it runs in a guest: first told its place, and nowhere else.

        Raises:
            Stalled: The guard is missing or not what was promised, or there is no room for it.
        """
        if self.is_guarded:
            return self
        guard, promised = guard_text()
        content = guard + b"\n" + self.content
        if len(content) > MAX_SCRIPT:
            raise Stalled(
                f"{self.name} has {len(content)} bytes with its guard; at most {MAX_SCRIPT} can be run"
            )
        hashes = (*self.hashes, (GUARD, promised))
        return replace(self, content=content, hashes=tuple(sorted(hashes)), is_guarded=True)

    @classmethod
    def _of(cls, name: str, own: bytes, shared: bytes, accepted: str = "") -> "PatchScript":
        """Return the script whose hash is the accepted one; without one, it must be the promised one."""
        content = shared + b"\n" + own
        if len(content) > MAX_SCRIPT:
            raise Stalled(f"{name} has {len(content)} bytes; at most {MAX_SCRIPT} can be run")
        hashes = ((name, accepted or _verified(name, own)), (COMMON, _verified(COMMON, shared)))
        return cls(name, content, tuple(sorted(hashes)), own if accepted else b"")

    def run(self, target: AnyTarget, args: Sequence[str], *, timeout: float | None) -> Sections:
        """Run the verified bytes on a target and take the output apart.

        Raises:
            TimedOut: The time limit ended it.
            Stalled: It did not run.
            Unparsable: Its output does not parse; ``printed`` is that.
        """
        completed = target.run(self.content, self.name, args, timeout=timeout)
        if completed.timed_out:
            raise TimedOut(f"{self.name} {' '.join(args[:1])} did not end within {timeout:.0f} s")
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


@dataclass(frozen=True, slots=True)
class PolicyScripts:
    """Which scripts of the policy repository may run here.

    Attributes:
        accepted: Their SHA-256, as this host's own configuration lists them.
        folder: Where the one stays by which something was begun, so that a run that was killed is brought to
            its end by the script that began it.
    """

    accepted: frozenset[str] = frozenset()
    folder: Path | None = None

    def last(self, own: PatchScript) -> PatchScript:
        """Return the script by which something was begun last, if it is accepted still; else ``own``."""
        if self.folder is None or not self.accepted:
            return own
        try:
            data = read_own(str(self.folder / own.name))
            return own if data is None else own.replaced(data, self.accepted)
        except (OSError, Stalled):
            return own

    def begin(self, script: PatchScript) -> None:
        """Remember the script by which something is begun now.

        Raises:
            Stalled: That cannot be written down.
        """
        if self.folder is None:
            return
        path = self.folder / script.name
        try:
            if script.replacement:
                self.folder.mkdir(mode=0o700, exist_ok=True)
                replace_file(path, script.replacement)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise Stalled(f"cannot write {path}: {error.strerror}", "free some space") from error


def guard_text() -> tuple[bytes, str]:
    """Return what all text begins with that runs in a guest, and its hash.

    Raises:
        Stalled: It is missing or not what was promised.
    """
    guard = _read(GUARD)
    return guard, _verified(GUARD, guard)


def question(text: bytes) -> bytes:
    """Return a text of shell as one that may run in a guest, and whose answer is known to be whole.

    Raises:
        Stalled: As for :func:`guard_text`.
    """
    return guard_text()[0] + b"\n" + TELLS_ITS_END + text


def _verified(name: str, data: bytes) -> str:
    """Return the hash of ``data``, which must be the promised one."""
    expected, actual = _manifest_hash(name), sha256(data).hexdigest()
    if actual != expected:
        raise Stalled(
            f"{name} is not what the manifest promises: sha256 {actual} instead of {expected}",
            "install patchledger again",
        )
    return actual


def _read(name: str) -> bytes:
    try:
        return locate(f"{FOLDER}/{name}").read_bytes()
    except OSError as error:
        raise Stalled(
            f"the patch script {name} cannot be read: {error}", "install patchledger again"
        ) from error


def own_pins() -> dict[str, str]:
    """Return the digest of each patch script of this version by its name, as a policy pins it.

    Raises:
        Stalled: The manifest cannot be read.
    """
    return {name: f"sha256:{digest}" for name, digest in manifest().items() if name.endswith("-update.sh")}


def manifest() -> dict[str, str]:
    """Return the SHA-256 of each script that comes with the program, by its name.

    Raises:
        Stalled: The manifest cannot be read.
    """
    rows = (line.partition("  ") for line in _read(MANIFEST).decode("utf-8", "replace").split("\n"))
    return {name: digest for digest, _, name in rows if _HASH.match(digest)}


def _manifest_hash(name: str) -> str:
    """Return the hash that ``sha256sum -c`` would look for."""
    digest = manifest().get(name)
    if digest is None:
        raise Stalled(f"the manifest of patch scripts does not name {name}", "install patchledger again")
    return digest
