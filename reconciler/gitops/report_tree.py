"""The tree of a report branch: which paths may be in it, how it is read, and how ``git fast-import`` is told.

A branch may hold what somebody else wrote there, under names that read as commands. So no foreign name
reaches git: the tree of a commit is made anew from nothing but :class:`ReportPath`, which cannot be built
from any other text, and ids of plain files. What does not fit is left behind; git's history keeps it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.gitops.refs import is_oid
from reconciler.records import dataclass

OWN_NAMES = ("report.json", "report.md", "observation.json", "runs/")
"""What a branch is continued with, for ``git ls-tree``: these files, and those right below ``runs/``."""

_RUNS = "runs/"
_PATH = re.compile(r"(?!runs\Z)(runs/)?[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}")
_FILE = (b"100644", b"blob")


@dataclass(frozen=True, slots=True, order=True)
class ReportPath:
    """A path of a report: a file at the top or right below ``runs/``, in letters that are safe anywhere.

    Attributes:
        text: Such as ``report.json`` or ``runs/20261122T020000Z-0123456789ab.json``.

    Raises:
        ValueError: It is anything else.
    """

    text: str

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.text):
            raise ValueError(f"{self.text!r} is no path of a report")

    @property
    def run(self) -> str:
        """The run that it tells of: its name without folder and suffixes; empty for what is no run's."""
        return self.text[len(_RUNS) :].partition(".")[0] if self.text.startswith(_RUNS) else ""


Files = dict[ReportPath, str]
"""The plain files of a tree: the id of each one's content by its path."""


def read_files(listed: bytes) -> Files:
    """Return the files of a report from ``git ls-tree -z``; all else that is listed is left out."""
    found: Files = {}
    for record in listed.split(b"\0"):
        details, _, name = record.partition(b"\t")
        words = details.split()
        path = _own_path(name)
        if path is not None and tuple(words[:2]) == _FILE and is_oid(words[2].decode()):
            found[path] = words[2].decode()
    return found


def surplus_runs(paths: Iterable[ReportPath], keep: int) -> set[ReportPath]:
    """Return the files of all runs but the newest ``keep``; a run's files differ in their suffixes."""
    runs: dict[str, set[ReportPath]] = {}
    for path in paths:
        if path.run:
            runs.setdefault(path.run, set()).add(path)
    old = sorted(runs)[: max(0, len(runs) - max(0, keep))]
    return {path for name in old for path in runs[name]}


def blob_id(data: bytes, like: str | None) -> str:
    """Return the id that git gives a file's content, by the hash function of ``like`` (else SHA-1)."""
    return object_id(b"blob %d\0" % len(data) + data, like)


def object_id(content: bytes, like: str | None) -> str:
    """Return the id of an object with its header, by the hash function of the id ``like`` (else SHA-1)."""
    algorithm = hashlib.sha256 if like is not None and len(like) == 64 else hashlib.sha1  # noqa: PLR2004 - digits
    return algorithm(content).hexdigest()


def import_stream(
    ref: str,
    parents: Sequence[str],
    *,
    committer: str,
    when: datetime,
    message: str,
    kept: Mapping[ReportPath, str],
    written: Mapping[ReportPath, bytes],
) -> bytes:
    """Return what ``git fast-import`` reads to make one commit, of exactly these files, and print its id.

    Args:
        ref: Full name of a ref of ours.
        parents: Commits that are continued; none begins a history.
        committer: ``Name <address>``.
        when: Date of the commit, aware.
        message: Whole message.
        kept: Files whose content git has.
        written: Files with their content.
    """
    who = f"{committer} {int(when.timestamp())} +0000"
    lines = [f"commit {ref}\nmark :1\ncommitter {who}\n".encode(), _data(message.encode("utf-8", "replace"))]
    lines += [f"{'merge' if number else 'from'} {oid}\n".encode() for number, oid in enumerate(parents)]
    lines.append(b"deleteall\n")
    lines += [f"M 100644 {oid} {path.text}\n".encode() for path, oid in sorted(kept.items())]
    for path, data in sorted(written.items()):
        lines += [f"M 100644 inline {path.text}\n".encode(), _data(data)]
    lines.append(b"\nget-mark :1\ndone\n")
    return b"".join(lines)


def _own_path(name: bytes) -> ReportPath | None:
    try:
        return ReportPath(name.decode("ascii"))
    except ValueError:  # not ASCII, too
        return None


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
