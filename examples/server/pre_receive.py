#!/usr/bin/python3 -IS
"""Lets into a report repository what belongs there and nothing else: its ``pre-receive`` hook.

Who pushes is said by :file:`serve`, the forced command of each key, in ``PATCHLEDGER_ROLE`` and
``PATCHLEDGER_NAME``. Whatever is refused, nothing of the push is stored, and each branch gets one line that
says why. Needs git and Python 3.9, and nothing else.

- A host moves ``hosts/ID`` and ``guests/ID/*`` forward. Every commit holds a report, of regular files.
- A host claims ``locks/GROUP/NUMBER`` by one commit on top of the one that it saw, signed by its report key.
- A publisher moves ``fleet`` and ``fleet-*`` forward, by folders and regular files.
- Nothing is deleted or rewritten, and there are no other refs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_COMMITS = 20_000
"""Of one branch in one push: a host that was away for a year has that many at most."""
MOST_BRANCHES = 1_000
"""Of one push: a host and its guests."""
MOST_LINES = 5_000_000
"""Of all folders of one push: the runs of a year, each beside those before it. They take half a minute."""
MOST_FILES = 3_000
"""In one folder: three of each run, and a host keeps up to a thousand runs."""
MOST_BYTES = 32 * 1024 * 1024
"""Of one file. A report of a large machine has less than one."""
MOST_LOCK_BYTES = 64 * 1024
MOST_LOCKS = 32
"""On the server, unless ``git config patchledger.mostLocks`` says otherwise: every push is told of each."""
MOST_GUESTS = 1_000
"""Of one host, on the server."""
MOST_PUBLISHED = 200_000
"""New objects of one push to ``fleet*``."""
_MOST_COMMIT_BYTES = 64 * 1024
_MOST_TREE_BYTES = 200 * MOST_FILES
_MOST_TOLD = 10

_ID = r"[a-z0-9][a-z0-9.-]{0,62}"
_LOCK = re.compile(rf"locks/{_ID}/[0-9]{{1,3}}")
_FLEET = re.compile(r"fleet(-[a-z0-9-]{1,60})?")
_RUN = re.compile(rb"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]{1,80}\.(json|md|log)")
_REPORT = frozenset({b"report.json", b"report.md", b"observation.json"})
_FILE, _FOLDER = b"100644", b"40000"
_SIGNATURE = re.compile(rb"^gpgsig (.*(?:\n .*)*)\n", re.MULTILINE)


class Refused(Exception):
    """Says in one sentence why a branch is refused."""


@dataclass(frozen=True)
class Change:
    """One ref of a push: what it was, what it is to be, and its name without ``refs/heads/``."""

    old: str
    new: str
    branch: str


@dataclass(frozen=True)
class Entry:
    """One line of a tree."""

    mode: bytes
    name: bytes
    oid: str


@dataclass(frozen=True)
class Commit:
    """What of a commit is looked at."""

    tree: str
    parents: tuple[str, ...]
    data: bytes


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], capture_output=True, check=False, stdin=subprocess.DEVNULL)


def _listed(*arguments: str) -> list[str]:
    done = _git("rev-list", *arguments)
    if done.returncode:
        raise Refused("cannot be read by git here")
    return done.stdout.decode("ascii", "replace").splitlines()


class Objects:
    """Reads objects of the repository and of the push, by two processes that stay."""

    def __init__(self, stack: ExitStack, most_lines: int = MOST_LINES) -> None:
        self._most, self._left = most_lines, most_lines
        self._sizes = self._start(stack, "--batch-check")
        self._contents = self._start(stack, "--batch")
        self._seen: set[tuple[str, str]] = set()

    @staticmethod
    def _start(stack: ExitStack, how: str) -> subprocess.Popen[bytes]:
        argv = ["git", "cat-file", how]
        return stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    @staticmethod
    def _asked(process: subprocess.Popen[bytes], oid: str) -> tuple[str, int]:
        assert process.stdin is not None  # noqa: S101 - they are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(f"{oid}\n".encode())
        process.stdin.flush()
        words = process.stdout.readline().split()
        return (words[1].decode(), int(words[2])) if len(words) == 3 else ("", 0)  # noqa: PLR2004

    def described(self, oid: str) -> tuple[str, int]:
        """Return type and size of an object."""
        return self._asked(self._sizes, oid)

    def read(self, oid: str, kind: str, most: int, says: str) -> bytes:
        """Return what an object holds; ``says`` why it is refused where it is another kind or too large."""
        found, size = self.described(oid)
        if found != kind or size > most:
            raise Refused(says)
        self._asked(self._contents, oid)
        assert self._contents.stdout is not None  # noqa: S101
        return self._contents.stdout.read(size + 1)[:size]

    def commit(self, oid: str) -> Commit:
        """Return a commit."""
        data = self.read(oid, "commit", _MOST_COMMIT_BYTES, f"commit {oid[:12]} is too large")
        head = data.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
        parents = tuple(line[7:] for line in head if line.startswith("parent "))
        return Commit(head[0][5:], parents, data)

    def tree(self, oid: str, place: str) -> list[Entry]:
        """Return the lines of a tree that is not too long."""
        says = f"{place} holds more than {MOST_FILES} files"
        entries = list(_entries(self.read(oid, "tree", _MOST_TREE_BYTES, says), len(oid) // 2))
        if len(entries) > MOST_FILES:
            raise Refused(says)
        self._left -= len(entries)
        if self._left < 0:
            raise Refused(f"brings folders of more than {self._most} files at once")
        return entries

    def is_new(self, oid: str, role: str) -> bool:
        """Say whether an object has not been looked at yet in this role; what is good once is so again."""
        known = (oid, role) in self._seen
        self._seen.add((oid, role))
        return not known

    def check_file(self, entry: Entry, place: str, most: int = MOST_BYTES) -> None:
        """Refuse what is no regular file, or is too large."""
        if entry.mode != _FILE:
            raise Refused(f"{place} is no regular file")
        if self.is_new(entry.oid, f"file of {most}"):
            kind, size = self.described(entry.oid)
            if kind != "blob" or size > most:
                raise Refused(f"{place} has {size} bytes, and {most} are the most")


def _entries(data: bytes, width: int) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        at = end + 1 + width
        yield Entry(mode, name, data[end + 1 : at].hex())


def _shown(name: bytes) -> str:
    return ascii(name[:100].decode("utf-8", "replace"))


def _is_none(oid: str) -> bool:
    return not oid.strip("0")


def check(change: Change, role: str, name: str, objects: Objects) -> None:
    """Refuse a change that this role may not make."""
    writes = _writer(change.branch, role, name)
    if writes is None:
        raise Refused(f"the key of {role} {name} does not write it" if role else "no key has said who pushes")
    if _is_none(change.new):
        raise Refused("is never deleted")
    if objects.described(change.new)[0] != "commit":
        raise Refused("is to be a commit")
    if not _is_none(change.old) and _git("merge-base", "--is-ancestor", change.old, change.new).returncode:
        raise Refused("does not continue what is there: nothing is rewritten")
    writes(change, name, objects)


def _writer(branch: str, role: str, name: str) -> Callable[[Change, str, Objects], None] | None:
    """Return what checks a branch that this role writes, ``None`` for all others."""
    if role == "publisher" and _FLEET.fullmatch(branch):
        return _check_published
    if role == "host" and (branch == f"hosts/{name}" or _is_guest(branch, name)):
        return _check_reports
    if role == "host" and _LOCK.fullmatch(branch):
        return _check_claim
    return None


def _is_guest(branch: str, name: str) -> bool:
    prefix = f"guests/{name}/"
    return branch.startswith(prefix) and re.fullmatch(_ID, branch[len(prefix) :]) is not None


def _new_commits(change: Change) -> list[str]:
    """Return the commits that the repository does not have; a branch may not take over those of another."""
    own = [] if _is_none(change.old) else [f"^{change.old}"]
    most = f"--max-count={MOST_COMMITS + 1}"
    new = _listed(most, change.new, "--not", "--all")
    if len(new) > MOST_COMMITS:
        raise Refused(f"brings more than {MOST_COMMITS} commits at once")
    if len(_listed(most, change.new, *own)) != len(new):
        raise Refused("holds commits of another branch")
    return new


def _check_reports(change: Change, _name: str, objects: Objects) -> None:
    for oid in _new_commits(change):
        tree = objects.commit(oid).tree
        if objects.is_new(tree, "report"):
            _check_report(tree, objects)


def _check_report(tree: str, objects: Objects) -> None:
    names = set()
    for entry in objects.tree(tree, "a commit"):
        names.add(entry.name)
        if entry.name == b"runs" and entry.mode == _FOLDER:
            _check_runs(entry.oid, objects)
        elif entry.name in _REPORT:
            objects.check_file(entry, entry.name.decode())
        else:
            raise Refused(f"{_shown(entry.name)} is no file of a report")
    if b"report.json" not in names:
        raise Refused("a commit holds no report.json")


def _check_runs(tree: str, objects: Objects) -> None:
    for entry in objects.tree(tree, "runs/") if objects.is_new(tree, "runs") else ():
        place = f"runs/{_shown(entry.name)}"
        if not _RUN.fullmatch(entry.name):
            raise Refused(f"{place} is no record of a run")
        objects.check_file(entry, place)


def _check_claim(change: Change, name: str, objects: Objects) -> None:
    """Refuse all but one signed commit on top of what was there, with one file."""
    commit = objects.commit(change.new)
    if commit.parents != (() if _is_none(change.old) else (change.old,)):
        raise Refused("a lock is claimed by one commit on top of the one that is there")
    entries = objects.tree(commit.tree, "a commit")
    if [entry.name for entry in entries] != [b"lock.json"]:
        raise Refused("a lock holds lock.json and nothing else")
    objects.check_file(entries[0], "lock.json", MOST_LOCK_BYTES)
    _check_signature(commit.data, name)


def _check_signature(data: bytes, name: str) -> None:
    """Refuse a commit that the report key of this host has not signed (gitformat-signature(5))."""
    keys = Path(os.environ.get("GIT_DIR", ".")).absolute() / "report_keys"
    head, blank, message = data.partition(b"\n\n")
    found = _SIGNATURE.findall(head + b"\n")
    if len(found) != 1:
        raise Refused("a claim carries one signature")
    if not keys.exists():
        raise Refused(f"this server knows no report keys: there is no {keys.name}")
    payload = _SIGNATURE.sub(b"", head + b"\n")[:-1] + blank + message
    with tempfile.NamedTemporaryFile() as armour:
        armour.write(found[0].replace(b"\n ", b"\n") + b"\n")
        armour.flush()
        argv = ["ssh-keygen", "-Y", "verify", "-n", "git", "-f", str(keys), "-s", armour.name, "-I", name]
        done = subprocess.run(argv, input=payload, capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"the claim is not signed by the report key of {name}")


def _check_published(change: Change, _name: str, objects: Objects) -> None:
    most = f"--max-count={MOST_COMMITS + 1}"
    if len(_listed(most, change.new, "--not", "--all")) > MOST_COMMITS:
        raise Refused(f"brings more than {MOST_COMMITS} commits at once")
    # Also leaves out what is in reports, which were looked at when they came.
    new = _listed("--objects-edge-aggressive", change.new, "--not", "--all")
    if len(new) > MOST_PUBLISHED:
        raise Refused(f"brings more than {MOST_PUBLISHED} objects at once")
    for oid in (line.split(" ")[0] for line in new if not line.startswith("-")):
        if objects.described(oid)[0] == "tree":
            _check_folder(oid, objects)


def _check_folder(tree: str, objects: Objects) -> None:
    for entry in objects.tree(tree, "a folder"):
        if entry.mode != _FOLDER:
            objects.check_file(entry, _shown(entry.name))


def _without_room(changes: list[Change], name: str) -> Iterator[str]:
    """Yield why branches that are new are too many beside those that are there."""
    told = _git("config", "--type=int", "patchledger.mostLocks").stdout.strip()
    for prefix, most in (("locks/", int(told or MOST_LOCKS)), (f"guests/{name}/", MOST_GUESTS)):
        new = [one.branch for one in changes if _is_none(one.old) and one.branch.startswith(prefix)]
        there = (
            _git("for-each-ref", f"--count={most + 1}", "--format=x", f"refs/heads/{prefix}") if new else None
        )
        if there is not None and there.stdout.count(b"x") + len(new) > most:
            yield f"{prefix}: there are {most} of them at most"


def main() -> int:
    """Read what is pushed, and say what of it is refused."""
    rows = [line.split(" ", 2) for line in sys.stdin.buffer.read().decode("ascii", "replace").splitlines()]
    role, name = os.environ.get("PATCHLEDGER_ROLE", ""), os.environ.get("PATCHLEDGER_NAME", "")
    if len(rows) > MOST_BRANCHES:
        sys.stderr.write(f"refused: more than {MOST_BRANCHES} branches at once\n")
        return 1
    changes = [Change(old, new, ref.removeprefix("refs/heads/")) for old, new, ref in rows]
    refused = list(_without_room(changes, name))
    with ExitStack() as stack:
        objects = Objects(stack)
        for change in changes:
            try:
                check(change, role, name, objects)
            except (Refused, OSError) as error:
                refused.append(f"{_shown(change.branch.encode())[1:-1]}: {error}")
    for line in refused[:_MOST_TOLD]:
        sys.stderr.write(f"refused: {line}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
