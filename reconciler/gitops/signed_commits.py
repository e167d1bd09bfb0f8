"""A commit as bytes: what its signature covers, and what it says of itself."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from reconciler.process import Completed, run
from reconciler.records import dataclass

SSH = b"-----BEGIN SSH SIGNATURE-----"
OPENPGP = b"-----BEGIN PGP SIGNATURE-----"
MAX_COMMIT_BYTES = 256 * 1024
"""A larger commit is not read: who made it may be anybody."""

_HEAD = re.compile(
    rb"tree [0-9a-f]+\n((?:parent [0-9a-f]+\n)*)author [^\n<>]*<([^\n<>]*)> [0-9]+ [+-][0-9]{4}\n"
)
_TWO = 2
_MOST_STUCK = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the programs that check signatures work, and the one door to them.

    Attributes:
        folder: For their files; nobody else may write there.
        environment: Added to theirs.
        patience: Seconds for each signature.
    """

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    patience: float = 30.0
    _stuck: list[str] = field(default_factory=list, init=False, repr=False)

    def file(self, name: str, data: bytes) -> str:
        """Write a file for a program, in the place of what an earlier one was given; return its path.

        It is overwritten, not emptied first: ext4 then writes to the disk at once, which nobody needs here.
        """
        path = str(self.folder / name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.truncate()
        return path

    def run(self, argv: Sequence[str], stdin: bytes, *, limit: int, **more: str) -> Completed | None:
        """Run a program; ``None`` where it does not come to an end by itself.

        One that stands still is not tried for ever: with thousands of signatures nobody could wait for it.

        Args:
            argv: Program and arguments.
            stdin: Text for its standard input.
            limit: Bytes that are kept of what it prints.
            more: Added to its environment as well.

        Raises:
            Stalled: There is no such program.
        """
        if self._stuck.count(argv[0]) >= _MOST_STUCK:
            return None
        env = {**self.environment, **more}
        done = run(argv, env=env, stdin=stdin, timeout=self.patience, limit=limit)
        if done.timed_out:
            self._stuck.append(argv[0])
        return None if done.timed_out or done.returncode < 0 else done


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A commit and its signature.

    Attributes:
        oid: Its full id.
        payload: What is signed: the commit without its signature (gitformat-signature(5)).
        signature: In armour; empty where there is none, or more than one.
        count: How many signatures it carries.
    """

    oid: str
    payload: bytes
    signature: bytes
    count: int

    @property
    def parent(self) -> str:
        """Id of the first parent, which stands right behind the tree; empty where there is none."""
        second = self.payload.split(b"\n", 2)[1:2]
        name, _, oid = (second[0] if second else b"").partition(b" ")
        return oid.decode("ascii", "replace") if name == b"parent" else ""

    def author_of_merge(self) -> str | None:
        """Return the address of the author of a commit of two parents; ``None`` of any other commit."""
        head = _HEAD.match(self.payload)
        if head is None or head[1].count(b"\n") != _TWO:
            return None
        return head[2].decode("utf-8", "replace")

    def trailers(self, name: str) -> tuple[str, ...]:
        """Return the values of a trailer: of lines ``NAME: VALUE`` of the message's last paragraph."""
        message = self.payload.partition(b"\n\n")[2].strip(b"\n")
        last = message.rpartition(b"\n\n")[2].decode("utf-8", "replace")
        found = (line.partition(":") for line in last.split("\n"))
        return tuple(value.strip() for key, colon, value in found if colon and key == name)


def read_commit(oid: str, data: bytes) -> SignedCommit:
    """Take a commit object apart.

    A header is a line and those after it that begin with a blank. Every header whose name begins with
    ``gpgsig`` is a signature, for one or the other kind of object ids, and is not part of what is signed.
    """
    head, blank, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    inside: list[bytes] | None = None
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            # It goes on with a header that is signed, such as the tag that a merge carries.
            if inside is None:
                kept.append(line)
            else:
                inside.append(line[1:])
            continue
        name, _, value = line.partition(b" ")
        inside = None
        if name.startswith(b"gpgsig"):
            inside = [value]
            signatures.append(inside)
            continue
        kept.append(line)
    only = b"\n".join(signatures[0]) + b"\n" if len(signatures) == 1 else b""
    return SignedCommit(oid, b"\n".join(kept) + blank + message, only, len(signatures))
