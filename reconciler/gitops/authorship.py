"""Who wrote a line of a policy, and with which commit it came into force.

What a commit says of its author is that person's own word; who is believed is who signed the commit of the
first-parent line that brought it (:mod:`reconciler.gitops.signed_history`).
"""

import re
from collections.abc import Sequence
from datetime import datetime

from reconciler.gitops.git import Git, commit_date
from reconciler.records import dataclass

_MOST = 200
"""Characters of a subject or of a name."""


@dataclass(frozen=True, slots=True)
class Authorship:
    """Where a line comes from.

    Attributes:
        commit: That last changed it.
        author: As the commit says, name and address.
        at: When it was written, as the commit says.
        subject: Of the commit.
        accepted: The commit of the first-parent line that brought it: that commit itself, or a merge.
    """

    commit: str
    author: str
    at: datetime
    subject: str
    accepted: str


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the policy at a commit, or the whole document that begins there."""

    file: str
    line: int
    commit: str
    is_document: bool = False


def authorship(git: Git, place: Place, first_parents: Sequence[str]) -> Authorship | None:
    """Return who wrote a line, or changed a document last: two or three processes.

    Args:
        git: Of the policy's mirror.
        place: Which line, or document.
        first_parents: The first-parent line of its commit, the newest first.

    Returns:
        ``None`` where git cannot tell, in a shallow clone say.
    """
    said = _of_document(git, place) if place.is_document else _of_line(git, place)
    if said is None:
        return None
    commit, author, seconds, subject = said
    return Authorship(
        commit,
        author[:_MOST],
        commit_date(seconds.encode() if re.fullmatch(r"[0-9]{1,15}", seconds) else b"0"),
        subject[:_MOST],
        _accepted(git, commit, place.commit, first_parents),
    )


_Said = tuple[str, str, str, str]
"""A commit, its author, the seconds of its date, and its subject."""


def _of_line(git: Git, place: Place) -> _Said | None:
    at = f"{place.line},{place.line}"
    told = git.run("blame", "--porcelain", "-L", at, place.commit, "--", place.file)
    if told.returncode or not told.text:
        return None
    head, *rows = told.text.split("\n")
    said = dict(row.partition(" ")[::2] for row in rows if not row.startswith("\t"))
    who = f"{said.get('author', '')} {said.get('author-mail', '')}".strip()
    return head.partition(" ")[0], who, said.get("author-time", ""), said.get("summary", "")


def _of_document(git: Git, place: Place) -> _Said | None:
    """Return the last change of any line of a document, or of one that was taken out of it."""
    held = git.run("cat-file", "blob", f"{place.commit}:{place.file}")
    lines = held.text.removesuffix("\n").split("\n")
    after = enumerate(lines[place.line :], place.line)
    end = next((number for number, text in after if text.startswith(("---", "..."))), len(lines))
    form = "--format=%H%n%an <%ae>%n%at%n%s"
    told = git.run("log", "-1", "-s", f"-L{place.line},{end}:{place.file}", form, place.commit)
    said = told.text.split("\n")
    if held.returncode or told.returncode or len(said) < len(("commit", "author", "seconds", "subject")):
        return None
    return said[0], said[1], said[2], said[3]


def _accepted(git: Git, commit: str, head: str, first_parents: Sequence[str]) -> str:
    line = dict.fromkeys(first_parents)
    if commit in line:
        return commit
    listed = git.run("rev-list", "--ancestry-path", f"{commit}..{head}").text.split()
    after = frozenset(listed)
    return next((one for one in reversed(first_parents) if one in after), "")
