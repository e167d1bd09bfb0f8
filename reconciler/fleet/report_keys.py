"""Which key signs the reports of which host, at each commit of the policy.

Of the policy only ``hosts/`` is read, and of that what changed from one commit to the next: each document
once, however many commits hold it. What was read stays in a file, since a blob of git is always the same, and
so does what came of it at the newest commit, since all that led to that one is.
A document that cannot be read leaves all as it was: hosts do not follow such a commit either.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.durable import replace_file
from reconciler.gitops.damage import judge
from reconciler.gitops.git import Git
from reconciler.gitops.objects import MAX_FILE_BYTES, bounded
from reconciler.policy.enrolment import Enrolment
from reconciler.policy.signers import NOTHING_REVOKED, Revocation, fingerprint_of_line
from reconciler.records import dataclass

_DOING = "cannot read the Host documents"
_MOST_LISTED = 512 * 2**20
_AT_ONCE = 1000
_LAYOUT = 2
_ANYBODY = ((0, "-"),)
Keys = tuple[tuple[str, str], ...]
"""The hosts that a file names, each with the fingerprint of its key, empty without one."""
Changes = Mapping[str, Sequence[tuple[int, str]]]
"""From which place of the line on which key counts for each host."""


@dataclass(frozen=True, slots=True)
class KeyBook:
    """The keys of all hosts.

    Attributes:
        places: Of the commits of the policy in its first-parent line, from 0 for the oldest.
        changes: Of each host that ever had a document, as :class:`Enrolment` has them.
        revoked: Keys that count no more.
        is_open: Nobody is enrolled, and whatever is reported counts.
    """

    places: Mapping[str, int]
    changes: Changes
    revoked: Revocation = field(default=NOTHING_REVOKED, repr=False)
    is_open: bool = False
    _none: Sequence[tuple[int, str]] = field(default=(), repr=False)

    def of(self, host: str) -> Enrolment:
        """Return the keys of a host."""
        if self.is_open:
            return Enrolment(self.places, _ANYBODY, is_open=True)
        return Enrolment(self.places, self.changes.get(host, self._none), self.revoked)

    @property
    def names_any(self) -> bool:
        """Whether the policy ever named a key of any host."""
        return any(key for changes in self.changes.values() for _, key in changes)

    def enrolled(self) -> Iterator[str]:
        """Yield the hosts that have a key now."""
        return (host for host, changes in self.changes.items() if changes and changes[-1][1])

    def named_since(self, commit: str) -> dict[str, str]:
        """Return the keys named at a commit or after it, each with a host; of none, those of now."""
        since = self.places.get(commit, len(self.places))
        found: dict[str, str] = {}
        for host, changes in self.changes.items():
            before = [key for place, key in changes if place <= since][-1:]
            found |= {
                key: host for key in (*before, *(key for place, key in changes if place > since)) if key
            }
        return found


@dataclass(frozen=True, slots=True)
class _Change:
    """What became of a file below ``hosts/`` at a commit: its content, empty where it went."""

    place: int
    path: str
    blob: str


def read_keys(
    git: Git,
    line: Sequence[str],
    remembered: Path,
    revoked: Revocation = NOTHING_REVOKED,
    below: str = "",
) -> KeyBook:
    """Return the keys of all hosts along a line of the policy.

    Args:
        git: The policy repository.
        line: Its commits, the oldest first.
        remembered: File that keeps what Host documents said; it may be missing or damaged.
        revoked: Keys that count no more.
        below: Where the policy lies in the repository, as ``folder/``; empty for its top.

    Raises:
        Damaged: The policy cannot be read.
        OSError: The file cannot be written.
    """
    places = {oid: place for place, oid in enumerate(line)}
    told = _remembered(remembered)
    head = f"{below}@{line[-1]}"
    found = _found_at(head, told)
    if found is None:
        changes = list(_changes(git, line[-1], places, below))
        known = _known(told)
        wanted = {one.blob: one.path for one in changes if one.blob}
        known |= _read(git, {oid: path for oid, path in wanted.items() if oid not in known})
        found = _along(changes, known)
        _remember(remembered, {oid: known[oid] for oid in wanted}, head, found)
    return KeyBook(places, found, revoked)


def _along(changes: Sequence[_Change], known: Mapping[str, Keys | None]) -> dict[str, list[tuple[int, str]]]:
    """Return from which place on which key counts for each host."""
    files: dict[str, Keys] = {}
    found: dict[str, list[tuple[int, str]]] = {}
    place, touched = -1, dict[str, str]()
    for one in (*changes, _Change(-1, "", "")):
        if one.place != place:
            for host, key in touched.items():
                _note(found.setdefault(host, []), place, key)
            place, touched = one.place, {}
        keys = known[one.blob] if one.blob else ()
        if one.place < 0 or keys is None:
            continue
        touched |= {host: touched.get(host, "") for host, _ in files.get(one.path, ())}
        touched |= dict(keys)
        files[one.path] = keys
    return found


def _note(changes: list[tuple[int, str]], place: int, key: str) -> None:
    if key != (changes[-1][1] if changes else ""):
        changes.append((place, key))


def _changes(git: Git, head: str, places: Mapping[str, int], below: str) -> Iterator[_Change]:
    """Yield what became of files below ``hosts/``, the oldest commit first (git-log(1), ``--raw``)."""
    asked = git.run(
        *("log", "--first-parent", "--diff-merges=first-parent", "--reverse", "--raw", "-z", "--no-abbrev"),
        *("--no-renames", "--format=%x01%H", head, "--", f"{below}hosts/"),
        limit=_MOST_LISTED,
    )
    if asked.returncode or asked.truncated:
        raise judge(git, asked, _DOING)
    words = iter(asked.text.split("\0"))
    place = -1
    for word in words:
        told = word.lstrip("\n")
        if told.startswith("\1"):
            place = places[told[1:].strip()]
        elif told.startswith(":"):
            mode, blob, path = told.split(" ")[1], told.split(" ")[3], next(words)
            yield _Change(place, path.removeprefix(below), blob if mode.startswith("100") else "")


def _read(git: Git, blobs: Mapping[str, str]) -> dict[str, Keys | None]:
    """Return what Host documents say, by the id of the file; ``None`` of one that is not valid."""
    found: dict[str, Keys | None] = {}
    oids = list(blobs)
    for start in range(0, len(oids), _AT_ONCE):
        some = oids[start : start + _AT_ONCE]
        for oid, data in zip(some, bounded(git, some, _DOING, MAX_FILE_BYTES), strict=True):
            found[oid] = None if data is None else _keys_of(blobs[oid], data)
    return found


def _keys_of(path: str, data: bytes) -> Keys | None:
    from reconciler.policy.load import PolicyFile, Revision, load  # dear, and needed for what is new alone

    loaded = load([PolicyFile(path, "100644", data)])
    if not isinstance(loaded, Revision):
        return None
    hosts = (placed.value for placed in loaded.hosts)
    return tuple((one.name, fingerprint_of_line(one.report_key) if one.report_key else "") for one in hosts)


def _remembered(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_bytes())
        return told if told["layout"] == _LAYOUT and told["by"] == __version__ else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _known(told: Mapping[str, Any]) -> dict[str, Keys | None]:
    try:
        return {
            oid: None if keys is None else tuple((str(host), str(key)) for host, key in keys)
            for oid, keys in told["keys"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _found_at(head: str, told: Mapping[str, Any]) -> Changes | None:
    """Return what was found at a commit, ``None`` where it was another one, or that cannot be understood."""
    try:
        if told["head"] != head:
            return None
        return {
            host: [(int(place), str(key)) for place, key in changes]
            for host, changes in told["changes"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _remember(path: Path, keys: Mapping[str, Keys | None], head: str, changes: Changes) -> None:
    told = {"layout": _LAYOUT, "by": __version__, "keys": keys, "head": head, "changes": changes}
    replace_file(path, json.dumps(told).encode())
