"""What a server said of the branches that it did not take, and what becomes of that."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.policy.remotes import one_line
from reconciler.reconcile.ports.reports import REPAIR_HINT
from reconciler.records import dataclass

_PASSING = ("failed to update ref", "cannot lock ref", "failed to lock", "unpack")
"""What a server says of a refused ref that is its own trouble, such as a full disk, and no decision."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A branch that was not taken, and git's word for why."""

    branch: str
    reason: str

    @property
    def is_behind(self) -> bool:
        """Whether the server has commits that were not known here."""
        return self.reason.startswith("[rejected]") and any(
            word in self.reason for word in ("fetch first", "non-fast-forward")
        )


def rejections(porcelain: str) -> tuple[Rejection, ...]:
    """Read the refused refs of ``git push --porcelain``: ``!``, ``FROM:TO``, ``[kind] (reason)``."""
    return tuple(_refused(porcelain.split("\n")))


def refusal(rejected: Sequence[Rejection], error: str, remote: str, queue: Path) -> ReconcilerError:
    """Return what people are told of branches that were not taken.

    Args:
        rejected: At least one.
        error: What git wrote as errors; what the server's own hooks say is in it.
        remote: The remote, fit for people.
        queue: Where the reports stay.
    """
    names = ", ".join(item.branch for item in rejected)
    doing = f"cannot push reports to {remote}: {names}"
    if any(item.is_behind for item in rejected):
        return Stalled(
            f"{doing}: another machine writes this branch too, or this one was restored from"
            f" a backup; the reports stay in {queue}",
            REPAIR_HINT,
        )
    said = server_words(error)
    reasons = one_line(", ".join(sorted({item.reason for item in rejected})))
    message = f"{doing}: the server refused ({reasons})" + (f": {said}" if said else "")
    if any(word in reasons for word in _PASSING):
        return Transient(message, "nothing to do: it is tried again; look at the server's disk if it lasts")
    hint = "ask the server's owner; a report repository must be bare and let this host create its branches"
    return Stalled(message, hint)


def server_words(error: str) -> str:
    """Return what the server's own hooks said, in one line, of what git wrote as errors."""
    return one_line("; ".join(line[8:].strip() for line in error.splitlines() if line.startswith("remote: ")))


def _refused(lines: Sequence[str]) -> Iterator[Rejection]:
    for line in lines:
        flag, _, rest = line.partition("\t")
        refs, _, summary = rest.partition("\t")
        if flag == "!":
            yield Rejection(refs.partition(":refs/heads/")[2], summary)
