"""Who wrote a line of a policy, and with which commit it came into force.

What a commit says of its author is that person's own word; who is believed is who signed the commit of the
first-parent line that brought it (:mod:`reconciler.gitops.signed_history`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.gitops.git import Git, commit_date

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
    """A line of a file of the policy at a commit."""

    file: str
    line: int
    commit: str


def authorship(git: Git, place: Place, first_parents: Sequence[str]) -> Authorship | None:
    """Return who wrote a line: two processes; ``None`` where git cannot tell, in a shallow clone say.

    Args:
        git: Of the policy's mirror.
        place: Which line.
        first_parents: The first-parent line of its commit, the newest first.
    """
    at = f"{place.line},{place.line}"
    told = git.run("blame", "--porcelain", "-L", at, place.commit, "--", place.file)
    if told.returncode or not told.text:
        return None
    head, *rows = told.text.split("\n")
    commit = head.partition(" ")[0]
    said = dict(row.partition(" ")[::2] for row in rows if not row.startswith("\t"))
    who = f"{said.get('author', '')} {said.get('author-mail', '')}"
    seconds = said.get("author-time", "0")
    return Authorship(
        commit,
        who.strip()[:_MOST],
        commit_date(seconds.encode() if re.fullmatch(r"[0-9]{1,15}", seconds) else b"0"),
        said.get("summary", "")[:_MOST],
        _accepted(git, commit, place.commit, first_parents),
    )


def _accepted(git: Git, commit: str, head: str, first_parents: Sequence[str]) -> str:
    line = dict.fromkeys(first_parents)
    if commit in line:
        return commit
    listed = git.run("rev-list", "--ancestry-path", f"{commit}..{head}").text.split()
    after = frozenset(listed)
    return next((one for one in reversed(first_parents) if one in after), "")
